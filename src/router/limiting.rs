//! The methods of a router that set limits for its routes. Knows numbers and times. Programs call them; `scope` holds the limits.

use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::error::Error;
#[cfg(feature = "handler-timeout")]
use crate::limits::handler_timeout::HandlerTimeout;
use crate::limits::limit::Limit;
use crate::limits::route::Gate;
use crate::limits::timer_fault;

impl Router {
    /// The most bytes of a body that its handlers take, in the place of [`Limits::body_bytes`](crate::Limits::body_bytes): more or
    /// fewer. A larger body gets 413, before it is sent if the client waits for `100 Continue` (RFC 9110 §10.1.1).
    ///
    /// ```
    /// use lockgate::{Error, Request, Router};
    ///
    /// fn install(request: &mut Request) -> Result<(), Error> {
    ///     request.save_to("/data/firmware", "next.img")?;
    ///     Ok(())
    /// }
    ///
    /// let firmware = Router::new().put("/firmware", install).body_bytes(64 * 1024 * 1024);
    /// let router = Router::new()
    ///     .post("/login", |request: &mut Request| request.bytes().map(|_| "in"))
    ///     .body_bytes(4 * 1024)
    ///     .merge(firmware);
    /// assert_eq!(router.call(&mut Request::post("/login").with_body([0; 5_000])).status(), 413);
    /// ```
    ///
    /// [Layers](crate::Layer) do not see this 413, unless the body is large and comes without a length.
    ///
    /// As each limit of a router it holds for all its routes, wherever they are declared, and in nested and merged routers that have
    /// none of their own. For one route, merge a router that has only this.
    pub fn body_bytes(mut self, most: u64) -> Router {
        self.routes.limit(|limits| limits.body_bytes = Some(most));
        self
    }

    /// How long a body may take, from the end of the head, in the place of [`Limits::body_timeout`](crate::Limits::body_timeout).
    /// From 1 ms to 365 days. [`Limits::body_min_rate`](crate::Limits::body_min_rate) prolongs it, as it does the server's. A later
    /// body gets 408. See [`body_bytes`](Router::body_bytes) for the routes that it holds for.
    pub fn body_timeout(mut self, most: Duration) -> Router {
        self.check_timer(Limit::BodyTimeout, most);
        self.routes.limit(|limits| limits.body_timeout = Some(most));
        self
    }

    /// How long a handler and its layers may take, from 1 ms to 365 days. Without this they may take for ever. When the time is up the
    /// client gets 503 with `Retry-After`, and its connection goes on with the next request. Only with the feature `handler-timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lockgate::{Request, Router, StatusCode};
    ///
    /// fn readings(request: &mut Request) -> StatusCode {
    ///     for _sensor in 0..100 {
    ///         if request.client_is_gone() {
    ///             break; // or it has been answered
    ///         }
    ///     }
    ///     StatusCode::OK
    /// }
    ///
    /// let router = Router::new().get("/readings", readings).handler_timeout(Duration::from_secs(10));
    /// # router.check().unwrap();
    /// ```
    ///
    /// Nothing can end a handler from outside. A late one goes on, and keeps its worker, its place of
    /// [`concurrent`](Router::concurrent) and the memory of its body until it returns; what it returns is dropped. It finds
    /// [`Request::client_is_gone`](crate::Request::client_is_gone) true. [`Health::late_handlers`](crate::Health::late_handlers) counts
    /// such handlers. When they hold all workers, requests wait for [`Limits::queue_timeout`](crate::Limits::queue_timeout): so give what
    /// a handler waits for a timeout too.
    ///
    /// - The 503 comes from the server, as all its refusals do: layers do not see it, and
    ///   [`ServerBuilder::on_response`](crate::ServerBuilder::on_response) does.
    /// - The time does not run while a request waits for a worker, and while a [streamed response](crate::Response::reader) is sent.
    /// - A request whose body is [larger than what is kept in memory](crate::Limits::body_buffer_bytes) is not limited, because its
    ///   handler reads from the connection. Its body has [`body_timeout`](Router::body_timeout).
    /// - For a WebSocket (`Router::websocket`) it holds for the handshake, and not for its messages.
    /// - In [`Router::call`], and [over plain HTTP](crate::ServerBuilder::http_router), the 503 comes when the handler returns.
    ///
    /// A request with this limit costs a copy of its head, and one more turn of its connection. See
    /// [`body_bytes`](Router::body_bytes) for the routes that it holds for.
    #[cfg(feature = "handler-timeout")]
    pub fn handler_timeout(mut self, most: Duration) -> Router {
        self.check_timer(Limit::HandlerTimeout, most);
        self.routes.limit(|limits| limits.handler_timeout = Some(HandlerTimeout::new(most)));
        self
    }

    /// How many requests are answered at a time by all routes of the router together. A further one gets 503 with `Retry-After`, and no
    /// handler and no layer is called. At least 1; without this, workers are the bound. A request counts while its handler and its
    /// layers run, one with a [streamed response](crate::Response::reader) until that is sent, and one that a `Proxy` passes on until
    /// the backend's answer is sent. A subscriber of a [`Feed`](crate::Feed) and an open WebSocket do not count: no thread waits for
    /// them.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// // Each hashes a password, which takes 100 ms and 20 MiB.
    /// let login = Router::new().post("/login", |_: &mut Request| "in").concurrent(2);
    /// let router = Router::new().get("/", |_: &mut Request| "page").merge(login);
    /// # router.check().unwrap();
    /// ```
    ///
    /// In a nested or merged router its own limit holds, and that of the router around it too.
    pub fn concurrent(mut self, most: usize) -> Router {
        if most == 0 {
            self.note_setting(Limit::Concurrent, "0 is out of range; it is at least 1".to_string());
        }
        self.routes.limit(|limits| limits.gates = vec![Arc::new(Gate::new(most))]);
        self
    }

    fn check_timer(&mut self, limit: Limit, value: Duration) {
        if let Some(fault) = timer_fault(value) {
            self.note_setting(limit, fault);
        }
    }

    fn note_setting(&mut self, limit: Limit, fault: String) {
        self.fault.get_or_insert(Error::Setting { setting: limit.name(), fault });
    }
}

//! The method of a router that needs the server: `router` knows none, and a program that does not call it does not link what waits for
//! handlers. Programs call it.

use std::time::Duration;

use super::connection::pending::PART;
use crate::limits::handler_timeout::HandlerTimeout;
use crate::limits::limit::Limit;
use crate::router::Router;

impl Router {
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
    pub fn handler_timeout(mut self, most: Duration) -> Router {
        self.check_timer(Limit::HandlerTimeout, most);
        self.routes.limit(|limits| limits.handler_timeout = Some(HandlerTimeout::new(most, &PART)));
        self
    }
}

//! The methods of a request that belong to the server, all in this file: `http`, where the type stands, knows no server. Handlers
//! call them.

use std::sync::Arc;

use super::handle::Handle;
use super::serve::Shared;
use crate::http::origin::Origin;
use crate::http::request::Request;

impl Request<'_> {
    /// The handle of the server that serves this request: its [health](Handle::health), its certificates, and its stop.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router, StatusCode};
    ///
    /// let router = Router::new()
    ///     .get("/api/health", |request: &mut Request| Response::json(&request.handle().health().to_json()))
    ///     .post("/api/stop", |request: &mut Request| {
    ///         request.handle().stop(); // this request is still answered
    ///         StatusCode::ACCEPTED
    ///     });
    ///
    /// let mut request = Request::post("/api/stop");
    /// assert_eq!(router.call(&mut request).status(), 202);
    /// assert!(request.is_stopping());
    /// ```
    ///
    /// A request made by hand, for a test, has no server. Its handle is a substitute, the same at each call of this method: a
    /// [`stop`](Handle::stop) stops nothing, and after it [`is_stopping`](Handle::is_stopping) is `true`;
    /// [`health`](Handle::health) tells of a server without connections and workers; [`reload`](Handle::reload) loads nothing and
    /// succeeds; [`identities`](Handle::identities) has only what [`replace_identity`](Handle::replace_identity) was given.
    pub fn handle(&self) -> Handle {
        match self.origin() {
            Origin::Server(server) => match server.service().downcast_ref::<Arc<Shared>>() {
                Some(shared) => Handle::of(shared.clone()),
                None => Handle::of_nobody(),
            },
            Origin::Made { server, .. } => {
                let handle = server.get_or_init(|| Box::new(Handle::of_nobody()));
                handle.downcast_ref::<Handle>().cloned().unwrap_or_else(Handle::of_nobody)
            }
        }
    }

    /// Whether the server was asked to stop. A handler or a reader that works for long should then come to an end: the stop waits
    /// for it, for [`Limits::drain_timeout`](crate::Limits::drain_timeout) at most. A call costs next to nothing. What waits for
    /// something takes the [`handle`](Request::handle) along, and waits with [`Handle::wait_for_stop`].
    ///
    /// In a request made by hand it is `true` after [`Handle::stop`] of its substitute.
    pub fn is_stopping(&self) -> bool {
        match self.origin() {
            Origin::Server(server) => {
                let shared = server.service().downcast_ref::<Arc<Shared>>();
                shared.is_some_and(|shared| shared.is_draining())
            }
            Origin::Made { server, .. } => {
                let handle = server.get().and_then(|handle| handle.downcast_ref::<Handle>());
                handle.is_some_and(Handle::is_stopping)
            }
        }
    }
}

//! A handler as the router keeps it, and how it is called.

use ::http::StatusCode;

use crate::handler_call;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::Response;

/// A handler with its types gone.
pub(super) type Handler = Box<dyn Fn(&mut Request<'_>) -> Response + Send + Sync>;

/// A handler and its place among all of a router's.
pub(crate) struct Endpoint {
    pub(super) handler: Handler,
    /// Counts from 0; what a server knows about a handler is kept by this number.
    pub(crate) index: usize,
}

impl Endpoint {
    /// Calls the handler. A panic costs the client a 500 and nobody else anything; what went wrong is among the call's
    /// [`faults`](handler_call::faults).
    #[inline(always)]
    pub(crate) fn call(&self, request: &mut Request<'_>) -> Response {
        let response = handler_call::run("a panic in a handler", || (self.handler)(request));
        response.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

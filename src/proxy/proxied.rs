//! What a proxy's handler returns, so that a router knows that it passes bodies on. `mod` makes it.

use std::fmt;

use crate::http::into_response::IntoResponse;
use crate::http::response::Response;

/// What a proxy's handler returns: the backend's answer, which comes later. By this type a [`Router`](crate::Router) knows to call the handler
/// before the request's body has come, so that the body passes as it comes. A handler around the proxy's returns it too.
pub struct Proxied(pub(super) Response);

impl IntoResponse for Proxied {
    const PASSES_BODY_ON: bool = true;

    fn into_response(self) -> Response {
        self.0
    }
}

impl fmt::Debug for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxied").field(&self.0).finish()
    }
}

//! The routes of a router as a list, for a page or a description that a program makes of them. Plain values; the router makes them.

use ::http::Method;

/// A route, as [`Router::routes`](crate::Router::routes) lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) method: Option<Method>,
    pub(super) pattern: String,
}

impl Route {
    /// The method that is answered. `None` for all that have no handler of their own ([`Router::any`](crate::Router::any)). A handler
    /// for GET answers HEAD too, which is not listed.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The pattern, with the prefixes of nested routers: what [`Request::route`](crate::Request::route) gives.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

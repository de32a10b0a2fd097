//! A layer: code around all handlers of a router. Knows requests and responses, and no route. The router calls layers; `web` has
//! ready ones.

use std::sync::Arc;

use ::http::StatusCode;

use super::into_response::IntoResponse;
use super::request::Request;
use super::response::Response;
use crate::backports::explained;
use crate::handler_call;

explained! { 'r#since {
    message = "`{Self}` is not a layer",
    label = "this cannot stand around handlers",
    note = "a layer is a function or a closure `|request: &mut Request, next: Next| next.run(request)`, with these types written \
            down, that returns what a handler may return (`IntoResponse`), or a type that implements `Layer`",
    note = "what makes a layer may fail: `.with(Cors::new([origin])?)`"
}
/// Code around all that a router answers, its 404 and 405 included. [`Router::with`](crate::Router::with) adds it.
///
/// A function or a closure `Fn(&mut Request, Next) -> impl IntoResponse` is a layer. It may change the request, answer without
/// calling [`Next::run`], and change the response. The types of a closure's parameters have to be written down, as here:
///
/// ```
/// use lockgate::{IntoResponse, Next, Request, Response, Router, StatusCode};
///
/// fn known(request: &mut Request, next: Next) -> Response {
///     if request.header("authorization") != Some("Bearer 7f3a") {
///         return StatusCode::UNAUTHORIZED.into_response();
///     }
///     next.run(request)
/// }
///
/// let router = Router::new()
///     .with(|request: &mut Request, next: Next| next.run(request).with_header("x-device", "pump"))
///     .with(known)
///     .get("/state", |_: &mut Request| "on");
/// let response = router.call(&mut Request::get("/nothing"));
/// assert_eq!(response.status(), 401); // nobody learns without the token which paths there are
/// assert_eq!(response.header("x-device").unwrap(), "pump");
/// ```
///
/// Implement the trait for a type of your own to make a layer with settings:
///
/// ```
/// use lockgate::{Layer, Next, Request, Response, Router};
///
/// struct Version(&'static str);
///
/// impl Layer for Version {
///     fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
///         next.run(request).with_header("x-version", self.0)
///     }
/// }
///
/// let router = Router::new().with(Version("1.2")).get("/", |_: &mut Request| "page");
/// assert_eq!(router.call(&mut Request::get("/")).header("x-version").unwrap(), "1.2");
/// ```
///
/// - The request's route is known already, so [`route`](Request::route) and [`param`](Request::param) tell what it is; a layer
///   cannot send it to another one.
/// - The layer gets HEAD as HEAD, with the body that the handler made for GET. lockgate drops the body after all layers.
/// - A panic of a handler, or of a layer further in, has become a 500 when `run` returns. A layer's own panic becomes a 500 too.
/// - A layer that reads the body takes it from the handler, unless it puts it back with [`set_body`](Request::set_body). For what
///   no route serves, the body is empty: it is not read for a 404.
/// - What the server refuses by itself, such as a head or a [body](crate::Router::body_bytes) that is too large, or a request
///   beyond [`concurrent`](crate::Router::concurrent), does not come to layers, but to
///   [`ServerBuilder::on_response`](crate::ServerBuilder::on_response). So fields that all answers need, and a count of them, belong
///   there. A body is refused so by `Content-Length`, or while the server receives it for the handler
///   ([`Limits::body_buffer_bytes`](crate::Limits::body_buffer_bytes)): before a layer asks for a login.
///
/// A call of a layer costs a call through a pointer and no memory. In a router without layers a request takes one comparison more.
pub trait Layer: Send + Sync + 'static {
    /// Answers the request, by [`Next::run`] or without it.
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response;
}
}

impl<F, R> Layer for F
where
    F: Fn(&mut Request<'_>, Next<'_>) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        self(request, next).into_response()
    }
}

/// What is inside a layer: further layers, and the handler. [`Layer`] has an example.
pub struct Next<'n> {
    layers: &'n [Arc<dyn Layer>],
    innermost: &'n dyn Fn(&mut Request<'_>) -> Response,
}

impl<'n> Next<'n> {
    /// These layers, the first outermost, around what is `innermost`.
    pub(crate) fn new(
        layers: &'n [Arc<dyn Layer>],
        innermost: &'n dyn Fn(&mut Request<'_>) -> Response,
    ) -> Next<'n> {
        Next { layers, innermost }
    }

    /// Answers the request. If the handler or a layer panics, the client gets 500, and the log a line.
    pub fn run(self, request: &mut Request<'_>) -> Response {
        let response = handler_call::run("a panic in a handler", || match self.layers.split_first() {
            Some((layer, layers)) => layer.call(request, Next { layers, ..self }),
            None => (self.innermost)(request),
        });
        response.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

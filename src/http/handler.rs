//! What a handler is. The router takes handlers; their bounds stand here once, with what the compiler says of something else.

use super::request::Request;
use crate::backports::explained;

explained! { 'r#since {
    message = "`{Self}` is not a handler",
    label = "this cannot be called with a request",
    note = "a handler is a function `fn name(request: &mut Request) -> …` or a closure `|request: &mut Request| …`; what it returns \
            is a response (`IntoResponse`)",
    note = "a function is given by its name, without calling it: `.get(\"/\", name)`; a value is given by a closure: \
            `.get(\"/\", |_: &mut Request| value)`",
    note = "`web::Files` and `Feed` make one: `.folder(\"/ui\", files.handler())`, `.get(\"/events\", feed.handler())`"
}
/// What answers requests: a function or a closure that takes a [`Request`] and returns what can be sent as a response
/// ([`IntoResponse`](crate::IntoResponse)). Every such function is a handler by itself; nobody implements this trait.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use lockgate::{Handler, IntoResponse, Request, Router};
///
/// fn state(_: &mut Request) -> &'static str {
///     "on"
/// }
///
/// /// A handler that a function makes.
/// fn counter() -> impl Handler<String> {
///     let count = AtomicU64::new(0);
///     move |_: &mut Request| count.fetch_add(1, Relaxed).to_string()
/// }
///
/// /// A function that adds routes for a handler.
/// fn both<R: IntoResponse>(router: Router, path: &str, handler: impl Handler<R> + Clone) -> Router {
///     router.get(path, handler.clone()).post(path, handler)
/// }
///
/// let router = both(Router::new(), "/state", state).get("/count", counter());
/// assert_eq!(router.call(&mut Request::post("/state")).into_bytes().unwrap(), b"on");
/// ```
///
/// A handler runs on several threads at a time, so what it captures can be shared between them (`Send` and `Sync`): a counter is an
/// atomic number, other state an [`Arc`](std::sync::Arc) with a [`Mutex`](std::sync::Mutex) in it, not an `Rc` with a `RefCell`. It
/// lives as long as the server (`'static`), so a closure takes what it captures by `move`. And it may block, so it is not `async`.
///
/// What it returns does not borrow from the request: return `request.param("name").map(String::from)`, not the `&str`.
pub trait Handler<R>: Fn(&mut Request<'_>) -> R + Send + Sync + 'static {}
}

impl<R, F: Fn(&mut Request<'_>) -> R + Send + Sync + 'static> Handler<R> for F {}

//! Finds the handler for a method and a path. Knows requests and responses, and nothing of sockets, threads or TLS. The server
//! looks up each request's handler here, and tests call it without a server.

mod answer;
pub(crate) mod call;
pub(crate) mod endpoint;
mod held;
mod limiting;
mod listed;
pub(crate) mod openapi;
pub(crate) mod routes;
mod scope;
#[cfg(feature = "handler-timeout")]
mod timed;
mod tree;

use std::sync::Arc;

use ::http::{Method, StatusCode};

use crate::error::Error;
use crate::handler_call::{self, Fault};
use crate::http::folder::with_slash;
use crate::http::handler::Handler;
use crate::http::into_response::IntoResponse;
use crate::http::layer::Layer;
use crate::http::params::{OnRoute, Params};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::Refusal;
pub(crate) use endpoint::told;
use endpoint::Stored;
pub use listed::Route;
use openapi::OpenApi;
use routes::{Found, Matched, Routes};

/// Which handler answers which method and path.
///
/// A pattern is a path of segments: plain text, which matches itself; `{name}`, which matches any one segment that is not
/// empty; or, as the last segment, `{*name}`, which matches the rest of the path. The rest may be empty, but has no slash at
/// its front and no empty segment, so that it stays below a path that it is joined to. Plain text is preferred to `{name}`, and
/// `{name}` to `{*name}`. Patterns are matched against the decoded path.
///
/// A path with an encoded slash (`%2F`) gets 400, because other programs on its way may take it for a slash. A parameter
/// written `{name%2F}` accepts it: the path is split before it is decoded, so the parameter holds the slash. The value never
/// begins or ends with a slash, and has no empty and no dot segments.
///
/// ```
/// use lockgate::{Request, Router};
///
/// let router = Router::new().get("/ports/{port%2F}/state", |request: &mut Request| request.param("port").map(String::from));
/// let response = router.call(&mut Request::get("/ports/eth0%2F1/state"));
/// assert_eq!(response.into_bytes().unwrap(), b"eth0/1");
/// ```
///
/// lockgate answers by itself: 404 for an unknown path, 405 with `Allow` for an unknown method on a known one, `HEAD`
/// from the GET handler, `OPTIONS` with `Allow`, and 501 for a method that no HTTP specification knows.
///
/// Code around all handlers is a layer ([`with`](Router::with)). Routers are put together by [`nest`](Router::nest) and
/// [`merge`](Router::merge), and [`fallback`](Router::fallback) answers in the place of the 404.
///
/// State is shared the way closures share it:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use lockgate::{Request, Router};
///
/// let count = Arc::new(AtomicU64::new(0));
/// let router = Router::new().get("/count", move |_: &mut Request| count.fetch_add(1, Ordering::Relaxed).to_string());
/// # router.check().unwrap();
/// ```
///
/// A pattern that cannot be served is reported by [`check`](Router::check), and by the server's `bind`.
#[derive(Default)]
pub struct Router {
    pub(crate) routes: Routes,
    fault: Option<Error>,
}

impl Router {
    /// A router without routes: it answers 404 to everything.
    pub fn new() -> Router {
        Router::default()
    }

    /// Answers GET, and also HEAD unless there is a handler for HEAD.
    pub fn get<R: IntoResponse>(self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.route(Method::GET, pattern, handler)
    }

    /// Answers POST.
    pub fn post<R: IntoResponse>(self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.route(Method::POST, pattern, handler)
    }

    /// Answers PUT.
    pub fn put<R: IntoResponse>(self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.route(Method::PUT, pattern, handler)
    }

    /// Answers PATCH.
    pub fn patch<R: IntoResponse>(self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.route(Method::PATCH, pattern, handler)
    }

    /// Answers DELETE.
    pub fn delete<R: IntoResponse>(self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.route(Method::DELETE, pattern, handler)
    }

    /// Answers one method, even one that no specification knows. The case of a method matters (RFC 9110 §9.1). A handler for
    /// GET also answers HEAD unless there is a handler for HEAD. For several methods declare the pattern once for each.
    ///
    /// ```
    /// use lockgate::{Method, Request, Router, StatusCode};
    ///
    /// let purge = Method::from_bytes(b"PURGE").unwrap();
    /// let router = Router::new().route(purge.clone(), "/cache", |_: &mut Request| StatusCode::NO_CONTENT);
    /// assert_eq!(router.call(&mut Request::new(purge, "/cache")).status(), 204);
    /// assert_eq!(router.call(&mut Request::get("/cache")).status(), 405);
    /// ```
    pub fn route<R: IntoResponse>(
        mut self,
        method: Method,
        pattern: &str,
        handler: impl Handler<R>,
    ) -> Router {
        self.add(Some(method), pattern, endpoint::handler(handler));
        self
    }

    /// Answers GET and HEAD for all paths below a folder, the folder itself and those that end with a slash among them. The
    /// handler finds the path, without the prefix, in the parameter `path`: `""` for the folder itself, `"docs/"` for one in it.
    /// It has no slash at its front, and no empty segment but that after a slash at its end. The folder's own path without a
    /// slash is redirected to that with it, by a relative reference, so that the links in its page lead below it.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let router = Router::new().folder("/ui", |request: &mut Request| request.param("path").map(String::from));
    /// assert_eq!(router.call(&mut Request::get("/ui/docs/")).into_bytes().unwrap(), b"docs/");
    /// assert_eq!(router.call(&mut Request::get("/ui")).header("location").unwrap(), "./ui/");
    /// assert_eq!(router.call(&mut Request::get("/ui//docs")).status(), 404);
    /// ```
    ///
    /// [`web::Files`](crate::web::Files) is a handler for it. A folder has all paths that no other
    /// route has, so a [`fallback`](Router::fallback) gets none of them, also not that of a nested `/api` beside a folder at `/`:
    /// [`Files`](crate::web::Files) shows what to do.
    pub fn folder<R: IntoResponse>(mut self, prefix: &str, handler: impl Handler<R>) -> Router {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            self.add(Some(Method::GET), prefix, Stored::new(|request| with_slash(request)));
        }
        let handler = Stored::new(move |request| handler(request).into_response());
        self.add_route(Some(Method::GET), &format!("{prefix}/{{*path}}"), true, handler);
        self
    }

    /// Answers all methods that have no handler of their own on this pattern, also those that no specification knows. HEAD goes to a
    /// handler for GET first.
    ///
    /// ```
    /// use lockgate::{Method, Request, Router};
    ///
    /// let router = Router::new().any("/echo", |request: &mut Request| request.method().to_string());
    /// let response = router.call(&mut Request::new(Method::from_bytes(b"PURGE").unwrap(), "/echo"));
    /// assert_eq!(response.into_bytes().unwrap(), b"PURGE");
    /// ```
    pub fn any<R: IntoResponse>(mut self, pattern: &str, handler: impl Handler<R>) -> Router {
        self.add(None, pattern, endpoint::handler(handler));
        self
    }

    /// Answers paths that no route has, with any method, in the place of the 404. A path that a route has still gets its 405.
    ///
    /// ```
    /// use lockgate::{Request, Router, StatusCode};
    ///
    /// let api = Router::new().get("/state", |_: &mut Request| "on");
    /// let router = Router::new().nest("/api", api).fallback(|_: &mut Request| (StatusCode::NOT_FOUND, "no such page"));
    /// assert_eq!(router.call(&mut Request::get("/api/none")).into_bytes().unwrap(), b"no such page");
    /// ```
    ///
    /// In a nested router the fallback answers paths below its prefix; one without a fallback of its own takes that of the router
    /// around it. A fallback is within the layers of the router that it is given to, and within those of the nested router that
    /// the path belongs to. That of a [merged](Router::merge) router answers for the router that it is merged into. A route goes before
    /// every fallback, also a [`folder`](Router::folder) of the router around.
    ///
    /// A second fallback for the same paths is a fault, which [`check`](Router::check) reports.
    pub fn fallback<R: IntoResponse>(mut self, handler: impl Handler<R>) -> Router {
        if let Err(fault) = self.routes.set_fallback(endpoint::handler(handler)) {
            self.note("fallback", fault);
        }
        self
    }

    /// Puts a [`Layer`] around everything that this router answers: its routes, those of nested and merged routers, its fallback, its
    /// 404, 405, 501 and answers to OPTIONS, and the refusal of a path (400). It does not matter whether the routes are declared
    /// before or after the layer. The first layer is the outermost.
    ///
    /// ```
    /// use lockgate::{Next, Request, Router};
    ///
    /// let api = Router::new().get("/state", |_: &mut Request| "on").with(|request: &mut Request, next: Next| {
    ///     next.run(request).append_header("x-way", "api")
    /// });
    /// let router = Router::new()
    ///     .nest("/api", api)
    ///     .with(|request: &mut Request, next: Next| next.run(request).append_header("x-way", "all"));
    /// let way = |target| {
    ///     let response = router.call(&mut Request::get(target));
    ///     let way: Vec<_> = response.headers().get_all("x-way").iter().cloned().collect();
    ///     way
    /// };
    /// assert_eq!(way("/api/state"), ["api", "all"]);
    /// assert_eq!(way("/api/none"), ["api", "all"]); // a 404
    /// assert_eq!(way("/none"), ["all"]);
    /// ```
    ///
    /// With nested and merged routers:
    ///
    /// - The layers of an inner router are within those of the router around it, and around its own routes only.
    /// - A 404 belongs to the deepest nested router whose prefix the path has. If several have the same prefix, it belongs to the
    ///   one with a fallback, or else to the router that they are nested into. A merged router has no prefix, so the 404 belongs to
    ///   the router that it is merged into.
    /// - A 405, and the answer to OPTIONS, belong to the innermost router that has all handlers of the path. So a CORS layer of an
    ///   inner router answers the preflights of its routes.
    /// - A path that is refused belongs to the outermost router, because nobody can say where it leads. Its [`Request::path`] is
    ///   empty.
    pub fn with(mut self, layer: impl Layer) -> Router {
        let layer: Arc<dyn Layer> = Arc::new(layer);
        self.routes.add_layer(&layer);
        self
    }

    /// Adds the routes of another router, with their layers around them.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// fn pages() -> Router {
    ///     Router::new().get("/", |_: &mut Request| "page")
    /// }
    /// fn api() -> Router {
    ///     Router::new().get("/api/state", |_: &mut Request| "on")
    /// }
    /// let router = Router::new().merge(pages()).merge(api());
    /// assert_eq!(router.call(&mut Request::get("/api/state")).status(), 200);
    /// ```
    ///
    /// This router's own layers are around the merged routes too. To keep the layers of two routers apart, merge both into a third.
    /// A route that both have is a fault, which [`check`](Router::check) reports.
    pub fn merge(mut self, router: Router) -> Router {
        self.absorb(None, router);
        self
    }

    /// Adds the routes of another router behind a prefix, with their layers around them.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let ports = Router::new()
    ///     .get("/", |request: &mut Request| request.param("device").map(|device| format!("ports of {device}")))
    ///     .get("/{port}", |request: &mut Request| request.param("port").map(String::from));
    /// let router = Router::new().nest("/devices/{device}/ports", ports);
    /// assert_eq!(router.call(&mut Request::get("/devices/pump/ports")).into_bytes().unwrap(), b"ports of pump");
    /// assert_eq!(router.call(&mut Request::get("/devices/pump/ports/eth0")).into_bytes().unwrap(), b"eth0");
    /// ```
    ///
    /// The prefix may have parameters, and handlers see the whole path. The pattern `/` of the nested router is the prefix as it is
    /// written: under `/api` it answers `/api`, and under `/api/` it answers `/api/`. A [`folder`](Router::folder) at `/` answers
    /// `/api/` and below, and redirects `/api` there.
    ///
    /// Whatever becomes a router can be nested: with the feature `proxy` a `Proxy`, for a backend below the prefix.
    ///
    /// A prefix that is no path of whole segments, such as `api`, `/` or `/{*rest}`, is a fault, which [`check`](Router::check)
    /// reports; so is a route that both routers have, or that has other parameter names than the same pattern before.
    pub fn nest(self, prefix: &str, router: impl Into<Router>) -> Router {
        self.nest_router(prefix, router.into())
    }

    /// This method is not generic, so that a program holds its code once.
    fn nest_router(mut self, prefix: &str, router: Router) -> Router {
        match tree::check_prefix(prefix) {
            Ok(()) => self.absorb(Some(prefix), router),
            Err(fault) => self.note(&format!("nest {prefix}"), fault),
        }
        self
    }

    fn absorb(&mut self, prefix: Option<&str>, router: Router) {
        self.fault = self.fault.take().or(router.fault);
        let Router { routes, fault } = self;
        routes.absorb(prefix, router.routes, &mut |route, clause| {
            fault.get_or_insert_with(|| Error::Route { route: route.to_string(), fault: clause });
        });
    }

    /// This method is not generic, so that a program holds its code once.
    fn add(&mut self, method: Option<Method>, pattern: &str, handler: Stored) {
        self.add_route(method, pattern, false, handler);
    }

    fn add_route(&mut self, method: Option<Method>, pattern: &str, folder: bool, handler: Stored) {
        let name = method.clone();
        if let Err(fault) = self.routes.add(method, pattern, folder, handler) {
            self.note(&routes::shown(name.as_ref(), pattern), fault);
        }
    }

    /// Answers GET on this path with an OpenAPI 3.1 document (`application/json`) of all routes that are declared by now, those of
    /// nested and merged routers among them; so this comes last. [`OpenApi`] has an example, and says what is left out. The document's
    /// own path is not in it.
    ///
    /// Without this call no document is there. With it, everybody who may read that path learns which routes there are: put it behind
    /// the [layer](Router::with) that guards them.
    pub fn openapi(self, pattern: &str, api: OpenApi) -> Router {
        let mut faults = Vec::new();
        let document = api.document(&self.routes.declared(), &mut |method, pattern, why| {
            faults.push((format!("{method} {pattern}"), why));
        });
        let document = document.to_string().into_bytes();
        let mut router = self.get(pattern, move |_: &mut Request<'_>| Response::json_bytes(document.clone()));
        for (route, fault) in faults {
            router.note(&route, fault);
        }
        router
    }

    /// Keeps a fault of what answers in it, if it is the first.
    #[cfg(feature = "proxy")]
    pub(crate) fn note_fault(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Keeps the first fault.
    fn note(&mut self, route: &str, fault: &'static str) {
        self.fault.get_or_insert_with(|| Error::Route { route: route.to_string(), fault });
    }

    /// All routes, in the order in which they were declared, those of nested and merged routers among them.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let api = Router::new().get("/{id}", |_: &mut Request| "one").post("/", |_: &mut Request| "new");
    /// let router = Router::new().get("/", |_: &mut Request| "page").nest("/api/sensors", api);
    /// let routes: Vec<_> =
    ///     router.routes().iter().map(|route| format!("{} {}", route.method().unwrap(), route.pattern())).collect();
    /// assert_eq!(routes, ["GET /", "GET /api/sensors/{id}", "POST /api/sensors"]);
    /// ```
    ///
    /// Fallbacks, and what the router answers by itself, are not among them.
    pub fn routes(&self) -> Vec<Route> {
        let listed = |(method, pattern): (Option<&Method>, &str)| Route {
            method: method.cloned(),
            pattern: pattern.to_string(),
        };
        self.routes.declared().into_iter().map(listed).collect()
    }

    /// The first pattern that cannot be served, limit that is out of its range, or fault of a nested or merged `Proxy`.
    pub fn check(&self) -> Result<(), &Error> {
        match &self.fault {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Answers a request as a server would, but without a server: routing, the handler, 404, 405, HEAD and OPTIONS, 400 for a
    /// path that is refused, and 500 for a handler that panics. A response to HEAD, and one with 204, 205 or 304, has no body.
    ///
    /// A fault of the handler is an error in the log. The program's panic hook also prints a panic, unlike in a running server.
    pub fn call(&self, request: &mut Request<'_>) -> Response {
        let method = request.method().clone();
        let response = self.answer(request, &mut |_, line| log::error!("{line}"));
        response.without_needless_content(&method)
    }

    /// Answers a request, with the body that the answer to GET has. `fault` gets the kind of each fault, and its log line.
    pub(crate) fn answer(
        &self,
        request: &mut Request<'_>,
        fault: &mut dyn FnMut(&'static str, String),
    ) -> Response {
        match self.routes.find(&request.method().clone(), request.raw_path()) {
            Found::Call(Matched { call, values, path }) => {
                let path = path.into_owned();
                request.set_path(path);
                let route = call.route().map_or(OnRoute::None, |route| OnRoute::Shared(route.clone()));
                request.set_params(Params { route, values });
                let response = call.run(request, Refusal::into_response);
                for Fault { what, text } in handler_call::faults() {
                    fault(what, told(request, &text));
                }
                if response.status.is_informational() && !response.switches() {
                    fault("a status that is not final", told(request, &not_final(response.status)));
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                } else {
                    response
                }
            }
            Found::Answer(response) => response,
            Found::Refused(refusal) => refusal.into_response(),
        }
    }

    /// Whether a handler, or a fallback, answers this method and this path, which is as it came.
    pub(crate) fn has_handler(&self, method: &Method, raw_path: &[u8]) -> bool {
        match self.routes.find(method, raw_path) {
            Found::Call(Matched { call, .. }) => !call.is_without_handler(),
            Found::Answer(_) | Found::Refused(_) => false,
        }
    }

    pub(crate) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("handlers", &self.routes.handlers()).finish_non_exhaustive()
    }
}

/// The fault of a handler that returns an interim status (1xx).
pub(crate) fn not_final(status: StatusCode) -> String {
    format!("answered with {status}, which is no final status; the client gets a 500")
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;

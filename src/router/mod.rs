//! Finds the handler for a method and a path. Knows requests and responses, and nothing of sockets, threads or TLS. The server
//! looks up each request's handler here, and tests call it without a server.

pub(crate) mod endpoint;
pub(crate) mod routes;

use ::http::{Method, StatusCode};

use crate::error::Error;
use crate::handler_call::{self, Fault};
use crate::http::folder::with_slash;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::Response;
use endpoint::{Endpoint, Handler};
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
    handlers: usize,
    fault: Option<Error>,
}

impl Router {
    /// A router without routes: it answers 404 to everything.
    pub fn new() -> Router {
        Router::default()
    }

    /// Answers GET, and also HEAD unless there is a handler for HEAD.
    pub fn get<R: IntoResponse>(
        self,
        pattern: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        self.route(Method::GET, pattern, handler)
    }

    /// Answers POST.
    pub fn post<R: IntoResponse>(
        self,
        pattern: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        self.route(Method::POST, pattern, handler)
    }

    /// Answers PUT.
    pub fn put<R: IntoResponse>(
        self,
        pattern: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        self.route(Method::PUT, pattern, handler)
    }

    /// Answers PATCH.
    pub fn patch<R: IntoResponse>(
        self,
        pattern: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        self.route(Method::PATCH, pattern, handler)
    }

    /// Answers DELETE.
    pub fn delete<R: IntoResponse>(
        self,
        pattern: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
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
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        self.add(method, pattern, endpoint::handler(handler));
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
    /// [`web::Files`](crate::web::Files) is a handler for it.
    pub fn folder<R: IntoResponse>(
        mut self,
        prefix: &str,
        handler: impl Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    ) -> Router {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            self.add(Method::GET, prefix, Box::new(|request| with_slash(request)));
        }
        let handler: Handler = Box::new(move |request| handler(request).into_response());
        self.add(Method::GET, &format!("{prefix}/{{*path}}"), handler);
        self.routes.let_rest_end_with_slash(prefix);
        self
    }

    /// This method is not generic, so that a program holds its code once.
    fn add(&mut self, method: Method, pattern: &str, handler: Handler) {
        match self.routes.insert(&method, pattern, Endpoint { handler, index: self.handlers }) {
            Ok(()) => self.handlers += 1,
            Err(fault) => {
                self.fault.get_or_insert(Error::Route { route: format!("{method} {pattern}"), fault });
            }
        }
    }

    /// The first pattern that cannot be served, if there is one.
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
        let response = match self.routes.find(&method, request.raw_path()) {
            Found::Handler(Matched { endpoint, params, path }) => {
                let path = path.into_owned();
                request.set_path(path);
                request.set_params(params);
                let response = endpoint.call(request);
                for Fault { text, .. } in handler_call::faults() {
                    log::error!("{}", told(request, &text));
                }
                if response.status.is_informational() {
                    log::error!("{}", told(request, &not_final(response.status)));
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                } else {
                    response
                }
            }
            Found::Answer(response) => response,
            Found::Refused(refusal) => refusal.into_response(),
        };
        response.without_needless_content(&method)
    }

    /// The number of handlers. Their indices are below it.
    pub(crate) fn handlers(&self) -> usize {
        self.handlers
    }

    pub(crate) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

/// The log line about a handler that failed. The path stands as it came, in ASCII.
pub(crate) fn told(request: &Request<'_>, text: &str) -> String {
    let (method, path) = (request.method(), String::from_utf8_lossy(request.raw_path()));
    format!("the handler of {method} {path} {text}")
}

/// The fault of a handler that returns an interim status (1xx).
pub(crate) fn not_final(status: StatusCode) -> String {
    format!("answered with {status}, which is no final status; the client gets a 500")
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new()
            .get("/", |_: &mut Request| "root")
            .get("/api/data", |_: &mut Request| "data")
            .post("/api/data", |_: &mut Request| StatusCode::CREATED)
            .get("/api/{name}", |r: &mut Request| Some(format!("name {}", r.param("name")?)))
            .get("/api/{name}/{part}", |r: &mut Request| {
                Some(format!("{} {}", r.param("name")?, r.param("part")?))
            })
            .get("/api/data/special", |_: &mut Request| "special")
            .get("/files/{*path}", |r: &mut Request| Some(format!("file {}", r.param("path")?)))
            .route(Method::from_bytes(b"PURGE").unwrap(), "/cache", |_: &mut Request| ())
    }

    fn body(target: &str) -> String {
        let response = router().call(&mut Request::get(target));
        String::from_utf8(response.into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn the_most_particular_pattern_answers() {
        for (target, expected) in [
            ("/", "root"),
            ("/api/data", "data"),
            ("/api/data?x=1", "data"),
            ("/api/%64ata", "data"),
            ("/api/other", "name other"),
            ("/api/a%20b", "name a b"),
            ("/api/data/special", "special"),
            ("/api/data/x", "data x"),
            ("/files/", "file "),
            ("/files/a/b", "file a/b"),
        ] {
            assert_eq!(body(target), expected, "{target}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused_as_they_should_be() {
        let call = |method: &str, target: &str| {
            let response =
                router().call(&mut Request::new(Method::from_bytes(method.as_bytes()).unwrap(), target));
            let allow = response.header("allow").map(|value| value.to_str().unwrap().to_string());
            (response.status().as_u16(), allow)
        };
        let some = |text: &str| Some(text.to_string());
        for target in
            ["/nothing", "/api", "/api/", "/api/data/", "/api//x", "/files", "/api/a/b/c", "/API/data"]
        {
            assert_eq!(call("GET", target), (404, None), "{target}");
        }
        assert_eq!(call("DELETE", "/api/data"), (405, some("GET, POST, HEAD, OPTIONS")));
        assert_eq!(call("HEAD", "/api/data"), (200, None));
        assert_eq!(call("HEAD", "/cache"), (405, some("PURGE, OPTIONS")));
        assert_eq!(call("OPTIONS", "/api/data"), (204, some("GET, POST, HEAD, OPTIONS")));
        assert_eq!(call("OPTIONS", "*").0, 204);
        assert_eq!(call("PURGE", "/cache"), (204, None));
        assert_eq!(call("PURGE", "/"), (405, some("GET, HEAD, OPTIONS")));
        assert_eq!(call("BREW", "/"), (501, None));
    }

    #[test]
    fn a_call_without_a_server_gives_what_a_server_sends() {
        let status = |number: u16| StatusCode::from_u16(number).unwrap();
        let router = Router::new()
            .get("/", |_: &mut Request| "root")
            .get("/status/{number}", move |r: &mut Request| -> Result<_, Error> {
                Ok((status(r.param_as("number")?), "content"))
            })
            .get("/panics", |_: &mut Request| -> &'static str { panic!("as the test wants it") })
            .get("/{*rest}", |_: &mut Request| "rest");
        let call = |method: Method, target: &str| {
            let response = router.call(&mut Request::new(method, target));
            let status = response.status().as_u16();
            (status, String::from_utf8(response.into_bytes().unwrap()).unwrap())
        };
        let nothing = |status| (status, String::new());
        assert_eq!(call(Method::GET, "/"), (200, "root".into()));
        assert_eq!(call(Method::HEAD, "/"), nothing(200));
        assert_eq!(call(Method::HEAD, "/status/404"), nothing(404));
        for status in [204, 205, 304] {
            assert_eq!(call(Method::GET, &format!("/status/{status}")), nothing(status));
        }
        assert_eq!(call(Method::GET, "/status/202"), (202, "content".into()));
        for (target, status) in [
            ("/panics", 500),
            ("/status/100", 500),
            ("/status/103", 500),
            ("/%zz", 400),
            ("/a%2Fb", 400),
            ("/a/../b", 400),
        ] {
            assert_eq!(call(Method::GET, target).0, status, "{target}");
        }
        assert_eq!(call(Method::HEAD, "/panics"), nothing(500));
    }

    #[test]
    fn a_pattern_that_cannot_be_served_is_named() {
        for pattern in [
            "x",
            "/a{b}",
            "/{b",
            "/{}",
            "/{*a}/b",
            "/{a}/{a}",
            "/a/../b",
            "/api/{other}",
            "/api/{name%2F}",
            "/{a%2f}",
            "/{%2F}",
        ] {
            let fault = router().get(pattern, |_: &mut Request| "").check().unwrap_err().to_string();
            assert!(fault.contains(&format!("GET {pattern}")), "{fault}");
        }
        assert!(router().get("/", |_: &mut Request| "").check().is_err());
        assert!(router().check().is_ok());
    }
}

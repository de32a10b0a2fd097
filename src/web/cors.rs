//! Cross-origin requests (CORS, WHATWG Fetch §3.3): which pages of other origins may read what this server answers. Knows
//! requests and responses. It is used as a layer, and for the answers that the server makes itself.

use std::fmt;
use std::time::Duration;

use ::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::origin::{wrong, Null, Origin, Origins};
use super::vary;
use crate::error::Error;
use crate::http::layer::{Layer, Next};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::seen::{ResponseHead, Seen};

const SETTING: &str = "cors";

/// Private Network Access (WICG): asked for by older versions of Chrome, before a public page's request to a private address.
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Which pages of other origins may read what this server answers (CORS, WHATWG Fetch §3.3).
///
/// ```
/// use lockgate::web::Cors;
/// use lockgate::{Error, Request, Router};
///
/// fn routes() -> Result<Router, Error> {
///     let cors = Cors::new(["https://app.example"])?.expose(["etag"])?;
///     Ok(Router::new().get("/api/readings", |_: &mut Request| "21.5").with(cors))
/// }
///
/// let router = routes().unwrap();
/// let response = router.call(&mut Request::get("/api/readings").with_header("origin", "https://app.example"));
/// assert_eq!(response.header("access-control-allow-origin").unwrap(), "https://app.example");
/// assert_eq!(response.header("vary").unwrap(), "origin");
/// // Another port is another origin.
/// let response = router.call(&mut Request::get("/api/readings").with_header("origin", "https://app.example:8443"));
/// assert!(response.header("access-control-allow-origin").is_none());
/// ```
///
/// Origins are named as browsers write them, and compared byte by byte, scheme and port included. An origin that cannot be,
/// such as one with a slash at its end, is an error that says how it is written.
///
/// A preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) from a named origin is answered at once, with
/// 204: no handler and no layer further inside sees it, so put this layer around the one that asks for a login, because
/// browsers send no credentials with a preflight. The answer also lets pages of the origin reach a private address (Private
/// Network Access), for which older versions of Chrome ask here. All other requests go on. The origin is not a guard: a request from an
/// origin that is not named is answered too, and the browser keeps the answer from the page.
/// [`FetchMetadata`](super::FetchMetadata) keeps such requests out.
///
/// Every answer gets `Vary: origin`, so that no cache gives one origin the answer for another; errors get the fields too, so
/// that a page can read why its request failed. With [`add_to`](Cors::add_to) also the answers that the server makes before it
/// looks for a route have them, such as 431, and 503 when it is busy.
#[derive(Clone)]
#[must_use = "`Router::with` puts it around the routes"]
pub struct Cors {
    who: Who,
    methods: HeaderValue,
    request_fields: HeaderValue,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// Who may read.
#[derive(Debug, Clone)]
enum Who {
    Anybody,
    Named(Origins),
    /// With cookies and other credentials of the browser.
    Trusted(Origins),
}

impl Cors {
    /// Pages of these origins may read, without cookies and client certificates. A page that knows a token can send it:
    /// `Authorization` is among the fields that a request may have.
    ///
    /// Scripts in sandboxed frames and in files have the origin `null`, which anybody can have; it may be named here.
    ///
    /// # Errors
    /// [`Error::Setting`]: there is no origin, or one is not written as browsers write it.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Cors, Error> {
        Ok(Cors::of(Who::Named(Origins::named(SETTING, Null::Allowed, origins)?)))
    }

    /// As [`new`](Cors::new), and the browser sends cookies and client certificates along
    /// (`Access-Control-Allow-Credentials`). So these origins can do whatever the user may do. An origin with `http://` can be
    /// forged by everybody on the way.
    ///
    /// Cookies with `SameSite=Strict` or `Lax`, as [`Cookie`](super::Cookie) sets them, are sent from pages of the same site
    /// only: of another host of the domain, or another port.
    ///
    /// # Errors
    /// As [`new`](Cors::new), and for `null`.
    pub fn with_credentials<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Cors, Error> {
        Ok(Cors::of(Who::Trusted(Origins::named(SETTING, Null::Refused, origins)?)))
    }

    /// Any page may read (`Access-Control-Allow-Origin: *`), by GET and HEAD, and never with credentials. For what is public:
    /// with it, any page that a user visits reads this from a device in the user's network, unless the browser asks the user
    /// first.
    pub fn public() -> Cors {
        let mut cors = Cors::of(Who::Anybody);
        cors.methods = HeaderValue::from_static("GET, HEAD");
        cors.request_fields = HeaderValue::from_static("if-none-match, range");
        cors
    }

    fn of(who: Who) -> Cors {
        Cors {
            who,
            methods: HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
            request_fields: HeaderValue::from_static(
                "authorization, content-type, if-match, if-none-match, range",
            ),
            exposed: None,
            max_age: HeaderValue::from(7_200),
        }
    }

    /// The methods that a page may use (`Access-Control-Allow-Methods`). Browsers allow GET, HEAD and POST without it.
    /// Defaults to GET, HEAD, POST, PUT, PATCH and DELETE; a method that a route does not have gets its 405 as always.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Cors {
        let names: Vec<String> = methods.into_iter().map(|method| method.to_string()).collect();
        // A method is a token.
        self.methods = HeaderValue::try_from(names.join(", ")).unwrap_or(self.methods);
        self
    }

    /// The fields that a request may have beside those that browsers allow without it (`Access-Control-Allow-Headers`).
    /// Defaults to `Authorization`, `Content-Type`, `If-Match`, `If-None-Match` and `Range`, which these take the place of.
    ///
    /// # Errors
    /// [`Error::Setting`]: a name is no field's name, or is `*`.
    pub fn request_fields<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Cors, Error> {
        self.request_fields = field_names(names)?;
        Ok(self)
    }

    /// The fields of an answer that a page may read (`Access-Control-Expose-Headers`), beside `Cache-Control`,
    /// `Content-Language`, `Content-Length`, `Content-Type`, `Expires`, `Last-Modified` and `Pragma`. Defaults to none.
    ///
    /// # Errors
    /// [`Error::Setting`]: a name is no field's name, or is `*`.
    pub fn expose<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Result<Cors, Error> {
        let names = field_names(names)?;
        self.exposed = (!names.is_empty()).then_some(names);
        Ok(self)
    }

    /// How long a browser may use the answer to a preflight again, in whole seconds (`Access-Control-Max-Age`). Defaults to 2
    /// h, the most that Chrome does. With less than a second there is a preflight before each request.
    pub fn max_age(mut self, age: Duration) -> Cors {
        self.max_age = HeaderValue::from(age.as_secs());
        self
    }

    /// Adds the fields to an answer, for [`ServerBuilder::on_response`](crate::ServerBuilder::on_response). It adds what the layer
    /// adds, so both together do no harm; the layer answers preflights too.
    ///
    /// ```
    /// use lockgate::web::Cors;
    /// use lockgate::{Error, Router, Server, ServerBuilder};
    ///
    /// fn server(router: Router) -> Result<ServerBuilder, Error> {
    ///     let cors = Cors::new(["https://app.example"])?;
    ///     let router = router.with(cors.clone());
    ///     Ok(Server::builder(router).on_response(move |seen, response| cors.add_to(seen, response)))
    /// }
    /// # assert!(server(Router::new()).is_ok());
    /// ```
    ///
    /// To a request whose head could not be read, and whose `Origin` is not known, a single named origin gets the fields: the browser
    /// compares it with the page's.
    pub fn add_to(&self, seen: &Seen<'_>, response: &mut ResponseHead<'_>) {
        match Origin::seen(seen) {
            Some(origin) => self.add(origin, response.headers_mut()),
            None => self.add_unread(response.headers_mut()),
        }
    }

    /// The answer to a preflight from a named origin; `None` for any other request. It depends on `Origin` alone, however many
    /// fields the preflight names.
    fn preflight(&self, request: &Request<'_>) -> Option<Response> {
        let is_preflight = *request.method() == Method::OPTIONS
            && request.field_lines("access-control-request-method").next().is_some();
        let origin = Origin::of(request);
        if !is_preflight || origin == Origin::Absent {
            return None;
        }
        let allowed = self.allowed(origin)?;
        let mut response = Response::new(StatusCode::NO_CONTENT);
        let fields = response.headers_mut();
        self.grant(fields, allowed);
        fields.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.request_fields),
            (ACCESS_CONTROL_MAX_AGE, &self.max_age),
        ] {
            if !value.is_empty() {
                fields.insert(name, value.clone());
            }
        }
        if !matches!(self.who, Who::Anybody) {
            fields.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        self.vary(fields);
        Some(response)
    }

    /// Adds the fields for the request's origin.
    fn add(&self, origin: Origin<'_>, fields: &mut HeaderMap) {
        if let Some(allowed) = self.allowed(origin) {
            self.grant(fields, allowed);
        }
        self.vary(fields);
    }

    /// Adds the fields to an answer whose request could not be read. A single named origin gets them: the browser compares it with the page's.
    fn add_unread(&self, fields: &mut HeaderMap) {
        let allowed = match &self.who {
            Who::Anybody => Some(HeaderValue::from_static("*")),
            Who::Named(origins) | Who::Trusted(origins) => origins.only().cloned(),
        };
        if let Some(allowed) = allowed {
            self.grant(fields, allowed);
        }
        self.vary(fields);
    }

    /// The value of `Access-Control-Allow-Origin`.
    fn allowed(&self, origin: Origin<'_>) -> Option<HeaderValue> {
        match &self.who {
            Who::Anybody => Some(HeaderValue::from_static("*")),
            Who::Named(origins) | Who::Trusted(origins) => origins.find(origin).cloned(),
        }
    }

    /// Takes the place of fields that a handler or another layer has set: a browser refuses two.
    fn grant(&self, fields: &mut HeaderMap, allowed: HeaderValue) {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        match self.who {
            Who::Trusted(_) => {
                fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))
            }
            Who::Anybody | Who::Named(_) => fields.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS),
        };
        if let Some(exposed) = &self.exposed {
            fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn vary(&self, fields: &mut HeaderMap) {
        if !matches!(self.who, Who::Anybody) {
            vary::add(fields, "origin");
        }
    }
}

/// Names of fields, as a list.
fn field_names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<HeaderValue, Error> {
    let mut list = String::new();
    for name in names {
        let name = name.as_ref();
        if name == "*" {
            let fault = "\"*\": it does not stand for Authorization, and with credentials for nothing; name each field";
            return Err(wrong(SETTING, fault.into()));
        }
        let known = HeaderName::try_from(name).map_err(|_| {
            wrong(SETTING, format!("{name:?}: a field's name is letters, digits and hyphens"))
        })?;
        if !list.is_empty() {
            list += ", ";
        }
        list += known.as_str();
    }
    HeaderValue::try_from(list).map_err(|_| wrong(SETTING, "its fields cannot be listed".into()))
}

impl Layer for Cors {
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        if let Some(response) = self.preflight(request) {
            return response;
        }
        let mut response = next.run(request);
        self.add_to(&Seen::of(request), &mut ResponseHead::of(&mut response));
        response
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors").field("who", &self.who).field("methods", &self.methods).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example";
    const PORT: &str = "https://app.example:8443";

    fn request(method: Method, fields: &[(&str, &str)]) -> Request<'static> {
        fields
            .iter()
            .fold(Request::new(method, "/"), |request, (name, value)| request.with_header(name, value))
    }

    fn preflight<'f>(origin: &'f str, more: &[(&'f str, &'f str)]) -> Request<'static> {
        let asked = [("origin", origin), ("access-control-request-method", "PUT")];
        request(Method::OPTIONS, &[&asked[..], more].concat())
    }

    fn text(fields: &HeaderMap, name: &str) -> Option<String> {
        let values: Vec<_> = fields.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| value.to_string())
    }

    /// `Access-Control-Allow-Origin`, `Access-Control-Allow-Credentials` and `Vary`.
    fn given(cors: &Cors, origin: Option<&str>) -> (Option<String>, Option<String>, Option<String>) {
        let mut fields = HeaderMap::new();
        cors.add(origin.map_or(Origin::Absent, |origin| Origin::One(origin.as_bytes())), &mut fields);
        let [origin, credentials, vary] =
            ["access-control-allow-origin", "access-control-allow-credentials", "vary"]
                .map(|name| text(&fields, name));
        (origin, credentials, vary)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    #[test]
    fn every_answer_varies_by_origin_also_one_without_or_for_another() {
        let cors = Cors::new([APP, PORT]).unwrap();
        for origin in [APP, PORT] {
            assert_eq!(given(&cors, Some(origin)), (some(origin), None, some("origin")));
        }
        for origin in [
            None,
            Some("https://app.example:443"),
            Some("https://evil.example"),
            Some("null"),
            Some("*"),
            Some(""),
        ] {
            assert_eq!(given(&cors, origin), (None, None, some("origin")), "{origin:?}");
        }
    }

    #[test]
    fn credentials_go_to_named_origins_and_never_to_anybody() {
        let cors = Cors::with_credentials([APP]).unwrap();
        assert_eq!(given(&cors, Some(APP)), (some(APP), some("true"), some("origin")));
        assert_eq!(given(&cors, Some(PORT)), (None, None, some("origin")));
        for origin in ["*", "null", "https://*.example", "https://app.example/"] {
            assert!(Cors::with_credentials([APP, origin]).is_err(), "{origin}");
        }
        let cors = Cors::public();
        for origin in [None, Some(APP), Some("null")] {
            assert_eq!(given(&cors, origin), (some("*"), None, None), "{origin:?}");
        }
    }

    #[test]
    fn null_is_an_origin_only_if_it_is_named() {
        assert_eq!(given(&Cors::new([APP]).unwrap(), Some("null")).0, None);
        let cors = Cors::new([APP, "null"]).unwrap();
        assert_eq!(given(&cors, Some("null")), (some("null"), None, some("origin")));
    }

    #[test]
    fn what_a_handler_has_set_is_not_there_twice() {
        let mut fields = HeaderMap::new();
        fields.append(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        fields.append(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        fields.append("vary", HeaderValue::from_static("accept-encoding"));
        let cors = Cors::new([APP]).unwrap().expose(["ETag", "x-total"]).unwrap();
        for _twice in 0..2 {
            cors.add(Origin::One(APP.as_bytes()), &mut fields);
            assert_eq!(text(&fields, "access-control-allow-origin"), some(APP));
            assert_eq!(text(&fields, "access-control-allow-credentials"), None);
            assert_eq!(text(&fields, "access-control-expose-headers"), some("etag, x-total"));
            assert_eq!(text(&fields, "vary"), some("accept-encoding, origin"));
        }
    }

    #[test]
    fn a_preflight_says_what_a_request_may_be_and_for_how_long() {
        let cors = Cors::with_credentials([APP]).unwrap().expose(["etag"]).unwrap();
        let response = cors.preflight(&preflight(APP, &[])).unwrap();
        assert_eq!(response.status(), 204);
        let fields = response.headers();
        for (name, value) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
            ("access-control-allow-headers", "authorization, content-type, if-match, if-none-match, range"),
            ("access-control-max-age", "7200"),
            ("access-control-allow-private-network", "true"),
            ("vary", "origin"),
        ] {
            assert_eq!(text(fields, name), some(value), "{name}");
        }
        assert_eq!(fields.len(), 7, "{fields:?}");
        let cors = Cors::new([APP])
            .unwrap()
            .methods([Method::GET, Method::from_bytes(b"PURGE").unwrap()])
            .request_fields(["X-Token"])
            .unwrap()
            .max_age(Duration::from_millis(60_900));
        let response = cors.preflight(&preflight(APP, &[])).unwrap();
        for (name, value) in [
            ("access-control-allow-methods", "GET, PURGE"),
            ("access-control-allow-headers", "x-token"),
            ("access-control-max-age", "60"),
        ] {
            assert_eq!(text(response.headers(), name), some(value), "{name}");
        }
        assert_eq!(text(response.headers(), "access-control-allow-credentials"), None);
        let response = Cors::public().preflight(&preflight(APP, &[])).unwrap();
        assert_eq!(text(response.headers(), "access-control-allow-methods"), some("GET, HEAD"));
        assert_eq!(text(response.headers(), "access-control-allow-private-network"), None);
        assert_eq!(text(response.headers(), "vary"), None);
        let none = Cors::new([APP]).unwrap().request_fields([""; 0]).unwrap();
        assert_eq!(
            text(none.preflight(&preflight(APP, &[])).unwrap().headers(), "access-control-allow-headers"),
            None
        );
    }

    #[test]
    fn only_a_preflight_of_a_named_origin_is_answered_here() {
        let cors = Cors::new([APP]).unwrap();
        let asked = ("access-control-request-method", "GET");
        for fields in [
            &[][..],
            &[("origin", APP)],
            &[asked],
            &[("origin", "https://evil.example"), asked],
            &[("origin", "null"), asked],
            &[("origin", APP), ("origin", APP), asked],
        ] {
            assert!(cors.preflight(&request(Method::OPTIONS, fields)).is_none(), "{fields:?}");
        }
        for method in [Method::GET, Method::POST, Method::HEAD] {
            assert!(cors.preflight(&request(method, &[("origin", APP), asked])).is_none());
        }
        // Whatever a preflight asks for, the answer is the same: the browser compares.
        let long = ",".repeat(16_000);
        for more in [
            &[("access-control-request-headers", "content-type,x-other")][..],
            &[("access-control-request-headers", "")],
            &[("access-control-request-headers", &long), ("access-control-request-headers", &long)],
            &[("access-control-request-private-network", "true")],
            &[("access-control-request-credentials", "true")],
        ] {
            let response = cors.preflight(&preflight(APP, more)).unwrap();
            assert_eq!(response.headers(), cors.preflight(&preflight(APP, &[])).unwrap().headers());
        }
    }

    #[test]
    fn a_refusal_of_a_head_that_cannot_be_read_is_for_the_single_origin() {
        let seen = |cors: &Cors| {
            let mut fields = HeaderMap::new();
            cors.add_unread(&mut fields);
            (text(&fields, "access-control-allow-origin"), text(&fields, "access-control-allow-credentials"))
        };
        assert_eq!(seen(&Cors::new([APP]).unwrap()), (some(APP), None));
        assert_eq!(seen(&Cors::with_credentials([APP]).unwrap()), (some(APP), some("true")));
        assert_eq!(seen(&Cors::new([APP, PORT]).unwrap()), (None, None));
        assert_eq!(seen(&Cors::public()), (some("*"), None));
    }

    #[test]
    fn a_name_that_is_no_fields_is_an_error() {
        for name in ["", "*", "x y", "x:", "x\r\ny", "ü"] {
            let cors = || Cors::new([APP]).unwrap();
            assert!(
                cors().request_fields(["etag", name]).is_err() && cors().expose([name]).is_err(),
                "{name:?}"
            );
        }
    }
}

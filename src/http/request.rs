//! A request as a handler sees it: borrowed from the connection's buffer, or made by hand in a test.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use serde_core::Serialize;

use super::body::Body;
use super::origin::{Origin, Sender};
use super::params::{join_below, Params};
use super::request_head::{BodyLength, Line, Version};
use super::span::{Field, Span};
use super::target;
use crate::backports::Trim;
use crate::error::{BodyFault, Error, ParameterFault};
use crate::tls::ClientIdentity;

/// A request, as a handler gets it.
///
/// A handler can be tried without a socket: build a request with [`Request::get`], [`Request::post`] or
/// [`Request::new`] and give it to the handler, or to [`Router::call`](crate::Router::call).
///
/// ```
/// use lockgate::{Request, Router, StatusCode};
///
/// let router = Router::new().get("/hello/{name}", |request: &mut Request| {
///     request.param("name").map(|name| format!("Hello {name}"))
/// });
/// let response = router.call(&mut Request::get("/hello/world"));
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(response.into_bytes().unwrap(), b"Hello world");
/// ```
pub struct Request<'a> {
    pub(super) head: Cow<'a, [u8]>,
    pub(super) fields: Cow<'a, [Field]>,
    pub(super) line: Line,
    pub(super) path: Cow<'a, str>,
    pub(super) params: Params<'a>,
    headers: OnceCell<HeaderMap>,
    pub(super) body: Body<'a>,
    peer: Option<SocketAddr>,
    pub(super) client: Option<Arc<ClientIdentity>>,
    pub(crate) origin: Origin<'a>,
    extensions: Extensions,
}

impl<'a> Request<'a> {
    /// A GET request for a test. `target` is a path with an optional query, encoded as it would be on the wire.
    pub fn get(target: &str) -> Request<'static> {
        Request::new(Method::GET, target)
    }

    /// A POST request for a test; give it a body with [`with_body`](Request::with_body) or [`with_json`](Request::with_json).
    pub fn post(target: &str) -> Request<'static> {
        Request::new(Method::POST, target)
    }

    /// A request for a test, with any method. With a target that a server would refuse, no route serves the request.
    pub fn new(method: Method, target: &str) -> Request<'static> {
        let head = target.as_bytes().to_vec();
        let whole = Span { start: 0, end: head.len() as u32 };
        let parsed = target::Target::parse(&head, whole, &method).unwrap_or(target::Target {
            path: Span::default(),
            query: None,
            authority: None,
        });
        let path = target::decode_path(parsed.path.of(&head), target::EncodedSlash::Refused);
        let path = path.map(Cow::into_owned).unwrap_or_default();
        Request {
            line: Line {
                method,
                host: parsed.authority,
                target: parsed,
                version: Version::Http11,
                body: BodyLength::NONE,
                keep_alive: true,
                expects_continue: false,
            },
            head: Cow::Owned(head),
            fields: Cow::Owned(Vec::new()),
            path: Cow::Owned(path),
            params: Params::default(),
            headers: OnceCell::new(),
            body: Body::EMPTY,
            peer: None,
            client: None,
            origin: Origin::made(),
            extensions: Extensions::new(),
        }
    }

    /// The request that the server has read.
    pub(crate) fn from_wire(
        head: &'a [u8],
        fields: &'a [Field],
        line: Line,
        path: Cow<'a, str>,
        body: Body<'a>,
        sender: Sender<'a>,
    ) -> Request<'a> {
        Request {
            head: Cow::Borrowed(head),
            fields: Cow::Borrowed(fields),
            line,
            path,
            params: Params::default(),
            headers: OnceCell::new(),
            body,
            peer: Some(sender.peer),
            origin: sender.origin(),
            client: sender.client,
            extensions: Extensions::new(),
        }
    }

    /// Adds a field, for a test.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let head = self.head.to_mut();
        let mut append = |text: &str| {
            let start = head.len() as u32;
            head.extend_from_slice(text.as_bytes());
            Span { start, end: head.len() as u32 }
        };
        let field = Field { name: append(name), value: append(value) };
        self.fields.to_mut().push(field);
        self.headers = OnceCell::new();
        self
    }

    /// Sets the body, for a test.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Buffered { bytes: Cow::Owned(body.into()), read: 0 };
        self
    }

    /// Sets the body to `value` as JSON, and `Content-Type` with it, for a test.
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        self.with_header("content-type", "application/json").with_body(body)
    }

    /// Sets the address of the client, for a test.
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets who the client is, for a test.
    pub fn with_client(mut self, client: ClientIdentity) -> Self {
        self.client = Some(Arc::new(client));
        self
    }

    /// Puts a value into the request, as a layer would, for a test: see [`extensions`](Request::extensions).
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Marks the client as gone, for a test: [`client_is_gone`](Request::client_is_gone) then returns `true`.
    pub fn with_client_gone(mut self) -> Self {
        self.origin.lose_client();
        self
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.line.method
    }

    /// The path, percent-decoded, without the query: `/api/sensors/kitchen sink`. An encoded slash, which a route can accept
    /// (`{name%2F}`, see [`Router`](crate::Router)), stands here as a plain slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The pattern of the route that the path is on, as it was declared, behind the prefixes of the routers that it is nested in.
    /// Handlers and [layers](crate::Layer) see it; with it a program counts or times requests by route. `None` for a path that no
    /// route has, also in a [`fallback`](crate::Router::fallback). A 405 has the pattern of the path.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let sensors = Router::new().get("/{id}", |request: &mut Request| request.route().map(String::from));
    /// let router = Router::new().nest("/api/sensors", sensors);
    /// assert_eq!(router.call(&mut Request::get("/api/sensors/7")).into_bytes().unwrap(), b"/api/sensors/{id}");
    /// ```
    pub fn route(&self) -> Option<&str> {
        self.params.route().map(|route| &*route.pattern)
    }

    /// The value of a path parameter of the route, percent-decoded; for a trailing `{*rest}`, the rest of the path. `None` when
    /// the route has no parameter of this name. Only the value of `{*rest}` can be empty. No value begins with `/`, or has an
    /// empty segment or a dot segment. [`Request`] has an example.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(&self.path, name)
    }

    /// The value of a path parameter as a number, an address, or whatever else can be read from text.
    ///
    /// ```
    /// use lockgate::{Error, Request, Router};
    ///
    /// fn sensor(request: &mut Request) -> Result<String, Error> {
    ///     let id: u16 = request.param_as("id")?;
    ///     Ok(format!("sensor {id}"))
    /// }
    ///
    /// let router = Router::new().get("/sensors/{id}", sensor);
    /// assert_eq!(router.call(&mut Request::get("/sensors/7")).status(), 200);
    /// assert_eq!(router.call(&mut Request::get("/sensors/kitchen")).status(), 404);
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`], which answers with 404: the value cannot be read as a `T`, or the route has no parameter of this
    /// name. The latter is a fault of the program, so the log gets an error too.
    pub fn param_as<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        self.known_param(name)?.parse().map_err(|_| parameter_fault(name, ParameterFault::Type))
    }

    /// The file or folder that a path parameter names below `root`: `root` itself when the value is empty.
    ///
    /// ```
    /// use lockgate::{Error, Request, Router};
    ///
    /// fn page(request: &mut Request) -> Result<Option<Vec<u8>>, Error> {
    ///     let path = request.param_under("path", "/srv/www")?;
    ///     Ok(std::fs::read(path).ok()) // 404 when it cannot be read; with `?` it would be 500
    /// }
    ///
    /// let router = Router::new().get("/files/{*path}", page);
    /// # assert_eq!(router.call(&mut Request::get("/files//etc/passwd")).status(), 404);
    /// # assert_eq!(router.call(&mut Request::get("/files/none")).status(), 404);
    /// ```
    ///
    /// The path is only joined: no file is looked up. So the code that opens the path follows symbolic links below `root`, also
    /// out of it. Keep links that leave `root` out of it, or compare [`canonicalize`](std::fs::canonicalize)d paths.
    ///
    /// # Errors
    /// [`Error::Parameter`], which answers with 404: the value is absolute or has a segment that is empty, `.` or `..`, that
    /// holds a backslash or NUL, or that begins with a drive letter (`C:`); or the route has no parameter of this name.
    pub fn param_under(&self, name: &str, root: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let value = self.known_param(name)?;
        join_below(root.as_ref(), value).ok_or_else(|| parameter_fault(name, ParameterFault::LeavesRoot))
    }

    fn known_param(&self, name: &str) -> Result<&str, Error> {
        self.param(name).ok_or_else(|| parameter_fault(name, ParameterFault::Unknown))
    }

    /// The value of the first query parameter of this name, decoded; `Some("")` when it is there without a value.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All query parameters in their order, decoded as browsers encode them (WHATWG URL,
    /// application/x-www-form-urlencoded): `+` is a space.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        target::query_pairs(self.line.target.query.map(|span| span.of(&self.head)).unwrap_or_default())
    }

    /// The value of the first field of this name, if it is UTF-8. The case of names does not matter. Each call searches the
    /// head; for many look-ups, or for values that are not UTF-8, use [`headers`](Request::headers).
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self
            .fields
            .iter()
            .find(|field| field.name.of(&self.head).eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(field.value.of(&self.head)).ok()
    }

    /// The values of all fields of this name, in their order, as bytes.
    pub(crate) fn field_lines<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        let (head, fields): (&'r [u8], &'r [Field]) = (&self.head, &self.fields);
        let is_it = move |field: &&Field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(is_it).map(move |field| field.value.of(head))
    }

    /// All fields, as a map. The first call builds it.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| {
            let mut map = HeaderMap::with_capacity(self.fields.len());
            for field in self.fields.iter() {
                let name = HeaderName::from_bytes(field.name.of(&self.head));
                let value = HeaderValue::from_bytes(field.value.of(&self.head));
                if let (Ok(name), Ok(value)) = (name, value) {
                    map.append(name, value);
                }
            }
            map
        })
    }

    /// The host that the request is for, without its port: from an absolute target, else from `Host`. `None` in a request
    /// made by hand, and in HTTP/1.0 without `Host`.
    pub fn host(&self) -> Option<&str> {
        self.line.host.and_then(|authority| std::str::from_utf8(authority.host.of(&self.head)).ok())
    }

    /// The address of the client: the other end of the connection. `None` in a request made by hand
    /// [without one](Request::with_peer).
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's identity, from its verified certificate. `None` when the server asks for no certificates (see
    /// [`ClientAuth`](crate::ClientAuth)), when they are optional and the client has shown none, and in a request made by hand
    /// [without one](Request::with_client).
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.client.as_deref()
    }

    /// What the TLS handshake of this request's connection has agreed on. `None` over plain HTTP, and in a request made by hand.
    /// Only with the feature `tls-parameters`, without which connections do not keep it.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let router = Router::new()
    ///     .get("/api/cipher", |request: &mut Request| request.tls().map(|tls| tls.cipher_suite()));
    /// # assert_eq!(router.call(&mut Request::get("/api/cipher")).status(), 404);
    /// ```
    #[cfg(feature = "tls-parameters")]
    pub fn tls(&self) -> Option<crate::tls::TlsParameters> {
        let Origin::Server(server, ..) = &self.origin else { return None };
        server.tls()
    }

    /// The program's own values in this request: at most one of each type. What comes before the handler puts them in with
    /// [`extensions_mut`](Request::extensions_mut), and the handler finds them.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// /// Who is logged in.
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// fn greet(request: &mut Request) -> Option<String> {
    ///     let user = request.extensions().get::<User>()?; // 404 when nobody is
    ///     Some(format!("Hello {}", user.0))
    /// }
    ///
    /// let router = Router::new().get("/hello", greet);
    /// let mut request = Request::get("/hello").with_extension(User("Ada".to_string()));
    /// assert_eq!(router.call(&mut request).into_bytes().unwrap(), b"Hello Ada");
    /// ```
    ///
    /// They are dropped when the handler has returned, before the answer is sent, also after a panic; so the next request of the
    /// connection begins without any. A reader of a streamed response gets what it needs from the handler. A request without
    /// values takes no memory for them. The type has to be [`Clone`]; give what cannot be cloned in an [`Arc`]. Values for the
    /// whole program belong into the closures of the handlers: see [`Router`](crate::Router).
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The program's own values in this request, to be changed.
    ///
    /// ```
    /// let mut request = lockgate::Request::get("/");
    /// request.extensions_mut().insert(7_u8);
    /// assert_eq!(request.extensions_mut().insert(8_u8), Some(7)); // of the same type
    /// assert_eq!(request.extensions().get::<u8>(), Some(&8));
    /// ```
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// Whether the client is gone: its connection is reset, or broken in another way, so that nobody will read the answer. A
    /// handler that works for long may ask now and then, and stop. A call costs a lock and no system call. The server learns of
    /// a reset as soon as the system does. A client that has only closed its sending side (a half-closed connection) is not
    /// gone. Always `false` in a request made by hand, except after [`with_client_gone`](Request::with_client_gone).
    ///
    /// ```
    /// use lockgate::{Request, StatusCode};
    ///
    /// fn measure(request: &mut Request) -> StatusCode {
    ///     for _sample in 0..100 {
    ///         if request.client_is_gone() {
    ///             break; // nobody waits for the result
    ///         }
    ///     }
    ///     StatusCode::OK
    /// }
    /// # assert_eq!(measure(&mut Request::get("/").with_client_gone()), StatusCode::OK);
    /// ```
    ///
    /// `false` does not prove that the client still waits. A client that closes its connection normally, as curl, Node and
    /// Python do when they give up, looks half-closed until the server sends something. A client that has lost its network
    /// looks connected. Where that matters, let a [streamed response](crate::Response::reader) send something now and then: a
    /// client that has closed answers with a reset, and the reader is dropped.
    pub fn client_is_gone(&self) -> bool {
        match &self.origin {
            Origin::Server(server, ..) => server.client_is_gone(),
            Origin::Made(made) => made.client_is_gone,
        }
    }

    /// The body, to be read piece by piece. A body of up to [`Limits::body_buffer_bytes`](crate::Limits::body_buffer_bytes) is
    /// in memory before the handler is called. A larger body is read from the connection, and reading it may block until
    /// [`Limits::body_timeout`](crate::Limits::body_timeout). With `?` its errors become [`Error::Body`].
    pub fn body(&mut self) -> &mut dyn Read {
        &mut self.body
    }

    /// The whole body, at most [`Limits::body_bytes`](crate::Limits::body_bytes).
    ///
    /// # Errors
    /// [`Error::Body`]: 415 with `Accept-Encoding: identity` when the body comes in a content coding such as gzip (RFC 9110
    /// §8.4; [`body`](Request::body) gives the coded bytes), 413 when it is too large, 408 when it comes too slowly, 400 when
    /// it is cut short or its framing is broken.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        self.check_content_coding()?;
        match &mut self.body {
            Body::Buffered { bytes: Cow::Owned(bytes), read: 0 } => Ok(std::mem::take(bytes)),
            body => body.read_whole(),
        }
    }

    /// All of the body that has not been read yet, if it has no more than `most` bytes; borrowed where it is in memory.
    pub(crate) fn rest_of_body(&mut self, most: u64) -> Result<Cow<'_, [u8]>, Error> {
        let promised = match self.line.body {
            BodyLength::Fixed(length) => length,
            BodyLength::Chunked => 0,
        };
        self.body.read_text(most, promised).map_err(Error::Body)
    }

    /// Refuses a coded body, because nothing here decodes it.
    pub(crate) fn check_content_coding(&self) -> Result<(), Error> {
        let lines = self.field_lines("content-encoding");
        let codings = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(Trim::trimmed);
        for coding in codings {
            if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
                return Err(Error::Body(BodyFault::ContentCoding));
            }
        }
        Ok(())
    }

    /// How much of the body is in memory.
    pub(crate) fn bytes_in_memory(&self) -> u64 {
        self.body.bytes_in_memory()
    }

    /// Puts a body in the place of what is left of the request's own.
    pub(crate) fn replace_body(&mut self, body: Vec<u8>) {
        self.body = Body::Buffered { bytes: Cow::Owned(body), read: 0 };
    }

    pub(crate) fn origin(&self) -> &Origin<'a> {
        &self.origin
    }

    #[cfg(feature = "websocket")]
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    pub(crate) fn set_params(&mut self, params: Params<'a>) {
        self.params = params;
    }

    /// The path as it came, percent-encoded.
    pub(crate) fn raw_path(&self) -> &[u8] {
        self.line.target.path.of(&self.head)
    }

    /// What follows the first `?` of the target, as it came.
    pub(crate) fn raw_query(&self) -> Option<&[u8]> {
        self.line.target.query.map(|query| query.of(&self.head))
    }

    /// Sets the path that the parameters stand in.
    pub(crate) fn set_path(&mut self, path: String) {
        self.path = Cow::Owned(path);
    }
}

fn parameter_fault(name: &str, fault: ParameterFault) -> Error {
    Error::Parameter { name: name.to_string(), fault }
}

impl fmt::Debug for Request<'_> {
    /// Shows method and path, but never fields or body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_empty_parameter_is_the_root_itself() {
        let empty = crate::Router::new().get("/{*path}", |request: &mut Request| -> Result<String, Error> {
            Ok(request.param_under("path", "/srv")?.display().to_string())
        });
        assert_eq!(empty.call(&mut Request::get("/")).into_bytes().unwrap(), b"/srv");
    }

    #[test]
    fn fields_are_found_whatever_their_case_and_may_be_bytes() {
        let request = Request::get("/").with_header("X-Name", "a").with_header("x-name", "b");
        assert_eq!(request.header("X-NAME"), Some("a"));
        assert_eq!(request.headers().get_all("x-name").iter().count(), 2);
    }

    #[test]
    fn a_target_that_a_server_refuses_is_on_no_route() {
        let router = crate::Router::new().get("/{*all}", |_: &mut Request| "served");
        assert_eq!(router.call(&mut Request::get("/a")).status(), 200);
        for target in ["x/a", "//a", "/a#b", "/ä", "http://h", "*", ""] {
            assert_eq!(router.call(&mut Request::get(target)).status(), 404, "{target}");
        }
    }

    #[test]
    fn a_test_says_who_the_client_is() {
        let certificate = rcgen::generate_simple_self_signed(["pump.example".to_string()]).unwrap().cert;
        let client = ClientIdentity::from_pem(certificate.pem().as_bytes()).unwrap();
        let router = crate::Router::new().get("/", |request: &mut Request| match request.client() {
            Some(client) => client.dns_names().join(" "),
            None => "nobody".to_string(),
        });
        let answer = |mut request: Request| router.call(&mut request).into_bytes().unwrap();
        assert_eq!(answer(Request::get("/").with_client(client)), b"pump.example");
        assert_eq!(answer(Request::get("/")), b"nobody");
    }

    #[test]
    fn a_fault_of_the_body_comes_out_of_read_as_itself() {
        struct Late;
        impl Read for Late {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(BodyFault::TooLarge { limit: 5 }.into())
            }
        }
        impl crate::http::body::Source for Late {
            fn cover(&mut self, _: usize) -> bool {
                true
            }
        }
        let mut late = Late;
        let mut request = Request { body: Body::Streaming(&mut late), ..Request::post("/") };
        assert!(matches!(request.bytes(), Err(Error::Body(BodyFault::TooLarge { limit: 5 }))));
    }
}

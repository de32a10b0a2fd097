//! What the program's `on_response` gets: the request as far as it is known, and the head of its answer, to be changed. Knows no
//! socket and no server. The server calls the program with these, and a layer can make them of what it has.

use std::fmt;
use std::net::SocketAddr;

use ::http::header::CONTENT_TYPE;
use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::request::Request;
use super::request_head;
use super::response::{checked, Response};
use super::span::Field;
#[cfg(feature = "operations")]
use crate::operations::forwarded::Forwarded;
#[cfg(feature = "operations")]
use crate::operations::in_front::InFront;
#[cfg(feature = "operations")]
use crate::operations::proxy_protocol::ProxyHeader;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::tls::ClientIdentity;

/// A request, as far as it is known when it is answered: for
/// [`ServerBuilder::on_response`](crate::ServerBuilder::on_response). Of a request that the server has refused by itself, less may
/// be known: its head may be malformed, or may not have come whole.
pub struct Seen<'s> {
    pub(crate) method: Option<Method>,
    pub(crate) path: Option<&'s [u8]>,
    pub(crate) route: SeenRoute<'s>,
    pub(crate) fields: Fields<'s>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) client: Option<&'s ClientIdentity>,
    pub(crate) extensions: &'s Extensions,
    #[cfg(feature = "operations")]
    pub(crate) in_front: Option<&'s InFront>,
    #[cfg(feature = "operations")]
    pub(crate) id: &'s RequestId,
}

/// The route of a request.
pub(crate) enum SeenRoute<'s> {
    Known(Option<&'s str>),
    /// It is looked for when the program asks.
    Find(&'s dyn Fn() -> Option<&'s str>),
}

/// The fields of a request.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'s> {
    /// They were read from these bytes.
    Read(&'s [u8], &'s [Field]),
    /// A head, or the beginning of one, that could not be read.
    Unread(&'s [u8]),
}

impl<'s> Seen<'s> {
    /// What is known of this request: for a [layer](crate::Layer) or a test that calls the same function as the server.
    ///
    /// ```
    /// use lockgate::{Next, Request, Response, ResponseHead, Router, Seen};
    ///
    /// fn no_store(seen: &Seen, response: &mut ResponseHead) {
    ///     if seen.route() != Some("/logo.svg") {
    ///         response.set_header("cache-control", "no-store");
    ///     }
    /// }
    ///
    /// fn layer(request: &mut Request, next: Next) -> Response {
    ///     let mut response = next.run(request);
    ///     no_store(&Seen::of(request), &mut ResponseHead::of(&mut response));
    ///     response
    /// }
    ///
    /// let router = Router::new().with(layer).get("/logo.svg", |_: &mut Request| "<svg/>");
    /// assert!(router.call(&mut Request::get("/logo.svg")).header("cache-control").is_none());
    /// assert!(router.call(&mut Request::get("/none")).header("cache-control").is_some());
    /// ```
    pub fn of(request: &'s Request<'_>) -> Seen<'s> {
        Seen {
            method: Some(request.method().clone()),
            path: Some(request.raw_path()),
            route: SeenRoute::Known(request.route()),
            fields: Fields::Read(&request.head, &request.fields),
            peer: request.peer(),
            client: request.client(),
            extensions: request.extensions(),
            #[cfg(feature = "operations")]
            in_front: request.origin().in_front().map(|in_front| &**in_front),
            #[cfg(feature = "operations")]
            id: request.origin().id(),
        }
    }

    /// The method. `None` when the request line could not be read.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The path as it came: percent-encoded, without the query, which may hold secrets. `None` when the request line could not be
    /// read.
    pub fn path(&self) -> Option<&'s str> {
        std::str::from_utf8(self.path?).ok()
    }

    /// The pattern of the route that the path is on, as [`Request::route`](crate::Request::route), whether the request came to its
    /// handler or not.
    pub fn route(&self) -> Option<&'s str> {
        match &self.route {
            SeenRoute::Known(route) => *route,
            SeenRoute::Find(find) => find(),
        }
    }

    /// The value of the first field of this name, if it is UTF-8. The case of names does not matter. Also of a head that could not
    /// be read, or has not come whole: of its whole lines, so that the answer is readable for a page of another origin (CORS).
    pub fn header(&self, name: &str) -> Option<&'s str> {
        let value = match self.fields {
            Fields::Read(head, fields) => {
                let is_it = |field: &&Field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes());
                fields.iter().find(is_it)?.value.of(head)
            }
            Fields::Unread(head) => request_head::unread_field(head, name)?,
        };
        std::str::from_utf8(value).ok()
    }

    /// The address of the client. `None` in a request made by hand.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's identity, from its verified certificate, as [`Request::client`](crate::Request::client).
    pub fn client(&self) -> Option<&'s ClientIdentity> {
        self.client
    }

    /// The id of the request, as [`Request::id`](crate::Request::id).
    #[cfg(feature = "operations")]
    pub fn id(&self) -> &'s RequestId {
        self.id
    }

    /// What a balancer has said of the connection, as [`Request::proxy_header`](crate::Request::proxy_header).
    #[cfg(feature = "operations")]
    pub fn proxy_header(&self) -> Option<&'s ProxyHeader> {
        self.in_front?.header.as_deref()
    }

    /// What trusted proxies have said of the client, as [`Request::forwarded`](crate::Request::forwarded).
    #[cfg(feature = "operations")]
    pub fn forwarded(&self) -> Option<&'s Forwarded> {
        self.in_front?.forwarded.as_ref()
    }

    /// The values that the program has put into the request, as [`Request::extensions`](crate::Request::extensions). None for a
    /// request that no handler was called for.
    pub fn extensions(&self) -> &'s Extensions {
        self.extensions
    }
}

impl fmt::Debug for Seen<'_> {
    /// Shows no field, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("method", &self.method)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// The head of a response, for [`ServerBuilder::on_response`](crate::ServerBuilder::on_response): its status, and its fields, which
/// can be changed. The body and the status stay, and with them the framing: the server writes `Content-Length`,
/// `Transfer-Encoding`, `Connection` and `Keep-Alive` itself, and ignores them here, except `Connection: close`.
pub struct ResponseHead<'r>(&'r mut Response);

impl<'r> ResponseHead<'r> {
    /// The head of this response: for a [layer](crate::Layer) or a test that calls the same function as the server. [`Seen::of`] has
    /// an example.
    pub fn of(response: &'r mut Response) -> ResponseHead<'r> {
        ResponseHead(response)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The value of the first field of this name that is set. Fields that lockgate adds later, such as `Date`, are not among them.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.0.header(name)
    }

    /// All fields that are set, as a map.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// All fields that are set, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    /// Sets a field, and replaces fields of the same name. A name or a value that HTTP does not allow (with a line break in it,
    /// say) is not set, and the log gets a line.
    pub fn set_header<N, V>(&mut self, name: N, value: V)
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        if let Some((name, value)) = checked(name, value) {
            self.0.headers_mut().insert(name, value);
        }
    }

    /// Adds a field and keeps others of the same name, as `Vary` and `Set-Cookie` may need it. Name and value are checked as in
    /// [`set_header`](ResponseHead::set_header). There is one `Content-Type`, so another takes its place.
    pub fn append_header<N, V>(&mut self, name: N, value: V)
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match checked(name, value) {
            Some((name, value)) if name == CONTENT_TYPE => {
                self.0.headers_mut().insert(name, value);
            }
            Some((name, value)) => {
                self.0.headers_mut().append(name, value);
            }
            None => {}
        }
    }
}

impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! The handshake of a WebSocket (RFC 6455 §4.2): whether a request may open one, and the answer. Knows requests and responses;
//! `Router::websocket` stands here.

use ::http::header::{ALLOW, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use ::http::{HeaderValue, Method, StatusCode};
use ring::digest::{digest, SHA1_FOR_LEGACY_USE_ONLY};

use super::session::Session;
use super::socket::SocketBuilder;
use crate::error::Error;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::{Payload, Response};
use crate::http::upgrade::{can_switch, has_token, trimmed};
use crate::http::Refusal;
use crate::router::Router;
use crate::web::digest::encode;
use crate::web::origin::{is_own, Null, Origin, Origins};

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// RFC 6455 §4.1.
const VERSION: HeaderValue = HeaderValue::from_static("13");

const WRONG_METHOD: Refusal =
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET, and with no other method");
const NO_UPGRADE: Refusal = Refusal::new(
    StatusCode::UPGRADE_REQUIRED,
    "a WebSocket is here, which a request of HTTP/1.1 asks for with Upgrade: websocket",
);
const NO_CONNECTION: Refusal = Refusal::bad_request(
    "the Connection field does not name Upgrade; a proxy on the way may have removed it",
);
const WRONG_VERSION: Refusal =
    Refusal::new(StatusCode::UPGRADE_REQUIRED, "only version 13 of the WebSocket protocol is spoken here");
const WRONG_KEY: Refusal =
    Refusal::bad_request("the field Sec-WebSocket-Key is not there once, with 16 bytes in Base64");
const HAS_BODY: Refusal = Refusal::bad_request("a request for a WebSocket has no body");
const OTHER_ORIGIN: Refusal =
    Refusal::new(StatusCode::FORBIDDEN, "pages of this origin may not open a WebSocket here");

/// Who may open a WebSocket, and which subprotocols it has, for [`Router::websocket_with`].
///
/// ```
/// use lockgate::{Router, Socket, SocketHandshake};
///
/// let handshake = SocketHandshake::new().origins(["https://app.example"])?.subprotocols(["v2.device", "v1.device"]);
/// let router = Router::new().websocket_with("/api/socket", handshake, |_| {
///     Ok(Socket::on_message(|socket, message| match socket.subprotocol() {
///         Some("v2.device") => socket.send(message),
///         _ => socket.close(1000, "old"),
///     }))
/// });
/// # router.check().unwrap();
/// # Ok::<(), lockgate::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SocketHandshake {
    origins: Origins,
    any_origin: bool,
    subprotocols: Vec<String>,
}

impl SocketHandshake {
    /// Pages of the server's own origin may open it, and programs, which send no `Origin`. There is no subprotocol.
    pub fn new() -> SocketHandshake {
        SocketHandshake::default()
    }

    /// Pages of these origins may open it too. An origin is written as browsers do: `https://app.example:8443`.
    ///
    /// # Errors
    /// [`Error::Setting`] for what no browser sends as an origin.
    pub fn origins<O: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<SocketHandshake, Error> {
        self.origins = Origins::named("websocket origins", Null::Refused, origins)?;
        Ok(self)
    }

    /// All pages may open it. Browsers send cookies and use client certificates with it, so any page that a person visits can then
    /// act for that person: only for a WebSocket that asks for a secret of its own in its first message, or has none.
    pub fn any_origin(mut self) -> SocketHandshake {
        self.any_origin = true;
        self
    }

    /// The subprotocols (RFC 6455 §1.9). The first of these that the client offers is chosen; [`Socket::subprotocol`](crate::Socket::subprotocol) tells which. Without a
    /// common one there is none, and browsers then end the WebSocket.
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> SocketHandshake {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The key, if the request may open a WebSocket.
    fn check<'r>(&self, request: &'r Request<'_>) -> Result<&'r [u8], Refusal> {
        if *request.method() != Method::GET {
            return Err(WRONG_METHOD);
        }
        if !self.lets_in(request) {
            return Err(OTHER_ORIGIN);
        }
        let is_body = request.line().body != crate::http::request_head::BodyLength::NONE;
        if !has_token(request.field_lines("upgrade"), b"websocket") || !is_body && !can_switch(request.line())
        {
            return Err(NO_UPGRADE);
        }
        if !has_token(request.field_lines("connection"), b"upgrade") {
            return Err(NO_CONNECTION);
        }
        if is_body {
            return Err(HAS_BODY);
        }
        if only(request, "sec-websocket-version") != Some(b"13") {
            return Err(WRONG_VERSION);
        }
        only(request, "sec-websocket-key").filter(|key| is_key(key)).ok_or(WRONG_KEY)
    }

    fn lets_in(&self, request: &Request<'_>) -> bool {
        let origin = Origin::of(request);
        self.any_origin
            || match origin {
                // Not from a page.
                Origin::Absent => true,
                Origin::One(own) if is_own(own, request) => true,
                _ => self.origins.find(origin).is_some(),
            }
    }

    /// The first of the program's subprotocols that the client offers.
    fn choose(&self, request: &Request<'_>) -> Option<&String> {
        let offers = |name: &&String| {
            let mut lines = request.field_lines("sec-websocket-protocol");
            lines.any(|line| line.split(|&byte| byte == b',').any(|one| trimmed(one) == name.as_bytes()))
        };
        self.subprotocols.iter().find(offers)
    }

    /// Answers a request for a WebSocket.
    fn answer(
        &self,
        request: &mut Request<'_>,
        accept: &dyn Fn(&mut Request<'_>) -> Result<SocketBuilder, Response>,
    ) -> Response {
        let key = match self.check(request) {
            Ok(key) => accept_key(key),
            Err(refusal) => return refused(refusal),
        };
        let builder = match accept(request) {
            Ok(builder) => builder,
            Err(response) => return response,
        };
        let subprotocol = self.choose(request).cloned();
        let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_field(UPGRADE, WEBSOCKET)
            .with_header(SEC_WEBSOCKET_ACCEPT, key);
        if let Some(name) = &subprotocol {
            response = response.with_header(SEC_WEBSOCKET_PROTOCOL, name.as_str());
        }
        response.body = Payload::Upgrade(Box::new(Session::new(builder, subprotocol)));
        response
    }
}

impl Router {
    /// Opens a WebSocket (RFC 6455) for GET on this pattern. The function decides by the request: it returns what the program wants
    /// of the WebSocket, or the response that refuses it. It has no body to read.
    ///
    /// ```
    /// use lockgate::{Error, Response, Router, Socket, StatusCode};
    ///
    /// let router = Router::new()
    ///     .websocket("/api/echo", |_| Ok(Socket::on_message(|socket, message| socket.send(message))))
    ///     .websocket("/api/rooms/{room}", |request| {
    ///         let room: u16 = request.param_as("room")?; // answers 404 when it is not such a number
    ///         if room > 7 {
    ///             return Err(Response::new(StatusCode::NOT_FOUND));
    ///         }
    ///         Ok(Socket::on_message(move |socket, _| socket.send(format!("you are in room {room}"))))
    ///     });
    /// # router.check().unwrap();
    /// ```
    ///
    /// Before the function is called, the server refuses what cannot open a WebSocket, with 400, 405, or 426 for another version
    /// than 13, and with 403 **pages of other origins**: browsers send cookies also with WebSockets that other pages open, and CORS
    /// does not keep them from it. [`websocket_with`](Router::websocket_with) lets in pages of named origins. Programs send no
    /// `Origin`, and are let in. Extensions, such as compression, are not negotiated.
    ///
    /// The layers around the route run for the handshake. The access log's line comes at the end, with the bytes that were
    /// sent and the time from the handshake on.
    pub fn websocket(
        self,
        pattern: &str,
        accept: impl Fn(&mut Request<'_>) -> Result<SocketBuilder, Response> + Send + Sync + 'static,
    ) -> Router {
        self.websocket_with(pattern, SocketHandshake::new(), accept)
    }

    /// As [`websocket`](Router::websocket), with other settings for its handshake.
    pub fn websocket_with(
        self,
        pattern: &str,
        handshake: SocketHandshake,
        accept: impl Fn(&mut Request<'_>) -> Result<SocketBuilder, Response> + Send + Sync + 'static,
    ) -> Router {
        self.get(pattern, move |request: &mut Request<'_>| handshake.answer(request, &accept))
    }
}

fn refused(refusal: Refusal) -> Response {
    let response = refusal.into_response();
    match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => response.with_field(ALLOW, HeaderValue::from_static("GET")),
        StatusCode::UPGRADE_REQUIRED => {
            response.with_field(UPGRADE, WEBSOCKET).with_field(SEC_WEBSOCKET_VERSION, VERSION)
        }
        _ => response,
    }
}

/// The value of a field that is there once.
fn only<'r>(request: &'r Request<'_>, name: &'r str) -> Option<&'r [u8]> {
    let mut lines = request.field_lines(name);
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether this is 16 bytes in Base64 (RFC 6455 §4.1).
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last digit has 2 bits of the 16 bytes.
    matches!(key, [digits @ .., last, b'=', b'='] if digits.len() == 21 && digits.iter().all(is_digit) && b"AQgw".contains(last))
}

/// RFC 6455 §4.2.2.
fn accept_key(key: &[u8]) -> String {
    encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()).as_ref())
}

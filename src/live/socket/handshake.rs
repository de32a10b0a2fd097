//! The handshake of a WebSocket (RFC 6455 §4.2): whether a request may open one, and the answer. Knows requests and responses;
//! `Router::websocket` stands here.

use std::time::Instant;

use ::http::header::{ALLOW, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use ::http::{HeaderValue, Method, StatusCode};
use log::Level;
use ring::digest::{digest, SHA1_FOR_LEGACY_USE_ONLY};

use super::session::Session;
use super::socket::SocketBuilder;
use crate::error::Error;
use crate::escape;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::{Payload, Response};
use crate::http::upgrade::{can_switch, has_token, members};
use crate::http::Refusal;
use crate::log_limiter::{LogLimiter, Sort};
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

/// So many characters of an origin are logged.
const MOST_OF_ORIGIN: usize = 200;

/// Who may open a WebSocket, and which subprotocols it has, for [`Router::websocket_with`]. Only with the
/// feature `websocket`.
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

    /// The subprotocols (RFC 6455 §1.9). The first of these that the client offers is chosen;
    /// [`Socket::subprotocol`](crate::Socket::subprotocol) tells which. Without a common one there is none, and browsers then end the
    /// WebSocket.
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
            members(request.field_lines("sec-websocket-protocol")).any(|member| member == name.as_bytes())
        };
        self.subprotocols.iter().find(offers)
    }

    /// Answers a request for a WebSocket.
    fn answer(
        &self,
        request: &mut Request<'_>,
        accept: &dyn Fn(&mut Request<'_>) -> Result<SocketBuilder, Response>,
        refusals: &LogLimiter,
    ) -> Response {
        let key = match self.check(request) {
            Ok(key) => accept_key(key),
            Err(refusal) => {
                if refusal.status == StatusCode::FORBIDDEN {
                    note_origin(request, refusals);
                }
                return refused(refusal);
            }
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
    /// of the WebSocket, or the response that refuses it. It has no body to read. Only with the feature `websocket`.
    ///
    /// ```
    /// use lockgate::{IntoResponse, Request, Response, Router, Socket, SocketBuilder, StatusCode};
    ///
    /// fn room(request: &mut Request) -> Result<SocketBuilder, Response> {
    ///     let room: u16 = request.param_as("room")?; // answers 404 when it is not such a number
    ///     if room > 7 {
    ///         return Err(StatusCode::FORBIDDEN.into_response());
    ///     }
    ///     Ok(Socket::on_message(move |socket, _| socket.send(format!("you are in room {room}"))))
    /// }
    ///
    /// let router = Router::new()
    ///     .websocket("/api/echo", |_| Ok(Socket::on_message(|socket, message| socket.send(message))))
    ///     .websocket("/api/rooms/{room}", room);
    /// # router.check().unwrap();
    /// ```
    ///
    /// Other refusals become a [`Response`] by [`IntoResponse`](crate::IntoResponse): a [`Problem`](crate::Problem), say, or a status
    /// as above. An [`Error`] becomes one by `?`.
    ///
    /// Before the function is called, the server refuses what cannot open a WebSocket, with 400, 405, or 426 for another version
    /// than 13, and with 403 **pages of other origins**: browsers send cookies also with WebSockets that other pages open, and CORS
    /// does not keep them from it. [`websocket_with`](Router::websocket_with) lets in pages of named origins, and the log names an
    /// origin that was refused. Programs send no `Origin`, and are let in. Extensions, such as compression, are not negotiated.
    ///
    /// The layers around the route run for the handshake. The access log's line comes at the end, with the bytes that were
    /// sent and the time from the handshake on. A `handler_timeout` of the router holds for the handshake, and not for messages.
    pub fn websocket(
        self,
        pattern: &str,
        accept: impl Fn(&mut Request<'_>) -> Result<SocketBuilder, Response> + Send + Sync + 'static,
    ) -> Router {
        self.websocket_with(pattern, SocketHandshake::new(), accept)
    }

    /// As [`websocket`](Router::websocket), with other settings for its handshake. Only with the feature `websocket`.
    pub fn websocket_with(
        self,
        pattern: &str,
        handshake: SocketHandshake,
        accept: impl Fn(&mut Request<'_>) -> Result<SocketBuilder, Response> + Send + Sync + 'static,
    ) -> Router {
        // Without a thread that waits for it, the sum of what was left out comes before the next line.
        let refusals = LogLimiter::new(|| {});
        self.get(pattern, move |request: &mut Request<'_>| handshake.answer(request, &accept, &refusals))
    }
}

/// Logs that a page was refused for its origin, which is foreign text.
#[cold]
fn note_origin(request: &Request<'_>, refusals: &LogLimiter) {
    let sort = Sort { target: "lockgate::server", level: Level::Info, what: "the origin of a WebSocket" };
    let peer = request.peer().map(|peer| format!("{peer}: ")).unwrap_or_default();
    let origin = match Origin::of(request) {
        Origin::One(origin) => origin,
        _ => b"several origins",
    };
    refusals.write(
        sort,
        Instant::now(),
        format_args!(
            "{peer}403 a page of {} may not open a WebSocket (SocketHandshake::origins lets it)",
            escape::bounded_of(origin, MOST_OF_ORIGIN)
        ),
    );
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

#[cfg(test)]
mod tests {
    use super::super::socket::Socket;
    use super::*;

    /// RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn hello() -> Vec<(&'static str, &'static str)> {
        vec![
            ("host", "device.lan:8443"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ]
    }

    /// A good handshake but for these fields: another value, or none.
    fn but(changes: &[(&'static str, Option<&'static str>)]) -> Vec<(&'static str, &'static str)> {
        let mut fields = hello();
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.extend(value.map(|value| (*name, value)));
        }
        fields
    }

    fn router(handshake: SocketHandshake) -> Router {
        Router::new().websocket_with("/socket", handshake, |_| Ok(Socket::on_message(|_, _| {})))
    }

    fn answer(handshake: &SocketHandshake, method: Method, fields: &[(&str, &str)]) -> Response {
        let request = Request::new(method, "/socket");
        let request = fields.iter().fold(request, |request, (name, value)| request.with_header(name, value));
        router(handshake.clone()).call(&mut { request })
    }

    #[test]
    fn a_handshake_is_answered_with_its_key_and_a_wrong_one_is_refused() {
        let open = SocketHandshake::new();
        let response = answer(&open, Method::GET, &hello());
        assert_eq!(response.status(), 101);
        assert_eq!(response.header("sec-websocket-accept").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.header("upgrade").unwrap(), "websocket");
        assert!(response.header("sec-websocket-protocol").is_none());
        let some = Some;
        for (fields, status) in [
            (but(&[("upgrade", some("h2c, WebSocket"))]), 101),
            (but(&[("connection", some("keep-alive, UPGRADE"))]), 101),
            (but(&[("sec-websocket-extensions", some("permessage-deflate"))]), 101),
            (but(&[("upgrade", None)]), 426),
            (but(&[("upgrade", some("websockets"))]), 426),
            (but(&[("upgrade", some("websocket/13"))]), 426),
            (but(&[("connection", None)]), 400),
            (but(&[("connection", some("close"))]), 400),
            (but(&[("sec-websocket-version", None)]), 426),
            (but(&[("sec-websocket-version", some("8"))]), 426),
            (but(&[("sec-websocket-version", some("13, 8"))]), 426),
            (but(&[("sec-websocket-key", None)]), 400),
            (but(&[("sec-websocket-key", some(""))]), 400),
            (but(&[("sec-websocket-key", some("dGhlIHNhbXBsZSBub25jZQ"))]), 400),
            (but(&[("sec-websocket-key", some("dGhlIHNhbXBsZSBub25jZR=="))]), 400),
            (but(&[("sec-websocket-key", some("dGhlIHNhbXBsZSBub25jZ==="))]), 400),
            (but(&[("sec-websocket-key", some("dGhlIHNhbXBsZSBub25jZSE="))]), 400),
            ([hello(), vec![("sec-websocket-key", KEY)]].concat(), 400),
            ([hello(), vec![("sec-websocket-version", "13")]].concat(), 426),
        ] {
            let response = answer(&open, Method::GET, &fields);
            assert_eq!(response.status(), status, "{fields:?}");
            if status == 426 {
                assert_eq!(response.header("sec-websocket-version").unwrap(), "13");
                assert_eq!(response.header("upgrade").unwrap(), "websocket");
            }
            assert!(response.header("sec-websocket-extensions").is_none());
        }
        for (method, allowed) in [(Method::HEAD, "GET"), (Method::POST, "GET, HEAD, OPTIONS")] {
            let response = answer(&open, method, &hello());
            assert_eq!(
                (response.status(), response.header("allow").unwrap()),
                (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static(allowed))
            );
        }
    }

    #[test]
    fn a_page_opens_it_only_from_the_servers_own_origin_or_a_named_one() {
        let own = SocketHandshake::new();
        let named = SocketHandshake::new().origins(["https://app.example", "https://b.example:444"]).unwrap();
        let any = SocketHandshake::new().any_origin();
        for (origin, by_own, by_named) in [
            ("https://device.lan:8443", 101, 101),
            ("https://DEVICE.lan:8443", 101, 101),
            ("https://device.lan", 403, 403),
            ("https://device.lan:443", 403, 403),
            ("http://device.lan:8443", 403, 403),
            ("https://device.lan:8443.evil.example", 403, 403),
            ("https://evil.example", 403, 403),
            ("https://app.example", 403, 101),
            ("https://app.example:443", 403, 403),
            ("http://app.example", 403, 403),
            ("https://b.example:444", 403, 101),
            ("https://b.example", 403, 403),
            ("null", 403, 403),
            ("", 403, 403),
        ] {
            let fields = but(&[("origin", Some(origin))]);
            assert_eq!(answer(&own, Method::GET, &fields).status(), by_own, "{origin}");
            assert_eq!(answer(&named, Method::GET, &fields).status(), by_named, "{origin}");
            assert_eq!(answer(&any, Method::GET, &fields).status(), 101, "{origin}");
        }
        let twice = [hello(), vec![("origin", "https://device.lan:8443"); 2]].concat();
        assert_eq!(answer(&own, Method::GET, &twice).status(), 403);
        assert_eq!(answer(&any, Method::GET, &twice).status(), 101);
        // Without the default port in both, or in one.
        for (host, origin) in
            [("a.lan", "https://a.lan"), ("a.lan:443", "https://a.lan"), ("[::1]:7", "https://[::1]:7")]
        {
            let fields = but(&[("host", Some(host)), ("origin", Some(origin))]);
            assert_eq!(answer(&own, Method::GET, &fields).status(), 101, "{host}");
        }
        assert!(SocketHandshake::new().origins(["null"]).is_err());
        assert!(SocketHandshake::new().origins(["https://app.example/"]).is_err());
    }

    #[test]
    fn the_programs_first_subprotocol_that_the_client_offers_is_chosen() {
        let chosen = |names: &[&str], offers: &'static [&'static str]| {
            let mut fields = hello();
            fields.extend(offers.iter().map(|offer| ("sec-websocket-protocol", *offer)));
            let handshake = SocketHandshake::new().subprotocols(names.iter().copied());
            let response = answer(&handshake, Method::GET, &fields);
            assert_eq!(response.status(), 101);
            response.header("sec-websocket-protocol").map(|name| name.to_str().unwrap().to_string())
        };
        assert_eq!(chosen(&["b", "a"], &["a, b"]).as_deref(), Some("b"));
        assert_eq!(chosen(&["b", "a"], &["x", "y ,a"]).as_deref(), Some("a"));
        assert_eq!(chosen(&["b"], &["B", "bb", "a b"]), None);
        assert_eq!(chosen(&[], &["a"]), None);
        assert_eq!(chosen(&["a"], &[]), None);
    }

    #[test]
    fn the_functions_refusal_is_the_answer_and_it_is_not_called_for_a_wrong_handshake() {
        let router = Router::new().websocket("/rooms/{room}", |request| {
            let room: u8 = request.param_as("room")?;
            match room {
                0 => Err(Response::text("full").with_status(StatusCode::CONFLICT)),
                1 => panic!("it is called"),
                _ => Ok(Socket::on_message(|_, _| {})),
            }
        });
        let status = |path: &str, fields: &[(&str, &str)]| {
            let request = fields
                .iter()
                .fold(Request::get(path), |request, (name, value)| request.with_header(name, value));
            router.call(&mut { request }).status().as_u16()
        };
        assert_eq!(status("/rooms/7", &hello()), 101);
        assert_eq!(status("/rooms/0", &hello()), 409);
        assert_eq!(status("/rooms/x", &hello()), 404);
        assert_eq!(status("/rooms/1", &but(&[("origin", Some("https://evil.example"))])), 403);
        assert_eq!(status("/rooms/1", &[]), 426);
    }
}

//! The request as the backend gets it (RFC 9110 §7.6, RFC 9112). It is written anew from what was read of the client's, never
//! from its raw bytes. What a field becomes is decided here, by its name. Knows requests, and no socket. `exchange` sends it.

use std::net::IpAddr;

use ::http::header::MAX_FORWARDS;
use ::http::Method;

use super::fields::Named;
use super::methods;
use super::shared::{ClientCert, Settings};
use super::target::HostField;
use crate::http::as_read;
use crate::http::hop_by_hop::HOP_BY_HOP;
use crate::http::request::Request;
use crate::http::upgrade::has_token;
use crate::web::digest::encode;

/// What tells a backend of the client and of the way of the request. Only this proxy says it: of what a client sends under these
/// names nothing is passed on.
const SAID_BY_THE_PROXY: [&str; 13] = [
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "via",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-ssl",
    "x-real-ip",
];
/// What this proxy writes or does itself.
const DONE_BY_THE_PROXY: [&str; 4] = ["content-length", "expect", "host", "proxy-authorization"];

/// What happens to a field of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Passed,
    Removed,
}

/// What happens to a field with this name. `named` are the names in the request's `Connection` fields.
pub(super) fn fate(name: &[u8], named: &Named<'_>) -> Fate {
    let is_in = |names: &[&str]| names.iter().any(|known| reads_as(known.as_bytes(), name));
    // The request has one id, which the proxy says.
    let is_id = cfg!(feature = "operations") && reads_as(b"x-request-id", name);
    if is_id
        || is_in(&HOP_BY_HOP)
        || is_in(&SAID_BY_THE_PROXY)
        || is_in(&DONE_BY_THE_PROXY)
        || named.has(name)
    {
        Fate::Removed
    } else {
        Fate::Passed
    }
}

/// Whether a backend may read this name as the known one: programs behind CGI or WSGI see `X_Forwarded_For` and `X-Forwarded-For`
/// under one name.
fn reads_as(known: &[u8], name: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    known.len() == name.len() && known.iter().zip(name).all(|(known, byte)| *known == dashed(byte))
}

/// The host that the client has asked for, with its port if it has named one: for `Host`.
pub(super) fn authority_of(request: &Request<'_>) -> Option<String> {
    let (host, port) = as_read::authority(request)?;
    let mut authority = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    if let Some(port) = port {
        authority.push_str(&format!(":{port}"));
    }
    Some(authority)
}

/// How the client has asked.
pub(super) fn scheme_of(request: &Request<'_>) -> &'static str {
    if request.origin().is_in_clear() {
        "http"
    } else {
        "https"
    }
}

/// Whether the client asks for a WebSocket (RFC 6455 §4.1). No other protocol is passed on: h2c, say, would hide further requests
/// from the proxy.
pub(super) fn wants_tunnel(request: &Request<'_>) -> bool {
    *request.method() == Method::GET
        && as_read::can_switch(request)
        && has_token(request.field_lines("upgrade"), b"websocket")
        && has_token(request.field_lines("connection"), b"upgrade")
}

/// How the end of the request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Appends the head of the request to `out`, for the path that the backend is to see. `authority` is what the client has asked for.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    path: &[u8],
    authority: Option<&str>,
    settings: &Settings,
    body: Framing,
    expects_continue: bool,
) {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path);
    if let Some(query) = request.raw_query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let asked = authority.unwrap_or("");
    let scheme = scheme_of(request);
    put(
        out,
        "host",
        match &settings.host {
            HostField::AsAsked => asked,
            HostField::Set(host) => host,
        },
    );
    let named = Named::of(request.field_lines("connection"));
    let mut tells_length = false;
    let is_options = *request.method() == Method::OPTIONS;
    for (name, value) in as_read::fields(request) {
        tells_length |=
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding");
        if fate(name, &named) == Fate::Passed {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            let is_counted = is_options && name.eq_ignore_ascii_case(MAX_FORWARDS.as_str().as_bytes());
            match is_counted.then(|| methods::one_less(value)).flatten() {
                Some(fewer) => out.extend_from_slice(fewer.as_bytes()),
                None => out.extend_from_slice(value),
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    match body {
        Framing::Length(0) if !tells_length && !expects_content(request.method()) => {}
        Framing::Length(length) => put(out, "content-length", &length.to_string()),
        Framing::Chunked => put(out, "transfer-encoding", "chunked"),
    }
    if expects_continue {
        put(out, "expect", "100-continue");
    }
    let is_tunnel = wants_tunnel(request);
    let asks_for_trailers = !is_tunnel && wants_trailers(request) && named.has(b"te");
    // A backend that does not know chunks must not take them for further requests.
    let closes = body == Framing::Chunked;
    let options = [(is_tunnel, "upgrade"), (asks_for_trailers, "te"), (closes, "close")];
    let options: Vec<_> = options.iter().filter(|(is_said, _)| *is_said).map(|(_, option)| *option).collect();
    if !options.is_empty() {
        put(out, "connection", &options.join(", "));
    }
    if is_tunnel {
        put(out, "upgrade", "websocket");
    }
    if asks_for_trailers {
        put(out, "te", "trailers");
    }
    put_client_cert(out, request, settings.client_cert);
    let told = Told::by_proxies(request);
    if let Some(peer) = request.peer() {
        let address = peer.ip().to_canonical();
        let mut addresses = address.to_string();
        let mut elements = match told.proxies {
            [] => forwarded(address, authority, Some(scheme)),
            _ => forwarded(address, told.host, told.scheme),
        };
        for (at, &proxy) in told.proxies.iter().enumerate() {
            let is_last = at + 1 == told.proxies.len();
            let (authority, scheme) = if is_last { (authority, Some(scheme)) } else { (None, None) };
            addresses.push_str(", ");
            addresses.push_str(&proxy.to_string());
            elements.push_str(", ");
            elements.push_str(&forwarded(proxy, authority, scheme));
        }
        put(out, "x-forwarded-for", &addresses);
        put(out, "forwarded", &elements);
    }
    put(out, "x-forwarded-proto", told.scheme.unwrap_or(scheme));
    #[cfg(feature = "operations")]
    put(out, "x-request-id", &request.id().to_string());
    if let Some(authority) = told.host.or(authority) {
        put(out, "x-forwarded-host", authority);
    }
    if let Some(prefix) = &settings.prefix {
        put(out, "x-forwarded-prefix", prefix.path());
    }
    put(out, "via", if as_read::is_http10(request) { "1.0 lockgate" } else { "1.1 lockgate" });
    out.extend_from_slice(b"\r\n");
}

/// Whether the client takes trailer fields (RFC 9110 §10.1.4). One of HTTP/1.0 knows no chunks.
pub(super) fn wants_trailers(request: &Request<'_>) -> bool {
    !as_read::is_http10(request) && has_token(request.field_lines("te"), b"trailers")
}

/// Who the client is (RFC 9440 §2).
fn put_client_cert(out: &mut Vec<u8>, request: &Request<'_>, told: ClientCert) {
    let Some(client) = request.client().filter(|_| told != ClientCert::Nothing) else { return };
    let sequence = |der: &[u8]| format!(":{}:", encode(der));
    put(out, "client-cert", &sequence(client.der()));
    if told == ClientCert::Chain {
        let chain: Vec<_> = client.chain().map(sequence).collect();
        if !chain.is_empty() {
            put(out, "client-cert-chain", &chain.join(", "));
        }
    }
}

/// Whether a request with this method tells of its length also when it has no content (RFC 9110 §8.6).
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// What trusted proxies in front of this one say of the client: it is passed on, and this proxy's own word follows it. What stands
/// left of the client in their fields is the client's own, and is not.
#[derive(Default)]
struct Told<'r> {
    /// Between the client and this proxy.
    proxies: &'r [IpAddr],
    scheme: Option<&'r str>,
    host: Option<&'r str>,
}

impl<'r> Told<'r> {
    #[cfg(feature = "operations")]
    fn by_proxies(request: &'r Request<'_>) -> Told<'r> {
        request.forwarded().map_or(Told::default(), |told| Told {
            proxies: told.proxies(),
            scheme: told.scheme(),
            host: told.host(),
        })
    }

    #[cfg(not(feature = "operations"))]
    fn by_proxies(_: &'r Request<'_>) -> Told<'r> {
        Told::default()
    }
}

/// An element of `Forwarded` (RFC 7239 §4), for what `client` has asked.
fn forwarded(client: IpAddr, authority: Option<&str>, scheme: Option<&str>) -> String {
    let text = client.to_string();
    let around = match client {
        IpAddr::V4(_) => ["for=", ""],
        IpAddr::V6(_) => ["for=\"[", "]\""],
    };
    let (host, quote, authority) = match authority {
        Some(authority) if authority.contains([':', '[']) => (";host=", "\"", authority),
        Some(authority) => (";host=", "", authority),
        None => ("", "", ""),
    };
    let (proto, scheme) = scheme.map_or(("", ""), |scheme| (";proto=", scheme));
    [around[0], &text, around[1], host, quote, authority, quote, proto, scheme].concat()
}

/// Without the machinery of formatting, which takes longer than all the rest.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::prefix::Prefix;

    fn written(request: &Request<'_>, host: &HostField, body: usize) -> String {
        let mut out = Vec::new();
        let settings = Settings { host: host.clone(), ..Settings::default() };
        let (path, body) = (request.raw_path(), Framing::Length(body as u64));
        write_head(&mut out, request, path, Some("api.example:8443"), &settings, body, false);
        let written = String::from_utf8(out).unwrap();
        #[cfg(feature = "operations")]
        {
            let id = format!("x-request-id: {}\r\n", request.id());
            assert_eq!(
                (written.matches(&id).count(), written.to_lowercase().matches("request-id").count()),
                (1, 1)
            );
            written.replace(&id, "")
        }
        #[cfg(not(feature = "operations"))]
        written
    }

    #[test]
    fn a_request_is_written_anew_with_what_the_proxy_says_of_its_way() {
        let request = Request::get("/a%20b?c=d&&e=\\")
            .with_header("Accept", "*/*")
            .with_header("X-Own", "\u{e4}")
            .with_peer("192.0.2.7:4711".parse().unwrap());
        assert_eq!(
            written(&request, &HostField::AsAsked, 0),
            "GET /a%20b?c=d&&e=\\ HTTP/1.1\r\nhost: api.example:8443\r\nAccept: */*\r\nX-Own: \u{e4}\r\n\
             x-forwarded-for: 192.0.2.7\r\nforwarded: for=192.0.2.7;host=\"api.example:8443\";proto=https\r\n\
             x-forwarded-proto: https\r\nx-forwarded-host: api.example:8443\r\nvia: 1.1 lockgate\r\n\r\n"
        );
        let set = written(&request, &HostField::Set("127.0.0.1:3000".to_string()), 0);
        assert!(
            set.contains("\r\nhost: 127.0.0.1:3000\r\n")
                && set.contains("x-forwarded-host: api.example:8443")
        );
        for (peer, address, forwarded) in [
            ("[2001:db8::1]:1", "2001:db8::1", "for=\"[2001:db8::1]\""),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7", "for=192.0.2.7"),
        ] {
            let head = written(&Request::get("/").with_peer(peer.parse().unwrap()), &HostField::AsAsked, 0);
            assert!(
                head.contains(&format!("x-forwarded-for: {address}\r\nforwarded: {forwarded};")),
                "{head}"
            );
        }
    }

    #[test]
    fn the_length_is_told_once_and_is_that_of_the_body() {
        let lengths = |request: Request<'_>, body| {
            let head = written(&request, &HostField::AsAsked, body).to_ascii_lowercase();
            assert!(!head.contains("transfer-encoding"), "{head}");
            head.lines()
                .filter_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .collect::<Vec<usize>>()
        };
        assert_eq!(lengths(Request::get("/"), 0), [] as [usize; 0]);
        assert_eq!(lengths(Request::get("/").with_header("Content-Length", "0"), 0), [0]);
        assert_eq!(lengths(Request::get("/").with_header("Content-Length", "9"), 5), [5]);
        assert_eq!(lengths(Request::post("/"), 0), [0]);
        assert_eq!(lengths(Request::post("/").with_header("Transfer-Encoding", "chunked"), 5), [5]);
        // Not taken out of its place by `Connection`, and not doubled by another spelling.
        let tricks = Request::post("/")
            .with_header("Connection", "Content-Length, Host")
            .with_header("content_length", "7")
            .with_header("Transfer_Encoding", "chunked")
            .with_header("Content-Length", "5");
        assert_eq!(lengths(tricks, 5), [5]);
    }

    #[test]
    fn without_its_prefix_the_path_is_the_backends_and_the_prefix_is_told() {
        let prefix = Prefix::parse("/api/").unwrap();
        let settings = Settings { prefix: Some(prefix), ..Settings::default() };
        let request = Request::get("/api/a%20b?c=d").with_header("X-Forwarded-Prefix", "/evil");
        let mut out = Vec::new();
        write_head(&mut out, &request, b"/a%20b", None, &settings, Framing::Length(0), false);
        let head = String::from_utf8(out).unwrap();
        assert!(
            head.starts_with("GET /a%20b?c=d HTTP/1.1\r\n") && head.contains("x-forwarded-prefix: /api\r\n")
        );
        assert!(!head.contains("evil"), "{head}");
    }

    #[test]
    fn fields_of_one_connection_and_what_clients_could_forge_are_removed_and_all_others_passed() {
        let named = ["close, X-Secret ,x-other", "TE"];
        let named = Named::of(named.iter().map(|value| value.as_bytes()));
        for (name, expected) in [
            ("Accept", Fate::Passed),
            ("Authorization", Fate::Passed),
            ("Cookie", Fate::Passed),
            ("Range", Fate::Passed),
            ("Content-Type", Fate::Passed),
            ("Content-Encoding", Fate::Passed),
            ("api_key", Fate::Passed),
            ("X-Forwarded-Prefix-Of-Mine", Fate::Passed),
            ("Connection", Fate::Removed),
            ("KEEP-ALIVE", Fate::Removed),
            ("Proxy-Connection", Fate::Removed),
            ("Proxy-Authorization", Fate::Removed),
            ("TE", Fate::Removed),
            ("Trailer", Fate::Removed),
            ("Transfer-Encoding", Fate::Removed),
            ("transfer_encoding", Fate::Removed),
            ("Upgrade", Fate::Removed),
            ("HTTP2-Settings", Fate::Removed),
            ("Expect", Fate::Removed),
            ("Host", Fate::Removed),
            ("Content-Length", Fate::Removed),
            ("X-SECRET", Fate::Removed),
            ("X-Other", Fate::Removed),
            ("Forwarded", Fate::Removed),
            ("Via", Fate::Removed),
            ("X-Forwarded-For", Fate::Removed),
            ("x_forwarded_for", Fate::Removed),
            ("X-Forwarded_Proto", Fate::Removed),
            ("X-Forwarded-Prefix", Fate::Removed),
            ("X-Real-IP", Fate::Removed),
            ("X_Real_Ip", Fate::Removed),
            ("Client-Cert", Fate::Removed),
            ("Client_Cert_Chain", Fate::Removed),
        ] {
            assert_eq!(fate(name.as_bytes(), &named), expected, "{name}");
        }
    }

    #[test]
    fn only_a_websocket_is_asked_for_and_only_if_the_client_asks_for_it() {
        let asks = |upgrade: &str, connection: &str, request: Request<'static>| {
            let request = request.with_header("Upgrade", upgrade).with_header("Connection", connection);
            let head = written(&request, &HostField::AsAsked, 0);
            assert_eq!(
                head.contains("upgrade"),
                head.contains("connection: upgrade\r\nupgrade: websocket\r\n")
            );
            head.contains("upgrade")
        };
        assert!(asks("websocket", "Upgrade", Request::get("/")));
        assert!(asks("WebSocket", "keep-alive, upgrade", Request::get("/")));
        assert!(!asks("h2c", "Upgrade, HTTP2-Settings", Request::get("/")));
        assert!(!asks("websocket", "keep-alive", Request::get("/")));
        assert!(!asks("websocket", "Upgrade", Request::post("/")));
    }

    #[test]
    fn what_a_client_names_in_connection_does_not_remove_what_the_proxy_says() {
        let request = Request::get("/")
            .with_header("Connection", "close, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Host, Via")
            .with_header("X-Forwarded-For", "10.0.0.1")
            .with_header("Host", "evil.example")
            .with_peer("192.0.2.7:1".parse().unwrap());
        let head = written(&request, &HostField::AsAsked, 0);
        assert!(
            head.contains("\r\nx-forwarded-for: 192.0.2.7\r\n")
                && head.contains("\r\nhost: api.example:8443\r\n")
        );
        assert!(!head.contains("10.0.0.1") && !head.contains("evil"), "{head}");
    }
}

//! The demo's page at `/`: the load of this machine as it changes, what protects the connection, and an echo. Its files stand in
//! the program, and nothing is fetched from elsewhere. `demo` adds it to what every server of the command answers.

use std::time::SystemTime;

use lockgate::web::SecurityFields;
use lockgate::{iso8601, Error, Request, Response, Router, Socket};
use serde_json::json;

use super::certs::NAMES;
use super::load::Load;

/// What the page may do: to load its own files, and to connect to this server.
const POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'";

/// The longest message that comes back. The page's own have 200 characters.
const MESSAGE_BYTES: usize = 4 * 1024;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// These routes, and the page.
pub(super) fn beside(router: Router) -> Result<Router, Error> {
    let load = Load::new();
    let page = Router::new()
        .get("/", |_: &mut Request| file(include_str!("page/index.html"), "text/html; charset=utf-8"))
        .get("/demo.css", |_: &mut Request| file(include_str!("page/demo.css"), "text/css; charset=utf-8"))
        .get("/demo.js", |_: &mut Request| {
            file(include_str!("page/demo.js"), "text/javascript; charset=utf-8")
        })
        .get("/demo.svg", |_: &mut Request| file(include_str!("page/demo.svg"), "image/svg+xml"))
        .get("/api/connection", connection)
        .get("/api/load", move |request: &mut Request| load.subscribe(request))
        .websocket("/api/echo", |_| {
            Ok(Socket::on_message(|socket, message| socket.send(message)).message_bytes(MESSAGE_BYTES))
        })
        .with(SecurityFields::new().content_security_policy(POLICY)?);
    Ok(router.merge(page))
}

/// It may be another one when the demo is started again, so it is not kept.
fn file(text: &'static str, kind: &'static str) -> Response {
    Response::text(text).with_header("content-type", kind).with_header("cache-control", "no-store")
}

/// What protects the connection that this request came over.
fn connection(request: &mut Request) -> Response {
    let tls = request.tls();
    let identity = request.handle().identity();
    let names: Vec<&str> = NAMES.into_iter().filter(|name| identity.is_valid_for(name)).collect();
    let left = identity.left(SystemTime::now());
    let facts = json!({
        "version": tls.map(|tls| tls.version()),
        "cipher_suite": tls.map(|tls| tls.cipher_suite()),
        "key_exchange": tls.and_then(|tls| tls.key_exchange()),
        "is_resumed": tls.map(|tls| tls.is_resumed()),
        "names": names,
        "not_after": iso8601(identity.not_after()),
        "days_left": left.as_secs() / SECONDS_A_DAY,
    });
    Response::json(&facts).with_header("cache-control", "no-store")
}

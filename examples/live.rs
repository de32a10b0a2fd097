//! A server with live connections, on 127.0.0.1 only: `live PORT CERT KEY [--history N]`. Everybody who reaches it may publish, and
//! read its log.
//!
//! - `GET /api/events`: a stream of events. `?name=NAME` gives only events of this name.
//! - `POST /api/publish?name=NAME&id=ID`: sends its body to all subscribers as an event; both parameters may be left out.
//! - `/api/socket`: a WebSocket that sends each message back, with the feature `websocket`.
//! - `GET /api/log`: the server's log, as it grows.
//! - `GET /`: a page that shows the events, and has an input for the echo.

use lockgate::{Error, Event, Feed, Identity, Published, Request, Response, Router, Server, StatusCode};
use log::LevelFilter;
use serde_json::json;

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Live connections</title>
<p>Events without a name and those named <code>reading</code>, or those of the name in the address: <code>?name=NAME</code></p>
<ol id="events"></ol>
<form id="say"><input name="text" value="Hello" required> <button>Send over the WebSocket</button></form>
<ol id="answers"></ol>
<script>
const show = (list, text) => {
    const line = document.createElement("li");
    line.textContent = text;
    document.getElementById(list).append(line);
};

const events = new EventSource("/api/events" + location.search);
const take = event => {
    const name = event.type === "message" ? "" : " " + event.type;
    show("events", event.lastEventId + name + ": " + event.data);
};
// Events without a name are messages. A page names the others that it listens to.
["message", "reading", new URLSearchParams(location.search).get("name")]
    .filter((name, at, all) => name && all.indexOf(name) === at)
    .forEach(name => events.addEventListener(name, take));

let echo;
function connect() {
    echo = new WebSocket("wss://" + location.host + "/api/socket");
    echo.onmessage = event => show("answers", event.data);
    echo.onclose = () => setTimeout(connect, 1000 + 2000 * Math.random());
}
connect();
document.getElementById("say").onsubmit = event => {
    event.preventDefault();
    if (echo.readyState === WebSocket.OPEN) echo.send(event.target.text.value);
};
</script>
</html>
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: live PORT CERT KEY [--history N]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, certificate, key, history) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        [port, certificate, key] => (port, certificate, key, 1_024),
        [port, certificate, key, "--history", count] => (port, certificate, key, count.parse()?),
        _ => return Err(usage.into()),
    };
    let port: u16 = port.parse()?;
    let identity = Identity::from_pem_files(certificate, key)?;

    let (log_feed, log) = Feed::from_log(LevelFilter::Info);
    log::set_boxed_logger(Box::new(log))?;
    log::set_max_level(LevelFilter::Info);

    let feed = Feed::builder().history(history).build();
    let mut limits = lockgate::Limits::default();
    limits.connections = 20_000;
    let server = Server::builder(router(feed, log_feed))
        .https(format!("127.0.0.1:{port}"))
        .identity(identity)
        .limits(limits)
        .bind()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}

fn router(feed: Feed, log: Feed) -> Router {
    let events = feed.clone();
    let router = Router::new();
    #[cfg(feature = "websocket")]
    let router = router.websocket("/api/socket", |_| {
        Ok(lockgate::Socket::on_message(|socket, message| socket.send(message)))
    });
    router
        .get("/", |_: &mut Request| {
            Response::text(PAGE).with_header("content-type", "text/html; charset=utf-8")
        })
        .get("/api/events", move |request: &mut Request| match request.query("name") {
            Some(name) => {
                let name = name.into_owned();
                events.subscribe_where(request, move |event: &Published| event.name() == Some(&*name))
            }
            None => events.subscribe(request),
        })
        .get("/api/log", log.handler())
        .post("/api/publish", move |request: &mut Request| {
            let data = String::from_utf8(request.bytes()?)
                .map_err(|_| Error::answer(StatusCode::BAD_REQUEST, "the body is not UTF-8"))?;
            let mut event = Event::new(data);
            if let Some(name) = request.query("name") {
                event = event.name(name);
            }
            if let Some(id) = request.query("id") {
                event = event.id(id);
            }
            if let Some(fault) = event.fault() {
                return Err(Error::answer(StatusCode::BAD_REQUEST, fault.to_string()));
            }
            feed.send(event);
            Ok(Response::json(&json!({"subscribers": feed.subscribers()})))
        })
}

//! The server that `make drill` maltreats: `drill_server CERT KEY [LIMIT=NUMBER]`. Its handlers sleep, block for ever,
//! panic, and break their own promises.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use lockgate::{
    Error, Event, Feed, Identity, IntoResponse, Limits, Request, Response, Router, Server, StatusCode,
};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: drill_server CERT KEY [to=URL] [connections=N]".into());
    };
    let mut limits = Limits::default();
    #[cfg(feature = "proxy")]
    let mut proxy: Option<lockgate::Proxy> = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("connections", number)) => limits.connections = number.parse()?,
            Some(("body_memory_bytes", number)) => limits.body_memory_bytes = number.parse()?,
            Some(("body_bytes", number)) => limits.body_bytes = number.parse()?,
            Some(("write_timeout_ms", number)) => {
                limits.write_timeout = Duration::from_millis(number.parse()?)
            }
            #[cfg(feature = "proxy")]
            Some(("to", url)) => {
                proxy = Some(lockgate::Proxy::to(url)?);
                // The drills of the proxy are about what a backend does, and not about a machine that is busy.
                limits.queue_timeout = Duration::from_secs(15);
            }
            #[cfg(feature = "proxy")]
            Some((name, number)) if proxy.is_some() => {
                let number: u64 = number.parse()?;
                let time = Duration::from_millis(number);
                let set = |proxy: lockgate::Proxy| match name {
                    "at_a_time" => Some(proxy.at_a_time(number as usize)),
                    "queue" => Some(proxy.queue(number as usize)),
                    "queue_timeout_ms" => Some(proxy.queue_timeout(time)),
                    "answer_timeout_ms" => Some(proxy.answer_timeout(time)),
                    "silence_timeout_ms" => Some(proxy.silence_timeout(time)),
                    "any_certificate" => proxy.danger_accept_any_certificate().ok(),
                    _ => None,
                };
                proxy = Some(proxy.and_then(set).ok_or_else(|| format!("unknown setting: {argument}"))?);
            }
            _ => return Err(format!("unknown limit: {argument}").into()),
        }
    }
    let feed = Feed::new();
    let router = Router::new()
        .get("/feed", feed.handler())
        .post("/feed", move |request: &mut Request| -> Result<&str, Error> {
            feed.send(Event::new(String::from_utf8_lossy(&request.bytes()?)));
            Ok("sent")
        })
        .get("/api/data", |_| Response::json(&json!({"message": "Secure data over HTTPS"})))
        .post("/len", |request| -> Result<Response, Error> {
            let length = io::copy(request.body(), &mut io::sink())?;
            Ok(Response::json(&json!({"length": length})))
        })
        .get("/zeros/{bytes}", |request| match number(request, "bytes") {
            Some(bytes) => Response::reader_with_length(io::repeat(0).take(bytes), bytes),
            None => StatusCode::BAD_REQUEST.into_response(),
        })
        .get("/events/{ms}", |request| match number(request, "ms") {
            Some(ms) => Response::reader(Events(Duration::from_millis(ms))),
            None => StatusCode::BAD_REQUEST.into_response(),
        })
        .get("/sleep/{ms}", |request| match number(request, "ms") {
            Some(ms) => {
                thread::sleep(Duration::from_millis(ms));
                StatusCode::OK
            }
            None => StatusCode::BAD_REQUEST,
        })
        .get("/block", |_| -> Response {
            loop {
                thread::park();
            }
        })
        .get("/panic", |_| -> Response { panic!("as the drill wants it") })
        .get("/promises/more", |_| Response::reader_with_length(io::repeat(b'x').take(1_000), 100_000))
        .get("/promises/less", |_| Response::reader_with_length(io::repeat(b'x').take(100_000), 1_000))
        .get("/fails", |_| Response::reader(io::repeat(b'x').take(100_000).chain(Fails)))
        .get("/panics", |_| Response::reader(io::repeat(b'x').take(100_000).chain(Panics)));
    #[cfg(feature = "websocket")]
    let router = router
        .websocket("/socket", |_| Ok(lockgate::Socket::on_message(|socket, message| socket.send(message))));
    #[cfg(feature = "proxy")]
    let router = match proxy {
        Some(proxy) => {
            let handler = proxy.handler();
            let health = move |_: &mut Request| {
                let health = proxy.health();
                let in_flight: usize = health.targets.iter().map(|target| target.in_flight).sum();
                format!("{in_flight} {}", health.waiting)
            };
            router.get("/proxy-health", health).fallback(handler)
        }
        None => router,
    };
    let server = Server::builder(router)
        .https("127.0.0.1:0")
        .identity(Identity::from_pem_files(certificate, key)?)
        .limits(limits)
        .bind()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.param_as(name).ok()
}

/// An event each time so much has passed, for ever.
struct Events(Duration);

impl Read for Events {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        thread::sleep(self.0);
        (&b"an event\n"[..]).read(out)
    }
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("as the drill wants it"))
    }
}

struct Panics;

impl Read for Panics {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("as the drill wants it")
    }
}

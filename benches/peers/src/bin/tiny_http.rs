//! tiny_http with its rustls feature (rustls 0.20) and threads that answer. It has no other settings: ALPN, TLS versions
//! and tickets cannot be set.

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;

use peers::Outcome;
use tiny_http::{Header, Method, Request, Response, Server, SslConfig};

const THREADS: usize = 4;

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let ssl =
        SslConfig { certificate: fs::read(&arguments.certificate)?, private_key: fs::read(&arguments.key)? };
    let server = Arc::new(Server::from_listener(peers::listener(arguments.port)?, Some(ssl))?);
    let large = peers::large();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    // A client that leaves is not a failure of the server.
                    let _ = answer(request, large);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn answer(mut request: Request, large: &'static [u8]) -> io::Result<()> {
    let json = Header::from_bytes("Content-Type", peers::JSON).map_err(|()| io::ErrorKind::InvalidInput)?;
    let route = (request.method().clone(), request.url().to_string());
    match (route.0, route.1.as_str()) {
        (Method::Get, "/api/data") => request.respond(Response::from_string(peers::DATA).with_header(json)),
        (Method::Get, "/large") => {
            let response = Response::new(200.into(), Vec::new(), large, Some(large.len()), None);
            request.respond(response.with_chunked_threshold(usize::MAX))
        }
        (Method::Post, "/len") => {
            let length = io::copy(request.as_reader(), &mut io::sink())?;
            let text = serde_json::json!({"length": length}).to_string();
            request.respond(Response::from_string(text).with_header(json))
        }
        (Method::Post, "/json") => {
            let mut body = Vec::new();
            request.as_reader().read_to_end(&mut body)?;
            match peers::members_of(&body) {
                Some(text) => request.respond(Response::from_string(text).with_header(json)),
                None => request.respond(Response::empty(400)),
            }
        }
        _ => request.respond(Response::empty(404)),
    }
}

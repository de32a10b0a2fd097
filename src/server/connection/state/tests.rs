//! A connection's life in memory: every stage, how it goes on from there, and how it ends when nothing comes.

mod body;
mod drain;
mod handshake;
mod head;
mod response;

use std::io::{self, Read};

use super::super::testing::{End, Talk, Wire, World};
use super::*;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::turn::{Handlers, Idle};
use crate::{Router, StatusCode};

/// What the tests do to a connection from outside.
impl Connection<Wire> {
    /// The limit that its deadline is of.
    pub(in super::super) fn limit(&self) -> Option<Limit> {
        self.link.deadline.limit
    }

    /// No poller tells it when there is room to write.
    pub(in super::super) fn expect_no_events(&mut self) {
        self.listens_for_writable = true;
    }
}

/// A reader that gives this, and then fails or panics.
struct Faulty(io::Cursor<&'static [u8]>, Fault);

#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    Lie,
}

impl Read for Faulty {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match (self.0.read(out)?, self.1) {
            (0, Fault::Error) => Err(io::Error::other("the disk is gone")),
            (0, Fault::Panic) => panic!("the disk is gone"),
            (0, Fault::Lie) => Ok(out.len() + 1),
            (read, _) => Ok(read),
        }
    }
}

fn length(request: &mut Request<'_>) -> Result<String, crate::Error> {
    Ok(request.bytes()?.len().to_string())
}

const LARGE: usize = 300_000;

fn router() -> Router {
    let faulty = |fault| move |_: &mut Request<'_>| Response::reader(Faulty(io::Cursor::new(b"some"), fault));
    Router::new()
        .get("/", |_: &mut Request<'_>| "hello")
        .get("/large", |_: &mut Request<'_>| Response::bytes(vec![b'l'; LARGE]))
        .get("/none", |_: &mut Request<'_>| StatusCode::NO_CONTENT)
        .get("/interim", |_: &mut Request<'_>| StatusCode::CONTINUE)
        .get("/close", |_: &mut Request<'_>| Response::text("x").with_header("connection", "close"))
        .get("/panic", |_: &mut Request<'_>| -> &'static str { panic!("no") })
        .get("/streamed", |_: &mut Request<'_>| Response::reader(&b"streamed"[..]))
        .get("/counted", |_: &mut Request<'_>| Response::reader_with_length(&b"counted"[..], 7))
        .get("/short", |_: &mut Request<'_>| Response::reader_with_length(&b"short"[..], 7))
        .get("/failing", faulty(Fault::Error))
        .get("/panicking", faulty(Fault::Panic))
        .get("/lying", faulty(Fault::Lie))
        .get("/endless", |_: &mut Request<'_>| Response::reader(io::repeat(b'e').take(3_000_000)))
        .post("/length", length)
        .post("/ignore", |_: &mut Request<'_>| "ignored")
        .post("/part", |request: &mut Request<'_>| {
            let mut some = [0; 10];
            request.body().read(&mut some).map(|read| read.to_string()).map_err(crate::Error::from)
        })
}

fn world() -> World {
    World::new(router())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

fn chunked(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// `length` bytes in chunks of `size`, and the end.
fn chunks(length: usize, size: usize) -> String {
    let mut text = String::new();
    let mut left = length;
    while left > 0 {
        let now = left.min(size);
        text.push_str(&format!("{now:x}\r\n{}\r\n", "c".repeat(now)));
        left -= now;
    }
    text + "0\r\n\r\n"
}

/// What an answer is: its status, and its content.
fn parts(answer: &str) -> (u16, &str) {
    let status = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, content)| content))
}

fn limit(end: End) -> Option<Limit> {
    match end {
        End::Parked(limit, _) => limit,
        other => panic!("{other:?}"),
    }
}

fn is_idle(end: End) -> bool {
    matches!(end, End::Parked(Some(Limit::IdleTimeout), Idle::Since(_)))
}

/// The connection has said its last word, and lingers; then the client is gone.
fn assert_lingers(talk: &mut Talk, end: End) {
    assert!(matches!(end, End::Parked(None, Idle::Since(_))), "{end:?}");
    assert!(talk.has_ended());
    talk.send_raw(b"still sending");
    assert_eq!(limit(talk.turn()), None);
    talk.close();
    assert_eq!(talk.turn(), End::Closed);
}

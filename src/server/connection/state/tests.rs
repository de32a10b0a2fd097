//! A connection's life in memory: every stage, how it goes on from there, and how it ends when nothing comes.

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
        self.deadline.limit
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

mod handshake {
    use super::*;

    #[test]
    fn a_handshake_that_comes_in_pieces_is_done_when_the_last_has_come() {
        let world = world();
        let mut talk = world.come();
        assert_eq!(talk.turn(), End::Parked(Some(Limit::HandshakeTimeout), Idle::Head(0)));
        for _ in 0..2 {
            let mut hello = Vec::new();
            while talk.client.wants_write() {
                talk.client.write_tls(&mut hello).unwrap();
            }
            let (last, first) = hello.split_last().unwrap();
            for piece in first.chunks(90) {
                talk.send_raw(piece);
                assert_eq!(limit(talk.turn()), Some(Limit::HandshakeTimeout));
            }
            talk.send_raw(&[*last]);
            talk.turn();
            talk.receive();
        }
        assert!(!talk.client.is_handshaking());
        let (end, answer) = talk.ask(get("/"));
        assert!(is_idle(end) && answer.ends_with("hello"), "{end:?} {answer}");
    }

    #[test]
    fn a_client_that_does_not_finish_it_in_time_is_closed() {
        let world = world();
        let mut talk = world.come();
        talk.send();
        talk.turn();
        assert_eq!(talk.expire(), End::Closed);
    }

    #[test]
    fn one_that_goes_in_the_middle_of_it_is_closed() {
        let world = world();
        let mut talk = world.come();
        talk.send();
        talk.turn();
        talk.close();
        assert_eq!(talk.turn(), End::Closed);
    }

    #[test]
    fn one_that_speaks_http_in_clear_is_told_so_and_its_credentials_are_looked_for_to_the_end() {
        let world = world();
        let mut talk = world.come();
        talk.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\n");
        let end = talk.turn();
        let answer = String::from_utf8(talk.receive_raw()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
        assert!(matches!(end, End::Parked(None, _)), "{end:?}");
        talk.send_raw(b"Cookie: session=1\r\n\r\n");
        assert_eq!(limit(talk.turn()), None);
        assert_eq!(talk.expire(), End::Closed);
    }

    #[test]
    fn what_is_neither_tls_nor_http_is_closed_without_a_word() {
        let world = world();
        for first in [b"\r\n\r\n\0\r\nQUIT\n", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\0"] {
            let mut talk = world.come();
            talk.send_raw(first);
            assert_eq!(talk.turn(), End::Closed);
            assert!(talk.receive_raw().is_empty());
        }
    }

    #[test]
    fn a_record_that_is_none_gets_an_alert_and_the_connection_lingers() {
        let world = world();
        let mut talk = world.open();
        talk.send_raw(&[&[0x17, 3, 3, 0, 32][..], &[0; 32]].concat());
        let end = talk.turn();
        assert!(!talk.receive_raw().is_empty());
        assert_lingers(&mut talk, end);
    }

    #[test]
    fn a_reset_ends_the_connection_at_once() {
        let world = world();
        let mut talk = world.open();
        talk.break_off();
        assert_eq!(talk.turn(), End::Closed);
    }
}

mod head {
    use super::*;

    #[test]
    fn requests_follow_each_other_on_one_connection() {
        let world = world();
        let mut talk = world.open();
        for _ in 0..3 {
            let (end, answer) = talk.ask(get("/"));
            assert_eq!(parts(&answer), (200, "hello"));
            assert!(is_idle(end), "{end:?}");
        }
    }

    #[test]
    fn one_that_comes_byte_by_byte_is_answered_when_the_last_has_come() {
        let world = world();
        let mut talk = world.open();
        // An empty line before it is passed over.
        let request = format!("\r\n{}", get("/"));
        let (last, first) = request.as_bytes().split_last().unwrap();
        for byte in first {
            talk.say([*byte]);
            assert_eq!(limit(talk.settle()), Some(Limit::HeadTimeout));
        }
        let (end, answer) = talk.ask([*last]);
        assert_eq!(parts(&answer), (200, "hello"));
        assert!(is_idle(end));
    }

    #[test]
    fn pipelined_requests_are_answered_in_one_turn_up_to_a_bound() {
        let world = world();
        let mut talk = world.open();
        talk.say(get("/").repeat(70));
        assert_eq!(talk.turn(), End::Again);
        assert_eq!(talk.hear().matches("HTTP/1.1 200 OK").count(), 64);
        assert!(is_idle(talk.turn()));
        let rest = talk.hear();
        assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 6);
        // The last one alone leaves the connection idle.
        assert_eq!(rest.matches("keep-alive: timeout=").count(), 1);
    }

    #[test]
    fn a_client_that_wants_to_close_and_a_handler_that_does_are_obeyed() {
        let world = world();
        let closing = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        for request in [closing, &get("/close"), "GET / HTTP/1.0\r\n\r\n"] {
            let mut talk = world.open();
            let (end, answer) = talk.ask(request);
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert_lingers(&mut talk, end);
        }
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_its_status_and_the_connection_ends() {
        let world = World::with(router(), |limits| {
            limits.head_bytes = 300;
            limits.head_fields = 3;
        });
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(300));
        let fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(3));
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}", "x".repeat(300));
        for (request, status) in [
            ("GET / HTTP/1.1\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (&long, 414),
            (&large, 431),
            (&fields, 431),
        ] {
            let mut talk = world.open();
            let (end, answer) = talk.ask(request);
            assert_eq!(parts(&answer).0, status, "{request:?}: {answer}");
            assert!(answer.contains("connection: close\r\n"));
            assert_lingers(&mut talk, end);
        }
    }

    #[test]
    fn one_that_does_not_come_in_time_is_told_so_when_it_has_begun() {
        let world = world();
        let mut silent = world.open();
        assert_eq!(limit(silent.turn()), Some(Limit::HeadTimeout));
        assert_eq!(silent.expire(), End::Closed);
        silent.receive();
        assert_eq!(silent.hear(), "");
        let mut begun = world.open();
        begun.say("GET / HTTP/1.1\r\n");
        begun.turn();
        let end = begun.expire();
        assert_eq!(parts(&begun.hear()).0, 408);
        assert_lingers(&mut begun, end);
        let mut served = world.open();
        served.ask(get("/"));
        served.say("GET");
        assert!(matches!(served.turn(), End::Parked(Some(Limit::HeadTimeout), Idle::Head(_))));
        served.expire();
        assert_eq!(parts(&served.hear()).0, 408);
    }

    #[test]
    fn bytes_that_waited_with_the_deadline_count_before_it() {
        let world = world();
        let mut talk = world.open();
        talk.turn();
        talk.say(get("/"));
        let end = talk.expire();
        assert_eq!(parts(&talk.hear()), (200, "hello"));
        assert!(is_idle(end), "{end:?}");
    }

    #[test]
    fn an_idle_connection_is_closed_with_a_goodbye() {
        let world = world();
        let mut talk = world.open();
        talk.ask(get("/"));
        assert_eq!(talk.expire(), End::Closed);
        talk.receive();
        assert!(talk.client.process_new_packets().unwrap().peer_has_closed());
    }

    #[test]
    fn a_client_that_closes_is_gone_whatever_it_was_at() {
        let world = world();
        for begun in ["", "GET / HTTP/1.1\r\n", &post("/length", 10)] {
            let mut talk = world.open();
            talk.say(begun);
            talk.turn();
            talk.say_goodbye();
            assert_eq!(talk.settle(), End::Closed, "{begun:?}");
        }
    }

    #[test]
    fn a_connection_that_makes_room_says_goodbye_unless_it_is_in_a_response() {
        let world = world();
        let mut idle = world.open();
        idle.ask(get("/"));
        idle.connection.take().unwrap().close_for_another(world.shared);
        idle.receive();
        assert!(idle.client.process_new_packets().unwrap().peer_has_closed());
        let mut sending = world.open();
        sending.takes(10_000);
        sending.say(get("/large"));
        sending.turn();
        sending.takes(None);
        sending.connection.take().unwrap().close_for_another(world.shared);
        sending.receive();
        assert!(!sending.client.process_new_packets().unwrap().peer_has_closed());
    }

    #[test]
    fn another_worker_calls_the_handler_when_this_one_may_not() {
        let world = world();
        let mut talk = world.open();
        talk.handlers = Handlers::Defer;
        talk.say(get("/"));
        assert_eq!(talk.turn(), End::Queued);
        assert_eq!(talk.hear(), "");
        talk.handlers = Handlers::Call;
        assert!(is_idle(talk.turn()));
        assert_eq!(parts(&talk.hear()), (200, "hello"));
        // One that has left meanwhile has no handler called for it.
        talk.handlers = Handlers::Defer;
        talk.say(get("/panic"));
        assert_eq!(talk.turn(), End::Queued);
        talk.break_off();
        talk.handlers = Handlers::Call;
        assert_eq!(talk.turn(), End::Closed);
    }

    #[test]
    fn a_worker_without_a_permit_leaves_requests_to_others() {
        let world = world();
        let mut talk = world.open();
        talk.buffers.me = Some(1);
        talk.say(get("/"));
        assert_eq!(talk.turn(), End::Again);
        assert_eq!(talk.hear(), "");
    }

    #[test]
    fn a_request_that_may_not_wait_gets_a_503_and_the_connection_is_kept() {
        let world = world();
        let mut talk = world.open();
        talk.handlers = Handlers::Refuse;
        let (end, answer) = talk.ask(get("/"));
        assert_eq!(parts(&answer).0, 503);
        assert!(is_idle(end), "{end:?}");
    }

    #[test]
    fn an_address_that_asks_too_often_is_told_so_once_for_each_request() {
        let world = World::with(router(), |limits| limits.requests_per_address = 2);
        let mut talk = world.open();
        // A deferred request counts once, however often it is looked at.
        talk.handlers = Handlers::Defer;
        talk.say(get("/"));
        assert_eq!(talk.turn(), End::Queued);
        assert_eq!(talk.turn(), End::Queued);
        talk.handlers = Handlers::Call;
        assert_eq!((talk.turn(), parts(&talk.hear())).1, (200, "hello"));
        assert_eq!(parts(&talk.ask(get("/")).1).0, 200);
        let (end, answer) = talk.ask(post("/length", 3) + "abc");
        assert_eq!(parts(&answer).0, 429);
        assert!(is_idle(end));
        // Where the rest of a body is still to come, the connection ends.
        let (end, answer) = talk.ask(post("/length", 3));
        assert_eq!(parts(&answer).0, 429);
        assert_lingers(&mut talk, end);
    }
}

mod body {
    use super::*;

    #[test]
    fn one_that_comes_with_its_head_or_behind_it_or_in_pieces_is_the_same() {
        let world = world();
        let mut talk = world.open();
        assert_eq!(parts(&talk.ask(post("/length", 5) + "12345").1), (200, "5"));
        assert_eq!(limit(talk.ask(post("/length", 5)).0), Some(Limit::BodyTimeout));
        assert_eq!(limit(talk.ask("123").0), Some(Limit::BodyTimeout));
        assert_eq!(parts(&talk.ask("45").1), (200, "5"));
        let request = chunked("/length") + &chunks(5, 2);
        let (last, first) = request.as_bytes().split_last().unwrap();
        for byte in first {
            assert_eq!(talk.ask([*byte]).1, "");
        }
        let (end, answer) = talk.ask([*last]);
        assert_eq!(parts(&answer), (200, "5"));
        assert!(is_idle(end));
    }

    #[test]
    fn the_request_behind_it_is_the_next_one() {
        let world = world();
        let mut talk = world.open();
        for first in [post("/length", 3) + "abc", chunked("/length") + &chunks(3, 3)] {
            let (end, answers) = talk.ask(first + &get("/none"));
            assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("HTTP/1.1 204 "), "{answers}");
            assert!(is_idle(end));
        }
    }

    #[test]
    fn the_limit_is_the_same_for_every_framing_and_every_way_to_read_it() {
        // Read before the handler is called, and by the handler.
        for kept in [100_000, 1_000] {
            let world = World::with(router(), |limits| {
                limits.body_bytes = 40_000;
                limits.body_buffer_bytes = kept;
            });
            for (length, expected) in [(39_999, 200), (40_000, 200), (40_001, 413)] {
                let body = "b".repeat(length);
                let whole = chunked("/length") + &chunks(length, 7_000);
                for request in [post("/length", length) + &body, whole] {
                    let mut talk = world.open();
                    let (_, answer) = talk.ask(request);
                    let (status, content) = parts(&answer);
                    assert_eq!(status, expected, "{kept} {length}: {answer}");
                    assert!(expected != 200 || content == length.to_string(), "{answer}");
                }
            }
        }
    }

    #[test]
    fn one_at_the_bound_of_what_is_kept_in_memory_and_one_over_it_are_read_alike() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        let mut talk = world.open();
        for length in [999, 1_000, 1_001, 5_000] {
            let body = "b".repeat(length);
            for request in [post("/length", length) + &body, chunked("/length") + &chunks(length, 10)] {
                let (end, answer) = talk.ask(request);
                assert_eq!(parts(&answer), (200, &*length.to_string()));
                assert!(is_idle(end), "{length} {end:?}");
            }
        }
    }

    #[test]
    fn a_client_that_waits_for_a_word_gets_it_once() {
        let expecting = |path: &str, length: usize| {
            post(path, length).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
        };
        let world = world();
        let mut talk = world.open();
        let (end, interim) = talk.ask(expecting("/length", 3));
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(limit(end), Some(Limit::BodyTimeout));
        assert_eq!(talk.ask("a").1, "");
        assert_eq!(parts(&talk.ask("bc").1), (200, "3"));
        // Not when the body is there, nor when nobody wants it.
        assert_eq!(parts(&talk.ask(expecting("/length", 1) + "a").1), (200, "1"));
        let (end, answer) = talk.ask(expecting("/nowhere", 3));
        assert_eq!(parts(&answer).0, 404);
        assert_lingers(&mut talk, end);
    }

    #[test]
    fn one_that_nobody_wants_is_read_past_when_it_is_short() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        let mut talk = world.open();
        for body in [None, Some(chunks(900, 90))] {
            let head = body.as_ref().map_or(post("/nowhere", 900), |_| chunked("/nowhere"));
            let (end, answer) = talk.ask(head);
            assert_eq!(parts(&answer).0, 404);
            assert!(matches!(end, End::Parked(Some(Limit::BodyTimeout), Idle::Since(_))), "{end:?}");
            let (end, answer) = talk.ask(body.unwrap_or("b".repeat(900)) + &get("/"));
            assert_eq!(parts(&answer), (200, "hello"));
            assert!(is_idle(end));
        }
    }

    #[test]
    fn one_that_nobody_wants_ends_the_connection_in_every_other_case() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        // Larger than is read past, as its head says.
        let mut talk = world.open();
        let (end, _) = talk.ask(post("/nowhere", 1_001));
        assert_lingers(&mut talk, end);
        // Larger, as it turns out; and malformed.
        for rest in [&chunks(1_001, 100)[..], "zz\r\n"] {
            let mut talk = world.open();
            assert_eq!(parts(&talk.ask(chunked("/nowhere")).1).0, 404);
            let (end, more) = talk.ask(rest);
            assert_eq!(more, "");
            assert_lingers(&mut talk, end);
        }
        // It does not come.
        let mut talk = world.open();
        talk.ask(post("/nowhere", 3));
        assert_eq!(talk.expire(), End::Closed);
        let mut talk = world.open();
        talk.ask(post("/nowhere", 3));
        talk.say_goodbye();
        assert_eq!(talk.settle(), End::Closed);
        // The server stops.
        let mut talk = world.open();
        talk.ask(post("/nowhere", 3));
        world.drain();
        let end = talk.turn();
        assert_lingers(&mut talk, end);
    }

    #[test]
    fn one_that_is_refused_ends_the_connection() {
        let world = World::with(router(), |limits| limits.body_memory_bytes = 2_000);
        for (request, status) in [
            (chunked("/length") + "zz\r\n", 400),
            (post("/length", 5_000) + &"b".repeat(4_000), 503),
            (post("/length", 5_000_000), 413),
        ] {
            let mut talk = world.open();
            let (end, answer) = talk.ask(&request);
            assert_eq!(parts(&answer).0, status, "{answer}");
            assert_lingers(&mut talk, end);
        }
    }

    #[test]
    fn one_that_does_not_come_in_time_is_told_so() {
        let world = world();
        let mut talk = world.open();
        let (end, _) = talk.ask(post("/length", 10) + "123");
        assert!(
            matches!(end, End::Parked(Some(Limit::BodyTimeout), Idle::Moving { bytes: 3, .. })),
            "{end:?}"
        );
        let end = talk.expire();
        assert_eq!(parts(&talk.hear()).0, 408);
        assert_lingers(&mut talk, end);
    }

    #[test]
    fn another_worker_gets_it_when_this_one_calls_no_handlers() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        for length in [900, 1_100] {
            let mut talk = world.open();
            talk.handlers = Handlers::Defer;
            talk.say(post("/length", length));
            talk.turn();
            talk.say("b".repeat(length));
            assert_eq!(talk.settle(), End::Queued);
            assert_eq!(talk.settle(), End::Queued);
            talk.handlers = Handlers::Call;
            assert!(is_idle(talk.settle()));
            assert_eq!(parts(&talk.hear()), (200, &*length.to_string()));
        }
    }

    #[test]
    fn a_streamed_one_that_is_not_read_whole_ends_the_connection() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        for (path, content) in [("/ignore", "ignored"), ("/part", "10")] {
            for request in [post(path, 2_000) + &"b".repeat(2_000), chunked(path) + &chunks(2_000, 500)] {
                let mut talk = world.open();
                let (end, answer) = talk.ask(request);
                assert_eq!(parts(&answer), (200, content));
                assert_lingers(&mut talk, end);
            }
        }
    }

    #[test]
    fn a_streamed_one_that_breaks_off_is_an_error_for_the_handler() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        let mut talk = world.open();
        let (_, answer) = talk.ask(chunked("/length") + &format!("7d0\r\n{}zz", "b".repeat(2_000)));
        assert_eq!(parts(&answer).0, 400, "{answer}");
        let mut talk = world.open();
        talk.say(post("/length", 2_000) + &"b".repeat(1_500));
        talk.say_goodbye();
        talk.settle();
        assert_eq!(parts(&talk.hear()).0, 400);
        // It does not come, and the time for it is over before the handler asks.
        let world = World::with(router(), |limits| {
            limits.body_buffer_bytes = 1_000;
            limits.body_timeout = Duration::from_millis(1);
            limits.body_min_rate = 1_000_000_000;
        });
        let mut talk = world.open();
        let (_, answer) = talk.ask(post("/length", 2_000) + "b");
        assert_eq!(parts(&answer).0, 408);
        // The server has stopped.
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        let mut talk = world.open();
        world.stop();
        let (_, answer) = talk.ask(post("/length", 2_000) + "b");
        assert_eq!(parts(&answer).0, 400);
    }

    #[test]
    fn the_places_for_streamed_ones_are_bounded_in_all_and_for_an_address() {
        for (change, status) in [(1, 503), (5, 429)] {
            let world = World::with(router(), |limits| {
                limits.body_buffer_bytes = 10;
                limits.streaming_bodies = change;
                limits.streaming_bodies_per_address = 6 - change;
            });
            let other = [192, 0, 2, if status == 503 { 8 } else { 7 }];
            let _held = world.shared.streams.enter(other.into()).ok().unwrap();
            let mut talk = world.open();
            let (end, answer) = talk.ask(post("/length", 20) + &"b".repeat(20));
            assert_eq!(parts(&answer).0, status, "{answer}");
            assert_lingers(&mut talk, end);
        }
    }

    #[test]
    fn a_request_that_may_not_wait_is_refused_from_its_head_or_when_its_body_is_there() {
        let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
        let mut talk = world.open();
        talk.handlers = Handlers::Refuse;
        let (end, answer) = talk.ask(post("/length", 900));
        assert_eq!((limit(end), &*answer), (Some(Limit::BodyTimeout), ""));
        let (end, answer) = talk.ask("b".repeat(900));
        assert_eq!(parts(&answer).0, 503);
        assert!(is_idle(end), "{end:?}");
        let (end, answer) = talk.ask(post("/length", 1_100));
        assert_eq!(parts(&answer).0, 503);
        assert_lingers(&mut talk, end);
    }
}

mod response {
    use super::*;

    #[test]
    fn what_a_handler_may_not_send_is_an_error_of_its_own() {
        let world = world();
        let mut talk = world.open();
        assert_eq!(parts(&talk.ask(get("/interim")).1).0, 500);
        assert_eq!(parts(&talk.ask(get("/panic")).1).0, 500);
        assert_eq!(parts(&talk.ask(get("/none")).1), (204, ""));
        assert_eq!(parts(&talk.ask(get("/").replace("GET", "HEAD")).1), (200, ""));
        assert_eq!(parts(&talk.ask(get("/nowhere")).1).0, 404);
        assert_eq!(parts(&talk.ask(get("/%2e%2e/")).1).0, 400);
    }

    #[test]
    fn a_large_one_goes_out_as_the_client_takes_it() {
        let world = world();
        let mut talk = world.open();
        talk.takes(10_000);
        talk.say(get("/large"));
        let end = talk.turn();
        assert!(matches!(end, End::Parked(Some(Limit::WriteTimeout), Idle::Moving { .. })), "{end:?}");
        let mut heard = talk.hear();
        while heard.len() < LARGE {
            talk.takes(50_000);
            talk.settle();
            heard += &talk.hear();
        }
        talk.takes(None);
        let end = talk.settle();
        heard += &talk.hear();
        assert_eq!(parts(&heard).1.len(), LARGE);
        assert!(is_idle(end), "{end:?}");
        assert_eq!(parts(&talk.ask(get("/")).1), (200, "hello"));
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_and_one_that_takes_too_little_too() {
        let world = world();
        let mut talk = world.open();
        talk.takes(0);
        talk.say(get("/large"));
        assert_eq!(limit(talk.turn()), Some(Limit::WriteTimeout));
        assert_eq!(talk.expire(), End::Closed);
        // A little each time is progress, and less than the least rate all the same.
        let world = World::with(router(), |limits| limits.write_min_rate = 1_000_000_000);
        let mut talk = world.open();
        talk.takes(10_000);
        talk.say(get("/large"));
        talk.turn();
        talk.takes(10);
        talk.pass(Duration::from_secs(20));
        let end = talk.turn();
        assert_eq!(limit(end), Some(Limit::WriteMinRate), "{end:?}");
        assert_eq!(talk.expire(), End::Closed);
    }

    #[test]
    fn a_client_that_does_not_read_answers_gets_no_further_ones() {
        let world = world();
        let mut talk = world.open();
        talk.takes(0);
        talk.say(get("/").repeat(3));
        let end = talk.turn();
        assert_eq!(limit(end), Some(Limit::WriteTimeout), "{end:?}");
        talk.say(get("/"));
        assert_eq!(limit(talk.turn()), Some(Limit::WriteTimeout));
        talk.takes(None);
        assert!(is_idle(talk.settle()));
        assert_eq!(talk.hear().matches("hello").count(), 4);
        // Many that are not taken are not kept in memory.
        talk.takes(0);
        talk.say(get("/").repeat(300));
        let end = talk.settle();
        assert_eq!(limit(end), Some(Limit::WriteTimeout), "{end:?}");
        talk.takes(None);
        assert!(is_idle(talk.settle()));
        assert_eq!(talk.hear().matches("hello").count(), 300);
    }

    #[test]
    fn a_streamed_one_is_framed_by_what_is_known_of_it() {
        let world = world();
        let mut talk = world.open_with_worker();
        assert_eq!(parts(&talk.ask(get("/streamed")).1).1, "8\r\nstreamed\r\n0\r\n\r\n");
        let (end, answer) = talk.ask(get("/counted"));
        assert_eq!(parts(&answer), (200, "counted"));
        assert!(is_idle(end));
        let (end, answer) = talk.ask("GET /streamed HTTP/1.0\r\n\r\n");
        assert_eq!(parts(&answer), (200, "streamed"));
        assert_lingers(&mut talk, end);
    }

    #[test]
    fn a_streamed_one_that_fails_is_cut_so_that_nobody_takes_it_for_the_whole() {
        let world = world();
        for path in ["/short", "/failing", "/panicking", "/lying"] {
            let mut talk = world.open_with_worker();
            let (end, answer) = talk.ask(get(path));
            assert_eq!((end, parts(&answer).0), (End::Closed, 200), "{path}");
            assert!(!answer.contains("0\r\n\r\n"), "{path}: {answer}");
        }
    }

    #[test]
    fn a_reader_is_asked_by_a_worker_that_has_a_place_for_it() {
        let world = World::with(router(), |limits| {
            limits.workers = 1;
            limits.reserve_workers = 0;
        });
        // The supervisor leaves it to a worker.
        let mut talk = world.open();
        talk.say(get("/streamed"));
        assert_eq!(talk.turn(), End::Queued);
        // It has the one place, so another such response does not begin.
        let mut other = world.open_with_worker();
        assert_eq!(parts(&other.ask(get("/streamed")).1).0, 503);
        talk.buffers.me = Some(0);
        assert!(is_idle(talk.turn()));
        assert!(talk.hear().ends_with("8\r\nstreamed\r\n0\r\n\r\n"));
        assert_eq!(parts(&other.ask(get("/streamed")).1).0, 200);
    }

    #[test]
    fn an_endless_one_lets_others_have_their_turn() {
        let world = world();
        let mut talk = world.open_with_worker();
        talk.say(get("/endless"));
        assert_eq!(talk.turn(), End::Again);
        assert!(is_idle(talk.settle()));
        assert!(talk.hear().len() > 3_000_000);
        // No reader is asked for a server that has stopped.
        talk.say(get("/endless"));
        assert_eq!(talk.turn(), End::Again);
        world.stop();
        assert_eq!(talk.turn(), End::Closed);
    }
}

mod drain {
    use super::*;

    #[test]
    fn what_has_come_is_answered_and_idle_connections_close() {
        let world = world();
        let mut idle = world.open();
        idle.ask(get("/"));
        let mut fresh = world.open();
        let mut asking = world.open();
        asking.say(get("/").repeat(2));
        let mut beginning = world.open();
        beginning.say("GET / HTTP/1.1\r\n");
        beginning.turn();
        world.drain();
        assert_eq!(idle.turn(), End::Closed);
        assert_eq!(fresh.turn(), End::Closed);
        let end = asking.settle();
        assert_eq!(asking.hear().matches("hello").count(), 2);
        assert_lingers(&mut asking, end);
        // A head that has begun has a little time.
        assert_eq!(limit(beginning.turn()), Some(Limit::HeadTimeout));
        let (end, answer) = beginning.ask("Host: localhost\r\n\r\n");
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
        assert_lingers(&mut beginning, end);
    }
}

//! Responses whose reader blocks: the client gets at once what the reader has given. A client that leaves, and too many clients
//! that stay, take nothing from the others.

mod support;

use std::io::{self, Read};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lockgate::{Limits, Request, Response, Router};

use support::{get, noise, post, reset, serve, serve_within, Client, End, Gate, Serving, Shape, SAFETY};

/// More than the system keeps for a client that does not read.
const LONG: usize = 24 * 1024 * 1024;

/// A reader that gives what the test sends it, each in one piece as far as there is room for it, and ends with the sender.
struct Events {
    events: Receiver<Vec<u8>>,
    rest: Vec<u8>,
    asked: Arc<Gate>,
    dropped: Arc<Gate>,
}

impl Read for Events {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.asked.pass();
            self.rest = self.events.recv().unwrap_or_default();
        }
        let length = self.rest.len().min(out.len());
        out[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.dropped.pass();
    }
}

/// The other end of a stream.
struct Source {
    events: Sender<Vec<u8>>,
    /// Where the stream is each time it is asked for more.
    asked: Arc<Gate>,
    /// Where it is when it is dropped.
    dropped: Arc<Gate>,
}

/// `/stream` gives the next of the streams that the test has made; `/known` the same with a length, `/quick` an answer,
/// `/wait` one when the gate is open.
struct Streams {
    next: Sender<Events>,
    gate: Arc<Gate>,
    serving: Serving,
}

impl Streams {
    fn serve(length: u64, change: impl FnOnce(&mut Limits)) -> Streams {
        let (next, made) = channel::<Events>();
        let made = Arc::new(Mutex::new(made));
        let known = made.clone();
        let gate = Gate::new();
        let waits = gate.clone();
        let router = Router::new()
            .get("/quick", |_: &mut Request| "quick")
            .get("/wait", move |_: &mut Request| {
                waits.pass();
                "waited"
            })
            .get("/stream", move |_: &mut Request| Response::reader(made.lock().unwrap().recv().unwrap()))
            .get("/known", move |_: &mut Request| {
                Response::reader_with_length(known.lock().unwrap().recv().unwrap(), length)
            });
        Streams { next, gate, serving: serve_within(router, change) }
    }

    fn make(&self) -> Source {
        let (events, received) = channel();
        let (asked, dropped) = (Gate::new(), Gate::new());
        asked.open();
        dropped.open();
        let (asks, drops) = (asked.clone(), dropped.clone());
        self.next.send(Events { events: received, rest: Vec::new(), asked: asks, dropped: drops }).unwrap();
        Source { events, asked, dropped }
    }

    /// A client whose stream's reader has been asked and blocks.
    fn open(&self) -> (Client, Source) {
        let source = self.make();
        let mut client = self.serving.connect();
        client.send(get("/stream"));
        source.asked.wait_for(1);
        (client, source)
    }
}

#[test]
fn what_a_reader_gives_is_with_the_client_before_the_reader_is_asked_again() {
    // The large ones fill every buffer on the way several times.
    let events: Vec<Vec<u8>> = [9, 1, 16 * 1024, 63 * 1024, 300_000, 7].map(noise).into();
    let length = events.iter().map(Vec::len).sum::<usize>();
    for request in ["GET /stream HTTP/1.1", "GET /stream HTTP/1.0", "GET /known HTTP/1.1"] {
        let streams = Streams::serve(length as u64, |_| {});
        let source = streams.make();
        let mut client = streams.serving.connect();
        client.send(format!("{request}\r\nHost: localhost\r\n\r\n"));
        // Nothing was given yet, and the head is here.
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        for (number, event) in events.iter().enumerate() {
            source.events.send(event.clone()).unwrap();
            // The reader gives no more before all of this is here; it comes in chunks, so its end says that.
            let end = &event[event.len().saturating_sub(8)..];
            let come = client.take_until(end).unwrap_or_else(|end| panic!("{request} {number}: {end:?}"));
            assert!(come.len() >= event.len(), "{request} {number}");
        }
        drop(source.events);
        if head.contains("chunked") {
            assert_eq!(client.take_until(b"0\r\n\r\n").unwrap(), b"\r\n0\r\n\r\n");
        }
        if head.contains("connection: close") {
            client.expect_goodbye();
        } else {
            assert_eq!(client.get("/quick").text(), "quick");
        }
    }
}

/// The reader gives its whole buffer each time, and may still block before the next.
#[test]
fn full_pieces_are_with_the_client_before_the_reader_is_asked_again_too() {
    struct Full {
        turns: Receiver<()>,
    }
    impl Read for Full {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.turns.recv() {
                Ok(()) => {
                    out.fill(b'x');
                    Ok(out.len())
                }
                Err(_) => Ok(0),
            }
        }
    }
    let (turn, turns) = channel();
    let once = Mutex::new(Some(Full { turns }));
    let router = Router::new()
        .get("/", move |_: &mut Request| Response::reader(once.lock().unwrap().take().expect("asked once")));
    let serving = serve(router);
    let mut client = serving.connect();
    client.send(get("/"));
    client.take_until(b"\r\n\r\n").unwrap();
    for _ in 0..3 {
        turn.send(()).unwrap();
        client.take_until(b"x\r\n").unwrap();
    }
    drop(turn);
    client.take_until(b"0\r\n\r\n").unwrap();
}

/// One worker and two in reserve, of which one may be inside a reader.
fn few(limits: &mut Limits) {
    limits.workers = 1;
    limits.reserve_workers = 2;
    limits.queue_timeout = Duration::from_millis(500);
}

#[test]
fn a_stream_whose_client_has_reset_takes_no_worker_from_the_others() {
    let streams = Streams::serve(0, few);
    let (client, source) = streams.open();
    client.reset();
    // All three workers that there may be, and none of them is the one inside the reader.
    let mut waiting: Vec<Client> = (0..2).map(|_| streams.serving.connect()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(get("/wait"));
        streams.gate.wait_for(number + 1);
    }
    let deadline = Instant::now() + SAFETY;
    // The reset is noticed in its own time.
    while streams.serving.get("/quick").status != 200 {
        assert!(Instant::now() < deadline, "the reader without a client still counts");
    }
    // A stream of another client has its place as well.
    let (mut other, others) = streams.open();
    others.events.send(b"event".to_vec()).unwrap();
    other.take_until(b"event").unwrap();

    // The reader goes at its next return.
    source.events.send(b"nobody reads this".to_vec()).unwrap();
    source.dropped.wait_for(1);
    streams.gate.open();
    for client in &mut waiting {
        assert_eq!(client.reply().text(), "waited");
    }
    drop(others);
    assert_eq!(streams.serving.get("/quick").text(), "quick");
}

#[test]
fn many_streams_whose_clients_reset_at_once_leave_the_routes_to_others() {
    let streams = Streams::serve(0, |limits| {
        limits.workers = 2;
        limits.reserve_workers = 8;
        limits.queue_timeout = Duration::from_millis(500);
    });
    let mut held = Vec::new();
    for _ in 0..30 {
        let source = streams.make();
        let mut client = streams.serving.connect();
        client.send(get("/stream"));
        // Either its reader is asked, or it is refused.
        let head = client.take_until(b"\r\n\r\n").unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 503"), "{head:?}");
        held.push(source);
        client.reset();
        assert_eq!(streams.serving.get("/quick").text(), "quick");
    }
}

#[test]
fn half_of_the_reserve_may_be_inside_readers_and_the_next_stream_is_refused() {
    let streams = Streams::serve(0, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 4;
    });
    let (mut first, source) = streams.open();
    let (_second, _held) = streams.open();
    let _third = streams.make();
    let mut refused = streams.serving.connect();
    let reply = refused.get("/stream");
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")), "{reply:?}");
    reply.problem();
    refused.assert_limit_named("reserve_workers");
    assert_eq!(refused.get("/quick").text(), "quick");
    // HEAD has no body, and asks no reader.
    let _fourth = streams.make();
    refused.send("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(refused.try_reply(Shape::HeadOnly).unwrap().status, 200);

    source.events.send(b"event".to_vec()).unwrap();
    first.take_until(b"event").unwrap();
    drop(source.events);
    first.take_until(b"0\r\n\r\n").unwrap();
    let (mut next, source) = streams.open();
    source.events.send(b"again".to_vec()).unwrap();
    next.take_until(b"again").unwrap();
}

#[test]
fn a_response_under_way_waits_for_a_place_and_goes_on() {
    let (next, made) = channel::<Events>();
    let made = Mutex::new(made);
    let content: Arc<[u8]> = noise(LONG).into();
    let source = content.clone();
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/long", move |_: &mut Request| Response::reader(io::Cursor::new(source.clone())))
        .get("/stream", move |_: &mut Request| Response::reader(made.lock().unwrap().recv().unwrap()));
    let serving = serve_within(router, few);
    let mut long = serving.connect();
    long.send(get("/long"));
    // It is under way, and its client takes no more; so its place is free.
    long.take_until(b"\r\n\r\n").unwrap();
    assert_eq!(serving.get("/quick").text(), "quick");
    let (events, received) = channel();
    let (asked, dropped) = (Gate::new(), Gate::new());
    asked.open();
    dropped.open();
    next.send(Events { events: received, rest: Vec::new(), asked: asked.clone(), dropped }).unwrap();
    let mut stream = serving.connect();
    stream.send(get("/stream"));
    asked.wait_for(1);

    let reading = thread::spawn(move || {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(long.take_until(b"\r\n").unwrap()).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let mut piece = Vec::new();
            while piece.len() < size + 2 {
                piece.extend(long.take_until(b"\n").unwrap());
            }
            body.extend_from_slice(&piece[..size]);
            if size == 0 {
                return body;
            }
        }
    });
    assert_eq!(serving.get("/quick").text(), "quick");
    let mut sent = 1;
    while !reading.is_finished() {
        events.send(b"event".to_vec()).unwrap();
        stream.take_until(b"event").unwrap();
        sent += 1;
        asked.wait_for(sent);
    }
    assert!(reading.join().unwrap() == *content);
    drop(events);
    stream.take_until(b"0\r\n\r\n").unwrap();
    assert_eq!(serving.get("/quick").text(), "quick");
}

#[test]
fn a_handler_learns_that_its_client_is_gone_and_a_half_closed_one_is_not() {
    let here = Gate::new();
    here.open();
    let seen = Gate::new();
    seen.open();
    let gate = Gate::new();
    let router = {
        let (here, seen, gate) = (here.clone(), seen.clone(), gate.clone());
        let works = move |request: &mut Request| {
            here.pass();
            let deadline = Instant::now() + SAFETY;
            while !request.client_is_gone() {
                assert!(Instant::now() < deadline, "the client is gone, and the handler is not told");
                thread::sleep(Duration::from_millis(1));
            }
            seen.pass();
            "nobody reads this"
        };
        Router::new().get("/works", works.clone()).post("/works", works).get(
            "/half",
            move |request: &mut Request| {
                gate.pass();
                format!("gone: {}", request.client_is_gone())
            },
        )
    };
    let serving = serve_within(router, |limits| limits.body_buffer_bytes = 100);
    let mut client = serving.connect();
    client.send(get("/works"));
    here.wait_for(1);
    client.reset();
    seen.wait_for(1);
    // The same for a handler that has its request's body before it.
    let mut client = serving.connect();
    client.send(post("/works", &noise(1_000)));
    here.wait_for(2);
    client.reset();
    seen.wait_for(2);

    let mut half = serving.connect();
    half.send(get("/half"));
    gate.wait_for(1);
    half.finish();
    // What is answered after that comes after the server has heard of it.
    assert_eq!(serving.get("/missing").status, 404);
    gate.open();
    assert_eq!(half.reply().text(), "gone: false");
}

#[test]
fn no_handler_is_called_for_a_client_that_has_reset_while_its_request_waited() {
    let gate = Gate::new();
    let called = Gate::new();
    called.open();
    let router = {
        let (gate, called) = (gate.clone(), called.clone());
        Router::new()
            .get("/wait", move |_: &mut Request| {
                gate.pass();
                "waited"
            })
            .get("/count", move |_: &mut Request| {
                called.pass();
                "counted"
            })
    };
    let serving = serve_within(router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 0;
        limits.queue_timeout = SAFETY * 2;
    });
    let mut blocked = serving.connect();
    blocked.send(get("/wait"));
    gate.wait_for(1);
    let mut queued: Vec<Client> = (0..6).map(|_| serving.connect()).collect();
    for client in &mut queued {
        client.send(get("/count"));
    }
    // What is answered after they have asked is answered after they were queued.
    assert_eq!(serving.get("/missing").status, 404);
    let mut half = queued.pop().unwrap();
    for client in queued {
        client.reset();
    }
    half.finish();
    assert_eq!(serving.get("/missing").status, 404);
    gate.open();
    assert_eq!(half.reply().text(), "counted");
    assert_eq!(blocked.reply().text(), "waited");
    assert_eq!(serving.get("/count").text(), "counted");
    assert!(!called.have_come(3, Duration::ZERO), "a handler ran for a client that had left");
}

#[test]
fn a_client_that_resets_ends_its_stream_at_the_next_event() {
    for size in [1, 1_000_000] {
        let streams = Streams::serve(0, |_| {});
        let (client, source) = streams.open();
        source.events.send(noise(size)).unwrap();
        reset(client.into_tcp());
        while source.events.send(noise(size)).is_ok() {
            thread::yield_now();
        }
        source.dropped.wait_for(1);
    }
}

/// Says that it has given more than there was room for.
struct Boastful;

impl Read for Boastful {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.fill(b'x');
        Ok(out.len() + 4)
    }
}

#[test]
fn a_reader_that_says_too_much_sends_nothing_of_others() {
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/other", |_: &mut Request| Response::reader(io::repeat(b'y').take(300_000)))
        .get("/known", |_: &mut Request| Response::reader_with_length(Boastful, 4))
        .get("/", |_: &mut Request| Response::reader(Boastful));
    let serving = serve_within(router, |limits| limits.workers = 1);
    for path in ["/known", "/"] {
        assert_eq!(serving.get("/other").body.len(), 300_000);
        let mut client = serving.connect();
        // Less is asked for while further requests are held.
        client.send(get(path) + &get("/quick").repeat(10));
        let (answer, end) = client.rest();
        let shown = String::from_utf8_lossy(&answer);
        assert!(answer.ends_with(b"\r\n\r\n"), "{path}: {shown}");
        assert_ne!(end, End::Goodbye, "{path}");
    }
}

/// Gives what it likes and panics in the end.
struct Trap(io::Repeat);

impl Read for Trap {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("as the test wants it");
    }
}

#[test]
fn a_reader_that_panics_when_it_is_dropped_ends_neither_the_listener_nor_a_stop() {
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/", |_: &mut Request| Response::reader(Trap(io::repeat(b'x'))));
    let serving = serve_within(router, |limits| {
        limits.connections = 2;
        limits.stall_timeout = Duration::from_millis(1);
        limits.write_min_rate = u64::MAX;
        limits.drain_timeout = Duration::from_millis(1);
    });
    let open = || {
        let mut client = serving.connect();
        client.send(get("/"));
        client.take_until(b"\r\n\r\n").unwrap();
        client
    };
    let _held = (open(), open());
    // They make room for others as soon as their sockets take no more.
    let deadline = Instant::now() + SAFETY;
    while Client::connect(serving.address).map(|mut client| client.get("/quick").status).ok() != Some(200) {
        assert!(Instant::now() < deadline, "nobody is let in any more");
    }
    let open = || loop {
        // The place of the client before it may not be free yet.
        let Ok(mut client) = Client::connect(serving.address) else {
            assert!(Instant::now() < deadline, "nobody is let in any more");
            continue;
        };
        client.send(get("/"));
        client.take_until(b"\r\n\r\n").unwrap();
        break client;
    };
    let _held = (open(), open());
    serving.handle.stop();
    serving.join().unwrap();
}

#[test]
fn a_stop_ends_the_streams_that_wait_for_a_place() {
    let streams = Streams::serve(0, |limits| {
        few(limits);
        limits.drain_timeout = Duration::from_millis(1);
    });
    let open = |behind: &str| loop {
        let source = streams.make();
        let mut client = streams.serving.connect();
        client.send(get("/stream") + behind);
        if client.take_until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 200") {
            source.asked.wait_for(1);
            return (client, source);
        }
    };
    // Two are under way, and their clients take no more; so they have no place, and another has it.
    let mut waiting = [(); 2].map(|()| {
        let (client, source) = open("");
        source.events.send(noise(LONG)).unwrap();
        (client, source)
    });
    let (mut probe, ends) = open("");
    drop(ends.events);
    probe.take_until(b"0\r\n\r\n").unwrap();
    let (_last, last) = open(&get("/wait"));
    let mut busy = streams.serving.connect();
    busy.send(get("/wait"));
    streams.gate.wait_for(1);
    // Their clients take all there is, so they want to go on.
    for (client, _) in &mut waiting {
        while !client.stays_silent_for(Duration::from_millis(100)) {
            client.receive().unwrap();
            client.forget();
        }
    }
    let mut busier = streams.serving.connect();
    busier.send(get("/wait"));
    streams.gate.wait_for(2);
    // The place goes to one of them, for which there is no worker: the last one has a handler to call.
    drop(last.events);
    streams.gate.wait_for(3);

    let gate = streams.gate.clone();
    let handle = streams.serving.handle.clone();
    handle.stop();
    streams.serving.join().unwrap();
    for (_, source) in &waiting {
        source.dropped.wait_for(1);
    }
    drop(handle);
    gate.open();
}

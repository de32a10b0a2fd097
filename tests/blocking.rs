//! Handlers that block: other connections are served while a worker is free, and are refused with 503 when there is none. A
//! connection without work holds no thread.

mod support;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use lockgate::{Error, Limits, Request, Response, Router};

use support::{get, noise, post, serve, serve_within, Client, End, Gate, Reply, Serving, Shape, SAFETY};

/// More than the system keeps for a client that does not read.
const LONG: usize = 24 * 1024 * 1024;

fn one_worker(limits: &mut Limits) {
    limits.workers = 1;
    limits.reserve_workers = 0;
}

/// `/wait` waits at the gate, `/quick` does not.
fn router(gate: &Arc<Gate>) -> Router {
    let gate = gate.clone();
    Router::new().get("/quick", |_: &mut Request| "quick").get("/wait", move |_: &mut Request| {
        gate.pass();
        "waited"
    })
}

/// A client whose request is inside the handler.
fn inside(serving: &Serving, gate: &Gate, arrivals: usize) -> Client {
    let mut client = serving.connect();
    client.send(get("/wait"));
    gate.wait_for(arrivals);
    client
}

fn assert_busy(reply: &Reply) {
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")), "{reply:?}");
    reply.problem();
}

#[test]
fn thirty_two_handlers_wait_for_each_other_and_a_quick_request_for_none_of_them() {
    const CLIENTS: usize = 32;
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let come = Gate::new();
    come.open();
    let router = {
        let (barrier, come) = (barrier.clone(), come.clone());
        Router::new().get("/quick", |_: &mut Request| "quick").get("/meet", move |_: &mut Request| {
            come.pass();
            barrier.wait();
            "met"
        })
    };
    let serving = serve(router);
    let ask = || {
        let mut client = serving.connect();
        client.send(get("/meet"));
        client
    };
    let mut clients: Vec<Client> = (1..CLIENTS).map(|_| ask()).collect();
    come.wait_for(CLIENTS - 1);
    assert_eq!(serving.get("/quick").text(), "quick");
    clients.push(ask());
    for client in &mut clients {
        assert_eq!(client.reply().text(), "met");
    }
}

#[test]
fn when_every_worker_blocks_others_are_told_and_everything_goes_on_afterwards() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), |limits| {
        one_worker(limits);
        limits.queue_timeout = Duration::from_millis(300);
    });
    let mut kept = serving.connect();
    assert_eq!(kept.get("/quick").text(), "quick");
    let mut blocked = inside(&serving, &gate, 1);

    // A handshake, an answer that takes no handler, and a refusal take no worker.
    let mut new = serving.connect();
    assert_eq!(new.get("/missing").status, 404);
    for client in [&mut kept, &mut new] {
        assert_busy(&client.get("/quick"));
        client.assert_limit_named("queue_timeout");
    }
    new.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(new.reply().status, 400);

    gate.open();
    assert_eq!(blocked.reply().text(), "waited");
    for client in [&mut kept, &mut blocked] {
        assert_eq!(client.get("/quick").text(), "quick");
    }
}

#[test]
fn a_request_waits_in_the_queue_only_while_there_is_room_in_it() {
    for room in [0, 2] {
        let gate = Gate::new();
        let serving = serve_within(router(&gate), |limits| {
            one_worker(limits);
            limits.queue_requests = room;
            limits.queue_timeout = SAFETY * 2;
        });
        let mut blocked = inside(&serving, &gate, 1);
        let mut queued: Vec<Client> = (0..room).map(|_| serving.connect()).collect();
        for client in &mut queued {
            client.send(get("/quick"));
        }
        // What is answered after they have asked is answered after they were queued.
        let mut refused = serving.connect();
        assert_eq!(refused.get("/missing").status, 404);
        assert_busy(&refused.get("/quick"));
        refused.assert_limit_named("queue_requests");
        gate.open();
        assert_eq!(blocked.reply().text(), "waited");
        for client in &mut queued {
            assert_eq!(client.reply().text(), "quick");
        }
        // The worker may have sent its answer and not be back yet; without a queue that is a 503 once more.
        let last = (0..1000).map(|_| refused.get("/quick")).find(|reply| room > 0 || reply.status != 503);
        assert_eq!(last.expect("the worker comes back").text(), "quick");
    }
}

#[test]
fn an_answer_that_is_written_before_its_connection_queues_is_not_lost() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), |limits| {
        one_worker(limits);
        limits.queue_timeout = SAFETY * 2;
    });
    let mut blocked = inside(&serving, &gate, 1);
    let mut pipelining = serving.connect();
    pipelining.send(get("/missing") + &get("/missing") + &get("/quick"));
    assert_eq!((pipelining.reply().status, pipelining.reply().status), (404, 404));
    gate.open();
    assert_eq!(pipelining.reply().text(), "quick");
    assert_eq!(blocked.reply().text(), "waited");
}

#[test]
fn a_large_upload_that_stalls_holds_no_other_request_up() {
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .post("/upload", |request: &mut Request| -> Result<String, Error> {
            Ok(request.bytes()?.len().to_string())
        });
    let serving = serve_within(router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
        limits.streaming_bodies = 1;
        limits.body_buffer_bytes = 1024;
    });
    let upload = post("/upload", &noise(500_000));
    let mut stalled = serving.connect();
    stalled.send(&upload[..100_000]);
    for _ in 0..20 {
        assert_eq!(serving.get("/quick").text(), "quick");
    }
    stalled.send(&upload[100_000..]);
    assert_eq!(stalled.reply().text(), "500000");
}

#[test]
fn uploads_that_are_small_enough_to_be_kept_hold_no_worker_while_they_stall() {
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .post("/", |request: &mut Request| request.bytes().map(Response::bytes));
    let serving = serve_within(router, one_worker);
    let body = noise(60_000);
    let upload = post("/", &body);
    let mut stalled: Vec<Client> = (0..20).map(|_| serving.connect()).collect();
    for client in &mut stalled {
        client.send(&upload[..30_000]);
    }
    assert_eq!(serving.get("/quick").text(), "quick");
    for client in &mut stalled {
        client.send(&upload[30_000..]);
        assert_eq!(client.reply().body, body);
    }
}

#[test]
fn who_reads_a_long_response_slowly_holds_nobody_up() {
    let content: Arc<[u8]> = noise(LONG).into();
    let source = content.clone();
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/long", move |_: &mut Request| Response::reader(io::Cursor::new(source.clone())));
    let serving = serve_within(router, one_worker);
    let mut slow = serving.connect();
    slow.send(get("/long"));
    for _ in 0..20 {
        assert_eq!(serving.get("/quick").text(), "quick");
    }
    assert!(slow.reply().body == *content);
    assert_eq!(slow.get("/quick").text(), "quick");
}

#[test]
fn a_source_that_blocks_holds_nobody_up_even_when_every_worker_is_inside_a_handler() {
    struct Source {
        left: usize,
        blocks: Arc<AtomicBool>,
        gate: Arc<Gate>,
    }
    impl Read for Source {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.blocks.load(Ordering::SeqCst) {
                self.gate.pass();
            }
            let length = out.len().min(self.left);
            out[..length].fill(b'x');
            self.left -= length;
            Ok(length)
        }
    }
    let (gate, source_gate) = (Gate::new(), Gate::new());
    let blocks = Arc::new(AtomicBool::new(false));
    let router = {
        let (blocks, source_gate) = (blocks.clone(), source_gate.clone());
        router(&gate).get("/long", move |_: &mut Request| {
            Response::reader(Source { left: LONG, blocks: blocks.clone(), gate: source_gate.clone() })
        })
    };
    let serving = serve_within(router, |limits| {
        one_worker(limits);
        limits.queue_timeout = Duration::from_millis(300);
    });
    let mut long = serving.connect();
    long.send(get("/long"));
    let mut blocked = inside(&serving, &gate, 1);
    blocks.store(true, Ordering::SeqCst);
    let reading = thread::spawn(move || long.reply().body.len());
    for _ in 0..5 {
        assert_busy(&serving.get("/quick"));
    }
    source_gate.open();
    gate.open();
    assert_eq!(blocked.reply().text(), "waited");
    assert_eq!(reading.join().unwrap(), LONG);
    assert_eq!(serving.get("/quick").text(), "quick");
}

#[test]
fn the_time_a_response_takes_is_not_counted_as_the_next_requests_wait() {
    const PATIENCE: Duration = Duration::from_millis(500);
    /// Too short for its worker to count as blocked.
    const PAUSE: Duration = Duration::from_millis(4);
    const PAUSES: u32 = 200;
    struct Slow(u32);
    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            thread::sleep(PAUSE);
            self.0 = self.0.saturating_sub(1);
            out[0] = b'x';
            Ok(usize::from(self.0 > 0))
        }
    }
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/slow", |_: &mut Request| Response::reader(Slow(PAUSES)));
    let serving = serve_within(router, |limits| limits.queue_timeout = PATIENCE);
    let mut client = serving.connect();
    client.send(get("/slow") + &get("/quick"));
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.reply().text(), "quick");
}

#[test]
fn a_handler_that_panics_costs_its_client_a_500_and_nobody_anything_else() {
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/panic", |_: &mut Request| -> &'static str { panic!("as the test wants it") })
        .post("/panic", |request: &mut Request| -> &'static str {
            let mut one = [0];
            request.body().read_exact(&mut one).unwrap();
            panic!("as the test wants it")
        });
    let serving = serve_within(router, |limits| {
        one_worker(limits);
        limits.body_buffer_bytes = 1024;
    });
    let mut client = serving.connect();
    client.send(get("/panic") + &get("/quick"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.closes()), (500, false));
    assert!(!String::from_utf8(reply.body.clone()).unwrap().contains("as the test wants it"));
    reply.problem();
    assert_eq!(client.reply().text(), "quick");

    let mut uploading = serving.connect();
    uploading.send(post("/panic", &noise(100_000)));
    assert_eq!(uploading.reply().status, 500);
    for _ in 0..3 {
        assert_eq!(serving.get("/quick").text(), "quick");
    }
}

/// A response's source that fails in one of the ways it can.
#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    PanicWhenDropped,
}

struct Failing {
    left: usize,
    fault: Fault,
}

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = out.len().min(self.left);
        self.left -= length;
        match (length, self.fault) {
            (0, Fault::Error) => Err(io::Error::other("as the test wants it")),
            (0, Fault::Panic) => panic!("as the test wants it"),
            _ => Ok(length),
        }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        if matches!(self.fault, Fault::PanicWhenDropped) {
            panic!("as the test wants it");
        }
    }
}

#[test]
fn a_source_that_fails_cuts_its_connection_and_the_server_goes_on() {
    for fault in [Fault::Error, Fault::Panic, Fault::PanicWhenDropped] {
        let router = Router::new()
            .get("/quick", |_: &mut Request| "quick")
            .get("/chunks", move |_: &mut Request| Response::reader(Failing { left: 100_000, fault }))
            .get("/length", move |_: &mut Request| {
                Response::reader_with_length(Failing { left: 100_000, fault }, 200_000)
            });
        let serving = serve_within(router, one_worker);
        for request in ["GET /chunks HTTP/1.1", "GET /chunks HTTP/1.0", "GET /length HTTP/1.1"] {
            let mut client = serving.connect();
            client.send(format!("{request}\r\nHost: localhost\r\n\r\n"));
            let ended = client.try_reply(Shape::WithBody).map(|reply| reply.status);
            let whole = matches!(fault, Fault::PanicWhenDropped) && request.contains("chunks");
            if !whole {
                assert!(matches!(ended, Err(End::Cut | End::Reset)), "{request}: {ended:?}");
            }
            assert_eq!(serving.get("/quick").text(), "quick");
        }
        let mut client = serving.connect();
        client.send("HEAD /chunks HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let _ = client.try_reply(Shape::HeadOnly);
        assert_eq!(serving.get("/quick").text(), "quick");
    }
}

/// Neither of two responses loses a byte when the socket has not taken the first one whole before the second one is made.
/// Which one it stops at is up to the system, so several clients try, each with other sizes.
#[test]
fn responses_that_the_socket_does_not_take_at_once_lose_nothing() {
    /// Small enough to wait for more in one buffer, and just too large for that.
    const SMALL: usize = 15 * 1024;
    const LARGE: usize = 17 * 1024;
    /// Decides only when the test stops asking, not whether it passes.
    const PROBE: Duration = Duration::from_millis(200);
    let content = noise(LARGE);
    for clip in (0..8).map(|n| n * 777) {
        let served = Gate::new();
        served.open();
        let (small, large) = (content[clip..SMALL].to_vec(), content[..LARGE].to_vec());
        let (small_there, served_there, large_there) = (small.clone(), served.clone(), large.clone());
        let router = Router::new()
            .get("/small", move |_: &mut Request| {
                served_there.pass();
                Response::bytes(small_there.clone())
            })
            .post("/large", move |_: &mut Request| Response::bytes(large_there.clone()));
        let serving = serve(router);
        let mut client = serving.connect();
        let mut asked = 0;
        loop {
            let head = "POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n";
            client.send(get("/small") + head);
            asked += 1;
            let is_served = served.have_come(asked, PROBE);
            client.send("abc");
            if !is_served {
                break;
            }
        }
        for n in 0..asked {
            assert!(client.reply().body == small, "{n} of {asked}");
            assert!(client.reply().body == large, "{n} of {asked}");
        }
    }
}

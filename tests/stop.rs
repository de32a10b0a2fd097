//! A stop is quick when nothing is lost by it, waits for what is in progress, and never takes longer than its grace time. A
//! reload disturbs no connection.

mod support;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use lockgate::{Error, Identity, Request, Response, Router, Server};

use support::{get, identity, noise, patient, post, serve_within, Client, End, Gate, Serving, NEVER};

fn router(gate: &Arc<Gate>) -> Router {
    let (gate, long_gate) = (gate.clone(), gate.clone());
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/wait", move |_: &mut Request| {
            gate.pass();
            "waited"
        })
        .get("/long", move |_: &mut Request| {
            long_gate.pass();
            Response::reader(std::io::Cursor::new(noise(5_000_000)))
        })
        .get("/endless", |_: &mut Request| Response::reader(std::io::repeat(b'x')))
        .post("/", |request: &mut Request| -> Result<Response, Error> {
            Ok(Response::bytes(request.bytes()?))
        })
}

fn idle(serving: &Serving) -> Client {
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "root");
    client
}

/// Tells the server to stop, and waits until it does: an idle connection is closed when it has begun.
fn begin_to_stop(serving: &Serving) {
    let mut sentinel = idle(serving);
    serving.handle.stop();
    sentinel.expect_goodbye();
}

#[test]
fn idle_connections_are_closed_at_once_and_the_server_ends() {
    let serving = serve_within(router(&Gate::new()), patient);
    let mut idle: Vec<Client> = (0..10).map(|_| idle(&serving)).collect();
    let mut unserved = serving.connect();
    let mut silent = serving.connect_silently();
    serving.handle.stop();
    serving.handle.stop();
    for client in &mut idle {
        client.expect_goodbye();
    }
    unserved.expect_goodbye();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert!(Client::connect(serving.address).is_err(), "nobody is taken in any more");
    serving.join().unwrap();
}

#[test]
fn a_connection_that_is_just_being_taken_in_does_not_keep_the_server() {
    for _ in 0..30 {
        let serving = serve_within(router(&Gate::new()), patient);
        let mut client = serving.connect();
        // Its session ticket is what the server sends last before it waits for a request.
        client.tcp().peek(&mut [0]).unwrap();
        serving.handle.stop();
        client.expect_goodbye();
        serving.join().unwrap();
    }
}

#[test]
fn a_server_that_was_stopped_before_it_ran_ends_at_once() {
    let server = Server::builder(Router::new()).https("127.0.0.1:0").identity(identity()).bind().unwrap();
    server.handle().stop();
    server.run().unwrap();
}

#[test]
fn a_request_that_is_inside_its_handler_is_answered_whole() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), patient);
    let (mut short, mut long) = (serving.connect(), serving.connect());
    short.send(get("/wait"));
    long.send(get("/long"));
    gate.wait_for(2);
    begin_to_stop(&serving);
    gate.open();
    let reply = short.reply();
    assert_eq!((reply.text(), reply.closes()), ("waited", true));
    let reply = long.reply();
    assert!(reply.closes() && reply.body == noise(5_000_000));
    for mut client in [short, long] {
        client.expect_goodbye();
        client.finish();
    }
    serving.join().unwrap();
}

#[test]
fn a_request_that_waits_for_a_worker_is_answered() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), |limits| {
        patient(limits);
        limits.workers = 1;
        limits.reserve_workers = 0;
        limits.queue_timeout = NEVER;
    });
    let mut sentinel = idle(&serving);
    let (mut blocked, mut queued) = (serving.connect(), serving.connect());
    blocked.send(get("/wait"));
    gate.wait_for(1);
    queued.send(get("/"));
    serving.handle.stop();
    sentinel.expect_goodbye();
    gate.open();
    assert_eq!(blocked.reply().text(), "waited");
    let reply = queued.reply();
    assert_eq!((reply.text(), reply.closes()), ("root", true));
    for mut client in [blocked, queued] {
        client.expect_goodbye();
        client.finish();
    }
    serving.join().unwrap();
}

#[test]
fn a_request_that_has_begun_may_be_finished() {
    let serving = serve_within(router(&Gate::new()), patient);
    let body = noise(300_000);
    let (upload, small) = (post("/", &body), post("/", b"abc"));
    let (mut streaming, mut collecting, mut head) = (serving.connect(), serving.connect(), serving.connect());
    streaming.send(&upload[..200_000]);
    collecting.send(&small[..small.len() - 1]);
    head.send(&small[..30]);
    begin_to_stop(&serving);
    head.send(&small[30..]);
    streaming.send(&upload[200_000..]);
    collecting.send(&small[small.len() - 1..]);
    for (mut client, expected) in [(head, &b"abc"[..]), (collecting, b"abc"), (streaming, &body)] {
        let reply = client.reply();
        assert!(reply.closes() && reply.body == expected);
        client.expect_goodbye();
        client.finish();
    }
    serving.join().unwrap();
}

#[test]
fn a_head_that_is_not_finished_gets_a_short_grace() {
    let serving = serve_within(router(&Gate::new()), patient);
    let mut client = serving.connect();
    client.send("GET / HTTP/1.1\r\nHost: local");
    begin_to_stop(&serving);
    assert_eq!(client.reply().status, 408);
    client.expect_goodbye();
    client.finish();
    serving.join().unwrap();
}

#[test]
fn who_never_finishes_is_cut_when_the_time_is_over() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), |limits| {
        patient(limits);
        limits.drain_timeout = Duration::from_millis(300);
    });
    let body = post("/", &noise(300_000));
    let mut open = Vec::new();
    for bytes in [&body[..100], &body[..200_000], get("/endless").as_bytes(), get("/wait").as_bytes()] {
        let mut client = serving.connect();
        client.send(bytes);
        open.push(client);
    }
    gate.wait_for(1);
    serving.handle.stop();
    serving.join().unwrap();
    for client in open.iter_mut().take(3) {
        let (rest, end) = client.rest();
        let success = rest.starts_with(b"HTTP/1.1 200") && matches!(end, End::Goodbye);
        assert!(!success, "{:?}", String::from_utf8_lossy(&rest[..rest.len().min(300)]));
    }
    // The handler was left behind; it must not be waited for by the test either.
    gate.open();
}

#[test]
fn a_reload_is_for_new_connections_and_the_open_ones_go_on() {
    let gate = Gate::new();
    let serving = serve_within(router(&gate), patient);
    let mut open = idle(&serving);
    let mut busy = serving.connect();
    busy.send(get("/wait"));
    gate.wait_for(1);
    let before = open.certificate();
    assert_eq!(serving.connect().certificate(), before);

    serving.handle.replace_identity(identity()).unwrap();
    let mut new = serving.connect();
    assert_ne!(new.certificate(), before);
    assert_eq!(new.get("/").text(), "root");
    assert_eq!(open.get("/").text(), "root");
    gate.open();
    assert_eq!(busy.reply().text(), "waited");
    assert_eq!(serving.connect().certificate(), new.certificate());
}

#[test]
fn an_identity_that_cannot_be_used_changes_nothing() {
    let serving = serve_within(router(&Gate::new()), patient);
    let before = serving.connect().certificate();
    assert!(Identity::from_pem(b"no certificate", b"no key").is_err());
    let mut after = serving.connect();
    assert_eq!(after.certificate(), before);
    assert_eq!(after.get("/").text(), "root");
}

//! What the program's handlers and readers learn of a stop, and what they can do about it: `Request::handle`,
//! `Request::is_stopping`, `Handle::wait_for_stop`. No timer of the server ends anything here.

mod support;

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use lockgate::{Error, Handle, Health, RedirectHealth, Request, Response, Router, StatusCode};

use support::{get, identity, noise, patient, post, serve_within, Client, End, Gate, Serving, NEVER};

const SHORT: Duration = Duration::from_millis(5);

fn served(router: Router) -> Serving {
    serve_within(router, |limits| {
        patient(limits);
        limits.body_buffer_bytes = 1_000;
    })
}

/// Gives the same piece again and again, with a wait before each, until the server stops.
struct Ticks {
    handle: Handle,
    wait: Duration,
    given: Arc<AtomicUsize>,
}

impl Read for Ticks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.handle.wait_for_stop(self.wait) {
            return Ok(0);
        }
        self.given.fetch_add(1, Ordering::SeqCst);
        (&b"data: tick\n\n"[..]).read(out)
    }
}

/// Events of a channel, until the server stops.
struct Events {
    handle: Handle,
    texts: Receiver<&'static str>,
}

impl Read for Events {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.handle.is_stopping() {
            match self.texts.recv_timeout(SHORT) {
                Ok(text) => return text.as_bytes().read(out),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(0)
    }
}

/// The end of a streamed response that had begun: whole, and then the connection ends on purpose.
fn expect_end_of_stream(mut client: Client) {
    let (rest, end) = client.rest();
    assert!(rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
    assert_eq!(end, End::Goodbye);
    client.finish();
}

#[test]
fn a_stream_that_never_ends_by_itself_ends_whole_at_a_stop() {
    let given = Arc::new(AtomicUsize::new(0));
    let (often, never) = (given.clone(), given.clone());
    let router = Router::new()
        .get("/often", move |request: &mut Request| {
            Response::reader(Ticks { handle: request.handle(), wait: SHORT, given: often.clone() })
        })
        // Not one event ever comes.
        .get("/never", move |request: &mut Request| {
            Response::reader(Ticks { handle: request.handle(), wait: NEVER, given: never.clone() })
        });
    let serving = served(router);
    let (mut often, mut never) = (serving.connect(), serving.connect());
    never.send(get("/never"));
    never.take_until(b"\r\n\r\n").unwrap();
    often.send(get("/often"));
    for _ in 0..3 {
        often.take_until(b"tick").unwrap();
    }
    serving.handle.stop();
    expect_end_of_stream(often);
    expect_end_of_stream(never);
    serving.join().unwrap();
    assert!(given.load(Ordering::SeqCst) >= 3);
}

#[test]
fn a_stream_of_a_channel_ends_at_a_stop_without_an_event() {
    let (sender, texts) = mpsc::channel();
    let texts = Mutex::new(Some(texts));
    let router = Router::new().get("/", move |request: &mut Request| {
        let texts = texts.lock().unwrap().take().unwrap();
        Response::reader(Events { handle: request.handle(), texts })
    });
    let serving = served(router);
    let mut client = serving.connect();
    client.send(get("/"));
    sender.send("data: one\n\n").unwrap();
    client.take_until(b"one").unwrap();
    serving.handle.stop();
    expect_end_of_stream(client);
    serving.join().unwrap();
    drop(sender);
}

#[test]
fn a_handler_that_works_for_long_learns_of_a_stop_and_answers() {
    let gate = Gate::new();
    let (waits, asks, reads) = (gate.clone(), gate.clone(), gate.clone());
    let router = Router::new()
        .get("/waits", move |request: &mut Request| {
            waits.pass();
            request.handle().wait_for_stop(NEVER).to_string()
        })
        .get("/asks", move |request: &mut Request| {
            let before = request.is_stopping();
            asks.pass();
            while !request.is_stopping() {
                std::thread::yield_now();
            }
            format!("{before} {}", request.handle().is_stopping())
        })
        // Its body comes while the handler runs.
        .post("/reads", move |request: &mut Request| -> Result<String, Error> {
            let mut first = [0; 100];
            request.body().read_exact(&mut first)?;
            reads.pass();
            let stops = request.handle().wait_for_stop(NEVER);
            Ok(format!("{stops} {}", request.bytes()?.len()))
        });
    let serving = served(router);
    let (mut waits, mut asks, mut reads) = (serving.connect(), serving.connect(), serving.connect());
    waits.send(get("/waits"));
    asks.send(get("/asks"));
    reads.send(post("/reads", &noise(5_000)));
    gate.wait_for(3);
    gate.open();
    serving.handle.stop();
    for (client, text) in [(&mut waits, "true"), (&mut asks, "false true"), (&mut reads, "true 4900")] {
        let reply = client.reply();
        assert_eq!((reply.text(), reply.closes()), (text, true));
        client.expect_goodbye();
    }
    for mut client in [waits, asks, reads] {
        client.finish();
    }
    serving.join().unwrap();
}

#[test]
fn a_handler_can_ask_for_the_health_and_stop_the_server() {
    let router = Router::new()
        .get("/health", |request: &mut Request| Response::json(&request.handle().health().to_json()))
        .post("/stop", |request: &mut Request| {
            request.handle().stop();
            StatusCode::ACCEPTED
        });
    let serving = served(router);
    let health: lockgate::serde_json::Value =
        lockgate::serde_json::from_slice(&serving.get("/health").body).unwrap();
    assert_eq!(health["status"], serving.handle.health().to_json()["status"]);
    assert!(health.to_string().contains("localhost"), "{health}");
    let mut client = serving.connect();
    client.send(post("/stop", b""));
    let reply = client.reply();
    assert_eq!((reply.status, reply.closes()), (202, true));
    client.expect_goodbye();
    client.finish();
    serving.join().unwrap();
}

#[test]
fn a_request_without_a_server_has_a_substitute_for_its_handle() {
    let request = Request::get("/");
    assert!(!request.is_stopping());
    let handle = request.handle();
    let Health { identities, redirect, connections, workers, is_draining, .. } = handle.health();
    assert_eq!((identities.len(), redirect, connections, workers), (0, RedirectHealth::Off, 0, 0));
    assert!(!is_draining && handle.reload().is_ok() && handle.identities().is_empty());
    handle.replace_identity(identity()).unwrap();
    assert_eq!((request.handle().identities().len(), request.handle().health().identities.len()), (1, 1));
    assert!(!handle.wait_for_stop(Duration::ZERO));
    // What the handler keeps of it learns of the stop too.
    let waiting = std::thread::spawn(move || handle.wait_for_stop(NEVER));
    request.handle().stop();
    assert!(waiting.join().unwrap() && request.is_stopping() && request.handle().health().is_draining);
    // Another request has another one.
    assert!(!Request::get("/").is_stopping() && !Request::get("/").handle().is_stopping());
}

//! The redirect's thread, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;

/// Longer than any test takes, so that none depends on it.
const LONG: Duration = Duration::from_secs(300);
const REQUEST: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LOCATION: &str = "\r\nlocation: https://localhost:8443/a?b\r\n";

/// A redirect that runs until it is dropped.
struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Running {
    fn start(connections: usize, lifetime: Duration) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings {
            public_name: None,
            public_port: 8443,
            credentials: HttpCredentials::Warn,
            credential_headers: Vec::new(),
            connections,
            head_bytes: HEAD_BYTES,
            head_timeout: LIFETIME,
            head_fields: 64,
            encoded_slash: EncodedSlash::Refused,
            field_names: FieldNames::LowerCase,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let is_own = Box::new(|host: &str| host == "localhost");
        let log_limiter = Arc::new(LogLimiter::new(|| {}));
        let (mut redirect, waker) = Redirect::new(Opening {
            listener,
            settings,
            is_own,
            challenges: None,
            handlers: None,
            stop: stop.clone(),
            #[cfg(feature = "operations")]
            is_passed: false,
            log_limiter,
            #[cfg(feature = "operations")]
            proxy_from: Vec::new(),
        })
        .unwrap();
        redirect.lifetime = lifetime;
        Running { address, stop, waker, thread: Some(std::thread::spawn(move || redirect.run())) }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        // Not tested here; it turns an endless wait into a failure.
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    fn ask(&self, request: &[u8]) -> String {
        let mut client = self.connect();
        client.write_all(request).unwrap();
        rest_of(&mut client)
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake().unwrap();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn rest_of(client: &mut TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_is_redirected_and_the_connection_ends() {
    let redirect = Running::start(10, LONG);
    let answer = redirect.ask(REQUEST);
    assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains(LOCATION), "{answer}");
    assert!(redirect.ask(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n").starts_with("HTTP/1.1 421 "));
    assert!(redirect.ask(b"GET / HTTP/1.1\r\nHost: localhost\n").starts_with("HTTP/1.1 400 "));
    assert!(redirect.ask(&b"A".repeat(HEAD_BYTES)).starts_with("HTTP/1.1 414 "));
}

#[test]
fn a_head_may_come_one_byte_at_a_time() {
    let redirect = Running::start(10, LONG);
    let mut client = redirect.connect();
    for byte in REQUEST.chunks(1) {
        client.write_all(byte).unwrap();
    }
    assert!(rest_of(&mut client).contains(LOCATION));
}

#[test]
fn what_follows_the_head_is_not_taken_for_a_request() {
    let redirect = Running::start(10, LONG);
    let twice = [REQUEST, b"\0\n\x16garbage", REQUEST].concat();
    let answer = redirect.ask(&twice);
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.contains(LOCATION), "{answer}");
}

#[test]
fn a_client_that_sends_a_body_sees_the_answer() {
    let redirect = Running::start(10, LONG);
    let mut client = redirect.connect();
    client
        .write_all(b"POST /a?b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert!(rest_of(&mut client).contains(LOCATION));
    // The answer is sent. Without lingering the first half of the body would cause a reset, and the second would fail.
    for _ in 0..2 {
        client.write_all(&[b'x'; 100_000]).unwrap();
    }
}

#[test]
fn a_client_that_never_stops_sending_is_cut_off() {
    let redirect = Running::start(10, LONG);
    let mut client = redirect.connect();
    client.write_all(REQUEST).unwrap();
    let endless = [b'x'; 64 * 1024];
    let mut sent = 0;
    while client.write_all(&endless).is_ok() {
        sent += endless.len();
        assert!(sent < 64 << 20, "far more than the limit and all socket buffers");
    }
}

#[test]
fn tls_on_the_plain_port_is_closed_without_an_answer() {
    let redirect = Running::start(10, LONG);
    let mut client = redirect.connect();
    client.write_all(b"\x16").unwrap();
    assert_eq!(rest_of(&mut client), "");
}

#[test]
fn half_a_head_is_answered_when_the_client_or_its_time_ends() {
    let redirect = Running::start(10, LONG);
    let mut client = redirect.connect();
    client.write_all(b"HEAD / HTTP/1.1\r\nHost: loc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = rest_of(&mut client);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");

    let impatient = Running::start(10, Duration::from_millis(100));
    let mut client = impatient.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    assert!(rest_of(&mut client).starts_with("HTTP/1.1 408 "));
    assert_eq!(rest_of(&mut impatient.connect()), "", "a silent client is not answered");
}

#[test]
fn silent_clients_delay_nobody_and_the_oldest_make_room() {
    let clients = usize::min(1_500, open_files() / 3);
    let table = clients * 2 / 3;
    let redirect = Running::start(table, LONG);
    let mut silent = Vec::new();
    for number in 1..=clients {
        silent.push(redirect.connect());
        // Often enough that the system's queue of connections to accept never overflows.
        if number % 100 == 0 || number == clients {
            let answer = redirect.ask(REQUEST);
            assert!(answer.contains(LOCATION), "{answer}");
        }
    }
    // They were answered while other clients were connected, which still are.
    let mut newest = silent.pop().unwrap();
    newest.write_all(REQUEST).unwrap();
    assert!(rest_of(&mut newest).contains(LOCATION));
    for oldest in &mut silent[..clients - table] {
        assert_eq!(rest_of(oldest), "");
    }
}

#[test]
fn a_stop_answers_what_is_whole_and_closes_the_rest() {
    let mut redirect = Running::start(10, LONG);
    let mut silent = redirect.connect();
    let mut half = redirect.connect();
    half.write_all(&REQUEST[..20]).unwrap();
    let mut whole = redirect.connect();
    whole.write_all(REQUEST).unwrap();
    redirect.stop();
    assert_eq!(rest_of(&mut silent), "");
    assert_eq!(rest_of(&mut half), "");
    assert!(rest_of(&mut whole).contains(LOCATION));
    assert!(TcpStream::connect(redirect.address).is_err());
}

/// Files this process may have open, raised as far as it may be.
fn open_files() -> usize {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX)
}

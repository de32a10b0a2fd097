//! The admin listener: plain HTTP for those who watch a server on its own machine. It has a thread of its own and few
//! connections, and waits for nothing else, so it answers while every worker is stuck and every connection is taken, and a
//! client that reads slowly holds up nobody. Knows no server: [`Watched`] says what is answered.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::admin_request::{self, is_nobodys, Asked, HEAD_BYTES};
use super::exposition::Format;
use super::local_listener::{LocalListener, LocalStream};
use crate::accept::{Meaning, Rest};
use crate::limits::lingering::LINGER;

/// Connections at a time. One more ends one that waits for its next request, or else the one whose time is up first.
const MOST: usize = 16;
/// How long a head may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request: longer than the time between two scrapes, a minute by default.
const KEPT: Duration = Duration::from_secs(75);
/// Answers that a connection gets in a row, before others have their turn.
const AT_ONCE: usize = 8;
/// How much a client may still send behind its last answer: a request with a body is refused before that has come.
const DROPPED: usize = 8 << 20;
/// How often a connection that only sends is read in a row, before others have their turn.
const READS_AT_ONCE: usize = 64;
/// How long the end of a server waits for the thread, which should end at once.
const LAST_WAIT: Duration = Duration::from_millis(500);

const LISTENER: Token = Token(MOST);
const WAKER: Token = Token(MOST + 1);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Does the server run at all?
    Alive,
    /// Shall it get requests? With `verbose`, each condition for itself.
    Ready {
        verbose: bool,
    },
    Metrics(Format),
    /// The health of certificates and of the rest, as JSON.
    Health,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub text: String,
}

/// What is watched.
pub(crate) trait Watched: Send + 'static {
    fn answer(&self, question: Question) -> Answer;

    /// Whether this name, in lower case, is the server's own.
    fn has_name(&self, host: &str) -> bool;
}

impl Answer {
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Answer {
        Answer { status, content_type: "text/plain; charset=utf-8", text: text.into() }
    }
}

/// The thread, as long as it runs.
pub(crate) struct Admin {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    /// Nothing is ever sent: the thread has the other end.
    ended: Receiver<()>,
}

impl Admin {
    /// Starts the thread.
    pub(crate) fn start(listener: LocalListener, watched: impl Watched) -> io::Result<Admin> {
        let mut serving = Serving::new(listener, Box::new(watched))?;
        let waker = Arc::new(Waker::new(serving.poll.registry(), WAKER)?);
        let stop = serving.stop.clone();
        let (runs, ended) = mpsc::channel();
        thread::Builder::new().name("lockgate-admin".into()).spawn(move || {
            serving.run();
            // The socket is closed before the end is told.
            drop(serving);
            drop::<mpsc::Sender<()>>(runs);
        })?;
        Ok(Admin { stop, waker, ended })
    }

    /// Ends the thread, which closes the socket.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Err(error) = self.waker.wake() {
            log::error!("the admin listener could not be woken: {error}");
        }
        // It may be within the program's own code, which must not keep the program from ending.
        if self.ended.recv_timeout(LAST_WAIT) == Err(RecvTimeoutError::Timeout) {
            log::warn!("stopping: the admin listener has not ended and is left behind");
        }
    }
}

struct Serving {
    listener: LocalListener,
    poll: Poll,
    watched: Box<dyn Watched>,
    connections: [Option<Connection>; MOST],
    stop: Arc<AtomicBool>,
    rest: Rest,
    rests_until: Option<Instant>,
    /// Whether more connections may wait than one turn accepts.
    more_may_wait: bool,
}

struct Connection {
    stream: LocalStream,
    deadline: Instant,
    received: Vec<u8>,
    /// Whether a request has come.
    has_asked: bool,
    /// What is to be sent, and how much of it was.
    answer: Vec<u8>,
    sent: usize,
    /// Whether it ends with this answer.
    is_last: bool,
    /// How much may still come once the last answer is sent. It is dropped: bytes that nobody has read would reset the connection, and the
    /// client could lose the answer (RFC 9112 §9.6).
    drops: Option<usize>,
    /// Whether it can go on: its socket has become ready, or others had to have their turn.
    is_ready: bool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waits,
    /// For nothing: it has had its turn.
    Yields,
    Ended,
}

impl Serving {
    fn new(listener: LocalListener, watched: Box<dyn Watched>) -> io::Result<Serving> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
        Ok(Serving {
            listener,
            poll,
            watched,
            connections: Default::default(),
            stop: Arc::default(),
            rest: Rest::default(),
            rests_until: None,
            more_may_wait: false,
        })
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(MOST + 2);
        while !self.stop.load(Ordering::SeqCst) {
            let now = Instant::now();
            let deadlines = self.connections.iter().flatten().map(|connection| connection.deadline);
            let next = deadlines.chain(self.rests_until).min();
            // A millisecond more, so that the deadline has passed when the wait ends.
            let can_go_on = self.connections.iter().flatten().any(|connection| connection.is_ready);
            let timeout = match can_go_on || (self.more_may_wait && self.rests_until.is_none()) {
                true => Some(Duration::ZERO),
                false => next.map(|next| next.saturating_duration_since(now) + Duration::from_millis(1)),
            };
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() != ErrorKind::Interrupted {
                    log::error!("the admin listener cannot wait: {error}");
                    thread::sleep(Duration::from_secs(1));
                }
                continue;
            }
            for event in &events {
                if let Some(Some(connection)) = self.connections.get_mut(event.token().0) {
                    connection.is_ready = true;
                }
            }
            for place in &mut self.connections {
                let_go_on(place, &*self.watched);
            }
            let now = Instant::now();
            for place in &mut self.connections {
                if place.as_ref().is_some_and(|connection| connection.deadline <= now) {
                    *place = None;
                }
            }
            if self.rests_until.map_or(true, |until| until <= now) {
                self.rests_until = None;
                self.accept(now);
            }
        }
    }

    /// Accepts until nobody waits, but at most as many as there are places, and none once the thread is to end: clients may come faster
    /// than they are accepted.
    fn accept(&mut self, now: Instant) {
        self.more_may_wait = true;
        for _ in 0..MOST {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            match self.listener.next() {
                Ok(stream) => {
                    self.rest.succeed();
                    self.take_in(stream, now);
                }
                Err(error) => match Meaning::of(&error) {
                    Meaning::NobodyWaits => {
                        self.more_may_wait = false;
                        return;
                    }
                    Meaning::AboutOne => {}
                    Meaning::Scarce | Meaning::Other => {
                        if self.rest.is_over() {
                            log::warn!("the admin listener cannot accept, trying again: {error}");
                        }
                        self.rests_until = Some(now + self.rest.fail());
                        return;
                    }
                },
            }
        }
    }

    fn take_in(&mut self, stream: LocalStream, now: Instant) {
        let free = self.connections.iter().position(Option::is_none);
        let first_over = || {
            let all = self.connections.iter().enumerate();
            let rank = |one: &Connection| (one.drops.is_none(), !one.is_kept(), one.deadline);
            all.min_by_key(|(_, place)| place.as_ref().map(rank)).map_or(0, |(at, _)| at)
        };
        let at = free.unwrap_or_else(first_over);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&stream.as_raw_fd()), Token(at), both)
        {
            log::warn!("a connection to the admin listener cannot be watched: {error}");
            return;
        }
        let place = &mut self.connections[at];
        *place = Some(Connection::new(stream, now));
        // Closing the socket of the one that it replaces has ended that one's watch.
        let_go_on(place, &*self.watched);
    }
}

/// Gives a connection its turn, if it can go on.
fn let_go_on(place: &mut Option<Connection>, watched: &dyn Watched) {
    let Some(connection) = place else { return };
    if !connection.is_ready {
        return;
    }
    match connection.go_on(watched) {
        Ok(Progress::Waits) => connection.is_ready = false,
        Ok(Progress::Yields) => {}
        Ok(Progress::Ended) => *place = None,
        Err(error) => {
            log::debug!("a connection to the admin listener failed: {error}");
            *place = None;
        }
    }
}

impl Connection {
    fn new(stream: LocalStream, now: Instant) -> Connection {
        Connection {
            stream,
            deadline: now + PATIENCE,
            received: Vec::new(),
            has_asked: false,
            answer: Vec::new(),
            sent: 0,
            is_last: false,
            drops: None,
            is_ready: true,
        }
    }

    /// Whether it has had an answer, and nothing of a further request has come.
    fn is_kept(&self) -> bool {
        self.has_asked && self.received.is_empty() && self.answer.is_empty()
    }

    /// Goes on until the socket would block, as edge-triggered readiness requires, or its turn is over.
    fn go_on(&mut self, watched: &dyn Watched) -> io::Result<Progress> {
        if self.drops.is_some() {
            return self.drop_input();
        }
        let mut answers = 0;
        loop {
            while self.sent < self.answer.len() {
                match self.stream.write(&self.answer[self.sent..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(sent) => self.sent += sent,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waits),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if self.sent > 0 {
                if self.is_last {
                    self.stream.end_writing()?;
                    self.drops = Some(DROPPED);
                    self.deadline = Instant::now() + LINGER;
                    return self.drop_input();
                }
                (self.answer, self.sent) = (Vec::new(), 0);
                self.deadline = Instant::now() + KEPT;
            }
            if answers == AT_ONCE {
                return Ok(Progress::Yields);
            }
            if self.answer_next(watched) {
                answers += 1;
                continue;
            }
            let mut scratch = [0; 1024];
            match self.stream.read(&mut scratch) {
                Ok(0) => return Ok(Progress::Ended),
                Ok(read) => {
                    if self.received.is_empty() {
                        self.deadline = Instant::now() + PATIENCE;
                    }
                    self.received.extend_from_slice(&scratch[..read]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads and drops what still comes, until the client has ended its side too, or has sent too much.
    fn drop_input(&mut self) -> io::Result<Progress> {
        let mut scratch = [0; 4096];
        for _ in 0..READS_AT_ONCE {
            match self.stream.read(&mut scratch) {
                Ok(0) => return Ok(Progress::Ended),
                Ok(read) => match self.drops.and_then(|left| left.checked_sub(read)) {
                    Some(left) => self.drops = Some(left),
                    None => return Ok(Progress::Ended),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Yields)
    }

    /// Answers the next request, if it has come. What comes behind it stays for later, at most one head of it.
    fn answer_next(&mut self, watched: &dyn Watched) -> bool {
        let at_most = self.received.len().min(HEAD_BYTES);
        let (answer, is_head) = match admin_request::read(&self.received[..at_most]) {
            admin_request::Read::Part => return false,
            admin_request::Read::Refused(status, why) => {
                self.is_last = true;
                (Answer::text(status, format!("{why}\n")), false)
            }
            admin_request::Read::Whole(asked, length) => {
                self.received.drain(..length);
                self.is_last = !asked.keeps_alive;
                (answer(&asked, watched), asked.is_head)
            }
        };
        self.has_asked = true;
        self.answer = written(&answer, is_head, self.is_last);
        self.deadline = Instant::now() + PATIENCE;
        true
    }
}

/// Answers a request.
fn answer(asked: &Asked, watched: &dyn Watched) -> Answer {
    if asked.host.as_deref().is_some_and(|host| !is_nobodys(host) && !watched.has_name(host)) {
        let why = "the request is for a host that this is not: use an address, localhost, or a name of the server's certificate\n";
        return Answer::text(421, why);
    }
    let question = match asked.path.as_str() {
        "/healthz" | "/livez" => Question::Alive,
        "/readyz" => Question::Ready {
            verbose: asked.query.split('&').any(|word| word == "verbose" || word == "verbose=1"),
        },
        "/metrics" => Question::Metrics(Format::accepted(&asked.accept)),
        "/health" => Question::Health,
        _ => return Answer::text(404, "here are /healthz, /readyz, /metrics and /health\n"),
    };
    watched.answer(question)
}

fn written(answer: &Answer, is_head: bool, is_last: bool) -> Vec<u8> {
    let phrase = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let mut bytes = format!(
        "HTTP/1.1 {} {phrase}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n",
        answer.status,
        answer.content_type,
        answer.text.len(),
    )
    .into_bytes();
    if answer.status == 405 {
        bytes.extend_from_slice(b"allow: GET, HEAD\r\n");
    }
    if is_last {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if !is_head {
        bytes.extend_from_slice(answer.text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use super::super::local_listener::Reach;
    use super::*;

    /// Tells what it was asked.
    struct Echo;

    impl Watched for Echo {
        fn answer(&self, question: Question) -> Answer {
            match question {
                // More than a socket takes at once.
                Question::Health => Answer::text(200, "x".repeat(8_000_000)),
                Question::Ready { .. } => Answer::text(503, format!("{question:?}\n")),
                _ => Answer::text(200, format!("{question:?}\n")),
            }
        }

        fn has_name(&self, host: &str) -> bool {
            host == "gateway.example"
        }
    }

    fn start() -> (Admin, SocketAddr) {
        let listener = LocalListener::open("127.0.0.1:0", "admin", Reach::ThisMachine).unwrap();
        let address = listener.address().unwrap();
        (Admin::start(listener, Echo).unwrap(), address)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends these bytes and returns all that comes until the end.
    fn exchange(address: SocketAddr, bytes: &str) -> String {
        let mut stream = connect(address);
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all
    }

    fn ask(address: SocketAddr, line: &str, fields: &str) -> String {
        exchange(address, &format!("{line}\r\nConnection: close\r\n{fields}\r\n"))
    }

    #[test]
    fn each_path_has_its_question_and_everything_else_a_clear_answer() {
        let (admin, address) = start();
        for (line, fields, status, text) in [
            ("GET /healthz HTTP/1.1", "Host: localhost\r\n", "200 OK", "Alive\n"),
            ("GET /livez HTTP/1.1", "Host: 127.0.0.1:9090\r\n", "200 OK", "Alive\n"),
            ("GET /readyz HTTP/1.1", "", "503 Service Unavailable", "Ready { verbose: false }\n"),
            ("GET /readyz?a&verbose HTTP/1.1", "", "503 Service Unavailable", "Ready { verbose: true }\n"),
            ("GET /metrics HTTP/1.1", "", "200 OK", "Metrics(Prometheus)\n"),
            (
                "GET /metrics HTTP/1.1",
                "Accept: application/openmetrics-text\r\n",
                "200 OK",
                "Metrics(OpenMetrics)\n",
            ),
            ("GET /metrics HTTP/1.1", "Host: gateway.example:9090\r\n", "200 OK", "Metrics(Prometheus)\n"),
            ("GET /metrics HTTP/1.1", "Host: evil.example\r\n", "421 Misdirected Request", ""),
            ("GET /metrics HTTP/1.1", "Host: :9090\r\n", "421 Misdirected Request", ""),
            ("HEAD /metrics HTTP/1.1", "", "200 OK", ""),
            ("GET / HTTP/1.1", "", "404 Not Found", ""),
            ("GET //metrics HTTP/1.1", "", "404 Not Found", ""),
            ("POST /healthz HTTP/1.1", "", "405 Method Not Allowed", ""),
        ] {
            let got = ask(address, line, fields);
            assert!(got.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line} {fields}: {got}");
            let (head, content) = got.split_once("\r\n\r\n").unwrap();
            if text.is_empty() {
                assert_eq!(content.is_empty(), line.starts_with("HEAD"), "{got}");
            } else {
                assert_eq!(content, text, "{line} {fields}");
            }
            assert!(head.contains("connection: close") && head.contains("cache-control: no-store"), "{head}");
            assert_eq!(head.contains("allow: GET, HEAD"), status.starts_with("405"), "{head}");
        }
        admin.stop();
        assert!(TcpStream::connect(address).is_err(), "the socket is closed with the thread");
    }

    #[test]
    fn a_connection_is_kept_and_requests_may_come_in_any_pieces() {
        let (admin, address) = start();
        let mut stream = connect(address);
        let head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for byte in head.as_bytes() {
            stream.write_all(&[*byte]).unwrap();
        }
        stream.write_all(head.repeat(300).as_bytes()).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 302);
        admin.stop();
    }

    /// `curl -d @large http://…/metrics` has seen a reset in the place of the answer.
    #[test]
    fn who_is_refused_while_it_sends_gets_the_answer_whole() {
        let (admin, address) = start();
        let body = "x".repeat(DROPPED - 65_536);
        let head = format!("POST /metrics HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        for (sent, status) in [
            (head + &body, "413"),
            (format!("GET /metrics HTTP/1.1\r\nA: {body}"), "431"),
            (format!("what is this\r\n\r\n{body}"), "400"),
        ] {
            let got = exchange(address, &sent);
            assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        }
        // Not without end, and others are answered meanwhile.
        let mut endless = connect(address);
        endless.write_all(b"what is this\r\n\r\n").unwrap();
        let (mut sent, piece) = (0, [b'x'; 65_536]);
        while endless.write_all(&piece).is_ok() {
            sent += piece.len();
            assert!(sent < 64 << 20, "it is read without end");
            if sent == DROPPED / 2 {
                assert!(ask(address, "GET /healthz HTTP/1.1", "").contains("Alive"));
            }
        }
        admin.stop();
    }

    #[test]
    fn a_turn_accepts_as_many_as_there_are_places_and_none_after_a_stop() {
        let listener = LocalListener::open("127.0.0.1:0", "admin", Reach::ThisMachine).unwrap();
        let address = listener.address().unwrap();
        let mut serving = Serving::new(listener, Box::new(Echo)).unwrap();
        let clients: Vec<TcpStream> = (0..MOST + 2).map(|_| connect(address)).collect();
        let places = |serving: &Serving| serving.connections.iter().flatten().count();
        serving.stop.store(true, Ordering::SeqCst);
        serving.accept(Instant::now());
        assert_eq!(places(&serving), 0);
        serving.stop.store(false, Ordering::SeqCst);
        serving.accept(Instant::now());
        assert_eq!((places(&serving), serving.more_may_wait), (MOST, true));
        serving.connections = Default::default();
        serving.accept(Instant::now());
        assert_eq!((places(&serving), serving.more_may_wait), (2, false));
        drop(clients);
    }

    #[test]
    fn those_that_neither_send_nor_read_hold_up_nobody() {
        let (admin, address) = start();
        let silent: Vec<TcpStream> = (0..2 * MOST).map(|_| connect(address)).collect();
        let mut slow = connect(address);
        slow.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
        let mut first = [0; 15];
        slow.read_exact(&mut first).unwrap();
        for _ in 0..10 * MOST {
            assert!(ask(address, "GET /healthz HTTP/1.1", "").contains("Alive"));
        }
        drop(silent);
        admin.stop();
    }

    #[test]
    fn one_that_asks_without_end_leaves_others_their_turn() {
        let (admin, address) = start();
        let flood = connect(address);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let many = "GET /healthz HTTP/1.1\r\n\r\n".repeat(20_000);
                while !is_over.load(Ordering::SeqCst) {
                    if (&flood).write_all(many.as_bytes()).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(|| {
                let mut answers = vec![0; 1 << 20];
                while (&flood).read(&mut answers).is_ok_and(|read| read > 0) {}
            });
            for _ in 0..20 {
                assert!(ask(address, "GET /healthz HTTP/1.1", "").contains("Alive"));
            }
            admin.stop();
            assert!(TcpStream::connect(address).is_err(), "the thread ends although there is more to do");
            is_over.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn who_has_had_an_answer_makes_room_for_who_has_not_asked_yet() {
        let (admin, address) = start();
        let keep = || {
            let mut stream = connect(address);
            stream.write_all(b"GET /livez HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = [0; 512];
            assert!(stream.read(&mut answer).unwrap() > 0);
            stream
        };
        let mut kept: Vec<TcpStream> = (0..MOST).map(|_| keep()).collect();
        let mut waits = connect(address);
        kept.extend((0..MOST).map(|_| keep()));
        waits.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
        let mut all = String::new();
        waits.read_to_string(&mut all).unwrap();
        assert!(all.contains("Alive"), "{all}");
        drop(kept);
        admin.stop();
    }
}

//! The program's own answers to plain HTTP, made on threads of their own, so that a handler that blocks stops no redirect. Knows
//! requests, responses and threads, and no socket: the redirect's loop hands requests over and takes the answers. The server's
//! builder starts it, so that a program without such answers does not link it.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ::http::{Method, StatusCode};
use log::Level;
use mio::Waker;

use super::answering::TARGET;
use super::job::{Done, Handlers, Job, Made};
use crate::calendar::{imf_fixdate, unix_now};
use crate::escape;
use crate::handler_call::{self, Fault};
use crate::http::body::Body;
use crate::http::content::Content;
use crate::http::origin::{self, Serving};
use crate::http::request::Request;
use crate::http::response::{Payload, Response};
use crate::http::response_head::{write_head, Common, Exchange, FieldNames, Framing, Persistence};
use crate::http::Refusal;
use crate::limits::body_memory::{Budget, Share};
use crate::log_limiter::{LogLimiter, Sort};

/// How many handlers may run at a time. Their threads start when they are first needed.
const THREADS: usize = 2;
/// How many requests may wait for them.
const WAITING: usize = 64;
/// The most bytes of an answer that is made for its request. What is part of the program may be larger.
const ANSWER_BYTES: usize = 256 * 1024;
/// The most bytes of all such answers that clients have not taken yet.
const ANSWERS_BYTES: usize = 1024 * 1024;
/// A body up to this size goes out with its head, in bytes.
const INLINE_BYTES: usize = 16 * 1024;

const BUSY: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "too much is asked for over plain HTTP at a time; try again, or over HTTPS",
);
const NOT_IN_CLEAR: Refusal = Refusal::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "the answer is a stream, or larger than an answer over plain HTTP may be: it is to be had over HTTPS only",
);
const FAILED: Refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made");

/// The program's side: which requests it answers, and how.
pub(crate) struct Program {
    /// Whether there is a handler for this method and this path, which is as it came.
    pub serves: Box<Serves>,
    /// Calls the handler, and reports its faults.
    pub answer: Box<Respond>,
    pub server: Box<dyn Serving + Send + Sync>,
    pub field_names: FieldNames,
    pub log_limiter: Arc<LogLimiter>,
}

pub(crate) type Serves = dyn Fn(&Method, &[u8]) -> bool + Send + Sync;
pub(crate) type Respond = dyn Fn(&mut Request<'_>) -> Response + Send + Sync;

/// Starts what calls the program's handlers. `waker` wakes the redirect's loop.
pub(crate) fn start(program: Program, waker: Arc<Waker>) -> Box<dyn Handlers> {
    let (jobs, queue) = mpsc::sync_channel(WAITING);
    let (answers, done) = mpsc::channel();
    let budget = Arc::new(Budget::new(ANSWERS_BYTES));
    let shared = Shared { program, queue: Mutex::new(queue), unanswered: AtomicUsize::new(0), budget, waker };
    Box::new(Threads { shared: Arc::new(shared), jobs, done, answers, started: 0 })
}

/// The loop's side.
struct Threads {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    /// For the next thread.
    answers: Sender<Done>,
    started: usize,
}

/// What the threads share.
struct Shared {
    program: Program,
    queue: Mutex<Receiver<Job>>,
    /// How many requests were handed over and are not answered yet.
    unanswered: AtomicUsize,
    budget: Arc<Budget>,
    waker: Arc<Waker>,
}

impl Handlers for Threads {
    fn serves(&self, method: &Method, raw_path: &[u8]) -> bool {
        (self.shared.program.serves)(method, raw_path)
    }

    fn hand_over(&mut self, job: Job) -> Result<(), Refusal> {
        // Each thread has one already, which may take as long as it likes.
        if self.started < THREADS && self.shared.unanswered.load(Ordering::SeqCst) >= self.started {
            self.start_one()?;
        }
        self.shared.unanswered.fetch_add(1, Ordering::SeqCst);
        self.jobs.try_send(job).map_err(|_| {
            self.shared.unanswered.fetch_sub(1, Ordering::SeqCst);
            BUSY
        })
    }

    fn next(&mut self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

impl Threads {
    fn start_one(&mut self) -> Result<(), Refusal> {
        let (shared, answers) = (self.shared.clone(), self.answers.clone());
        let started =
            thread::Builder::new().name("lockgate-clear".into()).spawn(move || shared.work(&answers));
        match started {
            Ok(_) => self.started += 1,
            Err(error) => {
                self.shared.log_fault("a thread", format_args!("a thread could not be started: {error}"));
                if self.started == 0 {
                    return Err(BUSY);
                }
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Answers requests, until the redirect has ended.
    fn work(&self, answers: &Sender<Done>) {
        while let Some(job) = self.next_job() {
            let connection = job.connection;
            // Otherwise nobody waits for it any more.
            let in_time = Instant::now() < job.until;
            let made = in_time.then(|| handler_call::run("a panic in an answer", || self.make(&job)));
            self.unanswered.fetch_sub(1, Ordering::SeqCst);
            let Some(made) = made else { continue };
            for Fault { what, text } in handler_call::faults() {
                self.log_fault(what, format_args!("an answer to plain HTTP {text}"));
            }
            if answers.send(Done { connection, outcome: made.unwrap_or(Err(FAILED)) }).is_err() {
                return;
            }
            if let Err(error) = self.waker.wake() {
                log::error!(target: TARGET, "the redirect could not be woken: {error}");
            }
        }
    }

    fn next_job(&self) -> Option<Job> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Calls the handler, and writes its answer as bytes.
    fn make(&self, job: &Job) -> Result<Made, Refusal> {
        let Job { head, line, fields, peer, .. } = job;
        let sender = origin::Sender {
            peer: *peer,
            client: None,
            server: &*self.program.server,
            #[cfg(feature = "operations")]
            id: &crate::operations::request_id::RequestId::of_connection(),
            #[cfg(feature = "operations")]
            in_front: None,
        };
        let body = Body::Buffered { bytes: Cow::Borrowed(&[]), read: 0 };
        let mut request = Request::from_wire(head, fields, line.clone(), Cow::Borrowed(""), body, sender);
        let response = (self.program.answer)(&mut request);
        let (method, version) = (&line.method, line.version);
        let (persistence, field_names) = (Persistence::Close, self.program.field_names);
        let exchange = Exchange { method, version, persistence, field_names };
        // A stream is refused also when its body is not asked for, so that the mistake shows.
        if response.body.length().is_none() {
            return Err(self.not_in_clear(&request, "a stream"));
        }
        let mut made = Made { head: Vec::new(), rest: Cow::Borrowed(&[]), share: None };
        let common = Common::new(imf_fixdate(unix_now()), None);
        let written = write_head(&mut made.head, &response, exchange, &common);
        if written.framing != Framing::None && Content::of(response.status) == Content::Any {
            let mut share = self.budget.share();
            made.rest = self.body(response.body, &request, &mut share)?;
            made.share = Some(share);
        }
        if made.rest.len() <= INLINE_BYTES {
            made.head.extend_from_slice(&made.rest);
            made.rest = Cow::Borrowed(&[]);
        }
        Ok(made)
    }

    /// The body, in memory.
    fn body(
        &self,
        body: Payload,
        request: &Request<'_>,
        share: &mut Share,
    ) -> Result<Cow<'static, [u8]>, Refusal> {
        let length = body.length().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        match body {
            Payload::Static(bytes) => Ok(Cow::Borrowed(bytes)),
            _ if length > ANSWER_BYTES => Err(self.not_in_clear(request, "larger than 256 KiB")),
            _ if !share.cover(length) => Err(BUSY),
            Payload::Bytes(bytes) => Ok(Cow::Owned(bytes)),
            Payload::Reader { mut reader, .. } => {
                let mut bytes = vec![0; length];
                read_whole(&mut *reader, &mut bytes).map_err(|error| {
                    let error = escape::shown(&error).to_string();
                    handler_call::note("a response's reader failed", format_args!("has failed: {error}"));
                    FAILED
                })?;
                Ok(Cow::Owned(bytes))
            }
            #[cfg(feature = "upgrade")]
            Payload::Upgrade(_) => Err(self.not_in_clear(request, "another protocol")),
            _ => Err(self.not_in_clear(request, "a stream")),
        }
    }

    /// Reports an answer that is not sent in clear.
    fn not_in_clear(&self, request: &Request<'_>, what: &str) -> Refusal {
        let (method, path) = (request.method(), String::from_utf8_lossy(request.raw_path()).into_owned());
        handler_call::note(
            "an answer that is not sent over plain HTTP",
            format_args!("for {method} {path} is {what}, and is not sent; the client gets a 500"),
        );
        NOT_IN_CLEAR
    }

    fn log_fault(&self, what: &'static str, line: std::fmt::Arguments<'_>) {
        let sort = Sort { target: TARGET, level: Level::Error, what };
        self.program.log_limiter.write(sort, Instant::now(), line);
    }
}

/// Fills `out`. A reader that says more than it gives is an error too.
fn read_whole(reader: &mut dyn Read, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        match reader.read(out) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => out = out.get_mut(read..).ok_or(io::ErrorKind::InvalidData)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::http::origin::Nobody;
    use crate::http::request_head;
    use crate::redirect::job::Waiting;

    /// The loop's side, without connections.
    struct Loop {
        poll: Poll,
        handlers: Box<dyn Handlers>,
        tickets: u64,
    }

    impl Loop {
        fn new(answer: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static) -> Loop {
            let program = Program {
                serves: Box::new(|_, _| true),
                answer: Box::new(answer),
                server: Box::new(Nobody),
                field_names: FieldNames::TitleCase,
                log_limiter: Arc::new(LogLimiter::new(|| {})),
            };
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            Loop { poll, handlers: start(program, waker), tickets: 0 }
        }

        fn hand_over(&mut self, until: Instant) -> u64 {
            let head = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
            let mut fields = Vec::new();
            let line = request_head::parse(&head, 8, &mut fields).unwrap();
            self.tickets += 1;
            let connection = Waiting { number: 7, ticket: self.tickets };
            let peer = ([127, 0, 0, 1], 1).into();
            self.handlers.hand_over(Job { connection, head, line, fields, peer, until }).unwrap();
            self.tickets
        }

        /// The next answer, once it is there.
        fn next(&mut self) -> Done {
            let mut events = Events::with_capacity(8);
            loop {
                if let Some(done) = self.handlers.next() {
                    return done;
                }
                self.poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
                assert!(!events.is_empty(), "no answer has come");
            }
        }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[test]
    fn answers_that_are_not_taken_have_a_bounded_memory() {
        let mut handlers = Loop::new(|_| Response::bytes(vec![b'x'; ANSWER_BYTES]));
        let mut answer = || {
            handlers.hand_over(later());
            handlers.next().outcome
        };
        let mut made: Vec<Made> = (0..ANSWERS_BYTES / ANSWER_BYTES).map(|_| answer().unwrap()).collect();
        assert_eq!(answer().map(drop), Err(BUSY));
        let Made { head, rest, .. } = made.pop().unwrap();
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("\r\nContent-Length: 262144\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(rest.len(), ANSWER_BYTES);
        assert!(answer().is_ok(), "the memory is given back");
    }

    #[test]
    fn a_request_whose_time_is_over_costs_no_call_and_a_panic_no_thread() {
        let mut handlers = Loop::new(|request| match request.path() {
            "" => panic!("outside of a handler"),
            _ => Response::text("never"),
        });
        handlers.hand_over(Instant::now());
        for _ in 0..THREADS + 1 {
            let ticket = handlers.hand_over(later());
            let done = handlers.next();
            assert_eq!(
                (done.connection, done.outcome.map(drop)),
                (Waiting { number: 7, ticket }, Err(FAILED))
            );
        }
    }
}

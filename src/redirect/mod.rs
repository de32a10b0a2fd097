//! The thread that answers plain HTTP: with a redirect to HTTPS, or with a refusal that says why not. It has its own listener,
//! its own poll and its own small table of connections, so that it can take no more from the server than this one thread. It
//! knows sockets and `http`, and nothing of TLS: a closure tells which hosts are the server's own. The server starts it and
//! stops it.

mod answer;
mod answering;
mod challenge;
mod connection;
mod credentials;
pub(crate) mod handlers;
mod job;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::accept::{self, Meaning, Rest};
use crate::error::Error;
use crate::limits::limit::Limit;
use crate::limits::lingering::LINGER;
use crate::log_limiter::{About, LogLimiter, Sort};
#[cfg(feature = "operations")]
use crate::operations::cidr::Cidr;
#[cfg(feature = "operations")]
use crate::operations::in_front::NOT_ALLOWED;
#[cfg(feature = "operations")]
use crate::operations::proxy_protocol::{ProxyHeaderFault, EXPECTED, UNEXPECTED};

use answer::{IsOwn, Rules};
use answering::{Answering, TARGET};
pub(crate) use challenge::Challenges;
use connection::{Connection, Progress, Reason};
pub use credentials::HttpCredentials;
use job::Handlers;
pub(crate) use settings::Settings;
use settings::{HEAD_BYTES, LIFETIME};

/// The longest time from the request to stop to the end.
const STOP: Duration = Duration::from_millis(500);
/// How many connections are accepted before the open ones have their turn again.
const ACCEPTS_PER_TURN: usize = 64;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Serves until it is told to stop.
pub(crate) type Serve = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Starts what calls the program's handlers, with what wakes the redirect's loop.
pub(crate) type StartHandlers = Box<dyn FnOnce(Arc<Waker>) -> Box<dyn Handlers>>;

/// The parts that a redirect is made of.
pub(crate) struct Opening {
    /// The bound listener.
    pub listener: TcpListener,
    pub settings: Settings,
    /// Tells whether the certificate is for a host (an IPv6 address without brackets).
    pub is_own: Box<IsOwn>,
    /// Gives the answers to authorities, if a name may be validated.
    pub challenges: Option<Box<Challenges>>,
    /// Starts what calls the program's handlers, if some requests are answered in clear.
    pub handlers: Option<StartHandlers>,
    /// To stop the redirect, set this and then wake the waker.
    pub stop: Arc<AtomicBool>,
    /// The listener stays open elsewhere: what has not been accepted is for the next process.
    #[cfg(feature = "operations")]
    pub is_passed: bool,
    pub log_limiter: Arc<LogLimiter>,
    /// Connections from these networks begin with a PROXY header.
    #[cfg(feature = "operations")]
    pub proxy_from: Vec<Cidr>,
}

/// Takes over a bound listener.
pub(crate) fn open(opening: Opening) -> Result<(Serve, Arc<Waker>), Error> {
    let (redirect, waker) = Redirect::new(opening)?;
    Ok((Box::new(move || redirect.run()), waker))
}

/// The redirect, ready to run.
struct Redirect {
    /// `None` once it is stopping.
    listener: Option<TcpListener>,
    #[cfg(feature = "operations")]
    is_passed: bool,
    poll: Poll,
    stop: Arc<AtomicBool>,
    answering: Answering,
    most_connections: usize,
    lifetime: Duration,
    /// Connections by number. Numbers follow the order of acceptance and are not reused, so a late event cannot hit another
    /// connection.
    open: BTreeMap<usize, Connection>,
    /// Each open connection's deadline and number, the next one first.
    deadlines: BTreeSet<(Instant, usize)>,
    next_number: usize,
    accepting: Accepting,
    rest: Rest,
    #[cfg(feature = "operations")]
    proxy_from: Vec<Cidr>,
}

/// When to accept next.
#[derive(Debug, Clone, Copy)]
enum Accepting {
    /// When the listener is reported ready.
    OnEvent,
    /// In the next turn, because more may wait.
    Now,
    /// Not before this time, because accepting has failed.
    Resting { until: Instant },
}

impl Redirect {
    fn new(opening: Opening) -> Result<(Redirect, Arc<Waker>), Error> {
        #[cfg(feature = "operations")]
        let is_passed = opening.is_passed;
        let Opening { listener, settings, is_own, challenges, handlers, stop, log_limiter, .. } = opening;
        let rules = Rules::new(&settings)?;
        let lifetime = settings.head_timeout.min(LIFETIME);
        let (poll, waker) = prepare(&listener)
            .map_err(|source| Error::Io { doing: "preparing the redirect's listener", source })?;
        let waker = Arc::new(waker);
        let redirect = Redirect {
            listener: Some(listener),
            #[cfg(feature = "operations")]
            is_passed,
            poll,
            stop,
            answering: Answering {
                rules,
                field_names: settings.field_names,
                is_own,
                challenges,
                log_limiter,
                handlers: handlers.map(|start| start(waker.clone())),
                tickets: 0,
                leaks: 0,
            },
            most_connections: settings.connections,
            lifetime,
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_number: 0,
            accepting: Accepting::OnEvent,
            rest: Rest::default(),
            #[cfg(feature = "operations")]
            proxy_from: opening.proxy_from,
        };
        Ok((redirect, waker))
    }

    /// Serves until it is told to stop. Then answers the complete requests that have arrived, and ends within a second.
    fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(256);
        let mut scratch = vec![0; HEAD_BYTES];
        while !self.stop.load(Ordering::Acquire) {
            self.turn(&mut events, &mut scratch)?;
        }
        self.wind_down(&mut scratch);
        while !self.open.is_empty() {
            self.turn(&mut events, &mut scratch)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, scratch: &mut [u8]) -> Result<(), Error> {
        let timeout = self.timeout(Instant::now());
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(source) => {
                return Err(Error::Io { doing: "waiting for connections to the redirect", source })
            }
        }
        let now = Instant::now();
        for event in events.iter() {
            match (event.token(), self.accepting) {
                (LISTENER, Accepting::OnEvent) => self.accepting = Accepting::Now,
                (LISTENER | WAKER, _) => {}
                (Token(number), _) => self.advance(number, scratch, now),
            }
        }
        while let Some(done) = self.answering.done() {
            let number = done.connection.number;
            let waiting = self.open.get_mut(&number);
            if waiting.is_some_and(|connection| connection.take(done, &mut self.answering)) {
                self.advance(number, scratch, now);
            }
        }
        self.expire(now);
        match self.accepting {
            Accepting::Now => self.accept(now),
            Accepting::Resting { until } if until <= now => self.accept(now),
            Accepting::Resting { .. } | Accepting::OnEvent => {}
        }
        Ok(())
    }

    /// How long to wait if no socket becomes ready. `None` means forever.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        let accept = match self.accepting {
            Accepting::OnEvent => None,
            Accepting::Now => Some(now),
            Accepting::Resting { until } => Some(until),
        };
        let next = deadline.into_iter().chain(accept).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Accepts until no connection waits, or for one turn.
    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else {
                self.accepting = Accepting::OnEvent;
                return;
            };
            match accept::next(listener) {
                Ok((stream, peer)) => {
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    self.rest.succeed();
                    if let Err(error) = self.admit(stream, peer, now) {
                        self.answering.log_limiter.write_as(
                            About::Refusal,
                            Sort { target: TARGET, level: Level::Warn, what: "not watched" },
                            now,
                            format_args!("{peer}: closed, because it cannot be watched: {error}"),
                        );
                    }
                }
                Err(error) => match Meaning::of(&error) {
                    Meaning::NobodyWaits => {
                        self.rest.succeed();
                        self.accepting = Accepting::OnEvent;
                        return;
                    }
                    Meaning::AboutOne => {}
                    Meaning::Scarce | Meaning::Other => {
                        let rest = self.rest.fail();
                        self.answering.log(
                            Level::Warn,
                            "accepting failed",
                            now,
                            format_args!("cannot accept connections, trying again in {rest:?}: {error}"),
                        );
                        self.accepting = Accepting::Resting { until: now + rest };
                        return;
                    }
                },
            }
        }
        self.accepting = Accepting::Now;
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<()> {
        if self.open.len() >= self.most_connections {
            if let Some(oldest) = self.open.first_key_value().map(|(&number, _)| number) {
                self.make_room(oldest, now);
            }
        }
        if self.next_number >= WAKER.0 {
            // Happens once in four thousand million connections, on machines with 32-bit numbers.
            self.open.clear();
            self.deadlines.clear();
            self.next_number = 0;
        }
        let number = self.next_number;
        self.poll.registry().register(
            &mut SourceFd(&stream.as_raw_fd()),
            Token(number),
            Interest::READABLE,
        )?;
        self.next_number += 1;
        let deadline = now + self.lifetime;
        self.deadlines.insert((deadline, number));
        #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
        let mut connection = Connection::new(stream, peer, deadline, number);
        #[cfg(feature = "operations")]
        if self.proxy_from.iter().any(|network| network.contains(peer.ip())) {
            connection.expect_header();
        }
        self.open.insert(number, connection);
        Ok(())
    }

    fn make_room(&mut self, oldest: usize, now: Instant) {
        if let Some(Connection { peer, .. }) = self.remove(oldest) {
            let (limit, most) = (Limit::RedirectConnections, self.most_connections);
            self.answering.log(
                Level::Info,
                limit.name(),
                now,
                format_args!("{peer}: closed to make room, as the oldest (limit: {limit}, {most})"),
            );
        }
    }

    fn advance(&mut self, number: usize, scratch: &mut [u8], now: Instant) {
        let Some(connection) = self.open.get_mut(&number) else {
            return;
        };
        match connection.advance(&mut self.answering, scratch) {
            // It is watched for reading from the beginning.
            Progress::Waits(Interest::READABLE) => {}
            Progress::Waits(interest) => {
                let fd = connection.stream.as_raw_fd();
                let watched = self.poll.registry().reregister(&mut SourceFd(&fd), Token(number), interest);
                if let Err(error) = watched {
                    self.end(number, &Reason::Failed(error));
                }
            }
            Progress::Lingers => self.hasten(number, now + LINGER),
            Progress::Ended(reason) => self.end(number, &reason),
        }
    }

    /// Brings a connection's deadline forward, if it is later than this.
    fn hasten(&mut self, number: usize, deadline: Instant) {
        if let Some(connection) = self.open.get_mut(&number) {
            if deadline < connection.deadline {
                self.deadlines.remove(&(connection.deadline, number));
                self.deadlines.insert((deadline, number));
                connection.deadline = deadline;
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, number)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            #[cfg(feature = "operations")]
            if self.open.get(&number).is_some_and(Connection::awaits_header) {
                self.end(number, &Reason::ProxyHeader(Some(ProxyHeaderFault::Short)));
                continue;
            }
            if let Some(mut connection) = self.open.remove(&number) {
                connection.expire(&mut self.answering);
                log::debug!(target: TARGET, "{}: closed, its time was over", connection.peer);
            }
        }
    }

    fn wind_down(&mut self, scratch: &mut [u8]) {
        let now = Instant::now();
        // For the clients in the queue the connection is already established, so they should get an answer.
        #[cfg(feature = "operations")]
        if self.is_passed {
            self.listener = None;
        }
        self.accept(now);
        self.listener = None;
        self.accepting = Accepting::OnEvent;
        let numbers: Vec<usize> = self.open.keys().copied().collect();
        for number in numbers {
            self.advance(number, scratch, now);
            self.hasten(number, now + STOP);
            if self.open.get(&number).is_some_and(Connection::is_unanswered) {
                self.remove(number);
            }
        }
    }

    fn end(&mut self, number: usize, reason: &Reason) {
        let Some(connection) = self.remove(number) else {
            return;
        };
        let peer = connection.peer;
        match reason {
            Reason::Done => {}
            Reason::ClientLeft => log::debug!(target: TARGET, "{peer}: left without a request"),
            Reason::TlsHello => {
                const WHAT: &str = "TLS to the port for plain HTTP";
                let port = self.answering.rules.public_port;
                self.answering.log(
                    Level::Info,
                    WHAT,
                    Instant::now(),
                    format_args!("{peer}: closed, it speaks {WHAT}: give it https:// with port {port}"),
                );
            }
            #[cfg(feature = "operations")]
            Reason::ProxyHeader(fault) => {
                const WHAT: &str = "no PROXY header";
                let (limiter, now) = (&self.answering, Instant::now());
                match fault {
                    Some(fault) => {
                        limiter.log(
                            Level::Info,
                            WHAT,
                            now,
                            format_args!("{peer}: closed, {fault}; {EXPECTED}"),
                        );
                    }
                    None => limiter.log(
                        Level::Info,
                        NOT_ALLOWED,
                        now,
                        format_args!("{peer}: closed, {UNEXPECTED}"),
                    ),
                }
            }
            #[cfg(feature = "operations")]
            Reason::SecondProxyHeader => {
                self.answering.log(
                    Level::Info,
                    "no PROXY header",
                    Instant::now(),
                    format_args!("{peer}: closed, a second PROXY header has come behind the first"),
                );
            }
            Reason::StillSending => {
                log::debug!(target: TARGET, "{peer}: closed, it kept sending after the answer");
            }
            Reason::Failed(error) => log::debug!(target: TARGET, "{peer}: the connection failed: {error}"),
        }
    }

    fn remove(&mut self, number: usize) -> Option<Connection> {
        let connection = self.open.remove(&number)?;
        self.deadlines.remove(&(connection.deadline, number));
        self.answering.give_up(connection.peer, connection.unanswered());
        Some(connection)
    }
}

fn prepare(listener: &TcpListener) -> io::Result<(Poll, Waker)> {
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    Ok((poll, waker))
}

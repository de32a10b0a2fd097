//! The listener's loop: accepts connections, applies the limits on their number, and backs off when the system has run out of
//! resources. Workers perform the handshakes, so that a slow client does not block the others.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::net::sockopt::set_tcp_nodelay;

use super::clock::Millis;
use super::connection::link::Link;
use super::connection::state::Connection;
use super::connection::transport::Transport;
use super::deadline::Deadline;
use super::serve::Shared;
use super::turn::{Idle, Parking};
use crate::accept::{self, Meaning, Rest};
use crate::error::Error;
use crate::limits::limit::Limit;
use crate::limits::per_address::Admission;
use crate::listen::BACKLOG;
use crate::log_limiter::Sort;
#[cfg(feature = "operations")]
use crate::operations::in_front::HeaderOf;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// The kind of the log lines about an accept that has failed.
pub(crate) const ACCEPTING_FAILED: &str = "accepting failed";
/// The pause after a failed wait. Waiting should never fail; the pause prevents a busy loop.
const PAUSE: Duration = Duration::from_secs(1);

/// The HTTPS listener and its waker.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    poll: Poll,
    pub(crate) waker: Arc<Waker>,
    /// The socket stays open elsewhere: what has not been accepted is for the next process.
    #[cfg(feature = "operations")]
    pub(crate) is_passed: bool,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener) -> Result<Acceptor, Error> {
        let open = || -> io::Result<(Poll, Waker)> {
            listener.set_nonblocking(true)?;
            set_tcp_nodelay(&listener, true)?;
            let poll = Poll::new()?;
            poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
            let waker = Waker::new(poll.registry(), WAKER)?;
            Ok((poll, waker))
        };
        let (poll, waker) =
            open().map_err(|source| Error::Io { doing: "preparing to accept connections", source })?;
        Ok(Acceptor {
            listener,
            poll,
            waker: Arc::new(waker),
            #[cfg(feature = "operations")]
            is_passed: false,
        })
    }

    /// Accepts until the server is to stop. Then accepts the connections that have already come, and closes the listener. Those at a
    /// passed socket stay there: the next process serves them whole, and this one would close those that have not asked yet.
    pub(crate) fn run(mut self, shared: &Arc<Shared>) {
        let mut events = Events::with_capacity(2);
        let mut rest = Rest::default();
        loop {
            let stopping = shared.is_draining();
            #[cfg(feature = "operations")]
            if stopping && self.is_passed {
                return;
            }
            // When to accept again although nothing wakes the thread.
            let accept_after = match self.accept_all(shared, stopping) {
                Ok(waiting) => {
                    rest.succeed();
                    #[cfg(feature = "operations")]
                    shared.counts.note_accepting(true);
                    (waiting == Waiting::Maybe).then_some(Duration::ZERO)
                }
                Err(error) => {
                    #[cfg(feature = "operations")]
                    shared.counts.note_accepting(false);
                    if rest.is_over() {
                        let sort =
                            Sort { target: "lockgate::server", level: Level::Warn, what: ACCEPTING_FAILED };
                        shared.log_limiter.write(
                            sort,
                            Instant::now(),
                            format_args!("accepting a connection failed, trying again: {error}"),
                        );
                    }
                    Some(rest.fail())
                }
            };
            if stopping {
                return;
            }
            // This thread writes the log's summaries, because it has the least work.
            let sums = shared.log_limiter.settle(Instant::now());
            let deadline = shared.poller.until_unwatched_deadline(Instant::now());
            #[cfg(feature = "operations")]
            let accept_after =
                [accept_after, shared.stopping.leave(Instant::now())].into_iter().flatten().min();
            let timeout = [accept_after, sums, deadline].into_iter().flatten().min();
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() != ErrorKind::Interrupted {
                    log::error!("waiting for connections failed: {error}");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Accepts until no connection waits, or until the server is to stop, but at most as many as may have waited at the
    /// beginning. After an error the next accept would fail at once too.
    fn accept_all(&self, shared: &Arc<Shared>, stopping: bool) -> io::Result<Waiting> {
        let mut left = BACKLOG;
        while left > 0 && (stopping || !shared.is_draining()) {
            left -= 1;
            let error = match accept::next(&self.listener) {
                Ok((tcp, peer)) => {
                    admit(shared, tcp, peer);
                    continue;
                }
                Err(error) => error,
            };
            match Meaning::of(&error) {
                Meaning::NobodyWaits => return Ok(Waiting::Nobody),
                Meaning::AboutOne => log::debug!("a connection was lost: {error}"),
                Meaning::Scarce => match shared.poller.make_room(shared.limits_now().stall_timeout) {
                    Some(connection) => connection.close_for_another(shared),
                    None => return Err(error),
                },
                Meaning::Other => return Err(error),
            }
        }
        Ok(Waiting::Maybe)
    }
}

/// Whether more connections wait to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nobody,
    Maybe,
}

/// Admits a connection, or closes it when a limit is reached.
fn admit(shared: &Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let now = Instant::now();
    #[cfg(feature = "operations")]
    shared.counts.accept();
    let Some(admission) = admission(shared, peer) else {
        let limit = Limit::ConnectionsPerAddress;
        let why = "closed, too many connections from its address";
        shared.log_refusal(limit.name(), now, format_args!("{peer}: {why} (limit {limit})"));
        return;
    };
    if shared.poller.lock().open >= shared.connections() {
        let limit = Limit::Connections;
        match shared.poller.make_room(shared.limits_now().stall_timeout) {
            Some(connection) => {
                let peer = connection.peer();
                shared.log_refusal(
                    limit.name(),
                    now,
                    format_args!("{peer}: closed to make room for another (limit {limit})"),
                );
                connection.close_for_another(shared);
            }
            None => {
                shared.log_refusal(
                    limit.name(),
                    now,
                    format_args!("{peer}: closed, too many connections (limit {limit})"),
                );
                return;
            }
        }
    }
    if let Err(error) = begin(shared, tcp, peer, admission, now) {
        shared.log_refusal("not taken in", now, format_args!("{peer}: could not be taken in: {error}"));
    }
}

/// The place of a connection among those of its address. One that begins with a PROXY header gets it when that has named the client.
fn admission(shared: &Shared, peer: SocketAddr) -> Option<Admission> {
    #[cfg(feature = "operations")]
    if shared.networks.speaks_proxy(peer.ip()) {
        return Some(Admission::UNCOUNTED);
    }
    shared.per_address.admit(peer.ip())
}

fn begin(
    shared: &Arc<Shared>,
    tcp: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    now: Instant,
) -> io::Result<()> {
    // Read before the configuration. If the rules change in between, the client is checked once more.
    let rules = shared.tls.rules();
    let transport = Transport::new(tcp, shared.tls.config())?;
    let now = shared.poller.millis(now);
    let at = now + shared.limits_now().handshake_timeout.as_millis() as Millis;
    let deadline = Deadline::of(Limit::HandshakeTimeout, at);
    #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
    let mut link = Link::new(peer, transport, deadline, admission);
    #[cfg(feature = "operations")]
    if shared.networks.speaks_proxy(peer.ip()) {
        link.header = HeaderOf::awaited();
    }
    let connection = Connection::new(link, rules, now);
    shared.poller.admit(Box::new(connection), Parking { now, deadline: at, idle: Idle::Head(now) })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{Identity, Limits, Router, Running, Server};

    /// How long a test waits for an event before it fails.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn an_accepted_connection_does_not_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let acceptor = Acceptor::new(listener).unwrap();
        let _client = TcpStream::connect(acceptor.listener.local_addr().unwrap()).unwrap();
        let (tcp, _) = accept::next(&acceptor.listener).unwrap();
        assert!(tcp.nodelay().unwrap());
    }

    fn server(limits: Limits) -> (Running, SocketAddr) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let server = Server::builder(Router::new()).https("127.0.0.1:0").identity(identity);
        let server = server.limits(limits).bind().unwrap();
        let address = server.local_addr();
        (server.spawn().unwrap(), address)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Waits until the server has closed the connection.
    fn is_closed(mut client: TcpStream) -> bool {
        match client.read(&mut [0; 64]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn until_open(running: &Running, count: usize) {
        let began = Instant::now();
        while running.handle().health().connections != count {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }

    fn stop(running: Running) {
        running.handle().stop();
        running.join().unwrap();
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let (running, address) =
            server(Limits { connections_per_address: 1, count_loopback: true, ..Limits::default() });
        let first = connect(address);
        assert!(is_closed(connect(address)));
        until_open(&running, 1);
        drop(first);
        until_open(&running, 0);
        let again = connect(address);
        until_open(&running, 1);
        stop(running);
        assert!(is_closed(again));
    }

    #[test]
    fn when_all_connections_are_taken_a_new_one_is_closed_unless_another_makes_room() {
        let limits = Limits { connections: 1, ..Limits::default() };
        let (running, address) = server(Limits { stall_timeout: Duration::from_secs(9), ..limits.clone() });
        let first = connect(address);
        until_open(&running, 1);
        assert!(is_closed(connect(address)));
        drop(first);
        stop(running);

        let (running, address) = server(Limits { stall_timeout: Duration::from_millis(1), ..limits });
        let mut last = connect(address);
        // Until one of them has stalled for long enough, and makes room.
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE);
            let next = connect(address);
            last.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            match last.read(&mut [0; 64]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    assert!(is_closed(next), "one of the two has to go");
                }
                _ => {
                    last = next;
                    break;
                }
            }
        }
        until_open(&running, 1);
        stop(running);
        assert!(is_closed(last));
    }

    #[test]
    fn what_has_connected_before_a_stop_is_taken_in_and_the_listener_is_closed() {
        let (running, address) = server(Limits::default());
        let client = connect(address);
        stop(running);
        assert!(is_closed(client));
        assert!(TcpStream::connect(address).is_err());
    }
}

//! The listener's loop: takes connections in, holds the caps, and backs off when the system has nothing left to give. It
//! performs no handshake; that is a worker's, or one slow client would keep all others out.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::net::{acceptfrom_with, SocketFlags};

use super::clock::Millis;
use super::connection::state::Connection;
use super::connection::transport::Transport;
use super::deadline::Deadline;
use super::turn::{Idle, Parking};
use super::Shared;
use crate::error::Error;
use crate::limits::limit::Limit;
use crate::limits::per_address::Admission;
use crate::listen::BACKLOG;
use crate::log_limiter::Sort;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// The first pause after the system refused a connection, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The HTTPS listener and what wakes it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    poll: Poll,
    pub(crate) waker: Arc<Waker>,
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
        Ok(Acceptor { listener, poll, waker: Arc::new(waker) })
    }

    /// Accepts until the server is to stop; then takes in what has connected by then, and closes the listener.
    pub(crate) fn run(mut self, shared: &Arc<Shared>) {
        let mut events = Events::with_capacity(2);
        let mut pause = None;
        loop {
            let stopping = shared.is_draining();
            let mut more_wait = false;
            pause = match self.accept_all(shared, stopping) {
                Ok(ran_out) => {
                    more_wait = !ran_out;
                    None
                }
                Err(error) => {
                    let next = pause.map_or(FIRST_PAUSE, |pause: Duration| (pause * 2).min(LONGEST_PAUSE));
                    if pause.is_none() {
                        let sort =
                            Sort { target: "lockgate::server", level: Level::Warn, what: "accepting failed" };
                        let line = format_args!("accepting a connection failed, trying again: {error}");
                        shared.log_limiter.write(sort, Instant::now(), line);
                    }
                    Some(next)
                }
            };
            if stopping {
                return;
            }
            // The log's sums are told by this thread, which has the most time.
            let sums = shared.log_limiter.settle(Instant::now());
            let deadline = shared.poller.until_unwatched_deadline(Instant::now());
            let at_once = more_wait.then_some(Duration::ZERO);
            let timeout = [pause, sums, deadline, at_once].into_iter().flatten().min();
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() != ErrorKind::Interrupted {
                    log::error!("waiting for connections failed: {error}");
                    std::thread::sleep(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Accepts until nobody waits, at most as many as may have waited when it began, or until the server is to stop. Whether
    /// nobody waits. An error is one that will come again at once.
    fn accept_all(&self, shared: &Arc<Shared>, stopping: bool) -> io::Result<bool> {
        let mut left = BACKLOG;
        while left > 0 && (stopping || !shared.is_draining()) {
            left -= 1;
            match accept(&self.listener) {
                Ok((tcp, peer)) => admit(shared, tcp, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                // One connection went wrong before it was taken; the others have nothing to do with it.
                Err(error) if is_one_of(&error, &ABOUT_ONE) => log::debug!("a connection was lost: {error}"),
                Err(error) if is_one_of(&error, &SCARCE) => {
                    // Another connection has what is missing.
                    match shared.poller.make_room(shared.limits.stall_timeout) {
                        Some(connection) => connection.close_for_another(shared),
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// What accept says about the one connection that it would have given (accept(2)).
const ABOUT_ONE: [Errno; 9] = [
    Errno::CONNABORTED,
    Errno::INTR,
    Errno::PROTO,
    Errno::PERM,
    Errno::NETDOWN,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::NETUNREACH,
    Errno::TIMEDOUT,
];

/// What it says when the system has run out of something.
const SCARCE: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

fn is_one_of(error: &io::Error, known: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|code| known.iter().any(|known| known.raw_os_error() == code))
}

/// The next connection that waits; it never blocks. Its TCP_NODELAY, without which it would wait 40 ms for the peer's delayed
/// acknowledgement, is the listener's: it is inherited.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.ok_or(Errno::AFNOSUPPORT)?;
    Ok((socket.into(), peer.try_into()?))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, peer) = listener.accept()?;
    tcp.set_nonblocking(true)?;
    tcp.set_nodelay(true)?;
    Ok((tcp, peer))
}

/// Takes a connection in, or closes it when a cap is reached.
fn admit(shared: &Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let now = Instant::now();
    let Some(admission) = shared.per_address.admit(peer.ip()) else {
        let limit = Limit::ConnectionsPerAddress;
        let why = "closed, too many connections from its address";
        shared.log_refusal(limit.name(), now, format_args!("{peer}: {why} (limit {limit})"));
        return;
    };
    if shared.poller.lock().open >= shared.connections {
        let limit = Limit::Connections;
        match shared.poller.make_room(shared.limits.stall_timeout) {
            Some(connection) => {
                let peer = connection.peer();
                let line = format_args!("{peer}: closed to make room for another (limit {limit})");
                shared.log_refusal(limit.name(), now, line);
                connection.close_for_another(shared);
            }
            None => {
                let line = format_args!("{peer}: closed, too many connections (limit {limit})");
                shared.log_refusal(limit.name(), now, line);
                return;
            }
        }
    }
    if let Err(error) = begin(shared, tcp, peer, admission, now) {
        shared.log_refusal("not taken in", now, format_args!("{peer}: could not be taken in: {error}"));
    }
}

fn begin(
    shared: &Arc<Shared>,
    tcp: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    now: Instant,
) -> io::Result<()> {
    // Before the configuration is asked for: if they change in between, the client is checked once more.
    let rules = shared.tls.rules();
    let transport = Transport::new(tcp, shared.tls.config())?;
    let now = shared.poller.millis(now);
    let at = now + shared.limits.handshake_timeout.as_millis() as Millis;
    let deadline = Deadline::of(Limit::HandshakeTimeout, at);
    let connection = Connection::new(peer, transport, rules, now, deadline, admission);
    shared.poller.admit(Box::new(connection), Parking { now, deadline: at, idle: Idle::Head(now) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_connection_does_not_block_nor_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let acceptor = Acceptor::new(listener).unwrap();
        let client = TcpStream::connect(acceptor.listener.local_addr().unwrap()).unwrap();
        let (tcp, peer) = accept(&acceptor.listener).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(tcp.nodelay().unwrap());
        let flags = rustix::fs::fcntl_getfl(&tcp).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&tcp).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(accept(&acceptor.listener).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

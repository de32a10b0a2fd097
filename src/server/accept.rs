//! The listener's loop: takes connections in, holds the caps, and backs off when the system has nothing left to give. It
//! performs no handshake; that is a worker's, or one slow client would keep all others out.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;

use super::connection::Connection;
use super::parking::{Idle, Millis, Parking};
use super::transport::Transport;
use super::Shared;
use crate::error::Error;

/// How many connections the system may hold for the listener; it takes fewer when its own limit is lower.
pub(super) const BACKLOG: usize = 4_096;

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
            pause = match self.accept_all(shared, stopping) {
                Ok(()) => None,
                Err(error) => {
                    let next = pause.map_or(FIRST_PAUSE, |pause: Duration| (pause * 2).min(LONGEST_PAUSE));
                    if pause.is_none() {
                        log::warn!("accepting a connection failed, trying again: {error}");
                    }
                    Some(next)
                }
            };
            if stopping {
                return;
            }
            if let Err(error) = self.poll.poll(&mut events, pause) {
                if error.kind() != ErrorKind::Interrupted {
                    log::error!("waiting for connections failed: {error}");
                    std::thread::sleep(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Accepts until nobody waits, or until the server is to stop; then as many as may have waited at that time. An error
    /// is one that will come again at once.
    fn accept_all(&self, shared: &Arc<Shared>, stopping: bool) -> io::Result<()> {
        let mut left = if stopping { BACKLOG } else { usize::MAX };
        while left > 0 && (stopping || !shared.is_draining()) {
            left -= 1;
            match self.listener.accept() {
                Ok((tcp, peer)) => admit(shared, tcp, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // One connection went wrong before it was taken; the others have nothing to do with it.
                Err(error) if is_one_of(&error, &ABOUT_ONE) => log::debug!("a connection was lost: {error}"),
                Err(error) if is_one_of(&error, &SCARCE) => {
                    // Another connection has what is missing.
                    match shared.lot.make_room(shared.limits.stall_timeout) {
                        Some(connection) => connection.close_idle(),
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

/// Takes a connection in, or closes it when a cap is reached.
fn admit(shared: &Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let Some(admission) = shared.census.admit(peer.ip()) else {
        log::info!("{peer}: closed, too many connections from its address (limit connections_per_address)");
        return;
    };
    if shared.lot.lock().open >= shared.connections {
        match shared.lot.make_room(shared.limits.stall_timeout) {
            Some(connection) => {
                log::info!("{}: closed to make room for another (limit connections)", connection.peer());
                connection.close_idle();
            }
            None => {
                log::info!("{peer}: closed, too many connections (limit connections)");
                return;
            }
        }
    }
    if let Err(error) = begin(shared, tcp, peer, admission) {
        log::info!("{peer}: could not be taken in: {error}");
    }
}

fn begin(shared: &Arc<Shared>, tcp: TcpStream, peer: SocketAddr, admission: Admission) -> io::Result<()> {
    tcp.set_nonblocking(true)?;
    // Without it a new connection waits 40 ms for the peer's delayed acknowledgement.
    tcp.set_nodelay(true)?;
    let transport = Transport::new(tcp, shared.tls.config())?;
    let now = shared.lot.millis(Instant::now());
    let deadline = now + shared.limits.handshake_timeout.as_millis() as Millis;
    let connection = Connection::new(peer, transport, now, deadline, admission);
    shared.lot.admit(Box::new(connection), Parking { now, deadline, idle: Idle::Unserved(now) })
}

/// How many connections each address has. Bounded by the number of open connections: an address without one is forgotten.
#[derive(Debug)]
pub(crate) struct Census {
    counts: Counts,
    most: usize,
    count_loopback: bool,
}

/// A connection's place in the census; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission(Option<(Counts, IpAddr)>);

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Census {
    pub(crate) fn new(most: usize, count_loopback: bool) -> Census {
        Census { counts: Arc::default(), most, count_loopback }
    }

    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admission> {
        if address.is_loopback() && !self.count_loopback {
            return Some(Admission(None));
        }
        let network = network_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Admission(Some((self.counts.clone(), network))))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some((counts, network)) = &self.0 else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(network);
            }
        }
    }
}

/// What one subscriber has: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let census = Census::new(2, false);
        let admit = |text: &str| census.admit(text.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(first);
        assert!(admit("192.0.2.1").is_some());
        let _one = admit("2001:db8::1").unwrap();
        let _other = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_none());
        assert!(admit("2001:db8:0:1::3").is_some());
    }

    #[test]
    fn loopback_is_counted_only_when_asked_and_nothing_is_kept_of_who_left() {
        let free = Census::new(1, false);
        let _held: Vec<_> = (0..3).map(|_| free.admit("127.0.0.1".parse().unwrap()).unwrap()).collect();
        let counted = Census::new(1, true);
        let held = counted.admit("127.0.0.1".parse().unwrap()).unwrap();
        assert!(counted.admit("127.0.0.1".parse().unwrap()).is_none());
        drop(held);
        assert!(counted.counts.lock().unwrap().is_empty());
    }
}

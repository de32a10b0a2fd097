//! Accepting a connection, and what an error means: some errors concern one connection only; after any other error a listener
//! rests for a time. Knows sockets, and nothing of what is served on them. The server's listener and the redirect call it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::net::{acceptfrom_with, SocketFlags};

/// The first rest; each further failure doubles it.
const SHORTEST_REST: Duration = Duration::from_millis(5);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Errors that concern only the connection that accept would have returned (accept(2)). EPERM is not among them: a rule of
/// the system may refuse every accept with it, and a listener that did not rest would spin.
const ABOUT_ONE: [Errno; 9] = [
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::INTR,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::NETUNREACH,
    Errno::TIMEDOUT,
];

/// Errors that say that the system has run out of something.
const SCARCE: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

/// What an error of accept means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    NobodyWaits,
    /// One connection failed before it was accepted. Other connections are not affected.
    AboutOne,
    /// The system has run out of something that open connections hold, such as file descriptors.
    Scarce,
    Other,
}

impl Meaning {
    pub(crate) fn of(error: &io::Error) -> Meaning {
        let is_one_of = |known: &[Errno]| {
            error.raw_os_error().is_some_and(|code| known.iter().any(|known| known.raw_os_error() == code))
        };
        match error.kind() {
            ErrorKind::WouldBlock => Meaning::NobodyWaits,
            _ if is_one_of(&ABOUT_ONE) => Meaning::AboutOne,
            _ if is_one_of(&SCARCE) => Meaning::Scarce,
            _ => Meaning::Other,
        }
    }
}

/// How long a listener rests after a failure that would recur at once. The time doubles with each failure, until accept
/// succeeds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rest(Option<Duration>);

impl Rest {
    /// Notes a failure. Returns how long the listener rests now.
    pub(crate) fn fail(&mut self) -> Duration {
        let rest = self.0.map_or(SHORTEST_REST, |last| (last * 2).min(LONGEST_REST));
        self.0 = Some(rest);
        rest
    }

    pub(crate) fn succeed(&mut self) {
        self.0 = None;
    }

    /// Whether there was no failure since accept last succeeded.
    pub(crate) fn is_over(self) -> bool {
        self.0.is_none()
    }
}

/// The next waiting connection. Neither this call nor the connection blocks. TCP_NODELAY is not set here, because a
/// connection inherits it on these systems, from a listener that has it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn next(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.ok_or(Errno::AFNOSUPPORT)?;
    Ok((socket.into(), peer.try_into()?))
}

/// The next connection that waits; neither this nor the connection blocks.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn next(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, peer) = listener.accept()?;
    tcp.set_nonblocking(true)?;
    tcp.set_nodelay(true)?;
    Ok((tcp, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_up_to_a_second_and_ends_with_a_success() {
        let mut rest = Rest::default();
        assert!(rest.is_over());
        let rests: Vec<u128> = (0..10).map(|_| rest.fail().as_millis()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert!(!rest.is_over());
        rest.succeed();
        assert!(rest.is_over());
        assert_eq!(rest.fail(), SHORTEST_REST);
    }

    #[test]
    fn an_error_is_about_one_connection_or_about_all() {
        let meaning = |errno: Errno| Meaning::of(&errno.into());
        assert_eq!(meaning(Errno::AGAIN), Meaning::NobodyWaits);
        for errno in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::TIMEDOUT] {
            assert_eq!(meaning(errno), Meaning::AboutOne, "{errno:?}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(meaning(errno), Meaning::Scarce, "{errno:?}");
        }
        assert_eq!(meaning(Errno::BADF), Meaning::Other);
        assert_eq!(meaning(Errno::PERM), Meaning::Other);
        assert_eq!(Meaning::of(&io::Error::other("not the system's")), Meaning::Other);
    }

    #[test]
    fn an_accepted_connection_does_not_block_and_neither_does_waiting_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tcp, peer) = next(&listener).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let flags = rustix::fs::fcntl_getfl(&tcp).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&tcp).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(Meaning::of(&next(&listener).unwrap_err()), Meaning::NobodyWaits);
    }
}

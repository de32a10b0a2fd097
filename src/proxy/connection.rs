//! A connection to a backend: opened, written and read without ever waiting, and watched by the poller of the server whose client
//! waits for it. Knows sockets, and no HTTP. `exchange` and `body` use it, and `kept` holds it in between.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use super::target::Address;
use crate::wake_list::{SideInterest, WakeList, Waker};

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    watched: Option<Watched>,
    /// Whether a request was answered on it before.
    pub is_kept: bool,
    /// When it was answered last.
    pub since: Instant,
    /// How long it is kept from then on.
    pub kept_for: Duration,
}

/// Who watches a connection, and for what.
#[derive(Debug)]
struct Watched {
    list: Arc<WakeList>,
    key: usize,
    interest: SideInterest,
}

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    /// Nothing has come yet. The poller tells when something has.
    Nothing,
    /// The backend sends nothing more.
    End,
}

impl Connection {
    /// Begins to connect. Whether that has worked is told by the first bytes that are sent.
    pub(super) fn open(address: &Address, now: Instant) -> io::Result<Connection> {
        let (family, flags) = (family(address), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        let begun = match address {
            Address::Internet(address) => {
                // A request's last bytes do not wait for the acknowledgement of those before.
                rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
                rustix::net::connect(&socket, address)
            }
            Address::Unix(address) => rustix::net::connect(&socket, address),
        };
        match begun {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Connection { socket, watched: None, is_kept: false, since: now, kept_for: Duration::ZERO })
    }

    /// Sends as many of these bytes as the socket takes. While it still connects, that is none.
    pub(super) fn send(&self, mut bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(some) => {
                    sent += some;
                    bytes = bytes.get(some..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                // ENOTCONN: some systems say so while the socket connects.
                Err(Errno::AGAIN | Errno::NOTCONN) => break,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    pub(super) fn read(&self, out: &mut [u8]) -> io::Result<Read> {
        self.receive(out, RecvFlags::empty())
    }

    fn receive(&self, out: &mut [u8], flags: RecvFlags) -> io::Result<Read> {
        loop {
            return match rustix::net::recv(&self.socket, &mut *out, flags) {
                Ok((0, _)) => Ok(Read::End),
                Ok((read, _)) => Ok(Read::Bytes(read)),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Ok(Read::Nothing),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Tells the backend that nothing more is sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket, Shutdown::Write)?)
    }

    /// Whether nothing has come since the last answer: neither an end nor bytes that nobody asked for.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.receive(&mut [0], RecvFlags::PEEK), Ok(Read::Nothing))
    }

    /// Lets the client's connection be woken when bytes have come, or, as long as some are unsent, when the socket takes more.
    pub(super) fn watch(&mut self, waker: &Waker, interest: SideInterest) -> io::Result<()> {
        let before = match &self.watched {
            Some(Watched { list, key, interest: known }) if Arc::ptr_eq(list, &waker.list) => {
                // What is watched for more than is wanted wakes for nothing, but seldom.
                if *key == waker.key && (*known == interest || interest == SideInterest::Readable) {
                    return Ok(());
                }
                true
            }
            Some(Watched { list, .. }) => {
                list.forget(self.socket.as_raw_fd())?;
                false
            }
            None => false,
        };
        self.watched = None;
        waker.list.watch(self.socket.as_raw_fd(), waker.key, interest, before)?;
        self.watched = Some(Watched { list: waker.list.clone(), key: waker.key, interest });
        Ok(())
    }

    /// Whether it was watched last for this connection of a client: it then need not be registered again.
    pub(super) fn is_watched_for(&self, waker: &Waker) -> bool {
        self.watched
            .as_ref()
            .is_some_and(|watched| watched.key == waker.key && Arc::ptr_eq(&watched.list, &waker.list))
    }
}

fn family(address: &Address) -> AddressFamily {
    match address {
        Address::Internet(address) if address.is_ipv4() => AddressFamily::INET,
        Address::Internet(_) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    }
}

/// Whether a connection was refused because nobody listens now, as while a backend starts again.
pub(super) fn is_refused(error: &io::Error) -> bool {
    // A listener in the file system whose queue is full says that it would block.
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::WouldBlock)
}

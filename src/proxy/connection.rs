//! A connection to a backend: opened, written and read without ever waiting, and watched by the poller of the server whose client
//! waits for it. Knows sockets, and
//! no HTTP; TLS only as a trait. `exchange` and `body` use it, and `kept` holds it in between.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use super::target::Address;
use crate::url::Host;
use crate::wake_list::{SideInterest, WakeList, Waker};

/// How long a connection is silent before its peer is asked whether it is there.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ASKED_AFTER: Duration = Duration::from_secs(60);

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// The TLS over it, if there is any.
    secure: Option<Box<dyn Secure>>,
    watched: Option<Watched>,
    /// How often the addresses of its backend had changed before it was opened.
    pub generation: usize,
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

/// Makes connections secure. A trait, so that a program without TLS to its backends does not link it.
pub(super) trait Secures: fmt::Debug + Send + Sync {
    /// TLS for a connection to this host.
    fn secure(&self, host: &Host) -> io::Result<Box<dyn Secure>>;
    /// Whether a backend has asked for a client's certificate since this was called last, and whether there is one to show.
    #[cfg(feature = "check")]
    fn was_asked(&self) -> (bool, bool);
}

/// What is between the bytes of a connection and its socket.
pub(super) trait Secure: fmt::Debug + Send {
    /// Takes as many of these bytes as can be sent now. While there is no handshake yet, that is none.
    fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize>;
    fn read(&mut self, socket: &OwnedFd, out: &mut [u8]) -> io::Result<Read>;
    /// Tells the backend that nothing more is sent. Returns whether all of it, and what was taken before, is sent by now.
    fn finish(&mut self, socket: &OwnedFd) -> io::Result<bool>;
    /// Whether something that was taken is not sent yet.
    fn has_unsent(&self) -> bool;
}

/// What is wrong with the TLS of a backend, as far as the check before a start tells one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// Its certificate is for another host.
    Name,
    /// No authority of the CA file has signed its certificate.
    Issuer,
    /// Its certificate has expired, or is not valid yet.
    Dates,
    /// It says that a client's certificate is missing.
    Client,
    /// It has sent an alert that may be about a client's certificate.
    Alert,
    Other,
}

/// An error of TLS itself: the inner error of an [`io::Error`].
#[derive(Debug)]
pub(super) struct TlsError {
    pub(super) why: String,
    #[cfg_attr(not(feature = "check"), allow(dead_code))]
    pub(super) fault: TlsFault,
    /// Whether the connection was not secure yet.
    pub(super) is_handshake: bool,
}

impl TlsError {
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, self)
    }
}

/// Makes errors that say why a connection is not secure.
pub(super) struct NoHandshake;

impl NoHandshake {
    pub(super) fn error(why: String) -> io::Error {
        NoHandshake::of(ErrorKind::InvalidData, why)
    }

    pub(super) fn of(kind: ErrorKind, why: String) -> io::Error {
        io::Error::new(kind, TlsError { why, fault: TlsFault::Other, is_handshake: true })
    }

    /// What an error of the socket means within a handshake. One that the peer has caused comes of a connection that was there, so it
    /// has failed the handshake. Others, as of connecting, stay what they are.
    pub(super) fn or(error: io::Error) -> io::Error {
        match error.kind() {
            kind @ (ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe) => {
                let why = format!("the connection has broken within the TLS handshake: {error}");
                NoHandshake::of(kind, why)
            }
            _ => error,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for TlsError {}

/// Whether a connection has failed because of TLS.
pub(super) fn is_no_handshake(error: &io::Error) -> bool {
    tls_error(error).is_some_and(|error| error.is_handshake)
}

/// The error of TLS that this is, if it is one.
pub(super) fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
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
        Ok(Connection {
            socket,
            secure: None,
            watched: None,
            generation: 0,
            is_kept: false,
            since: now,
            kept_for: Duration::ZERO,
        })
    }

    /// Whether the connection is there by now. An error says why there will be none.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        rustix::net::sockopt::socket_error(&self.socket)??;
        match rustix::net::getpeername(&self.socket) {
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Secures a connection that was just opened.
    pub(super) fn secured(self, secure: Box<dyn Secure>) -> Connection {
        Connection { secure: Some(secure), ..self }
    }

    /// Whether it is connected, and waits for the backend's part of the handshake if nothing was sent.
    pub(super) fn shakes_hands(&self) -> bool {
        self.secure.is_some() && matches!(self.is_connected(), Ok(true))
    }

    /// Sends as many of these bytes as the socket takes. While it still connects, that is none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.secure {
            Some(secure) => secure.send(&self.socket, bytes),
            None => send_some(&self.socket, bytes),
        }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<Read> {
        match &mut self.secure {
            Some(secure) => secure.read(&self.socket, out),
            None => receive(&self.socket, out),
        }
    }

    /// Lets the system ask now and then whether the backend's host is still there. Only for connections that may be silent.
    pub(super) fn keep_alive(&self) {
        // A socket in the file system has nothing to ask.
        if let Err(error) = rustix::net::sockopt::set_socket_keepalive(&self.socket, true) {
            log::debug!("a connection to a backend cannot be kept alive: {error}");
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let _ = rustix::net::sockopt::set_tcp_keepidle(&self.socket, ASKED_AFTER);
            let _ = rustix::net::sockopt::set_tcp_keepintvl(&self.socket, ASKED_AFTER / 4);
            let _ = rustix::net::sockopt::set_tcp_keepcnt(&self.socket, 4);
        }
    }

    /// Tells the backend that nothing more is sent. Returns whether it has done that: while the socket does not take what was sent
    /// before, it has to be called again.
    pub(super) fn finish(&mut self) -> io::Result<bool> {
        if let Some(secure) = &mut self.secure {
            if !secure.finish(&self.socket)? {
                return Ok(false);
            }
        }
        rustix::net::shutdown(&self.socket, Shutdown::Write)?;
        Ok(true)
    }

    /// Whether nothing has come since the last answer: neither an end nor bytes that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        let read = match &mut self.secure {
            // Under TLS something may have come for TLS itself.
            Some(secure) => secure.read(&self.socket, &mut [0]),
            None => receive_with(&self.socket, &mut [0], RecvFlags::PEEK),
        };
        matches!(read, Ok(Read::Nothing))
    }

    /// Lets the client's connection be woken when bytes have come, or, as long as some are unsent, when the socket takes more.
    pub(super) fn watch(&mut self, waker: &Waker, interest: SideInterest) -> io::Result<()> {
        let interest = match &self.secure {
            Some(secure) if secure.has_unsent() => SideInterest::Both,
            _ => interest,
        };
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

    /// The key of the client's connection that it was watched for last.
    pub(super) fn watched_key(&self) -> Option<usize> {
        self.watched.as_ref().map(|watched| watched.key)
    }

    /// Who watches it, if anybody does.
    pub(super) fn watched_by(&self) -> Option<&Arc<WakeList>> {
        self.watched.as_ref().map(|watched| &watched.list)
    }

    #[cfg(test)]
    pub(super) fn local_port(&self) -> u16 {
        let address = std::net::TcpStream::from(self.socket.try_clone().unwrap()).local_addr();
        address.unwrap().port()
    }

    /// Whether it was watched last for this connection of a client: it then need not be registered again.
    pub(super) fn is_watched_for(&self, waker: &Waker) -> bool {
        self.watched
            .as_ref()
            .is_some_and(|watched| watched.key == waker.key && Arc::ptr_eq(&watched.list, &waker.list))
    }
}

/// Sends as many of these bytes as a socket takes.
pub(super) fn send_some(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while !bytes.is_empty() {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
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

/// Reads a socket.
pub(super) fn receive(socket: &OwnedFd, out: &mut [u8]) -> io::Result<Read> {
    receive_with(socket, out, RecvFlags::empty())
}

fn receive_with(socket: &OwnedFd, out: &mut [u8], flags: RecvFlags) -> io::Result<Read> {
    loop {
        return match rustix::net::recv(socket, &mut *out, flags) {
            Ok((0, _)) => Ok(Read::End),
            Ok((read, _)) => Ok(Read::Bytes(read)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Read::Nothing),
            Err(error) => Err(error.into()),
        };
    }
}

fn family(address: &Address) -> AddressFamily {
    match address {
        Address::Internet(address) if address.is_ipv4() => AddressFamily::INET,
        Address::Internet(_) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    }
}

/// Whether a connection was refused because nobody listens now, as while a backend starts again. One that a backend has left in its
/// queue when it ended is broken before anything was sent.
pub(super) fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::NotFound
    ) || is_busy(error)
}

/// Whether a connection was refused because too many wait to be accepted: a listener in the file system then says that it would
/// block.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

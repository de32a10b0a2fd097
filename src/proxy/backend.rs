//! Where a backend is, and a connection to it that is waited for, as long as a limit says: for a look at the backends before requests
//! come. `check` looks at them, and `lockgate serve` when it starts. Requests have `connection`, which never waits.

#![cfg(any(feature = "check", feature = "serve"))]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_timeout, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Where a backend is.
pub(crate) struct Backend {
    pub name: String,
    /// What `Host` is to say.
    #[cfg_attr(not(feature = "check"), allow(dead_code))]
    pub host: String,
    #[cfg_attr(not(feature = "check"), allow(dead_code))]
    pub is_secure: bool,
    pub(super) way: Way,
}

pub(super) enum Way {
    Internet(Vec<SocketAddr>),
    Socket(SocketAddrUnix),
}

impl Backend {
    /// Whether it is a socket in the file system.
    #[cfg(feature = "check")]
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.way, Way::Socket(_))
    }

    #[cfg(feature = "check")]
    pub(crate) fn has_no_address(&self) -> bool {
        matches!(&self.way, Way::Internet(addresses) if addresses.is_empty())
    }

    /// Connects, to each of its addresses for at most so long. What a socket in the file system is read and written by is the same as
    /// for TCP, so both have one type.
    pub(crate) fn connect(&self, most: Duration) -> io::Result<TcpStream> {
        match &self.way {
            Way::Internet(addresses) => {
                let mut last = io::Error::new(ErrorKind::AddrNotAvailable, "its name has no address");
                for address in addresses {
                    match TcpStream::connect_timeout(address, most) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Way::Socket(address) => Ok(TcpStream::from(connect_socket(address, most)?)),
        }
    }
}

/// While more connections wait to be accepted than a listener in the file system takes, connecting blocks, on Linux for as long as
/// sending may (unix(7), SO_SNDTIMEO). Elsewhere it fails at once.
fn connect_socket(address: &SocketAddrUnix, most: Duration) -> io::Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(most))?;
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, address)) {
        Ok(()) => Ok(socket),
        Err(Errno::AGAIN) => Err(ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_whose_queue_is_full_is_waited_for_as_long_as_the_limit_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // A queue that is as short as can be.
        rustix::net::listen(&listener, 0).unwrap();
        let backend = Backend {
            name: String::new(),
            host: String::new(),
            is_secure: false,
            way: Way::Socket(SocketAddrUnix::new(&path).unwrap()),
        };
        let most = Duration::from_millis(20);
        let mut held = Vec::new();
        let error = loop {
            match backend.connect(most) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 100, "the queue has no end");
        };
        #[cfg(target_os = "linux")]
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        listener.accept().unwrap();
        backend.connect(most).unwrap();
    }
}

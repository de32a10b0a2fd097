//! The stream under a connection's transport: a TCP socket that never blocks. Knows the system's calls and nothing of TLS. Tests have
//! one in memory.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::net::{send, sendmsg, SendAncillaryBuffer, SendFlags};

/// How long an upgraded connection is silent before its client is asked whether it is there.
#[cfg(all(feature = "upgrade", any(target_os = "linux", target_os = "android")))]
const ASKED_AFTER: Duration = Duration::from_secs(60);

/// The non-blocking stream under a transport: a socket, or a stream in memory in tests.
pub(crate) trait Stream: Read + AsRawFd + 'static {
    /// Sends as much of these bytes as the stream takes. Returns how many it took.
    fn send(&self, slices: &[io::IoSlice<'_>], flags: SendFlags) -> io::Result<usize>;

    /// Closes the sending side.
    fn shutdown_write(&self) -> io::Result<()>;

    /// What has broken the connection, as far as the system knows. It tells that once.
    fn fault(&self) -> Option<io::Error>;

    /// Lets the system break the connection when the peer has confirmed nothing that was sent for this long, if it can.
    fn limit_silence(&self, _: Duration) {}

    /// Lets the system ask now and then whether the peer is still there.
    #[cfg(feature = "upgrade")]
    fn keep_alive(&self) {}
}

impl Stream for TcpStream {
    #[inline]
    fn send(&self, slices: &[io::IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
        let sent = match slices {
            [one] => send(self, one, flags)?,
            _ => sendmsg(self, slices, &mut SendAncillaryBuffer::default(), flags)?,
        };
        Ok(sent)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn fault(&self) -> Option<io::Error> {
        self.take_error().unwrap_or_else(Some)
    }

    #[cfg(feature = "upgrade")]
    fn keep_alive(&self) {
        if let Err(error) = rustix::net::sockopt::set_socket_keepalive(self, true) {
            log::debug!("a connection cannot be kept alive: {error}");
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let _ = rustix::net::sockopt::set_tcp_keepidle(self, ASKED_AFTER);
            let _ = rustix::net::sockopt::set_tcp_keepintvl(self, ASKED_AFTER / 4);
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn limit_silence(&self, time: Duration) {
        let millis = time.as_millis().try_into().unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(self, millis) {
            log::debug!("the timeout of a connection could not be set: {error}");
        }
    }
}

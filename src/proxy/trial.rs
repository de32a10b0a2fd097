//! TLS to a backend that is waited for, until a moment: the check before a start makes the handshake that requests make, with the same
//! code. `mod` makes it.

#![cfg(feature = "check")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{tls_error, Read as Came, Secure, TlsFault};

/// A connection over TLS.
pub(crate) struct Trial {
    secure: Box<dyn Secure>,
    socket: OwnedFd,
    poll: Poll,
    until: Instant,
}

impl Trial {
    pub(super) fn new(secure: Box<dyn Secure>, stream: TcpStream, until: Instant) -> io::Result<Trial> {
        stream.set_nonblocking(true)?;
        let (socket, poll) = (OwnedFd::from(stream), Poll::new()?);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(0), interest)?;
        Ok(Trial { secure, socket, poll, until })
    }

    /// What is wrong with TLS, if this error is about it.
    pub(crate) fn fault(error: &io::Error) -> Option<TlsFault> {
        tls_error(error).map(|error| error.fault)
    }

    fn wait(&mut self) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match self.poll.poll(&mut Events::with_capacity(1), Some(left.max(Duration::from_millis(1)))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl Write for Trial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.secure.send(&self.socket, bytes)? {
                0 if !bytes.is_empty() => self.wait()?,
                sent => return Ok(sent),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Trial {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.secure.read(&self.socket, out)? {
                Came::Bytes(read) => return Ok(read),
                Came::Nothing => self.wait()?,
                Came::End => return Ok(0),
            }
        }
    }
}

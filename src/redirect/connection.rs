//! One connection to the plain port: it reads a head, sends an answer, and then drops what the client still sends until the
//! client has seen the answer. Never blocks. The redirect's loop calls it when the socket is ready.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use ::http::StatusCode;
use mio::Interest;

use super::answering::{Answering, Asked, Next, Reply, TARGET};
use super::job::Done;
use crate::http::clear_credentials::CredentialScan;
use crate::http::request_head::{empty_line, scan, too_large, Scan};
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::lingering::LINGER_BYTES;
#[cfg(feature = "operations")]
use crate::operations::proxy_protocol::{self, ProxyHeaderFault, Reading};

/// The first byte of a TLS record that holds a ClientHello (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

const CUT_SHORT: Refusal = Refusal::bad_request("the connection's input ended before the head did");
const TIMED_OUT: Refusal = Refusal::over(
    Limit::HeadTimeout,
    StatusCode::REQUEST_TIMEOUT,
    "the request's head did not arrive in time",
);

const NOT_IN_TIME: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "the answer over plain HTTP was not made in time; try again, or over HTTPS",
);

pub(super) struct Connection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub deadline: Instant,
    number: usize,
    state: State,
    /// Whether a PROXY header has come.
    #[cfg(feature = "operations")]
    has_header: bool,
}

enum State {
    /// The PROXY header comes first.
    #[cfg(feature = "operations")]
    Header(Reading),
    Head {
        buffer: Vec<u8>,
        scanned: usize,
    },
    /// A handler of the program makes the answer.
    Waiting(Asked),
    /// Credentials may still come, if the answered head was not complete.
    Answer {
        reply: Reply,
        sent: usize,
    },
    Linger {
        credentials: CredentialScan,
        discarded: usize,
    },
}

/// What a connection needs before it can go on.
pub(super) enum Progress {
    /// Its socket must be ready for this.
    Waits(Interest),
    /// As `Waits`, but only for a short time, because the answer is sent.
    Lingers,
    /// Nothing. The connection has ended, for this reason.
    Ended(Reason),
}

pub(super) enum Reason {
    Done,
    ClientLeft,
    TlsHello,
    /// The PROXY header that has to come has a fault, or one has come that may not.
    #[cfg(feature = "operations")]
    ProxyHeader(Option<ProxyHeaderFault>),
    #[cfg(feature = "operations")]
    SecondProxyHeader,
    StillSending,
    Failed(io::Error),
}

/// How much of a head has come.
enum Received {
    Part,
    Whole { start: usize, end: usize },
    Tls,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, deadline: Instant, number: usize) -> Connection {
        Connection {
            stream,
            peer,
            deadline,
            number,
            state: State::Head { buffer: Vec::new(), scanned: 0 },
            #[cfg(feature = "operations")]
            has_header: false,
        }
    }

    /// Lets it begin with a PROXY header.
    #[cfg(feature = "operations")]
    pub(super) fn expect_header(&mut self) {
        self.state = State::Header(Reading::default());
    }

    /// Whether a part of the header has come, and the rest has not.
    #[cfg(feature = "operations")]
    pub(super) fn awaits_header(&self) -> bool {
        matches!(&self.state, State::Header(reading) if !reading.is_empty())
    }

    /// Continues until the socket would block, as edge-triggered readiness requires. `scratch` is for reading.
    pub(super) fn advance(&mut self, answering: &mut Answering, scratch: &mut [u8]) -> Progress {
        loop {
            let step = match &mut self.state {
                #[cfg(feature = "operations")]
                State::Header(reading) => match (&self.stream).read(reading.room()) {
                    Ok(0) if reading.is_empty() => return Progress::Ended(Reason::ClientLeft),
                    Ok(0) => return Progress::Ended(Reason::ProxyHeader(Some(ProxyHeaderFault::Short))),
                    Ok(count) => match reading.filled(count) {
                        Ok(proxy_protocol::Progress::Part) => continue,
                        Ok(proxy_protocol::Progress::Whole(header)) => {
                            let source = header.and_then(|header| header.source());
                            self.peer = source.unwrap_or(self.peer);
                            self.state = State::Head { buffer: Vec::new(), scanned: 0 };
                            self.has_header = true;
                            continue;
                        }
                        Err(fault) => return Progress::Ended(Reason::ProxyHeader(Some(fault))),
                    },
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Progress::Waits(Interest::READABLE)
                    }
                    Err(error) => return Progress::Ended(Reason::Failed(error)),
                },
                State::Head { buffer, scanned } => match (&self.stream).read(scratch) {
                    Ok(0) if buffer.is_empty() => return Progress::Ended(Reason::ClientLeft),
                    Ok(0) => Ok(answering.refuse(self.peer, buffer, CUT_SHORT)),
                    Ok(count) => {
                        let most = answering.rules.head_bytes;
                        let room = most.saturating_sub(buffer.len());
                        let (kept, beyond) = scratch[..count].split_at(count.min(room));
                        buffer.extend_from_slice(kept);
                        #[cfg(feature = "operations")]
                        if proxy_protocol::foreign(buffer).is_some() {
                            return Progress::Ended(match self.has_header {
                                true => Reason::SecondProxyHeader,
                                false => Reason::ProxyHeader(None),
                            });
                        }
                        match receive(buffer, scanned, most) {
                            Ok(Received::Part) => continue,
                            Ok(Received::Tls) => return Progress::Ended(Reason::TlsHello),
                            Ok(Received::Whole { start, end }) => {
                                let head = buffer.get(start..end).unwrap_or_default();
                                match answering.answer(self.peer, head, (self.number, self.deadline)) {
                                    Next::Reply(reply) => Ok(reply),
                                    Next::Wait(asked) => {
                                        self.state = State::Waiting(asked);
                                        continue;
                                    }
                                }
                            }
                            Err(refusal) => {
                                let mut reply = answering.refuse(self.peer, buffer, refusal);
                                answering.look_on(self.peer, &mut reply.credentials, beyond);
                                Ok(reply)
                            }
                        }
                    }
                    Err(error) => Err((error, Progress::Waits(Interest::READABLE))),
                }
                .map(|reply| State::Answer { reply, sent: 0 }),
                // What the client sends meanwhile is read later.
                State::Waiting(_) => return Progress::Waits(Interest::READABLE),
                State::Answer { reply: Reply { bytes, rest, credentials, .. }, sent } => {
                    let left = bytes.get(*sent..).unwrap_or_default();
                    let of_rest = rest.get(sent.saturating_sub(bytes.len())..).unwrap_or_default();
                    match (&self.stream).write_vectored(&[IoSlice::new(left), IoSlice::new(of_rest)]) {
                        Ok(count) => {
                            *sent += count;
                            if *sent < bytes.len() + rest.len() {
                                continue;
                            }
                            // The client has to see the end, and then may still be sending: to close now could make
                            // the system send a reset, which takes the answer from the client (RFC 9112 §9.6).
                            self.stream
                                .shutdown(Shutdown::Write)
                                .map(|()| State::Linger { credentials: credentials.clone(), discarded: 0 })
                                .map_err(|error| (error, Progress::Lingers))
                        }
                        Err(error) => Err((error, Progress::Waits(Interest::READABLE | Interest::WRITABLE))),
                    }
                }
                State::Linger { credentials, discarded } => match (&self.stream).read(scratch) {
                    Ok(0) => return Progress::Ended(Reason::Done),
                    Ok(count) => {
                        answering.look_on(self.peer, credentials, &scratch[..count]);
                        *discarded += count;
                        if *discarded > LINGER_BYTES {
                            return Progress::Ended(Reason::StillSending);
                        }
                        continue;
                    }
                    Err(error) => Err((error, Progress::Lingers)),
                },
            };
            match step {
                Ok(next) => self.state = next,
                Err((error, _)) if error.kind() == ErrorKind::Interrupted => {}
                Err((error, wait)) if error.kind() == ErrorKind::WouldBlock => return wait,
                Err((error, _)) => return Progress::Ended(Reason::Failed(error)),
            }
        }
    }

    /// The received part of a head that was not answered.
    pub(super) fn unanswered(&self) -> &[u8] {
        match &self.state {
            State::Head { buffer, .. } if buffer.first() != Some(&TLS_HANDSHAKE) => buffer,
            _ => &[],
        }
    }

    /// Whether nothing has been answered yet.
    pub(super) fn is_unanswered(&self) -> bool {
        match self.state {
            State::Head { .. } => true,
            #[cfg(feature = "operations")]
            State::Header(_) => true,
            State::Waiting(_) | State::Answer { .. } | State::Linger { .. } => false,
        }
    }

    /// Takes the answer of a handler of the program. Returns false when the connection does not wait for it.
    pub(super) fn take(&mut self, done: Done, answering: &mut Answering) -> bool {
        match &self.state {
            State::Waiting(asked) if asked.connection == done.connection => {
                let reply = answering.pass_on(self.peer, asked, done.outcome);
                self.state = State::Answer { reply, sent: 0 };
                true
            }
            _ => false,
        }
    }

    /// Handles the passed deadline: a client that has sent half a head, or waits for a handler, gets an answer, as far as the socket
    /// takes it at once.
    pub(super) fn expire(&mut self, answering: &mut Answering) {
        let reply = match &self.state {
            State::Head { buffer, .. } if !buffer.is_empty() => {
                answering.refuse(self.peer, buffer, TIMED_OUT)
            }
            State::Waiting(asked) => answering.refuse_asked(self.peer, asked, NOT_IN_TIME),
            _ => return,
        };
        let told = (&self.stream).write(&reply.bytes).and_then(|_| self.stream.shutdown(Shutdown::Write));
        if let Err(error) = told {
            log::debug!(target: TARGET, "{}: could not be told that its time is over: {error}", self.peer);
        }
    }
}

/// Looks for a head in the received bytes. `scanned` is how far the last call came, and a head has at most `most` bytes.
fn receive(buffer: &[u8], scanned: &mut usize, most: usize) -> Result<Received, Refusal> {
    if buffer.first() == Some(&TLS_HANDSHAKE) {
        return Ok(Received::Tls);
    }
    let start = empty_line(buffer);
    match scan(buffer, start.max(*scanned))? {
        Scan::Complete(end) => Ok(Received::Whole { start, end }),
        Scan::Incomplete(_) if buffer.len() >= most => Err(too_large(buffer)),
        Scan::Incomplete(from) => {
            *scanned = from;
            Ok(Received::Part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redirect::settings::HEAD_BYTES;

    /// The result for bytes that arrive one at a time: the head, or the status of the refusal.
    fn drip(bytes: &[u8]) -> Result<Option<&[u8]>, u16> {
        let mut scanned = 0;
        for length in 1..=bytes.len() {
            match receive(&bytes[..length], &mut scanned, HEAD_BYTES) {
                Ok(Received::Whole { start, end }) => return Ok(Some(&bytes[start..end])),
                Ok(Received::Part) => {}
                Ok(Received::Tls) => return Err(0),
                Err(refusal) => return Err(refusal.status.as_u16()),
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_is_found_whatever_surrounds_it() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(drip(head), Ok(Some(&head[..])));
        assert_eq!(drip(&[&b"\r\n"[..], head, b"GARBAGE"].concat()), Ok(Some(&head[..])));
        assert_eq!(drip(&head[..head.len() - 1]), Ok(None));
        assert_eq!(drip(b"GET / HTTP/1.1\n"), Err(400));
        assert_eq!(drip(b"\x16\x03\x01"), Err(0));
        assert_eq!(drip(&b"/".repeat(HEAD_BYTES - 1)), Ok(None));
        assert_eq!(drip(&b"/".repeat(HEAD_BYTES)), Err(414));
        assert_eq!(drip(&[b"GET / HTTP/1.1\r\n", &b"x".repeat(HEAD_BYTES)[..]].concat()), Err(431));
    }
}

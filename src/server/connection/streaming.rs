//! The blocking view that a handler gets of a body too large to be kept in memory. It reads the connection as the handler
//! asks; while nothing comes, the handler's thread waits for a signal from the lot, and another worker takes its permit.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::request::{body_deadline, refusal_of};
use super::transport::{Flushed, Transport};
use crate::error::BodyFault;
use crate::http::chunked::{Decoder, Found};
use crate::http::Refusal;
use crate::server::buffers::Input;
use crate::server::clock::Millis;
use crate::server::Shared;

/// Where a body's end is, seen from where its reader is.
pub(crate) enum Framed {
    Fixed { left: u64 },
    Chunked(Decoder),
}

pub(crate) struct Streaming<'a> {
    pub(crate) key: usize,
    pub(crate) transport: &'a mut Transport,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) me: Option<usize>,
    pub(crate) framed: Framed,
    /// What had come before the handler was called, and how much of it the handler has read.
    pub(crate) early: Vec<u8>,
    pub(crate) early_read: usize,
    /// Bytes of the connection that are not decoded yet.
    pub(crate) input: &'a mut Input,
    pub(crate) began: Millis,
    pub(crate) received: u64,
    pub(crate) owes_continue: bool,
    pub(crate) fault: Option<Refusal>,
}

impl Streaming<'_> {
    /// Whether the body was read to its end, and what was wrong with it.
    pub(crate) fn finish(self) -> (bool, Option<Refusal>) {
        let ended = self.fault.is_none() && self.early_read == self.early.len() && self.is_ended();
        (ended, self.fault)
    }

    fn is_ended(&self) -> bool {
        match &self.framed {
            Framed::Fixed { left } => *left == 0,
            Framed::Chunked(decoder) => decoder.is_ended(),
        }
    }

    fn read_body(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.early_read < self.early.len() {
            let read = (&self.early[self.early_read..]).read(out)?;
            self.early_read += read;
            return Ok(read);
        }
        loop {
            let unread = self.input.unread();
            match &mut self.framed {
                Framed::Fixed { left: 0 } => return Ok(0),
                Framed::Fixed { left } => {
                    let most = (out.len() as u64).min(*left) as usize;
                    let read = if unread.is_empty() {
                        self.read_connection(Some(&mut out[..most]))?
                    } else {
                        let read = most.min(unread.len());
                        out[..read].copy_from_slice(&unread[..read]);
                        self.input.consume(read);
                        read
                    };
                    if let Framed::Fixed { left } = &mut self.framed {
                        *left -= read as u64;
                    }
                    self.received += read as u64;
                    return Ok(read);
                }
                Framed::Chunked(decoder) => match decoder.next(unread)? {
                    Found::End(at) => {
                        self.input.consume(at);
                        return Ok(0);
                    }
                    Found::Data(range) => {
                        let read = range.len().min(out.len());
                        out[..read].copy_from_slice(&unread[range.start..range.start + read]);
                        decoder.take(read);
                        self.input.consume(range.start + read);
                        self.received += read as u64;
                        let limit = self.shared.limits.body_bytes;
                        if self.received > limit {
                            return Err(BodyFault::TooLarge { limit }.into());
                        }
                        return Ok(read);
                    }
                    Found::More => {
                        self.input.clear();
                        self.read_connection(None)?;
                    }
                },
            }
        }
    }

    /// Reads at least one byte, into `out` or into the input; waits for it until the body's deadline.
    fn read_connection(&mut self, mut out: Option<&mut [u8]>) -> io::Result<usize> {
        if std::mem::replace(&mut self.owes_continue, false) {
            self.transport.queue(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            let _: Flushed = self.transport.flush()?;
        }
        loop {
            let result = match &mut out {
                Some(out) => self.transport.read(out),
                None => self.transport.read(self.input.room()),
            };
            match result {
                Ok(0) => return Err(BodyFault::Incomplete.into()),
                Ok(read) => {
                    if out.is_none() {
                        self.input.filled(read);
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        if self.transport.wants_another_turn() {
            // Only the fairness between parked connections asks for that; this one has a thread.
            self.transport.begin_turn(false, false);
            return Ok(());
        }
        let limits = &self.shared.limits;
        let deadline = body_deadline(self.began, limits.body_timeout, limits.body_min_rate, self.received);
        let now = Instant::now();
        let left = Duration::from_millis(deadline.saturating_sub(self.shared.poller.millis(now)));
        if left.is_zero() {
            return Err(BodyFault::TimedOut { limit: limits.body_timeout }.into());
        }
        if self.shared.is_stopped() {
            return Err(BodyFault::Incomplete.into());
        }
        if self.transport.wants_write() && self.transport.flush()? == Flushed::Blocked {
            // The client does not read; room to write is a reason to go on too.
            self.shared.poller.listen_for_writable(self.key, self.transport.as_raw_fd())?;
        }
        self.shared.about_to_block(self.me);
        let signals = self.shared.poller.await_signals(self.key, now + left);
        self.transport.begin_turn(signals.readable, signals.hung_up);
        Ok(())
    }
}

impl Read for Streaming<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.fault.is_some() {
            return Err(BodyFault::Incomplete.into());
        }
        self.read_body(out).map_err(|error| {
            let fault = BodyFault::of(error);
            self.fault = Some(refusal_of(&fault));
            io::Error::from(fault)
        })
    }
}

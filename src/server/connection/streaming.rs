//! The blocking reader that a handler gets for a body too large to be kept in memory. It reads the connection when the handler
//! reads. While nothing comes, the handler's thread waits for a signal from the poller, and another worker takes its permit.

use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

#[cfg(feature = "proxy")]
use super::body::Expectation;
use super::body::{refusal_of, Piece, Reader, Received};
use super::collecting::MEMORY_BUSY;
use super::request::refusal_of_stream;
use super::transport::{Flushed, Stream, Transport};
use crate::error::BodyFault;
use crate::http::body::Source;
#[cfg(feature = "proxy")]
use crate::http::passing::OnItsWay;
use crate::http::Refusal;
use crate::limits::body_memory::Share;
#[cfg(feature = "proxy")]
use crate::limits::streams;
#[cfg(not(feature = "proxy"))]
use crate::limits::streams::Place;
use crate::limits::streams::Streams;
use crate::router::endpoint::Called;
use crate::server::context::Context;
use crate::server::input::Input;
use crate::server::scheduler::Scheduler;

pub(crate) struct Streaming<'a, S: Stream> {
    pub key: usize,
    pub transport: &'a mut Transport<S>,
    pub context: &'a Context,
    pub scheduler: &'a dyn Scheduler,
    pub me: Option<usize>,
    pub reader: Reader,
    /// Bytes that came before the call of the handler and that it has not read yet.
    pub early: io::Cursor<Vec<u8>>,
    /// Bytes of the connection that are not decoded yet.
    pub input: &'a mut Input,
    pub fault: Option<Refusal>,
    /// For what came early, and for what the handler keeps of the body.
    pub memory: Share,
    /// Held for as long as the body is read.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub place: Place<'a>,
    /// The handler has taken the body over for its response.
    #[cfg(feature = "proxy")]
    pub is_passed_on: bool,
}

/// Takes a place among the handlers that read large bodies, if this one reads it when it is called.
#[cfg(not(feature = "proxy"))]
pub(crate) fn enter(streams: &Streams, address: IpAddr, _: Called) -> Result<Place<'_>, Refusal> {
    streams.enter(address).map_err(refusal_of_stream)
}

/// Takes a place among the handlers that read large bodies, if this one reads it when it is called.
#[cfg(feature = "proxy")]
pub(crate) fn enter(streams: &Streams, address: IpAddr, called: Called) -> Result<Place<'_>, Refusal> {
    let mut place = Place { streams, address, taken: None };
    if called == Called::WithBody {
        place.enter()?;
    }
    Ok(place)
}

/// The place of a handler among those that read large bodies. A handler that passes its body on needs one only if something around
/// it reads the body.
#[cfg(feature = "proxy")]
pub(crate) struct Place<'a> {
    streams: &'a Streams,
    address: IpAddr,
    taken: Option<streams::Place<'a>>,
}

#[cfg(feature = "proxy")]
impl Place<'_> {
    /// Takes the place, unless that is done.
    fn enter(&mut self) -> Result<(), Refusal> {
        if self.taken.is_none() {
            self.taken = Some(self.streams.enter(self.address).map_err(refusal_of_stream)?);
        }
        Ok(())
    }
}

/// How the reading of a body has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The handler has read it whole.
    Whole,
    /// The handler has left some of it.
    Part,
    Failed(Refusal),
}

impl<S: Stream> Streaming<'_, S> {
    pub(crate) fn finish(self) -> Finished {
        let has_read_early = self.early.position() == self.early.get_ref().len() as u64;
        match self.fault {
            Some(refusal) => Finished::Failed(refusal),
            None if has_read_early && self.reader.is_ended() => Finished::Whole,
            None => Finished::Part,
        }
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn into_reader(self) -> Reader {
        self.reader
    }

    fn read_body(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let early = self.early.read(out)?;
        if early > 0 {
            return Ok(early);
        }
        loop {
            let most = out.len();
            match self.reader.next(self.input, most, |piece| out[..piece.len()].copy_from_slice(piece))? {
                Piece::Data(read) => return Ok(read),
                Piece::End => return Ok(0),
                Piece::Pending => {}
            }
            match self.read_connection(out)? {
                Received::Data(read) => return Ok(read),
                Received::Input => {}
                Received::Closed => return Err(BodyFault::Incomplete.into()),
            }
        }
    }

    /// Reads the connection. Waits for bytes until the body's deadline.
    fn read_connection(&mut self, out: &mut [u8]) -> io::Result<Received> {
        if let Some(interim) = self.reader.take_continue() {
            self.transport.queue(interim)?;
            let _: Flushed = self.transport.flush()?;
        }
        loop {
            match self.reader.receive(self.transport, self.input, out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                result => return result,
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        if self.transport.wants_another_turn() {
            // Limiting the reads of a turn is only for fairness between parked connections. This connection has a thread of its
            // own.
            self.transport.begin_turn(false, false);
            return Ok(());
        }
        let limits = self.context.limits_now();
        let now = Instant::now();
        #[allow(clippy::needless_borrow)]
        let deadline = self.reader.deadline(&limits).at;
        let left = Duration::from_millis(deadline.saturating_sub(self.scheduler.millis(now)));
        if left.is_zero() {
            return Err(self.reader.late().into());
        }
        if self.context.is_stopped() {
            return Err(BodyFault::Incomplete.into());
        }
        if self.transport.wants_write() && self.transport.flush()? == Flushed::Blocked {
            // The client does not read, so room to write must also end the wait.
            self.scheduler.listen_for_writable(self.key, self.transport.as_raw_fd())?;
        }
        self.scheduler.about_to_block(self.me);
        let signals = self.scheduler.await_signals(self.key, now + left);
        self.transport.begin_turn(signals.readable, signals.hung_up);
        Ok(())
    }
}

impl<S: Stream> Source for Streaming<'_, S> {
    fn cover(&mut self, bytes: usize) -> bool {
        let covers = self.memory.cover(self.early.get_ref().capacity() + bytes);
        if !covers {
            self.fault = Some(MEMORY_BUSY);
        }
        covers
    }

    #[cfg(feature = "proxy")]
    fn pass_on(&mut self) -> Option<OnItsWay> {
        let is_new =
            self.early.position() == 0 && self.reader.received() == self.early.get_ref().len() as u64;
        if self.is_passed_on || self.fault.is_some() || !is_new {
            return None;
        }
        self.is_passed_on = true;
        Some(OnItsWay {
            come: std::mem::take(self.early.get_mut()),
            length: self.reader.length(),
            expects_continue: self.reader.expectation() == Expectation::Continue,
        })
    }
}

impl<S: Stream> Read for Streaming<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        #[cfg(feature = "proxy")]
        if self.is_passed_on {
            return Err(BodyFault::Incomplete.into());
        }
        #[cfg(feature = "proxy")]
        if self.fault.is_none() {
            self.fault = self.place.enter().err();
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

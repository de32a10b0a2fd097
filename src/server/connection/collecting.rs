//! A request whose body is collected before its handler is called, and one whose body is only read past because the request is
//! answered already. Both read what has come over the link; `state` says what becomes of the connection.

use std::io::{self, ErrorKind};

use ::http::StatusCode;

use super::asked::Held;
use super::body::{refusal_of, Piece, Reader, Received};
use super::request::kept_bytes;
use super::transport::{Flushed, Stream, Transport};
use crate::error::BodyFault;
use crate::http::Refusal;
use crate::limits::body_memory::Share;
use crate::limits::limit::Limit;
use crate::server::buffers::Buffers;
use crate::server::input::Input;
use crate::server::turn::Idle;

/// How much of a body is asked for at a time, in bytes; what is received decides how much memory is taken.
const STEP_BYTES: usize = 16 * 1024;

const MEMORY_BUSY: Refusal = Refusal::over(
    Limit::BodyMemoryBytes,
    StatusCode::SERVICE_UNAVAILABLE,
    "too many bodies are being received; try again",
);

/// A request whose body is being collected.
pub(crate) struct Collecting {
    pub held: Held,
    pub reader: Reader,
    /// What has come of the body, its framing taken off.
    pub body: Vec<u8>,
    memory: Share,
}

/// How far the collecting of a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collected {
    Part,
    Whole,
    /// It is larger than is kept in memory.
    Large,
    Refused(Refusal),
    /// The client has closed the connection.
    CutOff,
}

impl Collecting {
    pub(crate) fn new(held: Held, reader: Reader, memory: Share) -> Collecting {
        Collecting { held, reader, body: Vec::new(), memory }
    }

    /// Collects what has come, until there is no more or the body can be answered.
    pub(crate) fn collect<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        input: &mut Input,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Collected> {
        let kept = kept_bytes(&buffers.context.limits);
        loop {
            let collected = self.take_in(input, kept);
            if collected != Collected::Part {
                return Ok(collected);
            }
            buffers.output.extend_from_slice(self.reader.take_continue().unwrap_or_default());
            // If the socket does not take it, it goes out when the body comes in.
            let _: Flushed = transport.send_output(&mut buffers.output)?;
            match self.receive(transport, input) {
                Ok(Received::Closed) => return Ok(Collected::CutOff),
                Ok(Received::Data(_) | Received::Input) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Collected::Part),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what the input holds of the body. Of one that is larger than the `kept` bytes that are kept in memory it takes no
    /// more than shows that, because how much of it has come at once must not decide how it is read.
    fn take_in(&mut self, input: &mut Input, kept: u64) -> Collected {
        let Collecting { reader, body, memory, .. } = self;
        let mut collected = Collected::Part;
        while collected == Collected::Part && reader.known_bytes() <= kept {
            let most = (kept + 1 - reader.received()) as usize;
            match reader.next(input, most, |piece| body.extend_from_slice(piece)) {
                Ok(Piece::Data(_)) => {}
                Ok(Piece::Pending) => break,
                Ok(Piece::End) => collected = Collected::Whole,
                Err(fault) => return Collected::Refused(refusal_of(&fault)),
            }
        }
        if !memory.cover(body.capacity()) {
            return Collected::Refused(MEMORY_BUSY);
        }
        if reader.known_bytes() > kept {
            Collected::Large
        } else {
            collected
        }
    }

    /// Reads more of the body: a known length straight to where it is kept, chunks to the input.
    fn receive<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        input: &mut Input,
    ) -> io::Result<Received> {
        let have = self.body.len();
        let room = self.reader.straight_bytes().min(STEP_BYTES as u64) as usize;
        self.body.resize(have + room, 0);
        let result = self.reader.receive(transport, input, &mut self.body[have..]);
        let read = if let Ok(Received::Data(read)) = result { read } else { 0 };
        self.body.truncate(have + read);
        result
    }

    /// What the connection is worth when room is needed.
    pub(crate) fn idle(&self, min_rate: u64) -> Idle {
        Idle::Moving { since: self.reader.began(), bytes: self.reader.received(), min_rate }
    }
}

/// How far the reading past a body that nobody wants has come.
#[derive(Debug)]
pub(crate) enum Passed {
    Part,
    Whole,
    /// It is not worth to be read past.
    GivenUp,
    Malformed(BodyFault),
    /// The client has closed the connection.
    CutOff,
}

/// Reads past what has come of a body that nobody wants: as much as would be kept in memory of one that is wanted, however much
/// of it comes at once, and nothing more once the server is to stop.
pub(crate) fn read_past<S: Stream>(
    reader: &mut Reader,
    transport: &mut Transport<S>,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<Passed> {
    let most = kept_bytes(&buffers.context.limits);
    loop {
        let piece = reader.next(input, usize::MAX, |_| {});
        match piece {
            _ if reader.received() > most => return Ok(Passed::GivenUp),
            Ok(Piece::Data(_)) => continue,
            Ok(Piece::End) => return Ok(Passed::Whole),
            Ok(Piece::Pending) if buffers.context.is_draining() => return Ok(Passed::GivenUp),
            Ok(Piece::Pending) => {}
            Err(fault) => return Ok(Passed::Malformed(fault)),
        }
        // If the socket does not take it, it goes out when the body comes in.
        let _: Flushed = transport.send_output(&mut buffers.output)?;
        match reader.receive(transport, input, &mut buffers.scratch) {
            Ok(Received::Closed) => return Ok(Passed::CutOff),
            Ok(Received::Data(_) | Received::Input) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Passed::Part),
            Err(error) => return Err(error),
        }
    }
}

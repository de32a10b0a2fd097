//! Collects a request's body before its handler is called, and reads past the body of a request that is answered already. Both
//! read the link; `state` decides how the connection goes on.

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
use crate::router::endpoint::Called;
use crate::server::buffers::Buffers;
use crate::server::input::Input;
use crate::server::turn::Idle;

/// How many bytes of a body are read at a time. Memory is taken only for received bytes.
const STEP_BYTES: usize = 16 * 1024;

pub(super) const MEMORY_BUSY: Refusal = Refusal::over(
    Limit::BodyMemoryBytes,
    StatusCode::SERVICE_UNAVAILABLE,
    "too many bodies are being received; try again",
);

/// A request whose body is being collected.
pub(crate) struct Collecting {
    pub held: Held,
    /// When its handler is called.
    pub called: Called,
    pub reader: Reader,
    /// The received part of the body, without framing.
    pub body: Vec<u8>,
    pub memory: Share,
}

/// How far a body is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collected {
    Part,
    Whole,
    /// The handler is called before the rest comes: it is too large to be kept in memory, or the handler passes it on.
    Begun,
    Refused(Refusal),
    /// The client has closed the connection.
    CutOff,
}

impl Collecting {
    pub(crate) fn new(held: Held, called: Called, reader: Reader, memory: Share) -> Collecting {
        Collecting { held, called, reader, body: Vec::new(), memory }
    }

    /// Collects the received bytes, until there are no more or the request can be answered.
    pub(crate) fn collect<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        input: &mut Input,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Collected> {
        // How large it may be at all, the reader knows.
        let kept = buffers.limits().body_buffer_bytes as u64;
        loop {
            let collected = self.take_in(input, kept);
            if collected != Collected::Part {
                return Ok(collected);
            }
            if self.called == Called::WithBody {
                buffers.output.extend_from_slice(self.reader.take_continue().unwrap_or_default());
            }
            // If the socket does not take it now, it is sent when the body comes.
            let _: Flushed = transport.send_output(&mut buffers.output)?;
            match self.receive(transport, input) {
                Ok(Received::Closed) => return Ok(Collected::CutOff),
                Ok(Received::Data(_) | Received::Input) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(match self.called {
                        Called::WithBody => Collected::Part,
                        Called::BeforeBody => Collected::Begun,
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the part of the body that is in the input. If the body is larger than the `kept` bytes, it takes no more than
    /// needed to know that, so that the way a body is read does not depend on how much came at once.
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
            Collected::Begun
        } else {
            collected
        }
    }

    /// Reads more of the body. Data of a known length goes straight to its place, chunks go to the input.
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

    /// The connection's rank when the server needs room for another.
    pub(crate) fn idle(&self, min_rate: u64) -> Idle {
        Idle::Moving { since: self.reader.began(), bytes: self.reader.received(), min_rate }
    }
}

/// How far an unwanted body is read.
#[derive(Debug)]
pub(crate) enum ReadPast {
    Part,
    Whole,
    /// Reading the rest is not worth it.
    GivenUp,
    Malformed(BodyFault),
    /// The client has closed the connection.
    CutOff,
}

/// Reads and drops an unwanted body, up to the size of a body that would be kept in memory. Stops reading when the server is to
/// stop.
pub(crate) fn read_past<S: Stream>(
    reader: &mut Reader,
    transport: &mut Transport<S>,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<ReadPast> {
    let most = kept_bytes(buffers.limits());
    loop {
        let piece = reader.next(input, usize::MAX, |_| {});
        match piece {
            _ if reader.received_in_vain() > most => return Ok(ReadPast::GivenUp),
            Ok(Piece::Data(_)) => continue,
            Ok(Piece::End) => return Ok(ReadPast::Whole),
            Ok(Piece::Pending) if buffers.context.is_draining() => return Ok(ReadPast::GivenUp),
            Ok(Piece::Pending) => {}
            Err(fault) => return Ok(ReadPast::Malformed(fault)),
        }
        // If the socket does not take it now, it is sent when the body comes.
        let _: Flushed = transport.send_output(&mut buffers.output)?;
        match reader.receive(transport, input, &mut buffers.scratch) {
            Ok(Received::Closed) => return Ok(ReadPast::CutOff),
            Ok(Received::Data(_) | Received::Input) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ReadPast::Part),
            Err(error) => return Err(error),
        }
    }
}

//! Passes the rest of a request's body on, while its response is waited for or already sent. The client is read only as fast as
//! the taker takes, and no thread waits for either. What is taken is sent by the response, when it is polled. `later` and `state`
//! call it.

use std::io::{self, ErrorKind};

use super::asked::Asked;
use super::body::{refusal_of, Piece, Reader, Received};
use super::link::Link;
use super::log_lines;
use super::request;
use super::response::Sending;
use super::transport::{Stream, Transport};
use crate::http::passing::{Come, TakesBody};
use crate::http::request_head::BodyLength;
use crate::http::response_head::Persistence;
use crate::http::Refusal;
use crate::server::buffers::Buffers;
use crate::server::deadline::Deadline;
use crate::server::input::Input;

/// What became of the rest of a body.
#[derive(Debug)]
pub(crate) enum Passed {
    /// Some of it was taken, or its end.
    Some,
    /// It is waited for, until this deadline: the client has sent no more, or the taker takes no more.
    Waits(Option<Deadline>),
    Refused(Refusal),
    /// The client has closed the connection.
    CutOff,
}

/// Passes on what has come, as far as it is taken.
pub(crate) fn go_on<S: Stream>(
    link: &mut Link<S>,
    taker: &mut dyn TakesBody,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<Passed> {
    let Some(reader) = &mut link.unread else { return Ok(Passed::Waits(None)) };
    if taker.room() == 0 {
        // The client does not answer for this time.
        reader.pause(buffers.millis());
        return Ok(Passed::Waits(None));
    }
    reader.resume(buffers.millis());
    let before = reader.received();
    loop {
        match reader.next(input, taker.room(), |piece| taker.take(Come::Data(piece))) {
            Ok(Piece::Data(_)) => {}
            Ok(Piece::End) => {
                taker.take(Come::End);
                link.unread = None;
                return Ok(Passed::Some);
            }
            Ok(Piece::Pending) => match receive(reader, taker, &mut link.transport, input, buffers) {
                Ok(Received::Closed) => return Ok(Passed::CutOff),
                Ok(Received::Data(_) | Received::Input) => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if reader.received() > before => return Ok(Passed::Some),
                Err(_) => return Ok(waits(reader, link.transport.wants_another_turn(), buffers)),
            },
            Err(fault) => return Ok(Passed::Refused(refusal_of(&fault))),
        }
        if taker.room() == 0 {
            return Ok(Passed::Some);
        }
    }
}

/// Reads the connection once. Data of a known length goes straight to the taker.
fn receive<S: Stream>(
    reader: &mut Reader,
    taker: &mut dyn TakesBody,
    transport: &mut Transport<S>,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<Received> {
    let most = taker.room().min(buffers.scratch.len());
    let received = reader.receive(transport, input, &mut buffers.scratch[..most])?;
    if let Received::Data(read) = received {
        taker.take(Come::Data(&buffers.scratch[..read]));
    }
    Ok(received)
}

fn waits(reader: &Reader, has_more: bool, buffers: &Buffers<'_>) -> Passed {
    let deadline = reader.deadline(buffers.limits());
    match deadline.has_passed(buffers.millis()) && !has_more {
        true => Passed::Refused(refusal_of(&reader.late())),
        false => Passed::Waits(Some(deadline)),
    }
}

/// Waits no longer than until this deadline of the body.
pub(crate) fn wait<S: Stream>(link: &mut Link<S>, deadline: Option<Deadline>) {
    if let Some(sooner) = deadline.filter(|deadline| deadline.at < link.deadline.at) {
        link.deadline = sooner;
    }
}

/// Whether the connection is kept after the response, when a rest of the body is unread; else this.
pub(crate) fn persistence<S: Stream>(
    link: &mut Link<S>,
    asked: &Asked<'_>,
    otherwise: Persistence,
    input: &Input,
    buffers: &Buffers<'_>,
) -> Persistence {
    match &mut link.unread {
        Some(reader) => {
            reader.leave_rest();
            let limits = buffers.limits();
            // Nobody knows how long a body in chunks becomes. To say that the connection is kept, and to close it once it is too
            // long, breaks the request that follows (RFC 9112 §9.6).
            let is_chunked = asked.line.body == BodyLength::Chunked;
            match is_chunked && !reader.ends_within(input.unread(), request::kept_bytes(limits)) {
                true => Persistence::Close,
                false => request::persistence_unread(&asked.line, reader, limits),
            }
        }
        None => otherwise,
    }
}

/// The same while the response is sent, which nothing can follow but its own end. Returns whether some was taken.
pub(crate) fn go_on_beside<S: Stream>(
    link: &mut Link<S>,
    sending: &mut Sending,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<bool> {
    let Some(taker) = sending.taker() else { return Ok(false) };
    match go_on(link, taker, input, buffers)? {
        Passed::Some => {
            if let Some(reader) = &mut link.unread {
                reader.leave_rest();
            }
            Ok(true)
        }
        Passed::Waits(deadline) => {
            wait(link, deadline);
            Ok(false)
        }
        Passed::Refused(refusal) => {
            log_lines::refusal(link.peer, refusal, buffers);
            Err(io::Error::other(refusal.detail))
        }
        Passed::CutOff => Err(ErrorKind::UnexpectedEof.into()),
    }
}

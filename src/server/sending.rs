//! A response on its way out: what is left of it, and what becomes of the connection after it. It is sent in pieces, the
//! next one when the socket has taken the last, so a slow reader holds a little memory and no worker.

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::ControlFlow::{Break, Continue};
use std::time::Instant;

use ::http::{Method, StatusCode};

use super::connection::{Connection, Flow, Stage, Turn};
use super::desk::{Desk, PIECE_BYTES};
use super::transport::{Flushed, Transport};
use crate::http::reply::chunk_size_line;

/// How much is encrypted before the socket has to take it, in bytes. With the head and what TLS adds it stays below the
/// most that the kernel sends on as one (65,160 bytes over Ethernet, 65,464 over loopback): a few bytes more, and each
/// time those travel alone, which costs a quarter of the CPU of a large response.
const AHEAD_BYTES: usize = 4 * PIECE_BYTES;

pub(super) struct Sending {
    source: Source,
    after: After,
    record: Option<Record>,
    /// Of the body, in bytes.
    taken: u64,
    /// What the transport had sent when progress was last noted.
    mark: u64,
}

/// What is still to be sent.
pub(super) enum Source {
    /// Nothing beyond what is encrypted already.
    Nothing,
    Bytes(Cow<'static, [u8]>),
    /// `left` is what Content-Length has promised; `None` is sent in chunks, or until the connection's end.
    Reader {
        reader: Box<dyn Read + Send>,
        left: Option<u64>,
        chunked: bool,
    },
}

/// What becomes of the connection when the response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// What the access log says of a request once it is answered.
pub(super) struct Record {
    pub method: Method,
    pub path: String,
    pub status: StatusCode,
    pub began: Instant,
}

impl Sending {
    pub(super) fn new(source: Source, after: After, record: Option<Record>) -> Sending {
        Sending { source, after, record, taken: 0, mark: 0 }
    }

    /// Whether it is the connection's last.
    pub(super) fn closes(&self) -> bool {
        self.after == After::Close
    }
}

impl Connection {
    pub(super) fn begin_sending(
        &mut self,
        mut sending: Sending,
        desk: &Desk<'_>,
    ) -> std::ops::ControlFlow<Flow> {
        sending.mark = self.transport.sent();
        self.deadline = desk.after(desk.shared.limits.write_timeout);
        self.stage = Stage::Sending(Box::new(sending));
        Continue(())
    }

    pub(super) fn send(&mut self, desk: &mut Desk<'_>) -> Turn {
        let Stage::Sending(sending) = &mut self.stage else {
            return Ok(Continue(()));
        };
        loop {
            let mut ahead = 0;
            // What an earlier turn could not send goes first, alone.
            let has_room = !self.transport.wants_write();
            if has_room && desk.me.is_none() && matches!(sending.source, Source::Reader { .. }) {
                // A reader may block like a handler, and so it is a worker's, not the supervisor's.
                return Ok(Break(Flow::Queue));
            }
            while has_room && ahead + PIECE_BYTES <= AHEAD_BYTES {
                match sending.queue_piece(&mut self.transport, desk)? {
                    0 => break,
                    queued => ahead += queued,
                }
            }
            let finished = matches!(sending.source, Source::Nothing) && desk.output.is_empty();
            if finished && sending.closes() {
                self.transport.queue_close_notify();
            }
            let flushed = self.transport.flush()?;
            if self.transport.sent() != sending.mark {
                sending.mark = self.transport.sent();
                desk.look();
                self.deadline = desk.after(desk.shared.limits.write_timeout);
            }
            if flushed == Flushed::Blocked {
                return self.wait(desk);
            }
            if finished {
                break;
            }
            if self.transport.wants_another_turn() {
                return Ok(Break(Flow::Again));
            }
        }
        let (after, taken) = (sending.after, sending.taken);
        if let Some(record) = sending.record.take() {
            self.log_access(&record, taken);
        }
        match after {
            After::KeepAlive => self.begin_head(desk),
            After::Close => self.begin_linger(desk),
        }
        Ok(Continue(()))
    }

    /// One line a request, never the query, which may hold secrets.
    pub(super) fn log_access(&self, record: &Record, bytes: u64) {
        let Record { method, path, status, began } = record;
        log::info!(
            target: "lockgate::access",
            "{method} {path} {} {bytes} {}us {} {}",
            status.as_u16(),
            began.elapsed().as_micros(),
            self.peer,
            self.transport.tls_version()
        );
    }
}

impl Sending {
    /// Encrypts what is written already together with the next piece of the body: the number of bytes, 0 when there was
    /// nothing left.
    fn queue_piece(&mut self, transport: &mut Transport, desk: &mut Desk<'_>) -> io::Result<usize> {
        let written = desk.output.len();
        let queued = match &mut self.source {
            Source::Nothing => {
                transport.queue(&desk.output)?;
                written
            }
            Source::Bytes(bytes) => {
                let at = self.taken as usize;
                let piece = &bytes[at..bytes.len().min(at + AHEAD_BYTES.saturating_sub(written))];
                transport.queue_both(&desk.output, piece)?;
                self.taken += piece.len() as u64;
                let queued = written + piece.len();
                if self.taken as usize == bytes.len() {
                    self.source = Source::Nothing;
                }
                queued
            }
            Source::Reader { reader, left, chunked } => {
                let most = left.map_or(PIECE_BYTES as u64, |left| left.min(PIECE_BYTES as u64)) as usize;
                let read = if most == 0 { 0 } else { read_piece(reader.as_mut(), most, desk)? };
                self.taken += read as u64;
                if *chunked && read > 0 {
                    desk.output.extend_from_slice(chunk_size_line(read).as_ref());
                    desk.output.extend_from_slice(&desk.scratch[..read]);
                    desk.output.extend_from_slice(b"\r\n");
                    transport.queue(&desk.output)?;
                } else if *chunked {
                    desk.output.extend_from_slice(b"0\r\n\r\n");
                    transport.queue(&desk.output)?;
                } else {
                    transport.queue_both(&desk.output, &desk.scratch[..read])?;
                }
                let queued = desk.output.len() + if *chunked { 0 } else { read };
                if let Some(left) = left {
                    *left -= read as u64;
                    if read == 0 && *left > 0 {
                        log::error!(
                            "a response's reader ended {left} bytes before the length that was promised"
                        );
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                if read == 0 || *left == Some(0) {
                    self.source = Source::Nothing;
                }
                queued
            }
        };
        desk.output.clear();
        Ok(queued)
    }
}

/// Asks a handler's reader for the next piece, as code that may block.
fn read_piece(reader: &mut dyn Read, most: usize, desk: &mut Desk<'_>) -> io::Result<usize> {
    let began = desk.look();
    desk.shared.enter_handler(desk.me, None, desk.millis());
    let result = loop {
        match reader.read(&mut desk.scratch[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    desk.shared.leave_handler(desk.me, None, desk.look().saturating_sub(began));
    result.map_err(|error| {
        log::error!("a response's reader failed, and the connection was cut: {error}");
        io::ErrorKind::Other.into()
    })
}

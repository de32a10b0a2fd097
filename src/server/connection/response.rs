//! A response on its way out: what is left of it, and what becomes of the connection after it. It is sent in pieces, the
//! next one when the socket has taken the last, so a slow reader holds a little memory and no worker.

use std::borrow::Cow;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::{Method, StatusCode};

use super::state::{Connection, Flow, Stage, Turn};
use super::transport::{Flushed, Transport};
use crate::escape;
use crate::handler_call::{self, Fault};
use crate::http::response_head::chunk_size_line;
use crate::limits::limit::Limit;
use crate::server::buffers::{Desk, PIECE_BYTES};
use crate::server::clock::{whole_millis, Millis};
use crate::server::deadline::Deadline;
use crate::server::poller::Entry;
use crate::server::turn::Idle;
use crate::server::Shared;

/// How much is encrypted before the socket has to take it, in bytes. With the head and what TLS adds it stays below the
/// most that the kernel sends on as one (65,160 bytes over Ethernet, 65,464 over loopback): a few bytes more, and each
/// time those travel alone, which costs a quarter of the CPU of a large response.
const AHEAD_BYTES: usize = 4 * PIECE_BYTES;

/// The most that a chunk has beside its data: its size in hexadecimal, and two line ends.
const CHUNK_FRAMING_BYTES: usize = 10;
/// A reader that took longer than this is expected to do so again.
const SLOW_READER: Duration = Duration::from_millis(1);

pub(crate) struct Sending {
    source: Source,
    after: After,
    record: Option<Box<Record>>,
    /// Of the body, in bytes.
    taken: u64,
    pace: Pace,
    /// How many bytes of further requests are decrypted already and not read yet.
    decrypted: usize,
    /// Whether the reader took its time when it was last asked.
    slow_reader: bool,
}

/// How the client takes a response. Only the time in which the socket takes nothing more counts: a slow reader is not the
/// client's doing.
#[derive(Debug, Default)]
struct Pace {
    /// What the transport had sent when progress was last noted, and when that was.
    mark: u64,
    progress: Millis,
    /// Since when the socket takes nothing more, and what had been sent then.
    blocked: Option<(Millis, u64)>,
    /// How long it has taken nothing before that, and how much was sent in that time.
    waited: Millis,
    moved: u64,
}

impl Pace {
    /// So much has been sent by now.
    fn sent(&mut self, sent: u64, now: Millis) {
        if sent != self.mark {
            self.mark = sent;
            self.progress = now;
        }
    }

    /// The socket has taken everything.
    fn flows(&mut self, now: Millis) {
        if self.blocked.is_some() {
            (self.waited, self.moved) = self.total(now);
            self.blocked = None;
        }
    }

    /// The socket takes nothing more.
    fn is_blocked(&mut self, now: Millis) {
        self.blocked.get_or_insert((now, self.mark));
    }

    /// For how long the client has been waited for in all, and how much it took in that time.
    fn total(&self, now: Millis) -> (Millis, u64) {
        match self.blocked {
            Some((since, mark)) => {
                (self.waited + now.saturating_sub(since), self.moved + self.mark.saturating_sub(mark))
            }
            None => (self.waited, self.moved),
        }
    }

    /// When the client has made no progress for too long, or taken less than `min_rate` bytes a second.
    fn deadline(&self, now: Millis, timeout: Millis, min_rate: u64) -> Deadline {
        let stall = self.progress.saturating_add(timeout);
        let (waited, moved) = self.total(now);
        let rate = now
            .saturating_add(timeout)
            .saturating_add(moved.saturating_mul(1_000) / min_rate.max(1))
            .saturating_sub(waited);
        if stall <= rate {
            Deadline::of(Limit::WriteTimeout, stall)
        } else {
            Deadline::of(Limit::WriteMinRate, rate)
        }
    }
}

/// What is still to be sent.
pub(crate) enum Source {
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
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// What the access log says of a request once it is answered. What is `None` is not known.
pub(crate) struct Record {
    pub method: Option<Method>,
    /// Without the query, which may hold secrets.
    pub path: Option<String>,
    pub status: StatusCode,
    pub began: Instant,
    pub peer: SocketAddr,
    pub tls_version: &'static str,
}

impl Record {
    /// Writes the line. `cut` is what it says of a response that did not go out whole.
    pub(crate) fn write(&self, bytes: u64, cut: &'static str) {
        let Record { method, path, status, began, peer, tls_version } = self;
        let (method, path) = (method.as_ref().map_or("-", Method::as_str), path.as_deref().unwrap_or("-"));
        log::info!(
            target: "lockgate::access",
            "{method} {path} {} {bytes} {}us {peer} {tls_version}{cut}",
            status.as_u16(),
            began.elapsed().as_micros(),
        );
    }
}

/// A response that ends before its end, however the connection goes, leaves its line all the same.
impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.write(self.taken, " cut");
        }
    }
}

impl Sending {
    pub(crate) fn new(source: Source, after: After, record: Option<Box<Record>>) -> Sending {
        Sending { source, after, record, taken: 0, pace: Pace::default(), decrypted: 0, slow_reader: false }
    }

    /// What the connection is worth when room is needed.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        let (waited, bytes) = self.pace.total(now);
        Idle::Moving { since: now.saturating_sub(waited), bytes, min_rate }
    }

    /// Whether it is the connection's last.
    pub(crate) fn closes(&self) -> bool {
        self.after == After::Close
    }
}

impl Connection {
    pub(crate) fn begin_sending(
        &mut self,
        mut sending: Sending,
        desk: &Desk<'_>,
    ) -> std::ops::ControlFlow<Flow> {
        sending.pace = Pace { mark: self.transport.sent(), progress: desk.millis(), ..Pace::default() };
        sending.decrypted = self.transport.decrypted();
        self.deadline = desk.deadline(Limit::WriteTimeout, desk.shared.limits.write_timeout);
        self.stage = Stage::Sending(Box::new(sending));
        Continue(())
    }

    /// Sends what there is to send until the socket takes no more. `unread` is how many bytes of further requests are held
    /// meanwhile.
    pub(crate) fn send(&mut self, unread: usize, desk: &mut Desk<'_>) -> Turn {
        let key = self.key();
        let Stage::Sending(sending) = &mut self.stage else {
            return Ok(Continue(()));
        };
        loop {
            // What an earlier turn could not send goes first, alone.
            if !self.transport.wants_write() {
                // What is written already, such as the head, goes out before the reader is asked, which may block.
                let asks_reader = desk.output.is_empty() && matches!(sending.source, Source::Reader { .. });
                if asks_reader && desk.me.is_none() {
                    // A reader may block like a handler, and so it is a worker's, not the supervisor's.
                    return Ok(Break(Flow::Queue));
                }
                if asks_reader && desk.shared.is_stopped() {
                    return Ok(Break(Flow::Close));
                }
                if asks_reader {
                    match desk.shared.enter_reader(key) {
                        Entry::Entered => {}
                        Entry::Full => return Ok(Break(Flow::AwaitReader)),
                        Entry::Gone => return Ok(Break(Flow::Close)),
                    }
                }
                // Both together are bounded, however much of further requests has come.
                let most = AHEAD_BYTES.saturating_sub(unread + sending.decrypted).max(PIECE_BYTES);
                sending.queue_piece(key, most, &mut self.transport, desk)?;
            }
            let finished = matches!(sending.source, Source::Nothing) && desk.output.is_empty();
            if finished && sending.closes() {
                self.transport.queue_close_notify();
            }
            let flushed = self.transport.flush()?;
            if self.transport.sent() != sending.pace.mark {
                desk.look();
                sending.pace.sent(self.transport.sent(), desk.millis());
            }
            if flushed == Flushed::Blocked {
                let limits = &desk.shared.limits;
                let (now, timeout) = (desk.millis(), whole_millis(limits.write_timeout));
                sending.pace.is_blocked(now);
                self.deadline = sending.pace.deadline(now, timeout, limits.write_min_rate);
                return self.wait(desk);
            }
            sending.pace.flows(desk.millis());
            if finished {
                break;
            }
            if self.transport.wants_another_turn() {
                return Ok(Break(Flow::Again));
            }
        }
        let (after, taken) = (sending.after, sending.taken);
        if let Some(record) = sending.record.take() {
            record.write(taken, "");
        }
        match after {
            After::KeepAlive => self.begin_head(desk),
            After::Close => self.begin_linger(desk),
        }
        Ok(Continue(()))
    }
}

impl Sending {
    /// Encrypts what is written already, and the next piece of the body behind it: at most `most` bytes in all. A reader is
    /// asked only when nothing is written, and what it gives is a piece of its own.
    fn queue_piece(
        &mut self,
        key: usize,
        most: usize,
        transport: &mut Transport,
        desk: &mut Desk<'_>,
    ) -> io::Result<()> {
        let written = desk.output.len();
        match &mut self.source {
            Source::Bytes(bytes) => {
                let at = self.taken as usize;
                let piece = &bytes[at..bytes.len().min(at + most.saturating_sub(written))];
                transport.queue_all(&[&desk.output, piece])?;
                self.taken += piece.len() as u64;
                if self.taken as usize == bytes.len() {
                    self.source = Source::Nothing;
                }
            }
            Source::Reader { reader, left, chunked } if written == 0 => {
                let most = left.unwrap_or(u64::MAX).min((most - CHUNK_FRAMING_BYTES) as u64) as usize;
                let read = read_piece(reader.as_mut(), most, key, &mut self.slow_reader, desk)?;
                self.taken += read as u64;
                let piece = &desk.scratch[..read];
                match (*chunked, read) {
                    (true, 0) => transport.queue(b"0\r\n\r\n")?,
                    (true, _) => {
                        transport.queue_all(&[chunk_size_line(read).as_ref(), piece, b"\r\n"])?;
                    }
                    (false, _) => transport.queue(piece)?,
                }
                if let Some(left) = left {
                    *left -= read as u64;
                    if read == 0 && *left > 0 {
                        desk.shared.log_fault(
                            "a response's reader failed",
                            desk.now(),
                            format_args!(
                                "a response's reader ended {left} bytes before the length that was promised"
                            ),
                        );
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                if read == 0 || *left == Some(0) {
                    self.source = Source::Nothing;
                }
            }
            Source::Nothing | Source::Reader { .. } => transport.queue(&desk.output)?,
        }
        desk.output.clear();
        Ok(())
    }
}

/// Asks a handler's reader for the next piece, as code that may block. The connection has a place for that, and gives it up
/// here.
fn read_piece(
    reader: &mut dyn Read,
    most: usize,
    key: usize,
    slow: &mut bool,
    desk: &mut Desk<'_>,
) -> io::Result<usize> {
    /// Gives the place up even if the reader panics.
    struct Inside<'s>(&'s Arc<Shared>, usize);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.leave_reader(self.1);
        }
    }
    let inside = Inside(desk.shared, key);
    if desk.scratch.len() < most {
        desk.scratch.resize(most, 0);
    }
    let began = desk.look();
    if *slow {
        desk.shared.about_to_block(desk.me);
    }
    desk.shared.enter_handler(desk.me, None, desk.millis());
    let result = handler_call::run("a panic in a response's reader", || loop {
        match reader.read(&mut desk.scratch[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    });
    let took = desk.look().saturating_sub(began);
    desk.shared.leave_handler(desk.me, None, took);
    // First: to give the place up may start a thread, which is a call of its own.
    let faults = handler_call::faults();
    drop(inside);
    *slow = took >= SLOW_READER;
    for Fault { what, text } in faults {
        desk.shared.log_fault(what, desk.now(), format_args!("a response's reader {text}"));
    }
    match result {
        Some(Ok(read)) if read <= most => Ok(read),
        // What lies beyond may be another client's.
        Some(Ok(read)) => {
            let line = format_args!(
                "a response's reader says that it gave {read} bytes where it was asked for {most}"
            );
            desk.shared.log_fault("a response's reader failed", desk.now(), line);
            Err(io::ErrorKind::Other.into())
        }
        Some(Err(error)) => {
            let error = escape::shown(&error);
            let line = format_args!("a response's reader failed, and the connection was cut: {error}");
            desk.shared.log_fault("a response's reader failed", desk.now(), line);
            Err(io::ErrorKind::Other.into())
        }
        None => Err(io::ErrorKind::Other.into()),
    }
}

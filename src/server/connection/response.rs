//! Writes and sends a response. It is sent in pieces, each one when the socket has taken the last, so a slow client holds
//! little memory and no worker. Knows the transport and the buffers. `exchange` writes responses with it, and `state` sends
//! them.

use std::borrow::Cow;
use std::io::{self, Read};
use std::time::Duration;

use super::asked::Told;
use super::client_pace::Pace;
use super::live::{self, Live};
use super::log_lines::Record;
use super::transport::{Flushed, Stream, Transport};
use crate::escape;
use crate::handler_call::{self, Fault};
#[cfg(feature = "proxy")]
use crate::http::passing::TakesBody;
use crate::http::request_head::Version;
use crate::http::response::{Payload, Response};
use crate::http::response_head::{self, chunk_size_line, write_head, Exchange, Framing, Persistence};
use crate::server::buffers::{Buffers, PIECE_BYTES};
use crate::server::clock::{whole_millis, Millis};
#[cfg(feature = "operations")]
use crate::server::counts::State;
use crate::server::deadline::Deadline;
use crate::server::places::Entry;
use crate::server::scheduler::Scheduler;
use crate::server::turn::Idle;

/// A body up to this size goes into the same record as its head, in bytes.
const INLINE_BYTES: usize = 16 * 1024;

/// How many bytes are encrypted before the socket has to take them. With the head and the overhead of TLS they stay below the
/// most that the kernel passes on as one (65,160 bytes over Ethernet, 65,464 over loopback). A few bytes more would travel
/// alone each time, which costs a quarter of the CPU time of a large response.
const AHEAD_BYTES: usize = 4 * PIECE_BYTES;

/// The most bytes of a chunk's framing: its size in hexadecimal, and two line ends.
const CHUNK_FRAMING_BYTES: usize = 10;
/// A reader that took longer than this is expected to be slow again.
const SLOW_READER: Duration = Duration::from_millis(1);

/// The result of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole(After),
    /// The socket takes no more, and has to take more by this deadline. Or a live body has no more, and is asked again then.
    Waits(Deadline),
    /// There is more to send, but other connections get their turn first.
    MuchInThisTurn,
    /// The reader may block, and this is not a worker that calls handlers.
    NeedsWorker,
    /// The reader has to wait until another reader returns.
    NeedsReaderPlace,
    /// The rest is not needed, because the client is gone.
    GivenUp,
}

/// How much of a response's body was written to the output.
pub(crate) enum Written {
    /// All of it.
    Whole(After),
    /// Nothing; it is still to be sent.
    Begun(Box<Sending>),
    /// Nothing, because the most readers allowed are in use. Returns the access log's record. The head has to go too.
    NoReaderPlace(Option<Box<Record>>),
}

/// Writes a small body to the output, after its head; a larger one is still to be sent. `key` is the connection's.
#[inline(always)]
pub(crate) fn write_body(
    response: Response,
    head: response_head::Written,
    mut record: Option<Box<Record>>,
    key: usize,
    buffers: &mut Buffers<'_>,
) -> Written {
    let after = if head.persistence == Persistence::Close { After::Close } else { After::KeepAlive };
    if let Some(record) = &mut record {
        record.status = response.status;
    }
    let small = match (head.framing, &response.body) {
        // Also for a 205, regardless of the handler's body.
        (Framing::None | Framing::Length(0), _) => Some(&[][..]),
        (_, Payload::Bytes(bytes)) => Some(&bytes[..]),
        (_, Payload::Static(bytes)) => Some(*bytes),
        // Without its 101 nothing takes the connection over.
        #[cfg(feature = "upgrade")]
        (_, Payload::Upgrade(_)) => Some(&[][..]),
        _ => None,
    };
    if let Some(bytes) = small.filter(|bytes| bytes.len() <= INLINE_BYTES) {
        buffers.output.extend_from_slice(bytes);
        buffers.count_response(response.status);
        if let Some(record) = record {
            record.write(bytes.len() as u64, "");
        }
        return Written::Whole(after);
    }
    let status = response.status;
    let source = match response.body {
        Payload::Bytes(bytes) => Source::Bytes(Cow::Owned(bytes)),
        Payload::Static(bytes) => Source::Bytes(Cow::Borrowed(bytes)),
        Payload::Reader { .. } if !buffers.scheduler.take_reader_place(key) => {
            return Written::NoReaderPlace(record);
        }
        Payload::Reader { reader, length } => {
            Source::Reader { reader, left: length, chunked: head.framing == Framing::Chunked }
        }
        Payload::Live(body) => Source::Live(Live::begin(body, head.framing, key, buffers)),
        // What came later is there, or is no body.
        #[cfg(any(feature = "handler-timeout", feature = "upgrade"))]
        _ => Source::Nothing,
    };
    buffers.count_response(status);
    Written::Begun(Box::new(Sending::new(source, after, record)))
}

/// Writes the response to a refused request, which is in memory, and its line in the access log.
pub(crate) fn write_refusal(
    response: &Response,
    told: Told<'_>,
    record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) {
    let exchange = Exchange {
        method: &told.framing(),
        version: Version::Http11,
        persistence: Persistence::Close,
        field_names: buffers.context.field_names,
    };
    buffers.renew_common();
    buffers.note_no_call();
    buffers.count_response(response.status);
    let written = write_head(&mut buffers.output, response, exchange, &buffers.common);
    let mut length = 0;
    if let (Framing::Length(_), Payload::Bytes(bytes)) = (written.framing, &response.body) {
        buffers.output.extend_from_slice(bytes);
        length = bytes.len() as u64;
    }
    if let Some(mut record) = record {
        record.status = response.status;
        record.write(length, "");
    }
}

pub(crate) struct Sending {
    source: Source,
    after: After,
    record: Option<Box<Record>>,
    /// How many bytes of the body were taken from their source.
    taken: u64,
    pace: Pace,
    /// How many bytes of further requests are decrypted and not read yet.
    decrypted: usize,
    /// Whether the reader was slow at its last call.
    slow_reader: bool,
}

/// What is still to be sent.
enum Source {
    /// Nothing but what is encrypted already.
    Nothing,
    Bytes(Cow<'static, [u8]>),
    /// `left` is the rest that Content-Length promises. `None` means chunks, or until the connection's end.
    Reader {
        reader: Box<dyn Read + Send>,
        left: Option<u64>,
        chunked: bool,
    },
    Live(Live),
}

/// What happens to the connection when the response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// Writes the access log's line also for a response that is cut.
impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.write(self.taken, " cut");
        }
    }
}

impl Sending {
    /// Sends only what is written already.
    pub(crate) fn of_output(after: After) -> Sending {
        Sending::new(Source::Nothing, after, None)
    }

    fn new(source: Source, after: After, record: Option<Box<Record>>) -> Sending {
        Sending { source, after, record, taken: 0, pace: Pace::default(), decrypted: 0, slow_reader: false }
    }

    /// The connection's rank when the server needs room for another.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        self.pace.idle(now, min_rate)
    }

    /// Whether this is the connection's last response.
    pub(crate) fn closes(&self) -> bool {
        self.after == After::Close
    }

    /// Starts to measure the client's pace.
    pub(crate) fn begin<S: Stream>(&mut self, transport: &mut Transport<S>, now: Millis) {
        self.pace = Pace::begin(transport, now);
        self.decrypted = transport.decrypted();
    }

    /// Whether the rest of the request's body goes to it.
    pub(crate) fn takes_body(&self) -> bool {
        #[cfg(feature = "proxy")]
        if let Source::Live(live) = &self.source {
            return live.takes_body;
        }
        false
    }

    /// What takes the rest of the request's body.
    #[cfg(feature = "proxy")]
    pub(crate) fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        match &mut self.source {
            Source::Live(live) => live.taker(),
            _ => None,
        }
    }

    /// Whether its body has bytes later, maybe for days.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.source, Source::Live(_))
    }

    /// What its connection waits for meanwhile.
    #[cfg(feature = "operations")]
    pub(crate) fn waits_for(&self) -> State {
        match &self.source {
            Source::Live(live) if live.is_subscription() => State::Feed,
            Source::Live(_) => State::Live,
            _ => State::Sending,
        }
    }

    /// Sends until the socket takes no more. `unread` is how many bytes of further requests are held meanwhile; `key` is the
    /// connection's.
    pub(crate) fn send<S: Stream>(
        &mut self,
        key: usize,
        unread: usize,
        transport: &mut Transport<S>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Sent> {
        let mut next = live::Next::More;
        loop {
            // Bytes that an earlier turn could not send are sent first, alone.
            if !transport.wants_write() {
                // Written bytes, such as the head, are sent before the reader is called, because it may block.
                if buffers.output.is_empty() && matches!(self.source, Source::Reader { .. }) {
                    if buffers.me.is_none() {
                        // A reader may block like a handler, so only workers call it, not the supervisor.
                        return Ok(Sent::NeedsWorker);
                    }
                    if buffers.context.is_stopped() {
                        return Ok(Sent::GivenUp);
                    }
                    match buffers.scheduler.enter_reader(key) {
                        Entry::Entered => {}
                        Entry::Full => return Ok(Sent::NeedsReaderPlace),
                        Entry::Gone => return Ok(Sent::GivenUp),
                    }
                }
                if buffers.output.is_empty() && matches!(self.source, Source::Live(_)) {
                    if transport.has_hung_up() || buffers.context.is_stopped() {
                        let fault = if cfg!(feature = "upgrade") { transport.fault() } else { None };
                        return fault.map_or(Ok(Sent::GivenUp), Err);
                    }
                    next = self.queue_live(transport, buffers)?;
                    if next == live::Next::More && !transport.wants_write() {
                        // It has passed over much that this client does not get.
                        return Ok(Sent::MuchInThisTurn);
                    }
                } else {
                    // The bound holds for the response and the bytes of further requests together.
                    let most = AHEAD_BYTES.saturating_sub(unread + self.decrypted).max(PIECE_BYTES);
                    self.queue_piece(key, most, transport, buffers)?;
                }
            }
            let finished = matches!(self.source, Source::Nothing) && buffers.output.is_empty();
            if finished && self.closes() {
                transport.queue_close_notify();
            }
            let flushed = transport.flush()?;
            if transport.sent() != self.pace.mark {
                buffers.look();
                self.pace.sent(transport.sent(), buffers.millis());
            }
            if flushed == Flushed::Blocked {
                let limits = buffers.limits();
                let (now, timeout) = (buffers.millis(), whole_millis(limits.write_timeout));
                self.pace.is_blocked(now);
                return Ok(Sent::Waits(self.pace.deadline(now, timeout, limits.write_min_rate)));
            }
            self.pace.flows(buffers.millis());
            if finished {
                if let Some(record) = self.record.take() {
                    record.write(self.taken, "");
                }
                return Ok(Sent::Whole(self.after));
            }
            if let live::Next::Wait(at) = next {
                return Ok(Sent::Waits(Deadline::own(at)));
            }
            if transport.wants_another_turn() {
                return Ok(Sent::MuchInThisTurn);
            }
        }
    }

    /// Encrypts what a live body gives now.
    fn queue_live<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<live::Next> {
        let Source::Live(live) = &mut self.source else { return Ok(live::Next::More) };
        let (bytes, next) = live.queue(transport, buffers)?;
        self.taken += bytes as u64;
        if next == live::Next::End {
            self.source = Source::Nothing;
        }
        Ok(next)
    }

    /// Encrypts the written bytes and the next piece of the body: at most `most` bytes in all. A reader is called only when
    /// nothing is written, and its bytes are a piece of their own.
    fn queue_piece<S: Stream>(
        &mut self,
        key: usize,
        most: usize,
        transport: &mut Transport<S>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<()> {
        let written = buffers.output.len();
        match &mut self.source {
            Source::Bytes(bytes) => {
                let at = self.taken as usize;
                let piece = &bytes[at..bytes.len().min(at + most.saturating_sub(written))];
                transport.queue_all(&[&buffers.output, piece])?;
                self.taken += piece.len() as u64;
                if self.taken as usize == bytes.len() {
                    self.source = Source::Nothing;
                }
            }
            Source::Reader { reader, left, chunked } if written == 0 => {
                let most = left.unwrap_or(u64::MAX).min((most - CHUNK_FRAMING_BYTES) as u64) as usize;
                let read = read_piece(reader.as_mut(), most, key, &mut self.slow_reader, buffers)?;
                self.taken += read as u64;
                let piece = &buffers.scratch[..read];
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
                        buffers.context.log_fault(
                            "a response's reader failed",
                            buffers.now(),
                            format_args!(
                                "a response's reader ended before the length that was promised; missing bytes: {left}"
                            ),
                        );
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                if read == 0 || *left == Some(0) {
                    self.source = Source::Nothing;
                }
            }
            Source::Nothing | Source::Reader { .. } | Source::Live(_) => transport.queue(&buffers.output)?,
        }
        buffers.output.clear();
        Ok(())
    }
}

/// Reads the next piece from a handler's reader, which may block. The connection has a reader's place, and gives it back here.
fn read_piece(
    reader: &mut dyn Read,
    most: usize,
    key: usize,
    slow: &mut bool,
    buffers: &mut Buffers<'_>,
) -> io::Result<usize> {
    /// Gives the place back even if the reader panics.
    struct Inside<'s>(&'s dyn Scheduler, usize);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.leave_reader(self.1);
        }
    }
    let inside = Inside(buffers.scheduler, key);
    if buffers.scratch.len() < most {
        buffers.scratch.resize(most, 0);
    }
    let began = buffers.look();
    if *slow {
        buffers.scheduler.about_to_block(buffers.me);
    }
    buffers.enter_handler(None);
    let result = handler_call::run("a panic in a response's reader", || loop {
        match reader.read(&mut buffers.scratch[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    });
    let took = buffers.look().saturating_sub(began);
    buffers.leave_handler(None, took);
    // Taken before the place is given back, because that may start a thread, which would overwrite the faults.
    let faults = handler_call::faults();
    drop(inside);
    *slow = took >= SLOW_READER;
    for Fault { what, text } in faults {
        buffers.log_fault(what, format_args!("a response's reader {text}"));
    }
    match result {
        Some(Ok(read)) if read <= most => Ok(read),
        // Bytes beyond the buffer's filled part may belong to another client.
        Some(Ok(read)) => {
            buffers.log_fault(
                "a response's reader failed",
                format_args!(
                    "a response's reader says that it gave {read} bytes where it was asked for {most}"
                ),
            );
            Err(io::ErrorKind::Other.into())
        }
        Some(Err(error)) => {
            let error = escape::shown(&error);
            buffers.log_fault(
                "a response's reader failed",
                format_args!("a response's reader failed, and the connection was cut: {error}"),
            );
            Err(io::ErrorKind::Other.into())
        }
        None => Err(io::ErrorKind::Other.into()),
    }
}

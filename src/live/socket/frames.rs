//! The frames of a WebSocket (RFC 6455 §5): received bytes to messages, and messages to bytes. tungstenite joins fragments, checks
//! them, and answers pings and closes; only this file knows it. It reserves memory for a frame when its header has come, so the
//! headers are looked at here before it gets them. Between messages nothing of it is kept. `session` calls it.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use tungstenite::error::Error;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::message::{Closed, Message};
use crate::limits::body_memory::Share;

/// The most bytes of a frame's header.
const HEADER_BYTES: usize = 14;
/// The most bytes of a control frame's payload (RFC 6455 §5.5).
pub(super) const CONTROL_BYTES: usize = 125;
/// The bit of a control frame's opcode (RFC 6455 §5.2).
const CONTROL: u8 = 8;
/// How much is read into tungstenite's buffer at a time.
const PIECE_BYTES: usize = 4 * 1024;
/// What a message that comes may take of the memory that each connection has anyway, in bytes.
const FREE_BYTES: usize = 16 * 1024;

/// Codes of RFC 6455 §7.4.1.
pub(super) const AWAY: u16 = 1001;
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
pub(super) const TOO_LARGE: u16 = 1009;
pub(super) const FAULT: u16 = 1011;
pub(super) const BUSY: u16 = 1013;
/// No code was given. Never sent.
const NO_CODE: u16 = 1005;

/// Reads frames.
pub(super) struct Reader {
    most_in_message: u64,
    most_in_frame: u64,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// How much of the frame's payload is still to come.
    left: u64,
    /// The bytes of the unfinished message so far, as its headers announce them.
    unfinished: Option<u64>,
    /// How many of them have come.
    received: u64,
    context: Option<Box<WebSocketContext>>,
    memory: Option<Share>,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing whole.
    Nothing,
    Message(Message),
    /// A ping, whose answer is written, or a pong.
    Control,
    /// The client closes. The answer is written.
    Closed(Closed),
    /// The connection has to end, with this code.
    Fault(Closed),
}

impl Reader {
    pub(super) fn new(most_in_message: usize, most_in_frame: usize) -> Reader {
        Reader {
            most_in_message: most_in_message as u64,
            most_in_frame: most_in_frame as u64,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            left: 0,
            unfinished: None,
            received: 0,
            context: None,
            memory: None,
        }
    }

    /// Counts what it keeps in this memory.
    pub(super) fn count_in(&mut self, memory: Share) {
        self.memory = Some(memory);
    }

    /// Reads up to the first event. Returns how many bytes it has taken. Answers to control frames go to `answers`.
    pub(super) fn read(&mut self, input: &[u8], answers: &mut Vec<u8>) -> (usize, Event) {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            let event = if self.left == 0 {
                let (used, header) = self.read_header(rest);
                taken += used;
                match header {
                    Ok(None) => break,
                    Ok(Some(length)) => {
                        self.left = length;
                        let (header, bytes) = (self.header, std::mem::take(&mut self.header_bytes));
                        self.pass(&header[..bytes], answers)
                    }
                    Err(fault) => Event::Fault(fault),
                }
            } else {
                let piece = &rest[..rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
                taken += piece.len();
                self.left -= piece.len() as u64;
                if self.header[0] & CONTROL == 0 {
                    self.received += piece.len() as u64;
                }
                self.pass(piece, answers)
            };
            if let (Event::Message(message), Some(memory)) = (&event, &mut self.memory) {
                // What it was made of is not needed any more.
                memory.shrink(message.as_bytes().len().saturating_sub(FREE_BYTES));
            }
            if matches!(event, Event::Message(_)) {
                self.received = 0;
            }
            if event != Event::Nothing {
                return (taken, event);
            }
        }
        (taken, Event::Nothing)
    }

    /// Reads a header, and decides whether its frame may come. Returns how many bytes it has taken, and the payload's length.
    fn read_header(&mut self, input: &[u8]) -> (usize, Result<Option<u64>, Closed>) {
        let before = self.header_bytes;
        let more = input.len().min(HEADER_BYTES - before);
        self.header[before..before + more].copy_from_slice(&input[..more]);
        let mut cursor = Cursor::new(&self.header[..before + more]);
        match FrameHeader::parse(&mut cursor) {
            Ok(None) => {
                self.header_bytes = before + more;
                (more, Ok(None))
            }
            Ok(Some((header, length))) => {
                self.header_bytes = cursor.position() as usize;
                (self.header_bytes - before, self.admit(&header, length).map(|()| Some(length)))
            }
            Err(_) => (more, Err(Closed::new(PROTOCOL, "unknown opcode"))),
        }
    }

    /// Decides whether a frame may come.
    fn admit(&mut self, header: &FrameHeader, length: u64) -> Result<(), Closed> {
        let fault = |why| Err(Closed::new(PROTOCOL, why));
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return fault("reserved bit");
        }
        if header.mask.is_none() {
            return fault("frame without mask");
        }
        if matches!(header.opcode, OpCode::Control(_)) {
            return match (header.is_final, length <= CONTROL_BYTES as u64) {
                (true, true) => Ok(()),
                (false, _) => fault("control frame in fragments"),
                (true, false) => fault("control frame too long"),
            };
        }
        let whole = self.unfinished.unwrap_or(0).saturating_add(length);
        if length > self.most_in_frame || whole > self.most_in_message {
            return Err(Closed::new(TOO_LARGE, "message too large"));
        }
        self.unfinished = (!header.is_final).then_some(whole);
        // A frame is copied to the message that it is a fragment of.
        let kept = usize::try_from(whole.saturating_add(length)).unwrap_or(usize::MAX);
        let covers =
            self.memory.as_mut().map_or(true, |memory| memory.cover(kept.saturating_sub(FREE_BYTES)));
        if covers {
            Ok(())
        } else {
            Err(Closed::new(BUSY, "too many large messages come at once"))
        }
    }

    /// Passes a header or a piece of a payload to tungstenite.
    fn pass(&mut self, piece: &[u8], answers: &mut Vec<u8>) -> Event {
        let (most_in_message, most_in_frame) = (self.most_in_message as usize, self.most_in_frame as usize);
        let context = self.context.get_or_insert_with(|| {
            let config = WebSocketConfig::default()
                .read_buffer_size(PIECE_BYTES)
                .write_buffer_size(0)
                .max_message_size(Some(most_in_message))
                .max_frame_size(Some(most_in_frame.max(CONTROL_BYTES)));
            Box::new(WebSocketContext::new(Role::Server, Some(config)))
        });
        let mut pipe = Pipe { input: piece, out: answers };
        let event = match context.read(&mut pipe) {
            Ok(tungstenite::Message::Text(text)) => {
                return Event::Message(Message::Text(text.as_str().to_string()))
            }
            Ok(tungstenite::Message::Binary(bytes)) => {
                return Event::Message(Message::Binary(bytes.to_vec()))
            }
            Ok(tungstenite::Message::Close(frame)) => Event::Closed(match frame {
                Some(frame) => Closed::new(frame.code.into(), frame.reason.as_str()),
                None => Closed::new(NO_CODE, ""),
            }),
            Ok(_) => Event::Control,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Event::Nothing,
            Err(Error::Utf8(_)) => return Event::Fault(Closed::new(NOT_UTF8, "text that is not UTF-8")),
            Err(Error::Capacity(_)) => return Event::Fault(Closed::new(TOO_LARGE, "message too large")),
            Err(_) => return Event::Fault(Closed::new(PROTOCOL, "protocol error")),
        };
        // Writes the answer. That the connection is closed now is what the event says.
        let _ = context.flush(&mut pipe);
        event
    }

    /// How many bytes of an unfinished message or frame have come, without headers and control frames.
    pub(super) fn unfinished(&self) -> Option<u64> {
        let is_between = self.left == 0 && self.header_bytes == 0 && self.unfinished.is_none();
        (!is_between).then_some(self.received)
    }

    /// Gives back what is not needed until more comes.
    pub(super) fn rest(&mut self) {
        if self.unfinished().is_none() {
            self.context = None;
            if let Some(memory) = &mut self.memory {
                memory.shrink(0);
            }
        }
    }
}

/// A stream in memory, as tungstenite wants it.
struct Pipe<'p> {
    input: &'p [u8],
    out: &'p mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.input.read(out)? {
            0 if !out.is_empty() => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message as a frame.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let opcode = match message {
        Message::Text(_) => Data::Text,
        Message::Binary(_) => Data::Binary,
    };
    frame(OpCode::Data(opcode), message.as_bytes())
}

/// An empty ping.
pub(super) fn ping() -> Vec<u8> {
    frame(OpCode::Control(Control::Ping), b"")
}

/// A close frame. The reason is cut to what fits.
pub(super) fn close(closed: &Closed) -> Vec<u8> {
    let Closed { code, reason } = closed;
    let mut end = reason.len().min(CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    frame(OpCode::Control(Control::Close), &[&code.to_be_bytes(), &reason.as_bytes()[..end]].concat())
}

/// Whether a program may send this code (RFC 6455 §7.4).
pub(super) fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

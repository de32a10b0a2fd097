//! A request on its way to the backend: what is still to be sent of it, and what comes of its body later. Holds at most a few pieces
//! of the body, so a slow backend slows the client down. Knows connections to backends, and no client. `exchange` sends the
//! request, and `body` what is left of it when the answer has begun.

use std::io::{self, Write};

use super::connection::Connection;
use crate::http::passing::{Come, TakesBody};
use crate::limits::body_memory::Share;

/// The most that is held of a body that comes later, in bytes: two TLS records.
const HELD_BYTES: usize = 32 * 1024;
/// The most that the framing of a chunk adds, in bytes.
const CHUNK_FRAMING_BYTES: usize = 16;

/// As it stands in the head.
const EXPECT: &[u8] = b"\r\nexpect: 100-continue";

/// What comes of a body later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyToCome {
    /// Nothing: the request is whole.
    Nothing,
    /// Bytes of a body whose length is told.
    Bytes,
    /// Bytes that are sent in chunks.
    Chunks,
}

/// A request that is being sent.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    rest: BodyToCome,
    is_in_chunks: bool,
    /// Whether the rest of it is not sent, because the connection takes no more.
    was_given_up: bool,
    /// Whether all that was sent is still held, so that it can be sent again.
    pub is_replayable: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The memory that the request takes.
    _memory: Option<Share>,
}

impl Outgoing {
    /// A request with this head and what has come of its body.
    pub(super) fn new(
        head: Vec<u8>,
        rest: BodyToCome,
        body: &[u8],
        expects_continue: bool,
        memory: Share,
    ) -> Outgoing {
        let mut request = Outgoing {
            bytes: head,
            sent: 0,
            rest,
            is_in_chunks: rest == BodyToCome::Chunks,
            was_given_up: false,
            is_replayable: true,
            expects_continue,
            _memory: Some(memory),
        };
        request.append(body);
        request
    }

    /// What is left of it. Nothing stays here.
    pub(super) fn leave(&mut self) -> Outgoing {
        let nothing = Outgoing {
            bytes: Vec::new(),
            sent: 0,
            rest: BodyToCome::Nothing,
            is_in_chunks: self.is_in_chunks,
            was_given_up: false,
            is_replayable: false,
            expects_continue: false,
            _memory: None,
        };
        std::mem::replace(self, nothing)
    }

    /// Appends a part of the body.
    fn append(&mut self, data: &[u8]) {
        match self.rest {
            // It would be the end.
            BodyToCome::Chunks if data.is_empty() => {}
            BodyToCome::Chunks => {
                // Writing to memory does not fail.
                let _ = write!(self.bytes, "{:x}\r\n", data.len());
                self.bytes.extend_from_slice(data);
                self.bytes.extend_from_slice(b"\r\n");
            }
            BodyToCome::Nothing | BodyToCome::Bytes => self.bytes.extend_from_slice(data),
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.bytes.len()
    }

    /// Whether all of it is sent.
    pub(super) fn is_whole(&self) -> bool {
        !self.has_unsent() && self.rest == BodyToCome::Nothing && !self.was_given_up
    }

    /// Whether the connection can take another request behind this one. After chunks it takes none: a backend that does not know
    /// them, against RFC 9112 §6.1, would read the body as further requests.
    pub(super) fn keeps_connection(&self) -> bool {
        self.is_whole() && !self.is_in_chunks
    }

    /// Whether more of it comes of the client.
    pub(super) fn goes_on(&self) -> bool {
        self.rest != BodyToCome::Nothing
    }

    /// Sends as much as the connection takes. Returns how many bytes that is.
    pub(super) fn send(&mut self, connection: &mut Connection) -> io::Result<usize> {
        let sent = connection.send(self.bytes.get(self.sent..).unwrap_or_default())?;
        self.sent += sent;
        Ok(sent)
    }

    /// It is to be sent from its beginning, on another connection.
    pub(super) fn begin_again(&mut self) {
        self.sent = 0;
    }

    /// Leaves out `Expect`, which backends of HTTP/1.0 do not know. Nothing is sent yet.
    pub(super) fn expect_nothing(&mut self) {
        let end = find(&self.bytes, b"\r\n\r\n").unwrap_or(0);
        if let Some(at) = self.bytes.get(..end).and_then(|head| find(head, EXPECT)) {
            self.bytes.drain(at..at + EXPECT.len());
        }
    }

    /// Nothing more of it is sent.
    pub(super) fn give_up(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
        self.rest = BodyToCome::Nothing;
        self.was_given_up = true;
        self.is_replayable = false;
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

impl TakesBody for Outgoing {
    fn room(&self) -> usize {
        if self.rest == BodyToCome::Nothing {
            return 0;
        }
        match self.sent {
            // What is sent makes room for what comes.
            sent if sent == self.bytes.len() => HELD_BYTES,
            0 if !self.is_replayable => HELD_BYTES.saturating_sub(self.bytes.len() + CHUNK_FRAMING_BYTES),
            _ => 0,
        }
    }

    fn take(&mut self, come: Come<'_>) {
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            if std::mem::replace(&mut self.is_replayable, false) {
                // What came with the head may have taken more.
                self.bytes = Vec::with_capacity(HELD_BYTES);
            }
        }
        // It does not wait for the word any more.
        self.expects_continue = false;
        match come {
            Come::Data(data) => self.append(data),
            Come::End => {
                if self.rest == BodyToCome::Chunks {
                    self.bytes.extend_from_slice(b"0\r\n\r\n");
                }
                self.rest = BodyToCome::Nothing;
            }
        }
    }
}

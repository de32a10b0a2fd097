//! A client of a WebSocket in memory, for tests: it makes frames as a client does, also wrong ones, and reads what the session
//! sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::message::Closed;
use super::session::Session;
use super::socket::{Socket, SocketBuilder};
use crate::http::upgrade::{Call, Did, Then, Times, Upgrade};
use crate::limits::body_memory::Budget;
use crate::wake_list::{WakeList, Waker};

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;
pub(super) const FIN: u8 = 0x80;

/// A masked frame. `first` has FIN, the reserved bits and the opcode.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

/// Those of a server by default.
pub(super) const TIMES: Times =
    Times { idle: Duration::from_secs(60), body: Duration::from_secs(30), body_min_rate: 1_024 };

const MASK: [u8; 4] = [0x5a, 0x01, 0xc3, 0x00];

/// The header of a masked frame that says this length.
pub(super) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// The payload of a close frame.
pub(super) fn closing(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// How a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Not,
    Whole,
    Cut(&'static str),
}

pub(super) struct Peer {
    session: Option<Session>,
    pub(super) call: Call,
    unread: Vec<u8>,
    pub(super) out: Vec<u8>,
    pub(super) ended: Ended,
    /// What the last call said.
    pub(super) then: Then,
}

impl Peer {
    pub(super) fn of(builder: SocketBuilder) -> Peer {
        let call = Call { room: 16_000, may_block: true, ..Call::default() };
        let mut session = Session::new(builder, None);
        session.keep_to(TIMES);
        let then = Then::More;
        Peer { session: Some(session), call, unread: Vec::new(), out: Vec::new(), ended: Ended::Not, then }
    }

    /// Each message comes back.
    pub(super) fn echo() -> Peer {
        Peer::of(Socket::on_message(|socket, message| socket.send(message)))
    }

    /// The client sends these bytes, and the session has its turns until it waits.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Some(session) = &mut self.session {
            let before = self.out.len();
            let Did { taken, then } = session.go_on(&self.unread, &mut self.out, self.call);
            assert!(taken <= self.unread.len() && self.out.len() - before <= self.call.room);
            self.unread.drain(..taken);
            self.then = then;
            let was_due = std::mem::take(&mut self.call.is_due);
            self.call.has_taken = false;
            match then {
                Then::More | Then::Note(_) => continue,
                Then::Wait(until) if until <= self.call.now && !was_due => self.call.is_due = true,
                Then::Wait(_) | Then::Worker => return,
                Then::End => self.ended = Ended::Whole,
                Then::Cut(why) => self.ended = Ended::Cut(why),
            }
            if !self.call.is_due {
                self.session = None;
            }
        }
    }

    /// The session has one turn.
    pub(super) fn turn(&mut self) {
        if let Some(session) = &mut self.session {
            let Did { taken, then } = session.go_on(&self.unread, &mut self.out, self.call);
            self.unread.drain(..taken);
            self.then = then;
        }
    }

    /// Counts what it keeps in this memory, and begins.
    pub(super) fn count_in(&mut self, budget: &Arc<Budget>) {
        if let Some(session) = &mut self.session {
            session.begin(Waker { list: list(), key: 0 }, budget, TIMES);
        }
    }

    /// The session has its turns.
    pub(super) fn settle(&mut self) {
        self.send(b"");
    }

    /// How many bytes are not taken.
    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// The connection is gone.
    pub(super) fn leave(&mut self) {
        self.session = None;
    }

    /// The whole frames that the session has sent, as first byte and payload. Panics if there is another byte.
    pub(super) fn take_frames(&mut self) -> Vec<(u8, Vec<u8>)> {
        let bytes = std::mem::take(&mut self.out);
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let [first, second, after @ ..] = rest {
            assert_eq!(first & 0x70, 0, "a reserved bit");
            assert_eq!(second & 0x80, 0, "a mask");
            let (length, after) = match second {
                126 => (u64::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
                127 => (u64::from_be_bytes(after[..8].try_into().unwrap_or_default()), &after[8..]),
                length => (u64::from(*length), after),
            };
            let (payload, after) = after.split_at(length as usize);
            assert!(first & 8 == 0 || first & FIN != 0 && payload.len() <= 125, "a bad control frame");
            frames.push((*first, payload.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty(), "a part of a frame: {rest:?}");
        frames
    }
}

/// Nobody polls for it.
fn list() -> Arc<WakeList> {
    // A test fails without it.
    let poll = mio::Poll::new().unwrap();
    // As above.
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
    // As above.
    Arc::new(WakeList::new(waker, poll.registry().try_clone().unwrap()))
}

/// Where a session's `on_close` tells how it ended.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Vec<Closed>>>);

impl Told {
    pub(super) fn watch(&self, builder: SocketBuilder) -> SocketBuilder {
        let told = self.clone();
        builder.on_close(move |socket, closed| {
            assert!(!socket.is_open());
            told.0.lock().unwrap_or_else(PoisonError::into_inner).push(closed);
        })
    }

    /// What was told, once.
    pub(super) fn code(&self) -> Option<u16> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(told.len() <= 1);
        told.first().map(|closed| closed.code)
    }
}

//! A WebSocket between a client and a backend, once the backend has answered 101: bytes pass both ways as they come. Neither side is
//! read while the other takes nothing, so a tunnel holds no memory of its own. Knows no WebSocket. `exchange` makes it, and the
//! server runs it.

use std::sync::Arc;

use super::connection::{Connection, Read};
use super::shared::InUse;
use crate::http::upgrade::{Call, Did, Then, Times, Upgrade};
use crate::limits::body_memory::Budget;
use crate::wake_list::{SideInterest, Waker};

/// The most that is read of the backend at a time, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// A tunnel waits for as long as both sides do. The server takes any time that is later than all others.
const FOR_EVER: u64 = u64::MAX / 4;
const BROKEN: &str = "the backend has broken a tunnel";

/// A tunnel to a backend.
pub(super) struct Tunnel {
    connection: Connection,
    /// What has come of the backend with its 101, and is not passed on yet.
    early: Vec<u8>,
    waker: Option<Waker>,
    /// Whether the backend knows that the client sends nothing more.
    has_told_end: bool,
    _in_use: InUse,
}

impl Tunnel {
    pub(super) fn new(connection: Connection, early: Vec<u8>, in_use: InUse) -> Tunnel {
        Tunnel { connection, early, waker: None, has_told_end: false, _in_use: in_use }
    }

    /// Sends what has come of the client. Returns how much the backend takes now.
    fn send(&mut self, input: &[u8], is_last: bool) -> std::io::Result<usize> {
        let taken = if input.is_empty() { 0 } else { self.connection.send(input)? };
        if is_last && taken == input.len() && !std::mem::replace(&mut self.has_told_end, true) {
            self.connection.finish()?;
        }
        let interest = if taken == input.len() { SideInterest::Readable } else { SideInterest::Both };
        if let Some(waker) = &self.waker {
            self.connection.watch(waker, interest)?;
        }
        Ok(taken)
    }

    /// Appends what has come of the backend, at most so much.
    fn read(&mut self, out: &mut Vec<u8>, room: usize) -> std::io::Result<Then> {
        if room == 0 {
            return Ok(Then::Wait(FOR_EVER));
        }
        if !self.early.is_empty() {
            out.extend(self.early.drain(..room.min(self.early.len())));
            return Ok(Then::More);
        }
        let before = out.len();
        out.resize(before + room.min(STEP_BYTES), 0);
        let read = self.connection.read(&mut out[before..]);
        out.truncate(before + if let Ok(Read::Bytes(read)) = read { read } else { 0 });
        Ok(match read? {
            Read::Bytes(_) => Then::More,
            Read::Nothing => Then::Wait(FOR_EVER),
            Read::End => Then::End,
        })
    }
}

impl Upgrade for Tunnel {
    fn begin(&mut self, waker: Waker, _: &Arc<Budget>, _: Times) {
        self.waker = Some(waker);
    }

    fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        if call.is_stopping {
            // Neither side would end by itself.
            return Did { taken: input.len(), then: Then::End };
        }
        let done = self.send(input, call.is_last).and_then(|taken| Ok((taken, self.read(out, call.room)?)));
        match done {
            Ok((taken, then)) => Did { taken, then },
            Err(_) => Did { taken: input.len(), then: Then::Cut(BROKEN) },
        }
    }
}

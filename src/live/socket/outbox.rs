//! What waits to be sent over a WebSocket. The program's threads add to it, and the connection's turn takes from it. It is
//! bounded, and never waits. Knows frames as bytes, and how to wake a connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::message::Closed;
use crate::limits::body_memory::Share;
use crate::wake_list::{WakeOnce, Waker};

/// What a message takes beside its bytes, in bytes.
const OVERHEAD: usize = 64;
/// What may wait in the memory that each connection has anyway, in bytes.
const FREE_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    most_messages: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Vec<u8>>,
    /// How much of the first frame is sent.
    sent: usize,
    bytes: usize,
    memory: Option<Share>,
    /// The connection is to be cut, because a message had no room.
    has_overflowed: bool,
    /// How the connection is to be closed, when all is sent.
    closing: Option<Closed>,
    is_over: bool,
    connection: WakeOnce,
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no room now.
    Full,
    /// The WebSocket is closed, or is being closed.
    Closed,
}

impl Outbox {
    pub(super) fn new(most_messages: usize, most_bytes: usize) -> Outbox {
        let state = State {
            frames: VecDeque::new(),
            sent: 0,
            bytes: 0,
            memory: None,
            has_overflowed: false,
            closing: None,
            is_over: false,
            // Before the connection begins there is nothing to wake.
            connection: WakeOnce { waker: None, is_awake: true },
        };
        Outbox { state: Mutex::new(state), most_messages, most_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the program runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, waker: Waker, memory: Share) {
        let mut state = self.lock();
        state.connection.waker = Some(waker);
        state.memory = Some(memory);
    }

    /// Adds a frame.
    pub(super) fn push(&self, frame: Vec<u8>) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.is_over || state.closing.is_some() {
            return Err(Refused::Closed);
        }
        let bytes = state.bytes + frame.len() + OVERHEAD;
        // A message larger than all that may wait is sent alone.
        let has_room =
            state.frames.is_empty() || state.frames.len() < self.most_messages && bytes <= self.most_bytes;
        let to_cover = bytes.saturating_sub(FREE_BYTES);
        if !has_room || !state.memory.as_mut().map_or(true, |memory| memory.cover(to_cover)) {
            return Err(Refused::Full);
        }
        state.bytes = bytes;
        state.frames.push_back(frame);
        wake(state);
        Ok(())
    }

    /// Cuts the connection at its next turn.
    pub(super) fn overflow(&self) {
        let mut state = self.lock();
        state.has_overflowed = true;
        // Also when the client takes nothing, so that no turn is due.
        state.connection.is_awake = false;
        wake(state);
    }

    /// Closes the connection when all is sent. The first one counts.
    pub(super) fn close(&self, closed: Closed) {
        let mut state = self.lock();
        state.closing.get_or_insert(closed);
        wake(state);
    }

    /// Whether messages can be sent.
    pub(super) fn is_open(&self) -> bool {
        let state = self.lock();
        !state.is_over && state.closing.is_none()
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Begins a turn. Whatever is added in it wakes nobody.
    pub(super) fn attend(&self) {
        self.lock().connection.is_awake = true;
    }

    /// Ends a turn. Returns false when there is something to do. `is_closing` says whether the close was sent. While the client
    /// does not take what was sent, no further message wakes the connection.
    pub(super) fn rest(&self, is_closing: bool, is_blocked: bool) -> bool {
        let mut state = self.lock();
        let has_close = state.closing.is_some() && !is_closing && !state.is_over;
        if state.has_overflowed || !is_blocked && (has_close || !state.frames.is_empty()) {
            return false;
        }
        state.connection.is_awake = is_blocked;
        true
    }

    pub(super) fn has_overflowed(&self) -> bool {
        self.lock().has_overflowed
    }

    /// How the connection is to be closed, once all is taken.
    pub(super) fn closing(&self) -> Option<Closed> {
        let state = self.lock();
        state.closing.clone().filter(|_| state.frames.is_empty())
    }

    /// Whether the first frame is taken in part.
    pub(super) fn is_within_frame(&self) -> bool {
        self.lock().sent > 0
    }

    /// Moves bytes of the first frame to `out`, at most this many. Returns false when there was none.
    pub(super) fn take(&self, out: &mut Vec<u8>, most: usize) -> bool {
        let mut state = self.lock();
        let State { frames, sent, .. } = &mut *state;
        let Some(frame) = frames.front() else { return false };
        let rest = &frame[*sent..];
        let fits = rest.len().min(most);
        out.extend_from_slice(&rest[..fits]);
        if fits < rest.len() {
            *sent += fits;
            return true;
        }
        let whole = frame.len() + OVERHEAD;
        frames.pop_front();
        *sent = 0;
        state.bytes -= whole;
        let kept = state.bytes.saturating_sub(FREE_BYTES);
        if let Some(memory) = &mut state.memory {
            memory.shrink(kept);
        }
        if state.frames.is_empty() {
            state.frames = VecDeque::new();
        }
        true
    }

    /// Drops what waits and has not begun to be sent. Nothing is sent after it.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let begun = usize::from(state.sent > 0);
        state.frames.truncate(begun);
        state.bytes = state.frames.iter().map(|frame| frame.len() + OVERHEAD).sum();
        let kept = state.bytes.saturating_sub(FREE_BYTES);
        if let Some(memory) = &mut state.memory {
            memory.shrink(kept);
        }
    }

    /// Drops all. The connection is gone.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.frames = VecDeque::new();
        (state.sent, state.bytes) = (0, 0);
        (state.memory, state.connection.waker) = (None, None);
    }
}

fn wake(state: MutexGuard<'_, State>) {
    WakeOnce::wake(state, |state| &mut state.connection);
}

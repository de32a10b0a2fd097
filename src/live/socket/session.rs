//! A WebSocket on its connection: from the received bytes to the program's functions, and from its outbox to the bytes to send;
//! with pings, closes and their times. The server calls it (`http/upgrade`), and `handshake` makes it.

use std::sync::Arc;

use super::frames::{self, Event, Reader, AWAY, FAULT};
use super::message::{Closed, Message};
use super::outbox::Outbox;
use super::socket::{OnClose, OnOpen, Shared, Socket, SocketBuilder};
use crate::handler_call;
use crate::http::upgrade::{Call, Did, Then, Upgrade};
use crate::limits::body_memory::Budget;
use crate::wake_list::Waker;

/// How long a client has to answer a close, in milliseconds.
const CLOSE_WAIT: u64 = 5_000;
/// How long it has when the server stops.
const STOP_WAIT: u64 = 1_000;
/// So many bytes of answers to control frames may wait before nothing more is read.
const MOST_ANSWERS: usize = 1_024;

const TOO_SLOW: &str =
    "a client does not take the messages of its WebSocket fast enough (SocketBuilder::backlog)";
const NO_ANSWER: &str = "a client has not answered a ping on its WebSocket";

pub(super) struct Session {
    socket: Socket,
    on_message: Box<dyn FnMut(&Socket, Message) + Send>,
    on_open: Option<OnOpen>,
    on_close: Option<OnClose>,
    /// In milliseconds.
    ping_every: u64,
    reader: Reader,
    /// Control frames to send, before the next frame of the outbox.
    control: Vec<u8>,
    /// A message that waits for a worker.
    message: Option<Message>,
    phase: Phase,
    /// What `on_close` is told.
    closed: Closed,
    /// When the client gets a ping, or is cut.
    ping_at: u64,
    is_pinged: bool,
    /// When the connection ends, whatever is missing.
    until: u64,
}

/// How far a WebSocket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Open,
    /// The server has sent its close, and waits for the client's.
    Closing,
    /// All is said, and has only to be sent.
    Over,
}

impl Session {
    pub(super) fn new(builder: SocketBuilder, subprotocol: Option<String>) -> Session {
        let SocketBuilder { on_message, on_open, on_close, settings } = builder;
        let outbox = Outbox::new(settings.backlog, settings.backlog_bytes);
        Session {
            socket: Socket { shared: Arc::new(Shared { outbox, subprotocol }) },
            on_message,
            on_open,
            on_close,
            ping_every: settings.ping_every.as_millis().try_into().unwrap_or(u64::MAX / 4),
            reader: Reader::new(settings.message_bytes, settings.frame_bytes),
            control: Vec::new(),
            message: None,
            phase: Phase::New,
            closed: Closed::new(Closed::ABNORMAL, ""),
            ping_at: 0,
            is_pinged: false,
            until: u64::MAX,
        }
    }

    fn outbox(&self) -> &Outbox {
        &self.socket.shared.outbox
    }

    /// Ends the WebSocket because of a fault. The client is told, and nothing more is read.
    fn fail(&mut self, closed: Closed) {
        if self.phase != Phase::Closing {
            self.control.extend(frames::close(&closed));
        }
        self.finish(closed);
    }

    /// All is said.
    fn finish(&mut self, closed: Closed) {
        self.closed = closed;
        self.phase = Phase::Over;
        self.outbox().end();
    }

    /// Runs a function of the program.
    fn run(&mut self, function: impl FnOnce(&mut Session)) {
        if handler_call::run("a panic in a WebSocket's function", || function(self)).is_none() {
            self.fail(Closed::new(FAULT, ""));
        }
    }

    fn open(&mut self, now: u64) {
        self.phase = Phase::Open;
        self.ping_at = now.saturating_add(self.ping_every);
        if let Some(hook) = self.on_open.take() {
            self.run(|session| hook(&session.socket));
        }
    }

    fn handle(&mut self, message: Message) {
        self.run(|session| (session.on_message)(&session.socket, message));
    }

    /// Does what its time has come for. Returns why the connection is cut, if it is.
    fn keep_time(&mut self, call: Call) -> Option<Then> {
        if self.outbox().has_overflowed() {
            return Some(Then::Cut(TOO_SLOW));
        }
        if call.is_stopping && self.until == u64::MAX && self.phase == Phase::Open {
            self.outbox().close(Closed::new(AWAY, "the server stops"));
            self.until = call.now.saturating_add(STOP_WAIT);
        }
        if self.until <= call.now {
            return Some(Then::End);
        }
        if self.ping_at <= call.now && self.phase == Phase::Open {
            if self.is_pinged {
                return Some(Then::Cut(NO_ANSWER));
            }
            self.is_pinged = true;
            self.control.extend(frames::ping());
            self.ping_at = call.now.saturating_add(self.ping_every);
        }
        None
    }

    /// Moves what is to be sent to `out`, as far as there is room.
    fn write(&mut self, out: &mut Vec<u8>, call: Call) {
        let end = out.len() + call.room;
        while out.len() < end {
            let room = end - out.len();
            if !self.control.is_empty() && !self.outbox().is_within_frame() {
                // A control frame may stand between two frames, but not within one.
                let fits = self.control.len().min(room);
                out.extend(self.control.drain(..fits));
            } else if !self.outbox().take(out, room) {
                match self.outbox().closing().filter(|_| self.phase == Phase::Open) {
                    Some(closed) => {
                        self.control.extend(frames::close(&closed));
                        self.phase = Phase::Closing;
                        self.until = self.until.min(call.now.saturating_add(CLOSE_WAIT));
                    }
                    None => break,
                }
            }
        }
        if self.control.is_empty() {
            self.control = Vec::new();
        }
    }

    /// Reads up to the next message.
    fn read(&mut self, input: &[u8], call: Call) -> Did {
        if self.control.len() > MOST_ANSWERS {
            return Did { taken: 0, then: Then::More };
        }
        // After its own close the server answers nothing.
        let mut unsent = Vec::new();
        let is_closing = self.phase == Phase::Closing;
        let answers = if is_closing { &mut unsent } else { &mut self.control };
        let (taken, event) = self.reader.read(input, answers);
        if taken > 0 {
            self.is_pinged = false;
            self.ping_at = call.now.saturating_add(self.ping_every);
        }
        match event {
            Event::Nothing => return Did { taken, then: self.rest(taken == input.len(), call) },
            Event::Message(_) if is_closing => {}
            Event::Message(message) if call.may_block => self.handle(message),
            Event::Message(message) => {
                self.message = Some(message);
                return Did { taken, then: Then::Worker };
            }
            Event::Control => {}
            Event::Closed(closed) => self.finish(closed),
            Event::Fault(closed) => self.fail(closed),
        }
        Did { taken, then: Then::More }
    }

    /// Waits, unless something has come up meanwhile.
    fn rest(&mut self, has_all: bool, call: Call) -> Then {
        if call.is_last && has_all {
            // The client has gone without a close, or after it.
            return Then::End;
        }
        self.reader.rest();
        if !self.control.is_empty() && call.room > 0
            || !self.outbox().rest(self.phase != Phase::Open, call.room == 0)
        {
            return Then::More;
        }
        Then::Wait(self.until.min(if self.phase == Phase::Open { self.ping_at } else { u64::MAX }))
    }

    fn act(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        let did = |then| Did { taken: 0, then };
        if self.phase == Phase::New || self.message.is_some() {
            if !call.may_block {
                return did(Then::Worker);
            }
            match self.message.take() {
                Some(message) => self.handle(message),
                None => self.open(call.now),
            }
        }
        if let Some(then) = self.keep_time(call) {
            return did(then);
        }
        let before = out.len();
        self.write(out, call);
        let has_room = out.len() - before < call.room;
        if self.phase == Phase::Over {
            let is_sent = self.control.is_empty() && !self.outbox().is_within_frame();
            return did(match (is_sent, has_room) {
                (true, _) => Then::End,
                (false, true) => Then::More,
                // The client takes nothing.
                (false, false) if call.room == 0 => Then::Wait(call.now.saturating_add(CLOSE_WAIT)),
                (false, false) => Then::More,
            });
        }
        match (call.room, has_room) {
            // Nothing is read from a client that does not take what was sent.
            (0, _) => did(self.rest(false, call)),
            (_, false) => did(Then::More),
            (_, true) => self.read(input, call),
        }
    }
}

impl Upgrade for Session {
    fn begin(&mut self, waker: Waker, memory: &Arc<Budget>) {
        self.reader.count_in(memory.share());
        self.outbox().begin(waker, memory.share());
    }

    fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        self.outbox().attend();
        self.act(input, out, call)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.outbox().leave();
        if let Some(hook) = self.on_close.take() {
            let closed = std::mem::replace(&mut self.closed, Closed::new(Closed::ABNORMAL, ""));
            // The call's faults tell what went wrong.
            let _: Option<()> = handler_call::run("a panic in on_close", || hook(&self.socket, closed));
        }
    }
}

//! A WebSocket on its connection: from the received bytes to the program's functions, and from its outbox to the bytes to send;
//! with pings, closes and their times. The server calls it (`http/upgrade`), and `handshake` makes it.

use std::sync::Arc;

use super::frames::{self, Event, Reader, AWAY, BUSY, FAULT, TOO_LARGE};
use super::message::{Closed, Message};
use super::outbox::Outbox;
use super::socket::{OnClose, OnMessage, OnOpen, Shared, Socket, SocketBuilder};
use crate::handler_call;
use crate::http::upgrade::{Call, Did, Then, Times, Upgrade};
use crate::limits::body_memory::Budget;
use crate::wake_list::Waker;

/// How long a client has to answer a close, in milliseconds.
const CLOSE_WAIT: u64 = 5_000;
/// How long it has when the server stops.
const STOP_WAIT: u64 = 1_000;
/// So many bytes of answers to control frames may wait before nothing more is read.
const MOST_ANSWERS: usize = 1_024;
/// So many bytes are still read after a time that ends the connection: what the client had sent before.
const MOST_LATE: usize = 256 * 1024;

const TOO_SLOW: &str = "more waits to be sent to a WebSocket's client than it may (SocketBuilder::backlog)";
const LARGE: &str =
    "a WebSocket is closed with 1009, because a message is too large (SocketBuilder::message_bytes)";
const NO_ANSWER: &str = "a client has not answered a ping on its WebSocket";
const TOO_LATE: &str =
    "a client has begun a message on its WebSocket and not sent it in time (Limits::body_timeout)";

pub(super) struct Session {
    socket: Socket,
    on_message: OnMessage,
    on_open: Option<OnOpen>,
    on_close: Option<OnClose>,
    /// In milliseconds.
    ping_every: u64,
    reader: Reader,
    /// Control frames to send, before the next frame of the outbox.
    control: Vec<u8>,
    /// A message that waits for a worker.
    message: Option<Message>,
    pace: MessagePace,
    phase: Phase,
    /// What `on_close` is told.
    closed: Closed,
    /// When the client gets a ping, or is cut.
    ping_at: u64,
    is_pinged: bool,
    /// When the connection ends, whatever is missing.
    until: u64,
    /// How many bytes were read after that, or after the time for a message.
    late: usize,
}

/// Until when a message that has begun must be whole. All in milliseconds.
#[derive(Debug, Clone, Copy)]
struct MessagePace {
    timeout: u64,
    /// Bytes a second that prolong it.
    min_rate: u64,
    since: Option<u64>,
    /// Since when nothing is read, because the client does not take what was sent.
    paused: Option<u64>,
}

impl MessagePace {
    /// None, before the connection begins.
    const ENDLESS: MessagePace = MessagePace { timeout: u64::MAX, min_rate: 1, since: None, paused: None };

    fn new(times: Times) -> MessagePace {
        let timeout = times.body.as_millis().try_into().unwrap_or(u64::MAX);
        MessagePace { timeout, min_rate: times.body_min_rate.max(1), ..MessagePace::ENDLESS }
    }

    /// Notes whether something can be read now. Time in which nothing is read does not count.
    fn reads(&mut self, may_read: bool, now: u64) {
        if !may_read {
            self.paused.get_or_insert(now);
        } else if let Some(paused) = self.paused.take() {
            let pause = now.saturating_sub(paused);
            self.since = self.since.map(|since| since.saturating_add(pause));
        }
    }

    /// When the message has to be whole of which this many bytes have come.
    fn deadline(&self, received: u64) -> u64 {
        match (self.since, self.paused) {
            (Some(since), None) => since
                .saturating_add(self.timeout)
                .saturating_add(received.saturating_mul(1_000) / self.min_rate),
            _ => u64::MAX,
        }
    }
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
            pace: MessagePace::ENDLESS,
            phase: Phase::New,
            closed: Closed::new(Closed::ABNORMAL, ""),
            ping_at: 0,
            is_pinged: false,
            until: u64::MAX,
            late: 0,
        }
    }

    pub(super) fn keep_to(&mut self, times: Times) {
        self.pace = MessagePace::new(times);
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
        self.note_life(now);
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
        // What the client has sent in time is read first, but not without end.
        if !call.is_due && self.late <= MOST_LATE {
            return None;
        }
        if self.until <= call.now {
            return Some(Then::End);
        }
        if self.message_by() <= call.now {
            return Some(Then::Cut(TOO_LATE));
        }
        if self.ping_at <= call.now && self.phase == Phase::Open && call.room > 0 {
            if self.is_pinged {
                return Some(Then::Cut(NO_ANSWER));
            }
            self.is_pinged = true;
            self.control.extend(frames::ping());
            self.ping_at = call.now.saturating_add(self.ping_every);
        }
        None
    }

    /// When the message that has begun has to be whole.
    fn message_by(&self) -> u64 {
        self.reader.unfinished().map_or(u64::MAX, |received| self.pace.deadline(received))
    }

    /// The client is there. It gets the next ping after a while.
    fn note_life(&mut self, now: u64) {
        self.is_pinged = false;
        self.ping_at = now.saturating_add(self.ping_every);
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
        let is_late = self.until.min(self.message_by()) <= call.now;
        // After its own close the server answers nothing.
        let mut unsent = Vec::new();
        let is_closing = self.phase == Phase::Closing;
        let answers = if is_closing { &mut unsent } else { &mut self.control };
        let (taken, event) = self.reader.read(input, answers);
        if taken > 0 {
            self.note_life(call.now);
            self.late = if is_late { self.late + taken } else { 0 };
            self.pace.since = self.reader.unfinished().and(self.pace.since.or(Some(call.now)));
        }
        match event {
            Event::Nothing => return Did { taken, then: self.rest(taken == input.len(), call) },
            Event::Message(_) if is_closing => {}
            Event::Message(_) if call.is_overloaded => self.fail(Closed::new(BUSY, "busy")),
            Event::Message(message) if call.may_block => self.handle(message),
            Event::Message(message) => {
                self.message = Some(message);
                return Did { taken, then: Then::Worker };
            }
            Event::Control => {}
            Event::Closed(closed) => self.finish(closed),
            Event::Fault(closed) => {
                let is_large = closed.code == TOO_LARGE;
                self.fail(closed);
                if is_large {
                    return Did { taken, then: Then::Note(LARGE) };
                }
            }
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
        // A ping that cannot be sent is not waited for.
        let pings = self.phase == Phase::Open && call.room > 0;
        Then::Wait(self.until.min(self.message_by()).min(if pings { self.ping_at } else { u64::MAX }))
    }

    fn act(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        let did = |then| Did { taken: 0, then };
        self.pace.reads(call.room > 0, call.now);
        if call.has_taken {
            self.note_life(call.now);
        }
        if self.phase == Phase::New || self.message.is_some() {
            match (self.message.take(), call.may_block) {
                _ if call.is_overloaded => self.fail(Closed::new(BUSY, "busy")),
                (Some(message), true) => self.handle(message),
                (None, true) => self.open(call.now),
                (message, false) => {
                    self.message = message;
                    return did(Then::Worker);
                }
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
    fn told(&self) -> &'static str {
        "the handler of a WebSocket"
    }

    #[cfg(feature = "operations")]
    fn is_websocket(&self) -> bool {
        true
    }

    fn begin(&mut self, waker: Waker, memory: &Arc<Budget>, times: Times) {
        self.keep_to(times);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::peer::{
        closing, frame, header, Ended, Peer, Told, BINARY, CLOSE, FIN, PING, PONG, TEXT, TIMES,
    };
    use super::super::socket::SendError;
    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        frame(FIN | TEXT, payload.as_bytes())
    }

    /// A session whose handler does this, its socket, and where its end is told.
    fn session(
        change: impl FnOnce(SocketBuilder) -> SocketBuilder,
        handler: impl FnMut(&Socket, Message) + Send + 'static,
    ) -> (Peer, Socket, Told) {
        let (tell, socket) = channel();
        let told = Told::default();
        let builder = Socket::on_message(handler).on_open(move |socket| tell.send(socket.clone()).unwrap());
        let mut peer = Peer::of(told.watch(change(builder)));
        peer.settle();
        (peer, socket.recv().unwrap(), told)
    }

    fn echo(change: impl FnOnce(SocketBuilder) -> SocketBuilder) -> (Peer, Socket, Told) {
        session(change, |socket, message| socket.send(message))
    }

    /// The only frame that was sent is a close with this code.
    fn closed_with(peer: &mut Peer) -> u16 {
        let frames = peer.take_frames();
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0].0, FIN | CLOSE);
        u16::from_be_bytes([frames[0].1[0], frames[0].1[1]])
    }

    fn millis(time: u64) -> u64 {
        Duration::from_secs(time).as_millis() as u64
    }

    #[test]
    fn what_breaks_a_rule_is_refused_at_its_header_before_its_payload_comes() {
        for (name, bytes, code) in [
            ("no mask", vec![FIN | TEXT, 5], 1002),
            ("no mask, empty", vec![FIN | TEXT, 0], 1002),
            ("a reserved bit", header(FIN | TEXT | 0x40, 70_000), 1002),
            ("a long ping", header(FIN | PING, 126), 1002),
            ("a ping of 2^63 - 1", header(FIN | PING, u64::MAX >> 1), 1002),
            ("a fragmented ping", header(PING, 5), 1002),
            ("a long close", header(FIN | CLOSE, 65_536), 1002),
            ("a large frame", header(FIN | BINARY, 1_001), 1009),
            ("the largest", header(FIN | BINARY, u64::MAX >> 1), 1009),
            ("with the highest bit", header(FIN | BINARY, u64::MAX), 1009),
            // On 32 bits only its lower half is left.
            ("more than 32 bits", header(FIN | TEXT, (1 << 32) + 5), 1009),
        ] {
            let (mut peer, _, told) = echo(|builder| builder.message_bytes(2_000).frame_bytes(1_000));
            peer.send(&bytes);
            assert_eq!((closed_with(&mut peer), peer.ended), (code, Ended::Whole), "{name}");
            assert_eq!(told.code(), Some(code), "{name}");
        }
    }

    #[test]
    fn a_message_is_bounded_with_all_its_fragments() {
        let limits = |builder: SocketBuilder| builder.message_bytes(2_000).frame_bytes(1_000);
        let (piece, last) = (vec![b'a'; 1_000], frame(FIN, b""));
        let (mut peer, ..) = echo(limits);
        peer.send(&frame(TEXT, &piece));
        peer.send(&frame(0, &piece));
        peer.send(&last);
        assert_eq!(peer.take_frames(), [(FIN | TEXT, vec![b'a'; 2_000])]);
        peer.send(&frame(TEXT, &piece));
        peer.send(&frame(0, &piece));
        peer.send(&header(FIN, 1));
        assert_eq!(closed_with(&mut peer), 1009);
        // Nor do fragments without a byte add up to anything.
        let (mut peer, ..) = echo(limits);
        peer.send(&frame(TEXT, b""));
        (0..10_000).for_each(|_| peer.send(&frame(0, b"")));
        peer.send(&last);
        assert_eq!(peer.take_frames(), [(FIN | TEXT, vec![])]);
    }

    #[test]
    fn large_messages_share_the_memory_for_bodies_and_give_it_back() {
        let budget = Arc::new(Budget::new(100_000));
        let begun = || {
            let (mut peer, socket, _) = echo(|builder| builder);
            peer.count_in(&budget);
            (peer, socket)
        };
        let left = |bytes| budget.share().cover(bytes);
        let (mut one, _) = begun();
        let (mut other, _) = begun();
        one.send(&header(FIN | BINARY, 50_000));
        assert!(left(10_000) && !left(20_000), "the frame and the message made of it");
        other.send(&header(FIN | BINARY, 50_000));
        assert_eq!(closed_with(&mut other), 1013);
        // What each connection has anyway is not counted.
        let (mut third, _) = begun();
        third.send(&frame(FIN | BINARY, &[1; 8_000]));
        assert_eq!(third.take_frames().len(), 1);
        one.leave();
        assert!(left(100_000));
        third.send(&frame(FIN | BINARY, &[1; 50_000]));
        assert_eq!(third.take_frames().len(), 1);
        assert!(left(100_000), "once it is handled and sent");
    }

    #[test]
    fn a_message_waits_for_a_worker_and_those_behind_it_too() {
        let (mut peer, ..) = echo(|builder| builder);
        peer.call.may_block = false;
        peer.send(&[text("a"), text("b"), frame(FIN | PING, b"p")].concat());
        assert_eq!((peer.then, peer.take_frames()), (Then::Worker, vec![]));
        peer.settle();
        assert_eq!((peer.then, peer.take_frames()), (Then::Worker, vec![]));
        peer.call.may_block = true;
        peer.settle();
        let frames = peer.take_frames();
        assert_eq!(frames.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>(), [b"a", b"b", b"p"]);
        // What needs no worker does not wait for one.
        peer.call.may_block = false;
        peer.send(&frame(FIN | PING, b"q"));
        assert_eq!(peer.take_frames(), [(FIN | PONG, b"q".to_vec())]);
    }

    #[test]
    fn a_panic_of_a_function_ends_with_1011_and_no_other_function_is_called() {
        let (mut peer, socket, told) = session(|builder| builder, |_, _| panic!("as the test wants it"));
        peer.send(&[text("a"), text("b")].concat());
        assert_eq!((closed_with(&mut peer), told.code()), (1011, Some(1011)));
        assert_eq!(handler_call::faults().len(), 1);
        assert_eq!(socket.try_send("c"), Err(SendError::Closed("c".into())));
        let mut peer = Peer::of(Socket::on_message(|_, _| unreachable!()).on_open(|_| panic!("at once")));
        peer.send(&text("a"));
        assert_eq!((closed_with(&mut peer), handler_call::faults().len()), (1011, 1));
        let mut peer = Peer::of(Socket::on_message(|_, _| {}).on_close(|_, _| panic!("at the end")));
        peer.settle();
        peer.leave();
        assert_eq!(handler_call::faults().len(), 1);
    }

    #[test]
    fn a_silent_client_gets_a_ping_and_is_cut_without_an_answer() {
        let (mut peer, _, told) = echo(|builder| builder.ping_every(Duration::from_secs(30)));
        assert_eq!(peer.then, Then::Wait(millis(30)));
        peer.call.now = millis(30);
        peer.settle();
        assert_eq!((peer.take_frames(), peer.then), (vec![(FIN | PING, vec![])], Then::Wait(millis(60))));
        peer.call.now = millis(59);
        peer.send(&frame(FIN | PONG, b""));
        assert_eq!(peer.then, Then::Wait(millis(89)));
        // Whatever it sends shows that it is there.
        peer.call.now = millis(80);
        let pong = frame(FIN | PONG, b"");
        peer.send(&pong[..3]);
        assert_eq!(peer.then, Then::Wait(millis(110)));
        peer.send(&pong[3..]);
        for now in [110, 140] {
            peer.call.now = millis(now);
            peer.settle();
        }
        assert_eq!((peer.ended, peer.take_frames().len()), (Ended::Cut(NO_ANSWER), 1));
        assert_eq!(told.code(), Some(1006));
    }

    #[test]
    fn a_client_that_cannot_be_read_is_not_asked_for_a_sign_of_life() {
        let (mut peer, ..) = echo(|builder| builder.ping_every(Duration::from_secs(30)));
        peer.call.room = 0;
        for now in [10, 30, 60, 90] {
            peer.call.now = millis(now);
            peer.settle();
            assert_eq!((peer.ended, peer.then), (Ended::Not, Then::Wait(u64::MAX)));
        }
        (peer.call.room, peer.call.has_taken, peer.call.now) = (16_000, true, millis(91));
        peer.settle();
        assert_eq!(
            (peer.take_frames(), peer.then),
            (vec![], Then::Wait(millis(121))),
            "it has taken something"
        );
        // One that only takes, and whose pong stands behind what it has to take.
        for now in [121, 151, 181, 211] {
            peer.call.now = millis(now);
            peer.settle();
            (peer.call.has_taken, peer.call.now) = (true, millis(now + 1));
            peer.settle();
            peer.call.now = millis(now + 29);
        }
        assert_eq!((peer.ended, peer.take_frames().len()), (Ended::Not, 1));
    }

    #[test]
    fn what_the_client_has_sent_in_time_is_read_before_it_is_too_late() {
        let (mut peer, _, told) = echo(|builder| builder);
        peer.call.now = millis(30);
        peer.settle();
        // The process stood still.
        peer.call.now = millis(500);
        peer.send(&frame(FIN | PONG, b""));
        assert_eq!((peer.ended, peer.then), (Ended::Not, Then::Wait(millis(530))));
        peer.call.is_stopping = true;
        peer.settle();
        peer.call.now = millis(600);
        peer.send(&frame(FIN | CLOSE, &closing(1001, "")));
        assert_eq!((peer.ended, told.code()), (Ended::Whole, Some(1001)));
        // But not without end.
        let (mut peer, socket, told) = echo(|builder| builder);
        socket.close(1000, "");
        peer.settle();
        peer.call.now = millis(60);
        peer.send(&[&frame(FIN | BINARY, &vec![0; MOST_LATE])[..], &frame(FIN | CLOSE, b"")].concat());
        assert_eq!((peer.ended, told.code()), (Ended::Whole, Some(1006)));
    }

    #[test]
    fn a_message_that_has_begun_has_to_come_in_time_like_a_body() {
        // The defaults: 30 s, and 1 s more for each KiB.
        assert_eq!((TIMES.body.as_secs(), TIMES.body_min_rate), (30, 1_024));
        let drips = |first: &[u8], drip: &dyn Fn() -> Vec<u8>| {
            let (mut peer, ..) = echo(|builder| builder);
            peer.send(first);
            for second in 1..=600 {
                peer.call.now = millis(second);
                peer.send(&drip());
                peer.settle();
                if peer.ended != Ended::Not {
                    return Some((second, peer.ended));
                }
            }
            None
        };
        let cut = |second| Some((second, Ended::Cut(TOO_LATE)));
        assert_eq!(drips(&header(FIN | BINARY, 1_000_000), &|| vec![1]), cut(31));
        assert_eq!(drips(&header(FIN | BINARY, 1_000_000), &|| vec![1; 512]), cut(60));
        assert_eq!(drips(&header(FIN | BINARY, 1_000_000), &|| vec![1; 1_100]), None);
        // Control frames and empty fragments are not bytes of it.
        assert_eq!(drips(&frame(TEXT, &[b'a'; 1_024]), &|| frame(FIN | PING, &[1; 125])), cut(31));
        assert_eq!(drips(&frame(TEXT, b"a"), &|| frame(0, b"")), cut(30));
        assert_eq!(drips(&[FIN | PING], &Vec::new), cut(30), "a part of a header");
        // Each message has its own time.
        assert_eq!(drips(&text("a"), &|| text("a")), None);
    }

    #[test]
    fn time_in_which_nothing_is_read_does_not_count_for_a_message() {
        let (mut peer, ..) = echo(|builder| builder);
        peer.send(&frame(TEXT, b"a"));
        peer.call.now = millis(20);
        peer.call.room = 0;
        peer.settle();
        peer.call.now = millis(500);
        peer.settle();
        assert_eq!((peer.ended, peer.then), (Ended::Not, Then::Wait(u64::MAX)));
        (peer.call.room, peer.call.has_taken) = (16_000, true);
        peer.settle();
        assert_eq!((peer.ended, peer.then), (Ended::Not, Then::Wait(millis(510))));
        peer.call.now = millis(510);
        peer.settle();
        assert_eq!(peer.ended, Ended::Cut(TOO_LATE));
    }

    #[test]
    fn a_message_that_waits_for_a_worker_too_long_ends_with_1013() {
        let overloaded = |early: bool| {
            let (mut peer, _, told) = echo(|builder| builder);
            peer.call.may_block = false;
            peer.call.is_overloaded = early;
            peer.send(&text("a"));
            peer.call.is_overloaded = true;
            peer.settle();
            assert_eq!((closed_with(&mut peer), peer.ended, told.code()), (1013, Ended::Whole, Some(1013)));
        };
        overloaded(false);
        overloaded(true);
        let mut peer = Peer::of(Socket::on_message(|_, _| {}).on_open(|_| unreachable!()));
        (peer.call.may_block, peer.call.is_overloaded) = (false, true);
        peer.settle();
        assert_eq!((closed_with(&mut peer), peer.ended), (1013, Ended::Whole));
        // What needs no worker goes on.
        let (mut peer, ..) = echo(|builder| builder);
        (peer.call.may_block, peer.call.is_overloaded) = (false, true);
        peer.send(&frame(FIN | PING, b"p"));
        assert_eq!((peer.take_frames().len(), peer.ended), (1, Ended::Not));
    }

    #[test]
    fn nothing_is_read_from_a_client_that_does_not_take_what_was_sent() {
        let (mut peer, socket, _) = echo(|builder| builder.backlog(3));
        peer.call.room = 0;
        peer.send(&text("a"));
        assert!(matches!(peer.then, Then::Wait(_)));
        assert!(peer.unread() > 0 && peer.take_frames().is_empty());
        socket.send("1");
        socket.send("2");
        peer.settle();
        assert_eq!((peer.ended, socket.waiting_bytes()), (Ended::Not, 2 * (3 + 64)));
        peer.call.room = 1;
        peer.settle();
        let frames = peer.take_frames();
        assert_eq!(frames.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>(), [b"1", b"2", b"a"]);
        assert_eq!((peer.unread(), socket.waiting_bytes()), (0, 0));
    }

    #[test]
    fn a_client_that_is_too_slow_is_cut_by_send_and_not_by_try_send() {
        let (mut peer, socket, told) = echo(|builder| builder.backlog(3));
        peer.call.room = 0;
        (0..3).for_each(|_| socket.send("x"));
        assert_eq!(socket.try_send("y"), Err(SendError::Full("y".into())));
        peer.settle();
        assert_eq!(peer.ended, Ended::Not);
        socket.send("z");
        peer.settle();
        assert_eq!((peer.ended, told.code()), (Ended::Cut(TOO_SLOW), Some(1006)));
        socket.send("after the end");
        assert_eq!((socket.waiting_bytes(), socket.is_open()), (0, false));
        // By bytes as well. One message may be larger than all.
        let (_peer, socket, _) = echo(|builder| builder.backlog_bytes(1_000));
        assert_eq!(socket.try_send("x".repeat(5_000)), Ok(()));
        assert!(matches!(socket.try_send("y"), Err(SendError::Full(_))));
    }

    #[test]
    fn what_waits_to_be_sent_is_bounded_by_the_memory_that_all_share() {
        let budget = Arc::new(Budget::new(100_000));
        let (mut peer, socket, _) = echo(|builder| builder.backlog_bytes(1_000_000));
        peer.count_in(&budget);
        let bytes = |count: usize| vec![7; count];
        assert_eq!(socket.try_send(bytes(60_000)), Ok(()));
        assert!(matches!(socket.try_send(bytes(60_000)), Err(SendError::Full(_))));
        peer.settle();
        assert_eq!(socket.try_send(bytes(60_000)), Ok(()), "the first one is sent");
        peer.leave();
        assert!(budget.share().cover(100_000));
    }

    #[test]
    fn a_control_frame_stands_between_frames_and_never_within_one() {
        let (mut peer, socket, _) = echo(|builder| builder);
        socket.send("long".repeat(1_000));
        socket.send("next");
        peer.call.room = 100;
        peer.send(&frame(FIN | PING, b"p"));
        let frames = peer.take_frames();
        assert_eq!(
            frames.iter().map(|(first, _)| *first).collect::<Vec<_>>(),
            [FIN | TEXT, FIN | TEXT, FIN | PONG]
        );
        // A ping of the server's own, while a frame is half sent.
        socket.send("long".repeat(1_000));
        peer.call.room = 100;
        peer.turn();
        peer.call.now = millis(30);
        peer.settle();
        assert_eq!(
            peer.take_frames().iter().map(|(first, _)| *first).collect::<Vec<_>>(),
            [FIN | TEXT, FIN | PING]
        );
    }

    #[test]
    fn the_programs_close_comes_after_its_messages_and_waits_for_the_answer() {
        let close = |peer: &mut Peer| peer.send(&frame(FIN | CLOSE, &closing(4001, "yes")));
        let (mut peer, socket, told) = echo(|builder| builder);
        socket.send("last");
        socket.close(4001, "enough");
        socket.close(1000, "too late");
        assert!(!socket.is_open());
        socket.send("too late");
        // What comes meanwhile is dropped.
        peer.send(&[text("a"), frame(FIN | PING, b"p")].concat());
        let frames = peer.take_frames();
        assert_eq!(frames, [(FIN | TEXT, b"last".to_vec()), (FIN | CLOSE, closing(4001, "enough"))]);
        assert_eq!((peer.ended, peer.then), (Ended::Not, Then::Wait(CLOSE_WAIT)));
        close(&mut peer);
        assert_eq!((peer.ended, told.code(), peer.take_frames()), (Ended::Whole, Some(4001), vec![]));
        // A client that does not answer is not waited for, however much it sends.
        let (mut peer, socket, told) = echo(|builder| builder);
        socket.close(1000, "");
        peer.settle();
        assert_eq!(closed_with(&mut peer), 1000);
        peer.call.now = CLOSE_WAIT - 1;
        peer.send(&text("a"));
        assert_eq!(peer.ended, Ended::Not);
        peer.call.now = CLOSE_WAIT;
        peer.send(&text("a"));
        assert_eq!((peer.ended, told.code()), (Ended::Whole, Some(1006)));
        // Nor is one that breaks a rule then told so.
        let (mut peer, socket, _) = echo(|builder| builder);
        socket.close(1000, "");
        peer.settle();
        peer.send(&[FIN | TEXT, 1]);
        assert_eq!((closed_with(&mut peer), peer.ended), (1000, Ended::Whole));
    }

    #[test]
    fn a_code_that_must_not_be_sent_is_not_and_a_reason_is_cut_between_characters() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            let (mut peer, socket, _) = echo(|builder| builder);
            socket.close(code, "");
            peer.settle();
            assert_eq!(closed_with(&mut peer), 1011, "{code}");
        }
        let (mut peer, socket, _) = echo(|builder| builder);
        socket.close(3000, "ü".repeat(100));
        peer.settle();
        assert_eq!(peer.take_frames(), [(FIN | CLOSE, closing(3000, &"ü".repeat(61)))]);
    }

    #[test]
    fn a_stop_closes_with_1001_and_waits_no_longer_than_a_second() {
        let (mut peer, _, told) = echo(|builder| builder);
        peer.call.is_stopping = true;
        peer.settle();
        assert_eq!((closed_with(&mut peer), peer.then), (1001, Then::Wait(STOP_WAIT)));
        peer.send(&frame(FIN | CLOSE, &closing(1001, "")));
        assert_eq!((peer.ended, told.code()), (Ended::Whole, Some(1001)));
        let (mut peer, ..) = echo(|builder| builder);
        peer.call.is_stopping = true;
        peer.call.room = 0;
        peer.settle();
        peer.call.now = STOP_WAIT;
        peer.settle();
        assert_eq!(peer.ended, Ended::Whole, "also when the client takes nothing");
    }

    #[test]
    fn a_client_that_goes_without_a_word_is_told_as_1006() {
        for said in [&b""[..], &text("a")[..4], &frame(TEXT, b"a")] {
            let (mut peer, _, told) = echo(|builder| builder);
            peer.send(said);
            peer.call.is_last = true;
            peer.settle();
            assert_eq!((peer.ended, told.code()), (Ended::Whole, Some(1006)));
        }
        // What it has said before is handled.
        let (mut peer, ..) = echo(|builder| builder);
        peer.call.is_last = true;
        peer.send(&[text("a"), text("b")].concat());
        assert_eq!((peer.take_frames().len(), peer.ended), (2, Ended::Whole));
    }

    #[test]
    fn a_close_without_a_code_is_answered_without_one() {
        let (mut peer, _, told) = echo(|builder| builder);
        peer.send(&frame(FIN | CLOSE, b""));
        assert_eq!((peer.take_frames(), told.code()), (vec![(FIN | CLOSE, vec![])], Some(1005)));
    }
}

//! A connection that has switched to another protocol (`http/upgrade`). It is parked without a thread until bytes come, the
//! protocol wakes it, or its time is up. While the client does not take what was sent, nothing more is read from it. `exchange`
//! decides with this file whether to switch, and `state` gives it turns.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use ::http::header::UPGRADE;
use ::http::StatusCode;

use super::asked::Asked;
use super::client_pace::Pace;
use super::link::Link;
use super::log_lines::Record;
use super::on_response;
use super::step::Turn;
use super::transport::{Flushed, Stream, Transport};
use crate::handler_call;
use crate::http::into_response::IntoResponse;
use crate::http::response::{Payload, Response};
use crate::http::response_head::write_interim;
use crate::http::seen::Fields;
use crate::http::upgrade::{can_switch, offers, Call, Did, Then, Times, Upgrade};
use crate::http::Refusal;
use crate::limits::body_memory::Budget;
use crate::server::buffers::{Buffers, PIECE_BYTES};
use crate::server::clock::{whole_millis, Millis};
#[cfg(feature = "operations")]
use crate::server::counts::State;
use crate::server::deadline::Deadline;
use crate::server::turn::{Handlers, Idle};
use crate::wake_list::Waker;

/// A protocol is not called sooner than this because of its time, so that a deadline does not pass in the turn that sets it.
const LEAST_WAIT: Millis = 1_000;

const CANNOT_SWITCH: Refusal = Refusal::bad_request(
    "another protocol is spoken here, which a request of HTTP/1.0 or with a body cannot ask for",
);
const NOT_OFFERED: Refusal = Refusal::new(
    StatusCode::UPGRADE_REQUIRED,
    "another protocol is spoken here; the request has to ask for it with the fields Upgrade and Connection",
);

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    /// It goes on when other connections have had their turn.
    Again,
    /// It waits for a worker that calls handlers.
    OtherWorker,
    /// It sends what is written, and ends.
    End,
    Close,
}

pub(crate) struct Upgraded {
    session: Box<dyn Upgrade>,
    record: Option<Box<Record>>,
    /// How many bytes were given to the transport.
    given: u64,
    /// The client sends nothing more.
    is_last: bool,
    /// The client's pace in taking what waits to be sent, since there was nothing.
    pace: Pace,
    /// The client has taken bytes that it had not taken for a while. The protocol does not know yet.
    has_taken: bool,
}

/// What is sent instead if the request has not asked for it (RFC 9110 §7.8).
pub(crate) fn refusal(response: &Response, asked: &Asked<'_>, is_unread: bool) -> Option<Response> {
    let protocol = response.fields.as_deref().and_then(|fields| fields.get(UPGRADE));
    let is_offered = protocol.is_some_and(|protocol| offers(asked.head, asked.fields, protocol.as_bytes()));
    match (can_switch(&asked.line) && !is_unread, is_offered, protocol) {
        (false, ..) => Some(CANNOT_SWITCH.into_response()),
        (true, true, _) => None,
        (true, false, Some(protocol)) => {
            Some(NOT_OFFERED.into_response().with_field(UPGRADE, protocol.clone()))
        }
        (true, false, None) => Some(NOT_OFFERED.into_response()),
    }
}

/// Passes a 101 to the program's functions, and writes it. Then its protocol begins.
#[cold]
pub(crate) fn switch<S: Stream>(
    link: &mut Link<S>,
    mut response: Response,
    asked: &Asked<'_>,
    mut record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> Box<Upgraded> {
    if let Some(functions) = &buffers.context.on_response {
        let known = (asked.told(), Fields::Read(asked.head, asked.fields));
        on_response::pass_answer(&**functions, &link.caller(), known, &mut response, buffers);
    }
    write_interim(&mut buffers.output, &response, buffers.context.field_names);
    if let Some(record) = &mut record {
        record.status = response.status;
    }
    buffers.count_response(response.status);
    let mut session = match response.body {
        Payload::Upgrade(session) => session,
        _ => Box::new(Over),
    };
    let waker = Waker { list: buffers.scheduler.wake_list(), key: link.key };
    let limits = buffers.limits();
    let (idle, body, body_min_rate) = (limits.idle_timeout, limits.body_timeout, limits.body_min_rate);
    session.begin(waker, &buffers.context.body_memory, Times { idle, body, body_min_rate });
    // When the system holds all that was sent, only the system knows whether the client takes it.
    link.transport.limit_silence(buffers.limits().write_timeout.saturating_mul(2));
    link.transport.keep_alive();
    let pace = Pace::begin(&link.transport, buffers.millis());
    Box::new(Upgraded { session, record, given: 0, is_last: false, pace, has_taken: false })
}

/// Writes the access log's line also for a connection that is cut.
impl Drop for Upgraded {
    fn drop(&mut self) {
        self.write_record(" cut");
    }
}

impl Upgraded {
    /// What its connection waits for.
    #[cfg(feature = "operations")]
    pub(crate) fn waits_for(&self) -> State {
        if self.session.is_websocket() {
            State::WebSocket
        } else {
            State::Tunnel
        }
    }

    /// The connection's rank when the server needs room for another.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        self.pace.idle(now, min_rate)
    }

    /// Does what can be done without waiting. Other connections get their turn after some messages.
    pub(crate) fn go_on<S: Stream>(
        &mut self,
        link: &mut Link<S>,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Next> {
        let Turn { handlers, input, buffers, .. } = turn;
        let mut is_due = false;
        loop {
            if buffers.context.is_stopped() || !link.is_still_let_in(buffers) {
                return Ok(Next::Close);
            }
            let flushed = self.flush(&mut link.transport, buffers)?;
            let call = Call {
                now: buffers.millis(),
                room: if flushed == Flushed::Blocked { 0 } else { PIECE_BYTES },
                is_last: self.is_last,
                is_stopping: buffers.context.is_draining(),
                may_block: *handlers == Handlers::Call,
                is_overloaded: *handlers == Handlers::Refuse,
                is_due: std::mem::take(&mut is_due),
                has_taken: std::mem::take(&mut self.has_taken),
            };
            let Did { taken, then } = self.call(input.unread(), call, buffers)?;
            input.consume(taken);
            if let Then::Note(what) = then {
                buffers.log_refusal(what, format_args!("{}: {what}", link.peer));
            }
            match then {
                Then::More | Then::Note(_) => {
                    let has_permit = buffers.context.workers.has_permit(buffers.me);
                    if buffers.requests_left == 0 || !has_permit || link.transport.wants_another_turn() {
                        return Ok(Next::Again);
                    }
                    buffers.requests_left -= 1;
                }
                Then::Worker => return Ok(Next::OtherWorker),
                Then::End => {
                    self.write_record("");
                    return Ok(Next::End);
                }
                Then::Cut(why) => {
                    buffers.log_refusal(why, format_args!("{}: cut, because {why}", link.peer));
                    return Ok(Next::Close);
                }
                Then::Wait(until) => {
                    let flushed = self.flush(&mut link.transport, buffers)?;
                    let (now, limits) = (buffers.millis(), buffers.limits());
                    let asked = Deadline::own(until.max(now.saturating_add(LEAST_WAIT)));
                    link.deadline = match flushed {
                        // It was told that there is no room. No sign comes for what was taken meanwhile.
                        Flushed::All if call.room == 0 => continue,
                        Flushed::All => {
                            self.pace = Pace::begin(&link.transport, now);
                            asked
                        }
                        Flushed::Blocked => {
                            let timeout = whole_millis(limits.write_timeout);
                            self.pace.deadline(now, timeout, limits.write_min_rate).no_later_than(asked.at)
                        }
                    };
                    // What the protocol has not taken waits for its sign, and what has not come cannot be read.
                    let may_read = flushed == Flushed::All && input.is_empty() && !self.is_last;
                    let read = match may_read {
                        true => link.transport.read(input.room()),
                        false => Err(ErrorKind::WouldBlock.into()),
                    };
                    match read {
                        Ok(0) => self.is_last = true,
                        Ok(read) => input.filled(read),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            is_due = until <= now && !call.is_due && !link.transport.wants_another_turn();
                            if !is_due {
                                return Ok(Next::Wait);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Calls the protocol, which may call code of the program.
    fn call(&mut self, input: &[u8], call: Call, buffers: &mut Buffers<'_>) -> io::Result<Did> {
        let before = buffers.output.len();
        let began = buffers.look();
        buffers.enter_handler(None);
        let did = handler_call::run("a panic in a protocol", || {
            self.session.go_on(input, &mut buffers.output, call)
        });
        let took = buffers.look().saturating_sub(began);
        buffers.leave_handler(None, took);
        self.given += (buffers.output.len() - before) as u64;
        if handler_call::went_wrong() {
            buffers.log_faults(format_args!("{}", self.session.told()));
        }
        did.ok_or_else(|| ErrorKind::Other.into())
    }

    /// Sends what there is, and notes whether the client takes it.
    fn flush<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Flushed> {
        if !buffers.output.is_empty() {
            transport.queue(&buffers.output)?;
            buffers.output.clear();
        }
        let flushed = transport.flush()?;
        let now = buffers.millis();
        self.has_taken |= self.pace.sent(transport.sent(), now);
        match flushed {
            Flushed::All => self.pace.flows(now),
            Flushed::Blocked => self.pace.is_blocked(now),
        }
        Ok(flushed)
    }

    fn write_record(&mut self, cut: &'static str) {
        if let Some(record) = self.record.take() {
            record.write(self.given, cut);
        }
    }
}

/// In the place of a protocol that is not there.
struct Over;

impl Upgrade for Over {
    fn begin(&mut self, _: Waker, _: &Arc<Budget>, _: Times) {}

    fn go_on(&mut self, _: &[u8], _: &mut Vec<u8>, _: Call) -> Did {
        Did { taken: 0, then: Then::End }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::testing::{End, Talk, Wire, World};
    use super::*;
    use crate::http::request::Request;
    use crate::limits::limit::Limit;
    use crate::{HeaderValue, Router};

    /// What a protocol does at its calls, and what it was called with.
    #[derive(Default)]
    struct Script {
        does: VecDeque<(&'static str, Then)>,
        got: String,
        calls: Vec<Call>,
        waker: Option<Waker>,
        takes_nothing: bool,
        is_dropped: bool,
    }

    #[derive(Clone, Default)]
    struct Protocol(Arc<Mutex<Script>>);

    impl Protocol {
        fn does(&self, text: &'static str, then: Then) -> &Protocol {
            self.0.lock().unwrap().does.push_back((text, then));
            self
        }

        fn got(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap().got)
        }

        fn calls(&self) -> Vec<Call> {
            std::mem::take(&mut self.0.lock().unwrap().calls)
        }

        fn is_dropped(&self) -> bool {
            self.0.lock().unwrap().is_dropped
        }
    }

    thread_local! {
        /// The client takes everything again as soon as the protocol has been told that it takes nothing.
        static WIRE: RefCell<Option<Wire>> = const { RefCell::new(None) };
    }

    struct Scripted(Protocol);

    impl Upgrade for Scripted {
        fn begin(&mut self, waker: Waker, _: &Arc<Budget>, _: Times) {
            self.0 .0.lock().unwrap().waker = Some(waker);
        }

        fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
            let mut script = self.0 .0.lock().unwrap();
            script.calls.push(call);
            let taken = if script.takes_nothing { 0 } else { input.len() };
            script.got.push_str(&String::from_utf8_lossy(&input[..taken]));
            if call.room == 0 {
                if let Some(wire) = WIRE.take() {
                    wire.takes(None);
                }
                return Did { taken, then: Then::Wait(u64::MAX) };
            }
            let (text, then) = script.does.pop_front().unwrap_or(("", Then::Wait(u64::MAX)));
            out.extend_from_slice(text.as_bytes());
            Did { taken, then }
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            self.0 .0.lock().unwrap().is_dropped = true;
        }
    }

    fn world(protocol: &Protocol) -> World {
        let protocol = protocol.clone();
        let switch = move |_: &mut Request<'_>| {
            let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
                .with_field(UPGRADE, HeaderValue::from_static("other"));
            response.body = Payload::Upgrade(Box::new(Scripted(protocol.clone())));
            response
        };
        World::new(
            Router::new()
                .get("/quick", |_: &mut Request<'_>| "quick")
                .get("/other", switch.clone())
                .post("/other", switch),
        )
    }

    const ASK: &str = "GET /other HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n";

    fn open(protocol: &Protocol) -> (World, Talk) {
        let world = world(protocol);
        let mut talk = world.open();
        let (end, heard) = talk.ask(ASK);
        assert!(matches!(end, End::Parked(None, Idle::Moving { bytes: 0, .. })), "{end:?}");
        assert_eq!(
            heard,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"
        );
        protocol.calls();
        (world, talk)
    }

    #[test]
    fn what_comes_behind_the_head_is_the_protocols_and_what_was_asked_before_it_is_answered_first() {
        let protocol = Protocol::default();
        let mut talk = world(&protocol).open();
        let (_, heard) =
            talk.ask(format!("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n{ASK}GET /quick HTTP/1.1\r\n"));
        let (first, second) = heard.split_once("quick").unwrap();
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && second.starts_with("HTTP/1.1 101 "), "{heard}");
        assert_eq!(protocol.got(), "GET /quick HTTP/1.1\r\n");
        protocol.does("answer", Then::Wait(u64::MAX));
        assert_eq!(talk.ask("more").1, "answer");
        assert_eq!(protocol.got(), "more");
    }

    #[test]
    fn nothing_is_switched_that_was_not_asked_for() {
        let protocol = Protocol::default();
        let ask = |text: &str| world(&protocol).open().ask(text).1;
        for (text, answer) in [
            ("GET /other HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 "),
            ("GET /other HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\n\r\n", "HTTP/1.1 426 "),
            ("GET /other HTTP/1.1\r\nHost: a\r\nUpgrade: another\r\nConnection: upgrade\r\n\r\n", "HTTP/1.1 426 "),
            ("GET /other HTTP/1.0\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n", "HTTP/1.1 400 "),
            (
                "POST /other HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx",
                "HTTP/1.1 400 ",
            ),
            (
                "POST /other HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "HTTP/1.1 400 ",
            ),
        ] {
            let heard = ask(text);
            assert!(heard.starts_with(answer), "{text}: {heard}");
            assert_eq!(heard.contains("\r\nupgrade: other\r\n"), answer.contains("426"), "{heard}");
        }
        assert!(protocol.calls().is_empty());
        // Others are ignored (RFC 9110 §7.8).
        assert!(ask("GET /quick HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n")
            .starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn nothing_is_read_from_a_client_that_takes_nothing_and_it_is_cut_by_the_limit() {
        let protocol = Protocol::default();
        let (world, mut talk) = open(&protocol);
        talk.takes(10);
        protocol.does("", Then::Wait(u64::MAX)).does("0123456789012345678901234567890", Then::Wait(u64::MAX));
        let (end, _) = talk.ask("one");
        assert!(matches!(end, End::Parked(Some(Limit::WriteTimeout), _)), "{end:?}");
        let (end, _) = talk.ask("two");
        assert!(matches!(end, End::Parked(Some(Limit::WriteTimeout), _)), "{end:?}");
        assert_eq!(protocol.got(), "one");
        assert_eq!(protocol.calls().last().map(|call| call.room), Some(0));
        talk.takes(None);
        let end = talk.settle();
        assert!(matches!(end, End::Parked(None, _)), "{end:?}");
        assert_eq!((protocol.got().as_str(), talk.hear().len()), ("two", 31));
        talk.takes(10);
        protocol.does("0123456789012345678901234567890", Then::Wait(u64::MAX));
        talk.ask("three");
        assert_eq!(talk.expire_after(world.shared.limits.write_timeout), End::Closed);
        assert!(protocol.is_dropped());
    }

    #[test]
    fn a_protocol_is_told_when_there_is_room_although_no_sign_of_it_comes() {
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        talk.takes(10);
        protocol.does("0123456789012345678901234567890", Then::Wait(u64::MAX));
        talk.settle();
        assert_eq!((protocol.calls().len(), talk.hear().as_str()), (1, ""));
        protocol.does("more", Then::Wait(u64::MAX));
        WIRE.set(Some(talk.wire()));
        assert!(matches!(talk.settle(), End::Parked(None, _)));
        let calls = protocol.calls();
        let rooms: Vec<_> = calls.iter().map(|call| (call.room > 0, call.has_taken)).collect();
        assert_eq!(rooms, [(false, false), (true, true)]);
        assert_eq!(talk.hear(), "0123456789012345678901234567890more");
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_cut_as_too_slow() {
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        talk.takes(1);
        protocol.does("0123456789012345678901234567890", Then::Wait(u64::MAX));
        talk.settle();
        let mut ends = Vec::new();
        while ends.len() < 10 && talk.connection.is_some() {
            talk.takes(1);
            ends.push(talk.expire_after(Duration::from_secs(10)));
        }
        assert!(matches!(ends[0], End::Parked(Some(Limit::WriteMinRate), _)), "{ends:?}");
        assert_eq!((ends.last(), ends.len()), (Some(&End::Closed), 4), "{ends:?}");
    }

    #[test]
    fn what_has_come_is_read_before_the_protocol_hears_that_its_time_is_up() {
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        let due = talk.buffers.millis() + 30_000;
        protocol.does("", Then::Wait(due));
        talk.settle();
        protocol.calls();
        protocol.does("", Then::Wait(due));
        talk.say("in time");
        talk.expire_after(Duration::from_secs(31));
        assert_eq!(
            (protocol.calls().iter().filter(|call| call.is_due).count(), protocol.got().as_str()),
            (0, "in time")
        );
        protocol.does("", Then::Wait(due)).does("", Then::Wait(due));
        assert!(matches!(talk.settle(), End::Parked(..)));
        assert_eq!(protocol.calls().iter().map(|call| call.is_due).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn what_the_protocol_does_not_take_is_kept_for_it_and_nothing_more_is_read() {
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        protocol.0.lock().unwrap().takes_nothing = true;
        talk.ask("one ");
        talk.ask("two");
        assert_eq!(protocol.got(), "");
        protocol.0.lock().unwrap().takes_nothing = false;
        talk.settle();
        assert_eq!(protocol.got(), "one two");
    }

    #[test]
    fn code_that_may_block_is_left_to_a_worker_and_others_get_their_turn_between_much_work() {
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        talk.handlers = Handlers::Defer;
        protocol.does("", Then::Worker);
        talk.say("x");
        assert_eq!(talk.turn(), End::Queued);
        assert!(protocol.calls().iter().all(|call| !call.may_block));
        talk.handlers = Handlers::Refuse;
        talk.settle();
        assert!(protocol.calls().iter().all(|call| call.is_overloaded && !call.may_block));
        talk.handlers = Handlers::Call;
        (0..200).for_each(|_| {
            protocol.does("", Then::More);
        });
        assert_eq!(talk.turn(), End::Again);
        assert!(protocol.calls().iter().all(|call| call.may_block));
        assert!(matches!(talk.settle(), End::Parked(..)));
    }

    #[test]
    fn it_is_called_at_its_time_at_the_clients_end_and_when_the_server_stops() {
        let protocol = Protocol::default();
        let (world, mut talk) = open(&protocol);
        let now = talk.buffers.millis();
        protocol.does("", Then::Wait(now + 30_000));
        talk.ask("x");
        protocol.calls();
        protocol.does("ping", Then::Wait(u64::MAX));
        let end = talk.expire_after(Duration::from_secs(31));
        assert!(matches!(end, End::Parked(None, _)), "{end:?}");
        assert_eq!((talk.hear().as_str(), protocol.calls()[0].now >= now + 30_000), ("ping", true));
        talk.close();
        talk.settle();
        let calls = protocol.calls();
        assert_eq!(calls.iter().map(|call| call.is_last).collect::<Vec<_>>(), [false, true]);
        world.drain();
        protocol.does("bye", Then::End);
        talk.settle();
        assert!(protocol.calls()[0].is_stopping && talk.has_ended() && protocol.is_dropped());
        assert_eq!(talk.hear(), "bye");
    }

    #[test]
    fn a_cut_a_fault_and_the_end_of_the_server_end_it() {
        for then in [Then::Cut("the test wants it"), Then::End] {
            let protocol = Protocol::default();
            let (_world, mut talk) = open(&protocol);
            protocol.does("", then);
            let (end, _) = talk.ask("x");
            assert_eq!((end == End::Closed, talk.has_ended()), (then != Then::End, then == Then::End));
            assert!(protocol.is_dropped());
        }
        let protocol = Protocol::default();
        let (world, mut talk) = open(&protocol);
        world.stop();
        assert_eq!((talk.settle(), protocol.is_dropped()), (End::Closed, true));
        let protocol = Protocol::default();
        let (_world, mut talk) = open(&protocol);
        talk.break_off();
        assert_eq!((talk.settle(), protocol.is_dropped()), (End::Closed, true));
    }
}

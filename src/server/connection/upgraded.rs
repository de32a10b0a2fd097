//! A connection that has switched to another protocol (`http/upgrade`). It is parked without a thread until bytes come, the
//! protocol wakes it, or its time is up. While the client does not take what was sent, nothing more is read from it. `exchange`
//! decides with this file whether to switch, and `state` gives it turns.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ::http::header::UPGRADE;
use ::http::StatusCode;

use super::asked::Asked;
use super::link::Link;
use super::log_lines::Record;
use super::on_response;
use super::step::Turn;
use super::transport::{Flushed, Stream, Transport};
use crate::handler_call::{self, Fault};
use crate::http::into_response::IntoResponse;
use crate::http::response::{Payload, Response};
use crate::http::response_head::write_switch;
use crate::http::seen::Fields;
use crate::http::upgrade::{can_switch, offers, Call, Did, Then, Upgrade};
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::server::buffers::{Buffers, PIECE_BYTES};
use crate::server::clock::{whole_millis, Millis};
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
    /// Since when the client takes nothing, and how much was sent by then; and when it took something last.
    blocked: Option<(Millis, u64)>,
    mark: u64,
    progress: Millis,
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
    link: &Link<S>,
    mut response: Response,
    asked: &Asked<'_>,
    mut record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> Box<Upgraded> {
    if let Some(functions) = &buffers.context.on_response {
        let known = (asked.told(), Fields::Read(asked.head, asked.fields));
        on_response::pass_answer(&**functions, &link.caller(), known, &mut response, buffers);
    }
    write_switch(&mut buffers.output, &response, buffers.context.field_names);
    if let Some(record) = &mut record {
        record.status = response.status;
    }
    let mut session = match response.body {
        Payload::Upgrade(session) => session,
        _ => Box::new(Over),
    };
    let waker = Waker { list: buffers.scheduler.wake_list(), key: link.key };
    session.begin(waker, &buffers.context.body_memory);
    // Later than the limit for a client that does not read, which the log names.
    link.transport.limit_silence(buffers.context.limits.write_timeout.saturating_mul(2));
    let (mark, progress) = (link.transport.sent(), buffers.millis());
    Box::new(Upgraded { session, record, given: 0, is_last: false, blocked: None, mark, progress })
}

/// Writes the access log's line also for a connection that is cut.
impl Drop for Upgraded {
    fn drop(&mut self) {
        self.write_record(" cut");
    }
}

impl Upgraded {
    /// The connection's rank when the server needs room for another.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        let (since, sent) = self.blocked.unwrap_or((now, self.mark));
        Idle::Moving { since, bytes: self.mark - sent, min_rate }
    }

    /// Does what can be done without waiting. Other connections get their turn after some messages.
    pub(crate) fn go_on<S: Stream>(
        &mut self,
        link: &mut Link<S>,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Next> {
        let Turn { handlers, input, buffers, .. } = turn;
        loop {
            if buffers.context.is_stopped() {
                return Ok(Next::Close);
            }
            let flushed = self.flush(&mut link.transport, buffers)?;
            let call = Call {
                now: buffers.millis(),
                room: if flushed == Flushed::Blocked { 0 } else { PIECE_BYTES },
                is_last: self.is_last,
                is_stopping: buffers.context.is_draining(),
                may_block: *handlers == Handlers::Call,
            };
            let Did { taken, then } = self.call(input.unread(), call, buffers)?;
            input.consume(taken);
            match then {
                Then::More => {
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
                    let (peer, now) = (link.peer, buffers.now());
                    buffers.context.log_refusal(why, now, format_args!("{peer}: cut, because {why}"));
                    return Ok(Next::Close);
                }
                Then::Wait(until) => {
                    let flushed = self.flush(&mut link.transport, buffers)?;
                    let asked = Deadline::own(until.max(buffers.after(Duration::ZERO) + LEAST_WAIT));
                    link.deadline = match flushed {
                        Flushed::Blocked => self.taken_by(buffers).no_later_than(asked.at),
                        Flushed::All => asked,
                    };
                    // What the protocol has not taken waits for its sign, and what has not come cannot be read.
                    if flushed == Flushed::Blocked || !input.is_empty() || self.is_last {
                        return Ok(Next::Wait);
                    }
                    match link.transport.read(input.room()) {
                        Ok(0) => self.is_last = true,
                        Ok(read) => input.filled(read),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
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
            for Fault { what, text } in handler_call::faults() {
                buffers.context.log_fault(what, buffers.now(), format_args!("an upgraded connection {text}"));
            }
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
        if transport.sent() != self.mark {
            self.mark = transport.sent();
            self.progress = now;
        }
        match flushed {
            Flushed::All => self.blocked = None,
            Flushed::Blocked if self.blocked.is_none() => {
                self.blocked = Some((now, self.mark));
                self.progress = now;
            }
            Flushed::Blocked => {}
        }
        Ok(flushed)
    }

    /// When the client will have taken nothing for too long.
    fn taken_by(&self, buffers: &Buffers<'_>) -> Deadline {
        let timeout = whole_millis(buffers.context.limits.write_timeout);
        Deadline::of(Limit::WriteTimeout, self.progress.saturating_add(timeout))
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
    fn begin(&mut self, _: Waker, _: &std::sync::Arc<crate::limits::body_memory::Budget>) {}

    fn go_on(&mut self, _: &[u8], _: &mut Vec<u8>, _: Call) -> Did {
        Did { taken: 0, then: Then::End }
    }
}

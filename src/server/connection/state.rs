//! A connection's life: handshake, requests, bodies, responses, close. When it would have to wait for its socket, its turn ends
//! and it is parked. A worker gives it a turn when there is something to do again. `exchange` serves the requests, `collecting`
//! reads bodies, and `response` sends what does not fit at once; this file moves the connection from stage to stage.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use super::asked::Told;
use super::body::refusal_of;
use super::collecting::{read_past, Collected, ReadPast};
use super::exchange;
use super::handshake::{self, Handshake};
use super::head::Head;
#[cfg(feature = "operations")]
use super::in_front;
use super::later;
use super::lingering::{Lingered, Lingering};
use super::link::Link;
use super::log_lines;
use super::next::Next;
use super::request;
use super::response::{After, Sending, Sent};
use super::stage::{InAStop, Stage};
use super::step::{Flow, Step, Turn};
use super::transport::{client_refused, Stream};
use crate::handler_call;
use crate::http::clear_credentials::CredentialScan;
use crate::limits::limit::Limit;
use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::context::Context;
use crate::server::input::Input;
use crate::server::places::Parked;
use crate::server::turn::{self, Handlers, Parking, Ready, Reason, Signals, TakeTurn};

/// How long a stop waits for a handshake or a head that has begun.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How many pipelined requests are answered before other connections get their turn.
const REQUESTS_PER_TURN: u32 = 64;

pub(crate) struct Connection<S: Stream = TcpStream> {
    link: Link<S>,
    pub(in crate::server) stage: Stage,
    accepted: Millis,
    /// Bytes that were read but could not be used yet.
    saved: Vec<u8>,
    listens_for_writable: bool,
}

/// Where a connection goes after its turn.
pub(crate) type Outcome<S = TcpStream> = turn::Outcome<Box<Connection<S>>>;

impl<S: Stream> Connection<S> {
    /// One that begins now, under these rules for clients.
    pub(crate) fn new(link: Link<S>, rules: u64, accepted: Millis) -> Connection<S> {
        let (stage, saved) = (Stage::Handshake { rules }, Vec::new());
        Connection { link, stage, accepted, saved, listens_for_writable: false }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.link.peer
    }

    /// Closes a connection to make room for another. Sends close_notify if the socket takes it. A response that is not complete
    /// is cut without it, so that the client does not take the part for the whole.
    pub(crate) fn close_for_another(mut self: Box<Self>, context: &Context) {
        if !self.stage.has_begun_sending() {
            self.link.say_goodbye();
        }
        self.end(context);
    }

    /// Drops a connection outside of its turn. This also drops a handler's reader, which may panic.
    pub(crate) fn end(self: Box<Self>, context: &Context) {
        let peer = self.link.peer;
        // The faults tell what went wrong.
        let _: Option<()> = handler_call::run("a panic in a connection", || drop(self));
        if handler_call::went_wrong() {
            log_lines::faults(peer, "ending", Instant::now(), context);
        }
    }

    /// Does everything that can be done without waiting.
    pub(super) fn advance(mut self: Box<Self>, reason: Reason, mut turn: Turn<'_, '_>) -> Outcome<S> {
        let since = turn.since;
        self.begin_turn(reason, &mut turn);
        // Bytes may have come before the deadline passed. They are handled first.
        let mut flow = self.go_on(Ok(Continue(())), &mut turn);
        if reason == Reason::Expired
            && flow == Flow::Wait
            && self.link.deadline.has_passed(turn.buffers.millis())
        {
            let begun = self.expire(turn.input, turn.buffers);
            flow = self.go_on(begun, &mut turn);
        }
        if flow != Flow::Close {
            if let Err(error) = self.end_turn(flow, &mut turn) {
                log::debug!("{}: {error}", self.link.peer);
                flow = Flow::Close;
            }
        }
        if flow != Flow::Wait {
            return self.leave(flow, since, turn.buffers);
        }
        let now = turn.buffers.millis();
        let fresh = Some(self.accepted).filter(|_| !self.link.served);
        let deadline = self.link.deadline.at;
        let idle = self.stage.idle(fresh, deadline, now, turn.buffers.limits());
        Outcome::Park(self, Parking { now, deadline, idle })
    }

    fn begin_turn(&mut self, reason: Reason, turn: &mut Turn<'_, '_>) {
        let buffers = &mut *turn.buffers;
        let expired = reason == Reason::Expired;
        // Connections that became ready in the same watch have their turns soon after each other, so they share one reading of
        // the clock. During a stop each turn reads the clock, because it must be known whether the stop began before it.
        if expired || buffers.millis() < turn.since || buffers.context.is_draining() {
            buffers.look();
        }
        buffers.output.clear();
        self.link.begin_turn(REQUESTS_PER_TURN, buffers);
        turn.input.restore(&std::mem::take(&mut self.saved));
        let signals = reason.signals();
        self.link.transport.begin_turn(signals.readable, signals.hung_up);
    }

    /// Frees the worker's buffers for the next connection: unsent and unused bytes stay with this connection. If it waits for
    /// room to write, it is woken when there is some.
    fn end_turn(&mut self, flow: Flow, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        let Turn { input, buffers, .. } = turn;
        self.link.transport.send_output(&mut buffers.output)?;
        if flow == Flow::Wait && self.link.transport.wants_write() && !self.listens_for_writable {
            buffers.scheduler.listen_for_writable(self.link.key, self.link.transport.as_raw_fd())?;
            self.listens_for_writable = true;
        }
        if !input.is_empty() && !self.stage.is_ending() {
            self.saved = input.unread().to_vec();
        }
        Ok(())
    }

    /// Ends a turn of a connection that does not wait for its socket. Its work came at `since`.
    #[inline(never)]
    fn leave(mut self: Box<Self>, flow: Flow, since: Millis, buffers: &mut Buffers<'_>) -> Outcome<S> {
        let reason = Reason::Signals(Signals::default());
        match flow {
            Flow::Again => {
                // Such turns can follow each other without a wait, which would read the clock.
                buffers.look();
                Outcome::Again(Ready { connection: self, reason, since: buffers.millis() })
            }
            Flow::Queue => {
                self.link.was_queued = true;
                // A response that has begun is never refused for having waited too long.
                let since = if self.stage.has_begun_sending() { buffers.millis() } else { since };
                Outcome::Queue(Ready { connection: self, reason, since })
            }
            Flow::AwaitReader => Outcome::AwaitReader(self),
            Flow::Wait | Flow::Close => Outcome::Closed(self.link.key),
        }
    }

    fn go_on(&mut self, begun: Step, turn: &mut Turn<'_, '_>) -> Flow {
        let mut step = begun;
        loop {
            step = match step {
                Ok(Continue(())) => self.step(turn),
                Ok(Break(flow)) => {
                    self.link.count_bytes(turn.buffers);
                    return flow;
                }
                Err(error) => self.fail(&error, turn.buffers),
            };
        }
    }

    #[inline(always)]
    fn step(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        match &mut self.stage {
            Stage::Head(head) => match exchange::go_on(&mut self.link, head, turn)? {
                Next::Wait => self.wait(turn.buffers),
                next => self.go_to(next, turn.buffers),
            },
            Stage::Handshake { rules } => {
                let rules = *rules;
                self.shake_hands(rules, turn)
            }
            Stage::Body(_) => self.collect_body(turn),
            Stage::Unwanted(_) => self.read_past_body(turn),
            Stage::Sending(of) if self.link.cuts(of.is_live(), turn.buffers) => Ok(Break(Flow::Close)),
            Stage::Pending(later) => {
                let next = later::answer(&mut self.link, later, turn)?;
                self.go_to(next, turn.buffers)
            }
            Stage::Sending(_) => self.send(turn),
            Stage::Linger(_) => self.linger(turn.buffers),
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(upgraded) => {
                let next = upgraded.go_on(&mut self.link, turn)?;
                self.go_to(next.into(), turn.buffers)
            }
        }
    }

    /// Logs an error. The connection ends.
    #[cold]
    fn fail(&mut self, error: &io::Error, buffers: &Buffers<'_>) -> Step {
        match client_refused(error) {
            Some(why) => log_lines::refused_handshake(self.link.peer, &why, buffers),
            None => {
                let failed = self.stage.failed_handshake(&self.link, error);
                log_lines::failed_read(self.link.peer, &self.link.transport, failed, error, buffers);
            }
        }
        if error.kind() != ErrorKind::InvalidData || matches!(self.stage, Stage::Linger(_)) {
            return Ok(Break(Flow::Close));
        }
        // rustls has sent an alert with the reason. Give the client time to read it.
        self.begin_linger(None, buffers);
        Ok(Continue(()))
    }

    fn shake_hands(&mut self, rules: u64, turn: &mut Turn<'_, '_>) -> Step {
        let Turn { input, buffers, .. } = turn;
        match handshake::go_on(&mut self.link, rules, input, buffers)? {
            Handshake::Done => {
                self.stage = Stage::Head(Head::default());
                self.link.deadline = buffers.deadline(Limit::HeadTimeout, buffers.limits().head_timeout);
            }
            Handshake::Waits => return self.wait(buffers),
            Handshake::IsOver => return Ok(Break(Flow::Close)),
            Handshake::InClear(found) => self.begin_linger(Some(found), buffers),
        }
        Ok(Continue(()))
    }

    /// Collects the received part of a body. Answers when the body is complete, or too large to be kept in memory.
    fn collect_body(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Stage::Body(mut collecting) = std::mem::replace(&mut self.stage, Stage::Head(Head::TAKEN)) else {
            return Ok(Continue(()));
        };
        let Turn { input, buffers, .. } = &mut *turn;
        let next = match collecting.collect(&mut self.link.transport, input, buffers)? {
            Collected::Part => {
                self.link.deadline = collecting.reader.deadline(buffers.limits());
                self.stage = Stage::Body(collecting);
                return self.wait(buffers);
            }
            Collected::Whole => exchange::answer_collected(&mut self.link, collecting, turn)?,
            Collected::Begun => exchange::answer_streaming(&mut self.link, collecting, turn)?,
            Collected::Refused(refusal) => {
                exchange::refuse(&mut self.link, refusal, collecting.held.told(), buffers)
            }
            Collected::CutOff => return self.close_within("body"),
        };
        self.go_to(next, turn.buffers)
    }

    /// Reads past the rest of the body of an answered request, to the next head.
    fn read_past_body(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Turn { input, buffers, .. } = turn;
        let Stage::Unwanted(reader) = &mut self.stage else { return Ok(Continue(())) };
        match read_past(reader, &mut self.link.transport, input, buffers)? {
            ReadPast::Whole => {
                self.begin_head(buffers);
                Ok(Continue(()))
            }
            ReadPast::Part => {
                self.link.deadline = reader.first_deadline();
                self.wait(buffers)
            }
            ReadPast::CutOff => self.close_within("body"),
            ReadPast::Malformed(fault) => {
                let peer = self.link.peer;
                log::debug!("{peer}: closed, because the rest of a body is malformed: {fault}");
                self.begin_sending(Box::new(Sending::of_output(After::Close)), buffers)
            }
            ReadPast::GivenUp => self.begin_sending(Box::new(Sending::of_output(After::Close)), buffers),
        }
    }

    #[cold]
    fn close_within(&self, what: &str) -> Step {
        log::debug!("{}: the client closed in the middle of a {what}", self.link.peer);
        Ok(Break(Flow::Close))
    }

    /// Moves the connection to what it does next.
    #[inline]
    fn go_to(&mut self, next: Next, buffers: &Buffers<'_>) -> Step {
        match next {
            Next::Wait => return self.wait(buffers),
            Next::Head => self.begin_head(buffers),
            Next::Sending(sending) => return self.begin_sending(sending, buffers),
            #[cfg(feature = "upgrade")]
            Next::Upgraded(upgraded) => self.stage = Stage::Upgraded(upgraded),
            Next::Body(collecting) => {
                self.link.deadline = collecting.reader.first_deadline();
                self.stage = Stage::Body(collecting);
            }
            Next::Pending(pending) if self.link.unread.is_some() => self.stage = Stage::Pending(pending),
            Next::Pending(pending) => {
                self.stage = Stage::Pending(pending);
                return self.wait(buffers);
            }
            Next::OtherWorker(collected) => {
                if let Some(collecting) = collected {
                    self.stage = Stage::Body(collecting);
                }
                return Ok(Break(Flow::Queue));
            }
            Next::Again => return Ok(Break(Flow::Again)),
            Next::Close => return Ok(Break(Flow::Close)),
            Next::CutOff => return self.close_within("head"),
        }
        Ok(Continue(()))
    }

    fn begin_sending(&mut self, mut sending: Box<Sending>, buffers: &Buffers<'_>) -> Step {
        sending.begin(&mut self.link.transport, buffers.millis());
        self.link.deadline = buffers.deadline(Limit::WriteTimeout, buffers.limits().write_timeout);
        self.stage = Stage::Sending(sending);
        Ok(Continue(()))
    }

    fn send(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Turn { since, input, buffers, .. } = turn;
        let Stage::Sending(sending) = &mut self.stage else { return Ok(Continue(())) };
        let sent = sending.send(self.link.key, input.unread().len(), &mut self.link.transport, buffers)?;
        // The next request has not waited for a worker while this response was sent.
        *since = buffers.millis();
        match sent {
            Sent::Whole(After::KeepAlive) => self.begin_head(buffers),
            Sent::Whole(After::Close) => self.begin_linger(None, buffers),
            Sent::Waits(deadline) => {
                self.link.deadline = deadline;
                if !later::passes_body(&mut self.link, sending, input, buffers)? {
                    return self.wait(buffers);
                }
            }
            Sent::MuchInThisTurn => return Ok(Break(Flow::Again)),
            Sent::NeedsWorker => return Ok(Break(Flow::Queue)),
            Sent::NeedsReaderPlace => return Ok(Break(Flow::AwaitReader)),
            Sent::GivenUp => return Ok(Break(Flow::Close)),
        }
        Ok(Continue(()))
    }

    /// Begins the next request on a kept connection.
    fn begin_head(&mut self, buffers: &Buffers<'_>) {
        self.stage = Stage::Head(Head::default());
        self.link.await_request(buffers);
        if let Some(reader) = self.link.unread.take() {
            self.stage = Stage::Unwanted(reader);
            self.link.deadline = buffers.deadline(Limit::BodyTimeout, buffers.limits().body_timeout);
        }
    }

    /// Ends the turn: waits for the socket, or lets others have their turn first.
    fn wait(&mut self, buffers: &Buffers<'_>) -> Step {
        if self.link.transport.wants_another_turn() {
            return Ok(Break(Flow::Again));
        }
        if buffers.context.is_draining() {
            return self.wait_in_a_stop(buffers);
        }
        Ok(Break(Flow::Wait))
    }

    #[cold]
    fn wait_in_a_stop(&mut self, buffers: &Buffers<'_>) -> Step {
        let is_fresh = cfg!(feature = "operations") && !self.link.served;
        match self.stage.in_a_stop(is_fresh) {
            InAStop::Closes => {
                self.link.say_goodbye();
                return Ok(Break(Flow::Close));
            }
            InAStop::Hurries => {
                self.link.deadline = self.link.deadline.no_later_than(buffers.after(DRAIN_GRACE));
            }
            InAStop::Finishes => {}
        }
        Ok(Break(Flow::Wait))
    }

    /// Handles a passed deadline.
    fn expire(&mut self, input: &Input, buffers: &mut Buffers<'_>) -> Step {
        // The connection ends or sends a refusal, so its old stage is over.
        match std::mem::replace(&mut self.stage, Stage::Head(Head::TAKEN)) {
            Stage::Body(collecting) => {
                let refusal = refusal_of(&collecting.reader.late());
                let next = exchange::refuse(&mut self.link, refusal, collecting.held.told(), buffers);
                return self.go_to(next, buffers);
            }
            Stage::Head(head) if head.has_begun => {
                let told = Told::Head(input.unread());
                let next = exchange::refuse(&mut self.link, request::HEAD_LATE, told, buffers);
                return self.go_to(next, buffers);
            }
            // The clock has gone on since it was polled.
            later @ Stage::Pending(_) => {
                self.stage = later;
                return Ok(Continue(()));
            }
            Stage::Head(_) | Stage::Unwanted(_) => self.link.say_goodbye(),
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(_) => {}
            #[cfg(feature = "operations")]
            Stage::Handshake { .. } if in_front::header_is_late(&self.link, buffers) => {
                return Ok(Break(Flow::Close));
            }
            Stage::Handshake { .. } | Stage::Sending(_) | Stage::Linger(_) => {}
        }
        log_lines::expired(self.link.peer, self.link.deadline.limit, buffers);
        Ok(Break(Flow::Close))
    }

    /// Ends a connection after its response, and drops what the client still sends, so that no reset destroys the response.
    fn begin_linger(&mut self, in_clear: Option<Box<CredentialScan>>, buffers: &Buffers<'_>) {
        let (lingering, deadline) = Lingering::begin(&self.link, in_clear, buffers);
        self.link.deadline = deadline;
        self.stage = Stage::Linger(lingering);
    }

    fn linger(&mut self, buffers: &mut Buffers<'_>) -> Step {
        let Stage::Linger(lingering) = &mut self.stage else { return Ok(Continue(())) };
        match lingering.drop_input(&mut self.link, buffers) {
            Lingered::Waits(deadline) => {
                // Without new bytes the deadline stays, which a stop may have brought forward.
                self.link.deadline = deadline.unwrap_or(self.link.deadline);
                self.wait(buffers)
            }
            Lingered::IsOver => Ok(Break(Flow::Close)),
        }
    }
}

impl<S: Stream> TakeTurn for Box<Connection<S>> {
    type Buffers<'s> = (Input, Buffers<'s>);

    #[inline]
    fn has_left_work((_, buffers): &(Input, Buffers<'_>)) -> bool {
        buffers.has_left_work()
    }

    fn do_left_work((_, buffers): &mut (Input, Buffers<'_>)) {
        buffers.do_left_work();
    }

    /// A panic in the turn ends this connection and nothing else.
    fn take_turn(
        ready: Ready<Self>,
        (input, buffers): &mut (Input, Buffers<'_>),
        handlers: Handlers,
    ) -> Outcome<S> {
        let Ready { connection, reason, since } = ready;
        let (key, peer) = (connection.link.key, connection.link.peer);
        let turn = Turn { since, handlers, input, buffers };
        let outcome = handler_call::run("a panic in a connection", || connection.advance(reason, turn));
        if outcome.is_none() {
            buffers.drop_values();
        }
        if handler_call::went_wrong() {
            log_lines::faults(peer, "serving", buffers.now(), buffers.context);
        }
        outcome.unwrap_or_else(|| {
            buffers.leave_handler(None, Duration::ZERO);
            Outcome::Closed(key)
        })
    }
}

impl<S: Stream> AsRawFd for Connection<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.link.transport.as_raw_fd()
    }
}

impl<S: Stream> Parked for Box<Connection<S>> {
    fn key(&self) -> usize {
        self.link.key
    }

    fn set_key(&mut self, key: usize) {
        self.link.key = key;
    }
}

#[cfg(test)]
mod tests;

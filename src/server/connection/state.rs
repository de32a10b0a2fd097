//! A connection's life: handshake, head, body, handler, response, idle, close. Whenever it would wait for its socket it
//! says so and is parked; a worker advances it when there is something for it again. What a request's handler is given
//! and how its response is queued is `exchange`'s.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use ::http::StatusCode;

use super::client_cert::Client;
use super::request::{refusal_of, Collecting, Told};
use super::response::{After, Sending, Source};
use super::transport::{client_refused, Flushed, Transport};
use crate::error::BodyFault;
use crate::escape;
use crate::handler_call::{self, Fault};
use crate::http::clear_credentials::{CredentialScan, Notice, IN_CLEAR};
use crate::http::request_head::{self, Scan};
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::per_address::Admission;
use crate::limits::Limits;
use crate::log_limiter::Sort;
use crate::server::buffers::{Desk, Handlers, Input};
use crate::server::clock::{whole_millis, Millis};
use crate::server::deadline::Deadline;
use crate::server::poller::Parked;
use crate::server::turn::{self, Idle, Parking, Ready, Reason, Signals};
use crate::server::Shared;
use crate::tls::{self, Failed, Refused};

/// How long a closed connection is kept while the client still sends, so that it can read the last response (RFC 9112
/// §9.6): from the last byte that came, and in all. What comes is dropped undecrypted. There is no bound in bytes, because
/// a client that sends a whole upload before it reads would find a reset in place of the 413.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MOST: Duration = Duration::from_secs(10);
/// How long a stop waits for a handshake or a head that has begun.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// So many pipelined requests are answered before other connections get their turn.
const REQUESTS_PER_TURN: u32 = 64;
/// Responses to pipelined requests are sent together up to this many bytes.
const OUTPUT_BYTES: usize = 16 * 1024;

const HEAD_LATE: Refusal = Refusal::over(
    Limit::HeadTimeout,
    StatusCode::REQUEST_TIMEOUT,
    "the request's head did not arrive in time",
);

pub(crate) struct Connection {
    key: usize,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) stage: Stage,
    /// Who the client is, when it has shown a certificate.
    pub(crate) client: Option<Box<Client>>,
    accepted: Millis,
    /// Bytes that were read and could not be used yet.
    saved: Vec<u8>,
    /// How far the search for the head's end has come.
    pub(crate) scanned: usize,
    /// Whether a byte of the next request has come.
    pub(crate) head_begun: bool,
    /// Whether a request was answered on this connection.
    pub(crate) served: bool,
    /// Whether the request at hand was counted against its address's rate.
    pub(crate) counted: bool,
    /// Whether more has come than the request that is being answered.
    pub(crate) has_more: bool,
    /// Whether the request at hand has waited in the queue for a worker.
    pub(crate) was_queued: bool,
    /// The body of the request that is being answered from its head alone: it is read past before the next head.
    pub(crate) unwanted: Option<Box<Collecting>>,
    pub(crate) deadline: Deadline,
    /// What is found of credentials in a request that came in clear.
    in_clear: Option<Box<CredentialScan>>,
    listens_for_writable: bool,
    _admission: Admission,
}

/// What a connection is at.
pub(crate) enum Stage {
    /// Begun under these rules for clients.
    Handshake {
        rules: u64,
    },
    Head,
    Body(Box<Collecting>),
    Sending(Box<Sending>),
    Linger {
        until: Millis,
    },
}

/// Why a turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The socket has no more, or takes no more.
    Wait,
    /// There may be more to do, and others get their turn first.
    Again,
    /// A whole request, or the rest of a response, waits for a worker.
    Queue,
    /// The rest of a response waits until its reader may be asked.
    AwaitReader,
    Close,
}

/// What a step of a turn comes to.
pub(crate) type Turn = io::Result<ControlFlow<Flow>>;

/// Where a connection goes after its turn.
pub(crate) type Outcome = turn::Outcome<Box<Connection>>;

impl Connection {
    pub(crate) fn new(
        peer: SocketAddr,
        transport: Transport,
        rules: u64,
        accepted: Millis,
        deadline: Deadline,
        admission: Admission,
    ) -> Connection {
        Connection {
            key: usize::MAX,
            peer,
            transport,
            stage: Stage::Handshake { rules },
            client: None,
            accepted,
            saved: Vec::new(),
            scanned: 0,
            head_begun: false,
            served: false,
            counted: false,
            has_more: false,
            was_queued: false,
            unwanted: None,
            deadline,
            in_clear: None,
            listens_for_writable: false,
            _admission: admission,
        }
    }

    pub(crate) fn key(&self) -> usize {
        self.key
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Ends a connection that makes room: says goodbye if the socket takes it, and is gone. A response that is not sent
    /// whole is cut without that, or the client could take the part for the whole.
    pub(crate) fn close_for_another(mut self: Box<Self>, shared: &Shared) {
        if !matches!(self.stage, Stage::Sending(_)) {
            self.say_goodbye();
        }
        self.end(shared);
    }

    /// Drops a connection outside of its turn. With it goes a handler's reader, whose own drop may panic.
    pub(crate) fn end(self: Box<Self>, shared: &Shared) {
        let peer = self.peer;
        // What went wrong is among the faults.
        let _: Option<()> = handler_call::run("a panic in a connection", || drop(self));
        if handler_call::went_wrong() {
            for Fault { what, text } in handler_call::faults() {
                shared.log_fault(what, Instant::now(), format_args!("{peer}: ending the connection {text}"));
            }
        }
    }

    /// What the connection is worth, while it is parked, when room is needed.
    fn idle(&self, now: Millis, limits: &Limits) -> Idle {
        match &self.stage {
            Stage::Handshake { .. } => Idle::Head(self.accepted),
            Stage::Head if !self.served => Idle::Head(self.accepted),
            Stage::Head if self.head_begun => {
                Idle::Head(self.deadline.at.saturating_sub(whole_millis(limits.head_timeout)))
            }
            Stage::Head | Stage::Linger { .. } => Idle::Since(now),
            Stage::Body(collecting) => collecting.idle(now, limits.body_min_rate),
            Stage::Sending(sending) => sending.idle(now, limits.write_min_rate),
        }
    }

    /// Gives the connection a turn: it does all that it can without waiting.
    pub(crate) fn advance(
        mut self: Box<Self>,
        reason: Reason,
        since: Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Outcome {
        let expired = reason == Reason::Expired;
        // Whoever was ready in the same watch comes soon after: no look for each. In a stop, which was wished for before or
        // after a turn, each has its own.
        if expired || desk.millis() < since || desk.shared.is_draining() {
            desk.look();
        }
        desk.output.clear();
        desk.requests_left = REQUESTS_PER_TURN;
        input.restore(&std::mem::take(&mut self.saved));
        let Signals { readable, hung_up, .. } = match reason {
            Reason::Signals(signals) => signals,
            Reason::Expired => Signals::default(),
        };
        // A deadline may have come up while bytes were waiting: they count before it does.
        self.transport.begin_turn(readable || expired, hung_up);
        let mut flow = self.go_on(Ok(Continue(())), since, input, desk, handlers);
        if expired && flow == Flow::Wait && self.deadline.has_passed(desk.millis()) {
            let begun = self.expire(input, desk);
            flow = self.go_on(begun, since, input, desk, handlers);
        }
        if flow != Flow::Close {
            if let Err(error) = self.end_turn(flow, desk) {
                log::debug!("{}: {error}", self.peer);
                flow = Flow::Close;
            }
        }
        if flow != Flow::Close && !input.is_empty() && !self.is_ending() {
            self.saved = input.unread().to_vec();
        }
        let now = desk.millis();
        match flow {
            Flow::Wait => {
                let parking =
                    Parking { now, deadline: self.deadline.at, idle: self.idle(now, &desk.shared.limits) };
                Outcome::Park(self, parking)
            }
            Flow::Again => {
                let reason = Reason::Signals(Signals::default());
                // It may come back again and again without a wait that would look at the clock.
                desk.look();
                Outcome::Again(Ready { connection: self, reason, since: desk.millis() })
            }
            Flow::Queue => {
                self.was_queued = true;
                let reason = Reason::Signals(Signals::default());
                // A response has been begun, so it is never refused for having waited too long.
                let since = if matches!(self.stage, Stage::Sending(_)) { now } else { since };
                Outcome::Queue(Ready { connection: self, reason, since })
            }
            Flow::AwaitReader => Outcome::AwaitReader(self),
            Flow::Close => {
                let key = self.key;
                drop(self);
                Outcome::Closed(key)
            }
        }
    }

    /// The desk is for whoever comes next: what is written and not sent yet stays with the connection, and who waits for
    /// room to write is told when there is some.
    fn end_turn(&mut self, flow: Flow, desk: &mut Desk<'_>) -> io::Result<()> {
        self.send_output(desk)?;
        if flow == Flow::Wait && self.transport.wants_write() && !self.listens_for_writable {
            desk.shared.poller.listen_for_writable(self.key, self.as_raw_fd())?;
            self.listens_for_writable = true;
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        begun: Turn,
        mut since: Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Flow {
        let mut turn = begun;
        loop {
            match turn {
                Ok(Continue(())) => {}
                Ok(Break(flow)) => return flow,
                Err(error) => {
                    match client_refused(&error) {
                        Some(why) => self.log_refused_client(&why, desk),
                        None => self.log_failure(&error, desk),
                    }
                    if error.kind() != ErrorKind::InvalidData || matches!(self.stage, Stage::Linger { .. }) {
                        return Flow::Close;
                    }
                    // rustls has sent an alert that says why; let the client read it.
                    self.begin_linger(desk);
                }
            }
            turn = match self.stage {
                Stage::Handshake { rules } => self.shake_hands(rules, input, desk),
                Stage::Head => self.read_head(&mut since, input, desk, handlers),
                Stage::Body(_) => self.collect_body(&mut since, input, desk, handlers),
                Stage::Sending(_) => {
                    let turn = self.send(input.unread().len(), desk);
                    // A request behind it has not waited for a worker while this one sent.
                    since = desk.millis();
                    turn
                }
                Stage::Linger { until } => self.linger(until, desk),
            };
        }
    }

    fn shake_hands(&mut self, rules: u64, input: &mut Input, desk: &mut Desk<'_>) -> Turn {
        match self.transport.read(input.room()) {
            Ok(0) => {
                if self.transport.is_handshaking() {
                    self.log_failed_handshake(tls::LEFT, desk);
                }
                self.say_goodbye();
                return Ok(Break(Flow::Close));
            }
            Ok(read) => input.filled(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if self.transport.is_handshaking() {
                    return self.wait(desk);
                }
            }
            Err(error) => {
                return match self.transport.first_byte_not_tls() {
                    Some(byte) => self.answer_in_clear(byte, desk),
                    None => Err(error),
                };
            }
        }
        if self.transport.is_challenge() {
            log::debug!("{}: a name was validated (tls-alpn-01)", self.peer);
            self.say_goodbye();
            return Ok(Break(Flow::Close));
        }
        self.stage = Stage::Head;
        desk.look();
        self.client = Client::of(&self.transport, rules, desk.millis()).map(Box::new);
        self.deadline = desk.deadline(Limit::HeadTimeout, desk.shared.limits.head_timeout);
        Ok(Continue(()))
    }

    fn read_head(
        &mut self,
        since: &mut Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        let limits = &desk.shared.limits;
        loop {
            let (unread, fields) = input.unread_and_fields();
            let start = request_head::empty_line(unread);
            if unread.len() > start {
                if !std::mem::replace(&mut self.head_begun, true) && self.served {
                    self.deadline = desk.deadline(Limit::HeadTimeout, limits.head_timeout);
                }
                // Once only, so that a head in small pieces is not read from its beginning with each.
                let whole = (self.scanned == 0)
                    .then(|| {
                        request_head::read_whole(
                            &unread[start..],
                            limits.head_bytes,
                            limits.head_fields,
                            fields,
                        )
                    })
                    .flatten();
                let scanned = match &whole {
                    Some((_, length)) => Ok(Scan::Complete(start + length)),
                    None => request_head::scan(unread, self.scanned.max(start)),
                };
                match scanned {
                    Ok(Scan::Complete(end)) if end - start <= limits.head_bytes => {
                        if desk.requests_left == 0 || !desk.shared.has_permit(desk.me) {
                            // Others get their turn; or the last handler blocked, and another worker is at work.
                            return Ok(Break(Flow::Again));
                        }
                        if self.transport.is_blocked() && self.transport.flush()? == Flushed::Blocked {
                            // Who does not read responses gets no further ones.
                            let sending = Sending::new(Source::Nothing, After::KeepAlive, None);
                            return Ok(self.begin_sending(sending, desk));
                        }
                        desk.requests_left -= 1;
                        self.scanned = 0;
                        input.consume(start);
                        let line = whole.map(|(line, _)| line);
                        return self.exchange(end - start, line, since, input, desk, handlers);
                    }
                    Ok(Scan::Incomplete(from)) if unread.len() - start < limits.head_bytes => {
                        self.scanned = from;
                    }
                    Ok(_) => {
                        let head = &unread[start..][..limits.head_bytes];
                        return self.refuse(request_head::too_large(head), Told::Head(head), desk);
                    }
                    Err(refusal) => return self.refuse(refusal, Told::Head(&unread[start..]), desk),
                }
            }
            if self.send_output(desk)? == Flushed::Blocked {
                let sending = Sending::new(Source::Nothing, After::KeepAlive, None);
                return Ok(self.begin_sending(sending, desk));
            }
            match self.transport.read(input.room()) {
                Ok(0) => {
                    if self.head_begun {
                        log::debug!("{}: the client closed in the middle of a head", self.peer);
                    }
                    self.say_goodbye();
                    return Ok(Break(Flow::Close));
                }
                Ok(read) => input.filled(read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if desk.shared.is_draining() && !self.head_begun && !self.transport.wants_another_turn() {
                        self.say_goodbye();
                        return Ok(Break(Flow::Close));
                    }
                    return self.wait(desk);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// After a response on a connection that is kept: the next request.
    #[inline]
    pub(crate) fn begin_head(&mut self, desk: &Desk<'_>) {
        self.stage = Stage::Head;
        self.served = true;
        self.head_begun = false;
        self.counted = false;
        self.scanned = 0;
        self.deadline = desk.deadline(Limit::IdleTimeout, desk.shared.limits.idle_timeout);
        if let Some(collecting) = self.unwanted.take() {
            self.stage = Stage::Body(collecting);
            self.deadline = desk.deadline(Limit::BodyTimeout, desk.shared.limits.body_timeout);
        }
    }

    /// Encrypts and sends the responses that are written, as far as the socket takes them.
    pub(crate) fn send_output(&mut self, desk: &mut Desk<'_>) -> io::Result<Flushed> {
        if desk.output.is_empty() {
            return Ok(Flushed::All);
        }
        self.transport.queue(&desk.output)?;
        desk.output.clear();
        self.transport.flush()
    }

    /// Whether enough responses are written that they should go out before the next request is looked at.
    pub(crate) fn has_much_output(desk: &Desk<'_>) -> bool {
        desk.output.len() >= OUTPUT_BYTES
    }

    /// The turn ends here, unless it only ends for the sake of others.
    pub(crate) fn wait(&mut self, desk: &Desk<'_>) -> Turn {
        if self.transport.wants_another_turn() {
            return Ok(Break(Flow::Again));
        }
        let finishes_by_itself = matches!(self.stage, Stage::Sending(_) | Stage::Body(_));
        if desk.shared.is_draining() && !finishes_by_itself {
            self.deadline = self.deadline.no_later_than(desk.after(DRAIN_GRACE));
        }
        Ok(Break(Flow::Wait))
    }

    /// Whether nothing that the client still sends will be looked at.
    fn is_ending(&self) -> bool {
        match &self.stage {
            Stage::Sending(sending) => sending.closes(),
            Stage::Linger { .. } => true,
            Stage::Handshake { .. } | Stage::Head | Stage::Body(_) => false,
        }
    }

    /// Answers a request that is not served, and closes: where it ends is not known, or not worth finding out.
    pub(crate) fn refuse(&mut self, refusal: Refusal, told: Told<'_>, desk: &mut Desk<'_>) -> Turn {
        self.log_refusal(refusal, desk);
        self.respond_and_close(refusal, told, desk)
    }

    pub(crate) fn log_refusal(&self, refusal: Refusal, desk: &Desk<'_>) {
        let Refusal { status, detail, limit } = refusal;
        let (peer, code, what) = (self.peer, status.as_u16(), refusal.what());
        let (shared, now) = (desk.shared, desk.now());
        match limit {
            Some(limit) => {
                shared.log_refusal(what, now, format_args!("{peer}: {code} {detail} (limit {limit})"));
            }
            None => shared.log_refusal(what, now, format_args!("{peer}: {code} {detail}")),
        }
    }

    pub(crate) fn log_refused_client(&self, why: &Refused, desk: &Desk<'_>) {
        let peer = self.peer;
        desk.shared.log_refusal(why.what, desk.now(), format_args!("{peer}: refused, {why}"));
    }

    /// A read has failed. Of a handshake, and where a client refuses only after it (TLS 1.3), an operator can learn why.
    fn log_failure(&self, error: &io::Error, desk: &Desk<'_>) {
        let failed = match self.stage {
            Stage::Handshake { .. } if self.transport.has_begun() => tls::failed_handshake(error),
            Stage::Head if !self.served && !self.head_begun => tls::client_alert(error),
            _ => None,
        };
        if let Some(failed) = failed {
            self.log_failed_handshake(failed, desk);
        }
        log::debug!("{}: {}", self.peer, escape::shown(error));
    }

    fn log_failed_handshake(&self, failed: Failed, desk: &Desk<'_>) {
        let peer = self.peer;
        desk.shared.log_refusal(failed.what, desk.now(), format_args!("{peer}: no handshake, {failed}"));
    }

    /// The deadline has passed.
    fn expire(&mut self, input: &Input, desk: &mut Desk<'_>) -> Turn {
        // The connection ends here, or goes on with a refusal, so whatever it was at is over.
        match std::mem::replace(&mut self.stage, Stage::Head) {
            Stage::Body(collecting) if collecting.is_answered() => self.say_goodbye(),
            Stage::Body(collecting) => {
                let fault = BodyFault::TimedOut { limit: desk.shared.limits.body_timeout };
                return self.refuse(refusal_of(&fault), collecting.told(), desk);
            }
            Stage::Head if self.head_begun => {
                return self.refuse(HEAD_LATE, Told::Head(input.unread()), desk)
            }
            Stage::Head => self.say_goodbye(),
            Stage::Handshake { .. } | Stage::Sending(_) | Stage::Linger { .. } => {}
        }
        let peer = self.peer;
        match self.deadline.limit {
            // Every kept connection ends so.
            Some(limit @ Limit::IdleTimeout) => {
                log::debug!("{peer}: closed after being idle (limit {limit})");
            }
            Some(limit) => {
                let line =
                    format_args!("{peer}: closed, because nothing came or went for too long (limit {limit})");
                desk.shared.log_refusal(limit.name(), desk.now(), line);
            }
            None => {}
        }
        Ok(Break(Flow::Close))
    }

    /// The response is sent and the connection ends: says so to the client, and drops what it still sends, so that the
    /// response is not lost to a reset.
    pub(crate) fn begin_linger(&mut self, desk: &Desk<'_>) {
        self.transport.shutdown_write();
        self.stage = Stage::Linger { until: desk.after(LINGER_MOST) };
        self.deadline = Deadline::own(desk.after(LINGER));
    }

    fn linger(&mut self, until: Millis, desk: &mut Desk<'_>) -> Turn {
        loop {
            match self.transport.discard(&mut desk.scratch) {
                Ok(0) => return Ok(Break(Flow::Close)),
                Ok(read) => {
                    if let Some(credentials) = &mut self.in_clear {
                        credentials.go_on(&desk.shared.credential_names, &desk.scratch[..read]);
                        self.log_credentials(desk);
                    }
                    self.deadline = Deadline::own(desk.after(LINGER).min(until));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return if desk.millis() < until { self.wait(desk) } else { Ok(Break(Flow::Close)) };
                }
                Err(_) => return Ok(Break(Flow::Close)),
            }
        }
    }

    /// Warns of credentials that came in clear and have not been told yet.
    fn log_credentials(&mut self, desk: &Desk<'_>) {
        let Some(credentials) = &mut self.in_clear else { return };
        let names = credentials.news(&desk.shared.credential_names);
        if !names.is_empty() {
            let (peer, notice) = (self.peer, Notice(&names));
            let sort = Sort { target: "lockgate::server", level: log::Level::Warn, what: IN_CLEAR };
            desk.shared.log_limiter.write(sort, desk.now(), format_args!("{peer}: {notice}"));
        }
    }

    /// Tells the client, if it can be told at once, that the connection ends by intent.
    fn say_goodbye(&mut self) {
        if self.transport.is_handshaking() {
            return;
        }
        if let Err(error) = self.transport.say_goodbye() {
            log::trace!("{}: {error}", self.peer);
        }
    }

    /// Someone speaks something else than TLS. HTTP gets an answer that it can read.
    fn answer_in_clear(&mut self, first_byte: u8, desk: &mut Desk<'_>) -> Turn {
        if !first_byte.is_ascii_alphabetic() {
            match first_byte {
                // A load balancer's look at the port begins so (PROXY protocol, version 2), and would be said every second.
                b'\r' => log::debug!("{}: neither TLS nor HTTP", self.peer),
                _ => self.log_failed_handshake(tls::NO_TLS, desk),
            }
            return Ok(Break(Flow::Close));
        }
        let refusal = Refusal::bad_request(
            "this port speaks HTTPS, and the request came over plain HTTP: use https://",
        );
        self.log_refusal(refusal, desk);
        let received = self.transport.take_foreign();
        self.in_clear = Some(Box::new(desk.shared.credential_names.scan(&received)));
        self.log_credentials(desk);
        self.write_refusal(refusal, Told::Nothing, desk);
        self.transport.send_in_clear(&desk.output)?;
        desk.output.clear();
        self.begin_linger(desk);
        Ok(Continue(()))
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.transport.as_raw_fd()
    }
}

impl Parked for Box<Connection> {
    fn key(&self) -> usize {
        self.key
    }

    fn set_key(&mut self, key: usize) {
        self.key = key;
    }
}

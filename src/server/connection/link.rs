//! A connection's link to its client: the transport, the client, and how a request is answered over it. It carries out the
//! decisions of `request`, and returns what comes next to `state`, which alone knows the stages.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use super::asked::{Asked, Held, Told};
use super::body::Reader;
use super::call::{call, Caller};
use super::client_cert::Client;
use super::collecting::Collecting;
use super::head::Head;
use super::log_lines::{self, Record};
use super::request::{
    self, decide, Circumstances, Decision, RateLimit, Route, Unread, NOT_LET_IN, READERS_BUSY,
};
use super::response::{self, After, Sending, Written};
use super::step::Turn;
use super::streaming::{Finished, Streaming};
use super::transport::{Flushed, Stream, Transport};
use crate::http::body::Body;
use crate::http::into_response::IntoResponse;
use crate::http::request_head::{self, Line};
use crate::http::response::Response;
use crate::http::response_head::Persistence;
use crate::http::Refusal;
use crate::limits::rate::Rate;
use crate::server::buffers::Buffers;
use crate::server::clock::Millis;

/// Responses to pipelined requests are sent together, up to this many bytes.
const OUTPUT_BYTES: usize = 16 * 1024;
/// After this wait, in milliseconds, a request's client may have left. Asking the system earlier costs more than it saves.
const WORTH_A_LOOK: Millis = 5;

pub(crate) struct Link<S: Stream> {
    /// The connection's key in the poller.
    pub key: usize,
    pub peer: SocketAddr,
    pub transport: Transport<S>,
    /// Who the client is, when it has shown a certificate.
    pub client: Option<Box<Client>>,
    /// Whether the current request has waited in the queue for a worker.
    pub was_queued: bool,
    /// The body of a request that is answered without it. It is read and dropped before the next head.
    pub unwanted: Option<Box<Reader>>,
}

/// What a connection does next.
pub(crate) enum Next {
    /// The next request's head.
    Head,
    /// The body of this one.
    Body(Box<Collecting>),
    Sending(Box<Sending>),
    /// It waits for a worker that calls handlers, with the collected body.
    OtherWorker(Option<Box<Collecting>>),
    Close,
}

impl<S: Stream> Link<S> {
    pub(crate) fn new(peer: SocketAddr, transport: Transport<S>) -> Link<S> {
        Link { key: usize::MAX, peer, transport, client: None, was_queued: false, unwanted: None }
    }

    /// Handles a complete head: the first `length` bytes of the input. If it was read already, `line` and the input's fields
    /// hold its meaning.
    #[inline(always)]
    pub(crate) fn take_request(
        &mut self,
        length: usize,
        line: Option<Line>,
        head: &mut Head,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Next> {
        let Turn { since, handlers, input, buffers } = turn;
        let context = buffers.context;
        let limits = &context.limits;
        let (unread, fields) = input.unread_and_fields();
        let (bytes, rest) = unread.split_at(length);
        let line = match line.map_or_else(|| request_head::parse(bytes, limits.head_fields, fields), Ok) {
            Ok(line) => line,
            Err(refusal) => return Ok(self.refuse(refusal, Told::Head(bytes), buffers)),
        };
        let asked = Asked { head: bytes, fields, line };
        if !self.is_still_let_in(buffers) {
            return Ok(self.respond_and_close(NOT_LET_IN, asked.told(), buffers));
        }
        let waited = buffers.millis().saturating_sub(*since);
        let rate = self.count_request(head, buffers);
        let circumstances = Circumstances { waited, arrived: rest.len(), now: buffers.millis(), rate };
        let (body, refused) = match decide(limits, &context.router, &asked, circumstances) {
            Decision::Answer(body) => (body, None),
            Decision::AnswerRefused(body, refusal) => (body, Some(refusal)),
            Decision::Collect(reader) => {
                let collecting = Collecting::new(Held::new(asked), reader, context.body_memory.share());
                input.consume(length);
                return Ok(Next::Body(Box::new(collecting)));
            }
            Decision::AnswerUnread(response, Unread { reader, persistence }) => {
                let record = Record::of(asked.told(), self.peer, &self.transport, buffers);
                self.unwanted = Some(Box::new(reader));
                let next = self.respond(response, &asked.line, persistence, record, buffers);
                input.consume(length);
                return next;
            }
            Decision::Refuse(refusal) => return Ok(self.refuse(refusal, asked.told(), buffers)),
        };
        let route = match refused {
            None => request::route(limits, &context.router, &asked, waited, *handlers),
            Some(refusal) => Route::Refused(refusal),
        };
        match route {
            Route::OtherWorker => return Ok(Next::OtherWorker(None)),
            Route::Call(_) if self.has_left(*since, buffers) => return Ok(Next::Close),
            Route::Call(_) | Route::Response(_) | Route::Refused(_) => {}
        }
        let persistence = request::persistence(&asked.line, rest.len() - body);
        let next = self.answer(&asked, Cow::Borrowed(&rest[..body]), route, persistence, buffers);
        *since = buffers.millis();
        input.consume(length + body);
        next
    }

    /// Whether the client's certificate, if it has shown one, is still accepted. Only the log gets the reason if not.
    #[inline(always)]
    fn is_still_let_in(&mut self, buffers: &Buffers<'_>) -> bool {
        self.client.is_none() || self.check_client(buffers)
    }

    #[inline(never)]
    fn check_client(&mut self, buffers: &Buffers<'_>) -> bool {
        let Some(client) = &mut self.client else { return true };
        let checked = client.check(&self.transport, &buffers.context.tls, buffers.millis());
        if let Err(why) = &checked {
            log_lines::refused_client(self.peer, why, buffers);
        }
        checked.is_ok()
    }

    /// Whether the client has left while its request waited. A client that has only closed its sending side has not.
    #[inline(always)]
    fn has_left(&mut self, since: Millis, buffers: &Buffers<'_>) -> bool {
        let waited = buffers.millis().saturating_sub(since);
        let has_waited = std::mem::take(&mut self.was_queued) || waited >= WORTH_A_LOOK;
        has_waited && self.is_broken()
    }

    #[inline(never)]
    fn is_broken(&mut self) -> bool {
        let left = self.transport.is_broken();
        if left {
            log::debug!("{}: the client has left before its request's turn came", self.peer);
        }
        left
    }

    /// Whether the client's address is within its rate. A request counts once, however often it is looked at.
    #[inline(always)]
    fn count_request(&self, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        match &buffers.context.rate {
            None => RateLimit::Within,
            Some(rate) => self.count_at(rate, head, buffers),
        }
    }

    #[inline(never)]
    fn count_at(&self, rate: &Rate, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        let address = self.peer.ip();
        let is_counted = std::mem::replace(&mut head.is_counted, true)
            || address.is_loopback() && !buffers.context.limits.count_loopback;
        if is_counted || rate.allows(address, buffers.now()) {
            RateLimit::Within
        } else {
            RateLimit::Exceeded
        }
    }

    #[inline]
    fn caller(&self) -> Caller {
        let client = self.client.as_ref().map(|client| client.identity.clone());
        Caller { peer: self.peer, key: self.key, client }
    }

    /// Answers a request whose body is complete.
    pub(crate) fn answer_collected(
        &mut self,
        mut collecting: Box<Collecting>,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Next> {
        let Turn { since, handlers, input, buffers } = turn;
        let context = buffers.context;
        let body = std::mem::take(&mut collecting.body);
        let asked = collecting.held.asked();
        let waited = buffers.millis().saturating_sub(*since);
        match request::route(&context.limits, &context.router, &asked, waited, *handlers) {
            Route::OtherWorker => {
                collecting.body = body;
                Ok(Next::OtherWorker(Some(collecting)))
            }
            Route::Call(_) if self.has_left(*since, buffers) => Ok(Next::Close),
            route => {
                let persistence = request::persistence(&asked.line, input.unread().len());
                let next = self.answer(&asked, Cow::Owned(body), route, persistence, buffers);
                *since = buffers.millis();
                next
            }
        }
    }

    /// Answers a request with a body too large to be kept in memory: the handler reads it from the connection.
    pub(crate) fn answer_streaming(
        &mut self,
        collecting: Box<Collecting>,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Next> {
        let Turn { since, handlers, input, buffers } = turn;
        let context = buffers.context;
        let asked = collecting.held.asked();
        let waited = buffers.millis().saturating_sub(*since);
        let handler = match request::route(&context.limits, &context.router, &asked, waited, *handlers) {
            Route::Call(_) if self.has_left(*since, buffers) => return Ok(Next::Close),
            Route::Call(handler) => handler,
            Route::Response(response) => {
                let record = Record::of(asked.told(), self.peer, &self.transport, buffers);
                return self.respond(response, &asked.line, Persistence::Close, record, buffers);
            }
            Route::Refused(refusal) => return Ok(self.refuse(refusal, asked.told(), buffers)),
            Route::OtherWorker => return Ok(Next::OtherWorker(Some(collecting))),
        };
        let _place = match context.streams.enter(self.peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                let refusal = request::refusal_of_stream(full);
                return Ok(self.refuse(refusal, asked.told(), buffers));
            }
        };
        let _: Flushed = self.transport.send_output(&mut buffers.output)?;
        let record = Record::of(asked.told(), self.peer, &self.transport, buffers);
        let caller = self.caller();
        let mut streaming = Streaming {
            key: self.key,
            transport: &mut self.transport,
            context,
            scheduler: buffers.scheduler,
            me: buffers.me,
            reader: collecting.reader,
            early: io::Cursor::new(collecting.body),
            input,
            fault: None,
        };
        let response = call(handler, &asked, Body::Streaming(&mut streaming), caller, buffers);
        let finished = streaming.finish();
        if let Finished::Failed(refusal) = finished {
            log_lines::refusal(self.peer, refusal, buffers);
        }
        *since = buffers.millis();
        // The start of the next request is known only when this body was read to its end.
        let persistence = match finished {
            Finished::Whole => request::persistence(&asked.line, input.unread().len()),
            Finished::Part | Finished::Failed(_) => Persistence::Close,
        };
        self.respond(response, &asked.line, persistence, record, buffers)
    }

    /// Calls the handler, or answers instead of it. The body is in memory.
    fn answer<'h>(
        &mut self,
        asked: &Asked<'h>,
        body: Cow<'h, [u8]>,
        route: Route<'_, 'h>,
        persistence: Persistence,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Next> {
        let record = Record::of(asked.told(), self.peer, &self.transport, buffers);
        let response = match route {
            Route::Call(handler) => {
                if buffers.context.workers.expects_slow(handler.endpoint.index) {
                    // Earlier responses do not wait for a handler that is known to be slow.
                    let _: Flushed = self.transport.send_output(&mut buffers.output)?;
                }
                let body = Body::Buffered { bytes: body, read: 0 };
                call(handler, asked, body, self.caller(), buffers)
            }
            Route::Response(response) => response,
            Route::Refused(refusal) => {
                log_lines::refusal(self.peer, refusal, buffers);
                refusal.into_response()
            }
            Route::OtherWorker => return Ok(Next::OtherWorker(None)),
        };
        self.respond(response, &asked.line, persistence, record, buffers)
    }

    fn respond(
        &mut self,
        response: Response,
        line: &Line,
        persistence: Persistence,
        record: Option<Box<Record>>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Next> {
        // Requests that came before the stop are answered, pipelined ones too.
        let persistence = match persistence {
            Persistence::Idle if buffers.context.is_draining() => Persistence::Close,
            persistence => persistence,
        };
        Ok(match response::write(response, line, persistence, record, self.key, buffers) {
            Written::NoReaderPlace(record) => {
                log_lines::refusal(self.peer, READERS_BUSY, buffers);
                let response = READERS_BUSY.into_response();
                return self.respond(response, line, persistence, record, buffers);
            }
            Written::Head(sending) => Next::Sending(sending),
            Written::Whole(After::Close) => Next::Sending(Box::new(Sending::of_output(After::Close))),
            Written::Whole(After::KeepAlive) => {
                let is_much = buffers.output.len() >= OUTPUT_BYTES;
                if is_much && self.transport.send_output(&mut buffers.output)? == Flushed::Blocked {
                    Next::Sending(Box::new(Sending::of_output(After::KeepAlive)))
                } else {
                    Next::Head
                }
            }
        })
    }

    /// Refuses a request, and closes the connection, because the end of the request is unknown or not worth finding.
    pub(crate) fn refuse(&mut self, refusal: Refusal, told: Told<'_>, buffers: &mut Buffers<'_>) -> Next {
        log_lines::refusal(self.peer, refusal, buffers);
        self.respond_and_close(refusal, told, buffers)
    }

    fn respond_and_close(&mut self, refusal: Refusal, told: Told<'_>, buffers: &mut Buffers<'_>) -> Next {
        let record = Record::of(told, self.peer, &self.transport, buffers);
        response::write_refusal(refusal, told, record, buffers);
        Next::Sending(Box::new(Sending::of_output(After::Close)))
    }

    /// Sends close_notify, if the socket takes it at once, so that the client knows that the connection ends on purpose.
    pub(crate) fn say_goodbye(&mut self) {
        if self.transport.is_handshaking() {
            return;
        }
        if let Err(error) = self.transport.say_goodbye() {
            log::trace!("{}: {error}", self.peer);
        }
    }
}

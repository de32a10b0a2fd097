//! One request and its response: from a whole head to the handler's call, and from what the handler returns to bytes that
//! are on their way.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode};

use super::response::{After, Record, Sending, Source};
use super::state::{Connection, Flow, Stage, Turn};
use super::streaming::{Framed, Streaming};
use super::transport::Flushed;
use crate::error::BodyFault;
use crate::handler_call::{self, Fault};
use crate::http::body::Body;
use crate::http::chunked::{Decoder, Found};
use crate::http::into_response::IntoResponse;
use crate::http::params::Params;
use crate::http::request::{Presence, Request};
use crate::http::request_head::{self, BodyLength, Line, Version};
use crate::http::response::{Payload, Response};
use crate::http::response_head::{write_head, Exchange, Framing};
use crate::http::span::Field;
use crate::http::Refusal;
use crate::limits::body_memory::Share;
use crate::limits::limit::Limit;
use crate::limits::streams::Full;
use crate::router::{self, endpoint::Endpoint};
use crate::server::buffers::{Desk, Handlers, Input};
use crate::server::clock::Millis;
use crate::server::deadline::Deadline;
use crate::server::turn::Idle;
use crate::tls::ClientIdentity;

/// A body up to this size goes into the same record as its head, in bytes.
const INLINE_BYTES: usize = 16 * 1024;
/// How much of a body is asked for at a time, in bytes; what is received decides how much memory is taken.
const BODY_STEP_BYTES: usize = 16 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const NOT_LET_IN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "the certificate that was shown for this connection is no longer accepted",
);
const TOO_LARGE: Refusal = Refusal::over(
    Limit::BodyBytes,
    StatusCode::PAYLOAD_TOO_LARGE,
    "the request's body is larger than is accepted here",
);
const BUSY: Refusal = Refusal::over(
    Limit::QueueTimeout,
    StatusCode::SERVICE_UNAVAILABLE,
    "all workers are busy and the request has waited too long; try again",
);
const BODY_MEMORY_BUSY: Refusal = Refusal::over(
    Limit::BodyMemoryBytes,
    StatusCode::SERVICE_UNAVAILABLE,
    "too many bodies are being received; try again",
);
const TOO_OFTEN: Refusal = Refusal::over(
    Limit::RequestsPerAddress,
    StatusCode::TOO_MANY_REQUESTS,
    "too many requests come from this address; try again",
);
const QUEUE_FULL: Refusal = Refusal::over(
    Limit::QueueRequests,
    StatusCode::SERVICE_UNAVAILABLE,
    "all workers are busy and as many requests as may wait for one do so; try again",
);
const STREAMS_BUSY: Refusal = Refusal::over(
    Limit::StreamingBodies,
    StatusCode::SERVICE_UNAVAILABLE,
    "too many large bodies are being received; try again",
);
const READERS_BUSY: Refusal = Refusal::over(
    Limit::ReserveWorkers,
    StatusCode::SERVICE_UNAVAILABLE,
    "as many responses are being streamed as may be at a time; try again",
);
const STREAMS_OF_ADDRESS: Refusal = Refusal::over(
    Limit::StreamingBodiesPerAddress,
    StatusCode::TOO_MANY_REQUESTS,
    "too many large bodies are being received from this address; try again",
);

/// A request that has waited this long may have lost its client, in milliseconds. Below it, to ask the system would cost
/// more than it saves.
const WORTH_A_LOOK: Millis = 5;

/// A request whose body has not come whole yet.
pub(crate) struct Collecting {
    head: Vec<u8>,
    fields: Vec<Field>,
    line: Line,
    /// What has come of the body, its framing taken off.
    body: Vec<u8>,
    memory: Share,
    framed: Framed,
    began: Millis,
    owes_continue: bool,
    /// How much of the body was dropped, when the request is answered already and the connection is kept.
    dropped: Option<u64>,
}

/// A request's head, and what was found out about it.
struct Asked<'a> {
    head: &'a [u8],
    fields: &'a [Field],
    line: Line,
}

/// What is to be done with a request.
enum Verdict<'s, 'h> {
    Call { endpoint: &'s Endpoint, params: Params, path: Cow<'h, str> },
    Answer(Response),
    Refuse(Refusal),
    Defer,
}

impl Connection {
    /// The head of a request is whole: the first `length` bytes of the input. If it has been read, `line` and the input's
    /// fields are what it says.
    pub(crate) fn exchange(
        &mut self,
        length: usize,
        line: Option<Line>,
        since: &mut Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        let (unread, fields) = input.unread_and_fields();
        let (head, rest) = unread.split_at(length);
        let line = line.map_or_else(|| request_head::parse(head, desk.shared.limits.head_fields, fields), Ok);
        let (used, turn) = match line {
            Ok(line) => self.begin_exchange(Asked { head, fields, line }, rest, since, desk, handlers),
            Err(refusal) => (unread.len(), self.refuse(refusal, Told::Head(head), desk)),
        };
        input.consume(used);
        turn
    }

    /// Answers the request if `rest`, what follows the head, holds its whole body; else begins to collect the body. Also
    /// returns how much of the input was used.
    fn begin_exchange(
        &mut self,
        asked: Asked<'_>,
        rest: &[u8],
        since: &mut Millis,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> (usize, Turn) {
        let limits = &desk.shared.limits;
        let head_length = asked.head.len();
        if !self.is_still_let_in(desk) {
            let turn = self.respond_and_close(NOT_LET_IN, asked.told(), desk);
            return (head_length + rest.len(), turn);
        }
        if !self.may_ask(desk) {
            return match asked.line.body {
                BodyLength::Fixed(length) if length <= rest.len() as u64 => {
                    self.has_more = rest.len() as u64 > length;
                    self.log_refusal(TOO_OFTEN, desk);
                    let response = TOO_OFTEN.into_response();
                    let record = self.record(asked.told(), desk);
                    let turn = self.respond(response, &asked.line, asked.line.keep_alive, record, desk);
                    (head_length + length as usize, turn)
                }
                _ => (head_length, self.refuse(TOO_OFTEN, asked.told(), desk)),
            };
        }
        match asked.line.body {
            BodyLength::Fixed(length) if length > limits.body_bytes => {
                (head_length + rest.len(), self.refuse(TOO_LARGE, asked.told(), desk))
            }
            BodyLength::Fixed(length) if length <= (rest.len() as u64).min(desk.kept_bytes()) => {
                let length = length as usize;
                self.has_more = rest.len() > length;
                match self.answer(&asked, Cow::Borrowed(&rest[..length]), since, desk, handlers) {
                    Ok(Break(Flow::Queue)) => (0, Ok(Break(Flow::Queue))),
                    turn => (head_length + length, turn),
                }
            }
            _ => {
                let framed = match asked.line.body {
                    BodyLength::Fixed(left) => Framed::Fixed { left },
                    BodyLength::Chunked => Framed::Chunked(Decoder::new()),
                };
                let expects_continue = asked.line.expects_continue && rest.is_empty();
                // A client need not send a body that no handler will read.
                let answer = match judge(desk.shared, &asked, *since, desk, Handlers::Call) {
                    Verdict::Call { .. } | Verdict::Defer => None,
                    Verdict::Answer(response) => Some(response),
                    Verdict::Refuse(refusal) => {
                        return (head_length, self.refuse(refusal, asked.told(), desk));
                    }
                };
                let mut collecting = Box::new(Collecting {
                    head: asked.head.to_vec(),
                    fields: asked.fields.to_vec(),
                    line: asked.line,
                    body: Vec::new(),
                    memory: desk.shared.body_memory.share(),
                    framed,
                    began: desk.millis(),
                    owes_continue: expects_continue,
                    dropped: None,
                });
                let Some(response) = answer else {
                    self.stage = Stage::Body(collecting);
                    self.deadline = desk.deadline(Limit::BodyTimeout, limits.body_timeout);
                    return (head_length, Ok(Continue(())));
                };
                let line = collecting.line.clone();
                let record = self.record(collecting.told(), desk);
                // To read past a large body costs more than another connection. A client that waits for 100 Continue may
                // send the body all the same, or not (RFC 9110 §10.1.1).
                let is_short = match line.body {
                    BodyLength::Fixed(length) => length <= desk.kept_bytes(),
                    BodyLength::Chunked => true,
                };
                let keep_alive = line.keep_alive && is_short && !expects_continue;
                collecting.dropped = Some(0);
                collecting.head = Vec::new();
                collecting.fields = Vec::new();
                self.unwanted = Some(collecting);
                self.has_more = false;
                (head_length, self.respond(response, &line, keep_alive, record, desk))
            }
        }
    }

    /// Whether the client's certificate, if it has shown one, is good still. The reason why not goes to the log alone.
    fn is_still_let_in(&mut self, desk: &Desk<'_>) -> bool {
        let Some(client) = &mut self.client else { return true };
        let checked = client.check(&self.transport, &desk.shared.tls, desk.millis());
        if let Err(why) = &checked {
            self.log_refused_client(why, desk);
        }
        checked.is_ok()
    }

    /// Whether the client has gone while its request waited. One that has only said that it sends nothing more is there.
    fn has_left(&mut self, since: Millis, desk: &Desk<'_>) -> bool {
        let has_waited =
            std::mem::take(&mut self.was_queued) || desk.millis().saturating_sub(since) >= WORTH_A_LOOK;
        let left = has_waited && self.transport.is_broken();
        if left {
            log::debug!("{}: the client has left before its request's turn came", self.peer);
        }
        left
    }

    fn client_identity(&self) -> Option<Arc<ClientIdentity>> {
        self.client.as_ref().map(|client| client.identity.clone())
    }

    /// Whether the client's address may ask once more; a request counts once, however often it is looked at.
    fn may_ask(&mut self, desk: &Desk<'_>) -> bool {
        let Some(rate) = &desk.shared.rate else { return true };
        let address = self.peer.ip();
        if std::mem::replace(&mut self.counted, true)
            || address.is_loopback() && !desk.shared.limits.count_loopback
        {
            return true;
        }
        rate.allows(address, desk.now())
    }

    /// Takes in what has come of a body; answers when it is whole, or when it turns out too large to be kept in memory.
    pub(crate) fn collect_body(
        &mut self,
        since: &mut Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        let Stage::Body(mut collecting) = std::mem::replace(&mut self.stage, Stage::Head) else {
            return Ok(Continue(()));
        };
        let limits = &desk.shared.limits;
        let buffer = desk.kept_bytes();
        loop {
            let ended = match collecting.take_in(input, buffer) {
                Ok(ended) => ended,
                Err(fault) if collecting.dropped.is_some() => {
                    log::debug!("{}: closed, because the rest of a body is malformed: {fault}", self.peer);
                    let sending = Sending::new(Source::Nothing, After::Close, None);
                    return Ok(self.begin_sending(sending, desk));
                }
                Err(fault) => return self.refuse(refusal_of(&fault), collecting.told(), desk),
            };
            if let Some(dropped) = collecting.dropped {
                // However much of it has come at once.
                let is_too_long = dropped > buffer;
                if ended && !is_too_long {
                    self.begin_head(desk);
                    return Ok(Continue(()));
                }
                if is_too_long || desk.shared.is_draining() {
                    let sending = Sending::new(Source::Nothing, After::Close, None);
                    return Ok(self.begin_sending(sending, desk));
                }
            }
            if !collecting.is_answered() {
                if collecting.body.len() as u64 > limits.body_bytes {
                    return self.refuse(TOO_LARGE, collecting.told(), desk);
                }
                if !collecting.memory.cover(collecting.body.capacity()) {
                    return self.refuse(BODY_MEMORY_BUSY, collecting.told(), desk);
                }
                // How much of it has come at once must not decide how it is read.
                if collecting.known_bytes() > buffer {
                    return self.answer_streaming(collecting, since, input, desk, handlers);
                }
                if ended {
                    return self.answer_collected(collecting, since, input, desk, handlers);
                }
            }
            if std::mem::replace(&mut collecting.owes_continue, false) {
                desk.output.extend_from_slice(CONTINUE);
            }
            // If the socket does not take it, it goes out when the body comes in.
            let _: Flushed = self.send_output(desk)?;
            match collecting.read_more(&mut self.transport, input) {
                Ok(0) => {
                    log::debug!("{}: the client closed in the middle of a body", self.peer);
                    return Ok(Break(Flow::Close));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.deadline = collecting.deadline(limits.body_timeout, limits.body_min_rate);
                    self.stage = Stage::Body(collecting);
                    return self.wait(desk);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn answer_collected(
        &mut self,
        mut collecting: Box<Collecting>,
        since: &mut Millis,
        input: &Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        self.has_more = !input.is_empty();
        let bytes = std::mem::take(&mut collecting.body);
        let asked = collecting.asked();
        if handlers == Handlers::Defer
            && matches!(judge(desk.shared, &asked, *since, desk, handlers), Verdict::Defer)
        {
            collecting.body = bytes;
            self.stage = Stage::Body(collecting);
            return Ok(Break(Flow::Queue));
        }
        self.answer(&asked, Cow::Owned(bytes), since, desk, handlers)
    }

    /// The body is larger than is kept in memory: the handler reads it from the connection.
    fn answer_streaming(
        &mut self,
        collecting: Box<Collecting>,
        since: &mut Millis,
        input: &mut Input,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        let shared = desk.shared;
        let line = collecting.line.clone();
        let (endpoint, params, path) = match judge(shared, &collecting.asked(), *since, desk, handlers) {
            Verdict::Call { .. } if self.has_left(*since, desk) => return Ok(Break(Flow::Close)),
            Verdict::Call { endpoint, params, path } => (endpoint, params, path.into_owned()),
            Verdict::Answer(response) => {
                let record = self.record(collecting.told(), desk);
                return self.respond(response, &line, false, record, desk);
            }
            Verdict::Refuse(refusal) => return self.refuse(refusal, collecting.told(), desk),
            Verdict::Defer => {
                self.stage = Stage::Body(collecting);
                return Ok(Break(Flow::Queue));
            }
        };
        let _place = match shared.streams.enter(self.peer.ip()) {
            Ok(place) => place,
            Err(Full::OfAddress) => return self.refuse(STREAMS_OF_ADDRESS, collecting.told(), desk),
            Err(Full::OfAll) => return self.refuse(STREAMS_BUSY, collecting.told(), desk),
        };
        let _: Flushed = self.send_output(desk)?;
        let record = self.record(collecting.told(), desk);
        let Collecting { head, fields, body, framed, began, owes_continue, .. } = *collecting;
        let (peer, key, client) = (self.peer, self.key(), self.client_identity());
        let mut streaming = Streaming {
            key,
            transport: &mut self.transport,
            shared,
            me: desk.me,
            framed,
            received: body.len() as u64,
            early: body,
            early_read: 0,
            input,
            began,
            owes_continue,
            fault: None,
        };
        let body = Body::Streaming(&mut streaming);
        let mut request =
            Request::from_wire(&head, &fields, line.clone(), Cow::Owned(path), body, peer, client);
        request.set_params(params);
        let is_gone = || shared.poller.lock().is_gone(key);
        request.set_presence(Presence::Asked(&is_gone));
        let response = call(endpoint, &mut request, desk);
        drop(request);
        let (ended, fault) = streaming.finish();
        if let Some(refusal) = fault {
            self.log_refusal(refusal, desk);
        }
        *since = desk.millis();
        self.has_more = ended && !input.is_empty();
        self.respond(response, &line, line.keep_alive && ended, record, desk)
    }

    /// Calls the handler, or answers in its place; the body is in memory.
    fn answer<'h>(
        &mut self,
        asked: &Asked<'h>,
        body: Cow<'h, [u8]>,
        since: &mut Millis,
        desk: &mut Desk<'_>,
        handlers: Handlers,
    ) -> Turn {
        let shared = desk.shared;
        let record = self.record(asked.told(), desk);
        let response = match judge(shared, asked, *since, desk, handlers) {
            Verdict::Call { .. } if self.has_left(*since, desk) => return Ok(Break(Flow::Close)),
            Verdict::Call { endpoint, params, path } => {
                if shared.workers.expects_slow(endpoint.index) {
                    // Earlier responses do not wait for a handler that is known to take its time.
                    let _: Flushed = self.send_output(desk)?;
                }
                let line = asked.line.clone();
                let client = self.client_identity();
                let key = self.key();
                let is_gone = || shared.poller.lock().is_gone(key);
                let body = Body::Buffered { bytes: body, read: 0 };
                let mut request =
                    Request::from_wire(asked.head, asked.fields, line, path, body, self.peer, client);
                request.set_params(params);
                request.set_presence(Presence::Asked(&is_gone));
                call(endpoint, &mut request, desk)
            }
            Verdict::Answer(response) => response,
            Verdict::Refuse(refusal) => {
                self.log_refusal(refusal, desk);
                refusal.into_response()
            }
            Verdict::Defer => return Ok(Break(Flow::Queue)),
        };
        *since = desk.millis();
        self.respond(response, &asked.line, asked.line.keep_alive, record, desk)
    }

    /// Writes the response: a small one into the desk's output, of a larger one the head.
    fn respond(
        &mut self,
        mut response: Response,
        line: &Line,
        keep_alive: bool,
        record: Option<Box<Record>>,
        desk: &mut Desk<'_>,
    ) -> Turn {
        if response.status.is_informational() {
            let line = format_args!("a handler {}", router::not_final(response.status));
            desk.shared.log_fault("a status that is not final", desk.now(), line);
            response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        // Requests that came before the wish to stop are answered, pipelined ones too.
        let keep_alive = keep_alive && (self.has_more || !desk.shared.is_draining());
        let (method, version, field_names) = (&line.method, line.version, desk.shared.field_names);
        let exchange = Exchange { method, version, keep_alive, has_more: self.has_more, field_names };
        desk.renew_common();
        let begun = desk.output.len();
        let written = write_head(&mut desk.output, &response, exchange, &desk.common);
        let after = if written.keep_alive { After::KeepAlive } else { After::Close };
        let record = record.map(|mut record| {
            record.status = response.status;
            record
        });
        let source = match (written.framing, response.body) {
            // Also of a 205, whatever the handler gave it.
            (Framing::None | Framing::Length(0), _) => Source::Nothing,
            (_, Payload::Bytes(bytes)) => Source::Bytes(Cow::Owned(bytes)),
            (_, Payload::Static(bytes)) => Source::Bytes(Cow::Borrowed(bytes)),
            (_, Payload::Reader { .. }) if !desk.shared.poller.lock().take_reader_place(self.key()) => {
                desk.output.truncate(begun);
                self.log_refusal(READERS_BUSY, desk);
                return self.respond(READERS_BUSY.into_response(), line, keep_alive, record, desk);
            }
            (framing, Payload::Reader { reader, length }) => {
                Source::Reader { reader, left: length, chunked: framing == Framing::Chunked }
            }
        };
        let inline = match &source {
            Source::Bytes(bytes) if bytes.len() <= INLINE_BYTES => &bytes[..],
            Source::Nothing => &[],
            _ => return Ok(self.begin_sending(Sending::new(source, after, record), desk)),
        };
        desk.output.extend_from_slice(inline);
        if let Some(record) = record {
            record.write(inline.len() as u64, "");
        }
        let much = after == After::KeepAlive && Connection::has_much_output(desk);
        if after == After::Close || much && self.send_output(desk)? == Flushed::Blocked {
            return Ok(self.begin_sending(Sending::new(Source::Nothing, after, None), desk));
        }
        // What comes next stands in the stage, so nothing may be put in its place.
        self.begin_head(desk);
        Ok(Continue(()))
    }

    pub(crate) fn respond_and_close(
        &mut self,
        refusal: Refusal,
        told: Told<'_>,
        desk: &mut Desk<'_>,
    ) -> Turn {
        self.write_refusal(refusal, told, desk);
        Ok(self.begin_sending(Sending::new(Source::Nothing, After::Close, None), desk))
    }

    /// Writes the response to a request that is not served, and its line in the access log.
    pub(crate) fn write_refusal(&mut self, refusal: Refusal, told: Told<'_>, desk: &mut Desk<'_>) {
        let record = self.record(told, desk);
        let response = refusal.into_response();
        let (method, version, field_names) = (&told.framing(), Version::Http11, desk.shared.field_names);
        let exchange = Exchange { method, version, keep_alive: false, has_more: false, field_names };
        desk.renew_common();
        let written = write_head(&mut desk.output, &response, exchange, &desk.common);
        let mut length = 0;
        if let (Framing::Length(_), Payload::Bytes(bytes)) = (written.framing, &response.body) {
            desk.output.extend_from_slice(bytes);
            length = bytes.len() as u64;
        }
        if let Some(mut record) = record {
            record.status = refusal.status;
            record.write(length, "");
        }
    }

    /// What the access log will say of a request, if there is one.
    #[inline]
    fn record(&self, told: Told<'_>, desk: &Desk<'_>) -> Option<Box<Record>> {
        desk.shared.access_log.then(|| self.make_record(told, desk))
    }

    #[cold]
    fn make_record(&self, told: Told<'_>, desk: &Desk<'_>) -> Box<Record> {
        let (method, path) = told.method_and_path();
        Box::new(Record {
            method,
            path: path.map(|path| String::from_utf8_lossy(path).into_owned()),
            status: StatusCode::OK,
            began: desk.now(),
            peer: self.peer,
            tls_version: self.transport.tls_version(),
        })
    }
}

/// What is known of a request, for its answer and for the access log.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    /// Nothing: what came is not HTTP over TLS.
    Nothing,
    /// A head, or the beginning of one, that could not be read.
    Head(&'a [u8]),
    /// A head and what it says.
    Line(&'a [u8], &'a Line),
}

impl<'a> Told<'a> {
    /// As far as it decides about the answer: one to HEAD has no body.
    fn framing(self) -> Method {
        match self {
            Told::Nothing => Method::GET,
            Told::Head(head) => request_head::method(head),
            Told::Line(_, line) => line.method.clone(),
        }
    }

    fn method_and_path(self) -> (Option<Method>, Option<&'a [u8]>) {
        match self {
            Told::Nothing => (None, None),
            Told::Head(head) => request_head::asked(head),
            Told::Line(head, line) => (Some(line.method.clone()), Some(line.target.path.of(head))),
        }
    }
}

impl Asked<'_> {
    fn told(&self) -> Told<'_> {
        Told::Line(self.head, &self.line)
    }
}

impl Collecting {
    pub(crate) fn told(&self) -> Told<'_> {
        Told::Line(&self.head, &self.line)
    }

    /// How large the body is, as far as is known by now.
    fn known_bytes(&self) -> u64 {
        let left = match self.framed {
            Framed::Fixed { left } => left,
            Framed::Chunked(_) => 0,
        };
        left + self.body.len() as u64
    }

    /// What the connection is worth when room is needed.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        match self.dropped {
            Some(_) => Idle::Since(now),
            None => Idle::Moving { since: self.began, bytes: self.body.len() as u64, min_rate },
        }
    }

    /// Whether the request is answered, and the rest of its body is only read past.
    pub(crate) fn is_answered(&self) -> bool {
        self.dropped.is_some()
    }

    fn asked(&self) -> Asked<'_> {
        Asked { head: &self.head, fields: &self.fields, line: self.line.clone() }
    }

    /// Takes what the input holds of the body; whether that was the rest of it. Of a body that is larger than is kept in
    /// memory it takes no more than shows that.
    fn take_in(&mut self, input: &mut Input, buffer: u64) -> Result<bool, BodyFault> {
        let keep = |body: &mut Vec<u8>, dropped: &mut Option<u64>, piece: &[u8]| match dropped {
            Some(dropped) => *dropped += piece.len() as u64,
            None => body.extend_from_slice(piece),
        };
        loop {
            let unread = input.unread();
            match &mut self.framed {
                Framed::Fixed { left } => {
                    let length = (unread.len() as u64).min(*left) as usize;
                    keep(&mut self.body, &mut self.dropped, &unread[..length]);
                    input.consume(length);
                    *left -= length as u64;
                    return Ok(*left == 0);
                }
                Framed::Chunked(decoder) => match decoder.next(unread)? {
                    Found::Data(range) => {
                        // One byte more than is kept shows it; how much has come at once must not decide the answer.
                        let most = (buffer + 1).saturating_sub(self.body.len() as u64);
                        let length = (range.len() as u64).min(most) as usize;
                        keep(&mut self.body, &mut self.dropped, &unread[range.start..][..length]);
                        decoder.take(length);
                        input.consume(range.start + length);
                        if self.body.len() as u64 > buffer {
                            return Ok(false);
                        }
                    }
                    Found::More => {
                        input.clear();
                        return Ok(false);
                    }
                    Found::End(at) => {
                        input.consume(at);
                        return Ok(true);
                    }
                },
            }
        }
    }

    /// Reads more of the body: a fixed length straight to where it is kept, chunks to the input.
    fn read_more(
        &mut self,
        transport: &mut super::transport::Transport,
        input: &mut Input,
    ) -> std::io::Result<usize> {
        match &mut self.framed {
            Framed::Fixed { left } if self.dropped.is_none() => {
                let have = self.body.len();
                self.body.resize(have + (*left).min(BODY_STEP_BYTES as u64) as usize, 0);
                let result = transport.read(&mut self.body[have..]);
                let read = *result.as_ref().unwrap_or(&0);
                self.body.truncate(have + read);
                *left -= read as u64;
                result
            }
            Framed::Fixed { .. } | Framed::Chunked(_) => {
                let result = transport.read(input.room());
                input.filled(*result.as_ref().unwrap_or(&0));
                result
            }
        }
    }

    /// When the body must be there, given what has come.
    fn deadline(&self, timeout: Duration, min_rate: u64) -> Deadline {
        let at = body_deadline(self.began, timeout, min_rate, self.body.len() as u64);
        Deadline::of(Limit::BodyTimeout, at)
    }
}

/// From the head's end, prolonged by the time that `received` bytes may take.
pub(crate) fn body_deadline(began: Millis, timeout: Duration, min_rate: u64, received: u64) -> Millis {
    began + timeout.as_millis() as Millis + received.saturating_mul(1_000) / min_rate
}

/// What is to be done with a request, as far as its head tells.
fn judge<'s, 'h>(
    shared: &'s crate::server::Shared,
    asked: &Asked<'h>,
    since: Millis,
    desk: &Desk<'_>,
    handlers: Handlers,
) -> Verdict<'s, 'h> {
    let raw = asked.line.target.path.of(asked.head);
    let mut path = match shared.router.decode(raw) {
        Ok(path) => path,
        Err(refusal) => return Verdict::Refuse(refusal),
    };
    let found = if shared.router.is_marked(&path) {
        match shared.router.find_marked(&asked.line.method, &path) {
            Ok((found, with_slashes)) => {
                path = Cow::Owned(with_slashes);
                found
            }
            Err(refusal) => return Verdict::Refuse(refusal),
        }
    } else {
        shared.router.find(&asked.line.method, &path)
    };
    let (endpoint, params) = match found {
        router::Found::Handler(endpoint, params) => (endpoint, params),
        router::Found::Answer(response) => return Verdict::Answer(response),
    };
    let waited = Duration::from_millis(desk.millis().saturating_sub(since));
    match handlers {
        Handlers::Call if waited <= shared.limits.queue_timeout => Verdict::Call { endpoint, params, path },
        Handlers::Refuse if waited <= shared.limits.queue_timeout => Verdict::Refuse(QUEUE_FULL),
        Handlers::Call | Handlers::Refuse => Verdict::Refuse(BUSY),
        Handlers::Defer => Verdict::Defer,
    }
}

/// Calls a handler, and writes to the log what went wrong in it.
fn call(endpoint: &Endpoint, request: &mut Request<'_>, desk: &mut Desk<'_>) -> Response {
    let began = desk.look();
    desk.shared.enter_handler(desk.me, Some(endpoint.index), desk.millis());
    let response = endpoint.call(request);
    let took = desk.look().saturating_sub(began);
    desk.shared.leave_handler(desk.me, Some(endpoint.index), took);
    if handler_call::went_wrong() {
        log_faults(request, desk);
    }
    response
}

#[cold]
fn log_faults(request: &Request<'_>, desk: &Desk<'_>) {
    for Fault { what, text } in handler_call::faults() {
        desk.shared.log_fault(what, desk.now(), format_args!("{}", router::told(request, &text)));
    }
}

/// How a fault of the body is answered when no handler has been called yet.
pub(crate) fn refusal_of(fault: &BodyFault) -> Refusal {
    match fault {
        BodyFault::TooLarge { .. } => TOO_LARGE,
        BodyFault::TimedOut { .. } => Refusal::over(
            Limit::BodyTimeout,
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive in time",
        ),
        BodyFault::Malformed(detail) => Refusal::bad_request(detail),
        _ => Refusal::bad_request("the request's body could not be read"),
    }
}

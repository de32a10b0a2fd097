//! The main line of a connection: one request and its response after the other. It reads a head, decides what to do with the
//! request, finds its route, calls the handler and writes the response, until the connection has to wait. `request` decides,
//! and this file acts. `state` calls it between handshake and end, and moves the connection to the stage that it returns.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::ops::Range;

use ::http::StatusCode;

use super::asked::{Asked, Held, Told};
#[cfg(feature = "proxy")]
use super::body::Reader;
use super::collecting::Collecting;
use super::head::Head;
use super::link::{Caller, Link, Serves};
use super::log_lines::{self, Record};
use super::next::{sending, Next};
use super::on_response;
#[cfg(feature = "handler-timeout")]
use super::pending;
use super::request::{self, Circumstances, Decision, Instead, Route, Unread, NOT_LET_IN, READERS_BUSY};
use super::response::{self, After, Written};
use super::step::Turn;
use super::streaming::{self, Finished, Streaming};
use super::transport::{Flushed, Stream};
#[cfg(feature = "upgrade")]
use super::upgraded;
use crate::handler_call::{self, Fault};
use crate::http::body::Body;
use crate::http::into_response::IntoResponse;
use crate::http::origin::Sender;
use crate::http::params::{OnRoute, Params};
use crate::http::request::Request;
use crate::http::request_head::{Found, Line};
use crate::http::response::Response;
use crate::http::response_head::{write_head, Exchange, Persistence};
use crate::http::seen::Fields;
use crate::http::Refusal;
use crate::router;
use crate::router::routes::Matched;
use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::turn::Handlers;

/// Responses to pipelined requests are sent together, up to this many bytes.
const OUTPUT_BYTES: usize = 16 * 1024;

/// Serves requests, until the connection has to wait or has something else to do.
pub(crate) fn go_on<S: Stream>(
    link: &mut Link<S>,
    head: &mut Head,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    loop {
        let Turn { input, buffers, .. } = &mut *turn;
        if !input.is_empty() {
            let (unread, fields) = input.unread_and_fields();
            match head.search.find(unread, buffers.limits(), fields) {
                Found::Nothing => {}
                Found::Part => link.note_begun(head, buffers),
                Found::Whole(at, line) => match serve(link, head, at, line, turn)? {
                    Next::Head if link.unread.is_none() => {
                        *head = Head::default();
                        link.await_request(turn.buffers);
                        continue;
                    }
                    next => return Ok(next),
                },
                Found::Refused(refusal, at) => {
                    return Ok(refuse(link, refusal, Told::Head(&unread[at]), buffers));
                }
            }
        }
        if link.transport.send_output(&mut buffers.output)? == Flushed::Blocked {
            return Ok(sending(After::KeepAlive));
        }
        match link.transport.read(input.room()) {
            Ok(0) => {
                link.say_goodbye();
                return Ok(if head.has_begun { Next::CutOff } else { Next::Close });
            }
            Ok(read) => input.filled(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
            Err(error) => return Err(error),
        }
    }
}

/// Serves the request whose head stands `at` this place of the input.
#[inline(always)]
fn serve<S: Stream>(
    link: &mut Link<S>,
    head: &mut Head,
    at: Range<usize>,
    line: Line,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    let Turn { since, handlers, input, buffers } = turn;
    let context = buffers.context;
    if buffers.requests_left == 0 || !context.workers.has_permit(buffers.me) {
        // Others get their turn, or the last handler has blocked and another worker has the permit.
        return Ok(Next::Again);
    }
    if link.transport.is_blocked() && link.transport.flush()? == Flushed::Blocked {
        // A client that does not read its responses gets no further ones.
        return Ok(sending(After::KeepAlive));
    }
    buffers.requests_left -= 1;
    #[cfg(feature = "operations")]
    link.begin_request(buffers);
    let (unread, fields) = input.unread_and_fields();
    let (end, rest) = (at.end, &unread[at.end..]);
    let asked = Asked { head: &unread[at], fields, line };
    #[cfg(feature = "operations")]
    super::in_front::name_client(link, &asked, buffers);
    if !link.is_still_let_in(buffers) {
        return Ok(respond_and_close(link, NOT_LET_IN, asked.told(), buffers));
    }
    let (now, rate) = (buffers.millis(), link.count_request(head, buffers));
    let circumstances = Circumstances { waited: now.saturating_sub(*since), arrived: rest.len(), now, rate };
    let body = match request::decide(buffers.limits(), &context.router, &asked, circumstances) {
        Decision::Answer(body) => body,
        Decision::Instead(instead) => {
            let (next, used) = carry_out(link, instead, asked, rest, (*since, *handlers), buffers)?;
            match next {
                // The request is read again.
                Next::OtherWorker(_) => return Ok(next),
                Next::Head => *since = buffers.millis(),
                _ => {}
            }
            input.consume(end + used);
            return Ok(next);
        }
    };
    let found = context.router.routes.find(&asked.line.method, asked.raw_path());
    let route = request::route(buffers.limits(), found, circumstances.waited, *handlers);
    match &route {
        Route::OtherWorker => return Ok(Next::OtherWorker(None)),
        Route::Call(_) if link.has_left(*since, buffers) => return Ok(Next::Close),
        Route::Call(_) | Route::Response(_) | Route::Refused(_) => {}
    }
    let persistence = request::persistence(&asked.line, rest.len() - body);
    let next = answer(link, &asked, Cow::Borrowed(&rest[..body]), route, persistence, buffers)?;
    *since = buffers.millis();
    input.consume(end + body);
    Ok(next)
}

/// Calls the handler, or answers instead of it. The body is in memory.
#[inline]
fn answer<'h, S: Stream>(
    link: &mut Link<S>,
    asked: &Asked<'h>,
    body: Cow<'h, [u8]>,
    route: Route<'_, 'h>,
    persistence: Persistence,
    buffers: &mut Buffers<'_>,
) -> io::Result<Next> {
    #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
    let mut record = Record::of(asked.told(), link.peer, &link.transport, buffers);
    let response = match route {
        Route::Call(matched) => {
            #[cfg(feature = "operations")]
            log_lines::note_route(&mut record, matched.call);
            if buffers.context.workers.expects_slow(matched.call.index()) {
                // Earlier responses do not wait for a handler that is known to be slow.
                let _: Flushed = link.transport.send_output(&mut buffers.output)?;
            }
            call(matched, asked, Body::Buffered { bytes: body, read: 0 }, link.caller(), buffers)
        }
        Route::Response(response) => buffers.without_call(response),
        Route::Refused(refusal) => {
            buffers.note_no_call();
            log_lines::refusal(link.peer, refusal, buffers);
            refusal.into_response()
        }
        Route::OtherWorker => return Ok(Next::OtherWorker(None)),
    };
    respond(link, response, asked, persistence, record, buffers)
}

/// Calls the handler, measures how long it took, and logs its faults.
#[inline]
fn call(
    matched: Matched<'_, '_>,
    asked: &Asked<'_>,
    body: Body<'_>,
    caller: Caller,
    buffers: &mut Buffers<'_>,
) -> Response {
    let Matched { call, values, path } = matched;
    let Caller { peer, key, tls, client, .. } = caller;
    // The compiler does not shorten the lifetime of the reader by itself.
    let body = match body {
        Body::Buffered { bytes, read } => Body::Buffered { bytes, read },
        Body::Streaming(reader) => Body::Streaming(reader),
    };
    let server = Serves { scheduler: buffers.scheduler, key, tls };
    #[cfg(feature = "operations")]
    let id = buffers.id.clone();
    let sender = Sender {
        peer,
        client,
        server: &server,
        #[cfg(feature = "operations")]
        id: &id,
        #[cfg(feature = "operations")]
        in_front: caller.in_front.as_ref(),
    };
    let mut request = Request::from_wire(asked.head, asked.fields, asked.line.clone(), path, body, sender);
    request.set_params(Params { route: call.route().map_or(OnRoute::None, OnRoute::Borrowed), values });
    let began = buffers.look();
    buffers.enter_handler(Some(call.index()));
    let response = call.run(&mut request, |refusal| {
        log_lines::refusal(peer, refusal, buffers);
        refusal.into_response()
    });
    if !request.extensions().is_empty() {
        end_values(&mut request, buffers);
    }
    let took = buffers.look().saturating_sub(began);
    buffers.leave_handler(Some(call.index()), took);
    buffers.note_call(call.index(), took);
    if handler_call::went_wrong() {
        log_faults(&request, buffers);
    }
    response
}

/// Drops the program's values in a request, or keeps them for its `on_response`.
#[inline(never)]
fn end_values(request: &mut Request<'_>, buffers: &mut Buffers<'_>) {
    on_response::keep_values(std::mem::take(request.extensions_mut()), buffers);
}

#[cold]
fn log_faults(request: &Request<'_>, buffers: &Buffers<'_>) {
    for Fault { what, text } in handler_call::faults() {
        buffers.log_fault(what, format_args!("{}", router::told(request, &text)));
    }
}

/// Writes a response to the output: a small one whole, of a larger one the head.
pub(super) fn respond<S: Stream>(
    link: &mut Link<S>,
    mut response: Response,
    asked: &Asked<'_>,
    persistence: Persistence,
    record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> io::Result<Next> {
    let Buffers { context, .. } = *buffers;
    #[cfg(feature = "handler-timeout")]
    if pending::is_for(&response) {
        let waiting = pending::wait(link, &mut response, asked, persistence, record, buffers);
        return Ok(waiting.map_or(Next::Close, Next::Pending));
    }
    if response.status.is_informational() {
        #[cfg(feature = "upgrade")]
        if response.switches() {
            match upgraded::refusal(&response, asked, link.unread.is_some()) {
                None => return Ok(upgraded::switch(link, response, asked, record, buffers).into()),
                Some(instead) => return respond(link, instead, asked, persistence, record, buffers),
            }
        }
        response = not_final(&response, buffers);
    }
    if let Some(functions) = &context.on_response {
        let known = (asked.told(), Fields::Read(asked.head, asked.fields));
        on_response::pass_answer(&**functions, &link.caller(), known, &mut response, buffers);
    }
    // Requests that came before the stop are answered, pipelined ones too.
    let persistence = match persistence {
        Persistence::Idle if context.stopping.closes_kept() => Persistence::Close,
        persistence => persistence,
    };
    let (method, version, field_names) = (&asked.line.method, asked.line.version, context.field_names);
    buffers.renew_common();
    let begun = buffers.output.len();
    let exchange = Exchange { method, version, persistence, field_names };
    let head = write_head(&mut buffers.output, &response, exchange, &buffers.common);
    Ok(match response::write_body(response, head, record, link.key, buffers) {
        Written::Whole(After::KeepAlive) if buffers.output.len() < OUTPUT_BYTES => Next::Head,
        Written::Whole(After::KeepAlive) => match link.transport.send_output(&mut buffers.output)? {
            Flushed::All => Next::Head,
            Flushed::Blocked => sending(After::KeepAlive),
        },
        Written::Whole(After::Close) => sending(After::Close),
        Written::Begun(sending) => Next::Sending(sending),
        Written::NoReaderPlace(record) => {
            buffers.output.truncate(begun);
            log_lines::refusal(link.peer, READERS_BUSY, buffers);
            return respond(link, READERS_BUSY.into_response(), asked, persistence, record, buffers);
        }
    })
}

/// The answer for a handler that returns an interim status (1xx).
#[cold]
fn not_final(response: &Response, buffers: &Buffers<'_>) -> Response {
    buffers.log_fault(
        "a status that is not final",
        format_args!("a handler {}", router::not_final(response.status)),
    );
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Does something else than to follow the request's route. `rest` is what has come after the head. Also returns how many bytes of
/// it belong to the request.
#[inline(never)]
fn carry_out<S: Stream>(
    link: &mut Link<S>,
    instead: Instead,
    asked: Asked<'_>,
    rest: &[u8],
    (since, handlers): (Millis, Handlers),
    buffers: &mut Buffers<'_>,
) -> io::Result<(Next, usize)> {
    let (body, route, persistence) = match instead {
        Instead::AnswerRefused(body, refusal) => {
            (body, Route::Refused(refusal), request::persistence(&asked.line, rest.len() - body))
        }
        Instead::CallUnread(Unread { reader, persistence }) => {
            match find_route(&asked, since, handlers, buffers) {
                Route::OtherWorker => return Ok((Next::OtherWorker(None), 0)),
                Route::Call(_) if link.has_left(since, buffers) => return Ok((Next::Close, 0)),
                route => {
                    link.unread = Some(Box::new(reader));
                    (0, route, persistence)
                }
            }
        }
        Instead::Collect(called, reader) => {
            let memory = buffers.context.body_memory.share();
            return Ok((Next::Body(Box::new(Collecting::new(Held::new(asked), called, reader, memory))), 0));
        }
        Instead::AnswerUnread(response, Unread { reader, persistence }) => {
            let record = Record::of(asked.told(), link.peer, &link.transport, buffers);
            buffers.note_no_call();
            link.unread = Some(Box::new(reader));
            return Ok((respond(link, response, &asked, persistence, record, buffers)?, 0));
        }
        Instead::Refuse(refusal) => return Ok((refuse(link, refusal, asked.told(), buffers), 0)),
    };
    let next = answer(link, &asked, Cow::Borrowed(&rest[..body]), route, persistence, buffers)?;
    Ok((next, body))
}

/// Answers a request whose body is collected.
pub(crate) fn answer_collected<S: Stream>(
    link: &mut Link<S>,
    mut collecting: Box<Collecting>,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    let Turn { since, handlers, input, buffers } = turn;
    let body = std::mem::take(&mut collecting.body);
    let asked = collecting.held.asked();
    match find_route(&asked, *since, *handlers, buffers) {
        Route::OtherWorker => {
            collecting.body = body;
            Ok(Next::OtherWorker(Some(collecting)))
        }
        Route::Call(_) if link.has_left(*since, buffers) => Ok(Next::Close),
        route => {
            let persistence = request::persistence(&asked.line, input.unread().len());
            let next = answer(link, &asked, Cow::Owned(body), route, persistence, buffers)?;
            *since = buffers.millis();
            #[cfg(feature = "handler-timeout")]
            if let Some(work) = &mut buffers.work {
                work.memory = Some(collecting.memory);
            }
            Ok(next)
        }
    }
}

/// Answers a request with a body too large to be kept in memory: the handler reads it from the connection.
pub(crate) fn answer_streaming<S: Stream>(
    link: &mut Link<S>,
    collecting: Box<Collecting>,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    let Turn { since, handlers, input, buffers } = turn;
    let context = buffers.context;
    let asked = collecting.held.asked();
    let matched = match find_route(&asked, *since, *handlers, buffers) {
        Route::Call(_) if link.has_left(*since, buffers) => return Ok(Next::Close),
        Route::Call(matched) => matched,
        Route::Response(response) => {
            buffers.note_no_call();
            let record = Record::of(asked.told(), link.peer, &link.transport, buffers);
            return respond(link, response, &asked, Persistence::Close, record, buffers);
        }
        Route::Refused(refusal) => return Ok(refuse(link, refusal, asked.told(), buffers)),
        Route::OtherWorker => return Ok(Next::OtherWorker(Some(collecting))),
    };
    let place = match streaming::enter(&context.streams, link.counted_address(), collecting.called) {
        Ok(place) => place,
        Err(refusal) => return Ok(refuse(link, refusal, asked.told(), buffers)),
    };
    let _: Flushed = link.transport.send_output(&mut buffers.output)?;
    #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
    let mut record = Record::of(asked.told(), link.peer, &link.transport, buffers);
    #[cfg(feature = "operations")]
    log_lines::note_route(&mut record, matched.call);
    let caller = link.caller();
    let mut streaming = Streaming {
        key: link.key,
        transport: &mut link.transport,
        context,
        scheduler: buffers.scheduler,
        me: buffers.me,
        reader: collecting.reader,
        early: io::Cursor::new(collecting.body),
        input,
        fault: None,
        memory: collecting.memory,
        place,
        #[cfg(feature = "proxy")]
        is_passed_on: false,
    };
    let response = call(matched, &asked, Body::Streaming(&mut streaming), caller, buffers);
    #[cfg(feature = "proxy")]
    if streaming.is_passed_on {
        let reader = streaming.into_reader();
        *since = buffers.millis();
        return await_passed_on(link, response, &asked, reader, record, buffers);
    }
    let finished = streaming.finish();
    if let Finished::Failed(refusal) = finished {
        log_lines::refusal(link.peer, refusal, buffers);
    }
    *since = buffers.millis();
    // The start of the next request is known only when this body was read to its end.
    let persistence = match finished {
        Finished::Whole => request::persistence(&asked.line, input.unread().len()),
        Finished::Part | Finished::Failed(_) => Persistence::Close,
    };
    respond(link, response, &asked, persistence, record, buffers)
}

/// Waits for the response of a handler that has taken the body over. If it has given another one, the rest of the body is unread.
#[cfg(feature = "proxy")]
fn await_passed_on<S: Stream>(
    link: &mut Link<S>,
    mut response: Response,
    asked: &Asked<'_>,
    reader: Reader,
    record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> io::Result<Next> {
    if !pending::is_for(&response) {
        return respond(link, response, asked, Persistence::Close, record, buffers);
    }
    link.unread = Some(Box::new(reader));
    let persistence = request::persistence(&asked.line, 0);
    let waiting = pending::wait(link, &mut response, asked, persistence, record, buffers);
    Ok(waiting.map_or(Next::Close, Next::Pending))
}

/// Finds what answers a request whose work came at `since`.
fn find_route<'s, 'h>(
    asked: &Asked<'h>,
    since: Millis,
    handlers: Handlers,
    buffers: &Buffers<'s>,
) -> Route<'s, 'h> {
    let context = buffers.context;
    let found = context.router.routes.find(&asked.line.method, asked.raw_path());
    request::route(buffers.limits(), found, buffers.millis().saturating_sub(since), handlers)
}

/// Refuses a request, and closes the connection, because the end of the request is unknown or not worth finding.
pub(crate) fn refuse<S: Stream>(
    link: &mut Link<S>,
    refusal: Refusal,
    told: Told<'_>,
    buffers: &mut Buffers<'_>,
) -> Next {
    log_lines::refusal(link.peer, refusal, buffers);
    respond_and_close(link, refusal, told, buffers)
}

fn respond_and_close<S: Stream>(
    link: &mut Link<S>,
    refusal: Refusal,
    told: Told<'_>,
    buffers: &mut Buffers<'_>,
) -> Next {
    let record = Record::of(told, link.peer, &link.transport, buffers);
    let mut response = refusal.into_response();
    if let Some(functions) = &buffers.context.on_response {
        let known = (told, Fields::Unread(told.head()));
        on_response::pass(&**functions, &link.caller(), known, &mut response, buffers);
    }
    response::write_refusal(&response, told, record, buffers);
    sending(After::Close)
}

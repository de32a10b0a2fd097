//! Lets the program change the head of each response before it is written: `ServerBuilder::on_response`. A panic of the program
//! costs its changes and nothing else. Knows what is known of the request, and no transport. `exchange` calls it for each answer,
//! if the program has asked for it.

use ::http::{Extensions, Method};

use super::asked::Told;
use super::link::Caller;
use super::log_lines;
use super::request::READERS_BUSY;
use crate::handler_call::{self, Fault};
use crate::http::content::Content;
use crate::http::into_response::IntoResponse;
use crate::http::response::{Payload, Response};
use crate::http::seen::{Fields, ResponseHead, Seen, SeenRoute};
use crate::server::buffers::Buffers;

/// Passes the response to a request whose head was read, and what is to be sent instead if its reader has no place. So the program
/// never sees a response that does not leave.
#[inline(never)]
pub(crate) fn pass_answer(
    caller: &Caller,
    told: Told<'_>,
    fields: Fields<'_>,
    response: &mut Response,
    buffers: &mut Buffers<'_>,
) {
    if needs_reader(response, &told.framing()) && !buffers.scheduler.take_reader_place(caller.key) {
        log_lines::refusal(caller.peer, READERS_BUSY, buffers);
        *response = READERS_BUSY.into_response();
    }
    pass(caller, told, fields, response, buffers);
}

/// Whether the response's reader will be read.
fn needs_reader(response: &Response, method: &Method) -> bool {
    matches!(response.body, Payload::Reader { .. })
        && *method != Method::HEAD
        && Content::of(response.status) == Content::Any
        && response.body.length() != Some(0)
}

/// Passes a response to the program's functions, one after the other.
#[inline(never)]
pub(crate) fn pass(
    caller: &Caller,
    told: Told<'_>,
    fields: Fields<'_>,
    response: &mut Response,
    buffers: &mut Buffers<'_>,
) {
    let context = buffers.context;
    let values = std::mem::take(&mut buffers.values);
    let (method, path) = told.method_and_path();
    let (peer, client) = (Some(caller.peer), caller.client.as_deref());
    let find = || context.router.routes.route(path?);
    let route = SeenRoute::Find(&find);
    let seen = Seen { method: method.clone(), path, route, fields, peer, client, extensions: &values };
    let began = buffers.look();
    buffers.enter_handler(None);
    for change in &context.on_response {
        let before = response.copy_of_head();
        let done =
            handler_call::run("a panic in on_response", || change(&seen, &mut ResponseHead::of(response)));
        if done.is_none() {
            response.restore_head(before);
        }
    }
    // The faults tell what went wrong.
    let _: Option<()> = handler_call::run("a panic in on_response", || drop::<Extensions>(values));
    let took = buffers.look().saturating_sub(began);
    buffers.leave_handler(None, took);
    if handler_call::went_wrong() {
        // What could be read of them is ASCII.
        let method = method.as_ref().map_or("-", Method::as_str);
        let path = path.map_or("-".into(), String::from_utf8_lossy);
        for Fault { what, text } in handler_call::faults() {
            context.log_fault(what, buffers.now(), format_args!("on_response for {method} {path} {text}"));
        }
    }
}

//! Passes each response to the program's functions before its head is written, if there are any. Knows what is known of the request,
//! and no transport. `exchange` calls it.

use ::http::{Extensions, Method};

use super::asked::Told;
use super::link::Caller;
use super::log_lines;
use super::request::READERS_BUSY;
use crate::handler_call;
use crate::http::content::Content;
use crate::http::into_response::IntoResponse;
use crate::http::response::{Payload, Response};
use crate::http::seen::Fields;
use crate::server::buffers::Buffers;
use crate::server::on_response::{OnResponse, Passing};

/// Passes the response to a request whose head was read, and what is to be sent instead if its reader has no place. So the program
/// never sees a response that does not leave.
#[inline(never)]
pub(crate) fn pass_answer(
    functions: &dyn OnResponse,
    caller: &Caller,
    (told, fields): (Told<'_>, Fields<'_>),
    response: &mut Response,
    buffers: &mut Buffers<'_>,
) {
    if needs_reader(response, &told.framing()) && !buffers.scheduler.take_reader_place(caller.key) {
        log_lines::refusal(caller.peer, READERS_BUSY, buffers);
        *response = READERS_BUSY.into_response();
    }
    pass(functions, caller, (told, fields), response, buffers);
}

/// Keeps the program's values in a request for its functions, or drops them.
pub(crate) fn keep_values(values: Extensions, buffers: &mut Buffers<'_>) {
    if buffers.context.on_response.is_some() {
        buffers.values = values;
        return;
    }
    // They may panic, like the handler. The faults tell what went wrong.
    let _: Option<()> = handler_call::run("a panic in a handler", || drop(values));
}

/// Whether the response's reader will be read.
fn needs_reader(response: &Response, method: &Method) -> bool {
    matches!(response.body, Payload::Reader { .. })
        && *method != Method::HEAD
        && Content::of(response.status) == Content::Any
        && response.body.length() != Some(0)
}

/// Passes a response. While the functions run, the worker counts as inside a handler, so that others go on if they block.
#[inline(never)]
pub(crate) fn pass(
    functions: &dyn OnResponse,
    caller: &Caller,
    (told, fields): (Told<'_>, Fields<'_>),
    response: &mut Response,
    buffers: &mut Buffers<'_>,
) {
    let (method, path) = told.method_and_path();
    #[cfg(feature = "operations")]
    let id = buffers.id.clone();
    let passing = Passing {
        method,
        path,
        fields,
        peer: caller.peer,
        client: caller.client.as_deref(),
        values: std::mem::take(&mut buffers.values),
        routes: &buffers.context.router.routes,
        log_limiter: &buffers.context.log_limiter,
        now: buffers.now(),
        #[cfg(feature = "operations")]
        in_front: caller.in_front.as_deref(),
        #[cfg(feature = "operations")]
        id: &id,
    };
    let began = buffers.look();
    buffers.enter_handler(None);
    functions.pass(passing, response);
    let took = buffers.look().saturating_sub(began);
    buffers.leave_handler(None, took);
}

//! What a proxy's handler does with a request: decides whether it is passed on, writes it for the backend, and begins the exchange.
//! `mod` makes the handler.

use std::sync::Arc;
use std::time::Instant;

use ::http::StatusCode;

use super::asked::Asked;
use super::chosen::Waiting;
use super::error_page::{self, Shows};
use super::exchange::Exchange;
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::pending::Awaited;
use super::request::{self, Framing};
use super::shared::Shared;
use super::{blocking, content, methods, prefix};
use crate::error::Error;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::Response;

const NO_MEMORY: &str = "The memory for requests that are passed on is used up.";

/// The answer of a proxy's handler: one that comes later, unless the request gets none from a backend.
pub(super) fn pass_on(shared: &Arc<Shared>, request: &mut Request<'_>) -> Response {
    match begin(shared, request) {
        Ok(response) | Err(response) => response,
    }
}

fn begin(shared: &Arc<Shared>, request: &mut Request<'_>) -> Result<Response, Response> {
    if shared.settings.fault.is_some() {
        return Err(Failure::Own("a setting is wrong").answer(Shows::of(request), false));
    }
    if let Some(answer) = methods::own_answer(request) {
        return Ok(answer);
    }
    let arrived = Instant::now();
    let path = prefix::for_backend(shared.settings.prefix.as_ref(), request.raw_path())
        .map_err(IntoResponse::into_response)?
        .to_vec();
    let authority = request::authority_of(request);
    let mut memory = shared.memory.share();
    let shows = Shows::of(request);
    let (body, framing, rest, expects_continue) =
        content::of(shared, request).map_err(IntoResponse::into_response)?;
    if !memory.cover(body.len()) {
        return Err(error_page::answer(shows, StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY, Some(1)));
    }
    let mut bytes = Vec::with_capacity(512 + body.len());
    let (settings, host) = (&shared.settings, authority.as_deref());
    request::write_head(&mut bytes, request, &path, host, settings, framing, expects_continue);
    let outgoing = Outgoing::new(bytes, rest, &body, expects_continue, memory);
    let method = request.method().clone();
    let wants_tunnel = request::wants_tunnel(request);
    let wants_trailers = request::wants_trailers(request);
    let scheme = request::scheme_of(request);
    let asked = Asked {
        method,
        scheme,
        authority,
        wants_tunnel,
        wants_trailers,
        shows,
        #[cfg(feature = "operations")]
        id: request.origin().id().clone(),
    };
    let waiting = Waiting::new(shared.clone(), framing == Framing::Chunked, arrived);
    let exchange = Exchange::new(waiting, asked, outgoing);
    if request.origin().waits_for_responses() {
        return Ok(Response::pending(Awaited::new(exchange)));
    }
    blocking::answer(exchange)
        .map_err(|source| Error::Io { doing: "waiting for a backend", source }.into_response())
}

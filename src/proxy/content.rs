//! The body of a client's request, as far as it has come when the request is passed on. `mod` sends it.

use super::outgoing::BodyToCome;
use super::request::Framing;
use super::shared::Shared;
use crate::error::Error;
use crate::http::as_read;
use crate::http::passing::OnItsWay;
use crate::http::request::Request;

/// The body as far as it has come, how its end is told, what comes later, and whether the client waits for `100 Continue`.
pub(super) type Content = (Vec<u8>, Framing, BodyToCome, bool);

pub(super) fn of(shared: &Shared, request: &mut Request<'_>) -> Result<Content, Error> {
    // A backend of HTTP/1.0 has to know the length, and a caller without a server waits for the whole body too.
    let waits = request.origin().waits_for_responses();
    let collects = !waits || as_read::is_chunked(request) && shared.targets.lock().are_old();
    match if collects { None } else { as_read::body_on_its_way(request) } {
        Some(OnItsWay { come, length, expects_continue }) => Ok(match length {
            Some(length) => (come, Framing::Length(length), BodyToCome::Bytes, expects_continue),
            None => (come, Framing::Chunked, BodyToCome::Chunks, expects_continue),
        }),
        None => {
            let body = request.rest_of_body(u64::MAX)?.into_owned();
            let length = body.len() as u64;
            Ok((body, Framing::Length(length), BodyToCome::Nothing, false))
        }
    }
}

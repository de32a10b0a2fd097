//! A request as it was read of the wire, for who passes it on. Knows requests. `proxy` asks.

use super::body::Body;
use super::passing::OnItsWay;
use super::request::Request;
use super::request_head::{BodyLength, Version};
use super::span::Field;
use super::upgrade;

/// All fields, with their names as they came.
pub(crate) fn fields<'r>(request: &'r Request<'_>) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
    let (head, fields): (&'r [u8], &'r [Field]) = (&request.head, &request.fields);
    fields.iter().map(move |field| (field.name.of(head), field.value.of(head)))
}

/// The host that the request is for, and its port if the client has named one.
pub(crate) fn authority<'r>(request: &'r Request<'_>) -> Option<(&'r str, Option<u16>)> {
    Some((request.host()?, request.line.host?.port))
}

/// Whether the request may ask for another protocol.
pub(crate) fn can_switch(request: &Request<'_>) -> bool {
    upgrade::can_switch(&request.line)
}

/// Whether the body comes in chunks, so that its length is not known.
pub(crate) fn is_chunked(request: &Request<'_>) -> bool {
    request.line.body == BodyLength::Chunked
}

/// Takes the body over, if it is still on its way.
pub(crate) fn body_on_its_way(request: &mut Request<'_>) -> Option<OnItsWay> {
    match &mut request.body {
        Body::Streaming(source) => source.pass_on(),
        Body::Buffered { .. } => None,
    }
}

pub(crate) fn is_http10(request: &Request<'_>) -> bool {
    request.line.version == Version::Http10
}

//! Calls a handler, measures how long it took, and logs its faults. `link` calls it with a body in memory, or with a reader of
//! the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::asked::Asked;
use crate::handler_call::{self, Fault};
use crate::http::body::Body;
use crate::http::request::{Presence, Request};
use crate::http::response::Response;
use crate::router;
use crate::router::routes::Matched;
use crate::server::buffers::Buffers;
use crate::tls::ClientIdentity;

/// Who sent the request.
pub(crate) struct Caller {
    pub peer: SocketAddr,
    /// The connection's key.
    pub key: usize,
    pub client: Option<Arc<ClientIdentity>>,
}

/// Calls the handler, and logs its faults.
#[inline]
pub(crate) fn call(
    matched: Matched<'_, '_>,
    asked: &Asked<'_>,
    body: Body<'_>,
    caller: Caller,
    buffers: &mut Buffers<'_>,
) -> Response {
    let Matched { endpoint, params, path } = matched;
    let Caller { peer, key, client } = caller;
    let scheduler = buffers.scheduler;
    // The compiler does not shorten the lifetime of the reader by itself.
    let body = match body {
        Body::Buffered { bytes, read } => Body::Buffered { bytes, read },
        Body::Streaming(reader) => Body::Streaming(reader),
    };
    let is_gone = || scheduler.is_gone(key);
    let mut request =
        Request::from_wire(asked.head, asked.fields, asked.line.clone(), path, body, peer, client);
    request.set_params(params);
    request.set_presence(Presence::Asked(&is_gone));
    let began = buffers.look();
    buffers.enter_handler(Some(endpoint.index));
    let response = endpoint.call(&mut request);
    let took = buffers.look().saturating_sub(began);
    buffers.leave_handler(Some(endpoint.index), took);
    if handler_call::went_wrong() {
        log_faults(&request, buffers);
    }
    response
}

#[cold]
fn log_faults(request: &Request<'_>, buffers: &Buffers<'_>) {
    for Fault { what, text } in handler_call::faults() {
        buffers.context.log_fault(what, buffers.now(), format_args!("{}", router::told(request, &text)));
    }
}

//! A handler as the router stores it, and the call of it. Knows requests and responses. The router stores handlers; `call` calls
//! them.

use std::sync::Arc;

use ::http::StatusCode;

use crate::handler_call;
use crate::http::handler::Handler;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::Response;

/// A handler of any type. Work that goes on while its connection waits shares it.
type Function = Arc<dyn Fn(&mut Request<'_>) -> Response + Send + Sync>;

/// A handler, and when it is called.
pub(super) struct Stored {
    pub(super) function: Function,
    #[cfg(feature = "proxy")]
    pub(super) called: Called,
}

/// When a handler is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// When the request's body has come, or is known to be too large for that.
    WithBody,
    /// When the head has come. Its response passes the body on.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    BeforeBody,
}

impl Stored {
    pub(super) fn new(function: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static) -> Stored {
        Stored {
            function: Arc::new(function),
            #[cfg(feature = "proxy")]
            called: Called::WithBody,
        }
    }
}

/// Stores a handler: it is called, and what it returns becomes a response.
pub(super) fn handler<R: IntoResponse>(handler: impl Handler<R>) -> Stored {
    let stored = Stored::new(move |request| handler(request).into_response());
    #[cfg(feature = "proxy")]
    if R::PASSES_BODY_ON {
        return Stored { called: Called::BeforeBody, ..stored };
    }
    stored
}

/// A handler and its number within its router.
pub(crate) struct Endpoint {
    pub(super) handler: Stored,
    /// Counts from 0. A server keeps what it knows about a handler under this number.
    pub(crate) index: usize,
    /// The number of the scope whose layers are around it, if the router has scopes.
    pub(super) scope: usize,
}

impl Endpoint {
    /// Calls the handler. After a panic the client gets 500, and no other client notices. The call's
    /// [`faults`](handler_call::faults) say what went wrong.
    #[inline(always)]
    pub(super) fn call(&self, request: &mut Request<'_>) -> Response {
        let response = handler_call::run("a panic in a handler", || (self.handler.function)(request));
        response.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// The log line about a handler that failed. The path stands as it came, in ASCII.
pub(crate) fn told(request: &Request<'_>, text: &str) -> String {
    let (method, path) = (request.method(), String::from_utf8_lossy(request.raw_path()));
    format!("the handler of {method} {path} {text}")
}

//! The call of what the router has found for a request: a handler, or an answer without one, with the layers around it and within
//! its limits. Knows requests and responses. The server calls it, and so does a call without a server.

use std::io::{self, Read};

use ::http::StatusCode;

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::scope::Scope;
use crate::http::layer::Next;
use crate::http::request::Request;
use crate::http::response::{Payload, Response};
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::route::{Permit, RouteLimits};

const BUSY: Refusal = Refusal::over(
    Limit::Concurrent,
    StatusCode::SERVICE_UNAVAILABLE,
    "as many requests as may be answered here at a time are being answered; try again",
);

/// What answers a request.
#[derive(Clone, Copy)]
pub(crate) struct Call<'r> {
    pub(super) endpoint: &'r Endpoint,
    /// What is around it, if the router has scopes.
    pub(super) scope: Option<&'r Scope>,
    /// What answers in the place of the endpoint's handler.
    pub(super) answer: Option<Answer<'r>>,
}

impl<'r> Call<'r> {
    /// The number under which a server keeps what it knows about the call.
    #[inline(always)]
    pub(crate) fn index(&self) -> usize {
        self.endpoint.index
    }

    /// Whether only layers are called, because no route serves the request. They get no body.
    pub(crate) fn is_without_handler(&self) -> bool {
        self.answer.is_some()
    }

    /// The limits of its router, if that has any.
    pub(crate) fn limits(&self) -> Option<&'r RouteLimits> {
        self.scope.map(|scope| &scope.limits)
    }

    /// Calls the handler and the layers around it. After a panic the client gets 500, and no other client notices. The call's
    /// [`faults`](crate::handler_call::faults) say what went wrong. A request beyond a limit of its router goes to `refuse`.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        request: &mut Request<'_>,
        refuse: impl FnOnce(Refusal) -> Response,
    ) -> Response {
        match self.scope {
            None => self.endpoint.call(request),
            Some(scope) => self.run_within(scope, request).unwrap_or_else(refuse),
        }
    }

    #[inline(never)]
    fn run_within(&self, scope: &'r Scope, request: &mut Request<'_>) -> Result<Response, Refusal> {
        if let Some(answer) = self.answer {
            request.replace_body(Vec::new());
            let respond = |request: &mut Request<'_>| answer.respond(request.method());
            return Ok(Next::new(&scope.layers, &respond).run(request));
        }
        // What the handler reads from the connection is counted there.
        if scope.limits.body_bytes.is_some_and(|most| request.bytes_in_memory() > most) {
            return Err(Refusal::BODY_TOO_LARGE);
        }
        let permits = scope.limits.enter().ok_or(BUSY)?;
        let response = Next::new(&scope.layers, &*self.endpoint.handler).run(request);
        Ok(if permits.is_empty() { response } else { hold(permits, response) })
    }
}

/// Keeps the places of a request until its response is made; those of a streamed one until it is sent.
fn hold(permits: Vec<Permit>, mut response: Response) -> Response {
    struct Held(Box<dyn Read + Send>, #[allow(dead_code)] Vec<Permit>);

    impl Read for Held {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }

    if let Payload::Reader { reader, length } = response.body {
        response.body = Payload::Reader { reader: Box::new(Held(reader, permits)), length };
    }
    response
}

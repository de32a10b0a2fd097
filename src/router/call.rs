//! The call of what the router has found for a request: a handler, or an answer without one, and the layers around it. Knows
//! requests and responses. The server calls it, and so does a call without a server.

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::scope::Scope;
use crate::http::layer::Next;
use crate::http::request::Request;
use crate::http::response::Response;

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

    /// Calls the handler and the layers around it. After a panic the client gets 500, and no other client notices. The call's
    /// [`faults`](crate::handler_call::faults) say what went wrong.
    #[inline(always)]
    pub(crate) fn run(&self, request: &mut Request<'_>) -> Response {
        match self.scope {
            None => self.endpoint.call(request),
            Some(scope) => self.run_within(scope, request),
        }
    }

    #[inline(never)]
    fn run_within(&self, scope: &'r Scope, request: &mut Request<'_>) -> Response {
        if let Some(answer) = self.answer {
            request.replace_body(Vec::new());
            let respond = |request: &mut Request<'_>| answer.respond(request.method());
            return Next::new(&scope.layers, &respond).run(request);
        }
        Next::new(&scope.layers, &*self.endpoint.handler).run(request)
    }
}

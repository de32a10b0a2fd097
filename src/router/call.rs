//! The call of what the router has found for a request: a handler, or an answer without one, with what its router has around it.
//! Knows requests and responses. The server calls it, and so does a call without a server.

use std::sync::Arc;

use super::answer::Answer;
use super::endpoint::{Called, Endpoint};
use super::scope::{Around, Inside};
use super::tree::Methods;
use crate::http::params::Route;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::Refusal;
use crate::limits::route::RouteLimits;

/// What answers a request.
#[derive(Clone, Copy)]
pub(crate) struct Call<'r> {
    pub(super) endpoint: &'r Endpoint,
    /// What is around it, if the router has scopes, and the number of its scope there.
    pub(super) around: Option<&'r dyn Around>,
    pub(super) scope: u32,
    /// What answers in the place of the endpoint's handler.
    pub(super) answer: Option<Answer>,
    /// The methods of the path's route, if one has it.
    pub(super) methods: Option<&'r Methods>,
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

    /// When its handler is called.
    pub(crate) fn called(&self) -> Called {
        #[cfg(feature = "proxy")]
        return self.endpoint.handler.called;
        #[cfg(not(feature = "proxy"))]
        Called::WithBody
    }

    /// The route of the path, if one has it.
    #[inline(always)]
    pub(crate) fn route(&self) -> Option<&'r Arc<Route>> {
        self.methods.map(|methods| &methods.route)
    }

    /// The same for a log. A fallback is on one too: all that it answers.
    #[cfg(feature = "operations")]
    pub(crate) fn logged_route(&self) -> Option<&'r Arc<Route>> {
        let is_fallback = self.methods.is_none() && self.answer.is_none();
        self.route().or_else(|| self.around.filter(|_| is_fallback)?.fallback(self.endpoint.index))
    }

    /// The limits of its router, if that has any.
    pub(crate) fn limits(&self) -> Option<&'r RouteLimits> {
        self.around.map(|around| around.limits(self.scope))
    }

    /// Calls the handler and the layers around it. After a panic the client gets 500, and no other client notices. The call's
    /// [`faults`](crate::handler_call::faults) say what went wrong. A request beyond a limit of its router goes to `refuse`.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        request: &mut Request<'_>,
        refuse: impl FnOnce(Refusal) -> Response,
    ) -> Response {
        match self.around {
            None => self.endpoint.call(request),
            Some(around) => {
                let inside = match self.answer {
                    None => Inside::Handler(self.endpoint),
                    Some(answer) => Inside::Answer(answer, self.methods),
                };
                around.run(self.scope, inside, request).unwrap_or_else(refuse)
            }
        }
    }
}

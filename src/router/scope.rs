//! What routers have around their routes: layers, limits and fallbacks, each for one router within another. Also finds the router
//! that a path belongs to which no route has. Knows paths and handlers. `routes` holds it, `call` calls through it.

use std::sync::Arc;
#[cfg(feature = "operations")]
use std::sync::OnceLock;

use ::http::StatusCode;

use super::answer::Answer;
use super::endpoint::{Endpoint, Stored};
use super::held::hold;
#[cfg(feature = "handler-timeout")]
use super::timed;
use super::tree::Methods;
use crate::http::into_response::not_served;
use crate::http::layer::{Layer, Next};
#[cfg(feature = "operations")]
use crate::http::params::Route;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::route::RouteLimits;

const BUSY: Refusal = Refusal::over(
    Limit::Concurrent,
    StatusCode::SERVICE_UNAVAILABLE,
    "as many requests as may be answered here at a time are being answered; try again",
);

/// What is around the routes of a router. Only [`Scopes`] implements it; it is a trait so that a program without layers, limits and
/// fallbacks does not link what they need.
pub(crate) trait Around: Send + Sync {
    /// The limits that hold in this scope.
    fn limits(&self, scope: u32) -> &RouteLimits;

    /// Runs what is inside, within the layers and limits of this scope.
    fn run(&self, scope: u32, inside: Inside<'_>, request: &mut Request<'_>) -> Result<Response, Refusal>;

    /// Adds the number of each fallback with what it answers.
    #[cfg(feature = "operations")]
    fn fallbacks(&self, patterns: &mut Vec<(usize, String)>);

    /// What the fallback of this number answers.
    #[cfg(feature = "operations")]
    fn fallback(&self, index: usize) -> Option<&Arc<Route>>;

    /// How many handlers have taken longer than they may, and have not returned.
    fn late_handlers(&self) -> usize;

    /// What is called for a request without a handler: `None` if nothing is, so that the answer can be given at once.
    fn unserved(&self, answer: Answer, path: &str, methods: Option<&Methods>) -> Option<Unserved<'_>>;

    fn scopes(&mut self) -> &mut Vec<Scope>;

    fn into_scopes(self: Box<Self>) -> Vec<Scope>;
}

/// What is inside layers.
pub(crate) enum Inside<'r> {
    Handler(&'r Endpoint),
    /// An answer without a handler, and the methods of the path.
    Answer(Answer, Option<&'r Methods>),
}

/// What is called for a request that has no handler.
pub(crate) struct Unserved<'r> {
    pub scope: u32,
    pub endpoint: &'r Endpoint,
    /// Whether the endpoint is a fallback, and not the answer's place.
    pub is_fallback: bool,
}

/// The scopes of a router, each behind the one that it is within. The first is the router's own.
pub(super) struct Scopes(pub(super) Vec<Scope>);

/// What one router has around its routes.
pub(crate) struct Scope {
    /// The number of the scope that it is within; 0 for the first.
    pub(super) parent: usize,
    /// What the router is nested under, as patterns are written. `None` for the outermost router and for merged ones.
    pub(super) prefix: Option<Box<str>>,
    /// Those of the routers that it is within, and then its own.
    pub(super) layers: Vec<Arc<dyn Layer>>,
    /// The router's own limits, and those that hold: of the routers around it where it has none.
    pub(super) own_limits: RouteLimits,
    pub(super) limits: RouteLimits,
    /// What answers paths that no route has.
    pub(super) fallback: Option<Endpoint>,
    /// What it answers, once that is asked. By then no router is nested in another one any more.
    #[cfg(feature = "operations")]
    fallback_route: OnceLock<Arc<Route>>,
    /// Has the number under which a server notes how long the layers take around a 404 or a 405.
    pub(super) unserved: Endpoint,
}

impl Scope {
    /// A scope without anything, with this number for its own answers.
    pub(super) fn new(index: usize) -> Scope {
        Scope {
            parent: 0,
            prefix: None,
            layers: Vec::new(),
            own_limits: RouteLimits::default(),
            limits: RouteLimits::default(),
            fallback: None,
            #[cfg(feature = "operations")]
            fallback_route: OnceLock::new(),
            unserved: Endpoint { handler: Stored::new(|_| not_served()), index, scope: 0 },
        }
    }
}

#[cfg(feature = "operations")]
impl Scope {
    /// All below the prefix of the router.
    fn fallback_route(&self) -> &Arc<Route> {
        self.fallback_route.get_or_init(|| {
            let prefix = self.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
            Arc::new(Route { pattern: [prefix, "/*"].concat().into(), names: Box::default() })
        })
    }
}

impl Around for Scopes {
    #[cfg(feature = "operations")]
    fn fallbacks(&self, patterns: &mut Vec<(usize, String)>) {
        for scope in &self.0 {
            if let Some(fallback) = &scope.fallback {
                patterns.push((fallback.index, scope.fallback_route().pattern.to_string()));
            }
        }
    }

    #[cfg(feature = "operations")]
    fn fallback(&self, index: usize) -> Option<&Arc<Route>> {
        let is_it = |scope: &&Scope| scope.fallback.as_ref().is_some_and(|fallback| fallback.index == index);
        self.0.iter().find(is_it).map(Scope::fallback_route)
    }

    fn limits(&self, scope: u32) -> &RouteLimits {
        &self.0[scope as usize].limits
    }

    fn run(&self, scope: u32, inside: Inside<'_>, request: &mut Request<'_>) -> Result<Response, Refusal> {
        let Scope { layers, limits, .. } = &self.0[scope as usize];
        let endpoint = match inside {
            Inside::Handler(endpoint) => endpoint,
            Inside::Answer(answer, methods) => {
                request.replace_body(Vec::new());
                let respond =
                    |request: &mut Request<'_>| answer.respond(request.method(), request.raw_path(), methods);
                return Ok(Next::new(layers, &respond).run(request));
            }
        };
        // What the handler reads from the connection is counted there.
        if limits.body_bytes.is_some_and(|most| request.bytes_in_memory() > most) {
            return Err(Refusal::BODY_TOO_LARGE);
        }
        let permits = limits.enter().ok_or(BUSY)?;
        #[cfg(feature = "handler-timeout")]
        if let Some(timeout) = &limits.handler_timeout {
            return timed::call(timeout, permits, layers, endpoint, request);
        }
        Ok(hold(permits, Next::new(layers, &*endpoint.handler.function).run(request)))
    }

    fn late_handlers(&self) -> usize {
        // The others have that of a router around them.
        self.0.iter().map(|scope| scope.own_limits.late_handlers()).sum()
    }

    fn unserved(&self, answer: Answer, path: &str, methods: Option<&Methods>) -> Option<Unserved<'_>> {
        let scopes = &self.0;
        let belongs_to_all = path == "*" || matches!(answer, Answer::Refused(_));
        let scope = match methods {
            Some(methods) => {
                let scopes_of = methods.endpoints().map(|(_, endpoint)| endpoint.scope);
                scopes_of.reduce(|one, other| common(scopes, one, other)).unwrap_or(0)
            }
            None if belongs_to_all => 0,
            None => of_path(scopes, path),
        };
        match fallback(scopes, scope) {
            Some(endpoint) if methods.is_none() && !belongs_to_all => {
                // A fallback is within all layers of the router that it was given to, and a path within those of its own.
                let is_around = common(scopes, endpoint.scope, scope) == endpoint.scope;
                let scope = if is_around { scope } else { endpoint.scope };
                Some(Unserved { scope: scope as u32, endpoint, is_fallback: true })
            }
            _ if scopes[scope].layers.is_empty() => None,
            _ => {
                Some(Unserved { scope: scope as u32, endpoint: &scopes[scope].unserved, is_fallback: false })
            }
        }
    }

    fn scopes(&mut self) -> &mut Vec<Scope> {
        &mut self.0
    }

    fn into_scopes(self: Box<Self>) -> Vec<Scope> {
        self.0
    }
}

/// Finds the limits that hold in each scope, from this one on.
pub(super) fn settle_limits(scopes: &mut [Scope], from: usize) {
    for at in from..scopes.len() {
        let (around, rest) = scopes.split_at_mut(at);
        let scope = &mut rest[0];
        let none = RouteLimits::default();
        scope.limits =
            scope.own_limits.within(around.get(scope.parent).map_or(&none, |parent| &parent.limits));
    }
}

/// The scope that both are within, or are.
fn common(scopes: &[Scope], mut one: usize, mut other: usize) -> usize {
    // A scope stands behind the one that it is within.
    while one != other {
        if one < other {
            std::mem::swap(&mut one, &mut other);
        }
        one = scopes[one].parent;
    }
    one
}

/// The scope of a path that no route has: of the nested routers whose prefix it has, the deepest, and of two prefixes of the same
/// length the more particular. If several routers are nested there, it is the one with a fallback, or else what they are in.
fn of_path(scopes: &[Scope], path: &str) -> usize {
    let ranked =
        scopes.iter().enumerate().filter_map(|(at, scope)| Some((rank(scope.prefix.as_deref()?, path)?, at)));
    let ranked: Vec<_> = ranked.collect();
    let best = ranked.iter().map(|(rank, _)| rank).max();
    let deepest = || ranked.iter().filter(|(rank, _)| Some(rank) == best).map(|(_, at)| *at);
    deepest()
        .find(|&at| scopes[at].fallback.is_some())
        .or_else(|| deepest().reduce(|one, other| common(scopes, one, other)))
        .unwrap_or(0)
}

/// How well a path has this prefix: by how many segments, and for each from the left whether it is plain text.
fn rank(prefix: &str, path: &str) -> Option<(usize, Vec<bool>)> {
    let mut segments = path.split('/').skip(1);
    let mut plain = Vec::new();
    for wanted in prefix.split('/').skip(1) {
        let is_plain = !wanted.starts_with('{');
        let fits = |found: &&str| if is_plain { *found == wanted } else { !found.is_empty() };
        segments.next().filter(fits)?;
        plain.push(is_plain);
    }
    Some((plain.len(), plain))
}

/// Whether the same paths have both prefixes.
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    fn shape(prefix: &str) -> impl Iterator<Item = &str> {
        prefix.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment })
    }
    // Most have no parameters, and a program may have many.
    one == other || (one.contains('{') && other.contains('{') && shape(one).eq(shape(other)))
}

/// What answers a path of this scope that no route has: the fallback of the scope, or of the next around it that has one.
fn fallback(scopes: &[Scope], mut at: usize) -> Option<&Endpoint> {
    while at > 0 && scopes[at].fallback.is_none() {
        at = scopes[at].parent;
    }
    scopes.get(at)?.fallback.as_ref()
}

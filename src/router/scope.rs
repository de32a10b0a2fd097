//! A router within a router: its layers and its fallback, and which of several routers a path belongs to that no route has. Knows
//! paths and handlers. `routes` holds the scopes.

use std::sync::Arc;

use super::endpoint::Endpoint;
use crate::http::into_response::not_served;
use crate::http::layer::Layer;
use crate::limits::route::RouteLimits;

/// What a router has around its routes. The scopes of a router stand in a list, each behind the one that it is within. The first is
/// the router's own.
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
            unserved: Endpoint { handler: Box::new(|_| not_served()), index, scope: 0 },
        }
    }
}

/// Finds the limits that hold in each scope.
pub(super) fn settle_limits(scopes: &mut [Scope]) {
    for at in 0..scopes.len() {
        let (around, rest) = scopes.split_at_mut(at);
        let scope = &mut rest[0];
        let none = RouteLimits::default();
        scope.limits =
            scope.own_limits.within(around.get(scope.parent).map_or(&none, |parent| &parent.limits));
    }
}

/// The scope that both are within, or are.
pub(super) fn common(scopes: &[Scope], mut one: usize, mut other: usize) -> usize {
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
pub(super) fn of_path(scopes: &[Scope], path: &str) -> usize {
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
    let shape = |prefix: &str| {
        let segments = prefix.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
        segments.map(String::from).collect::<Vec<_>>()
    };
    shape(one) == shape(other)
}

/// What answers a path of this scope that no route has: the fallback of the scope, or of the next around it that has one.
pub(super) fn fallback(scopes: &[Scope], mut at: usize) -> Option<&Endpoint> {
    while at > 0 && scopes[at].fallback.is_none() {
        at = scopes[at].parent;
    }
    scopes.get(at)?.fallback.as_ref()
}

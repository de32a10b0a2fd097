//! The routes: finds what answers a request's method and path, in one call. Knows paths and methods, and nothing of requests. The
//! router fills them; the server, and a call without a server, look up each request here.

use std::borrow::Cow;
use std::sync::Arc;

use ::http::Method;

use super::answer::Answer;
use super::call::Call;
use super::endpoint::{Endpoint, Stored};
use super::scope::{self, Around, Scope, Scopes, Unserved};
use super::tree::{Declared, Methods, Node};
use crate::http::folder::with_slash;
use crate::http::layer::Layer;
use crate::http::params::MOST_PARAMS;
use crate::http::response::Response;
use crate::http::span::Span;
use crate::http::target::{self, EncodedSlash, ENCODED_SLASH, SLASH_MARK};
use crate::http::Refusal;
use crate::limits::route::RouteLimits;
use crate::sort::sort_by;

/// All routes of a router.
#[derive(Default)]
pub(crate) struct Routes {
    root: Node,
    /// Whether a route takes encoded slashes.
    encoded_slashes: bool,
    /// What is around the routes, in the router's own scope and those of the routers in it. `None` as long as nothing is.
    around: Option<Box<dyn Around>>,
    /// How many numbers of handlers are given away.
    handlers: usize,
}

/// What answers a request.
pub(crate) enum Found<'r, 'p> {
    Call(Matched<'r, 'p>),
    /// Nothing is called for it.
    Answer(Response),
    /// Its path is not allowed.
    Refused(Refusal),
}

/// What is called, and what it is told of the path.
pub(crate) struct Matched<'r, 'p> {
    pub call: Call<'r>,
    /// Where in the path the route's parameters stand.
    pub values: [Span; MOST_PARAMS],
    /// The decoded path.
    pub path: Cow<'p, str>,
}

impl Routes {
    /// Adds a handler to the router's own routes. An error is a clause that says what is wrong with the pattern. Without a method it
    /// answers all that have no handler of their own.
    pub(super) fn add(
        &mut self,
        method: Option<Method>,
        pattern: &str,
        folder: bool,
        handler: Stored,
    ) -> Result<(), &'static str> {
        let endpoint = Endpoint { handler, index: self.handlers, scope: 0 };
        self.insert(Declared { method, pattern: pattern.into(), folder, endpoint })
    }

    fn insert(&mut self, declared: Declared) -> Result<(), &'static str> {
        self.encoded_slashes |= self.root.insert(declared)?;
        self.handlers += 1;
        Ok(())
    }

    /// All routes, in the order in which they were declared: the method, `None` for all of them, and the pattern.
    pub(super) fn declared(&self) -> Vec<(Option<&Method>, &str)> {
        let mut routes = Vec::new();
        self.root.list(&mut routes);
        sort_by(&mut routes, |one, other| one.0.cmp(&other.0));
        routes.into_iter().map(|(_, method, pattern)| (method, pattern)).collect()
    }

    /// The numbers of handlers with the patterns that they answer. A fallback answers all below its router's prefix.
    #[cfg(feature = "operations")]
    pub(crate) fn patterns(&self) -> Vec<(usize, String)> {
        let mut routes = Vec::new();
        self.root.list(&mut routes);
        let mut patterns: Vec<_> =
            routes.into_iter().map(|(index, _, pattern)| (index, pattern.to_string())).collect();
        if let Some(around) = &self.around {
            around.fallbacks(&mut patterns);
        }
        sort_by(&mut patterns, |one, other| one.0.cmp(&other.0));
        patterns
    }

    /// How many numbers of handlers there are. All are below it.
    pub(crate) fn handlers(&self) -> usize {
        self.handlers
    }

    fn number(&mut self) -> usize {
        self.handlers += 1;
        self.handlers - 1
    }

    /// The router's own scope.
    fn own(&mut self) -> &mut Scope {
        &mut self.scopes()[0]
    }

    fn scopes(&mut self) -> &mut Vec<Scope> {
        let handlers = &mut self.handlers;
        let first = || -> Box<dyn Around> {
            *handlers += 1;
            Box::new(Scopes(vec![Scope::new(*handlers - 1)]))
        };
        self.around.get_or_insert_with(first).scopes()
    }

    /// Puts a layer around everything in the router, within the layers that it has already.
    pub(super) fn add_layer(&mut self, layer: &Arc<dyn Layer>) {
        let within = self.own().layers.len();
        for scope in self.scopes() {
            scope.layers.insert(within, layer.clone());
        }
    }

    /// Changes the limits of all routes in the router.
    pub(super) fn limit(&mut self, change: impl FnOnce(&mut RouteLimits)) {
        change(&mut self.own().own_limits);
        scope::settle_limits(self.scopes(), 0);
    }

    /// Sets what answers paths that no route has. An error is a clause.
    pub(super) fn set_fallback(&mut self, handler: Stored) -> Result<(), &'static str> {
        let index = self.number();
        let own = self.own();
        if own.fallback.is_some() {
            return Err("the router has a fallback already");
        }
        own.fallback = Some(Endpoint { handler, index, scope: 0 });
        Ok(())
    }

    /// Moves the routes of another router here: behind a prefix, or as they are. `fault` gets each route that cannot be served, and a
    /// clause that says why.
    pub(super) fn absorb(
        &mut self,
        prefix: Option<&str>,
        other: Routes,
        fault: &mut dyn FnMut(&str, &'static str),
    ) {
        let mut routes = Vec::new();
        other.root.into_routes(&mut routes);
        sort_by(&mut routes, |one, other| one.endpoint.index.cmp(&other.endpoint.index));
        if let (Some(prefix), true) = (prefix, routes.iter().all(|declared| *declared.pattern != *"/")) {
            let folder =
                routes.iter().find(|declared| declared.folder && declared.pattern.starts_with("/{*"));
            let redirect = folder.map(|folder| with_slash_at(folder.endpoint.scope));
            routes.extend(redirect.filter(|_| !prefix.ends_with('/')));
        }
        let first = other.around.map(|around| self.absorb_scopes(prefix, around.into_scopes(), fault));
        for Declared { method, pattern, folder, mut endpoint } in routes {
            let pattern = prefix.map_or(pattern.clone(), |prefix| below(prefix, &pattern));
            endpoint.index = self.handlers;
            endpoint.scope = first.map_or(0, |first| first + endpoint.scope);
            let shown = shown(method.as_ref(), &pattern);
            if let Err(why) = self.insert(Declared { method, pattern, folder, endpoint }) {
                fault(&shown, why);
            }
        }
    }

    /// Moves the scopes of another router into the router's own. Returns the number of the first.
    fn absorb_scopes(
        &mut self,
        prefix: Option<&str>,
        scopes: Vec<Scope>,
        fault: &mut dyn FnMut(&str, &'static str),
    ) -> usize {
        const TWICE: &str = "there is a fallback for these paths already";
        let around = self.own().layers.clone();
        let first = self.scopes().len();
        for (at, mut scope) in scopes.into_iter().enumerate() {
            scope.parent = if at == 0 { 0 } else { first + scope.parent };
            scope.layers.splice(0..0, around.iter().cloned());
            scope.unserved.index = self.number();
            if let Some(fallback) = &mut scope.fallback {
                fallback.index = self.number();
                fallback.scope += first;
            }
            scope.prefix = match (prefix, scope.prefix) {
                (Some(prefix), Some(inner)) => Some(below(prefix, &inner)),
                (Some(prefix), None) if at == 0 => Some(below(prefix, "/").trim_end_matches('/').into()),
                (_, inner) => inner,
            };
            match &scope.prefix {
                // Of a merged router the fallback answers all paths of this one.
                None => {
                    let fallback = scope.fallback.take();
                    match &mut self.own().fallback {
                        Some(_) if fallback.is_some() => fault("fallback", TWICE),
                        none => *none = none.take().or(fallback),
                    }
                }
                Some(prefix) if scope.fallback.is_some() => {
                    let same = |other: &&Scope| {
                        other.prefix.as_deref().is_some_and(|other| scope::are_alike(other, prefix))
                    };
                    if self.scopes().iter().filter(same).any(|other| other.fallback.is_some()) {
                        fault(&format!("fallback {prefix}"), TWICE);
                    }
                }
                Some(_) => {}
            }
            self.scopes().push(scope);
        }
        scope::settle_limits(self.scopes(), first);
        first
    }

    /// How many handlers have taken longer than they may, and have not returned.
    pub(crate) fn late_handlers(&self) -> usize {
        self.around.as_ref().map_or(0, |around| around.late_handlers())
    }

    /// How an encoded slash is handled before a route is found.
    pub(crate) fn encoded_slash(&self) -> EncodedSlash {
        if self.encoded_slashes {
            EncodedSlash::Marked
        } else {
            EncodedSlash::Refused
        }
    }

    /// Finds what answers a request for this path, which is as it came.
    #[inline]
    pub(crate) fn find<'r, 'p>(&'r self, method: &Method, raw_path: &'p [u8]) -> Found<'r, 'p> {
        let mut path = match target::decode_path(raw_path, self.encoded_slash()) {
            Ok(path) => path,
            Err(refusal) => return self.refused(refusal),
        };
        let mut values = [Span::default(); MOST_PARAMS];
        let mut methods = if path == "*" { None } else { self.root.find(&path, 1, &mut values, 0) };
        if self.encoded_slashes && path.contains(SLASH_MARK) {
            match methods.filter(|methods| methods.takes_slashes_of(&path, &values)) {
                Some(found) => (path, methods) = found.with_slashes(&path, &values),
                None => return self.refused(ENCODED_SLASH),
            }
        }
        let Some((methods, endpoint)) = methods.and_then(|found| Some((found, found.endpoint(method)?)))
        else {
            return self.unserved(method, path, methods, values);
        };
        let (around, scope) = (self.around.as_deref(), endpoint.scope as u32);
        let call = Call { endpoint, around, scope, answer: None, methods: Some(methods) };
        Found::Call(Matched { call, values, path })
    }

    /// The pattern of the route that has this path, which is as it came, whatever the method.
    pub(crate) fn route(&self, raw_path: &[u8]) -> Option<&str> {
        let path = target::decode_path(raw_path, self.encoded_slash()).ok().filter(|path| path != "*")?;
        let mut values = [Span::default(); MOST_PARAMS];
        let mut methods = self.root.find(&path, 1, &mut values, 0)?;
        if path.contains(SLASH_MARK) {
            let found = Some(methods).filter(|methods| methods.takes_slashes_of(&path, &values))?;
            methods = found.with_slashes(&path, &values).1?;
        }
        Some(&methods.route.pattern)
    }

    /// What answers a path that is not allowed.
    #[inline(never)]
    fn refused<'p>(&self, refusal: Refusal) -> Found<'_, 'p> {
        match self.call_without_handler(Answer::Refused(self.encoded_slash()), "", None) {
            Some(call) => {
                let values = [Span::default(); MOST_PARAMS];
                Found::Call(Matched { call, values, path: Cow::Borrowed("") })
            }
            None => Found::Refused(refusal),
        }
    }

    /// What answers when there is no handler for the path and the method.
    #[inline(never)]
    fn unserved<'r, 'p>(
        &'r self,
        method: &Method,
        path: Cow<'p, str>,
        methods: Option<&'r Methods>,
        values: [Span; MOST_PARAMS],
    ) -> Found<'r, 'p> {
        let answer = self.answer(method, &path, methods);
        match self.call_without_handler(answer, &path, methods) {
            Some(call) => Found::Call(Matched { call, values, path }),
            None => Found::Answer(answer.respond(method, &[], methods)),
        }
    }

    /// The call of what is around an answer, or of a fallback. `None` if nothing is called.
    #[inline(always)]
    fn call_without_handler<'r>(
        &'r self,
        answer: Answer,
        path: &str,
        methods: Option<&'r Methods>,
    ) -> Option<Call<'r>> {
        let around = self.around.as_deref()?;
        let Unserved { scope, endpoint, is_fallback } = around.unserved(answer, path, methods)?;
        let answer = (!is_fallback).then_some(answer);
        Some(Call { endpoint, around: Some(around), scope, answer, methods })
    }

    /// The answer when there is no handler for the path and the method.
    fn answer(&self, method: &Method, path: &str, methods: Option<&Methods>) -> Answer {
        if !is_known(method) && !self.root.any(&|methods| methods.exact(method).is_some()) {
            return Answer::UnknownMethod;
        }
        match methods {
            _ if path == "*" => Answer::Server,
            Some(_) => Answer::OtherMethods,
            None => Answer::NotFound,
        }
    }
}

/// The redirect from the path of a nested router whose root is a folder, to the same with a slash.
fn with_slash_at(scope: usize) -> Declared {
    let endpoint = Endpoint { handler: Stored::new(|request| with_slash(request)), index: 0, scope };
    Declared { method: Some(Method::GET), pattern: "/".into(), folder: false, endpoint }
}

/// A pattern behind the prefix of a router. The pattern `/` is the prefix itself.
pub(super) fn below(prefix: &str, pattern: &str) -> Box<str> {
    let stem = prefix.strip_suffix('/').unwrap_or(prefix);
    if pattern == "/" {
        prefix.into()
    } else {
        [stem, pattern].concat().into()
    }
}

/// A route as errors show it.
pub(super) fn shown(method: Option<&Method>, pattern: &str) -> String {
    format!("{} {pattern}", method.map_or("any method of", Method::as_str))
}

/// The methods of RFC 9110 §9 and PATCH (RFC 5789).
pub(super) fn is_known(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::PATCH
            | Method::OPTIONS
            | Method::TRACE
            | Method::CONNECT
    )
}

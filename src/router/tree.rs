//! The declared routes as a tree of segments: adds a pattern, and finds what serves a path. Knows patterns, paths and methods.
//! `routes` calls it.

use std::borrow::Cow;
use std::sync::Arc;

use ::http::{HeaderValue, Method};

use super::endpoint::Endpoint;
use crate::http::params::{Route, MOST_PARAMS};
use crate::http::span::Span;
use crate::http::target::SLASH_MARK;

/// A node of the tree: the position after a slash.
#[derive(Default)]
pub(super) struct Node {
    plain: Vec<(Box<str>, Node)>,
    param: Option<Box<Node>>,
    rest: Option<Box<Methods>>,
    here: Option<Box<Methods>>,
}

/// The handlers of one pattern.
#[derive(Default)]
pub(super) struct Methods {
    pub route: Arc<Route>,
    /// For each parameter, whether it takes an encoded slash.
    slashes: [bool; MOST_PARAMS],
    /// Whether the rest of the path may end with a slash, as the path of a folder does.
    folders: bool,
    endpoints: Vec<(Method, Endpoint)>,
    /// What answers all other methods.
    any: Option<Endpoint>,
}

/// A route, as it is declared and as it is moved to another router.
pub(super) struct Declared {
    /// `None` for all methods.
    pub method: Option<Method>,
    pub pattern: Box<str>,
    /// See [`Methods::folders`].
    pub folder: bool,
    pub endpoint: Endpoint,
}

/// A segment of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'p> {
    Plain(&'p str),
    Param { name: &'p str, slashes: bool },
    Rest { name: &'p str, slashes: bool },
}

/// Checks what a router is to be nested under. An error is a clause that says what is wrong with it.
pub(super) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    let path = prefix.strip_prefix('/').ok_or("a prefix begins with /")?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Err("a prefix has a segment; merge adds routes without one");
    }
    for text in path.split('/') {
        if let Segment::Rest { .. } = segment(text)? {
            return Err("{*name} takes all that is left, so nothing is nested under it");
        }
    }
    Ok(())
}

/// Reads a segment of a pattern. An error is a clause that says what is wrong with it.
fn segment(text: &str) -> Result<Segment<'_>, &'static str> {
    match text.strip_prefix('{').map(|inner| inner.strip_suffix('}')) {
        None if text.contains(['{', '}']) => Err("a parameter is a whole segment: /{name}/"),
        None if text == "." || text == ".." => Err("a pattern has no dot segments"),
        None => Ok(Segment::Plain(text)),
        Some(None) => Err("a parameter's { has no } at the end of the segment"),
        Some(Some(name)) => {
            let bare = name.strip_suffix("%2F").unwrap_or(name);
            let plain_name = bare.strip_prefix('*').unwrap_or(bare);
            if plain_name.is_empty() || plain_name.contains(['{', '}', '*', '%']) {
                return Err("a parameter needs a name of plain text");
            }
            let (name, slashes) = (plain_name, bare != name);
            Ok(if plain_name == bare {
                Segment::Param { name, slashes }
            } else {
                Segment::Rest { name, slashes }
            })
        }
    }
}

impl Node {
    /// Adds a route to the tree. Returns whether the route accepts an encoded slash. An error is a clause that says what is wrong
    /// with the pattern.
    pub(super) fn insert(&mut self, declared: Declared) -> Result<bool, &'static str> {
        let Declared { method, pattern, folder, endpoint } = declared;
        let path = pattern.strip_prefix('/').ok_or("a pattern begins with /")?;
        let mut names: Vec<Box<str>> = Vec::new();
        let mut slashes = [false; MOST_PARAMS];
        let mut node = self;
        let mut segments = path.split('/').peekable();
        let methods = loop {
            let Some(text) = segments.next() else {
                break node.here.get_or_insert_with(Default::default);
            };
            let read = segment(text)?;
            let (name, takes_slashes) = match read {
                Segment::Plain(text) => {
                    let at = node.plain.iter().position(|(known, _)| **known == *text).unwrap_or_else(|| {
                        node.plain.push((text.into(), Node::default()));
                        node.plain.len() - 1
                    });
                    node = &mut node.plain[at].1;
                    continue;
                }
                Segment::Param { name, slashes } | Segment::Rest { name, slashes } => (name, slashes),
            };
            if names.iter().any(|known| **known == *name) {
                return Err("two parameters have the same name");
            }
            if names.len() == MOST_PARAMS {
                return Err("a pattern has at most 8 parameters");
            }
            slashes[names.len()] = takes_slashes;
            names.push(name.into());
            if matches!(read, Segment::Param { .. }) {
                node = node.param.get_or_insert_with(Default::default);
            } else if segments.peek().is_some() {
                return Err("{*name} takes all that is left, so it stands last");
            } else {
                break node.rest.get_or_insert_with(Default::default);
            }
        };
        if methods.endpoints.is_empty() && methods.any.is_none() {
            methods.route = Arc::new(Route { pattern, names: names.into() });
            methods.slashes = slashes;
        } else if *methods.route.names != *names || methods.slashes != slashes {
            return Err("the same pattern was declared before with other parameter names");
        }
        methods.folders |= folder;
        match method {
            Some(method) if methods.exact(&method).is_none() => methods.endpoints.push((method, endpoint)),
            None if methods.any.is_none() => methods.any = Some(endpoint),
            _ => return Err("the route was declared before"),
        }
        Ok(slashes.contains(&true))
    }

    /// Matches `path` from `start`, the offset after a slash, or after the end when this node is where the path leads. A request
    /// visits each node at most once, so the declared routes bound the work.
    pub(super) fn find(
        &self,
        path: &str,
        start: usize,
        values: &mut [Span; MOST_PARAMS],
        params: usize,
    ) -> Option<&Methods> {
        let Some(rest) = path.get(start..) else { return self.here.as_deref() };
        let length = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
        let (segment, next) = (&rest[..length], start + length + 1);
        if let Some((_, node)) = self.plain.iter().find(|(text, _)| **text == *segment) {
            if let Some(found) = node.find(path, next, values, params) {
                return Some(found);
            }
        }
        self.find_param(path, start, next, values, params)
    }

    /// Matches the segment of `path` from `start` to the slash before `next` to a parameter.
    #[inline(never)]
    fn find_param(
        &self,
        path: &str,
        start: usize,
        next: usize,
        values: &mut [Span; MOST_PARAMS],
        params: usize,
    ) -> Option<&Methods> {
        let end = next - 1;
        if let (Some(node), false) = (&self.param, start == end) {
            values[params] = Span { start: start as u32, end: end as u32 };
            if let Some(found) = node.find(path, next, values, params + 1) {
                return Some(found);
            }
        }
        let rest = &path[start..];
        let found = self.rest.as_deref().filter(|methods| !has_empty_segment(rest, methods.folders))?;
        values[params] = Span { start: start as u32, end: path.len() as u32 };
        Some(found)
    }

    /// All routes below this node.
    pub(super) fn into_routes(self, routes: &mut Vec<Declared>) {
        let Node { plain, param, rest, here } = self;
        for methods in here.into_iter().chain(rest) {
            let Methods { route, folders: folder, endpoints, any, .. } = *methods;
            let endpoints = endpoints.into_iter().map(|(method, endpoint)| (Some(method), endpoint));
            for (method, endpoint) in endpoints.chain(any.map(|endpoint| (None, endpoint))) {
                routes.push(Declared { method, pattern: route.pattern.clone(), folder, endpoint });
            }
        }
        let nodes = plain.into_iter().map(|(_, node)| node).chain(param.map(|node| *node));
        nodes.for_each(|node| node.into_routes(routes));
    }

    /// Lists the routes below this node: the number of the handler, the method and the pattern.
    pub(super) fn list<'n>(&'n self, routes: &mut Vec<(usize, Option<&'n Method>, &'n str)>) {
        for methods in self.here.iter().chain(&self.rest) {
            let pattern = &*methods.route.pattern;
            routes.extend(methods.endpoints().map(|(method, endpoint)| (endpoint.index, method, pattern)));
        }
        let nodes = self.plain.iter().map(|(_, node)| node).chain(self.param.as_deref());
        nodes.for_each(|node| node.list(routes));
    }

    /// Whether the handlers of at least one pattern pass this test.
    pub(super) fn any(&self, test: &dyn Fn(&Methods) -> bool) -> bool {
        self.here.as_deref().is_some_and(test)
            || self.rest.as_deref().is_some_and(test)
            || self.param.as_deref().is_some_and(|node| node.any(test))
            || self.plain.iter().any(|(_, node)| node.any(test))
    }
}

impl Methods {
    pub(super) fn exact(&self, method: &Method) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(known, _)| known == method).map(|(_, endpoint)| endpoint)
    }

    /// What answers this method: for HEAD without a handler of its own, the one for GET.
    pub(super) fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        self.exact(method)
            .or_else(|| self.exact(&Method::GET).filter(|_| *method == Method::HEAD))
            .or(self.any.as_ref())
    }

    /// All handlers, in the order in which they were declared.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (Option<&Method>, &Endpoint)> {
        let of_methods = self.endpoints.iter().map(|(method, endpoint)| (Some(method), endpoint));
        of_methods.chain(self.any.iter().map(|endpoint| (None, endpoint)))
    }

    /// The parameters' values.
    fn values<'p>(&self, path: &'p str, values: &[Span; MOST_PARAMS]) -> impl Iterator<Item = &'p str> {
        let spans = values.iter().take(self.route.names.len()).copied().collect::<Vec<_>>();
        spans.into_iter().filter_map(|span| path.get(span.start as usize..span.end as usize))
    }

    /// Whether all encoded slashes of a path stand in parameters that accept them.
    pub(super) fn takes_slashes_of(&self, path: &str, values: &[Span; MOST_PARAMS]) -> bool {
        let count = |text: &str| text.matches(SLASH_MARK).count();
        let taken = self.values(path, values).zip(self.slashes).filter(|(_, takes)| *takes);
        taken.map(|(value, _)| count(value)).sum::<usize>() == count(path)
    }

    /// The path with slashes where encoded ones were marked. The handlers do not serve it when a value has an empty segment.
    pub(super) fn with_slashes(
        &self,
        path: &str,
        values: &[Span; MOST_PARAMS],
    ) -> (Cow<'static, str>, Option<&Methods>) {
        // A mark has one byte, as a slash has, so the positions of the parameters stay right.
        let path = path.replace(SLASH_MARK, "/");
        let are_whole = self.values(&path, values).all(|value| !has_empty_segment(value, false));
        (Cow::Owned(path), are_whole.then_some(self))
    }

    /// The value of `Allow` (RFC 9110 §10.2.1).
    pub(super) fn allow(&self) -> HeaderValue {
        let mut names: Vec<&str> = self.endpoints.iter().map(|(method, _)| method.as_str()).collect();
        for (implied, by) in [("HEAD", names.contains(&"GET")), ("OPTIONS", true)] {
            if by && !names.contains(&implied) {
                names.push(implied);
            }
        }
        // Method names are tokens, which every field value may hold.
        HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
    }
}

/// Whether a part of a path has an empty segment, also at its ends. Such a part could leave a root that it is joined to.
/// `is_folder` allows the one after a slash at the end.
fn has_empty_segment(part: &str, is_folder: bool) -> bool {
    let mut before = b'/';
    for byte in part.bytes() {
        if byte == b'/' && before == b'/' {
            return true;
        }
        before = byte;
    }
    before == b'/' && !is_folder && !part.is_empty()
}

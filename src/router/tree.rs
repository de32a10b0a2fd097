//! The routes as a tree: finds the pattern that a path matches, and the positions of its parameters. Knows paths and methods.
//! Only the router calls it.

use std::sync::Arc;

use ::http::{HeaderValue, Method};

use super::endpoint::Endpoint;
use crate::http::params::MOST_PARAMS;
use crate::http::span::Span;
use crate::http::target::SLASH_MARK;

/// The routes as a tree of segments. A node is the position after a slash.
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
    pub(super) names: Arc<[Box<str>]>,
    /// For each parameter, whether it takes an encoded slash.
    slashes: [bool; MOST_PARAMS],
    endpoints: Vec<(Method, Endpoint)>,
}

impl Node {
    /// Adds a route to the tree below this node. Returns whether the route accepts an encoded slash. An error is a clause that
    /// says what is wrong with the pattern.
    pub(super) fn insert(
        &mut self,
        method: &Method,
        pattern: &str,
        endpoint: Endpoint,
    ) -> Result<bool, &'static str> {
        let path = pattern.strip_prefix('/').ok_or("a pattern begins with /")?;
        let mut names: Vec<Box<str>> = Vec::new();
        let mut slashes = [false; MOST_PARAMS];
        let mut node = self;
        let mut segments = path.split('/').peekable();
        let methods = loop {
            let Some(segment) = segments.next() else {
                break node.here.get_or_insert_default();
            };
            match segment.strip_prefix('{').map(|inner| inner.strip_suffix('}')) {
                None if segment.contains(['{', '}']) => {
                    return Err("a parameter is a whole segment: /{name}/")
                }
                None if segment == "." || segment == ".." => return Err("a pattern has no dot segments"),
                None => {
                    let at =
                        node.plain.iter().position(|(text, _)| **text == *segment).unwrap_or_else(|| {
                            node.plain.push((segment.into(), Node::default()));
                            node.plain.len() - 1
                        });
                    node = &mut node.plain[at].1;
                }
                Some(None) => return Err("a parameter's { has no } at the end of the segment"),
                Some(Some(name)) => {
                    let bare = name.strip_suffix("%2F").unwrap_or(name);
                    let plain_name = bare.strip_prefix('*').unwrap_or(bare);
                    if plain_name.is_empty() || plain_name.contains(['{', '}', '*', '%']) {
                        return Err("a parameter needs a name of plain text");
                    }
                    if names.iter().any(|known| **known == *plain_name) {
                        return Err("two parameters have the same name");
                    }
                    if names.len() == MOST_PARAMS {
                        return Err("a pattern has at most 8 parameters");
                    }
                    slashes[names.len()] = bare != name;
                    names.push(plain_name.into());
                    if plain_name == bare {
                        node = node.param.get_or_insert_default();
                    } else if segments.peek().is_some() {
                        return Err("{*name} takes all that is left, so it stands last");
                    } else {
                        break node.rest.get_or_insert_default();
                    }
                }
            }
        };
        if methods.endpoints.is_empty() {
            methods.names = names.into();
            methods.slashes = slashes;
        } else if *methods.names != *names || methods.slashes != slashes {
            return Err("the same pattern was declared before with other parameter names");
        }
        if methods.exact(method).is_some() {
            return Err("the route was declared before");
        }
        methods.endpoints.push((method.clone(), endpoint));
        Ok(slashes.contains(&true))
    }

    /// Matches `path` from `start`, the offset after a slash. A request visits each node at most once, so the declared routes
    /// bound the work.
    pub(super) fn find(
        &self,
        path: &str,
        start: usize,
        values: &mut [Span; MOST_PARAMS],
        params: usize,
    ) -> Option<&Methods> {
        let rest = path.get(start..)?;
        let (segment, next) = match rest.bytes().position(|byte| byte == b'/') {
            Some(length) => (&rest[..length], Some(start + length + 1)),
            None => (rest, None),
        };
        let end = start + segment.len();
        if let Some((_, node)) = self.plain.iter().find(|(text, _)| **text == *segment) {
            if let Some(found) = node.below(path, next, values, params) {
                return Some(found);
            }
        }
        if let (Some(node), false) = (&self.param, segment.is_empty()) {
            values[params] = Span { start: start as u32, end: end as u32 };
            if let Some(found) = node.below(path, next, values, params + 1) {
                return Some(found);
            }
        }
        let found = self.rest.as_deref().filter(|_| rest.is_empty() || !has_empty_segment(rest))?;
        values[params] = Span { start: start as u32, end: path.len() as u32 };
        Some(found)
    }

    /// The match after the segment that leads to this node: here at the path's end, or further down.
    fn below(
        &self,
        path: &str,
        next: Option<usize>,
        values: &mut [Span; MOST_PARAMS],
        params: usize,
    ) -> Option<&Methods> {
        match next {
            Some(next) => self.find(path, next, values, params),
            None => self.here.as_deref(),
        }
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
    fn exact(&self, method: &Method) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(known, _)| known == method).map(|(_, endpoint)| endpoint)
    }

    /// What answers this method: for HEAD without a handler of its own, the one for GET.
    pub(super) fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        let from_get = || {
            if *method == Method::HEAD {
                self.exact(&Method::GET)
            } else {
                None
            }
        };
        self.exact(method).or_else(from_get)
    }

    /// The parameters' values.
    pub(super) fn values<'p>(
        &self,
        path: &'p str,
        values: &[Span; MOST_PARAMS],
    ) -> impl Iterator<Item = &'p str> {
        let spans = values.iter().take(self.names.len()).copied().collect::<Vec<_>>();
        spans.into_iter().filter_map(|span| path.get(span.start as usize..span.end as usize))
    }

    /// Whether all encoded slashes of a path stand in parameters that accept them.
    pub(super) fn takes_slashes_of(&self, path: &str, values: &[Span; MOST_PARAMS]) -> bool {
        let count = |text: &str| text.matches(SLASH_MARK).count();
        let taken = self.values(path, values).zip(self.slashes).filter(|(_, takes)| *takes);
        taken.map(|(value, _)| count(value)).sum::<usize>() == count(path)
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
pub(super) fn has_empty_segment(part: &str) -> bool {
    part.starts_with('/') || part.ends_with('/') || part.as_bytes().windows(2).any(|two| two == b"//")
}

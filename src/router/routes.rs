//! The routes: finds what answers a request's method and path, in one call. They are a tree of segments. Knows paths and
//! methods, and nothing of requests. The router fills them; the server, and a call without a server, look up each request here.

use std::borrow::Cow;
use std::sync::Arc;

use ::http::header::ALLOW;
use ::http::{HeaderValue, Method, StatusCode};

use super::endpoint::Endpoint;
use crate::http::into_response::{not_served, IntoResponse};
use crate::http::params::{Params, MOST_PARAMS};
use crate::http::problem::Problem;
use crate::http::response::Response;
use crate::http::span::Span;
use crate::http::target::{self, EncodedSlash, ENCODED_SLASH, SLASH_MARK};
use crate::http::Refusal;

/// All routes of a router.
#[derive(Default)]
pub(crate) struct Routes {
    root: Node,
    /// Whether a route takes encoded slashes.
    encoded_slashes: bool,
}

/// What answers a request.
pub(crate) enum Found<'r, 'p> {
    Handler(Matched<'r, 'p>),
    /// There is no handler for it.
    Answer(Response),
    /// Its path is not allowed.
    Refused(Refusal),
}

/// A handler, and what it is told of the path.
pub(crate) struct Matched<'r, 'p> {
    pub endpoint: &'r Endpoint,
    pub params: Params,
    /// The decoded path.
    pub path: Cow<'p, str>,
}

impl Routes {
    /// Adds a route. An error is a clause that says what is wrong with the pattern.
    pub(super) fn insert(
        &mut self,
        method: &Method,
        pattern: &str,
        endpoint: Endpoint,
    ) -> Result<(), &'static str> {
        self.encoded_slashes |= self.root.insert(method, pattern, endpoint)?;
        Ok(())
    }

    /// Lets the rest of a path after this prefix, which was declared, end with a slash.
    pub(super) fn let_rest_end_with_slash(&mut self, prefix: &str) {
        let mut node = &mut self.root;
        for segment in prefix.split('/').skip(1) {
            let next = if segment.starts_with('{') {
                node.param.as_deref_mut()
            } else {
                node.plain.iter_mut().find(|(text, _)| **text == *segment).map(|(_, node)| node)
            };
            let Some(next) = next else { return };
            node = next;
        }
        if let Some(methods) = &mut node.rest {
            methods.folders = true;
        }
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
            Err(refusal) => return Found::Refused(refusal),
        };
        let mut values = [Span::default(); MOST_PARAMS];
        let mut methods = if path == "*" { None } else { self.root.find(&path, 1, &mut values, 0) };
        if self.encoded_slashes && path.contains(SLASH_MARK) {
            match methods.filter(|methods| methods.takes_slashes_of(&path, &values)) {
                Some(found) => (path, methods) = found.with_slashes(&path, &values),
                None => return Found::Refused(ENCODED_SLASH),
            }
        }
        let Some((methods, endpoint)) = methods.and_then(|found| Some((found, found.endpoint(method)?)))
        else {
            return Found::Answer(self.answer(method, &path, methods));
        };
        let names = (!methods.names.is_empty()).then(|| methods.names.clone());
        Found::Handler(Matched { endpoint, params: Params { names, values }, path })
    }

    /// The answer when there is no handler for the path and the method.
    #[inline(never)]
    fn answer(&self, method: &Method, path: &str, methods: Option<&Methods>) -> Response {
        if !is_known(method) && !self.root.any(&|methods| methods.endpoint(method).is_some()) {
            return Problem::new(StatusCode::NOT_IMPLEMENTED)
                .detail("This server does not know the method.")
                .into_response();
        }
        if path == "*" {
            return Response::new(StatusCode::NO_CONTENT)
                .with_field(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        let Some(methods) = methods else {
            return not_served();
        };
        let response = if *method == Method::OPTIONS {
            Response::new(StatusCode::NO_CONTENT)
        } else {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED)
                .detail("The path is served, with other methods.")
                .into_response()
        };
        response.with_field(ALLOW, methods.allow())
    }
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

/// The routes as a tree of segments. A node is the position after a slash.
#[derive(Default)]
struct Node {
    plain: Vec<(Box<str>, Node)>,
    param: Option<Box<Node>>,
    rest: Option<Box<Methods>>,
    here: Option<Box<Methods>>,
}

/// The handlers of one pattern.
struct Methods {
    names: Arc<[Box<str>]>,
    /// For each parameter, whether it takes an encoded slash.
    slashes: [bool; MOST_PARAMS],
    /// Whether the rest of the path may end with a slash, as the path of a folder does.
    folders: bool,
    endpoints: Vec<(Method, Endpoint)>,
}

/// Not derived, because `Arc<[T]>` has a default only since Rust 1.80.
impl Default for Methods {
    fn default() -> Self {
        Methods { names: Arc::new([]), slashes: [false; MOST_PARAMS], folders: false, endpoints: Vec::new() }
    }
}

impl Node {
    /// Adds a route to the tree below this node. Returns whether the route accepts an encoded slash. An error is a clause that
    /// says what is wrong with the pattern.
    fn insert(&mut self, method: &Method, pattern: &str, endpoint: Endpoint) -> Result<bool, &'static str> {
        let path = pattern.strip_prefix('/').ok_or("a pattern begins with /")?;
        let mut names: Vec<Box<str>> = Vec::new();
        let mut slashes = [false; MOST_PARAMS];
        let mut node = self;
        let mut segments = path.split('/').peekable();
        let methods = loop {
            let Some(segment) = segments.next() else {
                break node.here.get_or_insert_with(Default::default);
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
                        node = node.param.get_or_insert_with(Default::default);
                    } else if segments.peek().is_some() {
                        return Err("{*name} takes all that is left, so it stands last");
                    } else {
                        break node.rest.get_or_insert_with(Default::default);
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

    /// Matches `path` from `start`, the offset after a slash, or after the end when this node is where the path leads. A request
    /// visits each node at most once, so the declared routes bound the work.
    fn find(
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

    /// Whether the handlers of at least one pattern pass this test.
    fn any(&self, test: &dyn Fn(&Methods) -> bool) -> bool {
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
    fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        self.exact(method).or_else(|| self.exact(&Method::GET).filter(|_| *method == Method::HEAD))
    }

    /// The parameters' values.
    fn values<'p>(&self, path: &'p str, values: &[Span; MOST_PARAMS]) -> impl Iterator<Item = &'p str> {
        let spans = values.iter().take(self.names.len()).copied().collect::<Vec<_>>();
        spans.into_iter().filter_map(|span| path.get(span.start as usize..span.end as usize))
    }

    /// Whether all encoded slashes of a path stand in parameters that accept them.
    fn takes_slashes_of(&self, path: &str, values: &[Span; MOST_PARAMS]) -> bool {
        let count = |text: &str| text.matches(SLASH_MARK).count();
        let taken = self.values(path, values).zip(self.slashes).filter(|(_, takes)| *takes);
        taken.map(|(value, _)| count(value)).sum::<usize>() == count(path)
    }

    /// The path with slashes where encoded ones were marked. The handlers do not serve it when a value has an empty segment.
    fn with_slashes(
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
    fn allow(&self) -> HeaderValue {
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

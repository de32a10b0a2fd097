//! The `headers` of routes: adds them to what the server answers below their prefixes, its own refusals too. `serve` calls it with each
//! response.

use lockgate::internal::decoded_path;
use lockgate::{HeaderName, HeaderValue, ResponseHead, Seen};

use super::{is_json, prefix, routes};
use crate::command::arguments::Arguments;
use crate::command::route::{Answer, Route};

/// All routes with what each adds. Also those that add nothing, because the longest prefix decides.
pub(in crate::command) struct Fields(Vec<OfRoute>);

struct OfRoute {
    /// Without a slash at its end, unless it is the whole path.
    path: String,
    is_whole_path: bool,
    /// Whether a server behind this one answers. What that says is meant.
    is_passed_on: bool,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// The statuses that nginx's `add_header` is for: of answers that a cache may keep for as long as it is told.
const NO_ERRORS: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

impl Fields {
    /// What the routes add. `None` if that is nothing.
    pub(in crate::command) fn of(arguments: &Arguments) -> Option<Fields> {
        if arguments.routes.iter().all(|route| route.headers.is_empty()) {
            return None;
        }
        // They were read already; what is wrong with them was said then.
        Some(Fields(routes(arguments).ok()?.into_iter().map(OfRoute::new).collect()))
    }

    /// Adds those of the request's route.
    pub(in crate::command) fn add_to(&self, seen: &Seen<'_>, response: &mut ResponseHead<'_>) {
        if let Some(route) = seen.path().and_then(|path| self.route(path)) {
            route.add_to(response);
        }
    }

    /// The route of a path, which is as it came. A path that is refused has none, because nobody can say where it leads.
    fn route(&self, path: &str) -> Option<&OfRoute> {
        let path = decoded_path(path)?;
        let takes = |route: &&OfRoute| match path.strip_prefix(&*route.path) {
            Some(rest) => rest.is_empty() || !route.is_whole_path && rest.starts_with('/'),
            None => false,
        };
        self.0.iter().filter(takes).max_by_key(|route| (route.is_whole_path, route.path.len()))
    }
}

impl OfRoute {
    fn new(route: Route) -> OfRoute {
        let is_whole_path = is_json(&route);
        let path = if is_whole_path { &*route.path } else { prefix(&route.path) }.to_string();
        let is_passed_on = matches!(route.answer, Answer::Backends(_));
        OfRoute { path, is_whole_path, is_passed_on, fields: route.headers }
    }

    /// Adds the fields that the response does not have.
    fn add_to(&self, response: &mut ResponseHead<'_>) {
        let is_error = !NO_ERRORS.contains(&response.status().as_u16());
        let given = self.fields.iter().filter(|(name, value)| !(is_error && lets_caches_keep(name, value)));
        let fields = response.headers_mut();
        for (name, _) in given.clone() {
            let is_default = match name.as_str() {
                // That of files is a default of this server.
                "cache-control" => !self.is_passed_on,
                // An empty one stands for a server behind that says nothing.
                "x-content-type-options" => fields.get(name).is_some_and(HeaderValue::is_empty),
                _ => false,
            };
            if is_default {
                fields.remove(name);
            }
        }
        let said = fields.clone();
        for (name, value) in given {
            // Those of two who say it hold together.
            let is_list = matches!(name.as_str(), "vary" | "set-cookie");
            if is_list || !said.contains_key(name) {
                fields.append(name.clone(), value.clone());
            }
        }
    }
}

/// Whether caches keep an answer by this field (RFC 9111 §5, RFC 9213), for as long as it says.
fn lets_caches_keep(name: &HeaderName, value: &HeaderValue) -> bool {
    match name.as_str() {
        "age" | "etag" | "expires" | "last-modified" => true,
        name if name.ends_with("cache-control") => {
            let forbids =
                |text: &str| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-store"));
            !value.to_str().is_ok_and(forbids)
        }
        _ => false,
    }
}

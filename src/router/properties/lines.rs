//! Reads the lines of an input. The properties call it.

use ::http::Method;

/// More lines would only slow down the simple matcher.
pub(super) const LINES: usize = 64;

/// Whether a line declares a route, and the method and the path or pattern.
pub(super) fn read(line: &str) -> Option<(bool, Method, &str)> {
    let (method, path) = line.split_once(' ')?;
    let declares = method.starts_with('+');
    let method = Method::from_bytes(method.trim_start_matches('+').as_bytes()).ok()?;
    Some((declares, method, path))
}

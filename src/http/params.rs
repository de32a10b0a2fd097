//! The parameters of a route: where their values stand in a path, and how a value is joined to a folder. The router finds them,
//! and a request returns them to handlers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::span::Span;

/// The most path parameters one route may have.
pub(crate) const MOST_PARAMS: usize = 8;

/// A route as a request knows it.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// As it was declared, behind the prefixes of the routers that it is nested in.
    pub pattern: Box<str>,
    /// The names of its parameters, in their order.
    pub names: Box<[Box<str>]>,
}

/// The route that a request is on.
#[derive(Debug, Clone, Default)]
pub(crate) enum OnRoute<'a> {
    #[default]
    None,
    /// The server's routes live longer than a request.
    Borrowed(&'a Arc<Route>),
    /// A request made by hand may live longer than the router.
    Shared(Arc<Route>),
}

/// The route that a request is on, and where in the path each of its parameters was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params<'a> {
    pub route: OnRoute<'a>,
    pub values: [Span; MOST_PARAMS],
}

impl Params<'_> {
    pub(super) fn route(&self) -> Option<&Route> {
        match &self.route {
            OnRoute::None => None,
            OnRoute::Borrowed(route) => Some(route),
            OnRoute::Shared(route) => Some(route),
        }
    }

    /// The value of the parameter of this name in `path`.
    pub(super) fn get<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let at = self.route()?.names.iter().position(|known| **known == *name)?;
        let span = self.values.get(at)?;
        path.get(span.start as usize..span.end as usize)
    }
}

/// Joins a parameter's value to `root`. `None` for a value that would not stay below `root`.
pub(super) fn join_below(root: &Path, value: &str) -> Option<PathBuf> {
    let mut path = root.to_path_buf();
    for segment in value.split('/').filter(|_| !value.is_empty()) {
        if !stays_below(segment) {
            return None;
        }
        path.push(segment);
    }
    Some(path)
}

/// Whether pushing the segment to a path leads exactly one level down, on any system.
fn stays_below(segment: &str) -> bool {
    let has_drive = matches!(segment.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    !matches!(segment, "" | "." | "..") && !segment.contains(['\\', '\0']) && !has_drive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_a_root_is_refused_on_any_system() {
        for segment in ["", ".", "..", "a\\b", "\\", "C:", "c:x", "a\0b"] {
            assert!(!stays_below(segment), "{segment:?}");
        }
        for segment in ["a", "...", ".a", "a.", "ab:c", "1:", "ä:", " "] {
            assert!(stays_below(segment), "{segment:?}");
        }
    }
}

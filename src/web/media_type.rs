//! Which type a request's body has, by its `Content-Type`. The readers of JSON and of forms without files call it.
//!
//! A page of another site can post a body without a `Content-Type`, or as `text/plain` or a form, without its browser asking the
//! server first (Fetch, "CORS-safelisted request-header"). So a handler that expects JSON has to insist on it, and on one type that
//! everybody reads alike.

use super::parameters;
use crate::http::request::Request;

/// A type, as in `application/json; charset=utf-8`.
pub(super) struct MediaType<'r> {
    kind: &'r str,
    subtype: &'r str,
    /// Whether no other charset than UTF-8 is named.
    pub is_utf8: bool,
}

/// The type of the request's body. `None` when there is no `Content-Type`, more than one, or one that breaks RFC 9110 §8.3.1.
pub(super) fn of<'r>(request: &'r Request<'_>) -> Option<MediaType<'r>> {
    let mut lines = request.field_lines("content-type");
    let (line, further) = (lines.next()?, lines.next());
    // What nearly all clients send need not be taken apart.
    if further.is_none() && line == b"application/json" {
        return Some(MediaType { kind: "application", subtype: "json", is_utf8: true });
    }
    let (essence, parameters) = parameters::read(std::str::from_utf8(line).ok()?.trim())?;
    let (kind, subtype) = essence.split_once('/')?;
    let is_utf8 = match parameters::only(&parameters, "charset") {
        Ok(None) => true,
        Ok(Some(charset)) => charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8"),
        Err(()) => false,
    };
    (further.is_none() && !kind.is_empty() && !subtype.is_empty() && !subtype.contains('/'))
        .then_some(MediaType { kind, subtype, is_utf8 })
}

impl MediaType<'_> {
    /// Whether it is this type, whatever its parameters.
    pub(super) fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// `application/json`, or a type with the suffix `+json`, such as `application/merge-patch+json` (RFC 6839 §3.1).
    pub(super) fn is_json(&self) -> bool {
        self.is("application", "json")
            || self
                .subtype
                .rsplit_once('+')
                .is_some_and(|(name, suffix)| !name.is_empty() && suffix.eq_ignore_ascii_case("json"))
    }
}

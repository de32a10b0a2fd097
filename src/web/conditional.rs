//! Conditional requests (RFC 9110 §13): whether a client has what it asks for already, and whether a part of it still fits to what
//! it has. Knows requests, entity tags and dates. `representation` and `response` call it.

use ::http::Method;

use crate::backports::Trim;
use crate::calendar;
use crate::http::request::Request;

/// What identifies a state of a resource (RFC 9110 §8.8).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Validators<'v> {
    /// An entity tag as it stands in `ETag`.
    pub etag: Option<&'v [u8]>,
    /// `Last-Modified`, in seconds since 1970.
    pub modified: Option<i64>,
}

/// How a request with conditions is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As if it had none.
    Proceed,
    /// 304: the client has this state.
    NotModified,
    /// 412: the client wants another state.
    Failed,
}

/// How two entity tags are compared (RFC 9110 §8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// A weak tag equals none.
    Strong,
    /// Only the opaque part counts.
    Weak,
}

impl Validators<'_> {
    /// Evaluates a request's conditions in the order of RFC 9110 §13.2.2, for a resource that exists.
    pub(crate) fn evaluate(&self, request: &Request<'_>) -> Outcome {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(is_matched) = self.is_named(request, "if-match", Comparison::Strong) {
            if !is_matched {
                return Outcome::Failed;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, date(request, "if-unmodified-since")) {
            if modified > date {
                return Outcome::Failed;
            }
        }
        if let Some(is_matched) = self.is_named(request, "if-none-match", Comparison::Weak) {
            return match (is_matched, is_read) {
                (false, _) => Outcome::Proceed,
                (true, true) => Outcome::NotModified,
                (true, false) => Outcome::Failed,
            };
        }
        match (self.modified, date(request, "if-modified-since")) {
            (Some(modified), Some(date)) if is_read && modified <= date => Outcome::NotModified,
            _ => Outcome::Proceed,
        }
    }

    /// Whether `Range` may be obeyed: there is no `If-Range`, or it names this state (RFC 9110 §13.1.5). A tag has to be strong,
    /// and a date exactly that of `Last-Modified`.
    pub(crate) fn allows_range(&self, request: &Request<'_>) -> bool {
        let mut lines = request.field_lines("if-range");
        let Some(line) = lines.next() else { return true };
        if lines.next().is_some() {
            return false;
        }
        let line = line.trimmed();
        if let Some((tag, rest)) = entity_tag(line) {
            return rest.is_empty() && self.etag.is_some_and(|own| equal(own, tag, Comparison::Strong));
        }
        self.modified.is_some() && parse_date(line) == self.modified
    }

    /// Whether a field names this state, by its tag or by `*`; `None` without such a field.
    fn is_named(&self, request: &Request<'_>, name: &str, comparison: Comparison) -> Option<bool> {
        let mut lines = request.field_lines(name).peekable();
        lines.peek()?;
        Some(lines.any(|line| names(line, self.etag, comparison)))
    }
}

/// Whether this list of tags, or `*`, names a tag. What follows something that is not a tag is not read.
pub(crate) fn names(list: &[u8], own: Option<&[u8]>, comparison: Comparison) -> bool {
    let mut rest = list.trimmed();
    if rest == b"*" {
        return true;
    }
    let Some(own) = own else { return false };
    while !rest.is_empty() {
        if rest[0] == b',' {
            rest = rest[1..].trimmed_start();
            continue;
        }
        let Some((tag, after)) = entity_tag(rest) else { return false };
        rest = after.trimmed_start();
        if rest.first().is_some_and(|&byte| byte != b',') {
            return false;
        }
        if equal(own, tag, comparison) {
            return true;
        }
    }
    false
}

/// The entity tag that stands at the front, with its quotes and its `W/`, and what follows it (RFC 9110 §8.8.3).
fn entity_tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = if text.starts_with(b"W/") { 2 } else { 0 };
    let opaque = text[start..].strip_prefix(b"\"")?;
    let close = opaque.iter().position(|&byte| byte == b'"' || !is_of_a_tag(byte))?;
    let end = start + close + 2;
    (opaque[close] == b'"').then(|| text.split_at(end))
}

/// `etagc` without the quote.
fn is_of_a_tag(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

fn equal(one: &[u8], other: &[u8], comparison: Comparison) -> bool {
    match comparison {
        Comparison::Strong => one == other && !one.starts_with(b"W/"),
        Comparison::Weak => opaque(one) == opaque(other),
    }
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The date in a field. None when it is missing or given twice, or is not a date: then the field is ignored.
fn date(request: &Request<'_>, name: &str) -> Option<i64> {
    let mut lines = request.field_lines(name);
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    parse_date(line)
}

fn parse_date(line: &[u8]) -> Option<i64> {
    calendar::parse_http_date(std::str::from_utf8(line).ok()?, calendar::unix_now())
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties {
    use super::*;

    /// Holds for any list of tags: what stands in it as a tag is found in it, and weak comparison finds whatever strong does.
    pub(crate) fn hold(input: &[u8]) {
        if let Some((tag, rest)) = entity_tag(input) {
            assert_eq!([tag, rest].concat(), input);
            assert_eq!(entity_tag(tag), Some((tag, &b""[..])));
            assert!(names(tag, Some(tag), Comparison::Weak));
            assert_eq!(names(tag, Some(tag), Comparison::Strong), !tag.starts_with(b"W/"));
            if rest.trimmed_start().first().map_or(true, |&byte| byte == b',') {
                assert!(names(input, Some(tag), Comparison::Weak));
            }
        }
        for own in [&b"\"a\""[..], b"W/\"a\"", b"\"\"", b"\"a,b\""] {
            if names(input, Some(own), Comparison::Strong) {
                assert!(names(input, Some(own), Comparison::Weak));
            }
        }
        let is_any = input.trimmed() == b"*";
        assert_eq!(names(input, None, Comparison::Weak), is_any);
        parse_date(input);
    }

    #[cfg(test)]
    #[test]
    fn properties_hold_of_random_lists() {
        let pieces =
            &["\"a\"", "W/\"a\"", "\"\"", "\"a,b\"", ", ", ",", " ", "*", "w/", "\"", "W/", "a", "\u{e4}"];
        for input in crate::fuzzing::inputs(50_000, pieces) {
            hold(&input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: i64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn outcome(method: Method, fields: &[(&str, &str)]) -> Outcome {
        let request = fields
            .iter()
            .fold(Request::new(method, "/"), |request, (name, value)| request.with_header(name, value));
        Validators { etag: Some(b"\"a\""), modified: Some(MODIFIED) }.evaluate(&request)
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
        use Outcome::{Failed, NotModified, Proceed};
        for (fields, expected) in [
            (&[][..], Proceed),
            (&[("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "W/\"a\"")], NotModified),
            (&[("if-none-match", "\"b\", \"a\"")], NotModified),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", " * ")], NotModified),
            (&[("if-none-match", "\"b\"")], Proceed),
            (&[("if-none-match", "a")], Proceed),
            (&[("if-none-match", "w/\"a\"")], Proceed),
            (&[("if-none-match", "")], Proceed),
            (&[("if-none-match", "\"b,\"a\"")], Proceed),
            (&[("if-none-match", "\"b\" \"a\"")], Proceed),
            (&[("if-none-match", ",, \"b\" , ,\"a\"")], NotModified),
            // The tag counts, and the date no longer.
            (&[("if-none-match", "\"b\""), ("if-modified-since", DATE)], Proceed),
            (&[("if-modified-since", DATE)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", EARLIER)], Proceed),
            (&[("if-modified-since", "yesterday")], Proceed),
            (&[("if-modified-since", DATE), ("if-modified-since", DATE)], Proceed),
            (&[("if-match", "\"a\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "W/\"a\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-match", "\"b\", \"a\"")], Proceed),
            (&[("if-match", "\"b\""), ("if-unmodified-since", DATE)], Failed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)], Proceed),
            (&[("if-unmodified-since", DATE)], Proceed),
            (&[("if-unmodified-since", EARLIER)], Failed),
            (&[("if-unmodified-since", "x")], Proceed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
        ] {
            assert_eq!(outcome(Method::GET, fields), expected, "{fields:?}");
            assert_eq!(outcome(Method::HEAD, fields), expected, "{fields:?}");
        }
        assert_eq!(outcome(Method::PUT, &[("if-none-match", "*")]), Failed);
        assert_eq!(outcome(Method::PUT, &[("if-modified-since", DATE)]), Proceed);
    }

    #[test]
    fn a_resource_without_validators_is_named_by_the_star_alone() {
        let evaluate = |name: &str, value: &str| {
            Validators::default().evaluate(&Request::get("/").with_header(name, value))
        };
        assert_eq!(evaluate("if-none-match", "\"a\""), Outcome::Proceed);
        assert_eq!(evaluate("if-none-match", "*"), Outcome::NotModified);
        assert_eq!(evaluate("if-match", "\"a\""), Outcome::Failed);
        assert_eq!(evaluate("if-modified-since", DATE), Outcome::Proceed);
        assert_eq!(evaluate("if-unmodified-since", EARLIER), Outcome::Proceed);
    }

    #[test]
    fn a_range_needs_the_same_state_exactly() {
        let strong = Validators { etag: Some(b"\"a\""), modified: Some(MODIFIED) };
        let weak = Validators { etag: Some(b"W/\"a\""), modified: None };
        let allows = |validators: Validators, values: &[&str]| {
            let request = values
                .iter()
                .fold(Request::get("/"), |request, value| request.with_header("if-range", value));
            validators.allows_range(&request)
        };
        for (values, expected) in [
            (&[][..], true),
            (&["\"a\""], true),
            (&[DATE], true),
            (&["W/\"a\""], false),
            (&["\"b\""], false),
            (&["\"a\", \"b\""], false),
            (&["*"], false),
            (&[LATER], false),
            (&[EARLIER], false),
            (&["a"], false),
            (&["\"a\"", "\"a\""], false),
        ] {
            assert_eq!(allows(strong, values), expected, "{values:?}");
        }
        for value in ["\"a\"", "W/\"a\"", DATE] {
            assert!(!allows(weak, &[value]), "{value}");
        }
    }
}

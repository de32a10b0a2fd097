//! A problem document (RFC 9457): an error that a client can read. It is a plain value, and `response` makes a response of it.

use std::fmt;

use ::http::{HeaderName, HeaderValue, StatusCode};
use serde_core::{Serialize, Serializer};
use serde_json::Value;

use crate::error::Error;
use crate::escape;

/// The most errors that one problem lists.
const MOST_ERRORS: usize = 100;

/// An error as a client can read it: an RFC 9457 problem document, `application/problem+json`.
///
/// ```
/// use lockgate::{IntoResponse, Problem, StatusCode};
///
/// let problem = Problem::new(StatusCode::CONFLICT).detail("The sensor is being calibrated.").member("retry", 30);
/// assert_eq!(problem.into_response().status(), StatusCode::CONFLICT);
/// ```
///
/// A handler that checks what it is given can list all that is wrong, and where ([`error`](Problem::error)). In a handler that
/// returns `Result<_, Problem>`, `?` makes a problem of lockgate's [`Error`] too, and in one that returns `Result<_, Error>` it
/// makes an error of a problem:
///
/// ```
/// use lockgate::{Problem, Request, Router, StatusCode};
/// use serde_json::Value;
///
/// fn rename(request: &mut Request) -> Result<(), Problem> {
///     let asked: Value = request.json()?; // 400, 413, 415 or 422
///     let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY);
///     for field in ["name", "place"] {
///         if !asked[field].is_string() {
///             problem = problem.error(format!("/{field}"), "must be text");
///         }
///     }
///     if problem.has_errors() {
///         return Err(problem);
///     }
///     Ok(())
/// }
///
/// let response = Router::new().put("/", rename).call(&mut Request::new(lockgate::Method::PUT, "/").with_json(&serde_json::json!({"name": "a"})));
/// let problem: Value = serde_json::from_slice(&response.into_bytes().unwrap()).unwrap();
/// assert_eq!(problem["errors"], serde_json::json!([{"detail": "must be text", "pointer": "#/place"}]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) status: StatusCode,
    /// What the response says beside the document.
    pub(super) field: Option<(HeaderName, HeaderValue)>,
    /// Sorted by name. There are only a few, and the code of a map would be larger than all else here.
    members: Vec<(String, Value)>,
}

impl Problem {
    /// A problem whose title is the status's own (RFC 9457 §4.2.1, `about:blank`).
    pub fn new(status: StatusCode) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error");
        Problem { status, field: None, members: Vec::new() }.title(title).member("status", status.as_u16())
    }

    /// What happened this time, for a person.
    pub fn detail(self, detail: impl Into<String>) -> Problem {
        self.member("detail", detail.into())
    }

    /// The kind of problem: a URI, preferably of a page that explains it.
    pub fn kind(self, uri: impl Into<String>) -> Problem {
        self.member("type", uri.into())
    }

    /// The short name of the kind of problem.
    pub fn title(self, title: impl Into<String>) -> Problem {
        self.member("title", title.into())
    }

    /// Adds a further member (RFC 9457 §3.2).
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Problem {
        let member = (name.to_string(), value.into());
        match self.members.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) => self.members[at] = member,
            Err(at) => self.members.insert(at, member),
        }
        self
    }

    /// Lists something that is wrong with the request's body, and where: `errors` as in RFC 9457 §3. `pointer` is a JSON
    /// pointer (RFC 6901 §3), such as `/samples/3/celsius`, and is sent as the fragment of a URI (`#/samples/3/celsius`, §6);
    /// in a member's name `~` is written `~0` and `/` is written `~1`. The empty pointer is the whole body. A problem lists at
    /// most 100 errors; further ones are left out.
    pub fn error(mut self, pointer: impl AsRef<str>, detail: impl Into<String>) -> Problem {
        let error = [("detail", detail.into()), ("pointer", fragment(pointer.as_ref()))];
        let error: Value = error.into_iter().collect();
        match self.members.iter_mut().find(|(name, _)| name == "errors") {
            Some((_, Value::Array(errors))) => {
                if errors.len() < MOST_ERRORS {
                    errors.push(error);
                }
                self
            }
            _ => self.member("errors", vec![error]),
        }
    }

    /// Whether an [`error`](Problem::error) is listed.
    pub fn has_errors(&self) -> bool {
        self.members.iter().any(|(name, _)| name == "errors")
    }

    /// Lets the response have a field too.
    pub(super) fn with_field(self, name: HeaderName, value: HeaderValue) -> Problem {
        Problem { field: Some((name, value)), ..self }
    }

    /// The document, as JSON.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A map of strings to JSON values can always be written.
        serde_json::to_vec(&Members(&self.members)).unwrap_or_default()
    }
}

/// A JSON pointer as the fragment of a URI: what a fragment may not hold is percent-encoded (RFC 3986 §3.5).
fn fragment(pointer: &str) -> String {
    let mut fragment = String::from(if pointer.is_empty() || pointer.starts_with('/') { "#" } else { "#/" });
    for byte in pointer.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte) {
            fragment.push(char::from(byte));
        } else {
            fragment.push('%');
            fragment.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
            );
        }
    }
    fragment
}

/// For the log: the status and the detail.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        match self.members.iter().find(|(name, _)| name == "detail") {
            Some((_, Value::String(detail))) => write!(f, ": {}", escape::line(detail)),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// [`Error::Answer`] with the problem as its source. The client gets this very problem, whatever its status.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        Error::Answer { status: problem.status, source: Box::new(problem) }
    }
}

/// Members that are written as a JSON object.
struct Members<'m>(&'m [(String, Value)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

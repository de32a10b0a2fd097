//! A problem document (RFC 9457): an error that a client can read. It is a plain value, and `response` makes a response of it.

use ::http::StatusCode;
use serde_core::{Serialize, Serializer};
use serde_json::Value;

/// An error as a client can read it: an RFC 9457 problem document, `application/problem+json`.
///
/// ```
/// use lockgate::{IntoResponse, Problem, StatusCode};
///
/// let problem = Problem::new(StatusCode::CONFLICT).detail("The sensor is being calibrated.").member("retry", 30);
/// assert_eq!(problem.into_response().status(), StatusCode::CONFLICT);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) status: StatusCode,
    /// Sorted by name. There are only a few, and the code of a map would be larger than all else here.
    members: Vec<(String, Value)>,
}

impl Problem {
    /// A problem whose title is the status's own (RFC 9457 §4.2.1, `about:blank`).
    pub fn new(status: StatusCode) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error");
        Problem { status, members: Vec::new() }.title(title).member("status", status.as_u16())
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

    /// The document, as JSON.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A map of strings to JSON values can always be written.
        serde_json::to_vec(&Members(&self.members)).unwrap_or_default()
    }
}

/// Members that are written as a JSON object.
struct Members<'m>(&'m [(String, Value)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

//! The wire, as bytes: what a request says, what a response looks like, and where each ends. No socket, no thread,
//! no TLS; the server and the redirect call it.

#[cfg(feature = "proxy")]
pub(crate) mod as_read;
pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod clear_credentials;
pub(crate) mod content;
#[cfg(feature = "handler-timeout")]
pub(crate) mod detached;
mod error_problem;
pub(crate) mod folder;
pub(crate) mod handler;
#[cfg(feature = "proxy")]
pub(crate) mod hop_by_hop;
#[cfg(feature = "proxy")]
pub(crate) mod incoming_response;
pub(crate) mod into_response;
pub(crate) mod layer;
pub(crate) mod live_body;
pub(crate) mod origin;
pub(crate) mod params;
#[cfg(feature = "proxy")]
pub(crate) mod passing;
#[cfg(feature = "handler-timeout")]
pub(crate) mod pending;
pub(crate) mod problem;
pub(crate) mod request;
pub(crate) mod request_head;
pub(crate) mod response;
pub(crate) mod response_head;
pub(crate) mod seen;
pub(crate) mod span;
pub(crate) mod target;
#[cfg(feature = "upgrade")]
pub(crate) mod upgrade;

use ::http::StatusCode;

use crate::limits::limit::Limit;

/// Why a request is refused, for the client and for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status the client gets.
    pub status: StatusCode,
    /// One sentence for the client and for the log. Never holds the client's own bytes.
    pub detail: &'static str,
    /// The limit that was met, if there was one.
    pub limit: Option<Limit>,
}

impl Refusal {
    pub(crate) const BODY_TOO_LARGE: Refusal = Refusal::over(
        Limit::BodyBytes,
        StatusCode::PAYLOAD_TOO_LARGE,
        "the request's body is larger than is accepted here",
    );

    pub(crate) const fn new(status: StatusCode, detail: &'static str) -> Self {
        Refusal { status, detail, limit: None }
    }

    pub(crate) const fn bad_request(detail: &'static str) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) const fn over(limit: Limit, status: StatusCode, detail: &'static str) -> Self {
        Refusal { status, detail, limit: Some(limit) }
    }

    /// The name of the limit, or the reason phrase of the status.
    pub(crate) fn what(&self) -> &'static str {
        self.limit.map(Limit::name).or(self.status.canonical_reason()).unwrap_or("refused")
    }
}

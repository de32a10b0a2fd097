//! What is wrong with a request's body. The server's readers of bodies and `Request::json` make these errors.

use std::fmt;
use std::io;
use std::time::Duration;

use super::raw::Raw;
use crate::escape;

/// What went wrong while a request's body was read.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyFault {
    /// The body is over [`Limits::body_bytes`](crate::Limits::body_bytes) or [`Router::body_bytes`](crate::Router::body_bytes), or
    /// over the limit of what reads it, such as an [`Upload`](crate::web::Upload): 413.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body is larger than what [`Request::json`](crate::Request::json), [`text`](crate::Request::text) or
    /// [`form`](crate::Request::form) reads into memory: 413.
    TooLargeForText {
        /// The limit, in bytes: 1 MiB, or that of [`json_up_to`](crate::Request::json_up_to),
        /// [`text_up_to`](crate::Request::text_up_to) or [`form_up_to`](crate::Request::form_up_to).
        limit: u64,
    },
    /// The memory for bodies ([`Limits::body_memory_bytes`](crate::Limits::body_memory_bytes)) is taken: 503 with `Retry-After`.
    MemoryBusy,
    /// The body did not arrive in time: 408.
    TimedOut {
        /// [`Limits::body_timeout`](crate::Limits::body_timeout), before the minimum rate's allowance.
        limit: Duration,
    },
    /// The client went away before the body was complete.
    Incomplete,
    /// The chunked framing is broken (RFC 9112 §7.1): 400.
    Malformed(&'static str),
    /// The body is not JSON: 400.
    Json(serde_json::Error),
    /// The body is JSON, but not what was expected: 422, with `errors` (RFC 9457 §3).
    JsonShape {
        /// Where: a JSON pointer (RFC 6901 §3) to the value at fault, or to the nearest one around it that is known; empty for
        /// the whole body.
        pointer: String,
        /// What was expected there.
        source: serde_json::Error,
    },
    /// `Content-Type` is missing, stands there twice, or is something else than JSON's: 415, with `Accept: application/json`.
    MediaType,
    /// `Content-Type` has another charset than UTF-8, which JSON is always in (RFC 8259 §8.1): 415.
    Charset,
    /// The body is to be text, and is not UTF-8: 400.
    NotUtf8,
    /// `Content-Encoding` is something else than `identity` (RFC 9110 §8.4): 415, with `Accept-Encoding: identity`.
    ContentCoding,
    /// The body comes with `Content-Encoding: gzip`, and is not gzip, or is damaged: 400.
    #[cfg(feature = "compression")]
    Gzip(io::Error),
    /// The connection failed: 400. The client is not shown the system's error.
    Io(io::Error),
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for Raw<'_, BodyFault> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BodyFault::TooLarge { limit } => {
                write!(f, "the body is larger than the {limit} bytes accepted here")
            }
            BodyFault::TooLargeForText { limit } => {
                write!(f, "the body is larger than the {limit} bytes that may be sent as text here")
            }
            BodyFault::MemoryBusy => f.write_str("too many bodies are being received; try again"),
            BodyFault::TimedOut { limit } => {
                write!(f, "the body did not arrive within {} s", limit.as_secs())
            }
            BodyFault::Incomplete => f.write_str("the connection ended before the body was complete"),
            BodyFault::Malformed(what) => write!(f, "the body's chunked framing is broken: {what}"),
            BodyFault::Json(source) => write!(f, "the body is not JSON: {source}"),
            BodyFault::JsonShape { source, .. } => {
                write!(f, "the body is not the JSON that is expected here: {source}")
            }
            BodyFault::MediaType => f.write_str("the body must be JSON, with Content-Type: application/json"),
            BodyFault::Charset => {
                f.write_str("the body must be in UTF-8, and Content-Type name no other charset")
            }
            BodyFault::NotUtf8 => f.write_str("the body must be text in UTF-8"),
            BodyFault::ContentCoding => {
                f.write_str("the body must come as it is, without a Content-Encoding such as gzip")
            }
            #[cfg(feature = "compression")]
            BodyFault::Gzip(source) => write!(f, "the body is not gzip, or is damaged: {source}"),
            BodyFault::Io(source) => write!(f, "the body could not be read: {source}"),
        }
    }
}

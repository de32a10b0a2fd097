//! The settings of the redirect, and the bounds that hold for every configuration.
//!
//! Holds values only. The server's builder makes them, and `acme` does.

use std::time::Duration;

use super::credentials::HttpCredentials;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;

/// From accept to the end of a connection, whatever it does, at most.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);
/// A request's head, at most. Redirects need no more, and this bounds what a full table can hold.
pub(super) const HEAD_BYTES: usize = 8 * 1024;

/// What the redirect is configured with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The host that redirects lead to; `None` for the request's own.
    pub public_name: Option<String>,
    /// The port that redirects lead to.
    pub public_port: u16,
    pub credentials: HttpCredentials,
    /// Further names beside those that always count.
    pub credential_headers: Vec<String>,
    /// Open connections, at most; a further one takes the place of the oldest.
    pub connections: usize,
    /// Bytes in a head, at most; never more than 8 KiB.
    pub head_bytes: usize,
    /// From accept to the end of a connection; never more than 10 s.
    pub head_timeout: Duration,
    /// Fields in a head, at most.
    pub head_fields: usize,
    /// As the server's routes have it, so that nothing is sent on that is refused there.
    pub encoded_slash: EncodedSlash,
    pub field_names: FieldNames,
}

//! The settings of the redirect, and the bounds that hold for every configuration.
//!
//! Holds values only. The server's builder makes them, and `acme` does.

use std::time::Duration;

use super::credentials::HttpCredentials;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;

/// The longest time from accept to the end of a connection.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);
/// The most bytes of a request's head. Redirects need no more, and this bounds the memory of a full table.
pub(super) const HEAD_BYTES: usize = 8 * 1024;

/// The settings of the redirect.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The host that redirects lead to. `None` means the request's own.
    pub public_name: Option<String>,
    /// The port that redirects lead to.
    pub public_port: u16,
    pub credentials: HttpCredentials,
    /// Further names of fields with credentials.
    pub credential_headers: Vec<String>,
    /// The most open connections. A further one replaces the oldest.
    pub connections: usize,
    /// The most bytes of a head; never more than 8 KiB.
    pub head_bytes: usize,
    /// From accept to the end of a connection; never more than 10 s.
    pub head_timeout: Duration,
    /// The most fields of a head.
    pub head_fields: usize,
    /// As in the server's routes, so that no request is redirected that HTTPS refuses.
    pub encoded_slash: EncodedSlash,
    pub field_names: FieldNames,
}

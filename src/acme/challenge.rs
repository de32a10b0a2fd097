//! The two ways to prove a name (RFC 8555 §8).
//!
//! Knows nothing else. `order` asks for one of them, and the agent answers it.

/// How an authority validates that a name belongs to this machine (RFC 8555 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Challenge {
    /// By an answer on port 80, given by the redirect (RFC 8555 §8.3): the server needs
    /// [`redirect_http`](crate::ServerBuilder::redirect_http), reachable under every name on port 80. The default.
    #[default]
    Http01,
    /// By a TLS handshake on port 443 (RFC 8737): the server must be reachable under every name on port 443. It cannot be
    /// combined with required client certificates.
    TlsAlpn01,
}

impl Challenge {
    /// Its name in RFC 8555 and RFC 8737.
    pub fn name(self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

//! The two ways to prove a name (RFC 8555 §8).
//!
//! Knows nothing else. `order` asks for one of them, and the agent answers it.

/// How a name is proven to be this machine's (RFC 8555 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Challenge {
    /// By an answer on port 80, given by the redirect (RFC 8555 §8.3): the server needs
    /// [`redirect_http`](crate::ServerBuilder::redirect_http), reachable under every name on port 80. The default.
    #[default]
    Http01,
    /// By a TLS handshake on port 443 (RFC 8737): the server must be reachable under every name on port 443. Does not go
    /// together with client certificates that are required.
    TlsAlpn01,
}

impl Challenge {
    /// As RFC 8555 and RFC 8737 call it.
    pub fn name(self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

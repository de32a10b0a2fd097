//! What client and server have agreed on in a handshake, as plain numbers with the names that IANA gives them. The connection's
//! transport keeps it when the handshake is done, and a request passes it to handlers. Without the feature `tls-parameters` nothing
//! is kept.

use rustls::CommonState;
#[cfg(feature = "tls-parameters")]
use rustls::HandshakeKind;

/// What is kept of a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    #[cfg(feature = "tls-parameters")]
    pub(crate) parameters: TlsParameters,
}

#[cfg(not(feature = "tls-parameters"))]
impl Agreed {
    pub(crate) const NOTHING: Agreed = Agreed {};

    pub(crate) fn by(_: &CommonState) -> Agreed {
        Agreed {}
    }
}

#[cfg(feature = "tls-parameters")]
impl Agreed {
    /// Before the handshake is done.
    pub(crate) const NOTHING: Agreed = Agreed {
        parameters: TlsParameters { version: 0, cipher_suite: 0, key_exchange: 0, is_resumed: false },
    };

    pub(crate) fn by(handshake: &CommonState) -> Agreed {
        let parameters = TlsParameters {
            version: handshake.protocol_version().map_or(0, u16::from),
            cipher_suite: handshake.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into()),
            key_exchange: handshake.negotiated_key_exchange_group().map_or(0, |group| group.name().into()),
            is_resumed: handshake.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Agreed { parameters }
    }
}

/// What a connection's client and server have agreed on (the IANA registry "TLS Parameters"): see
/// [`Request::tls`](crate::Request::tls). Only with the feature `tls-parameters`.
#[cfg(feature = "tls-parameters")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsParameters {
    version: u16,
    cipher_suite: u16,
    /// 0 for none.
    key_exchange: u16,
    is_resumed: bool,
}

#[cfg(feature = "tls-parameters")]
impl TlsParameters {
    /// The version, as the access log writes it: `TLSv1.3` or `TLSv1.2`.
    pub fn version(&self) -> &'static str {
        match self.version {
            0x0304 => "TLSv1.3",
            0x0303 => "TLSv1.2",
            _ => "unknown",
        }
    }

    /// The cipher suite: `TLS_AES_128_GCM_SHA256`, for instance.
    pub fn cipher_suite(&self) -> &'static str {
        match self.cipher_suite {
            0x1301 => "TLS_AES_128_GCM_SHA256",
            0x1302 => "TLS_AES_256_GCM_SHA384",
            0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
            0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            _ => "unknown",
        }
    }

    /// The group of the key exchange: `x25519`, `secp256r1`, `secp384r1`, or with the feature `post-quantum` `X25519MLKEM768`.
    /// `None` for a resumed session of TLS 1.2, which has no key exchange of its own.
    pub fn key_exchange(&self) -> Option<&'static str> {
        match self.key_exchange {
            0 => None,
            0x0017 => Some("secp256r1"),
            0x0018 => Some("secp384r1"),
            0x001d => Some("x25519"),
            0x11ec => Some("X25519MLKEM768"),
            _ => Some("unknown"),
        }
    }

    /// Whether the client has resumed a session of an earlier connection, so that it was not shown the certificate again.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}

#[cfg(all(test, feature = "tls-parameters"))]
mod tests {
    use super::super::provider;
    use super::*;

    #[test]
    fn all_that_can_be_agreed_on_has_a_name() {
        for suite in &provider().cipher_suites {
            let known = TlsParameters { cipher_suite: suite.suite().into(), ..Agreed::NOTHING.parameters };
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert_eq!(known.cipher_suite(), name);
        }
        for group in &provider().kx_groups {
            let known = TlsParameters { key_exchange: group.name().into(), ..Agreed::NOTHING.parameters };
            let told = known.key_exchange().map(str::to_lowercase);
            assert_eq!(told, Some(format!("{:?}", group.name()).to_lowercase()));
        }
    }
}

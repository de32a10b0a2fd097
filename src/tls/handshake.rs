//! Why a handshake failed, with what to do about it.
//!
//! The reasons are a few fixed texts, so the log can limit each one separately, and shows nothing that a client has sent. Knows
//! the errors of rustls; the transport calls it. `client_refusal` has the refusals of a client's certificate.

use std::fmt;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// What ended a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What happened. The log limiter counts lines by it.
    pub(crate) what: &'static str,
    /// What to do about it.
    way_out: &'static str,
}

/// Displays as a clause for the log: `the client does not trust the certificate (alert unknown_ca): install the CA on it`.
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.way_out)
    }
}

const fn failed(what: &'static str, way_out: &'static str) -> Failed {
    Failed { what, way_out }
}

/// The client closed the connection during the handshake, without an alert.
pub(crate) const LEFT: Failed = failed(
    "the client left in the middle of the handshake, without an alert",
    "some clients do so when they do not trust the certificate; see what the client itself says",
);

/// The received bytes are not a TLS handshake.
pub(crate) const NO_TLS: Failed = failed(
    "what the client sends is no TLS handshake that can be read",
    "look at what connects to this port; it may be no TLS client",
);

/// Why a read failed during a handshake. `None` for an error of the operating system that is neither about TLS nor the end of
/// the connection.
pub(crate) fn failed_handshake(error: &io::Error) -> Option<Failed> {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Some(LEFT),
        _ => Some(reason(error.get_ref()?.downcast_ref()?)),
    }
}

/// The alert with which a client has refused, if the error holds one.
pub(crate) fn client_alert(error: &io::Error) -> Option<Failed> {
    match error.get_ref()?.downcast_ref()? {
        Error::AlertReceived(alert) => Some(of_alert(*alert)),
        _ => None,
    }
}

fn reason(error: &Error) -> Failed {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(fault) => of_offer(fault),
        Error::NoApplicationProtocol => failed(
            "the client offers no protocol that is spoken here (ALPN)",
            "this server speaks http/1.1; do not limit the client to HTTP/2 or to another protocol",
        ),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | Error::InvalidMessage(InvalidMessage::InvalidServerName) => failed(
            "the client asks for a name that no host has (SNI, RFC 6066 §3)",
            "it must be the host alone, without brackets, without a port and without other characters than a name has",
        ),
        Error::General(_) => failed(
            "there is no certificate for what the client asks",
            "this is for an authority that validates a name (tls-alpn-01), and none is validated now",
        ),
        Error::PeerMisbehaved(_) => failed(
            "the client does not keep to the TLS protocol",
            "update its TLS library; or something on the way changes what it sends",
        ),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => NO_TLS,
        Error::DecryptError => failed(
            "what the client sends cannot be decrypted",
            "update its TLS library; or something on the way changes what it sends",
        ),
        _ => failed("the handshake failed", "at the log level debug there is more"),
    }
}

/// The client's offer is not sufficient.
fn of_offer(fault: &PeerIncompatible) -> Failed {
    use PeerIncompatible::*;
    match fault {
        // TLS 1.2 introduced the signature algorithms (RFC 5246 §7.4.1.4.1). rustls reports that they are missing before it
        // checks the version.
        Tls12NotOffered
        | Tls12NotOfferedOrEnabled
        | SupportedVersionsExtensionRequired
        | SignatureAlgorithmsExtensionRequired => failed(
            "the client offers TLS 1.1 at most",
            "this server wants 1.2 or 1.3; update the client, or let it use TLS 1.2",
        ),
        NoCipherSuitesInCommon => failed(
            "the client offers no cipher suite that is used here",
            "this server wants ECDHE with AES-GCM or ChaCha20-Poly1305, and with a signature that its key can make",
        ),
        NoKxGroupsInCommon | NamedGroupsExtensionRequired | KeyShareExtensionRequired => failed(
            "the client offers no key exchange that is used here",
            if cfg!(feature = "post-quantum") {
                "this server wants ECDHE with X25519, P-256 or P-384, or X25519MLKEM768"
            } else {
                "this server wants ECDHE with X25519, P-256 or P-384"
            },
        ),
        NoSignatureSchemesInCommon => failed(
            "the client accepts no signature that this server's key can make",
            "give the server a certificate with an ECDSA P-256 or an RSA key, or update the client",
        ),
        _ => failed(
            "the client offers too little for a handshake",
            "update its TLS library, or let it use TLS 1.2 with its defaults",
        ),
    }
}

/// The client refuses with an alert (RFC 8446 §6.2).
fn of_alert(alert: AlertDescription) -> Failed {
    const INSTALL: &str = "install the CA on it";
    const LOOK: &str = "it does not trust the CA, or calls a name that the certificate is not for: install the CA on it, and \
                        look at the certificate with lockgate check";
    const OFFER: &str =
        "it wants something that this server does not offer: TLS 1.2 or 1.3 with the usual cipher suites; \
                         update the client";
    const SAYS: &str = "see what the client itself says";
    match alert {
        AlertDescription::UnknownCA => {
            failed("the client does not trust the certificate (alert unknown_ca)", INSTALL)
        }
        AlertDescription::BadCertificate => {
            failed("the client rejects the certificate (alert bad_certificate)", LOOK)
        }
        AlertDescription::CertificateUnknown => {
            failed("the client rejects the certificate (alert certificate_unknown)", LOOK)
        }
        AlertDescription::UnsupportedCertificate => failed(
            "the client cannot use the certificate (alert unsupported_certificate)",
            "look at it with lockgate check: its key, its signature or its purpose is not one that the client takes",
        ),
        AlertDescription::CertificateExpired => failed(
            "the client takes the certificate for expired (alert certificate_expired)",
            "renew it, or set the clock of the client",
        ),
        AlertDescription::CertificateRevoked => failed(
            "the client takes the certificate for revoked (alert certificate_revoked)",
            "get another from its authority",
        ),
        AlertDescription::AccessDenied => failed("the client refuses (alert access_denied)", SAYS),
        AlertDescription::UnrecognisedName => failed(
            "the client rejects the name (alert unrecognized_name)",
            "look at the names in the certificate with lockgate check",
        ),
        AlertDescription::HandshakeFailure => {
            failed("the client refuses the handshake (alert handshake_failure)", OFFER)
        }
        AlertDescription::ProtocolVersion => {
            failed("the client refuses the TLS version (alert protocol_version)", OFFER)
        }
        AlertDescription::InsufficientSecurity => failed(
            "the client asks for more security (alert insufficient_security)",
            "give the server a certificate with an ECDSA P-256 or a longer RSA key",
        ),
        AlertDescription::NoApplicationProtocol => failed(
            "the client does not take the protocol (alert no_application_protocol)",
            "this server speaks http/1.1",
        ),
        AlertDescription::DecryptError => {
            failed("the client finds a signature wrong (alert decrypt_error)", LOOK)
        }
        AlertDescription::IllegalParameter => {
            failed("the client refuses the handshake (alert illegal_parameter)", SAYS)
        }
        AlertDescription::InternalError => failed("the client has a fault of its own (alert internal_error)", SAYS),
        AlertDescription::UserCanceled => failed("the client gave up (alert user_canceled)", SAYS),
        _ => failed("the client refuses the handshake (an alert of another kind)", SAYS),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_alert_has_words_of_its_own_and_a_way_out() {
        let named: BTreeSet<&str> = (0..=u8::MAX).map(|code| of_alert(code.into()).what).collect();
        assert_eq!(named.len(), 17, "{named:?}");
        for failed in (0..=u8::MAX).map(|code| of_alert(code.into())) {
            assert!(failed.what.starts_with("the client ") && !failed.way_out.is_empty(), "{failed}");
        }
        let unknown_ca = of_alert(AlertDescription::UnknownCA).to_string();
        assert_eq!(
            unknown_ca,
            "the client does not trust the certificate (alert unknown_ca): install the CA on it"
        );
    }

    #[test]
    fn what_the_system_says_is_no_reason_of_tls() {
        assert_eq!(failed_handshake(&ErrorKind::UnexpectedEof.into()), Some(LEFT));
        assert_eq!(failed_handshake(&ErrorKind::ConnectionReset.into()), Some(LEFT));
        assert_eq!(failed_handshake(&ErrorKind::OutOfMemory.into()), None);
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        let alert = io::Error::new(ErrorKind::InvalidData, alert);
        assert_eq!(client_alert(&alert), failed_handshake(&alert));
        assert_eq!(client_alert(&io::Error::new(ErrorKind::InvalidData, Error::DecryptError)), None);
    }
}

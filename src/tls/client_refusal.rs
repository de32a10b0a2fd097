//! Why a client's certificate is refused, in words for the log and for the client.
//!
//! Knows rustls's errors. Called by `client_auth` and by the server.

use std::fmt;

use rustls::pki_types::UnixTime;
use rustls::CertificateError;

use crate::calendar::iso8601_of;

/// Why a client's certificate is refused. Holds nothing that the client has sent.
#[derive(Debug)]
pub(crate) struct Refused {
    /// One of a few fixed texts.
    pub(crate) what: &'static str,
    /// The date at fault, or webpki's error.
    detail: String,
}

impl Refused {
    pub(super) fn unchecked(error: &rustls::Error) -> Refused {
        Refused { what: "its certificate cannot be checked", detail: format!(" ({error})") }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.what, self.detail)
    }
}

/// The refusal behind a handshake's error, if the client's certificate was the reason.
pub(crate) fn refused(error: &rustls::Error) -> Option<Refused> {
    use CertificateError::*;
    let at =
        |time: &UnixTime| format!(" ({})", iso8601_of(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
    let (what, detail) = match error {
        rustls::Error::NoCertificatesPresented => ("it has shown no certificate, and one is required", None),
        rustls::Error::InvalidCertRevocationList(_) => {
            ("the revocation list cannot be used for its certificate", None)
        }
        rustls::Error::InvalidCertificate(fault) => match fault {
            ExpiredContext { not_after, .. } => ("its certificate has expired", Some(at(not_after))),
            NotValidYetContext { not_before, .. } => {
                ("its certificate is not valid yet", Some(at(not_before)))
            }
            ExpiredRevocationListContext { next_update, .. } => (
                "the revocation list for its certificate is out of date; get the current one",
                Some(at(next_update)),
            ),
            UnknownIssuer => ("its certificate is of no authority that is trusted here", None),
            Revoked => ("its certificate is revoked", None),
            UnknownRevocationStatus => {
                ("there is no revocation list of the authority of its certificate, or of one above", None)
            }
            InvalidPurpose | InvalidPurposeContext { .. } => {
                ("its certificate is not for client authentication", None)
            }
            BadSignature => ("a signature by its certificate, or on it, is wrong", None),
            BadEncoding => ("its certificate cannot be read", None),
            Other(other) => ("its certificate is not accepted", Some(format!(" ({other})"))),
            _ => ("its certificate is not accepted", None),
        },
        _ => return None,
    };
    Some(Refused { what, detail: detail.unwrap_or_default() })
}

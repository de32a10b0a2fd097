//! Why an authority issued no certificate. The ACME client makes these errors.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::raw::Raw;
use crate::calendar::iso8601;
use crate::escape;

/// Why an authority issued no certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcmeFault {
    /// The authority has terms of service, and nobody has accepted them.
    TermsNotAccepted {
        /// Where they can be read.
        terms: String,
    },
    /// The authority, or one of its URLs, could not be reached or is not trusted.
    Unreachable {
        /// The URL that was asked.
        url: String,
        /// What the network, or TLS, said.
        source: io::Error,
    },
    /// The authority refused, with a problem document (RFC 8555 §6.7).
    Refused {
        /// The URL that was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The problem's type, without `urn:ietf:params:acme:error:`.
        kind: String,
        /// The problem's detail, in the authority's words.
        detail: String,
        /// How long the authority asks the client to wait.
        retry_after: Option<Duration>,
    },
    /// The authority could not verify that a name belongs to this machine.
    NotValidated {
        /// The name or address.
        name: String,
        /// The challenge: `http-01` or `tls-alpn-01`.
        challenge: &'static str,
        /// Why not, in the authority's words.
        detail: String,
    },
    /// The authority did not finish in time. The next attempt continues the order.
    Unfinished {
        /// What the authority did not finish.
        what: &'static str,
        /// How long the authority asks the client to wait.
        retry_after: Option<Duration>,
    },
    /// The authority's answer does not conform to RFC 8555.
    Unexpected {
        /// The URL that was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The order failed (RFC 8555 §7.1.6).
    OrderFailed {
        /// The order's URL.
        url: String,
        /// Why, in the authority's words.
        detail: String,
    },
    /// The authority does not offer something that was requested.
    Unsupported(String),
    /// A file of the state directory could not be read or written.
    State {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process works with the same state directory.
    InUse {
        /// The file that it holds.
        file: PathBuf,
    },
    /// No order may be placed before this time, to spare the authority.
    TooSoon {
        /// The first moment at which an order may be placed.
        until: SystemTime,
        /// Why not now.
        because: String,
    },
    /// No key or signature could be made, because the machine has no random numbers.
    Crypto,
    /// The program told the client to stop.
    Stopped,
}

impl fmt::Display for AcmeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for Raw<'_, AcmeFault> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AcmeFault::TermsNotAccepted { terms } => write!(
                f,
                "its terms of service have not been accepted; read {terms}, and if you agree say so with accept_terms (--accept-terms)"
            ),
            AcmeFault::Unreachable { url, source } => write!(
                f,
                "{url}: {source}; check the network, the clock and, for an authority of your own, the roots that are trusted (ca_file, --acme-ca)"
            ),
            AcmeFault::Refused { url, status, kind, detail, retry_after } => {
                write!(f, "{url}: refused with status {status}: {detail} ({kind})")?;
                match retry_after {
                    Some(wait) => write!(f, "; it wants to be left alone for {} s", wait.as_secs()),
                    None => Ok(()),
                }
            }
            AcmeFault::NotValidated { name, challenge, detail } => write!(
                f,
                "{name} could not be validated with {challenge}: {detail}; the authority must reach this machine under that name, {}",
                match *challenge {
                    "tls-alpn-01" => "on port 443, where HTTPS is served",
                    _ => "on port 80, where plain HTTP is answered",
                }
            ),
            AcmeFault::Unfinished { what, .. } => write!(f, "{what} took too long; the order is kept and goes on later"),
            AcmeFault::Unexpected { url, what } => write!(f, "{url}: {what}"),
            AcmeFault::OrderFailed { url, detail } => write!(f, "{url}: the order failed: {detail}"),
            AcmeFault::Unsupported(what) => f.write_str(what),
            AcmeFault::State { file, source } => write!(
                f,
                "{}: {source}; the state directory must be one that this user may write to",
                file.display()
            ),
            AcmeFault::InUse { file } => write!(
                f,
                "{}: another process uses this state directory; a running server obtains and renews by itself",
                file.display()
            ),
            AcmeFault::TooSoon { until, because } => {
                write!(f, "not before {}: {because}", iso8601(*until))
            }
            AcmeFault::Crypto => f.write_str("the operating system has no random numbers to make a key or a signature with"),
            AcmeFault::Stopped => f.write_str("told to stop"),
        }
    }
}

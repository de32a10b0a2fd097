//! Why an authority gave no certificate. The client of ACME makes these.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::raw::Raw;
use crate::calendar::iso8601;
use crate::escape;

/// Why an authority gave no certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcmeFault {
    /// The authority has terms of service, and nobody has accepted them.
    TermsNotAccepted {
        /// Where they can be read.
        terms: String,
    },
    /// The authority, or one of its URLs, could not be reached, or not be trusted.
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
        /// How long the authority wants one to wait.
        retry_after: Option<Duration>,
    },
    /// The authority could not convince itself that a name is this machine's.
    NotValidated {
        /// The name or address.
        name: String,
        /// The challenge: `http-01` or `tls-alpn-01`.
        challenge: &'static str,
        /// Why not, in the authority's words.
        detail: String,
    },
    /// The authority has not finished in time; the order goes on at the next attempt.
    Unfinished {
        /// What is waited for.
        what: &'static str,
        /// How long the authority wants one to wait.
        retry_after: Option<Duration>,
    },
    /// The authority's answer is not what RFC 8555 has it answer.
    Unexpected {
        /// The URL that was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The order came to nothing (RFC 8555 §7.1.6).
    OrderFailed {
        /// The order's URL.
        url: String,
        /// Why, in the authority's words.
        detail: String,
    },
    /// Something asked for is not to be had from this authority.
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
    /// No order may be made before this time, for the authority's sake.
    TooSoon {
        /// The first moment in which it may.
        until: SystemTime,
        /// Why not now.
        because: String,
    },
    /// No key or signature could be made; a machine without random numbers.
    Crypto,
    /// It was told to stop.
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

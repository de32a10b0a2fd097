//! What is wrong with a certificate or a key, and the command that fixes it. Knows the calendar and nothing of TLS. The code
//! that reads certificates makes these errors.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::raw::Raw;
use crate::backports;
use crate::calendar::iso8601;
use crate::escape;
use crate::finding::shell_word;

/// What is wrong with a certificate or its private key, or with a file of [`ClientAuth`](crate::ClientAuth).
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityFault {
    /// There is no such file.
    Missing,
    /// The file exists but cannot be read, or it is not a regular file: pipes, sockets and devices are not opened.
    Unreadable(io::Error),
    /// The file holds no certificate.
    NoCertificate,
    /// The file holds no private key.
    NoKey,
    /// The certificate's file holds a private key, and the key's file holds a certificate.
    Swapped,
    /// The private key is encrypted with a passphrase.
    EncryptedKey,
    /// The private key is intact, but of a kind that cannot be used for TLS here.
    UnsupportedKey {
        /// Its kind, such as `RSA of 1024 bits`.
        kind: String,
    },
    /// The private key is of a supported kind, but written in a way that cannot be read here.
    UnreadableKey {
        /// What is unusual about it, as a clause.
        what: &'static str,
    },
    /// The private key is written without its public half, which RFC 5915 §3 makes optional, and there is no certificate to
    /// take it from.
    KeyWithoutPublicHalf,
    /// The file holds the certificate or key in another form than PEM (DER, PKCS#7, PKCS#12), or it holds something else, such
    /// as a certificate request.
    OtherForm {
        /// What it is, and what to do, as a clause.
        what: &'static str,
        /// The command that converts it to PEM, with `FILE` and `NEW` for the paths. Empty when there is none.
        conversion: &'static str,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch,
    /// The certificate has expired. A server still starts with such a certificate:
    /// [`Identity::clock_fault`](crate::Identity::clock_fault) returns this fault, and a running server does not replace a
    /// valid certificate by an expired one.
    Expired {
        /// The certificate's notAfter.
        not_after: SystemTime,
        /// This machine's clock.
        now: SystemTime,
    },
    /// The certificate is not valid yet. It occurs in the same places as [`Expired`](IdentityFault::Expired).
    NotYetValid {
        /// The certificate's notBefore.
        not_before: SystemTime,
        /// This machine's clock.
        now: SystemTime,
    },
    /// The file for the clients' authorities holds no certificate.
    NoAuthority,
    /// A certificate among the clients' authorities is not an authority's.
    NotAnAuthority {
        /// The certificate's position in the file, counted from 1.
        place: usize,
    },
    /// The file holds no certificate revocation list.
    NoRevocationList,
    /// None of the clients' authorities has issued the revocation list.
    RevocationListOfAnother,
    /// The revocation list is out of date: its nextUpdate has passed.
    RevocationListExpired {
        /// The list's nextUpdate.
        next_update: SystemTime,
        /// This machine's clock.
        now: SystemTime,
    },
    /// The contents cannot be parsed, or TLS does not accept them.
    Malformed(String),
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for Raw<'_, IdentityFault> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IdentityFault::Missing => f.write_str("there is no such file; give the path of an existing PEM file"),
            IdentityFault::Unreadable(source) => match source.kind() {
                kind if kind == backports::is_a_directory() => {
 f.write_str("is a directory; give the path of the PEM file in it")
}
                io::ErrorKind::PermissionDenied => {
                    f.write_str("this user may not read it; make the user that runs this program its owner")
                }
                _ => write!(f, "cannot be read: {source}; give the path of a PEM file"),
            },
            IdentityFault::NoCertificate => {
                f.write_str("holds no certificate; it must be PEM with a BEGIN CERTIFICATE block, the server's own first")
            }
            IdentityFault::NoKey => f.write_str(
                "holds no private key; it must be PEM with a BEGIN PRIVATE KEY block (PKCS#8, or the older EC and RSA forms)",
            ),
            IdentityFault::Swapped => {
                f.write_str("holds a private key where the certificate belongs; the two are swapped, give the certificate first")
            }
            IdentityFault::EncryptedKey => write!(
                f,
                "the private key is encrypted with a passphrase; write it without one ({REWRITE_KEY}) and protect the file by its mode, 0600",
            ),
            IdentityFault::UnsupportedKey { kind } => write!(
                f,
                "the private key is of a kind that is not supported, {kind}; it must be ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits with an exponent of 65537 or more; make another with its request: lockgate cert csr --name NAME --key new-key.pem",
            ),
            IdentityFault::UnreadableKey { what } => {
                write!(f, "the private key is written in a way that is not read here ({what}); write it again: {REWRITE_KEY}")
            }
            IdentityFault::KeyWithoutPublicHalf => f.write_str(
                "the private key is written without its public half, and there is no certificate beside it to take that from; give its certificate too",
            ),
            IdentityFault::OtherForm { what, conversion } => {
                write!(f, "cannot be used: {what}")?;
                if conversion.is_empty() {
                    return Ok(());
                }
                write!(f, ": {conversion}")
            }
            IdentityFault::KeyMismatch => {
                f.write_str("the private key does not belong to the certificate; give the key that the certificate was requested with")
            }
            IdentityFault::Expired { not_after, now } => write!(
                f,
                "the certificate expired at {} (this machine's clock says {}); renew it, or set the clock",
                iso8601(*not_after),
                iso8601(*now)
            ),
            IdentityFault::NotYetValid { not_before, now } => write!(
                f,
                "the certificate is not valid before {} (this machine's clock says {}); set the clock, or get a certificate that is valid now",
                iso8601(*not_before),
                iso8601(*now)
            ),
            IdentityFault::NoAuthority => f.write_str(
                "holds no certificate; it must be PEM with a BEGIN CERTIFICATE block, that of the authority that signs the clients' certificates",
            ),
            IdentityFault::NotAnAuthority { place } => write!(
                f,
                "certificate {place} in it is not an authority's (its basicConstraints do not say CA), so it cannot sign for clients; give the certificate of the authority that signs the clients'",
            ),
            IdentityFault::NoRevocationList => {
                f.write_str("holds no revocation list; it must be a CRL, as PEM with a BEGIN X509 CRL block or as DER")
            }
            IdentityFault::RevocationListOfAnother => f.write_str(
                "the revocation list is of none of the authorities that clients are checked with; give the list of one of them, or add its authority's certificate to theirs",
            ),
            IdentityFault::RevocationListExpired { next_update, now } => write!(
                f,
                "the revocation list was to be replaced by {} (this machine's clock says {}); get the current one from its authority, or set the clock",
                iso8601(*next_update),
                iso8601(*now)
            ),
            IdentityFault::Malformed(what) => write!(f, "cannot be used: {what}"),
        }
    }
}

/// Fills a file's path into a command, for `FILE` and `NEW`. The command can be pasted, and never overwrites the file itself.
pub(crate) fn command_for(command: &str, file: Option<&Path>) -> String {
    let Some(file) = file else { return command.to_string() };
    let name = file.to_string_lossy();
    let new = match name.strip_suffix(".pem") {
        Some(stem) => format!("{stem}.new.pem"),
        None => format!("{name}.pem"),
    };
    let words: Vec<String> = command
        .split(' ')
        .map(|word| match word {
            "FILE" => shell_word(file),
            "NEW" => shell_word(Path::new(&new)),
            word => word.to_string(),
        })
        .collect();
    words.join(" ")
}

impl IdentityFault {
    /// The message, with the file's path in its commands.
    pub(crate) fn said_of(&self, file: &Path) -> String {
        let text = self.to_string();
        match self.command() {
            Some(command) => text.replace(command, &command_for(command, Some(file))),
            None => text,
        }
    }

    /// The command that the message names, for this file.
    #[cfg(feature = "check")]
    pub(crate) fn command_for(&self, file: &Path) -> Option<String> {
        self.command().map(|command| command_for(command, Some(file)))
    }

    /// The command in the message, with `FILE` and `NEW` for the paths.
    fn command(&self) -> Option<&'static str> {
        match self {
            IdentityFault::EncryptedKey | IdentityFault::UnreadableKey { .. } => Some(REWRITE_KEY),
            IdentityFault::OtherForm { conversion, .. } if !conversion.is_empty() => Some(conversion),
            _ => None,
        }
    }
}

/// Reads every form that OpenSSL knows, and writes PKCS#8.
const REWRITE_KEY: &str = "openssl pkey -in FILE -out NEW";

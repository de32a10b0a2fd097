//! The one error of this crate. Each message names the thing (a file, an address, a route, a limit) and the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::escape;
use crate::finding::shell_word;

/// What can go wrong in lockgate, from building a server to reading a request's body in a handler.
///
/// In a handler it is also an answer: it implements [`IntoResponse`](crate::IntoResponse), so `?` on
/// [`Request::json`](crate::Request::json) gives the client the right status and an RFC 9457 problem document.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A listening socket could not be opened.
    Listen {
        /// Which listener: `HTTPS` or `HTTP`.
        listener: &'static str,
        /// The address as it was asked for.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A certificate or its private key cannot be used, or a file that clients' certificates are checked with.
    Identity {
        /// The file at fault; `None` when the identity did not come from a file.
        file: Option<PathBuf>,
        /// What is wrong with it.
        fault: IdentityFault,
    },
    /// The device's own CA and certificate cannot be used or made.
    #[cfg(feature = "device")]
    Device {
        /// The file of the state directory that is at fault, or the directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: crate::DeviceFault,
    },
    /// A route was declared that cannot be served.
    Route {
        /// The method and pattern as declared.
        route: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A setting of the server is missing or out of its range.
    Setting {
        /// The setting's name as it stands in [`Limits`](crate::Limits) or [`ServerBuilder`](crate::ServerBuilder).
        setting: &'static str,
        /// What is wrong with it, and what would be right.
        fault: String,
    },
    /// The operating system refused something that the server, or a handler, needs while it runs. What a handler's `?`
    /// makes of an [`io::Error`]: a 500, whose text goes to the log alone.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A request's body could not be read; what a handler meets.
    Body(BodyFault),
    /// A parameter of the request's path is not what the handler takes it for: 404.
    Parameter {
        /// The parameter's name, as the handler asked for it.
        name: String,
        /// What is wrong with it.
        fault: ParameterFault,
    },
    /// An authority gave no certificate (ACME, RFC 8555); with the feature `acme`.
    Acme {
        /// The URL of the authority's directory.
        authority: String,
        /// What went wrong.
        fault: AcmeFault,
    },
    /// Something could not be checked at all; with the feature `check`.
    Check {
        /// The URL as it was given, or the file or folder at fault.
        what: String,
        /// Why not, and what would be right.
        fault: String,
    },
}

/// What is wrong with a certificate or its private key, or with a file of [`ClientAuth`](crate::ClientAuth).
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityFault {
    /// There is no such file.
    Missing,
    /// The file is there, and cannot be read; or it is no regular file: pipes, sockets and devices are not opened.
    Unreadable(io::Error),
    /// The file holds no certificate.
    NoCertificate,
    /// The file holds no private key.
    NoKey,
    /// The certificate's file holds a private key and the key's file a certificate.
    Swapped,
    /// The private key is encrypted with a passphrase.
    EncryptedKey,
    /// The private key is whole, and of a kind that TLS cannot sign with here.
    UnsupportedKey {
        /// Its kind, such as `RSA of 1024 bits`.
        kind: String,
    },
    /// The private key is of a kind that is supported, and written in a way that cannot be read here.
    UnreadableKey {
        /// What is unusual about it, as a clause.
        what: &'static str,
    },
    /// The private key is written without its public half (RFC 5915 §3 makes that optional), and there is no certificate
    /// beside it to take that from.
    KeyWithoutPublicHalf,
    /// The file holds what was asked for in another form than PEM (DER, PKCS#7, PKCS#12), or something else, such as a
    /// request.
    OtherForm {
        /// What it is, and what to do, as a clause.
        what: &'static str,
        /// The command that writes it as PEM, with `FILE` and `NEW` in the places of the paths; empty when there is none.
        conversion: &'static str,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch,
    /// The certificate's validity is over. A server starts with such a file of its user's all the same: this is what
    /// [`Identity::clock_fault`](crate::Identity::clock_fault) gives, and why a running server does not take one in the place of
    /// a valid one. Seconds since 1970-01-01 UTC.
    Expired {
        /// The certificate's notAfter.
        not_after: i64,
        /// This machine's clock.
        now: i64,
    },
    /// The certificate's validity has not begun; given where [`Expired`](IdentityFault::Expired) is. Seconds since 1970-01-01
    /// UTC.
    NotYetValid {
        /// The certificate's notBefore.
        not_before: i64,
        /// This machine's clock.
        now: i64,
    },
    /// The file that is to hold the clients' authorities holds no certificate.
    NoAuthority,
    /// A certificate among the clients' authorities is not an authority's.
    NotAnAuthority {
        /// Where in the file it stands, counted from 1.
        place: usize,
    },
    /// The file holds no certificate revocation list.
    NoRevocationList,
    /// The revocation list is of none of the clients' authorities.
    RevocationListOfAnother,
    /// The authority was to have issued a newer revocation list. Seconds since 1970-01-01 UTC.
    RevocationListExpired {
        /// The list's nextUpdate.
        next_update: i64,
        /// This machine's clock.
        now: i64,
    },
    /// The contents cannot be understood, or are not accepted by TLS.
    Malformed(String),
}

/// What is wrong with a parameter of a request's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterFault {
    /// The route has no parameter of this name.
    Unknown,
    /// The value cannot be read as the type that was asked for.
    Type,
    /// The value, joined to a root, would not stay below it.
    LeavesRoot,
}

/// What went wrong while a request's body was read.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyFault {
    /// The body is over [`Limits::body_bytes`](crate::Limits::body_bytes): 413.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body did not arrive in time: 408.
    TimedOut {
        /// [`Limits::body_timeout`](crate::Limits::body_timeout), before the minimum rate's allowance.
        limit: Duration,
    },
    /// The client went away before the body was complete.
    Incomplete,
    /// The chunked framing is broken (RFC 9112 §7.1): 400.
    Malformed(&'static str),
    /// The body is not the JSON that was expected: 400, or 422 when it is JSON of another shape.
    Json(serde_json::Error),
    /// `Content-Type` is something else than JSON: 415.
    MediaType,
    /// `Content-Encoding` is something else than `identity` (RFC 9110 §8.4): 415, with `Accept-Encoding: identity`.
    ContentCoding,
    /// The connection failed: 400, and what the system said is not shown.
    Io(io::Error),
}

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
    /// No order may be made before this time, for the authority's sake. Seconds since 1970-01-01 UTC.
    TooSoon {
        /// The first moment in which it may.
        until: i64,
        /// Why not now.
        because: String,
    },
    /// No key or signature could be made; a machine without random numbers.
    Crypto,
    /// It was told to stop.
    Stopped,
}

impl Error {
    pub(crate) fn identity(file: impl Into<Option<PathBuf>>, fault: IdentityFault) -> Self {
        Error::Identity { file: file.into(), fault }
    }

    /// Whether a listening socket was refused because another program has the port.
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Error::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }

    /// Whether a listening socket was refused because this user may not open it (ports below 1024).
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Error::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// As the message is put together, with file names and others' words as they are. What is displayed is one line of it.
struct Raw<'a, T>(&'a T);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for AcmeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::shown(&Raw(self)).fmt(f)
    }
}

impl fmt::Display for Raw<'_, Error> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Listen { listener, address, source } => {
                write!(f, "cannot listen for {listener} on {address}: ")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => f.write_str("another program has this port; stop it, or choose another port"),
                    io::ErrorKind::PermissionDenied => f.write_str(
                        "this user may not open this port; choose one from 1024 up, or give the program CAP_NET_BIND_SERVICE",
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str("this machine does not have this address; use one of its own, or 0.0.0.0 or [::] for all")
                    }
                    _ => write!(f, "{source}"),
                }
            }
            Error::Identity { file: Some(file), fault } => {
                write!(f, "{}: {}", file.display(), fault.said_of(file))
            }
            Error::Identity { file: None, fault } => {
                write!(f, "the PEM given as certificate and key: {fault}")
            }
            #[cfg(feature = "device")]
            Error::Device { path, fault } => write!(f, "{}: {fault}", path.display()),
            Error::Route { route, fault } => write!(f, "route {route}: {fault}"),
            Error::Setting { setting, fault } => write!(f, "{setting}: {fault}"),
            Error::Io { doing, source } => write!(f, "{doing}: {source}"),
            Error::Body(fault) => fault.fmt(f),
            Error::Parameter { name, fault } => write!(f, "the path's parameter {name}: {fault}"),
            Error::Acme { authority, fault } => write!(f, "no certificate from {authority}: {fault}"),
            Error::Check { what, fault } => write!(f, "{what}: {fault}"),
        }
    }
}

/// A command for a file, with the paths in the places of `FILE` and `NEW`: to paste, and never written over the file itself.
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
    /// The same with the file in the commands that it names.
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

    /// A command in the message, with `FILE` and `NEW` in the places of the paths.
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

impl fmt::Display for Raw<'_, IdentityFault> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IdentityFault::Missing => f.write_str("there is no such file; give the path of an existing PEM file"),
            IdentityFault::Unreadable(source) => match source.kind() {
                io::ErrorKind::IsADirectory => f.write_str("is a directory; give the path of the PEM file in it"),
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
                crate::calendar::iso8601(*not_after),
                crate::calendar::iso8601(*now)
            ),
            IdentityFault::NotYetValid { not_before, now } => write!(
                f,
                "the certificate is not valid before {} (this machine's clock says {}); set the clock, or get a certificate that is valid now",
                crate::calendar::iso8601(*not_before),
                crate::calendar::iso8601(*now)
            ),
            IdentityFault::NoAuthority => f.write_str(
                "holds no certificate; it must be PEM with a BEGIN CERTIFICATE block, that of the authority that signs the clients' certificates",
            ),
            IdentityFault::NotAnAuthority { place } => write!(
                f,
                "certificate {place} in it is not an authority's (its basicConstraints do not say CA), so it cannot vouch for clients; give the certificate of the authority that signs the clients'",
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
                crate::calendar::iso8601(*next_update),
                crate::calendar::iso8601(*now)
            ),
            IdentityFault::Malformed(what) => write!(f, "cannot be used: {what}"),
        }
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
                write!(f, "not before {}: {because}", crate::calendar::iso8601(*until))
            }
            AcmeFault::Crypto => f.write_str("the operating system has no random numbers to make a key or a signature with"),
            AcmeFault::Stopped => f.write_str("told to stop"),
        }
    }
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParameterFault::Unknown => {
                "the route has none of this name; ask for one that stands in its pattern"
            }
            ParameterFault::Type => "its value cannot be read as the type that is asked for",
            ParameterFault::LeavesRoot => "its value would not stay below the root that it is joined to",
        })
    }
}

impl fmt::Display for Raw<'_, BodyFault> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BodyFault::TooLarge { limit } => {
                write!(f, "the body is larger than the {limit} bytes accepted here")
            }
            BodyFault::TimedOut { limit } => {
                write!(f, "the body did not arrive within {} s", limit.as_secs())
            }
            BodyFault::Incomplete => f.write_str("the connection ended before the body was complete"),
            BodyFault::Malformed(what) => write!(f, "the body's chunked framing is broken: {what}"),
            BodyFault::Json(source) => write!(f, "the body is not the JSON that is expected here: {source}"),
            BodyFault::MediaType => f.write_str("the body must be JSON, with Content-Type: application/json"),
            BodyFault::ContentCoding => {
                f.write_str("the body must come as it is, without a Content-Encoding such as gzip")
            }
            BodyFault::Io(source) => write!(f, "the body could not be read: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { source, .. } | Error::Io { source, .. } => Some(source),
            Error::Identity { fault: IdentityFault::Unreadable(source), .. } => Some(source),
            #[cfg(feature = "device")]
            Error::Device { fault: crate::DeviceFault::Io(source), .. } => Some(source),
            Error::Body(BodyFault::Json(source)) => Some(source),
            Error::Body(BodyFault::Io(source)) => Some(source),
            Error::Acme {
                fault: AcmeFault::Unreachable { source, .. } | AcmeFault::State { source, .. },
                ..
            } => Some(source),
            _ => None,
        }
    }
}

/// A body's fault travels through `std::io::Read` inside an `io::Error`, and comes out again as itself.
impl From<BodyFault> for io::Error {
    fn from(fault: BodyFault) -> Self {
        let kind = match fault {
            BodyFault::TimedOut { .. } => io::ErrorKind::TimedOut,
            BodyFault::Incomplete => io::ErrorKind::UnexpectedEof,
            BodyFault::Io(ref source) => source.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, Error::Body(fault))
    }
}

/// A handler's own failure ([`Error::Io`]: a 500), unless it is what reading the request's body has given
/// ([`Error::Body`]), however often it was wrapped in another [`io::Error`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match own_or_other(error) {
            Ok(own) => own,
            Err(source) => Error::Io { doing: "a handler's input or output", source },
        }
    }
}

/// This crate's own error, which travels inside `error`.
fn own_or_other(error: io::Error) -> Result<Error, io::Error> {
    let mut inner = error.downcast::<Error>();
    while let Err(other) = inner {
        match other.downcast::<io::Error>() {
            Ok(wrapped) => inner = wrapped.downcast::<Error>(),
            Err(other) => return Err(other),
        }
    }
    inner
}

impl BodyFault {
    /// What reading a body has given: a fault of its own, or the connection's.
    pub(crate) fn of(error: io::Error) -> BodyFault {
        match own_or_other(error) {
            Ok(Error::Body(fault)) => fault,
            Ok(other) => BodyFault::Io(io::Error::other(other)),
            Err(source) => BodyFault::Io(source),
        }
    }
}

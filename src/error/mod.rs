//! The error type of this crate. Each message names the thing at fault (a file, an address, a route, a limit) and the way out.

mod acme;
mod body;
mod identity;
mod raw;

use std::fmt;
use std::io;
use std::path::PathBuf;

use ::http::StatusCode;

use crate::backports;
use crate::escape;
use raw::Raw;

pub use acme::AcmeFault;
pub use body::BodyFault;
pub use identity::IdentityFault;

pub(crate) use identity::command_for;

/// What can go wrong in lockgate, from building a server to reading a request's body in a handler.
///
/// In a handler it can also be the answer: it implements [`IntoResponse`](crate::IntoResponse), so `?` on
/// [`Request::json`](crate::Request::json) gives the client the right status and an RFC 9457 problem document.
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
    /// A certificate, its private key, or a file for checking clients' certificates cannot be used.
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
    /// A declared route cannot be served.
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
    /// The operating system refused something that the server or a handler needs while it runs. In a handler, `?` turns an
    /// [`io::Error`] into this: the client gets 500, and the text goes only to the log.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A handler could not read a request's body.
    Body(BodyFault),
    /// A parameter of the request's path is not what the handler asks for: 404.
    Parameter {
        /// The parameter's name, as the handler asked for it.
        name: String,
        /// What is wrong with it.
        fault: ParameterFault,
    },
    /// A request that cannot be answered as it asks, and the status that says so. Uploads and forms make it, and programs may,
    /// with [`Error::answer`]. Below 500 the client is shown the source's text; from 500 up the text goes only to the log.
    Answer {
        /// The response's status.
        status: StatusCode,
        /// Why. Its type tells where it comes from, such as [`UploadFault`](crate::web::UploadFault).
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An authority issued no certificate (ACME, RFC 8555). Occurs with the feature `acme`.
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

impl Error {
    pub(crate) fn identity(file: impl Into<Option<PathBuf>>, fault: IdentityFault) -> Self {
        Error::Identity { file: file.into(), fault }
    }

    /// An error with the status that the client gets, for handlers. The source may be an error or a text.
    ///
    /// ```
    /// use lockgate::{Error, IntoResponse, StatusCode};
    ///
    /// let error = Error::answer(StatusCode::CONFLICT, "the sensor is being calibrated");
    /// assert_eq!(error.into_response().status(), 409);
    /// ```
    ///
    /// An error of another library has no status of its own, so `?` alone does not take it:
    ///
    /// ```
    /// use lockgate::{Error, Request, StatusCode};
    ///
    /// fn set_speed(request: &mut Request) -> Result<(), Error> {
    ///     let _speed: u16 = request.text()?.trim().parse().map_err(|error| Error::answer(StatusCode::BAD_REQUEST, error))?;
    ///     Ok(())
    /// }
    /// # assert!(set_speed(&mut Request::post("/speed").with_body("fast")).is_err());
    /// # assert!(set_speed(&mut Request::post("/speed").with_body("7")).is_ok());
    /// ```
    pub fn answer(status: StatusCode, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Answer { status, source: source.into() }
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

/// The same text as [`Display`](fmt::Display), because this is what a program prints whose `main` returns the error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
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
                    // A socket in a folder has no port.
                    _ if cfg!(feature = "operations") && address.starts_with("unix:") => write!(f, "{source}"),
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
            Error::Answer { source, .. } => source.fmt(f),
            Error::Acme { authority, fault } => write!(f, "no certificate from {authority}: {fault}"),
            Error::Check { what, fault } => write!(f, "{what}: {fault}"),
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

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { source, .. } | Error::Io { source, .. } => Some(source),
            Error::Identity { fault: IdentityFault::Unreadable(source), .. } => Some(source),
            #[cfg(feature = "device")]
            Error::Device { fault: crate::DeviceFault::Io(source), .. } => Some(source),
            Error::Body(BodyFault::Json(source) | BodyFault::JsonShape { source, .. }) => Some(source),
            Error::Body(BodyFault::Io(source)) => Some(source),
            Error::Answer { source, .. } => Some(&**source),
            Error::Acme {
                fault: AcmeFault::Unreachable { source, .. } | AcmeFault::State { source, .. },
                ..
            } => Some(source),
            _ => None,
        }
    }
}

/// Wraps a body's fault in an `io::Error`, to pass it through `std::io::Read`. `Error` and `BodyFault` take it out again.
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

/// A failure of the handler becomes [`Error::Io`], a 500. An error from reading the request's body becomes [`Error::Body`],
/// however often it was wrapped in another [`io::Error`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match own_or_other(error) {
            Ok(own) => own,
            Err(source) => Error::Io { doing: "a handler's input or output", source },
        }
    }
}

/// Takes this crate's own error out of `error`.
fn own_or_other(error: io::Error) -> Result<Error, io::Error> {
    let mut inner = backports::downcast::<Error>(error);
    while let Err(other) = inner {
        match backports::downcast::<io::Error>(other) {
            Ok(wrapped) => inner = backports::downcast::<Error>(wrapped),
            Err(other) => return Err(other),
        }
    }
    inner
}

impl BodyFault {
    /// The fault inside an error of reading a body: the body's own, or the connection's.
    pub(crate) fn of(error: io::Error) -> BodyFault {
        match own_or_other(error) {
            Ok(Error::Body(fault)) => fault,
            Ok(other) => BodyFault::Io(io::Error::other(other)),
            Err(source) => BodyFault::Io(source),
        }
    }
}

//! Why an upload was not saved, and the status that says so. Knows errors only; all that receives files makes these faults.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ::http::StatusCode;
use rustix::io::Errno;

use crate::error::Error;
use crate::escape;

/// Why an upload was not saved. It is the source of an [`Error::Answer`], which has the status.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadFault {
    /// The name cannot be a file's name here: 400.
    Name(&'static str),
    /// The digest in this field is another than that of what has come: 400.
    Digest(&'static str),
    /// This field is no dictionary of digests (RFC 9530 §2): 400.
    DigestSyntax(&'static str),
    /// The request holds only a part of the file (`Content-Range`, RFC 9110 §14.5): 400.
    Part,
    /// A folder has the name: 409.
    IsDirectory,
    /// The disk is full, or the user's share of it: 507.
    NoSpace {
        /// The folder, or the file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused something else: 500.
    Io {
        /// What could not be done.
        doing: &'static str,
        /// The folder, or the file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl UploadFault {
    /// An error of the file system, with the status that it means.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Error {
        let path = path.to_path_buf();
        // A file may also be larger than the file system or a limit of the process allows.
        let is_full =
            matches!(Errno::from_io_error(&source), Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG));
        match is_full {
            true => UploadFault::NoSpace { path, source }.into(),
            false => UploadFault::Io { doing, path, source }.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            UploadFault::Name(_)
            | UploadFault::Digest(_)
            | UploadFault::DigestSyntax(_)
            | UploadFault::Part => StatusCode::BAD_REQUEST,
            UploadFault::IsDirectory => StatusCode::CONFLICT,
            UploadFault::NoSpace { .. } => StatusCode::INSUFFICIENT_STORAGE,
            UploadFault::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<UploadFault> for Error {
    fn from(fault: UploadFault) -> Error {
        Error::Answer { status: fault.status(), source: Box::new(fault) }
    }
}

impl fmt::Display for UploadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UploadFault::Name(fault) => write!(f, "the file's name cannot be used: {fault}"),
            UploadFault::Digest(field) => {
                write!(f, "what has come is not what the field {field} says; it was damaged on its way, send it again")
            }
            UploadFault::DigestSyntax(field) => {
                write!(f, "the field {field} must be digests such as sha-256=:…: (RFC 9530)")
            }
            UploadFault::Part => f.write_str("a part of a file is not accepted here; send it whole, without Content-Range"),
            UploadFault::IsDirectory => f.write_str("a folder has this name; choose another"),
            UploadFault::NoSpace { path, source } => write!(
                f,
                "{}: no room for an upload ({source}); remove files, or give uploads a file system of their own",
                escape::path(path)
            ),
            UploadFault::Io { doing, path, source } => write!(f, "{}: {doing}: {source}", escape::path(path)),
        }
    }
}

impl std::error::Error for UploadFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UploadFault::NoSpace { source, .. } | UploadFault::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_disk_has_its_status() {
        let status = |errno: Errno| match UploadFault::io("x", Path::new("/d"), errno.into()) {
            Error::Answer { status, source } => (status.as_u16(), source.to_string()),
            other => panic!("{other}"),
        };
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(status(errno).0, 507);
        }
        for errno in [Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::NOENT] {
            let (status, text) = status(errno);
            assert!(status == 500 && text.starts_with("/d: x: "), "{text}");
        }
    }
}

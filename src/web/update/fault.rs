//! Why an update is not installed, and the status that says so. Knows errors only.

use std::fmt;

use ::http::StatusCode;

use crate::error::Error;

/// Why an update was not installed. It is the source of an [`Error::Answer`], which has the status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateFault {
    /// It is no bundle: 422.
    Format(&'static str),
    /// No key of this device has signed it: 403.
    Signature,
    /// It is for other devices: 409.
    Compatible {
        /// For which.
        bundle: String,
    },
    /// It is older than the image that is known to be good: 409.
    Version {
        /// Its version.
        bundle: u64,
        /// The version of the good image.
        good: u64,
    },
    /// The image is not what the bundle's head says: 400.
    Image,
    /// The image that runs has not been marked as good, so there is no slot to spare: 409.
    Trial,
}

impl UpdateFault {
    fn status(&self) -> StatusCode {
        match self {
            UpdateFault::Format(_) => StatusCode::UNPROCESSABLE_ENTITY,
            UpdateFault::Signature => StatusCode::FORBIDDEN,
            UpdateFault::Image => StatusCode::BAD_REQUEST,
            UpdateFault::Compatible { .. } | UpdateFault::Version { .. } | UpdateFault::Trial => {
                StatusCode::CONFLICT
            }
        }
    }
}

impl From<UpdateFault> for Error {
    fn from(fault: UpdateFault) -> Error {
        Error::Answer { status: fault.status(), source: Box::new(fault) }
    }
}

impl fmt::Display for UpdateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateFault::Format(what) => write!(f, "this is no update bundle: {what}"),
            UpdateFault::Signature => f.write_str("the bundle is not signed with a key of this device"),
            UpdateFault::Compatible { bundle } => write!(f, "the bundle is for another device: {bundle}"),
            UpdateFault::Version { bundle, good } => {
                write!(f, "the bundle's version {bundle} is older than version {good}, which is installed")
            }
            UpdateFault::Image => f.write_str("the image is not what the bundle's head says; send it again"),
            UpdateFault::Trial => f.write_str(
                "the image that runs is on trial; install another when it is marked as good, or rolled back",
            ),
        }
    }
}

impl std::error::Error for UpdateFault {}

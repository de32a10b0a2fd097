//! What is wrong with a form, and the status that says so. Knows errors only; the readers of forms make these faults.

use std::fmt;

use ::http::StatusCode;

use crate::error::Error;

/// Why a form was not read. It is the source of an [`Error::Answer`], which has the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormFault {
    /// `Content-Type` is not this type: 415.
    MediaType(&'static str),
    /// The form or a part of it is in another charset than UTF-8: 415.
    Charset,
    /// The form breaks the rules of its format: 400.
    Malformed(&'static str),
    /// The form ends before its last boundary: 400.
    Incomplete,
    /// There is more of this than is accepted here: 413.
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is accepted.
        limit: usize,
    },
}

impl FormFault {
    fn status(self) -> StatusCode {
        match self {
            FormFault::MediaType(_) | FormFault::Charset => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FormFault::Malformed(_) | FormFault::Incomplete => StatusCode::BAD_REQUEST,
            FormFault::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl From<FormFault> for Error {
    fn from(fault: FormFault) -> Error {
        Error::Answer { status: fault.status(), source: Box::new(fault) }
    }
}

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormFault::MediaType(expected) => {
                write!(f, "the body must be a form, with Content-Type: {expected}")
            }
            FormFault::Charset => f.write_str("the form must be in UTF-8"),
            FormFault::Malformed(what) => write!(f, "the form cannot be read: {what}"),
            FormFault::Incomplete => f.write_str("the form ends before its last boundary"),
            FormFault::TooMuch { what, limit } => {
                write!(f, "the form has more {what} than the {limit} accepted here")
            }
        }
    }
}

impl std::error::Error for FormFault {}

//! What a client is told of an error, and what only the log is. Knows errors and problems; responses are made of errors by it, and
//! `?` calls it in handlers.

use ::http::header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER};
use ::http::{HeaderValue, StatusCode};

use super::problem::Problem;
use crate::error::{BodyFault, Error, ParameterFault};
use crate::escape;
use crate::handler_call;

/// The most characters of an error that a client is told. It can hold what the client has sent.
const MOST_CHARACTERS: usize = 300;

impl Problem {
    /// 404, as for a path that no route serves.
    pub(super) fn not_served() -> Problem {
        Problem::new(StatusCode::NOT_FOUND).detail("Nothing is served at this path.")
    }
}

/// A fault of the body becomes the status that [`BodyFault`](crate::BodyFault) names, with `errors` where it is known which value
/// is at fault. A fault of a path parameter becomes 404, and [`Error::Answer`] its own status, or the problem that it was made of.
/// Everything else becomes 500, and its text goes only to the log. What a client has sent comes back in part: texts have at most
/// 300 characters.
impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let error = match error {
            Error::Answer { status, source } => match source.downcast() {
                Ok(problem) => return *problem,
                Err(source) => Error::Answer { status, source },
            },
            other => other,
        };
        let status = match &error {
            Error::Parameter { fault, .. } => {
                if *fault == ParameterFault::Unknown {
                    failed(&error);
                }
                return Problem::not_served();
            }
            Error::Body(BodyFault::Io(source)) => {
                log::debug!("a request's body could not be read: {source}");
                return Problem::new(StatusCode::BAD_REQUEST).detail("the body could not be read");
            }
            Error::Body(BodyFault::MemoryBusy) => {
                return Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                    .detail(error.to_string())
                    .with_field(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Error::Body(fault) => of_body(fault),
            Error::Answer { status, .. } => *status,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            failed(&error);
            return Problem::new(status);
        }
        let problem = Problem::new(status).detail(bounded(&error.to_string()));
        match &error {
            Error::Body(BodyFault::JsonShape { pointer, source }) => {
                problem.error(pointer, bounded(without_place(&source.to_string(), source)))
            }
            // RFC 9110 §15.5.16: with 415 a field says what is accepted.
            Error::Body(BodyFault::ContentCoding) => {
                problem.with_field(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            }
            Error::Body(BodyFault::MediaType) => {
                problem.with_field(ACCEPT, HeaderValue::from_static("application/json"))
            }
            _ => problem,
        }
    }
}

fn of_body(fault: &BodyFault) -> StatusCode {
    match fault {
        BodyFault::TooLarge { .. } | BodyFault::TooLargeForText { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::TimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
        BodyFault::MediaType | BodyFault::Charset | BodyFault::ContentCoding => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        BodyFault::JsonShape { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn failed(error: &Error) {
    handler_call::note("a handler failed", format_args!("failed: {error}"));
}

fn bounded(text: &str) -> String {
    escape::bounded(text, MOST_CHARACTERS).to_string()
}

/// The text of an error without its place, which the pointer tells.
fn without_place<'t>(text: &'t str, error: &serde_json::Error) -> &'t str {
    text.strip_suffix(&format!(" at line {} column {}", error.line(), error.column())).unwrap_or(text)
}

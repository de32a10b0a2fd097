//! The answers that the router gives where no handler does: 404, 405, 501, and those to OPTIONS. Knows the methods of a path.
//! `routes` decides which answer it is; it is made here, inside the layers if there are any.

use ::http::header::ALLOW;
use ::http::{HeaderValue, Method, StatusCode};

use super::tree::Methods;
use crate::http::into_response::{not_served, IntoResponse};
use crate::http::problem::Problem;
use crate::http::response::Response;
use crate::http::target::{self, EncodedSlash, ENCODED_SLASH};

/// An answer without a handler. It is small, because every call has room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// No route has the path.
    NotFound,
    /// The path has other methods.
    OtherMethods,
    /// Nobody knows the method.
    UnknownMethod,
    /// `OPTIONS *`, which is about the server (RFC 9110 §9.3.7).
    Server,
    /// The path is not allowed when encoded slashes are handled like this.
    Refused(EncodedSlash),
}

impl Answer {
    /// `methods` are those of the path, which is as it came.
    pub(super) fn respond(self, method: &Method, raw_path: &[u8], methods: Option<&Methods>) -> Response {
        match self {
            Answer::NotFound => not_served(),
            Answer::UnknownMethod => Problem::new(StatusCode::NOT_IMPLEMENTED)
                .detail("This server does not know the method.")
                .into_response(),
            Answer::Server => Response::new(StatusCode::NO_CONTENT)
                .with_field(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            Answer::OtherMethods => {
                let response = if *method == Method::OPTIONS {
                    Response::new(StatusCode::NO_CONTENT)
                } else {
                    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
                        .detail("The path is served, with other methods.")
                        .into_response()
                };
                let allow = methods.map(Methods::allow);
                response.with_field(ALLOW, allow.unwrap_or(HeaderValue::from_static("OPTIONS")))
            }
            Answer::Refused(encoded_slash) => {
                target::decode_path(raw_path, encoded_slash).err().unwrap_or(ENCODED_SLASH).into_response()
            }
        }
    }
}

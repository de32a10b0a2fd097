//! The answers that the router gives where no handler does: 404, 405, 501, and those to OPTIONS. Knows the methods of a path.
//! `routes` decides which answer it is; it is made here, inside the layers if there are any.

use ::http::header::ALLOW;
use ::http::{HeaderValue, Method, StatusCode};

use super::tree::Methods;
use crate::http::into_response::{not_served, IntoResponse};
use crate::http::problem::Problem;
use crate::http::response::Response;
use crate::http::Refusal;

/// An answer without a handler.
#[derive(Clone, Copy)]
pub(super) enum Answer<'r> {
    /// No route has the path.
    NotFound,
    /// The path has other methods.
    OtherMethods(&'r Methods),
    /// Nobody knows the method.
    UnknownMethod,
    /// `OPTIONS *`, which is about the server (RFC 9110 §9.3.7).
    Server,
    /// The path is not allowed.
    Refused(Refusal),
}

impl Answer<'_> {
    pub(super) fn respond(self, method: &Method) -> Response {
        match self {
            Answer::NotFound => not_served(),
            Answer::UnknownMethod => Problem::new(StatusCode::NOT_IMPLEMENTED)
                .detail("This server does not know the method.")
                .into_response(),
            Answer::Server => Response::new(StatusCode::NO_CONTENT)
                .with_field(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            Answer::OtherMethods(methods) => {
                let response = if *method == Method::OPTIONS {
                    Response::new(StatusCode::NO_CONTENT)
                } else {
                    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
                        .detail("The path is served, with other methods.")
                        .into_response()
                };
                response.with_field(ALLOW, methods.allow())
            }
            Answer::Refused(refusal) => refusal.into_response(),
        }
    }
}

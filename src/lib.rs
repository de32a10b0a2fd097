//! HTTPS for small appliances, on plain blocking threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod http;
mod redirect;
mod router;
mod server;
mod tls;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub use crate::http::request::Request;
pub use crate::http::response::{IntoResponse, Problem, Response};
pub use error::{BodyFault, Error, IdentityFault};
pub use router::Router;
pub use server::builder::{HttpCredentials, Server, ServerBuilder};
pub use server::limits::Limits;
pub use server::shutdown::{Handle, Running};
pub use tls::Identity;

/// The README's examples compile as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

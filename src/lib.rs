//! HTTPS for small appliances, on plain blocking threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod http;
mod tls;

pub use error::{BodyFault, Error, IdentityFault};
pub use tls::Identity;

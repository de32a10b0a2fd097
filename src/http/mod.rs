//! The wire, as bytes: no socket, no thread, no TLS.
pub(crate) mod date;

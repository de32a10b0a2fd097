//! From PEM files to a rustls ServerConfig: the only place, with the transport, that names rustls types.

/// A certificate chain and its private key, checked.
#[derive(Clone)]
pub struct Identity {}

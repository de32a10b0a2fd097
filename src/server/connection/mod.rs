//! One connection, from its handshake to its end: what it is doing, the request that is read, the response that is sent.

pub(super) mod client_cert;
pub(super) mod request;
pub(super) mod response;
pub(super) mod state;
pub(super) mod streaming;
pub(super) mod transport;

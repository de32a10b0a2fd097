//! Threads and sockets: from a listening socket to a drained stop. It joins `http`, `router` and `tls`.

pub(crate) mod builder;
pub(crate) mod limits;
pub(crate) mod shutdown;

//! Who stands in front of a server, and what they say of a request. Values; `server` keeps them with its connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::cidr::Cidr;
use super::forwarded::{self, Forwarded};
use super::proxy_protocol::{ProxyHeader, Reading};

/// The reason of a PROXY header that was not asked for, in the log and in the metrics.
pub(crate) const NOT_ALLOWED: &str = "PROXY header not allowed";

/// The networks of those who may speak for clients.
#[derive(Debug, Default, Clone)]
pub(crate) struct Networks {
    /// Each connection from them begins with a PROXY header, and no other does.
    pub proxy_protocol: Vec<Cidr>,
    /// What their requests say in `Forwarded` and the like is believed.
    pub forwarded: Vec<Cidr>,
}

impl Networks {
    #[inline]
    pub(crate) fn speaks_proxy(&self, peer: IpAddr) -> bool {
        !self.proxy_protocol.is_empty() && forwarded::is_in(&self.proxy_protocol, peer)
    }
}

/// What those in front say of a request's client.
#[derive(Debug, Clone)]
pub(crate) struct InFront {
    /// Of the whole connection.
    pub header: Option<Arc<ProxyHeader>>,
    /// Of this request.
    pub forwarded: Option<Forwarded>,
    /// The connection's peer: the one of its socket, or the one that the header names.
    pub peer: SocketAddr,
}

/// The PROXY header of a connection.
#[derive(Debug)]
pub(crate) enum HeaderOf {
    /// The connection has none, because its peer may not send one.
    Nobody,
    Awaited(Box<Reading>),
    /// It has come.
    Balancer,
}

impl HeaderOf {
    pub(crate) fn awaited() -> HeaderOf {
        HeaderOf::Awaited(Box::default())
    }

    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, HeaderOf::Awaited(_))
    }
}

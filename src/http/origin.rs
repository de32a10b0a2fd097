//! Where a request comes from, and what it can ask there: whether its client is gone, and what serves it. Knows no server: that
//! fills in its side, and `request` asks.

use std::any::Any;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::ClientIdentity;
#[cfg(feature = "tls-parameters")]
use crate::tls::TlsParameters;

/// Where a request comes from.
pub(crate) enum Origin<'a> {
    Server(&'a dyn Serving),
    /// It was made by hand.
    Made {
        client_is_gone: bool,
        /// What takes the server's place, once something has asked for it.
        server: OnceCell<Box<dyn Any>>,
    },
}

/// What a request can ask of the server that serves it.
pub(crate) trait Serving {
    fn client_is_gone(&self) -> bool;
    /// What the handshake of the request's connection has agreed on. `None` for plain HTTP.
    #[cfg(feature = "tls-parameters")]
    fn tls(&self) -> Option<TlsParameters> {
        None
    }
    /// The server, for who knows its type.
    fn service(&self) -> &dyn Any;

    /// Whether the request has come over plain HTTP.
    #[cfg(feature = "proxy")]
    fn is_in_clear(&self) -> bool {
        false
    }

    /// Whether a response may come later than its handler returns: [`Response::pending`](super::response::Response::pending).
    #[cfg(feature = "handler-timeout")]
    fn waits_for_responses(&self) -> bool {
        false
    }
}

/// Who has sent a request, and who serves it.
pub(crate) struct Sender<'a> {
    pub peer: SocketAddr,
    pub client: Option<Arc<ClientIdentity>>,
    pub server: &'a dyn Serving,
}

impl Origin<'_> {
    /// Of a request made by hand, whose client is there.
    pub(super) fn made() -> Self {
        Origin::Made { client_is_gone: false, server: OnceCell::new() }
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn is_in_clear(&self) -> bool {
        matches!(self, Origin::Server(server) if server.is_in_clear())
    }

    #[cfg(feature = "handler-timeout")]
    pub(crate) fn waits_for_responses(&self) -> bool {
        matches!(self, Origin::Server(server) if server.waits_for_responses())
    }
}

/// In the place of a server, for tests.
#[cfg(any(test, fuzzing))]
pub(crate) struct Nobody;

#[cfg(any(test, fuzzing))]
impl Serving for Nobody {
    fn client_is_gone(&self) -> bool {
        false
    }

    fn service(&self) -> &dyn Any {
        self
    }
}

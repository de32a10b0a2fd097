//! Where a request comes from, and what it can ask there: whether its client is gone, and what serves it. Knows no server: that
//! fills in its side, and `request` asks.

use std::any::Any;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::Arc;

#[cfg(feature = "operations")]
use crate::operations::in_front::InFront;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::tls::ClientIdentity;
#[cfg(feature = "tls-parameters")]
use crate::tls::TlsParameters;

/// Where a request comes from.
pub(crate) enum Origin<'a> {
    Server(
        &'a dyn Serving,
        #[cfg(feature = "operations")] &'a RequestId,
        /// What those in front say of the client.
        #[cfg(feature = "operations")]
        Option<&'a Arc<InFront>>,
    ),
    /// It was made by hand.
    Made(Box<Made>),
}

/// What a request has that was made by hand.
pub(crate) struct Made {
    pub client_is_gone: bool,
    /// What takes the server's place, once something has asked for it.
    pub server: OnceCell<Box<dyn Any>>,
    #[cfg(feature = "operations")]
    pub id: RequestId,
    #[cfg(feature = "operations")]
    pub in_front: Option<Arc<InFront>>,
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

/// Who has sent a request, and where it comes from.
pub(crate) struct Sender<'a> {
    pub peer: SocketAddr,
    pub client: Option<Arc<ClientIdentity>>,
    pub server: &'a dyn Serving,
    #[cfg(feature = "operations")]
    pub id: &'a RequestId,
    #[cfg(feature = "operations")]
    pub in_front: Option<&'a Arc<InFront>>,
}

impl<'a> Sender<'a> {
    #[inline(always)]
    pub(super) fn origin(&self) -> Origin<'a> {
        Origin::Server(
            self.server,
            #[cfg(feature = "operations")]
            self.id,
            #[cfg(feature = "operations")]
            self.in_front,
        )
    }
}

impl Origin<'_> {
    /// Of a request made by hand, whose client is there.
    pub(super) fn made() -> Self {
        Origin::Made(Box::new(Made {
            client_is_gone: false,
            server: OnceCell::new(),
            #[cfg(feature = "operations")]
            id: RequestId::of_connection(),
            #[cfg(feature = "operations")]
            in_front: None,
        }))
    }

    /// Lets something in front of a request made by hand speak for its client.
    #[cfg(feature = "operations")]
    pub(crate) fn put_in_front(&mut self, told: InFront) {
        if let Origin::Made(made) = self {
            made.in_front = Some(Arc::new(told));
        }
    }

    /// What those in front say of the client.
    #[cfg(feature = "operations")]
    pub(crate) fn in_front(&self) -> Option<&Arc<InFront>> {
        match self {
            Origin::Server(_, _, in_front) => *in_front,
            Origin::Made(made) => made.in_front.as_ref(),
        }
    }

    /// Makes the client of a request made by hand leave.
    pub(super) fn lose_client(&mut self) {
        if let Origin::Made(made) = self {
            made.client_is_gone = true;
        }
    }

    /// The id of the request.
    #[cfg(feature = "operations")]
    pub(crate) fn id(&self) -> &RequestId {
        match self {
            Origin::Server(_, id, _) => id,
            Origin::Made(made) => &made.id,
        }
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn is_in_clear(&self) -> bool {
        matches!(self, Origin::Server(server, ..) if server.is_in_clear())
    }

    #[cfg(feature = "handler-timeout")]
    pub(crate) fn waits_for_responses(&self) -> bool {
        matches!(self, Origin::Server(server, ..) if server.waits_for_responses())
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

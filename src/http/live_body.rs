//! A response's body that has bytes later: a stream of events, say. Its connection waits without a thread until the body wakes
//! it. Knows no protocol and no socket. `live` makes such bodies, and `server/connection/response` sends them.

use std::time::Duration;

#[cfg(feature = "proxy")]
use super::passing::TakesBody;
#[cfg(feature = "proxy")]
use crate::limits::route::Permit;
use crate::wake_list::Waker;

/// What is sent as a response's body for as long as it goes on.
pub(crate) trait LiveBody: Send {
    /// Called once, before the first [`give`](LiveBody::give). The waker tells the server to ask for bytes.
    fn begin(&mut self, waker: Waker);

    /// The length of all that it gives, in bytes, if it knows that. It then gives exactly so much, or is cut.
    fn length(&self) -> Option<u64> {
        None
    }

    /// Whether it is a client's end of a feed, which lasts as long as the client wants.
    #[cfg(feature = "operations")]
    fn is_subscription(&self) -> bool {
        false
    }

    /// Gives the next bytes. Never waits.
    fn give(&mut self, out: &mut [u8], call: Call) -> Given;

    /// Takes the places of its request among those that a router answers at a time. A body that counts keeps them until it is
    /// dropped; others give them back.
    #[cfg(feature = "proxy")]
    fn hold(&mut self, _places: Vec<Permit>) {}

    /// What takes the rest of the request's body, if that still comes. It sends what it has taken when it is asked for bytes.
    #[cfg(feature = "proxy")]
    fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        None
    }

    /// The trailer section behind its end (RFC 9112 §7.1.2), each line with its CRLF. Asked after [`Then::End`], and only if it is
    /// sent in chunks.
    #[cfg(feature = "proxy")]
    fn trailers(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Why a body is asked for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It may have some: it has woken its connection, or the client has taken what there was.
    Ready,
    /// The time of [`Then::Wait`] is up.
    Due,
    /// The server stops. The body should come to its end.
    Stopping,
}

/// What a body gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    /// How many bytes of `out` are filled.
    pub bytes: usize,
    pub then: Then,
}

/// What comes after the given bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// There is more now.
    More,
    /// Nothing, until the body wakes its connection. It is also asked when it has sent nothing for this time.
    Wait(Duration),
    /// This was all.
    End,
    /// The client does not get all that it should, for this reason. The connection is cut.
    Cut(&'static str),
}

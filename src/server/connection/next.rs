//! What a connection does next, when it has served requests for as long as it could. A value: `exchange` returns it, and `state`
//! moves the connection to the stage that it names.

use super::collecting::Collecting;
#[cfg(feature = "handler-timeout")]
use super::pending::Pending;
use super::response::{After, Sending};
#[cfg(feature = "upgrade")]
use super::upgraded::{self, Upgraded};

/// A request whose response comes later.
#[cfg(feature = "handler-timeout")]
pub(crate) type Later = Box<Pending>;
/// There is none.
#[cfg(not(feature = "handler-timeout"))]
pub(crate) type Later = std::convert::Infallible;

/// What a connection does next.
pub(crate) enum Next {
    /// It waits for more of the next head.
    Wait,
    /// It reads the next request's head.
    Head,
    /// It collects the body of this one.
    Body(Box<Collecting>),
    /// It waits for the response.
    #[cfg_attr(not(feature = "handler-timeout"), allow(dead_code))]
    Pending(Later),
    Sending(Box<Sending>),
    /// It speaks another protocol.
    #[cfg(feature = "upgrade")]
    Upgraded(Box<Upgraded>),
    /// It goes on when other connections have had their turn.
    Again,
    /// It waits for a worker that calls handlers, with the collected body.
    OtherWorker(Option<Box<Collecting>>),
    Close,
    /// The client has closed it in the middle of a head.
    CutOff,
}

#[cfg(feature = "upgrade")]
impl From<Box<Upgraded>> for Next {
    fn from(upgraded: Box<Upgraded>) -> Next {
        Next::Upgraded(upgraded)
    }
}

#[cfg(feature = "upgrade")]
impl From<upgraded::Next> for Next {
    fn from(next: upgraded::Next) -> Next {
        match next {
            upgraded::Next::Wait => Next::Wait,
            upgraded::Next::Again => Next::Again,
            upgraded::Next::OtherWorker => Next::OtherWorker(None),
            upgraded::Next::End => sending(After::Close),
            upgraded::Next::Close => Next::Close,
        }
    }
}

/// Sends only what is written already.
pub(crate) fn sending(after: After) -> Next {
    Next::Sending(Box::new(Sending::of_output(after)))
}

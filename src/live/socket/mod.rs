//! WebSockets (RFC 6455), on the threads that are there anyway. `handshake` answers the request, `session` runs the protocol on
//! the connection, and `socket` is what programs have of it.

#[cfg(test)]
mod cases;
mod frames;
mod handshake;
mod message;
mod outbox;
#[cfg(any(test, fuzzing))]
mod peer;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod session;
#[allow(clippy::module_inception)] // What the room is named for.
mod socket;

pub use handshake::SocketHandshake;
pub use message::{Closed, Message};
pub use socket::{SendError, Socket, SocketBuilder};

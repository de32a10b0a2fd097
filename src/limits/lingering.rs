//! How long a connection is kept after its last response, so that the client can read that (RFC 9112 §9.6): to close while
//! the client still sends could make the system send a reset, which takes the response from it. The server and the redirect
//! have loops of their own for it, and these bounds in common.

use std::time::Duration;

/// From the last byte that came.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// In all, on a connection of the server. What comes is dropped undecrypted. There is no bound in bytes, because a client that
/// sends a whole upload before it reads would find a reset in place of the 413.
pub(crate) const LINGER_MOST: Duration = Duration::from_secs(10);
/// What is read past on a connection of the redirect, in bytes; what bounds its time is the connection's own.
pub(crate) const LINGER_BYTES: usize = 256 * 1024;

//! How long a connection stays open after its last response (RFC 9112 §9.6). If the server closed while the client still sends,
//! the system could send a reset, and the client could lose the response. The server and the redirect each have their own loop
//! for this, and share these bounds.

use std::time::Duration;

/// The longest wait after the last received byte.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// The longest time in all, on a connection of the server. What comes is dropped without decryption. There is no bound in
/// bytes, because a client that sends a whole upload before it reads would get a reset instead of the 413.
pub(crate) const LINGER_MOST: Duration = Duration::from_secs(10);
/// The most bytes that are read and dropped on a connection of the redirect. The connection's own deadline bounds the time.
pub(crate) const LINGER_BYTES: usize = 256 * 1024;

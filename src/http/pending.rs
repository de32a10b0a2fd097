//! How a response that comes later is waited for ([`PendingResponse`](super::response::PendingResponse)): its connection waits without
//! a thread until the response is there or its time is up. Knows no socket and no thread. `router/timed` makes such responses, and
//! `server/connection/pending` waits for them.

use std::any::Any;
use std::time::Duration;

/// How a response is waited for.
pub(crate) struct Begun {
    /// It is polled after this time, although it has not woken its connection.
    pub wait: Duration,
    /// What this worker does next, once the connection waits.
    pub work: Option<Work>,
    /// Whether it is given up when the client has closed its sending side, as a client does that leaves. Such a client may also
    /// wait for its answer.
    pub ends_with_client: bool,
}

/// Work of a worker between two turns. It may block like a handler.
pub(crate) struct Work {
    /// The number of the handler that it calls.
    pub handler: usize,
    pub run: Box<dyn FnOnce(Lent<'_>) + Send>,
}

/// What the server lends to [`Work`].
pub(crate) struct Lent<'l> {
    /// The server, for who knows its type.
    pub service: &'l dyn Any,
    /// Takes what went wrong: its kind, and the log's line.
    pub fault: &'l mut dyn FnMut(&'static str, String),
}

/// Why a response is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It may be there: it has woken its connection. Or the client has sent something, which is read later.
    Ready,
    /// The time of [`Polled::Wait`](super::response::Polled::Wait), or of [`Begun`], is up.
    Due,
    /// The server stops, and waits for the response.
    Stopping,
}

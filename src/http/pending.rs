//! How a response that comes later is waited for ([`PendingResponse`]): its connection waits without
//! a thread until the response is there or its time is up. Knows no socket and no thread. `router/timed` makes such responses, and
//! `server/connection/pending` waits for them.

use std::any::Any;
use std::time::Duration;

use ::http::{Extensions, HeaderMap};

#[cfg(feature = "proxy")]
use super::passing::TakesBody;
use super::Refusal;
#[cfg(feature = "proxy")]
use crate::limits::route::Permit;
use crate::wake_list::Waker;

/// What makes a response, an `R`, later. It is dropped when nobody waits for the response any
/// more: the client is gone, or the server ends.
pub(crate) trait PendingResponse<R>: Send {
    /// Called once, before the first [`poll`](PendingResponse::poll). The waker tells the server to poll, from any thread.
    fn begin(&mut self, waker: Waker) -> Begun;

    /// Gets the fields that the layers around its handler have set, for the response that comes later.
    fn surround(&mut self, _fields: Option<Box<HeaderMap>>) {}

    /// Gives the response, if it is there. Never waits.
    fn poll(&mut self, call: Call) -> Polled<R>;

    /// Takes the places of its request among those that a router answers at a time, for itself and then for the response.
    #[cfg(feature = "proxy")]
    fn hold(&mut self, _places: Vec<Permit>) {}

    /// What takes the rest of the request's body, if its handler has taken that over. It sends what it has taken when it is polled.
    #[cfg(feature = "proxy")]
    fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        None
    }
}

/// What a poll gives.
pub(crate) enum Polled<R> {
    /// Nothing, until it wakes its connection. It is also polled after this time, or after an earlier one that still runs.
    Wait(Duration),
    /// An interim response (1xx), which is sent at once. It is polled again then.
    #[cfg(feature = "proxy")]
    Interim(R),
    /// The response, and the program's values in its request.
    Made(R, Extensions),
    /// The server refuses the request.
    Refused(Refusal),
}

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
    /// The time of [`Polled::Wait`], or of [`Begun`], is up.
    Due,
    /// The server stops, and waits for the response.
    Stopping,
}

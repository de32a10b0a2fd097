//! What a worker gives a connection for its turn, and what a step of that turn comes to. Values for `state`, which passes the
//! one on and returns the other.

use std::io;
use std::ops::ControlFlow;

use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::input::Input;
use crate::server::turn::Handlers;

/// A worker's turn with a connection. The input stands beside the other buffers, because a request is read where it lies
/// while its answer is written.
pub(crate) struct Turn<'t, 's> {
    /// Since when what is at hand has waited for a worker.
    pub since: Millis,
    pub handlers: Handlers,
    pub input: &'t mut Input,
    pub buffers: &'t mut Buffers<'s>,
}

/// Why a turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The socket has no more, or takes no more.
    Wait,
    /// There may be more to do, and others get their turn first.
    Again,
    /// A whole request, or the rest of a response, waits for a worker.
    Queue,
    /// The rest of a response waits until its reader may be asked.
    AwaitReader,
    Close,
}

/// What a step of a turn comes to: on with the next one, or the turn's end.
pub(crate) type Step = io::Result<ControlFlow<Flow>>;

//! The input of a connection's turn, and the result of a step in it. `state` passes them around.

use std::io;
use std::ops::ControlFlow;

use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::input::Input;
use crate::server::turn::Handlers;

/// A worker's turn with a connection. The input is separate from the other buffers, because a request is read in place while
/// its answer is written.
pub(crate) struct Turn<'t, 's> {
    /// Since when the current work has waited for a worker.
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
    /// There may be more to do, but others get their turn first.
    Again,
    /// A whole request, or the rest of a response, has to wait for a worker.
    Queue,
    /// The rest of a response has to wait for a reader's place.
    AwaitReader,
    Close,
}

/// The result of a step: go on with the next step, or end the turn.
pub(crate) type Step = io::Result<ControlFlow<Flow>>;

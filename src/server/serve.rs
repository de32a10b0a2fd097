//! Connects the workers with connections: the buffers of a worker, and the turn that it gives. It knows both sides, which do
//! not know each other.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffers::Buffers;
use super::clock::{whole_millis, Clock};
use super::connection::state::Connection;
use super::connection::step::Turn;
use super::context::Context;
use super::input::Input;
use super::places::Parked;
use super::poller::Poller;
use super::turn::{Handlers, Outcome, Ready};
use super::workers::{Service, Sizes, Workers};
use crate::handler_call::{self, Fault};
use crate::limits::Limits;

/// The number of workers, and of requests that may wait for them.
pub(crate) fn sizes(limits: &Limits) -> Sizes {
    Sizes {
        permits: limits.workers,
        most: limits.workers + limits.reserve_workers,
        readers: limits.readers(),
        queue_timeout: whole_millis(limits.queue_timeout),
        queue_requests: limits.queue_requests,
    }
}

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) context: Context,
    pub(crate) poller: Poller<Box<Connection>>,
}

impl Deref for Shared {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Service for Shared {
    type Held = Box<Connection>;
    type Buffers<'s> = (Input, Buffers<'s>);

    fn poller(&self) -> &Poller<Box<Connection>> {
        &self.poller
    }

    fn workers(&self) -> &Workers {
        &self.context.workers
    }

    fn is_stopped(&self) -> bool {
        self.context.is_stopped()
    }

    fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.context.log_fault(what, now, line);
    }

    fn buffers(shared: &Arc<Shared>, me: Option<usize>) -> (Input, Buffers<'_>) {
        (Input::new(&shared.limits), Buffers::new(&shared.context, shared, shared.poller.clock(), me))
    }

    fn clock<'b>((_, buffers): &'b mut (Input, Buffers<'_>)) -> &'b mut Clock {
        &mut buffers.clock
    }

    /// A panic in the turn ends this connection and nothing else.
    fn serve(
        ready: Ready<Box<Connection>>,
        (input, buffers): &mut (Input, Buffers<'_>),
        handlers: Handlers,
    ) -> Outcome<Box<Connection>> {
        let (key, peer) = (ready.connection.key(), ready.connection.peer());
        let outcome = handler_call::run("a panic in a connection", || {
            ready.connection.advance(ready.reason, Turn { since: ready.since, handlers, input, buffers })
        });
        let faults = if handler_call::went_wrong() { handler_call::faults() } else { Vec::new() };
        for Fault { what, text } in faults {
            buffers.context.log_fault(
                what,
                buffers.now(),
                format_args!("{peer}: serving the connection {text}"),
            );
        }
        outcome.unwrap_or_else(|| {
            buffers.leave_handler(None, Duration::ZERO);
            Outcome::Closed(key)
        })
    }

    fn end(&self, connection: Box<Connection>) {
        connection.end(&self.context);
    }
}

//! Connects the workers with connections: what they share, and the buffers of a worker. It knows both sides, which do not know
//! each other.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use super::buffers::Buffers;
use super::clock::{whole_millis, Clock};
use super::connection::state::Connection;
use super::context::Context;
use super::input::Input;
use super::poller::Poller;
use super::workers::{Service, Sizes, Workers};
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

    fn end(&self, connection: Box<Connection>) {
        connection.end(&self.context);
    }
}

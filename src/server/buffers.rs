//! The buffers and the clock of a worker, which it lends to the connection that it serves. Waiting connections hold no buffers,
//! only bytes that they could not use yet. The input buffer is separate, because a request is read in place while its answer is
//! written.

use std::time::{Duration, Instant, SystemTime};

use ::http::Extensions;

use super::clock::{whole_millis, Clock, Millis};
use super::context::Context;
use super::deadline::Deadline;
use super::scheduler::Scheduler;
use crate::calendar;
use crate::handler_call;
use crate::http::response_head::{kept_for, Common};
#[cfg(feature = "handler-timeout")]
use crate::limits::body_memory::Share;
use crate::limits::limit::Limit;

pub(crate) struct Buffers<'s> {
    pub context: &'s Context,
    pub scheduler: &'s dyn Scheduler,
    /// The worker's number. The supervisor, which calls no handlers, has none.
    pub me: Option<usize>,
    /// Responses that are written and not encrypted yet.
    pub output: Vec<u8>,
    /// For a piece from a response's reader, and for bytes that are dropped.
    pub scratch: Vec<u8>,
    /// The program's values in the request whose response is about to leave, for its `on_response`.
    pub values: Extensions,
    /// What the worker does once the connection of this turn is parked.
    #[cfg(feature = "handler-timeout")]
    pub work: Option<Box<dyn LeftWork>>,
    /// Requests that may still be answered in this turn.
    pub requests_left: u32,
    pub clock: Clock,
    pub common: Common,
    /// Until when the date in `common` is right, counted from the clock's start.
    common_until: Duration,
}

#[cfg(feature = "handler-timeout")]
/// Work that begins when its connection is parked, so that another thread can answer the client meanwhile.
pub(crate) trait LeftWork {
    /// Counts the request's body until the work is done.
    fn cover(&mut self, memory: Share);

    /// May block like a handler. Does not panic.
    fn run(self: Box<Self>, buffers: &mut Buffers<'_>);
}

/// How much is read from a response's reader at a time. A piece with its chunk framing fits into a TLS record, and four of them
/// fit into what the kernel passes on as one.
pub(crate) const PIECE_BYTES: usize = 16 * 1024 - 256;

impl<'s> Buffers<'s> {
    pub(crate) fn new(
        context: &'s Context,
        scheduler: &'s dyn Scheduler,
        clock: Clock,
        me: Option<usize>,
    ) -> Buffers<'s> {
        Buffers {
            output: Vec::with_capacity(4 * 1024),
            scratch: vec![0; PIECE_BYTES],
            context,
            scheduler,
            me,
            values: Extensions::new(),
            #[cfg(feature = "handler-timeout")]
            work: None,
            requests_left: 0,
            clock,
            // Made when they are first needed.
            common: Common::default(),
            common_until: Duration::ZERO,
        }
    }

    #[inline]
    pub(crate) fn has_left_work(&self) -> bool {
        #[cfg(feature = "handler-timeout")]
        return self.work.is_some();
        #[cfg(not(feature = "handler-timeout"))]
        false
    }

    pub(crate) fn do_left_work(&mut self) {
        #[cfg(feature = "handler-timeout")]
        if let Some(work) = self.work.take() {
            work.run(self);
        }
    }

    /// Reads the clock. Returns the time since its start.
    pub(crate) fn look(&mut self) -> Duration {
        self.clock.look()
    }

    /// The time at the last reading.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn millis(&self) -> Millis {
        self.clock.millis()
    }

    /// The time after `wait`, in the server's milliseconds.
    pub(crate) fn after(&self, wait: Duration) -> Millis {
        self.millis() + whole_millis(wait)
    }

    /// The deadline of `limit`, after `timeout` from now.
    pub(crate) fn deadline(&self, limit: Limit, timeout: Duration) -> Deadline {
        Deadline::of(limit, self.after(timeout))
    }

    /// Called before a handler or a response's reader.
    #[inline]
    pub(crate) fn enter_handler(&self, handler: Option<usize>) {
        let about_to_block = || self.scheduler.about_to_block(self.me);
        self.context.workers.enter_handler(self.me, handler, self.millis(), about_to_block);
    }

    /// Called after a handler or a response's reader.
    #[inline]
    pub(crate) fn leave_handler(&self, handler: Option<usize>, took: Duration) {
        self.context.workers.leave_handler(self.me, handler, took);
    }

    /// Drops the program's values in a request that gets no answer, so that they are not taken for those of the next.
    #[cold]
    pub(crate) fn drop_values(&mut self) {
        // They may panic. The faults tell what went wrong.
        let _: Option<()> =
            handler_call::run("a panic in a connection", || drop(std::mem::take(&mut self.values)));
    }

    /// Updates the date in the lines that all heads share, once a second. So a change of the clock shows within a second.
    pub(crate) fn renew_common(&mut self) {
        if self.clock.elapsed() >= self.common_until {
            let since_1970 = calendar::since_1970(SystemTime::now());
            let date = calendar::imf_fixdate(since_1970.as_secs() as i64);
            self.common = Common::new(date, kept_for(self.context.limits.idle_timeout));
            let left = Duration::from_secs(1) - Duration::from_nanos(since_1970.subsec_nanos().into());
            self.common_until = self.clock.elapsed() + left;
        }
    }
}

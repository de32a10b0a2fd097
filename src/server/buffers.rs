//! The buffers and the clock of a worker, which it lends to the connection that it serves. Waiting connections hold no buffers,
//! only bytes that they could not use yet. The input buffer is separate, because a request is read in place while its answer is
//! written.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use ::http::{Extensions, StatusCode};

use super::clock::{whole_millis, Clock, Millis};
use super::context::Context;
use super::deadline::Deadline;
use super::scheduler::Scheduler;
use crate::calendar;
use crate::handler_call;
#[cfg(feature = "operations")]
use crate::handler_call::Fault;
#[cfg(feature = "handler-timeout")]
use crate::http::pending::{Lent, Work};
use crate::http::response::Response;
use crate::http::response_head::{kept_for, Common};
#[cfg(feature = "handler-timeout")]
use crate::limits::body_memory::Share;
use crate::limits::limit::Limit;
use crate::limits::Limits;
#[cfg(feature = "operations")]
use crate::log_limiter::About;
use crate::log_limiter::Sort;
#[cfg(feature = "operations")]
use crate::operations::counters::Block;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;

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
    /// Of the request that the turn is about.
    #[cfg(feature = "operations")]
    pub id: RequestId,
    /// What the worker does once the connection of this turn is parked.
    #[cfg(feature = "handler-timeout")]
    pub work: Option<LeftWork>,
    /// This worker's counts.
    #[cfg(feature = "operations")]
    pub counts: &'s Block,
    /// The number of the handler that has made the next response, and the time that it took.
    #[cfg(feature = "operations")]
    pub made_by: (usize, Duration),
    /// Requests that may still be answered in this turn.
    pub requests_left: u32,
    /// The limits of this turn, and how often they were replaced before.
    #[cfg(feature = "operations")]
    limits: (usize, Limits),
    pub clock: Clock,
    pub common: Common,
    /// Until when the date in `common` is right, counted from the clock's start.
    common_until: Duration,
}

#[cfg(feature = "handler-timeout")]
/// Work that begins when its connection is parked, so that another thread can answer the client meanwhile.
pub(crate) struct LeftWork {
    pub work: Work,
    /// The request's body is counted here until the work is done.
    pub memory: Option<Share>,
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
            #[cfg(feature = "operations")]
            id: RequestId::of_connection(),
            #[cfg(feature = "handler-timeout")]
            work: None,
            #[cfg(feature = "operations")]
            counts: context.counts.counters.of(me),
            #[cfg(feature = "operations")]
            made_by: (usize::MAX, Duration::ZERO),
            requests_left: 0,
            #[cfg(feature = "operations")]
            limits: (context.live_limits.version(), context.live_limits.get()),
            clock,
            // Made when they are first needed.
            common: Common::default(),
            common_until: Duration::ZERO,
        }
    }

    /// The limits of this turn.
    #[inline(always)]
    pub(crate) fn limits(&self) -> &Limits {
        #[cfg(feature = "operations")]
        return &self.limits.1;
        #[cfg(not(feature = "operations"))]
        &self.context.limits
    }

    /// Takes the limits for the next turn, if the program has replaced them.
    #[cfg(feature = "operations")]
    #[inline]
    pub(crate) fn renew_limits(&mut self) {
        let version = self.context.live_limits.version();
        if version != self.limits.0 {
            self.take_limits(version);
        }
    }

    #[cfg(feature = "operations")]
    #[cold]
    fn take_limits(&mut self, version: usize) {
        self.limits = (version, self.context.live_limits.get());
        // It tells clients how long a connection is kept.
        self.common_until = Duration::ZERO;
    }

    /// Logs that the current request was refused or cut. `what` is the limit that it met, or another reason.
    pub(crate) fn log_refusal(&self, what: &'static str, line: fmt::Arguments<'_>) {
        self.log(log::Level::Info, what, line);
    }

    /// Logs a fault of the program in the current request, as [`Context::log_fault`] does.
    pub(crate) fn log_fault(&self, what: &'static str, line: fmt::Arguments<'_>) {
        self.log(log::Level::Error, what, line);
    }

    /// Logs what went wrong in the last call, as [`Context::log_faults`] does.
    #[cold]
    pub(crate) fn log_faults(&self, whose: fmt::Arguments<'_>) {
        #[cfg(feature = "operations")]
        for Fault { what, text } in handler_call::faults() {
            self.log_fault(what, format_args!("{whose} {text}"));
        }
        #[cfg(not(feature = "operations"))]
        self.context.log_faults(self.now(), whose);
    }

    fn log(&self, level: log::Level, what: &'static str, line: fmt::Arguments<'_>) {
        let (sort, now) = (Sort { target: "lockgate::server", level, what }, self.now());
        #[cfg(feature = "operations")]
        self.context.log_limiter.write_about(About::of(level), sort, now, line, &self.id);
        #[cfg(not(feature = "operations"))]
        self.context.log_limiter.write(sort, now, line);
    }

    #[inline]
    pub(crate) fn has_left_work(&self) -> bool {
        #[cfg(feature = "handler-timeout")]
        return self.work.is_some();
        #[cfg(not(feature = "handler-timeout"))]
        false
    }

    /// May block like a handler. Does not panic.
    pub(crate) fn do_left_work(&mut self) {
        #[cfg(feature = "handler-timeout")]
        if let Some(LeftWork { work, memory }) = self.work.take() {
            let handler = Some(work.handler);
            let began = self.look();
            self.enter_handler(handler);
            let service = self.scheduler.service();
            let fault = &mut |what, line| self.log_fault(what, format_args!("{line}"));
            // The work reports what went wrong in the handler.
            let _: Option<()> =
                handler_call::run("a panic in a handler", || (work.run)(Lent { service, fault }));
            let took = self.look().saturating_sub(began);
            self.leave_handler(handler, took);
            drop(memory);
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

    /// Notes which handler has made the response that is about to leave.
    #[inline(always)]
    pub(crate) fn note_call(&mut self, handler: usize, took: Duration) {
        #[cfg(feature = "operations")]
        {
            self.made_by = (handler, took);
        }
        #[cfg(not(feature = "operations"))]
        let _ = (handler, took);
    }

    /// Notes that no handler has made it.
    #[inline(always)]
    pub(crate) fn note_no_call(&mut self) {
        #[cfg(feature = "operations")]
        {
            self.made_by = (self.counts.nobody(), Duration::ZERO);
        }
    }

    /// Passes on a response that no handler has made.
    #[inline(always)]
    pub(crate) fn without_call(&mut self, response: Response) -> Response {
        self.note_no_call();
        response
    }

    /// Counts the response that leaves.
    #[inline(always)]
    pub(crate) fn count_response(&self, status: StatusCode) {
        #[cfg(feature = "operations")]
        self.counts.answered(self.made_by.0, status.as_u16(), self.made_by.1);
        #[cfg(not(feature = "operations"))]
        let _ = status;
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
            self.common = Common::new(date, kept_for(self.limits().idle_timeout));
            let left = Duration::from_secs(1) - Duration::from_nanos(since_1970.subsec_nanos().into());
            self.common_until = self.clock.elapsed() + left;
        }
    }
}

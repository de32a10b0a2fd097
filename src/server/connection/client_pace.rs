//! The client's pace in taking what is sent, and until when it has to take more. `response` and `upgraded` measure it.

use super::transport::{Stream, Transport};
use crate::limits::limit::Limit;
use crate::server::clock::Millis;
use crate::server::deadline::Deadline;
use crate::server::turn::Idle;

/// The client's pace in taking a response. Only time in which the socket takes nothing counts, because a slow reader is not the
/// client's fault.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How much the transport had sent at the last progress, and when that was.
    pub mark: u64,
    progress: Millis,
    /// Since when the socket takes nothing, and how much was sent by then.
    blocked: Option<(Millis, u64)>,
    /// How long the socket took nothing before that, and how much was sent in that time.
    waited: Millis,
    moved: u64,
}

impl Pace {
    /// Starts to measure.
    pub(crate) fn begin<S: Stream>(transport: &Transport<S>, now: Millis) -> Pace {
        Pace { mark: transport.sent(), progress: now, ..Pace::default() }
    }

    /// Notes how much was sent by now. Returns whether the client, which took nothing before, has taken something.
    pub(crate) fn sent(&mut self, sent: u64, now: Millis) -> bool {
        let has_moved = sent != self.mark;
        if has_moved {
            self.mark = sent;
            self.progress = now;
        }
        has_moved && self.blocked.is_some()
    }

    /// Notes that the socket has taken everything.
    pub(crate) fn flows(&mut self, now: Millis) {
        if self.blocked.is_some() {
            (self.waited, self.moved) = self.total(now);
            self.blocked = None;
        }
    }

    /// Notes that the socket takes nothing more.
    pub(crate) fn is_blocked(&mut self, now: Millis) {
        if self.blocked.is_none() {
            self.blocked = Some((now, self.mark));
            self.progress = now;
        }
    }

    /// How long the server has waited for the client in all, and how much the client took in that time.
    fn total(&self, now: Millis) -> (Millis, u64) {
        match self.blocked {
            Some((since, mark)) => {
                (self.waited + now.saturating_sub(since), self.moved + self.mark.saturating_sub(mark))
            }
            None => (self.waited, self.moved),
        }
    }

    /// When the client will have made no progress for too long, or taken less than `min_rate` bytes a second.
    pub(crate) fn deadline(&self, now: Millis, timeout: Millis, min_rate: u64) -> Deadline {
        let stall = self.progress.saturating_add(timeout);
        let (waited, moved) = self.total(now);
        let rate = now
            .saturating_add(timeout)
            .saturating_add(moved.saturating_mul(1_000) / min_rate.max(1))
            .saturating_sub(waited);
        if stall <= rate {
            Deadline::of(Limit::WriteTimeout, stall)
        } else {
            Deadline::of(Limit::WriteMinRate, rate)
        }
    }

    /// The connection's rank when the server needs room for another.
    pub(crate) fn idle(&self, now: Millis, min_rate: u64) -> Idle {
        let (waited, bytes) = self.total(now);
        Idle::Moving { since: now.saturating_sub(waited), bytes, min_rate }
    }
}

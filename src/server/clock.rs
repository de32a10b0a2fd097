//! The time as a worker knows it: looked at once for many uses, because a look costs as much as reading a short head. Counts
//! from when the server's poller was made, so that a moment is one number.

use std::time::{Duration, Instant};

/// Milliseconds since the poller was made.
pub(crate) type Millis = u64;

/// A clock that stands still between looks.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    elapsed: Duration,
    millis: Millis,
}

impl Clock {
    /// A clock that counts from `start`, as if it had been looked at then.
    pub(crate) fn since(start: Instant) -> Clock {
        Clock { start, elapsed: Duration::ZERO, millis: 0 }
    }

    /// Looks; the time since the start.
    pub(crate) fn look(&mut self) -> Duration {
        self.elapsed = self.start.elapsed();
        self.millis = whole_millis(self.elapsed);
        self.elapsed
    }

    /// The time as of the last look.
    pub(crate) fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// The same, as the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The same, in milliseconds.
    pub(crate) fn millis(&self) -> Millis {
        self.millis
    }
}

/// `Duration::as_millis` without its 128 bits, for spans far below half a billion years.
pub(crate) fn whole_millis(span: Duration) -> Millis {
    span.as_secs().saturating_mul(1_000).saturating_add(span.subsec_millis().into())
}

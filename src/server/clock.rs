//! A worker's clock. It is read once for many uses, because reading the system's clock costs as much as reading a short head.
//! It counts from the creation of the server's poller, so that a moment is one number.

use std::time::{Duration, Instant};

/// Milliseconds since the poller was made.
pub(crate) type Millis = u64;

/// A clock that stands still between two readings.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    elapsed: Duration,
    millis: Millis,
    /// What each reading finds, where a test says how time passes.
    #[cfg(test)]
    set_to: Option<Duration>,
}

impl Clock {
    /// A clock that counts from `start`, as if it had been read then.
    pub(crate) fn since(start: Instant) -> Clock {
        Clock {
            start,
            elapsed: Duration::ZERO,
            millis: 0,
            #[cfg(test)]
            set_to: None,
        }
    }

    /// Reads the system's clock. Returns the time since the start.
    pub(crate) fn look(&mut self) -> Duration {
        self.elapsed = self.start.elapsed();
        #[cfg(test)]
        if let Some(elapsed) = self.set_to {
            self.elapsed = elapsed;
        }
        self.millis = whole_millis(self.elapsed);
        self.elapsed
    }

    /// From now on, time passes only by further calls of this.
    #[cfg(test)]
    pub(crate) fn pass(&mut self, time: Duration) {
        self.set_to = Some(self.set_to.unwrap_or(self.elapsed) + time);
    }

    /// The time at the last reading.
    pub(crate) fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// The time from the start to the last reading.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The time from the start to the last reading, in milliseconds.
    pub(crate) fn millis(&self) -> Millis {
        self.millis
    }
}

/// `Duration::as_millis` without its 128 bits, for spans far below half a billion years.
pub(crate) fn whole_millis(span: Duration) -> Millis {
    span.as_secs().saturating_mul(1_000).saturating_add(span.subsec_millis().into())
}

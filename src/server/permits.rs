//! Which workers may run: the permits, one a core, and who waits for one. Counts and numbers only; a worker's thread and what
//! it does are `workers`'s. They stand beside what the poller holds, under its one lock, because a worker is called
//! exactly when there is something in there for it.

use std::time::Instant;

pub(crate) struct Permits {
    /// Permits that no worker holds.
    pub(crate) free: usize,
    /// Workers that wait to be called, the last to fall asleep last.
    pub(crate) asleep: Vec<usize>,
    /// How many numbers were given to workers so far.
    pub(crate) started: usize,
    /// Those of the numbers that no worker has now.
    pub(crate) unused: Vec<usize>,
    /// When the system last refused a worker its thread.
    pub(crate) refused_at: Option<Instant>,
    /// Workers whose threads have not ended.
    pub(crate) alive: usize,
}

impl Permits {
    pub(crate) fn new(free: usize) -> Permits {
        Permits { free, asleep: Vec::new(), started: 0, unused: Vec::new(), refused_at: None, alive: 0 }
    }

    /// How many workers have a thread.
    pub(crate) fn running(&self) -> usize {
        self.started - self.unused.len()
    }
}

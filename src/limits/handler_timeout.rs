//! The time that handlers have by their router, and how many take longer. Knows times and numbers. `limits/route` keeps it, and
//! `router/timed` holds handlers to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How long handlers may take, and how many take longer at the moment.
#[derive(Debug, Clone)]
pub(crate) struct HandlerTimeout {
    pub most: Duration,
    late: Arc<AtomicUsize>,
}

impl HandlerTimeout {
    pub(crate) fn new(most: Duration) -> HandlerTimeout {
        HandlerTimeout { most, late: Arc::default() }
    }

    pub(crate) fn late(&self) -> usize {
        self.late.load(Ordering::Acquire)
    }

    pub(crate) fn note_late(&self) {
        self.late.fetch_add(1, Ordering::AcqRel);
    }

    /// A late handler has returned.
    pub(crate) fn note_returned(&self) {
        self.late.fetch_sub(1, Ordering::AcqRel);
    }
}

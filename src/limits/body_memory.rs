//! The memory for request bodies that all connections share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// How many bytes are left for all connections.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: AtomicUsize,
}

/// The share of one body. Dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    taken: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Budget {
        Budget { used: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    /// What holds from now on. Bodies that have more keep it.
    #[cfg(feature = "operations")]
    pub(crate) fn replace(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many bytes are taken, and how many there are.
    #[cfg(feature = "operations")]
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.most.load(Ordering::Relaxed))
    }

    pub(crate) fn share(self: &Arc<Budget>) -> Share {
        Share { budget: self.clone(), taken: 0 }
    }
}

impl Share {
    /// Grows the share to at least `bytes`. Returns false when not enough is left.
    #[must_use]
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.taken);
        if more == 0 {
            return true;
        }
        let took = self.budget.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(more).filter(|used| *used <= self.budget.most.load(Ordering::Relaxed))
        });
        if took.is_ok() {
            self.taken = bytes;
        }
        took.is_ok()
    }

    /// Gives back what goes beyond `bytes`.
    #[cfg(feature = "websocket")]
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let less = self.taken.saturating_sub(bytes);
        if less > 0 {
            self.budget.used.fetch_sub(less, Ordering::AcqRel);
            self.taken = bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_the_others_do_not_have_until_it_is_given_back() {
        let budget = Arc::new(Budget::new(100));
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.cover(60) && one.cover(50));
        assert!(other.cover(40));
        assert!(!other.cover(41));
        drop(one);
        assert!(other.cover(100));
        drop(other);
        assert_eq!(budget.used.load(Ordering::Acquire), 0);
    }
}

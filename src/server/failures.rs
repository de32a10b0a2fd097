//! The failures of the last attempts to load or renew, each until a later attempt succeeds, and how many there were. `renewal` notes
//! them.

#[cfg(feature = "operations")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::health::IdentityFailure;
use crate::error::Error;

/// The last failure of each subject that has one.
pub(super) struct Failures<S> {
    last: Mutex<Vec<(S, IdentityFailure)>>,
    #[cfg(feature = "operations")]
    total: AtomicU64,
}

impl<S> Default for Failures<S> {
    fn default() -> Failures<S> {
        Failures {
            last: Mutex::default(),
            #[cfg(feature = "operations")]
            total: AtomicU64::new(0),
        }
    }
}

impl<S: Copy + PartialEq> Failures<S> {
    /// The failure of the last attempt, if it failed.
    pub(super) fn of(&self, subject: S) -> Option<IdentityFailure> {
        self.lock().iter().find(|(of, _)| *of == subject).map(|(_, failure)| failure.clone())
    }

    /// Notes the outcome of an attempt.
    pub(super) fn note(&self, subject: S, error: Option<&Error>) {
        let mut last = self.lock();
        last.retain(|(of, _)| *of != subject);
        if let Some(error) = error {
            last.push((subject, IdentityFailure::now(error)));
            #[cfg(feature = "operations")]
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many attempts have failed.
    #[cfg(feature = "operations")]
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(S, IdentityFailure)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_forgotten_with_the_next_success_and_stays_counted() {
        let failures = Failures::default();
        let error = Error::Setting { setting: "x", fault: "it is on purpose".into() };
        failures.note(1, Some(&error));
        failures.note(1, Some(&error));
        failures.note(2, None);
        assert!(failures.of(1).unwrap().error.contains("on purpose") && failures.of(2).is_none());
        failures.note(1, None);
        assert!(failures.of(1).is_none());
        #[cfg(feature = "operations")]
        assert_eq!(failures.total(), 2);
    }
}

//! Estimates which handlers are slow, by a score of the duration of recent calls. Before a handler that probably blocks is
//! called, its worker gives up its permit. Times are parameters. The workers call it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// A call that took longer than this was slow.
const SLOW: Duration = Duration::from_micros(500);
/// What a slow call adds to a handler's score. A quick call subtracts 1.
const SLOW_SCORE: u8 = 8;
/// From this score on a handler is expected to block. Two slow calls close together reach it; one preempted call does not.
const EXPECTED_SLOW: u8 = 12;
const MOST_SCORE: u8 = 64;

#[derive(Debug)]
pub(crate) struct Scores(Box<[AtomicU8]>);

impl Scores {
    pub(crate) fn new(handlers: usize) -> Scores {
        Scores((0..handlers).map(|_| AtomicU8::new(0)).collect())
    }

    /// Whether this handler is expected to be slow.
    pub(crate) fn expects_slow(&self, handler: usize) -> bool {
        self.0.get(handler).is_some_and(|score| score.load(Ordering::Relaxed) >= EXPECTED_SLOW)
    }

    /// Notes how long a call of this handler took.
    pub(crate) fn note(&self, handler: usize, took: Duration) {
        let Some(score) = self.0.get(handler) else {
            return;
        };
        let before = score.load(Ordering::Relaxed);
        // Two workers may overwrite each other's update. That is fine for an estimate.
        if took >= SLOW {
            score.store(before.saturating_add(SLOW_SCORE).min(MOST_SCORE), Ordering::Relaxed);
        } else if before > 0 {
            score.store(before - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(499);

    #[test]
    fn two_slow_calls_close_together_are_expected_to_go_on_and_one_alone_is_not() {
        let scores = Scores::new(2);
        scores.note(1, SLOW);
        assert!(!scores.expects_slow(1), "a stray preemption");
        scores.note(1, QUICK);
        scores.note(1, SLOW);
        assert!(scores.expects_slow(1));
        assert!(!scores.expects_slow(0), "another handler");
        for _ in 0..20 {
            scores.note(0, SLOW);
            (0..8).for_each(|_| scores.note(0, QUICK));
        }
        assert!(!scores.expects_slow(0), "slow now and then");
    }

    #[test]
    fn a_handler_that_was_slow_for_long_is_forgiven_after_a_bounded_number_of_quick_calls() {
        let scores = Scores::new(1);
        (0..1_000).for_each(|_| scores.note(0, Duration::from_secs(1)));
        let forgiven = (1..).find(|_| {
            scores.note(0, QUICK);
            !scores.expects_slow(0)
        });
        assert_eq!(forgiven, Some(53));
        (0..100).for_each(|_| scores.note(0, QUICK));
        assert!(!scores.expects_slow(0));
        scores.note(7, SLOW);
        assert!(!scores.expects_slow(7), "a handler that is not there");
    }
}

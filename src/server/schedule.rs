//! Decides when the source of a certificate is called again, and when the log says that the certificate expires soon. Times and
//! the state of files are parameters.
//!
//! `renewal` has one schedule for each certificate, one for the missing ones, and one for the rules for clients.

use std::time::{Duration, Instant};

use crate::tls::{Expiry, Stamp};

/// The longest time from one check of everything to the next.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(3600);
/// How long files must be unchanged before the source is called, because a certificate and its key are written one after the
/// other.
const SETTLED: Duration = Duration::from_millis(250);
/// When the source is called although its files have not stopped changing.
const LONGEST_UNSETTLED: Duration = Duration::from_secs(5);
/// The time from a failure to the next attempt. It doubles with each failure, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// How often the log says that a certificate expires soon.
const REMINDER: Duration = Duration::from_secs(24 * 3600);

/// The state of one source and its certificate.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Files that have changed since the source was called: since when, their stamp, and since when they have had that stamp.
    unsettled: Option<(Instant, Stamp, Instant)>,
    /// The last failure: how many in a row, with which files, and when to try again.
    failure: Option<(u32, Stamp, Instant)>,
    /// When the source wants to be called again.
    again: Option<Instant>,
    /// The last expiry that was logged, and when.
    told: (Expiry, Instant),
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Schedule {
        Schedule { unsettled: None, failure: None, again: None, told: (Expiry::Distant, now) }
    }

    /// Whether to call the source. Its files are `stamp` now, and were `known` at the last call.
    pub(super) fn should_ask(&mut self, stamp: &Stamp, known: &Stamp, now: Instant) -> bool {
        let tried = self.failure.as_ref().map_or(known, |(_, tried, _)| tried);
        if stamp != tried {
            let (first, since) = match &self.unsettled {
                Some((first, seen, since)) if seen == stamp => (*first, *since),
                Some((first, _, _)) => (*first, now),
                None => (now, now),
            };
            if now >= since + SETTLED || now >= first + LONGEST_UNSETTLED {
                self.unsettled = None;
                return true;
            }
            self.unsettled = Some((first, stamp.clone(), since));
            return false;
        }
        self.unsettled = None;
        match &self.failure {
            Some((_, _, retry)) => now >= *retry,
            None => self.again.is_some_and(|again| now >= again),
        }
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self, now: Instant) {
        let told = self.told;
        *self = Schedule { told, ..Schedule::new(now) };
    }

    /// Notes a failure with files that were `stamp`. Returns how long until the next attempt.
    pub(super) fn failed(&mut self, stamp: Stamp, now: Instant) -> Duration {
        let times = self.failure.as_ref().map_or(0, |(times, _, _)| *times).saturating_add(1);
        let retry_in = FIRST_RETRY.saturating_mul(1 << (times - 1).min(16)).min(LAST_RETRY);
        self.failure = Some((times, stamp, now + retry_in));
        self.again = None;
        retry_in
    }

    /// Whether to log how much of the certificate's life is left: when the level has changed, and then daily.
    pub(super) fn should_tell(&mut self, expiry: Expiry, now: Instant) -> bool {
        let (told, when) = self.told;
        let tell = expiry != told || now >= when + REMINDER;
        if tell {
            self.told = (expiry, now);
        }
        tell && expiry != Expiry::Distant
    }

    /// Notes that the source wants to be called after `rest`, or sooner if it has said so before.
    pub(super) fn ask_in(&mut self, rest: Duration, now: Instant) {
        let at = now + rest;
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    /// The time until something is due.
    pub(super) fn next(&self, now: Instant) -> Duration {
        let settled = self.unsettled.as_ref().map(|(_, _, since)| *since + SETTLED);
        let retry = self.failure.as_ref().map(|(_, _, retry)| *retry);
        // Changed files must settle first, whatever else is due.
        let next = settled.or(retry).or(self.again);
        next.map_or(LONGEST_REST, |next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(number: usize) -> Vec<Stamp> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let stamp = |length| {
            std::fs::write(&file, vec![b'x'; length]).unwrap();
            Stamp::of(std::slice::from_ref(&file))
        };
        (0..number).map(stamp).collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn changed_files_are_asked_for_once_they_rest_or_after_a_while() {
        let [known, half, whole] = &stamps(3)[..] else { unreachable!("three were asked for") };
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin);
        assert!(!schedule.should_ask(known, known, begin));
        assert_eq!(schedule.next(begin), LONGEST_REST);
        assert!(!schedule.should_ask(half, known, begin));
        assert_eq!(schedule.next(begin), SETTLED);
        // What is due meanwhile is not asked for either, and so no reason to look at once, again and again.
        schedule.again = Some(begin);
        assert_eq!(schedule.next(begin), SETTLED);
        schedule.again = None;
        assert!(!schedule.should_ask(whole, known, begin + SETTLED - MS));
        assert!(!schedule.should_ask(whole, known, begin + SETTLED));
        assert!(schedule.should_ask(whole, known, begin + 2 * SETTLED));
        // Back as it was before anybody looked closer.
        assert!(!schedule.should_ask(half, known, begin));
        assert!(!schedule.should_ask(known, known, begin + SETTLED));
        assert_eq!(schedule.next(begin), LONGEST_REST);
        // It never rests.
        let mut schedule = Schedule::new(begin);
        let steps = (0..).take_while(|step| {
            let stamp = if step % 2 == 0 { half } else { whole };
            !schedule.should_ask(stamp, known, begin + *step * SETTLED / 2)
        });
        assert_eq!(steps.count() as u128, LONGEST_UNSETTLED.as_millis() / (SETTLED / 2).as_millis());
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later_or_when_the_files_change() {
        let [known, bad, good] = &stamps(3)[..] else { unreachable!("three were asked for") };
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.again = Some(now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = schedule.failed(bad.clone(), now);
            waits.push(wait.as_secs());
            assert_eq!(schedule.next(now), wait);
            assert!(!schedule.should_ask(bad, known, now + wait - MS));
            now += wait;
            assert!(schedule.should_ask(bad, known, now));
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
        schedule.failed(bad.clone(), now);
        assert!(!schedule.should_ask(good, known, now));
        assert!(schedule.should_ask(good, known, now + SETTLED));
        schedule.succeeded(now);
        assert!(!schedule.should_ask(good, good, now + LAST_RETRY));
    }

    #[test]
    fn a_source_is_asked_when_it_wants_to_be() {
        let known = &stamps(1)[0];
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.again = Some(now + MS);
        assert_eq!(schedule.next(now), MS);
        assert!(!schedule.should_ask(known, known, now));
        assert!(schedule.should_ask(known, known, now + MS));
    }

    #[test]
    fn the_end_of_a_certificate_is_told_at_each_stage_and_daily() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin);
        let hour = Duration::from_secs(3600);
        for (expiry, after, told) in [
            (Expiry::Distant, hour, false),
            (Expiry::Distant, 2 * REMINDER, false),
            (Expiry::Due, 2 * REMINDER + hour, true),
            (Expiry::Due, 2 * REMINDER + 2 * hour, false),
            (Expiry::Due, 3 * REMINDER + hour, true),
            (Expiry::Imminent, 3 * REMINDER + 2 * hour, true),
            (Expiry::Expired, 3 * REMINDER + 3 * hour, true),
            (Expiry::Expired, 3 * REMINDER + 4 * hour, false),
            (Expiry::Distant, 3 * REMINDER + 5 * hour, false),
            (Expiry::Due, 3 * REMINDER + 6 * hour, true),
        ] {
            assert_eq!(schedule.should_tell(expiry, begin + after), told, "{expiry:?} {after:?}");
        }
    }
}

//! Estimates how long a worker's turns take, from recent ones. Times are parameters. Each worker has its own estimate.

use std::time::Duration;

/// An average over turns, updated from one watch to the next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    resumed: Option<Duration>,
    turns: u32,
    average: Duration,
}

impl Pace {
    /// Notes that a watch has ended.
    pub(crate) fn resume(&mut self, now: Duration) {
        self.resumed = Some(now);
        self.turns = 0;
    }

    /// Notes a turn.
    #[inline]
    pub(crate) fn turn(&mut self) {
        self.turns += 1;
    }

    /// Notes that the next watch begins.
    pub(crate) fn rest(&mut self, now: Duration) {
        if let (Some(resumed), 1..) = (self.resumed, self.turns) {
            self.average = (self.average * 3 + now.saturating_sub(resumed) / self.turns) / 4;
        }
    }

    /// How long this many turns will probably take.
    pub(crate) fn time_for(&self, turns: usize) -> Duration {
        self.average * turns.min(1_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_take_follows_the_last_ones_slowly() {
        let mut pace = Pace::default();
        pace.rest(Duration::from_secs(9));
        assert_eq!(pace.time_for(5), Duration::ZERO, "nothing is known yet");
        let mut now = Duration::from_secs(10);
        let mut go = |pace: &mut Pace, turns: u32, each: u64| {
            pace.resume(now);
            (0..turns).for_each(|_| pace.turn());
            now += Duration::from_micros(each) * turns;
            pace.rest(now);
        };
        go(&mut pace, 4, 400);
        assert_eq!(pace.time_for(1), Duration::from_micros(100));
        go(&mut pace, 0, 0);
        assert_eq!(pace.time_for(1), Duration::from_micros(100), "a watch without a turn says nothing");
        (0..30).for_each(|_| go(&mut pace, 2, 400));
        let expected = Duration::from_micros(399)..=Duration::from_micros(400);
        assert!(expected.contains(&pace.time_for(1)), "{pace:?}");
        assert_eq!(pace.time_for(usize::MAX), pace.time_for(1_000));
    }
}

//! Chooses the connection that is closed to make room for a new one. A search goes over all parked connections, and its result
//! serves many calls. Knows keys and the rank of connections ([`Idle`]). The places call it.

use super::clock::Millis;
use super::turn::Idle;

/// How many candidates one search keeps.
const CANDIDATES: usize = 64;
/// How long a search that found nothing is not repeated. Otherwise a flood of connections would keep the poller locked.
const BARREN: Millis = 20;

/// The best candidates of the last search.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The rank and key of each. The first to be closed is last.
    kept: Vec<(Idle, usize)>,
    /// No search is made before this time, because the last one found nothing.
    barren_until: Millis,
}

impl Candidates {
    /// The key of the parked connection that should be closed first, among keys below `keys`. `parked` returns the rank of a
    /// parked connection, and `None` for others. A search looks at every connection and keeps the best candidates. Candidates
    /// that have not changed since stay valid, so one search serves many calls.
    pub(crate) fn next(
        &mut self,
        now: Millis,
        stalled_after: Millis,
        keys: usize,
        parked: impl Fn(usize) -> Option<Idle>,
    ) -> Option<usize> {
        if now < self.barren_until {
            return None;
        }
        for _ in 0..2 {
            while let Some((idle, key)) = self.kept.pop() {
                if parked(key) == Some(idle) {
                    return Some(key);
                }
            }
            // The best candidates so far, the best one last. Sorting all connections would need more memory and more code.
            let mut first: Vec<((u8, u64), usize)> = Vec::with_capacity(CANDIDATES + 1);
            for (key, idle) in (0..keys).filter_map(|key| Some((key, parked(key)?))) {
                let Some(rank) = idle.rank(now, stalled_after) else { continue };
                let is_worse = first.first().is_some_and(|worst| (rank, key) > *worst);
                if first.len() == CANDIDATES && is_worse {
                    continue;
                }
                let at = first.partition_point(|other| *other > (rank, key));
                first.insert(at, (rank, key));
                if first.len() > CANDIDATES {
                    first.remove(0);
                }
            }
            if first.is_empty() {
                self.barren_until = now + BARREN;
                return None;
            }
            self.kept = first.into_iter().filter_map(|(_, key)| Some((parked(key)?, key))).collect();
        }
        None
    }

    /// Whether the next call makes a search.
    #[cfg(test)]
    pub(crate) fn is_spent(&self, now: Millis) -> bool {
        self.kept.is_empty() && now >= self.barren_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes out all candidates, in order.
    fn drain(candidates: &mut Candidates, parked: &mut [Option<Idle>], now: Millis) -> Vec<usize> {
        let mut taken = Vec::new();
        while let Some(key) = candidates.next(now, 10, parked.len(), |key| parked[key]) {
            parked[key] = None;
            taken.push(key);
        }
        taken
    }

    #[test]
    fn one_search_serves_many_calls_and_the_next_search_finds_the_rest() {
        // The later half has been idle for longer, and has more than one search keeps.
        let count = 3 * CANDIDATES;
        let mut parked: Vec<_> = (0..count).map(|key| Some(Idle::Since((count - key) as Millis))).collect();
        parked[count - 2] = Some(Idle::No);
        let taken = drain(&mut Candidates::default(), &mut parked, 1_000);
        let expected: Vec<usize> = (0..count).rev().filter(|&key| key != count - 2).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_candidate_that_has_moved_since_the_search_is_passed_over() {
        let mut candidates = Candidates::default();
        let mut parked = [1, 2, 3, 4].map(|since| Some(Idle::Since(since)));
        assert_eq!(candidates.next(100, 10, 4, |key| parked[key]), Some(0));
        parked[0] = None;
        // The connection was served and is parked again.
        parked[1] = Some(Idle::Since(90));
        assert_eq!(drain(&mut candidates, &mut parked, 100), [2, 3, 1]);
    }

    #[test]
    fn a_search_that_found_none_is_not_repeated_for_a_while() {
        let mut candidates = Candidates::default();
        let mut parked = [Some(Idle::Head(0))];
        assert!(drain(&mut candidates, &mut parked, 5).is_empty(), "the head has not stalled yet");
        assert!(drain(&mut candidates, &mut parked, 5 + BARREN - 1).is_empty());
        assert_eq!(drain(&mut candidates, &mut parked, 5 + BARREN), [0]);
    }
}

//! Finds the next deadline of all connections: a heap with at most one entry per connection. Moving a deadline later costs
//! nothing: its entry is checked again when it comes up, or when it is the first and much too early. Knows only times and keys.

/// Not in the heap.
const ABSENT: u32 = u32::MAX;
/// How many milliseconds an entry may be too early and still wake the watcher. A kept connection whose deadline moves with each
/// request is moved in the heap at most once in such a time.
const EARLY: u64 = 1000;
/// How many entries are moved at a time, because others wait meanwhile.
const MOVED: usize = 1024;

/// A binary heap, earliest first, that knows each key's position.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(u64, u32)>,
    positions: Vec<u32>,
}

impl Timers {
    /// Ensures that `key` comes up at `at` or earlier. Returns true if it has just become the first of all.
    pub(crate) fn no_later_than(&mut self, key: usize, at: u64) -> bool {
        if self.positions.len() <= key {
            self.positions.resize(key + 1, ABSENT);
        }
        let first_before;
        match self.positions[key] {
            ABSENT => {
                first_before = self.first();
                self.heap.push((at, key as u32));
                self.positions[key] = self.heap.len() as u32 - 1;
                self.rise(self.heap.len() - 1);
            }
            position if self.heap[position as usize].0 > at => {
                first_before = self.first();
                self.heap[position as usize].0 = at;
                self.rise(position as usize);
            }
            _ => return false,
        }
        first_before.map_or(true, |(first, _)| at < first)
    }

    /// The earliest entry.
    pub(crate) fn first(&self) -> Option<(u64, usize)> {
        self.heap.first().map(|&(at, key)| (at, key as usize))
    }

    /// The time of the earliest entry, after those that are much too early have been moved. `deadline` tells until when a key
    /// waits now, if it does. Thousands of idle connections would else wake the watcher one by one, for nothing.
    pub(crate) fn first_needed(&mut self, deadline: impl Fn(usize) -> Option<u64>) -> Option<u64> {
        let mut left = MOVED;
        while let Some((at, key)) = self.first() {
            match deadline(key) {
                Some(later) if later.saturating_sub(at) >= EARLY && left > 0 => self.heap[0].0 = later,
                _ => return Some(at),
            }
            self.sink(0);
            left -= 1;
        }
        None
    }

    pub(crate) fn remove(&mut self, key: usize) {
        let Some(&position) = self.positions.get(key).filter(|&&position| position != ABSENT) else {
            return;
        };
        let position = position as usize;
        self.positions[key] = ABSENT;
        let last = self.heap.len() - 1;
        self.heap.swap(position, last);
        self.heap.pop();
        if position < self.heap.len() {
            self.positions[self.heap[position].1 as usize] = position as u32;
            self.rise(position);
            self.sink(position);
        }
    }

    fn rise(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.heap[parent].0 <= self.heap[position].0 {
                break;
            }
            self.swap(parent, position);
            position = parent;
        }
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            let Some(&(left_at, _)) = self.heap.get(left) else {
                break;
            };
            let right_at = self.heap.get(left + 1).map_or(u64::MAX, |&(at, _)| at);
            let (child, child_at) = if right_at < left_at { (left + 1, right_at) } else { (left, left_at) };
            if self.heap[position].0 <= child_at {
                break;
            }
            self.swap(position, child);
            position = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.positions[self.heap[one].1 as usize] = one as u32;
        self.positions[self.heap[other].1 as usize] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_leaves_the_entry_and_an_earlier_one_moves_it() {
        let mut timers = Timers::default();
        assert!(timers.no_later_than(7, 100));
        assert!(!timers.no_later_than(7, 200));
        assert_eq!(timers.first(), Some((100, 7)));
        assert!(timers.no_later_than(3, 50));
        assert!(timers.no_later_than(7, 40));
        assert_eq!(timers.first(), Some((40, 7)));
        timers.remove(7);
        timers.remove(7);
        assert_eq!(timers.first(), Some((50, 3)));
        timers.remove(3);
        assert_eq!(timers.first(), None);
    }

    #[test]
    fn entries_that_are_much_too_early_are_moved_before_anybody_waits_for_them() {
        let mut timers = Timers::default();
        for key in 0..3 * MOVED {
            timers.no_later_than(key, key as u64);
        }
        // All of them wait for long, and some thousand are moved at a time.
        let far = 10 * EARLY;
        assert_eq!(timers.first_needed(|_| Some(far)), Some(MOVED as u64));
        assert_eq!(timers.first_needed(|_| Some(far)), Some(2 * MOVED as u64));
        assert_eq!(timers.first_needed(|_| Some(far)), Some(far));
        // What is only a little too early stays, and so does what does not wait at all.
        assert_eq!(timers.first_needed(|_| Some(far + EARLY - 1)), Some(far));
        assert_eq!(timers.first_needed(|_| None), Some(far));
        for _ in 0..3 {
            assert_eq!(timers.first_needed(|key| Some(far + EARLY * key as u64)), Some(far));
        }
        assert_eq!(timers.first().map(|(_, key)| key), Some(0));
        (0..3 * MOVED).for_each(|key| timers.remove(key));
        assert_eq!(timers.first_needed(|_| Some(far)), None);
        // Some wait without an end.
        timers.no_later_than(0, u64::MAX);
        assert_eq!(timers.first_needed(|_| Some(u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn it_agrees_with_a_sorted_list_through_thousands_of_changes() {
        let mut timers = Timers::default();
        let mut model = std::collections::BTreeMap::new();
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, at) = ((seed >> 33) as usize % 64, (seed >> 40) % 1000);
            if seed >> 62 == 0 {
                timers.remove(key);
                model.remove(&key);
            } else {
                timers.no_later_than(key, at);
                let entry = model.entry(key).or_insert(at);
                *entry = at.min(*entry);
            }
            assert_eq!(timers.first().map(|(at, _)| at), model.values().min().copied());
            assert_eq!(timers.heap.len(), model.len());
        }
    }
}

//! Finds the next deadline of all connections: a heap with at most one entry per connection. Moving a deadline later costs
//! nothing: its entry is checked again when it comes up. Knows only times and keys.

/// Not in the heap.
const ABSENT: u32 = u32::MAX;

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
        let first_before = self.first();
        match self.positions[key] {
            ABSENT => {
                self.heap.push((at, key as u32));
                self.positions[key] = self.heap.len() as u32 - 1;
                self.rise(self.heap.len() - 1);
            }
            position if self.heap[position as usize].0 > at => {
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

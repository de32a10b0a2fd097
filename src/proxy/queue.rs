//! Who waits for a target, in the order of arrival. A value that knows no request: it holds what wakes each. `balancer` has it.

use std::collections::BTreeMap;

/// The waiting requests, by the number of their arrival.
#[derive(Debug)]
pub(super) struct Queue<W> {
    waiting: BTreeMap<u64, W>,
    arrived: u64,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Queue<W> {
        Queue { waiting: BTreeMap::new(), arrived: 0 }
    }

    /// The number of a request that arrives now. It keeps the number when it has to wait again, and with it its place.
    pub(super) fn arrive(&mut self) -> u64 {
        self.arrived += 1;
        self.arrived
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody who waits has arrived before.
    pub(super) fn is_first(&self, number: u64) -> bool {
        self.waiting.keys().next().map_or(true, |first| *first >= number)
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.waiting.contains_key(&number)
    }

    pub(super) fn put(&mut self, number: u64, waker: W) {
        self.waiting.insert(number, waker);
    }

    /// Takes a request out: it goes on, or its client has left. Returns whether it was the first.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let was_first = self.is_first(number);
        self.waiting.remove(&number).is_some() && was_first
    }

    pub(super) fn first(&self) -> Option<&W> {
        self.waiting.values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_on_in_the_order_of_their_arrival_and_who_leaves_holds_nobody_up() {
        let mut queue = Queue::new();
        let numbers: Vec<u64> = (0..5).map(|_| queue.arrive()).collect();
        assert!(queue.is_first(numbers[4]), "nobody waits");
        // In any order: a request that is tried again waits with its old number.
        for at in [1, 3, 2, 0, 4] {
            queue.put(numbers[at], at);
        }
        assert!(!queue.remove(numbers[2]), "it was not the first");
        for at in [0, 1, 3, 4] {
            assert_eq!(queue.first(), Some(&at));
            assert!(queue.is_first(numbers[at]) && queue.remove(numbers[at]));
            assert!(!queue.remove(numbers[at]), "it is gone");
        }
        assert_eq!((queue.len(), queue.first()), (0, None));
    }
}

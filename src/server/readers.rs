//! The places for readers of streamed responses. A reader may block for as long as it likes, so only so many workers may be
//! inside one at a time; the others stay for requests. Knows keys of connections and counts, nothing else.

/// How many places are taken, and which connections wait for one.
#[derive(Debug)]
pub(crate) struct Readers {
    most: usize,
    taken: usize,
    /// Places of readers whose clients are gone. So many do not count against the others.
    abandoned: usize,
    /// Connections in the middle of a response, the first to wait first.
    waiting: Vec<usize>,
}

impl Readers {
    pub(crate) fn new(most: usize) -> Readers {
        Readers { most, taken: 0, abandoned: 0, waiting: Vec::new() }
    }

    /// How many workers are inside readers whose clients are gone; at most as many as there are places.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned
    }

    fn has_room(&self) -> bool {
        self.taken - self.abandoned < self.most
    }

    /// Takes a place, unless all are taken or somebody waits for one.
    #[must_use]
    pub(crate) fn take(&mut self) -> bool {
        let takes = self.waiting.is_empty() && self.has_room();
        self.taken += usize::from(takes);
        takes
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self) {
        self.taken -= 1;
    }

    /// The client of a reader that has a place is gone. False when there are too many of them already.
    #[must_use]
    pub(crate) fn abandon(&mut self) -> bool {
        let counts = self.abandoned < self.most;
        self.abandoned += usize::from(counts);
        counts
    }

    /// A reader whose client is gone has returned, and gives its place back.
    pub(crate) fn give_back_abandoned(&mut self) {
        self.abandoned -= 1;
        self.taken -= 1;
    }

    /// This connection waits for a place.
    pub(crate) fn wait(&mut self, key: usize) {
        self.waiting.push(key);
    }

    /// This connection no longer waits.
    pub(crate) fn forget(&mut self, key: usize) {
        self.waiting.retain(|&waiting| waiting != key);
    }

    /// The next connection that gets a place, which is taken for it.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if !self.has_room() {
            return None;
        }
        if self.waiting.is_empty() {
            return None;
        }
        self.taken += 1;
        Some(self.waiting.remove(0))
    }

    /// How many places are taken, how many of them are of readers whose clients are gone, and how many wait.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.taken, self.abandoned, self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_to_who_has_waited_longest_before_it_goes_to_a_newcomer() {
        let mut readers = Readers::new(2);
        assert!(readers.take() && readers.take() && !readers.take());
        readers.wait(7);
        readers.wait(8);
        assert_eq!(readers.next(), None);
        readers.give_back();
        assert!(!readers.take(), "7 and 8 have come before");
        assert_eq!((readers.next(), readers.next()), (Some(7), None));
        readers.forget(8);
        readers.give_back();
        assert_eq!(readers.next(), None);
        assert!(readers.take() && !readers.take());
    }

    #[test]
    fn a_reader_without_its_client_takes_no_place_from_the_others_up_to_a_bound() {
        let mut readers = Readers::new(2);
        assert!(readers.take() && readers.take());
        assert!(readers.abandon() && readers.take());
        assert!(readers.abandon() && readers.take() && !readers.take());
        assert!(!readers.abandon(), "as many extra ones as there are places, and no more");
        readers.give_back_abandoned();
        assert_eq!(readers.abandoned(), 1);
        assert!(!readers.take(), "two with clients are inside");
        readers.give_back();
        assert!(readers.take());
    }
}

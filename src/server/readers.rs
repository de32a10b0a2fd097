//! The places for readers of streamed responses. A reader may block for any time, so the number of workers inside readers is
//! limited; the others remain for requests. Knows only keys of connections and counts.

/// Counts the taken places, and lists the connections that wait for one.
#[derive(Debug)]
pub(crate) struct Readers {
    most: usize,
    taken: usize,
    /// Readers whose clients are gone. They do not count as taken places.
    abandoned: usize,
    /// Waiting connections in the middle of a response, the longest-waiting first.
    waiting: Vec<usize>,
}

impl Readers {
    pub(crate) fn new(most: usize) -> Readers {
        Readers { most, taken: 0, abandoned: 0, waiting: Vec::new() }
    }

    /// How many workers are inside readers whose clients are gone: at most as many as there are places.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned
    }

    fn has_room(&self) -> bool {
        self.taken - self.abandoned < self.most
    }

    /// Takes a place, unless all are taken or another connection waits for one.
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

    /// Notes that the client of a reader with a place is gone. Returns false when there are too many of these already.
    #[must_use]
    pub(crate) fn abandon(&mut self) -> bool {
        let counts = self.abandoned < self.most;
        self.abandoned += usize::from(counts);
        counts
    }

    /// Notes that a reader whose client is gone has returned.
    pub(crate) fn give_back_abandoned(&mut self) {
        self.abandoned -= 1;
        self.taken -= 1;
    }

    /// Adds a connection that waits for a place.
    pub(crate) fn wait(&mut self, key: usize) {
        self.waiting.push(key);
    }

    /// Removes a connection that no longer waits.
    pub(crate) fn forget(&mut self, key: usize) {
        self.waiting.retain(|&waiting| waiting != key);
    }

    /// Takes a place for the next waiting connection, and returns its key.
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

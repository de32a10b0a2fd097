//! The newest events of a feed, in their order. Subscribers that are behind, and those that come back, read from it: each has
//! only a number that says how far it is, so an event is kept once for all of them, and a slow subscriber holds no memory. Knows
//! events and numbers. `feed` adds events, and `subscription` reads them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Published;

/// What an event takes beside its bytes, in bytes.
const OVERHEAD: usize = 128;

/// Which events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// The newest.
    All,
    /// The newest of each name.
    Latest,
}

#[derive(Debug)]
pub(super) struct Backlog {
    keeps: Keeps,
    most_events: usize,
    most_bytes: usize,
    /// Sorted by their numbers.
    events: VecDeque<(u64, Arc<Published>)>,
    bytes: usize,
    next: u64,
    /// Every event before this number has gone.
    gone: u64,
}

/// What is at a place of the backlog.
#[derive(Debug)]
pub(super) enum At<'b> {
    /// The first event from there on, with its number.
    Event(u64, &'b Arc<Published>),
    /// No event yet.
    End,
    /// An event that has gone.
    Gone,
}

impl Backlog {
    pub(super) fn new(keeps: Keeps, most_events: usize, most_bytes: usize) -> Backlog {
        Backlog { keeps, most_events, most_bytes, events: VecDeque::new(), bytes: 0, next: 0, gone: 0 }
    }

    /// Whether an event of this length is kept at all.
    pub(super) fn has_room_for(&self, length: usize) -> bool {
        length.saturating_add(OVERHEAD) <= self.most_bytes
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds the next event. Others go when there are too many.
    pub(super) fn push(&mut self, event: Published) {
        if self.keeps == Keeps::Latest {
            // The newest stand at the back, and few names are usual.
            if let Some(at) = self.events.iter().rposition(|(_, older)| event.replaces(older)) {
                if let Some((_, older)) = self.events.remove(at) {
                    self.bytes -= cost(&older);
                }
            }
        }
        self.bytes += cost(&event);
        self.events.push_back((self.next, Arc::new(event)));
        self.next += 1;
        while self.events.len() > self.most_events || self.bytes > self.most_bytes {
            let Some((number, oldest)) = self.events.pop_front() else { break };
            self.bytes -= cost(&oldest);
            self.gone = number + 1;
        }
    }

    /// What is at this number.
    pub(super) fn at(&self, number: u64) -> At<'_> {
        if number < self.gone && self.keeps == Keeps::All {
            return At::Gone;
        }
        // Most subscribers are at the end or one event before it.
        let from = match self.events.back() {
            Some((last, _)) if *last < number => self.events.len(),
            Some((last, _)) if *last == number => self.events.len() - 1,
            _ => self.events.partition_point(|(at, _)| *at < number),
        };
        match self.events.get(from) {
            Some((at, event)) => At::Event(*at, event),
            None => At::End,
        }
    }

    /// The number of the oldest event that is kept.
    pub(super) fn oldest(&self) -> u64 {
        self.events.front().map_or(self.next, |(number, _)| *number)
    }

    /// The number behind the event with this id of its own.
    pub(super) fn behind(&self, id: &str) -> Option<u64> {
        self.events.iter().rev().find(|(_, event)| event.id() == id).map(|(number, _)| number + 1)
    }
}

fn cost(event: &Published) -> usize {
    event.bytes().len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    fn event(name: &str, data: &str) -> Published {
        let mut event = Event::new(data).name(name).encode().unwrap();
        event.finish(|| format!("id-{}", &data[..data.len().min(2)]));
        event
    }

    /// What a subscriber at this number gets, and whether it misses something.
    fn read(backlog: &Backlog, mut number: u64) -> (Vec<String>, bool) {
        let mut read = Vec::new();
        loop {
            match backlog.at(number) {
                At::Event(at, event) => {
                    read.push(event.data().into_owned());
                    number = at + 1;
                }
                At::End => return (read, false),
                At::Gone => return (read, true),
            }
        }
    }

    #[test]
    fn a_subscriber_reads_on_from_where_it_is_as_long_as_that_is_kept() {
        let mut backlog = Backlog::new(Keeps::All, 3, 10_000);
        assert_eq!((backlog.oldest(), read(&backlog, 0)), (0, (vec![], false)));
        for data in ["0", "1", "2", "3"] {
            backlog.push(event("n", data));
        }
        assert_eq!(read(&backlog, 0), (vec![], true));
        assert_eq!(read(&backlog, 1), (vec!["1".into(), "2".into(), "3".into()], false));
        assert_eq!(read(&backlog, 3), (vec!["3".into()], false));
        assert_eq!(read(&backlog, 4), (vec![], false));
        assert_eq!((backlog.oldest(), backlog.next()), (1, 4));
        assert_eq!((backlog.behind("id-2"), backlog.behind("id-0")), (Some(3), None));
    }

    #[test]
    fn bytes_are_bounded_as_events_are() {
        let mut backlog = Backlog::new(Keeps::All, 1_000, 10_000);
        assert!(backlog.has_room_for(10_000 - OVERHEAD) && !backlog.has_room_for(10_000 - OVERHEAD + 1));
        for _ in 0..100 {
            backlog.push(event("n", &"x".repeat(1_000)));
            assert!(backlog.bytes <= 10_000);
            assert_eq!(backlog.bytes, backlog.events.iter().map(|(_, event)| cost(event)).sum::<usize>());
        }
        assert_eq!(backlog.oldest(), 100 - 8);
    }

    #[test]
    fn the_newest_of_each_name_is_kept_and_nobody_who_is_behind_misses_it() {
        let mut backlog = Backlog::new(Keeps::Latest, 3, 10_000);
        for (name, data) in [("a", "a0"), ("b", "b1"), ("a", "a2"), ("a", "a3"), ("c", "c4"), ("b", "b5")] {
            backlog.push(event(name, data));
            assert_eq!(backlog.bytes, backlog.events.iter().map(|(_, event)| cost(event)).sum::<usize>());
        }
        let all = vec!["a3".to_string(), "c4".into(), "b5".into()];
        assert_eq!(read(&backlog, 0), (all.clone(), false));
        assert_eq!(read(&backlog, 2), (all.clone(), false));
        assert_eq!(read(&backlog, 4), (all[1..].to_vec(), false));
        // A further name takes the place of the oldest.
        backlog.push(event("d", "d6"));
        assert_eq!(read(&backlog, 0), (vec!["c4".into(), "b5".into(), "d6".into()], false));
    }
}

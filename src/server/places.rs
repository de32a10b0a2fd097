//! The data under the poller's lock: where each connection is, its deadline, and which connections are ready. It only handles
//! keys, times and signals: it opens no descriptor, never waits and reads no clock. The poller and the workers call it.

use std::collections::VecDeque;
use std::thread::Thread;

use super::clock::Millis;
use super::making_room::Candidates;
use super::permits::Permits;
use super::readers::Readers;
use super::timers::Timers;
use super::turn::{Idle, Outcome, Parking, Ready, Reason, Signals};

/// The expected number of ready connections at a time.
pub(crate) const BATCH: usize = 64;

/// What a poller holds. It stores the key that it is given.
pub(crate) trait Parked {
    fn key(&self) -> usize;
    fn set_key(&mut self, key: usize);
}

/// Whether a response's reader may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Entered,
    /// The most workers allowed are inside readers.
    Full,
    /// The client is gone, so nobody needs the reader's data.
    Gone,
}

/// Where a connection is.
enum Place<C> {
    Free,
    /// With a worker, or in a queue for one.
    Away,
    Parked(C),
    /// With a worker whose handler waits for more of the request's body.
    Awaited(Thread),
    /// With a worker that is inside its response's reader.
    InReader,
    /// As `InReader`, but the client is gone: the worker counts as an extra one until the reader returns.
    InAbandonedReader,
    /// In the middle of a response whose reader may be called when another one has returned.
    AwaitsReader(C),
}

struct Slot<C> {
    place: Place<C>,
    signals: Signals,
    /// Whether the client is gone. This never changes back.
    gone: bool,
    /// Whether it has a reader's place.
    has_reader_place: bool,
    /// The number of the watch that was under way, or was the last, when its connection came.
    came_in: u32,
    deadline: Millis,
    idle: Idle,
}

impl<C> Slot<C> {
    fn parked_until(&self) -> Option<Millis> {
        matches!(self.place, Place::Parked(_)).then_some(self.deadline)
    }
}

/// The data under the poller's lock. The permits are here too, because a worker is called exactly when there is work here for
/// it; this file does not use them otherwise.
pub(crate) struct Places<C> {
    slots: Vec<Slot<C>>,
    free: Vec<usize>,
    pub(crate) open: usize,
    timers: Timers,
    candidates: Candidates,
    pub(crate) ready: VecDeque<Ready<C>>,
    /// Whole requests, and responses whose reader may block, that wait for a free worker.
    pub(crate) queue: VecDeque<Ready<C>>,
    readers: Readers,
    pub(crate) watching: bool,
    /// The number of watches so far. It wraps around.
    pub(crate) watches: u32,
    /// When the watcher will wake by itself.
    watch_ends: Millis,
    pub(crate) phase: Phase,
    drain_began: Option<Millis>,
    pub(crate) permits: Permits,
}

/// The state of the poller as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Open,
    /// No connection is kept longer than it must be.
    Draining,
    /// The workers end.
    Stopped,
}

impl<C: Parked> Places<C> {
    /// Places with this many permits, and this many places for readers of responses.
    pub(crate) fn new(permits: usize, readers: usize) -> Places<C> {
        Places {
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            timers: Timers::default(),
            candidates: Candidates::default(),
            ready: VecDeque::with_capacity(BATCH),
            queue: VecDeque::new(),
            readers: Readers::new(readers),
            watching: false,
            watches: 0,
            watch_ends: Millis::MAX,
            phase: Phase::Open,
            drain_began: None,
            permits: Permits::new(permits),
        }
    }

    /// Tells of the connections in some places from this one on, `None` for one that is away. Returns where to go on.
    #[cfg(feature = "operations")]
    pub(crate) fn survey(&self, from: usize, tell: &mut dyn FnMut(Option<&C>)) -> Option<usize> {
        self.slots.iter().skip(from).take(BATCH).for_each(|slot| match &slot.place {
            Place::Free => {}
            Place::Parked(connection) | Place::AwaitsReader(connection) => tell(Some(connection)),
            _ => tell(None),
        });
        Some(from + BATCH).filter(|next| *next < self.slots.len())
    }

    /// Whether connections are ready while the watcher sleeps, so that it must be woken.
    pub(crate) fn is_overlooked(&self) -> bool {
        self.watching && (!self.ready.is_empty() || !self.queue.is_empty())
    }

    /// Whether a worker with a permit would find something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.watching || !self.ready.is_empty() || !self.queue.is_empty()
    }

    /// The next connection with work. Requests that have waited for a worker go first.
    pub(crate) fn take_ready(&mut self) -> Option<Ready<C>> {
        self.queue.pop_front().or_else(|| self.ready.pop_front())
    }

    /// Parks a new connection and returns its key. The watcher is not woken for its deadline: see
    /// [`unwatched_deadline`](Places::unwatched_deadline).
    pub(crate) fn admit(&mut self, mut connection: C, parking: Parking) -> usize {
        let key = self.take_slot();
        connection.set_key(key);
        let _sleeps_past_it = self.park(connection, parking);
        key
    }

    /// Returns a new connection that cannot be watched, unless it already has work.
    pub(crate) fn take_back(&mut self, key: usize) -> Option<C> {
        let connection = self.take_parked(key)?;
        self.release_slot(key);
        Some(connection)
    }

    /// Begins a watch. Returns the first deadline.
    pub(crate) fn begin_watch(&mut self) -> Option<Millis> {
        let slots = &self.slots;
        let next = self.timers.first_needed(|key| slots.get(key).and_then(Slot::parked_until));
        self.watch_ends = next.unwrap_or(Millis::MAX);
        self.watches = self.watches.wrapping_add(1);
        next
    }

    /// A deadline that came after the watch began, so that the watcher would sleep past it.
    pub(crate) fn unwatched_deadline(&self) -> Option<Millis> {
        let (at, _) = self.timers.first()?;
        (self.watching && at < self.watch_ends).then_some(at)
    }

    /// Parks a connection, or puts it into the ready queue if something has happened meanwhile. Returns true when the watcher
    /// must be woken, because it would sleep past the deadline.
    #[must_use]
    pub(crate) fn park(&mut self, connection: C, parking: Parking) -> bool {
        let key = connection.key();
        // Its turn began before the stop, so it does not know of the stop.
        let missed_the_drain = self.drain_began.is_some_and(|began| parking.now <= began);
        let Some(slot) = self.slots.get_mut(key) else {
            return false;
        };
        if slot.signals.any() || missed_the_drain {
            let mut signals = std::mem::take(&mut slot.signals);
            signals.readable |= missed_the_drain;
            // Later than its worker's clock at that turn, so that the next worker reads the clock again.
            let since = parking.now + 1;
            self.ready.push_back(Ready { connection, reason: Reason::Signals(signals), since });
            return false;
        }
        slot.deadline = parking.deadline;
        slot.idle = parking.idle;
        slot.place = Place::Parked(connection);
        // A connection that waits for its socket does not need a reader's place meanwhile.
        if std::mem::take(&mut slot.has_reader_place) {
            self.readers.give_back();
            self.admit_readers();
        }
        let first = self.timers.no_later_than(key, parking.deadline);
        first && self.watching && parking.deadline < self.watch_ends
    }

    /// Puts a connection to where its turn's outcome says. Returns true when the watcher must be woken. After a stop there is
    /// no place, so the connection goes to `dropped`.
    #[must_use]
    pub(crate) fn settle(&mut self, outcome: Outcome<C>, dropped: &mut Option<C>) -> bool {
        match outcome {
            Outcome::Park(connection, parking) if self.phase < Phase::Stopped => {
                return self.park(connection, parking);
            }
            Outcome::Queue(ready) if self.phase < Phase::Stopped => self.queue.push_back(ready),
            Outcome::Again(ready) if self.phase < Phase::Stopped => self.ready.push_back(ready),
            Outcome::AwaitReader(connection) if self.phase < Phase::Stopped => self.await_reader(connection),
            Outcome::Closed(key) => self.release_slot(key),
            Outcome::Park(connection, ..)
            | Outcome::AwaitReader(connection)
            | Outcome::Queue(Ready { connection, .. })
            | Outcome::Again(Ready { connection, .. }) => {
                self.release_slot(connection.key());
                *dropped = Some(connection);
            }
        }
        false
    }

    /// For a handler that waits for more of a request's body. Returns the signals of its connection if there are any or the
    /// wait `is_over`. Otherwise returns `None`, and `thread` is unparked when signals come.
    pub(crate) fn take_signals(&mut self, key: usize, thread: &Thread, is_over: bool) -> Option<Signals> {
        let Some(slot) = self.slots.get_mut(key) else { return Some(Signals::default()) };
        if slot.signals.any() || is_over {
            slot.place = Place::Away;
            return Some(std::mem::take(&mut slot.signals));
        }
        slot.place = Place::Awaited(thread.clone());
        None
    }

    /// Takes out the connection that should be closed first to make room, if there is one.
    pub(crate) fn make_room(&mut self, now: Millis, stalled_after: Millis) -> Option<C> {
        let slots = &self.slots;
        let parked = |key: usize| {
            let slot = slots.get(key)?;
            matches!(slot.place, Place::Parked(_)).then_some(slot.idle)
        };
        let key = self.candidates.next(now, stalled_after, slots.len(), parked)?;
        let connection = self.take_parked(key)?;
        self.release_slot(key);
        Some(connection)
    }

    /// Begins to drain: gives every parked connection a turn.
    pub(crate) fn drain(&mut self, now: Millis) {
        self.phase = Phase::Draining;
        self.drain_began = Some(now);
        for key in 0..self.slots.len() {
            if let Some(connection) = self.take_parked(key) {
                let reason = Reason::Signals(Signals::READABLE);
                self.ready.push_back(Ready { connection, reason, since: now });
            }
        }
    }

    /// Takes out every connection that no worker has. Also returns the threads of handlers that wait for a body; they will find
    /// its end.
    pub(crate) fn cut(&mut self) -> (Vec<C>, Vec<Thread>) {
        let mut awaited = Vec::new();
        let mut cut = Vec::new();
        self.phase = Phase::Stopped;
        for key in 0..self.slots.len() {
            let hung_up = Signals { hung_up: true, ..Signals::default() };
            match self.take_parked(key).or_else(|| self.take_waiting_reader(key)) {
                Some(connection) => cut.push(connection),
                None => self.signal(key, hung_up, 0, &mut awaited),
            }
        }
        // All are taken before any is released, because a released reader's place would put another connection into the queue.
        let queues = std::mem::take(&mut self.ready).into_iter().chain(std::mem::take(&mut self.queue));
        cut.extend(queues.map(|ready| ready.connection));
        cut.iter().for_each(|connection| self.release_slot(connection.key()));
        (cut, awaited)
    }

    /// Frees the key of a closed connection.
    pub(crate) fn release_slot(&mut self, key: usize) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let place = std::mem::replace(&mut slot.place, Place::Free);
        slot.signals = Signals::default();
        if std::mem::take(&mut slot.has_reader_place) {
            match place {
                Place::InAbandonedReader => self.readers.give_back_abandoned(),
                _ => self.readers.give_back(),
            }
            self.admit_readers();
        }
        self.timers.remove(key);
        self.free.push(key);
        self.open -= 1;
    }

    fn take_slot(&mut self) -> usize {
        self.open += 1;
        let slot = Slot {
            place: Place::Away,
            signals: Signals::default(),
            gone: false,
            has_reader_place: false,
            came_in: self.watches,
            deadline: 0,
            idle: Idle::No,
        };
        match self.free.pop() {
            Some(key) => {
                self.slots[key] = slot;
                key
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    fn take_parked(&mut self, key: usize) -> Option<C> {
        let slot = self.slots.get_mut(key)?;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::Parked(connection) => Some(connection),
            other => {
                slot.place = other;
                None
            }
        }
    }

    /// Notes an event. Threads of handlers that have waited for it go to `awaited`.
    pub(crate) fn signal(&mut self, key: usize, signals: Signals, now: Millis, awaited: &mut Vec<Thread>) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        // An event from the watch in which the connection came may belong to the connection that had its key before.
        slot.gone |= signals.gone && !matches!(slot.place, Place::Free) && slot.came_in != self.watches;
        match self.take_parked(key) {
            Some(connection) => {
                self.ready.push_back(Ready { connection, reason: Reason::Signals(signals), since: now });
            }
            None => self.signal_served(key, signals, now, awaited),
        }
    }

    /// Notes an event of a connection that is not parked.
    #[inline(never)]
    fn signal_served(&mut self, key: usize, signals: Signals, now: Millis, awaited: &mut Vec<Thread>) {
        let slot = &mut self.slots[key];
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::Away => slot.signals.add(signals),
            Place::Awaited(thread) => {
                slot.signals.add(signals);
                awaited.push(thread);
            }
            Place::InReader if signals.gone && self.readers.abandon() => {
                slot.place = Place::InAbandonedReader;
                self.admit_readers();
            }
            Place::AwaitsReader(connection) if signals.gone => {
                self.readers.forget(key);
                self.ready.push_back(Ready { connection, reason: Reason::Signals(signals), since: now });
            }
            // The event belongs to a connection that has gone.
            Place::Free => slot.place = Place::Free,
            other => {
                slot.signals.add(signals);
                slot.place = other;
            }
        }
    }

    /// Makes every connection whose deadline has passed ready.
    pub(crate) fn expire(&mut self, now: Millis) {
        while let Some((_, key)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.come_up(key, now);
        }
    }

    /// Handles a timer that has come up.
    #[inline(never)]
    fn come_up(&mut self, key: usize, now: Millis) {
        self.timers.remove(key);
        // Parking again brings the entry back.
        let Some(deadline) = self.slots.get(key).and_then(Slot::parked_until) else { return };
        if deadline > now {
            self.timers.no_later_than(key, deadline);
        } else if let Some(connection) = self.take_parked(key) {
            self.ready.push_back(Ready { connection, reason: Reason::Expired, since: now });
        }
    }

    /// Whether the client of this connection is known to be gone.
    pub(crate) fn is_gone(&self, key: usize) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.gone)
    }

    /// Whether a handler waits for the connection's signals.
    #[cfg(test)]
    pub(crate) fn is_awaited(&self, key: usize) -> bool {
        matches!(self.slots[key].place, Place::Awaited(_))
    }

    /// How many workers are inside readers whose clients are gone.
    pub(crate) fn abandoned_readers(&self) -> usize {
        self.readers.abandoned()
    }

    /// Takes a place for the reader of a response that is about to begin. Returns false when there is none.
    #[must_use]
    pub(crate) fn take_reader_place(&mut self, key: usize) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        slot.has_reader_place = slot.has_reader_place || self.readers.take();
        slot.has_reader_place
    }

    /// A worker is about to call the connection's reader.
    pub(crate) fn enter_reader(&mut self, key: usize) -> Entry {
        if self.is_gone(key) {
            return Entry::Gone;
        }
        if !self.take_reader_place(key) {
            return Entry::Full;
        }
        self.slots[key].place = Place::InReader;
        Entry::Entered
    }

    /// The reader has returned. Returns whether others that have waited for its place can go on.
    pub(crate) fn leave_reader(&mut self, key: usize) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        slot.has_reader_place = false;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::InAbandonedReader => self.readers.give_back_abandoned(),
            _ => self.readers.give_back(),
        }
        self.admit_readers()
    }

    /// Lets a connection wait until there is a place for its reader.
    pub(crate) fn await_reader(&mut self, connection: C) {
        let key = connection.key();
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.gone {
            // The signal has come since the place was requested, and does not come again.
            let reason = Reason::Signals(std::mem::take(&mut slot.signals));
            self.ready.push_back(Ready { connection, reason, since: 0 });
            return;
        }
        slot.place = Place::AwaitsReader(connection);
        self.readers.wait(key);
        // A place may have been given back since it was requested.
        self.admit_readers();
    }

    /// Lets waiting connections go on, as far as there are places.
    fn admit_readers(&mut self) -> bool {
        let mut admitted = false;
        while let Some(key) = self.readers.next() {
            match self.slots.get_mut(key).map(|slot| (std::mem::replace(&mut slot.place, Place::Away), slot))
            {
                Some((Place::AwaitsReader(connection), slot)) => {
                    slot.has_reader_place = true;
                    let reason = Reason::Signals(Signals::default());
                    self.queue.push_back(Ready { connection, reason, since: 0 });
                    admitted = true;
                }
                other => {
                    if let Some((place, slot)) = other {
                        slot.place = place;
                    }
                    self.readers.give_back();
                }
            }
        }
        admitted
    }

    fn take_waiting_reader(&mut self, key: usize) -> Option<C> {
        let slot = self.slots.get_mut(key)?;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::AwaitsReader(connection) => {
                self.readers.forget(key);
                Some(connection)
            }
            other => {
                slot.place = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod properties;

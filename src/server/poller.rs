//! Where a connection waits while there is no work for it, and the watch over all that wait. The poller knows which
//! connection is where, when its deadline is and which are ready. It is generic over what it holds ([`Parked`]) and knows no
//! connection. The workers take what is ready, the listener brings what is new. One lock guards all of it, and no system
//! call is made under that lock.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::clock::{whole_millis, Clock, Millis};
use super::permits::Permits;
use super::readers::Readers;
use super::timers::Timers;
use super::turn::{Idle, Parking, Ready, Reason, Signals};

/// How many ready connections one watch takes at most.
const BATCH: usize = 64;
/// How many candidates one search for connections that can make room keeps.
const CANDIDATES: usize = 64;
/// A search that found nobody who can make room is not repeated for so long, or a flood would keep the poller locked.
const BARREN: Millis = 20;
const WAKER: Token = Token(usize::MAX);

/// What a poller holds: something with a descriptor to watch, that keeps the key it is given.
pub(crate) trait Parked: AsRawFd {
    fn key(&self) -> usize;
    fn set_key(&mut self, key: usize);
}

/// What becomes of an attempt to ask a response's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Entered,
    /// As many workers as may be are inside readers.
    Full,
    /// The client is gone, so nobody needs what the reader has.
    Gone,
}

/// Where a connection is.
enum Place<C> {
    Free,
    /// With a worker, or in a queue to one.
    Away,
    Parked(C),
    /// With a worker that waits in a handler for more of the request's body.
    Awaited(Thread),
    /// With a worker that is inside the reader of its response.
    InReader,
    /// The same, and its client is gone: the worker counts as an extra one until the reader returns.
    InAbandonedReader,
    /// In the middle of a response, whose reader may be asked when another one has returned.
    AwaitsReader(C),
}

struct Slot<C> {
    place: Place<C>,
    signals: Signals,
    /// Whether the client is gone; once so, always so.
    gone: bool,
    /// Whether it has one of the places for readers.
    has_reader_place: bool,
    /// Which watch was the last, or was under way, when its connection came.
    came_in: u32,
    deadline: Millis,
    idle: Idle,
}

pub(crate) struct Poller<C> {
    start: Instant,
    poll: Mutex<Watch>,
    registry: Registry,
    waker: Waker,
    state: Mutex<State<C>>,
    pub(crate) changed: Condvar,
}

struct Watch {
    poll: Poll,
    events: Events,
}

/// What the lock guards. The permits stand here too, because a worker is called exactly when there is something in here
/// for it; what they mean is not known here.
pub(crate) struct State<C> {
    slots: Vec<Slot<C>>,
    free: Vec<usize>,
    pub(crate) open: usize,
    timers: Timers,
    candidates: Vec<(Idle, usize)>,
    pub(crate) ready: VecDeque<Ready<C>>,
    /// Whole requests, and responses whose reader may block, that no worker was free for.
    pub(crate) queue: VecDeque<Ready<C>>,
    readers: Readers,
    pub(crate) watching: bool,
    /// How many watches there have been, modulo what fits.
    pub(crate) watches: u32,
    /// When the watcher will look up by itself.
    watch_ends: Millis,
    pub(crate) phase: Phase,
    drain_began: Option<Millis>,
    /// Until then a search for connections that can make room need not be repeated: the last found none.
    barren_until: Millis,
    pub(crate) permits: Permits,
}

/// The life of the poller as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Open,
    /// No connection is kept longer than it must be.
    Draining,
    /// The workers end.
    Stopped,
}

impl<C: Parked> Poller<C> {
    /// A poller for so many permits, with so many places for readers of responses.
    pub(crate) fn new(permits: usize, readers: usize) -> io::Result<Poller<C>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let state = State {
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            timers: Timers::default(),
            candidates: Vec::new(),
            ready: VecDeque::with_capacity(BATCH),
            queue: VecDeque::new(),
            readers: Readers::new(readers),
            watching: false,
            watches: 0,
            watch_ends: Millis::MAX,
            phase: Phase::Open,
            drain_began: None,
            barren_until: 0,
            permits: Permits::new(permits),
        };
        Ok(Poller {
            start: Instant::now(),
            poll: Mutex::new(Watch { poll, events: Events::with_capacity(BATCH) }),
            registry,
            waker,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn millis(&self, at: Instant) -> Millis {
        whole_millis(at.saturating_duration_since(self.start))
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::since(self.start)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<C>> {
        // The state is consistent whenever the lock can be let go, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new connection in. Parks it first and listens for its events after, or one would come before the
    /// connection is there. Who takes connections in has to look at [`until_unwatched_deadline`](Poller::until_unwatched_deadline).
    pub(crate) fn admit(&self, mut connection: C, parking: Parking) -> io::Result<()> {
        let descriptor = connection.as_raw_fd();
        let key = {
            let mut state = self.lock();
            let key = state.take_slot();
            connection.set_key(key);
            let _sleeps_past_it = state.park(connection, parking);
            key
        };
        let listened = self.registry.register(&mut SourceFd(&descriptor), Token(key), Interest::READABLE);
        if listened.is_err() {
            let mut state = self.lock();
            if let Some(connection) = state.take_parked(key) {
                state.release_slot(key);
                drop(state);
                drop(connection);
            }
        }
        listened
    }

    /// How long it is until a deadline that the watcher would sleep past, because it began to watch before there was that
    /// deadline; wakes it when it is time. To wake it for each new connection would cost two system calls and a change of
    /// threads, and for nothing: the client's first bytes wake it, and then it sees all deadlines.
    pub(crate) fn until_unwatched_deadline(&self, now: Instant) -> Option<Duration> {
        let now = self.millis(now);
        let state = self.lock();
        let (at, _) = state.timers.first().filter(|&(at, _)| state.watching && at < state.watch_ends)?;
        drop(state);
        if at <= now {
            self.wake_watcher();
            return None;
        }
        Some(Duration::from_millis(at - now))
    }

    /// Also listens for room to write, from now on. What comes before the connection is parked is kept for it.
    pub(crate) fn listen_for_writable(&self, key: usize, descriptor: RawFd) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.reregister(&mut SourceFd(&descriptor), Token(key), interest)
    }

    /// Waits for connections to become ready, at most `limit`, and moves them to the ready queue. The caller has set
    /// `watching`; it is cleared here. The caller has looked at the clock; it is looked at again after the wait.
    pub(crate) fn watch<'l>(
        &'l self,
        mut state: MutexGuard<'l, State<C>>,
        clock: &mut Clock,
        limit: Option<Duration>,
    ) -> MutexGuard<'l, State<C>> {
        let now = clock.millis();
        let next = state.timers.first().map(|(at, _)| at);
        state.watch_ends = next.unwrap_or(Millis::MAX);
        state.watches = state.watches.wrapping_add(1);
        drop(state);
        // One more millisecond, so that the deadline has passed when the wait ends.
        let until_deadline = next.map(|at| Duration::from_millis(at.saturating_sub(now) + 1));
        let timeout = match (until_deadline, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let mut watch = self.poll.lock().unwrap_or_else(PoisonError::into_inner);
        let Watch { poll, events } = &mut *watch;
        if let Err(error) = poll.poll(events, timeout) {
            events.clear();
            if error.kind() != io::ErrorKind::Interrupted {
                log::error!("waiting for connections failed: {error}");
                // Not a busy loop, whatever the reason is.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        clock.look();
        let now = clock.millis();
        let mut awaited = Vec::new();
        let mut state = self.lock();
        state.watching = false;
        for event in events.iter().filter(|event| event.token() != WAKER) {
            let signals = Signals {
                readable: event.is_readable(),
                writable: event.is_writable(),
                hung_up: event.is_read_closed() || event.is_error(),
                // Both directions are closed, which a client's FIN alone does not do.
                gone: event.is_error() || event.is_write_closed(),
            };
            state.signal(event.token().0, signals, now, &mut awaited);
        }
        state.expire(now);
        drop(watch);
        if !awaited.is_empty() {
            drop(state);
            awaited.iter().for_each(Thread::unpark);
            state = self.lock();
        }
        state
    }

    pub(crate) fn wake_watcher(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("waking the watch failed: {error}");
        }
    }

    /// For a handler that waits for more of a request's body: blocks until its connection has signals, or `until`.
    pub(crate) fn await_signals(&self, key: usize, until: Instant) -> Signals {
        let mut state = self.lock();
        loop {
            let Some(slot) = state.slots.get_mut(key) else {
                return Signals::default();
            };
            let now = Instant::now();
            if slot.signals.any() || now >= until {
                slot.place = Place::Away;
                return std::mem::take(&mut slot.signals);
            }
            slot.place = Place::Awaited(std::thread::current());
            drop(state);
            std::thread::park_timeout(until - now);
            state = self.lock();
        }
    }

    /// Takes out a connection to make room for a new one: the one whose head has stalled for longest, else the longest-idle
    /// kept-alive one, else the one whose body comes, or whose response goes, the slowest, if that is less than the least
    /// rate. Never one that has only just come, nor one whose request a worker has.
    pub(crate) fn make_room(&self, stall_timeout: Duration) -> Option<C> {
        let now = self.millis(Instant::now());
        let mut state = self.lock();
        let key = state.least_worth(now, stall_timeout.as_millis() as Millis)?;
        let connection = state.take_parked(key)?;
        state.release_slot(key);
        Some(connection)
    }

    /// Begins to drain: connections that wait for a request are looked at once more, so that what has arrived is
    /// answered; they close by themselves when there is nothing.
    pub(crate) fn drain(&self, now: Millis) {
        let mut state = self.lock();
        state.phase = Phase::Draining;
        state.drain_began = Some(now);
        let keys = 0..state.slots.len();
        for key in keys {
            if let Some(connection) = state.take_parked(key) {
                let reason = Reason::Signals(Signals::READABLE);
                state.ready.push_back(Ready { connection, reason, since: now });
            }
        }
        drop(state);
        self.wake_watcher();
    }

    /// Waits until no connection is open, at most until `until`; the number still open then.
    pub(crate) fn wait_empty(&self, until: Instant) -> usize {
        let mut state = self.lock();
        while state.open > 0 {
            let now = Instant::now();
            if now >= until {
                break;
            }
            let waited = self.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.open
    }

    /// Takes out every connection that no worker has, and lets handlers that wait for a body find its end.
    pub(crate) fn cut(&self) -> impl Iterator<Item = C> {
        let mut awaited = Vec::new();
        let mut state = self.lock();
        state.phase = Phase::Stopped;
        for key in 0..state.slots.len() {
            let hung_up = Signals { hung_up: true, ..Signals::default() };
            let waiting = state.take_parked(key).or_else(|| state.take_waiting_reader(key));
            if let Some(connection) = waiting {
                let reason = Reason::Signals(Signals::default());
                state.ready.push_back(Ready { connection, reason, since: 0 });
            } else {
                state.signal(key, hung_up, 0, &mut awaited);
            }
        }
        // Nothing is given back before all are taken, or a place for a reader would put another into the queue.
        let dropped = state.take_queues();
        dropped.iter().for_each(|ready| state.release_slot(ready.connection.key()));
        drop(state);
        self.wake_watcher();
        awaited.iter().for_each(Thread::unpark);
        dropped.into_iter().map(|ready| ready.connection)
    }
}

impl<C: Parked> State<C> {
    /// Whether connections are ready that nobody looks at: who watches sleeps, and must be woken for them.
    pub(crate) fn is_overlooked(&self) -> bool {
        self.watching && (!self.ready.is_empty() || !self.queue.is_empty())
    }

    /// Whether a worker that has a permit would find something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.watching || !self.ready.is_empty() || !self.queue.is_empty()
    }

    /// The next connection with work for it. Requests that have waited for a worker go first.
    pub(crate) fn take_ready(&mut self) -> Option<Ready<C>> {
        self.queue.pop_front().or_else(|| self.ready.pop_front())
    }

    /// Parks a connection, or gives it straight back to the ready queue when something has happened meanwhile. True when
    /// the watcher must be woken, because it would sleep past the deadline.
    #[must_use]
    pub(crate) fn park(&mut self, connection: C, parking: Parking) -> bool {
        let key = connection.key();
        // Its turn began before the stop was wished for, so it has not acted on that.
        let missed_the_drain = self.drain_began.is_some_and(|began| parking.now <= began);
        let Some(slot) = self.slots.get_mut(key) else {
            return false;
        };
        if slot.signals.any() || missed_the_drain {
            let mut signals = std::mem::take(&mut slot.signals);
            signals.readable |= missed_the_drain;
            // Later than its worker's clock, which it has been looked at by: so that whoever takes it looks again.
            let since = parking.now + 1;
            self.ready.push_back(Ready { connection, reason: Reason::Signals(signals), since });
            return false;
        }
        slot.deadline = parking.deadline;
        slot.idle = parking.idle;
        slot.place = Place::Parked(connection);
        // A connection that waits for its socket needs no place meanwhile.
        if std::mem::take(&mut slot.has_reader_place) {
            self.readers.give_back();
            self.admit_readers();
        }
        let first = self.timers.no_later_than(key, parking.deadline);
        first && self.watching && parking.deadline < self.watch_ends
    }

    /// Gives a closed connection's place free.
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

    fn signal(&mut self, key: usize, signals: Signals, now: Millis, awaited: &mut Vec<Thread>) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        // An event of the watch in which the connection came may be of the one that had its key before.
        slot.gone |= signals.gone && !matches!(slot.place, Place::Free) && slot.came_in != self.watches;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::Parked(connection) => {
                self.ready.push_back(Ready { connection, reason: Reason::Signals(signals), since: now });
            }
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
            // An event of a connection that has gone since.
            Place::Free => slot.place = Place::Free,
            other @ (Place::InReader | Place::InAbandonedReader | Place::AwaitsReader(_)) => {
                slot.signals.add(signals);
                slot.place = other;
            }
        }
    }

    fn expire(&mut self, now: Millis) {
        while let Some((at, key)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.remove(key);
            let Some(slot) = self.slots.get(key) else { continue };
            if !matches!(slot.place, Place::Parked(_)) {
                // Parking again brings the entry back.
                continue;
            }
            if slot.deadline > now {
                self.timers.no_later_than(key, slot.deadline);
            } else if let Some(connection) = self.take_parked(key) {
                self.ready.push_back(Ready { connection, reason: Reason::Expired, since: now });
            }
        }
    }

    /// The key of the parked connection that makes room first. A search looks at every connection and keeps the first
    /// ones: whoever has not moved since is still among them, so a search serves many calls.
    fn least_worth(&mut self, now: Millis, stalled_after: Millis) -> Option<usize> {
        if now < self.barren_until {
            return None;
        }
        for _ in 0..2 {
            while let Some((idle, key)) = self.candidates.pop() {
                let slot = self.slots.get(key)?;
                if matches!(slot.place, Place::Parked(_)) && slot.idle == idle {
                    return Some(key);
                }
            }
            // The first ones so far, the first of all last. Sorting all of them costs more memory, and a larger program.
            let mut first: Vec<((u8, u64), usize)> = Vec::with_capacity(CANDIDATES + 1);
            let parked =
                self.slots.iter().enumerate().filter(|(_, slot)| matches!(slot.place, Place::Parked(_)));
            for (key, slot) in parked {
                let Some(rank) = slot.idle.rank(now, stalled_after) else { continue };
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
            let slots = &self.slots;
            self.candidates = first.into_iter().map(|(_, key)| (slots[key].idle, key)).collect();
        }
        None
    }

    /// Whether the client of this connection is known to be gone.
    pub(crate) fn is_gone(&self, key: usize) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.gone)
    }

    /// How many workers are inside readers whose clients are gone.
    pub(crate) fn abandoned_readers(&self) -> usize {
        self.readers.abandoned()
    }

    /// Takes a place for the reader of a response that is about to begin. False when there is none.
    #[must_use]
    pub(crate) fn take_reader_place(&mut self, key: usize) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        slot.has_reader_place = slot.has_reader_place || self.readers.take();
        slot.has_reader_place
    }

    /// A worker is about to ask the connection's reader for more.
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

    /// The reader has returned. Whether others go on that have waited for its place.
    pub(crate) fn leave_reader(&mut self, key: usize) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        slot.has_reader_place = false;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::InAbandonedReader => self.readers.give_back_abandoned(),
            _ => self.readers.give_back(),
        }
        self.admit_readers()
    }

    /// The connection goes on with its response when there is a place for its reader.
    pub(crate) fn await_reader(&mut self, connection: C) {
        let key = connection.key();
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.gone {
            // The signal has come since the place was asked for, and does not come again.
            let reason = Reason::Signals(std::mem::take(&mut slot.signals));
            self.ready.push_back(Ready { connection, reason, since: 0 });
            return;
        }
        slot.place = Place::AwaitsReader(connection);
        self.readers.wait(key);
        // A place may have been given back since it was asked for.
        self.admit_readers();
    }

    /// Lets those go on that wait for a place, as far as there are places.
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

    fn take_queues(&mut self) -> Vec<Ready<C>> {
        let queued = std::mem::take(&mut self.queue);
        std::mem::take(&mut self.ready).into_iter().chain(queued).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held;

    impl AsRawFd for Held {
        fn as_raw_fd(&self) -> RawFd {
            -1
        }
    }

    impl Parked for Held {
        fn key(&self) -> usize {
            0
        }

        fn set_key(&mut self, _: usize) {}
    }

    #[test]
    fn a_late_event_of_another_connection_says_nothing_of_the_one_that_has_its_key_now() {
        let poller = Poller::<Held>::new(1, 1).unwrap();
        let mut state = poller.lock();
        let gone = Signals { gone: true, hung_up: true, ..Signals::default() };
        let first = state.take_slot();
        state.watches += 1;
        state.signal(first, gone, 0, &mut Vec::new());
        assert!(state.is_gone(first));
        // The watch is under way still.
        state.release_slot(first);
        let second = state.take_slot();
        assert_eq!(second, first);
        state.signal(second, gone, 0, &mut Vec::new());
        assert!(!state.is_gone(second));
        state.watches += 1;
        state.signal(second, gone, 0, &mut Vec::new());
        assert!(state.is_gone(second));
    }
}

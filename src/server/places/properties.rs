//! The places against a simple model, through random sequences of all that the poller and the workers do with them. Each
//! round has a seed of its own, and a round that fails prints it.

use std::collections::BTreeMap;

use super::*;

const ROUNDS: u64 = 400;
const STEPS: usize = 400;
const READERS: usize = 2;
const STALLED_AFTER: Millis = 50;

#[test]
fn they_agree_with_a_simple_model_through_random_sequences() {
    for seed in 0..ROUNDS {
        let told = Told(seed);
        Round::new(seed).run();
        std::mem::forget(told);
    }
}

/// Prints the seed of a round that fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("the round with the seed {} has failed", self.0);
    }
}

/// What is held in place of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    id: usize,
    key: usize,
}

impl Parked for Held {
    fn key(&self) -> usize {
        self.key
    }

    fn set_key(&mut self, key: usize) {
        self.key = key;
    }
}

/// Where the model has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Parked,
    /// With a worker.
    Worker,
    /// In `ready` or `queue`.
    Queued,
    Awaited,
    Reader,
    AbandonedReader,
    AwaitsReader,
}

#[derive(Debug)]
struct Known {
    id: usize,
    at: At,
    signals: Signals,
    gone: bool,
    has_reader_place: bool,
    came_in: u32,
    deadline: Millis,
    idle: Idle,
}

/// An entry of `ready` or `queue`.
type Entered = (usize, Reason, Millis);

struct Round {
    seed: u64,
    now: Millis,
    places: Places<Held>,
    /// What workers have.
    held: Vec<Held>,
    /// Whether the watcher was woken since it began to watch.
    woken: bool,
    ids: usize,
    known: BTreeMap<usize, Known>,
    ready: Vec<Entered>,
    queue: Vec<Entered>,
    /// Keys in the order in which they wait for a reader's place.
    waiting: Vec<usize>,
}

fn entries(queue: &VecDeque<Ready<Held>>) -> Vec<Entered> {
    queue.iter().map(|ready| (ready.connection.id, ready.reason, ready.since)).collect()
}

impl Round {
    fn new(seed: u64) -> Round {
        Round {
            seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            now: 1_000,
            places: Places::new(1, READERS),
            held: Vec::new(),
            woken: false,
            ids: 0,
            known: BTreeMap::new(),
            ready: Vec::new(),
            queue: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % most
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
            self.compare();
        }
        self.end();
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=14 => self.admit(),
            15..=29 => self.signal(),
            30..=44 => self.take(),
            45..=64 => self.settle(),
            65..=72 => self.enter_reader(),
            73..=79 => self.leave_reader(),
            80..=84 => self.wait_for_signals(),
            85..=91 => self.pass_time(),
            92..=95 => self.begin_watch(),
            96..=98 => self.make_room(),
            _ if self.below(10) == 0 => self.drain(),
            _ => {}
        }
    }

    fn parking(&mut self) -> Parking {
        // A turn may have begun a while ago, by its worker's clock.
        let now = self.now - self.below(5);
        let deadline = now + self.below(200);
        let since = now - self.below(100);
        let idle = match self.below(4) {
            0 => Idle::No,
            1 => Idle::Head(since),
            2 => Idle::Since(since),
            _ => Idle::Moving { since, bytes: self.below(100), min_rate: 1_000 },
        };
        Parking { now, deadline, idle }
    }

    fn signals(&mut self) -> Signals {
        let bits = self.below(16);
        let gone = bits & 12 == 12;
        Signals { readable: bits & 1 != 0, writable: bits & 2 != 0, hung_up: bits & 4 != 0 || gone, gone }
    }

    /// One of the connections that workers have, which is not inside a reader nor awaited.
    fn pick(&mut self) -> Option<usize> {
        let at: Vec<usize> = (0..self.held.len())
            .filter(|&index| self.known[&self.held[index].key].at == At::Worker)
            .collect();
        if at.is_empty() {
            return None;
        }
        let picked = self.below(at.len() as u64) as usize;
        Some(at[picked])
    }

    fn admit(&mut self) {
        if self.known.len() >= 12 || self.places.phase == Phase::Stopped {
            return;
        }
        let parking = self.parking();
        let id = self.ids;
        self.ids += 1;
        let key = self.places.admit(Held { id, key: usize::MAX }, parking);
        let known = Known {
            id,
            at: At::Worker,
            signals: Signals::default(),
            gone: false,
            has_reader_place: false,
            came_in: self.places.watches,
            deadline: 0,
            idle: Idle::No,
        };
        assert!(self.known.insert(key, known).is_none(), "the key {key} was given twice");
        self.model_park(key, parking);
        if self.below(8) == 0 {
            // It could not be watched.
            let taken = self.places.take_back(key);
            if self.known[&key].at == At::Parked {
                assert_eq!(taken, Some(Held { id, key }));
                self.model_close(key);
            } else {
                assert_eq!(taken, None, "it has work, and a worker will find out");
            }
        }
    }

    fn model_park(&mut self, key: usize, parking: Parking) {
        let missed = self.places.drain_began.is_some_and(|began| parking.now <= began);
        let known = self.known.get_mut(&key).unwrap();
        if known.signals.any() || missed {
            let mut signals = std::mem::take(&mut known.signals);
            signals.readable |= missed;
            known.at = At::Queued;
            self.ready.push((known.id, Reason::Signals(signals), parking.now + 1));
            return;
        }
        (known.at, known.deadline, known.idle) = (At::Parked, parking.deadline, parking.idle);
        known.has_reader_place = false;
        self.model_admit_readers();
    }

    fn model_close(&mut self, key: usize) {
        self.known.remove(&key);
        self.model_admit_readers();
    }

    /// Places that are taken and count against the others.
    fn inside(&self) -> usize {
        self.known.values().filter(|known| known.has_reader_place && known.at != At::AbandonedReader).count()
    }

    fn abandoned(&self) -> usize {
        self.known.values().filter(|known| known.at == At::AbandonedReader).count()
    }

    fn model_admit_readers(&mut self) {
        while self.inside() < READERS && !self.waiting.is_empty() {
            let key = self.waiting.remove(0);
            let known = self.known.get_mut(&key).unwrap();
            assert_eq!(known.at, At::AwaitsReader);
            (known.at, known.has_reader_place) = (At::Queued, true);
            self.queue.push((known.id, Reason::Signals(Signals::default()), 0));
        }
    }

    fn signal(&mut self) {
        // Events of keys that are free, or that never were, come too.
        let key = self.below(14) as usize;
        let signals = self.signals();
        let mut awaited = Vec::new();
        self.places.signal(key, signals, self.now, &mut awaited);
        let is_newer = self.known.get(&key).is_some_and(|known| known.came_in != self.places.watches);
        let most = self.abandoned() < READERS;
        let mut woken = 0;
        if let Some(known) = self.known.get_mut(&key) {
            known.gone |= signals.gone && is_newer;
            match known.at {
                At::Parked => {
                    known.at = At::Queued;
                    self.ready.push((known.id, Reason::Signals(signals), self.now));
                }
                At::AwaitsReader if signals.gone => {
                    known.at = At::Queued;
                    self.waiting.retain(|&other| other != key);
                    self.ready.push((known.id, Reason::Signals(signals), self.now));
                }
                At::Reader if signals.gone && most => {
                    known.at = At::AbandonedReader;
                    self.model_admit_readers();
                }
                At::Awaited => {
                    known.at = At::Worker;
                    known.signals.add(signals);
                    woken = 1;
                }
                _ => known.signals.add(signals),
            }
        }
        assert_eq!(awaited.len(), woken);
    }

    fn take(&mut self) {
        let taken = self.places.take_ready();
        let expected = if self.queue.is_empty() { &mut self.ready } else { &mut self.queue };
        let Some(Ready { connection, reason, since }) = taken else {
            assert!(expected.is_empty());
            return;
        };
        assert_eq!((connection.id, reason, since), expected.remove(0));
        self.known.get_mut(&connection.key).unwrap().at = At::Worker;
        self.held.push(connection);
    }

    fn settle(&mut self) {
        let Some(index) = self.pick() else { return };
        let connection = self.held.swap_remove(index);
        let (key, id, now) = (connection.key, connection.id, self.now);
        let signals = Signals::READABLE;
        let ready = |connection| Ready { connection, reason: Reason::Signals(signals), since: now };
        let entry = (id, Reason::Signals(signals), now);
        let mut dropped = None;
        match self.below(8) {
            0 => {
                assert!(!self.places.settle(Outcome::Closed(key), &mut dropped));
                self.model_close(key);
            }
            1 => {
                assert!(!self.places.settle(Outcome::Queue(ready(connection)), &mut dropped));
                self.known.get_mut(&key).unwrap().at = At::Queued;
                self.queue.push(entry);
            }
            2 => {
                assert!(!self.places.settle(Outcome::Again(ready(connection)), &mut dropped));
                self.known.get_mut(&key).unwrap().at = At::Queued;
                self.ready.push(entry);
            }
            3 if !self.known[&key].has_reader_place => {
                assert!(!self.places.settle(Outcome::AwaitReader(connection), &mut dropped));
                let known = self.known.get_mut(&key).unwrap();
                if known.gone {
                    known.at = At::Queued;
                    let signals = std::mem::take(&mut known.signals);
                    self.ready.push((id, Reason::Signals(signals), 0));
                } else {
                    known.at = At::AwaitsReader;
                    self.waiting.push(key);
                    self.model_admit_readers();
                }
            }
            _ => {
                let parking = self.parking();
                let first = self.places.timers.first();
                let wakes = self.places.settle(Outcome::Park(connection, parking), &mut dropped);
                self.model_park(key, parking);
                let is_first = first.map_or(true, |(first, _)| parking.deadline < first);
                let is_watched = !self.places.watching || parking.deadline >= self.places.watch_ends;
                let parked = self.known[&key].at == At::Parked;
                assert_eq!(wakes, parked && is_first && !is_watched);
                self.woken |= wakes;
            }
        }
        assert_eq!(dropped, None);
    }

    fn enter_reader(&mut self) {
        let Some(index) = self.pick() else { return };
        let key = self.held[index].key;
        let has_room = self.waiting.is_empty() && self.inside() < READERS;
        let known = self.known.get_mut(&key).unwrap();
        if self.places.watches % 2 == 0 && !known.gone {
            // The response is about to begin, and its reader is asked later.
            known.has_reader_place |= has_room;
            assert_eq!(self.places.take_reader_place(key), known.has_reader_place);
            return;
        }
        let entry = match (known.gone, known.has_reader_place || has_room) {
            (true, _) => Entry::Gone,
            (false, false) => Entry::Full,
            (false, true) => {
                (known.at, known.has_reader_place) = (At::Reader, true);
                Entry::Entered
            }
        };
        assert_eq!(self.places.enter_reader(key), entry);
    }

    fn leave_reader(&mut self) {
        let inside = |known: &Known| matches!(known.at, At::Reader | At::AbandonedReader);
        let keys: Vec<usize> =
            self.known.iter().filter(|(_, known)| inside(known)).map(|(&key, _)| key).collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.below(keys.len() as u64) as usize];
        let queued = self.queue.len();
        if self.below(6) == 0 {
            // The reader has panicked.
            self.held.retain(|held| held.key != key);
            assert!(!self.places.settle(Outcome::Closed(key), &mut None));
            self.model_close(key);
            return;
        }
        let admitted = self.places.leave_reader(key);
        let known = self.known.get_mut(&key).unwrap();
        (known.at, known.has_reader_place) = (At::Worker, false);
        self.model_admit_readers();
        assert_eq!(admitted, self.queue.len() > queued);
    }

    fn wait_for_signals(&mut self) {
        // A thread that waits already may wake without a signal.
        let awaited = self.held.iter().position(|held| self.known[&held.key].at == At::Awaited);
        let picked = self.pick();
        let Some(index) = (if self.below(2) == 0 { awaited } else { picked }) else { return };
        let key = self.held[index].key;
        let is_over = self.below(3) == 0;
        let known = self.known.get_mut(&key).unwrap();
        let expected = (known.signals.any() || is_over).then(|| std::mem::take(&mut known.signals));
        known.at = if expected.is_none() { At::Awaited } else { At::Worker };
        assert_eq!(self.places.take_signals(key, &std::thread::current(), is_over), expected);
    }

    fn pass_time(&mut self) {
        self.now += self.below(60);
        self.places.watching = false;
        self.places.expire(self.now);
        let due = |known: &&mut Known| known.at == At::Parked && known.deadline <= self.now;
        let mut expired: Vec<Entered> = Vec::new();
        for known in self.known.values_mut().filter(due) {
            known.at = At::Queued;
            expired.push((known.id, Reason::Expired, self.now));
        }
        // Which of several deadlines comes up first is not promised.
        let mut entered = entries(&self.places.ready).split_off(self.ready.len());
        self.ready.extend(&entered);
        entered.sort_by_key(|entry| entry.0);
        expired.sort_by_key(|entry| entry.0);
        assert_eq!(entered, expired);
    }

    fn begin_watch(&mut self) {
        self.places.watching = true;
        self.woken = false;
        let next = self.places.begin_watch();
        let earliest = self.known.values().filter(|known| known.at == At::Parked);
        let earliest = earliest.map(|known| known.deadline).min();
        assert!(earliest.map_or(true, |earliest| next.is_some_and(|next| next <= earliest)));
        assert_eq!(self.places.unwatched_deadline(), None);
    }

    fn make_room(&mut self) {
        let (now, is_fresh) = (self.now, self.places.candidates.is_spent(self.now));
        let parked = self.known.iter().filter(|(_, known)| known.at == At::Parked);
        let ranked = parked.filter_map(|(&key, known)| Some((known.idle.rank(now, STALLED_AFTER)?, key)));
        let first = ranked.min();
        let made = self.places.make_room(now, STALLED_AFTER);
        if is_fresh {
            assert_eq!(made.as_ref().map(|made| made.key), first.map(|(_, key)| key));
        }
        if let Some(made) = made {
            let known = &self.known[&made.key];
            assert_eq!((known.id, known.at), (made.id, At::Parked));
            assert!(known.idle.rank(now, STALLED_AFTER).is_some());
            self.model_close(made.key);
        }
    }

    fn drain(&mut self) {
        self.places.drain(self.now);
        for known in self.known.values_mut().filter(|known| known.at == At::Parked) {
            known.at = At::Queued;
            self.ready.push((known.id, Reason::Signals(Signals::READABLE), self.now));
        }
    }

    /// Cuts everything, as a stop does, and lets the workers come back with what they have.
    fn end(&mut self) {
        let (cut, awaited) = self.places.cut();
        let mut ids: Vec<usize> = cut.iter().map(|held| held.id).collect();
        ids.sort_unstable();
        let with_no_worker = |known: &&Known| matches!(known.at, At::Parked | At::Queued | At::AwaitsReader);
        let mut expected: Vec<usize> =
            self.known.values().filter(with_no_worker).map(|known| known.id).collect();
        expected.sort_unstable();
        assert_eq!(ids, expected);
        assert_eq!(awaited.len(), self.known.values().filter(|known| known.at == At::Awaited).count());
        assert_eq!(self.places.open, self.held.len());
        for connection in std::mem::take(&mut self.held) {
            assert!(self.places.take_ready().is_none());
            let (key, id) = (connection.key, connection.id);
            if matches!(self.known[&key].at, At::Reader | At::AbandonedReader) {
                assert!(!self.places.leave_reader(key));
            }
            let reason = Reason::Expired;
            let outcome = match self.below(4) {
                0 => Outcome::Park(connection, self.parking()),
                1 => Outcome::Queue(Ready { connection, reason, since: 0 }),
                2 => Outcome::Again(Ready { connection, reason, since: 0 }),
                _ => Outcome::AwaitReader(connection),
            };
            let mut dropped = None;
            assert!(!self.places.settle(outcome, &mut dropped));
            assert_eq!(dropped.map(|dropped| dropped.id), Some(id), "a stop leaves no place to anything");
        }
        assert_eq!((self.places.open, self.places.timers.first()), (0, None));
        assert_eq!(self.places.free.len(), self.places.slots.len());
        assert_eq!(self.places.readers.counts(), (0, 0, 0));
    }

    fn compare(&self) {
        assert_eq!(entries(&self.places.ready), self.ready);
        assert_eq!(entries(&self.places.queue), self.queue);
        assert_eq!(self.places.open, self.known.len());
        assert_eq!(self.places.free.len() + self.places.open, self.places.slots.len());
        let has_work = !self.ready.is_empty() || !self.queue.is_empty();
        assert_eq!(self.places.has_work(), has_work || !self.places.watching);
        assert_eq!(self.places.is_overlooked(), has_work && self.places.watching);
        let abandoned = self.abandoned();
        assert_eq!(self.places.abandoned_readers(), abandoned);
        assert!(abandoned <= READERS && self.inside() <= READERS);
        let taken = self.inside() + abandoned;
        assert_eq!(self.places.readers.counts(), (taken, abandoned, self.waiting.len()));
        for (&key, known) in &self.known {
            let slot = &self.places.slots[key];
            let id = match &slot.place {
                Place::Parked(held) if known.at == At::Parked => held.id,
                Place::AwaitsReader(held) if known.at == At::AwaitsReader => held.id,
                Place::Away if matches!(known.at, At::Worker | At::Queued) => known.id,
                Place::Awaited(_) if known.at == At::Awaited => known.id,
                Place::InReader if known.at == At::Reader => known.id,
                Place::InAbandonedReader if known.at == At::AbandonedReader => known.id,
                _ => panic!("{key} is not where it should be: {known:?}"),
            };
            assert_eq!((id, slot.signals), (known.id, known.signals));
            assert_eq!(
                (self.places.is_gone(key), slot.has_reader_place),
                (known.gone, known.has_reader_place)
            );
        }
        // Nobody sleeps past a deadline.
        let parked = self.known.values().filter(|known| known.at == At::Parked);
        if let Some(earliest) = parked.map(|known| known.deadline).min() {
            let first = self.places.timers.first().map(|(at, _)| at);
            assert!(first.is_some_and(|first| first <= earliest), "{first:?} {earliest}");
            if self.places.watching && earliest < self.places.watch_ends && !self.woken {
                let unwatched = self.places.unwatched_deadline();
                assert!(unwatched.is_some_and(|at| at <= earliest), "{unwatched:?} {earliest}");
            }
        }
    }
}

#[test]
fn a_late_event_of_another_connection_says_nothing_of_the_one_that_has_its_key_now() {
    let mut places = Places::<Held>::new(1, 1);
    let gone = Signals { gone: true, hung_up: true, ..Signals::default() };
    let first = places.take_slot();
    places.begin_watch();
    places.signal(first, gone, 0, &mut Vec::new());
    assert!(places.is_gone(first));
    // The watch is under way still.
    places.release_slot(first);
    let second = places.take_slot();
    assert_eq!(second, first);
    places.signal(second, gone, 0, &mut Vec::new());
    assert!(!places.is_gone(second));
    places.begin_watch();
    places.signal(second, gone, 0, &mut Vec::new());
    assert!(places.is_gone(second));
}

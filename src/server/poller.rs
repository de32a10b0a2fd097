//! Holds connections while there is no work for them, and watches their sockets. The poller knows where each connection is, its
//! deadline, and which connections are ready. It is generic over what it holds ([`Parked`]) and knows no connection type. The
//! listener adds connections, and the workers take the ready ones. One lock guards all of it, and no system call is made under
//! that lock.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::clock::{whole_millis, Clock, Millis};
use super::places::{Parked, Places, BATCH};
use super::turn::{Parking, Signals};
use crate::wake_list::{WakeList, SIDE, WAKER};

pub(crate) struct Poller<C> {
    start: Instant,
    poll: Mutex<Watch>,
    /// Connections that others have woken, such as those whose bodies have more to send.
    pub(crate) wake_list: Arc<WakeList>,
    places: Mutex<Places<C>>,
    pub(crate) changed: Condvar,
}

struct Watch {
    poll: Poll,
    events: Events,
}

impl<C: Parked> Poller<C> {
    /// A poller with this many permits, and this many places for readers of responses.
    pub(crate) fn new(permits: usize, readers: usize) -> io::Result<Poller<C>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        Ok(Poller {
            start: Instant::now(),
            poll: Mutex::new(Watch { poll, events: Events::with_capacity(BATCH) }),
            wake_list: Arc::new(WakeList::new(waker, registry)),
            places: Mutex::new(Places::new(permits, readers)),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn millis(&self, at: Instant) -> Millis {
        whole_millis(at.saturating_duration_since(self.start))
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::since(self.start)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Places<C>> {
        // The places are consistent whenever the lock is released, so they stay usable after a panic elsewhere.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a new connection. It is parked before its events are listened for, so that no event comes too early. The caller has
    /// to check [`until_unwatched_deadline`](Poller::until_unwatched_deadline).
    pub(crate) fn admit(&self, connection: C, parking: Parking) -> io::Result<()>
    where
        C: AsRawFd,
    {
        let descriptor = connection.as_raw_fd();
        let key = self.lock().admit(connection, parking);
        let listened =
            self.wake_list.registry.register(&mut SourceFd(&descriptor), Token(key), Interest::READABLE);
        if listened.is_err() {
            let taken = self.lock().take_back(key);
            drop(taken);
        }
        listened
    }

    /// The time until a deadline that came after the watch began, so that the watcher would sleep past it. When that time has
    /// come, wakes the watcher. Waking it for each new connection would cost two system calls and a switch of threads, usually
    /// for nothing: the client's first bytes wake it, and then it sees all deadlines.
    pub(crate) fn until_unwatched_deadline(&self, now: Instant) -> Option<Duration> {
        let now = self.millis(now);
        let at = self.lock().unwatched_deadline()?;
        if at <= now {
            self.wake_watcher();
            return None;
        }
        Some(Duration::from_millis(at - now))
    }

    /// Also listens for room to write, from now on. An event that comes before the connection is parked is kept for it.
    pub(crate) fn listen_for_writable(&self, key: usize, descriptor: RawFd) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.wake_list.registry.reregister(&mut SourceFd(&descriptor), Token(key), interest)
    }

    /// Waits at most `limit` for connections to become ready, and moves them to the ready queue. The caller has set `watching`,
    /// which is cleared here, and has read the clock, which is read again after the wait.
    pub(crate) fn watch<'l>(
        &'l self,
        mut places: MutexGuard<'l, Places<C>>,
        clock: &mut Clock,
        limit: Option<Duration>,
    ) -> MutexGuard<'l, Places<C>> {
        let now = clock.millis();
        let next = places.begin_watch();
        drop(places);
        // A millisecond more, so that the deadline has passed when the wait ends.
        let until_deadline = next.map(|at| Duration::from_millis(at.saturating_sub(now) + 1));
        let timeout = until_deadline.into_iter().chain(limit).min();
        #[cfg(feature = "proxy")]
        let close_at = self.wake_list.next_close();
        #[cfg(feature = "proxy")]
        let timeout = match close_at {
            Some(at) => timeout.into_iter().chain([at.saturating_duration_since(clock.now())]).min(),
            None => timeout,
        };
        let mut watch = self.poll.lock().unwrap_or_else(PoisonError::into_inner);
        let Watch { poll, events } = &mut *watch;
        if let Err(error) = poll.poll(events, timeout) {
            events.clear();
            watch_failed(&error);
        }
        clock.look();
        #[cfg(feature = "proxy")]
        if close_at.is_some_and(|at| at <= clock.now()) {
            self.wake_list.close_idle(clock.now());
        }
        let now = clock.millis();
        let mut awaited = Vec::new();
        let mut places = self.lock();
        places.watching = false;
        for event in events.iter() {
            if event.token().0 >= SIDE {
                if event.token() != WAKER {
                    places.signal(event.token().0 & !SIDE, Signals::SIDE, now, &mut awaited);
                    continue;
                }
                // It may wake the poller again, and no system call is made under the lock. Few are taken at a time, so that others
                // do not wait for all of them.
                drop(places);
                let woken = self.wake_list.take(BATCH);
                places = self.lock();
                woken.iter().for_each(|&key| places.signal(key, Signals::READABLE, now, &mut awaited));
                continue;
            }
            let signals = Signals {
                readable: event.is_readable(),
                writable: event.is_writable(),
                hung_up: event.is_read_closed() || event.is_error(),
                // Both directions are closed. A client's FIN alone does not do that.
                gone: event.is_error() || event.is_write_closed(),
            };
            places.signal(event.token().0, signals, now, &mut awaited);
        }
        places.expire(now);
        drop(watch);
        if !awaited.is_empty() {
            drop(places);
            awaited.iter().for_each(Thread::unpark);
            places = self.lock();
        }
        places
    }

    pub(crate) fn wake_watcher(&self) {
        self.wake_list.wake();
    }

    /// For a handler that waits for more of a request's body: blocks until its connection has signals, or `until`.
    pub(crate) fn await_signals(&self, key: usize, until: Instant) -> Signals {
        let thread = std::thread::current();
        loop {
            let now = Instant::now();
            if let Some(signals) = self.lock().take_signals(key, &thread, now >= until) {
                return signals;
            }
            std::thread::park_timeout(until - now);
        }
    }

    /// Takes out a connection to make room for a new one: first the connection whose head has stalled for the longest, else the
    /// kept-alive connection that is idle the longest, else the connection with the slowest body or response, if that is slower
    /// than the minimum rate. Never takes a connection that has just come or that a worker has.
    pub(crate) fn make_room(&self, stall_timeout: Duration) -> Option<C> {
        let now = self.millis(Instant::now());
        self.lock().make_room(now, stall_timeout.as_millis() as Millis)
    }

    /// Begins to drain: every waiting connection gets a turn. A request that has arrived is answered, and a connection without
    /// one closes.
    pub(crate) fn drain(&self, now: Millis) {
        self.lock().drain(now);
        self.wake_watcher();
    }

    /// Waits until no connection is open, at most until `until`. Returns the number still open.
    pub(crate) fn wait_empty(&self, until: Instant) -> usize {
        let mut places = self.lock();
        while places.open > 0 {
            let now = Instant::now();
            if now >= until {
                break;
            }
            let waited = self.changed.wait_timeout(places, until - now);
            places = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        places.open
    }

    /// Takes out every connection that no worker has. Wakes handlers that wait for a body; they find its end.
    pub(crate) fn cut(&self) -> impl Iterator<Item = C> {
        let (cut, awaited) = self.lock().cut();
        self.wake_watcher();
        awaited.iter().for_each(Thread::unpark);
        cut.into_iter()
    }
}

fn watch_failed(error: &io::Error) {
    if error.kind() != io::ErrorKind::Interrupted {
        log::error!("waiting for connections failed: {error}");
        // Prevents a busy loop, whatever the reason is.
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::sync::{mpsc, Arc};

    use super::*;
    use crate::backports;
    use crate::server::places::Phase;
    use crate::server::turn::{Idle, Outcome, Ready, Reason};

    /// One end of a pipe in place of a connection.
    struct Held {
        key: usize,
        end: File,
    }

    impl AsRawFd for Held {
        fn as_raw_fd(&self) -> RawFd {
            self.end.as_raw_fd()
        }
    }

    impl Parked for Held {
        fn key(&self) -> usize {
            self.key
        }

        fn set_key(&mut self, key: usize) {
            self.key = key;
        }
    }

    const FAR: Millis = Millis::MAX / 2;

    fn parking(deadline: Millis) -> Parking {
        Parking { now: 0, deadline, idle: Idle::Since(0) }
    }

    fn poller() -> Poller<Held> {
        Poller::new(1, 1).unwrap()
    }

    fn admit(poller: &Poller<Held>, deadline: Millis) -> File {
        let (end, other) = backports::pipe().unwrap();
        poller.admit(Held { key: usize::MAX, end }, parking(deadline)).unwrap();
        other
    }

    fn watch<'p>(poller: &'p Poller<Held>, limit: Option<Duration>) -> MutexGuard<'p, Places<Held>> {
        let mut places = poller.lock();
        places.watching = true;
        poller.watch(places, &mut poller.clock(), limit)
    }

    #[test]
    fn what_has_come_for_a_connection_ends_the_watch_and_makes_it_ready() {
        let poller = poller();
        let mut other = admit(&poller, FAR);
        let _silent = admit(&poller, FAR);
        other.write_all(b"x").unwrap();
        let mut places = watch(&poller, None);
        assert!(!places.watching);
        let Some(Ready { connection, reason, .. }) = places.take_ready() else { panic!("nothing is ready") };
        assert_eq!((connection.key, reason), (0, Reason::Signals(Signals::READABLE)));
        assert!(places.take_ready().is_none());
        // What comes while a worker has it is kept for it.
        drop(places);
        drop(other);
        let mut places = watch(&poller, None);
        assert!(places.take_ready().is_none());
        assert!(!places.settle(Outcome::Park(connection, parking(FAR)), &mut None));
        let reason = places.take_ready().map(|ready| ready.reason);
        assert!(matches!(reason, Some(Reason::Signals(Signals { hung_up: true, .. }))), "{reason:?}");
    }

    #[test]
    fn a_deadline_ends_the_watch_and_so_does_a_limit() {
        let poller = poller();
        assert!(watch(&poller, Some(Duration::from_millis(1))).take_ready().is_none());
        let _other = admit(&poller, 1);
        let ready = watch(&poller, None).take_ready().unwrap();
        assert_eq!(ready.reason, Reason::Expired);
        assert!(ready.since >= 1);
    }

    #[test]
    fn a_watcher_that_would_sleep_past_a_new_deadline_is_woken() {
        let poller = poller();
        let now = Instant::now();
        assert_eq!(poller.until_unwatched_deadline(now), None);
        poller.lock().watching = true;
        let _ = poller.lock().begin_watch();
        let at = poller.millis(now) + 10_000;
        let _other = admit(&poller, at);
        assert_eq!(poller.until_unwatched_deadline(now), Some(Duration::from_secs(10)));
        assert_eq!(poller.until_unwatched_deadline(now + Duration::from_secs(10)), None);
        // That has woken it: the watch ends long before the deadline.
        let places = watch(&poller, None);
        assert!(places.ready.is_empty() && !places.watching);
    }

    #[test]
    fn what_cannot_be_watched_is_not_taken_in() {
        let poller = poller();
        let end = tempfile::tempfile().unwrap();
        assert!(poller.admit(Held { key: 0, end }, parking(FAR)).is_err());
        assert_eq!(poller.lock().open, 0);
        assert_eq!(poller.lock().unwatched_deadline(), None);
    }

    #[test]
    fn room_to_write_is_told_only_when_it_was_asked_for() {
        let poller = poller();
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let end = File::from(std::os::fd::OwnedFd::from(near));
        let descriptor = end.as_raw_fd();
        poller.admit(Held { key: 0, end }, parking(FAR)).unwrap();
        assert!(watch(&poller, Some(Duration::from_millis(1))).take_ready().is_none());
        poller.listen_for_writable(0, descriptor).unwrap();
        let ready = watch(&poller, None).take_ready().unwrap();
        assert!(matches!(ready.reason, Reason::Signals(Signals { writable: true, readable: false, .. })));
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn a_further_socket_of_a_connection_gives_it_a_turn_and_says_nothing_of_its_own() {
        use crate::wake_list::SideInterest;

        let poller = poller();
        let _other = admit(&poller, FAR);
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        poller.wake_list.watch(near.as_raw_fd(), 0, SideInterest::Readable, false).unwrap();
        assert!(watch(&poller, Some(Duration::from_millis(1))).take_ready().is_none());
        far.write_all(b"x").unwrap();
        let ready = watch(&poller, None).take_ready().unwrap();
        assert_eq!(ready.reason, Reason::Signals(Signals::SIDE));
        // Its end is not that of the client.
        let mut places = poller.lock();
        let _ = places.settle(Outcome::Park(ready.connection, parking(FAR)), &mut None);
        drop(places);
        drop(far);
        let mut places = watch(&poller, None);
        assert_eq!(places.take_ready().unwrap().reason, Reason::Signals(Signals::SIDE));
        assert!(!places.is_gone(0));
        drop(places);
        poller.wake_list.forget(near.as_raw_fd()).unwrap();
    }

    #[test]
    fn a_handler_that_waits_for_a_body_is_woken_by_what_comes_and_by_the_end() {
        let poller = Arc::new(poller());
        let mut other = admit(&poller, FAR);
        other.write_all(b"x").unwrap();
        let connection = watch(&poller, None).take_ready().unwrap().connection;
        let key = connection.key;
        assert_eq!(poller.await_signals(key, Instant::now()), Signals::default());
        let far = Instant::now() + Duration::from_secs(600);
        let wait = || {
            let (tell, told) = mpsc::channel();
            let waits: Arc<Poller<Held>> = poller.clone();
            std::thread::spawn(move || tell.send(waits.await_signals(key, far)));
            while !poller.lock().is_awaited(key) {
                std::thread::yield_now();
            }
            move || told.recv_timeout(Duration::from_secs(60)).expect("it was not woken")
        };
        let waited = wait();
        other.write_all(b"y").unwrap();
        drop(watch(&poller, None));
        assert_eq!(waited(), Signals::READABLE);
        let waited = wait();
        assert_eq!(poller.cut().count(), 0, "a worker has it");
        assert!(waited().hung_up);
        assert_eq!(poller.await_signals(99, far), Signals::default(), "a key that nobody has");
    }

    #[test]
    fn a_stop_gives_each_a_turn_and_waits_until_all_are_closed_or_time_is_over() {
        let poller = poller();
        let others = [admit(&poller, FAR), admit(&poller, FAR)];
        poller.drain(poller.millis(Instant::now()));
        let mut places = watch(&poller, None);
        assert_eq!((places.phase, places.ready.len()), (Phase::Draining, 2));
        let connection = places.take_ready().unwrap().connection;
        assert!(!places.settle(Outcome::Closed(connection.key), &mut None));
        drop(places);
        assert_eq!(poller.wait_empty(Instant::now()), 1);
        let cut: Vec<Held> = poller.cut().collect();
        assert_eq!(cut.len(), 1);
        assert_eq!(poller.wait_empty(Instant::now() + Duration::from_secs(600)), 0);
        drop(others);
    }

    #[test]
    fn room_is_made_by_a_connection_that_waits_and_by_no_other() {
        let poller = poller();
        assert!(poller.make_room(Duration::ZERO).is_none());
        let _other = admit(&poller, FAR);
        // A search that found none is not repeated for a while, and time is what it is waited by.
        while poller.make_room(Duration::ZERO).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(poller.lock().open, 0);
    }
}

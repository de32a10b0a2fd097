//! The supervisor: a thread that takes permits from blocked workers and ensures that a thread watches the sockets. When every
//! worker is inside a handler, it watches itself: it then does everything but call handlers, and refuses requests that wait too
//! long. Functions of counts and times decide what it does next. `run` starts it; it calls the workers.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::Millis;
use super::permits::Call;
use super::turn::{Handlers, TakeTurn};
use super::workers::{put_back, BuffersOf, Service};

/// How often the supervisor checks while handlers run. With 2 ms it took 1.3 % of a busy server's CPU time, most of it for
/// switching threads.
const TICK: Duration = Duration::from_millis(4);
/// After this many ticks without a running handler the supervisor sleeps.
const QUIET_TICKS: u32 = 8;

/// Starts the supervisor and as many workers as there are permits.
pub(crate) fn start<S: Service>(service: &Arc<S>) -> io::Result<()> {
    let supervised = service.clone();
    let life = move || {
        supervise(&supervised);
        supervised.poller().lock().permits.alive -= 1;
        supervised.poller().changed.notify_all();
    };
    let (poller, workers) = (service.poller(), service.workers());
    poller.lock().permits.alive += 1;
    let started = thread::Builder::new().name("lockgate-super".into()).spawn(life);
    let supervisor = started.map_err(|error| {
        poller.lock().permits.alive -= 1;
        error
    })?;
    workers.set_supervisor(supervisor.thread().clone());
    for _ in 0..workers.sizes.permits {
        let now = poller.millis(Instant::now());
        let call = workers.call(&mut poller.lock(), now);
        workers.perform(service, call);
    }
    Ok(())
}

/// What the supervisor remembers of its last ticks.
#[derive(Debug, Default)]
struct Ticks {
    /// How many ticks in a row found no running handler.
    quiet: u32,
    /// The number of watches at the last tick.
    watches: u32,
}

/// What follows a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Tick,
    /// Until a handler runs.
    Sleep,
}

impl Ticks {
    /// Whether no watch has begun for a tick, so that a worker may be stuck. Workers that begin a watch again and again are
    /// quick enough.
    fn is_stuck(&mut self, watches: u32) -> bool {
        std::mem::replace(&mut self.watches, watches) == watches
    }

    fn end(&mut self, handlers_run: bool) -> Then {
        self.quiet = if handlers_run { 0 } else { self.quiet + 1 };
        if self.quiet < QUIET_TICKS {
            return Then::Tick;
        }
        self.quiet = 0;
        Then::Sleep
    }
}

/// The supervisor's life.
fn supervise<S: Service>(service: &Arc<S>) {
    let (poller, workers) = (service.poller(), service.workers());
    let mut buffers = None;
    let mut ticks = Ticks::default();
    while !service.is_stopped() {
        let now = poller.millis(Instant::now());
        let mut places = poller.lock();
        let handlers_run = workers.release_blocked(&mut places, now);
        if workers.are_exhausted(&places, now) {
            ticks.quiet = 0;
            drop(places);
            relieve(service, buffers.get_or_insert_with(|| S::buffers(service, None)));
            continue;
        }
        let stuck = ticks.is_stuck(places.watches);
        let call = if stuck { workers.call(&mut places, now) } else { Call::Nobody };
        drop(places);
        workers.perform(service, call);
        match ticks.end(handlers_run) {
            Then::Tick => thread::sleep(TICK),
            Then::Sleep => workers.sleep_until_handlers_run(|| service.is_stopped()),
        }
    }
}

/// What the supervisor does in place of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relief {
    /// Refuses the first in the queue, which has waited too long.
    RefuseQueued,
    /// Gives the next ready connection its turn.
    Serve(Handlers),
    Done,
}

/// The queue of requests that wait for a worker.
#[derive(Debug, Clone, Copy)]
struct Queued {
    /// Since when the first has waited.
    first: Option<Millis>,
    requests: usize,
}

/// Decides what to do with `turns` turns left. `longest` is how long a request may wait, and `most` how many may wait.
fn relief(queued: Queued, now: Millis, longest: Millis, most: usize, turns: usize) -> Relief {
    if queued.first.is_some_and(|since| now.saturating_sub(since) > longest) {
        Relief::RefuseQueued
    } else if turns == 0 {
        Relief::Done
    } else if queued.requests < most {
        Relief::Serve(Handlers::Defer)
    } else {
        Relief::Serve(Handlers::Refuse)
    }
}

/// One tick in place of the workers, all of which are inside handlers.
fn relieve<S: Service>(service: &Arc<S>, buffers: &mut BuffersOf<'_, S>) {
    let (poller, sizes) = (service.poller(), service.workers().sizes);
    let mut places = poller.lock();
    if places.ready.is_empty() && places.watching {
        drop(places);
        thread::sleep(TICK);
        return;
    }
    let clock = S::clock(buffers);
    clock.look();
    if places.ready.is_empty() {
        places.watching = true;
        places = poller.watch(places, clock, Some(TICK));
    }
    let now = clock.millis();
    let mut turns = places.ready.len();
    loop {
        let queued =
            Queued { first: places.queue.front().map(|ready| ready.since), requests: places.queue.len() };
        let (ready, handlers) = match relief(queued, now, sizes.queue_timeout, sizes.queue_requests, turns) {
            Relief::RefuseQueued => (places.queue.pop_front(), Handlers::Refuse),
            Relief::Serve(handlers) => {
                turns -= 1;
                (places.ready.pop_front(), handlers)
            }
            Relief::Done => return,
        };
        let Some(ready) = ready else { return };
        drop(places);
        let outcome = S::Held::take_turn(ready, buffers, handlers);
        places = put_back(service, outcome, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::fake_service::Fake;

    #[test]
    fn the_supervisor_sleeps_after_some_ticks_without_a_handler() {
        let mut ticks = Ticks::default();
        (1..QUIET_TICKS).for_each(|_| assert_eq!(ticks.end(false), Then::Tick));
        assert_eq!(ticks.end(true), Then::Tick);
        (1..QUIET_TICKS).for_each(|_| assert_eq!(ticks.end(false), Then::Tick));
        assert_eq!(ticks.end(false), Then::Sleep);
        assert_eq!(ticks.end(false), Then::Tick, "it has been woken");
    }

    #[test]
    fn workers_are_stuck_when_no_watch_has_begun_since_the_last_tick() {
        let mut ticks = Ticks::default();
        assert!(!ticks.is_stuck(3));
        assert!(ticks.is_stuck(3));
        assert!(!ticks.is_stuck(4));
        assert!(!ticks.is_stuck(u32::MAX) && !ticks.is_stuck(0));
    }

    #[test]
    fn in_the_place_of_the_workers_requests_are_deferred_and_refused_when_too_many_or_too_late() {
        let relief = |first, requests, turns| relief(Queued { first, requests }, 1_000, 100, 2, turns);
        assert_eq!(relief(None, 0, 1), Relief::Serve(Handlers::Defer));
        assert_eq!(relief(Some(900), 1, 1), Relief::Serve(Handlers::Defer));
        assert_eq!(relief(Some(900), 2, 1), Relief::Serve(Handlers::Refuse));
        assert_eq!(relief(Some(899), 2, 1), Relief::RefuseQueued);
        assert_eq!(relief(Some(899), 1, 0), Relief::RefuseQueued);
        assert_eq!(relief(Some(1_001), 1, 0), Relief::Done, "by a clock that was looked at later");
        assert_eq!(relief(Some(900), 2, 0), Relief::Done);
    }

    #[test]
    fn while_every_worker_is_inside_a_handler_the_rest_is_served_and_requests_are_deferred() {
        let fake = Fake::start(1, 1, Millis::MAX, 1);
        let [mut blocked, mut quick, mut waiting, mut refused] = [(); 4].map(|()| fake.connect());
        blocked.say(b'b');
        assert_eq!(fake.told(), (blocked.key, "entered", Some(0)));
        quick.say(b'q');
        assert_eq!(fake.told(), (quick.key, "quick", None), "by the supervisor");
        waiting.say(b'b');
        assert_eq!(fake.told(), (waiting.key, "deferred", None));
        // One may wait, and no more.
        refused.say(b'b');
        assert_eq!(fake.told(), (refused.key, "refused", None));
        quick.say(b'q');
        assert_eq!(fake.told(), (quick.key, "quick", None));
        fake.let_go();
        assert_eq!(fake.told(), (blocked.key, "left", Some(0)));
        assert_eq!(fake.told(), (waiting.key, "entered", Some(0)));
        fake.let_go();
        assert_eq!(fake.told(), (waiting.key, "left", Some(0)));
    }

    #[test]
    fn a_request_that_waits_too_long_for_a_worker_is_refused() {
        let fake = Fake::start(1, 1, 20, 8);
        let [mut blocked, mut waiting] = [(); 2].map(|()| fake.connect());
        blocked.say(b'b');
        assert_eq!(fake.told(), (blocked.key, "entered", Some(0)));
        waiting.say(b'b');
        assert_eq!(fake.told(), (waiting.key, "deferred", None));
        assert_eq!(fake.told(), (waiting.key, "refused", None));
        fake.let_go();
    }
}

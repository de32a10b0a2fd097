//! The workers: threads of a pool that watch the lot in turns and serve what is ready, as many at a time as there are
//! permits, one a core. A worker that blocks in a handler loses its permit, and another is called in from the reserve, so
//! that somebody always watches. A quick handler pays two atomic stores for that. The only place that uses threadpool.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use threadpool::ThreadPool;

use super::buffers::{Buffers, Handlers, Input};
use super::clock::Millis;
use super::connection::state::Connection;
use super::connection::step::Turn;
use super::poller::{Entry, Parked, Phase};
use super::turn::{Outcome, Ready};
use super::Shared;
use crate::handler_call::{self, Fault};

/// What the poller of connections guards.
type State = super::poller::State<Box<Connection>>;

/// How often the supervisor looks while handlers run. At 2 ms it took 1.3 % of a busy server's CPU, most of it in switching.
const TICK: Duration = Duration::from_millis(4);
/// A worker that has been inside a handler for this long blocks. With less, one that was merely preempted looks blocked.
const BLOCKED_AFTER: Millis = 10;
/// So many ticks without a handler running send the supervisor to sleep.
const QUIET_TICKS: u32 = 8;

/// Work for longer than this is worth calling another worker for. With less, waking a thread costs more CPU than the
/// shorter wait is worth: at 8 busy connections 5 % of it, measured.
const WORTH_A_CALL: Duration = Duration::from_micros(100);

/// A handler that took longer than this was slow.
const SLOW: Duration = Duration::from_micros(500);
/// What one slow call adds to a handler's score; each quick one takes 1 off.
const SLOW_SCORE: u8 = 8;
/// From this score on a handler is expected to block: two slow calls close together, never a stray preemption.
const EXPECTED_SLOW: u8 = 12;
const MOST_SCORE: u8 = 64;

/// After the system has refused a worker its thread, none is tried for so long.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// What the log calls it.
const THREAD_REFUSED: &str = "a thread refused";

/// All that is known about the workers.
pub(crate) struct Workers {
    /// Made with the first worker.
    pool: Mutex<Option<ThreadPool>>,
    /// As many as there may be, and one more for each place for a reader: for a worker inside a reader whose client is gone
    /// another stands in.
    all: Box<[Worker]>,
    most: usize,
    /// How slow each handler was lately.
    scores: Box<[AtomicU8]>,
    supervisor: OnceLock<Thread>,
    supervisor_sleeps: AtomicBool,
}

#[derive(Default)]
struct Worker {
    /// Whether it may watch and serve. The supervisor takes it away, the caller of a worker gives it.
    permit: AtomicBool,
    /// When it went into the handler it is in, in milliseconds of the lot and never 0; 0 outside handlers.
    entered: AtomicU64,
    thread: Mutex<Option<Thread>>,
}

/// What is to be done, without the lock, to get one more worker going.
enum Call {
    Nobody,
    Wake(usize),
    Start(usize),
}

impl Workers {
    /// At most so many workers, not counting those in `readers` whose clients are gone.
    pub(crate) fn new(most: usize, readers: usize, handlers: usize) -> Workers {
        Workers {
            pool: Mutex::new(None),
            all: (0..most + readers).map(|_| Worker::default()).collect(),
            most,
            scores: (0..handlers).map(|_| AtomicU8::new(0)).collect(),
            supervisor: OnceLock::new(),
            supervisor_sleeps: AtomicBool::new(false),
        }
    }

    /// Starts the supervisor and as many workers as there are permits.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
        let supervised = shared.clone();
        let life = move || {
            supervise(&supervised);
            supervised.poller.lock().permits.alive -= 1;
            supervised.poller.changed.notify_all();
        };
        shared.poller.lock().permits.alive += 1;
        let started = thread::Builder::new().name("lockgate-super".into()).spawn(life);
        let supervisor = started.inspect_err(|_| shared.poller.lock().permits.alive -= 1)?;
        // Set once, here, before any worker runs.
        let _ = shared.workers.supervisor.set(supervisor.thread().clone());
        for _ in 0..shared.limits.workers {
            let call = shared.poller.lock().call(&shared.workers);
            shared.workers.perform(shared, call);
        }
        Ok(())
    }

    /// For a test, which is the worker's thread itself.
    #[cfg(test)]
    pub(crate) fn give_permit(&self, me: usize) {
        self.all[me].permit.store(true, Ordering::Release);
    }

    /// Whether calls of this handler were slow lately.
    pub(crate) fn expects_slow(&self, handler: usize) -> bool {
        self.scores.get(handler).is_some_and(|score| score.load(Ordering::Relaxed) >= EXPECTED_SLOW)
    }

    fn score(&self, handler: usize, took: Duration) {
        let Some(score) = self.scores.get(handler) else {
            return;
        };
        let before = score.load(Ordering::Relaxed);
        // Two workers may overwrite each other's score; it is an estimate.
        if took >= SLOW {
            score.store(before.saturating_add(SLOW_SCORE).min(MOST_SCORE), Ordering::Relaxed);
        } else if before > 0 {
            score.store(before - 1, Ordering::Relaxed);
        }
    }

    /// Gives up the worker's permit, if it has one, and calls another worker when there is something to do.
    fn release(&self, shared: &Arc<Shared>, me: usize) {
        if self.all[me].permit.swap(false, Ordering::AcqRel) {
            let mut state = shared.poller.lock();
            state.permits.free += 1;
            let call = state.call(self);
            drop(state);
            self.perform(shared, call);
        }
    }

    fn perform(&self, shared: &Arc<Shared>, call: Call) {
        match call {
            Call::Nobody => {}
            Call::Wake(worker) => self.all[worker].unpark(),
            Call::Start(worker) => {
                if let Err(error) = self.start_thread(shared, worker) {
                    self.all[worker].permit.store(false, Ordering::Release);
                    let now = Instant::now();
                    let mut state = shared.poller.lock();
                    state.permits.alive -= 1;
                    state.permits.free += 1;
                    state.permits.unused.push(worker);
                    state.permits.refused_at = Some(now);
                    let running = state.permits.running();
                    drop(state);
                    // A stop waits for as many as there are.
                    shared.poller.changed.notify_all();
                    let line = format_args!(
                        "the system refused another worker thread; going on with {running} of them, and trying again: it {error}"
                    );
                    shared.log_fault(THREAD_REFUSED, now, line);
                }
            }
        }
    }

    /// Starts the thread of a worker.
    fn start_thread(&self, shared: &Arc<Shared>, worker: usize) -> Result<(), String> {
        let mut held = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.as_ref().map(ThreadPool::max_count);
        // The pool panics when the system refuses a thread.
        let started = handler_call::run(THREAD_REFUSED, || match &mut *held {
            Some(pool) => pool.set_num_threads(pool.max_count() + 1),
            empty => *empty = Some(ThreadPool::with_name("lockgate-worker".into(), 1)),
        });
        match (started, held.as_mut()) {
            (Some(()), Some(pool)) => {
                let shared = shared.clone();
                pool.execute(move || work(&shared, worker));
                Ok(())
            }
            (_, pool) => {
                // It has counted the thread that it did not get.
                if let (Some(pool), Some(before)) = (pool, before) {
                    pool.set_num_threads(before);
                }
                Err(handler_call::faults().pop().map(|fault| fault.text).unwrap_or_default())
            }
        }
    }

    /// The worker's thread ends.
    fn retire_thread(&self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pool.as_mut() {
            // A thread of the pool ends between two jobs when there are more of them than there may be.
            pool.set_num_threads((pool.max_count() - 1).max(1));
        }
    }

    /// How many workers are inside a handler, and how many there may be.
    pub(crate) fn busy(&self) -> (usize, usize) {
        let is_busy = |worker: &&Worker| worker.entered.load(Ordering::Relaxed) != 0;
        (self.all.iter().filter(is_busy).count(), self.most)
    }

    pub(crate) fn wake_all(&self) {
        self.all.iter().for_each(Worker::unpark);
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.unpark();
        }
    }
}

impl Worker {
    fn unpark(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            thread.unpark();
        }
    }
}

impl State {
    /// Picks a worker for a free permit and hands it over, when there is something to do.
    fn call(&mut self, workers: &Workers) -> Call {
        if self.permits.free == 0 || !self.has_work() {
            return Call::Nobody;
        }
        let call = if let Some(worker) = self.permits.asleep.pop() {
            Call::Wake(worker)
        } else if self.may_start(workers) {
            self.permits.alive += 1;
            Call::Start(self.permits.unused.pop().unwrap_or_else(|| {
                self.permits.started += 1;
                self.permits.started - 1
            }))
        } else {
            return Call::Nobody;
        };
        let (Call::Wake(worker) | Call::Start(worker)) = call else {
            return call;
        };
        self.permits.free -= 1;
        workers.all[worker].permit.store(true, Ordering::Release);
        call
    }

    /// Whether nobody is left to take a free permit: every worker is inside a handler.
    fn is_exhausted(&self, workers: &Workers) -> bool {
        self.permits.free > 0 && self.has_work() && self.permits.asleep.is_empty() && !self.may_start(workers)
    }

    fn may_start(&self, workers: &Workers) -> bool {
        self.permits.running() < self.most_running(workers)
            && self.permits.refused_at.is_none_or(|refused| refused.elapsed() >= REFUSED_FOR)
    }

    /// How many may have one. For each that is inside a reader whose client is gone, one more.
    fn most_running(&self, workers: &Workers) -> usize {
        workers.most + self.abandoned_readers()
    }

    /// Puts a connection where its turn has left it. True when the watcher must be woken.
    #[must_use]
    fn settle(&mut self, outcome: Outcome<Box<Connection>>, dropped: &mut Option<Box<Connection>>) -> bool {
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
}

impl Shared {
    /// Around a handler, from its worker's side: before the call.
    pub(crate) fn enter_handler(self: &Arc<Self>, me: Option<usize>, handler: Option<usize>, now: Millis) {
        let Some(me) = me else { return };
        if handler.is_some_and(|handler| self.workers.expects_slow(handler)) {
            self.workers.release(self, me);
        }
        let worker = &self.workers.all[me];
        worker.entered.store(now.max(1), Ordering::SeqCst);
        if self.workers.supervisor_sleeps.load(Ordering::SeqCst)
            && self.workers.supervisor_sleeps.swap(false, Ordering::SeqCst)
        {
            self.wake_supervisor();
        }
    }

    /// Around a handler, from its worker's side: after the call.
    pub(crate) fn leave_handler(&self, me: Option<usize>, handler: Option<usize>, took: Duration) {
        let Some(me) = me else { return };
        self.workers.all[me].entered.store(0, Ordering::Release);
        if let Some(handler) = handler {
            self.workers.score(handler, took);
        }
    }

    /// Before a response's reader is asked for more.
    pub(crate) fn enter_reader(&self, key: usize) -> Entry {
        self.poller.lock().enter_reader(key)
    }

    /// After the reader has returned.
    pub(crate) fn leave_reader(self: &Arc<Self>, key: usize) {
        let mut state = self.poller.lock();
        if state.leave_reader(key) {
            // This worker may go on with its own response for long.
            let call = state.call(&self.workers);
            let wake = matches!(call, Call::Nobody) && state.is_overlooked();
            drop(state);
            self.workers.perform(self, call);
            if wake {
                self.poller.wake_watcher();
            }
        }
    }

    /// The worker is about to block inside a handler.
    pub(crate) fn about_to_block(self: &Arc<Self>, me: Option<usize>) {
        if let Some(me) = me {
            self.workers.release(self, me);
        }
    }

    pub(crate) fn has_permit(&self, me: Option<usize>) -> bool {
        me.is_none_or(|me| self.workers.all[me].permit.load(Ordering::Acquire))
    }

    fn wake_supervisor(&self) {
        if let Some(thread) = self.workers.supervisor.get() {
            thread.unpark();
        }
    }
}

/// How long a worker's turns take lately, from one watch to the next.
#[derive(Default)]
struct Pace {
    resumed: Option<Duration>,
    turns: u32,
    average: Duration,
}

impl Pace {
    fn resume(&mut self, now: Duration) {
        self.resumed = Some(now);
        self.turns = 0;
    }

    fn rest(&mut self, now: Duration) {
        if let (Some(resumed), 1..) = (self.resumed, self.turns) {
            self.average = (self.average * 3 + now.saturating_sub(resumed) / self.turns) / 4;
        }
    }

    /// What so many turns will take, going by the last ones.
    fn time_for(&self, turns: usize) -> Duration {
        self.average * turns.min(1_000) as u32
    }
}

/// A worker's life.
fn work(shared: &Arc<Shared>, me: usize) {
    let worker = &shared.workers.all[me];
    *worker.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
    let mut input = Input::new(&shared.limits);
    let mut buffers = Buffers::new(shared, Some(me));
    let mut pace = Pace::default();
    let mut state = shared.poller.lock();
    while state.phase < Phase::Stopped {
        if state.permits.running() > state.most_running(&shared.workers) {
            // It stood in for a worker that has come back from a reader.
            if worker.permit.swap(false, Ordering::AcqRel) {
                state.permits.free += 1;
            }
            state.permits.unused.push(me);
            let call = state.call(&shared.workers);
            state.permits.alive -= 1;
            drop(state);
            shared.poller.changed.notify_all();
            shared.workers.retire_thread();
            shared.workers.perform(shared, call);
            return;
        }
        if !worker.permit.load(Ordering::Acquire) {
            if state.permits.free > 0 && state.has_work() {
                state.permits.free -= 1;
                worker.permit.store(true, Ordering::Release);
            } else {
                state.permits.asleep.push(me);
                drop(state);
                while !worker.permit.load(Ordering::Acquire) && !shared.is_stopped() {
                    thread::park();
                }
                buffers.look();
                state = shared.poller.lock();
                continue;
            }
        }
        if let Some(ready) = state.take_ready() {
            drop(state);
            let outcome = serve(ready, &mut input, &mut buffers, Handlers::Call);
            pace.turns += 1;
            state = put_back(shared, outcome, Some(me));
        } else if !state.watching {
            pace.rest(buffers.look());
            state.watching = true;
            state = shared.poller.watch(state, &mut buffers.clock, None);
            pace.resume(buffers.clock.elapsed());
            // This worker takes one of them; whoever finds none left watches next.
            if state.permits.free > 0 && pace.time_for(state.ready.len().saturating_sub(1)) >= WORTH_A_CALL {
                let call = state.call(&shared.workers);
                drop(state);
                shared.workers.perform(shared, call);
                state = shared.poller.lock();
            }
        } else if worker.permit.swap(false, Ordering::AcqRel) {
            state.permits.free += 1;
        }
    }
    state.permits.alive -= 1;
    drop(state);
    shared.poller.changed.notify_all();
}

/// Puts a connection where its turn has left it, and wakes whoever has to know. `me` is the worker that served it.
fn put_back<'s>(
    shared: &'s Arc<Shared>,
    outcome: Outcome<Box<Connection>>,
    me: Option<usize>,
) -> MutexGuard<'s, State> {
    let closed = matches!(outcome, Outcome::Closed(_));
    let mut dropped = None;
    let mut state = shared.poller.lock();
    let mut wake = state.settle(outcome, &mut dropped);
    // Who has a permit goes on with what is ready; who has none, or calls no handlers, leaves it to others.
    let goes_on = me.is_some_and(|me| shared.workers.all[me].permit.load(Ordering::Acquire));
    wake |= !goes_on && state.is_overlooked();
    let drained = (closed || dropped.is_some()) && state.phase >= Phase::Draining;
    if !wake && !drained && dropped.is_none() {
        return state;
    }
    drop(state);
    if let Some(connection) = dropped {
        connection.end(shared);
    }
    if wake {
        shared.poller.wake_watcher();
    }
    if drained {
        shared.poller.changed.notify_all();
    }
    shared.poller.lock()
}

/// Gives a connection its turn. A panic in it costs this connection and nothing else.
fn serve(
    ready: Ready<Box<Connection>>,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
    handlers: Handlers,
) -> Outcome<Box<Connection>> {
    let (key, peer) = (ready.connection.key(), ready.connection.peer());
    let outcome = handler_call::run("a panic in a connection", || {
        ready.connection.advance(ready.reason, Turn { since: ready.since, handlers, input, buffers })
    });
    let faults = if handler_call::went_wrong() { handler_call::faults() } else { Vec::new() };
    for Fault { what, text } in faults {
        buffers.shared.log_fault(what, buffers.now(), format_args!("{peer}: serving the connection {text}"));
    }
    outcome.unwrap_or_else(|| {
        buffers.shared.leave_handler(buffers.me, None, Duration::ZERO);
        Outcome::Closed(key)
    })
}

/// The supervisor's life: it takes permits away from workers that block, sees to it that somebody watches, and when every
/// worker is inside a handler, watches itself: it goes on with everything but handlers, and refuses what waits too long.
fn supervise(shared: &Arc<Shared>) {
    let workers = &shared.workers;
    let mut kept = None;
    let mut quiet = 0;
    let mut watches = 0;
    while !shared.is_stopped() {
        let now = shared.poller.millis(Instant::now());
        let mut handlers_run = false;
        let mut state = shared.poller.lock();
        for worker in &workers.all[..state.permits.started] {
            let entered = worker.entered.load(Ordering::SeqCst);
            handlers_run |= entered != 0;
            let blocked = entered != 0 && now.saturating_sub(entered) >= BLOCKED_AFTER;
            if blocked && worker.permit.swap(false, Ordering::AcqRel) {
                state.permits.free += 1;
            }
        }
        if state.is_exhausted(workers) {
            quiet = 0;
            drop(state);
            let (input, buffers) =
                kept.get_or_insert_with(|| (Input::new(&shared.limits), Buffers::new(shared, None)));
            relieve(shared, input, buffers);
            continue;
        }
        // Workers that watch again and again are quick enough; while nobody has watched for a tick, one may be stuck.
        let stuck = std::mem::replace(&mut watches, state.watches) == state.watches;
        let call = if stuck { state.call(workers) } else { Call::Nobody };
        drop(state);
        workers.perform(shared, call);

        quiet = if handlers_run { 0 } else { quiet + 1 };
        if quiet < QUIET_TICKS {
            thread::sleep(TICK);
            continue;
        }
        workers.supervisor_sleeps.store(true, Ordering::SeqCst);
        // A handler that was entered before the store has not woken us, so look once more before going to sleep.
        let entered = workers.all.iter().any(|worker| worker.entered.load(Ordering::SeqCst) != 0);
        while !entered && workers.supervisor_sleeps.load(Ordering::SeqCst) && !shared.is_stopped() {
            thread::park();
        }
        workers.supervisor_sleeps.store(false, Ordering::SeqCst);
        quiet = 0;
    }
}

/// One tick in the place of the workers, all of whom are inside handlers.
fn relieve(shared: &Arc<Shared>, input: &mut Input, buffers: &mut Buffers<'_>) {
    let mut state = shared.poller.lock();
    if state.ready.is_empty() && state.watching {
        drop(state);
        thread::sleep(TICK);
        return;
    }
    buffers.look();
    if state.ready.is_empty() {
        state.watching = true;
        state = shared.poller.watch(state, &mut buffers.clock, Some(TICK));
    }
    let now = buffers.millis();
    let longest = shared.limits.queue_timeout.as_millis() as Millis;
    let mut turns = state.ready.len();
    loop {
        let overdue = state.queue.front().is_some_and(|waiting| now.saturating_sub(waiting.since) > longest);
        let (ready, handlers) = if overdue {
            (state.queue.pop_front(), Handlers::Refuse)
        } else if turns > 0 {
            turns -= 1;
            let room = state.queue.len() < shared.limits.queue_requests;
            (state.ready.pop_front(), if room { Handlers::Defer } else { Handlers::Refuse })
        } else {
            return;
        };
        let Some(ready) = ready else { return };
        drop(state);
        let outcome = serve(ready, input, buffers, handlers);
        state = put_back(shared, outcome, None);
    }
}

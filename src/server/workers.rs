//! The workers: pool threads that take turns at watching and serve ready connections. As many run at a time as there are
//! permits, one a core. A worker that blocks in a handler loses its permit, and a worker of the reserve takes over, so that a
//! thread always watches. For a quick handler this costs two atomic stores. Only this file uses threadpool. It knows no
//! connection: a [`Service`] says what is served and how. The supervisor starts the workers and watches them.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use threadpool::ThreadPool;

use super::clock::{Clock, Millis};
use super::pace::Pace;
use super::permits::Call;
use super::places::{Entry, Parked, Phase, Places};
use super::poller::Poller;
use super::scheduler::Scheduler;
use super::scores::Scores;
use super::turn::{Handlers, Outcome, Signals, TakeTurn};
use crate::handler_call;
use crate::wake_list::WakeList;

/// A worker inside a handler for this long counts as blocked. With a shorter time, a preempted worker would look blocked.
const BLOCKED_AFTER: Millis = 10;

/// Another worker is called if there is work for longer than this. With a shorter time, waking a thread costs more CPU time
/// than the shorter wait is worth: 5 % at 8 busy connections, measured.
const WORTH_A_CALL: Duration = Duration::from_micros(100);

/// Its kind in the log.
const THREAD_REFUSED: &str = "a thread refused";

/// What the workers serve, and with which buffers.
pub(crate) trait Service: Send + Sync + Sized + 'static {
    type Held: Parked + TakeTurn + Send + 'static;

    fn poller(&self) -> &Poller<Self::Held>;
    fn workers(&self) -> &Workers;
    fn is_stopped(&self) -> bool;
    /// Logs a fault of this kind.
    fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>);

    /// The buffers of a worker, or of the supervisor with `None`.
    fn buffers(service: &Arc<Self>, me: Option<usize>) -> BuffersOf<'_, Self>;
    fn clock<'b>(buffers: &'b mut BuffersOf<'_, Self>) -> &'b mut Clock;
    /// Ends a connection that has no place after a stop.
    fn end(&self, held: Self::Held);
}

/// The buffers of a worker.
pub(crate) type BuffersOf<'s, S> = <<S as Service>::Held as TakeTurn>::Buffers<'s>;

impl<S: Service> Scheduler for Arc<S> {
    fn millis(&self, at: Instant) -> Millis {
        self.poller().millis(at)
    }

    fn listen_for_writable(&self, key: usize, descriptor: RawFd) -> io::Result<()> {
        self.poller().listen_for_writable(key, descriptor)
    }

    fn await_signals(&self, key: usize, until: Instant) -> Signals {
        self.poller().await_signals(key, until)
    }

    fn service(&self) -> &dyn Any {
        self
    }

    fn is_gone(&self, key: usize) -> bool {
        self.poller().lock().is_gone(key)
    }

    fn take_reader_place(&self, key: usize) -> bool {
        self.poller().lock().take_reader_place(key)
    }

    fn enter_reader(&self, key: usize) -> Entry {
        self.poller().lock().enter_reader(key)
    }

    fn leave_reader(&self, key: usize) {
        let mut places = self.poller().lock();
        if places.leave_reader(key) {
            // This worker may continue with its own response for long, so another is called for the ready ones.
            let call = self.workers().call(&mut places, self.poller().millis(Instant::now()));
            let wake = call == Call::Nobody && places.is_overlooked();
            drop(places);
            self.workers().perform(self, call);
            if wake {
                self.poller().wake_watcher();
            }
        }
    }

    fn wake_list(&self) -> Arc<WakeList> {
        self.poller().wake_list.clone()
    }

    fn about_to_block(&self, me: Option<usize>) {
        if let Some(me) = me {
            self.workers().release(self, me, self.poller().millis(Instant::now()));
        }
    }
}

/// The number of workers, and of requests that may wait for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How many workers run at a time.
    pub permits: usize,
    /// The most workers with a thread, not counting those inside readers whose clients are gone.
    pub most: usize,
    pub readers: usize,
    /// How long a request waits for a worker before the supervisor refuses it.
    pub queue_timeout: Millis,
    pub queue_requests: usize,
}

/// The state of all workers.
pub(crate) struct Workers {
    /// Created with the first worker.
    pool: Mutex<Option<ThreadPool>>,
    /// As many as there may be, and one more for each reader's place, because another worker replaces one inside a reader whose
    /// client is gone.
    all: Box<[Worker]>,
    pub(crate) sizes: Sizes,
    scores: Scores,
    supervisor: OnceLock<Thread>,
    supervisor_sleeps: AtomicBool,
}

#[derive(Default)]
struct Worker {
    /// Whether it may watch and serve. The caller of a worker gives the permit, and the supervisor takes it away.
    permit: AtomicBool,
    /// When it entered its current handler, in milliseconds of the poller, never 0. Outside of handlers it is 0.
    entered: AtomicU64,
    thread: Mutex<Option<Thread>>,
}

impl Workers {
    /// Workers of these sizes, for this many handlers.
    pub(crate) fn new(sizes: Sizes, handlers: usize) -> Workers {
        Workers {
            pool: Mutex::new(None),
            all: (0..sizes.most + sizes.readers).map(|_| Worker::default()).collect(),
            sizes,
            scores: Scores::new(handlers),
            supervisor: OnceLock::new(),
            supervisor_sleeps: AtomicBool::new(false),
        }
    }

    /// For a test that runs as the worker's thread itself.
    #[cfg(test)]
    pub(crate) fn give_permit(&self, me: usize) {
        self.all[me].permit.store(true, Ordering::Release);
    }

    /// The worker calls this before a handler. `about_to_block` gives the worker's permit up.
    #[inline]
    pub(crate) fn enter_handler(
        &self,
        me: Option<usize>,
        handler: Option<usize>,
        now: Millis,
        about_to_block: impl FnOnce(),
    ) {
        let Some(me) = me else { return };
        if handler.is_some_and(|handler| self.scores.expects_slow(handler)) {
            about_to_block();
        }
        self.all[me].entered.store(now.max(1), Ordering::SeqCst);
        if self.supervisor_sleeps.load(Ordering::SeqCst) {
            self.end_supervisors_sleep();
        }
    }

    #[cold]
    fn end_supervisors_sleep(&self) {
        if self.supervisor_sleeps.swap(false, Ordering::SeqCst) {
            self.wake_supervisor();
        }
    }

    /// The worker calls this after a handler.
    #[inline]
    pub(crate) fn leave_handler(&self, me: Option<usize>, handler: Option<usize>, took: Duration) {
        let Some(me) = me else { return };
        self.all[me].entered.store(0, Ordering::Release);
        if let Some(handler) = handler {
            self.scores.note(handler, took);
        }
    }

    #[inline]
    pub(crate) fn has_permit(&self, me: Option<usize>) -> bool {
        me.map_or(true, |me| self.all[me].permit.load(Ordering::Acquire))
    }

    /// Whether this handler is expected to be slow.
    pub(crate) fn expects_slow(&self, handler: usize) -> bool {
        self.scores.expects_slow(handler)
    }

    /// Gives a free permit to a worker, when there is something to do.
    pub(crate) fn call<C: Parked>(&self, places: &mut Places<C>, now: Millis) -> Call {
        if !places.has_work() {
            return Call::Nobody;
        }
        let most = self.most_running(places);
        let call = places.permits.call(most, now);
        if let Call::Wake(worker) | Call::Start(worker) = call {
            self.all[worker].permit.store(true, Ordering::Release);
        }
        call
    }

    /// How many workers may have a thread: one more for each worker inside a reader whose client is gone.
    fn most_running<C: Parked>(&self, places: &Places<C>) -> usize {
        self.sizes.most + places.abandoned_readers()
    }

    /// Whether there is work but no worker to call, because all are inside handlers.
    pub(crate) fn are_exhausted<C: Parked>(&self, places: &Places<C>, now: Millis) -> bool {
        places.has_work() && places.permits.are_exhausted(self.most_running(places), now)
    }

    /// Gives up the worker's permit, if it has one, and calls another worker if there is something to do.
    fn release<S: Service>(&self, service: &Arc<S>, me: usize, now: Millis) {
        if self.all[me].permit.swap(false, Ordering::AcqRel) {
            let mut places = service.poller().lock();
            places.permits.give_back();
            let call = self.call(&mut places, now);
            drop(places);
            self.perform(service, call);
        }
    }

    /// Takes the permits of workers that are blocked inside handlers. Returns whether any worker is inside a handler.
    pub(crate) fn release_blocked<C: Parked>(&self, places: &mut Places<C>, now: Millis) -> bool {
        let mut handlers_run = false;
        for worker in &self.all[..places.permits.started()] {
            let entered = worker.entered.load(Ordering::SeqCst);
            handlers_run |= entered != 0;
            let blocked = entered != 0 && now.saturating_sub(entered) >= BLOCKED_AFTER;
            if blocked && worker.permit.swap(false, Ordering::AcqRel) {
                places.permits.give_back();
            }
        }
        handlers_run
    }

    pub(crate) fn perform<S: Service>(&self, service: &Arc<S>, call: Call) {
        match call {
            Call::Nobody => {}
            Call::Wake(worker) => self.all[worker].unpark(),
            Call::Start(worker) => {
                if let Err(error) = self.start_thread(service, worker) {
                    self.refused(service, worker, &error);
                }
            }
        }
    }

    /// Handles the system's refusal of a thread for this worker.
    fn refused<S: Service>(&self, service: &Arc<S>, worker: usize, error: &str) {
        self.all[worker].permit.store(false, Ordering::Release);
        let (poller, now) = (service.poller(), Instant::now());
        let mut places = poller.lock();
        places.permits.refuse(worker, poller.millis(now));
        let running = places.permits.running();
        drop(places);
        // A stop waits for a number of threads, which has changed.
        poller.changed.notify_all();
        service.log_fault(
            THREAD_REFUSED,
            now,
            format_args!(
                "the system refused another worker thread; going on with {running} of them, and trying again: it {error}"
            ),
        );
    }

    /// Starts the thread of a worker.
    fn start_thread<S: Service>(&self, service: &Arc<S>, worker: usize) -> Result<(), String> {
        let mut held = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.as_ref().map(ThreadPool::max_count);
        // The pool panics when the system refuses a thread.
        let started = handler_call::run(THREAD_REFUSED, || match &mut *held {
            Some(pool) => pool.set_num_threads(pool.max_count() + 1),
            empty => *empty = Some(ThreadPool::with_name("lockgate-worker".into(), 1)),
        });
        match (started, held.as_mut()) {
            (Some(()), Some(pool)) => {
                let service = service.clone();
                pool.execute(move || work(&service, worker));
                Ok(())
            }
            (_, pool) => {
                // The pool has counted the thread that it did not get.
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
            // A pool thread ends between two jobs when there are more threads than the maximum.
            pool.set_num_threads((pool.max_count() - 1).max(1));
        }
    }

    /// How many workers are inside handlers, and how many workers there may be.
    pub(crate) fn busy(&self) -> (usize, usize) {
        let is_busy = |worker: &&Worker| worker.entered.load(Ordering::Relaxed) != 0;
        (self.all.iter().filter(is_busy).count(), self.sizes.most)
    }

    pub(crate) fn wake_all(&self) {
        self.all.iter().for_each(Worker::unpark);
        self.wake_supervisor();
    }

    /// Sets the supervisor's thread. Called once, before any worker runs.
    pub(crate) fn set_supervisor(&self, thread: Thread) {
        let _ = self.supervisor.set(thread);
    }

    fn wake_supervisor(&self) {
        if let Some(thread) = self.supervisor.get() {
            thread.unpark();
        }
    }

    /// Lets the supervisor's thread sleep until a worker enters a handler, or `is_over`.
    pub(crate) fn sleep_until_handlers_run(&self, is_over: impl Fn() -> bool) {
        self.supervisor_sleeps.store(true, Ordering::SeqCst);
        // A handler that was entered before the store has not woken this thread, so check once more before sleeping.
        let entered = self.all.iter().any(|worker| worker.entered.load(Ordering::SeqCst) != 0);
        while !entered && self.supervisor_sleeps.load(Ordering::SeqCst) && !is_over() {
            thread::park();
        }
        self.supervisor_sleeps.store(false, Ordering::SeqCst);
    }
}

impl Worker {
    /// Takes a free permit, if there is work for it.
    fn takes_permit<C: Parked>(&self, places: &mut Places<C>) -> bool {
        let takes = places.has_work() && places.permits.take();
        if takes {
            self.permit.store(true, Ordering::Release);
        }
        takes
    }

    fn unpark(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            thread.unpark();
        }
    }
}

/// A worker's life.
fn work<S: Service>(service: &Arc<S>, me: usize) {
    let (poller, workers) = (service.poller(), service.workers());
    let worker = &workers.all[me];
    *worker.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
    let mut buffers = S::buffers(service, Some(me));
    let mut pace = Pace::default();
    let mut places = poller.lock();
    while places.phase < Phase::Stopped {
        if places.permits.are_too_many(workers.most_running(&places)) {
            return retire(service, me, places);
        }
        if !worker.permit.load(Ordering::Acquire) && !worker.takes_permit(&mut places) {
            places = rest(service, me, S::clock(&mut buffers), places);
            continue;
        }
        if let Some(ready) = places.take_ready() {
            drop(places);
            let outcome = S::Held::take_turn(ready, &mut buffers, Handlers::Call);
            pace.turn();
            places = put_back(service, outcome, Some(me));
            if S::Held::has_left_work(&buffers) {
                drop(places);
                S::Held::do_left_work(&mut buffers);
                places = poller.lock();
            }
        } else if !places.watching {
            let clock = S::clock(&mut buffers);
            pace.rest(clock.look());
            places.watching = true;
            places = poller.watch(places, clock, None);
            pace.resume(clock.elapsed());
            // This worker takes one of them. The first worker that finds none left watches next.
            if places.permits.any_free()
                && pace.time_for(places.ready.len().saturating_sub(1)) >= WORTH_A_CALL
            {
                places = call_another(service, clock.millis(), places);
            }
        } else if worker.permit.swap(false, Ordering::AcqRel) {
            places.permits.give_back();
        }
    }
    places.permits.alive -= 1;
    drop(places);
    poller.changed.notify_all();
}

/// Ends the worker, which has replaced another that has now returned from a reader.
fn retire<S: Service>(service: &Arc<S>, me: usize, mut places: MutexGuard<'_, Places<S::Held>>) {
    let (poller, workers) = (service.poller(), service.workers());
    if workers.all[me].permit.swap(false, Ordering::AcqRel) {
        places.permits.give_back();
    }
    places.permits.retire(me);
    let call = workers.call(&mut places, poller.millis(Instant::now()));
    places.permits.alive -= 1;
    drop(places);
    poller.changed.notify_all();
    workers.retire_thread();
    workers.perform(service, call);
}

/// Sleeps until the worker has a permit, or a stop.
fn rest<'p, S: Service>(
    service: &'p Arc<S>,
    me: usize,
    clock: &mut Clock,
    mut places: MutexGuard<'p, Places<S::Held>>,
) -> MutexGuard<'p, Places<S::Held>> {
    places.permits.fall_asleep(me);
    drop(places);
    while !service.workers().all[me].permit.load(Ordering::Acquire) && !service.is_stopped() {
        thread::park();
    }
    clock.look();
    service.poller().lock()
}

/// Calls another worker, if there is one.
fn call_another<'p, S: Service>(
    service: &'p Arc<S>,
    now: Millis,
    mut places: MutexGuard<'p, Places<S::Held>>,
) -> MutexGuard<'p, Places<S::Held>> {
    let call = service.workers().call(&mut places, now);
    drop(places);
    service.workers().perform(service, call);
    service.poller().lock()
}

/// Puts a connection to where its turn's outcome says, and wakes the threads that this concerns. `me` is the worker that served
/// it.
pub(crate) fn put_back<S: Service>(
    service: &Arc<S>,
    outcome: Outcome<S::Held>,
    me: Option<usize>,
) -> MutexGuard<'_, Places<S::Held>> {
    let poller = service.poller();
    let closed = matches!(outcome, Outcome::Closed(_));
    let mut dropped = None;
    let mut places = poller.lock();
    let mut wake = places.settle(outcome, &mut dropped);
    // A worker with a permit continues with the ready connections. A worker without one, and the supervisor, leave them to
    // others.
    let goes_on = me.is_some() && service.workers().has_permit(me);
    wake |= !goes_on && places.is_overlooked();
    let drained = (closed || dropped.is_some()) && places.phase >= Phase::Draining;
    if !wake && !drained && dropped.is_none() {
        return places;
    }
    drop(places);
    if let Some(held) = dropped {
        service.end(held);
    }
    if wake {
        poller.wake_watcher();
    }
    if drained {
        poller.changed.notify_all();
    }
    poller.lock()
}

#[cfg(test)]
mod tests;

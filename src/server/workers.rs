//! The workers: threads of a pool that watch in turns and serve what is ready, as many at a time as there are permits, one a
//! core. A worker that blocks in a handler loses its permit, and another is called in from the reserve, so that somebody
//! always watches. A quick handler pays two atomic stores for that. The only place that uses threadpool. It knows no
//! connection: what it serves, and how, is a [`Service`]. The supervisor starts it and watches over it.

use std::fmt;
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
use super::scores::Scores;
use super::turn::{Handlers, Outcome, Ready};
use crate::handler_call;

/// A worker that has been inside a handler for this long blocks. With less, one that was merely preempted looks blocked.
const BLOCKED_AFTER: Millis = 10;

/// Work for longer than this is worth calling another worker for. With less, waking a thread costs more CPU than the
/// shorter wait is worth: at 8 busy connections 5 % of it, measured.
const WORTH_A_CALL: Duration = Duration::from_micros(100);

/// What the log calls it.
const THREAD_REFUSED: &str = "a thread refused";

/// What the workers serve, and with what.
pub(crate) trait Service: Send + Sync + Sized + 'static {
    type Held: Parked + Send + 'static;
    /// What a worker keeps between turns.
    type Buffers<'s>;

    fn poller(&self) -> &Poller<Self::Held>;
    fn workers(&self) -> &Workers;
    fn is_stopped(&self) -> bool;
    /// Writes a fault of this kind to the log.
    fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>);

    /// The buffers of a worker, or with `None` of the supervisor.
    fn buffers(service: &Arc<Self>, me: Option<usize>) -> Self::Buffers<'_>;
    fn clock<'b>(buffers: &'b mut Self::Buffers<'_>) -> &'b mut Clock;
    /// Gives a turn. It does not panic.
    fn serve(
        ready: Ready<Self::Held>,
        buffers: &mut Self::Buffers<'_>,
        handlers: Handlers,
    ) -> Outcome<Self::Held>;
    /// Ends what a stop leaves no place to.
    fn end(&self, held: Self::Held);

    /// Before a response's reader is asked for more.
    fn enter_reader(&self, key: usize) -> Entry {
        self.poller().lock().enter_reader(key)
    }

    /// After the reader has returned.
    fn leave_reader(self: &Arc<Self>, key: usize) {
        let mut places = self.poller().lock();
        if places.leave_reader(key) {
            // This worker may go on with its own response for long.
            let call = self.workers().call(&mut places, self.poller().millis(Instant::now()));
            let wake = call == Call::Nobody && places.is_overlooked();
            drop(places);
            self.workers().perform(self, call);
            if wake {
                self.poller().wake_watcher();
            }
        }
    }

    /// The worker is about to block inside a handler.
    fn about_to_block(self: &Arc<Self>, me: Option<usize>) {
        if let Some(me) = me {
            self.workers().release(self, me, self.poller().millis(Instant::now()));
        }
    }
}

/// How many workers there are, and what may wait for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Workers that run at a time.
    pub permits: usize,
    /// Workers with a thread, not counting those in `readers` whose clients are gone.
    pub most: usize,
    pub readers: usize,
    /// How long a request waits for a worker before the supervisor refuses it.
    pub queue_timeout: Millis,
    pub queue_requests: usize,
}

/// All that is known about the workers.
pub(crate) struct Workers {
    /// Made with the first worker.
    pool: Mutex<Option<ThreadPool>>,
    /// As many as there may be, and one more for each place for a reader: for a worker inside a reader whose client is gone
    /// another stands in.
    all: Box<[Worker]>,
    pub(crate) sizes: Sizes,
    scores: Scores,
    supervisor: OnceLock<Thread>,
    supervisor_sleeps: AtomicBool,
}

#[derive(Default)]
struct Worker {
    /// Whether it may watch and serve. The supervisor takes it away, the caller of a worker gives it.
    permit: AtomicBool,
    /// When it went into the handler it is in, in milliseconds of the poller and never 0; 0 outside handlers.
    entered: AtomicU64,
    thread: Mutex<Option<Thread>>,
}

impl Workers {
    /// For so many handlers.
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

    /// For a test, which is the worker's thread itself.
    #[cfg(test)]
    pub(crate) fn give_permit(&self, me: usize) {
        self.all[me].permit.store(true, Ordering::Release);
    }

    /// Around a handler, from its worker's side: before the call. `about_to_block` gives the worker's permit up.
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
        if self.supervisor_sleeps.load(Ordering::SeqCst)
            && self.supervisor_sleeps.swap(false, Ordering::SeqCst)
        {
            self.wake_supervisor();
        }
    }

    /// Around a handler, from its worker's side: after the call.
    #[inline]
    pub(crate) fn leave_handler(&self, me: Option<usize>, handler: Option<usize>, took: Duration) {
        let Some(me) = me else { return };
        self.all[me].entered.store(0, Ordering::Release);
        if let Some(handler) = handler {
            self.scores.note(handler, took);
        }
    }

    pub(crate) fn has_permit(&self, me: Option<usize>) -> bool {
        me.is_none_or(|me| self.all[me].permit.load(Ordering::Acquire))
    }

    /// Whether calls of this handler were slow lately.
    pub(crate) fn expects_slow(&self, handler: usize) -> bool {
        self.scores.expects_slow(handler)
    }

    /// Picks a worker for a free permit and hands it over, when there is something to do.
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

    /// How many may have a thread. For each that is inside a reader whose client is gone, one more.
    fn most_running<C: Parked>(&self, places: &Places<C>) -> usize {
        self.sizes.most + places.abandoned_readers()
    }

    /// Whether there is work and nobody left to call for it: every worker is inside a handler.
    pub(crate) fn are_exhausted<C: Parked>(&self, places: &Places<C>, now: Millis) -> bool {
        places.has_work() && places.permits.are_exhausted(self.most_running(places), now)
    }

    /// Gives up the worker's permit, if it has one, and calls another worker when there is something to do.
    fn release<S: Service>(&self, service: &Arc<S>, me: usize, now: Millis) {
        if self.all[me].permit.swap(false, Ordering::AcqRel) {
            let mut places = service.poller().lock();
            places.permits.give_back();
            let call = self.call(&mut places, now);
            drop(places);
            self.perform(service, call);
        }
    }

    /// Takes the permits of workers that block inside handlers. Whether any worker is inside one.
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

    /// The system has refused the worker its thread.
    fn refused<S: Service>(&self, service: &Arc<S>, worker: usize, error: &str) {
        self.all[worker].permit.store(false, Ordering::Release);
        let (poller, now) = (service.poller(), Instant::now());
        let mut places = poller.lock();
        places.permits.refuse(worker, poller.millis(now));
        let running = places.permits.running();
        drop(places);
        // A stop waits for as many as there are.
        poller.changed.notify_all();
        let line = format_args!(
            "the system refused another worker thread; going on with {running} of them, and trying again: it {error}"
        );
        service.log_fault(THREAD_REFUSED, now, line);
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
        (self.all.iter().filter(is_busy).count(), self.sizes.most)
    }

    pub(crate) fn wake_all(&self) {
        self.all.iter().for_each(Worker::unpark);
        self.wake_supervisor();
    }

    /// Names the thread of the supervisor. Once, before any worker runs.
    pub(crate) fn set_supervisor(&self, thread: Thread) {
        let _ = self.supervisor.set(thread);
    }

    fn wake_supervisor(&self) {
        if let Some(thread) = self.supervisor.get() {
            thread.unpark();
        }
    }

    /// The supervisor's thread sleeps until a worker goes into a handler, or `is_over`.
    pub(crate) fn sleep_until_handlers_run(&self, is_over: impl Fn() -> bool) {
        self.supervisor_sleeps.store(true, Ordering::SeqCst);
        // A handler that was entered before the store has not woken us, so look once more before going to sleep.
        let entered = self.all.iter().any(|worker| worker.entered.load(Ordering::SeqCst) != 0);
        while !entered && self.supervisor_sleeps.load(Ordering::SeqCst) && !is_over() {
            thread::park();
        }
        self.supervisor_sleeps.store(false, Ordering::SeqCst);
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
            // It stood in for a worker that has come back from a reader.
            if worker.permit.swap(false, Ordering::AcqRel) {
                places.permits.give_back();
            }
            places.permits.retire(me);
            let call = workers.call(&mut places, poller.millis(Instant::now()));
            places.permits.alive -= 1;
            drop(places);
            poller.changed.notify_all();
            workers.retire_thread();
            workers.perform(service, call);
            return;
        }
        if !worker.permit.load(Ordering::Acquire) {
            if places.has_work() && places.permits.take() {
                worker.permit.store(true, Ordering::Release);
            } else {
                places.permits.fall_asleep(me);
                drop(places);
                while !worker.permit.load(Ordering::Acquire) && !service.is_stopped() {
                    thread::park();
                }
                S::clock(&mut buffers).look();
                places = poller.lock();
                continue;
            }
        }
        if let Some(ready) = places.take_ready() {
            drop(places);
            let outcome = S::serve(ready, &mut buffers, Handlers::Call);
            pace.turn();
            places = put_back(service, outcome, Some(me));
        } else if !places.watching {
            let clock = S::clock(&mut buffers);
            pace.rest(clock.look());
            places.watching = true;
            places = poller.watch(places, clock, None);
            pace.resume(clock.elapsed());
            // This worker takes one of them; the first to find none left watches next.
            if places.permits.any_free()
                && pace.time_for(places.ready.len().saturating_sub(1)) >= WORTH_A_CALL
            {
                let call = workers.call(&mut places, clock.millis());
                drop(places);
                workers.perform(service, call);
                places = poller.lock();
            }
        } else if worker.permit.swap(false, Ordering::AcqRel) {
            places.permits.give_back();
        }
    }
    places.permits.alive -= 1;
    drop(places);
    poller.changed.notify_all();
}

/// Puts a connection where its turn has left it, and wakes the threads that have to know. `me` is the worker that served it.
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
    // A worker with a permit goes on with what is ready; one without, and the supervisor, leaves it to others.
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

//! Which workers may run. There is one permit a core; this file decides which worker gets the next one. It holds only counts
//! and numbers, and time is a parameter. `workers` has the threads. The permits are under the poller's lock, because a worker
//! is called exactly when the poller has work for it.

use super::clock::Millis;

/// How long no thread is started after the system has refused one.
const REFUSED_FOR: Millis = 1_000;

/// What to do, without the lock, to get one more worker running. The worker already has its permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Nobody,
    Wake(usize),
    Start(usize),
}

#[derive(Debug)]
pub(crate) struct Permits {
    /// Permits that no worker holds.
    free: usize,
    /// Workers that wait to be called. The last to fall asleep is last.
    asleep: Vec<usize>,
    /// How many numbers were given to workers.
    started: usize,
    /// Given numbers that no worker has now.
    unused: Vec<usize>,
    /// When the system last refused a worker its thread.
    refused_at: Option<Millis>,
    /// Threads that have not ended: the workers' and the supervisor's.
    pub(crate) alive: usize,
}

impl Permits {
    pub(crate) fn new(free: usize) -> Permits {
        Permits { free, asleep: Vec::new(), started: 0, unused: Vec::new(), refused_at: None, alive: 0 }
    }

    /// How many workers have a thread.
    pub(crate) fn running(&self) -> usize {
        self.started - self.unused.len()
    }

    /// All numbers of workers are below this.
    pub(crate) fn started(&self) -> usize {
        self.started
    }

    /// Whether a permit is free.
    pub(crate) fn any_free(&self) -> bool {
        self.free > 0
    }

    /// Takes a permit for a worker that is awake. Returns false when none is free.
    #[must_use]
    pub(crate) fn take(&mut self) -> bool {
        let takes = self.free > 0;
        self.free -= usize::from(takes);
        takes
    }

    /// Returns the permit of a worker that has lost it or gives it back.
    pub(crate) fn give_back(&mut self) {
        self.free += 1;
    }

    /// Takes a free permit for a waiting worker (the last to fall asleep first) or for a new one, if there are fewer than
    /// `most`.
    pub(crate) fn call(&mut self, most: usize, now: Millis) -> Call {
        if self.free == 0 {
            return Call::Nobody;
        }
        let call = if let Some(worker) = self.asleep.pop() {
            Call::Wake(worker)
        } else if self.may_start(most, now) {
            self.alive += 1;
            Call::Start(self.unused.pop().unwrap_or_else(|| {
                self.started += 1;
                self.started - 1
            }))
        } else {
            return Call::Nobody;
        };
        self.free -= 1;
        call
    }

    /// Whether no worker can take a free permit, because all are inside handlers.
    pub(crate) fn are_exhausted(&self, most: usize, now: Millis) -> bool {
        self.free > 0 && self.asleep.is_empty() && !self.may_start(most, now)
    }

    fn may_start(&self, most: usize, now: Millis) -> bool {
        self.running() < most
            && self.refused_at.map_or(true, |refused| now.saturating_sub(refused) >= REFUSED_FOR)
    }

    /// Notes that this worker, which has no permit, waits to be called.
    pub(crate) fn fall_asleep(&mut self, worker: usize) {
        self.asleep.push(worker);
    }

    /// Notes that the system has refused a thread for this worker.
    pub(crate) fn refuse(&mut self, worker: usize, now: Millis) {
        self.alive -= 1;
        self.free += 1;
        self.unused.push(worker);
        self.refused_at = Some(now);
    }

    /// Whether more workers have a thread than allowed.
    pub(crate) fn are_too_many(&self, most: usize) -> bool {
        self.running() > most
    }

    /// The worker, which has no permit, gives up its number. Its thread still lives.
    pub(crate) fn retire(&mut self, worker: usize) {
        self.unused.push(worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_goes_to_the_last_to_fall_asleep_and_then_to_a_new_worker() {
        let mut permits = Permits::new(2);
        assert_eq!(permits.call(3, 0), Call::Start(0));
        assert_eq!(permits.call(3, 0), Call::Start(1));
        assert_eq!(permits.call(3, 0), Call::Nobody, "there are two permits");
        assert_eq!((permits.running(), permits.started(), permits.alive), (2, 2, 2));
        for worker in [0, 1] {
            permits.give_back();
            permits.fall_asleep(worker);
        }
        assert_eq!([permits.call(3, 0), permits.call(3, 0)], [Call::Wake(1), Call::Wake(0)]);
        permits.give_back();
        assert_eq!(permits.call(3, 0), Call::Start(2));
        permits.give_back();
        assert_eq!(permits.call(3, 0), Call::Nobody, "there may be three workers");
        assert!(permits.any_free() && permits.take() && !permits.take() && !permits.any_free());
    }

    #[test]
    fn the_permits_of_blocked_workers_go_to_the_reserve_until_that_is_exhausted() {
        let most = 3;
        let mut permits = Permits::new(1);
        for worker in 0..most {
            assert!(!permits.are_exhausted(most, 0));
            assert_eq!(permits.call(most, 0), Call::Start(worker));
            assert!(!permits.are_exhausted(most, 0), "somebody has the permit");
            // It blocks in a handler.
            permits.give_back();
        }
        assert!(permits.are_exhausted(most, 0));
        assert!(
            !permits.are_exhausted(most + 1, 0),
            "a reader whose client is gone leaves room for one more"
        );
        // The first to return has nothing to do, and then takes the permit.
        permits.fall_asleep(0);
        assert!(!permits.are_exhausted(most, 0));
        assert_eq!(permits.call(most, 0), Call::Wake(0));
        assert!(!permits.are_exhausted(most, 0));
    }

    #[test]
    fn after_a_refused_thread_none_is_tried_for_a_second() {
        let mut permits = Permits::new(1);
        assert_eq!(permits.call(4, 500), Call::Start(0));
        permits.refuse(0, 600);
        assert_eq!((permits.running(), permits.alive), (0, 0));
        assert_eq!(permits.call(4, 600 + REFUSED_FOR - 1), Call::Nobody);
        assert!(permits.are_exhausted(4, 600 + REFUSED_FOR - 1));
        assert_eq!(permits.call(4, 100), Call::Nobody, "by a clock that was looked at before");
        assert!(!permits.are_exhausted(4, 600 + REFUSED_FOR));
        // The number is used again.
        assert_eq!(permits.call(4, 600 + REFUSED_FOR), Call::Start(0));
        assert_eq!(permits.started(), 1);
    }

    #[test]
    fn a_worker_that_stood_in_for_another_is_one_too_many_when_that_comes_back() {
        let mut permits = Permits::new(1);
        assert_eq!(permits.call(1, 0), Call::Start(0));
        permits.give_back();
        assert_eq!(permits.call(2, 0), Call::Start(1), "worker 0 is inside a reader whose client is gone");
        assert!(!permits.are_too_many(2));
        assert!(permits.are_too_many(1));
        permits.give_back();
        permits.retire(1);
        assert!(!permits.are_too_many(1));
        assert_eq!(permits.running(), 1);
        assert_eq!(permits.alive, 2, "its thread has not ended yet");
        assert_eq!(permits.call(2, 0), Call::Start(1));
    }
}

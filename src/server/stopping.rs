//! Whether a server is to stop, and all that wait to learn it: the listener's thread, the redirect's, and the program's own. Knows
//! wakers and flags, and no connection. `handle` begins a stop, and `context` tells whether one has begun.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
#[cfg(feature = "operations")]
use std::time::Instant;

use mio::Waker;

use super::health::RedirectState;

#[derive(Debug, Default)]
pub(crate) struct Stopping {
    phase: AtomicU8,
    /// The time before a stop in which others learn of it, and when it began and will be over.
    #[cfg(feature = "operations")]
    grace: Grace,
    /// Responses that come later are waited for no longer.
    #[cfg(feature = "handler-timeout")]
    has_given_up: AtomicBool,
    /// Threads of the program wait with these.
    waiting: Mutex<()>,
    begins: Condvar,
    listener: Option<Arc<Waker>>,
    redirect: Option<StopRedirect>,
}

/// Nothing is to stop.
#[cfg(feature = "operations")]
const SERVING: u8 = 0;
/// The server is not ready any more, and serves as before.
#[cfg(feature = "operations")]
const LEAVING: u8 = 1;
/// The same, and each response is the last of its connection.
const CLOSING: u8 = 2;
const STOPPING: u8 = 3;

#[cfg(feature = "operations")]
#[derive(Debug, Default)]
pub(crate) struct Grace {
    pub time: Duration,
    span: Mutex<Option<(Instant, Instant)>>,
}

/// What ends the redirect's thread.
#[derive(Debug, Clone)]
pub(crate) struct StopRedirect {
    pub stop: Arc<AtomicBool>,
    pub waker: Arc<Waker>,
    pub state: Arc<RedirectState>,
}

impl Stopping {
    /// With the threads that a stop wakes.
    pub(crate) fn new(listener: Arc<Waker>, redirect: Option<StopRedirect>) -> Stopping {
        Stopping { listener: Some(listener), redirect, ..Stopping::default() }
    }

    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == STOPPING
    }

    /// Whether a kept connection ends with its next response.
    #[inline]
    pub(crate) fn closes_kept(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= CLOSING
    }

    /// With a time in which others learn that the server is not ready any more, before it stops.
    #[cfg(feature = "operations")]
    pub(crate) fn with_grace(mut self, time: Duration) -> Stopping {
        self.grace.time = time;
        self
    }

    #[cfg(feature = "operations")]
    pub(crate) fn grace_time(&self) -> Duration {
        self.grace.time
    }

    /// Whether the server is about to stop, or stops.
    #[cfg(feature = "operations")]
    pub(crate) fn is_leaving(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != SERVING
    }

    /// Begins the grace time, once. Without one, the stop begins. Returns whether it runs.
    #[cfg(feature = "operations")]
    pub(crate) fn begin_grace(&self) -> bool {
        let now = Instant::now();
        let until = now.checked_add(self.grace.time).filter(|_| !self.grace.time.is_zero());
        let (Some(until), Some(listener)) = (until, &self.listener) else {
            self.begin();
            return false;
        };
        let first = self.phase.compare_exchange(SERVING, LEAVING, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok() {
            *self.grace.span.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, until));
            wake(listener);
        }
        !self.has_begun()
    }

    /// Does what is due in the grace time. Returns how long it is until there is more to do. The listener's thread calls it.
    ///
    /// In the second half of that time each response says that its connection ends (RFC 9112 §9.6), so that a balancer which
    /// keeps connections has none left when they are closed, and no request meets a closing connection. Not in the first half:
    /// until the balancer has looked at `/readyz`, a client that connects again would only come back here, for a handshake more.
    #[cfg(feature = "operations")]
    pub(crate) fn leave(&self, now: Instant) -> Option<Duration> {
        let (began, until) = (*self.grace.span.lock().unwrap_or_else(PoisonError::into_inner))?;
        if self.has_begun() {
            return None;
        }
        if now >= until {
            self.begin();
            return Some(Duration::ZERO);
        }
        let half = began + (until - began) / 2;
        if now >= half {
            let _ = self.phase.compare_exchange(LEAVING, CLOSING, Ordering::SeqCst, Ordering::SeqCst);
        }
        Some(if now >= half { until - now } else { half - now })
    }

    /// The second half of a grace time has begun.
    #[cfg(all(test, feature = "operations"))]
    pub(crate) fn begin_second_half(&self) {
        self.phase.store(CLOSING, Ordering::SeqCst);
    }

    /// Begins the stop, once or again.
    pub(crate) fn begin(&self) {
        {
            // A thread that has found no stop is waiting when this is locked, so it is woken.
            let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            self.phase.store(STOPPING, Ordering::SeqCst);
        }
        self.begins.notify_all();
        if let Some(redirect) = &self.redirect {
            redirect.stop.store(true, Ordering::SeqCst);
            wake(&redirect.waker);
        }
        if let Some(listener) = &self.listener {
            wake(listener);
        }
    }

    /// Its time is all but over.
    #[cfg(feature = "handler-timeout")]
    pub(crate) fn give_up(&self) {
        self.has_given_up.store(true, Ordering::SeqCst);
    }

    #[cfg(feature = "handler-timeout")]
    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up.load(Ordering::SeqCst)
    }

    /// Waits until the stop begins, for at most this long. Returns whether it has begun.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.begins.wait_timeout_while(waiting, at_most, |_| !self.has_begun());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.has_begun()
    }

    pub(crate) fn redirect(&self) -> Option<&StopRedirect> {
        self.redirect.as_ref()
    }
}

pub(super) fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("a thread could not be woken: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[cfg(feature = "operations")]
    #[test]
    fn in_the_grace_time_it_serves_and_then_closes_what_is_kept_and_then_stops() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let new = |time| Stopping::new(waker.clone(), None).with_grace(time);
        let stopping = new(Duration::from_secs(10));
        let now = Instant::now();
        assert_eq!((stopping.is_leaving(), stopping.leave(now)), (false, None));
        stopping.begin_grace();
        let (began, until) = stopping.grace.span.lock().unwrap().unwrap();
        assert_eq!(until - began, Duration::from_secs(10));
        assert_eq!(stopping.leave(began), Some(Duration::from_secs(5)));
        assert!(stopping.is_leaving() && !stopping.closes_kept() && !stopping.has_begun());
        assert_eq!(stopping.leave(began + Duration::from_secs(6)), Some(Duration::from_secs(4)));
        assert!(stopping.closes_kept() && !stopping.has_begun());
        // A second call changes nothing of it.
        stopping.begin_grace();
        assert_eq!(stopping.grace.span.lock().unwrap().unwrap(), (began, until));
        assert_eq!(stopping.leave(until), Some(Duration::ZERO));
        assert!(stopping.has_begun() && stopping.closes_kept());
        assert_eq!(stopping.leave(until), None);

        let without = new(Duration::ZERO);
        without.begin_grace();
        assert!(without.has_begun());
        let cut_short = new(Duration::from_secs(10));
        cut_short.begin_grace();
        cut_short.begin();
        assert_eq!(cut_short.leave(Instant::now()), None);
        assert!(cut_short.has_begun());
    }

    #[test]
    fn a_wait_ends_with_the_stop_or_with_its_time() {
        let stopping = Stopping::default();
        assert!(!stopping.wait(Duration::ZERO) && !stopping.wait(Duration::from_millis(1)));
        thread::scope(|scope| {
            let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| stopping.wait(Duration::MAX))).collect();
            stopping.begin();
            assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
        });
        stopping.begin();
        assert!(stopping.has_begun() && stopping.wait(Duration::MAX));
    }
}

//! Whether a server is to stop, and all that wait to learn it: the listener's thread, the redirect's, and the program's own. Knows
//! wakers and flags, and no connection. `handle` begins a stop, and `context` tells whether one has begun.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;

use super::health::RedirectState;

#[derive(Debug, Default)]
pub(crate) struct Stopping {
    has_begun: AtomicBool,
    /// Threads of the program wait with these.
    waiting: Mutex<()>,
    begins: Condvar,
    listener: Option<Arc<Waker>>,
    redirect: Option<StopRedirect>,
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
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Begins the stop, once or again.
    pub(crate) fn begin(&self) {
        {
            // A thread that has found no stop is waiting when this is locked, so it is woken.
            let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            self.has_begun.store(true, Ordering::SeqCst);
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

//! The signal to stop, which ends every wait here: for the network, for an authority, for the day of renewal.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Cloning it is cheap; clones are the same signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends every wait, now and from now on.
    pub(crate) fn stop(&self) {
        *self.0 .0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0 .1.notify_all();
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0 .0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits this long, or until a stop. Returns whether it is to stop.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let (flag, changed) = &*self.0;
        let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(flag, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

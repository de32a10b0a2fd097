//! Lets a test and a handler of its server wait for each other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::SAFETY;

/// Where handlers wait until the test lets them go, and the test until handlers are there.
#[derive(Default)]
pub struct Gate {
    /// How many have come so far, and whether the gate is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    pub fn new() -> Arc<Gate> {
        Arc::default()
    }

    /// The handler's side: says that it is here, and waits.
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        let open = self.wait(state, SAFETY, |(_, open)| *open).1;
        assert!(open, "the gate was never opened");
    }

    /// Waits until so many have come in all.
    pub fn wait_for(&self, arrivals: usize) {
        assert!(self.have_come(arrivals, SAFETY), "{arrivals} handlers at a time");
    }

    /// Whether so many have come before the time is over.
    pub fn have_come(&self, arrivals: usize, within: Duration) -> bool {
        let state = self.wait(self.state.lock().unwrap(), within, |(come, _)| *come >= arrivals);
        state.0 >= arrivals
    }

    pub fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn wait<'g>(
        &self,
        state: MutexGuard<'g, (usize, bool)>,
        within: Duration,
        done: impl Fn(&(usize, bool)) -> bool,
    ) -> MutexGuard<'g, (usize, bool)> {
        self.changed.wait_timeout_while(state, within, |state| !done(state)).unwrap().0
    }
}

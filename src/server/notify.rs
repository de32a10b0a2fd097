//! When the service manager is told something, and what. `run` and `handle` call it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::operations::service_manager::{reloading, ServiceManager};

/// The service manager, if there is one to be told, and how far the server has come.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    manager: Option<ServiceManager>,
    /// Whether it was told that the server serves, and not yet that it stops. What is told meanwhile comes in this order.
    serves: Mutex<bool>,
    status: String,
}

/// For the end of a drain, beside the time that requests may take.
const LAST: Duration = Duration::from_secs(5);

impl Notify {
    pub(super) fn new(manager: Option<ServiceManager>, https: SocketAddr) -> Notify {
        let status = format!("STATUS=serving HTTPS on {https}");
        Notify { manager, serves: Mutex::new(false), status }
    }

    /// How often the service manager wants to hear of progress.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.manager.as_ref()?.watchdog
    }

    /// All threads run, and connections are accepted.
    pub(super) fn serves(&self) {
        let mut serves = self.lock();
        *serves = true;
        self.tell(&["READY=1\n", &self.status].concat());
    }

    /// Tells of a reload before and after it. `settings` reads what the program has of its own, and returns whether it can be used.
    pub(super) fn reloads(
        &self,
        settings: impl FnOnce() -> bool,
        certificates: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        // READY=1 would be wrong before the server serves, and after its stop has begun.
        let serves = self.lock();
        if self.manager.is_none() || !*serves {
            drop(serves);
            settings();
            return certificates();
        }
        self.tell(&[&reloading(), "\nSTATUS=reloading"].concat());
        drop(serves);
        let are_right = settings();
        let outcome = certificates();
        let failed =
            if outcome.is_err() || !are_right { "; the last reload has failed, see the log" } else { "" };
        // The stop may have begun meanwhile.
        let serves = self.lock();
        if *serves {
            self.tell(&["READY=1\n", &self.status, failed].concat());
        }
        drop(serves);
        outcome
    }

    /// The grace time before the stop has begun. Both together take this long at most.
    pub(super) fn leaves(&self, most: Duration) {
        self.stopping(most, format_args!("not ready any more, and about to stop"));
    }

    /// The server stops, and requests that have begun have this long.
    pub(super) fn stops(&self, open: usize, drain_timeout: Duration) {
        self.stopping(drain_timeout, format_args!("stopping; open connections: {open}"));
    }

    fn stopping(&self, most: Duration, status: fmt::Arguments<'_>) {
        let mut serves = self.lock();
        *serves = false;
        if self.manager.is_some() {
            let most = most.saturating_add(LAST).as_micros();
            self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={most}\nSTATUS={status}"));
        }
    }

    pub(super) fn goes_on(&self) {
        self.tell("WATCHDOG=1");
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.serves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, message: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_reload_that_ends_after_the_stop_has_begun_says_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(ServiceManager::at(&path, None)), ([127, 0, 0, 1], 443).into());
        notify.serves();
        let stops = || {
            notify.stops(1, Duration::from_secs(1));
            Ok(())
        };
        notify.reloads(|| true, stops).unwrap();
        heard.set_nonblocking(true).unwrap();
        let next = || {
            let mut message = [0; 512];
            let length = heard.recv(&mut message).ok()?;
            Some(String::from_utf8(message[..length].to_vec()).unwrap())
        };
        let all: Vec<String> = std::iter::from_fn(next).collect();
        let begins: Vec<&str> = all.iter().filter_map(|message| message.split('=').next()).collect();
        assert_eq!(begins, ["READY", "RELOADING", "STOPPING"]);
    }
}

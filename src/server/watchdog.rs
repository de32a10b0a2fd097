//! Tells the service manager that the server goes on, as long as it does: its poller has to make rounds. `run` starts the thread, which
//! ends with the value that it gets for it.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::serve::Shared;

/// How often the poller is asked whether it has made a round.
const STEP: Duration = Duration::from_millis(20);

/// The log says at most this often that the poller makes no round.
const QUIET: Duration = Duration::from_secs(60);

/// The running thread. It ends when this is dropped.
pub(super) struct Watchdog(#[allow(dead_code)] Option<Sender<()>>);

/// Starts the thread, if the service manager wants to hear of progress.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Watchdog> {
    let Some(period) = shared.notify.watchdog() else { return Ok(Watchdog(None)) };
    let (goes_on, ends) = mpsc::channel();
    let shared = shared.clone();
    thread::Builder::new().name("lockgate-watchdog".into()).spawn(move || {
        // Two messages may be late before the period is over.
        watch(period / 3, &ends, &|| shared.poller.lock().watches, &|| shared.poller.wake_watcher(), &|| {
            shared.notify.goes_on();
        });
    })?;
    Ok(Watchdog(Some(goes_on)))
}

/// In each `interval`, wakes the poller and waits for its next round: then the server goes on. Nobody learns anything of a poller that
/// makes none, or whose lock is never released.
fn watch(
    interval: Duration,
    ends: &Receiver<()>,
    rounds: &dyn Fn() -> u32,
    wake: &dyn Fn(),
    goes_on: &dyn Fn(),
) {
    let has_ended = |wait| !matches!(ends.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
    let mut told: Option<Instant> = None;
    loop {
        let until = Instant::now() + interval;
        let before = rounds();
        wake();
        let mut step = Duration::from_micros(500);
        let makes_rounds = loop {
            if rounds() != before {
                break true;
            }
            if Instant::now() >= until {
                break false;
            }
            if has_ended(step) {
                return;
            }
            step = (step * 2).min(STEP);
        };
        if makes_rounds {
            goes_on();
        } else if told.map_or(true, |at| at.elapsed() >= QUIET) {
            told = Some(Instant::now());
            log::error!(
                "the sockets were not watched for {interval:?}; the service manager is told of no progress"
            );
        }
        if has_ended(until.saturating_duration_since(Instant::now())) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn only_rounds_of_the_poller_are_progress() {
        const SHORT: Duration = Duration::from_millis(1);
        let (rounds, asked, told) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let (goes_on, ends) = mpsc::channel::<()>();
        let goes_on = std::cell::RefCell::new(Some(goes_on));
        // It makes a round when it is woken for the first three times, and then hangs.
        let wake = || match asked.fetch_add(1, Ordering::Relaxed) {
            0..=2 => {
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            3..=9 => {}
            _ => drop(goes_on.take()),
        };
        let tell = || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        watch(SHORT, &ends, &|| rounds.load(Ordering::Relaxed), &wake, &tell);
        assert_eq!(told.load(Ordering::Relaxed), 3);
        assert!(asked.load(Ordering::Relaxed) >= 10);
    }
}

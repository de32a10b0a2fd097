//! A server's life, from the start of its threads to a drained end.
//!
//! `builder` calls it on the thread that becomes the listener's.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::agents::Agents;
use super::listener::Acceptor;
use super::renewal::Rounds;
use super::serve::Shared;
use super::supervisor;
use crate::error::Error;
use crate::limits::limit::Limit;
use crate::redirect;

/// How long the end waits for threads, and for clients that get a last response, which should end at once.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Runs the server on the calling thread: starts the other threads, accepts until it is to stop, drains, and ends.
pub(crate) fn run(
    shared: &Arc<Shared>,
    acceptor: Acceptor,
    redirect: Option<redirect::Serve>,
    rounds: Rounds,
) -> Result<(), Error> {
    let starting = |source| Error::Io { doing: "starting a thread", source };
    supervisor::start(shared).map_err(starting)?;
    let redirect = redirect
        .map(|redirect| {
            let runs = shared.stopping.redirect().map(|redirect| redirect.state.clone().run());
            thread::Builder::new().name("lockgate-http".into()).spawn(move || {
                let _runs = runs;
                redirect()
            })
        })
        .transpose()
        .map_err(|error| {
            end(shared);
            starting(error)
        })?;
    // The end does not wait for this thread, because a source may block it, and it holds nothing that could be lost.
    thread::Builder::new().name("lockgate-certs".into()).spawn(move || rounds.run()).map_err(|error| {
        end(shared);
        starting(error)
    })?;

    let agents = Agents::start(shared).map_err(|error| {
        end(shared);
        error
    })?;

    #[cfg(feature = "operations")]
    let watchdog = super::watchdog::start(shared).map_err(|error| {
        agents.stop();
        end(shared);
        starting(error)
    })?;
    #[cfg(feature = "operations")]
    {
        shared.notify.serves();
        shared.counts.start();
    }

    acceptor.run(shared);

    agents.stop();
    let began = Instant::now();
    let until = began + shared.limits_now().drain_timeout;
    log::info!("stopping; open connections: {}", shared.poller.lock().open);
    #[cfg(feature = "operations")]
    {
        let open = shared.poller.lock().open;
        shared.notify.stops(open, shared.limits_now().drain_timeout);
    }
    shared.poller.drain(shared.poller.millis(began));
    #[cfg(feature = "handler-timeout")]
    give_up(shared, until);
    let left = shared.poller.wait_empty(until);
    if left > 0 {
        log::warn!("stopping; connections that were cut: {left} (limit {})", Limit::DrainTimeout);
    }
    #[cfg(feature = "operations")]
    drop(watchdog);
    end(shared);
    match redirect.map(JoinHandle::join) {
        None | Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => log::error!("the redirect ended early: {error}"),
        Some(Err(_)) => log::error!("the redirect's thread panicked"),
    }
    shared.log_limiter.close(Instant::now());
    agents.wait();
    log::info!("stopped");
    Ok(())
}

/// Shortly before the end of a stop, lets the requests be refused whose responses have not come.
#[cfg(feature = "handler-timeout")]
fn give_up(shared: &Shared, until: Instant) {
    let last = (shared.limits_now().drain_timeout / 10).min(LAST_WAIT);
    if shared.poller.wait_empty(until - last) > 0 {
        shared.stopping.give_up();
        shared.poller.drain(shared.poller.millis(Instant::now()));
    }
}

/// Ends the workers, the supervisor, and every open connection.
fn end(shared: &Shared) {
    shared.stopped.store(true, Ordering::SeqCst);
    shared.renewal.stop();
    shared.poller.cut().for_each(|connection| connection.end(shared));
    shared.workers.wake_all();
    // A handler that never returns must not keep the program from ending.
    wait_for_workers(shared, Instant::now() + LAST_WAIT);
}

fn wait_for_workers(shared: &Shared, until: Instant) {
    let mut state = shared.poller.lock();
    while state.permits.alive > 0 {
        let now = Instant::now();
        if now >= until {
            log::warn!(
                "stopping; handlers that have not returned and are left behind: {}",
                state.permits.alive
            );
            return;
        }
        let waited = shared.poller.changed.wait_timeout(state, until - now);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

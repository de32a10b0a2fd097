//! Stopping, and changing the certificate, while the server runs.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use mio::Waker;

use super::health::{Health, IdentityHealth, RedirectHealth, RedirectState};
use super::listener::Acceptor;
use super::renewal::{Rounds, Subject};
use super::workers::Workers;
use super::Shared;
use crate::calendar::unix;
use crate::error::Error;
use crate::limits::limit::Limit;
use crate::redirect;
use crate::tls::Identity;

/// How long the end waits for threads that have nothing more to do.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Steers a running server from any thread. Cloning it is cheap.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    listener: Arc<Waker>,
    redirect: Option<StopRedirect>,
}

/// What ends the redirect's thread.
#[derive(Clone)]
pub(crate) struct StopRedirect {
    pub stop: Arc<AtomicBool>,
    pub waker: Arc<Waker>,
    pub state: Arc<RedirectState>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, listener: Arc<Waker>, redirect: Option<StopRedirect>) -> Handle {
        Handle { shared, listener, redirect }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Asks the server to stop: idle connections are closed, requests whose head has arrived are answered, and after
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) the rest is cut. Returns at once.
    pub fn stop(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
        if let Some(redirect) = &self.redirect {
            redirect.stop.store(true, Ordering::SeqCst);
            wake(&redirect.waker);
        }
        wake(&self.listener);
    }

    /// Asks the sources of all identities again, as the server does by itself when their files change, and gives new
    /// connections what is new. Connections that are open keep theirs; sessions of before are not resumed. Reads the files
    /// of [`ClientAuth`](crate::ClientAuth) again too; a client that is not accepted any more gets 403 to its next request.
    /// Returns when it is done; a source that reads files takes a few milliseconds.
    ///
    /// # Errors
    /// The first of what is wrong with the new ones; those stay as they are, which the log says of each.
    pub fn reload(&self) -> Result<(), Error> {
        self.shared.renewal.reload()
    }

    /// Gives new connections another identity in the place of the [first](crate::ServerBuilder::identity).
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has no random numbers, [`Error::Identity`] when the certificate is over or not
    /// valid yet and the one in use is valid; then nothing has changed.
    pub fn replace_identity(&self, identity: Identity) -> Result<(), Error> {
        self.shared.renewal.replace_default(identity)
    }

    /// How the server is now: its certificates and what failed when they were renewed, the redirect, and how full it is. To
    /// be served or shown by the device itself.
    ///
    /// Looks at what is in memory, and checks the signatures of the chains in use anew: less work than a handshake, for each
    /// identity. No connection waits for it.
    ///
    /// ```
    /// use std::sync::{Arc, OnceLock};
    ///
    /// use lockgate::{Handle, Request, Response, Router, StatusCode};
    ///
    /// // There is no handle before there is a server, and no server before there are routes.
    /// let handle: Arc<OnceLock<Handle>> = Arc::default();
    /// let asked = handle.clone();
    /// let router = Router::new().get("/api/health", move |_: &mut Request| match asked.get() {
    ///     Some(handle) => Response::json(&handle.health().to_json()),
    ///     None => Response::new(StatusCode::SERVICE_UNAVAILABLE),
    /// });
    /// // … and once it is bound: handle.set(server.handle())
    /// # let _ = router;
    /// ```
    pub fn health(&self) -> Health {
        let (shared, clock) = (&self.shared, SystemTime::now());
        let identities = shared.tls.current().identities.clone();
        let of = |(index, identity): (usize, &Identity)| {
            let failure = |subject| shared.renewal.failure(subject);
            let failure = failure(Subject::Identity(index)).or_else(|| failure(Subject::Renewal(index)));
            IdentityHealth::of(identity, clock, failure)
        };
        let (workers, most_workers) = shared.workers.busy();
        let open = shared.poller.lock().open;
        Health {
            at: unix(clock),
            identities: identities.iter().enumerate().map(of).collect(),
            missing: shared.renewal.missing(),
            clients_failure: shared.renewal.failure(Subject::Clients),
            redirect: self.redirect.as_ref().map_or(RedirectHealth::Off, |redirect| redirect.state.health()),
            connections: open,
            most_connections: shared.connections,
            workers,
            most_workers,
            is_draining: shared.is_draining(),
        }
    }

    /// The identity that is in use for clients that ask for no other by name.
    pub fn identity(&self) -> Identity {
        self.identities().swap_remove(0)
    }

    /// All identities in use: the default first, then the [others](crate::ServerBuilder::add_identity).
    pub fn identities(&self) -> Vec<Identity> {
        self.shared.tls.current().identities.clone()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("stopping", &self.shared.is_draining()).finish_non_exhaustive()
    }
}

/// A server that runs on threads of its own; made by [`Server::spawn`](crate::Server::spawn). Dropping it leaves the
/// server running.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    thread: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) fn new(handle: Handle, thread: JoinHandle<Result<(), Error>>) -> Running {
        Running { handle, thread }
    }

    /// A handle to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// Those of [`Server::run`](crate::Server::run).
    pub fn join(self) -> Result<(), Error> {
        self.thread.join().unwrap_or_else(|_| {
            let source = std::io::Error::other("the listener's thread panicked");
            Err(Error::Io { doing: "serving", source })
        })
    }
}

/// The server's life on the calling thread: starts the others, accepts until it is to stop, drains, and ends.
pub(crate) fn run(
    handle: Handle,
    acceptor: Acceptor,
    redirect: Option<redirect::Serve>,
    rounds: Rounds,
) -> Result<(), Error> {
    let shared = &handle.shared;
    let starting = |source| Error::Io { doing: "starting a thread", source };
    Workers::start(shared).map_err(starting)?;
    let redirect = redirect
        .map(|redirect| {
            let state = handle.redirect.as_ref().map(|redirect| redirect.state.clone()).unwrap_or_default();
            let runs = state.run();
            thread::Builder::new().name("lockgate-http".into()).spawn(move || {
                let _runs = runs;
                redirect()
            })
        })
        .transpose()
        .inspect_err(|_| end(shared))
        .map_err(starting)?;
    // Not waited for at the end: it may be in a source that blocks, and it has nothing that could be lost.
    thread::Builder::new()
        .name("lockgate-keeper".into())
        .spawn(move || rounds.run())
        .inspect_err(|_| end(shared))
        .map_err(starting)?;

    #[cfg(feature = "acme")]
    let agents = crate::acme::serving::Agents::start(shared).inspect_err(|_| end(shared))?;

    acceptor.run(shared);

    #[cfg(feature = "acme")]
    agents.stop();
    let began = Instant::now();
    let until = began + shared.limits.drain_timeout;
    log::info!("stopping: {} connections are open", shared.poller.lock().open);
    shared.poller.drain(shared.poller.millis(began));
    let left = shared.poller.wait_empty(until);
    if left > 0 {
        log::warn!("stopping: {left} connections were cut (limit {})", Limit::DrainTimeout);
    }
    end(shared);
    match redirect.map(JoinHandle::join) {
        None | Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => log::error!("the redirect ended early: {error}"),
        Some(Err(_)) => log::error!("the redirect's thread panicked"),
    }
    shared.log_limiter.close(Instant::now());
    #[cfg(feature = "acme")]
    agents.wait();
    log::info!("stopped");
    Ok(())
}

/// Ends the workers and the supervisor, and every connection that is still open.
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
            log::warn!("stopping: {} handlers have not returned and are left behind", state.permits.alive);
            return;
        }
        let waited = shared.poller.changed.wait_timeout(state, until - now);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

pub(super) fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("a thread could not be woken: {error}");
    }
}

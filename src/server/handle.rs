//! Controls a running server: stops it, replaces its certificates, and reports its health.
//!
//! Programs call it from any thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use mio::Waker;

use super::health::{Health, IdentityHealth, RedirectHealth, RedirectState};
use super::renewal::Subject;
use super::serve::Shared;
use crate::error::Error;
use crate::tls::Identity;

/// Controls a running server from any thread. Cloning it is cheap.
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

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The redirect's state. A new one when there is no redirect.
    pub(super) fn redirect_state(&self) -> Arc<RedirectState> {
        self.redirect.as_ref().map(|redirect| redirect.state.clone()).unwrap_or_default()
    }

    /// Asks the server to stop. Idle connections are closed, requests whose head has arrived are answered, and after
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) the remaining connections are cut. Returns at once.
    pub fn stop(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
        if let Some(redirect) = &self.redirect {
            redirect.stop.store(true, Ordering::SeqCst);
            wake(&redirect.waker);
        }
        wake(&self.listener);
    }

    /// Loads all identities again from their sources, as the server does by itself when their files change. New connections get
    /// the new identities. Open connections keep theirs, and earlier sessions are not resumed. The files of
    /// [`ClientAuth`](crate::ClientAuth) are read again too; a client that is no longer accepted gets 403 to its next request.
    /// Returns when it is done; a source that reads files takes a few milliseconds.
    ///
    /// # Errors
    /// The first failure. Identities that cannot be loaded stay as they are, and the log says so of each.
    pub fn reload(&self) -> Result<(), Error> {
        self.shared.renewal.reload()
    }

    /// Replaces the [default identity](crate::ServerBuilder::identity) for new connections.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has no random numbers, [`Error::Identity`] when the certificate has expired or
    /// is not valid yet and the one in use is valid. In both cases nothing has changed.
    pub fn replace_identity(&self, identity: Identity) -> Result<(), Error> {
        self.shared.renewal.replace_default(identity)
    }

    /// The server's health: its certificates and failed renewals, the redirect, and how many connections and workers are in
    /// use. A device can serve or show it.
    ///
    /// It uses only data in memory, and checks the signatures of the chains in use again, which is less work than a handshake
    /// for each identity. No connection waits for it.
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
            at: clock,
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

    /// The default identity, for clients that ask for no other by name.
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

/// A server that runs on its own threads; made by [`Server::spawn`](crate::Server::spawn). Dropping it does not stop the
/// server.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    thread: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) fn new(handle: Handle, thread: JoinHandle<Result<(), Error>>) -> Running {
        Running { handle, thread }
    }

    /// A handle to the server.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the server has stopped.
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

pub(super) fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("a thread could not be woken: {error}");
    }
}

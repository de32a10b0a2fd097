//! Controls a running server: stops it, replaces its certificates, and reports its health.
//!
//! Programs call it from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::health::{Health, IdentityHealth, RedirectHealth};
use super::renewal::Subject;
use super::serve::Shared;
use super::stopping::Stopping;
use crate::error::Error;
use crate::tls::Identity;

/// Controls a running server from any thread. Cloning it is cheap. A handler gets it with [`Request::handle`](crate::Request::handle).
#[derive(Clone)]
pub struct Handle(Of);

#[derive(Clone)]
enum Of {
    Server(Arc<Shared>),
    Nobody(Arc<StandIn>),
}

/// What the handle of a request without a server controls.
#[derive(Default)]
struct StandIn {
    stopping: Stopping,
    identities: Mutex<Vec<Identity>>,
}

impl StandIn {
    fn identities(&self) -> Vec<Identity> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace_identity(&self, identity: Identity) {
        *self.identities.lock().unwrap_or_else(PoisonError::into_inner) = vec![identity];
    }

    fn health(&self) -> Health {
        let clock = SystemTime::now();
        let identities = self.identities();
        Health {
            at: clock,
            identities: identities.iter().map(|identity| IdentityHealth::of(identity, clock, None)).collect(),
            missing: Vec::new(),
            clients_failure: None,
            redirect: RedirectHealth::Off,
            connections: 0,
            most_connections: 0,
            workers: 0,
            most_workers: 0,
            late_handlers: 0,
            is_draining: self.stopping.has_begun(),
        }
    }
}

impl Handle {
    pub(super) fn of(shared: Arc<Shared>) -> Handle {
        Handle(Of::Server(shared))
    }

    /// For a request that no server serves.
    pub(super) fn of_nobody() -> Handle {
        Handle(Of::Nobody(Arc::default()))
    }

    fn stopping(&self) -> &Stopping {
        match &self.0 {
            Of::Server(shared) => &shared.stopping,
            Of::Nobody(nobody) => &nobody.stopping,
        }
    }

    /// Asks the server to stop. Idle connections are closed, requests whose head has arrived are answered, and after
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) the remaining connections are cut. Returns at once. Handlers and
    /// readers that work for long learn of it by [`is_stopping`](Handle::is_stopping) and
    /// [`wait_for_stop`](Handle::wait_for_stop).
    pub fn stop(&self) {
        self.stopping().begin();
    }

    /// Whether the server was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping().has_begun()
    }

    /// Waits until the server is asked to stop, for at most this long. Returns whether it was. What would sleep between two pieces
    /// of its work waits with this, and ends in time:
    ///
    /// ```
    /// use std::io::{self, Read};
    /// use std::time::Duration;
    /// use lockgate::{Handle, Request, Response};
    ///
    /// /// An event each second, until the client leaves or the server stops.
    /// struct Ticks(Handle);
    ///
    /// impl Read for Ticks {
    ///     fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
    ///         if self.0.wait_for_stop(Duration::from_secs(1)) {
    ///             return Ok(0); // the stream's end: the client gets it whole, and connects anew
    ///         }
    ///         (&b"data: tick\n\n"[..]).read(out)
    ///     }
    /// }
    ///
    /// fn ticks(request: &mut Request) -> Response {
    ///     Response::reader(Ticks(request.handle())).with_header("content-type", "text/event-stream")
    /// }
    ///
    /// let mut request = Request::get("/ticks");
    /// request.handle().stop();
    /// assert_eq!(ticks(&mut request).into_bytes().unwrap(), b"");
    /// ```
    ///
    /// What waits for a channel does so with `recv_timeout`, and asks [`is_stopping`](Handle::is_stopping) in between. Or a thread
    /// of the program waits here, for [`Duration::MAX`], and then drops the channel's other end.
    pub fn wait_for_stop(&self, at_most: Duration) -> bool {
        self.stopping().wait(at_most)
    }

    /// Loads all identities again from their sources, as the server does by itself when their files change. New connections get
    /// the new identities. Open connections keep theirs, and earlier sessions are not resumed. The files of
    /// [`ClientAuth`](crate::ClientAuth) are read again too; a client that is no longer accepted gets 403 to its next request.
    /// Returns when it is done; a source that reads files takes a few milliseconds.
    ///
    /// # Errors
    /// The first failure. Identities that cannot be loaded stay as they are, and the log says so of each.
    pub fn reload(&self) -> Result<(), Error> {
        match &self.0 {
            Of::Server(shared) => shared.renewal.reload(),
            Of::Nobody(_) => Ok(()),
        }
    }

    /// Replaces the [default identity](crate::ServerBuilder::identity) for new connections.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has no random numbers, [`Error::Identity`] when the certificate has expired or
    /// is not valid yet and the one in use is valid. In both cases nothing has changed.
    pub fn replace_identity(&self, identity: Identity) -> Result<(), Error> {
        match &self.0 {
            Of::Server(shared) => shared.renewal.replace_default(identity),
            Of::Nobody(nobody) => {
                nobody.replace_identity(identity);
                Ok(())
            }
        }
    }

    /// The server's health: its certificates and failed renewals, the redirect, and how many connections and workers are in
    /// use. A device can serve or show it.
    ///
    /// It uses only data in memory, and checks the signatures of the chains in use again, which is less work than a handshake
    /// for each identity. No connection waits for it.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router};
    ///
    /// let router = Router::new()
    ///     .get("/api/health", |request: &mut Request| Response::json(&request.handle().health().to_json()));
    /// # assert_eq!(router.call(&mut Request::get("/api/health")).status(), 200);
    /// ```
    pub fn health(&self) -> Health {
        let shared = match &self.0 {
            Of::Server(shared) => shared,
            Of::Nobody(nobody) => return nobody.health(),
        };
        let clock = SystemTime::now();
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
            redirect: shared
                .stopping
                .redirect()
                .map_or(RedirectHealth::Off, |redirect| redirect.state.health()),
            connections: open,
            most_connections: shared.connections,
            workers,
            most_workers,
            late_handlers: shared.router.routes.late_handlers(),
            is_draining: shared.is_draining(),
        }
    }

    /// The default identity, for clients that ask for no other by name.
    ///
    /// # Panics
    /// In a test, when a request made by hand has no server and [`replace_identity`](Handle::replace_identity) was not called.
    pub fn identity(&self) -> Identity {
        self.identities().swap_remove(0)
    }

    /// All identities in use: the default first, then the [others](crate::ServerBuilder::add_identity).
    pub fn identities(&self) -> Vec<Identity> {
        match &self.0 {
            Of::Server(shared) => shared.tls.current().identities.clone(),
            Of::Nobody(nobody) => nobody.identities(),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("stopping", &self.is_stopping()).finish_non_exhaustive()
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

//! Controls a running server: stops it, replaces its certificates, and reports its health.
//!
//! Programs call it from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::health::{Health, IdentityHealth, RedirectHealth};
use super::renewal::Subject;
#[cfg(feature = "operations")]
use super::replace_limits;
use super::serve::Shared;
use super::stopping::Stopping;
use crate::error::Error;
#[cfg(feature = "operations")]
use crate::limits::Limits;
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
    #[cfg(feature = "operations")]
    limits: Mutex<Limits>,
}

impl StandIn {
    fn identities(&self) -> Vec<Identity> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(feature = "operations")]
    fn limits(&self) -> Limits {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            #[cfg(feature = "operations")]
            ticket_keys_failure: None,
            #[cfg(all(feature = "operations", feature = "proxy"))]
            backends: Vec::new(),
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

/// As [`Handle::reload`], after `settings`, which reads what the program has of its own, and returns whether it can be used: the
/// service manager is told of both as one reload.
#[cfg(all(feature = "operations", feature = "serve"))]
pub fn reload_after(handle: &Handle, settings: &dyn Fn() -> bool) -> Result<(), Error> {
    match &handle.0 {
        Of::Server(shared) => shared.notify.reloads(settings, || shared.renewal.reload()),
        Of::Nobody(_) => {
            settings();
            Ok(())
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

    /// Asks the server to stop. Idle connections are closed (with the feature `operations`, one that has not asked yet has a second for
    /// that, because its client would not try again), requests whose head has arrived are answered, and after
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) the remaining connections are cut. Returns at once. Handlers and
    /// readers that work for long learn of it by [`is_stopping`](Handle::is_stopping) and
    /// [`wait_for_stop`](Handle::wait_for_stop).
    pub fn stop(&self) {
        self.stopping().begin();
    }

    /// Asks the server to stop after [`ServerBuilder::ready_grace`](crate::ServerBuilder::ready_grace), and is not ready from now on.
    /// Without such a time it stops at once, and so it does when [`stop`](Handle::stop) is called meanwhile. Returns
    /// whether such a time has begun or runs. With the feature `operations`.
    #[cfg(feature = "operations")]
    pub fn stop_after_grace(&self) -> bool {
        let runs = self.stopping().begin_grace();
        if let (true, Of::Server(shared)) = (runs, &self.0) {
            let drain_timeout = shared.limits_now().drain_timeout;
            shared.notify.leaves(shared.stopping.grace_time().saturating_add(drain_timeout));
        }
        runs
    }

    /// Whether the server is to get connections: it accepts them, it is not about to stop, and its default certificate is within its
    /// dates by this machine's clock. The state of backends and load do not count, because all servers of a fleet would be taken
    /// away at once. With the feature `operations`.
    #[cfg(feature = "operations")]
    pub fn is_ready(&self) -> bool {
        match &self.0 {
            Of::Server(shared) => super::readiness::is_ready(shared),
            Of::Nobody(nobody) => !nobody.stopping.has_begun(),
        }
    }

    /// The server's counts and states, for Prometheus or for a page of the program's own. With the feature `operations`. It takes no
    /// lock for long, and no request waits for it. [Metrics](crate::metrics) has a table of all.
    #[cfg(feature = "operations")]
    pub fn metrics(&self) -> crate::Metrics {
        match &self.0 {
            Of::Server(shared) => super::metrics::of(shared),
            Of::Nobody(nobody) => {
                super::metrics::of_nobody(&nobody.identities(), !nobody.stopping.has_begun())
            }
        }
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
            #[cfg(feature = "operations")]
            Of::Server(shared) => shared.notify.reloads(|| true, || shared.renewal.reload()),
            #[cfg(not(feature = "operations"))]
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

    /// The limits as they are now.
    #[cfg(feature = "operations")]
    pub fn limits(&self) -> Limits {
        match &self.0 {
            Of::Server(shared) => shared.live_limits.get(),
            Of::Nobody(nobody) => nobody.limits(),
        }
    }

    /// Replaces the limits while the server runs. Connections that are open take them at their next turn; a time that runs already
    /// goes on, and who has more than a new limit allows keeps what it has. A smaller number of
    /// [`connections`](Limits::connections) closes none; further ones make room for each other.
    ///
    /// Returns the names of those that differ and stay as they are until the server is made anew, because threads, queues or buffers
    /// have their size by them: [`workers`](Limits::workers), [`reserve_workers`](Limits::reserve_workers),
    /// [`queue_requests`](Limits::queue_requests), [`queue_timeout`](Limits::queue_timeout), [`head_bytes`](Limits::head_bytes) and
    /// [`redirect_connections`](Limits::redirect_connections). The redirect's port keeps all that it was bound with.
    ///
    /// Between [`limits`](Handle::limits) and this call, another thread may have replaced them too:
    /// [`change_limits`](Handle::change_limits) loses nothing of that.
    ///
    /// # Errors
    /// [`Error::Setting`] for a limit out of its range. Then nothing has changed.
    #[cfg(feature = "operations")]
    pub fn replace_limits(&self, limits: Limits) -> Result<Vec<&'static str>, Error> {
        let mut limits = Some(limits);
        self.change(&mut |now| *now = limits.take().unwrap_or_default())
    }

    /// As [`replace_limits`](Handle::replace_limits), by what the function makes of the limits as they are. What several threads change
    /// is done one after the other, so no change is lost. The function must not replace or change limits itself, which would wait for
    /// its own end. If it panics, nothing has changed. With the feature `operations`.
    ///
    /// ```
    /// use lockgate::{Request, StatusCode};
    ///
    /// fn under_attack(request: &mut Request) -> Result<StatusCode, lockgate::Error> {
    ///     request.handle().change_limits(|limits| {
    ///         limits.connections_per_address = 4;
    ///         limits.requests_per_address = 10;
    ///     })?;
    ///     Ok(StatusCode::NO_CONTENT)
    /// }
    /// # assert_eq!(under_attack(&mut Request::post("/")).unwrap(), 204);
    /// ```
    ///
    /// # Errors
    /// [`Error::Setting`] for a limit out of its range. Then nothing has changed.
    #[cfg(feature = "operations")]
    pub fn change_limits(&self, change: impl FnOnce(&mut Limits)) -> Result<Vec<&'static str>, Error> {
        let mut change = Some(change);
        self.change(&mut |limits| {
            if let Some(change) = change.take() {
                change(limits);
            }
        })
    }

    #[cfg(feature = "operations")]
    fn change(&self, change: &mut dyn FnMut(&mut Limits)) -> Result<Vec<&'static str>, Error> {
        match &self.0 {
            Of::Server(shared) => replace_limits::replace(shared, change),
            Of::Nobody(nobody) => {
                let mut now = nobody.limits.lock().unwrap_or_else(PoisonError::into_inner);
                let mut asked = now.clone();
                change(&mut asked);
                asked.check()?;
                *now = asked;
                Ok(Vec::new())
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
            #[cfg(feature = "operations")]
            ticket_keys_failure: shared.renewal.failure(Subject::TicketKeys),
            #[cfg(all(feature = "operations", feature = "proxy"))]
            backends: super::health::BackendHealth::of(&shared.counts.proxies),
            redirect: shared
                .stopping
                .redirect()
                .map_or(RedirectHealth::Off, |redirect| redirect.state.health()),
            connections: open,
            most_connections: shared.connections(),
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

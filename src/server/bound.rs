//! A server that is bound: its sockets are open, and it waits for its threads. `builder` makes it, and the program runs it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use super::handle::{Handle, Running};
use super::listener::Acceptor;
use super::renewal::Rounds;
use super::run;
use super::serve::Shared;
use crate::error::Error;
use crate::redirect;

/// A server whose sockets are open and whose certificate is checked.
pub struct Server {
    pub(super) address: SocketAddr,
    pub(super) redirect_address: Option<SocketAddr>,
    pub(super) acceptor: Acceptor,
    pub(super) redirect: Option<redirect::Serve>,
    pub(super) rounds: Rounds,
    #[cfg(feature = "operations")]
    pub(super) admin: Option<crate::operations::local_listener::LocalListener>,
    pub(super) shared: Arc<Shared>,
}

impl Server {
    /// The address of HTTPS. With port 0 it holds the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of the redirect, if there is one.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// The address of [`admin`](crate::ServerBuilder::admin), if it is one with a port. With the feature `operations`.
    #[cfg(feature = "operations")]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.address()
    }

    /// How many connections may be open at a time: [`Limits::connections`](crate::Limits::connections), or fewer if the open-file limit requires it.
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// A handle to stop the server or change its certificate, from any thread.
    pub fn handle(&self) -> Handle {
        Handle::of(self.shared.clone())
    }

    /// Serves until [`Handle::stop`] is called, then finishes open requests and returns. The calling thread becomes the
    /// listener's.
    ///
    /// # Errors
    /// [`Error::Io`] when a thread cannot be started. Later faults are logged, and the server goes on.
    pub fn run(self) -> Result<(), Error> {
        #[cfg(feature = "operations")]
        let admin = super::watched::start(&self.shared, self.admin)?;
        let outcome = run::run(&self.shared, self.acceptor, self.redirect, self.rounds);
        #[cfg(feature = "operations")]
        if let Some(admin) = admin {
            admin.stop();
        }
        outcome
    }

    /// Serves on threads of its own. The log does not tell the address: [`local_addr`](Server::local_addr) has the port that the system
    /// has chosen for port 0, before this takes the server.
    ///
    /// # Errors
    /// [`Error::Io`] when the listener's thread cannot be started.
    pub fn spawn(self) -> Result<Running, Error> {
        let handle = self.handle();
        let thread = thread::Builder::new()
            .name("lockgate-listen".into())
            .spawn(move || self.run())
            .map_err(|source| Error::Io { doing: "starting the listener's thread", source })?;
        Ok(Running::new(handle, thread))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (https, redirect) = (self.address, self.redirect_address);
        f.debug_struct("Server").field("https", &https).field("redirect", &redirect).finish_non_exhaustive()
    }
}

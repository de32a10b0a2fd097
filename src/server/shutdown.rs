//! Stopping, and changing the certificate, while the server runs.

use crate::error::Error;
use crate::tls::Identity;

/// Steers a running server from any thread. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Handle {}

impl Handle {
    /// Asks the server to stop: idle connections are closed, requests whose head has arrived are answered, and after
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) the rest is cut. Returns at once.
    pub fn stop(&self) {
        todo!()
    }

    /// Gives new connections another certificate. Those that are open keep theirs.
    pub fn reload(&self, identity: Identity) {
        let _ = identity;
        todo!()
    }
}

/// A server that runs on threads of its own; made by [`Server::spawn`](crate::Server::spawn).
#[derive(Debug)]
pub struct Running {}

impl Running {
    /// A handle to it.
    pub fn handle(&self) -> Handle {
        todo!()
    }

    /// Waits until it has stopped.
    pub fn join(self) -> Result<(), Error> {
        todo!()
    }
}

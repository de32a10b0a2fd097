//! The contract of an agent. An agent belongs to an identity: while a server runs, it obtains the identity's certificate and
//! answers the authority that validates its names.
//!
//! `tls` and `server` know only this trait, so a program links an agent only if it makes an identity with one. `acme`
//! implements it. The server calls it, and `resolver` does in handshakes.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;

use crate::error::Error;

/// Obtains the certificate of one identity, and proves that its names belong to this machine.
pub(crate) trait Agent: fmt::Debug + Send + Sync {
    /// The agent's state directory. Two agents must not share one.
    fn state_dir(&self) -> &Path;

    /// Checks that the names can be validated on a server like this one.
    ///
    /// # Errors
    /// [`Error::Setting`] with what the server lacks.
    fn check(&self, server: Surroundings) -> Result<(), Error>;

    /// Starts the agent on its own thread. `on_failure` is called for each failed attempt.
    ///
    /// # Errors
    /// When no thread can be started.
    fn start(self: Arc<Self>, on_failure: OnFailure) -> io::Result<Box<dyn AtWork>>;

    /// The answer to an authority over plain HTTP for this token (RFC 8555 §8.3). `None` for an unknown token.
    fn answer(&self, token: &str) -> Option<String>;

    /// The certificate for an authority that offers only `acme-tls/1` and asks for this name (RFC 8737 §3).
    fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>>;
}

/// The properties of a server that matter to an agent.
// Without the feature no agent reads it.
#[cfg_attr(not(feature = "acme"), allow(dead_code))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Whether plain HTTP is answered.
    pub plain_http: bool,
    /// Whether clients without a certificate are refused.
    pub clients_need_certificates: bool,
}

/// Receives the error of a failed attempt, and the time until the next one.
pub(crate) type OnFailure = Box<dyn Fn(&Error, Duration) + Send>;

/// A running agent.
pub(crate) trait AtWork: Send {
    /// Asks the agent to stop. Returns at once.
    fn stop(&self);

    /// Waits until the agent has stopped, at most this long. Returns whether it has.
    fn wait(&self, time: Duration) -> bool;
}

//! What an identity may bring along: an agent, which works for it while a server runs, and answers the authority that
//! validates its names.
//!
//! Only the contract stands here, so `tls` and `server` know no agent, and a program links none unless it makes an identity that
//! brings one. Implemented by `acme`. Called by the server, and by `resolver` in handshakes.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;

use crate::error::Error;

/// Obtains the certificate of one identity, and proves that its names belong to this machine.
pub(crate) trait Agent: fmt::Debug + Send + Sync {
    /// The directory that it keeps its state in, where no second agent may work.
    fn state_dir(&self) -> &Path;

    /// Whether the names can be proven where a server like this one runs.
    ///
    /// # Errors
    /// [`Error::Setting`] with what the server lacks.
    fn check(&self, server: Surroundings) -> Result<(), Error>;

    /// Begins to work, on a thread of its own, and tells of attempts that fail.
    ///
    /// # Errors
    /// When there is no thread to be had.
    fn start(self: Arc<Self>, on_failure: OnFailure) -> io::Result<Box<dyn AtWork>>;

    /// What an authority is to find over plain HTTP for this token (RFC 8555 §8.3); `None` for a token that is not known.
    fn answer(&self, token: &str) -> Option<String>;

    /// The certificate for a client that speaks `acme-tls/1` only and asks for this name (RFC 8737 §3).
    fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>>;
}

/// What of a server matters to an agent.
// Without the feature there is no agent to read it.
#[cfg_attr(not(feature = "acme"), allow(dead_code))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Whether plain HTTP is answered.
    pub plain_http: bool,
    /// Whether clients without a certificate are refused.
    pub clients_need_certificates: bool,
}

/// What is told of an attempt that failed: why, and how long until the next.
pub(crate) type OnFailure = Box<dyn Fn(&Error, Duration) + Send>;

/// An agent at work.
pub(crate) trait AtWork: Send {
    /// Asks it to stop. Returns at once.
    fn stop(&self);

    /// Waits until it has stopped, at most this long; whether it has.
    fn wait(&self, time: Duration) -> bool;
}

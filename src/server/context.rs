//! What a server serves with: limits, routes, certificates, counts, the log, and whether it stops. All threads share it. It
//! knows no connection and no poller; `serve` joins them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use super::renewal::Renewal;
use super::workers::Workers;
use crate::http::clear_credentials::CredentialNames;
use crate::http::response_head::FieldNames;
use crate::limits::body_memory::Budget;
use crate::limits::per_address::PerAddress;
use crate::limits::rate::Rate;
use crate::limits::streams::Streams;
use crate::limits::Limits;
use crate::log_limiter::{LogLimiter, Sort};
use crate::router::Router;
use crate::tls::Live;

/// What a server serves with.
pub(crate) struct Context {
    pub(crate) limits: Limits,
    /// [`Limits::connections`], or less when the open-file limit leaves less.
    pub(crate) connections: usize,
    pub(crate) router: Router,
    pub(crate) tls: Arc<Live>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) access_log: bool,
    pub(crate) credential_names: CredentialNames,
    pub(crate) field_names: FieldNames,
    pub(crate) workers: Workers,
    pub(crate) per_address: PerAddress,
    /// When there is a limit on how often an address may ask.
    pub(crate) rate: Option<Rate>,
    pub(crate) body_memory: Arc<Budget>,
    pub(crate) streams: Streams,
    pub(crate) log_limiter: Arc<LogLimiter>,
    pub(super) draining: AtomicBool,
    pub(super) stopped: AtomicBool,
}

impl Context {
    /// Logs that a client was refused or cut: `what` is the limit that it met, or what else happened.
    pub(crate) fn log_refusal(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(Sort { target: "lockgate::server", level: log::Level::Info, what }, now, line);
    }

    /// Logs a fault of the program's own, such as a handler that fails: `what` is the kind. A client may bring it about as
    /// often as it likes.
    pub(crate) fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(
            Sort { target: "lockgate::server", level: log::Level::Error, what },
            now,
            line,
        );
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

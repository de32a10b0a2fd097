//! The state that all threads of a server share: limits, routes, certificates, counts, the log, and whether the server stops.
//! It knows no connection and no poller; `serve` connects them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use super::on_response::OnResponse;
use super::renewal::Renewal;
use super::stopping::Stopping;
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

/// The state that all threads of a server share.
pub(crate) struct Context {
    pub(crate) limits: Limits,
    /// [`Limits::connections`], or fewer if the open-file limit requires it.
    pub(crate) connections: usize,
    pub(crate) router: Router,
    pub(crate) tls: Arc<Live>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) access_log: bool,
    pub(crate) credential_names: CredentialNames,
    pub(crate) field_names: FieldNames,
    pub(crate) on_response: Option<Box<dyn OnResponse>>,
    pub(crate) workers: Workers,
    pub(crate) per_address: PerAddress,
    /// The rates of addresses, if `requests_per_address` is set.
    pub(crate) rate: Option<Rate>,
    pub(crate) body_memory: Arc<Budget>,
    pub(crate) streams: Streams,
    pub(crate) log_limiter: Arc<LogLimiter>,
    pub(super) stopping: Stopping,
    pub(super) stopped: AtomicBool,
}

impl Context {
    /// Logs that a client was refused or cut. `what` is the limit that it met, or another reason.
    pub(crate) fn log_refusal(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(Sort { target: "lockgate::server", level: log::Level::Info, what }, now, line);
    }

    /// Logs a fault of the program, such as a failed handler. `what` is its kind. A client can cause it as often as it likes,
    /// so the number of lines is limited.
    pub(crate) fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(
            Sort { target: "lockgate::server", level: log::Level::Error, what },
            now,
            line,
        );
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stopping.has_begun()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

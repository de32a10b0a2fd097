//! The state that all threads of a server share: limits, routes, certificates, counts, the log, and whether the server stops.
//! It knows no connection and no poller; `serve` connects them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
#[cfg(feature = "operations")]
use std::sync::OnceLock;
use std::time::Instant;

#[cfg(feature = "operations")]
use super::live_limits::LiveLimits;
#[cfg(feature = "operations")]
use super::notify::Notify;
use super::on_response::OnResponse;
use super::renewal::Renewal;
use super::stopping::Stopping;
use super::workers::Workers;
use crate::handler_call::{self, Fault};
use crate::http::clear_credentials::CredentialNames;
use crate::http::response_head::FieldNames;
use crate::limits::body_memory::Budget;
use crate::limits::per_address::PerAddress;
use crate::limits::rate::Rate;
use crate::limits::streams::Streams;
use crate::limits::Limits;
use crate::log_limiter::{About, LogLimiter, Sort};
#[cfg(feature = "operations")]
use crate::operations::in_front::Networks;
use crate::router::Router;
use crate::tls::Live;

/// The state that all threads of a server share.
pub(crate) struct Context {
    pub(crate) limits: Limits,
    /// In the place of those at the start, wherever they can change.
    #[cfg(feature = "operations")]
    pub(crate) live_limits: LiveLimits,
    /// [`Limits::connections`], or fewer if the open-file limit requires it.
    #[cfg_attr(feature = "operations", allow(dead_code))]
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
    #[cfg(not(feature = "operations"))]
    pub(crate) rate: Option<Rate>,
    #[cfg(feature = "operations")]
    pub(crate) rate: OnceLock<Rate>,
    pub(crate) body_memory: Arc<Budget>,
    pub(crate) streams: Streams,
    pub(crate) log_limiter: Arc<LogLimiter>,
    #[cfg(feature = "operations")]
    pub(super) notify: Notify,
    #[cfg(feature = "operations")]
    pub(crate) counts: super::counts::Counts,
    #[cfg(feature = "operations")]
    pub(crate) networks: Networks,
    pub(super) stopping: Stopping,
    pub(super) stopped: AtomicBool,
}

impl Context {
    /// The limits as they are now.
    #[cfg(feature = "operations")]
    pub(crate) fn limits_now(&self) -> Limits {
        self.live_limits.get()
    }

    /// The limits as they are now.
    #[cfg(not(feature = "operations"))]
    #[inline]
    pub(crate) fn limits_now(&self) -> &Limits {
        &self.limits
    }

    /// The rates of addresses, if there is a limit, or was one.
    #[inline]
    pub(crate) fn rate(&self) -> Option<&Rate> {
        #[cfg(feature = "operations")]
        return self.rate.get();
        #[cfg(not(feature = "operations"))]
        self.rate.as_ref()
    }

    /// How many connections there may be.
    pub(crate) fn connections(&self) -> usize {
        #[cfg(feature = "operations")]
        return self.live_limits.connections();
        #[cfg(not(feature = "operations"))]
        self.connections
    }

    /// Logs that a client was refused or cut. `what` is the limit that it met, or another reason.
    pub(crate) fn log_refusal(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(Sort { target: "lockgate::server", level: log::Level::Info, what }, now, line);
    }

    /// Logs a handshake that has failed. `what` is the reason.
    pub(crate) fn log_handshake(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        let sort = Sort { target: "lockgate::server", level: log::Level::Info, what };
        self.log_limiter.write_as(About::Handshake, sort, now, line);
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

    /// Logs what went wrong in the last call: a line for each fault, which begins with these words.
    #[cold]
    #[inline(never)]
    pub(crate) fn log_faults(&self, now: Instant, whose: fmt::Arguments<'_>) {
        for Fault { what, text } in handler_call::faults() {
            self.log_fault(what, now, format_args!("{whose} {text}"));
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stopping.has_begun()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// The rates of addresses, if there is a limit.
#[cfg(not(feature = "operations"))]
#[inline]
pub(super) fn rate(limits: &Limits) -> Option<Rate> {
    match limits.requests_per_address {
        0 => None,
        per_second => Some(Rate::new(per_second as u64)),
    }
}

/// The rates of addresses, once there is a limit.
#[cfg(feature = "operations")]
pub(super) fn rate(limits: &Limits) -> OnceLock<Rate> {
    match limits.requests_per_address {
        0 => OnceLock::new(),
        per_second => Rate::new(per_second as u64).into(),
    }
}

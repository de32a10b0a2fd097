//! Threads and sockets: from a listening socket to a drained stop. It joins `http`, `router` and `tls`.
//!
//! A connection holds a thread only while there is work for it. The `listener` gives it to the `poller`, which keeps it while
//! it waits; the `workers` watch in turns and give each connection that is ready its `turn`, which ends as soon as it would
//! wait. `builder` describes and opens a server, `run` is its life, `handle` steers it, and `renewal` keeps its certificates
//! up to date.

mod agents;
mod buffers;
pub(crate) mod builder;
mod clock;
mod connection;
mod deadline;
#[cfg(test)]
mod fake_service;
mod file_watcher;
pub(crate) mod handle;
pub(crate) mod health;
mod input;
mod listener;
mod making_room;
pub(crate) mod missing;
mod pace;
mod permits;
mod places;
mod poller;
mod readers;
pub(crate) mod renewal;
mod run;
mod schedule;
mod scores;
mod serve;
mod supervisor;
#[cfg(test)]
mod tests;
mod timers;
mod turn;
mod workers;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::http::clear_credentials::CredentialNames;
use crate::http::response_head::FieldNames;
use crate::limits::Limits;
use crate::router::Router;
use crate::tls::Live;

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// [`Limits::connections`], or less when the open-file limit leaves less.
    pub(crate) connections: usize,
    pub(crate) router: Router,
    pub(crate) tls: Arc<Live>,
    pub(crate) renewal: Arc<renewal::Renewal>,
    pub(crate) access_log: bool,
    pub(crate) credential_names: CredentialNames,
    pub(crate) field_names: FieldNames,
    pub(crate) poller: poller::Poller<Box<connection::state::Connection>>,
    pub(crate) workers: workers::Workers,
    pub(crate) per_address: crate::limits::per_address::PerAddress,
    /// When there is a limit on how often an address may ask.
    pub(crate) rate: Option<crate::limits::rate::Rate>,
    pub(crate) body_memory: Arc<crate::limits::body_memory::Budget>,
    pub(crate) streams: crate::limits::streams::Streams,
    pub(crate) log_limiter: Arc<crate::log_limiter::LogLimiter>,
    draining: AtomicBool,
    stopped: AtomicBool,
}

impl Shared {
    /// Logs that a client was refused or cut: `what` is the limit that it met, or what else happened.
    pub(crate) fn log_refusal(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(
            crate::log_limiter::Sort { target: "lockgate::server", level: log::Level::Info, what },
            now,
            line,
        );
    }

    /// Logs a fault of the program's own, such as a handler that fails: `what` is the kind. A client may bring it about as
    /// often as it likes.
    pub(crate) fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(
            crate::log_limiter::Sort { target: "lockgate::server", level: log::Level::Error, what },
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

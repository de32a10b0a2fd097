//! Threads and sockets: from a listening socket to a drained stop. It joins `http`, `router` and `tls`.
//!
//! A connection holds a thread only while there is work for it. The listener (`accept`) puts it in the lot (`parking`);
//! the workers (`crew`) watch the lot in turns and give whatever is ready its turn (`connection`), which ends as soon as
//! it would wait.

mod accept;
#[cfg(feature = "acme")]
pub(crate) mod acme;
mod budget;
pub(crate) mod builder;
mod census;
mod client;
mod clock;
mod connection;
mod crew;
mod desk;
mod exchange;
pub(crate) mod health;
pub(crate) mod keeper;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod missing;
mod parking;
mod rate;
mod readers;
mod sending;
pub(crate) mod shutdown;
mod streaming;
mod timers;
mod transport;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::http::clear_credentials::CredentialNames;
use crate::http::reply::FieldNames;
use crate::router::Router;
use crate::tls::Live;
use limits::Limits;

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// [`Limits::connections`], or less when the open-file limit leaves less.
    pub(crate) connections: usize,
    pub(crate) router: Router,
    pub(crate) tls: Arc<Live>,
    pub(crate) keeper: Arc<keeper::Keeper>,
    pub(crate) access_log: bool,
    pub(crate) credential_names: CredentialNames,
    pub(crate) field_names: FieldNames,
    pub(crate) lot: parking::Lot,
    pub(crate) crew: crew::Crew,
    pub(crate) census: census::Census,
    /// When there is a limit on how often an address may ask.
    pub(crate) rate: Option<rate::Rate>,
    pub(crate) body_memory: Arc<budget::Budget>,
    pub(crate) streams: streaming::Streams,
    pub(crate) ledger: Arc<ledger::Ledger>,
    draining: AtomicBool,
    stopped: AtomicBool,
}

impl Shared {
    /// Logs that a client was refused or cut: `what` is the limit that it met, or what else happened.
    pub(crate) fn log_refusal(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.ledger.write(
            ledger::Sort { target: "lockgate::server", level: log::Level::Info, what },
            now,
            line,
        );
    }

    /// Logs a fault of the program's own, such as a handler that fails: `what` is the kind. A client may bring it about as
    /// often as it likes.
    pub(crate) fn log_fault(&self, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.ledger.write(
            ledger::Sort { target: "lockgate::server", level: log::Level::Error, what },
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

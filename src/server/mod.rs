//! Threads and sockets: from a listening socket to a drained stop. It joins `http`, `router` and `tls`.
//!
//! A connection holds a thread only while there is work for it. The `listener` gives it to the `poller`, which keeps it while
//! it waits. The `workers` take turns at watching, and give each ready connection its `turn`, which ends as soon as it would
//! wait. `builder` describes and opens a server, `run` runs it, `handle` controls it, and `renewal` keeps its certificates up
//! to date.

mod agents;
pub(crate) mod bound;
mod buffers;
pub(crate) mod builder;
mod clock;
mod connection;
mod context;
#[cfg(feature = "operations")]
pub(crate) mod counts;
mod deadline;
mod failures;
#[cfg(test)]
mod fake_service;
mod file_watcher;
pub(crate) mod handle;
pub(crate) mod health;
mod http_router;
mod identities;
#[cfg(feature = "operations")]
mod in_front_settings;
mod input;
mod listener;
#[cfg(feature = "operations")]
mod live_limits;
mod making_room;
#[cfg(feature = "operations")]
mod metrics;
pub(crate) mod missing;
#[cfg(feature = "operations")]
mod notify;
mod on_response;
mod open_files;
mod pace;
mod permits;
mod places;
mod plain_http;
mod poller;
mod readers;
#[cfg(feature = "operations")]
mod readiness;
pub(crate) mod renewal;
#[cfg(feature = "operations")]
mod replace_limits;
mod request;
mod run;
mod schedule;
mod scheduler;
mod scores;
mod serve;
#[cfg(feature = "operations")]
mod service;
#[cfg(feature = "operations")]
mod service_settings;
mod stopping;
mod supervisor;
#[cfg(test)]
mod tests;
#[cfg(feature = "operations")]
mod ticket_keys;
mod timers;
mod turn;
#[cfg(feature = "operations")]
mod watchdog;
#[cfg(feature = "operations")]
mod watched;
mod workers;

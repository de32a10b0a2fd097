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
mod deadline;
#[cfg(test)]
mod fake_service;
mod file_watcher;
pub(crate) mod handle;
pub(crate) mod health;
mod http_router;
mod input;
mod listener;
mod making_room;
pub(crate) mod missing;
mod on_response;
mod pace;
mod permits;
mod places;
mod plain_http;
mod poller;
mod readers;
pub(crate) mod renewal;
mod request;
mod run;
mod schedule;
mod scheduler;
mod scores;
mod serve;
mod stopping;
mod supervisor;
#[cfg(test)]
mod tests;
#[cfg(feature = "handler-timeout")]
mod timeout;
mod timers;
mod turn;
mod workers;

//! What a connection asks of the poller and the workers during its turn. `serve` answers it, which knows both; a connection
//! knows neither. All of it is seldom asked, so a call through a table costs nothing that can be measured.

use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

use super::clock::{Clock, Millis};
use super::places::Entry;
use super::turn::Signals;

/// A connection is known by its key.
pub(crate) trait Scheduler: Send + Sync {
    fn clock(&self) -> Clock;
    fn millis(&self, at: Instant) -> Millis;
    /// Also listens for room to write, from now on.
    fn listen_for_writable(&self, key: usize, descriptor: RawFd) -> io::Result<()>;
    /// Blocks until the connection has signals, or `until`.
    fn await_signals(&self, key: usize, until: Instant) -> Signals;
    /// Whether the connection's client is known to be gone.
    fn is_gone(&self, key: usize) -> bool;
    /// Takes a place for the reader of a response that is about to begin. False when there is none.
    fn take_reader_place(&self, key: usize) -> bool;
    /// Before a response's reader is asked for more.
    fn enter_reader(&self, key: usize) -> Entry;
    /// After the reader has returned.
    fn leave_reader(&self, key: usize);
    /// The worker is about to block, or expected to.
    fn about_to_block(&self, me: Option<usize>);
}

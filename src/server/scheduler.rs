//! What a connection needs of the poller and the workers during its turn. A connection knows neither; `workers` implements this
//! for every service. The calls are rare, so dynamic dispatch has no measurable cost.

use std::any::Any;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

use super::clock::Millis;
use super::places::Entry;
use super::turn::Signals;
use crate::wake_list::WakeList;

/// A connection is known by its key.
pub(crate) trait Scheduler: Send + Sync {
    fn millis(&self, at: Instant) -> Millis;
    /// Also listens for room to write, from now on.
    fn listen_for_writable(&self, key: usize, descriptor: RawFd) -> io::Result<()>;
    /// Blocks until the connection has signals, or `until`.
    fn await_signals(&self, key: usize, until: Instant) -> Signals;
    /// The service that the workers run, for who knows its type.
    fn service(&self) -> &dyn Any;
    /// Whether the connection's client is known to be gone.
    fn is_gone(&self, key: usize) -> bool;
    /// Takes a place for the reader of a response that is about to begin. Returns false when there is none.
    fn take_reader_place(&self, key: usize) -> bool;
    /// Called before a response's reader.
    fn enter_reader(&self, key: usize) -> Entry;
    /// Called after the reader has returned.
    fn leave_reader(&self, key: usize);
    /// Where a body marks its connection when it has more to send.
    fn wake_list(&self) -> Arc<WakeList>;
    /// Called when the worker is about to block, or probably is.
    fn about_to_block(&self, me: Option<usize>);
}

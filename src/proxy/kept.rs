//! Connections to a backend that wait for the next request. Their number and their time are bounded. `exchange` takes them, and
//! puts them back when an answer has come whole.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::wake_list::Waker;

/// How long a connection is kept whose backend does not say how long it keeps it.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// A backend may close a kept connection just as a request comes, and such a request is not sent again unless it is safe. So one
/// that is not takes only a connection that was in use a moment ago.
const KEPT_FOR_UNSAFE: Duration = Duration::from_secs(1);
/// How much earlier than a backend says a connection is given up.
const MARGIN: Duration = Duration::from_secs(1);
/// The most connections that are kept.
const MOST: usize = 64;

/// What a connection is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A request that can be sent again.
    Safe,
    Unsafe,
}

/// The kept connections of one backend. The newest is last.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<Connection>>);

/// How long a connection is kept whose backend says this about it.
pub(super) fn kept_for(told: Option<Duration>) -> Duration {
    told.map_or(KEPT_FOR, |told| told.saturating_sub(MARGIN).min(KEPT_FOR))
}

/// Whether a connection that has been idle for this time is still good.
fn is_good(idle: Duration, kept_for: Duration, wanted: For) -> bool {
    match wanted {
        For::Safe => idle < kept_for,
        For::Unsafe => idle < kept_for.min(KEPT_FOR_UNSAFE),
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that its backend has not closed, if there is one.
    pub(super) fn take(&self, waker: &Waker, wanted: For, now: Instant) -> Option<Connection> {
        loop {
            let mut held = self.lock();
            let good =
                |kept: &Connection| is_good(now.saturating_duration_since(kept.since), kept.kept_for, wanted);
            let own = held.iter().rposition(|kept| kept.is_watched_for(waker) && good(kept));
            let at = own.or_else(|| held.iter().rposition(good))?;
            let taken = held.remove(at);
            drop(held);
            if taken.is_quiet() {
                return Some(taken);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, mut connection: Connection, told: Option<Duration>, now: Instant) {
        connection.is_kept = true;
        connection.since = now;
        connection.kept_for = kept_for(told);
        let mut dropped = Vec::new();
        let mut held = self.lock();
        while held.first().is_some_and(|oldest| {
            held.len() >= MOST || now.saturating_duration_since(oldest.since) >= oldest.kept_for
        }) {
            dropped.push(held.remove(0));
        }
        held.push(connection);
        drop(held);
        // Closing is a system call, which nobody waits for under the lock.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_kept_for_less_than_its_backend_keeps_it_and_for_a_moment_if_a_request_is_not_safe() {
        let seconds = Duration::from_secs;
        assert_eq!(kept_for(None), seconds(30));
        assert_eq!(kept_for(Some(seconds(5))), seconds(4));
        assert_eq!(kept_for(Some(seconds(1))), seconds(0));
        assert_eq!(kept_for(Some(seconds(75))), seconds(30));
        for (idle, kept_for, wanted, good) in [
            (0, 4, For::Safe, true),
            (3, 4, For::Safe, true),
            (4, 4, For::Safe, false),
            (0, 4, For::Unsafe, true),
            (1, 4, For::Unsafe, false),
            (0, 0, For::Safe, false),
            (0, 0, For::Unsafe, false),
        ] {
            assert_eq!(
                is_good(seconds(idle), seconds(kept_for), wanted),
                good,
                "{idle} {kept_for} {wanted:?}"
            );
        }
    }
}

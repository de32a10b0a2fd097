//! What all requests of a proxy share: where the backend is, how long it may take, its kept connections, and how many requests are
//! there. `mod` makes it, and each request holds a place in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::kept::Kept;
use super::target::{Host, Target};
use crate::limits::body_memory::Budget;
use crate::log_limiter::{LogLimiter, Sort};

/// How long a request waits for a backend that refuses connections, as it does while it starts again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The memory for all requests that are not sent yet, in bytes.
const MEMORY_BYTES: usize = 32 << 20;

/// What all requests of a proxy share.
pub(super) struct Shared {
    pub target: Target,
    pub settings: Settings,
    pub kept: Kept,
    in_use: AtomicUsize,
    pub memory: Arc<Budget>,
    log_limiter: LogLimiter,
    /// Whether the last connection that was tried was refused, for as long as a request has patience.
    down: AtomicBool,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub host: Host,
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
    pub secure_cookies: bool,
    pub most: usize,
}

impl Shared {
    pub(super) fn new(target: Target, settings: Settings) -> Shared {
        Shared {
            target,
            settings,
            kept: Kept::default(),
            in_use: AtomicUsize::new(0),
            memory: Arc::new(Budget::new(MEMORY_BYTES)),
            log_limiter: LogLimiter::new(|| ()),
            down: AtomicBool::new(false),
        }
    }

    /// How long a new request waits for a backend that refuses connections. One that is known to be down is not waited for.
    pub(super) fn patience(&self) -> Duration {
        if self.down.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            PATIENCE
        }
    }

    /// Logs why the backend has given no answer, 20 times a minute at most: a client can ask as often as it likes.
    pub(super) fn log(&self, now: Instant, line: fmt::Arguments<'_>) {
        let sort = Sort { target: "lockgate::proxy", level: Level::Error, what: "no answer of a backend" };
        self.log_limiter.write(sort, now, line);
    }

    /// The backend refuses connections.
    pub(super) fn is_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    /// It has taken one.
    pub(super) fn is_up(&self) {
        self.down.store(false, Ordering::Relaxed);
    }
}

/// A request's place among those at the backend. Dropping the last clone gives it back.
#[derive(Clone)]
pub(super) struct InUse(Arc<Place>);

struct Place(Arc<Shared>);

impl InUse {
    pub(super) fn take(shared: &Arc<Shared>) -> Option<InUse> {
        let most = shared.settings.most;
        let one_more = |used: usize| (used < most).then_some(used + 1);
        shared.in_use.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(InUse(Arc::new(Place(shared.clone()))))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0 .0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::AcqRel);
    }
}

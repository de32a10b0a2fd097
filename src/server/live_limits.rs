//! The limits as they are now: a program can replace them while its server runs. Each worker has a copy, and takes the new ones at the
//! beginning of its next turn, so that a request costs nothing for it. Knows limits only; `context` has it, and `buffers` and the
//! listener ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;

pub(crate) struct LiveLimits {
    /// How often they were replaced.
    version: AtomicUsize,
    now: Mutex<Limits>,
    /// Held while they are replaced: who counts by them is told one after the other, and has to have them from the same caller.
    replacing: Mutex<()>,
    /// [`Limits::connections`], or fewer if the open-file limit requires it.
    connections: AtomicUsize,
}

impl LiveLimits {
    pub(crate) fn new(limits: Limits, connections: usize) -> LiveLimits {
        LiveLimits {
            version: AtomicUsize::new(0),
            now: Mutex::new(limits),
            replacing: Mutex::new(()),
            connections: AtomicUsize::new(connections),
        }
    }

    /// The limits as the program has set them, and as sizes have been made of them at the start.
    pub(crate) fn get(&self) -> Limits {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[inline]
    pub(crate) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Nobody else replaces them as long as this is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replace(&self, limits: Limits, connections: usize) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        self.connections.store(connections, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }
}

//! Counts of requests and of what else happens so often that counting must cost next to nothing. Each worker has a block of its
//! own and is the only one that writes to it, so a count is a load, an addition and a store, and no processor waits for
//! another. Whoever asks adds the blocks up. Knows only numbers and times. The server counts, and makes `metrics` of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

/// Classes of a status: 1xx to 5xx, and all others, which only a handler can invent.
pub(crate) const CLASSES: usize = 6;
/// Their names, as a label.
pub(super) const CLASS_NAMES: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The upper bounds of the histogram's buckets, in nanoseconds, and as they are written in seconds. Above the last there is one
/// more bucket. They begin where a handler that only computes is, and end beyond the patience of people.
pub(crate) const BOUNDS: [(u64, &str); 14] = [
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
];

/// All blocks of a server.
pub(crate) struct Counters {
    /// One for each worker, made when its thread begins. Then that of the supervisor, and that of all other threads.
    blocks: Box<[OnceLock<Box<Block>>]>,
    /// How many numbers of handlers there are.
    handlers: usize,
}

/// The counts of one worker.
pub(crate) struct Block {
    /// By the number of the handler. The last is for what no handler has answered.
    handlers: Box<[OfHandler]>,
    latency: Latency,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Default)]
#[repr(align(64))]
struct OfHandler {
    by_class: [AtomicU64; CLASSES],
    nanos: AtomicU64,
}

#[derive(Default)]
#[repr(align(64))]
struct Latency {
    /// How many took at most as long as the bucket's bound, and longer than the one before it.
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

/// What one handler has answered, on all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub by_class: [u64; CLASSES],
    pub nanos: u64,
}

/// The sums of all blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    /// By the number of the handler, and last what no handler has answered.
    pub handlers: Vec<Answered>,
    pub buckets: [u64; BOUNDS.len() + 1],
    pub nanos: u64,
    pub received: u64,
    pub sent: u64,
}

impl Counters {
    /// For this many workers and handlers.
    pub(crate) fn new(workers: usize, handlers: usize) -> Counters {
        Counters { blocks: (0..workers + 2).map(|_| OnceLock::new()).collect(), handlers }
    }

    /// The block of a worker, or of the supervisor with `None`. Only its thread counts there.
    pub(crate) fn of(&self, worker: Option<usize>) -> &Block {
        let supervisor = self.blocks.len() - 2;
        self.block(worker.map_or(supervisor, |worker| worker.min(supervisor)))
    }

    /// Counts a request that got no answer, because its client was gone or the server ended. Any thread calls it.
    #[cold]
    #[cfg_attr(not(feature = "handler-timeout"), allow(dead_code))]
    pub(crate) fn unanswered(&self, handler: usize, status: u16) {
        let block = self.block(self.blocks.len() - 1);
        if let Some(of) = block.handlers.get(handler) {
            of.by_class[class(status)].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn block(&self, at: usize) -> &Block {
        self.blocks[at].get_or_init(|| {
            Box::new(Block {
                handlers: (0..=self.handlers).map(|_| OfHandler::default()).collect(),
                latency: Latency::default(),
                received: AtomicU64::new(0),
                sent: AtomicU64::new(0),
            })
        })
    }

    /// Adds up all blocks. Workers go on counting meanwhile, so a sum may have a request that another sum does not have yet.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums { handlers: vec![Answered::default(); self.handlers + 1], ..Sums::default() };
        for block in self.blocks.iter().filter_map(OnceLock::get) {
            for (sum, of) in sums.handlers.iter_mut().zip(&block.handlers[..]) {
                add_all(&mut sum.by_class, &of.by_class);
                add_all(std::slice::from_mut(&mut sum.nanos), std::slice::from_ref(&of.nanos));
            }
            add_all(&mut sums.buckets, &block.latency.buckets);
            for (sum, of) in [(&mut sums.received, &block.received), (&mut sums.sent, &block.sent)] {
                *sum = sum.wrapping_add(of.load(Ordering::Relaxed));
            }
        }
        // Every response is counted for a handler, or for nobody.
        sums.nanos = sums.handlers.iter().fold(0, |sum, of| sum.wrapping_add(of.nanos));
        sums
    }
}

fn add_all(sums: &mut [u64], of: &[AtomicU64]) {
    for (sum, of) in sums.iter_mut().zip(of) {
        *sum = sum.wrapping_add(of.load(Ordering::Relaxed));
    }
}

impl Block {
    /// The number for what no handler has answered.
    pub(crate) fn nobody(&self) -> usize {
        self.handlers.len() - 1
    }

    /// Counts a response with this status, which a handler made in this time.
    #[inline]
    pub(crate) fn answered(&self, handler: usize, status: u16, took: Duration) {
        let nanos = took.as_secs().wrapping_mul(1_000_000_000).wrapping_add(took.subsec_nanos().into());
        if let Some(of) = self.handlers.get(handler) {
            add(&of.by_class[class(status)], 1);
            add(&of.nanos, nanos);
        }
        let bucket = if nanos <= BOUNDS[0].0 { 0 } else { bucket_of(nanos) };
        add(&self.latency.buckets[bucket], 1);
    }

    /// Counts bytes that came from the network and went there.
    #[inline]
    pub(crate) fn transferred(&self, received: u64, sent: u64) {
        add(&self.received, received);
        add(&self.sent, sent);
    }
}

/// Only one thread adds to a counter in this way.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[inline(always)]
fn class(status: u16) -> usize {
    usize::from((status / 100).wrapping_sub(1)).min(CLASSES - 1)
}

#[cold]
#[inline(never)]
fn bucket_of(nanos: u64) -> usize {
    BOUNDS.iter().position(|(bound, _)| nanos <= *bound).unwrap_or(BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_apart_is_added_up() {
        let counters = Counters::new(3, 2);
        counters.of(Some(0)).answered(1, 200, Duration::from_micros(500));
        counters.of(Some(2)).answered(1, 204, Duration::from_micros(501));
        counters.of(None).answered(2, 503, Duration::from_secs(60));
        counters.of(Some(2)).answered(0, 999, Duration::ZERO);
        counters.unanswered(0, 499);
        counters.of(Some(1)).transferred(7, 9);
        counters.of(Some(0)).transferred(1, 1);
        let sums = counters.sums();
        assert_eq!(sums.handlers[0].by_class, [0, 0, 0, 1, 0, 1]);
        assert_eq!(sums.handlers[1], Answered { by_class: [0, 2, 0, 0, 0, 0], nanos: 1_001_000 });
        assert_eq!(sums.handlers[2], Answered { by_class: [0, 0, 0, 0, 1, 0], nanos: 60_000_000_000 });
        assert_eq!((sums.buckets[0], sums.buckets[1], sums.buckets[BOUNDS.len()]), (2, 1, 1));
        assert_eq!(sums.buckets.iter().sum::<u64>(), 4);
        assert_eq!((sums.received, sums.sent, sums.nanos), (8, 10, 60_001_001_000));
    }

    #[test]
    fn each_bound_is_the_number_that_is_written_and_is_within_its_bucket() {
        for (at, (nanos, written)) in BOUNDS.iter().enumerate() {
            let seconds: f64 = written.parse().unwrap();
            assert_eq!((seconds * 1e9).round() as u64, *nanos);
            assert_eq!((bucket_of(*nanos), bucket_of(*nanos + 1)), (at, at + 1));
        }
    }

    #[test]
    fn a_number_that_no_handler_has_counts_for_none() {
        let counters = Counters::new(1, 1);
        counters.of(Some(0)).answered(9, 200, Duration::ZERO);
        // More workers than there are blocks share that of the supervisor, and nothing fails.
        counters.of(Some(99)).answered(0, 0, Duration::ZERO);
        let sums = counters.sums();
        assert_eq!(sums.handlers[0].by_class, [0, 0, 0, 0, 0, 1]);
        assert_eq!(counters.of(None).nobody(), 1);
        assert_eq!(sums.handlers[1], Answered::default());
    }
}

//! What a server counts, beside what its parts know anyway, and whether it accepts. The listener, the workers and the handshakes
//! count here; `metrics` and `watched` read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::SystemTime;

use crate::operations::counters::Counters;

/// What an open connection waits for. The order is that of [`State::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Handshake,
    Idle,
    Head,
    Body,
    Pending,
    Sending,
    Feed,
    Live,
    #[cfg_attr(not(feature = "upgrade"), allow(dead_code))]
    WebSocket,
    #[cfg_attr(not(feature = "upgrade"), allow(dead_code))]
    Tunnel,
    Closing,
    Queued,
    Working,
}

impl State {
    pub(crate) const NAMES: [&'static str; 13] = [
        "handshake",
        "idle",
        "head",
        "body",
        "pending",
        "sending",
        "feed",
        "live",
        "websocket",
        "tunnel",
        "closing",
        "queued",
        "working",
    ];
}

pub(crate) struct Counts {
    pub started_at: SystemTime,
    pub counters: Arc<Counters>,
    accepted: AtomicU64,
    /// By [`VERSIONS`], and by whether the session was resumed.
    handshakes: [[AtomicU64; 2]; VERSIONS.len()],
    has_started: AtomicBool,
    /// Whether the last attempt to accept connections succeeded.
    accepts: AtomicBool,
    /// How many lines the program's logger has not written.
    pub dropped_log_lines: Option<fn() -> u64>,
    /// The proxies whose targets are among the metrics.
    #[cfg(feature = "proxy")]
    pub proxies: Vec<(String, crate::Proxy)>,
}

/// As the access log writes them.
const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

impl Counts {
    /// For this many numbers of workers and of handlers.
    pub(crate) fn new(workers: usize, handlers: usize) -> Counts {
        Counts {
            started_at: SystemTime::now(),
            counters: Arc::new(Counters::new(workers, handlers)),
            accepted: AtomicU64::new(0),
            handshakes: Default::default(),
            has_started: AtomicBool::new(false),
            accepts: AtomicBool::new(true),
            dropped_log_lines: None,
            #[cfg(feature = "proxy")]
            proxies: Vec::new(),
        }
    }

    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn handshake(&self, version: &str, is_resumed: bool) {
        if let Some(at) = VERSIONS.iter().position(|known| *known == version) {
            self.handshakes[at][usize::from(is_resumed)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The handshakes by version, and by whether the session was resumed.
    pub(crate) fn handshakes(&self) -> impl Iterator<Item = (&'static str, bool, u64)> + '_ {
        let of = |at: usize, resumed: usize| {
            (VERSIONS[at], resumed == 1, self.handshakes[at][resumed].load(Ordering::Relaxed))
        };
        (0..VERSIONS.len()).flat_map(move |at| [of(at, 0), of(at, 1)])
    }

    /// From now on connections are accepted.
    pub(crate) fn start(&self) {
        self.has_started.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.has_started.load(Ordering::Relaxed)
    }

    /// Notes whether an attempt to accept connections succeeded.
    pub(crate) fn note_accepting(&self, succeeded: bool) {
        self.accepts.store(succeeded, Ordering::Relaxed);
    }

    pub(crate) fn accepts(&self) -> bool {
        self.accepts.load(Ordering::Relaxed)
    }
}

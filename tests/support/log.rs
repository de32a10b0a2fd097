//! Everything that is logged in this process, and what it says about a client.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Begins to keep the log; again and again is fine.
pub fn install() {
    log::set_max_level(log::LevelFilter::Trace);
    // Refused when another test has done it already.
    let _ = log::set_logger(&LOG);
}

/// Keeps every line that is logged in this process.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

/// How many lines have been logged so far; for [`assert_limit_named`].
pub fn log_count() -> usize {
    LOG.count()
}

/// Asserts that the log, from the given line on, says once which limit a client has met, and nothing of another.
pub fn assert_limit_named(client: SocketAddr, from: usize, limit: &str) {
    let lines = limits_named(client, from);
    assert!(lines.len() == 1 && lines[0].contains(&format!("(limit {limit})")), "{limit}: {lines:?}");
}

pub fn limits_named(client: SocketAddr, from: usize) -> Vec<String> {
    LOG.about(client, from).into_iter().filter(|line| line.contains("(limit ")).collect()
}

impl Log {
    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn about(&self, client: SocketAddr, from: usize) -> Vec<String> {
        let start = format!("{client}: ");
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines[from..].iter().filter(|line| line.starts_with(&start)).cloned().collect()
    }
}

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("lockgate")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

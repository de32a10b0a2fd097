//! Collects everything that is logged in this process, and finds the lines about a client.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::SAFETY;

/// Begins to keep the log; again and again is fine.
pub fn install() {
    log::set_max_level(log::LevelFilter::Trace);
    // Refused when another test has done it already.
    let _ = log::set_logger(&LOG);
}

/// Keeps every line that is logged in this process.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

/// Asserts that the log says once which limit a client has met, and nothing of another.
pub fn assert_limit_named(client: SocketAddr, limit: &str) {
    let lines = limits_named(client);
    assert!(lines.len() == 1 && lines[0].contains(&format!("(limit {limit})")), "{limit}: {lines:?}");
}

/// The lines about a client that name a limit.
pub fn limits_named(client: SocketAddr) -> Vec<String> {
    lines(|line| line.starts_with(&format!("{client}: ")) && line.contains("(limit "))
}

/// The lines so far that are of this kind.
pub fn lines(of_kind: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = LOG.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| of_kind(line)).cloned().collect()
}

/// The same, once there are so many; those that there are when they do not come. Lines may be written a little after a client
/// has its answer.
pub fn await_lines(count: usize, of_kind: impl Fn(&str) -> bool) -> Vec<String> {
    let deadline = Instant::now() + SAFETY;
    loop {
        let found = lines(&of_kind);
        if found.len() >= count || Instant::now() >= deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
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

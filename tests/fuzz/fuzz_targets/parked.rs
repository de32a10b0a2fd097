//! Clients and backends over sockets, with the proxy between them: tests/proxy/parked says what an input is and what holds.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;

#[path = "../../proxy/parked/mod.rs"]
// A test of the proxy uses more of it.
#[allow(dead_code)]
mod parked;

fuzz_target!(|input: &[u8]| {
    // Rust's own main would have the signal ignored, which comes of writing to a closed socket; libFuzzer's does not.
    static IGNORED: OnceLock<()> = OnceLock::new();
    IGNORED.get_or_init(|| {
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).unwrap();
    });
    parked::hold(input);
});

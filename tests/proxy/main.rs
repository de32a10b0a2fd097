//! A proxy in front of backends of every kind of behaviour, over real sockets: what the backend gets, what the client gets, and what
//! the client gets when the backend fails.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers_of_tests;

mod answers;
mod backend;
mod backends;
mod bodies;
#[cfg(feature = "check")]
mod checked;
mod concurrent;
mod desync;
mod faults;
mod health;
mod https;
mod node;
mod parked;
mod peers;
mod random;
mod requests;
mod settings;
mod tap;
mod targets;
mod told;
mod trailers;
mod tunnels;
mod wire;

// The requests of the tests of the server alone.
#[path = "../wire"]
mod wire_table {
    #[allow(dead_code)]
    pub mod table;
}

use std::time::{Duration, Instant};

use lockgate::{Proxy, Router};
use support::{serve, Serving, SAFETY};

use backend::Backend;

/// What the table of requests takes for the server's limits.
const HEAD_BYTES: usize = 16 * 1024;
const BODY_BYTES: usize = 4_096;
const BODY_BUFFER_BYTES: usize = 1_024;

/// A server that passes everything on to this backend.
fn in_front_of(backend: &Backend) -> Serving {
    serve(Router::new().fallback(Proxy::to(&backend.url()).unwrap().handler()))
}

/// The same with other settings.
fn in_front_with(backend: &Backend, set: impl FnOnce(Proxy) -> Proxy) -> Serving {
    serve(Router::new().fallback(set(Proxy::to(&backend.url()).unwrap()).handler()))
}

/// Waits until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SAFETY, "it never is");
        std::thread::sleep(Duration::from_millis(2));
    }
}

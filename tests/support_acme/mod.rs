//! What the tests of ACME share: Pebble, the authority that Let's Encrypt tests clients with, as a child on free ports; a
//! server that speaks as little HTTPS as an authority needs; and a client for it.

// Each test program uses a part of this.

#![allow(dead_code)]

pub mod authority;
pub mod base64url;
pub mod https;
pub mod pebble;
pub mod serving;
pub mod stub;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Longer than anything here takes, also on a machine that is busy.
pub const SAFETY: Duration = Duration::from_secs(120);

/// A port that nobody has, below those that the system gives out, so that nobody will be given it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 10_000) as u16;
    for _ in 0..1_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

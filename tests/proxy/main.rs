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
mod faults;
mod peers;
mod requests;

use lockgate::{Proxy, Router};
use support::{serve, Serving};

use backend::Backend;

/// A server that passes everything on to this backend.
fn in_front_of(backend: &Backend) -> Serving {
    serve(Router::new().fallback(Proxy::to(&backend.url()).unwrap().handler()))
}

/// The same with other settings.
fn in_front_with(backend: &Backend, set: impl FnOnce(Proxy) -> Proxy) -> Serving {
    serve(Router::new().fallback(set(Proxy::to(&backend.url()).unwrap()).handler()))
}

//! The most requests that a router answers at a time, when a proxy answers them.

use std::sync::Arc;

use lockgate::{Proxy, Router};

use super::backend::{ok, Act, Backend};
use super::support::{get, serve, Gate, Serving};
use super::until;

/// A server that answers one request at a time, from this backend.
fn one_at_a_time(backend: &Backend) -> Serving {
    serve(Router::new().fallback(Proxy::to(&backend.url()).unwrap().handler()).concurrent(1))
}

/// A backend that comes to the gate for `/slow`, after this text and before that one.
fn slow(gate: &Arc<Gate>, before: &'static str, after: &'static str) -> Backend {
    let gate = gate.clone();
    Backend::new(move |_, seen| match seen.line() {
        "GET /slow HTTP/1.1" => {
            let [before, after] = [before, after].map(|text| Act::Say(text.into()));
            vec![before, Act::Wait(gate.clone()), after]
        }
        _ => ok("quick"),
    })
}

#[test]
fn a_proxied_request_counts_until_its_answer_has_come() {
    let gate = Gate::new();
    let backend = slow(&gate, "", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    let serving = one_at_a_time(&backend);
    let mut client = serving.connect();
    client.send(get("/slow"));
    gate.wait_for(1);
    let refused = serving.get("/quick");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    gate.open();
    assert_eq!(client.reply().text(), "slow");
    until(|| serving.get("/quick").text() == "quick");
    assert_eq!(backend.seen().iter().filter(|seen| seen.line().contains("slow")).count(), 1);
}

#[test]
fn a_proxied_answer_counts_until_it_was_passed_on() {
    let gate = Gate::new();
    let backend = slow(&gate, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", "half");
    let serving = one_at_a_time(&backend);
    let mut client = serving.connect();
    client.send(get("/slow"));
    client.take_until(b"half").unwrap();
    assert_eq!(serving.get("/quick").status, 503);
    gate.open();
    client.take_until(b"half").unwrap();
    until(|| serving.get("/quick").text() == "quick");
}

#[test]
fn a_client_that_leaves_gives_its_place_back_whatever_it_was_waiting_for() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"] {
        let gate = Gate::new();
        let backend = slow(&gate, begun, "");
        let serving = one_at_a_time(&backend);
        let mut client = serving.connect();
        client.send(get("/slow"));
        gate.wait_for(1);
        assert_eq!(serving.get("/quick").status, 503);
        drop(client);
        until(|| serving.get("/quick").text() == "quick");
        gate.open();
    }
}

#[test]
fn an_open_websocket_does_not_count() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::new(move |_, seen| match seen.fields("upgrade")[..] {
        [] => ok("quick"),
        _ => vec![
            Act::Say("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".into()),
            Act::Wait(held.clone()),
        ],
    });
    let serving = one_at_a_time(&backend);
    let mut client = serving.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.take_until(b"\r\n\r\n").unwrap();
    until(|| serving.get("/quick").text() == "quick");
    gate.open();
}

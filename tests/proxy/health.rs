//! What a program is told of its proxy's backends.

use lockgate::{Proxy, Router};

use super::backend::{ok, say, Act, Backend};
use super::support::{post, serve, Gate};
use super::until;

#[test]
fn answers_are_counted_by_class_and_failures_by_kind() {
    let backend = Backend::new(|_, seen| match seen.line().split(' ').nth(1).unwrap() {
        "/close" => vec![Act::Close],
        "/garble" => say("garbage\r\n\r\n"),
        "/cut" => [say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), vec![Act::Close]].concat(),
        path => say(format!("HTTP/1.1 {} x\r\nContent-Length: 0\r\n\r\n", &path[1..])),
    });
    let proxy = Proxy::to(&backend.url()).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    for path in ["/close", "/garble", "/garble"] {
        client.send(post(path, b"x"));
        assert_eq!(client.reply().status, 502);
    }
    for status in [200, 204, 302, 404, 404, 500, 503] {
        client.send(post(&format!("/{status}"), b"x"));
        assert_eq!(client.reply().status, status);
    }
    client.send(post("/cut", b"x"));
    client.take_until(b"half").unwrap();
    client.rest();
    // A place is given back a little after the client has its answer.
    until(|| proxy.health().targets[0].in_flight == 0);
    let health = proxy.health();
    assert_eq!((health.waiting, health.targets.len()), (0, 1));
    let target = &health.targets[0];
    assert_eq!((&*target.name, target.in_flight), (&*backend.url(), 0));
    let answers = target.answers;
    assert_eq!(
        [answers.successful, answers.redirection, answers.client_error, answers.server_error],
        [3, 1, 2, 2]
    );
    let failures = target.failures;
    assert_eq!([failures.closed, failures.malformed, failures.cut, failures.refused], [1, 2, 1, 0]);
    assert_eq!((target.failures_in_a_row, target.ejected_until), (1, None));
}

#[test]
fn connections_that_are_kept_and_requests_that_are_there_are_told() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::new(move |_, seen| match seen.line() {
        "GET /slow HTTP/1.1" => [vec![Act::Wait(held.clone())], ok("slow")].concat(),
        _ => ok("quick"),
    });
    let proxy = Proxy::to(&backend.url()).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "quick");
    let of = |proxy: &Proxy| {
        let target = &proxy.health().targets[0];
        (target.in_flight, target.kept)
    };
    until(|| of(&proxy) == (0, 1));
    client.send(super::support::get("/slow"));
    gate.wait_for(1);
    assert_eq!(of(&proxy), (1, 0));
    gate.open();
    assert_eq!(client.reply().text(), "slow");
    until(|| of(&proxy) == (0, 1));
    // Another proxy to the same place counts for itself.
    assert_eq!(of(&proxy.clone()), (0, 1));
    assert_eq!(of(&Proxy::to(&backend.url()).unwrap()), (0, 0));
}

#[test]
fn connections_that_nobody_uses_are_closed_also_when_no_further_request_comes() {
    // They are kept for a second less than that.
    let backend = Backend::new(|_, _| say("HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=2\r\n\r\n"));
    let proxy = Proxy::to(&backend.url()).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut clients: Vec<_> = (0..8).map(|_| serving.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(super::support::get("/")));
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().status, 204));
    backend.await_open(0);
    assert_eq!(proxy.health().targets[0].kept, 0);
}

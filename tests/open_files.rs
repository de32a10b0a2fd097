//! A proxy in a program that may open no further files: that is no failure of its backends. A program of its own, because the limit
//! holds for the whole process.

#[path = "proxy/backend.rs"]
// Its own part of it is used here.
#[allow(dead_code)]
mod backend;
mod support;

use lockgate::{Proxy, Router};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use backend::{ok, Backend};
use support::{await_lines, lines, serve};

#[test]
fn without_files_a_request_waits_and_gets_a_503_and_no_backend_is_blamed() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Backend::new(move |_, _| ok(name)));
    let two = Proxy::to(&a.url()).unwrap().and_to(&b.url()).unwrap();
    let one = Proxy::to(&c.url()).unwrap();
    let serving = serve(Router::new().fallback(two.handler()).nest("/c", one.clone()));
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(two.health().targets[0].kept, 1);

    let before = getrlimit(Resource::Nofile);
    let none = Rlimit { current: Some(3), ..before };
    let allow = |limit: &Rlimit| setrlimit(Resource::Nofile, *limit).unwrap();
    allow(&none);
    // It is the other's turn.
    client.send(support::get("/"));
    let said = |line: &str| line.contains(&b.url()) && line.contains("RLIMIT_NOFILE");
    assert_eq!(await_lines(1, said).len(), 1);
    assert_eq!(two.health().targets[0].kept, 0, "a file that nobody uses is given back");
    allow(&before);
    assert_eq!(client.reply().status, 200);

    allow(&none);
    client.send(support::post("/c", b"body"));
    let reply = client.reply();
    allow(&before);
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
    for target in [two.health().targets, one.health().targets].concat() {
        assert_eq!((target.failures.refused, target.failures_in_a_row), (0, 0), "{target:?}");
        assert!(target.ejected_until.is_none());
    }
    assert_eq!(lines(|line| line.contains("RLIMIT_NOFILE")).len(), 1, "once a minute");
    assert_eq!(lines(|line| line.contains("no answer")).len(), 0);
    assert_eq!(client.get("/c").text(), "c");
}

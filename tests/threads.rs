//! The system may refuse a new thread for a while; the server goes on with the threads that it has, and tries again. A program
//! of its own, because the limit holds for the whole process.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use lockgate::{Request, Router};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use support::{get, lines, serve_within, Client, Gate, SAFETY};

/// What the process has of address space, in bytes.
fn address_space() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_thread_that_the_system_has_refused_is_tried_again() {
    let gate = Gate::new();
    let inside = gate.clone();
    let router =
        Router::new().get("/quick", |_: &mut Request| "quick").get("/wait", move |_: &mut Request| {
            inside.pass();
            "waited"
        });
    let serving = serve_within(router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 8;
        limits.queue_timeout = Duration::from_millis(100);
    });
    assert_eq!(serving.get("/quick").text(), "quick");

    // Not enough for another stack of 2 MiB.
    let before = getrlimit(Resource::As);
    let tight = Rlimit { current: Some(address_space() + 1024 * 1024), ..before };
    setrlimit(Resource::As, tight).unwrap();
    let mut waiting: Vec<Client> = Vec::new();
    let refused = |line: &str| line.starts_with("the system refused another worker thread");
    let deadline = Instant::now() + SAFETY;
    while lines(refused).is_empty() {
        assert!(Instant::now() < deadline, "no thread is refused");
        let mut client = serving.connect();
        client.send(get("/wait"));
        waiting.push(client);
    }
    assert_eq!(serving.get("/quick").status, 503, "every worker that there is waits");

    setrlimit(Resource::As, before).unwrap();
    let deadline = Instant::now() + SAFETY;
    while serving.get("/quick").status != 200 {
        assert!(Instant::now() < deadline, "no thread is tried again");
    }
    assert!(lines(refused).len() <= 20, "{:?}", lines(refused));
    gate.open();
    assert_eq!(waiting.remove(0).reply().text(), "waited");
}

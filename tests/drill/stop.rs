//! SIGTERM under load, and with peers that never answer.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{get, read_reply};
use crate::server::Server;
use crate::{Size, Verdict};

const CLIENTS: usize = 16;

/// Again and again, at different moments: a request that the server had received whole is answered whole.
pub fn under_load(size: Size) -> Verdict {
    let times = size.pick(10, 50);
    let mut answered = 0;
    let mut longest = Duration::ZERO;
    let mut faults = Vec::new();
    for round in 0..times {
        let mut server = Server::command(&[]);
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Mutex::new(Vec::new()));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (target, stop, count, cut) =
                    (server.target.clone(), stop.clone(), count.clone(), cut.clone());
                thread::spawn(move || {
                    let Ok(mut tls) = target.tls() else { return };
                    loop {
                        let stopping = stop.load(Ordering::SeqCst);
                        match get(&mut tls, "/api/data") {
                            Ok(reply) if reply.status == 200 => {
                                count.fetch_add(1, Ordering::Relaxed);
                                if reply.head.contains("connection: close") {
                                    return;
                                }
                            }
                            // Sent after the server was told to stop, and so perhaps after it closed.
                            Err(_) if stopping => return,
                            Err(error) => {
                                // In flight while the signal came: it must have been closed unanswered only if the
                                // server could not have read it. Nothing of a response may have come.
                                if error.kind() == std::io::ErrorKind::InvalidData {
                                    cut.lock().expect("no poison").push(error.to_string());
                                }
                                return;
                            }
                            Ok(reply) => cut.lock().expect("no poison").push(reply.status.to_string()),
                        }
                    }
                })
            })
            .collect();
        // A request that is whole at the server before the signal: it is sent, and its answer not read until after.
        let mut waiting = server.target.tls().expect("a connection");
        waiting.write_all(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        waiting.flush().expect("sent");
        thread::sleep(Duration::from_millis(3 + round as u64 % 17));
        stop.store(true, Ordering::SeqCst);
        server.terminate();
        let told = Instant::now();
        match read_reply(&mut waiting) {
            Ok(reply) if reply.status == 200 && reply.body.ends_with(b"}") => {}
            Ok(reply) => faults.push(format!("round {round}: a waiting request got {}", reply.status)),
            Err(error) => faults.push(format!("round {round}: a waiting request was lost: {error}")),
        }
        drop(waiting);
        clients.into_iter().for_each(|client| client.join().expect("no client panics"));
        match server.wait(Duration::from_secs(11)) {
            Some(status) if status.success() => {}
            Some(status) => faults.push(format!("round {round}: {status}")),
            None => faults.push(format!("round {round}: it did not end")),
        }
        longest = longest.max(told.elapsed());
        answered += count.load(Ordering::Relaxed);
        faults.extend(cut.lock().expect("no poison").drain(..));
    }
    Verdict {
        figures: format!("{times} stops, {answered} requests answered, the longest stop {longest:.1?}"),
        faults,
    }
}

/// Idle clients, clients in the middle of a head, and clients that do not read: none of them holds it up.
pub fn with_dead_peers(_: Size) -> Verdict {
    let mut server = Server::command(&["--drain-timeout", "3s"]);
    let mut idle: Vec<_> = (0..50).map(|_| server.target.tls().expect("a connection")).collect();
    for tls in &mut idle[..25] {
        get(tls, "/api/data").expect("an answer");
    }
    let mut halves: Vec<_> = (0..50).map(|_| server.target.tls().expect("a connection")).collect();
    for tls in &mut halves {
        tls.write_all(b"GET /api/data HT").expect("sent");
        tls.flush().expect("sent");
    }
    let silent: Vec<_> = (0..50).map(|_| server.target.tcp().expect("a connection")).collect();
    server.terminate();
    let told = Instant::now();
    let status = server.wait(Duration::from_secs(10));
    let took = told.elapsed();
    let mut faults = Vec::new();
    if !status.is_some_and(|status| status.success()) {
        faults.push(format!("it ended with {status:?}"));
    }
    if took > Duration::from_secs(4) {
        faults.push("it took longer than its drain timeout".to_string());
    }
    drop((idle, halves, silent));
    Verdict { figures: format!("150 peers that never answer; ended after {took:.1?}"), faults }
}

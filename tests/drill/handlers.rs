//! Handlers that misbehave: only their own client suffers, and the log says so.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use crate::client::{get, Target};
use crate::load::WellBehaved;
use crate::server::Server;
use crate::{Size, Verdict};

/// So many are kept for ever; the default reserve is 64.
const BLOCKED: usize = 40;

pub fn drill(size: Size) -> Verdict {
    let server = Server::example(&[]);
    let client = WellBehaved::start(&server.target);
    let mut faults = Vec::new();
    let blocked: Vec<_> = (0..BLOCKED)
        .map(|_| {
            let mut tls = server.target.tls().expect("a connection");
            tls.write_all(b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            tls.flush().expect("sent");
            tls
        })
        .collect();
    let rounds = size.pick(20, 200);
    for _ in 0..rounds {
        match server
            .target
            .tls()
            .and_then(|mut tls| Ok((get(&mut tls, "/panic")?, get(&mut tls, "/api/data")?)))
        {
            Ok((panicked, next)) if panicked.status == 500 && next.status == 200 => {}
            Ok((panicked, next)) => {
                faults.push(format!("a panic gave {} and then {}", panicked.status, next.status))
            }
            Err(error) => faults.push(format!("a panic cost the connection: {error}")),
        }
        for path in ["/promises/more", "/fails", "/panics"] {
            if !is_cut(&server.target, path) {
                faults.push(format!("{path} looked complete"));
            }
        }
        match server.target.tls().and_then(|mut tls| {
            let first = get(&mut tls, "/promises/less")?;
            Ok((first.body.len(), get(&mut tls, "/api/data")?.status))
        }) {
            Ok((1_000, 200)) => {}
            other => faults.push(format!("/promises/less gave {other:?}")),
        }
    }
    thread::sleep(Duration::from_millis(500));
    let mut seen = client.stop();
    drop(blocked);
    if let Some(first) = seen.failures.first() {
        faults.push(format!("{} failures of the good client, the first: {first}", seen.failures.len()));
    }
    faults.dedup();
    Verdict {
        figures: format!(
            "{BLOCKED} blocked for ever, {} broken responses; {} good requests, {} failures, p99 {:.1?}",
            rounds * 5,
            seen.requests(),
            seen.failures.len(),
            seen.p99()
        ),
        faults,
    }
}

/// Whether the client can see that a response is not whole: less than its length, no last chunk, or no clean TLS end.
fn is_cut(target: &Target, path: &str) -> bool {
    let Ok(mut tls) = target.tls() else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    if tls.write_all(request.as_bytes()).and_then(|()| tls.flush()).is_err() {
        return false;
    }
    let mut response = Vec::new();
    match tls.read_to_end(&mut response) {
        Err(error) => matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        Ok(_) => false,
    }
}

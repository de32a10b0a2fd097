//! Clients that hold what others need: every place of the table by bodies that never come and by responses that are hardly
//! read, and the workers by streams whose clients are gone.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{get, reset, Target, Tls};
use crate::load::{percentile, quiet_p99, WellBehaved};
use crate::server::Server;
use crate::{Size, Verdict};

/// Every place is held by a body or a response that makes no progress, or hardly any; then clients come that behave.
pub fn slow(size: Size) -> Verdict {
    const GOOD: usize = 200;
    let places = size.pick(200, 2_000);
    let server = Server::example(&[&format!("connections={places}")]);
    let mut held: Vec<(usize, Tls)> = Vec::new();
    let mut faults = Vec::new();
    for number in 0..places {
        match hold(&server.target, number) {
            Ok(tls) => held.push((number, tls)),
            Err(error) => faults.push(format!("connection {number}: {error}")),
        }
    }
    // Readers of 600 bytes a second, beside the good clients.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let readers = thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let next = Instant::now() + Duration::from_secs(1);
            for (_, tls) in held.iter_mut().filter(|(number, _)| number % 4 == 3) {
                // What it says, and whether it is still there, does not matter.
                let _ = tls.sock.read(&mut [0; 600]);
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        held
    });
    // A rate counts once a connection is older than this (`stall_timeout`).
    thread::sleep(Duration::from_millis(2_500));
    let mut times = Vec::new();
    for _ in 0..GOOD {
        let began = Instant::now();
        match server.target.tls().and_then(|mut tls| get(&mut tls, "/api/data")) {
            Ok(reply) if reply.status == 200 => times.push(began.elapsed()),
            Ok(reply) => faults.push(format!("a good client got {}", reply.status)),
            Err(error) => faults.push(format!("a good client got nothing: {error}")),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    readers.join().expect("readers do not panic");
    let good = times.len();
    let p99 = percentile(&mut times, 99);
    let failures = faults.len();
    faults.truncate(1);
    Verdict {
        figures: format!(
            "{places} places, all held; {good} of {GOOD} good requests on new connections, {failures} failures, p99 {p99:.1?}"
        ),
        faults,
    }
}

/// Takes a place in one of four ways.
fn hold(target: &Target, number: usize) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    match number % 4 {
        0 => tls.write_all(b"POST /missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nx")?,
        1 => tls.write_all(b"POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nx")?,
        2 => tls.write_all(
            b"POST /len HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        )?,
        _ => tls.write_all(b"GET /zeros/10485760 HTTP/1.1\r\nHost: localhost\r\n\r\n")?,
    }
    tls.flush()?;
    tls.sock.set_read_timeout(Some(Duration::from_millis(1)))?;
    Ok(tls)
}

/// Clients open a stream with an event now and then, and reset at once.
pub fn abandoned_streams(size: Size) -> Verdict {
    const STREAMS: usize = 200;
    let server = Server::example(&[]);
    let quiet = quiet_p99(&server.target);
    let mut faults = Vec::new();
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..STREAMS {
        match open_stream(&server.target) {
            Ok((tls, 200)) => {
                opened += 1;
                reset(&tls.sock);
            }
            Ok((_, 503)) => refused += 1,
            Ok((_, status)) => faults.push(format!("a stream got {status}")),
            Err(error) => faults.push(format!("a stream got nothing: {error}")),
        }
    }
    let client = WellBehaved::start(&server.target);
    thread::sleep(size.pick(Duration::from_secs(4), Duration::from_secs(20)));
    let mut seen = client.stop();
    let threads = server.footprint().threads;
    if let Some(first) = seen.failures.first() {
        faults.push(format!("{} failures of the good client, the first: {first}", seen.failures.len()));
    }
    // Half of the reserve, and as many again for those whose clients are gone; and what there is without streams.
    if threads > 2 + 64 + 32 + 4 {
        faults.push("more threads than the reserve and those that stand in".to_string());
    }
    // Every reader has returned since, so there are places again.
    let until = Instant::now() + Duration::from_secs(20);
    while !matches!(open_stream(&server.target), Ok((_, 200))) {
        if Instant::now() > until {
            faults.push("no stream is served any more".to_string());
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Verdict {
        figures: format!(
            "{STREAMS} streams, {opened} opened and reset, {refused} refused with 503; {} good requests, {} failures, p99 {:.1?} (quiet {quiet:.1?}); {threads} threads",
            seen.requests(),
            seen.failures.len(),
            seen.p99()
        ),
        faults,
    }
}

/// A stream with an event every three seconds, and the status of its answer.
fn open_stream(target: &Target) -> std::io::Result<(Tls, u16)> {
    let mut tls = target.tls()?;
    tls.write_all(b"GET /events/3000 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    tls.flush()?;
    let mut head = [0; 12];
    tls.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((tls, status))
}

//! Too few resources: the system gives no descriptors, or all workers are taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{prlimit, Resource, Rlimit};

use crate::client::{get, Target};
use crate::load::{percentile, quiet_p99, WellBehaved};
use crate::server::Server;
use crate::{Size, Verdict};

/// The server's limit falls below what it has open; 200 clients come; then the limit is lifted.
pub fn descriptors(size: Size) -> Verdict {
    let server = Server::command(&[]);
    let limits = |number: u64| Rlimit { current: Some(number), maximum: Some(20_000) };
    let lower = |number: u64| prlimit(Some(server.pid()), Resource::Nofile, limits(number));
    let before = prlimit(Some(server.pid()), Resource::Nofile, limits(64)).expect("the limit can be set");
    let held: Vec<_> = (0..200).filter_map(|_| server.target.tcp().ok()).collect();
    let starved = size.pick(Duration::from_secs(2), Duration::from_secs(5));
    thread::sleep(Duration::from_millis(500));
    let cpu = server.cpu();
    thread::sleep(starved);
    let spent = server.cpu() - cpu;
    let open = server.footprint().descriptors;
    drop(held);
    lower(before.maximum.unwrap_or(20_000)).expect("the limit can be set");
    let freed = Instant::now();
    let served = server.target.tls().and_then(|mut tls| get(&mut tls, "/api/data"));
    let took = freed.elapsed();

    let mut faults = Vec::new();
    match served {
        Ok(reply) if reply.status == 200 => {}
        Ok(reply) => faults.push(format!("the answer was {}", reply.status)),
        Err(error) => faults.push(format!("it did not recover: {error}")),
    }
    if open < 60 {
        faults.push(format!("only {open} descriptors were open, so nothing was tried"));
    }
    if took > Duration::from_secs(1) {
        faults.push("it took longer than a second to recover".to_string());
    }
    if spent > starved / 10 {
        faults.push("it spun meanwhile".to_string());
    }
    Verdict {
        figures: format!(
            "200 clients, {open} descriptors of 64; {spent:.0?} CPU in {starved:.0?} without; served {took:.1?} after there were some"
        ),
        faults,
    }
}

/// 32 clients keep as many workers inside a handler that takes 200 ms, and quick requests must not notice.
pub fn blocking(size: Size) -> Verdict {
    const CLIENTS: usize = 32;
    const P99: Duration = Duration::from_millis(3);
    let server = Server::example(&[]);
    let stretch = size.pick(Duration::from_secs(4), Duration::from_secs(10));
    let quiet = quiet_p99(&server.target);
    // The first calls teach the server that the handler is slow.
    flood(&server.target, "/sleep/200", CLIENTS, Duration::from_secs(1), Duration::ZERO);
    let client = WellBehaved::start(&server.target);
    let tally = flood(&server.target, "/sleep/200", CLIENTS, stretch, Duration::ZERO);
    let mut seen = client.stop();
    let possible = CLIENTS as u128 * stretch.as_millis() / 200;
    let p99 = seen.p99();

    let mut faults = Vec::new();
    if p99 > P99 {
        faults.push(format!("p99 over {P99:?}"));
    }
    if (tally.served as u128) < possible * 9 / 10 {
        faults.push("the slow requests were not all served at once".to_string());
    }
    if tally.failures + tally.refused.len() + seen.failures.len() > 0 {
        faults.push("requests failed".to_string());
    }
    Verdict {
        figures: format!(
            "{} of {possible} slow requests that are possible; {} quick ones beside them, p99 {p99:.1?} (quiet {quiet:.1?})",
            tally.served,
            seen.requests()
        ),
        faults,
    }
}

/// What clients got in one stretch.
struct Tally {
    served: usize,
    refused: Vec<Duration>,
    without_retry_after: usize,
    failures: usize,
}

/// Handlers that take 50 ms; first as many clients as the workers can serve, then so many that half must be refused.
pub fn overload(size: Size) -> Verdict {
    let server = Server::example(&[]);
    let stretch = size.pick(Duration::from_secs(4), Duration::from_secs(10));
    // 66 workers, 20 requests a second each: 1,320 a second.
    flood(&server.target, "/sleep/50", 66, Duration::from_secs(1), Duration::ZERO);
    let peak = flood(&server.target, "/sleep/50", 66, stretch, Duration::ZERO);
    // 2,640 requests a second are offered by 2,640 clients, one a second each.
    let over = flood(&server.target, "/sleep/50", 2_640, stretch, Duration::from_secs(1));
    let rate = |served: usize| served as f64 / stretch.as_secs_f64();
    let mut refused = over.refused;
    let p50 = percentile(&mut refused, 50);

    let mut faults = Vec::new();
    if rate(over.served) < 0.9 * rate(peak.served) {
        faults.push("goodput fell by more than 10 %".to_string());
    }
    if refused.is_empty() {
        faults.push("nothing was refused".to_string());
    }
    if over.without_retry_after > 0 {
        faults.push(format!("{} refusals without Retry-After", over.without_retry_after));
    }
    if over.failures > 0 {
        faults.push(format!("{} requests failed", over.failures));
    }
    Verdict {
        figures: format!(
            "peak {:.0}/s; at twice that offered: {:.0}/s served, {:.0}/s refused with 503, the median after {p50:.0?}",
            rate(peak.served),
            rate(over.served),
            rate(refused.len())
        ),
        faults,
    }
}

/// `clients` ask for a path each, again every `interval` or as soon as they are answered.
fn flood(
    target: &Target,
    path: &'static str,
    clients: usize,
    stretch: Duration,
    interval: Duration,
) -> Tally {
    let stop = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(std::sync::Barrier::new(clients + 1));
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            let (target, stop, ready) = (target.clone(), stop.clone(), ready.clone());
            let client = move || -> Tally {
                let mut tally = Tally { served: 0, refused: Vec::new(), without_retry_after: 0, failures: 0 };
                let connection = target.tls();
                ready.wait();
                let Ok(mut tls) = connection else {
                    tally.failures += 1;
                    return tally;
                };
                // Spread over the interval.
                thread::sleep(interval * number as u32 / clients as u32);
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let reply = get(&mut tls, path);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match reply {
                        Ok(reply) if reply.status == 200 => tally.served += 1,
                        Ok(reply) if reply.status == 503 => {
                            tally.refused.push(began.elapsed());
                            tally.without_retry_after += usize::from(!reply.head.contains("retry-after: "));
                        }
                        _ => {
                            tally.failures += 1;
                            return tally;
                        }
                    }
                    thread::sleep(interval.saturating_sub(began.elapsed()));
                }
                tally
            };
            thread::Builder::new().stack_size(128 * 1024).spawn(client).expect("a thread")
        })
        .collect();
    ready.wait();
    thread::sleep(stretch);
    stop.store(true, Ordering::Relaxed);
    let mut total = Tally { served: 0, refused: Vec::new(), without_retry_after: 0, failures: 0 };
    for thread in threads {
        let tally = thread.join().expect("no client panics");
        total.served += tally.served;
        total.refused.extend(tally.refused);
        total.without_retry_after += tally.without_retry_after;
        total.failures += tally.failures;
    }
    total
}

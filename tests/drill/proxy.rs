//! The proxy in front of a backend that fails in every way: a client gets a right answer, a 502, 503 or 504, or an answer that is
//! cut and looks so; nothing hangs, and nothing is left behind.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::client::{get, read_reply, Target, Tls};
use crate::load::{percentile, WellBehaved};
use crate::resets::{occupy_all_workers, settle};
use crate::server::Server;
use crate::{Size, Verdict};

/// Memory may differ by what allocators keep.
const SLACK_KIB: u64 = 4 * 1024;

fn in_front(backend: &Backend, settings: &[&str]) -> Server {
    let to = format!("to={}", backend.url());
    Server::example(&[&[&*to], settings].concat())
}

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Got {
    Right,
    /// A 502, 503 or 504.
    Gateway(u16),
    /// An answer that has ended before its end, or a connection without one.
    Cut,
    Wrong(String),
}

/// Asks for a path on a connection that is kept as long as it can be.
fn ask(target: &Target, kept: &mut Option<Tls>, method: &str, path: &str, body: usize) -> Got {
    let mut tls = match kept.take().map_or_else(|| target.tls(), Ok) {
        Ok(tls) => tls,
        Err(error) => return Got::Wrong(format!("no connection: {error}")),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body}\r\n\r\n");
    let mut request = head.into_bytes();
    request.resize(request.len() + body, b'x');
    // The answer may come before all is sent; then sending fails, and the answer is there.
    let sent = tls.write_all(&request).and_then(|()| tls.flush());
    match read_reply(&mut tls) {
        Ok(reply) => {
            if sent.is_ok() && !reply.head.to_ascii_lowercase().contains("connection: close") {
                *kept = Some(tls);
            }
            match reply.status {
                200 if reply.body == path.as_bytes() => Got::Right,
                502..=504 => Got::Gateway(reply.status),
                status => {
                    Got::Wrong(format!("{path}: {status} {:.60}", String::from_utf8_lossy(&reply.body)))
                }
            }
        }
        Err(error) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Got::Cut,
            _ => Got::Wrong(format!("{path}: {error}")),
        },
    }
}

/// How many requests the proxy has at its backend, as its program says.
fn in_flight(target: &Target) -> std::io::Result<String> {
    let reply = get(&mut target.tls()?, "/proxy-health")?;
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

/// Whether nothing is at the backend any more, and nothing waits for it.
fn ends(target: &Target) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match in_flight(target) {
            Ok(count) if count == "0 0" => return Ok(()),
            Ok(count) if Instant::now() > until => {
                return Err(format!("in flight and waiting at the end: {count}"))
            }
            Err(error) => return Err(format!("no health: {error}")),
            Ok(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The ways in which answers go wrong, in a row that is the same in each run.
pub fn misbehaving(size: Size) -> Verdict {
    const THREADS: usize = 8;
    let each = size.pick(60, 2_500);
    let mut backend = Backend::start();
    let server = in_front(&backend, &["answer_timeout_ms=3000", "silence_timeout_ms=3000"]);
    // So that all is there once that stays.
    occupy_all_workers(&server.target);
    batch(&server.target, THREADS, size.pick(30, 200), 7);
    backend.start_again();
    let before = settle(&server, None);
    let (counts, slowest) = batch(&server.target, THREADS, each, 1);
    let mut faults: Vec<String> = wrong(&counts);
    faults.extend(ends(&server.target).err());
    // The kept connections end with the backend.
    backend.start_again();
    faults.extend(
        (ask(&server.target, &mut None, "GET", "/data", 0) != Got::Right)
            .then(|| "it is not used again".to_string()),
    );
    backend.start_again();
    let after = settle(&server, Some(before));
    if after.descriptors > before.descriptors + 64 || after.threads > before.threads {
        faults.push(format!("descriptors or threads have leaked: {before:?} {after:?}"));
    }
    if after.memory_kib > before.memory_kib + SLACK_KIB {
        faults.push("memory was left behind".to_string());
    }
    let right = counts.get(&Got::Right).copied().unwrap_or(0);
    if right * 3 < THREADS * each {
        faults.push("too few right answers".to_string());
    }
    let figures = format!(
        "{} requests: {}; the slowest {slowest:.1?}; before and after: {} and {} KiB, {} and {} descriptors",
        THREADS * each,
        told(&counts),
        before.memory_kib,
        after.memory_kib,
        before.descriptors,
        after.descriptors
    );
    Verdict { figures, faults }
}

type Counts = BTreeMap<Got, usize>;

fn wrong(counts: &Counts) -> Vec<String> {
    counts
        .keys()
        .filter_map(|got| if let Got::Wrong(what) = got { Some(what.clone()) } else { None })
        .take(3)
        .collect()
}

fn told(counts: &Counts) -> String {
    let sum = |which: &dyn Fn(&Got) -> bool| {
        counts.iter().filter(|(got, _)| which(got)).map(|(_, n)| n).sum::<usize>()
    };
    let status = |status| sum(&move |got| *got == Got::Gateway(status));
    let (right, cut) = (sum(&|got| *got == Got::Right), sum(&|got| *got == Got::Cut));
    format!("{right} right, {} 502, {} 503, {} 504, {cut} cut", status(502), status(503), status(504))
}

fn batch(target: &Target, threads: usize, each: usize, seed: u64) -> (Counts, Duration) {
    let counts = Arc::new(Mutex::new((Counts::new(), Duration::ZERO)));
    let all: Vec<_> = (0..threads as u64)
        .map(|thread| {
            let (target, counts) = (target.clone(), counts.clone());
            thread::spawn(move || {
                let mut kept = None;
                let mut random = (seed << 32 | thread) + 1;
                for number in 0..each {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let dice = (random >> 33) as usize;
                    let own = format!("{thread}-{number}");
                    let (method, path, body) = match dice % 16 {
                        0 => ("GET", format!("/reset/{}/{own}", dice / 16 % 80), 0),
                        1 => ("POST", format!("/reset/{}/{own}", dice / 16 % 80), 100),
                        2 => ("GET", format!("/cut/{}/{own}", dice / 16 % 80), 0),
                        3 => ("GET", format!("/garbage/{dice}"), 0),
                        4 => ("POST", format!("/early/0/{own}"), 300_000),
                        5 => ("GET", format!("/last/0/{own}"), 0),
                        6 => ("POST", format!("/last/0/{own}"), 10),
                        7 if number % 8 == 0 => ("GET", format!("/drip/2/{own}"), 0),
                        8 => ("GET", format!("/twice/0/{own}"), 0),
                        9 => ("POST", format!("/data/{own}"), 60_000),
                        _ => ("GET", format!("/data/{own}"), 0),
                    };
                    let began = Instant::now();
                    let got = ask(&target, &mut kept, method, &path, body);
                    let mut counts = counts.lock().expect("no poison");
                    *counts.0.entry(got).or_default() += 1;
                    counts.1 = counts.1.max(began.elapsed());
                }
            })
        })
        .collect();
    all.into_iter().for_each(|thread| thread.join().expect("no client panics"));
    let counts = counts.lock().expect("no poison");
    (counts.0.clone(), counts.1)
}

/// A backend that is back is used within this time, while requests come.
const USED_AGAIN: Duration = Duration::from_secs(1);

/// Killed and started again, frozen and let go, while clients ask.
pub fn killed_and_frozen(size: Size) -> Verdict {
    let rounds = size.pick(1, 10);
    let mut backend = Backend::start();
    let server = in_front(&backend, &["answer_timeout_ms=500", "silence_timeout_ms=500"]);
    let mut faults = Vec::new();
    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Mutex::new(Counts::new()));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (target, stop, counts) = (server.target.clone(), stop.clone(), counts.clone());
            thread::spawn(move || {
                let mut kept = None;
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let method = if number % 3 == 0 { "POST" } else { "GET" };
                    let got = ask(&target, &mut kept, method, &format!("/data/{client}-{number}"), 0);
                    *counts.lock().expect("no poison").entry(got).or_default() += 1;
                    thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .collect();
    let mut back = Duration::ZERO;
    for _ in 0..rounds {
        thread::sleep(Duration::from_millis(300));
        backend.kill();
        thread::sleep(Duration::from_millis(300));
        backend.start_again();
        back = back.max(until_right(&server.target, &mut faults));
        backend.freeze(true);
        thread::sleep(Duration::from_millis(1_200));
        let got = ask(&server.target, &mut None, "GET", "/data/frozen", 0);
        if !matches!(got, Got::Gateway(503 | 504)) {
            faults.push(format!("frozen, it got {got:?}"));
        }
        backend.freeze(false);
        back = back.max(until_right(&server.target, &mut faults));
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no client panics"));
    faults.extend(ends(&server.target).err());
    if back > USED_AGAIN {
        faults.push(format!("a backend that was back was not used for {back:.1?}"));
    }
    let counts = counts.lock().expect("no poison");
    faults.extend(wrong(&counts));
    Verdict {
        figures: format!(
            "{rounds} kills and {rounds} freezes under load: {}; used again within {back:.1?}",
            told(&counts)
        ),
        faults,
    }
}

/// How long it takes until the backend, which listens now, is used again.
fn until_right(target: &Target, faults: &mut Vec<String>) -> Duration {
    let began = Instant::now();
    while ask(target, &mut None, "GET", "/data/back", 0) != Got::Right {
        if began.elapsed() > Duration::from_secs(20) {
            faults.push("a backend that is back is not used".to_string());
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

/// The backend is killed and started again under a steady rate of requests.
pub fn restart(size: Size) -> Verdict {
    const CLIENTS: usize = 25;
    let (rate, restarts) = size.pick((200, 2), (500, 10));
    let mut backend = Backend::start();
    let server = in_front(&backend, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Mutex::new(BTreeMap::<(&str, Got), usize>::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (target, stop, counts) = (server.target.clone(), stop.clone(), counts.clone());
            thread::spawn(move || {
                let mut kept = None;
                let mut next = Instant::now() + Duration::from_millis(client as u64);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += Duration::from_secs_f64(CLIENTS as f64 / rate as f64);
                    number += 1;
                    let method = if number % 2 == 0 { "POST" } else { "GET" };
                    let got = ask(&target, &mut kept, method, &format!("/data/{client}-{number}"), 10);
                    *counts.lock().expect("no poison").entry((method, got)).or_default() += 1;
                }
            })
        })
        .collect();
    let began = Instant::now();
    for _ in 0..restarts {
        thread::sleep(size.pick(Duration::from_millis(500), Duration::from_secs(2)));
        backend.start_again();
    }
    thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no client panics"));
    let took = began.elapsed();
    let counts = counts.lock().expect("no poison");
    let total: usize = counts.values().sum();
    let failed = |method: &str| -> usize {
        let of = |((asked, got), count): (&(&str, Got), &usize)| {
            (*asked == method && *got != Got::Right).then_some(*count)
        };
        counts.iter().filter_map(of).sum()
    };
    let (safe, others) = (failed("GET"), failed("POST"));
    let mut faults = Vec::new();
    if safe > 0 {
        faults.push(format!("safe requests have failed: {counts:?}"));
    }
    // Each client has one request in flight at most.
    if others > CLIENTS * restarts {
        faults.push("more have failed than were in flight".to_string());
    }
    faults.extend(ends(&server.target).err());
    Verdict {
        figures: format!(
            "{restarts} restarts under {:.0} requests a second: of {total}, {safe} safe and {others} unsafe ones have failed",
            total as f64 / took.as_secs_f64()
        ),
        faults,
    }
}

/// Clients that read slowly and answers that come slowly, all at once.
pub fn slow(size: Size) -> Verdict {
    const LARGE: usize = 400_000;
    let each = size.pick(100, 2_000);
    let backend = Backend::start();
    let server = in_front(&backend, &["at_a_time=5000", "connections=5000"]);
    let mut quiet = WellBehaved::start(&server.target);
    thread::sleep(Duration::from_secs(1));
    let quiet_p99 = quiet.stop().p99();
    let mut faults = Vec::new();
    let mut held = Vec::new();
    let began = Instant::now();
    for number in 0..2 * each {
        let path = if number % 2 == 0 { format!("/bytes/{LARGE}") } else { "/drip/100/slow".to_string() };
        let opened = server.target.tls().and_then(|mut tls| {
            tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
            tls.flush()?;
            Ok(tls)
        });
        match opened {
            Ok(tls) => held.push((number % 2 == 0, path, tls)),
            Err(error) => faults.push(format!("connection {number}: {error}")),
        }
    }
    let opened = began.elapsed();
    let most = in_flight(&server.target).unwrap_or_default();
    quiet = WellBehaved::start(&server.target);
    thread::sleep(size.pick(Duration::from_secs(1), Duration::from_secs(5)));
    let footprint = server.footprint();
    let mut good = quiet.stop();
    faults.extend(good.failures.iter().take(1).cloned());
    // All of them get all.
    for (is_large, path, mut tls) in held {
        let expected = if is_large { LARGE } else { path.len() };
        match read_reply(&mut tls) {
            Ok(reply) if reply.status == 200 && reply.body.len() == expected => {}
            Ok(reply) => faults.push(format!("{path}: {} with {} bytes", reply.status, reply.body.len())),
            Err(error) => faults.push(format!("{path}: {error}")),
        }
    }
    faults.extend(ends(&server.target).err());
    let failures = faults.len();
    faults.truncate(2);
    Verdict {
        figures: format!(
            "{each} clients that do not read and {each} answers that drip, opened in {opened:.1?} (in flight and waiting: {most}): {failures} failures; {} KiB, {} threads; a good client's p99 {:.1?}, before {quiet_p99:.1?}",
            footprint.memory_kib,
            footprint.threads,
            good.p99()
        ),
        faults,
    }
}

/// Clients that wait for a backend which takes its time hold no worker: others get their answers.
pub fn waiting(size: Size) -> Verdict {
    const THREADS: usize = 4;
    // A process may have 20,000 descriptors here: 10,000 clients leave room for 9,000 connections to the backend, and the others
    // wait in the queue.
    let (clients, at_a_time, sleep) = size.pick((200, 150, 3_000), (10_000, 9_000, 30_000));
    let backend = Backend::start();
    let settings = [
        format!("at_a_time={at_a_time}"),
        "queue=10000".to_string(),
        "queue_timeout_ms=300000".to_string(),
        "answer_timeout_ms=300000".to_string(),
        "connections=11000".to_string(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = in_front(&backend, &settings);
    let mut faults = Vec::new();
    occupy_all_workers(&server.target);
    let before = server.footprint();
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|part| {
            let target = server.target.clone();
            thread::spawn(move || {
                let mut opened = Vec::new();
                let mut faults = Vec::new();
                for number in (part..clients).step_by(THREADS) {
                    let path = format!("/sleep/{sleep}/{number}");
                    let asked = target.tls().and_then(|mut tls| {
                        tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
                        tls.flush()?;
                        tls.sock.set_read_timeout(Some(Duration::from_secs(300)))?;
                        Ok(tls)
                    });
                    match asked {
                        Ok(tls) => opened.push((path, tls)),
                        Err(error) => faults.push(error.to_string()),
                    }
                }
                (opened, faults)
            })
        })
        .collect();
    let mut held = Vec::new();
    for thread in threads {
        let (opened, failed) = thread.join().expect("no client panics");
        held.extend(opened);
        faults.extend(failed);
    }
    let opened = began.elapsed();
    let most = in_flight(&server.target).unwrap_or_default();
    let during = server.footprint();
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        match server.target.tls().and_then(|mut tls| get(&mut tls, "/api/data")) {
            Ok(reply) if reply.status == 200 => times.push(began.elapsed()),
            Ok(reply) => faults.push(format!("another client got {}", reply.status)),
            Err(error) => faults.push(format!("another client got nothing: {error}")),
        }
    }
    let p99 = percentile(&mut times, 99);
    let count = held.len();
    for (path, mut tls) in held {
        match read_reply(&mut tls) {
            Ok(reply) if reply.status == 200 && reply.body == path.as_bytes() => {}
            Ok(reply) => faults.push(format!("{path}: {}", reply.status)),
            Err(error) => faults.push(format!("{path}: {error}")),
        }
    }
    if during.threads > before.threads + 4 {
        faults.push(format!("{} threads, before {}", during.threads, before.threads));
    }
    faults.extend(ends(&server.target).err());
    let failures = faults.len();
    faults.truncate(2);
    Verdict {
        figures: format!(
            "{count} clients wait for a backend that takes {sleep} ms, opened in {opened:.1?} (in flight and waiting: {most}): {failures} failures; {} threads; {} KiB a client; other clients' p99 {p99:.1?}; all answered after {:.1?}",
            during.threads,
            during.memory_kib.saturating_sub(before.memory_kib) / count.max(1) as u64,
            began.elapsed()
        ),
        faults,
    }
}

//! Every buffer of every connection filled to its limit at once, and minutes of mixed traffic: memory stays under what
//! SECURITY.md says, and where it was.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{exchange, get, Target, Tls};
use crate::resets;
use crate::server::Server;
use crate::{Size, Verdict};

/// The formula of SECURITY.md, in KiB: what a server with these limits takes at most, without a redirect.
fn ceiling_kib(connections: u64, head_kib: u64, body_memory_kib: u64, workers: u64) -> u64 {
    const PROCESS: u64 = 8 * 1024;
    const WORKER: u64 = 176;
    /// An idle connection, and part of a record.
    const TLS: u64 = 12 + 19;
    /// Encrypted ahead of the socket, with TLS framing, and further requests that have come.
    const BUSY: u64 = 72;
    PROCESS + workers * WORKER + connections * (TLS + BUSY.max(head_kib + 20)) + body_memory_kib
}

pub fn ceiling(size: Size) -> Verdict {
    let each = size.pick(100, 500);
    let body_memory_kib = 8 * 1024;
    let server = Server::example(&[
        &format!("connections={}", each * 3),
        &format!("body_memory_bytes={}", body_memory_kib * 1024),
    ]);
    let mut held: Vec<Tls> = Vec::new();
    let mut faults = Vec::new();
    let mut refused = 0;
    for number in 0..each * 3 {
        let filled = match number % 3 {
            0 => unread_response(&server.target),
            1 => unfinished_head(&server.target),
            _ => unfinished_body(&server.target),
        };
        match filled {
            Ok(tls) => held.push(tls),
            Err(error) => faults.push(format!("connection {number}: {error}")),
        }
    }
    // What the server refuses for lack of memory it says at once.
    thread::sleep(Duration::from_secs(1));
    for tls in &mut held {
        tls.sock.set_nonblocking(true).expect("a socket");
        let mut reply = [0; 12];
        if tls.read_exact(&mut reply).is_ok() && &reply == b"HTTP/1.1 503" {
            refused += 1;
        }
    }
    let footprint = server.footprint();
    let ceiling = ceiling_kib(each * 3, 16, body_memory_kib, footprint.threads);
    if footprint.memory_kib > ceiling {
        faults.push("over the ceiling".to_string());
    }
    if size == Size::Full && refused == 0 {
        faults.push("no body was refused, so the budget was not tried".to_string());
    }
    Verdict {
        figures: format!(
            "{} connections, every buffer full, {refused} bodies refused with 503: {} MiB, the ceiling {} MiB",
            held.len(),
            footprint.memory_kib / 1024,
            ceiling / 1024
        ),
        faults,
    }
}

/// One connection with all at once: a large response that nobody reads, a record's worth of further requests behind it, and
/// part of one more record.
pub fn everything_at_once(size: Size) -> Verdict {
    let connections = size.pick(200, 1_000);
    let body_memory_kib = 1024;
    let server = Server::example(&[
        &format!("connections={connections}"),
        &format!("body_memory_bytes={}", body_memory_kib * 1024),
    ]);
    let mut faults = Vec::new();
    let mut held = Vec::new();
    for number in 0..connections {
        match all_but_the_end(&server.target) {
            Ok(tls) => held.push(tls),
            Err(error) => faults.push(format!("connection {number}: {error}")),
        }
    }
    // Each has been looked at once, so that the buffer for its unfinished record has grown.
    thread::sleep(Duration::from_millis(500));
    for (tls, end) in &mut held {
        if let Err(error) = tls.sock.write_all(end) {
            faults.push(format!("the end of a request: {error}"));
        }
    }
    thread::sleep(Duration::from_secs(1));
    let footprint = server.footprint();
    let ceiling = ceiling_kib(connections, 16, body_memory_kib, footprint.threads);
    if footprint.memory_kib > ceiling {
        faults.push("over the ceiling".to_string());
    }
    // Or the responses have not begun, and nothing was tried.
    let least = 3 * 1024 + connections * 48;
    if footprint.memory_kib < least {
        faults.push(format!("less than {} MiB, so the buffers were not full", least / 1024));
    }
    Verdict {
        figures: format!(
            "{} connections, each with an unread response, a record of further requests and part of another: {} KiB, the ceiling {} KiB",
            held.len(),
            footprint.memory_kib,
            ceiling
        ),
        faults,
    }
}

/// Sends a request and a record of further ones behind it, but for the last byte; also returns what is to follow: that byte,
/// and a part of the next record.
fn all_but_the_end(target: &Target) -> std::io::Result<(Tls, Vec<u8>)> {
    const RECORD: usize = 16 * 1024;
    let mut tls = target.tls()?;
    tls.write_all(b"GET /zeros/10485760 HTTP/1.1\r\nHost: localhost\r\n")?;
    tls.flush()?;
    let mut rest = b"\r\nGET /api/data HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec();
    rest.resize(RECORD, b'x');
    tls.conn.writer().write_all(&rest)?;
    let mut wire = Vec::new();
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut wire)?;
    }
    let mut end = wire.split_off(wire.len() - 1);
    tls.sock.write_all(&wire)?;
    end.extend_from_slice(&[0x17, 3, 3, 0x41, 0]);
    end.resize(2_000, 0);
    Ok((tls, end))
}

fn unread_response(target: &Target) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.write_all(b"GET /zeros/10485760 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    tls.flush()?;
    Ok(tls)
}

fn unfinished_head(target: &Target) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.write_all(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nX-Long: ")?;
    tls.write_all(&[b'x'; 16 * 1024 - 100])?;
    tls.flush()?;
    Ok(tls)
}

fn unfinished_body(target: &Target) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.write_all(b"POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n")?;
    tls.write_all(&[b'x'; 65_000])?;
    tls.flush()?;
    Ok(tls)
}

/// How many connections are reset in each round of the soak.
const RESETS: usize = 200;

/// Requests of every kind, resets among them, for minutes.
pub fn soak(size: Size) -> Verdict {
    let length = size.pick(Duration::from_secs(60), Duration::from_secs(600));
    let server = Server::example(&[]);
    let mut faults = Vec::new();
    resets::occupy_all_workers(&server.target);
    let (mut requests, mut resets) = (0, 0);
    let mut samples = Vec::new();
    let began = Instant::now();
    let mut next_sample = began;
    while began.elapsed() < length && faults.is_empty() {
        match round(&server.target) {
            Ok(count) => requests += count,
            Err(error) => faults.push(format!("a request failed: {error}")),
        }
        resets::storm(&server.target, RESETS);
        resets += RESETS;
        if Instant::now() >= next_sample {
            next_sample += length / 20;
            samples.push(server.footprint());
        }
    }
    let after = resets::settle(&server, samples.first().copied());
    let most =
        |samples: &[crate::server::Footprint]| samples.iter().map(|one| one.memory_kib).max().unwrap_or(0);
    let (first, second) = samples.split_at(samples.len() / 2);
    if most(second) > most(first) + 2 * 1024 {
        faults.push("memory grows".to_string());
    }
    if samples.iter().any(|sample| sample.threads > after.threads) {
        faults.push("threads come and go".to_string());
    }
    Verdict {
        figures: format!(
            "{requests} requests and {resets} resets in {:.0?}; memory at most {} KiB in the first half, {} KiB in the second; {} threads, {} descriptors at the end",
            began.elapsed(),
            most(first),
            most(second),
            after.threads,
            after.descriptors
        ),
        faults,
    }
}

fn round(target: &Target) -> std::io::Result<usize> {
    let wrong = |what: &str| std::io::Error::other(format!("{what} was not answered rightly"));
    let mut tls = target.tls()?;
    for _ in 0..50 {
        if get(&mut tls, "/api/data")?.status != 200 {
            return Err(wrong("a GET"));
        }
    }
    let large = vec![b'x'; 300_000];
    for body in [&large[..10], &large[..50_000], &large] {
        let mut request =
            format!("POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())
                .into_bytes();
        request.extend_from_slice(body);
        let reply = exchange(&mut tls, &request)?;
        if reply.body != format!("{{\"length\":{}}}", body.len()).as_bytes() {
            return Err(wrong("a POST"));
        }
    }
    if get(&mut tls, "/zeros/1048576")?.body.len() != 1_048_576 {
        return Err(wrong("a large GET"));
    }
    if get(&mut tls, "/nothing")?.status != 404 || get(&mut tls, "/sleep/1")?.status != 200 {
        return Err(wrong("a GET"));
    }
    Ok(56)
}

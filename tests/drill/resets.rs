//! Connections that are reset at any point of their life. Afterwards the server holds nothing of them.

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{get, reset, Target};
use crate::server::{Footprint, Server};
use crate::{Size, Verdict};

/// Memory may differ by what allocators keep.
const SLACK_KIB: u64 = 2 * 1024;
const THREADS: usize = 4;

pub fn drill(size: Size) -> Verdict {
    let count = size.pick(4_000, 100_000);
    let server = Server::example(&[]);
    // The reserve is kept once it was needed, so let it be needed.
    occupy_all_workers(&server.target);
    storm(&server.target, size.pick(2_000, 10_000));
    let before = settle(&server, None);
    let began = Instant::now();
    storm(&server.target, count);
    let took = began.elapsed();
    let after = settle(&server, Some(before));

    let mut faults = Vec::new();
    if after.descriptors != before.descriptors {
        faults.push("descriptors have leaked".to_string());
    }
    if after.threads > before.threads {
        faults.push("threads were left behind".to_string());
    }
    if after.memory_kib > before.memory_kib + SLACK_KIB {
        faults.push("memory was left behind".to_string());
    }
    if let Err(error) = server.target.tls().and_then(|mut tls| get(&mut tls, "/api/data")) {
        faults.push(format!("it does not serve any more: {error}"));
    }
    Verdict {
        figures: format!(
            "{count} connections in {:.0?}; before and after: {} and {} KiB, {} and {} threads, {} and {} descriptors",
            took,
            before.memory_kib,
            after.memory_kib,
            before.threads,
            after.threads,
            before.descriptors,
            after.descriptors
        ),
        faults,
    }
}

pub fn occupy_all_workers(target: &Target) {
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let target = target.clone();
            thread::spawn(move || target.tls().and_then(|mut tls| get(&mut tls, "/sleep/100")))
        })
        .collect();
    for client in clients {
        client.join().expect("no client panics").expect("an answer");
    }
}

pub fn storm(target: &Target, count: usize) {
    let threads: Vec<_> = (0..THREADS)
        .map(|part| {
            let target = target.clone();
            thread::spawn(move || {
                for number in (part..count).step_by(THREADS) {
                    // Whatever the server makes of it, the next one comes.
                    let _ = break_off(&target, number);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no client panics"));
}

/// Goes one of ten ways, and ends with a reset.
fn break_off(target: &Target, number: usize) -> io::Result<()> {
    if number % 10 < 4 {
        let mut tcp = target.tcp()?;
        match number % 10 {
            0 => {}
            1 => tcp.write_all(&[0x16])?,
            2 => tcp.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])?,
            _ => tcp.write_all(b"GET / HTTP/1.1\r\n")?,
        }
        reset(&tcp);
        return Ok(());
    }
    let mut tls = target.tls()?;
    let sent: &[u8] = match number % 10 {
        4 => b"",
        5 => b"GET /api/data HTTP/1.1\r\nHost: loc",
        6 => b"POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\nhalf",
        7 => b"POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\nhalf",
        8 => b"GET /zeros/1048576 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        _ => b"GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    tls.write_all(sent)?;
    tls.flush()?;
    if number % 10 == 8 {
        tls.sock.read_exact(&mut [0; 512])?;
    }
    reset(&tls.sock);
    Ok(())
}

/// Waits until the server's descriptors are what they were, or have stopped changing, and takes its measure.
pub fn settle(server: &Server, wanted: Option<Footprint>) -> Footprint {
    let until = Instant::now() + Duration::from_secs(15);
    let mut last = server.footprint();
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = server.footprint();
        let settled = match wanted {
            Some(wanted) => now.descriptors == wanted.descriptors,
            None => now.descriptors == last.descriptors,
        };
        if settled || Instant::now() > until {
            return now;
        }
        last = now;
    }
}

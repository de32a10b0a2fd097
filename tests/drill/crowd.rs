//! Thousands of clients that hold what a server has: they connect and send nothing, send half a request, stall, read slowly, or
//! only stay. When the server closes one, it connects again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{get, Target, Tls};
use crate::load::{quiet_p99, WellBehaved};
use crate::server::Server;
use crate::{Size, Verdict};

/// A good client's p99 may rise to three times its quiet value, or to this if that is more.
const P99_FLOOR: Duration = Duration::from_millis(20);
/// The attackers' threads; they mostly sleep.
const THREADS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Silent,
    HalfHello,
    DrippingHead,
    StalledBody,
    SlowReader,
    Idle,
}

const ALL: [Kind; 6] =
    [Kind::Silent, Kind::HalfHello, Kind::DrippingHead, Kind::StalledBody, Kind::SlowReader, Kind::Idle];

/// One attacker's connection.
enum Attacker {
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

pub fn drill(kinds: &[Kind], size: Size) -> Verdict {
    run(kinds, size.pick(300, 2_000), size)
}

/// Six kinds, together more than the server's cap of 10,000 connections.
pub fn drill_all(size: Size) -> Verdict {
    run(&ALL, size.pick(200, 2_000), size)
}

fn run(kinds: &[Kind], each: usize, size: Size) -> Verdict {
    let server = Server::example(&[]);
    let quiet = quiet_p99(&server.target);
    let stop = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let crowd: Vec<_> = (0..THREADS)
        .map(|part| {
            let plan: Vec<Kind> = kinds
                .iter()
                .flat_map(|&kind| {
                    std::iter::repeat(kind).take(each / THREADS + usize::from(part < each % THREADS))
                })
                .collect();
            let (target, stop, opened) = (server.target.clone(), stop.clone(), opened.clone());
            thread::spawn(move || besiege(&target, &plan, &stop, &opened))
        })
        .collect();
    let wanted = kinds.len() * each;
    let patience = Instant::now() + Duration::from_secs(60);
    while opened.load(Ordering::Relaxed) < wanted && Instant::now() < patience {
        thread::sleep(Duration::from_millis(20));
    }
    let client = WellBehaved::start(&server.target);
    thread::sleep(size.pick(Duration::from_secs(4), Duration::from_secs(15)));
    let mut seen = client.stop();
    let footprint = server.footprint();
    stop.store(true, Ordering::Relaxed);
    let lost: usize = crowd.into_iter().map(|thread| thread.join().expect("attackers do not panic")).sum();

    let p99 = seen.p99();
    let allowed = (quiet * 3).max(P99_FLOOR);
    let mut faults = Vec::new();
    if opened.load(Ordering::Relaxed) < wanted {
        faults.push(format!("only {} of {wanted} attackers got in", opened.load(Ordering::Relaxed)));
    }
    if let Some(first) = seen.failures.first() {
        faults.push(format!("{} failures of the good client, the first: {first}", seen.failures.len()));
    }
    if p99 > allowed {
        faults.push(format!("p99 over {allowed:.1?}"));
    }
    Verdict {
        figures: format!(
            "{wanted} attackers ({lost} times ended and back), {} good requests, {} failures, p99 {p99:.1?} (quiet {quiet:.1?}), {} MiB, {} threads",
            seen.requests(),
            seen.failures.len(),
            footprint.memory_kib / 1024,
            footprint.threads
        ),
        faults,
    }
}

/// Opens the plan's connections and keeps them up, acting once a second; how often one had to come back.
fn besiege(target: &Target, plan: &[Kind], stop: &AtomicBool, opened: &AtomicUsize) -> usize {
    let mut lost = 0;
    let mut attackers: Vec<(Kind, Option<Attacker>)> = plan
        .iter()
        .map(|&kind| {
            let attacker = open(target, kind).ok();
            opened.fetch_add(1, Ordering::Relaxed);
            (kind, attacker)
        })
        .collect();
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + Duration::from_secs(1);
        for (kind, attacker) in &mut attackers {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let alive = attacker.as_mut().is_some_and(|attacker| act(*kind, attacker).is_ok());
            if !alive {
                lost += 1;
                *attacker = open(target, *kind).ok();
            }
        }
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }
    lost
}

fn open(target: &Target, kind: Kind) -> io::Result<Attacker> {
    if kind == Kind::Silent {
        return Ok(Attacker::Tcp(target.tcp()?));
    }
    if kind == Kind::HalfHello {
        let mut tcp = target.tcp()?;
        tcp.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])?;
        return Ok(Attacker::Tcp(tcp));
    }
    let mut tls = target.tls()?;
    match kind {
        Kind::DrippingHead => tls.write_all(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nX-Long: ")?,
        Kind::StalledBody => {
            tls.write_all(b"POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nstalled")?
        }
        Kind::SlowReader => tls.write_all(b"GET /zeros/10485760 HTTP/1.1\r\nHost: localhost\r\n\r\n")?,
        _ => {
            get(&mut tls, "/api/data")?;
        }
    }
    tls.flush()?;
    Ok(Attacker::Tls(Box::new(tls)))
}

/// What an attacker does once a second. An error when the server has ended the connection.
fn act(kind: Kind, attacker: &mut Attacker) -> io::Result<()> {
    match (kind, attacker) {
        (Kind::DrippingHead, Attacker::Tls(tls)) => {
            tls.write_all(b"x")?;
            tls.flush()
        }
        (Kind::SlowReader, Attacker::Tls(tls)) => {
            // Raw bytes: who reads this slowly does not care what they say.
            match tls.sock.read(&mut [0; 1024])? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            }
        }
        (_, Attacker::Tls(tls)) => still_open(&tls.sock),
        (_, Attacker::Tcp(tcp)) => still_open(tcp),
    }
}

fn still_open(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nonblocking(true)?;
    let peeked = tcp.peek(&mut [0; 1]);
    tcp.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

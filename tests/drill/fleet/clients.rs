//! Clients that behave well and count. Each has one connection, takes a new one every few requests, and resumes its sessions.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::client::{get, Tls};

/// A hang is a failure, and this is when it shows.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two requests of a client.
const PACE: Duration = Duration::from_millis(4);
/// Every so many requests a client comes over a new connection.
const NEW_EVERY: usize = 5;

pub struct Clients {
    stop: Arc<AtomicBool>,
    config: Arc<RwLock<Arc<ClientConfig>>>,
    threads: Vec<JoinHandle<Seen>>,
}

/// What they saw.
#[derive(Default)]
pub struct Seen {
    pub requests: usize,
    /// When each request that failed had begun, and how it failed.
    pub failures: Vec<(Instant, String)>,
    /// Handshakes that could resume a session, because the client had one.
    pub resumable: usize,
    pub resumed: usize,
    /// Requests that were sent once more, because the kept connection was closed before a byte of an answer came.
    pub sent_again: usize,
}

impl Clients {
    pub fn start(count: usize, address: SocketAddr, config: Arc<ClientConfig>) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let config = Arc::new(RwLock::new(config));
        let client = |_| {
            let (stop, config) = (stop.clone(), config.clone());
            thread::spawn(move || ask(address, &config, &stop))
        };
        Clients { threads: (0..count).map(client).collect(), stop, config }
    }

    /// From their next connection on they trust and show this.
    pub fn take(&self, config: Arc<ClientConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        self.threads.into_iter().for_each(|thread| all.add(thread.join().expect("a client does not panic")));
        all
    }
}

impl Seen {
    pub fn add(&mut self, seen: Seen) {
        self.requests += seen.requests;
        self.failures.extend(seen.failures);
        self.resumable += seen.resumable;
        self.resumed += seen.resumed;
        self.sent_again += seen.sent_again;
    }

    /// How requests have failed, and how often each.
    pub fn faults(&self) -> Vec<String> {
        self.counted(|_| true)
    }

    /// The same of the requests that had begun at this moment or later.
    pub fn begun_after(&self, moment: Instant) -> Vec<String> {
        self.counted(|began| began >= moment)
    }

    fn counted(&self, which: impl Fn(Instant) -> bool) -> Vec<String> {
        let mut counts = BTreeMap::new();
        for (_, failure) in self.failures.iter().filter(|(began, _)| which(*began)) {
            *counts.entry(failure).or_insert(0) += 1;
        }
        counts.into_iter().map(|(failure, count)| format!("{count} times: {failure}")).collect()
    }

    /// The share of resumed handshakes, in percent of those that could be.
    pub fn resumption(&self) -> f64 {
        self.resumed as f64 * 100.0 / self.resumable.max(1) as f64
    }
}

/// A connection whose handshake is done.
pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    connect_behind(address, None, config)
}

/// The same, behind what a balancer says first.
pub fn connect_behind(
    address: SocketAddr,
    header: Option<&str>,
    config: &Arc<ClientConfig>,
) -> io::Result<Tls> {
    let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    tcp.write_all(header.unwrap_or_default().as_bytes())?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, tcp);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

fn ask(address: SocketAddr, shared: &RwLock<Arc<ClientConfig>>, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut kept: Option<Tls> = None;
    let mut config: Option<Arc<ClientConfig>> = None;
    let mut has_ticket = false;
    while !stop.load(Ordering::Relaxed) {
        let newest = shared.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !config.as_ref().is_some_and(|config| Arc::ptr_eq(config, &newest)) {
            (config, kept, has_ticket) = (Some(newest.clone()), None, false);
        }
        if seen.requests % NEW_EVERY == 0 {
            kept = None;
        }
        seen.requests += 1;
        let began = Instant::now();
        let mut connect = |seen: &mut Seen| {
            let tls = connect(address, &newest)?;
            seen.resumable += usize::from(has_ticket);
            seen.resumed += usize::from(tls.conn.handshake_kind() == Some(HandshakeKind::Resumed));
            has_ticket = true;
            Ok(tls)
        };
        let was_kept = kept.is_some();
        let mut attempt = kept.take().map_or_else(|| connect(&mut seen), Ok).and_then(request);
        // As RFC 9112 §9.3.1 has it: the server may close an idle connection just as a request comes.
        if was_kept && attempt.as_ref().is_err_and(is_closed) {
            seen.sent_again += 1;
            attempt = connect(&mut seen).and_then(request);
        }
        match attempt {
            Ok((tls, 200, closes)) => kept = (!closes).then_some(tls),
            Ok((_, status, _)) => seen.failures.push((began, format!("status {status}"))),
            Err(error) => seen.failures.push((began, error.to_string())),
        }
        thread::sleep(PACE);
    }
    seen
}

fn request(mut tls: Tls) -> io::Result<(Tls, u16, bool)> {
    let reply = get(&mut tls, "/api/data")?;
    let closes = reply.head.to_ascii_lowercase().contains("connection: close");
    Ok((tls, reply.status, closes))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

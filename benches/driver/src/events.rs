//! Thousands of subscribers to a stream of events: what it costs to send an event to all of them, how long it takes until each
//! has it, and the memory of a subscriber.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection};

use crate::client::{self, Client, KeyExchange, Response};
use crate::histogram::Histogram;
use crate::operations;
use crate::process::Process;
use crate::Outcome;

/// The bytes of an event's data.
const DATA_BYTES: usize = 200;
/// From one event to the next.
const EVERY: Duration = Duration::from_secs(1);
/// The time limit for an event to be with all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the reader checks whether it should continue.
const TICK: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// As a browser asks.
const SUBSCRIBE: &[u8] = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
/// Connections before the measurement, so that one-time costs do not count for subscribers.
const FIRST: usize = 50;

struct Subscriber {
    tcp: TcpStream,
    tls: ClientConnection,
    response: Response,
    /// The beginning of an event that is not complete.
    rest: Vec<u8>,
    /// How many events have come.
    events: u64,
}

/// Subscribes this many clients and sends this many events to them; returns figures as name and value.
pub fn run(
    subscribers: usize,
    events: u64,
    port: u16,
    certificate: &CertificateDer<'static>,
    server: &Process,
) -> Outcome<Vec<(String, f64)>> {
    let config = client::tls(certificate, KeyExchange::X25519, Resumption::disabled())?;
    for _ in 0..FIRST {
        Client::connect(port, &config)?.ask(&operations::get("/api/data"))?;
    }
    let base = server.memory_kib()?;
    let mut table = client::open(subscribers, || subscribe(port, &config))?;
    let began = Instant::now();
    let (delivered, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = |event: u64| event * subscribers as u64;
    let (held, cpu, latency, threads) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let read = read_all(&mut table, began, &delivered, &is_over);
            is_over.store(true, Ordering::Relaxed);
            read
        });
        let publish = || -> Outcome<_> {
            // The first event is for the memory that it takes.
            send(0, port, &config, began)?;
            wait_for(all(1), &delivered, &is_over)?;
            thread::sleep(EVERY);
            let held = server.memory_kib()?.saturating_sub(base);
            let before = server.cpu()?;
            for event in 1..=events {
                let next = Instant::now() + EVERY;
                send(event, port, &config, began)?;
                wait_for(all(event + 1), &delivered, &is_over)?;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok((held, server.cpu()? - before, server.threads()?))
        };
        let published = publish();
        is_over.store(true, Ordering::Relaxed);
        let latency = reader.join().map_err(|_| "the reader panicked")??;
        let (held, cpu, threads) = published?;
        Outcome::Ok((held, cpu, latency, threads))
    })?;
    if let Some(wrong) = table.iter().find(|subscriber| subscriber.events != events + 1) {
        return Err(format!("a subscriber has had {} events of {}", wrong.events, events + 1).into());
    }
    let figure = |name: &str, value: f64| (name.to_string(), value);
    Ok(vec![
        figure("cpu_us", cpu.as_secs_f64() * 1e6 / all(events) as f64),
        figure("p50_ms", latency.quantile(0.5) / 1e3),
        figure("p99_ms", latency.quantile(0.99) / 1e3),
        figure("last_ms", latency.quantile(1.0) / 1e3),
        figure("kib_each", held as f64 / subscribers as f64),
        figure("threads", threads as f64),
    ])
}

/// The names of the figures in order of importance, with a description of each.
pub fn figures() -> Vec<(String, String)> {
    let all = [
        ("cpu_us", "server CPU an event and subscriber, µs"),
        ("p50_ms", "p50 ms"),
        ("p99_ms", "p99 ms"),
        ("last_ms", "the last one, ms"),
        ("kib_each", "KiB a subscriber"),
        ("threads", "threads"),
    ];
    all.map(|(name, title)| (name.to_string(), title.to_string())).to_vec()
}

/// Subscribes, and returns when the answer has begun.
fn subscribe(port: u16, config: &Arc<ClientConfig>) -> Outcome<Subscriber> {
    let (tls, tcp) = Client::connect(port, config)?.begin(SUBSCRIBE)?;
    let mut subscriber = Subscriber { tcp, tls, response: Response::stream(), rest: Vec::new(), events: 0 };
    while !subscriber.response.has_begun() {
        subscriber.read(&mut [0; 4096], &mut |_| {})?;
    }
    subscriber.tcp.set_nonblocking(true)?;
    Ok(subscriber)
}

/// Sends an event with its number and the time.
fn send(number: u64, port: u16, config: &Arc<ClientConfig>, began: Instant) -> Outcome<()> {
    let mut client = Client::connect(port, config)?;
    let head = format!("{number:06} {:020} ", began.elapsed().as_nanos());
    let data = format!("{head}{}", "x".repeat(DATA_BYTES - head.len()));
    client.ask(&operations::post("/api/publish", "text/plain", data.as_bytes()))?;
    Ok(())
}

fn wait_for(wanted: u64, delivered: &AtomicU64, is_over: &AtomicBool) -> Outcome<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let now = delivered.load(Ordering::Relaxed);
        if now >= wanted || is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("after {PATIENCE:?} {now} of {wanted} events had come").into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads until it `is_over`. Returns how long each event was under way, the first excepted.
fn read_all(
    table: &mut [Subscriber],
    began: Instant,
    delivered: &AtomicU64,
    is_over: &AtomicBool,
) -> Outcome<Histogram> {
    let watch = epoll::create(CreateFlags::CLOEXEC)?;
    for (place, subscriber) in table.iter().enumerate() {
        epoll::add(&watch, &subscriber.tcp, EventData::new_u64(place as u64), EventFlags::IN)?;
    }
    let mut latency = Histogram::new();
    let mut wire = vec![0; 16 * 1024];
    let mut events: Vec<Event> = Vec::with_capacity(256);
    while !is_over.load(Ordering::Relaxed) {
        events.clear();
        match epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), Some(&TICK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let subscriber = &mut table[event.data.u64() as usize];
            let come = subscriber.read(&mut wire, &mut |sent: Duration| {
                latency.record(began.elapsed().saturating_sub(sent));
            })?;
            delivered.fetch_add(come, Ordering::Relaxed);
        }
    }
    Ok(latency)
}

impl Subscriber {
    /// Reads once. Tells for each event but the first when it was sent, and returns how many have come.
    fn read(&mut self, wire: &mut [u8], tell: &mut dyn FnMut(Duration)) -> Outcome<u64> {
        let read = match self.tcp.read(wire) {
            Ok(0) => return Err("the server ended a stream of events".into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = &wire[..read];
        let mut content = Some(std::mem::take(&mut self.rest));
        let mut plain = [0; 4096];
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            self.tls.process_new_packets()?;
            loop {
                let read = match self.tls.reader().read(&mut plain) {
                    Ok(0) => return Err("the server ended a stream of events".into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let (_, complete) = self.response.take_into(&plain[..read], &mut content)?;
                if complete {
                    return Err("the server ended a stream of events".into());
                }
            }
        }
        self.rest = content.unwrap_or_default();
        let mut come = 0;
        while let Some(end) = memchr::memmem::find(&self.rest, b"\n\n") {
            if let Some(sent) = self.take(end)? {
                if self.events > 1 {
                    tell(sent);
                }
                come += 1;
            }
            self.rest.drain(..end + 2);
        }
        Ok(come)
    }

    /// Takes the block before `end`. Returns when its event was sent, if it is one: it may be a comment.
    fn take(&mut self, end: usize) -> Outcome<Option<Duration>> {
        let block = std::str::from_utf8(&self.rest[..end])?;
        let Some(data) = block.lines().find_map(|line| line.strip_prefix("data:")) else { return Ok(None) };
        let data = data.trim_start();
        let mut words = data.split(' ');
        let (number, sent) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if data.len() != DATA_BYTES || number.parse() != Ok(self.events) {
            return Err(format!("event {} has come as {block}", self.events).into());
        }
        self.events += 1;
        Ok(Some(Duration::from_nanos(sent.parse()?)))
    }
}

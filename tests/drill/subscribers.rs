//! Subscribers of a feed of events: many that read, beside requests; some that do not read, beside others that must not notice;
//! and many that come and go.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::client::{exchange, reset, Target, Tls};
use crate::load::{percentile, quiet_p99, WellBehaved};
use crate::server::Server;
use crate::{Size, Verdict};

/// A good client's p99 may rise to three times its quiet value, or to this if that is more.
const P99_FLOOR: Duration = Duration::from_millis(20);
/// The threads that read for the subscribers.
const THREADS: usize = 2;
/// What a subscriber may take after its first event, in KiB.
const MOST_KIB: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Subscribers of a server, all of which read.
struct Audience {
    stop: Arc<AtomicBool>,
    /// While it is set they read nothing, and take no CPU from the server.
    paused: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Heard>>,
}

/// What subscribers got.
#[derive(Default)]
struct Heard {
    /// How long each event took to each of them.
    times: Vec<Duration>,
    faults: Vec<String>,
}

/// When each event was sent.
type Sent = Arc<Mutex<HashMap<usize, Instant>>>;

impl Audience {
    /// Subscribes so many, and returns when all have their head.
    fn subscribe(target: &Target, count: usize, sent: &Sent) -> Audience {
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let paused = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(AtomicUsize::new(0));
        let threads = (0..THREADS)
            .map(|part| {
                let count = count / THREADS + usize::from(part < count % THREADS);
                let (target, sent, ready) = (target.clone(), sent.clone(), ready.clone());
                let (stop, paused, received) = (stop.clone(), paused.clone(), received.clone());
                thread::spawn(move || {
                    let subscribers: Vec<Tls> = (0..count).filter_map(|_| subscribe(&target).ok()).collect();
                    ready.fetch_add(subscribers.len(), Ordering::SeqCst);
                    listen(subscribers, &sent, (&stop, &paused), &received)
                })
            })
            .collect();
        let until = Instant::now() + PATIENCE * 3;
        while ready.load(Ordering::SeqCst) < count && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        Audience { stop, paused, received, threads }
    }

    /// Waits until so many events have come in all.
    fn wait_for(&self, deliveries: usize) {
        let until = Instant::now() + PATIENCE;
        while self.received.load(Ordering::SeqCst) < deliveries && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) -> Heard {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Heard::default();
        for thread in self.threads {
            let heard = thread.join().expect("subscribers do not panic");
            all.times.extend(heard.times);
            all.faults.extend(heard.faults);
        }
        all
    }
}

/// A subscriber that has its head.
fn subscribe(target: &Target) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.write_all(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(tls)
}

/// Reads for many subscribers. Each has to get the events from 0 on, one after the other.
fn listen(
    mut subscribers: Vec<Tls>,
    sent: &Sent,
    (stop, paused): (&AtomicBool, &AtomicBool),
    received: &AtomicUsize,
) -> Heard {
    let mut poll = Poll::new().expect("an epoll");
    for (at, tls) in subscribers.iter().enumerate() {
        tls.sock.set_nonblocking(true).expect("a socket");
        poll.registry()
            .register(&mut SourceFd(&tls.sock.as_raw_fd()), Token(at), Interest::READABLE)
            .expect("a socket");
    }
    let mut heard = Heard::default();
    let mut next = vec![0; subscribers.len()];
    let mut rests: Vec<Vec<u8>> = vec![Vec::new(); subscribers.len()];
    let mut events = Events::with_capacity(256);
    let mut piece = [0; 16 * 1024];
    while !stop.load(Ordering::SeqCst) {
        if paused.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        if poll.poll(&mut events, Some(Duration::from_millis(50))).is_err() {
            continue;
        }
        for event in &events {
            let at = event.token().0;
            loop {
                match subscribers[at].read(&mut piece) {
                    Ok(read @ 1..) => rests[at].extend_from_slice(&piece[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    end => {
                        heard.faults.push(format!("a subscriber's stream has ended: {end:?}"));
                        break;
                    }
                }
            }
            let now = Instant::now();
            while let Some(end) = rests[at].windows(2).position(|two| two == b"\n\n") {
                let text: Vec<u8> = rests[at].drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&text);
                let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
                let number =
                    data.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
                if number != next[at] {
                    heard.faults.push(format!("a subscriber got {number} in place of {}", next[at]));
                }
                next[at] = number.wrapping_add(1);
                received.fetch_add(1, Ordering::SeqCst);
                let began = sent.lock().expect("no panic").get(&number).copied();
                heard.times.extend(began.map(|began| now.duration_since(began)));
            }
        }
    }
    heard
}

/// Sends events to the feed of a server.
struct Publisher {
    target: Target,
    /// A connection, and when it was used last.
    kept: Option<(Tls, Instant)>,
    sent: Sent,
    next: usize,
}

impl Publisher {
    fn new(target: &Target) -> Publisher {
        Publisher { target: target.clone(), kept: None, sent: Sent::default(), next: 0 }
    }

    fn send(&mut self, bytes: usize) {
        let data = format!("{} {}", self.next, "x".repeat(bytes));
        let request =
            format!("POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{data}", data.len());
        // The server closes it when it is idle for longer.
        let is_fresh = |(_, used): &(Tls, Instant)| used.elapsed() < Duration::from_secs(20);
        let mut tls = match self.kept.take().filter(is_fresh) {
            Some((tls, _)) => tls,
            None => self.target.tls().expect("a connection"),
        };
        self.sent.lock().expect("no panic").insert(self.next, Instant::now());
        self.next += 1;
        let reply = exchange(&mut tls, request.as_bytes()).expect("an answer");
        assert_eq!(reply.status, 200);
        self.kept = Some((tls, Instant::now()));
    }
}

/// Many that read an event of 200 bytes a second, beside a good client.
pub fn many(size: Size) -> Verdict {
    let count = size.pick(300, 9_900);
    let events = size.pick(4, 12);
    let server = Server::example(&[]);
    let quiet = quiet_p99(&server.target);
    let before = server.footprint();
    let mut publisher = Publisher::new(&server.target);
    let audience = Audience::subscribe(&server.target, count, &publisher.sent);
    publisher.send(200);
    audience.wait_for(count);
    let after = server.footprint();
    let each = (after.memory_kib.saturating_sub(before.memory_kib) * 1024) / count as u64;
    // Without requests, for the time of delivering alone.
    let began = server.cpu();
    for _ in 1..events {
        publisher.send(200);
        audience.wait_for(count * publisher.next);
        thread::sleep(Duration::from_millis(100));
    }
    let cpu = (server.cpu() - began).as_nanos() as f64 / (count * (events - 1)) as f64;
    // Beside them.
    let client = WellBehaved::start(&server.target);
    for _ in 0..events {
        publisher.send(200);
        audience.wait_for(count * publisher.next);
        thread::sleep(Duration::from_secs(1));
    }
    let mut seen = client.stop();
    // And while those that read take none of the processors: what is left is the server's part. The system keeps the events.
    audience.paused.store(true, Ordering::SeqCst);
    let client = WellBehaved::start(&server.target);
    for _ in 0..events {
        publisher.send(200);
        thread::sleep(Duration::from_secs(1));
    }
    let mut servers_part = client.stop();
    publisher.sent.lock().expect("no panic").clear();
    audience.paused.store(false, Ordering::SeqCst);
    audience.wait_for(count * publisher.next);
    let (sent, received) = (publisher.next, audience.received.load(Ordering::SeqCst));
    let mut heard = audience.stop();
    let mut faults = Vec::new();
    if received != count * sent {
        faults.push(format!("{received} of {} events came", count * sent));
    }
    faults.extend(heard.faults.first().cloned());
    if let Some(first) = seen.failures.first().or(servers_part.failures.first()) {
        faults.push(format!("{} failures of the good client, the first: {first}", seen.failures.len()));
    }
    if seen.p99().max(servers_part.p99()) > (quiet * 3).max(P99_FLOOR) {
        faults.push("the good client's p99 is over three times the quiet one".to_string());
    }
    // With few, what the allocator takes ahead counts more.
    if size == Size::Full && each > MOST_KIB * 1024 {
        faults.push(format!("more than {MOST_KIB} KiB for a subscriber"));
    }
    if after.threads > before.threads {
        faults.push("threads for subscribers".to_string());
    }
    Verdict {
        figures: format!(
            "{count} subscribers, {sent} events of 200 bytes to each; {each} bytes a subscriber, {:.1} us of CPU an event, p99 of delivery {:.1?}; {} good requests, p99 {:.1?}, of that the server's part {:.1?} (quiet {quiet:.1?}); {} threads",
            cpu / 1_000.0,
            percentile(&mut heard.times, 99),
            seen.requests(),
            seen.p99(),
            servers_part.p99(),
            after.threads
        ),
        faults,
    }
}

/// Some that do not read at all, while large events go to them and to others.
pub fn stuck(size: Size) -> Verdict {
    const READERS: usize = 20;
    let count = size.pick(100, 2_000);
    let server = Server::example(&[]);
    let mut publisher = Publisher::new(&server.target);
    let held: Vec<Tls> = (0..count).filter_map(|_| subscribe(&server.target).ok()).collect();
    let audience = Audience::subscribe(&server.target, READERS, &publisher.sent);
    let before = server.footprint();
    // More than the system holds for those that do not read.
    let began = Instant::now();
    let mut most = 0;
    while publisher.next < size.pick(600, 600) {
        publisher.send(8 * 1024);
        audience.wait_for(READERS * publisher.next);
        most = most.max(server.footprint().memory_kib);
    }
    let took = began.elapsed();
    let sent = publisher.next;
    let heard = audience.stop();
    let mut faults = Vec::new();
    faults.extend(heard.faults.first().cloned());
    if heard.times.len() != READERS * sent {
        faults.push(format!("{} of {} events came to those that read", heard.times.len(), READERS * sent));
    }
    if held.len() != count {
        faults.push(format!("only {} of {count} got in", held.len()));
    }
    // 103 KiB is what a connection may take, and 1 MiB what the feed keeps.
    let ceiling = before.memory_kib + 1024 + count as u64 * (103 - 8);
    if most > ceiling {
        faults.push("over the ceiling".to_string());
    }
    Verdict {
        figures: format!(
            "{count} subscribers that do not read, {READERS} that got {sent} events of 8 KiB in {took:.1?}; {} MiB before, {} MiB at most (ceiling {})",
            before.memory_kib / 1024,
            most / 1024,
            ceiling / 1024
        ),
        faults,
    }
}

/// Many that come and go, with an event now and then.
pub fn come_and_go(size: Size) -> Verdict {
    let count = size.pick(1_000, 100_000);
    let server = Server::example(&[]);
    let mut publisher = Publisher::new(&server.target);
    let round = |publisher: &mut Publisher, count: usize| {
        let visitors: Vec<_> = (0..THREADS)
            .map(|part| {
                let target = server.target.clone();
                thread::spawn(move || {
                    (0..count / THREADS).filter(|number| visit(&target, part + number).is_err()).count()
                })
            })
            .collect();
        while visitors.iter().any(|visitor| !visitor.is_finished()) {
            publisher.send(200);
            thread::sleep(Duration::from_millis(20));
        }
        visitors.into_iter().map(|visitor| visitor.join().expect("visitors do not panic")).sum::<usize>()
    };
    let mut failures = round(&mut publisher, count / 10);
    let before = server.footprint();
    failures += round(&mut publisher, count);
    let until = Instant::now() + PATIENCE;
    let mut after = server.footprint();
    while after.descriptors > before.descriptors && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
        after = server.footprint();
    }
    let mut faults = Vec::new();
    if failures > 0 {
        faults.push(format!("{failures} could not subscribe"));
    }
    if after.descriptors > before.descriptors {
        faults.push(format!("{} descriptors are left of them", after.descriptors - before.descriptors));
    }
    if after.memory_kib > before.memory_kib + before.memory_kib / 4 + 1024 {
        faults.push("memory is left of them".to_string());
    }
    Verdict {
        figures: format!(
            "{count} subscribers came and went; {} KiB before, {} KiB after; {} descriptors before, {} after",
            before.memory_kib, after.memory_kib, before.descriptors, after.descriptors
        ),
        faults,
    }
}

fn visit(target: &Target, number: usize) -> std::io::Result<()> {
    let tls = subscribe(target)?;
    if number % 2 == 0 {
        reset(&tls.sock);
    }
    Ok(())
}

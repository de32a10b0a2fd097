//! The load: two threads, each with its share of the connections under epoll. On each connection the next operation begins
//! as soon as the last one is done. All servers and operations use this code, so all get the same load.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::client::{self, KeyExchange, Response};
use crate::histogram::Histogram;
use crate::process::Process;
use crate::Outcome;

const THREADS: usize = 2;
/// The time limit for the first answer on every connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a thread checks whether it should continue.
const TICK: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How a connection is used from one operation to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connections {
    Kept,
    /// Each operation is a connection of its own.
    Fresh,
    /// The same, with a resumed session.
    Resumed,
}

#[derive(Clone)]
pub struct Job {
    /// One operation: a request, or several that are pipelined.
    pub request: Vec<u8>,
    pub requests: usize,
    pub connections: usize,
    pub kind: Connections,
    pub key_exchange: KeyExchange,
}

/// The results of a run.
pub struct Measured {
    /// Server CPU per request, in microseconds.
    pub cpu_us: f64,
    pub per_second: f64,
    /// From the beginning of an operation to its end, in microseconds.
    pub latency: Histogram,
}

/// Each connection gets its first answer and then waits for the others, so that a server that accepts slowly under load is
/// not measured with fewer connections.
const OPENING: u8 = 0;
const WARMING: u8 = 1;
const MEASURING: u8 = 2;
const ENDED: u8 = 3;

/// Runs the job against the server at `port`: first to warm it up, then for `time`.
pub fn run(
    job: &Job,
    port: u16,
    certificate: &CertificateDer<'static>,
    server: &Process,
    warm_up: Duration,
    time: Duration,
) -> Outcome<Measured> {
    let phase = AtomicU8::new(OPENING);
    let done: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let opened = AtomicUsize::new(0);
    let sum = || done.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let connections = job.connections / THREADS + usize::from(thread < job.connections % THREADS);
                let (phase, done, opened) = (&phase, &done[thread], &opened);
                scope.spawn(move || {
                    let result = Thread::new(job, port).and_then(|mut thread| {
                        thread.run(connections, certificate, phase, done, opened)?;
                        Ok(thread.latency)
                    });
                    if result.is_err() {
                        phase.store(ENDED, Ordering::Relaxed);
                    }
                    result
                })
            })
            .collect();
        let until = Instant::now() + PATIENCE;
        while opened.load(Ordering::Relaxed) < job.connections && phase.load(Ordering::Relaxed) == OPENING {
            if Instant::now() > until {
                phase.store(ENDED, Ordering::Relaxed);
                let (opened, of) = (opened.load(Ordering::Relaxed), job.connections);
                return Err(
                    format!("after {PATIENCE:?} only {opened} of {of} connections had an answer").into()
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
        // A thread that fails ends the run for all threads.
        let go_on = |from, to| phase.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if go_on(OPENING, WARMING) {
            thread::sleep(warm_up);
            go_on(WARMING, MEASURING);
        }
        let before = (Instant::now(), sum(), server.cpu());
        thread::sleep(time);
        let after = (Instant::now(), sum(), server.cpu());
        phase.store(ENDED, Ordering::Relaxed);
        let mut latency = Histogram::new();
        for thread in threads {
            latency.add(&thread.join().map_err(|_| "a client's thread panicked")??);
        }
        let requests = (after.1 - before.1) as f64 * job.requests as f64;
        if requests == 0.0 {
            return Err("no operation was completed".into());
        }
        Ok(Measured {
            cpu_us: (after.2? - before.2?).as_secs_f64() * 1e6 / requests,
            per_second: requests / (after.0 - before.0).as_secs_f64(),
            latency,
        })
    })
}

struct Thread<'j> {
    job: &'j Job,
    port: u16,
    watch: rustix::fd::OwnedFd,
    latency: Histogram,
    /// Buffers for one read from a socket, and for the decrypted bytes.
    wire: Vec<u8>,
    plain: Vec<u8>,
}

struct Connection {
    tcp: TcpStream,
    tls: ClientConnection,
    config: Arc<ClientConfig>,
    began: Instant,
    /// How much of the operation's request is handed to TLS.
    written: usize,
    response: Response,
    /// How many of the operation's responses have arrived.
    answered: usize,
    waits_to_write: bool,
    /// Whether an earlier operation in this place has completed, so that there is a ticket.
    has_served: bool,
}

impl<'j> Thread<'j> {
    fn new(job: &'j Job, port: u16) -> Outcome<Thread<'j>> {
        Ok(Thread {
            job,
            port,
            watch: epoll::create(CreateFlags::CLOEXEC)?,
            latency: Histogram::new(),
            wire: vec![0; 64 * 1024],
            plain: vec![0; 64 * 1024],
        })
    }

    fn run(
        &mut self,
        connections: usize,
        certificate: &CertificateDer<'static>,
        phase: &AtomicU8,
        done: &AtomicU64,
        opened: &AtomicUsize,
    ) -> Outcome<()> {
        let shared = client::tls(certificate, self.job.key_exchange, Resumption::disabled())?;
        let mut table = Vec::with_capacity(connections);
        for place in 0..connections {
            let config = match self.job.kind {
                // Each with its own store of tickets, of which every one is used once (RFC 8446, appendix C.4).
                Connections::Resumed => {
                    client::tls(certificate, self.job.key_exchange, Resumption::in_memory_sessions(1))?
                }
                Connections::Kept | Connections::Fresh => shared.clone(),
            };
            let mut connection = self.connect(config)?;
            self.watch(&connection, place)?;
            self.write(&mut connection, place)?;
            table.push(connection);
        }
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let mut last_phase = OPENING;
        loop {
            let phase = phase.load(Ordering::Relaxed);
            if phase == ENDED {
                return Ok(());
            }
            if last_phase == OPENING && phase != OPENING {
                for (place, connection) in table.iter_mut().enumerate() {
                    connection.began = Instant::now();
                    self.write(connection, place)?;
                }
            }
            if last_phase != MEASURING && phase == MEASURING {
                self.latency = Histogram::new();
            }
            last_phase = phase;
            events.clear();
            match epoll::wait(&self.watch, rustix::buffer::spare_capacity(&mut events), Some(&TICK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let place = event.data.u64() as usize;
                let connection = &mut table[place];
                if self.read(connection)? {
                    self.complete(connection, place)?;
                    done.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut connection.has_served, true) {
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                    if phase == OPENING {
                        continue;
                    }
                }
                self.write(connection, place)?;
            }
        }
    }

    fn connect(&self, config: Arc<ClientConfig>) -> Outcome<Connection> {
        let began = Instant::now();
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        let tls = ClientConnection::new(config.clone(), client::name())?;
        Ok(Connection {
            tcp,
            tls,
            config,
            began,
            written: 0,
            response: Response::default(),
            answered: 0,
            waits_to_write: false,
            has_served: false,
        })
    }

    fn watch(&self, connection: &Connection, place: usize) -> Outcome<()> {
        Ok(epoll::add(&self.watch, &connection.tcp, EventData::new_u64(place as u64), EventFlags::IN)?)
    }

    /// Reads what has arrived; returns whether that completes an operation.
    fn read(&mut self, connection: &mut Connection) -> Outcome<bool> {
        loop {
            let read = match connection.tcp.read(&mut self.wire) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let mut bytes = &self.wire[..read];
            while !bytes.is_empty() {
                connection.tls.read_tls(&mut bytes)?;
                if connection.tls.process_new_packets()?.plaintext_bytes_to_read() > 0 {
                    let plain = connection.tls.reader().read(&mut self.plain)?;
                    let mut plain = &self.plain[..plain];
                    while !plain.is_empty() {
                        let (taken, complete) = connection.response.take(plain)?;
                        plain = &plain[taken..];
                        connection.answered += usize::from(complete);
                    }
                }
            }
            if read < self.wire.len() {
                break;
            }
        }
        Ok(connection.answered == self.job.requests && connection.written == self.job.request.len())
    }

    /// Records a completed operation and prepares the connection for the next one.
    fn complete(&mut self, connection: &mut Connection, place: usize) -> Outcome<()> {
        self.latency.record(connection.began.elapsed());
        if self.job.kind == Connections::Kept {
            connection.began = Instant::now();
            connection.written = 0;
            connection.answered = 0;
            return Ok(());
        }
        // A server without the key exchange asks for another one, which is a kind of its own.
        let expected = match self.job.kind {
            Connections::Resumed if connection.has_served => HandshakeKind::Resumed,
            _ => HandshakeKind::Full,
        };
        if connection.tls.handshake_kind() != Some(expected) {
            let kind = connection.tls.handshake_kind();
            return Err(format!("the handshake was {kind:?} and not {expected:?}").into());
        }
        connection.tls.send_close_notify();
        // If the socket does not accept it, closing the socket means the same.
        let _ = connection.tls.write_tls(&mut connection.tcp);
        let config = connection.config.clone();
        *connection = Connection { has_served: connection.has_served, ..self.connect(config)? };
        self.watch(connection, place)
    }

    /// Sends pending TLS records and as much of the request as the socket accepts.
    fn write(&self, connection: &mut Connection, place: usize) -> Outcome<()> {
        let request = &self.job.request;
        let blocked = loop {
            if !connection.tls.is_handshaking() && connection.written < request.len() {
                connection.written += connection.tls.writer().write(&request[connection.written..])?;
            }
            if !connection.tls.wants_write() {
                break false;
            }
            match connection.tls.write_tls(&mut connection.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(error) => return Err(error.into()),
            }
        };
        if blocked != connection.waits_to_write {
            connection.waits_to_write = blocked;
            let events = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.watch, &connection.tcp, EventData::new_u64(place as u64), events)?;
        }
        Ok(())
    }
}

//! What a request at a backend takes of the proxy's memory when nobody reads: every buffer on the way is full, in both directions,
//! and stays so. Each kind has a server of its own, because an allocator keeps what another kind has had.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::client::{Target, Tls};
use crate::server::Server;
use crate::{Size, Verdict};

/// What a client's connection takes at most, in KiB (SECURITY.md): with a part of a record; and besides, what waits for the client
/// with more of what it sends, or a head and a piece of a body.
const IDLE: u64 = 12 + 19;
const BUSY: u64 = 72;
const HEAD: u64 = 16;
const PIECE: u64 = 20;
/// What a request at a backend takes at most beside that, in KiB, and the same over HTTPS.
const PAIR: u64 = 74;
const SECURE_PAIR: u64 = 134;

/// What is held at least when the buffers are full, in KiB: of a body on its way, of a head of the backend, and of a record of TLS.
const BODY_HELD: u64 = 32;
const HEAD_HELD: u64 = 31;
const RECORD_HELD: u64 = 15;

/// Of bodies and answers, in bytes: nobody comes to their end.
const ENDLESS: u64 = 1 << 40;
/// What a socket of this drill takes of what it does not read, so that the system holds as little as it can.
const UNREAD_BYTES: usize = 4 * 1024;
/// What it takes to send: enough to fill a buffer of the proxy at once.
const UNSENT_BYTES: usize = 64 * 1024;
/// So many pairs are there before those that are measured: what they make the program keep is not theirs.
const FIRST: usize = 10;
const THREADS: usize = 2;
/// Of a thread for each connection of the backend.
const STACK_BYTES: usize = 256 * 1024;
const RECORD_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(180);

/// What nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A backend's answer.
    Answer,
    /// A client's body, while the head of the backend's answer does not end.
    Body,
    /// A client's body and the backend's answer.
    Both,
    /// What passes through a tunnel, in both directions.
    Tunnel,
}

const KINDS: [Kind; 4] = [Kind::Answer, Kind::Body, Kind::Both, Kind::Tunnel];

impl Kind {
    /// The most that such a pair takes, in KiB. With few pairs, what the allocator takes ahead counts more than what a client with
    /// nothing to read leaves of its part.
    fn most(self, is_secure: bool, size: Size) -> u64 {
        let busy =
            if self == Kind::Body && size == Size::Full { HEAD + PIECE } else { BUSY.max(HEAD + PIECE) };
        IDLE + busy + if is_secure { SECURE_PAIR } else { PAIR }
    }

    /// Less says that its buffers were not full, and nothing was tried.
    fn least(self, is_secure: bool) -> u64 {
        let held = match self {
            Kind::Answer => RECORD_HELD,
            Kind::Body => BODY_HELD + HEAD_HELD + HEAD,
            Kind::Both => BODY_HELD + RECORD_HELD,
            Kind::Tunnel => 2 * RECORD_HELD,
        };
        held + if is_secure { RECORD_HELD } else { 0 }
    }

    /// How many there are. The system takes 2.6 MB for a TCP connection over loopback before it says that it takes no more, and has
    /// a bound for all of them together. Only bodies in clear meet none of these: they go to the backend over a Unix socket.
    fn count(self, is_secure: bool, size: Size) -> usize {
        match self == Kind::Body && !is_secure {
            true => size.pick(200, 2_000),
            false => size.pick(100, 200),
        }
    }

    fn request(self) -> String {
        let long = format!("X-Long: {}\r\n", "x".repeat(15_000));
        match self {
            Kind::Answer => "GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n".to_string(),
            Kind::Body => {
                format!("POST /head HTTP/1.1\r\nHost: localhost\r\nContent-Length: {ENDLESS}\r\n{long}\r\n")
            }
            Kind::Both => {
                format!("POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {ENDLESS}\r\n{long}\r\n")
            }
            Kind::Tunnel => {
                "GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    .to_string()
            }
        }
    }
}

pub fn full(size: Size) -> Verdict {
    let (mut figures, mut faults) = (Vec::new(), Vec::new());
    for is_secure in [false, true] {
        for kind in KINDS {
            let count = kind.count(is_secure, size);
            let (least, most) = (kind.least(is_secure), kind.most(is_secure, size));
            let name = format!("{kind:?}{}", if is_secure { " over HTTPS" } else { "" });
            match measure(kind, is_secure, count) {
                Ok(each) => {
                    figures.push(format!("{count} {name} {each} KiB each, at most {most}"));
                    if each > most {
                        faults.push(format!("{name}: more than is documented"));
                    }
                    if each < least {
                        faults.push(format!("{name}: less than {least} KiB, so the buffers were not full"));
                    }
                }
                Err(fault) => faults.push(format!("{name}: {fault}")),
            }
        }
    }
    Verdict { figures: figures.join("; "), faults }
}

/// What each of these pairs takes, in KiB.
fn measure(kind: Kind, is_secure: bool, count: usize) -> Result<u64, String> {
    let backend = Backend::start(is_secure);
    let connections = count + FIRST + 10;
    let server = Server::example(&[
        &format!("connections={connections}"),
        &format!("body_bytes={ENDLESS}"),
        &format!("write_timeout_ms={}", 2 * PATIENCE.as_millis()),
        &format!("to={}", backend.url),
        &format!("at_a_time={connections}"),
        &format!("answer_timeout_ms={}", 2 * PATIENCE.as_millis()),
        "any_certificate=1",
    ]);
    let mut clients = open(&server.target, kind, FIRST)?;
    fill(&server, &mut clients)?;
    let before = server.footprint();
    clients.extend(open(&server.target, kind, count)?);
    fill(&server, &mut clients)?;
    let after = server.footprint();
    drop(server);
    backend.held.lock().expect("no poison").clear();
    Ok(after.memory_kib.saturating_sub(before.memory_kib) / count as u64)
}

/// A client that sends what its server takes, and reads nothing.
struct Client {
    tls: Tls,
    sends: bool,
    /// An encrypted record, of which so many bytes are sent.
    record: Vec<u8>,
    sent: usize,
}

impl Client {
    fn open(target: &Target, kind: Kind) -> io::Result<Client> {
        let mut tls = target.tls()?;
        set_socket_recv_buffer_size(&tls.sock, UNREAD_BYTES)?;
        set_socket_send_buffer_size(&tls.sock, UNSENT_BYTES)?;
        tls.write_all(kind.request().as_bytes())?;
        tls.flush()?;
        if kind == Kind::Tunnel {
            // It begins with the answer.
            tls.sock.read_exact(&mut [0])?;
        }
        tls.sock.set_nonblocking(true)?;
        Ok(Client { tls, sends: kind != Kind::Answer, record: Vec::new(), sent: 0 })
    }

    /// Sends until the socket takes no more. Returns whether it has taken any.
    fn push(&mut self) -> io::Result<bool> {
        let mut has_sent = false;
        while self.sends {
            if self.sent == self.record.len() {
                self.record.clear();
                self.sent = 0;
                self.tls.conn.writer().write_all(&[b'x'; RECORD_BYTES])?;
                while self.tls.conn.wants_write() {
                    self.tls.conn.write_tls(&mut self.record)?;
                }
            }
            match self.tls.sock.write(&self.record[self.sent..]) {
                Ok(sent) => {
                    self.sent += sent;
                    has_sent = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(has_sent)
    }
}

fn open(target: &Target, kind: Kind, count: usize) -> Result<Vec<Client>, String> {
    let threads: Vec<_> = (0..THREADS)
        .map(|part| {
            let count = count / THREADS + usize::from(part < count % THREADS);
            let target = target.clone();
            thread::spawn(move || {
                (0..count).map(|_| Client::open(&target, kind)).collect::<io::Result<Vec<_>>>()
            })
        })
        .collect();
    let mut clients = Vec::new();
    for thread in threads {
        let opened = thread.join().expect("clients do not panic");
        clients.extend(opened.map_err(|error| format!("a client: {error}"))?);
    }
    Ok(clients)
}

/// Sends until nothing more is taken, and the server has nothing more to do.
fn fill(server: &Server, clients: &mut [Client]) -> Result<(), String> {
    const QUIET: Duration = Duration::from_millis(100);
    const TICK: Duration = Duration::from_millis(10);
    let until = Instant::now() + PATIENCE;
    let mut quiet = 0;
    let mut cpu = server.cpu();
    while quiet < 4 {
        let mut has_sent = false;
        for client in &mut *clients {
            has_sent |= client.push().map_err(|error| format!("a client: {error}"))?;
        }
        if Instant::now() > until {
            return Err("the buffers do not become full".to_string());
        }
        if has_sent {
            quiet = 0;
            continue;
        }
        thread::sleep(QUIET);
        let before = std::mem::replace(&mut cpu, server.cpu());
        quiet = if cpu > before + TICK { 0 } else { quiet + 1 };
    }
    Ok(())
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

type Held = Arc<Mutex<Vec<Box<dyn Stream>>>>;

/// A backend that reads nothing but heads.
struct Backend {
    url: String,
    /// The connections on which it sends nothing more.
    held: Held,
    _folder: Option<TempDir>,
}

impl Backend {
    fn start(is_secure: bool) -> Backend {
        let held = Held::default();
        let shared = held.clone();
        if is_secure {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            // The library's queue of 128 is too short.
            rustix::net::listen(&listener, 4_096).expect("it listens");
            set_socket_recv_buffer_size(&listener, UNREAD_BYTES).expect("a socket");
            set_socket_send_buffer_size(&listener, UNSENT_BYTES).expect("a socket");
            let url =
                format!("https://localhost:{}", listener.local_addr().expect("it has an address").port());
            let config = config();
            thread::spawn(move || {
                for tcp in listener.incoming().map_while(Result::ok) {
                    let tls = ServerConnection::new(config.clone()).expect("TLS");
                    begin(StreamOwned::new(tls, tcp), &shared);
                }
            });
            return Backend { url, held, _folder: None };
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("backend");
        let listener = UnixListener::bind(&path).expect("a socket");
        rustix::net::listen(&listener, 4_096).expect("it listens");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                set_socket_send_buffer_size(&stream, UNSENT_BYTES).expect("a socket");
                begin(stream, &shared);
            }
        });
        Backend { url: format!("unix:{}", path.display()), held, _folder: Some(folder) }
    }
}

fn config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("the two belong together");
    Arc::new(config)
}

fn begin(stream: impl Stream + 'static, held: &Held) {
    let held = held.clone();
    let serve = move || {
        let mut stream = stream;
        // It ends with an error when the server does.
        if serve(&mut stream).is_ok() {
            held.lock().expect("no poison").push(Box::new(stream));
        }
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(serve).expect("a thread");
}

/// Answers for as long as the answer is taken.
fn serve(stream: &mut impl Stream) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"POST /head ") {
        // What comes with the hint makes the buffer one that has doubled just before the head is as long as it may be.
        let hint = format!("HTTP/1.1 103 Early Hints\r\nX: {:150}\r\n\r\n", "x");
        let mut answer = format!("{hint}HTTP/1.1 200 OK\r\nX: ").into_bytes();
        answer.resize(hint.len() + 32 * 1024 - 8, b'x');
        stream.write_all(&answer)?;
        return stream.flush();
    }
    if head.starts_with(b"GET /tunnel ") {
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )?;
    } else {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n").as_bytes())?;
    }
    loop {
        stream.write_all(&[b'x'; RECORD_BYTES])?;
    }
}

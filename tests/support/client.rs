//! A client whose every byte the test decides, and how it reads the answers.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::log::{assert_limit_named, limits_named};
use super::{get, issuer, SAFETY};

/// Trusts the authority of this process alone.
fn config() -> Arc<ClientConfig> {
    static CLIENT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CLIENT.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add(issuer().der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session would hide the certificate that new connections get.
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    });
    config.clone()
}

/// A connection from a port that nothing else in this process connects from, now or later: connections to several servers
/// may share one, and what the log says about one would be taken for the other's.
pub fn connect_plain(address: SocketAddr) -> io::Result<TcpStream> {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let socket = loop {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let tcp = TcpStream::from(socket);
        if USED.lock().unwrap().insert(tcp.local_addr()?.port()) {
            break tcp;
        }
    };
    rustix::net::connect(&socket, &address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SAFETY))?;
    socket.set_write_timeout(Some(SAFETY))?;
    Ok(socket)
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With close_notify: by intent.
    Goodbye,
    /// Without: what came before may be a part only.
    Cut,
    Reset,
}

/// A TLS connection of which the test decides every byte.
pub struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
    received: Vec<u8>,
}

/// A response, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a response is expected to consist of: that depends on the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    WithBody,
    /// The answer to HEAD.
    HeadOnly,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let mut tcp = connect_plain(address)?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Client { tls, tcp, received: Vec::new() })
    }

    pub fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The certificate that the server has shown, as DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.tls.peer_certificates().unwrap()[0].to_vec()
    }

    /// Asserts that the log says once which limit this connection has met, and nothing of another.
    pub fn assert_limit_named(&self, limit: &str) {
        assert_limit_named(self.address(), limit);
    }

    /// Asserts that the log names this limit, once or more, and no other.
    pub fn assert_each_limit_named(&self, limit: &str) {
        let lines = limits_named(self.address());
        let named = |line: &String| line.contains(&format!("(limit {limit})"));
        assert!(!lines.is_empty() && lines.iter().all(named), "{limit}: {lines:?}");
    }

    /// Waits until the log says so.
    pub fn wait_for_limit(&self, limit: &str) {
        let deadline = Instant::now() + SAFETY;
        while limits_named(self.address()).is_empty() {
            assert!(Instant::now() < deadline, "nothing about {limit}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.assert_limit_named(limit);
    }

    /// Sends all in one write, in records as large as they may be.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut wire = Vec::new();
        for piece in bytes.chunks(16 * 1024) {
            self.tls.writer().write_all(piece)?;
            while self.tls.wants_write() {
                self.tls.write_tls(&mut wire)?;
            }
            if wire.len() > 256 * 1024 {
                self.tcp.write_all(&wire)?;
                wire.clear();
            }
        }
        self.tcp.write_all(&wire)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("the server takes what is sent");
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(get(path));
        self.reply()
    }

    /// The next response, its framing checked.
    pub fn reply(&mut self) -> Reply {
        self.try_reply(Shape::WithBody).unwrap_or_else(|end| {
            panic!("the connection ended ({end:?}) after {:?}", String::from_utf8_lossy(&self.received))
        })
    }

    /// The next response, or how the connection ended before the response did.
    pub fn try_reply(&mut self, shape: Shape) -> Result<Reply, End> {
        let head = self.take_until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("a response's head is ASCII here");
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap();
        assert!(status_line.starts_with("HTTP/1.1 ") && status_line.len() >= 13, "{status_line:?}");
        let status: u16 = status_line[9..12].parse().unwrap();
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
            .collect();
        let mut reply = Reply { status, fields, body: Vec::new() };
        let length = reply.field("content-length").map(|value| value.parse::<usize>().unwrap());
        let chunked = reply.field("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()), "framed twice: {reply:?}");
        let bodiless = status < 200 || status == 204 || status == 304;
        assert!(!(bodiless && (chunked || length.is_some())), "framed without a body: {reply:?}");
        if bodiless || shape == Shape::HeadOnly {
            return Ok(reply);
        }
        if chunked {
            assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
            loop {
                let line = String::from_utf8(self.take_until(b"\r\n")?).unwrap();
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                let piece = self.take(size + 2)?;
                assert!(piece.ends_with(b"\r\n"));
                reply.body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    return Ok(reply);
                }
            }
        }
        reply.body = match length {
            Some(length) => self.take(length)?,
            None => {
                assert_eq!(reply.field("connection"), Some("close"), "where does it end? {reply:?}");
                match self.rest() {
                    (rest, End::Goodbye) => rest,
                    (_, end) => return Err(end),
                }
            }
        };
        Ok(reply)
    }

    /// All that comes until the connection ends, and how it ends.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.receive() {
                return (std::mem::take(&mut self.received), end);
            }
        }
    }

    /// Asserts that the server closes on purpose and says nothing more.
    pub fn expect_goodbye(&mut self) {
        let (rest, end) = self.rest();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Goodbye));
    }

    /// All that comes until this mark, the mark included.
    pub fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        let mut from = 0;
        loop {
            if let Some(at) = self.received[from..].windows(mark.len()).position(|window| window == mark) {
                return self.take(from + at + mark.len());
            }
            from = self.received.len().saturating_sub(mark.len() - 1);
            self.receive()?;
        }
    }

    /// So many bytes of what comes.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, End> {
        while self.received.len() < length {
            self.receive()?;
        }
        let rest = self.received.split_off(length);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// Reads once, whatever comes.
    pub fn receive(&mut self) -> Result<(), End> {
        loop {
            let mut piece = [0; 16 * 1024];
            match self.tls.reader().read(&mut piece) {
                Ok(0) => return Err(End::Goodbye),
                Ok(read) => {
                    self.received.extend_from_slice(&piece[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(End::Cut),
                Err(error) => panic!("reading plaintext: {error}"),
            }
            match self.tls.read_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(End::Reset),
                Err(error) => panic!("waiting for the server: {error}"),
            }
            self.tls.process_new_packets().expect("the server speaks TLS");
        }
    }

    /// Drops what has come and was not looked at.
    pub fn forget(&mut self) {
        self.received.clear();
    }

    /// Whether nothing has come after this long.
    pub fn stays_silent_for(&mut self, time: Duration) -> bool {
        self.tcp.set_read_timeout(Some(time)).unwrap();
        let peeked = self.tcp.peek(&mut [0]);
        self.tcp.set_read_timeout(Some(SAFETY)).unwrap();
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends this and, in the same write, the alert that nothing more will come. TCP stays open both ways.
    pub fn send_last(&mut self, bytes: impl AsRef<[u8]>) {
        let mut wire = Vec::new();
        self.tls.writer().write_all(bytes.as_ref()).unwrap();
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).unwrap();
        }
        self.tcp.write_all(&wire).unwrap();
    }

    /// Changes the keys that it sends with, and asks the server to do the same (RFC 8446 §4.6.3).
    pub fn update_keys(&mut self) {
        self.tls.refresh_traffic_keys().unwrap();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    /// Says that nothing more will be sent, in TLS and in TCP; the other direction stays open.
    pub fn finish(&mut self) {
        self.tls.send_close_notify();
        let said = (|| {
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.tcp)?;
            }
            self.tcp.shutdown(Shutdown::Write)
        })();
        // The server waits for this only so long, and then there is nobody left to say it to.
        let gone = [ErrorKind::NotConnected, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(said.is_ok() || said.is_err_and(|error| gone.contains(&error.kind())));
    }

    /// As `finish`, in TCP alone, as a program does that ends.
    pub fn leave(&mut self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    pub fn reset(self) {
        reset(self.tcp);
    }

    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

/// Ends a connection with a reset.
pub fn reset(tcp: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).unwrap();
    drop(tcp);
}

impl Reply {
    /// The only value of a field; panics when there are two.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        first
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// The problem document that it is, its status checked.
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string(), "{problem}");
        problem
    }
}

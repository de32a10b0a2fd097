//! A blocking client: it checks a server, opens idle connections and times new ones. Also the parts that every client of
//! the benchmark shares: the TLS configuration, and the reader of responses.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

use crate::{x25519mlkem768, Outcome};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Whether clients offer AES-256-GCM first, as OpenSSL and rustls do, and not AES-128-GCM, as browsers do. Set by the
/// command line.
pub static AES_256_FIRST: AtomicBool = AtomicBool::new(false);

/// What the client offers first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyExchange {
    X25519,
    X25519MlKem768,
}

/// The client's side of TLS: TLS 1.3, the key exchange first, http/1.1, and cipher suites in the order of browsers. Nearly every
/// server here follows this order or has the same one, so they do the same cryptography.
pub fn tls(
    certificate: &CertificateDer<'static>,
    key_exchange: KeyExchange,
    resumption: Resumption,
) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let usual = ring::default_provider();
    let mut provider = CryptoProvider {
        cipher_suites: if AES_256_FIRST.load(Ordering::Relaxed) {
            usual.cipher_suites
        } else {
            vec![
                ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
                ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
                ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ]
        },
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1],
        ..usual
    };
    if key_exchange == KeyExchange::X25519MlKem768 {
        provider.kx_groups.insert(0, x25519mlkem768::GOOD);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = resumption;
    Ok(Arc::new(config))
}

/// How many threads open connections.
const OPENERS: usize = 2;

/// Opens that many connections.
pub fn open<T: Send>(wanted: usize, one: impl Fn() -> Outcome<T> + Sync) -> Outcome<Vec<T>> {
    let mut all = Vec::with_capacity(wanted);
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|part| {
                let count = wanted / OPENERS + usize::from(part < wanted % OPENERS);
                let one = &one;
                scope.spawn(move || (0..count).map(|_| one()).collect::<Outcome<Vec<T>>>())
            })
            .collect();
        for opener in openers {
            all.extend(opener.join().map_err(|_| "an opener panicked")??);
        }
        Ok(all)
    })
}

pub fn name() -> ServerName<'static> {
    // It is a name.
    ServerName::try_from("localhost").expect("localhost")
}

/// A response as far as it has arrived.
#[derive(Default)]
pub struct Response {
    head: Vec<u8>,
    body: Body,
    /// Whether the body may go on until the connection ends (RFC 9112 §6.3), as a stream does.
    is_stream: bool,
}

/// What is still to come.
#[derive(Default)]
enum Body {
    /// The head is not complete.
    #[default]
    Unknown,
    Length(usize),
    /// RFC 9112 §7.1, without extensions and trailers.
    Chunks(Chunk),
}

enum Chunk {
    /// Its size, as far as the line has come.
    Size { size: usize, digits: usize },
    /// The rest of it, with the CRLF behind it.
    Data(usize),
    /// The CRLF behind the last, which is empty.
    End(usize),
}

impl Response {
    /// A response whose body may go on until the connection ends.
    pub fn stream() -> Response {
        Response { is_stream: true, ..Response::default() }
    }

    /// Takes bytes; returns how many of them belong to this response, and whether it is complete. An error is an error, and so is
    /// a response without a length and without chunks.
    pub fn take(&mut self, bytes: &[u8]) -> Outcome<(usize, bool)> {
        self.take_into(bytes, &mut None)
    }

    /// Whether the head has come whole, and the body has not.
    pub fn has_begun(&self) -> bool {
        !matches!(self.body, Body::Unknown)
    }

    /// As `take`, and keeps the content of the body.
    pub fn take_into(&mut self, bytes: &[u8], kept: &mut Option<Vec<u8>>) -> Outcome<(usize, bool)> {
        let mut taken = 0;
        if let Body::Unknown = self.body {
            // Most heads arrive whole, and are not copied.
            if self.head.is_empty() {
                match find_end(bytes, 0) {
                    Some(end) => (taken, self.body) = (end, body_of(&bytes[..end], self.is_stream)?),
                    None => {
                        self.head.extend_from_slice(bytes);
                        return Ok((bytes.len(), false));
                    }
                }
            } else {
                let before = self.head.len();
                self.head.extend_from_slice(bytes);
                let Some(end) = find_end(&self.head, before.saturating_sub(3)) else {
                    return Ok((bytes.len(), false));
                };
                (taken, self.body) = (end - before, body_of(&self.head[..end], self.is_stream)?);
                self.head.clear();
            }
        }
        let mut keep = |piece: &[u8]| {
            if let Some(kept) = kept {
                kept.extend_from_slice(piece);
            }
        };
        let complete = match &mut self.body {
            Body::Unknown => false,
            Body::Length(left) => {
                let piece = (*left).min(bytes.len() - taken);
                keep(&bytes[taken..taken + piece]);
                taken += piece;
                *left -= piece;
                *left == 0
            }
            Body::Chunks(chunk) => {
                let mut complete = false;
                while taken < bytes.len() && !complete {
                    taken += chunk.take(&bytes[taken..], &mut keep, &mut complete)?;
                }
                complete
            }
        };
        if complete {
            self.body = Body::Unknown;
        }
        Ok((taken, complete))
    }
}

impl Chunk {
    /// Takes a part of these bytes, and returns how many.
    fn take(&mut self, bytes: &[u8], keep: &mut impl FnMut(&[u8]), complete: &mut bool) -> Outcome<usize> {
        match self {
            Chunk::Size { size, digits } => {
                match (bytes[0] as char).to_digit(16) {
                    Some(digit) => (*size, *digits) = (*size * 16 + digit as usize, *digits + 1),
                    None if bytes[0] == b'\r' => {}
                    None if bytes[0] == b'\n' && *digits > 0 => {
                        *self = if *size == 0 { Chunk::End(2) } else { Chunk::Data(*size + 2) };
                    }
                    None => return Err("not a chunk".into()),
                }
                Ok(1)
            }
            Chunk::Data(left) => {
                let piece = (*left).min(bytes.len());
                // The last two bytes are CRLF.
                keep(&bytes[..piece.min(left.saturating_sub(2))]);
                *left -= piece;
                if *left == 0 {
                    *self = Chunk::Size { size: 0, digits: 0 };
                }
                Ok(piece)
            }
            Chunk::End(left) => {
                *left -= 1;
                *complete = *left == 0;
                Ok(1)
            }
        }
    }
}

fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4)
}

/// The body that a head speaks of.
fn body_of(head: &[u8], is_stream: bool) -> Outcome<Body> {
    let is_good = [&b"HTTP/1.1 20"[..], b"HTTP/1.1 304 "].iter().any(|start| head.starts_with(start));
    if !is_good {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(format!("it answers {}", String::from_utf8_lossy(line)).into());
    }
    let status = &head[9..12];
    if status == b"304" || status == b"204" {
        return Ok(Body::Length(0));
    }
    if let Some(length) = field(head, "content-length") {
        return Ok(Body::Length(length.parse()?));
    }
    match field(head, "transfer-encoding") {
        Some("chunked") => Ok(Body::Chunks(Chunk::Size { size: 0, digits: 0 })),
        None if is_stream => Ok(Body::Length(usize::MAX)),
        _ => Err("a response without Content-Length and without chunks".into()),
    }
}

/// The value of a field of a head.
fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    let line = head.split(|&byte| byte == b'\n').find(|line| {
        line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    })?;
    Some(std::str::from_utf8(&line[name.len() + 1..]).ok()?.trim())
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    pub fn connect(port: u16, config: &Arc<ClientConfig>) -> Outcome<Client> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let connection = ClientConnection::new(config.clone(), name())?;
        Ok(Client { stream: StreamOwned::new(connection, socket) })
    }

    /// Sends a request whose response somebody else reads.
    pub fn begin(mut self, request: &[u8]) -> Outcome<(ClientConnection, TcpStream)> {
        self.send(request)?;
        let (tls, tcp) = self.stream.into_parts();
        Ok((tls, tcp))
    }

    fn send(&mut self, request: &[u8]) -> Outcome<()> {
        self.stream.write_all(request)?;
        Ok(self.stream.flush()?)
    }

    /// Sends a request, and reads its response to the end.
    pub fn ask(&mut self, request: &[u8]) -> Outcome<Answer> {
        self.send(request)?;
        let mut response = Response::default();
        let (mut all, mut body) = (Vec::new(), Some(Vec::new()));
        let mut piece = [0; 16 * 1024];
        loop {
            let read = match self.stream.read(&mut piece) {
                Ok(0) => return Err("closed in the middle of a response".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let (taken, complete) = response.take_into(&piece[..read], &mut body)?;
            all.extend_from_slice(&piece[..taken]);
            if complete {
                let end = find_end(&all, 0).ok_or("a response without an end of its head")?;
                let status = std::str::from_utf8(&all[9..12])?.parse()?;
                let etag = field(&all[..end], "etag").map(str::to_string);
                return Ok(Answer { status, etag, body: body.unwrap_or_default() });
            }
        }
    }

    /// Checks that the connection has TLS 1.3, and http/1.1 if the server chose a protocol. Returns the cipher suite.
    pub fn check(&self) -> Outcome<&'static str> {
        let connection = &self.stream.conn;
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(format!("it speaks {:?}", connection.protocol_version()).into());
        }
        match connection.alpn_protocol() {
            None | Some(b"http/1.1") => {
                let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
                Ok(suite.unwrap_or("?"))
            }
            Some(other) => Err(format!("it agreed on {}", String::from_utf8_lossy(other)).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_told_apart_however_they_are_cut() {
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n00b\r\n0123456789\r\r\n0\r\n\r\n";
        let nothing = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n";
        let all = [&length[..], chunks, nothing, length].concat();
        for cut in 0..all.len() {
            let mut response = Response::default();
            let (mut complete, mut bodies) = (0, Some(Vec::new()));
            for mut piece in [&all[..cut], &all[cut..]] {
                while !piece.is_empty() {
                    let (taken, done) = response.take_into(piece, &mut bodies).unwrap();
                    piece = &piece[taken..];
                    complete += usize::from(done);
                }
            }
            assert_eq!(complete, 4, "cut at {cut}");
            assert_eq!(bodies.unwrap(), b"abca0123456789\rabc", "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_may_go_on_until_its_connection_ends() {
        let mut stream = Response::stream();
        for (piece, has_begun) in [("HTTP/1.1 200 OK\r\n", false), ("\r\n", true), (": hi\n\n", true)] {
            assert_eq!(stream.take(piece.as_bytes()).unwrap(), (piece.len(), false));
            assert_eq!(stream.has_begun(), has_begun);
        }
        assert!(Response::stream().take(b"HTTP/1.1 403 Forbidden\r\n\r\n").is_err());
    }

    #[test]
    fn an_error_is_not_counted() {
        for head in ["503 Busy\r\nContent-Length: 0", "200 OK", "200 OK\r\nTransfer-Encoding: gzip"] {
            assert!(Response::default().take(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).is_err());
        }
    }
}

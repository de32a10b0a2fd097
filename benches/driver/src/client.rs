//! A blocking client: it checks a server, opens idle connections and times new ones. Also the parts that every client of
//! the benchmark shares: the TLS configuration, and the reader of responses.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
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

pub fn name() -> ServerName<'static> {
    // It is a name.
    ServerName::try_from("localhost").expect("localhost")
}

/// A response as far as it has arrived.
#[derive(Default)]
pub struct Response {
    head: Vec<u8>,
    /// `None` while the head is not complete.
    left: Option<usize>,
}

impl Response {
    /// Takes bytes; returns how many of them belong to this response, and whether it is complete. Everything but a 200 with
    /// a Content-Length is an error.
    pub fn take(&mut self, bytes: &[u8]) -> Outcome<(usize, bool)> {
        let (taken, left) = match self.left {
            Some(left) => (0, left),
            // Most heads arrive whole, and are not copied.
            None if self.head.is_empty() => match find_end(bytes, 0) {
                Some(end) => (end, content_length(&bytes[..end])?),
                None => {
                    self.head.extend_from_slice(bytes);
                    return Ok((bytes.len(), false));
                }
            },
            None => {
                let before = self.head.len();
                self.head.extend_from_slice(bytes);
                let Some(end) = find_end(&self.head, before.saturating_sub(3)) else {
                    return Ok((bytes.len(), false));
                };
                let length = content_length(&self.head[..end])?;
                self.head.clear();
                (end - before, length)
            }
        };
        let body = left.min(bytes.len() - taken);
        self.left = (left > body).then_some(left - body);
        Ok((taken + body, left == body))
    }
}

fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4)
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    if !head.starts_with(b"HTTP/1.1 200 ") {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(format!("not a 200: {}", String::from_utf8_lossy(line)).into());
    }
    let name = b"content-length:";
    let line = head
        .split(|&byte| byte == b'\n')
        .find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        .ok_or("a response without Content-Length")?;
    Ok(std::str::from_utf8(&line[name.len()..])?.trim().parse()?)
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

    /// Sends a request, reads its response to the end, and returns the body.
    pub fn ask(&mut self, request: &[u8]) -> Outcome<Vec<u8>> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        let mut response = Response::default();
        let mut all = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            let read = match self.stream.read(&mut piece) {
                Ok(0) => return Err("closed in the middle of a response".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let (taken, complete) = response.take(&piece[..read])?;
            all.extend_from_slice(&piece[..taken]);
            if complete {
                let end = find_end(&all, 0).ok_or("a response without an end of its head")?;
                return Ok(all.split_off(end));
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
        let one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        let all = [&one[..], &one[..]].concat();
        for cut in 0..all.len() {
            let mut response = Response::default();
            let mut complete = 0;
            for mut piece in [&all[..cut], &all[cut..]] {
                while !piece.is_empty() {
                    let (taken, done) = response.take(piece).unwrap();
                    piece = &piece[taken..];
                    complete += usize::from(done);
                }
            }
            assert_eq!(complete, 2, "cut at {cut}");
        }
    }

    #[test]
    fn an_error_is_not_counted() {
        assert!(Response::default().take(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}

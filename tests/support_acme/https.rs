//! The HTTPS that the tests need: a client that sends one request, and a server that answers one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::authority::Pair;
use super::SAFETY;

pub fn trusting(roots: &[CertificateDer<'static>]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

pub fn roots_in(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap).collect()
}

/// Sends a whole request and reads the whole answer; an error when it cannot be reached.
pub fn exchange(port: u16, ca: &Path, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_read_timeout(Some(SAFETY))?;
    let config = Arc::new(trusting(&roots_in(ca)));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), tcp);
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The body of what is there.
pub fn get(port: u16, ca: &Path, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(exchange(port, ca, request.as_bytes())?).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    Ok(body.to_string())
}

/// A request as it came.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    /// All of it.
    pub raw: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let head = std::str::from_utf8(&self.raw[..self.raw.len() - self.body.len()]).unwrap();
        let start = format!("{name}: ");
        head.lines().find_map(|line| line.strip_prefix(&start)).unwrap()
    }
}

/// Serves on a free port until the process ends; the bytes that `answer` gives are the whole answer, none an end without.
pub fn serve(pair: &Pair, answer: impl Fn(Request) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!("it was bound to one") };
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let (config, answer) = (config.clone(), answer.clone());
            thread::spawn(move || {
                let tcp = tcp.unwrap();
                tcp.set_read_timeout(Some(SAFETY)).unwrap();
                let mut stream =
                    BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp));
                // A client that is killed in the middle is part of the game.
                let Some(request) = read_request(&mut stream) else { return };
                let bytes = answer(request);
                let stream = stream.get_mut();
                let _ = stream.write_all(&bytes);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    address.port()
}

fn read_request(stream: &mut impl BufRead) -> Option<Request> {
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut raw).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(raw.clone()).ok()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    raw.extend_from_slice(&body);
    Some(Request { method, path, body, raw })
}

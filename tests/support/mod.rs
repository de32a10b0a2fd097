//! A server in this process over real loopback sockets, and a client that sends exactly the bytes it is told to. Every
//! read and write of the client has a time limit, so that a server that hangs fails the test.
// Each test binary uses its own part.
#![allow(dead_code, unused_imports)]

mod client;
mod gate;
mod log;

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lockgate::{Error, Handle, Identity, Limits, Router, Running, Server, ServerBuilder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

pub use client::{connect_plain, reset, Client, End, Reply, Shape};
pub use gate::Gate;
pub use log::{assert_limit_named, await_lines, lines};

/// Longer than any test: whatever ends before has not waited for it.
pub const NEVER: Duration = Duration::from_secs(3600);

/// So the server ends nothing by itself.
pub fn patient(limits: &mut Limits) {
    limits.drain_timeout = NEVER;
    limits.handshake_timeout = NEVER;
    limits.head_timeout = NEVER;
    limits.body_timeout = NEVER;
    limits.idle_timeout = NEVER;
    limits.write_timeout = NEVER;
}

/// The time after which a test has failed; nothing is expected to take anywhere near as long.
pub const SAFETY: Duration = Duration::from_secs(20);

/// The authority of this process.
fn issuer() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}

/// Who has signed the certificates that servers have here.
pub fn authority() -> CertificateDer<'static> {
    issuer().der().clone()
}

/// The same as PEM.
pub fn authority_pem() -> String {
    issuer().pem()
}

/// A certificate for localhost that the client trusts.
pub fn identity() -> Identity {
    let (certificate, key) = pem_pair(|_| {});
    Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

/// The same as PEM, changed before it is signed.
pub fn pem_pair(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, issuer()).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A server that runs; it is told to stop when this is dropped.
pub struct Serving {
    pub address: SocketAddr,
    pub redirect: SocketAddr,
    pub handle: Handle,
    running: Option<Running>,
}

pub fn serve(router: Router) -> Serving {
    serve_within(router, |_| {})
}

/// Serves within the default limits as `change` changes them.
pub fn serve_within(router: Router, change: impl FnOnce(&mut Limits)) -> Serving {
    let mut limits = Limits::default();
    change(&mut limits);
    serve_as(Server::builder(router).identity(identity()).limits(limits))
}

/// Serves what is described, on free ports of the loopback.
pub fn serve_as(builder: ServerBuilder) -> Serving {
    try_serve_as(builder).unwrap()
}

/// The same, if it can be opened.
pub fn try_serve_as(builder: ServerBuilder) -> Result<Serving, Error> {
    log::install();
    let server = builder.https("127.0.0.1:0").redirect_http("127.0.0.1:0").bind()?;
    let (address, redirect) = (server.local_addr(), server.redirect_addr().unwrap());
    let running = server.spawn().unwrap();
    Ok(Serving { address, redirect, handle: running.handle(), running: Some(running) })
}

impl Serving {
    pub fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// A connection that has not said anything yet, not even hello.
    pub fn connect_silently(&self) -> TcpStream {
        connect_plain(self.address).unwrap()
    }

    /// Asks on a connection of its own.
    pub fn get(&self, path: &str) -> Reply {
        self.connect().get(path)
    }

    /// Waits until the server has ended by itself.
    pub fn join(mut self) -> Result<(), Error> {
        self.running.take().expect("joined once").join()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Bytes without a pattern that a shift or a lost piece could repeat.
pub fn noise(length: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect()
}

/// `body` in the chunked coding, in chunks of `size` bytes.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in body.chunks(size) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

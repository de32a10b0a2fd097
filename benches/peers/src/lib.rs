//! The common parts of the peers, which differ only in the server: the arguments, the listening socket, the TLS
//! configuration and the answers.

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::ServerConfig;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The answer to GET /api/data.
pub const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;
pub const JSON: &str = "application/json";
/// The length of the answer to GET /large, in bytes.
pub const LARGE_BYTES: usize = 1024 * 1024;
/// The largest accepted body, in bytes: the benchmark's largest one, and some more.
pub const MOST_BODY_BYTES: usize = 2 * LARGE_BYTES;
/// The work of the handler of /block.
pub const BLOCK: Duration = Duration::from_millis(1);
/// Longer than the measurement of idle connections.
pub const KEEP_ALIVE: Duration = Duration::from_secs(600);

/// How many events are kept for subscribers that are behind: as many as lockgate keeps.
pub const BACKLOG: usize = 1024;

/// How much of an upload is written at a time, in bytes: as lockgate does it.
pub const PIECE_BYTES: usize = 64 * 1024;

/// The folder of the benchmark, with what is served from files. Uploads go below it.
pub fn folder() -> Outcome<PathBuf> {
    Ok(std::env::var_os("BENCH_FOLDER").ok_or("BENCH_FOLDER is not set")?.into())
}

/// A file of that folder, for as long as the program runs.
pub fn content(name: &str) -> Outcome<&'static [u8]> {
    Ok(Box::leak(fs::read(folder()?.join(name))?.into_boxed_slice()))
}

/// A name for an upload that is not complete, beside the one that it will have.
pub fn temporary(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}.part", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

pub struct Arguments {
    pub port: u16,
    pub certificate: String,
    pub key: String,
}

pub fn arguments() -> Outcome<Arguments> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, certificate, key] = arguments.as_slice() else {
        return Err("arguments: PORT CERT KEY".into());
    };
    Ok(Arguments { port: port.parse()?, certificate: certificate.clone(), key: key.clone() })
}

/// A listening socket with the same queue as lockgate's, whose connections have TCP_NODELAY: on Linux they inherit it.
pub fn listener(port: u16) -> Outcome<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    rustix::net::listen(&listener, 4096)?;
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

/// TLS 1.3 with ring and as many tickets as lockgate gives, so that this does not change the results: the default of rustls
/// is two.
pub fn tls(arguments: &Arguments) -> Outcome<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&arguments.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

pub fn large() -> &'static [u8] {
    Box::leak(vec![b'x'; LARGE_BYTES].into_boxed_slice())
}

/// The answer to POST /len.
pub fn length_of(body: &[u8]) -> String {
    serde_json::json!({"length": body.len()}).to_string()
}

/// The answer to POST /json: the number of members of the object, which is parsed whole.
pub fn members_of(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(serde_json::json!({"members": value.as_object()?.len()}).to_string())
}

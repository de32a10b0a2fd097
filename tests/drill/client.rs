//! The drills' client: blocking, one connection each; it misbehaves where a drill asks for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A hang is a failure, and this is when it shows.
const PATIENCE: Duration = Duration::from_secs(20);

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Where the server is and how it is trusted.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// A response, as far as the drills care.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Target {
    pub fn new(address: SocketAddr, root: CertificateDer<'static>) -> Target {
        let mut roots = RootCertStore::empty();
        roots.add(root).expect("the root is a certificate");
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("ring speaks TLS 1.3")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Target { address, config: Arc::new(config) }
    }

    pub fn tcp(&self) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        Ok(tcp)
    }

    /// A connection whose handshake is done.
    pub fn tls(&self) -> io::Result<Tls> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, self.tcp()?);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }
}

/// Sends a request and reads its response whole.
pub fn exchange(tls: &mut Tls, request: &[u8]) -> io::Result<Reply> {
    tls.write_all(request)?;
    tls.flush()?;
    read_reply(tls)
}

pub fn get(tls: &mut Tls, path: &str) -> io::Result<Reply> {
    exchange(tls, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

pub fn read_reply(tls: &mut Tls) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let mut more = |bytes: &mut Vec<u8>| -> io::Result<()> {
        match tls.read(&mut piece)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                bytes.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    };
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a response without Content-Length"))?;
    while bytes.len() < head_end + length {
        more(&mut bytes)?;
    }
    let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok(Reply { status, head, body: bytes.split_off(head_end) })
}

/// Ends a connection with a reset.
pub fn reset(tcp: &TcpStream) {
    // When it fails the connection ends with a FIN, which is one more way to go.
    let _ = rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
}

//! A TLS client of the board, with a clock of its own: the board's clock is set to other years.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longer than an answer takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

const REQUEST: &[u8] = b"GET /api/data HTTP/1.1\r\nHost: gateway.local\r\n\r\n";
const BODY: &[u8] = br#"{"message":"Secure data over HTTPS"}"#;

/// A clock that stands still, in seconds since 1970.
#[derive(Debug)]
struct Clock(u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// A connection after its handshake, in which the certificate was verified.
pub struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connects to a port of the loopback, as a client that trusts this CA alone and whose clock shows this.
    pub fn connect(port: u16, ca: &CertificateDer<'static>, clock: u64, name: &str) -> io::Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(Clock(clock)))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from(name.to_string()).expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client(stream))
    }

    /// Sends a request, whose answer must be the right one if there is an answer.
    pub fn get(&mut self) -> io::Result<()> {
        self.0.write_all(REQUEST)?;
        self.0.flush()?;
        let mut answer = Vec::new();
        while !answer.ends_with(BODY) {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            answer.push(byte[0]);
            assert!(answer.len() < 1024, "{}", String::from_utf8_lossy(&answer));
            // Said at once, because the body that is waited for never comes in another answer, such as a 503.
            let is_head = answer.ends_with(b"\r\n\r\n");
            let is_ok = answer.starts_with(b"HTTP/1.1 200 OK\r\n");
            assert!(!is_head || is_ok, "{}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    }

    /// Its socket, to end it from elsewhere.
    pub fn socket(&self) -> TcpStream {
        self.0.sock.try_clone().expect("a second descriptor")
    }

    /// The certificate that the board has shown.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("it was verified")[0].to_vec()
    }
}

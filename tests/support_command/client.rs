//! A client for what no program does: it sends parts of requests, and observes how the connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::Pair;
use super::SAFETY;

/// A TLS connection to a port of the loopback.
pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    /// Connects, and performs the handshake, which must succeed with this authority trusted.
    pub fn connect(port: u16, authority: &CertificateDer<'static>) -> Client {
        Client::behind(tcp(port), b"", authority)
    }

    /// Over a connection that is there.
    pub fn over(tcp: TcpStream, authority: &CertificateDer<'static>) -> Client {
        Client::behind(tcp, b"", authority)
    }

    /// The same with these bytes in front of the first ones of TLS, all of them at once.
    pub fn behind(tcp: TcpStream, before: &[u8], authority: &CertificateDer<'static>) -> Client {
        Client::with(tcp, before, authority, None)
    }

    /// The same with a certificate of its own, if it has one.
    pub fn with(
        mut tcp: TcpStream,
        before: &[u8],
        authority: &CertificateDer<'static>,
        own: Option<&Pair>,
    ) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
                config.with_client_auth_cert(vec![pair.der.clone()], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut first = before.to_vec();
        connection.write_tls(&mut first).unwrap();
        tcp.write_all(&first).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Client { stream }
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.sock.local_addr().unwrap()
    }

    /// The next response, its head and its body; its length must be declared.
    pub fn response(&mut self) -> (String, String) {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or_else(|| panic!("{head}")).parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Waits until the server wants the body of a request that expects to be told.
    #[track_caller]
    pub fn expect_continue(&mut self) {
        assert_eq!(self.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    }

    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if let Err(error) = self.stream.read_exact(&mut byte) {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head));
            }
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Asks for the one thing there is, which must be given.
    #[track_caller]
    pub fn get(&mut self) {
        self.send("GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = self.response();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, super::BODY);
    }

    /// Waits for the connection's end, which must be announced (close_notify).
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        assert!(matches!(read, Ok(0)), "{read:?}: {}", String::from_utf8_lossy(&rest));
    }

    /// Waits until the connection is cut, announced or not.
    #[track_caller]
    pub fn expect_cut(&mut self) {
        match self.stream.read_to_end(&mut Vec::new()) {
            Ok(0) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A connection without TLS to a port of the loopback.
pub fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SAFETY)).unwrap();
    stream.set_write_timeout(Some(SAFETY)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

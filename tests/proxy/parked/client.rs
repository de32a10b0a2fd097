//! A client over TLS of which every piece is a record, and an end that does not come is a hang.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::SAFETY;

pub struct Client {
    tls: ClientConnection,
    pub tcp: TcpStream,
    pub received: Vec<u8>,
}

impl Client {
    /// Connects from this address.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>, own: Ipv4Addr) -> Client {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((own, 0))).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        let mut tcp = TcpStream::from(socket);
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        tcp.set_write_timeout(Some(SAFETY)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config.clone(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).expect("the server shakes hands");
        }
        Client { tls, tcp, received: Vec::new() }
    }

    /// Sends a piece in one write, as one record.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(bytes)?;
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire)?;
        }
        self.tcp.write_all(&wire)
    }

    /// Waits for more. Returns whether there may be any.
    pub fn more(&mut self) -> bool {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("the server hangs after {}", self.received.escape_ascii())
            }
            // By a signal, such as the fuzzer's timer.
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            // What was sent to a server that had closed.
            Err(_) => return false,
        }
        self.tls.process_new_packets().expect("the server speaks TLS");
        match self.tls.reader().read_to_end(&mut self.received) {
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

//! A backend that the test plays itself: it reads what has come, byte for byte, and writes what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lockgate::Proxy;

use crate::support::SAFETY;

/// Where it listens.
pub struct Tap {
    listener: TcpListener,
}

/// A connection of the proxy to it.
pub struct Tapped {
    pub tcp: TcpStream,
    come: Vec<u8>,
}

impl Tap {
    pub fn new() -> Tap {
        Tap { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// With so little room for what comes.
    pub fn narrow() -> Tap {
        let tap = Tap::new();
        rustix::net::sockopt::set_socket_recv_buffer_size(&tap.listener, 4096).unwrap();
        tap
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub fn proxy(&self) -> Proxy {
        Proxy::to(&self.url()).unwrap()
    }

    pub fn accept(&self) -> Tapped {
        self.listener.set_nonblocking(true).unwrap();
        let until = Instant::now() + SAFETY;
        let tcp = loop {
            match self.listener.accept() {
                Ok((tcp, _)) => break tcp,
                Err(error) => assert!(Instant::now() < until, "nobody connects: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        tcp.set_nonblocking(false).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        tcp.set_write_timeout(Some(SAFETY)).unwrap();
        tcp.set_nodelay(true).unwrap();
        Tapped { tcp, come: Vec::new() }
    }

    /// Whether nobody has connected.
    pub fn is_left_alone(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_err()
    }
}

impl Tapped {
    /// Reads once. `false` at the end, however that comes.
    fn receive(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        match self.tcp.read(&mut piece) {
            Ok(read) => {
                self.come.extend_from_slice(&piece[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} behind {:?}", String::from_utf8_lossy(&self.come)),
        }
    }

    /// The head of the next request, in lower case.
    pub fn head(&mut self) -> String {
        self.head_as_sent().to_ascii_lowercase()
    }

    pub fn head_as_sent(&mut self) -> String {
        loop {
            if let Some(at) = self.come.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.come.drain(..at + 4).collect()).unwrap();
            }
            assert!(self.receive(), "no head: {:?}", String::from_utf8_lossy(&self.come));
        }
    }

    /// Asserts that these bytes come next.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        while self.come.len() < bytes.len() {
            assert!(self.receive(), "only {:?}", String::from_utf8_lossy(&self.come));
        }
        let come: Vec<_> = self.come.drain(..bytes.len()).collect();
        assert!(come == bytes, "{:?}", String::from_utf8_lossy(&come));
    }

    /// Asserts that nothing has come that is not read.
    pub fn expect_nothing_yet(&mut self) {
        self.tcp.set_nonblocking(true).unwrap();
        let read = self.tcp.read(&mut [0]);
        self.tcp.set_nonblocking(false).unwrap();
        assert!(self.come.is_empty(), "{:?}", String::from_utf8_lossy(&self.come));
        assert!(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }

    /// All that comes until the end.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.come)
    }

    /// All that has come in one read.
    pub fn once(&mut self) -> Vec<u8> {
        self.receive();
        std::mem::take(&mut self.come)
    }

    pub fn say(&mut self, text: impl AsRef<[u8]>) {
        self.tcp.write_all(text.as_ref()).unwrap();
    }

    /// Answers with a 200 with this body.
    pub fn ok(&mut self, body: &str) {
        self.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
}

//! The HTTPS client for authorities: HTTP/1.1 over TLS, one request per connection, on the calling thread. Everything is
//! bounded: each phase by a deadline that a slow peer cannot prolong, and the answer by its size. Redirects are not followed. A
//! request to stop ends every wait.
//!
//! Knows sockets, rustls and httparse; nothing of ACME. Called by `session` and `ari`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::foreign::clean;
use super::stop::Stop;
use crate::error::AcmeFault;
use crate::http::chunked::{Decoder, Found};
use crate::tls::provider;
use crate::url::Url;

/// The time for looking up the name and connecting.
const CONNECT: Duration = Duration::from_secs(10);
/// The time for the TLS handshake and the request.
const SEND: Duration = Duration::from_secs(10);
/// The time from the request's last byte to the answer's last byte. Authorities can take long to answer.
const RECEIVE: Duration = Duration::from_secs(30);
/// How soon a wait for the network notices a request to stop.
const HEED: Duration = Duration::from_millis(200);

/// The most bytes of the answer's head.
const HEAD_BYTES: usize = 32 * 1024;
const HEAD_FIELDS: usize = 100;
/// The most bytes of the answer's body. The largest bodies are certificate chains, of a few kilobytes.
const BODY_BYTES: usize = 512 * 1024;

/// A client for every host whose certificate leads to one of the roots.
pub(super) struct Https {
    config: Arc<ClientConfig>,
    stop: Stop,
    /// Held by a running look-up, so that a resolver that never answers blocks only one thread.
    connecting: Arc<()>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    Get,
    Head,
    /// A JWS (RFC 8555 §6.2).
    Post(&'a [u8]),
}

/// An answer, of any status.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    #[cfg(test)]
    pub(super) fn new(status: u16, fields: Vec<(String, String)>) -> Reply {
        Reply { status, fields, body: Vec::new() }
    }

    pub(super) fn field(&self, name: &'static str) -> Option<&str> {
        self.fields(name).next()
    }

    /// All values under a name, which is in lower case.
    pub(super) fn fields(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| &**value)
    }
}

impl Https {
    pub(super) fn new(roots: RootCertStore, stop: Stop) -> Result<Https, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Https { config: Arc::new(config), stop, connecting: Arc::new(()) })
    }

    /// Sends a request, and reads the whole answer.
    pub(super) fn ask(&self, text: &str, ask: Ask<'_>) -> Result<Reply, AcmeFault> {
        let url = Url::parse_https(text)
            .map_err(|what| AcmeFault::Unexpected { url: clean(text), what: format!("this URL {what}") })?;
        self.exchange(&url, ask).map_err(|source| match self.stop.is_set() {
            true => AcmeFault::Stopped,
            false => AcmeFault::Unreachable { url: text.to_string(), source: in_one_line(source) },
        })
    }

    fn exchange(&self, url: &Url, ask: Ask<'_>) -> io::Result<Reply> {
        let name = ServerName::try_from(url.host.bare()).map_err(io::Error::other)?;
        let tcp = self.connect(url)?;
        tcp.set_nodelay(true)?;
        let tls = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        let socket = Socket { tcp, deadline: Instant::now() + SEND, stop: self.stop.clone() };
        let mut stream = StreamOwned::new(tls, socket);
        let head = request_head(url, ask);
        stream.write_all(head.as_bytes())?;
        if let Ask::Post(body) = ask {
            stream.write_all(body)?;
        }
        stream.flush()?;
        stream.sock.deadline = Instant::now() + RECEIVE;
        let reply = read_reply(&mut stream, matches!(ask, Ask::Head))?;
        // A failure does not matter, because the answer is complete.
        stream.conn.send_close_notify();
        let _ = stream.flush();
        Ok(reply)
    }

    /// A look-up and a connect cannot be interrupted, so another thread does them, and this one waits for it or for a stop.
    fn connect(&self, url: &Url) -> io::Result<TcpStream> {
        if Arc::strong_count(&self.connecting) > 1 {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                "the name look-up from before has still not ended",
            ));
        }
        let deadline = Instant::now() + CONNECT;
        let (host, port, busy) = (url.host.bare(), url.port, self.connecting.clone());
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("lockgate-acme-connect".into()).spawn(move || {
            let connected = connect_to(&host, port, deadline);
            drop(busy);
            // If the receiver has given up, the connection is closed here.
            let _ = sender.send(connected);
        })?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left.min(HEED)) {
                Ok(connected) => return connected,
                Err(mpsc::RecvTimeoutError::Timeout) if self.stop.is_set() => return Err(stopped()),
                Err(mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return Err(io::Error::new(ErrorKind::TimedOut, "no connection within 10 s")),
            }
        }
    }
}

/// Tries one address after the other, while there is time.
fn connect_to(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left.min(CONNECT / 2)) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn request_head(url: &Url, ask: Ask<'_>) -> String {
    let method = match ask {
        Ask::Get => "GET",
        Ask::Head => "HEAD",
        Ask::Post(_) => "POST",
    };
    // RFC 8555 §6.1: clients must name themselves, and should name their users' language.
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: lockgate/{}\r\nAccept-Language: en\r\nConnection: close\r\n",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    if let Ask::Post(body) = ask {
        head.push_str(&format!("Content-Type: application/jose+json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    head
}

/// How the answer's end is found (RFC 9112 §6.3).
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

fn read_reply(stream: &mut impl Read, is_head: bool) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let (end, mut reply) = loop {
        match parse_head(&bytes)? {
            // An interim answer (RFC 9110 §15.2); the real one follows.
            Some((end, reply)) if reply.status < 200 => drop(bytes.drain(..end)),
            Some(whole) => break whole,
            None if bytes.len() >= HEAD_BYTES => return Err(invalid("the answer's head is over 32 KiB")),
            None => {
                if !read_more(stream, &mut bytes)? {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
    };
    bytes.drain(..end);
    let framing = match is_head || matches!(reply.status, 204 | 304) {
        true => Framing::Length(0),
        false => framing(&reply)?,
    };
    match framing {
        Framing::Length(length) => {
            while bytes.len() < length {
                if !read_more(stream, &mut bytes)? {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            bytes.truncate(length);
        }
        Framing::Chunked => bytes = read_chunks(stream, bytes)?,
        // rustls distinguishes a proper end from a cut connection.
        Framing::UntilClose => while read_more(stream, &mut bytes)? {},
    }
    reply.body = bytes;
    Ok(reply)
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, Reply)>> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let end = match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(invalid(&format!("the answer is not HTTP ({error})"))),
    };
    let fields = head.headers.iter().map(|field| {
        let value = String::from_utf8_lossy(field.value).trim().to_string();
        (field.name.to_ascii_lowercase(), value)
    });
    let fields = fields.collect();
    Ok(Some((end, Reply { status: head.code.unwrap_or_default(), fields, body: Vec::new() })))
}

fn framing(reply: &Reply) -> io::Result<Framing> {
    if let Some(coding) = reply.field("transfer-encoding") {
        return match coding.eq_ignore_ascii_case("chunked") {
            true => Ok(Framing::Chunked),
            false => Err(invalid("the answer has a transfer coding that was not asked for")),
        };
    }
    match reply.field("content-length") {
        None => Ok(Framing::UntilClose),
        Some(length) => match length.parse() {
            Ok(length) if length <= BODY_BYTES => Ok(Framing::Length(length)),
            Ok(_) => Err(too_large()),
            Err(_) => Err(invalid("the answer's Content-Length is no number")),
        },
    }
}

fn read_chunks(stream: &mut impl Read, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut decoder = Decoder::new();
    let mut body = Vec::new();
    loop {
        let mut at = 0;
        while at < bytes.len() {
            match decoder.next(&bytes[at..]).map_err(io::Error::from)? {
                Found::Data(range) => {
                    let data = &bytes[at..][range.clone()];
                    if body.len() + data.len() > BODY_BYTES {
                        return Err(too_large());
                    }
                    body.extend_from_slice(data);
                    decoder.take(range.len());
                    at += range.end;
                }
                Found::More => at = bytes.len(),
                Found::End(_) => return Ok(body),
            }
        }
        bytes.clear();
        if !read_more(stream, &mut bytes)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Returns whether there was more.
fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    if bytes.len() > HEAD_BYTES + BODY_BYTES {
        return Err(too_large());
    }
    let mut scratch = [0; 8 * 1024];
    let read = stream.read(&mut scratch)?;
    bytes.extend_from_slice(&scratch[..read]);
    Ok(read > 0)
}

/// The error in one line, because errors of TLS may hold names of the peer's certificate.
fn in_one_line(error: io::Error) -> io::Error {
    let (said, shown) = (error.to_string(), clean(&error.to_string()));
    if shown == said {
        return error;
    }
    io::Error::new(error.kind(), shown)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn too_large() -> io::Error {
    invalid("the answer is over 512 KiB")
}

fn stopped() -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, "told to stop")
}

/// A blocking socket with one deadline for everything. Small reads do not prolong it.
struct Socket {
    tcp: TcpStream,
    deadline: Instant,
    stop: Stop,
}

impl Socket {
    /// Tries again until something comes, or the time is over.
    fn within<T>(
        &self,
        set: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut attempt: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "the peer took too long"));
            }
            if self.stop.is_set() {
                return Err(stopped());
            }
            set(&self.tcp, Some(left.min(HEED)))?;
            match attempt(&self.tcp) {
                // The error for a timeout depends on the system.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.within(TcpStream::set_read_timeout, |mut tcp| tcp.read(out))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.within(TcpStream::set_write_timeout, |mut tcp| tcp.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn reply(bytes: &[u8]) -> Result<Reply, String> {
        // Gives one byte at a time, to test every boundary; of long input, more.
        struct Drip<'a>(&'a [u8]);
        impl Read for Drip<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let take = self.0.len().min(1 + self.0.len() / 200).min(out.len());
                out[..take].copy_from_slice(&self.0[..take]);
                self.0 = &self.0[take..];
                Ok(take)
            }
        }
        read_reply(&mut Drip(bytes), false).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_ends_where_its_framing_says() {
        for (bytes, body) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello"[..], &b"he"[..]),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                b"abcde",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ] {
            assert_eq!(reply(bytes).unwrap().body, body);
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_or_too_large_or_not_http_is_an_error() {
        let long_head = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_BYTES));
        let long_body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_BYTES + 1);
        let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEAD_FIELDS + 1));
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
            &long_head,
            &long_body,
            &many_fields,
        ] {
            reply(bytes.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_peer_that_drips_does_not_prolong_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        // Until the socket is closed, which the end of the test does.
        let dripping = thread::spawn(move || {
            while peer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let deadline = Instant::now() + Duration::from_millis(50);
        let mut socket = Socket { tcp, deadline, stop: Stop::default() };
        // Many more reads than bytes that can come in time.
        let error = (0..10_000).find_map(|_| socket.read(&mut [0]).err());
        assert_eq!(error.unwrap().to_string(), "the peer took too long");
        drop(socket);
        dripping.join().unwrap();
    }

    #[test]
    fn who_waits_for_an_authority_that_says_nothing_is_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let stop = Stop::default();
        let https = Https::new(RootCertStore::empty(), stop.clone()).unwrap();
        let asking = thread::spawn(move || https.ask(&url, Ask::Get));
        // Connected, and in the middle of the handshake.
        let (peer, _) = listener.accept().unwrap();
        stop.stop();
        // Without the stop it would be unreachable, after a while.
        assert!(matches!(asking.join().unwrap(), Err(AcmeFault::Stopped)));
        drop(peer);
    }

    #[test]
    fn a_reply_has_its_fields_under_names_in_lower_case() {
        let reply = reply(b"HTTP/1.1 200 OK\r\nLINK: a\r\nLink:  b \r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(reply.fields("link").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(reply.field("replay-nonce"), None);
    }
}

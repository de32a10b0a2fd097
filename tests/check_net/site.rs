//! A site in this process: HTTPS by rustls, plain HTTP, and answers to hellos as bytes, for protocols that no library
//! supports any more. It has no fault; a test changes one thing, and sees which findings are new.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use lockgate::check::{Check, Report, JSON_SCHEMA};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certs::{Leaf, Root};
use crate::support_command::schema::must_hold;
use crate::support_command::SAFETY;

/// The findings of every site: rustls with ring has no post-quantum key exchange.
pub const ALWAYS: &str = "no-post-quantum";

type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;
type Canned = Arc<dyn Fn(&Hello) -> Option<Vec<u8>> + Send + Sync>;

/// The parts of a request that the handlers need.
pub struct Request {
    pub method: String,
    pub path: String,
    pub head: String,
    /// The port of this site's HTTPS, and of its plain HTTP.
    pub ports: (u16, u16),
}

impl Request {
    /// The value of the first field with this name in lower case.
    pub fn field(&self, name: &str) -> &str {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// Bytes, and whether the connection then ends.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub closes: bool,
}

/// The parts of a ClientHello that canned answers need.
#[derive(Default)]
pub struct Hello {
    /// The highest version.
    pub version: u16,
    pub suites: Vec<u16>,
    pub groups: Vec<u16>,
}

/// The settings of a site.
pub struct Site {
    pub chain: Vec<CertificateDer<'static>>,
    pub leaf: Leaf,
    pub tls: Box<dyn FnOnce(&mut ServerConfig)>,
    /// Answers to hellos before rustls sees them.
    pub canned: Option<Canned>,
    pub https: Handler,
    pub http: Option<Handler>,
    /// The answer to plain HTTP on the TLS port.
    pub plain_on_tls: &'static [u8],
}

/// A running site, which ends with the test's process.
pub struct Running {
    pub port: u16,
    pub plain_port: u16,
}

impl Site {
    pub fn new(root: &Root) -> Site {
        Site::with(root.leaf(|_| {}))
    }

    pub fn with(leaf: Leaf) -> Site {
        Site {
            chain: vec![leaf.der.clone()],
            leaf,
            tls: Box::new(|_| {}),
            canned: None,
            https: Arc::new(good),
            http: Some(Arc::new(redirect)),
            plain_on_tls:
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\nConnection: close\r\n\r\nuse https",
        }
    }

    pub fn start(self) -> Running {
        let https = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = (https.local_addr().unwrap().port(), http.local_addr().unwrap().port());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = provider.key_provider.load_private_key(self.leaf.key).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(self.chain, key)))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        (self.tls)(&mut config);
        let config = Arc::new(config);
        let (canned, handler, plain) = (self.canned, self.https, self.plain_on_tls);
        on_each(https, move |stream| secure(stream, &config, canned.as_ref(), &handler, plain, ports));
        match self.http {
            Some(handler) => on_each(http, move |stream| converse(stream, &handler, ports)),
            // Nothing listens on the port now.
            None => drop(http),
        }
        Running { port: ports.0, plain_port: ports.1 }
    }
}

impl Running {
    pub fn check(&self) -> Check {
        Check::new(format!("https://localhost:{}/api/data", self.port))
            .connect(Ipv4Addr::LOCALHOST.into(), None)
            .http_port(self.plain_port)
            .phase_timeout(SAFETY)
            .timeout(SAFETY)
    }

    pub fn report(&self, root: &Root) -> Report {
        self.check().ca_file(root.file()).run().unwrap()
    }

    /// The findings that not every site has, in alphabetical order.
    pub fn found(&self, root: &Root) -> Vec<&'static str> {
        beside(&self.report(root))
    }
}

/// Whether a text holds this, and not as a part of a longer number: a port of the test may be 38443.
fn holds(text: &str, what: &str) -> bool {
    text.match_indices(what).any(|(at, _)| {
        let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        !(digit(at) && at > 0 && digit(at - 1) || digit(at + what.len()))
    })
}

pub fn beside(report: &Report) -> Vec<&'static str> {
    assert!(report.connections() <= 48, "{}", report.connections());
    must_hold(JSON_SCHEMA, &report.to_json());
    for finding in report.findings() {
        // The remedy has no placeholder for a known value.
        let fix = finding.fix();
        for left in ["HOST", "check URL", "8443", "PORT", "listen 80;", "--http 80"] {
            assert!(!holds(fix, left), "{}: {left}: {fix}", finding.id());
        }
    }
    let mut ids: Vec<_> =
        report.findings().iter().map(|finding| finding.id()).filter(|id| *id != ALWAYS).collect();
    ids.sort_unstable();
    ids
}

/// The text of this finding in a report.
#[track_caller]
pub fn seen(report: &Report, id: &str) -> String {
    let finding = report.findings().iter().find(|finding| finding.id() == id);
    finding.unwrap_or_else(|| panic!("{id} is not in {:?}", beside(report))).seen().to_string()
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

pub fn on_each(listener: TcpListener, serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) {
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(SAFETY)).unwrap();
                // The check closes connections when it has seen enough.
                let _ = serve(stream);
            });
        }
    });
}

fn secure(
    mut stream: TcpStream,
    config: &Arc<ServerConfig>,
    canned: Option<&Canned>,
    handler: &Handler,
    plain: &[u8],
    ports: (u16, u16),
) -> io::Result<()> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    if head[0] != 22 {
        stream.write_all(plain)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut record)?;
    if let Some(answer) = canned.and_then(|canned| canned(&Hello::read(&record))) {
        stream.write_all(&answer)?;
        stream.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let again = Again { read: [&head[..], &record].concat(), stream };
    let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    converse(StreamOwned::new(connection, again), handler, ports)
}

/// A stream whose first bytes were read already.
struct Again {
    read: Vec<u8>,
    stream: TcpStream,
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            return self.stream.read(buffer);
        }
        let count = buffer.len().min(self.read.len());
        buffer[..count].copy_from_slice(&self.read[..count]);
        self.read.drain(..count);
        Ok(count)
    }
}

impl Write for Again {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(parts)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn converse(mut stream: impl Read + Write, handler: &Handler, ports: (u16, u16)) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ').map(str::to_string);
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        let answer = handler(&Request { method, path, head, ports });
        stream.write_all(&answer.bytes)?;
        stream.flush()?;
        if answer.closes {
            return Ok(());
        }
    }
}

/// An answer with these further fields, each ended by CRLF.
pub fn answer(request: &Request, status: &str, fields: &str, body: &str) -> Answer {
    let date = date(0);
    let length = body.len();
    let body = if request.method == "HEAD" { "" } else { body };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nDate: {date}\r\n{fields}\r\n{body}");
    Answer { bytes: text.into_bytes(), closes: false }
}

/// An HTTP date, so many seconds from now.
pub fn date(from_now: i64) -> String {
    // The parts come from a text like 2026-11-25T16:15:03Z; the check ignores the weekday.
    let iso = lockgate::iso8601(
        std::time::UNIX_EPOCH
            + std::time::Duration::from_secs((crate::certs::now() + from_now).unsigned_abs()),
    );
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = iso[5..7].parse().unwrap();
    format!("Mon, {} {} {} {} GMT", &iso[8..10], MONTHS[month - 1], &iso[..4], &iso[11..19])
}

/// The answer of a good site over HTTPS.
pub fn good(request: &Request) -> Answer {
    good_with(request, "")
}

/// The same with further fields.
pub fn good_with(request: &Request, fields: &str) -> Answer {
    match request.path.as_str() {
        "/api/data" => answer(
            request,
            "200 OK",
            &format!("Content-Type: application/json\r\n{fields}"),
            r#"{"message":"Secure data over HTTPS"}"#,
        ),
        _ => answer(request, "404 Not Found", "", ""),
    }
}

/// The answer of a good site on its plain port.
pub fn redirect(request: &Request) -> Answer {
    let (https, http) = request.ports;
    if !request.field("authorization").is_empty() {
        answer(request, "403 Forbidden", "", "")
    } else if request.field("host") == format!("localhost:{http}") {
        let path = &request.path;
        answer(
            request,
            "308 Permanent Redirect",
            &format!("Location: https://localhost:{https}{path}\r\n"),
            "",
        )
    } else {
        answer(request, "421 Misdirected Request", "", "")
    }
}

impl Hello {
    /// Reads the content of a record. These hellos come from the check, so they are whole.
    fn read(record: &[u8]) -> Hello {
        let two = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
        let list =
            |from: usize, bytes: usize| -> Vec<u16> { (from..from + bytes).step_by(2).map(two).collect() };
        let suites = 39 + usize::from(record[38]);
        let mut hello =
            Hello { version: two(4), suites: list(suites + 2, two(suites).into()), groups: Vec::new() };
        let mut at = suites + 2 + usize::from(two(suites)) + 2 + 2;
        while at + 4 <= record.len() {
            let (number, length) = (two(at), usize::from(two(at + 2)));
            match number {
                10 => hello.groups = list(at + 6, length - 2),
                43 => hello.version = list(at + 5, length - 1).into_iter().max().unwrap(),
                _ => {}
            }
            at += 4 + length;
        }
        hello
    }
}

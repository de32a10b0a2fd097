//! The whole server over loopback: bytes come in pieces, in TLS or in clear, and the connection ends one way or another.
//!
//! An input's first byte says where the bytes go (from `0` on: HTTPS, HTTPS, the redirect, in clear to the HTTPS port) and,
//! times four, how the connection ends (close_notify, half-close, reset). In the bytes that follow, 0xfe ends a piece,
//! which is sent by itself; after 0xff another client has an answer before the next one is sent.
#![no_main]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use lockgate::{Identity, Limits, Request, Response, Router, Running, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// After which the server is taken to hang.
const SAFETY: Duration = Duration::from_secs(20);
/// Bodies above this are read by the handler as they come, and those that nobody reads end their connection.
const BUFFER: usize = 64;
const MOST_PAUSES: usize = 8;

struct Serving {
    https: SocketAddr,
    redirect: SocketAddr,
    client: Arc<ClientConfig>,
    /// Of the other client.
    other: Mutex<Client>,
    _running: Running,
}

static SERVING: LazyLock<Serving> = LazyLock::new(|| {
    // Rust's own main would have the signal ignored, which comes of writing to a closed socket; libFuzzer's does not.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &*authority).unwrap().pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);

    // Low, so that small inputs reach them. A machine that is busy must not change an answer.
    let mut limits = Limits::default();
    limits.head_bytes = 1024;
    limits.head_fields = 16;
    limits.body_bytes = 512;
    limits.body_buffer_bytes = BUFFER;
    limits.queue_timeout = SAFETY;
    let server = Server::builder(router())
        .https("127.0.0.1:0")
        .redirect_http("127.0.0.1:0")
        .identity(identity)
        .limits(limits)
        .bind()
        .unwrap();
    let (https, redirect) = (server.local_addr(), server.redirect_addr().unwrap());
    let running = server.spawn().unwrap();
    let other = Mutex::new(Client::tls(https, &client));
    Serving { https, redirect, client, other, _running: running }
});

fn router() -> Router {
    Router::new()
        .get("/marker", |_: &mut Request| "marker")
        .post("/", |request: &mut Request| request.bytes().map(Response::bytes))
        .post("/unread", |_: &mut Request| "unread")
        .get("/pieces", |_: &mut Request| Response::reader(&b"in pieces"[..]))
        .get("/nothing", |_: &mut Request| ())
        .get("/{name}", |request: &mut Request| {
            format!("{:?} {:?}", request.param("name"), request.query("q"))
        })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tls,
    Redirect,
    Clear,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Notify,
    HalfClose,
    Reset,
}

fuzz_target!(|input: &[u8]| {
    let Some((plan, script)) = input.split_first() else { return };
    let plan = plan.wrapping_sub(b'0');
    let way = [Way::Tls, Way::Tls, Way::Redirect, Way::Clear][usize::from(plan % 4)];
    let end = [End::Notify, End::HalfClose, End::Reset][usize::from(plan / 4 % 3)];

    let pieces: Vec<&[u8]> = script.split_inclusive(|byte| *byte >= 0xfe).collect();
    let whole: Vec<u8> = script.iter().copied().filter(|byte| *byte < 0xfe).collect();
    let in_pieces = converse(way, &pieces, end);
    if let Some(in_pieces) = in_pieces {
        let at_once = converse(way, &[&whole], end).unwrap_or_default();
        let (asked, rest) = requests(&whole);
        let in_pieces = replies(way, &in_pieces, &asked, rest);
        let at_once = replies(way, &at_once, &asked, rest);
        compare(&in_pieces, &at_once, &asked);
    }
    let mut fresh = Client::tls(SERVING.https, &SERVING.client);
    fresh.marker();
});

/// All that the server sends; `None` if it was not listened to.
fn converse(way: Way, pieces: &[&[u8]], end: End) -> Option<Vec<u8>> {
    let mut client = match way {
        Way::Tls => Client::tls(SERVING.https, &SERVING.client),
        Way::Redirect => Client::clear(SERVING.redirect),
        Way::Clear => Client::clear(SERVING.https),
    };
    // Who speaks neither TLS nor HTTP, or TLS to the redirect, is left where he stands.
    let all: Vec<u8> = pieces.iter().flat_map(|piece| *piece).copied().filter(|byte| *byte < 0xfe).collect();
    // So is who sends a PROXY header, which nobody may here. One in pieces may be answered before it is known.
    let is_header =
        way != Way::Tls && (all.starts_with(b"PROXY ") || all.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
    let first = all.first();
    let may_be_cut = match way {
        Way::Tls => false,
        Way::Redirect => first == Some(&0x16) || is_header,
        Way::Clear => first.is_some_and(|byte| !byte.is_ascii_alphabetic()) || is_header,
    };
    let mut pauses = 0;
    for piece in pieces {
        let bytes = piece.strip_suffix(&[0xfe]).or(piece.strip_suffix(&[0xff])).unwrap_or(piece);
        match client.send(bytes) {
            Err(_) if may_be_cut => return Some(Vec::new()),
            result => result.expect("the server takes what is sent"),
        }
        if piece.ends_with(&[0xff]) && pauses < MOST_PAUSES {
            pauses += 1;
            SERVING.other.lock().unwrap_or_else(PoisonError::into_inner).marker();
        }
    }
    if end == End::Reset {
        rustix::net::sockopt::set_socket_linger(&client.tcp, Some(Duration::ZERO)).unwrap();
        return None;
    }
    let received = client.finish(end);
    if may_be_cut {
        // An alert, or nothing, or a reset; but an end, and no answer.
        assert!(received.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::WouldBlock));
        assert!(is_header || !received.unwrap_or_default().starts_with(b"HTTP"));
        return Some(Vec::new());
    }
    Some(received.expect("the server answers and closes"))
}

struct Client {
    tls: Option<ClientConnection>,
    tcp: TcpStream,
}

impl Client {
    fn clear(address: SocketAddr) -> Client {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        tcp.set_write_timeout(Some(SAFETY)).unwrap();
        Client { tls: None, tcp }
    }

    fn tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
        let mut client = Client::clear(address);
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config.clone(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut client.tcp).expect("the server shakes hands");
        }
        Client { tls: Some(tls), ..client }
    }

    /// Sends a piece in one write, in TLS as one record.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
        }
        self.send_wire(bytes)
    }

    fn send_wire(&mut self, clear: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.tcp.write_all(clear) };
        let mut wire = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut wire)?;
        }
        self.tcp.write_all(&wire)
    }

    /// Sends nothing more; all that comes until the server closes.
    fn finish(&mut self, end: End) -> io::Result<Vec<u8>> {
        if let (Some(tls), End::Notify) = (&mut self.tls, end) {
            tls.send_close_notify();
            self.send_wire(&[])?;
        }
        self.tcp.shutdown(Shutdown::Write)?;
        let mut received = Vec::new();
        self.tcp.read_to_end(&mut received)?;
        let Some(tls) = &mut self.tls else { return Ok(received) };
        let mut plain = Vec::new();
        let mut wire = &received[..];
        while !wire.is_empty() {
            tls.read_tls(&mut wire)?;
            tls.process_new_packets().expect("the server speaks TLS");
            match tls.reader().read_to_end(&mut plain) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(plain)
    }

    /// Asks, and has the answer.
    fn marker(&mut self) {
        self.send(b"GET /marker HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server takes a request");
        let tls = self.tls.as_mut().unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\nmarker") {
            tls.complete_io(&mut self.tcp).expect("the server answers");
            let mut piece = [0; 1024];
            match tls.reader().read(&mut piece) {
                Ok(read) => received.extend_from_slice(&piece[..read]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(b"HTTP/1.1 200 OK\r\n".iter().zip(&received).all(|(one, other)| one == other));
        }
    }
}

/// A request as a simple reading finds it, which knows nothing of the server's.
#[derive(Debug)]
struct Asked {
    is_head: bool,
    echoes: bool,
    expects: bool,
    /// Bytes follow its head that belong to it.
    has_body: bool,
    /// As far as it came.
    body: Vec<u8>,
    is_whole: bool,
}

/// The requests in `bytes`, and what follows the last one whose end can be told.
fn requests(bytes: &[u8]) -> (Vec<Asked>, &[u8]) {
    let mut asked = Vec::new();
    let mut rest = bytes;
    loop {
        let start = if rest.starts_with(b"\r\n") { 2 } else { 0 };
        let Some(end) = (start + 1..=rest.len()).find(|end| rest[..*end].ends_with(b"\r\n\r\n")) else {
            return (asked, &rest[start..]);
        };
        let head = &rest[start..end];
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let values = |name: &str| -> Vec<&str> {
            let fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
            fields.filter(|(known, _)| *known == name).map(|(_, value)| value.trim()).collect()
        };
        let body = &rest[end..];
        let found = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
            ([], []) => Some((Vec::new(), Some(0))),
            ([length], []) => length.parse::<usize>().ok().map(|length| match body.get(..length) {
                Some(whole) => (whole.to_vec(), Some(length)),
                None => (body.to_vec(), None),
            }),
            ([], ["chunked"]) => Some(unchunk(body)),
            _ => None,
        };
        let (body, length) = found.unwrap_or_default();
        asked.push(Asked {
            is_head: head.starts_with(b"HEAD "),
            echoes: head.starts_with(b"POST / HTTP/1.1\r\n"),
            expects: text.contains("expect"),
            has_body: length != Some(0),
            body,
            is_whole: length.is_some(),
        });
        match length {
            Some(length) => rest = &rest[end + length..],
            None => return (asked, &[]),
        }
    }
}

/// The data of a chunked body, and its length as it was sent, if its end is there.
fn unchunk(bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut data = Vec::new();
    let mut at = 0;
    let line = |at: usize| {
        let length = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        Some((&bytes[at..at + length], at + length + 2))
    };
    while let Some((size, after)) = line(at) {
        let digits = size.split(|byte| *byte == b';').next().unwrap_or_default();
        let Some(size) =
            std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok())
        else {
            return (data, None);
        };
        at = after;
        if size == 0 {
            while let Some((trailer, after)) = line(at) {
                at = after;
                if trailer.is_empty() {
                    return (data, Some(at));
                }
            }
            return (data, None);
        }
        let available = size.min(bytes.len() - at);
        data.extend_from_slice(&bytes[at..at + available]);
        at += available;
        if !bytes[at..].starts_with(b"\r\n") {
            return (data, None);
        }
        at += 2;
    }
    (data, None)
}

#[derive(Debug)]
struct Reply {
    status: u16,
    closes: bool,
}

/// The final responses in what the server sent, each of them checked.
fn replies(way: Way, bytes: &[u8], asked: &[Asked], rest: &[u8]) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut interim = 0;
    let mut left = bytes;
    while !left.is_empty() {
        assert!(
            !replies.last().is_some_and(|reply| reply.closes),
            "more after the close: {}",
            left.escape_ascii()
        );
        let end =
            left.windows(4).position(|four| four == b"\r\n\r\n").expect("a response has a whole head") + 4;
        let head = std::str::from_utf8(&left[..end]).expect("a response's head is ASCII here");
        left = &left[end..];
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|line| line.split_once(' '));
        let status: u16 = status.expect("a status line").0.parse().expect("a status");
        assert!((100..600).contains(&status) && !status_line.contains(|c: char| c.is_control()), "{head}");
        let fields: Vec<_> = lines.map(|line| line.split_once(": ").expect("a field")).collect();
        for (name, value) in &fields {
            let is_token =
                |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(
                !name.is_empty() && is_token(name) && !value.contains(|c: char| c.is_control()),
                "{head}"
            );
        }
        let field = |wanted: &str| {
            let mut values = fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value);
            let value = values.next();
            assert!(values.next().is_none(), "{wanted} twice: {head}");
            value
        };
        if status < 200 {
            assert!(status == 100 && fields.is_empty(), "{head}");
            interim += 1;
            continue;
        }
        assert!(field("date").is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")), "{head}");
        let closes = field("connection") == Some("close");
        let asked_here = asked.get(replies.len());
        let is_head =
            way != Way::Clear && asked_here.map_or(rest.starts_with(b"HEAD "), |asked| asked.is_head);
        let bodiless = status == 204 || status == 304;
        let body = match (field("content-length"), field("transfer-encoding")) {
            (None, None) if bodiless || is_head => Vec::new(),
            _ if bodiless => panic!("framed without a body: {head}"),
            (Some(_), Some(_)) => panic!("framed twice: {head}"),
            (_, None) if is_head => Vec::new(),
            (Some(length), None) => {
                let length = length.parse().expect("a length");
                let (body, after) = left.split_at_checked(length).expect("a whole body");
                left = after;
                body.to_vec()
            }
            (None, Some(coding)) => {
                assert_eq!(coding, "chunked");
                let (body, length) = unchunk(left);
                left = &left[length.expect("a whole chunked body")..];
                body
            }
            (None, None) => {
                assert!(closes, "where does it end? {head}");
                std::mem::take(&mut left).to_vec()
            }
        };
        if let Some(asked) = asked_here.filter(|asked| way == Way::Tls && asked.echoes && status == 200) {
            assert!(asked.is_whole, "half a request is answered: {asked:?}");
            assert_eq!(body, asked.body, "the answer to something else than {asked:?}");
        }
        replies.push(Reply { status, closes });
    }
    let most = match way {
        Way::Tls => asked.len() + usize::from(!rest.is_empty()),
        Way::Redirect | Way::Clear => 1,
    };
    assert!(replies.len() <= most, "{} answers to {most} requests", replies.len());
    assert!(interim <= asked.len());
    assert!(way == Way::Tls || replies.iter().all(|reply| reply.closes));
    replies
}

fn compare(in_pieces: &[Reply], at_once: &[Reply], asked: &[Asked]) {
    let mut both = in_pieces.iter().zip(at_once).enumerate();
    for (index, (one, other)) in &mut both {
        // Who expects to be asked for the body, and sends it all the same, is answered with or without it.
        if asked.get(index).is_some_and(|asked| asked.expects) {
            return;
        }
        assert_eq!(one.status, other.status, "answer {index}: {in_pieces:?} {at_once:?}");
        if one.closes != other.closes {
            // A body that came with its head need not be read from the connection by a handler, nor is it waited for when the
            // request is refused for its target.
            let is_refused = one.status == 400;
            assert!(
                asked
                    .get(index)
                    .is_some_and(|asked| asked.body.len() > BUFFER || is_refused && asked.has_body),
                "{in_pieces:?} {at_once:?}"
            );
            return;
        }
    }
    assert_eq!(in_pieces.len(), at_once.len(), "{in_pieces:?} {at_once:?}");
}

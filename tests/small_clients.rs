//! What small clients need: field names in the case that they compare, and TLS records that fit their buffers.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use lockgate::{Error, FieldNames, Request, Response, Router, Server, ServerBuilder, StatusCode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use support::{authority, connect_plain, get, identity, noise, serve_as, try_serve_as, Serving};

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| Response::text("root").with_header("x-own-field", "a: b-c"))
        .get("/nothing", |_: &mut Request| ())
        .get("/pieces", |_: &mut Request| Response::reader(&b"a\r\nb-c: d\r\n"[..]))
        .get("/large", |_: &mut Request| noise(100_000))
        .get("/both", |_: &mut Request| {
            Response::new(StatusCode::OK)
                .append_header("set-cookie", "a=b")
                .append_header("set-cookie", "c-d=e")
        })
        .post("/", |request: &mut Request| request.bytes().map(Response::bytes))
}

fn builder() -> ServerBuilder {
    Server::builder(router()).identity(identity())
}

/// The names in the head of an answer.
fn names(answer: &str) -> Vec<String> {
    let head = answer.split_once("\r\n\r\n").expect("a whole head").0;
    head.split("\r\n").skip(1).map(|line| line.split_once(": ").unwrap().0.to_string()).collect()
}

fn over_tls(serving: &Serving, sent: &str) -> String {
    let mut client = serving.connect();
    client.send(sent);
    client.finish();
    String::from_utf8(client.rest().0).unwrap()
}

fn in_clear(address: std::net::SocketAddr, sent: &str) -> String {
    let mut client = connect_plain(address).unwrap();
    client.write_all(sent.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn names_of_fields_are_in_title_case_wherever_they_leave() {
    let title = serve_as(builder().field_names(FieldNames::TitleCase));
    let lower = serve_as(builder());
    let cases = |serving: &Serving| {
        let close = |path: &str| get(path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let plain = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        [
            over_tls(serving, &close("/")),
            over_tls(serving, &close("/nothing")),
            over_tls(serving, &close("/pieces")),
            over_tls(serving, &close("/both")),
            over_tls(serving, &close("/missing")),
            over_tls(serving, &close("/%zz")),
            over_tls(serving, &close("/").replace("GET", "DELETE")),
            over_tls(serving, "GET / HTTP/1.1\n"),
            over_tls(serving, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"),
            over_tls(serving, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            in_clear(serving.address, plain),
            in_clear(serving.redirect, plain),
            in_clear(serving.redirect, "GET / HTTP/1.1\r\n\r\n"),
        ]
    };
    let mut seen = Vec::new();
    for (title, lower) in cases(&title).iter().zip(cases(&lower)) {
        let (in_title, in_lower) = (names(title), names(&lower));
        let lowered: Vec<_> = in_title.iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(lowered, in_lower, "{title}");
        for name in &in_title {
            let starts = |part: &str| part.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(name.split('-').all(starts), "{name} in {title}");
        }
        let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_string();
        assert_eq!(body(title), body(&lower));
        seen.extend(in_title);
    }
    for name in ["Content-Length", "Content-Type", "Date", "Connection", "Location", "X-Own-Field", "Allow"] {
        assert!(seen.iter().any(|seen| seen == name), "{name} in {seen:?}");
    }
    let own = over_tls(&title, &get("/"));
    assert!(own.contains("\r\nX-Own-Field: a: b-c\r\n"), "values stay: {own}");
    assert!(over_tls(&title, &get("/pieces")).contains("a\r\nb-c: d\r\n"), "bodies stay");
}

/// A socket that keeps what the server sends.
struct Tee {
    tcp: std::net::TcpStream,
    read: Vec<u8>,
}

impl Read for Tee {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.tcp.read(out)?;
        self.read.extend_from_slice(&out[..read]);
        Ok(read)
    }
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.tcp.flush()
    }
}

/// The lengths of the records that the server sends for a request, their headers counted, and the answer.
fn records(serving: &Serving, version: &'static SupportedProtocolVersion) -> (Vec<usize>, Vec<u8>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let tee = Tee { tcp: connect_plain(serving.address).unwrap(), read: Vec::new() };
    let mut stream = rustls::StreamOwned::new(tls, tee);
    let request = get("/large").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let mut rest = &stream.sock.read[..];
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, ..] = rest {
        let length = 5 + usize::from(*high) * 256 + usize::from(*low);
        lengths.push(length);
        rest = rest.get(length..).expect("a whole record");
    }
    (lengths, answer)
}

#[test]
fn no_tls_record_is_larger_than_asked() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for most in [128, 1_000, 4_096] {
            let serving = serve_as(builder().tls_record_bytes(most));
            let (lengths, answer) = records(&serving, version);
            let largest = lengths.iter().max().unwrap();
            assert!(*largest <= most && largest + 16 >= most, "{most}: {largest}");
            assert!(answer.ends_with(&noise(100_000)[..]), "{most}");
        }
        let (lengths, _) = records(&serve_as(builder()), version);
        assert!(*lengths.iter().max().unwrap() > 16_000);
    }
}

#[test]
fn a_record_size_out_of_range_is_refused_with_the_range() {
    for bytes in [0, 127, 16_385, usize::MAX] {
        match try_serve_as(builder().tls_record_bytes(bytes)).err() {
            Some(Error::Setting { setting, fault }) => {
                assert_eq!(setting, "tls_record_bytes");
                assert!(fault.contains("128") && fault.contains("16384"), "{fault}");
            }
            other => panic!("{bytes}: {other:?}"),
        }
    }
    for bytes in [128, 16_384] {
        assert_eq!(serve_as(builder().tls_record_bytes(bytes)).get("/").text(), "root");
    }
}

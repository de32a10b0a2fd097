//! Behind a balancer: connections that begin with a header of the PROXY protocol, and requests that name their client in `Forwarded` or
//! `X-Forwarded-For`. Over sockets, against the built command and against a server in a program; and behind the real HAProxy.
//!
//! Many cases have broken other servers: health checks of a balancer (`LOCAL`) that were closed before TLS (tbmq, kanidm) or filled the
//! log (mod_proxy_protocol, MongooseIM), the exemption of loopback that a balancer on the same machine fell under (kanidm), the first
//! of several fields that was believed (routedns), and a list that was read from the left (oauth2-proxy, cpp-httplib).

mod support_command;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lockgate::web::FetchMetadata;
use lockgate::{Identity, Limits, Request, Response, Router, Seen, ServerBuilder};
use rustix::net::{bind, connect, socket, AddressFamily, SocketType};
use tempfile::TempDir;

use support_command::certificates::{Authority, Pair};
use support_command::client::{tcp, Client};
use support_command::peers::HAPROXY;
use support_command::{Server, SAFETY};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const GET: &str = "GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A header of version 2, of a client over IPv4, with values behind the addresses.
fn v2(source: [u8; 4], port: u16, values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + values.len()).unwrap().to_be_bytes();
    let port = port.to_be_bytes();
    [SIGNATURE, &[0x21, 0x11], &length, &source, &[198, 51, 100, 1], &port, &[1, 0xBB], values].concat()
}

/// A connection from this address of the loopback.
fn tcp_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&own, &SocketAddrV4::new(source.into(), 0)).unwrap();
    connect(&own, &to).unwrap();
    let stream = TcpStream::from(own);
    stream.set_read_timeout(Some(SAFETY)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[track_caller]
fn expect_end(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}

struct World {
    authority: Authority,
    pair: Pair,
}

impl World {
    fn new() -> World {
        let authority = Authority::new();
        let pair = authority.pair("server");
        World { authority, pair }
    }

    fn behind(&self, port: u16, header: &[u8]) -> Client {
        Client::behind(tcp(port), header, &self.authority.certificate())
    }

    /// A server in this program.
    fn spawn(
        &self,
        router: Router,
        change: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> (lockgate::Running, SocketAddr) {
        let identity = Identity::from_pem_files(&self.pair.cert, &self.pair.key).unwrap();
        let builder = lockgate::Server::builder(router).https("127.0.0.1:0").identity(identity);
        let server = change(builder).bind().unwrap();
        let address = server.local_addr();
        (server.spawn().unwrap(), address)
    }
}

#[test]
fn the_client_that_a_header_names_is_in_the_log_and_nobody_else_may_send_one() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--proxy-from", "127.0.0.1/32", "--proxy-from", "::1"]);
    let port = server.https_port();
    world.behind(port, V1).get();
    server.stderr.expect(" 192.0.2.7:50514 TLSv1.3");
    world.behind(port, &v2([203, 0, 113, 9], 7, &[])).get();
    server.stderr.expect(" 203.0.113.9:7 TLSv1.3");
    // Byte by byte, then the rest.
    let mut slow = tcp(port);
    for byte in V1 {
        slow.write_all(&[*byte]).unwrap();
    }
    Client::behind(slow, b"", &world.authority.certificate()).get();
    server.stderr.expect(" 192.0.2.7:50514 TLSv1.3");
    // Another address is served without a header, and with one not.
    let own = |before: &[u8]| {
        let stream = tcp_from([127, 0, 0, 2], local(port));
        let address = stream.local_addr().unwrap();
        (Client::behind(stream, before, &world.authority.certificate()), address)
    };
    let (mut client, address) = own(b"");
    client.get();
    server.stderr.expect(&format!(" {address} TLSv1.3"));
    for header in [V1, &v2([192, 0, 2, 7], 1, &[])] {
        let mut stream = tcp_from([127, 0, 0, 2], local(port));
        stream.write_all(header).unwrap();
        expect_end(stream);
        server.stderr.expect("closed, a PROXY header from an address that --proxy-from does not name");
    }
    // One that is to send a header, and sends none, a broken one, or a second one.
    for (bytes, words) in [
        (
            &b"\x16\x03\x01\x02\0\x01"[..],
            "it does not begin with a PROXY header; --proxy-from names its address",
        ),
        (b"GET / HTTP/1.1\r\n", "it does not begin with a PROXY header"),
        (b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", "malformed: an address is none of its family"),
        (&[V1, V1].concat(), "a second PROXY header"),
        (&[V1, LOCAL].concat(), "a second PROXY header"),
        (&[LOCAL, V1].concat(), "a second PROXY header"),
    ] {
        let mut stream = tcp(port);
        stream.write_all(bytes).unwrap();
        expect_end(stream);
        server.stderr.expect(words);
    }
    let mut cut = tcp(port);
    cut.write_all(&V1[..20]).unwrap();
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    expect_end(cut);
    server.stderr.expect("its PROXY header is cut short");
    // What is no TLS behind a header is the named client's.
    let mut plain = tcp(port);
    plain.write_all(&[V1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.stderr.expect("192.0.2.7:50514: 400 ");
    let log = server.stop();
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let world = World::new();
    let mut server =
        Server::serve(&world.pair, &["--proxy-from", "127.0.0.1", "--handshake-timeout", "300ms"]);
    let port = server.https_port();
    for begun in [&b""[..], b"PROXY TCP4 192.0.2.7", &SIGNATURE[..5]] {
        let mut stream = tcp(port);
        stream.write_all(begun).unwrap();
        expect_end(stream);
        server.stderr.expect("no PROXY header has come in time (limit handshake_timeout)");
    }
    server.stop();
}

#[test]
fn health_checks_of_a_balancer_are_served_with_tls_and_without_and_log_nothing() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--proxy-from", "127.0.0.1", "-v"]);
    let port = server.https_port();
    // With an address, as the cloud's balancers send it.
    let dummy = [SIGNATURE, &[0x20, 0x11, 0, 12, 192, 0, 2, 99, 0, 0, 0, 0, 0, 1, 0, 2]].concat();
    for header in [LOCAL, &dummy, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 192.0.2.99 a b c\r\n"] {
        let mut check = tcp(port);
        check.write_all(header).unwrap();
        server.stderr.expect("a connection of the balancer itself");
        drop(check);
        let stream = tcp(port);
        let own = stream.local_addr().unwrap();
        Client::behind(stream, header, &world.authority.certificate()).get();
        server.stderr.expect(&format!(" {own} TLSv1.3"));
    }
    // Only whether the port is open.
    drop(tcp(port));
    let log = server.stop();
    let told: Vec<_> =
        log.lines().filter(|line| !line.contains("DEBUG") && line.contains("lockgate::server]")).collect();
    assert!(told.is_empty() && !log.contains("192.0.2.99"), "{log}");
}

#[test]
fn the_redirects_port_wants_a_header_from_the_same_networks() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--proxy-from", "127.0.0.1", "--head-timeout", "1s"]);
    server.https_port();
    let port = server.http_port();
    let ask = |mut stream: TcpStream, bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let get = b"GET /a HTTP/1.1\r\nHost: localhost\r\nAuthorization: x\r\n\r\n";
    for header in [V1, &v2([203, 0, 113, 9], 7, &[]), LOCAL] {
        let answer = ask(tcp(port), &[header, get].concat());
        assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    }
    server.stderr.expect("192.0.2.7:50514");
    let other = ask(tcp_from([127, 0, 0, 2], local(port)), get);
    assert!(other.starts_with("HTTP/1.1 301 "), "{other}");
    for (source, bytes, words) in [
        ([127, 0, 0, 1], &get[..], "it does not begin with a PROXY header; --proxy-from names its address"),
        ([127, 0, 0, 1], &V1[..9], "its PROXY header is cut short"),
        ([127, 0, 0, 1], &[V1, V1].concat(), "a second PROXY header has come behind the first"),
        ([127, 0, 0, 2], V1, "a PROXY header from an address that --proxy-from does not name"),
        (
            [127, 0, 0, 2],
            &v2([1; 4], 1, &[]),
            "a PROXY header from an address that --proxy-from does not name",
        ),
    ] {
        let mut stream = tcp_from(source, local(port));
        stream.write_all(bytes).unwrap();
        expect_end(stream);
        server.stderr.expect(words);
    }
    server.stop();
}

#[test]
fn the_named_clients_are_counted_and_loopback_is_not_exempt_if_a_header_names_it() {
    let world = World::new();
    let router = Router::new().get("/", |_: &mut Request| "here");
    let mut limits = Limits::default();
    (limits.connections_per_address, limits.requests_per_address) = (2, 3);
    let (running, to) = world
        .spawn(router, |builder| builder.limits(limits).proxy_protocol_from(["127.0.0.1".parse().unwrap()]));
    let port = to.port();
    for claimed in [[192, 0, 2, 7], [127, 0, 0, 1]] {
        let header = v2(claimed, 1, &[]);
        let held = [world.behind(port, &header), world.behind(port, &header)];
        let mut third = tcp(port);
        third.write_all(&header).unwrap();
        expect_end(third);
        // Others have places of their own, and so has the balancer itself.
        drop(world.behind(port, &v2([192, 0, 2, 8], 1, &[])));
        let own: Vec<_> = (0..4).map(|_| world.behind(port, LOCAL)).collect();
        drop((held, own));
    }
    let until = Instant::now() + SAFETY;
    while running.handle().health().connections > 0 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    let statuses = |header: &[u8]| {
        let mut client = world.behind(port, header);
        let ask = |_| {
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.response().0[9..12].to_string()
        };
        (0..8).map(ask).collect::<Vec<_>>()
    };
    assert!(statuses(&v2([127, 0, 0, 1], 1, &[])).contains(&"429".to_string()));
    assert!(!statuses(LOCAL).contains(&"429".to_string()), "the balancer is on this machine");
    running.handle().stop();
    running.join().unwrap();
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Answers with what those in front have said.
fn told(request: &mut Request) -> Response {
    let header = request.proxy_header();
    let tls = header.and_then(|header| header.tls());
    let forwarded = request.forwarded();
    Response::text(format!(
        "peer={} source={:?} destination={:?} sni={:?} alpn={:?} id={:?} cn={:?} verified={:?} client={:?} scheme={:?} host={:?}",
        request.peer().unwrap(),
        header.and_then(|header| header.source()).map(|at| at.to_string()),
        header.and_then(|header| header.destination()).map(|at| at.to_string()),
        header.and_then(|header| header.authority()),
        header.and_then(|header| header.alpn()).map(|alpn| alpn.escape_ascii().to_string()),
        header.and_then(|header| header.unique_id()),
        tls.and_then(|tls| tls.common_name()),
        tls.map(|tls| tls.client_certificate_verified()),
        forwarded.map(|forwarded| forwarded.client().to_string()),
        forwarded.and_then(|forwarded| forwarded.scheme()),
        forwarded.and_then(|forwarded| forwarded.host()),
    ))
}

#[test]
fn handlers_and_on_response_see_what_a_header_says_also_when_the_handler_may_be_given_up() {
    let world = World::new();
    let router = Router::new()
        .get("/", told)
        .nest("/late", Router::new().get("/", told).handler_timeout(Duration::from_secs(60)));
    let (running, to) = world.spawn(router, |builder| {
        builder.proxy_protocol_from(["127.0.0.1".parse().unwrap()]).on_response(
            |seen: &Seen, response: &mut lockgate::ResponseHead| {
                let source = seen.proxy_header().and_then(|header| header.source());
                response.set_header("x-source", source.map_or("none".into(), |at| at.to_string()));
            },
        )
    });
    let port = to.port();
    let tls = [&[7, 0, 0, 0, 0][..], &value(0x22, b"pump")].concat();
    let values = [value(1, b"h2"), value(2, b"api.example"), value(5, &[9]), value(0x20, &tls)].concat();
    let mut client = world.behind(port, &v2([192, 0, 2, 7], 9, &values));
    for path in ["/", "/late"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let (head, body) = client.response();
        assert!(head.contains("x-source: 192.0.2.7:9\r\n"), "{head}");
        let all = "peer=192.0.2.7:9 source=Some(\"192.0.2.7:9\") destination=Some(\"198.51.100.1:443\") \
                   sni=Some(\"api.example\") alpn=Some(\"h2\") id=Some([9]) cn=Some(\"pump\") verified=Some(true) ";
        assert!(body.starts_with(all), "{body}");
    }
    // A head that cannot be read is the client's too.
    client.send("BAD\r\n\r\n");
    assert!(client.response().0.contains("x-source: 192.0.2.7:9\r\n"));
    let mut check = world.behind(port, LOCAL);
    check.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = check.response();
    assert!(head.contains("x-source: none\r\n") && body.contains("source=None"), "{head}{body}");
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn forwarded_fields_count_from_trusted_peers_request_by_request() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.requests_per_address = 5;
    let (running, to) = world.spawn(Router::new().get("/", told), |builder| {
        builder.limits(limits).trust_forwarded(["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()])
    });
    let ask = |client: &mut Client, fields: &str| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        client.response()
    };
    let connected = |source| {
        let stream = tcp_from(source, to);
        let own = stream.local_addr().unwrap();
        (Client::behind(stream, b"", &world.authority.certificate()), own)
    };
    let (mut proxy, own) = connected([127, 0, 0, 1]);
    for (fields, expected) in [
        (
            "X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.2\r\nX-Forwarded-Proto: http\r\n".to_string(),
            "peer=192.0.2.7:0 ".to_string(),
        ),
        (String::new(), format!("peer={own} ")),
        ("X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-For: 192.0.2.8:5\r\n".into(), "peer=192.0.2.8:5 ".into()),
        (
            "Forwarded: for=\"[2001:db8::7]\";proto=http;host=a.example\r\n".into(),
            "peer=[2001:db8::7]:0 ".into(),
        ),
        ("Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n".into(), format!("peer={own} ")),
    ] {
        let (_, body) = ask(&mut proxy, &fields);
        assert!(body.starts_with(&expected), "{fields}: {body}");
    }
    let (_, body) = ask(&mut proxy, "Forwarded: for=192.0.2.9;proto=http;host=a.example\r\n");
    assert!(
        body.ends_with("client=Some(\"192.0.2.9:0\") scheme=Some(\"http\") host=Some(\"a.example\")"),
        "{body}"
    );
    // Others say nothing.
    let (mut other, own) = connected([127, 0, 0, 2]);
    let (_, body) = ask(&mut other, "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n");
    assert!(body.starts_with(&format!("peer={own} ")) && body.contains("client=None"), "{body}");
    // A claim of this machine's own address is counted, and the machine itself is not.
    let mut limited = |fields: &str| (0..20).any(|_| ask(&mut proxy, fields).0.starts_with("HTTP/1.1 429 "));
    assert!(limited("X-Forwarded-For: 127.0.0.7\r\n"));
    assert!(limited("X-Forwarded-For: garbage\r\n"), "what cannot be read is no way around it");
    assert!(!limited(""));
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn a_page_of_the_host_that_a_trusted_proxy_names_is_the_servers_own() {
    let world = World::new();
    let router = Router::new().post("/", |_: &mut Request| "done").with(FetchMetadata::new());
    let (running, to) =
        world.spawn(router, |builder| builder.trust_forwarded(["127.0.0.1".parse().unwrap()]));
    let ask = |source, fields: &str| {
        let mut client = Client::behind(tcp_from(source, to), b"", &world.authority.certificate());
        client.send(&format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n{fields}Content-Length: 0\r\n\r\n"
        ));
        client.response().0.split(' ').nth(1).unwrap().to_string()
    };
    let names = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: app.example\r\n";
    assert_eq!(ask([127, 0, 0, 1], names), "200");
    assert_eq!(ask([127, 0, 0, 1], "Forwarded: for=192.0.2.7;host=\"app.example:443\"\r\n"), "200");
    assert_eq!(ask([127, 0, 0, 1], &names.replace("app.example", "other.example")), "403");
    assert_eq!(ask([127, 0, 0, 1], ""), "403");
    assert_eq!(ask([127, 0, 0, 2], names), "403");
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn both_can_be_combined_and_the_fields_count_only_of_a_trusted_client() {
    let world = World::new();
    let (running, to) = world.spawn(Router::new().get("/", told), |builder| {
        builder
            .proxy_protocol_from(["127.0.0.1".parse().unwrap()])
            .trust_forwarded(["192.0.2.0/24".parse().unwrap()])
    });
    let port = to.port();
    for (named, expected) in [
        ([192, 0, 2, 7], "peer=203.0.113.5:0 source=Some(\"192.0.2.7:9\")"),
        ([198, 51, 100, 9], "peer=198.51.100.9:9 "),
    ] {
        let mut client = world.behind(port, &v2(named, 9, &[]));
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n");
            let (_, body) = client.response();
            assert!(body.starts_with(expected), "{body}");
        }
    }
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn the_log_says_why_a_trusted_proxys_fields_do_not_count() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--trust-forwarded", "127.0.0.1"]);
    let mut client = Client::connect(server.https_port(), &world.authority.certificate());
    let own = client.local_address();
    let mut ask = |fields: &str| {
        client.send(&GET.replace("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n")));
        assert!(client.response().0.starts_with("HTTP/1.1 200 "));
    };
    ask("X-Forwarded-For: 192.0.2.7");
    server.stderr.expect(" 192.0.2.7:0 TLSv1.3");
    ask("X-Forwarded-For: 192.0.2.7\r\nForwarded: for=198.51.100.1");
    server
        .stderr
        .expect(&format!("{own}: Forwarded and X-Forwarded-For name different clients, so {own} counts"));
    server.stderr.expect(&format!(" {own} TLSv1.3"));
    ask("X-Forwarded-For: 192.0.2.7, nonsense");
    server
        .stderr
        .expect(&format!("{own}: Forwarded or X-Forwarded-For is malformed, so {own} counts as the client"));
    server.stop();
}

/// A server behind the proxy. It answers with the head that it has got.
fn mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let length = head.len();
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(&[answer.as_bytes(), &head].concat());
        }
    });
    url
}

/// What a backend is told of the way of a request, in whatever spelling.
fn way(head: &str) -> Vec<&str> {
    let is_of_it = |line: &&str| {
        let name = line.split(':').next().unwrap().to_ascii_lowercase().replace('_', "-");
        name.starts_with("x-") || ["forwarded", "via", "traceparent"].contains(&&*name)
    };
    head.lines().filter(is_of_it).collect()
}

#[test]
fn a_backend_is_told_the_way_from_the_client_that_trusted_proxies_name_and_nothing_that_others_say() {
    let world = World::new();
    let url = mirror();
    let trusted = ["--trust-forwarded", "127.0.0.1", "--trust-forwarded", "10.0.0.0/8"];
    let mut server =
        Server::serve(&world.pair, &[&trusted[..], &["--to", &url, "--log-format=json"]].concat());
    let to = local(server.https_port());
    // What no proxy in front has written.
    const FORGED: &str =
        "X_Forwarded_For: 203.0.113.66\r\nX-Real-IP: 203.0.113.66\r\nX-Forwarded-Port: 66\r\n\
                          X-Forwarded_Proto: http\r\nX-Forwarded-Prefix: /forged\r\nVia: 1.1 forged\r\n";
    let mut ask = |client: &mut Client, fields: &str| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: own.example\r\n{fields}{FORGED}\r\n"));
        let (head, told) = client.response();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(!told.contains("203.0.113.66") && !told.contains("forged"), "{fields}: {told}");
        let line = server.stderr.expect("lockgate::access");
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        let id = record["request_id"].as_str().unwrap().to_string();
        let (ids, way): (Vec<_>, Vec<_>) =
            way(&told).into_iter().map(String::from).partition(|line| line.starts_with("x-request-id: "));
        assert_eq!(ids, [format!("x-request-id: {id}")], "{told}");
        (way, id, record["peer"].as_str().unwrap().to_string())
    };
    let expected = |addresses: &str, elements: &str, proto: &str, host: &str| {
        [
            format!("x-forwarded-for: {addresses}"),
            format!("forwarded: {elements}"),
            format!("x-forwarded-proto: {proto}"),
            format!("x-forwarded-host: {host}"),
            "via: 1.1 lockgate".to_string(),
        ]
    };
    let connected = |source| Client::behind(tcp_from(source, to), b"", &world.authority.certificate());

    // The client has asked 10.0.0.2 over HTTP for app.example, which has asked 127.0.0.1, which asks this server. What stands left of
    // the client is the client's own word.
    let by = |client: &str, host: &str| {
        format!("{client};host={host};proto=http, for=10.0.0.2, for=127.0.0.1;host=own.example;proto=https")
    };
    let through_two = expected(
        "192.0.2.7, 10.0.0.2, 127.0.0.1",
        &by("for=192.0.2.7", "app.example"),
        "http",
        "app.example",
    );
    let x = "X-Forwarded-For: 203.0.113.66, 192.0.2.7, 10.0.0.2\r\n";
    let elements = "Forwarded: for=203.0.113.66;host=forged.example;proto=https, \
                    For=\"192.0.2.7:4711\";Proto=http;Host=app.example, for=10.0.0.2;host=middle.example;proto=https\r\n";
    let mut proxy = connected([127, 0, 0, 1]);
    for fields in [
        format!("{x}X-Forwarded-Proto: http\r\nX-Forwarded-Host: app.example\r\n"),
        // As lists, an element for each proxy.
        format!(
            "{x}X-Forwarded-Proto: https, http, https\r\nX-Forwarded-Host: forged.example, app.example, middle.example\r\n"
        ),
        // In several lines, the forged one in front.
        "X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.2\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: app.example\r\n"
            .to_string(),
        elements.to_string(),
        format!("{x}{elements}"),
    ] {
        let (way, _, peer) = ask(&mut proxy, &fields);
        assert_eq!((&way[..], &*peer), (&through_two[..], "192.0.2.7"), "{fields}");
    }
    let (way, ..) = ask(
        &mut proxy,
        "Forwarded: for=\"[2001:db8::7]:5\";proto=http;host=\"app.example:8080\", for=10.0.0.2\r\n",
    );
    assert_eq!(
        way,
        expected(
            "2001:db8::7, 10.0.0.2, 127.0.0.1",
            &by("for=\"[2001:db8::7]\"", "\"app.example:8080\""),
            "http",
            "app.example:8080"
        )
    );
    // A proxy that says less leaves more to this server's own word, which is never taken for the client's.
    let (way, ..) = ask(&mut proxy, x);
    let elements = "for=192.0.2.7, for=10.0.0.2, for=127.0.0.1;host=own.example;proto=https";
    assert_eq!(way, expected("192.0.2.7, 10.0.0.2, 127.0.0.1", elements, "https", "own.example"));
    // Without the fields, and with those that cannot both be true, the proxy is all that is known.
    let of_peer = |peer: &str| {
        expected(peer, &format!("for={peer};host=own.example;proto=https"), "https", "own.example")
    };
    for fields in ["", "X-Forwarded-For: 203.0.113.66\r\nForwarded: for=198.51.100.1;host=forged.example\r\n"]
    {
        assert_eq!(ask(&mut proxy, fields).0, of_peer("127.0.0.1"), "{fields}");
    }
    // Its id of the request is taken, for this request alone.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let is_made = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id != trace;
    assert_eq!(ask(&mut proxy, "X-Request-Id: edge-4711\r\n").1, "edge-4711");
    assert_eq!(ask(&mut proxy, &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n")).1, trace);
    for fields in ["", "X-Request-Id: a forged one\r\n", "X_Request_Id: forged\r\n"] {
        let (_, id, _) = ask(&mut proxy, fields);
        assert!(is_made(&id), "{fields}: {id}");
    }

    // Another peer says nothing, whatever it sends.
    let mut other = connected([127, 0, 0, 2]);
    let forged = format!("{x}X-Forwarded-Proto: http\r\nX-Forwarded-Host: forged.example\r\n");
    for fields in [&*forged, "Forwarded: for=203.0.113.66;host=forged.example;proto=http\r\n"] {
        let (way, _, peer) = ask(&mut other, &format!("{fields}X-Request-Id: forged\r\n"));
        assert_eq!((&way[..], &*peer), (&of_peer("127.0.0.2")[..], "127.0.0.2"), "{fields}");
    }
    assert!(is_made(&ask(&mut other, "X-Request-Id: forged\r\n").1));
    server.stop();
}

#[test]
fn uploads_are_counted_for_the_client_that_a_header_or_a_trusted_proxy_names() {
    let world = World::new();
    let (entered, came) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let router = Router::new().post("/", move |request: &mut Request| {
        entered.send(()).unwrap();
        let read = request.bytes().map(|body| body.len().to_string());
        wait.lock().unwrap().recv().unwrap();
        read
    });
    let mut limits = Limits::default();
    (limits.body_buffer_bytes, limits.streaming_bodies_per_address) = (10, 1);
    let (running, to) = world.spawn(router, |builder| {
        builder
            .limits(limits)
            .proxy_protocol_from(["127.0.0.2".parse().unwrap()])
            .trust_forwarded(["127.0.0.1".parse().unwrap()])
    });
    let authority = world.authority.certificate();
    let behind =
        |client: [u8; 4]| Client::behind(tcp_from([127, 0, 0, 2], to), &v2(client, 1, &[]), &authority);
    let proxied = || Client::behind(tcp_from([127, 0, 0, 1], to), b"", &authority);
    let upload = |client: &mut Client, fields: &str| {
        let body = "x".repeat(20);
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n{fields}\r\n{body}"));
    };
    let status = |mut client: Client| client.response().0[9..12].to_string();
    let named = "X-Forwarded-For: 192.0.2.7\r\n";
    // The client by a header holds its place: by either way it has no other one.
    for by_header in [true, false] {
        let mut first = if by_header { behind([192, 0, 2, 7]) } else { proxied() };
        upload(&mut first, if by_header { "" } else { named });
        came.recv_timeout(SAFETY).unwrap();
        let mut second = behind([192, 0, 2, 7]);
        upload(&mut second, "");
        assert_eq!(status(second), "429");
        let mut second = proxied();
        upload(&mut second, named);
        assert_eq!(status(second), "429");
        // Other clients of the same balancers have places of their own.
        let mut others = [behind([192, 0, 2, 8]), proxied()];
        upload(&mut others[0], "");
        upload(&mut others[1], "X-Forwarded-For: 192.0.2.9\r\n");
        (0..2).for_each(|_| came.recv_timeout(SAFETY).unwrap());
        (0..3).for_each(|_| go.send(()).unwrap());
        for client in others.into_iter().chain([first]) {
            assert_eq!(status(client), "200");
        }
    }
    // One that claims an address of this machine is counted too, and this machine is not.
    let [mut first, mut second] = [proxied(), proxied()];
    upload(&mut first, "X-Forwarded-For: 127.0.0.9\r\n");
    came.recv_timeout(SAFETY).unwrap();
    upload(&mut second, "X-Forwarded-For: 127.0.0.9\r\n");
    assert_eq!(status(second), "429");
    go.send(()).unwrap();
    assert_eq!(status(first), "200");
    let mut own = [proxied(), proxied()];
    own.iter_mut().for_each(|client| upload(client, ""));
    (0..2).for_each(|_| came.recv_timeout(SAFETY).unwrap());
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!(own.map(status), ["200", "200"]);
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn several_networks_stand_in_a_file_as_an_array() {
    let world = World::new();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("lockgate.toml");
    fs::write(
        &file,
        "proxy-from = [\"192.0.2.1\", \"127.0.0.1\", \"127.0.0.4/31\"]\ntrust-forwarded = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\n",
    )
    .unwrap();
    let mut server = Server::serve(&world.pair, &["--config", support_command::text(&file)]);
    let to = local(server.https_port());
    let mut client = |source: [u8; 4], header: &[u8], forwarded: &str, words: &str| {
        let mut client = Client::behind(tcp_from(source, to), header, &world.authority.certificate());
        client.send(&GET.replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {forwarded}\r\n\r\n")));
        assert!(client.response().0.starts_with("HTTP/1.1 200 "));
        server.stderr.expect(words);
    };
    let named = |client| v2(client, 9, &[]);
    client([127, 0, 0, 1], &named([192, 0, 2, 7]), "203.0.113.5", " 203.0.113.5:0 TLSv1.3");
    client([127, 0, 0, 5], &named([10, 1, 2, 3]), "203.0.113.6", " 203.0.113.6:0 TLSv1.3");
    client([127, 0, 0, 4], &named([198, 51, 100, 1]), "203.0.113.7", " 198.51.100.1:9 TLSv1.3");
    client([127, 0, 0, 6], b"", "203.0.113.8", " 127.0.0.6:");
    let log = server.stop();
    assert!(!log.contains("203.0.113.7") && !log.contains("203.0.113.8"), "{log}");
}

/// HAProxy in front, with this configuration.
struct Haproxy {
    child: Child,
    dir: TempDir,
}

impl Haproxy {
    fn start(test: &str, dir: TempDir, config: &str) -> Option<Haproxy> {
        let socket = dir.path().join("stats");
        let global = format!(
            "global\n    nbthread 1\n    stats socket {} level admin\ndefaults\n    timeout connect 20s\n    timeout client 60s\n    \
             timeout server 60s\n",
            socket.display()
        );
        Haproxy::start_with(test, dir, &format!("{global}{config}"))
    }

    /// With this configuration and nothing else.
    fn start_with(test: &str, dir: TempDir, config: &str) -> Option<Haproxy> {
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let mut command = HAPROXY.command(test, &["-db", "-f", file.to_str().unwrap()])?;
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Some(Haproxy { child, dir })
    }

    fn connect(&mut self, source: [u8; 4], front: SocketAddr) -> TcpStream {
        let until = Instant::now() + SAFETY;
        while TcpStream::connect(front).is_err() {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < until, "{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
        tcp_from(source, front)
    }

    /// Waits until the check of each server has had this result.
    fn await_checks(&self, result: &str, count: usize) {
        let until = Instant::now() + SAFETY;
        loop {
            let mut stats = String::new();
            if let Ok(mut socket) = UnixStream::connect(self.dir.path().join("stats")) {
                socket.write_all(b"show stat\n").unwrap();
                socket.read_to_string(&mut stats).unwrap();
            }
            if stats.matches(result).count() >= count {
                return;
            }
            assert!(Instant::now() < until, "{stats}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free ports of the loopback; they are held until all are known, so that they differ.
fn fronts<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

#[test]
fn haproxy_passes_connections_on_with_each_of_its_headers() {
    let world = World::new();
    let (running, to) = world.spawn(Router::new().get("/", told), |builder| {
        builder.proxy_protocol_from(["127.0.0.1".parse().unwrap()])
    });
    let mut server = Server::serve(&world.pair, &["--proxy-from", "127.0.0.1"]);
    let command = local(server.https_port());
    let dir = TempDir::new().unwrap();
    let client = world.authority.client("pump");
    let both = dir.path().join("both.pem");
    fs::write(&both, [fs::read(&world.pair.cert).unwrap(), fs::read(&world.pair.key).unwrap()].concat())
        .unwrap();
    let [one, two, options, ssl, logged] = fronts();
    let tcp = |name: &str, bind: SocketAddr, bound: &str, to: SocketAddr, server: &str| {
        format!("listen {name}\n    mode tcp\n    bind {bind} {bound}\n    server lockgate {to} {server}\n")
    };
    let ends = format!("ssl crt {} ca-file {} verify optional", both.display(), world.authority.ca.display());
    let config = [
        tcp("one", one, "", to, "send-proxy"),
        tcp("two", two, "", to, "send-proxy-v2"),
        "listen options\n    mode tcp\n    unique-id-format %[uuid()]\n    tcp-request inspect-delay 5s\n    tcp-request content accept if { req.ssl_hello_type 1 }\n".to_string()
            + &format!("    bind {options}\n    server lockgate {to} send-proxy-v2 proxy-v2-options crc32c,unique-id\n"),
        tcp("ssl", ssl, &ends, to, "ssl verify none send-proxy-v2-ssl-cn"),
        tcp("logged", logged, "", command, "send-proxy-v2"),
    ];
    let name = "haproxy_passes_connections_on_with_each_of_its_headers";
    let Some(mut haproxy) = Haproxy::start(name, dir, &config.concat()) else { return };
    for (front, words) in [
        (one, "id=None"),
        (two, "id=None"),
        (options, "id=Some(["),
        (ssl, "cn=Some(\"pump\") verified=Some(true)"),
    ] {
        let stream = haproxy.connect([127, 0, 0, 9], front);
        let own = stream.local_addr().unwrap();
        let body = if front == ssl {
            let mut client = Client::with(stream, b"", &world.authority.certificate(), Some(&client));
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.response().1
        } else {
            let mut client = Client::behind(stream, b"", &world.authority.certificate());
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.response().1
        };
        let expected = format!("peer={own} source=Some(\"{own}\") destination=Some(\"{front}\") ");
        assert!(body.starts_with(&expected) && body.contains(words), "{body}");
    }
    let stream = haproxy.connect([127, 0, 0, 9], logged);
    let own = stream.local_addr().unwrap();
    Client::behind(stream, b"", &world.authority.certificate()).get();
    server.stderr.expect("GET /api/data 200 36 ");
    let log = server.stop();
    assert!(log.contains(&format!(" {own} TLSv1.3")), "{log}");
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn haproxys_health_checks_succeed_and_log_nothing() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--proxy-from", "127.0.0.1", "-v"]);
    let to = local(server.https_port());
    let [one, two, three, four] = fronts();
    let listen = |name: &str, bind: SocketAddr, server: &str| {
        format!("listen {name}\n    mode tcp\n    bind {bind}\n    server {name} {to} check inter 50ms {server}\n")
    };
    let config = [
        listen("one", one, "check-send-proxy send-proxy"),
        listen("two", two, "check-send-proxy send-proxy-v2"),
        listen("three", three, "send-proxy-v2 check-ssl verify none"),
        "listen four\n    mode tcp\n    option httpchk GET /api/data HTTP/1.1\\r\\nHost:\\ localhost\n".to_string()
            + &format!("    bind {four}\n    server four {to} check inter 50ms check-send-proxy send-proxy-v2 check-ssl verify none\n"),
    ];
    let name = "haproxys_health_checks_succeed_and_log_nothing";
    let Some(haproxy) = Haproxy::start(name, TempDir::new().unwrap(), &config.concat()) else { return };
    haproxy.await_checks("L4OK", 2);
    haproxy.await_checks("L6OK", 1);
    haproxy.await_checks("L7OK", 1);
    for _ in 0..20 {
        server.stderr.expect("a connection of the balancer itself");
    }
    drop(haproxy);
    let log = server.stop();
    let told: Vec<_> =
        log.lines().filter(|line| !line.contains("DEBUG") && line.contains("lockgate::server]")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn haproxy_passes_requests_on_and_its_clients_cannot_choose_their_address() {
    let world = World::new();
    let mut server = Server::serve(&world.pair, &["--trust-forwarded", "127.0.0.1/32"]);
    let to = local(server.https_port());
    let [front] = fronts();
    let config = format!(
        "listen http\n    mode http\n    option forwardfor\n    http-request set-header X-Forwarded-Proto http\n    bind {front}\n    \
         server lockgate {to} ssl verify none\n"
    );
    let name = "haproxy_passes_requests_on_and_its_clients_cannot_choose_their_address";
    let Some(mut haproxy) = Haproxy::start(name, TempDir::new().unwrap(), &config) else { return };
    let mut client = haproxy.connect([127, 0, 0, 9], front);
    for (fields, words) in [
        ("", " 127.0.0.9:0 TLSv1.3"),
        ("X-Forwarded-For: 192.0.2.7\r\n", " 127.0.0.9:0 TLSv1.3"),
        ("X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n", " 127.0.0.9:0 TLSv1.3"),
        // HAProxy passes it on as it came.
        ("Forwarded: for=192.0.2.7\r\n", "Forwarded and X-Forwarded-For name different clients"),
    ] {
        write!(client, "GET /api/data HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(support_command::BODY.as_bytes()) {
            let mut some = [0; 1024];
            let read = client.read(&mut some).unwrap();
            assert!(read > 0, "{}", answer.escape_ascii());
            answer.extend_from_slice(&some[..read]);
        }
        server.stderr.expect(words);
    }
    let log = server.stop();
    assert!(!log.contains(" 192.0.2.7"), "{log}");
}

/// What a handler gets of the fields by which one in front tells of a request, and what the server makes of them.
fn fields_in_front(request: &mut Request) -> Response {
    let told = request.forwarded();
    let mut text = format!(
        "client={} scheme={:?} host={:?} id={}\n",
        request.peer().unwrap().ip(),
        told.and_then(|told| told.scheme()),
        told.and_then(|told| told.host()),
        request.id(),
    );
    for name in FORGED {
        for value in request.headers().get_all(name) {
            text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
    }
    Response::text(text)
}

const FORGED: [&str; 7] = [
    "x-forwarded-for",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
    "tracestate",
];

/// Programs build links of `X-Forwarded-Host`, also those by which a password is set anew (OWASP WSTG, host header injection).
#[test]
fn the_shipped_configuration_of_haproxy_lets_no_client_choose_what_is_believed() {
    let world = World::new();
    let (running, to, admin) = {
        let identity = Identity::from_pem_files(&world.pair.cert, &world.pair.key).unwrap();
        let builder = lockgate::Server::builder(Router::new().get("/", fields_in_front));
        let builder = builder.https("127.0.0.1:0").identity(identity).admin("127.0.0.1:0");
        let server = builder.trust_forwarded(["127.0.0.1".parse().unwrap()]).bind().unwrap();
        let (to, admin) = (server.local_addr(), server.admin_addr().unwrap());
        (server.spawn().unwrap(), to, admin)
    };
    let dir = TempDir::new().unwrap();
    let both = dir.path().join("both.pem");
    fs::write(&both, [fs::read(&world.pair.cert).unwrap(), fs::read(&world.pair.key).unwrap()].concat())
        .unwrap();
    let [front, plain] = fronts();
    let mut config = include_str!("../examples/operations/haproxy/http.cfg").to_string();
    for (shipped, here) in [
        ("/run/haproxy/admin.sock", dir.path().join("stats").display().to_string()),
        ("/etc/haproxy/site.pem", both.display().to_string()),
        ("/etc/haproxy/nodes-ca.pem", world.authority.ca.display().to_string()),
        ("bind 192.0.2.5:443", format!("bind {front}")),
        ("bind 192.0.2.5:80", format!("bind {plain}")),
        ("192.0.2.11:8443", to.to_string()),
        ("192.0.2.12:8443", to.to_string()),
        ("192.0.2.13:8443", to.to_string()),
        ("port 9090", format!("port {}", admin.port())),
    ] {
        assert!(config.contains(shipped), "{shipped}");
        config = config.replace(shipped, &here);
    }
    let name = "the_shipped_configuration_of_haproxy_lets_no_client_choose_what_is_believed";
    let Some(mut haproxy) = Haproxy::start_with(name, dir, &config) else { return };
    let stream = haproxy.connect([127, 0, 0, 9], front);
    let mut client = Client::behind(stream, b"", &world.authority.certificate());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    client.send(&format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7;host=evil.example\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\nX-Request-Id: forged\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: evil=1\r\n\r\n"
    ));
    let (head, body) = client.response();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");
    let (first, rest) = body.split_once('\n').unwrap();
    let (told, id) = first.split_once(" id=").unwrap();
    assert_eq!(told, "client=127.0.0.9 scheme=Some(\"https\") host=Some(\"localhost\")");
    assert_eq!(
        rest,
        format!(
            "x-forwarded-for: 127.0.0.9\nx-forwarded-host: localhost\nx-forwarded-proto: https\nx-request-id: {id}\n"
        )
    );
    let is_uuid = id.len() == 36 && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    assert!(is_uuid, "{id}");
    let mut stream = haproxy.connect([127, 0, 0, 9], plain);
    stream.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 301 ") && answer.contains("location: https://localhost/page\r\n"),
        "{answer}"
    );
    drop(haproxy);
    running.handle().stop();
    running.join().unwrap();
}

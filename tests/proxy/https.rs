//! Backends over HTTPS: who is trusted, what is cut, and that no handshake holds a worker.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lockgate::{Limits, Proxy, Request, Router};
use rcgen::{date_time_ymd, BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::support::{
    authority, authority_pem, await_lines, get, lines, noise, pem_pair, post, serve, serve_within, Serving,
    Shape,
};
use super::until;

pub(super) type Secured = StreamOwned<ServerConnection, TcpStream>;

/// A backend over TLS. The function serves each connection.
pub(super) fn backend(
    config: ServerConfig,
    serve: impl Fn(&mut Secured) -> Option<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, serve) = (Arc::new(config), Arc::new(serve));
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let (config, serve) = (config.clone(), serve.clone());
            thread::spawn(move || {
                let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp.unwrap());
                let _ = serve(&mut tls);
            });
        }
    });
    address
}

pub(super) fn config(certificate: &str, key: &str) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// One signed by the authority of these tests, for localhost.
pub(super) fn trusted() -> ServerConfig {
    let (certificate, key) = pem_pair(|_| {});
    config(&certificate, &key)
}

pub(super) fn head(tls: &mut Secured) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

pub(super) fn say(tls: &mut Secured, text: impl AsRef<[u8]>) -> Option<()> {
    tls.write_all(text.as_ref()).ok()
}

pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A folder with these files.
pub(super) fn files(contents: &[(&str, &str)]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let paths = contents.iter().map(write).collect();
    (folder, paths)
}

pub(super) fn trusting(address: SocketAddr, pem: &str) -> Proxy {
    let (_folder, paths) = files(&[("ca.pem", pem)]);
    to(address).ca_file(&paths[0]).unwrap()
}

pub(super) fn to(address: SocketAddr) -> Proxy {
    Proxy::to(&format!("https://localhost:{}", address.port())).unwrap()
}

fn serve_proxy(proxy: &Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

#[test]
fn requests_and_answers_of_all_sizes_pass_over_connections_that_are_kept() {
    let router = Router::new()
        .post("/echo", |request: &mut Request| request.bytes())
        .get("/large", |_: &mut Request| noise(3_000_000));
    let inner = serve_within(router, |limits| limits.body_bytes = 4 << 20);
    let proxy = trusting(inner.address, &authority_pem());
    proxy.check().unwrap();
    let router = Router::new().fallback(proxy.handler());
    let serving = serve_within(router, |limits| limits.body_bytes = 4 << 20);
    let mut client = serving.connect();
    for length in [1, 16_384, 16_385, 70_000, 900_000] {
        let body = noise(length);
        client.send(post("/echo", &body));
        assert!(client.reply().body == body, "{length}");
    }
    assert!(client.get("/large").body == noise(3_000_000));
    assert_eq!(client.get("/none").status, 404);
    assert_eq!(proxy.health().targets[0].kept, 1);
    assert_eq!(inner.handle.health().connections, 1);
}

#[test]
fn a_backend_whose_certificate_is_not_right_gets_nothing_of_a_request() {
    const UNKNOWN: &str = "its certificate is not signed by an authority of the CA file";
    const EXPIRED: &str = "its certificate has expired";
    const OTHER: &str = "its certificate is not for the host of its URL";
    let got = Arc::new(Mutex::new(0));
    let serves = |config| {
        let got = got.clone();
        backend(config, move |tls| {
            *got.lock().unwrap() += head(tls)?.len();
            say(tls, ok("leaked"))
        })
    };
    let own = |change: &dyn Fn(&mut CertificateParams)| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().pem();
        (config(&certificate, &key.serialize_pem()), certificate)
    };
    let authoritys =
        |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let expired = |params: &mut CertificateParams| {
        authoritys(params);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let other_name = |params: &mut CertificateParams| {
        authoritys(params);
        params.subject_alt_names.clear();
    };
    let (good, _) = own(&|_| {});
    let (of_expired, expired) = own(&expired);
    let (of_other, other_name) = own(&other_name);
    let old = pem_pair(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let by_address = serves(trusted());
    let by_address = Proxy::to(&format!("https://{by_address}")).unwrap();
    let (_folder, paths) = files(&[("ca.pem", &authority_pem())]);
    let proxies = [
        (trusting(serves(good), &authority_pem()), UNKNOWN),
        (trusting(serves(trusted()), &expired), UNKNOWN),
        (trusting(serves(of_expired), &expired), EXPIRED),
        (trusting(serves(of_other), &other_name), OTHER),
        (trusting(serves(config(&old.0, &old.1)), &authority_pem()), EXPIRED),
        (by_address.ca_file(&paths[0]).unwrap(), OTHER),
    ];
    for (number, (proxy, why)) in proxies.iter().enumerate() {
        let serving = serve_proxy(proxy);
        let mut client = serving.connect();
        client.send(post("/secret", b"body"));
        let reply = client.reply();
        assert_eq!(reply.status, 502, "{number}");
        reply.problem();
        let target = &proxy.health().targets[0];
        assert_eq!((target.failures.tls, target.failures.refused), (1, 0), "{number}");
        let of_it = |line: &str| line.contains(&target.name) && line.contains("TLS handshake has failed");
        let told = lines(of_it);
        assert!(told.len() == 1 && told[0].contains(why), "{number}: {told:?}");
    }
    assert_eq!(*got.lock().unwrap(), 0);
}

#[test]
fn a_backend_may_have_signed_its_certificate_itself() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap().pem();
        let address = backend(config(&certificate, &key.serialize_pem()), |tls| {
            head(tls)?;
            say(tls, ok("yes"))
        });
        assert_eq!(serve_proxy(&trusting(address, &certificate)).get("/").text(), "yes");
    }
}

#[test]
fn without_a_ca_file_a_program_is_told_to_give_it_and_a_backend_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = to(listener.local_addr().unwrap());
    let fault = proxy.check().unwrap_err().to_string();
    assert!(fault.contains("Proxy::ca_file") && fault.contains("https://localhost:"), "{fault}");
    assert_eq!(serve_proxy(&proxy).get("/").status, 502);
    let port = format!(":{}", listener.local_addr().unwrap().port());
    assert!(!lines(|line| line.contains(&port) && line.contains("Proxy::ca_file")).is_empty());
    let (_folder, paths) = files(&[("ca.pem", "nothing")]);
    for path in [&paths[0], &PathBuf::from("/none/ca.pem")] {
        assert!(proxy.clone().ca_file(path).unwrap_err().to_string().contains("ca.pem"));
    }
}

#[test]
fn verification_is_switched_off_only_with_a_loud_warning_for_each_handler() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["other".to_string()]).unwrap().self_signed(&key).unwrap();
    let address = backend(config(&certificate.pem(), &key.serialize_pem()), |tls| {
        head(tls)?;
        say(tls, ok("yes"))
    });
    let proxy = to(address).danger_accept_any_certificate().unwrap();
    let port = format!(":{}", address.port());
    let warnings = || lines(|line| line.contains("DANGER") && line.contains(&port)).len();
    // The log is kept from the first server of these tests on.
    let _other = serve(Router::new());
    let serving = serve_proxy(&proxy);
    assert_eq!(serving.get("/").text(), "yes");
    assert_eq!(warnings(), 1);
    let _handler = proxy.handler();
    assert_eq!(warnings(), 2);
}

#[test]
fn a_backend_that_speaks_no_tls_or_none_in_time_is_an_error_and_holds_no_worker() {
    // It answers in plain HTTP.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = trusting(plain.local_addr().unwrap(), &authority_pem());
    let answering = thread::spawn(move || {
        let (mut tcp, _) = plain.accept().unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = tcp.read(&mut [0; 1024]);
    });
    assert_eq!(serve_proxy(&proxy).get("/").status, 502);
    assert_eq!(proxy.health().targets[0].failures.tls, 1);
    answering.join().unwrap();
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = trusting(silent.local_addr().unwrap(), &authority_pem());
    let proxy = proxy.connect_timeout(Duration::from_millis(300));
    let router = Router::new().get("/state", |_: &mut Request| "on").fallback(proxy.handler());
    let serving = serve_within(router, |limits: &mut Limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
    });
    let mut clients: Vec<_> = (0..20).map(|_| serving.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    until(|| proxy.health().targets[0].in_flight > 0);
    assert_eq!(serving.get("/state").text(), "on");
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().status, 504));
    assert_eq!(proxy.health().targets[0].failures.tls, 20);
}

#[test]
fn a_handshake_and_an_answer_may_come_byte_by_byte() {
    let address = backend(trusted(), |tls| loop {
        head(tls)?;
        say(tls, ok("slow and whole"))?;
    });
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = relay.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in relay.incoming() {
            let (near, far) = (tcp.unwrap(), TcpStream::connect(address).unwrap());
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                to.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let mut byte = [0];
                    while matches!(from.read(&mut byte), Ok(1)) && to.write_all(&byte).is_ok() {}
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let serving = serve_proxy(&trusting(at, &authority_pem()));
    let mut client = serving.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "slow and whole");
    }
}

#[test]
fn an_answer_until_the_end_is_whole_only_if_tls_says_so() {
    for says_so in [true, false] {
        let address = backend(trusted(), move |tls| {
            head(tls)?;
            say(tls, "HTTP/1.1 200 OK\r\n\r\nall or half")?;
            if says_so {
                tls.conn.send_close_notify();
                tls.flush().ok()?;
            }
            tls.sock.shutdown(std::net::Shutdown::Write).ok()?;
            let _ = tls.read(&mut [0]);
            Some(())
        });
        let serving = serve_proxy(&trusting(address, &authority_pem()));
        let mut client = serving.connect();
        client.send(get("/"));
        match client.try_reply(Shape::WithBody) {
            Ok(reply) => assert_eq!((says_so, reply.text()), (true, "all or half")),
            Err(_) => assert!(!says_so, "it is whole"),
        }
    }
}

#[test]
fn sessions_are_resumed_and_connections_that_the_backend_has_closed_are_no_error() {
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = kinds.clone();
    let address = backend(trusted(), move |tls| {
        head(tls)?;
        seen.lock().unwrap().push(tls.conn.handshake_kind());
        say(tls, ok("yes"))?;
        tls.conn.send_close_notify();
        tls.flush().ok()
    });
    let serving = serve_proxy(&trusting(address, &authority_pem()));
    let mut client = serving.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "yes");
    }
    let kinds = kinds.lock().unwrap();
    assert_eq!(kinds[0], Some(HandshakeKind::Full));
    assert_eq!(kinds[1..], [Some(HandshakeKind::Resumed); 2]);
}

#[test]
fn a_backend_that_asks_for_a_certificate_gets_that_of_the_proxy() {
    let mut roots = RootCertStore::empty();
    roots.add(authority()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let (certificate, key) = pem_pair(|_| {});
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let address = backend(config, |tls| {
        head(tls)?;
        let shown = tls.conn.peer_certificates().map_or(0, <[_]>::len);
        say(tls, ok(&shown.to_string()))
    });
    let (certificate, key) = pem_pair(|_| {});
    let (_folder, paths) =
        files(&[("own.pem", &certificate), ("own.key", &key), ("ca.pem", &authority_pem())]);
    // In any order.
    let proxy = to(address).client_certificate(&paths[0], &paths[1]).unwrap().ca_file(&paths[2]).unwrap();
    assert_eq!(serve_proxy(&proxy).get("/").text(), "1");
    let without = trusting(address, &authority_pem());
    assert_eq!(serve_proxy(&without).get("/").status, 502);
    let port = format!(":{} ", address.port());
    let told =
        await_lines(1, |line| line.contains(&port) && line.contains("requires a client's certificate"));
    assert!(told[0].contains("give one with"), "{told:?}");
}

#[test]
fn a_websocket_is_a_tunnel_over_tls_too() {
    let address = backend(trusted(), |tls| {
        head(tls)?;
        say(
            tls,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        )?;
        loop {
            let mut piece = [0; 4096];
            let read = tls.read(&mut piece).ok().filter(|read| *read > 0)?;
            say(tls, &piece[..read])?;
        }
    });
    let serving = serve_proxy(&trusting(address, &authority_pem()));
    let mut client = serving.connect();
    client.send(
        "GET /live HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    client.take_until(b"\r\n\r\n").unwrap();
    assert_eq!(client.take(5).unwrap(), b"hello");
    let data = noise(300_000);
    for piece in data.chunks(10_000) {
        client.send(piece);
        assert!(client.take(piece.len()).unwrap() == piece);
    }
}

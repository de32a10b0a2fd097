//! Versions, ciphers, and everything else that a handshake shows.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use lockgate::check::Check;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::certs::{Leaf, Root};
use crate::site::{beside, on_each, seen, Hello, Site};

pub const HANDSHAKE: u8 = 22;
pub const ALERT: u8 = 21;

pub fn record(kind: u8, version: u16, content: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&(content.len() as u16).to_be_bytes());
    out.extend_from_slice(content);
    out
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(body);
    out
}

fn hello(version: u16, random: [u8; 32], suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend_from_slice(&random);
    body.push(0);
    body.extend_from_slice(&suite.to_be_bytes());
    body.push(0);
    if !extensions.is_empty() {
        body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        body.extend_from_slice(extensions);
    }
    message(2, &body)
}

/// A whole flight up to ServerHelloDone; `exchange` is the body of ServerKeyExchange.
pub fn flight(version: u16, suite: u16, exchange: Option<&[u8]>) -> Vec<u8> {
    let mut messages = hello(version, [7; 32], suite, &[]);
    messages.extend(message(11, &[0, 0, 0]));
    if let Some(exchange) = exchange {
        messages.extend(message(12, exchange));
    }
    messages.extend(message(14, &[]));
    record(HANDSHAKE, version, &messages)
}

/// HelloRetryRequest (RFC 8446 §4.1.4): the server wants this group.
pub fn retry(group: u16) -> Vec<u8> {
    const RANDOM: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let [high, low] = group.to_be_bytes();
    let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, high, low];
    record(HANDSHAKE, 0x0303, &hello(0x0303, RANDOM, 0x1301, &extensions))
}

pub fn accepts(version: u16, suite: u16, hello: &Hello) -> bool {
    hello.version == version && hello.suites.contains(&suite)
}

/// A good site that also speaks this version with this suite.
fn old(root: &Root, version: u16, suite: u16) -> Site {
    let canned = move |hello: &Hello| accepts(version, suite, hello).then(|| flight(version, suite, None));
    Site { canned: Some(Arc::new(canned)), ..Site::new(root) }
}

#[test]
fn a_good_site_has_no_finding() {
    let root = Root::new();
    let site = Site::new(&root).start();
    let report = site.report(&root);
    assert_eq!(beside(&report), [""; 0]);
    assert_eq!(report.unknown(), [""; 0]);
    let versions = &report.facts()["tls"]["versions"];
    for (version, is_accepted) in
        [("SSL 3.0", false), ("TLS 1.0", false), ("TLS 1.1", false), ("TLS 1.2", true), ("TLS 1.3", true)]
    {
        assert_eq!(versions[version], is_accepted, "{version}");
    }
    assert_eq!(report.facts()["tls"]["resumption"], true);
    assert!(report.summary().contains("is secure."), "{}", report.summary());
}

#[test]
fn old_versions_and_weak_ciphers_are_found_one_by_one() {
    let root = Root::new();
    for (version, suite, expected) in [
        (0x0300, 0x0005, &["ssl-3"][..]),
        (0x0301, 0x002f, &["tls-1-0"]),
        (0x0302, 0xc013, &["tls-1-1"]),
        (0x0303, 0x0005, &["rc4-cipher"]),
        (0x0303, 0x000a, &["des-cipher"]),
        (0x0303, 0x003b, &["null-cipher"]),
        (0x0303, 0x00a6, &["anonymous-cipher"]),
        (0x0303, 0x009c, &["no-forward-secrecy"]),
        (0x0303, 0xc013, &["cbc-cipher"]),
        (0x0301, 0x0003, &["export-cipher", "tls-1-0"]),
        // A current suite, which is not a finding.
        (0x0303, 0xc02b, &[]),
    ] {
        let site = old(&root, version, suite).start();
        assert_eq!(site.found(&root), expected, "{version:04x} {suite:04x}");
    }
}

#[test]
fn a_server_that_begins_and_then_refuses_has_not_accepted() {
    let root = Root::new();
    let canned = |hello_of_client: &Hello| {
        (hello_of_client.version < 0x0303).then(|| {
            let version = hello_of_client.version;
            let begun = record(HANDSHAKE, version, &hello(version, [7; 32], 0x002f, &[]));
            [begun, record(ALERT, version, &[2, 80])].concat()
        })
    };
    let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
    assert_eq!(site.found(&root), [""; 0]);
}

#[test]
fn a_short_prime_is_measured() {
    let root = Root::new();
    for (bytes, expected) in [(128_u8, &["weak-dh"][..]), (0, &[])] {
        // 0 stands for 256 bytes.
        let length = if bytes == 0 { 256_u16 } else { bytes.into() };
        let mut exchange = length.to_be_bytes().to_vec();
        exchange.resize(2 + usize::from(length), 0xff);
        let canned = move |hello: &Hello| {
            accepts(0x0303, 0x009e, hello).then(|| flight(0x0303, 0x009e, Some(&exchange)))
        };
        let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
        let report = site.report(&root);
        assert_eq!(beside(&report), expected);
        if !expected.is_empty() {
            assert!(seen(&report, "weak-dh").contains("1024 bits"));
        }
    }
}

#[test]
fn post_quantum_key_exchange_is_noticed() {
    let root = Root::new();
    let canned = |hello: &Hello| (hello.groups == [0x11ec]).then(|| retry(0x11ec));
    let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
    let report = site.report(&root);
    assert!(report.findings().is_empty(), "{:?}", report.findings());
    assert_eq!(report.facts()["tls"]["post_quantum"], true);
}

#[test]
fn a_server_without_tls_1_3_gets_a_note() {
    let root = Root::new();
    let tls = |config: &mut ServerConfig| {
        *config = only_1_2(config);
    };
    let site = Site { tls: Box::new(tls), ..Site::new(&root) }.start();
    assert_eq!(site.found(&root), ["no-tls-1-3"]);
}

/// The same configuration for TLS 1.2 alone.
fn only_1_2(config: &ServerConfig) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut other = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(config.cert_resolver.clone());
    other.alpn_protocols.clone_from(&config.alpn_protocols);
    other
}

#[test]
fn a_server_of_before_tls_1_2_cannot_be_reached_by_current_clients() {
    let root = Root::new();
    let canned = |hello: &Hello| {
        Some(if accepts(0x0301, 0x002f, hello) {
            flight(0x0301, 0x002f, None)
        } else {
            record(ALERT, 0x0301, &[2, 70])
        })
    };
    let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
    let report = site.report(&root);
    assert_eq!(beside(&report), ["handshake-fails", "tls-1-0"]);
    let seen = seen(&report, "handshake-fails");
    assert!(seen.contains("protocol_version") && seen.contains("TLS 1.0"), "{seen}");
}

#[test]
fn a_port_without_tls_differs_from_a_port_with_tls() {
    let root = Root::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    on_each(listener, |mut stream| {
        use std::io::{Read, Write};
        stream.read_exact(&mut [0; 5])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    });
    let check = Check::new(format!("https://localhost:{port}/"))
        .connect(Ipv4Addr::LOCALHOST.into(), None)
        .http_port(None)
        .ca_file(root.file());
    let report = check.run().unwrap();
    assert_eq!(beside(&report), ["no-tls"]);
    assert!(seen(&report, "no-tls").contains("plain HTTP"));
}

#[test]
fn hellos_without_an_answer_are_reported_as_unknown() {
    let root = Root::new();
    let canned = |hello: &Hello| (hello.version < 0x0303).then(Vec::new);
    let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
    let check = site.check().phase_timeout(std::time::Duration::from_secs(1));
    let report = check.ca_file(root.file()).run().unwrap();
    assert_eq!(beside(&report), [""; 0]);
    let unknown = report.unknown();
    assert!(unknown.iter().any(|unknown| unknown.starts_with("TLS 1.0: no answer")), "{unknown:?}");
}

#[derive(Debug)]
struct ByName {
    named: Arc<CertifiedKey>,
    other: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(_) => Some(self.named.clone()),
            None => self.other.clone(),
        }
    }
}

fn certified(leaf: Leaf) -> Arc<CertifiedKey> {
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(leaf.key).unwrap();
    Arc::new(CertifiedKey::new(vec![leaf.der], key))
}

#[test]
fn clients_that_send_no_name_are_tried() {
    let root = Root::new();
    for (other, expected) in [
        (None, &["name-needed"][..]),
        (Some(certified(root.leaf(|_| {}))), &["other-certificate-without-name"]),
    ] {
        let named = certified(root.leaf(|_| {}));
        let tls = move |config: &mut ServerConfig| config.cert_resolver = Arc::new(ByName { named, other });
        let site = Site { tls: Box::new(tls), ..Site::new(&root) }.start();
        assert_eq!(site.found(&root), expected);
    }
}

#[test]
fn alpn_resumption_and_plain_http_on_the_port_are_noticed() {
    let root = Root::new();
    type Change = fn(&mut ServerConfig);
    let cases: [(&str, Change); 2] = [
        ("no-alpn", |config| config.alpn_protocols.clear()),
        ("no-resumption", |config| {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }),
    ];
    for (id, change) in cases {
        let site = Site { tls: Box::new(change), ..Site::new(&root) }.start();
        assert_eq!(site.found(&root), [id]);
    }
    for (answer, expected) in [
        (&b""[..], &["plain-http-unreadable"][..]),
        (b"\x15\x03\x01\x00\x02\x02\x46", &["plain-http-unreadable"]),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", &["plain-http-unreadable"]),
        (
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n",
            &[],
        ),
    ] {
        let site = Site { plain_on_tls: answer, ..Site::new(&root) }.start();
        assert_eq!(site.found(&root), expected, "{answer:?}");
    }
}

#[test]
fn requested_and_required_client_certificates_are_noticed() {
    let root = Root::new();
    let mut roots = RootCertStore::empty();
    roots.add(root.root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = || WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone());
    for (verifier, expected) in [
        (verifier().allow_unauthenticated().build().unwrap(), &["client-certificate-asked"][..]),
        (verifier().build().unwrap(), &["client-certificate-required"]),
    ] {
        let provider = provider.clone();
        let tls = move |config: &mut ServerConfig| {
            let mut other = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_client_cert_verifier(verifier)
                .with_cert_resolver(config.cert_resolver.clone());
            other.alpn_protocols.clone_from(&config.alpn_protocols);
            *config = other;
        };
        let site = Site { tls: Box::new(tls), ..Site::new(&root) }.start();
        assert_eq!(site.found(&root), expected);
    }
}

#[test]
fn a_check_ends_at_its_time() {
    let root = Root::new();
    let site = Site::new(&root).start();
    let none = site.check().ca_file(root.file()).timeout(std::time::Duration::ZERO).run();
    let message = none.unwrap_err().to_string();
    assert!(message.contains("the time for this check is over"), "{message}");
}

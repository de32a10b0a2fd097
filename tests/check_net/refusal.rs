//! The remedy when a server refuses a current client, for each way to refuse.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use lockgate::check::{Check, Report};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;

use crate::certs::Root;
use crate::site::{beside, seen, Hello, Site};
use crate::tls::{accepts, flight, record, retry, ALERT};

fn fix(report: &Report, id: &str) -> String {
    let finding = report.findings().iter().find(|finding| finding.id() == id);
    finding.unwrap_or_else(|| panic!("{id} is not in {:?}", beside(report))).fix().to_string()
}

/// Refuses every hello with this alert, except those with an answer of their own.
fn refusing(root: &Root, alert: u8, answer: fn(&Hello) -> Option<Vec<u8>>) -> Report {
    let canned =
        move |hello: &Hello| Some(answer(hello).unwrap_or_else(|| record(ALERT, 0x0303, &[2, alert])));
    Site { canned: Some(Arc::new(canned)), ..Site::new(root) }.start().report(root)
}

#[test]
fn the_remedy_of_a_refusal_is_that_of_its_alert_and_situation() {
    let root = Root::new();
    type Answer = fn(&Hello) -> Option<Vec<u8>>;
    let nothing: Answer = |_| None;
    let cases: [(u8, Answer, &[&str], &str); 8] = [
        (112, nothing, &["server_name localhost", "--connect"], "ssl_protocols"),
        (70, nothing, &["ssl_protocols TLSv1.2 TLSv1.3"], "server_name"),
        // It would continue with a group that no current client offers.
        (
            40,
            |hello| hello.groups.contains(&0x0019).then(|| retry(0x0019)),
            &["ssl_ecdh_curve", "secp521r1"],
            "ssl_ciphers",
        ),
        (
            40,
            |hello| hello.groups.contains(&0x001e).then(|| retry(0x001e)),
            &["ssl_ecdh_curve", "x448"],
            "ssl_ciphers",
        ),
        // The same with a cipher.
        (
            40,
            |hello| accepts(0x0303, 0x009c, hello).then(|| flight(0x0303, 0x009c, None)),
            &["ssl_ciphers"],
            "ssl_ecdh_curve",
        ),
        (71, nothing, &["ssl_ciphers"], "server_name"),
        (80, nothing, &["log"], "ssl_protocols"),
        // Like Caddy for an unknown name: it agrees on a group first.
        (
            80,
            |hello| hello.groups.contains(&0x0019).then(|| retry(0x001d)),
            &["no certificate for localhost"],
            "ssl_ciphers",
        ),
    ];
    for (alert, answer, words, not) in cases {
        let report = refusing(&root, alert, answer);
        let fix = fix(&report, "handshake-fails");
        let all = format!("{}\n{fix}", seen(&report, "handshake-fails"));
        for word in words {
            assert!(all.contains(word), "{alert}: {word}: {all}");
        }
        assert!(!fix.contains(not), "{alert}: {fix}");
    }
}

#[test]
fn for_an_address_without_a_name_the_remedy_is_a_name() {
    let root = Root::new();
    let canned = |_: &Hello| Some(record(ALERT, 0x0303, &[2, 112]));
    let site = Site { canned: Some(Arc::new(canned)), ..Site::new(&root) }.start();
    let url = format!("https://127.0.0.1:{}/", site.port);
    let report = Check::new(url).http_port(None).ca_file(root.file()).run().unwrap();
    let fix = fix(&report, "handshake-fails");
    assert!(fix.contains(&format!("https://NAME:{}/ --connect 127.0.0.1", site.port)), "{fix}");
}

#[test]
fn a_server_with_http_2_alone_should_offer_http_1_1_and_the_rest_is_still_checked() {
    let root = Root::new();
    let tls = |config: &mut ServerConfig| config.alpn_protocols = vec![b"h2".to_vec()];
    let site = Site { tls: Box::new(tls), ..Site::new(&root) }.start();
    let report = site.report(&root);
    assert_eq!(beside(&report), ["handshake-fails"]);
    let fix = fix(&report, "handshake-fails");
    assert!(seen(&report, "handshake-fails").contains("HTTP/2"), "{}", seen(&report, "handshake-fails"));
    assert!(fix.contains("allowHTTP1: true") && !fix.contains("ssl_protocols"), "{fix}");
    assert_eq!(report.facts()["certificate"]["trusted"], "an authority of the given file");
    assert_eq!(report.facts()["tls"]["versions"]["TLS 1.3"], true);
    assert_eq!(report.facts()["tls"]["alpn"], "h2");
    // Both alerts mean the same.
    let tls = |config: &mut ServerConfig| config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    assert_eq!(Site { tls: Box::new(tls), ..Site::new(&root) }.start().found(&root), [""; 0]);
}

/// Knows only one name.
#[derive(Debug)]
struct Only(&'static str, Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (hello.server_name() == Some(self.0)).then(|| self.1.clone())
    }
}

#[test]
fn a_port_without_a_listener_is_not_a_refusal() {
    let root = Root::new();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let check = Check::new(format!("https://127.0.0.1:{port}/")).http_port(None).ca_file(root.file());
    assert!(check.run().is_err());
    // A server that knows the name has no certificate for it either.
    let leaf = root.leaf(|_| {});
    let key = rustls::crypto::ring::default_provider().key_provider.load_private_key(leaf.key).unwrap();
    let known = Arc::new(CertifiedKey::new(vec![leaf.der], key));
    let tls = move |config: &mut ServerConfig| config.cert_resolver = Arc::new(Only("localhost", known));
    let found = Site { tls: Box::new(tls), ..Site::new(&root) }.start().found(&root);
    assert_eq!(found, ["name-needed"]);
}

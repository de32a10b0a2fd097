//! The key exchange X25519MLKEM768 as clients see it, with the built command: who gets it, in how many round trips, and what
//! becomes of shares that are wrong. rustls, Chromium and OpenSSL are the clients; which group a handshake took is read from
//! what the server sends.

mod support_command;
#[path = "support/x25519mlkem768.rs"]
mod x25519mlkem768;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::ring::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore,
    SupportedProtocolVersion,
};
use serde_json::Value;
use tempfile::TempDir;

use support_command::certificates::{Authority, Pair};
use support_command::peers::{self, pyopenssl, CERTUTIL};
use support_command::{lockgate, outcome, text, Server, BODY, SAFETY};
use x25519mlkem768::{Hybrid, GOOD};

const HYBRID: u16 = 0x11ec;
const GET: &[u8] = b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A server, and a port in front of it where the groups are read.
struct Site {
    authority: Authority,
    _pair: Pair,
    server: Server,
    tap: Tap,
}

impl Site {
    fn new() -> Site {
        let authority = Authority::new();
        let pair = authority.pair("server");
        let mut server = Server::serve(&pair, &[]);
        let tap = Tap::before(server.https_port());
        Site { authority, _pair: pair, server, tap }
    }

    fn config(
        &self,
        groups: &[&'static dyn SupportedKxGroup],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority.ca).unwrap()).unwrap();
        let provider =
            CryptoProvider { kx_groups: groups.to_vec(), ..rustls::crypto::ring::default_provider() };
        ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A verified handshake and a request: the group, and what kind of handshake it was.
    fn get(&self, config: &Arc<ClientConfig>) -> Result<(u16, HandshakeKind), rustls::Error> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.tap.port)).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config.clone(), name).unwrap();
        while tls.is_handshaking() {
            if let Err(error) = tls.complete_io(&mut tcp) {
                return Err(error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap().clone());
            }
        }
        let mut answer = String::new();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        stream.write_all(GET).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(BODY), "{answer}");
        Ok((u16::from(tls.negotiated_key_exchange_group().unwrap().name()), tls.handshake_kind().unwrap()))
    }
}

const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// The beginning of what the server sends on a connection.
type Beginning = Arc<Mutex<Vec<u8>>>;

/// Forwards every connection, and keeps the beginning of each.
struct Tap {
    port: u16,
    seen: Arc<Mutex<Vec<Beginning>>>,
}

/// A ServerHello: whether it is a HelloRetryRequest, and the group.
type Chosen = (bool, u16);

impl Tap {
    fn before(server: u16) -> Tap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tap = Tap { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = tap.seen.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
                let bytes = Arc::new(Mutex::new(Vec::new()));
                seen.lock().unwrap().push(bytes.clone());
                forward(client.try_clone().unwrap(), server.try_clone().unwrap(), None);
                forward(server, client, Some(bytes));
            }
        });
        tap
    }

    /// What the server has chosen, connection by connection, in each of its hellos.
    fn chosen(&self) -> Vec<Vec<Chosen>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|bytes| hellos(&bytes.lock().unwrap())).collect()
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, keep: Option<Beginning>) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if let Some(keep) = &keep {
                let mut keep = keep.lock().unwrap();
                if keep.len() < 16 * 1024 {
                    keep.extend_from_slice(&buffer[..read]);
                }
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The ServerHellos in what a server sends (RFC 8446 §4.1.3), each in a record of its own.
fn hellos(mut bytes: &[u8]) -> Vec<Chosen> {
    /// RFC 8446 §4.1.3: the beginning of the random of a HelloRetryRequest.
    const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];
    let mut found = Vec::new();
    while bytes.len() > 5 {
        let (header, rest) = bytes.split_at(5);
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if rest.len() < length {
            break;
        }
        let (record, rest) = rest.split_at(length);
        bytes = rest;
        if header[0] != 22 || record[0] != 2 {
            continue;
        }
        let is_retry = record[6..10] == RETRY;
        let mut extensions = &record[38 + 1 + usize::from(record[38]) + 3 + 2..];
        while let [a, b, c, d, rest @ ..] = extensions {
            let (content, rest) = rest.split_at(usize::from(u16::from_be_bytes([*c, *d])));
            extensions = rest;
            if u16::from_be_bytes([*a, *b]) == 51 {
                found.push((is_retry, u16::from_be_bytes([content[0], content[1]])));
            }
        }
    }
    found
}

const ONCE: [Chosen; 1] = [(false, HYBRID)];

// rustls.

#[test]
fn a_client_that_offers_it_gets_it_in_one_round_trip_and_again_when_it_resumes() {
    let site = Site::new();
    let mut config = site.config(&[GOOD, X25519], &[&rustls::version::TLS13, &rustls::version::TLS12]);
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
    let config = Arc::new(config);
    assert_eq!(site.get(&config), Ok((HYBRID, HandshakeKind::Full)));
    assert_eq!(site.get(&config), Ok((HYBRID, HandshakeKind::Resumed)));
    assert_eq!(site.tap.chosen(), [ONCE, ONCE]);
    // It is enough alone.
    assert_eq!(site.get(&Arc::new(site.config(&[GOOD], TLS13))), Ok((HYBRID, HandshakeKind::Full)));
}

#[test]
fn a_client_without_it_gets_what_it_got_before_in_one_round_trip() {
    let site = Site::new();
    for versions in [TLS13, TLS12] {
        for groups in [&[X25519][..], &[SECP256R1], &[SECP384R1], &[X25519, SECP256R1, SECP384R1]] {
            let expected = Ok((u16::from(groups[0].name()), HandshakeKind::Full));
            assert_eq!(site.get(&Arc::new(site.config(groups, versions))), expected, "{groups:?}");
        }
    }
    let chosen = site.tap.chosen();
    assert!(chosen[..4].iter().all(|hellos| hellos.len() == 1 && !hellos[0].0), "{chosen:?}");
}

#[test]
fn the_clients_order_decides_and_tls_1_2_does_not_have_it() {
    let site = Site::new();
    for first in [X25519, SECP256R1] {
        let config = Arc::new(site.config(&[first, GOOD], TLS13));
        assert_eq!(site.get(&config), Ok((u16::from(first.name()), HandshakeKind::Full)));
    }
    let config = Arc::new(site.config(&[GOOD, X25519], TLS12));
    assert_eq!(site.get(&config), Ok((0x001d, HandshakeKind::Full)));
}

#[test]
fn a_client_that_prefers_it_and_sends_another_share_is_asked_for_it_once() {
    /// Makes rustls send the share of X25519, although the other group comes first.
    #[derive(Debug)]
    struct Hint;
    impl ClientSessionStore for Hint {
        fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            Some(NamedGroup::X25519)
        }
        fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
        fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
            None
        }
        fn remove_tls12_session(&self, _: &ServerName<'static>) {}
        fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
        fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
            None
        }
    }
    let site = Site::new();
    let mut config = site.config(&[GOOD, X25519], TLS13);
    config.resumption = Resumption::store(Arc::new(Hint));
    let expected = Ok((HYBRID, HandshakeKind::FullWithHelloRetryRequest));
    assert_eq!(site.get(&Arc::new(config)), expected);
    assert_eq!(site.tap.chosen(), [[(true, HYBRID), (false, HYBRID)]]);
}

#[test]
fn a_wrong_share_is_refused_with_illegal_parameter_and_the_next_client_is_served() {
    static WRONG: [&dyn SupportedKxGroup; 7] = [
        &Hybrid { damage: |share| share.truncate(1215) },
        &Hybrid { damage: |share| share.push(0) },
        &Hybrid { damage: |share| share.truncate(32) },
        // The ciphertext's length, which is the server's.
        &Hybrid { damage: |share| share.truncate(1120) },
        // FIPS 203 §7.2: numbers above the modulus.
        &Hybrid { damage: |share| share[..1152].fill(0xff) },
        &Hybrid { damage: |share| share[1150..1152].fill(0xff) },
        // RFC 7748 §6.1: the secret would be zero.
        &Hybrid { damage: |share| share[1184..].fill(0) },
    ];
    let mut site = Site::new();
    for wrong in WRONG {
        let refused = site.get(&Arc::new(site.config(&[wrong], TLS13)));
        assert_eq!(refused, Err(rustls::Error::AlertReceived(AlertDescription::IllegalParameter)));
        let line = site.server.stderr.expect("no handshake");
        assert!(line.contains("the client does not keep to the TLS protocol"), "{line}");
    }
    assert_eq!(site.get(&Arc::new(site.config(&[GOOD], TLS13))), Ok((HYBRID, HandshakeKind::Full)));
}

// lockgate check.

#[test]
fn the_check_connects_with_it_and_finds_it() {
    let site = Site::new();
    let url = format!("https://localhost:{}/api/data", site.tap.port);
    let ca = text(&site.authority.ca);
    let (code, said, _) =
        outcome(lockgate(&["check", &url, "--ca", ca, "--http-port", "off", "--json"]), b"");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["verdict"]), (0, &Value::from("clean")), "{said}");
    assert_eq!(report["facts"]["tls"]["post_quantum"], true);
    assert_eq!(report["facts"]["tls"]["key_exchange"], "X25519MLKEM768");
    assert!(!said.contains("no-post-quantum"), "{said}");
    assert_eq!(site.tap.chosen()[0], ONCE);
}

// Chromium and OpenSSL.

#[test]
fn chromium_connects_with_it() {
    let test = "chromium_connects_with_it";
    let site = Site::new();
    let home = TempDir::new().unwrap();
    let store = home.path().join(".pki/nssdb");
    fs::create_dir_all(&store).unwrap();
    let database = format!("sql:{}", store.display());
    let add = ["-d", &database, "-A", "-t", "C,,", "-n", "authority", "-i", text(&site.authority.ca)];
    for arguments in [&["-d", &database, "-N", "--empty-password"][..], &add] {
        let Some(certutil) = CERTUTIL.command(test, arguments) else { return };
        assert_eq!(outcome(certutil, b"").0, 0);
    }
    let address = format!("127.0.0.1:{}", site.tap.port);
    let url = format!("https://localhost:{}/api/data", site.tap.port);
    let Some(chromium) = peers::chromium(test, home.path(), &address, &["--dump-dom", &url]) else { return };
    let (_, page, errors) = outcome(chromium, b"");
    assert!(page.contains(BODY), "{page} {errors}");
    let chosen = site.tap.chosen();
    assert!(chosen.contains(&ONCE.to_vec()), "{chosen:?}");
    assert!(chosen.iter().flatten().all(|hello| *hello == ONCE[0]), "{chosen:?}");
}

#[test]
fn openssl_connects_with_it_by_its_defaults() {
    const SCRIPT: &str = r#"
import socket, sys
from OpenSSL import SSL
ca, port = sys.argv[1:]
context = SSL.Context(SSL.TLS_CLIENT_METHOD)
context.load_verify_locations(ca)
context.set_verify(SSL.VERIFY_PEER)
connection = SSL.Connection(context, socket.create_connection(("127.0.0.1", int(port))))
connection.set_tlsext_host_name(b"localhost")
connection.set_connect_state()
connection.do_handshake()
connection.sendall(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
answer = b""
try:
    while piece := connection.recv(4096):
        answer += piece
except SSL.ZeroReturnError:
    pass
print(connection.get_group_name(), answer.decode().rpartition("\r\n")[2])
"#;
    let test = "openssl_connects_with_it_by_its_defaults";
    let site = Site::new();
    let (ca, port) = (text(&site.authority.ca), site.tap.port.to_string());
    let Some(openssl) = pyopenssl(test, &["-c", SCRIPT, ca, &port]) else { return };
    assert_eq!(outcome(openssl, b""), (0, format!("X25519MLKEM768 {BODY}\n"), String::new()));
    assert_eq!(site.tap.chosen(), [ONCE]);
}

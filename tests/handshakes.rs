//! A failed handshake leaves one log line that names the peer, the reason and what to do, whether the client or the server
//! ended it. Many of the same kind leave few lines. Of a handshake that succeeds a handler sees what was agreed on.

mod support;
mod support_command;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use lockgate::{Response, Router};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use support::{await_lines, connect_plain, lines, reset, serve, Serving};
use support_command::peers::OPENSSL;
use support_command::run;

fn server() -> Serving {
    serve(Router::new().get("/", |_: &mut lockgate::Request| Response::text("here")))
}

/// The lines about failed handshakes that hold these words, once there is one more than before.
#[track_caller]
fn one_more_line(words: &str, so_far: usize) -> String {
    let found = await_lines(so_far + 1, |line| line.contains(": no handshake, ") && line.contains(words));
    let said = || lines(|line| line.contains("no handshake"));
    assert_eq!(found.len(), so_far + 1, "{words:?}: {found:?} of {:?}", said());
    found[so_far].clone()
}

/// Asserts that the failed handshake of this client left a line that begins so.
#[track_caller]
fn assert_said_of(client: SocketAddr, words: &str) {
    let line = one_more_line(&format!("{client}: no handshake, "), 0);
    assert!(line.starts_with(&format!("{client}: no handshake, {words}")), "{line}");
}

fn config(versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]], trusts: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if trusts {
        roots.add(support::authority()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A handshake by rustls, which must fail; the client's address.
fn fail(serving: &Serving, config: Arc<ClientConfig>, name: &'static str) -> SocketAddr {
    let mut tcp = connect_plain(serving.address).unwrap();
    let mut tls = ClientConnection::new(config, ServerName::try_from(name).unwrap()).unwrap();
    while tls.is_handshaking() {
        if tls.complete_io(&mut tcp).is_err() {
            // The alert.
            let _ = tls.write_tls(&mut tcp);
            return tcp.local_addr().unwrap();
        }
    }
    panic!("the handshake did not fail");
}

static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[cfg(feature = "tls-parameters")]
#[test]
fn a_handler_sees_what_the_handshake_has_agreed_on() {
    use rustls::{HandshakeKind, StreamOwned};
    let told = |request: &mut lockgate::Request| {
        request.tls().map(|tls| {
            let key_exchange = tls.key_exchange().unwrap_or("none");
            format!("{} {} {key_exchange} {}", tls.version(), tls.cipher_suite(), tls.is_resumed())
        })
    };
    let serving = serve(Router::new().get("/", told).post("/", told));
    for version in BOTH {
        let config = config(&[version], &[], true);
        for is_resumed in [false, true] {
            let name = ServerName::try_from("localhost").unwrap();
            let connection = ClientConnection::new(config.clone(), name).unwrap();
            let mut tls = StreamOwned::new(connection, connect_plain(serving.address).unwrap());
            // The second body comes while its handler runs.
            for request in [
                "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n",
            ] {
                tls.write_all(request.as_bytes()).unwrap();
            }
            let mut answers = Vec::new();
            tls.write_all(&[b'x'; 200_000]).unwrap();
            tls.read_to_end(&mut answers).unwrap();
            let conn = &tls.conn;
            assert_eq!(conn.handshake_kind() == Some(HandshakeKind::Resumed), is_resumed);
            let version = format!("{:?}", conn.protocol_version().unwrap()).replace('_', ".");
            let suite =
                format!("{:?}", conn.negotiated_cipher_suite().unwrap().suite()).replace("TLS13_", "TLS_");
            let group = conn.negotiated_key_exchange_group();
            let group = group.map_or("none".into(), |group| format!("{:?}", group.name()).to_lowercase());
            let answers = String::from_utf8(answers).unwrap();
            let expected = format!("{version} {suite} {group} {is_resumed}");
            assert_eq!(answers.matches(&expected).count(), 2, "{expected}: {answers}");
        }
    }
}

#[test]
fn a_client_that_rejects_the_certificate_is_named_with_what_helps() {
    let serving = server();
    for version in BOTH {
        let client = fail(&serving, config(&[version], &[], false), "localhost");
        assert_said_of(
            client,
            "the client does not trust the certificate (alert unknown_ca): install the CA on it",
        );
        let client = fail(&serving, config(&[version], &[], true), "other.example");
        assert_said_of(client, "the client rejects the certificate (alert bad_certificate): it does not trust the CA, or calls a name");
    }
}

#[test]
fn a_client_without_a_protocol_in_common_is_named() {
    let serving = server();
    let client = fail(&serving, config(&BOTH, &[b"h2"], true), "localhost");
    assert_said_of(
        client,
        "the client offers no protocol that is spoken here (ALPN): this server speaks http/1.1",
    );
}

#[test]
fn what_openssl_offers_that_is_not_taken_is_named() {
    let serving = server();
    let address = serving.address.to_string();
    const NO_NAME: &str =
        "the client asks for a name that no host has (SNI, RFC 6066 §3): it must be the host alone";
    let cases: [(&[&str], &str); 5] = [
        (&["-servername", "[::1]"], NO_NAME),
        (&["-servername", "localhost:8443"], NO_NAME),
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            "the client offers TLS 1.1 at most: this server wants 1.2 or 1.3",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"],
            "the client offers no cipher suite that is used here: this server wants ECDHE",
        ),
        (
            &["-tls1_3", "-groups", "X448"],
            "the client offers no key exchange that is used here: this server wants ECDHE with X25519",
        ),
    ];
    for (index, (arguments, words)) in cases.iter().enumerate() {
        let line = [&["s_client", "-connect", &address], *arguments].concat();
        let Some(openssl) = OPENSSL.command("failed handshakes", &line) else { return };
        let output = run(openssl, b"");
        assert!(!output.status.success(), "{arguments:?}");
        // The first two have the same words.
        one_more_line(words, usize::from(index == 1));
    }
}

#[test]
fn what_is_no_handshake_is_named_and_a_look_at_the_port_is_not() {
    let serving = server();
    // A handshake record with nothing in it that is known.
    let mut garbage = connect_plain(serving.address).unwrap();
    garbage.write_all(&[&[0x16, 3, 1, 0, 8][..], b"whatever"].concat()).unwrap();
    let _ = garbage.read(&mut [0; 100]);
    assert_said_of(
        garbage.local_addr().unwrap(),
        "what the client sends is no TLS handshake that can be read",
    );
    let mut other = connect_plain(serving.address).unwrap();
    other.write_all(&[0, 1, 2]).unwrap();
    let _ = other.read(&mut [0; 100]);
    assert_said_of(other.local_addr().unwrap(), "what the client sends is no TLS handshake that can be read");
    // The beginning of one, and then the end.
    let mut leaves = connect_plain(serving.address).unwrap();
    leaves.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    let address = leaves.local_addr().unwrap();
    drop(leaves);
    assert_said_of(address, "the client left in the middle of the handshake, without an alert");
    let mut resets = connect_plain(serving.address).unwrap();
    resets.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    let address = resets.local_addr().unwrap();
    reset(resets);
    assert_said_of(address, "the client left in the middle of the handshake");
    // Who only looks whether the port is open, as health checks do, leaves nothing.
    let looks = connect_plain(serving.address).unwrap();
    let mut proxy = connect_plain(serving.address).unwrap();
    proxy.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").unwrap();
    let _ = proxy.read(&mut [0; 100]);
    let silent = [looks.local_addr().unwrap(), proxy.local_addr().unwrap()];
    drop((looks, proxy));
    // All that had come is dealt with when it has ended.
    serving.handle.stop();
    serving.join().unwrap();
    let about = |line: &str| silent.iter().any(|peer| line.starts_with(&format!("{peer}: no handshake")));
    assert_eq!(lines(about), [""; 0]);
}

#[test]
fn tls_to_the_port_for_plain_http_is_named_with_the_right_port() {
    let serving = server();
    let mut tcp = connect_plain(serving.redirect).unwrap();
    tcp.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    let _ = tcp.read(&mut [0; 100]);
    let client = tcp.local_addr().unwrap();
    let port = serving.address.port();
    // The line is there before the end of the connection is.
    let said = lines(|line| line.starts_with(&format!("{client}: ")));
    let expected = format!(
        "{client}: closed, it speaks TLS to the port for plain HTTP: give it https:// with port {port}"
    );
    assert!(said.contains(&expected), "{said:?}");
}

#[test]
fn many_failed_handshakes_leave_few_lines() {
    let serving = server();
    let offers = config(&BOTH, &[b"http/2.0-of-nobody"], true);
    let clients: Vec<SocketAddr> = (0..200).map(|_| fail(&serving, offers.clone(), "localhost")).collect();
    serving.handle.stop();
    serving.join().unwrap();
    let about =
        |line: &str| clients.iter().any(|client| line.starts_with(&format!("{client}: no handshake")));
    assert!((1..=20).contains(&lines(about).len()), "{}", lines(about).len());
    let sum =
        lines(|line| line.contains("more in the last") && line.contains("no protocol that is spoken here"));
    assert!(!sum.is_empty());
}

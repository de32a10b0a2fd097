//! Client certificates: which clients are accepted, which names a handler sees, what the log says of a refused client, and that
//! a revoked client returns neither by a session ticket nor on an open connection.

#[path = "support_command/certificates.rs"]
// Each test program uses a part of this.
#[allow(dead_code)]
mod certificates;
mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockgate::{ClientAuth, Limits, Request, Router, Server, ServerBuilder};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use certificates::{Authority, Pair};
use support::{authority, connect_plain, identity, lines, serve_as, try_serve_as, Serving, SAFETY};

const DAY: i64 = 24 * 60 * 60;
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Says who the client is; to POST it reads a body first, piece by piece.
fn server() -> ServerBuilder {
    fn who(request: &mut Request) -> String {
        let mut body = Vec::new();
        request.body().read_to_end(&mut body).unwrap();
        match request.client() {
            None => "nobody".to_string(),
            Some(client) => [
                client.common_name().unwrap_or("-").to_string(),
                client.dns_names().join(","),
                client.email_addresses().join(","),
                client.uris().join(","),
                client.fingerprint().len().to_string(),
                client.der().len().to_string(),
            ]
            .join(" "),
        }
    }
    let mut limits = Limits::default();
    limits.body_buffer_bytes = 16;
    Server::builder(Router::new().get("/", who).post("/", who)).identity(identity()).limits(limits)
}

fn serve(clients: ClientAuth) -> Serving {
    serve_as(server().client_auth(clients))
}

/// What `who` says of a client that `Authority::client` has made.
fn names_of(name: &str, pair: &Pair) -> String {
    let length = pair.der.len();
    format!("{name} {name}.clients.test {name}@clients.test spiffe://clients.test/{name} 64 {length}")
}

/// What a client speaks with, its memory for sessions included.
fn config(version: &'static SupportedProtocolVersion, pair: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&pair.key).unwrap()).unwrap()
        }
    })
}

struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Connection {
    fn new(serving: &Serving, config: &Arc<ClientConfig>) -> Connection {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(config.clone(), name).unwrap();
        Connection { stream: StreamOwned::new(tls, connect_plain(serving.address).unwrap()) }
    }

    fn address(&self) -> SocketAddr {
        self.stream.sock.local_addr().unwrap()
    }

    /// Asks, and reads the answer: its status and body, or the alert that came in its place.
    fn ask(&mut self, request: &str) -> Result<(u16, String), AlertDescription> {
        let alert_of = |error: std::io::Error| match error.get_ref().and_then(|own| own.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("{error}"),
        };
        self.stream.write_all(request.as_bytes()).map_err(alert_of)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).map_err(alert_of)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut body).map_err(alert_of)?;
        Ok((head[9..12].parse().unwrap(), String::from_utf8(body).unwrap()))
    }

    fn get(&mut self) -> Result<(u16, String), AlertDescription> {
        self.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    fn kind(&self) -> HandshakeKind {
        self.stream.conn.handshake_kind().unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let begin = format!("{}: ", self.address());
        lines(|line| line.starts_with(&begin))
    }

    /// Waits until the log says of this client that it is refused: why.
    fn refusal(&self) -> String {
        let begin = format!("{}: refused, ", self.address());
        let until = Instant::now() + SAFETY;
        loop {
            let why: Vec<String> = self
                .lines()
                .iter()
                .filter_map(|line| line.strip_prefix(&begin).map(str::to_string))
                .collect();
            match &why[..] {
                [] => assert!(Instant::now() < until, "{:?}", self.lines()),
                [one] => return one.clone(),
                several => panic!("{several:?}"),
            }
            sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(feature = "websocket")]
impl Connection {
    fn take_until(&mut self, end: &[u8]) {
        let mut taken = Vec::new();
        while !taken.ends_with(end) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            taken.extend(byte);
        }
    }

    /// What comes before the connection's end, clean or not.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

/// One request on a connection of its own must be refused in the handshake, by this alert and with these words in the log.
#[track_caller]
fn assert_refused(serving: &Serving, config: &Arc<ClientConfig>, alert: AlertDescription, words: &str) {
    let mut connection = Connection::new(serving, config);
    assert_eq!(connection.get(), Err(alert), "{words}");
    // Not a reset, in which the alert could be lost.
    assert_eq!(connection.stream.sock.read(&mut [0]).map_err(|error| error.kind()), Ok::<_, ErrorKind>(0));
    let why = connection.refusal();
    assert!(why.contains(words), "{words:?} is not in: {why}");
}

#[track_caller]
fn assert_answered(serving: &Serving, config: &Arc<ClientConfig>, answer: &str) {
    assert_eq!(Connection::new(serving, config).get(), Ok((200, answer.to_string())));
}

/// A session whose client would not be accepted any more lets nobody in. With `operations` it is not even resumed.
#[track_caller]
fn assert_forgotten(connection: &mut Connection, alert: AlertDescription) {
    let answer = connection.get().map(|(status, _)| status);
    if cfg!(feature = "operations") {
        assert_eq!(answer, Err(alert));
    } else {
        assert_eq!((answer, connection.kind()), (Ok(403), HandshakeKind::Resumed));
    }
}

#[test]
fn a_client_is_known_by_its_names_and_when_its_session_resumes_too() {
    let clients = Authority::new();
    let pair = clients.client("pump");
    let serving = serve(ClientAuth::required(&clients.ca));
    for version in VERSIONS {
        let config = config(version, Some(&pair));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut connection = Connection::new(&serving, &config);
            for _ in 0..2 {
                assert_eq!(connection.get(), Ok((200, names_of("pump", &pair))), "{version:?} {kind:?}");
            }
            let body = "x".repeat(50_000);
            let post = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n{body}");
            assert_eq!(connection.ask(&post), Ok((200, names_of("pump", &pair))), "{version:?} {kind:?}");
            assert_eq!(connection.kind(), kind, "{version:?}");
        }
    }
}

#[test]
fn who_has_no_good_certificate_is_refused_and_the_log_says_why() {
    use AlertDescription::*;
    let (clients, namesake, other) = (Authority::new(), Authority::new(), Authority::named("other"));
    let revoked = clients.client("revoked");
    let crl = clients.crl("crl", &[&revoked], DAY);
    let unlisted = Authority::named("unlisted");
    let both = clients.dir().join("both.pem");
    fs::write(&both, [&clients.ca, &unlisted.ca].map(|ca| fs::read_to_string(ca).unwrap()).concat()).unwrap();
    let serving = serve(ClientAuth::required(both).crl(crl));
    let server = clients.issue("server", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for version in VERSIONS {
        assert_refused(&serving, &config(version, None), CertificateRequired, "shown no certificate");
        for (pair, alert, words) in [
            (&other.client("foreign"), UnknownCA, "of no authority that is trusted"),
            (&namesake.client("forged"), DecryptError, "signature"),
            (&clients.client_valid("old", -2 * DAY, -DAY), CertificateExpired, "has expired (20"),
            (&clients.client_valid("early", DAY, 2 * DAY), CertificateExpired, "not valid yet (20"),
            (&server, UnsupportedCertificate, "not for client authentication"),
            (&revoked, CertificateRevoked, "is revoked"),
            (&unlisted.client("unlisted"), UnknownCA, "no revocation list of the authority"),
        ] {
            assert_refused(&serving, &config(version, Some(pair)), alert, words);
        }
        let good = clients.client("good");
        assert_answered(&serving, &config(version, Some(&good)), &names_of("good", &good));
    }
}

#[test]
fn where_certificates_are_optional_who_has_none_is_served_and_who_has_a_bad_one_is_not() {
    let clients = Authority::new();
    let serving = serve(ClientAuth::optional(&clients.ca));
    for version in VERSIONS {
        for _ in 0..2 {
            assert_answered(&serving, &config(version, None), "nobody");
        }
        let good = clients.client("good");
        assert_answered(&serving, &config(version, Some(&good)), &names_of("good", &good));
        let old = clients.client_valid("old", -2 * DAY, -DAY);
        let config = config(version, Some(&old));
        assert_refused(&serving, &config, AlertDescription::CertificateExpired, "has expired");
    }
}

#[test]
fn a_server_that_asks_for_no_certificates_knows_nobody() {
    let clients = Authority::new();
    let serving = serve_as(server());
    assert_answered(&serving, &config(&TLS13, Some(&clients.client("pump"))), "nobody");
}

#[test]
fn who_is_revoked_comes_in_neither_by_a_ticket_nor_by_an_open_connection() {
    let clients = Authority::new();
    let (bad, good) = (clients.client("bad"), clients.client("good"));
    for version in VERSIONS {
        let crl = clients.crl("crl", &[], DAY);
        let passed = Arc::new(Mutex::new(Vec::new()));
        let passes = passed.clone();
        let serving = serve_as(server().client_auth(ClientAuth::required(&clients.ca).crl(crl)).on_response(
            move |seen, response| {
                let name = seen.client().and_then(|client| client.common_name()).unwrap_or_default();
                passes.lock().unwrap().push((name.to_string(), response.status().as_u16()));
            },
        ));
        let configs = [&bad, &good].map(|pair| config(version, Some(pair)));
        let [mut bad_open, mut good_open] = [0, 1].map(|of| Connection::new(&serving, &configs[of]));
        assert_eq!(bad_open.get(), Ok((200, names_of("bad", &bad))));
        assert_eq!(good_open.get(), Ok((200, names_of("good", &good))));

        clients.crl("crl", &[&bad], DAY);
        serving.handle.reload().unwrap();
        // It has a ticket, and falls back to a full handshake.
        assert_refused(&serving, &configs[0], AlertDescription::CertificateRevoked, "is revoked");
        let (status, body) = bad_open.get().unwrap();
        assert!(status == 403 && body.contains("no longer accepted"), "{status} {body}");
        assert_eq!(bad_open.stream.read(&mut [0]).unwrap(), 0, "it is closed");
        assert_eq!(bad_open.refusal(), "its certificate is revoked");
        let refused = passed.lock().unwrap().pop();
        assert_eq!(refused, Some(("bad".to_string(), 403)), "the program sees the refusal, and whose it is");

        assert_eq!(good_open.get(), Ok((200, names_of("good", &good))));
        let mut again = Connection::new(&serving, &configs[1]);
        assert_eq!(again.get(), Ok((200, names_of("good", &good))));
        assert_eq!(again.kind(), HandshakeKind::Full, "{version:?}");
    }
}

#[cfg(feature = "websocket")]
#[test]
fn who_is_revoked_keeps_neither_a_websocket_nor_a_feed() {
    use lockgate::{Event, Feed, Socket};

    let clients = Authority::new();
    let (bad, good) = (clients.client("bad"), clients.client("good"));
    let crl = clients.crl("crl", &[], DAY);
    let feed = Feed::new();
    let router = Router::new()
        .get("/feed", feed.handler())
        .websocket("/socket", |_| Ok(Socket::on_message(|socket, message| socket.send(message))));
    let builder = Server::builder(router).identity(identity());
    let serving = serve_as(builder.client_auth(ClientAuth::required(&clients.ca).crl(&crl)));
    let open = |pair: &Pair, path: &str, fields: &str| {
        let mut connection = Connection::new(&serving, &config(&TLS13, Some(pair)));
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        connection.stream.write_all(request.as_bytes()).unwrap();
        connection.take_until(b"\r\n\r\n");
        connection
    };
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let [mut bad_socket, mut good_socket] = [&bad, &good].map(|pair| open(pair, "/socket", upgrade));
    let [mut bad_feed, mut good_feed] = [&bad, &good].map(|pair| open(pair, "/feed", ""));
    // "a", with a mask of zeros.
    let (message, answer) = (b"\x81\x81\0\0\0\0a", b"\x81\x01a");
    for socket in [&mut bad_socket, &mut good_socket] {
        socket.stream.write_all(message).unwrap();
        socket.take_until(answer);
    }
    feed.send(Event::new("before"));
    for feed in [&mut bad_feed, &mut good_feed] {
        feed.take_until(b"data: before\n");
        feed.take_until(b"\n\n\r\n");
    }

    clients.crl("crl", &[&bad], DAY);
    serving.handle.reload().unwrap();
    bad_socket.stream.write_all(message).unwrap();
    assert_eq!(bad_socket.rest(), b"");
    assert_eq!(bad_socket.refusal(), "its certificate is revoked");
    feed.send(Event::new("after"));
    assert_eq!(bad_feed.rest(), b"");
    assert_eq!(bad_feed.refusal(), "its certificate is revoked");
    good_feed.take_until(b"data: after\n");
    good_socket.stream.write_all(message).unwrap();
    good_socket.take_until(answer);
}

/// On a slow machine what lives so many seconds may be over before it is shown; then it has to live longer.
const LIFETIMES: [u64; 4] = [2, 4, 8, 16];

#[test]
fn a_session_does_not_outlive_its_certificate() {
    let clients = Authority::new();
    let serving = serve(ClientAuth::required(&clients.ca));
    for version in VERSIONS {
        for lifetime in LIFETIMES {
            let ends = unix_now() + lifetime;
            let config = config(version, Some(&clients.client_valid("brief", -DAY, lifetime as i64)));
            if Connection::new(&serving, &config).get().is_err() {
                continue;
            }
            wait_until_after(ends);
            let mut resumed = Connection::new(&serving, &config);
            assert_forgotten(&mut resumed, AlertDescription::CertificateExpired);
            assert!(resumed.refusal().contains("has expired"));
            break;
        }
    }
}

/// A client whose certificate is another one from time to time.
#[cfg(feature = "operations")]
#[derive(Debug)]
struct Renews(Mutex<Arc<dyn rustls::client::ResolvesClientCert>>);

#[cfg(feature = "operations")]
impl rustls::client::ResolvesClientCert for Renews {
    fn resolve(
        &self,
        hints: &[&[u8]],
        schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.0.lock().unwrap().resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(feature = "operations")]
#[test]
fn a_client_that_has_renewed_its_certificate_is_not_held_to_the_ticket_of_the_old_one() {
    let clients = Authority::new();
    let keys = clients.dir().join("keys");
    fs::write(&keys, lockgate::TicketKeys::generate().unwrap().to_file_text()).unwrap();
    let renewed = clients.client("renewed");
    for lifetime in LIFETIMES {
        let brief = clients.client_valid("brief", -DAY, lifetime as i64);
        let ends = unix_now() + lifetime;
        let mut met = Vec::new();
        for builder in [server(), server().ticket_keys(&keys)] {
            let serving = serve_as(builder.client_auth(ClientAuth::required(&clients.ca)));
            let configs = VERSIONS.map(|version| {
                let mut config = (*config(version, Some(&brief))).clone();
                let own = Arc::new(Renews(Mutex::new(config.client_auth_cert_resolver.clone())));
                config.client_auth_cert_resolver = own.clone();
                (Arc::new(config), own)
            });
            met.push((serving, configs));
        }
        let kinds = || {
            met.iter().flat_map(|(serving, configs)| {
                configs.iter().map(move |(config, _)| {
                    let mut connection = Connection::new(serving, config);
                    connection.get().map(|(status, _)| (status, connection.kind()))
                })
            })
        };
        if kinds().any(|first| first.is_err()) {
            continue;
        }
        assert!(kinds().all(|kind| !matches!(kind, Ok((_, HandshakeKind::Full)))), "no ticket");
        for (_, configs) in &met {
            for (_, own) in configs {
                *own.0.lock().unwrap() = config(&TLS13, Some(&renewed)).client_auth_cert_resolver.clone();
            }
        }
        wait_until_after(ends);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            for found in kinds() {
                assert_eq!(found, Ok((200, expected)));
            }
        }
        return;
    }
    panic!("this machine is too slow to show anything within {LIFETIMES:?} s");
}

#[test]
fn nobody_is_let_in_by_a_list_that_has_gone_out_of_date() {
    let clients = Authority::new();
    for lifetime in LIFETIMES {
        let ends = unix_now() + lifetime;
        let crl = clients.crl("brief", &[], lifetime as i64);
        let config = config(&TLS13, Some(&clients.client("good")));
        let builder = server().client_auth(ClientAuth::required(&clients.ca).crl(crl));
        // Already out of date?
        let Ok(serving) = try_serve_as(builder) else { continue };
        if Connection::new(&serving, &config).get().is_err() {
            continue;
        }
        wait_until_after(ends);
        let mut resumed = Connection::new(&serving, &config);
        assert_forgotten(&mut resumed, AlertDescription::UnknownCA);
        assert!(resumed.refusal().contains("is out of date"));
        let mut forgetful = (*config).clone();
        forgetful.resumption = Resumption::disabled();
        let alert = AlertDescription::UnknownCA;
        assert_refused(&serving, &Arc::new(forgetful), alert, "is out of date");
        return;
    }
    panic!("this machine is too slow to show anything within {LIFETIMES:?} s");
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn wait_until_after(second: u64) {
    while unix_now() <= second {
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn files_that_change_are_taken_up_and_bad_ones_leave_the_old() {
    let clients = Authority::new();
    let (bad, good) = (clients.client("bad"), clients.client("good"));
    let crl = clients.crl("crl", &[], DAY);
    let serving = serve(ClientAuth::required(&clients.ca).crl(&crl));
    let (bad_config, good_config) = (config(&TLS13, Some(&bad)), config(&TLS13, Some(&good)));
    assert_answered(&serving, &bad_config, &names_of("bad", &bad));

    for (path, contents, words) in [
        (&crl, b"what is this?".to_vec(), "holds no revocation list"),
        (&crl, fs::read(clients.crl("late", &[], -1)).unwrap(), "was to be replaced by"),
        (&clients.ca, fs::read(&good.cert).unwrap(), "not an authority's"),
    ] {
        let before = fs::read(path).unwrap();
        fs::write(path, contents).unwrap();
        let error = serving.handle.reload().unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains(words), "{error}");
        assert_answered(&serving, &good_config, &names_of("good", &good));
        fs::write(path, before).unwrap();
    }

    // By rename, as what replaces files with care does.
    fs::rename(clients.crl("new", &[&bad], DAY), &crl).unwrap();
    let until = Instant::now() + SAFETY;
    while Connection::new(&serving, &bad_config).get().is_ok_and(|(status, _)| status == 200) {
        assert!(Instant::now() < until, "the new list is not taken up");
        sleep(Duration::from_millis(20));
    }
    assert_answered(&serving, &good_config, &names_of("good", &good));
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_server_from_opening_its_sockets() {
    let clients = Authority::new();
    let leaf = clients.client("leaf").cert;
    let missing = clients.dir().join("missing");
    for (auth, file, words) in [
        (ClientAuth::required(&missing), &missing, "no such file"),
        (ClientAuth::optional(&leaf), &leaf, "not an authority's"),
        (ClientAuth::required(&clients.ca).crl(&missing), &missing, "no such file"),
        (ClientAuth::required(&clients.ca).crl(&leaf), &leaf, "holds no revocation list"),
    ] {
        // An address that cannot be had would be the fault, if it were tried.
        let error = server().client_auth(auth).https("192.0.2.1:1").bind().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", text(file))) && error.contains(words), "{error}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

//! A whole server, from its description to its end, over loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::bound::Server;
use super::builder::ServerBuilder;
use super::health::RedirectHealth;
use super::renewal::IdentityEvent;
use crate::error::{Error, IdentityFault};
use crate::finding::Severity;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::limits::Limits;
use crate::redirect::HttpCredentials;
use crate::router::Router;
use crate::tls::{provider, ClientAuth, Expiry, Identity, IdentitySource};

/// A certificate for these names and its key, as PEM.
fn made(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn identity(names: &[&str]) -> Identity {
    let (certificate, key) = made(names);
    Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "here")
        .get("/broken", |_: &mut Request| -> Response { panic!("on purpose") })
        .post("/length", |request: &mut Request| {
            let mut body = Vec::new();
            request.body().read_to_end(&mut body).map(|length| length.to_string()).unwrap_or_default()
        })
}

fn described() -> ServerBuilder {
    Server::builder(router()).https("127.0.0.1:0")
}

/// The message of what `bind` refuses.
fn refused(builder: ServerBuilder) -> String {
    builder.bind().map(|server| server.local_addr()).unwrap_err().to_string()
}

/// A client that trusts this identity and nothing else.
pub(super) fn connect(address: SocketAddr, trusted: &Identity) -> StreamOwned<ClientConnection, TcpStream> {
    over(TcpStream::connect(address).unwrap(), trusted)
}

pub(super) fn over(tcp: TcpStream, trusted: &Identity) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certified_key().cert[0].clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    StreamOwned::new(client, tcp)
}

fn ask(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[test]
fn what_cannot_be_served_is_refused_with_the_setting_that_is_wrong() {
    let good = || described().identity(identity(&["localhost"]));
    assert!(
        refused(described()).starts_with("identity: a server needs a certificate"),
        "{}",
        refused(described())
    );
    let nameless = Limits { workers: 0, ..Limits::default() };
    let one = identity(&["a.example"]);
    let many = (0..1_001).fold(good(), |builder, _| builder.add_identity(one.clone()));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let redirected = || good().redirect_http("127.0.0.1:0");
    for (builder, words) in [
        (good().limits(nameless), "workers"),
        (good().tls_record_bytes(127), "tls_record_bytes: 127 is out of range"),
        (good().tls_record_bytes(16 * 1024 + 1), "from 128 to 16384"),
        (many, "at most 1000 are served"),
        (good().https("nowhere"), "https: nowhere is not an address"),
        (good().https(taken.clone()), "HTTPS"),
        (good().redirect_http(taken), "HTTP"),
        (redirected().public_port(0), "public_port: 0 is not a port"),
        (redirected().public_name("a.example:80"), "public_name"),
        (good().credential_header("no header"), "no header"),
        (good().client_auth(ClientAuth::required("/there/is/none.pem")), "/there/is/none.pem"),
        (described().add_pem_files("/there/is/none.pem", "/there/is/no.key"), "/there/is/none.pem"),
        (Server::builder(Router::new().get("no-slash", |_: &mut Request| "")).identity(one), "no-slash"),
    ] {
        let message = refused(builder);
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}

#[test]
fn debug_shows_addresses_and_nothing_of_a_key() {
    let builder = described().identity(identity(&["localhost"])).redirect_http("127.0.0.1:0");
    let shown = format!("{builder:?}");
    assert!(shown.contains("127.0.0.1:0") && !shown.contains("PRIVATE"), "{shown}");
    let server = builder.bind().unwrap();
    assert!(format!("{server:?}").contains(&server.local_addr().to_string()));
    assert!(format!("{:?}", server.handle()).contains("stopping: false"));
}

#[test]
fn a_server_answers_on_both_ports_until_it_is_stopped() {
    let own = identity(&["localhost"]);
    let server = described()
        .identity(own.clone())
        .redirect_http("127.0.0.1:0")
        .http_credentials(HttpCredentials::Refuse)
        .credential_header("X-Device-Token")
        .public_port(443)
        .access_log(true)
        .tls_record_bytes(1_024)
        .bind()
        .unwrap();
    let (https, http) = (server.local_addr(), server.redirect_addr().unwrap());
    assert!(server.connections() > 0);
    assert_eq!(server.handle().health().redirect, RedirectHealth::Waiting);
    let running = server.spawn().unwrap();

    let answer = ask(connect(https, &own), &get("/"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhere"), "{answer}");
    let answer = ask(connect(https, &own), &get("/broken"));
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let post =
        "POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    let answer = ask(connect(https, &own), post);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n3"), "{answer}");
    let answer = ask(TcpStream::connect(http).unwrap(), &get("/a?b"));
    assert!(answer.contains("\r\nlocation: https://localhost/a?b\r\n"), "{answer}");
    let leaked = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Device-Token: t\r\n\r\n";
    let answer = ask(TcpStream::connect(http).unwrap(), leaked);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let handle = running.handle();
    let health = handle.health();
    assert_eq!(health.redirect, RedirectHealth::Running);
    assert!(!health.is_draining && health.missing.is_empty() && health.clients_failure.is_none());
    handle.stop();
    running.join().unwrap();
    let health = handle.health();
    assert!(health.is_draining);
    assert_eq!((health.redirect, health.connections), (RedirectHealth::Down, 0));
}

/// A folder with files of certificates, and what was told of events.
struct Told {
    dir: TempDir,
    events: Receiver<String>,
    sender: mpsc::Sender<String>,
}

impl Told {
    fn new() -> Told {
        let (sender, events) = mpsc::channel();
        Told { dir: TempDir::new().unwrap(), events, sender }
    }

    fn write(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let path = |kind: &str| self.dir.path().join(format!("{name}.{kind}"));
        let (certificate, key) = made(names);
        fs::write(path("pem"), certificate).unwrap();
        fs::write(path("key"), key).unwrap();
        (path("pem"), path("key"))
    }

    fn listen(&self, builder: ServerBuilder) -> ServerBuilder {
        let sender = Mutex::new(self.sender.clone());
        builder.on_identity_event(move |event| {
            let told = match event {
                IdentityEvent::Renewed { identity } => format!("renewed {}", identity.dns_names().join(",")),
                IdentityEvent::Failed { error, .. } => format!("failed {error}"),
                IdentityEvent::Expiring { expiry, .. } => format!("expiring {expiry:?}"),
            };
            sender.lock().unwrap().send(told).unwrap();
        })
    }

    fn next(&self) -> String {
        self.events.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

#[test]
fn identities_are_reloaded_replaced_and_kept_when_the_new_ones_are_bad() {
    let told = Told::new();
    let (certificate, key) = told.write("own", &["localhost"]);
    let first = Identity::from_pem_files(&certificate, &key).unwrap();
    let handle = told.listen(described().identity(first)).bind().unwrap().handle();

    told.write("own", &["localhost", "new.example"]);
    handle.reload().unwrap();
    assert_eq!(told.next(), "renewed localhost,new.example");
    assert!(handle.identity().is_valid_for("new.example"));

    fs::write(&certificate, "damaged").unwrap();
    let message = handle.reload().unwrap_err().to_string();
    assert!(message.contains("own.pem"), "{message}");
    let health = handle.health();
    assert!(health.identities[0].failure.as_ref().unwrap().error.contains("own.pem"));
    assert!(health.worst() >= Some(Severity::Warning));
    assert!(handle.identity().is_valid_for("new.example"), "the old one stays");

    handle.replace_identity(identity(&["replaced.example"])).unwrap();
    assert_eq!(told.next(), "renewed replaced.example");
    assert!(handle.health().identities[0].failure.is_none());
    // It has no source, so there is nothing to ask.
    handle.reload().unwrap();
    assert!(handle.identities()[0].is_valid_for("replaced.example"));

    let mut params = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    let over = params.self_signed(&key).unwrap().pem();
    let over = Identity::from_pem(over.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(over.expiry(std::time::SystemTime::now()), Expiry::Expired);
    let refused = handle.replace_identity(over).unwrap_err();
    assert!(matches!(refused, Error::Identity { fault: IdentityFault::Expired { .. }, .. }), "{refused}");
}

#[test]
fn a_pair_that_is_missing_is_served_once_it_can_be() {
    let told = Told::new();
    let late = |kind: &str| told.dir.path().join(format!("late.{kind}"));
    let builder = described().identity(identity(&["localhost"])).add_pem_files(late("pem"), late("key"));
    let handle = told.listen(builder).bind().unwrap().handle();
    let health = handle.health();
    assert_eq!((health.missing.len(), health.identities.len()), (1, 1));
    assert_eq!(health.worst(), Some(Severity::Error));
    assert_eq!(health.to_json()["missing"][0]["certificate"], late("pem").display().to_string());
    assert!(handle.reload().is_err());
    told.write("late", &["late.example"]);
    handle.reload().unwrap();
    assert_eq!(told.next(), "renewed late.example");
    let health = handle.health();
    assert_eq!((health.missing.len(), health.identities.len()), (0, 2));
    assert_eq!(health.identities[1].dns_names, ["late.example"]);
}

#[test]
fn a_running_server_notices_that_files_have_changed() {
    let told = Told::new();
    let (certificate, key) = told.write("own", &["localhost"]);
    let first = Identity::from_pem_files(certificate, key).unwrap();
    let running = told.listen(described().identity(first)).bind().unwrap().spawn().unwrap();
    told.write("own", &["changed.example"]);
    // One of the two files may be seen before the other.
    while told.next() != "renewed changed.example" {}
    assert!(running.handle().identity().is_valid_for("changed.example"));
    running.handle().stop();
    running.join().unwrap();
}

/// A program's own source, which panics when it is asked again.
struct Panics(AtomicBool);

impl IdentitySource for Panics {
    fn load(&self) -> Result<Identity, Error> {
        assert!(!self.0.swap(true, Ordering::SeqCst), "on purpose");
        Ok(identity(&["localhost"]))
    }
}

#[test]
fn a_source_that_panics_is_an_error_and_a_listener_that_panics_is_none() {
    let source = Identity::from_source(Panics(AtomicBool::new(false))).unwrap();
    let builder = described().identity(source).add_identity(identity(&["b.example"]));
    let handle = builder.on_identity_event(|_| panic!("on purpose")).bind().unwrap().handle();
    let message = handle.reload().unwrap_err().to_string();
    assert!(message.contains("the source of the certificate panicked"), "{message}");
    handle.replace_identity(identity(&["c.example"])).unwrap();
    assert!(handle.identity().is_valid_for("c.example"));
}

/// A file with the certificate of an authority.
fn authority(path: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
}

#[test]
fn the_files_for_clients_are_read_again_and_stay_when_they_are_bad() {
    let told = Told::new();
    let file = told.dir.path().join("clients.pem");
    authority(&file);
    let own = identity(&["localhost"]);
    let running =
        described().identity(own).client_auth(ClientAuth::required(&file)).bind().unwrap().spawn().unwrap();
    let handle = running.handle();
    handle.reload().unwrap();
    fs::write(&file, "damaged").unwrap();
    assert!(handle.reload().unwrap_err().to_string().contains("clients.pem"));
    let health = handle.health();
    assert!(health.clients_failure.as_ref().is_some_and(|failure| failure.error.contains("clients.pem")));
    assert_eq!(health.to_json()["status"], "warning");
    authority(&file);
    handle.reload().unwrap();
    assert!(handle.health().clients_failure.is_none());
    handle.stop();
    running.join().unwrap();
}

#[cfg(feature = "acme")]
mod agents {
    use std::io;

    use rustls::sign::CertifiedKey;

    use super::*;
    use crate::tls::agent::{Agent, AtWork, OnFailure, Surroundings};

    /// Knows one token, tells of one failure when it starts, and works until it is stopped.
    #[derive(Debug)]
    struct Fake {
        dir: PathBuf,
        needs_plain_http: bool,
        stopped: Arc<AtomicBool>,
    }

    impl Agent for Fake {
        fn state_dir(&self) -> &Path {
            &self.dir
        }

        fn check(&self, server: Surroundings) -> Result<(), Error> {
            if self.needs_plain_http && !server.plain_http {
                return Err(Error::Setting { setting: "challenge", fault: "plain HTTP is wanted".into() });
            }
            Ok(())
        }

        fn start(self: Arc<Self>, on_failure: OnFailure) -> io::Result<Box<dyn AtWork>> {
            let error = Error::Setting { setting: "agent", fault: "it fails on purpose".into() };
            on_failure(&error, Duration::from_secs(7));
            Ok(Box::new(Working(self.stopped.clone())))
        }

        fn answer(&self, token: &str) -> Option<String> {
            (token == "known").then(|| "known.thumbprint".to_string())
        }

        fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
            (server_name == "localhost").then(|| identity(&["proof.example"]).certified_key())
        }
    }

    struct Working(Arc<AtomicBool>);

    impl AtWork for Working {
        fn stop(&self) {
            self.0.store(true, Ordering::SeqCst);
        }

        fn wait(&self, _: Duration) -> bool {
            // As one that takes longer than the server waits.
            false
        }
    }

    struct Given;

    impl IdentitySource for Given {
        fn load(&self) -> Result<Identity, Error> {
            Ok(identity(&["localhost"]))
        }
    }

    fn with_agent(dir: &str, needs_plain_http: bool, stopped: &Arc<AtomicBool>) -> Identity {
        let agent = Fake { dir: dir.into(), needs_plain_http, stopped: stopped.clone() };
        Identity::from_source(Given).unwrap().with_agent(Arc::new(agent))
    }

    #[test]
    fn an_agent_that_lacks_something_and_two_in_one_directory_keep_a_server_from_starting() {
        let stopped = Arc::default();
        let message = refused(described().identity(with_agent("a", true, &stopped)));
        assert!(message.contains("plain HTTP is wanted"), "{message}");
        let two = described()
            .identity(with_agent("a", false, &stopped))
            .add_identity(with_agent("a", false, &stopped));
        let message = refused(two);
        assert!(message.contains("state_dir: a keeps one certificate"), "{message}");
    }

    #[test]
    fn an_agent_works_while_the_server_runs_and_answers_authorities() {
        let (told, stopped) = (Told::new(), Arc::default());
        let builder = described().redirect_http("127.0.0.1:0").identity(with_agent("a", true, &stopped));
        let server = told.listen(builder).bind().unwrap();
        let (https, http) = (server.local_addr(), server.redirect_addr().unwrap());
        let running = server.spawn().unwrap();
        assert_eq!(told.next(), "failed agent: it fails on purpose");
        let handle = running.handle();
        assert!(handle.health().identities[0].failure.as_ref().unwrap().error.contains("on purpose"));

        let path = "/.well-known/acme-challenge/known";
        let answer = ask(TcpStream::connect(http).unwrap(), &get(path));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("known.thumbprint"), "{answer}");
        let answer = ask(TcpStream::connect(http).unwrap(), &get("/.well-known/acme-challenge/other"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");

        // As an authority asks (RFC 8737 §3); which certificate it is shown is all that matters here.
        let mut roots = RootCertStore::empty();
        roots.add(identity(&["nobody.example"]).certified_key().cert[0].clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = TcpStream::connect(https).unwrap();
        let error = client.complete_io(&mut tcp).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");

        // Asked again, the identity keeps its agent.
        handle.reload().unwrap();
        assert!(handle.identity().agent().is_some());
        handle.stop();
        running.join().unwrap();
        assert!(stopped.load(Ordering::SeqCst));
    }
}

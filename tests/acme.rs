//! ACME against a real authority, Pebble, over real sockets: every challenge type, and the faults that Pebble makes on purpose
//! to try clients.
#![cfg(feature = "acme")]

mod support_acme;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use lockgate::{Acme, AcmeFault, AcmeStatus, Challenge, Error, Identity, Urgency};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::ClientConnection;
use serde_json::{json, Value};
use tempfile::TempDir;

use support_acme::pebble::{Options, Pebble};
use support_acme::serving::Serving;
use support_acme::{free_port, https, SAFETY};

fn acme(pebble: &Pebble, state: &Path) -> Acme {
    Acme::new(pebble.directory(), state).ca_file(&pebble.authority.ca).accept_terms()
}

fn obtain(pebble: &Pebble, acme: &Acme, urgency: Urgency) -> Result<Identity, Error> {
    acme.obtain(format!("127.0.0.1:{}", pebble.http_port), urgency)
}

#[track_caller]
fn obtained(pebble: &Pebble, acme: &Acme, urgency: Urgency) -> Identity {
    obtain(pebble, acme, urgency).unwrap_or_else(|error| panic!("{error}\n{}", pebble.log()))
}

/// The certificates in the state directory, the server's own first.
fn chain(state: &Path) -> Vec<CertificateDer<'static>> {
    https::roots_in(&state.join("acme/certificate.pem"))
}

#[test]
fn several_names_and_an_address_are_proven_over_http_though_every_seventh_nonce_is_rejected() {
    let options = Options {
        arguments: &["-strict"],
        environment: &[("PEBBLE_WFE_NONCEREJECT", "15")],
        ..Options::default()
    };
    let Some(pebble) = Pebble::start("ACME over HTTP", options) else { return };
    let state = TempDir::new().unwrap();
    let acme = acme(&pebble, state.path()).name("a.example.org").name("B.example.org").name("127.0.0.1");
    let identity = obtained(&pebble, &acme, Urgency::IfDue);
    for name in ["a.example.org", "b.example.org", "127.0.0.1"] {
        assert!(identity.is_valid_for(name), "{name}");
    }
    assert_eq!(pebble.orders(), 1);
    for file in fs::read_dir(state.path().join("acme")).unwrap().map(Result::unwrap) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let status = AcmeStatus::read(state.path()).unwrap();
    assert_eq!(status.names, ["a.example.org", "b.example.org", "127.0.0.1"]);
    assert_eq!(status.not_after, Some(identity.not_after()));
    assert_eq!((status.order, status.failures, status.last_error), (None, 0, None));
    assert_eq!(status.accounts[0].0, pebble.directory());

    // What is good is kept; what is wanted anew keeps its distance, and says so.
    let first = chain(state.path());
    obtained(&pebble, &acme, Urgency::IfDue);
    assert_eq!(chain(state.path()), first);
    let refused = obtain(&pebble, &acme, Urgency::Now).unwrap_err();
    assert!(matches!(refused, Error::Acme { fault: AcmeFault::TooSoon { .. }, .. }), "{refused}");
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn a_server_proves_its_names_in_tls_and_takes_up_the_certificate() {
    let options = Options { environment: &[("PEBBLE_WFE_NONCEREJECT", "15")], ..Options::default() };
    let Some(pebble) = Pebble::start("ACME in TLS", options) else { return };
    let state = TempDir::new().unwrap();
    let acme = acme(&pebble, state.path()).name("tls.example.org").name("127.0.0.1");
    let serving = Serving::start(acme.challenge(Challenge::TlsAlpn01), pebble.tls_port, 0);
    let first = serving.renewed();
    for name in ["tls.example.org", "127.0.0.1"] {
        assert!(first.is_valid_for(name), "{name}");
        let seen = serving.seen(&pebble.root(0), name).unwrap();
        assert_eq!(seen, chain(state.path())[0], "{name}");
    }
    // Who asks as an authority asks, while none does, gets nothing.
    let mut config = https::trusting(&[pebble.root(0)]);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from("tls.example.org").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = TcpStream::connect(serving.https).unwrap();
    while client.is_handshaking() {
        if let Err(error) = client.complete_io(&mut tcp) {
            assert!(error.to_string().contains("alert"), "{error}");
            break;
        }
    }
    assert!(client.is_handshaking());
    serving.stop();
}

#[test]
fn a_server_serves_the_device_identity_until_the_certificate_comes_and_answers_challenges_where_it_redirects()
{
    let Some(pebble) = Pebble::start("ACME with a server", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let acme = acme(&pebble, state.path()).name("web.example.org");
    let identity = Identity::acme(acme.clone()).unwrap();
    // Its own authority's, and for the name that is wanted already.
    assert!(identity.is_valid_for("web.example.org") && identity.is_valid_for("localhost"));
    let serving = Serving::start(acme.clone(), 0, pebble.http_port);
    assert!(!serving.renewed().is_valid_for("localhost"));
    serving.seen(&pebble.root(0), "web.example.org").unwrap();
    let ask = |path: &str| {
        let mut tcp = TcpStream::connect(serving.http.unwrap()).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: web.example.org\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    };
    for path in ["/.well-known/acme-challenge/unknown", "/.well-known/acme-challenge/"] {
        let answer = ask(path);
        assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("location"), "{answer}");
    }
    let answer = ask("/.well-known/device");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("in clear"), "{answer}");
    assert!(ask("/").starts_with("HTTP/1.1 301 "));
    serving.stop();

    // The next start has it from the first moment on, and orders nothing.
    let identity = Identity::acme(acme).unwrap();
    assert!(identity.is_valid_for("web.example.org") && !identity.is_valid_for("localhost"));
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn a_name_that_cannot_be_proven_is_a_failure_that_is_remembered_and_leaves_no_order() {
    let Some(pebble) = Pebble::start("ACME without proof", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let acme = acme(&pebble, state.path()).name("lost.example.org");
    // Nobody listens where the authority asks.
    let error = acme.obtain(format!("127.0.0.1:{}", free_port()), Urgency::IfDue).unwrap_err();
    let Error::Acme { fault: AcmeFault::NotValidated { name, .. }, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "lost.example.org");
    let message = error.to_string();
    assert!(message.contains("on port 80, where plain HTTP is answered"), "{message}");
    let status = AcmeStatus::read(state.path()).unwrap();
    assert_eq!((status.failures, status.order, status.not_after), (1, None, None));
    let (at, next) = (status.last_error_at.unwrap(), status.next_attempt.unwrap());
    let rest = next.duration_since(at).unwrap().as_secs();
    assert!((13 * 60..17 * 60).contains(&rest), "{rest}");
    assert!(status.last_error.unwrap().contains("lost.example.org could not be validated"));
}

#[test]
fn the_terms_are_accepted_by_somebody_or_not_at_all() {
    let Some(pebble) = Pebble::start("ACME's terms", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let acme =
        Acme::new(pebble.directory(), state.path()).ca_file(&pebble.authority.ca).name("a.example.org");
    let error = obtain(&pebble, &acme, Urgency::IfDue).unwrap_err();
    let Error::Acme { fault: AcmeFault::TermsNotAccepted { terms }, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains(&format!("read {terms}, and if you agree")), "{error}");
    assert!(AcmeStatus::read(state.path()).unwrap().accounts.is_empty());
    obtained(&pebble, &acme.accept_terms(), Urgency::IfDue);
}

#[test]
fn an_account_is_bound_to_the_one_that_the_authority_knows() {
    let (kid, key) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    let options = Options { external_account: Some((kid, key)), ..Options::default() };
    let Some(pebble) = Pebble::start("ACME with an external account", options) else { return };
    let state = TempDir::new().unwrap();
    let acme = || acme(&pebble, state.path()).name("a.example.org");
    let error = obtain(&pebble, &acme(), Urgency::IfDue).unwrap_err().to_string();
    assert!(error.contains("give the key identifier and the HMAC key"), "{error}");
    let wrong = key.replace("zWND", "zWNE");
    let error = obtain(&pebble, &acme().external_account(kid, wrong), Urgency::IfDue).unwrap_err();
    assert!(matches!(&error, Error::Acme { fault: AcmeFault::Refused { .. }, .. }), "{error}");
    obtained(&pebble, &acme().external_account(kid, key), Urgency::IfDue);
}

#[test]
fn among_several_chains_the_one_that_is_asked_for_is_taken() {
    let options = Options {
        environment: &[("PEBBLE_ALTERNATE_ROOTS", "2"), ("PEBBLE_CHAIN_LENGTH", "3")],
        ..Options::default()
    };
    let Some(pebble) = Pebble::start("ACME with several chains", options) else { return };
    for index in [0, 1, 2] {
        let root = pebble.root(index);
        let state = TempDir::new().unwrap();
        let acme = acme(&pebble, state.path()).name("a.example.org").chain(common_name(&root));
        obtained(&pebble, &acme, Urgency::IfDue);
        let chain = chain(state.path());
        assert_eq!(chain.len(), 4);
        verify(&chain, &root);
    }
}

fn verify(chain: &[CertificateDer<'static>], root: &CertificateDer<'static>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from("a.example.org").unwrap();
    let now = rustls::pki_types::UnixTime::now();
    use rustls::client::danger::ServerCertVerifier;
    verifier.build().unwrap().verify_server_cert(&chain[0], &chain[1..], &name, &[], now).unwrap();
}

/// Pebble's names are all of this form; the last in the certificate is its own.
fn common_name(certificate: &CertificateDer<'_>) -> String {
    let text = String::from_utf8_lossy(certificate);
    let at = text.rfind("Pebble Root CA ").unwrap();
    text[at..at + "Pebble Root CA 0a1b2c".len()].to_string()
}

/// As a person with the account's key does (RFC 8555 §7.3.6).
fn deactivate(pebble: &Pebble, state: &Path) {
    let mut files = fs::read_dir(state.join("acme")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.to_string_lossy().contains("account-")).unwrap();
    let account: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let text = |name: &str| account[name].as_str().unwrap();
    let key = support_acme::base64url::decode(text("key"));
    let path = text("url").split_once("/my-account").map(|(_, rest)| format!("/my-account{rest}")).unwrap();
    let ask = |request: String| {
        let answer = https::exchange(pebble.port, &pebble.authority.ca, request.as_bytes()).unwrap();
        String::from_utf8(answer).unwrap()
    };
    let host = format!("Host: localhost:{}\r\nUser-Agent: test\r\nConnection: close", pebble.port);
    let nonce = ask(format!("HEAD /nonce-plz HTTP/1.1\r\n{host}\r\n\r\n"));
    let nonce = nonce.lines().find_map(|line| line.strip_prefix("Replay-Nonce: ")).unwrap().to_string();
    let encode = |json: Value| support_acme::base64url::encode(json.to_string().as_bytes());
    let protected = encode(json!({"alg": "ES256", "kid": text("url"), "nonce": nonce, "url": text("url")}));
    let payload = encode(json!({"status": "deactivated"}));
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &key, &random).unwrap();
    let signature = key.sign(&random, format!("{protected}.{payload}").as_bytes()).unwrap();
    let signature = support_acme::base64url::encode(signature.as_ref());
    let body = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
    let fields = format!("Content-Type: application/jose+json\r\nContent-Length: {}", body.len());
    let answer = ask(format!("POST {path} HTTP/1.1\r\n{host}\r\n{fields}\r\n\r\n{body}"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("deactivated"), "{answer}");
}

#[test]
fn an_account_that_its_owner_has_deactivated_gives_way_to_a_new_one() {
    let Some(pebble) = Pebble::start("ACME without an account", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let acme = acme(&pebble, state.path()).name("a.example.org");
    obtained(&pebble, &acme, Urgency::IfDue);
    let before = AcmeStatus::read(state.path()).unwrap().accounts;
    deactivate(&pebble, state.path());
    // As if the last order had been made long ago.
    let file = state.path().join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    book["last_order"] = 0.into();
    fs::write(&file, book.to_string()).unwrap();
    obtained(&pebble, &acme, Urgency::Now);
    let after = AcmeStatus::read(state.path()).unwrap().accounts;
    assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
}

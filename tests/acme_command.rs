//! ACME through the command: `serve --acme`, `cert obtain`, `cert renew` and `cert status`.

mod support_acme;
mod support_command;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rcgen::KeyPair;
use serde_json::Value;
use tempfile::TempDir;

use support_acme::authority::parameters;
use support_acme::pebble::{Options, Pebble};
use support_acme::stub::Stub;
use support_command::client::Client;
use support_command::clock::Clock;
use support_command::{lockgate, outcome, text, Server};

/// `lockgate WORDS … --acme …` for this authority.
fn command(words: &[&str], pebble: &Pebble, state: &Path) -> Command {
    let directory = pebble.directory();
    let authority = ["--acme", &directory, "--acme-ca", text(&pebble.authority.ca), "--state", text(state)];
    lockgate(&[words, &authority].concat())
}

fn status(state: &Path) -> Value {
    let (code, json, log) = outcome(lockgate(&["cert", "status", "--json", "--state", text(state)]), b"");
    assert_eq!(code, 0, "{log}");
    serde_json::from_str(&json).unwrap()
}

#[test]
fn serve_gets_its_certificate_by_itself_and_the_others_look_on() {
    let Some(pebble) = Pebble::start("serve --acme", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let http = format!("127.0.0.1:{}", pebble.http_port);
    let words = ["serve", "--accept-terms", "--name", "localhost", "--https", "127.0.0.1:0", "--http", &http];
    let mut server = Server::spawn(command(&words, &pebble, state.path()));
    let port = server.https_port();
    let advice = server.stdout.expect("How the certificate from the authority stands: ");
    assert!(advice.ends_with(&format!("lockgate cert status --state {}", text(state.path()))), "{advice}");
    server.stderr.expect("the device identity is served");
    server.stderr.expect("in use for new connections");
    Client::connect(port, &pebble.root(0)).get();

    let known = status(state.path());
    assert_eq!(known["names"], serde_json::json!(["localhost"]));
    assert_eq!(known["authority"], pebble.directory());
    assert_eq!(known["failures"], 0);
    let shown = outcome(lockgate(&["cert", "status", "--state", text(state.path())]), b"").1;
    assert!(shown.starts_with("certificate for localhost\n  from https://localhost:"), "{shown}");

    let words = ["cert", "renew", "--force", "--name", "localhost", "--http", "127.0.0.1:0"];
    let (code, _, message) = outcome(command(&words, &pebble, state.path()), b"");
    assert_eq!(code, 1);
    assert!(message.contains("a running server obtains and renews by itself"), "{message}");
    server.stop();

    // Without the server: for the names and from the authority that it is from, and not before it is time.
    let ca = text(&pebble.authority.ca);
    let words = ["cert", "renew", "--http", "127.0.0.1:0", "--acme-ca", ca, "--state", text(state.path())];
    let (code, shown, message) = outcome(lockgate(&words), b"");
    assert_eq!(code, 0, "{message}");
    assert!(shown.starts_with("certificate for localhost\n"), "{shown}");
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn what_is_missing_is_named_and_so_are_the_terms() {
    let Some(pebble) = Pebble::start("cert obtain", Options::default()) else { return };
    let state = TempDir::new().unwrap();
    let words = ["cert", "obtain", "--name", "a.example.org", "--http", "127.0.0.1:0"];
    let (code, _, message) = outcome(command(&words, &pebble, state.path()), b"");
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("its terms of service have not been accepted; read data:"), "{message}");
    assert_eq!(message.matches("terms of service").count(), 1, "{message}");
    assert!(status(state.path())["last_error"].as_str().unwrap().contains("terms of service"));

    let acme = ["--acme", "https://a.example/"];
    let ca = text(&pebble.authority.ca);
    let serve = ["serve", "--state", text(state.path()), "--name", "a.example", "--https", "127.0.0.1:0"];
    let proven_in_tls = [&serve[..], &["--challenge", "tls-alpn-01", "--client-ca", ca], &acme].concat();
    for (words, code, part) in [
        (&["cert", "obtain", "--state", "x", "--name", "a.example"][..], 2, "--acme URL"),
        (&[&["cert", "obtain", "--name", "a.example"], &acme[..]].concat(), 2, "--state DIR"),
        (&[&["cert", "obtain", "--state", "x"], &acme[..]].concat(), 2, "--name NAME"),
        (
            &[&["serve", "--state", "x", "--name", "a.example", "--device"], &acme[..]].concat(),
            2,
            "give one of them",
        ),
        (
            &[&["serve", "--state", text(state.path()), "--name", "*.example", "--http", "off"], &acme[..]]
                .concat(),
            78,
            "--name: *.example: wildcards",
        ),
        (
            &[&["serve", "--state", text(state.path()), "--name", "a.example", "--http", "off"], &acme[..]]
                .concat(),
            78,
            "--challenge: http-01 is answered where plain HTTP is",
        ),
        (
            &proven_in_tls,
            78,
            "--challenge: tls-alpn-01 is asked by an authority that has no certificate of its own",
        ),
        (&["cert", "renew", "--state", text(state.path())], 2, "there is no certificate yet"),
        (&["cert", "status"], 2, "--state DIR is missing"),
    ] {
        let (given, _, message) = outcome(lockgate(words), b"");
        assert_eq!(given, code, "{words:?}: {message}");
        assert!(message.contains(part), "{words:?}: {message}");
    }
}

#[test]
fn what_is_said_of_an_authority_without_one_is_named() {
    let options: [&[&str]; 8] = [
        &["--accept-terms"],
        &["--challenge", "http-01"],
        &["--acme-ca", "x"],
        &["--acme-profile", "x"],
        &["--acme-chain", "x"],
        &["--acme-contact", "x@example.org"],
        &["--acme-eab-kid", "x"],
        &["--acme-eab-key", "x"],
    ];
    for served in [&["--cert", "x", "--key", "x"][..], &["--device", "--state", "x"]] {
        for option in options {
            let (code, _, message) = outcome(lockgate(&[&["serve"], served, option].concat()), b"");
            assert_eq!(code, 2, "{option:?}: {message}");
            let words = format!(
                "{} is for a certificate from an authority elsewhere; give --acme URL too",
                option[0]
            );
            assert!(message.contains(&words), "{option:?}: {message}");
        }
    }
    for (option, value) in [("--public-name", "a.example"), ("--public-port", "443")] {
        let line = ["serve", "--cert", "x", "--key", "x", "--http", "off", option, value];
        let (code, _, message) = outcome(lockgate(&line), b"");
        assert!(
            code == 2 && message.contains(&format!("{option} is where redirects lead")),
            "{code} {message}"
        );
    }
    // In a file it is the same.
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("lockgate.toml");
    fs::write(&file, "cert = [\"x\"]\nkey = [\"x\"]\nchallenge = \"tls-alpn-01\"\n").unwrap();
    let (code, _, message) = outcome(lockgate(&["serve", "--config", text(&file)]), b"");
    assert!(code == 2 && message.contains("--challenge is for a certificate"), "{code} {message}");
}

#[test]
fn a_certificate_that_has_run_out_is_renewed_and_what_is_known_of_it_is_shown() {
    let state = TempDir::new().unwrap();
    let dir = state.path().join("acme");
    fs::create_dir(&dir).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = parameters(&["a.example"], 0);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let from = "lockgate: from https://localhost:1/directory\nlockgate: for a.example\n";
    fs::write(dir.join("certificate.pem"), [from, &key.serialize_pem(), &certificate].concat()).unwrap();

    let known = status(state.path());
    assert_eq!(known["names"], serde_json::json!(["a.example"]), "{known}");
    assert!(known["fault"].as_str().unwrap().contains("expired"), "{known}");
    let words = ["cert", "renew", "--http", "127.0.0.1:0", "--state", text(state.path())];
    let (code, _, message) = outcome(lockgate(&words), b"");
    // Nobody is there, but it is asked.
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("https://localhost:1/directory"), "{message}");
}

#[test]
fn who_looks_at_a_certificate_is_not_told_each_time_what_clients_object_to() {
    let state = TempDir::new().unwrap();
    let dir = state.path().join("acme");
    fs::create_dir(&dir).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = parameters(&["a.example"], 1_000 * 86_400).self_signed(&key).unwrap().pem();
    fs::write(dir.join("certificate.pem"), key.serialize_pem() + &certificate).unwrap();
    let (code, shown, log) = outcome(lockgate(&["cert", "status", "--state", text(state.path())]), b"");
    assert_eq!((code, &*log), (0, ""));
    assert!(shown.contains("valid from"), "{shown}");
}

#[test]
fn an_external_accounts_key_that_others_may_read_is_reported() {
    let dir = TempDir::new().unwrap();
    let (key, state) = (dir.path().join("eab.key"), dir.path().join("state"));
    fs::write(&key, "c2VjcmV0").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let authority =
        ["--acme", "https://localhost:1/directory", "--name", "a.example", "--http", "127.0.0.1:0"];
    let account = ["--state", text(&state), "--acme-eab-kid", "kid", "--acme-eab-key", text(&key)];
    let (_, _, log) = outcome(lockgate(&[&["cert", "obtain"], &authority[..], &account].concat()), b"");
    assert!(log.contains("mode 0644") && log.contains("chmod 600") && !log.contains("c2VjcmV0"), "{log}");
}

#[test]
fn an_authority_that_wants_a_day_for_an_order_is_asked_again_in_a_minute_and_the_log_says_so() {
    let stub = Stub::start();
    stub.show_finalized(Some(("\r\nRetry-After: 86400", serde_json::json!({"status": "processing"}))));
    let (directory, state) = (stub.directory(), TempDir::new().unwrap());
    let words =
        ["serve", "--acme", &directory, "--acme-ca", text(&stub.authority.ca), "--name", "a.example.org"];
    let ports = ["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", text(state.path())];
    let mut server = Server::spawn(lockgate(&[&words[..], &ports].concat()));
    let line = server.stderr.expect("asks to wait 86400 s");
    assert!(line.contains("it is asked again after 60 s"), "{line}");
    // It does not wait for that to stop.
    server.stop();
    assert!(status(state.path())["order"].as_str().unwrap().ends_with("/order/1"));
}

#[test]
fn a_boot_in_1970_serves_the_certificate_that_an_authority_gave_and_asks_nobody() {
    let test = "a_boot_in_1970_serves_the_certificate_that_an_authority_gave_and_asks_nobody";
    let (stub, state) = (Stub::start(), TempDir::new().unwrap());
    let acme =
        lockgate::Acme::new(stub.directory(), state.path()).ca_file(&stub.authority.ca).name("localhost");
    acme.obtain("127.0.0.1:0", lockgate::Urgency::IfDue).unwrap();
    let Some(clock) = Clock::at(test, state.path(), "@1970-01-01 00:00:30") else { return };
    let directory = stub.directory();
    let words = ["serve", "--acme", &directory, "--acme-ca", text(&stub.authority.ca), "--name", "localhost"];
    let ports = ["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", text(state.path())];
    let mut server = Server::spawn(clock.wear(lockgate(&[&words[..], &ports].concat())));
    let port = server.https_port();
    Client::connect(port, stub.authority.issuer.der()).get();
    let line = server.stderr.expect("served all the same");
    assert!(line.contains("ERROR") && line.contains("not valid before 20"), "{line}");
    let log = server.stop();
    assert!(!log.contains("device identity") && !log.contains("no certificate from"), "{log}");
    assert_eq!((stub.orders().len(), &status(state.path())["failures"]), (1, &0.into()));
}

#[test]
fn a_deactivated_account_is_replaced_in_one_attempt_and_the_log_says_so() {
    let (stub, state) = (Stub::start(), TempDir::new().unwrap());
    let acme =
        lockgate::Acme::new(stub.directory(), state.path()).ca_file(&stub.authority.ca).name("localhost");
    acme.obtain("127.0.0.1:0", lockgate::Urgency::IfDue).unwrap();
    stub.deactivate();
    // As if the last order had been made long ago.
    let file = state.path().join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    book["last_order"] = 0.into();
    fs::write(&file, book.to_string()).unwrap();
    let ca = text(&stub.authority.ca);
    let words =
        ["cert", "renew", "--force", "--acme-ca", ca, "--http", "127.0.0.1:0", "--state", text(state.path())];
    let (code, shown, log) = outcome(lockgate(&words), b"");
    assert_eq!(code, 0, "{log}");
    let line = log
        .lines()
        .find(|line| line.contains("is gone: a new one is made"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("WARN")
            && line.contains("/account/1")
            && line.contains("a new one is made, with a new key")
    );
    assert!(shown.contains("/account/2 at "), "{shown}");
}

#[test]
fn a_server_stops_while_its_authority_says_nothing() {
    let authority = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", authority.local_addr().unwrap().port());
    let state = TempDir::new().unwrap();
    let words =
        ["serve", "--acme", &url, "--accept-terms", "--name", "localhost", "--state", text(state.path())];
    let ports = ["--https", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut server = Server::spawn(lockgate(&[&words[..], &ports].concat()));
    // It has begun to ask, and will not be answered.
    let (_held, _) = authority.accept().unwrap();
    let log = server.stop();
    assert!(!log.contains("it goes on at the next start"), "{log}");
    assert_eq!(status(state.path())["failures"], 0);
}

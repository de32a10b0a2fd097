//! ACME through the command: `serve --acme`, `cert obtain`, `cert renew` and `cert status`.

mod support_acme;
mod support_command;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::{pem::PemObject, CertificateDer};
use serde_json::Value;
use tempfile::TempDir;

use support_acme::authority::parameters;
use support_acme::pebble::{Options, Pebble};
use support_acme::stub::Stub;
use support_command::client::Client;
use support_command::clock::Clock;
use support_command::peers::{leave_out, CURL, SETCAP, UNSHARE};
use support_command::{lockgate, outcome, text, Server, SAFETY};

/// The user without any permission (Debian: nobody).
const NOBODY: u32 = 65_534;

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
    // In a file it is the same, with its line, and what is wrong is the file.
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("lockgate.toml");
    fs::write(&file, "cert = [\"x\"]\nkey = [\"x\"]\nchallenge = \"tls-alpn-01\"\n").unwrap();
    let (code, _, message) = outcome(lockgate(&["serve", "--config", text(&file)]), b"");
    let words = "lockgate.toml:3: challenge: --challenge is for a certificate";
    assert!(code == 78 && message.contains(words), "{code} {message}");
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

/// The commands of the guide at the top of the README.
fn guide() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("## HTTPS for an API that runs already").unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.lines().map(String::from).collect()
}

#[test]
fn the_four_commands_of_the_readme_lead_to_a_certificate_that_renews_itself() {
    const TEST: &str = "the_four_commands_of_the_readme_lead_to_a_certificate_that_renews_itself";
    assert_eq!(guide().len(), 4);
    // Ports 80 and 443 are free in a network of its own, and nothing else is reached from there.
    let isolate = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    const SET_UP: &str = "ip link set lo up";
    let Some(mut probe) = UNSHARE.command(TEST, &[isolate, "sh", "-c", SET_UP]) else { return };
    if !probe.output().unwrap().status.success() {
        return leave_out(&format!("{TEST}: needs a network of its own (unshare {isolate})"));
    }
    if SETCAP.command(TEST, &[]).is_none() || CURL.command(TEST, &[]).is_none() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let script = format!("{SET_UP} && exec \"$0\" \"$@\"");
    let line = [isolate, "sh", "-c", &script, text(&own), "in_a_network_of_its_own", "--exact", "--ignored"];
    let inside = UNSHARE.command(TEST, &[&line[..], &["--nocapture"]].concat()).unwrap().output().unwrap();
    let said =
        [inside.stdout, inside.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

/// The part of the test before that runs in a network of its own.
#[test]
#[ignore = "the test of the four commands runs it"]
fn in_a_network_of_its_own() {
    let options = Options { http_port: Some(80), lifetime: Some(90 * 86_400), ..Options::default() };
    let Some(pebble) = Pebble::start("the four commands", options) else { return };
    // The API that runs already.
    let api = TcpListener::bind("127.0.0.1:3000").unwrap();
    std::thread::spawn(move || {
        for peer in api.incoming() {
            let mut peer = peer.unwrap();
            let mut come = Vec::new();
            let mut piece = [0; 1024];
            while !come.ends_with(b"\r\n\r\n") {
                match std::io::Read::read(&mut peer, &mut piece) {
                    Ok(read) if read > 0 => come.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"mine\": true}\n";
            let _ = std::io::Write::write_all(&mut peer, answer.as_bytes());
        }
    });
    // A user without any permission, where root can become one.
    let home = TempDir::new().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let ca = home.path().join("pebble-ca.pem");
    fs::copy(&pebble.authority.ca, &ca).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_lockgate"), home.path().join("bin/lockgate")).unwrap();
    if is_root {
        chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}:/usr/sbin:/sbin", text(&home.path().join("bin")));
    let shell = |line: &str, as_user: bool| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", &path).env("HOME", home.path()).env_remove("RUST_LOG");
        if as_user && is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    // What differs here from the guide is named: the first command builds what stands in PATH already, whoever asks for the ports is
    // root, and the authority is one that nobody trusts.
    let [install, allow, serve, check] = &guide()[..] else { panic!() };
    assert_eq!(install, "cargo install lockgate --features cli");
    let (code, _, error) = outcome(shell(allow.strip_prefix("sudo ").unwrap(), false), b"");
    assert_eq!(code, 0, "{error}");
    let authority = format!("--acme {} --acme-ca {}", pebble.directory(), text(&ca));
    let serve = serve.replace("--acme letsencrypt", &authority);
    assert!(serve.starts_with("lockgate serve --acme https://"), "{serve}");
    let mut server = Server::spawn(shell(&format!("exec {serve}"), true));
    assert_eq!((server.https_port(), server.http_port()), (443, 80));
    server.stderr.expect("in use for new connections");
    let root = home.path().join("root.pem");
    fs::write(&root, lockgate::Certificate::from_der(&pebble.root(0)).unwrap().to_pem()).unwrap();

    let check = format!("{check} --connect 127.0.0.1 --ca {}", text(&root));
    let (code, said, error) = outcome(shell(&check, true), b"");
    assert!(code < 2 && !said.contains("error:"), "{code} {said} {error}");
    let resolve = "--resolve api.example.com:443:127.0.0.1 --resolve api.example.com:80:127.0.0.1";
    let ask = |url: &str| {
        let line = format!("curl --silent --show-error --location {resolve} --cacert {} {url}", text(&root));
        let (code, said, error) = outcome(shell(&line, true), b"");
        assert_eq!((code, &*said), (0, "{\"mine\": true}\n"), "{url}: {error}");
    };
    ask("https://api.example.com/");
    ask("http://api.example.com/anything");
    // It is told when it renews.
    let (code, said, error) = outcome(shell("lockgate cert status --state ~/lockgate", true), b"");
    assert!(
        code == 0 && said.contains("certificate for api.example.com") && said.contains("renew"),
        "{said} {error}"
    );
    // Its renewal comes, a moment after the next start. Time itself cannot be changed for a program with a capability: no library is
    // loaded in front of its own (ld.so, secure-execution mode).
    let shown = || {
        let line = format!(
            "openssl s_client -connect 127.0.0.1:443 -servername api.example.com -verify_hostname api.example.com \
             -verify_return_error -CAfile {} -showcerts",
            text(&root)
        );
        let (code, said, error) = outcome(shell(&line, true), b"");
        assert_eq!(code, 0, "{said} {error}");
        let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said} {error}"));
        let der: CertificateDer<'_> = PemObject::from_pem_slice(&said.as_bytes()[begin..]).unwrap();
        lockgate::Certificate::from_der(&der).unwrap().serial()
    };
    let first = shown();
    let state = home.path().join("lockgate");
    let began = Instant::now();
    while lockgate::AcmeStatus::read(&state).unwrap().renew_at.is_none() {
        assert!(began.elapsed() < SAFETY);
        std::thread::sleep(Duration::from_millis(10));
    }
    server.stop();
    let file = state.join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    (book["last_order"], book["plan"]["renew_at"]) = (0.into(), (now + 3).into());
    fs::write(&file, book.to_string()).unwrap();
    let mut server = Server::spawn(shell(&format!("exec {serve}"), true));
    assert_eq!((server.https_port(), server.http_port()), (443, 80));
    let log = server.stderr.expect("in use for new connections");
    assert_ne!(shown(), first, "{log}");
    ask("https://api.example.com/");
    ask("http://api.example.com/anything");
    assert_eq!(pebble.orders(), 2);
    let log = server.stop();
    assert!(!log.contains("device identity") && !log.contains("ERROR"), "{log}");
}

//! What a user of the `lockgate` command sees: its output, its answers, its exit codes, its signals and its log.

#[cfg(feature = "proxy")]
#[path = "command/routes.rs"]
mod routes;
mod support_command;

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustls::pki_types::{pem::PemObject, CertificateDer};
use tempfile::TempDir;

use support_command::certificates::Authority;
use support_command::client::{tcp, Client};
use support_command::peers::{leave_out, CURL};
use support_command::{lockgate, of_program, outcome, serve_line, text, Server, BODY};

const GET: &str = "GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The user without any permission (Debian: nobody).
const NOBODY: u32 = 65_534;
const DAY: i64 = 24 * 60 * 60;

// What it serves, and what it prints.

#[test]
fn serve_says_that_it_runs_once_it_accepts() {
    let authority = Authority::new();
    let mut server = Server::serve(&authority.pair("a"), &[]);
    let port = server.https_port();
    Client::connect(port, &authority.certificate()).get();
    let redirects = server.http_port();
    let mut plain = tcp(redirects);
    plain.write_all(b"GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let answer = io::read_to_string(plain).unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert!(answer.contains(&format!("\r\nlocation: https://localhost:{port}/a?b\r\n")), "{answer}");
    server.stop();
    let said = server.stdout.all();
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn without_redirects_it_does_not_speak_of_them() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::spawn(lockgate(&[
        "serve",
        "--cert",
        text(&pair.cert),
        "--key",
        text(&pair.key),
        "--https=127.0.0.1:0",
        "--http",
        "off",
    ]));
    Client::connect(server.https_port(), &authority.certificate()).get();
    server.stop();
    assert!(!server.stdout.all().contains("http://"));
}

#[test]
fn the_curl_line_of_the_demo_works_when_pasted() {
    let test = "the_curl_line_of_the_demo_works_when_pasted";
    if CURL.command(test, &[]).is_none() {
        return;
    }
    // A path with a space and a quote is quoted for the shell.
    for folder in ["certs", "it's a demo"] {
        let dir = TempDir::new().unwrap();
        let mut server = Server::demo(&dir.path().join(folder), &[]);
        let line = server.stdout.expect("Try it: ");
        let pasted = line.strip_prefix("Try it: ").unwrap();
        assert!(pasted.starts_with("curl --cacert "), "{pasted}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{pasted} --silent --show-error --noproxy '*'")]);
        assert_eq!(outcome(shell, b""), (0, BODY.into(), String::new()), "{pasted}");
    }
}

#[test]
fn the_data_are_answered_as_the_reference_answers_them() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::demo(dir.path(), &[]);
    let mut client = Client::connect(server.https_port(), &ca_of(dir.path()));
    client.send(GET);
    let (head, body) = client.response();
    assert_eq!(body, BODY);
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 36\r\n"),
        "{head}"
    );
}

#[test]
fn a_closed_stdout_does_not_end_it() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    // Nobody reads the port, so it must be known: one that the system gave out a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let https = format!("127.0.0.1:{port}");
    let line =
        ["serve", "--cert", text(&pair.cert), "--key", text(&pair.key), "--https", &https, "--http", "off"];
    let mut command = lockgate(&[&line[..], &["-v"]].concat());
    let mut server = Server::watch(command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap());
    server.stderr.expect("stdout is closed");
    Client::connect(port, &authority.certificate()).get();
    server.stop();
}

/// Answers each request of one connection with its first line and what it says of the client.
#[cfg(feature = "proxy")]
fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if io::Read::read(&mut tcp, &mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            // The server looks at its start whether somebody is here, and sends nothing.
            if head.is_empty() {
                continue;
            }
            let head = String::from_utf8(head).unwrap();
            let said =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("-").to_string();
            let body =
                format!("{}; {}; {}", said("GET "), said("x-forwarded-for: "), said("x-forwarded-proto: "));
            write!(
                tcp,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    format!("http://{address}")
}

#[cfg(feature = "proxy")]
#[test]
fn serve_passes_requests_on_to_the_server_that_it_is_told_of() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &["--to", &backend()]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    for _ in 0..2 {
        client.send("GET /a?b HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
        let (head, body) = client.response();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, "/a?b HTTP/1.1; 127.0.0.1; https");
    }
    server.stop();
}

#[cfg(feature = "proxy")]
#[test]
fn a_backend_that_cannot_be_one_is_refused_before_the_start_and_in_a_file_by_the_check() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    for (to, words) in [
        ("127.0.0.1:3000", "http://HOST:PORT"),
        ("https://127.0.0.1:3000", "--backend-ca FILE"),
        ("http://127.0.0.1:3000/api", "without a path"),
        ("http://127.0.0.1:3000//", "without a path"),
    ] {
        let line = [&serve_line(&pair)[..], &["--to", to]].concat();
        let (code, said, error) = outcome(lockgate(&line), b"");
        assert_eq!((code, &*said), (2, ""), "{error}");
        assert!(error.contains("--to: ") && error.contains(words), "{error}");
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("lockgate.toml");
    let checked = |to: &str| {
        let (cert, key) = (text(&pair.cert), text(&pair.key));
        fs::write(&file, format!("cert = \"{cert}\"\nkey = \"{key}\"\nhttp = \"off\"\nhttps = \"127.0.0.1:0\"\nto = \"{to}\"\n")).unwrap();
        outcome(lockgate(&["check", "--config", text(&file)]), b"")
    };
    let (code, said, _) = checked("http://127.0.0.1:3000/api");
    assert!(code == 2 && said.contains("lockgate.toml:5: to: "), "{code} {said}");
    let (_, said, error) = checked("http://127.0.0.1:3000");
    assert!(!said.contains("--to"), "{said} {error}");
}

// The demo's certificates.

#[test]
fn the_demo_makes_its_certificates_and_keeps_them() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("not/there/yet");
    let mut server = Server::demo(&dir, &[]);
    server.stdout.expect("Made a demo CA and a certificate for localhost in ");
    Client::connect(server.https_port(), &ca_of(&dir)).get();
    server.stop();
    let made = contents(&dir);
    assert_eq!(
        made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["ca.pem", "cert.pem", "key.pem"]
    );
    assert_eq!(dir.join("key.pem").metadata().unwrap().mode() & 0o7777, 0o600);

    let mut server = Server::demo(&dir, &[]);
    Client::connect(server.https_port(), &ca_of(&dir)).get();
    server.stop();
    assert!(!server.stdout.all().contains("Made"));
    assert!(contents(&dir) == made, "they were not kept");
}

#[test]
fn the_demo_makes_its_certificates_anew_when_they_are_no_good() {
    let authority = Authority::new();
    let expired = authority.pair_for("expired", &["localhost", "127.0.0.1", "::1"], -2 * DAY, -DAY);
    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoils: [(&str, Spoil, &str); 3] = [
        (
            "expired",
            &|dir| {
                let mark = first_line(&dir.join("key.pem"));
                for (from, to) in
                    [(&authority.ca, "ca.pem"), (&expired.cert, "cert.pem"), (&expired.key, "key.pem")]
                {
                    fs::write(dir.join(to), format!("{mark}\n{}", fs::read_to_string(from).unwrap()))
                        .unwrap();
                }
            },
            "expired at",
        ),
        (
            "cut off",
            &|dir| {
                let whole = fs::read(dir.join("cert.pem")).unwrap();
                fs::write(dir.join("cert.pem"), &whole[..whole.len() / 2]).unwrap();
            },
            "cut off",
        ),
        ("without a key", &|dir| fs::remove_file(dir.join("key.pem")).unwrap(), "is not there"),
    ];
    for (what, spoil, why) in spoils {
        let dir = TempDir::new().unwrap();
        let mut server = Server::demo(dir.path(), &[]);
        server.https_port();
        server.stop();
        spoil(dir.path());
        let spoiled = contents(dir.path());
        let mut server = Server::demo(dir.path(), &[]);
        let line = server.stdout.expect("Made a demo CA");
        assert!(line.contains(why), "{what}: {line}");
        Client::connect(server.https_port(), &ca_of(dir.path())).get();
        for (old, new) in spoiled.iter().zip(&contents(dir.path())) {
            assert_ne!(old, new, "{what}");
        }
    }
}

#[test]
fn the_demo_never_writes_over_a_file_that_it_did_not_make() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("key.pem");
    fs::write(&key, "the only copy").unwrap();
    let ended = outcome(lockgate(&["demo", "--dir", text(dir.path())]), b"");
    refused(&ended, 78, &["key.pem: was not made by the demo and is left as it is"]);
    assert_eq!(fs::read_to_string(&key).unwrap(), "the only copy");
    assert_eq!(contents(dir.path()).len(), 1);
}

// How it ends when it cannot begin.

#[test]
fn a_failure_with_json_is_json_on_stdout_too() {
    for (line, code, part) in [
        (&["cert", "show", "--json"][..], 64, "FILE is missing"),
        (&["cert", "show", "--json", "/nowhere.pem"], 78, "/nowhere.pem"),
        (&["cert", "status", "--json"], 2, "--state DIR is missing"),
        (&["check", "--json"], 64, "what to check is missing"),
        (&["check", "--json", "--colour"], 64, "no option --colour"),
        (&["cert", "--json", "show"], 2, "--json stands before the command"),
    ] {
        let (given, said, told) = outcome(lockgate(line), b"");
        let json: serde_json::Value =
            serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line:?}: {said}"));
        assert_eq!((given, json["exit_code"].as_i64()), (code, Some(code.into())), "{line:?}");
        let error = json["error"].as_str().unwrap();
        assert!(error.contains(part), "{line:?}: {error}");
        assert_eq!(told, format!("lockgate: {error}\n"));
    }
    // A file of this name is no option.
    let (_, said, _) = outcome(lockgate(&["cert", "show", "--", "--json"]), b"");
    assert_eq!(said, "");
}

#[test]
fn a_wrong_command_line_is_2_and_says_what_would_be_right() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let serve = serve_line(&pair);
    for (line, words) in [
        (vec![], "the commands are serve, demo"),
        (vec!["sevre"], "\"sevre\" is not a command"),
        ([&serve[..], &["--idle-timeot", "1"]].concat(), "is --idle-timeout meant?"),
        ([&serve[..], &["--idle-timeout", "soon"]].concat(), "500ms, 60s, 2m"),
        ([&serve[..], &["--body-bytes", "1MB"]].concat(), "64KiB, 1MiB"),
        ([&serve[..], &["--http", "localhost"]].concat(), "127.0.0.1:80"),
        ([&serve[..], &["--idle-timeout"]].concat(), "--idle-timeout needs a value"),
        (vec!["serve"], "--cert FILE and --key FILE are missing"),
        (vec!["serve", "--cert", "a.pem"], "--key FILE is missing"),
        (vec!["serve", "--key", "a.pem"], "--cert FILE is missing"),
    ] {
        refused(&outcome(lockgate(&line), b""), 2, &[words]);
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_1() {
    let authority = Authority::new();
    // 192.0.2.0/24 is nobody's (RFC 5737).
    let pair = authority.pair("a");
    let line = [&serve_line(&pair)[..], &["--https", "192.0.2.1:0"]].concat();
    refused(&outcome(lockgate(&line), b""), 1, &["192.0.2.1:0: this machine does not have this address"]);
}

#[test]
fn a_port_that_is_taken_is_69() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, listener, way_out) in
        [("--https", "HTTPS", "choose another port"), ("--http", "HTTP", "--http off")]
    {
        let line = [&serve_line(&pair)[..], &[option, &address]].concat();
        let words = format!("cannot listen for {listener} on {address}: another program has this port");
        refused(&outcome(lockgate(&line), b""), 69, &[&words, way_out]);
    }
}

#[test]
fn a_port_that_is_not_permitted_is_77_and_the_demo_takes_another() {
    let test = "a_port_that_is_not_permitted_is_77_and_the_demo_takes_another";
    let least = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if least.trim().parse().is_ok_and(|least: u16| least <= 80) {
        leave_out(&format!(
            "{test}: on this machine every user may open port 80 (sysctl net.ipv4.ip_unprivileged_port_start)"
        ));
        return;
    }
    let Unprivileged { dir, program, is_other_user } = Unprivileged::new();
    let authority = Authority::new();
    let pair = authority.pair("a");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    for (from, to) in [(&pair.cert, &cert), (&pair.key, &key)] {
        fs::copy(from, to).unwrap();
        if is_other_user {
            chown(to, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let command = |line: &[&str]| {
        let mut command = of_program(&program, line);
        if is_other_user {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    for (https, http, listener, way_out) in [
        ("127.0.0.1:80", "off", "HTTPS", "choose one from 1024 up"),
        ("127.0.0.1:0", "127.0.0.1:80", "HTTP", "--http off"),
    ] {
        let line = ["serve", "--cert", text(&cert), "--key", text(&key), "--https", https, "--http", http];
        let words = format!("cannot listen for {listener} on 127.0.0.1:80: this user may not open this port");
        refused(&outcome(command(&line), b""), 77, &[&words, way_out]);
    }

    // An address that only this run uses, since the port is not for us to choose.
    let [.., a, b] = std::process::id().to_be_bytes();
    let address = format!("127.80.{a}.{b}");
    let certs = dir.path().join("certs");
    let line = [
        "demo",
        "--dir",
        text(&certs),
        "--https",
        &format!("{address}:0"),
        "--http",
        &format!("{address}:80"),
    ];
    if TcpListener::bind(format!("{address}:8080")).is_err() {
        leave_out(&format!("{test}, its second half: another program has port 8080 of all addresses"));
        return;
    }
    let mut server = Server::spawn(command(&line));
    server.stdout.expect("This user may not open port 80; plain HTTP is answered on port 8080 instead.");
    server.https_port();
    assert_eq!(server.http_port(), 8080);
    server.stop();
}

#[test]
fn each_fault_of_the_certificate_is_78_and_names_the_file() {
    let authority = Authority::new();
    let good = authority.pair("good");
    let other = authority.pair("other");
    let file = |name: &str, contents: &str| {
        let path = authority.dir().join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let missing = authority.dir().join("missing.pem");
    let empty = file("empty.pem", "nothing\n");
    let encrypted = file(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let damaged = file("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (cert, key, at_fault, words) in [
        (&missing, &good.key, &missing, "there is no such file"),
        (&good.cert, &missing, &missing, "there is no such file"),
        (&empty, &good.key, &empty, "holds no certificate"),
        (&good.cert, &empty, &empty, "holds no private key"),
        (&good.key, &good.cert, &good.key, "the two are swapped"),
        (&good.cert, &other.key, &other.key, "does not belong to the certificate"),
        (&good.cert, &encrypted, &encrypted, "encrypted with a passphrase"),
        (&damaged, &good.key, &damaged, "is damaged"),
    ] {
        let line =
            ["serve", "--cert", text(cert), "--key", text(key), "--https", "127.0.0.1:0", "--http", "off"];
        refused(&outcome(lockgate(&line), b""), 78, &[&format!("{}: ", at_fault.display()), words]);
    }
}

#[test]
fn a_limit_that_cannot_be_kept_is_78_and_has_the_name_of_its_option() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    for (option, value) in [("--connections", "0"), ("--idle-timeout", "0"), ("--head-fields", "1000")] {
        let line = [&serve_line(&pair)[..], &[option, value]].concat();
        refused(&outcome(lockgate(&line), b""), 78, &[&format!("{option}: "), "is out of range"]);
    }
}

#[test]
fn a_key_that_others_may_read_is_warned_of() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &[]);
    server.https_port();
    assert!(!server.stop().contains(text(&pair.key)));

    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
    let mut server = Server::serve(&pair, &[]);
    let line = server.stderr.expect("WARN");
    let key = text(&pair.key);
    assert!(line.contains(&format!("{key}: ")) && line.contains(&format!("chmod 600 {key}")), "{line}");
    Client::connect(server.https_port(), &authority.certificate()).get();
}

#[test]
fn limits_that_ask_for_more_memory_than_there_is_are_warned_of() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &["--connections", "8", "--body-memory-bytes", "1000000000MiB"]);
    let line = server.stderr.expect("WARN");
    let words = [
        "with 8 connections and everything full lockgate takes ",
        " MiB, and there are ",
        " (--connections)",
    ];
    assert!(words.iter().all(|words| line.contains(words)), "{line}");
    Client::connect(server.https_port(), &authority.certificate()).get();
    // Requests at a server behind take memory too: 74 KiB each, and a body of 64 MiB.
    let taken = |line: &str| -> u64 {
        let number = line.split_once("lockgate takes ").unwrap().1;
        number.split(' ').next().unwrap().parse().unwrap()
    };
    let behind = ["--to", "http://127.0.0.1:1", "--body-bytes", "64MiB"];
    let limits = ["--connections", "8", "--body-memory-bytes", "1000000000MiB"];
    let mut proxied = Server::serve(&pair, &[&limits[..], &behind].concat());
    let more = proxied.stderr.expect("everything full");
    assert!((32..=33).contains(&(taken(&more) - taken(&line))), "{line} {more}");
}

// Signals.

#[test]
fn sigterm_and_sigint_answer_what_has_begun_and_end_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let authority = Authority::new();
        let mut server =
            Server::serve(&authority.pair("a"), &["--drain-timeout=1000s", "--head-timeout=1000s"]);
        let port = server.https_port();
        let redirects = server.http_port();
        let connect = || Client::connect(port, &authority.certificate());
        let (mut idle, mut half_head, mut half_body) = (connect(), connect(), connect());
        // Kept alive after a request each, so that the server is known to be at what comes next.
        for client in [&mut idle, &mut half_head, &mut half_body] {
            client.get();
        }
        half_head.send("GET /api/data HTTP/1.1\r\nHo");
        half_body.send(
            "GET /api/data HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        half_body.expect_continue();
        server.signal(signal);

        idle.expect_end();
        half_body.send("body");
        let (head, body) = half_body.response();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("connection: close\r\n"), "{head}");
        assert_eq!(body, BODY);
        half_body.expect_end();
        // A head that never comes is not waited for.
        let (head, _) = half_head.response();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        half_head.expect_end();
        drop((idle, half_head, half_body));
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.trim_end().ends_with("stopped"), "{log}");
        for port in [port, redirects] {
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "port {port} is still open");
        }
    }
}

/// What a stop cuts is told in the log, and no failure: the help says so.
#[test]
fn a_stop_cuts_what_is_open_after_the_drain_timeout_and_ends_with_0() {
    let authority = Authority::new();
    let mut server = Server::serve(&authority.pair("a"), &["--drain-timeout=50ms", "--body-timeout=1000s"]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    client.send(
        "GET /api/data HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    client.expect_continue();
    let log = server.stop();
    assert!(log.contains("stopping; connections that were cut: 1 (limit drain_timeout)"), "{log}");
    let (_, help, _) = outcome(lockgate(&["serve", "--help"]), b"");
    assert!(help.contains("SIGTERM; what was open after drain-timeout was cut, as the log says"), "{help}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let authority = Authority::new();
        let mut server =
            Server::serve(&authority.pair("a"), &["--drain-timeout=1000s", "--body-timeout=1000s"]);
        let mut client = Client::connect(server.https_port(), &authority.certificate());
        client.send(
            "GET /api/data HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        client.expect_continue();
        server.signal(first);
        server.stderr.expect("stopping; open connections: 1");
        server.signal(second);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("told to stop a second time"), "{log}");
        client.expect_cut();
    }
}

#[test]
fn sighup_gives_new_connections_the_new_certificate_and_keeps_the_old_over_a_bad_one() {
    let authority = Authority::new();
    let (pair, next) = (authority.pair("a"), authority.pair("b"));
    let mut server = Server::serve(&pair, &[]);
    let port = server.https_port();
    let connect = || Client::connect(port, &authority.certificate());
    let mut first = connect();
    first.get();
    assert_eq!(first.certificate(), pair.der);

    fs::copy(&next.cert, &pair.cert).unwrap();
    fs::copy(&next.key, &pair.key).unwrap();
    server.signal(Signal::HUP);
    server.stderr.expect("certificates are loaded again");
    let mut second = connect();
    second.get();
    assert_eq!(second.certificate(), next.der);
    // Who is there stays.
    first.get();

    for (bad, words) in [("nothing", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\n", "cut off")] {
        fs::write(&pair.cert, bad).unwrap();
        server.signal(Signal::HUP);
        let line = server.stderr.expect("the certificate stays as it is: ");
        assert!(line.contains(text(&pair.cert)) && line.contains(words), "{line}");
        let mut third = connect();
        third.get();
        assert_eq!(third.certificate(), next.der);
    }

    // A key that does not belong to it, as between the two copies of a renewal.
    fs::copy(&next.cert, &pair.cert).unwrap();
    fs::copy(authority.pair("c").key, &pair.key).unwrap();
    server.signal(Signal::HUP);
    let line = server.stderr.expect("the certificate stays as it is: ");
    assert!(line.contains(text(&pair.key)) && line.contains("does not belong"), "{line}");
    second.get();
    server.stop();
}

#[test]
fn settings_come_from_a_file_and_the_environment_and_the_command_line_has_the_last_word() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let file = authority.dir().join("lockgate.toml");
    // The certificate is found beside the file, wherever the program is started.
    let settings = "cert = \"a-cert.pem\"\nkey = [\"a-key.pem\"]\nhttps = \"127.0.0.1:0\"\nhttp = \"off\"\nbody-bytes = 3\n";
    fs::write(&file, settings).unwrap();
    let post = |command: Command| {
        let mut server = Server::spawn(command);
        let mut client = Client::connect(server.https_port(), &authority.certificate());
        assert_eq!(client.certificate(), pair.der);
        client.send("POST /api/data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
        let (head, problem) = client.response();
        server.stop();
        format!("{head}{problem}")
    };
    let line = ["serve", "--config", text(&file)];
    assert!(post(lockgate(&line)).contains("413"));
    let mut with_environment = lockgate(&line);
    with_environment.env("LOCKGATE_BODY_BYTES", "4");
    assert!(post(with_environment).contains("405"));
    let mut with_both = lockgate(&[&line[..], &["--body-bytes", "2"]].concat());
    with_both.env("LOCKGATE_BODY_BYTES", "4");
    assert!(post(with_both).contains("413"));

    fs::write(&file, format!("{settings}idle-timeot = 1\n")).unwrap();
    let (code, _, errors) = outcome(lockgate(&line), b"");
    assert_eq!(code, 78, "{errors}");
    assert!(
        errors.contains("lockgate.toml:6: idle-timeot is not a setting; is idle-timeout meant?"),
        "{errors}"
    );
    let (code, _, errors) = outcome(lockgate(&["serve", "--config", "no such file"]), b"");
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("no such file: cannot be read"), "{errors}");
}

// The log.

#[test]
fn each_request_leaves_a_line_that_never_holds_the_query() {
    let authority = Authority::new();
    let mut server = Server::serve(&authority.pair("a"), &["-vv"]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    let peer = client.local_address();
    client.send("GET /api/data?token=s3cret HTTP/1.1\r\nHost: localhost\r\nCookie: id=s3cret\r\n\r\n");
    client.response();
    client.send(
        "POST /api/%64ata/none?key=s3cret HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\ns3cret",
    );
    let (_, problem) = client.response();
    drop(client);
    let log = server.stop();
    let lines: Vec<Vec<&str>> = log
        .lines()
        .filter_map(|line| line.split_once("lockgate::access] "))
        .map(|(_, line)| line.split(' ').collect())
        .collect();
    for (line, method, path, status, bytes) in [
        (&lines[0], "GET", "/api/data", "200", BODY.len()),
        (&lines[1], "POST", "/api/%64ata/none", "404", problem.len()),
    ] {
        let [method_shown, path_shown, status_shown, bytes_shown, micros, peer_shown, version] = line[..]
        else {
            panic!("{line:?}");
        };
        assert_eq!((method_shown, path_shown, status_shown), (method, path, status));
        assert_eq!(bytes_shown, bytes.to_string());
        assert!(micros.strip_suffix("us").is_some_and(|number| number.parse::<u64>().is_ok()), "{micros}");
        assert_eq!(peer_shown, peer.to_string());
        assert_eq!(version, "TLSv1.3");
    }
    assert_eq!(lines.len(), 2, "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn how_much_is_logged_is_for_the_user_to_say() {
    // What a plain request to the TLS port leaves (info), what a stray byte leaves (debug), and the end (info).
    let log_of = |flags: &[&str], rust_log: Option<&str>| {
        let authority = Authority::new();
        let mut command = lockgate(&[&serve_line(&authority.pair("a"))[..], flags].concat());
        if let Some(filter) = rust_log {
            command.env("RUST_LOG", filter);
        }
        let mut server = Server::spawn(command);
        let port = server.https_port();
        Client::connect(port, &authority.certificate()).get();
        let mut stray = tcp(port);
        stray.write_all(b"\0").unwrap();
        io::copy(&mut stray, &mut io::sink()).unwrap();
        let redirects = server.http_port();
        let mut leak = tcp(redirects);
        leak.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a\r\n\r\n").unwrap();
        io::copy(&mut leak, &mut io::sink()).unwrap();
        server.stop()
    };
    for (flags, rust_log, expected) in [
        (&[][..], None, ["WARN", "INFO", ""]),
        (&["-q"], None, ["WARN", "", ""]),
        (&["-qq"], None, ["", "", ""]),
        (&["--quiet", "--quiet", "--quiet"], None, ["", "", ""]),
        (&["-v"], None, ["WARN", "INFO", "DEBUG"]),
        (&["-v"], Some("warn"), ["WARN", "", ""]),
        (&["-q"], Some("debug"), ["WARN", "INFO", "DEBUG"]),
        (&[], Some("lockgate::access=info"), ["", "INFO", ""]),
    ] {
        let log = log_of(flags, rust_log);
        let found = ["WARN", "INFO", "DEBUG"].map(|level| if log.contains(level) { level } else { "" });
        assert_eq!(found, expected, "{flags:?} {rust_log:?}:\n{log}");
        assert_eq!(
            log.contains("lockgate::access] GET /api/data"),
            !expected[1].is_empty(),
            "{flags:?}:\n{log}"
        );
    }
}

#[test]
fn small_clients_get_names_and_records_as_they_need_them() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lockgate.toml");
    fs::write(&config, "field-names = \"title\"\ntls-record-bytes = 1000\n").unwrap();
    let by_file = ["--config", config.to_str().unwrap()];
    for options in [&["--field-names", "title", "--tls-record-bytes", "1000"][..], &by_file] {
        let mut server = Server::serve(&authority.pair("a"), options);
        let (port, redirects) = (server.https_port(), server.http_port());
        for (port, field) in [(redirects, "Location: "), (port, "Content-Type: ")] {
            let mut plain = tcp(port);
            plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let answer = io::read_to_string(plain).unwrap();
            assert!(answer.contains(&format!("\r\n{field}")), "{options:?}: {answer}");
        }
        server.stop();
    }
}

// The help.

#[test]
fn help_explains_every_limit_and_every_exit_code() {
    let limits = format!("{:?}", lockgate::Limits::default());
    let fields = limits.trim_start_matches("Limits { ").split(", ");
    let names: Vec<String> = fields.map(|field| field.split(':').next().unwrap().replace('_', "-")).collect();
    assert!(names.len() > 15 && names.contains(&"idle-timeout".to_string()), "{names:?}");
    for command in ["serve", "demo"] {
        let (code, help, errors) = outcome(lockgate(&[command, "--help"]), b"");
        assert_eq!((code, errors.as_str()), (0, ""));
        for name in &names {
            let option = format!("--{name}");
            let is_there = help
                .lines()
                .any(|line| line.starts_with("  -") && line.split(' ').any(|word| word == option));
            assert!(is_there, "{option} of {command}:\n{help}");
        }
    }
    let (code, help, errors) = outcome(lockgate(&["--help"]), b"");
    assert_eq!((code, errors.as_str()), (0, ""));
    for words in ["lockgate demo", "lockgate serve --cert FILE --key FILE", "SIGHUP", "curl --cacert"] {
        assert!(help.contains(words), "{words}:\n{help}");
    }
    for exit_code in [0, 1, 2, 69, 77, 78] {
        assert!(help.contains(&format!("\n  {exit_code:>2}  ")), "{exit_code}:\n{help}");
    }
    let version = outcome(lockgate(&["--version"]), b"");
    assert_eq!(version, (0, format!("lockgate {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

// Helpers.

/// It must have ended with this code, and with one line that holds these words; nothing was said on stdout, where scripts
/// look for the sign that it serves.
#[track_caller]
fn refused((code, stdout, stderr): &(i32, String, String), expected: i32, words: &[&str]) {
    assert_eq!(*code, expected, "{stderr}");
    assert_eq!(stdout, "");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("lockgate: "), "{stderr}");
    for words in words {
        assert!(last.contains(words), "{words:?} is not in: {stderr}");
    }
}

fn ca_of(dir: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()
}

fn first_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_string()
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    contents.sort();
    contents
}

/// The program where a user without permissions can run it, and a folder of that user's.
struct Unprivileged {
    dir: TempDir,
    program: PathBuf,
    /// Whether the tests run as root, so that another user must be become.
    is_other_user: bool,
}

impl Unprivileged {
    fn new() -> Unprivileged {
        let dir = TempDir::new().unwrap();
        let is_other_user = rustix::process::geteuid().is_root();
        let program = dir.path().join("lockgate");
        // By another process: while this one has the copy open for writing, a child of another test that is just being
        // started has it too, and then it cannot be run ("text file busy").
        let mut copy = Command::new("cp");
        copy.args([env!("CARGO_BIN_EXE_lockgate"), text(&program)]);
        assert_eq!(outcome(copy, b"").0, 0);
        if is_other_user {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&program, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Unprivileged { dir, program, is_other_user }
    }
}

//! A wrong clock, an expired certificate, or one bad pair beside a good one does not keep a server with its own files from
//! starting. The log, `check` and `Health` say what clients would refuse.

mod support_command;

use std::fs;
use std::path::Path;
use std::process::Command;

use lockgate::check::JSON_SCHEMA;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use support_command::certificates::{Authority, Pair};
use support_command::client::Client;
use support_command::clock::Clock;
use support_command::schema::must_hold;
use support_command::{lockgate, outcome, serve_line, text, Server};

const DAY: i64 = 86_400;

/// The certificate that a server shows to a client that does not ask for a valid one.
fn shown(port: u16, name: &str) -> CertificateDer<'static> {
    let line = ["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", name, "-showcerts"];
    let mut command = Command::new("openssl");
    command.args(line);
    let (_, out, errors) = outcome(command, b"");
    let begin = out.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{out}{errors}"));
    rustls::pki_types::pem::PemObject::from_pem_slice(&out.as_bytes()[begin..]).unwrap()
}

fn check(command: Command) -> (i32, Vec<String>) {
    let (code, out, errors) = outcome(command, b"");
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
    must_hold(JSON_SCHEMA, &report);
    let ids =
        report["findings"].as_array().unwrap().iter().map(|found| found["id"].as_str().unwrap().to_string());
    (code, ids.collect())
}

fn check_line(pair: &Pair) -> [&str; 8] {
    ["check", "--cert", text(&pair.cert), "--key", text(&pair.key), "--https", "127.0.0.1:0", "--json"]
}

#[test]
fn a_clock_of_1970_and_a_certificate_half_a_minute_ahead_do_not_keep_a_server_from_starting() {
    let test = "a_clock_of_1970_and_a_certificate_half_a_minute_ahead_do_not_keep_a_server_from_starting";
    let authority = Authority::new();
    let good = authority.pair("good");
    let Some(in_1970) = Clock::at(test, authority.dir(), "@1970-01-01 00:05:00") else { return };
    let mut server = Server::spawn(in_1970.wear(lockgate(&serve_line(&good))));
    assert_eq!(shown(server.https_port(), "localhost"), good.der);
    let log = server.stop();
    assert!(log.contains("before the day this program was built") && !log.contains("ERROR"), "{log}");
    let (code, ids) = check(in_1970.wear(lockgate(&check_line(&good))));
    assert!(code == 1 && ids.contains(&"clock-implausible".to_string()), "{ids:?}");
    assert!(!ids.iter().any(|id| id.contains("valid") || id.contains("identity")), "{ids:?}");

    let ahead = authority.pair_for("ahead", &["localhost"], 30, DAY);
    let mut server = Server::serve(&ahead, &[]);
    assert_eq!(shown(server.https_port(), "localhost"), ahead.der);
    let log = server.stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    let (_, ids) = check(lockgate(&check_line(&ahead)));
    assert!(!ids.iter().any(|id| id.contains("valid") || id.contains("identity")), "{ids:?}");
}

#[test]
fn a_certificate_that_is_over_or_early_is_served_and_told_of() {
    let authority = Authority::new();
    for (name, begins, ends, id) in
        [("over", -2 * DAY, -DAY, "expired"), ("early", 3_600, DAY, "not-yet-valid")]
    {
        let pair = authority.pair_for(name, &["localhost"], begins, ends);
        let mut server = Server::serve(&pair, &[]);
        assert_eq!(shown(server.https_port(), "localhost"), pair.der);
        let log = server.stop();
        let line = log.lines().find(|line| line.contains(&format!("({id})"))).expect(&log);
        assert!(line.contains("ERROR") && line.contains(text(&pair.cert)), "{line}");
        let (code, ids) = check(lockgate(&check_line(&pair)));
        assert!(code == 2 && ids.contains(&id.to_string()), "{ids:?}");
        assert!(!ids.contains(&"identity-unusable".to_string()), "{ids:?}");
    }
}

fn serve_two(first: &Pair, second: &Pair) -> Command {
    lockgate(&[
        "serve",
        "--cert",
        text(&first.cert),
        "--key",
        text(&first.key),
        "--cert",
        text(&second.cert),
        "--key",
        text(&second.key),
        "--https=127.0.0.1:0",
        "--http=off",
    ])
}

/// A name that is one among several, as a client finds it.
#[test]
fn of_several_pairs_the_good_ones_are_served_and_a_bad_one_once_it_is_good() {
    let authority = Authority::new();
    let good = authority.pair_for("good", &["good.example", "localhost"], -DAY, DAY);
    let over = authority.pair_for("over", &["over.example", "localhost"], -2 * DAY, -DAY);
    let mut server = Server::spawn(serve_two(&over, &good));
    let port = server.https_port();
    assert_eq!(shown(port, "good.example"), good.der);
    assert_eq!(shown(port, "over.example"), over.der);
    server.stop();

    // The first is damaged.
    let bad = authority.pair_for("bad", &["bad.example", "localhost"], -DAY, DAY);
    let whole = fs::read_to_string(&bad.cert).unwrap();
    fs::write(&bad.cert, whole.replacen("MII", "M*I", 1)).unwrap();
    let mut server = Server::spawn(serve_two(&bad, &good));
    let port = server.https_port();
    assert_eq!(shown(port, "good.example"), good.der);
    assert_eq!(shown(port, "bad.example"), good.der);
    let line = server.stderr.expect("this certificate is left out until it can be used");
    assert!(line.contains("ERROR") && line.contains(text(&bad.cert)), "{line}");
    let two = [&check_line(&bad)[..], &["--cert", text(&good.cert), "--key", text(&good.key)]].concat();
    let (code, ids) = check(lockgate(&two));
    assert!(code == 2 && ids.contains(&"identity-unusable".to_string()), "{ids:?}");
    // It is replaced by a good one, under the running server.
    replace(&bad.cert, &whole);
    server.stderr.expect("in use for new connections");
    assert_eq!(shown(port, "bad.example"), bad.der);
    let root = authority.certificate();
    Client::connect(port, &root).get();
    server.stop();

    // Without a good one it does not start.
    for broken in [&bad, &good] {
        fs::write(&broken.cert, "damaged").unwrap();
    }
    let (code, _, errors) = outcome(serve_two(&bad, &good), b"");
    assert!(
        code == 78 && errors.contains(&format!("lockgate: {}: holds no certificate", text(&bad.cert))),
        "{errors}"
    );
}

fn replace(path: &Path, contents: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, contents).unwrap();
    fs::rename(draft, path).unwrap();
}

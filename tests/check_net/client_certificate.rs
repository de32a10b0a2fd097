//! Servers that ask for a client certificate, and servers that refuse clients without one: checked with a certificate, and
//! without.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use lockgate::check::JSON_SCHEMA;
use rustls::server::WebPkiClientVerifier;
use rustls::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::certs::Root;
use crate::peers::Nginx;
use crate::site::{answer, beside, Site};
use crate::support_command::certificates::{Authority, Pair};
use crate::support_command::peers::{CADDY, NODE, OPENSSL};
use crate::support_command::schema::must_hold;
use crate::support_command::{lockgate, outcome, text, Server};

const DAY: i64 = 86_400;

/// An authority, a server's pair, a client's, and a client's of another authority.
struct Files {
    authority: Authority,
    server: Pair,
    client: Pair,
    stranger: Pair,
    other: Authority,
}

impl Files {
    fn make() -> Files {
        let (authority, other) = (Authority::new(), Authority::named("another authority"));
        let server = authority.pair_for("server", &["localhost", "127.0.0.1"], -DAY, 60 * DAY);
        let (client, stranger) = (authority.client("client"), other.client("stranger"));
        Files { authority, server, client, stranger, other }
    }
}

/// The exit code, and the report.
fn checked(files: &Files, port: u16, pair: Option<&Pair>) -> (i32, Value) {
    let url = format!("https://localhost:{port}/api/data");
    let ca = text(&files.authority.ca);
    let mut line = vec!["check", &url, "--ca", ca, "--http-port", "off", "--connect", "127.0.0.1", "--json"];
    if let Some(pair) = pair {
        line.extend(["--cert", text(&pair.cert), "--key", text(&pair.key)]);
    }
    let (code, said, log) = outcome(lockgate(&line), b"");
    let report = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{code} {log} {said}"));
    must_hold(JSON_SCHEMA, &report);
    (code, report)
}

fn ids(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

/// Findings about the server, whether or not it answers.
#[track_caller]
fn all_is_told(report: &Value) {
    assert!(report["facts"]["certificate"]["trusted"].is_string(), "{report:#}");
    assert_eq!(report["facts"]["tls"]["versions"]["TLS 1.2"], true, "{report:#}");
    assert_eq!(report["facts"]["tls"]["client_certificate"], true, "{report:#}");
}

#[track_caller]
fn is_asked_for(code: i32, report: &Value) {
    assert_eq!(code, 3, "{report:#}");
    all_is_told(report);
    let found = report["findings"].as_array().unwrap();
    let required = found.iter().find(|finding| finding["id"] == "client-certificate-required");
    let required = required.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(required["severity"], "note");
    assert!(required["seen"].as_str().unwrap().contains("asks for a client certificate"), "{report:#}");
    assert!(
        required["fix"].as_str().unwrap().contains("--cert client.pem --key client-key.pem"),
        "{report:#}"
    );
    assert_eq!(report["complete"], false);
    for other in ["no-answer", "handshake-fails", "no-resumption", "client-certificate-asked"] {
        assert!(!ids(report).contains(&other), "{other}: {report:#}");
    }
}

#[test]
fn lockgate_with_mutual_tls_is_in_order() {
    let files = Files::make();
    let ca = text(&files.authority.ca);
    let mut server = Server::serve(&files.server, &["--client-ca", ca]);
    let port = server.https_port();
    let (code, report) = checked(&files, port, None);
    is_asked_for(code, &report);
    let (code, report) = checked(&files, port, Some(&files.client));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&report).iter().filter(|id| id.starts_with("client-certificate")).count(), 0);
    assert_eq!(report["facts"]["https"]["status"], 200);
    assert_eq!(report["complete"], true);
    all_is_told(&report);
    let (code, report) = checked(&files, port, Some(&files.stranger));
    assert_eq!((code, ids(&report)[0]), (2, "client-certificate-refused"), "{report:#}");
    all_is_told(&report);

    let mut optional = Server::serve(&files.server, &["--client-ca", ca, "--client-auth", "optional"]);
    let (code, report) = checked(&files, optional.https_port(), None);
    assert_eq!(code, 0, "{report:#}");
    assert!(ids(&report).contains(&"client-certificate-asked"), "{report:#}");
    assert_eq!(report["complete"], true);
}

#[test]
fn openssl_that_demands_a_client_certificate_gets_the_same_verdict_in_both_versions() {
    let test = "openssl_that_demands_a_client_certificate_gets_the_same_verdict_in_both_versions";
    let files = Files::make();
    let (cert, key, ca) = (text(&files.server.cert), text(&files.server.key), text(&files.authority.ca));
    for version in ["-no_ssl3", "-tls1_2"] {
        let line = [
            &["s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-www", version][..],
            &["-cipher", "ECDHE+AESGCM", "-Verify", "1", "-verify_return_error", "-verifyCAfile", ca],
        ]
        .concat();
        let Some(command) = OPENSSL.command(test, &line) else { return };
        let mut server = Server::spawn(command);
        let said = server.stdout.expect("ACCEPT");
        let port = said.rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{said}"));
        let (code, report) = checked(&files, port, None);
        is_asked_for(code, &report);
        let (_, report) = checked(&files, port, Some(&files.client));
        assert_eq!(report["facts"]["https"]["status"], 200, "{version}: {report:#}");
        let (code, report) = checked(&files, port, Some(&files.stranger));
        assert_eq!((code, ids(&report)[0]), (2, "client-certificate-refused"), "{version}: {report:#}");
    }
}

#[test]
fn nginx_that_demands_a_client_certificate_gets_the_same_verdict() {
    let test = "nginx_that_demands_a_client_certificate_gets_the_same_verdict";
    let files = Files::make();
    let dir = TempDir::new().unwrap();
    fs::copy(&files.server.cert, dir.path().join("cert.pem")).unwrap();
    fs::copy(&files.server.key, dir.path().join("key.pem")).unwrap();
    let block = |mode: &str| {
        format!(
            "server {{ listen 127.0.0.1:PORT ssl; server_name localhost; ssl_protocols TLSv1.2 TLSv1.3;
             ssl_ciphers ECDHE+AESGCM; ssl_client_certificate {}; ssl_verify_client {mode};
             default_type application/json; location / {{ return 200 '{{}}'; }} }}",
            text(&files.authority.ca)
        )
    };
    let Some(nginx) = Nginx::start_in(test, dir.path(), &block("on")) else { return };
    let (code, report) = checked(&files, nginx.port, None);
    is_asked_for(code, &report);
    let (code, report) = checked(&files, nginx.port, Some(&files.client));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["facts"]["https"]["status"], 200, "{report:#}");
    let (code, report) = checked(&files, nginx.port, Some(&files.stranger));
    assert_eq!((code, ids(&report)[0]), (2, "client-certificate-refused"), "{report:#}");
    drop(nginx);
    let Some(nginx) = Nginx::start_in(test, dir.path(), &block("optional")) else { return };
    let (code, report) = checked(&files, nginx.port, None);
    assert_eq!(code, 0, "{report:#}");
    assert!(ids(&report).contains(&"client-certificate-asked"), "{report:#}");
}

#[test]
fn node_that_demands_a_client_certificate_gets_the_same_verdict() {
    let test = "node_that_demands_a_client_certificate_gets_the_same_verdict";
    let files = Files::make();
    let program = "
        const fs = require('fs'), [cert, key, ca] = process.argv.slice(1).map(file => fs.readFileSync(file));
        const options = { cert, key, ca, requestCert: true, ALPNProtocols: ['http/1.1'] };
        const app = (req, res) => { res.setHeader('Content-Type', 'application/json'); res.end('{}'); };
        const server = require('https').createServer(options, app);
        server.listen(0, '127.0.0.1', () => console.log('listens on :' + server.address().port));";
    // Node also sends an authority of `ca` when it has issued the server's certificate, so clients have another one.
    let (cert, key, ca) = (text(&files.server.cert), text(&files.server.key), text(&files.other.ca));
    let Some(command) = NODE.command(test, &["-e", program, cert, key, ca]) else { return };
    let mut server = Server::spawn(command);
    let port = server.stdout.expect("listens on").rsplit(':').next().unwrap().parse().unwrap();
    let (code, report) = checked(&files, port, None);
    is_asked_for(code, &report);
    let (code, report) = checked(&files, port, Some(&files.stranger));
    assert_eq!((code, &report["facts"]["https"]["status"]), (0, &200.into()), "{report:#}");
    let (code, report) = checked(&files, port, Some(&files.client));
    assert_eq!((code, ids(&report)[0]), (2, "client-certificate-refused"), "{report:#}");
}

#[test]
fn caddy_that_demands_a_client_certificate_gets_the_same_verdict() {
    let files = Files::make();
    let dir = TempDir::new().unwrap();
    let (cert, key, ca) = (text(&files.server.cert), text(&files.server.key), text(&files.authority.ca));
    // Another program may take the port between its choice and its use.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "{{\n admin off\n auto_https off\n}}\nhttps://localhost:{port} {{\n bind 127.0.0.1\n tls {cert} {key} {{\n \
         client_auth {{\n mode require_and_verify\n trusted_ca_cert_file {ca}\n }}\n }}\n respond \"{{}}\"\n}}\n"
    );
    let file = dir.path().join("Caddyfile");
    fs::write(&file, config).unwrap();
    let line = ["run", "--config", text(&file), "--adapter", "caddyfile"];
    // A further server: not every machine has it.
    let Some(mut command) = CADDY.command_if_there(&line) else { return };
    command.env("HOME", dir.path()).env("XDG_DATA_HOME", dir.path());
    let mut server = Server::spawn(command);
    server.stderr.expect("serving initial configuration");
    let (code, report) = checked(&files, port, None);
    is_asked_for(code, &report);
    let (code, report) = checked(&files, port, Some(&files.client));
    assert_eq!((code, &report["facts"]["https"]["status"]), (0, &200.into()), "{report:#}");
    let (code, report) = checked(&files, port, Some(&files.stranger));
    assert_eq!((code, ids(&report)[0]), (2, "client-certificate-refused"), "{report:#}");
}

#[test]
fn a_server_that_asks_for_credentials_of_http_demands_no_certificate_with_that() {
    let root = Root::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let tls = move |config: &mut ServerConfig| {
        let mut other = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(config.cert_resolver.clone());
        other.alpn_protocols.clone_from(&config.alpn_protocols);
        *config = other;
    };
    let mut site = Site { tls: Box::new(tls), ..Site::new(&root) };
    site.https = Arc::new(|request| answer(request, "401 Unauthorized", "WWW-Authenticate: Bearer\r\n", ""));
    let report = site.start().report(&root);
    assert_eq!(beside(&report), ["client-certificate-asked"]);
    assert!(report.is_complete());
}

#[test]
fn the_clients_pair_must_be_whole_and_an_unusable_file_is_named() {
    let files = Files::make();
    let ca = text(&files.authority.ca);
    let mut server = Server::serve(&files.server, &["--client-ca", ca]);
    let url = format!("https://localhost:{}/", server.https_port());
    let (cert, key) = (text(&files.client.cert), text(&files.client.key));
    let dir = TempDir::new().unwrap();
    let der = dir.path().join("client.der");
    fs::write(&der, &files.client.der).unwrap();
    for (further, code, words) in [
        (&["--cert", cert][..], 64, "--key"),
        (&["--key", key], 64, "--cert"),
        (&["--cert", cert, "--key", key, "--cert", cert, "--key", key], 64, "one --cert and one --key"),
        (&["--cert", cert, "--key", key, "--host", "a"], 64, "--source"),
        (&["--cert", "/nonexistent.pem", "--key", key], 3, "/nonexistent.pem"),
        (&["--cert", cert, "--key", "/nonexistent.key"], 3, "/nonexistent.key"),
        (&["--cert", key, "--key", cert], 3, "swapped"),
        (&["--cert", text(&der), "--key", key], 3, "openssl x509 -inform DER -in"),
        (&["--cert", cert, "--key", text(&files.server.key)], 3, "does not belong"),
    ] {
        let line = [&["check", &url, "--http-port", "off"][..], further].concat();
        let (got, said, log) = outcome(lockgate(&line), b"");
        assert_eq!((got, said.as_str()), (code, ""), "{line:?}: {log}");
        assert!(log.contains(words), "{line:?}: {log}");
    }
    // The private key itself is in no text.
    let lines = fs::read_to_string(key).unwrap();
    let secret = lines.lines().nth(1).unwrap();
    let line = ["check", &url, "--ca", ca, "--cert", cert, "--key", key, "--http-port", "off", "--json"];
    let (_, said, log) = outcome(lockgate(&line), b"");
    assert!(!said.contains(secret) && !log.contains(secret));
}

#[test]
fn the_environment_and_the_limits_of_a_server_are_no_matter_of_a_client() {
    let files = Files::make();
    let mut server = Server::serve(&files.server, &["--client-ca", text(&files.authority.ca)]);
    let url = format!("https://localhost:{}/", server.https_port());
    let (cert, key) = (text(&files.client.cert), text(&files.client.key));
    let line = ["check", &url, "--ca", text(&files.authority.ca), "--cert", cert, "--key", key];
    let mut command: Command = lockgate(&[&line[..], &["--http-port", "off"]].concat());
    command.env("LOCKGATE_IDLE_TIMEOUT", "nonsense");
    let (code, said, log) = outcome(command, b"");
    assert_eq!((code, log.as_str()), (0, ""), "{said}");
}

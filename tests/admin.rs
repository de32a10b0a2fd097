//! `lockgate serve --admin` as operators use it: curl over TCP and a Unix socket, signals, and what Prometheus itself says of the
//! metrics, of the alert rules and of the dashboard.

mod support_command;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::Signal;

use support_command::certificates::Authority;
use support_command::client::Client;
use support_command::peers::{promtool, CURL};
use support_command::{lockgate, outcome, run, serve_line, text, Server, BODY, SAFETY};

/// The address of the admin listener, once it is told.
fn admin_of(server: &mut Server) -> String {
    let line = server.stdout.expect("Watched at http://");
    line.trim().trim_start_matches("Watched at http://").trim_end_matches("/metrics").to_string()
}

fn ask(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, content) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), content.to_string())
}

/// Waits until it says that it is ready: it is watched from a moment before it accepts.
fn await_ready(ready: impl Fn() -> String) {
    let began = Instant::now();
    loop {
        let said = ready();
        if said.ends_with("ready\n") && !said.ends_with("not ready\n") {
            return;
        }
        assert!(began.elapsed() < SAFETY, "{said}");
    }
}

#[test]
fn curl_reads_it_over_tcp_and_over_a_unix_socket() {
    let Some(_) = CURL.command("curl reads the admin listener", &[]) else { return };
    let curl = |arguments: &[&str]| {
        let curl = CURL
            .command_if_there(&[&["--silent", "--show-error", "--fail-with-body"], arguments].concat())
            .unwrap();
        outcome(curl, b"")
    };
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &["--admin", "127.0.0.1:0"]);
    let port = server.https_port();
    let address = admin_of(&mut server);
    Client::connect(port, &authority.certificate()).get();
    let url = |path: &str| format!("http://{address}{path}");
    assert_eq!(curl(&[&url("/healthz")]), (0, "alive\n".into(), String::new()));
    await_ready(|| curl(&[&url("/readyz")]).1);
    let (code, metrics, _) = curl(&[&url("/metrics")]);
    assert_eq!(code, 0);
    assert!(
        metrics.contains("\nlockgate_requests_total{route=\"/api/data\",class=\"2xx\"} 1\n"),
        "{metrics}"
    );
    // Nothing of files and of clients.
    for secret in [text(&pair.cert), text(&pair.key), "127.0.0.1", "PRIVATE"] {
        assert!(!metrics.contains(secret), "{secret}: {metrics}");
    }
    let (code, said, _) = curl(&["--header", "Host: evil.example", &url("/metrics")]);
    assert_eq!((code, said.contains("this is not")), (22, true), "{said}");
    assert_eq!(curl(&["--request", "POST", &url("/healthz")]).0, 22);
    let (code, head, _) = curl(&["--head", "--http1.0", &url("/metrics")]);
    assert!(code == 0 && head.contains("text/plain; version=0.0.4"), "{head}");
    server.stop();

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    // As a server leaves it that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let mut server = Server::serve(&pair, &["--admin", &address]);
    server.https_port();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let verbose = || curl(&["--unix-socket", text(&path), "http://localhost/readyz?verbose"]).1;
    await_ready(verbose);
    assert_eq!(verbose().lines().count(), 5);
    // A second server does not take it away.
    let line = [&serve_line(&pair)[..], &["--admin", &address]].concat();
    let before = fs::metadata(&path).unwrap().ino();
    let (code, _, wrong) = outcome(lockgate(&line), b"");
    assert!(code != 0 && wrong.contains("another program listens there"), "{wrong}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn an_address_that_others_reach_is_refused_unless_it_is_meant() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let with = |further: &[&str]| lockgate(&[&serve_line(&pair)[..], further].concat());
    let (code, _, wrong) = outcome(with(&["--admin", "0.0.0.0:0"]), b"");
    assert_eq!(code, 78, "{wrong}");
    assert!(wrong.contains("--admin: 0.0.0.0:0") && wrong.contains("--admin-anywhere"), "{wrong}");
    let (code, _, wrong) = outcome(with(&["--admin-anywhere"]), b"");
    assert!(code == 2 && wrong.contains("--admin ADDR:PORT"), "{code} {wrong}");
    let (code, _, wrong) = outcome(with(&["--admin", "9090"]), b"");
    assert!(code == 78 && wrong.contains("unix:PATH"), "{code} {wrong}");
    let mut server = Server::spawn(with(&["--admin", "0.0.0.0:0", "--admin-anywhere"]));
    server.https_port();
    let port = admin_of(&mut server).rsplit_once(':').unwrap().1.to_string();
    assert_eq!(ask(&format!("127.0.0.1:{port}"), "/healthz").0, 200);
    server.stop();
}

#[test]
fn settings_in_a_file_say_the_same() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lockgate.toml");
    fs::write(&file, "admin = \"127.0.0.1:0\"\nready-grace = \"2s\"\n").unwrap();
    let mut server = Server::serve(&pair, &["--config", text(&file)]);
    server.https_port();
    let address = admin_of(&mut server);
    await_ready(|| ask(&address, "/readyz").1);
    server.signal(Signal::TERM);
    server.stderr.expect("not ready any more");
    assert_eq!(ask(&address, "/readyz").0, 503);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn sigterm_begins_the_grace_time_and_a_second_one_ends_it() {
    let authority = Authority::new();
    let mut server =
        Server::serve(&authority.pair("a"), &["--admin", "127.0.0.1:0", "--ready-grace", "3600s"]);
    let port = server.https_port();
    let address = admin_of(&mut server);
    server.signal(Signal::TERM);
    server.stderr.expect("not ready any more");
    let (status, why) = ask(&address, "/readyz");
    assert!(status == 503 && why.contains("about to stop"), "{why}");
    assert_eq!(ask(&address, "/healthz").0, 200);
    // Who comes now is served as before.
    let mut client = Client::connect(port, &authority.certificate());
    client.send("GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response().1, BODY);
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(TcpStream::connect(&address).is_err());
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/operations")
}

/// A scrape of the built server behind which a backend is, after a request.
fn scrape() -> String {
    let authority = Authority::new();
    let mut server =
        Server::serve(&authority.pair("a"), &["--admin", "127.0.0.1:0", "--to", "http://127.0.0.1:1"]);
    let port = server.https_port();
    let address = admin_of(&mut server);
    let mut client = Client::connect(port, &authority.certificate());
    client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.response();
    let (_, metrics) = ask(&address, "/metrics");
    server.stop();
    // It is tried again for a while, so this may be more than one.
    let refused =
        "lockgate_backend_failures_total{proxy=\"/\",backend=\"http://127.0.0.1:1\",kind=\"refused\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(refused));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
    metrics
}

#[test]
fn prometheus_has_nothing_to_object_to_in_the_metrics() {
    let name = "promtool checks the metrics";
    let Some(promtool) = promtool(name, &["check", "metrics"]) else { return };
    let output = run(promtool, scrape().as_bytes());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_alert_rules_pass_their_tests_and_the_configuration_is_good() {
    let name = "promtool tests the alert rules";
    let dir = examples();
    let file = |name: &str| dir.join(name).display().to_string();
    for arguments in [
        ["check", "rules", &file("alerts.yml")],
        ["test", "rules", &file("alerts_test.yml")],
        ["check", "config", &file("prometheus.yml")],
    ] {
        let Some(promtool) = promtool(name, &arguments) else { return };
        let (code, said, wrong) = outcome(promtool, b"");
        assert_eq!(code, 0, "{said}{wrong}");
    }
    // Each alert has a test.
    let rules = fs::read_to_string(dir.join("alerts.yml")).unwrap();
    let tests = fs::read_to_string(dir.join("alerts_test.yml")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10);
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
    }
}

/// A rule whose test feeds what no server exports passes, and fires for nobody: `increase` does not see the first of a count that was
/// not there before (prometheus/prometheus#1673).
#[test]
fn the_counts_in_the_tests_of_the_alerts_are_there_from_the_start() {
    let metrics = scrape();
    let tests = fs::read_to_string(examples().join("alerts_test.yml")).unwrap();
    let mut checked = 0;
    for line in tests.lines() {
        let series = line.split('\'').nth(1).unwrap_or_default();
        let Some((name, labels)) = series.split_once('{') else { continue };
        if !["lockgate_faults_total", "lockgate_refusals_total"].contains(&name) {
            continue;
        }
        let labels = labels.trim_end_matches('}').split(", ").filter(|label| !label.starts_with("instance="));
        let series = format!("{name}{{{}}} ", labels.collect::<Vec<_>>().join(","));
        assert!(metrics.contains(&series), "{series}\n{metrics}");
        checked += 1;
    }
    assert!(checked >= 6, "{checked}");
    assert!(metrics.contains("lockgate_faults_total{kind=\"a panic in a handler\"} 0\n"), "{metrics}");
}

/// A server behind the proxy that can be stopped and started again at its place.
struct Backend {
    address: SocketAddr,
    stops: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(address: SocketAddr) -> Backend {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stops = Arc::<AtomicBool>::default();
        let stopped = stops.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                // A connection without a request only asks whether somebody is here.
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|read| read > 0) {}
                let _ = stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        Backend { address, stops, accepting: Some(accepting) }
    }

    /// Nobody listens there any more.
    fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            self.stops.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(self.address);
            accepting.join().unwrap();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_backend_that_is_gone_is_down_in_the_metrics_and_up_again_when_it_is_back() {
    // At addresses that no other test uses, so that nobody else comes to listen there meanwhile.
    let [mut backend, other] = [1, 2].map(|last| Backend::start(([127, 0, 18, last], 0).into()));
    let url = |backend: &Backend| format!("http://{}", backend.address);
    let (to, other_to) = (url(&backend), url(&other));
    let authority = Authority::new();
    let route = format!("/other={other_to}");
    let line = ["--admin", "127.0.0.1:0", "--to", &to, "--route", &route];
    let mut server = Server::serve(&authority.pair("a"), &line);
    let port = server.https_port();
    let address = admin_of(&mut server);
    let mut client = Client::connect(port, &authority.certificate());
    let mut status = |path: &str| {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        client.response().0[9..12].to_string()
    };
    let up = || {
        let (_, metrics) = ask(&address, "/metrics");
        let of = |proxy: &str, backend: &str| {
            let series = format!("lockgate_backend_up{{proxy=\"{proxy}\",backend=\"{backend}\"}} ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
            value.unwrap_or_else(|| panic!("no {series}: {metrics}")).to_string()
        };
        [of("/", &to), of("/other", &other_to)]
    };
    assert_eq!((status("/"), status("/other")), ("200".into(), "200".into()));
    assert_eq!(up(), ["1", "1"]);
    backend.stop();
    assert_eq!(status("/"), "502");
    assert_eq!(up(), ["0", "1"]);
    assert_eq!((status("/"), status("/other")), ("502".into(), "200".into()));
    assert_eq!(up(), ["0", "1"]);
    let _backend = Backend::start(backend.address);
    // It is asked by requests, every 200 ms.
    let began = Instant::now();
    while status("/") != "200" {
        assert!(began.elapsed() < SAFETY);
    }
    assert_eq!(up(), ["1", "1"]);
    server.stop();
}

/// The names of lockgate's metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':'));
    words.filter(|word| word.starts_with("lockgate_") || word.starts_with("process_")).collect()
}

/// A dashboard goes wrong without a sign when a metric gets another name.
#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let metrics = scrape();
    let there = names(&metrics);
    let rules = fs::read_to_string(examples().join("alerts.yml")).unwrap();
    let dashboard = fs::read_to_string(examples().join("dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 15);
    for asked in expressions.iter().copied().chain(rules.lines().filter(|line| !line.contains("- name:"))) {
        for name in names(asked) {
            assert!(there.contains(name), "{name} is in no scrape: {asked}");
        }
    }
    // Prometheus reads each expression of the dashboard as a rule.
    let Some(_) = promtool("promtool reads the dashboard", &["--version"]) else { return };
    let rules: Vec<String> = expressions
        .iter()
        .enumerate()
        .map(|(at, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
            format!(
                "      - record: panel:{at}\n        expr: {}\n",
                serde_json::to_string(&expression).unwrap()
            )
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("panels.yml");
    fs::write(&file, format!("groups:\n  - name: panels\n    rules:\n{}", rules.concat())).unwrap();
    let (code, said, wrong) =
        outcome(promtool("promtool reads the dashboard", &["check", "rules", text(&file)]).unwrap(), b"");
    assert_eq!(code, 0, "{said}{wrong}");
}

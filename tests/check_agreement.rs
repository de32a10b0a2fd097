//! `lockgate check`, testssl.sh and sslyze agree where they check the same thing: a table of servers, questions, and the three
//! answers to each. Nothing here leaves the machine.

// These tests need their own part of it.

#[allow(dead_code)]
mod support_command;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lockgate::check::{Check, Report};
use serde_json::Value;
use support_command::certificates::{Authority, Pair};
use support_command::peers::{sslyze, NGINX, TESTSSL};
use support_command::{run_within, text, Server, SAFETY};

/// testssl.sh is a shell script with thousands of connections in it.
const TESTSSL_LIMIT: Duration = Duration::from_secs(180);
const DAY: i64 = 86_400;

/// What is asked of each server.
const QUESTIONS: [&str; 12] = [
    "SSL 3.0",
    "TLS 1.0",
    "TLS 1.1",
    "TLS 1.2",
    "TLS 1.3",
    "NULL ciphers",
    "anonymous ciphers",
    "export ciphers",
    "3DES",
    "RC4",
    "certificate over",
    "certificate trusted and for the name",
];

type Answers = BTreeMap<&'static str, bool>;

#[test]
fn the_three_agree_about_every_server() {
    let test = "the_three_agree_about_every_server";
    let (authority, stranger) = (Authority::new(), Authority::new());
    let names = ["localhost", "127.0.0.1"];
    let good = authority.pair_for("good", &names, -DAY, 60 * DAY);
    let over = authority.pair_for("over", &names, -60 * DAY, -DAY);
    let other = authority.pair_for("other", &["device.example"], -DAY, 60 * DAY);
    let foreign = stranger.pair_for("foreign", &names, -DAY, 60 * DAY);
    const TODAY: &str = "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;";
    const OLD: &str = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers DEFAULT:@SECLEVEL=0;";
    const BROKEN: &str = "ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM:aNULL:eNULL:@SECLEVEL=0;";
    let servers = [
        ("of today", &good, TODAY),
        ("old, unknown authority", &foreign, OLD),
        ("broken ciphers, another name", &other, BROKEN),
        ("certificate over", &over, TODAY),
    ];
    let mut table = String::new();
    let mut faults = Vec::new();
    for (name, pair, settings) in servers {
        let Some(nginx) = Nginx::start(test, authority.dir(), pair, settings) else { return };
        let ours = of_check(&nginx.check(&authority.ca));
        let Some(testssl) = of_testssl(test, &nginx, authority.dir(), &authority.ca) else { return };
        let Some(sslyze) = of_sslyze(test, &nginx, authority.dir(), &authority.ca) else { return };
        for question in QUESTIONS {
            let answers = [&ours, &testssl, &sslyze].map(|answers| answers.get(question).copied());
            let shown = answers.map(|answer| answer.map_or("-", |answer| if answer { "yes" } else { "no" }));
            let line = format!("{name:<28} {question:<38} {:<6} {:<8} {:<6}", shown[0], shown[1], shown[2]);
            // Who does not look at it agrees with everybody; that the check looks at everything is asserted here too.
            if answers.iter().flatten().any(|answer| Some(*answer) != answers[0]) {
                faults.push(line.clone());
            }
            table.push_str(&format!("{line}\n"));
        }
    }
    let head =
        format!("{:<28} {:<38} {:<6} {:<8} {:<6}\n", "server", "question", "check", "testssl", "sslyze");
    println!("{head}{table}");
    assert!(faults.is_empty(), "they disagree:\n{head}{}\n\nall:\n{table}", faults.join("\n"));
}

fn of_check(report: &Report) -> Answers {
    let found = |id: &str| report.findings().iter().any(|finding| finding.id() == id);
    let facts = report.facts();
    let mut answers = Answers::new();
    for version in ["SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"] {
        answers.insert(version, facts["tls"]["versions"][version] == true);
    }
    for (question, id) in [
        ("NULL ciphers", "null-cipher"),
        ("anonymous ciphers", "anonymous-cipher"),
        ("export ciphers", "export-cipher"),
        ("3DES", "des-cipher"),
        ("RC4", "rc4-cipher"),
        ("certificate over", "expired"),
    ] {
        answers.insert(question, found(id));
    }
    let is_good = facts["certificate"]["trusted"].is_string() && !found("name-mismatch") && !found("expired");
    answers.insert("certificate trusted and for the name", is_good);
    answers
}

fn of_testssl(test: &str, nginx: &Nginx, dir: &Path, ca: &Path) -> Option<Answers> {
    let file = dir.join("testssl.json");
    // It refuses to write over one.
    let _ = fs::remove_file(&file);
    let mut line = vec!["--quiet", "--warnings", "batch", "--color", "0", "--jsonfile", text(&file)];
    line.extend(["--nodns", "none", "--ip", "127.0.0.1", "--add-ca", text(ca), "-p", "-s", "-S"]);
    let url = format!("https://localhost:{}/", nginx.port);
    line.extend(["-W", "--rc4", &url]);
    let output = run_within(TESTSSL_LIMIT, TESTSSL.command(test, &line)?, b"");
    let said = String::from_utf8_lossy(&output.stdout);
    let json = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings: Vec<Value> = serde_json::from_slice(&json).unwrap();
    let of = |id: &str| -> Option<String> {
        let finding = findings.iter().find(|finding| finding["id"] == id)?;
        Some(finding["finding"].as_str().unwrap_or_default().to_string())
    };
    let mut answers = Answers::new();
    for (question, id) in [
        ("SSL 3.0", "SSLv3"),
        ("TLS 1.0", "TLS1"),
        ("TLS 1.1", "TLS1_1"),
        ("TLS 1.2", "TLS1_2"),
        ("TLS 1.3", "TLS1_3"),
        ("NULL ciphers", "cipherlist_NULL"),
        ("anonymous ciphers", "cipherlist_aNULL"),
        ("export ciphers", "cipherlist_EXPORT"),
        ("3DES", "SWEET32"),
        ("RC4", "RC4"),
    ] {
        let said = of(id).unwrap_or_else(|| panic!("no {id}: {said}"));
        let is_no = said.starts_with("not ") || said.contains("not vulnerable") || said.contains("no RC4");
        answers.insert(question, !is_no);
    }
    let over = of("cert_expirationStatus").unwrap_or_else(|| panic!("no expiry: {said}"));
    answers.insert("certificate over", over.starts_with("expired"));
    let is_trusted = of("cert_chain_of_trust").is_some_and(|said| said.starts_with("passed"));
    let is_for_the_name = of("cert_trust").is_some_and(|said| said.starts_with("Ok"));
    answers.insert(
        "certificate trusted and for the name",
        is_trusted && is_for_the_name && !over.starts_with("expired"),
    );
    Some(answers)
}

fn of_sslyze(test: &str, nginx: &Nginx, dir: &Path, ca: &Path) -> Option<Answers> {
    let file = dir.join("sslyze.json");
    let address = format!("localhost:{}", nginx.port);
    let line = [
        "--certinfo",
        "--certinfo_ca_file",
        text(ca),
        "--sslv3",
        "--tlsv1",
        "--tlsv1_1",
        "--tlsv1_2",
        "--tlsv1_3",
        "--json_out",
        text(&file),
        &address,
    ];
    let output = run_within(SAFETY, sslyze(test, &line)?, b"");
    let said = String::from_utf8_lossy(&output.stdout);
    let json = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {said}"));
    let results: Value = serde_json::from_slice(&json).unwrap();
    let scans = &results["server_scan_results"][0]["scan_result"];
    let mut answers = Answers::new();
    let mut ciphers = Vec::new();
    for (question, scan) in [
        ("SSL 3.0", "ssl_3_0_cipher_suites"),
        ("TLS 1.0", "tls_1_0_cipher_suites"),
        ("TLS 1.1", "tls_1_1_cipher_suites"),
        ("TLS 1.2", "tls_1_2_cipher_suites"),
        ("TLS 1.3", "tls_1_3_cipher_suites"),
    ] {
        assert_eq!(scans[scan]["status"], "COMPLETED", "{scan}: {said}");
        let accepted = scans[scan]["result"]["accepted_cipher_suites"].as_array().unwrap();
        answers.insert(question, !accepted.is_empty());
        ciphers
            .extend(accepted.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap().to_string()));
    }
    for (question, word) in [
        ("NULL ciphers", "_NULL_"),
        ("anonymous ciphers", "_anon_"),
        ("export ciphers", "EXPORT"),
        ("3DES", "3DES"),
        ("RC4", "RC4"),
    ] {
        answers.insert(question, ciphers.iter().any(|name| name.contains(word)));
    }
    let info = &scans["certificate_info"];
    assert_eq!(info["status"], "COMPLETED", "{said}");
    let deployment = &info["result"]["certificate_deployments"][0];
    let paths = deployment["path_validation_results"].as_array().unwrap();
    let is_trusted = paths.iter().any(|path| path["was_validation_successful"] == true);
    answers.insert("certificate trusted and for the name", is_trusted);
    Some(answers)
}

struct Nginx {
    _server: Server,
    port: u16,
}

impl Nginx {
    fn start(test: &str, dir: &Path, pair: &Pair, settings: &str) -> Option<Nginx> {
        // Another program may take a port between its choice and its use.
        for _ in 0..5 {
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = held.local_addr().unwrap().port();
            drop(held);
            let [conf, error, output] = ["nginx.conf", "error", "output"].map(|name| dir.join(name));
            fs::write(&conf, configuration(dir, pair, settings, port)).unwrap();
            let mut command =
                NGINX.command(test, &["-c", text(&conf), "-p", text(dir), "-e", text(&error)])?;
            let stderr = File::create(&output).unwrap();
            let mut child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
            let until = Instant::now() + SAFETY;
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Some(Nginx { _server: Server::watch(child), port });
                }
                assert!(Instant::now() < until, "nginx does not listen");
                std::thread::sleep(Duration::from_millis(5));
            }
            eprintln!("nginx does not start: {}", fs::read_to_string(&output).unwrap());
        }
        panic!("nginx does not start");
    }

    fn check(&self, ca: &PathBuf) -> Report {
        let check =
            Check::new(format!("https://localhost:{}/", self.port)).connect(Ipv4Addr::LOCALHOST.into(), None);
        check.http_port(None).ca_file(ca).run().unwrap()
    }
}

fn configuration(dir: &Path, pair: &Pair, settings: &str, port: u16) -> String {
    let dir = text(dir);
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("    {of}_temp_path {dir}/temp;\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error;\nevents {{}}\nhttp {{\n{temp}
    access_log off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        {settings}
        location / {{ return 200 '{{}}'; }}
    }}
}}\n",
        cert = text(&pair.cert),
        key = text(&pair.key)
    )
}

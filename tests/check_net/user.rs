//! The command as a user runs it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use lockgate::check::JSON_SCHEMA;
use serde_json::Value;
use tempfile::TempDir;

use crate::certs::Root;
use crate::site::Site;
use crate::support_command::schema::must_hold;
use crate::support_command::{lockgate, outcome, text, Server};

#[test]
fn a_new_user_follows_the_remedy_and_the_report_is_clean() {
    let dir = TempDir::new().unwrap();
    let mut demo = Server::demo(dir.path(), &[]);
    let (https, http) = (demo.https_port(), demo.http_port());
    let (url, http) = (format!("https://localhost:{https}/api/data"), http.to_string());
    let line = ["check", &url, "--http-port", &http, "--connect", "127.0.0.1"];

    let (code, said, log) = outcome(lockgate(&line), b"");
    assert_eq!((code, log.as_str()), (2, ""), "{said}");
    assert!(said.contains(&format!("lockgate check {url} --ca certs/ca.pem")), "{said}");
    assert!(said.trim_end().ends_with("has faults: 1 error to fix."), "{said}");
    assert!(!said.contains('\x1b'), "no colours when nobody looks: {said}");

    let ca = dir.path().join("ca.pem");
    let line = [&line[..], &["--ca", text(&ca)]].concat();
    let (code, said, log) = outcome(lockgate(&line), b"");
    assert_eq!((code, log.as_str()), (0, ""), "{said}");
    assert!(said.trim_end().ends_with(&format!("The connection to {url} is secure.")), "{said}");

    let (code, said, _) = outcome(lockgate(&[&line[..], &["--json"]].concat()), b"");
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&said).unwrap();
    must_hold(JSON_SCHEMA, &report);
    assert_eq!(report["schema"], "lockgate.check/1");
    assert_eq!(report["verdict"], "clean");
    assert_eq!(report["url"], url);
    let ids: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["id"].as_str().unwrap())
        .collect();
    let always = if cfg!(feature = "post-quantum") { &[][..] } else { &["no-post-quantum"] };
    assert_eq!(ids, [always, &["http-credentials-redirected"]].concat());
    for member in ["severity", "place", "seen", "why", "fix", "reference", "refused_by"] {
        assert!(report["findings"][0].get(member).is_some(), "{member}");
    }
    assert!(report["connections"].as_u64().unwrap() <= 48);
    for (area, names) in [
        (
            "tls",
            &[
                "versions",
                "version",
                "cipher",
                "key_exchange",
                "alpn",
                "weak_ciphers",
                "post_quantum",
                "resumption",
                "client_certificate",
                "without_name",
                "plain_http_answer",
            ][..],
        ),
        (
            "certificate",
            &[
                "trusted",
                "chain",
                "subject",
                "issuer",
                "serial",
                "dns_names",
                "ip_addresses",
                "not_before",
                "not_after",
                "days_left",
                "key",
                "signature",
                "sha256",
            ],
        ),
        ("https", &["status", "hsts", "keep_alive", "head_status", "clock_ahead_seconds"]),
        ("http", &["port", "answer", "status", "location"]),
    ] {
        for name in names {
            assert!(report["facts"][area].get(name).is_some(), "{area}.{name}: {said}");
        }
    }
}

#[test]
fn warnings_end_with_their_own_code() {
    let dir = TempDir::new().unwrap();
    let mut demo = Server::demo(dir.path(), &["--public-port", "1"]);
    let (https, http) = (demo.https_port(), demo.http_port());
    let url = format!("https://127.0.0.1:{https}/api/data");
    let ca = dir.path().join("ca.pem");
    let (code, said, _) =
        outcome(lockgate(&["check", &url, "--ca", text(&ca), "--http-port", &http.to_string()]), b"");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("http-redirect-port") && said.contains("leads to port 1"), "{said}");
}

#[test]
fn a_check_that_cannot_be_done_has_its_own_code_and_says_why() {
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("https://127.0.0.1:{closed}/");
    for (line, words) in [
        (&["check", &url][..], "nothing accepts connections"),
        (&["check", "http://127.0.0.1/"], "it is plain HTTP"),
        (&["check", "127.0.0.1:8443"], "does not begin with https://"),
        (&["check", "https://user:secret@localhost/"], "a user name or a password"),
        (&["check", "https://localhost/", "--ca", "/nonexistent.pem"], "/nonexistent.pem"),
    ] {
        let (code, said, log) = outcome(lockgate(line), b"");
        assert_eq!((code, said.as_str()), (3, ""), "{line:?}: {log}");
        assert!(log.contains(words), "{log}");
    }
    for line in [
        &["check"][..],
        &["check", "a", "b"],
        &["check", "--explain", "nonsense"],
        &["check", "--http-port", "0"],
    ] {
        let (code, _, log) = outcome(lockgate(line), b"");
        assert_eq!(code, 64, "{line:?}: {log}");
    }
}

#[test]
fn a_certificate_that_is_over_has_no_days_left_below_zero() {
    let root = Root::new();
    let over = root.leaf(|p| {
        p.not_before = rcgen::date_time_ymd(1979, 1, 1);
        p.not_after = rcgen::date_time_ymd(1980, 1, 1);
    });
    for (leaf, words) in [(over, "expired 1"), (root.leaf(|_| {}), " days left")] {
        let site = Site::with(leaf).start();
        let url = format!("https://localhost:{}/api/data", site.port);
        let line = ["check", &url, "--connect", "127.0.0.1", "--http-port", "off"];
        let (_, said, log) = outcome(lockgate(&line), b"");
        let line = said.lines().find(|line| line.trim_start().starts_with("certificate ")).unwrap_or(&log);
        assert!(line.contains(words) && !line.contains(" -"), "{line}");
    }
}

#[test]
fn a_check_that_cannot_be_done_is_json_with_json() {
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("https://127.0.0.1:{closed}/");
    for (line, kind, words) in [
        (&["check", &url, "--json"][..], "url", "nothing accepts connections"),
        (&["check", "http://127.0.0.1/", "--json"], "url", "it is plain HTTP"),
        (&["check", "https://localhost/", "--ca", "/nonexistent.pem", "--json"], "url", "/nonexistent.pem"),
        (&["check", "--config", "/nonexistent.toml", "--json"], "before", "/nonexistent.toml"),
        (&["check", "--source", "/nonexistent", "--json"], "source", "/nonexistent"),
    ] {
        let (code, said, log) = outcome(lockgate(line), b"");
        assert_eq!(code, 3, "{line:?}: {log}");
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line:?}: {said}"));
        must_hold(JSON_SCHEMA, &report);
        assert_eq!(
            (&report["schema"], &report["kind"]),
            (&"lockgate.check/1".into(), &kind.into()),
            "{said}"
        );
        assert!(report["error"].as_str().unwrap().contains(words), "{said}");
        assert!(log.contains(words), "{log}");
        assert!(report.get("verdict").is_none() && report.get("findings").is_none(), "{said}");
    }
    // SARIF has a member for it.
    let (code, said, _) = outcome(lockgate(&["check", "--source", "/nonexistent", "--sarif"]), b"");
    let log: Value = serde_json::from_str(&said).unwrap();
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!((code, &invocation["executionSuccessful"]), (3, &false.into()), "{said}");
    let told = invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
    assert!(told.contains("/nonexistent"), "{said}");
}

/// The findings other than the note on the redirect's port, the last line, and the first remedy.
fn before(cert: &Path, key: &Path, trusted: Option<&Path>) -> (i32, Vec<String>, String, String) {
    let line = ["check", "--cert", text(cert), "--key", text(key), "--https", "127.0.0.1:0", "--http", "off"];
    let mut command = lockgate(&[&line[..], &["--json"]].concat());
    if let Some(file) = trusted {
        command.env("SSL_CERT_FILE", file);
    }
    let (code, said, log) = outcome(command, b"");
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{log}{said}"));
    must_hold(JSON_SCHEMA, &report);
    let findings = report["findings"].as_array().unwrap();
    let of = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_string();
    let ids = findings.iter().map(|finding| of(finding, "id")).filter(|id| id != "redirect-off").collect();
    let fix = findings.first().map_or_else(String::new, |finding| of(finding, "fix"));
    (code, ids, report["summary"].as_str().unwrap().to_string(), fix)
}

#[test]
fn der_files_are_ready_once_the_remedies_are_followed() {
    let root = Root::new();
    let leaf = root.leaf(|_| {});
    let [mut cert, mut key] = ["cert.der", "key.der"].map(|name| root.dir().join(name));
    std::fs::write(&cert, &leaf.der).unwrap();
    std::fs::write(&key, leaf.key.secret_der()).unwrap();
    for _ in 0..2 {
        let (code, ids, _, fix) = before(&cert, &key, Some(&root.file()));
        assert_eq!((code, ids), (2, vec!["identity-unusable".to_string()]), "{fix}");
        // The remedy can be pasted as it is.
        let shell = std::process::Command::new("sh").args(["-c", &fix]).output().unwrap();
        assert!(shell.status.success(), "{fix}: {}", String::from_utf8_lossy(&shell.stderr));
        let written = Path::new(fix.rsplit(' ').next().unwrap()).to_path_buf();
        if fix.contains("x509") {
            cert = written;
        } else {
            key = written;
        }
    }
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (code, ids, summary, _) = before(&cert, &key, Some(&root.file()));
    assert_eq!((code, ids), (0, Vec::new()), "{summary}");
    assert!(summary.ends_with("the server is ready."), "{summary}");
}

#[test]
fn a_certificate_without_its_private_issuer_is_not_ready_for_everybody() {
    let root = Root::new();
    let leaf = crate::certs::leaf(Some(&root.below), |_| {});
    let [cert, full, key] = ["cert.pem", "fullchain.pem", "key.pem"].map(|name| root.dir().join(name));
    let pem = lockgate::Certificate::from_der(&leaf.der).unwrap().to_pem();
    std::fs::write(&cert, &pem).unwrap();
    std::fs::write(&full, format!("{pem}{}", root.below.pem())).unwrap();
    let der = root.dir().join("key.der");
    std::fs::write(&der, leaf.key.secret_der()).unwrap();
    let line = ["pkey", "-inform", "DER", "-in", text(&der), "-out", text(&key)];
    assert!(std::process::Command::new("openssl").args(line).status().unwrap().success());
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let (code, ids, summary, fix) = before(&cert, &key, None);
    assert_eq!((code, ids), (0, vec!["issuer-not-in-file".to_string()]), "{summary}");
    assert!(summary.contains("for clients that trust CN=test intermediate"), "{summary}");
    assert!(fix.contains("fullchain.pem"), "{fix}");
    // With the issuer in the file, or with an issuer that this machine trusts, nothing is missing.
    let (code, ids, summary, _) = before(&full, &key, None);
    assert_eq!((code, ids), (0, Vec::new()));
    assert!(summary.ends_with("the server is ready."), "{summary}");
    let issuer = root.dir().join("below.pem");
    std::fs::write(&issuer, root.below.pem()).unwrap();
    assert_eq!(before(&cert, &key, Some(&issuer)).1, Vec::<String>::new());
    assert_eq!(before(&cert, &key, Some(&root.file())).1, vec!["issuer-not-in-file".to_string()]);
}

#[test]
fn the_schema_of_reports_is_written_and_checks_reports() {
    let (code, said, log) = outcome(lockgate(&["check", "--schema"]), b"");
    assert_eq!((code, log.as_str()), (0, ""));
    assert_eq!(said.trim_end(), JSON_SCHEMA.trim_end());
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.py"), "get('http://api.acme.io/v1', verify=False)\n").unwrap();
    let (_, said, _) = outcome(lockgate(&["check", "--source", text(dir.path()), "--json"]), b"");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(!report["findings"].as_array().unwrap().is_empty(), "{said}");
    must_hold(JSON_SCHEMA, &report);
    // A report that is not valid is noticed.
    let mut wrong = [report.clone(), report.clone(), report.clone(), report];
    wrong[0]["findings"][0]["severity"] = "bad".into();
    wrong[1]["files"] = (-1).into();
    wrong[2].as_object_mut().unwrap().remove("skipped");
    wrong[3]["more_than_is_known"] = 1.into();
    for wrong in wrong {
        assert!(std::panic::catch_unwind(|| must_hold(JSON_SCHEMA, &wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_finding_is_explained() {
    let (code, said, _) = outcome(lockgate(&["check", "--explain", "tls-1-0"]), b"");
    assert_eq!(code, 0);
    for words in ["tls-1-0 (warning)", "fix: nginx: ssl_protocols", "see: RFC 8996"] {
        assert!(said.contains(words), "{said}");
    }
    let (code, said, _) = outcome(lockgate(&["check", "--explain", "all"]), b"");
    assert_eq!(code, 0);
    for id in ["tls-1-0", "missing-intermediate", "http-foreign-host"] {
        assert!(said.lines().any(|line| line.split(' ').next() == Some(id)), "{id}: {said}");
    }
    let (_, _, log) = outcome(lockgate(&["check", "--explain", "tls-1-O"]), b"");
    assert!(log.contains("is tls-1-0 meant?"), "{log}");
}

#[test]
fn settings_are_checked_before_they_are_served_and_recognized_afterwards() {
    let dir = TempDir::new().unwrap();
    let mut demo = Server::demo(dir.path(), &[]);
    let (https, http) = (demo.https_port(), demo.http_port());
    let config = dir.path().join("lockgate.toml");
    let settings = format!(
        "cert = \"cert.pem\"\nkey = \"key.pem\"\nhttps = \"127.0.0.1:{https}\"\nhttp = \"127.0.0.1:{http}\"\nconnections = 100\n"
    );
    std::fs::write(&config, &settings).unwrap();
    let line = ["check", "--config", text(&config), "--json"];
    let ca = dir.path().join("ca.pem");
    let found = |line: &[&str]| -> (i32, Vec<String>) {
        let mut command = lockgate(line);
        command.env("SSL_CERT_FILE", &ca);
        let (code, said, log) = outcome(command, b"");
        assert_eq!(log, "");
        let report: Value = serde_json::from_str(&said).unwrap();
        must_hold(JSON_SCHEMA, &report);
        assert_eq!((&report["schema"], &report["kind"]), (&"lockgate.check/1".into(), &"before".into()));
        let ids = report["findings"].as_array().unwrap().iter();
        (code, ids.map(|finding| finding["id"].as_str().unwrap().to_string()).collect())
    };
    let (code, ids) = found(&line);
    assert_eq!((code, ids.iter().filter(|id| *id == "already-served").count()), (0, 2), "{ids:?}");
    demo.stop();
    assert_eq!(found(&line), (0, vec!["redirect-port".to_string()]));
    assert_eq!(found(&[&line[..], &["--http", "off"]].concat()), (0, vec!["redirect-off".to_string()]));

    std::fs::write(&config, format!("{settings}idle-timeot = 1\n")).unwrap();
    assert_eq!(found(&line), (2, vec!["setting-unusable".to_string()]));
    std::fs::write(&config, format!("{settings}head-fields = 257\n")).unwrap();
    assert_eq!(found(&line), (2, vec!["limit-out-of-range".to_string(), "redirect-port".to_string()]));
    std::fs::write(&config, "cert = \"cert.pem\"\n").unwrap();
    assert_eq!(found(&line).0, 2);
    std::fs::remove_file(&config).unwrap();
    let (code, _, log) = outcome(lockgate(&line), b"");
    assert!(code == 3 && log.contains("lockgate.toml: cannot be read"), "{code} {log}");
    for line in [
        &["check", "--cert", "cert.pem"][..],
        &["check", "--cert", "a", "https://localhost/"],
        &["check", "--cert", "a", "--key", "b", "--source", "."],
        &["check", "--cert", "a", "--key", "b", "--ca", "c"],
        &["check", "--device"],
    ] {
        let (code, _, log) = outcome(lockgate(line), b"");
        assert_eq!(code, 64, "{line:?}: {log}");
    }
    let (code, said, _) = outcome(lockgate(&["check", "--explain", "memory-short"]), b"");
    assert!(code == 0 && said.contains("memory-short (warning)"), "{said}");
}

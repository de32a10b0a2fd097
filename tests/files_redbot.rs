//! REDbot, which asks for a resource in many ways and says what is wrong with the answers, finds nothing wrong with files, a
//! folder's page, an answer with a tag, and errors. It is installed by tests/install_redbot.sh.

mod support;

#[path = "support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers;

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use lockgate::web::Files;
use lockgate::{Identity, Request, Response, Router, Server, StatusCode};
use serde_json::{json, Value};

use peers::redbot;
use support::serve_as;

/// What REDbot warns of although it is meant so, and why.
const MEANT: &[(&str, &str)] = &[(
    "FIELD_DEPRECATED",
    "Keep-Alive tells clients how long a connection may be idle; Node's agent follows it, and no other field says it",
)];

/// A resource, its status, and what REDbot must find good about it.
const RESOURCES: &[(&str, u16, &[&str])] = &[
    ("/page.html", 200, &["INM_304", "IMS_304", "RANGE_CORRECT", "CL_CORRECT"]),
    ("/numbers.txt", 200, &["INM_304", "IMS_304", "RANGE_CORRECT", "CONNEG_GZIP_GOOD"]),
    ("/", 200, &["INM_304", "CONTENT_SECURITY_POLICY"]),
    ("/none.txt", 404, &["CL_CORRECT"]),
    ("/ui/page.html", 200, &["INM_304", "RANGE_CORRECT"]),
    ("/api/data", 200, &["INM_304"]),
    ("/upload/image", 405, &[]),
];

#[test]
fn redbot_finds_nothing_wrong() {
    let test = "redbot_finds_nothing_wrong";
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let numbers: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let page: &'static str = format!("<!DOCTYPE html><title>Numbers</title><pre>{numbers}</pre>").leak();
    fs::write(root.join("page.html"), page).unwrap();
    fs::write(root.join("numbers.txt"), numbers).unwrap();
    assert!(Command::new("gzip").arg("--keep").arg(root.join("numbers.txt")).status().unwrap().success());
    for name in ["page.html", "numbers.txt", "numbers.txt.gz"] {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::options().write(true).open(root.join(name)).unwrap().set_modified(date).unwrap();
    }
    let router = Router::new()
        .folder("/", Files::dir(&root).precompressed().listing().handler())
        .folder("/ui", Files::embedded(&[("page.html", page.as_bytes())]).handler())
        .get("/api/data", |request: &mut Request| {
            Response::json(&json!({"ok": true})).with_header("cache-control", "no-cache").with_etag(request)
        })
        .put("/upload/{name}", |_: &mut Request| StatusCode::NO_CONTENT);
    // It looks names up in the DNS alone, and so is given the address.
    let (certificate, key) = support::pem_pair(|params| {
        params.subject_alt_names = vec![rcgen::SanType::IpAddress([127, 0, 0, 1].into())];
    });
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let serving = serve_as(Server::builder(router).identity(identity));
    let roots = dir.path().join("roots.pem");
    fs::write(&roots, support::authority_pem()).unwrap();

    let mut faults = Vec::new();
    for (path, status, good) in RESOURCES {
        let url = format!("https://{}{path}", serving.address);
        let Some(mut redbot) = redbot(test, &["-o", "har", &url]) else { return };
        let output = redbot.env("SSL_CERT_FILE", &roots).output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&output.stderr)));
        let entry = &found["log"]["entries"][0];
        assert_eq!(entry["response"]["status"], *status, "{path}: {entry}");
        let notes = entry["_red_messages"].as_array().unwrap();
        let text = |note: &Value, name: &str| note[name].as_str().unwrap_or_default().to_string();
        for note in notes {
            let (level, id) = (text(note, "level"), text(note, "note_id"));
            let is_meant = level == "WARN" && MEANT.iter().any(|(meant, _)| *meant == id);
            if ["WARN", "BAD"].contains(&level.as_str()) && !is_meant {
                faults.push(format!("{path}: {level} {id}: {}", text(note, "summary")));
            }
        }
        for good in *good {
            let is_found = |note: &Value| text(note, "level") == "GOOD" && text(note, "note_id") == *good;
            if !notes.iter().any(is_found) {
                faults.push(format!("{path}: no {good} in {notes:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

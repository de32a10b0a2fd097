//! The three gateways (lockgate's example, and the same with axum and with rouille) answer the same requests alike. They are built
//! before: `cargo build --features cli,compression --example gateway`, and `cargo build` here.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use serde_json::{json, Value};

const APP: &str = "https://app.example";

struct Gateway {
    name: &'static str,
    process: Child,
    state: PathBuf,
    https: String,
    http: String,
}

struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Gateway {
    fn start(name: &'static str, program: &Path) -> Gateway {
        assert!(program.exists(), "{} is not built; the head of this file says how", program.display());
        let state = env::temp_dir().join(format!("gateways-{}-{name}", std::process::id()));
        let mut process = Command::new(program)
            .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state"])
            .arg(&state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |kind: &str| {
            let line = lines.next().expect("it says where it listens").unwrap();
            let address = line.strip_prefix(kind).unwrap_or_else(|| panic!("{name}: {line}"));
            address.trim().to_string()
        };
        let (https, http) = (address("https"), address("http"));
        Gateway { name, process, state, https, http }
    }

    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
        self.ask_at(&format!("https://{}{path}", self.https), method, fields, body)
    }

    fn ask_at(&self, url: &str, method: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
        // hyper resets a connection that brings a body which nobody reads, and sometimes its answer is lost with it.
        let most = if self.name == "lockgate" { 1 } else { 20 };
        let reply = (0..most).find_map(|_| self.try_ask(url, method, fields, body));
        reply.unwrap_or_else(|| panic!("{}: {method} {url}: no answer", self.name))
    }

    fn try_ask(
        &self,
        url: &str,
        method: &str,
        fields: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Option<Reply> {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--insecure",
            "--include",
            "--max-time",
            "30",
            "--noproxy",
            "*",
        ]);
        match method {
            "HEAD" => curl.arg("--head"),
            _ => curl.args(["--request", method]),
        };
        for (name, value) in fields {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        if body.is_some() {
            curl.args(["--header", "Expect:", "--data-binary", "@-"]);
        }
        let mut curl = curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A server that refuses the body may not read all of it.
        let _ = curl.stdin.take().unwrap().write_all(body.unwrap_or_default());
        let output = curl.wait_with_output().unwrap().stdout;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(output[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        Some(Reply { status, fields, body: output[end + 4..].to_vec() })
    }

    fn stop(mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert!(self.process.wait().unwrap().success(), "{} ends well", self.name);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.state);
    }
}

impl Reply {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// The status, of an answer that is a problem document a page of the app can read.
    fn problem(&self) -> u16 {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{:?}", self.fields);
        assert_eq!(self.json()["status"], self.status);
        assert_eq!(self.field("access-control-allow-origin"), Some(APP), "{:?}", self.fields);
        self.status
    }
}

fn gateways() -> [Gateway; 3] {
    let programs = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf();
    // The benchmark's own folder lies within lockgate's: target/bench/build/debug.
    let target = env::var_os("LOCKGATE_TARGET").map(PathBuf::from);
    let target = target.unwrap_or_else(|| programs.ancestors().nth(3).unwrap().to_path_buf());
    [
        Gateway::start("lockgate", &target.join("debug/examples/gateway")),
        Gateway::start("axum", &programs.join("axum-gateway")),
        Gateway::start("rouille", &programs.join("rouille-gateway")),
    ]
}

#[test]
fn the_same_requests_get_the_same_answers() {
    let json_type = ("content-type", "application/json");
    let app = ("origin", APP);
    for gateway in gateways() {
        let name = gateway.name;
        let get = |path: &str, fields: &[(&str, &str)]| gateway.ask("GET", path, fields, None);

        // The page, and what every answer has.
        let page = get("/", &[]);
        assert_eq!(
            (page.status, page.field("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{name}"
        );
        assert!(page.body.starts_with(b"<!doctype html>"), "{name}");
        for (field, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            (
                "content-security-policy",
                "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'none'",
            ),
        ] {
            assert_eq!(page.field(field), Some(value), "{name}");
        }
        assert!(page.field("x-request-id").is_some_and(|id| id.len() >= 16), "{name}: {:?}", page.fields);
        assert_eq!(get("/", &[("x-request-id", "abc-7")]).field("x-request-id"), Some("abc-7"), "{name}");
        let tag = get("/script.js", &[]).field("etag").unwrap().to_string();
        assert_eq!(get("/script.js", &[("if-none-match", &tag)]).status, 304, "{name}");
        let head = gateway.ask("HEAD", "/", &[], None);
        assert_eq!((head.status, head.body.len()), (200, 0), "{name}");

        // Readings: validation and pages.
        let post =
            |fields: &[(&str, &str)], body: &[u8]| gateway.ask("POST", "/api/readings", fields, Some(body));
        for celsius in 1..=3 {
            let body = json!({"sensor": "kitchen", "celsius": celsius}).to_string();
            let reply = post(&[json_type, app], body.as_bytes());
            assert_eq!(reply.status, 201, "{name}: {}", String::from_utf8_lossy(&reply.body));
            assert_eq!(reply.json()["id"], celsius, "{name}");
            assert!(reply.field("location").is_some_and(|at| at.starts_with("/api/readings?")), "{name}");
            assert_eq!(reply.field("access-control-allow-origin"), Some(APP), "{name}");
        }
        let large = json!({"sensor": "x".repeat(20_000), "celsius": 1}).to_string();
        for (kind, body, status) in [
            ("text/plain", r#"{"sensor":"a","celsius":1}"#, 415),
            ("application/json", "{", 400),
            ("application/json", r#"{"sensor":"a","celsius":"warm"}"#, 422),
            ("application/json", r#"{"sensor":"a"}"#, 422),
            ("application/json", &large, 413),
        ] {
            assert_eq!(
                post(&[("content-type", kind), app], body.as_bytes()).problem(),
                status,
                "{name}: {kind}"
            );
        }
        let invalid = post(&[json_type, app], br#"{"sensor":"","celsius":400}"#);
        assert_eq!(invalid.problem(), 422, "{name}");
        let errors = invalid.json()["errors"].as_array().unwrap().clone();
        let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["#/sensor", "#/celsius"], "{name}");
        let first = get("/api/readings?limit=2", &[]).json();
        assert_eq!((first["readings"].as_array().unwrap().len(), &first["next"]), (2, &json!(2)), "{name}");
        let rest = get("/api/readings?limit=2&after=2", &[]).json();
        assert_eq!(
            (&rest["readings"][0]["celsius"].as_f64(), &rest["next"]),
            (&Some(3.0), &Value::Null),
            "{name}"
        );
        for query in ["limit=0", "limit=101", "limit=x", "after=-1"] {
            assert_eq!(get(&format!("/api/readings?{query}"), &[app]).problem(), 400, "{name}: {query}");
        }
        for _ in 0..30 {
            post(&[json_type], br#"{"sensor":"a sensor with a long name","celsius":1.5}"#);
        }
        let packed = get("/api/readings?limit=30", &[("accept-encoding", "gzip"), app]);
        assert_eq!(packed.field("content-encoding"), Some("gzip"), "{name}: {:?}", packed.fields);

        // Firmware.
        assert_eq!(get("/api/firmware", &[]).status, 404, "{name}");
        let image = vec![b'x'; 300_000];
        let saved = gateway.ask("PUT", "/api/firmware", &[], Some(&image));
        assert_eq!((saved.status, saved.json()["bytes"].as_u64()), (201, Some(300_000)), "{name}");
        assert_eq!(saved.json()["sha256"].as_str().map(str::len), Some(64), "{name}");
        assert!(get("/api/firmware", &[]).body == image, "{name}");
        let part = get("/api/firmware", &[("range", "bytes=10-19")]);
        assert_eq!((part.status, part.body.len()), (206, 10), "{name}");
        assert_eq!(part.field("content-range"), Some("bytes 10-19/300000"), "{name}");
        assert_eq!(get("/api/firmware", &[("range", "bytes=300000-")]).status, 416, "{name}");

        // What is not there, and who may not do it.
        assert_eq!(get("/nothing", &[app]).problem(), 404, "{name}");
        let other = gateway.ask("DELETE", "/api/readings", &[app], None);
        assert_eq!(other.problem(), 405, "{name}");
        assert!(
            other.field("allow").is_some_and(|methods| methods.contains("POST")),
            "{name}: {:?}",
            other.fields
        );
        let cross = [json_type, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
        let refused = post(&cross, br#"{"sensor":"a","celsius":1}"#);
        assert_eq!((refused.status, refused.field("access-control-allow-origin")), (403, None), "{name}");
        let mut varies = refused.field("vary").unwrap_or_default().split(',');
        assert!(
            varies.any(|field| field.trim().eq_ignore_ascii_case("origin")),
            "{name}: {:?}",
            refused.fields
        );
        let asked = [
            app,
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "content-type"),
        ];
        let preflight = gateway.ask("OPTIONS", "/api/firmware", &asked, None);
        assert!([200, 204].contains(&preflight.status), "{name}");
        assert_eq!(preflight.field("access-control-allow-origin"), Some(APP), "{name}");
        assert_eq!(preflight.field("access-control-max-age"), Some("7200"), "{name}");
        assert!(
            preflight.field("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")),
            "{name}"
        );

        // Port 80.
        let ca = gateway.ask_at(&format!("http://{}/ca.crt", gateway.http), "GET", &[], None);
        assert_eq!(
            (ca.status, ca.field("content-type")),
            (200, Some("application/x-x509-ca-cert")),
            "{name}"
        );
        let moved = gateway.ask_at(&format!("http://{}/a?b", gateway.http), "GET", &[], None);
        let to = format!("https://{}/a?b", gateway.https);
        assert!(
            [301, 308].contains(&moved.status) && moved.field("location") == Some(&*to),
            "{name}: {:?}",
            moved.fields
        );

        gateway.stop();
    }
}

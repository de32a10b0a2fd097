//! `examples/gateway.rs` as its users have it: the program in a process of its own, and its page and those of other origins in
//! Chromium. What needs no socket is tested in the example itself.

// A part of each is used here.
#[allow(dead_code)]
#[path = "support_command/devtools.rs"]
mod devtools;
#[allow(dead_code)]
#[path = "support_command/peers.rs"]
mod peers;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use lockgate::serde_json::{json, Value};
use lockgate::{Request, Response, Router};
use ring::digest::{digest, SHA256};
use tempfile::TempDir;

use devtools::Browser;
use support::{noise, serve, Serving};

const GATEWAY: &str = "https://gateway.local";
const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

/// The gateway, and a server for the pages of all other origins.
struct Site {
    gateway: Child,
    https: SocketAddr,
    http: SocketAddr,
    others: Serving,
    dir: TempDir,
}

impl Site {
    fn serve() -> Site {
        let program = std::env::current_exe().unwrap();
        let program = program.ancestors().nth(2).unwrap().join("examples/gateway");
        assert!(program.exists(), "first: cargo build --features cli,compression --example gateway");
        let dir = TempDir::new().unwrap();
        let mut gateway = Command::new(program)
            .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--origin", APP, "--state"])
            .arg(dir.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
        let mut address = |kind| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(kind).unwrap_or_else(|| panic!("{line}")).trim().parse().unwrap()
        };
        let (https, http) = (address("https"), address("http"));
        let others = serve(Router::new().get("/", |_: &mut Request| {
            Response::text("<!doctype html><title>other</title>").with_header("content-type", "text/html")
        }));
        Site { gateway, https, http, others, dir }
    }

    fn browser(&self, test: &str) -> Option<Browser> {
        let rules = format!(
            "MAP gateway.local {}, MAP plain.local {}, MAP * {}",
            self.https, self.http, self.others.address
        );
        Browser::open(test, self.dir.path(), &rules)
    }

    /// Sends SIGTERM, and waits until the program has ended.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.gateway);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.gateway.wait().unwrap().success());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

/// What a page gets: the status, the request's id and the body; or the error's name.
fn fetched(browser: &mut Browser, path: &str, options: &Value) -> Value {
    browser.value(&format!(
        "fetch('{GATEWAY}{path}', {options}).then(async (response) => [response.status, response.headers.get('x-request-id'), \
         await response.text()], (error) => error.name)"
    ))
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 24 readings.
fn add_a_day_of_readings(browser: &mut Browser) {
    for hour in 0..24 {
        let sensor = ["kitchen", "cellar", "roof"][hour % 3];
        let celsius =
            19.0 - 4.5 * (hour as f64 / 24.0 * std::f64::consts::TAU).cos() + (hour % 3) as f64 * 0.2;
        let body = json!({"sensor": sensor, "celsius": celsius}).to_string();
        let options =
            json!({"method": "POST", "headers": {"content-type": "application/json"}, "body": body});
        assert_eq!(fetched(browser, "/api/readings", &options)[0], 201);
    }
}

#[test]
fn the_example_stays_short_enough_to_be_read() {
    assert!(include_str!("../examples/gateway.rs").lines().count() <= 250);
}

#[test]
fn the_page_shows_readings_and_takes_some() {
    let site = Site::serve();
    let Some(mut browser) = site.browser("the_page_shows_readings_and_takes_some") else { return };
    browser.go(&format!("{GATEWAY}/"));
    browser.until("document.getElementById('state').textContent === '0 readings'");
    add_a_day_of_readings(&mut browser);
    browser.value("const form = document.getElementById('add'); form.sensor.value = 'roof'; form.celsius.value = '21.5'");
    browser.value("form.requestSubmit()");
    browser.until("document.getElementById('state').textContent === '25 readings'");
    let first = browser.value("document.querySelector('#readings tr').textContent");
    assert_eq!(first, "25roof21.5");
    // What the server objects to stands beside the form.
    browser.value("form.celsius.value = '500'; form.requestSubmit()");
    browser.until("document.getElementById('add-fault').textContent.includes('from -40 to 125')");
    browser.value("form.reset(); document.getElementById('add-fault').textContent = ''");
    drop(browser);
    site.stop();
}

#[test]
fn a_page_of_the_app_uses_the_api_and_reads_why_it_cannot() {
    let site = Site::serve();
    let Some(mut browser) = site.browser("a_page_of_the_app_uses_the_api_and_reads_why_it_cannot") else {
        return;
    };
    browser.go(&format!("{APP}/"));
    let post =
        |kind: &str, body: &str| json!({"method": "POST", "headers": {"content-type": kind}, "body": body});
    let reading = r#"{"sensor":"roof","celsius":1.5}"#;
    // JSON from another origin: the browser asks first.
    let added = fetched(&mut browser, "/api/readings", &post("application/json", reading));
    assert_eq!(added[0], 201, "{added}");
    assert_eq!(added[1].as_str().map(str::len), Some(16), "{added}");
    let large = json!({"sensor": "x".repeat(1_000_000), "celsius": 1}).to_string();
    for (path, options, status, detail) in [
        ("/api/readings", post("application/json", &large), 413, "larger than is accepted"),
        (
            "/api/readings",
            post("application/json", r#"{"sensor":"","celsius":1}"#),
            422,
            "1 to 32 characters",
        ),
        ("/api/readings", post("text/plain", reading), 415, "application/json"),
        ("/api/readings?limit=0", json!({}), 400, "from 1 to 100"),
        ("/api/none", json!({}), 404, ""),
        ("/api/firmware", json!({"method": "POST"}), 405, ""),
    ] {
        let answer = fetched(&mut browser, path, &options);
        assert_eq!(answer[0], status, "{path}: {answer}");
        assert!(answer[2].as_str().unwrap().contains(detail), "{path}: {answer}");
    }
    // The app may not use what the preflight does not name.
    assert_eq!(fetched(&mut browser, "/api/readings", &json!({"method": "DELETE"})), "TypeError");

    // Another origin reads nothing, and what it sends without asking changes nothing.
    browser.go(&format!("{EVIL}/"));
    for options in [json!({}), post("application/json", reading), post("text/plain", reading)] {
        assert_eq!(fetched(&mut browser, "/api/readings", &options), "TypeError");
    }
    browser.value(&format!(
        "fetch('{GATEWAY}/api/firmware', {{method: 'POST', mode: 'no-cors', body: 'evil'}}).then(() => 0, () => 0)"
    ));
    browser.go(&format!("{APP}/"));
    let readings = fetched(&mut browser, "/api/readings", &json!({}));
    assert_eq!(readings[2].as_str().unwrap().matches("roof").count(), 1, "{readings}");
}

#[test]
fn an_upload_is_paused_and_goes_on_and_what_came_is_what_was_sent() {
    let test = "an_upload_is_paused_and_goes_on_and_what_came_is_what_was_sent";
    let site = Site::serve();
    let Some(mut browser) = site.browser(test) else { return };
    let image = noise(6_000_000);
    let file = site.dir.path().join("image.bin");
    fs::write(&file, &image).unwrap();
    browser.go(&format!("{GATEWAY}/"));
    add_a_day_of_readings(&mut browser);
    browser.go(&format!("{GATEWAY}/"));
    browser.until("document.getElementById('state').textContent === '24 readings'");
    // Where each request begins, and how far the page says that the upload is.
    browser.value(
        "globalThis.offsets = []; const set = XMLHttpRequest.prototype.setRequestHeader; \
         XMLHttpRequest.prototype.setRequestHeader = function (name, value) { \
             if (name === 'upload-offset') offsets.push(value); set.call(this, name, value); }",
    );
    let slow =
        json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 3_000_000});
    browser.call("Network.enable", json!({}));
    browser.call("Network.emulateNetworkConditions", slow.clone());
    browser.choose("#upload input", &file);
    browser.value("document.getElementById('upload').requestSubmit()");
    browser.until("document.getElementById('progress').value > 0.4");
    browser.value("document.getElementById('pause').click()");
    browser.until("document.getElementById('uploaded').textContent === 'paused'");
    assert!(!site.dir.path().join("state/firmware.bin").exists());
    // For pictures/gateway.png, when the page has changed.
    fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/gateway.png.base64"), browser.picture()).unwrap();
    let mut fast = slow;
    fast["uploadThroughput"] = json!(-1);
    browser.call("Network.emulateNetworkConditions", fast);
    browser.value("document.getElementById('pause').click()");
    browser.until("document.getElementById('uploaded').textContent.includes('SHA-256')");
    let told = browser.value("document.getElementById('uploaded').textContent");
    assert_eq!(told, format!("6000000 bytes installed, SHA-256 {}…", &sha256(&image)[..16]));
    let offsets = browser.value("offsets");
    assert!(offsets[0] == 0 && offsets[1].as_u64().unwrap() > 0 && offsets[2].is_null(), "{offsets}");
    assert!(fs::read(site.dir.path().join("state/firmware.bin")).unwrap() == image);
    // And a part of it back.
    let part = browser.value(
        "fetch('/api/firmware', {headers: {range: 'bytes=10-13'}}).then(async (response) => \
         [response.status, ...new Uint8Array(await response.arrayBuffer())])",
    );
    assert_eq!(part, json!([206, image[10], image[11], image[12], image[13]]));
}

#[test]
fn the_plain_port_has_what_one_needs_to_trust_the_other() {
    let site = Site::serve();
    let Some(mut browser) = site.browser("the_plain_port_has_what_one_needs_to_trust_the_other") else {
        return;
    };
    browser.go("http://plain.local/");
    let page = browser.value("document.body.textContent");
    let file = browser.value(
        "fetch('/ca.crt').then(async (response) => [...new Uint8Array(await response.arrayBuffer())])",
    );
    let file: Vec<u8> = file.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
    assert!(page.as_str().unwrap().contains(&sha256(&file)), "{page}");
}

//! `examples/gateway.rs` of lockgate, with rouille 3.6: `rouille-gateway --https ADDR --http ADDR --state DIR`. It has the same
//! routes and the same answers; the page is the same. What it does not have is in benches/README.md.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::digest::{digest, Context, SHA256};
use rouille::{content_encoding, Request, Response, ResponseBody, Server};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const ORIGIN_ALLOWED: &str = "https://app.example";
const PAGE: &str = include_str!("../../../../examples/gateway/index.html");
const STYLE: &str = include_str!("../../../../examples/gateway/style.css");
const SCRIPT: &str = include_str!("../../../../examples/gateway/script.js");
const MOST_READINGS: usize = 10_000;
const MOST_JSON: u64 = 16 * 1024;
const MOST_FIRMWARE: u64 = 64 << 20;
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'none'";

#[derive(Clone, Serialize)]
struct Reading {
    id: u64,
    sensor: String,
    celsius: f64,
}

#[derive(Deserialize)]
struct NewReading {
    sensor: String,
    celsius: f64,
}

struct Gateway {
    readings: Mutex<(u64, VecDeque<Reading>)>,
    state: PathBuf,
}

// Errors as problem documents.
fn problem(status: u16, detail: &str, errors: Value) -> Response {
    let title = match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Entity",
        507 => "Insufficient Storage",
        _ => "Internal Server Error",
    };
    let body = json!({"status": status, "title": title, "detail": detail, "errors": errors}).to_string();
    Response::from_data("application/problem+json", body).with_status_code(status)
}

fn refuse(status: u16, detail: &str) -> Response {
    problem(status, detail, json!([]))
}

impl Gateway {
    fn answer(&self, request: &Request) -> Response {
        let method = if request.method() == "HEAD" { "GET" } else { request.method() };
        match (method, request.url().as_str()) {
            ("GET", "/") => asset(request, "text/html; charset=utf-8", PAGE),
            ("GET", "/style.css") => asset(request, "text/css; charset=utf-8", STYLE),
            ("GET", "/script.js") => asset(request, "text/javascript; charset=utf-8", SCRIPT),
            ("GET", "/api/readings") => self.list(request),
            ("POST", "/api/readings") => self.add(request),
            ("PUT", "/api/firmware") => self.upload(request),
            ("GET", "/api/firmware") => self.download(request),
            (_, "/") | (_, "/style.css") | (_, "/script.js") => not_allowed("GET, HEAD"),
            (_, "/api/readings") => not_allowed("GET, HEAD, POST"),
            (_, "/api/firmware") => not_allowed("GET, HEAD, PUT"),
            _ => refuse(404, "There is nothing here."),
        }
    }

    // Readings.
    fn list(&self, request: &Request) -> Response {
        let number = |name: &str, default: u64| {
            request.get_param(name).map_or(Ok(default), |text| text.parse::<u64>())
        };
        let (Ok(after), Ok(limit)) = (number("after", 0), number("limit", 20)) else {
            return refuse(400, "after and limit are numbers");
        };
        if !(1..=100).contains(&limit) {
            return refuse(400, "limit is from 1 to 100");
        }
        let (_, readings) = &*self.readings.lock().unwrap();
        let mut found: Vec<&Reading> =
            readings.iter().filter(|reading| reading.id > after).take(limit as usize + 1).collect();
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| has_more).map(|reading| reading.id);
        Response::json(&json!({"readings": found, "next": next}))
    }

    fn add(&self, request: &Request) -> Response {
        let kind = request.header("content-type").unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return refuse(415, "the body is application/json");
        }
        let mut body = Vec::new();
        let Some(data) = request.data() else { return refuse(500, "the body is gone") };
        if data.take(MOST_JSON + 1).read_to_end(&mut body).is_err() {
            return refuse(400, "the body is cut short");
        }
        if body.len() as u64 > MOST_JSON {
            return refuse(413, "at most 16 KiB");
        }
        let value: Value = match serde_json::from_slice(&body) {
            Ok(value) => value,
            Err(error) => return refuse(400, &error.to_string()),
        };
        let new: NewReading = match serde_json::from_value(value) {
            Ok(new) => new,
            Err(error) => return refuse(422, &error.to_string()),
        };
        let mut faults = Vec::new();
        if !(1..=32).contains(&new.sensor.chars().count()) {
            faults.push(json!({"pointer": "#/sensor", "detail": "1 to 32 characters"}));
        }
        if !(-40.0..=125.0).contains(&new.celsius) {
            faults.push(json!({"pointer": "#/celsius", "detail": "from -40 to 125"}));
        }
        if !faults.is_empty() {
            return problem(422, "The reading is not valid.", faults.into());
        }
        let (last, readings) = &mut *self.readings.lock().unwrap();
        *last += 1;
        let reading = Reading { id: *last, sensor: new.sensor, celsius: new.celsius };
        if readings.len() == MOST_READINGS {
            readings.pop_front();
        }
        readings.push_back(reading.clone());
        let location = format!("/api/readings?after={}&limit=1", reading.id - 1);
        Response::json(&reading).with_status_code(201).with_unique_header("Location", location)
    }

    // Firmware: up, in one request.
    fn upload(&self, request: &Request) -> Response {
        let part = self.state.join("firmware.part");
        let received = receive(request, &part).and_then(|(bytes, sha256)| {
            fs::rename(&part, self.state.join("firmware.bin")).map_err(failed)?;
            Ok(Response::json(&json!({"bytes": bytes, "sha256": sha256})).with_status_code(201))
        });
        received.unwrap_or_else(|refusal| {
            let _ = fs::remove_file(&part);
            refusal
        })
    }

    // Firmware: down, with ranges.
    fn download(&self, request: &Request) -> Response {
        let Ok(mut file) = File::open(self.state.join("firmware.bin")) else {
            return refuse(404, "There is no firmware yet.");
        };
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else {
            return refuse(500, "the file cannot be read");
        };
        let response = Response {
            status_code: 200,
            headers: vec![
                ("Content-Type".into(), "application/octet-stream".into()),
                ("Accept-Ranges".into(), "bytes".into()),
            ],
            data: ResponseBody::empty(),
            upgrade: None,
        };
        let Some((first, last)) = request.header("range").and_then(|range| one_range(range, length)) else {
            return Response { data: ResponseBody::from_file(file), ..response };
        };
        if first > last {
            return refuse(416, "The range begins behind the end.")
                .with_unique_header("Content-Range", format!("bytes */{length}"));
        }
        if file.seek(SeekFrom::Start(first)).is_err() {
            return refuse(500, "the file cannot be read");
        }
        let size = last - first + 1;
        let data = ResponseBody::from_reader_and_size(file.take(size), size as usize);
        Response { status_code: 206, data, ..response }
            .with_unique_header("Content-Range", format!("bytes {first}-{last}/{length}"))
    }
}

/// The only range that is asked for; `None` where the whole is the answer.
fn one_range(field: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = field.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let size: u64 = last.parse().ok()?;
        return Some((length.saturating_sub(size), length.checked_sub(1).filter(|_| size > 0)?));
    }
    let first: u64 = first.parse().ok()?;
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    if first >= length {
        return Some((1, 0));
    }
    Some((first, last.min(length - 1)))
}

fn failed(error: io::Error) -> Response {
    match error.kind() {
        io::ErrorKind::StorageFull => refuse(507, "the disk is full"),
        _ => refuse(500, "the file cannot be written"),
    }
}

fn receive(request: &Request, part: &Path) -> Result<(u64, String), Response> {
    let mut body = request.data().ok_or_else(|| refuse(500, "the body is gone"))?.take(MOST_FIRMWARE + 1);
    let mut file = File::create(part).map_err(failed)?;
    let (mut hash, mut bytes, mut buffer) = (Context::new(&SHA256), 0, vec![0; 64 * 1024]);
    loop {
        let read = body.read(&mut buffer).map_err(|_| refuse(400, "the body is cut short"))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(failed)?;
    }
    if bytes > MOST_FIRMWARE {
        return Err(refuse(413, "at most 64 MiB"));
    }
    file.sync_all().map_err(failed)?;
    Ok((bytes, hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn not_allowed(methods: &'static str) -> Response {
    refuse(405, "There is no such method here.").with_unique_header("Allow", methods)
}

// The page.
fn asset(request: &Request, kind: &'static str, text: &'static str) -> Response {
    let hash: String =
        digest(&SHA256, text.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    // It sends the ETag in quotes.
    Response::from_data(kind, text).with_etag(request, hash)
}

// Pages of other origins change nothing.
fn is_foreign_write(request: &Request) -> bool {
    if ["GET", "HEAD", "OPTIONS"].contains(&request.method()) {
        return false;
    }
    match (request.header("sec-fetch-site"), request.header("origin")) {
        (_, Some(ORIGIN_ALLOWED)) => false,
        (Some(site), _) => site != "same-origin" && site != "none",
        (None, Some(origin)) => origin.strip_prefix("https://") != request.header("host"),
        (None, None) => false,
    }
}

// CORS: a preflight is answered, and every answer has the fields.
fn preflight(request: &Request) -> Option<Response> {
    let is_preflight =
        request.method() == "OPTIONS" && request.header("access-control-request-method").is_some();
    if !is_preflight || request.header("origin") != Some(ORIGIN_ALLOWED) {
        return None;
    }
    let response = Response::empty_204()
        .with_unique_header("Access-Control-Allow-Methods", "GET, POST, PUT")
        .with_unique_header("Access-Control-Allow-Headers", "content-type")
        .with_unique_header("Access-Control-Max-Age", "7200");
    Some(response)
}

fn with_cors(request: &Request, response: Response) -> Response {
    // gzip has set it too.
    let vary = match response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("vary")) {
        Some((_, value)) => format!("{value}, origin"),
        None => "origin".to_string(),
    };
    let response = response.with_unique_header("Vary", vary);
    if request.header("origin") != Some(ORIGIN_ALLOWED) {
        return response;
    }
    response
        .with_unique_header("Access-Control-Allow-Origin", ORIGIN_ALLOWED)
        .with_unique_header("Access-Control-Expose-Headers", "x-request-id")
}

/// All around the handlers, from the inside out.
fn serve(gateway: &Gateway, request: &Request) -> Response {
    let response = match preflight(request) {
        Some(response) => response,
        None if is_foreign_write(request) => refuse(403, "a page of another origin may not do this"),
        None => {
            let response = gateway.answer(request);
            if response.status_code == 200 {
                content_encoding::apply(request, response)
            } else {
                response
            }
        }
    };
    let response = with_cors(request, response)
        .with_unique_header("Content-Security-Policy", POLICY)
        .with_unique_header("X-Content-Type-Options", "nosniff")
        .with_unique_header("Referrer-Policy", "same-origin");
    let given = request.header("x-request-id").filter(|id| id.len() <= 64).map(String::from);
    response.with_unique_header("X-Request-Id", given.unwrap_or_else(random_id))
}

// Request ids.
fn random_id() -> String {
    let number: [u8; 8] = ring::rand::generate(&ring::rand::SystemRandom::new())
        .map(|random| random.expose())
        .unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(number))
}

// The device's own authority, and a certificate of it for this start.
fn identity(state: &Path) -> Result<(String, String, String), Box<dyn std::error::Error + Send + Sync>> {
    let (ca_file, key_file) = (state.join("ca.pem"), state.join("ca-key.pem"));
    if !ca_file.exists() {
        let key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name.push(DnType::CommonName, "Gateway");
        fs::write(&key_file, key.serialize_pem())?;
        fs::write(&ca_file, ca.self_signed(&key)?.pem())?;
    }
    let ca = fs::read_to_string(&ca_file)?;
    let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?)?;
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.distinguished_name.push(DnType::CommonName, "Gateway");
    let issuer = Issuer::new(ca_params, key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["localhost", "gateway.local", "127.0.0.1"].map(String::from))?;
    let leaf = leaf.signed_by(&key, &issuer)?;
    Ok((ca, leaf.pem(), key.serialize_pem()))
}

// Port 80: the authority's certificate to install, and a redirect.
fn onboard(request: &Request, ca: &str, https: u16) -> Response {
    if request.url() == "/ca.crt" {
        return Response::from_data("application/x-x509-ca-cert", ca);
    }
    let host = request.header("host").unwrap_or("localhost").split(':').next().unwrap_or_default();
    Response::redirect_308(format!("https://{host}:{https}{}", request.raw_url()))
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [_, https, _, http, _, state] = arguments.as_slice() else {
        return Err("usage: rouille-gateway --https ADDR --http ADDR --state DIR".into());
    };
    let state = Path::new(state);
    fs::create_dir_all(state)?;
    let (ca, certificate, key) = identity(state)?;
    let gateway = Gateway { readings: Mutex::default(), state: state.to_path_buf() };
    let handler = move |request: &Request| serve(&gateway, request);
    let secure = Server::new_ssl(https, handler, certificate.into_bytes(), key.into_bytes())?.pool_size(8);
    let port = secure.server_addr().port();
    let plain = Server::new(http, move |request| onboard(request, &ca, port))?.pool_size(2);
    println!("https {}\nhttp {}", secure.server_addr(), plain.server_addr());
    // Graceful stop.
    let (secure, stop_secure) = secure.stoppable();
    let (plain, stop_plain) = plain.stoppable();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        signals.forever().next();
        let _ = (stop_secure.send(()), stop_plain.send(()));
    });
    let _ = (secure.join(), plain.join());
    Ok(())
}

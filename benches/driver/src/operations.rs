//! The measured operations, each with its request and the answer that every server must give.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::client::{Answer, KeyExchange};
use crate::load::{Connections, Job};
use crate::Outcome;

pub struct Operation {
    /// The name in JSON, charts and the command line.
    pub name: &'static str,
    pub title: &'static str,
    pub job: Job,
    pub answer: Expected,
}

/// What the answer to an operation's request must be.
pub enum Expected {
    Body(Vec<u8>),
    /// 1 MiB of anything.
    Large,
    /// The request names the entity tag that the server itself has given.
    NotModified,
    /// This content, with gzip.
    Gzip(Vec<u8>),
    /// The body of the request is a file then.
    Saved,
}

/// The answer to GET /api/data.
pub const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;

/// The handshake with a key exchange that few servers have.
pub const POST_QUANTUM: &str = "handshake_post_quantum";

/// The file from the disk, the same from the program's memory, and the answer that is compressed.
pub const FILE: &str = "file_10kib";
pub const EMBEDDED: &str = "embedded_10kib";
pub const NOT_MODIFIED: &str = "not_modified";
pub const GZIP: &str = "gzip_json";
pub const UPLOAD: &str = "upload_20mib";

/// What the names of operations begin with that are measured in front of a backend.
const FRONT: &str = "front_";

const MIB: usize = 1024 * 1024;

pub fn all() -> Vec<Operation> {
    let data = || get("/api/data");
    let handshake = |name, title, kind| {
        let operation = of(name, title, data(), 16);
        Operation { job: Job { kind, ..operation.job }, ..operation }
    };
    let post_quantum = handshake(
        POST_QUANTUM,
        "full handshake with X25519MLKEM768 and a GET, 16 at a time",
        Connections::Fresh,
    );
    let pipelined = of("pipelined_16", "GET, 16 pipelined, 8 connections", data().repeat(16), 8);
    let large = of("get_1mib", "GET of 1 MiB, 8 connections", get("/large"), 8);
    let upload = post("/len", "application/octet-stream", &[b'x'; MIB]);
    let upload = of("post_1mib", "POST of 1 MiB, 8 connections", upload, 8);
    let json = post("/json", "application/json", &json_2kib());
    let front_large =
        of("front_get_1mib", "in front of a backend: GET of 1 MiB, 8 connections", get("/large"), 8);
    let front_upload = |name, title, bytes: usize, connections| {
        let request = post("/len", "application/octet-stream", &vec![b'x'; bytes]);
        let answer = Expected::Body(format!("{{\"length\":{bytes}}}").into());
        Operation { answer, ..of(name, title, request, connections) }
    };
    let json = of("post_json", "POST of 2 KiB of JSON, parsed and answered, 64 connections", json, 64);
    vec![
        of("keep_alive_8", "GET, 8 kept connections", data(), 8),
        of("keep_alive_64", "GET, 64 kept connections", data(), 64),
        of("keep_alive_512", "GET, 512 kept connections", data(), 512),
        Operation { job: Job { requests: 16, ..pipelined.job }, ..pipelined },
        of("browser", "GET as browsers send it: 14 fields, cookies; 64 connections", browser(), 64),
        handshake("handshake_full", "full handshake and a GET, 16 at a time", Connections::Fresh),
        handshake("handshake_resumed", "resumed handshake and a GET, 16 at a time", Connections::Resumed),
        Operation {
            job: Job { key_exchange: KeyExchange::X25519MlKem768, ..post_quantum.job },
            ..post_quantum
        },
        Operation { answer: Expected::Large, ..large },
        Operation { answer: Expected::Body(format!("{{\"length\":{MIB}}}").into()), ..upload },
        Operation { answer: Expected::Body("{\"members\":16}".into()), ..json },
        of("block_1ms", "a handler that blocks 1 ms, 64 connections", get("/block"), 64),
        Operation {
            answer: Expected::Body(page()),
            ..of(FILE, "GET of a file of 10 KiB from the disk, 64 connections", get("/files/page.html"), 64)
        },
        Operation {
            answer: Expected::Body(page()),
            ..of(EMBEDDED, "the same from the program's memory", get("/embedded/page.html"), 64)
        },
        Operation {
            answer: Expected::NotModified,
            ..of(NOT_MODIFIED, "304 for the file, 64 connections", get("/files/page.html"), 64)
        },
        Operation {
            answer: Expected::Gzip(report()),
            ..of(
                GZIP,
                "GET of 32 KiB of JSON with gzip, level 1, 64 connections",
                with_gzip("/report.json"),
                64,
            )
        },
        Operation {
            answer: Expected::Saved,
            ..of(UPLOAD, "PUT of 20 MiB into a file, 4 connections", put("/uploads/image", &image()), 4)
        },
        of("front_64", "in front of a backend: GET, 64 kept connections", data(), 64),
        of("front_512", "in front of a backend: GET, 512 kept connections", data(), 512),
        Operation { answer: Expected::Large, ..front_large },
        front_upload(
            "front_post_64kib",
            "in front of a backend: POST of 64 KiB, 64 connections",
            64 * 1024,
            64,
        ),
        front_upload("front_post_1mib", "in front of a backend: POST of 1 MiB, 8 connections", MIB, 8),
    ]
}

/// The files of a server, below its folder.
pub fn make_files(folder: &Path) -> Outcome<()> {
    for name in ["api", "files", "uploads"] {
        fs::create_dir(folder.join(name))?;
    }
    // nginx's workers run as another user.
    fs::set_permissions(folder.join("uploads"), fs::Permissions::from_mode(0o777))?;
    fs::write(folder.join("large"), vec![b'x'; MIB])?;
    fs::write(folder.join("api/data"), DATA)?;
    fs::write(folder.join("report.json"), report())?;
    Ok(fs::write(folder.join("files/page.html"), page())?)
}

/// A page of 10 KiB.
fn page() -> Vec<u8> {
    let rows = (0..).map(|row| format!("<tr><td>sensor {row:03}<td>{}.{} °C</tr>\n", 15 + row % 7, row % 10));
    let mut page = String::from("<!DOCTYPE html>\n<table>\n");
    page.extend(rows.take(400));
    page.into_bytes()[..10 * 1024].to_vec()
}

/// 32 KiB of JSON, as a device lists its readings.
fn report() -> Vec<u8> {
    let reading = |number: usize| {
        // Numbers without a pattern, the same in each run.
        let noise = number.wrapping_mul(2_654_435_761) >> 7;
        serde_json::json!({
            "id": number, "at": 1_795_000_000 + 60 * number + noise % 7, "sensor": format!("hall {}", noise % 24),
            "celsius": (noise % 4_000) as f64 / 100.0, "ok": !noise.is_multiple_of(31),
        })
    };
    let mut all = Vec::new();
    while serde_json::Value::from(all.clone()).to_string().len() < 32 * 1024 {
        let from = all.len();
        all.extend((from..from + 8).map(reading));
    }
    serde_json::Value::from(all).to_string().into_bytes()
}

/// A firmware image, which does not repeat itself.
fn image() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    (0..20 * MIB / 4).flat_map(|_| (next() as u32).to_le_bytes()).collect()
}

fn of(name: &'static str, title: &'static str, request: Vec<u8>, connections: usize) -> Operation {
    let job =
        Job { request, requests: 1, connections, kind: Connections::Kept, key_exchange: KeyExchange::X25519 };
    Operation { name, title, job, answer: Expected::Body(DATA.into()) }
}

impl Operation {
    /// Whether it asks for a file of the disk.
    pub fn is_of_files(&self) -> bool {
        matches!(self.name, FILE | NOT_MODIFIED)
    }

    /// Whether it is measured in front of a backend.
    pub fn is_in_front(&self) -> bool {
        self.name.starts_with(FRONT)
    }

    /// One request of the operation, for the check before the run.
    pub fn one_request(&self) -> &[u8] {
        &self.job.request[..self.job.request.len() / self.job.requests]
    }

    /// The job, with the entity tag that the server has given for the request.
    pub fn job(&self, etag: Option<&str>) -> Outcome<Job> {
        let mut job = self.job.clone();
        if let Expected::NotModified = self.answer {
            let etag = etag.ok_or("it gives no entity tag")?;
            job.request.truncate(job.request.len() - 2);
            job.request.extend_from_slice(format!("If-None-Match: {etag}\r\n\r\n").as_bytes());
        }
        Ok(job)
    }

    /// Whether that is the answer. `folder` is the server's.
    pub fn accepts(&self, answer: &Answer, folder: &Path) -> bool {
        let (status, body) = (answer.status, &answer.body);
        match &self.answer {
            Expected::Body(expected) => status == 200 && body == expected,
            Expected::Large => status == 200 && body.len() == MIB,
            Expected::NotModified => status == 304,
            Expected::Gzip(expected) => {
                let mut content = Vec::new();
                let read = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut content);
                status == 200 && read.is_ok() && content == *expected
            }
            Expected::Saved => {
                let saved = fs::read(folder.join("uploads/image")).unwrap_or_default();
                matches!(status, 201 | 204) && self.job.request.ends_with(&saved) && saved.len() == 20 * MIB
            }
        }
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn with_gzip(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n").into_bytes()
}

pub fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    send("POST", path, kind, body)
}

fn put(path: &str, body: &[u8]) -> Vec<u8> {
    send("PUT", path, "application/octet-stream", body)
}

fn send(method: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn browser() -> Vec<u8> {
    b"GET /api/data HTTP/1.1\r\n\
Host: localhost\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=6f1c0a5e9b7d4c3f8a2e1d0b9c8f7e6d; theme=dark; consent=analytics%3Dno%26ads%3Dno; _ga=GA1.1.123456789.1700000000\r\n\
\r\n"
        .to_vec()
}

/// An object of 16 members, as a device might send its readings.
fn json_2kib() -> Vec<u8> {
    let sensor = |number: usize| {
        serde_json::json!({
            "id": 1_000 + number, "name": format!("sensor {number:02}"), "celsius": 20.5 + number as f64 / 8.0,
            "ok": number > 4, "tags": ["outside wall", "north", "roof"], "note": "none yet"
        })
    };
    let object: serde_json::Map<_, _> = (0..16).map(|n| (format!("sensor_{n:02}"), sensor(n))).collect();
    serde_json::Value::from(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_what_they_are_called() {
        let browser = browser();
        assert_eq!(browser.windows(2).filter(|pair| pair == b"\r\n").count(), 1 + 14 + 1);
        assert!((1_900..2_200).contains(&json_2kib().len()), "{}", json_2kib().len());
        assert_eq!(page().len(), 10 * 1024);
        assert!((32 * 1024..34 * 1024).contains(&report().len()), "{}", report().len());
    }
}

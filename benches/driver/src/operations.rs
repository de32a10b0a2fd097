//! The measured operations, each with its request and the answer that every server must give.

use crate::client::KeyExchange;
use crate::load::{Connections, Job};

pub struct Operation {
    /// The name in JSON, charts and the command line.
    pub name: &'static str,
    pub title: &'static str,
    pub job: Job,
    /// The body of the answer; `None` for 1 MiB of anything.
    pub answer: Option<String>,
}

/// The answer to GET /api/data.
pub const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;

/// The handshake with a key exchange that few servers have.
pub const POST_QUANTUM: &str = "handshake_post_quantum";

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
        Operation { answer: None, ..large },
        Operation { answer: Some(format!("{{\"length\":{MIB}}}")), ..upload },
        Operation { answer: Some("{\"members\":16}".into()), ..json },
        of("block_1ms", "a handler that blocks 1 ms, 64 connections", get("/block"), 64),
    ]
}

fn of(name: &'static str, title: &'static str, request: Vec<u8>, connections: usize) -> Operation {
    let job =
        Job { request, requests: 1, connections, kind: Connections::Kept, key_exchange: KeyExchange::X25519 };
    Operation { name, title, job, answer: Some(DATA.into()) }
}

impl Operation {
    /// One request of the operation, for the check before the run.
    pub fn one_request(&self) -> &[u8] {
        &self.job.request[..self.job.request.len() / self.job.requests]
    }

    pub fn accepts(&self, body: &[u8]) -> bool {
        match &self.answer {
            Some(answer) => body == answer.as_bytes(),
            None => body.len() == MIB,
        }
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
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
    }
}

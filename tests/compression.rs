//! Compression through a real socket: what a client that accepts it gets, and what a body in gzip may do. Needs the feature
//! `compression`.

mod support;

#[path = "support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers;

use std::fs;
use std::io::{self, Read, Write};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};

use lockgate::web::{Compression, Files};
use lockgate::{Error, Request, Response, Router};

use peers::{CURL, PYTHON};
use support::{serve_within, Client, Reply, Serving, Shape};

const TEXT: &str = "temperature 21.5, pressure 1013.2\n";

/// Gives what the test sends it, and ends with the sender.
struct Events(Receiver<&'static str>);

impl Read for Events {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Ok(event) = self.0.recv() else { return Ok(0) };
        out[..event.len()].copy_from_slice(event.as_bytes());
        Ok(event.len())
    }
}

fn router(events: Receiver<&'static str>, files: Files) -> Router {
    let events = Arc::new(Mutex::new(Some(events)));
    let compression = Compression::new();
    let compressed = move |make: Box<dyn Fn(&Request) -> Response + Send + Sync>| {
        let compression = compression.clone();
        move |request: &mut Request| {
            let response = make(request);
            compression.apply(request, response)
        }
    };
    Router::new()
        .get("/text", compressed(Box::new(|request| Response::text(TEXT.repeat(1_000)).with_etag(request))))
        .get("/secret", compressed(Box::new(|_| Response::text(TEXT.repeat(1_000)).never_compressed())))
        .get("/stream", compressed(Box::new(|_| text_stream(io::Cursor::new(TEXT.repeat(10_000))))))
        .get(
            "/events",
            compressed(Box::new(move |_| text_stream(Events(events.lock().unwrap().take().unwrap())))),
        )
        .folder("/files", compressed(Box::new(move |request| files.serve(request))))
        .post("/len", |request: &mut Request| -> Result<String, Error> {
            Ok(io::copy(&mut request.decoded_body(1024 * 1024)?, &mut io::sink())?.to_string())
        })
}

fn text_stream(reader: impl Read + Send + 'static) -> Response {
    Response::reader(reader).with_header("content-type", "text/plain; charset=utf-8")
}

fn ask(serving: &Serving, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut client = serving.connect();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let shape = if method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
    client.try_reply(shape).unwrap()
}

fn start() -> (Serving, std::sync::mpsc::Sender<&'static str>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log.txt"), TEXT.repeat(5_000)).unwrap();
    let (sender, events) = channel();
    let serving =
        serve_within(router(events, Files::dir(dir.path())), |limits| limits.body_bytes = 4 * 1024 * 1024);
    (serving, sender, dir)
}

#[test]
fn curl_gets_the_same_text_compressed_or_not() {
    let test = "curl_gets_the_same_text_compressed_or_not";
    let (serving, _sender, _dir) = start();
    for (path, expected) in [("/text", 1_000), ("/stream", 10_000), ("/files/log.txt", 5_000)] {
        let url = format!("https://localhost:{}{path}", serving.address.port());
        let mut sizes = Vec::new();
        for compressed in [false, true] {
            let out = tempfile::NamedTempFile::new().unwrap();
            let arguments = ["-sS", "--fail", "-4", "--insecure", "-w", "%{size_download}", "-o"];
            let Some(mut curl) = CURL.command(test, &arguments) else { return };
            curl.arg(out.path()).args(compressed.then_some("--compressed")).arg(&url);
            let output = curl.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::read(out.path()).unwrap() == TEXT.repeat(expected).as_bytes(), "{path} {compressed}");
            sizes.push(String::from_utf8_lossy(&output.stdout).parse::<u64>().unwrap());
        }
        assert!(sizes[1] * 10 < sizes[0], "{path}: {sizes:?}");
    }
}

#[test]
fn what_is_sent_compressed_says_so_and_what_must_not_be_is_not() {
    let (serving, _sender, _dir) = start();
    let accepts = ("Accept-Encoding", "gzip, deflate, br");
    let text = ask(&serving, "GET", "/text", &[accepts]);
    assert_eq!((text.field("content-encoding"), text.field("vary")), (Some("gzip"), Some("accept-encoding")));
    assert!(text.body.len() < 1_000 && text.field("content-length").is_some());
    let tag = text.field("etag").unwrap().to_string();
    assert!(tag.starts_with("W/"), "{tag}");
    let again = ask(&serving, "GET", "/text", &[accepts, ("If-None-Match", &tag)]);
    assert_eq!((again.status, again.field("etag")), (304, Some(tag.as_str())));
    let plain = ask(&serving, "GET", "/text", &[]);
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), (None, Some("accept-encoding")));
    assert_eq!(ask(&serving, "GET", "/secret", &[accepts]).field("content-encoding"), None);
    let head = ask(&serving, "HEAD", "/text", &[accepts]);
    assert_eq!((head.field("content-encoding"), head.field("etag")), (Some("gzip"), Some(tag.as_str())));
    // A range is one of the file as it is, and is sent so.
    let part = ask(&serving, "GET", "/files/log.txt", &[accepts, ("Range", "bytes=0-1999")]);
    assert_eq!((part.status, part.field("content-encoding"), part.body.len()), (206, None, 2_000));
    let whole = ask(&serving, "GET", "/files/log.txt", &[accepts]);
    assert_eq!((whole.field("content-encoding"), whole.field("accept-ranges")), (Some("gzip"), None));
    assert_eq!(whole.field("transfer-encoding"), Some("chunked"));
}

#[test]
fn an_event_is_with_the_client_before_the_next_one_is_made() {
    let test = "an_event_is_with_the_client_before_the_next_one_is_made";
    let (serving, sender, _dir) = start();
    let mut client = serving.connect();
    client.send("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
    client.take_until(b"\r\n\r\n").unwrap();
    let mut coded = Vec::new();
    for event in ["one\n", "two\n"] {
        sender.send(event).unwrap();
        coded.extend(chunk(&mut client));
    }
    // Python decodes what has come, and the end has not.
    let script = "import sys, zlib; sys.stdout.buffer.write(zlib.decompressobj(31).decompress(sys.stdin.buffer.read()))";
    let Some(mut python) = PYTHON.command(test, &["-c", script]) else { return };
    let mut python =
        python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&coded).unwrap();
    assert_eq!(python.wait_with_output().unwrap().stdout, b"one\ntwo\n");
}

/// The content of the next chunk.
fn chunk(client: &mut Client) -> Vec<u8> {
    let line = String::from_utf8(client.take_until(b"\r\n").unwrap()).unwrap();
    let size = usize::from_str_radix(line.trim(), 16).unwrap();
    let mut chunk = Vec::new();
    while chunk.len() < size + 2 {
        chunk.extend(client.take_until(b"\n").unwrap());
    }
    chunk.truncate(size);
    chunk
}

#[test]
fn a_body_in_gzip_is_decoded_within_a_limit() {
    let test = "a_body_in_gzip_is_decoded_within_a_limit";
    let (serving, _sender, _dir) = start();
    // So many zeros, compressed; and the same of it a hundred times, which is a gigabyte.
    let script = "import sys, gzip; sys.stdout.buffer.write(gzip.compress(bytes(int(sys.argv[1]))) * int(sys.argv[2]))";
    for (zeros, times, expected) in [("1000000", "1", 200), ("1048577", "1", 413), ("10485760", "100", 413)] {
        let Some(mut python) = PYTHON.command(test, &["-c", script, zeros, times]) else { return };
        let body = python.output().unwrap().stdout;
        let mut client = serving.connect();
        let length = body.len();
        let head = format!("POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
        // A server that has refused takes no more.
        let _ = client.try_send(&[head.as_bytes(), &body].concat());
        let reply = client.reply();
        assert_eq!(reply.status, expected, "{zeros} {times}");
        if expected == 200 {
            assert_eq!(reply.text(), zeros);
        }
    }
    let mut client = serving.connect();
    client.send(
        "POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
    );
    assert_eq!(client.reply().status, 400);
    let mut client = serving.connect();
    client.send(
        "POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nplain",
    );
    assert_eq!(client.reply().status, 415);
}

//! Bodies arrive byte for byte in both directions, a cut body is never taken for a whole one, and JSON is read strictly.

mod support;

use std::io::{self, Read};
use std::sync::Arc;

use lockgate::{Error, Limits, Problem, Request, Response, Router, StatusCode};
use serde_json::{json, Value};

use support::{chunked, get, noise, post, serve, serve_within, Client, End, Serving, Shape};

const MIB: usize = 1024 * 1024;

fn large_bodies(limits: &mut Limits) {
    limits.body_bytes = 16 * MIB as u64;
}

fn echo() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .post("/bytes", |request: &mut Request| request.bytes().map(Response::bytes))
        .post("/pieces", |request: &mut Request| -> Result<Response, Error> {
            let (mut all, mut piece) = (Vec::new(), [0; 777]);
            loop {
                match request.body().read(&mut piece)? {
                    0 => return Ok(Response::bytes(all)),
                    read => all.extend_from_slice(&piece[..read]),
                }
            }
        })
        .post("/twice", |request: &mut Request| -> Result<String, Error> {
            let first = request.bytes()?.len();
            Ok(format!("{first} {}", request.bytes()?.len()))
        })
        .post("/some", |request: &mut Request| -> Result<Response, Error> {
            let mut some = vec![0; 100];
            request.body().read_exact(&mut some)?;
            Ok(Response::bytes(some))
        })
}

fn in_chunks(path: &str, body: &[u8], size: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.into_bytes(), chunked(body, size)].concat()
}

#[test]
fn a_body_arrives_byte_for_byte_whatever_its_size_framing_and_reader() {
    let serving = serve_within(echo(), large_bodies);
    let mut client = serving.connect();
    // Around the sizes of a record, of the input's buffer, of what is kept in memory, and well over all.
    for length in [0, 1, 16_383, 16_384, 17_408, 17_409, 65_535, 65_536, 65_537, MIB, 3 * MIB + 1] {
        let body = noise(length);
        for path in ["/bytes", "/pieces"] {
            for request in [post(path, &body), in_chunks(path, &body, 1000), in_chunks(path, &body, 100_000)]
            {
                // What follows must be found where it begins.
                client.send([request, get("/").into_bytes()].concat());
                let reply = client.reply();
                assert_eq!(reply.status, 200, "{length} {path}");
                assert!(reply.body == body, "{length} {path}");
                assert_eq!(client.reply().text(), "root", "{length} {path}");
            }
        }
    }
}

#[test]
fn a_body_in_tiny_chunks_arrives_as_well() {
    let serving = serve_within(echo(), large_bodies);
    let body = noise(200_000);
    let mut client = serving.connect();
    client.send(in_chunks("/bytes", &body, 1));
    assert!(client.reply().body == body);
    assert_eq!(client.get("/").text(), "root");
}

#[test]
fn a_body_is_read_once() {
    let serving = serve(echo());
    for length in [10, 100_000] {
        let mut client = serving.connect();
        client.send(post("/twice", &noise(length)));
        assert_eq!(client.reply().text(), format!("{length} 0"));
    }
}

#[test]
fn what_a_handler_leaves_of_a_body_never_becomes_a_request() {
    let serving = serve(echo());
    let body = get("/").repeat(3000).into_bytes();
    for request in [post("/some", &body), in_chunks("/some", &body, 5000), post("/some", &body[..5000])] {
        let mut client = serving.connect();
        client.send([request, get("/").into_bytes()].concat());
        let reply = client.reply();
        assert!(reply.body == body[..100]);
        if !reply.closes() {
            assert_eq!(client.reply().text(), "root");
            client.finish();
        }
        client.expect_goodbye();
    }
}

#[test]
fn a_body_that_ends_early_is_an_error_in_the_handler_and_no_success_for_the_client() {
    let serving = serve(echo());
    let body = noise(200_000);
    for request in [post("/pieces", &body), in_chunks("/pieces", &body, 5000)] {
        for end in [Client::finish, Client::leave] {
            let mut client = serving.connect();
            client.send(&request[..150_000]);
            end(&mut client);
            let reply = client.reply();
            assert_eq!((reply.status, reply.closes()), (400, true));
            reply.problem();
        }
        let mut client = serving.connect();
        client.send(&request[..150_000]);
        client.reset();
    }
    let mut broken = in_chunks("/pieces", &body, 5000);
    broken[150_000..].fill(b'?');
    let mut client = serving.connect();
    client.send(broken);
    assert_eq!(client.reply().status, 400);
    client.expect_goodbye();
    assert_eq!(serving.get("/").text(), "root");
}

/// A source that gives what it has in pieces of another size than it is asked for, interrupted after each.
struct Uneven {
    content: Arc<[u8]>,
    at: usize,
    interrupted: bool,
}

impl Read for Uneven {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = out.len().min(self.content.len() - self.at).min(1 + self.at % 9999);
        out[..length].copy_from_slice(&self.content[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn download(content: &Arc<[u8]>) -> Serving {
    let source = |content: &Arc<[u8]>| Uneven { content: content.clone(), at: 0, interrupted: false };
    let (unknown, known, short, long) = (content.clone(), content.clone(), content.clone(), content.clone());
    let length = content.len() as u64;
    let router = Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/unknown", move |_: &mut Request| Response::reader(source(&unknown)))
        .get("/known", move |_: &mut Request| Response::reader_with_length(source(&known), length))
        .get("/short", move |_: &mut Request| Response::reader_with_length(source(&short), length + 1))
        .get("/long", move |_: &mut Request| Response::reader_with_length(source(&long), length / 2))
        .get("/nothing", |_: &mut Request| Response::reader(io::empty()))
        .get("/none", |_: &mut Request| Response::reader_with_length(io::empty(), 0));
    serve(router)
}

#[test]
fn a_response_from_a_reader_arrives_byte_for_byte() {
    let content: Arc<[u8]> = noise(3 * MIB + 1).into();
    let serving = download(&content);
    let mut client = serving.connect();
    for path in ["/unknown", "/known"] {
        client.send(get(path) + &get("/"));
        let reply = client.reply();
        assert_eq!(reply.field("transfer-encoding").is_some(), path == "/unknown");
        assert!(reply.body == *content, "{path}");
        assert_eq!(client.reply().text(), "root");
    }
    for path in ["/nothing", "/none"] {
        assert!(client.get(path).body.is_empty());
    }
    // What the reader has beyond the length stays with it.
    assert!(client.get("/long").body == content[..content.len() / 2]);
    assert_eq!(client.get("/").text(), "root");

    let mut old = serving.connect();
    old.send("GET /unknown HTTP/1.0\r\n\r\n");
    let reply = old.reply();
    assert!(reply.closes() && reply.body == *content);
}

#[test]
fn a_reader_that_ends_early_cuts_the_connection_without_a_clean_end() {
    for length in [10, 3 * MIB] {
        let serving = download(&noise(length).into());
        let mut client = serving.connect();
        client.send(get("/short") + &get("/"));
        let ended = client.try_reply(Shape::WithBody).map(|reply| reply.body.len());
        assert!(matches!(ended, Err(End::Cut | End::Reset)), "{ended:?}");
        assert_eq!(serving.get("/").text(), "root");
    }
}

#[test]
fn a_large_response_in_memory_arrives_byte_for_byte() {
    let content = noise(5 * MIB);
    let there = content.clone();
    let serving = serve(Router::new().get("/", move |_: &mut Request| Response::bytes(there.clone())));
    let mut client = serving.connect();
    client.send(get("/").repeat(2));
    for _ in 0..2 {
        assert!(client.reply().body == content);
    }
}

fn json_router() -> Router {
    Router::new()
        .post("/echo", |request: &mut Request| -> Result<Value, Error> { request.json() })
        .post("/numbers", |request: &mut Request| -> Result<Response, Error> {
            let numbers: Vec<u32> = request.json()?;
            Ok(Response::json(&json!({"sum": numbers.iter().sum::<u32>()})))
        })
        .get("/problem", |_: &mut Request| {
            Problem::new(StatusCode::CONFLICT).detail("It is being calibrated.").member("retry", 30)
        })
        .get("/teapot", |_: &mut Request| StatusCode::IM_A_TEAPOT)
        .get("/created", |_: &mut Request| (StatusCode::CREATED, json!({"id": 7})))
}

fn post_json(path: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{media_type}Content-Length: {length}\r\n\r\n{body}")
}

#[test]
fn json_is_read_and_written_and_what_is_none_is_refused_with_the_right_status() {
    let serving = serve(json_router());
    let mut client = serving.connect();
    let json_type = "Content-Type: application/json\r\n";
    for (path, media_type, body, status) in [
        ("/numbers", json_type, "[1, 2, 3]", 200),
        ("/numbers", "Content-Type: application/json; charset=utf-8\r\n", "[1, 2, 3]", 200),
        // Another site's page can send it, and no browser asks first.
        ("/numbers", "", "[1, 2, 3]", 415),
        ("/numbers", "Content-Type: text/plain\r\n", "[1, 2, 3]", 415),
        ("/numbers", "Content-Type: application/x-www-form-urlencoded\r\n", "a=1", 415),
        ("/numbers", json_type, "", 400),
        ("/numbers", json_type, "[1, 2", 400),
        ("/numbers", json_type, "[1, 2] 3", 400),
        ("/numbers", json_type, "{\"a\": 1}", 422),
        ("/numbers", json_type, "[-1]", 422),
    ] {
        client.send(post_json(path, media_type, body));
        let reply = client.reply();
        assert_eq!(reply.status, status, "{media_type}{body}");
        if status == 200 {
            assert_eq!(reply.field("content-type"), Some("application/json"));
            assert_eq!(reply.text(), "{\"sum\":6}");
        } else {
            assert!(reply.problem()["detail"].is_string());
            // The connection has nothing to do with what a body means.
            assert!(!reply.closes());
        }
    }
    let value = json!({"a": [1, null, "ä\"\\\n"], "b": {"c": 1.5}});
    client.send(post_json("/echo", json_type, &value.to_string()));
    assert_eq!(serde_json::from_slice::<Value>(&client.reply().body).unwrap(), value);
}

#[test]
fn a_large_json_body_is_read_from_the_connection() {
    let serving = serve(json_router());
    let numbers: Vec<u32> = vec![1; 100_000];
    let mut client = serving.connect();
    let json_type = "Content-Type: application/json\r\n";
    client.send(post_json("/numbers", json_type, &json!(numbers).to_string()));
    assert_eq!(client.reply().text(), "{\"sum\":100000}");
    client.send(post_json("/numbers", json_type, &format!("[{}x", " ".repeat(200_000))));
    assert_eq!(client.reply().status, 400);
}

#[test]
fn json_has_a_limit_of_its_own_below_what_the_server_takes() {
    let serving = serve_within(json_router(), large_bodies);
    let json_type = "Content-Type: application/json\r\n";
    let mut client = serving.connect();
    client.send(post_json("/numbers", json_type, &format!("[{}]", " ".repeat(2 * MIB))));
    assert_eq!(client.reply().status, 413);
}

#[test]
fn errors_are_problem_documents() {
    let serving = serve(json_router());
    let mut client = serving.connect();
    let problem = client.get("/problem");
    let expected =
        json!({"title": "Conflict", "status": 409, "detail": "It is being calibrated.", "retry": 30});
    assert_eq!((problem.status, problem.problem()), (409, expected));
    for (path, status) in [("/teapot", 418), ("/missing", 404), ("/echo", 405), ("/%zz", 400)] {
        let reply = client.get(path);
        assert_eq!(reply.status, status);
        reply.problem();
    }
    let created = client.get("/created");
    assert_eq!((created.status, created.text()), (201, "{\"id\":7}"));
}

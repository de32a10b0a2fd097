//! The access log: each response to a request leaves exactly one line. A value that is not known is `-`.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use lockgate::{Error, Limits, Request, Response, Router, Server};

use support::{await_lines, connect_plain, get, identity, lines, post, serve_as, Serving, Shape};

/// Gives a little and then fails, as `how` says.
struct Breaks {
    how: fn(),
}

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        (self.how)();
        Err(std::io::Error::other("the sensor is gone"))
    }
}

fn breaks(how: fn()) -> Response {
    Response::reader(std::io::repeat(b'x').take(100_000).chain(Breaks { how }))
}

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/reader/panics", |_: &mut Request| breaks(|| panic!("as the test wants it")))
        .get("/reader/fails", |_: &mut Request| breaks(|| ()))
        .get("/endless", |_: &mut Request| Response::reader(std::io::repeat(b'x')))
        .get("/panics", |_: &mut Request| -> Response { panic!("as the test wants it") })
        .post("/", |request: &mut Request| -> Result<String, Error> {
            Ok(request.bytes()?.len().to_string())
        })
}

fn serving(change: impl FnOnce(&mut Limits)) -> Serving {
    let mut limits = Limits::default();
    change(&mut limits);
    serve_as(Server::builder(router()).identity(identity()).limits(limits).access_log(true))
}

/// The lines of the access log about a client, once there are so many, without the time that each took.
fn lines_about(client: std::net::SocketAddr, count: usize) -> Vec<String> {
    let end = format!(" {client} ");
    let of_client = await_lines(count, |line| line.contains(&end) && line.contains("us "));
    let without_time = |line: String| {
        let words = line.split(' ').filter(|word| !word.ends_with("us") && *word != client.to_string());
        words.collect::<Vec<_>>().join(" ")
    };
    of_client.into_iter().map(without_time).collect()
}

fn assert_line(serving: &Serving, sent: impl AsRef<[u8]>, expected: &str) {
    let mut client = serving.connect();
    client.send(sent);
    let shape = if expected.starts_with("HEAD") { Shape::HeadOnly } else { Shape::WithBody };
    let reply = client.try_reply(shape).unwrap();
    let lines = lines_about(client.address(), 1);
    let expected = expected.replace("BODY", &reply.body.len().to_string());
    assert_eq!(lines, [format!("{expected} TLSv1.3")]);
}

#[test]
fn each_answer_leaves_one_line_refusals_too() {
    let serving = serving(|limits| {
        limits.body_bytes = 1_000;
        limits.head_bytes = 1_000;
        limits.head_fields = 3;
        limits.body_buffer_bytes = 100;
    });
    let long = "a".repeat(2_000);
    let host = "Host: localhost\r\n";
    for (sent, expected) in [
        (get("/?secret"), "GET / 200 BODY"),
        (get("/missing"), "GET /missing 404 BODY"),
        (get("/%zz"), "GET /%zz 400 BODY"),
        (get("/panics"), "GET /panics 500 BODY"),
        (format!("DELETE / HTTP/1.1\r\n{host}\r\n"), "DELETE / 405 BODY"),
        (format!("HEAD / HTTP/1.1\r\n{host}\r\n"), "HEAD / 200 0"),
        (format!("POST /?secret HTTP/1.1\r\n{host}Content-Length: 9999\r\n\r\n"), "POST / 413 BODY"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nx\r\n"), "POST / 400 BODY"),
        (format!("GET /a?secret HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), "GET /a 431 BODY"),
        (format!("GET /a HTTP/1.1\r\n{host}A: 1\r\nB: 1\r\nC: 1\r\n\r\n"), "GET /a 431 BODY"),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), "GET - 414 BODY"),
        (format!("HEAD /a?secret HTTP/1.1\r\nX: {long}\r\n\r\n"), "HEAD /a 431 0"),
        ("GET /a HTTP/1.1\r\n\r\n".to_string(), "GET /a 400 BODY"),
        ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n".to_string(), "GET /a 505 BODY"),
        ("GET //evil HTTP/1.1\r\nHost: a\r\n\r\n".to_string(), "GET - 400 BODY"),
        ("GET https://a/b?secret HTTP/1.1\r\n\r\n".to_string(), "GET /b 400 BODY"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_string(), "- - 400 BODY"),
        ("G\x1bT / HTTP/1.1\r\n\r\n".to_string(), "- / 400 BODY"),
        (format!("POST / HTTP/1.1\r\n{host}Expect: x\r\n\r\n"), "POST / 417 BODY"),
    ] {
        assert_line(&serving, sent, expected);
    }
    assert!(lines(|line| line.contains("secret")).is_empty());

    // Over plain HTTP to the port of HTTPS.
    let mut plain = connect_plain(serving.address).unwrap();
    plain.write_all(get("/").as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.len();
    assert_eq!(lines_about(plain.local_addr().unwrap(), 1), [format!("- - 400 {body} -")]);
}

#[test]
fn requests_behind_each_other_leave_a_line_each() {
    let serving = serving(|_| {});
    let mut client = serving.connect();
    client.send([get("/").repeat(3).into_bytes(), b"GET //x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].concat());
    for status in [200, 200, 200, 400] {
        assert_eq!(client.reply().status, status);
    }
    let said = lines_about(client.address(), 4);
    assert_eq!(said[..3], ["GET / 200 4 TLSv1.3"; 3]);
    assert!(said.len() == 4 && said[3].starts_with("GET - 400 "), "{said:?}");
}

#[test]
fn too_many_requests_and_late_ones_leave_lines() {
    let often = serving(|limits| {
        limits.requests_per_address = 1;
        limits.count_loopback = true;
    });
    let mut client = often.connect();
    client.send(get("/").repeat(9));
    let statuses: Vec<u16> = (0..9).map(|_| client.reply().status).collect();
    let said = lines_about(client.address(), 9);
    let logged = said.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap());
    assert_eq!(logged.collect::<Vec<u16>>(), statuses);
    assert!(statuses.contains(&429), "{statuses:?}");

    let late = serving(|limits| {
        limits.head_timeout = Duration::from_millis(100);
        limits.body_timeout = Duration::from_millis(100);
        limits.body_min_rate = 1_000_000;
    });
    assert_line(&late, "GET /a HTTP/1.1\r\nHos", "GET /a 408 BODY");
    assert_line(&late, "GET /a", "GET - 408 BODY");
    assert_line(&late, &post("/", b"abc")[..50], "POST / 408 BODY");
}

#[test]
fn an_answer_that_is_cut_leaves_a_line_that_says_so() {
    let serving = serving(|limits| limits.write_timeout = Duration::from_millis(300));
    for path in ["/reader/panics", "/reader/fails"] {
        let mut client = serving.connect();
        client.send(get(path));
        let _ = client.rest();
        let said = lines_about(client.address(), 1);
        assert_eq!(said, [format!("GET {path} 200 100000 TLSv1.3 cut")]);
    }
    // Nobody reads it.
    let mut client = serving.connect();
    client.send(get("/endless"));
    let said = lines_about(client.address(), 1);
    assert!(said[0].starts_with("GET /endless 200 ") && said[0].ends_with(" TLSv1.3 cut"), "{said:?}");
    drop(client);
    // The client resets.
    let mut client = serving.connect();
    let address = client.address();
    client.send(get("/endless"));
    client.receive().unwrap();
    client.reset();
    let said = lines_about(address, 1);
    assert!(said.len() == 1 && said[0].ends_with(" TLSv1.3 cut"), "{said:?}");
}

//! `ServerBuilder::http_router`: some paths of the plain port are answered by the program in clear, everything else is redirected,
//! and the bounds of the redirect hold whatever the program's handlers do.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use lockgate::{
    Error, HttpCredentials, Limits, Next, Request, Response, Router, Server, ServerBuilder, StatusCode,
};

use support::{await_lines, connect_plain, get, identity, lines, noise, serve_as, Gate, Serving};

const CA: &str = "-----BEGIN CERTIFICATE-----";
/// Larger than an answer made for its request may be.
const LARGE: usize = 300 * 1024;

/// A server whose HTTPS answers `secret`, and whose plain port has this router.
fn builder(in_clear: Router) -> ServerBuilder {
    let router =
        Router::new().get("/ca.pem", |_: &mut Request| "secret").post("/ca.pem", |_: &mut Request| "secret");
    Server::builder(router).identity(identity()).public_port(443).http_router(in_clear)
}

fn serve(in_clear: Router) -> Serving {
    serve_as(builder(in_clear))
}

/// The whole answer of the plain port to these bytes.
fn ask(serving: &Serving, sent: impl AsRef<[u8]>) -> String {
    let mut plain = connect_plain(serving.redirect).unwrap();
    plain.write_all(sent.as_ref()).unwrap();
    rest(&mut plain)
}

fn rest(plain: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(request_line: &str, fields: &str) -> String {
    format!("{request_line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn status_of(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn onboarding() -> Router {
    Router::new()
        .get("/", |_: &mut Request| {
            Response::text("<p>Trust it.</p>").with_header("content-type", "text/html")
        })
        .get("/ca.pem", |_: &mut Request| {
            Response::text(CA).with_header("content-type", "application/x-pem-file")
        })
        .get("/files/{name}", |request: &mut Request| request.param("name").map(String::from))
}

#[test]
fn paths_of_the_router_are_answered_in_clear_and_everything_else_is_redirected() {
    let serving = serve(onboarding());
    let answer = ask(&serving, get("/ca.pem?a=b"));
    assert!(answer
        .starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/x-pem-file\r\ncontent-length: 27\r\n"));
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.contains("\r\ndate: "), "{answer}");
    assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n") && answer.ends_with(CA), "{answer}");
    assert!(ask(&serving, get("/")).ends_with("\r\n\r\n<p>Trust it.</p>"));
    assert!(ask(&serving, get("/files/a%20b")).ends_with("\r\n\r\na b"));
    let head = ask(&serving, request("HEAD /ca.pem", ""));
    assert!(head.contains("\r\ncontent-length: 27\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    // HTTP/1.0 without a host, and a host that is not the server's own: nothing depends on it.
    assert!(ask(&serving, "GET /ca.pem HTTP/1.0\r\n\r\n").ends_with(CA));
    assert!(ask(&serving, "GET /ca.pem HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n").ends_with(CA));

    for (request_line, status, path) in [
        ("GET /other", 301, "/other"),
        ("GET /files/", 301, "/files/"),
        ("POST /ca.pem", 308, "/ca.pem"),
        ("DELETE /ca.pem", 308, "/ca.pem"),
        ("OPTIONS /ca.pem", 308, "/ca.pem"),
        ("BREW /ca.pem", 308, "/ca.pem"),
        ("OPTIONS *", 308, "/"),
    ] {
        let answer = ask(&serving, request(request_line, ""));
        assert_eq!(status_of(&answer), status, "{request_line}: {answer}");
        assert!(
            answer.contains(&format!("\r\nlocation: https://localhost{path}\r\n")),
            "{request_line}: {answer}"
        );
    }
    for (request_line, status) in [("GET /files/%zz", 400), ("GET //evil", 400), ("GET /ca.pem x", 400)] {
        assert_eq!(status_of(&ask(&serving, request(request_line, ""))), status, "{request_line}");
    }
    assert_eq!(status_of(&ask(&serving, "GET /other HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 421);
    // The port of HTTPS has routes of its own.
    assert_eq!(serving.get("/ca.pem").text(), "secret");
    assert_eq!(serving.get("/").status, 404);
}

#[test]
fn a_request_has_its_peer_its_values_its_server_and_its_layers_here_too() {
    #[derive(Clone)]
    struct Seven(u8);
    let in_clear = onboarding()
        .get("/peer", |request: &mut Request| request.peer().map(|peer| peer.to_string()))
        .get("/health", |request: &mut Request| Response::json(&request.handle().health().to_json()))
        .get("/stops", |request: &mut Request| {
            (request.is_stopping() || request.client_is_gone()).to_string()
        })
        .get("/seven", |request: &mut Request| {
            request.extensions().get::<Seven>().map(|seven| seven.0.to_string())
        })
        .get("/field", |request: &mut Request| request.header("x-field").map(String::from))
        .fallback(|request: &mut Request| (StatusCode::NOT_FOUND, format!("none {}", request.path())))
        .with(|request: &mut Request, next: Next| {
            request.extensions_mut().insert(Seven(7));
            next.run(request).with_header("x-layer", "clear")
        });
    let builder = builder(in_clear).on_response(|_, response| response.set_header("x-tls", "1"));
    let serving = serve_as(builder);
    let mut plain = connect_plain(serving.redirect).unwrap();
    plain.write_all(get("/peer").as_bytes()).unwrap();
    assert!(rest(&mut plain).ends_with(&format!("\r\n\r\n{}", plain.local_addr().unwrap())));
    let health = ask(&serving, get("/health"));
    assert!(health.contains("\"localhost\"") && health.contains("\"draining\":false"), "{health}");
    assert!(ask(&serving, get("/stops")).ends_with("\r\n\r\nfalse"));
    let seven = ask(&serving, get("/seven"));
    assert!(seven.ends_with("\r\n\r\n7") && seven.contains("\r\nx-layer: clear\r\n"), "{seven}");
    assert!(!seven.contains("x-tls"), "{seven}");
    assert!(ask(&serving, request("GET /field", "X-Field: 8\r\n")).ends_with("\r\n\r\n8"));
    // A fallback answers all that no route of the router has, so nothing else is redirected.
    let none = ask(&serving, get("/none"));
    assert!(status_of(&none) == 404 && none.ends_with("none /none"), "{none}");
}

#[test]
fn credentials_in_clear_are_warned_of_or_refused_before_a_handler_is_called() {
    let called = Arc::new(AtomicUsize::new(0));
    let router = || {
        let called = called.clone();
        Router::new().get("/", move |_: &mut Request| {
            called.fetch_add(1, Ordering::SeqCst);
            "answered"
        })
    };
    let leaking = request("GET /", "Authorization: Bearer s3cret\r\n");
    let warning = serve(router());
    let mut plain = connect_plain(warning.redirect).unwrap();
    plain.write_all(leaking.as_bytes()).unwrap();
    assert!(rest(&mut plain).ends_with("answered"));
    let about = format!("{}: ", plain.local_addr().unwrap());
    let said = await_lines(1, |line| line.starts_with(&about) && line.contains("authorization"));
    assert_eq!(said.len(), 1, "{said:?}");

    let refusing = serve_as(builder(router()).http_credentials(HttpCredentials::Refuse));
    let answer = ask(&refusing, leaking);
    assert!(status_of(&answer) == 403 && !answer.contains("s3cret"), "{answer}");
    assert_eq!(status_of(&ask(&refusing, request("GET /?access_token=s3cret", ""))), 403);
    assert!(ask(&refusing, get("/")).ends_with("answered"));
    assert_eq!(called.load(Ordering::SeqCst), 2);
    assert!(lines(|line| line.contains("s3cret")).is_empty());
}

#[test]
fn a_request_with_content_is_refused_and_what_follows_a_head_is_no_request() {
    let called = Arc::new(AtomicUsize::new(0));
    let counts = called.clone();
    let serving = serve(Router::new().post("/", move |request: &mut Request| -> Result<String, Error> {
        counts.fetch_add(1, Ordering::SeqCst);
        Ok(format!("{} bytes", request.bytes()?.len()))
    }));
    for fields in
        ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 99999999999\r\n"]
    {
        let answer = ask(&serving, request("POST /", fields) + "5\r\nabcde\r\n0\r\n\r\n");
        assert!(status_of(&answer) == 413 && answer.contains("send it over HTTPS"), "{answer}");
    }
    for fields in ["Content-Length: 0\r\n", ""] {
        let answer = ask(&serving, request("POST /", fields) + &request("POST /", ""));
        assert!(answer.ends_with("\r\n\r\n0 bytes") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    }
    assert_eq!(called.load(Ordering::SeqCst), 2);
}

/// Gives nothing but a panic.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("the reader of http_router.rs")
    }
}

#[test]
fn streams_and_large_answers_are_not_sent_in_clear_and_the_log_says_so() {
    let large: &'static [u8] = noise(3_000_000).leak();
    let text = std::str::from_utf8(b"x".repeat(2_000_000).leak()).unwrap();
    let in_clear = Router::new()
        .get("/stream", |_: &mut Request| Response::reader(&b"streamed"[..]))
        .get("/endless", |_: &mut Request| Response::reader(std::io::repeat(b'x')))
        .get("/large", |_: &mut Request| Response::bytes(noise(LARGE)))
        .get("/file", |_: &mut Request| Response::reader_with_length(&b"a file and more"[..], 6))
        .get("/large-file", move |_: &mut Request| Response::reader_with_length(large, LARGE as u64))
        .get("/short", |_: &mut Request| Response::reader_with_length(&b"short"[..], 60))
        .get("/broken", |_: &mut Request| Response::reader_with_length(Broken, 60))
        .get("/static", move |_: &mut Request| text)
        .get("/exact", |_: &mut Request| Response::bytes(vec![b'x'; 256 * 1024]))
        .get("/panics", |_: &mut Request| -> String { panic!("the handler of http_router.rs") })
        .get("/interim", |_: &mut Request| StatusCode::CONTINUE)
        .get("/nothing", |_: &mut Request| StatusCode::NO_CONTENT)
        .get("/bad", |_: &mut Request| Response::text("x").with_header("x-bad", "a\r\nb"));
    let serving = serve(in_clear);
    for (path, status, kind) in [
        ("/stream", 500, "for GET /stream is a stream"),
        ("/endless", 500, "for GET /endless is a stream"),
        ("/large", 500, "for GET /large is larger than 256 KiB"),
        ("/large-file", 500, "for GET /large-file is larger than 256 KiB"),
        ("/short", 500, "has failed"),
        ("/broken", 500, "the reader of http_router.rs"),
        ("/panics", 500, "the handler of http_router.rs"),
        ("/interim", 500, "GET /interim answered with 100"),
        ("/bad", 500, "set x-bad"),
    ] {
        let answer = ask(&serving, get(path));
        assert_eq!(status_of(&answer), status, "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
        assert!(!await_lines(1, |line| line.contains(kind)).is_empty(), "{path}");
    }
    assert_eq!(status_of(&ask(&serving, request("HEAD /stream", ""))), 500);
    let nothing = ask(&serving, get("/nothing"));
    assert!(nothing.starts_with("HTTP/1.1 204 ") && nothing.ends_with("\r\n\r\n"), "{nothing}");
    let file = ask(&serving, get("/file"));
    assert!(file.contains("\r\ncontent-length: 6\r\n") && file.ends_with("\r\n\r\na file"), "{file}");
    for (path, length) in [("/static", 2_000_000), ("/exact", 256 * 1024)] {
        let answer = ask(&serving, get(path));
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(body.len() == length && body.bytes().all(|byte| byte == b'x'), "{path}: {}", body.len());
        assert!(answer.contains(&format!("\r\ncontent-length: {length}\r\n")), "{path}");
        let head = ask(&serving, request(&format!("HEAD {path}"), ""));
        assert!(
            head.contains(&format!("\r\ncontent-length: {length}\r\n")) && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }
}

#[test]
fn a_handler_that_blocks_stops_no_redirect_and_is_answered_for_in_time() {
    let gate = Gate::new();
    let inside = gate.clone();
    let in_clear = onboarding().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let mut limits = Limits::default();
    // The time of a connection to the plain port.
    limits.head_timeout = Duration::from_millis(1_500);
    let serving = serve_as(builder(in_clear).limits(limits));
    let ask_for = |path: &str| {
        let mut plain = connect_plain(serving.redirect).unwrap();
        plain.write_all(get(path).as_bytes()).unwrap();
        plain
    };
    let (mut first, mut second) = (ask_for("/wait"), ask_for("/wait"));
    // Both are inside although they came behind each other.
    gate.wait_for(2);
    let mut third = ask_for("/ca.pem");
    assert_eq!(status_of(&ask(&serving, get("/other"))), 301);
    assert_eq!(serving.get("/ca.pem").text(), "secret");
    for blocked in [&mut first, &mut second, &mut third] {
        let answer = rest(blocked);
        assert!(status_of(&answer) == 503 && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    }
    gate.open();
    let answers = (0..3).map(|_| ask(&serving, get("/ca.pem")));
    answers.for_each(|answer| assert!(answer.ends_with(CA), "{answer}"));
}

#[test]
fn so_many_requests_wait_for_a_handler_and_the_next_is_refused_at_once() {
    const PLACES: usize = 2 + 64;
    let gate = Gate::new();
    let inside = gate.clone();
    let serving = serve(Router::new().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    }));
    let mut waiting: Vec<TcpStream> = Vec::new();
    let mut refused = 0;
    for number in 0..PLACES + 3 {
        let mut plain = connect_plain(serving.redirect).unwrap();
        plain.write_all(get("/wait").as_bytes()).unwrap();
        if number < 2 {
            gate.wait_for(number + 1);
        } else if number >= PLACES {
            let answer = rest(&mut plain);
            assert!(status_of(&answer) == 503 && answer.contains("too much is asked for"), "{answer}");
            refused += 1;
        } else {
            // It was handed over before this is answered.
            assert_eq!(status_of(&ask(&serving, get("/other"))), 301);
        }
        waiting.push(plain);
    }
    assert_eq!(refused, 3);
    gate.open();
    for plain in &mut waiting[..PLACES] {
        // On a slow machine the time of the first may be over.
        let answer = rest(plain);
        assert!(answer.ends_with("waited") || answer.contains("not made in time"), "{answer}");
    }
}

#[test]
fn clients_that_leave_while_a_handler_works_cost_nobody_anything() {
    let gate = Gate::new();
    let inside = gate.clone();
    let in_clear = onboarding().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let serving = serve(in_clear);
    let leave = |how: Option<Shutdown>| {
        let mut plain = connect_plain(serving.redirect).unwrap();
        plain.write_all(get("/wait").as_bytes()).unwrap();
        if let Some(how) = how {
            plain.shutdown(how).unwrap();
        }
        plain
    };
    let (gone, mut half_closed) = (leave(None), leave(Some(Shutdown::Write)));
    gate.wait_for(2);
    support::reset(gone);
    gate.open();
    assert!(rest(&mut half_closed).ends_with("waited"));
    assert!(ask(&serving, get("/ca.pem")).ends_with(CA));
}

#[test]
fn a_stop_waits_for_no_handler_of_the_plain_port() {
    let gate = Gate::new();
    let inside = gate.clone();
    let in_clear = Router::new()
        .get("/wait", move |_: &mut Request| {
            inside.pass();
            "waited"
        })
        .get("/quick", |_: &mut Request| "quick");
    let serving = serve(in_clear);
    let mut blocked = connect_plain(serving.redirect).unwrap();
    blocked.write_all(get("/wait").as_bytes()).unwrap();
    gate.wait_for(1);
    serving.handle.stop();
    assert_eq!(status_of(&rest(&mut blocked)), 503);
    serving.join().unwrap();
    gate.open();
}

#[test]
fn a_handler_of_the_plain_port_that_stops_the_server_is_answered() {
    let serving = serve(Router::new().get("/stop", |request: &mut Request| {
        request.handle().stop();
        request.is_stopping().to_string()
    }));
    assert!(ask(&serving, get("/stop")).ends_with("\r\n\r\ntrue"));
    serving.join().unwrap();
}

#[test]
fn a_router_that_cannot_be_served_is_named_before_anything_is_opened() {
    let bound = |builder: ServerBuilder| builder.https("127.0.0.1:0").bind().unwrap_err();
    let error = bound(builder(onboarding()));
    assert!(matches!(&error, Error::Setting { setting: "http_router", .. }), "{error:?}");
    assert!(error.to_string().contains("redirect_http"), "{error}");
    let error = bound(builder(onboarding().get("x", |_: &mut Request| "")).redirect_http("127.0.0.1:0"));
    assert!(matches!(error, Error::Route { .. }) && error.to_string().contains("GET x"), "{error}");
}

//! `ServerBuilder::on_response`: every answer that leaves the HTTPS port passes the program's function once, the server's own
//! refusals too, and the function can change fields but not break the framing.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use lockgate::{
    Error, FieldNames, HeaderValue, Limits, Next, Request, Response, ResponseHead, Router, Seen, Server,
    ServerBuilder, StatusCode,
};

use support::{
    await_lines, chunked, connect_plain, get, identity, lines, noise, post, serve_as, Client, End, Gate,
    Reply, Serving, Shape,
};

const APP: &str = "https://app.example";
/// The fields that nearly all requests have here.
const HOST: &str = "Host: localhost\r\nOrigin: https://app.example\r\n";
const SHORT: Duration = Duration::from_millis(300);

/// Fields that browsers need on errors too, and an attempt on everything that frames a response.
fn fields(seen: &Seen, response: &mut ResponseHead) {
    let method = seen.method().map_or("-", |method| method.as_str());
    let told = format!("{method} {} {}", seen.path().unwrap_or("-"), response.status().as_u16());
    response.append_header("x-seen", told);
    response.set_header("strict-transport-security", "max-age=31536000");
    if seen.header("origin") == Some(APP) {
        response.set_header("access-control-allow-origin", APP);
    }
    response.set_header("content-length", "3");
    response.append_header("content-length", "4");
    response.set_header("transfer-encoding", "gzip, chunked");
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response.headers_mut().insert("keep-alive", HeaderValue::from_static("timeout=1"));
}

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/nothing", |_: &mut Request| StatusCode::NO_CONTENT)
        .get("/same", |_: &mut Request| StatusCode::NOT_MODIFIED)
        .get("/stream", |_: &mut Request| Response::reader(&b"streamed"[..]))
        .get("/large", |_: &mut Request| Response::bytes(noise(100_000)))
        .get("/none", |_: &mut Request| None::<String>)
        .get("/fails", |_: &mut Request| -> Result<String, Error> { Err(std::io::Error::other("no").into()) })
        .get("/panics", |_: &mut Request| -> String { panic!("the handler of on_response.rs") })
        .get("/interim", |_: &mut Request| StatusCode::CONTINUE)
        .get("/closes", |_: &mut Request| Response::text("last").with_header("connection", "close"))
        .post("/", |request: &mut Request| -> Result<String, Error> {
            Ok(request.bytes()?.len().to_string())
        })
}

fn builder(router: Router, change: impl FnOnce(&mut Limits)) -> ServerBuilder {
    let mut limits = Limits::default();
    change(&mut limits);
    Server::builder(router).identity(identity()).limits(limits)
}

/// A server with these fields, and how often they were asked for.
fn served(router: Router, change: impl FnOnce(&mut Limits)) -> (Serving, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let builder = builder(router, change).on_response(move |seen, response| {
        counted.fetch_add(1, Ordering::SeqCst);
        fields(seen, response);
    });
    (serve_as(builder), count)
}

fn assert_seen(reply: &Reply, expected: &str) {
    let told: Vec<_> = reply.fields.iter().filter(|(name, _)| name == "x-seen").collect();
    assert!(told.len() == 1 && told[0].1 == expected, "{expected}: {reply:?}");
    assert_eq!(reply.field("strict-transport-security"), Some("max-age=31536000"), "{expected}");
    // The client checks the framing that it reads by; here is what it would not notice.
    for (name, most) in
        [("content-length", 1), ("transfer-encoding", 1), ("connection", 1), ("keep-alive", 1)]
    {
        let count = reply.fields.iter().filter(|(known, _)| known == name).count();
        assert!(count <= most, "{expected}: {count} times {name}");
    }
    assert_ne!(reply.field("connection"), Some("upgrade"), "{expected}");
    assert_ne!(reply.field("keep-alive"), Some("timeout=1"), "{expected}");
}

/// Sends, and asserts what was seen of the answer. The page of another origin can read it.
fn assert_passes(serving: &Serving, sent: impl AsRef<[u8]>, expected: &str) -> Client {
    let mut client = serving.connect();
    client.send(sent);
    let shape = if expected.starts_with("HEAD") { Shape::HeadOnly } else { Shape::WithBody };
    let reply = client.try_reply(shape).unwrap_or_else(|end| panic!("{expected}: {end:?}"));
    assert_seen(&reply, expected);
    assert!(expected.ends_with(&reply.status.to_string()), "{expected}: {reply:?}");
    assert_eq!(reply.field("access-control-allow-origin"), Some(APP), "{expected}");
    if reply.status >= 400 && shape == Shape::WithBody {
        reply.problem();
    }
    client
}

#[test]
fn answers_of_handlers_and_of_the_router_pass() {
    let (serving, count) = served(router(), |_| {});
    let cases = [
        ("GET /", "GET / 200"),
        ("GET /?secret", "GET / 200"),
        ("HEAD /", "HEAD / 200"),
        ("GET /nothing", "GET /nothing 204"),
        ("GET /same", "GET /same 304"),
        ("GET /stream", "GET /stream 200"),
        ("HEAD /stream", "HEAD /stream 200"),
        ("GET /large", "GET /large 200"),
        ("GET /none", "GET /none 404"),
        ("GET /fails", "GET /fails 500"),
        ("GET /panics", "GET /panics 500"),
        ("GET /interim", "GET /interim 500"),
        ("GET /closes", "GET /closes 200"),
        ("OPTIONS /", "OPTIONS / 204"),
        ("OPTIONS *", "OPTIONS * 204"),
        ("GET /no/where", "GET /no/where 404"),
        ("DELETE /", "DELETE / 405"),
        ("BREW /", "BREW / 501"),
        ("GET /foo%g1", "GET /foo%g1 400"),
        ("GET /a%2Fb", "GET /a%2Fb 400"),
    ];
    for (request_line, expected) in cases {
        assert_passes(&serving, format!("{request_line} HTTP/1.1\r\n{HOST}\r\n"), expected);
    }
    assert_eq!(count.load(Ordering::SeqCst), cases.len());
    for (version, keeps) in [("1.0", false), ("1.1", true)] {
        let mut client = serving.connect();
        client.send(format!("GET /stream HTTP/{version}\r\n{HOST}\r\n"));
        let reply = client.reply();
        assert_eq!((reply.text(), reply.closes()), ("streamed", !keeps));
    }
}

#[test]
fn refusals_of_heads_pass_as_far_as_they_are_known() {
    let (serving, count) = served(router(), |limits| {
        limits.head_bytes = 600;
        limits.head_fields = 4;
        limits.head_timeout = SHORT;
    });
    let long = "a".repeat(1_000);
    let cases = [
        (format!("GET /foo bar HTTP/1.1\r\n{HOST}\r\n"), "GET /foo 400"),
        (format!("GET / HTTP/1.1\r\n{HOST}A : 1\r\n\r\n"), "GET / 400"),
        (format!("GET / HTTP/1.1\r\n{HOST}A: 1\n\r\n"), "GET / 400"),
        (format!("GET / HTTP/1.1\r\n{HOST}Host: b\r\n\r\n"), "GET / 400"),
        ("GET / HTTP/1.1\r\noRIGIN: \thttps://app.example \r\n\r\n".into(), "GET / 400"),
        (format!("GET //evil HTTP/1.1\r\n{HOST}\r\n"), "GET - 400"),
        (format!("SSH-2.0-OpenSSH\r\n{HOST}\r\n"), "- - 400"),
        (format!("GET /a?secret HTTP/1.1\r\n{HOST}X: {long}\r\n\r\n"), "GET /a 431"),
        (format!("HEAD /a?secret HTTP/1.1\r\n{HOST}X: {long}\r\n\r\n"), "HEAD /a 431"),
        (format!("GET /a HTTP/1.1\r\n{HOST}A: 1\r\nB: 1\r\nC: 1\r\n\r\n"), "GET /a 431"),
        (format!("POST / HTTP/1.1\r\n{HOST}Expect: a miracle\r\n\r\n"), "POST / 417"),
        (format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip\r\n\r\n"), "POST / 501"),
        (format!("GET / HTTP/3.0\r\n{HOST}\r\n"), "GET / 505"),
        (format!("GET /late HTTP/1.1\r\n{HOST}X: "), "GET /late 408"),
    ];
    let rounds = cases.len();
    for (sent, expected) in cases {
        assert_passes(&serving, sent, expected).expect_goodbye();
    }
    assert_eq!(count.load(Ordering::SeqCst), rounds);
    // Nothing but the beginning of the first line has come.
    for (sent, expected) in [(format!("GET /{long}"), "GET - 414"), ("G".into(), "- - 408")] {
        let mut client = serving.connect();
        client.send(sent);
        assert_seen(&client.reply(), expected);
        client.expect_goodbye();
    }
}

#[test]
fn refusals_of_bodies_pass() {
    let in_chunks = |size| {
        let head = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        [head.into_bytes(), chunked(&noise(size), 100)].concat()
    };
    let fixed = |size| {
        let head = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: {size}\r\n\r\n");
        [head.into_bytes(), noise(size)].concat()
    };
    // Bodies that are kept before the handler is called, and bodies that it reads.
    for kept in [1_000_000, 100] {
        let (serving, count) = served(router(), |limits| {
            limits.body_bytes = 1_000;
            limits.body_buffer_bytes = kept;
            limits.body_timeout = SHORT;
            limits.body_min_rate = 1_000_000;
        });
        assert_passes(&serving, fixed(1_001), "POST / 413").expect_goodbye();
        assert_passes(&serving, in_chunks(1_001), "POST / 413").expect_goodbye();
        assert_passes(&serving, &fixed(1_000)[..500], "POST / 408").expect_goodbye();
        assert_passes(&serving, &in_chunks(1_000)[..500], "POST / 408").expect_goodbye();
        let malformed = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nx\r\n");
        assert_passes(&serving, malformed, "POST / 400").expect_goodbye();
        // No handler reads these.
        let unread = format!("POST /no/where HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\n");
        assert_passes(&serving, unread, "POST /no/where 404");
        assert_eq!(count.load(Ordering::SeqCst), 6);
        assert_passes(&serving, fixed(1_000), "POST / 200");
    }
}

#[test]
fn refusals_of_a_full_server_pass() {
    let gate = Gate::new();
    let inside = gate.clone();
    let waits = router().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let (serving, _) = served(waits, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 0;
        limits.queue_timeout = SHORT;
        limits.count_loopback = true;
    });
    let mut blocked = serving.connect();
    blocked.send(get("/wait"));
    gate.wait_for(1);
    // The supervisor refuses it.
    assert_passes(&serving, format!("GET / HTTP/1.1\r\n{HOST}\r\n"), "GET / 503");
    gate.open();
    assert_seen(&blocked.reply(), "GET /wait 200");

    let (serving, _) = served(router(), |limits| {
        limits.requests_per_address = 1;
        limits.count_loopback = true;
    });
    let mut client = serving.connect();
    client.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n").repeat(5));
    let replies: Vec<_> = (0..5).map(|_| client.reply()).collect();
    assert!(replies.iter().any(|reply| reply.status == 429), "{replies:?}");
    replies.iter().for_each(|reply| assert_seen(reply, &format!("GET / {}", reply.status)));

    let (serving, _) = served(router(), |limits| {
        limits.body_memory_bytes = 100;
    });
    let sent = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 50000\r\n\r\n{}", "x".repeat(40_000));
    assert_passes(&serving, sent, "POST / 503");
}

#[test]
fn the_route_is_known_whatever_becomes_of_the_request() {
    let ports = Router::new()
        .get("/{port%2F}", |request: &mut Request| request.param("port").map(String::from))
        .with(|request: &mut Request, next: Next| next.run(request).with_header("x-layer", "ports"));
    let router = router()
        .get("/sensors/{id}", |_: &mut Request| "sensor")
        .post("/sensors/{id}", |request: &mut Request| -> Result<String, Error> {
            Ok(request.bytes()?.len().to_string())
        })
        .nest("/ports", ports)
        .fallback(|_: &mut Request| StatusCode::IM_A_TEAPOT);
    let builder = builder(router, |limits| limits.body_bytes = 1_000).on_response(|seen, response| {
        let layer = response.header("x-layer").map_or("-", |value| value.to_str().unwrap()).to_string();
        response.set_header("x-route", format!("{} {layer}", seen.route().unwrap_or("-")));
    });
    let serving = serve_as(builder);
    for (request_line, fields, status, expected) in [
        ("GET /", "", 200, "/ -"),
        ("GET /sensors/7?a=b", "", 200, "/sensors/{id} -"),
        ("GET /sensors/a%20b", "", 200, "/sensors/{id} -"),
        ("POST /sensors/7", "Content-Length: 9999\r\n", 413, "/sensors/{id} -"),
        ("DELETE /sensors/7", "", 405, "/sensors/{id} -"),
        ("OPTIONS /sensors/7", "", 204, "/sensors/{id} -"),
        ("POST /sensors/7", "Expect: a miracle\r\n", 417, "/sensors/{id} -"),
        ("GET /ports/eth0%2F1", "", 200, "/ports/{port%2F} ports"),
        ("DELETE /ports/eth0%2F1", "", 405, "/ports/{port%2F} ports"),
        ("GET /sensors/7/none", "", 418, "- -"),
        ("GET /sensors/7%2F8", "", 400, "- -"),
        ("GET /sensors/%zz", "", 400, "- -"),
        ("OPTIONS *", "", 204, "- -"),
        ("GET /sensors/7 8", "", 400, "/sensors/{id} -"),
    ] {
        let mut client = serving.connect();
        client.send(format!("{request_line} HTTP/1.1\r\n{HOST}{fields}\r\n"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("x-route")), (status, Some(expected)), "{request_line}");
    }
}

#[test]
fn refusals_of_large_bodies_pass_when_their_places_are_taken() {
    for (of_address, status) in [(100, 503), (1, 429)] {
        let (serving, _) = served(router(), |limits| {
            limits.body_buffer_bytes = 100;
            limits.streaming_bodies = if status == 503 { 1 } else { 100 };
            limits.streaming_bodies_per_address = of_address;
            limits.count_loopback = true;
        });
        let upload = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 10000\r\n\r\n{}", "x".repeat(10_000));
        let mut stalled = serving.connect();
        stalled.send(&upload[..5_000]);
        // Until the first is inside its handler, the next is served.
        let reply = loop {
            let mut client = serving.connect();
            client.send(&upload);
            let reply = client.reply();
            assert_seen(&reply, &format!("POST / {}", reply.status));
            if reply.status != 200 {
                break reply;
            }
        };
        assert_eq!((reply.status, reply.field("access-control-allow-origin")), (status, Some(APP)));
        stalled.send(&upload[5_000..]);
        assert_seen(&stalled.reply(), "POST / 200");
    }
}

/// A reader that waits at a gate.
struct Waits(Arc<Gate>);

impl Read for Waits {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.pass();
        Ok(0)
    }
}

#[test]
fn a_stream_that_has_no_place_passes_once_as_what_is_sent_instead() {
    let gate = Gate::new();
    let inside = gate.clone();
    let router = Router::new()
        .get("/wait", move |_: &mut Request| Response::reader(Waits(inside.clone())))
        .post("/wait", |_: &mut Request| Response::reader(&b"x"[..]));
    let (serving, count) = served(router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 2;
    });
    let mut streaming = serving.connect();
    streaming.send(get("/wait"));
    gate.wait_for(1);
    let passed = count.load(Ordering::SeqCst);
    let mut client = assert_passes(&serving, format!("GET /wait HTTP/1.1\r\n{HOST}\r\n"), "GET /wait 503");
    client.assert_limit_named("reserve_workers");
    assert_passes(&serving, format!("HEAD /wait HTTP/1.1\r\n{HOST}\r\n"), "HEAD /wait 200");
    assert_eq!(count.load(Ordering::SeqCst), passed + 2);
    gate.open();
    assert_seen(&streaming.reply(), "GET /wait 200");
    // The connection is as good as before.
    client.send(get("/wait"));
    assert_eq!(client.reply().status, 200);
}

/// Gives a little, and then fails.
struct Breaks(bool);

impl Read for Breaks {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(std::io::Error::other("the sensor is gone"));
        }
        (&b"some"[..]).read(out)
    }
}

#[test]
fn a_response_that_fails_after_its_head_does_not_pass_again() {
    let router = Router::new().get("/", |_: &mut Request| Response::reader(Breaks(false)));
    let (serving, count) = served(router, |_| {});
    let mut client = serving.connect();
    client.send(get("/"));
    client.take_until(b"some").unwrap();
    assert_eq!(client.rest(), (b"\r\n".to_vec(), End::Cut));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn pipelined_requests_pass_one_by_one_and_what_follows_a_refusal_never() {
    let (serving, count) = served(router(), |_| {});
    let mut client = serving.connect();
    let refused = format!("GET //x HTTP/1.1\r\n{HOST}\r\n");
    client.send([get("/"), get("/none"), get("/"), refused, get("/"), get("/")].concat());
    for expected in ["GET / 200", "GET /none 404", "GET / 200", "GET - 400"] {
        assert_seen(&client.reply(), expected);
    }
    client.expect_goodbye();
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[test]
fn a_panic_costs_the_changes_and_not_the_answer() {
    let first = |_: &Seen, response: &mut ResponseHead| response.set_header("x-first", "1");
    let panics = |seen: &Seen, response: &mut ResponseHead| {
        response.headers_mut().clear();
        response.set_header("x-panics", "1");
        panic!("the function of on_response.rs for {}", seen.path().unwrap_or("-"));
    };
    let last = |_: &Seen, response: &mut ResponseHead| response.append_header("x-last", "1");
    let builder = builder(router(), |_| {}).on_response(first).on_response(panics).on_response(last);
    let serving = serve_as(builder);
    let mut client = serving.connect();
    let large = noise(100_000);
    for (path, status, body) in
        [("/", 200, &b"root"[..]), ("/large", 200, &large), ("/stream", 200, b"streamed")]
    {
        let reply = client.get(path);
        assert_eq!((reply.status, &reply.body[..]), (status, body), "{path}");
        assert_eq!((reply.field("x-first"), reply.field("x-last")), (Some("1"), Some("1")), "{path}");
        assert_eq!(reply.field("x-panics"), None, "{path}");
    }
    assert_eq!(client.get("/").field("content-type"), Some("text/plain; charset=utf-8"));
    client.send("GET //x HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("x-panics"), reply.field("x-last")), (400, None, Some("1")));
    reply.problem();
    let said = await_lines(5, |line| line.contains("the function of on_response.rs"));
    assert!(
        said.len() == 5 && said[0].starts_with("on_response for GET / panicked at tests/on_response.rs:"),
        "{said:?}"
    );
}

#[test]
fn a_field_that_is_none_is_left_out_and_the_log_says_so() {
    let builder = builder(router(), |_| {}).on_response(|_, response| {
        response.set_header("x-bad", "a\r\nset-cookie: b");
        response.set_header("x bad", "a");
        response.append_header("x-good", "on_response.rs");
    });
    let reply = serve_as(builder).get("/");
    assert_eq!((reply.text(), reply.field("x-good")), ("root", Some("on_response.rs")));
    assert!(!reply.fields.iter().any(|(name, _)| name.contains("bad") || name == "set-cookie"), "{reply:?}");
    let said = await_lines(2, |line| line.starts_with("on_response for GET / set "));
    assert!(said.len() == 2 && said[0].contains("x-bad"), "{said:?}");
}

#[test]
fn fields_can_be_replaced_and_removed() {
    let builder =
        builder(router(), |_| {}).field_names(FieldNames::TitleCase).on_response(|seen, response| {
            if seen.path() == Some("/") {
                assert_eq!(response.header("content-type").unwrap(), "text/plain; charset=utf-8");
                response.headers_mut().remove("content-type");
            } else {
                response.append_header("content-type", "text/html");
            }
            response.set_header("x-count", response.headers().len().to_string());
        });
    let serving = serve_as(builder);
    let reply = serving.get("/");
    assert_eq!((reply.field("content-type"), reply.field("x-count")), (None, Some("0")));
    let mut client = serving.connect();
    client.send(get("/none"));
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(
        head.contains("\r\nContent-Type: text/html\r\n") && head.contains("\r\nX-Count: 1\r\n"),
        "{head}"
    );
    assert_eq!(head.to_lowercase().matches("content-type:").count(), 1, "{head}");
}

/// Which request it is.
#[derive(Clone)]
struct Id(&'static str);

#[test]
fn what_the_program_knows_of_a_request_is_known_here_and_ends_here() {
    let alive = Arc::new(());
    let (kept, asked) = (alive.clone(), alive.clone());
    let router = Router::new()
        .get("/id", move |request: &mut Request| {
            request.extensions_mut().insert(Id("seven"));
            request.extensions_mut().insert(kept.clone());
            "known"
        })
        .get("/panics", |request: &mut Request| -> &'static str {
            request.extensions_mut().insert(Id("eight"));
            panic!("as the test wants it")
        });
    let builder = builder(router, |_| {}).on_response(|seen, response| {
        let id = seen.extensions().get::<Id>().map_or("none", |id| id.0);
        response.set_header("x-request-id", id);
        let address = seen.peer().map(|peer| peer.to_string()).unwrap_or_default();
        response.set_header("x-peer", address);
        assert!(seen.client().is_none());
    });
    let serving = serve_as(builder);
    let mut client = serving.connect();
    for (path, id) in [("/id", "seven"), ("/none", "none"), ("/panics", "eight"), ("/none", "none")] {
        let reply = client.get(path);
        assert_eq!(reply.field("x-request-id"), Some(id), "{path}");
        assert_eq!(reply.field("x-peer"), Some(&*client.address().to_string()), "{path}");
    }
    client.send("GET //x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().field("x-request-id"), Some("none"));
    drop(asked);
    // The handler has one, and the test.
    assert_eq!(Arc::strong_count(&alive), 2);
}

/// Panics when it is dropped.
struct Trap;

impl Read for Trap {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("as the test wants it");
    }
}

#[test]
fn what_the_program_knows_of_a_request_that_gets_no_answer_is_not_known_of_the_next() {
    let router = Router::new().get("/trap", |request: &mut Request| {
        request.extensions_mut().insert(Id("seven"));
        // A status that is not final: the server drops the response.
        Response::reader(Trap).with_status(StatusCode::from_u16(103).unwrap())
    });
    let builder = builder(router, |limits| limits.workers = 1).on_response(|seen, response| {
        response.set_header("x-request-id", seen.extensions().get::<Id>().map_or("none", |id| id.0));
    });
    let serving = serve_as(builder);
    for _ in 0..10 {
        let mut client = serving.connect();
        client.send(get("/trap"));
        let _ = client.try_reply(Shape::WithBody);
        assert_eq!(serving.get("/none").field("x-request-id"), Some("none"));
    }
}

#[test]
fn it_comes_before_the_line_of_the_access_log() {
    let builder = builder(router(), |_| {}).access_log(true).on_response(|seen, response| {
        log::info!(target: "lockgate::test", "passes {} {}", seen.path().unwrap_or("-"), response.status());
    });
    let serving = serve_as(builder);
    let mut client = serving.connect();
    for (sent, path) in [(get("/none?order"), "/none"), (format!("GET /bad target{}", &get("")[4..]), "/bad")]
    {
        client.send(sent);
        client.reply();
        let about = |line: &str| {
            line.starts_with(&format!("passes {path} 4")) || line.starts_with(&format!("GET {path} 4"))
        };
        let said = await_lines(2, about);
        assert!(said[0].starts_with("passes") && said[1].starts_with("GET"), "{said:?}");
    }
}

#[test]
fn what_goes_out_in_clear_does_not_pass() {
    let (serving, count) = served(router(), |_| {});
    for (address, status) in [(serving.address, "400"), (serving.redirect, "301")] {
        let mut plain = connect_plain(address).unwrap();
        plain.write_all(get("/").as_bytes()).unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("strict-transport-security") && !answer.contains("x-seen"), "{answer}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_function_that_waits_keeps_no_other_request_waiting() {
    let gate = Gate::new();
    let inside = gate.clone();
    let builder = builder(router(), |limits| limits.workers = 1).on_response(move |seen, _| {
        if seen.path() == Some("/none") {
            inside.pass();
        }
    });
    let serving = serve_as(builder);
    let mut slow = serving.connect();
    slow.send(get("/none"));
    gate.wait_for(1);
    assert_eq!(serving.get("/").text(), "root");
    gate.open();
    assert_eq!(slow.reply().status, 404);
    assert!(lines(|line| line.contains("the gate was never opened")).is_empty());
}

#[test]
fn a_test_calls_the_function_without_a_server() {
    let request = Request::post("/a%20b?secret").with_header("Origin", APP);
    let mut response = Response::text("x").with_status(StatusCode::PAYLOAD_TOO_LARGE);
    fields(&Seen::of(&request), &mut ResponseHead::of(&mut response));
    assert_eq!(response.header("x-seen").unwrap(), "POST /a%20b 413");
    assert_eq!(response.header("access-control-allow-origin").unwrap(), APP);
    let shown = format!("{:?} {:?}", Seen::of(&request), ResponseHead::of(&mut response));
    assert!(shown.contains("/a%20b") && shown.contains("413") && !shown.contains("secret"), "{shown}");
    let _: Vec<u8> = post("/", b"");
}

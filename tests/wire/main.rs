//! What the server makes of bytes: each request, however odd and however it is cut up, gets one clear answer, and nothing
//! that follows it on the connection is ever taken for something else.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use lockgate::{Request, Response, Router, StatusCode};

use support::{chunked, connect_plain, get, noise, post, reset, serve, Client, End, Serving, Shape};

/// What becomes of the connection after the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It goes on: a request that follows is answered.
    Kept,
    /// It is closed, and what follows is not taken for a request.
    Closed,
}
use Then::{Closed, Kept};

/// Name, bytes, the statuses of the answers, and what then becomes of the connection.
type Case = (&'static str, Vec<u8>, &'static [u16], Then);

const MARKER: &str = "GET /marker HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/marker", |_: &mut Request| "marker")
        .get("/host", |request: &mut Request| request.host().unwrap_or("none").to_string())
        .get("/value", |request: &mut Request| {
            Response::bytes(
                request.headers().get("x").map(|value| value.as_bytes().to_vec()).unwrap_or_default(),
            )
        })
        .get("/nothing", |_: &mut Request| ())
        .get("/unmodified", |_: &mut Request| {
            Response::text("not sent").with_status(StatusCode::NOT_MODIFIED).with_header("etag", "\"1\"")
        })
        .get("/pieces", |_: &mut Request| Response::reader(&b"in pieces"[..]))
        .get("/split", |_: &mut Request| Response::text("x").with_header("x", "a\r\nset-cookie: b"))
        .get("/interim", |_: &mut Request| StatusCode::CONTINUE)
        .post("/", |request: &mut Request| request.bytes().map(Response::bytes))
        .post("/unread", |_: &mut Request| "unread")
        .post("/fields", |request: &mut Request| {
            let body = request.bytes().map(|body| body.len());
            let mut names: Vec<_> = request.headers().keys().map(|name| name.to_string()).collect();
            names.sort();
            body.map(|length| format!("{length} {}", names.join(" ")))
        })
}

fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
}

fn body_under(fields: &str, body: &str) -> Vec<u8> {
    [request("POST /", fields), body.as_bytes().to_vec()].concat()
}

fn in_chunks(body: &str) -> Vec<u8> {
    body_under("Transfer-Encoding: chunked\r\n", body)
}

fn raw(bytes: &str) -> Vec<u8> {
    bytes.as_bytes().to_vec()
}

fn framing() -> Vec<Case> {
    let length = |value: &str| body_under(&format!("Content-Length:{value}\r\n"), "abc");
    let coding = |value: &str| body_under(&format!("Transfer-Encoding:{value}\r\n"), "3\r\nabc\r\n0\r\n\r\n");
    let chunk = |size: &str| in_chunks(&format!("{size}\r\nabc\r\n0\r\n\r\n"));
    let extension = |length: usize| format!("3;{}", "x".repeat(length));
    vec![
        ("a length", length(" 3"), &[200], Kept),
        ("a length without a space before", length("3"), &[200], Kept),
        ("leading zeros", length(" 003"), &[200], Kept),
        ("no body at all", request("POST /", ""), &[200], Kept),
        ("a body with GET", body_under("Content-Length: 3\r\n", "abc"), &[200], Kept),
        ("a plus sign", length(" +3"), &[400], Closed),
        ("a minus sign", length(" -1"), &[400], Closed),
        ("hexadecimal", length(" 0x3"), &[400], Closed),
        ("white space after the length", length(" 3 "), &[400], Closed),
        ("a tab after the length", length(" 3\t"), &[400], Closed),
        ("an empty length", length(""), &[400], Closed),
        ("a length of 20 digits", length(" 00000000000000000003"), &[400], Closed),
        ("a length over u64", length(" 18446744073709551619"), &[400], Closed),
        ("a list of lengths", length(" 3, 3"), &[400], Closed),
        ("two lengths that differ", length(" 3\r\nContent-Length: 4"), &[400], Closed),
        ("two lengths that agree", length(" 3\r\nContent-Length: 3"), &[400], Closed),
        ("length 0 and then 3", length(" 0\r\nContent-Length: 3"), &[400], Closed),
        ("chunks", coding(" chunked"), &[200], Kept),
        ("chunks, in capitals", coding(" CHUNKED"), &[200], Kept),
        ("a coding and a length", coding(" chunked\r\nContent-Length: 3"), &[400], Closed),
        ("a length and a coding", length(" 3\r\nTransfer-Encoding: chunked"), &[400], Closed),
        (
            "a space before the colon",
            body_under("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
            &[400],
            Closed,
        ),
        ("identity", coding(" identity"), &[501], Closed),
        ("gzip", coding(" gzip"), &[501], Closed),
        ("gzip, chunked", coding(" gzip, chunked"), &[501], Closed),
        ("xchunked", coding(" xchunked"), &[501], Closed),
        ("chunked, identity", coding(" chunked, identity"), &[501], Closed),
        ("chunked and a comma", coding(" chunked,"), &[501], Closed),
        ("chunked in quotes", coding(" \"chunked\""), &[501], Closed),
        ("an empty coding", coding(""), &[501], Closed),
        ("chunked and a tab", coding(" chunked\t"), &[400], Closed),
        ("chunked after a vertical tab", coding(" \x0bchunked"), &[400], Closed),
        ("two codings", coding(" chunked\r\nTransfer-Encoding: chunked"), &[400], Closed),
        ("two codings that differ", coding(" chunked\r\nTransfer-Encoding: identity"), &[400], Closed),
        (
            "chunks over HTTP/1.0",
            raw("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            &[400],
            Closed,
        ),
        ("no chunk but the last", in_chunks("0\r\n\r\n"), &[200], Kept),
        ("a chunk size with leading zeros", chunk("0000000000000003"), &[200], Kept),
        ("a small extension", chunk("3;a=\"b\""), &[200], Kept),
        ("a chunk size over u64", chunk("10000000000000003"), &[400], Closed),
        ("a chunk size below zero", chunk("-2"), &[400], Closed),
        ("a chunk size with a plus", chunk("+3"), &[400], Closed),
        ("a chunk size with a prefix", chunk("0x3"), &[400], Closed),
        ("an empty chunk size", chunk(""), &[400], Closed),
        ("an extension without a size", chunk(";a"), &[400], Closed),
        ("a space after a chunk size", chunk("3 "), &[400], Closed),
        ("a huge extension", chunk(&extension(4096)), &[400], Closed),
        ("a NUL in an extension", chunk("3;a\0"), &[400], Closed),
        ("a size line that ends in LF", in_chunks("3\nabc\r\n0\r\n\r\n"), &[400], Closed),
        ("an extension that ends in LF", in_chunks("3;a\nabc\r\n0\r\n\r\n"), &[400], Closed),
        ("a size line that ends in CR", in_chunks("3\rabc\r\n0\r\n\r\n"), &[400], Closed),
        ("chunk data that ends in LF", in_chunks("3\r\nabc\n0\r\n\r\n"), &[400], Closed),
        ("chunk data that is too long", in_chunks("3\r\nabcd\r\n0\r\n\r\n"), &[400], Closed),
        ("chunk data that is too short", in_chunks("3\r\nab\r\n0\r\n\r\n"), &[400], Closed),
        ("a last chunk that ends in LF", in_chunks("0\n\n"), &[400], Closed),
        ("a trailer", in_chunks("3\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"), &[200], Kept),
        ("a trailer that ends in LF", in_chunks("0\r\nX-A: 1\n\r\n"), &[400], Closed),
        ("a folded trailer", in_chunks("0\r\nX-A: 1\r\n 2\r\n\r\n"), &[400], Closed),
        ("a trailer without a colon", in_chunks("0\r\nX-A\r\n\r\n"), &[400], Closed),
        ("a trailer without a name", in_chunks("0\r\n: 1\r\n\r\n"), &[400], Closed),
        ("a NUL in a trailer", in_chunks("0\r\nX-A: \0\r\n\r\n"), &[400], Closed),
        ("a huge trailer", in_chunks(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(8192))), &[400], Closed),
        (
            "a body that looks like a request",
            post("/unread", b"GET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            &[200],
            Kept,
        ),
        ("a body for nobody", post("/missing", b"abc"), &[404], Kept),
        (
            "chunks for nobody",
            [request("POST /missing", "Transfer-Encoding: chunked\r\n"), raw("3\r\nabc\r\n0\r\n\r\n")]
                .concat(),
            &[404],
            Kept,
        ),
    ]
}

fn lines() -> Vec<Case> {
    let field = |field: &str| request("GET /", &format!("{field}\r\n"));
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    vec![
        ("LF alone", raw("GET / HTTP/1.1\nHost: localhost\n\n"), &[400], Closed),
        ("LF alone after the request line", raw("GET / HTTP/1.1\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("LF alone after a field", raw("GET / HTTP/1.1\r\nHost: localhost\n\r\n"), &[400], Closed),
        ("LF alone at the end", raw("GET / HTTP/1.1\r\nHost: localhost\r\n\n"), &[400], Closed),
        ("LF alone in front", raw("\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("CR alone after the request line", raw("GET / HTTP/1.1\rHost: localhost\r\n\r\n"), &[400], Closed),
        ("CR alone in a value", field("X: a\rb"), &[400], Closed),
        ("CR alone in front", raw("\rGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("CR CR LF", raw("GET / HTTP/1.1\r\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("NUL in a value", field("X: a\0b"), &[400], Closed),
        ("NUL in a name", field("X\0: a"), &[400], Closed),
        ("NUL in the target", request("GET /\0", ""), &[400], Closed),
        ("NUL in front", [raw("\0"), request("GET /", "")].concat(), &[400], Closed),
        ("DEL in a value", field("X: \x7f"), &[400], Closed),
        ("a folded line", field("X: a\r\n b"), &[400], Closed),
        ("a folded line with a tab", field("X: a\r\n\tb"), &[400], Closed),
        ("a folded first field", raw("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"), &[400], Closed),
        ("a line of spaces", field("  "), &[400], Closed),
        ("no name", field(": a"), &[400], Closed),
        ("no colon", field("X"), &[400], Closed),
        ("a space before the colon", field("X : a"), &[400], Closed),
        ("a tab before the colon", field("X\t: a"), &[400], Closed),
        ("a space in a name", field("X Y: a"), &[400], Closed),
        ("a name that is not ASCII", field("X-ä: a"), &[400], Closed),
        ("an empty value", field("X:"), &[200], Kept),
        ("white space around a value", field("X: \t a \t"), &[200], Kept),
        ("options between commas", field("Connection: TE,,Keep-Alive"), &[200], Kept),
        ("close among options", field("Connection: TE,,close"), &[200], Closed),
        ("62 more fields", request("GET /", &many(62)), &[200], Kept),
        ("hundreds of fields", request("GET /", &many(300)), &[431], Closed),
        ("one line of 15 KiB", field(&format!("X: {}", "a".repeat(15 * 1024))), &[200], Kept),
        ("one line that is too long", field(&format!("X: {}", "a".repeat(16 * 1024))), &[431], Closed),
        ("one line without an end", raw(&"a".repeat(100_000)), &[414], Closed),
        (
            "a field without an end",
            raw(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100_000))),
            &[431],
            Closed,
        ),
        ("an empty line in front", raw(&format!("\r\n{}", get("/"))), &[200], Kept),
        ("two empty lines in front", raw(&format!("\r\n\r\n{}", get("/"))), &[400], Closed),
        ("three empty lines in front", raw(&format!("\r\n\r\n\r\n{}", get("/"))), &[400], Closed),
        ("an empty line between requests", raw(&format!("{}\r\n{}", get("/"), get("/"))), &[200, 200], Kept),
        ("a space in front", raw(&format!(" {}", get("/"))), &[400], Closed),
        ("two spaces in the request line", request("GET  /", ""), &[400], Closed),
        ("a tab in the request line", raw("GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("no version", raw("GET /\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("only a method", raw("GET\r\n\r\n"), &[400], Closed),
        ("a version in lower case", raw("GET / http/1.1\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("a version of two digits", raw("GET / HTTP/1.10\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("HTTP/0.9", raw("GET / HTTP/0.9\r\nHost: localhost\r\n\r\n"), &[505], Closed),
        ("HTTP/1.2", raw("GET / HTTP/1.2\r\nHost: localhost\r\n\r\n"), &[505], Closed),
        ("HTTP/2's preface", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &[505], Closed),
        ("a response", raw("HTTP/1.1 200 OK\r\nHost: localhost\r\n\r\n"), &[400], Closed),
        ("a method that is no token", request("G@T /", ""), &[400], Closed),
        ("a method that nobody knows", request("BREW /", ""), &[501], Kept),
        ("a method in lower case", request("get /", ""), &[501], Kept),
        ("a method that the path has not", request("DELETE /", ""), &[405], Kept),
        ("TRACE", request("TRACE /", ""), &[405], Kept),
        ("CONNECT", request("CONNECT localhost:443", ""), &[501], Closed),
    ]
}

fn targets() -> Vec<Case> {
    let target = |target: &str| request(&format!("GET {target}"), "");
    vec![
        ("a path", target("/"), &[200], Kept),
        ("a query", target("/?a=b?c//d/../e%zz"), &[200], Kept),
        ("an encoded letter", target("/%6Darker"), &[200], Kept),
        ("an unknown path", target("/missing"), &[404], Kept),
        ("what looks like a host", target("//evil/"), &[400], Closed),
        ("what looks like a host, alone", target("//"), &[400], Closed),
        ("an encoded slash", target("/%2F?"), &[400], Kept),
        ("an encoded backslash", target("/%5c"), &[400], Kept),
        ("an encoded NUL", target("/%00"), &[400], Kept),
        ("an encoded line break", target("/%0d%0aX:%20a"), &[400], Kept),
        ("half a percent", target("/%4"), &[400], Kept),
        ("a percent of letters", target("/%zz"), &[400], Kept),
        ("a percent that is not UTF-8", target("/%ff"), &[400], Kept),
        ("a dot segment", target("/./"), &[400], Kept),
        ("dot segments upwards", target("/../../etc/passwd"), &[400], Kept),
        ("encoded dot segments", target("/%2e%2E/"), &[400], Kept),
        ("a fragment", target("/#a"), &[400], Closed),
        ("a backslash", target("/\\evil"), &[400], Closed),
        ("a byte that is not ASCII", target("/ä"), &[400], Closed),
        ("a control character", target("/\x01"), &[400], Closed),
        ("no slash", target("marker"), &[400], Closed),
        ("an over-long target", target(&format!("/{}", "a".repeat(20_000))), &[414], Closed),
        ("absolute form", target("https://localhost/"), &[200], Kept),
        ("absolute form in clear", target("http://localhost:80/?a"), &[200], Kept),
        ("absolute form without a path", target("https://localhost"), &[400], Closed),
        ("absolute form without a host", target("https:///"), &[400], Closed),
        ("absolute form with a double slash", target("https://localhost//evil"), &[400], Closed),
        ("another scheme", target("ftp://localhost/"), &[400], Closed),
        ("user information", target("https://user@localhost/"), &[400], Closed),
        ("user information with a password", target("https://user:pw@localhost/"), &[400], Closed),
        ("an authority alone", target("localhost:443"), &[400], Closed),
        ("an asterisk with GET", target("*"), &[400], Closed),
        ("an asterisk with OPTIONS", request("OPTIONS *", ""), &[204], Kept),
        ("OPTIONS", request("OPTIONS /", ""), &[204], Kept),
        ("OPTIONS for nothing", request("OPTIONS /missing", ""), &[404], Kept),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |fields: &str| raw(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    vec![
        ("none", host(""), &[400], Closed),
        ("none, in absolute form", raw("GET https://localhost/ HTTP/1.1\r\n\r\n"), &[400], Closed),
        ("two", host("Host: localhost\r\nHost: evil\r\n"), &[400], Closed),
        ("two that agree", host("Host: localhost\r\nHost: localhost\r\n"), &[400], Closed),
        ("an empty one", host("Host:\r\n"), &[400], Closed),
        ("one with CR", host("Host: local\rhost\r\n"), &[400], Closed),
        ("one with LF", host("Host: local\nhost\r\n"), &[400], Closed),
        ("one with CRLF and a space", host("Host: local\r\n host\r\n"), &[400], Closed),
        ("one with a space", host("Host: local host\r\n"), &[400], Closed),
        ("a list", host("Host: localhost, evil\r\n"), &[400], Closed),
        ("a URL", host("Host: https://localhost\r\n"), &[400], Closed),
        ("one with a path", host("Host: localhost/evil\r\n"), &[400], Closed),
        ("one with user information", host("Host: user@localhost\r\n"), &[400], Closed),
        ("one that is not ASCII", host("Host: löcalhost\r\n"), &[400], Closed),
        ("only a port", host("Host: :443\r\n"), &[400], Closed),
        ("a port of letters", host("Host: localhost:http\r\n"), &[400], Closed),
        ("an empty port", host("Host: localhost:\r\n"), &[400], Closed),
        ("a port over 65535", host("Host: localhost:65536\r\n"), &[400], Closed),
        ("half a bracket", host("Host: [::1\r\n"), &[400], Closed),
        ("no address in brackets", host("Host: [localhost]\r\n"), &[400], Closed),
        ("a name and a port", host("Host: localhost:8443\r\n"), &[200], Kept),
        ("an IPv6 address and a port", host("Host: [::1]:8443\r\n"), &[200], Kept),
        ("one in capitals", host("HOST: LOCALHOST\r\n"), &[200], Kept),
    ]
}

fn exchanges() -> Vec<Case> {
    let old = |fields: &str| raw(&format!("GET / HTTP/1.0\r\n{fields}\r\n"));
    vec![
        ("pipelined", raw(&get("/").repeat(3)), &[200, 200, 200], Kept),
        ("pipelined up to a close", raw(&[get("/"), close("/"), get("/")].concat()), &[200, 200], Closed),
        ("pipelined up to a fault", raw(&[get("/"), raw_fault(), get("/")].concat()), &[200, 400], Closed),
        ("pipelined bodies", [post("/", b"abc"), post("/unread", b"abc")].concat(), &[200, 200], Kept),
        ("close", raw(&close("/")), &[200], Closed),
        ("close, with an unknown path", raw(&close("/missing")), &[404], Closed),
        ("HTTP/1.0", old(""), &[200], Closed),
        ("HTTP/1.0 with a host", old("Host: localhost\r\n"), &[200], Closed),
        ("HTTP/1.0 with a host that is none", old("Host: a b\r\n"), &[400], Closed),
        ("HTTP/1.0 kept alive", old("Connection: keep-alive\r\n"), &[200], Kept),
        ("HTTP/1.0 kept alive and closed", old("Connection: keep-alive, close\r\n"), &[200], Closed),
        (
            "HTTP/1.0 with a response of unknown length",
            raw("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            &[200],
            Closed,
        ),
        ("a response of unknown length", raw(&get("/pieces")), &[200], Kept),
        ("HEAD", request("HEAD /", ""), &[200], Kept),
        ("HEAD of unknown length", request("HEAD /pieces", ""), &[200], Kept),
        ("HEAD for nothing", request("HEAD /missing", ""), &[404], Kept),
        ("HEAD that is not understood", request("HEAD //evil", ""), &[400], Closed),
        ("HEAD with a bad percent", request("HEAD /%zz", ""), &[400], Kept),
        ("HEAD with too much", request("HEAD /", &format!("X: {}\r\n", "a".repeat(20_000))), &[431], Closed),
        (
            "HEAD with a body that is too large",
            request("HEAD /", "Content-Length: 9999999\r\n"),
            &[413],
            Closed,
        ),
        ("204", raw(&get("/nothing")), &[204], Kept),
        ("304", raw(&get("/unmodified")), &[304], Kept),
        ("a line break in a response's field", raw(&get("/split")), &[500], Kept),
        ("a handler that answers with 100", raw(&get("/interim")), &[500], Kept),
        ("an expectation with a body at once", expecting("/", "abc"), &[200], Kept),
        ("another expectation", body_under("Expect: 200-ok\r\nContent-Length: 3\r\n", "abc"), &[417], Closed),
        ("an expectation without a body", request("GET /", "Expect: 100-continue\r\n"), &[200], Kept),
        (
            "an expectation over HTTP/1.0",
            raw("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
            &[200],
            Closed,
        ),
    ]
}

fn close(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn raw_fault() -> String {
    "GET / HTTP/1.1\r\n\r\n".to_string()
}

fn expecting(path: &str, body: &str) -> Vec<u8> {
    let fields = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    [request(&format!("POST {path}"), fields), raw(body)].concat()
}

fn shape(bytes: &[u8]) -> Shape {
    if bytes.starts_with(b"HEAD ") {
        Shape::HeadOnly
    } else {
        Shape::WithBody
    }
}

/// Sends a case and a request behind it, `send` deciding how it is cut up, and looks at all that comes back.
fn run(serving: &Serving, case: &Case, how: &str, send: impl Fn(&mut Client, &[u8])) {
    let (name, bytes, statuses, then) = case;
    let mut client = serving.connect();
    send(&mut client, &[bytes, MARKER.as_bytes()].concat());
    let mut last_closes = false;
    for (index, status) in statuses.iter().enumerate() {
        let reply = loop {
            let reply = client
                .try_reply(shape(bytes))
                .unwrap_or_else(|end| panic!("{name}, {how}: {end:?} in place of answer {index}"));
            if reply.status != 100 {
                break reply;
            }
        };
        assert_eq!(reply.status, *status, "{name}, {how}: {reply:?}");
        let date = reply.field("date").unwrap_or_default();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{name}, {how}: {reply:?}");
        last_closes = reply.closes();
    }
    assert_eq!(last_closes, *then == Closed, "{name}, {how}: what the last answer says");
    match then {
        Kept => {
            let marker = client.try_reply(Shape::WithBody);
            let marker = marker.unwrap_or_else(|end| panic!("{name}, {how}: {end:?} in place of the marker"));
            assert_eq!((marker.status, marker.text()), (200, "marker"), "{name}, {how}");
            client.finish();
        }
        Closed => {}
    }
    let (rest, end) = client.rest();
    assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Goodbye), "{name}, {how}");
}

fn one_write(client: &mut Client, bytes: &[u8]) {
    client.send(bytes);
}

/// A server that refuses early closes while the rest is still on its way, which is no fault.
fn byte_by_byte(client: &mut Client, bytes: &[u8]) {
    for byte in bytes {
        if client.try_send(&[*byte]).is_err() {
            return;
        }
    }
}

fn whatever_the_cuts(cases: Vec<Case>) {
    let serving = serve(router());
    for case in &cases {
        run(&serving, case, "in one write", one_write);
        if case.1.len() < 1000 {
            run(&serving, case, "byte by byte", byte_by_byte);
        }
    }
}

#[test]
fn a_message_ends_where_its_framing_says_or_is_refused() {
    whatever_the_cuts(framing());
}

#[test]
fn lines_are_read_strictly() {
    whatever_the_cuts(lines());
}

#[test]
fn targets_that_could_be_read_in_two_ways_are_refused() {
    whatever_the_cuts(targets());
}

#[test]
fn a_host_is_a_host() {
    whatever_the_cuts(hosts());
}

#[test]
fn a_connection_is_kept_or_closed_as_both_sides_said() {
    whatever_the_cuts(exchanges());
}

#[test]
fn where_a_request_is_split_makes_no_difference() {
    let serving = serve(router());
    let cases: [Case; 5] = [
        ("a body", post("/", b"abc"), &[200], Kept),
        ("chunks and a trailer", in_chunks("3;a\r\nabc\r\n0\r\nX: 1\r\n\r\n"), &[200], Kept),
        ("two requests and an empty line", raw(&format!("{}\r\n{}", get("/"), get("/"))), &[200, 200], Kept),
        ("LF alone", raw("GET / HTTP/1.1\r\nHost: localhost\r\n\n"), &[400], Closed),
        (
            "a coding and a length",
            body_under("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", ""),
            &[400],
            Closed,
        ),
    ];
    for case in &cases {
        for split in 1..case.1.len() {
            run(&serving, case, &format!("split at {split}"), |client, bytes| {
                client.send(&bytes[..split]);
                if client.try_send(&bytes[split..]).is_err() {
                    assert_eq!(case.3, Closed);
                }
            });
        }
    }
}

/// Found by the fuzzer: 413 or 404, by how much of a chunk had come at once.
#[test]
fn how_much_of_a_large_chunk_comes_at_once_makes_no_difference() {
    let serving = support::serve_within(router(), |limits| {
        limits.body_bytes = 512;
        limits.body_buffer_bytes = 64;
    });
    for (path, status) in [("/", 413), ("/unread", 200), ("/missing", 404)] {
        let head = request(&format!("POST {path}"), "Transfer-Encoding: chunked\r\n");
        let whole = [&head[..], &chunked(&noise(600), 600)].concat();
        for at in [whole.len(), head.len() + 80] {
            let (first, second) = whole.split_at(at);
            let mut client = serving.connect();
            client.send(first);
            client.send(second);
            assert_eq!(client.reply().status, status, "{path}, cut at {at}");
            client.expect_goodbye();
        }
    }
}

#[test]
fn a_hundred_requests_in_one_write_are_answered_in_order() {
    let serving = serve(router());
    let mut client = serving.connect();
    let requests: Vec<u8> = (0..100).flat_map(|n| post("/", format!("number {n}").as_bytes())).collect();
    client.send(requests);
    for n in 0..100 {
        assert_eq!(client.reply().text(), format!("number {n}"));
    }
}

#[test]
fn bodies_and_fields_come_through_as_they_were_sent() {
    let serving = serve(router());
    let mut client = serving.connect();
    let body = noise(10_000);
    client.send(post("/", &body));
    assert_eq!(client.reply().body, body);
    client.send([request("POST /", "Transfer-Encoding: chunked\r\n"), chunked(&body, 77)].concat());
    assert_eq!(client.reply().body, body);
    assert_eq!(client.get("/pieces").text(), "in pieces");

    let bytes =
        [b"GET /value HTTP/1.1\r\nHost: localhost\r\nX: ", &b"\xff\xc3\x28\x80"[..], b"\r\n\r\n"].concat();
    client.send(bytes);
    assert_eq!(client.reply().body, b"\xff\xc3\x28\x80");

    client.send("GET https://device.local:8443/host HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(client.reply().text(), "device.local");
}

#[test]
fn trailers_are_dropped_and_never_become_fields() {
    let serving = serve(router());
    let mut client = serving.connect();
    let head = request("POST /fields", "Transfer-Encoding: chunked\r\nTrailer: X-Admin\r\n");
    client.send([head, raw("3\r\nabc\r\n0\r\nX-Admin: yes\r\nHost: evil\r\n\r\n")].concat());
    assert_eq!(client.reply().text(), "3 host trailer transfer-encoding");
}

#[test]
fn a_response_has_no_body_where_http_has_none() {
    let serving = serve(router());
    let mut client = serving.connect();
    client.send(request("HEAD /", ""));
    let head = client.try_reply(Shape::HeadOnly).unwrap();
    assert_eq!(head.field("content-length"), Some("4"));
    let nothing = client.get("/nothing");
    assert_eq!((nothing.status, nothing.field("content-length")), (204, None));
    let unmodified = client.get("/unmodified");
    assert_eq!((unmodified.status, unmodified.field("etag")), (304, Some("\"1\"")));
    client.send(request("OPTIONS *", ""));
    assert!(client.reply().field("allow").is_some());
    client.send(request("OPTIONS /", ""));
    assert_eq!(client.reply().field("allow"), Some("GET, POST, HEAD, OPTIONS"));
    client.send(request("DELETE /", ""));
    assert_eq!(client.reply().field("allow"), Some("GET, POST, HEAD, OPTIONS"));
    assert_eq!(client.get("/marker").text(), "marker");
}

#[test]
fn a_line_break_that_a_handler_sets_never_reaches_the_wire() {
    let serving = serve(router());
    let reply = serving.get("/split");
    assert_eq!(reply.status, 500);
    assert!(reply.field("set-cookie").is_none() && reply.field("x").is_none());
    reply.problem();
}

#[test]
fn a_body_is_asked_for_only_when_it_is_wanted() {
    let serving = serve(router());
    for coding in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let expecting = |line: &str| request(line, &format!("Expect: 100-continue\r\n{coding}\r\n"));
        let body = if coding.starts_with('C') { "abc" } else { "3\r\nabc\r\n0\r\n\r\n" };
        let mut client = serving.connect();
        client.send(expecting("POST /"));
        let interim = client.reply();
        assert_eq!((interim.status, interim.fields.len()), (100, 0));
        client.send(body);
        assert_eq!(client.reply().text(), "abc");
        assert_eq!(client.get("/marker").text(), "marker");

        for (line, status) in [("POST /missing", 404), ("DELETE /", 405), ("POST /%zz", 400)] {
            let mut client = serving.connect();
            client.send(expecting(line));
            let reply = client.reply();
            assert_eq!((reply.status, reply.closes()), (status, true), "{line}");
            client.expect_goodbye();
        }
    }
    let mut client = serving.connect();
    client.send(request("POST /", "Expect: 100-continue\r\nContent-Length: 9999999\r\n"));
    assert_eq!(client.reply().status, 413);
    client.expect_goodbye();

    let mut client = serving.connect();
    client.send(expecting("/", "abc"));
    assert_eq!((client.reply().status, client.get("/marker").status), (200, 200));
}

#[test]
fn a_request_that_is_cut_short_is_never_served() {
    let serving = serve(router());
    let whole = [post("/", b"abc"), raw("")].concat();
    let coded = in_chunks("3\r\nabc\r\n0\r\n\r\n");
    let bare = raw(&get("/"));
    for bytes in [&whole, &coded, &bare] {
        for end in (1..bytes.len()).filter(|end| *end < 12 || bytes.len() - end < 20) {
            let mut half_closed = serving.connect();
            half_closed.send(&bytes[..end]);
            half_closed.finish();
            half_closed.expect_nothing(&format!("half-closed after {end} bytes"));

            let mut left = serving.connect();
            left.send(&bytes[..end]);
            left.leave();
            left.expect_nothing(&format!("left after {end} bytes"));
        }
    }
    assert_eq!(serving.get("/marker").text(), "marker");
}

trait ExpectNothing {
    /// The connection ends, however it ends, without an answer that could be taken for success.
    fn expect_nothing(&mut self, when: &str);
}

impl ExpectNothing for Client {
    fn expect_nothing(&mut self, when: &str) {
        let (rest, _) = self.rest();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{when}: {text}");
    }
}

#[test]
fn what_came_whole_before_a_half_close_is_answered() {
    let serving = serve(router());
    for end in [Client::finish, Client::leave] {
        let mut client = serving.connect();
        client.send(get("/") + &get("/marker"));
        end(&mut client);
        assert_eq!((client.reply().text().len(), client.reply().text()), (4, "marker"));
        client.expect_goodbye();
    }
}

#[test]
fn a_reset_in_any_phase_harms_nobody_else_and_leaves_nothing_behind() {
    let serving = support::serve_within(router(), |limits| limits.connections = 3);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01";
    let phases: [(&str, &[u8]); 5] = [
        ("in an idle connection", b""),
        ("in a head", b"GET / HTTP/1.1\r\nHos"),
        ("in a body", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"),
        (
            "in a body of chunks",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        ),
        ("in a refused request", b"GET / HTTP/1.1\nHost"),
    ];
    for _ in 0..3 {
        let silent = serving.connect_silently();
        reset(silent);
        let mut greeting = serving.connect_silently();
        greeting.write_all(hello).unwrap();
        reset(greeting);
        for (name, bytes) in phases {
            let mut client = connect_when_there_is_room(&serving);
            client.send(bytes);
            client.reset();
            assert_eq!(connect_when_there_is_room(&serving).get("/marker").text(), "marker", "{name}");
        }
        let mut client = connect_when_there_is_room(&serving);
        client.send(get("/"));
        assert_eq!(client.reply().status, 200);
        client.reset();
    }
}

/// The server learns of a reset a little later than the client does it; until then its place is taken.
fn connect_when_there_is_room(serving: &Serving) -> Client {
    for _ in 0..10_000 {
        if let Ok(client) = Client::connect(serving.address) {
            return client;
        }
        std::thread::yield_now();
    }
    panic!("places are not given back");
}

#[test]
fn a_refusal_can_be_read_to_its_end_by_who_has_sent_megabytes_more() {
    let serving = serve(router());
    for head in [
        request("POST /", "Content-Length: 99999999\r\n"),
        request("POST /", "Content-Length: +1\r\n"),
        request("POST /missing", "Content-Length: 1000000\r\n"),
        request("POST /unread", "Content-Length: 1000000\r\n"),
    ] {
        let mut client = serving.connect();
        client.send(&head);
        client.send(vec![b'x'; 6 * 1024 * 1024]);
        let reply = client.reply();
        assert!(reply.closes() && !reply.body.is_empty(), "{reply:?}");
        client.expect_goodbye();
    }
}

#[test]
fn plain_http_on_the_tls_port_gets_an_answer_that_it_can_read() {
    let serving = serve(router());
    for request in [get("/"), post_text(), "OPTIONS * HTTP/1.1\r\n".to_string()] {
        let mut plain = serving.connect_silently();
        plain.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.contains("https://"), "{answer}");
        assert!(answer.ends_with('}'), "{answer}");
    }
}

fn post_text() -> String {
    String::from_utf8(post("/", &[b'x'; 100_000])).unwrap()
}

#[test]
fn neither_tls_nor_http_is_closed_without_an_answer() {
    let serving = serve(router());
    for bytes in
        [&b"\0\0\0\0"[..], b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04junk", b"\x80\x2e\x01\x03\x01"]
    {
        let mut plain = serving.connect_silently();
        plain.write_all(bytes).unwrap();
        plain.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{bytes:?}: {answer:?}");
    }
    assert_eq!(serving.get("/marker").text(), "marker");
}

#[test]
fn tls_on_the_plain_port_is_closed_and_the_redirect_goes_on() {
    let serving = serve(router());
    assert!(Client::connect(serving.redirect).is_err());
    let mut plain = connect_plain(serving.redirect).unwrap();
    plain.write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    let location = format!("\r\nlocation: https://localhost:{}/a\r\n", serving.address.port());
    assert!(answer.starts_with("HTTP/1.1 308 ") && answer.contains(&location), "{answer}");
}

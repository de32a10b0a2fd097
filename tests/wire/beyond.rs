//! What a row of the table cannot say: what handlers see, further fields of an answer, and what follows on the connection.

use std::io::{Read, Write};

use lockgate::Request;

use crate::router;
use crate::support::{
    chunked, connect_plain, get, noise, post, reset, serve, serve_within, Client, Serving, Shape,
};
use crate::table::{in_chunks, request};

/// Found by the fuzzer: 413 or 404, by how much of a chunk had come at once.
#[test]
fn how_much_of_a_large_chunk_comes_at_once_makes_no_difference() {
    let serving = serve_within(router(), |limits| {
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
    client.send([head, b"3\r\nabc\r\n0\r\nX-Admin: yes\r\nHost: evil\r\n\r\n".to_vec()].concat());
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
}

#[test]
fn a_request_that_is_cut_short_is_never_served() {
    let serving = serve(router());
    let whole = post("/", b"abc");
    let coded = in_chunks("3\r\nabc\r\n0\r\n\r\n");
    let bare = get("/").into_bytes();
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
fn a_reset_in_any_phase_harms_nobody_else_and_leaves_nothing_behind() {
    let serving = serve_within(router(), |limits| limits.connections = 3);
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

/// Whatever the HTTPS side refuses for its target, the redirect refuses with the same words; it passes on all else.
#[test]
fn the_redirect_and_https_agree_about_targets() {
    let plain = serve(router());
    let with_slashes = serve(router().get("/ports/{port%2F}", |_: &mut Request| "port"));
    // The answers over TLS without and with a route that takes an encoded slash. Where one does, the redirect, which knows no
    // routes, lets it pass in every path.
    for (target, expected, with_route, passes_with_route) in [
        ("/marker", 200, 200, true),
        ("/a//b", 404, 404, true),
        ("/marker?a=b\\c|{}^`[]'", 200, 200, true),
        ("/marker?a=%2F%zz/../", 200, 200, true),
        ("/%6Darker", 200, 200, true),
        ("/ports/a%2Fb", 400, 200, true),
        ("/marker%2F", 400, 400, true),
        ("/ports/a%2F..", 400, 400, false),
        ("/%5c", 400, 400, false),
        ("/\\", 400, 400, false),
        ("/%00", 400, 400, false),
        ("/%zz", 400, 400, false),
        ("/%ff", 400, 400, false),
        ("/a/../b", 400, 400, false),
        ("/%2e/b", 400, 400, false),
        ("//evil", 400, 400, false),
        ("/a#b", 400, 400, false),
        ("/?a#b", 400, 400, false),
        ("/?\"", 400, 400, false),
        ("/?a<b>", 400, 400, false),
        ("https://localhost/marker", 200, 200, true),
        ("https://localhost:/marker", 200, 200, true),
        ("https://localhost/%5C", 400, 400, false),
        ("https://user@localhost/", 400, 400, false),
    ] {
        for (serving, status, passes) in
            [(&plain, expected, expected != 400), (&with_slashes, with_route, passes_with_route)]
        {
            let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut client = serving.connect();
            client.send(&request);
            let reply = client.reply();
            assert_eq!(reply.status, status, "{target}");
            let mut clear = connect_plain(serving.redirect).unwrap();
            clear.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            clear.read_to_string(&mut answer).unwrap();
            let start = if passes { "HTTP/1.1 301 " } else { "HTTP/1.1 400 " };
            assert!(answer.starts_with(start), "{target}: {answer}");
            assert!(passes || answer.ends_with(reply.text()), "{target}: {answer}");
        }
    }
}

fn post_text() -> String {
    String::from_utf8(post("/", &[b'x'; 100_000])).unwrap()
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
    assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains(&location), "{answer}");
}

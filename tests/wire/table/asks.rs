//! What a request asks of its answer: HEAD, Expect, and what HTTP/1.0 does without.

use super::{group, post, request, row, Closed, Group, Kept, Row, Step};
use crate::HEAD_BYTES;

pub fn rows() -> Vec<Row> {
    [group(Group::Head, to_head()), group(Group::Expect, expect()), group(Group::Http10, http_1_0())].concat()
}

fn to_head() -> Vec<Row> {
    let head = |path: &str| request(&format!("HEAD {path}"), "");
    vec![
        row("HEAD", "9110 §9.3.2", head("/"), &[200], Kept),
        row("HEAD of unknown length", "9110 §9.3.2", head("/pieces"), &[200], Kept),
        row("HEAD of nothing", "9110 §9.3.2", head("/nothing"), &[204], Kept),
        row("HEAD of what has not changed", "9110 §9.3.2", head("/unmodified"), &[304], Kept),
        row("HEAD for a path that is not there", "9110 §9.3.2", head("/missing"), &[404], Kept),
        row("HEAD for a path that has no GET", "9110 §15.5.6", head("/unread"), &[405], Kept),
        row(
            "HEAD with a body",
            "9110 §9.3.2",
            [request("HEAD /", "Content-Length: 3\r\n"), b"abc".into()].concat(),
            &[200],
            Kept,
        ),
        row("HEAD in absolute form", "9112 §3.2.2", head("https://localhost/"), &[200], Kept),
        row("HEAD, twice", "9110 §9.3.2", head("/").repeat(2), &[200, 200], Kept).answering_head(&[0, 1]),
        row("HEAD and a close", "9110 §9.3.2", request("HEAD /", "Connection: close\r\n"), &[200], Closed),
        row("HEAD of what fails", "9110 §9.3.2", head("/split"), &[500], Kept),
        row("HEAD with a bad path", "9110 §9.3.2", head("/%zz"), &[400], Kept),
        row("HEAD that is not understood", "9110 §9.3.2", head("//evil"), &[400], Closed),
        row("HEAD without a host", "9110 §9.3.2", "HEAD / HTTP/1.1\r\n\r\n", &[400], Closed),
        row("HEAD with LF alone", "9110 §9.3.2", "HEAD / HTTP/1.1\nHost: localhost\n\n", &[400], Closed)
            .strict("LF alone may end a line (§2.2)"),
        row(
            "HEAD with another version",
            "9110 §9.3.2",
            "HEAD / HTTP/2.0\r\nHost: localhost\r\n\r\n",
            &[505],
            Closed,
        ),
        row(
            "HEAD with too long a head",
            "9110 §9.3.2",
            request("HEAD /", &format!("X: {}\r\n", "a".repeat(HEAD_BYTES))),
            &[431],
            Closed,
        ),
        row(
            "HEAD with too large a body",
            "9110 §9.3.2",
            request("HEAD /", "Content-Length: 9999999\r\n"),
            &[413],
            Closed,
        ),
        row(
            "HEAD with a bad chunk",
            "9110 §9.3.2",
            [request("HEAD /", "Transfer-Encoding: chunked\r\n"), b"x\r\n".into()].concat(),
            &[400],
            Closed,
        )
        .at_redirect(&[308]),
    ]
}

fn expect() -> Vec<Row> {
    const LENGTH: &str = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    const CODED: &str = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n";
    const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";
    const AT_ONCE: &str = "a server may go on with the connection when no body was sent; but it cannot know";
    let waiting = |name, fields: &str, body: &str| {
        row(name, "9110 §10.1.1", request("POST /", fields), &[100, 200], Kept)
            .says("abc")
            .then(Step::AwaitAnswer)
            .then_send(body)
            .at_redirect(&[308])
    };
    // The answer comes in place of 100, and the body never.
    let refused = |name, line: &str, fields: &str, answers| {
        row(name, "9110 §10.1.1", request(line, fields), answers, Closed)
            .then(Step::AwaitAnswer)
            .strict(AT_ONCE)
    };
    vec![
        waiting("a body that is asked for", LENGTH, "abc"),
        waiting("chunks that are asked for", CODED, CHUNKS),
        waiting("an expectation in capitals", "EXPECT: 100-CONTINUE\r\nContent-Length: 3\r\n", "abc"),
        waiting(
            "tabs and spaces around an expectation",
            "Expect:\t 100-continue \t\r\nContent-Length: 3\r\n",
            "abc",
        ),
        row("a body at once", "9110 §10.1.1", post(LENGTH, "abc"), &[200], Kept).says("abc"),
        row("chunks at once", "9110 §10.1.1", post(CODED, CHUNKS), &[200], Kept).says("abc"),
        row("no body", "9110 §10.1.1", request("GET /", "Expect: 100-continue\r\n"), &[200], Kept),
        row(
            "an expectation and length 0",
            "9110 §10.1.1",
            post("Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
            &[200],
            Kept,
        )
        .says(""),
        row(
            "over HTTP/1.0",
            "9110 §10.1.1",
            "POST / HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            &[200],
            Closed,
        )
        .says("abc"),
        refused("for a path that is not there", "POST /missing", LENGTH, &[404]),
        refused("chunks for a path that is not there", "POST /missing", CODED, &[404]),
        refused("for a method that the path has not", "DELETE /", LENGTH, &[405]),
        refused("for a method that nobody knows", "BREW /", LENGTH, &[501]).at_redirect(&[308]),
        refused("for a bad path", "POST /%zz", LENGTH, &[400]),
        refused(
            "for too large a body",
            "POST /",
            "Expect: 100-continue\r\nContent-Length: 9999999\r\n",
            &[413],
        ),
        row(
            "another expectation",
            "9110 §10.1.1",
            post("Expect: 200-ok\r\nContent-Length: 3\r\n", "abc"),
            &[417],
            Closed,
        )
        .strict("an expectation that is not known may be ignored (§10.1.1)"),
        row(
            "an empty expectation",
            "9110 §10.1.1",
            post("Expect:\r\nContent-Length: 3\r\n", "abc"),
            &[417],
            Closed,
        )
        .strict("an expectation that is not known may be ignored (§10.1.1)"),
        row(
            "a list of expectations",
            "9110 §10.1.1",
            post("Expect: 100-continue, a\r\nContent-Length: 3\r\n", "abc"),
            &[417],
            Closed,
        )
        .strict("an expectation that is not known may be ignored (§10.1.1)"),
        row(
            "an expectation with a parameter",
            "9110 §10.1.1",
            post("Expect: 100-continue; a=b\r\nContent-Length: 3\r\n", "abc"),
            &[417],
            Closed,
        )
        .strict("an expectation that is not known may be ignored (§10.1.1)"),
        row(
            "two expectations that agree",
            "9110 §10.1.1",
            post("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n", "abc"),
            &[200],
            Kept,
        )
        .says("abc"),
        row(
            "another expectation over HTTP/1.0",
            "9110 §10.1.1",
            "GET / HTTP/1.0\r\nHost: localhost\r\nExpect: a\r\n\r\n",
            &[417],
            Closed,
        )
        .strict("a server may ignore an expectation in HTTP/1.0 (§10.1.1)"),
    ]
}

fn http_1_0() -> Vec<Row> {
    let old = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n");
    const OWN: &str = "Host: localhost\r\n";
    vec![
        row("HTTP/1.0", "9112 §9.3", old(""), &[200], Closed).at_redirect(&[400]),
        row("HTTP/1.0 with a host", "9112 §9.3", old(OWN), &[200], Closed),
        row("HTTP/1.0 with a host that is none", "9110 §7.2", old("Host: a b\r\n"), &[400], Closed),
        row("HTTP/1.0 with two hosts", "9112 §3.2", old("Host: localhost\r\nHost: localhost\r\n"), &[400], Closed),
        row("HTTP/1.0 in absolute form", "9112 §3.2.2", "GET http://localhost/marker HTTP/1.0\r\n\r\n", &[200], Closed).says("marker"),
        row("HTTP/1.0, kept", "9112 §9.3", old(&format!("{OWN}Connection: keep-alive\r\n")), &[200], Kept),
        row("HTTP/1.0, kept, in capitals", "9112 §9.3", old(&format!("{OWN}Connection: Keep-Alive\r\n")), &[200], Kept),
        row("HTTP/1.0, kept, among options", "9112 §9.3", old(&format!("{OWN}Connection: a,,keep-alive\r\n")), &[200], Kept),
        row("HTTP/1.0, kept and closed", "9112 §9.3", old(&format!("{OWN}Connection: keep-alive, close\r\n")), &[200], Closed),
        row("HTTP/1.0, kept by its own field", "9112 §9.3", old(&format!("{OWN}Keep-Alive: timeout=5\r\n")), &[200], Closed),
        row("HTTP/1.0, kept by a proxy's field", "9112 §C.2.2", old(&format!("{OWN}Proxy-Connection: keep-alive\r\n")), &[200], Closed),
        row("HTTP/1.0, kept, pipelined", "9112 §9.3.2", old(&format!("{OWN}Connection: keep-alive\r\n")).repeat(2), &[200, 200], Kept),
        row("HTTP/1.0, not kept, pipelined", "9112 §9.3", old(OWN).repeat(2), &[200], Closed),
        row("HTTP/1.0 with a body", "9112 §6.2", "POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", &[200], Closed).says("abc"),
        row("HTTP/1.0 with a body of no length", "9112 §6.3", "POST / HTTP/1.0\r\nHost: localhost\r\n\r\nabc", &[200], Closed).says(""),
        row("HTTP/1.0 with chunks", "9112 §6.1", "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &[400], Closed)
            .strict("the framing may be taken for faulty, and the connection closed after the answer (§6.1)"),
        row("HTTP/1.0 with chunks, kept", "9112 §6.1", "POST / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], Closed)
            .strict("the framing may be taken for faulty, and the connection closed after the answer (§6.1)"),
        row("HTTP/1.0 for what has no known length", "9112 §6.3", "GET /pieces HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", &[200], Closed)
            .says("in pieces"),
        row("HTTP/1.0 with HEAD", "9110 §9.3.2", "HEAD / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", &[200], Kept),
        row("HTTP/1.0 with HEAD for what has no known length", "9110 §9.3.2", "HEAD /pieces HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", &[200], Kept),
        row("HTTP/1.0 for a path that is not there", "9112 §9.3", "GET /missing HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", &[404], Kept),
    ]
}

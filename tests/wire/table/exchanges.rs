//! Several requests on a connection, requests in several pieces, and requests that are too large.

use super::{close, get, group, in_chunks, post, request, row, Closed, Ended, Group, Kept, Row, Tls};
use crate::{BODY_BUFFER_BYTES, BODY_BYTES, HEAD_BYTES};

/// What a head may have at the redirect.
const REDIRECT_HEAD_BYTES: usize = 8 * 1024;

pub fn rows() -> Vec<Row> {
    [
        group(Group::Pipelining, pipelining()),
        group(Group::Splitting, splitting()),
        group(Group::Limits, limits()),
    ]
    .concat()
}

fn pipelining() -> Vec<Row> {
    let fault = "GET / HTTP/1.1\r\n\r\n";
    let unread = |body: &str| {
        [request("POST /unread", &format!("Content-Length: {}\r\n", body.len())), body.into()].concat()
    };
    vec![
        row("three", "9112 §9.3.2", get("/").repeat(3), &[200, 200, 200], Kept),
        row("twenty", "9112 §9.3.2", get("/").repeat(20), &[200; 20], Kept),
        row("up to a close", "9112 §9.6", [get("/"), close("/"), get("/")].concat(), &[200, 200], Closed),
        row("up to a fault", "9112 §9.3.2", [get("/"), fault.into(), get("/")].concat(), &[200, 400], Closed)
            .at_redirect(&[308]),
        row("a fault first", "9112 §9.3.2", [fault.into(), get("/"), get("/")].concat(), &[400], Closed),
        row("past what is not found", "9112 §9.3.2", [get("/missing"), get("/")].concat(), &[404, 200], Kept),
        row("past a bad path", "9112 §9.3.2", [get("/%zz"), get("/")].concat(), &[400, 200], Kept),
        row(
            "past a method that nobody knows",
            "9112 §9.3.2",
            [request("BREW /", ""), get("/").into()].concat(),
            &[501, 200],
            Kept,
        )
        .at_redirect(&[308]),
        row(
            "bodies",
            "9112 §9.3.2",
            [post("Content-Length: 3\r\n", "abc"), post("Content-Length: 3\r\n", "xyz")].concat(),
            &[200, 200],
            Kept,
        )
        .says("xyz"),
        row(
            "bodies in chunks",
            "9112 §9.3.2",
            in_chunks("3\r\nabc\r\n0\r\n\r\n").repeat(2),
            &[200, 200],
            Kept,
        )
        .says("abc"),
        row(
            "a length, then chunks",
            "9112 §9.3.2",
            [post("Content-Length: 3\r\n", "abc"), in_chunks("3\r\nxyz\r\n0\r\n\r\n")].concat(),
            &[200, 200],
            Kept,
        )
        .says("xyz"),
        row(
            "a body that nobody has read",
            "9112 §9.3",
            [unread("abc"), get("/").into()].concat(),
            &[200, 200],
            Kept,
        ),
        row(
            "a body like a request that nobody has read",
            "9112 §9.3",
            [unread(&get("/evil")), get("/").into()].concat(),
            &[200, 200],
            Kept,
        )
        .says("root"),
        row(
            "a body that nobody could read for its size",
            "9112 §9.3",
            [unread(&get("/marker").repeat(BODY_BUFFER_BYTES / 20)), get("/").into()].concat(),
            &[200],
            Closed,
        ),
        row(
            "without waiting after HEAD",
            "9110 §9.3.2",
            [request("HEAD /", ""), get("/").into()].concat(),
            &[200, 200],
            Kept,
        )
        .answering_head(&[0])
        .says("root"),
        row(
            "without waiting after 204",
            "9110 §15.3.5",
            [get("/nothing"), get("/")].concat(),
            &[204, 200],
            Kept,
        )
        .says("root"),
        row(
            "without waiting after 304",
            "9110 §15.4.5",
            [get("/unmodified"), get("/")].concat(),
            &[304, 200],
            Kept,
        )
        .says("root"),
        row(
            "without waiting after pieces",
            "9112 §7.1",
            [get("/pieces"), get("/")].concat(),
            &[200, 200],
            Kept,
        )
        .says("root"),
        row(
            "without waiting after OPTIONS *",
            "9110 §9.3.7",
            [request("OPTIONS *", ""), get("/").into()].concat(),
            &[204, 200],
            Kept,
        )
        .says("root"),
        row(
            "a length that is one too short",
            "9112 §6.3",
            [post("Content-Length: 2\r\n", "abc"), get("/").into()].concat(),
            &[200, 501],
            Kept,
        )
        .at_redirect(&[308]),
        row(
            "a length that is one too long",
            "9112 §6.3",
            [post("Content-Length: 4\r\n", "abc"), get("/").into()].concat(),
            &[200, 501],
            Kept,
        )
        .at_redirect(&[308]),
        row("LF between requests", "9112 §2.2", format!("{}\n{}", get("/"), get("/")), &[200, 400], Closed)
            .at_redirect(&[308])
            .strict("LF alone may end an empty line (§2.2)"),
        row(
            "two empty lines between requests",
            "9112 §2.2",
            format!("{}\r\n\r\n{}", get("/"), get("/")),
            &[200, 400],
            Closed,
        )
        .at_redirect(&[308])
        .strict("at least one empty line should be ignored (§2.2), and so more may be"),
        row(
            "rubbish between requests",
            "9112 §9.3.2",
            format!("{}\0\0\0\0\r\n\r\n{}", get("/"), get("/")),
            &[200, 400],
            Closed,
        )
        .at_redirect(&[308]),
        row(
            "a handler that sets a line break",
            "9112 §11.1",
            [get("/split"), get("/")].concat(),
            &[500, 200],
            Kept,
        ),
        row(
            "a handler that answers with 100",
            "9110 §15.2",
            [get("/interim"), get("/")].concat(),
            &[500, 200],
            Kept,
        ),
    ]
}

/// Each is also sent in two writes, split at each byte in turn.
fn splitting() -> Vec<Row> {
    let rows = vec![
        row("GET, split", "9112 §2.2", get("/"), &[200], Kept),
        row("a body, split", "9112 §6.2", post("Content-Length: 3\r\n", "abc"), &[200], Kept).says("abc"),
        row(
            "chunks and a trailer, split",
            "9112 §7.1",
            in_chunks("3;a\r\nabc\r\n0\r\nX: 1\r\n\r\n"),
            &[200],
            Kept,
        )
        .says("abc"),
        row(
            "chunks for nobody, split",
            "9112 §7.1",
            [request("POST /missing", "Transfer-Encoding: chunked\r\n"), b"3\r\nabc\r\n0\r\n\r\n".into()]
                .concat(),
            &[404],
            Kept,
        ),
        row(
            "two requests and an empty line, split",
            "9112 §9.3.2",
            format!("{}\r\n{}", get("/"), get("/")),
            &[200, 200],
            Kept,
        ),
        row("an empty line in front, split", "9112 §2.2", format!("\r\n{}", get("/")), &[200], Kept),
        row("two empty lines in front, split", "9112 §2.2", format!("\r\n\r\n{}", get("/")), &[400], Closed),
        row("LF alone, split", "9112 §2.2", "GET / HTTP/1.1\r\nHost: localhost\r\n\n", &[400], Closed),
        row(
            "CR alone, split",
            "9112 §2.2",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\rX\r\n\r\n",
            &[400],
            Closed,
        ),
        row(
            "a coding and a length, split",
            "9112 §6.3",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", ""),
            &[400],
            Closed,
        ),
        row("a bad chunk, split", "9112 §7.1", in_chunks("3\r\nabcd\r\n0\r\n\r\n"), &[400], Closed)
            .at_redirect(&[308]),
        row(
            "absolute form, split",
            "9112 §3.2.2",
            request("GET https://localhost/marker?a", ""),
            &[200],
            Kept,
        )
        .says("marker"),
        row("HEAD, split", "9110 §9.3.2", request("HEAD /", ""), &[200], Kept),
        row(
            "an expectation, split",
            "9110 §10.1.1",
            post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"),
            &[200],
            Kept,
        )
        .says("abc"),
        row("HTTP/1.0, split", "9112 §9.3", "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", &[200], Closed),
        row("a close, split", "9112 §9.6", close("/"), &[200], Closed),
        row(
            "a character of several bytes, split",
            "9110 §5.5",
            "GET /value HTTP/1.1\r\nHost: localhost\r\nX: ä€\r\n\r\n",
            &[200],
            Kept,
        )
        .says("ä€"),
    ];
    rows.into_iter().map(Row::at_every_split).collect()
}

fn limits() -> Vec<Row> {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let body = |length: usize| post(&format!("Content-Length: {length}\r\n"), &"x".repeat(length));
    let chunk = |length: usize| in_chunks(&format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length)));
    // So that the head is just as long.
    let head_of = |length: usize| {
        request("GET /", &format!("X: {}\r\n", "a".repeat(length - request("GET /", "X: \r\n").len())))
    };
    vec![
        row("64 fields", "9110 §5.4", request("GET /", &many(63)), &[200], Kept),
        row("65 fields", "6585 §5", request("GET /", &many(64)), &[431], Closed),
        row("hundreds of fields", "6585 §5", request("GET /", &many(300)), &[431], Closed),
        row("a head that just fits the redirect", "9110 §5.4", head_of(REDIRECT_HEAD_BYTES), &[200], Kept),
        row("a head that just fits", "9110 §5.4", head_of(HEAD_BYTES), &[200], Kept).at_redirect(&[431]),
        row("a head that is one byte too long", "6585 §5", head_of(HEAD_BYTES + 1), &[431], Closed),
        row(
            "a field without an end",
            "6585 §5",
            format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(HEAD_BYTES)),
            &[431],
            Closed,
        ),
        row(
            "a name without an end",
            "6585 §5",
            format!("GET / HTTP/1.1\r\n{}", "a".repeat(HEAD_BYTES)),
            &[431],
            Closed,
        ),
        row(
            "fields without an end",
            "6585 §5",
            format!("GET / HTTP/1.1\r\n{}", "x: 1\r\n".repeat(HEAD_BYTES / 6)),
            &[431],
            Closed,
        ),
        row(
            "a target that is too long",
            "9110 §15.5.15",
            request(&format!("GET /{}", "a".repeat(HEAD_BYTES)), ""),
            &[414],
            Closed,
        ),
        row(
            "a query that is too long",
            "9110 §15.5.15",
            request(&format!("GET /?{}", "a".repeat(HEAD_BYTES)), ""),
            &[414],
            Closed,
        ),
        row(
            "a target that is long",
            "9112 §3",
            request(&format!("GET /?{}", "a".repeat(8_000)), ""),
            &[200],
            Kept,
        ),
        row("a line without an end", "9110 §15.5.15", "a".repeat(HEAD_BYTES + 1_000), &[414], Closed),
        row("a line of CR without an end", "9112 §2.2", "\r".repeat(HEAD_BYTES + 1_000), &[414], Closed),
        row("a body that is kept", "9110 §15.5.14", body(BODY_BUFFER_BYTES), &[200], Kept),
        row(
            "a body that is just too large to be kept",
            "9110 §15.5.14",
            body(BODY_BUFFER_BYTES + 1),
            &[200],
            Kept,
        ),
        row("a body that just fits", "9110 §15.5.14", body(BODY_BYTES), &[200], Kept),
        row("a body that is one byte too long", "9110 §15.5.14", body(BODY_BYTES + 1), &[413], Closed),
        row(
            "a body that is far too long",
            "9110 §15.5.14",
            request("POST /", "Content-Length: 999999999999\r\n"),
            &[413],
            Closed,
        ),
        row(
            "a body for nobody that is too long",
            "9110 §15.5.14",
            request("POST /missing", "Content-Length: 999999\r\n"),
            &[413],
            Closed,
        ),
        row("chunks that are kept", "9110 §15.5.14", chunk(BODY_BUFFER_BYTES), &[200], Kept),
        row(
            "chunks that are just too large to be kept",
            "9110 §15.5.14",
            chunk(BODY_BUFFER_BYTES + 1),
            &[200],
            Kept,
        ),
        row("chunks that just fit", "9110 §15.5.14", chunk(BODY_BYTES), &[200], Kept),
        row("chunks that are one byte too long", "9110 §15.5.14", chunk(BODY_BYTES + 1), &[413], Closed),
        row(
            "chunks of one byte that are too many",
            "9110 §15.5.14",
            in_chunks(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(BODY_BYTES + 1))),
            &[413],
            Closed,
        ),
        row(
            "chunks for nobody that are too large to be kept",
            "9112 §9.3",
            [
                request("POST /missing", "Transfer-Encoding: chunked\r\n"),
                format!("{:x}\r\n{}\r\n0\r\n\r\n", BODY_BUFFER_BYTES + 1, "x".repeat(BODY_BUFFER_BYTES + 1))
                    .into(),
            ]
            .concat(),
            &[404],
            Ended,
        ),
        row(
            "a body that nobody reads for its size",
            "9112 §9.3",
            [
                request("POST /unread", &format!("Content-Length: {}\r\n", BODY_BUFFER_BYTES + 1)),
                "x".repeat(BODY_BUFFER_BYTES + 1).into(),
            ]
            .concat(),
            &[200],
            Closed,
        )
        .strict("what is left of a body may be read past (§9.3)"),
        row(
            "a body whose end does not come",
            "9110 §15.5.14",
            request("POST /", "Content-Length: 4097\r\n"),
            &[413],
            Closed,
        )
        .only(Tls),
    ]
}

//! How connections end, and what does not speak what the port speaks.

use super::{
    close, get, group, in_chunks, post, request, row, Clear, Closed, Group, Redirect, Row, Step, Tls,
};

pub fn rows() -> Vec<Row> {
    [
        group(Group::Closing, closing()),
        group(Group::ClearToTls, clear_to_tls()),
        group(Group::TlsToClear, tls_to_clear()),
    ]
    .concat()
}

pub const BROKE_OTHERS: &[(&str, &[&str])] = &[
    (
        "Transfer-Encoding : chunked",
        &["a space before the colon of a coding", "a tab before the colon of a coding"],
    ),
    (
        "any coding but exactly chunked",
        &["identity", "gzip", "xchunked", "chunked, identity", "chunked and a comma", "two codings"],
    ),
    (
        "white space after a value taken for a part of it",
        &[
            "chunked and a tab",
            "white space after the length",
            "tabs and spaces around a host",
            "tabs and spaces around an expectation",
            "tabs and spaces around close",
        ],
    ),
    ("Transfer-Encoding on HTTP/1.0", &["HTTP/1.0 with chunks", "HTTP/1.0 with chunks, kept"]),
    ("Content-Length with Transfer-Encoding", &["a coding and a length", "a length before a coding"]),
    ("two lengths that differ, 0 then 3", &["two lengths that differ", "length 0 and then 3"]),
    (
        "lengths that are no plain number",
        &["a plus sign", "a minus sign", "hexadecimal", "an empty length", "a length of 20 digits"],
    ),
    (
        "chunk sizes",
        &["a size over u64", "a size below zero", "an empty size", "a huge extension", "many extensions"],
    ),
    (
        "a chunk's end that is not CRLF",
        &[
            "data that ends in LF",
            "data that ends in CR",
            "data that ends in another two bytes",
            "a size line that ends in LF",
        ],
    ),
    (
        "the cap for bodies not applied to chunks",
        &["chunks that are one byte too long", "chunks of one byte that are too many"],
    ),
    ("trailers merged into fields", &["trailers are no fields", "a trailer that would be a length"]),
    (
        "an unread body parsed as the next request",
        &[
            "a body that looks like a request",
            "a body like a request that nobody has read",
            "a body that nobody could read for its size",
        ],
    ),
    ("bare LF", &["LF alone for all lines", "LF alone after a field", "LF alone at the end"]),
    ("bare CR", &["CR alone after the request line", "CR alone in a value"]),
    ("NUL", &["NUL in a value", "NUL in a name", "NUL in the target"]),
    ("folded lines", &["a folded line", "a folded line with a tab"]),
    ("an empty name", &["no name"]),
    ("a space before the colon", &["a space before the colon"]),
    ("values that are not ASCII", &["a value that is not UTF-8", "a value that is UTF-8"]),
    ("Connection: TE,,Keep-Alive", &["options between commas"]),
    ("hundreds of fields", &["hundreds of fields"]),
    ("one endless line", &["a line without an end", "a field without an end"]),
    ("one byte at a time", &["GET, split"]),
    ("//evil/", &["what looks like a host"]),
    ("/%2F?", &["an encoded slash"]),
    ("a bad percent", &["half a percent", "a percent of letters"]),
    ("dot segments", &["a dot segment", "encoded dot segments"]),
    ("an over-long target", &["a target that is too long"]),
    ("absolute form", &["absolute form", "absolute form for another host than Host"]),
    ("an authority with user information", &["user information", "one with user information"]),
    (
        "Host: missing, two, with CR or LF, not a host",
        &["none", "two", "one with CR", "one with LF", "one with a space"],
    ),
    ("CR LF in a field that a handler sets", &["a handler that sets a line break"]),
    (
        "half-close before the last chunk",
        &["half-closed before the last chunk", "left before the last chunk"],
    ),
    (
        "close in the middle of CRLFCRLF",
        &["half-closed after CR", "half-closed after CRLF", "half-closed after CRLFCR"],
    ),
    (
        "reset in every phase",
        &[
            "reset at once",
            "reset in a head",
            "reset in a body",
            "reset in a chunk",
            "reset before the answer is read",
            "reset in a refused request",
        ],
    ),
];

fn closing() -> Vec<Row> {
    let mut rows = vec![
        row("close", "9112 §9.6", close("/"), &[200], Closed),
        row("close for a path that is not there", "9112 §9.6", close("/missing"), &[404], Closed),
        row(
            "close with a body",
            "9112 §9.6",
            post("Connection: close\r\nContent-Length: 3\r\n", "abc"),
            &[200],
            Closed,
        )
        .says("abc"),
        row(
            "close with chunks",
            "9112 §9.6",
            post("Connection: close\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            &[200],
            Closed,
        )
        .says("abc"),
        row("close with an answer in pieces", "9112 §9.6", close("/pieces"), &[200], Closed)
            .says("in pieces"),
        row("close twice", "9112 §9.6", close("/").repeat(2), &[200], Closed),
        row("half-closed after a request", "9112 §9.6", get("/"), &[200], Closed).then(Step::Finish),
        row("half-closed after two", "9112 §9.6", get("/").repeat(2), &[200, 200], Closed).then(Step::Finish),
        row("half-closed after a body", "9112 §9.6", post("Content-Length: 3\r\n", "abc"), &[200], Closed)
            .then(Step::Finish)
            .says("abc"),
        row("half-closed after a close", "9112 §9.6", close("/"), &[200], Closed).then(Step::Finish),
        row("half-closed after a refusal", "9112 §9.6", "GET / HTTP/1.1\n", &[400], Closed)
            .then(Step::Finish),
        row(
            "half-closed after a request and a half",
            "9112 §8",
            [get("/"), get("/")[..20].into()].concat(),
            &[200],
            Closed,
        )
        .then(Step::Finish),
        row("left after a request", "8446 §6.1", get("/"), &[200], Closed).then(Step::Leave),
        row("left after two", "8446 §6.1", get("/").repeat(2), &[200, 200], Closed).then(Step::Leave),
        row("half-closed at once", "9112 §9.5", "", &[], Closed).then(Step::Finish).at_redirect(&[]),
        row("left at once", "8446 §6.1", "", &[], Closed).then(Step::Leave).only(Tls),
        row("reset at once", "9112 §9.5", "", &[], Closed).then(Step::Reset).at_redirect(&[]),
        row("reset in a refused request", "9112 §9.5", "GET / HTTP/1.1\nHost", &[], Closed)
            .then(Step::Reset)
            .at_redirect(&[]),
        row("reset before the answer is read", "9112 §9.5", get("/"), &[], Closed)
            .then(Step::Reset)
            .at_redirect(&[]),
        row("reset among pipelined requests", "9112 §9.5", get("/").repeat(10), &[], Closed)
            .then(Step::Reset)
            .at_redirect(&[]),
    ];
    // What is cut short is not served. At the redirect only half a head can be.
    let head = get("/");
    let length = post("Content-Length: 9\r\n", "");
    let coded = in_chunks("");
    let heads = head.len() - 4;
    for (place, sent) in [
        ("after a letter", head[..1].to_string()),
        ("in the request line", head[..8].to_string()),
        ("after the request line", head[..16].to_string()),
        ("in a field", head[..20].to_string()),
        ("in CRLFCRLF", head[..heads].to_string()),
        ("after CR", head[..heads + 1].to_string()),
        ("after CRLF", head[..heads + 2].to_string()),
        ("after CRLFCR", head[..heads + 3].to_string()),
        ("after an empty line", "\r\n".to_string()),
        ("after half an empty line", "\r".to_string()),
    ] {
        rows.push(
            row(format!("half-closed {place}"), "9112 §8", sent.clone(), &[], Closed)
                .then(Step::Finish)
                .at_redirect(&[400]),
        );
        rows.push(row(format!("left {place}"), "8446 §6.1", sent, &[], Closed).then(Step::Leave).only(Tls));
    }
    for (place, head, body) in [
        ("before a body", &length, ""),
        ("in a body", &length, "abc"),
        ("before the first chunk", &coded, ""),
        ("in a chunk's size", &coded, "3"),
        ("in a chunk's size line", &coded, "3\r"),
        ("in a chunk", &coded, "3\r\na"),
        ("after a chunk's data", &coded, "3\r\nabc"),
        ("before the last chunk", &coded, "3\r\nabc\r\n"),
        ("in the last chunk", &coded, "3\r\nabc\r\n0\r\n"),
        ("in the last chunk's CRLF", &coded, "3\r\nabc\r\n0\r\n\r"),
        ("in a trailer", &coded, "3\r\nabc\r\n0\r\nX: "),
    ] {
        let sent = [head, body.as_bytes()].concat();
        rows.push(
            row(format!("half-closed {place}"), "9112 §8", sent.clone(), &[], Closed)
                .then(Step::Finish)
                .at_redirect(&[308]),
        );
        rows.push(row(format!("left {place}"), "8446 §6.1", sent, &[], Closed).then(Step::Leave).only(Tls));
    }
    for (place, sent) in [
        ("in a head", b"GET / HTTP/1.1\r\nHos".to_vec()),
        ("in CRLFCRLF", head.as_bytes()[..heads + 2].to_vec()),
        ("in a body", [&length[..], b"abc"].concat()),
        ("in a chunk", [&coded[..], b"9\r\nabc"].concat()),
        ("in a trailer", [&coded[..], b"0\r\nX: "].concat()),
    ] {
        rows.push(
            row(format!("reset {place}"), "9112 §9.5", sent, &[], Closed).then(Step::Reset).at_redirect(&[]),
        );
    }
    rows
}

/// The answer to a PROXY header from somebody who may not send one.
pub(super) const PROXY: &[u16] = if cfg!(feature = "operations") { &[] } else { &[400] };

fn clear_to_tls() -> Vec<Row> {
    let told = |name, rfc, sent: Vec<u8>| row(name, rfc, sent, &[400], Closed).only(Clear);
    // It gets an alert, or nothing, and never what could be taken for an answer in HTTP. It closes its side, or the server
    // would wait for the rest as long as a handshake may take.
    let shut = |name, rfc, sent: &[u8]| row(name, rfc, sent, &[], Closed).then(Step::Leave).only(Clear);
    vec![
        told("GET in clear", "9112 §9.7", get("/").into()),
        told("POST in clear", "9112 §9.7", post("Content-Length: 3\r\n", "abc")),
        told("OPTIONS in clear", "9112 §9.7", request("OPTIONS *", "")),
        told("a method in lower case, in clear", "9112 §9.7", request("get /", "")),
        told("HTTP/1.0 in clear", "9112 §9.7", "GET / HTTP/1.0\r\n\r\n".into()),
        told("HTTP/2's preface in clear", "9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        told("pipelined in clear", "9112 §9.7", get("/").repeat(3).into()),
        told("a letter in clear", "9112 §9.7", "G".into()),
        // A balancer reads no answer; with the feature the log says what it is.
        row(
            "PROXY protocol, version 1, in clear",
            "9112 §9.7",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            PROXY,
            Closed,
        )
        .then(Step::Leave)
        .only(Clear),
        told("what an SSH client says, in clear", "9112 §9.7", "SSH-2.0-OpenSSH_9.6\r\n".into()),
        shut("nothing in clear", "8446 §5.1", b""),
        shut("PROXY protocol, version 2, in clear", "8446 §5.1", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        shut("CRLF in clear", "8446 §5.1", b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        shut("a space in clear", "8446 §5.1", b" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        shut("a digit in clear", "8446 §5.1", b"220 mail ESMTP\r\n"),
        shut("NUL in clear", "8446 §5.1", b"\0\0\0\0"),
        shut("half a record", "8446 §5.1", b"\x16\x03\x01"),
        shut("half a ClientHello", "8446 §4.1.2", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        shut("a handshake record of nothing", "8446 §5.1", b"\x16\x03\x01\x00\x00"),
        shut("a handshake record of rubbish", "8446 §4", b"\x16\x03\x01\x00\x04junk"),
        shut("a handshake record that is too long", "8446 §5.1", b"\x16\x03\x01\xff\xff\x01\x00\xff\xfb"),
        shut("a handshake message of 16 MiB", "8446 §4", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"),
        shut("a ServerHello", "8446 §4.1.3", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
        shut("a record of data before the handshake", "8446 §5.1", b"\x17\x03\x03\x00\x04junk"),
        shut("a change of ciphers before the handshake", "8446 §5", b"\x14\x03\x03\x00\x01\x01"),
        shut("an alert before the handshake", "8446 §6", b"\x15\x03\x03\x00\x02\x02\x28"),
        shut("a heartbeat", "6520 §3", b"\x18\x03\x03\x00\x03\x01\x40\x00"),
        shut("a hello of SSL 2", "6176 §3", b"\x80\x2e\x01\x03\x01"),
    ]
}

fn tls_to_clear() -> Vec<Row> {
    // The redirect knows no TLS: it closes, and answers nothing that TLS could not read.
    let shut = |name, sent: &[u8]| row(name, "8446 §5.1", sent, &[], Closed).only(Redirect).at_redirect(&[]);
    vec![
        shut("a ClientHello", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
        shut("a ClientHello of SSL 3", b"\x16\x03\x00\x00\x05\x01\x00\x00\x01\x00"),
        shut("the first byte of a ClientHello", b"\x16"),
        shut("a ClientHello and a request", b"\x16GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        row("a hello of SSL 2 in clear", "9112 §3", b"\x80\x2e\x01\x03\x01", &[], Closed)
            .then(Step::Leave)
            .only(Redirect)
            .at_redirect(&[400]),
        row("PROXY protocol, version 2", "9112 §2.2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", &[], Closed)
            .only(Redirect)
            .at_redirect(PROXY),
        row("nothing at the redirect", "9112 §9.5", "", &[], Closed)
            .then(Step::Leave)
            .only(Redirect)
            .at_redirect(&[]),
    ]
}

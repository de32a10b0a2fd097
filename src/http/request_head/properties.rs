//! Properties that hold for any bytes that come in place of a head.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::http::body::Body;
use crate::http::origin::{Nobody, Sender};
use crate::http::request::Request;

/// A low bound, so that small inputs reach it.
const FIELDS: usize = 8;

pub(crate) fn hold(input: &[u8]) {
    let found = search(input, &mut std::iter::once(input.len()));
    // Pieces of one byte, and pieces whose lengths come from the input.
    assert_eq!(search(input, &mut (1..=input.len())), found);
    let mut end = 0;
    let mut by_content = std::iter::from_fn(|| {
        end += 1 + usize::from(*input.get(end)?) % 23;
        Some(end.min(input.len()))
    });
    assert_eq!(search(input, &mut by_content), found);
    assert_eq!(search_simply(input), found.map_err(|_| ()));
    for most in [input.len(), input.len() / 2] {
        reads_whole_what_is_scanned_and_parsed(input, most);
    }
    if let Ok(Some((start, end))) = found {
        assert!(start < end && end <= input.len());
        parsed(&input[start..end]);
    }
    if let Some(value) = unread_field(input, "host") {
        assert!(!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    }
    // `scan` has not found this head, so only the spans have to be right.
    let mut fields = Vec::new();
    let _ = parse(input, FIELDS, &mut fields);
    check_fields(input, &fields);
    let is_first_line = !input.contains(&b'\n');
    assert_eq!(too_large(input).status == StatusCode::URI_TOO_LONG, is_first_line);
}

/// Looks for a head as a connection does, once for each offset in `ends` up to which bytes have come.
fn search(input: &[u8], ends: &mut dyn Iterator<Item = usize>) -> Result<Option<(usize, usize)>, Refusal> {
    let mut scanned = 0;
    for end in ends {
        let buffer = &input[..end];
        let start = empty_line(buffer);
        if buffer.len() > start {
            match scan(buffer, start.max(scanned))? {
                Scan::Complete(end) => return Ok(Some((start, end))),
                Scan::Incomplete(from) => scanned = from,
            }
        }
    }
    Ok(None)
}

/// Reading in one pass finds what two passes find, or nothing.
fn reads_whole_what_is_scanned_and_parsed(input: &[u8], most: usize) {
    let start = empty_line(input);
    let (mut fields, mut again) = (Vec::new(), Vec::new());
    let whole = read_whole(&input[start..], most, FIELDS, &mut fields);
    let expected = match scan(input, start) {
        Ok(Scan::Complete(end)) if end - start <= most => {
            parse(&input[start..end], FIELDS, &mut again).ok().map(|line| (line, end - start))
        }
        _ => None,
    };
    assert_eq!(whole, expected);
    if whole.is_some() {
        assert_eq!(fields, again);
    }
}

fn search_simply(input: &[u8]) -> Result<Option<(usize, usize)>, ()> {
    let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    for at in start..input.len() {
        let seen = &input[..=at];
        if seen.ends_with(b"\r\n\r\n") {
            return Ok(Some((start, at + 1)));
        }
        if seen.ends_with(b"\n") && !seen.ends_with(b"\r\n") {
            return Err(());
        }
    }
    Ok(None)
}

fn parsed(head: &[u8]) {
    let mut fields = Vec::new();
    let line = match parse(head, FIELDS, &mut fields) {
        Ok(line) => line,
        Err(refusal) => {
            assert!(refusal.status.is_client_error() || refusal.status.is_server_error());
            return;
        }
    };
    assert!(fields.len() <= FIELDS);
    check_fields(head, &fields);

    let count = |name: &str| {
        fields.iter().filter(|field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes())).count()
    };
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    match line.body {
        BodyLength::Chunked => {
            assert_eq!((lengths, codings, line.version), (0, 1, Version::Http11));
        }
        BodyLength::Fixed(length) => assert!(codings == 0 && (lengths == 1 || lengths == 0 && length == 0)),
    }
    assert!(count("host") == 1 || count("host") == 0 && line.version == Version::Http10);

    let again = written(head, &line, &fields);
    assert_eq!(scan(&again, 0), Ok(Scan::Complete(again.len())));
    let mut fields_again = Vec::new();
    match parse(&again, FIELDS, &mut fields_again) {
        Ok(line_again) => {
            assert_eq!(told(&again, &line_again, &fields_again), told(head, &line, &fields));
        }
        Err(refusal) => panic!("{}: {}", again.escape_ascii(), refusal.detail),
    }

    // What is read of an unreadable head is what is read of a readable one.
    for field in &fields {
        let name = String::from_utf8_lossy(field.name.of(head));
        let first = fields.iter().find(|other| other.name.of(head).eq_ignore_ascii_case(name.as_bytes()));
        assert_eq!(unread_field(head, &name), first.map(|first| first.value.of(head)));
    }

    // A handler sees everything that was read.
    if let Ok(path) = target::decode_path(line.target.path.of(head), target::EncodedSlash::Refused) {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let body = Body::Buffered { bytes: (&[]).into(), read: 0 };
        #[cfg(feature = "operations")]
        let id = crate::operations::request_id::RequestId::of_connection();
        let request = Request::from_wire(
            head,
            &fields,
            line,
            path,
            body,
            Sender {
                peer,
                client: None,
                server: &Nobody,
                #[cfg(feature = "operations")]
                id: &id,
                #[cfg(feature = "operations")]
                in_front: None,
            },
        );
        assert_eq!(request.headers().len(), fields.len());
    }
}

fn check_fields(head: &[u8], fields: &[Field]) {
    for field in fields {
        assert!(
            field.name.start < field.name.end && field.name.end < field.value.start.max(1 + field.name.end)
        );
        assert!(field.value.start <= field.value.end && field.value.end as usize <= head.len());
        assert!(field.name.of(head).iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
        assert!(!field.value.of(head).iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

fn host_of(head: &[u8], authority: target::Authority) -> Vec<u8> {
    let host = authority.host.of(head);
    let bracketed = if host.contains(&b':') { [b"[", host, b"]"].concat() } else { host.to_vec() };
    [bracketed, authority.port.map(|port| format!(":{port}")).unwrap_or_default().into_bytes()].concat()
}

/// Writes a plain head with the same meaning.
fn written(head: &[u8], line: &Line, fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(line.method.as_str().as_bytes());
    out.push(b' ');
    if let Some(authority) = line.target.authority {
        out.extend_from_slice(b"http://");
        out.extend_from_slice(&host_of(head, authority));
    }
    out.extend_from_slice(line.target.path.of(head));
    if let Some(query) = line.target.query {
        out.push(b'?');
        out.extend_from_slice(query.of(head));
    }
    out.extend_from_slice(match line.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    for field in fields {
        out.extend_from_slice(field.name.of(head));
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value.of(head));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Everything that a head says, regardless of positions.
fn told(head: &[u8], line: &Line, fields: &[Field]) -> impl PartialEq + std::fmt::Debug {
    let target = (
        line.target.path.of(head).to_vec(),
        line.target.query.map(|query| query.of(head).to_vec()),
        line.target.authority.map(|authority| host_of(head, authority)),
    );
    let fields: Vec<_> =
        fields.iter().map(|field| (field.name.of(head).to_vec(), field.value.of(head).to_vec())).collect();
    let host = line.host.map(|authority| host_of(head, authority));
    let rest = (line.version, line.body, line.keep_alive, line.expects_continue);
    (line.method.clone(), target, host, fields, rest)
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_heads() {
    let pieces = &[
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST http://[::1]:80/a?b HTTP/1.1\r\nHost: a:1\r\n",
        "OPTIONS * HTTP/1.0\r\n",
        "GET /%2F?x HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: TE,,close\r\n",
        "Expect: 100-continue\r\n",
        "X: \t a \t\r\n",
        "X:\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
    ];
    for input in crate::fuzzing::inputs(30_000, pieces) {
        hold(&input);
    }
}

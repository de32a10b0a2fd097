//! The table of hostile and odd requests, through the proxy: the backend sees each request that the client means, once, and
//! nothing of one that is refused.

use std::panic::{self, AssertUnwindSafe};

use super::backend::{ok, say, Act, Backend, Seen};
use super::support::{serve_within, Client, Serving, Shape};
use super::wire_table::table::{rows, Closed, Kept, Port, Row, Step};
use super::{BODY_BUFFER_BYTES, BODY_BYTES};
use lockgate::{Proxy, Router};

/// Answers as the server does whose answers the table tells of.
fn answer(seen: &Seen) -> Vec<Act> {
    let mut words = seen.line().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap().replace("%6D", "m");
    let status = |line: &str| say(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"));
    let head = |length: usize| say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    match (method, &*path) {
        ("HEAD", "/" | "/marker") => head(4),
        ("GET", "/") => ok("root"),
        ("GET", "/marker") => ok("marker"),
        ("GET", "/host") => {
            let host = seen.fields("host").join(" ");
            let address = host.strip_prefix('[').and_then(|host| host.split(']').next());
            ok(address.unwrap_or(host.split(':').next().unwrap()))
        }
        ("GET", "/value") => ok(seen.fields("x").join(" ")),
        ("GET" | "HEAD", "/nothing") => say("HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET" | "HEAD", "/unmodified") => say("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
        ("HEAD", "/pieces") => say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "/pieces") => {
            say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nin pieces\r\n0\r\n\r\n")
        }
        ("GET" | "HEAD", "/split" | "/interim") => status("500 Internal Server Error"),
        ("POST", "/") => ok(&seen.body),
        ("POST", "/unread") => ok("unread"),
        // Trailers are no fields.
        ("POST", "/fields") => ok(format!(
            "{} host trailer transfer-encoding{}",
            seen.body.len(),
            seen.fields("x-admin").concat()
        )),
        ("OPTIONS", "/" | "/marker") => say("HTTP/1.1 204 No Content\r\n\r\n"),
        (_, "/" | "/marker" | "/unread") => status("405 Method Not Allowed"),
        _ => status("404 Not Found"),
    }
}

/// A request as the client means it: its method and target as a backend gets them, and its body.
type Meant = (String, Vec<u8>);

/// The requests in what a client sends, by a simple reading that knows nothing of the server's, up to one that is not whole.
fn sent(mut rest: &[u8]) -> Vec<Meant> {
    let mut all = Vec::new();
    while let Some((meant, length)) = first(rest) {
        all.push(meant);
        rest = &rest[length..];
    }
    all
}

fn first(bytes: &[u8]) -> Option<(Meant, usize)> {
    let begin = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let end = begin + bytes[begin..].windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
    let value = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_string())
    };
    let mut words = head.split([' ', '\r']);
    let (method, target) = (words.next()?, words.next()?);
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => &rest[rest.find('/')?..],
        _ => target,
    };
    let line = format!("{method} {path}");
    if value("transfer-encoding").is_none() {
        let length: usize = value("content-length").map_or(Some(0), |length| length.parse().ok())?;
        return Some(((line, bytes[end..].get(..length)?.to_vec()), end + length));
    }
    let (mut at, mut body) = (end, Vec::new());
    let line_at = |at: usize| {
        let length = bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        Some((String::from_utf8_lossy(&bytes[at..at + length]).into_owned(), at + length + 2))
    };
    loop {
        let (size, next) = line_at(at)?;
        let size = usize::from_str_radix(size.split([';', ' ', '\t']).next()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes[at..].get(..size)?);
        at += size + 2;
    }
    loop {
        let (trailer, next) = line_at(at)?;
        at = next;
        if trailer.is_empty() {
            return Some(((line, body), at));
        }
    }
}

/// Whether the server in front answers this by itself: the backend never hears of it.
fn is_refusal(row: &Row, status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 417 | 421 | 431 | 505) || status == 501 && row.then == Closed
}

/// What a row leads to with a backend.
struct Through {
    answers: Vec<u16>,
    /// Of requests whose requests are refused the backend sees nothing.
    meant: Vec<Meant>,
    /// Whether the marker behind the row is answered.
    kept: Option<bool>,
}

/// Rows in which the server alone answers before it has a body. A backend's answer comes after it.
const ASKED_FOR: [&str; 4] = [
    "for a path that is not there",
    "chunks for a path that is not there",
    "for a method that the path has not",
    "for a method that nobody knows",
];

fn through(row: &Row) -> Through {
    let bytes: Vec<u8> = row.steps.iter().filter_map(Step::bytes).flatten().copied().collect();
    let mut answers = row.answers.to_vec();
    let mut kept = Some(row.then == Kept);
    match &*row.name {
        "a coding of the content" => answers = vec![200],
        // A handler that reads no body need not look at it. The proxy passes it on.
        "bad chunks for nobody" => answers = vec![400],
        "chunks for nobody that are too large to be kept" | "a body that nobody reads for its size" => {
            kept = Some(true)
        }
        "a body that nobody could read for its size" => (answers, kept) = (vec![200, 200], Some(true)),
        // Its length is known if all of it comes at once.
        "HTTP/1.0 for what has no known length" => kept = None,
        _ => {}
    }
    let finals = answers.iter().filter(|status| **status >= 200);
    let meant = sent(&bytes).into_iter().zip(finals).filter_map(|(meant, status)| {
        // The server answers for itself here.
        let is_own = meant.0 == "OPTIONS *" || meant.0.starts_with("TRACE ");
        (!is_refusal(row, *status) && !is_own).then_some(meant)
    });
    let meant = meant.collect();
    for status in &mut answers {
        // Methods that the server does not know are the backend's matter.
        if *status == 501 && row.then == Kept {
            *status = 405;
        }
    }
    Through { answers, meant, kept }
}

fn in_front(backend: &Backend) -> Serving {
    let proxy = Proxy::to(&backend.url()).unwrap();
    serve_within(Router::new().fallback(proxy.handler()), |limits| {
        limits.body_bytes = BODY_BYTES as u64;
        limits.body_buffer_bytes = BODY_BUFFER_BYTES;
    })
}

fn meant(seen: &Seen) -> Meant {
    (seen.line().trim_end_matches(" HTTP/1.1").to_string(), seen.body.clone())
}

/// What reaches the backend of a request that is refused within its body is never a whole request.
fn assert_only_bodies_are_cut(backend: &Backend) {
    for half in backend.halves() {
        let half = String::from_utf8_lossy(&half).to_ascii_lowercase();
        let (head, _) = half.split_once("\r\n\r\n").expect("no part of a head is sent");
        assert!(
            head.contains("\r\ncontent-length: ") || head.contains("\r\ntransfer-encoding: chunked"),
            "{half}"
        );
    }
}

#[test]
fn the_backend_sees_each_request_that_a_client_means_once_and_nothing_of_what_is_refused() {
    let backend = Backend::new(|_, seen| answer(seen));
    let serving = in_front(&backend);
    let rows = rows()
        .into_iter()
        .filter(|row| matches!(row.port, Port::Both | Port::Tls) && !ASKED_FOR.contains(&&*row.name));
    let (ends, stays): (Vec<Row>, Vec<Row>) = rows.partition(Row::client_ends);
    assert!(ends.len() > 40 && stays.len() > 500, "{} and {} rows", ends.len(), stays.len());
    let mut failed = Vec::new();
    let mut all = 0;
    for (row, piece) in stays.iter().flat_map(ways) {
        let before = all;
        let expected = through(row);
        let attempt = panic::catch_unwind(AssertUnwindSafe(|| {
            let kept = converse(&serving, row, &expected, piece);
            let seen: Vec<Meant> = backend.seen_from(before).iter().map(meant).collect();
            let marker = kept.then(|| ("GET /marker".to_string(), Vec::new()));
            let expected: Vec<Meant> = expected.meant.iter().cloned().chain(marker).collect();
            assert!(seen == expected, "{}: {seen:.600?} in place of {expected:.600?}", row.name);
        }));
        all += backend.seen_from(before).len();
        if attempt.is_err() {
            failed.push(format!("{:?}: {}", row.group, row.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), stays.len(), failed.join("\n"));
    // Nothing has come late.
    end(serving, &backend);
    assert_eq!(backend.seen().len(), all);
    assert_only_bodies_are_cut(&backend);

    for (row, piece) in ends.iter().flat_map(ways) {
        let backend = Backend::new(|_, seen| answer(seen));
        let serving = in_front(&backend);
        let expected = through(row);
        let mut client = serving.connect();
        for step in &row.steps {
            match step {
                Step::Send(bytes) => drop(bytes.chunks(piece).try_for_each(|piece| client.try_send(piece))),
                Step::AwaitAnswer => drop(client.try_reply(Shape::WithBody)),
                Step::Finish => client.finish(),
                Step::Leave => client.leave(),
                Step::Reset => break,
            }
        }
        match row.steps.last() {
            Some(Step::Reset) => client.reset(),
            // A client that sends nothing more is taken for one that has left, as nginx does; or it has its answers.
            _ => drop(client.rest()),
        }
        end(serving, &backend);
        let seen: Vec<Meant> = backend.seen().iter().map(meant).collect();
        let sent = sent(&row.steps.iter().filter_map(Step::bytes).flatten().copied().collect::<Vec<u8>>());
        assert!(sent.starts_with(&seen), "{}: {seen:.600?} in place of {sent:.600?}", row.name);
        let most = if row.answers.is_empty() { sent.len() } else { expected.meant.len() };
        assert!(seen.len() <= most, "{}: {seen:.600?}", row.name);
        assert_only_bodies_are_cut(&backend);
    }
}

/// Whole, and one byte at a time if it is not long.
fn ways(row: &Row) -> [(&Row, usize); 2] {
    let sent: usize = row.steps.iter().filter_map(Step::bytes).map(<[u8]>::len).sum();
    [(row, usize::MAX), (row, if sent < 500 { 1 } else { 101 })]
}

/// Does what a row says, and returns whether the marker was answered.
fn converse(serving: &Serving, row: &Row, expected: &Through, piece: usize) -> bool {
    let mut client = serving.connect();
    let mut to_come = expected.answers.iter().enumerate();
    let mut next = |client: &mut Client| {
        let Some((index, status)) = to_come.next() else { return false };
        let shape = if row.to_head.contains(&index) { Shape::HeadOnly } else { Shape::WithBody };
        let reply = loop {
            let reply = client.try_reply(shape).unwrap_or_else(|end| panic!("{}: {end:?}", row.name));
            // A client that sends a body without waiting may be asked for it all the same.
            if reply.status != 100 || *status == 100 {
                break reply;
            }
        };
        assert_eq!(reply.status, *status, "{}: {reply:?}", row.name);
        if let (Some(body), true) = (row.says, index + 1 == expected.answers.len()) {
            assert_eq!(reply.text(), body, "{}", row.name);
        }
        true
    };
    for step in row.steps_with_marker() {
        match step {
            Step::Send(bytes) => drop(bytes.chunks(piece).try_for_each(|piece| client.try_send(piece))),
            Step::AwaitAnswer => assert!(next(&mut client)),
            Step::Finish | Step::Leave | Step::Reset => unreachable!("the client stays"),
        }
    }
    while next(&mut client) {}
    let kept = match expected.kept {
        Some(false) => false,
        kept => match client.try_reply(Shape::WithBody) {
            Ok(reply) => {
                assert_eq!((reply.status, reply.text()), (200, "marker"), "{}", row.name);
                client.finish();
                true
            }
            Err(end) => {
                assert!(kept.is_none(), "{}: {end:?} in place of the marker", row.name);
                false
            }
        },
    };
    let (rest, _) = client.rest();
    assert_eq!(String::from_utf8_lossy(&rest), "", "{}", row.name);
    kept
}

/// Ends the server, and with it its connections to the backend.
fn end(serving: Serving, backend: &Backend) {
    serving.handle.stop();
    serving.join().unwrap();
    backend.await_open(0);
}

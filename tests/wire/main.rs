//! The server's reading of bytes: each request, however malformed and however it is split, gets one clear answer, and nothing
//! that follows it on the connection is taken for something else. A table gives requests with their expected answers; each is
//! sent over TLS whole and one byte at a time, and to the plain ports.

#[path = "../support/mod.rs"]
mod support;

mod beyond;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{self, AssertUnwindSafe};

use lockgate::{Request, Response, Router, StatusCode};

use support::{connect_plain, reset, serve_within, Client, End, Serving, Shape};
use table::{rows, Closed, Group, Kept, Port, Row, Step, BROKE_OTHERS};

/// Small, so that the rows about them need not be sent by the megabyte.
const BODY_BYTES: usize = 4_096;
const BODY_BUFFER_BYTES: usize = 1_024;
/// The default.
const HEAD_BYTES: usize = 16 * 1024;

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

fn start() -> Serving {
    serve_within(router(), |limits| {
        limits.body_bytes = BODY_BYTES as u64;
        limits.body_buffer_bytes = BODY_BUFFER_BYTES;
        assert_eq!(limits.head_bytes, HEAD_BYTES);
    })
}

/// How the bytes of a row are cut up.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    EachByte,
    At(usize),
}

impl Cut {
    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Whole => vec![bytes],
            Cut::EachByte => bytes.chunks(1).collect(),
            Cut::At(at) => vec![&bytes[..at], &bytes[at..]],
        }
    }
}

#[test]
fn the_table_is_whole() {
    let rows = rows();
    assert!(rows.len() >= 600, "{} rows", rows.len());
    let mut groups = BTreeMap::new();
    for row in &rows {
        *groups.entry(row.group).or_insert(0) += 1;
        let (number, section) = row.rfc.split_once(" §").unwrap_or_else(|| panic!("{row:?}: which section?"));
        let section = section.trim_start_matches(|c: char| c.is_ascii_uppercase());
        assert!(
            number.parse::<u16>().is_ok()
                && section.split('.').all(|part| part.is_empty() || part.parse::<u8>().is_ok()),
            "{row:?}"
        );
        // How the redirect's answer follows has to be known.
        if matches!(row.port, Port::Both | Port::Redirect) {
            let _ = row.redirect_answers();
        }
    }
    let all = [
        Group::RequestLine,
        Group::Target,
        Group::Version,
        Group::FieldSyntax,
        Group::Host,
        Group::ContentLength,
        Group::TransferEncoding,
        Group::Chunks,
        Group::Pipelining,
        Group::Splitting,
        Group::Head,
        Group::Expect,
        Group::Http10,
        Group::Limits,
        Group::Closing,
        Group::ClearToTls,
        Group::TlsToClear,
    ];
    for group in all {
        let least = if group == Group::TlsToClear { 5 } else { 15 };
        assert!(groups.get(&group).is_some_and(|count| *count >= least), "{group:?}: {groups:?}");
    }
    let strict: Vec<&Row> = rows.iter().filter(|row| row.strict.is_some()).collect();
    assert!(strict.len() >= 100, "{} choices", strict.len());
    let lenient =
        strict.iter().find(|row| row.answers.iter().all(|status| *status < 400) && row.then == Kept);
    assert!(lenient.is_none(), "said to be strict, and served: {lenient:?}");
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let again = |row: &&Row| rows.iter().filter(|other| other.name == row.name).count() > 1;
    let again: Vec<_> = rows.iter().filter(again).map(|row| (row.group, &row.name)).collect();
    assert!(again.is_empty(), "a name stands for one row: {again:?}");
    for (what, tried_by) in BROKE_OTHERS {
        let missing: Vec<_> = tried_by.iter().filter(|name| !names.contains(**name)).collect();
        assert!(!tried_by.is_empty() && missing.is_empty(), "{what}: no row {missing:?}");
    }
}

#[test]
fn over_tls_in_one_write() {
    let serving = start();
    each_row(|row| matches!(row.port, Port::Both | Port::Tls), |row| over_tls(&serving, row, Cut::Whole));
}

#[test]
fn over_tls_one_byte_at_a_time() {
    let serving = start();
    each_row(|row| matches!(row.port, Port::Both | Port::Tls), |row| over_tls(&serving, row, Cut::EachByte));
}

#[test]
fn over_tls_split_at_every_byte() {
    let serving = start();
    each_row(
        |row| row.every_split,
        |row| {
            let [Step::Send(bytes)] = &row.steps[..] else { panic!("which of the writes is split?") };
            (1..bytes.len()).for_each(|at| over_tls(&serving, row, Cut::At(at)));
        },
    );
}

#[test]
fn at_the_redirect() {
    let serving = start();
    each_row(
        |row| matches!(row.port, Port::Both | Port::Redirect),
        |row| {
            for cut in cuts_in_clear(row) {
                in_clear(&serving, serving.redirect, row, row.redirect_answers(), cut);
            }
        },
    );
}

#[test]
fn in_clear_at_the_port_of_https() {
    let serving = start();
    each_row(
        |row| row.port == Port::Clear,
        |row| {
            for cut in cuts_in_clear(row) {
                in_clear(&serving, serving.address, row, row.answers, cut);
            }
        },
    );
}

/// A PROXY header whose bytes come one by one is judged by the first ones, before it is known for what it is.
fn cuts_in_clear(row: &Row) -> Vec<Cut> {
    match cfg!(feature = "operations") && row.name.starts_with("PROXY protocol") {
        true => vec![Cut::Whole],
        false => vec![Cut::Whole, Cut::EachByte],
    }
}

/// Tries all rows, also when one fails, and says which do.
fn each_row(which: impl Fn(&Row) -> bool, attempt: impl Fn(&Row)) {
    let rows: Vec<Row> = rows().into_iter().filter(which).collect();
    let fails = |row: &&Row| panic::catch_unwind(AssertUnwindSafe(|| attempt(row))).is_err();
    let failed: Vec<String> =
        rows.iter().filter(fails).map(|row| format!("{:?}: {}", row.group, row.name)).collect();
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// Does what a row says, and looks at all that comes back.
fn over_tls(serving: &Serving, row: &Row, cut: Cut) {
    let name = format!("{:?}, {}, {cut:?}", row.group, row.name);
    let mut client = serving.connect();
    let mut expected = row.answers.iter().enumerate();
    let mut last = None;
    let mut next_answer = |client: &mut Client| {
        let Some((index, status)) = expected.next() else { return false };
        let shape = if row.to_head.contains(&index) { Shape::HeadOnly } else { Shape::WithBody };
        let reply = loop {
            let reply = client
                .try_reply(shape)
                .unwrap_or_else(|end| panic!("{name}: {end:?} in place of answer {index}, {status}"));
            // Who sends a body without waiting may be asked for it all the same.
            if reply.status != 100 || *status == 100 {
                break reply;
            }
        };
        assert_eq!(reply.status, *status, "{name}: {reply:?}");
        let date = reply.field("date").unwrap_or_default();
        assert!(*status == 100 || date.len() == 29 && date.ends_with(" GMT"), "{name}: {reply:?}");
        last = Some(reply);
        true
    };
    for step in row.steps_with_marker() {
        match step {
            Step::Send(bytes) => {
                for piece in cut.pieces(&bytes) {
                    // A server that refuses early may have closed while the rest is still on its way.
                    if client.try_send(piece).is_err() {
                        assert_ne!(row.then, Kept, "{name}: closed while it was sent to");
                        break;
                    }
                }
            }
            Step::AwaitAnswer => assert!(next_answer(&mut client), "{name}: waits for no answer"),
            Step::Finish => client.finish(),
            Step::Leave => client.leave(),
            Step::Reset => {
                client.reset();
                assert_eq!(serving.get("/marker").text(), "marker", "{name}: the next client");
                return;
            }
        }
    }
    while next_answer(&mut client) {}
    if let (Some(reply), false) = (&last, row.client_ends()) {
        assert_eq!(reply.closes(), row.then == Closed, "{name}: what the last answer says of the connection");
    }
    if let Some(body) = row.says {
        assert_eq!(last.as_ref().map(|reply| reply.text()), Some(body), "{name}");
    }
    if row.then == Kept {
        let marker = client.try_reply(Shape::WithBody);
        let marker = marker.unwrap_or_else(|end| panic!("{name}: {end:?} in place of the marker"));
        assert_eq!((marker.status, marker.text()), (200, "marker"), "{name}");
        client.finish();
    }
    let (rest, end) = client.rest();
    assert_eq!(String::from_utf8_lossy(&rest), "", "{name}");
    // Who has cut off a request is owed no goodbye.
    assert!(end == End::Goodbye || row.client_ends() && row.answers.is_empty(), "{name}: {end:?}");
}

/// As `over_tls`, without TLS: one answer or none, and the connection ends.
fn in_clear(serving: &Serving, address: SocketAddr, row: &Row, answers: &[u16], cut: Cut) {
    let name = format!("{:?}, {}, {cut:?}, in clear", row.group, row.name);
    let mut client = connect_plain(address).unwrap();
    for step in row.steps_with_marker() {
        match step {
            Step::Send(bytes) => {
                if cut.pieces(&bytes).into_iter().any(|piece| client.write_all(piece).is_err()) {
                    break;
                }
            }
            // There is but one answer, and it comes at the end of a head.
            Step::AwaitAnswer => {}
            // It fails when the server has reset the connection, as it may when it answers nothing.
            Step::Finish | Step::Leave => drop(client.shutdown(Shutdown::Write)),
            Step::Reset => {
                reset(client);
                assert_eq!(serving.get("/marker").text(), "marker", "{name}: the next client");
                return;
            }
        }
    }
    let answer = read_to_end(&mut client, &name);
    let [status] = answers else {
        assert!(
            answers.is_empty() && !answer.starts_with(b"HTTP/"),
            "{name}: {}",
            String::from_utf8_lossy(&answer)
        );
        return;
    };
    let status = if *status == 308 { row.redirect_status() } else { *status };
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{name}: no answer: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {status} in place of: {head}");
    let field = |field: &str| {
        let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        let first = values.next();
        assert_eq!(values.next(), None, "{name}: {head}");
        first
    };
    assert_eq!(field("connection"), Some("close"), "{name}: {head}");
    let length: usize = field("content-length").unwrap().parse().unwrap();
    let is_to_head = address == serving.redirect && row.to_head.contains(&0);
    assert_eq!(body.len(), if is_to_head { 0 } else { length }, "{name}: {answer}");
    let own = format!("https://localhost:{}/", serving.address.port());
    let location = field("location");
    assert!(
        location.map_or(true, |location| location.to_ascii_lowercase().starts_with(&own)),
        "{name}: {head}"
    );
    assert_eq!(location.is_some(), matches!(status, 301 | 308), "{name}: {head}");
}

/// All that comes. A reset is as good an end as any, of a connection that is of no use.
fn read_to_end(client: &mut TcpStream, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    match client.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}"),
    }
    all
}

//! What has let requests be smuggled past other proxies, in front of servers that people have: the backend's own program sees the
//! requests that the client means and no other, and the next client gets its own answer. The kinds are those that were published
//! from 2005 to 2025: CL.TE and TE.CL, codings that only some know, CL.0 and 0.CL, expectations, ends of chunks, folded lines.

use std::io::BufRead;
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::Command;
use std::sync::mpsc::{channel, Receiver};
use std::thread;

use lockgate::{Proxy, Router};

use super::backend::{ok, say, Act, Backend};
use super::backends::{go, source};
use super::in_front_of;
use super::peers::{start, Running};
use super::peers_of_tests::{NODE, PYTHON};
use super::support::{serve, Gate, Serving, Shape, SAFETY};

/// A whole request that nobody means.
const INNER: &str = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";

struct Case {
    name: String,
    sent: Vec<u8>,
    /// What the program must see: method, target and body.
    meant: Vec<(String, Vec<u8>)>,
    /// Whether the server in front refuses the first or only request.
    refused: bool,
}

fn refused(name: impl Into<String>, sent: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), sent: sent.into(), meant: Vec::new(), refused: true }
}

/// The target is refused, and the connection goes on.
fn refused_alone(head: &str) -> Case {
    Case { refused: true, ..meant(format!("{head:?}"), format!("{head}{INNER}"), &[("GET /inner", "")]) }
}

fn meant(name: impl Into<String>, sent: impl Into<Vec<u8>>, meant: &[(&str, &str)]) -> Case {
    let meant = meant.iter().map(|(line, body)| (line.to_string(), body.as_bytes().to_vec())).collect();
    Case { name: name.into(), sent: sent.into(), meant, refused: false }
}

fn cases() -> Vec<Case> {
    let length = INNER.len();
    let ended = format!("0\r\n\r\n{INNER}");
    let chunk = format!("{length:x}\r\n{INNER}\r\n0\r\n\r\n");
    let post =
        |fields: &str, body: &str| format!("POST /outer HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
    let mut cases = Vec::new();
    // Both lengths (CL.TE, TE.CL), and codings that only some readers take for chunked (TE.TE).
    for fields in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", ended.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", ended.len()),
        "Content-Length: 0\r\nTransfer-Encoding: chunked".to_string(),
        "Transfer-Encoding: chunked\r\nContent-Length: 3".to_string(),
    ] {
        cases.push(refused(&fields, post(&fields, &ended)));
    }
    for coding in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding:\x0cchunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chun\u{212a}ed",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding:\n chunked",
        "Transfer-Encoding\r\n : chunked",
        "Transfer-Encoding\r\n: chunked",
        "Transfer Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "X: y\r\n\rTransfer-Encoding: chunked",
        "\rTransfer-Encoding: chunked",
        "\0Transfer-Encoding: chunked",
        "X: y\0Transfer-Encoding: chunked",
    ] {
        for with_length in [false, true] {
            let extra =
                if with_length { format!("Content-Length: {}\r\n", ended.len()) } else { String::new() };
            cases.push(refused(format!("{coding} {with_length}"), post(&format!("{extra}{coding}"), &ended)));
        }
    }
    // Lengths that readers of numbers take differently.
    for number in [
        format!("+{length}"),
        format!("-{length}"),
        format!("0, {length}"),
        format!("{length}, {length}"),
        format!("{length},"),
        format!("0x{length:x}"),
        format!("{length}.0"),
        format!("{length}e0"),
        format!("{length} 0"),
        format!("{length}\x0b"),
        format!("\x0b{length}"),
        format!("{length}\0"),
        format!("1_{length}"),
        "\u{664}\u{660}".to_string(),
        format!("{}", (1_u128 << 64) + length as u128),
        String::new(),
        "\"5\"".to_string(),
        format!("\r\n {length}"),
    ] {
        cases.push(refused(format!("length {number:?}"), post(&format!("Content-Length: {number}"), INNER)));
    }
    for fields in [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: {length}\r\ncontent-length: {length}"),
        format!("Content-Length : {length}"),
        format!("Content-Length\t: {length}"),
        format!(" Content-Length: {length}"),
        format!("Content-Length\0: {length}"),
        format!("X\r\n: y\r\nContent-Length: {length}"),
        format!(": y\r\nContent-Length: {length}"),
        format!("X y\r\nContent-Length: {length}"),
    ] {
        cases.push(refused(&fields, post(&fields, INNER)));
    }
    // Chunks: what ends a line of a size, an extension, the data and the trailers.
    for body in [
        format!("2;\nxx\r\n{length:x}\r\n{INNER}\r\n0\r\n\r\n"),
        format!("2;\rxx\r\n0\r\n\r\n{INNER}"),
        format!("2;a=\"\nxx\r\n0\r\n\r\n{INNER}"),
        format!("2;a=b\0\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("2\nxx\r\n0\r\n\r\n{INNER}"),
        format!("2\rxx\r\n0\r\n\r\n{INNER}"),
        format!("2\r\nxx\n0\r\n\r\n{INNER}"),
        format!("2\r\nxx\r0\r\n\r\n{INNER}"),
        format!("2\r\nxxyy0\r\n\r\n{INNER}"),
        format!("2\r\nxxx\r\n0\r\n\r\n{INNER}"),
        format!("3\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("0x2\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("+2\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("-2\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!(" 2\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("2 2\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("2_0\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("10000000000000002\r\nxx\r\n0\r\n\r\n{INNER}"),
        format!("\r\n0\r\n\r\n{INNER}"),
        format!("0\n\n{INNER}"),
        format!("0\r\n\n{INNER}"),
        format!("0\r\n\r{INNER}"),
        format!("0\r\nX: y\n\r\n{INNER}"),
        format!("0\r\nX: y\r\n Z\r\n\r\n{INNER}"),
        format!("0\r\nX : y\r\n\r\n{INNER}"),
        format!("0\r\nXy\r\n\r\n{INNER}"),
    ] {
        cases.push(refused(format!("chunks {body:?}"), post("Transfer-Encoding: chunked", &body)));
    }
    // Heads.
    for head in [
        "GET /outer HTTP/1.1\nHost: a\n\n",
        "GET /outer HTTP/1.1\r\nHost: a\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /outer HTTP/1.1\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET /outer HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /outer HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET  /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /outer\r\nHost: a\r\n\r\n",
        "GET /outer\r\n\r\n",
        "GET /outer\x0bHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //outer/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a@b/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /outer HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /outer HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\0GET /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\nGET /outer HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        cases.push(refused(format!("head {head:?}"), format!("{head}{INNER}")));
    }
    cases.push(refused_alone("GET /outer%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n"));
    cases.push(refused_alone("GET /a/../outer HTTP/1.1\r\nHost: a\r\n\r\n"));
    cases.push(refused_alone("GET /outer%00 HTTP/1.1\r\nHost: a\r\n\r\n"));
    // Expectations that only some readers know.
    for expect in [
        "y 100-continue",
        "100-continue, 100-continue",
        "100-continue;a",
        "100-contin\u{212a}e",
        "\x0b100-continue",
        "",
    ] {
        let fields = format!("Expect: {expect}\r\nContent-Length: {length}");
        cases.push(refused(format!("expect {expect:?}"), post(&fields, INNER)));
    }
    // What is not ambiguous passes, one for one: the inner request is a body.
    let outer = [("POST /outer", INNER)];
    for fields in [
        format!("Content-Length: {length}"),
        format!("Content-Length:   {length} \t"),
        format!("Content-Length: {length:05}"),
        format!("content_length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nTransfer_Encoding: chunked"),
        format!("Content-Length: {length}\r\nX-Transfer-Encoding: chunked"),
        format!("Content-Length: {length}\r\nConnection: Content-Length, keep-alive"),
        format!("Content-Length: {length}\r\nConnection: Host, Transfer-Encoding, X-Forwarded-For"),
        format!("Content-Length: {length}\r\nTE: chunked\r\nTrailer: Content-Length"),
        format!("Content-Length: {length}\r\nExpect: 100-continue"),
        format!("Content-Length: {length}\r\nExpect:\t100-Continue "),
        format!("Content-Length: {length}\r\nExpect: 100-continue\r\nExpect: 100-continue"),
        format!("Content-Length: {length}\r\nX-Expect: y 100-continue"),
        format!("Content-Length: {length}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        format!("Content-Length: {length}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"),
        format!("Content-Length: {length}\r\nX-HTTP-Method-Override: GET\r\nX-Original-URL: /inner"),
    ] {
        cases.push(meant(&fields, post(&fields, INNER), &outer));
    }
    for (fields, body) in [
        ("Transfer-Encoding: chunked", chunk.clone()),
        ("transfer-encoding:\tChunked ", chunk.clone()),
        ("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding, close", chunk.clone()),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue", chunk.clone()),
        ("Transfer-Encoding: chunked", format!("{length:x};a=\"b;c\"\r\n{INNER}\r\n0;d\r\n\r\n")),
        ("Transfer-Encoding: chunked", format!("0000{length:X}\r\n{INNER}\r\n000\r\n\r\n")),
        // Trailers that some readers merge into the fields.
        (
            "Transfer-Encoding: chunked",
            format!("{length:x}\r\n{INNER}\r\n0\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"),
        ),
    ] {
        cases.push(meant(format!("{fields} {body:?}"), post(fields, &body), &outer));
    }
    // Bodies of methods that seldom have one (CL.0, 0.CL).
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let line = format!("{method} /outer");
        let begun = format!("{line} HTTP/1.1\r\nHost: a\r\n");
        let sent = format!("{begun}Content-Length: {length}\r\n\r\n{INNER}");
        cases.push(meant(format!("{method} with a length"), sent, &[(&line, INNER)]));
        let sent = format!("{begun}Transfer-Encoding: chunked\r\n\r\n{chunk}");
        cases.push(meant(format!("{method} with chunks"), sent, &[(&line, INNER)]));
        let sent = format!("{begun}Content-Length: 0\r\n\r\n{INNER}");
        cases.push(meant(format!("{method} with no bytes"), sent, &[(&line, ""), ("GET /inner", "")]));
    }
    // What a client sends behind each other is its own.
    let both = [("GET /outer", ""), ("GET /inner", "")];
    for head in [
        "GET /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX: a\\\r\n\r\n",
    ] {
        cases.push(meant(format!("{head:?}"), format!("{head}{INNER}"), &both));
    }
    cases.push(meant(
        "a close",
        format!("GET /outer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{INNER}"),
        &[("GET /outer", "")],
    ));
    cases.push(meant(
        "HTTP/1.0 without a length",
        format!("POST /outer HTTP/1.0\r\nHost: a\r\n\r\n{INNER}"),
        &[("POST /outer", "")],
    ));
    cases
}

/// A program that says what it sees.
pub struct Program {
    pub address: SocketAddr,
    pub lines: Receiver<String>,
    _running: Running,
}

impl Program {
    pub fn start(command: Command) -> Program {
        let (mut running, address) = start(command);
        let said = running.said.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Program { address, lines, _running: running }
    }

    /// What it has said before this line.
    fn until(&self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let line = self.lines.recv_timeout(SAFETY).unwrap_or_else(|_| panic!("{last:?} in {all:?}"));
            if line == last {
                return all;
            }
            all.push(line);
        }
    }
}

/// As a program says it.
fn said((line, body): &(String, Vec<u8>)) -> String {
    let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{line} {hex}")
}

/// Asks all cases, each followed by another client.
fn smuggle(command: Command) {
    let program = Program::start(command);
    let proxy = Proxy::to(&format!("http://{}", program.address)).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let cases = cases();
    assert!(cases.len() > 180, "{} cases", cases.len());
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let talked = catch_unwind(AssertUnwindSafe(|| talk(&serving, case)));
        let marker = format!("/marker-{number}");
        let reply = serving.get(&marker);
        let marked = said(&(format!("GET {marker}"), Vec::new()));
        let seen = program.until(&marked);
        let expected: Vec<String> = case.meant.iter().map(said).collect();
        if talked.is_err() || reply.field("x-seen") != Some(marked.trim_end()) || seen != expected {
            failed.push(format!("{}: {seen:?} in place of {expected:?}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn talk(serving: &Serving, case: &Case) {
    let mut client = serving.connect();
    let _ = client.try_send(&case.sent);
    if case.refused {
        let reply = client.reply();
        assert!(reply.status >= 400 && reply.closes() == case.meant.is_empty(), "{}: {reply:?}", case.name);
    }
    for asked in &case.meant {
        let shape = if asked.0.starts_with("HEAD ") { Shape::HeadOnly } else { Shape::WithBody };
        let reply = loop {
            let reply = client.try_reply(shape).unwrap_or_else(|end| panic!("{}: {end:?}", case.name));
            if reply.status != 100 {
                break reply;
            }
        };
        assert_eq!(reply.status, 200, "{}: {reply:?}", case.name);
        assert_eq!(reply.field("x-seen"), Some(said(asked).trim_end()), "{}", case.name);
    }
    client.finish();
    assert_eq!(String::from_utf8_lossy(&client.rest().0), "", "{}", case.name);
}

#[test]
fn nothing_is_smuggled_to_node() {
    let path = source("seen.js");
    if let Some(node) = NODE.command("smuggling to node", &[path.to_str().unwrap()]) {
        smuggle(node);
    }
}

#[test]
fn nothing_is_smuggled_to_pythons_server_which_knows_no_chunks() {
    let path = source("seen.py");
    if let Some(python) = PYTHON.command("smuggling to python", &[path.to_str().unwrap()]) {
        smuggle(python);
    }
}

#[test]
#[ignore = "needs Go, which takes a minute to install: make test-slow"]
fn nothing_is_smuggled_to_go() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(program) = go("smuggling to go", folder.path()) {
        let mut command = Command::new(program);
        command.arg("seen");
        smuggle(command);
    }
}

#[test]
fn what_a_backend_says_while_nobody_asks_is_nobodys_answer() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for stray in [
        evil,
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n",
        "x",
    ] {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ] {
            let (asked, strayed) = (Gate::new(), Gate::new());
            let (held, told) = (asked.clone(), strayed.clone());
            let backend = Backend::new(move |_, seen| match seen.line() {
                "GET /first HTTP/1.1" => {
                    [say(answer), vec![Act::Wait(held.clone())], say(stray), vec![Act::Wait(told.clone())]]
                        .concat()
                }
                _ => ok("second"),
            });
            let serving = in_front_of(&backend);
            let reply = serving.get("/first");
            assert!(reply.status == 204 || reply.text() == "first");
            asked.wait_for(1);
            asked.open();
            strayed.wait_for(1);
            assert_eq!(serving.get("/second").text(), "second", "{stray:?} behind {answer:?}");
            assert_eq!(backend.connections(), 2, "{stray:?} behind {answer:?}");
            strayed.open();
        }
    }
}

#[test]
fn two_answers_to_one_request_do_not_move_those_of_others() {
    // What a program does that puts a client's text into a field, and what it does with HEAD and 304.
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (method, answer) in [
        ("GET", format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n{second}")),
        ("GET", format!("HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n{second}{second}")),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{second}", second.len())),
        ("GET", format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{second}", second.len())),
        ("GET", format!("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}")),
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{second}", second.len())),
        (
            "HEAD",
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                second.len()
            ),
        ),
        ("HEAD", format!("HTTP/1.1 200 OK\r\n\r\n{second}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n{second}")),
        (
            "GET",
            format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx{second}"),
        ),
    ] {
        for apart in [false, true] {
            let said = answer.clone();
            let backend = Backend::new(move |_, seen| match seen.line().contains("/first") {
                true if apart => said.as_bytes().chunks(said.len() / 2).flat_map(say).collect(),
                true => say(&said),
                false => ok(seen.line()),
            });
            let serving = in_front_of(&backend);
            let mut client = serving.connect();
            client.send(format!("{method} /first HTTP/1.1\r\nHost: a\r\n\r\n"));
            let shape = if method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
            let reply = client.try_reply(shape).unwrap();
            assert!(!reply.body.ends_with(b"evil"), "{method} {answer:?}: {reply:?}");
            for number in 0..3 {
                let path = format!("/next/{number}");
                let expected = format!("GET {path} HTTP/1.1");
                assert_eq!(client.get(&path).text(), expected, "{method} {answer:?}");
                assert_eq!(serving.get(&path).text(), expected, "{method} {answer:?}");
            }
        }
    }
}

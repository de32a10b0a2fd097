//! WebSockets over TLS: an idle one holds no thread, a message is handled like a request, and a client that does not read, breaks
//! the rules or comes from a page elsewhere takes nothing from the others.
#![cfg(feature = "websocket")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use lockgate::{
    Closed, HeaderValue, Limits, Next, Request, Response, Router, Server, Socket, SocketHandshake, Upgrades,
};

use support::{
    await_lines, get, identity, serve, serve_as, serve_within, Client, End, Gate, Serving, SAFETY,
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn hello(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

struct Talk(Client);

impl Talk {
    fn open(serving: &Serving, path: &str) -> Talk {
        let mut client = serving.connect();
        client.send(hello(path, ""));
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains(ACCEPT), "{head}");
        Talk(client)
    }

    fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.0.send(frame(first, payload.as_ref()));
    }

    /// The next frame.
    fn take(&mut self) -> Result<(u8, Vec<u8>), End> {
        let head = self.0.take(2)?;
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.0.take(2)?.try_into().unwrap())),
            127 => u64::from_be_bytes(self.0.take(8)?.try_into().unwrap()),
            length => u64::from(length),
        };
        Ok((head[0], self.0.take(length as usize)?))
    }

    fn text(&mut self) -> String {
        let (first, payload) = self.take().unwrap();
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The code of the close that comes next, and how the connection ends after it.
    fn close(&mut self) -> (u16, End) {
        let (first, payload) = self.take().unwrap();
        assert_eq!(first, CLOSE, "{payload:?}");
        let end = self.0.take(1).map(|byte| panic!("{byte:?} after the close")).unwrap_or_else(|end| end);
        (u16::from_be_bytes([payload[0], payload[1]]), end)
    }
}

fn echo() -> Router {
    Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .websocket("/echo", |_| Ok(Socket::on_message(|socket, message| socket.send(message))))
}

/// A router with `/socket`, which tells of its sockets and how they end.
fn told() -> (Router, Receiver<Socket>, Receiver<Closed>) {
    let (open, opened) = channel();
    let (end, ended) = channel();
    let (open, end) = (Mutex::new(open), Mutex::new(end));
    let router = Router::new().get("/quick", |_: &mut Request| "quick").websocket("/socket", move |_| {
        let (open, end): (Sender<Socket>, Sender<Closed>) =
            (open.lock().unwrap().clone(), end.lock().unwrap().clone());
        Ok(Socket::on_message(|socket, message| socket.send(message))
            .on_open(move |socket| open.send(socket.clone()).unwrap())
            .on_close(move |_, closed| end.send(closed).unwrap_or_default()))
    });
    (router, opened, ended)
}

fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(SAFETY).expect("nothing was told")
}

#[test]
fn messages_come_back_and_so_do_pings_and_the_close() {
    let serving = serve(echo());
    let mut talk = Talk::open(&serving, "/echo");
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let bytes = support::noise(length);
        talk.send(BINARY, &bytes);
        assert_eq!(talk.take(), Ok((BINARY, bytes)));
    }
    talk.send(PING, "p");
    assert_eq!(talk.take(), Ok((PONG, b"p".to_vec())));
    talk.send(CLOSE, 1000_u16.to_be_bytes());
    assert_eq!(talk.close(), (1000, End::Goodbye));
}

#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    let serving = serve(echo());
    let mut client = serving.connect();
    let all = [get("/quick").into_bytes(), hello("/echo", "").into_bytes(), frame(TEXT, b"early")].concat();
    client.send(all);
    let answers = String::from_utf8(client.take_until(b"quick").unwrap()).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    client.take_until(b"\r\n\r\n").unwrap();
    let mut talk = Talk(client);
    assert_eq!(talk.text(), "early");
}

#[test]
fn any_thread_sends_and_nobody_is_missed() {
    let (router, opened, ended) = told();
    let serving = serve(router);
    let mut talks: Vec<_> = (0..8).map(|_| Talk::open(&serving, "/socket")).collect();
    let sockets: Vec<_> = talks.iter().map(|_| next(&opened)).collect();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let sockets = sockets.clone();
            thread::spawn(move || {
                (0..100).for_each(|n| sockets.iter().for_each(|socket| socket.send(format!("{sender} {n}"))))
            })
        })
        .collect();
    for talk in &mut talks {
        let mut seen = [0; 4];
        for _ in 0..400 {
            let text = talk.text();
            let (sender, n) = text.split_once(' ').unwrap();
            let at: usize = sender.parse().unwrap();
            assert_eq!(n.parse(), Ok(seen[at]), "in the order of its sender");
            seen[at] += 1;
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    sockets[0].close(4000, "enough");
    talks[0].send(TEXT, "dropped");
    assert_eq!(talks[0].take().unwrap().0, CLOSE);
    talks[0].send(CLOSE, 4000_u16.to_be_bytes());
    assert_eq!(next(&ended).code, 4000);
}

#[test]
fn a_handler_that_blocks_holds_up_its_own_messages_and_nobody_else() {
    let gate = Gate::new();
    let held = gate.clone();
    let router = echo().websocket("/slow", move |_| {
        let gate = held.clone();
        Ok(Socket::on_message(move |socket, message| {
            if message.as_text() == Some("wait") {
                gate.pass();
            }
            socket.send(message);
        }))
    });
    let serving = serve_within(router, |limits| limits.workers = 1);
    let mut slow: Vec<_> = (0..5).map(|_| Talk::open(&serving, "/slow")).collect();
    for talk in &mut slow {
        talk.send(TEXT, "wait");
        talk.send(TEXT, "next");
    }
    let mut quick = Talk::open(&serving, "/echo");
    for n in 0..10 {
        quick.send(TEXT, n.to_string());
        assert_eq!(quick.text(), n.to_string());
        assert_eq!(serving.get("/quick").body, b"quick");
    }
    gate.wait_for(5);
    gate.open();
    for talk in &mut slow {
        assert_eq!((talk.text(), talk.text()), ("wait".to_string(), "next".to_string()));
    }
}

#[test]
fn a_handler_that_panics_ends_its_own_websocket() {
    let router = echo().websocket("/trap", |_| Ok(Socket::on_message(|_, _| panic!("as the test wants it"))));
    let serving = serve(router);
    let mut other = Talk::open(&serving, "/echo");
    let mut talk = Talk::open(&serving, "/trap");
    talk.send(TEXT, "now");
    assert_eq!(talk.close(), (1011, End::Goodbye));
    let lines = await_lines(1, |line| line.contains("as the test wants it"));
    assert!(lines[0].starts_with("the handler of a WebSocket panicked at "), "{lines:?}");
    other.send(TEXT, "still here");
    assert_eq!(other.text(), "still here");
}

#[test]
fn clients_that_do_not_read_are_cut_and_the_others_miss_nothing() {
    let (router, opened, ended) = told();
    let serving = serve_within(router, |limits| limits.body_memory_bytes = 4 * 1024 * 1024);
    let mut talk = Talk::open(&serving, "/socket");
    let reads = next(&opened);
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let talk = Talk::open(&serving, "/socket");
            (talk, next(&opened))
        })
        .collect();
    let text = "x".repeat(10_000);
    let mut waiting = 0;
    // More than the sockets of the system and the backlogs hold.
    for n in 0..2_000 {
        deaf.iter().for_each(|(_, socket)| socket.send(text.clone()));
        waiting = waiting.max(deaf.iter().map(|(_, socket)| socket.waiting_bytes()).sum());
        if n % 100 == 0 {
            reads.send(n.to_string());
            assert_eq!(talk.text(), n.to_string());
        }
        if deaf.iter().all(|(_, socket)| !socket.is_open()) {
            break;
        }
    }
    assert!(waiting <= 4 * 1024 * 1024 + 20 * 16 * 1024, "{waiting}");
    for _ in &deaf {
        assert_eq!(next(&ended).code, 1006);
    }
    assert!(!await_lines(1, |line| line.contains("(SocketBuilder::backlog)")).is_empty());
    reads.send("end");
    assert_eq!(talk.text(), "end");
}

#[test]
fn a_client_that_floods_and_reads_nothing_is_not_read_either() {
    let (router, opened, _ended) = told();
    let serving = serve(router);
    let mut talk = Talk::open(&serving, "/socket");
    let socket = next(&opened);
    talk.0.tcp().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let flood: Vec<u8> =
        (0..200).flat_map(|_| [frame(PING, &[1; 125]), frame(BINARY, &[2; 1_000])].concat()).collect();
    // The write fails once the system takes no more: the server has stopped reading.
    while talk.0.try_send(&flood).is_ok() {}
    assert!(socket.waiting_bytes() < 64 * 1024, "{}", socket.waiting_bytes());
    assert_eq!(serving.get("/quick").body, b"quick");
}

#[test]
fn a_page_of_another_origin_is_refused_and_those_that_are_named_are_not() {
    let named =
        SocketHandshake::new().origins(["https://app.example:8443"]).unwrap().subprotocols(["b", "a"]);
    let router = echo()
        .websocket_with("/named", named, |_| {
            Ok(Socket::on_message(|socket, _| socket.send(socket.subprotocol().unwrap_or("none"))))
        })
        .websocket_with("/any", SocketHandshake::new().any_origin(), |_| Ok(Socket::on_message(|_, _| {})))
        .websocket(
            "/refused",
            |_| Err(Response::text("not now").with_status(lockgate::StatusCode::CONFLICT)),
        );
    let serving = serve(router);
    let status = |path: &str, fields: &str| {
        let mut client = serving.connect();
        client.send(hello(path, fields));
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        head.split(' ').nth(1).unwrap().to_string()
    };
    for (path, origin, expected) in [
        ("/echo", "https://localhost", "101"),
        ("/echo", "https://evil.example", "403"),
        ("/echo", "http://localhost", "403"),
        ("/echo", "null", "403"),
        ("/named", "https://app.example:8443", "101"),
        ("/named", "https://app.example", "403"),
        ("/any", "https://evil.example", "101"),
    ] {
        assert_eq!(status(path, &format!("Origin: {origin}\r\n")), expected, "{path} {origin}");
    }
    let line = await_lines(1, |line| line.contains("a page of https://app.example may not open a WebSocket"));
    assert!(line[0].starts_with("127.0.0.1:") && line[0].contains("SocketHandshake::origins"), "{line:?}");
    assert_eq!(status("/refused", ""), "409");
    let mut client = serving.connect();
    client.send(hello("/named", "Sec-WebSocket-Protocol: x, a\r\nSec-WebSocket-Protocol: b\r\n"));
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.contains("\r\nsec-websocket-protocol: b\r\n"), "{head}");
    let mut talk = Talk(client);
    talk.send(TEXT, "which");
    assert_eq!(talk.text(), "b");
}

#[test]
fn layers_run_for_the_handshake_and_on_response_and_the_access_log_see_it() {
    let router = echo().with(|request: &mut Request<'_>, next: Next<'_>| {
        if request.query("key").is_none() {
            return Response::text("no key").with_status(lockgate::StatusCode::UNAUTHORIZED);
        }
        next.run(request)
    });
    let builder = Server::builder(router).identity(identity()).access_log(true).on_response(|seen, head| {
        let status = head.status().as_u16();
        head.headers_mut().insert("x-seen", HeaderValue::from(status));
        assert!(seen.path().is_some());
    });
    let serving = serve_as(builder);
    let mut client = serving.connect();
    client.send(hello("/echo", ""));
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("\r\nx-seen: 401\r\n"), "{head}");
    let mut client = serving.connect();
    let peer = client.address();
    client.send(hello("/echo?key=1", ""));
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\r\nx-seen: 101\r\n"), "{head}");
    let mut talk = Talk(client);
    talk.send(TEXT, "abc");
    assert_eq!(talk.text(), "abc");
    talk.send(CLOSE, 1000_u16.to_be_bytes());
    assert_eq!(talk.close(), (1000, End::Goodbye));
    // 5 bytes for the message, 4 for the close.
    let lines = await_lines(1, |line| line.contains(&format!(" {peer} ")));
    assert!(lines.len() == 1 && lines[0].contains("GET /echo 101 9 "), "{lines:?}");
    assert!(!lines[0].contains("cut"), "{lines:?}");
}

#[test]
fn a_stop_closes_every_websocket_and_ends() {
    let (router, opened, ended) = told();
    let serving = serve(router);
    let mut talks: Vec<_> = (0..5).map(|_| Talk::open(&serving, "/socket")).collect();
    talks.iter().for_each(|_| drop(next(&opened)));
    serving.handle.stop();
    let mut silent = talks.pop().unwrap();
    for talk in &mut talks {
        let (first, payload) = talk.take().unwrap();
        assert_eq!((first, &payload[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
        talk.send(CLOSE, 1001_u16.to_be_bytes());
        assert_eq!(talk.0.take(1), Err(End::Goodbye));
        assert_eq!(next(&ended).code, 1001);
    }
    // One does not answer.
    assert_eq!(silent.close(), (1001, End::Goodbye));
    assert_eq!(next(&ended).code, 1006);
    serving.join().unwrap();
}

#[test]
fn a_client_that_goes_is_noticed_however_it_goes() {
    let (router, opened, ended) = told();
    let serving = serve(router);
    // Reset, closed without a word, half closed.
    let talk = Talk::open(&serving, "/socket");
    talk.0.reset();
    assert_eq!(next(&ended).code, 1006);
    drop(Talk::open(&serving, "/socket"));
    assert_eq!(next(&ended).code, 1006);
    let mut half = Talk::open(&serving, "/socket");
    half.0.tcp().shutdown(Shutdown::Write).unwrap();
    assert_eq!(next(&ended).code, 1006);
    assert!(half.0.take(1).is_err());
    for _ in 0..3 {
        let socket = next(&opened);
        socket.send("to nobody");
        assert!(!socket.is_open());
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_by_the_limit_that_the_log_names() {
    let (router, opened, ended) = told();
    let serving =
        serve_within(router, |limits: &mut Limits| limits.write_timeout = Duration::from_millis(500));
    let talk = Talk::open(&serving, "/socket");
    let socket = next(&opened);
    while socket.try_send(vec![0; 50_000]).is_ok() {
        thread::yield_now();
    }
    assert_eq!(next(&ended).code, 1006);
    talk.0.wait_for_limit("write_timeout");
}

/// All of it is sent for the server, and only the system knows that the client takes nothing.
#[test]
fn a_client_that_takes_nothing_of_what_the_system_holds_is_cut_by_the_same_limit() {
    let (router, opened, ended) = told();
    let serving =
        serve_within(router, |limits: &mut Limits| limits.write_timeout = Duration::from_millis(500));
    let talk = Talk::open(&serving, "/socket");
    rustix::net::sockopt::set_socket_recv_buffer_size(talk.0.tcp(), 4096).unwrap();
    next(&opened).try_send(vec![0; 200_000]).unwrap();
    assert_eq!(next(&ended).code, 1006);
    talk.0.wait_for_limit("write_timeout");
}

#[test]
fn rules_are_kept_over_tls_as_well() {
    let serving = serve(echo());
    for (bytes, code) in [
        (vec![TEXT, 5], 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(0xf1, b"a"), 1002),
        ([&[BINARY, 0xff][..], &[0x7f; 8], &[0; 4]].concat(), 1009),
        (frame(CLOSE, b"\x03"), 1002),
    ] {
        let mut talk = Talk::open(&serving, "/echo");
        talk.0.send(&bytes);
        assert_eq!(talk.close().0, code, "{bytes:?}");
    }
    let lines = await_lines(1, |line| line.contains("a WebSocket is closed with 1009, because"));
    assert!(
        lines[0].starts_with("127.0.0.1:") && lines[0].contains("SocketBuilder::message_bytes"),
        "{lines:?}"
    );
    let mut talk = Talk::open(&serving, "/echo");
    for byte in [frame(0x01, b"\xe2\x82"), frame(PING, b""), frame(0x80, b"\xac")].concat() {
        talk.0.send([byte]);
    }
    assert_eq!(talk.take(), Ok((PONG, vec![])));
    assert_eq!(talk.text(), "€");
}

/// A router that sends each byte back at `/lines`, in another protocol.
fn lines(upgrades: &Upgrades) -> Router {
    let upgrades = upgrades.clone();
    Router::new().get("/quick", |_: &mut Request| "quick").get("/lines", move |_: &mut Request| {
        upgrades.response("lines", |stream| {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut piece) {
                assert!(!piece.starts_with(b"trap"), "as this test wants it");
                if stream.write_all(&piece[..read]).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(if stream.is_stopping() { b"stopped" } else { b"ended" });
        })
    })
}

const LINES: &str = "GET /lines HTTP/1.1\r\nHost: localhost\r\nUpgrade: lines\r\nConnection: Upgrade\r\n\r\n";

fn open_lines(serving: &Serving) -> Client {
    let mut client = serving.connect();
    client.send([LINES.as_bytes(), b"early"].concat());
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert_eq!(head, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n");
    assert_eq!(client.take(5).unwrap(), b"early");
    client
}

#[test]
fn another_protocol_has_a_stream_that_blocks_and_ends_with_its_function() {
    let serving = serve(lines(&Upgrades::new(8)));
    let mut client = open_lines(&serving);
    // More than its buffers hold, in both directions at once.
    let bytes = support::noise(300_000);
    for piece in bytes.chunks(30_000) {
        client.send(piece);
        assert_eq!(client.take(piece.len()).unwrap(), piece);
    }
    client.tcp().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.take(5).unwrap(), b"ended");
    assert_eq!(client.take(1), Err(End::Goodbye));
}

#[test]
fn the_threads_of_other_protocols_are_bounded_and_given_back() {
    let serving = serve(lines(&Upgrades::new(2)));
    let one = open_lines(&serving);
    let _other = open_lines(&serving);
    let busy = || {
        let mut client = serving.connect();
        client.send(LINES);
        client.take_until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 503 ")
    };
    assert!(busy());
    assert_eq!(serving.get("/quick").body, b"quick");
    assert_eq!(serving.get("/lines").status, 503);
    drop(one);
    while busy() {
        thread::yield_now();
    }
}

#[test]
fn another_protocol_ends_with_the_server_and_with_its_own_faults() {
    let serving = serve(lines(&Upgrades::new(8)));
    let mut trapped = open_lines(&serving);
    trapped.send("trap");
    assert_eq!(trapped.take(1), Err(End::Cut));
    let lines = await_lines(1, |line| line.contains("as this test wants it"));
    assert!(lines.len() == 1 && lines[0].contains("an upgraded connection panicked at"), "{lines:?}");
    let mut client = open_lines(&serving);
    serving.handle.stop();
    assert_eq!(client.take(7).unwrap(), b"stopped");
    assert_eq!(client.take(1), Err(End::Goodbye));
    serving.join().unwrap();
}

#[test]
fn a_stream_of_another_protocol_has_time_limits() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let router = Router::new().get("/lines", move |_: &mut Request| {
        let tell: Sender<_> = tell.lock().unwrap().clone();
        Response::upgrade("lines", move |stream| {
            let mut byte = [0; 5];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50)));
            tell.send(stream.read(&mut byte).unwrap_err().kind()).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(50)));
            let late = loop {
                if let Err(error) = stream.write(&[0; 10_000]) {
                    break error.kind();
                }
            };
            tell.send(late).unwrap();
            stream.set_write_timeout(None);
            // Until the server cuts the client.
            while stream.write(&[0; 10_000]).is_ok() {}
            tell.send(stream.read(&mut byte).unwrap_err().kind()).unwrap();
        })
    });
    let serving = serve_within(router, |limits| limits.write_timeout = Duration::from_millis(500));
    let client = open_lines(&serving);
    assert_eq!(next(&told), ErrorKind::TimedOut);
    assert_eq!(next(&told), ErrorKind::TimedOut);
    assert_eq!(next(&told), ErrorKind::ConnectionAborted);
    client.wait_for_limit("write_timeout");
}

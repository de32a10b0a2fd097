//! What a client gets of a backend's answers.

use std::sync::Arc;

use super::backend::{ok, say, Act, Backend, A_MOMENT};
use super::in_front_of;
use super::support::{chunked, get, noise, Client, End, Gate, Reply, Shape};

/// The next response that is not interim.
pub fn final_reply(client: &mut Client) -> Reply {
    loop {
        let reply = client.reply();
        if reply.status >= 200 {
            return reply;
        }
    }
}

#[test]
fn each_kind_of_answer_reaches_the_client_whole_and_the_connections_are_kept_where_that_is_safe() {
    let body = noise(300_000);
    let coded = chunked(&body, 1_000);
    for (head, content, expected, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", &b"abc"[..], &b"abc"[..], true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", b"", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", &body, &body, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n", b"abc", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n", b"", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &coded, &body, true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", b"abc", b"abc", false),
        ("HTTP/1.1 200 OK\r\n\r\n", b"until the end", b"until the end", false),
        ("HTTP/1.1 200 OK\r\n\r\n", &body, &body, false),
        ("HTTP/1.0 200 OK\r\n\r\n", b"until the end", b"until the end", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", b"abc", b"abc", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n", b"abc", b"abc", true),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"abc", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"a", b"a", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", b"", b"", true),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", b"", b"", true),
        // Content that the backend adds all the same reaches no client (RFC 9110 §15.3.6).
        ("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b"", b"", true),
        ("HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\n", b"abc", b"", false),
        ("HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"", false),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n", b"abc", b"abc", true),
        ("HTTP/1.1 299 Odd\r\nContent-Length: 3\r\n\r\n", b"abc", b"abc", true),
    ] {
        let closes = !kept;
        let bytes = [head.as_bytes(), content].concat();
        let backend = Backend::new(move |_, _| {
            let mut acts = say(&bytes);
            acts.extend(closes.then_some(Act::Close));
            acts
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        for _ in 0..2 {
            client.send(get("/"));
            let reply = final_reply(&mut client);
            assert!(reply.body == expected, "{head:?}: {} bytes", reply.body.len());
            let status = head.rsplit("HTTP/1.").next().unwrap();
            assert_eq!(reply.status.to_string(), status[2..5], "{head:?}");
            assert_eq!(reply.field("x-content-type-options"), None, "{head:?}");
        }
        assert_eq!(backend.connections(), if kept { 1 } else { 2 }, "{head:?}");
    }
}

#[test]
fn an_answer_to_head_has_the_length_that_the_backend_tells() {
    let backend = Backend::new(|_, seen| match seen.line() {
        "HEAD /length HTTP/1.1" => say("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        _ => say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    });
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send("HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.try_reply(Shape::HeadOnly).unwrap().field("content-length"), Some("1234"));
    client.send("HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.try_reply(Shape::HeadOnly).unwrap();
    assert_eq!((reply.field("content-length"), reply.closes()), (None, false));
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection_for_a_client_of_http_1_0() {
    let backend = Backend::new(|_, _| {
        say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    });
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.text(), reply.field("transfer-encoding")), ("abc", None));
    assert_eq!(backend.seen()[0].fields("via"), ["1.0 lockgate"]);
}

#[test]
fn what_a_backend_gives_passes_at_once() {
    for (head, pieces, expected) in [
        (
            "Content-Type: text/event-stream\r\n\r\n",
            ["data: 1\n\n", "data: 2\n\n"],
            ["data: 1\n\n", "data: 2\n\n"],
        ),
        ("Transfer-Encoding: chunked\r\n\r\n", ["3\r\nabc\r\n", "3\r\ndef\r\n"], ["abc", "def"]),
        ("Content-Length: 6\r\n\r\n", ["abc", "def"], ["abc", "def"]),
    ] {
        let gate = Gate::new();
        let (held, closes) = (gate.clone(), head.contains("event"));
        let backend = Backend::new(move |_, _| {
            let mut acts = say(format!("HTTP/1.1 200 OK\r\n{head}{}", pieces[0]));
            acts.push(Act::Wait(held.clone()));
            acts.extend(say(pieces[1]));
            if closes {
                acts.push(Act::Close);
            } else if head.contains("chunked") {
                acts.extend(say("0\r\n\r\n"));
            }
            acts
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        client.send(get("/"));
        client.take_until(expected[0].as_bytes()).unwrap();
        gate.wait_for(1);
        gate.open();
        client.take_until(expected[1].as_bytes()).unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_holds_the_backend_back_and_takes_no_memory() {
    let all = 64 * 1024 * 1024;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = sent.clone();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        std::io::Read::read(&mut tcp, &mut [0; 4096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {all}\r\n\r\n");
        std::io::Write::write_all(&mut tcp, head.as_bytes()).unwrap();
        let piece = [b'x'; 64 * 1024];
        for _ in 0..all / piece.len() {
            std::io::Write::write_all(&mut tcp, &piece).unwrap();
            count.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let proxy = lockgate::Proxy::to(&url).unwrap();
    let serving = super::serve(lockgate::Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    client.send(get("/"));
    client.take_until(b"\r\n\r\n").unwrap();
    // What the sockets hold is far less.
    let mut last = usize::MAX;
    loop {
        std::thread::sleep(A_MOMENT);
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < all / 2, "{last} of {all}");
    assert_eq!(client.take(all).unwrap().len(), all);
}

#[test]
fn redirects_to_the_backend_itself_lead_to_https_and_cookies_are_for_https_only() {
    let backend = Backend::new(|_, _| {
        say("HTTP/1.1 302 Found\r\nLocation: http://localhost/login\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    });
    let reply = in_front_of(&backend).get("/");
    assert_eq!(reply.field("location"), Some("https://localhost/login"));
    assert_eq!(reply.field("set-cookie"), Some("a=b; Secure"));
}

#[test]
fn no_name_of_the_backend_reaches_the_client_in_a_url_of_its_answer() {
    let backend = Backend::new(|_, seen| {
        // As programs do that build their URLs of what they are told.
        let own = format!("https://{}", seen.fields("host")[0]);
        say(format!(
            "HTTP/1.1 103 Early Hints\r\nLink: <{own}/a.css>; rel=preload\r\n\r\n\
             HTTP/1.1 201 Created\r\nLocation: http://app.internal:80/1\r\nContent-Location: {own}/1\r\nRefresh: 5; url={own}/2\r\n\
             Link: <{own}/?page=2>; rel=next, <https://cdn.example/a>; rel=preload\r\nSet-Cookie: a=b; Domain=app.internal\r\n\
             Content-Length: 0\r\n\r\n"
        ))
    });
    let serving = super::in_front_with(&backend, |proxy| proxy.host("app.internal"));
    let mut client = serving.connect();
    client.send("GET / HTTP/1.1\r\nHost: device.example:8443\r\n\r\n");
    let hints = client.reply();
    assert_eq!(
        (hints.status, hints.field("link")),
        (103, Some("<https://device.example:8443/a.css>; rel=preload"))
    );
    let reply = client.reply();
    for (name, expected) in [
        ("location", "https://device.example:8443/1"),
        ("content-location", "https://device.example:8443/1"),
        ("refresh", "5; url=https://device.example:8443/2"),
        ("link", "<https://device.example:8443/?page=2>; rel=next, <https://cdn.example/a>; rel=preload"),
        ("set-cookie", "a=b; Secure"),
    ] {
        assert_eq!(reply.field(name), Some(expected));
    }
}

#[test]
fn an_answer_before_the_whole_request_was_read_reaches_the_client() {
    // Larger than what the sockets hold.
    let body = noise(900_000);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gate = Gate::new();
    let held = gate.clone();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        std::io::Read::read(&mut tcp, &mut [0; 100]).unwrap();
        std::io::Write::write_all(&mut tcp, b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .unwrap();
        held.pass();
    });
    let proxy = lockgate::Proxy::to(&url).unwrap();
    let serving = super::serve(lockgate::Router::new().fallback(proxy.handler()));
    let mut client: Client = serving.connect();
    client.send(super::support::post("/", &body));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text()), (413, "big"));
    gate.open();
}

#[test]
fn layers_around_the_proxy_hold_for_the_answers_that_come_later() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::new(move |_, seen| match seen.line() {
        "GET /none HTTP/1.1" => say("none\r\n\r\n"),
        _ => [
            vec![Act::Wait(held.clone())],
            say("HTTP/1.1 200 OK\r\nX-Own: backend\r\nContent-Length: 0\r\n\r\n"),
        ]
        .concat(),
    });
    let layer = |request: &mut lockgate::Request<'_>, next: lockgate::Next<'_>| {
        next.run(request).with_header("x-own", "layer").with_header("x-layer", "yes")
    };
    let proxy = lockgate::Proxy::to(&backend.url()).unwrap();
    let serving = super::serve(lockgate::Router::new().fallback(proxy.handler()).with(layer));
    let mut client = serving.connect();
    client.send(get("/"));
    gate.wait_for(1);
    gate.open();
    let reply = client.reply();
    assert_eq!((reply.field("x-own"), reply.field("x-layer")), (Some("backend"), Some("yes")));
    let reply = client.get("/none");
    assert_eq!((reply.status, reply.field("x-layer")), (502, Some("yes")));
}

#[test]
fn a_websocket_is_a_tunnel_and_no_other_protocol_is() {
    let gate = Gate::new();
    let held = gate.clone();
    let accepts = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello";
    let backend = Backend::new(move |_, seen| match seen.line() {
        "GET /chat HTTP/1.1" => [say(accepts), vec![Act::Echo(5), Act::AwaitEnd(held.clone())]].concat(),
        "GET /ends HTTP/1.1" => [say(accepts), vec![Act::Echo(5), Act::Close]].concat(),
        _ => ok(seen.fields("upgrade").join(" ")),
    });
    let serving = in_front_of(&backend);
    let ask = |path: &str, protocol: &str| {
        let mut client = serving.connect();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: y\r\n\r\n"
        ));
        client
    };
    let mut client = ask("/chat", "websocket");
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("connection: ") && head.contains("sec-websocket-accept: x\r\n"), "{head}");
    assert_eq!(client.take(5).unwrap(), b"hello");
    client.send("there");
    assert_eq!(client.take(5).unwrap(), b"there");
    assert_eq!(backend.seen()[0].fields("sec-websocket-key"), ["y"]);
    // An end on one side is one on the other.
    client.finish();
    gate.wait_for(1);
    let mut client = ask("/ends", "websocket");
    client.take_until(b"hello").unwrap();
    client.send("there");
    client.take_until(b"there").unwrap();
    client.expect_goodbye();
    // h2c would hide requests from the proxy.
    assert_eq!(ask("/plain", "h2c").reply().text(), "");
}

#[test]
fn a_cut_answer_is_cut_for_the_client_and_never_completed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n\r\n",
    ] {
        for end in [Act::Close, Act::Reset] {
            let gate = Gate::new();
            let (held, ends) = (gate.clone(), end.clone());
            let (begun, rest) = answer.split_at(answer.find("\r\n\r\n").unwrap() + 4);
            let backend = Backend::new(move |_, _| {
                let mut acts = say(begun);
                acts.push(Act::Wait(held.clone()));
                acts.extend(say(rest));
                acts.push(ends.clone());
                acts
            });
            let serving = in_front_of(&backend);
            let mut client = serving.connect();
            client.send(get("/"));
            client.take_until(b"\r\n\r\n").unwrap();
            gate.open();
            let (came, how) = client.rest();
            assert!(!came.ends_with(b"0\r\n\r\n") && came.len() < 30, "{answer:?}");
            assert_ne!(how, End::Goodbye, "{answer:?}");
        }
    }
    // And the next request of another client is not concerned.
    let backend = Backend::new(|_, _| ok("fine"));
    assert_eq!(in_front_of(&backend).get("/").text(), "fine");
}

//! Bodies of requests, which pass to the backend as they come.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use lockgate::{Limits, Next, Proxy, Request, Router};

use super::backend::{ok, Backend, A_MOMENT};
use super::support::{get, noise, post, serve, serve_within, Client, End, Serving, NEVER};
use super::tap::{Tap, Tapped};

fn in_front(proxy: Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

const CHUNKED: &str = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn fixed(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

/// A client whose head and first bytes have come to the backend.
fn begun(tap: &Tap, serving: &Serving, request: &str) -> (Client, Tapped, String) {
    let mut client = serving.connect();
    client.send(request);
    let mut tapped = tap.accept();
    let head = tapped.head();
    (client, tapped, head)
}

#[test]
fn a_body_passes_as_it_comes_with_its_length_and_the_connections_are_kept() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, mut tapped, head) = begun(&tap, &serving, &(fixed(10) + "abc"));
    assert!(head.contains("\r\ncontent-length: 10\r\n") && !head.contains("transfer-encoding"), "{head}");
    tapped.expect("abc");
    client.send("def");
    tapped.expect("def");
    client.send("ghij");
    tapped.expect("ghij");
    tapped.ok("10");
    let reply = client.reply();
    assert_eq!((reply.text(), reply.closes()), ("10", false));
    client.send(get("/next"));
    assert!(tapped.head().starts_with("get /next http/1.1\r\n"));
    tapped.ok("next");
    assert_eq!(client.reply().text(), "next");
}

#[test]
fn chunks_pass_as_they_come_written_anew_without_extensions_and_trailers() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, mut tapped, head) = begun(&tap, &serving, &format!("{CHUNKED}3;a=\"b\"\r\nabc\r\n"));
    assert!(
        head.contains("\r\ntransfer-encoding: chunked\r\n") && !head.contains("content-length"),
        "{head}"
    );
    // A backend that does not know chunks must not take them for further requests.
    assert!(head.contains("\r\nconnection: close\r\n") && !head.contains("trailer"), "{head}");
    tapped.expect("3\r\nabc\r\n");
    client.send("000004 ".trim());
    client.send("\r\nde");
    tapped.expect("2\r\nde\r\n");
    client.send("fg\r\n0;x\r\nContent-Length: 5\r\nHost: evil\r\n\r\n");
    tapped.expect("2\r\nfg\r\n0\r\n\r\n");
    tapped.ok("7");
    assert_eq!(client.reply().text(), "7");
    // What follows is the next request, also one in the same write.
    client.send(format!("{CHUNKED}1\r\nx\r\n"));
    assert_eq!(tapped.rest(), b"");
    let mut tapped = tap.accept();
    tapped.head();
    tapped.expect("1\r\nx\r\n");
    client.send(format!("0\r\n\r\n{}", get("/inner")));
    tapped.expect("0\r\n\r\n");
    tapped.expect_nothing_yet();
    tapped.ok("1");
    assert_eq!(client.reply().text(), "1");
    let mut tapped = tap.accept();
    assert!(tapped.head().starts_with("get /inner "));
    tapped.ok("2");
    assert_eq!(client.reply().text(), "2");
}

#[test]
fn a_small_body_that_has_come_whole_goes_with_its_head_in_one_write_and_with_its_length() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let mut client = serving.connect();
    client.send(post("/", b"body"));
    let mut tapped = tap.accept();
    let once = String::from_utf8(tapped.once()).unwrap();
    assert!(once.contains("content-length: 4\r\n") && once.ends_with("\r\n\r\nbody"), "{once}");
    tapped.ok("1");
    client.reply();
    client.send(format!("{CHUNKED}2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"));
    let once = String::from_utf8(tapped.once()).unwrap();
    assert!(once.contains("content-length: 4\r\n") && once.ends_with("\r\n\r\nbody"), "{once}");
}

#[test]
fn a_client_that_leaves_within_its_body_ends_the_request_at_the_backend_and_it_never_looks_whole() {
    for request in [fixed(10) + "abc", format!("{CHUNKED}3\r\nabc\r\n"), format!("{CHUNKED}9\r\nabc")] {
        for resets in [false, true] {
            let tap = Tap::new();
            let serving = in_front(tap.proxy().at_a_time(1));
            let (mut client, mut tapped, _) = begun(&tap, &serving, &request);
            match resets {
                true => client.reset(),
                false => client.leave(),
            }
            let rest = String::from_utf8(tapped.rest()).unwrap();
            assert!(rest.contains("abc") && rest.len() < 10 && !rest.contains("0\r\n"), "{rest:?}");
            // Its place is free again.
            let mut client = serving.connect();
            client.send(get("/"));
            let mut tapped = tap.accept();
            tapped.head();
            tapped.ok("yes");
            assert_eq!(client.reply().text(), "yes");
        }
    }
}

#[test]
fn a_body_that_is_refused_within_is_cut_for_the_backend_and_the_client_is_told() {
    for (rest, status) in [
        // Larger than is accepted; a chunk whose end is not where it should be; a size that two readers could take differently.
        (format!("80\r\n{}\r\n", "x".repeat(128)), 413),
        ("3\r\nabcX\r\n0\r\n\r\n".to_string(), 400),
        ("0x3\r\nabc\r\n0\r\n\r\n".to_string(), 400),
        ("3;a\nb\r\nabc\r\n0\r\n\r\n".to_string(), 400),
        ("1\r\nx\r\n0\r\nContent-Length : 5\r\n\r\n".to_string(), 400),
        ("1\r\nx\r\n0\n\n".to_string(), 400),
        ("ffffffffffffffffff\r\n".to_string(), 400),
    ] {
        let tap = Tap::new();
        let proxy = tap.proxy();
        let serving = serve_within(Router::new().fallback(proxy.handler()), |limits| limits.body_bytes = 100);
        let (mut client, mut tapped, _) = begun(&tap, &serving, &format!("{CHUNKED}3\r\nabc\r\n"));
        tapped.expect("3\r\nabc\r\n");
        client.send(&rest);
        let reply = client.reply();
        assert_eq!((reply.status, reply.closes()), (status, true), "{rest:?}");
        reply.problem();
        let come = tapped.rest();
        assert!(!come.ends_with(b"0\r\n\r\n") && come.len() < 8, "{come:?}");
    }
    // Known from the head.
    let tap = Tap::new();
    let proxy = tap.proxy();
    let serving = serve_within(Router::new().fallback(proxy.handler()), |limits| limits.body_bytes = 100);
    let mut client = serving.connect();
    client.send(fixed(101));
    assert_eq!(client.reply().status, 413);
    assert!(tap.is_left_alone());
}

#[test]
fn a_body_that_comes_too_slowly_is_refused_and_cut_for_the_backend() {
    let tap = Tap::new();
    let proxy = tap.proxy();
    let serving = serve_within(Router::new().fallback(proxy.handler()), |limits| {
        limits.body_timeout = Duration::from_millis(150);
    });
    let (mut client, mut tapped, _) = begun(&tap, &serving, &(fixed(10) + "abc"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.closes()), (408, true));
    client.assert_limit_named("body_timeout");
    assert_eq!(tapped.rest(), b"abc");
}

#[test]
fn a_client_that_waits_for_the_word_gets_it_from_the_backend_and_once() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let expecting = "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let (mut client, mut tapped, head) = begun(&tap, &serving, expecting);
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    tapped.expect_nothing_yet();
    tapped.say("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.reply().status, 100);
    client.send("body");
    tapped.expect("body");
    tapped.say("HTTP/1.1 100 Continue\r\n\r\n");
    tapped.ok("yes");
    let reply = client.reply();
    assert_eq!((reply.text(), reply.closes()), ("yes", false));
    // A backend that knows nothing of it says nothing.
    client.send(expecting);
    tapped.head();
    assert_eq!(client.reply().status, 100);
    client.send("body");
    tapped.expect("body");
    tapped.say("HTTP/1.1 100 Continue\r\n\r\n");
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
    // A client that does not wait gets no word any more.
    client.send(expecting);
    tapped.head();
    client.send("bo");
    tapped.expect("bo");
    tapped.say("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("dy");
    tapped.expect("dy");
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
    // One that has sent all of it does not wait for anything.
    client.send(expecting.to_string() + "body");
    let head = tapped.head();
    assert!(!head.contains("expect"), "{head}");
    tapped.expect("body");
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
}

#[test]
fn a_backend_that_does_not_want_the_body_says_so_before_it_is_sent() {
    for status in [417, 401, 413, 200] {
        let tap = Tap::new();
        let serving = in_front(tap.proxy());
        let expecting = "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let (mut client, mut tapped, _) = begun(&tap, &serving, expecting);
        tapped.say(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"));
        let reply = client.reply();
        // Whether the client sends its body now is not known.
        assert_eq!((reply.status, reply.text(), reply.closes()), (status, "no", true));
        assert_eq!(tapped.rest(), b"");
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_passes_at_once_and_the_rest_is_read_past() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    // A short rest is read past, so that the connection is kept. Nobody knows how long one in chunks becomes.
    for (request, rest, closes) in [
        (fixed(10) + "abc", "defghij", false),
        (format!("{CHUNKED}3\r\nabc\r\n"), "2\r\nde\r\n0\r\n\r\n", true),
    ] {
        let (mut client, mut tapped, _) = begun(&tap, &serving, &request);
        tapped.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
        let reply = client.reply();
        assert_eq!((reply.status, reply.text(), reply.closes()), (413, "big", closes), "{request}");
        let come = String::from_utf8(tapped.rest()).unwrap();
        assert!(come.contains("abc") && !come.contains("0\r\n"), "{come:?}");
        if closes {
            client.send(rest);
            client.expect_goodbye();
            continue;
        }
        client.send([rest, &get("/next")].concat());
        let mut tapped = tap.accept();
        assert!(tapped.head().starts_with("get /next "));
        tapped.ok("next");
        assert_eq!(client.reply().text(), "next");
    }
    // A long one ends the connection, and the answer arrives although the client still sends.
    let (mut client, mut tapped, _) = begun(&tap, &serving, &(fixed(900_000) + "abc"));
    tapped.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    tapped.rest();
    let _ = client.try_send(&noise(100_000));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text(), reply.closes()), (413, "big", true));
}

#[test]
fn a_backend_that_ends_within_the_body_is_a_502_and_the_body_is_not_sent_again() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    for method in ["POST", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        let (mut client, mut tapped, _) = begun(&tap, &serving, &request);
        tapped.expect("abc");
        client.send("def");
        tapped.expect("def");
        drop(tapped);
        let reply = client.reply();
        assert_eq!(reply.status, 502);
        assert!(tap.is_left_alone());
    }
    // As long as all of it is held, a safe request is sent once more.
    let (mut client, mut tapped, _) =
        begun(&tap, &serving, "OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    tapped.expect("abc");
    drop(tapped);
    let mut tapped = tap.accept();
    tapped.head();
    tapped.expect("abc");
    client.send("def");
    tapped.expect("def");
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
}

#[test]
fn a_backend_may_answer_while_it_reads_and_both_directions_go_on() {
    for head in ["Content-Length: 25", "Transfer-Encoding: chunked"] {
        let tap = Tap::new();
        let serving = in_front(tap.proxy());
        let is_fixed = head.starts_with("Content");
        let piece = |text: &str| if is_fixed { text.to_string() } else { format!("5\r\n{text}\r\n") };
        let begin = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{}", piece("piece"));
        let (mut client, mut tapped, _) = begun(&tap, &serving, &begin);
        tapped.expect(piece("piece"));
        tapped.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        client.take_until(b"first").unwrap();
        for number in 1..5 {
            client.send(piece("piece"));
            tapped.expect(piece("piece"));
            tapped.say(format!("2\r\n:{number}\r\n"));
            client.take_until(format!(":{number}").as_bytes()).unwrap();
        }
        if !is_fixed {
            client.send("0\r\n\r\n");
            tapped.expect("0\r\n\r\n");
        }
        tapped.say("0\r\n\r\n");
        client.take_until(b"0\r\n\r\n").unwrap();
        if !is_fixed {
            client.expect_goodbye();
            continue;
        }
        client.send(get("/next"));
        let mut tapped = tap.accept();
        assert!(tapped.head().starts_with("get /next "));
        tapped.ok("next");
        assert_eq!(client.reply().text(), "next");
    }
    // A client that leaves meanwhile ends it, and an answer that ends before the request does too.
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, mut tapped, _) = begun(&tap, &serving, &format!("{CHUNKED}1\r\nx\r\n"));
    tapped.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n");
    client.take_until(b"y\r\n").unwrap();
    client.leave();
    assert_eq!(tapped.rest(), b"1\r\nx\r\n");
    let (mut client, mut tapped, _) = begun(&tap, &serving, &format!("{CHUNKED}1\r\nx\r\n"));
    tapped.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n");
    client.take_until(b"y\r\n").unwrap();
    tapped.say("0\r\n\r\n");
    assert_eq!(tapped.rest(), b"1\r\nx\r\n");
    client.take_until(b"0\r\n\r\n").unwrap();
    client.send("0\r\n\r\n");
    client.expect_goodbye();
    // So does a body that is refused meanwhile.
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, mut tapped, _) = begun(&tap, &serving, &format!("{CHUNKED}1\r\nx\r\n"));
    tapped.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n");
    client.take_until(b"y\r\n").unwrap();
    client.send("zz\r\n");
    assert_eq!(tapped.rest(), b"1\r\nx\r\n");
    let (rest, end) = client.rest();
    assert!(rest.is_empty() && end != End::Goodbye);
}

#[test]
fn a_backend_that_does_not_read_holds_the_client_back_and_a_large_body_arrives_whole() {
    let all = 24 * 1024 * 1024;
    let tap = Tap::narrow();
    let proxy = tap.proxy();
    let serving = serve_within(Router::new().fallback(proxy.handler()), |limits| limits.body_bytes = 1 << 30);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let mut client = serving.connect();
    let piece = noise(64 * 1024);
    let whole = piece.repeat(all / piece.len());
    let sender = std::thread::spawn(move || {
        client.send(fixed(all));
        for _ in 0..all / piece.len() {
            client.send(&piece);
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
        client
    });
    let mut tapped = tap.accept();
    // What the sockets and the proxy hold is far less.
    let mut last = usize::MAX;
    loop {
        std::thread::sleep(A_MOMENT);
        let now = sent.load(Ordering::SeqCst);
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < all / 2, "{last} of {all}");
    tapped.head();
    tapped.expect(&whole);
    let mut client = sender.join().unwrap();
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
}

#[test]
fn no_worker_waits_for_bodies_that_trickle() {
    let tap = Tap::new();
    let (proxy, quick) = (tap.proxy(), Backend::new(|_, _| ok("quick")));
    let change = |limits: &mut Limits| {
        limits.workers = 2;
        limits.reserve_workers = 1;
        limits.body_timeout = NEVER;
    };
    let quick = Proxy::to(&quick.url()).unwrap();
    let router = Router::new().get("/quick", quick.handler()).fallback(proxy.handler());
    let serving = serve_within(router, change);
    let mut pairs: Vec<_> = (0..50)
        .map(|number| {
            let request = if number % 2 == 0 { fixed(100_000) + "a" } else { format!("{CHUNKED}1\r\na\r\n") };
            let (client, mut tapped, _) = begun(&tap, &serving, &request);
            tapped.expect(if number % 2 == 0 { "a" } else { "1\r\na\r\n" });
            (client, tapped)
        })
        .collect();
    for _ in 0..3 {
        for (number, (client, tapped)) in pairs.iter_mut().enumerate() {
            let piece = if number % 2 == 0 { "b" } else { "1\r\nb\r\n" };
            client.send(piece);
            tapped.expect(piece);
        }
        assert_eq!(serving.get("/quick").text(), "quick");
    }
}

#[test]
fn a_layer_that_reads_the_body_passes_on_the_rest_and_one_that_answers_itself_needs_none() {
    let tap = Tap::new();
    let layer = |request: &mut Request<'_>, next: Next<'_>| {
        if request.header("x-stop").is_some() {
            return lockgate::Response::text("stopped");
        }
        let mut first = [0; 2];
        if request.header("x-read").is_some() {
            std::io::Read::read_exact(request.body(), &mut first).unwrap();
        }
        next.run(request)
    };
    let proxy = tap.proxy();
    let serving = serve(Router::new().fallback(proxy.handler()).with(layer));
    let ask =
        |field: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{field}: 1\r\nContent-Length: 6\r\n\r\nabc");
    let mut client = serving.connect();
    client.send(ask("x-stop"));
    let reply = client.reply();
    assert_eq!((reply.text(), reply.closes()), ("stopped", true));
    let mut client = serving.connect();
    client.send(ask("x-read"));
    client.send("def");
    let mut tapped = tap.accept();
    assert!(tapped.head().contains("content-length: 4\r\n"));
    tapped.expect("cdef");
    tapped.ok("yes");
    assert_eq!(client.reply().text(), "yes");
}

#[test]
fn a_backend_that_is_known_to_speak_http_1_0_gets_no_chunks_and_no_expectation() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let mut client = serving.connect();
    client.send(get("/"));
    let mut tapped = tap.accept();
    tapped.head();
    tapped.say("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.reply();
    drop(tapped);
    client.send(format!("{CHUNKED}3\r\nabc\r\n"));
    client.send("2\r\nde\r\n0\r\n\r\n");
    let mut tapped = tap.accept();
    let head = tapped.head();
    assert!(head.contains("content-length: 5\r\n") && !head.contains("transfer-encoding"), "{head}");
    tapped.expect("abcde");
    tapped.say("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.reply();
    drop(tapped);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut tapped = tap.accept();
    let head = tapped.head();
    assert!(!head.contains("expect"), "{head}");
    assert_eq!(client.reply().status, 100);
    client.send("body");
    tapped.expect("body");
    tapped.say("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.reply().text(), "ok");
    let _ = tapped.tcp.flush();
}

#[test]
fn a_backend_that_gives_up_a_request_whose_body_does_not_come_is_not_blamed_for_it() {
    let tap = Tap::new();
    let proxy = tap.proxy();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let health = || proxy.health().targets.remove(0);
    for _ in 0..3 {
        let (mut client, tapped, _) = begun(&tap, &serving, &(fixed(10) + "abc"));
        drop(tapped);
        assert_eq!(client.reply().status, 502);
    }
    for _ in 0..3 {
        let (mut client, mut tapped, _) = begun(&tap, &serving, &(fixed(10) + "abc"));
        tapped.expect("abc");
        tapped.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        client.take_until(b"half").unwrap();
        drop(tapped);
        assert_ne!(client.rest().1, End::Goodbye);
    }
    let failures = health().failures;
    assert_eq!((failures.closed, failures.cut, health().failures_in_a_row), (0, 0, 0));
    // With the whole request it is.
    let (mut client, tapped, _) = begun(&tap, &serving, &(fixed(3) + "abc"));
    drop(tapped);
    assert_eq!(client.reply().status, 502);
    assert_eq!((health().failures.closed, health().failures_in_a_row), (1, 1));
}

#[test]
fn an_old_backend_takes_neither_chunks_nor_expectations_from_the_others() {
    let (old, new) = (Tap::new(), Tap::new());
    let proxy = old.proxy().and_to(&new.url()).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    // Each has answered, the old one last.
    for (tap, version) in [(&old, "1.1"), (&new, "1.1"), (&old, "1.0")] {
        client.send(get("/"));
        let mut tapped = tap.accept();
        tapped.head();
        tapped.say(format!("HTTP/{version} 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
        client.reply();
    }
    for _ in 0..2 {
        let (mut client, mut tapped, head) = begun(&new, &serving, &format!("{CHUNKED}3\r\nabc\r\n"));
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        tapped.expect("3\r\nabc\r\n");
        client.send("0\r\n\r\n");
        tapped.expect("0\r\n\r\n");
        tapped.ok("yes");
        assert_eq!(client.reply().text(), "yes");
    }
    let expecting = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    for (tap, is_told) in [(&old, false), (&new, true)] {
        let (mut client, mut tapped, head) = begun(tap, &serving, expecting);
        assert_eq!(head.contains("\r\nexpect: 100-continue\r\n"), is_told, "{head}");
        assert_eq!(client.reply().status, 100);
        client.send("body");
        tapped.expect("body");
        let version = if is_told { "1.1" } else { "1.0" };
        tapped.say(format!("HTTP/{version} 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!(client.reply().text(), "ok");
    }
}

//! Trailer fields of answers, and interim responses.

use lockgate::{FieldNames, Proxy, Router, Server};

use super::support::{get, identity, serve, serve_as, Client, Serving};
use super::tap::{Tap, Tapped};

fn in_front(proxy: Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Length\r\n\r\n";
const TRAILERS: &str =
    "0\r\nX-Sum: abc\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nServer-Timing: db;dur=2\r\n\r\n";

fn asked(tap: &Tap, client: &mut Client, request: &str) -> Tapped {
    client.send(request);
    tap.accept()
}

#[test]
fn trailers_reach_a_client_that_has_asked_for_them_behind_the_body_and_never_in_the_head() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    // Behind a body that comes later, and with a whole answer in one piece.
    for is_whole in [false, true] {
        let mut client = serving.connect();
        let mut tapped =
            asked(&tap, &mut client, "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
        let head = tapped.head();
        assert!(head.contains("\r\nte: trailers\r\n") && head.contains("\r\nconnection: te\r\n"), "{head}");
        match is_whole {
            true => tapped.say(format!("{ANSWER}3\r\nabc\r\n{TRAILERS}")),
            false => tapped.say(ANSWER),
        }
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.contains("\r\ntrailer: X-Sum\r\n") && !head.contains("x-sum: "), "{head}");
        if !is_whole {
            tapped.say("3\r\nabc\r\n");
            client.take_until(b"3\r\nabc\r\n").unwrap();
            tapped.say(TRAILERS);
        }
        let rest = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        let rest = rest.trim_start_matches("3\r\nabc\r\n");
        assert_eq!(rest, "0\r\nx-sum: abc\r\nserver-timing: db;dur=2\r\n\r\n");
        // The connections go on.
        client.send(get("/next"));
        let next = tapped.head();
        assert!(next.starts_with("get /next ") && !next.contains("te: "), "{next}");
        tapped.ok("next");
        assert_eq!(client.reply().text(), "next");
    }
}

#[test]
fn names_in_trailers_and_of_an_upgrade_that_is_wanted_are_written_as_the_server_writes_names() {
    let tap = Tap::new();
    let router = Router::new().fallback(tap.proxy().handler());
    let serving = serve_as(Server::builder(router).identity(identity()).field_names(FieldNames::TitleCase));
    let mut client = serving.connect();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    let mut tapped = asked(&tap, &mut client, request);
    tapped.head();
    tapped.say(format!("{ANSWER}3\r\nabc\r\n{TRAILERS}"));
    client.take_until(b"3\r\nabc\r\n").unwrap();
    let rest = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert_eq!(rest, "0\r\nX-Sum: abc\r\nServer-Timing: db;dur=2\r\n\r\n");
    client.send(get("/"));
    tapped.head();
    tapped.say("HTTP/1.1 426 No\r\nupgrade: websocket\r\nconnection: upgrade\r\nContent-Length: 0\r\n\r\n");
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(
        head.contains("\r\nConnection: upgrade\r\n") && head.contains("\r\nUpgrade: websocket\r\n"),
        "{head}"
    );
}

#[test]
fn trailers_are_dropped_for_those_who_have_not_asked_and_for_http_1_0() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
    ] {
        let mut client = serving.connect();
        let mut tapped = asked(&tap, &mut client, request);
        assert!(!tapped.head().contains("te: "));
        tapped.say(format!("{ANSWER}3\r\nabc\r\n{TRAILERS}"));
        let reply = client.reply();
        assert_eq!((reply.text(), reply.field("trailer")), ("abc", None), "{request:?}");
    }
}

#[test]
fn a_broken_trailer_section_is_a_cut_answer() {
    for trailers in [
        "0\r\nX Sum: a\r\n\r\n",
        "0\r\nX-Sum\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\nX-Sum: a\n\r\n",
        "0\r\n X: a\r\n\r\n",
    ] {
        let tap = Tap::new();
        let serving = in_front(tap.proxy());
        let mut client = serving.connect();
        let mut tapped = asked(&tap, &mut client, "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
        tapped.head();
        tapped.say(format!("{ANSWER}3\r\nabc\r\n"));
        client.take_until(b"abc\r\n").unwrap();
        tapped.say(trailers);
        let (rest, end) = client.rest();
        assert!(rest.is_empty() && end != super::support::End::Goodbye, "{trailers:?}");
    }
}

#[test]
fn interim_responses_reach_a_client_of_http_1_1_at_once_and_one_of_http_1_0_never() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\n\r\n";
    let mut client = serving.connect();
    let mut tapped = asked(&tap, &mut client, &get("/"));
    tapped.head();
    tapped.say(hints);
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(
        (reply.field("x-hop"), reply.field("set-cookie"), reply.field("connection")),
        (None, None, None)
    );
    // Nobody waits for it.
    tapped.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(client.reply().status, 102);
    // With the final one in the same write.
    tapped.say(format!("{hints}{hints}HTTP/1.1 200 OK\r\nLink: </b.css>\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!([client.reply().status, client.reply().status], [103, 103]);
    let reply = client.reply();
    assert_eq!((reply.text(), reply.field("link")), ("ok", Some("</b.css>")));
    let mut client = serving.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    tapped.head();
    tapped.say(format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!(client.reply().text(), "ok");
    // As many as a backend likes are too many.
    let mut client = serving.connect();
    client.send(get("/"));
    tapped.head();
    tapped.say(hints.repeat(33));
    for _ in 0..32 {
        assert_eq!(client.reply().status, 103);
    }
    assert_eq!(client.reply().status, 502);
}

#[test]
fn a_client_that_prefers_a_page_gets_one_when_the_backend_fails() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    for (accept, content_type) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
    ] {
        let mut client = serving.connect();
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nContent-Length: 0\r\n\r\n");
        drop(asked(&tap, &mut client, &request));
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("content-type")), (502, Some(content_type)));
        assert_eq!(reply.field("vary"), Some("accept"));
    }
}

#[test]
fn the_backend_is_told_of_the_clients_certificate_and_never_by_the_client() {
    let tap = Tap::new();
    let certificate = rcgen::generate_simple_self_signed(["pump.example".to_string()]).unwrap().cert;
    let pem = certificate.pem();
    let own: String = pem.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    let chain = pem.repeat(3);
    let forged = |client: Option<lockgate::ClientIdentity>| {
        let request = lockgate::Request::get("/")
            .with_header("Client-Cert", ":AAAA:")
            .with_header("Client_Cert", ":AAAA:")
            .with_header("Client-Cert-Chain", ":AAAA:");
        match client {
            Some(client) => request.with_client(client),
            None => request,
        }
    };
    let told = |proxy: Proxy, with: Option<&str>| {
        let router = Router::new().fallback(proxy.handler());
        let client = with.map(|pem| lockgate::ClientIdentity::from_pem(pem.as_bytes()).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| router.call(&mut forged(client)));
            let mut tapped = tap.accept();
            let head = tapped.head_as_sent();
            tapped.ok("ok");
            let lines = head
                .split("\r\n")
                .filter(|line| line.to_ascii_lowercase().replace('_', "-").starts_with("client-cert"));
            lines.map(String::from).collect::<Vec<_>>()
        })
    };
    assert_eq!(told(tap.proxy(), Some(&chain)), [] as [&str; 0]);
    assert_eq!(told(tap.proxy().client_cert(), None), [] as [&str; 0]);
    assert_eq!(told(tap.proxy().client_cert(), Some(&chain)), [format!("client-cert: :{own}:")]);
    assert_eq!(
        told(tap.proxy().client_cert_chain(), Some(&chain)),
        [format!("client-cert: :{own}:"), format!("client-cert-chain: :{own}:, :{own}:")]
    );
    assert_eq!(told(tap.proxy().client_cert_chain(), Some(&pem)), [format!("client-cert: :{own}:")]);
}

//! What reaches the backend of what a client sends.

use std::io::Write;

use lockgate::{Proxy, Request, Router, Server};

use super::backend::{ok, say, Backend};
use super::support::{connect_plain, get, identity, noise, post, serve, serve_as, Client};
use super::{in_front_of, in_front_with};

#[test]
fn a_request_reaches_the_backend_as_it_was_meant_with_what_the_proxy_says_of_the_client() {
    let backend = Backend::new(|_, _| ok("yes"));
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send(
        "PATCH /a%20b/c?d=e&f HTTP/1.1\r\nHost: Api.example:8443\r\nX-Own: 1\r\nX-Own: 2\r\nConnection: keep-alive, X-Hop\r\n\
         X-Hop: 1\r\nTE: trailers\r\nX-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.2\r\nForwarded: for=10.0.0.3\r\n\
         Via: 1.0 other\r\nClient-Cert: :AAAA:\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    );
    let reply = loop {
        let reply = client.reply();
        if reply.status != 100 {
            break reply;
        }
    };
    assert_eq!((reply.status, reply.text()), (200, "yes"));
    let [seen] = &*backend.seen() else { panic!("one request") };
    let mut head = seen.head.to_ascii_lowercase();
    if cfg!(feature = "operations") {
        let at = head.find("x-request-id: ").expect("the id of the request");
        let field = head.split_off(at);
        let (id, rest) = field.split_once("\r\n").expect("the end of the field");
        assert_eq!(id.len(), "x-request-id: ".len() + 32, "{id}");
        head += rest;
    }
    assert_eq!(
        head,
        "patch /a%20b/c?d=e&f http/1.1\r\nhost: api.example:8443\r\nx-own: 1\r\nx-own: 2\r\ncontent-length: 4\r\n\
         x-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1;host=\"api.example:8443\";proto=https\r\n\
         x-forwarded-proto: https\r\nx-forwarded-host: api.example:8443\r\nvia: 1.1 lockgate\r\n\r\n"
    );
    assert_eq!(seen.body, b"body");
}

#[test]
fn a_body_in_chunks_reaches_the_backend_with_its_length_and_a_large_one_whole() {
    let backend = Backend::new(|_, seen| ok(seen.body.len().to_string()));
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n");
    assert_eq!(client.reply().text(), "5");
    let body = noise(900_000);
    client.send(post("/", &body));
    assert_eq!(client.reply().text(), "900000");
    assert_eq!(client.get("/").text(), "0");
    let seen = backend.seen();
    assert_eq!(seen[0].body, b"abcde");
    assert!(seen[1].body == body);
    assert_eq!(seen[2].fields("content-length"), [] as [&str; 0]);
}

#[test]
fn what_two_readers_could_take_for_two_requests_never_reaches_the_backend() {
    let backend = Backend::new(|_, _| ok("yes"));
    let serving = in_front_of(&backend);
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [
        // CL.TE, TE.CL, and what is taken for chunked by some.
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}", inner.len() + 5),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{inner}0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\nContent-Length: 4\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, {}\r\n\r\n{inner}", inner.len()),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +{}\r\n\r\n{inner}", inner.len()),
        format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        // Chunks.
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n{inner}"),
        // Lines.
        format!("GET / HTTP/1.1\nHost: a\n\n{inner}"),
        format!("GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n{inner}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{inner}"),
        format!("GET http://b/ HTTP/1.1 \r\nHost: a\r\n\r\n{inner}"),
    ] {
        let mut client = serving.connect();
        client.send(&request);
        let reply = client.reply();
        assert!(reply.status >= 400 && reply.closes(), "{request:?}: {reply:?}");
    }
    assert_eq!(backend.seen().len(), 0);
    // What is not ambiguous passes, one for one.
    let mut client = serving.connect();
    client.send(format!(
        "POST /outer HTTP/1.1\r\nHost: a\r\ncontent_length: 0\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    ));
    assert_eq!(client.reply().status, 200);
    let seen = backend.seen();
    assert_eq!((seen.len(), seen[0].line(), &*seen[0].body), (1, "POST /outer HTTP/1.1", inner.as_bytes()));
    assert_eq!(seen[0].fields("content_length"), [] as [&str; 0]);
}

#[test]
fn pipelined_requests_are_passed_on_one_by_one() {
    let backend = Backend::new(|_, seen| ok(seen.line()));
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send([get("/1").into_bytes(), post("/2", b"x"), get("/3").into_bytes()].concat());
    for expected in ["GET /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1"] {
        assert_eq!(client.reply().text(), expected);
    }
    assert!(backend.seen().iter().all(|seen| seen.connection == 0));
}

#[test]
fn a_router_says_which_paths_are_passed_on_and_a_test_needs_no_server() {
    let backend = Backend::new(|_, seen| ok(seen.line()));
    let proxy = Proxy::to(&backend.url()).unwrap();
    let router = Router::new()
        .get("/state", |_: &mut Request| "on")
        .nest("/api", Router::new().fallback(proxy.handler()));
    let answer = |path: &str| router.call(&mut Request::get(path));
    assert_eq!(answer("/state").into_bytes().unwrap(), b"on");
    assert_eq!(answer("/api/a?b").into_bytes().unwrap(), b"GET /api/a?b HTTP/1.1");
    assert_eq!(answer("/other").status(), 404);
    let serving = serve(router);
    assert_eq!(serving.get("/api/c").text(), "GET /api/c HTTP/1.1");
    assert_eq!(serving.get("/other").status, 404);
}

#[test]
fn a_request_over_plain_http_is_passed_on_as_one() {
    let backend = Backend::new(|_, seen| {
        ok([seen.fields("x-forwarded-proto"), seen.fields("forwarded")].concat().join(" "))
    });
    let proxy = Proxy::to(&backend.url()).unwrap();
    let router = || Router::new().get("/public", proxy.handler());
    let serving = serve_as(Server::builder(router()).identity(identity()).http_router(router()));
    let mut plain = connect_plain(serving.redirect).unwrap();
    plain.write_all(b"GET /public HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(plain).unwrap();
    assert!(answer.ends_with("http for=127.0.0.1;host=localhost;proto=http"), "{answer}");
    assert!(serving.get("/public").text().starts_with("https "));
}

#[test]
fn an_answer_over_plain_http_leads_to_plain_http_and_its_cookies_are_not_for_https_only() {
    let backend = Backend::new(|_, seen| {
        let url = format!("http://{}/login", seen.fields("host")[0]);
        say(format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))
    });
    let proxy = Proxy::to(&backend.url()).unwrap().host("app.internal");
    let router = || Router::new().get("/public", proxy.handler());
    let serving = serve_as(Server::builder(router()).identity(identity()).http_router(router()));
    let mut plain = connect_plain(serving.redirect).unwrap();
    plain.write_all(b"GET /public HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(plain).unwrap();
    assert!(answer.contains("location: http://a.example:8080/login\r\n"), "{answer}");
    assert!(answer.contains("set-cookie: a=b\r\n"), "{answer}");
}

#[test]
fn the_host_can_be_set_and_a_backend_may_be_a_socket_in_the_file_system() {
    let backend = Backend::new(|_, seen| ok(seen.fields("host").join(" ")));
    let serving = in_front_with(&backend, |proxy| proxy.host("inside:3000"));
    assert_eq!(serving.get("/").text(), "inside:3000");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let proxy = Proxy::to(&format!("unix:{}", path.display())).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client: Client = serving.connect();
    client.send(get("/over"));
    let (mut socket, _) = listener.accept().unwrap();
    let mut piece = [0; 1024];
    let read = std::io::Read::read(&mut socket, &mut piece).unwrap();
    assert!(piece[..read].starts_with(b"GET /over HTTP/1.1\r\nhost: localhost\r\n"));
    std::io::Write::write_all(&mut socket, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert_eq!(client.reply().text(), "ok");
}

//! Credentials sent over plain HTTP are detected even in malformed requests, at the redirect and at the HTTPS port, and are
//! never shown.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use lockgate::{Limits, Router, Server};
use support::{await_lines, connect_plain, identity, lines, reset, serve_as, Serving};

const SECRET: &str = "s3cret";

fn server() -> Serving {
    server_within(Limits::default())
}

fn server_within(limits: Limits) -> Serving {
    let builder = Server::builder(Router::new()).identity(identity()).limits(limits);
    serve_as(builder.credential_header("X-Device-Token"))
}

/// The warning about this client, once there is one.
#[track_caller]
fn warning(client: SocketAddr) -> String {
    let start = format!("{client}: sent credentials over plain HTTP");
    let found = await_lines(1, |line| line.starts_with(&start));
    let [line] = &found[..] else {
        panic!("{found:?} {:?}", lines(|line| line.starts_with(&client.to_string())))
    };
    line.clone()
}

/// What these bytes are answered with, from one connection, and the warning about them.
#[track_caller]
fn ask(port: SocketAddr, pieces: &[&[u8]]) -> (String, String) {
    let mut tcp = connect_plain(port).unwrap();
    let mut answer = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        // A later piece goes out when the answer to what came before is there.
        if index > 0 {
            let mut first = [0; 1];
            tcp.read_exact(&mut first).unwrap();
            answer.extend_from_slice(&first);
        }
        tcp.write_all(piece).unwrap();
    }
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = tcp.read_to_end(&mut answer);
    (String::from_utf8(answer).unwrap(), warning(tcp.local_addr().unwrap()))
}

#[test]
fn what_is_refused_at_the_redirect_has_leaked_its_credentials_too() {
    let serving = server();
    let long = "x".repeat(9000);
    let cases: [(String, &str, &str); 13] = [
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\nAuthorization: {SECRET}\r\n\r\n"),
            "400",
            "authorization",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\nproxy-AUTHORIZATION: {SECRET}\r\n\r\n"),
            "400",
            "proxy-authorization",
        ),
        (format!("GET / HTTP/1.1\nCookie: {SECRET}\r\n\r\n"), "400", "cookie"),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {SECRET}\r\nX: {long}\r\n\r\n"),
            "431",
            "x-api-key",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\nX-Device-Token: {SECRET}\r\n\r\n"),
            "431",
            "x-device-token",
        ),
        (format!("GET /{long}?token={SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "414", "token"),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {SECRET}"), "400", "authorization"),
        (
            format!("GET /a?b&access_token={SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            "301",
            "access_token",
        ),
        (format!("GET /a?API_key={SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "301", "api_key"),
        (format!("GET /a?token={SECRET} HTTP/1.1\r\nHost: other.example\r\n\r\n"), "421", "token"),
        (
            format!("GET http://user:{SECRET}@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            "400",
            "a user in the URL",
        ),
        (format!("GET / HTTP/1.1\r\nHost: user:{SECRET}@localhost\r\n\r\n"), "400", "a user in the URL"),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nx-auth-TOKEN: {SECRET}\r\n\r\n"),
            "301",
            "x-auth-token",
        ),
    ];
    for (head, status, name) in &cases {
        let (answer, warning) = ask(serving.redirect, &[head.as_bytes()]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.80} {answer:.200}");
        assert!(
            warning.contains(&format!("sent credentials over plain HTTP ({name}), ")),
            "{head:.80} {warning}"
        );
        // A Location has the client's own query.
        assert!(!answer.contains(SECRET) || *status == "301", "{answer}");
    }
    // What comes only after the answer.
    let late = format!("Authorization: {SECRET}\r\n\r\n");
    let (answer, warning) = ask(serving.redirect, &[b"GET / HTTP/1.1\nHost: localhost\r\n", late.as_bytes()]);
    assert!(answer.starts_with("HTTP/1.1 400 ") && warning.contains("(authorization)"), "{answer} {warning}");
    assert_eq!(lines(|line| line.contains(SECRET)), [""; 0]);
}

#[test]
fn a_head_that_never_ends_has_leaked_its_credentials() {
    let mut limits = Limits::default();
    limits.head_timeout = Duration::from_secs(1);
    let serving = server_within(limits);
    let part = format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {SECRET}\r\n");
    // Its time runs out, and it is told so by the name of a limit.
    let mut late = connect_plain(serving.redirect).unwrap();
    late.write_all(part.as_bytes()).unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let client = late.local_addr().unwrap();
    assert!(warning(client).contains("(cookie)"));
    let refused = lines(|line| line.starts_with(&format!("{client}: refused with 408")));
    assert!(refused.len() == 1 && refused[0].ends_with("(limit: head_timeout)"), "{refused:?}");
    // It is cut by a reset.
    let mut cut = connect_plain(serving.redirect).unwrap();
    cut.write_all(part.as_bytes()).unwrap();
    let client = cut.local_addr().unwrap();
    reset(cut);
    assert!(warning(client).contains("(cookie)"));
    assert_eq!(lines(|line| line.contains(SECRET)), [""; 0]);
}

#[test]
fn a_head_that_is_too_large_for_the_redirect_names_the_limit() {
    let serving = server();
    let mut tcp = connect_plain(serving.redirect).unwrap();
    tcp.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(8200)).as_bytes()).unwrap();
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    let client = tcp.local_addr().unwrap();
    let refused = lines(|line| line.starts_with(&format!("{client}: refused with 431")));
    assert!(refused.len() == 1 && refused[0].ends_with("(limit: head_bytes)"), "{refused:?}");
}

#[test]
fn plain_http_to_the_https_port_has_leaked_its_credentials() {
    let serving = server();
    for (pieces, name) in [
        (&[&b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: s3cret\r\n\r\n"[..]][..], "authorization"),
        (&[b"GET /?access_token=s3cret HTTP/1.1\r\nHost: localhost\r\n\r\n"], "access_token"),
        (&[b"GET http://u:s3cret@localhost/ HTTP/1.1\r\n\r\n"], "a user in the URL"),
        (&[b"GET / HTTP/1.1\r\n", b"X-Device-Token: s3cret\r\n\r\n"], "x-device-token"),
    ] {
        let (answer, warning) = ask(serving.address, pieces);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(warning.contains(&format!("sent credentials over plain HTTP ({name}), ")), "{warning}");
        assert!(!answer.contains(SECRET), "{answer}");
    }
    let mut plain = connect_plain(serving.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nCookie: in the body\r\n").unwrap();
    plain.shutdown(Shutdown::Write).unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();
    let client = plain.local_addr().unwrap();
    assert_eq!(lines(|line| line.starts_with(&format!("{client}: sent credentials"))), [""; 0]);
    assert_eq!(lines(|line| line.contains(SECRET)), [""; 0]);
}

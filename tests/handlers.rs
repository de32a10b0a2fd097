//! What a handler returns reaches the client, and so does a correct answer when the handler fails, over the real server.

mod support;

use std::fs;

use lockgate::{Error, Request, Response, Router, StatusCode};

use support::{chunked, get, lines, serve, serve_within, Serving, Shape};

/// A path that is not there, and that a client must not learn of.
const SECRET: &str = "/nowhere/the-key-of-this-machine";

fn router() -> Router {
    Router::new()
        .get("/marker", |_: &mut Request| "marker")
        .get("/reset", |_: &mut Request| (StatusCode::RESET_CONTENT, "content"))
        .get("/reset/reader", |_: &mut Request| {
            Response::reader(&b"content"[..]).with_status(StatusCode::RESET_CONTENT)
        })
        .get("/reset/length", |_: &mut Request| {
            Response::reader_with_length(&b"content"[..], 7).with_status(StatusCode::RESET_CONTENT)
        })
        .get("/file", |_: &mut Request| -> Result<String, Error> { Ok(fs::read_to_string(SECRET)?) })
        .get("/files/{*path}", |request: &mut Request| request.param("path").map(String::from))
        .get("/under/{*path}", |request: &mut Request| -> Result<String, Error> {
            Ok(request.param_under("path", "/srv/www")?.display().to_string())
        })
        .get("/sensors/{id}", |request: &mut Request| -> Result<String, Error> {
            Ok(format!("sensor {}", request.param_as::<u16>("id")?))
        })
        .get("/typo/{id}", |request: &mut Request| -> Result<String, Error> {
            Ok(format!("sensor {}", request.param_as::<u16>("ix")?))
        })
        .get("/typo/text/{id}", |request: &mut Request| request.param("ix").map(String::from))
        .get("/ports/{port%2F}/state", |request: &mut Request| {
            format!("{} at {}", request.param("port").unwrap_or_default(), request.path())
        })
        .get("/plain/{port}", |request: &mut Request| request.param("port").map(String::from))
        .get("/vector", |_: &mut Request| vec![1_u8, 2])
        .get("/slice", |_: &mut Request| &b"ab"[..])
        .get("/cow", |_: &mut Request| std::borrow::Cow::Borrowed("cow"))
        .get("/none", |_: &mut Request| None::<&str>)
        .post("/bytes", |request: &mut Request| request.bytes().map(|bytes| bytes.len().to_string()))
        .post("/json", |request: &mut Request| request.json::<Vec<u8>>().map(|list| list.len().to_string()))
        .post("/wrapped", |request: &mut Request| -> Result<String, Error> {
            // As a library wraps what its reader says.
            let mut bytes = Vec::new();
            request.body().read_to_end(&mut bytes).map_err(std::io::Error::other)?;
            Ok(bytes.len().to_string())
        })
}

#[test]
fn a_205_has_no_content_and_says_so() {
    let serving = serve(router());
    for path in ["/reset", "/reset/reader", "/reset/length"] {
        let mut client = serving.connect();
        for line in ["GET", "HEAD"] {
            client.send(format!("{line} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            let reply = client.reply();
            assert_eq!((reply.status, reply.field("content-length")), (205, Some("0")), "{line} {path}");
            assert_eq!((reply.text(), reply.field("transfer-encoding")), ("", None), "{line} {path}");
        }
        client.send(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"));
        assert_eq!(client.reply().field("content-length"), Some("0"), "{path}");
        assert_eq!(client.get("/marker").text(), "marker", "{path}");
    }
}

#[test]
fn a_handlers_own_io_error_is_a_500_and_its_text_stays_here() {
    let serving = serve(router());
    let reply = serving.get("/file");
    assert_eq!(reply.status, 500);
    let said = reply.problem().to_string();
    let text = fs::read_to_string(SECRET).unwrap_err().to_string();
    assert!(!said.contains(&text), "{said}");
    assert_eq!(lines(|line| line.contains(&text)).len(), 1);
}

#[test]
fn a_fault_of_the_body_keeps_its_status_however_it_travels() {
    let serving = serve_within(router(), |limits| {
        limits.body_bytes = 1_000;
        limits.body_buffer_bytes = 100;
    });
    for path in ["/bytes", "/wrapped"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (body, status) in [(chunked(&[b'x'; 2_000], 50), 413), (b"3\r\nabcd\r\n".to_vec(), 400)] {
            let mut client = serving.connect();
            let start = chunked(&[b'x'; 200], 50);
            client.send([head.as_bytes(), &start[..start.len() - 5], &body].concat());
            assert_eq!(client.reply().status, status, "{path}");
        }
    }
}

/// Sends a body with further fields.
const JSON: &str = "Content-Type: application/json\r\n";

fn sent(serving: &Serving, path: &str, fields: &str, body: &[u8]) -> support::Reply {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n");
    let mut client = serving.connect();
    client.send([head.as_bytes(), body].concat());
    client.try_reply(Shape::WithBody).unwrap()
}

#[test]
fn a_body_in_a_content_coding_is_415_and_the_answer_says_what_is_taken() {
    let serving = serve(router());
    for (path, media_type) in [("/bytes", ""), ("/json", JSON)] {
        for coding in ["gzip", "br", "\tGZIP ", "identity, gzip", "identity\r\nContent-Encoding: deflate"] {
            let reply =
                sent(&serving, path, &format!("{media_type}Content-Encoding: {coding}\r\n"), b"\x1f\x8b\x08");
            assert_eq!(reply.status, 415, "{path} {coding:?}");
            assert_eq!(reply.field("accept-encoding"), Some("identity"), "{path} {coding:?}");
            reply.problem();
        }
        for coding in ["identity", "Identity", "", "identity, identity"] {
            let reply =
                sent(&serving, path, &format!("{media_type}Content-Encoding: {coding}\r\n"), b"[1,2]");
            assert_eq!(reply.status, 200, "{path} {coding:?}");
        }
    }
    // A handler that reads the body itself decides itself.
    assert_eq!(sent(&serving, "/wrapped", "Content-Encoding: gzip\r\n", b"abc").text(), "3");
    let other = sent(&serving, "/json", "Content-Type: text/plain\r\n", b"[1]");
    assert_eq!((other.status, other.field("accept-encoding")), (415, None));
}

#[test]
fn a_byte_order_mark_before_json_is_passed_over() {
    let serving = serve(router());
    assert_eq!(sent(&serving, "/json", JSON, b"\xef\xbb\xbf[1,2]").text(), "2");
    for body in [&b"\xef\xbb\xbf"[..], b"\xef\xbb\xbf\xef\xbb\xbf[1]", b"[1]\xef\xbb\xbf", b"\xfe\xff[1]"] {
        assert_eq!(sent(&serving, "/json", JSON, body).status, 400, "{body:?}");
    }
    assert_eq!(sent(&serving, "/bytes", "", b"\xef\xbb\xbfx").text(), "4");
    assert_eq!(serving.get("/marker").text(), "marker");
    let mut client = serving.connect();
    let typed =
        format!("POST /json HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 5\r\n\r\n").into_bytes();
    client.send([&typed[..], b"\xef\xbb\xbf[]", get("/marker").as_bytes()].concat());
    assert_eq!((client.reply().text(), client.reply().text()), ("0", "marker"));
}

#[test]
fn what_is_left_of_a_path_never_begins_with_a_slash_and_has_no_empty_segment() {
    let serving = serve(router());
    for (path, expected) in [
        ("/files/etc/hostname", Some("etc/hostname")),
        ("/files/", Some("")),
        ("/files/a%20b/c", Some("a b/c")),
        ("/files//etc/hostname", None),
        ("/files///etc", None),
        ("/files/a//b", None),
        ("/files/a/", None),
        ("/files//", None),
    ] {
        let reply = serving.get(path);
        let found = (reply.status == 200).then(|| reply.text());
        assert_eq!(found, expected, "{path}: {}", reply.status);
        assert!(matches!(reply.status, 200 | 404), "{path}: {}", reply.status);
    }
}

#[test]
fn a_path_below_a_root_stays_there() {
    let serving = serve(router());
    for (path, expected) in [
        ("/under/a/b.txt", Some("/srv/www/a/b.txt")),
        ("/under/.hidden/a..b", Some("/srv/www/.hidden/a..b")),
        ("/under/ab:c", Some("/srv/www/ab:c")),
        ("/under/C:/windows", None),
        ("/under/a/c:x", None),
        ("/under//etc/passwd", None),
    ] {
        let reply = serving.get(path);
        let found = (reply.status == 200).then(|| reply.text());
        assert_eq!(found, expected, "{path}: {}", reply.status);
        assert!(matches!(reply.status, 200 | 404), "{path}: {}", reply.status);
    }
}

#[test]
fn a_parameter_that_is_not_of_its_type_is_404_and_one_that_the_route_has_not_is_none() {
    let serving = serve(router());
    assert_eq!(serving.get("/sensors/7").text(), "sensor 7");
    for path in ["/sensors/x", "/sensors/-1", "/sensors/65536", "/sensors/7%20", "/typo/7", "/typo/text/7"] {
        let reply = serving.get(path);
        assert_eq!(reply.status, 404, "{path}");
        reply.problem();
    }
    let said = lines(|line| line.contains("ix"));
    assert!(!said.is_empty(), "a name that no route has is the program's own fault");
}

#[test]
fn an_encoded_slash_is_refused_but_where_a_route_takes_it() {
    let serving = serve(router());
    for port in ["eth0%2F1", "eth0%2f1"] {
        let reply = serving.get(&format!("/ports/{port}/state"));
        assert_eq!(reply.text(), "eth0/1 at /ports/eth0/1/state");
    }
    for (path, status) in [
        ("/plain/eth0%2F1", 400),
        ("/plain%2Feth0", 400),
        ("/ports%2Feth0/state", 400),
        ("/ports/eth0%2Fstate", 400),
        ("/ports/eth0/1/state", 404),
        ("/ports/eth0/state%2F", 400),
        ("/ports/%2Fetc/state", 404),
        ("/ports/eth0%2F/state", 404),
        ("/ports/a%2F%2Fb/state", 404),
        ("/ports/..%2F..%2Fetc/state", 400),
        ("/ports/a%2F.%2Fb/state", 400),
        ("/ports/a%5Cb/state", 400),
        ("/files/a%2Fb", 400),
        ("/nothing/a%2Fb", 400),
    ] {
        assert_eq!(serving.get(path).status, status, "{path}");
    }
    let mut client = serving.connect();
    client.send("DELETE /ports/eth0%2F1/state HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.reply().status, 405);
}

#[test]
fn handlers_may_return_bytes_texts_and_nothing() {
    let serving = serve(router());
    for (path, body, media_type) in [
        ("/vector", &b"\x01\x02"[..], "application/octet-stream"),
        ("/slice", b"ab", "application/octet-stream"),
        ("/cow", b"cow", "text/plain; charset=utf-8"),
    ] {
        let reply = serving.get(path);
        assert_eq!((reply.status, &reply.body[..]), (200, body), "{path}");
        assert_eq!(reply.field("content-type"), Some(media_type), "{path}");
    }
    let nothing = serving.get("/none");
    assert_eq!(nothing.status, 404);
    nothing.problem();
}

//! The limits of routes over the real server: the size of bodies and their time, and how many requests are answered at a time.

mod support;

use std::io::Read;
use std::time::Duration;

use lockgate::{Request, Response, Router};

use support::{chunked, noise, post, serve, serve_within, Gate, SAFETY};

fn length(request: &mut Request) -> Result<String, lockgate::Error> {
    let mut body = Vec::new();
    request.body().read_to_end(&mut body)?;
    Ok(body.len().to_string())
}

fn router() -> Router {
    let large = Router::new().post("/large", length).body_bytes(300_000);
    Router::new().post("/small", length).body_bytes(1_000).merge(large)
}

#[test]
fn a_body_is_held_to_the_limit_of_its_route() {
    // The server's own limit is between those of the routes.
    let serving = serve_within(router(), |limits| limits.body_bytes = 100_000);
    for (path, size, status) in [
        ("/small", 1_000, 200),
        ("/small", 1_001, 413),
        ("/small", 50_000, 413),
        ("/small", 200_000, 413),
        ("/large", 1_001, 200),
        ("/large", 300_000, 200),
        ("/large", 300_001, 413),
    ] {
        let body = noise(size);
        for sent in [post(path, &body), {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
            [head.into_bytes(), chunked(&body, 7_000)].concat()
        }] {
            let mut client = serving.connect();
            // A server that refuses does not read on.
            let _ = client.try_send(&sent);
            let reply = client.reply();
            assert_eq!(reply.status, status, "{path} {size}: {reply:?}");
            if status == 200 {
                assert_eq!(reply.text(), size.to_string());
            } else {
                client.wait_for_limit("body_bytes");
            }
        }
        // Without a server it is the same.
        let alone = router().call(&mut Request::post(path).with_body(body));
        assert_eq!(alone.status().as_u16(), status, "{path} {size}");
    }
}

#[test]
fn a_body_that_is_too_large_for_its_route_is_refused_before_it_is_sent() {
    let serving = serve(router());
    let mut client = serving.connect();
    client.send(
        "POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.reply().status, 413);
    let mut client = serving.connect();
    client.send(
        "POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.reply().status, 100);
    client.send([0; 1_000]);
    assert_eq!(client.reply().text(), "1000");
    // A small body that has come whole costs nothing to read past, so the connection goes on.
    client.send(post("/small", &[0; 1_001]));
    assert_eq!(client.reply().status, 413);
    client.send(post("/large", &[0; 1_001]));
    assert_eq!(client.reply().text(), "1001");
}

#[test]
fn a_body_has_the_time_of_its_route() {
    let hasty = Router::new().post("/hasty", length).body_timeout(Duration::from_millis(50));
    let router = Router::new().post("/patient", length).merge(hasty).body_bytes(1 << 20);
    let serving = serve_within(router, |limits| limits.body_buffer_bytes = 10_000);
    // Kept in memory, and read by the handler.
    for size in [5_000, 50_000] {
        let [mut patient, mut hasty] = ["patient", "hasty"].map(|path| {
            let mut client = serving.connect();
            client
                .send(format!("POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"));
            client
        });
        assert_eq!(hasty.reply().status, 408, "{size}");
        hasty.wait_for_limit("body_timeout");
        patient.send(noise(size));
        assert_eq!(patient.reply().text(), size.to_string());
    }
}

#[test]
fn more_requests_than_a_router_answers_at_a_time_are_told_to_come_again() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = move |_: &mut Request| held.pass();
    let inner = Router::new().get("/inner", slow.clone()).concurrent(1);
    let router = Router::new()
        .get("/free", |_: &mut Request| "free")
        .merge(Router::new().get("/outer", slow).merge(inner).concurrent(2));
    let serving = serve(router);
    let mut inner = serving.connect();
    inner.send(support::get("/inner"));
    gate.wait_for(1);
    let refused = serving.get("/inner");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    let mut outer = serving.connect();
    outer.send(support::get("/outer"));
    gate.wait_for(2);
    assert_eq!(serving.get("/outer").status, 503);
    assert_eq!(serving.get("/free").text(), "free");
    gate.open();
    assert_eq!((inner.reply().status, outer.reply().status), (204, 204));
    assert_eq!(serving.get("/outer").status, 204);
    assert_eq!(serving.get("/inner").status, 204);
}

#[test]
fn a_streamed_response_counts_until_it_is_sent() {
    let (events, texts) = std::sync::mpsc::channel::<String>();
    let texts = std::sync::Mutex::new(Some(texts));
    struct Texts(std::sync::mpsc::Receiver<String>);
    impl Read for Texts {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let Ok(text) = self.0.recv_timeout(SAFETY) else { return Ok(0) };
            text.as_bytes().read(out)
        }
    }
    let router = Router::new()
        .get("/events", move |_: &mut Request| match texts.lock().unwrap().take() {
            Some(texts) => Response::reader(Texts(texts)),
            None => Response::text("over"),
        })
        .concurrent(1);
    let serving = serve(router);
    let mut client = serving.connect();
    client.send(support::get("/events"));
    events.send("one".into()).unwrap();
    client.take_until(b"one").unwrap();
    assert_eq!(serving.get("/events").status, 503);
    drop(events);
    client.take_until(b"0\r\n\r\n").unwrap();
    // The place is given back a moment after the last byte.
    let deadline = std::time::Instant::now() + SAFETY;
    while serving.get("/events").status == 503 {
        assert!(std::time::Instant::now() < deadline);
    }
}

/// A JSON array of so many bytes.
fn json(size: usize) -> Vec<u8> {
    let mut json = vec![b' '; size];
    json[0] = b'[';
    json[size - 1] = b']';
    json
}

fn post_json(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn json_has_a_limit_of_its_own_whatever_bodies_may_have() {
    let read = |request: &mut Request| request.json::<Vec<u8>>().map(|list| list.len().to_string());
    let up_to = |most| {
        move |request: &mut Request| request.json_up_to::<Vec<u8>>(most).map(|list| list.len().to_string())
    };
    let large = Router::new().post("/large", up_to(3 << 20));
    let tiny = Router::new().post("/tiny", up_to(10));
    let router =
        Router::new().post("/", read).post("/image", length).merge(large).merge(tiny).body_bytes(8 << 20);
    let serving = serve(router);
    for (path, size, status) in [
        ("/", 1 << 20, 200),
        ("/", (1 << 20) + 1, 413),
        ("/image", 2 << 20, 200),
        ("/large", 3 << 20, 200),
        ("/large", (3 << 20) + 1, 413),
        ("/tiny", 10, 200),
        ("/tiny", 11, 413),
    ] {
        let mut client = serving.connect();
        let _ = client.try_send(&post_json(path, &json(size)));
        let reply = client.reply();
        assert_eq!(reply.status, status, "{path} {size}");
        if status == 413 {
            let detail = reply.problem()["detail"].to_string();
            // For the client, which knows no method of ours.
            assert!(detail.contains("bytes that may be sent") && !detail.contains("up_to"), "{detail}");
        }
    }
    // In chunks, where no length says it before.
    let mut client = serving.connect();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = client.try_send(&[head.as_bytes(), &chunked(&json((1 << 20) + 1), 50_000)].concat());
    assert_eq!(client.reply().status, 413);
}

#[test]
fn what_json_collects_counts_in_the_memory_for_bodies() {
    let read = |request: &mut Request| request.json::<Vec<u8>>().map(|list| list.len().to_string());
    let router = Router::new().post("/", read).post("/image", length).body_bytes(8 << 20);
    let serving = serve_within(router, |limits| limits.body_memory_bytes = 400_000);
    for _ in 0..2 {
        let mut client = serving.connect();
        let _ = client.try_send(&post_json("/", &json(900_000)));
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
        client.wait_for_limit("body_memory_bytes");
        // It is given back with the handler's end. What a handler does not keep counts for nothing.
        let mut client = serving.connect();
        client.send(post_json("/", &json(150_000)));
        assert_eq!(client.reply().status, 200);
        let mut client = serving.connect();
        client.send(post_json("/image", &json(900_000)));
        assert_eq!(client.reply().text(), "900000");
    }
}

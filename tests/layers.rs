//! Layers and nested routers over the real server: what a client gets is what a call without a server gives, for refusals too.

mod support;

use lockgate::{Method, Next, Request, Response, Router};

use support::{await_lines, serve, Shape};

/// Says which route the layer has seen, and how many bytes of a body.
fn seen(request: &mut Request, next: Next) -> Response {
    let route = request.route().unwrap_or("-").to_string();
    let body = request.bytes().map_or(0, |body| body.len());
    let response = next.run(request);
    response.with_header("x-seen", format!("{route} {body}"))
}

fn router() -> Router {
    let api = Router::new()
        .get("/state", |_: &mut Request| "on")
        .get("/panics", |_: &mut Request| -> &'static str { panic!("as the test wants it") })
        .with(|request: &mut Request, next: Next| next.run(request).with_header("x-api", "1"));
    let trap = |request: &mut Request, next: Next| {
        assert!(request.header("x-trap").is_none(), "a trap");
        next.run(request)
    };
    Router::new()
        .with(seen)
        .nest("/api", api)
        .nest("/pages", Router::new().fallback(|_: &mut Request| "a page"))
        .with(trap)
}

#[test]
fn layers_are_around_what_the_server_answers_by_itself() {
    let serving = serve(router());
    let mut client = serving.connect();
    for (method, target, expected) in [
        ("GET", "/api/state", (200, "/api/state 0", true, "on")),
        ("HEAD", "/api/state", (200, "/api/state 0", true, "")),
        ("DELETE", "/api/state", (405, "/api/state 0", true, "…")),
        ("OPTIONS", "/api/state", (204, "/api/state 0", true, "")),
        ("BREW", "/api/state", (501, "/api/state 0", true, "…")),
        ("GET", "/api/none", (404, "- 0", true, "…")),
        ("HEAD", "/api/none", (404, "- 0", true, "")),
        ("GET", "/api/panics", (500, "/api/panics 0", true, "…")),
        ("GET", "/none", (404, "- 0", false, "…")),
        ("OPTIONS", "*", (204, "- 0", false, "")),
        ("GET", "/api%2Fstate", (400, "- 0", false, "…")),
        ("GET", "/pages/any", (200, "- 0", false, "a page")),
    ] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let shape = if method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
        let reply = client.try_reply(shape).unwrap();
        let wire = (reply.status, reply.field("x-seen").unwrap().to_string(), reply.field("x-api").is_some());
        assert_eq!((wire.0, &*wire.1, wire.2), (expected.0, expected.1, expected.2), "{method} {target}");
        if expected.3 != "…" {
            assert_eq!(reply.text(), expected.3, "{method} {target}");
        }
        // Without a server it is the same.
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let alone = router().call(&mut Request::new(method, target));
        let field = |name: &str| alone.header(name).map(|value| value.to_str().unwrap().to_string());
        assert_eq!(
            wire,
            (alone.status().as_u16(), field("x-seen").unwrap(), field("x-api").is_some()),
            "{target}"
        );
        assert_eq!(reply.field("allow").map(String::from), field("allow"), "{target}");
        assert_eq!(reply.body, alone.into_bytes().unwrap(), "{target}");
    }
}

#[test]
fn a_body_is_not_read_for_what_no_route_serves() {
    let serving = serve(router());
    let mut client = serving.connect();
    // It came whole, in part, in chunks, or not yet. The next request is found behind it.
    for sent in [
        "Content-Length: 5\r\n\r\nabcde",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Content-Length: 5\r\n\r\n",
    ] {
        client.send(format!("POST /none HTTP/1.1\r\nHost: localhost\r\n{sent}"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("x-seen")), (404, Some("- 0")), "{sent}");
        if sent.ends_with("\r\n\r\n") && sent.contains("Length") {
            client.send("abcde");
        }
        assert_eq!(client.get("/api/state").status, 200);
    }
    // The client learns it before it sends the body.
    client
        .send("POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("x-seen"), reply.closes()), (404, Some("- 0"), true));
    // A fallback is a handler, and gets it.
    let mut client = serving.connect();
    client.send("POST /pages/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
    client.send("cde");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("x-seen")), (200, Some("- 5")));
}

#[test]
fn a_panic_in_a_layer_costs_one_request() {
    let serving = serve(router());
    let mut client = serving.connect();
    client.send("GET /api/trapped HTTP/1.1\r\nHost: localhost\r\nX-Trap: 1\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("x-seen")), (500, Some("- 0")));
    assert_eq!(client.get("/api/state").status, 200);
    let told = await_lines(1, |line| line.starts_with("the handler of GET /api/trapped panicked"));
    assert!(told.len() == 1 && told[0].ends_with(": a trap"), "{told:?}");
}

//! Pages of other origins, over real connections: an answer that a page may read can be read whoever makes it, the handler, a layer
//! or the server, and what a page may not do never comes to a handler.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use lockgate::web::{Cors, FetchMetadata, SecurityFields};
use lockgate::{IntoResponse, Limits, Method, Next, Request, Response, Router, Server, StatusCode};

use support::{get, identity, serve_as, Gate, Reply, Serving, Shape};

const APP: &str = "https://app.example";
const SHORT: Duration = Duration::from_millis(300);

/// A router with these layers, on a server whose own answers have the fields too.
fn serve(cors: &Cors, router: Router, change: impl FnOnce(&mut Limits)) -> Serving {
    let mut limits = Limits::default();
    change(&mut limits);
    let (of_server, fields) = (cors.clone(), SecurityFields::new());
    let builder = Server::builder(router.with(cors.clone())).identity(identity()).limits(limits);
    serve_as(builder.on_response(move |seen, response| {
        of_server.add_to(seen, response);
        fields.add_to(seen, response);
    }))
}

fn app() -> Cors {
    Cors::with_credentials([APP]).unwrap()
}

fn ask(serving: &Serving, line: &str, fields: &str) -> Reply {
    let mut client = serving.connect();
    client.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let shape = if line.starts_with("HEAD") { Shape::HeadOnly } else { Shape::WithBody };
    client.try_reply(shape).unwrap()
}

/// Each field stands there once.
fn assert_readable(reply: &Reply, origin: &str) {
    for (name, value) in [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("vary", "origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        let found: Vec<_> = reply.fields.iter().filter(|(known, _)| known == name).collect();
        assert!(found.len() == 1 && found[0].1 == value, "{name}: {reply:?}");
    }
}

fn assert_not_readable(reply: &Reply) {
    assert_eq!(reply.field("access-control-allow-origin"), None, "{reply:?}");
    assert_eq!(reply.field("access-control-allow-credentials"), None, "{reply:?}");
    assert_eq!(reply.field("vary"), Some("origin"), "{reply:?}");
}

#[test]
fn a_page_reads_every_refusal_that_is_meant_for_it() {
    let router = Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/same", |_: &mut Request| StatusCode::NOT_MODIFIED)
        .get("/panics", |_: &mut Request| -> String { panic!("the handler of cross_origin.rs") })
        .post("/", |request: &mut Request| request.bytes().map(|bytes| bytes.len().to_string()));
    let serving = serve(&app(), router, |limits| limits.body_bytes = 1000);
    let origin = format!("Origin: {APP}\r\n");
    let long = format!("{origin}X-Long: {}\r\n", "x".repeat(20_000));
    let many = format!("{origin}{}", "X-Many: 1\r\n".repeat(100));
    for (line, fields, status) in [
        ("GET /", &*origin, 200),
        ("HEAD /", &origin, 200),
        ("GET /same", &origin, 304),
        ("GET /none", &origin, 404),
        ("DELETE /", &origin, 405),
        ("BREW /", &origin, 501),
        ("GET /a%2Fb", &origin, 400),
        ("GET /panics", &origin, 500),
        ("OPTIONS /", &origin, 204),
        ("POST /", &format!("{origin}Content-Length: 1001\r\n"), 413),
        ("POST /", &format!("{origin}Content-Length: x\r\n"), 400),
        ("GET /", &format!("{origin}Expect: 200-ok\r\n"), 417),
        ("GET /", &long, 431),
        ("GET /", &many, 431),
        ("GET /", &format!("{origin}no field\r\n"), 400),
    ] {
        let reply = ask(&serving, line, fields);
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        assert_readable(&reply, APP);
    }
    // The origin stands behind what could not be read: it can be no other than the one that is named.
    let reply = ask(&serving, "GET /", &format!("X-Long: {}\r\n{origin}", "x".repeat(20_000)));
    assert_eq!(reply.status, 431);
    assert_readable(&reply, APP);
    for line in ["GET /", "GET /none", "DELETE /"] {
        assert_not_readable(&ask(&serving, line, ""));
        for other in
            ["https://app.example:8443", "http://app.example", "null", "https://app.example.evil.example"]
        {
            assert_not_readable(&ask(&serving, line, &format!("Origin: {other}\r\n")));
        }
        assert_not_readable(&ask(&serving, line, &format!("{origin}{origin}")));
    }
}

#[test]
fn a_page_reads_that_the_server_is_busy() {
    let gate = Gate::new();
    let inside = gate.clone();
    let router = Router::new().get("/", |_: &mut Request| "root").get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let serving = serve(&app(), router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 0;
        limits.queue_timeout = SHORT;
    });
    let mut blocked = serving.connect();
    blocked.send(get("/wait"));
    gate.wait_for(1);
    let reply = ask(&serving, "GET /", &format!("Origin: {APP}\r\n"));
    assert_eq!(reply.status, 503);
    assert_readable(&reply, APP);
    gate.open();
    assert_eq!(blocked.reply().text(), "waited");
}

/// Browsers send no credentials with a preflight.
#[test]
fn a_preflight_is_answered_before_a_login_is_asked_for() {
    fn login(request: &mut Request, next: Next) -> Response {
        match request.header("authorization") {
            Some("Bearer 7f3a") => next.run(request),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let router = Router::new().with(login).put("/firmware", move |_: &mut Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::NO_CONTENT
    });
    // What is around stands before what is within.
    let serving = serve(&app(), Router::new().with(app()).merge(router), |_| {});
    let asked = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization,content-type\r\n";
    for path in ["/firmware", "/none"] {
        let reply = ask(&serving, &format!("OPTIONS {path}"), &format!("Origin: {APP}\r\n{asked}"));
        assert_eq!(reply.status, 204, "{reply:?}");
        assert_readable(&reply, APP);
        let methods = reply.field("access-control-allow-methods").unwrap();
        assert!(methods.split(", ").any(|method| method == "PUT"), "{methods}");
        assert!(reply.field("access-control-allow-headers").unwrap().contains("authorization"));
        assert_eq!(reply.field("access-control-max-age"), Some("7200"));
    }
    // For another origin it is a request as any other.
    let reply = ask(&serving, "OPTIONS /firmware", &format!("Origin: https://evil.example\r\n{asked}"));
    assert_eq!(reply.status, 401);
    assert_not_readable(&reply);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let origin = format!("Origin: {APP}\r\n");
    let reply = ask(&serving, "PUT /firmware", &format!("{origin}Content-Length: 0\r\n"));
    assert_eq!(reply.status, 401);
    assert_readable(&reply, APP);
    let reply = ask(
        &serving,
        "PUT /firmware",
        &format!("{origin}Authorization: Bearer 7f3a\r\nContent-Length: 0\r\n"),
    );
    assert_eq!((reply.status, count.load(Ordering::SeqCst)), (204, 1));
    assert_readable(&reply, APP);
}

#[test]
fn what_a_page_of_another_origin_may_not_do_comes_to_no_handler() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let router = Router::new()
        .with(FetchMetadata::new().trust([APP]).unwrap())
        .get("/", |_: &mut Request| "page")
        .post("/reboot", move |_: &mut Request| counted.fetch_add(1, Ordering::SeqCst).to_string());
    let serving = serve(&app(), router, |_| {});
    let evil = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nOrigin: https://evil.example\r\n";
    let reply = ask(&serving, "POST /reboot", &format!("{evil}Content-Length: 0\r\n"));
    assert_eq!((reply.status, count.load(Ordering::SeqCst)), (403, 0));
    assert!(reply.problem()["detail"].as_str().unwrap().contains("another origin"));
    assert_not_readable(&reply);
    assert_eq!(ask(&serving, "GET /", evil).status, 200);
    // The port of a test's server is in Host as in Origin.
    let old = format!("Origin: https://localhost:{}\r\nContent-Length: 0\r\n", serving.address.port());
    let host = format!("POST /reboot HTTP/1.1\r\nHost: localhost:{}\r\n{old}\r\n", serving.address.port());
    let mut client = serving.connect();
    client.send(host);
    assert_eq!(client.reply().status, 200);
    let trusted = format!("Sec-Fetch-Site: cross-site\r\nOrigin: {APP}\r\nContent-Length: 0\r\n");
    let reply = ask(&serving, "POST /reboot", &trusted);
    assert_eq!((reply.status, count.load(Ordering::SeqCst)), (200, 2));
    assert_readable(&reply, APP);
}

/// What is open to one origin need not be open to another.
#[test]
fn a_nested_router_has_its_own_origins() {
    const OTHER: &str = "https://other.example";
    let api = Router::new().with(Cors::new([APP]).unwrap()).get("/state", |_: &mut Request| "on");
    let open = Router::new().with(Cors::public()).get("/open", |_: &mut Request| "open");
    let router = Router::new().get("/", |_: &mut Request| "page").nest("/api", api).merge(open);
    let allowed = |method: Method, path: &str, origin: &str| {
        let request = Request::new(method, path).with_header("origin", origin);
        let response = router.call(&mut request.with_header("access-control-request-method", "GET"));
        response.header("access-control-allow-origin").map(|origin| origin.to_str().unwrap().to_string())
    };
    let some = |origin: &str| Some(origin.to_string());
    for method in [Method::OPTIONS, Method::GET] {
        for path in ["/api/state", "/api/none"] {
            assert_eq!(allowed(method.clone(), path, APP), some(APP), "{method} {path}");
            assert_eq!(allowed(method.clone(), path, OTHER), None, "{method} {path}");
        }
        for origin in [APP, OTHER, "null"] {
            assert_eq!(allowed(method.clone(), "/open", origin), some("*"), "{method}");
            assert_eq!(allowed(method.clone(), "/", origin), None, "{method}");
        }
    }
}

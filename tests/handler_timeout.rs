//! `Router::handler_timeout`: a client has its answer in time although the handler has not returned, and nothing of what a late
//! handler does reaches the wire. The worker, the place and the memory come back when the handler returns.
#![cfg(feature = "handler-timeout")]

mod support;

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockgate::{Error, Limits, Next, Request, Response, ResponseHead, Router, Seen, Server, StatusCode};

use support::{await_lines, get, identity, lines, noise, post, serve, serve_as, serve_within};
use support::{Client, Gate, Serving, Shape, NEVER, SAFETY};

/// No handler of these tests returns so soon unless it is let go.
const SOON: Duration = Duration::from_millis(40);

/// Waits until it is true, as it becomes a moment after something else.
fn becomes(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + SAFETY;
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn late(serving: &Serving) -> usize {
    serving.handle.health().late_handlers
}

/// Asserts that the next answer is that of the limit.
fn expect_late(client: &mut Client) {
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")), "{reply:?}");
    let detail = reply.problem()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("takes longer than it may"), "{detail}");
    assert!(!reply.closes());
}

/// `/slow` waits at the gate, and `/quick` does not. Both may take `SOON`.
fn gated(gate: &Arc<Gate>) -> Router {
    let gate = gate.clone();
    let slow = move |_: &mut Request| {
        gate.pass();
        "a late answer"
    };
    Router::new().get("/slow", slow).get("/quick", |_: &mut Request| "quick").handler_timeout(SOON)
}

#[test]
fn a_client_has_its_answer_in_time_and_its_connection_goes_on() {
    let gate = Gate::new();
    let serving = serve(gated(&gate));
    let mut client = serving.connect();
    client.send(get("/slow"));
    expect_late(&mut client);
    client.wait_for_limit("handler_timeout");
    assert_eq!(client.get("/quick").text(), "quick");
    client.send(get("/slow"));
    expect_late(&mut client);
    // What the handlers return now reaches nobody.
    gate.open();
    becomes("the handlers have returned", || late(&serving) == 0);
    assert_eq!(client.get("/quick").text(), "quick");
    client.send("GET /quick HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.reply().text(), "quick");
    client.expect_goodbye();
}

#[test]
fn what_is_in_time_is_answered_as_without_the_limit() {
    let router = Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/large", |_: &mut Request| Response::bytes(noise(300_000)))
        .get("/stream", |_: &mut Request| Response::reader(&b"streamed"[..]))
        .get("/nothing", |_: &mut Request| StatusCode::NO_CONTENT)
        .get("/panics", |_: &mut Request| -> String { panic!("as handler_timeout.rs wants it") })
        .get("/interim", |_: &mut Request| StatusCode::CONTINUE)
        .get("/of/{name}", |request: &mut Request| request.param("name").map(String::from))
        .post("/", |request: &mut Request| -> Result<String, Error> {
            let header = request.header("x-name").unwrap_or_default().to_string();
            let (query, peer) = (request.query("q").map(String::from), request.peer().is_some());
            let route = request.route().map(String::from);
            Ok(format!("{} {header} {query:?} {peer} {route:?}", request.bytes()?.len()))
        })
        .handler_timeout(NEVER);
    let serving = serve(router);
    let mut client = serving.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "root");
        assert_eq!(client.get("/large").body, noise(300_000));
        assert_eq!(client.get("/stream").text(), "streamed");
        assert_eq!(client.get("/nothing").status, 204);
        assert_eq!(client.get("/panics").status, 500);
        assert_eq!(client.get("/interim").status, 500);
        assert_eq!(client.get("/of/a%20b").text(), "a b");
        assert_eq!(client.get("/none").status, 404);
        for size in [0, 5_000, 500_000] {
            client.send(format!(
                "POST /?q=a HTTP/1.1\r\nHost: localhost\r\nX-Name: b\r\nContent-Length: {size}\r\n\r\n"
            ));
            client.send(noise(size));
            assert_eq!(client.reply().text(), format!("{size} b Some(\"a\") true Some(\"/\")"));
        }
        client.send("HEAD /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.try_reply(Shape::HeadOnly).unwrap();
        assert_eq!((head.status, head.field("content-length")), (200, Some("300000")));
    }
    assert_eq!(await_lines(2, |line| line.contains("GET /panics panicked at")).len(), 2);
}

#[test]
fn requests_behind_it_are_answered_in_order() {
    let gate = Gate::new();
    let serving = serve(gated(&gate));
    let mut client = serving.connect();
    client.send(["/quick", "/slow", "/quick", "/none"].map(get).concat());
    assert_eq!(client.reply().text(), "quick");
    gate.wait_for(1);
    // One more comes while it waits.
    client.send(get("/quick"));
    expect_late(&mut client);
    assert_eq!(client.reply().text(), "quick");
    assert_eq!(client.reply().status, 404);
    assert_eq!(client.reply().text(), "quick");
    // Those that are in time keep their order too.
    client.send(["/quick", "/none", "/quick"].map(get).concat());
    assert_eq!([client.reply().status, client.reply().status, client.reply().status], [200, 404, 200]);
    gate.open();
}

#[test]
fn an_answer_before_it_does_not_wait_for_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/slow", move |_: &mut Request| held.pass())
        .handler_timeout(NEVER);
    let serving = serve(router);
    let mut client = serving.connect();
    client.send(["/quick", "/slow"].map(get).concat());
    assert_eq!(client.reply().text(), "quick");
    gate.open();
    assert_eq!(client.reply().status, 204);
}

#[test]
fn the_answer_to_head_has_no_body() {
    let gate = Gate::new();
    let serving = serve(gated(&gate));
    let mut client = serving.connect();
    client.send("HEAD /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.try_reply(Shape::HeadOnly).unwrap();
    assert_eq!(head.status, 503);
    assert_eq!(client.get("/quick").text(), "quick");
    gate.open();
}

/// A value that says when it is dropped, and panics then if asked to.
struct Told(Arc<AtomicUsize>, bool);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert!(!self.1, "a drop as handler_timeout.rs wants it");
    }
}

impl Read for Told {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("nobody reads it");
    }
}

#[test]
fn what_a_late_handler_does_costs_itself_and_nothing_else() {
    let (gate, dropped) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (held, drops) = (gate.clone(), dropped.clone());
    let panics = move |_: &mut Request| -> String {
        held.pass();
        panic!("late, as handler_timeout.rs wants it")
    };
    let held = gate.clone();
    let streams = move |_: &mut Request| {
        held.pass();
        Response::reader(Told(drops.clone(), true))
    };
    let router = Router::new()
        .get("/quick", |_: &mut Request| "quick")
        .get("/late/panics", panics)
        .get("/late/streams", streams)
        .handler_timeout(SOON);
    let serving = serve(router);
    let mut client = serving.connect();
    for path in ["/late/panics", "/late/streams"] {
        client.send(get(path));
        expect_late(&mut client);
    }
    assert_eq!(late(&serving), 2);
    gate.open();
    becomes("the handlers have returned", || late(&serving) == 0);
    becomes("its response is dropped", || dropped.load(Ordering::SeqCst) == 1);
    let told = await_lines(1, |line| line.contains("/late/panics panicked at"));
    assert!(told.len() == 1 && told[0].contains("late, as handler_timeout.rs wants it"), "{told:?}");
    assert_eq!(await_lines(1, |line| line.contains("a late handler's response panicked at")).len(), 1);
    assert_eq!(client.get("/quick").text(), "quick");
}

#[test]
fn others_are_answered_however_many_handlers_are_late() {
    let gate = Gate::new();
    let serving = serve_within(gated(&gate), |limits| {
        limits.workers = 2;
        limits.reserve_workers = 6;
    });
    let mut clients: Vec<_> = (0..7).map(|_| serving.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(get("/slow"));
        gate.wait_for(at + 1);
    }
    clients.iter_mut().for_each(expect_late);
    assert_eq!((late(&serving), serving.handle.health().workers), (7, 7));
    for client in &mut clients {
        assert_eq!(client.get("/quick").text(), "quick");
    }
    assert_eq!(serving.handle.health().to_json()["workers"]["late"], 7);
    assert_eq!(serving.handle.health().to_json()["status"], "warning");
    gate.open();
    becomes("all workers are back", || late(&serving) == 0 && serving.handle.health().workers == 0);
    assert_eq!(serving.handle.health().worst(), None);
}

#[test]
fn handlers_that_hold_all_workers_let_nobody_wait_longer_than_the_queue_does() {
    let gate = Gate::new();
    let serving = serve_within(gated(&gate), |limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
        limits.queue_timeout = SOON;
    });
    let mut clients: Vec<_> = (0..2).map(|_| serving.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(get("/slow"));
        gate.wait_for(at + 1);
    }
    // The supervisor answers in the place of the workers.
    clients.iter_mut().for_each(expect_late);
    let mut other = serving.connect();
    assert_eq!(other.get("/quick").status, 503);
    other.wait_for_limit("queue_timeout");
    gate.open();
    becomes("all workers are back", || serving.handle.health().workers == 0);
    assert_eq!(other.get("/quick").text(), "quick");
}

#[test]
fn a_handler_learns_that_its_client_has_been_answered_or_is_gone() {
    let (begun, seen) = (Gate::new(), Gate::new());
    begun.open();
    let (begins, sees) = (begun.clone(), seen.clone());
    let works = move |request: &mut Request| {
        begins.pass();
        while !request.client_is_gone() {
            std::thread::sleep(Duration::from_millis(1));
        }
        sees.pass();
    };
    let waits = Router::new().get("/long", works.clone()).handler_timeout(NEVER);
    let router = Router::new().get("/short", works).handler_timeout(SOON).merge(waits);
    let serving = serve(router);
    seen.open();
    let mut client = serving.connect();
    client.send(get("/short"));
    expect_late(&mut client);
    seen.wait_for(1);
    let mut client = serving.connect();
    client.send(get("/long"));
    begun.wait_for(2);
    client.reset();
    seen.wait_for(2);
    becomes("its connection is closed", || serving.handle.health().connections == 1);
    becomes("all workers are back", || serving.handle.health().workers == 0);
}

/// A server with this limit, and a client whose request is in a handler that waits for the gate.
fn held_within(timeout: Duration, limit: impl FnOnce(&mut Limits)) -> (Arc<Gate>, Serving, Client) {
    let gate = Gate::new();
    let held = gate.clone();
    let router = Router::new().get("/", move |_: &mut Request| held.pass()).handler_timeout(timeout);
    let serving = serve_within(router, limit);
    let mut client = serving.connect();
    client.send(get("/"));
    gate.wait_for(1);
    (gate, serving, client)
}

#[test]
fn a_client_that_has_only_closed_its_sending_side_gets_its_answer() {
    for (timeout, status) in [(SOON, 503), (NEVER, 204)] {
        let (gate, _serving, mut client) = held_within(timeout, |_| {});
        client.leave();
        if status == 204 {
            gate.open();
        }
        assert_eq!(client.reply().status, status);
        gate.open();
    }
}

#[test]
fn a_stop_waits_for_the_answer_and_for_the_time_limit() {
    for (timeout, status) in [(SOON, 503), (NEVER, 204)] {
        let (gate, serving, mut client) = held_within(timeout, |_| {});
        serving.handle.stop();
        if status == 204 {
            gate.open();
        }
        let reply = client.reply();
        assert_eq!((reply.status, reply.closes()), (status, true));
        client.expect_goodbye();
        gate.open();
        serving.join().unwrap();
    }
}

#[test]
fn a_stop_that_waits_no_longer_refuses_the_request_of_a_handler() {
    let (gate, serving, mut client) = held_within(NEVER, |limits| limits.drain_timeout = 10 * SOON);
    serving.handle.stop();
    let reply = client.reply();
    assert_eq!((reply.status, reply.closes(), reply.field("retry-after")), (503, true, Some("1")));
    client.expect_goodbye();
    gate.open();
    // The stop says that it has cut a connection.
    let _ = serving.join();
}

#[test]
fn the_programs_function_sees_the_refusal_and_layers_do_not() {
    let gate = Gate::new();
    let layered = Arc::new(AtomicUsize::new(0));
    let count = layered.clone();
    let router = gated(&gate).with(move |request: &mut Request, next: Next| {
        request.extensions_mut().insert(7_u8);
        let response = next.run(request);
        count.fetch_add(1, Ordering::SeqCst);
        response.with_header("x-layer", "seen")
    });
    let see = |seen: &Seen, response: &mut ResponseHead| {
        let value = seen.extensions().get::<u8>();
        let told = format!("{:?} {:?} {}", seen.route(), value, response.status().as_u16());
        response.set_header("x-seen", told);
    };
    let serving = serve_as(Server::builder(router).identity(identity()).on_response(see));
    let mut client = serving.connect();
    let quick = client.get("/quick");
    assert_eq!(quick.field("x-seen"), Some("Some(\"/quick\") Some(7) 200"));
    assert_eq!(quick.field("x-layer"), Some("seen"));
    let slow = client.get("/slow");
    assert_eq!(slow.field("x-seen"), Some("Some(\"/slow\") None 503"));
    assert_eq!(slow.field("x-layer"), None);
    assert_eq!(layered.load(Ordering::SeqCst), 1);
    gate.open();
    becomes("the handler has returned", || layered.load(Ordering::SeqCst) == 2);
    let quick = client.get("/quick");
    assert_eq!(quick.field("x-seen"), Some("Some(\"/quick\") Some(7) 200"));
}

#[test]
fn a_layer_counts_as_the_handler_does() {
    let gate = Gate::new();
    let held = gate.clone();
    let router = Router::new().get("/", |_: &mut Request| "root").handler_timeout(SOON).with(
        move |request: &mut Request, next: Next| {
            held.pass();
            next.run(request)
        },
    );
    let serving = serve(router);
    let mut client = serving.connect();
    client.send(get("/"));
    expect_late(&mut client);
    gate.open();
}

/// The lines of the access log about a client, once there are so many.
fn access(client: &Client, count: usize) -> Vec<String> {
    let end = format!(" {} ", client.address());
    await_lines(count, |line| line.contains(&end) && line.contains("us "))
}

#[test]
fn the_access_log_has_what_the_client_got_and_one_line_for_each_request() {
    let gate = Gate::new();
    let builder = Server::builder(gated(&gate)).identity(identity()).access_log(true);
    let serving = serve_as(builder);
    let mut client = serving.connect();
    client.send(["/slow", "/quick"].map(get).concat());
    expect_late(&mut client);
    assert_eq!(client.reply().text(), "quick");
    let told = access(&client, 2);
    assert!(told.len() == 2 && told[0].starts_with("GET /slow 503 "), "{told:?}");
    assert!(told[1].starts_with("GET /quick 200 5 "), "{told:?}");
    // A client that leaves before it has an answer.
    let long = Gate::new();
    let held = long.clone();
    let router = Router::new().get("/", move |_: &mut Request| held.pass()).handler_timeout(NEVER);
    let serving = serve_as(Server::builder(router).identity(identity()).access_log(true));
    let leaves = serving.connect();
    let end = format!(" {} ", leaves.address());
    let mut leaves = leaves;
    leaves.send(get("/"));
    long.wait_for(1);
    leaves.reset();
    let told = await_lines(1, |line| line.contains(&end) && line.contains("us "));
    assert!(told.len() == 1 && told[0].starts_with("GET / 499 0 ") && told[0].ends_with(" cut"), "{told:?}");
    long.open();
    becomes("all workers are back", || serving.handle.health().workers == 0);
    assert_eq!(lines(|line| line.contains(&end) && line.contains("us ")).len(), 1);
    gate.open();
}

#[test]
fn a_late_handler_keeps_its_place_until_it_returns() {
    let gate = Gate::new();
    let serving = serve(gated(&gate).concurrent(1));
    let mut client = serving.connect();
    client.send(get("/slow"));
    expect_late(&mut client);
    let mut other = serving.connect();
    assert_eq!(other.get("/quick").status, 503);
    other.wait_for_limit("concurrent");
    gate.open();
    becomes("its place is free", || other_is_let_in(&serving));
}

fn other_is_let_in(serving: &Serving) -> bool {
    serving.get("/quick").status == 200
}

#[test]
fn a_late_handlers_body_is_counted_until_it_returns() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = move |_: &mut Request| held.pass();
    let length = |request: &mut Request| -> Result<String, Error> { Ok(request.bytes()?.len().to_string()) };
    let router = Router::new().post("/slow", slow).handler_timeout(SOON);
    let router = Router::new().post("/", length).merge(router);
    let serving = serve_within(router, |limits: &mut Limits| {
        limits.body_buffer_bytes = 1 << 20;
        limits.body_memory_bytes = 3 << 20;
    });
    let body = noise(1 << 20);
    let mut client = serving.connect();
    client.send(post("/slow", &body));
    expect_late(&mut client);
    let ask = || {
        let mut other = serving.connect();
        let _ = other.try_send(&post("/", &body));
        let reply = other.reply();
        if reply.status == 503 {
            other.wait_for_limit("body_memory_bytes");
        }
        reply.status
    };
    assert_eq!(ask(), 503);
    gate.open();
    becomes("the memory is free", || ask() == 200);
}

#[test]
fn a_body_that_is_read_from_the_connection_is_not_limited() {
    let read = |request: &mut Request| -> Result<String, Error> {
        let mut body = Vec::new();
        request.body().read_to_end(&mut body)?;
        std::thread::sleep(2 * SOON);
        Ok(body.len().to_string())
    };
    let router = Router::new().post("/", read).handler_timeout(SOON);
    let serving = serve_within(router, |limits| limits.body_buffer_bytes = 10_000);
    let mut client = serving.connect();
    client.send(post("/", &noise(50_000)));
    assert_eq!(client.reply().text(), "50000");
    client.send(post("/", &noise(10_000)));
    expect_late(&mut client);
}

#[test]
fn an_inner_routers_limit_goes_before_that_around_it() {
    let gate = Gate::new();
    let (held, other) = (gate.clone(), gate.clone());
    let inner = Router::new().get("/inner", move |_: &mut Request| held.pass()).handler_timeout(SOON);
    let router =
        Router::new().get("/outer", move |_: &mut Request| other.pass()).handler_timeout(NEVER).merge(inner);
    let serving = serve(router);
    let [mut inner, mut outer] = ["/inner", "/outer"].map(|path| {
        let mut client = serving.connect();
        client.send(get(path));
        client
    });
    expect_late(&mut inner);
    assert_eq!(late(&serving), 1);
    gate.open();
    assert_eq!(outer.reply().status, 204);
}

#[test]
fn without_a_server_the_refusal_comes_when_the_handler_returns() {
    let sleeps = |_: &mut Request| {
        std::thread::sleep(SOON);
        "late"
    };
    let router = Router::new().get("/", sleeps).handler_timeout(Duration::from_millis(1));
    let response = router.call(&mut Request::get("/"));
    assert_eq!(response.status(), 503);
    let text = String::from_utf8(response.into_bytes().unwrap()).unwrap();
    assert!(text.contains("takes longer than it may"), "{text}");
    let router = Router::new().get("/", |_: &mut Request| "soon").handler_timeout(NEVER);
    assert_eq!(router.call(&mut Request::get("/")).status(), 200);
    let wrong = Router::new().handler_timeout(Duration::ZERO);
    assert!(wrong.check().unwrap_err().to_string().contains("handler_timeout"));
}

#[test]
fn many_connections_wait_for_handlers_and_each_gets_its_own_answer() {
    let served = Arc::new(Mutex::new(0_u64));
    let handler = move |request: &mut Request| {
        let number: u64 = request.param_as("number")?;
        let nth = {
            let mut served = served.lock().unwrap();
            *served += 1;
            *served
        };
        // Some are late, some are not, and some are close to it.
        std::thread::sleep(Duration::from_millis(nth % 7));
        Ok::<String, Error>(number.to_string())
    };
    let router = Router::new().get("/{number}", handler).handler_timeout(Duration::from_millis(4));
    let serving = serve_within(router, |limits| {
        limits.workers = 2;
        limits.reserve_workers = 8;
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let (serving, stop) = (&serving, &stop);
            scope.spawn(move || {
                let mut client = serving.connect();
                for round in 0..40 {
                    let first = thread * 1_000 + round * 3;
                    let asked: Vec<_> = (first..first + 3).collect();
                    client.send(asked.iter().map(|number| get(&format!("/{number}"))).collect::<String>());
                    for number in asked {
                        let reply = client.reply();
                        match reply.status {
                            200 => assert_eq!(reply.text(), number.to_string()),
                            status => assert_eq!(status, 503, "{reply:?}"),
                        }
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
    });
    becomes("no handler is left", || late(&serving) == 0 && serving.handle.health().workers == 0);
}

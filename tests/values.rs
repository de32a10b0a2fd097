//! The values that the program puts into a request: they are there by type, for this request alone, and they end with it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use lockgate::{Next, Request, Response, Router, StatusCode};

use support::{await_lines, get, noise, post, serve, serve_within, Client};

/// Who asks, as a layer could have found out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct User(&'static str);

/// Counts how many of its kind there are.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Arc<Counted> {
        count.fetch_add(1, Ordering::SeqCst);
        Arc::new(Counted(count.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says whom it finds in the request, and leaves somebody.
fn find_and_leave(request: &mut Request) -> String {
    let found = request.extensions().get::<User>().map_or("nobody", |user| user.0);
    let answer = format!("{found} {}", request.body_length());
    request.extensions_mut().insert(User("somebody"));
    answer
}

trait BodyLength {
    fn body_length(&mut self) -> usize;
}

impl BodyLength for Request<'_> {
    fn body_length(&mut self) -> usize {
        self.bytes().unwrap().len()
    }
}

#[test]
fn a_value_is_gone_before_the_next_request_of_its_connection() {
    let router = Router::new().get("/", find_and_leave).post("/", find_and_leave);
    let serving = serve_within(router, |limits| limits.body_buffer_bytes = 1_000);
    let mut client = serving.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "nobody 0");
    }
    // Pipelined, and with bodies that are collected and streamed.
    client.send(get("/").repeat(3));
    for _ in 0..3 {
        assert_eq!(client.reply().text(), "nobody 0");
    }
    for length in [10, 5_000, 10, 5_000] {
        client.send(post("/", &noise(length)));
        assert_eq!(client.reply().text(), format!("nobody {length}"));
    }
}

#[test]
fn a_value_ends_before_its_client_has_the_answer() {
    let count = Arc::new(AtomicUsize::new(0));
    let (kept, dropped) = (count.clone(), count.clone());
    let router = Router::new()
        .get("/", move |request: &mut Request| {
            request.extensions_mut().insert(Counted::new(&kept));
            "kept"
        })
        .get("/panics", move |request: &mut Request| -> &'static str {
            request.extensions_mut().insert(Counted::new(&dropped));
            panic!("as the test wants it")
        });
    let serving = serve(router);
    let mut client = serving.connect();
    for (path, status) in [("/", 200), ("/panics", 500), ("/", 200)] {
        assert_eq!(client.get(path).status, status, "{path}");
        assert_eq!(count.load(Ordering::SeqCst), 0, "{path}");
    }
}

/// A value whose end fails.
#[derive(Clone)]
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("the trap of values.rs");
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped_costs_nobody_the_answer() {
    let router = Router::new()
        .get("/", |request: &mut Request| {
            request.extensions_mut().insert(Trap);
            "answered"
        })
        .get("/both", |request: &mut Request| -> StatusCode {
            request.extensions_mut().insert(Trap);
            panic!("the handler of values.rs")
        });
    let serving = serve(router);
    let mut client: Client = serving.connect();
    assert_eq!(client.get("/").text(), "answered");
    assert_eq!(client.get("/both").status, 500);
    assert_eq!(client.get("/").text(), "answered");
    let traps = await_lines(3, |line| line.contains("the trap of values.rs"));
    assert!(traps.len() == 3 && traps[0].contains("GET / panicked at"), "{traps:?}");
    assert_eq!(await_lines(1, |line| line.contains("the handler of values.rs")).len(), 1);
}

#[test]
fn a_layer_leaves_the_handler_what_it_has_found() {
    let router = Router::new()
        .with(|request: &mut Request, next: Next| {
            let user = if request.header("authorization").is_some() { User("ada") } else { User("nobody") };
            request.extensions_mut().insert(user);
            next.run(request)
        })
        .get("/", |request: &mut Request| request.extensions().get::<User>().map(|user| user.0));
    let serving = serve(router);
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "nobody");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\n\r\n");
    assert_eq!(client.reply().text(), "ada");
    assert_eq!(client.get("/").text(), "nobody");
}

#[test]
fn a_test_gives_a_handler_its_values_and_sees_what_it_has_left() {
    let router = Router::new().get("/", |request: &mut Request| {
        let user = request.extensions().get::<User>().cloned();
        request.extensions_mut().insert(7_u8);
        user.map(|user| Response::text(user.0))
    });
    let mut request = Request::get("/").with_extension(User("ada")).with_extension(User("grace"));
    assert_eq!(router.call(&mut request).into_bytes().unwrap(), b"grace");
    assert_eq!(request.extensions().get::<u8>(), Some(&7));
    assert_eq!(router.call(&mut Request::get("/")).status(), 404);
}

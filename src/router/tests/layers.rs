//! Layers around handlers: order, what they may change, and what they see of refusals and panics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::super::*;
use crate::http::layer::{Layer, Next};

#[test]
fn the_first_layer_is_outermost_and_routes_may_come_before_or_after() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let layer = |name: &'static str| {
        let told = told.clone();
        move |request: &mut Request<'_>, next: Next<'_>| {
            told.lock().unwrap().push(format!("{name}>"));
            let response = next.run(request);
            told.lock().unwrap().push(format!("<{name}"));
            response
        }
    };
    let handler = |name: &'static str| {
        let told = told.clone();
        move |_: &mut Request<'_>| told.lock().unwrap().push(name.to_string())
    };
    let inner = Router::new().with(layer("c")).get("/x", handler("x")).with(layer("d"));
    let merged = Router::new().get("/m", handler("m")).with(layer("m"));
    let router = Router::new()
        .get("/before", handler("before"))
        .with(layer("a"))
        .nest("/in", inner)
        .merge(merged)
        .with(layer("b"))
        .get("/after", handler("after"));
    let way = |target: &str| {
        router.call(&mut Request::get(target));
        std::mem::take(&mut *told.lock().unwrap()).join(" ")
    };
    assert_eq!(way("/before"), "a> b> before <b <a");
    assert_eq!(way("/after"), "a> b> after <b <a");
    assert_eq!(way("/in/x"), "a> b> c> d> x <d <c <b <a");
    assert_eq!(way("/m"), "a> b> m> m <m <b <a");
    assert_eq!(way("/none"), "a> b> <b <a");
    assert_eq!(way("/in/none"), "a> b> c> d> <d <c <b <a");
}

#[test]
fn a_layer_sees_each_answer_and_may_change_it() {
    let router = Router::new()
        .get("/", |_: &mut Request| "page")
        .get("/{id}", |_: &mut Request| StatusCode::CONFLICT)
        .with(|request: &mut Request, next: Next| {
            let route = request.route().unwrap_or("-").to_string();
            let path = request.path().to_string();
            let response = next.run(request);
            let seen = format!("{} {route} {path}", response.status().as_u16());
            response.with_header("x-seen", seen)
        });
    let seen = |method: &str, target: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = router.call(&mut Request::new(method, target));
        response.header("x-seen").unwrap().to_str().unwrap().to_string()
    };
    assert_eq!(seen("GET", "/"), "200 / /");
    assert_eq!(seen("GET", "/7"), "409 /{id} /7");
    assert_eq!(seen("GET", "/7/8"), "404 - /7/8");
    assert_eq!(seen("POST", "/7"), "405 /{id} /7");
    assert_eq!(seen("OPTIONS", "/7"), "204 /{id} /7");
    assert_eq!(seen("BREW", "/7"), "501 /{id} /7");
    assert_eq!(seen("OPTIONS", "*"), "204 - *");
    // Nobody can say where a refused path leads.
    assert_eq!(seen("GET", "/a/%zz"), "400 - ");
    assert_eq!(seen("GET", "/a%2Fb"), "400 - ");
}

#[test]
fn a_layer_may_answer_instead_of_the_handler() {
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let router = Router::new()
        .get("/", move |_: &mut Request| count.fetch_add(1, Ordering::SeqCst).to_string())
        .with(|request: &mut Request, next: Next| -> Result<Response, StatusCode> {
            request.header("authorization").ok_or(StatusCode::UNAUTHORIZED)?;
            Ok(next.run(request))
        });
    assert_eq!(router.call(&mut Request::get("/")).status(), 401);
    assert_eq!(router.call(&mut Request::get("/none")).status(), 401);
    assert_eq!(called.load(Ordering::SeqCst), 0);
    assert_eq!(router.call(&mut Request::get("/").with_header("authorization", "x")).status(), 200);
}

#[test]
fn the_body_of_a_head_is_dropped_after_the_layers() {
    let router =
        Router::new().get("/", |_: &mut Request| "four").with(|request: &mut Request, next: Next| {
            let response = next.run(request);
            let length = response.into_bytes().unwrap().len();
            Response::text("other").with_header("x-length", length.to_string())
        });
    let response = router.call(&mut Request::new(Method::HEAD, "/"));
    assert_eq!(response.header("x-length").unwrap(), "4");
    assert_eq!(response.into_bytes().unwrap(), b"");
}

#[test]
fn a_panic_is_a_500_for_the_layers_around_it_and_for_the_client() {
    let router = Router::new()
        .get("/handler", |_: &mut Request| -> &'static str { panic!("the handler's") })
        .get("/", |_: &mut Request| "page")
        .with(|request: &mut Request, next: Next| next.run(request).with_header("x-outer", "1"))
        .with(|request: &mut Request, next: Next| {
            assert!(request.header("x-trap").is_none(), "the layer's");
            next.run(request)
        });
    for request in [Request::get("/handler"), Request::get("/").with_header("x-trap", "1")] {
        let mut request = request;
        let response = router.call(&mut request);
        assert_eq!(
            (response.status().as_u16(), response.header("x-outer").is_some()),
            (500, true),
            "{request:?}"
        );
    }
    let outermost = Router::new().with(|_: &mut Request, _: Next| -> Response { panic!("the outermost") });
    assert_eq!(outermost.call(&mut Request::get("/")).status(), 500);
}

#[test]
fn a_layer_may_read_the_body_and_put_another_in_its_place() {
    let router = Router::new().post("/", |request: &mut Request| request.bytes()).with(
        |request: &mut Request, next: Next| -> Result<Response, Error> {
            let body = String::from_utf8(request.bytes()?).unwrap();
            request.set_body(body.to_uppercase());
            Ok(next.run(request))
        },
    );
    assert_eq!(router.call(&mut Request::post("/").with_body("abc")).into_bytes().unwrap(), b"ABC");
    // What no route serves has no body for layers, because a server does not read it.
    let router = Router::new().with(|request: &mut Request, next: Next| -> Result<Response, Error> {
        let length = request.bytes()?.len();
        Ok(next.run(request).with_header("x-length", length.to_string()))
    });
    let response = router.call(&mut Request::post("/").with_body("abc"));
    assert_eq!(
        (response.status().as_u16(), response.header("x-length").unwrap()),
        (404, &"0".parse().unwrap())
    );
}

#[test]
fn a_layer_leaves_values_for_the_handler() {
    #[derive(Clone)]
    struct User(&'static str);
    let router = Router::new()
        .get("/", |request: &mut Request| request.extensions().get::<User>().map(|user| user.0))
        .with(|request: &mut Request, next: Next| {
            request.extensions_mut().insert(User("ann"));
            next.run(request)
        });
    assert_eq!(router.call(&mut Request::get("/")).into_bytes().unwrap(), b"ann");
}

#[test]
fn a_type_with_settings_is_a_layer() {
    struct Named(&'static str);
    impl Layer for Named {
        fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
            next.run(request).with_header("x-name", self.0)
        }
    }
    fn function(request: &mut Request, next: Next) -> impl IntoResponse {
        (StatusCode::ACCEPTED, next.run(request))
    }
    let router = Router::new().with(Named("pump")).with(function).get("/", |_: &mut Request| "page");
    let response = router.call(&mut Request::get("/"));
    assert_eq!(
        (response.status().as_u16(), response.header("x-name").unwrap()),
        (202, &"pump".parse().unwrap())
    );
}

#[test]
fn each_route_has_a_number_of_its_own_through_layers_and_so_has_the_404() {
    let pass = |request: &mut Request<'_>, next: Next<'_>| next.run(request);
    let inner = Router::new()
        .get("/slow", |_: &mut Request| "slow")
        .post("/slow", |_: &mut Request| "post")
        .with(pass);
    let router = Router::new().get("/quick", |_: &mut Request| "quick").nest("/in", inner).with(pass);
    let number = |method: Method, path: &str| match router.routes.find(&method, path.as_bytes()) {
        Found::Call(matched) => matched.call.index(),
        Found::Answer(_) | Found::Refused(_) => panic!("{path} is not called"),
    };
    let all = [
        number(Method::GET, "/quick"),
        number(Method::GET, "/in/slow"),
        number(Method::POST, "/in/slow"),
        number(Method::GET, "/in/none"),
        number(Method::GET, "/none"),
    ];
    assert!(all.iter().all(|one| all.iter().filter(|other| one == *other).count() == 1), "{all:?}");
    assert!(all.iter().all(|number| *number < router.routes.handlers()), "{all:?}");
    assert_eq!(number(Method::HEAD, "/quick"), number(Method::GET, "/quick"));
    assert_eq!(number(Method::PUT, "/in/slow"), number(Method::GET, "/in/none"), "a 405 is no handler's");
}

#[test]
fn without_a_server_a_request_may_have_an_address() {
    let router =
        Router::new().get("/", |request: &mut Request| request.peer().map(|peer| peer.ip().to_string()));
    let peer = "192.0.2.7:50000".parse().unwrap();
    assert_eq!(router.call(&mut Request::get("/").with_peer(peer)).into_bytes().unwrap(), b"192.0.2.7");
    assert_eq!(router.call(&mut Request::get("/")).status(), 404);
}

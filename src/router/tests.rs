//! Tests of routes in one router. `layers` tries layers, `nested` routers within routers.

mod layers;
mod nested;

use super::*;

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/api/data", |_: &mut Request| "data")
        .post("/api/data", |_: &mut Request| StatusCode::CREATED)
        .get("/api/{name}", |r: &mut Request| Some(format!("name {}", r.param("name")?)))
        .get("/api/{name}/{part}", |r: &mut Request| {
            Some(format!("{} {}", r.param("name")?, r.param("part")?))
        })
        .get("/api/data/special", |_: &mut Request| "special")
        .get("/files/{*path}", |r: &mut Request| Some(format!("file {}", r.param("path")?)))
        .route(Method::from_bytes(b"PURGE").unwrap(), "/cache", |_: &mut Request| ())
}

fn body(target: &str) -> String {
    let response = router().call(&mut Request::get(target));
    String::from_utf8(response.into_bytes().unwrap()).unwrap()
}

#[test]
fn the_most_particular_pattern_answers() {
    for (target, expected) in [
        ("/", "root"),
        ("/api/data", "data"),
        ("/api/data?x=1", "data"),
        ("/api/%64ata", "data"),
        ("/api/other", "name other"),
        ("/api/a%20b", "name a b"),
        ("/api/data/special", "special"),
        ("/api/data/x", "data x"),
        ("/files/", "file "),
        ("/files/a/b", "file a/b"),
    ] {
        assert_eq!(body(target), expected, "{target}");
    }
}

#[test]
fn other_paths_and_methods_are_refused_as_they_should_be() {
    let call = |method: &str, target: &str| {
        let response =
            router().call(&mut Request::new(Method::from_bytes(method.as_bytes()).unwrap(), target));
        let allow = response.header("allow").map(|value| value.to_str().unwrap().to_string());
        (response.status().as_u16(), allow)
    };
    let some = |text: &str| Some(text.to_string());
    for target in ["/nothing", "/api", "/api/", "/api/data/", "/api//x", "/files", "/api/a/b/c", "/API/data"]
    {
        assert_eq!(call("GET", target), (404, None), "{target}");
    }
    assert_eq!(call("DELETE", "/api/data"), (405, some("GET, POST, HEAD, OPTIONS")));
    assert_eq!(call("HEAD", "/api/data"), (200, None));
    assert_eq!(call("HEAD", "/cache"), (405, some("PURGE, OPTIONS")));
    assert_eq!(call("OPTIONS", "/api/data"), (204, some("GET, POST, HEAD, OPTIONS")));
    assert_eq!(call("OPTIONS", "*").0, 204);
    assert_eq!(call("PURGE", "/cache"), (204, None));
    assert_eq!(call("PURGE", "/"), (405, some("GET, HEAD, OPTIONS")));
    assert_eq!(call("BREW", "/"), (501, None));
}

#[test]
fn a_call_without_a_server_gives_what_a_server_sends() {
    let status = |number: u16| StatusCode::from_u16(number).unwrap();
    let router = Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/status/{number}", move |r: &mut Request| -> Result<_, Error> {
            Ok((status(r.param_as("number")?), "content"))
        })
        .get("/panics", |_: &mut Request| -> &'static str { panic!("as the test wants it") })
        .get("/{*rest}", |_: &mut Request| "rest");
    let call = |method: Method, target: &str| {
        let response = router.call(&mut Request::new(method, target));
        let status = response.status().as_u16();
        (status, String::from_utf8(response.into_bytes().unwrap()).unwrap())
    };
    let nothing = |status| (status, String::new());
    assert_eq!(call(Method::GET, "/"), (200, "root".into()));
    assert_eq!(call(Method::HEAD, "/"), nothing(200));
    assert_eq!(call(Method::HEAD, "/status/404"), nothing(404));
    for status in [204, 205, 304] {
        assert_eq!(call(Method::GET, &format!("/status/{status}")), nothing(status));
    }
    assert_eq!(call(Method::GET, "/status/202"), (202, "content".into()));
    for (target, status) in [
        ("/panics", 500),
        ("/status/100", 500),
        ("/status/103", 500),
        ("/%zz", 400),
        ("/a%2Fb", 400),
        ("/a/../b", 400),
    ] {
        assert_eq!(call(Method::GET, target).0, status, "{target}");
    }
    assert_eq!(call(Method::HEAD, "/panics"), nothing(500));
}

#[test]
fn a_pattern_that_cannot_be_served_is_named() {
    for pattern in [
        "x",
        "/a{b}",
        "/{b",
        "/{}",
        "/{*a}/b",
        "/{a}/{a}",
        "/a/../b",
        "/api/{other}",
        "/api/{name%2F}",
        "/{a%2f}",
        "/{%2F}",
    ] {
        let fault = router().get(pattern, |_: &mut Request| "").check().unwrap_err().to_string();
        assert!(fault.contains(&format!("GET {pattern}")), "{fault}");
    }
    assert!(router().get("/", |_: &mut Request| "").check().is_err());
    assert!(router().check().is_ok());
}

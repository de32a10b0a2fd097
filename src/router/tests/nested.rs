//! Routers within routers: which handler, which fallback and which layers a path has. Many of these cases broke in other routers:
//! axum (fallbacks lost by a merge, two fallbacks), actix-web (the fallback of the next scope out), chi and echo (order, and groups with
//! the same prefix), hono (the fallback of an inner router).

use super::super::*;
use crate::http::layer::Next;

/// A handler that gives a text and the route.
fn says(text: &'static str) -> impl Fn(&mut Request<'_>) -> String + Send + Sync {
    move |request| format!("{text} {}", request.route().unwrap_or("-"))
}

/// A layer that adds its name to the way.
fn way(name: &'static str) -> impl Fn(&mut Request<'_>, Next<'_>) -> Response + Send + Sync {
    move |request, next| next.run(request).append_header("x-way", name)
}

/// The status, the body unless it is a problem, and the layers from the innermost.
fn seen_by(router: &Router, method: &str, target: &str) -> String {
    router.check().unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let response = router.call(&mut Request::new(method, target));
    let way: Vec<_> = response.headers().get_all("x-way").iter().map(|name| name.to_str().unwrap()).collect();
    let way = way.join("<");
    let status = response.status().as_u16();
    let is_problem = response.header("content-type").is_some_and(|value| value == "application/problem+json");
    let body = String::from_utf8(response.into_bytes().unwrap()).unwrap();
    let body = if is_problem { String::new() } else { body };
    format!("{status} {body} {way}").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn seen(router: &Router, target: &str) -> String {
    seen_by(router, "GET", target)
}

fn fault(router: Router) -> String {
    router.check().unwrap_err().to_string()
}

#[test]
fn a_nested_router_answers_below_its_prefix() {
    let sensors =
        || Router::new().get("/", says("all")).get("/{id}", says("one")).get("/{id}/log/", says("log"));
    let router = Router::new().get("/", says("root")).nest("/api/sensors", sensors());
    for (target, expected) in [
        ("/", "200 root /"),
        ("/api/sensors", "200 all /api/sensors"),
        ("/api/sensors/", "404"),
        ("/api/sensors/7", "200 one /api/sensors/{id}"),
        ("/api/sensors/7/log/", "200 log /api/sensors/{id}/log/"),
        ("/api/sensors/7/log", "404"),
        ("/api/sensor%73/7", "200 one /api/sensors/{id}"),
        ("/api/sensorsx/7", "404"),
        ("/api", "404"),
        ("/7", "404"),
    ] {
        assert_eq!(seen(&router, target), expected, "{target}");
    }
    // The prefix's last slash is that of the pattern /.
    let router = Router::new().nest("/api/sensors/", sensors());
    assert_eq!(seen(&router, "/api/sensors/"), "200 all /api/sensors/");
    assert_eq!(seen(&router, "/api/sensors"), "404");
    assert_eq!(seen(&router, "/api/sensors/7"), "200 one /api/sensors/{id}");
}

#[test]
fn parameters_of_prefixes_and_of_routes_are_there_together() {
    let answer = |request: &mut Request| {
        let value = |name| request.param(name).unwrap_or("-").to_string();
        format!("{} {} {}", value("site"), value("device"), value("rest"))
    };
    let device = Router::new().get("/files/{*rest}", answer).get("/", answer);
    let site = Router::new().nest("/devices/{device%2F}", device);
    let router = Router::new().nest("/sites/{site}", site).with(move |request: &mut Request, next: Next| {
        let seen = answer(request).replace(' ', ",");
        next.run(request).with_header("x-way", seen)
    });
    assert_eq!(seen(&router, "/sites/a/devices/b"), "200 a b - a,b,-");
    assert_eq!(seen(&router, "/sites/a/devices/b/files/c/d"), "200 a b c/d a,b,c/d");
    assert_eq!(seen(&router, "/sites/a/devices/b%2Fc"), "200 a b/c - a,b/c,-");
    assert_eq!(seen(&router, "/sites/a/devices"), "404 -,-,-");
    // 400: the encoded slash stands where none is accepted.
    assert_eq!(seen(&router, "/sites/a%2Fb/devices/c"), "400 -,-,-");
}

#[test]
fn the_deepest_fallback_holds() {
    let deep = || Router::new().get("/known", says("deep"));
    let app =
        Router::new().nest("/deep", deep()).nest("/own", deep().fallback(says("own"))).fallback(says("app"));
    // In any order.
    let router = Router::new().fallback(says("root")).nest("/app", app).nest("/other", deep());
    for (target, expected) in [
        ("/none", "200 root -"),
        ("/", "200 root -"),
        ("/app", "200 app -"),
        ("/app/", "200 app -"),
        ("/app/none", "200 app -"),
        ("/apple", "200 root -"),
        ("/app/deep", "200 app -"),
        ("/app/deep/none/at/all", "200 app -"),
        ("/app/deep/known", "200 deep /app/deep/known"),
        ("/app/own/none", "200 own -"),
        ("/app/own", "200 own -"),
        ("/other/none", "200 root -"),
    ] {
        assert_eq!(seen(&router, target), expected, "{target}");
    }
    // A path that is there gets its 405, and no fallback.
    assert_eq!(seen_by(&router, "POST", "/app/deep/known"), "405");
    assert_eq!(seen_by(&router, "OPTIONS", "/app/deep/known"), "204");
    // A fallback gets every method, and no OPTIONS about the server.
    for method in ["POST", "OPTIONS", "BREW", "CONNECT"] {
        assert_eq!(seen_by(&router, method, "/none"), "200 root -", "{method}");
    }
    assert_eq!(seen_by(&router, "HEAD", "/none"), "200");
    assert_eq!(seen_by(&router, "OPTIONS", "*"), "204");
    assert_eq!(seen(&router, "/%zz"), "400");
}

#[test]
fn a_merge_keeps_fallbacks_and_answers_with_those_of_what_is_merged() {
    let nested = Router::new().get("/some", says("nested")).fallback(says("inner"));
    let router = Router::new().nest("/nested", nested).merge(Router::new().get("/other", says("other")));
    assert_eq!(seen(&router, "/nested/none"), "200 inner -");
    assert_eq!(seen(&router, "/other"), "200 other /other");
    assert_eq!(seen(&router, "/none"), "404");

    let pages = Router::new().get("/", says("page")).fallback(says("pages")).with(way("pages"));
    let router = Router::new().with(way("all")).nest("/api", Router::new().with(way("api"))).merge(pages);
    assert_eq!(seen(&router, "/"), "200 page / pages<all");
    // The fallback is within the layers of its own router wherever it answers.
    assert_eq!(seen(&router, "/none"), "200 pages - pages<all");
    assert_eq!(seen(&router, "/api/none"), "200 pages - pages<all");
    let router = Router::new().nest("/site", router);
    assert_eq!(seen(&router, "/site/none"), "200 pages - pages<all");
    assert_eq!(seen(&router, "/none"), "404");
}

/// The log names a fallback as the metrics do, also one that was merged into a router before that was nested.
#[cfg(feature = "operations")]
#[test]
fn what_a_fallback_answers_is_a_route_for_the_log() {
    let some = |name: &'static str| Router::new().get("/some", says(name)).with(way(name));
    let with = |name: &'static str| some(name).fallback(says(name));
    let merged = Router::new().get("/own", says("own")).merge(with("merged"));
    let router =
        Router::new().nest("/{a}/b", merged).nest("/slash/", with("slash")).nest("/none", some("none"));
    router.check().unwrap();
    let patterns = router.routes.patterns();
    let routes = [
        ("/x/b/some", Some("/{a}/b/some")),
        ("/x/b/y", Some("/{a}/b/*")),
        ("/slash/", Some("/slash/*")),
        ("/none/some", Some("/none/some")),
        // Its layers are called.
        ("/none/x", None),
    ];
    for (path, expected) in routes {
        let Found::Call(Matched { call, .. }) = router.routes.find(&Method::GET, path.as_bytes()) else {
            panic!("{path}");
        };
        assert_eq!(call.logged_route().map(|route| &*route.pattern), expected, "{path}");
        let counted = patterns.iter().find(|(index, _)| *index == call.index());
        assert_eq!(counted.map(|(_, pattern)| &**pattern), expected, "{path}");
    }
    let Found::Call(Matched { call, .. }) = router.routes.find(&Method::POST, b"/none/some") else {
        panic!()
    };
    assert_eq!(call.logged_route().map(|route| &*route.pattern), Some("/none/some"), "a 405 is on its route");
}

#[test]
fn two_fallbacks_for_the_same_paths_are_a_fault() {
    let with = || Router::new().fallback(says("one"));
    let twice = "fallback: ";
    for (router, expected) in [
        (with().fallback(says("two")), twice),
        (with().merge(with()), twice),
        (Router::new().merge(with()).merge(with()), twice),
        (Router::new().merge(with()).fallback(says("two")), twice),
        (Router::new().nest("/a", with()).nest("/a", with()), "fallback /a"),
        (
            Router::new().nest("/{a}/b", with()).nest("/{c}", Router::new().nest("/b/", with())),
            "fallback /{c}/b",
        ),
    ] {
        let fault = fault(router);
        assert!(fault.contains(expected), "{fault}");
    }
    let router =
        with().nest("/a", with()).nest("/a/b", with()).nest("/{c}", with()).nest("/a", Router::new());
    router.check().unwrap();
}

#[test]
fn routers_with_the_same_prefix_keep_their_layers_apart() {
    let open = Router::new().get("/open", says("open")).get("/both", says("open")).with(way("open"));
    let closed =
        Router::new().get("/closed", says("closed")).post("/both", says("closed")).with(way("closed"));
    let router = Router::new().nest("/api", open).nest("/api", closed).with(way("all"));
    for (method, target, expected) in [
        ("GET", "/api/open", "200 open /api/open open<all"),
        ("GET", "/api/closed", "200 closed /api/closed closed<all"),
        ("GET", "/api/both", "200 open /api/both open<all"),
        ("POST", "/api/both", "200 closed /api/both closed<all"),
        // A 405 and OPTIONS are those of the router that has the path's handlers.
        ("POST", "/api/open", "405 open<all"),
        ("OPTIONS", "/api/closed", "204 closed<all"),
        ("PUT", "/api/both", "405 all"),
        // Neither has this path.
        ("GET", "/api/none", "404 all"),
        ("GET", "/none", "404 all"),
        ("BREW", "/api/open", "501 open<all"),
        ("BREW", "/api/none", "501 all"),
        ("OPTIONS", "*", "204 all"),
        ("GET", "/%2F", "400 all"),
    ] {
        assert_eq!(seen_by(&router, method, target), expected, "{method} {target}");
    }
}

#[test]
fn of_prefixes_the_longest_and_then_the_most_particular_has_the_404() {
    let named = |name| Router::new().with(way(name));
    let router = Router::new()
        .nest("/{any}", named("any"))
        .nest("/a", named("a"))
        .nest("/{any}/b", named("any-b"))
        .nest("/a/{any}", named("a-any"))
        .nest("/{any}/{two}/c", named("c"));
    for (target, expected) in [
        ("/", "404"),
        ("/x", "404 any"),
        ("/a", "404 a"),
        ("/x/b", "404 any-b"),
        ("/a/b", "404 a-any"),
        ("/a//", "404 a"),
        ("/x/y", "404 any"),
        ("/a/b/c/d", "404 c"),
        ("//b", "404"),
    ] {
        assert_eq!(seen(&router, target), expected, "{target}");
    }
}

#[test]
fn conflicts_and_bad_prefixes_are_faults() {
    let nested = || Router::new().get("/{id}", says("one"));
    for (router, expected) in [
        (Router::new().nest("api", nested()), "nest api: a prefix begins with /"),
        (Router::new().nest("", nested()), "nest : a prefix begins with /"),
        (Router::new().nest("/", nested()), "nest /: a prefix has a segment"),
        (Router::new().nest("/{*rest}", nested()), "nest /{*rest}: {*name} takes all"),
        (Router::new().nest("/a/{*rest}/b", nested()), "nest /a/{*rest}/b: {*name} takes all"),
        (Router::new().nest("/a{b}", nested()), "nest /a{b}: a parameter is a whole segment"),
        (Router::new().nest("/../a", nested()), "nest /../a: a pattern has no dot segments"),
        (Router::new().nest("/{id}", nested()), "GET /{id}/{id}: two parameters have the same name"),
        (
            Router::new().get("/a/{id}", says("x")).nest("/a", nested()),
            "GET /a/{id}: the route was declared before",
        ),
        (nested().nest("/", nested()), "merge"),
        (nested().merge(nested()), "GET /{id}: the route was declared before"),
        (Router::new().post("/a/{name}", says("x")).nest("/a", nested()), "GET /a/{id}: the same pattern"),
        (Router::new().nest("/a", nested().get("b", says("x"))), "GET b: a pattern begins with /"),
        (
            nested().any("/{id}", says("x")).any("/{id}", says("x")),
            "any method of /{id}: the route was declared",
        ),
        (
            Router::new().nest("/{a}/{b}/{c}/{d}", Router::new().nest("/{e}/{f}/{g}/{h}", nested())),
            "at most 8",
        ),
    ] {
        let fault = fault(router);
        assert!(fault.contains(expected), "{fault}");
    }
    // A method more on a path that is there is none.
    let router = Router::new().post("/a/{id}", says("post")).nest("/a", nested());
    assert_eq!(seen_by(&router, "POST", "/a/7"), "200 post /a/{id}");
    assert_eq!(seen(&router, "/a/7"), "200 one /a/{id}");
    router.check().unwrap();
}

#[test]
fn any_answers_what_no_other_handler_of_the_pattern_does() {
    let router = Router::new().any("/a", says("any")).get("/a", says("get")).any("/b/{*rest}", says("rest"));
    for (method, target, expected) in [
        ("GET", "/a", "200 get /a"),
        ("HEAD", "/a", "200"),
        ("POST", "/a", "200 any /a"),
        ("OPTIONS", "/a", "200 any /a"),
        ("BREW", "/a", "200 any /a"),
        ("GET", "/b/", "200 rest /b/{*rest}"),
        ("HEAD", "/b/", "200"),
        ("BREW", "/b/x", "200 rest /b/{*rest}"),
        // Such a handler does not make a method known elsewhere.
        ("BREW", "/c", "501"),
    ] {
        assert_eq!(seen_by(&router, method, target), expected, "{method} {target}");
    }
    let router = Router::new().nest("/api", router).fallback(says("none"));
    assert_eq!(seen_by(&router, "PATCH", "/api/a"), "200 any /api/a");
    assert_eq!(seen_by(&router, "PATCH", "/api"), "200 none -");
}

#[test]
fn a_folder_at_the_root_of_a_nested_router_is_found_without_its_slash() {
    let files = || Router::new().folder("/", |r: &mut Request| format!("file {}", r.param("path").unwrap()));
    let router = Router::new().nest("/ui", files().with(way("ui")));
    assert_eq!(seen(&router, "/ui/"), "200 file ui");
    assert_eq!(seen(&router, "/ui/a/"), "200 file a/ ui");
    let redirect = router.call(&mut Request::get("/ui?x=1"));
    assert_eq!(
        (redirect.status().as_u16(), redirect.header("location").unwrap()),
        (307, &"./ui/?x=1".parse().unwrap())
    );
    assert_eq!(redirect.header("x-way").unwrap(), "ui");
    // The program's own page at the prefix stays.
    let router = Router::new().nest("/ui", files().get("/", says("page")));
    assert_eq!(seen(&router, "/ui"), "200 page /ui");
    assert_eq!(seen(&router, "/ui/"), "200 file");
    let router = Router::new().nest("/ui/", files());
    assert_eq!(seen(&router, "/ui"), "404");
}

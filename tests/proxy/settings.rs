//! Settings of a proxy that cannot be: the check and the router tell of them, and no request reaches a backend by them.

use std::time::Duration;

use lockgate::{Proxy, Request, Router};

use super::backend::{ok, Backend};
use super::in_front_with;

fn fault(set: impl FnOnce(Proxy) -> Proxy) -> String {
    let error = set(Proxy::to("http://127.0.0.1:1").unwrap()).check().unwrap_err();
    error.to_string()
}

#[test]
fn a_host_is_nothing_that_could_end_its_field() {
    for host in [
        "x y\r\nEvil: 1",
        "a\r\nb: c",
        "a\nb",
        "a\0",
        "",
        " ",
        "a b",
        "a/b",
        "a@b",
        "\u{e4}",
        "a,b",
        "a:b:c",
        "a:0",
        "a:",
        "[::1",
        "[a]",
        "a..b",
    ] {
        let told = fault(|proxy| proxy.host(host));
        assert!(told.contains("host:") && !told.contains(['\r', '\n', '\0']), "{host:?}: {told:?}");
    }
    for host in
        ["localhost", "api.example:8443", "127.0.0.1:3000", "[::1]", "[2001:db8::1]:80", "my_app", "a-b"]
    {
        let backend = Backend::new(|_, _| ok("fine"));
        let serving = in_front_with(&backend, |proxy| proxy.host(host));
        assert_eq!(serving.get("/").text(), "fine");
        assert_eq!(backend.seen()[0].fields("host"), [host]);
    }
}

#[test]
fn a_proxy_with_a_wrong_setting_sends_nothing_to_its_backend() {
    let backend = Backend::new(|_, _| ok("leaked"));
    let serving = in_front_with(&backend, |proxy| proxy.host("x y\r\nEvil: 1"));
    assert_eq!(serving.get("/").status, 502);
    // Without a server it is the same.
    let proxy = Proxy::to(&backend.url()).unwrap().answer_timeout(Duration::ZERO);
    assert_eq!(Router::from(proxy).call(&mut Request::get("/")).status(), 502);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_backends_name_holds_nothing_that_could_end_a_field() {
    for name in
        ["http://a\r\nEvil: 1", "http://a b", "http://127.0.0.1:80\r\nx: y", "http://a\0b", "https://a\nb"]
    {
        Proxy::to(name).unwrap_err();
        Proxy::to("http://127.0.0.1:1").unwrap().and_to(name).unwrap_err();
    }
}

#[test]
fn times_are_from_a_millisecond_to_a_year_and_counts_at_least_one() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    type Set = fn(Proxy, Duration) -> Proxy;
    let times: [(&str, Set); 5] = [
        ("connect_timeout", Proxy::connect_timeout),
        ("answer_timeout", Proxy::answer_timeout),
        ("silence_timeout", Proxy::silence_timeout),
        ("queue_timeout", Proxy::queue_timeout),
        ("tunnel_timeout", Proxy::tunnel_timeout),
    ];
    for (name, set) in times {
        for wrong in
            [Duration::ZERO, Duration::from_micros(999), year + Duration::from_millis(1), Duration::MAX]
        {
            let told = fault(|proxy| set(proxy, wrong));
            assert!(told.contains(&format!("{name}: ")) && told.contains("1 ms to 365 days"), "{told}");
        }
        for right in [Duration::from_millis(1), year] {
            set(Proxy::to("http://127.0.0.1:1").unwrap(), right).check().unwrap();
        }
    }
    let told = fault(|proxy| proxy.at_a_time(0));
    assert!(told.contains("at_a_time: 0") && told.contains("at least 1"), "{told}");
    Proxy::to("http://127.0.0.1:1").unwrap().at_a_time(1).queue(0).check().unwrap();
    // The first one is told, and a right one does not take it back.
    assert!(fault(|proxy| proxy.host("a b").at_a_time(0).host("a")).contains("host:"));
    // A further backend changes nothing about it.
    let proxy = Proxy::to("http://127.0.0.1:1").unwrap().at_a_time(0).and_to("http://127.0.0.1:2").unwrap();
    proxy.check().unwrap_err();
}

#[test]
fn a_router_tells_of_a_proxy_that_lacks_something() {
    let secure = || Proxy::to("https://127.0.0.1:1").unwrap();
    let zero = || Proxy::to("http://127.0.0.1:1").unwrap().at_a_time(0);
    for (router, words) in [
        (Router::new().nest("/api", secure()), "Proxy::ca_file"),
        (Router::new().merge(secure().into()), "Proxy::ca_file"),
        (Router::new().nest("/a", Router::new().nest("/b", secure())), "Proxy::ca_file"),
        (Router::new().nest("/api", zero()), "at_a_time"),
        (zero().into(), "at_a_time"),
    ] {
        let told = router.check().unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    Router::new().nest("/api", Proxy::to("http://127.0.0.1:1").unwrap()).check().unwrap();
}

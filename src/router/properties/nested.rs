//! Routers in a router answer as one router does that has all their routes. In an input a line `@ /prefix` begins a router that is
//! nested there, and `@ ` one that is merged; what is declared after it is its own, up to the next.

use super::super::*;
use super::lines::{read, LINES};
use crate::http::layer::Next;

/// A handler that says which route it is of.
fn says(text: String) -> impl Fn(&mut Request<'_>) -> String + Send + Sync {
    move |request| format!("{text} {}", request.route().unwrap_or_default())
}

/// A layer that says of which router it is.
fn named(name: usize) -> impl Fn(&mut Request<'_>, Next<'_>) -> Response + Send + Sync {
    move |request, next| next.run(request).append_header("x-router", name.to_string())
}

/// What is seen of an answer: the status, the body, and which methods there are.
fn seen(router: &Router, method: &Method, path: &str) -> (StatusCode, Vec<u8>, Option<String>, Vec<String>) {
    let response = router.call(&mut Request::new(method.clone(), path));
    let field = |value: &::http::HeaderValue| value.to_str().unwrap_or_default().to_string();
    let allow = response.header("allow").map(field);
    let layers = response.headers().get_all("x-router").iter().map(field).collect();
    (response.status(), response.into_bytes().unwrap_or_default(), allow, layers)
}

pub(super) fn hold(text: &str) {
    let mut flat = Router::new();
    let mut groups = vec![(None, Router::new())];
    for line in text.split('\n').take(LINES) {
        if let Some(prefix) = line.strip_prefix("@ ") {
            if prefix.is_empty() || tree::check_prefix(prefix).is_ok() {
                let number = groups.len();
                groups.push((Some(prefix), Router::new().with(named(number))));
            }
        } else if let (Some((true, method, pattern)), number) = (read(line), groups.len() - 1) {
            let Some((prefix, router)) = groups.last_mut() else { continue };
            let whole = match prefix.filter(|prefix| !prefix.is_empty()) {
                // Where the pattern is wrong, so is the whole.
                Some(prefix) if pattern.starts_with('/') => routes::below(prefix, pattern),
                _ => pattern.into(),
            };
            let text = format!("{number} {method} {whole}");
            *router = std::mem::take(router).route(method.clone(), pattern, says(text.clone()));
            flat = flat.route(method, &whole, says(text));
        }
    }
    let mut nested = Router::new().with(named(0));
    for (prefix, router) in groups {
        nested = match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => nested.nest(prefix, router),
            None => nested.merge(router),
        };
    }
    // A router that is wrong by itself is wrong in the other too; one that is not may be wrong by its prefix.
    assert!(flat.check().is_err() || nested.check().is_ok(), "{:?}", nested.check());
    if nested.check().is_err() || flat.check().is_err() {
        return;
    }
    for (_, method, path) in text.split('\n').take(LINES).filter_map(read).filter(|(declares, ..)| !declares)
    {
        let (status, body, allow, layers) = seen(&nested, &method, path);
        let (flat_status, flat_body, flat_allow, _) = seen(&flat, &method, path);
        assert_eq!((status, allow), (flat_status, flat_allow), "{method} {path}");
        assert!(body == flat_body, "{method} {path}: {}", String::from_utf8_lossy(&body));
        assert_eq!(layers.last().map(String::as_str), Some("0"), "{method} {path}: the outermost");
        // A handler is within the layers of its own router, and of no other.
        let text = String::from_utf8_lossy(&body);
        if let (true, Some((number, _))) = (status == StatusCode::OK, text.split_once(' ')) {
            let both = [number, "0"];
            let own = if number == "0" { &both[1..] } else { &both[..] };
            assert_eq!(layers, own, "{method} {path}");
        }
    }
}

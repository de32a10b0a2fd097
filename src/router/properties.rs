//! Properties that hold for any routes and any requests. An input consists of lines: `+METHOD pattern` declares a route, and
//! `METHOD path` is a request. `nested` reads it as several routers.

mod lines;
mod nested;

use super::routes::is_known;
use super::*;
use lines::{read, LINES};

struct Route<'i> {
    method: Method,
    segments: Vec<Segment<'i>>,
}

/// Segments in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'i> {
    Plain(&'i str),
    Param,
    Rest,
}

pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    nested::hold(text);
    let mut router = Router::new();
    let mut routes = Vec::new();
    for (declares, method, path) in text.split('\n').take(LINES).filter_map(read) {
        if declares {
            router = router.route(method.clone(), path, |_: &mut Request| ());
            routes.push(Route { method, segments: segments(path) });
        } else {
            let found = router.routes.find(&method, path.as_bytes());
            if router.check().is_ok() && path.starts_with('/') && is_decoded(path) {
                compare(found, &routes, &method, path);
            }
        }
    }
    assert!(router.routes.handlers() <= routes.len());
}

/// Whether the router matches the path as it is.
fn is_decoded(path: &str) -> bool {
    !path.contains(['%', '\0']) && !path.split('/').any(|segment| segment == "." || segment == "..")
}

fn segments(pattern: &str) -> Vec<Segment<'_>> {
    let segments = pattern.split('/').skip(1);
    let segments = segments.map(|segment| match segment.strip_prefix('{') {
        Some(name) if name.starts_with('*') => Segment::Rest,
        Some(_) => Segment::Param,
        None => Segment::Plain(segment),
    });
    segments.collect()
}

/// The parameters' values, if this pattern matches. Other patterns are not considered.
fn matches<'p>(pattern: &[Segment<'_>], path: &'p str) -> Option<Vec<&'p str>> {
    let mut values = Vec::new();
    let mut rest = Some(&path[1..]);
    for segment in pattern {
        let left = rest?;
        let (first, after) = match left.split_once('/') {
            Some((first, after)) => (first, Some(after)),
            None => (left, None),
        };
        rest = match segment {
            Segment::Plain(text) if *text == first => after,
            Segment::Plain(_) => return None,
            Segment::Param if first.is_empty() => return None,
            Segment::Param => {
                values.push(first);
                after
            }
            Segment::Rest if !left.is_empty() && left.split('/').any(str::is_empty) => return None,
            Segment::Rest => {
                values.push(left);
                None
            }
        };
    }
    rest.is_none().then_some(values)
}

fn compare(found: Found<'_, '_>, routes: &[Route<'_>], method: &Method, path: &str) {
    let of_method = |wanted: &Method| routes.iter().any(|route| route.method == *wanted);
    let known = is_known(method) || of_method(method);
    let best = routes
        .iter()
        .filter_map(|route| Some((&route.segments, matches(&route.segments, path)?)))
        .min_by(|(one, _), (other, _)| one.cmp(other));
    let Some((pattern, values)) = best.filter(|_| known) else {
        let status = if known { StatusCode::NOT_FOUND } else { StatusCode::NOT_IMPLEMENTED };
        match found {
            Found::Answer(response) => assert_eq!(response.status(), status),
            Found::Call(..) => panic!("{method} {path} is found, and no route matches"),
            Found::Refused(refusal) => panic!("{method} {path}: {}", refusal.detail),
        }
        return;
    };
    let at = |wanted: &Method| {
        routes.iter().position(|route| route.segments == *pattern && route.method == *wanted)
    };
    let expected = at(method).or_else(|| if *method == Method::HEAD { at(&Method::GET) } else { None });
    match (found, expected) {
        (Found::Call(Matched { call, values: spans, .. }), Some(index)) => {
            assert_eq!(call.index(), index);
            let names = call.route().map(|route| &*route.names).unwrap_or_default();
            let found: Vec<_> = names.iter().zip(spans).map(|(_, span)| span.of(path.as_bytes())).collect();
            assert_eq!(found, values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
        }
        (Found::Answer(response), None) => {
            let options = *method == Method::OPTIONS;
            let status = if options { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!(response.status(), status);
            let allow = response.header("allow").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let allowed: Vec<_> = allow.split(", ").collect();
            for route in routes.iter().filter(|route| route.segments == *pattern) {
                assert!(allowed.contains(&route.method.as_str()), "{allow}");
            }
            assert!(
                allowed.contains(&"OPTIONS") && !allowed.contains(&method.as_str()) || options,
                "{allow}"
            );
        }
        (Found::Call(Matched { call, .. }), None) => {
            panic!("{method} {path}: handler {}, none expected", call.index())
        }
        (Found::Answer(_), Some(index)) => panic!("{method} {path}: no handler, {index} expected"),
        (Found::Refused(refusal), _) => panic!("{method} {path}: {}", refusal.detail),
    }
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_routes() {
    let pieces = &[
        "+GET /",
        "+GET /a",
        "+POST /a",
        "+PURGE /b",
        "+GET /{x}",
        "+GET /{*all}",
        "+GET /a/{x}/b",
        "\n@ /a\n",
        "\n@ /{p}/a/\n",
        "\n@ \n",
        "\nGET /",
        "\nGET /a/a",
        "\nHEAD /a",
        "\nOPTIONS /a",
        "\nPURGE /b/",
        "\nPUT /c",
        "/",
        "a",
        "b",
        "/{y}",
        "/{*rest}",
        "\n",
        "\n",
    ];
    for input in crate::fuzzing::inputs(50_000, pieces) {
        hold(&input);
    }
}

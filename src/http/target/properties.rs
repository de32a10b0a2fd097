//! Properties that hold for any bytes that come in place of a target.

use super::*;
use crate::http::request::Request;

pub(crate) fn hold(input: &[u8]) {
    for method in [Method::GET, Method::OPTIONS, Method::CONNECT] {
        let whole = span(0, input.len());
        if let Ok(target) = Target::parse(input, whole, &method) {
            parsed(input, target, &method);
        }
    }
    if let Ok(authority) = Authority::parse(input, span(0, input.len())) {
        let host = authority.host.of(input);
        assert!(!host.is_empty() && host.iter().all(|byte| is_name_byte(*byte) || *byte == b':'));
    }
    if let (Ok(path), true) = (decode_path(input, EncodedSlash::Refused), input.starts_with(b"/")) {
        decoded(input, &path);
    }
    query(input);
    if let Ok(text) = std::str::from_utf8(input) {
        made_by_hand(text);
    }
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

fn parsed(input: &[u8], target: Target, method: &Method) {
    let path = target.path.of(input);
    assert_ne!(*method, Method::CONNECT);
    if path == b"*" {
        assert!(*method == Method::OPTIONS && input == b"*");
        return;
    }
    assert!(path.starts_with(b"/") && !path.starts_with(b"//") && !path.contains(&b'?'));
    let query = target.query.map(|query| [b"?", query.of(input)].concat()).unwrap_or_default();
    let path_and_query = [path, &query].concat();
    assert!(input.ends_with(&path_and_query));
    assert_eq!(target.authority.is_none(), path_and_query.len() == input.len());
    if let Ok(path) = decode_path(path, EncodedSlash::Refused) {
        assert!(!path.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == b'\\'));
    }
}

fn decoded(raw: &[u8], path: &str) {
    let slashes = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/').count();
    assert!(path.len() <= raw.len());
    if let Cow::Owned(path) = decode_path(raw, EncodedSlash::Refused).unwrap_or_default() {
        assert!(path.capacity() <= raw.len());
    }
    assert_eq!(slashes(path.as_bytes()), slashes(raw));
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
    let encoded: String = path
        .bytes()
        .map(|byte| match byte {
            // These would be refused if they were encoded, so they stay as they came.
            b'/' | b'\\' | 0..=0x1f | 0x7f => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect();
    assert_eq!(decode_path(encoded.as_bytes(), EncodedSlash::Refused).as_deref(), Ok(path));
}

fn query(raw: &[u8]) {
    let pairs: Vec<_> = query_pairs(raw).collect();
    assert!(pairs.len() <= raw.len());
    // A byte that is not UTF-8 becomes the three bytes of U+FFFD.
    assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= 3 * raw.len());
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let again: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let again = again.join("&");
    assert_eq!(query_pairs(again.as_bytes()).collect::<Vec<_>>(), pairs);
}

/// A request made for a test has the same path as a request from the wire, or none.
fn made_by_hand(target: &str) {
    let bytes = target.as_bytes();
    let from_wire = Target::parse(bytes, span(0, bytes.len()), &Method::GET)
        .and_then(|parsed| decode_path(parsed.path.of(bytes), EncodedSlash::Refused));
    assert_eq!(Request::get(target).path(), from_wire.unwrap_or_default(), "{target:?}");
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_targets() {
    let pieces = &[
        "/",
        "//",
        "a",
        "%2F",
        "%2e",
        "%25",
        "%C3%A4",
        "%ff",
        "%",
        "..",
        ".",
        "?",
        "&",
        "=",
        "+",
        "#",
        "*",
        "http://",
        "HTTPS://",
        "h:1",
        "[::1]",
        "[fe80::1%25a]",
        ":",
        "user@",
        "\\",
    ];
    for input in crate::fuzzing::inputs(30_000, pieces) {
        hold(&input);
    }
}

//! Descriptions of an API that offer it without TLS.
//!
//! Knows bytes. Called by `search` for the word `schemes`.

use crate::scan::place::Place;

/// OpenAPI 2: `schemes` with `http` among them.
pub(in crate::scan) fn offers_plain_schemes(place: &Place<'_>) -> bool {
    let source = place.source;
    if !source.mentions(&["swagger: \"2", "swagger: '2", "swagger: 2", "\"swagger\": \"2", "\"swagger\":\"2"])
        || source.mentions(&["host: localhost", "\"host\": \"localhost", "host: 127.", "\"host\": \"127."])
        || source.is_of_tests(place.at)
    {
        return false;
    }
    let after = source.after(place.end, 120);
    let after = after.strip_prefix(b"\"").unwrap_or(after);
    let Some(list) = after.strip_prefix(b":") else { return false };
    let words = list
        .split(|byte| byte.is_ascii_whitespace() || b"[],\"'-".contains(byte))
        .filter(|word| !word.is_empty());
    words
        .take_while(|word| [&b"http"[..], b"https", b"ws", b"wss"].contains(word))
        .any(|word| word == b"http")
}

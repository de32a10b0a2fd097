//! Text around a string that does not change its use: calls that convert it to an address, and words that only show it to a
//! person.
//!
//! Knows bytes. Called by `urls`.

use crate::backports::Trim;
use crate::scan::place::is_of_name;

/// Calls that convert their argument to an address or a string, by the last part of their name.
const MAKERS: &[&str] = &[
    "create",
    "of",
    "uri",
    "url",
    "parse",
    "qstringliteral",
    "qlatin1string",
    "qstring",
    "qurl",
    "qurl::fromuserinput",
    "str",
    "string",
    "trim",
    "iri",
    "nsurl",
    "_t",
    "text",
    "l",
    "u",
    "from",
    "to_string",
    "tostring",
    "urlstring",
    "stringview",
    "qbytearrayliteral",
    "qlatin1stringview",
    "wxstring",
    "cstring",
];

/// The text before a string, without calls that convert it to an address: `x !=` for `x != URI.create(`.
pub(super) fn outside_of_wrappers(before: &[u8]) -> &[u8] {
    let mut rest = before.trimmed_end();
    for _ in 0..3 {
        // Swift names the argument: `URL(string:`.
        let call = rest.strip_suffix(b"string:").map_or(rest, |call| call.trimmed_end());
        let Some(call) = call.strip_suffix(b"(") else { break };
        let length = call.iter().rev().take_while(|byte| is_of_name(**byte) || b".:".contains(byte)).count();
        let name = &call[call.len() - length..];
        let last = name.rsplit(|byte| b".:".contains(byte)).next().unwrap_or_default();
        let last = String::from_utf8_lossy(last).to_ascii_lowercase();
        if !MAKERS.contains(&last.as_str()) {
            break;
        }
        rest = call[..call.len() - length].trimmed_end();
        rest = rest.strip_suffix(b"new").unwrap_or(rest).trimmed_end();
    }
    rest
}

/// The text after a string, without the ends of such calls.
pub(super) fn ends_of_wrappers(after: &[u8]) -> &[u8] {
    let mut rest = after.trimmed_start();
    let mut closed = 0;
    while closed < 3 {
        let Some(next) = rest.strip_prefix(b")") else { break };
        rest = next.trimmed_start();
        rest = rest.strip_prefix(b".unwrap()").unwrap_or(rest).trimmed_start();
        closed += 1;
    }
    // `f("…") in x` and `"…").length` say nothing about the string itself; only a comparison reaches through.
    let compares = [&b"=="[..], b"!=", b".equals("].iter().any(|mark| rest.starts_with(mark));
    if closed > 0 && !compares {
        return after.trimmed_start();
    }
    rest
}

/// Whether the text before a string in its line only shows it: `puts "more at " + `, `say `.
pub(super) fn is_shown_only(before: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"puts",
        b"echo",
        b"print",
        b"say",
        b"printf",
        b"warn",
        b"raise",
        b"throw",
        b"die",
        b"fail",
        b"abort",
        b"redirect_to",
        b"link_to",
    ];
    let line = before.trimmed_start();
    let line = line.strip_prefix(b"<?php").unwrap_or(line).trimmed_start();
    let length = line.iter().take_while(|byte| is_of_name(**byte)).count();
    let rest = &line[length..];
    WORDS.contains(&&line[..length]) && (rest.is_empty() || rest.starts_with(b" ")) && !rest.contains(&b'(')
}

//! The body of a function or a closure behind a place.
//!
//! Knows bytes. Called by `callbacks` and `node`.

use crate::backports::Trim;
use crate::scan::place::Place;

/// How far the search for a body goes.
pub(super) const BODY: usize = 400;

/// The body of the function that a name is set to, in its braces or after its arrow: `name = (a, b) => BODY`, `name(new X()
/// { … })`, `name { a, b -> BODY }`, `name(a) { BODY }`, `name = delegate { BODY }`.
pub(super) fn body_after<'a>(place: &Place<'a>) -> Option<&'a [u8]> {
    let after = place.source.after(place.word().1, BODY);
    let statement = after.iter().position(|byte| *byte == b';').unwrap_or(after.len());
    let arrow = ["=>", "->"]
        .iter()
        .filter_map(|arrow| memchr::memmem::find(&after[..statement], arrow.as_bytes()))
        .min();
    let brace = after.iter().position(|byte| *byte == b'{');
    match (arrow, brace) {
        // `{ a, b -> BODY }` of Kotlin: the brace is the lambda's own.
        (Some(arrow), Some(brace)) if brace < arrow => {
            if !after[..brace].iter().all(|byte| byte.is_ascii_whitespace() || b"(=:".contains(byte)) {
                return None;
            }
            let inner = braces(&after[brace..])?;
            let arrow = memchr::memmem::find(inner, b"->")?;
            is_only_parameters(&inner[..arrow]).then(|| &inner[arrow + 2..])
        }
        (Some(arrow), _) => {
            if !is_only_parameters(&after[..arrow]) {
                return None;
            }
            let rest = after[arrow + 2..].trimmed_start();
            if rest.starts_with(b"{") {
                return braces(rest);
            }
            let rest = rest.strip_prefix(b"(").unwrap_or(rest);
            let mut depth = 0_usize;
            let end = rest.iter().position(|byte| match byte {
                b'(' => {
                    depth += 1;
                    false
                }
                b')' if depth > 0 => {
                    depth -= 1;
                    false
                }
                b',' | b';' | b'\n' | b')' | b'}' => depth == 0,
                _ => false,
            });
            Some(&rest[..end.unwrap_or(rest.len())])
        }
        (None, Some(brace)) if is_only_parameters(&after[..brace]) => braces(&after[brace..]),
        (None, _) => None,
    }
}

/// Between a name and its function are only parameters, or the type of a new object, and no end of the statement.
fn is_only_parameters(text: &[u8]) -> bool {
    let mut depth = 0_i32;
    let is_closed_early = text.iter().any(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    !is_closed_early && !text.iter().any(|byte| b";{}\"".contains(byte)) && text.len() < 300
}

/// The braces after a parameter list, or after Kotlin's `=`.
pub(super) fn method_body(after: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let close = after.iter().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    let rest = &after[close + 1..];
    let brace = rest.iter().position(|byte| *byte == b'{');
    let equals = rest.iter().position(|byte| *byte == b'=');
    let end = rest.iter().position(|byte| *byte == b';').unwrap_or(rest.len());
    match (brace, equals) {
        (brace, Some(equals)) if brace.map_or(true, |brace| equals < brace) && equals < end => {
            rest[equals + 1..].trimmed_start().split(|byte| *byte == b'\n').next()
        }
        // An abstract method has none.
        (Some(brace), _) if brace < end => braces(&rest[brace..]),
        _ => None,
    }
}

/// The content of the braces at the beginning of a text; `None` if they are not closed in it.
pub(super) fn braces(text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return text.get(1..index),
            b'}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

pub(super) fn without_comments(body: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(b"//") {
            rest = memchr::memchr(b'\n', rest).map_or(&rest[..0], |end| &rest[end..]);
        } else if rest.starts_with(b"/*") {
            rest = memchr::memmem::find(rest, b"*/").map_or(&rest[..0], |end| &rest[end + 2..]);
        } else {
            left.push(*first);
            rest = after;
        }
    }
    left
}

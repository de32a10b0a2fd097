//! Code and settings of Node and Electron: the conditions on the text around a word for the check of certificates to be
//! off.
//!
//! Knows bytes. Called by the table of idioms.

use super::bodies::{body_after, braces, without_comments, BODY};
use crate::backports::Trim;
use crate::scan::place::{contains, is_of_name, Place};

/// JavaScript: `name: () => undefined`, `name() {}`.
pub(in crate::scan) fn says_nothing(place: &Place<'_>) -> bool {
    let Some(body) = body_after(place) else { return false };
    let body = body.trimmed();
    let body = body.strip_prefix(b"return").unwrap_or(body).trimmed();
    let body = body.strip_suffix(b";").unwrap_or(body);
    [&b""[..], b"undefined", b"null", b"true", b"void 0"].contains(&body)
}

/// JavaScript: `(request, callback) => callback(0)`.
pub(in crate::scan) fn calls_back_with_zero(place: &Place<'_>) -> bool {
    let Some(body) = body_after(place) else { return false };
    let body = body.trimmed();
    let body = body.strip_suffix(b";").unwrap_or(body).trimmed_end();
    let name = body.iter().take_while(|byte| is_of_name(**byte)).count();
    name > 0 && &body[name..] == b"(0)"
}

/// The place of the brace that is still open at the end of this text.
fn open_brace(before: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    before.iter().rposition(|byte| {
        match byte {
            b'}' => depth += 1,
            b'{' if depth == 0 => return true,
            b'{' => depth -= 1,
            _ => {}
        }
        false
    })
}

/// Node: not the option of a server, which is about the certificates of clients.
pub(in crate::scan) fn is_of_a_client_of_node(place: &Place<'_>) -> bool {
    let before = place.source.before(place.at, BODY);
    let Some(open) = open_brace(before) else { return true };
    let after = place.source.after(place.end, BODY);
    let rest = after.split(|byte| *byte == b'}').next().unwrap_or_default();
    let is_asking = contains(&before[open..], "requestCert") || contains(rest, "requestCert");
    let call = before[..open].trimmed_end().strip_suffix(b"(").unwrap_or_default();
    let name = call.iter().rev().take_while(|byte| is_of_name(**byte)).count();
    let name = &call[call.len() - name..];
    !is_asking && !contains(name, "reateServer") && !name.ends_with(b"Server")
}

/// webpack, Vite: in the object of a proxy whose target is not plain HTTP. For a cookie and for a mail server, `secure:
/// false` means something else.
pub(in crate::scan) fn is_of_a_proxy_over_tls(place: &Place<'_>) -> bool {
    let before = place.source.before(place.at, BODY);
    let Some(open) = open_brace(before) else { return false };
    let after = place.source.after(place.end, BODY);
    let close = after.iter().position(|byte| *byte == b'}').unwrap_or(after.len());
    let target = |text: &[u8]| -> Option<bool> {
        let at = memchr::memmem::find(text, b"target")?;
        let value = text.get(at + "target".len()..)?;
        let start = value.iter().position(|byte| !b"\"' :`".contains(byte))?;
        Some(
            value[..start].contains(&b':')
                && !value[start..].starts_with(b"http://")
                && !value[start..].starts_with(b"ws://"),
        )
    };
    target(&before[open..]).or_else(|| target(&after[..close])).unwrap_or(false)
}

/// Electron: a listener that calls back with true and checks nothing.
pub(in crate::scan) fn trusts_at_once(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY);
    let Some(arrow) = memchr::memmem::find(after, b"=>").or_else(|| memchr::memmem::find(after, b"function"))
    else {
        return false;
    };
    let Some(brace) = after[arrow..].iter().position(|byte| *byte == b'{') else { return false };
    let Some(body) = braces(&after[arrow + brace..]) else { return false };
    let body = without_comments(body);
    let is_chosen = ["if ", "if(", "?", "&&", "||"].iter().any(|word| contains(&body, word));
    contains(&body, "(true)") && !is_chosen
}

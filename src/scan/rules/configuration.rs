//! Settings of programs whose configuration has its own grammar: the conditions on the text around a word for the check of
//! certificates to be off.
//!
//! Knows bytes. Called by the table of idioms.

use crate::backports::Trim;
use crate::scan::place::{contains, is_of_name, Place};

/// The value after `name:`, `name =`, `name =>` or `name `, without its quotes.
fn value_after<'a>(place: &Place<'a>) -> &'a [u8] {
    let (_, end) = place.word();
    let rest = place.source.line_after(end);
    let start = rest.iter().position(|byte| !b"\"' \t:=>".contains(byte)).unwrap_or(rest.len());
    let rest = &rest[start..];
    &rest[..rest.iter().take_while(|byte| is_of_name(**byte)).count()]
}

/// Elastic: `verification_mode: none`.
pub(super) fn is_none(place: &Place<'_>) -> bool {
    value_after(place) == b"none"
}

/// The same for TLS only, because other things have verification modes too.
pub(super) fn is_none_of_tls(place: &Place<'_>) -> bool {
    is_none(place) && is_about_tls(place)
}

/// Elastic: `certificate` does not check the name.
pub(super) fn is_certificate_of_tls(place: &Place<'_>) -> bool {
    value_after(place) == b"certificate" && is_about_tls(place)
}

fn is_about_tls(place: &Place<'_>) -> bool {
    let (start, _) = place.word();
    ["ssl", "tls"].iter().any(|word| contains(place.source.before(place.end.max(start), 120), word))
}

/// HAProxy: in the line of a server, not in the line of a port on which it listens.
pub(super) fn is_of_haproxys_server(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    contains(line, "ssl") && !line.trimmed_start().starts_with(b"bind")
}

/// Kconfig: `NAME=y`.
pub(super) fn is_yes_of_kconfig(place: &Place<'_>) -> bool {
    let (start, end) = place.word();
    place.source.line_before(start).trimmed().is_empty()
        && place.source.line_after(end).trimmed_end() == b"=y"
}

//! A request's target: its four forms, the path as the router matches it, the query, and the host (RFC 9112 §3.2, RFC 3986).
//! The path is decoded here, once, before it is matched.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use ::http::{Method, StatusCode};

use super::span::Span;
use super::Refusal;
use crate::backports;

/// The longest zone of an address, in bytes. On Linux an interface's name has at most 15.
const MOST_ZONE_BYTES: usize = 64;

/// A request's target, taken apart but not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// The path, still percent-encoded; `*` for a request about the server as a whole (RFC 9112 §3.2.4).
    pub path: Span,
    /// What follows the first `?`, if there is one.
    pub query: Option<Span>,
    /// The host in an absolute target (RFC 9112 §3.2.2).
    pub authority: Option<Authority>,
}

/// A host and, if it is named, a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    /// A name or an IPv4 address, or an IPv6 address without its brackets and its zone.
    pub host: Span,
    /// `None` also for an empty port, which means the scheme's default (RFC 3986 §3.2.3).
    pub port: Option<u16>,
}

impl Target {
    #[inline]
    pub(crate) fn parse(head: &[u8], span: Span, method: &Method) -> Result<Target, Refusal> {
        let target = span.of(head);
        if !target.iter().all(|&byte| is(TARGET_BYTE, byte)) {
            check_unusual(target)?;
        }
        if target.first() == Some(&b'/') && *method != Method::CONNECT {
            return Target::from_path(head, span, None);
        }
        Target::parse_other(head, span, method)
    }

    /// Reads a target that is not a path.
    #[inline(never)]
    fn parse_other(head: &[u8], span: Span, method: &Method) -> Result<Target, Refusal> {
        let target = span.of(head);
        if *method == Method::CONNECT {
            return Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "this server is not a proxy: CONNECT is not served",
            ));
        }
        if target == b"*" {
            return if *method == Method::OPTIONS {
                Ok(Target { path: span, query: None, authority: None })
            } else {
                Err(Refusal::bad_request("only OPTIONS may have the target *"))
            };
        }
        let Some(scheme_length) = scheme_length(target) else {
            return Err(Refusal::bad_request(
                "the target begins neither with / nor with http:// or https://",
            ));
        };
        let authority_start = span.start + scheme_length as u32;
        let rest = &target[scheme_length..];
        let authority_length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let authority_end = authority_start + authority_length as u32;
        let authority = Authority::parse(head, Span { start: authority_start, end: authority_end })?;
        if head.get(authority_end as usize) != Some(&b'/') || authority_end >= span.end {
            return Err(Refusal::bad_request("an absolute target needs a path: at least / after the host"));
        }
        Target::from_path(head, Span { start: authority_end, end: span.end }, Some(authority))
    }

    fn from_path(head: &[u8], span: Span, authority: Option<Authority>) -> Result<Target, Refusal> {
        let bytes = span.of(head);
        if bytes.starts_with(b"//") {
            return Err(Refusal::bad_request(
                "the path begins with //, which other programs take for a host",
            ));
        }
        let (path, query) = match bytes.iter().position(|&byte| byte == b'?') {
            Some(mark) => {
                let mark = span.start + mark as u32;
                (Span { start: span.start, end: mark }, Some(Span { start: mark + 1, end: span.end }))
            }
            None => (span, None),
        };
        Ok(Target { path, query, authority })
    }
}

impl Authority {
    /// `host [":" port]` (RFC 9110 §7.2). A host is a name of letters, digits, `-`, `.` and `_`, an IPv4 address, or an IPv6
    /// address in brackets; never empty, never with user information. A link-local address may have a zone (`fe80::1%eth0`, or
    /// `%25eth0` as RFC 6874 writes it), which has a meaning only on the client's machine.
    pub(crate) fn parse(head: &[u8], span: Span) -> Result<Authority, Refusal> {
        const NOT_A_HOST: Refusal =
            Refusal::bad_request("the host is not a name or an address with an optional port");
        let bytes = span.of(head);
        let (host, after) = if bytes.first() == Some(&b'[') {
            let (address, after) = bracketed(bytes).ok_or(NOT_A_HOST)?;
            (Span { start: span.start + 1, end: span.start + 1 + address as u32 }, after)
        } else {
            let end = bytes.iter().position(|&byte| !is(NAME_BYTE, byte)).unwrap_or(bytes.len());
            if end == 0 || end > 255 {
                return Err(NOT_A_HOST);
            }
            (Span { start: span.start, end: span.start + end as u32 }, end)
        };
        let port = match &bytes[after..] {
            [] | [b':'] => None,
            [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
                let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
                Some(u16::try_from(number).map_err(|_| NOT_A_HOST)?)
            }
            _ => return Err(NOT_A_HOST),
        };
        Ok(Authority { host, port })
    }
}

/// Refuses a target with a byte that must be percent-encoded. A backslash in the query is allowed: browsers and Node send it
/// unencoded (WHATWG URL, query percent-encode set), and there it ends neither a host nor a segment, so it is not ambiguous.
#[cold]
fn check_unusual(target: &[u8]) -> Result<(), Refusal> {
    let query = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let is_bad = |at: usize, byte: u8| !is(TARGET_BYTE, byte) && (byte != b'\\' || at < query);
    match target.iter().enumerate().find(|(at, byte)| is_bad(*at, **byte)).map(|(_, byte)| byte) {
        None => Ok(()),
        Some(b'#') => {
            Err(Refusal::bad_request("the target holds a fragment, which clients keep to themselves"))
        }
        Some(_) => Err(Refusal::bad_request("the target holds a character that must be percent-encoded")),
    }
}

/// The length of an IPv6 address in brackets, without its zone, and the offset after the closing bracket.
fn bracketed(bytes: &[u8]) -> Option<(usize, usize)> {
    let close = bytes.iter().position(|&byte| byte == b']')?;
    let inner = &bytes[1..close];
    let end = inner.iter().position(|&byte| byte == b'%').unwrap_or(inner.len());
    let (text, zone) = inner.split_at(end);
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_right = match zone.split_first() {
        None => true,
        Some((_, zone)) => backports::is_unicast_link_local(address) && is_zone(zone),
    };
    is_right.then_some((end, close + 1))
}

/// Whether this is a zone's identifier (RFC 6874 §2), such as `eth0`, `25eth0` or `2`.
fn is_zone(zone: &[u8]) -> bool {
    let is_unreserved = |byte: &u8| is(NAME_BYTE, *byte) || *byte == b'~';
    (1..=MOST_ZONE_BYTES).contains(&zone.len()) && zone.iter().all(is_unreserved)
}

/// How a percent-encoded slash in a path is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodedSlash {
    Refused,
    /// It is decoded to [`SLASH_MARK`], because it does not end a segment.
    Marked,
}

/// No decoded path holds it for another reason, because NUL is refused, raw and encoded.
pub(crate) const SLASH_MARK: char = '\0';

pub(crate) const ENCODED_SLASH: Refusal =
    Refusal::bad_request("the path holds an encoded slash, backslash or control character");

/// The path as the router matches it: percent-decoded, UTF-8, without dot segments. Ambiguous paths are refused: those with an
/// encoded slash (unless it is to be marked) or backslash, with control characters, or with dot segments, which clients resolve
/// before they send (RFC 3986 §5.2.4).
pub(crate) fn decode_path(raw: &[u8], slash: EncodedSlash) -> Result<Cow<'_, str>, Refusal> {
    // Most paths have neither, so one pass is enough for them.
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'.')) {
        return plain(raw).map(Cow::Borrowed);
    }
    decode_unusual(raw, slash)
}

/// The path as a router without encoded slashes matches it; `None` for one that it refuses.
#[cfg(all(feature = "proxy", feature = "serve"))]
pub fn decoded_path(raw: &str) -> Option<Cow<'_, str>> {
    decode_path(raw.as_bytes(), EncodedSlash::Refused).ok()
}

fn plain(raw: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(raw).map_err(|_| Refusal::bad_request("the path is not ASCII"))
}

/// Decodes a path with an encoded character or a dot.
#[inline(never)]
fn decode_unusual(raw: &[u8], slash: EncodedSlash) -> Result<Cow<'_, str>, Refusal> {
    let decoded = if memchr::memchr(b'%', raw).is_none() {
        Cow::Borrowed(plain(raw)?)
    } else {
        let mut bytes = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let (value, after) = percent_encoded(rest).ok_or(Refusal::bad_request(
                "the path holds a % that two hexadecimal digits do not follow",
            ))?;
            rest = after;
            if value == b'/' && slash == EncodedSlash::Marked {
                bytes.push(SLASH_MARK as u8);
                continue;
            }
            if value < 0x20 || value == 0x7f || value == b'/' || value == b'\\' {
                return Err(ENCODED_SLASH);
            }
            bytes.push(value);
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Refusal::bad_request("the path is not UTF-8 when it is percent-decoded"))?;
        Cow::Owned(text)
    };
    if has_dot_segment(decoded.as_bytes()) {
        return Err(Refusal::bad_request(
            "the path holds a dot segment (/./ or /../); clients resolve them first",
        ));
    }
    Ok(decoded)
}

/// Looks between encoded slashes too, because a handler may join the value to a path.
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/' || byte == SLASH_MARK as u8).any(|part| part == b"." || part == b"..")
}

/// The pairs of a query, decoded as browsers encode them: `+` is a space, a `%` without two hexadecimal digits stays, and bytes
/// that are not UTF-8 become U+FFFD (WHATWG URL, application/x-www-form-urlencoded parsing).
pub(crate) fn query_pairs(query: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[..0]),
        };
        (decode_form(name), decode_form(value))
    })
}

fn decode_form(raw: &[u8]) -> Cow<'_, str> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return String::from_utf8_lossy(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match percent_encoded(rest) {
                Some((value, after)) => {
                    bytes.push(value);
                    rest = after;
                }
                None => bytes.push(b'%'),
            },
            other => bytes.push(other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of the two hexadecimal digits that `bytes` begins with, and what follows them.
fn percent_encoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, after @ ..] = bytes else { return None };
    let high = (*high as char).to_digit(16)?;
    let low = (*low as char).to_digit(16)?;
    Some(((high * 16 + low) as u8, after))
}

/// The length of `http://` or `https://` at the front of an absolute target.
fn scheme_length(target: &[u8]) -> Option<usize> {
    ["http://", "https://"].into_iter().map(str::len).zip([&b"http://"[..], b"https://"]).find_map(
        |(length, scheme)| {
            target.get(..length).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| length)
        },
    )
}

/// Visible ASCII without `#`, quotes and angle brackets, which no client sends unencoded, and without the backslash, which only
/// a query may hold. `|`, `^`, `{`, `}`, brackets and the backtick are accepted, because browsers send them in queries.
const fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\')
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// Both classes of bytes as a table, for a fast look-up.
const KINDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (is_target_byte(byte as u8) as u8 * TARGET_BYTE) | (is_name_byte(byte as u8) as u8 * NAME_BYTE);
        byte += 1;
    }
    table
};
const TARGET_BYTE: u8 = 1;
const NAME_BYTE: u8 = 2;

fn is(kind: u8, byte: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str, method: Method) -> Result<(String, Option<String>, Option<String>), u16> {
        let bytes = target.as_bytes();
        let span = Span { start: 0, end: bytes.len() as u32 };
        let text = |span: Span| String::from_utf8(span.of(bytes).to_vec()).unwrap();
        Target::parse(bytes, span, &method)
            .map(|t| (text(t.path), t.query.map(text), t.authority.map(|a| text(a.host))))
            .map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn the_four_forms_are_told_apart() {
        let some = |text: &str| Some(text.to_string());
        assert_eq!(parse("/a?b?c", Method::GET), Ok(("/a".into(), some("b?c"), None)));
        assert_eq!(parse("https://h:1/a?b", Method::GET), Ok(("/a".into(), some("b"), some("h"))));
        assert_eq!(parse("HTTP://[::1]/", Method::GET), Ok(("/".into(), None, some("::1"))));
        assert_eq!(parse("/a?b\\c\\", Method::GET), Ok(("/a".into(), some("b\\c\\"), None)));
        assert_eq!(parse("http://h:/a", Method::GET), Ok(("/a".into(), None, some("h"))));
        assert_eq!(parse("http://[fe80::1%25eth0]:1/", Method::GET), Ok(("/".into(), None, some("fe80::1"))));
        assert_eq!(parse("*", Method::OPTIONS), Ok(("*".into(), None, None)));
        for (target, method, status) in [
            ("*", Method::GET, 400),
            ("h:443", Method::CONNECT, 501),
            ("h:443", Method::GET, 400),
            ("a/b", Method::GET, 400),
            ("ftp://h/", Method::GET, 400),
            ("http://", Method::GET, 400),
            ("http://h", Method::GET, 400),
            ("http://user@h/", Method::GET, 400),
            ("http://user:pw@h/", Method::GET, 400),
            ("//evil/", Method::GET, 400),
            ("http://h//evil", Method::GET, 400),
            ("/a#b", Method::GET, 400),
            ("/ä", Method::GET, 400),
            ("/a\\b", Method::GET, 400),
            ("/a\\b?c", Method::GET, 400),
            ("/?a\\b#c", Method::GET, 400),
            ("/?a\\b\"c", Method::GET, 400),
            ("http://h\\@evil/?a", Method::GET, 400),
        ] {
            assert_eq!(parse(target, method), Err(status), "{target}");
        }
    }

    #[test]
    fn a_path_is_decoded_once_or_refused() {
        for (raw, decoded) in [
            ("/", Some("/")),
            ("/a%20b", Some("/a b")),
            ("/%C3%A4", Some("/ä")),
            ("/%2541", Some("/%41")),
            ("/.well-known/x", Some("/.well-known/x")),
            ("/a..b/...", Some("/a..b/...")),
            ("/a//b", Some("/a//b")),
            ("/%2F", None),
            ("/%5c", None),
            ("/%00", None),
            ("/%0d%0a", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%ff", None),
            ("/.", None),
            ("/a/../b", None),
            ("/%2e%2e/b", None),
            ("/a/.%2e", None),
        ] {
            let got = decode_path(raw.as_bytes(), EncodedSlash::Refused).ok();
            assert_eq!(got.as_deref(), decoded, "{raw}");
        }
        for (raw, decoded) in [
            ("/a%2Fb%2fc/d", Some("/a\0b\0c/d")),
            ("/%2F", Some("/\0")),
            ("/a%2F..", None),
            ("/.%2Fa", None),
            ("/a%5Cb", None),
            ("/a%00b", None),
        ] {
            let got = decode_path(raw.as_bytes(), EncodedSlash::Marked).ok();
            assert_eq!(got.as_deref(), decoded, "{raw}");
        }
    }

    #[test]
    fn a_query_is_taken_apart_as_browsers_write_it() {
        let pairs: Vec<_> = query_pairs(b"a=1&b=x+y%26z&&c&d=%&e=%ff").collect();
        let expected = [("a", "1"), ("b", "x y&z"), ("c", ""), ("d", "%"), ("e", "\u{fffd}")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.into(), value.into())));
    }
}

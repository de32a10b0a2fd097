//! Trailer fields of a backend's response (RFC 9110 §6.5), for a client that has asked for them. They stay behind the body and never
//! become header fields. Those that frame, route, authenticate or change how what has come is read are dropped (RFC 9110
//! §6.5.1). `exchange` announces them, and `body` passes them on.

use ::http::header::TRAILER;
use ::http::{HeaderMap, HeaderValue};

use crate::backports::Trim;
use crate::http::hop_by_hop::is_hop_by_hop;
use crate::http::upgrade::members;

/// Fields that no trailer section may have, beside those of one connection and those whose names begin with [`PREFIXES`]. Go has
/// such a list, and this one holds all of it.
const NEVER: [&str; 33] = [
    "age",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "range",
    "realm",
    "refresh",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "vary",
    "via",
    "www-authenticate",
    "x-content-type-options",
];
const PREFIXES: [&str; 5] = ["access-control-", "cross-origin-", "if-", "proxy-", "x-forwarded-"];

/// Whether a field with this name may stand in a trailer section.
fn is_safe(name: &[u8]) -> bool {
    let begins_with = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    !is_hop_by_hop(name)
        && !NEVER.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        && !PREFIXES.iter().any(|prefix| begins_with(prefix))
}

/// Announces the trailer fields that the backend announces in these values of `Trailer`, as far as they are passed on.
pub(super) fn announce<'v>(values: impl Iterator<Item = &'v [u8]>, fields: &mut HeaderMap) {
    let safe: Vec<_> = members(values).filter(|name| !name.is_empty() && is_safe(name)).collect();
    if let (false, Ok(value)) = (safe.is_empty(), HeaderValue::from_bytes(&safe.join(&b", "[..]))) {
        fields.insert(TRAILER, value);
    }
}

/// The lines of a trailer section that are passed on. `lines` were read by the decoder, so each is a name, a colon, a value and CRLF.
pub(super) fn passed_on(lines: &[u8]) -> Vec<u8> {
    let mut passed = Vec::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trimmed());
        if is_safe(name) {
            passed.extend_from_slice(&name.to_ascii_lowercase());
            passed.extend_from_slice(b": ");
            passed.extend_from_slice(value);
            passed.extend_from_slice(b"\r\n");
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_routes_or_authenticates_is_no_trailer() {
        let lines = b"Server-Timing: a;dur=1\r\nX-Sum:\t abc \r\nContent-Length: 5\r\nTRANSFER-ENCODING: chunked\r\nHost: evil\r\n\
            Set-Cookie: a=b\r\nAuthorization: x\r\nLocation: /\r\nConnection: close\r\nIf-Match: x\r\nTrailer: y\r\n\
            Access-Control-Allow-Origin: *\r\nX-Empty:\r\nX-Sum: d\r\n";
        let expected = "server-timing: a;dur=1\r\nx-sum: abc\r\nx-empty: \r\nx-sum: d\r\n";
        assert_eq!(String::from_utf8(passed_on(lines)).unwrap(), expected);
        assert_eq!(passed_on(b""), b"");
    }

    #[test]
    fn only_what_is_passed_on_is_announced() {
        let announced = |value: &str| {
            let mut fields = HeaderMap::new();
            announce([value.as_bytes()].into_iter(), &mut fields);
            fields.get(TRAILER).map(|value| value.to_str().unwrap().to_string())
        };
        assert_eq!(
            announced("X-Sum, Content-Length ,, Server-Timing").as_deref(),
            Some("X-Sum, Server-Timing")
        );
        assert_eq!(announced("Host"), None);
        assert_eq!(announced(""), None);
    }
}

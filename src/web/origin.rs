//! Origins (RFC 6454 §6.2): those that a program names, and the one that a request comes from. Knows text and requests; the
//! layers that decide by `Origin` call it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ::http::HeaderValue;

use crate::error::Error;
use crate::http::request::Request;
use crate::http::seen::{Fields, Seen};

/// Whether `null` may be among a program's origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Null {
    Allowed,
    Refused,
}

/// The origins that a program names, as browsers write them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<HeaderValue>);

/// The field `Origin` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'r> {
    /// Not from a page, or read by a page of the same origin.
    Absent,
    One(&'r [u8]),
    /// Several lines, which no browser sends.
    Several,
}

impl Origins {
    /// Checks that each is an origin as browsers write it, because it is compared byte by byte.
    pub(crate) fn named<O: AsRef<str>>(
        setting: &'static str,
        null: Null,
        names: impl IntoIterator<Item = O>,
    ) -> Result<Origins, Error> {
        let mut origins = Vec::new();
        for name in names {
            origins.push(checked(setting, name.as_ref(), null)?);
        }
        if origins.is_empty() {
            return Err(wrong(setting, "it needs an origin, such as https://app.example".to_string()));
        }
        Ok(Origins(origins))
    }

    /// The named origin that is the request's.
    pub(crate) fn find(&self, origin: Origin<'_>) -> Option<&HeaderValue> {
        let Origin::One(origin) = origin else { return None };
        self.0.iter().find(|known| known.as_bytes() == origin)
    }

    /// All, with spaces between them.
    pub(crate) fn joined(&self) -> String {
        let names: Vec<&str> = self.0.iter().filter_map(|origin| origin.to_str().ok()).collect();
        names.join(" ")
    }

    /// The only one, if there is one only.
    pub(crate) fn only(&self) -> Option<&HeaderValue> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl<'r> Origin<'r> {
    pub(crate) fn of(request: &'r Request<'_>) -> Origin<'r> {
        Origin::seen(&Seen::of(request)).unwrap_or(Origin::Absent)
    }

    /// `None` when the head could not be read and what is there of it has no such line.
    pub(crate) fn seen(seen: &Seen<'r>) -> Option<Origin<'r>> {
        let (head, fields) = match seen.fields {
            Fields::Read(head, fields) => (head, fields),
            Fields::Unread(_) => return seen.header("origin").map(|origin| Origin::One(origin.as_bytes())),
        };
        let mut lines = fields.iter().filter(|field| field.name.of(head).eq_ignore_ascii_case(b"origin"));
        Some(match (lines.next(), lines.next()) {
            (None, _) => Origin::Absent,
            (Some(one), None) => Origin::One(one.value.of(head)),
            (Some(_), Some(_)) => Origin::Several,
        })
    }
}

/// Whether this is the origin that the request was sent to, or that a trusted proxy says it was sent to: a page cannot add such a
/// field to a request that it may make without asking first. The page and the server have the same scheme, or a page in plain
/// HTTP, which anybody on the way can write, would be this server's own.
pub(crate) fn is_own(origin: &[u8], request: &Request<'_>) -> bool {
    let Some(authority) = origin.strip_prefix(b"https://") else { return false };
    let is = |host: &str| {
        let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(':')).unwrap_or(host);
        !host.is_empty() && authority.eq_ignore_ascii_case(host.as_bytes())
    };
    #[cfg(feature = "operations")]
    if request.forwarded().and_then(|forwarded| forwarded.host()).is_some_and(is) {
        return true;
    }
    request.header("host").is_some_and(is)
}

/// The setting's error for an origin or a name that cannot be.
pub(crate) fn wrong(setting: &'static str, fault: String) -> Error {
    Error::Setting { setting, fault }
}

/// Not generic, so that a program holds its code once.
fn checked(setting: &'static str, name: &str, null: Null) -> Result<HeaderValue, Error> {
    match (fault(name), null) {
        (None, _) => {}
        (Some(_), Null::Allowed) if name == "null" => {}
        (Some(fault), _) => return Err(wrong(setting, format!("{name:?}: {fault}"))),
    }
    HeaderValue::from_str(name).map_err(|_| wrong(setting, format!("{name:?}: {NOT_AN_ORIGIN}")))
}

const NOT_AN_ORIGIN: &str = "an origin is a scheme, a host and perhaps a port: https://app.example:8443";

/// Why no browser would ever send this origin (RFC 6454 §6.2, WHATWG HTML §7.1.1), or why it must not be named.
fn fault(name: &str) -> Option<&'static str> {
    if name == "null" {
        return Some(
            "null is the origin of every sandboxed frame and of every file: anybody can have it, so it is not named here",
        );
    }
    if name.contains('*') {
        return Some("origins are compared as they are, so a * matches nothing; name each origin");
    }
    if !name.is_ascii() {
        return Some("browsers write such a name in ASCII: xn--…");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("browsers write scheme and host in lower case");
    }
    let Some((scheme, authority)) = name.split_once("://") else { return Some(NOT_AN_ORIGIN) };
    let is_scheme = scheme.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Some(NOT_AN_ORIGIN);
    }
    if scheme == "file" {
        return Some("pages from files have the origin null");
    }
    if authority.contains(['/', '?', '#']) {
        return Some("an origin ends with its host or port: no slash and no path");
    }
    if authority.contains('@') {
        return Some("an origin has no user");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            let is_canonical = address.parse::<Ipv6Addr>().is_ok_and(|known| known.to_string() == address);
            if !is_canonical {
                return Some("an IPv6 address is written in its shortest form: [2001:db8::7]");
            }
            (None, after.strip_prefix(':').map(Some).unwrap_or((!after.is_empty()).then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    if let Some(fault) = host.and_then(host_fault) {
        return Some(fault);
    }
    match (scheme, port) {
        (_, None) => None,
        ("https", Some("443")) | ("http", Some("80")) => {
            Some("browsers leave out the port that is the scheme's own")
        }
        (_, Some(port)) => {
            let is_port = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
            (!is_port).then_some(NOT_AN_ORIGIN)
        }
    }
}

fn host_fault(host: &str) -> Option<&'static str> {
    let is_name = !host.is_empty()
        && host.split('.').all(|label| {
            label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
    if !is_name {
        return Some(NOT_AN_ORIGIN);
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    // WHATWG URL §3.5: a host whose last label is a number is an IPv4 address.
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && host.parse::<Ipv4Addr>().is_err()).then_some("an IPv4 address has four numbers: 192.0.2.7")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str], null: Null) -> Result<Origins, String> {
        Origins::named("cors", null, names).map_err(|error| error.to_string())
    }

    #[test]
    fn origins_are_named_as_browsers_write_them() {
        for good in [
            "https://app.example",
            "https://app.example:8443",
            "http://localhost:3000",
            "http://192.168.1.7",
            "https://[2001:db8::7]:8443",
            "https://[::1]",
            "https://xn--mnchen-3ya.de",
            "https://my_box.lan",
            "http://app.example:443",
            "https://app.example:80",
            "capacitor://localhost",
            "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            "https://app.example.",
        ] {
            assert!(named(&[good], Null::Refused).is_ok(), "{good}: {:?}", named(&[good], Null::Refused));
        }
        for (bad, way_out) in [
            ("", "an origin is"),
            ("app.example", "an origin is"),
            ("app.example:8443", "an origin is"),
            ("//app.example", "an origin is"),
            ("https://", "an origin is"),
            ("https:// app.example", "an origin is"),
            ("https://app example", "an origin is"),
            ("https://app.example\r\nx: y", "an origin is"),
            ("https://app.example,https://b.example", "no slash"),
            ("https://app.example https://b.example", "no slash"),
            ("https://app.example/", "no slash"),
            ("https://app.example/api", "no slash"),
            ("https://app.example?x", "no slash"),
            ("https://user@app.example", "no user"),
            ("https://App.example", "lower case"),
            ("HTTPS://app.example", "lower case"),
            ("https://münchen.de", "xn--"),
            ("https://app.example:443", "leave out"),
            ("http://app.example:80", "leave out"),
            ("https://app.example:", "an origin is"),
            ("https://app.example:0", "an origin is"),
            ("https://app.example:08443", "an origin is"),
            ("https://app.example:70000", "an origin is"),
            ("https://[2001:DB8::7]", "lower case"),
            ("https://[2001:db8:0:0::7]", "shortest"),
            ("https://[::1]x", "an origin is"),
            ("https://[fe80::1%eth0]", "shortest"),
            ("https://192.168.1", "four numbers"),
            ("https://192.168.01.7", "four numbers"),
            ("*", "name each"),
            ("https://*.app.example", "name each"),
            ("file://", "null"),
            ("null", "anybody"),
        ] {
            let said = named(&["https://a.example", bad], Null::Refused).unwrap_err();
            assert!(said.starts_with("cors: ") && said.contains(way_out), "{bad:?}: {said}");
        }
        assert!(named(&["null"], Null::Allowed).is_ok());
        assert!(named(&["*"], Null::Allowed).is_err());
        assert!(named(&[], Null::Allowed).unwrap_err().contains("needs an origin"));
    }

    /// What matched elsewhere by prefix, suffix, substring, a pattern with an unescaped dot, or without the port.
    #[test]
    fn an_origin_is_another_unless_every_byte_is_the_same() {
        let origins = named(&["https://app.example:8443", "https://b.example"], Null::Allowed).unwrap();
        let found = |origin: &[u8]| origins.find(Origin::One(origin)).is_some();
        assert!(found(b"https://app.example:8443") && found(b"https://b.example"));
        for other in [
            &b""[..],
            b"null",
            b"*",
            b"https://app.example",
            b"https://app.example:84430",
            b"https://app.example:844",
            b"http://app.example:8443",
            b"https://b.example:443",
            b"https://b.example.",
            b"https://b.example/",
            b"https://b.example.evil.example",
            b"https://evilb.example",
            b"https://evil.example#https://b.example",
            b"https://b-example",
            b"https://x.b.example",
            b"https://B.example",
            b"https://b.example ",
            b"https://b.example\x00",
            b"https://b.example,https://app.example:8443",
            b"https://b.exampl\xe9",
        ] {
            assert!(!found(other), "{}", String::from_utf8_lossy(other));
        }
        let several = Request::get("/")
            .with_header("origin", "https://b.example")
            .with_header("Origin", "https://b.example");
        assert_eq!(Origin::of(&several), Origin::Several);
        assert!(origins.find(Origin::of(&several)).is_none() && origins.find(Origin::Absent).is_none());
        assert!(origins.only().is_none());
    }
}

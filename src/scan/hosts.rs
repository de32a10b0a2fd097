//! The kind of host that an `http://` URL names.
//!
//! Knows text only. Called by `rules::urls`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::backports::{is_unicast_link_local, is_unique_local};

/// An `http://` URL in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// Without brackets; empty when the URL has none.
    pub host: &'a [u8],
    /// Whether the program inserts a part of the host at run time.
    pub is_built: bool,
    pub has_port: bool,
    pub has_user: bool,
    /// The rest of the URL, from the path on.
    pub path: &'a [u8],
    /// The length of the URL, with its scheme.
    pub length: usize,
}

/// The longest URL that is read.
const MOST_BYTES: usize = 2048;

/// The ways to write the scheme, in the usual upper or lower case; JSON may escape slashes, and a string may escape that
/// again.
pub(super) const SCHEMES: &[&str] = &["http://", "HTTP://", "Http://", r"http:\/\/", r"http:\\/\\/"];

/// Reads the URL at the beginning of `bytes`, which begins with one of [`SCHEMES`].
pub(super) fn parse(bytes: &[u8]) -> Url<'_> {
    let scheme =
        SCHEMES.iter().find(|scheme| bytes.starts_with(scheme.as_bytes())).map_or(0, |scheme| scheme.len());
    let bytes = bytes.get(..bytes.len().min(MOST_BYTES)).unwrap_or_default();
    let rest = bytes.get(scheme..).unwrap_or_default();
    if scheme > SCHEMES[0].len() {
        return parse_escaped(rest, scheme);
    }
    let is_end =
        |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`<>|\\^".contains(byte);
    let begins_template = begins_template(rest);
    let mut end = rest.iter().position(is_end).unwrap_or(rest.len());
    // `${API:-http://host}`: the brace belongs to the text before the URL.
    let mut open = 0_usize;
    let closes = rest[..end].iter().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return true,
            b'}' => open -= 1,
            _ => {}
        }
        false
    });
    end = closes.unwrap_or(end);
    // A list or Markdown may follow, which is not part of the URL.
    while end > 0 && b",;.)]!*".contains(&rest[end - 1]) {
        end -= 1;
    }
    let whole = &rest[..end];
    // A template may contain anything, also a slash: `${a ? b : c}`.
    let is_separator = |byte: &u8| b"/?#,;)".contains(byte);
    let authority_end = if begins_template {
        whole.len()
    } else {
        whole.iter().position(is_separator).unwrap_or(whole.len())
    };
    let (authority, path) = whole.split_at(authority_end);
    let (user, host) = match authority.iter().rposition(|&byte| byte == b'@') {
        Some(at) => (true, &authority[at + 1..]),
        None => (false, authority),
    };
    let (host, port) = match host.strip_prefix(b"[") {
        Some(inner) => match inner.iter().position(|&byte| byte == b']') {
            Some(close) => (&inner[..close], inner.get(close + 1..).unwrap_or_default()),
            None => (inner, &[][..]),
        },
        None => match host.iter().position(|&byte| byte == b':') {
            Some(colon) => host.split_at(colon),
            None => (host, &[][..]),
        },
    };
    let is_built = begins_template || host.iter().any(|byte| b"${}%".contains(byte));
    Url { host, is_built, has_port: !port.is_empty(), has_user: user, path, length: scheme + end }
}

/// The part of `http:\/\/host\/path` after the scheme. A backslash ends the host; when it does not escape a slash, this is
/// a pattern without a host, not a URL.
fn parse_escaped(rest: &[u8], scheme: usize) -> Url<'_> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte);
    let mut end = rest.iter().position(is_end).unwrap_or(rest.len());
    while end > 0 && rest[end - 1] == b'\\' {
        end -= 1;
    }
    let whole = &rest[..end];
    let (authority, path) =
        whole.split_at(whole.iter().position(|byte| b"\\/?#".contains(byte)).unwrap_or(end));
    let slashes = path.iter().take_while(|byte| **byte == b'\\').count();
    let is_pattern = slashes > 0 && path.get(slashes) != Some(&b'/')
        || authority.iter().any(|byte| b"(*+[^".contains(byte));
    let authority = if is_pattern { &authority[..0] } else { authority };
    let at = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    let (host, port) = authority[at..]
        .split_at(authority[at..].iter().position(|byte| *byte == b':').unwrap_or(authority.len() - at));
    let is_built = host.iter().any(|byte| b"${}%".contains(byte));
    Url { host, is_built, has_port: !port.is_empty(), has_user: at > 0, path, length: scheme + end }
}

/// Whether a placeholder for a value at run time is here, in one of the many ways to write one.
fn begins_template(rest: &[u8]) -> bool {
    let marks: &[&[u8]] = &[b"$", b"{", b"%", b"#{", b"\\("];
    marks.iter().any(|mark| rest.starts_with(mark))
}

/// The kind of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// This machine.
    Loopback,
    /// Reserved for documentation, a placeholder, or not a host.
    Nobody,
    /// In a private network, or a name that only such a network resolves.
    Local,
    Public,
}

/// The kind of this host, which is in lower case.
pub(super) fn classify(host: &str) -> Host {
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        };
    }
    let host = host.trim_end_matches('.');
    let is_name = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte >= 0x80)
    };
    if host.is_empty() || !host.split('.').all(is_name) {
        return Host::Nobody;
    }
    let labels: Vec<&str> = host.rsplit('.').collect();
    let (last, second) = (labels[0], labels.get(1).copied());
    const LOOPBACK: &[&str] =
        &["localhost", "localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];
    if LOOPBACK.contains(&last) || host == "host.docker.internal" {
        return Host::Loopback;
    }
    if is_placeholder(host, &labels) {
        return Host::Nobody;
    }
    const LOCAL: &[&str] = &[
        "local", "lan", "home", "internal", "intranet", "corp", "private", "svc", "localnet", "consul",
        "docker", "hole", "ip", "router", "gateway", "hotspot", "cpe", "station", "repeater", "nas",
    ];
    match second {
        None => Host::Local,
        Some(_)
            if LOCAL.contains(&last)
                || ROUTERS.iter().any(|router| is_at_or_below(host, router))
                || host.ends_with(".home.arpa")
                || host.ends_with(".svc.cluster.local") =>
        {
            Host::Local
        }
        // A name of a file or a property rather than of a host: a.b, api.url2.
        Some(_)
            if last.len() < 2
                || last.contains('-') && !last.starts_with("xn--")
                || last.bytes().any(|byte| byte.is_ascii_digit() || byte == b'_')
                    && !last.starts_with("xn--") =>
        {
            Host::Nobody
        }
        Some(_) => Host::Public,
    }
}

/// Names that home routers answer for themselves, as their makers print them on the device.
const ROUTERS: &[&str] = &[
    "fritz.box",
    "o2.box",
    "easy.box",
    "kabel.box",
    "congstar.box",
    "router.asus.com",
    "www.asusnetwork.net",
    "tplinkwifi.net",
    "tplinkmodem.net",
    "tplinkrepeater.net",
    "tplinkap.net",
    "tplinklogin.net",
    "routerlogin.net",
    "routerlogin.com",
    "mywifiext.net",
    "orbilogin.com",
    "dlinkrouter.com",
    "linksyssmartwifi.com",
    "miwifi.com",
    "netgear.com.local",
    "readyshare.routerlogin.net",
    "repeater.asus.com",
    "amplifi.lan",
];

fn is_at_or_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The metadata services of clouds, which have no HTTPS: AWS, Azure, Google, Oracle, Alibaba, Tencent.
const METADATA_V4: &[[u8; 4]] = &[
    [169, 254, 169, 254],
    [169, 254, 170, 2],
    [169, 254, 170, 23],
    [168, 63, 129, 16],
    [100, 100, 100, 200],
    [169, 254, 0, 23],
    [192, 0, 0, 192],
];
const METADATA_V6: &[[u16; 8]] =
    &[[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]];

fn of_v4(address: Ipv4Addr) -> Host {
    let [a, b, ..] = address.octets();
    match () {
        () if address.is_loopback() || a == 0 => Host::Loopback,
        () if METADATA_V4.contains(&address.octets()) => Host::Nobody,
        () if address.is_documentation() || address.is_broadcast() || address.is_multicast() => Host::Nobody,
        () if [[1, 1, 1, 1], [1, 2, 3, 4], [2, 2, 2, 2], [4, 3, 2, 1], [5, 6, 7, 8]]
            .contains(&address.octets()) =>
        {
            Host::Nobody
        }
        () if address.is_private() || address.is_link_local() || a == 100 && (64..128).contains(&b) => {
            Host::Local
        }
        () => Host::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Host {
    let segments = address.segments();
    match () {
        () if address.is_loopback() || address.is_unspecified() => Host::Loopback,
        () if METADATA_V6.contains(&segments) => Host::Nobody,
        () if segments[..2] == [0x2001, 0xdb8] || address.is_multicast() => Host::Nobody,
        () if is_unique_local(address) || is_unicast_link_local(address) => Host::Local,
        () => address.to_ipv4_mapped().map_or(Host::Public, of_v4),
    }
}

/// RFC 2606, RFC 6761, and common placeholders for a name.
fn is_placeholder(host: &str, labels: &[&str]) -> bool {
    const RESERVED: &[&str] = &["example", "test", "invalid", "onion", "alt"];
    const NAMES: &[&str] = &[
        "host",
        "hostname",
        "server",
        "servername",
        "domain",
        "site",
        "website",
        "url",
        "uri",
        "address",
        "addr",
        "ip",
        "foo",
        "bar",
        "baz",
        "qux",
        "foobar",
        "blah",
        "abc",
        "xyz",
        "xxx",
        "user",
        "username",
        "www",
        "a",
        "b",
        "c",
        "d",
        "e",
        "x",
        "y",
        "z",
        "null",
        "none",
        "undefined",
        "unused",
        "ignored",
        "irrelevant",
        "whatever",
        "something",
        "somewhere",
        "anything",
        "nowhere",
        "dummy",
        "fake",
        "mock",
        "bogus",
        "sub",
        "path",
        "to",
        "localhost1",
        "mydomain",
        "myhost",
        "myserver",
        "mysite",
        "otherhost",
        "otherdomain",
        "fakehost",
        "fakeurl",
        "dummyhost",
        "testserver",
        "http",
        "https",
    ];
    const DOMAINS: &[&str] = &[
        "foo",
        "bar",
        "baz",
        "domain",
        "mydomain",
        "host",
        "hostname",
        "site",
        "mysite",
        "somesite",
        "server",
        "test",
        "testing",
        "dummy",
        "fake",
        "somewhere",
        "some",
        "foobar",
        "blah",
        "abc",
        "xyz",
        "xxx",
        "website",
        "mywebsite",
        "company",
        "mycompany",
        "myapp",
        "anywhere",
        "evil",
        "attacker",
        "not-example",
        "somename",
        "somehost",
        "url",
        "address",
    ];
    let second = labels.get(1).copied().unwrap_or_default();
    let begins_so =
        |label: &str| label.starts_with("your") || label.starts_with("<") || label.contains("example");
    RESERVED.contains(&labels[0])
        || labels.iter().any(|label| begins_so(label))
        || labels.len() == 1
            && (NAMES.contains(&host)
                || host.len() < 3
                || host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
        || labels.len() > 1 && DOMAINS.contains(&second) && labels[0].len() <= 4
        || labels.len() == 2 && second.len() < 2 && !["t", "x", "g"].contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases: &[(&str, &str, bool, bool, &str)] = &[
            ("http://api.acme.io/v1?a=b\" rest", "api.acme.io", false, false, "/v1?a=b"),
            ("http://api.acme.io:8080/v1", "api.acme.io", true, false, "/v1"),
            ("http://[fe80::1]:80/", "fe80::1", true, false, "/"),
            ("http://user:word@acme.io", "acme.io", false, false, ""),
            ("http://${host}/v1`", "${host}/v1", false, true, ""),
            ("http://{}:{}/x\"", "{}", true, true, ""),
            ("http://%s/x\"", "%s/x", false, true, ""),
            ("http://\" + host", "", false, false, ""),
            ("http://acme-${env}.io/x", "acme-${env}.io", false, true, "/x"),
            ("http://acme.io).", "acme.io", false, false, ""),
            ("http://\\(host)/x\"", "", false, true, ""),
            ("http://", "", false, false, ""),
            ("HTTP://api.acme.io/v1", "api.acme.io", false, false, "/v1"),
            ("http:\\/\\/api.acme.io:80\\/v1\"", "api.acme.io", true, false, "\\/v1"),
            ("http:\\\\/\\\\/api.acme.io\\\\/v1\"", "api.acme.io", false, false, "\\\\/v1"),
            ("http:\\/\\/api\\.acme\\.io", "", false, false, "\\.acme\\.io"),
            ("http://api.acme.io}/x\"", "api.acme.io", false, false, ""),
        ];
        for (text, host, has_port, is_built, path) in cases {
            let url = parse(text.as_bytes());
            assert_eq!((url.is_built, url.has_user), (*is_built, text.contains('@')), "{text}");
            if !is_built {
                assert_eq!(std::str::from_utf8(url.host).unwrap(), *host, "{text}");
                assert_eq!(std::str::from_utf8(url.path).unwrap(), *path, "{text}");
                assert_eq!(url.has_port, *has_port, "{text}");
            }
        }
    }

    #[test]
    fn hosts_have_the_right_kind() {
        for host in [
            "localhost",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "0.0.0.0",
            "host.docker.internal",
            "localhost.localdomain",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(classify(host), Host::Loopback, "{host}");
        }
        for host in [
            "example.com",
            "api.example.org",
            "example.co.uk",
            "a.test",
            "x.invalid",
            "192.0.2.7",
            "2001:db8::1",
            "your-server.acme.io",
            "foo.com",
            "host",
            "",
            "..",
            "a.b",
            "file.py3",
            "169.254.169.254",
            "168.63.129.16",
            "fd00:ec2::254",
            "abcdef.onion",
            "*.acme.io",
            "foo",
        ] {
            assert_eq!(classify(host), Host::Nobody, "{host}");
        }
        for host in [
            "10.0.0.1",
            "192.168.1.20",
            "172.31.0.1",
            "fd00::1",
            "fe80::1",
            "printer.local",
            "backend",
            "a.svc.cluster.local",
            "100.64.0.1",
            "fritz.box",
            "nas.fritz.box",
            "pi.hole",
            "speedport.ip",
        ] {
            assert_eq!(classify(host), Host::Local, "{host}");
        }
        for host in [
            "api.acme.io",
            "localhost.acme.io",
            "notfritz.box",
            "8.8.8.8",
            "172.32.0.1",
            "api.openweathermap.org",
            "2606:4700::1111",
            "xn--bcher-kva.ch",
        ] {
            assert_eq!(classify(host), Host::Public, "{host}");
        }
    }
}

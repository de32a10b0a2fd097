//! URLs that a client goes to: `http` and `https` (RFC 9110 §4.2), taken apart, and references in the messages that come back.
//!
//! Knows no socket. `check` calls it for the URL to be checked and for redirects and links, and `acme` for the URLs of an
//! authority. The target of a request to the server is read in `http::target`, which accepts less and copies nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::tls::dns_name::in_ascii;

/// A name or an address, as it stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// In lower case, without a final dot.
    Name(String),
    Ip(IpAddr),
}

/// The parts of an `http` or `https` URL that matter to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_https: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The path and the query, `/` at least.
    pub(crate) path: String,
}

const NO_HTTPS: &str = "does not begin with https://";

/// The longest URL that is accepted, in bytes.
const LONGEST: usize = 2_048;

impl Url {
    /// Reads an absolute URL. An error is a clause that says what is wrong with it, with the URL as its subject.
    pub(crate) fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > LONGEST {
            return Err("is longer than 2,048 bytes");
        }
        let (scheme, rest) = text.split_once("://").ok_or(NO_HTTPS)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(NO_HTTPS),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain(path) || authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("holds a character that must be percent-encoded");
        }
        if authority.contains('@') {
            return Err("holds a user name or a password, which do not belong in a URL");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (inside, after) =
                    bracketed.split_once(']').ok_or("has an address whose bracket is not closed")?;
                let address: Ipv6Addr = inside.parse().map_err(|_| "has no IPv6 address in its brackets")?;
                (Host::Ip(address.into()), after.strip_prefix(':').or(after.is_empty().then_some("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (Host::parse(host)?, Some(port)),
                None => (Host::parse(authority)?, Some("")),
            },
        };
        let port = match port {
            Some("") => default_port(is_https),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|&port| port > 0)
                .ok_or("has a port that is not one from 1 to 65535")?,
            _ => return Err("has a port that is not one from 1 to 65535"),
        };
        let path = match path.as_bytes().first() {
            None => "/".to_string(),
            Some(b'?') => format!("/{path}"),
            Some(_) => path.to_string(),
        };
        Ok(Url { is_https, host, port, path })
    }

    /// Reads an absolute `https` URL in printable ASCII.
    #[cfg(feature = "acme")]
    pub(crate) fn parse_https(text: &str) -> Result<Url, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds something else than printable ASCII");
        }
        Url::parse(text).and_then(|url| if url.is_https { Ok(url) } else { Err(NO_HTTPS) })
    }

    /// The absolute `https` URL of a reference in a message from `base`. The reference's spelling stays.
    #[cfg(feature = "acme")]
    pub(crate) fn resolve_https(base: &str, reference: &str) -> Result<String, &'static str> {
        let whole = Url::parse_https(base)?.resolve(reference)?;
        Url::parse_https(&whole)?;
        Ok(whole)
    }

    /// Reads a `Location` or a link: an absolute URL, or one relative to this URL.
    #[cfg(feature = "check")]
    pub(crate) fn join(&self, reference: &str) -> Result<Url, &'static str> {
        Url::parse(&self.resolve(reference)?)
    }

    /// The absolute URL of a reference in a message from this URL (RFC 3986 §5.2, RFC 9110 §10.2.2). It is not checked.
    #[cfg(any(feature = "acme", feature = "check"))]
    fn resolve(&self, reference: &str) -> Result<String, &'static str> {
        let reference = reference.split('#').next().unwrap_or_default();
        if reference.is_empty() {
            return Err("is empty");
        }
        let scheme = reference.split(['/', '?']).next().unwrap_or_default();
        if scheme.contains(':') {
            return Ok(reference.to_string());
        }
        if reference.starts_with("//") {
            return Ok(format!("{}:{reference}", self.scheme()));
        }
        let (path, _) = split_query(&self.path);
        let target = match split_query(reference) {
            ("", new) => format!("{path}{new}"),
            (new, new_query) if new.starts_with('/') => without_dots(new) + new_query,
            (new, new_query) => {
                // RFC 3986 §5.2.3: the reference replaces the last segment of the base.
                let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
                without_dots(&format!("{folder}{new}")) + new_query
            }
        };
        Ok(format!("{}{target}", self.origin()))
    }

    fn scheme(&self) -> &'static str {
        if self.is_https {
            "https"
        } else {
            "http"
        }
    }

    /// `https://host:port`, the port left out when it is the scheme's own.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// The value of the `Host` field.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.is_https) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Host, &'static str> {
        if text.is_empty() {
            return Err("names no host");
        }
        if let Ok(address) = text.parse() {
            return Ok(Host::Ip(IpAddr::V4(address)));
        }
        if !text.is_ascii() {
            return Host::international(text);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err("has a host that is neither a name nor an address");
        }
        Ok(Host::Name(name))
    }

    /// A name with characters beyond ASCII, in its `xn--` form. The full stops of other scripts count as dots (RFC 3490 §3.1).
    fn international(text: &str) -> Result<Host, &'static str> {
        let dotted: String = text
            .chars()
            .map(|c| if matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}') { '.' } else { c })
            .collect();
        // These stand for other letters (RFC 5895 §2). There is no table of them here.
        let is_compatible = |c: char| matches!(c, '\u{ff00}'..='\u{ffef}');
        let name = dotted.strip_suffix('.').unwrap_or(&dotted);
        match in_ascii(name).filter(|_| !name.contains(is_compatible)) {
            Some(ascii) => Ok(Host::Name(ascii)),
            None => Err("has a host that cannot be put in ASCII here; give its xn-- form"),
        }
    }

    /// The host as a resolver takes it: an IPv6 address without its brackets.
    #[cfg(any(feature = "acme", all(feature = "serve", feature = "proxy")))]
    pub(crate) fn bare(&self) -> String {
        match self {
            Host::Name(name) => name.clone(),
            Host::Ip(address) => address.to_string(),
        }
    }

    /// The name that a client sends as SNI. There is none for an address (RFC 6066 §3).
    #[cfg(feature = "check")]
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }
}

/// Writes the host as in a URL: an IPv6 address in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(address)) => address.fmt(f),
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a user name and a password stand in a text that is to be a URL, or has one behind an equals sign. A password may hold what
/// ends an authority, and the scheme may be missing.
fn userinfo(text: &str) -> Option<std::ops::Range<usize>> {
    let end = text.rfind('@')?;
    let begin = match text[..end].find("://") {
        Some(scheme) => {
            let begin = scheme + "://".len();
            let authority = text[begin..].split(['/', '?', '#']).next().unwrap_or_default();
            let port = authority.rsplit(':').next().unwrap_or_default();
            let has_port = port.len() < authority.len() && !authority.ends_with(']');
            let is_inside =
                authority.contains('@') || has_port && port.bytes().any(|byte| !byte.is_ascii_digit());
            is_inside.then_some(begin)?
        }
        None => (text[..end].contains(':') && !text.contains("unix:")).then_some(0)?,
    };
    Some(begin..end)
}

/// A text that is to be a URL, as a message may show it: `***` for a user name and a password.
pub fn without_userinfo(text: &str) -> String {
    let mut shown = text.to_string();
    if let Some(place) = userinfo(text) {
        shown.replace_range(place, "***");
    }
    shown
}

/// The path, and the query with its question mark.
#[cfg(any(feature = "acme", feature = "check"))]
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// A path that begins with a slash, without its dot segments (RFC 3986 §5.2.4).
#[cfg(any(feature = "acme", feature = "check"))]
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn default_port(is_https: bool) -> u16 {
    if is_https {
        443
    } else {
        80
    }
}

/// The host, an IPv6 address without brackets, and the port of an `http` or `https` URL.
#[cfg(all(feature = "serve", feature = "proxy"))]
pub fn host_and_port(url: &str) -> Option<(String, u16)> {
    Url::parse(url).ok().map(|url| (url.host.bare(), url.port))
}

/// Whether this is what `Host` may hold (RFC 9110 §7.2): a name or an address, with a port or without.
#[cfg(feature = "proxy")]
pub fn is_host_field(text: &str) -> bool {
    let is_authority = text.is_ascii() && !text.contains(['/', '?', '#']) && !text.ends_with(':');
    is_authority && Url::parse(&["http://", text].concat()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_other_scripts_are_put_in_ascii() {
        for (url, written) in [
            ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
            ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443/"),
            ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
            ("https://münchen.de./", "https://xn--mnchen-3ya.de/"),
        ] {
            assert_eq!(Url::parse(url).unwrap().to_string(), written, "{url}");
        }
        for (url, words) in [
            // A letter and a mark, which are one letter in a name.
            ("https://bu\u{308}cher.example/", "xn--"),
            ("https://\u{ff41}.example/", "xn--"),
            ("https://bücher..example/", "xn--"),
            ("https://bü cher.example/", "percent"),
            ("https://bücher.example/ü", "percent"),
            ("https://a\u{85}.example/", "percent"),
            ("https://bücher.example:ü/", "port"),
        ] {
            let fault = Url::parse(url).unwrap_err();
            assert!(fault.contains(words), "{url}: {fault}");
        }
    }

    #[test]
    fn urls_are_read_and_written() {
        for (text, shown) in [
            ("https://localhost:8443/api/data", "https://localhost:8443/api/data"),
            ("HTTPS://Example.COM.", "https://example.com/"),
            ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
            ("https://example.com?q", "https://example.com/?q"),
            ("https://127.0.0.1/", "https://127.0.0.1/"),
            ("https://[::1]:8443", "https://[::1]:8443/"),
            ("https://[::1]", "https://[::1]/"),
            ("http://device_1.local:80/", "http://device_1.local/"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:8443",
            "ftp://example.com/",
            "https://",
            "https:///path",
            "https://:8443/",
            "https://user:secret@example.com/",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:+1/",
            "https://[::1/",
            "https://[::1]8443/",
            "https://[localhost]/",
            "https://a..b/",
            "https://exa mple/",
            "https://ex\r\nample/",
            "https://a*b/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(LONGEST));
        assert!(Url::parse(&long).is_err());
    }

    #[cfg(feature = "check")]
    #[test]
    fn relative_references_are_resolved() {
        let base = Url::parse("https://example.com:8443/api/data?x=1").unwrap();
        for (reference, expected) in [
            ("/v2", "https://example.com:8443/v2"),
            ("openapi.json", "https://example.com:8443/api/openapi.json"),
            ("//other.example/x", "https://other.example/x"),
            ("http://example.com/", "http://example.com/"),
            (
                "/login?next=https://other.example/",
                "https://example.com:8443/login?next=https://other.example/",
            ),
            ("../up?y", "https://example.com:8443/up?y"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert!(base.join("/a b").is_err());
    }

    /// The examples of RFC 3986 §5.4, as far as they are of https.
    #[cfg(feature = "acme")]
    #[test]
    fn references_are_resolved_as_rfc_3986_resolves_them() {
        for (reference, url) in [
            ("https://b.example/x", "https://b.example/x"),
            ("g", "https://a/b/c/g"),
            ("./g", "https://a/b/c/g"),
            ("g/", "https://a/b/c/g/"),
            ("/g", "https://a/g"),
            ("//g", "https://g"),
            ("//g:8443/x", "https://g:8443/x"),
            ("?y", "https://a/b/c/d;p?y"),
            ("g?y", "https://a/b/c/g?y"),
            ("g#s", "https://a/b/c/g"),
            ("g?y#s", "https://a/b/c/g?y"),
            (";x", "https://a/b/c/;x"),
            ("g;x=1/./y", "https://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "https://a/b/c/y"),
            (".", "https://a/b/c/"),
            ("./", "https://a/b/c/"),
            ("..", "https://a/b/"),
            ("../", "https://a/b/"),
            ("../g", "https://a/b/g"),
            ("../..", "https://a/"),
            ("../../g", "https://a/g"),
            ("../../../g", "https://a/g"),
            ("/./g", "https://a/g"),
            ("/../g", "https://a/g"),
            ("g.", "https://a/b/c/g."),
            ("..g", "https://a/b/c/..g"),
            ("./../g", "https://a/b/g"),
            ("./g/.", "https://a/b/c/g/"),
            ("g/./h", "https://a/b/c/g/h"),
            ("g/../h", "https://a/b/c/h"),
            ("g?y/./x", "https://a/b/c/g?y/./x"),
            ("g?y:z", "https://a/b/c/g?y:z"),
        ] {
            assert_eq!(
                Url::resolve_https("https://a/b/c/d;p?q", reference).as_deref(),
                Ok(url),
                "{reference}"
            );
        }
        let with_port = "https://[2001:db8::1]:14000/dir";
        assert_eq!(Url::resolve_https(with_port, "/acct/1").unwrap(), "https://[2001:db8::1]:14000/acct/1");
        assert_eq!(Url::resolve_https("https://a?q", "x").unwrap(), "https://a/x");
    }

    #[cfg(feature = "acme")]
    #[test]
    fn what_no_request_can_go_to_is_no_reference() {
        let long = "a".repeat(LONGEST);
        for reference in [
            "",
            "#s",
            "http://b.example/",
            "g:h",
            "data:text/plain,x",
            "a b",
            "\u{1b}[2J",
            "/\u{9b}",
            "//",
            &long,
        ] {
            assert!(Url::resolve_https("https://a/b", reference).is_err(), "{reference:?}");
        }
    }

    #[test]
    fn a_user_name_and_a_password_are_not_shown() {
        for (text, shown) in [
            ("http://user:pa55@127.0.0.1:3000", "http://***@127.0.0.1:3000"),
            ("http://user@a", "http://***@a"),
            ("HTTP://u:pa55@a/b", "HTTP://***@a/b"),
            // These are wrong URLs too, and their passwords are passwords still.
            ("http://u:pa/55@a", "http://***@a"),
            ("http://u:pa?55@a/x", "http://***@a/x"),
            ("http://u:pa@55@a", "http://***@a"),
            ("/api=http://u:pa55@a", "/api=http://***@a"),
            ("u:pa55@a:3000", "***@a:3000"),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
        for text in [
            "http://127.0.0.1:3000/@scope",
            "http://[::1]/@scope",
            "https://a/b?c=d@e",
            "unix:/run/a@b.sock",
            "/api=unix:/run/a@b.sock",
            "a@b",
            "",
        ] {
            assert_eq!(without_userinfo(text), text);
        }
    }

    #[cfg(feature = "acme")]
    #[test]
    fn https_urls_are_taken_apart() {
        for (text, host, port, target, authority) in [
            ("https://acme.example/dir", "acme.example", 443, "/dir", "acme.example"),
            ("HTTPS://acme.example:14000/a?b=c#d", "acme.example", 14_000, "/a?b=c", "acme.example:14000"),
            ("https://acme.example", "acme.example", 443, "/", "acme.example"),
            ("https://acme.example?q", "acme.example", 443, "/?q", "acme.example"),
            ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "/x", "[2001:db8::1]:8443"),
            ("https://192.0.2.1:443/x", "192.0.2.1", 443, "/x", "192.0.2.1"),
        ] {
            let url = Url::parse_https(text).unwrap();
            assert_eq!(
                (&*url.host.bare(), url.port, &*url.path, &*url.authority()),
                (host, port, target, authority)
            );
        }
    }

    #[cfg(feature = "acme")]
    #[test]
    fn other_urls_are_refused() {
        for text in [
            "http://acme.example/",
            "https:/acme.example/",
            "https://",
            "https:///dir",
            "https://a b/",
            "https://a/\r\nX: y",
            "https://user@acme.example/",
            "https://acme.example:0/",
            "https://acme.example:65536/",
            "https://[::1]x/",
            "https://ä.example/",
            "",
        ] {
            assert!(Url::parse_https(text).is_err(), "{text:?}");
        }
        assert!(Url::parse_https(&format!("https://a/{}", "a".repeat(LONGEST))).is_err());
    }
}

//! What is to be checked: the parts of an `https` URL. Knows no socket; [`Check`](super::Check) reads its argument with it,
//! and the probes read the URLs that they are redirected to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::tls::name_in_ascii;

/// A name or an address, as it stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case, without a final dot.
    Name(String),
    Ip(IpAddr),
}

/// The parts of an `http` or `https` URL that matter to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_https: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// The path and the query, `/` at least.
    pub(super) path: String,
}

/// The longest URL that is looked at, in bytes.
const LONGEST: usize = 2_048;

impl Url {
    /// Reads an absolute URL. What is wrong with it is said in the words of the user's own command line.
    pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > LONGEST {
            return Err("it is longer than 2048 bytes");
        }
        let (scheme, rest) = text.split_once("://").ok_or("it does not begin with https://")?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("it does not begin with https://"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain(path) || authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it holds a character that must be percent-encoded");
        }
        if authority.contains('@') {
            return Err("it holds a user name or a password, which do not belong in a URL");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (inside, after) =
                    bracketed.split_once(']').ok_or("the bracket of its address is not closed")?;
                let address: Ipv6Addr =
                    inside.parse().map_err(|_| "no IPv6 address stands in its brackets")?;
                (Host::Ip(address.into()), after.strip_prefix(':').or(after.is_empty().then_some("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (Host::parse(host)?, Some(port)),
                None => (Host::parse(authority)?, Some("")),
            },
        };
        let port = match port {
            Some("") => default_port(is_https),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|&port| port > 0).ok_or("its port is not one from 1 to 65535")?
            }
            _ => return Err("its port is not one from 1 to 65535"),
        };
        let path = match path.as_bytes().first() {
            None => "/".to_string(),
            Some(b'?') => format!("/{path}"),
            Some(_) => path.to_string(),
        };
        Ok(Url { is_https, host, port, path })
    }

    /// Reads what a `Location` or a link may hold: an absolute URL, or one that is relative to this.
    pub(super) fn join(&self, reference: &str) -> Result<Url, &'static str> {
        if reference.contains("://") {
            return Url::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            let scheme = if self.is_https { "https" } else { "http" };
            return Url::parse(&format!("{scheme}://{rest}"));
        }
        let path = if reference.starts_with('/') {
            reference.to_string()
        } else {
            let folder = self.path.split('?').next().unwrap_or_default();
            let folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{reference}")
        };
        Url::parse(&format!("{}{path}", self.origin()))
    }

    /// `https://host:port`, the port left out when it is the scheme's own.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.authority())
    }

    /// What stands in the `Host` field.
    pub(super) fn authority(&self) -> String {
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
            return Err("it names no host");
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
            return Err("its host is neither a name nor an address");
        }
        Ok(Host::Name(name))
    }

    /// A name in other scripts than ASCII's, in its `xn--` form. Dots of other scripts are dots (RFC 3490 §3.1).
    fn international(text: &str) -> Result<Host, &'static str> {
        let dotted: String = text
            .chars()
            .map(|c| if matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}') { '.' } else { c })
            .collect();
        // These stand for other letters (RFC 5895 §2), which no table here knows.
        let is_compatible = |c: char| matches!(c, '\u{ff00}'..='\u{ffef}');
        let name = dotted.strip_suffix('.').unwrap_or(&dotted);
        match name_in_ascii(name).filter(|_| !name.contains(is_compatible)) {
            Some(ascii) => Ok(Host::Name(ascii)),
            None => Err("its host is no name that can be put in ASCII here; give it in its xn-- form"),
        }
    }

    /// The name that a client asks for (SNI), which an address is not (RFC 6066 §3).
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }
}

/// As in a URL: an IPv6 address in its brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(address)) => address.fmt(f),
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https {
        443
    } else {
        80
    }
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

    #[test]
    fn relative_references_are_resolved() {
        let base = Url::parse("https://example.com:8443/api/data?x=1").unwrap();
        for (reference, expected) in [
            ("/v2", "https://example.com:8443/v2"),
            ("openapi.json", "https://example.com:8443/api/openapi.json"),
            ("//other.example/x", "https://other.example/x"),
            ("http://example.com/", "http://example.com/"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert!(base.join("/a b").is_err());
    }
}

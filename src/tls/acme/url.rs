//! The URLs of an authority: https only (RFC 8555 §6.1), and no more of RFC 3986 than such a URL has.

/// The longest that is taken, in bytes.
const LONGEST: usize = 2_048;

/// An https URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// Path and query, as they go into a request.
    pub target: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > LONGEST {
            return Err("is longer than 2,048 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds something else than printable ASCII");
        }
        let scheme = text.get(..8).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("https://") {
            return Err("does not begin with https://");
        }
        let rest = text[8..].split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((address, port)) => (address, port),
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or("has no port from 1 to 65535 after its host")?,
            None if port.is_empty() => 443,
            None => return Err("has something after its host that is no port"),
        };
        if host.is_empty()
            || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
        {
            return Err("names no host");
        }
        let target = if target.starts_with('/') { target.to_string() } else { format!("/{target}") };
        Ok(Url { host: host.to_string(), port, target })
    }

    /// As it stands in a `Host` field (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (&*url.host, url.port, &*url.target, &*url.authority()),
                (host, port, target, authority)
            );
        }
    }

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
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        assert!(Url::parse(&format!("https://a/{}", "a".repeat(LONGEST))).is_err());
    }
}

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

    /// What a reference means in a message from `base` (RFC 3986 §5.2, RFC 9110 §10.2.2): an absolute https URL, checked.
    /// `base` is a URL that was asked already.
    ///
    /// # Errors
    ///
    /// A clause that says what is wrong with the reference.
    pub(super) fn resolve(base: &str, reference: &str) -> Result<String, &'static str> {
        let reference = reference.split('#').next().unwrap_or_default();
        if reference.is_empty() {
            return Err("is empty");
        }
        let scheme = reference.split(['/', '?']).next().unwrap_or_default();
        let whole = if scheme.contains(':') {
            reference.to_string()
        } else if reference.starts_with("//") {
            format!("https:{reference}")
        } else {
            let base = Url::parse(base)?;
            let (path, _) = split_query(&base.target);
            let target = match split_query(reference) {
                ("", new) => format!("{path}{new}"),
                (new, new_query) if new.starts_with('/') => without_dots(new) + new_query,
                (new, new_query) => {
                    // RFC 3986 §5.2.3: beside the last segment of the base.
                    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
                    without_dots(&format!("{folder}{new}")) + new_query
                }
            };
            format!("https://{}{target}", base.authority())
        };
        Url::parse(&whole)?;
        Ok(whole)
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

/// The path, and the query with its question mark.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// A path that begins with a slash, without its dot segments (RFC 3986 §5.2.4).
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3986 §5.4, as far as they are of https.
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
            assert_eq!(Url::resolve("https://a/b/c/d;p?q", reference).as_deref(), Ok(url), "{reference}");
        }
        let with_port = "https://[2001:db8::1]:14000/dir";
        assert_eq!(Url::resolve(with_port, "/acct/1").unwrap(), "https://[2001:db8::1]:14000/acct/1");
        assert_eq!(Url::resolve("https://a?q", "x").unwrap(), "https://a/x");
    }

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
            assert!(Url::resolve("https://a/b", reference).is_err(), "{reference:?}");
        }
    }

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

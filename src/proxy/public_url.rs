//! URLs in a backend's answers that lead to the backend itself: the client gets them as it has asked for them, because it cannot
//! follow the others, and because the names behind a proxy are nobody's business. Knows text only. `response` calls it for each
//! field that holds URLs.

use super::prefix::Prefix;

/// How the client calls this server, and under which names a backend may speak of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'n> {
    /// Of the client's request: `https`, or `http` in clear.
    pub scheme: &'static str,
    /// The host, with a port if there is one, that the client has asked for.
    pub asked: Option<&'n str>,
    /// The host and port of the backend's place.
    pub target: &'n str,
    /// What `Host` said to the backend, if that is set: programs build their URLs of it.
    pub host: Option<&'n str>,
    /// What was taken off the path.
    pub prefix: Option<&'n Prefix>,
}

/// An absolute URL, or one that begins with two slashes.
struct Absolute<'u> {
    /// As it is written, or the one of the client's request.
    scheme: &'u str,
    authority: &'u str,
    /// What follows the authority.
    path: &'u str,
}

impl Absolute<'_> {
    fn of<'u>(text: &'u str, own_scheme: &'static str) -> Option<Absolute<'u>> {
        let (scheme, rest) = match text.strip_prefix("//") {
            Some(rest) => (own_scheme, rest),
            None => text.split_once("://")?,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        Some(Absolute { scheme, authority, path })
    }

    /// The port that is meant where none is named. `None` for another scheme than HTTP's.
    fn default_port(&self) -> Option<&'static str> {
        match self.scheme {
            scheme if scheme.eq_ignore_ascii_case("https") => Some("443"),
            scheme if scheme.eq_ignore_ascii_case("http") => Some("80"),
            _ => None,
        }
    }
}

impl Names<'_> {
    /// Changes nothing.
    pub(super) const NONE: Names<'static> =
        Names { scheme: "https", asked: None, target: "", host: None, prefix: None };

    /// The reference as the client can follow it (RFC 3986 §4.1). `None` if it stays as it is, or leads elsewhere.
    pub(super) fn reference(&self, text: &str) -> Option<String> {
        if text.starts_with('/') && !text.starts_with("//") {
            return Prefix::location(self.prefix, text);
        }
        let asked = self.asked?;
        let url = Absolute::of(text, self.scheme)?;
        let default = url.default_port()?;
        if !self.is_asked(&url, asked) && !self.is_own(url.authority, default) {
            return None;
        }
        let below = Prefix::location(self.prefix, url.path);
        Some([self.scheme, "://", asked, below.as_deref().unwrap_or(url.path)].concat())
    }

    /// Whether it leads to what the client has asked for. The backend knows that host, and does not always know the port, nor that the
    /// client speaks TLS.
    fn is_asked(&self, url: &Absolute<'_>, asked: &str) -> bool {
        let is_plain = url.scheme.eq_ignore_ascii_case("http");
        let ((host, port), (own, _)) = (split(url.authority), split(asked));
        let is_it = url.authority.eq_ignore_ascii_case(asked);
        is_it && (is_plain || url.scheme.eq_ignore_ascii_case(self.scheme))
            || is_plain && host.eq_ignore_ascii_case(own) && matches!(port, None | Some("80"))
    }

    /// Whether this is a name of the backend. Which scheme it says tells nothing: many build it of `X-Forwarded-Proto`.
    fn is_own(&self, authority: &str, default_port: &str) -> bool {
        let (host, port) = split(authority);
        self.own().any(|(own, own_port)| {
            host.eq_ignore_ascii_case(own) && port.unwrap_or(default_port) == own_port.unwrap_or(default_port)
        })
    }

    fn own(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        [Some(self.target), self.host].into_iter().flatten().map(split)
    }

    /// Whether this is the backend's host, and not the client's.
    pub(super) fn is_own_host(&self, host: &str) -> bool {
        let is_asked = self.asked.is_some_and(|asked| split(asked).0.eq_ignore_ascii_case(host));
        !is_asked && self.own().any(|(own, _)| own.eq_ignore_ascii_case(host))
    }

    /// The value of `Refresh` (HTML, "shared declarative refresh steps"): seconds, and often a URL. `None` if it stays as it is.
    pub(super) fn refresh(&self, text: &str) -> Option<String> {
        let (_, after) = text.split_once([';', ','])?;
        let mut url = after.trim_start();
        let is_named = url.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"));
        let value = url.get(3..).filter(|_| is_named).and_then(|rest| rest.trim_start().strip_prefix('='));
        if let Some(value) = value {
            url = value.trim_start();
        }
        let mut length = url.trim_end().len();
        for quote in ['"', '\''] {
            if let Some(inside) = url.strip_prefix(quote) {
                url = inside;
                length = inside.find(quote).unwrap_or(inside.len());
            }
        }
        // What is left of the text begins there.
        let begin = text.len() - url.len();
        let changed = self.reference(url.get(..length)?)?;
        Some([text.get(..begin)?, &changed, url.get(length..)?].concat())
    }

    /// The value of `Link` (RFC 8288 §3): URLs between angle brackets, which otherwise only quoted parameters hold. `None` if it stays
    /// as it is.
    pub(super) fn link(&self, text: &str) -> Option<String> {
        let mut changed = String::new();
        let (mut at, mut copied, mut is_quoted) = (0, 0, false);
        while let Some(found) = text.get(at..).unwrap_or_default().find(['"', '\\', '<']) {
            at += found;
            match text.as_bytes().get(at) {
                Some(b'\\') if is_quoted => at += 1,
                Some(b'"') => is_quoted = !is_quoted,
                Some(b'<') if !is_quoted => {
                    let Some((url, _)) = text.get(at + 1..).and_then(|rest| rest.split_once('>')) else {
                        break;
                    };
                    if let Some(own) = self.reference(url) {
                        changed.push_str(text.get(copied..=at)?);
                        changed.push_str(&own);
                        copied = at + 1 + url.len();
                    }
                    at += url.len();
                }
                _ => {}
            }
            at += 1;
        }
        if copied == 0 {
            return None;
        }
        changed.push_str(text.get(copied..)?);
        Some(changed)
    }
}

/// A host and its port, if it has one.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'n>(target: &'n str, host: Option<&'n str>) -> Names<'n> {
        Names { scheme: "https", asked: Some("api.example:8443"), target, host, prefix: None }
    }

    #[test]
    fn a_url_of_the_backend_itself_leads_to_what_the_client_has_asked_for_in_all_its_forms() {
        let public = |path: &str| Some(format!("https://api.example:8443{path}"));
        for (target, host, url, path) in [
            ("backend:3000", None, "http://backend:3000/a?b#c", Some("/a?b#c")),
            ("backend:3000", None, "HTTP://Backend:3000", Some("")),
            ("backend:3000", None, "https://backend:3000/a", Some("/a")),
            ("backend:3000", None, "//backend:3000/a", Some("/a")),
            ("backend:3000", None, "http://backend/a", None),
            ("backend:3000", None, "https://backend/a", None),
            ("backend:3000", None, "http://backend:3001/a", None),
            ("backend", None, "http://backend/a", Some("/a")),
            ("backend", None, "http://backend:80/a", Some("/a")),
            ("backend", None, "http://backend:/a", Some("/a")),
            ("backend", None, "https://backend/a", Some("/a")),
            ("backend", None, "https://backend:443/a", Some("/a")),
            ("backend", None, "http://backend:443/a", None),
            ("backend", None, "ftp://backend/a", None),
            ("backend:443", None, "https://backend/a", Some("/a")),
            ("[::1]:3000", None, "http://[::1]:3000/a", Some("/a")),
            ("[::1]", None, "http://[::1]/a", Some("/a")),
            ("[::1]", None, "http://[::1]:80/a", Some("/a")),
            // What `Host` says to it.
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal:80/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "https://APP.internal/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "https://app.internal:443?a", Some("?a")),
            ("10.0.0.2:3000", Some("app.internal"), "//app.internal/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "http://10.0.0.2:3000/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal:8080/a", None),
            ("10.0.0.2:3000", Some("app.internal:8080"), "http://app.internal:8080/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal:8080"), "https://app.internal:8080/a", Some("/a")),
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal.evil/", None),
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal@evil/", None),
            ("10.0.0.2:3000", Some("app.internal"), "http://app.internal:80@evil/", None),
            ("10.0.0.2:3000", Some("app.internal"), "http://evil/http://app.internal/", None),
        ] {
            let expected = path.and_then(public);
            assert_eq!(names(target, host).reference(url), expected, "{target} {host:?} {url}");
        }
        let nobody = Names { asked: None, ..names("backend", None) };
        assert_eq!(nobody.reference("http://backend/"), None);
    }

    #[test]
    fn for_a_client_in_clear_it_stays_in_clear() {
        let clear = Names { scheme: "http", asked: Some("a.example:8080"), ..names("backend:3000", None) };
        for (url, expected) in [
            ("http://backend:3000/a", Some("http://a.example:8080/a")),
            ("http://a.example/a", Some("http://a.example:8080/a")),
            ("https://a.example/a", None),
            ("https://a.example:8080/a", None),
        ] {
            assert_eq!(clear.reference(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_refresh_keeps_all_but_its_url() {
        let names = names("backend:3000", None);
        for (value, expected) in [
            ("5; url=http://backend:3000/a", Some("5; url=https://api.example:8443/a")),
            ("0;URL = 'http://backend:3000/a;b' ", Some("0;URL = 'https://api.example:8443/a;b' ")),
            ("0, url=\"http://backend:3000/a", Some("0, url=\"https://api.example:8443/a")),
            ("0; http://backend:3000/a ", Some("0; https://api.example:8443/a ")),
            ("5; url=http://other/a", None),
            ("5; url=/a", None),
            ("5; url", None),
            ("5; url=", None),
            ("5;", None),
            ("5", None),
        ] {
            assert_eq!(names.refresh(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn each_link_of_the_backend_to_itself_is_changed_and_nothing_else() {
        let prefix = Prefix::parse("/api").unwrap();
        let names = Names { prefix: Some(&prefix), ..names("backend:3000", None) };
        for (value, expected) in [
            (
                "<http://backend:3000/a?page=2>; rel=\"next\", <http://backend:3000/a?page=9>; rel=last",
                Some("<https://api.example:8443/api/a?page=2>; rel=\"next\", <https://api.example:8443/api/a?page=9>; rel=last"),
            ),
            ("<https://cdn.example/a.js>; rel=preload, </a.css>", Some("<https://cdn.example/a.js>; rel=preload, </api/a.css>")),
            ("<b>; title=\"<http://backend:3000/\\\"<http://backend:3000/>\", </a>", Some("<b>; title=\"<http://backend:3000/\\\"<http://backend:3000/>\", </api/a>")),
            ("</a>, <http://backend:3000/", Some("</api/a>, <http://backend:3000/")),
            ("<https://cdn.example/a.js>; rel=preload", None),
            ("</api/a>", None),
            ("<>", None),
            ("\"\\", None),
            ("<", None),
            ("", None),
        ] {
            assert_eq!(names.link(value).as_deref(), expected, "{value}");
        }
    }
}

//! The prefix of the paths that a proxy has taken off before the backend gets them: what the backend gets of a path, and what the
//! client gets of the paths in its answers. Also refuses paths that a backend may read as others. Knows text only. `mod` asks for
//! requests, `response` for answers.

use ::http::{HeaderValue, StatusCode};

use crate::http::Refusal;

const ANOTHER_PATH: Refusal = Refusal::bad_request(
    "the path holds a dot segment with parameters (/..;/), which other programs resolve",
);
const LIKE_A_HOST: Refusal = Refusal::bad_request(
    "the path begins with // without the prefix of the route, which other programs take for a host",
);
const OUTSIDE: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "the path does not begin with the prefix that is to be taken off");

/// A path of whole segments: `/api`, `/devices/pump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Without a slash at its end; the same decoded and encoded.
    path: String,
}

impl Prefix {
    /// Reads a prefix; a slash at its end makes no difference. An error is a clause that says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Prefix, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let Some(inner) = path.strip_prefix('/') else {
            return Err("a prefix begins with / and has a segment: /api");
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
        if !inner.bytes().all(is_plain) {
            return Err("a prefix has plain characters only: letters, digits and -._~!$&'()*+,=:@");
        }
        match inner.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
            Some("") => Err("a prefix has no empty segment"),
            Some(_) => Err("a prefix has no dot segments"),
            None => Ok(Prefix { path: path.to_string() }),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What follows the prefix in a path as it came; `None` for a path without it. Segments are compared decoded, and one by one, so
    /// that the same segments are taken off whatever their spelling.
    fn strip<'p>(&self, raw: &'p [u8]) -> Option<&'p [u8]> {
        let mut rest = raw;
        for wanted in self.path.split('/').skip(1) {
            let after = rest.strip_prefix(b"/")?;
            let end = after.iter().position(|&byte| byte == b'/').unwrap_or(after.len());
            let (segment, left) = after.split_at(end);
            if !is_spelling_of(segment, wanted.as_bytes()) {
                return None;
            }
            rest = left;
        }
        Some(rest)
    }

    /// The path with the prefix before it; `None` if it has the prefix already: such a backend knows where it is.
    fn before(&self, path: &str) -> Option<String> {
        let after = path.strip_prefix(self.path.as_str());
        if after.is_some_and(|after| after.is_empty() || after.starts_with(['/', '?', '#'])) {
            return None;
        }
        Some(format!("{}{path}", self.path))
    }

    /// Where a redirect to this absolute path of the backend leads for the client.
    pub(super) fn location(prefix: Option<&Prefix>, path: &str) -> Option<String> {
        match prefix {
            Some(prefix) if path.starts_with('/') && !path.starts_with("//") => prefix.before(path),
            // `http://host` and `http://host?query` mean the backend's root.
            Some(prefix) if !path.starts_with('/') => prefix.before(&format!("/{path}")),
            _ => None,
        }
    }

    /// The cookie (RFC 6265 §4.1) with its `Path` below the prefix. `None` if it stays as it is: it has no path, or it is a `__Host-`
    /// cookie, which is for all paths or for none (RFC 6265bis §4.1.3.2).
    pub(super) fn cookie(&self, cookie: &HeaderValue) -> Option<HeaderValue> {
        let text = cookie.as_bytes();
        let is_for_host = text.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"__host-"));
        if is_for_host {
            return None;
        }
        let mut changed = Vec::with_capacity(text.len() + self.path.len());
        let mut is_changed = false;
        for (at, attribute) in text.split(|&byte| byte == b';').enumerate() {
            if at > 0 {
                changed.push(b';');
            }
            changed.extend_from_slice(attribute);
            let value = attribute.iter().position(|&byte| byte == b'=').filter(|_| at > 0);
            let Some((name, value)) = value.map(|equals| attribute.split_at(equals + 1)) else { continue };
            let name = String::from_utf8_lossy(name);
            let Ok(path) = std::str::from_utf8(value) else { continue };
            if name.trim_end_matches('=').trim().eq_ignore_ascii_case("path") && path.trim().starts_with('/')
            {
                let path = path.trim();
                let below = if path == "/" { Some(self.path.clone()) } else { self.before(path) };
                let Some(below) = below else { continue };
                changed.truncate(changed.len() - value.len());
                changed.extend_from_slice(below.as_bytes());
                is_changed = true;
            }
        }
        is_changed.then(|| HeaderValue::from_bytes(&changed).ok()).flatten()
    }
}

/// The path that the backend gets for this one, which is as it came; a refusal if that could be read as another path than the one
/// that was routed by.
pub(super) fn for_backend<'p>(prefix: Option<&Prefix>, raw: &'p [u8]) -> Result<&'p [u8], Refusal> {
    if raw.split(|&byte| byte == b'/').any(is_dots_with_parameters) {
        return Err(ANOTHER_PATH);
    }
    let Some(prefix) = prefix else { return Ok(raw) };
    match prefix.strip(raw).ok_or(OUTSIDE)? {
        b"" => Ok(b"/"),
        rest if rest.starts_with(b"//") => Err(LIKE_A_HOST),
        rest => Ok(rest),
    }
}

/// Whether a segment is a dot segment to programs that drop parameters first, as servlet containers do: `..;`, `.;a=b`,
/// `%2e%2e%3b`. The router has refused those without parameters.
fn is_dots_with_parameters(segment: &[u8]) -> bool {
    let mut decoded = decoded(segment).take_while(|&byte| byte != b';');
    let dots = decoded.by_ref().take(3).collect::<Vec<_>>();
    dots == b"." || dots == b".."
}

/// Whether this is a spelling of the segment, percent-encoded or not.
fn is_spelling_of(segment: &[u8], wanted: &[u8]) -> bool {
    decoded(segment).eq(wanted.iter().copied())
}

/// The bytes of a segment, percent-decoded once. What is no percent-encoding stays.
fn decoded(segment: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = segment;
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte == b'%' {
            let digit = |at: usize| (*after.get(at)? as char).to_digit(16);
            if let (Some(high), Some(low)) = (digit(0), digit(1)) {
                rest = after.get(2..).unwrap_or_default();
                return u8::try_from(high * 16 + low).ok();
            }
        }
        Some(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Prefix {
        Prefix::parse("/api").unwrap()
    }

    #[test]
    fn a_prefix_is_a_path_of_whole_plain_segments() {
        for (text, path) in [("/api", "/api"), ("/api/", "/api"), ("/a/b.c/~d", "/a/b.c/~d")] {
            assert_eq!(Prefix::parse(text).unwrap().path(), path);
        }
        for (text, words) in [
            ("", "begins with /"),
            ("/", "begins with /"),
            ("api", "begins with /"),
            ("//", "empty"),
            ("//api", "empty"),
            ("/a//b", "empty"),
            ("/api//", "empty"),
            ("/a/../b", "dot"),
            ("/.", "dot"),
            ("/%61pi", "plain"),
            ("/a;b", "plain"),
            ("/a?b", "plain"),
            ("/a#b", "plain"),
            ("/{id}", "plain"),
            ("/a b", "plain"),
            ("/\u{e4}", "plain"),
            ("/a\r\nb", "plain"),
        ] {
            assert!(Prefix::parse(text).unwrap_err().contains(words), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_by_whole_segments_whatever_their_spelling() {
        for (raw, rest) in [
            ("/api", Ok("/")),
            ("/api/", Ok("/")),
            ("/api/x", Ok("/x")),
            ("/api/x/", Ok("/x/")),
            ("/api/x//y", Ok("/x//y")),
            ("/api/foobar%3D", Ok("/foobar%3D")),
            ("/api/a%20b/%25", Ok("/a%20b/%25")),
            ("/%61pi/x", Ok("/x")),
            ("/%61%70%69", Ok("/")),
            ("/api/a;b=c", Ok("/a;b=c")),
            ("/api/...", Ok("/...")),
            ("/api/a..b", Ok("/a..b")),
            ("/api/api", Ok("/api")),
            ("/apix", Err(404)),
            ("/apix/y", Err(404)),
            ("/API/x", Err(404)),
            ("/ap", Err(404)),
            ("/", Err(404)),
            ("/api%2Fx", Err(404)),
            ("/api../x", Err(404)),
            ("/api;a/x", Err(404)),
            ("/x/api", Err(404)),
            ("/%2561pi/x", Err(404)),
            ("/api//", Err(400)),
            ("/api//evil.example/x", Err(400)),
            ("/api/..;/admin", Err(400)),
            ("/api/..;a=b/admin", Err(400)),
            ("/api/%2e%2e%3b/admin", Err(400)),
            ("/api/%2E.;", Err(400)),
            ("/api/.;/x", Err(400)),
        ] {
            let found = for_backend(Some(&api()), raw.as_bytes());
            let found = found.map(|path| std::str::from_utf8(path).unwrap());
            assert_eq!(found.map_err(|refusal| refusal.status.as_u16()), rest, "{raw}");
        }
        let deep = Prefix::parse("/a/b").unwrap();
        assert_eq!(for_backend(Some(&deep), b"/a/%62/c").unwrap(), b"/c");
        // Decoded as a whole it would be the prefix, and another part would be left.
        assert!(for_backend(Some(&deep), b"/a%2Fb/c").is_err());
    }

    #[test]
    fn without_a_prefix_the_path_stays_as_it_came() {
        for raw in ["/", "/api//x", "/a%20b/", "/...;a", "/..a;b", "/a;..", "/%"] {
            assert_eq!(for_backend(None, raw.as_bytes()).unwrap(), raw.as_bytes());
        }
        for raw in ["/..;/", "/a/.;", "/a/..%3B"] {
            assert!(for_backend(None, raw.as_bytes()).is_err(), "{raw}");
        }
    }

    #[test]
    fn the_backends_own_paths_get_the_prefix_unless_they_have_it() {
        for (path, expected) in [
            ("/login", Some("/api/login")),
            ("/", Some("/api/")),
            ("", Some("/api/")),
            ("?a", Some("/api/?a")),
            ("/apix", Some("/api/apix")),
            ("/login?next=/x#y", Some("/api/login?next=/x#y")),
            ("/api", None),
            ("/api/login", None),
            ("/api?a", None),
            ("//evil.example", None),
        ] {
            assert_eq!(Prefix::location(Some(&api()), path).as_deref(), expected, "{path}");
            assert_eq!(Prefix::location(None, path), None);
        }
    }

    #[test]
    fn cookies_of_the_backend_are_for_the_paths_below_the_prefix() {
        for (cookie, expected) in [
            ("a=b; Path=/", Some("a=b; Path=/api")),
            ("a=b; path=/x; HttpOnly", Some("a=b; path=/api/x; HttpOnly")),
            ("a=b;Path = /x ", Some("a=b;Path =/api/x")),
            ("a=b; Path=/apix", Some("a=b; Path=/api/apix")),
            ("a=b; Path=/; Path=/x", Some("a=b; Path=/api; Path=/api/x")),
            ("a=b; Path=/api", None),
            ("a=b; Path=/api/x", None),
            ("a=b", None),
            ("a=b; Path", None),
            ("a=b; Path=", None),
            ("a=b; Path=x", None),
            ("Path=/", None),
            ("__Host-a=b; Path=/; Secure", None),
            ("__host-a=b; Path=/", None),
            ("a=b; Comment=Path=/", None),
        ] {
            let changed = api().cookie(&HeaderValue::from_static(cookie));
            assert_eq!(changed.as_ref().map(|value| value.to_str().unwrap()), expected, "{cookie}");
        }
    }
}

//! Cookies (RFC 6265, and its successor draft-ietf-httpbis-rfc6265bis): those that a client sends, and those that a program sets.
//! Knows fields' values only; handlers call it.

use std::fmt;
use std::time::Duration;

use ::http::HeaderValue;

use crate::backports::Trim;
use crate::error::Error;

/// Browsers accept a cookie with this prefix only from HTTPS, for this host alone and for all of its paths
/// (draft-ietf-httpbis-rfc6265bis §4.1.3.2). So no other host of the domain, and nobody in plain HTTP, can set it.
const PREFIX: &str = "__Host-";

/// The most bytes of a name and its value that browsers keep (draft-ietf-httpbis-rfc6265bis §5.6).
const MOST_BYTES: usize = 4096;

/// A cookie to be set, with the safest attributes there are: `__Host-` before its name, `Secure`, `HttpOnly`,
/// `SameSite=Strict`, `Path=/`. It ends with the browser's session.
///
/// ```
/// use lockgate::web::Cookie;
/// use lockgate::{Error, Request, Response, Router};
///
/// fn login(_: &mut Request) -> Result<Response, Error> {
///     let cookie = Cookie::new("session", "c2VjcmV0")?;
///     Ok(Response::text("hello").append_header("set-cookie", cookie))
/// }
///
/// let router = Router::new()
///     .post("/login", login)
///     .get("/", |request: &mut Request| Some(format!("session {}", request.cookie("session")?)));
/// let response = router.call(&mut Request::post("/login"));
/// let set = "__Host-session=c2VjcmV0; Path=/; Secure; HttpOnly; SameSite=Strict";
/// assert_eq!(response.header("set-cookie").unwrap(), set);
/// let mut request = Request::get("/").with_header("cookie", "a=b; __Host-session=c2VjcmV0");
/// assert_eq!(router.call(&mut request).into_bytes().unwrap(), b"session c2VjcmV0");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a cookie is set by the response's field: append_header(\"set-cookie\", cookie)"]
pub struct Cookie {
    name: String,
    value: String,
    max_age: Option<Duration>,
    same_site: SameSite,
    is_for_scripts: bool,
}

/// With which requests from pages of other sites a browser sends the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// With none. A person who follows a link from another site to the device is not logged in on the first page.
    Strict,
    /// With those that follow a link, never with a POST.
    Lax,
}

impl Cookie {
    /// A cookie for this host. `__Host-` is put before the name, unless the name has it.
    ///
    /// # Errors
    /// [`Error::Setting`], which answers with 500: the name is no token (RFC 6265 §4.1.1); the value has a character other than
    /// visible ASCII, or a space, quote, comma, semicolon or backslash (encode such a value, with base64 say); or both together are
    /// longer than 4,096 bytes, which browsers drop.
    pub fn new(name: &str, value: impl Into<String>) -> Result<Cookie, Error> {
        Cookie::checked(prefixed(name), value.into())
    }

    /// The same without `__Host-`, for a program that expects this very name. Other hosts of the domain can set a cookie of this
    /// name too.
    ///
    /// # Errors
    /// As [`new`](Cookie::new).
    pub fn without_prefix(name: &str, value: impl Into<String>) -> Result<Cookie, Error> {
        Cookie::checked(name.to_string(), value.into())
    }

    /// A cookie that makes the browser forget the one of this name.
    ///
    /// # Errors
    /// As [`new`](Cookie::new).
    pub fn removed(name: &str) -> Result<Cookie, Error> {
        Ok(Cookie::new(name, "")?.max_age(Duration::ZERO))
    }

    fn checked(name: String, value: String) -> Result<Cookie, Error> {
        let fault = if name.is_empty()
            || name == PREFIX
            || !name.chars().all(super::parameters::is_token_character)
        {
            "its name must be letters, digits and marks such as - and _"
        } else if !value.bytes().all(is_value_byte) {
            "its value has a character that cookies may not have; encode it, for example with base64"
        } else if name.len() + value.len() > MOST_BYTES {
            "it has more than 4,096 bytes, and browsers drop it; keep the data here, and only a key to it in the cookie"
        } else {
            return Ok(Cookie {
                name,
                value,
                max_age: None,
                same_site: SameSite::Strict,
                is_for_scripts: false,
            });
        };
        Err(Error::Setting { setting: "cookie", fault: fault.to_string() })
    }

    /// How long the browser keeps the cookie, in whole seconds. Without it the cookie ends with the browser's session.
    pub fn max_age(mut self, age: Duration) -> Cookie {
        self.max_age = Some(age);
        self
    }

    /// With which requests of other sites the cookie is sent. Defaults to [`SameSite::Strict`].
    pub fn same_site(mut self, same_site: SameSite) -> Cookie {
        self.same_site = same_site;
        self
    }

    /// Lets scripts of the page read the cookie: leaves `HttpOnly` out. Not for secrets.
    pub fn readable_by_scripts(mut self) -> Cookie {
        self.is_for_scripts = true;
        self
    }
}

/// The value of the field `Set-Cookie`.
impl From<Cookie> for HeaderValue {
    fn from(cookie: Cookie) -> HeaderValue {
        let Cookie { name, value, max_age, same_site, is_for_scripts } = cookie;
        let mut field = format!("{name}={value}; Path=/; Secure");
        if let Some(age) = max_age {
            field += &format!("; Max-Age={}", age.as_secs());
        }
        if !is_for_scripts {
            field += "; HttpOnly";
        }
        field += match same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
        };
        // Name and value are visible ASCII.
        HeaderValue::try_from(field).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Shows the name, never the value, which may be a secret.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).finish_non_exhaustive()
    }
}

/// RFC 6265 §4.1.1: cookie-octet.
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

pub(super) fn prefixed(name: &str) -> String {
    if name.starts_with(PREFIX) {
        name.to_string()
    } else {
        format!("{PREFIX}{name}")
    }
}

/// The value of the first cookie of this name, in the values of the fields `Cookie`. Quotes around a value are part of it, as
/// draft-ietf-httpbis-rfc6265bis has it.
pub(super) fn find<'f>(fields: impl Iterator<Item = &'f [u8]>, name: &str) -> Option<&'f str> {
    let mut cookies = fields.flat_map(|field| field.split(|&byte| byte == b';'));
    let value = cookies.find_map(|cookie| {
        let equals = memchr::memchr(b'=', cookie)?;
        let known = cookie[..equals].trimmed();
        (known == name.as_bytes()).then(|| cookie[equals + 1..].trimmed())
    });
    std::str::from_utf8(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(cookie: Cookie) -> String {
        HeaderValue::from(cookie).to_str().unwrap().to_string()
    }

    #[test]
    fn a_cookie_is_safe_unless_the_program_says_otherwise() {
        let cookie = || Cookie::new("a", "1").unwrap();
        assert_eq!(field(cookie()), "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Strict");
        let changed =
            cookie().max_age(Duration::from_millis(60_500)).same_site(SameSite::Lax).readable_by_scripts();
        assert_eq!(field(changed), "__Host-a=1; Path=/; Secure; Max-Age=60; SameSite=Lax");
        assert_eq!(
            field(Cookie::removed("__Host-a").unwrap()),
            "__Host-a=; Path=/; Secure; Max-Age=0; HttpOnly; SameSite=Strict"
        );
        assert_eq!(
            field(Cookie::without_prefix("a", "").unwrap()),
            "a=; Path=/; Secure; HttpOnly; SameSite=Strict"
        );
        assert_eq!(format!("{:?}", Cookie::new("a", "secret").unwrap()), "Cookie { name: \"__Host-a\", .. }");
    }

    #[test]
    fn what_a_cookie_may_not_hold_is_an_error_that_says_what_to_do() {
        let long = "x".repeat(4_089);
        let longer = "x".repeat(4_096);
        assert!(
            Cookie::new("a", &long[1..]).is_ok()
                && Cookie::new("a", &*long).is_err()
                && Cookie::new("", "1").is_err()
        );
        for (name, value, way_out) in [
            ("", "1", "letters"),
            ("a b", "1", "letters"),
            ("a=", "1", "letters"),
            ("ä", "1", "letters"),
            ("a\r\nSet-Cookie: b", "1", "letters"),
            ("a", "1; Domain=example.com", "base64"),
            ("a", "1\r\n", "base64"),
            ("a", "\"1\"", "base64"),
            ("a", "1,2", "base64"),
            ("a", "{\\}", "base64"),
            ("a", "ä", "base64"),
            ("a", " ", "base64"),
            ("a", &longer, "only a key"),
        ] {
            let said = Cookie::without_prefix(name, value).expect_err(name).to_string();
            assert!(said.starts_with("cookie: ") && said.contains(way_out), "{name:?} {value:?}: {said}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name_and_the_first_counts() {
        let fields = ["a=1; b=2;c=3; a=4 ; =5; d; e=; f=\"6\";g=h=i", "z=\u{e4}; __Host-s=7"];
        let found = |name: &str| find(fields.iter().map(|field| field.as_bytes()), name);
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("2")),
            ("c", Some("3")),
            ("", Some("5")),
            ("d", None),
            ("e", Some("")),
            ("f", Some("\"6\"")),
            ("g", Some("h=i")),
            ("z", Some("ä")),
            ("A", None),
            ("s", None),
            ("__Host-s", Some("7")),
        ] {
            assert_eq!(found(name), value, "{name}");
        }
        assert_eq!(find([&b"a=\xff"[..]].into_iter(), "a"), None);
    }
}

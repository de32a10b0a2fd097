//! The backend's response as the client gets it: its fields without those of the connection to the backend, with redirects to
//! HTTPS and cookies for HTTPS only. Knows responses, and no socket. `exchange` passes it on.

use std::collections::HashSet;

use ::http::header::{CONNECTION, CONTENT_LENGTH, LOCATION, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::fields::{is_hop_by_hop, Named};
use crate::backports::Trim;
use crate::http::response::Response;
use crate::http::span::Field;

/// What the fields of a response are changed by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'r> {
    /// The host, with a port if there is one, that the client has asked for.
    pub asked: Option<&'r str>,
    /// The host and port of the backend.
    pub backend: &'r str,
    /// Whether cookies get `Secure`.
    pub secure_cookies: bool,
}

/// The fields for the client of a head that was read from `head`. `None` if one cannot be passed on.
pub(super) fn fields(head: &[u8], fields: &[Field], rules: Rules<'_>) -> Option<HeaderMap> {
    let values = |name: HeaderName| {
        let is_it = move |field: &&Field| field.name.of(head).eq_ignore_ascii_case(name.as_str().as_bytes());
        fields.iter().filter(is_it).map(|field| field.value.of(head))
    };
    let named = Named::of(values(CONNECTION));
    let mut map = HeaderMap::with_capacity(fields.len() + 1);
    for field in fields {
        let name = field.name.of(head);
        if is_hop_by_hop(name) || named.has(name) || name.eq_ignore_ascii_case(b"proxy-authenticate") {
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        if name == CONTENT_LENGTH {
            continue;
        }
        let mut value = HeaderValue::from_bytes(field.value.of(head)).ok()?;
        let changed = match name {
            LOCATION => location(&value, rules),
            SET_COOKIE if rules.secure_cookies => secure(&value),
            _ => None,
        };
        if let Some(changed) = changed {
            value = changed;
        }
        map.append(name, value);
    }
    // The backend's answers are its own: the server adds nothing to them about types that browsers guess.
    map.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static(""));
    Some(map)
}

/// Adds what layers have set while the response was still to come. What the backend says itself stays, as what a handler says.
pub(super) fn surround(response: &mut Response, around: HeaderMap) {
    let fields = response.headers_mut();
    if fields.get(X_CONTENT_TYPE_OPTIONS).is_some_and(HeaderValue::is_empty)
        && around.contains_key(X_CONTENT_TYPE_OPTIONS)
    {
        fields.remove(X_CONTENT_TYPE_OPTIONS);
    }
    let said: HashSet<HeaderName> = fields.keys().cloned().collect();
    for (name, value) in &around {
        if !said.contains(name) || *name == VARY || *name == SET_COOKIE {
            fields.append(name, value.clone());
        }
    }
}

/// A redirect of the backend to itself, to HTTPS. `None` if it leads elsewhere.
fn location(value: &HeaderValue, Rules { asked, backend, .. }: Rules<'_>) -> Option<HeaderValue> {
    let asked = asked?;
    let text = value.to_str().ok()?;
    let rest = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and(text.get(7..))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // The backend knows the host that the client has asked for, and does not always know the port.
    let is_asked = authority.eq_ignore_ascii_case(asked)
        || host(authority).eq_ignore_ascii_case(host(asked)) && matches!(port(authority), None | Some("80"));
    if !is_asked && !authority.eq_ignore_ascii_case(backend) {
        return None;
    }
    HeaderValue::from_str(&format!("https://{asked}{path}")).ok()
}

fn port(authority: &str) -> Option<&str> {
    let (_, port) = authority.rsplit_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)
}

fn host(authority: &str) -> &str {
    match port(authority) {
        Some(port) => &authority[..authority.len() - port.len() - 1],
        None => authority,
    }
}

/// The cookie with `Secure`. `None` if it has that (RFC 6265 §5.2.5).
fn secure(value: &HeaderValue) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    let is_secure = bytes.split(|&byte| byte == b';').skip(1).any(|attribute| {
        let name = attribute.split(|&byte| byte == b'=').next().unwrap_or_default();
        name.trimmed().eq_ignore_ascii_case(b"secure")
    });
    if is_secure {
        return None;
    }
    HeaderValue::from_bytes(&[bytes, b"; Secure"].concat()).ok()
}

#[cfg(test)]
mod tests {
    use ::http::Method;

    use super::*;
    use crate::http::incoming_response::{find, Found};

    fn changed(lines: &str, secure_cookies: bool) -> Vec<(String, String)> {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut found = Vec::new();
        let read = find(head.as_bytes(), 0, &Method::HEAD, &mut found).unwrap();
        assert!(matches!(read, Found::Whole(..)));
        let rules = Rules { asked: Some("api.example:8443"), backend: "127.0.0.1:3000", secure_cookies };
        let map = fields(head.as_bytes(), &found, rules).unwrap();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let pairs = map.iter().map(|(name, value)| (name.to_string(), text(value)));
        pairs.filter(|(name, value)| name != "x-content-type-options" || !value.is_empty()).collect()
    }

    #[test]
    fn fields_of_the_connection_to_the_backend_stay_there_and_all_others_pass() {
        let pairs = changed(
            "Server: old\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\nDate: today\r\n\
             WWW-Authenticate: Basic\r\nVary: a\r\nVary: b\r\nX-Content-Type-Options: nosniff\r\n",
            true,
        );
        let expected = [
            ("server", "old"),
            ("date", "today"),
            ("www-authenticate", "Basic"),
            ("vary", "a"),
            ("vary", "b"),
            ("x-content-type-options", "nosniff"),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn a_redirect_of_the_backend_to_itself_leads_to_https_and_others_where_they_led() {
        for (location, expected) in [
            ("http://api.example:8443/a?b#c", "https://api.example:8443/a?b#c"),
            ("http://api.example/a", "https://api.example:8443/a"),
            ("HTTP://API.example:80", "https://api.example:8443"),
            ("http://api.example?a", "https://api.example:8443?a"),
            ("http://127.0.0.1:3000/login", "https://api.example:8443/login"),
            ("http://127.0.0.1:3001/", "http://127.0.0.1:3001/"),
            ("http://127.0.0.1/", "http://127.0.0.1/"),
            ("http://api.example:9000/", "http://api.example:9000/"),
            ("http://api.example.evil/", "http://api.example.evil/"),
            ("http://api.example:8443@evil/", "http://api.example:8443@evil/"),
            ("http://api.example@evil/", "http://api.example@evil/"),
            ("http://other.example/", "http://other.example/"),
            ("https://api.example/", "https://api.example/"),
            ("/a", "/a"),
            ("//api.example/a", "//api.example/a"),
            ("", ""),
        ] {
            let pairs = changed(&format!("Location: {location}\r\n"), true);
            assert_eq!(pairs, [("location".to_string(), expected.to_string())]);
        }
    }

    #[test]
    fn what_layers_have_set_is_added_to_what_the_backend_says() {
        let mut response = Response::text("a")
            .with_header("x-content-type-options", "")
            .with_header("vary", "a")
            .with_header("x-own", "backend");
        let around = Response::text("")
            .with_header("x-content-type-options", "nosniff")
            .with_header("vary", "b")
            .with_header("x-own", "layer")
            .append_header("x-layer", "1")
            .append_header("x-layer", "2");
        surround(&mut response, *around.fields.unwrap());
        let all = |name: &str| {
            let values = response.headers().get_all(name).iter();
            values.map(|value| value.to_str().unwrap().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((all("x-content-type-options"), all("vary")), ("nosniff".into(), "a b".into()));
        assert_eq!((all("x-own"), all("x-layer")), ("backend".into(), "1 2".into()));
    }

    #[test]
    fn cookies_are_for_https_only_unless_the_program_wants_them_as_they_are() {
        for (cookie, expected) in [
            ("a=b", "a=b; Secure"),
            ("a=b; Path=/; HttpOnly", "a=b; Path=/; HttpOnly; Secure"),
            ("a=b; secure; Path=/", "a=b; secure; Path=/"),
            ("a=b;SECURE", "a=b;SECURE"),
            ("a=b; Secure=1", "a=b; Secure=1"),
            ("secure=b", "secure=b; Secure"),
            ("a=secure", "a=secure; Secure"),
            ("a=b; Securely", "a=b; Securely; Secure"),
            ("a=\u{e4}", "a=\u{e4}; Secure"),
        ] {
            let lines = format!("Set-Cookie: {cookie}\r\nSet-Cookie: z\r\n");
            let of = |values: [&str; 2]| values.map(|value| ("set-cookie".to_string(), value.to_string()));
            assert_eq!(changed(&lines, true), of([expected, "z; Secure"]));
            assert_eq!(changed(&lines, false), of([cookie, "z"]));
        }
    }
}

//! The backend's response as the client gets it: its fields without those of the connection to the backend, URLs that lead to the
//! backend as the client can follow them, and cookies for HTTPS only. Knows responses, and no socket. `exchange` passes it on.

use std::collections::HashSet;

use ::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, LINK, LOCATION, REFRESH, SET_COOKIE};
use ::http::header::{VARY, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::fields::Named;
use super::public_url::Names;
use crate::backports::Trim;
use crate::http::hop_by_hop::is_hop_by_hop;
use crate::http::response::Response;
use crate::http::span::Field;

/// What the fields of a response are changed by.
#[derive(Clone, Copy)]
pub(super) struct Rules<'r> {
    /// What URLs of the backend become.
    pub names: Names<'r>,
    /// Whether cookies get `Secure`.
    pub secure_cookies: bool,
    /// Called when one has got it.
    pub tell_of_cookies: &'r dyn Fn(),
    pub status: StatusCode,
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
        // The server says `Connection: upgrade` to it.
        let is_wanted = rules.status == StatusCode::UPGRADE_REQUIRED && name.eq_ignore_ascii_case(b"upgrade");
        if is_wanted {
            // A 426 has it (RFC 9110 §15.5.22).
        } else if is_hop_by_hop(name) || named.has(name) || name.eq_ignore_ascii_case(b"proxy-authenticate") {
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        if name == CONTENT_LENGTH {
            continue;
        }
        let mut value = HeaderValue::from_bytes(field.value.of(head)).ok()?;
        let changed = match name {
            LOCATION | CONTENT_LOCATION => with_text(&value, |text| rules.names.reference(text)),
            LINK => with_text(&value, |text| rules.names.link(text)),
            REFRESH => with_text(&value, |text| rules.names.refresh(text)),
            SET_COOKIE => cookie(&value, rules),
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

/// The fields of an interim response (RFC 9110 §15.2) that are passed on.
pub(super) fn interim_fields(head: &[u8], all: &[Field]) -> Option<HeaderMap> {
    let status = StatusCode::CONTINUE;
    let rules = Rules { names: Names::NONE, secure_cookies: false, tell_of_cookies: &|| {}, status };
    let mut map = fields(head, all, rules)?;
    // Cookies and redirects are those of the final response.
    map.remove(SET_COOKIE);
    map.remove(LOCATION);
    Some(map)
}

/// Whether a body of this type is a stream of events. The letters of a type have no case (RFC 9110 §8.3.1).
pub(super) fn is_events(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trimmed().eq_ignore_ascii_case(b"text/event-stream")
}

/// The interim response with these fields, for the client.
pub(super) fn interim(status: StatusCode, fields: HeaderMap, names: Option<Names<'_>>) -> Response {
    let mut response = Response::new(status);
    *response.headers_mut() = fields;
    for (name, value) in response.headers_mut().iter_mut() {
        let links = names.filter(|_| *name == LINK);
        if let Some(changed) = links.and_then(|names| with_text(value, |text| names.link(text))) {
            *value = changed;
        }
    }
    response
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

/// The value with its text changed. `None` if it stays as it is.
fn with_text(value: &HeaderValue, change: impl FnOnce(&str) -> Option<String>) -> Option<HeaderValue> {
    HeaderValue::try_from(change(value.to_str().ok()?)?).ok()
}

/// The cookie as the client gets it. `None` if it stays as it is.
fn cookie(value: &HeaderValue, rules: Rules<'_>) -> Option<HeaderValue> {
    let mut changed = without_own_domain(value, rules.names);
    let below = rules.names.prefix.and_then(|prefix| prefix.cookie(changed.as_ref().unwrap_or(value)));
    changed = below.or(changed);
    let secure = rules.secure_cookies.then(|| secure(changed.as_ref().unwrap_or(value))).flatten();
    if secure.is_some() {
        (rules.tell_of_cookies)();
    }
    secure.or(changed)
}

/// The cookie without a `Domain` that is the backend's own host: clients refuse such a cookie (RFC 6265 §5.3). Without one it is for
/// the host that the client has asked for, and for no other. A domain above that stays, because only the operator knows what it is
/// for. `None` if it stays as it is.
fn without_own_domain(value: &HeaderValue, names: Names<'_>) -> Option<HeaderValue> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    let is_own = |attribute: &&str| {
        let Some((name, domain)) = attribute.split_once('=') else { return false };
        let domain = domain.trim();
        // A dot before it means nothing (RFC 6265 §5.2.3).
        name.trim().eq_ignore_ascii_case("domain")
            && names.is_own_host(domain.strip_prefix('.').unwrap_or(domain))
    };
    let (pair, attributes) = text.split_once(';')?;
    if !attributes.split(';').any(|attribute| is_own(&attribute)) {
        return None;
    }
    let kept = attributes.split(';').filter(|attribute| !is_own(attribute));
    let kept: Vec<&str> = std::iter::once(pair).chain(kept).collect();
    HeaderValue::try_from(kept.join(";")).ok()
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

    use super::super::prefix::Prefix;
    use super::*;
    use crate::http::incoming_response::{find, Found};

    fn changed(lines: &str, secure_cookies: bool) -> Vec<(String, String)> {
        changed_below(lines, secure_cookies, None)
    }

    fn changed_below(lines: &str, secure_cookies: bool, prefix: Option<&Prefix>) -> Vec<(String, String)> {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut found = Vec::new();
        let read = find(head.as_bytes(), 0, &Method::HEAD, &mut found).unwrap();
        assert!(matches!(read, Found::Whole(..)));
        let told = std::cell::Cell::new(false);
        let names = Names {
            scheme: "https",
            asked: Some("api.example:8443"),
            target: "127.0.0.1:3000",
            host: Some("app.internal"),
            prefix,
        };
        let status = StatusCode::OK;
        let rules = Rules { names, secure_cookies, tell_of_cookies: &|| told.set(true), status };
        let map = fields(head.as_bytes(), &found, rules).unwrap();
        // It is told of when a cookie has changed, and not else.
        assert_eq!(told.get(), lines.matches("Secure").count() < map_text(&map).matches("Secure").count());
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let pairs = map.iter().map(|(name, value)| (name.to_string(), text(value)));
        pairs.filter(|(name, value)| name != "x-content-type-options" || !value.is_empty()).collect()
    }

    #[test]
    fn a_426_says_which_protocol_the_backend_wants() {
        let head = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade, x-a\r\nX-A: b\r\n\r\n";
        let mut found = Vec::new();
        find(head.as_bytes(), 0, &Method::HEAD, &mut found).unwrap();
        for (status, expected) in [(426, Some("websocket")), (400, None)] {
            let status = StatusCode::from_u16(status).unwrap();
            let rules = Rules { names: Names::NONE, secure_cookies: false, tell_of_cookies: &|| {}, status };
            let map = fields(head.as_bytes(), &found, rules).unwrap();
            assert_eq!(map.get("upgrade").map(|value| value.to_str().unwrap()), expected);
            assert!(!map.contains_key("connection") && !map.contains_key("x-a"));
        }
    }

    #[test]
    fn a_stream_of_events_is_known_by_its_type_whatever_its_case_and_parameters() {
        for yes in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/event-stream;charset=utf-8",
            "TEXT/event-stream ; a",
        ] {
            assert!(is_events(yes.as_bytes()), "{yes}");
        }
        for no in ["", "text/event-streams", "text/event-stream2; a", "text/plain; text/event-stream"] {
            assert!(!is_events(no.as_bytes()), "{no}");
        }
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
            for name in ["location", "content-location"] {
                let pairs = changed(&format!("{name}: {location}\r\n"), true);
                assert_eq!(pairs, [(name.to_string(), expected.to_string())]);
            }
        }
        for (field, expected) in [
            ("refresh: 5; url=http://app.internal/a", "5; url=https://api.example:8443/a"),
            ("link: <http://app.internal/a>; rel=next", "<https://api.example:8443/a>; rel=next"),
        ] {
            let (name, _) = field.split_once(": ").unwrap();
            let pairs = changed(&format!("{field}\r\n"), true);
            assert_eq!(pairs, [(name.to_string(), expected.to_string())]);
        }
    }

    fn map_text(map: &HeaderMap) -> String {
        map.get_all(SET_COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
    }

    #[test]
    fn below_a_prefix_the_backends_redirects_and_cookies_stay_below_it() {
        let prefix = Prefix::parse("/api").unwrap();
        for (location, expected) in [
            ("/login?next=/a", "/api/login?next=/a"),
            ("/", "/api/"),
            ("/api/login", "/api/login"),
            ("http://127.0.0.1:3000/login", "https://api.example:8443/api/login"),
            ("http://127.0.0.1:3000", "https://api.example:8443/api/"),
            ("http://api.example/login", "https://api.example:8443/api/login"),
            ("http://api.example/api/login", "https://api.example:8443/api/login"),
            ("https://api.example:8443/login", "https://api.example:8443/api/login"),
            ("https://api.example:8443/api", "https://api.example:8443/api"),
            ("https://other.example/login", "https://other.example/login"),
            ("http://other.example/login", "http://other.example/login"),
            ("//other.example/login", "//other.example/login"),
            ("https://api.example:8443@evil/", "https://api.example:8443@evil/"),
            ("login", "login"),
            ("../login", "../login"),
            ("?a", "?a"),
        ] {
            let pairs = changed_below(&format!("Location: {location}\r\n"), true, Some(&prefix));
            assert_eq!(pairs, [("location".to_string(), expected.to_string())]);
        }
        for (secure_cookies, expected) in [(true, "a=b; Path=/api; Secure"), (false, "a=b; Path=/api")] {
            let pairs = changed_below("Set-Cookie: a=b; Path=/\r\n", secure_cookies, Some(&prefix));
            assert_eq!(pairs, [("set-cookie".to_string(), expected.to_string())]);
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

    #[test]
    fn a_cookie_for_the_backends_own_host_is_for_the_host_that_the_client_has_asked_for() {
        for (cookie, expected) in [
            ("a=b; Domain=app.internal", "a=b; Secure"),
            ("a=b; domain = .App.Internal ; Path=/; Secure", "a=b; Path=/; Secure"),
            ("a=b; Domain=127.0.0.1; Domain=app.internal; Secure", "a=b; Secure"),
            ("a=b; Domain=internal; Secure", "a=b; Domain=internal; Secure"),
            ("a=b; Domain=api.example; Secure", "a=b; Domain=api.example; Secure"),
            ("a=b; Domain=x.app.internal; Secure", "a=b; Domain=x.app.internal; Secure"),
            ("a=b; Domain=; Secure", "a=b; Domain=; Secure"),
            ("Domain=app.internal; Secure", "Domain=app.internal; Secure"),
        ] {
            let pairs = changed(&format!("Set-Cookie: {cookie}\r\n"), true);
            assert_eq!(pairs, [("set-cookie".to_string(), expected.to_string())]);
        }
        let prefix = Prefix::parse("/api").unwrap();
        let pairs = changed_below("Set-Cookie: a=b; Domain=app.internal; Path=/x\r\n", true, Some(&prefix));
        assert_eq!(pairs, [("set-cookie".to_string(), "a=b; Path=/api/x; Secure".to_string())]);
    }
}

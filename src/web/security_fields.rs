//! The fields that tell a browser to keep a device's page safe. Knows responses and the host of a request. It is used as a
//! layer, and for the answers that the server makes itself.

use std::time::Duration;

use ::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderMap, HeaderValue};

use super::origin::{wrong, Null, Origins};
use crate::error::Error;
use crate::hsts::{self, Effect};
use crate::http::layer::{Layer, Next};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::seen::{ResponseHead, Seen};

const SETTING: &str = "security fields";

/// Everything from this server, no plugins, no other base for links, forms to this server.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'";

/// The fields that tell a browser to keep a device's page safe. A field that a handler has set stays as it is.
///
/// ```
/// use std::time::Duration;
/// use lockgate::web::SecurityFields;
/// use lockgate::{Error, Request, Router};
///
/// fn routes() -> Result<Router, Error> {
///     // The device has a certificate from a public authority for this name, and its own for all others.
///     let fields = SecurityFields::new().hsts(["pump-7.example.com"], Duration::from_secs(365 * 24 * 3600))?;
///     Ok(Router::new().get("/", |_: &mut Request| "page").with(fields))
/// }
///
/// let response = routes().unwrap().call(&mut Request::get("/").with_header("host", "pump.local"));
/// assert_eq!(response.header("x-content-type-options").unwrap(), "nosniff");
/// assert!(response.header("strict-transport-security").is_none());
/// ```
///
/// | field | value | what it keeps away |
/// |---|---|---|
/// | `Content-Security-Policy` | the policy below | what is not this server's, scripts within HTML, frames around the page (clickjacking) |
/// | `X-Content-Type-Options` | `nosniff` | a file that a user has uploaded, taken for a script or a page |
/// | `Referrer-Policy` | `same-origin` | addresses of this device's pages told to others |
/// | `Strict-Transport-Security` | none, unless [`hsts`](SecurityFields::hsts) names the host | plain HTTP |
///
/// The policy is `default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'none'`: scripts,
/// styles and images are files of this server, and forms go to it. Scripts and styles within the page's HTML do not work.
///
/// `Referrer-Policy` is not `no-referrer`, because then a page's own forms come with `Origin: null` (WHATWG Fetch, "append a
/// request Origin header"), and [`FetchMetadata`](super::FetchMetadata) would refuse them from older browsers.
#[derive(Debug, Clone)]
#[must_use = "`Router::with` puts it around the routes"]
pub struct SecurityFields {
    policy: String,
    ancestors: String,
    /// Made of both.
    policy_field: HeaderValue,
    hsts: Option<Hsts>,
}

#[derive(Debug, Clone)]
struct Hsts {
    /// In lower case.
    hosts: Vec<String>,
    field: HeaderValue,
}

impl Default for SecurityFields {
    fn default() -> SecurityFields {
        SecurityFields::new()
    }
}

impl SecurityFields {
    /// With the defaults: for a page whose scripts, styles and images are files of this server.
    pub fn new() -> SecurityFields {
        SecurityFields {
            policy: POLICY.to_string(),
            ancestors: "'none'".to_string(),
            policy_field: HeaderValue::from_static(
                "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'none'",
            ),
            hsts: None,
        }
    }

    /// Another `Content-Security-Policy`, without `frame-ancestors`, which is [`framed_by`](SecurityFields::framed_by)'s.
    ///
    /// # Errors
    /// [`Error::Setting`]: it has a character that a field may not have, or names `frame-ancestors`.
    pub fn content_security_policy(mut self, policy: &str) -> Result<SecurityFields, Error> {
        let names_ancestors = policy.split([';', ',']).any(|directive| {
            directive
                .split_ascii_whitespace()
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("frame-ancestors"))
        });
        if names_ancestors {
            return Err(wrong(
                SETTING,
                "name the origins of frames with framed_by, not in the policy".into(),
            ));
        }
        self.policy = policy.trim().trim_end_matches(';').to_string();
        self.with_policy_field()
    }

    /// Pages of these origins may show this one in a frame. Defaults to none.
    ///
    /// # Errors
    /// [`Error::Setting`]: there is no origin, or one is not written as browsers write it.
    pub fn framed_by<O: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<SecurityFields, Error> {
        self.ancestors = Origins::named(SETTING, Null::Refused, origins)?.joined();
        self.with_policy_field()
    }

    fn with_policy_field(mut self) -> Result<SecurityFields, Error> {
        let separator = if self.policy.is_empty() { "" } else { "; " };
        self.policy_field =
            HeaderValue::try_from(format!("{}{separator}frame-ancestors {}", self.policy, self.ancestors))
                .map_err(|_| {
                    wrong(SETTING, "the policy has a line break or another control character".into())
                })?;
        Ok(self)
    }

    /// Sends `Strict-Transport-Security: max-age=…` to those who ask for these hosts, and to nobody else: a browser that has
    /// seen it uses plain HTTP for the host no longer, and lets nobody past a certificate that it does not trust (RFC 6797
    /// §8.4). So the hosts are those for which this server has a certificate of a public authority. `max_age` is in whole
    /// seconds; begin with a day. With 0 browsers forget it.
    ///
    /// Subdomains are not included, and `preload` is not sent: both lock out others.
    ///
    /// # Errors
    /// [`Error::Setting`]: a host is an address, for which browsers ignore the field, or a name for which no public authority
    /// issues a certificate (`pump`, `pump.local`, `pump.home.arpa`), so that it would lock out its users.
    pub fn hsts<H: AsRef<str>>(
        mut self,
        hosts: impl IntoIterator<Item = H>,
        max_age: Duration,
    ) -> Result<SecurityFields, Error> {
        let seconds = max_age.as_secs();
        let mut known = Vec::new();
        for host in hosts {
            let host = host.as_ref().trim_end_matches('.').to_ascii_lowercase();
            let fault = match hsts::best_effect(&host) {
                _ if seconds == 0 => None,
                Effect::Protects => None,
                Effect::Ignored => Some("browsers ignore HSTS for an address"),
                Effect::LocksOut => Some(
                    "no public authority issues a certificate for this name, so HSTS would lock out its users; leave it out",
                ),
            };
            if let Some(fault) = fault {
                return Err(wrong(SETTING, format!("{host:?}: {fault}")));
            }
            known.push(host);
        }
        let field = HeaderValue::try_from(format!("max-age={seconds}"))
            .map_err(|_| wrong(SETTING, "its max_age is no number".into()))?;
        self.hsts = Some(Hsts { hosts: known, field });
        Ok(self)
    }

    /// Adds the fields to an answer, for [`ServerBuilder::on_response`](crate::ServerBuilder::on_response): so they are on all that the server sends,
    /// and the layer is not needed.
    ///
    /// ```
    /// use lockgate::web::SecurityFields;
    /// use lockgate::{Router, Server};
    ///
    /// let fields = SecurityFields::new();
    /// let builder = Server::builder(Router::new()).on_response(move |seen, response| fields.add_to(seen, response));
    /// # let _ = builder;
    /// ```
    pub fn add_to(&self, seen: &Seen<'_>, response: &mut ResponseHead<'_>) {
        self.add(seen.header("host"), response.headers_mut());
    }

    /// Adds the fields to an answer. `host` is the one that the request is for, perhaps with a port.
    fn add(&self, host: Option<&str>, fields: &mut HeaderMap) {
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, self.policy_field.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        ] {
            fields.entry(name).or_insert(value);
        }
        if let Some(hsts) = self.hsts.as_ref().filter(|hsts| host.is_some_and(|host| hsts.covers(host))) {
            fields.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.field.clone());
        }
    }
}

impl Layer for SecurityFields {
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        let mut response = next.run(request);
        self.add_to(&Seen::of(request), &mut ResponseHead::of(&mut response));
        response
    }
}

impl Hsts {
    fn covers(&self, host: &str) -> bool {
        let name = host.split(':').next().unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn sent(fields: &SecurityFields, host: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        fields.add(host, &mut map);
        map
    }

    fn policy(fields: &SecurityFields) -> String {
        sent(fields, None)["content-security-policy"].to_str().unwrap().to_string()
    }

    #[test]
    fn a_devices_page_gets_what_keeps_it_safe() {
        let map = sent(&SecurityFields::new(), Some("pump.local"));
        assert_eq!(map.len(), 3, "{map:?}");
        assert_eq!(map["x-content-type-options"], "nosniff");
        // With no-referrer the page's own forms would come with Origin: null.
        assert_eq!(map["referrer-policy"], "same-origin");
        assert_eq!(policy(&SecurityFields::new()), format!("{POLICY}; frame-ancestors 'none'"));
        // Calling again makes the same field.
        assert_eq!(
            policy(&SecurityFields::new().with_policy_field().unwrap()),
            policy(&SecurityFields::new())
        );
    }

    #[test]
    fn what_a_handler_has_set_stays() {
        let mut map = HeaderMap::new();
        map.insert("content-security-policy", HeaderValue::from_static("sandbox"));
        map.insert("referrer-policy", HeaderValue::from_static("origin"));
        SecurityFields::new().add(None, &mut map);
        assert_eq!(
            (&map["content-security-policy"], &map["referrer-policy"]),
            (&HeaderValue::from_static("sandbox"), &HeaderValue::from_static("origin"))
        );
        SecurityFields::new().add(None, &mut map);
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn a_policy_of_the_programs_own_keeps_frames_away_too() {
        let fields = SecurityFields::new().content_security_policy(" default-src 'self' data:; ").unwrap();
        assert_eq!(policy(&fields), "default-src 'self' data:; frame-ancestors 'none'");
        let fields = fields.framed_by(["https://home.example:8123", "http://192.168.1.7"]).unwrap();
        assert_eq!(
            policy(&fields),
            "default-src 'self' data:; frame-ancestors https://home.example:8123 http://192.168.1.7"
        );
        assert_eq!(
            policy(&fields.content_security_policy("").unwrap()).split(' ').next(),
            Some("frame-ancestors")
        );
        for bad in [
            "a\r\nb",
            "default-src 'self'; Frame-Ancestors *",
            // A comma begins another policy (W3C CSP3 §2.2.1), and there the first directive of a name holds.
            "default-src 'self', frame-ancestors *",
        ] {
            assert!(SecurityFields::new().content_security_policy(bad).is_err(), "{bad:?}");
        }
        for bad in ["*", "null", "https://home.example/", "'self'; script-src *"] {
            assert!(SecurityFields::new().framed_by([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn hsts_is_sent_only_where_it_locks_nobody_out() {
        let fields = SecurityFields::new().hsts(["Pump-7.example.com", "pump-8.example.com."], DAY).unwrap();
        for host in
            ["pump-7.example.com", "PUMP-7.example.com:8443", "pump-8.example.com", "pump-8.example.com."]
        {
            assert_eq!(sent(&fields, Some(host))["strict-transport-security"], "max-age=86400", "{host}");
        }
        for host in [
            None,
            Some(""),
            Some("pump-7.local"),
            Some("192.168.1.7"),
            Some("[fd00::7]:8443"),
            Some("x.pump-7.example.com"),
            Some("pump-7.example.com.evil.example"),
        ] {
            assert!(sent(&fields, host).get("strict-transport-security").is_none(), "{host:?}");
        }
        for (host, why) in [
            ("192.168.1.7", "an address"),
            ("[fd00::7]", "an address"),
            ("fd00::7", "an address"),
            ("pump", "lock out"),
            ("pump.local", "lock out"),
            ("", "lock out"),
        ] {
            let said = SecurityFields::new().hsts([host], DAY).unwrap_err().to_string();
            assert!(said.starts_with("security fields: ") && said.contains(why), "{host}: {said}");
        }
        // This ends a lock-out.
        let forgotten = SecurityFields::new().hsts(["pump.local"], Duration::ZERO).unwrap();
        assert_eq!(sent(&forgotten, Some("pump.local"))["strict-transport-security"], "max-age=0");
    }
}

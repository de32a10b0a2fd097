//! Decides the answer to a request on the plain port: bytes in, a response out. Knows no socket and no clock. The redirect's
//! thread calls it.

use ::http::header::LOCATION;
use ::http::{Method, StatusCode};

use crate::error::Error;
use crate::http::clear_credentials::{CredentialNames, CredentialScan};
use crate::http::into_response::IntoResponse;
use crate::http::request_head::{self, BodyLength, Line, Version};
use crate::http::response::Response;
use crate::http::response_head::{write_head, Common, Exchange, FieldNames, Framing, Persistence};
use crate::http::span::{Field, Span};
use crate::http::target::{decode_path, Authority, EncodedSlash};
use crate::http::Refusal;

use super::challenge::{self, Challenges};
use super::credentials::HttpCredentials;
use super::settings::{Settings, HEAD_BYTES};

const NO_HOST: Refusal = Refusal::bad_request(
    "the request names no host, and this server has no public name configured to redirect to",
);
const NOT_OWN: Refusal = Refusal::new(
    StatusCode::MISDIRECTED_REQUEST,
    "the host asked for is not one that this server's certificate is for",
);
const LEAKED: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "the request carried credentials over plain HTTP, where anyone on the way can read them: they must be changed \
     now, and sent over HTTPS only",
);

const NO_BODIES: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "a request over plain HTTP may have no content here: send it over HTTPS",
);

/// Tells whether a host (an IPv6 address without brackets) is one of the server's own.
pub(super) type IsOwn = dyn Fn(&str) -> bool + Send;

/// The checked [`Settings`], prepared for answers.
#[derive(Debug)]
pub(super) struct Rules {
    /// The configured public name, as in a URL.
    public_host: Option<String>,
    /// `:8443`, or nothing for the default port of https.
    port_suffix: String,
    pub public_port: u16,
    credentials: HttpCredentials,
    pub credential_names: CredentialNames,
    pub head_bytes: usize,
    head_fields: usize,
    encoded_slash: EncodedSlash,
}

/// A response, with everything that sending and logging it need.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response,
    /// `None` for a redirect, and for the answer to a challenge.
    pub refusal: Option<Refusal>,
    pub is_challenge: bool,
    /// The host a redirect was refused for; checked to be a name or an address, so that it may stand in the log.
    pub refused_host: Option<String>,
    /// The names of credentials in the request, never their values.
    pub credentials: CredentialScan,
    method: Method,
    version: Version,
}

impl Rules {
    pub(super) fn new(settings: &Settings) -> Result<Rules, Error> {
        let public_host = settings.public_name.as_deref().map(public_host).transpose()?;
        let port_suffix = match settings.public_port {
            0 => {
                return Err(Error::Setting {
                    setting: "public_port",
                    fault: "0 is not a port that clients can be sent to; give one from 1 to 65535".into(),
                })
            }
            443 => String::new(),
            port => format!(":{port}"),
        };
        let credential_names = CredentialNames::new(&settings.credential_headers)?;
        Ok(Rules {
            public_host,
            port_suffix,
            public_port: settings.public_port,
            credentials: settings.credentials,
            credential_names,
            head_bytes: settings.head_bytes.min(HEAD_BYTES),
            head_fields: settings.head_fields,
            encoded_slash: settings.encoded_slash,
        })
    }
}

/// What is done about a whole head.
pub(super) enum Decision {
    Answer(Answer),
    /// A handler of the program answers it.
    Call {
        line: Line,
        fields: Vec<Field>,
        credentials: CredentialScan,
    },
}

/// Tells whether the program answers this method and this path, which is as it came, in clear.
pub(super) type Serves<'s> = dyn Fn(&Method, &[u8]) -> bool + 's;

/// Decides about a whole head.
pub(super) fn decide(
    head: &[u8],
    rules: &Rules,
    is_own: &IsOwn,
    challenges: Option<&Challenges>,
    serves: &Serves<'_>,
) -> Decision {
    let mut fields = Vec::new();
    let parsed = request_head::parse(head, rules.head_fields, &mut fields);
    // Refused heads are scanned too, because their credentials were on the wire all the same.
    let credentials = rules.credential_names.scan(head);
    let (outcome, method, version) = match parsed {
        Ok(line) => {
            let outcome = if rules.credentials == HttpCredentials::Refuse && credentials.has_found() {
                Err((LEAKED, None))
            } else if let Some(found) = challenges.and_then(|known| challenge::answer(head, &line, known)) {
                found.map(Found::Challenge).map_err(|refusal| (refusal, None))
            } else if serves(&line.method, line.target.path.of(head)) {
                if line.body == BodyLength::NONE {
                    return Decision::Call { line, fields, credentials };
                }
                Err((NO_BODIES, None))
            } else {
                location(head, &line, rules, is_own).map(Found::Location)
            };
            (outcome, line.method, line.version)
        }
        Err(refusal) => (Err((refusal, None)), request_head::method(head), Version::Http11),
    };
    let is_challenge = matches!(outcome, Ok(Found::Challenge(_)));
    let (response, refusal, refused_host) = match outcome {
        Ok(Found::Location(location)) => {
            let response = Response::new(redirect_status(&method)).with_header(LOCATION, location);
            (response, None, None)
        }
        Ok(Found::Challenge(authorization)) => (authorization.into_response(), None, None),
        Err((refusal, host)) => (refusal.into_response(), Some(refusal), host),
    };
    Decision::Answer(Answer { response, refusal, is_challenge, refused_host, credentials, method, version })
}

/// Answers a head that was never complete.
pub(super) fn refuse(received: &[u8], refusal: Refusal, rules: &Rules) -> Answer {
    Answer {
        response: refusal.into_response(),
        refusal: Some(refusal),
        is_challenge: false,
        refused_host: None,
        credentials: rules.credential_names.scan(received),
        method: request_head::method(received),
        version: Version::Http11,
    }
}

impl Answer {
    /// The refusal of a request whose head was read.
    pub(super) fn refused(
        refusal: Refusal,
        method: Method,
        version: Version,
        credentials: CredentialScan,
    ) -> Answer {
        let (response, refusal) = (refusal.into_response(), Some(refusal));
        Answer { response, refusal, is_challenge: false, refused_host: None, credentials, method, version }
    }

    /// Writes the answer as bytes.
    pub(super) fn into_wire(self, common: &Common, field_names: FieldNames) -> Vec<u8> {
        let mut out = Vec::new();
        let (method, version) = (&self.method, self.version);
        let exchange = Exchange { method, version, persistence: Persistence::Close, field_names };
        let written = write_head(&mut out, &self.response, exchange, common);
        if written.framing != Framing::None {
            // All bodies made here are in memory, and reading them cannot fail.
            out.extend(self.response.into_bytes().unwrap_or_default());
        }
        out
    }
}

/// The answer to a request that is not refused.
enum Found {
    Location(String),
    Challenge(String),
}

/// The status of a redirect. 308 keeps the method and the body (RFC 9110 §15.4.9), which 301 may turn into a GET without one;
/// but Python up to 3.10 and Java follow no 308, and GET and HEAD have nothing to lose.
fn redirect_status(method: &Method) -> StatusCode {
    if matches!(*method, Method::GET | Method::HEAD) {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::PERMANENT_REDIRECT
    }
}

/// The URL that the redirect leads to, with path and query exactly as they were sent. The error is the refusal and its host; a
/// path that HTTPS would refuse is refused here too.
fn location(
    head: &[u8],
    line: &Line,
    rules: &Rules,
    is_own: &IsOwn,
) -> Result<String, (Refusal, Option<String>)> {
    let path = line.target.path.of(head);
    decode_path(path, rules.encoded_slash).map_err(|refusal| (refusal, None))?;
    let host = match (&rules.public_host, line.host) {
        (Some(public), _) => public.clone(),
        (None, None) => return Err((NO_HOST, None)),
        (None, Some(authority)) => {
            // A parsed host is ASCII, so nothing is lost here.
            let host = String::from_utf8_lossy(authority.host.of(head));
            if !is_own(&host) {
                return Err((NOT_OWN, Some(host.into_owned())));
            }
            in_brackets_if_ipv6(&host)
        }
    };
    let path = match path {
        b"*" => "/".into(),
        path => String::from_utf8_lossy(path),
    };
    let mut location = format!("https://{host}{}{path}", rules.port_suffix);
    if let Some(query) = line.target.query {
        location.push('?');
        location.push_str(&String::from_utf8_lossy(query.of(head)));
    }
    Ok(location)
}

fn public_host(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    let host = in_brackets_if_ipv6(bare);
    let whole = Span { start: 0, end: u32::try_from(host.len()).unwrap_or(u32::MAX) };
    match Authority::parse(host.as_bytes(), whole) {
        // A port or a zone, even an empty port, would stand in every Location.
        Ok(Authority { host: found, port: None }) if found.of(host.as_bytes()) == bare.as_bytes() => Ok(host),
        _ => Err(Error::Setting {
            setting: "public_name",
            fault: format!(
                "{name:?} is not a host; give a name or an address alone, without scheme and port"
            ),
        }),
    }
}

fn in_brackets_if_ipv6(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::imf_fixdate;
    use crate::redirect::settings::LIFETIME;

    fn settings() -> Settings {
        Settings {
            public_name: None,
            public_port: 8443,
            credentials: HttpCredentials::Warn,
            credential_headers: vec!["X-Device-Token".into()],
            connections: 10,
            head_bytes: HEAD_BYTES,
            head_timeout: LIFETIME,
            head_fields: 64,
            encoded_slash: EncodedSlash::Refused,
            field_names: FieldNames::LowerCase,
        }
    }

    fn ask(settings: &Settings, head: &str) -> Answer {
        let is_own = |host: &str| matches!(host, "device.local" | "192.0.2.7" | "2001:db8::7" | "fe80::7");
        let challenges = |token: &str| (token == "known").then(|| "known.thumbprint".to_string());
        decided(decide(
            head.as_bytes(),
            &Rules::new(settings).unwrap(),
            &is_own,
            Some(&challenges),
            &|_, _| false,
        ))
    }

    fn decided(decision: Decision) -> Answer {
        match decision {
            Decision::Answer(answer) => answer,
            Decision::Call { .. } => panic!("no handler was asked for"),
        }
    }

    /// The Location, or the status of the refusal.
    fn outcome(settings: &Settings, head: &str) -> Result<String, u16> {
        let answer = ask(settings, head);
        let status = answer.response.status().as_u16();
        let redirects = if head.starts_with("GET ") || head.starts_with("HEAD ") { 301 } else { 308 };
        match answer.response.header("location") {
            Some(location) if status == redirects => Ok(location.to_str().unwrap().to_string()),
            Some(location) => panic!("{status} with the location {location:?}"),
            None => Err(status),
        }
    }

    #[test]
    fn a_redirect_leads_to_the_servers_own_names_and_nowhere_else() {
        let cases: &[(&str, Result<&str, u16>)] = &[
            ("GET / HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/")),
            ("GET / HTTP/1.1\r\nHost: device.local:80", Ok("https://device.local:8443/")),
            (
                "GET /a//b%20?b=c%20d&e=//evil/%2F/../%zz HTTP/1.1\r\nHost: device.local",
                Ok("https://device.local:8443/a//b%20?b=c%20d&e=//evil/%2F/../%zz"),
            ),
            ("GET /a/%2F?b HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /%5C HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /%zz HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /%ff HTTP/1.1\r\nHost: device.local", Err(400)),
            ("POST /%0d%0a HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /a/%2e%2e/b HTTP/1.1\r\nHost: device.local", Err(400)),
            ("HEAD / HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/")),
            ("PUT /x HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/x")),
            ("BREW /x HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/x")),
            ("GET /? HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/?")),
            ("GET /a/../b HTTP/1.1\r\nHost: device.local", Err(400)),
            ("POST /x HTTP/1.1\r\nHost: 192.0.2.7\r\nContent-Length: 5", Ok("https://192.0.2.7:8443/x")),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::7]:80", Ok("https://[2001:db8::7]:8443/")),
            ("GET / HTTP/1.1\r\nHost: device.local:", Ok("https://device.local:8443/")),
            ("GET / HTTP/1.1\r\nHost: [fe80::7%eth0]:80", Ok("https://[fe80::7]:8443/")),
            ("GET http://[fe80::7%25eth0]/ HTTP/1.1\r\nHost: a", Ok("https://[fe80::7]:8443/")),
            ("GET / HTTP/1.1\r\nHost: [fe80::8%eth0]", Err(421)),
            (
                "GET /a?b\\c=\\evil.example HTTP/1.1\r\nHost: device.local",
                Ok("https://device.local:8443/a?b\\c=\\evil.example"),
            ),
            ("OPTIONS * HTTP/1.1\r\nHost: device.local", Ok("https://device.local:8443/")),
            ("GET http://device.local/a HTTP/1.1\r\nHost: evil.example", Ok("https://device.local:8443/a")),
            ("GET http://evil.example/a HTTP/1.1\r\nHost: device.local", Err(421)),
            ("GET / HTTP/1.0\r\nHost: device.local", Ok("https://device.local:8443/")),
            (
                "GET / HTTP/1.1\r\nHost: device.local\r\nExpect: 100-continue",
                Ok("https://device.local:8443/"),
            ),
            ("GET / HTTP/1.1\r\nHost: evil.example", Err(421)),
            ("GET / HTTP/1.1\r\nHost: device.local.evil.example", Err(421)),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::8]", Err(421)),
            ("GET / HTTP/1.1\r\nHost: device.local@evil.example", Err(400)),
            ("GET / HTTP/1.1\r\nHost: device.local/evil", Err(400)),
            ("GET / HTTP/1.1\r\nHost: device.local, evil.example", Err(400)),
            ("GET / HTTP/1.1\r\nHost:", Err(400)),
            ("GET / HTTP/1.1", Err(400)),
            ("GET / HTTP/1.0", Err(400)),
            ("GET //evil.example/ HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /\\evil.example/ HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET /\\evil.example/?a HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET http://device.local//evil HTTP/1.1\r\nHost: device.local", Err(400)),
            ("GET / HTTP/1.1\r\nHost: device.local\r\nHost: device.local", Err(400)),
            ("GET / HTTP/3.0\r\nHost: device.local", Err(505)),
            ("CONNECT device.local:443 HTTP/1.1\r\nHost: device.local", Err(501)),
            ("GET / HTTP/1.1\r\nHost: device.local\r\nExpect: a miracle", Err(417)),
            ("SSH-2.0-OpenSSH_9.6", Err(400)),
        ];
        for (head, expected) in cases {
            let got = outcome(&settings(), &format!("{head}\r\n\r\n"));
            assert_eq!(got, expected.map(String::from), "{head:?}");
        }
    }

    #[test]
    fn a_challenge_is_answered_and_an_unknown_token_is_nowhere_else() {
        let ask = |method: &str, path: &str, host: &str| {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            String::from_utf8(
                ask(&settings(), &head).into_wire(&Common::new(imf_fixdate(0), None), FieldNames::LowerCase),
            )
            .unwrap()
        };
        // An authority may ask for a name that is not the certificate's yet.
        let answer = ask("GET", "/.well-known/acme-challenge/known", "new.example");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nknown.thumbprint"), "{answer}");
        for path in ["unknown", "known/", "known?", "", "../x", "%6bnown"] {
            let path = format!("/.well-known/acme-challenge/{path}");
            for method in ["GET", "POST"] {
                let answer = ask(method, &path, "device.local");
                let expected = if path.ends_with('?') { "HTTP/1.1 200 " } else { "HTTP/1.1 404 " };
                assert!(answer.starts_with(expected), "{path}: {answer}");
                assert!(!answer.contains("location:"), "{path}: {answer}");
            }
        }
        for path in
            ["/.well-known/acme-challenge", "/.well-known/other", "/x/.well-known/acme-challenge/known"]
        {
            assert!(ask("GET", path, "device.local").starts_with("HTTP/1.1 301 "), "{path}");
        }
        // Without an authority there is nothing special about these paths.
        let head = b"GET /.well-known/acme-challenge/known HTTP/1.1\r\nHost: device.local\r\n\r\n";
        let rules = Rules::new(&settings()).unwrap();
        let answer = decided(decide(head, &rules, &|_| true, None, &|_, _| false));
        assert_eq!(answer.response.status(), StatusCode::MOVED_PERMANENTLY);
    }

    #[test]
    fn a_handler_of_the_program_comes_after_leaks_and_challenges_and_before_redirects() {
        let decide = |policy, head: &str| {
            let settings = Settings { credentials: policy, ..settings() };
            let rules = Rules::new(&settings).unwrap();
            let challenges = |token: &str| (token == "known").then(|| "known.thumbprint".to_string());
            let serves = |method: &Method, path: &[u8]| *method != Method::DELETE && path != b"/other";
            match super::decide(head.as_bytes(), &rules, &|_| true, Some(&challenges), &serves) {
                Decision::Call { line, fields, .. } => format!("call {} {}", line.method, fields.len()),
                Decision::Answer(answer) => answer.response.status().as_u16().to_string(),
            }
        };
        let (host, leak) = ("HTTP/1.1\r\nHost: a\r\n", "Cookie: a\r\n");
        for (head, expected) in [
            (format!("GET / {host}\r\n"), "call GET 1"),
            (format!("POST /x?y {host}Content-Length: 0\r\n\r\n"), "call POST 2"),
            (format!("GET / {host}{leak}\r\n"), "call GET 2"),
            (format!("GET /other {host}\r\n"), "301"),
            (format!("DELETE / {host}\r\n"), "308"),
            (format!("POST / {host}Content-Length: 1\r\n\r\n"), "413"),
            (format!("POST / {host}Transfer-Encoding: chunked\r\n\r\n"), "413"),
            (format!("POST /other {host}Content-Length: 1\r\n\r\n"), "308"),
            (format!("GET /.well-known/acme-challenge/known {host}\r\n"), "200"),
            (format!("GET /.well-known/acme-challenge/unknown {host}\r\n"), "404"),
            (format!("GET //x {host}\r\n"), "400"),
            ("GET / HTTP/1.1\r\n\r\n".to_string(), "400"),
        ] {
            assert_eq!(decide(HttpCredentials::Warn, &head), expected, "{head}");
        }
        for path in ["/", "/other", "/.well-known/acme-challenge/known"] {
            let head = format!("GET {path} {host}{leak}\r\n");
            assert_eq!(decide(HttpCredentials::Refuse, &head), "403", "{path}");
        }
        assert_eq!(decide(HttpCredentials::Refuse, &format!("GET / {host}\r\n")), "call GET 1");
    }

    #[test]
    fn an_encoded_slash_is_passed_on_where_a_route_takes_it() {
        let settings = Settings { encoded_slash: EncodedSlash::Marked, ..settings() };
        let ask =
            |path: &str| outcome(&settings, &format!("GET {path} HTTP/1.1\r\nHost: device.local\r\n\r\n"));
        assert_eq!(ask("/a%2Fb").as_deref(), Ok("https://device.local:8443/a%2Fb"));
        assert_eq!((ask("/a%2F.."), ask("/a%5Cb")), (Err(400), Err(400)));
    }

    #[test]
    fn a_public_name_takes_the_place_of_every_host() {
        for (name, port, expected) in [
            ("api.example", 443, "https://api.example/a?b"),
            ("api.example", 444, "https://api.example:444/a?b"),
            ("2001:db8::1", 443, "https://[2001:db8::1]/a?b"),
            ("[2001:db8::1]", 8443, "https://[2001:db8::1]:8443/a?b"),
        ] {
            let settings = Settings { public_name: Some(name.into()), public_port: port, ..settings() };
            for host in ["HTTP/1.1\r\nHost: evil.example", "HTTP/1.0"] {
                let got = outcome(&settings, &format!("GET /a?b {host}\r\n\r\n"));
                assert_eq!(got.as_deref(), Ok(expected), "{name} {port} {host}");
            }
            assert_eq!(outcome(&settings, "GET /a?b HTTP/1.1\r\nHost: a b\r\n\r\n"), Err(400));
        }
    }

    #[test]
    fn credentials_in_clear_are_named_and_refused_if_that_is_asked_for() {
        let refusing = Settings { credentials: HttpCredentials::Refuse, ..settings() };
        let names = Rules::new(&settings()).unwrap().credential_names;
        for (field, name) in [
            ("AUTHORIZATION: Bearer s3cret", "authorization"),
            ("Proxy-Authorization: Basic s3cret", "proxy-authorization"),
            ("cookie: session=s3cret", "cookie"),
            ("X-API-Key: s3cret", "x-api-key"),
            ("x-device-token: s3cret", "x-device-token"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: device.local\r\n{field}\r\n\r\n");
            let mut warned = ask(&settings(), &head);
            assert_eq!(warned.credentials.news(&names), [name], "{field}");
            assert!(warned.refusal.is_none(), "{field}");

            let mut refused = ask(&refusing, &head);
            assert_eq!(refused.credentials.news(&names), [name], "{field}");
            let wire = String::from_utf8(
                refused.into_wire(&Common::new(imf_fixdate(0), None), FieldNames::LowerCase),
            )
            .unwrap();
            assert!(wire.starts_with("HTTP/1.1 403 "), "{wire}");
            assert!(wire.contains("must be changed"), "{wire}");
            assert!(!wire.contains("location") && !wire.contains("s3cret"), "{wire}");
        }
        let plain = "GET /?authorization HTTP/1.1\r\nHost: device.local\r\nX-Cookie: a\r\n\r\n";
        assert!(!ask(&refusing, plain).credentials.has_found());
        assert!(outcome(&refusing, plain).is_ok());
        // A refused request has leaked them too.
        let mut hostless = ask(&settings(), "GET / HTTP/1.1\r\nCookie: a\r\n\r\n");
        assert_eq!(hostless.credentials.news(&names), ["cookie"]);
        // So has one with them in its URL.
        let query = ask(&refusing, "GET /?access_token=s3cret HTTP/1.1\r\nHost: device.local\r\n\r\n");
        assert_eq!(query.refusal.unwrap().status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn answers_close_the_connection_and_those_to_head_have_no_body() {
        let wire = |head: &str| {
            String::from_utf8(
                ask(&settings(), head).into_wire(&Common::new(imf_fixdate(0), None), FieldNames::LowerCase),
            )
            .unwrap()
        };
        assert_eq!(
            wire("POST /a HTTP/1.1\r\nHost: device.local\r\n\r\n"),
            "HTTP/1.1 308 Permanent Redirect\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             connection: close\r\nlocation: https://device.local:8443/a\r\n\r\n"
        );
        let refused = wire("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        assert!(refused.contains("content-type: application/problem+json\r\n"), "{refused}");
        assert!(refused.contains("connection: close\r\n"), "{refused}");
        assert!(refused.ends_with('}') && !refused.contains("evil"), "{refused}");
        for host in ["evil.example", "a b"] {
            let refused = wire(&format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(refused.starts_with("HTTP/1.1 4") && refused.ends_with("\r\n\r\n"), "{refused}");
        }
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let fault = |settings: Settings| Rules::new(&settings).unwrap_err().to_string();
        for name in
            ["", "a b", "https://a", "a:443", "a/b", "::g", "[::1", "a\r\nb", "u@a", "a:", "[fe80::1%eth0]"]
        {
            let public_name = Some(name.to_string());
            let fault = fault(Settings { public_name, ..settings() });
            assert!(fault.starts_with("public_name: "), "{name:?}: {fault}");
        }
        let credential_headers = vec!["X Y".to_string()];
        assert!(
            fault(Settings { credential_headers, ..settings() }).starts_with("credential_header: \"X Y\"")
        );
        assert!(fault(Settings { public_port: 0, ..settings() }).starts_with("public_port: 0"));
    }
}

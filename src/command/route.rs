//! A route: which paths are answered by what, and under which limits. A value that knows nothing of options and commands. Options
//! and `route_table` make routes, and `answers` makes a router of them.

use std::path::PathBuf;
use std::time::Duration;

use lockgate::internal::{backend_fault, is_host_field, without_userinfo};
use lockgate::{HeaderName, HeaderValue, Method};

use super::place::Place;
use super::value;

/// The paths below a prefix, and who answers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// As it was given: with or without a slash at its end.
    pub path: String,
    pub answer: Answer,
    /// `None` for all methods.
    pub methods: Option<Vec<Method>>,
    /// What is added to responses that do not say it themselves.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body_bytes: Option<u64>,
    pub body_timeout: Option<Duration>,
    pub concurrent: Option<usize>,
    /// For the error about it.
    pub place: Place,
    /// All that its table says, as it says it, but the values of fields.
    #[cfg(feature = "operations")]
    pub said: Vec<(String, serde_json::Value, Place)>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Servers of one kind, to which requests are passed on.
    Backends(Box<Backends>),
    Files(PathBuf),
    Json(PathBuf),
}

/// Servers of one kind. What is `None` is as the options say for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Backends {
    pub to: Vec<String>,
    /// Who has signed the certificates of those over HTTPS, and the certificate and the key that they are shown.
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub host: Option<Host>,
    pub secure_cookies: Option<bool>,
    pub client_cert: Option<ClientCert>,
    /// By their number in [`Time`].
    pub times: [Option<Duration>; 5],
    /// How many requests may be at one of them.
    pub requests: Option<usize>,
    /// How many may wait for room.
    pub queue: Option<usize>,
}

/// What takes its time with servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Connect,
    Answer,
    Silence,
    Tunnel,
    Queue,
}

/// What servers are told of a client's certificate (RFC 9440).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCert {
    Nothing,
    Own,
    Chain,
}

impl Backends {
    /// None, with what holds for all unless the options say something else.
    pub(super) fn with_defaults() -> Backends {
        Backends {
            host: Some(Host::AsAsked),
            secure_cookies: Some(true),
            client_cert: Some(ClientCert::Nothing),
            times: [5, 60, 60, 60 * 60, 5].map(|seconds| Some(Duration::from_secs(seconds))),
            requests: Some(1_024),
            queue: Some(1_024),
            ..Backends::default()
        }
    }
}

/// What `Host` says to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    AsAsked,
    Set(String),
}

/// When browsers are told to use HTTPS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hsts {
    /// For how long. 0 makes them forget it.
    pub seconds: u64,
}

impl Route {
    /// A route with nothing but what it must have.
    pub(super) fn new(path: &str, answer: Answer, place: Place) -> Route {
        Route {
            path: path.to_string(),
            answer,
            methods: None,
            headers: Vec::new(),
            body_bytes: None,
            body_timeout: None,
            concurrent: None,
            place,
            #[cfg(feature = "operations")]
            said: Vec::new(),
        }
    }

    /// Reads `PREFIX=TARGET`. What is wrong with the prefix beside its slash is said later, with the reason.
    pub(super) fn parse(text: &str, place: Place) -> Option<Route> {
        let (path, to) = text.split_once('=')?;
        let backends = Backends { to: vec![target(to)?], ..Backends::default() };
        path.starts_with('/').then(|| Route::new(path, Answer::Backends(Box::new(backends)), place))
    }
}

impl Host {
    /// Reads `keep` or a host with an optional port, which is all that a field may be made of here.
    pub(super) fn parse(text: &str) -> Option<Host> {
        if text == "keep" {
            return Some(Host::AsAsked);
        }
        is_host_field(text).then(|| Host::Set(text.to_string()))
    }
}

/// A target in one of its forms, without a password, which every list of settings would show.
pub(super) fn target(text: &str) -> Option<String> {
    let is_one =
        without_userinfo(text) == text && has_form(text) && backend_fault(without_slash(text)).is_none();
    is_one.then(|| text.to_string())
}

fn has_form(text: &str) -> bool {
    let has = |scheme: &str| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    ["http://", "https://", "unix:"].iter().any(|scheme| has(scheme))
}

/// A target without the slash that says what becomes of the prefix. A path that has more than that stays as it is, and is a fault.
pub(super) fn without_slash(target: &str) -> &str {
    target.strip_suffix('/').filter(|stem| !stem.ends_with('/')).unwrap_or(target)
}

pub(super) const TARGET: &str = "http://HOST:PORT, https://HOST:PORT, or unix: and the path of a socket";

/// What is wrong with a target that is none, and which one is probably meant.
pub(super) fn target_fault(text: &str) -> String {
    match backend_fault(without_slash(text)) {
        Some(fault) if has_form(text) => return format!("{text}: {fault}"),
        _ => {}
    }
    let meant = target_meant(text).map_or(String::new(), |target| format!("; is {target} meant?"));
    format!("{text:?} is not accepted here; give {TARGET}{meant}")
}

/// What is wrong with a `PREFIX=TARGET` that is none, if more can be said than what it is made of.
pub(super) fn route_fault(text: &str) -> Option<String> {
    let (path, to) = text.split_once('=')?;
    let has_slash = path.starts_with('/');
    if target(to).is_some() && !has_slash && !path.contains(':') {
        return Some(format!(
            "{text:?} is not accepted here; a path begins with a slash; is /{path}={to} meant?"
        ));
    }
    if !has_slash {
        return None;
    }
    if has_form(to) {
        return Some(format!("{path}={}", target_fault(to)));
    }
    let meant = target_meant(to).map_or(String::new(), |target| format!("; is {path}={target} meant?"));
    Some(format!("the target {to:?} is not accepted here; give {TARGET}{meant}"))
}

fn target_meant(text: &str) -> Option<String> {
    let is_port = |text: &str| value::whole_number::<u16>(text).is_some_and(|port| port > 0);
    for scheme in ["http://", "https://", "unix:"] {
        let given = text.get(..scheme.len()).filter(|given| given.eq_ignore_ascii_case(scheme));
        if let Some(rest) = given.and(text.get(scheme.len()..)) {
            return (!rest.is_empty()).then(|| format!("{scheme}{rest}"));
        }
    }
    if text.starts_with('/') && text.len() > 1 {
        return Some(format!("unix:{text}"));
    }
    if is_port(text) {
        return Some(format!("http://127.0.0.1:{text}"));
    }
    let (host, port) = text.strip_suffix('/').unwrap_or(text).rsplit_once(':')?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (is_port(port) && host.bytes().all(is_of_host)).then(|| format!("http://{host}:{port}"))
}

/// What is wrong with the path of a route, beside that it does not begin with a slash. A pattern is taken for one by users of other
/// programs, and would never be asked for.
pub(super) fn path_fault(path: &str, is_prefix: bool) -> Option<String> {
    let noun = if is_prefix { "a prefix" } else { "a path" };
    if is_prefix && (path.ends_with("/*") || path.ends_with("/**")) {
        return Some("a prefix takes all below it; leave out /*".to_string());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@/".contains(&byte);
    if !path.bytes().all(is_plain) {
        return Some(format!("{noun} has plain characters only: letters, digits and -._~!$&'()+,=:@"));
    }
    let inner = path.strip_suffix('/').unwrap_or(path);
    inner.split('/').skip(1).find_map(|segment| match segment {
        "" => Some(format!("{noun} has no empty segment")),
        "." | ".." => Some(format!("{noun} has no dot segments")),
        _ => None,
    })
}

/// Reads a path and a file: `PATH=FILE`.
pub(super) fn answer(text: &str) -> Option<(String, PathBuf)> {
    let (path, file) = text.split_once('=')?;
    (path.starts_with('/') && !file.is_empty()).then(|| (path.to_string(), file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_prefix_and_a_target() {
        let read = |text: &str| {
            let route = Route::parse(text, Place::CommandLine("--route".into()))?;
            let Answer::Backends(backends) = route.answer else { return None };
            Some((route.path, backends.to.concat()))
        };
        for (text, expected) in [
            ("/api=http://127.0.0.1:3000", Some(("/api", "http://127.0.0.1:3000"))),
            ("/api/=http://127.0.0.1:3000/", Some(("/api/", "http://127.0.0.1:3000/"))),
            ("/=unix:/run/a=b.sock", Some(("/", "unix:/run/a=b.sock"))),
            ("/a=https://b", Some(("/a", "https://b"))),
            ("api=http://a", None),
            ("/api=", None),
            ("/api=3000", None),
            ("/api=127.0.0.1:3000", None),
            ("/api=http://", None),
            ("/api", None),
            ("=http://a", None),
            ("", None),
        ] {
            let expected = expected.map(|(path, to)| (path.to_string(), to.to_string()));
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_host_is_nothing_that_could_end_its_field() {
        assert_eq!(Host::parse("keep"), Some(Host::AsAsked));
        for text in ["a.example", "a.example:8080", "[::1]:80", "my_app"] {
            assert_eq!(Host::parse(text), Some(Host::Set(text.to_string())));
        }
        for text in
            ["", "a b", "a\r\nx: y", "http://a", "a/b", "\u{e4}", "a@b", "a:b", "a:0", "a:1:2", "[a", ":80"]
        {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }
}

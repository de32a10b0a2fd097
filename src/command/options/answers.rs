//! The options that say who answers: servers behind this one, files, and what goes with them.

use std::ffi::{OsStr, OsString};

use crate::command::arguments::Arguments;
use crate::command::option::{path, text, Kind, Opt};
use crate::command::place::Place;
#[cfg(feature = "check")]
use crate::command::route::Hsts;
use crate::command::route::{self, ClientCert, Host, Route, Time};
use crate::command::value;

pub(in crate::command) const TITLE: &str = "Who answers";

/// What the help says before these options.
pub(in crate::command) const NOTE: &str = "\
  TARGET is http://HOST:PORT, https://HOST:PORT, or unix: and the path of a socket.
";

pub(in crate::command) static ANSWERS: &[&Opt] = &[
    &TO,
    &ROUTE,
    &FILES,
    &ANSWER,
    &HOST,
    &BACKEND_CA,
    &BACKEND_CERT,
    &BACKEND_KEY,
    &SECURE_COOKIES,
    &CLIENT_CERT_FIELD,
    &CONNECT_TIMEOUT,
    &ANSWER_TIMEOUT,
    &SILENCE_TIMEOUT,
    &TUNNEL_TIMEOUT,
    &BACKEND_REQUESTS,
    &BACKEND_QUEUE,
    &BACKEND_QUEUE_TIMEOUT,
    #[cfg(feature = "check")]
    &HSTS,
];

static TO: Opt = Opt::new(
    "to",
    "The server that answers: requests that no --route takes are passed on to it. May be given \
     several times, for servers of one kind: the least busy one that works gets the request. \
     Without any target, GET /api/data is served.",
    Kind::Value {
        name: "TARGET",
        accepted: route::TARGET,
        default: None,
        set: |arguments, value| {
            text(value).and_then(|to| route::target(&to)).map(|to| arguments.backends.to.push(to))
        },
    },
)
.repeated();

static ROUTE: Opt = Opt::new(
    "route",
    "The server that answers PREFIX and all paths below it. The longest prefix wins. The server \
     gets the path as it is, or without the prefix where TARGET ends with a slash. May be given \
     several times; the same PREFIX again names a further server of one kind.",
    Kind::Value {
        name: "PREFIX=TARGET",
        accepted: "a path, = and a target: /api=http://127.0.0.1:3000, /api/=unix:/run/app.sock",
        default: None,
        set: |arguments, value| {
            let route = Route::parse(&text(value)?, Place::CommandLine("--route".into()))?;
            arguments.routes.push(route);
            Some(())
        },
    },
)
.repeated();

static FILES: Opt = Opt::new(
    "files",
    "The folder whose files answer what no --route takes, index.html for a folder in it.",
    Kind::Value {
        name: "DIR",
        accepted: "the path of a folder",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.files = Some(path)),
    },
);

static ANSWER: Opt = Opt::new(
    "answer",
    "A JSON file that answers GET at one path. It is read again when it changes. May be given \
     several times.",
    Kind::Value {
        name: "PATH=FILE",
        accepted: "a path, = and a JSON file: /api/version=version.json",
        default: None,
        set: |arguments, value| route::answer(&text(value)?).map(|answer| arguments.answers.push(answer)),
    },
)
.repeated();

static HOST: Opt = Opt::new(
    "host",
    "What Host says to the servers of --to and --route; keep for what the client has asked for.",
    Kind::Value {
        name: "HOST|keep",
        accepted: "keep, or a host with an optional port: app.internal, app.internal:8080",
        default: Some("keep"),
        set: |arguments, value| Host::parse(value.to_str()?).map(|host| arguments.backends.host = Some(host)),
    },
);

static BACKEND_CA: Opt = Opt::new(
    "backend-ca",
    "The authority or authorities that the certificates of https targets are from, as PEM. No \
     others are trusted.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.backends.ca = Some(path)),
    },
);

static BACKEND_CERT: Opt = Opt::new(
    "backend-cert",
    "The certificate that https targets are shown when they ask for one, with its issuers, as \
     PEM. Needs --backend-key.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.backends.cert = Some(path)),
    },
);

static BACKEND_KEY: Opt = Opt::new(
    "backend-key",
    "The private key of --backend-cert, as PEM without a passphrase.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.backends.key = Some(path)),
    },
);

static SECURE_COOKIES: Opt = Opt::new(
    "secure-cookies",
    "Whether cookies of these servers get Secure, so that clients send them over HTTPS only. The \
     log says once when it has changed one.",
    Kind::Value {
        name: "on|off",
        accepted: "on or off",
        default: Some("on"),
        set: |arguments, value| {
            arguments.backends.secure_cookies = Some(match value.to_str()? {
                "on" | "true" => true,
                "off" | "false" => false,
                _ => return None,
            });
            Some(())
        },
    },
);

static CLIENT_CERT_FIELD: Opt = Opt::new(
    "client-cert-field",
    "What these servers are told of the certificate of --client-ca that a client shows (RFC 9440): \
     own for Client-Cert, chain for Client-Cert-Chain too. What a client sends under these names \
     is always removed.",
    Kind::Value {
        name: "off|own|chain",
        accepted: "off, own or chain",
        default: Some("off"),
        set: |arguments, value| {
            arguments.backends.client_cert = Some(match value.to_str()? {
                "off" => ClientCert::Nothing,
                "own" => ClientCert::Own,
                "chain" => ClientCert::Chain,
                _ => return None,
            });
            Some(())
        },
    },
);

static CONNECT_TIMEOUT: Opt = timeout(
    "connect-timeout",
    "How long to wait for a connection to a server; then 504.",
    "5s",
    |arguments, value| time(arguments, Time::Connect, &value),
);

static ANSWER_TIMEOUT: Opt = timeout(
    "answer-timeout",
    "How long to wait for the head of a server's answer; then 504.",
    "60s",
    |arguments, value| time(arguments, Time::Answer, &value),
);

static SILENCE_TIMEOUT: Opt = timeout(
    "silence-timeout",
    "How long a server may send nothing in the middle of an answer, events aside; then it is cut.",
    "60s",
    |arguments, value| time(arguments, Time::Silence, &value),
);

static TUNNEL_TIMEOUT: Opt = timeout(
    "tunnel-timeout",
    "How long a WebSocket may be silent in both directions; then it is closed.",
    "60m",
    |arguments, value| time(arguments, Time::Tunnel, &value),
);

static BACKEND_REQUESTS: Opt = Opt::new(
    "backend-requests",
    "Requests at one server at a time, WebSockets too; further ones wait (maxconn of HAProxy).",
    Kind::Value {
        name: "N",
        accepted: "a whole number from 1 up",
        default: Some("1024"),
        set: |arguments, value| {
            arguments.backends.requests = Some(count(&value).filter(|&most| most > 0)?);
            Some(())
        },
    },
);

static BACKEND_QUEUE: Opt = Opt::new(
    "backend-queue",
    "Requests that may wait for room at the servers of one route; one more gets 503.",
    Kind::Value {
        name: "N",
        accepted: value::COUNT,
        default: Some("1024"),
        set: |arguments, value| count(&value).map(|most| arguments.backends.queue = Some(most)),
    },
);

static BACKEND_QUEUE_TIMEOUT: Opt = timeout(
    "backend-queue-timeout",
    "How long a request may wait for room at a server; then 503 (timeout queue of HAProxy).",
    "5s",
    |arguments, value| time(arguments, Time::Queue, &value),
);

const fn timeout(
    name: &'static str,
    help: &'static str,
    default: &'static str,
    set: fn(&mut Arguments, OsString) -> Option<()>,
) -> Opt {
    Opt::new(name, help, Kind::Value { name: "TIME", accepted: value::TIME, default: Some(default), set })
}

fn time(arguments: &mut Arguments, which: Time, value: &OsStr) -> Option<()> {
    arguments.backends.times[which as usize] = Some(value::time(value.to_str()?)?);
    Some(())
}

fn count(value: &OsStr) -> Option<usize> {
    value::whole_number(value.to_str()?)
}

#[cfg(feature = "check")]
static HSTS: Opt = Opt::new(
    "hsts",
    "Tell browsers to use HTTPS only, for a year (auto) or so many seconds, 0 to make them \
     forget it. Only names whose certificate every browser trusts are answered with it, so that \
     nobody is locked out: no address, no name of a local network, no authority of your own.",
    Kind::Value {
        name: "auto|off|SECONDS",
        accepted: "auto, off or a number of seconds",
        default: Some("off"),
        set: |arguments, value| {
            arguments.hsts = match value.to_str()? {
                "off" => None,
                "auto" => Some(Hsts { seconds: 31_536_000 }),
                seconds => Some(Hsts { seconds: value::whole_number(seconds)? }),
            };
            Some(())
        },
    },
);

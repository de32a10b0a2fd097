//! The rules of the sources: how many crates of which kind there are, which module may know which, and what no source file
//! holds. The sources are read as tokens, so comments, strings and the code of tests do not count.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sources::Sources;

/// Crates that bring an executor, a reactor of their own or the async world with them. mio is none: it is a thin face of
/// epoll and kqueue.
const ASYNC: [&str; 20] = [
    "actix-rt",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "embassy-executor",
    "futures",
    "futures-core",
    "futures-executor",
    "futures-util",
    "glommio",
    "h2",
    "hyper",
    "hyper-util",
    "may",
    "monoio",
    "pollster",
    "smol",
    "tokio",
    "tokio-rustls",
];
const MOST_CRATES: usize = 30;
/// What the feature `acme` may add to that.
const MOST_FOR_ACME: usize = 15;
/// What the feature `post-quantum` may add: ml-kem is made of many small crates of one project.
const MOST_FOR_ML_KEM: usize = 15;

/// What the feature `websocket` may add: tungstenite, with the generator of random numbers that its clients use.
const MOST_FOR_WEBSOCKET: usize = 13;

/// The rooms that do something of their own, and what they do it with.
const EVERYBODY: [&str; 22] = [
    "std::net",
    "mio",
    "rustls",
    "webpki",
    "threadpool",
    "crate::error",
    "crate::http",
    "crate::router",
    "crate::server",
    "crate::tls",
    "crate::acme",
    "crate::device",
    "crate::limits",
    "crate::live",
    "crate::log_limiter",
    "crate::operations",
    "crate::proxy",
    "crate::redirect",
    "crate::check",
    "crate::scan",
    "crate::web",
    "crate::command",
];

/// What the files below connections do not know.
const CONNECTIONS: [&str; 8] = [
    "crate::server::connection",
    "crate::server::serve",
    "crate::http",
    "crate::router",
    "crate::tls",
    "crate::limits",
    "crate::web",
    "rustls",
];

#[test]
fn the_library_stays_within_its_crates() {
    let crates = crates(&[]);
    assert!(crates.contains("rustls"), "{crates:?}");
    assert!(crates.len() <= MOST_CRATES, "{}: {crates:?}", crates.len());
    let asked_for = ["rustls", "rustls-pemfile", "httparse", "serde_json", "log", "threadpool"];
    for name in asked_for {
        assert!(crates.contains(name), "{name} was asked for and is not used");
    }
    for name in ["openssl-sys", "aws-lc-sys", "env_logger", "rcgen"] {
        assert!(!crates.contains(name), "{name} is in the library's tree");
    }
}

#[test]
fn each_feature_adds_few_crates() {
    // What it may add at most to the library alone, and what it is there for.
    let rules: [(&str, usize, &[&str]); 14] = [
        ("device", 12, &["rcgen", "if-addrs"]),
        ("acme", MOST_FOR_ACME, &["webpki-roots", "rcgen"]),
        ("check", 1, &["webpki-roots"]),
        ("scan", 0, &[]),
        ("handler-timeout", 0, &[]),
        ("operations", 1, &["sd-listen-fds"]),
        ("proxy", 0, &[]),
        ("compression", 2, &["flate2", "zlib-rs"]),
        ("upgrade", 0, &[]),
        ("websocket", MOST_FOR_WEBSOCKET, &["tungstenite"]),
        ("serve", 24, &["env_logger", "lexopt", "signal-hook", "toml"]),
        ("cli", 25 + MOST_FOR_WEBSOCKET, &["env_logger", "webpki-roots", "tungstenite"]),
        ("manual", 24, &["lexopt"]),
        ("post-quantum", MOST_FOR_ML_KEM, &["ml-kem"]),
    ];
    let without = crates(&[]);
    for (feature, most, needed) in rules {
        let with = crates(&[&format!("--features={feature}")]);
        let added: Vec<_> = with.difference(&without).map(String::as_str).collect();
        assert!(added.len() <= most, "{feature} adds {}: {added:?}", added.len());
        for name in needed {
            assert!(added.contains(name), "{feature} does not bring {name}: {added:?}");
        }
    }
    // The command that serves does not ask authorities, and checks nothing.
    assert!(!crates(&["--features=serve"]).contains("webpki-roots"));
    // It has no WebSocket.
    assert!(!crates(&["--features=serve"]).contains("tungstenite"));
    // Only its own feature brings it.
    assert!(!crates(&["--features=cli"]).contains("ml-kem"));
}

#[test]
fn nobody_brings_an_async_runtime() {
    for features in [&[][..], &["--features=cli"], &["--all-features"]] {
        let crates = crates(features);
        let found: Vec<_> = ASYNC.iter().filter(|name| crates.contains(**name)).collect();
        assert!(found.is_empty(), "{features:?}: {found:?}");
    }
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    // A room, what it may not know, and what of that it may.
    let rules: &[(&str, &[&str], &[&str])] = &[
        // What everybody calls knows none of its callers, and nothing of the network.
        ("escape", &EVERYBODY, &[]),
        ("regular_file", &EVERYBODY, &[]),
        ("handler_call", &EVERYBODY, &[]),
        ("sort", &EVERYBODY, &[]),
        ("calendar", &EVERYBODY, &[]),
        ("hsts", &EVERYBODY, &["std::net::IpAddr"]),
        // Opening a port has nothing to do with what is served there.
        (
            "listen",
            &[
                "mio",
                "rustls",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::acme",
                "crate::redirect",
                "crate::web",
            ],
            &[],
        ),
        (
            "log_limiter",
            &["std::net", "mio", "rustls", "crate::server", "crate::tls", "crate::redirect"],
            &["std::net::IpAddr"],
        ),
        // What is counted and bounded, for all that count.
        (
            "limits",
            &["mio", "rustls", "threadpool", "crate::router", "crate::server", "crate::tls", "crate::web"],
            &[],
        ),
        // The wire and the routes know no sockets (addresses are values), no threads, and nobody above them.
        (
            "http",
            &[
                "std::net",
                "std::thread",
                "mio",
                "rustix",
                "threadpool",
                "rustls",
                "webpki",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::live",
                "crate::web",
                "crate::command",
            ],
            // Who the client is by its certificate is a value as well.
            &[
                "std::net::SocketAddr",
                "std::net::IpAddr",
                "std::net::Ipv4Addr",
                "std::net::Ipv6Addr",
                "crate::tls::client_identity",
                // And so is what the handshake has agreed on.
                "crate::tls::parameters",
            ],
        ),
        (
            "router",
            &[
                "std::net",
                "std::thread",
                "mio",
                "rustix",
                "threadpool",
                "rustls",
                "webpki",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::web",
                "crate::command",
            ],
            &["std::net::SocketAddr", "crate::tls::parameters"],
        ),
        (
            "tls",
            &[
                "std::net",
                "std::thread",
                "mio",
                "threadpool",
                "http",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::acme",
                "crate::device",
                "crate::redirect",
                "crate::acme",
                "crate::device",
                "crate::command",
            ],
            // Addresses are values here too: certificates are for some. And a file's lock is waited for.
            &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::thread::sleep"],
        ),
        (
            "redirect",
            &[
                "rustls",
                "webpki",
                "threadpool",
                "crate::tls",
                "crate::acme",
                "crate::router",
                "crate::server",
                "crate::command",
            ],
            &[],
        ),
        // It knows the agents of identities by the contract in `tls`, and what makes identities not at all.
        (
            "server",
            &["crate::acme", "crate::device", "crate::check", "crate::live", "crate::web", "crate::command"],
            &[],
        ),
        // What handlers call: it knows requests, responses and files, and nobody who serves them.
        (
            "web",
            &[
                "std::net",
                "std::thread",
                "mio",
                "threadpool",
                "rustls",
                "webpki",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::acme",
                "crate::device",
                "crate::check",
                "crate::command",
            ],
            // Addresses as text.
            &["std::net::Ipv4Addr", "std::net::Ipv6Addr"],
        ),
        // They know what waits by a descriptor and a key, and what is served by what they ask of it.
        ("server::poller", &CONNECTIONS, &[]),
        ("server::workers", &CONNECTIONS, &[]),
        ("server::supervisor", &CONNECTIONS, &[]),
        // Requests are served on one line, by `exchange`: `state` only moves from stage to stage, and what the line calls
        // knows neither the line nor the other pieces.
        (
            "server::connection::state",
            &[
                "crate::router",
                "crate::http::request_head",
                "crate::http::request",
                "crate::http::response_head",
                "crate::http::response",
            ],
            &[],
        ),
        (
            "server::connection::request",
            &[
                "std::net",
                "crate::server::connection::exchange",
                "crate::server::connection::link",
                "crate::server::connection::response",
                "crate::server::connection::transport",
            ],
            &[],
        ),
        (
            "server::connection::response",
            &["crate::router", "crate::server::connection::exchange", "crate::server::connection::link"],
            &[],
        ),
        ("router::routes", &["crate::http::request", "crate::handler_call"], &[]),
        (
            "device",
            &[
                "mio",
                "threadpool",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::redirect",
                "crate::acme",
            ],
            &[],
        ),
        ("acme", &["mio", "threadpool", "crate::router", "crate::server", "crate::command"], &[]),
        (
            "scan",
            &[
                "std::net",
                "mio",
                "rustls",
                "webpki",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::check",
                "crate::command",
            ],
            &["std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::net::IpAddr"],
        ),
        // Clients, and readers of files; they have nothing to do with how one serves, beside the limits that are checked before.
        (
            "check",
            &["mio", "threadpool", "crate::router", "crate::server", "crate::redirect", "crate::command"],
            &[],
        ),
        // The command is one of those that embed the library.
        ("command", &["crate::http", "crate::router", "crate::server", "crate::tls", "crate::redirect"], &[]),
    ];
    let sources = Sources::read();
    let mut found = Vec::new();
    for (room, unknown, except) in rules {
        for (file, path, line) in paths_of(room, &sources) {
            let is_wrong = unknown.iter().any(|prefix| is_under(path, prefix));
            if is_wrong && !except.iter().any(|prefix| is_under(path, prefix)) {
                found.push(format!("{file}:{line}: {room} may not know {path}"));
            }
        }
    }
    let unknown: Vec<_> =
        found.iter().filter(|what| !KNOWN_ARROWS.iter().any(|known| what.starts_with(known))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Files that still know what they may not. It may only become shorter.
const KNOWN_ARROWS: &[&str] = &[];

#[test]
fn some_rooms_know_only_a_few() {
    // A room, and all of this crate that it may know beside itself.
    let rules: &[(&str, &[&str])] = &[
        // What handlers do with requests and responses. It knows no socket, no thread, no route and no TLS.
        (
            "web",
            &[
                "crate::backports",
                "crate::calendar",
                "crate::error",
                "crate::escape",
                "crate::handler_call",
                "crate::hsts",
                "crate::http",
                "crate::regular_file",
                "crate::sort",
            ],
        ),
        // Feeds and their subscribers. It knows no socket, no thread and no server: it wakes a list that a server watches.
        (
            "live",
            &[
                "crate::calendar",
                "crate::error",
                "crate::escape",
                "crate::handler_call",
                "crate::http",
                "crate::limits::body_memory",
                "crate::log_limiter",
                // A WebSocket is a route, and its pages' origins are told as for other layers.
                "crate::router",
                "crate::wake_list",
                "crate::web::digest",
                "crate::web::origin",
            ],
        ),
        // Passes requests on. It knows no server in front of it and nothing of its TLS: it wakes a list that a server watches. It becomes a
        // router that has nothing else.
        (
            "proxy",
            &[
                "crate::backports",
                "crate::error",
                "crate::http",
                "crate::limits::body_memory",
                // The places that its answers hold, and the range of its times.
                "crate::limits::route",
                "crate::limits::timer_fault",
                "crate::log_limiter",
                // For the lines of the log about a request.
                "crate::operations::request_id",
                "crate::router",
                // For backends over HTTPS.
                "crate::tls",
                "crate::url",
                "crate::wake_list",
                "crate::web::digest",
            ],
        ),
        // Behind a balancer and among others. The server joins it to connections, and passes it what it counts.
        (
            "operations",
            &[
                "crate::accept",
                "crate::backports",
                "crate::calendar",
                "crate::error",
                "crate::escape",
                "crate::limits",
                "crate::listen",
                "crate::log_limiter",
                "crate::sort",
            ],
        ),
        ("wake_list", &[]),
        (
            "scan",
            &[
                "crate::finding",
                "crate::error",
                "crate::escape",
                "crate::regular_file",
                "crate::backports",
                "crate::sort",
            ],
        ),
        ("finding", &["crate::escape"]),
        (
            "error",
            &[
                "crate::finding",
                "crate::escape",
                "crate::calendar",
                "crate::device::fault",
                "crate::backports",
            ],
        ),
        ("http::span", &[]),
        ("url", &["crate::tls::dns_name"]),
        ("limits", &["crate::error"]),
        ("accept", &[]),
        ("backports", &[]),
        ("server::timers", &[]),
        ("server::readers", &[]),
        ("server::pace", &[]),
        ("server::scores", &[]),
        ("server::permits", &["crate::server::clock"]),
        ("server::turn", &["crate::server::clock"]),
        ("server::making_room", &["crate::server::clock", "crate::server::turn"]),
        (
            "server::places",
            &[
                "crate::server::clock",
                "crate::server::making_room",
                "crate::server::permits",
                "crate::server::readers",
                "crate::server::timers",
                "crate::server::turn",
            ],
        ),
    ];
    let sources = Sources::read();
    let mut found = Vec::new();
    for (room, known) in rules {
        for (file, path, line) in paths_of(room, &sources) {
            let is_inside = is_under(path, &format!("crate::{room}"));
            if is_under(path, "crate") && !is_inside && !known.iter().any(|prefix| is_under(path, prefix)) {
                found.push(format!("{file}:{line}: {room} may not know {path}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What the files of a room name: a file or a folder, by its module's path. Each with the file and the line.
fn paths_of<'s>(room: &str, sources: &'s Sources) -> Vec<(&'s str, &'s str, usize)> {
    let module: Vec<&str> = room.split("::").collect();
    let is_of_it = |parts: &[String]| {
        parts.len() >= module.len() && parts.iter().zip(&module).all(|(part, of)| part == of)
    };
    let files: Vec<_> = sources.files.iter().filter(|file| is_of_it(&file.module)).collect();
    assert!(!files.is_empty(), "there is no room {room}");
    let paths = files
        .into_iter()
        .flat_map(|file| file.paths.iter().map(|(path, line)| (&*file.name, &**path, *line)));
    paths.collect()
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let sources = Sources::read();
    let mut found = Vec::new();
    for circle in &circles::circles(&sources) {
        found.push(format!("{} files name each other:", circle.len()));
        found.extend(circles::ties(&sources, circle));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The most lines that a file has, its tests not counted.
const MOST_LINES: usize = 500;

#[test]
fn a_file_is_short_enough_to_be_held_in_mind() {
    let sources = Sources::read();
    let long = sources.files.iter().filter(|file| file.lines_of_code > MOST_LINES);
    let long: Vec<_> = long.map(|file| (file.name.as_str(), file.lines_of_code)).collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines: {long:?}");
}

#[test]
fn what_may_be_replaced_is_named_in_one_place() {
    let rules: [(&str, &[&str]); 7] = [
        (
            "rustls",
            &[
                "src/tls/",
                "src/acme/",
                "src/device/",
                "src/server/connection/transport.rs",
                "src/proxy/tls.rs",
                "src/check/client.rs",
                "src/check/trust.rs",
            ],
        ),
        ("rustls_pemfile", &["src/tls/pem.rs"]),
        ("threadpool", &["src/server/workers.rs"]),
        ("flate2", &["src/web/compression.rs", "src/web/decoding.rs"]),
        ("tungstenite", &["src/live/socket/frames.rs"]),
        (
            "httparse",
            &["src/http/", "src/acme/https.rs", "src/check/exchange.rs", "src/operations/admin_request.rs"],
        ),
        ("crate::command", &["src/command/"]),
    ];
    let sources = Sources::read();
    let mut found = Vec::new();
    for (name, places) in rules {
        let mut uses = 0;
        for file in &sources.files {
            for (path, line) in file.paths.iter().filter(|(path, _)| is_under(path, name)) {
                uses += 1;
                let is_main = name == "crate::command" && file.name == "src/main.rs";
                if !is_main && !places.iter().any(|place| file.name.starts_with(place)) {
                    found.push(format!("{}:{line}: {path} belongs in {}", file.name, places.join(", ")));
                }
            }
        }
        assert!(uses > 0, "{name} is used nowhere");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_source_holds_what_the_style_forbids() {
    let sources = Sources::read();
    let mut found = Vec::new();
    for file in &sources.files {
        let is_of_the_command =
            file.module.first().is_some_and(|room| room == "command") || file.name == "src/main.rs";
        for (word, line) in &file.words {
            let wrong = match word.as_str() {
                "unsafe" => true,
                "todo!" | "unimplemented!" | "dbg!" => true,
                "println!" | "print!" | "eprintln!" | "eprint!" => !is_of_the_command,
                ".unwrap()" | ".expect(\"" => !file.has_a_comment_at(*line),
                // Before Rust 1.89 the values that are kept in it live no longer than the statement.
                "format_args!" => file.text_before(word, *line).ends_with('='),
                _ => false,
            };
            if wrong {
                found.push(format!("{}:{line}: {word}", file.name));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for root in ["src/lib.rs", "src/main.rs"] {
        let text = fs::read_to_string(sources::root_of_project().join(root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root}");
    }
}

/// The names of the crates that are compiled in with these features, lockgate's own among them.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--quiet", "--locked", "--edges=normal", "--prefix=none", "--format={p}"]);
    let output = cargo.args(features).current_dir(sources::root_of_project()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    names.map(str::to_string).collect()
}

/// Whether a path is this one, or leads further from it.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

//! The options of a server's log.
//!
//! Part of the tables in `options`; `serve` has them.

use crate::command::log_format::Format;
use crate::command::option::{text, Kind, Opt};

/// What is logged, and how.
pub(in crate::command) static LOGS: &[&Opt] = &[&LOG, &LOG_FORMAT];

static LOG: Opt = Opt::new(
    "log",
    "Which lines are logged, by level and by target: info,lockgate::access=off. The levels are \
     off, error, warn, info, debug and trace. Without it, -v and -q decide; RUST_LOG, when it is \
     set, decides instead of both.",
    Kind::Value {
        name: "LEVELS",
        accepted: "a level, and levels of targets: info,lockgate::access=off",
        default: None,
        set: |arguments, value| {
            let levels = text(value)?;
            levels.split(',').all(names_a_level).then(|| arguments.log = Some(levels))
        },
    },
);

static LOG_FORMAT: Opt = Opt::new(
    "log-format",
    "How lines of the log are written: text for people; json or logfmt for programs, with time, \
     level, target and message as fields, and for each request request_id, method, path, status, \
     bytes, duration_us, peer, peer_port, tls, route and cut. What serve says on stdout, such as \
     its address, is a record of the log then.",
    Kind::Value {
        name: "text|json|logfmt",
        accepted: "text, json or logfmt",
        default: Some("text"),
        set: |arguments, value| Format::parse(value.to_str()?).map(|format| arguments.log_format = format),
    },
);

/// A word alone is a level and never a target, so that no misspelled level turns all lines on.
fn names_a_level(directive: &str) -> bool {
    let level = match directive.split_once('=') {
        Some(("", _)) => return false,
        Some((_, level)) => level,
        None => directive,
    };
    matches!(level.trim(), "off" | "error" | "warn" | "info" | "debug" | "trace")
}

//! Every option of the command, in tables. The parser, the help, the settings and the tests all read them, so that none of
//! them can know an option that another does not.
//!
//! Knows the arguments that options write to, and no command. A command lists its options in its `Spec`.

#[cfg(feature = "proxy")]
pub(super) mod answers;
#[cfg(feature = "acme")]
pub(super) mod authority;
pub(super) mod cert;
#[cfg(feature = "check")]
pub(super) mod check;
pub(super) mod limits;
#[cfg(feature = "operations")]
pub(super) mod logs;
#[cfg(feature = "operations")]
pub(super) mod operations;
pub(super) mod serving;
#[cfg(feature = "scan")]
pub(super) mod source;

#[cfg(any(feature = "check", feature = "scan"))]
use super::option::text;
use super::option::{Kind, Opt};

/// The options of every command, the last in each help.
pub(super) static COMMON: &[&Opt] = &[&VERBOSE, &QUIET, &HELP];

static VERBOSE: Opt = Opt::new(
    "verbose",
    "Log more: debug; given twice, trace. RUST_LOG, when it is set, decides instead.",
    Kind::Flag(|arguments| {
        arguments.verbosity = arguments.verbosity.saturating_add(1);
    }),
)
.short('v');

static QUIET: Opt = Opt::new(
    "quiet",
    "Log less: warnings and errors, and no requests; twice, errors; three times, nothing.",
    Kind::Flag(|arguments| {
        arguments.verbosity = arguments.verbosity.saturating_sub(1);
    }),
)
.short('q');

static HELP: Opt = Opt::new("help", "This text.", Kind::Flag(|arguments| arguments.help = true)).short('h');

pub(super) static JSON: Opt = Opt::new(
    "json",
    "Write JSON for programs instead of text for people, also when the command fails: an object \
     with error and exit_code.",
    Kind::Flag(|arguments| arguments.json = true),
);

/// Of both kinds of check.
#[cfg(any(feature = "check", feature = "scan"))]
pub(super) static EXPLAIN: Opt = Opt::new(
    "explain",
    "Say all about a kind of finding, or list all kinds.",
    Kind::Value {
        name: "ID|all",
        accepted: "the id of a finding, or all",
        default: None,
        set: |arguments, value| text(value).map(|id| arguments.explain = Some(id)),
    },
);

/// The option for a setting of the library, which has the same name with `_` for `-`.
pub(super) fn named_as_setting(setting: &str) -> Option<&'static Opt> {
    let name = setting.replace('_', "-");
    let tables = [
        serving::CLIENTS,
        serving::WIRE,
        serving::IDENTITY,
        limits::LIMITS,
        #[cfg(feature = "operations")]
        operations::TICKETS,
        #[cfg(feature = "operations")]
        operations::WATCHED,
        #[cfg(feature = "acme")]
        authority::OBTAIN,
    ];
    tables.into_iter().flatten().copied().find(|option| option.name == name)
}

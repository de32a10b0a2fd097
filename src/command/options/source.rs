//! The options of `check --source`, which looks through the code of clients.

use std::net::IpAddr;

use crate::command::option::{path, text, Kind, Opt};

pub(in crate::command) static ALL: &[&Opt] = &[&SOURCE, &HOST, &FIX, &YES, &SARIF];

static SOURCE: Opt = Opt::new(
    "source",
    "The tree that is looked through, or a file.",
    Kind::Value {
        name: "DIR",
        accepted: "the path of a folder or a file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.source = Some(path)),
    },
);

static HOST: Opt = Opt::new(
    "host",
    "A host that serves HTTPS: plain HTTP to it is an error, and --fix rewrites it. May be given \
     several times.",
    Kind::Value {
        name: "HOST",
        accepted: "a name or an address, without scheme and port",
        default: None,
        set: |arguments, value| {
            let host =
                text(value).filter(|host| !host.contains([':', '/']) || host.parse::<IpAddr>().is_ok())?;
            arguments.hosts.push(host);
            Some(())
        },
    },
)
.repeated();

static FIX: Opt = Opt::new(
    "fix",
    "Show the difference that turns http:// of the named hosts into https://, and write it once \
     you confirm it at the terminal. Addresses with a port or a user in them, and test code, are \
     left alone.",
    Kind::Flag(|arguments| arguments.fix = true),
);

static YES: Opt =
    Opt::new("yes", "With --fix: write without asking.", Kind::Flag(|arguments| arguments.yes = true));

static SARIF: Opt = Opt::new(
    "sarif",
    "Write SARIF 2.1.0 for code scanning instead of text for people.",
    Kind::Flag(|arguments| arguments.sarif = true),
);

//! The commands that this build has, and the parts that a build may lack. `main` and the tests call it; every feature of the
//! command is decided here, in `options` and beside the few lines that call what only some builds have.

#[cfg(feature = "acme")]
use super::cert::obtain;
use super::cert::{ca, csr, install, show};
#[cfg(any(feature = "check", feature = "scan"))]
use super::check;
use super::exit::Code;
use super::spec::{Commands, Part};
use super::{demo, serve};

pub(super) static COMMANDS: Commands = Commands {
    all: &[
        &serve::SPEC,
        &demo::SPEC,
        #[cfg(any(feature = "check", feature = "scan"))]
        &check::SPEC,
        &show::SPEC,
        &ca::SPEC,
        &csr::SPEC,
        &install::SPEC,
        #[cfg(feature = "acme")]
        &obtain::OBTAIN,
        #[cfg(feature = "acme")]
        &obtain::RENEW,
        #[cfg(feature = "acme")]
        &obtain::STATUS,
    ],
    parts: PARTS,
};

static PARTS: &[Part] = &[
    Part {
        feature: "acme",
        is_built: cfg!(feature = "acme"),
        commands: &["serve", "cert obtain", "cert renew", "cert status"],
        options: &[
            "acme",
            "accept-terms",
            "challenge",
            "acme-ca",
            "acme-profile",
            "acme-chain",
            "acme-contact",
            "acme-eab-kid",
            "acme-eab-key",
        ],
        usage_code: Code::Usage,
    },
    Part {
        feature: "check",
        is_built: cfg!(feature = "check"),
        commands: &["check"],
        options: &[
            "config",
            "cert",
            "key",
            "device",
            "state",
            "name",
            "ca",
            "http-port",
            "connect",
            "https",
            "http",
            "schema",
        ],
        usage_code: Code::UsageOfReport,
    },
    Part {
        feature: "proxy",
        is_built: cfg!(feature = "proxy"),
        commands: &["serve"],
        options: &["to"],
        usage_code: Code::Usage,
    },
    Part {
        feature: "scan",
        is_built: cfg!(feature = "scan"),
        commands: &["check"],
        options: &["source", "host", "fix", "yes", "sarif"],
        usage_code: Code::UsageOfReport,
    },
];

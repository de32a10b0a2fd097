//! The commands that this build has, and the parts that a build may lack. `main` and the tests call it; every feature of the
//! command is decided here, in `options` and beside the few lines that call what only some builds have.

#[cfg(feature = "acme")]
use super::cert::obtain;
use super::cert::{ca, csr, install, show};
#[cfg(any(feature = "check", feature = "scan"))]
use super::check;
use super::exit::Code;
#[cfg(feature = "operations")]
use super::settings;
use super::spec::{Commands, Part};
#[cfg(feature = "operations")]
use super::ticket_keys;
use super::{demo, serve};

pub(super) static COMMANDS: Commands = Commands {
    all: &[
        &serve::SPEC,
        &demo::SPEC,
        #[cfg(any(feature = "check", feature = "scan"))]
        &check::SPEC,
        #[cfg(feature = "operations")]
        &settings::show::SPEC,
        #[cfg(feature = "operations")]
        &settings::schema::SPEC,
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
        #[cfg(feature = "operations")]
        &ticket_keys::NEW,
        #[cfg(feature = "operations")]
        &ticket_keys::ROTATE,
    ],
    parts: PARTS,
};

static PARTS: &[Part] = &[
    Part {
        feature: "acme",
        is_built: cfg!(feature = "acme"),
        commands: &["serve", "cert obtain", "cert renew", "cert status"],
        options: "acme accept-terms challenge acme-ca acme-profile acme-chain acme-contact acme-eab-kid acme-eab-key",
        usage_code: Code::Usage,
    },
    Part {
        feature: "check",
        is_built: cfg!(feature = "check"),
        commands: &["check"],
        options: "config cert key device state name ca http-port connect https http schema",
        usage_code: Code::UsageOfReport,
    },
    Part {
        feature: "operations",
        is_built: cfg!(feature = "operations"),
        commands: &["config schema", "config show", "serve", "ticket-keys new", "ticket-keys rotate"],
        options: "ticket-keys log log-format",
        usage_code: Code::Usage,
    },
    Part {
        feature: "proxy",
        is_built: cfg!(feature = "proxy"),
        commands: &["serve"],
        options: "to route files answer host backend-ca backend-cert backend-key secure-cookies \
                  client-cert-field connect-timeout answer-timeout silence-timeout tunnel-timeout backend-requests \
                  backend-queue backend-queue-timeout hsts",
        usage_code: Code::Usage,
    },
    Part {
        feature: "scan",
        is_built: cfg!(feature = "scan"),
        commands: &["check"],
        options: "source host fix yes sarif",
        usage_code: Code::UsageOfReport,
    },
];

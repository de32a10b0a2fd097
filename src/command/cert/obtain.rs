//! Certificates from an authority, as the command has them: the options that say which, and `cert obtain`, `cert renew` and
//! `cert status`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lockgate::workshop::regular_file::{self, Links};
use lockgate::workshop::report_mode;
use lockgate::{Acme, AcmeStatus, Challenge, Urgency};
use serde_json::json;

use crate::command::exit::{Code, Failure, Meaning};
use crate::command::options::{path, text, Kind, Opt};
use crate::command::parse::Arguments;
use crate::command::say;
use crate::command::spec::{Command, Operands, Spec};
use crate::command::terminal::say_json;
use crate::command::value::{self, Listen};

/// What the options here say.
#[derive(Debug, Default, Clone)]
pub(in crate::command) struct FromAuthority {
    pub directory: Option<String>,
    pub accept_terms: bool,
    ca: Option<PathBuf>,
    challenge: Option<Challenge>,
    profile: Option<String>,
    chain: Option<String>,
    contacts: Vec<String>,
    eab_kid: Option<String>,
    eab_key: Option<PathBuf>,
    force: bool,
}

impl FromAuthority {
    /// An option that needs an authority, when none is named.
    pub(in crate::command) fn without_authority(&self) -> Option<&'static str> {
        let FromAuthority { directory: None, accept_terms, ca, challenge, profile, chain, .. } = self else {
            return None;
        };
        let given = [
            (*accept_terms, "--accept-terms"),
            (challenge.is_some(), "--challenge"),
            (ca.is_some(), "--acme-ca"),
            (profile.is_some(), "--acme-profile"),
            (chain.is_some(), "--acme-chain"),
            (!self.contacts.is_empty(), "--acme-contact"),
            (self.eab_kid.is_some(), "--acme-eab-kid"),
            (self.eab_key.is_some(), "--acme-eab-key"),
        ];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

const ALL: &[Command] = &[Command::Serve, Command::CertObtain, Command::CertRenew];

/// A key of an account elsewhere, in base64url: a hundred bytes.
const MOST_KEY_BYTES: u64 = 1 << 16;

pub(in crate::command) const OPTIONS: &[Opt] = &[
    of_all(
        "acme",
        "Get the certificate from the authority with this directory, for each --name, and renew it. letsencrypt and \
         letsencrypt-staging stand for those of Let's Encrypt; try with the latter.",
        Kind::Value {
            name: "URL",
            accepted: "the https URL of an authority's directory, letsencrypt or letsencrypt-staging",
            default: None,
            set: |arguments, value| text(value).map(|url| arguments.acme.directory = Some(url)),
        },
    ),
    of_all(
        "accept-terms",
        "You have read the authority's terms of service, and agree. Without it, the error says where they can be read.",
        Kind::Flag(|arguments| arguments.acme.accept_terms = true),
    ),
    of_all(
        "challenge",
        "How names are proven: on port 80, where plain HTTP is answered, or on port 443, where HTTPS is served. The \
         authority must reach this machine there under every name. Without it, http-01.",
        Kind::Value {
            name: "http-01|tls-alpn-01",
            accepted: "http-01 or tls-alpn-01",
            default: None,
            set: |arguments, value| {
                arguments.acme.challenge = Some(match value.to_str()? {
                    "http-01" => Challenge::Http01,
                    "tls-alpn-01" => Challenge::TlsAlpn01,
                    _ => return None,
                });
                Some(())
            },
        },
    ),
    of_all(
        "acme-ca",
        "The roots that vouch for the authority's own server, as PEM, in place of the public ones.",
        Kind::Value {
            name: "FILE",
            accepted: "the path of a PEM file",
            default: None,
            set: |arguments, value| path(value).map(|path| arguments.acme.ca = Some(path)),
        },
    ),
    of_all(
        "acme-profile",
        "The kind of certificate, by the authority's name for it, such as shortlived at Let's Encrypt.",
        Kind::Value {
            name: "NAME",
            accepted: "the name of a profile",
            default: None,
            set: |arguments, value| text(value).map(|name| arguments.acme.profile = Some(name)),
        },
    ),
    of_all(
        "acme-chain",
        "Among several chains, the one that leads to an issuer of this name. When there is none, the first.",
        Kind::Value {
            name: "NAME",
            accepted: "the common name of an issuer",
            default: None,
            set: |arguments, value| text(value).map(|name| arguments.acme.chain = Some(name)),
        },
    ),
    Opt {
        many: true,
        ..of_all(
            "acme-contact",
            "Where the authority may write to. May be given several times; most need none.",
            Kind::Value {
                name: "EMAIL",
                accepted: "an e-mail address",
                default: None,
                set: |arguments, value| text(value).map(|email| arguments.acme.contacts.push(email)),
            },
        )
    },
    of_all(
        "acme-eab-kid",
        "The key identifier of an account that the authority knows already (external account binding).",
        Kind::Value {
            name: "ID",
            accepted: "a key identifier, as the authority gave it",
            default: None,
            set: |arguments, value| text(value).map(|kid| arguments.acme.eab_kid = Some(kid)),
        },
    ),
    of_all(
        "acme-eab-key",
        "The file with the HMAC key that belongs to it, as the authority gave it.",
        Kind::Value {
            name: "FILE",
            accepted: "the path of a file",
            default: None,
            set: |arguments, value| path(value).map(|path| arguments.acme.eab_key = Some(path)),
        },
    ),
    Opt {
        of: &[Command::CertRenew],
        ..of_all(
            "force",
            "Renew though it is not time yet.",
            Kind::Flag(|arguments| arguments.acme.force = true),
        )
    },
    Opt {
        of: &[Command::CertObtain, Command::CertRenew],
        ..of_all(
            "http",
            "Where the authority's question is answered. The authority asks on port 80.",
            Kind::Value {
                name: "[ADDR:]PORT",
                accepted: value::LISTEN,
                default: Some("[::]:80"),
                set: take_http,
            },
        )
    },
];

const fn of_all(name: &'static str, help: &'static str, kind: Kind) -> Opt {
    Opt { of: ALL, ..Opt::new(name, help, kind) }
}

fn take_http(arguments: &mut Arguments, value: OsString) -> Option<()> {
    arguments.http = Some(Listen::parse(value.to_str()?)?);
    Some(())
}

const EXIT_CODES: &[Meaning] = &[
    (0, "there is a certificate"),
    (Code::Runtime as u8, "the authority gave none; the message says why"),
    (Code::Usage as u8, "the command line is wrong"),
    (Code::PortInUse as u8, "another program has the port, such as a server that obtains by itself"),
    (Code::NotPermitted as u8, "this user may not open the port"),
    (Code::Configuration as u8, "a file or a setting cannot be used, or the terms are not accepted"),
];

pub(in crate::command) const OBTAIN: Spec = Spec {
    name: "cert obtain",
    synopsis: "--acme URL --name NAME --accept-terms --state DIR [OPTIONS]",
    summary: "Gets a certificate from an authority such as Let's Encrypt.",
    text: OBTAIN_HELP,
    operands: Operands::None,
    exit_codes: EXIT_CODES,
    usage_code: Code::Usage,
    run: |arguments| obtain(arguments, Urgency::IfDue),
};

const OBTAIN_HELP: &str = "\
Gets a certificate and waits for it, without a server; where there is one already that is good,
nothing is done. The authority must reach this machine under every name on port 80.

  lockgate cert obtain --acme letsencrypt --name gateway.example.org --accept-terms \\
      --state /var/lib/gateway

Key and certificate are then in DIR/acme/certificate.pem. lockgate serve with the same options
obtains and renews by itself, and needs none of this.
";

pub(in crate::command) const RENEW: Spec = Spec {
    name: "cert renew",
    synopsis: "--state DIR [OPTIONS]",
    summary: "Renews a certificate from an authority, if it is time.",
    text: RENEW_HELP,
    operands: Operands::None,
    exit_codes: EXIT_CODES,
    usage_code: Code::Usage,
    run: |arguments| {
        let urgency = if arguments.acme.force { Urgency::Now } else { Urgency::IfDue };
        obtain(arguments, urgency)
    },
};

const RENEW_HELP: &str = "\
Renews the certificate in the state directory when its time has come, or at once with --force,
for the names and from the authority that it is from, unless others are given; an authority of
your own needs --acme-ca again. Meant for a timer, where something else serves; lockgate serve
--acme renews by itself.

  lockgate cert renew --state /var/lib/gateway
";

pub(in crate::command) const STATUS: Spec = Spec {
    name: "cert status",
    synopsis: "--state DIR [--json]",
    summary: "Shows what is known about the certificate from an authority.",
    text: STATUS_HELP,
    operands: Operands::None,
    exit_codes: &[
        (0, "it is shown"),
        (Code::Runtime as u8, "a file in the state directory cannot be read"),
        (Code::Usage as u8, "the command line is wrong"),
    ],
    usage_code: Code::Usage,
    run: status,
};

const STATUS_HELP: &str = "\
Shows the certificate from an authority, its validity, when it will be renewed, the account, and
the last error. Only reads, so a server may be running.

  lockgate cert status --state /var/lib/gateway
";

/// The authority, as the options say it; only where `--acme` was given.
pub(in crate::command) fn of(arguments: &Arguments) -> Result<Acme, Failure> {
    let given = &arguments.acme;
    let missing = |what: &str| Err(Failure::usage(format!("{what} is missing")));
    let Some(directory) = &given.directory else {
        return missing("--acme URL, the authority's directory,");
    };
    let Some(state) = &arguments.state else {
        return missing("--state DIR, where the account and the certificate are kept,");
    };
    if arguments.names.is_empty() {
        return missing("--name NAME, which the authority must find this machine under,");
    }
    let mut acme = Acme::new(directory, state).challenge(given.challenge.unwrap_or_default());
    acme = arguments.names.iter().fold(acme, |acme, name| acme.name(name));
    acme = given.contacts.iter().fold(acme, |acme, contact| acme.contact(contact));
    if given.accept_terms {
        acme = acme.accept_terms();
    }
    if let Some(ca) = &given.ca {
        acme = acme.ca_file(ca);
    }
    if let Some(profile) = &given.profile {
        acme = acme.profile(profile);
    }
    if let Some(chain) = &given.chain {
        acme = acme.chain(chain);
    }
    match (&given.eab_kid, &given.eab_key) {
        (None, None) => {}
        (Some(kid), Some(file)) => {
            report_mode(file);
            let key = regular_file::read_text(file, Links::Followed, MOST_KEY_BYTES).map_err(|error| {
                Failure::new(Code::Configuration, format!("{}: cannot be read: {error}", file.display()))
            })?;
            acme = acme.external_account(kid, key);
        }
        _ => return Err(Failure::usage("--acme-eab-kid and --acme-eab-key belong together; give both")),
    }
    Ok(acme)
}

fn obtain(arguments: &Arguments, urgency: Urgency) -> Result<ExitCode, Failure> {
    let acme = match &arguments.state {
        Some(state) if arguments.acme.directory.is_none() && arguments.names.is_empty() => {
            of(&as_before(arguments, &AcmeStatus::read(state)?)?)?
        }
        _ => of(arguments)?,
    };
    let http = arguments.http.unwrap_or(Listen::on_all(80));
    acme.obtain(http.to_string(), urgency)?;
    status(arguments)
}

/// The same for the names and from the authority that the certificate is from.
fn as_before(arguments: &Arguments, status: &AcmeStatus) -> Result<Arguments, Failure> {
    let (Some(directory), false) = (status.authority.clone(), status.names.is_empty()) else {
        return Err(Failure::usage("there is no certificate yet: give --acme URL and --name NAME"));
    };
    let given = arguments.acme.clone();
    Ok(Arguments {
        state: arguments.state.clone(),
        names: status.names.clone(),
        acme: FromAuthority {
            directory: Some(directory),
            profile: given.profile.or_else(|| status.profile.clone()),
            ..given
        },
        ..Arguments::default()
    })
}

fn status(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(state) = &arguments.state else {
        return Err(Failure::usage(
            "--state DIR is missing: the folder that lockgate serve --acme was given",
        ));
    };
    let status = AcmeStatus::read(state)?;
    if !arguments.json {
        say(status.to_string().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let accounts = status.accounts.iter();
    let json = json!({
        "authority": status.authority,
        "names": status.names,
        "profile": status.profile,
        "not_before": status.not_before,
        "not_after": status.not_after,
        "fault": status.fault,
        "renew_at": status.renew_at,
        "window": status.window.map(|(start, end)| [start, end]),
        "explanation": status.explanation,
        "accounts": accounts.map(|(authority, url)| json!({"authority": authority, "url": url})).collect::<Vec<_>>(),
        "order": status.order,
        "failures": status.failures,
        "last_error": status.last_error,
        "last_error_at": status.last_error_at,
        "next_attempt": status.next_attempt,
    });
    say_json(&json.to_string());
    Ok(ExitCode::SUCCESS)
}

//! `lockgate cert obtain`, `cert renew` and `cert status`: a certificate from an authority, without a server.

use std::process::ExitCode;

use lockgate::internal::signed_unix;
use lockgate::{AcmeStatus, Urgency};
use serde_json::json;

use crate::command::arguments::{Arguments, FromAuthority};
use crate::command::authority::of as from_authority;
use crate::command::exit::{Code, Meaning};
use crate::command::failure::Failure;
use crate::command::option::Table;
use crate::command::options::authority::{self, TITLE};
use crate::command::options::{self, serving};
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::{say, say_json};
use crate::command::value::Listen;

const EXIT_CODES: &[Meaning] = &[
    (0, "there is a certificate"),
    (Code::Runtime as u8, "the authority gave none; the message says why"),
    (Code::Usage as u8, "the command line is wrong"),
    (
        Code::PortInUse as u8,
        "another program has the port, such as a server that obtains its certificate by itself",
    ),
    (Code::NotPermitted as u8, "this user may not open the port"),
    (Code::Configuration as u8, "a file or a setting cannot be used, or the terms are not accepted"),
];

pub(in crate::command) static OBTAIN: Spec = Spec {
    name: "cert obtain",
    synopsis: "--acme URL --name NAME --accept-terms --state DIR [OPTIONS]",
    summary: "Gets a certificate from an authority such as Let's Encrypt.",
    text: &[OBTAIN_HELP],
    operands: Operands::None,
    options: &[
        Table { title: "Options", note: "", options: &[&[&serving::STATE, &serving::NAME], options::COMMON] },
        Table { title: TITLE, note: "", options: &[authority::OBTAIN, &[&authority::HTTP]] },
    ],
    settings: Settings::None,
    exit_codes: EXIT_CODES,
    usage_code: Code::Usage,
    run: |arguments| obtain(arguments, Urgency::IfDue),
};

const OBTAIN_HELP: &str = "\
Gets a certificate and waits for it, without a server. When there is a good one already, it does
nothing. The authority must reach this machine under every name on port 80.

  lockgate cert obtain --acme letsencrypt --name gateway.example.org --accept-terms \\
      --state /var/lib/gateway

Key and certificate are then in DIR/acme/certificate.pem. lockgate serve with the same options
obtains and renews by itself, and needs none of this.
";

pub(in crate::command) static RENEW: Spec = Spec {
    name: "cert renew",
    synopsis: "--state DIR [OPTIONS]",
    summary: "Renews a certificate from an authority, if it is time.",
    text: &[RENEW_HELP],
    operands: Operands::None,
    options: &[
        Table { title: "Options", note: "", options: &[&[&serving::STATE, &serving::NAME], options::COMMON] },
        Table {
            title: TITLE,
            note: "",
            options: &[authority::OBTAIN, &[&authority::FORCE, &authority::HTTP]],
        },
    ],
    settings: Settings::None,
    exit_codes: EXIT_CODES,
    usage_code: Code::Usage,
    run: |arguments| {
        let urgency = if arguments.acme.force { Urgency::Now } else { Urgency::IfDue };
        obtain(arguments, urgency)
    },
};

const RENEW_HELP: &str = "\
Renews the certificate in the state directory when it is due, or at once with --force, with the
same names and from the same authority, unless others are given; an authority of your own needs
--acme-ca again. It is for a timer, where another program serves; lockgate serve --acme renews by
itself.

  lockgate cert renew --state /var/lib/gateway
";

pub(in crate::command) static STATUS: Spec = Spec {
    name: "cert status",
    synopsis: "--state DIR [--json]",
    summary: "Shows what is known about the certificate from an authority.",
    text: &[STATUS_HELP],
    operands: Operands::None,
    options: &[Table {
        title: "Options",
        note: "",
        options: &[&[&serving::STATE, &options::JSON], options::COMMON],
    }],
    settings: Settings::None,
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
the last error. It only reads, so a server may be running.

  lockgate cert status --state /var/lib/gateway
";

fn obtain(arguments: &Arguments, urgency: Urgency) -> Result<ExitCode, Failure> {
    let acme = match &arguments.state {
        Some(state) if arguments.acme.directory.is_none() && arguments.names.is_empty() => {
            from_authority(&as_before(arguments, &AcmeStatus::read(state)?)?)?
        }
        _ => from_authority(arguments)?,
    };
    let http = arguments.http.unwrap_or(Listen::on_all(80));
    acme.obtain(http.to_string(), urgency)?;
    status(arguments)
}

/// The same arguments, with the names and the authority of the certificate that is there.
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
        "not_before": status.not_before.map(signed_unix),
        "not_after": status.not_after.map(signed_unix),
        "fault": status.fault,
        "renew_at": status.renew_at.map(signed_unix),
        "window": status.window.map(|(start, end)| [signed_unix(start), signed_unix(end)]),
        "explanation": status.explanation,
        "accounts": accounts.map(|(authority, url)| json!({"authority": authority, "url": url})).collect::<Vec<_>>(),
        "order": status.order,
        "failures": status.failures,
        "last_error": status.last_error,
        "last_error_at": status.last_error_at.map(signed_unix),
        "next_attempt": status.next_attempt.map(signed_unix),
    });
    say_json(&json.to_string());
    Ok(ExitCode::SUCCESS)
}

//! `lockgate check`: what is wrong with a server, with what is to be served, or with the code of clients. Each of the three
//! has a file of its own; here it is decided which of them is asked for, and what is said when there is no report.
//!
//! A build may have the checks of connections alone (feature `check`) or those of code (`scan`); [`CONNECTION`] and
//! [`SOURCE`] say which.

#[cfg(feature = "check")]
mod connection;
mod kind;
#[cfg(feature = "check")]
mod preflight;
#[cfg(feature = "check")]
mod report;
#[cfg(feature = "scan")]
mod sarif;
#[cfg(feature = "scan")]
mod source;
#[cfg(feature = "scan")]
mod source_report;
#[cfg(feature = "check")]
mod url;

use std::process::ExitCode;

use lockgate::internal::escape;
use serde_json::json;

use self::kind::{Kind, SCHEMA};
use super::arguments::Arguments;
use super::exit::Code;
use super::failure::Failure;
use super::option::Table;
use super::options;
#[cfg(feature = "check")]
use super::options::{check, serving};
use super::spec::{without, Operands, Settings, Spec};
use super::suggest::meant;
use super::terminal::{say, say_json};

#[cfg(feature = "check")]
const CONNECTION: Option<&Kind> = Some(&connection::KIND);
#[cfg(not(feature = "check"))]
const CONNECTION: Option<&Kind> = None;

#[cfg(feature = "scan")]
const SOURCE: Option<&Kind> = Some(&source::KIND);
#[cfg(not(feature = "scan"))]
const SOURCE: Option<&Kind> = None;

pub(super) static SPEC: Spec = Spec {
    name: "check",
    synopsis: match (CONNECTION, SOURCE) {
        (Some(_), Some(_)) => "URL | --config FILE | --cert FILE --key FILE | --source DIR | --explain ID",
        (Some(_), None) => "URL | --config FILE | --cert FILE --key FILE | --explain ID",
        (None, _) => "--source DIR | --explain ID",
    },
    summary: match (CONNECTION, SOURCE) {
        (Some(_), Some(_)) => {
            "Says what is wrong with a server, its settings or its clients' code, and how to fix it."
        }
        (Some(_), None) => "Says what is wrong with a server or its settings, and how to fix it.",
        (None, _) => "Says what is wrong with the code of clients, and how to fix it.",
    },
    text: &[help(CONNECTION), if CONNECTION.is_some() && SOURCE.is_some() { "\n" } else { "" }, help(SOURCE)],
    // A build without the checks of connections takes a URL too, and says that it lacks them.
    operands: Operands::Some { name: "URL", what: "the URL of an HTTPS API", least: 0, most: 1 },
    options: &[Table {
        title: "Options",
        note: "",
        options: &[
            #[cfg(feature = "check")]
            &[&serving::CONFIG, &serving::CERT, &serving::KEY],
            #[cfg(feature = "check")]
            serving::IDENTITY,
            #[cfg(feature = "check")]
            &[&check::CA, &check::HTTP_PORT, &check::CONNECT],
            #[cfg(feature = "scan")]
            options::source::ALL,
            &[&options::EXPLAIN],
            #[cfg(feature = "check")]
            &[&check::SCHEMA],
            &[&options::JSON],
            #[cfg(feature = "check")]
            &[&serving::HTTPS, &serving::HTTP],
            options::COMMON,
        ],
    }],
    #[cfg(feature = "check")]
    settings: Settings::Checked { of: &super::serve::SPEC, when: &["config", "cert", "key", "device"] },
    #[cfg(not(feature = "check"))]
    settings: Settings::None,
    exit_codes: &[
        (0, "nothing to fix (there may be notes)"),
        (1, "warnings"),
        (2, "errors"),
        (Code::NotChecked as u8, "it could not be checked, or not all of it"),
        (Code::UsageOfReport as u8, "the command line is wrong"),
    ],
    usage_code: Code::UsageOfReport,
    run,
};

const fn help(kind: Option<&Kind>) -> &'static str {
    match kind {
        Some(kind) => kind.help,
        None => "",
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut outcome = look(arguments);
    // A program that reads reports gets the error in the same form; so it does for options that do not go together.
    match &mut outcome {
        Err(failure) if !matches!(failure.code, Code::NotChecked | Code::UsageOfReport) => {}
        Err(failure) if arguments.json => {
            say_json(&not_checked(arguments, failure));
            failure.is_in_report = true;
        }
        #[cfg(feature = "scan")]
        Err(failure) if arguments.sarif => {
            say_json(&sarif::not_checked(&escape::line(&failure.message).to_string()));
            failure.is_in_report = true;
        }
        _ => {}
    }
    outcome
}

/// The JSON that stands in the place of a report when there is none.
fn not_checked(arguments: &Arguments, failure: &Failure) -> String {
    let mut whole = json!({
        "schema": SCHEMA,
        "complete": false,
        "error": escape::line(&failure.message).to_string(),
        "exit_code": failure.code as u8,
    });
    let (kind, member, subject) = match (arguments.operands.first(), &arguments.source) {
        #[cfg(feature = "check")]
        (Some(url), _) => ("url", "url", lockgate::internal::without_userinfo(&url.to_string_lossy()).into()),
        #[cfg(not(feature = "check"))]
        (Some(url), _) => ("url", "url", url.to_string_lossy()),
        (None, Some(root)) => ("source", "root", root.to_string_lossy()),
        (None, None) => ("before", "subject", "the settings".into()),
    };
    whole["kind"] = json!(kind);
    whole[member] = json!(subject);
    format!("{whole:#}")
}

fn look(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.schema {
        return look_with(CONNECTION, "check", arguments);
    }
    if let Some(id) = &arguments.explain {
        return explain(id);
    }
    let is_of_source = arguments.fix || arguments.yes || arguments.sarif || !arguments.hosts.is_empty();
    let is_of_url = arguments.ca.is_some() || arguments.connect.is_some();
    let has_pair = !arguments.certs.is_empty() || !arguments.keys.is_empty();
    let is_before = arguments.config.is_some() || arguments.device || arguments.is_to_be_served;
    if is_before {
        return match (&arguments.operands[..], &arguments.source) {
            _ if is_of_source || is_of_url => Err(usage(
                "--ca and --connect go with a URL, --host, --fix, --yes and --sarif with --source; neither with --config or --cert",
            )),
            ([], None) => look_with(CONNECTION, "check", arguments),
            _ => Err(usage("of a URL, --source and --config or --cert give one")),
        };
    }
    match (&arguments.operands[..], &arguments.source) {
        ([], None) => Err(usage(WHAT_IS_MISSING)),
        ([], Some(_)) if is_of_url => Err(usage("--ca and --connect go with a URL, and not with --source")),
        ([], Some(_)) => look_with(SOURCE, "scan", arguments),
        ([_], None) if is_of_source => {
            Err(usage("--host, --fix, --yes and --sarif go with --source, and not with a URL"))
        }
        ([_], None) if has_pair && (arguments.certs.len(), arguments.keys.len()) != (1, 1) => {
            Err(usage("with a URL, --cert and --key are the client's: give one --cert and one --key"))
        }
        ([_], None) => look_with(CONNECTION, "check", arguments),
        _ => Err(usage("of a URL and --source give one")),
    }
}

const WHAT_IS_MISSING: &str = match (CONNECTION, SOURCE) {
    (Some(_), Some(_)) => {
        "what to check is missing: give the URL of an HTTPS API, such as https://localhost:8443/api/data; or --config FILE \
         or --cert FILE --key FILE, before it is served; or give --source DIR"
    }
    (Some(_), None) => {
        "what to check is missing: give the URL of an HTTPS API, such as https://localhost:8443/api/data; or --config FILE \
         or --cert FILE --key FILE, before it is served"
    }
    (None, _) => "what to check is missing: give --source DIR",
};

fn look_with(kind: Option<&Kind>, feature: &str, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match kind {
        Some(kind) => (kind.look)(arguments),
        None => {
            let what =
                arguments.operands.first().map_or("check".into(), |url| format!("check {}", url.display()));
            Err(usage(&format!("{what}: {}", without(&[feature]))))
        }
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Code::UsageOfReport, message)
}

/// Of both kinds of check.
fn explain(id: &str) -> Result<ExitCode, Failure> {
    let kinds = || [CONNECTION, SOURCE].into_iter().flatten();
    let findings: Vec<_> = kinds().flat_map(|kind| (kind.findings)()).collect();
    if id == "all" {
        let lines: Vec<String> = findings
            .iter()
            .map(|(id, severity, words)| format!("{id:<32} {:<8} {words}", severity.name()))
            .collect();
        say(&lines.join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(text) = kinds().find_map(|kind| (kind.explain)(id)) {
        say(&text);
        return Ok(ExitCode::SUCCESS);
    }
    let meant = meant(id, findings.iter().map(|(id, ..)| *id), "");
    Err(usage(&format!(
        "--explain: there is no finding {id:?}{meant}; lockgate check --explain all lists them"
    )))
}

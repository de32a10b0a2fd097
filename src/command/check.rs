//! `lockgate check`: is the connection really secure, in plain words. What is checked (a server, what is to be served, or the
//! code of clients) has a file of its own.

use std::process::ExitCode;

use lockgate::check::{explain, source, Explanation, JSON_SCHEMA, SCHEMA};
use lockgate::workshop::escape;
use serde_json::json;

use super::args::{meant, Arguments};
use super::commands::{Operands, Spec};
use super::exit::{Code, Failure};
use super::terminal::say_json;
use super::{check_before, check_report, check_sarif, check_source, check_url, check_url_report, say};

pub(super) const SPEC: Spec = Spec {
    name: "check",
    synopsis: "URL | --config FILE | --cert FILE --key FILE | --source DIR | --explain ID",
    summary: "Says what is wrong with a server, its settings or its clients' code, and how to mend it.",
    text: HELP,
    operands: Operands::Some { name: "URL", what: "the URL of an HTTPS API", least: 0, most: 1 },
    exit_codes: &[
        (0, "nothing to mend (there may be notes)"),
        (1, "warnings"),
        (2, "errors"),
        (Code::NotChecked as u8, "it could not be checked, or not all of it"),
        (Code::UsageOfReport as u8, "the command line is wrong"),
    ],
    usage_code: Code::UsageOfReport,
    run,
};

const HELP: &str = "\
Connects to a server, lockgate's or another's, and looks at its certificate, at the TLS that it
accepts, and at its HTTP, over TLS and without. It opens a few dozen connections one after the
other, within 90 s, and sends nothing that could change anything on the server.

  lockgate check https://device.local:8443/api/data --ca certs/ca.pem --http-port 8080
  lockgate check https://api.example.com/ --json

Trusted are Mozilla's authorities, those of this machine (SSL_CERT_FILE, or its own store), and
those of --ca. The JSON is described at lockgate::check::Report::to_json, and --schema writes its
JSON Schema; its schema member says lockgate.check/1, its kind url or before. When nothing could be
checked (exit code 3), or the options do not go together (64), it holds the error instead of a
verdict.

A server that asks for a client certificate (mutual TLS) is shown that of --cert and --key, as PEM.
Without them it is told that one is asked for, and all else that can be seen; the exit code is 3
when the server turns away who has none.

  lockgate check https://device.local:8443/ --ca ca.pem --cert client.pem --key client-key.pem

Without a URL, and with --config, or --cert and --key, or --device and --state, it says what
would be wrong if lockgate serve were started with the same, and with the same environment: files
and their modes, certificates, the state directory, ports (each is opened and closed at once), the
clock, limits.
Nothing is written, and nothing is asked of the network.

  lockgate check --config lockgate.toml
  lockgate check --cert fullchain.pem --key privkey.pem --https 443 --http 80

With --source it looks through source and configuration instead, for http:// addresses that the
program asks, and for the check of certificates switched off: JavaScript and TypeScript, Python,
Go, Rust, Java and Kotlin, C#, PHP, Ruby, Swift, C and C++, shell, Dockerfiles, Makefiles, YAML,
JSON, TOML, ini, XML.

  lockgate check --source . --host api.example.com
  lockgate check --source . --host api.example.com --fix
  lockgate check --explain plain-http-url

What git ignores is left out, and so are node_modules, bower_components, vendor, third_party,
site-packages, Pods, Carthage, symbolic links, pipes and devices, minified and binary files, and
files over 2 MiB. An ignore file with too many wildcards is not applied, and named.
In test code (by its folder and name) nothing is said of http://, and a check switched off is a
note.

A comment `lockgate:allow ID reason` allows what is in its line, or in the next when it stands
alone. The file .lockgate-allow at the tree's root allows more: at most 1,000 lines of ID PATH
[TEXT], the path as in .gitignore, the text a part of the line. What allows nothing is a note.

With --source --json writes one object: schema (\"lockgate.check/1\"), kind (\"source\"), root,
findings, more (how many beyond the first 10,000 are not listed), allowed, files, bytes, skipped
(path, reason), errors, warnings and notes (their numbers). A finding has id, severity (note,
warning, error), place (file:line:column), file, line, column and end_column (from 1, in
characters), text (the line, trimmed and cut), host (or null), seen, why, refused_by, fix,
reference. Fields may be added in the same schema, and none changes. --sarif writes
SARIF 2.1.0, which code-scanning services take.
";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let outcome = looked(arguments);
    if let Err(failure) = &outcome {
        match failure.code {
            // A program that reads reports gets the error in the same form; so it does of options that do not go together.
            Code::NotChecked | Code::UsageOfReport if arguments.json => {
                say_json(&not_checked(arguments, &failure.message))
            }
            Code::NotChecked | Code::UsageOfReport if arguments.sarif => {
                say_json(&check_sarif::not_checked(&escape::line(&failure.message).to_string()));
            }
            _ => {}
        }
    }
    outcome
}

/// What stands in the place of a report when there is none.
fn not_checked(arguments: &Arguments, error: &str) -> String {
    let mut whole = json!({"schema": SCHEMA, "complete": false, "error": escape::line(error).to_string()});
    let (kind, member, subject) = match (arguments.operands.first(), &arguments.source) {
        (Some(url), _) => ("url", "url", url.to_string_lossy()),
        (None, Some(root)) => ("source", "root", root.to_string_lossy()),
        (None, None) => ("before", "subject", "the settings".into()),
    };
    whole["kind"] = json!(kind);
    whole[member] = json!(subject);
    format!("{whole:#}")
}

fn looked(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.schema {
        say_json(JSON_SCHEMA.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &arguments.explain {
        return explained(id);
    }
    let is_of_source = arguments.fix || arguments.yes || arguments.sarif || !arguments.hosts.is_empty();
    let is_of_url = arguments.ca.is_some() || arguments.connect.is_some();
    let has_pair = !arguments.certs.is_empty() || !arguments.keys.is_empty();
    let is_before =
        arguments.config.is_some() || arguments.device || arguments.operands.is_empty() && has_pair;
    if is_before {
        return match (&arguments.operands[..], &arguments.source) {
            _ if is_of_source || is_of_url => Err(usage(
                "--ca and --connect go with a URL, --host, --fix, --yes and --sarif with --source; neither with --config or --cert",
            )),
            ([], None) => check_before::run(arguments),
            _ => Err(usage("of a URL, --source and --config or --cert give one")),
        };
    }
    match (&arguments.operands[..], &arguments.source) {
        ([], None) => Err(usage(
            "what to check is missing: give the URL of an HTTPS API, such as https://localhost:8443/api/data; or --config FILE \
             or --cert FILE --key FILE, before it is served; or give --source DIR",
        )),
        ([], Some(_)) if is_of_url => Err(usage("--ca and --connect go with a URL, and not with --source")),
        ([], Some(root)) => check_source::run(arguments, root),
        ([_], None) if is_of_source => {
            Err(usage("--host, --fix, --yes and --sarif go with --source, and not with a URL"))
        }
        ([_], None) if has_pair && (arguments.certs.len(), arguments.keys.len()) != (1, 1) => Err(usage(
            "with a URL, --cert and --key are the client's: give one --cert and one --key",
        )),
        ([url], None) => check_url::run(arguments, &url.to_string_lossy()),
        _ => Err(usage("of a URL and --source give one")),
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Code::UsageOfReport, message)
}

/// Of both kinds of check.
fn explained(id: &str) -> Result<ExitCode, Failure> {
    let of_source = source::Explanation::all();
    if id == "all" {
        let of_urls = Explanation::all().map(|one| (one.id(), one.severity(), one.reference()));
        let of_source = of_source.iter().map(|one| (one.id(), one.severity(), one.title()));
        let lines: Vec<String> = of_urls
            .chain(of_source)
            .map(|(id, severity, words)| format!("{id:<32} {:<8} {words}", severity.name()))
            .collect();
        say(&lines.join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(explanation) = explain(id) {
        say(&check_url_report::explanation(&explanation));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(explanation) = source::Explanation::of(id) {
        say(&check_report::explained(explanation));
        return Ok(ExitCode::SUCCESS);
    }
    let ids = Explanation::all().map(|one| one.id()).chain(of_source.iter().map(|one| one.id()));
    let meant = meant(id, ids, "");
    Err(usage(&format!(
        "--explain: there is no finding {id:?}{meant}; lockgate check --explain all lists them"
    )))
}

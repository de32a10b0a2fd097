//! `lockgate check`: is the connection really secure, in plain words. So far for the code of clients, `--source`.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use lockgate::check::source::{fixes, Explanation, Fix, Report, Scan};
use lockgate::Severity;

use super::args::Arguments;
use super::commands::{Operands, Spec};
use super::exit::{Code, Failure};
use super::{check_report, check_sarif, say};

pub(super) const SPEC: Spec = Spec {
    name: "check",
    synopsis: "--source DIR [--host HOST …] [--fix [--yes] | --json | --sarif] | --explain ID",
    summary: "Says whether client code keeps the connection secure.",
    text: HELP,
    operands: Operands::None,
    exit_codes: &[
        (0, "nothing was found, beside notes"),
        (WARNINGS, "warnings"),
        (ERRORS, "errors"),
        (NOT_CHECKED, "it could not be checked, or not all of it"),
        (Code::UsageOfReport as u8, "the command line is wrong"),
    ],
    usage_code: Code::UsageOfReport,
    run,
};

const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;
const NOT_CHECKED: u8 = Code::NotChecked as u8;

const HELP: &str = "\
Looks through source and configuration for http:// addresses that the program asks, and for the
check of certificates switched off: JavaScript and TypeScript, Python, Go, Rust, Java and Kotlin,
C#, PHP, Ruby, Swift, C and C++, shell, Dockerfiles, Makefiles, YAML, JSON, TOML, ini, XML.

  lockgate check --source . --host api.example.com
  lockgate check --source . --host api.example.com --fix
  lockgate check --explain plain-http-url

What git ignores is left out, and so are node_modules, bower_components, vendor, third_party,
site-packages, Pods, Carthage, symbolic links, minified and binary files, and files over 2 MiB.
In test code (by its folder and name) nothing is said of http://, and a check switched off is a
note.

A comment `lockgate:allow ID reason` allows what is in its line, or in the next when it stands
alone. The file .lockgate-allow at the tree's root allows more: lines of ID PATH [TEXT], the path
as in .gitignore, the text a part of the line. What allows nothing is a note.

--json writes one object: version (1), kind (\"source\"), root, findings, more (how many beyond the
first 10,000 are not listed), allowed, files, bytes, skipped (path, reason), errors, warnings and
notes (their numbers). A finding has id, severity (note, warning, error), place (file:line:column),
file, line, column and end_column (from 1, in characters), text (the line, trimmed and cut), host
(or null), seen, why, refused_by, fix, reference. Fields may be added in the same version, and none
changes. --sarif writes SARIF 2.1.0, which code-scanning services take.
";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(id) = &arguments.explain {
        return explain(id);
    }
    let Some(root) = &arguments.source else {
        return Err(usage("what to check is missing: give --source DIR, or --explain ID"));
    };
    if arguments.fix && arguments.hosts.is_empty() {
        return Err(usage("--fix rewrites the hosts that are named only: give --host HOST"));
    }
    if u8::from(arguments.fix) + u8::from(arguments.json) + u8::from(arguments.sarif) > 1 {
        return Err(usage("of --fix, --json and --sarif give one"));
    }
    if arguments.yes && !arguments.fix {
        return Err(usage("--yes answers for --fix: give both"));
    }
    let mut scan = Scan::new(root);
    for host in &arguments.hosts {
        scan = scan.host(host);
    }
    let mut report = scan.run()?;
    if arguments.json {
        say(&check_report::in_json(root, &report));
    } else if arguments.sarif {
        say(&check_sarif::of(&report));
    } else {
        if arguments.fix && rewrite(root, &report, arguments.yes)? {
            report = scan.run()?;
        }
        say(&check_report::for_people(&report, check_report::Colour::of_stdout()));
    }
    Ok(ExitCode::from(match report.worst() {
        Some(Severity::Error) => ERRORS,
        Some(Severity::Warning) => WARNINGS,
        _ if report.is_incomplete() => NOT_CHECKED,
        _ => 0,
    }))
}

fn usage(message: &str) -> Failure {
    Failure::new(Code::UsageOfReport, message)
}

fn explain(id: &str) -> Result<ExitCode, Failure> {
    if id == "all" {
        let all = Explanation::all()
            .iter()
            .map(|one| format!("{:<32} {:<8} {}", one.id(), one.severity(), one.title()));
        say(&all.collect::<Vec<_>>().join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    match Explanation::of(id) {
        Some(explanation) => {
            say(&check_report::explained(explanation));
            Ok(ExitCode::SUCCESS)
        }
        None => Err(usage(&format!("there is no finding {id:?}; lockgate check --explain all lists them"))),
    }
}

/// Shows the difference, and writes it when that is wished for; whether it was written.
fn rewrite(root: &Path, report: &Report, yes: bool) -> Result<bool, Failure> {
    let fixes = fixes(root, report)?;
    if fixes.is_empty() {
        say("There is nothing to rewrite: no address of the named hosts that is certain enough.\n");
        return Ok(false);
    }
    for fix in &fixes {
        show(&fix.diff());
    }
    let count: usize = fixes.iter().map(Fix::count).sum();
    let (addresses, files) =
        (check_report::counted(count, "address"), check_report::counted(fixes.len(), "file"));
    if !yes && !confirmed(&format!("Rewrite {addresses} in {files}?")) {
        say(&format!("Nothing was written. To rewrite {addresses} in {files}: the same again with --yes.\n"));
        return Ok(false);
    }
    for fix in &fixes {
        fix.write()?;
    }
    say(&format!("Rewrote {addresses} in {files}.\n"));
    Ok(true)
}

/// A difference with the files' own bytes, so that `patch` takes it; on a terminal only what does no harm there.
fn show(diff: &[u8]) {
    let mut stdout = io::stdout().lock();
    let is_terminal = stdout.is_terminal();
    let harmless = |byte: &u8| if byte.is_ascii_control() && !b"\n\t".contains(byte) { b'?' } else { *byte };
    let text: Vec<u8> = if is_terminal {
        let text = String::from_utf8_lossy(diff);
        text.replace("\r\n", "\n").bytes().map(|byte| harmless(&byte)).collect()
    } else {
        diff.to_vec()
    };
    if let Err(error) = stdout.write_all(&text).and_then(|()| stdout.flush()) {
        log::debug!("stdout is closed: {error}");
    }
}

/// Asks, if somebody is there to answer.
fn confirmed(question: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return false;
    }
    let mut stderr = io::stderr().lock();
    let mut answer = String::new();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().read_line(&mut answer)).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

//! `lockgate check --source`: looks through the code of clients for what makes the connection insecure, and rewrites
//! addresses. `check` calls it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use lockgate::internal::escape;
use lockgate::scan::{fixes, Explanation, Fix, Report, Scan};
use lockgate::Verdict;

use super::kind::Kind;
use super::{sarif, source_report};
use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::terminal::{say, say_json, say_painted, write, Paint};

const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;
const NOT_CHECKED: u8 = Code::NotChecked as u8;

pub(super) const KIND: Kind = Kind {
    help: HELP,
    look,
    findings: || Explanation::all().iter().map(|one| (one.id(), one.severity(), one.title())).collect(),
    explain: |id| Explanation::of(id).map(source_report::explained),
};

const HELP: &str = "\
With --source it looks through source and configuration, for http:// addresses that the program
requests, and for the check of certificates switched off: JavaScript and TypeScript, Python,
Go, Rust, Java and Kotlin, C#, PHP, Ruby, Swift, C and C++, shell, Dockerfiles, Makefiles, YAML,
JSON, TOML, ini, XML.

  lockgate check --source . --host api.example.com
  lockgate check --source . --host api.example.com --fix
  lockgate check --explain plain-http-url

It leaves out what git ignores, node_modules, bower_components, vendor, third_party, site-packages,
Pods, Carthage, symbolic links, pipes and devices, minified and binary files, and files over 2 MiB.
It does not apply an ignore file with too many wildcards, and names it. In test code (by its folder
and name) it says nothing of http://, and a check switched off is a note.

A comment `lockgate:allow ID reason` allows the finding in its line, or in the next line when the
comment stands alone. The file .lockgate-allow at the tree's root allows more: at most 1,000 lines
of ID PATH [TEXT], the path as in .gitignore, the text a part of the line. An entry that allows
nothing is a note.

With --source --json writes one object: schema (\"lockgate.check/1\"), kind (\"source\"), root,
findings, more (how many beyond the first 10,000 are not listed), allowed, files, bytes, skipped
(path, reason), errors, warnings and notes (their numbers). A finding has id, severity (note,
warning, error), place (file:line:column), file, line, column and end_column (from 1, in
characters), text (the line, trimmed and cut), host (or null), seen, why, refused_by, fix,
reference. Fields may be added in the same schema, and none changes. --sarif writes
SARIF 2.1.0, which code-scanning services take.
";

fn look(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(root) = &arguments.source else {
        return Err(usage("--source DIR is missing"));
    };
    scan(arguments, root)
}

fn scan(arguments: &Arguments, root: &Path) -> Result<ExitCode, Failure> {
    if arguments.fix && arguments.hosts.is_empty() {
        return Err(usage("--fix rewrites the named hosts only: give --host HOST"));
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
        say_json(&format!("{:#}", report.to_json()));
    } else if arguments.sarif {
        say_json(&sarif::of(&report));
    } else {
        if arguments.fix && rewrite(root, &report, arguments.yes)? {
            report = scan.run()?;
        }
        say_painted(&source_report::for_people(&report, Paint::for_stdout()));
    }
    Ok(ExitCode::from(match report.verdict() {
        Verdict::Errors => ERRORS,
        Verdict::Warnings => WARNINGS,
        _ if !report.is_complete() => NOT_CHECKED,
        _ => 0,
    }))
}

fn usage(message: &str) -> Failure {
    Failure::new(Code::UsageOfReport, message)
}

/// Shows the difference, and writes it when the user asks for that; tells whether it was written.
fn rewrite(root: &Path, report: &Report, yes: bool) -> Result<bool, Failure> {
    let fixes = fixes(root, report)?;
    if fixes.is_empty() {
        say("There is nothing to rewrite: no address of the named hosts that is certain enough.\n");
        return Ok(false);
    }
    for fix in &fixes {
        show_diff(&fix.diff());
    }
    let count: usize = fixes.iter().map(Fix::count).sum();
    let (addresses, files) =
        (source_report::counted(count, "address"), source_report::counted(fixes.len(), "file"));
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

/// Writes a difference between files to stdout. `patch` gets the files' own bytes through a pipe, a terminal gets them escaped.
fn show_diff(diff: &[u8]) {
    if io::stdout().is_terminal() {
        write(escape::lines_of(diff).to_string().as_bytes());
    } else {
        write(diff);
    }
}

/// Asks at the terminal; without one the answer is no.
fn confirmed(question: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return false;
    }
    log::logger().flush();
    let mut stderr = io::stderr().lock();
    let mut answer = String::new();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().read_line(&mut answer)).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

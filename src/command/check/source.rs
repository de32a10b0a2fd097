//! `lockgate check --source`: does the code of clients keep the connection secure? `check` calls it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use lockgate::scan::{fixes, Fix, Report, Scan};
use lockgate::Severity;

use super::{sarif, source_report};
use crate::command::exit::{Code, Failure};
use crate::command::parse::Arguments;
use crate::command::terminal::{say, say_json, say_painted, show_diff, Paint};

const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;
const NOT_CHECKED: u8 = Code::NotChecked as u8;

pub(in crate::command) fn run(arguments: &Arguments, root: &Path) -> Result<ExitCode, Failure> {
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
        say_json(&source_report::in_json(root, &report));
    } else if arguments.sarif {
        say_json(&sarif::of(&report));
    } else {
        if arguments.fix && rewrite(root, &report, arguments.yes)? {
            report = scan.run()?;
        }
        say_painted(&source_report::for_people(&report, Paint::for_stdout()));
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

/// Shows the difference, and writes it when that is wished for; whether it was written.
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

//! A report of `lockgate check --source` for people, and as JSON. `source` calls it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lockgate::scan::{Explanation, Report, Skip, SourceFinding};
use lockgate::workshop::escape;
use lockgate::Severity;
use serde_json::{json, Value};

use super::kind::SCHEMA;
use crate::command::terminal::Paint;

/// `1 file`, `2 files`, `2 addresses`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

pub(super) fn for_people(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let mut explained = BTreeSet::new();
    for found in &report.findings {
        let finding = &found.finding;
        let place = finding.place().unwrap_or(&found.file);
        text.push_str(&format!(
            "{}: {}: {} ({})\n    {}\n",
            paint.with("1", place),
            paint.severity(finding.severity(), finding.severity().name()),
            finding.seen(),
            finding.id(),
            found.text
        ));
        // The reason is the same for all findings of a kind, so it stands once.
        if explained.insert(finding.id()) {
            text.push_str(&format!("  why: {}\n", finding.why()));
        }
        text.push_str(&format!("  fix: {}\n\n", finding.fix()));
    }
    text.push_str(&skipped(report));
    text.push_str(&summary(report));
    text
}

/// The paths that were not looked at, at most ten of them.
fn skipped(report: &Report) -> String {
    const SHOWN: usize = 10;
    let mut text = String::new();
    for (index, skipped) in report.skipped.iter().enumerate() {
        if index == SHOWN {
            let more = report.skipped.len() - SHOWN;
            text.push_str(&format!("not looked at: {more} more; --json lists them\n"));
            break;
        }
        let (path, reason) = (escape::line(&skipped.path), skipped.why.reason());
        text.push_str(&format!("not looked at: {path}: {}\n", escape::line(&reason)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The one sentence at the end.
fn summary(report: &Report) -> String {
    let files = counted(report.files, "file");
    let unreadable =
        report.skipped.iter().filter(|skipped| matches!(skipped.why, Skip::Unreadable(_))).count();
    let but = match unreadable {
        0 => String::new(),
        count => format!(", but {} could not be read", counted(count, "path")),
    };
    let allowed = match report.allowed {
        0 => String::new(),
        count => format!(" ({count} allowed)"),
    };
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (report.count(severity), severity))
        .filter(|(count, _)| *count > 0)
        .map(|(count, severity)| counted(count, severity.name()))
        .collect();
    let more = match report.more {
        0 => String::new(),
        more => format!(", and {more} more that are not listed"),
    };
    let passed_over = passed_over(report);
    match (report.worst(), counts.is_empty()) {
        (_, true) if report.files == 0 => {
            format!("No file was looked at, so nothing is known{but}{passed_over}.")
        }
        (_, true) => format!("Nothing was found in {files}{allowed}{but}{passed_over}."),
        (Some(Severity::Note), _) => {
            format!(
                "Nothing that must be fixed was found in {files}, {}{more}{allowed}{but}{passed_over}.",
                counts.join(", ")
            )
        }
        _ => {
            let ways = "fix what is listed, or allow what is meant to be so";
            format!("Found {} in {files}{more}{allowed}{but}: {ways}{passed_over}.", counts.join(", "))
        }
    }
}

/// How many paths were passed over, and why, for the last sentence.
fn passed_over(report: &Report) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for skipped in &report.skipped {
        let why = match skipped.why {
            Skip::TooLarge(_) => "larger than 2 MiB",
            Skip::Binary => "binary",
            Skip::Minified => "minified",
            Skip::OthersCode => "code of others",
            _ => continue,
        };
        *counts.entry(why).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    if counts.is_empty() {
        return String::new();
    }
    format!("; not looked at: {}", counts.join(", "))
}

/// The long text about a kind of finding.
pub(super) fn explained(explanation: &Explanation) -> String {
    format!(
        "{} ({})\n{}\n\n{}\n\n{}\nfix: {}\nsee: {}",
        explanation.id(),
        explanation.severity(),
        explanation.title(),
        explanation.why(),
        explanation.long(),
        explanation.fix(),
        explanation.reference()
    )
}

pub(super) fn in_json(root: &Path, report: &Report) -> String {
    let finding = |found: &SourceFinding| -> Value {
        let mut json = found.finding.to_json();
        json["file"] = json!(found.file);
        json["line"] = json!(found.line);
        json["column"] = json!(found.column);
        json["end_column"] = json!(found.end_column);
        json["text"] = json!(found.text);
        json["host"] = json!(Some(&found.host).filter(|host| !host.is_empty()));
        json
    };
    let skipped: Vec<Value> = report
        .skipped
        .iter()
        .map(|skipped| json!({"path": skipped.path, "reason": skipped.why.reason()}))
        .collect();
    let whole = json!({
        "schema": SCHEMA,
        "kind": "source",
        "root": root.to_string_lossy(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more": report.more,
        "allowed": report.allowed,
        "files": report.files,
        "bytes": report.bytes,
        "skipped": skipped,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
    });
    format!("{whole:#}")
}

//! A report of `lockgate check --source` for people. `source` calls it.

use std::collections::BTreeSet;

use lockgate::internal::escape;
use lockgate::scan::{Explanation, Report};

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
    for found in report.findings() {
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
    text.push_str(&report.summary());
    text
}

/// The skipped paths, at most ten of them.
fn skipped(report: &Report) -> String {
    const SHOWN: usize = 10;
    let mut text = String::new();
    for (index, skipped) in report.skipped().iter().enumerate() {
        if index == SHOWN {
            let more = report.skipped().len() - SHOWN;
            text.push_str(&format!("skipped: {more} more; --json lists them\n"));
            break;
        }
        let (path, reason) = (escape::line(&skipped.path), skipped.why.reason());
        text.push_str(&format!("skipped: {path}: {}\n", escape::line(&reason)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
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

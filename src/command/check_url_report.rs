//! A check's report as text for people: a few lines of what was seen, what is wrong with it, and one sentence at the end.

use lockgate::check::{Explanation, Report};
use lockgate::{Finding, Severity};
use serde_json::Value;

/// Where lines end, if a word allows it.
const WIDTH: usize = 96;

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Colours,
    Plain,
}

impl Paint {
    /// Colours for a terminal whose user has not declined them (no-color.org).
    pub(super) fn for_stdout() -> Paint {
        use std::io::IsTerminal;
        let is_declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if is_declined || !std::io::stdout().is_terminal() {
            Paint::Plain
        } else {
            Paint::Colours
        }
    }

    /// With the codes of ECMA-48 SGR around it.
    fn with(self, code: &str, text: &str) -> String {
        match self {
            Paint::Colours => format!("\x1b[{code}m{text}\x1b[0m"),
            Paint::Plain => text.to_string(),
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Note => "36",
            Severity::Warning => "1;33",
            // And whatever is worse.
            _ => "1;31",
        };
        self.with(code, text)
    }
}

/// The whole report.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let mut out = format!("{}\n\n", paint.with("1", report.subject()));
    for (area, words) in seen(report) {
        out.push_str(&format!("  {area:<12} {words}\n"));
    }
    for severity in [Severity::Error, Severity::Warning] {
        for finding in report.findings().iter().filter(|finding| finding.severity() == severity) {
            out.push('\n');
            whole(finding, paint, &mut out);
        }
    }
    let notes: Vec<&Finding> =
        report.findings().iter().filter(|finding| finding.severity() == Severity::Note).collect();
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        let head = format!("note: {}: ", note.id());
        let place = note.place().map_or_else(String::new, |place| format!("{place}: "));
        let words = wrapped(&format!("{head}{place}{}", note.seen()), 0, 4);
        // The head has no blank where it could be cut.
        out.push_str(&words.replacen("note", &paint.severity(Severity::Note, "note"), 1));
        out.push('\n');
    }
    if !report.unknown().is_empty() {
        out.push_str("\nNot found out:\n");
    }
    for unknown in report.unknown() {
        out.push_str(&format!("  {}\n", wrapped(unknown, 2, 4)));
    }
    if !report.findings().is_empty() {
        out.push_str("\nMore about a finding: lockgate check --explain ID\n");
    }
    let worst = report.findings().iter().map(Finding::severity).max().filter(|worst| *worst > Severity::Note);
    let summary = report.summary();
    out.push('\n');
    out.push_str(&match worst {
        Some(worst) => paint.severity(worst, &summary),
        None => paint.with("1;32", &summary),
    });
    out
}

/// A finding with all that one needs to mend it.
fn whole(finding: &Finding, paint: Paint, out: &mut String) {
    let severity = finding.severity();
    let place = finding.place().map_or_else(String::new, |place| format!(" ({place})"));
    out.push_str(&format!(
        "{} {}{place}\n",
        paint.severity(severity, &format!("{severity}:")),
        paint.with("1", finding.id())
    ));
    out.push_str(&format!("  {}\n", wrapped(&sentence(finding.seen()), 2, 2)));
    out.push_str(&format!("  {}\n", wrapped(finding.why(), 2, 2)));
    if !finding.refused_by().is_empty() {
        out.push_str(&format!("  Refused by {}.\n", finding.refused_by().join(", ")));
    }
    out.push_str("  To mend it:\n");
    for line in finding.fix().lines() {
        // Something to paste is not cut into lines.
        out.push_str(&format!("    {line}\n"));
    }
    out.push_str(&format!("  See {}.\n", finding.reference()));
}

/// The long text about a kind of finding.
pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut out = format!("{} ({})\n\n", explanation.id(), explanation.severity());
    for part in [explanation.why(), explanation.about()].into_iter().filter(|part| !part.is_empty()) {
        out.push_str(&format!("{}\n\n", wrapped(part, 0, 0)));
    }
    out.push_str(&format!(
        "fix: {}\nsee: {}",
        explanation.fix().replace('\n', "\n     "),
        explanation.reference()
    ));
    out
}

/// What was seen, a line an area.
fn seen(report: &Report) -> Vec<(&'static str, String)> {
    let facts = report.facts();
    let fact = |area: &str, name: &str| facts.get(area).and_then(|area| area.get(name));
    let text = |area: &str, name: &str| fact(area, name).and_then(Value::as_str).map(str::to_string);
    let mut lines = Vec::new();
    if let Some(address) = facts.get("address").and_then(Value::as_str) {
        lines.push(("address", format!("{address}, {} connections", report.connections())));
    }
    if let Some(certificates) = facts.get("certificates").and_then(Value::as_array) {
        for certificate in certificates {
            let text =
                |name: &str| certificate.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            let days = certificate.get("days_left").and_then(Value::as_i64).unwrap_or_default();
            lines.push(("certificate", format!("{}: {}, {days} days left", text("file"), text("subject"))));
        }
    }
    for (area, name) in [("HTTPS", "https"), ("plain HTTP", "http")] {
        if let Some(state) = text("listeners", name) {
            lines.push((area, format!("the port is {state}")));
        }
    }
    if let Some(ceiling) = fact("memory", "ceiling_bytes").and_then(Value::as_u64) {
        let connections = facts.get("connections").and_then(Value::as_u64).unwrap_or_default();
        let of = fact("memory", "machine_bytes").and_then(Value::as_u64);
        let of = of.map_or_else(String::new, |of| format!(" of {} MiB", of >> 20));
        lines.push(("limits", format!("{connections} connections; at most {} MiB{of}", ceiling >> 20)));
    }
    if let Some(versions) = fact("tls", "versions").and_then(Value::as_object) {
        let mut accepted: Vec<&str> = versions
            .iter()
            .filter(|(_, accepted)| **accepted == true)
            .map(|(name, _)| name.as_str())
            .collect();
        accepted.sort_by(|a, b| b.cmp(a));
        let mut words = if accepted.is_empty() { "no version".to_string() } else { accepted.join(", ") };
        if let Some(cipher) = text("tls", "cipher") {
            words.push_str(&format!("; a current client gets {cipher}"));
        }
        lines.push(("TLS", words));
    }
    if let Some(subject) = text("certificate", "subject") {
        let mut words = if subject.is_empty() { "(no subject)".to_string() } else { subject };
        if let Some(days) = fact("certificate", "days_left").and_then(Value::as_i64) {
            words.push_str(&format!(", {days} days left"));
        }
        words.push_str(&match text("certificate", "trusted") {
            Some(voucher) => format!(", vouched for by {voucher}"),
            None => ", not trusted".to_string(),
        });
        lines.push(("certificate", words));
    }
    if let Some(status) = fact("https", "status") {
        let stays = match fact("https", "keep_alive").and_then(Value::as_bool) {
            Some(true) => ", and the connection stays",
            _ => "",
        };
        lines.push(("HTTPS", format!("{status}{stays}")));
    }
    if let (Some(port), Some(answer)) = (fact("http", "port"), text("http", "answer")) {
        let words = match (answer.as_str(), text("http", "location")) {
            ("redirect", Some(location)) => format!("a redirect to {}", printable(&location)),
            ("content", _) => "contents".to_string(),
            ("refusal", _) => format!("a refusal ({})", fact("http", "status").unwrap_or(&Value::Null)),
            (answer, _) => format!("{answer} (nothing answers)"),
        };
        lines.push(("plain HTTP", format!("port {port}: {words}")));
    }
    lines
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// With a capital in front and a point behind.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if clause.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Broken into lines, of which those after the first are indented; `column` is where the first begins.
fn wrapped(text: &str, column: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut at = column;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if out.is_empty() {
            out.push_str(word);
            at += length;
        } else if at + 1 + length > WIDTH {
            out.push_str(&format!("\n{:indent$}{word}", ""));
            at = indent + length;
        } else {
            out.push_str(&format!(" {word}"));
            at += 1 + length;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_words_and_words_stay_whole() {
        let text = wrapped(&"word ".repeat(60), 2, 4);
        assert!(text.lines().count() > 2);
        for line in text.lines() {
            assert!(line.len() <= WIDTH, "{line}");
        }
        assert!(text.lines().nth(1).unwrap().starts_with("    word"));
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long, 0, 0), long);
    }

    #[test]
    fn a_clause_becomes_a_sentence() {
        assert_eq!(sentence("it is so"), "It is so.");
        assert_eq!(sentence("Is it so?"), "Is it so?");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn colours_are_there_only_when_they_are_wanted() {
        assert_eq!(Paint::Plain.severity(Severity::Error, "x"), "x");
        assert_eq!(Paint::Colours.severity(Severity::Error, "x"), "\u{1b}[1;31mx\u{1b}[0m");
    }
}

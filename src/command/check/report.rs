//! A check's report as text for people: a few lines of what was seen, what is wrong with it, and one sentence at the end.
//! `url` and `preflight` call it.

use lockgate::check::{Explanation, Report};
use lockgate::internal::escape;
use lockgate::{Finding, Severity};
use serde_json::Value;

use crate::command::terminal::{wrapped, Paint};

/// Where lines end, if a word allows it.
const WIDTH: usize = 96;

/// The whole report.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let subject = escape::line(report.subject()).to_string();
    let mut out = format!("{}\n\n", paint.with("1", &subject));
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
        let words = wrapped(&format!("{head}{place}{}", note.seen()), WIDTH, 0, 4);
        // The head has no space at which a line could be broken.
        out.push_str(&words.replacen("note", &paint.severity(Severity::Note, "note"), 1));
        out.push('\n');
    }
    if !report.unknown().is_empty() {
        out.push_str("\nNot known:\n");
    }
    for unknown in report.unknown() {
        out.push_str(&format!("  {}\n", wrapped(&escape::line(unknown).to_string(), WIDTH, 2, 4)));
    }
    if !report.findings().is_empty() {
        out.push_str("\nMore about a finding: lockgate check --explain ID\n");
    }
    let worst = report.findings().iter().map(Finding::severity).max().filter(|worst| *worst > Severity::Note);
    let summary = escape::line(&report.summary()).to_string();
    out.push('\n');
    out.push_str(&match worst {
        Some(worst) => paint.severity(worst, &summary),
        None => paint.with("1;32", &summary),
    });
    out
}

/// A finding with all that a reader needs to fix it.
fn whole(finding: &Finding, paint: Paint, out: &mut String) {
    let severity = finding.severity();
    let place = finding.place().map_or_else(String::new, |place| format!(" ({place})"));
    out.push_str(&format!(
        "{} {}{place}\n",
        paint.severity(severity, &format!("{severity}:")),
        paint.with("1", finding.id())
    ));
    out.push_str(&format!("  {}\n", wrapped(&sentence(finding.seen()), WIDTH, 2, 2)));
    out.push_str(&format!("  {}\n", wrapped(finding.why(), WIDTH, 2, 2)));
    if !finding.refused_by().is_empty() {
        out.push_str(&format!("  Refused by {}.\n", finding.refused_by().join(", ")));
    }
    out.push_str("  To fix it:\n");
    for line in finding.fix().lines() {
        // A line to paste stays whole.
        out.push_str(&format!("    {line}\n"));
    }
    out.push_str(&format!("  See {}.\n", finding.reference()));
}

/// The long text about a kind of finding.
pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut out = format!("{} ({})\n\n", explanation.id(), explanation.severity());
    for part in [explanation.why(), explanation.about()].into_iter().filter(|part| !part.is_empty()) {
        out.push_str(&format!("{}\n\n", wrapped(part, WIDTH, 0, 0)));
    }
    out.push_str(&format!(
        "fix: {}\nsee: {}",
        explanation.fix().replace('\n', "\n     "),
        explanation.reference()
    ));
    out
}

/// What is left of a certificate's life.
fn life(days_left: i64) -> String {
    match days_left {
        -1 => "expired a day ago".to_string(),
        days if days < 0 => format!("expired {} days ago", days.unsigned_abs()),
        1 => "1 day left".to_string(),
        days => format!("{days} days left"),
    }
}

fn connections(count: u64) -> String {
    match count {
        1 => "1 connection".to_string(),
        count => format!("{count} connections"),
    }
}

/// What was seen, a line for each area.
fn seen(report: &Report) -> Vec<(&'static str, String)> {
    let facts = report.facts();
    let fact = |area: &str, name: &str| facts.get(area).and_then(|area| area.get(name));
    let text = |area: &str, name: &str| fact(area, name).and_then(Value::as_str).map(shown);
    let mut lines = Vec::new();
    if let Some(address) = facts.get("address").and_then(Value::as_str).map(shown) {
        lines.push(("address", format!("{address}, {}", connections(report.connections().into()))));
    }
    if let Some(backends) = facts.get("backends").and_then(Value::as_array) {
        for backend in backends {
            let text = |name: &str| backend.get(name).and_then(Value::as_str).map(shown).unwrap_or_default();
            lines.push(("target", format!("{}: {}", text("target"), text("seen"))));
        }
    }
    if let Some(certificates) = facts.get("certificates").and_then(Value::as_array) {
        for certificate in certificates {
            let text =
                |name: &str| certificate.get(name).and_then(Value::as_str).map(shown).unwrap_or_default();
            let days = certificate.get("days_left").and_then(Value::as_i64).unwrap_or_default();
            lines.push(("certificate", format!("{}: {}, {}", text("file"), text("subject"), life(days))));
        }
    }
    for (area, name) in [("HTTPS", "https"), ("plain HTTP", "http")] {
        if let Some(state) = text("listeners", name) {
            lines.push((area, format!("the port is {state}")));
        }
    }
    if let Some(state) = text("listeners", "admin") {
        lines.push(("admin", format!("its address is {state}")));
    }
    if let Some(ceiling) = fact("memory", "ceiling_bytes").and_then(Value::as_u64) {
        let connections = connections(facts.get("connections").and_then(Value::as_u64).unwrap_or_default());
        let of = fact("memory", "machine_bytes").and_then(Value::as_u64);
        let of = of.map_or_else(String::new, |of| format!(" of {} MiB", of >> 20));
        lines.push(("limits", format!("{connections}; at most {} MiB{of}", ceiling >> 20)));
    }
    if let Some(versions) = fact("tls", "versions").and_then(Value::as_object) {
        let mut accepted: Vec<&str> = versions
            .iter()
            .filter(|(_, accepted)| **accepted == true)
            .map(|(name, _)| name.as_str())
            .collect();
        accepted.sort_by(|a, b| b.cmp(a));
        let mut words = if accepted.is_empty() {
            "no version".to_string()
        } else {
            escape::line(&accepted.join(", ")).to_string()
        };
        if let Some(cipher) = text("tls", "cipher") {
            words.push_str(&format!("; a current client gets {cipher}"));
        }
        lines.push(("TLS", words));
    }
    if let Some(subject) = text("certificate", "subject") {
        let mut words = if subject.is_empty() { "(no subject)".to_string() } else { subject };
        if let Some(days) = fact("certificate", "days_left").and_then(Value::as_i64) {
            words.push_str(&format!(", {}", life(days)));
        }
        words.push_str(&match text("certificate", "trusted") {
            Some(issuer) => format!(", trusted through {issuer}"),
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
            ("redirect", Some(location)) => format!("a redirect to {location}"),
            ("content", _) => "contents".to_string(),
            ("refusal", _) => format!("a refusal ({})", fact("http", "status").unwrap_or(&Value::Null)),
            (answer, _) => format!("{answer} (nothing answers)"),
        };
        lines.push(("plain HTTP", format!("port {port}: {words}")));
    }
    lines
}

/// A fact in words of the server, which must not steer the terminal.
fn shown(text: &str) -> String {
    escape::bounded(text, 200).to_string()
}

/// A clause with a capital in front and a full stop behind. What may be a name stays as it is: a file, a setting, a command.
fn sentence(clause: &str) -> String {
    const NAMES: [&str; 2] = ["lockgate", "systemd"];
    let first = clause.split([' ', ',']).next().unwrap_or_default();
    let is_word = first.bytes().all(|byte| byte.is_ascii_lowercase()) && !NAMES.contains(&first);
    let mut sentence = clause.to_string();
    if let Some(letter) = sentence.get_mut(..1).filter(|_| is_word) {
        letter.make_ascii_uppercase();
    }
    if !clause.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_over_has_no_days_left() {
        assert_eq!(
            [-303, -1, 0, 1, 90].map(life),
            ["expired 303 days ago", "expired a day ago", "0 days left", "1 day left", "90 days left"]
        );
    }

    #[test]
    fn one_connection_is_one() {
        assert_eq!([0, 1, 2].map(connections), ["0 connections", "1 connection", "2 connections"]);
    }

    #[test]
    fn a_clause_becomes_a_sentence() {
        assert_eq!(sentence("it is so"), "It is so.");
        assert_eq!(sentence("Is it so?"), "Is it so?");
        for name in [
            "cert.pem: line 1 is no PEM",
            "drain-timeout: 0ns is out of range",
            "drain_timeout: 0ns is out of range",
            "key: the file is empty",
            "proxy-from has 0.0.0.0/0",
            "lockgate is there",
            "/run/a.pem cannot be read",
            "æ is no word",
        ] {
            assert_eq!(sentence(name), format!("{name}."));
        }
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn a_redirect_of_the_server_cannot_steer_a_terminal() {
        assert_eq!(shown("https://a\u{9b}31m\u{202e}/"), r"https://a\u{9b}31m\u{202e}/");
        assert_eq!(shown(&"é".repeat(300)), "é".repeat(200) + "… (200 bytes more)");
    }
}

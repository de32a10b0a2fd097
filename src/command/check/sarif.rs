//! A report of `lockgate check --source` as SARIF 2.1.0 (OASIS), which code-scanning services take. `source` calls it.

use lockgate::scan::{Explanation, Report, SourceFinding};
use lockgate::Severity;
use serde_json::{json, Value};

pub(super) fn of(report: &Report) -> String {
    let rules: Vec<Value> = Explanation::all().iter().map(|explanation| rule(explanation)).collect();
    let results: Vec<Value> = report.findings().iter().map(result).collect();
    let whole = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "lockgate", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": report.is_complete()}],
            "results": results,
        }],
    });
    format!("{whole:#}")
}

/// What stands in the place of a report when nothing could be checked.
pub(super) fn not_checked(error: &str) -> String {
    let told = json!({"level": "error", "message": {"text": error}});
    let whole = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "lockgate", "version": env!("CARGO_PKG_VERSION")}},
            "invocations": [{"executionSuccessful": false, "toolExecutionNotifications": [told]}],
            "results": [],
        }],
    });
    format!("{whole:#}")
}

fn rule(explanation: &Explanation) -> Value {
    json!({
        "id": explanation.id(),
        "shortDescription": {"text": explanation.title()},
        "fullDescription": {"text": explanation.why()},
        "help": {"text": format!("{}\nFix: {}\nSee: {}", explanation.long(), explanation.fix(), explanation.reference())},
        "defaultConfiguration": {"level": level(explanation.severity())},
        "properties": {"tags": ["security"]},
    })
}

fn result(found: &SourceFinding) -> Value {
    let finding = &found.finding;
    let rule = Explanation::all().iter().position(|explanation| explanation.id() == finding.id());
    json!({
        "ruleId": finding.id(),
        "ruleIndex": rule,
        "level": level(finding.severity()),
        "message": {"text": format!("{}. {} Fix: {}", finding.seen(), finding.why(), finding.fix())},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&found.file), "uriBaseId": "%SRCROOT%"},
            "region": {
                "startLine": found.line,
                "startColumn": found.column,
                "endColumn": found.end_column.max(found.column + 1),
                "snippet": {"text": found.text},
            },
        }}],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        _ => "note",
    }
}

/// A path as a relative URI reference (RFC 3986 §4.2).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_uri() {
        assert_eq!(uri("src/a b#é:.js"), "src/a%20b%23%C3%A9%3A.js");
    }
}

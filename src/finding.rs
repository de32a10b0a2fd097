//! What a check has found: what was seen, why it matters, and how to put it right.
//!
//! Knows nothing of what is checked. The kinds of findings stand in tables beside the checks that find them
//! (`tls::findings::rules` for certificates), so that a report, a log line and the documentation say the same.

use std::fmt;
use std::path::Path;

use serde_json::{json, Value};

use crate::escape;

/// How bad a [`Finding`] is, from the least to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know. No client refuses the server for it.
    Note,
    /// Some clients refuse the server, or all soon will.
    Warning,
    /// The server cannot work, or one of the large clients (Apple's, Chrome, Firefox) refuses it.
    Error,
}

impl Severity {
    /// In lower case, as it stands in reports: `note`, `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a check or a scan has ended, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// There is nothing to fix. There may be notes.
    Clean,
    /// The worst is a warning.
    Warnings,
    /// There is at least one error.
    Errors,
}

impl Verdict {
    /// The outcome for these findings: the worst of them decides.
    #[cfg(any(feature = "check", feature = "scan"))]
    pub(crate) fn of(severities: impl Iterator<Item = Severity>) -> Verdict {
        match severities.max() {
            Some(Severity::Error) => Verdict::Errors,
            Some(Severity::Warning) => Verdict::Warnings,
            Some(Severity::Note) | None => Verdict::Clean,
        }
    }

    /// As it stands in reports: `clean`, `warnings` or `errors`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::Warnings => "warnings",
            Verdict::Errors => "errors",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name and version of every report in JSON, of a check and of a scan.
#[cfg(any(feature = "check", feature = "scan"))]
pub(crate) const REPORT_SCHEMA: &str = "lockgate.check/1";

/// A kind of finding: what all findings of one id have in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) why: &'static str,
    /// The large clients that refuse it, in alphabetical order.
    pub(crate) refused_by: &'static [&'static str],
    pub(crate) fix: &'static str,
    pub(crate) reference: &'static str,
}

/// Something that a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    rule: &'static Rule,
    at: Option<String>,
    seen: String,
    fix: Option<String>,
}

impl Finding {
    pub(crate) fn new(rule: &'static Rule, seen: impl Into<String>) -> Finding {
        Finding { rule, at: None, seen: escape::line(&seen.into()).to_string(), fix: None }
    }

    /// Sets where it was found.
    pub(crate) fn at(self, place: impl Into<String>) -> Finding {
        Finding { at: Some(escape::line(&place.into()).to_string()), ..self }
    }

    /// Sets a fix that fits better than the general fix of its kind.
    pub(crate) fn fixed_by(self, fix: impl Into<String>) -> Finding {
        Finding { fix: Some(escape::lines_of(fix.into().as_bytes()).to_string()), ..self }
    }

    /// Adapts the general fix of its kind to this case. A fix set by [`fixed_by`](Finding::fixed_by) stays.
    #[cfg(feature = "check")]
    pub(crate) fn filled(self, fill: impl Fn(&str) -> String) -> Finding {
        match self.fix {
            Some(_) => self,
            None => {
                let fix = fill(self.rule.fix);
                self.fixed_by(fix)
            }
        }
    }

    /// The name of its kind, such as `missing-intermediate`: in kebab case, and the same in every later version.
    pub fn id(&self) -> &'static str {
        self.rule.id
    }

    /// How bad it is. The same for all findings of an id.
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }

    /// Where it was found, if it concerns only a part of what was checked: `certificate 2`, or a file's path.
    pub fn place(&self) -> Option<&str> {
        self.at.as_deref()
    }

    /// What was seen, as a clause. It is one line. Characters that control a terminal or change the direction of writing are
    /// escaped, as in [`place`](Finding::place) and [`fix`](Finding::fix). A finding quotes only a few of a certificate's
    /// names.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Why it matters, in a sentence or two. The same for all findings of an id.
    pub fn why(&self) -> &'static str {
        self.rule.why
    }

    /// Which of `Apple`, `Chrome` and `Firefox` refuse the server for this. Empty when none of them refuses it for this alone.
    pub fn refused_by(&self) -> &'static [&'static str] {
        self.rule.refused_by
    }

    /// How to fix it. If a command does it, this is the command, ready to paste.
    pub fn fix(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.rule.fix)
    }

    /// The source: a section of an RFC, or the title of a vendor's page.
    pub fn reference(&self) -> &'static str {
        self.rule.reference
    }

    /// For programs: an object with `id`, `severity` (`note`, `warning`, `error`), `place` (or null), `seen`, `why`,
    /// `refused_by`, `fix` and `reference`. Members may be added.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id(),
            "severity": self.severity().name(),
            "place": self.place(),
            "seen": self.seen(),
            "why": self.why(),
            "refused_by": self.refused_by(),
            "fix": self.fix(),
            "reference": self.reference(),
        })
    }
}

/// Sorts the worst first, and keeps the order of findings that are equally bad.
pub(crate) fn worst_first(findings: &mut [Finding]) {
    // There are only a few, and the standard library's sort would add four kilobytes to every program.
    for end in 1..findings.len() {
        for at in (1..=end).rev() {
            if findings[at - 1].severity() >= findings[at].severity() {
                break;
            }
            findings.swap(at - 1, at);
        }
    }
}

/// For a log line: `place: seen (id); fix`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.at {
            write!(f, "{place}: ")?;
        }
        write!(f, "{} ({}); {}", self.seen, self.id(), self.fix())
    }
}

/// A path quoted as one word of a shell, to be shown and pasted. It is one line, whatever the path holds.
pub fn shell_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !path.is_empty() && path.bytes().all(is_plain) {
        path.into_owned()
    } else {
        format!("'{}'", escape::line(&path.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_one_word_of_a_shell() {
        for (path, word) in [
            ("certs/ca.pem", "certs/ca.pem"),
            ("my certs/ca.pem", "'my certs/ca.pem'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("a\nb\u{9b}", r"'a\nb\u{9b}'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}

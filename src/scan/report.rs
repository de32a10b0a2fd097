//! The result of a scan: the findings with their places, and the files that it skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use crate::finding::{Finding, Severity, Verdict, REPORT_SCHEMA};

/// A finding in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFinding {
    /// The finding itself. Its [`place`](Finding::place) is `file:line:column`.
    pub finding: Finding,
    /// The path of the file from the tree's root, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The first column of the match, from 1, in characters (Unicode scalar values).
    pub column: u64,
    /// The column after the end of the match.
    pub end_column: u64,
    /// The line without the white space around it, at most 200 characters, with control characters escaped. `…` stands for
    /// a part that was left out.
    pub text: String,
    /// The position of the match in the file, in bytes.
    pub offset: usize,
    /// The host of a plain HTTP address, in lower case; empty for other kinds of findings.
    pub host: String,
    /// Whether [`fixes`](super::fixes) may rewrite it: an address of a named host, without port and user.
    pub can_be_rewritten: bool,
}

impl SourceFinding {
    fn to_json(&self) -> Value {
        let mut json = self.finding.to_json();
        json["file"] = json!(self.file);
        json["line"] = json!(self.line);
        json["column"] = json!(self.column);
        json["end_column"] = json!(self.end_column);
        json["text"] = json!(self.text);
        json["host"] = json!(Some(&self.host).filter(|host| !host.is_empty()));
        json
    }
}

/// A file or a folder that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The path from the tree's root, with `/`.
    pub path: String,
    /// The reason.
    pub why: Skip,
}

/// Why a file or a folder was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// The file has this many bytes; the limit is 2 MiB.
    TooLarge(u64),
    /// A NUL byte is among the first bytes.
    Binary,
    /// A program has written the file: its name says so, or a script has a line of more than 20,000 bytes.
    Minified,
    /// The folder has one of the names for other people's code.
    OthersCode,
    /// The file is an ignore file of git with too many patterns. It is not applied, so the files that it ignores are read.
    TooManyPatterns,
    /// The file could not be read; the error of the operating system.
    Unreadable(String),
}

impl Skip {
    /// For a report: `larger than 2 MiB`.
    pub fn reason(&self) -> String {
        match self {
            Skip::TooLarge(bytes) => format!("larger than 2 MiB ({bytes} bytes)"),
            Skip::Binary => "binary".into(),
            Skip::Minified => "minified".into(),
            Skip::OthersCode => "code of others".into(),
            Skip::TooManyPatterns => "too many patterns, so the files that they ignore are read".into(),
            Skip::Unreadable(error) => format!("cannot be read: {error}"),
        }
    }
}

/// The result of a scan.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) root: PathBuf,
    pub(super) findings: Vec<SourceFinding>,
    pub(super) more: usize,
    pub(super) allowed: usize,
    pub(super) files: usize,
    pub(super) bytes: u64,
    pub(super) skipped: Vec<Skipped>,
}

impl Report {
    /// The root of the tree, as it was given.
    pub fn subject(&self) -> &Path {
        &self.root
    }

    /// The findings, in the order of files and lines: the first 10,000.
    pub fn findings(&self) -> &[SourceFinding] {
        &self.findings
    }

    /// How many more findings there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// How many findings comments and the allow file have allowed.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many bytes these files have.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Skipped files and folders, without those that git ignores and those in a language without rules.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|found| found.finding.severity() == severity).count()
    }

    /// The verdict: the severity of the worst finding.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.findings.iter().map(|found| found.finding.severity()))
    }

    /// Whether the report is about the whole tree. It is false when something could not be read, or when no file was read.
    pub fn is_complete(&self) -> bool {
        self.files > 0 && !self.skipped.iter().any(|skipped| matches!(skipped.why, Skip::Unreadable(_)))
    }

    /// The result in one sentence.
    pub fn summary(&self) -> String {
        let files = counted(self.files, "file");
        let unreadable =
            self.skipped.iter().filter(|skipped| matches!(skipped.why, Skip::Unreadable(_))).count();
        let but = match unreadable {
            0 => String::new(),
            count => format!(", but {} could not be read", counted(count, "path")),
        };
        let allowed = match self.allowed {
            0 => String::new(),
            count => format!(" ({count} allowed)"),
        };
        let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
            .into_iter()
            .map(|severity| (self.count(severity), severity))
            .filter(|(count, _)| *count > 0)
            .map(|(count, severity)| counted(count, severity.name()))
            .collect();
        let more = match self.more {
            0 => String::new(),
            more => format!(", and {more} more, not listed"),
        };
        let passed_over = self.passed_over();
        match (self.verdict(), counts.is_empty()) {
            (_, true) if self.files == 0 => {
                format!("No file was read, so the result is unknown{but}{passed_over}.")
            }
            (_, true) => format!("Nothing was found in {files}{allowed}{but}{passed_over}."),
            (Verdict::Clean, _) => {
                format!(
                    "Nothing that must be fixed was found in {files}, {}{more}{allowed}{but}{passed_over}.",
                    counts.join(", ")
                )
            }
            _ => {
                let ways = "fix them, or allow those that are intended";
                format!("Found {} in {files}{more}{allowed}{but}: {ways}{passed_over}.", counts.join(", "))
            }
        }
    }

    /// How many paths were skipped, and why, for the summary.
    fn passed_over(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for skipped in &self.skipped {
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
        format!("; skipped: {}", counts.join(", "))
    }

    /// The report as JSON. As long as `schema` is `lockgate.check/1`, members keep their meaning; later versions may add
    /// members.
    ///
    /// | member | what it is |
    /// |---|---|
    /// | `schema` | `lockgate.check/1` |
    /// | `kind` | `source` |
    /// | `root` | the tree's root, as it was given |
    /// | `findings` | those of [`Finding::to_json`], and of each `file`, `line`, `column`, `end_column`, `text`, and `host` (or null) |
    /// | `more`, `allowed`, `files`, `bytes` | as the methods of these names |
    /// | `skipped` | of each `path` and `reason` |
    /// | `errors`, `warnings`, `notes` | how many findings are of each severity |
    pub fn to_json(&self) -> Value {
        let skipped =
            self.skipped.iter().map(|skipped| json!({"path": skipped.path, "reason": skipped.why.reason()}));
        json!({
            "schema": REPORT_SCHEMA,
            "kind": "source",
            "root": self.root.to_string_lossy(),
            "findings": self.findings.iter().map(SourceFinding::to_json).collect::<Vec<_>>(),
            "more": self.more,
            "allowed": self.allowed,
            "files": self.files,
            "bytes": self.bytes,
            "skipped": skipped.collect::<Vec<_>>(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
        })
    }
}

/// One line for each finding, and the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.findings {
            writeln!(f, "{}: {}", found.finding.severity(), found.finding)?;
        }
        f.write_str(&self.summary())
    }
}

/// `1 file`, `2 files`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

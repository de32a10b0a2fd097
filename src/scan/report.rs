//! What a scan has found: the findings with their places, and what it did not look at.

use crate::finding::{Finding, Severity};

/// A finding in a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceFinding {
    /// What was found. Its [`place`](Finding::place) is `file:line:column`.
    pub finding: Finding,
    /// The file, from the tree's root, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column where what was found begins, from 1, in characters (Unicode scalar values).
    pub column: u64,
    /// The column after its end.
    pub end_column: u64,
    /// The line without the white space around it, at most 200 characters, control characters escaped. A part that was left
    /// out is `…`.
    pub text: String,
    /// Where it begins in the file, in bytes.
    pub offset: usize,
    /// The host that is asked over plain HTTP, in lower case; empty for findings of other kinds.
    pub host: String,
    /// Whether [`fixes`](super::fixes) may rewrite it: an address without port and user, whose host was named.
    pub can_be_rewritten: bool,
}

/// A file or a folder that was not looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Skipped {
    /// From the tree's root, with `/`.
    pub path: String,
    /// Why not.
    pub why: Skip,
}

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// It has this many bytes; the limit is 2 MiB.
    TooLarge(u64),
    /// A NUL byte is among its first.
    Binary,
    /// Its name says that a program has written it.
    Minified,
    /// Its name is one of those under which others' code is kept.
    OthersCode,
    /// It is an ignore file of git with more patterns than are applied; what they ignore is looked at.
    TooManyPatterns,
    /// It could not be read; what the operating system said.
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
            Skip::TooManyPatterns => "too many patterns, so that what they ignore is looked at".into(),
            Skip::Unreadable(error) => format!("cannot be read: {error}"),
        }
    }
}

/// What a scan has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// In the order of files and lines; at most 10,000, the first.
    pub findings: Vec<SourceFinding>,
    /// How many more there are.
    pub more: usize,
    /// How many were allowed by comments and by the allow file.
    pub allowed: usize,
    /// How many files were looked at, and how many bytes they have.
    pub files: usize,
    /// See `files`.
    pub bytes: u64,
    /// What was not looked at, for another reason than that git ignores it or that it is in no language of ours.
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// How many findings are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|found| found.finding.severity() == severity).count()
    }

    /// How bad the worst is; `None` without findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|found| found.finding.severity()).max()
    }

    /// Whether something could not be read, so that the report is not about the whole tree, or no file was looked at.
    pub fn is_incomplete(&self) -> bool {
        self.files == 0 || self.skipped.iter().any(|skipped| matches!(skipped.why, Skip::Unreadable(_)))
    }
}

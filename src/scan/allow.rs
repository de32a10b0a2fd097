//! The findings that the people of a project accept: comments beside the code, and a file at the tree's root.

use std::path::Path;

use super::files;
use super::findings::{Explanation, PLAIN_HTTP_MENTIONED_URL, PLAIN_HTTP_URL, UNUSED_ALLOW};
use super::pattern::Pattern;
use super::place::Source;
use super::report::SourceFinding;
use super::tokens::{Kind, Region};
use crate::backports::Trim;
use crate::finding::Finding;
use crate::Error;

/// The beginning of an allow comment.
pub(super) const MARK: &str = "lockgate:allow";
/// The name of the file at the tree's root.
pub(super) const FILE: &str = ".lockgate-allow";
/// The most entries of the file, because each finding is compared with all of them.
const MOST_ENTRIES: usize = 1000;

/// An allow comment.
pub(super) struct Comment {
    pub line: u64,
    pub column: u64,
    pub offset: usize,
    /// The comment is alone in its line, so it is about the next line.
    is_alone: bool,
    id: String,
    /// The fault of the comment.
    fault: Option<String>,
    is_used: bool,
}

impl Comment {
    /// Reads the comment whose mark is at `at`.
    pub(super) fn read(
        source: &Source<'_>,
        at: usize,
        region: Region,
        line: u64,
        column: u64,
    ) -> Option<Comment> {
        if region.kind != Kind::Comment {
            return None;
        }
        let text = source.line_after(at + MARK.len());
        let text = &text[..text.len().min(region.end.saturating_sub(at + MARK.len()))];
        let text = String::from_utf8_lossy(text);
        let text = ["*/", "-->"]
            .iter()
            .fold(text.trim(), |text, end| text.strip_suffix(end).unwrap_or(text).trim_end());
        let (id, reason) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let fault = if id.is_empty() {
            Some("has no id".into())
        } else if Explanation::of(id).is_none() {
            Some(format!("has the unknown id {id:?}"))
        } else if reason.trim().is_empty() {
            Some("has no reason".into())
        } else {
            None
        };
        let before = source.line_before(at);
        let of_comment = at.saturating_sub(region.from).min(before.len());
        let is_alone = before[..before.len() - of_comment].trimmed().is_empty();
        Some(Comment { line, column, offset: at, is_alone, id: id.to_string(), fault, is_used: false })
    }
}

/// Removes the findings of a file that its comments allow, and returns their number. Comments that allow nothing become
/// findings.
pub(super) fn by_comments(comments: &mut [Comment], findings: &mut Vec<SourceFinding>) -> usize {
    // Comments in consecutive lines of their own are all about the line after the last one.
    let mut lines: Vec<u64> =
        comments.iter().map(|comment| comment.line + u64::from(comment.is_alone)).collect();
    for index in (0..comments.len().saturating_sub(1)).rev() {
        if comments[index].is_alone
            && comments[index + 1].is_alone
            && comments[index + 1].line == lines[index]
        {
            lines[index] = lines[index + 1];
        }
    }
    let before = findings.len();
    findings.retain(|found| {
        let mut is_allowed = false;
        for (comment, line) in comments.iter_mut().zip(&lines) {
            if comment.fault.is_none() && *line == found.line && is_about(&comment.id, found) {
                comment.is_used = true;
                is_allowed = true;
            }
        }
        !is_allowed
    });
    before - findings.len()
}

/// Whether an id names this finding. Another version may guess differently whether an address is requested or only
/// mentioned, so the id of one allows both.
fn is_about(id: &str, found: &SourceFinding) -> bool {
    let is_mentioned = found.finding.id() == PLAIN_HTTP_MENTIONED_URL.id();
    id == found.finding.id() || is_mentioned && id == PLAIN_HTTP_URL.id()
}

/// The index of each comment that allows nothing, and the text of its finding.
pub(super) fn unused(comments: &[Comment]) -> impl Iterator<Item = (&Comment, Finding)> {
    comments.iter().filter(|comment| !comment.is_used).map(|comment| {
        let seen = match &comment.fault {
            Some(fault) => format!("this allow comment {fault}"),
            None => format!("there is no {} here to allow", comment.id),
        };
        (comment, Finding::new(UNUSED_ALLOW.rule(), seen))
    })
}

/// The allow file: each line is an entry, `ID PATH [TEXT]`.
#[derive(Default)]
pub(super) struct AllowFile {
    entries: Vec<Entry>,
}

struct Entry {
    line: u64,
    written: String,
    id: String,
    paths: Pattern,
    text: String,
    is_used: bool,
}

impl Entry {
    /// Whether the entry is about this file, or a folder above it.
    fn fits(&self, file: &str) -> bool {
        let file = file.as_bytes();
        let slashes = memchr::memchr_iter(b'/', file);
        self.paths.fits(file, false) || slashes.into_iter().any(|slash| self.paths.fits(&file[..slash], true))
    }
}

impl AllowFile {
    /// Reads the allow file of a tree; a missing file is empty.
    pub(super) fn of(root: &Path) -> Result<AllowFile, Error> {
        let path = root.join(FILE);
        let fault = |fault: String| Error::Check { what: path.display().to_string(), fault };
        if !path.exists() {
            return Ok(AllowFile::default());
        }
        let mut contents = Vec::new();
        if let Some(skip) = files::read(&path, &mut contents) {
            return Err(fault(skip.reason()));
        }
        let text = String::from_utf8(contents).map_err(|_| fault("it is not UTF-8 text".into()))?;
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| fault(format!("line {number}: {what}; a line is: ID PATH [TEXT]"));
            let (id, rest) =
                line.split_once(char::is_whitespace).ok_or_else(|| wrong("the path is missing"))?;
            let rest = rest.trim_start();
            let (glob, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if Explanation::of(id).is_none() {
                return Err(wrong(&format!(
                    "there is no finding {id:?} (lockgate check --explain all lists them)"
                )));
            }
            let paths = Pattern::read(glob.as_bytes()).filter(|paths| !paths.is_negated);
            let paths = paths.ok_or_else(|| wrong(&format!("the path {glob:?} matches nothing")))?;
            if entries.len() == MOST_ENTRIES {
                return Err(wrong(&format!(
                    "there are more than {MOST_ENTRIES} entries; allow whole folders, or check parts of the tree"
                )));
            }
            let (id, text) = (id.to_string(), text.trim().to_string());
            entries.push(Entry { line: number, written: line.to_string(), id, paths, text, is_used: false });
        }
        Ok(AllowFile { entries })
    }

    /// Whether a finding is allowed.
    pub(super) fn allows(&mut self, found: &SourceFinding) -> bool {
        let mut is_allowed = false;
        for entry in &mut self.entries {
            let fits =
                is_about(&entry.id, found) && entry.fits(&found.file) && found.text.contains(&entry.text);
            entry.is_used |= fits;
            is_allowed |= fits;
        }
        is_allowed
    }

    /// The lines that match nothing: the number, the line, and the text of the finding.
    pub(super) fn unused(&self) -> impl Iterator<Item = (u64, &str, Finding)> {
        self.entries.iter().filter(|entry| !entry.is_used).map(|entry| {
            let seen = format!("no finding matches this line, which allows {}", entry.id);
            (entry.line, entry.written.as_str(), Finding::new(UNUSED_ALLOW.rule(), seen))
        })
    }
}

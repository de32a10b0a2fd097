//! The search in one file: it finds the words of the rules in one pass, and applies the rules to each.

use std::cmp::Reverse;
use std::collections::HashSet;

use memchr::memchr_iter;

use super::allow::{self, Comment};
use super::findings::{
    Explanation, INSECURE_COMMAND, PLAIN_HTTP_MENTIONED_URL, PLAIN_HTTP_NAMED_HOST, PLAIN_HTTP_URL,
    UNUSED_ALLOW, VERIFICATION_OFF_IN_TESTS,
};
use super::hosts;
use super::languages::Languages;
use super::place::{Place, Source};
use super::report::SourceFinding;
use super::rules::candidates::{candidate, Candidate};
use super::rules::evidence::is_sure;
use super::rules::openapi::offers_plain_schemes;
use super::rules::urls::is_asked;
use super::rules::{idioms, insecure_lines_of_curlrc, Idiom};
use super::tokens::Lexer;
use crate::escape;
use crate::finding::{Finding, Severity};
use crate::sort::sort_by;

/// The most findings and allow comments of one file; a file with more is data.
const MOST_IN_A_FILE: usize = 1000;
/// A configuration file with so many hosts is a list of hosts.
const MANY_HOSTS: usize = 8;
/// The longest part of a line in a report, in characters.
const MOST_SHOWN: usize = 200;

const HTTP: &str = "http://";
const SCHEMES: &str = "schemes";

/// The index of all searched words, for one pass over a file.
pub(super) struct Words {
    /// One bit for each [`start_of`] a word.
    starts: Box<[u64]>,
    /// In the order of that; the longer word comes first when two begin alike.
    words: Vec<(&'static [u8], Use)>,
}

enum Use {
    Url,
    Schemes,
    Allow,
    Idioms(Vec<&'static Idiom>),
}

/// The place of a word.
struct Hit<'a> {
    at: usize,
    end: usize,
    word_use: &'a Use,
}

impl Words {
    pub(super) fn new() -> Words {
        let mut words = vec![(SCHEMES.as_bytes(), Use::Schemes), (allow::MARK.as_bytes(), Use::Allow)];
        words.extend(hosts::SCHEMES.iter().map(|scheme| (scheme.as_bytes(), Use::Url)));
        for idiom in idioms() {
            let needle = idiom.needle.as_bytes();
            match words.iter_mut().find(|(word, _)| *word == needle) {
                Some((_, Use::Idioms(idioms))) => idioms.push(idiom),
                _ => words.push((needle, Use::Idioms(vec![idiom]))),
            }
        }
        let rank = |word: &[u8]| (start_of(word), Reverse(word.len()));
        sort_by(&mut words, |one, other| rank(one.0).cmp(&rank(other.0)));
        let mut starts = vec![0; (usize::from(u16::MAX) + 1) / 64].into_boxed_slice();
        for start in words.iter().filter_map(|(word, _)| start_of(word)) {
            starts[usize::from(start / 64)] |= 1 << (start % 64);
        }
        Words { starts, words }
    }

    /// The words in a text, in order: the longest one at a place, then the next one after its end.
    fn hits<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Hit<'a>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            while let Some(start) = text.get(next..).and_then(start_of) {
                if self.starts[usize::from(start / 64)] & (1 << (start % 64)) != 0 {
                    if let Some((word, word_use)) = self.word_at(&text[next..], start) {
                        let at = next;
                        next += word.len();
                        return Some(Hit { at, end: next, word_use });
                    }
                }
                next += 1;
            }
            None
        })
    }

    fn word_at(&self, text: &[u8], start: u16) -> Option<&(&'static [u8], Use)> {
        let from = self.words.partition_point(|(word, _)| start_of(word) < Some(start));
        let alike = self.words[from..].iter().take_while(|(word, _)| start_of(word) == Some(start));
        alike.into_iter().find(|(word, _)| text.starts_with(word))
    }
}

/// A hash of the first three bytes. Every word has three bytes, and few places in a text begin like a word.
fn start_of(text: &[u8]) -> Option<u16> {
    match text {
        [one, two, three, ..] => Some(u16::from_be_bytes([*one, *two]) ^ (u16::from(*three) << 4)),
        _ => None,
    }
}

/// The findings of a file.
#[derive(Default)]
pub(super) struct Found {
    pub findings: Vec<SourceFinding>,
    pub more: usize,
    pub allowed: usize,
}

/// Searches one file.
pub(super) fn look_at(words: &Words, source: &Source<'_>) -> Found {
    let mut found = Found::default();
    let mut comments = Vec::new();
    let mut lexer = Lexer::new(source.bytes, source.language.syntax());
    let mut position = Position::default();
    if source.path.ends_with("curlrc") {
        found.findings = of_curlrc(source);
        return found;
    }
    for Hit { at, end, word_use } in words.hits(source.bytes) {
        let mut place = || Place { source, at, end, region: lexer.region_at(at) };
        let seen = match word_use {
            Use::Url => {
                let Some(candidate) = candidate(source.bytes, at, source.hosts) else { continue };
                if !is_asked(&place(), &candidate) {
                    continue;
                }
                // Only the number of the findings beyond the limit is reported.
                let is_kept = found.findings.len() < MOST_IN_A_FILE;
                of_url(source, at, if is_kept { weighed(&place(), candidate) } else { candidate })
            }
            Use::Schemes => {
                let place = place();
                if !source.language.is_of_documents()
                    || !place.word_is(&[SCHEMES])
                    || !offers_plain_schemes(&place)
                {
                    continue;
                }
                let seen = "this OpenAPI document offers plain HTTP";
                Seen::new(Finding::new(PLAIN_HTTP_URL.rule(), seen).fixed_by("schemes: [https]"), end)
            }
            Use::Allow => {
                if comments.len() == MOST_IN_A_FILE {
                    continue;
                }
                let region = place().region;
                let (line, column) = position.of(source.bytes, at);
                comments.extend(Comment::read(source, at, region, line, column));
                continue;
            }
            Use::Idioms(idioms) => {
                if !idioms.iter().any(|idiom| idiom.languages.has(source.language)) {
                    continue;
                }
                let place = place();
                let Some(idiom) = idioms.iter().find(|idiom| idiom.is_at(&place)) else { continue };
                Seen::new(of_idiom(source, idiom, &place), place.word().1)
            }
        };
        let (line, column) = position.of(source.bytes, at);
        if found.findings.len() == MOST_IN_A_FILE {
            found.more += 1;
            continue;
        }
        // One finding of a kind is enough in a line, except for addresses, which are rewritten one by one.
        let of_line = found.findings.iter().rev().take_while(|other| other.line == line);
        if seen.host.is_empty() && of_line.map(|other| other.finding.id()).any(|id| id == seen.finding.id()) {
            continue;
        }
        found.findings.push(seen.at(source, at, line, column));
    }
    if Languages::CONFIGURATION.has(source.language) {
        only_mention_lists(&mut found.findings);
    }
    found.allowed = allow::by_comments(&mut comments, &mut found.findings);
    for (comment, finding) in allow::unused(&comments) {
        let seen = Seen::new(finding, comment.offset + allow::MARK.len());
        found.findings.push(seen.at(source, comment.offset, comment.line, comment.column));
    }
    sort_by(&mut found.findings, |one, other| one.offset.cmp(&other.offset));
    found
}

/// Settings name a few servers; a file with many servers is data: references, sponsors, sites. One note reports all of
/// them.
fn only_mention_lists(findings: &mut Vec<SourceFinding>) {
    let is_public = |found: &SourceFinding| {
        let id = found.finding.id();
        !found.host.is_empty() && [PLAIN_HTTP_URL.id(), PLAIN_HTTP_MENTIONED_URL.id()].contains(&id)
    };
    let hosts: HashSet<&str> =
        findings.iter().filter(|found| is_public(found)).map(|found| found.host.as_str()).collect();
    if hosts.len() < MANY_HOSTS {
        return;
    }
    let others = hosts.len() - 1;
    let mut is_told = false;
    findings.retain_mut(|found| {
        if !is_public(found) {
            return true;
        }
        if std::mem::replace(&mut is_told, true) {
            return false;
        }
        let seen = format!("{} and {others} other hosts are listed with plain HTTP", found.host);
        let place = found.finding.place().unwrap_or_default().to_string();
        found.finding = Finding::new(PLAIN_HTTP_MENTIONED_URL.rule(), seen).at(place);
        true
    });
}

/// Searches a file of options of curl, which has a grammar of its own.
fn of_curlrc(source: &Source<'_>) -> Vec<SourceFinding> {
    let mut position = Position::default();
    let lines = insecure_lines_of_curlrc(source.bytes).take(MOST_IN_A_FILE);
    lines
        .map(|(at, end)| {
            let seen = "curl checks no certificate, wherever this file is read";
            let kind = kind_in(source, at, &INSECURE_COMMAND);
            let finding = Finding::new(kind.rule(), seen)
                .fixed_by("remove it; for an authority of your own: cacert = ca.pem");
            let (line, column) = position.of(source.bytes, at);
            Seen::new(finding, end).at(source, at, line, column)
        })
        .collect()
}

/// A finding without its line and column.
struct Seen {
    finding: Finding,
    end: usize,
    host: String,
    can_be_rewritten: bool,
}

impl Seen {
    fn new(finding: Finding, end: usize) -> Seen {
        Seen { finding, end, host: String::new(), can_be_rewritten: false }
    }

    fn at(self, source: &Source<'_>, at: usize, line: u64, column: u64) -> SourceFinding {
        let marked = source.bytes.get(at..self.end).unwrap_or_default();
        SourceFinding {
            finding: self.finding.at(format!("{}:{line}:{column}", shown(source.path.as_bytes()))),
            file: source.path.to_string(),
            line,
            column,
            end_column: column + characters(marked),
            text: line_around(source, at),
            offset: at,
            host: self.host,
            can_be_rewritten: self.can_be_rewritten,
        }
    }
}

/// A public host is a warning only where something shows that it is requested.
fn weighed<'a>(place: &Place<'_>, candidate: Candidate<'a>) -> Candidate<'a> {
    let is_public = std::ptr::eq(candidate.kind, &PLAIN_HTTP_URL);
    if is_public && !is_sure(place, &candidate) {
        Candidate { kind: &PLAIN_HTTP_MENTIONED_URL, ..candidate }
    } else {
        candidate
    }
}

fn of_url(source: &Source<'_>, at: usize, candidate: Candidate<'_>) -> Seen {
    let url = &candidate.url;
    let host = shown(candidate.host.as_bytes());
    let length = url.length.max(HTTP.len());
    let finding = if url.is_built || url.host.is_empty() {
        Finding::new(candidate.kind.rule(), "http:// is written before a host that the program inserts")
    } else {
        let secure = [b"https", &source.after(at, length.min(MOST_SHOWN))["http".len()..]].concat();
        let is_mentioned = std::ptr::eq(candidate.kind, &PLAIN_HTTP_MENTIONED_URL);
        let seen = if is_mentioned { "may be requested" } else { "is requested" };
        Finding::new(candidate.kind.rule(), format!("{host} {seen} over plain HTTP")).fixed_by(shown(&secure))
    };
    let is_named = std::ptr::eq(candidate.kind, &PLAIN_HTTP_NAMED_HOST);
    Seen {
        finding,
        end: at + length,
        host: if url.is_built { String::new() } else { candidate.host.clone() },
        can_be_rewritten: is_named
            && !source.is_of_tests(at)
            && !url.has_port
            && !url.has_user
            && source.from(at + "http".len()).starts_with(b"://"),
    }
}

fn of_idiom(source: &Source<'_>, idiom: &Idiom, place: &Place<'_>) -> Finding {
    let kind = kind_in(source, place.at, idiom.kind);
    let (start, end) = place.word();
    let word = shown(source.bytes.get(start..end.min(start + MOST_SHOWN)).unwrap_or_default());
    let title = idiom.kind.title();
    let title = title
        .chars()
        .next()
        .map(|first| first.to_lowercase().collect::<String>() + &title[first.len_utf8()..]);
    let in_tests = if std::ptr::eq(kind, idiom.kind) { "" } else { ", in test code" };
    Finding::new(kind.rule(), format!("{word}: {}{in_tests}", title.unwrap_or_default())).fixed_by(idiom.fix)
}

fn kind_in(source: &Source<'_>, at: usize, kind: &'static Explanation) -> &'static Explanation {
    let is_lesser = source.is_of_tests(at) && kind.severity() == Severity::Error;
    if is_lesser && !std::ptr::eq(kind, &UNUSED_ALLOW) {
        &VERIFICATION_OFF_IN_TESTS
    } else {
        kind
    }
}

/// Computes line and column of places in ascending order, so no byte is counted twice.
#[derive(Default)]
struct Position {
    at: usize,
    lines: u64,
    columns: u64,
}

impl Position {
    fn of(&mut self, bytes: &[u8], at: usize) -> (u64, u64) {
        let between = bytes.get(self.at..at).unwrap_or_default();
        let mut start = 0;
        for newline in memchr_iter(b'\n', between) {
            self.lines += 1;
            self.columns = 0;
            start = newline + 1;
        }
        self.columns += characters(&between[start..]);
        self.at = self.at.max(at);
        (self.lines + 1, self.columns + 1)
    }
}

/// The number of characters that begin in these bytes.
fn characters(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}

/// The line around a place, for a report.
fn line_around(source: &Source<'_>, at: usize) -> String {
    let (before, after) = (source.line_before(at), source.line_after(at));
    let before = String::from_utf8_lossy(before);
    let after = String::from_utf8_lossy(after);
    let before = before.trim_start();
    let skipped = before.chars().count().saturating_sub(MOST_SHOWN * 2 / 5);
    let start: String = before.chars().skip(skipped).collect();
    let room = MOST_SHOWN - start.chars().count();
    let end: String = after.chars().take(room).collect();
    let cut = if end.len() < after.trim_end().len() { "…" } else { "" };
    let mark = if skipped > 0 { "…" } else { "" };
    format!("{mark}{}{cut}", shown(format!("{start}{end}").trim_end().as_bytes()))
}

/// Text from a file, escaped for a terminal. A tab becomes a space, because source lines are indented with tabs.
pub(super) fn shown(bytes: &[u8]) -> String {
    let spaced: Vec<u8> = bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect();
    escape::line_of(&spaced).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::languages::Language;
    use crate::scan::rules::idiom::ANY_WORD;

    #[test]
    fn no_word_hides_another() {
        let words = Words::new();
        for idiom in idioms() {
            let alone = [idiom.needle];
            let is_any = idiom.words.is_empty() || idiom.words == [ANY_WORD];
            for word in if is_any { &alone } else { idiom.words } {
                let is_found = words.hits(word.as_bytes()).any(|hit| {
                    matches!(hit.word_use, Use::Idioms(idioms)
                        if idioms.iter().any(|found| std::ptr::eq(*found, idiom)))
                });
                assert!(is_found, "{word} is hidden by another word");
            }
        }
    }

    #[test]
    fn lines_are_shown_short_and_harmless() {
        let text = format!(
            "{}\u{1b}[31mfetch(\"http://api.acme.io/\u{202e}\"){}\r\nx",
            "é".repeat(500),
            "b".repeat(500)
        );
        let at = text.find("http").unwrap();
        let source = Source::new(text.as_bytes(), Language::JavaScript, "a.js", false, &[]);
        let line = line_around(&source, at);
        assert!(line.chars().count() < 230 && line.starts_with('…') && line.ends_with('…'), "{line}");
        assert!(line.contains("\\u{1b}[31mfetch") && line.contains("\\u{202e}"), "{line}");
        let mut position = Position::default();
        assert_eq!(position.of(text.as_bytes(), at), (1, 500 + 5 + 7 + 1));
        assert_eq!(position.of(text.as_bytes(), text.len()).0, 2);
    }
}

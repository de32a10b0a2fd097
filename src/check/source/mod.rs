//! Client code that would still go in clear, or trust anything.
//!
//! Looks through a tree of source and configuration files for two things: `http://` addresses that the program asks, and
//! the check of certificates switched off. [`Explanation::all`] lists every kind of finding.
//!
//! ```no_run
//! let report = lockgate::check::source::Scan::new("firmware").host("api.example.com").run()?;
//! for found in &report.findings {
//!     println!("{}", found.finding);
//! }
//! # Ok::<(), lockgate::Error>(())
//! ```
//!
//! It is made for few false alarms: what may be a name, a link for people or a sentence is left alone, and a setting counts
//! only when it is plainly off. So silence is no proof. What was looked at by a person is allowed by a comment,
//! `lockgate:allow ID reason`, or by a line `ID PATH [TEXT]` in the file `.lockgate-allow`, which has at most 1,000.
//!
//! Only regular files are opened, sources of at most 2 MiB. Of git's ignore files that count at one place, 8 MiB and 32 KiB of
//! patterns with wildcards, other than one `*` in front, are applied; what is beyond is in
//! [`Report::skipped`].
//!
//! # How well it finds
//!
//! It is made for few false alarms, so silence is no proof: only what is plainly off is found, and what may be a name, a link
//! for people or a sentence is left alone. On the 402 labelled lines in `tests/check_source` (216 findings, 186 clean; written
//! for this purpose, beside the rules) precision is 0.995 and recall 0.986. On projects that are read by many:
//!
//! | tree | files | errors and warnings outside tests, by eye |
//! |---|---|---|
//! | curl | 1,158 | 28: 19 settings that its examples switch off, 2 `http://` in examples, 7 where curl itself does so when asked (`-k`) |
//! | okhttp | 708 | 20: 14 `http://` in samples, 2 apps that allow clear text, 4 checks that accept all, on request |
//! | ansible | 3,952 | 4: where it does so when asked |
//! | guzzle | 42 | 4: where it does so when asked |
//! | esphome | 6,430 | 3: `setInsecure()` |
//! | requests | 61 | 2: where it does so when asked |
//! | reqwest | 84 | 2: its unchecked mode, and `http://` in an example |
//! | golang.org/x/net | 744 | 1: a program for tests under another name |
//! | rest-client | 41 | 1: where it does so when asked |
//! | jellyfin | 2,433 | 1: a link for people, so a false alarm |
//! | Alamofire, axios, express, WebGoat | 1,149 | none |
//!
//! 190 MB of C in files of 1.9 MB take 1.1 s of CPU, 215 MB in the 50,000 files of these trees, three times each, 1.7 s (two
//! shared cores, warm cache; medians of 3).

mod allow;
mod findings;
mod fix;
mod hosts;
mod ignore_list;
mod ignored;
mod languages;
mod pattern;
mod place;
mod report;
mod rules;
mod scan;
mod syntax;
mod tokens;
mod tracked;
mod walk;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Error;
use allow::AllowFile;
use languages::Language;
use place::Source;
use scan::{Found, Words};

pub use findings::Explanation;
pub use fix::{fixes, Fix};
pub use report::{Report, Skip, Skipped, SourceFinding};

/// Findings that a report holds.
const MOST_FINDINGS: usize = 10_000;
/// Threads that read files.
const MOST_THREADS: usize = 8;
/// Files that a thread takes at a time.
const BATCH: usize = 32;

/// A tree to look through.
#[derive(Clone, Debug)]
pub struct Scan {
    root: PathBuf,
    hosts: Vec<String>,
}

impl Scan {
    /// The tree below this folder, or this file.
    pub fn new(root: impl Into<PathBuf>) -> Scan {
        Scan { root: root.into(), hosts: Vec::new() }
    }

    /// Names a host that serves HTTPS, by its name or address alone, in any case. Plain HTTP to it is an error wherever it
    /// is, also in test code and whatever kind of host it is, and it can be rewritten. Defaults to none.
    pub fn host(mut self, host: impl AsRef<str>) -> Scan {
        self.hosts.push(host.as_ref().to_ascii_lowercase());
        self
    }

    /// Looks through it, on as many threads as there are cores, at most 8.
    ///
    /// # Errors
    ///
    /// [`Error::Check`] when the root or the allow file cannot be read, or a line of that file is wrong. What cannot be read
    /// below the root is in [`Report::skipped`].
    pub fn run(&self) -> Result<Report, Error> {
        let (files, skipped) = walk::files(&self.root)?;
        let mut allow_file = AllowFile::of(&self.root)?;
        let words = Words::new();
        let mut report = Report { skipped, ..Report::default() };
        for looked_at in self.look_at_all(&words, &files) {
            report.files += usize::from(looked_at.bytes.is_some());
            report.bytes += looked_at.bytes.unwrap_or_default();
            report.skipped.extend(looked_at.skipped);
            report.allowed += looked_at.found.allowed;
            report.more += looked_at.found.more;
            for found in looked_at.found.findings {
                if allow_file.allows(&found) {
                    report.allowed += 1;
                } else if report.findings.len() == MOST_FINDINGS {
                    report.more += 1;
                } else {
                    report.findings.push(found);
                }
            }
        }
        for (line, text, finding) in allow_file.unused() {
            report.findings.push(SourceFinding {
                finding: finding.at(format!("{}:{line}:1", allow::FILE)),
                file: allow::FILE.into(),
                line,
                column: 1,
                end_column: 1 + text.chars().count() as u64,
                text: scan::shown(text.as_bytes()),
                offset: 0,
                host: String::new(),
                can_be_rewritten: false,
            });
        }
        report.skipped.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(report)
    }

    fn look_at_all(&self, words: &Words, files: &[PathBuf]) -> Vec<LookedAt> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.min(MOST_THREADS).min(files.len().div_ceil(BATCH)).max(1);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut all = Vec::new();
            let mut contents = Vec::new();
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) =
                    files.get(from..files.len().min(from + BATCH)).filter(|batch| !batch.is_empty())
                else {
                    return all;
                };
                for (index, path) in (from..).zip(batch) {
                    let looked_at = self.look_at_one(words, path, &mut contents);
                    all.extend(
                        looked_at.filter(LookedAt::says_something).map(|looked_at| (index, looked_at)),
                    );
                }
            }
        };
        let mut all = thread::scope(|scope| {
            let threads: Vec<_> =
                (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, work)).collect();
            // This thread works too, so that all is done even when the system has no further thread.
            let mut all = work();
            for thread in threads.into_iter().flatten() {
                match thread.join() {
                    Ok(more) => all.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_unstable_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, looked_at)| looked_at).collect()
    }

    /// Looks at a file; nothing is said of one that is in no language of ours.
    fn look_at_one(&self, words: &Words, path: &Path, contents: &mut Vec<u8>) -> Option<LookedAt> {
        let name = path.file_name()?.to_string_lossy();
        let by_name = languages::of_name(&name);
        if by_name.is_none() && name.contains('.') {
            return None;
        }
        let relative = walk::relative(&self.root, path);
        let skip = if walk::is_minified(&name) { Some(Skip::Minified) } else { walk::read(path, contents) };
        if let Some(why) = skip {
            // Of a name that says nothing, nothing was expected.
            let is_worth_saying = by_name.is_some() || matches!(why, Skip::Unreadable(_));
            return is_worth_saying
                .then(|| LookedAt { skipped: Some(Skipped { path: relative, why }), ..LookedAt::default() });
        }
        let language: Language = by_name.or_else(|| languages::of_first_line(contents))?;
        let is_of_tests = languages::is_of_tests(&relative);
        let source = Source::new(contents, language, &relative, is_of_tests, &self.hosts);
        let found = scan::look_at(words, &source);
        Some(LookedAt { found, bytes: Some(contents.len() as u64), skipped: None })
    }
}

/// What became of a file.
#[derive(Default)]
struct LookedAt {
    found: Found,
    /// How large it is; `None` when it was left out.
    bytes: Option<u64>,
    skipped: Option<Skipped>,
}

impl LookedAt {
    fn says_something(&self) -> bool {
        self.bytes.is_some() || self.skipped.is_some()
    }
}

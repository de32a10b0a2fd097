//! Client code that would still go in clear, or trust anything.
//!
//! Looks through a tree of source and configuration files for two things: `http://` addresses that the program asks, and
//! the check of certificates switched off. [`Explanation::all`] lists every kind of finding.
//!
//! ```no_run
//! let report = lockgate::scan::Scan::new("firmware").host("api.example.com").run()?;
//! for found in report.findings() {
//!     println!("{}", found.finding);
//! }
//! # Ok::<(), lockgate::Error>(())
//! ```
//!
//! It is made for few false alarms: what may be a name, a link for people or a sentence is left alone, an address is a warning
//! only where something tells that it is asked (else a note), and a setting counts only when it is plainly off. So silence is no proof. What was looked at by a person is allowed by a comment,
//! `lockgate:allow ID reason`, or by a line `ID PATH [TEXT]` in the file `.lockgate-allow`, which has at most 1,000.
//!
//! Only regular files are opened, sources of at most 2 MiB. Of git's ignore files that count at one place, 8 MiB and 32 KiB of
//! patterns with wildcards, other than one `*` in front, are applied; what is beyond is in
//! [`Report::skipped`].
//!
//! What git tracks is looked at although a pattern of `.gitignore` names it. In folders that a package manager writes
//! (`node_modules` and the like) only that is looked at; `vendor` and `third_party` are left out in any case.
//!
//! # How well it finds
//!
//! On three sets of labelled lines in `tests/check_source`, which a test holds:
//!
//! | set | lines | precision | of errors | of warnings | recall | of it, by a note only |
//! |---|---|---|---|---|---|---|
//! | written beside the rules | 402 | 0.995 | 0.992 | 1.000 | 0.986 | 0.005 |
//! | in the shapes of public code, looked at while rules change | 592 | 0.991 | 1.000 | 1.000 | 1.000 | 0.014 |
//! | in the same shapes, held out: no rule is changed for it | 605 | 0.975 | 0.988 | 0.985 | 0.978 | 0.041 |
//!
//! An address that the label calls asked counts as found also where it is told by the note `plain-http-mentioned-url` alone.
//! The rules that were there first find 0.822 of the held-out half, with a precision of 0.884.
//!
//! On public repositories that nobody had looked at, read on 2026-11-29: every error and every warning by eye, outside tests, at
//! the first run, with rules that had not been changed for them. An error is right when the check of certificates is off there,
//! also in a library's own code that turns it off when it is asked to; a warning when the program or its tools ask that address.
//! This is the last round, and so what a new project may expect:
//!
//! | repository | language | errors | warnings |
//! |---|---|---|---|
//! | oneinstack/oneinstack | Shell | 28 of 28 | 10 of 10 |
//! | theotherp/nzbhydra, with the libraries that it brings | Python | 8 of 8 | 18 of 20 |
//! | esp8266/Arduino | C++ | 10 of 12 | 6 of 6 |
//! | WebThingsIO/gateway | TypeScript | 2 of 2 | none |
//! | jeedom/core, with the libraries that it brings | PHP | 11 of 11 | 3 of 5 |
//! | openhab/openhab1-addons | Java | 9 of 9 | 10 of 11 |
//! | projectdiscovery/nuclei | Go | 7 of 7 | 1 of 1 |
//! | all | | 75 of 77, 0.97 | 48 of 53, 0.91 |
//!
//! After each of the rounds before it the kinds of false alarms were fixed that it had shown:
//!
//! | round | errors | warnings |
//! |---|---|---|
//! | 29 repositories, from evcc-io/evcc to navidrome/navidrome: warnings had no evidence to show yet | 0.96 | 0.37 |
//! | pymedusa/Medusa, ampache/ampache, airsonic-advanced/airsonic-advanced, getumbrel/umbrel, and three without a finding | 43 of 43 | 50 of 90 |
//! | rembo10/headphones, volumio/volumio3-backend, rclone/rclone, ntop/ntopng, ZoneMinder/zoneminder, openwrt/packages, home-assistant/android | 100 of 100 | 74 of 95 |
//! | mylar3/mylar3, Novik/ruTorrent, RetroPie/RetroPie-Setup, influxdata/telegraf, openremote/openremote, and three without a finding | 30 of 32 | 34 of 37 |
//! | OpenPLi/enigma2, pfsense/pfsense, UniversalMediaServer/UniversalMediaServer, teddysun/across, transmission/transmission, minio/minio | 43 of 59 | 13 of 13 |
//!
//! The 16 false errors of that round are of one file, whose commands ask this machine.
//!
//! Recall, against greps for the switches of TLS libraries and for calls with `http://` in the 28 repositories of the last four
//! rounds: 241 of 248. Missed are two settings of one of two ways, a trust manager that writes a log, a setting of a library
//! that is not known, and three lines of files that the repository's `.gitignore` names.
//!
//! 97 MB in the 13,380 files of four of the first repositories take 0.30 s and 12 MiB of memory, 234 MB in 30,800 files 1.6 s
//! and 19 MiB, 103 MB of C in files of 1.9 MB 0.48 s (release build, two shared cores, warm cache; medians). With the evidence
//! weighed, 70 MB in 10,901 files take 0.47 s of processor time, where the version before takes 0.56 s, and 13 MiB.

mod allow;
mod files;
mod findings;
mod fix;
mod hosts;
mod ignore_list;
mod ignored;
mod languages;
mod names;
mod pattern;
mod place;
mod report;
mod rules;
mod search;
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
use search::{Found, Words};

pub use crate::finding::Verdict;
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
        let (paths, skipped) = walk::files(&self.root)?;
        let mut allow_file = AllowFile::of(&self.root)?;
        let words = Words::new();
        let mut report = Report { root: self.root.clone(), skipped, ..Report::default() };
        for looked_at in self.look_at_all(&words, &paths) {
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
                text: search::shown(text.as_bytes()),
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
        let skip = if walk::is_minified(&name) { Some(Skip::Minified) } else { files::read(path, contents) };
        let skip = skip.or_else(|| walk::is_bundled(&name, contents).then_some(Skip::Minified));
        if let Some(why) = skip {
            // Of a name that says nothing, nothing was expected.
            let is_worth_saying = by_name.is_some() || matches!(why, Skip::Unreadable(_));
            return is_worth_saying
                .then(|| LookedAt { skipped: Some(Skipped { path: relative, why }), ..LookedAt::default() });
        }
        let language: Language = by_name.or_else(|| languages::of_first_line(contents))?;
        let is_of_tests = languages::is_of_tests(&relative);
        let source = Source::new(contents, language, &relative, is_of_tests, &self.hosts);
        let found = search::look_at(words, &source);
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

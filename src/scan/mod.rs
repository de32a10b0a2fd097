//! The scan: finds client code that uses plain HTTP, or that accepts any certificate.
//!
//! The scan reads a tree of source and configuration files. It looks for two things: `http://` addresses that the program
//! requests, and checks of certificates that are switched off. [`Explanation::all`] lists every kind of finding.
//!
//! ```no_run
//! let report = lockgate::scan::Scan::new("firmware").host("api.example.com").run()?;
//! for found in report.findings() {
//!     println!("{}", found.finding);
//! }
//! # Ok::<(), lockgate::Error>(())
//! ```
//!
//! The scan avoids false alarms. It does not report text that may be a name, a link for people or a sentence. An address is
//! a warning only where the code shows that the program requests it, and else a note. A setting counts only when it is
//! plainly off. So a report without findings does not prove that the code is secure. When a person has looked at a finding
//! and accepts it, a comment `lockgate:allow ID reason` allows it, or a line `ID PATH [TEXT]` in the file
//! `.lockgate-allow`, which has at most 1,000 lines.
//!
//! The scan opens only regular files, and reads sources of at most 2 MiB. For each folder it applies git's ignore files up
//! to 8 MiB in all, and up to 32 KiB of patterns with wildcards other than one `*` in front. [`Report::skipped`] names the
//! files beyond that.
//!
//! The scan reads files that git tracks, even when a pattern of `.gitignore` names them. In folders of package managers
//! (`node_modules` and the like) it reads only tracked files. It never reads `vendor` and `third_party`.
//!
//! # How well it finds
//!
//! On three sets of labelled lines in `tests/check_source` (a test checks these figures):
//!
//! | set | lines | precision | of errors | of warnings | recall | of it, by a note only |
//! |---|---|---|---|---|---|---|
//! | written beside the rules | 402 | 0.995 | 0.992 | 1.000 | 0.986 | 0.005 |
//! | in the shapes of public code, looked at while rules change | 592 | 0.991 | 1.000 | 1.000 | 1.000 | 0.014 |
//! | in the same shapes, held out: no rule is changed for it | 605 | 0.975 | 0.988 | 0.985 | 0.978 | 0.041 |
//!
//! An address that the label calls requested counts as found also when only the note `plain-http-mentioned-url` reports it.
//! The first version of the rules finds 0.822 of the held-out half, with a precision of 0.884.
//!
//! On public repositories, on 2026-11-29: a person judged every error and every warning outside tests at the first run,
//! with rules that had not been changed for these repositories. An error is right when the check of certificates is off
//! there, also in a library's code that turns it off on request. A warning is right when the program or its tools request
//! that address. The last round shows what to expect of a new project:
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
//! After each earlier round its kinds of false alarms were fixed:
//!
//! | round | errors | warnings |
//! |---|---|---|
//! | 29 repositories, from evcc-io/evcc to navidrome/navidrome: warnings had no evidence to show yet | 0.96 | 0.37 |
//! | pymedusa/Medusa, ampache/ampache, airsonic-advanced/airsonic-advanced, getumbrel/umbrel, and three without a finding | 43 of 43 | 50 of 90 |
//! | rembo10/headphones, volumio/volumio3-backend, rclone/rclone, ntop/ntopng, ZoneMinder/zoneminder, openwrt/packages, home-assistant/android | 100 of 100 | 74 of 95 |
//! | mylar3/mylar3, Novik/ruTorrent, RetroPie/RetroPie-Setup, influxdata/telegraf, openremote/openremote, and three without a finding | 30 of 32 | 34 of 37 |
//! | OpenPLi/enigma2, pfsense/pfsense, UniversalMediaServer/UniversalMediaServer, teddysun/across, transmission/transmission, minio/minio | 43 of 59 | 13 of 13 |
//!
//! The 16 false errors of that round come from one file, whose commands contact only their own machine.
//!
//! Recall, against greps for the switches of TLS libraries and for calls with `http://` in the 28 repositories of the last
//! four rounds: 241 of 248. It misses two settings in one of two branches, a trust manager that writes a log, a setting of
//! an unknown library, and three lines of files that the repository's `.gitignore` names.
//!
//! 97 MB in the 13,380 files of four of the first repositories take 0.30 s and 12 MiB of memory, 234 MB in 30,800 files 1.6
//! s and 19 MiB, 103 MB of C in files of 1.9 MB 0.48 s (release build, two shared cores, warm cache; medians). With the
//! rules of evidence, 70 MB in 10,901 files take 0.47 s of processor time, where the version before takes 0.56 s, and 13
//! MiB.

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

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::sort::sort_by;
use crate::Error;
use allow::AllowFile;
use languages::Language;
use place::Source;
use search::{Found, Words};

pub use crate::finding::Verdict;
pub use findings::Explanation;
pub use fix::{fixes, Fix};
pub use report::{Report, Skip, Skipped, SourceFinding};

/// The most findings of a report.
const MOST_FINDINGS: usize = 10_000;
/// The most threads that read files.
const MOST_THREADS: usize = 8;
/// How many files a thread takes at a time.
const BATCH: usize = 32;

/// A scan of one tree.
#[derive(Clone, Debug)]
pub struct Scan {
    root: PathBuf,
    hosts: Vec<String>,
}

impl Scan {
    /// A scan of the tree below this folder, or of this file.
    pub fn new(root: impl Into<PathBuf>) -> Scan {
        Scan { root: root.into(), hosts: Vec::new() }
    }

    /// Adds a host that serves HTTPS: its name or address, without a port, in upper or lower case. Plain HTTP to it is
    /// always an error, also in test code and for any kind of host, and [`fixes`] can rewrite it. Defaults to none.
    pub fn host(mut self, host: impl AsRef<str>) -> Scan {
        self.hosts.push(host.as_ref().to_ascii_lowercase());
        self
    }

    /// Runs the scan, on as many threads as there are cores, at most 8.
    ///
    /// # Errors
    ///
    /// [`Error::Check`] when the root or the allow file cannot be read, or a line of that file is invalid.
    /// [`Report::skipped`] names files below the root that cannot be read.
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
        sort_by(&mut report.skipped, |one, other| one.path.cmp(&other.path));
        Ok(report)
    }

    fn look_at_all(&self, words: &Words, files: &[PathBuf]) -> Vec<LookedAt> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
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
            // This thread works too, so the scan ends even when the system refuses further threads.
            let mut all = work();
            for thread in threads.into_iter().flatten() {
                match thread.join() {
                    Ok(more) => all.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        sort_by(&mut all, |one, other| one.0.cmp(&other.0));
        all.into_iter().map(|(_, looked_at)| looked_at).collect()
    }

    /// Scans a file; returns nothing for a file in a language without rules.
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
            // A name without a known ending promised nothing, so this is not reported.
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

/// The result for a file.
#[derive(Default)]
struct LookedAt {
    found: Found,
    /// Its size; `None` when it was skipped.
    bytes: Option<u64>,
    skipped: Option<Skipped>,
}

impl LookedAt {
    fn says_something(&self) -> bool {
        self.bytes.is_some() || self.skipped.is_some()
    }
}

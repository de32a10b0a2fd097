//! What git ignores in a tree: `.gitignore` in every folder, and `.git/info/exclude`.
//!
//! Called by `walk`, which tells of each folder that it enters and leaves. The last pattern of a file that fits decides, and the
//! file nearest to the path before those above it. What is above a repository's own folder does not count in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::pattern::Pattern;
use super::walk;

pub(super) const FILE: &str = ".gitignore";
pub(super) const REPOSITORY: &str = ".git";

/// The patterns that count where the walk is.
#[derive(Default)]
pub(super) struct Ignored {
    levels: Vec<Level>,
}

/// Those of one folder.
struct Level {
    /// Where a path begins below this folder, in bytes.
    start: usize,
    patterns: Vec<Pattern>,
    /// What is written for this repository but not in its tree; `None` where none begins.
    excluded: Option<Vec<Pattern>>,
}

impl Ignored {
    /// With the patterns that stand above a folder, as far up as its repository goes.
    pub(super) fn above(folder: &Path) -> Ignored {
        let mut levels = Vec::new();
        for above in folder.ancestors() {
            let is_repository = above.join(REPOSITORY).exists();
            if above != folder {
                levels.push(Level::of(above, true, is_repository));
            }
            if is_repository {
                levels.reverse();
                return Ignored { levels };
            }
        }
        Ignored::default()
    }

    /// Goes into a folder, of which is known whether these two are in it.
    pub(super) fn enter(&mut self, folder: &Path, has_file: bool, is_repository: bool) {
        self.levels.push(Level::of(folder, has_file, is_repository));
    }

    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether a path in the folder that was entered last is ignored.
    pub(super) fn has(&self, path: &[u8], is_folder: bool) -> bool {
        let mut excluded = None;
        for level in self.levels.iter().rev() {
            let below = path.get(level.start..).unwrap_or_default();
            if let Some(pattern) = last_fit(&level.patterns, below, is_folder) {
                return !pattern.is_negated;
            }
            if let Some(patterns) = &level.excluded {
                excluded = last_fit(patterns, below, is_folder);
                break;
            }
        }
        excluded.is_some_and(|pattern| !pattern.is_negated)
    }
}

impl Level {
    fn of(folder: &Path, has_file: bool, is_repository: bool) -> Level {
        let length = folder.as_os_str().len();
        Level {
            start: if folder.parent().is_some() { length + 1 } else { length },
            patterns: if has_file { patterns_in(&folder.join(FILE)) } else { Vec::new() },
            excluded: is_repository.then(|| {
                // git follows a link here, and does not in the tree.
                let file = fs::canonicalize(git_folder(folder).join("info/exclude"));
                file.map(|file| patterns_in(&file)).unwrap_or_default()
            }),
        }
    }
}

fn last_fit<'a>(patterns: &'a [Pattern], path: &[u8], is_folder: bool) -> Option<&'a Pattern> {
    patterns.iter().rev().find(|pattern| pattern.fits(path, is_folder))
}

/// Where git keeps what belongs to a repository: in a submodule and in a further working tree, `.git` is a file that says it.
fn git_folder(folder: &Path) -> PathBuf {
    let git = folder.join(REPOSITORY);
    let named = |file: &Path, prefix: &str| {
        let text = fs::read_to_string(file).ok()?;
        Some(PathBuf::from(text.trim_end_matches(['\r', '\n']).strip_prefix(prefix)?))
    };
    if git.is_dir() {
        return git;
    }
    let Some(own) = named(&git, "gitdir: ") else { return git };
    let own = folder.join(own);
    match named(&own.join("commondir"), "") {
        Some(common) => own.join(common),
        None => own,
    }
}

/// The patterns of a file; none when it cannot be read.
fn patterns_in(file: &Path) -> Vec<Pattern> {
    let mut contents = Vec::new();
    if let Some(skip) = walk::read(file, &mut contents) {
        log::debug!("{}: {}", crate::escape::path(file), crate::escape::line(&skip.reason()));
        return Vec::new();
    }
    let text = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&contents);
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter_map(Pattern::read).collect()
}

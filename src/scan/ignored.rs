//! What git ignores in a tree: `.gitignore` in every folder, and `.git/info/exclude`.
//!
//! Called by `walk`, which tells of each folder that it enters and leaves. The last pattern of a file that fits decides, and the
//! file nearest to the path before those above it. What is above a repository's own folder does not count in it.
//!
//! These files are of the same author as the tree: they are read as regular files only, and within bounds. One that is beyond
//! them is not applied, so that more is looked at rather than less, and the report says so.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files;
use super::ignore_list::IgnoreList;
use super::report::Skip;
use crate::escape;
use crate::regular_file::{self, Links};

pub(super) const FILE: &str = ".gitignore";
pub(super) const REPOSITORY: &str = ".git";

/// What all files together may have that count at one place, in bytes.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The parts (bytes, `*`, sets) of patterns that must be tried one by one, of all files together that count at one place. GitHub's
/// collection of templates has less than a tenth of it.
const MOST_TRIED: usize = 32 * 1024;
/// No path that can be opened is longer (Linux, PATH_MAX), and `gitdir: ` stands before it.
const MOST_POINTER_BYTES: u64 = 4096 + 16;

/// The patterns that count where the walk is.
#[derive(Default)]
pub(super) struct Ignored {
    levels: Vec<Level>,
    /// Files that are not applied, and why; `walk` takes them.
    pub(super) not_applied: Vec<(PathBuf, Skip)>,
}

/// Those of one folder.
struct Level {
    /// Where a path begins below this folder, in bytes.
    start: usize,
    own: IgnoreList,
    /// What is written for this repository but not in its tree; `None` where none begins.
    excluded: Option<IgnoreList>,
    /// Bytes of the files.
    bytes: usize,
}

impl Ignored {
    /// With the patterns that stand above a folder, as far up as its repository goes.
    pub(super) fn above(folder: &Path) -> Ignored {
        let mut ignored = Ignored::default();
        if let Some(top) = repository_of(folder) {
            let mut between: Vec<&Path> =
                folder.ancestors().skip(1).take_while(|above| above.starts_with(top)).collect();
            between.reverse();
            for above in between {
                ignored.enter(above, true, above == top);
            }
        }
        ignored
    }

    /// Goes into a folder, of which is known whether these two are in it.
    pub(super) fn enter(&mut self, folder: &Path, has_file: bool, is_repository: bool) {
        let length = folder.as_os_str().len();
        let start = if folder.parent().is_some() { length + 1 } else { length };
        self.levels.push(Level { start, own: IgnoreList::default(), excluded: None, bytes: 0 });
        // git follows a link here, and does not in the tree.
        let exclude = is_repository.then(|| fs::canonicalize(git_folder(folder).join("info/exclude")));
        let excluded = exclude.map(|file| file.map(|file| self.read(&file)).unwrap_or_default());
        let own = if has_file { self.read(&folder.join(FILE)) } else { IgnoreList::default() };
        if let Some(level) = self.levels.last_mut() {
            (level.own, level.excluded) = (own, excluded);
        }
    }

    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether a path in the folder that was entered last is ignored.
    pub(super) fn has(&self, path: &[u8], is_folder: bool) -> bool {
        for level in self.levels.iter().rev() {
            let below = path.get(level.start..).unwrap_or_default();
            if let Some(is_ignored) = level.own.ignores(below, is_folder) {
                return is_ignored;
            }
            if let Some(excluded) = &level.excluded {
                return excluded.ignores(below, is_folder).unwrap_or(false);
            }
        }
        false
    }

    /// The patterns of a file of the level that was entered last; none when it is not there.
    fn read(&mut self, file: &Path) -> IgnoreList {
        let mut contents = Vec::new();
        match files::read(file, &mut contents) {
            // git does not follow a link in a tree either. Nothing is looked at less for it.
            Some(why @ Skip::Unreadable(_)) => {
                log::debug!("{}: {}", escape::path(file), escape::line(&why.reason()));
                return IgnoreList::default();
            }
            Some(why) => {
                self.not_applied.push((file.to_path_buf(), why));
                return IgnoreList::default();
            }
            None => {}
        }
        let (bytes, parts) = self.levels.iter().fold((0, 0), |(bytes, parts), level| {
            let excluded = level.excluded.as_ref().map_or(0, |list| list.parts);
            (bytes + level.bytes, parts + level.own.parts + excluded)
        });
        let list = IgnoreList::read(&contents, MOST_TRIED.saturating_sub(parts));
        match list.ok().filter(|_| bytes + contents.len() <= MOST_BYTES) {
            Some(list) => {
                if let Some(level) = self.levels.last_mut() {
                    level.bytes += contents.len();
                }
                list
            }
            None => {
                self.not_applied.push((file.to_path_buf(), Skip::TooManyPatterns));
                IgnoreList::default()
            }
        }
    }
}

/// The top of the repository that a folder is in.
pub(super) fn repository_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(REPOSITORY).exists())
}

/// Where git keeps what belongs to a repository, all its working trees together.
fn git_folder(folder: &Path) -> PathBuf {
    let own = own_folder(folder);
    match pointer(&own.join("commondir"), b"") {
        Some(common) => own.join(common),
        None => own,
    }
}

/// Where git keeps what belongs to a working tree: in a submodule and in a further working tree, `.git` is a file that says it.
pub(super) fn own_folder(folder: &Path) -> PathBuf {
    let git = folder.join(REPOSITORY);
    if git.is_dir() {
        return git;
    }
    match pointer(&git, b"gitdir: ") {
        Some(own) => folder.join(own),
        None => git,
    }
}

/// The path that a file holds after this prefix; `None` when it is no such file.
fn pointer(file: &Path, prefix: &[u8]) -> Option<PathBuf> {
    let contents = regular_file::read(file, Links::Followed, MOST_POINTER_BYTES).ok()?;
    let end = contents.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    Some(PathBuf::from(OsStr::from_bytes(contents[..end].strip_prefix(prefix)?)))
}

//! The files that git ignores in a tree: `.gitignore` in every folder, and `.git/info/exclude`.
//!
//! Called by `walk` for each folder that it enters and leaves. Within a file the last matching pattern decides, and the
//! file nearest to the path comes before those above it. Files above a repository's own folder do not count in it.
//!
//! The author of the tree controls these files, so only regular files within bounds are read. A file beyond the bounds is
//! not applied, so the scan reads more rather than less, and the report names the file.

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

/// The most bytes of all ignore files that count for one folder.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The most parts (bytes, `*`, sets) of patterns that must be tried one by one, in all files that count for one folder.
/// GitHub's collection of templates has less than a tenth of it.
const MOST_TRIED: usize = 32 * 1024;
/// No path that can be opened is longer (Linux, PATH_MAX); `gitdir: ` comes before it.
const MOST_POINTER_BYTES: u64 = 4096 + 16;

/// The patterns that count for the current folder of the walk.
#[derive(Default)]
pub(super) struct Ignored {
    levels: Vec<Level>,
    /// The files that are not applied, and why; `walk` collects them.
    pub(super) not_applied: Vec<(PathBuf, Skip)>,
}

/// The patterns of one folder.
struct Level {
    /// The length of this folder's path with its slash, in bytes.
    start: usize,
    own: IgnoreList,
    /// The patterns of `.git/info/exclude`; `None` where no repository begins.
    excluded: Option<IgnoreList>,
    /// The bytes of these files.
    bytes: usize,
}

impl Ignored {
    /// Begins with the patterns above a folder, up to the top of its repository.
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

    /// Enters a folder; the caller knows whether it has these two entries.
    pub(super) fn enter(&mut self, folder: &Path, has_file: bool, is_repository: bool) {
        let length = folder.as_os_str().len();
        let start = if folder.parent().is_some() { length + 1 } else { length };
        self.levels.push(Level { start, own: IgnoreList::default(), excluded: None, bytes: 0 });
        // git follows a link here, but not in the tree.
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

    /// Whether a path in the current folder is ignored.
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

    /// The patterns of a file of the current folder; none when it does not exist.
    fn read(&mut self, file: &Path) -> IgnoreList {
        let mut contents = Vec::new();
        match files::read(file, &mut contents) {
            // git does not follow a link in a tree either. This never hides a file from the scan.
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

/// The top folder of the repository of a folder.
pub(super) fn repository_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(REPOSITORY).exists())
}

/// The folder in which git keeps the common data of all working trees of a repository.
fn git_folder(folder: &Path) -> PathBuf {
    let own = own_folder(folder);
    match pointer(&own.join("commondir"), b"") {
        Some(common) => own.join(common),
        None => own,
    }
}

/// The folder in which git keeps the data of a working tree. In a submodule and in a further working tree, `.git` is a file
/// with its path.
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

/// The path after this prefix in a file; `None` when it is not such a file.
fn pointer(file: &Path, prefix: &[u8]) -> Option<PathBuf> {
    let contents = regular_file::read(file, Links::Followed, MOST_POINTER_BYTES).ok()?;
    let end = contents.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    Some(PathBuf::from(OsStr::from_bytes(contents[..end].strip_prefix(prefix)?)))
}

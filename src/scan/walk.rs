//! The walk through a tree: which files are scanned.
//!
//! - Files that git ignores are left out: `.gitignore` in every folder, with nested and negated patterns, and
//!   `.git/info/exclude`. The user's own global list does not count, so that everybody gets the same result. Above the
//!   tree, `.gitignore` counts up to the top of the repository. Files that git tracks are scanned even when a pattern
//!   ignores them: see `tracked`.
//! - Folders with other people's code are left out by their names, ignored or not: see [`OTHERS`]. The tree's root may have
//!   such a name. In folders that a package manager writes, files that git tracks are scanned, because they are a part of
//!   the product.
//! - Symbolic links are not followed: their target is in the tree under its own name, or not a part of the tree.
//! - Files over 2 MiB, binary files, minified files, and everything that is not a regular file are left out.
//!
//! The report names everything that was left out, except files that git ignores.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io::{self};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ignored::{self, Ignored};
use super::report::{Skip, Skipped};
use super::tracked::Tracked;
use crate::sort::sort_by;
use crate::Error;

/// More files than any tree of one program has.
const MOST_FILES: usize = 2_000_000;

/// The names of folders with other people's code, or with git's own files.
const OTHERS: &[&str] =
    &["node_modules", "bower_components", "vendor", "third_party", "site-packages", "Pods", "Carthage"];
/// Those of them in which other people's code is usually tracked by git.
const KEPT_BY_CUSTOM: &[&str] = &["vendor", "third_party"];
const HIDDEN: &[&str] = &[".git", ".hg", ".svn", ".jj"];

/// The files of a tree in the order of their paths, and the skipped ones.
pub(super) fn files(root: &Path) -> Result<(Vec<PathBuf>, Vec<Skipped>), Error> {
    let fault = |fault: String| Error::Check { what: root.display().to_string(), fault };
    let unreadable = |error: io::Error| fault(error.to_string());
    if !fs::metadata(root).map_err(unreadable)?.is_dir() {
        return Ok((vec![root.to_path_buf()], Vec::new()));
    }
    let whole = fs::canonicalize(root).map_err(unreadable)?;
    let ignored = Ignored::above(&whole);
    let repositories = ignored::repository_of(&whole).map(Repository::at).into_iter().collect();
    let mut walk = Walk { root: whole.clone(), ignored, repositories, skipped: Vec::new(), open: Vec::new() };
    let mut files = Vec::new();
    walk.enter(root, root.to_path_buf(), whole, Entries::All);
    while let Some(folder) = walk.open.last_mut() {
        let Some((name, kind)) = folder.entries.next() else {
            walk.leave();
            continue;
        };
        let only = folder.only;
        let (path, whole) = (folder.path.join(&name), folder.whole.join(&name));
        let is_ignored =
            only == Entries::Tracked || walk.ignored.has(whole.as_os_str().as_bytes(), kind.is_dir());
        if kind.is_file() {
            if is_ignored && !walk.tracks(&whole, kind) {
                continue;
            }
            if files.len() == MOST_FILES {
                return Err(fault(format!(
                    "it has more than {MOST_FILES} files; check its parts one by one"
                )));
            }
            files.push(path);
        } else if kind.is_dir() {
            let name = name.to_string_lossy();
            if HIDDEN.contains(&name.as_ref()) {
                continue;
            }
            let is_of_others = OTHERS.contains(&name.as_ref());
            let is_kept = KEPT_BY_CUSTOM.contains(&name.as_ref());
            match (is_ignored, is_of_others) {
                (false, false) => walk.enter(root, path, whole, Entries::All),
                (_, false) | (_, true) if !is_kept && walk.tracks(&whole, kind) => {
                    walk.enter(root, path, whole, Entries::Tracked);
                }
                (false, true) => {
                    walk.skipped.push(Skipped { path: relative(root, &path), why: Skip::OthersCode });
                }
                (true, _) => {}
            }
        }
    }
    Ok((files, walk.skipped))
}

/// Which entries of a folder count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    All,
    /// Only those that git tracks, because the folder is ignored.
    Tracked,
}

/// A repository around the current folder of the walk.
struct Repository {
    /// The length of its folder's path with the slash, in bytes.
    start: usize,
    /// How many open folders of the walk are above it.
    depth: usize,
    tracked: Tracked,
}

impl Repository {
    fn at(folder: &Path) -> Repository {
        let length = folder.as_os_str().len();
        let start = if folder.parent().is_some() { length + 1 } else { length };
        Repository { start, depth: 0, tracked: Tracked::of(folder) }
    }
}

/// A running walk through a tree.
struct Walk {
    /// The path from the system's root, without links.
    root: PathBuf,
    ignored: Ignored,
    /// The repositories around the current folder, the innermost last.
    repositories: Vec<Repository>,
    skipped: Vec<Skipped>,
    /// The current folder, and those above it.
    open: Vec<Folder>,
}

struct Folder {
    /// The path as the caller gave it.
    path: PathBuf,
    /// The path from the system's root, without links.
    whole: PathBuf,
    only: Entries,
    /// The entries that are still to be visited.
    entries: std::vec::IntoIter<(OsString, FileType)>,
}

impl Walk {
    /// Whether git tracks a file, or a file below a folder.
    fn tracks(&self, whole: &Path, kind: FileType) -> bool {
        let Some(repository) = self.repositories.last() else { return false };
        let path = whole.as_os_str().as_bytes().get(repository.start..).unwrap_or_default();
        if kind.is_dir() {
            repository.tracked.has_below(path)
        } else {
            repository.tracked.has(path)
        }
    }

    fn leave(&mut self) {
        self.open.pop();
        self.ignored.leave();
        if self.repositories.last().is_some_and(|repository| repository.depth > self.open.len()) {
            self.repositories.pop();
        }
    }

    /// Enters a folder, if it can be read.
    fn enter(&mut self, root: &Path, path: PathBuf, whole: PathBuf, only: Entries) {
        let mut entries = Vec::new();
        let read = fs::read_dir(&path).and_then(|found| {
            for entry in found {
                let entry = entry?;
                entries.push((entry.file_name(), entry.file_type()?));
            }
            Ok(())
        });
        if let Err(error) = read {
            let why = Skip::Unreadable(error.to_string());
            self.skipped.push(Skipped { path: relative(root, &path), why });
        }
        sort_by(&mut entries, |one, other| one.0.cmp(&other.0));
        let has = |name: &str| entries.iter().any(|entry| entry.0 == name);
        self.ignored.enter(&whole, has(ignored::FILE), has(ignored::REPOSITORY));
        for (file, why) in self.ignored.not_applied.drain(..) {
            let file = file.strip_prefix(&self.root).unwrap_or(&file);
            self.skipped.push(Skipped { path: file.to_string_lossy().into_owned(), why });
        }
        // The root's own repository is known already.
        if has(ignored::REPOSITORY) && !self.open.is_empty() {
            let depth = self.open.len() + 1;
            self.repositories.push(Repository { depth, ..Repository::at(&whole) });
        }
        self.open.push(Folder { path, whole, only, entries: entries.into_iter() });
    }
}

/// A path for the report: from the tree's root, with `/`.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    let path = match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside,
        // The root is a file itself.
        _ => Path::new(path.file_name().unwrap_or(path.as_os_str())),
    };
    path.to_string_lossy().into_owned()
}

/// Whether a name says that a program has written the file, so that nobody fixes it there.
pub(super) fn is_minified(name: &str) -> bool {
    let stem = [".js", ".mjs", ".cjs"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or_default();
    [".min", "-min", ".bundle", "-bundle", "_bundle", ".chunk", "-chunk"]
        .iter()
        .any(|end| stem.ends_with(end))
}

/// Whether the code comes from a bundler, which writes very long lines: `assets/app.js`.
pub(super) fn is_bundled(name: &str, contents: &[u8]) -> bool {
    /// In bytes. No person writes such a line.
    const LONGEST_LINE: usize = 20_000;
    let is_code = [".js", ".mjs", ".cjs"].iter().any(|end| name.ends_with(end));
    is_code && contents.split(|byte| *byte == b'\n').any(|line| line.len() > LONGEST_LINE)
}

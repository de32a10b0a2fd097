//! Which files of a tree are looked at, and their contents.
//!
//! - What git ignores is left out: `.gitignore` in every folder, with nested and negated patterns, and `.git/info/exclude`.
//!   The user's own global list is not, so that everybody gets the same answer. Above the tree, `.gitignore` counts as far
//!   up as the repository goes. A file that git tracks although a pattern ignores it is left out too.
//! - Folders with code of others are left out by their names, ignored or not: see [`OTHERS`]. The tree's root may be one.
//! - Symbolic links are not followed: what they lead to is in the tree under its own name, or not a part of it.
//! - Files over 2 MiB, binary ones and minified ones are left out, and whatever is no regular file.
//!
//! What was left out for another reason than git's is in the report.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ignored::{self, Ignored};
use super::report::{Skip, Skipped};
use crate::regular_file::{self, Links};
use crate::Error;

/// The largest file that is looked at: 2 MiB. Code that people write has a tenth of that.
pub(super) const MOST_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// More files than any tree that is one program.
const MOST_FILES: usize = 2_000_000;
/// Where a NUL byte makes a file binary: git's rule.
const BINARY_PROBE: usize = 8000;

/// The names of folders that hold code of others, or git's own files.
const OTHERS: &[&str] =
    &["node_modules", "bower_components", "vendor", "third_party", "site-packages", "Pods", "Carthage"];
const HIDDEN: &[&str] = &[".git", ".hg", ".svn", ".jj"];

/// The files of a tree in the order of their paths, and what was left out.
pub(super) fn files(root: &Path) -> Result<(Vec<PathBuf>, Vec<Skipped>), Error> {
    let fault = |fault: String| Error::Check { what: root.display().to_string(), fault };
    let unreadable = |error: io::Error| fault(error.to_string());
    if !fs::metadata(root).map_err(unreadable)?.is_dir() {
        return Ok((vec![root.to_path_buf()], Vec::new()));
    }
    let whole = fs::canonicalize(root).map_err(unreadable)?;
    let ignored = Ignored::above(&whole);
    let mut walk = Walk { root: whole.clone(), ignored, skipped: Vec::new(), open: Vec::new() };
    let mut files = Vec::new();
    walk.enter(root, root.to_path_buf(), whole);
    while let Some(folder) = walk.open.last_mut() {
        let Some((name, kind)) = folder.entries.next() else {
            walk.open.pop();
            walk.ignored.leave();
            continue;
        };
        let (path, whole) = (folder.path.join(&name), folder.whole.join(&name));
        if walk.ignored.has(whole.as_os_str().as_bytes(), kind.is_dir()) {
            continue;
        }
        if kind.is_file() {
            if files.len() == MOST_FILES {
                return Err(fault(format!(
                    "it has more than {MOST_FILES} files; check its parts one by one"
                )));
            }
            files.push(path);
        } else if kind.is_dir() {
            let name = name.to_string_lossy();
            if OTHERS.contains(&name.as_ref()) {
                walk.skipped.push(Skipped { path: relative(root, &path), why: Skip::OthersCode });
            } else if !HIDDEN.contains(&name.as_ref()) {
                walk.enter(root, path, whole);
            }
        }
    }
    Ok((files, walk.skipped))
}

/// A walk through a tree, on its way.
struct Walk {
    /// From the system's root, without links.
    root: PathBuf,
    ignored: Ignored,
    skipped: Vec<Skipped>,
    /// The folder where it is, and those above it.
    open: Vec<Folder>,
}

struct Folder {
    /// As it was asked for.
    path: PathBuf,
    /// From the system's root, without links.
    whole: PathBuf,
    /// What is still to be visited.
    entries: std::vec::IntoIter<(OsString, FileType)>,
}

impl Walk {
    /// Goes into a folder, if it can be read.
    fn enter(&mut self, root: &Path, path: PathBuf, whole: PathBuf) {
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
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let has = |name: &str| entries.iter().any(|entry| entry.0 == name);
        self.ignored.enter(&whole, has(ignored::FILE), has(ignored::REPOSITORY));
        for (file, why) in self.ignored.not_applied.drain(..) {
            let file = file.strip_prefix(&self.root).unwrap_or(&file);
            self.skipped.push(Skipped { path: file.to_string_lossy().into_owned(), why });
        }
        self.open.push(Folder { path, whole, entries: entries.into_iter() });
    }
}

/// A path as it stands in the report: from the tree's root, with `/`.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    let path = match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside,
        // The root is a file itself.
        _ => Path::new(path.file_name().unwrap_or(path.as_os_str())),
    };
    path.to_string_lossy().into_owned()
}

/// Whether a name is that of code that a program has written: one that nobody mends there.
pub(super) fn is_minified(name: &str) -> bool {
    [".min.js", "-min.js", ".bundle.js", ".min.mjs", ".min.cjs"].iter().any(|end| name.ends_with(end))
}

/// Reads a file into `contents`, or says why it is left out. A link or a pipe that has taken a file's place since the walk is
/// not followed and not waited for.
pub(super) fn read(path: &Path, contents: &mut Vec<u8>) -> Option<Skip> {
    contents.clear();
    let read = regular_file::open(path, Links::Refused).and_then(|(file, length)| {
        if length > MOST_FILE_BYTES {
            return Ok(Some(Skip::TooLarge(length)));
        }
        file.take(MOST_FILE_BYTES + 1).read_to_end(contents)?;
        Ok(None)
    });
    match read {
        Ok(Some(skip)) => Some(skip),
        Ok(None) if contents.len() as u64 > MOST_FILE_BYTES => Some(Skip::TooLarge(contents.len() as u64)),
        Ok(None) => {
            let probe = &contents[..contents.len().min(BINARY_PROBE)];
            memchr::memchr(0, probe).is_some().then_some(Skip::Binary)
        }
        Err(error) => Some(Skip::Unreadable(error.to_string())),
    }
}

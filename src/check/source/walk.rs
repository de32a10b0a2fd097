//! Which files of a tree are looked at, and their contents.
//!
//! - What git ignores is left out: `.gitignore` in every folder, with nested and negated patterns, and `.git/info/exclude`.
//!   The user's own global list is not, so that everybody gets the same answer. Above the tree, `.gitignore` counts as far
//!   up as the repository goes. A file that git tracks although a pattern ignores it is left out too.
//! - Folders with code of others are left out by their names, ignored or not: see [`OTHERS`]. The tree's root may be one.
//! - Symbolic links are not followed: what they lead to is in the tree under its own name, or not a part of it.
//! - Files over 2 MiB, binary ones and minified ones are left out.
//!
//! What was left out for another reason than git's is in the report.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use rustix::fs::{Mode, OFlags};

use super::report::{Skip, Skipped};
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
    let fault =
        |error: io::Error| Error::Check { what: root.display().to_string(), fault: error.to_string() };
    fs::metadata(root).map_err(fault)?;
    let whole = fs::canonicalize(root).map_err(fault)?;
    let is_in_repository = whole.ancestors().any(|folder| folder.join(".git").exists());
    let mut skipped = Vec::new();
    let mut files = Vec::new();
    let (sender, others) = std::sync::mpsc::channel();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .require_git(false)
        .parents(is_in_repository)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let name = entry.file_name().to_string_lossy();
            if entry.depth() == 0 || !is_folder {
                return true;
            }
            let is_of_others = OTHERS.contains(&name.as_ref());
            if is_of_others {
                // The receiver lives as long as the walk.
                let _ = sender.send(entry.path().to_path_buf());
            }
            !is_of_others && !HIDDEN.contains(&name.as_ref())
        })
        .build();
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                if files.len() == MOST_FILES {
                    return Err(Error::Check {
                        what: root.display().to_string(),
                        fault: format!("it has more than {MOST_FILES} files; check its parts one by one"),
                    });
                }
                files.push(entry.into_path());
            }
            Ok(entry) => {
                // A pattern of .gitignore that cannot be understood: git passes over it too.
                if let Some(error) = entry.error() {
                    log::debug!("{}: {error}", entry.path().display());
                }
            }
            Err(error) => {
                let path = path_of(&error).unwrap_or_else(|| root.to_path_buf());
                skipped
                    .push(Skipped { path: relative(root, &path), why: Skip::Unreadable(error.to_string()) });
            }
        }
    }
    skipped
        .extend(others.try_iter().map(|path| Skipped { path: relative(root, &path), why: Skip::OthersCode }));
    Ok((files, skipped))
}

fn path_of(error: &ignore::Error) -> Option<PathBuf> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path.clone()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
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
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).map(File::from);
    let read = opened.and_then(|file| {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file any more"));
        }
        if metadata.len() > MOST_FILE_BYTES {
            return Ok(Some(Skip::TooLarge(metadata.len())));
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

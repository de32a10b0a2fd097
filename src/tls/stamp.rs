//! The state of files without their contents, to notice changes.
//!
//! Knows paths, not contents. `identity` and `client_auth` take a stamp before they read files, and the server compares stamps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The most files of one source that are watched.
pub(super) const MOST_FILES: usize = 64;

/// The state of files. Two different stamps mean that a file was changed, replaced, made or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<FileState>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    /// Device and inode, because a replaced file can have the same size and times.
    place: (u64, u64),
    bytes: u64,
    /// The last change of the contents, and the last change of anything, in seconds and nanoseconds.
    changed: [(i64, i64); 2],
}

impl Stamp {
    pub(crate) fn of(files: &[PathBuf]) -> Stamp {
        Stamp(files.iter().take(MOST_FILES).map(|file| FileState::of(file).ok()).collect())
    }
}

impl FileState {
    fn of(file: &Path) -> io::Result<FileState> {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(file)?;
        Ok(FileState {
            place: (found.dev(), found.ino()),
            bytes: found.size(),
            changed: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_of_changing_a_file_changes_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = [path("link")];
        let mut seen = vec![Stamp::of(&files)];
        let mut changed = |what: &str| {
            let stamp = Stamp::of(&files);
            assert!(!seen.contains(&stamp), "{what}");
            assert_eq!(stamp, Stamp::of(&files), "{what}");
            seen.push(stamp);
        };
        fs::write(path("first"), "1").unwrap();
        fs::write(path("second"), "1").unwrap();
        symlink("first", path("link")).unwrap();
        changed("made");
        fs::write(path("first"), "12").unwrap();
        changed("written");
        fs::write(path("new"), "34").unwrap();
        fs::rename(path("new"), path("first")).unwrap();
        changed("replaced by rename");
        symlink("second", path("new link")).unwrap();
        fs::rename(path("new link"), path("link")).unwrap();
        changed("its link exchanged");
    }
}

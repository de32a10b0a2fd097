//! The state of files as it can be seen from outside, to notice that one has changed.
//!
//! Knows paths and nothing of what stands in the files. Called by `identity` and `client_auth` before files are read, and by
//! the server, which compares.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of one source that are watched, at most.
pub(super) const MOST_FILES: usize = 64;

/// What can be seen of files from outside. Two that differ say that a file was changed, replaced, made or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<FileState>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    /// Device and inode: a file that takes another's place may have its size and times.
    place: (u64, u64),
    bytes: u64,
    /// Seconds and nanoseconds; of the last change to the contents, and to anything.
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

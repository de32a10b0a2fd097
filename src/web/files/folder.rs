//! Files below a folder of the disk. `Files` calls it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ::http::{HeaderValue, StatusCode};
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::found::{Found, Item};
use super::path::{is_plain, is_served};
use crate::handler_call;
use crate::sort::sort_by;
use crate::web::disk::{self, Stamp};
use crate::web::open_below::{is_absent, open, open_root};

/// The most names on a folder's page.
const MOST_ITEMS: usize = 10_000;

/// The most files whose state is remembered. One takes about 150 bytes.
const MOST_SEEN: usize = 1_024;

pub(super) struct Folder {
    root: PathBuf,
    /// The state in which files were when they were last opened, by their paths. Only those that clients ask about again.
    seen: Mutex<HashMap<String, Stamp>>,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Folder {
        Folder { root, seen: Mutex::default() }
    }

    /// The tag and the date of a file that was found before, if it is in the same state: one system call, and not five. Whatever
    /// links lead to it now, it is the file that was found below the folder, with the content that it had.
    pub(super) fn unchanged(&self, path: &str, now: SystemTime) -> Option<(HeaderValue, Option<i64>)> {
        let seen = *self.seen().get(path)?;
        let stamp = Stamp::of(&fs::metadata(self.root.join(path)).ok()?);
        if stamp == seen {
            disk::known(&stamp, now)
        } else {
            None
        }
    }

    /// Remembers the state of a file that was found.
    pub(super) fn remember(&self, path: &str, stamp: Stamp) {
        let mut seen = self.seen();
        if seen.len() >= MOST_SEEN {
            // More files than this are asked for seldom, and what is needed is soon seen again.
            seen.clear();
        }
        seen.insert(path.to_string(), stamp);
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Stamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The error is the status of the answer; what happened is in the log.
    pub(super) fn find(&self, path: &str) -> Result<Found, StatusCode> {
        let Some(file) = self.open(path)? else { return Ok(Found::Nothing) };
        let metadata = file.metadata().map_err(|error| self.failed(path, &error))?;
        if metadata.is_dir() {
            return Ok(Found::Folder);
        }
        // A pipe, a socket or a device.
        if !metadata.is_file() {
            return Ok(Found::Nothing);
        }
        let loaded = disk::load(file, &metadata, SystemTime::now());
        loaded.map(Found::File).map_err(|error| self.failed(path, &error))
    }

    /// What is in a folder, as far as it can be asked for; `None` when there is no such folder.
    pub(super) fn list(&self, path: &str) -> Result<Option<Vec<Item>>, StatusCode> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        if !file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(None);
        }
        let mut items = Vec::new();
        let entries = Dir::read_from(&file).map_err(|error| self.failed(path, &error.into()))?;
        for entry in entries.take(MOST_ITEMS) {
            let entry = entry.map_err(|error| self.failed(path, &error.into()))?;
            // Paths are UTF-8, so other names cannot be asked for.
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_well_known = path.is_empty() && is_served(name);
            if (is_well_known || !name.starts_with('.')) && is_plain(name) {
                let is_file = entry.file_type() != FileType::Directory;
                items.push(Item { is_file, name: name.to_string() });
            }
        }
        sort_by(&mut items, Ord::cmp);
        Ok(Some(items))
    }

    fn open(&self, path: &str) -> Result<Option<File>, StatusCode> {
        let root = open_root(&self.root).map_err(|error| self.failed("", &error.into()))?;
        match open(&root, path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(self.failed(path, &error.into())),
        }
    }

    /// Notes a failure of the system in the log. Returns the status of the answer.
    fn failed(&self, path: &str, error: &io::Error) -> StatusCode {
        let file = self.root.join(path);
        let file = file.display();
        handler_call::note("a file cannot be read", format_args!("could not read {file}: {error}"));
        status_of(error)
    }
}

/// 503 when the system has too few resources, and 500 for everything else.
fn status_of(error: &io::Error) -> StatusCode {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// A folder with a file that was found and is remembered, and a time at which a change of it would show.
    fn remembered(content: &[u8]) -> (TempDir, Folder, SystemTime) {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("root/a")).unwrap();
        let path = dir.path().join("root/a/file");
        fs::write(&path, content).unwrap();
        // A change from now on has another time.
        let probe = dir.path().join("probe");
        let changed = |path: &Path| {
            let found = fs::metadata(path).unwrap();
            (found.ctime(), found.ctime_nsec())
        };
        while {
            fs::write(&probe, "").unwrap();
            changed(&probe) <= changed(&path)
        } {}
        let folder = Folder::new(dir.path().join("root"));
        let later = SystemTime::now() + Duration::from_secs(10);
        assert_eq!(folder.unchanged("a/file", later), None, "it was not found yet");
        let loaded = {
            let file = File::open(&path).unwrap();
            let metadata = file.metadata().unwrap();
            disk::load(file, &metadata, later).unwrap()
        };
        folder.remember("a/file", loaded.stamp.unwrap());
        let known = folder.unchanged("a/file", later);
        assert_eq!(known, Some((loaded.etag.unwrap(), loaded.modified)));
        (dir, folder, later)
    }

    #[test]
    fn a_file_that_is_as_it_was_is_known_without_opening_it() {
        for length in [0, 10, 2_000_000] {
            let (_dir, folder, later) = remembered(&vec![1; length]);
            // A change now would not show.
            assert_eq!(folder.unchanged("a/file", SystemTime::now()), None);
            assert_eq!(folder.unchanged("a", later), None);
        }
    }

    #[test]
    fn a_file_that_was_changed_replaced_or_removed_has_to_be_found_again() {
        type Change = fn(&Path);
        let changes: [Change; 7] = [
            |root| fs::write(root.join("a/file"), "other").unwrap(),
            |root| fs::remove_file(root.join("a/file")).unwrap(),
            |root| {
                fs::write(root.join("a/new"), "content").unwrap();
                fs::rename(root.join("a/new"), root.join("a/file")).unwrap();
            },
            |root| fs::rename(root, root.with_extension("old")).unwrap(),
            // Links that lead out of the folder.
            |root| {
                fs::write(root.join("../secret"), "content").unwrap();
                fs::remove_file(root.join("a/file")).unwrap();
                symlink("../../secret", root.join("a/file")).unwrap();
            },
            |root| {
                fs::create_dir(root.join("../b")).unwrap();
                fs::write(root.join("../b/file"), "content").unwrap();
                fs::rename(root.join("a"), root.join("c")).unwrap();
                symlink("../b", root.join("a")).unwrap();
            },
            |root| {
                fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o000)).unwrap();
            },
        ];
        for (at, change) in changes.iter().enumerate() {
            let (dir, folder, later) = remembered(b"content");
            change(&dir.path().join("root"));
            assert_eq!(folder.unchanged("a/file", later), None, "change {at}");
        }
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (dir, folder, later) = remembered(b"content");
        let stamp = Stamp::of(&fs::metadata(dir.path().join("root/a/file")).unwrap());
        for number in 0..2 * MOST_SEEN {
            folder.remember(&number.to_string(), stamp);
            assert!(folder.seen().len() <= MOST_SEEN);
        }
        assert_eq!(folder.unchanged("a/file", later), None);
    }
}

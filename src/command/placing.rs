//! Files that are there whole or not at all, also after a power cut: each is written beside its place under another name, and
//! then renamed. `cert csr` and `cert install` call it, for keys and certificates of closed networks, and `ticket-keys`.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::Path;
#[cfg(feature = "operations")]
use std::time::Duration;

#[cfg(feature = "operations")]
use lockgate::internal::{escape, is_ours};
use lockgate::internal::{sync_directory, Draft, FileError};

#[cfg(feature = "operations")]
use super::logger::tell;

/// Puts a file where none is: `AlreadyExists` when there is one, which stays as it is. The file has its mode from its first
/// byte on.
pub(super) fn put_new(path: &Path, contents: &str, mode: u32) -> io::Result<()> {
    draft(path, contents, mode).and_then(Draft::put_where_none_is).map_err(reason)?;
    sync_directory(folder(path)).map_err(reason)
}

/// Puts a file in place, over an older one if there is one. It follows a link, which stays a link. A program that reads the
/// file meanwhile reads the old one or the new one, whole.
pub(super) fn replace(path: &Path, contents: &str, mode: u32) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    draft(&path, contents, mode).and_then(Draft::put_in_place).map_err(reason)?;
    sync_directory(folder(&path)).map_err(reason)
}

/// As [`replace`], for a secret that is there. The new file has the owner and the group of the old one, and its mode, less what
/// others than these may do and what the group may do beside reading.
#[cfg(feature = "operations")]
pub(super) fn replace_secret(path: &Path, contents: &str) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let draft = draft(&path, contents, 0o600).map_err(reason)?;
    draft.give_to(old.uid(), old.gid(), 0o600 | (old.mode() & 0o040)).map_err(reason)?;
    draft.put_in_place().map_err(reason)?;
    sync_directory(folder(&path)).map_err(reason)
}

/// Keeps other processes that call it from changing files in this file's folder, until it is dropped. Waits for them, for 10 s at
/// most. Where the file system has no locks, it keeps nobody.
#[cfg(feature = "operations")]
pub(super) fn lock_folder_of(path: &Path) -> io::Result<fs::File> {
    use rustix::fs::{flock, FlockOperation};
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let file = fs::File::open(folder(&path))?;
    for _ in 0..200 {
        match flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => return Ok(file),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process is changing files there; try again"))
}

/// Removes the drafts of this file that killed writers have left, because a secret in them is still one. A draft has the name that
/// [`draft`] gives it, and begins with `mark` as far as it was written. One that cannot be removed stays, and the user is told.
#[cfg(feature = "operations")]
pub(super) fn remove_old_drafts(path: &Path, mark: &[u8]) {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let (Some(name), Ok(entries)) = (path.file_name(), fs::read_dir(folder(&path))) else { return };
    let name = name.as_encoded_bytes();
    for entry in entries.filter_map(Result::ok) {
        let found = entry.file_name();
        let id = found.as_encoded_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"."));
        let id = id.and_then(|rest| rest.strip_suffix(b".tmp")).unwrap_or_default();
        let is_draft = id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit);
        let file = entry.path();
        if !is_draft || !is_ours(&file, mark).unwrap_or(false) {
            continue;
        }
        if let Err(error) = fs::remove_file(&file) {
            tell(&format!(
                "lockgate: {}: is left over, holds keys and cannot be removed: {error}",
                escape::path(&file)
            ));
        }
    }
}

fn draft(path: &Path, contents: &str, mode: u32) -> Result<Draft, FileError> {
    // The hasher's keys are random: no two runs use the same name, so a draft that one left behind is in nobody's way.
    let id = RandomState::new().build_hasher().finish();
    Draft::write(path, contents.as_bytes(), &format!("{id:016x}"), mode)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The caller knows the file, and says more about it.
fn reason(error: FileError) -> io::Error {
    error.source
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    fn names(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_put_where_none_is_and_never_over_another() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("key");
        put_new(&path, "one", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(put_new(&path, "two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        // A link that leads nowhere is in the way too.
        symlink(dir.path().join("nowhere"), dir.path().join("link")).unwrap();
        assert!(put_new(&dir.path().join("link"), "two", 0o600).is_err());
        assert_eq!(names(&dir), ["key", "link"]);
    }

    #[cfg(feature = "operations")]
    #[test]
    fn what_killed_writers_have_left_is_removed_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("keys");
        let left = |name: &str, contents: &str| fs::write(dir.path().join(name), contents).unwrap();
        std::mem::forget(draft(&path, "# keys\nnext 1\n", 0o600).unwrap());
        left("keys.0123456789abcdef.tmp", "# ke");
        let others = [
            ("keys.0123456789abcdee.tmp", "next 1"),
            ("keys.1.tmp", "# keys\n"),
            ("keys.bad", "# keys\n"),
            ("keys2.0123456789abcdef.tmp", "# keys\n"),
        ];
        for (name, contents) in others {
            left(name, contents);
        }
        left("keys", "# keys\n");
        symlink("keys", dir.path().join("link")).unwrap();
        remove_old_drafts(&dir.path().join("link"), b"# keys\n");
        let mut expected = vec!["keys", "link"];
        expected.extend(others.map(|(name, _)| name));
        expected.sort_unstable();
        assert_eq!(names(&dir), expected);
    }

    #[test]
    fn what_replaces_a_file_is_another_file_and_links_stay() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cert");
        replace(&path, "one", 0o644).unwrap();
        // A program that has the old one open keeps it.
        let old = fs::File::open(&path).unwrap();
        symlink("cert", dir.path().join("link")).unwrap();
        replace(&dir.path().join("link"), "two", 0o644).unwrap();
        assert_eq!(io::read_to_string(old).unwrap(), "one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(&dir), ["cert", "link"]);
        assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().is_symlink());
        assert!(replace(&dir.path().join("none/cert"), "x", 0o644).is_err());
    }
}

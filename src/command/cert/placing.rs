//! Files that are there whole or not at all, also after a power cut: each is written beside its place under another name, and
//! then renamed. `cert csr` and `cert install` call it, for keys and certificates of closed networks.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::Path;

use lockgate::internal::{sync_directory, Draft, FileError};

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

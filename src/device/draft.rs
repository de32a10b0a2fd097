//! Writes files atomically: under another name first, then renamed. A file exists whole or not at all, also after a power cut.
//!
//! Knows the file system and nothing of what the files hold. The device's state and the demo's certificates are written with
//! it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::regular_file::{self, Links};

/// A file written whole under a temporary name, to be renamed. Removed when it is dropped before that.
#[derive(Debug)]
pub struct Draft {
    temporary: PathBuf,
    target: PathBuf,
    placed: bool,
    #[cfg(all(feature = "operations", feature = "serve"))]
    file: File,
}

/// A file that could not be read or written, and what the operating system said.
#[derive(Debug)]
pub struct FileError {
    /// The file, or its directory.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl FileError {
    /// Names the file at fault.
    pub fn of(path: &Path, source: io::Error) -> FileError {
        FileError { path: path.to_path_buf(), source }
    }
}

impl Draft {
    /// Writes the file and waits until it is on the disk. `id` is part of its temporary name; two writers must not use the same
    /// `id` at a time. The file has its mode from the first byte, because a mode that is set later would leave a key readable
    /// until then.
    ///
    /// # Errors
    ///
    /// When the operating system refuses it, and when a file of the temporary name exists.
    pub fn write(target: &Path, contents: &[u8], id: &str, mode: u32) -> Result<Draft, FileError> {
        let temporary = temporary(target, id);
        let failed = |source| FileError::of(&temporary, source);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&temporary).map_err(failed)?;
        let draft = Draft {
            temporary: temporary.clone(),
            target: target.to_path_buf(),
            placed: false,
            #[cfg(all(feature = "operations", feature = "serve"))]
            file: file.try_clone().map_err(failed)?,
        };
        file.write_all(contents).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(draft)
    }

    /// Gives the file to this owner and group, if it is another's, and then this mode: with the mode first, a group that is not
    /// meant could read it until then. It is the file that was written, whatever its name leads to by now.
    ///
    /// # Errors
    ///
    /// When the operating system refuses it: only root may give a file to another user.
    #[cfg(all(feature = "operations", feature = "serve"))]
    pub fn give_to(&self, owner: u32, group: u32, mode: u32) -> Result<(), FileError> {
        use std::os::unix::fs::{fchown, MetadataExt, PermissionsExt};
        let given = self.file.metadata().and_then(|is| {
            if (is.uid(), is.gid()) != (owner, group) {
                fchown(&self.file, Some(owner), Some(group))?;
            }
            self.file.set_permissions(fs::Permissions::from_mode(mode))
        });
        given.map_err(|source| FileError::of(&self.target, source))
    }

    /// Removes the temporary file that a killed writer with this `id` has left.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be removed.
    pub fn remove_left_over(target: &Path, id: &str) -> Result<(), FileError> {
        let temporary = temporary(target, id);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::of(&temporary, error)),
            _ => Ok(()),
        }
    }

    /// Gives the file its name, if no file has that name. A link, unlike a rename, never replaces another file.
    ///
    /// # Errors
    ///
    /// When a file has that name, and when the operating system refuses it.
    #[cfg(feature = "serve")]
    pub fn put_where_none_is(self) -> Result<(), FileError> {
        // Dropping `self` removes the temporary name.
        fs::hard_link(&self.temporary, &self.target).map_err(|source| FileError::of(&self.target, source))
    }

    /// Gives the file its name, and replaces a file of that name. The file survives a power cut once [`sync_directory`] has
    /// returned.
    ///
    /// # Errors
    ///
    /// When the operating system refuses it.
    pub fn put_in_place(mut self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.target).map_err(|source| FileError::of(&self.target, source))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if let Err(error) = fs::remove_file(&self.temporary) {
            log::warn!(
                "{}: is left over and cannot be removed: {error}",
                crate::escape::path(&self.temporary)
            );
        }
    }
}

/// The temporary name, in the same directory, because renaming works only within a file system. It is the whole name of the file, so
/// that no two files have the same, and says what the file is: `.pem` only for such a file.
fn temporary(target: &Path, id: &str) -> PathBuf {
    if target.extension().is_some_and(|extension| extension == "pem") {
        return target.with_extension(format!("{id}.pem.tmp"));
    }
    let mut name = target.as_os_str().to_os_string();
    name.push(format!(".{id}.tmp"));
    name.into()
}

/// Waits until the renames in this directory are on the disk.
///
/// # Errors
///
/// When the operating system refuses it.
pub fn sync_directory(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| FileError::of(dir, source))
}

/// Whether this file may be overwritten: it begins with this mark (RFC 7468 §2 allows text before a section), or does not
/// exist. A file without the mark comes from somebody else, and may be the only copy of a key.
///
/// # Errors
///
/// When it cannot be read.
pub fn is_ours(path: &Path, mark: &[u8]) -> Result<bool, FileError> {
    let mut start = Vec::new();
    let opened = regular_file::open(path, Links::Followed);
    match opened.and_then(|(file, _)| file.take(mark.len() as u64).read_to_end(&mut start)) {
        // An empty file, or a file cut off in its first line, holds nothing that could be lost.
        Ok(_) => Ok(mark.starts_with(&start)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(FileError::of(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn names(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_has_its_mode_from_the_first_byte_and_goes_when_it_is_dropped() {
        let dir = TempDir::new().unwrap();
        let target = dir.path().join("key.pem");
        let draft = Draft::write(&target, b"secret", "id", 0o600).unwrap();
        assert_eq!(names(&dir), ["key.id.pem.tmp"]);
        let mode = fs::metadata(dir.path().join("key.id.pem.tmp")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        drop(draft);
        assert_eq!(names(&dir), [""; 0]);
    }

    #[test]
    fn a_draft_has_the_whole_name_of_its_file_and_no_other_kind() {
        for (target, name) in
            [("a/key.pem", "a/key.id.pem.tmp"), ("a/k", "a/k.id.tmp"), ("k.v1", "k.v1.id.tmp")]
        {
            assert_eq!(temporary(Path::new(target), "id"), Path::new(name));
        }
    }

    #[test]
    fn a_draft_takes_the_place_of_what_was_there() {
        let dir = TempDir::new().unwrap();
        let target = dir.path().join("cert.pem");
        fs::write(&target, "old").unwrap();
        Draft::write(&target, b"new", "id", 0o644).unwrap().put_in_place().unwrap();
        assert_eq!(names(&dir), ["cert.pem"]);
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_before_the_next() {
        let dir = TempDir::new().unwrap();
        let target = dir.path().join("cert.pem");
        std::mem::forget(Draft::write(&target, b"half", "id", 0o644).unwrap());
        let error = Draft::write(&target, b"", "id", 0o644).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        for _ in 0..2 {
            Draft::remove_left_over(&target, "id").unwrap();
            assert_eq!(names(&dir), [""; 0]);
        }
    }

    #[test]
    fn only_what_begins_with_the_mark_is_ours() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("key.pem");
        assert!(is_ours(&path, b"mark\n").unwrap(), "not there");
        for (contents, ours) in
            [("", true), ("ma", true), ("mark\nkey", true), ("key", false), (" mark\n", false)]
        {
            fs::write(&path, contents).unwrap();
            assert_eq!(is_ours(&path, b"mark\n").unwrap(), ours, "{contents:?}");
        }
        assert_eq!(is_ours(dir.path(), b"mark\n").unwrap_err().path, dir.path());
    }
}

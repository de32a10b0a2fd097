//! A file that is being received: it has a temporary name in the folder where it will stand, and gets its own name when it is
//! whole. Knows the file system and the faults of uploads; uploads of all kinds write through it.
//!
//! A named file is used, and not `O_TMPFILE`: to replace a file of the same name needs a rename, and so a name, and not all
//! file systems of small devices have it (FAT, JFFS2). What a crash leaves is known by its name, and by its lock whether another
//! process still writes it.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::digest::hex;
use super::upload_fault::UploadFault;
use crate::error::Error;

/// What the names of unfinished files begin with. No client can choose such a name, because names that begin with a dot are
/// refused.
const PREFIX: &str = ".lockgate-upload-";

/// The most folders that are remembered as swept. When there are more, they are swept again, which does no harm.
const MOST_FOLDERS: usize = 64;

/// A folder that files are put into. It is opened once, so that a link that replaces it meanwhile leads nothing astray.
#[derive(Debug)]
pub(super) struct Folder {
    opened: File,
    pub path: PathBuf,
}

/// A file under its temporary name. Removed when it is dropped before it gets its own name.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Folder,
    name: String,
    pub file: File,
    is_placed: bool,
}

/// Whether a file got a name that no file had, or replaced a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    New,
    Replaced,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(opened) => Ok(Folder { opened: File::from(opened), path: path.to_path_buf() }),
            Err(error) => Err(UploadFault::io("the folder for uploads cannot be opened", path, error.into())),
        }
    }

    /// Removes what a crash has left, the first time that this process uses the folder.
    fn sweep_once(&self) -> io::Result<()> {
        static SWEPT: Mutex<Vec<(u64, u64, PathBuf)>> = Mutex::new(Vec::new());
        let found = self.opened.metadata()?;
        // A folder that is made later can get the numbers of one that is gone.
        let id = (found.dev(), found.ino(), self.path.clone());
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.contains(&id) {
            return Ok(());
        }
        if swept.len() >= MOST_FOLDERS {
            swept.clear();
        }
        swept.push(id);
        drop(swept);
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            if let Err(error) = self.remove_if_left_over(name) {
                let path = self.path.join(name);
                log::warn!("{}: is left over and cannot be removed: {error}", crate::escape::path(&path));
            }
        }
        Ok(())
    }

    fn remove_if_left_over(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.opened, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        // Who writes it holds the lock, until it ends in whatever way.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            self.remove(name)?;
            log::info!(
                "{}: removed, an upload that was never finished",
                crate::escape::path(&self.path.join(name))
            );
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.opened, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the names in the folder are on the disk.
    fn sync(&self) -> io::Result<()> {
        self.opened.sync_all()
    }
}

impl Temporary {
    /// Makes an empty file that only its owner may read.
    pub(super) fn create(folder: Folder) -> Result<Temporary, Error> {
        if let Err(error) = folder.sweep_once() {
            return Err(UploadFault::io("the folder for uploads cannot be read", &folder.path, error));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let failed = |error| UploadFault::io("a file for an upload cannot be made", &folder.path, error);
            let name = format!("{PREFIX}{}", random_name().map_err(failed)?);
            let mode = Mode::RUSR | Mode::WUSR;
            let opened = rustix::fs::openat(&folder.opened, &name, flags, mode);
            let file = File::from(opened.map_err(|error| failed(error.into()))?);
            // Another process that sweeps may have been quicker than the lock. File systems without locks give another error;
            // what is left over there stays.
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            let is_there = file.metadata().is_ok_and(|found| found.nlink() > 0);
            if locked != Err(Errno::WOULDBLOCK) && is_there {
                return Ok(Temporary { folder, name, file, is_placed: false });
            }
        }
    }

    /// A file of the folder that has another temporary name already.
    pub(super) fn adopt(folder: Folder, name: String, file: File) -> Temporary {
        Temporary { folder, name, file, is_placed: false }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| self.failed("an upload cannot be written", error))
    }

    /// Gives the file its name, and replaces a file of that name. When this returns, the file is on the disk.
    pub(super) fn put_as(mut self, name: &str, mode: u32) -> Result<Placed, Error> {
        let ready =
            self.file.set_permissions(Permissions::from_mode(mode)).and_then(|()| self.file.sync_all());
        ready.map_err(|error| self.failed("an upload cannot be written", error))?;
        let placed = self.rename(name).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::ISDIR | Errno::NOTEMPTY) => UploadFault::IsDirectory.into(),
            _ => UploadFault::io("an upload cannot get its name", &self.folder.path.join(name), error),
        })?;
        self.is_placed = true;
        self.folder.sync().map_err(|error| self.failed("the folder for uploads cannot be written", error))?;
        Ok(placed)
    }

    fn rename(&self, name: &str) -> io::Result<Placed> {
        let folder = &self.folder.opened;
        match rustix::fs::renameat_with(folder, &self.name, folder, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Placed::New),
            Err(Errno::EXIST) => {}
            // Old kernels, and file systems that do not know the flag.
            Err(Errno::NOSYS | Errno::INVAL) => {
                let is_new = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_err();
                rustix::fs::renameat(folder, &self.name, folder, name)?;
                return Ok(if is_new { Placed::New } else { Placed::Replaced });
            }
            Err(error) => return Err(error.into()),
        }
        rustix::fs::renameat(folder, &self.name, folder, name)?;
        Ok(Placed::Replaced)
    }

    /// Where the file will stand.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        UploadFault::io(doing, &self.folder.path, error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_placed {
            return;
        }
        if let Err(error) = self.folder.remove(&self.name) {
            let path = self.folder.path.join(&self.name);
            log::warn!("{}: is left over and cannot be removed: {error}", crate::escape::path(&path));
        }
    }
}

/// 128 random bits, as hexadecimal digits.
pub(super) fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn names(dir: &TempDir) -> Vec<String> {
        let names = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn create(dir: &TempDir) -> Temporary {
        Temporary::create(Folder::open(dir.path()).unwrap()).unwrap()
    }

    #[test]
    fn a_file_is_its_owners_from_the_first_byte_and_goes_when_it_is_dropped() {
        let dir = TempDir::new().unwrap();
        let mut temporary = create(&dir);
        temporary.write(b"half").unwrap();
        let [name] = names(&dir).try_into().unwrap();
        assert!(name.starts_with(PREFIX), "{name}");
        assert_eq!(fs::metadata(dir.path().join(&name)).unwrap().permissions().mode() & 0o7777, 0o600);
        drop(temporary);
        assert_eq!(names(&dir), [""; 0]);
    }

    #[test]
    fn the_name_says_whether_a_file_was_there() {
        let dir = TempDir::new().unwrap();
        for (contents, placed) in [("first", Placed::New), ("second", Placed::Replaced)] {
            let mut temporary = create(&dir);
            temporary.write(contents.as_bytes()).unwrap();
            assert_eq!(temporary.put_as("a", 0o640).unwrap(), placed);
            assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), contents);
        }
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(names(&dir), ["a"]);
    }

    #[test]
    fn a_link_in_the_files_place_is_replaced_and_not_followed() {
        let dir = TempDir::new().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("a")).unwrap();
        create(&dir).put_as("a", 0o600).unwrap();
        assert!(!elsewhere.exists());
        assert_eq!(names(&dir), ["a"]);
    }

    #[test]
    fn what_a_crash_left_goes_at_the_first_use_and_what_is_written_stays() {
        let dir = TempDir::new().unwrap();
        let left = format!("{PREFIX}{:032x}", 7);
        fs::write(dir.path().join(&left), "half").unwrap();
        fs::write(dir.path().join(".lockgate"), "another's").unwrap();
        // A file of another process that is still being written has its lock.
        let busy = format!("{PREFIX}{:032x}", 8);
        let held = File::create(dir.path().join(&busy)).unwrap();
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let temporary = create(&dir);
        let mut expected = vec![".lockgate".to_string(), busy.clone(), temporary.name.clone()];
        expected.sort();
        assert_eq!(names(&dir), expected);
        drop(temporary);
        assert_eq!(names(&dir), [".lockgate".to_string(), busy]);
    }
}

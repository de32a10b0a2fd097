//! Opens a file below a folder, and nothing else, whatever links stand on the way. Knows descriptors and paths. `files` calls it.
//!
//! Linux since 5.6 does it in one system call (openat2 with `RESOLVE_BENEATH`): links are followed as long as they stay below the
//! folder. Where that call is missing, or a sandbox forbids it, each segment of the path is opened by itself, and no link is
//! followed.

use std::fs::File;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{openat, Mode, OFlags, CWD};
use rustix::io::Errno;

/// Neither waits for the other end of a pipe, nor takes a terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A folder on the way, which need not be readable.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the folder that all others are below. Links in its own path are followed.
pub(crate) fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, root, PASS, Mode::empty())
}

/// Opens a file or a folder for reading. `path` has no dot segments and no empty ones; the empty path is the root itself.
pub(crate) fn open(root: &OwnedFd, path: &str) -> Result<File, Errno> {
    let path = if path.is_empty() { "." } else { path };
    beneath(root.as_fd(), path).unwrap_or_else(|| walk(root.as_fd(), path)).map(File::from)
}

/// In one call. `None` when that is not to be had here.
#[cfg(target_os = "linux")]
fn beneath(root: BorrowedFd<'_>, path: &str) -> Option<Result<OwnedFd, Errno>> {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{openat2, ResolveFlags};

    /// Whether the kernel has no such call.
    static MISSING: AtomicBool = AtomicBool::new(false);
    /// The kernel asks to try again when folders are moved at the same time.
    const TRIES: usize = 8;

    if MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match openat2(root, path, READ, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => {
                MISSING.store(true, Ordering::Relaxed);
                return None;
            }
            // A sandbox may forbid the call with either; but either may also be about this file, so it is not remembered.
            Err(Errno::PERM | Errno::INVAL) => return None,
            result => return Some(result),
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn beneath(_: BorrowedFd<'_>, _: &str) -> Option<Result<OwnedFd, Errno>> {
    None
}

/// Segment by segment, without following links.
fn walk(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let (folders, last) = path.rsplit_once('/').map_or((None, path), |(folders, last)| (Some(folders), last));
    let mut folder: Option<OwnedFd> = None;
    for segment in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let from = folder.as_ref().map_or(root, |folder| folder.as_fd());
        folder = Some(openat(from, segment, PASS | OFlags::NOFOLLOW, Mode::empty())?);
    }
    let from = folder.as_ref().map_or(root, |folder| folder.as_fd());
    openat(from, last, READ | OFlags::NOFOLLOW, Mode::empty())
}

/// Whether an error says that there is nothing to be served, rather than that the system failed.
pub(crate) fn is_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::MLINK
            | Errno::XDEV
            | Errno::ACCESS
            | Errno::PERM
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::NXIO
            | Errno::NODEV
            | Errno::ILSEQ
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn content(opened: Result<OwnedFd, Errno>) -> Result<String, Errno> {
        let mut text = String::new();
        File::from(opened?)
            .read_to_string(&mut text)
            .map_err(|error| Errno::from_io_error(&error).unwrap())?;
        Ok(text)
    }

    /// A folder `root` with files and links, and a file beside it.
    fn tree() -> TempDir {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "inside").unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        for (link, to) in [
            ("inner", "a/b/file"),
            ("a/up", "../a/b/file"),
            ("folder", "a/b"),
            ("out", "../secret"),
            ("a/out", "../../secret"),
            ("a/b/way", "../../../root/../secret"),
            ("parent", ".."),
            ("absolute", "/etc/passwd"),
            ("proc", "/proc/self/root/etc/passwd"),
            ("self", "self"),
            ("gone", "nothing"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        symlink(dir.path().join("secret"), root.join("whole")).unwrap();
        dir
    }

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let dir = tree();
        let root = open_root(&dir.path().join("root")).unwrap();
        let outside = [
            "out",
            "a/out",
            "a/b/way",
            "parent/secret",
            "absolute",
            "proc",
            "whole",
            "folder/way",
            "self",
            "gone",
            "a/none",
        ];
        for path in outside {
            for opened in [open(&root, path).map(OwnedFd::from), walk(root.as_fd(), path)] {
                let error = content(opened).unwrap_err();
                assert!(is_absent(error), "{path}: {error}");
            }
        }
        for opened in [open(&root, "a/b/file").map(OwnedFd::from), walk(root.as_fd(), "a/b/file")] {
            assert_eq!(content(opened).unwrap(), "inside");
        }
    }

    /// Only where the kernel has openat2, so not everywhere; the walk refuses them.
    #[test]
    fn a_link_that_stays_below_the_folder_is_followed_where_the_kernel_checks_it() {
        let dir = tree();
        let root = open_root(&dir.path().join("root")).unwrap();
        for path in ["inner", "a/up", "folder/file"] {
            if let Some(opened) = beneath(root.as_fd(), path) {
                assert_eq!(content(opened).unwrap(), "inside", "{path}");
            }
            assert!(is_absent(content(walk(root.as_fd(), path)).unwrap_err()), "{path}");
        }
    }

    #[test]
    fn the_root_itself_may_be_a_link_and_its_folder_may_change() {
        let dir = tree();
        let link = dir.path().join("current");
        symlink("root", &link).unwrap();
        let root = open_root(&link).unwrap();
        assert!(open(&root, "").unwrap().metadata().unwrap().is_dir());
        assert!(walk(root.as_fd(), ".").is_ok());
        assert!(open(&root, "a/b/file").is_ok());
        assert!(open_root(&dir.path().join("none")).is_err());
        assert!(open_root(&dir.path().join("secret")).is_err());
    }
}

//! Waits until a file may have changed, in any way: it was written, replaced by a rename, or a symbolic link anywhere in its
//! path was changed, as certbot, Kubernetes and cert-manager do.
//!
//! It watches folders, not files, because the watch of a file ends when the file is replaced. The caller, `renewal`, finds out
//! what has changed. Waiting needs no system calls while nothing happens. Where the system cannot watch folders,
//! [`Watch::sees_changes`] is false, and the caller has to check the files from time to time.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

const WAKER: Token = Token(0);
const FOLDERS: Token = Token(1);

/// The most symbolic links that are followed in a path, as in Linux.
const MOST_LINKS: usize = 40;

/// How often the search for folders is repeated when they change during the search. After that the caller checks from time to
/// time.
const MOST_SETS: usize = 8;

/// The waiting part of the renewal's thread.
pub(super) struct Watch {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    folders: Option<notify::Folders>,
    /// Whether all folders that are needed are watched.
    sees_all: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Watch> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let folders = notify::Folders::new(poll.registry(), FOLDERS)
            .map_err(|error| log::debug!("files are looked at from time to time: {error}"))
            .ok();
        Ok(Watch { poll, events: Events::with_capacity(4), waker, folders, sees_all: true })
    }

    /// A waker that ends the current wait, or the next one, from another thread.
    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Whether every change ends a wait. If not, only time does.
    pub(super) fn sees_changes(&self) -> bool {
        self.folders.is_some() && self.sees_all
    }

    /// Watches these files from now on, and no others. Call it again after each wait, because folders come and go.
    pub(super) fn set(&mut self, files: &[PathBuf]) {
        let Some(notify) = &mut self.folders else { return };
        let find = || {
            let mut found = Vec::new();
            files.iter().flat_map(|file| folders_of(file)).for_each(|folder| add(&mut found, folder));
            found
        };
        let mut folders = find();
        for _ in 0..MOST_SETS {
            match notify.set(&folders) {
                Ok(sees_all) => self.sees_all = sees_all,
                Err(error) => {
                    log::warn!(
                        "changed files are noticed only from time to time: the system watches no more folders ({error})"
                    );
                    self.folders = None;
                    return;
                }
            }
            // A folder that was made between the search and the start of the watch is noticed by neither, and the same holds
            // for a link that was changed then. So the search is repeated.
            let before = std::mem::replace(&mut folders, find());
            if folders == before {
                return;
            }
        }
        self.sees_all = false;
    }

    /// Waits until something may have changed, the waker is used, or the time is over.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(most)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(folders) = &mut self.folders {
            folders.forget_events();
        }
        Ok(())
    }
}

/// The folders in which a change can make this path lead to another file: the file's own folder, and the folder of each link in
/// the path. For a missing folder it is the nearest existing one above it.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut here = if file.is_absolute() { PathBuf::from("/") } else { PathBuf::from(".") };
    // The parts that are left to walk, the next part last.
    let mut rest: Vec<PathBuf> = parts(file);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        let next = here.join(&part);
        match fs::symlink_metadata(&next) {
            Ok(metadata) if metadata.file_type().is_symlink() && links < MOST_LINKS => {
                links += 1;
                add(&mut found, here.clone());
                if let Ok(target) = fs::read_link(&next) {
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    rest.extend(parts(&target));
                }
            }
            Ok(metadata) if metadata.is_dir() => here = next,
            // This is the file, or the file or a folder in its path is missing and would be made here.
            _ => break,
        }
    }
    add(&mut found, here);
    found
}

/// Adds a folder if it is not in the list, which is short.
fn add(found: &mut Vec<PathBuf>, folder: PathBuf) {
    if !found.contains(&folder) {
        found.push(folder);
    }
}

/// A path's parts, the first last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    parts.reverse();
    parts
}

/// inotify(7).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod notify {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry};
    use rustix::fs::inotify::{add_watch, init, remove_watch, CreateFlags, WatchFlags};

    use super::*;

    pub(super) struct Folders {
        inotify: File,
        watches: Vec<(PathBuf, i32)>,
    }

    impl Folders {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Folders> {
            let inotify = File::from(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
            registry.register(&mut SourceFd(&inotify.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Folders { inotify, watches: Vec::new() })
        }

        /// Watches these folders. Returns whether all of them are watched: some may have just gone, and others may not be
        /// readable.
        pub(super) fn set(&mut self, folders: &[PathBuf]) -> io::Result<bool> {
            // Reading is not a change, and neither is opening a file or a write that has not ended.
            let changes = WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::ATTRIB
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            let mut now = Vec::new();
            for folder in folders {
                match add_watch(&self.inotify, folder, changes) {
                    Ok(watch) => {
                        now.push((folder.clone(), watch));
                    }
                    // The system allows no more watches, so changes can be missed.
                    Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM)) => {
                        return Err(error.into())
                    }
                    Err(error) => log::debug!("{}: cannot be watched: {error}", crate::escape::path(folder)),
                }
            }
            for (_, watch) in &self.watches {
                if !now.iter().any(|(_, kept)| kept == watch) {
                    // The watch ends with its folder, and then there is none to remove.
                    let _ = remove_watch(&self.inotify, *watch);
                }
            }
            self.watches = now;
            Ok(self.watches.len() == folders.len())
        }

        #[cfg(test)]
        pub(super) fn watches(&self, folder: &Path) -> bool {
            self.watches.iter().any(|(watched, _)| watched == folder)
        }

        #[cfg(test)]
        pub(super) fn has_events(&mut self) -> bool {
            self.inotify.read(&mut [0; 4096]).is_ok()
        }

        pub(super) fn forget_events(&mut self) {
            let mut events = [0; 4096];
            // This reads at most the kernel's queue (16,384 events), and ends with WouldBlock.
            while self.inotify.read(&mut events).is_ok_and(|read| read > 0) {}
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod notify {
    use mio::Registry;

    use super::*;

    pub(super) enum Folders {}

    impl Folders {
        pub(super) fn new(_: &Registry, _: Token) -> io::Result<Folders> {
            Err(ErrorKind::Unsupported.into())
        }

        pub(super) fn set(&mut self, _: &[PathBuf]) -> io::Result<bool> {
            match *self {}
        }

        pub(super) fn forget_events(&mut self) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folders(file: &Path) -> Vec<PathBuf> {
        folders_of(file).into_iter().collect()
    }

    #[test]
    fn the_folders_of_a_file_are_its_own_and_those_of_the_links_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("archive/2")).unwrap();
        fs::create_dir(root.join("live")).unwrap();
        fs::write(root.join("archive/2/cert.pem"), "").unwrap();
        symlink("../archive/2/cert.pem", root.join("live/cert.pem")).unwrap();
        symlink(root.join("live"), root.join("current")).unwrap();
        assert_eq!(folders(&root.join("archive/2/cert.pem")), [root.join("archive/2")]);
        assert_eq!(folders(&root.join("archive/2/other.pem")), [root.join("archive/2")]);
        assert_eq!(folders(&root.join("archive/3/4/cert.pem")), [root.join("archive")]);
        let to_the_link = [root.join("live"), root.join("live/../archive/2")];
        assert_eq!(folders(&root.join("live/cert.pem")), to_the_link);
        let through_both = [root.clone(), root.join("live"), root.join("live/../archive/2")];
        assert_eq!(folders(&root.join("current/cert.pem")), through_both);
        assert_eq!(folders(Path::new("no such folder/cert.pem")), [PathBuf::from(".")]);
        // A ring of links leads to no file, and never ends.
        symlink("ring", root.join("ring")).unwrap();
        assert_eq!(folders(&root.join("ring/cert.pem")), [root]);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_folder_that_cannot_be_watched_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        let folders = watch.folders.as_mut().unwrap();
        let there = dir.path().to_path_buf();
        assert!(folders.set(std::slice::from_ref(&there)).unwrap());
        // A missing folder stands for a forbidden one, because root may read everything.
        assert!(!folders.set(&[there.clone(), there.join("gone")]).unwrap());
        assert!(folders.set(&[there]).unwrap());
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_folder_that_is_made_while_it_is_looked_for_is_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..300 {
            let folder = dir.path().join(number.to_string());
            let file = folder.join("cert.pem");
            let mut watch = Watch::new().unwrap();
            let made = std::thread::spawn({
                let folder = folder.clone();
                move || fs::create_dir(folder).unwrap()
            });
            watch.set(std::slice::from_ref(&file));
            made.join().unwrap();
            // Either the folder is watched, or its creation is an event.
            let notify = watch.folders.as_mut().unwrap();
            assert!(notify.watches(&folder) || notify.has_events(), "{number}");
        }
    }

    #[test]
    fn a_change_ends_a_wait_and_so_does_the_waker() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        let mut watch = Watch::new().unwrap();
        assert_eq!(watch.sees_changes(), cfg!(any(target_os = "linux", target_os = "android")));
        let long = Duration::from_secs(3600);
        watch.waker().wake().unwrap();
        watch.wait(long).unwrap();
        if watch.sees_changes() {
            watch.set(std::slice::from_ref(&file));
            fs::write(&file, "").unwrap();
            watch.wait(long).unwrap();
            fs::remove_file(&file).unwrap();
            watch.wait(long).unwrap();
        }
    }
}

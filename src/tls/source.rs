//! Where an identity comes from, so that it can be had again: when its files change, when it is time to renew it, or
//! when somebody asks.
//!
//! Knows files by their path and their state, not what is in them. The keeper of a running server asks it.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::challenges::Challenges;
use super::Identity;
#[cfg(feature = "acme")]
use crate::acme::Agent;
use crate::error::Error;

/// A source of identities that an embedding program can write itself, such as a secure element or a management system;
/// [`Identity::from_source`] makes an identity of it. The identities that lockgate makes from files have one already.
///
/// A running server asks its sources from one thread of its own, never from a worker. A call may block; while it does, no
/// other identity of that server is renewed.
pub trait IdentitySource: Send + Sync {
    /// The identity to serve with from now on. Asked once by [`Identity::from_source`], then by a running server whenever
    /// one of [`files`](IdentitySource::files) has changed, the time of [`look_again`](IdentitySource::look_again) is
    /// over, or [`Handle::reload`](crate::Handle::reload) is called. One that is the same as before changes nothing. Asked
    /// twice when its files have changed meanwhile, since it may have made them.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from giving one. The server goes on with what it has, says so in the log, and asks again: after
    /// 10 s, then after twice as long each time, up to an hour.
    fn load(&self) -> Result<Identity, Error>;

    /// The files whose change is a reason to ask again, at most 64. Replacing one by rename is a change, and so is
    /// exchanging a symbolic link anywhere on the way to it. Defaults to none.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How long after `now` to ask again though no file has changed. `None`, the default, for never.
    fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        let _ = (current, now);
        None
    }
}

/// Files that are watched for one source, at most.
pub(super) const MOST_FILES: usize = 64;

/// How often a source is asked at a time, until its files rest.
const MOST_LOADS: u32 = 2;

/// A source, and the state that its files were in before it was last asked.
#[derive(Clone)]
pub(crate) struct Origin {
    source: Arc<dyn IdentitySource>,
    stamp: Stamp,
    /// Who works for the source while a server runs.
    #[cfg(feature = "acme")]
    agent: Option<Arc<Agent>>,
}

impl Origin {
    /// Asks a source.
    pub(crate) fn ask(source: Arc<dyn IdentitySource>) -> Result<Identity, Error> {
        let (mut stamp, mut identity);
        let mut times = 0;
        loop {
            // Before it is asked: a change during the answer is seen as one that came after it.
            stamp = Stamp::of(&source.files());
            identity = source.load()?;
            times += 1;
            // A source that makes its files when it is asked has not seen them as they are now.
            if times == MOST_LOADS || stamp == Stamp::of(&source.files()) {
                break;
            }
        }
        Ok(identity.with_origin(Origin {
            source,
            stamp,
            #[cfg(feature = "acme")]
            agent: None,
        }))
    }

    /// Asks the same source again.
    pub(crate) fn ask_again(&self) -> Result<Identity, Error> {
        let identity = Origin::ask(self.source.clone())?;
        #[cfg(feature = "acme")]
        let identity = identity.with_agent(self.agent.clone());
        Ok(identity)
    }

    #[cfg(feature = "acme")]
    pub(super) fn with_agent(self, agent: Option<Arc<Agent>>) -> Origin {
        Origin { agent, ..self }
    }

    #[cfg(feature = "acme")]
    pub(crate) fn agent(&self) -> Option<&Arc<Agent>> {
        self.agent.as_ref()
    }

    /// Where challenges are posted that the server is to answer.
    pub(crate) fn challenges(&self) -> Option<&Arc<Challenges>> {
        #[cfg(feature = "acme")]
        return self.agent.as_ref().map(|agent| agent.challenges());
        #[cfg(not(feature = "acme"))]
        None
    }

    pub(crate) fn has_the_source_of(&self, other: &Origin) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = guarded(|| self.source.files());
        files.truncate(MOST_FILES);
        files
    }

    /// The state of the files before the source was asked.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    pub(crate) fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        guarded(|| self.source.look_again(current, now))
    }
}

/// A source may be anybody's code; a panic of it must not end the care for the other certificates.
fn guarded<T: Default>(ask: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        log::error!("the source of a certificate panicked; its files and times are not known");
        T::default()
    })
}

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

/// Two PEM files.
pub(super) struct PemFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl IdentitySource for PemFiles {
    fn load(&self) -> Result<Identity, Error> {
        Identity::from_own_files(&self.certificate, &self.key)
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
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

//! All uploads that have begun in a folder: found by their name, bounded in number, bytes and age. Knows the file system and
//! times as numbers; the handler of resumable uploads calls it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::partial::{Partial, State, PREFIX, STATE};
use crate::web::temporary::random_name;

/// Room is made with an upload only when nobody has used it for this long, in seconds.
const IDLE_SECONDS: i64 = 60;

/// The bounds of a store.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub uploads: usize,
    pub bytes: u64,
    pub age_seconds: i64,
}

#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    bounds: Bounds,
    uploads: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    partial: Arc<Mutex<Partial>>,
    created: i64,
    used: i64,
}

/// Why no upload begins.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// There is no room for one more.
    Full,
    Io(io::Error),
}

/// An upload's name, and the upload.
pub(super) type Begun = (String, Arc<Mutex<Partial>>);

impl Store {
    /// Finds what earlier processes have left in the folder.
    pub(super) fn open(dir: &Path, bounds: Bounds, now: i64) -> io::Result<Store> {
        let mut uploads = BTreeMap::new();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name.starts_with(PREFIX)));
        }
        for name in &names {
            let rest = name.strip_prefix(PREFIX).unwrap_or_default();
            let id = rest.split('.').next().unwrap_or_default();
            let state = format!("{PREFIX}{id}{STATE}");
            // What has no state was never told to a client.
            if !names.contains(&state) || name.ends_with(".state-new") {
                remove(&dir.join(name));
                continue;
            }
            if *name != state {
                continue;
            }
            match Partial::load(dir, id) {
                Ok(partial) => {
                    let created = partial.state.created;
                    let partial = Arc::new(Mutex::new(partial));
                    uploads.insert(id.to_string(), Entry { partial, created, used: created });
                }
                Err(error) => {
                    log::warn!(
                        "{}: an upload cannot go on, and is removed: {error}",
                        crate::escape::path(&dir.join(name))
                    );
                    remove(&dir.join(name));
                    remove(&dir.join(format!("{PREFIX}{id}")));
                }
            }
        }
        let store = Store { dir: dir.to_path_buf(), bounds, uploads: Mutex::new(uploads) };
        store.remove_old(&mut store.lock(), now);
        Ok(store)
    }

    /// Begins an upload. Room is made with those that are over, and that nobody uses.
    pub(super) fn create(&self, state: State) -> Result<Begun, NotBegun> {
        let now = state.created;
        let mut uploads = self.lock();
        self.remove_old(&mut uploads, now);
        while uploads.len() >= self.bounds.uploads || bytes(&uploads) >= self.bounds.bytes {
            // What is complete is only remembered, for a client that has lost the response.
            let rank = |entry: &Entry| (!lock(&entry.partial).state.is_complete, entry.used);
            let unused =
                uploads.iter().filter(|(_, entry)| !is_busy(entry)).map(|(id, entry)| (rank(entry), id));
            let oldest =
                unused.min().filter(|((is_under_way, used), _)| !is_under_way || now - used >= IDLE_SECONDS);
            let Some(oldest) = oldest.map(|(_, id)| id.clone()) else { return Err(NotBegun::Full) };
            self.forget(&mut uploads, &oldest);
        }
        let id = random_name().map_err(NotBegun::Io)?;
        let partial = Partial::create(&self.dir, &id, state).map_err(NotBegun::Io)?;
        let partial = Arc::new(Mutex::new(partial));
        uploads.insert(id.clone(), Entry { partial: partial.clone(), created: now, used: now });
        Ok((id, partial))
    }

    /// The upload of this name, and how many seconds it has left.
    pub(super) fn find(&self, id: &str, now: i64) -> Option<(Arc<Mutex<Partial>>, i64)> {
        let mut uploads = self.lock();
        self.remove_old(&mut uploads, now);
        let entry = uploads.get_mut(id)?;
        entry.used = now;
        Some((entry.partial.clone(), self.seconds_left(entry.created, now)))
    }

    pub(super) fn seconds_left(&self, created: i64, now: i64) -> i64 {
        (created.saturating_add(self.bounds.age_seconds) - now).max(0)
    }

    /// Removes an upload.
    pub(super) fn remove(&self, id: &str) {
        self.forget(&mut self.lock(), id);
    }

    /// Whether this many more bytes would be too many in all.
    pub(super) fn is_full(&self, more: u64) -> bool {
        bytes(&self.lock()).saturating_add(more) > self.bounds.bytes
    }

    fn remove_old(&self, uploads: &mut BTreeMap<String, Entry>, now: i64) {
        let is_old = |entry: &Entry| self.seconds_left(entry.created, now) == 0;
        let old: Vec<String> =
            uploads.iter().filter(|(_, entry)| is_old(entry)).map(|(id, _)| id.clone()).collect();
        for id in old {
            self.forget(uploads, &id);
        }
    }

    fn forget(&self, uploads: &mut BTreeMap<String, Entry>, id: &str) {
        if let Some(entry) = uploads.remove(id) {
            let mut partial = lock(&entry.partial);
            // A request that still writes notices it before its next piece.
            partial.generation += 1;
            partial.file = None;
            partial.remove();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request has the upload at this moment.
fn is_busy(entry: &Entry) -> bool {
    Arc::strong_count(&entry.partial) > 1
}

fn lock(partial: &Mutex<Partial>) -> MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(uploads: &BTreeMap<String, Entry>) -> u64 {
    let length = |entry: &Entry| {
        let partial = lock(&entry.partial);
        if partial.file.is_some() {
            partial.offset
        } else {
            0
        }
    };
    uploads.values().map(length).sum()
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        if error.kind() != io::ErrorKind::NotFound {
            log::warn!("{}: is left over and cannot be removed: {error}", crate::escape::path(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const BOUNDS: Bounds = Bounds { uploads: 3, bytes: 10, age_seconds: 1000 };

    fn state(created: i64) -> State {
        State { target: "/a".into(), offset: 0, length: None, created, digest: None, is_complete: false }
    }

    fn begin(store: &Store, now: i64, bytes: &[u8]) -> Option<String> {
        let (id, partial) = store.create(state(now)).ok()?;
        let mut partial = partial.lock().unwrap();
        partial.append(bytes).unwrap();
        partial.sync().unwrap();
        Some(id)
    }

    fn count(dir: &TempDir) -> usize {
        std::fs::read_dir(dir.path()).unwrap().count()
    }

    #[test]
    fn room_is_made_with_what_is_old_and_idle_only() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path(), BOUNDS, 0).unwrap();
        let first = begin(&store, 0, b"1").unwrap();
        let second = begin(&store, 10, b"2").unwrap();
        let third = begin(&store, 20, b"3").unwrap();
        assert!(begin(&store, 30, b"4").is_none(), "all are in use");
        // The first is used again, so the second is the oldest.
        assert!(store.find(&first, 40).is_some());
        let fourth = begin(&store, 75, b"4").unwrap();
        assert!(store.find(&second, 75).is_none() && store.find(&third, 75).is_some());
        // One that a request has is not taken, however old.
        let held = store.find(&first, 80).unwrap().0;
        assert!(store.find(&third, 81).is_some() && store.find(&fourth, 82).is_some());
        let fifth = begin(&store, 200, b"5").unwrap();
        assert!(store.find(&first, 200).is_some() && store.find(&third, 200).is_none());
        drop(held);
        // All are over after their time.
        assert_eq!(store.find(&fifth, 1199).map(|(_, left)| left), Some(1));
        assert!(store.find(&fifth, 1200).is_none());
        assert_eq!(count(&dir), 0);
    }

    #[test]
    fn bytes_are_bounded_in_all() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path(), BOUNDS, 0).unwrap();
        begin(&store, 0, b"1234567890").unwrap();
        assert!(begin(&store, 59, b"").is_none() && store.is_full(1) && !store.is_full(0));
        begin(&store, 60, b"1").unwrap();
        assert!(!store.is_full(9));
    }

    #[test]
    fn an_upload_is_found_again_by_the_next_process_and_rubbish_is_removed() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path(), BOUNDS, 0).unwrap();
        let (kept, over) = (begin(&store, 500, b"abc").unwrap(), begin(&store, 0, b"").unwrap());
        drop(store);
        for (name, contents) in [("1", "no state"), ("2.state", "damaged"), ("3.state-new", "half")] {
            std::fs::write(dir.path().join(format!("{PREFIX}{name}")), contents).unwrap();
        }
        std::fs::write(dir.path().join("other"), "").unwrap();
        let store = Store::open(dir.path(), BOUNDS, 1000).unwrap();
        let (partial, left) = store.find(&kept, 1000).unwrap();
        assert_eq!((partial.lock().unwrap().offset, left), (3, 500));
        assert!(store.find(&over, 1000).is_none());
        assert_eq!(count(&dir), 3, "the upload, its state, and what is not ours");
    }
}

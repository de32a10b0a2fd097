//! The validators of a file on a disk: an entity tag and a date that say when its content is another. Knows files and their
//! metadata. `files` and `response` call it.
//!
//! A tag made of the inode, the size and the time of the last change, as most servers make it, fails a firmware in two ways.
//! The images of two releases are often built with all times equal, so a page that has changed has the tag of the old one. And two
//! changes within one tick of the file system's clock leave the same time. So the tag of a file of up to [`HASHED_BYTES`] is the
//! hash of its content. The hash is kept under the file's metadata, the time of the last change of the inode among them, which
//! no program can set; and only when that time is [`SETTLED`] ago, so that a further change shows. A larger file has a tag of its
//! metadata, if they are so old; and where the times come from an image (they have no fraction of a second), the tag also depends
//! on the process, because an image changes only with a restart.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use ::http::HeaderValue;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};

use super::content::{Content, READ_AT_ONCE_BYTES};
use super::tag;
use crate::calendar;

/// The largest file whose content is hashed, in bytes. A small processor hashes 50 MB a second.
const HASHED_BYTES: u64 = 1024 * 1024;

/// A change that is so long ago cannot share its time with a further one. FAT counts in steps of 2 s, other file systems in
/// steps of at most 10 ms.
const SETTLED: Duration = Duration::from_secs(3);

/// The most hashes that are kept. One takes about 150 bytes.
const MOST_KEPT: usize = 1_024;

/// 1990-01-01, in seconds since 1970. An earlier date is no date of the content: images and packages are built with all times at
/// 1970, 1980 or 1985.
const FIRST_CREDIBLE: i64 = 631_152_000;

/// An open file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub content: Content,
    /// The state in which it was opened. None for a file of the program.
    pub stamp: Option<Stamp>,
    /// None when nothing is known that would change with the content.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified`, in seconds since 1970.
    pub modified: Option<i64>,
    /// When it was written, in seconds since 1970, whether or not that can be told to clients.
    pub written: i64,
}

/// Makes a regular file ready to be sent. `now` is the system's time.
pub(crate) fn load(file: File, metadata: &Metadata, now: SystemTime) -> io::Result<Loaded> {
    let stamp = Stamp::of(metadata);
    let length = metadata.len();
    let (modified, written) = (stamp.date(now), stamp.modified.0);
    let loaded = |content, etag| Loaded { content, stamp: Some(stamp), etag, modified, written };
    let is_settled = stamp.is_settled(now);
    if length > HASHED_BYTES {
        return Ok(loaded(Content::File { file, length }, is_settled.then(|| stamp.tag())));
    }
    if let Some(etag) = is_settled.then(|| kept(&stamp)).flatten() {
        return Ok(loaded(Content::File { file, length }, Some(etag)));
    }
    let (content, etag) = if length <= READ_AT_ONCE_BYTES {
        let bytes = read_up_to(&file, length)?;
        let etag = tag::of_bytes(&bytes);
        (Content::Memory(bytes), etag)
    } else {
        let etag = hash(&file, length)?;
        (Content::File { file, length }, etag)
    };
    // Not if it has changed while it was read.
    if is_settled && content.length() == length {
        keep(stamp, &etag);
    }
    Ok(loaded(content, Some(etag)))
}

/// What is known of a file in this state without opening it, if a change would show: its tag and its date.
pub(crate) fn known(stamp: &Stamp, now: SystemTime) -> Option<(HeaderValue, Option<i64>)> {
    let etag = if stamp.length > HASHED_BYTES { Some(stamp.tag()) } else { kept(stamp) };
    stamp.is_settled(now).then_some((etag?, stamp.date(now)))
}

/// What tells one state of a file from another, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the last change of the content.
    modified: (i64, i64),
    /// The same of the inode, which the kernel sets with each change of the content.
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change now would show in the stamp.
    fn is_settled(&self, now: SystemTime) -> bool {
        [self.modified, self.changed].into_iter().all(|time| is_away(time, now))
    }

    /// `Last-Modified`. It counts seconds, so a date that is not settled could hide a further change, and is not sent; nor is one
    /// that is ahead of the clock (RFC 9110 §8.8.2.1), or before 1990.
    fn date(&self, now: SystemTime) -> Option<i64> {
        let (seconds, _) = self.modified;
        let is_past = seconds < calendar::unix(now);
        (seconds >= FIRST_CREDIBLE && is_past && is_away(self.modified, now)).then_some(seconds)
    }

    /// The tag of a file that is not hashed.
    fn tag(&self) -> HeaderValue {
        let mut context = Context::new(&SHA256);
        if self.changed.1 == 0 {
            context.update(salt());
        }
        let times =
            [self.modified.0, self.modified.1, self.changed.0, self.changed.1].map(|number| number as u64);
        for number in [self.device, self.inode, self.length].into_iter().chain(times) {
            context.update(&number.to_le_bytes());
        }
        tag::of_digest(context.finish().as_ref())
    }
}

/// Whether a time is further from now than changes of the same tick can be, in either direction: a clock may have been set.
fn is_away((seconds, nanos): (i64, i64), now: SystemTime) -> bool {
    let time = calendar::from_unix(seconds) + Duration::from_nanos(nanos.unsigned_abs());
    let between = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
    between > SETTLED
}

/// Random bytes of this process.
fn salt() -> &'static [u8; 16] {
    static SALT: OnceLock<[u8; 16]> = OnceLock::new();
    SALT.get_or_init(|| {
        let mut salt = [0; 16];
        // Without random bytes, what else differs from one start to the next: the time.
        if SystemRandom::new().fill(&mut salt).is_err() {
            salt = calendar::since_1970(SystemTime::now()).as_nanos().to_le_bytes();
        }
        salt
    })
}

static KEPT: Mutex<Option<HashMap<Stamp, HeaderValue>>> = Mutex::new(None);

fn kept(stamp: &Stamp) -> Option<HeaderValue> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(stamp).cloned()
}

fn keep(stamp: Stamp, etag: &HeaderValue) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_with(Default::default);
    if kept.len() >= MOST_KEPT {
        // More files than this are served seldom, and what is needed is soon hashed again.
        kept.clear();
    }
    kept.insert(stamp, etag.clone());
}

/// Reads a small file. Returns fewer bytes when it has become shorter.
fn read_up_to(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The tag of the first `length` bytes.
fn hash(file: &File, length: u64) -> io::Result<HeaderValue> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    while at < length {
        let most = buffer.len().min((length - at) as usize);
        match file.read_at(&mut buffer[..most], at)? {
            0 => break,
            read => {
                context.update(&buffer[..read]);
                at += read as u64;
            }
        }
    }
    Ok(tag::of_digest(context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::{utimensat, AtFlags, Timespec, Timestamps, CWD};
    use tempfile::TempDir;

    use super::*;

    fn loaded(path: &Path, now: SystemTime) -> Loaded {
        let file = File::open(path).unwrap();
        let metadata = file.metadata().unwrap();
        load(file, &metadata, now).unwrap()
    }

    fn set_modified(path: &Path, seconds: i64) {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
    }

    #[test]
    fn the_tag_of_a_small_file_is_that_of_its_content_at_any_time() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        let later = || SystemTime::now() + Duration::from_secs(10);
        for length in [0, 10, 100_000] {
            // The same size, and the same date, within one tick or not.
            let mut tags = Vec::new();
            for byte in [1, 2, 3] {
                fs::write(&path, vec![byte; length]).unwrap();
                set_modified(&path, 1_000_000_000);
                tags.push(loaded(&path, SystemTime::now()).etag.unwrap());
                assert_eq!(loaded(&path, SystemTime::now()).etag.as_ref(), tags.last());
            }
            tags.dedup();
            assert_eq!(tags.len(), if length == 0 { 1 } else { 3 }, "{length}");
            let settled = loaded(&path, later());
            assert_eq!(settled.etag.as_ref(), tags.last());
            assert_eq!(settled.etag, loaded(&path, later()).etag);
        }
    }

    #[test]
    fn a_hash_is_kept_only_when_a_change_would_show() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "a").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let now = SystemTime::now();
        loaded(&path, now);
        assert_eq!(kept(&stamp), None);
        let tag = loaded(&path, now + Duration::from_secs(10)).etag;
        assert_eq!(kept(&stamp), tag);
        // And it is the hash that is found, whatever the content.
        keep(stamp, &HeaderValue::from_static("\"kept\""));
        assert_eq!(loaded(&path, now + Duration::from_secs(10)).etag.unwrap(), "\"kept\"");
        for at in 0..2 * MOST_KEPT as u64 {
            keep(Stamp { inode: at, ..stamp }, &HeaderValue::from_static("\"x\""));
        }
        assert!(KEPT.lock().unwrap().as_ref().unwrap().len() <= MOST_KEPT);
    }

    #[test]
    fn a_large_file_has_a_tag_only_when_a_change_would_show() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![1; HASHED_BYTES as usize + 1]).unwrap();
        let now = SystemTime::now();
        assert_eq!(loaded(&path, now).etag, None);
        let later = now + Duration::from_secs(10);
        let tag = loaded(&path, later).etag;
        assert_eq!(tag, loaded(&path, later).etag);
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        assert_eq!(Some(stamp.tag()), tag);
        for other in [
            Stamp { inode: stamp.inode + 1, ..stamp },
            Stamp { length: stamp.length + 1, ..stamp },
            Stamp { modified: (stamp.modified.0, stamp.modified.1 ^ 1), ..stamp },
            Stamp { changed: (stamp.changed.0 + 1, stamp.changed.1), ..stamp },
        ] {
            assert_ne!(other.tag(), stamp.tag());
        }
    }

    #[test]
    fn a_date_is_sent_only_if_it_tells_something() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "a").unwrap();
        let now = 1_795_423_777;
        for (modified, expected) in [
            (784_111_777, true),
            (now - 4, true),
            (now - 1, false),
            (now, false),
            (now + 100, false),
            (0, false),
            (1, false),
            (315_532_800, false),
            (499_162_500, false),
        ] {
            set_modified(&path, modified);
            let date = loaded(&path, calendar::from_unix(now)).modified;
            assert_eq!(date, expected.then_some(modified), "{modified}");
        }
    }
}

//! The files that git tracks in a repository, from its index. The scan reads them even when a pattern ignores them.
//!
//! Called by `walk`. The author of the tree controls the index, so it is read only as a regular file within bounds. An
//! index in an unknown form (split, or damaged) counts as empty.

use std::path::Path;

use super::ignored;
use crate::regular_file::{self, Links};

/// The largest index that is read, in bytes: enough for a million files.
const MOST_BYTES: u64 = 128 * 1024 * 1024;
/// The length of times, device, inode, mode, owner and size before an entry's hash (gitformat-index).
const BEFORE_HASH: usize = 40;
/// The lengths of SHA-1 and SHA-256, in bytes.
const HASHES: [usize; 2] = [20, 32];

/// The tracked paths, in the order of their bytes.
#[derive(Default)]
pub(super) struct Tracked {
    /// The paths one after another, relative to the repository's folder.
    paths: Vec<u8>,
    /// The end of each path.
    ends: Vec<u32>,
}

impl Tracked {
    /// The tracked paths of the repository with this top folder; none when its index cannot be read.
    pub(super) fn of(folder: &Path) -> Tracked {
        let index = ignored::own_folder(folder).join("index");
        let Ok(contents) = regular_file::read(&index, Links::Followed, MOST_BYTES) else {
            return Tracked::default();
        };
        HASHES.iter().find_map(|hash| read(&contents, *hash)).unwrap_or_default()
    }

    /// Whether git tracks this file.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        let at = self.first_from(path);
        self.path(at) == Some(path)
    }

    /// Whether git tracks a file below this folder.
    pub(super) fn has_below(&self, folder: &[u8]) -> bool {
        let start = [folder, b"/"].concat();
        let at = self.first_from(&start);
        self.path(at).is_some_and(|path| path.starts_with(&start))
    }

    /// The index of the first path that is not before this one.
    fn first_from(&self, path: &[u8]) -> usize {
        let (mut from, mut to) = (0, self.ends.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.path(middle).is_some_and(|known| known < path) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    fn path(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)? as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.paths.get(start..end)
    }

    fn push(&mut self, path: &[u8]) -> Option<()> {
        self.paths.extend_from_slice(path);
        self.ends.push(u32::try_from(self.paths.len()).ok()?);
        Some(())
    }
}

/// Reads an index of version 2, 3 or 4 with hashes of this length; `None` when it is not one.
fn read(contents: &[u8], hash: usize) -> Option<Tracked> {
    let number =
        |at: usize| contents.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    if !contents.starts_with(b"DIRC") {
        return None;
    }
    let version = number(4).filter(|version| (2..=4).contains(version))?;
    let count = number(8)?;
    let mut tracked = Tracked::default();
    let mut path: Vec<u8> = Vec::new();
    let mut at = 12;
    for _ in 0..count {
        let entry = at;
        let flags = contents.get(entry + BEFORE_HASH + hash..entry + BEFORE_HASH + hash + 2)?;
        at = entry + BEFORE_HASH + hash + 2;
        // Version 3 and 4: more flags follow.
        if flags[0] & 0x40 != 0 {
            at += 2;
        }
        if version == 4 {
            let (removed, length) = variable_number(contents.get(at..)?)?;
            at += length;
            path.truncate(path.len().checked_sub(removed)?);
        } else {
            path.clear();
        }
        let rest = contents.get(at..)?;
        let length = memchr::memchr(0, rest)?;
        path.extend_from_slice(&rest[..length]);
        let told = usize::from(u16::from_be_bytes([flags[0], flags[1]]) & 0xfff);
        if path.is_empty() || told < 0xfff && told != path.len() {
            return None;
        }
        at += length + 1;
        if version != 4 {
            // One to eight zero bytes pad the entry to a multiple of eight.
            at = entry + (at - entry).next_multiple_of(8);
        }
        tracked.push(&path)?;
    }
    Some(tracked)
}

/// Reads git's variable-length number of bytes to remove from the previous path; returns it and its own length.
fn variable_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value = (value << 7) + usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
        value += 1;
    }
    None
}

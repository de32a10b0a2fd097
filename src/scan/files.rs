//! The bounded contents of one file. A file that is too large, binary or not a regular file is skipped, with the reason.
//!
//! Knows paths and bytes. Called by `walk`, and by `ignored` for git's own files.

use std::io::Read;
use std::path::Path;

use super::report::Skip;
use crate::regular_file::{self, Links};

/// The largest file that is read: 2 MiB. Code that people write has a tenth of that.
pub(super) const MOST_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// A NUL byte among so many first bytes makes a file binary: git's rule.
const BINARY_PROBE: usize = 8000;

/// Reads a file into `contents`, or returns why it is skipped. It does not follow a link, or wait for a pipe, that has
/// replaced the file since the walk.
pub(super) fn read(path: &Path, contents: &mut Vec<u8>) -> Option<Skip> {
    contents.clear();
    let read = regular_file::open(path, Links::Refused).and_then(|(file, length)| {
        if length > MOST_FILE_BYTES {
            return Ok(Some(Skip::TooLarge(length)));
        }
        file.take(MOST_FILE_BYTES + 1).read_to_end(contents)?;
        Ok(None)
    });
    match read {
        Ok(Some(skip)) => Some(skip),
        Ok(None) if contents.len() as u64 > MOST_FILE_BYTES => Some(Skip::TooLarge(contents.len() as u64)),
        Ok(None) => {
            let probe = &contents[..contents.len().min(BINARY_PROBE)];
            memchr::memchr(0, probe).is_some().then_some(Skip::Binary)
        }
        Err(error) => Some(Skip::Unreadable(error.to_string())),
    }
}

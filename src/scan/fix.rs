//! Rewrites `http://` to `https://` for the named hosts: first as a difference to review, then in the files.
//!
//! Only `http` becomes `https`; every other byte of a file stays, and so do its mode and its owner. A file is replaced
//! whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::files;
use super::report::Report;
use crate::escape;
use crate::Error;

/// How many unchanged lines a difference shows around a change.
const CONTEXT: usize = 3;

/// The changes to a file.
#[derive(Clone, Debug)]
pub struct Fix {
    path: PathBuf,
    shown_path: String,
    before: Vec<u8>,
    /// The positions where `http` becomes `https`, in ascending order.
    places: Vec<usize>,
}

/// The changes for the findings of a report; it reads the files again.
///
/// # Errors
///
/// [`Error::Check`] when a file can no longer be read, or has changed since the scan.
pub fn fixes(root: &Path, report: &Report) -> Result<Vec<Fix>, Error> {
    let mut fixes: Vec<Fix> = Vec::new();
    for found in report.findings.iter().filter(|found| found.can_be_rewritten) {
        let is_same = fixes.last().is_some_and(|fix| fix.shown_path == found.file);
        if !is_same {
            let path = if root.is_dir() { root.join(&found.file) } else { root.to_path_buf() };
            let mut before = Vec::new();
            if let Some(skip) = files::read(&path, &mut before) {
                return Err(fault(&path, skip.reason()));
            }
            fixes.push(Fix { path, shown_path: found.file.clone(), before, places: Vec::new() });
        }
        if let Some(fix) = fixes.last_mut() {
            let expected = format!("http://{}", found.host);
            let is_there = fix
                .before
                .get(found.offset..found.offset + expected.len())
                .is_some_and(|there| there.eq_ignore_ascii_case(expected.as_bytes()));
            if !is_there {
                return Err(changed(&fix.path));
            }
            fix.places.push(found.offset);
        }
    }
    Ok(fixes)
}

fn fault(path: &Path, fault: impl ToString) -> Error {
    Error::Check { what: path.display().to_string(), fault: fault.to_string() }
}

fn changed(path: &Path) -> Error {
    fault(path, "it has changed since the scan; run the check again")
}

impl Fix {
    /// The path of the file from the tree's root, with `/`.
    pub fn file(&self) -> &str {
        &self.shown_path
    }

    /// The number of addresses to rewrite.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    fn after(&self) -> Vec<u8> {
        let mut after = Vec::with_capacity(self.before.len() + self.places.len());
        let mut from = 0;
        for place in &self.places {
            let to = place + "http".len();
            after.extend_from_slice(self.before.get(from..to).unwrap_or_default());
            after.push(b's');
            from = to;
        }
        after.extend_from_slice(self.before.get(from..).unwrap_or_default());
        after
    }

    /// The difference in the unified format, for `patch -p1`, with the file's own bytes. Control characters in the file's
    /// name are escaped, so `patch` does not find such a file.
    pub fn diff(&self) -> Vec<u8> {
        let after = self.after();
        let before: Vec<&[u8]> = self.before.split_inclusive(|byte| *byte == b'\n').collect();
        let after: Vec<&[u8]> = after.split_inclusive(|byte| *byte == b'\n').collect();
        // No line is added or removed, so both sides have the same numbers.
        let changed: Vec<usize> = (0..before.len()).filter(|&line| before[line] != after[line]).collect();
        // A line end in a name could begin the difference of another file.
        let name = escape::line(&self.shown_path);
        let mut text = format!("--- a/{name}\n+++ b/{name}\n").into_bytes();
        let mut next = 0;
        while let Some(&first) = changed.get(next) {
            let mut last = first;
            while let Some(&following) =
                changed.get(next + 1).filter(|&&following| following <= last + 2 * CONTEXT)
            {
                last = following;
                next += 1;
            }
            next += 1;
            let (from, to) = (first.saturating_sub(CONTEXT), (last + CONTEXT + 1).min(before.len()));
            text.extend(format!("@@ -{0},{1} +{0},{1} @@\n", from + 1, to - from).into_bytes());
            let mut line = from;
            while line < to {
                let block = (line..to).take_while(|&at| before[at] != after[at]).count();
                if block == 0 {
                    push_line(&mut text, b' ', before[line]);
                    line += 1;
                    continue;
                }
                for (sign, lines) in [(b'-', &before), (b'+', &after)] {
                    for text_line in lines.iter().skip(line).take(block) {
                        push_line(&mut text, sign, text_line);
                    }
                }
                line += block;
            }
        }
        text
    }

    /// Replaces the file with the rewritten one, if it has not changed.
    ///
    /// # Errors
    ///
    /// [`Error::Check`]; the file is then unchanged.
    pub fn write(&self) -> Result<(), Error> {
        let io_fault = |error: io::Error| fault(&self.path, error);
        let mut now = Vec::new();
        if let Some(skip) = files::read(&self.path, &mut now) {
            return Err(fault(&self.path, skip.reason()));
        }
        if now != self.before {
            return Err(changed(&self.path));
        }
        let metadata = fs::symlink_metadata(&self.path).map_err(io_fault)?;
        if metadata.nlink() > 1 {
            return Err(fault(
                &self.path,
                "it has a second name (a hard link), which would keep the old text; change it by hand",
            ));
        }
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.join(format!(".{name}.lockgate-{}", std::process::id()));
        let written = self.write_beside(&beside, &metadata).and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                // The temporary file is this function's own; a failure to remove it does not change the error.
                let _ = fs::remove_file(&beside);
            }
            io_fault(error)
        })
    }

    fn write_beside(&self, beside: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        file.write_all(&self.after())?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
            let owner = Some(rustix::fs::Uid::from_raw(metadata.uid()));
            let group = Some(rustix::fs::Gid::from_raw(metadata.gid()));
            rustix::fs::fchown(&file, owner, group)
                .map_err(|error| io::Error::other(format!("its owner cannot be kept: {error}")))?;
        }
        file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        file.sync_all()
    }
}

fn push_line(text: &mut Vec<u8>, sign: u8, line: &[u8]) {
    text.push(sign);
    text.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        text.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

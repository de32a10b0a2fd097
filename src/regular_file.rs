//! Opening a regular file, and nothing else.
//!
//! Opening a pipe waits for another program, reading from a device may never end, and opening a device may already have an
//! effect. A path from an option, a setting or a foreign tree of files could so block a server's start, its reloads, and a
//! check. So everything that is not a regular file is refused, and the error names what it is. The kind is checked before and
//! after the file is opened. Knows paths; `tls`, `check` and the command call it.

#![cfg_attr(not(feature = "serve"), allow(dead_code))]

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::backports;

/// How a symbolic link in the place of the file is handled. Links among its parent directories are always followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is followed.
    Followed,
    /// It is an error.
    Refused,
}

/// Opens a file for reading. Returns it with its length in bytes.
///
/// # Errors
///
/// The operating system's error. For something that is not a regular file the error says what it is instead
/// ([`io::ErrorKind::IsADirectory`] or [`io::ErrorKind::Other`]).
pub fn open(path: &Path, links: Links) -> io::Result<(File, u64)> {
    let (found, no_link) = match links {
        Links::Followed => (fs::metadata(path)?, OFlags::empty()),
        Links::Refused => (fs::symlink_metadata(path)?, OFlags::NOFOLLOW),
    };
    refuse_other_kinds(&found)?;
    // Something else may have replaced the file in between.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | no_link;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let opened = file.metadata()?;
    refuse_other_kinds(&opened)?;
    Ok((file, opened.len()))
}

/// Reads a file that has at most `most` bytes.
///
/// # Errors
///
/// As `open`, and when it is larger.
pub fn read(path: &Path, links: Links, most: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open(path, links)?;
    let mut contents = Vec::new();
    file.take(most + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > most {
        let most = match most % (1 << 20) {
            0 => format!("{} MiB", most >> 20),
            _ => format!("{most} bytes"),
        };
        return Err(io::Error::other(format!("it is larger than {most}")));
    }
    Ok(contents)
}

/// As `read`, as text.
///
/// # Errors
///
/// As `read`, and when it is not UTF-8.
pub fn read_text(path: &Path, links: Links, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, links, most)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Opens a file to be locked. Creates it, readable by its owner only, when it does not exist. A link in its place is not
/// followed, because that would create a file wherever the link leads.
///
/// # Errors
///
/// As `open`.
pub fn open_lock(path: &Path) -> io::Result<File> {
    if let Ok(found) = fs::symlink_metadata(path) {
        refuse_other_kinds(&found)?;
    }
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    refuse_other_kinds(&file.metadata()?)?;
    Ok(file)
}

fn refuse_other_kinds(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => return Err(backports::is_a_directory().into()),
        () if kind.is_symlink() => "it is a symbolic link, which is not followed here",
        () if kind.is_fifo() => "it is a pipe, and must be a regular file",
        () if kind.is_socket() => "it is a socket, and must be a regular file",
        () => "it is a device, and must be a regular file",
    };
    Err(io::Error::other(what))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{mknodat, FileType, CWD};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_by_name_and_not_waited_for() {
        let dir = TempDir::new().unwrap();
        let [pipe, socket, link, file] = ["pipe", "socket", "link", "file"].map(|name| dir.path().join(name));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::write(&file, "text").unwrap();
        symlink(&file, &link).unwrap();
        for (path, words) in [
            (pipe.as_path(), "is a pipe"),
            (&socket, "is a socket"),
            (Path::new("/dev/zero"), "is a device"),
            (dir.path(), "is a directory"),
            (&link, "is a symbolic link"),
        ] {
            for error in [open(path, Links::Refused).err(), open_lock(path).err()] {
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(error.contains(words), "{path:?} {error}");
            }
        }
        assert_eq!(read(&link, Links::Followed, 4).unwrap(), b"text");
        assert_eq!(read(&file, Links::Refused, 3).unwrap_err().to_string(), "it is larger than 3 bytes");
    }

    #[test]
    fn a_lock_is_made_for_its_owner_and_keeps_what_is_in_it() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("lock");
        drop(open_lock(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "text").unwrap();
        drop(open_lock(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let (elsewhere, link) = (dir.path().join("elsewhere"), dir.path().join("link"));
        symlink(&elsewhere, &link).unwrap();
        assert!(open_lock(&link).is_err() && !elsewhere.exists());
    }
}

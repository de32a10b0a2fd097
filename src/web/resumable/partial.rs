//! A file of which a part has come, and what is known of it: both on the disk, so that an upload goes on after the server was
//! started again. Knows the file system only; the store of uploads calls it.
//!
//! The state names the offset up to which the file is known to be on the disk. Only that offset is ever told to a client, and
//! what stands behind it after a crash is cut off: a file system may have the length of a file before its bytes.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::regular_file::{self, Links};

/// What the names of these files begin with. No client can choose such a name.
pub(super) const PREFIX: &str = ".lockgate-partial-";
/// What the names of the files with the state end with.
pub(super) const STATE: &str = ".state";
const FIRST_LINE: &str = "lockgate partial upload 1";
/// The largest state, in bytes.
const MOST_STATE_BYTES: u64 = 32 * 1024;

/// An upload that has begun.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    pub state: State,
    /// `None` once the upload is complete.
    pub file: Option<File>,
    /// How much of the file has come. It is at least the state's offset.
    pub offset: u64,
    /// Counts the requests that have taken the upload over, so that those before notice.
    pub generation: u64,
}

/// What the file with the state holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The path of the request that has begun the upload, escaped so that it stands in one line.
    pub target: String,
    /// Up to where the file is on the disk.
    pub offset: u64,
    /// The whole length, if the client has told it.
    pub length: Option<u64>,
    /// When it has begun, in seconds since 1970.
    pub created: i64,
    /// The field `Repr-Digest` of the request that has begun it.
    pub digest: Option<String>,
    pub is_complete: bool,
}

impl Partial {
    pub(super) fn create(dir: &Path, id: &str, state: State) -> io::Result<Partial> {
        let path = dir.join(format!("{PREFIX}{id}"));
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let partial = Partial { path, state, file: Some(file), offset: 0, generation: 0 };
        match partial.write_state() {
            Ok(()) => Ok(partial),
            Err(error) => {
                partial.remove();
                Err(error)
            }
        }
    }

    /// An upload that an earlier process has begun.
    pub(super) fn load(dir: &Path, id: &str) -> io::Result<Partial> {
        let path = dir.join(format!("{PREFIX}{id}"));
        let text = regular_file::read_text(&state_path(&path), Links::Refused, MOST_STATE_BYTES)?;
        let state =
            State::read(&text).ok_or_else(|| io::Error::other("the state of an upload cannot be read"))?;
        let offset = state.offset;
        if state.is_complete {
            let _ = fs::remove_file(&path);
            return Ok(Partial { path, state, file: None, offset, generation: 0 });
        }
        let (_, length) = regular_file::open(&path, Links::Refused)?;
        if length < offset {
            return Err(io::Error::other("an upload has lost its end"));
        }
        let file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
        file.set_len(offset)?;
        Ok(Partial { path, state, file: Some(file), offset, generation: 0 })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(ErrorKind::NotFound)?;
        file.seek(SeekFrom::Start(self.offset))?;
        file.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Waits until all that has come is on the disk, and notes it.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            if self.state.offset != self.offset {
                file.sync_data()?;
                self.state.offset = self.offset;
            }
        }
        self.write_state()
    }

    /// Takes back what has come behind this offset.
    pub(super) fn cut(&mut self, offset: u64) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.set_len(offset)?;
        }
        self.offset = offset;
        self.sync()
    }

    /// Marks the upload as complete. The file is given away, with its name.
    pub(super) fn complete(&mut self) -> io::Result<(String, File)> {
        self.state.is_complete = true;
        self.state.offset = self.offset;
        self.write_state()?;
        let file = self.file.take().ok_or(ErrorKind::NotFound)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, file))
    }

    /// Removes the file and its state.
    pub(super) fn remove(&self) {
        for path in [self.path.clone(), state_path(&self.path)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    log::warn!("{}: is left over and cannot be removed: {error}", crate::escape::path(&path));
                }
                _ => {}
            }
        }
    }

    /// Replaces the state in one step.
    fn write_state(&self) -> io::Result<()> {
        let path = state_path(&self.path);
        let draft = path.with_extension("state-new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(self.state.write().as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

fn state_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(STATE);
    PathBuf::from(name)
}

impl State {
    /// A line for each member. The values hold no line ends: the target is escaped, and the digest is a field's value.
    fn write(&self) -> String {
        let length = self.length.map_or("-".to_string(), |length| length.to_string());
        let State { target, offset, created, is_complete, .. } = self;
        let digest = self.digest.as_deref().unwrap_or("-");
        format!("{FIRST_LINE}\n{target}\n{offset}\n{length}\n{created}\n{is_complete}\n{digest}\nend\n")
    }

    fn read(text: &str) -> Option<State> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [FIRST_LINE, target, offset, length, created, is_complete, digest, "end", ""] = *lines else {
            return None;
        };
        Some(State {
            target: target.to_string(),
            offset: offset.parse().ok()?,
            length: if length == "-" { None } else { Some(length.parse().ok()?) },
            created: created.parse().ok()?,
            digest: (digest != "-").then(|| digest.to_string()),
            is_complete: is_complete.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn state() -> State {
        let target = "/upload/a".to_string();
        State {
            target,
            offset: 0,
            length: Some(10),
            created: 7,
            digest: Some("sha-256=:AA==:".into()),
            is_complete: false,
        }
    }

    #[test]
    fn what_is_not_known_to_be_on_the_disk_is_cut_off_after_a_crash() {
        let dir = TempDir::new().unwrap();
        let mut partial = Partial::create(dir.path(), "1", state()).unwrap();
        partial.append(b"abc").unwrap();
        partial.sync().unwrap();
        partial.append(b"def").unwrap();
        drop(partial);
        let mut loaded = Partial::load(dir.path(), "1").unwrap();
        assert_eq!((loaded.offset, &loaded.state), (3, &State { offset: 3, ..state() }));
        assert_eq!(loaded.file.as_ref().unwrap().metadata().unwrap().len(), 3);
        loaded.append(b"DEF").unwrap();
        loaded.cut(4).unwrap();
        let (name, _) = loaded.complete().unwrap();
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"abcD");
        // Complete: the file is nobody's any more.
        let loaded = Partial::load(dir.path(), "1").unwrap();
        assert!(loaded.state.is_complete && loaded.file.is_none());
        loaded.remove();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_state_that_is_damaged_is_an_error() {
        let whole = state().write();
        assert_eq!(State::read(&whole), Some(state()));
        for length in 0..whole.len() {
            assert_eq!(State::read(&whole[..length]), None);
        }
        let dir = TempDir::new().unwrap();
        let mut partial = Partial::create(dir.path(), "1", state()).unwrap();
        partial.append(b"abc").unwrap();
        partial.sync().unwrap();
        partial.file.as_ref().unwrap().set_len(2).unwrap();
        assert!(Partial::load(dir.path(), "1").is_err());
    }
}

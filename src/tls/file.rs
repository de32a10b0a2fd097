//! Reads PEM files, in bounded size, and warns when others may read a private key.
//!
//! Knows paths and modes, nothing of what the files hold. `load`, `chain` and `client_auth` call it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, IdentityFault};
use crate::escape;
use crate::finding::shell_word;
use crate::regular_file::{self, Links};

/// The largest file that is read for a certificate or a key: 1 MiB. Real files hold a few kilobytes. The bound protects against
/// a path to something else, such as a log.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    open(path).and_then(|file| contents(&file, path))
}

/// Reads a private key's whole file. Warns when others than its owner may read or write it.
pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    if let Some(loose) = loose_mode(&file) {
        log::warn!("{}", loose.warning(path));
    }
    contents(&file, path)
}

/// The mode of a private key's file, if it lets others read or write it.
pub(crate) fn loose_mode_of(path: &Path) -> Option<LooseMode> {
    open(path).ok().and_then(|file| loose_mode(&file))
}

/// The mode of a private key's file that others than its owner may read or write, with its owner and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LooseMode {
    mode: u32,
    owner: u32,
    group: u32,
    /// The user and group of this process.
    user: u32,
    users_group: u32,
}

const ROOT: u32 = 0;

impl LooseMode {
    /// A key that root owns and its group may read is fine: services that run as their own user get keys this way (systemd's
    /// credentials, fsGroup in Kubernetes, the group ssl-cert).
    fn is_loose(self) -> bool {
        let forbidden = if self.owner == ROOT { 0o026 } else { 0o066 };
        self.mode & forbidden != 0
    }

    /// What was seen, as a clause.
    pub(crate) fn seen(self) -> String {
        let mode = self.mode;
        match (mode & 0o006, self.owner) {
            (0, ROOT) => format!("its group may write this private key (mode {mode:04o})"),
            _ => format!("others than its owner may read or write this private key (mode {mode:04o})"),
        }
    }

    /// As [`seen`](LooseMode::seen), of a file of ticket keys.
    #[cfg(feature = "operations")]
    pub(crate) fn seen_of_ticket_keys(self) -> String {
        self.seen().replace("this private key", "these ticket keys")
    }

    /// The command that closes the file to others and keeps it readable for this program.
    pub(crate) fn fix(self, path: &Path) -> String {
        let file = shell_word(path);
        let Self { owner, group, user, users_group, .. } = self;
        match owner {
            // No other user is in that group.
            ROOT if user == ROOT && group == ROOT => format!("chmod 600 {file}"),
            ROOT if user == ROOT || group == users_group => format!("chmod 640 {file}"),
            ROOT => format!("chgrp {users_group} {file} && chmod 640 {file}"),
            _ if user == ROOT || owner == user => format!("chmod 600 {file}"),
            _ => format!("chown {user} {file} && chmod 600 {file}"),
        }
    }

    fn warning(self, path: &Path) -> String {
        format!("{}: {}; run: {}", escape::path(path), self.seen(), self.fix(path))
    }
}

/// Warns when others than its owner may read or write a private key's file. Ignores a file that cannot be opened.
#[cfg(any(feature = "device", feature = "proxy"))]
pub fn report_mode(key: &Path) {
    if let Some(loose) = loose_mode_of(key) {
        log::warn!("{}", loose.warning(key));
    }
}

fn open(path: &Path) -> Result<File, Error> {
    // certbot and Kubernetes replace files by changing links.
    regular_file::open(path, Links::Followed).map(|(file, _)| file).map_err(|error| fault(path, error))
}

fn contents(file: &File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut contents = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents).map_err(|error| fault(path, error))?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        let what = "it is larger than 1 MiB; give the path of the PEM file, which holds a few kilobytes";
        return Err(Error::identity(path.to_path_buf(), IdentityFault::Malformed(what.to_string())));
    }
    Ok(contents)
}

fn fault(path: &Path, error: io::Error) -> Error {
    let fault = match error.kind() {
        io::ErrorKind::NotFound => IdentityFault::Missing,
        _ => IdentityFault::Unreadable(error),
    };
    Error::identity(path.to_path_buf(), fault)
}

/// Reads the mode from the open file, so that it belongs to the key that is read.
#[cfg(unix)]
fn loose_mode(file: &File) -> Option<LooseMode> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let found = LooseMode {
        mode: metadata.permissions().mode() & 0o7777,
        owner: metadata.uid(),
        group: metadata.gid(),
        user: rustix::process::geteuid().as_raw(),
        users_group: rustix::process::getegid().as_raw(),
    };
    found.is_loose().then_some(found)
}

#[cfg(not(unix))]
fn loose_mode(_file: &File) -> Option<LooseMode> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_way_out() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, words) in [
            (dir.path().join("none"), ["no such file", "give the path of an existing PEM file"]),
            (dir.path().to_path_buf(), ["is a directory", "give the path of the PEM file in it"]),
            (file.join("below"), ["cannot be read", "give the path of a PEM file"]),
        ] {
            for message in [read(&path), read_key(&path)].map(|result| result.unwrap_err().to_string()) {
                assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
                assert!(words.iter().all(|words| message.contains(words)), "{message}");
            }
        }
        // Root may run the tests and can read everything, so the error is made by hand.
        let denied = fault(&file, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied
            .ends_with("file: this user may not read it; make the user that runs this program its owner"));
    }

    #[test]
    fn a_file_is_read_up_to_the_bound_and_not_beyond() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("large");
        fs::write(&path, vec![b'\n'; MAX_FILE_BYTES as usize]).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_FILE_BYTES);
        fs::write(&path, vec![b'\n'; MAX_FILE_BYTES as usize + 1]).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("larger than 1 MiB; give the path of the PEM file"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_get_at_is_warned_of_with_its_mode_and_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "").unwrap();
        let warning = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            loose_mode_of(&path).map(|loose| loose.warning(&path))
        };
        for mode in [0o604, 0o620, 0o602, 0o644, 0o660, 0o777] {
            let warning = warning(mode).unwrap();
            assert!(warning.starts_with(&format!("{}: ", path.display())), "{warning}");
            assert!(warning.contains(&format!("mode {mode:04o}")), "{warning}");
            // The file's owner runs this test.
            assert!(warning.ends_with(&format!("chmod 600 {}", path.display())), "{warning}");
        }
        for mode in [0o600, 0o400, 0o711] {
            assert_eq!(warning(mode), None, "{mode:o}");
        }
    }

    #[test]
    fn a_key_of_root_that_its_group_may_read_is_in_order_and_no_remedy_takes_it_from_the_service() {
        let loose = |mode, owner, group, user, users_group| {
            let found = LooseMode { mode, owner, group, user, users_group };
            found.is_loose().then(|| found.fix(Path::new("k")))
        };
        for (mode, user, users_group) in
            [(0o440, 1000, 1000), (0o640, 1000, 112), (0o440, 0, 0), (0o640, 0, 0)]
        {
            assert_eq!(loose(mode, 0, 112, user, users_group), None, "{mode:o}");
        }
        for (mode, owner, group, user, users_group, fix) in [
            // The service reads it through its group, whichever user runs this.
            (0o444, 0, 112, 1000, 112, "chmod 640 k"),
            (0o660, 0, 112, 1000, 112, "chmod 640 k"),
            (0o644, 0, 112, 0, 0, "chmod 640 k"),
            (0o644, 0, 0, 0, 0, "chmod 600 k"),
            // This user reads it only because everybody may.
            (0o644, 0, 0, 1000, 1000, "chgrp 1000 k && chmod 640 k"),
            (0o640, 1000, 1000, 1000, 1000, "chmod 600 k"),
            (0o640, 1000, 1000, 0, 0, "chmod 600 k"),
            (0o640, 1001, 112, 1000, 112, "chown 1000 k && chmod 600 k"),
        ] {
            assert_eq!(loose(mode, owner, group, user, users_group).as_deref(), Some(fix), "{mode:o}");
        }
    }
}

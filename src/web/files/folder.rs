//! Files below a folder of the disk. `Files` calls it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ::http::StatusCode;
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::found::{Found, Item};
use super::path::{is_plain, is_served};
use crate::handler_call;
use crate::web::disk;
use crate::web::open_below::{is_absent, open, open_root};

/// The most names on a folder's page.
const MOST_ITEMS: usize = 10_000;

pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Folder {
        Folder { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The error is the status of the answer; what happened is in the log.
    pub(super) fn find(&self, path: &str) -> Result<Found, StatusCode> {
        let Some(file) = self.open(path)? else { return Ok(Found::Nothing) };
        let metadata = file.metadata().map_err(|error| self.failed(path, &error))?;
        if metadata.is_dir() {
            return Ok(Found::Folder);
        }
        // A pipe, a socket or a device.
        if !metadata.is_file() {
            return Ok(Found::Nothing);
        }
        let loaded = disk::load(file, &metadata, SystemTime::now());
        loaded.map(Found::File).map_err(|error| self.failed(path, &error))
    }

    /// What is in a folder, as far as it can be asked for; `None` when there is no such folder.
    pub(super) fn list(&self, path: &str) -> Result<Option<Vec<Item>>, StatusCode> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        if !file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(None);
        }
        let mut items = Vec::new();
        let entries = Dir::read_from(&file).map_err(|error| self.failed(path, &error.into()))?;
        for entry in entries.take(MOST_ITEMS) {
            let entry = entry.map_err(|error| self.failed(path, &error.into()))?;
            // Paths are UTF-8, so other names cannot be asked for.
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_well_known = path.is_empty() && is_served(name);
            if (is_well_known || !name.starts_with('.')) && is_plain(name) {
                let is_file = entry.file_type() != FileType::Directory;
                items.push(Item { is_file, name: name.to_string() });
            }
        }
        items.sort();
        Ok(Some(items))
    }

    fn open(&self, path: &str) -> Result<Option<File>, StatusCode> {
        let root = open_root(&self.root).map_err(|error| self.failed("", &error.into()))?;
        match open(&root, path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(self.failed(path, &error.into())),
        }
    }

    /// Notes a failure of the system in the log. Returns the status of the answer.
    fn failed(&self, path: &str, error: &io::Error) -> StatusCode {
        let file = self.root.join(path);
        let file = file.display();
        handler_call::note("a file cannot be read", format_args!("could not read {file}: {error}"));
        status_of(error)
    }
}

/// 503 when the system has too few resources, and 500 for everything else.
fn status_of(error: &io::Error) -> StatusCode {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

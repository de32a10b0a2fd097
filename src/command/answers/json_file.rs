//! A file of JSON that answers GET at one path. It is read at start, and again when it has changed; a wrong file leaves the last good
//! one in use. Knows files and responses. The router of `serve` has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use lockgate::internal::regular_file::{self, Links};
use lockgate::{Request, Response};
use serde_core::de::IgnoredAny;

/// It is kept in memory, and copied for each answer.
const MOST_BYTES: u64 = 1 << 20;

/// The file, and what it held when it was last read.
pub(super) struct JsonFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// What the file looked like when it was last looked at.
    stamp: Option<Stamp>,
    contents: Arc<[u8]>,
}

/// Changes when a file is written or replaced.
type Stamp = (Option<SystemTime>, u64, u64);

impl JsonFile {
    /// Reads the file. An error says what is wrong, with the line and the column if it is not JSON.
    pub(super) fn open(path: &Path) -> Result<JsonFile, String> {
        let stamp = stamp(path);
        let contents = read(path)?;
        Ok(JsonFile { path: path.to_path_buf(), state: Mutex::new(State { stamp, contents }) })
    }

    pub(super) fn answer(&self, request: &Request<'_>) -> Response {
        Response::bytes(self.contents().to_vec())
            .with_header("content-type", "application/json")
            .with_header("cache-control", "no-cache")
            .with_etag(request)
    }

    fn contents(&self) -> Arc<[u8]> {
        let now = stamp(&self.path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamp != now {
            state.stamp = now;
            match read(&self.path) {
                Ok(contents) => state.contents = contents,
                Err(fault) => {
                    log::error!("{}: {fault}; its last good contents stay in use", self.path.display())
                }
            }
        }
        state.contents.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok(), found.len(), found.ino()))
}

fn read(path: &Path) -> Result<Arc<[u8]>, String> {
    let bytes = fs::metadata(path).map_or(0, |found| found.len());
    if bytes > MOST_BYTES {
        return Err(format!(
            "has {bytes} bytes, and a JSON file that answers has at most 1 MiB; --files DIR serves files of any size"
        ));
    }
    let contents = regular_file::read_text(path, Links::Followed, MOST_BYTES)
        .map_err(|error| format!("cannot be read: {error}; give the path of a JSON file"))?;
    // serde_json says the line and the column.
    serde_json::from_str::<IgnoredAny>(&contents).map_err(|error| format!("is not JSON: {error}"))?;
    Ok(contents.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(file: &JsonFile) -> String {
        String::from_utf8(file.answer(&Request::get("/")).into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn a_file_is_answered_as_it_is_and_read_again_when_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        fs::write(&path, "{\"on\": true}\n").unwrap();
        let file = JsonFile::open(&path).unwrap();
        assert_eq!(body(&file), "{\"on\": true}\n");
        let response = file.answer(&Request::get("/"));
        assert_eq!(response.header("content-type").unwrap(), "application/json");
        let etag = response.header("etag").unwrap().to_str().unwrap().to_string();
        assert_eq!(file.answer(&Request::get("/").with_header("if-none-match", &etag)).status(), 304);
        fs::write(&path, "[1, 2, 3]").unwrap();
        assert_eq!(body(&file), "[1, 2, 3]");
        for wrong in ["[1, 2,", "", "\u{feff}{}"] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(body(&file), "[1, 2, 3]", "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(body(&file), "[1, 2, 3]");
        fs::write(&path, "null").unwrap();
        assert_eq!(body(&file), "null");
    }

    #[test]
    fn a_wrong_file_is_an_error_with_the_line_and_the_column() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        for (contents, words) in [
            ("{\n  \"a\": 1,\n}", "is not JSON: key must be a string at line 3 column 1"),
            ("", "is not JSON: EOF while parsing a value at line 1 column 0"),
            ("{} {}", "line 1 column 4"),
            ("\"\\x\"", "line 1 column 3"),
        ] {
            fs::write(&path, contents).unwrap();
            let fault = JsonFile::open(&path).err().unwrap();
            assert!(fault.contains(words), "{contents}: {fault}");
        }
        let large = format!("\"{}\"", "x".repeat(MOST_BYTES as usize - 2));
        fs::write(&path, &large).unwrap();
        assert!(JsonFile::open(&path).is_ok());
        fs::write(&path, large + "\n").unwrap();
        let fault = JsonFile::open(&path).err().unwrap();
        assert!(fault.starts_with("has 1048577 bytes") && fault.contains("1 MiB; --files DIR"), "{fault}");
        for missing in [dir.path().join("none"), dir.path().to_path_buf()] {
            let fault = JsonFile::open(&missing).err().unwrap();
            assert!(fault.contains("cannot be read") && fault.contains("give the path"), "{fault}");
        }
    }
}

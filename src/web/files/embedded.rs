//! Files that stand in the program. `Files` calls it.

use std::sync::OnceLock;

use ::http::HeaderValue;

use super::found::{Found, Item};
use super::path::is_served;
use crate::sort::sort_by;
use crate::web::content::Content;
use crate::web::disk::Loaded;
use crate::web::tag;

/// The files, sorted by their paths.
pub(super) struct Embedded {
    files: Vec<Entry>,
}

struct Entry {
    path: String,
    bytes: &'static [u8],
    /// Made when it is first needed.
    etag: OnceLock<HeaderValue>,
}

impl Embedded {
    pub(super) fn new(files: impl Iterator<Item = (String, &'static [u8])>) -> Embedded {
        let entries = files.map(|(path, bytes)| {
            let path = path.trim_start_matches("./").trim_start_matches('/').to_string();
            Entry { path, bytes, etag: OnceLock::new() }
        });
        let mut files: Vec<Entry> = entries.collect();
        // The sort is stable, and of two files with one path an archive's later one counts.
        files.reverse();
        sort_by(&mut files, |one, other| one.path.cmp(&other.path));
        files.dedup_by(|one, other| one.path == other.path);
        Embedded { files }
    }

    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    pub(super) fn find(&self, path: &str) -> Found {
        let Ok(at) = self.files.binary_search_by(|file| file.path.as_str().cmp(path)) else {
            return if self.below(path).next().is_some() { Found::Folder } else { Found::Nothing };
        };
        let file = &self.files[at];
        let etag = Some(file.etag.get_or_init(|| tag::of_bytes(file.bytes)).clone());
        Found::File(Loaded {
            content: Content::Static(file.bytes),
            stamp: None,
            etag,
            modified: None,
            written: 0,
        })
    }

    /// What is in a folder; `None` when there is no such folder.
    pub(super) fn list(&self, folder: &str) -> Option<Vec<Item>> {
        let mut items: Vec<Item> = self
            .below(folder)
            .filter(|path| is_served(path))
            .map(|path| match path.split_once('/') {
                Some((name, _)) => Item { is_file: false, name: name.to_string() },
                None => Item { is_file: true, name: path.to_string() },
            })
            .collect();
        items.dedup();
        (!items.is_empty()).then_some(items)
    }

    /// The paths below a folder, from there.
    fn below<'e>(&'e self, folder: &'e str) -> impl Iterator<Item = &'e str> {
        let of_folder = move |path: &'e str| match folder {
            "" => Some(path),
            folder => path.strip_prefix(folder)?.strip_prefix('/'),
        };
        let start = self.files.partition_point(|file| file.path.as_str() < folder);
        // Paths such as `a-b` and `a.b` stand between `a` and `a/b`.
        let files = self.files[start..].iter().map(|file| file.path.as_str());
        files.take_while(move |path| path.starts_with(folder)).filter_map(of_folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(paths: &[&str]) -> Embedded {
        Embedded::new(
            paths.iter().map(|path| ((*path).to_string(), path.as_bytes().to_vec().leak() as &[u8])),
        )
    }

    #[test]
    fn a_path_names_a_file_or_a_folder_or_nothing() {
        let files = embedded(&["./index.html", "a/b", "a-b", "a.b", "/a/c/d", "index.html"]);
        let kind = |path: &str| match files.find(path) {
            Found::File(file) => format!("file of {}", file.content.length()),
            Found::Folder => "folder".to_string(),
            Found::Nothing => "nothing".to_string(),
        };
        for (path, expected) in [
            ("index.html", "file of 10"),
            ("a/b", "file of 3"),
            ("a", "folder"),
            ("a/c", "folder"),
            ("a/c/d", "file of 6"),
            ("", "folder"),
            ("a/", "nothing"),
            ("b", "nothing"),
            ("a/b/c", "nothing"),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
        assert_eq!(files.count(), 5);
    }

    #[test]
    fn a_folder_lists_what_is_in_it_once() {
        let files = embedded(&["a/b/1", "a/b/2", "a/c", "a/.hidden", "b", ".git/x"]);
        let names = |folder: &str| -> Option<Vec<String>> {
            Some(files.list(folder)?.into_iter().map(|item| item.name).collect())
        };
        assert_eq!(names("a").unwrap(), ["b", "c"]);
        assert_eq!(names("").unwrap(), ["a", "b"]);
        assert_eq!((names("c"), names("b")), (None, None));
    }
}

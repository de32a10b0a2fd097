//! What a path names among the files that are served. `folder` and `embedded` find it, and `Files` answers with it.

use crate::web::disk::Loaded;

pub(super) enum Found {
    File(Loaded),
    Folder,
    Nothing,
}

/// A line of a folder's page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    /// Folders come first.
    pub is_file: bool,
    pub name: String,
}

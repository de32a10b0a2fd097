//! Where a setting was given: on the command line, in the environment or in a file. A value that knows nothing. Failures say by it
//! what is wrong where.

use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// With the option as it is spelled there.
    CommandLine(String),
    Environment(String),
    File {
        path: PathBuf,
        line: usize,
        name: String,
    },
}

//! What a build can check, as a value: a kind of check says what the help says of it, which findings it knows, and how to
//! look. `check` has a list of them, because a build may lack one.

use std::process::ExitCode;

use lockgate::Severity;

use crate::command::arguments::Arguments;
use crate::command::failure::Failure;

/// The `schema` of every report in JSON.
pub(super) const SCHEMA: &str = "lockgate.check/1";

pub(super) struct Kind {
    pub help: &'static str,
    pub look: fn(&Arguments) -> Result<ExitCode, Failure>,
    /// Id, severity and a few words about every finding.
    pub findings: fn() -> Vec<(&'static str, Severity, &'static str)>,
    /// The long text about the finding with this id.
    pub explain: fn(&str) -> Option<String>,
}

#[cfg(all(test, feature = "check"))]
mod tests {
    #[test]
    fn reports_of_both_kinds_have_one_schema() {
        assert_eq!(super::SCHEMA, lockgate::check::SCHEMA);
    }
}

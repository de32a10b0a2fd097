//! The table of the ways in which programs switch the check of certificates off. When two idioms have the same word, the
//! first one that fits a place is the finding.

mod compiled;
mod managed;
mod scripting;
mod tools;

use super::idiom::Idiom;

/// All idioms.
pub(in crate::scan) fn idioms() -> impl Iterator<Item = &'static Idiom> {
    [scripting::SCRIPTING, compiled::COMPILED, managed::MANAGED, tools::TOOLS].into_iter().flatten()
}

//! The table of the ways in which programs switch the check of certificates off. Of two idioms with one word, the first
//! that fits a place is the finding.

mod compiled;
mod managed;
mod scripting;
mod tools;

use super::{Idiom, Test, Where};
use crate::scan::findings::Explanation;
use crate::scan::languages::{Language, Languages};

const CONFIGURATION: Languages = Languages::CONFIGURATION;
const ALL: Languages = Languages::ALL;

/// All of them.
pub(in crate::scan) fn idioms() -> impl Iterator<Item = &'static Idiom> {
    [scripting::SCRIPTING, compiled::COMPILED, managed::MANAGED, tools::TOOLS].into_iter().flatten()
}

const fn of(languages: &[Language]) -> Languages {
    Languages::of(languages)
}

/// A setting of a library, as it stands in code.
const fn setting(
    needle: &'static str,
    words: &'static [&'static str],
    languages: Languages,
    test: Test,
    kind: &'static Explanation,
    fix: &'static str,
) -> Idiom {
    Idiom { needle, words, languages, place: Where::Code, test, kind, fix }
}

/// What may also stand in a string, as commands and environments do.
const fn text(
    needle: &'static str,
    words: &'static [&'static str],
    languages: Languages,
    test: Test,
    kind: &'static Explanation,
    fix: &'static str,
) -> Idiom {
    Idiom { place: Where::Text, ..setting(needle, words, languages, test, kind, fix) }
}

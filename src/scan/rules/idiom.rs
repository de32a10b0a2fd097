//! One entry of the table of idioms, and the test whether it fits a place.
//!
//! Knows places, and the rules about commands and callbacks. The files of `idioms` make entries, and `search` tests them.

use super::{callbacks, commands};
use crate::scan::findings::Explanation;
use crate::scan::languages::{Language, Languages};
use crate::scan::place::{Place, Value};
use crate::scan::tokens::Kind;

pub(super) const CONFIGURATION: Languages = Languages::CONFIGURATION;
pub(super) const ALL: Languages = Languages::ALL;

/// One way to switch the check of certificates off.
pub(in crate::scan) struct Idiom {
    /// The text that is searched for.
    pub needle: &'static str,
    /// The whole words that it may be a part of; when empty, it must be a word of its own.
    pub words: &'static [&'static str],
    pub languages: Languages,
    pub place: Where,
    pub test: Test,
    pub kind: &'static Explanation,
    /// How to put it right in this language.
    pub fix: &'static str,
}

/// Among an idiom's words: any word that contains the needle.
pub(in crate::scan) const ANY_WORD: &str = "*";

/// Where the word must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::scan) enum Where {
    /// In code, or in quotes by itself as a key.
    Code,
    /// Also inside a string: a command, a URL's parameter.
    Text,
}

/// What makes the word a finding.
pub(in crate::scan) enum Test {
    /// It is set to false.
    Off,
    /// It is set to true.
    On,
    /// It is there, and is neither imported nor declared.
    Used,
    /// Another condition holds.
    Also(fn(&Place<'_>) -> bool),
    OffAnd(fn(&Place<'_>) -> bool),
    OnAnd(fn(&Place<'_>) -> bool),
}

impl Idiom {
    /// Whether this place is a finding.
    pub(in crate::scan) fn is_at(&self, place: &Place<'_>) -> bool {
        if !self.languages.has(place.source.language) {
            return false;
        }
        let fits = match place.region.kind {
            Kind::Comment | Kind::Documentation => false,
            // In YAML most text that is not a string is a sentence or a command.
            Kind::Code => self.place == Where::Text || commands::is_a_key(place),
            Kind::String => {
                self.place == Where::Text || place.is_quoted() && !matches!(self.test, Test::Used)
            }
        };
        let is_the_word = || match self.words {
            [] => place.word_is(&[self.needle]),
            [ANY_WORD] => true,
            words => place.word_is(words),
        };
        fits && is_the_word()
            && match self.test {
                Test::Off => place.value() == Value::False,
                Test::On => place.value() == Value::True,
                Test::Used => !place.is_imported_or_declared() && !callbacks::is_conditional(place),
                Test::Also(test) => test(place),
                Test::OffAnd(test) => place.value() == Value::False && test(place),
                Test::OnAnd(test) => place.value() == Value::True && test(place),
            }
    }
}

pub(super) const fn of(languages: &[Language]) -> Languages {
    Languages::of(languages)
}

/// A setting of a library, as it stands in code.
pub(super) const fn setting(
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
pub(super) const fn text(
    needle: &'static str,
    words: &'static [&'static str],
    languages: Languages,
    test: Test,
    kind: &'static Explanation,
    fix: &'static str,
) -> Idiom {
    Idiom { place: Where::Text, ..setting(needle, words, languages, test, kind, fix) }
}

//! What is looked for: a word to find, the languages it means something in, and what has to stand around it.
//!
//! The words are found in one pass over a file by `scan`; what is written here decides whether one is a finding.

mod bodies;
pub(super) mod callbacks;
pub(super) mod candidates;
mod commands;
mod configuration;
mod context;
pub(super) mod evidence;
mod fetchers;
mod idioms;
mod keys;
mod mentions;
mod node;
pub(super) mod openapi;
pub(super) mod urls;
mod wrappers;

use super::findings::Explanation;
use super::languages::Languages;
use super::place::{Place, Value};
use super::tokens::Kind;

pub(super) use commands::insecure_lines_of_curlrc;
pub(super) use idioms::idioms;

/// One way to switch the check of certificates off.
pub(super) struct Idiom {
    /// What stands in the file in every case.
    pub needle: &'static str,
    /// The whole words that it may be a part of; it alone, if there are none.
    pub words: &'static [&'static str],
    pub languages: Languages,
    pub place: Where,
    pub test: Test,
    pub kind: &'static Explanation,
    /// How to mend it in this language.
    pub fix: &'static str,
}

/// Among an idiom's words: whatever the needle is a part of.
pub(super) const ANY_WORD: &str = "*";

/// Where the word has to stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// In code, or in quotes by itself as a key.
    Code,
    /// Also within a string: a command, a URL's parameter.
    Text,
}

/// What makes the word a finding.
pub(super) enum Test {
    /// It is set to false.
    Off,
    /// It is set to true.
    On,
    /// It stands there, and is neither imported nor declared.
    Used,
    /// Something else has to be so.
    Also(fn(&Place<'_>) -> bool),
    OffAnd(fn(&Place<'_>) -> bool),
    OnAnd(fn(&Place<'_>) -> bool),
}

impl Idiom {
    /// Whether this is one.
    pub(super) fn is_at(&self, place: &Place<'_>) -> bool {
        if !self.languages.has(place.source.language) {
            return false;
        }
        let fits = match place.region.kind {
            Kind::Comment | Kind::Documentation => false,
            // In YAML most of what is no string is a sentence or a command.
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

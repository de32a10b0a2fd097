//! What a command is, and what a list of commands can be asked: the parser, the help, the settings and the tests read it.
//!
//! Knows no command. Each command describes itself in a [`Spec`] in its own file, and `registry` lists them.

use std::fmt;
use std::process::ExitCode;

use super::arguments::Arguments;
use super::exit::{Code, Meaning};
use super::failure::Failure;
use super::option::{Opt, Table};

/// What a command is.
pub(super) struct Spec {
    /// One word, or two with a space between: the first is then the name of a group.
    pub name: &'static str,
    /// What stands after the name, as the help shows it.
    pub synopsis: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The help beside the options, in pieces that follow each other.
    pub text: &'static [&'static str],
    pub operands: Operands,
    pub options: &'static [Table],
    pub settings: Settings,
    /// Every code that it ends with.
    pub exit_codes: &'static [Meaning],
    /// What a wrong command line ends with.
    pub usage_code: Code,
    pub run: fn(&Arguments) -> Result<ExitCode, Failure>,
}

/// What stands on the command line beside options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    None,
    Some {
        /// What stands for each in the help: `FILE`.
        name: &'static str,
        /// What each is, for an error message: "a PEM file".
        what: &'static str,
        least: usize,
        most: usize,
    },
}

/// Whether a command takes settings from a file and the environment too, beside the command line.
// A build without `check` checks no settings.
#[cfg_attr(not(feature = "check"), allow(dead_code))]
pub(super) enum Settings {
    /// It does not.
    None,
    /// Of its own options.
    Own,
    /// It checks those of another command, when it has no operand and one of these options is given.
    Checked { of: &'static Spec, when: &'static [&'static str] },
}

/// A part of the command that a build may lack: a feature of the crate, and what only a build with it can do.
pub(super) struct Part {
    pub feature: &'static str,
    pub is_built: bool,
    /// The commands that it brings, or that it gives options to.
    pub commands: &'static [&'static str],
    pub options: &'static [&'static str],
    /// What naming one of them ends with.
    pub usage_code: Code,
}

/// The commands that there are, and the parts that may be missing.
#[derive(Clone, Copy)]
pub(super) struct Commands {
    /// The commands that users meet first come first.
    pub all: &'static [&'static Spec],
    pub parts: &'static [Part],
}

impl Spec {
    pub(super) fn options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().flat_map(Table::options)
    }

    /// A command line of this command, as the help shows it.
    pub(super) fn usage(&self) -> String {
        format!("lockgate {} {}", self.name, self.synopsis)
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Commands {
    pub(super) fn named(self, name: &str) -> Option<&'static Spec> {
        self.all.iter().copied().find(|command| command.name == name)
    }

    /// The commands whose first word this is; none unless they have a second.
    pub(super) fn of_group(self, word: &str) -> impl Iterator<Item = &'static Spec> + '_ {
        let is_of_group =
            move |command: &&Spec| command.name.split_once(' ').is_some_and(|(first, _)| first == word);
        self.all.iter().copied().filter(is_of_group)
    }

    /// The features that this build lacks, without which there is no such command.
    pub(super) fn not_built(self, name: &str) -> Option<Failure> {
        let parts: Vec<&Part> = self.missing().filter(|part| part.commands.contains(&name)).collect();
        let features: Vec<&str> = parts.iter().map(|part| part.feature).collect();
        Some(Failure::new(parts.first()?.usage_code, format!("{name}: {}", without(&features))))
    }

    /// What to say of an option that the command would have, if this build had another feature.
    pub(super) fn option_not_built(self, command: &Spec, name: &str) -> Option<String> {
        let mut parts = self.missing().filter(|part| part.commands.contains(&command.name));
        let part = parts.find(|part| part.options.contains(&name))?;
        Some(without(&[part.feature]))
    }

    /// The options that the command would have, if this build had every feature.
    pub(super) fn options_not_built(self, command: &'static Spec) -> impl Iterator<Item = &'static str> {
        let parts = self.missing().filter(|part| part.commands.contains(&command.name));
        parts.flat_map(|part| part.options.iter().copied())
    }

    fn missing(self) -> impl Iterator<Item = &'static Part> {
        self.parts.iter().filter(|part| !part.is_built)
    }
}

/// What this build lacks, and the way out.
pub(super) fn without(features: &[&str]) -> String {
    format!("lockgate was built without {}; cargo install lockgate --features cli", listed(features))
}

/// `a, b and c`.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

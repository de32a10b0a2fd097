//! The description of a command, and of all commands together: the parser, the help, the settings and the tests read them.
//!
//! Knows no command. Each command describes itself in a [`Spec`] in its own file, and `registry` lists them.

use std::fmt;
use std::process::ExitCode;

use super::arguments::Arguments;
use super::exit::{Code, Meaning};
use super::failure::Failure;
use super::option::{Opt, Table};

/// The description of one command.
pub(super) struct Spec {
    /// One word, or two separated by a space: the first is then the name of a group.
    pub name: &'static str,
    /// The arguments after the name, as the help shows them.
    pub synopsis: &'static str,
    /// One line that says what the command does.
    pub summary: &'static str,
    /// The help's text besides the options, in paragraphs.
    pub text: &'static [&'static str],
    pub operands: Operands,
    pub options: &'static [Table],
    pub settings: Settings,
    /// Every exit code of the command.
    pub exit_codes: &'static [Meaning],
    /// The exit code for a wrong command line.
    pub usage_code: Code,
    pub run: fn(&Arguments) -> Result<ExitCode, Failure>,
}

/// The arguments on the command line that are not options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    None,
    Some {
        /// The placeholder in the help: `FILE`.
        name: &'static str,
        /// The description in an error message: "a PEM file".
        what: &'static str,
        least: usize,
        most: usize,
    },
}

/// Whether a command also takes settings from a file and the environment.
pub(super) enum Settings {
    /// Only the command line counts.
    None,
    /// The command's own options.
    Own,
    /// The options of command `of`, which this command shows.
    #[cfg(feature = "operations")]
    Shown { of: &'static Spec },
    /// The options of command `of`, which this command checks when it has no operand and one of the options `when` is given.
    #[cfg(feature = "check")]
    Checked { of: &'static Spec, when: &'static [&'static str] },
}

/// A feature of the crate that a build may lack, and the commands and options that need it.
pub(super) struct Part {
    pub feature: &'static str,
    pub is_built: bool,
    /// The commands that need it, or have options that need it.
    pub commands: &'static [&'static str],
    /// With spaces between: a slice would take a word and a relocation of the program for each.
    pub options: &'static str,
    /// The exit code when a command line names one of them.
    pub usage_code: Code,
}

/// All commands, and the parts that this build may lack.
#[derive(Clone, Copy)]
pub(super) struct Commands {
    /// In the order of the help: the commands for new users are first.
    pub all: &'static [&'static Spec],
    pub parts: &'static [Part],
}

impl Part {
    pub(super) fn options(&self) -> impl Iterator<Item = &'static str> {
        self.options.split(' ')
    }

    fn has_option(&self, name: &str) -> bool {
        self.options().any(|option| option == name)
    }
}

impl Spec {
    pub(super) fn options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().flat_map(Table::options)
    }

    /// The command whose settings this one checks or shows, with all its options.
    pub(super) fn of_another(&self) -> Option<&'static Spec> {
        match self.settings {
            Settings::None | Settings::Own => None,
            #[cfg(feature = "operations")]
            Settings::Shown { of } => Some(of),
            #[cfg(feature = "check")]
            Settings::Checked { of, .. } => Some(of),
        }
    }

    /// An example of its command line, as the help shows it.
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

    /// The commands of two words whose first word is `word`.
    pub(super) fn of_group(self, word: &str) -> impl Iterator<Item = &'static Spec> + '_ {
        let is_of_group =
            move |command: &&Spec| command.name.split_once(' ').is_some_and(|(first, _)| first == word);
        self.all.iter().copied().filter(is_of_group)
    }

    /// The error for a command that exists only in a build with more features; `None` for any other name.
    pub(super) fn not_built(self, name: &str) -> Option<Failure> {
        let parts: Vec<&Part> = self.missing().filter(|part| part.commands.contains(&name)).collect();
        let features: Vec<&str> = parts.iter().map(|part| part.feature).collect();
        Some(Failure::new(parts.first()?.usage_code, format!("{name}: {}", without(&features))))
    }

    /// The message for an option that the command has only in a build with more features; `None` for any other option.
    pub(super) fn option_not_built(self, command: &Spec, name: &str) -> Option<String> {
        let mut parts = self.missing().filter(|part| part.commands.contains(&command.name));
        let part = parts.find(|part| part.has_option(name))?;
        Some(without(&[part.feature]))
    }

    /// The options that the command has only in a build with more features.
    pub(super) fn options_not_built(self, command: &'static Spec) -> impl Iterator<Item = &'static str> {
        let parts = self.missing().filter(|part| part.commands.contains(&command.name));
        parts.flat_map(Part::options)
    }

    fn missing(self) -> impl Iterator<Item = &'static Part> {
        self.parts.iter().filter(|part| !part.is_built)
    }
}

/// The message that names the missing features, and how to get them.
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

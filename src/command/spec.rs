//! The commands there are: their names of one or two words, what each takes, and what its help says. The parser, the help
//! and the tests read this list. What a command says of itself stands in its own file.

use std::process::ExitCode;

use super::cert::{ca, csr, install, obtain, show};
use super::exit::{Code, Failure, Meaning};
use super::parse::Arguments;
use super::{check, demo, serve};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Serve,
    Demo,
    Check,
    CertShow,
    CertCa,
    CertCsr,
    CertInstall,
    CertObtain,
    CertRenew,
    CertStatus,
}

/// What a command is.
pub(super) struct Spec {
    /// One word, or two with a space between: the first is then the name of a group.
    pub name: &'static str,
    /// What stands after the name, as the help shows it.
    pub synopsis: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The help beside the options.
    pub text: &'static str,
    pub operands: Operands,
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

impl Command {
    /// Those that users meet first in front.
    pub(super) const ALL: &'static [Command] = &[
        Command::Serve,
        Command::Demo,
        Command::Check,
        Command::CertShow,
        Command::CertCa,
        Command::CertCsr,
        Command::CertInstall,
        Command::CertObtain,
        Command::CertRenew,
        Command::CertStatus,
    ];
    /// Those that run a server, and so have limits.
    pub(super) const SERVING: &'static [Command] = &[Command::Serve, Command::Demo];

    pub(super) fn spec(self) -> &'static Spec {
        match self {
            Command::Serve => &serve::SPEC,
            Command::Demo => &demo::SPEC,
            Command::Check => &check::SPEC,
            Command::CertShow => &show::SPEC,
            Command::CertCa => &ca::SPEC,
            Command::CertCsr => &csr::SPEC,
            Command::CertInstall => &install::SPEC,
            Command::CertObtain => &obtain::OBTAIN,
            Command::CertRenew => &obtain::RENEW,
            Command::CertStatus => &obtain::STATUS,
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.spec().name
    }

    pub(super) fn named(name: &str) -> Option<Command> {
        Command::ALL.iter().copied().find(|command| command.name() == name)
    }

    /// The commands whose first word this is; none unless they have a second.
    pub(super) fn of_group(word: &str) -> impl Iterator<Item = Command> + '_ {
        Command::ALL
            .iter()
            .copied()
            .filter(move |command| command.name().split_once(' ').is_some_and(|(first, _)| first == word))
    }
}

/// `a, b and c`.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

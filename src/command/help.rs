//! What `--help` says, from the same descriptions of commands and options that the parser reads. `main` calls it.

use super::exit::{Meaning, SERVING};
use super::option::Opt;
use super::spec::{Commands, Spec};
use super::terminal::wrapped;

/// Where lines end, if a word allows it.
const WIDTH: usize = 88;
/// Where the text about an option begins.
const INDENT: usize = 6;

const GENERAL_END: &str = "  \
  lockgate COMMAND --help
      All options of a command, with their defaults, and its exit codes.
  lockgate --version

";

macro_rules! about_all {
    ($on_hangup:literal) => {
        concat!(
            "\
serve and demo serve GET /api/data over HTTPS, and answer plain HTTP with redirects to it.

Try it:

  lockgate demo --http 8080
  curl --cacert certs/ca.pem https://localhost:8443/api/data

SIGINT (Ctrl-C) and SIGTERM stop the server: it answers the requests that have begun. A second
signal ends it at once. It reads certificates again when their files change, for new connections;
",
            $on_hangup
        )
    };
}

/// About all commands together. The manual page has it too.
pub(super) const ABOUT_ALL: &str = if cfg!(feature = "operations") {
    about_all!(
        "SIGHUP makes it read them and its settings at once. Limits change, other settings at a restart.\n"
    )
} else {
    about_all!("SIGHUP makes it read them at once.\n")
};

pub(super) fn general(commands: Commands) -> String {
    let mut text = String::from("lockgate: an HTTPS server for small appliances.\n\n");
    summaries(commands.all.iter().copied(), &mut text);
    text.push_str(GENERAL_END);
    text.push_str(ABOUT_ALL);
    // The codes of the commands that one starts with.
    exit_codes(SERVING, &mut text);
    text
}

/// About the commands that begin with this word.
pub(super) fn group(commands: Commands, word: &str) -> String {
    let mut text = String::new();
    summaries(commands.of_group(word), &mut text);
    text.push_str(&format!(
        "  lockgate {word} COMMAND --help\n      All options of a command, with their defaults, and its exit codes."
    ));
    text
}

pub(super) fn of(command: &Spec) -> String {
    let mut text = format!("{}\n\n{}", command.usage(), command.text.concat());
    for table in command.options {
        text.push_str(&format!("\n{}:\n", table.title));
        text.push_str(table.note);
        table.options().for_each(|option| describe(option, &mut text));
    }
    exit_codes(command.exit_codes, &mut text);
    text
}

fn summaries(commands: impl Iterator<Item = &'static Spec>, text: &mut String) {
    for command in commands {
        text.push_str(&format!("  {}\n      {}\n", command.usage(), command.summary));
    }
}

fn describe(option: &Opt, text: &mut String) {
    text.push_str("  ");
    if let Some(letter) = option.short {
        text.push_str(&format!("-{letter}, "));
    }
    text.push_str(&format!("--{}", option.name));
    if let Some(value) = option.value_name() {
        text.push_str(&format!(" {value}"));
    }
    let mut help = String::from(option.help);
    if let Some(default) = option.default() {
        help.push_str(&format!(" Default: {default}."));
    }
    text.push_str(&format!("\n{:INDENT$}{}\n", "", wrapped(&help, WIDTH, INDENT, INDENT)));
}

fn exit_codes(codes: &[Meaning], text: &mut String) {
    text.push_str("\nExit codes:\n");
    for (code, meaning) in codes {
        text.push_str(&format!("  {code:>2}  {meaning}\n"));
    }
    // The caller ends the last line.
    text.truncate(text.trim_end().len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::registry::COMMANDS;

    #[test]
    fn every_option_is_explained_with_its_default_within_a_line() {
        for &command in COMMANDS.all {
            let text = of(command);
            for option in COMMANDS.all.iter().flat_map(|command| command.options()) {
                let name = format!("--{}", option.name);
                let listed = text
                    .lines()
                    .any(|line| line.starts_with("  -") && line.split([' ', ',']).any(|word| word == name));
                let is_of = command.options().any(|other| other.name == option.name);
                assert_eq!(listed, is_of, "{name} of {}", command.name);
            }
            let serves = ["serve", "demo"].contains(&command.name);
            for part in ["kept-alive connection. Default: 60s.", "gets 413. Default: 1MiB.", "Limits:"] {
                assert_eq!(text.contains(part), serves, "{text}");
            }
            for line in text.lines().chain(general(COMMANDS).lines()) {
                assert!(line.len() <= 100 && line.trim_end() == line, "{line:?}");
            }
        }
    }

    #[test]
    fn every_command_is_in_the_general_help_and_in_that_of_its_group() {
        for &command in COMMANDS.all {
            let listed = format!("  {}\n      {}\n", command.usage(), command.summary);
            assert!(general(COMMANDS).contains(&listed), "{listed}");
            if let Some((word, _)) = command.name.split_once(' ') {
                assert!(group(COMMANDS, word).contains(&listed), "{listed}");
            }
            assert!(of(command).contains(&command.text.concat()));
        }
    }
}

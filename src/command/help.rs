//! What `--help` says. The options come from the table that the parser reads.

use super::cert::obtain;
use super::exit::{Meaning, SERVING};
use super::options::{Opt, GENERAL, LIMITS};
use super::parse::usage;
use super::spec::Command;

/// Where lines end, if a word allows it.
const WIDTH: usize = 88;

const GENERAL_TEXT: &str = "\
lockgate: an HTTPS server for small appliances.

";

const GENERAL_END: &str = "  \
  lockgate COMMAND --help
      All options of a command, with their defaults, and its exit codes.
  lockgate --version

serve and demo serve GET /api/data over HTTPS, and answer plain HTTP with redirects to it.

Try it:

  lockgate demo --http 8080
  curl --cacert certs/ca.pem https://localhost:8443/api/data

SIGINT (Ctrl-C) and SIGTERM stop it: what has begun is answered, and then it ends. A second one
ends it at once. Certificates that change in their files are taken up by themselves, for new
connections; SIGHUP reads them at once.
";

const VALUES: &str = "\
  TIME is 500ms, 60s, 2m, or a plain number of seconds. SIZE is 64KiB, 1MiB, or a plain number
  of bytes. Timers are absolute: they run from the beginning, however the bytes drip in.
";

pub(super) fn general() -> String {
    let mut text = String::from(GENERAL_TEXT);
    summaries(Command::ALL.iter().copied(), &mut text);
    text.push_str(GENERAL_END);
    // Those of the commands that one starts with.
    exit_codes(SERVING, &mut text);
    text
}

/// About the commands that begin with this word.
pub(super) fn group(word: &str) -> String {
    let mut text = String::new();
    summaries(Command::of_group(word), &mut text);
    text.push_str(&format!(
        "  lockgate {word} COMMAND --help\n      All options of a command, with their defaults, and its exit codes."
    ));
    text
}

pub(super) fn of(command: Command) -> String {
    let mut text = format!("{}\n\n{}", usage(command), command.spec().text);
    let tables =
        [("Options", GENERAL), ("Certificates from an authority", obtain::OPTIONS), ("Limits", LIMITS)];
    for (title, options) in tables {
        let options: Vec<&Opt> = options.iter().filter(|option| option.is_of(command)).collect();
        if options.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{title}:\n"));
        if title == "Limits" {
            text.push_str(VALUES);
        }
        for option in options {
            describe(option, &mut text);
        }
    }
    exit_codes(command.spec().exit_codes, &mut text);
    text
}

fn summaries(commands: impl Iterator<Item = Command>, text: &mut String) {
    for command in commands {
        text.push_str(&format!("  {}\n      {}\n", usage(command), command.spec().summary));
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
    text.push_str(&wrapped(&help, WIDTH, 5));
    text.push('\n');
}

/// Words with a space before each, in lines that begin with `indent` spaces. The first line goes on at `column`.
pub(super) fn wrapped(text: &str, mut column: usize, indent: usize) -> String {
    let mut lines = String::new();
    for word in text.split(' ') {
        if column + 1 + word.len() > WIDTH {
            lines.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        }
        lines.push(' ');
        lines.push_str(word);
        column += 1 + word.len();
    }
    lines
}

fn exit_codes(codes: &[Meaning], text: &mut String) {
    text.push_str("\nExit codes:\n");
    for (code, meaning) in codes {
        text.push_str(&format!("  {code:>2}  {meaning}\n"));
    }
    // Whoever prints it ends the line.
    text.truncate(text.trim_end().len());
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    #[test]
    fn every_option_is_explained_with_its_default_within_a_line() {
        for &command in Command::ALL {
            let text = of(command);
            for option in options::all() {
                let name = format!("--{}", option.name);
                let listed = text
                    .lines()
                    .any(|line| line.starts_with("  -") && line.split([' ', ',']).any(|word| word == name));
                let is_of = options::of(command).any(|other| other.name == option.name);
                assert_eq!(listed, is_of, "{name} of {}", command.name());
            }
            let serves = Command::SERVING.contains(&command);
            for part in ["kept-alive connection. Default: 60s.", "gets 413. Default: 1MiB.", "Limits:"] {
                assert_eq!(text.contains(part), serves, "{text}");
            }
            for line in text.lines().chain(general().lines()) {
                assert!(line.len() <= 100 && line.trim_end() == line, "{line:?}");
            }
        }
    }

    #[test]
    fn every_command_is_in_the_general_help_and_in_that_of_its_group() {
        for &command in Command::ALL {
            let spec = command.spec();
            let listed = format!("  lockgate {} {}\n      {}\n", spec.name, spec.synopsis, spec.summary);
            assert!(general().contains(&listed), "{listed}");
            if let Some((word, _)) = spec.name.split_once(' ') {
                assert!(group(word).contains(&listed), "{listed}");
            }
            assert!(of(command).contains(spec.text));
        }
    }
}

//! The completion of fish. `manual` calls it.

use super::words::{brief, first_words, groups, options, second_words, takes_files, Value};
use crate::command::option::Opt;
use crate::command::spec::Commands;

/// The words before the cursor, without the program, begin with those given, or are those.
const BEGIN: &str = "\
# Completion of lockgate for fish. Made by lockgate manual, from the tables of the command's options.

function __lockgate_in
    set -l words (commandline -opc)
    set -e words[1]
    set -l many (count $argv)
    test (count $words) -ge $many
    and test \"$words[1..$many]\" = \"$argv\"
end

function __lockgate_after
    set -l words (commandline -opc)
    set -e words[1]
    test (count $words) -eq (count $argv)
    and test \"$words\" = \"$argv\"
end

complete -c lockgate -f
";

pub(super) fn script(commands: Commands) -> String {
    let mut text = String::from(BEGIN);
    let mut word = |after: &str, word: &str, said: &str| {
        text.push_str(&format!(
            "complete -c lockgate -n '__lockgate_after{after}' -a {word} -d {}\n",
            quoted(said)
        ));
    };
    for (name, said) in first_words(commands) {
        word("", name, &said);
    }
    for group in groups(commands) {
        for (name, said) in second_words(commands, group) {
            word(&format!(" {group}"), name, &said);
        }
    }
    text.push_str("complete -c lockgate -n __lockgate_after -s h -l help -d 'All commands'\n");
    text.push_str("complete -c lockgate -n __lockgate_after -s V -l version -d 'The version'\n");
    for command in commands.all.iter().copied() {
        let begin = format!("complete -c lockgate -n '__lockgate_in {}'", command.name);
        if takes_files(command) {
            text.push_str(&format!("{begin} -F\n"));
        }
        for option in options(command) {
            text.push_str(&format!("{begin}{}\n", of(option)));
        }
    }
    text
}

fn of(option: &Opt) -> String {
    let letter = option.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
    let value = match Value::of(option) {
        Value::None => String::new(),
        Value::Words(words) => format!(" -x -a {}", quoted(&words.join(" "))),
        Value::Files => " -r -F".into(),
        Value::Folders => " -x -a '(__fish_complete_directories)'".into(),
        Value::Other => " -x".into(),
    };
    format!("{letter} -l {}{value} -d {}", option.name, quoted(&brief(option.help)))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

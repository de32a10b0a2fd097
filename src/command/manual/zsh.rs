//! The completion of zsh, for a folder of its `fpath`. `manual` calls it.

use super::words::{brief, first_words, groups, options, quoted, second_words, takes_files, Value};
use crate::command::option::{Opt, Repeats};
use crate::command::spec::{Commands, Operands, Spec};

const BEGIN: &str = "\
#compdef lockgate
# Completion of lockgate for zsh. Made by lockgate manual, from the tables of the command's options.

_lockgate() {
    local command=$words[2]
    local -a found
";

pub(super) fn script(commands: Commands) -> String {
    let mut text = String::from(BEGIN);
    let mut first = first_words(commands);
    first.push(("--help", "All commands".into()));
    first.push(("--version", "The version".into()));
    text.push_str(&choice(2, "lockgate command", &first, "    "));
    for group in groups(commands) {
        let second = second_words(commands, group);
        text.push_str(&format!("    if [[ $command == {group} ]]; then\n"));
        text.push_str(&choice(3, &format!("{group} command"), &second, "        "));
        text.push_str(&format!(
            "        command='{group} '$words[3]\n        shift words\n        ((CURRENT -= 1))\n    fi\n"
        ));
    }
    text.push_str("    shift words\n    ((CURRENT -= 1))\n    case $command in\n");
    for command in commands.all.iter().copied() {
        of(command, &mut text);
    }
    text.push_str("    esac\n}\n\n_lockgate \"$@\"\n");
    text
}

fn choice(place: usize, what: &str, words: &[(&'static str, String)], indent: &str) -> String {
    let mut text = format!("{indent}if ((CURRENT == {place})); then\n{indent}    found=(\n");
    for (word, said) in words {
        text.push_str(&format!(
            "{indent}        {}\n",
            quoted(&format!("{word}:{}", said.replace(':', "\\:")))
        ));
    }
    text.push_str(&format!(
        "{indent}    )\n{indent}    _describe -t commands '{what}' found\n{indent}    return\n{indent}fi\n"
    ));
    text
}

fn of(command: &'static Spec, text: &mut String) {
    text.push_str(&format!("    '{}')\n        _arguments -s -S", command.name));
    for option in options(command) {
        text.push_str(&format!(" \\\n            {}", spec(option)));
    }
    match command.operands {
        Operands::Some { name, .. } => {
            let action = if takes_files(command) { "_files" } else { " " };
            text.push_str(&format!(" \\\n            {}", quoted(&format!("*:{}:{action}", escaped(name)))));
        }
        Operands::None => {}
    }
    text.push_str("\n        ;;\n");
}

/// An option as `_arguments` reads it. A fault in one takes all the others with it.
fn spec(option: &Opt) -> String {
    let said = format!("[{}]", escaped(&brief(option.help)));
    let value = option.value_name().map(escaped).unwrap_or_default();
    let rest = match Value::of(option) {
        Value::None => said,
        Value::Words(words) => format!("={said}:{value}:({})", words.join(" ")),
        Value::Files => format!("={said}:{value}:_files"),
        // `_files -/` shows files too where there is no folder.
        Value::Folders => format!("={said}:{value}:_path_files -/"),
        Value::Other => format!("={said}:{value}: "),
    };
    // Those with a letter count each time they are given, as -vv.
    match option.short {
        Some(letter) => format!("'*'{{-{letter},--{}}}{}", option.name, quoted(&rest)),
        None if option.repeats == Repeats::All => quoted(&format!("*--{}{rest}", option.name)),
        None => quoted(&format!("--{}{rest}", option.name)),
    }
}

/// Text within a specification: brackets end what is said, and colons what is named.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if matches!(character, '[' | ']' | ':' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

//! What the three shells are told of an option and of a command. Knows `spec` and `option`; the scripts call it.

use crate::command::option::{Kind, Opt};
use crate::command::spec::{Commands, Operands, Spec};

/// What may stand in the place of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The option takes none.
    None,
    /// These words; beside them there may be what cannot be listed.
    Words(Vec<&'static str>),
    Files,
    Folders,
    /// What cannot be listed: a time, an address.
    Other,
}

impl Value {
    pub(super) fn of(option: &Opt) -> Value {
        let Some(name) = option.value_name() else { return Value::None };
        let is_word = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let words: Vec<&str> = name.split('|').filter(is_word).collect();
        match name {
            _ if !words.is_empty() => Value::Words(words),
            "FILE" => Value::Files,
            "DIR" => match option.kind {
                Kind::Value { accepted, .. } if accepted.contains("file") => Value::Files,
                _ => Value::Folders,
            },
            _ => Value::Other,
        }
    }
}

/// Whether the arguments of a command that are no options are files.
pub(super) fn takes_files(command: &Spec) -> bool {
    matches!(command.operands, Operands::Some { name, .. } if name.contains("FILE"))
}

/// All options that may stand behind a command. What checks or shows another command's settings takes the options of that too.
pub(super) fn options(command: &'static Spec) -> Vec<&'static Opt> {
    let mut all: Vec<&'static Opt> = command.options().collect();
    if let Some(of) = command.of_another() {
        let own: Vec<&str> = all.iter().map(|option| option.name).collect();
        all.extend(of.options().filter(|option| !own.contains(&option.name)));
    }
    all
}

/// What may follow the program's name, or the first word of a group: each word with what it says.
pub(super) fn first_words(commands: Commands) -> Vec<(&'static str, String)> {
    let mut words: Vec<(&str, String)> = Vec::new();
    for command in commands.all {
        let (word, said) = match command.name.split_once(' ') {
            Some((group, _)) => (group, groups_words(commands, group)),
            None => (command.name, brief(command.summary)),
        };
        if !words.iter().any(|(other, _)| *other == word) {
            words.push((word, said));
        }
    }
    words
}

/// The first words of commands of two words.
pub(super) fn groups(commands: Commands) -> Vec<&'static str> {
    let mut groups: Vec<&str> = commands
        .all
        .iter()
        .filter_map(|command| command.name.split_once(' '))
        .map(|(group, _)| group)
        .collect();
    groups.dedup();
    groups
}

/// The second words of a group, each with what it says.
pub(super) fn second_words(commands: Commands, group: &str) -> Vec<(&'static str, String)> {
    let second = |command: &'static Spec| Some((command.name.split_once(' ')?.1, brief(command.summary)));
    commands.of_group(group).filter_map(second).collect()
}

fn groups_words(commands: Commands, group: &str) -> String {
    let words: Vec<&str> = second_words(commands, group).into_iter().map(|(word, _)| word).collect();
    format!("Commands: {}", words.join(", "))
}

/// The first sentence, without its full stop: what a list has room for.
pub(super) fn brief(help: &str) -> String {
    let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = text.find(". ").unwrap_or(text.len());
    text.get(..end).unwrap_or(&text).trim_end_matches('.').to_string()
}

/// A word of a script of bash or zsh, with all in it as it is.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

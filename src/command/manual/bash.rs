//! The completion of bash. It needs nothing but bash itself, 4.4 or newer. `manual` calls it.

use super::words::{first_words, groups, options, second_words, takes_files, Value};
use crate::command::option::Opt;
use crate::command::spec::{Commands, Spec};

/// bash makes three words of `--option=value`, and replaces only the last of them; who has taken `=` out of `COMP_WORDBREAKS`
/// has one word.
const BEGIN: &str = "\
# Completion of lockgate for bash. Made by lockgate manual, from the tables of the command's options.

_lockgate() {
    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local before='' options='' kind='' words=''
    COMPREPLY=()
";

const VALUES: &str = "
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $cur == --*=* ]]; then
        option=${cur%%=*} before=$option= cur=${cur#*=}
    fi
";

const END: &str = "
    if [[ -z $kind && $cur == -* ]]; then
        kind=words words=$options
    fi
    [[ -n $kind ]] || kind=$operands
    case $kind in
    words) mapfile -t COMPREPLY < <(compgen -P \"$before\" -W \"$words\" -- \"$cur\") ;;
    files)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -P \"$before\" -f -- \"$cur\")
        ;;
    folders)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -P \"$before\" -d -- \"$cur\")
        ;;
    esac
}

complete -F _lockgate lockgate
";

pub(super) fn script(commands: Commands) -> String {
    let mut text = String::from(BEGIN);
    let mut first = plain(&first_words(commands));
    first.push_str(" help --help --version");
    text.push_str(&choice(1, &first, "    "));
    for group in groups(commands) {
        let mut second = plain(&second_words(commands, group));
        second.push_str(" --help");
        text.push_str(&format!("    if [[ $command == {group} ]]; then\n"));
        text.push_str(&choice(2, &second, "        "));
        text.push_str(&format!("        command='{group} '${{COMP_WORDS[2]}}\n    fi\n"));
    }
    text.push_str("    local operands=''\n");
    text.push_str(VALUES);
    text.push_str("\n    case $command in\n");
    for command in commands.all.iter().copied() {
        of(command, &mut text);
    }
    text.push_str("    esac\n");
    text.push_str(END);
    text
}

/// Offers these words in the place with this number.
fn choice(place: usize, words: &str, indent: &str) -> String {
    format!(
        "{indent}if ((COMP_CWORD == {place})); then\n\
         {indent}    mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$cur\")\n\
         {indent}    return\n\
         {indent}fi\n"
    )
}

fn plain(words: &[(&'static str, String)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
}

fn of(command: &'static Spec, text: &mut String) {
    let options = options(command);
    let names: Vec<String> = options.iter().map(|option| format!("--{}", option.name)).collect();
    text.push_str(&format!("    '{}')\n        options='{}'\n", command.name, names.join(" ")));
    if takes_files(command) {
        text.push_str("        operands=files\n");
    }
    text.push_str("        case $option in\n");
    let mut arm = |does: &str, of: &dyn Fn(&Opt) -> bool| {
        let names: Vec<String> =
            options.iter().filter(|option| of(option)).map(|option| format!("--{}", option.name)).collect();
        if !names.is_empty() {
            text.push_str(&format!("        {}) {does} ;;\n", names.join(" | ")));
        }
    };
    arm("kind=files", &|option| Value::of(option) == Value::Files);
    arm("kind=folders", &|option| Value::of(option) == Value::Folders);
    arm("kind=none", &|option| Value::of(option) == Value::Other);
    for option in &options {
        if let Value::Words(words) = Value::of(option) {
            arm(&format!("kind=words words='{}'", words.join(" ")), &|other| other.name == option.name);
        }
    }
    text.push_str("        esac\n        ;;\n");
}

//! That nothing of the tables is missing in the files. What their readers say of them is in `tests/manual.sh`.

use super::*;
use crate::command::registry::COMMANDS;
use crate::command::spec::{Settings, Spec};

fn file(path: &str) -> String {
    let all = all(COMMANDS, "2026-11-30");
    let found = all.into_iter().find(|(other, _)| other == path);
    found.unwrap_or_else(|| panic!("{path} is not made")).1
}

/// As a reader sees it: without what sets the type.
fn read(page: &str) -> String {
    let mut text = page.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\&", "");
    for (sequence, character) in [
        ("\\-", "-"),
        ("\\(aq", "'"),
        ("\\(dq", "\""),
        ("\\(ga", "`"),
        ("\\(ti", "~"),
        ("\\(ha", "^"),
        ("\\e", "\\"),
    ] {
        text = text.replace(sequence, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_command_has_a_page_with_all_that_its_help_says() {
    for command in COMMANDS.all {
        let page = file(&format!("man/lockgate-{}.1", command.name.replace(' ', "-")));
        let text = read(&page);
        assert!(text.contains(&words(&command.usage())), "{}", command.name);
        for option in command.options() {
            for part in [&format!("--{}", option.name), &words(option.help)] {
                assert!(text.contains(part), "{}: {part}", command.name);
            }
            if let Some(default) = option.default() {
                assert!(text.contains(&format!("Default: {default}.")), "{}: {default}", command.name);
            }
        }
        for (code, meaning) in command.exit_codes {
            assert!(text.contains(&format!("{code} {meaning}")), "{}: {meaning}", command.name);
        }
        // Each line of the help's text, whether it is prose or an example.
        for line in command.text.concat().lines().map(words) {
            assert!(text.contains(&line), "{}: {line}", command.name);
        }
        let named = format!("lockgate-{}(1) {}", command.name.replace(' ', "-"), words(command.summary));
        assert!(read(&file("man/lockgate.1")).contains(&named), "{named}");
    }
}

#[test]
fn each_kind_of_settings_is_on_its_page() {
    for command in COMMANDS.all {
        let text = read(&file(&format!("man/lockgate-{}.1", command.name.replace(' ', "-"))));
        let (has_variables, has_another) = match command.settings {
            Settings::None => (false, false),
            Settings::Own => (true, false),
            #[cfg(feature = "operations")]
            Settings::Shown { .. } => (true, true),
            #[cfg(feature = "check")]
            Settings::Checked { .. } => (true, true),
        };
        assert_eq!(text.contains("LOCKGATE_NAME The option of that name"), has_variables, "{}", command.name);
        let another = text.contains("It also takes the options of lockgate-serve(1).");
        assert_eq!(another, has_another, "{}", command.name);
    }
}

#[test]
fn the_page_of_the_settings_has_each_of_them() {
    let page = file("man/lockgate.toml.5");
    let text = read(&page);
    for option in COMMANDS.named("serve").unwrap().options() {
        let is_there = text.contains(&format!(".TP {} = ", option.name));
        assert_eq!(is_there, option.is_a_setting(), "{}", option.name);
    }
    #[cfg(feature = "proxy")]
    for key in crate::command::route_table::KEYS {
        assert!(text.contains(&format!(".TP {key} ")), "{key}");
    }
}

#[test]
fn each_shell_knows_each_option() {
    let (bash, zsh, fish) = (file("bash/lockgate"), file("zsh/_lockgate"), file("fish/lockgate.fish"));
    for command in COMMANDS.all {
        let of_another = command.of_another().into_iter().flat_map(Spec::options);
        for option in command.options().chain(of_another) {
            let name = format!("--{}", option.name);
            let of_bash = bash.split(&format!("    '{}')\n", command.name)).nth(1).unwrap();
            let list = of_bash.split("options='").nth(1).unwrap().split('\'').next().unwrap();
            assert!(list.split(' ').any(|word| word == name), "bash: {} {name}", command.name);
            let of_zsh = zsh.split(&format!("    '{}')\n", command.name)).nth(1).unwrap();
            let of_zsh = of_zsh.split(";;\n").next().unwrap();
            let is_there = of_zsh.contains(&format!("{name}[")) || of_zsh.contains(&format!("{name}="));
            assert!(is_there || of_zsh.contains(&format!(",{name}}}")), "zsh: {} {name}", command.name);
            let lines = format!("complete -c lockgate -n '__lockgate_in {}'", command.name);
            let said = format!(" -l {} ", option.name);
            assert!(
                fish.lines().any(|line| line.starts_with(&lines) && line.contains(&said)),
                "fish: {} {name}",
                command.name
            );
        }
    }
}

#[test]
fn values_are_told_by_their_placeholders() {
    use super::words::Value;
    let serve = COMMANDS.named("serve").unwrap();
    let value = |name: &str| Value::of(serve.options().find(|option| option.name == name).unwrap());
    for (name, expected) in [
        ("field-names", Value::Words(vec!["lower", "title"])),
        // Beside an address that cannot be listed.
        ("http", Value::Words(vec!["off"])),
        ("cert", Value::Files),
        ("state", Value::Folders),
        ("idle-timeout", Value::Other),
        ("https", Value::Other),
        ("device", Value::None),
        ("count-loopback", Value::None),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
}

#[test]
fn the_files_are_written_below_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    write(COMMANDS, &folder.path().join("made"), "2026-11-30").unwrap();
    let page = fs::read_to_string(folder.path().join("made/man/lockgate-serve.1")).unwrap();
    assert!(page.contains("\"2026-11-30\" \"lockgate "), "{page}");
    let failure = run(COMMANDS, None).unwrap_err();
    assert_eq!(failure.code, Code::Usage);
}

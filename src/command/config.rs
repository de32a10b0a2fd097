//! Settings from beside the command line: a TOML file, and the environment. Both know the options of a command by the same
//! names. The command line comes before the environment, and the environment before the file.
//!
//! The parser calls it once the command line is read.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use lockgate::internal::regular_file::{self, Links};
use toml::de::{DeTable, DeValue};

use super::exit::Code;
use super::failure::Failure;
use super::option::{Kind, Opt, Repeats};
use super::spec::{Commands, Spec};
use super::suggest::meant;

/// Larger than any file of settings, and small enough to be read whole.
const MOST_BYTES: u64 = 1 << 20;

/// An option with its value, and where it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub option: &'static Opt,
    /// `None` for an option that takes no value.
    pub value: Option<OsString>,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// With the option as it is spelled there.
    CommandLine(String),
    Environment(String),
    File {
        path: PathBuf,
        line: usize,
        name: String,
    },
}

impl Place {
    /// The error about a value at this place.
    pub(super) fn fault(&self, what: impl Display) -> Failure {
        match self {
            Place::CommandLine(spelling) => Failure::usage(format!("{spelling}{what}")),
            Place::Environment(name) => {
                Failure::new(Code::Configuration, format!("the environment's {name}{what}"))
            }
            Place::File { path, line, name } => {
                Failure::new(Code::Configuration, format!("{}:{line}: {name}{what}", path.display()))
            }
        }
    }
}

/// What the environment says about this command: `LOCKGATE_IDLE_TIMEOUT` for `--idle-timeout`. Other names are left alone;
/// container systems make some of their own.
pub(super) fn from_environment(
    commands: Commands,
    command: &'static Spec,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Given>, Failure> {
    let variable_of = |option: &str| format!("LOCKGATE_{}", option.replace('-', "_").to_uppercase());
    // Left out without a word, such a setting would start another server than the user wants.
    let given_in_vain =
        commands.options_not_built(command).find(|name| variable(&variable_of(name)).is_some());
    if let Some((name, why)) =
        given_in_vain.and_then(|name| Some((name, commands.option_not_built(command, name)?)))
    {
        return Err(Place::Environment(variable_of(name)).fault(format_args!(": {why}")));
    }
    let mut given = Vec::new();
    for option in command.options().filter(|option| option.is_a_setting()) {
        let name = variable_of(option.name);
        let Some(value) = variable(&name) else { continue };
        let place = Place::Environment(name);
        if option.value_name().is_some() {
            given.push(Given { option, value: Some(value), place });
            continue;
        }
        match value.to_str() {
            Some("true" | "1") => given.push(Given { option, value: None, place }),
            Some("false" | "0") => {}
            _ => {
                return Err(place.fault(format_args!(": {value:?} is not accepted here; give true or false")))
            }
        }
    }
    Ok(given)
}

/// What a file says. Paths in it are relative to its folder.
pub(super) fn from_file(
    commands: Commands,
    command: &'static Spec,
    path: &Path,
) -> Result<Vec<Given>, Failure> {
    let fault = |what: String| Failure::new(Code::Configuration, format!("{}: {what}", path.display()));
    let text = regular_file::read_text(path, Links::Followed, MOST_BYTES)
        .map_err(|error| fault(format!("cannot be read: {error}; give the path of a TOML file")))?;
    read(commands, command, path, &text)
}

fn read(commands: Commands, command: &'static Spec, path: &Path, text: &str) -> Result<Vec<Given>, Failure> {
    let line_at = |offset: usize| text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        let what = format!("{}:{line}: is not TOML: {}", path.display(), error.message());
        Failure::new(Code::Configuration, what)
    })?;
    let mut given = Vec::new();
    for (name, value) in table.get_ref() {
        let line = line_at(name.span().start);
        let name = name.get_ref().to_string();
        let place = Place::File { path: path.to_path_buf(), line, name: name.clone() };
        let known: Vec<&'static Opt> = command.options().filter(|option| option.is_a_setting()).collect();
        let Some(option) = known.iter().copied().find(|option| option.name == name) else {
            if let Some(why) = commands.option_not_built(command, &name) {
                return Err(place.fault(format_args!(": {why}")));
            }
            let meant = meant(&name, known.iter().map(|option| option.name), "");
            return Err(place.fault(format_args!(
                " is not a setting{meant}; those of lockgate {0} --help are, without the dashes",
                command.name
            )));
        };
        let values: Vec<&DeValue<'_>> = match value.get_ref() {
            DeValue::Array(array) if option.repeats == Repeats::All => {
                array.iter().map(|value| value.get_ref()).collect()
            }
            value => vec![value],
        };
        for value in values {
            given.extend(one(option, value, &place)?);
        }
    }
    Ok(given)
}

/// One value in the form of the command line; nothing for a switch that is off.
fn one(option: &'static Opt, value: &DeValue<'_>, place: &Place) -> Result<Option<Given>, Failure> {
    let refuse = || {
        let several = match option.repeats {
            Repeats::All => ", or an array of them",
            Repeats::Last => "",
        };
        let accepted = match option.value_name() {
            Some(_) => format!("{}, in quotes{several}", option.accepted()),
            None => "true or false".into(),
        };
        place.fault(format_args!(" has a value that is not accepted here; give {accepted}"))
    };
    let value = match (value, option.value_name()) {
        (DeValue::Boolean(on), None) => {
            return Ok(on.then(|| Given { option, value: None, place: place.clone() }));
        }
        (DeValue::String(text), Some(_)) => text.to_string(),
        // Seconds, bytes, a count or a port.
        (DeValue::Integer(number), Some(_)) if number.radix() == 10 => number.as_str().to_string(),
        _ => return Err(refuse()),
    };
    let is_path = matches!(option.kind, Kind::Value { name: "FILE" | "DIR", .. });
    let value = match place {
        Place::File { path, .. } if is_path && !value.is_empty() => {
            path.parent().unwrap_or(Path::new("")).join(value).into()
        }
        _ => value.into(),
    };
    Ok(Some(Given { option, value: Some(value), place: place.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::registry::COMMANDS;

    fn serve() -> &'static Spec {
        COMMANDS.named("serve").unwrap()
    }

    fn settings(text: &str) -> Result<Vec<(&'static str, Option<String>)>, String> {
        let given = read(COMMANDS, serve(), Path::new("etc/lockgate.toml"), text).map_err(|failure| {
            assert_eq!(failure.code, Code::Configuration);
            failure.message
        })?;
        let shown = |value: OsString| value.into_string().unwrap();
        Ok(given.into_iter().map(|given| (given.option.name, given.value.map(shown))).collect())
    }

    #[test]
    fn settings_are_the_options_by_their_names() {
        let file = r#"
            # Where it listens.
            https = "[::]:443"
            http = "off"
            cert = ["cert.pem", "/etc/other.pem"]
            key = ["key.pem", "/etc/other-key.pem"]
            idle-timeout = "20s"
            head-timeout = 5
            connections = 500
            count-loopback = true
        "#;
        let text = |value: &str| Some(value.to_string());
        let mut found = settings(file).unwrap();
        found.sort();
        let expected = [
            ("cert", text("/etc/other.pem")),
            // Beside the file, not in the folder that the program was started in.
            ("cert", text("etc/cert.pem")),
            ("connections", text("500")),
            ("count-loopback", None),
            ("head-timeout", text("5")),
            ("http", text("off")),
            ("https", text("[::]:443")),
            ("idle-timeout", text("20s")),
            ("key", text("/etc/other-key.pem")),
            ("key", text("etc/key.pem")),
        ];
        assert_eq!(found, expected);
        assert_eq!(settings("count-loopback = false"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (file, words) in [
            ("\nidle-timeot = 1", "lockgate.toml:2: idle-timeot is not a setting; is idle-timeout meant?"),
            ("verbose = true", "verbose is not a setting"),
            ("config = \"x\"", "config is not a setting"),
            ("[limits]\nidle-timeout = 1", "lockgate.toml:1: limits is not a setting"),
            ("https = [\"1\", \"2\"]", "https has a value that is not accepted here; give a port"),
            ("cert = 1.5", "cert has a value that is not accepted here; give the path of a PEM file, in quotes, or an array"),
            ("count-loopback = \"yes\"", "give true or false"),
            ("connections = true", "give a whole number"),
            ("connections = 0x10", "give a whole number"),
            ("https = 1\nhttps = 2", "lockgate.toml:2: is not TOML: duplicate key"),
            ("https", "lockgate.toml:1: is not TOML"),
        ] {
            let message = settings(file).unwrap_err();
            assert!(message.starts_with("etc/lockgate.toml:") && message.contains(words), "{file}: {message}");
        }
    }

    #[test]
    fn the_environment_says_the_same_in_capitals() {
        let environment = |name: &str| match name {
            "LOCKGATE_IDLE_TIMEOUT" => Some("3s".into()),
            "LOCKGATE_COUNT_LOOPBACK" => Some("true".into()),
            _ => None,
        };
        let given = from_environment(COMMANDS, serve(), environment).unwrap();
        let names: Vec<_> = given.iter().map(|given| (given.option.name, given.value.is_some())).collect();
        assert_eq!(names, [("count-loopback", false), ("idle-timeout", true)]);
        let off = |name: &str| (name == "LOCKGATE_COUNT_LOOPBACK").then(|| "0".into());
        assert!(from_environment(COMMANDS, serve(), off).unwrap().is_empty());
        let wrong = |name: &str| (name == "LOCKGATE_COUNT_LOOPBACK").then(|| "yes".into());
        let failure = from_environment(COMMANDS, serve(), wrong).err().unwrap();
        assert!(
            failure.message.contains("the environment's LOCKGATE_COUNT_LOOPBACK: \"yes\""),
            "{}",
            failure.message
        );
    }
}

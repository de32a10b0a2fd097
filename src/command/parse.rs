//! Reads a command line into an invocation, or into a message that says what is wrong with it and what would be right.
//!
//! Gets the commands from its caller, `main`, and knows none of them by name.

use std::ffi::OsString;
use std::path::Path;

use lexopt::Arg;

use super::arguments::Arguments;
use super::config;
use super::exit::Code;
use super::failure::Failure;
use super::given::Given;
#[cfg(feature = "operations")]
use super::log_format::Format;
#[cfg(feature = "operations")]
use super::logger::expect;
use super::option::Opt;
use super::place::Place;
use super::spec::{listed, Commands, Operands, Settings, Spec};
use super::suggest::meant;

/// A command line that was understood.
#[derive(Debug)]
pub(super) enum Invocation {
    Help(Topic),
    Version,
    Run(&'static Spec, Box<Arguments>),
}

/// The subject of a request for help.
#[derive(Debug)]
pub(super) enum Topic {
    Everything,
    /// The commands whose first word is this one.
    Group(String),
    Command(&'static Spec),
}

/// Reads a whole command line. The program's name comes first.
pub(super) fn parse(
    commands: Commands,
    line: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, Failure> {
    let mut parser = lexopt::Parser::from_iter(line);
    let all = || there_are(commands.all.iter().copied(), "lockgate");
    let word = match parser.next().map_err(unexpected)? {
        None => return Err(Failure::usage(format!("what to do is missing: {}", all()))),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Invocation::Help(Topic::Everything)),
        Some(Arg::Long("version") | Arg::Short('V')) => return Ok(Invocation::Version),
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(option) => return Err(too_early(&option, &all())),
    };
    if word == "help" {
        return Ok(Invocation::Help(Topic::Everything));
    }
    let (name, there_are) = if commands.of_group(&word).next().is_none() {
        (word, all())
    } else {
        let there_are = there_are(commands.of_group(&word), &format!("lockgate {word}"));
        match parser.next().map_err(unexpected)? {
            None => return Err(Failure::usage(format!("{word} is the first word of two: {there_are}"))),
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Invocation::Help(Topic::Group(word))),
            Some(Arg::Value(second)) => (format!("{word} {}", second.to_string_lossy()), there_are),
            Some(option) => return Err(too_early(&option, &there_are)),
        }
    };
    let Some(command) = commands.named(&name) else {
        return Err(commands.not_built(&name).unwrap_or_else(|| {
            let meant = meant(&name, commands.all.iter().map(|command| command.name), "");
            Failure::usage(format!("{name:?} is not a command{meant}; {there_are}"))
        }));
    };
    let arguments = arguments_of(commands, command, &mut parser).map_err(|failure| match failure.code {
        Code::Usage => Failure { code: command.usage_code, ..failure },
        _ => failure,
    })?;
    Ok(if arguments.help {
        Invocation::Help(Topic::Command(command))
    } else {
        Invocation::Run(command, Box::new(arguments))
    })
}

fn there_are(commands: impl Iterator<Item = &'static Spec>, program: &str) -> String {
    let names: Vec<&str> = commands.map(|command| command.name).collect();
    let are = if names.len() == 1 { "command is" } else { "commands are" };
    format!("the {are} {}, and {program} --help explains them", listed(&names))
}

fn too_early(option: &Arg<'_>, there_are: &str) -> Failure {
    let option = match option {
        Arg::Long(name) => format!("--{name}"),
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Value(word) => format!("{word:?}"),
    };
    Failure::usage(format!("{option} stands before the command; {there_are}"))
}

fn arguments_of(
    commands: Commands,
    command: &'static Spec,
    parser: &mut lexopt::Parser,
) -> Result<Arguments, Failure> {
    let mut arguments = Arguments::default();
    let mut given = Vec::new();
    while let Some(argument) = parser.next().map_err(unexpected)? {
        let spelling = match argument {
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Value(word) => {
                take_operand(command, &mut arguments, word)?;
                continue;
            }
        };
        let named = |command: &'static Spec| command.options().find(|option| option.is_spelled(&spelling));
        let Some(option) = named(command).or_else(|| named(command.of_another()?)) else {
            return Err(no_option(commands, command, &spelling));
        };
        let value =
            match option.value_name() {
                None => None,
                Some(_) => Some(parser.value().map_err(|_| {
                    Failure::usage(format!("{spelling} needs a value: {}", option.accepted()))
                })?),
            };
        given.push(Given { option, value, place: Place::CommandLine(spelling) });
    }
    let is_given = |name: &str| given.iter().any(|given| given.option.name == name);
    #[cfg(feature = "check")]
    let not_own = {
        let is_own = |given: &&Given| command.options().any(|option| option.name == given.option.name);
        given.iter().find(|given| !is_own(given))
    };
    match command.settings {
        // With an operand, such as the URL of `check`, the same options set up the check itself.
        #[cfg(feature = "check")]
        Settings::Checked { of, when }
            if arguments.operands.is_empty()
                && (not_own.is_some() || when.iter().any(|name| is_given(name))) =>
        {
            arguments.is_to_be_served = true;
            take_to_be_checked(commands, of, &mut arguments, given)?;
        }
        #[cfg(feature = "check")]
        Settings::Checked { of, .. } if not_own.is_some() => {
            let name = not_own.map_or("", |given| given.option.name);
            return Err(Failure::usage(format!(
                "--{name} says what {} would do, before it is started; leave out the URL",
                of.name
            )));
        }
        #[cfg(feature = "operations")]
        Settings::Shown { of } if !is_given("help") => {
            take_all(&mut arguments, with_settings(commands, of, given)?)?;
        }
        Settings::Own if !is_given("help") => {
            take_all(&mut arguments, with_settings(commands, command, given)?)?;
        }
        _ => take(&mut arguments, given)?,
    }
    let given = arguments.operands.len();
    match command.operands {
        Operands::Some { name, what, least, .. } if given < least && !arguments.help => {
            let usage = command.usage();
            Err(Failure::usage(format!("{name} is missing: give {what}, as in {usage}")))
        }
        _ => Ok(arguments),
    }
}

/// Takes the options as the command `of` would, with the file and the environment. The check reports a fault in them, so it
/// is kept for the report.
#[cfg(feature = "check")]
fn take_to_be_checked(
    commands: Commands,
    of: &'static Spec,
    arguments: &mut Arguments,
    given: Vec<Given>,
) -> Result<(), Failure> {
    // Where both commands have an option of this name, it is meant as the other one does.
    let as_of = |given: Given| {
        let option = of.options().find(|option| option.name == given.option.name).unwrap_or(given.option);
        Given { option, ..given }
    };
    let given: Vec<Given> = given.into_iter().map(as_of).collect();
    let on_the_line = given.clone();
    let whole = with_settings(commands, of, given).and_then(|all| take_all(arguments, all));
    match whole {
        Err(failure) if failure.code == Code::Configuration => {
            arguments.settings_fault = Some(failure.message);
            take(arguments, on_the_line)
        }
        other => other,
    }
}

/// Adds the settings of the file and of the environment. The environment or the command line names the file.
fn with_settings(
    commands: Commands,
    command: &'static Spec,
    mut given: Vec<Given>,
) -> Result<config::Settings, Failure> {
    let is_config = |given: &&Given| given.option.name == "config";
    if !given.iter().any(|given| is_config(&given)) {
        given.extend(config::file_from_environment(command));
    }
    let mut all = match given.iter().rfind(is_config) {
        Some(Given { value: Some(path), .. }) => config::from_file(commands, command, Path::new(path))?,
        _ => config::Settings::default(),
    };
    let environment = config::from_environment(commands, command, |name| std::env::var_os(name))?;
    #[cfg(feature = "operations")]
    {
        all.misspelled = config::misspelled(command, std::env::vars_os().map(|(name, _)| name));
    }
    // The strongest place gives all values of an option, also when the option repeats.
    for stronger in [environment, given] {
        let has = |name: &str| stronger.iter().any(|given| given.option.name == name);
        all.given.retain(|weaker| !has(weaker.option.name));
        #[cfg(feature = "proxy")]
        all.routes.retain(|_| !has("route"));
        all.given.extend(stronger);
    }
    Ok(all)
}

/// Takes all that is given, with the tables of a file.
fn take_all(arguments: &mut Arguments, all: config::Settings) -> Result<(), Failure> {
    #[cfg(feature = "proxy")]
    {
        arguments.routes = all.routes;
    }
    #[cfg(feature = "operations")]
    {
        arguments.misspelled = all.misspelled;
        let shown = |given: &Given| (given.option.name, given.value.clone(), given.place.clone());
        arguments.shown = all.given.iter().map(shown).collect();
        let format = arguments.shown.iter().rfind(|(name, ..)| *name == "log-format");
        let parsed = format.and_then(|(_, value, _)| Format::parse(value.as_ref()?.to_str()?));
        if let Some(format) = parsed {
            expect(format);
        }
    }
    take(arguments, all.given)
}

/// Takes all given values.
fn take(arguments: &mut Arguments, given: Vec<Given>) -> Result<(), Failure> {
    given.into_iter().try_for_each(|given| given.take(arguments))
}

fn take_operand(command: &Spec, arguments: &mut Arguments, word: OsString) -> Result<(), Failure> {
    let shown = word.to_string_lossy();
    #[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
    let shown = lockgate::internal::without_userinfo(&shown);
    let usage = command.usage();
    match command.operands {
        Operands::None => Err(Failure::usage(format!(
            "{shown:?} is neither an option nor the value of one; lockgate {} --help lists the options",
            command.name
        ))),
        Operands::Some { what, .. } if word.is_empty() => {
            Err(Failure::usage(format!("\"\" is not accepted here; give {what}, as in {usage}")))
        }
        Operands::Some { name, most, .. } if arguments.operands.len() >= most => {
            Err(Failure::usage(format!("{shown:?} is one {name} too many; what is right is {usage}")))
        }
        Operands::Some { .. } => {
            arguments.operands.push(word.into());
            Ok(())
        }
    }
}

/// The error for an unknown option: this build lacks it, another command has it, or no command does.
fn no_option(commands: Commands, command: &Spec, spelling: &str) -> Failure {
    let name = spelling.trim_start_matches('-');
    let not_built = |command: &Spec| commands.option_not_built(command, name);
    if let Some(why) = not_built(command).or_else(|| not_built(command.of_another()?)) {
        return Failure::usage(format!("{spelling}: {why}"));
    }
    let has_it = |other: &&&Spec| other.options().any(|option| option.is_spelled(spelling));
    let others: Vec<&str> = commands.all.iter().filter(has_it).map(|other| other.name).collect();
    if others.is_empty() {
        let meant = meant(name, command.options().map(|option: &Opt| option.name), "--");
        let all = format!("lockgate {} --help lists all there are", command.name);
        return Failure::usage(format!("there is no option {spelling}{meant}; {all}"));
    }
    Failure::usage(format!("{spelling} is an option of {}, not of {}", listed(&others), command.name))
}

/// The error that lexopt finds by itself: a value for an option that takes none.
fn unexpected(error: lexopt::Error) -> Failure {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            Failure::usage(format!("{option} takes no value, and {:?} was given", value.to_string_lossy()))
        }
        other => Failure::usage(other.to_string()),
    }
}

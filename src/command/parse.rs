//! From the command line to what is wished for, or to a message that says what is wrong with it and what would be right.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use lockgate::{FieldNames, HttpCredentials, Limits};

use super::cert::obtain::FromAuthority;
use super::config::{self, Given, Place};
use super::exit::{Code, Failure};
use super::options::{self, Opt};
use super::spec::{listed, Command, Operands};
use super::value::Listen;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Wish {
    Help(Topic),
    Version,
    Run(Command, Box<Arguments>),
}

/// What help is asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Everything,
    /// The commands that begin with this word.
    Group(String),
    Command(Command),
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientDemand {
    Required,
    Optional,
}

/// All that a command line can say beside the command, with the defaults.
#[derive(Debug)]
pub(super) struct Arguments {
    /// What is no option, in the order given.
    pub operands: Vec<PathBuf>,
    /// As many as there are keys; the first pair is the default.
    pub certs: Vec<PathBuf>,
    pub keys: Vec<PathBuf>,
    /// The one key that a command about certificates has.
    pub key: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub names: Vec<String>,
    pub out: Option<PathBuf>,
    /// Where settings beside those of the command line are.
    pub config: Option<PathBuf>,
    /// What is wrong with the settings of a server that is checked before it serves.
    pub settings_fault: Option<String>,
    pub client_ca: Option<PathBuf>,
    pub client_auth: Option<ClientDemand>,
    pub client_crls: Vec<PathBuf>,
    pub dir: PathBuf,
    pub device: bool,
    pub acme: FromAuthority,
    pub https: Listen,
    pub http: Option<Listen>,
    pub public_name: Option<String>,
    pub public_port: Option<u16>,
    pub credentials: HttpCredentials,
    pub credential_headers: Vec<String>,
    pub field_names: FieldNames,
    pub tls_record_bytes: Option<usize>,
    pub limits: Limits,
    /// What a check trusts beside the authorities that everybody does.
    pub ca: Option<PathBuf>,
    /// Where a check tries plain HTTP.
    pub http_port: Option<u16>,
    /// What a check connects to instead of looking up the host.
    pub connect: Option<(IpAddr, Option<u16>)>,
    /// The tree that is looked through.
    pub source: Option<PathBuf>,
    /// Those that serve HTTPS.
    pub hosts: Vec<String>,
    /// The finding to be explained.
    pub explain: Option<String>,
    /// The JSON Schema of reports is asked for.
    pub schema: bool,
    pub fix: bool,
    pub yes: bool,
    pub sarif: bool,
    pub json: bool,
    /// How often -v was given, less how often -q was.
    pub verbosity: i8,
    pub help: bool,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            operands: Vec::new(),
            certs: Vec::new(),
            keys: Vec::new(),
            key: None,
            state: None,
            names: Vec::new(),
            out: None,
            config: None,
            settings_fault: None,
            client_ca: None,
            client_auth: None,
            client_crls: Vec::new(),
            dir: "certs".into(),
            device: false,
            acme: FromAuthority::default(),
            https: Listen::on_all(8443),
            http: Some(Listen::on_all(80)),
            public_name: None,
            public_port: None,
            credentials: HttpCredentials::default(),
            credential_headers: Vec::new(),
            field_names: FieldNames::default(),
            tls_record_bytes: None,
            limits: Limits::default(),
            ca: None,
            http_port: Some(80),
            connect: None,
            source: None,
            hosts: Vec::new(),
            explain: None,
            schema: false,
            fix: false,
            yes: false,
            sarif: false,
            json: false,
            verbosity: 0,
            help: false,
        }
    }
}

/// Reads a whole command line, the program's name first.
pub(super) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Wish, Failure> {
    let mut parser = lexopt::Parser::from_iter(line);
    let all = || commands(Command::ALL.iter().copied(), "lockgate");
    let word = match parser.next().map_err(unexpected)? {
        None => return Err(Failure::usage(format!("what to do is missing: {}", all()))),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Wish::Help(Topic::Everything)),
        Some(Arg::Long("version") | Arg::Short('V')) => return Ok(Wish::Version),
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(option) => return Err(too_early(&option, &all())),
    };
    if word == "help" {
        return Ok(Wish::Help(Topic::Everything));
    }
    let (name, there_are) = if Command::of_group(&word).next().is_none() {
        (word, all())
    } else {
        let there_are = commands(Command::of_group(&word), &format!("lockgate {word}"));
        match parser.next().map_err(unexpected)? {
            None => return Err(Failure::usage(format!("{word} is the first word of two: {there_are}"))),
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Wish::Help(Topic::Group(word))),
            Some(Arg::Value(second)) => (format!("{word} {}", second.to_string_lossy()), there_are),
            Some(option) => return Err(too_early(&option, &there_are)),
        }
    };
    let Some(command) = Command::named(&name) else {
        let meant = meant(&name, Command::ALL.iter().map(|command| command.name()), "");
        return Err(Failure::usage(format!("{name:?} is not a command{meant}; {there_are}")));
    };
    let arguments = arguments_of(command, &mut parser).map_err(|failure| match failure.code {
        Code::Usage => Failure { code: command.spec().usage_code, ..failure },
        _ => failure,
    })?;
    Ok(if arguments.help {
        Wish::Help(Topic::Command(command))
    } else {
        Wish::Run(command, Box::new(arguments))
    })
}

fn commands(commands: impl Iterator<Item = Command>, program: &str) -> String {
    let names: Vec<&str> = commands.map(Command::name).collect();
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

fn arguments_of(command: Command, parser: &mut lexopt::Parser) -> Result<Arguments, Failure> {
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
        let named: Vec<&'static Opt> = options::all().filter(|option| option.is_spelled(&spelling)).collect();
        let Some(option) = named.iter().copied().find(|option| option.is_of(command)) else {
            return Err(if named.is_empty() {
                unknown(&spelling, command)
            } else {
                of_another_command(&named, &spelling, command)
            });
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
    if Command::SERVING.contains(&command) && !given.iter().any(|given| given.option.name == "help") {
        given = with_settings(command, given)?;
    }
    // With a URL, --cert and --key are those of a client.
    let is_before =
        arguments.operands.is_empty() && given.iter().any(|given| BEFORE.contains(&given.option.name));
    if command == Command::Check && is_before {
        take_to_be_checked(&mut arguments, given)?;
    } else {
        take(&mut arguments, given)?;
    }
    let given = arguments.operands.len();
    match command.spec().operands {
        Operands::Some { name, what, least, .. } if given < least && !arguments.help => {
            let usage = usage(command);
            Err(Failure::usage(format!("{name} is missing: give {what}, as in {usage}")))
        }
        _ => Ok(arguments),
    }
}

/// The options that make `check` look at what is to be served.
pub(super) const BEFORE: [&str; 4] = ["config", "cert", "key", "device"];

/// As `serve` would take it, with the file and the environment; what is wrong there is what `check` was asked for.
fn take_to_be_checked(arguments: &mut Arguments, given: Vec<Given>) -> Result<(), Failure> {
    let on_the_line: Vec<Given> = given.clone();
    let whole = with_settings(Command::Serve, given).and_then(|all| take(arguments, all));
    match whole {
        Err(failure) if failure.code == Code::Configuration => {
            arguments.settings_fault = Some(failure.message);
            take(arguments, on_the_line)
        }
        other => other,
    }
}

/// The same with what the environment says beside the command line, and the file that one of the two names.
fn with_settings(command: Command, given: Vec<Given>) -> Result<Vec<Given>, Failure> {
    let is_config = |given: &&Given| given.option.name == "config";
    let file = match given.iter().rfind(is_config) {
        Some(Given { value: Some(path), .. }) => config::from_file(command, Path::new(path))?,
        _ => Vec::new(),
    };
    let environment = config::from_environment(command, |name| std::env::var_os(name))?;
    // The last has the last word; of an option that counts several times, all of it.
    let mut all = file;
    for stronger in [environment, given] {
        all.retain(|weaker| !stronger.iter().any(|given| given.option.name == weaker.option.name));
        all.extend(stronger);
    }
    Ok(all)
}

/// Takes every value that is given; a value that is not accepted is an error of its place.
fn take(arguments: &mut Arguments, given: Vec<Given>) -> Result<(), Failure> {
    for Given { option, value, place } in given {
        let Some(value) = value else {
            option.turn_on(arguments);
            continue;
        };
        let shown = value.to_string_lossy().into_owned();
        option.take(arguments, value).ok_or_else(|| {
            place.fault(format_args!(": {shown:?} is not accepted here; give {}", option.accepted()))
        })?;
    }
    Ok(())
}

fn take_operand(command: Command, arguments: &mut Arguments, word: OsString) -> Result<(), Failure> {
    let shown = word.to_string_lossy();
    let usage = usage(command);
    match command.spec().operands {
        Operands::None => Err(Failure::usage(format!(
            "{shown:?} is neither an option nor the value of one; lockgate {} --help lists the options",
            command.name()
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

/// A command line of this command, as the help shows it.
pub(super) fn usage(command: Command) -> String {
    format!("lockgate {} {}", command.name(), command.spec().synopsis)
}

fn unknown(spelling: &str, command: Command) -> Failure {
    let names = options::of(command).map(|option| option.name);
    let meant = meant(spelling.trim_start_matches('-'), names, "--");
    Failure::usage(format!(
        "there is no option {spelling}{meant}; lockgate {} --help lists all there are",
        command.name()
    ))
}

fn of_another_command(options: &[&Opt], spelling: &str, command: Command) -> Failure {
    let others: Vec<&str> = options.iter().flat_map(|option| option.of).map(|other| other.name()).collect();
    Failure::usage(format!("{spelling} is an option of {}, not of {}", listed(&others), command.name()))
}

/// The one thing lexopt finds by itself: a value for what takes none.
fn unexpected(error: lexopt::Error) -> Failure {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            Failure::usage(format!("{option} takes no value, and {:?} was given", value.to_string_lossy()))
        }
        other => Failure::usage(other.to_string()),
    }
}

/// Asks whether one of `names` was meant, if one is close enough to `given`.
pub(super) fn meant(given: &str, names: impl IntoIterator<Item = &'static str>, prefix: &str) -> String {
    let closest = names
        .into_iter()
        .map(|name| (distance(given, name), name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len() / 5);
    match closest {
        Some((_, name)) => format!("; is {prefix}{name} meant?"),
        None => String::new(),
    }
}

/// How many letters must be changed, left out or put in to make `a` of `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = line + 1;
        next.push(left);
        for (pair, y) in row.windows(2).zip(&b) {
            // Windows of two have two elements.
            let (diagonal, above) = (pair[0], pair[1]);
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::options::Kind;

    fn read(words: &[&str]) -> Result<Wish, String> {
        let line = std::iter::once("lockgate").chain(words.iter().copied());
        parse(line.map(OsString::from)).map_err(|failure| {
            let is_of_a_report = words.starts_with(&["cert", "show"]);
            let code = if is_of_a_report { Code::UsageOfReport } else { Code::Usage };
            assert_eq!(failure.code, code, "{words:?}");
            failure.message
        })
    }

    fn arguments(line: &[&str]) -> Arguments {
        match read(line) {
            Ok(Wish::Run(_, arguments)) => *arguments,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn every_limit_has_an_option_that_lands_in_it() {
        let shown = format!("{:?}", Limits::default());
        let fields: Vec<&str> = shown
            .trim_start_matches("Limits { ")
            .trim_end_matches(" }")
            .split(", ")
            .filter_map(|field| field.split_once(':').map(|(name, _)| name))
            .collect();
        let names: Vec<String> = options::LIMITS.iter().map(|option| option.name.replace('-', "_")).collect();
        assert_eq!(names, fields);

        for option in options::LIMITS {
            let name = format!("--{}", option.name);
            let mut default = Limits::default();
            let (line, expected): (&[&str], String) = match option.kind {
                Kind::Count(field) => {
                    *field(&mut default) = 77;
                    (&["serve", &name, "77"], format!("{default:?}"))
                }
                Kind::Size(field) => {
                    *field(&mut default) = 3 << 10;
                    (&["serve", &name, "3KiB"], format!("{default:?}"))
                }
                Kind::LongSize(field) => {
                    *field(&mut default) = 3 << 20;
                    (&["serve", &name, "3MiB"], format!("{default:?}"))
                }
                Kind::Time(field) => {
                    *field(&mut default) = Duration::from_secs(180);
                    (&["serve", &name, "3m"], format!("{default:?}"))
                }
                Kind::Switch(field) => {
                    *field(&mut default) = true;
                    (&["serve", &name], format!("{default:?}"))
                }
                Kind::Value { .. } | Kind::Flag(_) => panic!("{name} is no limit"),
            };
            assert!(!expected.eq(&shown), "{name}");
            // The field of the option's own name, and no other.
            let changed: Vec<_> = expected
                .split(", ")
                .zip(shown.split(", "))
                .filter(|(new, old)| new != old)
                .map(|(new, _)| new.trim_start_matches("Limits { ").split(':').next().unwrap())
                .collect();
            assert_eq!(changed, [option.name.replace('-', "_")]);
            assert_eq!(format!("{:?}", arguments(line).limits), expected, "{name}");
        }
    }

    #[test]
    fn every_other_option_lands_where_it_belongs() {
        let given = arguments(&[
            "serve",
            "--cert",
            "a.pem",
            "--key=b.pem",
            "--https",
            "127.0.0.1:1",
            "--http",
            "2",
            "--public-name",
            "device.example",
            "--public-port",
            "443",
            "--http-credentials",
            "refuse",
            "--device",
            "--state",
            "c",
            "--name",
            "a.example",
            "--name=b.example",
            "--credential-header",
            "X-A",
            "--credential-header",
            "X-B",
            "--field-names",
            "title",
            "--tls-record-bytes",
            "4KiB",
            "-vv",
            "-q",
            "--verbose",
        ]);
        assert_eq!(given.certs, [PathBuf::from("a.pem")]);
        assert_eq!(given.keys, [PathBuf::from("b.pem")]);
        assert_eq!(given.https.to_string(), "127.0.0.1:1");
        assert_eq!(given.http, Some(Listen::on_all(2)));
        assert_eq!(given.public_name.as_deref(), Some("device.example"));
        assert_eq!(given.public_port, Some(443));
        assert_eq!(given.credentials, HttpCredentials::Refuse);
        assert!(given.device);
        assert_eq!(given.state, Some("c".into()));
        assert_eq!(given.names, ["a.example", "b.example"]);
        assert_eq!(given.credential_headers, ["X-A", "X-B"]);
        assert_eq!(given.field_names, FieldNames::TitleCase);
        assert_eq!(given.tls_record_bytes, Some(4096));
        assert_eq!(given.verbosity, 2);
        assert_eq!(arguments(&["demo", "--dir", "x", "--http", "off"]).dir, PathBuf::from("x"));
        assert_eq!(arguments(&["demo", "--http", "off"]).http, None);
        let given = arguments(&["cert", "show", "--json", "a.pem", "--key", "b.pem"]);
        assert_eq!(given.operands, [PathBuf::from("a.pem")]);
        assert_eq!(given.key, Some("b.pem".into()));
        assert!(given.json);
        assert_eq!(arguments(&["cert", "show", "--", "-a.pem"]).operands, [PathBuf::from("-a.pem")]);
    }

    #[test]
    fn the_defaults_are_those_that_the_help_names() {
        let default = Arguments::default();
        for option in options::all() {
            let (Some(shown), Some(_)) = (option.default(), option.value_name()) else {
                continue;
            };
            let mut taken = Arguments::default();
            option.take(&mut taken, shown.clone().into()).unwrap_or_else(|| panic!("{shown}"));
            // Written out, [::] is a choice, and without it the machine decides; the port is the default either way.
            taken.https.address = None;
            if let Some(http) = &mut taken.http {
                http.address = None;
            }
            assert_eq!(format!("{taken:?}"), format!("{default:?}"), "--{}", option.name);
        }
    }

    #[test]
    fn help_and_version_are_found_wherever_users_look() {
        for line in [&["--help"][..], &["-h"], &["help"]] {
            assert!(matches!(read(line), Ok(Wish::Help(Topic::Everything))), "{line:?}");
        }
        for line in [&["serve", "--help"][..], &["serve", "--cert", "x", "-h"]] {
            assert!(matches!(read(line), Ok(Wish::Help(Topic::Command(Command::Serve)))), "{line:?}");
        }
        assert!(matches!(read(&["demo", "-h"]), Ok(Wish::Help(Topic::Command(Command::Demo)))));
        assert!(matches!(read(&["cert", "show", "-h"]), Ok(Wish::Help(Topic::Command(Command::CertShow)))));
        for line in [["cert", "--help"], ["cert", "-h"]] {
            assert!(matches!(read(&line), Ok(Wish::Help(Topic::Group(word))) if word == "cert"), "{line:?}");
        }
        for line in ["--version", "-V"] {
            assert!(matches!(read(&[line]), Ok(Wish::Version)), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (line, parts) in [
            (&[][..], &["the commands are serve, demo"][..]),
            (&["sevre"], &["\"sevre\" is not a command", "the commands are"]),
            (&["serv"], &["is serve meant?"]),
            (&["--cert", "x"], &["--cert stands before the command"]),
            (&["-x"], &["-x stands before the command"]),
            (
                &["serve", "--idle-timeot", "1"],
                &["no option --idle-timeot", "is --idle-timeout meant?", "lockgate serve --help"],
            ),
            (&["serve", "--idletimeout", "1"], &["is --idle-timeout meant?"]),
            (&["serve", "-x"], &["no option -x"]),
            (&["serve", "x\ny"], &["\"x\\ny\" is neither an option"]),
            (&["serve", "--dir", "x"], &["--dir is an option of demo, not of serve"]),
            (&["demo", "--cert", "x"], &["--cert is an option of serve", "not of demo"]),
            (
                &["serve", "--json"],
                &["--json is an option of cert show, cert status and check, not of serve"],
            ),
            (
                &["cert", "show", "x", "--workers", "1"],
                &["--workers is an option of serve and demo, not of cert show"],
            ),
            (&["cert"], &["cert is the first word of two", "cert show", "lockgate cert --help explains"]),
            (
                &["cert", "shwo", "x"],
                &["\"cert shwo\" is not a command; is cert show meant?", "lockgate cert --help"],
            ),
            (&["cert-show", "x"], &["is cert show meant?"]),
            (&["cert", "--json", "show"], &["--json stands before the command; the command"]),
            (&["cert", "show"], &["FILE is missing: give a PEM file", "lockgate cert show FILE"]),
            (&["cert", "show", ""], &["\"\" is not accepted here; give a PEM file"]),
            (&["cert", "show", "a", "b"], &["\"b\" is one FILE too many", "lockgate cert show FILE"]),
            (&["serve", "--cert"], &["--cert needs a value: the path of a PEM file"]),
            (&["serve", "--cert="], &["--cert: \"\" is not accepted"]),
            (&["serve", "--verbose=3"], &["--verbose takes no value, and \"3\" was given"]),
            (&["serve", "--count-loopback=yes"], &["--count-loopback takes no value"]),
            (&["serve", "--idle-timeout", "soon"], &["--idle-timeout: \"soon\"", "500ms, 60s, 2m"]),
            (&["serve", "--body-bytes", "1MB"], &["--body-bytes: \"1MB\"", "64KiB, 1MiB"]),
            (&["serve", "--workers", "-1"], &["--workers: \"-1\"", "a whole number"]),
            (&["serve", "--https", "localhost:1"], &["--https: \"localhost:1\"", "127.0.0.1:8443"]),
            (&["serve", "--http", "no"], &["--http: \"no\"", "off, a port"]),
            (&["serve", "--public-port", "0"], &["--public-port: \"0\"", "1 to 65535"]),
            (&["serve", "--field-names", "Title"], &["--field-names: \"Title\"", "lower or title"]),
            (&["serve", "--tls-record-bytes", "127"], &["--tls-record-bytes: \"127\"", "from 128 to 16KiB"]),
            (&["serve", "--tls-record-bytes", "17KiB"], &["--tls-record-bytes: \"17KiB\"", "128"]),
            (&["serve", "--http-credentials", "x"], &["warn or refuse"]),
        ] {
            let message = read(line).expect_err(&format!("{line:?}"));
            for part in parts {
                assert!(message.contains(part), "{line:?}: {message}");
            }
        }
        let far = read(&["serve", "--frobnicate"]).unwrap_err();
        assert!(!far.contains("meant"), "{far}");
    }

    #[test]
    fn no_command_has_two_options_of_one_name() {
        for &command in Command::ALL {
            let mut names: Vec<_> = options::of(command).map(|option| option.name).collect();
            let mut letters: Vec<_> = options::of(command).filter_map(|option| option.short).collect();
            let (all_names, all_letters) = (names.len(), letters.len());
            names.sort_unstable();
            names.dedup();
            letters.sort_unstable();
            letters.dedup();
            assert_eq!((names.len(), letters.len()), (all_names, all_letters), "{}", command.name());
        }
    }

    #[test]
    fn letters_are_counted() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ä", "a", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}

//! How command lines are read, with the commands of this build and with fewer. Stands on top of `parse`, `help` and `registry`,
//! so that none of them has to know another one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lockgate::{FieldNames, HttpCredentials, Limits};

use super::arguments::Arguments;
use super::exit::Code;
use super::help;
use super::option::Kind;
use super::options::limits::LIMITS;
use super::parse::{parse, Invocation, Topic};
use super::registry::COMMANDS;
use super::spec::{Commands, Part};
use super::value::Listen;

fn read(words: &[&str]) -> Result<Invocation, String> {
    let line = std::iter::once("lockgate").chain(words.iter().copied());
    parse(COMMANDS, line.map(OsString::from)).map_err(|failure| {
        let is_of_a_report = words.starts_with(&["cert", "show"]);
        let code = if is_of_a_report { Code::UsageOfReport } else { Code::Usage };
        assert_eq!(failure.code, code, "{words:?}");
        failure.message
    })
}

fn helped(line: &[&str]) -> &'static str {
    match read(line) {
        Ok(Invocation::Help(Topic::Command(command))) => command.name,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn arguments(line: &[&str]) -> Arguments {
    match read(line) {
        Ok(Invocation::Run(_, arguments)) => *arguments,
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
    let names: Vec<String> = LIMITS.iter().map(|option| option.name.replace('-', "_")).collect();
    assert_eq!(names, fields);

    for option in LIMITS {
        let name = format!("--{}", option.name);
        let mut default = Limits::default();
        let (line, expected): (Vec<&str>, String) = match option.kind {
            Kind::Count(field) => {
                *field(&mut default) = 77;
                (vec!["serve", &name, "77"], format!("{default:?}"))
            }
            Kind::Size(field) => {
                *field(&mut default) = 3 << 10;
                (vec!["serve", &name, "3KiB"], format!("{default:?}"))
            }
            Kind::LongSize(field) => {
                *field(&mut default) = 3 << 20;
                (vec!["serve", &name, "3MiB"], format!("{default:?}"))
            }
            Kind::Time(field) => {
                *field(&mut default) = Duration::from_secs(180);
                (vec!["serve", &name, "3m"], format!("{default:?}"))
            }
            Kind::Switch(field) => {
                *field(&mut default) = true;
                (vec!["serve", &name], format!("{default:?}"))
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
        assert_eq!(format!("{:?}", arguments(&line).limits), expected, "{name}");
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
    for option in COMMANDS.all.iter().flat_map(|command| command.options()) {
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
        assert!(matches!(read(line), Ok(Invocation::Help(Topic::Everything))), "{line:?}");
    }
    for line in [&["serve", "--help"][..], &["serve", "--cert", "x", "-h"]] {
        assert_eq!(helped(line), "serve");
    }
    assert_eq!(helped(&["demo", "-h"]), "demo");
    assert_eq!(helped(&["cert", "show", "-h"]), "cert show");
    for line in [["cert", "--help"], ["cert", "-h"]] {
        assert!(
            matches!(read(&line), Ok(Invocation::Help(Topic::Group(word))) if word == "cert"),
            "{line:?}"
        );
    }
    for line in ["--version", "-V"] {
        assert!(matches!(read(&[line]), Ok(Invocation::Version)), "{line}");
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
        (&["serve", "--json"], &["--json is an option of ", "cert show", ", not of serve"]),
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
    for &command in COMMANDS.all {
        let names: Vec<_> = command.options().map(|option| option.name).collect();
        let letters: Vec<_> = command.options().filter_map(|option| option.short).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", command.name);
        assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), letters.len(), "{}", command.name);
    }
}

/// The commands of a build without the features `acme`, `check` and `scan`.
fn least() -> Commands {
    let parts = COMMANDS.parts.iter().map(|part| Part { is_built: false, ..*part }).collect::<Vec<_>>();
    let needs_one = |name: &&str| ["check", "cert obtain", "cert renew", "cert status"].contains(name);
    let all = COMMANDS.all.iter().copied().filter(|command| !needs_one(&command.name)).collect::<Vec<_>>();
    Commands { all: all.leak(), parts: parts.leak() }
}

fn refused(commands: Commands, line: &[&str]) -> (Code, String) {
    let words = std::iter::once("lockgate").chain(line.iter().copied()).map(OsString::from);
    let failure = parse(commands, words).expect_err(&format!("{line:?}"));
    (failure.code, failure.message)
}

#[test]
fn what_is_not_built_in_is_named_with_the_feature_and_the_way_out() {
    let way_out = |features: &str| {
        format!("lockgate was built without {features}; cargo install lockgate --features cli")
    };
    for (line, code, what, features) in [
        // 1 and 2 are what a check ends with that has found something.
        (&["check", "https://a/"][..], Code::UsageOfReport, "check", "check and scan"),
        (&["cert", "obtain"], Code::Usage, "cert obtain", "acme"),
        (&["cert", "renew", "--force"], Code::Usage, "cert renew", "acme"),
    ] {
        let (given, message) = refused(least(), line);
        assert_eq!((given, message), (code, format!("{what}: {}", way_out(features))), "{line:?}");
    }
    // Of a command that is there, an option may be missing.
    let cut = least();
    let serve = cut.named("serve").unwrap();
    assert_eq!(cut.option_not_built(serve, "acme"), Some(way_out("acme")));
    assert_eq!(cut.option_not_built(serve, "source"), None, "no build gives it to serve");
    #[cfg(not(feature = "acme"))]
    assert_eq!(
        refused(COMMANDS, &["serve", "--acme", "letsencrypt"]),
        (Code::Usage, format!("--acme: {}", way_out("acme")))
    );
    #[cfg(all(feature = "check", not(feature = "scan")))]
    assert_eq!(
        refused(COMMANDS, &["check", "--source", "."]),
        (Code::UsageOfReport, format!("--source: {}", way_out("scan")))
    );
    #[cfg(all(feature = "scan", not(feature = "check")))]
    assert_eq!(
        refused(COMMANDS, &["check", "--ca", "ca.pem"]),
        (Code::UsageOfReport, format!("--ca: {}", way_out("check")))
    );
}

#[test]
fn the_help_lists_what_is_built_in_and_nothing_else() {
    let has = |feature: &str| COMMANDS.parts.iter().find(|part| part.feature == feature).unwrap().is_built;
    let general = help::general(COMMANDS);
    for (command, is_built) in [
        ("serve", true),
        ("demo", true),
        ("check", has("check") || has("scan")),
        ("cert show", true),
        ("cert csr", true),
        ("cert install", true),
        ("cert ca", true),
        ("cert obtain", has("acme")),
        ("cert renew", has("acme")),
        ("cert status", has("acme")),
    ] {
        assert_eq!(general.contains(&format!("  lockgate {command} ")), is_built, "{command}: {general}");
        assert_eq!(COMMANDS.named(command).is_some(), is_built, "{command}");
    }
    let serve = help::of(COMMANDS.named("serve").unwrap());
    assert_eq!(serve.contains("acme"), has("acme"), "{serve}");
    let check = COMMANDS.named("check").map(help::of).unwrap_or_default();
    for (words, is_built) in [("--source", has("scan")), ("--http-port", has("check")), ("URL", has("check"))]
    {
        assert_eq!(check.contains(words), is_built, "{words}: {check}");
    }
    let least = help::general(least());
    assert!(!least.contains("lockgate check") && !least.contains("cert obtain"), "{least}");
}

/// The names of what a build may lack are written beside the registry, where no compiler compares them.
#[test]
fn every_part_that_may_be_missing_is_named_as_it_is() {
    for part in COMMANDS.parts {
        let commands: Vec<_> = part.commands.iter().filter_map(|name| COMMANDS.named(name)).collect();
        let has =
            |name: &str| commands.iter().any(|command| command.options().any(|option| option.name == name));
        for option in part.options() {
            assert_eq!(has(option), part.is_built, "{option} of {}", part.feature);
        }
        assert!(!part.is_built || commands.len() == part.commands.len(), "{}", part.feature);
    }
}

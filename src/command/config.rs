//! Settings from beside the command line: a TOML file, and the environment. Both know the options of a command by the same
//! names. The command line comes before the environment, and the environment before the file.
//!
//! The parser calls it once the command line is read.

use std::ffi::OsString;
use std::path::Path;

use lockgate::internal::regular_file::{self, Links};
use toml::de::DeTable;
#[cfg(feature = "proxy")]
use toml::{de::DeValue, Spanned};

use super::exit::Code;
use super::failure::Failure;
use super::given::Given;
use super::option::{Opt, Repeats};
use super::place::Place;
#[cfg(feature = "proxy")]
use super::route::Route;
#[cfg(feature = "proxy")]
use super::route_table;
use super::spec::{Commands, Spec};
#[cfg(feature = "operations")]
use super::suggest::closest;
use super::suggest::meant;

/// Larger than any file of settings, and small enough to be read whole.
const MOST_BYTES: u64 = 1 << 20;

/// The variable of an option.
fn variable_of(option: &str) -> String {
    format!("LOCKGATE_{}", option.replace('-', "_").to_ascii_uppercase())
}

/// The file that the environment names. A command without such an option has none.
pub(super) fn file_from_environment(command: &'static Spec) -> Option<Given> {
    let option = command.options().find(|option| option.name == "config")?;
    let name = variable_of(option.name);
    let value = std::env::var_os(&name).filter(|value| !value.is_empty())?;
    Some(Given { option, value: Some(value), place: Place::Environment(name) })
}

/// What to say of variables that are no setting, and whose names are close to that of one. Others are another program's.
#[cfg(feature = "operations")]
pub(super) fn misspelled(command: &'static Spec, variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let settings: Vec<&'static str> =
        command.options().filter(|option| option.is_a_setting()).map(|option| option.name).collect();
    variables
        .filter_map(|variable| {
            let variable = variable.to_str()?;
            let name = variable.strip_prefix("LOCKGATE_")?.to_ascii_lowercase().replace('_', "-");
            let close = closest(&name, settings.iter().copied()).filter(|close| *close != name)?;
            let right = variable_of(close);
            Some(format!(
                "{variable} in the environment is no setting of {}; is {right} meant?",
                command.name
            ))
        })
        .collect()
}

/// What the environment says about this command: `LOCKGATE_IDLE_TIMEOUT` for `--idle-timeout`. Other names are left alone;
/// container systems make some of their own.
pub(super) fn from_environment(
    commands: Commands,
    command: &'static Spec,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Given>, Failure> {
    // Left out without a word, such a setting would start another server than the user wants.
    let given_in_vain =
        commands.options_not_built(command).find(|name| variable(&variable_of(name)).is_some());
    if let Some((name, why)) =
        given_in_vain.and_then(|name| Some((name, commands.option_not_built(command, name)?)))
    {
        return Err(Failure::at(&Place::Environment(variable_of(name)), format_args!(": {why}")));
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
            Some("true" | "on" | "1") => given.push(Given::switched(option, true, place)),
            Some("false" | "off" | "0") => given.push(Given::switched(option, false, place)),
            _ => {
                return Err(Failure::at(
                    &place,
                    format_args!(": {value:?} is not accepted here; give true or false, or on or off"),
                ))
            }
        }
    }
    Ok(given)
}

/// What a file says.
#[derive(Default)]
pub(super) struct Settings {
    pub given: Vec<Given>,
    /// Variables of the environment that look like misspelled settings.
    #[cfg(feature = "operations")]
    pub misspelled: Vec<String>,
    /// Those that are tables.
    #[cfg(feature = "proxy")]
    pub routes: Vec<Route>,
}

/// What a file says. Paths in it are relative to its folder.
pub(super) fn from_file(
    commands: Commands,
    command: &'static Spec,
    path: &Path,
) -> Result<Settings, Failure> {
    let fault = |what: String| Failure::new(Code::Configuration, format!("{}: {what}", path.display()));
    let text = regular_file::read_text(path, Links::Followed, MOST_BYTES)
        .map_err(|error| fault(format!("cannot be read: {error}; give the path of a TOML file")))?;
    read(commands, command, path, &text)
}

fn read(commands: Commands, command: &'static Spec, path: &Path, text: &str) -> Result<Settings, Failure> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_at = |offset: usize| ends.partition_point(|end| *end < offset) + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        let several = several_meant(command, error.message(), error.span().and_then(|span| text.get(span)));
        let what = format!("{}:{line}: is not TOML: {}{several}", path.display(), error.message());
        Failure::new(Code::Configuration, what)
    })?;
    let mut settings = Settings::default();
    for (name, value) in table.get_ref() {
        let line = line_at(name.span().start);
        let name = name.get_ref().to_string();
        let place = Place::File { path: path.to_path_buf(), line, name: name.clone() };
        let known: Vec<&'static Opt> = command.options().filter(|option| option.is_a_setting()).collect();
        let Some(option) = known.iter().copied().find(|option| option.name == name) else {
            if let Some(why) = commands.option_not_built(command, &name) {
                return Err(Failure::at(&place, format_args!(": {why}")));
            }
            #[cfg(feature = "proxy")]
            if route_table::KEYS.contains(&&*name) {
                return Err(Failure::at(
                    &place,
                    format_args!(" is a setting of a route; put it below a [[route]]"),
                ));
            }
            let meant = meant(&name, known.iter().map(|option| option.name), "");
            return Err(Failure::at(
                &place,
                format_args!(
                    " is not a setting{meant}; those of lockgate {0} --help are, without the dashes",
                    command.name
                ),
            ));
        };
        #[cfg(feature = "proxy")]
        if let ("route", DeValue::Table(_)) = (option.name, value.get_ref()) {
            return Err(Failure::at(
                &place,
                format_args!(" is one table; write [[route]], with two brackets, for each"),
            ));
        }
        #[cfg(feature = "proxy")]
        let option_named = |name: &str| known.iter().copied().find(|option| option.name == name);
        #[cfg(feature = "proxy")]
        if let ("route", DeValue::Array(array)) = (option.name, value.get_ref()) {
            let is_table = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(_));
            if array.iter().any(is_table) {
                for value in array.iter() {
                    let DeValue::Table(table) = value.get_ref() else {
                        return Err(Failure::at(
                            &place,
                            format_args!(" has tables and other values; give [[route]] tables only"),
                        ));
                    };
                    let line = line_at(value.span().start);
                    settings.routes.push(route_table::read(table, path, line, &line_at, &option_named)?);
                }
                continue;
            }
        }
        settings.given.extend(Given::all_of(option, value.get_ref(), &place)?);
    }
    Ok(settings)
}

/// The way out for a key that was given twice, as its option may be on the command line.
fn several_meant(command: &Spec, message: &str, key: Option<&str>) -> String {
    let key = key.unwrap_or_default().trim();
    let repeats = |option: &&'static Opt| option.repeats == Repeats::All && option.name == key;
    match command.options().find(repeats) {
        Some(_) if message.contains("duplicate key") => {
            format!(" {key}; give several values as an array: {key} = [\"A\", \"B\"]")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::given::OFF;
    use crate::command::registry::COMMANDS;

    fn serve() -> &'static Spec {
        COMMANDS.named("serve").unwrap()
    }

    fn settings(text: &str) -> Result<Vec<(&'static str, Option<String>)>, String> {
        let read = read(COMMANDS, serve(), Path::new("etc/lockgate.toml"), text);
        let Settings { given, .. } = read.map_err(|failure| {
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
        assert_eq!(settings("count-loopback = false"), Ok(vec![("count-loopback", text(OFF))]));
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

    #[cfg(feature = "proxy")]
    fn routes(text: &str) -> Result<Vec<Route>, String> {
        let read = read(COMMANDS, serve(), Path::new("etc/lockgate.toml"), text);
        read.map(|settings| settings.routes).map_err(|failure| {
            assert_eq!(failure.code, Code::Configuration);
            failure.message
        })
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn a_route_table_says_who_answers_and_under_which_limits() {
        use crate::command::route::{Answer, Backends, ClientCert, Host};
        let read = routes(
            r#"
            to = "http://127.0.0.1:80"
            [[route]]
            path = "/api/"
            to = ["http://127.0.0.1:3000/", "unix:/run/app.sock/"]
            methods = ["GET", "PURGE"]
            headers = { Cache-Control = "no-store", Link = ["</a>", "</b>"] }
            host = "app.internal:8080"
            secure-cookies = false
            backend-ca = "ca.pem"
            body-bytes = "16MiB"
            body-timeout = "2m"
            connect-timeout = "500ms"
            answer-timeout = 300
            silence-timeout = "5s"
            tunnel-timeout = "1m"
            backend-queue-timeout = "7s"
            backend-requests = 9
            backend-queue = 0
            backend-cert = "client.pem"
            backend-key = "/etc/client-key.pem"
            client-cert-field = "chain"
            concurrent = 8
            [[route]]
            path = "/ui"
            files = "ui"
            [[route]]
            path = "/version"
            answer = "/etc/version.json"
            "#,
        );
        let [api, ui, version] = &read.unwrap()[..] else { panic!() };
        let Answer::Backends(backends) = &api.answer else { panic!() };
        let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
        let expected = Backends {
            to: vec!["http://127.0.0.1:3000/".into(), "unix:/run/app.sock/".into()],
            ca: Some("etc/ca.pem".into()),
            cert: Some("etc/client.pem".into()),
            key: Some("/etc/client-key.pem".into()),
            host: Some(Host::Set("app.internal:8080".into())),
            secure_cookies: Some(false),
            client_cert: Some(ClientCert::Chain),
            times: [
                Some(std::time::Duration::from_millis(500)),
                seconds(300),
                seconds(5),
                seconds(60),
                seconds(7),
            ],
            requests: Some(9),
            queue: Some(0),
        };
        assert_eq!((&*api.path, &**backends), ("/api/", &expected));
        assert_eq!(
            api.methods.as_ref().unwrap().iter().map(|method| method.as_str()).collect::<Vec<_>>(),
            ["GET", "PURGE"]
        );
        let headers: Vec<_> =
            api.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("cache-control", "no-store"), ("link", "</a>"), ("link", "</b>")]);
        assert_eq!((api.body_bytes, api.concurrent), (Some(16 << 20), Some(8)));
        assert_eq!(api.body_timeout, Some(std::time::Duration::from_secs(120)));
        assert_eq!(
            api.place,
            Place::File { path: "etc/lockgate.toml".into(), line: 3, name: "route".into() }
        );
        assert_eq!(
            (&ui.answer, &version.answer),
            (&Answer::Files("etc/ui".into()), &Answer::Json("/etc/version.json".into()))
        );
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn what_is_wrong_in_a_route_table_is_named_with_its_line_and_the_way_out() {
        for (table, words) in [
            ("path = \"/a\"\ntoo = \"http://a\"", ":3: too is not a setting of a route; is to meant?"),
            (
                "path = \"/a\"\nto = \"http://a\"\nbody_bytes = 1",
                ":4: body_bytes is not a setting of a route; is body-bytes meant?",
            ),
            ("to = \"http://a\"", ":1: route has no path; give path"),
            (
                "path = \"a\"\nto = \"http://a\"",
                ":2: path has a value that is not accepted here; give a path that begins with /",
            ),
            ("path = \"/a\"", ":1: route /a has nothing that answers; give to"),
            (
                "path = \"/a\"\nto = \"http://a\"\nfiles = \"b\"",
                "has several of to, files and answer; give one",
            ),
            ("path = \"/a\"\nfiles = \"b\"\nhost = \"keep\"", "/a has host, which is for servers"),
            ("path = \"/a\"\nto = []", ":3: to has a value that is not accepted here; give http://HOST:PORT"),
            ("path = \"/a\"\nto = \"3000\"", ":3: to: \"3000\" is not accepted here"),
            (
                "path = \"/a\"\nto = 3000",
                ":3: to: \"3000\" is not accepted here; give http://HOST:PORT, https://HOST:PORT, or unix: and the path of a \
                 socket; is http://127.0.0.1:3000 meant?",
            ),
            ("path = \"/a\"\nto = true", ":3: to has a value"),
            ("path = \"/a\"\nto = \"http://a\"\nbackend-requests = 0", ":4: backend-requests: \"0\" is not accepted here"),
            ("path = \"/a\"\nfiles = \"b\"\ntunnel-timeout = 1", "/a has tunnel-timeout, which is for servers"),
            ("path = \"/a\"\nto = \"http://a\"\ntunel-timeout = 1", "is tunnel-timeout meant?"),
            (
                "path = \"/a\"\nfiles = \"b\"\nmethods = [\"G T\"]",
                ":4: methods has a value that is not accepted here; give an array of methods",
            ),
            ("path = \"/a\"\nfiles = \"b\"\nmethods = []", ":4: methods has"),
            (
                "path = \"/a\"\nfiles = \"b\"\nmethods = [\"POST\", \"get\"]",
                ":4: methods has \"get\"; methods are in capitals: write \"GET\"",
            ),
            ("path = \"/a\"\nfiles = \"b\"\nmethods = [\"GET\", \"CONNECT\"]", ":4: methods has \"CONNECT\", which asks for a tunnel"),
            (
                "path = \"/a\"\nto = \"http://b\"\nmethods = [\"TRACE\"]",
                ":4: methods has \"TRACE\", which would show a script what browsers hide from it; it is not served here: leave it out",
            ),
            ("path = \"/a\"\nfiles = \"b\"\nheaders = { \"a b\" = \"c\" }", ":4: headers: \"a b\" is not the name"),
            ("path = \"/a\"\nfiles = \"b\"\nheaders = { X-A = \"c\\nd: e\" }", ":4: headers: X-A has a value"),
            ("path = \"/a\"\nfiles = \"b\"\nheaders = { Content-Length = \"3\" }", ":4: headers: Content-Length is of the message"),
            ("path = \"/a\"\nfiles = \"b\"\nheaders = { connection = \"close\" }", ":4: headers: connection is of the message"),
            (
                "path = \"/a\"\nto = \"localhost:3000\"",
                ":3: to: \"localhost:3000\" is not accepted here; give http://HOST:PORT, https://HOST:PORT, or unix: and the path \
                 of a socket; is http://localhost:3000 meant?",
            ),
            (
                "path = \"/a\"\nto = \"http://a\"\nhttps = 8443",
                ":4: https is not a setting of a route but of the whole server; put it above the first [[route]]",
            ),
            (
                "path = \"/a\"\nto = \"http://a\"\nto = \"http://b\"",
                ":4: is not TOML: duplicate key to; give several values as an array: to = [\"A\", \"B\"]",
            ),
            ("path = \"/a\"\nto = \"http://b\"\nhost = \"a\\r\\nb: c\"", ":4: host: \"a\\r\\nb: c\" is not"),
            ("path = \"/a\"\nto = \"http://b\"\nsecure-cookies = \"no\"", ":4: secure-cookies: \"no\" is not accepted here; give on or off"),
            ("path = \"/a\"\nto = \"http://b\"\nanswer-timeout = \"soon\"", "give a time: 500ms, 60s"),
            ("path = \"/a\"\nto = \"http://b\"\nbody-bytes = -1", "give a size: 64KiB"),
        ] {
            let message = routes(&format!("[[route]]\n{table}")).unwrap_err();
            assert!(
                message.starts_with("etc/lockgate.toml:") && message.contains(words),
                "{table}: {message}"
            );
        }
        // As for an option without a value in the environment.
        for (word, value) in [("true", true), ("false", false), ("on", true), ("off", false)] {
            let table = format!("[[route]]\npath = \"/a\"\nto = \"http://b\"\nsecure-cookies = \"{word}\"");
            let read = routes(&table).unwrap();
            let crate::command::route::Answer::Backends(backends) = &read[0].answer else { panic!() };
            assert_eq!(backends.secure_cookies, Some(value), "{word}");
        }
        let message = routes("route = [{ path = \"/a\", files = \"b\" }, \"/b=http://c\"]").unwrap_err();
        assert!(message.contains("give [[route]] tables only"), "{message}");
        let message = routes("[route]\npath = \"/a\"").unwrap_err();
        assert!(message.contains(":1: route is one table; write [[route]], with two brackets"), "{message}");
        for key in ["path", "methods", "headers", "concurrent"] {
            let message = routes(&format!("{key} = \"a\"")).unwrap_err();
            let words = format!(":1: {key} is a setting of a route; put it below a [[route]]");
            assert!(message.contains(&words), "{message}");
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
        let off = from_environment(COMMANDS, serve(), off).unwrap();
        assert_eq!(off[0].value.as_deref(), Some(OFF.as_ref()));
        for (word, value) in [("on", None), ("off", Some(OFF.as_ref()))] {
            let said = |name: &str| (name == "LOCKGATE_COUNT_LOOPBACK").then(|| word.into());
            let given = from_environment(COMMANDS, serve(), said).unwrap();
            assert_eq!(given[0].value.as_deref(), value, "{word}");
        }
        let wrong = |name: &str| (name == "LOCKGATE_COUNT_LOOPBACK").then(|| "yes".into());
        let failure = from_environment(COMMANDS, serve(), wrong).err().unwrap();
        assert!(
            failure.message.contains("the environment's LOCKGATE_COUNT_LOOPBACK: \"yes\""),
            "{}",
            failure.message
        );
    }
}

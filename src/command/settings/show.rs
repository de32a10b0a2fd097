//! `lockgate config show`: every setting that `serve` would have with these options, and where it is from. Starts and opens nothing.

use std::process::ExitCode;

use lockgate::internal::{check_limits, escape};
use serde_json::{json, Value};

use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::option::{Kind, Opt, Repeats, Table};
use crate::command::options;
use crate::command::place::Place;
use crate::command::serve;
use crate::command::serving;
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::{say, say_json};

pub(in crate::command) static SPEC: Spec = Spec {
    name: "config show",
    synopsis: "[--config FILE] [OPTIONS OF serve] [--json]",
    summary: "Shows the settings that serve would have, and where each is from.",
    text: &[HELP],
    operands: Operands::None,
    options: &[Table { title: "Options", note: "", options: &[&[&options::JSON], options::COMMON] }],
    settings: Settings::Shown { of: &serve::SPEC },
    exit_codes: &[
        (0, "shown"),
        (Code::Usage as u8, "the command line is wrong"),
        (Code::Configuration as u8, "the file or the environment has a setting that cannot be used"),
    ],
    usage_code: Code::Usage,
    run,
};

const HELP: &str = "\
Takes the options of lockgate serve, and says for each setting its value and where that is from:
the command line, the environment with the variable's name, the file with its line, or the
default. It refuses targets as serve does, but reads no file that a setting names. Whether a server
can start with the settings is what lockgate check --config FILE says. RUST_LOG, when it is set,
stands in the place of log.

  lockgate config show --config lockgate.toml

--json writes one object: schema (lockgate.config/1), settings and routes. A setting has name,
value (a string, an array of strings, true, false or null) and from, with place (default,
command-line, environment or file) and, as it has them, option, variable, file and line. A route
is a [[route]] of the file: path, file, line, and settings. Values of headers are left out.
";

/// A setting, its values, and where they are from: `None` for the default.
struct Row<'a> {
    name: &'a str,
    value: Value,
    from: Option<&'a Place>,
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    serving::check_together(arguments)?;
    check_limits(&arguments.limits)?;
    #[cfg(feature = "proxy")]
    crate::command::answers::check(arguments)?;
    // It decides instead of --log.
    let levels = std::env::var("RUST_LOG").ok().map(|levels| (levels, Place::Environment("RUST_LOG".into())));
    let mut limits = arguments.limits.clone();
    let is_setting = |option: &&'static Opt| option.is_a_setting() && option.name != "route";
    let rows: Vec<Row<'_>> = serve::SPEC
        .options()
        .filter(is_setting)
        .map(|option| {
            if let Some((levels, place)) = levels.as_ref().filter(|_| option.name == "log") {
                return Row { name: option.name, value: json!(levels), from: Some(place) };
            }
            let given = || arguments.shown.iter().filter(|(name, ..)| *name == option.name);
            let mut texts = given().filter_map(|(_, value, _)| Some(value.as_ref()?.to_string_lossy()));
            let value = match (option.kind, option.repeats) {
                (Kind::Switch(_) | Kind::Flag(_), _) => {
                    json!(given().next_back().is_some_and(|(_, value, _)| value.is_none()))
                }
                (_, Repeats::All) => json!(texts.collect::<Vec<_>>()),
                (Kind::Value { .. }, _) => {
                    json!(texts.next_back().map(Into::into).or_else(|| option.default()))
                }
                // As the server reads it.
                _ => json!(option.shown_in(&mut limits)),
            };
            Row { name: option.name, value, from: given().next_back().map(|(.., place)| place) }
        })
        .collect();
    if arguments.json {
        let settings: Vec<Value> = rows
            .iter()
            .map(|row| json!({"name": row.name, "value": row.value, "from": from_json(row.from)}))
            .collect();
        let whole =
            json!({"schema": "lockgate.config/1", "settings": settings, "routes": routes_json(arguments)});
        say_json(&format!("{whole:#}"));
    } else {
        let mut table = vec![["setting".into(), "value".into(), "from".to_string()]];
        table.extend(rows.iter().map(|row| [row.name.to_string(), shown(&row.value), from(row.from)]));
        routes(arguments, &mut table);
        say(&in_columns(&table));
    }
    Ok(ExitCode::SUCCESS)
}

fn from(place: Option<&Place>) -> String {
    match place {
        None => "default".into(),
        Some(Place::CommandLine(option)) => option.clone(),
        Some(Place::Environment(variable)) => format!("environment {variable}"),
        Some(Place::File { path, line, .. }) => format!("{}:{line}", path.display()),
    }
}

fn from_json(place: Option<&Place>) -> Value {
    match place {
        None => json!({"place": "default"}),
        Some(Place::CommandLine(option)) => json!({"place": "command-line", "option": option}),
        Some(Place::Environment(variable)) => json!({"place": "environment", "variable": variable}),
        Some(Place::File { path, line, .. }) => {
            json!({"place": "file", "file": path.to_string_lossy(), "line": line})
        }
    }
}

/// A value in a table.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if !all.is_empty() => all.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        _ => "-".into(),
    }
}

#[cfg(not(feature = "proxy"))]
fn routes(_: &Arguments, _: &mut [[String; 3]]) {}

#[cfg(feature = "proxy")]
fn routes(arguments: &Arguments, table: &mut Vec<[String; 3]>) {
    for route in &arguments.routes {
        table.push([format!("route {}", route.path), String::new(), from(Some(&route.place))]);
        for (name, value, place) in &route.said {
            table.push([format!("  {name}"), shown(value), from(Some(place))]);
        }
    }
}

#[cfg(not(feature = "proxy"))]
fn routes_json(_: &Arguments) -> Value {
    json!([])
}

#[cfg(feature = "proxy")]
fn routes_json(arguments: &Arguments) -> Value {
    let of_route = |route: &crate::command::route::Route| {
        let said = route.said.iter();
        let settings: Vec<Value> = said
            .map(|(name, value, place)| json!({"name": name, "value": value, "from": from_json(Some(place))}))
            .collect();
        json!({"path": route.path, "from": from_json(Some(&route.place)), "settings": settings})
    };
    json!(arguments.routes.iter().map(of_route).collect::<Vec<_>>())
}

/// Lines of columns that stand below each other. A long value does not push the others aside, and none begins a line of its own.
fn in_columns(table: &[[String; 3]]) -> String {
    const MOST: usize = 32;
    let table: Vec<[String; 3]> =
        table.iter().map(|row| [0, 1, 2].map(|column| escape::line(&row[column]).to_string())).collect();
    let width = |column: usize| {
        let widths = table.iter().map(|row| row[column].chars().count()).filter(|width| *width <= MOST);
        widths.max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let lines = table.iter().map(|[name, value, from]| format!("{name:first$}  {value:second$}  {from}"));
    lines.collect::<Vec<_>>().join("\n")
}

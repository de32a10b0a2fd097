//! A `[[route]]` table of a settings file. Knows TOML, options, and the route that it makes. `config` calls it.

use std::path::{Path, PathBuf};

use lockgate::internal::is_hop_by_hop;
use lockgate::{HeaderName, HeaderValue, Method};
use toml::de::{DeTable, DeValue};

use super::arguments::Arguments;
use super::failure::Failure;
use super::given::Given;
use super::option::Opt;
use super::place::Place;
use super::route::{Answer, Backends, Route};
use super::suggest::meant;
use super::value;

/// All that a table may say. What has the name of an option is said as for it, for these paths alone.
pub(super) const KEYS: [&str; 22] = [
    "path",
    "to",
    "files",
    "answer",
    "methods",
    "headers",
    "body-bytes",
    "body-timeout",
    "concurrent",
    "host",
    "backend-ca",
    "backend-cert",
    "backend-key",
    "secure-cookies",
    "client-cert-field",
    "connect-timeout",
    "answer-timeout",
    "silence-timeout",
    "tunnel-timeout",
    "backend-requests",
    "backend-queue",
    "backend-queue-timeout",
];
/// How many of them files and answers have too.
const OF_ALL: usize = 9;

/// Reads one table. `line_at` says which line an offset is in, and `option_named` what the whole server may say; paths are relative to
/// the file's folder.
pub(super) fn read(
    table: &DeTable<'_>,
    file: &Path,
    line: usize,
    line_at: &dyn Fn(usize) -> usize,
    option_named: &dyn Fn(&str) -> Option<&'static Opt>,
) -> Result<Route, Failure> {
    let place_of =
        |line: usize, name: &str| Place::File { path: file.to_path_buf(), line, name: name.into() };
    let here = place_of(line, "route");
    let mut route = Route::new("", Answer::Files(PathBuf::new()), here.clone());
    let mut answer = None;
    // What its options say. What they do not is left as it is for the whole server.
    let mut said = Box::<Arguments>::default();
    said.backends = Backends::default();
    for (name, value) in table {
        let place = place_of(line_at(name.span().start), name.get_ref());
        let (name, value) = (&**name.get_ref(), value.get_ref());
        let option = option_named(name);
        if !KEYS.contains(&name) {
            if option.is_some() {
                return Err(Failure::at(
                    &place,
                    format_args!(
                        " is not a setting of a route but of the whole server; put it above the first [[route]]"
                    ),
                ));
            }
            let meant = meant(name, KEYS, "");
            return Err(Failure::at(
                &place,
                format_args!(" is not a setting of a route{meant}; there are {}", super::spec::listed(&KEYS)),
            ));
        }
        #[cfg(feature = "operations")]
        if name != "path" {
            route.said.push((name.to_string(), shown(value), place.clone()));
        }
        let refused = |accepted: &str| {
            Failure::at(&place, format_args!(" has a value that is not accepted here; give {accepted}"))
        };
        match (name, option) {
            ("path", _) => match value {
                DeValue::String(path) if path.starts_with('/') => route.path = path.to_string(),
                _ => return Err(refused("a path that begins with /, in quotes")),
            },
            ("answer", _) => match value {
                DeValue::String(path) if !path.is_empty() => {
                    answer = Some(file.parent().unwrap_or(Path::new("")).join(&**path));
                }
                _ => return Err(refused("the path of a JSON file, in quotes")),
            },
            ("methods", _) => route.methods = Some(methods(value, &place, &refused)?),
            ("headers", _) => route.headers = headers(value, &place)?,
            ("to", Some(option)) if matches!(value, DeValue::Array(all) if all.is_empty()) => {
                return Err(refused(option.accepted()));
            }
            (_, Some(option)) => {
                for given in Given::all_of(option, value, &place)? {
                    given.take(&mut said)?;
                }
            }
            (_, None) => {
                let number = match value {
                    DeValue::String(text) => value::whole_number(text),
                    DeValue::Integer(number) if number.radix() == 10 => value::whole_number(number.as_str()),
                    _ => None,
                };
                route.concurrent = Some(number.ok_or_else(|| refused(value::COUNT))?);
            }
        }
    }
    let fault = |what: &str| Failure::at(&here, format_args!(" {}{what}", route.path));
    if route.path.is_empty() {
        return Err(fault("has no path; give path = \"/api\", the prefix that it answers"));
    }
    let has_backends = !said.backends.to.is_empty();
    let answer = match (has_backends, said.files.take(), answer) {
        (true, None, None) => Answer::Backends(Box::new(std::mem::take(&mut said.backends))),
        (false, Some(files), None) => Answer::Files(files),
        (false, None, Some(answer)) => Answer::Json(answer),
        (false, None, None) => {
            return Err(fault(
                " has nothing that answers; give to = \"http://127.0.0.1:3000\", files or answer",
            ))
        }
        _ => return Err(fault(" has several of to, files and answer; give one")),
    };
    let given_in_vain = KEYS[OF_ALL..].iter().find(|key| table.contains_key(**key));
    if let Some(key) = given_in_vain.filter(|_| !has_backends) {
        return Err(fault(&format!(" has {key}, which is for servers; give to, or leave it out")));
    }
    route.answer = answer;
    route.body_bytes = table.contains_key("body-bytes").then_some(said.limits.body_bytes);
    route.body_timeout = table.contains_key("body-timeout").then_some(said.limits.body_timeout);
    Ok(route)
}

fn methods(
    value: &DeValue<'_>,
    place: &Place,
    refused: &dyn Fn(&str) -> Failure,
) -> Result<Vec<Method>, Failure> {
    let read = |name: &String| Method::from_bytes(name.as_bytes()).ok();
    let read = texts(value).and_then(|all| all.iter().map(read).collect());
    let read: Vec<Method> = read
        .filter(|all: &Vec<Method>| !all.is_empty())
        .ok_or_else(|| refused("an array of methods: [\"GET\", \"POST\"]"))?;
    // Methods have a case (RFC 9110 §9.1), and none that is registered has small letters.
    let is_small = |method: &&Method| method.as_str().bytes().any(|byte| byte.is_ascii_lowercase());
    if let Some(small) = read.iter().find(is_small) {
        let capital = small.as_str().to_ascii_uppercase();
        return Err(Failure::at(
            place,
            format_args!(" has \"{small}\"; methods are in capitals: write {capital:?}"),
        ));
    }
    const NEVER: [(Method, &str); 2] = [
        (Method::CONNECT, "asks for a tunnel to any server"),
        (Method::TRACE, "would show a script what browsers hide from it"),
    ];
    match NEVER.iter().find(|(method, _)| read.contains(method)) {
        Some((method, why)) => Err(Failure::at(
            place,
            format_args!(" has \"{method}\", which {why}; it is not served here: leave it out"),
        )),
        None => Ok(read),
    }
}

fn headers(value: &DeValue<'_>, place: &Place) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    const ACCEPTED: &str = "{ Cache-Control = \"no-store\" }";
    let DeValue::Table(fields) = value else {
        return Err(Failure::at(
            place,
            format_args!(" has a value that is not accepted here; give a table of fields: {ACCEPTED}"),
        ));
    };
    let mut headers = Vec::new();
    for (name, value) in fields {
        let name = name.get_ref();
        let Ok(field) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Failure::at(
                place,
                format_args!(": {name:?} is not the name of a field; give {ACCEPTED}"),
            ));
        };
        // How the message is sent (RFC 9112 §6) is what only the server knows.
        if is_hop_by_hop(field.as_str().as_bytes()) || field == "content-length" {
            return Err(Failure::at(
                place,
                format_args!(": {name} is of the message itself, and the server says it; leave it out"),
            ));
        }
        let values = texts(value.get_ref()).and_then(|all| {
            all.iter().map(|text| HeaderValue::from_str(text).ok()).collect::<Option<Vec<_>>>()
        });
        let Some(values) = values else {
            return Err(Failure::at(
                place,
                format_args!(
                    ": {name} has a value that is not accepted; give one line of text in quotes: {ACCEPTED}"
                ),
            ));
        };
        headers.extend(values.into_iter().map(|value| (field.clone(), value)));
    }
    Ok(headers)
}

/// A value as `config show` shows it: a string, an array of strings, true or false. Fields may have secrets.
#[cfg(feature = "operations")]
fn shown(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => (&**text).into(),
        DeValue::Integer(number) => number.as_str().into(),
        DeValue::Boolean(is_so) => (*is_so).into(),
        DeValue::Array(all) => all.iter().map(|value| shown(value.get_ref())).collect(),
        DeValue::Table(fields) => fields.iter().map(|(name, _)| &**name.get_ref()).collect(),
        _ => serde_json::Value::Null,
    }
}

/// One text, or an array of them.
fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    match value {
        DeValue::Array(all) => all.iter().map(|value| text(value.get_ref())).collect(),
        one => text(one).map(|text| vec![text]),
    }
}

//! `lockgate config schema`: a JSON Schema (draft 7, which editors know) of the settings file, made of the tables of options: what the
//! help says is what an editor shows. It is as strict as the file's reader about names, and says of values what it can.

use std::process::ExitCode;

use serde_json::{json, Map, Value};

use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::option::{Kind, Opt, Repeats, Table};
use crate::command::options;
#[cfg(feature = "proxy")]
use crate::command::route_table;
use crate::command::serve;
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::say_json;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "config schema",
    synopsis: "[OPTIONS]",
    summary: "Writes a JSON Schema of the settings file, for editors.",
    text: &[HELP],
    operands: Operands::None,
    options: &[Table { title: "Options", note: "", options: &[options::COMMON] }],
    settings: Settings::None,
    exit_codes: &[(0, "written"), (Code::Usage as u8, "the command line is wrong")],
    usage_code: Code::Usage,
    run: |_: &Arguments| -> Result<ExitCode, Failure> {
        say_json(&format!("{:#}", schema()));
        Ok(ExitCode::SUCCESS)
    },
};

const HELP: &str = "\
The schema has each setting with its description, its default and the values that it takes. An
editor that knows TOML by Taplo (Even Better TOML) uses it with this first line of the file:

  #:schema ./lockgate.schema.json

  lockgate config schema > lockgate.schema.json
";

/// The schema of the whole file.
pub(in crate::command) fn schema() -> Value {
    let properties: Map<String, Value> = settings().map(|option| (option.name.into(), of(option))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of lockgate serve",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn settings() -> impl Iterator<Item = &'static Opt> {
    serve::SPEC.options().filter(|option| option.is_a_setting())
}

/// The schema of one setting.
fn of(option: &Opt) -> Value {
    let one = value_of(option);
    let mut whole = match option.repeats {
        #[cfg(feature = "proxy")]
        Repeats::All if option.name == "route" => {
            json!({"anyOf": [one, {"type": "array", "items": one}, {"type": "array", "items": route()}]})
        }
        Repeats::All => json!({"anyOf": [one, {"type": "array", "items": one}]}),
        Repeats::Last => one,
    };
    whole["description"] = option.help.into();
    // The number of cores is another on the machine that reads the file.
    if let Some(default) = option.default().filter(|_| option.name != "workers") {
        whole["default"] = default.into();
    }
    whole
}

/// The schema of one value, without its description.
fn value_of(option: &Opt) -> Value {
    match (option.kind, option.value_name()) {
        (Kind::Switch(_) | Kind::Flag(_), _) | (_, None) => json!({"type": "boolean"}),
        (Kind::Value { .. }, Some("on|off")) => json!({"enum": ["on", "off", true, false]}),
        (Kind::Value { .. }, Some(words)) if is_choice(words) => {
            json!({"enum": words.split('|').collect::<Vec<_>>()})
        }
        (_, Some(name)) if option.takes_numbers() => {
            let (pattern, least, most) = match name {
                "TIME" => ("^[0-9]+(ms|s|m)?$", 0, None),
                "SIZE" => ("^[0-9]+([KMG]iB)?$", 0, None),
                "PORT" => ("^[0-9]+$", 1, Some(u16::MAX)),
                "[ADDR:]PORT" => ("^(.+:)?[0-9]+$", 0, Some(u16::MAX)),
                "[ADDR:]PORT|off" => ("^(off|(.+:)?[0-9]+)$", 0, Some(u16::MAX)),
                "auto|off|SECONDS" => ("^(auto|off|[0-9]+)$", 0, None),
                _ => ("^[0-9]+$", 0, None),
            };
            let mut number = json!({"type": "integer", "minimum": least});
            if let Some(most) = most {
                number["maximum"] = most.into();
            }
            json!({"anyOf": [{"type": "string", "pattern": pattern}, number]})
        }
        _ => text(),
    }
}

/// A text that is not empty.
fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// Whether a placeholder lists all values: `text|json|logfmt`.
fn is_choice(words: &str) -> bool {
    words.contains('|') && !words.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The schema of a `[[route]]`.
#[cfg(feature = "proxy")]
fn route() -> Value {
    let text_or_texts =
        json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let own = |key: &str| match key {
        "path" => {
            json!({"type": "string", "pattern": "^/", "description": "The prefix that it answers, and all paths below it."})
        }
        "answer" => json!({"type": "string", "minLength": 1, "description": "A JSON file that answers GET."}),
        "methods" => {
            let mut methods = text_or_texts.clone();
            methods["description"] = "The methods that it takes; others get 405. Without it, all.".into();
            methods
        }
        "headers" => json!({
            "type": "object",
            "description": "Fields that its answers get when they do not say them themselves.",
            "additionalProperties": text_or_texts,
        }),
        _ => json!({
            "anyOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "integer", "minimum": 0}],
            "description": "Requests that it answers at a time; more get 503.",
        }),
    };
    let of_key = |key: &&'static str| {
        let option = settings().find(|option| option.name == *key && *key != "answer");
        ((*key).to_string(), option.map_or_else(|| own(key), of))
    };
    let properties: Map<String, Value> = route_table::KEYS.iter().map(of_key).collect();
    json!({"type": "object", "additionalProperties": false, "required": ["path"], "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_in_the_schema_with_what_the_help_says_of_it() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        let names: Vec<&str> = settings().map(|option| option.name).collect();
        assert_eq!(properties.len(), names.len());
        assert!(names.len() > 50 && schema["additionalProperties"] == false);
        for option in settings() {
            let of = &properties[option.name];
            assert_eq!(of["description"], option.help);
            let default = option.default().filter(|_| option.name != "workers");
            assert_eq!(of["default"].as_str(), default.as_deref(), "{}", option.name);
        }
        assert_eq!(properties["log-format"]["enum"], json!(["text", "json", "logfmt"]));
        assert_eq!(properties["count-loopback"]["type"], "boolean");
        #[cfg(feature = "proxy")]
        {
            let route = &properties["route"]["anyOf"][2]["items"];
            let keys = route["properties"].as_object().unwrap();
            assert_eq!(keys.len(), route_table::KEYS.len());
            assert!(keys.values().all(|key| key["description"].is_string()), "{route:#}");
        }
    }
}

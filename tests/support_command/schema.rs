//! Whether a value is as a JSON Schema says: of the keywords of 2020-12 those that the schema of reports uses. Another one is a
//! panic, so that nothing in the schema goes unheeded; and so is a member that it does not name, though for readers such members
//! may come.

use serde_json::Value;

/// Keywords that say nothing of a value.
const ANNOTATIONS: [&str; 5] = ["$schema", "$defs", "title", "description", "$id"];

/// Panics with all that is wrong.
#[track_caller]
pub fn must_hold(schema: &str, value: &Value) {
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    let faults = faults(&schema, &schema, value, "");
    assert!(faults.is_empty(), "not as the schema says:\n{}\n{value:#}", faults.join("\n"));
}

fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix('#')).expect("of this document");
                let target = root.pointer(name).unwrap_or_else(|| panic!("there is no {name}"));
                found.extend(faults(root, target, value, at));
            }
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|kind| is_of(value, kind.as_str().unwrap())) {
                    found.push(format!("{at}: {value} is not of type {rule}"));
                }
            }
            "const" if value != rule => found.push(format!("{at}: {value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                found.push(format!("{at}: {value} is none of {rule}"));
            }
            "const" | "enum" => {}
            "minimum" | "maximum" => {
                let (number, bound) = (value.as_i64(), rule.as_i64().unwrap());
                let is_out = |number: i64| if keyword == "minimum" { number < bound } else { number > bound };
                if number.is_some_and(is_out) {
                    found.push(format!("{at}: {value} is beyond its {keyword}, {bound}"));
                }
            }
            "required" => {
                let missing =
                    |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                let names = rule.as_array().unwrap().iter().filter(missing);
                found.extend(names.map(|name| format!("{at}: {name} is missing")));
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(rule) => found.extend(faults(root, rule, value, &format!("{at}/{name}"))),
                        None => found.push(format!("{at}: the schema does not know {name}")),
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, value, &format!("{at}/{index}")));
                }
            }
            "oneOf" => {
                let each: Vec<Vec<String>> =
                    rule.as_array().unwrap().iter().map(|rule| faults(root, rule, value, at)).collect();
                if each.iter().filter(|faults| faults.is_empty()).count() != 1 {
                    // The nearest one tells what is wrong.
                    found.extend(each.into_iter().min_by_key(Vec::len).unwrap_or_default());
                    found.push(format!("{at}: not exactly one of {rule}"));
                }
            }
            annotation => assert!(ANNOTATIONS.contains(&annotation), "{annotation} is not looked at here"),
        }
    }
    found
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not looked at here"),
    }
}

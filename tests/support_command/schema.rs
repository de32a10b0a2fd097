//! Validates a value against a JSON Schema, with the keywords of 2020-12 and draft 7 that the schema of reports and that of
//! SARIF use. Another keyword is a panic, so none is ignored. A member that the schema does not name is a fault, unless the
//! schema allows others: a test wants to see each member described.

use serde_json::Value;

/// Keywords that say nothing of a value.
const ANNOTATIONS: [&str; 8] =
    ["$schema", "$defs", "definitions", "title", "description", "$id", "default", "format"];

/// Panics with all that is wrong.
#[track_caller]
pub fn must_hold(schema: &str, value: &Value) {
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    let faults = faults(&schema, &schema, value, "");
    assert!(faults.is_empty(), "not as the schema says:\n{}\n{value:#}", faults.join("\n"));
}

/// All that is wrong with a value.
pub fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
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
                let (number, bound) = (value.as_f64(), rule.as_f64().unwrap());
                let is_out = |number: f64| if keyword == "minimum" { number < bound } else { number > bound };
                if number.is_some_and(is_out) {
                    found.push(format!("{at}: {value} is beyond its {keyword}, {bound}"));
                }
            }
            "minLength" => {
                let least = rule.as_u64().unwrap() as usize;
                if value.as_str().is_some_and(|text| text.chars().count() < least) {
                    found.push(format!("{at}: shorter than {least}"));
                }
            }
            "pattern" => {
                let pattern: Vec<char> = rule.as_str().unwrap().chars().collect();
                if value.as_str().is_some_and(|text| !matches_pattern(&pattern, text)) {
                    found.push(format!("{at}: {value} is not as {rule}"));
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
                        // What others must be is said under `additionalProperties`.
                        None if schema.get("additionalProperties").is_some_and(|others| others != false) => {}
                        None => found.push(format!("{at}: the schema does not know {name}")),
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, value, &format!("{at}/{index}")));
                }
            }
            "additionalProperties" => {
                let named = |name: &String| schema["properties"].get(name).is_some();
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !named(name));
                for (name, value) in others {
                    match rule {
                        Value::Bool(true) => {}
                        // Told under `properties`, where there are some.
                        Value::Bool(false) if schema.get("properties").is_some() => {}
                        Value::Bool(false) => found.push(format!("{at}: {name} may not be there")),
                        rule => found.extend(faults(root, rule, value, &format!("{at}/{name}"))),
                    }
                }
            }
            "minItems" => {
                let least = rule.as_u64().unwrap() as usize;
                if value.as_array().is_some_and(|items| items.len() < least) {
                    found.push(format!("{at}: fewer than {least} items"));
                }
            }
            "uniqueItems" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let is_twice = |(index, item): (usize, &Value)| items[..index].contains(item);
                if rule == true && items.iter().enumerate().any(is_twice) {
                    found.push(format!("{at}: an item is there twice"));
                }
            }
            "anyOf" => {
                let each = rule.as_array().unwrap().iter().map(|rule| faults(root, rule, value, at));
                if !each.into_iter().any(|faults| faults.is_empty()) {
                    found.push(format!("{at}: none of {rule}"));
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

/// Whether a text has this form: a regular expression of characters, classes with ranges, `.`, groups, `|`, `+` and `?`, which begins
/// with `^`, and may end with `$`.
fn matches_pattern(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern = pattern.strip_prefix(&['^']).expect("a pattern begins with ^");
    let (pattern, is_whole) = pattern.strip_suffix(&['$']).map_or((pattern, false), |inner| (inner, true));
    let ends = ends_of_any(pattern, &text, &[0]);
    ends.iter().any(|end| !is_whole || *end == text.len())
}

/// Where an alternative ends that begins at one of these places.
fn ends_of_any(mut pattern: &[char], text: &[char], begins: &[usize]) -> Vec<usize> {
    let (mut all, mut now) = (Vec::new(), begins.to_vec());
    while let Some(first) = pattern.first() {
        if *first == '|' {
            all.append(&mut now);
            now = begins.to_vec();
            pattern = &pattern[1..];
            continue;
        }
        let is_open = |depth: &mut i32, c: &char| {
            *depth += i32::from(*c == '(') - i32::from(*c == ')');
            Some(*depth > 0)
        };
        let length = match first {
            '(' => pattern.iter().scan(0, is_open).position(|is_open| !is_open).unwrap() + 1,
            '[' => pattern.iter().position(|c| *c == ']').unwrap() + 1,
            _ => 1,
        };
        let (atom, rest) = pattern.split_at(length);
        let one = |begins: &[usize]| match first {
            '(' => ends_of_any(&atom[1..length - 1], text, begins),
            _ => begins
                .iter()
                .filter(|at| text.get(**at).is_some_and(|c| is_one_of(atom, *c)))
                .map(|at| at + 1)
                .collect(),
        };
        let ends = one(&now);
        now = match rest.first() {
            Some('?') => [now, ends].concat(),
            Some('+') => {
                let (mut reached, mut last) = (ends.clone(), ends);
                while !last.is_empty() {
                    last = one(&last);
                    reached.extend(&last);
                }
                reached
            }
            _ => ends,
        };
        pattern = rest.strip_prefix(&['?']).or_else(|| rest.strip_prefix(&['+'])).unwrap_or(rest);
    }
    [all, now].concat()
}

fn is_one_of(atom: &[char], c: char) -> bool {
    let ['[', class @ .., ']'] = atom else { return matches!(atom, ['.']) || atom == [c] };
    let is_in_range = |three: &[char]| three[1] == '-' && (three[0]..=three[2]).contains(&c);
    class.contains(&c) || class.windows(3).any(is_in_range)
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not looked at here"),
    }
}

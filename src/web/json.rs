//! Reads a body as JSON into a type of the program's, and says where the JSON is not what that type asks for. Knows requests and
//! serde; handlers call it through [`Request::json`](crate::Request::json).
//!
//! The place of a fault comes from serde_json's line and column: the text is read once more up to there, and only when there is a
//! fault. A crate that follows each value on its way (serde_path_to_error) would be in the code for every type, and slow down what
//! is right.

use std::borrow::Cow;
use std::fmt::Write;

use serde_core::de::DeserializeOwned;

use super::media_type;
use crate::error::{BodyFault, Error};
use crate::http::request::Request;

/// The largest body that is read as JSON, in bytes, unless the program says more.
pub(super) const MOST_BODY_BYTES: u64 = 1 << 20;
/// The most levels that a pointer goes down; serde_json reads no more (128) into a type.
const MOST_LEVELS: usize = 128;
/// The longest pointer, in bytes.
const MOST_BYTES: usize = 300;

pub(super) fn read<T: DeserializeOwned>(request: &mut Request<'_>, most: u64) -> Result<T, Error> {
    let bytes = body(request, most)?;
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|error| fault(text, error))
}

/// The body of a request that says that it is JSON.
fn body<'r>(request: &'r mut Request<'_>, most: u64) -> Result<Cow<'r, [u8]>, Error> {
    match media_type::of(request) {
        Some(media_type) if media_type.is_json() && media_type.is_utf8 => {}
        Some(media_type) if media_type.is_json() => return Err(Error::Body(BodyFault::Charset)),
        _ => return Err(Error::Body(BodyFault::MediaType)),
    }
    request.check_content_coding()?;
    request.rest_of_body(most)
}

#[cold]
fn fault(text: &[u8], source: serde_json::Error) -> Error {
    Error::Body(if source.is_data() {
        BodyFault::JsonShape { pointer: pointer(text, offset(text, &source)), source }
    } else {
        BodyFault::Json(source)
    })
}

/// How many bytes serde_json had read when it found the fault. Lines count from 1, columns are bytes. Without a place, which a
/// type's own check may leave, it is the whole text.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let breaks = error.line().checked_sub(2);
    let start =
        breaks.map_or(0, |breaks| memchr::memchr_iter(b'\n', text).nth(breaks).map_or(0, |at| at + 1));
    match error.line() {
        0 => text.len(),
        _ => (start + error.column()).min(text.len()),
    }
}

/// Where in an array or object the reading is.
enum Level<'t> {
    Index(usize),
    /// The member's name as it stands in the text, with its quotes; `None` before the first.
    Name(Option<&'t [u8]>),
}

/// The JSON pointer of the value that the first `end` bytes of a text end with, or end in.
fn pointer(text: &[u8], end: usize) -> String {
    let mut levels = Vec::new();
    // Levels below the deepest that is kept.
    let mut below = 0_usize;
    let mut is_name = false;
    let mut at = 0;
    while let Some(&byte) = text.get(..end).and_then(|text| text.get(at)) {
        at += 1;
        match byte {
            b'"' => {
                let start = at - 1;
                at = end_of_string(text, at);
                if let (true, 0, Some(Level::Name(name))) = (is_name, below, levels.last_mut()) {
                    *name = text.get(start..at);
                }
                is_name = false;
            }
            b'{' | b'[' => {
                is_name = byte == b'{';
                if levels.len() == MOST_LEVELS {
                    below += 1;
                } else {
                    levels.push(if is_name { Level::Name(None) } else { Level::Index(0) });
                }
            }
            b'}' | b']' => {
                is_name = false;
                match below.checked_sub(1) {
                    Some(fewer) => below = fewer,
                    None => drop(levels.pop()),
                }
            }
            b',' if below == 0 => match levels.last_mut() {
                Some(Level::Index(index)) => *index += 1,
                Some(Level::Name(_)) => is_name = true,
                None => {}
            },
            _ => {}
        }
    }
    written(&levels)
}

/// Where the string ends whose first character is at `at`, behind its quote.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => at += 1,
            _ => {}
        }
    }
    at
}

/// RFC 6901 §3. Ends before a step that would make it longer than it may be: the value there is around the one at fault.
fn written(levels: &[Level<'_>]) -> String {
    let mut pointer = String::new();
    for level in levels {
        let before = pointer.len();
        match level {
            Level::Index(index) => drop(write!(pointer, "/{index}")),
            Level::Name(None) => break,
            Level::Name(Some(name)) => {
                let Ok(name) = serde_json::from_slice::<Cow<'_, str>>(name) else { break };
                if name.len() > MOST_BYTES {
                    break;
                }
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
        }
        if pointer.len() > MOST_BYTES {
            pointer.truncate(before);
            break;
        }
    }
    pointer
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties {
    use std::collections::BTreeMap;

    use super::*;

    pub(super) type Shape = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

    /// Any body is read, or refused with a pointer that is one.
    pub(crate) fn hold(body: &[u8]) {
        let request = Request::post("/").with_header("content-type", "application/json");
        if let Err(Error::Body(BodyFault::JsonShape { pointer, .. })) =
            request.with_body(body).json_up_to::<Shape>(u64::MAX)
        {
            assert!(pointer.is_empty() || pointer.starts_with('/') && pointer.len() <= MOST_BYTES);
            assert!(pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1'])), "{pointer}");
        }
        for end in 0..=body.len().min(300) + 1 {
            pointer(body, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::properties::{hold, Shape};
    use super::*;

    #[test]
    fn any_text_has_a_pointer_at_any_byte() {
        let deep = "[{\"a\":".repeat(300);
        for text in [
            r#"{"a\":[1,{"~/":"}]\""}],"b":{}}"#,
            "]]}}{{[[",
            "[",
            r#"{""#,
            r#"{"\"#,
            r#"{"\ud800":1}"#,
            "{1:2}",
            r#"{"~/~0": 1}"#,
            &deep,
        ] {
            hold(text.as_bytes());
        }
        let text = br#"{"a\\":[1,{"~/":"}]\""}],"b":{}}"#;
        let ends = (0..text.len()).filter(|&at| b":,}]".contains(&text[at]));
        let pointers: Vec<_> = ends.map(|end| pointer(text, end)).collect();
        assert_eq!(pointers.first().unwrap(), "/a\\");
        for expected in ["/a\\/0", "/a\\/1/~0~1"] {
            assert!(pointers.iter().any(|pointer| pointer == expected), "{pointers:?}");
        }
        assert_eq!(pointer(text, text.len()), "");
    }

    /// A value down to so many levels, from the bits of a number.
    fn value(bits: &mut u64, levels: u32) -> Value {
        let mut next = |below: u64| {
            *bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*bits >> 33) % below
        };
        let (kind, count) = (if levels == 0 { next(6) } else { next(16) }, next(4));
        match kind {
            0 => json!(300),
            1 => json!(-1.5),
            2 => json!("]}\"[{,:"),
            3 => Value::Null,
            4..=7 => json!(next(256)),
            8..=11 => (0..count).map(|_| value(bits, levels - 1)).collect(),
            _ => (0..count).map(|key| (format!("{key}/~\"\n"), value(bits, levels - 1))).collect(),
        }
    }

    /// The first value that is not what `Shape` asks for.
    fn first_fault(value: &Value, level: u32) -> Option<String> {
        let below = |step: String, value| first_fault(value, level + 1).map(|rest| format!("/{step}{rest}"));
        match (level, value) {
            (0 | 1, Value::Object(members)) => members
                .iter()
                .find_map(|(name, value)| below(name.replace('~', "~0").replace('/', "~1"), value)),
            (2, Value::Array(list)) => {
                list.iter().enumerate().find_map(|(index, value)| below(index.to_string(), value))
            }
            (3, value) if value.as_u64().is_some_and(|number| number < 256) => None,
            _ => Some(String::new()),
        }
    }

    #[test]
    fn the_pointer_leads_to_the_first_value_at_fault() {
        let mut faults = 0;
        for seed in 0..20_000 {
            let value = value(&mut { seed }, 4);
            let text = if seed % 2 == 0 { value.to_string() } else { format!("{value:#}") };
            let request = Request::post("/").with_header("content-type", "application/json");
            let found = match request.with_body(text.clone()).json::<Shape>() {
                Ok(_) => None,
                Err(Error::Body(BodyFault::JsonShape { pointer, .. })) => Some(pointer),
                Err(error) => panic!("{error}: {text}"),
            };
            assert_eq!(found, first_fault(&value, 0), "{text}");
            faults += usize::from(found.is_some_and(|pointer| pointer.matches('/').count() > 2));
        }
        assert!(faults > 100, "{faults}");
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_has_a_pointer_at_any_byte() {
        let deep = "[{\"a\":".repeat(300);
        for text in [
            r#"{"a\\":[1,{"~/":"}]\""}],"b":{}}"#,
            "]]}}{{[[",
            r#"["#,
            r#"{""#,
            r#"{"\"#,
            r#"{"\ud800":1}"#,
            "{1:2}",
            &deep,
        ] {
            for end in 0..=text.len() + 1 {
                let pointer = pointer(text.as_bytes(), end);
                assert!(
                    pointer.is_empty() || pointer.starts_with('/') && pointer.len() <= MOST_BYTES,
                    "{pointer}"
                );
            }
        }
        let text = br#"{"a\\":[1,{"~/":"}]\""}],"b":{}}"#;
        let ends: Vec<_> =
            text.iter().enumerate().filter(|(_, byte)| b":,}]".contains(byte)).map(|(at, _)| at).collect();
        let pointers: Vec<_> = ends.into_iter().map(|end| pointer(text, end)).collect();
        assert_eq!(pointers.first().unwrap(), "/a\\");
        assert!(
            pointers.contains(&"/a\\/0".to_string()) && pointers.contains(&"/a\\/1/~0~1".to_string()),
            "{pointers:?}"
        );
        assert_eq!(pointer(text, text.len()), "");
    }
}

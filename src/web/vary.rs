//! The field `Vary` (RFC 9110 §12.5.5). Knows fields only; called by what decides by a field of the request.

use ::http::header::VARY;
use ::http::{HeaderMap, HeaderValue};

use crate::backports::Trim;

/// Adds a field's name, in lower case, to those that the answer depends on, in one line with them.
pub(super) fn add(fields: &mut HeaderMap, name: &'static str) {
    if lists(fields, VARY.as_str(), name) || lists(fields, VARY.as_str(), "*") {
        return;
    }
    let before = fields.get_all(VARY).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    let value = if before.is_empty() {
        Ok(HeaderValue::from_static(name))
    } else {
        HeaderValue::from_bytes(&[&before, &b", "[..], name.as_bytes()].concat())
    };
    if let Ok(value) = value {
        fields.insert(VARY, value);
    }
}

/// Whether a field that is a list has this element.
pub(super) fn lists(fields: &HeaderMap, name: &str, element: &str) -> bool {
    let elements = fields.get_all(name).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    elements.map(Trim::trimmed).any(|known| known.eq_ignore_ascii_case(element.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_once_and_others_stay() {
        for (before, after) in [
            (&[][..], "origin"),
            (&[""], "origin"),
            (&["accept-encoding"], "accept-encoding, origin"),
            (&["Accept", "Accept-Encoding"], "Accept, Accept-Encoding, origin"),
            (&["Accept , Origin"], "Accept , Origin"),
            (&["*"], "*"),
            (&["x-origin"], "x-origin, origin"),
        ] {
            let mut fields = HeaderMap::new();
            for value in before {
                fields.append(VARY, HeaderValue::from_str(value).unwrap());
            }
            add(&mut fields, "origin");
            assert_eq!(fields.get_all(VARY).iter().collect::<Vec<_>>(), [after], "{before:?}");
        }
    }
}

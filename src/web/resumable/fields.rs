//! The fields of resumable uploads (draft-ietf-httpbis-resumable-upload §4.1): items of structured fields (RFC 9651). Knows
//! requests only; the handler of resumable uploads calls it.

use crate::http::request::Request;

/// The largest integer of structured fields (RFC 9651 §3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// `Upload-Complete`. `None` when it is missing, or no boolean, which is then ignored.
pub(super) fn complete(request: &Request<'_>) -> Option<bool> {
    match only(request, "upload-complete")? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// `Upload-Offset` or `Upload-Length`. `None` when it is missing, or no such number, which is then ignored.
pub(super) fn number(request: &Request<'_>, name: &str) -> Option<u64> {
    let text = only(request, name)?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= MOST)
}

/// The length of the whole, as far as this request tells it: by `Upload-Length`, and by `Content-Length` of what completes it.
/// An error when both say something else.
pub(super) fn length(request: &Request<'_>, offset: u64) -> Result<Option<u64>, ()> {
    let told = number(request, "upload-length");
    let content: Option<u64> = request.header("content-length").and_then(|length| length.parse().ok());
    let completed =
        content.filter(|_| complete(request) == Some(true)).map(|length| offset.saturating_add(length));
    match (told, completed) {
        (Some(told), Some(completed)) if told != completed => Err(()),
        (told, completed) => Ok(told.or(completed)),
    }
}

/// An item: a field that stands there twice is none, and parameters do not count.
fn only<'r>(request: &'r Request<'_>, name: &str) -> Option<&'r str> {
    let mut lines = request.headers().get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    if lines.next().is_some() {
        return None;
    }
    Some(line.split(';').next()?.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &[(&str, &str)]) -> Request<'static> {
        fields.iter().fold(Request::post("/"), |request, (name, value)| request.with_header(name, value))
    }

    #[test]
    fn what_is_no_item_of_its_type_is_ignored() {
        for (value, expected) in
            [("?1", Some(true)), (" ?0 ;a=1", Some(false)), ("1", None), ("true", None), ("?1, ?1", None)]
        {
            assert_eq!(complete(&with(&[("Upload-Complete", value)])), expected, "{value}");
        }
        assert_eq!(complete(&with(&[("upload-complete", "?1"), ("upload-complete", "?1")])), None);
        for (value, expected) in [
            ("0", Some(0)),
            ("999999999999999", Some(MOST)),
            ("1000000000000000", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("", None),
        ] {
            assert_eq!(number(&with(&[("upload-offset", value)]), "upload-offset"), expected, "{value}");
        }
    }

    #[test]
    fn the_length_follows_from_either_field_and_both_must_agree() {
        let (whole, part) = (("upload-complete", "?1"), ("upload-complete", "?0"));
        let content = ("content-length", "5");
        assert_eq!(length(&with(&[part, content]), 3), Ok(None));
        assert_eq!(length(&with(&[whole, content]), 3), Ok(Some(8)));
        assert_eq!(length(&with(&[part, content, ("upload-length", "20")]), 3), Ok(Some(20)));
        assert_eq!(length(&with(&[whole, content, ("upload-length", "8")]), 3), Ok(Some(8)));
        assert_eq!(length(&with(&[whole, content, ("upload-length", "9")]), 3), Err(()));
    }
}

//! The head of a part of a form, and the boundary from the request's `Content-Type`. Knows bytes only; the reader of forms calls
//! it.

use std::borrow::Cow;

use crate::web::form_fault::FormFault;
use crate::web::parameters;

/// The most fields that the head of a part may have. Browsers send two.
const MOST_FIELDS: usize = 16;
/// The longest name of a part or of its file, in bytes.
const MOST_NAME_BYTES: usize = 1024;

/// RFC 2046 §5.1.1.
const MOST_BOUNDARY_CHARACTERS: usize = 70;

const MEDIA_TYPE: FormFault = FormFault::MediaType("multipart/form-data; boundary=…");

/// What the head of a part says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub name: String,
    pub file_name: Option<String>,
    pub media_type: Option<String>,
}

/// The boundary of a form, from the value of `Content-Type`.
pub(super) fn boundary(content_type: &str) -> Result<&str, FormFault> {
    let (kind, parameters) = parameters::read(content_type.trim()).ok_or(MEDIA_TYPE)?;
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return Err(MEDIA_TYPE);
    }
    let Ok(Some(boundary)) = parameters::only(&parameters, "boundary") else {
        return Err(FormFault::Malformed("Content-Type has no boundary, or two"));
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "'()+_,-./:=? ".contains(c);
    if boundary.is_empty() || boundary.len() > MOST_BOUNDARY_CHARACTERS {
        return Err(FormFault::Malformed("the boundary must have 1 to 70 characters (RFC 2046)"));
    }
    if boundary.ends_with(' ') || !boundary.chars().all(is_allowed) {
        return Err(FormFault::Malformed("the boundary has a character that is not allowed (RFC 2046)"));
    }
    Ok(boundary)
}

/// Reads the head of a part, without the empty line at its end.
pub(super) fn read(head: &[u8]) -> Result<Head, FormFault> {
    let text = std::str::from_utf8(head).map_err(|_| FormFault::Charset)?;
    let mut read = Head::default();
    let mut disposition = None;
    for (number, line) in text.split("\r\n").enumerate() {
        if number == MOST_FIELDS {
            return Err(FormFault::TooMuch { what: "fields in the head of a part", limit: MOST_FIELDS });
        }
        let (name, value) = field(line)?;
        let slot = match name {
            _ if name.eq_ignore_ascii_case("content-disposition") => &mut disposition,
            _ if name.eq_ignore_ascii_case("content-type") => &mut read.media_type,
            _ if name.eq_ignore_ascii_case("content-transfer-encoding") => {
                if !["7bit", "8bit", "binary"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
                    // RFC 7578 §4.7: nobody should send it. Undecoded, the part would be something else.
                    return Err(FormFault::Malformed(
                        "a part has a Content-Transfer-Encoding; send it as it is",
                    ));
                }
                continue;
            }
            // RFC 7578 §4.8: other fields are ignored.
            _ => continue,
        };
        if slot.replace(value.to_string()).is_some() {
            return Err(FormFault::Malformed("a part has a field twice"));
        }
    }
    let disposition = disposition.ok_or(FormFault::Malformed("a part has no Content-Disposition"))?;
    (read.name, read.file_name) = names(&disposition)?;
    let media_type = read.media_type.as_deref().unwrap_or_default();
    if media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
        // RFC 7578 §4.3: several files of one name are several parts.
        return Err(FormFault::Malformed("a part is a form of its own; send each file as a part"));
    }
    Ok(read)
}

/// A field's name and value. Line ends are CR LF, and nothing goes on in a second line.
fn field(line: &str) -> Result<(&str, &str), FormFault> {
    let (name, value) =
        line.split_once(':').ok_or(FormFault::Malformed("a line in the head of a part is no field"))?;
    if name.is_empty() || !name.chars().all(parameters::is_token_character) {
        return Err(FormFault::Malformed("a line in the head of a part is no field"));
    }
    if value.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Err(FormFault::Malformed("a field in the head of a part has a control character"));
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

/// The names of the part and of its file (RFC 7578 §4.2). `filename*` is not for forms, and is ignored.
fn names(disposition: &str) -> Result<(String, Option<String>), FormFault> {
    let malformed = FormFault::Malformed("a part's Content-Disposition must be form-data with one name");
    let (kind, parameters) = parameters::read(disposition).ok_or(malformed)?;
    if !kind.eq_ignore_ascii_case("form-data") {
        return Err(malformed);
    }
    let name = parameters::only(&parameters, "name").ok().flatten().ok_or(malformed)?;
    let file_name = parameters::only(&parameters, "filename").map_err(|()| malformed)?;
    for name in [Some(name), file_name].into_iter().flatten() {
        if name.len() > MOST_NAME_BYTES {
            return Err(FormFault::TooMuch { what: "bytes in a name", limit: MOST_NAME_BYTES });
        }
    }
    Ok((unescape(name).into_owned(), file_name.map(|name| unescape(name).into_owned())))
}

/// Takes back what browsers write for a quote and for line ends (WHATWG HTML §4.10.21.8). All other percent signs stay.
fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

/// Whether a part of this type is text in UTF-8, or does not say in which charset it is.
pub(super) fn is_utf8(media_type: Option<&str>) -> bool {
    let Some(media_type) = media_type else { return true };
    match parameters::read(media_type).map(|(_, parameters)| parameters::only(&parameters, "charset")) {
        Some(Ok(None)) => true,
        Some(Ok(Some(charset))) => is_name_of_utf8(charset) || charset.eq_ignore_ascii_case("us-ascii"),
        _ => false,
    }
}

pub(super) fn is_name_of_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_taken_by_the_rules_of_rfc_2046() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(70));
        for (content_type, expected) in [
            ("multipart/form-data; boundary=AaB03x", "AaB03x"),
            (
                "Multipart/Form-Data;charset=utf-8;BOUNDARY=----WebKitFormBoundaryorGBAKSkv5wR6WqJ",
                "----WebKitFormBoundaryorGBAKSkv5wR6WqJ",
            ),
            ("multipart/form-data; boundary=\"gc0p4Jq0M:2Yt08jU534c0p\"", "gc0p4Jq0M:2Yt08jU534c0p"),
            ("multipart/form-data; boundary=\"a b\"", "a b"),
            (
                "multipart/form-data; boundary=\"boundary_.oOo._MTcyNTgxMTE3Mw==MjEz\"",
                "boundary_.oOo._MTcyNTgxMTE3Mw==MjEz",
            ),
            (&long, &"x".repeat(70)),
        ] {
            assert_eq!(boundary(content_type), Ok(expected), "{content_type}");
        }
        for content_type in [
            "",
            "text/plain",
            "multipart/mixed; boundary=a",
            "application/x-www-form-urlencoded",
            "multipart",
        ] {
            assert_eq!(boundary(content_type), Err(MEDIA_TYPE), "{content_type}");
        }
        let longer = format!("{long}x");
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"a \"",
            "multipart/form-data; boundary=\"a\\b\"",
            "multipart/form-data; boundary=\"ä\"",
            "multipart/form-data; boundary=a; boundary=a",
            &longer,
        ] {
            assert!(matches!(boundary(content_type), Err(FormFault::Malformed(_))), "{content_type}");
        }
    }

    fn head(lines: &[&str]) -> Result<(String, Option<String>), FormFault> {
        read(lines.join("\r\n").as_bytes()).map(|head| (head.name, head.file_name))
    }

    #[test]
    fn names_are_read_as_browsers_write_them_and_stay_what_they_are() {
        let some = |name: &str, file: &str| Ok((name.to_string(), Some(file.to_string())));
        for (parameters, name, file) in [
            ("name=\"a\"; filename=\"b.bin\"", "a", "b.bin"),
            ("name=a; filename=b", "a", "b"),
            ("filename=\"\"; name=\"\"", "", ""),
            ("name=\"a%22b%0D%0Ac\"; filename=\"%22%20%2e%0a\"", "a\"b\r\nc", "\"%20%2e%0a"),
            ("name=\"ü\"; filename=\"日本.txt\"", "ü", "日本.txt"),
            // No name is a path here, and none is changed: who uses it as one has it checked.
            ("name=\"a\"; filename=\"../../etc/passwd\"", "a", "../../etc/passwd"),
            ("name=\"a\"; filename=\"C:\\test\\test.txt\"", "a", "C:\\test\\test.txt"),
            ("name=\"dir\\\"; filename=\"a.bin\"", "dir\\", "a.bin"),
            ("name=\"a;b\"; filename=\"c; name=d\"", "a;b", "c; name=d"),
            // RFC 7578 §4.2: filename* must not be used in forms.
            ("name=\"a\"; filename=\"b\"; filename*=UTF-8''evil.php", "a", "b"),
        ] {
            let line = format!("Content-Disposition: form-data; {parameters}");
            assert_eq!(head(&[&line]), some(name, file), "{line}");
            assert!(head(&["X-Other: 1", &line.replace("Content-D", "CONTENT-d")]).is_ok());
        }
        assert_eq!(
            head(&["Content-Disposition:form-data;name=a;filename*=UTF-8''b"]),
            Ok(("a".into(), None))
        );
    }

    #[test]
    fn what_is_no_head_of_a_part_is_refused() {
        let good = "Content-Disposition: form-data; name=\"a\"";
        let long = format!("Content-Disposition: form-data; name=\"{}\"", "x".repeat(1025));
        let many = vec![good; 1].into_iter().chain(vec!["X: y"; 16]).collect::<Vec<_>>();
        assert!(head(&many[..16]).is_ok());
        for lines in [
            &[""][..],
            &["X: y"],
            &[good, good],
            &["Content-Type: text/plain", good, "content-type: text/plain"],
            &["Content-Disposition: form-data"],
            &["Content-Disposition: attachment; name=\"a\""],
            &["Content-Disposition: form-data; name=\"a\"; name=\"b\""],
            &["Content-Disposition: form-data; name=\"a\"; filename=\"b\"; filename=\"c\""],
            &["Content-Disposition: form-data; name=\"a"],
            &["Content-Disposition: form-data; name=\"a\"b\""],
            &["Content-Disposition : form-data; name=\"a\""],
            &[good, " continued"],
            &[good, "no field"],
            &[good, ": empty"],
            &[good, "X: a\nY: b"],
            &[good, "X: a\rY: b"],
            &[good, "X: a\0"],
            &["Content-Disposition: form-data; name=\"a\nb\""],
            &[good, "Content-Transfer-Encoding: base64"],
            &[good, "Content-Transfer-Encoding: quoted-printable"],
            &[good, "Content-Type: multipart/mixed; boundary=b"],
            &[good, "Content-Type: Multipart/Mixed"],
            &[&long],
            &many,
        ] {
            assert!(head(lines).is_err(), "{lines:?}");
        }
        assert_eq!(read(b"Content-Disposition: form-data; name=\"\xff\""), Err(FormFault::Charset));
        assert!(head(&[good, "Content-Transfer-Encoding: Binary"]).is_ok());
    }

    #[test]
    fn other_charsets_than_utf_8_are_known_by_the_type() {
        for good in [
            None,
            Some("text/plain"),
            Some("text/plain; charset=\"UTF-8\""),
            Some("text/plain;charset=us-ascii"),
        ] {
            assert!(is_utf8(good), "{good:?}");
        }
        for other in [
            "text/plain; charset=iso-8859-1",
            "text/plain; charset=utf-8; charset=utf-7",
            "text/plain; charset",
        ] {
            assert!(!is_utf8(Some(other)), "{other}");
        }
    }
}

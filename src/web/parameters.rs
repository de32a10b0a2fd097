//! The parameters of a field's value, as in `form-data; name="a"`. Knows text only; the readers of forms call it.

/// The type that stands before the parameters, and the parameters. A quoted value ends at the next quote, because those who
/// write forms write a backslash as it is (WHATWG HTML §4.10.21.8). `None` when the text has another form.
pub(super) fn read(text: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (kind, mut rest) = split_at(text, |c| !is_token_character(c) && c != '/');
    let mut parameters = Vec::new();
    if kind.is_empty() {
        return None;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some((kind, parameters));
        }
        rest = rest.strip_prefix(';')?.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some((kind, parameters));
        }
        let (name, after) = split_at(rest, |c| !is_token_character(c));
        let after = after.strip_prefix('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => split_at(after, |c| !is_token_character(c)),
        };
        if name.is_empty() {
            return None;
        }
        parameters.push((name, value));
        rest = after;
    }
}

/// The value of the parameter of this name. `Err` when there are two.
pub(super) fn only<'t>(parameters: &[(&'t str, &'t str)], name: &str) -> Result<Option<&'t str>, ()> {
    let mut values = parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let first = values.next().map(|(_, value)| *value);
    match values.next() {
        None => Ok(first),
        Some(_) => Err(()),
    }
}

fn split_at(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_browsers_write_them() {
        for (text, parameters) in [
            ("form-data", &[][..]),
            ("form-data;", &[]),
            ("form-data; name=a", &[("name", "a")]),
            ("form-data;name=\"a b\";\tfilename=\"\"", &[("name", "a b"), ("filename", "")]),
            ("form-data; name=\"a;b=c\"", &[("name", "a;b=c")]),
            // A backslash is a backslash, also before the last quote.
            (
                "form-data; name=\"dir\\\"; filename=\"C:\\a.bin\"",
                &[("name", "dir\\"), ("filename", "C:\\a.bin")],
            ),
            ("form-data; name=\"a\"; filename*=UTF-8''%e4", &[("name", "a"), ("filename*", "UTF-8''%e4")]),
            ("form-data; name=", &[("name", "")]),
        ] {
            assert_eq!(read(text), Some(("form-data", parameters.to_vec())), "{text}");
        }
        for text in [
            "",
            "; name=a",
            "form-data name=a",
            "form-data; name",
            "form-data; name = a",
            "form-data; name=\"a",
            "form-data; name=\"a\"b",
            "form-data; =a",
            "form-data; name=a b",
            "form-data;; name=a",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(only(&[("NAME", "a"), ("b", "c")], "name"), Ok(Some("a")));
        assert_eq!(only(&[("b", "c")], "name"), Ok(None));
        assert_eq!(only(&[("name", "a"), ("Name", "a")], "name"), Err(()));
    }
}

//! Reads `Link` fields (RFC 8288 §3).
//!
//! Knows texts only. Called by `order` for the other chains of a certificate.

/// The most links of one relation that are followed. Authorities offer two or three chains.
const MOST: usize = 8;

/// The references with this relation (RFC 8288 §3.3), unchanged and in their order. A malformed link ends the reading of its
/// field.
pub(super) fn with_relation<'a>(fields: impl Iterator<Item = &'a str>, relation: &str) -> Vec<String> {
    let links = fields.flat_map(links_of);
    let wanted = links.filter(|link| link.has(relation));
    wanted.map(|link| link.reference.to_string()).take(MOST).collect()
}

struct Link<'a> {
    reference: &'a str,
    relations: Option<String>,
    /// The link concerns another resource than the requested one.
    has_anchor: bool,
}

impl Link<'_> {
    fn has(&self, relation: &str) -> bool {
        let relations = self.relations.as_deref().unwrap_or_default();
        let mut words = relations.split_ascii_whitespace();
        !self.has_anchor && words.any(|word| word.eq_ignore_ascii_case(relation))
    }
}

fn links_of(field: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut rest = field;
    loop {
        // RFC 9110 §5.6.1.2: empty elements of a list are ignored.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((reference, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            return links;
        };
        let mut link = Link { reference: reference.trim(), relations: None, has_anchor: false };
        rest = after;
        while let Some(after) = blank(rest).strip_prefix(';') {
            let (name, value, after) = parameter(after);
            match name {
                // RFC 8288 §3.3: after the first, others are ignored.
                name if name.eq_ignore_ascii_case("rel") => drop(link.relations.get_or_insert(value)),
                name if name.eq_ignore_ascii_case("anchor") => link.has_anchor = true,
                _ => {}
            }
            rest = after;
        }
        links.push(link);
        match blank(rest).strip_prefix(',') {
            Some(after) => rest = after,
            None => return links,
        }
    }
}

/// One parameter: its name, its value, and what comes after it. The name may be empty (`;;`).
fn parameter(text: &str) -> (&str, String, &str) {
    let text = blank(text);
    let end = text.find(['=', ';', ',', ' ', '\t']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(value) = blank(rest).strip_prefix('=').map(blank) else { return (name, String::new(), rest) };
    if let Some(quoted) = value.strip_prefix('"') {
        let (value, rest) = unquoted(quoted);
        return (name, value, rest);
    }
    let end = value.find([';', ',', ' ', '\t']).unwrap_or(value.len());
    let (value, rest) = value.split_at(end);
    (name, value.to_string(), rest)
}

/// A quoted string without its quotes (RFC 9110 §5.6.4), and the rest after it. An unclosed string extends to the end.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alternates(fields: &[&str]) -> Vec<String> {
        with_relation(fields.iter().copied(), "alternate")
    }

    #[test]
    fn links_are_found_however_rfc_8288_lets_them_be_written() {
        for (field, references) in [
            ("<https://a/1>;rel=\"alternate\"", &["https://a/1"][..]),
            ("<https://a/1>;rel=alternate", &["https://a/1"]),
            ("<https://a/1>;REL=Alternate", &["https://a/1"]),
            ("<https://a/1>;rel=\"alternate up\"", &["https://a/1"]),
            ("<https://a/1>;rel=\"up alternate\"", &["https://a/1"]),
            ("<https://a/1> ; rel = \"alternate\"", &["https://a/1"]),
            ("</cert/1/1>;rel=\"alternate\"", &["/cert/1/1"]),
            ("<https://a/1>;rel=alternate,<https://a/2>;rel=alternate", &["https://a/1", "https://a/2"]),
            ("<https://a/1>;rel=alternate , ,\t<https://a/2>;rel=alternate", &["https://a/1", "https://a/2"]),
            ("<https://a/1,2;x>;rel=alternate", &["https://a/1,2;x"]),
            ("<https://a/1>;title=\"x, <https://a/3>;rel=up\";rel=alternate", &["https://a/1"]),
            ("<https://a/1>;title=\"a \\\" b\";rel=alternate", &["https://a/1"]),
            ("<https://a/1>;;foo;rel=alternate", &["https://a/1"]),
            ("<https://a/1>;rel=up;rel=alternate", &[]),
            ("<https://a/1>;rel=\"alternates\"", &[]),
            ("<https://a/1>;title=alternate", &[]),
            ("<https://a/1>;rel=alternate;anchor=\"https://b/\"", &[]),
            ("<https://a/1>", &[]),
            ("<https://a/1", &[]),
            ("https://a/1;rel=alternate", &[]),
            ("<https://a/1>;rel=\"alternate", &["https://a/1"]),
            ("", &[]),
        ] {
            assert_eq!(alternates(&[field]), references, "{field}");
        }
    }

    #[test]
    fn several_fields_count_and_never_without_end() {
        let fields =
            ["<https://a/dir>;rel=\"index\"", "<https://a/1>;rel=alternate", "<https://a/2>;rel=alternate"];
        assert_eq!(alternates(&fields), ["https://a/1", "https://a/2"]);
        let many = "<https://a/1>;rel=alternate,".repeat(100);
        assert_eq!(alternates(&[&many]).len(), MOST);
    }

    #[test]
    fn no_field_panics() {
        let field = "<https://a/é>;title=\"é\\é\" ;rel=\"alternate\",<x>;rel";
        for (start, _) in field.char_indices() {
            for (end, _) in field[start..].char_indices() {
                let _ = alternates(&[&field[start..start + end]]);
            }
        }
    }
}

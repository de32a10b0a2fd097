//! A distinguished name as text (RFC 4514), and its common name.

use super::values::{dotted, hex, shown, Fault};
use crate::tls::der::{Reader, SEQUENCE};

const SET: u8 = 0x31;
const OID: u8 = 0x06;

/// Attributes with a short name (RFC 4514 §3), and other common ones.
const SHORT: [(&[u8], &str); 13] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 97], "organizationIdentifier"),
];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// A distinguished name.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The whole SEQUENCE. Two names count as equal when these bytes are equal (RFC 5280 §7.1 allows more, but no client does
    /// that).
    pub(in crate::tls) der: Vec<u8>,
    /// As RFC 4514 writes it.
    pub(in crate::tls) text: String,
    pub(crate) common_name: Option<String>,
}

impl Name {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Name, Fault> {
        let (whole, content) = reader.whole(SEQUENCE)?;
        let (text, common_name) = text(content)?;
        Ok(Name { der: whole.to_vec(), text, common_name })
    }
}

/// The content of a Name as text, with its last part first (RFC 4514 §2.1), and its most specific common name.
fn text(content: &[u8]) -> Result<(String, Option<String>), Fault> {
    let mut parts = Vec::new();
    let mut common_name = None;
    let mut names = Reader::new(content);
    while !names.is_at_end() {
        let mut set = Reader::new(names.expect(SET)?);
        let mut values = Vec::new();
        while !set.is_at_end() {
            let mut attribute = Reader::new(set.expect(SEQUENCE)?);
            let oid = attribute.expect(OID)?;
            let (tag, value) = attribute.element()?;
            attribute.end()?;
            let short = SHORT.iter().find(|(known, _)| *known == oid).map(|(_, short)| (*short).to_string());
            let decoded = string(tag, value);
            if oid == COMMON_NAME {
                common_name = decoded.as_deref().map(|text| shown(text, |c, out| out.push(c)));
            }
            let value = match decoded {
                Some(text) => escaped(&text),
                // RFC 4514 §2.4: a value that is not a string is written as hex.
                None => format!("#{}", hex(value)),
            };
            values.push(format!("{}={value}", short.unwrap_or_else(|| dotted(oid))));
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Ok((parts.join(","), common_name))
}

/// Decodes the string types of X.520. `None` for other types, and for bytes that the type does not allow.
fn string(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, and those that hold ASCII: NumericString, PrintableString, IA5String, VisibleString.
        0x0c => std::str::from_utf8(bytes).ok().map(str::to_string),
        0x12 | 0x13 | 0x16 | 0x1a => {
            bytes.is_ascii().then(|| bytes.iter().map(|&byte| char::from(byte)).collect())
        }
        // TeletexString is read as ISO 8859-1, as all programs do.
        0x14 => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        // BMPString and UniversalString.
        0x1e if bytes.len() % 2 == 0 => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        }
        0x1c if bytes.len() % 4 == 0 => bytes
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        _ => None,
    }
}

/// RFC 4514 §2.4.
fn escaped(text: &str) -> String {
    let mut out = shown(text, |c, out| {
        if matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(c);
    });
    if text.len() > 1 && text.ends_with(' ') {
        out.insert(out.len() - 1, '\\');
    }
    if out.starts_with([' ', '#']) {
        out.insert(0, '\\');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn part(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[element(OID, oid), element(tag, value)].concat())
    }

    #[test]
    fn a_name_is_written_from_its_end_with_what_is_special_escaped() {
        let name = [
            element(SET, &part(&[0x55, 4, 6], 0x13, b"DE")),
            element(SET, &part(&[0x55, 4, 10], 0x0c, "Müller, Söhne + Co.".as_bytes())),
            element(SET, &[part(&[0x55, 4, 3], 0x0c, b"#a "), part(&[0x55, 4, 11], 0x14, b"\xe9")].concat()),
        ]
        .concat();
        let (text, common_name) = text(&name).unwrap();
        assert_eq!(text, "CN=\\#a\\ +OU=é,O=Müller\\, Söhne \\+ Co.,C=DE");
        assert_eq!(common_name.as_deref(), Some("#a "));
    }

    #[test]
    fn nothing_of_a_name_can_take_hold_of_a_terminal() {
        let name = element(SET, &part(COMMON_NAME, 0x0c, "a\u{1b}[2J\nb\u{202e}c".as_bytes()));
        let (text, common_name) = text(&name).unwrap();
        assert_eq!(text, "CN=a\\1B[2J\\0Ab\\E2\\80\\AEc");
        assert_eq!(common_name.unwrap(), "a\\1B[2J\\0Ab\\E2\\80\\AEc");
    }

    #[test]
    fn every_type_of_string_is_read_and_others_become_hex() {
        for (tag, value, expected) in [
            (0x1e, &b"\0a\x20\xac"[..], "a€"),
            (0x1c, b"\0\0\0a\0\x01\xf6\x00", "a😀"),
            (0x16, b"a@b", "a@b"),
            (0x16, b"\xff", "#ff"),
            (0x0c, b"\xff", "#ff"),
            (0x1e, b"a", "#61"),
            (0x1e, b"\xd8\0", "#d800"),
            (0x02, b"\x01", "#01"),
            (0x0c, b" ", "\\ "),
            (0x0c, b"", ""),
        ] {
            let (text, _) = text(&element(SET, &part(&[0x55, 4, 3], tag, value))).unwrap();
            assert_eq!(text, format!("CN={expected}"));
        }
        assert_eq!(text(&[]).unwrap().0, "");
        assert_eq!(text(&element(SET, &part(&[0x2a, 3], 0x13, b"x"))).unwrap().0, "1.2.3=x");
    }
}

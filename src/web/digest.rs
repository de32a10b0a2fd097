//! Digests of what is received: `Content-Digest` and `Repr-Digest` (RFC 9530) are read here, and compared with what has come.
//! Knows bytes and fields only; uploads call it.

use std::borrow::Cow;

use ring::digest::{Context, SHA256, SHA512};

/// The most members that a digest field may have. More are an error.
const MOST_MEMBERS: usize = 16;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The algorithms of RFC 9530 §5 that are not marked as insecure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A digest that a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// The field that it stood in.
    field: &'static str,
    algorithm: Algorithm,
    digest: Vec<u8>,
}

/// Computes the digests of what comes: SHA-256 always, SHA-512 when a client has sent one.
pub(super) struct Digester {
    sha256: Context,
    sha512: Option<Context>,
    expected: Vec<Expected>,
}

/// The field whose digest is another than that of what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch(pub &'static str);

impl Digester {
    pub(super) fn new(expected: Vec<Expected>) -> Digester {
        let needs_sha512 = expected.iter().any(|expected| expected.algorithm == Algorithm::Sha512);
        Digester {
            sha256: Context::new(&SHA256),
            sha512: needs_sha512.then(|| Context::new(&SHA512)),
            expected,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The SHA-256 of all that has come, if it is what the client has sent.
    pub(super) fn finish(self) -> Result<[u8; 32], Mismatch> {
        let sha256 = self.sha256.finish();
        let sha512 = self.sha512.map(Context::finish);
        for Expected { field, algorithm, digest } in self.expected {
            let computed = match algorithm {
                Algorithm::Sha256 => Some(&sha256),
                Algorithm::Sha512 => sha512.as_ref(),
            };
            if computed.map_or(true, |computed| computed.as_ref() != digest) {
                return Err(Mismatch(field));
            }
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(sha256.as_ref());
        Ok(bytes)
    }
}

/// Reads a digest field: a dictionary of byte sequences (RFC 9530 §2, RFC 9651 §3.2). Of algorithms that are not known here
/// nothing is expected; of a member that comes twice the last counts. `None` when it is no such dictionary.
pub(super) fn read(field: &'static str, value: &str) -> Option<Vec<Expected>> {
    let mut members: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut rest = value.trim_matches(' ');
    while !rest.is_empty() {
        let key_length = rest.find(|c: char| !is_key_character(c)).unwrap_or(rest.len());
        let (key, after) = rest.split_at(key_length);
        let begins_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
        let (digits, after) = after.strip_prefix("=:")?.split_once(':')?;
        let digest = decode(digits)?;
        if !begins_well || members.len() == MOST_MEMBERS {
            return None;
        }
        members.retain(|(known, _)| *known != key);
        members.push((key, digest));
        rest = skip_parameters(after)?.trim_matches([' ', '\t']);
        if let Some(next) = rest.strip_prefix(',') {
            rest = next.trim_start_matches([' ', '\t']);
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    let mut expected = Vec::new();
    for (key, digest) in members {
        let (algorithm, length) = match key {
            "sha-256" => (Algorithm::Sha256, 32),
            "sha-512" => (Algorithm::Sha512, 64),
            _ => continue,
        };
        if digest.len() != length {
            return None;
        }
        expected.push(Expected { field, algorithm, digest });
    }
    Some(expected)
}

fn is_key_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '*')
}

/// What follows the parameters of a member. Digests have none; a key alone, a token and a number are skipped.
fn skip_parameters(mut rest: &str) -> Option<&str> {
    while let Some(parameter) = rest.strip_prefix(';') {
        let parameter = parameter.trim_start_matches(' ');
        let length = parameter.find([',', ';', ' ']).unwrap_or(parameter.len());
        let (parameter, after) = parameter.split_at(length);
        let is_plain = |c: char| is_key_character(c) || c.is_ascii_alphanumeric() || c == '=' || c == '?';
        if parameter.is_empty() || !parameter.chars().all(is_plain) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Base64 with padding (RFC 4648 §4); padding that is missing is accepted, as RFC 9651 §4.2.7 has it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding > 2 || padding > 0 && text.len() & 3 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == digit)? as u32;
        }
        bits <<= 6 * (4 - group.len());
        let whole = bits.to_be_bytes();
        let (kept, dropped) = whole.get(1..)?.split_at(group.len() - 1);
        if kept.is_empty() || dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

/// Base64 with padding (RFC 4648 §4).
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The field's lines as one value (RFC 9110 §5.3).
pub(super) fn joined<'v>(mut lines: impl Iterator<Item = &'v str>) -> Option<Cow<'v, str>> {
    let first = lines.next()?;
    let mut joined = Cow::Borrowed(first);
    for line in lines {
        let joined = joined.to_mut();
        joined.push_str(", ");
        joined.push_str(line);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "hello world", and SHA-512.
    const SHA256_HELLO: &str = "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:";
    const SHA512_HELLO: &str =
        "sha-512=:MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw==:";

    fn finish(field: &str, body: &str) -> Option<bool> {
        let mut digester = Digester::new(read("Content-Digest", field)?);
        body.as_bytes().chunks(3).for_each(|piece| digester.update(piece));
        Some(digester.finish().is_ok())
    }

    #[test]
    fn a_digest_is_compared_with_what_has_come() {
        let both = format!("{SHA256_HELLO}, {SHA512_HELLO}");
        let unknown = format!("md5=:AAAA:, {SHA256_HELLO};q=1");
        for field in [SHA256_HELLO, SHA512_HELLO, &both, &unknown] {
            assert_eq!(finish(field, "hello world"), Some(true), "{field}");
            assert_eq!(finish(field, "hello worlD"), Some(false), "{field}");
        }
        // The last of two counts.
        let twice = format!("sha-256=:{}:, {SHA256_HELLO}", encode(&[0; 32]));
        assert_eq!(finish(&twice, "hello world"), Some(true));
        // Nothing that is known here: nothing to compare.
        assert_eq!(finish("", "x"), Some(true));
        assert_eq!(finish("unixsum=:Jg==:", "x"), Some(true));
    }

    #[test]
    fn what_is_no_dictionary_of_digests_is_refused() {
        let short = SHA256_HELLO.replace("uU0n", "");
        for field in [
            "sha-256",
            "sha-256=uU0n",
            "sha-256=:uU0n",
            "sha-256=:uU0n:",
            "sha-256=:u*0n:",
            "sha-256=\"a\"",
            "SHA-256=:AAAA:",
            "=:AAAA:",
            "-a=:AAAA:",
            "a=:AAAA:,",
            "a=:AAAA:;",
            "a=:AAAA:;b=\"",
            "a=:AAAA: b=:AAAA:",
            "a=:AAA=A:",
            "a=:A:",
            "a=:AAAA====:",
            &short,
            &"a=:AAAA:, ".repeat(17),
        ] {
            assert_eq!(read("Content-Digest", field), None, "{field}");
        }
    }

    #[test]
    fn base64_is_written_as_it_is_read() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["Z", "Zh==", "Zg=", "Zm9v=", "Zm9\n"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
    }
}

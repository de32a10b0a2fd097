//! Base64 with the URL alphabet and without padding (RFC 4648 §5), as JOSE uses it (RFC 7515 §2).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// Decodes what [`encode`] writes; `None` for anything else. Padding at the end is ignored, because people copy it.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits = 0u32;
        for digit in group {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, a, b, c] = bits.to_be_bytes();
        let whole = [a, b, c];
        let (kept, dropped) = whole.split_at(group.len() - 1);
        if dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10, without the padding; and RFC 7515 appendix C for the two digits that differ.
    #[test]
    fn the_vectors_of_the_rfcs_go_both_ways() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (&[3, 236, 255, 224, 193], "A-z_4ME"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(decode("Zg==").unwrap(), b"f");
    }

    #[test]
    fn what_is_not_base64url_is_refused() {
        for text in ["A", "AAAAA", "A+z/", "Zh", "Zm9", "Z g", "Zm9v\n", "ä"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}

//! Entity tags made of content: strong, because other bytes have another hash (RFC 9110 §8.8.1). Knows bytes. `disk`, `files` and
//! `response` call it.

use ::http::HeaderValue;
use ring::digest::{self, SHA256};

/// So much of the hash stands in a tag, in bytes: 128 bits.
const TAG_BYTES: usize = 16;

/// The tag of content in memory.
pub(crate) fn of_bytes(bytes: &[u8]) -> HeaderValue {
    of_digest(digest::digest(&SHA256, bytes).as_ref())
}

/// The tag of content with this SHA-256.
pub(crate) fn of_digest(digest: &[u8]) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut tag = [b'"'; 2 * TAG_BYTES + 2];
    for (pair, byte) in tag[1..=2 * TAG_BYTES].chunks_exact_mut(2).zip(digest) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    // Quotes and hexadecimal digits are allowed in a field.
    HeaderValue::from_bytes(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_half_of_the_hash_in_quotes() {
        assert_eq!(of_bytes(b""), "\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_ne!(of_bytes(b"a"), of_bytes(b"b"));
    }
}

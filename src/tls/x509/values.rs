//! The values that certificates are made of: numbers, flags, addresses, object identifiers and text.
//!
//! Knows bytes only. The files beside it call it.

use std::net::IpAddr;

use crate::escape;

/// The error of every function here: a clause about the certificate.
pub(super) type Fault = &'static str;

/// The bytes of an integer. X.690 §8.3.2: at least one byte, and no more than needed.
pub(super) fn integer(content: &[u8]) -> Result<&[u8], Fault> {
    match content {
        [] => Err("its DER has a number without digits"),
        [0, second, ..] if *second < 0x80 => Err("its DER has a number in more bytes than needed"),
        [0xff, second, ..] if *second >= 0x80 => Err("its DER has a number in more bytes than needed"),
        _ => Ok(content),
    }
}

/// The flags of a BIT STRING with named bits (X.690 §11.2.2). The first bit is the highest.
pub(super) fn flags(content: &[u8]) -> Result<u16, Fault> {
    let Some((&unused, bytes)) = content.split_first() else {
        return Err("its DER has a bit string without a length");
    };
    let first = bytes.first().copied().unwrap_or_default();
    let second = bytes.get(1).copied().unwrap_or_default();
    if unused > 7 || bytes.len() > 2 || bytes.is_empty() && unused > 0 {
        return Err("its DER has a bit string that no certificate has");
    }
    Ok(u16::from_be_bytes([first, second]))
}

/// An address as a certificate has it, four bytes or sixteen.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// An object identifier in dotted form (X.690 §8.19), or in hex when it is not valid.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for (at, &byte) in oid.iter().enumerate() {
        if arc > u64::MAX >> 7 {
            return hex(oid);
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            arcs.push(arc);
            arc = 0;
        } else if at + 1 == oid.len() {
            return hex(oid);
        }
    }
    let Some((&first, rest)) = arcs.split_first() else {
        return hex(oid);
    };
    // The first two numbers are encoded as one.
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for arc in rest {
        text.push_str(&format!(".{arc}"));
    }
    text
}

pub(in crate::tls) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text of a certificate. Each character that `hides` is escaped as in RFC 4514 §2.4: `\1B`.
pub(super) fn shown(text: &str, push: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if escape::hides(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("\\{byte:02X}"));
            }
        } else {
            push(c, &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_are_written_in_dots() {
        for (oid, text) in [
            (&[0x55, 4, 3][..], "2.5.4.3"),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], "1.2.840.10045.4.3.2"),
            (&[0x2b, 0x65, 0x70], "1.3.101.112"),
            (&[0x88, 0x37, 3], "2.999.3"),
            (&[], ""),
            (&[0x80], "80"),
            (
                &[0x55, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "55ffffffffffffffffffff01",
            ),
        ] {
            assert_eq!(dotted(oid), text);
        }
    }

    #[test]
    fn numbers_in_more_bytes_than_needed_are_refused() {
        for good in [&[0][..], &[1], &[0x80], &[0, 0x80], &[0xff, 0x7f], &[0xff]] {
            assert_eq!(integer(good), Ok(good));
        }
        for bad in [&[][..], &[0, 1], &[0, 0], &[0xff, 0x80], &[0xff, 0xff]] {
            assert!(integer(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn flags_come_from_the_highest_bit_down() {
        assert_eq!(flags(&[7, 0x80]), Ok(0x8000));
        assert_eq!(flags(&[7, 0, 0x80]), Ok(0x0080));
        assert_eq!(flags(&[0]), Ok(0));
        for bad in [&[][..], &[8, 0], &[1], &[0, 0, 0, 0]] {
            assert!(flags(bad).is_err(), "{bad:?}");
        }
    }
}

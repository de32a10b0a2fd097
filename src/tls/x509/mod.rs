//! What an X.509 certificate says (RFC 5280 §4.1): all that a check of it needs, and nothing more.
//!
//! Strict about form, and silent about sense: a certificate with a negative serial number, or one that was never meant for a
//! server, is read like any other, so that `findings` can say what is wrong with it. Knows bytes only. Called by `chain`.

mod algorithm;
mod extensions;
mod name;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

pub(super) use algorithm::{key_kind, CurveParameters, Hash, PublicKey, SignatureKind};
pub(super) use extensions::Extensions;

use std::net::IpAddr;

use crate::escape;

use super::der::{self, Reader, Validity, INTEGER, SEQUENCE, VERSION};

/// What every function here says is wrong: a clause about the certificate.
type Fault = &'static str;

/// What a certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// 1, 2 or 3.
    pub(super) version: u8,
    /// Big-endian, in two's complement, never empty.
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Name,
    pub(super) subject: Name,
    pub(super) validity: Validity,
    pub(super) key: Key,
    pub(super) signature: SignatureKind,
    pub(crate) extensions: Extensions,
}

/// A distinguished name.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The whole SEQUENCE. Two names are taken for the same when these are (RFC 5280 §7.1 allows more; no client does).
    pub(super) der: Vec<u8>,
    /// As RFC 4514 writes it.
    pub(super) text: String,
    pub(crate) common_name: Option<String>,
}

/// A SubjectPublicKeyInfo.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// All of it.
    pub(super) der: Vec<u8>,
    pub(super) kind: PublicKey,
}

/// The two halves of a SubjectPublicKeyInfo.
pub(crate) struct KeyParts<'a> {
    /// The content of its AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    /// The content of its BIT STRING.
    pub(super) bits: &'a [u8],
}

impl Facts {
    /// Reads all of `certificate`, which must be one certificate.
    pub(crate) fn read(certificate: &[u8]) -> Result<Facts, Fault> {
        let signed = der::signed(certificate)?;
        let mut tbs = Reader::new(Reader::new(signed.tbs).expect(SEQUENCE)?);
        let version = match tbs.optional(VERSION)? {
            None => 1,
            // RFC 5280 §4.1.2.1: the number is one less than the version.
            Some([INTEGER, 1, number @ 0..=2]) => number + 1,
            Some(_) => return Err("its X.509 version is none that there is"),
        };
        let serial = integer(tbs.expect(INTEGER)?)?.to_vec();
        // §4.1.1.2: the same algorithm stands inside the signed part and outside it.
        if tbs.expect(SEQUENCE)? != signed.algorithm {
            return Err("it names two algorithms for its signature");
        }
        let issuer = Name::read(&mut tbs)?;
        let validity = tbs.validity()?;
        let subject = Name::read(&mut tbs)?;
        let (spki, _) = tbs.whole(SEQUENCE)?;
        let parts = KeyParts::of(spki)?;
        let key = Key { der: spki.to_vec(), kind: PublicKey::read(&parts)? };
        // §4.1.2.8: unique identifiers, which nobody uses.
        for tag in [0x81, 0x82] {
            tbs.optional(tag)?;
        }
        let extensions = match tbs.optional(0xa3)? {
            Some(explicit) => Extensions::read(explicit)?,
            None => Extensions::default(),
        };
        tbs.end()?;
        let signature = SignatureKind::read(signed.algorithm)?;
        Ok(Facts { version, serial, issuer, subject, validity, key, signature, extensions })
    }

    /// Issuer and subject are the same (RFC 5280 §3.2 calls it self-issued). Says nothing of the signature.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer.der == self.subject.der
    }

    /// Whether an authority that browsers trust from the start seems to have issued it: it was logged (RFC 6962 §3.3), or
    /// follows a policy of the CA/Browser Forum. An authority of one's own does neither.
    pub(super) fn is_public(&self) -> bool {
        self.extensions.has_transparency_log || self.extensions.has_forum_policy
    }
}

impl Name {
    fn read(reader: &mut Reader<'_>) -> Result<Name, Fault> {
        let (whole, content) = reader.whole(SEQUENCE)?;
        let (text, common_name) = name::text(content)?;
        Ok(Name { der: whole.to_vec(), text, common_name })
    }
}

impl<'a> KeyParts<'a> {
    pub(super) fn of(spki: &'a [u8]) -> Result<KeyParts<'a>, Fault> {
        let mut reader = Reader::new(Reader::new(spki).expect(SEQUENCE)?);
        let algorithm = reader.expect(SEQUENCE)?;
        let bits = reader.bits()?;
        reader.end()?;
        Ok(KeyParts { algorithm, bits })
    }
}

/// X.690 §8.3.2: at least one byte, and no more than needed.
fn integer(content: &[u8]) -> Result<&[u8], Fault> {
    match content {
        [] => Err("its DER has a number without digits"),
        [0, second, ..] if *second < 0x80 => Err("its DER has a number in more bytes than needed"),
        [0xff, second, ..] if *second >= 0x80 => Err("its DER has a number in more bytes than needed"),
        _ => Ok(content),
    }
}

/// The flags of a BIT STRING with names for its bits, the first one the highest (X.690 §11.2.2).
fn flags(content: &[u8]) -> Result<u16, Fault> {
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
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// An object identifier in dots (X.690 §8.19), or in hex when it is none.
fn dotted(oid: &[u8]) -> String {
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
    // The first two are one number.
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for arc in rest {
        text.push_str(&format!(".{arc}"));
    }
    text
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text of a certificate, with each character that `hides` written as RFC 4514 §2.4 writes bytes: `\1B`.
fn shown(text: &str, push: impl Fn(char, &mut String)) -> String {
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

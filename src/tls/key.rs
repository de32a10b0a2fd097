//! A private key: read by its structure, regardless of its label, and prepared for signing.
//!
//! Nothing of a private key leaves this module in an error, a log line or `Debug`. `load` and `chain` call it.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use super::der::{self, Reader, BIT_STRING, INTEGER, SEQUENCE};
use super::form::{self, Form};
use super::provider;
use super::x509::{key_kind, CurveParameters, Facts, KeyParts, PublicKey};
use crate::error::IdentityFault;

const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
/// `[1] EXPLICIT`, the tag of an EC key's public half (RFC 5915 §3).
const PUBLIC_HALF: u8 = 0xa1;
/// `[0] EXPLICIT`, the tag of its curve.
const PARAMETERS: u8 = 0xa0;
/// The smallest public exponent that ring accepts. FIPS 186-5 §5.1 forbids smaller ones.
const LEAST_EXPONENT: u64 = 65_537;
/// The sizes of RSA keys that ring accepts.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key's kind and parts, by its structure.
enum Parts<'a> {
    Rsa {
        /// The key in PKCS#1.
        pkcs1: &'a [u8],
        bits: usize,
        /// `None` when it is longer than 8 bytes.
        exponent: Option<u64>,
    },
    Ec {
        curve: &'static CurveParameters,
        /// Without leading zeros.
        secret: &'a [u8],
        /// In uncompressed form.
        public: Option<&'a [u8]>,
    },
    /// The name of another kind of key.
    Other(String),
}

/// A key for signing. If the key is written without its public half, that half is taken from `chain`.
pub(super) fn signing_key(
    key: PrivateKeyDer<'static>,
    chain: &[CertificateDer<'_>],
) -> Result<Arc<dyn SigningKey>, IdentityFault> {
    let load = |key| provider().key_provider.load_private_key(key);
    // The error of rustls about a key is not passed on, because nothing derived from a key may get into a message.
    if let Ok(signing_key) = load(key.clone_key()) {
        return Ok(signing_key);
    }
    let der = key.secret_der();
    if !der::is_one_sequence(der) {
        return Err(IdentityFault::Malformed(
            "the private key in it is damaged; copy the file again from where it was made".to_string(),
        ));
    }
    if form::of(der) == Some(Form::EncryptedKey) {
        return Err(IdentityFault::EncryptedKey);
    }
    match read(der).map_err(|what| IdentityFault::UnreadableKey { what })? {
        Parts::Rsa { bits, .. } if !RSA_BITS.contains(&bits) => {
            Err(IdentityFault::UnsupportedKey { kind: format!("RSA of {bits} bits") })
        }
        Parts::Rsa { bits, exponent: Some(exponent), .. } if exponent < LEAST_EXPONENT => {
            let kind = format!("RSA of {bits} bits with the public exponent {exponent}");
            Err(IdentityFault::UnsupportedKey { kind })
        }
        Parts::Rsa { pkcs1, .. } => load(PrivatePkcs1KeyDer::from(pkcs1.to_vec()).into())
            .map_err(|_| IdentityFault::UnreadableKey { what: "its numbers are not as they are in other RSA keys" }),
        Parts::Ec { curve, secret, public: Some(public) } => load(pkcs8(curve, secret, public)).map_err(|_| {
            IdentityFault::Malformed(
                "the two halves of the private key in it do not belong together; copy the file again from where it was made"
                    .to_string(),
            )
        }),
        Parts::Ec { curve, secret, public: None } => {
            let halves: Vec<Vec<u8>> = chain.iter().filter_map(|der| public_half_in(der, curve)).collect();
            let found = halves.iter().find_map(|public| load(pkcs8(curve, secret, public)).ok());
            // The certificates of other kinds cannot belong to this key.
            found.ok_or(match chain.is_empty() {
                true => IdentityFault::KeyWithoutPublicHalf,
                false => IdentityFault::KeyMismatch,
            })
        }
        Parts::Other(kind) => Err(IdentityFault::UnsupportedKey { kind }),
    }
}

/// The SubjectPublicKeyInfo that belongs to a private key.
pub(super) fn public_half(
    key: PrivateKeyDer<'static>,
    chain: &[CertificateDer<'_>],
) -> Result<Vec<u8>, IdentityFault> {
    let key = signing_key(key, chain)?;
    let public = key.public_key();
    let public = public.ok_or(IdentityFault::UnreadableKey { what: "its public half cannot be told" })?;
    Ok(public.to_vec())
}

/// The public key of a certificate, if it is on this curve.
fn public_half_in(certificate: &[u8], curve: &CurveParameters) -> Option<Vec<u8>> {
    let key = Facts::read(certificate).ok()?.key;
    let is_on_it = matches!(key.kind, PublicKey::Ec { curve: name } if name == curve.name);
    let parts = KeyParts::of(&key.der).ok().filter(|_| is_on_it)?;
    is_whole(parts.bits, curve).then(|| parts.bits.to_vec())
}

/// SEC 1 §2.3.3: an uncompressed point is a 4 and both coordinates.
fn is_whole(point: &[u8], curve: &CurveParameters) -> bool {
    point.first() == Some(&4) && point.len() == 1 + 2 * curve.prime.len()
}

/// The error of every function below: a clause about the key.
type What = &'static str;

const STRUCTURE: What = "its structure is none of PKCS#8, PKCS#1 and SEC 1";

/// RFC 5958 §2 for PKCS#8, RFC 8017 appendix A.1.2 for PKCS#1, RFC 5915 §3 for SEC 1.
fn read(der: &[u8]) -> Result<Parts<'_>, What> {
    let structure = |_| STRUCTURE;
    let mut outer = Reader::new(Reader::new(der).expect(SEQUENCE).map_err(structure)?);
    outer.expect(INTEGER).map_err(structure)?; // version
    match outer.element().map_err(structure)? {
        (SEQUENCE, algorithm) => {
            let inner = outer.expect(OCTET_STRING).map_err(structure)?;
            let mut parameters = Reader::new(algorithm);
            let kind = parameters.expect(OID).map_err(structure)?;
            match key_kind(kind) {
                Some("RSA") => pkcs1(inner),
                Some("EC") => sec1(inner, Some(parameters)),
                // ring has refused it before.
                Some("Ed25519") => Err("its numbers are not as they are in other Ed25519 keys"),
                Some(name) => Ok(Parts::Other(name.to_string())),
                None => Ok(Parts::Other("one that is not known here".to_string())),
            }
        }
        (OCTET_STRING, _) => sec1(der, None),
        (INTEGER, _) => pkcs1(der),
        _ => Err(STRUCTURE),
    }
}

fn pkcs1(der: &[u8]) -> Result<Parts<'_>, What> {
    let structure = |_| STRUCTURE;
    let mut numbers = Reader::new(Reader::new(der).expect(SEQUENCE).map_err(structure)?);
    let mut next = || numbers.expect(INTEGER).map(without_zeros).map_err(structure);
    if !next()?.is_empty() {
        return Ok(Parts::Other("RSA with more than two primes".to_string()));
    }
    let modulus = next()?;
    let exponent = next()?;
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let value = exponent.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Ok(Parts::Rsa { pkcs1: der, bits, exponent: (exponent.len() <= 8).then_some(value) })
}

/// `parameters` are those of PKCS#8, positioned at the curve.
fn sec1<'a>(der: &'a [u8], parameters: Option<Reader<'a>>) -> Result<Parts<'a>, What> {
    let structure = |_| STRUCTURE;
    let mut key = Reader::new(Reader::new(der).expect(SEQUENCE).map_err(structure)?);
    key.expect(INTEGER).map_err(structure)?; // version
    let secret = without_zeros(key.expect(OCTET_STRING).map_err(structure)?);
    let own = key.optional(PARAMETERS).map_err(structure)?.map(Reader::new);
    let (tag, curve) = own
        .or(parameters)
        .ok_or("it does not say its curve")?
        .element()
        .map_err(|_| "it does not say its curve")?;
    let curve = match tag {
        OID => CurveParameters::named(curve),
        SEQUENCE => {
            let (prime, order) = explicit(curve).ok_or("its curve is written out, and cannot be read")?;
            CurveParameters::over(prime, order)
        }
        _ => return Err("it does not say its curve"),
    };
    let curve = match curve {
        Ok(curve) => curve,
        Err(name) => return Ok(Parts::Other(format!("ECDSA on the curve {name}"))),
    };
    if secret.len() > curve.prime.len() {
        return Err("its number is longer than its curve allows");
    }
    let public = match key.optional(PUBLIC_HALF).map_err(structure)? {
        Some(half) => Some(Reader::new(half).bits().map_err(structure)?),
        None => None,
    };
    Ok(Parts::Ec { curve, secret, public: public.filter(|public| is_whole(public, curve)) })
}

/// The prime and the order of a curve that is written out in full (SEC 1 appendix C.2). ring checks the public half on the
/// named curve, so a different curve with the same prime and order does not pass.
fn explicit(parameters: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parameters = Reader::new(parameters);
    parameters.expect(INTEGER).ok()?; // version
    let mut field = Reader::new(parameters.expect(SEQUENCE).ok()?);
    field.expect(OID).ok()?;
    let prime = without_zeros(field.optional(INTEGER).ok()??);
    parameters.expect(SEQUENCE).ok()?; // curve
    parameters.expect(OCTET_STRING).ok()?; // base
    let order = without_zeros(parameters.expect(INTEGER).ok()?);
    Some((prime, order))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    &number[start..]
}

/// An EC key as PKCS#8 with both halves, as ring requires.
fn pkcs8(curve: &CurveParameters, secret: &[u8], public: &[u8]) -> PrivateKeyDer<'static> {
    let padding = vec![0; curve.prime.len().saturating_sub(secret.len())];
    let half = element(PUBLIC_HALF, &[&element(BIT_STRING, &[&[0], public])]);
    let number = element(OCTET_STRING, &[&padding, secret]);
    let inner = element(SEQUENCE, &[&element(INTEGER, &[&[1]]), &number, &half]);
    let kind = [element(OID, &[CurveParameters::EC_KEY]), element(OID, &[curve.oid])];
    let algorithm = element(SEQUENCE, &[&kind[0], &kind[1]]);
    let version = element(INTEGER, &[&[0]]);
    let whole = element(SEQUENCE, &[&version, &algorithm, &element(OCTET_STRING, &[&inner])]);
    PrivatePkcs8KeyDer::from(whole).into()
}

/// One element in DER (X.690 §10.1), of at most 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(&content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_key_is_never_a_panic_and_nothing_of_it_is_said() {
        let good = rcgen::KeyPair::generate().unwrap().serialize_der();
        let shown = |der: &[u8]| {
            let key = PrivatePkcs8KeyDer::from(der.to_vec());
            signing_key(key.into(), &[]).map_or_else(|fault| format!("{fault} {fault:?}"), |_| String::new())
        };
        for length in 0..good.len() {
            assert!(!shown(&good[..length]).is_empty());
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(shown(&bad).len() < 1_000);
            }
        }
    }

    #[test]
    fn lengths_are_written_as_der_has_them() {
        for length in [0, 1, 127, 128, 255, 256, 1_000] {
            let der = element(SEQUENCE, &[&vec![0; length]]);
            assert!(der::is_one_sequence(&der), "{length}");
        }
    }
}

//! The algorithms of a certificate: the kind of its key, and how it was signed.

use std::fmt;

use super::key_parts::KeyParts;
use super::values::{dotted, integer, Fault};
use crate::tls::der::{Reader, INTEGER, SEQUENCE};

const OID: u8 = 0x06;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];

/// The parameters of a curve that servers use, as far as the comparison with a private key needs them (FIPS 186-4 appendix
/// D.1.2).
pub(crate) struct CurveParameters {
    pub(crate) name: &'static str,
    pub(crate) oid: &'static [u8],
    pub(crate) prime: &'static [u8],
    order: &'static [u8],
}

static SIGNING_CURVES: [CurveParameters; 2] = [
    CurveParameters {
        name: "P-256",
        oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        prime: &[
            0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        order: &[
            0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ],
    },
    CurveParameters {
        name: "P-384",
        oid: &[0x2b, 0x81, 4, 0, 0x22],
        prime: &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
            0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff,
        ],
        order: &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
            0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
        ],
    },
];

impl CurveParameters {
    /// id-ecPublicKey (RFC 5480 §2.1.1).
    pub(crate) const EC_KEY: &'static [u8] = EC;

    /// The curve with this identifier. The error is the name of a curve that servers do not use.
    pub(crate) fn named(oid: &[u8]) -> Result<&'static CurveParameters, String> {
        let found = SIGNING_CURVES.iter().find(|curve| curve.oid == oid);
        let other = || CURVES.iter().find(|(known, _)| *known == oid).map(|(_, name)| name.to_string());
        found.ok_or_else(|| other().unwrap_or_else(|| dotted(oid)))
    }

    /// The curve with this prime and order.
    pub(crate) fn over(prime: &[u8], order: &[u8]) -> Result<&'static CurveParameters, String> {
        let found = SIGNING_CURVES.iter().find(|curve| curve.prime == prime && curve.order == order);
        found.ok_or_else(|| "that is written out in it".to_string())
    }
}

/// The kind of a private key (RFC 8017, RFC 5480, RFC 8410, RFC 3279 §2.3.2), by the identifier of its algorithm.
pub(crate) fn key_kind(oid: &[u8]) -> Option<&'static str> {
    const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
    const DH: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1];
    match oid {
        RSA => Some("RSA"),
        RSA_PSS => Some("RSA-PSS"),
        EC => Some("EC"),
        ED25519 => Some("Ed25519"),
        ED448 => Some("Ed448"),
        [0x2b, 0x65, 0x6e] => Some("X25519"),
        [0x2b, 0x65, 0x6f] => Some("X448"),
        DSA => Some("DSA"),
        DH => Some("Diffie-Hellman"),
        _ => None,
    }
}

/// Named curves (RFC 5480 §2.1.1.1, SEC 2, RFC 5639).
const CURVES: [(&[u8], &str); 8] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "P-256"),
    (&[0x2b, 0x81, 4, 0, 0x22], "P-384"),
    (&[0x2b, 0x81, 4, 0, 0x23], "P-521"),
    (&[0x2b, 0x81, 4, 0, 0x21], "P-224"),
    (&[0x2b, 0x81, 4, 0, 0x0a], "secp256k1"),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], "brainpoolP256r1"),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11], "brainpoolP384r1"),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13], "brainpoolP512r1"),
];

/// Signature algorithms whose identifier tells the hash (RFC 8017 appendix A.2.4, RFC 5758, RFC 8410).
const SIGNATURES: [(&[u8], &str, Hash); 14] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2], "RSA with MD2", Hash::Broken),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], "RSA with MD5", Hash::Broken),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], "RSA with SHA-1", Hash::Broken),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14], "RSA with SHA-224", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], "RSA with SHA-256", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], "RSA with SHA-384", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], "RSA with SHA-512", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], "ECDSA with SHA-1", Hash::Broken),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1], "ECDSA with SHA-224", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], "ECDSA with SHA-256", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], "ECDSA with SHA-384", Hash::Good),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], "ECDSA with SHA-512", Hash::Good),
    (ED25519, "Ed25519", Hash::Good),
    (ED448, "Ed448", Hash::Good),
];
/// RSASSA-PSS tells its hash in its parameters. Without parameters it is SHA-1 (RFC 4055 §3.1).
const PSS_HASHES: [(&[u8], &str); 3] = [
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], "RSA-PSS with SHA-256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], "RSA-PSS with SHA-384"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], "RSA-PSS with SHA-512"),
];

/// A public key's kind and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Rsa {
        bits: usize,
    },
    /// On a curve whose name is known here.
    Ec {
        curve: &'static str,
    },
    Ed25519,
    /// Another kind, with the best name for it.
    Other(String),
}

impl PublicKey {
    pub(super) fn read(parts: &KeyParts<'_>) -> Result<PublicKey, Fault> {
        let mut algorithm = Reader::new(parts.algorithm);
        let oid = algorithm.expect(OID)?;
        Ok(match oid {
            RSA | RSA_PSS => PublicKey::Rsa { bits: rsa_bits(parts.bits)? },
            EC => {
                // Parameters written out in full have no name (RFC 5480 §2.1.1 forbids them).
                let curve = algorithm.optional(OID)?.unwrap_or_default();
                match CURVES.iter().find(|(known, _)| *known == curve) {
                    Some((_, curve)) => PublicKey::Ec { curve },
                    None => PublicKey::Other(format!("ECDSA on the curve {}", dotted(curve))),
                }
            }
            ED25519 => PublicKey::Ed25519,
            ED448 => PublicKey::Other("Ed448".to_string()),
            other => PublicKey::Other(dotted(other)),
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicKey::Rsa { bits } => write!(f, "RSA of {bits} bits"),
            PublicKey::Ec { curve } => write!(f, "ECDSA {curve}"),
            PublicKey::Ed25519 => f.write_str("Ed25519"),
            PublicKey::Other(name) => f.write_str(name),
        }
    }
}

/// The length of an RSAPublicKey's modulus (RFC 8017 appendix A.1.1).
fn rsa_bits(key: &[u8]) -> Result<usize, Fault> {
    let mut outer = Reader::new(key);
    let mut numbers = Reader::new(outer.expect(SEQUENCE)?);
    outer.end()?;
    let modulus = integer(numbers.expect(INTEGER)?)?;
    integer(numbers.expect(INTEGER)?)?; // publicExponent
    numbers.end()?;
    let Some(start) = modulus.iter().position(|&byte| byte != 0) else {
        return Ok(0);
    };
    Ok((modulus.len() - start) * 8 - modulus[start].leading_zeros() as usize)
}

/// How good the hash of a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// MD5 or SHA-1: an attacker can make another text with the same hash.
    Broken,
    Good,
    /// The signature algorithm is not known here.
    Unknown,
}

/// How a certificate was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureKind {
    pub(crate) name: String,
    pub(crate) hash: Hash,
}

impl SignatureKind {
    pub(super) fn read(algorithm: &[u8]) -> Result<SignatureKind, Fault> {
        let oid = Reader::new(algorithm).expect(OID)?;
        if oid == RSA_PSS {
            // No other identifiers of hashes occur in the parameters.
            let found = PSS_HASHES
                .iter()
                .find(|(hash, _)| algorithm.windows(hash.len()).any(|window| window == *hash));
            return Ok(match found {
                Some((_, name)) => SignatureKind { name: (*name).to_string(), hash: Hash::Good },
                None => SignatureKind { name: "RSA-PSS with SHA-1".to_string(), hash: Hash::Broken },
            });
        }
        Ok(match SIGNATURES.iter().find(|(known, ..)| *known == oid) {
            Some((_, name, hash)) => SignatureKind { name: (*name).to_string(), hash: *hash },
            None => SignatureKind { name: dotted(oid), hash: Hash::Unknown },
        })
    }
}

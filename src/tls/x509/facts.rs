//! A certificate as a whole, in the order of RFC 5280 §4.1.
//!
//! Knows its parts, in the files beside it. Code that has a certificate's bytes calls it, such as `chain` and `client_auth`.

use super::algorithm::{PublicKey, SignatureKind};
use super::extensions::Extensions;
use super::key_parts::KeyParts;
use super::name::Name;
use super::values::{integer, Fault};
use crate::tls::der::{self, Reader, Validity, INTEGER, SEQUENCE, VERSION};

/// What a certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// 1, 2 or 3.
    pub(in crate::tls) version: u8,
    /// Big-endian, in two's complement, never empty.
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Name,
    pub(in crate::tls) subject: Name,
    pub(in crate::tls) validity: Validity,
    pub(in crate::tls) key: Key,
    pub(in crate::tls) signature: SignatureKind,
    pub(crate) extensions: Extensions,
}

/// A SubjectPublicKeyInfo.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// All of it.
    pub(in crate::tls) der: Vec<u8>,
    pub(in crate::tls) kind: PublicKey,
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
        // §4.1.1.2: the signed part must name the same algorithm as the outer part.
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

    /// Whether issuer and subject are the same (RFC 5280 §3.2 calls this self-issued). The signature is not checked.
    pub(in crate::tls) fn is_self_issued(&self) -> bool {
        self.issuer.der == self.subject.der
    }

    /// Whether a public authority, which browsers trust by default, seems to have issued it: it was logged (RFC 6962 §3.3), or
    /// names a policy of the CA/Browser Forum. Private authorities do neither.
    pub(in crate::tls) fn is_public(&self) -> bool {
        self.extensions.has_transparency_log || self.extensions.has_forum_policy
    }
}

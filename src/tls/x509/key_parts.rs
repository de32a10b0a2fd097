//! The two parts of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), the public key of a certificate.
//!
//! Knows bytes only; `algorithm` reads the kind of key. `facts` calls it, and `tls::key` does to compare it with a private key.

use super::values::Fault;
use crate::tls::der::{Reader, SEQUENCE};

/// The two halves of a SubjectPublicKeyInfo.
pub(crate) struct KeyParts<'a> {
    /// The content of its AlgorithmIdentifier.
    pub(in crate::tls) algorithm: &'a [u8],
    /// The content of its BIT STRING.
    pub(in crate::tls) bits: &'a [u8],
}

impl<'a> KeyParts<'a> {
    pub(in crate::tls) fn of(spki: &'a [u8]) -> Result<KeyParts<'a>, Fault> {
        let mut reader = Reader::new(Reader::new(spki).expect(SEQUENCE)?);
        let algorithm = reader.expect(SEQUENCE)?;
        let bits = reader.bits()?;
        reader.end()?;
        Ok(KeyParts { algorithm, bits })
    }
}

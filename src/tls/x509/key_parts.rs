//! The two parts of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), in which a certificate has its public key.
//!
//! Knows bytes only; which kind of key they are is read by `algorithm`. Called by `facts`, and by `tls::key` for the comparison with a
//! private key.

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

//! A certificate as people and checks need it.
//!
//! `chain` uses it, and programs that show certificates do.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::der::Validity;
use super::x509::{hex, Facts, KeyParts, PublicKey};
use super::{der, provider};
use crate::calendar::{from_unix, iso8601};
use crate::error::{Error, IdentityFault};

/// An X.509 certificate (RFC 5280). Reading does not judge it; [`Chain::findings`](crate::Chain::findings) does.
///
/// Text from a certificate (names) is escaped: it holds no control characters, and none that change the direction of writing.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    pub(super) facts: Facts,
}

impl Certificate {
    /// Reads one certificate, in DER.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] when it is damaged, or in a form that RFC 5280 does not allow.
    pub fn from_der(der: &[u8]) -> Result<Certificate, Error> {
        Certificate::read(der.to_vec().into()).map_err(|what| {
            let what =
                format!("the certificate is damaged ({what}); copy the file again from where it was issued");
            Error::identity(None, IdentityFault::Malformed(what))
        })
    }

    pub(crate) fn read(der: CertificateDer<'static>) -> Result<Certificate, &'static str> {
        Facts::read(&der).map(|facts| Certificate { der, facts })
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM (RFC 7468 §5), with its line end.
    pub fn to_pem(&self) -> String {
        super::pem::write("CERTIFICATE", &self.der)
    }

    /// The X.509 version: 3, except in very old certificates.
    pub fn version(&self) -> u8 {
        self.facts.version
    }

    /// The serial number in hex, as it is encoded: a first digit from 8 up means that it is negative.
    pub fn serial(&self) -> String {
        hex(&self.facts.serial)
    }

    /// The subject as a distinguished name of RFC 4514: `CN=device.local,O=Example`. May be empty.
    pub fn subject(&self) -> &str {
        &self.facts.subject.text
    }

    /// The issuer, in the form of [`subject`](Certificate::subject).
    pub fn issuer(&self) -> &str {
        &self.facts.issuer.text
    }

    /// The first second in which it is valid.
    pub fn not_before(&self) -> SystemTime {
        from_unix(self.facts.validity.not_before)
    }

    /// The last second in which it is valid.
    pub fn not_after(&self) -> SystemTime {
        from_unix(self.facts.validity.not_after)
    }

    pub(crate) fn validity(&self) -> Validity {
        self.facts.validity
    }

    /// The DNS names in its subjectAltName (RFC 5280 §4.2.1.6), with wildcards unchanged. A name in the subject does not count.
    pub fn dns_names(&self) -> &[String] {
        &self.facts.extensions.dns_names
    }

    /// The common name of its subject, the most specific when there are several. Clients do not check it.
    pub fn common_name(&self) -> Option<&str> {
        self.facts.subject.common_name.as_deref()
    }

    /// The mail addresses in its subjectAltName (RFC 5280 §4.2.1.6), if they are in ASCII.
    pub fn email_addresses(&self) -> &[String] {
        &self.facts.extensions.email_addresses
    }

    /// The URIs in its subjectAltName, if they are in ASCII.
    pub fn uris(&self) -> &[String] {
        &self.facts.extensions.uris
    }

    /// The IP addresses in its subjectAltName.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.facts.extensions.addresses
    }

    /// The number of further names in its subjectAltName, of kinds that servers do not have: people, resources, services.
    pub fn other_names(&self) -> usize {
        self.facts.extensions.other_names
    }

    /// The key's kind and size: `ECDSA P-256`, `RSA of 2048 bits`, `Ed25519`.
    pub fn key(&self) -> String {
        self.facts.key.kind.to_string()
    }

    /// The algorithm of its signature: `ECDSA with SHA-256`.
    pub fn signature(&self) -> &str {
        &self.facts.signature.name
    }

    /// Whether it belongs to an authority (RFC 5280 §4.2.1.9).
    pub fn is_ca(&self) -> bool {
        self.facts.extensions.is_ca
    }

    /// How many authorities may stand between this one and a server's certificate (RFC 5280 §4.2.1.9); `None` for any number.
    pub fn path_length(&self) -> Option<u64> {
        self.facts.extensions.path_length
    }

    /// Whether it limits the names that its authority may sign for (RFC 5280 §4.2.1.10).
    pub fn has_name_constraints(&self) -> bool {
        self.facts.extensions.has_name_constraints
    }

    /// The URLs of its issuer's certificate, as the certificate gives them (RFC 5280 §4.2.2.1).
    pub fn issuers_at(&self) -> &[String] {
        &self.facts.extensions.issuers_at
    }

    /// What the key may be used for (RFC 5280 §4.2.1.3); `None` when the certificate does not say, which allows all.
    pub fn key_usage(&self) -> Option<Vec<&'static str>> {
        self.facts.extensions.key_usage.map(|usage| usage.names())
    }

    /// What the certificate may be used for (RFC 5280 §4.2.1.12); `None` when it does not say.
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        self.facts.extensions.extended_key_usage.as_ref().map(|usage| &usage.names[..])
    }

    /// The SHA-256 of the whole certificate, as clients and `openssl x509 -fingerprint -sha256` show it.
    pub fn fingerprint(&self) -> [u8; 32] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.der);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        fingerprint
    }

    /// Whether it is its own issuer, by name and by signature.
    pub fn is_self_signed(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether `issuer` has issued it: by name, by key identifier and by signature. A signature that cannot be checked here
    /// (SHA-1, RSA under 2048 bits, rare curves) counts as right.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        self.names_as_issuer(issuer) && self.is_signed_by(issuer) != Some(false)
    }

    /// Compares names by RFC 5280 §6.1.3 (a) (4), and the identifiers of §4.2.1.1 if both certificates have them.
    pub(super) fn names_as_issuer(&self, issuer: &Certificate) -> bool {
        let wanted = &self.facts.extensions.authority_key_id;
        let offered = &issuer.facts.extensions.subject_key_id;
        self.facts.issuer.der == issuer.facts.subject.der
            && (wanted.is_none() || offered.is_none() || wanted == offered)
    }

    /// Whether the key of `issuer` made the signature. `None` when that cannot be checked here.
    pub(crate) fn is_signed_by(&self, issuer: &Certificate) -> Option<bool> {
        let signed = der::signed(&self.der).ok()?;
        let key = KeyParts::of(&issuer.facts.key.der).ok()?;
        if matches!(issuer.facts.key.kind, PublicKey::Rsa { bits } if !(2048..=8192).contains(&bits)) {
            return None;
        }
        let mut known = provider()
            .signature_verification_algorithms
            .all
            .iter()
            .filter(|algorithm| {
                algorithm.public_key_alg_id().as_ref() == key.algorithm
                    && algorithm.signature_alg_id().as_ref() == signed.algorithm
            })
            .peekable();
        known.peek()?;
        Some(
            known.any(|algorithm| algorithm.verify_signature(key.bits, signed.tbs, signed.signature).is_ok()),
        )
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("serial", &self.serial())
            .field("not_before", &format_args!("{}", iso8601(self.not_before())))
            .field("not_after", &format_args!("{}", iso8601(self.not_after())))
            .finish_non_exhaustive()
    }
}

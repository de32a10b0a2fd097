//! Makes CAs and the certificates that they sign, and reads such a CA again.
//!
//! The only module of the library that knows rcgen; it checks the results with webpki. `state` makes the device's identity with
//! it, and the demo its own.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;
use zeroize::{Zeroize, Zeroizing};

use super::scope::Scope;
use crate::tls::{pem, provider, Certificate};

/// The last second of the year 9999, the latest date in a certificate (RFC 5280 §4.1.2.5).
const END_OF_TIME: i64 = 253_402_300_799;
/// RFC 5280 appendix A: the longest common name, in characters.
const LONGEST_COMMON_NAME: usize = 64;

/// From the first second in which a certificate is valid to the last, in seconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// notBefore.
    pub not_before: i64,
    /// notAfter.
    pub not_after: i64,
}

/// A private key on P-256. `Debug` shows nothing of it, and its encoding is cleared from memory. (ring does not clear its own
/// copy.)
pub struct Key(KeyPair);

/// A CA with its key, ready to sign.
pub struct Ca {
    certificate: CertificateDer<'static>,
    pem: String,
    name: String,
    scope: Scope,
    /// What its extendedKeyUsage says. CAs of earlier versions have none.
    is_for_servers_only: bool,
    lifetime: Lifetime,
    issuer: Issuer<'static, Key>,
}

/// Which of a CA's two files cannot be used, and why: a clause about the file.
#[derive(Debug)]
pub(super) enum CaFault {
    Certificate(&'static str),
    Key(&'static str),
}

/// Why there is no new certificate.
#[derive(Debug)]
pub struct MakeError(String);

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MakeError {}

impl From<rcgen::Error> for MakeError {
    fn from(error: rcgen::Error) -> MakeError {
        MakeError(error.to_string())
    }
}

impl Key {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers.
    pub fn make() -> Result<Key, MakeError> {
        Ok(Key(KeyPair::generate()?))
    }

    /// Reads a key. `None` when it is damaged or not on P-256. There is no reason in the result, because nothing derived from a
    /// key may get into a message.
    pub(super) fn read(pem: &[u8]) -> Option<Key> {
        let key = Key(KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()?);
        key.0.is_compatible(&PKCS_ECDSA_P256_SHA256).then_some(key)
    }

    /// The key in PKCS#8, as PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Ca {
    /// Makes a CA that may sign for nothing outside `scope`. Its name is `title` (ASCII letters, digits, hyphens and spaces)
    /// and a part of its key's hash: browsers confuse two CAs of the same name, and Firefox refuses a server whose certificate
    /// repeats the issuer and serial number of another.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers, and when `scope` cannot be written.
    pub fn make(title: &str, scope: &Scope, lifetime: Lifetime, key: Key) -> Result<Ca, MakeError> {
        let mut ca = CertificateParams::default();
        let id: String = ca.key_identifier(&key)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let longest_title = LONGEST_COMMON_NAME - id.len() - 1;
        let name = format!("{} {id}", title.chars().take(longest_title).collect::<String>());
        ca.serial_number = Some(random_serial()?);
        ca.distinguished_name = common_name(&name);
        ca.not_before = rcgen::date_time_ymd(1970, 1, 1) + within_certificates(lifetime.not_before);
        ca.not_after = rcgen::date_time_ymd(1970, 1, 1) + within_certificates(lifetime.not_after);
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Name constraints do not limit mail addresses and names of persons, so the purposes that use those are excluded
        // altogether.
        ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        ca.name_constraints = Some(scope.to_constraints());
        ca.use_authority_key_identifier_extension = true;
        let made = ca.self_signed(&key)?;
        Ok(Ca {
            certificate: made.der().clone(),
            pem: made.pem(),
            name,
            scope: scope.clone(),
            is_for_servers_only: true,
            lifetime,
            issuer: Issuer::new(ca, key),
        })
    }

    /// Reads a CA that was made before. Checks that it is intact and that certificate and key belong together.
    pub(super) fn read(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Ca, CaFault> {
        let own = read_ca(certificate_pem).map_err(CaFault::Certificate)?;
        let certificate = CertificateDer::from(own.der().to_vec());
        let not_ours = CaFault::Certificate("is not the certificate of a device CA");
        let anchor = webpki::anchor_from_trusted_cert(&certificate).ok();
        let constraints = anchor.as_ref().and_then(|anchor| anchor.name_constraints.as_ref());
        let scope = constraints.and_then(|constraints| Scope::of_constraints(constraints.as_ref()));
        let (Some(scope), Some(name)) = (scope, own.subject().strip_prefix("CN=")) else {
            return Err(not_ours);
        };

        let key = Key::read(key_pem).ok_or(CaFault::Key("is damaged"))?;
        let fits = EndEntityCert::try_from(&certificate)
            .is_ok_and(|own| own.subject_public_key_info().as_ref() == key.subject_public_key_info());
        if !fits {
            return Err(CaFault::Key("is the key of another CA"));
        }
        let mut ca = CertificateParams::default();
        ca.distinguished_name = common_name(name);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Ca {
            pem: own.to_pem(),
            name: name.to_string(),
            scope,
            is_for_servers_only: own.extended_key_usage().is_some_and(|usages| usages == ["serverAuth"]),
            lifetime: Lifetime { not_before: own.validity().not_before, not_after: own.validity().not_after },
            issuer: Issuer::new(ca, key),
            certificate,
        })
    }

    /// The CA's certificate, for clients to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The CA's common name, which ends in 16 hexadecimal digits that are unique to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What a CA of an earlier version may sign for that a CA of today may not, as a clause.
    pub(super) fn excess(&self) -> Option<String> {
        let below: Vec<String> =
            self.scope.open_domains().map(|domain| format!("every name below {domain}")).collect();
        let usages = "mail, clients and code".to_string();
        let all: Vec<String> =
            (!self.is_for_servers_only).then_some(usages).into_iter().chain(below).collect();
        (!all.is_empty()).then(|| all.join(", and "))
    }

    pub(super) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Issues a server's certificate, as PEM, for these names and addresses. The first of them is also the common name.
    ///
    /// # Errors
    ///
    /// When a name cannot be written into a certificate, when the CA may not sign for it, and when the operating system
    /// has no random numbers.
    pub fn issue(&self, names: &[String], lifetime: Lifetime, key: &Key) -> Result<String, MakeError> {
        let mut leaf = CertificateParams::new(names)?;
        leaf.serial_number = Some(random_serial()?);
        let short = names.iter().find(|name| name.len() <= LONGEST_COMMON_NAME);
        leaf.distinguished_name = short.map(|name| common_name(name)).unwrap_or_default();
        leaf.not_before = rcgen::date_time_ymd(1970, 1, 1) + within_certificates(lifetime.not_before);
        leaf.not_after = rcgen::date_time_ymd(1970, 1, 1) + within_certificates(lifetime.not_after);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.custom_extensions = vec![not_a_ca(), subject_key_identifier(&leaf.key_identifier(key))];
        let made = leaf.signed_by(key, &self.issuer)?;
        self.check_leaf(made.der(), lifetime.not_before).map_err(|error| {
            MakeError(format!("a certificate for {} would not be accepted: {error}", names.join(", ")))
        })?;
        Ok(made.pem())
    }

    /// Whether a client that trusts this CA accepts this certificate at `now`, in seconds since 1970.
    pub(super) fn check_leaf(&self, leaf: &CertificateDer<'_>, now: i64) -> Result<(), webpki::Error> {
        check_leaf(&self.certificate, leaf, now)
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a client that trusts the CA in one PEM file accepts the first certificate in the other at `now`, in seconds since
/// 1970.
///
/// # Errors
///
/// A clause that says what is wrong.
#[cfg(any(test, feature = "serve"))]
pub fn check_issued(ca_pem: &[u8], leaf_pem: &[u8], now: i64) -> Result<(), String> {
    let (ca, leaf) = (first_in(ca_pem)?, first_in(leaf_pem)?);
    check_leaf(&ca, &leaf, now).map_err(|error| error.to_string())
}

fn check_leaf(ca: &CertificateDer<'_>, leaf: &CertificateDer<'_>, now: i64) -> Result<(), webpki::Error> {
    let anchor = webpki::anchor_from_trusted_cert(ca)?;
    let now = UnixTime::since_unix_epoch(within_certificates(now));
    EndEntityCert::try_from(leaf)?.verify_for_usage(
        &[webpki::ring::ECDSA_P256_SHA256],
        &[anchor],
        &[],
        now,
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )?;
    Ok(())
}

/// Reads the CA in a PEM file. Its own signature shows that it is intact. An error is a clause about the file.
pub(super) fn read_ca(pem: &[u8]) -> Result<Certificate, &'static str> {
    let own = Certificate::read(first_in(pem)?).map_err(|_| "is damaged")?;
    if own.is_signed_by(&own) == Some(true) {
        Ok(own)
    } else {
        Err("is damaged, or is not the certificate of a device CA")
    }
}

/// The validity of the first certificate in a PEM file. `None` when there is none, or it is damaged.
pub(super) fn lifetime_in(pem: &[u8]) -> Option<Lifetime> {
    let own = Certificate::read(first_in(pem).ok()?).ok()?;
    Some(Lifetime { not_before: own.validity().not_before, not_after: own.validity().not_after })
}

/// The first certificate in a PEM file.
fn first_in(pem: &[u8]) -> Result<CertificateDer<'static>, &'static str> {
    let contents = pem::read(pem).map_err(|_| "is damaged: it is no PEM")?;
    contents.certificates.into_iter().next().ok_or("holds no certificate")
}

fn common_name(name: &str) -> DistinguishedName {
    let mut common_name = DistinguishedName::new();
    common_name.push(DnType::CommonName, name);
    common_name
}

/// The basicConstraints of a certificate that signs no others. rcgen's `ExplicitNoCa` writes cA with its default of FALSE, which
/// DER leaves out (X.690 §11.5), and strict readers refuse such a certificate.
fn not_a_ca() -> CustomExtension {
    let mut constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
    constraints.set_criticality(true);
    constraints
}

/// RFC 5280 §4.2.1.2.
fn subject_key_identifier(id: &[u8]) -> CustomExtension {
    // An identifier is part of a hash, so its length fits one byte.
    let octets = [&[0x04, id.len() as u8], id].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 14], octets)
}

/// 126 random bits, positive and always of the same length (RFC 5280 §4.1.2.2: at most 20 bytes).
fn random_serial() -> Result<SerialNumber, MakeError> {
    let mut serial = [0; 16];
    provider()
        .secure_random
        .fill(&mut serial)
        .map_err(|_| MakeError("the operating system has no random numbers".to_string()))?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

/// The time from 1970 to this second, limited to the dates that a certificate can hold. rcgen panics on others.
fn within_certificates(seconds: i64) -> Duration {
    Duration::from_secs(seconds.clamp(0, END_OF_TIME).unsigned_abs())
}

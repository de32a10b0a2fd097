//! Makes keys and signs with them: certificate requests (RFC 2986), and the certificates that prove names in TLS-ALPN-01 (RFC
//! 8737 §3).
//!
//! The only file of ACME that knows rcgen. Called by `order`.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SanType};
use ring::digest;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::names::Identifier;
use crate::error::AcmeFault;
use crate::tls::provider;

/// A new key, as PEM, and the request for a certificate for these names, as DER. The subject stays empty: clients look at
/// the alternative names only, and a common name is limited to 64 letters.
pub(super) fn request(names: &[Identifier]) -> Result<(Zeroizing<String>, Vec<u8>), AcmeFault> {
    let key = KeyPair::generate().map_err(|_| AcmeFault::Crypto)?;
    let request = parameters(names)?.serialize_request(&key).map_err(|_| AcmeFault::Crypto)?;
    Ok((key.serialize_pem().into(), request.der().to_vec()))
}

/// A self-signed certificate for this one name, with the hash of the key authorization.
pub(super) fn proof(
    name: &Identifier,
    authorization: &str,
    now: i64,
) -> Result<Arc<CertifiedKey>, AcmeFault> {
    const DAY: i64 = 86_400;
    let key = KeyPair::generate().map_err(|_| AcmeFault::Crypto)?;
    let mut parameters = parameters(std::slice::from_ref(name))?;
    let hash = digest::digest(&digest::SHA256, authorization.as_bytes());
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(hash.as_ref())];
    // Keeps a distance to 1970 and 9999. A certificate cannot hold dates beyond them, and rcgen panics on such dates.
    let now = now.clamp(DAY, 250_000_000_000);
    let at = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
    (parameters.not_before, parameters.not_after) = (at(now - DAY), at(now + DAY));
    let certificate = parameters.self_signed(&key).map_err(|_| AcmeFault::Crypto)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| AcmeFault::Crypto)?;
    let signing = provider().key_provider.load_private_key(der).map_err(|_| AcmeFault::Crypto)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing)))
}

fn parameters(names: &[Identifier]) -> Result<CertificateParams, AcmeFault> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    for name in names {
        parameters.subject_alt_names.push(match name {
            Identifier::Dns(name) => {
                let unfit = |_| AcmeFault::Unsupported(format!("{name} cannot stand in a certificate"));
                SanType::DnsName(name.clone().try_into().map_err(unfit)?)
            }
            Identifier::Ip(address) => SanType::IpAddress(*address),
        });
    }
    Ok(parameters)
}

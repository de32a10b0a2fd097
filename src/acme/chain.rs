//! What ACME needs to know of issued certificates: their issuers, to choose among the offered chains, and the name that RFC
//! 9773 gives a certificate.

use ring::digest;

use super::base64url;
use crate::tls::pem;
use crate::tls::x509::Facts;

/// The certificate's name in questions about its renewal (RFC 9773 §4.1): its issuer's key identifier and its serial number.
/// `None` for a certificate without such an identifier, whose renewal cannot be asked about.
pub(super) fn renewal_name(certificate: &[u8]) -> Option<String> {
    let facts = Facts::read(certificate).ok()?;
    let identifier = facts.extensions.authority_key_id?;
    Some(format!("{}.{}", base64url::encode(&identifier), base64url::encode(&facts.serial)))
}

/// A name for any certificate, for the files of this state directory.
pub(super) fn own_name(certificate: &[u8]) -> String {
    base64url::encode(digest::digest(&digest::SHA256, certificate).as_ref())
}

/// Whether a chain in PEM leads to an issuer of this common name, at any step.
pub(super) fn leads_to(chain: &str, issuer: &str) -> bool {
    let Ok(contents) = pem::read(chain.as_bytes()) else { return false };
    contents.certificates.iter().any(|certificate| {
        Facts::read(certificate).is_ok_and(|facts| facts.issuer.common_name.as_deref() == Some(issuer))
    })
}

/// Whether a text holds at least one certificate in PEM, and each is intact.
pub(super) fn is_whole(chain: &str) -> bool {
    let Ok(contents) = pem::read(chain.as_bytes()) else { return false };
    let is_certificate = |der: &rustls::pki_types::CertificateDer<'_>| Facts::read(der).is_ok();
    !contents.certificates.is_empty() && contents.certificates.iter().all(is_certificate)
}

/// Whether two chains in PEM begin with the same certificate.
pub(super) fn have_one_leaf(one: &str, other: &str) -> bool {
    let leaf = |chain: &str| pem::read(chain.as_bytes()).ok()?.certificates.into_iter().next();
    leaf(one).is_some_and(|own| leaf(other) == Some(own))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn chain() -> String {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::OrganizationName, "An authority");
        ca.distinguished_name.push(DnType::CommonName, "Root X");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["a.example".into()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        leaf.signed_by(&key, &issuer).unwrap().pem()
    }

    #[test]
    fn a_chain_is_known_by_the_common_name_of_an_issuer() {
        let chain = chain();
        assert!(leads_to(&chain, "Root X"));
        assert!(!leads_to(&chain, "An authority") && !leads_to(&chain, "Root") && !leads_to("", "Root X"));
    }

    #[test]
    fn a_chain_of_another_certificate_or_a_damaged_one_is_not_taken_for_the_same() {
        let (one, other) = (chain(), chain());
        assert!(have_one_leaf(&one, &one) && have_one_leaf(&format!("{one}{other}"), &one));
        assert!(is_whole(&one) && is_whole(&format!("{one}{other}")));
        let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for bad in [&format!("{one}{damaged}"), damaged, "", "<html>"] {
            assert!(!is_whole(bad), "{bad}");
        }
        for bad in [&other, damaged, "", "<html>"] {
            assert!(!have_one_leaf(bad, &one) && !have_one_leaf(&one, bad), "{bad}");
        }
    }

    /// The certificate and the answer stand in RFC 9773, appendix A and §4.1.
    #[test]
    fn the_example_of_rfc_9773_has_the_name_that_stands_there() {
        let pem = "-----BEGIN CERTIFICATE-----\n\
            MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt\n\
            cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS\n\
            BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu\n\
            7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf\n\
            qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B\n\
            yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb\n\
            +FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK\n\
            -----END CERTIFICATE-----\n";
        let contents = pem::read(pem.as_bytes()).ok().unwrap();
        assert_eq!(
            renewal_name(&contents.certificates[0]).as_deref(),
            Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
        );
    }

    #[test]
    fn a_certificate_without_an_issuers_identifier_has_no_such_name_and_neither_has_garbage() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_string()]).unwrap();
        assert_eq!(renewal_name(made.cert.der()), None);
        let chain = chain();
        let der = pem::read(chain.as_bytes()).ok().unwrap().certificates[0].to_vec();
        assert!(renewal_name(&der).is_some());
        for length in 0..der.len() {
            let _ = renewal_name(&der[..length]);
        }
        assert_eq!(own_name(&der).len(), 43);
    }
}

//! Properties that hold for any bytes that come in place of a certificate.

use super::{Facts, KeyParts};
use crate::tls::der;

pub(crate) fn hold(input: &[u8]) {
    let Ok(facts) = Facts::read(input) else { return };
    // The reader of the validity alone gives the same result.
    assert_eq!(der::validity(input), Ok(facts.validity));
    assert!((1..=3).contains(&facts.version) && !facts.serial.is_empty());
    assert!(KeyParts::of(&facts.key.der).is_ok());

    // No shown text can control a terminal, and no text grows by more than its escapes.
    let names = [&facts.issuer, &facts.subject];
    let extensions = &facts.extensions;
    let shown = names
        .iter()
        .map(|name| &name.text)
        .chain(names.iter().filter_map(|name| name.common_name.as_ref()))
        .chain(&extensions.dns_names)
        .chain(&extensions.issuers_at)
        .chain(&extensions.unknown_critical);
    let mut length = 0;
    for text in shown {
        assert!(!text.chars().any(crate::escape::hides), "{text:?}");
        length += text.len();
    }
    assert!(length <= 24 * input.len(), "{length} of {}", input.len());
    assert!(extensions.dns_names.len() + extensions.addresses.len() <= input.len());

    // A shorter and a longer input are refused.
    assert!(Facts::read(&input[..input.len() - 1]).is_err());
    assert!(Facts::read(&[input, &[0]].concat()).is_err());
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose, SanType,
    };

    use super::*;
    use crate::tls::x509::PublicKey;

    /// A certificate with every field that is read.
    fn rich() -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_string(), "192.0.2.1".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "ä, b");
        params.distinguished_name.push(DnType::OrganizationName, "o");
        params.subject_alt_names.push(SanType::Rfc822Name("a@b".try_into().unwrap()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(3));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::DecipherOnly];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
        params.use_authority_key_identifier_extension = true;
        let url = b"\x30\x12\x30\x10\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x04ab:c".to_vec();
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], url));
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
        let policy = b"\x30\x0a\x30\x08\x06\x06\x67\x81\x0c\x01\x02\x01".to_vec();
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 32], policy));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn all_that_is_there_is_read() {
        let facts = Facts::read(&rich()).unwrap();
        let extensions = &facts.extensions;
        assert_eq!(facts.subject.text, "O=o,CN=ä\\, b");
        assert_eq!(facts.subject.common_name.as_deref(), Some("ä, b"));
        assert!(facts.is_self_issued() && facts.is_public());
        assert_eq!(extensions.dns_names, ["a.example"]);
        assert_eq!(extensions.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(extensions.other_names, 1);
        assert_eq!((extensions.is_ca, extensions.path_length), (true, Some(3)));
        assert_eq!(extensions.key_usage.unwrap().names(), ["digitalSignature", "decipherOnly"]);
        assert_eq!(
            extensions.extended_key_usage.as_ref().unwrap().names,
            ["serverAuth", "anyExtendedKeyUsage"]
        );
        assert_eq!(extensions.issuers_at, ["ab:c"]);
        assert_eq!(extensions.unknown_critical, ["1.2.3"]);
        assert_eq!(extensions.authority_key_id, extensions.subject_key_id);
        assert!(extensions.subject_key_id.is_some());
        assert_eq!(facts.key.kind, PublicKey::Ec { curve: "P-256" });
        assert_eq!(facts.signature.name, "ECDSA with SHA-256");
    }

    #[test]
    fn properties_hold_of_a_certificate_with_any_bit_another_and_cut_anywhere() {
        let good = rich();
        hold(&good);
        for length in 0..good.len() {
            hold(&good[..length]);
        }
        let mut read = 0;
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                read += usize::from(Facts::read(&bad).is_ok());
                hold(&bad);
            }
        }
        // Most bits belong to names, numbers and the signature.
        assert!(read > good.len(), "{read}");
    }
}

//! Recognizes files of other forms than PEM: a certificate in DER, a bag of certificates, a request. For each form there is an
//! OpenSSL command that makes PEM of it.
//!
//! Knows only the outer structure of each form. `pem`, `wanted`, `load` and `chain` call it.

use super::der::{self, Reader, BIT_STRING, INTEGER, SEQUENCE};

const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SET: u8 = 0x31;
const EXPLICIT_0: u8 = 0xa0;
/// 1.2.840.113549.1.7.2, signedData (RFC 2315 §14), with its tag and length.
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 1.2.840.113549.1.7, the kinds of content of PKCS#7, of which PKCS#12 is made (RFC 7292 §4).
const PKCS7_CONTENT: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7];

/// The forms that a given file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Certificate,
    /// A bag of certificates (RFC 2315), which some authorities send.
    Pkcs7,
    /// A bag with a key in it (RFC 7292).
    Pkcs12,
    /// PKCS#10 (RFC 2986).
    Request,
    RevocationList,
    PublicKey,
    PrivateKey,
    EncryptedKey,
}

/// How the form is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Der,
    Pem,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Certificate => "a certificate",
            Form::Pkcs7 => "PKCS#7, a bag of certificates,",
            Form::Pkcs12 => "PKCS#12, a bag with a certificate and its key,",
            Form::Request => "a request for a certificate (CSR)",
            Form::RevocationList => "a revocation list (CRL)",
            Form::PublicKey => "a public key",
            Form::PrivateKey => "a private key",
            Form::EncryptedKey => "an encrypted private key",
        }
    }

    /// The command that converts it to PEM, if there is one, with FILE and NEW for the paths.
    pub(super) fn conversion(self, coding: Coding) -> Option<&'static str> {
        Some(match (self, coding) {
            (Form::Certificate, Coding::Der) => "openssl x509 -inform DER -in FILE -out NEW",
            (Form::Pkcs7, Coding::Der) => "openssl pkcs7 -inform DER -print_certs -in FILE -out NEW",
            (Form::Pkcs7, Coding::Pem) => "openssl pkcs7 -print_certs -in FILE -out NEW",
            (Form::Pkcs12, _) => "openssl pkcs12 -in FILE -nodes -out NEW",
            (Form::Request, Coding::Der) => {
                "openssl x509 -req -inform DER -in FILE -copy_extensions copy -days 365 -CA ca.pem -CAkey ca-key.pem -out NEW"
            }
            (Form::Request, Coding::Pem) => {
                "openssl x509 -req -in FILE -copy_extensions copy -days 365 -CA ca.pem -CAkey ca-key.pem -out NEW"
            }
            (Form::PrivateKey | Form::EncryptedKey, Coding::Der) => "openssl pkey -inform DER -in FILE -out NEW",
            _ => return None,
        })
    }
}

/// Recognizes a form by its structure.
pub(super) fn of(der: &[u8]) -> Option<Form> {
    // Older programs write PKCS#7 and PKCS#12 with indefinite lengths (X.690 §8.1.3.6), which DER does not have.
    if let Some(content) = der.strip_prefix(&[SEQUENCE, 0x80]) {
        let is_pkcs12 = content.starts_with(&[INTEGER, 1, 3, SEQUENCE]);
        let is_pkcs7 = content.starts_with(SIGNED_DATA);
        return if is_pkcs7 { Some(Form::Pkcs7) } else { is_pkcs12.then_some(Form::Pkcs12) };
    }
    if !der::is_one_sequence(der) {
        return None;
    }
    if der::validity(der).is_ok() {
        return Some(Form::Certificate);
    }
    let content = Reader::new(der).expect(SEQUENCE).ok()?;
    if content.starts_with(SIGNED_DATA) {
        return Some(Form::Pkcs7);
    }
    of_content(content).or_else(|| der::signed(der).ok().and_then(|signed| of_signed(signed.tbs)))
}

fn of_content(content: &[u8]) -> Option<Form> {
    let elements = elements(content)?;
    let tags: Vec<u8> = elements.iter().map(|(tag, _)| *tag).collect();
    let begins_with_oid = |content: &[u8]| content.first() == Some(&OID);
    match (&tags[..], &elements[..]) {
        // Version 3, and the identifier of a content.
        ([INTEGER, SEQUENCE, ..], [(_, [3]), (_, inner), ..])
            if Reader::new(inner).expect(OID).is_ok_and(|oid| oid.starts_with(PKCS7_CONTENT)) =>
        {
            Some(Form::Pkcs12)
        }
        // PKCS#8 (RFC 5958 §2), SEC 1 (RFC 5915 §3), PKCS#1 (RFC 8017 appendix A.1.2).
        ([INTEGER, SEQUENCE, OCTET_STRING, ..] | [INTEGER, OCTET_STRING, ..], _) => Some(Form::PrivateKey),
        ([INTEGER, INTEGER, INTEGER, rest @ ..], _) if rest.len() >= 6 => Some(Form::PrivateKey),
        ([INTEGER, INTEGER], _) => Some(Form::PublicKey),
        ([SEQUENCE, BIT_STRING], [(_, algorithm), _]) if begins_with_oid(algorithm) => Some(Form::PublicKey),
        ([SEQUENCE, OCTET_STRING], [(_, algorithm), _]) if begins_with_oid(algorithm) => {
            Some(Form::EncryptedKey)
        }
        _ => None,
    }
}

/// A request has no times (RFC 2986 §4.1), a revocation list has one or two and no key (RFC 5280 §5.1).
fn of_signed(tbs: &[u8]) -> Option<Form> {
    const TIMES: [u8; 2] = [0x17, 0x18];
    let elements = elements(Reader::new(tbs).expect(SEQUENCE).ok()?)?;
    let tags: Vec<u8> = elements.iter().map(|(tag, _)| *tag).collect();
    match &tags[..] {
        [INTEGER, SEQUENCE, SEQUENCE, ..] if tags.iter().any(|tag| TIMES.contains(tag)) => {
            Some(Form::RevocationList)
        }
        [SEQUENCE, SEQUENCE, time, ..] if TIMES.contains(time) => Some(Form::RevocationList),
        [INTEGER, SEQUENCE, SEQUENCE] | [INTEGER, SEQUENCE, SEQUENCE, EXPLICIT_0] => Some(Form::Request),
        _ => None,
    }
}

/// The first twelve elements, which are enough to recognize every form.
fn elements(content: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut reader = Reader::new(content);
    let mut found = Vec::new();
    while !reader.is_at_end() && found.len() < 12 {
        found.push(reader.element().ok()?);
    }
    Some(found)
}

/// The certificates of a PKCS#7 bag (RFC 2315 §9.1), in its order. `None` when it cannot be read here.
pub(super) fn certificates_of_pkcs7(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut outer = Reader::new(Reader::new(der).expect(SEQUENCE).ok()?);
    outer.expect(OID).ok()?;
    let mut explicit = Reader::new(outer.expect(EXPLICIT_0).ok()?);
    let mut signed = Reader::new(explicit.expect(SEQUENCE).ok()?);
    signed.expect(INTEGER).ok()?; // version
    signed.expect(SET).ok()?; // digestAlgorithms
    signed.expect(SEQUENCE).ok()?; // contentInfo
    let mut bag = Reader::new(signed.optional(EXPLICIT_0).ok()??);
    let mut certificates = Vec::new();
    while !bag.is_at_end() {
        certificates.push(bag.whole(SEQUENCE).ok()?.0.to_vec());
    }
    (!certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
        let request = params.serialize_request(&key).unwrap().der().to_vec();
        (params.self_signed(&key).unwrap().der().to_vec(), request, key.serialize_der())
    }

    /// Of one certificate, without signers, as `openssl crl2pkcs7 -nocrl` makes it.
    fn bag(certificate: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let length = content.len() as u16;
            [&[tag, 0x82][..], &length.to_be_bytes(), content].concat()
        };
        let data = [0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
        let signed =
            [&[INTEGER, 1, 1, SET, 0][..], &data, &element(EXPLICIT_0, certificate), &[SET, 0]].concat();
        element(SEQUENCE, &[SIGNED_DATA, &element(EXPLICIT_0, &element(SEQUENCE, &signed))].concat())
    }

    #[test]
    fn each_form_is_told_by_its_structure() {
        let (certificate, request, key) = made();
        assert_eq!(of(&certificate), Some(Form::Certificate));
        assert_eq!(of(&request), Some(Form::Request));
        assert_eq!(of(&key), Some(Form::PrivateKey));
        let bag = bag(&certificate);
        assert_eq!(of(&bag), Some(Form::Pkcs7));
        assert_eq!(certificates_of_pkcs7(&bag), Some(vec![certificate]));
        // With indefinite lengths, as older programs write it.
        assert_eq!(of(&[&[SEQUENCE, 0x80], SIGNED_DATA].concat()), Some(Form::Pkcs7));
        assert_eq!(of(&[SEQUENCE, 0x80, INTEGER, 1, 3, SEQUENCE, 0x80]), Some(Form::Pkcs12));
        for nothing in [&b""[..], b"text", &[SEQUENCE, 0], &[SEQUENCE, 3, INTEGER, 1, 3]] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn damage_is_never_a_panic() {
        let (certificate, request, key) = made();
        for good in [bag(&certificate), certificate, request, key] {
            for length in 0..good.len() {
                let _ = (of(&good[..length]), certificates_of_pkcs7(&good[..length]));
            }
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    let _ = (of(&bad), certificates_of_pkcs7(&bad));
                }
            }
        }
    }
}

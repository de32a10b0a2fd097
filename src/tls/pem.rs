//! Certificates, revocation lists and a private key out of PEM text (RFC 7468). The only file that uses rustls-pemfile,
//! which nobody maintains any more, so that replacing it stays an hour's work.
//!
//! Knows the text only: what the bytes inside mean is for its callers to find out.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::error::IdentityFault;

/// What a PEM file holds that matters to a server. Other sections (parameters, requests) are passed over.
pub(super) struct Contents {
    /// In the file's order.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) key: Key,
}

/// The first private key in a PEM file.
pub(super) enum Key {
    Absent,
    /// There is one, behind a passphrase, and none without.
    Encrypted,
    Plain(PrivateKeyDer<'static>),
}

/// Reads all of a PEM file.
pub(super) fn read(mut text: &[u8]) -> Result<Contents, IdentityFault> {
    let encrypted = holds_encrypted_key(text);
    let mut certificates = Vec::new();
    let mut revocation_lists = Vec::new();
    let mut key = if encrypted { Key::Encrypted } else { Key::Absent };
    loop {
        let (item, rest) = match rustls_pemfile::read_one_from_slice(text) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Contents { certificates, revocation_lists, key }),
            // The old form of encryption puts header lines where rustls-pemfile expects base64 only.
            Err(_) if encrypted => return Err(IdentityFault::EncryptedKey),
            Err(error) => return Err(malformed(error)),
        };
        text = rest;
        let found = match item {
            rustls_pemfile::Item::X509Certificate(certificate) => {
                certificates.push(certificate);
                continue;
            }
            rustls_pemfile::Item::Crl(list) => {
                revocation_lists.push(list);
                continue;
            }
            rustls_pemfile::Item::Pkcs8Key(found) => PrivateKeyDer::Pkcs8(found),
            rustls_pemfile::Item::Pkcs1Key(found) => PrivateKeyDer::Pkcs1(found),
            rustls_pemfile::Item::Sec1Key(found) => PrivateKeyDer::Sec1(found),
            _ => continue,
        };
        if !matches!(key, Key::Plain(_)) {
            key = Key::Plain(found);
        }
    }
}

/// A bag of certificates in another form (RFC 2315), as some authorities hand them out.
pub(super) fn holds_pkcs7(text: &[u8]) -> bool {
    let is_begin = |line: &[u8]| line.starts_with(b"-----BEGIN PKCS7-----");
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(is_begin)
}

/// One section of PEM (RFC 7468 §3), with its line end.
pub(super) fn write(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are 64 letters, the length of a line.
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 0x3f];
                text.push(if at <= three.len() { char::from(letter) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// PKCS#8 says so in its label (RFC 7468 §11), the older forms in a header line (RFC 1421 §4.6.1.1).
fn holds_encrypted_key(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || (line.starts_with(b"Proc-Type:") && line.trim_ascii_end().ends_with(b"ENCRYPTED"))
    })
}

/// rustls-pemfile's own words never go into a message: they quote the line at fault, and when a file has lost its line
/// breaks that line is the whole private key.
fn malformed(error: rustls_pemfile::Error) -> IdentityFault {
    use rustls_pemfile::Error::{Base64Decode, IllegalSectionStart, MissingSectionEnd};
    let what = match error {
        MissingSectionEnd { .. } => {
            "a BEGIN line has no END line of its own, so the PEM is cut off or has lost its line breaks"
        }
        IllegalSectionStart { .. } => "a BEGIN line of its PEM does not end in five dashes, so the PEM is damaged or has lost its line breaks",
        Base64Decode(_) => "what stands between a BEGIN and an END line of its PEM is not base64",
    };
    IdentityFault::Malformed(format!("{what}; copy the file again from where it was issued"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    fn fault(text: &str) -> String {
        match read(text.as_bytes()) {
            Err(fault) => fault.to_string(),
            Ok(_) => panic!("accepted: {text}"),
        }
    }

    #[test]
    fn certificates_keep_their_order_and_the_first_key_counts() {
        let text = [
            "Bag Attributes: none\n".to_string(),
            section("CERTIFICATE", "AAAA"),
            section("EC PARAMETERS", "BggqhkjOPQMBBw=="),
            section("EC PRIVATE KEY", "BBBB"),
            section("CERTIFICATE", "CCCC"),
            section("PRIVATE KEY", "DDDD"),
        ]
        .concat();
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let contents = read(text.as_bytes()).unwrap();
            assert_eq!(contents.certificates, [vec![0, 0, 0].into(), vec![8, 32, 130].into()]);
            assert!(matches!(contents.key, Key::Plain(PrivateKeyDer::Sec1(_))));
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 2, 3, 47, 48, 49, 96, 1000] {
            let der: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let text = write("CERTIFICATE", &der);
            assert!(
                text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END CERTIFICATE-----\n")
            );
            assert_eq!(read(text.as_bytes()).unwrap().certificates, [der.into()]);
        }
        assert_eq!(write("X", b"any carnal"), "-----BEGIN X-----\nYW55IGNhcm5hbA==\n-----END X-----\n");
    }

    #[test]
    fn a_file_without_pem_is_empty_and_not_an_error() {
        for text in [&b""[..], b"hello\n", &[0x30, 0x82, 0xff, 0x00]] {
            let contents = read(text).unwrap();
            assert!(contents.certificates.is_empty());
            assert!(matches!(contents.key, Key::Absent));
        }
    }

    #[test]
    fn an_encrypted_key_is_known_in_both_forms() {
        let modern = section("ENCRYPTED PRIVATE KEY", "AAAA");
        assert!(matches!(read(modern.as_bytes()).unwrap().key, Key::Encrypted));
        let legacy =
            section("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nAAAA");
        assert!(matches!(read(legacy.as_bytes()), Err(IdentityFault::EncryptedKey)));
    }

    #[test]
    fn damage_is_named_without_a_byte_of_the_key() {
        let key = "U0VDUkVUU0VDUkVU";
        for (text, words) in [
            (section("PRIVATE KEY", key).replace('\n', ""), "lost its line breaks"),
            (section("PRIVATE KEY", key).replace('\n', "\\n"), "lost its line breaks"),
            (format!("-----BEGIN PRIVATE KEY-----\n{key}\n"), "cut off"),
            (format!("-----BEGIN PRIVATE KEY----- {key}\n"), "five dashes"),
            (section("PRIVATE KEY", &format!("{key}*")), "not base64"),
        ] {
            let message = fault(&text);
            assert!(message.contains(words), "{message}");
            assert!(message.contains("copy the file again"), "{message}");
            assert!(!message.contains("U0VD"), "{message}");
        }
    }
}

//! A client's identity for handlers, from its verified certificate.
//!
//! A value without a socket or a session. The server makes one per connection when a client has shown a certificate. Programs
//! make their own to test handlers.

use std::fmt;
use std::sync::OnceLock;

use super::x509::hex;
use super::{pem, Certificate};
use crate::error::{Error, IdentityFault};

/// Who a client is, by its certificate; see [`Request::client`](crate::Request::client).
///
/// The certificate was signed by one of the authorities that the server trusts for clients, and the client has its key. That
/// authority decides what the names in it mean. They are escaped like those of [`Certificate`], so they can be logged. The
/// certificate is parsed once per connection, at the first use.
#[derive(Clone)]
pub struct ClientIdentity {
    der: Vec<u8>,
    /// The certificates that the client has sent behind its own.
    #[cfg(feature = "proxy")]
    chain: Vec<Vec<u8>>,
    /// `None` when it cannot be read.
    certificate: OnceLock<Option<Certificate>>,
}

impl ClientIdentity {
    /// A client for a test, from the first certificate in PEM text. Pass it to
    /// [`Request::with_client`](crate::Request::with_client). Nothing is verified.
    ///
    /// # Errors
    /// [`Error::Identity`] when there is no certificate in it, or it cannot be read.
    pub fn from_pem(certificate: &[u8]) -> Result<ClientIdentity, Error> {
        let fault = |fault| Error::identity(None, fault);
        let mut all = pem::read(certificate).map_err(fault)?.certificates.into_iter();
        let der = all.next().ok_or_else(|| fault(IdentityFault::NoCertificate))?;
        let certificate = Certificate::from_der(&der)?;
        Ok(ClientIdentity {
            der: der.to_vec(),
            #[cfg(feature = "proxy")]
            chain: all.map(|der| der.to_vec()).collect(),
            certificate: Some(certificate).into(),
        })
    }

    /// From a certificate that was verified.
    pub(crate) fn new(certificate: &[u8]) -> ClientIdentity {
        ClientIdentity {
            der: certificate.to_vec(),
            #[cfg(feature = "proxy")]
            chain: Vec::new(),
            certificate: OnceLock::new(),
        }
    }

    /// With the certificates that the client has sent behind its own.
    #[cfg(feature = "proxy")]
    pub(crate) fn with_chain<'c>(self, chain: impl Iterator<Item = &'c [u8]>) -> ClientIdentity {
        ClientIdentity { chain: chain.map(<[u8]>::to_vec).collect(), ..self }
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(Vec::as_slice)
    }

    /// The common name of the certificate's subject; when there are several, the last, which is the most specific. Older
    /// authorities put a client's name there, newer ones into subjectAltName.
    pub fn common_name(&self) -> Option<&str> {
        self.certificate().and_then(Certificate::common_name)
    }

    /// The DNS names in the certificate's subjectAltName, in its order.
    pub fn dns_names(&self) -> &[String] {
        self.certificate().map(Certificate::dns_names).unwrap_or_default()
    }

    /// The mail addresses in the certificate's subjectAltName, in its order.
    pub fn email_addresses(&self) -> &[String] {
        self.certificate().map(Certificate::email_addresses).unwrap_or_default()
    }

    /// The URIs in the certificate's subjectAltName, in its order; `spiffe://…` among them.
    pub fn uris(&self) -> &[String] {
        self.certificate().map(Certificate::uris).unwrap_or_default()
    }

    /// The SHA-256 of the certificate, as 64 lower-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, &self.der).as_ref())
    }

    /// The certificate as it was sent (X.509, DER).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Everything else in the certificate. `None` when it cannot be read, because the verification by TLS is more lenient in a
    /// few places. Such a client has no names.
    pub fn certificate(&self) -> Option<&Certificate> {
        let read = || {
            Certificate::from_der(&self.der)
                .map_err(|error| log::debug!("a client has no names that can be read: {error}"))
                .ok()
        };
        self.certificate.get_or_init(read).as_ref()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("common_name", &self.common_name())
            .field("dns_names", &self.dns_names())
            .field("email_addresses", &self.email_addresses())
            .field("uris", &self.uris())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn identity(common: &[DnValue], names: Vec<SanType>) -> ClientIdentity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (index, name) in common.iter().enumerate() {
            // rcgen keeps one name of a kind; the others are of another kind with the same number.
            let kind = if index == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
            params.distinguished_name.push(kind, name.clone());
        }
        params.distinguished_name.push(DnType::OrganizationName, "not a common name");
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientIdentity::from_pem(certificate.pem().as_bytes()).unwrap()
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_string())
    }

    #[test]
    fn every_kind_of_name_is_found_in_its_place() {
        let names = vec![
            SanType::DnsName("pump.plant.example".try_into().unwrap()),
            SanType::Rfc822Name("pump@plant.example".try_into().unwrap()),
            SanType::URI("spiffe://plant.example/pump".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 7].into()),
            SanType::DnsName("second.example".try_into().unwrap()),
        ];
        let client = identity(&[utf8("Pumpe 7 – Nord")], names);
        assert_eq!(client.common_name(), Some("Pumpe 7 – Nord"));
        assert_eq!(client.dns_names(), ["pump.plant.example", "second.example"]);
        assert_eq!(client.email_addresses(), ["pump@plant.example"]);
        assert_eq!(client.uris(), ["spiffe://plant.example/pump"]);
        assert!(format!("{client:?}").contains("pump@plant.example"));
    }

    #[test]
    fn the_last_common_name_counts_in_whatever_letters() {
        let bmp = DnValue::BmpString("Zähler".try_into().unwrap());
        assert_eq!(identity(&[bmp], Vec::new()).common_name(), Some("Zähler"));
        let printable = DnValue::PrintableString("gauge".try_into().unwrap());
        assert_eq!(identity(&[utf8("general"), printable], Vec::new()).common_name(), Some("gauge"));
        assert_eq!(identity(&[], Vec::new()).common_name(), None);
    }

    #[test]
    fn names_cannot_forge_a_line_of_a_log() {
        let client = identity(&[utf8("a\nb")], vec![SanType::URI("x:a\nb".try_into().unwrap())]);
        assert_eq!(client.common_name(), Some("a\\0Ab"));
        assert_eq!(client.uris(), ["x:a\\0Ab"]);
    }

    #[test]
    fn the_fingerprint_is_the_one_that_openssl_shows() {
        let client = identity(&[utf8("x")], Vec::new());
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("certificate");
        std::fs::write(&file, client.der()).unwrap();
        let shown = Command::new("openssl")
            .args(["x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&file)
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap().to_ascii_lowercase().replace(':', "");
        assert_eq!(shown.trim().rsplit('=').next(), Some(&*client.fingerprint()));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_an_error_in_a_test_and_has_no_names_on_the_wire() {
        assert!(ClientIdentity::from_pem(b"").unwrap_err().to_string().contains("holds no certificate"));
        let good = identity(&[utf8("x")], vec![SanType::URI("x:y".try_into().unwrap())]).der().to_vec();
        let cut = ClientIdentity::new(&good[..good.len() - 1]);
        assert!(cut.certificate().is_none());
        assert_eq!((cut.common_name(), cut.uris().len()), (None, 0));
    }
}

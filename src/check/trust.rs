//! The authorities that a client trusts, and whether the chain that a server sends leads to one of them. Knows certificates
//! and files, not the network. `certificate` calls it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::calendar::unix_now;
use crate::error::IdentityFault;
use crate::escape;
use crate::hsts::{self, Effect};
use crate::regular_file::{self, Links};
use crate::tls::{authorities, provider, Identity};
use crate::url::Host;

/// The files in which systems keep their trusted authorities: Debian and its derivatives, Red Hat, SUSE, Alpine and the
/// BSDs.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// OpenSSL's variable, which curl, Python and others use as well.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";

/// The trusted authorities.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// The authorities that every client has.
    public: Vec<TrustAnchor<'static>>,
    /// The other authorities that programs on this machine trust, and their file, for the report.
    system: Vec<TrustAnchor<'static>>,
    /// The authorities of the given file.
    given: Vec<TrustAnchor<'static>>,
    /// The certificates of that file, each of which is also trusted as a server's own certificate.
    pinned: Vec<CertificateDer<'static>>,
}

/// The authority that a chain leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrustedBy {
    /// An authority that clients trust by default.
    Public,
    /// An authority that is in this machine's store and not public.
    System,
    /// An authority of the given file.
    Given,
}

impl TrustedBy {
    pub(super) fn name(self) -> &'static str {
        match self {
            TrustedBy::Public => "a public authority",
            TrustedBy::System => "an authority of this machine's own store",
            TrustedBy::Given => "an authority of the given file",
        }
    }
}

/// Why a chain does not lead to a trusted authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Distrust {
    /// No trusted authority has issued the certificate or one of the others in the chain.
    UnknownIssuer,
    /// A trusted authority has the issuer's name and another key.
    OtherKey,
    /// Another reason, in webpki's words.
    Other(String),
}

impl Roots {
    /// Reads the authorities: Mozilla's, which are compiled in, this machine's, if it has any, and those of the file
    /// `given`.
    pub(super) fn load(given: Option<&Path>, public: Option<&Path>) -> Result<Roots, (PathBuf, io::Error)> {
        let mut roots = Roots { public: webpki_roots::TLS_SERVER_ROOTS.to_vec(), ..Roots::default() };
        if let Some(path) = public {
            roots.public = read(path).map_err(|error| (path.to_path_buf(), error))?.0;
        }
        if let Some(path) = given {
            (roots.given, roots.pinned) = read(path).map_err(|error| (path.to_path_buf(), error))?;
        }
        let named = std::env::var_os(SYSTEM_VARIABLE).map(PathBuf::from);
        let found = named.or_else(|| SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.is_file()));
        if let Some(path) = found {
            match read(&path) {
                Ok((system, _)) => roots.system = system,
                // A machine without a store is not a fault of the checked server.
                Err(error) => log::debug!("{}: {error}", escape::path(&path)),
            }
        }
        Ok(roots)
    }

    /// Whether a file of authorities was given.
    pub(super) fn has_given(&self) -> bool {
        !self.pinned.is_empty()
    }

    /// The authority that `chain` leads to, the server's own certificate first, at `now` (seconds since 1970).
    pub(super) fn trusted_by(&self, chain: &[Vec<u8>], now: i64) -> Result<TrustedBy, Distrust> {
        if chain.first().is_some_and(|own| self.pinned.iter().any(|pinned| **pinned == own[..])) {
            return Ok(TrustedBy::Given);
        }
        let mut why = Distrust::UnknownIssuer;
        for (roots, trusted_by) in [
            (&self.public, TrustedBy::Public),
            (&self.system, TrustedBy::System),
            (&self.given, TrustedBy::Given),
        ] {
            match leads_to(chain, roots, now) {
                Ok(()) => return Ok(trusted_by),
                Err(Distrust::UnknownIssuer) => {}
                Err(other) => why = other,
            }
        }
        Err(why)
    }
}

fn leads_to(chain: &[Vec<u8>], roots: &[TrustAnchor<'static>], now: i64) -> Result<(), Distrust> {
    let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(&der[..])).collect();
    let Some((own, others)) = ders.split_first() else { return Err(Distrust::UnknownIssuer) };
    let other = |error: webpki::Error| match error {
        webpki::Error::UnknownIssuer => Distrust::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => Distrust::OtherKey,
        error => Distrust::Other(error.to_string()),
    };
    let own = EndEntityCert::try_from(own).map_err(other)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or_default()));
    let algorithms = provider().signature_verification_algorithms.all;
    own.verify_for_usage(algorithms, roots, others, time, KeyUsage::server_auth(), None, None)
        .map(|_| ())
        .map_err(other)
}

/// Whether browsers that are told by this host to use HTTPS only (RFC 6797) are protected by it and not locked out: what these
/// identities show for the host leads to an authority that they trust by default.
pub fn hsts_protects(host: &str, identities: &[Identity]) -> bool {
    hsts_protects_by(host, identities, webpki_roots::TLS_SERVER_ROOTS)
}

/// The same if browsers trust these authorities by default.
pub fn hsts_protects_by(host: &str, identities: &[Identity], public: &[TrustAnchor<'static>]) -> bool {
    protects(host, identities, public, unix_now())
}

fn protects(host: &str, identities: &[Identity], public: &[TrustAnchor<'static>], now: i64) -> bool {
    // Another name than the certificate's is shown it too, and a browser does not take it.
    let mut shown = identities.iter().filter(|identity| identity.is_valid_for(host)).peekable();
    let is_trusted = |identity: &Identity| {
        let chain: Vec<Vec<u8>> = identity.certified_key().cert.iter().map(|der| der.to_vec()).collect();
        leads_to(&chain, public, now).is_ok()
    };
    hsts::best_effect(host) == Effect::Protects && shown.peek().is_some() && shown.all(is_trusted)
}

/// Whether a certificate is for this host; `None` when the certificate cannot be read.
pub(super) fn is_for(own: &[u8], host: &Host) -> Option<bool> {
    let der = CertificateDer::from(own);
    let own = EndEntityCert::try_from(&der).ok()?;
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.as_str()).ok()?,
        Host::Ip(address) => ServerName::from(*address),
    };
    Some(own.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The largest file of authorities: 16 MiB. The file of a whole system has 250 KB.
const MOST_FILE_BYTES: u64 = 16 << 20;

type Authorities = (Vec<TrustAnchor<'static>>, Vec<CertificateDer<'static>>);

fn read(path: &Path) -> io::Result<Authorities> {
    let contents = regular_file::read(path, Links::Followed, MOST_FILE_BYTES)?;
    let ders = authorities(&contents).map_err(|fault| {
        let what = match fault {
            IdentityFault::NoAuthority => {
                "holds no certificate; it must be PEM with the authority's BEGIN CERTIFICATE block"
                    .to_string()
            }
            fault => fault.said_of(path),
        };
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    // A store may hold certificates that webpki cannot read.
    let anchors = ders.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok());
    let anchors = anchors.map(|anchor| anchor.to_owned()).collect();
    Ok((anchors, ders))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn hsts_protects_a_public_name_with_a_certificate_of_a_public_authority_and_no_other() {
        let authority = authority();
        let identity = |names: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let own = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
            Identity::from_pem(own.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
        };
        let public = anchor(authority.der());
        let names = ["api.example.com", "gateway.local", "192.0.2.7", "*.example.net"];
        let identities = [identity(&names)];
        for (host, expected) in [
            ("api.example.com", true),
            ("API.Example.COM", true),
            ("a.example.net", true),
            ("other.example.com", false),
            ("gateway.local", false),
            ("192.0.2.7", false),
            ("", false),
        ] {
            assert_eq!(protects(host, &identities, &public, NOW), expected, "{host}");
            assert!(!protects(host, &identities, &[], NOW), "{host}");
        }
        assert!(!hsts_protects("api.example.com", &identities));
    }

    fn anchor(der: &CertificateDer<'_>) -> Vec<TrustAnchor<'static>> {
        vec![webpki::anchor_from_trusted_cert(der).unwrap().to_owned()]
    }

    #[test]
    fn a_chain_is_trusted_by_the_first_store_with_its_authority_and_a_stranger_by_none() {
        let authority = authority();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let own = params.signed_by(&key, &authority).unwrap().der().to_vec();
        let here = anchor(authority.der());
        let mut roots = Roots::default();
        assert_eq!(roots.trusted_by(std::slice::from_ref(&own), NOW), Err(Distrust::UnknownIssuer));
        roots.given = here.clone();
        assert_eq!(roots.trusted_by(std::slice::from_ref(&own), NOW), Ok(TrustedBy::Given));
        roots.system = here.clone();
        assert_eq!(roots.trusted_by(std::slice::from_ref(&own), NOW), Ok(TrustedBy::System));
        roots.public = here;
        assert_eq!(roots.trusted_by(std::slice::from_ref(&own), NOW), Ok(TrustedBy::Public));
        assert!(matches!(roots.trusted_by(&[b"no certificate".to_vec()], NOW), Err(Distrust::Other(_))));
        assert_eq!(roots.trusted_by(&[], NOW), Err(Distrust::UnknownIssuer));

        assert_eq!(is_for(&own, &Host::Name("localhost".into())), Some(true));
        assert_eq!(is_for(&own, &Host::Name("other.example".into())), Some(false));
        assert_eq!(is_for(&own, &Host::Ip("127.0.0.1".parse().unwrap())), Some(false));
        assert_eq!(is_for(b"no certificate", &Host::Name("localhost".into())), None);
    }

    #[test]
    fn a_file_without_an_authority_is_an_error_that_says_so() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, "nothing").unwrap();
        let (path, error) = Roots::load(Some(&file), None).unwrap_err();
        assert_eq!(path, file);
        assert!(error.to_string().contains("holds no certificate"), "{error}");
        std::fs::write(&file, authority().pem()).unwrap();
        assert_eq!(Roots::load(Some(&file), None).unwrap().given.len(), 1);
        assert!(Roots::load(Some(&dir.path().join("none")), None).is_err());
    }
}

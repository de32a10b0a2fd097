//! A small certificate authority: it gives the test servers their own TLS certificates, and signs what the stub issues.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
    /// Its certificate, for clients to trust.
    pub ca: PathBuf,
}

/// A certificate and its key, in files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lockgate test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, issuer.pem()).unwrap();
        Authority { issuer, dir, ca }
    }

    /// For this machine's loopback.
    pub fn pair(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = parameters(&["localhost", "127.0.0.1"], 86_400);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |part: &str| self.dir.path().join(format!("{name}-{part}.pem"));
        let pair = Pair { cert: file("cert"), key: file("key") };
        fs::write(&pair.cert, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// For these names, from a while ago to so many seconds from now.
pub fn parameters(names: &[&str], seconds: u64) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    (params.not_before, params.not_after) = (at(now - 3_600), at(now + seconds));
    params.use_authority_key_identifier_extension = true;
    params
}

//! Certificates for tests: an authority, and pairs that it signs, good and bad.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60;

/// An authority and the folder that its files are in.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
    /// Its certificate, for clients to trust.
    pub ca: PathBuf,
}

/// A certificate and its key, in files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lockgate test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, -DAY, DAY);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, issuer.pem()).unwrap();
        Authority { issuer, dir, ca }
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A pair for localhost and the loopback addresses that is valid now; its files have names of their own.
    pub fn pair(&self, name: &str) -> Pair {
        self.pair_for(name, &["localhost", "127.0.0.1", "::1"], -DAY, DAY)
    }

    /// A pair for these names, valid between these seconds from now.
    pub fn pair_for(&self, name: &str, names: &[&str], begins: i64, ends: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, begins, ends);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |part: &str| self.dir().join(format!("{name}-{part}.pem"));
        let pair = Pair { cert: file("cert"), key: file("key"), der: certificate.der().clone() };
        fs::write(&pair.cert, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).unwrap();
        pair
    }
}

fn set_validity(params: &mut CertificateParams, begins: i64, ends: i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((now + seconds).try_into().unwrap())
    };
    params.not_before = at(begins);
    params.not_after = at(ends);
}

//! Certificates for sites: a root, an authority under it, and leaves without a fault until a test changes them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

pub const DAY: i64 = 86_400;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A time for rcgen, in seconds from now. Its type comes from a crate that is not a dependency here.
macro_rules! from_now {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs((crate::certs::now() + $seconds).try_into().unwrap())
    };
}
pub(crate) use from_now;

/// A leaf with its key.
pub struct Leaf {
    pub der: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

/// A root that clients trust, and an authority that it has issued.
pub struct Root {
    pub root: Authority,
    pub below: Authority,
    dir: TempDir,
}

impl Root {
    pub fn new() -> Root {
        let root = authority("test root", None);
        let below = authority("test intermediate", Some(&root));
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), root.pem()).unwrap();
        Root { root, below, dir }
    }

    pub fn file(&self) -> PathBuf {
        self.dir().join("ca.pem")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        leaf(Some(&self.root), change)
    }
}

fn authority(name: &str, issuer: Option<&Authority>) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = from_now!(-100 * DAY);
    params.not_after = from_now!(1000 * DAY);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// For localhost, for 90 days.
pub fn leaf(issuer: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = from_now!(-DAY);
    params.not_after = from_now!(89 * DAY);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Leaf { der: certificate.der().clone(), key: key.serialize_der().try_into().unwrap() }
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64
}

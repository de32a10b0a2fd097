//! Certificates for tests: an authority, and pairs that it signs, good and bad.

use std::fs;
use std::ops::Add;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
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
    pub serial: u64,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::named("lockgate test authority")
    }

    pub fn named(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
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
        self.issue(name, |params| {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
            params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            set_validity(params, begins, ends);
        })
    }

    /// What a client shows: valid now, with names of every kind.
    pub fn client(&self, name: &str) -> Pair {
        self.issue(name, |params| be_client(params, name))
    }

    /// The same, valid between these seconds from now.
    pub fn client_valid(&self, name: &str, begins: i64, ends: i64) -> Pair {
        self.issue(name, |params| {
            be_client(params, name);
            set_validity(params, begins, ends);
        })
    }

    /// A revocation list of these, to be replaced in so many seconds from now; in a file of its own name.
    pub fn crl(&self, name: &str, revoked: &[&Pair], ends: i64) -> PathBuf {
        let year_1970 = rcgen::date_time_ymd(1970, 1, 1);
        let revoked = revoked.iter().map(|pair| RevokedCertParams {
            serial_number: SerialNumber::from(pair.serial),
            revocation_time: from_now(year_1970, -DAY),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: from_now(year_1970, -DAY),
            next_update: from_now(year_1970, ends),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.dir().join(name);
        fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }

    /// A pair that is valid now, changed before it is signed; its files have names of their own.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let key = KeyPair::generate().unwrap();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, name);
        params.custom_extensions = vec![not_a_ca()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, -DAY, DAY);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |part: &str| self.dir().join(format!("{name}-{part}.pem"));
        let pair = Pair { cert: file("cert"), key: file("key"), der: certificate.der().clone(), serial };
        fs::write(&pair.cert, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).unwrap();
        pair
    }
}

fn be_client(params: &mut CertificateParams, name: &str) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![
        SanType::DnsName(format!("{name}.clients.test").try_into().unwrap()),
        SanType::Rfc822Name(format!("{name}@clients.test").try_into().unwrap()),
        SanType::URI(format!("spiffe://clients.test/{name}").try_into().unwrap()),
    ];
}

/// basicConstraints without a cA, as DER has it. rcgen's `ExplicitNoCa` writes the default of FALSE, and sslyze refuses that.
fn not_a_ca() -> CustomExtension {
    let mut constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
    constraints.set_criticality(true);
    constraints
}

fn set_validity(params: &mut CertificateParams, begins: i64, ends: i64) {
    let year_1970 = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = from_now(year_1970, begins);
    params.not_after = from_now(year_1970, ends);
}

/// So many seconds from now, given 1970 in the type that rcgen has for times and does not name.
fn from_now<T: Add<Duration, Output = T>>(year_1970: T, seconds: i64) -> T {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    year_1970 + Duration::from_secs((now + seconds).try_into().unwrap())
}

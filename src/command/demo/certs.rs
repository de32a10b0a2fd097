//! Certificates for the demo: a CA of its own, and a certificate for this machine's loopback names.
//!
//! Knows the file system, lockgate's public API, and what makes certificates, which it shares with the device identity. The
//! demo calls it before it binds.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lockgate::internal::regular_file::{self, Links};
use lockgate::internal::signed_unix;
use lockgate::internal::{
    check_issued, is_ours, sync_directory, Ca, Draft, FileError, Key, Lifetime, MakeError, Scope,
    MAX_FILE_BYTES,
};
use lockgate::{iso8601, Chain, Identity};

/// The names that the demo answers to, and that its CA may sign for.
pub(super) const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Far below the 825 days that Apple accepts, and long enough for a demo.
const LEAF_LIFETIME: i64 = 90 * DAY;
/// The CA never expires before the certificate that it signed.
const CA_OUTLIVES_LEAF: i64 = DAY;
/// How far in the past validity begins, for clients whose clock is a little behind.
const BACKDATED: i64 = HOUR;
/// Certificates with less than this left are made again, so that a demo does not fail while it is shown.
const LEAST_LEFT: i64 = DAY;
/// How often to try when another run writes to the same directory at the same moment.
const ATTEMPTS: usize = 5;

/// The first line of every file made here (RFC 7468 §2 allows text before a section). A file without it is somebody else's,
/// and is never written over: it may be the only copy of a key.
const MARK: &[u8] = b"lockgate demo file: made again when it is no longer valid\n";

/// Where the demo's certificates are.
#[derive(Debug)]
pub(crate) struct DemoCertificates {
    /// The CA's certificate, for clients to trust: `curl --cacert`.
    pub(crate) ca: PathBuf,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The server's private key, mode 0600.
    pub(crate) key: PathBuf,
    pub(crate) freshness: Freshness,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// They were there, and good for at least a day more.
    Kept,
    /// They are new, and clients that trusted the CA before must trust this one.
    Made {
        /// What was wrong with those that were there, as a clause: "… is not there".
        because: String,
    },
}

/// Makes sure that `ca.pem`, `cert.pem` and `key.pem` in this directory are good to serve the demo with: keeps good ones, and
/// otherwise makes all three anew.
///
/// The CA signs one certificate, and its key is then dropped, never stored. So a demo CA that a browser trusts can sign
/// nothing else, even when these files are stolen; and it is constrained to this machine's loopback names besides.
///
/// # Errors
///
/// When the directory cannot be written to, and when a file in it under one of the three names was not made here.
pub(crate) fn ensure(dir: &Path) -> Result<DemoCertificates, DemoCertificatesError> {
    // A clock before 1970 counts as 1970.
    let now = signed_unix(SystemTime::now()).max(0);
    let files = Files::of(dir);
    let because = match files.check(now) {
        Ok(()) => return Ok(files.with(Freshness::Kept)),
        Err(because) => because,
    };
    files.refuse_what_is_not_ours()?;
    fs::create_dir_all(dir).map_err(|source| FileError::of(dir, source))?;
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        let drafts = files.write_drafts(&Set::make(now)?)?;
        // Another run may have been quicker: then its files stay, and these drafts are dropped.
        if files.check(now).is_ok() {
            return Ok(files.with(Freshness::Kept));
        }
        for draft in drafts {
            draft.put_in_place()?;
        }
        sync_directory(dir)?;
        // Two runs that put their files in place at the same moment leave a mixture, which is never trusted.
        match files.check(now) {
            Ok(()) => return Ok(files.with(Freshness::Made { because })),
            Err(still) => why = still,
        }
    }
    Err(DemoCertificatesError::Unusable { dir: dir.to_path_buf(), why })
}

struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(dir: &Path) -> Files {
        Files { ca: dir.join("ca.pem"), certificate: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    fn with(self, freshness: Freshness) -> DemoCertificates {
        DemoCertificates { ca: self.ca, certificate: self.certificate, key: self.key, freshness }
    }

    /// Whether the three files are good, together and at `now` (seconds since 1970); otherwise why not.
    fn check(&self, now: i64) -> Result<(), String> {
        if let Some(missing) = self.all().into_iter().find(|path| !path.exists()) {
            return Err(format!("{} is not there", missing.display()));
        }
        let certificate = self.certificate.display();
        let chain = Chain::from_pem_file(&self.certificate).map_err(|error| error.to_string())?;
        // Loading an identity warns in the log, and a certificate that is made anew needs no warning: so this comes first.
        let Some(own) = chain.certificates().first() else {
            return Err(format!("{certificate} holds no certificate"));
        };
        let (begins, ends) = (signed_unix(own.not_before()), signed_unix(own.not_after()));
        if ends < now {
            return Err(format!("{certificate} expired at {}", iso8601(own.not_after())));
        }
        if now < begins {
            return Err(format!("{certificate} is not valid before {}", iso8601(own.not_before())));
        }
        if ends.saturating_sub(now) < LEAST_LEFT {
            return Err(format!("{certificate} expires within a day"));
        }
        let identity =
            Identity::from_pem_files(&self.certificate, &self.key).map_err(|error| error.to_string())?;
        if let Some(name) = NAMES.into_iter().find(|name| !identity.is_valid_for(name)) {
            return Err(format!("{certificate} is not for {name}"));
        }
        let read = |path| {
            regular_file::read(path, Links::Followed, MAX_FILE_BYTES).map_err(|error| format!("{error}"))
        };
        read(&self.ca)
            .and_then(|ca| check_issued(&ca, &read(&self.certificate)?, now))
            .map_err(|what| format!("{} did not sign {certificate} ({what})", self.ca.display()))
    }

    fn refuse_what_is_not_ours(&self) -> Result<(), DemoCertificatesError> {
        for path in self.all() {
            if !is_ours(path, MARK)? {
                return Err(DemoCertificatesError::NotOurs { path: path.clone() });
            }
        }
        Ok(())
    }

    fn write_drafts(&self, set: &Set) -> Result<[Draft; 3], DemoCertificatesError> {
        let draft =
            |path, pem: &str, mode| Draft::write(path, &[MARK, pem.as_bytes()].concat(), &set.id, mode);
        Ok([
            draft(&self.key, &set.key, 0o600)?,
            draft(&self.certificate, &set.certificate, 0o644)?,
            draft(&self.ca, &set.ca, 0o644)?,
        ])
    }

    fn all(&self) -> [&PathBuf; 3] {
        [&self.certificate, &self.key, &self.ca]
    }
}

/// Three files' contents that belong together.
struct Set {
    ca: String,
    certificate: String,
    key: String,
    /// Unique to this set: the end of the CA's name.
    id: String,
}

impl Set {
    fn make(now: i64) -> Result<Set, DemoCertificatesError> {
        let scope = Scope {
            domains: vec!["localhost".to_string()],
            networks: vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 32), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)],
            ..Scope::default()
        };
        let not_before = now.saturating_sub(BACKDATED);
        let until = |lifetime| Lifetime { not_before, not_after: now.saturating_add(lifetime) };
        let ca = Ca::make("lockgate demo CA", &scope, until(LEAF_LIFETIME + CA_OUTLIVES_LEAF), Key::make()?)?;
        let key = Key::make()?;
        let certificate = ca.issue(&NAMES.map(String::from), until(LEAF_LIFETIME), &key)?;
        let id = ca.name().rsplit(' ').next().unwrap_or_default().to_string();
        Ok(Set { ca: ca.pem().to_string(), certificate, key: key.pem().to_string(), id })
    }
}

/// Why there are no certificates for the demo.
#[derive(Debug)]
pub(crate) enum DemoCertificatesError {
    /// A file or the directory could not be read or written.
    File(FileError),
    /// A file in the way was not made here.
    NotOurs { path: PathBuf },
    /// A key or a certificate could not be made.
    Make(MakeError),
    /// The files that were written are not good to serve with.
    Unusable { dir: PathBuf, why: String },
}

impl fmt::Display for DemoCertificatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoCertificatesError::File(FileError { path, source }) => write!(
                f,
                "{}: {source}; the demo keeps its certificates there, give it a directory that it may write to",
                path.display()
            ),
            DemoCertificatesError::NotOurs { path } => write!(
                f,
                "{}: was not made by the demo and is left as it is; move it away, or give the demo another directory",
                path.display()
            ),
            DemoCertificatesError::Make(source) => {
                write!(f, "the demo's certificates cannot be made: {source}")
            }
            DemoCertificatesError::Unusable { dir, why } => write!(
                f,
                "{}: the demo's certificates do not fit together ({why}); let one demo start at a time there",
                dir.display()
            ),
        }
    }
}

impl std::error::Error for DemoCertificatesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DemoCertificatesError::File(FileError { source, .. }) => Some(source),
            DemoCertificatesError::Make(source) => Some(source),
            DemoCertificatesError::NotOurs { .. } | DemoCertificatesError::Unusable { .. } => None,
        }
    }
}

impl From<FileError> for DemoCertificatesError {
    fn from(error: FileError) -> Self {
        DemoCertificatesError::File(error)
    }
}

impl From<MakeError> for DemoCertificatesError {
    fn from(error: MakeError) -> Self {
        DemoCertificatesError::Make(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    fn now() -> i64 {
        signed_unix(SystemTime::now())
    }

    fn made() -> TempDir {
        let dir = TempDir::new().unwrap();
        ensure(dir.path()).unwrap();
        dir
    }

    /// As a run at that time would have left the directory.
    fn made_at(time: i64) -> TempDir {
        let dir = TempDir::new().unwrap();
        let files = Files::of(dir.path());
        for draft in files.write_drafts(&Set::make(time).unwrap()).unwrap() {
            draft.put_in_place().unwrap();
        }
        dir
    }

    fn contents(dir: &TempDir) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect()
    }

    /// All three must be new and good, for a reason in which these words stand.
    #[track_caller]
    fn made_again(dir: &TempDir, words: &str) {
        let before = contents(dir);
        let result = ensure(dir.path()).unwrap();
        let Freshness::Made { because } = result.freshness else {
            panic!("kept");
        };
        assert!(because.contains(words), "{because}");
        let after = contents(dir);
        assert_eq!(after.len(), 3);
        for (name, contents) in &after {
            assert_ne!(before.get(name), Some(contents), "{name}");
        }
        assert_eq!(ensure(dir.path()).unwrap().freshness, Freshness::Kept);
    }

    fn openssl(dir: &TempDir, arguments: &str) -> String {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_is_good_is_kept_byte_for_byte() {
        let parent = TempDir::new().unwrap();
        let dir = parent.path().join("not/there/yet");
        let first = ensure(&dir).unwrap();
        assert!(
            matches!(first.freshness, Freshness::Made { because } if because.ends_with("cert.pem is not there"))
        );
        let read = || [&first.ca, &first.certificate, &first.key].map(|path| fs::read(path).unwrap());
        let before = read();
        assert_eq!(ensure(&dir).unwrap().freshness, Freshness::Kept);
        assert_eq!(read(), before);
    }

    #[test]
    fn the_identity_is_for_all_loopback_names_and_lasts_90_days() {
        let dir = made();
        let files = Files::of(dir.path());
        let identity = Identity::from_pem_files(&files.certificate, &files.key).unwrap();
        for name in NAMES {
            assert!(identity.is_valid_for(name), "{name}");
        }
        assert!(!identity.is_valid_for("127.0.0.2"));
        assert_eq!(
            signed_unix(identity.not_after()) - signed_unix(identity.not_before()),
            LEAF_LIFETIME + BACKDATED
        );
    }

    #[test]
    fn there_is_one_private_key_and_it_is_not_the_authoritys() {
        let dir = made();
        let text: String =
            contents(&dir).into_values().map(|contents| String::from_utf8(contents).unwrap()).collect();
        assert_eq!(text.matches("PRIVATE KEY-----\n").count(), 2, "one BEGIN, one END");
        let public_key = |what: &str| openssl(&dir, what);
        assert_eq!(public_key("pkey -in key.pem -pubout"), public_key("x509 -in cert.pem -noout -pubkey"));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = made();
        let mode = |name: &str| {
            let metadata = fs::metadata(dir.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode("key.pem"), 0o600);
    }

    #[test]
    fn openssl_accepts_them_at_its_strictest() {
        let dir = made();
        for purpose in ["-verify_hostname localhost", "-verify_ip 127.0.0.1", "-verify_ip ::1"] {
            openssl(
                &dir,
                &format!("verify -x509_strict -purpose sslserver {purpose} -CAfile ca.pem cert.pem"),
            );
        }
        let ca = openssl(&dir, "x509 -in ca.pem -noout -text");
        for line in [
            "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
            "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
            "X509v3 Name Constraints: critical\n                Permitted:\n                  DNS:localhost\n",
            "IP:127.0.0.1/255.255.255.255\n",
            "IP:0:0:0:0:0:0:0:1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF\n",
            "Public-Key: (256 bit)",
        ] {
            assert!(ca.contains(line), "{line:?} is not in {ca}");
        }
        let leaf = openssl(&dir, "x509 -in cert.pem -noout -text");
        for line in [
            "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
            "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1\n",
            "ASN1 OID: prime256v1",
        ] {
            assert!(leaf.contains(line), "{line:?} is not in {leaf}");
        }
    }

    #[test]
    fn no_two_runs_share_an_issuer_or_a_serial_number() {
        let (one, other) = (made(), made());
        for what in ["-issuer", "-serial"] {
            let of = |dir| openssl(dir, &format!("x509 -in cert.pem -noout {what}"));
            assert_ne!(of(&one), of(&other));
        }
    }

    #[test]
    fn a_set_with_a_part_missing_or_cut_off_is_made_again() {
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let dir = made();
            fs::remove_file(dir.path().join(name)).unwrap();
            made_again(&dir, &format!("{name} is not there"));
            for length in [0, 20, MARK.len(), 200] {
                let whole = fs::read(dir.path().join(name)).unwrap();
                fs::write(dir.path().join(name), &whole[..length]).unwrap();
                made_again(&dir, name);
            }
        }
    }

    #[test]
    fn a_mixture_of_two_runs_is_made_again() {
        for (name, words) in [
            ("ca.pem", "did not sign"),
            ("cert.pem", "does not belong to the certificate"),
            ("key.pem", "does not belong to the certificate"),
        ] {
            let (dir, other) = (made(), made());
            fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
            made_again(&dir, words);
        }
    }

    #[test]
    fn a_set_that_is_out_of_its_time_is_made_again() {
        made_again(&made_at(now() - 100 * DAY), "expired at");
        made_again(&made_at(now() - LEAF_LIFETIME + DAY - 60), "expires within a day");
        made_again(&made_at(now() + 2 * DAY), "not valid before");
        let good = made_at(now() - LEAF_LIFETIME + DAY + 600);
        assert_eq!(ensure(good.path()).unwrap().freshness, Freshness::Kept);
    }

    #[test]
    fn what_the_demo_did_not_make_is_never_written_over() {
        let ours = contents(&made());
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            for beside in [false, true] {
                let dir = if beside { made() } else { TempDir::new().unwrap() };
                let path = dir.path().join(name);
                // Such as a key that a certificate was requested with a moment ago.
                fs::write(&path, &ours[name][MARK.len()..]).unwrap();
                let before = contents(&dir);
                let message = ensure(dir.path()).unwrap_err().to_string();
                assert!(message.starts_with(&format!("{}: was not made by the demo", path.display())));
                assert!(message.contains("move it away, or give the demo another directory"));
                assert_eq!(contents(&dir), before);
            }
        }
    }

    #[test]
    fn runs_at_the_same_moment_leave_one_good_set() {
        let dir = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| ensure(dir.path()));
            }
        });
        let made = contents(&dir);
        assert_eq!(made.keys().collect::<Vec<_>>(), ["ca.pem", "cert.pem", "key.pem"]);
        assert_eq!(ensure(dir.path()).unwrap().freshness, Freshness::Kept);
        assert_eq!(contents(&dir), made);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let parent = TempDir::new().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let message = ensure(&file).unwrap_err().to_string();
        assert!(message.starts_with(&file.display().to_string()), "{message}");
        assert!(message.contains("give it a directory that it may write to"), "{message}");
    }

    #[test]
    fn no_clock_makes_it_panic() {
        for now in [i64::MIN, -1, 0, 253_402_300_799, i64::MAX] {
            Set::make(now).unwrap();
        }
    }
}

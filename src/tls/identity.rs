//! A certificate chain and its private key, loaded and checked: what a server is to its clients.
//!
//! Everything that can be wrong with the two files is found here, before a socket is opened, and said in terms of the
//! file at fault. Called by programs that embed the server, and again at each reload. Private keys pass through here
//! and go nowhere else: not into an error, a log line or `Debug`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::InconsistentKeys;
use webpki::EndEntityCert;

use super::challenges::Challenges;
use super::form::{self, Form, Wanted};
use super::key;
use super::pem::Unread;
use super::source::{IdentitySource, Origin, PemFiles};
use super::validity::{self, Standing};
use super::{chain, der, file, pem};
use crate::calendar::{iso8601, unix, unix_now};
use crate::error::{Error, IdentityFault};
use crate::finding::Finding;

/// A certificate chain and its private key, checked.
///
/// Cloning is cheap: clones share the same certificate and key. `Debug` shows the names and the validity, and never
/// anything of the key.
///
/// One that comes from files or another [source](IdentitySource) is kept up to date by the server that serves with it:
/// when the files change, new connections get the new certificate, once it has been checked; while it cannot be used,
/// they get the old one.
///
/// # Accepted
///
/// PEM. The certificate's file holds the server's own certificate first, then the intermediate certificates that lead
/// to the authority (certbot's `fullchain.pem`). The key is ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits,
/// as PKCS#8 or in the older EC and RSA forms, whichever of them its label says, without a passphrase. An EC key may lack
/// its public half when the certificate is beside it. Both may stand in one file, whose path is then given twice.
///
/// # The clock
///
/// A certificate whose validity is over or has not begun is accepted all the same, with an error in the log: clients have
/// clocks of their own, and a device whose clock is wrong must be reachable to have it set.
/// [`clock_fault`](Identity::clock_fault) says so too, and so does [`Health`](crate::Health). Nothing is said within five
/// minutes of its start, and nothing is judged by a clock that stands before the day this program was built. A running
/// server never exchanges one that is valid for one that is not.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
    origin: Option<Origin>,
}

struct Inner {
    /// Of the certificate.
    file: Option<PathBuf>,
    certified: Arc<CertifiedKey>,
    dns_names: Vec<String>,
    validity: der::Validity,
}

impl Identity {
    /// Reads a certificate and its private key from two PEM files, at most 1 MiB each.
    ///
    /// A key file that other users of the machine may read or write is used all the same, with a warning in the log
    /// that names the file and the remedy; one that root owns and its group may read is in order. A part of a file that
    /// looks like PEM and is not read is warned of with its line.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] with the file at fault, when a file cannot be read, when there is no certificate or no key
    /// in it, when it is in another form than PEM, when the two are swapped, damaged or do not belong together, and when
    /// the key is encrypted or of a kind that is not supported. An expired certificate is no error, and neither is one that
    /// is not valid yet.
    pub fn from_pem_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Identity, Error> {
        let (certificate, key) = (certificate.as_ref().to_path_buf(), key.as_ref().to_path_buf());
        Identity::from_source(PemFiles { certificate, key })
    }

    /// What a source gives now; a server asks it again when it says so.
    ///
    /// # Errors
    ///
    /// Those of [`IdentitySource::load`].
    pub fn from_source(source: impl IdentitySource + 'static) -> Result<Identity, Error> {
        Origin::ask(Arc::new(source))
    }

    /// The same as [`from_pem_files`](Identity::from_pem_files) from PEM text that the program has already, such as from
    /// its own storage. Nothing can be asked for it again.
    ///
    /// # Errors
    ///
    /// As [`from_pem_files`](Identity::from_pem_files), with no file named.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Identity, Error> {
        let part = |pem| Part { file: None, pem };
        load(part(certificate), part(key), unix_now())
    }

    /// A certificate from an authority, which the server that serves with it obtains and renews by itself, on a thread of
    /// its own, from its start to its stop; one that [`Handle::replace_identity`](crate::Handle::replace_identity) puts into
    /// a running server is only served. While there is no certificate yet, the [device identity](Identity::device) in the
    /// same state directory is.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for what [`Acme`](crate::Acme) cannot be, [`Error::Identity`] for a file of roots that cannot be
    /// used, and those of the device identity.
    #[cfg(feature = "acme")]
    pub fn acme(acme: crate::Acme) -> Result<Identity, Error> {
        crate::acme::identity(&acme)
    }

    /// Of two files of the user's own, whatever the clock says.
    pub(super) fn from_own_files(certificate: &Path, key: &Path) -> Result<Identity, Error> {
        load_files(certificate, key, unix_now())
    }

    /// Of two files that must be valid now, since there is something else to serve with.
    #[cfg(feature = "acme")]
    pub(crate) fn load_files(certificate: &Path, key: &Path) -> Result<Identity, Error> {
        let now = unix_now();
        load_files(certificate, key, now)?.valid_at(now)
    }

    /// Whether these could be served with. The log is told nothing.
    #[cfg(feature = "check")]
    pub(crate) fn try_files(certificate: &Path, key: &Path) -> Result<(), Error> {
        let (certificate_pem, key_pem) = (file::read(certificate)?, file::read(key)?);
        let certificate = Part { file: Some(certificate), pem: &certificate_pem };
        check(certificate, Part { file: Some(key), pem: &key_pem }).map(drop)
    }

    /// What a client shows to a server that asks for its certificate. The log is told nothing.
    #[cfg(feature = "check")]
    pub(crate) fn of_client(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
        let (certificate_pem, key_pem) = (file::read(certificate)?, file::read(key)?);
        let certificate = Part { file: Some(certificate), pem: &certificate_pem };
        check(certificate, Part { file: Some(key), pem: &key_pem })
            .map(|checked| checked.identity.certified_key())
    }

    /// What clients object to, as far as the certificates tell.
    pub(crate) fn findings(&self, now: i64) -> Vec<Finding> {
        // Each was found to be whole when it was loaded.
        chain::of_served(&self.inner.certified.cert, None)
            .map_or_else(|_| Vec::new(), |chain| chain.findings_of_served(now))
    }

    /// From the contents of two files that were made here, at `now` in seconds since 1970.
    #[cfg(feature = "device")]
    pub(crate) fn of_contents(
        certificate: (&Path, &[u8]),
        key: (&Path, &[u8]),
        now: i64,
    ) -> Result<Identity, Error> {
        let part = |(file, pem)| Part { file: Some(file), pem };
        check(part(certificate), part(key))?.identity.valid_at(now)
    }

    /// From a key and its chain in one file that was made here, or is to be. The log is told nothing: it is read often.
    #[cfg(feature = "acme")]
    pub(crate) fn of_one_file(file: Option<&Path>, pem: &[u8]) -> Result<Identity, Error> {
        let part = Part { file, pem };
        check(part, part)?.identity.valid_at(unix_now())
    }

    /// Whether the certificate is for this host: a DNS name (RFC 9525: `*.example.org` covers one label), or an IPv4 or
    /// IPv6 address without brackets. Anything else is not, and neither is a name that stands in the subject only.
    pub fn is_valid_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else {
            return false;
        };
        self.inner
            .certified
            .end_entity_cert()
            .ok()
            .and_then(|certificate| EndEntityCert::try_from(certificate).ok())
            .is_some_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// The DNS names that the certificate is for, wildcards as they stand there. IP addresses are not among them.
    pub fn dns_names(&self) -> &[String] {
        &self.inner.dns_names
    }

    /// The first second in which the certificate is valid, in seconds since 1970-01-01 UTC.
    pub fn not_before(&self) -> i64 {
        self.inner.validity.not_before
    }

    /// The last second in which the certificate is valid, in seconds since 1970-01-01 UTC.
    pub fn not_after(&self) -> i64 {
        self.inner.validity.not_after
    }

    /// How much of the certificate's life is left at `now`, in words.
    pub fn expiry(&self, now: SystemTime) -> Expiry {
        let (not_before, not_after) = (self.not_before(), self.not_after());
        let life = not_after.saturating_sub(not_before).max(1);
        match not_after.saturating_sub(unix(now)) {
            ..0 => Expiry::Expired,
            left if left < life / 10 => Expiry::Imminent,
            left if left < life / 3 => Expiry::Due,
            _ => Expiry::Distant,
        }
    }

    /// What is wrong with the certificate's validity at `now`: [`Expired`](IdentityFault::Expired), or
    /// [`NotYetValid`](IdentityFault::NotYetValid) when it begins in more than five minutes. `None` as well while `now` is
    /// before the day this program was built, since such a clock says nothing.
    pub fn clock_fault(&self, now: SystemTime) -> Option<IdentityFault> {
        let (not_before, not_after, now) = (self.not_before(), self.not_after(), unix(now));
        match validity::standing(self.inner.validity, now) {
            Standing::Unjudged | Standing::Valid => None,
            Standing::Over => Some(IdentityFault::Expired { not_after, now }),
            Standing::Early => Some(IdentityFault::NotYetValid { not_before, now }),
        }
    }

    /// The same, if it is valid at this very time.
    #[cfg(feature = "device")]
    fn valid_at(self, now: i64) -> Result<Identity, Error> {
        let (not_before, not_after) = (self.not_before(), self.not_after());
        let fault = if now > not_after {
            IdentityFault::Expired { not_after, now }
        } else if now < not_before {
            IdentityFault::NotYetValid { not_before, now }
        } else {
            return Ok(self);
        };
        Err(Error::identity(self.inner.file.clone(), fault))
    }

    /// Whether this one may take the place of `old` in a running server at `now`: a certificate that clients accept is not
    /// exchanged for one that they refuse, and an expired one not for one that expired earlier.
    pub(crate) fn may_replace(&self, old: &Identity, now: SystemTime) -> Result<(), Error> {
        let Some(fault) = self.clock_fault(now) else { return Ok(()) };
        let is_better = match (&fault, old.clock_fault(now)) {
            (_, None) => false,
            (IdentityFault::Expired { .. }, Some(_)) => self.not_after() >= old.not_after(),
            (_, Some(_)) => true,
        };
        if is_better {
            return Ok(());
        }
        Err(Error::identity(self.inner.file.clone(), fault))
    }

    /// How much of the certificate's life is left at `now`; zero when it is over.
    pub fn left(&self, now: SystemTime) -> Duration {
        Duration::from_secs(u64::try_from(self.not_after().saturating_sub(unix(now))).unwrap_or(0))
    }

    /// The same identity, as another source gave it.
    /// What the log calls it: by its DNS names, and when it ends.
    pub(crate) fn told(&self) -> String {
        let names = self.dns_names().join(", ");
        let names = if names.is_empty() { "its addresses" } else { &names };
        format!("the certificate for {} until {}", crate::escape::line(names), iso8601(self.not_after()))
    }

    pub(super) fn with_origin(self, origin: Origin) -> Identity {
        Identity { inner: self.inner, origin: Some(origin) }
    }

    #[cfg(feature = "acme")]
    pub(crate) fn with_agent(self, agent: Option<Arc<crate::acme::Agent>>) -> Identity {
        Identity { origin: self.origin.map(|origin| origin.with_agent(agent)), ..self }
    }

    /// Where challenges are posted that the server with this identity is to answer.
    pub(crate) fn challenges(&self) -> Option<&Arc<Challenges>> {
        self.origin.as_ref()?.challenges()
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Whether clients see the same chain.
    pub(crate) fn has_the_chain_of(&self, other: &Identity) -> bool {
        self.inner.certified.cert == other.inner.certified.cert
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.inner.certified.clone()
    }
}

/// How much of a certificate's life is left, from the most to the least. The parts are of its own life, since public
/// certificates live from 6 to 200 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Expiry {
    /// A third or more.
    Distant,
    /// Less than a third: time to renew it.
    Due,
    /// Less than a tenth: its renewal has failed, or nobody has thought of it.
    Imminent,
    /// Nothing: clients refuse it.
    Expired,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("dns_names", &self.inner.dns_names)
            .field("not_before", &format_args!("{}", iso8601(self.not_before())))
            .field("not_after", &format_args!("{}", iso8601(self.not_after())))
            .finish_non_exhaustive()
    }
}

/// One of the two halves as it came in, and where from, so that a fault can name its file.
#[derive(Clone, Copy)]
struct Part<'a> {
    file: Option<&'a Path>,
    pem: &'a [u8],
}

impl Part<'_> {
    fn fault(&self, fault: IdentityFault) -> Error {
        Error::identity(self.file.map(Path::to_path_buf), fault)
    }
}

fn load_files(certificate: &Path, key: &Path, now: i64) -> Result<Identity, Error> {
    let certificate_pem = file::read(certificate)?;
    let key_pem = file::read_key(key)?;
    let certificate = Part { file: Some(certificate), pem: &certificate_pem };
    let key = Part { file: Some(key), pem: &key_pem };
    load(certificate, key, now)
}

/// As [`check`]; the log is told what clients will object to.
fn load(certificate: Part<'_>, key: Part<'_>, now: i64) -> Result<Identity, Error> {
    let Checked { identity, unread } = check(certificate, key)?;
    for (file, unread) in &unread {
        unread.warn(file.as_deref());
    }
    chain::warn(&identity.inner.certified.cert, certificate.file, now);
    Ok(identity)
}

/// What is good to serve with.
struct Checked {
    identity: Identity,
    /// What is not read of the two files.
    unread: Vec<(Option<PathBuf>, Unread)>,
}

/// From PEM to an identity that can be served with, whatever the clock says.
fn check(certificate: Part<'_>, key: Part<'_>) -> Result<Checked, Error> {
    let Read { chain, key: private_key, unread } = chain_and_key(certificate, key)?;
    let validity = check_chain(&chain).map_err(|fault| certificate.fault(fault))?;
    // There is a first certificate, or check_chain had refused.
    let dns_names = names(&chain[0]).map_err(|fault| certificate.fault(fault))?;
    let signing_key = key::signing_key(private_key, &chain).map_err(|fault| key.fault(fault))?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(match place_of_own(&certified) {
                Some(place) => certificate.fault(IdentityFault::Malformed(format!(
                    "the key's own certificate stands at place {place}; it must come first, before those of its issuers"
                ))),
                // The key's certificate may be in the part that is not read.
                None => match unread.iter().find(|(file, unread)| file.as_deref() == certificate.file && may_hold_one(unread)) {
                    Some((file, unread)) => certificate.fault(IdentityFault::Malformed(format!(
                        "the private key belongs to none of the certificates in it that are read, and on line {} {}",
                        unread.line,
                        unread.said_of(file.as_deref())
                    ))),
                    None => key.fault(IdentityFault::KeyMismatch),
                },
            });
        }
        Err(error) => return Err(certificate.fault(IdentityFault::Malformed(error.to_string()))),
    }
    let file = certificate.file.map(Path::to_path_buf);
    let inner = Arc::new(Inner { file, certified: Arc::new(certified), dns_names, validity });
    Ok(Checked { identity: Identity { inner, origin: None }, unread })
}

/// Whether a certificate may be in a part that is not read.
fn may_hold_one(unread: &Unread) -> bool {
    unread.form.is_none_or(|form| form == Form::Pkcs7)
}

/// The contents of the two files.
struct Read {
    /// At least one.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    unread: Vec<(Option<PathBuf>, Unread)>,
}

fn chain_and_key(certificate: Part<'_>, key: Part<'_>) -> Result<Read, Error> {
    let certificates = pem::read(certificate.pem).map_err(|fault| certificate.fault(fault))?;
    let keys = pem::read(key.pem).map_err(|fault| key.fault(fault))?;
    if certificates.certificates.is_empty() {
        let swapped = !matches!(certificates.key, pem::Key::Absent)
            && matches!(keys.key, pem::Key::Absent)
            && !keys.certificates.is_empty();
        return Err(certificate.fault(if swapped {
            IdentityFault::Swapped
        } else {
            form::nothing(certificate.pem, &certificates, Wanted::Certificate)
        }));
    }
    let private_key = match keys.key {
        pem::Key::Plain(private_key) => private_key,
        pem::Key::Encrypted => return Err(key.fault(IdentityFault::EncryptedKey)),
        pem::Key::Absent => return Err(key.fault(form::nothing(key.pem, &keys, Wanted::Key))),
    };
    let of = |part: Part<'_>, unread: Vec<Unread>| {
        let file = part.file.map(Path::to_path_buf);
        unread.into_iter().map(move |unread| (file.clone(), unread))
    };
    let is_one_file = certificate.pem == key.pem;
    let mut unread: Vec<_> = of(certificate, certificates.unread).collect();
    if !is_one_file {
        unread.extend(of(key, keys.unread));
    }
    Ok(Read { chain: certificates.certificates, key: private_key, unread })
}

/// The first certificate's validity. The others are sent to every client as they are, so each must at least be a whole
/// certificate: nothing else that a damaged file may hold gets out that way.
fn check_chain(chain: &[CertificateDer<'_>]) -> Result<der::Validity, IdentityFault> {
    let mut first = None;
    for (index, certificate) in chain.iter().enumerate() {
        let validity = der::validity(certificate).map_err(|what| {
            let place = index + 1;
            IdentityFault::Malformed(format!(
                "certificate {place} in it is damaged ({what}); copy the file again from where it was issued"
            ))
        })?;
        first.get_or_insert(validity);
    }
    first.ok_or(IdentityFault::NoCertificate)
}

/// The DNS names of the server's own certificate, and whether it names itself as its issuer.
fn names(own: &CertificateDer<'_>) -> Result<Vec<String>, IdentityFault> {
    let certificate = EndEntityCert::try_from(own).map_err(|error| {
        IdentityFault::Malformed(match error {
            webpki::Error::UnsupportedCertVersion => {
                "the certificate is of X.509 version 1, which clients refuse; request one with a subjectAltName extension"
                    .to_string()
            }
            other => format!("the certificate is not one that TLS accepts ({other}); request it again"),
        })
    })?;
    Ok(certificate.valid_dns_names().map(str::to_string).collect())
}

/// Where in the chain, counted from 1, the key's own certificate stands, if it does.
fn place_of_own(certified: &CertifiedKey) -> Option<usize> {
    let is_own = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], certified.key.clone()).keys_match().is_ok()
    };
    certified.cert.iter().position(is_own).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// Inside the validity of every certificate made here.
    const NOW: i64 = 1_800_000_000;

    /// A certificate for these names, valid all through the 21st century.
    fn make(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2101, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn leaf_der(pem: &str) -> Vec<u8> {
        pem::read(pem.as_bytes()).ok().unwrap().certificates[0].to_vec()
    }

    fn identity(names: &[&str]) -> Identity {
        let (certificate, key) = make(names);
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    /// Two files with these contents, and what is said of them.
    struct Files {
        _dir: TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    impl Files {
        fn new(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Files {
            let dir = TempDir::new().unwrap();
            let files = Files {
                certificate: dir.path().join("own-cert.pem"),
                key: dir.path().join("own-key.pem"),
                _dir: dir,
            };
            fs::write(&files.certificate, certificate).unwrap();
            fs::write(&files.key, key).unwrap();
            files
        }

        /// The message must name that file first, and hold these words: what is wrong, and the way out.
        #[track_caller]
        fn refused(&self, at_fault: &Path, words: [&str; 2]) {
            let message = load_files(&self.certificate, &self.key, NOW).unwrap_err().to_string();
            let start = format!("{}: ", at_fault.display());
            assert!(message.starts_with(&start), "{message}");
            for words in words {
                assert!(message.contains(words), "{words:?} is not in: {message}");
            }
        }
    }

    fn openssl(arguments: &str) -> String {
        let output = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn two_good_files_load() {
        let (certificate, key) = make(&["localhost", "*.example.org", "192.0.2.7"]);
        let files = Files::new(&certificate, &key);
        let identity = load_files(&files.certificate, &files.key, NOW).unwrap();
        assert_eq!(identity.dns_names(), ["localhost", "*.example.org"]);
        assert_eq!(iso8601(identity.not_before()), "2001-01-01T00:00:00Z");
        assert_eq!(iso8601(identity.not_after()), "2101-01-01T00:00:00Z");
    }

    #[test]
    fn certificate_and_key_in_one_file_load_in_either_order() {
        let (certificate, key) = make(&["localhost"]);
        for both in [format!("{certificate}{key}"), format!("{key}{certificate}")] {
            let files = Files::new(&both, "");
            Identity::from_pem_files(&files.certificate, &files.certificate).unwrap();
        }
    }

    #[test]
    fn every_kind_of_key_that_is_promised_loads() {
        let dir = TempDir::new().unwrap();
        let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
        for (make, form) in [
            ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "pkey"),
            ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", "pkey"),
            ("genpkey -algorithm ED25519", "pkey"),
            ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "pkey"),
            ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "rsa -traditional"),
            ("ecparam -genkey -name prime256v1 -noout", "ec"),
        ] {
            openssl(&format!("{make} -out {}", key.display()));
            fs::write(&key, openssl(&format!("{form} -in {}", key.display()))).unwrap();
            openssl(&format!(
                "req -x509 -key {} -subj /CN=x -addext subjectAltName=DNS:localhost -out {}",
                key.display(),
                certificate.display()
            ));
            let loaded = Identity::from_pem_files(&certificate, &key);
            assert!(loaded.is_ok(), "{make}, {form}: {loaded:?}");
        }
    }

    #[test]
    fn a_certificate_is_for_its_names_and_addresses_and_no_others() {
        let identity = identity(&["localhost", "*.example.org", "192.0.2.7", "2001:db8::1"]);
        for host in ["localhost", "LOCALHOST", "a.example.org", "192.0.2.7", "2001:db8::1", "2001:0db8:0::1"]
        {
            assert!(identity.is_valid_for(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "a.b.example.org",
            "192.0.2.8",
            "[2001:db8::1]",
            "localhost:8443",
            "local host",
            "localhost\0",
            "192.0.2.07",
            "ü",
        ] {
            assert!(!identity.is_valid_for(host), "{host}");
        }
    }

    #[test]
    fn debug_shows_names_and_validity_and_nothing_of_the_key() {
        let (certificate, key) = make(&["localhost"]);
        let shown = format!("{:?}", Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap());
        assert_eq!(
            shown,
            "Identity { dns_names: [\"localhost\"], not_before: 2001-01-01T00:00:00Z, not_after: 2101-01-01T00:00:00Z, .. }"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let (certificate, key) = make(&["localhost"]);
        let files = Files::new(certificate, key);
        fs::remove_file(&files.key).unwrap();
        files.refused(&files.key, ["no such file", "give the path"]);
        fs::remove_file(&files.certificate).unwrap();
        files.refused(&files.certificate, ["no such file", "give the path"]);
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let (_, key) = make(&["localhost"]);
        let files = Files::new("", key);
        files.refused(&files.certificate, ["no certificate", "BEGIN CERTIFICATE"]);
    }

    #[test]
    fn a_file_without_a_key_is_named() {
        let (certificate, _) = make(&["localhost"]);
        let files = Files::new(&certificate, &certificate);
        files.refused(&files.key, ["no private key", "BEGIN PRIVATE KEY"]);
    }

    #[test]
    fn swapped_files_are_seen() {
        let (certificate, key) = make(&["localhost"]);
        let files = Files::new(key, certificate);
        files.refused(&files.certificate, ["swapped", "give the certificate first"]);
    }

    #[test]
    fn encrypted_keys_are_seen_in_both_forms() {
        let (certificate, _) = make(&["localhost"]);
        let dir = TempDir::new().unwrap();
        let plain = dir.path().join("plain");
        let plain = plain.display();
        openssl(&format!("ecparam -genkey -name prime256v1 -noout -out {plain}"));
        for (arguments, label) in [
            ("pkcs8 -topk8 -v2 aes-256-cbc", "BEGIN ENCRYPTED PRIVATE KEY"),
            ("ec -aes256", "Proc-Type: 4,ENCRYPTED"),
        ] {
            let encrypted = openssl(&format!("{arguments} -in {plain} -passout pass:secret"));
            assert!(encrypted.contains(label), "{encrypted}");
            let files = Files::new(&certificate, &encrypted);
            files.refused(&files.key, ["encrypted with a passphrase", "openssl pkey"]);
            let combined = Files::new(format!("{certificate}{encrypted}"), &encrypted);
            let error = load_files(&combined.certificate, &combined.certificate, NOW).unwrap_err();
            assert!(error.to_string().contains("encrypted with a passphrase"), "{error}");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_named() {
        let files = Files::new(make(&["localhost"]).0, make(&["localhost"]).1);
        files.refused(&files.key, ["does not belong", "give the key that"]);
    }

    #[test]
    fn a_chain_in_the_wrong_order_is_not_called_a_wrong_key() {
        let ((issuer, _), (own, key)) = (make(&["issuer"]), make(&["localhost"]));
        let files = Files::new(format!("{issuer}{own}"), key);
        files.refused(&files.certificate, ["at place 2", "must come first"]);
    }

    #[test]
    fn a_key_that_ring_cannot_sign_with_is_named() {
        let (certificate, _) = make(&["localhost"]);
        for kind in [
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
            "genpkey -algorithm ED448",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        ] {
            let files = Files::new(&certificate, openssl(kind));
            files.refused(&files.key, ["not supported", "it must be ECDSA P-256"]);
        }
    }

    #[test]
    fn a_certificate_outside_its_validity_loads_and_says_so_but_not_to_a_clock_that_cannot_be_right() {
        let (certificate, key) = make(&["localhost"]);
        let files = Files::new(&certificate, &key);
        let identity = load_files(&files.certificate, &files.key, NOW).unwrap();
        let at = |now: i64| UNIX_EPOCH + Duration::from_secs(now.unsigned_abs());
        let (begin, end) = (identity.not_before(), identity.not_after());
        for now in [0, begin - 1, begin, NOW, end] {
            load_files(&files.certificate, &files.key, now).unwrap();
            assert!(identity.clock_fault(at(now)).is_none(), "{now}");
        }
        load_files(&files.certificate, &files.key, end + 1).unwrap();
        let fault = identity.clock_fault(at(end + 1)).unwrap().to_string();
        let when = "expired at 2101-01-01T00:00:00Z (this machine's clock says 2101-01-01T00:00:01Z)";
        assert!(fault.contains(when) && fault.contains("renew it"), "{fault}");

        let later = between(NOW, NOW + 1_000);
        assert!(later.clock_fault(at(NOW - 300)).is_none());
        let fault = later.clock_fault(at(NOW - 301)).unwrap().to_string();
        assert!(
            fault.contains("not valid before 2027-01-15T08:00:00Z") && fault.contains("set the clock"),
            "{fault}"
        );
        assert!(later.clock_fault(UNIX_EPOCH).is_none());
    }

    /// Valid between these, whenever it is loaded.
    fn between(begin: i64, end: i64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let at = |time: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.unsigned_abs());
        (params.not_before, params.not_after) = (at(begin), at(end));
        let certificate = params.self_signed(&key).unwrap().pem();
        Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_valid_is_never_exchanged_for_what_is_not() {
        let now = UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs());
        let valid = || between(NOW - 10, NOW + 10);
        let (over, over_longer) = (between(NOW - 10, NOW - 1), between(NOW - 10, NOW - 2));
        let (early, nearly) = (between(NOW + 301, NOW + 999), between(NOW + 300, NOW + 999));
        for (new, old, may) in [
            (&valid(), &valid(), true),
            (&valid(), &over, true),
            (&nearly, &valid(), true),
            (&over, &valid(), false),
            (&early, &valid(), false),
            (&over, &over_longer, true),
            (&over_longer, &over, false),
            (&early, &over, true),
            (&over, &early, false),
        ] {
            assert_eq!(new.may_replace(old, now).is_ok(), may, "{new:?} for {old:?}");
            // By a clock that cannot be right, nothing is better than anything.
            assert!(new.may_replace(old, UNIX_EPOCH).is_ok());
        }
    }

    #[test]
    fn damaged_files_are_named_and_the_key_stays_unsaid() {
        let (certificate, key) = make(&["localhost"]);
        let bad = |pem: &str, from: &str, to: &str| pem.replacen(from, to, 1);

        let files = Files::new(bad(&certificate, "MII", "M*I"), &key);
        files.refused(&files.certificate, ["not base64", "copy the file again"]);
        // Good base64 of something else.
        let files = Files::new(bad(&certificate, "MII", "NII"), &key);
        files.refused(&files.certificate, ["certificate 1 in it is damaged", "copy the file again"]);
        let files = Files::new(&certificate, bad(&key, "MIG", "NIG"));
        files.refused(&files.key, ["private key in it is damaged", "copy the file again"]);
        let files = Files::new(&certificate, key.replace('\n', ""));
        files.refused(&files.key, ["lost its line breaks", "copy the file again"]);

        let secret = key.lines().nth(1).unwrap();
        for error in [
            load_files(&files.certificate, &files.key, NOW).unwrap_err(),
            Identity::from_pem(certificate.as_bytes(), key.replace('\n', "").as_bytes()).unwrap_err(),
        ] {
            assert!(!format!("{error} {error:?}").contains(&secret[..8]));
        }
    }

    /// rustls-pemfile joins a section without its END line to the one that follows. Sent out as part of the chain, that
    /// would be the key in clear.
    #[test]
    fn a_cut_off_key_is_never_taken_for_part_of_the_chain() {
        let (certificate, key) = make(&["localhost"]);
        let cut: String = key.lines().take(2).map(|line| format!("{line}\n")).collect();
        let files = Files::new(format!("{certificate}{cut}{certificate}"), &key);
        files.refused(&files.certificate, ["certificate 2 in it is damaged", "copy the file again"]);
    }

    #[test]
    fn an_x509_v1_certificate_is_refused_with_the_remedy() {
        // Large enough for lengths of two bytes.
        let mut der = leaf_der(&make(&["localhost"; 20]).0);
        // Version 1 is the absence of a version: five bytes less, in both of the lengths around them.
        assert_eq!(der[8..13], [0xa0, 3, 2, 1, 2]);
        der.drain(8..13);
        for at in [2, 6] {
            let length = u16::from_be_bytes([der[at], der[at + 1]]) - 5;
            der[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        let message = names(&der.into()).unwrap_err().to_string();
        assert!(message.contains("version 1, which clients refuse; request one with"), "{message}");
    }

    #[test]
    fn a_fault_in_pem_that_came_from_no_file_reads_well() {
        let (certificate, _) = make(&["localhost"]);
        let error = Identity::from_pem(certificate.as_bytes(), b"").unwrap_err();
        assert!(error
            .to_string()
            .starts_with("the PEM given as certificate and key: holds no private key; it must be PEM"));
    }
}

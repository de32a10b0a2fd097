//! From PEM to an identity: reading a certificate chain and its private key, and checking them.
//!
//! All faults of the two files are found here, before a socket is opened, and each error names its file. Programs that embed
//! the server call it, the server does at each reload, and `acme` and `device` do for files that they have written. Nothing of
//! a private key gets into an error, a log line or `Debug`.

use std::path::{Path, PathBuf};
#[cfg(any(feature = "check", feature = "proxy"))]
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::InconsistentKeys;
use webpki::EndEntityCert;

use super::form::Form;
use super::identity::{Identity, IdentitySource};
use super::pem::Unread;
use super::wanted::{self, Wanted};
use super::{der, file, findings, key, pem};
use crate::calendar::unix_now;
use crate::error::{Error, IdentityFault};

impl Identity {
    /// Reads a certificate and its private key from two PEM files, at most 1 MiB each.
    ///
    /// A key file that other users of the machine may read or write is used, with a warning in the log that names the file and
    /// the remedy. A key file that root owns and its group may read is fine. If a part of a file looks like PEM but is not
    /// read, the log warns of it with its line.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] with the file at fault, when a file cannot be read, when there is no certificate or no key in it,
    /// when it is in another form than PEM, when the two are swapped, damaged or do not belong together, and when the key is
    /// encrypted or of a kind that is not supported. A certificate that has expired or is not valid yet is not an error.
    pub fn from_pem_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Identity, Error> {
        let (certificate, key) = (certificate.as_ref().to_path_buf(), key.as_ref().to_path_buf());
        Identity::from_source(PemFiles { certificate, key })
    }

    /// As [`from_pem_files`](Identity::from_pem_files), from PEM text in memory, such as from the program's own storage. A
    /// server cannot reload such an identity.
    ///
    /// # Errors
    ///
    /// As in [`from_pem_files`](Identity::from_pem_files), without a file's name.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Identity, Error> {
        let part = |pem| Part { file: None, pem };
        load(part(certificate), part(key), unix_now())
    }

    /// Whether a server could use these files. Nothing is logged.
    #[cfg(feature = "check")]
    pub(crate) fn try_files(certificate: &Path, key: &Path) -> Result<(), Error> {
        let (certificate_pem, key_pem) = (file::read(certificate)?, file::read(key)?);
        let certificate = Part { file: Some(certificate), pem: &certificate_pem };
        check(certificate, Part { file: Some(key), pem: &key_pem }).map(drop)
    }

    /// A client's certificate and key, for a server that asks for them. Nothing is logged.
    #[cfg(any(feature = "check", feature = "proxy"))]
    pub(crate) fn of_client(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
        let (certificate_pem, key_pem) = (file::read(certificate)?, file::read(key)?);
        let certificate = Part { file: Some(certificate), pem: &certificate_pem };
        check(certificate, Part { file: Some(key), pem: &key_pem })
            .map(|checked| checked.identity.certified_key())
    }
}

/// Two PEM files.
struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl IdentitySource for PemFiles {
    fn load(&self) -> Result<Identity, Error> {
        load_files(&self.certificate, &self.key, unix_now())
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }
}

/// The contents of one of the two files with its path, so that an error can name it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) pem: &'a [u8],
}

impl Part<'_> {
    fn fault(&self, fault: IdentityFault) -> Error {
        Error::identity(self.file.map(Path::to_path_buf), fault)
    }
}

/// Loads an identity from two files, regardless of the clock. Logs what clients will object to.
pub(crate) fn load_files(certificate: &Path, key: &Path, now: i64) -> Result<Identity, Error> {
    let certificate_pem = file::read(certificate)?;
    let key_pem = file::read_key(key)?;
    let certificate = Part { file: Some(certificate), pem: &certificate_pem };
    let key = Part { file: Some(key), pem: &key_pem };
    load(certificate, key, now)
}

/// As [`check`], but logs what clients will object to.
fn load(certificate: Part<'_>, key: Part<'_>, now: i64) -> Result<Identity, Error> {
    let Checked { identity, unread } = check(certificate, key)?;
    for (file, unread) in &unread {
        unread.warn(file.as_deref());
    }
    findings::warn(&identity.certified_key().cert, certificate.file, now);
    Ok(identity)
}

/// An identity that a server can use.
pub(crate) struct Checked {
    pub(crate) identity: Identity,
    /// The parts of the two files that are not read.
    unread: Vec<(Option<PathBuf>, Unread)>,
}

/// Makes an identity from PEM, regardless of the clock. Nothing is logged.
pub(crate) fn check(certificate: Part<'_>, key: Part<'_>) -> Result<Checked, Error> {
    let Read { chain, key: private_key, unread } = chain_and_key(certificate, key)?;
    let validity = check_chain(&chain).map_err(|fault| certificate.fault(fault))?;
    // check_chain refuses a chain without certificates.
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
                // The key's certificate may be in a part that is not read.
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
    Ok(Checked { identity: Identity::new(file, certified, dns_names, validity), unread })
}

/// Whether a part that is not read may hold a certificate.
fn may_hold_one(unread: &Unread) -> bool {
    unread.form.map_or(true, |form| form == Form::Pkcs7)
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
            wanted::nothing(certificate.pem, &certificates, Wanted::Certificate)
        }));
    }
    let private_key = match keys.key {
        pem::Key::Plain(private_key) => private_key,
        pem::Key::Encrypted => return Err(key.fault(IdentityFault::EncryptedKey)),
        pem::Key::Absent => return Err(key.fault(wanted::nothing(key.pem, &keys, Wanted::Key))),
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

const NEVER_VALID: &str = "it ends before it begins";

/// Returns the first certificate's validity. The others are sent to clients unchanged, so each must be a complete certificate:
/// nothing else in a damaged file, such as a part of a key, may be sent.
fn check_chain(chain: &[CertificateDer<'_>]) -> Result<der::Validity, IdentityFault> {
    let mut first = None;
    for (index, certificate) in chain.iter().enumerate() {
        let validity = match der::validity(certificate) {
            Ok(validity) if validity.not_after < validity.not_before => Err(NEVER_VALID),
            read => read,
        };
        let validity = validity.map_err(|what| {
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

/// The place of the key's own certificate in the chain, counted from 1.
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

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;
    use crate::calendar::iso8601_of;

    /// Within the validity of every certificate made here.
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

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_an_error() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2101, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let error = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(NEVER_VALID), "{error}");
    }

    fn leaf_der(pem: &str) -> Vec<u8> {
        pem::read(pem.as_bytes()).ok().unwrap().certificates[0].to_vec()
    }

    /// Two files for a test.
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

        /// The message must name that file first, and hold these words about the fault and the way out.
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
        assert_eq!(iso8601_of(identity.validity().not_before), "2001-01-01T00:00:00Z");
        assert_eq!(iso8601_of(identity.validity().not_after), "2101-01-01T00:00:00Z");
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
    fn damaged_files_are_named_and_the_key_stays_unsaid() {
        let (certificate, key) = make(&["localhost"]);
        let bad = |pem: &str, from: &str, to: &str| pem.replacen(from, to, 1);

        let files = Files::new(bad(&certificate, "MII", "M*I"), &key);
        files.refused(&files.certificate, ["not base64", "copy the file again"]);
        // Valid base64 of something else.
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

    /// rustls-pemfile joins a section without its END line to the next one. As a part of the chain, the server would send the
    /// key in clear.
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
        // Version 1 has no version field: five bytes less, in both of the surrounding lengths.
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

    #[test]
    fn a_certificate_loads_whatever_the_clock_says() {
        let (certificate, key) = make(&["localhost"]);
        let files = Files::new(&certificate, &key);
        let identity = load_files(&files.certificate, &files.key, NOW).unwrap();
        let (begin, end) = (identity.validity().not_before, identity.validity().not_after);
        for now in [0, begin - 1, begin, NOW, end, end + 1] {
            load_files(&files.certificate, &files.key, now).unwrap();
        }
    }
}

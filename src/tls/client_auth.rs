//! Which clients' certificates are accepted: the authorities that sign for clients, and their revocation lists.
//!
//! All faults of these files are found here, before a socket is opened and again at each reload, and each error names its file.
//! rustls checks the clients themselves. Programs that embed the server use it, `server_config` does for handshakes, and the
//! server to read the files again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::RootCertStore;

use super::revocation::{self, Due, RevocationList};
use super::stamp::{Stamp, MOST_FILES};
#[cfg(feature = "operations")]
use super::ticket_scope::Digest;
use super::wanted::{self, Wanted};
use super::x509::Facts;
use super::{der, file, pem, provider, refused, Expiry, Refused};
use crate::calendar::{since_1970, unix, unix_now};
use crate::error::{Error, IdentityFault};
use crate::escape;

/// The most files that are watched, without the file of the authorities.
const MOST_REVOCATION_LISTS: usize = MOST_FILES - 1;

/// Whether clients need certificates, and which are accepted (mutual TLS). Pass it to
/// [`ServerBuilder::client_auth`](crate::ServerBuilder::client_auth).
///
/// ```no_run
/// # fn serve(server: lockgate::ServerBuilder) -> Result<(), lockgate::Error> {
/// use lockgate::ClientAuth;
///
/// server.client_auth(ClientAuth::required("clients-ca.pem").crl("clients.crl")).bind()?.run()
/// # }
/// ```
///
/// # What is checked
///
/// The client has the key of its certificate. The certificate is valid now and is for client authentication (an extended key
/// usage, if it has one, includes clientAuth). The certificates that the client sends lead from it to one of the authorities in
/// the file; the authority's own validity is not checked (RFC 5280 §6.1.1 d). Names are not checked: a handler reads them from
/// [`Request::client`](crate::Request::client) and decides.
///
/// With at least one revocation list, every certificate in the client's chain must be known not to be revoked. So each issuing
/// authority in the chain needs a list. A list whose nextUpdate has passed does not count, because it does not know what was
/// revoked since. OCSP is not used.
///
/// The files are read when the server binds, and again when they change and at [`Handle::reload`](crate::Handle::reload); if
/// they cannot be used then, the old ones stay in use. A client is checked again before its next request if its session was
/// resumed by a ticket, or if its connection is older than the files or than a minute. It gets 403 if it would not be accepted
/// any more. With the feature `operations`, a ticket resumes no session of a client that would not be accepted any more: it has
/// to show a certificate again, and so one that it has renewed meanwhile counts at once.
#[derive(Clone)]
pub struct ClientAuth {
    demand: Demand,
    authorities: PathBuf,
    revocation_lists: Vec<PathBuf>,
    /// Always [`load_at`](ClientAuth::load_at). The constructors store it, so that a program without client certificates does
    /// not link it.
    load_at: fn(&ClientAuth, i64) -> Result<Loaded, Error>,
}

/// What the files say.
struct Loaded {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The dates of the list that must be replaced first.
    first_due: Option<Due>,
    /// Of all that decides which clients are accepted.
    #[cfg(feature = "operations")]
    digest: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Required,
    Optional,
}

impl ClientAuth {
    /// Every client must show a certificate of one of the authorities in this file: PEM, at most 1 MiB.
    pub fn required(authorities: impl Into<PathBuf>) -> ClientAuth {
        ClientAuth::new(Demand::Required, authorities.into())
    }

    /// A client may show a certificate. A client without one is served, and [`Request::client`](crate::Request::client) is
    /// `None`; a client whose certificate is not accepted is not served.
    pub fn optional(authorities: impl Into<PathBuf>) -> ClientAuth {
        ClientAuth::new(Demand::Optional, authorities.into())
    }

    /// A file with one or more certificate revocation lists (CRL, RFC 5280 §5) of the authorities: PEM or DER, at most 1 MiB.
    /// May be called up to 63 times. Defaults to none; then revocation is not checked.
    pub fn crl(mut self, file: impl Into<PathBuf>) -> Self {
        self.revocation_lists.push(file.into());
        self
    }

    fn new(demand: Demand, authorities: PathBuf) -> ClientAuth {
        ClientAuth { demand, authorities, revocation_lists: Vec::new(), load_at: ClientAuth::load_at }
    }

    fn files(&self) -> Vec<PathBuf> {
        [&self.authorities].into_iter().chain(&self.revocation_lists).cloned().collect()
    }

    /// Reads and checks the files.
    fn load_at(&self, now: i64) -> Result<Loaded, Error> {
        let authorities = read_authorities(&self.authorities, now)?;
        let mut lists: Vec<RevocationList> = Vec::new();
        for path in &self.revocation_lists {
            revocation::read(path, &authorities, now, &mut lists)?;
        }
        for index in 0..authorities.len() {
            if !lists.is_empty() && !lists.iter().any(|list| list.authorities.contains(&index)) {
                log::warn!(
                    "{}: there is no revocation list of the authority at place {}, so clients with certificates that it \
                     has issued are refused",
                    escape::path(&self.authorities),
                    index + 1
                );
            }
        }

        let first_due = lists.iter().map(|list| list.due).min_by_key(|due| due.next_update);
        #[cfg(feature = "operations")]
        let digest = self.digest(&authorities, &lists);

        let unusable =
            |what: String| Error::identity(self.authorities.clone(), IdentityFault::Malformed(what));
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| unusable(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(lists.into_iter().map(|list| list.der))
            .enforce_revocation_expiration();
        let builder = match self.demand {
            Demand::Required => builder,
            Demand::Optional => builder.allow_unauthenticated(),
        };
        let verifier = builder.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Loaded {
            verifier,
            first_due,
            #[cfg(feature = "operations")]
            digest,
        })
    }

    /// Of the demand and of what is in the files. Their order does not count.
    #[cfg(feature = "operations")]
    fn digest(&self, authorities: &[CertificateDer<'static>], lists: &[RevocationList]) -> [u8; 32] {
        let mut authorities: Vec<&[u8]> = authorities.iter().map(|der| &der[..]).collect();
        let mut lists: Vec<&[u8]> = lists.iter().map(|list| &list.der[..]).collect();
        authorities.sort_unstable();
        lists.sort_unstable();
        let mut digest = Digest::new("rules for clients");
        digest.add(if self.demand == Demand::Required { b"required" } else { b"optional" });
        digest.add(&(authorities.len() as u64).to_be_bytes());
        authorities.into_iter().chain(lists).for_each(|der| digest.add(der));
        digest.finish()
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth")
            .field("demand", &self.demand)
            .field("authorities", &self.authorities)
            .field("revocation_lists", &self.revocation_lists)
            .finish()
    }
}

/// A [`ClientAuth`] whose files were read and are good.
#[derive(Clone)]
pub(crate) struct Clients {
    auth: ClientAuth,
    /// The state of the files before they were read.
    stamp: Stamp,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    first_due: Option<Due>,
    /// Of all that decides which clients are accepted.
    #[cfg(feature = "operations")]
    pub(super) digest: [u8; 32],
}

impl Clients {
    /// # Errors
    /// [`Error::Identity`] with the file at fault, [`Error::Setting`] for too many of them.
    pub(crate) fn load(auth: ClientAuth) -> Result<Clients, Error> {
        if auth.revocation_lists.len() > MOST_REVOCATION_LISTS {
            let fault =
                format!("at most {MOST_REVOCATION_LISTS} files with revocation lists are read; put several lists into one file");
            return Err(Error::Setting { setting: "client_auth", fault });
        }
        let stamp = Stamp::of(&auth.files());
        let loaded = (auth.load_at)(&auth, unix_now())?;
        Ok(Clients {
            auth,
            stamp,
            verifier: loaded.verifier,
            first_due: loaded.first_due,
            #[cfg(feature = "operations")]
            digest: loaded.digest,
        })
    }

    /// Whether a client without a certificate is refused.
    pub(crate) fn are_required(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Those of [`load`](Clients::load).
    pub(crate) fn load_again(&self) -> Result<Clients, Error> {
        Clients::load(self.auth.clone())
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.auth.files()
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// How soon the first revocation list expires.
    pub(crate) fn expiry(&self, clock: SystemTime) -> Expiry {
        self.first_due.map_or(Expiry::Distant, |due| due.expiry(unix(clock)))
    }

    /// Whether a client that was accepted with this chain (its own certificate first) would still be accepted.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refused> {
        let now = UnixTime::since_unix_epoch(since_1970(SystemTime::now()));
        let checked = match chain.split_first() {
            Some((own, others)) => self.verifier.verify_client_cert(own, others, now).map(drop),
            None => Err(rustls::Error::NoCertificatesPresented),
        };
        checked.map_err(|error| refused(&error).unwrap_or_else(|| Refused::unchecked(&error)))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("auth", &self.auth).finish_non_exhaustive()
    }
}

fn read_authorities(path: &Path, now: i64) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = file::read(path)?;
    let read = || {
        let contents = pem::read(&text)?;
        let certificates = &contents.certificates;
        if certificates.is_empty() {
            return Err(wanted::nothing(&text, &contents, Wanted::Authority));
        }
        // Ignoring it silently would drop an authority, and its clients would be refused.
        for unread in &contents.unread {
            unread.warn(Some(path));
        }
        for (index, certificate) in certificates.iter().enumerate() {
            let place = index + 1;
            check_authority(certificate, place)?;
            if der::validity(certificate).is_ok_and(|validity| now > validity.not_after) {
                log::warn!(
                    "{}: the authority at place {place} has expired; its clients are let in here all the same",
                    escape::path(path)
                );
            }
        }
        Ok(contents.certificates)
    };
    read().map_err(|fault| Error::identity(path.to_path_buf(), fault))
}

/// rustls accepts any certificate as an authority, because that is the program's choice (RFC 5280 §6.1.1). A leaf means that
/// the wrong file was given.
fn check_authority(certificate: &CertificateDer<'_>, place: usize) -> Result<(), IdentityFault> {
    let malformed = |what: &str| {
        IdentityFault::Malformed(format!(
            "certificate {place} in it is damaged ({what}); copy the file again from where it was issued"
        ))
    };
    if !Facts::read(certificate).map_err(malformed)?.extensions.is_ca {
        return Err(IdentityFault::NotAnAuthority { place });
    }
    webpki::anchor_from_trusted_cert(certificate).map(drop).map_err(|error| malformed(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
        KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
    };
    use tempfile::TempDir;

    use super::*;

    /// Within the validity of everything made here; lists must be replaced in 2030.
    const NOW: i64 = 1_800_000_000;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2101, 1, 1);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn list(authority: &Authority) -> (String, Vec<u8>) {
        list_until(authority, 2030)
    }

    fn list_until(authority: &Authority, year: i32) -> (String, Vec<u8>) {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2025, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(authority)
        .unwrap();
        (list.pem().unwrap(), list.der().to_vec())
    }

    struct Files {
        dir: TempDir,
        auth: ClientAuth,
    }

    impl Files {
        fn new(authorities: impl AsRef<[u8]>) -> Files {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("clients-ca.pem");
            fs::write(&path, authorities).unwrap();
            Files { auth: ClientAuth::required(path), dir }
        }

        fn crl(mut self, list: impl AsRef<[u8]>) -> Files {
            let path = self.dir.path().join(format!("{}.crl", self.auth.revocation_lists.len() + 1));
            fs::write(&path, list).unwrap();
            self.auth = self.auth.crl(path);
            self
        }

        /// The message must name that file first, and hold these words about the fault and the way out.
        #[track_caller]
        fn refused(&self, file: &str, words: [&str; 2]) {
            let message = self.auth.load_at(NOW).map(drop).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}: ", self.dir.path().join(file).display())), "{message}");
            assert!(words.iter().all(|words| message.contains(words)), "{words:?} is not in: {message}");
        }
    }

    #[test]
    fn good_files_load_and_say_whether_a_certificate_is_required() {
        let (one, two) = (authority("one"), authority("two"));
        let files = Files::new(one.pem() + &two.pem()).crl(list(&one).0).crl(list(&two).1);
        assert!(files.auth.load_at(NOW).unwrap().verifier.client_auth_mandatory());
        let optional = ClientAuth { demand: Demand::Optional, ..files.auth.clone() };
        let verifier = optional.load_at(NOW).unwrap().verifier;
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        let names: Vec<_> =
            files.auth.files().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["clients-ca.pem", "1.crl", "2.crl"]);

        let both = Files::new(one.pem() + &two.pem()).crl(list(&one).0 + &list(&two).0);
        both.auth.load_at(NOW).unwrap();
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let files = Files::new(authority("one").pem());
        let crl = files.dir.path().join("none.crl");
        let files = Files { auth: files.auth.crl(crl), dir: files.dir };
        files.refused("none.crl", ["no such file", "give the path"]);
        fs::remove_file(&files.auth.authorities).unwrap();
        files.refused("clients-ca.pem", ["no such file", "give the path"]);
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let key = KeyPair::generate().unwrap();
        let (ca, leaf) = (authority("one"), CertificateParams::new(vec!["x".to_string()]).unwrap());
        let own = leaf.self_signed(&key).unwrap().pem();
        let issued = leaf.signed_by(&key, &ca).unwrap().pem();
        Files::new("").refused("clients-ca.pem", ["holds no certificate", "BEGIN CERTIFICATE"]);
        Files::new(key.serialize_pem()).refused("clients-ca.pem", ["holds no certificate", "authority"]);
        Files::new(list(&ca).0).refused("clients-ca.pem", ["holds no certificate", "authority"]);
        Files::new(&own)
            .refused("clients-ca.pem", ["certificate 1", "give the certificate of the authority"]);
        let second = ca.pem() + &issued;
        Files::new(second).refused("clients-ca.pem", ["certificate 2", "basicConstraints"]);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::ExplicitNoCa;
        let explicit = params.self_signed(&key).unwrap().pem();
        Files::new(explicit).refused("clients-ca.pem", ["certificate 1", "basicConstraints"]);
    }

    #[test]
    fn a_damaged_authority_is_refused() {
        let pem = authority("one").pem();
        let damaged = pem.replacen("MII", "NII", 1);
        Files::new(damaged).refused("clients-ca.pem", ["certificate 1 in it is damaged", "copy the file"]);
        let damaged = pem.replacen("MII", "M*I", 1);
        Files::new(damaged).refused("clients-ca.pem", ["not base64", "copy the file"]);
    }

    #[test]
    fn what_is_no_revocation_list_is_refused() {
        let ca = authority("one");
        let with = |bytes: &[u8]| Files::new(ca.pem()).crl(bytes);
        with(b"").refused("1.crl", ["holds no revocation list", "BEGIN X509 CRL"]);
        with(ca.pem().as_bytes()).refused("1.crl", ["holds no revocation list", "BEGIN X509 CRL"]);
        with(ca.der()).refused("1.crl", ["holds no revocation list", "as DER"]);
        let (pem, der) = list(&ca);
        with(&der[..der.len() - 1]).refused("1.crl", ["cut off", "copy the file"]);
        with(pem.replacen("MI", "M*", 1).as_bytes()).refused("1.crl", ["not base64", "copy the file"]);
    }

    #[test]
    fn a_list_of_another_authority_is_refused_whatever_name_it_uses() {
        let (one, two) = (authority("one"), authority("two"));
        let files = Files::new(one.pem()).crl(list(&one).0).crl(list(&two).0);
        files.refused("2.crl", ["none of the authorities", "give the list of one of them"]);
        let namesake = authority("one");
        let files = Files::new(one.pem()).crl(list(&namesake).0);
        files.refused("1.crl", ["not signed by the authority that it names", "get it again"]);
        // A namesake beside the list's signer is not a fault: authorities change keys.
        Files::new(one.pem() + &namesake.pem()).crl(list(&namesake).0).auth.load_at(NOW).unwrap();
    }

    #[test]
    fn two_lists_of_one_authority_are_refused_as_only_one_would_count() {
        let ca = authority("one");
        let files = Files::new(ca.pem()).crl(list(&ca).0).crl(list(&ca).0);
        files.refused("2.crl", ["two revocation lists of the same authority", "give the newer"]);
        // rustls tells them apart only by name.
        let namesake = authority("one");
        let files = Files::new(ca.pem() + &namesake.pem()).crl(list(&ca).0 + &list(&namesake).0);
        files.refused("1.crl", ["two revocation lists of the same authority", "give the newer"]);
    }

    #[test]
    fn more_files_than_are_looked_after_are_refused() {
        let auth = (0..64).fold(ClientAuth::required("ca"), |auth, number| auth.crl(number.to_string()));
        let message = Clients::load(auth).unwrap_err().to_string();
        assert!(message.contains("at most 63 files with revocation lists"), "{message}");
    }

    #[test]
    fn a_list_counts_until_it_was_to_be_replaced() {
        let files = Files::new(authority("one").pem());
        files.auth.load_at(NOW).unwrap();
        let ca = authority("one");
        let files = Files::new(ca.pem()).crl(list(&ca).0);
        let next_update = 1_893_456_000;
        files.auth.load_at(next_update - 1).unwrap();
        let message = files.auth.load_at(next_update).map(drop).unwrap_err().to_string();
        let words =
            "was to be replaced by 2030-01-01T00:00:00Z (this machine's clock says 2030-01-01T00:00:00Z)";
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn the_end_of_the_list_that_ends_first_is_told_before_it_hurts() {
        let (one, two) = (authority("one"), authority("two"));
        let mut files = Files::new(one.pem() + &two.pem());
        let due = |files: &Files| files.auth.load_at(NOW).unwrap().first_due;
        assert!(due(&files).is_none());
        files = files.crl(list_until(&one, 2040).0).crl(list_until(&two, 2030).0);
        let due = due(&files).unwrap();
        // 2025 to 2030.
        assert_eq!((due.this_update, due.next_update), (1_735_689_600, 1_893_456_000));
        let tenth = (due.next_update - due.this_update) / 10;
        for (now, expiry) in [
            (due.this_update, Expiry::Distant),
            (due.next_update - tenth, Expiry::Distant),
            (due.next_update - tenth + 1, Expiry::Imminent),
            (due.next_update - 1, Expiry::Imminent),
            (due.next_update, Expiry::Expired),
        ] {
            assert_eq!(due.expiry(now), expiry, "{now}");
        }
    }

    #[test]
    fn a_damaged_list_is_an_error_and_never_a_panic() {
        let ca = authority("one");
        let (_, good) = list(&ca);
        let authorities = [ca.der().clone()];
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(revocation::check(bad.into(), &authorities, NOW).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}

//! A server's identity: a checked certificate chain with its private key, and its source, so that it can be loaded again when
//! files change, when renewal is due, or on request.
//!
//! Knows the paths and the state of files, but not their contents: `load` reads them. Programs that embed the server use it,
//! and a running server loads its identities again with it.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::agent::Agent;
use super::stamp::{Stamp, MOST_FILES};
use super::validity::{self, Standing};
use super::{chain, der};
use crate::calendar::{from_unix, iso8601, unix};
use crate::error::{Error, IdentityFault};
use crate::finding::Finding;

/// A certificate chain and its private key, checked.
///
/// Cloning is cheap: clones share the same certificate and key. `Debug` shows the names and the validity, and nothing of the
/// key.
///
/// A server keeps an identity from files or another [source](IdentitySource) up to date: when the files change, they are
/// checked, and new connections get the new certificate. While the new files cannot be used, new connections get the old
/// certificate.
///
/// # Accepted
///
/// PEM. The certificate's file holds the server's own certificate first, then the intermediate certificates that lead to the
/// authority (certbot's `fullchain.pem`). The key is ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits, as PKCS#8 or
/// in the older EC and RSA forms, regardless of its label, without a passphrase. An EC key may lack its public half if its
/// certificate is given. Certificate and key may be in one file; then give its path twice.
///
/// # The clock
///
/// A certificate that has expired or is not valid yet is accepted, with an error in the log: clients have their own clocks, and
/// a device whose clock is wrong must be reachable so that the clock can be set. [`clock_fault`](Identity::clock_fault) and
/// [`Health`](crate::Health) report it too. A certificate that becomes valid within five minutes is not reported, and a clock
/// before the day this program was built judges nothing. A running server never replaces a valid certificate by an invalid one.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
    origin: Option<Origin>,
}

struct Inner {
    /// The certificate's file.
    file: Option<PathBuf>,
    certified: Arc<CertifiedKey>,
    dns_names: Vec<String>,
    validity: der::Validity,
}

impl Identity {
    /// Made by `load`, which has checked the certificate. It may have come from this file.
    pub(super) fn new(
        file: Option<PathBuf>,
        certified: CertifiedKey,
        dns_names: Vec<String>,
        validity: der::Validity,
    ) -> Identity {
        let inner = Arc::new(Inner { file, certified: Arc::new(certified), dns_names, validity });
        Identity { inner, origin: None }
    }

    /// Loads an identity from a source. A server loads it again as [`IdentitySource`] says.
    ///
    /// # Errors
    ///
    /// Those of [`IdentitySource::load`].
    pub fn from_source(source: impl IdentitySource + 'static) -> Result<Identity, Error> {
        Origin::ask(Arc::new(source))
    }

    /// What clients will object to in the certificates.
    pub(crate) fn findings(&self, now: i64) -> Vec<Finding> {
        // Loading has checked that each certificate is intact.
        chain::of_served(&self.inner.certified.cert, None)
            .map_or_else(|_| Vec::new(), |chain| chain.findings_of_served(now))
    }

    /// Whether the certificate is for this host: a DNS name (RFC 9525: `*.example.org` covers one label), or an IPv4 or IPv6
    /// address without brackets. Always false for other texts. A name only in the subject does not count.
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

    /// The DNS names of the certificate, with wildcards unchanged. IP addresses are not among them.
    pub fn dns_names(&self) -> &[String] {
        &self.inner.dns_names
    }

    /// The first second in which the certificate is valid.
    pub fn not_before(&self) -> SystemTime {
        from_unix(self.inner.validity.not_before)
    }

    /// The last second in which the certificate is valid.
    pub fn not_after(&self) -> SystemTime {
        from_unix(self.inner.validity.not_after)
    }

    pub(crate) fn validity(&self) -> der::Validity {
        self.inner.validity
    }

    /// How much of the certificate's life is left at `now`, as a level.
    pub fn expiry(&self, now: SystemTime) -> Expiry {
        let (not_before, not_after) = (self.validity().not_before, self.validity().not_after);
        let life = not_after.saturating_sub(not_before).max(1);
        match not_after.saturating_sub(unix(now)) {
            ..=-1 => Expiry::Expired,
            left if left < life / 10 => Expiry::Imminent,
            left if left < life / 3 => Expiry::Due,
            _ => Expiry::Distant,
        }
    }

    /// What is wrong with the certificate's validity at `now`: [`Expired`](IdentityFault::Expired), or
    /// [`NotYetValid`](IdentityFault::NotYetValid) when it begins in more than five minutes. `None` also while `now` is before
    /// the day this program was built, because such a clock is wrong.
    pub fn clock_fault(&self, now: SystemTime) -> Option<IdentityFault> {
        match validity::standing(self.inner.validity, unix(now)) {
            Standing::Unjudged | Standing::Valid => None,
            Standing::Over => Some(IdentityFault::Expired { not_after: self.not_after(), now }),
            Standing::Early => Some(IdentityFault::NotYetValid { not_before: self.not_before(), now }),
        }
    }

    /// Whether this identity may replace `old` in a running server at `now`: a certificate that clients accept is not replaced
    /// by one that they refuse, and an expired one not by one that expired earlier.
    pub(crate) fn may_replace(&self, old: &Identity, now: SystemTime) -> Result<(), Error> {
        let Some(fault) = self.clock_fault(now) else { return Ok(()) };
        let is_better = match (&fault, old.clock_fault(now)) {
            (_, None) => false,
            (IdentityFault::Expired { .. }, Some(_)) => self.validity().not_after >= old.validity().not_after,
            (_, Some(_)) => true,
        };
        if is_better {
            return Ok(());
        }
        Err(self.error(fault))
    }

    /// An error of this fault with the certificate's file.
    pub(crate) fn error(&self, fault: IdentityFault) -> Error {
        Error::identity(self.inner.file.clone(), fault)
    }

    /// How much of the certificate's life is left at `now`. Zero when it has expired.
    pub fn left(&self, now: SystemTime) -> Duration {
        Duration::from_secs(u64::try_from(self.validity().not_after.saturating_sub(unix(now))).unwrap_or(0))
    }

    /// The description for the log: its DNS names, and when it ends.
    pub(crate) fn told(&self) -> String {
        let names = self.dns_names().join(", ");
        let names = if names.is_empty() { "its addresses" } else { &names };
        format!("the certificate for {} until {}", crate::escape::line(names), iso8601(self.not_after()))
    }

    fn with_origin(self, origin: Origin) -> Identity {
        Identity { inner: self.inner, origin: Some(origin) }
    }

    /// Adds the agent that works for this identity.
    #[cfg(feature = "acme")]
    pub(crate) fn with_agent(self, agent: Arc<dyn Agent>) -> Identity {
        Identity { origin: self.origin.map(|origin| Origin { agent: Some(agent), ..origin }), ..self }
    }

    /// The agent that works for this identity while a server runs.
    pub(crate) fn agent(&self) -> Option<&Arc<dyn Agent>> {
        self.origin.as_ref()?.agent()
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

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("dns_names", &self.inner.dns_names)
            .field("not_before", &format_args!("{}", iso8601(self.not_before())))
            .field("not_after", &format_args!("{}", iso8601(self.not_after())))
            .finish_non_exhaustive()
    }
}

/// How much of a certificate's life is left, from the most to the least. The levels are fractions of its own life, because
/// public certificates live from 6 to 200 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Expiry {
    /// A third or more.
    Distant,
    /// Less than a third: time to renew it.
    Due,
    /// Less than a tenth: its renewal has failed or was forgotten.
    Imminent,
    /// It has expired: clients refuse it.
    Expired,
}

/// A source of identities that an embedding program can write itself, such as a secure element or a management system;
/// [`Identity::from_source`] makes an identity of it. Identities that lockgate loads from files have a source already.
///
/// A running server calls its sources on one separate thread, never on a worker. A call may block, but meanwhile no other
/// identity of that server is renewed.
pub trait IdentitySource: Send + Sync {
    /// Loads the identity to serve with from now on. [`Identity::from_source`] calls it once. A running server calls it
    /// whenever one of [`files`](IdentitySource::files) has changed, the time of [`look_again`](IdentitySource::look_again) has
    /// passed, or [`Handle::reload`](crate::Handle::reload) is called. An unchanged identity changes nothing. It is called a
    /// second time if its files have changed during the call, because the source may have made them.
    ///
    /// # Errors
    ///
    /// Any error that keeps the source from loading an identity. The server then keeps its old identity, logs the error, and
    /// tries again after 10 s, and then after twice as long each time, up to an hour.
    fn load(&self) -> Result<Identity, Error>;

    /// The files whose change makes the server load again, at most 64. Replacing a file by rename is a change, and so is
    /// changing a symbolic link anywhere in its path. Defaults to none.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How long after `now` the server loads again although no file has changed. Defaults to `None`: never.
    fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        let _ = (current, now);
        None
    }
}

/// How often a source is called in a row, until its files stop changing.
const MOST_LOADS: u32 = 2;

/// A source, and the state of its files before it was last called.
#[derive(Clone)]
pub(crate) struct Origin {
    source: Arc<dyn IdentitySource>,
    stamp: Stamp,
    /// The agent of the source. Only ACME has one; without ACME the code for agents is not linked.
    #[cfg(feature = "acme")]
    agent: Option<Arc<dyn Agent>>,
}

impl Origin {
    /// Loads an identity from a source.
    pub(crate) fn ask(source: Arc<dyn IdentitySource>) -> Result<Identity, Error> {
        let (mut stamp, mut identity);
        let mut times = 0;
        loop {
            // Taken before the call, so that a change during the call counts as a change after it.
            stamp = Stamp::of(&source.files());
            identity = source.load()?;
            times += 1;
            // A source that writes its files during the call may not have read them as they are now.
            if times == MOST_LOADS || stamp == Stamp::of(&source.files()) {
                break;
            }
        }
        Ok(identity.with_origin(Origin {
            source,
            stamp,
            #[cfg(feature = "acme")]
            agent: None,
        }))
    }

    /// Loads again from the same source.
    pub(crate) fn ask_again(&self) -> Result<Identity, Error> {
        let identity = Origin::ask(self.source.clone())?;
        #[cfg(feature = "acme")]
        let identity = match &self.agent {
            Some(agent) => identity.with_agent(agent.clone()),
            None => identity,
        };
        Ok(identity)
    }

    fn agent(&self) -> Option<&Arc<dyn Agent>> {
        #[cfg(feature = "acme")]
        return self.agent.as_ref();
        #[cfg(not(feature = "acme"))]
        None
    }

    pub(crate) fn has_the_source_of(&self, other: &Origin) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = guarded(|| self.source.files());
        files.truncate(MOST_FILES);
        files
    }

    /// The state of the files before the source was called.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    pub(crate) fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        guarded(|| self.source.look_again(current, now))
    }
}

/// A source may be the program's own code. Its panic must not keep the other certificates from being renewed.
fn guarded<T: Default>(ask: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        log::error!("the source of a certificate panicked; its files and times are not known");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Inside the validity of every certificate made here, unless it says otherwise.
    const NOW: i64 = 1_800_000_000;

    /// Valid between these times, whenever it is loaded.
    fn between(begin: i64, end: i64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let at = |time: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.unsigned_abs());
        (params.not_before, params.not_after) = (at(begin), at(end));
        let certificate = params.self_signed(&key).unwrap().pem();
        Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// For these names, valid all through the 21st century.
    fn identity(names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2101, 1, 1);
        let certificate = params.self_signed(&key).unwrap().pem();
        Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
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
        let shown = format!("{:?}", identity(&["localhost"]));
        assert_eq!(
            shown,
            "Identity { dns_names: [\"localhost\"], not_before: 2001-01-01T00:00:00Z, not_after: 2101-01-01T00:00:00Z, .. }"
        );
    }

    #[test]
    fn a_certificate_outside_its_validity_says_so_but_not_to_a_clock_that_cannot_be_right() {
        let (begin, end) = (NOW - 1_000, 4_133_980_800);
        let identity = between(begin, end);
        let at = |now: i64| UNIX_EPOCH + Duration::from_secs(now.unsigned_abs());
        for now in [0, begin - 1, begin, NOW, end] {
            assert!(identity.clock_fault(at(now)).is_none(), "{now}");
        }
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
            // A clock that cannot be right does not compare certificates.
            assert!(new.may_replace(old, UNIX_EPOCH).is_ok());
        }
    }
}

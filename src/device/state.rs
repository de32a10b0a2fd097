//! The state directory: the device's CA and its certificate (the leaf), each with its key. They are made when missing and
//! renewed in time.
//!
//! A process that is killed at any moment leaves a directory from which the next start continues. Files exist whole or not at
//! all. The CA's key is written first, then the CA's certificate, then the first leaf. A leaf is used only when it belongs to
//! its key and to the CA. Two processes never write at the same time. [`Device`](super::Device) calls it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use super::clock::{self, Clock};
use super::draft::{is_ours, sync_directory, Draft, FileError};
use super::fault::DeviceFault;
use super::machine::Machine;
use super::making::{self, Ca, CaFault, Key, Lifetime, MakeError};
use super::names::{self, LeftOut, Name, Wanted};
use crate::calendar::{from_unix, iso8601_of};
use crate::error::{Error, IdentityFault};
use crate::escape;
use crate::finding::shell_word;
use crate::regular_file;
use crate::tls::{file, Certificate, Identity};

/// The first line of the leaf and its key, which are overwritten when they are renewed. The CA's files do not have it, because
/// they are never overwritten, and all kinds of programs read the CA's certificate.
const MARK: &[u8] = b"lockgate device file: made again when it is time\n";

/// The most left-out names in one log line.
const MOST_NAMED: usize = 16;

/// Part of the temporary names of drafts. The lock ensures that there is one writer.
const DRAFT: &str = "new";
/// How long to wait for another process that writes to the directory, and how often to try. Writing takes milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_millis(20);

pub(super) struct State {
    dir: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) ca_key: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What the leaf is needed for.
pub(super) struct Purpose<'a> {
    /// The names that were configured.
    pub(super) given: &'a [Name],
    pub(super) machine: &'a Machine,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// How long this process has been up.
    pub(super) running: Duration,
}

/// The identity that this process serves with.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) identity: Identity,
    /// The names that were wanted when it was made or found. Empty when it does not have them all.
    names: Vec<String>,
    /// Whether another process has replaced the leaf by one for other names.
    is_contested: bool,
}

impl Served {
    fn good(identity: Identity, wanted: &Wanted) -> Served {
        Served { identity, names: wanted.names.clone(), is_contested: false }
    }

    /// Whether this identity is still good, so that only another process can have replaced the leaf.
    fn is_still_good(&self, ca: &Ca, wanted: &Wanted, purpose: &Purpose<'_>) -> bool {
        wanted.is_covered_by(&self.names)
            && is_signed_by(&self.identity, ca, purpose.now).is_ok()
            && clock::is_due(lifetime(&self.identity), ca.lifetime(), purpose.now, purpose.running).is_none()
    }
}

/// What the directory holds.
enum Found {
    /// Everything is there and good.
    Good(Identity, Wanted, CaNotes),
    /// There is no CA, or only the key of a CA that was never used.
    NoCa(Option<Key>),
    /// A good CA, and a leaf that must be made or replaced.
    Leaf { ca: Box<Ca>, wanted: Wanted, why: String, usable: Option<Identity> },
}

/// Remarks about a CA that is used all the same.
struct CaNotes {
    /// See [`Ca::excess`].
    excess: Option<String>,
    /// The CA's expiry, when the clock is after its end.
    over: Option<DeviceFault>,
}

impl CaNotes {
    fn of(ca: &Ca, now: i64) -> CaNotes {
        let not_after = ca.lifetime().not_after;
        let over = (now > not_after)
            .then_some(DeviceFault::CaExpired { not_after: from_unix(not_after), now: from_unix(now) });
        CaNotes { excess: ca.excess(), over }
    }
}

impl State {
    pub(super) fn of(dir: &Path) -> State {
        let file = |name| dir.join(name);
        State {
            dir: dir.to_path_buf(),
            ca: file("ca.pem"),
            ca_key: file("ca-key.pem"),
            certificate: file("cert.pem"),
            key: file("key.pem"),
        }
    }

    /// Ensures that there is a leaf for this purpose, and loads it. `before` is what this process has served with so far.
    pub(super) fn ensure(&self, purpose: &Purpose<'_>, before: Option<&Served>) -> Result<Served, Error> {
        let usable = match self.find(purpose) {
            Ok(Found::Good(identity, wanted, notes)) => {
                if before.is_none() {
                    self.report(&wanted, &notes);
                }
                return Ok(Served::good(identity, &wanted));
            }
            Ok(Found::Leaf { ca, wanted, usable, .. }) => {
                // Otherwise two processes would replace each other's leaf forever.
                let kept = before.filter(|_| usable.is_some());
                if let Some(kept) = kept.filter(|kept| kept.is_still_good(&ca, &wanted, purpose)) {
                    self.report_contest(kept);
                    return Ok(Served { is_contested: true, ..kept.clone() });
                }
                usable
            }
            // Another process may be in the middle of writing. Only a second look under the lock tells.
            Ok(Found::NoCa(_)) | Err(_) => None,
        };
        match (self.renew(purpose, before.is_none()), usable) {
            // A device whose disk has become read-only must stay reachable, so that it can be repaired. A running server keeps
            // its identity and repeats the error until then.
            (Err(Error::Device { path, fault: fault @ DeviceFault::Io(_) }), Some(identity))
                if before.is_none() =>
            {
                log::error!(
                    "the device's certificate could not be renewed, and is used as it is: {}: {}",
                    escape::path(&path),
                    escape::shown(&fault)
                );
                Ok(Served { identity, names: Vec::new(), is_contested: false })
            }
            (renewed, _) => renewed,
        }
    }

    fn renew(&self, purpose: &Purpose<'_>, is_first: bool) -> Result<Served, Error> {
        if is_first {
            self.make_directory()?;
        }
        let _lock = Lock::take(&self.dir.join("lock"))?;
        let (ca, wanted, why) = match self.find(purpose)? {
            Found::Good(identity, wanted, notes) => {
                self.report(&wanted, &notes);
                return Ok(Served::good(identity, &wanted));
            }
            Found::Leaf { ca, wanted, why, .. } => (*ca, wanted, why),
            Found::NoCa(_) if !is_first => return Err(fault(&self.ca, DeviceFault::CaGone)),
            Found::NoCa(key) => {
                let ca = self.make_ca(purpose, key)?;
                let wanted = self.wanted(&ca, purpose)?;
                (ca, wanted, format!("{} is new", self.ca.display()))
            }
        };
        self.make_leaf(&ca, &wanted, purpose.now)?;
        let (path, why) = (escape::path(&self.certificate), escape::line(&why));
        log::info!("{path}: made the device's certificate: {why}");
        match self.find(purpose)? {
            Found::Good(identity, wanted, notes) => {
                self.report(&wanted, &notes);
                Ok(Served::good(identity, &wanted))
            }
            Found::Leaf { why, .. } => Err(fault(&self.certificate, DeviceFault::Make(why))),
            Found::NoCa(_) => Err(fault(&self.ca, DeviceFault::CaGone)),
        }
    }

    fn find(&self, purpose: &Purpose<'_>) -> Result<Found, Error> {
        let certificate = read(&self.certificate)?;
        let ca = match (read(&self.ca)?, read(&self.ca_key)?) {
            (Some(certificate), Some(key)) => {
                Ca::read(&certificate, &key).map_err(|unusable| match unusable {
                    CaFault::Certificate(what) => fault(&self.ca, DeviceFault::CaUnusable(what)),
                    CaFault::Key(what) => fault(&self.ca_key, DeviceFault::CaUnusable(what)),
                })?
            }
            (None, None) => return Ok(Found::NoCa(None)),
            (Some(_), None) => return Err(fault(&self.ca_key, DeviceFault::CaKeyMissing)),
            (None, Some(_)) if certificate.is_some() => return Err(fault(&self.ca, DeviceFault::CaMissing)),
            (None, Some(key)) => {
                let unusable = || fault(&self.ca_key, DeviceFault::CaUnusable("is damaged"));
                return Ok(Found::NoCa(Some(Key::read(&key).ok_or_else(unusable)?)));
            }
        };
        let wanted = self.wanted(&ca, purpose)?;
        Ok(match self.check_leaf(&ca, &wanted, certificate, purpose)? {
            (Some(identity), None) => Found::Good(identity, wanted, CaNotes::of(&ca, purpose.now)),
            (usable, why) => Found::Leaf { ca: Box::new(ca), wanted, why: why.unwrap_or_default(), usable },
        })
    }

    /// Whether [`ensure`](State::ensure) could do its work, as far as reading tells, and clients would accept it.
    #[cfg(feature = "check")]
    pub(super) fn inspect(&self, purpose: &Purpose<'_>) -> Result<(), Error> {
        let over = match self.find(purpose)? {
            Found::Good(_, _, notes) => notes.over,
            Found::Leaf { ca, .. } => {
                self.may_be_replaced()?;
                CaNotes::of(&ca, purpose.now).over
            }
            Found::NoCa(_) => {
                self.may_be_replaced()?;
                None
            }
        };
        over.map_or(Ok(()), |over| Err(fault(&self.ca, over)))
    }

    /// Refuses when files of somebody else have the names of the leaf and its key.
    fn may_be_replaced(&self) -> Result<(), Error> {
        for path in [&self.certificate, &self.key] {
            if !is_ours(path, MARK)? {
                return Err(fault(path, DeviceFault::NotOurs));
            }
        }
        Ok(())
    }

    /// The leaf, if it can be used, and the reason to replace it, if there is one. A leaf that is not valid by this clock gives
    /// both: it is better than none when no other can be made.
    fn check_leaf(
        &self,
        ca: &Ca,
        wanted: &Wanted,
        certificate: Option<Zeroizing<Vec<u8>>>,
        purpose: &Purpose<'_>,
    ) -> Result<(Option<Identity>, Option<String>), Error> {
        let missing = |path: &Path| Ok((None, Some(format!("{} is not there", path.display()))));
        let Some(certificate) = certificate else { return missing(&self.certificate) };
        let Some(key) = read(&self.key)? else { return missing(&self.key) };
        let now = making::lifetime_in(&certificate).map_or(purpose.now, |life| within(life, purpose.now));
        let loaded = Identity::of_contents((&self.certificate, &certificate), (&self.key, &key), now);
        let identity = match loaded {
            Ok(identity) => identity,
            Err(error) => return Ok((None, Some(error.to_string()))),
        };
        if let Err(error) = is_signed_by(&identity, ca, purpose.now) {
            return Ok((
                None,
                Some(format!("{} has not signed it as it should be ({error})", self.ca.display())),
            ));
        }
        // An identity has a certificate.
        let leaf = identity.certified_key().cert[0].clone();
        let has_all = Certificate::read(leaf).is_ok_and(|leaf| {
            let addresses = leaf.ip_addresses().iter().map(ToString::to_string);
            wanted.is_covered_by(&leaf.dns_names().iter().cloned().chain(addresses).collect::<Vec<_>>())
        });
        let why = if has_all {
            let due = clock::is_due(lifetime(&identity), ca.lifetime(), purpose.now, purpose.running);
            due.map(String::from)
        } else {
            Some(format!("its names are to be {}", wanted.names.join(", ")))
        };
        Ok((Some(identity), why))
    }

    fn wanted(&self, ca: &Ca, purpose: &Purpose<'_>) -> Result<Wanted, Error> {
        Wanted::within(ca.scope(), purpose.given, purpose.machine).map_err(|name| {
            let permitted = ca.scope().to_string();
            fault(&self.ca, DeviceFault::OutsideOfCa { name, permitted })
        })
    }

    /// Creates only the directory itself: when its parent is missing, a disk is probably not mounted.
    fn make_directory(&self) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(fault(&self.dir, DeviceFault::Io(error)))
            }
            _ => Ok(()),
        }
    }

    fn make_ca(&self, purpose: &Purpose<'_>, key: Option<Key>) -> Result<Ca, Error> {
        let scope = names::scope(purpose.given, purpose.machine);
        // Checked before any file is written that would have to be removed again.
        if let Some(name) = names::outside(&scope, purpose.given).first() {
            let fault = format!(
                "{name} is of one label, and a CA for it alone cannot be for names below it too; take it out, or those below it"
            );
            return Err(Error::Setting { setting: "name", fault });
        }
        let key = match key {
            Some(key) => key,
            None => {
                let key = Key::make().map_err(|error| self.cannot_make(&error))?;
                self.write(&self.ca_key, key.pem().as_bytes(), 0o600)?;
                key
            }
        };
        let title = format!("{} device CA", names::title(purpose.machine));
        let ca = Ca::make(&title, &scope, clock::of_ca(purpose.now), key);
        let ca = ca.map_err(|error| self.cannot_make(&error))?;
        self.write(&self.ca, ca.pem().as_bytes(), 0o644)?;
        let path = escape::path(&self.ca);
        if self.certificate.exists() {
            log::warn!("{path}: made a new device CA ({}): clients that trusted the former one refuse this device until they trust this one", ca.name());
        } else {
            log::info!("{path}: made the device's CA ({}), for clients to trust", ca.name());
        }
        Ok(ca)
    }

    /// Makes the leaf with the existing key, so that a renewal replaces one file, atomically. A key that cannot be used is
    /// replaced.
    fn make_leaf(&self, ca: &Ca, wanted: &Wanted, now: i64) -> Result<(), Error> {
        self.may_be_replaced()?;
        let key = match read(&self.key)?.and_then(|pem| Key::read(&pem)) {
            Some(key) => key,
            None => {
                let key = Key::make().map_err(|error| self.cannot_make(&error))?;
                let contents = Zeroizing::new([MARK, key.pem().as_bytes()].concat());
                self.write(&self.key, &contents, 0o600)?;
                key
            }
        };
        let doubt = match Clock::at(now, ca.lifetime()) {
            Clock::Plausible => None,
            Clock::Early => Some("cannot be right"),
            Clock::Late => Some("is beyond the end of the device's CA"),
        };
        if let Some(doubt) = doubt {
            log::warn!(
                "this machine's clock says {}, which {doubt}: the device's certificate is a provisional one, which some clients \
                 refuse; set the clock, and it gets another",
                iso8601_of(now)
            );
        }
        let leaf = ca.issue(&wanted.names, clock::of_leaf(now, ca.lifetime()), &key);
        let leaf = leaf.map_err(|error| self.cannot_make(&error))?;
        self.write(&self.certificate, &[MARK, leaf.as_bytes()].concat(), 0o644)
    }

    /// Writes a file atomically, and waits until it is on the disk.
    fn write(&self, path: &Path, contents: &[u8], mode: u32) -> Result<(), Error> {
        Draft::remove_left_over(path, DRAFT)?;
        Draft::write(path, contents, DRAFT, mode)?.put_in_place()?;
        sync_directory(&self.dir)?;
        Ok(())
    }

    /// Logs faults that do not keep the device from serving.
    fn report(&self, wanted: &Wanted, notes: &CaNotes) {
        if let Some(over) = &notes.over {
            log::error!(
                "{}: served all the same, though clients with this clock refuse it: {over}",
                escape::path(&self.ca)
            );
        }
        if let Some(excess) = &notes.excess {
            log::warn!(
                "{}: this CA is of an earlier version and may sign for more than one that is made today: {excess}; it stays, as \
                 clients trust it; a narrower one is made when ca.pem and ca-key.pem are moved away, and every client has to be \
                 told to trust it",
                escape::path(&self.ca)
            );
        }
        for key in [&self.ca_key, &self.key] {
            file::report_mode(key);
        }
        if let Some(warning) = open_to_others(&self.dir) {
            log::warn!("{warning}");
        }
        let mut left: &[LeftOut] = &wanted.left_out;
        // Names with the same reason are logged together.
        while let Some(first) = left.first() {
            let (same, others) = left.split_at(left.iter().take_while(|one| one.why == first.why).count());
            let names: Vec<&str> = same.iter().take(MOST_NAMED).map(|one| &*one.name).collect();
            let more = same.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names = names.join(", ");
            log::warn!("the device's certificate is not for {}{more}: {}", escape::line(&names), first.why);
            left = others;
        }
    }

    fn report_contest(&self, kept: &Served) {
        if !kept.is_contested {
            log::warn!(
                "{}: another process has put a certificate for other names here; this one keeps its own for {}: give both the \
                 same names, or each a state directory of its own",
                escape::path(&self.certificate),
                escape::line(&kept.names.join(", "))
            );
        }
    }

    fn cannot_make(&self, error: &MakeError) -> Error {
        fault(&self.dir, DeviceFault::Make(error.to_string()))
    }
}

/// Whether the CA has signed the leaf. This machine's clock does not matter.
fn is_signed_by(identity: &Identity, ca: &Ca, now: i64) -> Result<(), webpki::Error> {
    // An identity has a certificate.
    ca.check_leaf(&identity.certified_key().cert[0], within(lifetime(identity), now))
}

/// The time within this lifetime that is nearest to `now`.
fn within(life: Lifetime, now: i64) -> i64 {
    now.min(life.not_after).max(life.not_before)
}

fn lifetime(identity: &Identity) -> Lifetime {
    Lifetime { not_before: identity.validity().not_before, not_after: identity.validity().not_after }
}

/// While it exists, no other process writes to the directory. Its file stays; the system releases the lock when the process
/// ends, however it ends.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(path: &Path) -> Result<Lock, Error> {
        let file = regular_file::open_lock(path).map_err(|error| fault(path, DeviceFault::Io(error)))?;
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            match try_lock(&file) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(fault(path, DeviceFault::Io(error)));
                }
                Err(_) if Instant::now() > until => return Err(fault(path, DeviceFault::Busy)),
                Err(_) => std::thread::sleep(WAIT),
            }
        }
    }
}

fn try_lock(file: &File) -> io::Result<()> {
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// A warning if others than its owner may replace the files in a directory.
fn open_to_others(dir: &Path) -> Option<String> {
    let mode = fs::metadata(dir).ok()?.permissions().mode() & 0o7777;
    (mode & 0o022 != 0).then(|| {
        format!(
            "{}: others than its owner may exchange the device's keys in it (mode {mode:04o}); run: chmod 700 {}",
            escape::path(dir),
            shell_word(dir)
        )
    })
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    match file::read(path) {
        // The file may be a key, so the bytes are cleared afterwards.
        Ok(contents) => Ok(Some(Zeroizing::new(contents))),
        Err(Error::Identity { fault: IdentityFault::Missing, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn fault(path: &Path, fault: DeviceFault) -> Error {
    Error::Device { path: path.to_path_buf(), fault }
}

impl From<FileError> for Error {
    fn from(FileError { path, source }: FileError) -> Error {
        Error::Device { path, fault: DeviceFault::Io(source) }
    }
}

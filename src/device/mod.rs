//! The device identity: a CA of the device's own, and a certificate that it signs and renews by itself.
//!
//! Programs use [`Device`]. Its modules: `state` manages the directory, `making` makes CAs and certificates, `scope` holds what
//! a CA may sign for, `names` what a certificate is for, `machine` reads the machine's name and addresses, `clock` judges its
//! clock, and `draft` writes files atomically. Knows rcgen, files and the machine; nothing of servers. A running server calls
//! it through [`IdentitySource`].

pub(crate) mod draft;
pub(crate) mod making;
pub(crate) mod scope;

mod clock;
mod fault;
mod identity;
mod machine;
mod names;
mod state;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use fault::DeviceFault;

use self::machine::Machine;
use self::names::{Name, MOST_NAMES};
use self::state::{Purpose, Served, State};
use crate::calendar::unix_now;
use crate::error::{Error, IdentityFault};
use crate::tls::{file, Certificate, Identity, IdentitySource};

/// How often the machine's addresses are checked, because they change without notice.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often they are checked soon after the start, and a wrong clock always. A device often starts its server before it has
/// its network, and before its clock is set.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(10);
/// How long that is. By then networks are up.
const SOON: Duration = clock::PATIENCE;

/// A device's own certificate authority (CA), and a certificate for the device that it signs. It gives HTTPS from the first
/// boot on, without an authority elsewhere.
///
/// ```no_run
/// use lockgate::{Device, Identity};
///
/// let device = Device::new("/var/lib/gateway").name("gateway.example");
/// let identity = Identity::from_source(device)?;
/// # Ok::<(), lockgate::Error>(())
/// ```
///
/// # The CA
///
/// Made on the first start, with a name unique to it (`HOST device CA 16 hexadecimal digits`), an ECDSA P-256 key and a
/// lifetime from 1970 to 20 years after it was made. People install it on each client once: [`Device::ca`]. It signs for TLS
/// servers only (extendedKeyUsage serverAuth, RFC 5280 §4.2.1.12), and only (name constraints, RFC 5280 §4.2.1.10) for
/// `localhost`, `.local`, the host name and the [names](Device::name) of that moment, each with what is below it, or alone when
/// it is of one label; for private networks (RFC 1918, RFC 6598, RFC 3927, RFC 4193, the loopback and link-local); and for the
/// public addresses that the machine has at that moment (IPv6: their /64). lockgate never replaces it: a damaged or incomplete
/// CA is an error that says what can be done. A CA of an earlier version, which may sign for more, is used with a warning.
///
/// # The certificate
///
/// The certificate has an ECDSA P-256 key and lasts 90 days, backdated by a day. It is for the [names](Device::name), the host
/// name, `HOST.local`, `localhost`, 127.0.0.1, ::1, and the addresses that the machine's interfaces have, 64 at most; on Linux
/// without IPv6 addresses that are temporary (RFC 8981), deprecated or not found to be unique yet (RFC 4862). A running server
/// renews it at two thirds of its life, and within a minute when there is a new name or address, or a name has gone; in the
/// first 10 min after the start within 10 s. When an address has gone, the certificate stays until then. Names and addresses of the machine that the certificate cannot hold (a
/// host name like `Günter-PC`, or one that the CA may not sign for) are left out, with a warning that says why and what to do.
/// The key stays the same; remove `key.pem` to have another made.
///
/// While the clock is before the day this program was built (`SOURCE_DATE_EPOCH` of the build, if given), an existing
/// certificate is kept for 10 min, because by then clocks that can be set are set. Without a certificate, and after that time,
/// the device makes a provisional one, valid from 1970 to the CA's end. It makes another one within 10 s after the clock is
/// set. Apple's clients refuse a provisional certificate, because they accept at most 825 days. When the clock is after the
/// CA's end, the device makes a provisional certificate too, with an error in the log and in [`Health`](crate::Health): clients
/// that know the time accept it.
///
/// # The state directory
///
/// It holds `ca.pem`, `ca-key.pem`, `cert.pem`, `key.pem` and `lock`. lockgate creates it with mode 0700 if only its parent
/// exists; the keys have mode 0600. Files are replaced atomically, so a power cut at any moment does no harm. Several processes
/// with the same names may share the directory; processes with different names each keep their own certificate, and the log
/// says so. When the directory becomes read-only, the existing certificate is used, valid or not, with errors in the log. A
/// person who can read `ca-key.pem` can pose as every name above to clients of this CA: keep it out of backups that others can
/// read.
#[derive(Debug)]
pub struct Device {
    dir: PathBuf,
    names: Vec<String>,
    /// The identity that `load` returned last, with the names it is for.
    served: Mutex<Option<Served>>,
    /// The machine's addresses at the last call.
    addresses: Mutex<Vec<IpAddr>>,
    /// When this process started to use it.
    begun: Instant,
}

impl Device {
    /// The device identity in this directory. Nothing is read or made before the identity is loaded.
    pub fn new(state_dir: impl Into<PathBuf>) -> Device {
        Device {
            dir: state_dir.into(),
            names: Vec::new(),
            served: Mutex::default(),
            addresses: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// Adds a name or IP address by which clients call the device; 32 at most. Defaults to none. Underscores are accepted, and
    /// so is a wildcard for one label (`*.gate.example`, RFC 9525 §6.3). Give internationalized names in their `xn--` form. The
    /// first name given is the certificate's first name.
    ///
    /// Loading the identity fails when the CA was made without this name and may not sign for it.
    pub fn name(mut self, name: impl Into<String>) -> Device {
        self.names.push(name.into());
        self
    }

    /// The CA's certificate, for clients to trust: [`Certificate::to_pem`], [`Certificate::fingerprint`].
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when there is no CA yet or it is damaged, [`Error::Identity`] when its certificate cannot be read.
    pub fn ca(&self) -> Result<Certificate, Error> {
        let path = State::of(&self.dir).ca;
        let fault = |fault| Error::Device { path: path.clone(), fault };
        let pem = match file::read(&path) {
            Err(Error::Identity { fault: IdentityFault::Missing, .. }) => {
                return Err(fault(DeviceFault::NoCa))
            }
            other => other?,
        };
        making::read_ca(&pem).map_err(|what| fault(DeviceFault::CaUnusable(what)))
    }

    /// Whether a server could start with it at `now`, as far as reading tells. Nothing is made or written.
    #[cfg(feature = "check")]
    pub(crate) fn inspect(&self, now: i64) -> Result<(), Error> {
        let given = self.given()?;
        let (machine, _) = Machine::now(&[]);
        let purpose = Purpose { given: &given, machine: &machine, now, running: Duration::ZERO };
        State::of(&self.dir).inspect(&purpose)
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        &self.dir
    }

    fn given(&self) -> Result<Vec<Name>, Error> {
        let wrong = |fault| Error::Setting { setting: "name", fault };
        if self.names.len() > MOST_NAMES {
            let number = self.names.len();
            return Err(wrong(format!("there are {number} names; give {MOST_NAMES} at most")));
        }
        self.names.iter().map(|name| Name::parse(name).map_err(wrong)).collect()
    }

    /// As [`load`](IdentitySource::load), on this machine at this time.
    fn load_at(&self, machine: &Machine, now: i64) -> Result<Identity, Error> {
        self.load_after(self.begun.elapsed(), machine, now)
    }

    /// As [`load_at`](Device::load_at), in a process that has been up for `running`.
    fn load_after(&self, running: Duration, machine: &Machine, now: i64) -> Result<Identity, Error> {
        let given = self.given()?;
        let before = self.served().clone();
        let purpose = Purpose { given: &given, machine, now, running };
        let served = State::of(&self.dir).ensure(&purpose, before.as_ref())?;
        let identity = served.identity.clone();
        *self.served() = Some(served);
        Ok(identity)
    }

    fn served(&self) -> MutexGuard<'_, Option<Served>> {
        // A panic leaves a whole value behind, because the value is replaced as a whole.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdentitySource for Device {
    fn load(&self) -> Result<Identity, Error> {
        // A panic while the lock is held leaves either the old or the new addresses.
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (machine, error) = Machine::now(&addresses);
        addresses.clone_from(&machine.addresses);
        drop(addresses);
        match error {
            // The service may not be permitted to read them, or the process has no free descriptors.
            Some(error) if self.served().is_none() => {
                log::error!("the device's certificate is not for its addresses, which the system does not tell: {error}");
            }
            Some(error) => log::debug!("the machine's addresses are taken to be as before: {error}"),
            None => {}
        }
        self.load_at(&machine, unix_now())
    }

    fn files(&self) -> Vec<PathBuf> {
        let State { ca, ca_key, certificate, key, .. } = State::of(&self.dir);
        vec![ca, ca_key, certificate, key]
    }

    fn look_again(&self, current: &Identity, _now: SystemTime) -> Option<Duration> {
        Some(look_again_after(self.begun.elapsed(), current))
    }
}

/// When to check again, in a process that has been up for `running`.
fn look_again_after(running: Duration, current: &Identity) -> Duration {
    let provisional = clock::is_provisional(current.validity().not_before);
    if provisional || running < SOON {
        LOOK_AGAIN_SOON
    } else {
        LOOK_AGAIN
    }
}

#[cfg(test)]
mod ca_tests;
#[cfg(test)]
mod leaf_tests;
#[cfg(test)]
mod tests;

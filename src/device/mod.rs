//! The device identity: a CA of the device's own, and a certificate that it signs and renews by itself.
//!
//! An embedding program meets [`Device`]. The rooms below: `state` keeps the directory, `making` makes CAs and
//! certificates, `scope` is what a CA may sign for, `names` what a certificate is for,
//! `machine` what the machine is called and which addresses it has, `clock` how far its clock is believed, `draft` how a
//! file is written whole. Knows rcgen, files and the machine; nothing of servers. A running server asks it
//! through [`IdentitySource`].

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

/// Addresses change without notice, so they are looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A clock that is wrong is set soon, or never.
const LOOK_AGAIN_AT_THE_CLOCK: Duration = Duration::from_secs(10);

/// A certificate authority of the device's own, and a certificate for the device that it signs: HTTPS from the first boot
/// on, without an authority elsewhere.
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
/// lifetime from 1970 to 20 years after it was made. Clients are told to trust it once: [`Device::ca`]. It signs for TLS servers
/// only (extendedKeyUsage serverAuth, RFC 5280 §4.2.1.12), and only (name constraints, RFC 5280 §4.2.1.10) for `localhost`,
/// `.local`, the host name and the [names](Device::name) of that moment, each with what is below it, or alone when it is of one
/// label; for private networks (RFC 1918, RFC 6598, RFC 3927, RFC 4193, the loopback and link-local); and for the public
/// addresses that the machine has at that moment (IPv6: their /64). It is never replaced by itself: damaged or incomplete
/// it is an error that says what can be done. One of an earlier version, which may sign for more, goes on with a
/// warning.
///
/// # The certificate
///
/// ECDSA P-256, for 90 days, backdated by a day. It is for the [names](Device::name), the host name, `HOST.local`,
/// `localhost`, 127.0.0.1, ::1, and the addresses that the machine's interfaces have, 64 at most; on Linux without IPv6
/// addresses that are temporary (RFC 8981), deprecated or not found to be unique yet (RFC 4862). A server that runs renews
/// it at two thirds of its life, and within a minute when there is another name or a new address, or a name has gone. An
/// address that has gone leaves it as it is until then. What the machine has and the
/// certificate cannot be for (a host name like `Günter-PC`, what the CA may not sign for) is left out, with a warning that says
/// why and what to do. Its key stays the same; remove `key.pem` to have another made.
///
/// While the clock stands before the day this program was built (`SOURCE_DATE_EPOCH` of the build, if given), the certificate
/// that is there is kept for 10 min, since clocks that can be set are set by then. When there is none, and after that time, it
/// gets a provisional one, from 1970 to the CA's end, and 10 s after the clock was set another. Apple's clients refuse a
/// provisional one, because they accept no more than 825 days. A clock beyond the CA's end gets a provisional one too, with an
/// error in the log and in [`Health`](crate::Health): clients that know the time accept it.
///
/// # The state directory
///
/// Holds `ca.pem`, `ca-key.pem`, `cert.pem`, `key.pem` and `lock`. Made with mode 0700 when it is not there, if its parent
/// is; the keys have mode 0600. Files are replaced whole, so a power cut at any moment does no harm, and several processes
/// with the same names may share it; with other names each keeps its own certificate, and the log says so. When it can no
/// longer be written to, the certificate there is used, valid or not, with errors in the log. A person that can read `ca-key.pem` can pose as
/// every device name above towards clients of this CA: keep it out of backups that others can read.
#[derive(Debug)]
pub struct Device {
    dir: PathBuf,
    names: Vec<String>,
    /// What it has given.
    served: Mutex<Option<Served>>,
    /// Those that the machine had when it was last asked.
    addresses: Mutex<Vec<IpAddr>>,
    /// When this process began with it.
    begun: Instant,
}

impl Device {
    /// The device identity that is kept in this directory. Nothing is read or made before it is loaded.
    pub fn new(state_dir: impl Into<PathBuf>) -> Device {
        Device {
            dir: state_dir.into(),
            names: Vec::new(),
            served: Mutex::default(),
            addresses: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// A further name or IP address that clients call the device by; 32 at most. Defaults to none. Underscores are accepted,
    /// and so is a wildcard for one label (`*.gate.example`, RFC 9525 §6.3); internationalized names are given in their `xn--`
    /// form. The certificate's first name is the first one given.
    ///
    /// A name that the CA may not sign for, because it was made without it, is an error when the identity is loaded.
    pub fn name(mut self, name: impl Into<String>) -> Device {
        self.names.push(name.into());
        self
    }

    /// The CA's certificate, for clients to trust: [`Certificate::to_pem`], [`Certificate::fingerprint`].
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when there is none yet or it is damaged, [`Error::Identity`] when it cannot be read.
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

    /// Whether a server could begin with it at `now`, as far as reading tells. Nothing is made or written.
    #[cfg(feature = "check")]
    pub(crate) fn inspect(&self, now: i64) -> Result<(), Error> {
        let given = self.given()?;
        let (machine, _) = Machine::now(&[]);
        let purpose = Purpose { given: &given, machine: &machine, now, running: Duration::ZERO };
        State::of(&self.dir).inspect(&purpose)
    }

    /// The directory that it is kept in.
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

    /// The same when this process has been up for so long.
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
        // It is exchanged as a whole.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdentitySource for Device {
    fn load(&self) -> Result<Identity, Error> {
        // A panic while it is held leaves addresses behind, old or new.
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (machine, error) = Machine::now(&addresses);
        addresses.clone_from(&machine.addresses);
        drop(addresses);
        match error {
            // Not permitted, as a service may be kept from asking; or out of descriptors.
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
        let provisional = clock::is_provisional(current.validity().not_before);
        Some(if provisional { LOOK_AGAIN_AT_THE_CLOCK } else { LOOK_AGAIN })
    }
}

#[cfg(test)]
mod ca_tests;
#[cfg(test)]
mod tests;

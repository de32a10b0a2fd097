//! The identity source for a server's renewal: the certificate that the agent has stored in the state directory, or the device
//! identity while there is none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::agent::Agent;
use super::config::Acme;
use super::held;
use crate::calendar::unix_now;
use crate::device::{Device, DeviceFault};
use crate::error::{Error, IdentityFault};
use crate::tls::{file, load, Identity, IdentitySource};

impl Identity {
    /// A certificate from an authority. A server that starts with this identity obtains and renews the certificate by itself,
    /// on a separate thread, until it stops. If [`Handle::replace_identity`](crate::Handle::replace_identity) puts it into a
    /// running server, it is only served. While there is no certificate yet, the [device identity](Identity::device) in the
    /// same state directory is served.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for invalid settings of [`Acme`](crate::Acme), [`Error::Identity`] for a file of roots that cannot be
    /// used, and the errors of the device identity.
    pub fn acme(acme: crate::Acme) -> Result<Identity, Error> {
        let agent = Arc::new(Agent::new(&acme)?);
        let source = AcmeSource::new(agent.state().certificate_file(), &acme);
        Ok(Identity::from_source(source)?.with_agent(agent))
    }
}

struct AcmeSource {
    certificate: PathBuf,
    device: Device,
    /// The device without the ordered names, for a CA that may not sign for them.
    nameless: Device,
    given: Mutex<Given>,
}

/// The identity that was returned last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Device,
    NamelessDevice,
    Certificate,
}

/// See [`Device::name`].
const MOST_DEVICE_NAMES: usize = 32;

/// The device with the ordered names, as many as a device may have.
fn device(acme: &Acme) -> Device {
    let device = Device::new(&acme.state_dir);
    acme.names.iter().take(MOST_DEVICE_NAMES).fold(device, |device, name| device.name(name))
}

impl IdentitySource for AcmeSource {
    fn load(&self) -> Result<Identity, Error> {
        // A panic while the lock is held leaves a whole value.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let now = unix_now();
        let loaded = load::load_files(&self.certificate, &self.certificate, now);
        // It must be valid, because the device identity can be served instead.
        let fault = match loaded.and_then(|identity| identity.valid_at(now)) {
            Ok(identity) => {
                *given = Given::Certificate;
                return Ok(identity);
            }
            Err(fault) => fault,
        };
        if let Some(identity) = self.ahead_of_the_clock(&fault) {
            if *given != Given::Certificate {
                log::error!("served all the same, as an authority has issued it: {fault}");
            }
            *given = Given::Certificate;
            return Ok(identity);
        }
        // Clients that trust the authority can continue with the earlier certificate. They may not trust the device's own.
        if *given == Given::Certificate {
            return Err(fault);
        }
        let (identity, now) = self.device(*given)?;
        match &fault {
            _ if *given == now => {}
            Error::Identity { fault: IdentityFault::Missing, .. } => log::warn!(
                "there is no certificate from the authority yet: the device identity is served, which only those accept who \
                 trust its CA"
            ),
            fault => log::warn!("the device identity is served: {fault}"),
        }
        *given = now;
        Ok(identity)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.device.files();
        files.push(self.certificate.clone());
        files
    }

    fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        let given = *self.given.lock().unwrap_or_else(PoisonError::into_inner);
        (given != Given::Certificate).then(|| self.device.look_again(current, now)).flatten()
    }
}

impl AcmeSource {
    fn new(certificate: PathBuf, acme: &Acme) -> AcmeSource {
        let (device, nameless) = (device(acme), Device::new(&acme.state_dir));
        AcmeSource { certificate, device, nameless, given: Mutex::new(Given::Nothing) }
    }

    /// The stored certificate, if only the clock is against it: see [`held::read`].
    fn ahead_of_the_clock(&self, fault: &Error) -> Option<Identity> {
        let Error::Identity { fault: IdentityFault::NotYetValid { .. }, .. } = fault else { return None };
        let file = Zeroizing::new(file::read(&self.certificate).ok()?);
        held::read(&self.certificate, &file, None).ok().map(|found| found.identity)
    }

    /// A CA that was made for other names does not sign for these, and for some names no CA can be made. A certificate for the
    /// remaining names is better than none.
    fn device(&self, given: Given) -> Result<(Identity, Given), Error> {
        match self.device.load() {
            Err(
                fault
                @ (Error::Device { fault: DeviceFault::OutsideOfCa { .. }, .. } | Error::Setting { .. }),
            ) => {
                if given != Given::NamelessDevice {
                    log::warn!("the device identity is not for the names that are wanted: {fault}");
                }
                Ok((self.nameless.load()?, Given::NamelessDevice))
            }
            loaded => Ok((loaded?, Given::Device)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn once_the_certificate_was_served_nothing_that_happens_to_its_file_brings_the_device_identity_back() {
        let dir = TempDir::new().unwrap();
        let acme = Acme::new("letsencrypt", dir.path()).name("a.example");
        let file = dir.path().join("certificate.pem");
        let source = AcmeSource::new(file.clone(), &acme);
        let device = source.load().unwrap();
        assert!(device.is_valid_for("localhost"));
        assert!(source.look_again(&device, SystemTime::now()).is_some());
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_string()]).unwrap();
        fs::write(&file, made.signing_key.serialize_pem() + &made.cert.pem()).unwrap();
        let certificate = source.load().unwrap();
        assert!(!certificate.is_valid_for("localhost") && certificate.is_valid_for("a.example"));
        assert!(source.look_again(&certificate, SystemTime::now()).is_none());
        fs::write(&file, "damaged").unwrap();
        assert!(source.load().is_err());
        fs::remove_file(&file).unwrap();
        assert!(source.load().is_err());
        // A server that starts then has no better certificate.
        assert!(AcmeSource::new(file, &acme).load().unwrap().is_valid_for("localhost"));
    }

    #[test]
    fn names_that_no_device_can_have_keep_no_server_from_starting() {
        let dir = TempDir::new().unwrap();
        let acme = Acme::new("letsencrypt", dir.path()).name("lan").name("gate.lan");
        let source = AcmeSource::new(dir.path().join("certificate.pem"), &acme);
        assert!(source.load().unwrap().is_valid_for("localhost"));
    }

    /// The certificate by a clock in 1970, or a day late.
    #[test]
    fn a_certificate_that_is_ahead_of_the_clock_is_served_and_one_that_is_over_is_not() {
        let day = Duration::from_secs(86_400);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for (begin, end, is_served) in [
            (now + day, now + day * 90, true),
            (now - day, now + day, true),
            (now - day * 2, now - day, false),
        ] {
            let dir = TempDir::new().unwrap();
            let acme = Acme::new("letsencrypt", dir.path()).name("a.example");
            let file = dir.path().join("certificate.pem");
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_string()]).unwrap();
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            (params.not_before, params.not_after) = (epoch + begin, epoch + end);
            fs::write(&file, key.serialize_pem() + &params.self_signed(&key).unwrap().pem()).unwrap();
            let source = AcmeSource::new(file.clone(), &acme);
            for _ in 0..2 {
                assert_eq!(!source.load().unwrap().is_valid_for("localhost"), is_served, "{begin:?}");
            }
            // What is damaged is told from it.
            fs::write(&file, "damaged").unwrap();
            assert!(AcmeSource::new(file, &acme).load().unwrap().is_valid_for("localhost"));
        }
    }
}

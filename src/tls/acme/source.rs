//! What the server's keeper asks: the certificate that the agent has put into the state directory, and while there is none
//! the device identity.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::agent::Agent;
use super::Acme;
use crate::error::{Error, IdentityFault};
use crate::tls::device::{Device, DeviceFault};
use crate::tls::source::{IdentitySource, Origin};
use crate::tls::Identity;

/// An identity whose certificate the agent, which it carries, obtains and renews.
pub(in crate::tls) fn identity(acme: &Acme) -> Result<Identity, Error> {
    let agent = Arc::new(Agent::new(acme)?);
    let source = AcmeSource {
        certificate: agent.state().certificate_file(),
        device: device(acme),
        is_device: AtomicBool::new(false),
    };
    Ok(Origin::ask(Arc::new(source))?.with_agent(Some(agent)))
}

struct AcmeSource {
    certificate: PathBuf,
    device: Device,
    /// Whether the device identity is what was given last.
    is_device: AtomicBool,
}

/// See [`Device::name`].
const MOST_DEVICE_NAMES: usize = 32;

/// With the names that are wanted, as many as a device may have.
fn device(acme: &Acme) -> Device {
    let device = Device::new(&acme.state_dir);
    acme.names.iter().take(MOST_DEVICE_NAMES).fold(device, |device, name| device.name(name))
}

impl IdentitySource for AcmeSource {
    fn load(&self) -> Result<Identity, Error> {
        let fault = match Identity::load_files(&self.certificate, &self.certificate) {
            Ok(identity) => {
                self.is_device.store(false, Ordering::Relaxed);
                return Ok(identity);
            }
            Err(fault) => fault,
        };
        let identity = self.device()?;
        let was_device = self.is_device.swap(true, Ordering::Relaxed);
        match &fault {
            Error::Identity { fault: IdentityFault::Missing, .. } if was_device => {}
            Error::Identity { fault: IdentityFault::Missing, .. } => log::warn!(
                "there is no certificate from the authority yet: the device identity is served, which only those accept who \
                 trust its CA"
            ),
            fault => log::warn!("the device identity is served: {fault}"),
        }
        Ok(identity)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.device.files();
        files.push(self.certificate.clone());
        files
    }

    fn look_again(&self, current: &Identity, now: SystemTime) -> Option<Duration> {
        self.is_device.load(Ordering::Relaxed).then(|| self.device.look_again(current, now)).flatten()
    }
}

impl AcmeSource {
    /// A CA that was made when other names were wanted does not vouch for these; a certificate for what it vouches for is
    /// better than none.
    fn device(&self) -> Result<Identity, Error> {
        match self.device.load() {
            Err(fault @ Error::Device { fault: DeviceFault::OutsideOfCa { .. }, .. }) => {
                log::warn!("the device identity is not for the names that are wanted: {fault}");
                Device::new(self.device.state_dir()).load()
            }
            loaded => loaded,
        }
    }
}

//! What this machine is called, and which addresses it has at the moment.
//!
//! Asks the operating system, and judges nothing. Called by `names`.

use std::net::IpAddr;

/// A machine as others on its network may call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// As it is set, in whatever form; empty when it is not.
    pub(super) host_name: String,
    /// Without those of the loopback.
    pub(super) addresses: Vec<IpAddr>,
}

impl Machine {
    pub(super) fn now() -> Machine {
        let addresses = match if_addrs::get_if_addrs() {
            Ok(interfaces) => interfaces.iter().map(if_addrs::Interface::ip).filter(is_its_own).collect(),
            Err(error) => {
                log::error!(
                    "this machine's addresses cannot be found out, the certificate is not for them: {error}"
                );
                Vec::new()
            }
        };
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Machine { host_name, addresses }
    }
}

fn is_its_own(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_asked() {
        let machine = Machine::now();
        assert!(!machine.host_name.is_empty());
        assert!(machine.addresses.iter().all(|address| !address.is_loopback()), "{machine:?}");
    }
}

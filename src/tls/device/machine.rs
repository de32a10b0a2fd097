//! What this machine is called, and which addresses it has at the moment.
//!
//! Asks the operating system, and judges nothing. Called by `names`.

use std::io;
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
    /// `before` are the addresses of the last time, which stand when the system tells none; then also why it does not.
    pub(super) fn now(before: &[IpAddr]) -> (Machine, Option<io::Error>) {
        let (addresses, error) = match if_addrs::get_if_addrs() {
            Ok(interfaces) => {
                (interfaces.iter().map(if_addrs::Interface::ip).filter(is_its_own).collect(), None)
            }
            Err(error) => (before.to_vec(), Some(error)),
        };
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        (Machine { host_name, addresses }, error)
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
        let (machine, error) = Machine::now(&[]);
        assert!(error.is_none(), "{error:?}");
        assert!(!machine.host_name.is_empty());
        assert!(machine.addresses.iter().all(|address| !address.is_loopback()), "{machine:?}");
    }
}

//! What this machine is called, and which addresses it has at the moment.
//!
//! Asks the operating system; leaves out addresses that do not last, and judges nothing else. Called by `names`.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
#[cfg(target_os = "linux")]
use std::{fs::File, io::Read};

/// The names and addresses of a machine on its network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// The host name as it is set, in any form. Empty when it is not set.
    pub(super) host_name: String,
    /// The addresses without loopback, and without IPv6 addresses that do not last: temporary addresses, which change daily
    /// (RFC 8981), deprecated addresses, and addresses not yet known to be unique (RFC 4862 §5.4). Only Linux tells these
    /// apart.
    pub(super) addresses: Vec<IpAddr>,
}

/// How much of the system's table of IPv6 addresses is read: room for 4,000. Addresses beyond it count as lasting.
#[cfg(target_os = "linux")]
const TABLE_BYTES: u64 = 256 * 1024;

/// `IFA_F_TEMPORARY`, `IFA_F_DADFAILED`, `IFA_F_DEPRECATED` and `IFA_F_TENTATIVE` (linux/if_addr.h).
const PASSING: u8 = 0x01 | 0x08 | 0x20 | 0x40;

/// The host name of a Linux on which none was set (`CONFIG_DEFAULT_HOSTNAME`, and what `uname` tells before that).
const NOT_SET: &str = "(none)";

impl Machine {
    /// The machine as it is now. `before` are the addresses of the last call: they are used when the system does not tell its
    /// addresses, and its error is returned too.
    pub(super) fn now(before: &[IpAddr]) -> (Machine, Option<io::Error>) {
        let (addresses, error) = match if_addrs::get_if_addrs() {
            Ok(interfaces) => {
                let passing = passing(&table());
                let lasts = |address: &IpAddr| match address {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(address) => !passing.contains(address),
                };
                let own = interfaces.iter().map(if_addrs::Interface::ip).filter(is_its_own);
                (own.filter(lasts).collect(), None)
            }
            Err(error) => (before.to_vec(), Some(error)),
        };
        let host_name = host_name_of(&rustix::system::uname().nodename().to_string_lossy());
        (Machine { host_name, addresses }, error)
    }
}

/// The host name that the system tells; empty when none was set. Until one is set, Linux says `(none)`, and a firmware that
/// starts its services early, or never sets one, leaves it so.
fn host_name_of(told: &str) -> String {
    if told == NOT_SET {
        String::new()
    } else {
        told.to_string()
    }
}

fn is_its_own(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

/// The system's table of IPv6 addresses; empty where there is none.
#[cfg(target_os = "linux")]
fn table() -> String {
    let mut table = Vec::new();
    match File::open("/proc/net/if_inet6").and_then(|file| file.take(TABLE_BYTES).read_to_end(&mut table)) {
        Ok(_) => String::from_utf8_lossy(&table).into_owned(),
        // There is no IPv6 or no /proc: no table, as on other systems.
        Err(_) => String::new(),
    }
}

#[cfg(not(target_os = "linux"))]
fn table() -> String {
    String::new()
}

/// The addresses in the table that do not last, on all interfaces. A line holds the address, the number of the interface, the
/// length of the prefix, the scope and the flags, all hexadecimal, and the name of the interface.
fn passing(table: &str) -> Vec<Ipv6Addr> {
    let (mut passing, mut lasting) = (Vec::new(), Vec::new());
    for line in table.lines() {
        let mut columns = line.split_ascii_whitespace();
        let address = columns.next().filter(|address| address.len() == 32);
        let flags = columns.nth(3).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        let address = address.and_then(|address| u128::from_str_radix(address, 16).ok());
        match address.map(Ipv6Addr::from).zip(flags) {
            Some((address, flags)) if flags & PASSING != 0 => passing.push(address),
            Some((address, _)) => lasting.push(address),
            None => continue,
        };
    }
    passing.retain(|address| !lasting.contains(address));
    passing
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

    #[test]
    fn a_host_name_that_was_never_set_is_none() {
        for (told, host_name) in [("(none)", ""), ("", ""), ("none", "none"), ("gateway", "gateway")] {
            assert_eq!(host_name_of(told), host_name);
        }
    }

    #[test]
    fn addresses_that_do_not_last_are_told_by_their_flags() {
        let table = "\
fd000000000000000000000000000001 02 40 00 80     eth0
fd000000000000000000000000000002 02 40 00 01     eth0
fd000000000000000000000000000003 02 40 00 20     eth0
fd000000000000000000000000000004 02 40 00 40     eth0
fd000000000000000000000000000005 02 40 00 08     eth0
fd000000000000000000000000000006 02 40 00 a0     eth0
fd000000000000000000000000000007 02 40 00 44     eth0
fd000000000000000000000000000008 02 40 00 02     eth0
20010db8000000000000000000000009 02 40 00 00     eth0
fe800000000000000000000000000001 02 40 20 c0     eth0
fe800000000000000000000000000001 03 40 20 80     eth1
fd00000000000000000000000000000a 02 40 00
fd00 02 40 00 01 eth0
zd000000000000000000000000000001 02 40 00 01     eth0

fd00000000000000000000000000000b 02 40 00 01";
        let expected = ["fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6", "fd00::7", "fd00::b"];
        let expected: Vec<Ipv6Addr> = expected.map(|address| address.parse().unwrap()).into();
        assert_eq!(passing(table), expected);
        for table in ["", "\n\n", "\u{fffd}", &"x".repeat(1000)] {
            assert!(passing(table).is_empty());
        }
    }
}

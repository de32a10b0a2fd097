//! What a CA may vouch for: its name constraints (RFC 5280 §4.2.1.10), to be written into it and read from it again.
//!
//! Knows names and addresses as values. Called by `making`, and by `names` to find out what a CA leaves out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};

use super::super::der::Reader;

const SEQUENCE: u8 = 0x30;
/// `permittedSubtrees [0]`
const PERMITTED: u8 = 0xa0;
/// `dNSName [2]`
const DNS_NAME: u8 = 0x82;
/// `iPAddress [7]`
const IP_ADDRESS: u8 = 0x87;

/// Domains and networks; nothing outside of them is permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Lower case. Each stands for itself and for every name below it.
    pub domains: Vec<String>,
    /// An address and the number of its leading bits that count.
    pub networks: Vec<(IpAddr, u8)>,
}

/// The networks that reach no further than a site: every device's CA may vouch for addresses in them, so a device can
/// move among them.
pub(super) fn private_networks() -> Vec<(IpAddr, u8)> {
    let v4 = |a, b, bits| (IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), bits);
    let v6 = |a, bits| (IpAddr::V6(Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, 0)), bits);
    vec![
        v4(127, 0, 8),
        // RFC 1918.
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        // RFC 3927: what a machine takes when nobody gives it an address.
        v4(169, 254, 16),
        // RFC 6598: between a carrier's customers, and inside virtual private networks.
        v4(100, 64, 10),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        // RFC 4193 and RFC 4291 §2.5.6: unique local and link-local.
        v6(0xfc00, 7),
        v6(0xfe80, 10),
    ]
}

impl Scope {
    /// Whether this DNS name, in lower case, is permitted.
    pub fn permits_name(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| {
            name.strip_suffix(domain.as_str()).is_some_and(|host| host.is_empty() || host.ends_with('.'))
        })
    }

    /// Whether this address is permitted.
    pub fn permits_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|&(network, bits)| is_within(address, network, bits))
    }

    pub(super) fn to_constraints(&self) -> NameConstraints {
        let domains = self.domains.iter().cloned().map(GeneralSubtree::DnsName);
        let networks = self
            .networks
            .iter()
            .map(|&(network, bits)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, bits)));
        NameConstraints {
            permitted_subtrees: domains.chain(networks).collect(),
            excluded_subtrees: Vec::new(),
        }
    }

    /// From the content of a NameConstraints. `None` when it is not of the form that is written here.
    pub(super) fn of_constraints(der: &[u8]) -> Option<Scope> {
        let mut constraints = Reader::new(der);
        let mut subtrees = Reader::new(constraints.expect(PERMITTED).ok()?);
        constraints.end().ok()?;
        let mut scope = Scope::default();
        while subtrees.end().is_err() {
            let mut subtree = Reader::new(subtrees.expect(SEQUENCE).ok()?);
            match subtree.element().ok()? {
                (DNS_NAME, name) => scope.domains.push(std::str::from_utf8(name).ok()?.to_ascii_lowercase()),
                (IP_ADDRESS, network) => scope.networks.push(network_of(network)?),
                _ => return None,
            }
            subtree.end().ok()?;
        }
        Some(scope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains = self.domains.iter().cloned();
        let networks = self.networks.iter().map(|(network, bits)| format!("{network}/{bits}"));
        f.write_str(&domains.chain(networks).collect::<Vec<_>>().join(", "))
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |address: u128, network: u128, width: u32| {
        let rest = width.saturating_sub(u32::from(bits));
        // Of no bits at all, all are the same.
        address.checked_shr(rest) == network.checked_shr(rest)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), Ipv4Addr::BITS),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), Ipv6Addr::BITS),
        _ => false,
    }
}

/// RFC 5280 §4.2.1.10: an address and a mask of the same length.
fn network_of(der: &[u8]) -> Option<(IpAddr, u8)> {
    let (network, ones, mask) = match der.len() {
        8 => {
            let (address, mask) = der.split_at(4);
            let mask = u32::from_be_bytes(mask.try_into().ok()?);
            let address: [u8; 4] = address.try_into().ok()?;
            (IpAddr::from(address), mask.leading_ones(), mask.count_ones())
        }
        32 => {
            let (address, mask) = der.split_at(16);
            let mask = u128::from_be_bytes(mask.try_into().ok()?);
            let address: [u8; 16] = address.try_into().ok()?;
            (IpAddr::from(address), mask.leading_ones(), mask.count_ones())
        }
        _ => return None,
    };
    (ones == mask).then_some((network, u8::try_from(ones).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_stands_for_itself_and_what_is_below_it() {
        let scope = Scope { domains: vec!["local".into(), "gate.example".into()], networks: Vec::new() };
        for name in ["local", "printer.local", "a.b.local", "gate.example", "x.gate.example"] {
            assert!(scope.permits_name(name), "{name}");
        }
        for name in ["notlocal", "example", "a-gate.example", "gate.example.com", ""] {
            assert!(!scope.permits_name(name), "{name}");
        }
    }

    #[test]
    fn the_private_networks_end_where_they_should() {
        let scope = Scope { domains: Vec::new(), networks: private_networks() };
        for address in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.9.9",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
        ] {
            assert!(scope.permits_address(address.parse().unwrap()), "{address}");
        }
        for address in [
            "11.0.0.0",
            "9.255.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.0.1",
            "192.169.0.0",
            "169.253.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.2.1",
            "::",
            "::2",
            "fbff::1",
            "fe00::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!scope.permits_address(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn networks_of_no_bits_and_of_all_bits_are_no_special_case() {
        let any: IpAddr = "192.0.2.1".parse().unwrap();
        for network in ["0.0.0.0", "10.1.2.3"] {
            assert!(is_within(any, network.parse().unwrap(), 0));
        }
        assert!(is_within("2001:db8::1".parse().unwrap(), "::".parse().unwrap(), 0));
        assert!(is_within(any, any, 32) && !is_within(any, "192.0.2.0".parse().unwrap(), 32));
    }

    #[test]
    fn what_is_not_of_our_form_is_not_taken_for_it() {
        let subtree = |tag: u8, content: &[u8]| {
            let inner = [&[tag, content.len() as u8][..], content].concat();
            let sequence = [&[SEQUENCE, inner.len() as u8][..], &inner].concat();
            [&[PERMITTED, sequence.len() as u8][..], &sequence].concat()
        };
        let good = subtree(DNS_NAME, b"Local");
        assert_eq!(Scope::of_constraints(&good).unwrap().domains, ["local"]);
        assert_eq!(
            Scope::of_constraints(&subtree(IP_ADDRESS, &[10, 0, 0, 0, 255, 0, 0, 0])).unwrap().networks,
            [("10.0.0.0".parse().unwrap(), 8)]
        );
        for bad in [
            subtree(IP_ADDRESS, &[10, 0, 0, 0, 255, 0, 255, 0]),
            subtree(IP_ADDRESS, &[10, 0, 0, 0]),
            subtree(0x81, b"mail"),
            subtree(DNS_NAME, &[0xff]),
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(Scope::of_constraints(&bad), None, "{bad:?}");
        }
    }
}

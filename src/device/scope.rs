//! What a CA may sign for: its name constraints (RFC 5280 §4.2.1.10), written into the CA and read from it again.
//!
//! Knows names and addresses as values. `making` calls it, and `names` does to find out what a CA excludes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};

use crate::tls::der::Reader;

const SEQUENCE: u8 = 0x30;
/// `permittedSubtrees [0]`
const PERMITTED: u8 = 0xa0;
/// `excludedSubtrees [1]`
const EXCLUDED: u8 = 0xa1;
/// `dNSName [2]`
const DNS_NAME: u8 = 0x82;
/// `iPAddress [7]`
const IP_ADDRESS: u8 = 0x87;

/// Reserved domains (RFC 6761, RFC 6762): nobody can register a name below them.
pub(super) const RESERVED: [&str; 2] = ["localhost", "local"];

/// The permitted domains, hosts and networks. Everything else is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// In lower case. Each stands for itself and for every name below it.
    pub domains: Vec<String>,
    /// In lower case, of one label each, such as `camera`. Each stands only for itself, because a top-level domain of the same
    /// name may exist (`camera` does), and names below it belong to others.
    pub hosts: Vec<String>,
    /// An address and the number of its leading bits that count.
    pub networks: Vec<(IpAddr, u8)>,
}

/// The networks that are private to a site. Every device's CA may sign for addresses in them, so that a device can move among
/// them.
pub(super) fn private_networks() -> Vec<(IpAddr, u8)> {
    let v4 = |a, b, bits| (IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), bits);
    let v6 = |a, bits| (IpAddr::V6(Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, 0)), bits);
    vec![
        v4(127, 0, 8),
        // RFC 1918.
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        // RFC 3927: a machine assigns itself such an address when it gets none.
        v4(169, 254, 16),
        // RFC 6598: used between a carrier's customers, and inside virtual private networks.
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
        self.hosts.iter().any(|host| host == name)
            || self.domains.iter().any(|domain| is_below(name, domain))
                && !self.hosts.iter().any(|host| is_below(name, host))
    }

    /// Whether a name of one label can be permitted alone. It cannot when a name below it is permitted too.
    pub(super) fn can_permit_alone(&self, host: &str) -> bool {
        !self.domains.iter().any(|domain| is_below(domain, host))
    }

    /// The domains of one label that are not reserved. Names below them are permitted although they may belong to others. Only
    /// CAs of earlier versions have such domains.
    pub(super) fn open_domains(&self) -> impl Iterator<Item = &str> {
        let domains = self.domains.iter().map(String::as_str);
        domains.filter(|domain| !domain.contains('.') && !RESERVED.contains(domain))
    }

    /// Whether this address is permitted.
    pub fn permits_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|&(network, bits)| is_within(address, network, bits))
    }

    /// Writes the scope as name constraints. For a host alone, the host is permitted, and the names below it are excluded by a
    /// name with a leading dot. RFC 5280 does not define the leading dot for DNS names; OpenSSL, GnuTLS, webpki and Chromium
    /// read it like this.
    pub(super) fn to_constraints(&self) -> NameConstraints {
        let permitted = self.domains.iter().chain(&self.hosts).cloned().map(GeneralSubtree::DnsName);
        let networks = self
            .networks
            .iter()
            .map(|&(network, bits)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, bits)));
        let excluded = self.hosts.iter().map(|host| GeneralSubtree::DnsName(format!(".{host}")));
        NameConstraints {
            permitted_subtrees: permitted.chain(networks).collect(),
            excluded_subtrees: excluded.collect(),
        }
    }

    /// Reads the content of a NameConstraints. `None` when it does not have the form that `to_constraints` writes.
    pub(super) fn of_constraints(der: &[u8]) -> Option<Scope> {
        let mut constraints = Reader::new(der);
        let mut scope = Scope::default();
        for subtree in subtrees(constraints.expect(PERMITTED).ok()?)? {
            match subtree {
                Subtree::Dns(name) => scope.domains.push(name),
                Subtree::Network(network) => scope.networks.push(network),
            }
        }
        if constraints.end().is_err() {
            for subtree in subtrees(constraints.expect(EXCLUDED).ok()?)? {
                let Subtree::Dns(below) = subtree else { return None };
                let host = below.strip_prefix('.')?;
                // `to_constraints` excludes only names below permitted hosts.
                let at = scope.domains.iter().position(|domain| domain == host)?;
                scope.hosts.push(scope.domains.remove(at));
            }
        }
        constraints.end().ok()?;
        Some(scope)
    }
}

enum Subtree {
    Dns(String),
    Network((IpAddr, u8)),
}

/// Reads the content of GeneralSubtrees.
fn subtrees(der: &[u8]) -> Option<Vec<Subtree>> {
    let mut all = Reader::new(der);
    let mut found = Vec::new();
    while all.end().is_err() {
        let mut subtree = Reader::new(all.expect(SEQUENCE).ok()?);
        found.push(match subtree.element().ok()? {
            (DNS_NAME, name) => Subtree::Dns(std::str::from_utf8(name).ok()?.to_ascii_lowercase()),
            (IP_ADDRESS, network) => Subtree::Network(network_of(network)?),
            _ => return None,
        });
        subtree.end().ok()?;
    }
    Some(found)
}

/// Whether a name is this domain or below it.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|host| host.is_empty() || host.ends_with('.'))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains = self.domains.iter().chain(&self.hosts).cloned();
        let networks = self.networks.iter().map(|(network, bits)| format!("{network}/{bits}"));
        f.write_str(&domains.chain(networks).collect::<Vec<_>>().join(", "))
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |address: u128, network: u128, width: u32| {
        let rest = width.saturating_sub(u32::from(bits));
        // With no bits to compare, all addresses match.
        address.checked_shr(rest) == network.checked_shr(rest)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
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
        let scope = Scope { domains: vec!["local".into(), "gate.example".into()], ..Scope::default() };
        for name in ["local", "printer.local", "a.b.local", "gate.example", "x.gate.example"] {
            assert!(scope.permits_name(name), "{name}");
        }
        for name in ["notlocal", "example", "a-gate.example", "gate.example.com", ""] {
            assert!(!scope.permits_name(name), "{name}");
        }
    }

    #[test]
    fn a_host_stands_for_itself_alone() {
        let scope = Scope { domains: vec!["local".into()], hosts: vec!["camera".into()], ..Scope::default() };
        for (name, is_permitted) in [
            ("camera", true),
            ("camera.local", true),
            ("shop.camera", false),
            ("*.camera", false),
            ("a.b.camera", false),
            ("mycamera", false),
        ] {
            assert_eq!(scope.permits_name(name), is_permitted, "{name}");
        }
        let beside = Scope { domains: vec!["gate.camera".into()], ..Scope::default() };
        assert!(!beside.can_permit_alone("camera") && beside.can_permit_alone("amera"));
        let open = Scope {
            domains: ["local", "localhost", "printer", "a.example"].map(String::from).into(),
            ..scope
        };
        assert_eq!(open.open_domains().collect::<Vec<_>>(), ["printer"]);
    }

    #[test]
    fn the_private_networks_end_where_they_should() {
        let scope = Scope { networks: private_networks(), ..Scope::default() };
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
        let excluded = |name: &[u8]| {
            let mut all = subtree(DNS_NAME, name);
            all[0] = EXCLUDED;
            all
        };
        let alone = Scope::of_constraints(&[good.clone(), excluded(b".Local")].concat()).unwrap();
        assert_eq!((alone.domains, alone.hosts), (vec![], vec!["local".to_string()]));
        for bad in [
            [good.clone(), excluded(b"local")].concat(),
            [good.clone(), excluded(b".other")].concat(),
            [good.clone(), excluded(b".local"), excluded(b".local")].concat(),
            excluded(b".local"),
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

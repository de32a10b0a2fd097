//! A network as an operator writes it: `192.0.2.0/24`, `2001:db8::/32`, or one address (RFC 4632 §3.1, RFC 4291 §2.3). Values
//! only. The settings of who may speak for clients are such networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin with the same bits.
///
/// ```
/// use lockgate::Cidr;
///
/// let balancers: Cidr = "10.1.0.0/16".parse()?;
/// assert!(balancers.contains("10.1.2.3".parse().unwrap()));
/// assert!(!balancers.contains("10.2.0.1".parse().unwrap()));
/// // Without a length, it is this address alone.
/// assert_eq!("::1".parse::<Cidr>()?.to_string(), "::1/128");
/// # Ok::<(), lockgate::CidrFault>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Its bits after the prefix are zero. Never an IPv4 address mapped to IPv6.
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no [`Cidr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CidrFault {
    /// What stands before the `/` is no IP address. Names are not looked up.
    Address,
    /// What stands after the `/` is no number of bits, from 0 to 32 for IPv4 and to 128 for IPv6.
    Prefix,
    /// The address has bits after its prefix. The network that has this address is meant, or this address alone.
    HostBits(Cidr),
}

impl Cidr {
    /// The network of `prefix` bits that this address is in. `None` for more bits than the address has. A network of IPv4 addresses
    /// that are mapped to IPv6 (`::ffff:192.0.2.0`, 120) is the IPv4 network (`192.0.2.0/24`), and has to have 96 bits at least.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Cidr> {
        let canonical = address.to_canonical();
        // The first 96 bits are the mapping's.
        let mapping = width(address) - width(canonical);
        let (address, prefix) = (canonical, prefix.checked_sub(mapping)?);
        if prefix > width(address) {
            return None;
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Some(Cidr { address, prefix })
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of bits that the addresses have in common: 0 for all addresses of a family.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address is in this network. An IPv4 address that is mapped to IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && Cidr::of(address, self.prefix) == Some(*self)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() {
        32
    } else {
        128
    }
}

impl FromStr for Cidr {
    type Err = CidrFault;

    fn from_str(text: &str) -> Result<Cidr, CidrFault> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| CidrFault::Address)?;
        let bits = match prefix {
            None => width(written),
            // No sign and no empty number.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| CidrFault::Prefix)?
            }
            Some(_) => return Err(CidrFault::Prefix),
        };
        let cidr = Cidr::of(written, bits).ok_or(CidrFault::Prefix)?;
        if cidr.address == written.to_canonical() {
            Ok(cidr)
        } else {
            Err(CidrFault::HostBits(cidr))
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CidrFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CidrFault::Address => f.write_str("no IP address"),
            CidrFault::Prefix => f.write_str("no length from 0 to 32 (IPv4) or 128 (IPv6) after the /"),
            CidrFault::HostBits(network) => {
                write!(f, "the address has bits after its prefix: {network} is the network that has it")
            }
        }
    }
}

impl std::error::Error for CidrFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::ffff:192.0.3.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ffff::", "0.0.0.0"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(cidr(network).contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!cidr(network).contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn a_network_of_mapped_addresses_is_the_one_of_ipv4() {
        let of = |address: &str, prefix| Cidr::of(address.parse().unwrap(), prefix);
        let network = of("::ffff:192.0.2.9", 120).unwrap();
        assert_eq!((network, network.to_string()), (cidr("192.0.2.0/24"), "192.0.2.0/24".into()));
        assert_eq!(network.address(), IpAddr::from([192, 0, 2, 0]));
        assert!(of("::ffff:10.0.0.1", 128).unwrap().contains("10.0.0.1".parse().unwrap()));
        assert_eq!(of("::ffff:10.0.0.1", 95), None);
        assert_eq!((of("10.0.0.1", 33), of("2001:db8::", 129)), (None, None));
    }

    #[test]
    fn what_is_no_network_says_why() {
        for (text, fault) in [
            ("", CidrFault::Address),
            ("localhost", CidrFault::Address),
            ("192.0.2/24", CidrFault::Address),
            ("192.0.2.010", CidrFault::Address),
            ("[::1]", CidrFault::Address),
            ("fe80::1%eth0/64", CidrFault::Address),
            ("192.0.2.0/", CidrFault::Prefix),
            ("192.0.2.0/+8", CidrFault::Prefix),
            ("192.0.2.0/33", CidrFault::Prefix),
            ("192.0.2.0/255.255.255.0", CidrFault::Prefix),
            ("2001:db8::/129", CidrFault::Prefix),
            ("2001:db8::/999", CidrFault::Prefix),
            ("::ffff:192.0.2.0/95", CidrFault::Prefix),
            ("192.0.2.1/24", CidrFault::HostBits(cidr("192.0.2.0/24"))),
            ("2001:db8::1/64", CidrFault::HostBits(cidr("2001:db8::/64"))),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(fault), "{text}");
        }
        let said = "192.0.2.1/24".parse::<Cidr>().unwrap_err().to_string();
        assert_eq!(said, "the address has bits after its prefix: 192.0.2.0/24 is the network that has it");
    }
}

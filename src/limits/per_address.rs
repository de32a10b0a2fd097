//! Counts the connections, or uploads, of each address, so that one address cannot take all places. Decides what counts as one
//! address. The listener counts connections with it, and `streams` counts uploads.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections or uploads each address has. An address without any is forgotten, so the map is never larger than their
/// number.
#[derive(Debug)]
pub(crate) struct PerAddress {
    counts: Counts,
    most: AtomicUsize,
    count_loopback: AtomicBool,
}

/// The place of a counted connection or upload. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Admission(Option<(Counts, IpAddr)>);

type Counts = Arc<Mutex<HashMap<Network, usize>>>;

/// A range of addresses that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    /// An IPv4 address, or the /64 of an IPv6 address: the least that one subscriber has.
    Address(IpAddr),
    /// The /48 of an IPv6 address: the most that one subscriber has (RFC 6177).
    Site([u16; 3]),
}

/// A site may have this many times as much as a network.
pub(crate) const SITE_FACTOR: usize = 10;

impl Network {
    /// The ranges that this address is counted in, the narrower first.
    pub(crate) fn of(address: IpAddr) -> (Network, Option<Network>) {
        match address {
            IpAddr::V4(_) => (Network::Address(address), None),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let network = IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
                (Network::Address(network), Some(Network::Site([a, b, c])))
            }
        }
    }
}

impl PerAddress {
    pub(crate) fn new(most: usize, count_loopback: bool) -> PerAddress {
        let (most, count_loopback) = (AtomicUsize::new(most), AtomicBool::new(count_loopback));
        PerAddress { counts: Arc::default(), most, count_loopback }
    }

    /// What holds from now on. Who has more keeps what it has.
    #[cfg(feature = "operations")]
    pub(crate) fn replace(&self, most: usize, count_loopback: bool) {
        self.most.store(most, Ordering::Relaxed);
        self.count_loopback.store(count_loopback, Ordering::Relaxed);
    }

    /// Takes a place for this address, unless the address or its site has reached its limit.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admission> {
        if address.is_loopback() && !self.count_loopback.load(Ordering::Relaxed) {
            return Some(Admission(None));
        }
        let (network, site) = Network::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |network: &Network| counts.get(network).copied().unwrap_or_default();
        let most = self.most.load(Ordering::Relaxed);
        let most_of_site = most.saturating_mul(SITE_FACTOR);
        if has(&network) >= most || site.is_some_and(|site| has(&site) >= most_of_site) {
            return None;
        }
        for network in [Some(network), site].into_iter().flatten() {
            *counts.entry(network).or_insert(0) += 1;
        }
        Some(Admission(Some((self.counts.clone(), address))))
    }
}

#[cfg(feature = "operations")]
impl Admission {
    /// Of a connection that is not counted, or not yet.
    pub(crate) const UNCOUNTED: Admission = Admission(None);
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some((counts, address)) = &self.0 else { return };
        let (network, site) = Network::of(*address);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        for network in [Some(network), site].into_iter().flatten() {
            if let Some(count) = counts.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let per_address = PerAddress::new(2, false);
        let admit = |text: &str| per_address.admit(text.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(first);
        assert!(admit("192.0.2.1").is_some());
        let _one = admit("2001:db8::1").unwrap();
        let _other = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_none());
        assert!(admit("2001:db8:0:1::3").is_some());
    }

    #[test]
    fn a_site_has_ten_times_what_an_address_has_however_many_addresses_it_has() {
        let per_address = PerAddress::new(2, false);
        let admit = |text: &str| per_address.admit(text.parse().unwrap());
        let mut held: Vec<_> = (0..20)
            .map(|n| admit(&format!("2001:db8:1:{n:x}::1")).unwrap_or_else(|| panic!("{n}")))
            .collect();
        assert!(admit("2001:db8:1:ffff::1").is_none());
        assert!(admit("2001:db8:2::1").is_some(), "another site has its own");
        held.pop();
        held.push(admit("2001:db8:1:ffff::1").unwrap());
        drop(held);
        assert!(per_address.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn loopback_is_counted_only_when_asked_and_nothing_is_kept_of_who_left() {
        let free = PerAddress::new(1, false);
        let _held: Vec<_> = (0..3).map(|_| free.admit("127.0.0.1".parse().unwrap()).unwrap()).collect();
        let counted = PerAddress::new(1, true);
        let held = counted.admit("127.0.0.1".parse().unwrap()).unwrap();
        assert!(counted.admit("127.0.0.1".parse().unwrap()).is_none());
        drop(held);
        assert!(counted.counts.lock().unwrap().is_empty());
    }
}

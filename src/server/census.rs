//! How many connections, or uploads, each address has: so that one address cannot take what is there for all. The listener
//! and `streaming` count with it. What counts as one address is decided here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many of something each address has. Bounded by how many of it there are: an address without any is forgotten.
#[derive(Debug)]
pub(crate) struct Census {
    counts: Counts,
    most: usize,
    count_loopback: bool,
}

/// A place in the census; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission(Option<(Counts, IpAddr)>);

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Census {
    pub(crate) fn new(most: usize, count_loopback: bool) -> Census {
        Census { counts: Arc::default(), most, count_loopback }
    }

    /// One more for this address, unless it has as many as it may.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admission> {
        if address.is_loopback() && !self.count_loopback {
            return Some(Admission(None));
        }
        let network = network_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Admission(Some((self.counts.clone(), network))))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some((counts, network)) = &self.0 else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(network);
            }
        }
    }
}

/// What one subscriber has: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let census = Census::new(2, false);
        let admit = |text: &str| census.admit(text.parse().unwrap());
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
    fn loopback_is_counted_only_when_asked_and_nothing_is_kept_of_who_left() {
        let free = Census::new(1, false);
        let _held: Vec<_> = (0..3).map(|_| free.admit("127.0.0.1".parse().unwrap()).unwrap()).collect();
        let counted = Census::new(1, true);
        let held = counted.admit("127.0.0.1".parse().unwrap()).unwrap();
        assert!(counted.admit("127.0.0.1".parse().unwrap()).is_none());
        drop(held);
        assert!(counted.counts.lock().unwrap().is_empty());
    }
}

//! Limits the requests a second of each address. Addresses share a fixed number of buckets, so the memory does not grow with
//! their number. A keyed hash assigns the buckets, so an attacker cannot choose to share a victim's.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::per_address::{Network, SITE_FACTOR};

/// 64 KiB in all. A busy address shares its bucket with one in 8,192 other addresses.
const BUCKETS: usize = 8_192;

/// Leaky buckets, each kept as one time stamp by the generic cell rate algorithm (ITU-T I.371).
pub(crate) struct Rate {
    start: Instant,
    hasher: RandomState,
    /// When a bucket will be empty again, in microseconds after `start`.
    empty_at: Box<[AtomicU64]>,
    /// What one request adds, in microseconds.
    interval: AtomicU64,
}

/// A bucket holds the requests of one second, so a refused client can succeed again within a second.
const FULL: u64 = 1_000_000;

impl Rate {
    pub(crate) fn new(per_second: u64) -> Rate {
        Rate {
            start: Instant::now(),
            hasher: RandomState::new(),
            empty_at: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            interval: AtomicU64::new(FULL / per_second.clamp(1, FULL)),
        }
    }

    /// What holds from now on; 0 for no limit.
    #[cfg(feature = "operations")]
    pub(crate) fn replace(&self, per_second: u64) {
        let interval = if per_second == 0 { 0 } else { FULL / per_second.min(FULL) };
        self.interval.store(interval, Ordering::Relaxed);
    }

    /// Counts a request of this address at this time. Returns whether it is allowed: both the network and its site must be
    /// within the rate.
    pub(crate) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start).as_micros() as u64;
        let (network, site) = Network::of(address);
        let interval = self.interval.load(Ordering::Relaxed);
        if cfg!(feature = "operations") && interval == 0 {
            return true;
        }
        self.pour(network, interval, now)
            && site.map_or(true, |site| self.pour(site, (interval / SITE_FACTOR as u64).max(1), now))
    }

    /// Adds `interval` to a bucket, if it has room for it.
    fn pour(&self, network: Network, interval: u64, now: u64) -> bool {
        let bucket = &self.empty_at[self.hasher.hash_one(network) as usize % BUCKETS];
        let poured = bucket.fetch_update(Ordering::AcqRel, Ordering::Acquire, |empty_at| {
            let filled = empty_at.max(now) + interval;
            (filled - now <= FULL.max(interval)).then_some(filled)
        });
        poured.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_has_its_second_and_no_more_and_gets_it_back() {
        let rate = Rate::new(10);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = rate.start + Duration::from_secs(5);
        let allowed = (0..100).filter(|_| rate.allows(one, now)).count();
        assert_eq!(allowed, 10);
        let bucket = |address| rate.hasher.hash_one(Network::of(address).0) as usize % BUCKETS;
        if bucket(one) != bucket(other) {
            assert!(rate.allows(other, now));
        }
        let later = now + Duration::from_millis(300);
        assert_eq!((0..100).filter(|_| rate.allows(one, later)).count(), 3);
        let much_later = later + Duration::from_micros(FULL);
        assert_eq!((0..100).filter(|_| rate.allows(one, much_later)).count(), 10);
    }

    #[test]
    fn a_site_has_ten_times_what_a_network_has() {
        let rate = Rate::new(1);
        let ask = |n: u32| rate.allows(format!("2001:db8:1:{n:x}::1").parse().unwrap(), rate.start);
        let allowed = (0..100).filter(|&n| ask(n)).count();
        // Two of these networks can share a bucket; the second is then refused.
        assert!((5..=10).contains(&allowed), "{allowed}");
        let other = "2001:db8:2::1".parse().unwrap();
        assert!(rate.allows(other, rate.start + Duration::from_micros(FULL)));
    }

    #[test]
    fn a_rate_of_one_lets_one_through() {
        let rate = Rate::new(1);
        let address = "192.0.2.1".parse().unwrap();
        assert!(rate.allows(address, rate.start));
        assert!(!rate.allows(address, rate.start));
        assert!(rate.allows(address, rate.start + Duration::from_micros(FULL)));
    }
}

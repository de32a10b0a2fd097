//! Limits how many handlers read large bodies at a time, in all and from one address. The server takes a place before it calls
//! a handler that reads its body from the connection.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::per_address::{Admission, PerAddress};

/// The places for handlers that read large bodies.
pub(crate) struct Streams {
    taken: AtomicUsize,
    most: AtomicUsize,
    by_address: PerAddress,
}

/// One place. Dropping it gives the place back.
pub(crate) struct Place<'s> {
    streams: &'s Streams,
    _admission: Admission,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    OfAddress,
    OfAll,
}

impl Streams {
    pub(crate) fn new(most: usize, by_address: PerAddress) -> Streams {
        Streams { taken: AtomicUsize::new(0), most: AtomicUsize::new(most), by_address }
    }

    /// What holds from now on. Handlers that are reading go on.
    #[cfg(feature = "operations")]
    pub(crate) fn replace(&self, most: usize, of_address: usize, count_loopback: bool) {
        self.most.store(most, Ordering::Relaxed);
        self.by_address.replace(of_address, count_loopback);
    }

    /// Takes a place for an upload from this address.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Place<'_>, Full> {
        let admission = self.by_address.admit(address).ok_or(Full::OfAddress)?;
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.most.load(Ordering::Relaxed)).then_some(taken + 1)
            })
            .map_err(|_| Full::OfAll)?;
        Ok(Place { streams: self, _admission: admission })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.streams.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_places_of_all() {
        let streams = Streams::new(3, PerAddress::new(2, false));
        let enter = |text: &str| streams.enter(text.parse().unwrap());
        let first = enter("2001:db8::1").ok();
        let _second = enter("2001:db8::2").ok();
        assert_eq!(enter("2001:db8::3").err(), Some(Full::OfAddress));
        let _other = enter("192.0.2.1").ok();
        assert_eq!(enter("192.0.2.2").err(), Some(Full::OfAll));
        assert_eq!(enter("127.0.0.1").err(), Some(Full::OfAll));
        drop(first);
        assert_eq!(enter("192.0.2.2").err(), None);
        let _again = enter("2001:db8::3").ok();
        assert_eq!(enter("192.0.2.2").err(), Some(Full::OfAll));
    }

    #[test]
    fn loopback_has_all_places_unless_it_is_counted() {
        let own = "127.0.0.1".parse().unwrap();
        let free = Streams::new(2, PerAddress::new(1, false));
        let _held = (free.enter(own).ok(), free.enter(own).ok());
        assert_eq!(free.enter(own).err(), Some(Full::OfAll));
        let counted = Streams::new(2, PerAddress::new(1, true));
        let _held = counted.enter(own).ok();
        assert_eq!(counted.enter(own).err(), Some(Full::OfAddress));
    }
}

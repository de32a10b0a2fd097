//! The addresses of a backend's name. Looking a name up may take as long as the resolver likes, so a thread of its own does it,
//! `lockgate-lookup`: at most one for each name, and only while it looks. Requests go on with what is known. `target` has a name.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How soon a name is looked up again while it has no address, or none that takes connections.
const SOON: Duration = Duration::from_secs(2);
/// How soon otherwise. A backend in a container often has another address after each start, and its old one may be another's.
const LATER: Duration = Duration::from_secs(30);
/// How long the first time is waited for.
const FIRST: Duration = Duration::from_secs(2);

type Resolve = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// A name, and what is known of its addresses.
pub(super) struct Name {
    host: String,
    port: u16,
    resolve: Resolve,
    known: Mutex<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    /// How often they have changed.
    changes: usize,
    /// When it was looked up last.
    looked: Option<Instant>,
    is_looking: bool,
    /// Whether the last time has failed, so that the log says it once.
    has_failed: bool,
}

impl Known {
    fn is_due(&self, is_needed: bool, now: Instant) -> bool {
        let pause = if is_needed || self.addresses.is_empty() { SOON } else { LATER };
        let is_over = |looked| now.saturating_duration_since(looked) >= pause;
        !self.is_looking && self.looked.map_or(true, is_over)
    }

    /// Takes what was found. Returns whether that is news.
    fn take(&mut self, found: &io::Result<Vec<SocketAddr>>, now: Instant) -> bool {
        self.is_looking = false;
        self.looked = Some(now);
        let found = match found {
            Ok(found) if !found.is_empty() => found,
            _ => return !std::mem::replace(&mut self.has_failed, true),
        };
        self.has_failed = false;
        // A resolver may give them in another order each time.
        let is_same =
            self.addresses.len() == found.len() && found.iter().all(|one| self.addresses.contains(one));
        if !is_same {
            self.addresses = found.clone().into();
            self.changes += 1;
        }
        !is_same
    }
}

impl Name {
    /// Looks a name up, and waits for that a moment. It may have no address then.
    pub(super) fn new(host: String, port: u16) -> Arc<Name> {
        Name::resolved_by(host, port, |host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    pub(super) fn resolved_by(host: String, port: u16, resolve: Resolve) -> Arc<Name> {
        let known =
            Known { addresses: Arc::new([]), changes: 0, looked: None, is_looking: false, has_failed: false };
        let name = Arc::new(Name { host, port, resolve, known: Mutex::new(known) });
        let (done, found) = mpsc::channel();
        name.begin(true, Some(done), Instant::now());
        if found.recv_timeout(FIRST) == Err(RecvTimeoutError::Timeout) {
            log::warn!(target: "lockgate::proxy", "the name of the backend {name} is still being looked up");
        }
        name
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn addresses(&self) -> Arc<[SocketAddr]> {
        self.lock().addresses.clone()
    }

    /// Begins to look it up again if it is time for that. `is_needed` says that no address takes connections. Returns how often
    /// the addresses have changed so far.
    pub(super) fn look_up(self: &Arc<Name>, is_needed: bool, now: Instant) -> usize {
        self.begin(is_needed, None, now);
        self.lock().changes
    }

    fn begin(self: &Arc<Name>, is_needed: bool, done: Option<Sender<()>>, now: Instant) {
        let mut known = self.lock();
        if !known.is_due(is_needed, now) {
            return;
        }
        known.is_looking = true;
        drop(known);
        let name = self.clone();
        let thread = thread::Builder::new().name("lockgate-lookup".to_string()).spawn(move || {
            name.find();
            drop(done);
        });
        if let Err(error) = thread {
            let error = io::Error::new(error.kind(), format!("no thread for it: {error}"));
            self.keep(Err(error));
        }
    }

    fn find(&self) {
        self.keep((self.resolve)(&self.host, self.port));
    }

    fn keep(&self, found: io::Result<Vec<SocketAddr>>) {
        let mut known = self.lock();
        let is_news = known.take(&found, Instant::now());
        let is_first = known.changes == 1;
        drop(known);
        match found {
            _ if !is_news => {}
            Err(error) => {
                log::warn!(target: "lockgate::proxy", "the name of the backend {self} cannot be looked up: {error}");
            }
            Ok(found) if found.is_empty() => {
                log::warn!(target: "lockgate::proxy", "the name of the backend {self} has no address");
            }
            Ok(_) if is_first => {}
            Ok(found) => {
                log::info!(target: "lockgate::proxy", "the backend {self} has other addresses now: {found:?}");
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    #[test]
    fn a_name_is_looked_up_again_soon_while_it_is_needed_and_seldom_else_and_never_twice_at_a_time() {
        let now = Instant::now();
        let name = Name::resolved_by("a".to_string(), 80, |_, _| Ok(vec![at(1)]));
        let mut known = name.lock().clone();
        known.looked = Some(now);
        for (is_needed, after, is_due) in
            [(true, Duration::ZERO, false), (true, SOON, true), (false, SOON, false), (false, LATER, true)]
        {
            assert_eq!(known.is_due(is_needed, now + after), is_due, "{is_needed} {after:?}");
        }
        known.is_looking = true;
        assert!(!known.is_due(true, now + LATER));
    }

    #[test]
    fn what_is_known_is_kept_until_something_else_is_found() {
        let now = Instant::now();
        let name = Name::resolved_by("a".to_string(), 80, |_, _| Ok(vec![at(1), at(2)]));
        let mut known = name.lock().clone();
        assert_eq!((&known.addresses[..], known.changes), (&[at(1), at(2)][..], 1));
        let failed = || Err(io::Error::from(io::ErrorKind::TimedOut));
        assert!(known.take(&failed(), now) && !known.take(&failed(), now), "said once");
        assert!(!known.take(&Ok(Vec::new()), now));
        assert!(!known.take(&Ok(vec![at(2), at(1)]), now), "in another order");
        assert_eq!((known.addresses.len(), known.changes), (2, 1));
        assert!(known.take(&Ok(vec![at(2)]), now));
        assert_eq!((&known.addresses[..], known.changes), (&[at(2)][..], 2));
        assert!(known.take(&failed(), now), "again once");
    }

    #[test]
    fn a_name_without_an_address_is_no_fault_and_is_known_once_it_has_one() {
        fn resolve(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            static ASKED: Mutex<u8> = Mutex::new(0);
            let mut asked = ASKED.lock().unwrap();
            *asked += 1;
            if *asked < 3 {
                Err(io::ErrorKind::NotFound.into())
            } else {
                Ok(vec![at(*asked)])
            }
        }
        let mut now = Instant::now();
        let name = Name::resolved_by("a".to_string(), 80, resolve);
        assert!(name.addresses().is_empty());
        while name.addresses().is_empty() {
            now += SOON;
            name.look_up(false, now);
            thread::yield_now();
        }
        assert_eq!(name.addresses()[..], [at(3)]);
        assert_eq!(name.look_up(false, now), 1);
    }
}

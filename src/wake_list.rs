//! Tells a server's poller, from any thread, that connections have something to send. The connections are marked by their keys
//! in one set, and the poller is woken once for all of them. The set has a bit for each key, so it is bounded by the number of
//! connections, however often they are marked. Knows no connection; `server/poller` takes the marked keys, and the bodies of
//! `http/live_body` mark them.
//!
//! A response may also need a socket of its own, on the side of its client's: `proxy` lets the same poller watch it here, and close
//! it when it was kept for too long.

#[cfg(feature = "proxy")]
use std::io;
#[cfg(feature = "proxy")]
use std::os::fd::RawFd;
#[cfg(feature = "proxy")]
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "proxy")]
use std::sync::Weak;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "proxy")]
use std::time::Instant;

#[cfg(feature = "proxy")]
use mio::{unix::SourceFd, Interest};
use mio::{Registry, Token};

/// A token from here on is not the key of a connection whose own socket has an event: it is the poller's waker, or, without this
/// bit, the key of a connection that has a further socket.
pub(crate) const SIDE: usize = 1 << (usize::BITS - 1);

/// What wakes the poller for marked connections.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// A set of keys of connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    words: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl KeySet {
    pub(crate) fn insert(&mut self, key: usize) {
        let at = key / BITS;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= 1 << (key % BITS);
    }

    pub(crate) fn remove(&mut self, key: usize) {
        if let Some(word) = self.words.get_mut(key / BITS) {
            *word &= !(1 << (key % BITS));
        }
    }

    /// Adds all keys of the other set, which is empty then. Returns whether there were any.
    fn take_all(&mut self, from: &mut KeySet) -> bool {
        if self.words.len() < from.words.len() {
            self.words.resize(from.words.len(), 0);
        }
        let mut any = 0;
        for (word, other) in self.words.iter_mut().zip(&mut from.words) {
            any |= *other;
            *word |= std::mem::take(other);
        }
        any != 0
    }

    /// Takes out the first key at or after `from`.
    fn take_next(&mut self, from: usize) -> Option<usize> {
        let mut keep = u64::MAX << (from % BITS);
        for (at, word) in self.words.iter_mut().enumerate().skip(from / BITS) {
            let found = *word & keep;
            if found != 0 {
                let bit = found.trailing_zeros() as usize;
                *word &= !(1 << bit);
                return Some(at * BITS + bit);
            }
            keep = u64::MAX;
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// The marked connections of one server.
#[derive(Debug)]
pub(crate) struct WakeList {
    marked: Mutex<Marked>,
    poller: mio::Waker,
    /// What is watched.
    pub(crate) registry: Registry,
    #[cfg(feature = "proxy")]
    idle: Idle,
}

/// What closes idle sockets, when it is due.
#[cfg(feature = "proxy")]
#[derive(Debug, Default)]
struct Idle {
    due: Mutex<Vec<(Instant, Weak<dyn ClosesIdle>)>>,
    /// Whether there is any, so that a poller without it takes no lock.
    is_some: AtomicBool,
    /// Whether nobody calls what is due.
    is_ignored: bool,
}

/// Holds sockets that are kept for later responses.
#[cfg(feature = "proxy")]
pub(crate) trait ClosesIdle: std::fmt::Debug + Send + Sync {
    /// Closes those that were kept for too long. Returns when it is to be called again, unless there are none left.
    fn close_idle(&self, now: Instant) -> Option<Instant>;
}

#[derive(Debug, Default)]
struct Marked {
    keys: KeySet,
    /// Where the next search begins, so that a low key is not always served before a high one.
    from: usize,
    /// Whether the poller knows that there are some.
    is_told: bool,
}

impl WakeList {
    pub(crate) fn new(poller: mio::Waker, registry: Registry) -> WakeList {
        WakeList {
            marked: Mutex::default(),
            poller,
            registry,
            #[cfg(feature = "proxy")]
            idle: Idle::default(),
        }
    }

    /// The list of a poller that ends with one response: it closes no idle sockets.
    #[cfg(feature = "proxy")]
    pub(crate) fn of_one_response(poller: mio::Waker, registry: Registry) -> WakeList {
        WakeList { idle: Idle { is_ignored: true, ..Idle::default() }, ..WakeList::new(poller, registry) }
    }

    /// Whether [`close_idle_at`](WakeList::close_idle_at) leads to a call.
    #[cfg(feature = "proxy")]
    pub(crate) fn closes_idle(&self) -> bool {
        !self.idle.is_ignored
    }

    /// Lets the poller's thread call this at this time.
    #[cfg(feature = "proxy")]
    pub(crate) fn close_idle_at(&self, at: Instant, of: Weak<dyn ClosesIdle>) {
        let mut due = self.idle.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.push((at, of));
        self.idle.is_some.store(true, Ordering::Relaxed);
        drop(due);
        // It may sleep for longer than that.
        self.wake();
    }

    /// When [`close_idle`](WakeList::close_idle) is to be called.
    #[cfg(feature = "proxy")]
    pub(crate) fn next_close(&self) -> Option<Instant> {
        if !self.idle.is_some.load(Ordering::Relaxed) {
            return None;
        }
        let due = self.idle.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.iter().map(|(at, _)| *at).min()
    }

    /// Closes the idle sockets that were kept for too long.
    #[cfg(feature = "proxy")]
    #[inline(never)]
    pub(crate) fn close_idle(&self, now: Instant) {
        let lock = || self.idle.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut called = Vec::new();
        lock().retain(|(at, of)| {
            if *at <= now {
                called.push(of.clone());
            }
            *at > now
        });
        // Closing is a system call, which nobody waits for under the lock.
        let again = |of: Weak<dyn ClosesIdle>| of.upgrade()?.close_idle(now).map(|at| (at, of));
        let again: Vec<_> = called.into_iter().filter_map(again).collect();
        let mut due = lock();
        due.extend(again);
        self.idle.is_some.store(!due.is_empty(), Ordering::Relaxed);
    }

    /// Watches a further socket of the connection with this key. An event there gives the connection a turn, once. `before` says
    /// whether it is watched already, for another key or for something else. A socket that closes is not watched any more.
    #[cfg(feature = "proxy")]
    pub(crate) fn watch(
        &self,
        socket: RawFd,
        key: usize,
        interest: SideInterest,
        before: bool,
    ) -> io::Result<()> {
        let interest = match interest {
            SideInterest::Readable => Interest::READABLE,
            SideInterest::Both => Interest::READABLE | Interest::WRITABLE,
        };
        let (mut socket, token) = (SourceFd(&socket), Token(key | SIDE));
        match before {
            true => self.registry.reregister(&mut socket, token, interest),
            false => self.registry.register(&mut socket, token, interest),
        }
    }

    /// Watches a socket no more.
    #[cfg(feature = "proxy")]
    pub(crate) fn forget(&self, socket: RawFd) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&socket))
    }

    fn lock(&self) -> MutexGuard<'_, Marked> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks these connections, and empties the set. Returns whether the poller has to be [woken](WakeList::wake) for it.
    #[must_use]
    pub(crate) fn mark(&self, keys: &mut KeySet) -> bool {
        let mut marked = self.lock();
        marked.keys.take_all(keys) && !std::mem::replace(&mut marked.is_told, true)
    }

    /// Marks this connection, and wakes the poller for it.
    #[cfg(any(feature = "handler-timeout", feature = "upgrade"))]
    fn call(&self, key: usize) {
        let mut marked = self.lock();
        marked.keys.insert(key);
        let is_news = !std::mem::replace(&mut marked.is_told, true);
        drop(marked);
        if is_news {
            self.wake();
        }
    }

    /// Wakes the poller.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.poller.wake() {
            self.lock().is_told = false;
            log::error!("waking the watch failed: {error}");
        }
    }

    /// Takes out some marked connections, at most `most`. If there are more, the poller is woken again for them, so that other
    /// connections have their turn in between.
    pub(crate) fn take(&self, most: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        let mut marked = self.lock();
        if !marked.is_told {
            return taken;
        }
        for _ in 0..most {
            let from = marked.from;
            match marked.keys.take_next(from).or_else(|| marked.keys.take_next(0)) {
                Some(key) => {
                    marked.from = key + 1;
                    taken.push(key);
                }
                None => break,
            }
        }
        marked.is_told = !marked.keys.is_empty();
        let goes_on = marked.is_told;
        drop(marked);
        if goes_on {
            self.wake();
        }
        taken
    }
}

/// What a further socket is watched for.
#[cfg(feature = "proxy")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideInterest {
    Readable,
    /// Also for room to write.
    Both,
}

/// What a connection's body needs to tell that it has more to send.
#[derive(Debug, Clone)]
pub(crate) struct Waker {
    pub list: Arc<WakeList>,
    /// The connection's key.
    pub key: usize,
}

#[cfg(any(feature = "handler-timeout", feature = "upgrade"))]
impl Waker {
    /// Gives the connection a turn.
    pub(crate) fn wake(&self) {
        self.list.call(self.key);
    }
}

/// A connection that is woken once for all that other threads do until its next turn ends.
#[cfg(feature = "upgrade")]
#[derive(Debug, Default)]
pub(crate) struct WakeOnce {
    /// `None` before the connection begins, and when it is gone.
    pub waker: Option<Waker>,
    /// The connection has its turn, or was woken for one.
    pub is_awake: bool,
}

#[cfg(feature = "upgrade")]
impl WakeOnce {
    /// Unlocks the state that has the connection, and wakes that unless it is awake.
    pub(crate) fn wake<T>(mut state: MutexGuard<'_, T>, of: impl FnOnce(&mut T) -> &mut WakeOnce) {
        let WakeOnce { waker, is_awake } = of(&mut state);
        let waker = if std::mem::replace(is_awake, true) { None } else { waker.clone() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn list() -> (mio::Poll, WakeList) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let registry = poll.registry().try_clone().unwrap();
        (poll, WakeList::new(waker, registry))
    }

    fn set(keys: impl IntoIterator<Item = usize>) -> KeySet {
        let mut set = KeySet::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }

    fn is_woken(poll: &mut mio::Poll) -> bool {
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn the_poller_is_woken_once_for_all_that_are_marked() {
        let (mut poll, list) = list();
        assert!(!list.mark(&mut KeySet::default()));
        let mut keys = set([7, 64, 9_999]);
        assert!(list.mark(&mut keys));
        assert!(keys.is_empty());
        list.wake();
        assert!(is_woken(&mut poll));
        assert!(!list.mark(&mut set([8])), "it is woken already");
        assert_eq!(list.take(64), [7, 8, 64, 9_999]);
        assert!(!is_woken(&mut poll) && list.take(64).is_empty());
        assert!(list.mark(&mut set([8])));
    }

    #[test]
    fn a_crowd_is_taken_in_parts_and_nobody_is_always_last() {
        let (mut poll, list) = list();
        assert!(list.mark(&mut set(0..5)));
        assert_eq!(list.take(3), [0, 1, 2]);
        assert!(is_woken(&mut poll), "for the rest");
        // The first ones are marked again before the others had their turn.
        assert!(!list.mark(&mut set(0..3)));
        assert_eq!(list.take(3), [3, 4, 0]);
        assert_eq!(list.take(3), [1, 2]);
    }

    #[test]
    fn a_key_is_marked_once_however_often_it_is_inserted_and_not_after_it_was_removed() {
        let (_poll, list) = list();
        let mut keys = set([3, 3, 200, 201]);
        keys.remove(200);
        keys.remove(100_000);
        assert!(list.mark(&mut keys));
        assert!(!list.mark(&mut set([3])));
        assert_eq!(list.take(64), [3, 201]);
    }

    #[test]
    fn it_agrees_with_a_sorted_set_through_thousands_of_changes() {
        let (_poll, list) = list();
        let (mut keys, mut model) = (KeySet::default(), BTreeSet::new());
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (seed >> 33) as usize % 300;
            match seed >> 61 {
                0 => {
                    keys.remove(key);
                    model.remove(&key);
                }
                1 => {
                    let _ = list.mark(&mut keys);
                    let taken = list.take(usize::MAX);
                    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), std::mem::take(&mut model));
                }
                _ => {
                    keys.insert(key);
                    model.insert(key);
                }
            }
        }
    }
}

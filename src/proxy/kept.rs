//! Connections to a backend that wait for the next request. Their number and their time are bounded, also when no request comes: a
//! server's poller closes them then. `exchange` takes them, and puts them back when an answer has come whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::wake_list::{ClosesIdle, Waker};

/// How long a connection is kept whose backend does not say how long it keeps it.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// A backend may close a kept connection just as a request comes, and such a request is not sent again unless it is safe. So one
/// that is not takes only a connection that was in use a moment ago.
const KEPT_FOR_UNSAFE: Duration = Duration::from_secs(1);
/// How much earlier than a backend says a connection is given up.
const MARGIN: Duration = Duration::from_secs(1);
/// How long at least the poller sleeps between two looks for connections that are too old.
const PAUSE: Duration = Duration::from_secs(1);
/// The most connections that are kept.
const MOST: usize = 512;

/// What a connection is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A request that can be sent again.
    Safe,
    Unsafe,
}

/// The kept connections of one backend. A new one is opened only when none of them is good, and takes the place of one that is
/// not, so there are never more of both than there were requests at a time.
#[derive(Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Pool>>);

/// The newest is last.
#[derive(Debug, Default)]
struct Pool {
    // In boxes, so that taking one out moves only pointers.
    #[allow(clippy::vec_box)]
    connections: Vec<Box<Connection>>,
    /// The key of the client's connection that each was watched for, in the same order: what is searched is close together.
    keys: Vec<usize>,
    /// How often the addresses of the backend have changed: what was opened before leads elsewhere.
    generation: usize,
    /// When a poller closes those that are too old.
    closes_at: Option<Instant>,
}

impl Pool {
    fn remove(&mut self, at: usize) -> Box<Connection> {
        self.keys.remove(at);
        self.connections.remove(at)
    }

    /// Takes out the connection to use, if one is good. Those that nobody will use are put into `dropped`.
    fn take(
        &mut self,
        waker: &Waker,
        wanted: For,
        now: Instant,
        dropped: &mut Vec<Connection>,
    ) -> Option<Box<Connection>> {
        let idle = |kept: &Connection| now.saturating_duration_since(kept.since);
        // The one that this client's connection has used last is watched for it already.
        let own = self.keys.iter().rposition(|key| *key == waker.key);
        let is_own =
            |kept: &Connection| kept.is_watched_for(waker) && is_good(idle(kept), kept.kept_for, wanted);
        if let Some(own) = own.filter(|at| self.connections.get(*at).is_some_and(|kept| is_own(kept))) {
            return Some(self.remove(own));
        }
        while let Some(newest) = self.connections.last() {
            let idle = idle(newest);
            if is_good(idle, newest.kept_for, wanted) {
                return Some(self.remove(self.connections.len() - 1));
            }
            if idle < newest.kept_for {
                break;
            }
            dropped.push(*self.remove(self.connections.len() - 1));
        }
        // A new one is opened.
        if !self.connections.is_empty() {
            dropped.push(*self.remove(0));
        }
        None
    }
}

/// How long a connection is kept whose backend says this about it.
pub(super) fn kept_for(told: Option<Duration>) -> Duration {
    told.map_or(KEPT_FOR, |told| told.saturating_sub(MARGIN).min(KEPT_FOR))
}

/// Whether a connection that has been idle for this time is still good.
fn is_good(idle: Duration, kept_for: Duration, wanted: For) -> bool {
    match wanted {
        For::Safe => idle < kept_for,
        For::Unsafe => idle < kept_for.min(KEPT_FOR_UNSAFE),
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        lock(&self.0)
    }

    /// Takes a connection that its backend has not closed, if there is one.
    pub(super) fn take(&self, waker: &Waker, wanted: For, now: Instant) -> Option<Connection> {
        // Closing is a system call, which nobody waits for under the lock.
        let mut dropped = Vec::new();
        loop {
            let mut taken = self.lock().take(waker, wanted, now, &mut dropped)?;
            if taken.is_quiet() {
                return Some(*taken);
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// The addresses of the backend have changed so often. Closes what was opened before, now or when its request is answered.
    pub(super) fn begin_generation(&self, generation: usize) {
        let mut pool = self.lock();
        if pool.generation < generation {
            let new = Pool { generation, closes_at: pool.closes_at, ..Pool::default() };
            let closed = std::mem::replace(&mut *pool, new);
            drop(pool);
            drop(closed);
        }
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        let mut pool = self.lock();
        pool.keys.clear();
        let closed = std::mem::take(&mut pool.connections);
        drop(pool);
        drop(closed);
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, mut connection: Connection, told: Option<Duration>, now: Instant) {
        connection.is_kept = true;
        connection.since = now;
        connection.kept_for = kept_for(told);
        let key = connection.watched_key().unwrap_or(usize::MAX);
        let mut dropped = Vec::new();
        let mut pool = self.lock();
        if connection.generation < pool.generation {
            return;
        }
        while pool.connections.first().is_some_and(|oldest| {
            pool.connections.len() >= MOST || now.saturating_duration_since(oldest.since) >= oldest.kept_for
        }) {
            dropped.push(*pool.remove(0));
        }
        // Another server's poller, which was to do it, may have ended.
        let is_to_tell = pool.closes_at.map_or(true, |at| now.saturating_duration_since(at) >= KEPT_FOR);
        let told = connection.watched_by().filter(|list| is_to_tell && list.closes_idle()).cloned();
        let at = now + connection.kept_for.max(PAUSE);
        if told.is_some() {
            pool.closes_at = Some(at);
        }
        pool.connections.push(Box::new(connection));
        pool.keys.push(key);
        drop(pool);
        drop(dropped);
        if let Some(list) = told {
            let weak: Weak<Mutex<Pool>> = Arc::downgrade(&self.0);
            list.close_idle_at(at, weak);
        }
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClosesIdle for Mutex<Pool> {
    fn close_idle(&self, now: Instant) -> Option<Instant> {
        let mut dropped = Vec::new();
        let mut pool = lock(self);
        for at in (0..pool.connections.len()).rev() {
            let kept = &pool.connections[at];
            if now.saturating_duration_since(kept.since) >= kept.kept_for {
                dropped.push(pool.remove(at));
            }
        }
        let ends = pool.connections.iter().map(|kept| kept.since + kept.kept_for);
        pool.closes_at = ends.min().map(|at| at.max(now + PAUSE));
        let next = pool.closes_at;
        drop(pool);
        drop(dropped);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::super::target::Address;
    use super::*;
    use crate::wake_list::{SideInterest, WakeList};

    /// A backend that accepts, and two clients' connections.
    struct Sides {
        listener: TcpListener,
        accepted: Vec<std::net::TcpStream>,
        _poll: mio::Poll,
        wakers: [Waker; 2],
        kept: Kept,
    }

    impl Sides {
        fn new() -> Sides {
            let poll = mio::Poll::new().unwrap();
            let woken = mio::Waker::new(poll.registry(), mio::Token(usize::MAX)).unwrap();
            let list = Arc::new(WakeList::new(woken, poll.registry().try_clone().unwrap()));
            let wakers = [7, 8].map(|key| Waker { list: list.clone(), key });
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            Sides { listener, accepted: Vec::new(), _poll: poll, wakers, kept: Kept::default() }
        }

        /// Keeps a new connection of this client. Returns the port that tells it from others.
        fn keep(&mut self, client: usize, now: Instant) -> u16 {
            let address = Address::Internet(self.listener.local_addr().unwrap());
            let mut connection = Connection::open(&address, now).unwrap();
            let (accepted, peer) = self.listener.accept().unwrap();
            self.accepted.push(accepted);
            connection.watch(&self.wakers[client], SideInterest::Readable).unwrap();
            self.kept.put(connection, None, now);
            peer.port()
        }

        fn take(&self, client: usize, wanted: For, now: Instant) -> Option<Connection> {
            self.kept.take(&self.wakers[client], wanted, now)
        }
    }

    #[test]
    fn a_client_gets_its_own_connection_again_or_else_the_newest_that_its_backend_has_not_closed() {
        let mut sides = Sides::new();
        let now = Instant::now();
        let first = sides.keep(0, now);
        let closed = sides.keep(1, now);
        let last = sides.keep(1, now);
        let port = |taken: Option<Connection>| taken.map(|connection| connection.local_port());
        assert_eq!(port(sides.take(0, For::Safe, now)), Some(first));
        assert_eq!(port(sides.take(0, For::Safe, now)), Some(last));
        sides.accepted.remove(1);
        assert_eq!((port(sides.take(0, For::Safe, now)), closed > 0), (None, true));
        assert_eq!(sides.kept.len(), 0);
    }

    #[test]
    fn a_connection_with_an_answer_that_nobody_has_asked_for_is_not_taken() {
        let mut sides = Sides::new();
        let now = Instant::now();
        let good = sides.keep(0, now);
        sides.keep(0, now);
        std::io::Write::write_all(&mut sides.accepted[1], b"HTTP/1.1 408 Request Timeout\r\n\r\n").unwrap();
        let taken = sides.take(0, For::Safe, now).map(|connection| connection.local_port());
        assert_eq!((taken, sides.kept.len()), (Some(good), 0));
    }

    #[test]
    fn a_new_connection_takes_the_place_of_one_that_is_not_good_for_its_request() {
        let mut sides = Sides::new();
        let now = Instant::now();
        let later = now + KEPT_FOR_UNSAFE;
        for _ in 0..3 {
            sides.keep(0, now);
        }
        assert!(sides.take(0, For::Unsafe, later).is_none());
        assert_eq!(sides.kept.len(), 2);
        assert!(sides.take(0, For::Safe, later).is_some());
        assert!(sides.take(0, For::Safe, now + KEPT_FOR).is_none());
        assert_eq!(sides.kept.len(), 0, "those that are too old are closed");
    }

    #[test]
    fn those_that_nobody_uses_are_closed_in_time_also_when_no_request_comes() {
        let mut sides = Sides::new();
        let now = Instant::now();
        let list = sides.wakers[0].list.clone();
        assert_eq!(list.next_close(), None);
        sides.keep(0, now);
        assert_eq!(list.next_close(), Some(now + KEPT_FOR));
        // The newer one is used once more.
        let later = now + KEPT_FOR / 2;
        sides.keep(0, later);
        let used = sides.take(0, For::Safe, later).unwrap();
        sides.kept.put(used, None, later);
        list.close_idle(later);
        assert_eq!((sides.kept.len(), list.next_close()), (2, Some(now + KEPT_FOR)));
        list.close_idle(now + KEPT_FOR);
        assert_eq!((sides.kept.len(), list.next_close()), (1, Some(later + KEPT_FOR)));
        list.close_idle(later + KEPT_FOR);
        assert_eq!((sides.kept.len(), list.next_close()), (0, None));
        // The next one is told of again. A server may have ended meanwhile.
        sides.keep(0, later + KEPT_FOR);
        assert_eq!(list.next_close(), Some(later + KEPT_FOR * 2));
        drop(sides);
        list.close_idle(later + KEPT_FOR * 2);
        assert_eq!(list.next_close(), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let mut sides = Sides::new();
        let now = Instant::now();
        // Fewer than the open files of most shells.
        for _ in 0..MOST + 2 {
            sides.keep(0, now);
            sides.accepted.clear();
        }
        assert_eq!(sides.kept.len(), MOST);
    }

    #[test]
    fn a_connection_is_kept_for_less_than_its_backend_keeps_it_and_for_a_moment_if_a_request_is_not_safe() {
        let seconds = Duration::from_secs;
        assert_eq!(kept_for(None), seconds(30));
        assert_eq!(kept_for(Some(seconds(5))), seconds(4));
        assert_eq!(kept_for(Some(seconds(1))), seconds(0));
        assert_eq!(kept_for(Some(seconds(75))), seconds(30));
        for (idle, kept_for, wanted, good) in [
            (0, 4, For::Safe, true),
            (3, 4, For::Safe, true),
            (4, 4, For::Safe, false),
            (0, 4, For::Unsafe, true),
            (1, 4, For::Unsafe, false),
            (0, 0, For::Safe, false),
            (0, 0, For::Unsafe, false),
        ] {
            assert_eq!(
                is_good(seconds(idle), seconds(kept_for), wanted),
                good,
                "{idle} {kept_for} {wanted:?}"
            );
        }
    }
}

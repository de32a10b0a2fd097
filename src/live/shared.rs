//! What a feed, its subscribers and its logger share: the backlog, and who waits for the next event. Sending takes one short
//! lock, under which no code of the program runs, and wakes each server once for all its subscribers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backlog::Backlog;
use super::event::{Event, Published};
use crate::handler_call;
use crate::wake_list::{KeySet, WakeList, Waker};

/// The most bytes of the feed's own id, with the line around it.
const MOST_ID_BYTES: usize = 40;

pub(super) struct Shared {
    state: Mutex<State>,
    /// What the feed's own ids begin with, so that those of an earlier run of the program are not taken for them.
    run: u32,
    pub(super) settings: Settings,
}

pub(super) struct Settings {
    pub(super) replays_to_all: bool,
    pub(super) heartbeat: Duration,
    pub(super) reconnect_within: Duration,
    pub(super) on_leave: Option<OnLeave>,
}

pub(super) type OnLeave = Box<dyn Fn(usize) + Send + Sync>;

pub(super) struct State {
    pub(super) backlog: Backlog,
    is_closed: bool,
    servers: Vec<Server>,
}

/// A server with subscribers.
struct Server {
    list: Arc<WakeList>,
    /// The subscribers that wait for an event.
    waiting: KeySet,
    subscribers: usize,
}

impl Shared {
    pub(super) fn new(settings: Settings, backlog: Backlog) -> Shared {
        let state = State { backlog, is_closed: false, servers: Vec::new() };
        // The standard library seeds its hash tables at random.
        let run = RandomState::new().hash_one(()) as u32;
        Shared { state: Mutex::new(state), run, settings }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the program runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn send(&self, event: Event) {
        match event.encode() {
            Ok(event) if self.lock().backlog.has_room_for(event.bytes().len() + MOST_ID_BYTES) => {
                self.publish(event);
            }
            Ok(_) => note_fault("it is larger than all that the feed keeps (history_bytes)"),
            Err(fault) => note_fault(fault),
        }
    }

    fn publish(&self, mut event: Published) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        let number = state.backlog.next();
        event.finish(|| format!("{:08x}-{number}", self.run));
        state.backlog.push(event);
        let woken = state.mark_waiting();
        drop(state);
        woken.iter().for_each(|list| list.wake());
    }

    /// Ends the feed.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let woken = state.mark_waiting();
        drop(state);
        woken.iter().for_each(|list| list.wake());
    }

    /// Where a new subscriber begins that has had the event with this id. `None` when the feed is closed.
    pub(super) fn beginning(&self, last: Option<&str>) -> Option<u64> {
        let state = self.lock();
        let backlog = &state.backlog;
        let from = match last {
            Some(id) => self.behind(backlog, id),
            None if self.settings.replays_to_all => backlog.oldest(),
            None => backlog.next(),
        };
        (!state.is_closed).then_some(from)
    }

    /// Where a client goes on that has had the event with this id.
    fn behind(&self, backlog: &Backlog, id: &str) -> u64 {
        let own = id.split_once('-').and_then(|(run, number)| {
            let run = u32::from_str_radix(run, 16).ok().filter(|run| *run == self.run)?;
            let number = number.parse::<u64>().ok()?;
            (format!("{run:08x}-{number}") == id).then_some(number)
        });
        match own {
            // A subscriber that has missed some gets the rest, and is not cut for it again and again.
            Some(number) => number.saturating_add(1).clamp(backlog.oldest(), backlog.next()),
            None => backlog.behind(id).unwrap_or_else(|| backlog.oldest()),
        }
    }
}

/// Logs why an event is not sent: with the call of the handler that sends it, so that a client cannot fill a disk, or directly.
#[cold]
fn note_fault(fault: &str) {
    if handler_call::is_running() {
        handler_call::note("a faulty event", format_args!("sent an event that cannot be sent: {fault}"));
    } else {
        log::error!("an event was not sent: {fault}");
    }
}

impl State {
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Marks all that wait. Returns the servers that have to be woken for it.
    fn mark_waiting(&mut self) -> Vec<Arc<WakeList>> {
        let marked = self.servers.iter_mut().filter_map(|server| {
            let is_woken = server.list.mark(&mut server.waiting);
            is_woken.then(|| server.list.clone())
        });
        marked.collect()
    }

    /// How many subscribers there are.
    pub(super) fn subscribers(&self) -> usize {
        self.servers.iter().map(|server| server.subscribers).sum()
    }

    fn server_of(&mut self, waker: &Waker) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| Arc::ptr_eq(&server.list, &waker.list))
    }

    pub(super) fn come(&mut self, waker: &Waker) {
        match self.server_of(waker) {
            Some(server) => server.subscribers += 1,
            None => self.servers.push(Server {
                list: waker.list.clone(),
                waiting: KeySet::default(),
                subscribers: 1,
            }),
        }
    }

    /// Returns how many subscribers are left.
    pub(super) fn leave(&mut self, waker: &Waker) -> usize {
        if let Some(server) = self.server_of(waker) {
            server.waiting.remove(waker.key);
            server.subscribers -= 1;
        }
        self.servers.retain(|server| server.subscribers > 0);
        self.subscribers()
    }

    /// Wakes this subscriber with the next event.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if let Some(server) = self.server_of(waker) {
            server.waiting.insert(waker.key);
        }
    }
}

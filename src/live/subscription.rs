//! A subscriber's end of a feed: the body of its response. It reads the feed's backlog from where it is, and waits when it is at
//! the end. The server asks it for bytes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use super::backlog::At;
use super::event::{retry_line, Published};
use super::shared::Shared;
use crate::handler_call;
use crate::http::live_body::{Call, Given, LiveBody, Then};
use crate::wake_list::Waker;

/// An empty comment.
const HEARTBEAT: &[u8] = b":\n\n";
/// How many events that the subscriber does not want are passed over before others have their turn.
const PASSED_OVER: u32 = 64;
/// The reason why a subscriber is cut.
const TOO_SLOW: &str = "a subscriber is further behind than its feed keeps events";

/// A subscriber's filter.
pub(super) type Wanted = Box<dyn Fn(&Published) -> bool + Send>;

pub(super) struct Subscription {
    feed: Arc<Shared>,
    wanted: Option<Wanted>,
    /// The number of the next event.
    next: u64,
    /// An event that does not fit at once, and how much of it was given.
    begun: Option<(Arc<Published>, usize)>,
    waker: Option<Waker>,
    end: End,
}

/// Whether the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// The events before this number are still given.
    At(u64),
    /// The client was told when to come back.
    Told,
}

/// What comes next for a subscriber.
enum Next {
    Event(Arc<Published>),
    /// There is none yet.
    Wait,
    /// The events are over, because the server stops.
    Stop,
    /// The feed is closed.
    Closed,
    Gone,
    /// Others have their turn first.
    Again,
}

impl Subscription {
    pub(super) fn new(feed: Arc<Shared>, next: u64, wanted: Option<Wanted>) -> Subscription {
        Subscription { feed, wanted, next, begun: None, waker: None, end: End::No }
    }

    /// The next event that the subscriber wants. Events that fit into `out` are put there at once.
    fn next_event(&mut self, out: &mut [u8], bytes: &mut usize) -> Next {
        let mut passed_over = 0;
        let mut state = self.feed.lock();
        loop {
            let event = match (state.backlog.at(self.next), self.end) {
                (At::Gone, _) => return Next::Gone,
                (At::Event(number, _), End::At(end)) if number >= end => return Next::Stop,
                (At::End, End::At(_)) => return Next::Stop,
                (At::End, _) if state.is_closed() => return Next::Closed,
                (At::End, _) => {
                    if let Some(waker) = &self.waker {
                        state.wait(waker);
                    }
                    return Next::Wait;
                }
                (At::Event(number, event), _) => {
                    self.next = number + 1;
                    event
                }
            };
            let Some(wanted) = &self.wanted else {
                let encoded = event.bytes();
                match out.get_mut(*bytes..*bytes + encoded.len()) {
                    Some(place) => {
                        place.copy_from_slice(encoded);
                        *bytes += encoded.len();
                        continue;
                    }
                    None => return Next::Event(event.clone()),
                }
            };
            let event = event.clone();
            // The program's code does not run under the lock.
            drop(state);
            if wanted(&event) {
                return Next::Event(event);
            }
            passed_over += 1;
            if passed_over == PASSED_OVER {
                return Next::Again;
            }
            state = self.feed.lock();
        }
    }

    /// Puts as much of the event that has begun as fits.
    fn go_on(&mut self, out: &mut [u8], bytes: &mut usize) {
        let Some((event, given)) = &mut self.begun else { return };
        let rest = &event.bytes()[*given..];
        let fits = rest.len().min(out.len() - *bytes);
        out[*bytes..*bytes + fits].copy_from_slice(&rest[..fits]);
        *bytes += fits;
        *given += fits;
        if fits == rest.len() {
            self.begun = None;
        }
    }
}

impl LiveBody for Subscription {
    #[cfg(feature = "operations")]
    fn is_subscription(&self) -> bool {
        true
    }

    fn begin(&mut self, waker: Waker) {
        self.feed.lock().come(&waker);
        self.waker = Some(waker);
    }

    fn give(&mut self, out: &mut [u8], call: Call) -> Given {
        let mut bytes = 0;
        if call == Call::Stopping && self.end == End::No {
            self.end = End::At(self.feed.lock().backlog.next());
        }
        let then = loop {
            self.go_on(out, &mut bytes);
            if self.begun.is_some() {
                break Then::More;
            }
            if self.end == End::Told {
                break Then::End;
            }
            match self.next_event(out, &mut bytes) {
                Next::Event(event) => self.begun = Some((event, 0)),
                Next::Again => break Then::More,
                Next::Wait => {
                    if call == Call::Due && bytes == 0 && out.len() >= HEARTBEAT.len() {
                        out[..HEARTBEAT.len()].copy_from_slice(HEARTBEAT);
                        bytes = HEARTBEAT.len();
                    }
                    break Then::Wait(self.feed.settings.heartbeat);
                }
                Next::Closed => break Then::End,
                Next::Gone => break Then::Cut(TOO_SLOW),
                Next::Stop => {
                    let farewell = [retry_line(self.reconnect_after()), b"\n".to_vec()].concat();
                    let Some(place) = out.get_mut(bytes..bytes + farewell.len()) else { break Then::More };
                    place.copy_from_slice(&farewell);
                    bytes += farewell.len();
                    self.end = End::Told;
                }
            }
        };
        Given { bytes, then }
    }
}

impl Subscription {
    /// A random time, so that the clients of a server that starts again do not come all at once.
    fn reconnect_after(&self) -> Duration {
        let most = self.feed.settings.reconnect_within.as_millis().min(u32::MAX.into()) as u64;
        let least = most / 4;
        // The standard library seeds its hash tables at random.
        let random = RandomState::new().hash_one(self.next) >> 16;
        Duration::from_millis(least + random % (most - least + 1))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(waker) = self.waker.take() else { return };
        let left = self.feed.lock().leave(&waker);
        if let Some(hook) = &self.feed.settings.on_leave {
            // What the subscriber has been given is still on its way. The call's faults tell what went wrong.
            let _: Option<()> = handler_call::run("a panic in on_leave", || hook(left));
        }
    }
}

//! Waits for a backend's answer on the calling thread: for requests that no server waits for, such as those of tests and those
//! over plain HTTP. `mod` calls it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::exchange::{Exchange, Progress};
use crate::http::live_body::{Call, LiveBody, Then};
use crate::http::response::{Payload, Response};
use crate::wake_list::{WakeList, Waker};

/// Stands in for a server's poller.
struct Watch {
    poll: Poll,
    events: Events,
    waker: Waker,
}

impl Watch {
    fn new() -> io::Result<Watch> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let woken = mio::Waker::new(&registry, Token(usize::MAX))?;
        let waker = Waker { list: Arc::new(WakeList::of_one_response(woken, registry)), key: 0 };
        Ok(Watch { poll, events: Events::with_capacity(8), waker })
    }

    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(limit)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => {
                // So that it is woken again.
                self.waker.list.take(1);
                Ok(())
            }
        }
    }
}

/// Waits for the answer. Its body is read as it comes.
pub(super) fn answer(mut exchange: Exchange) -> io::Result<Response> {
    let mut watch = Watch::new()?;
    loop {
        let now = Instant::now();
        match exchange.advance(&watch.waker, now) {
            // A little more, so that the time is up when the wait ends.
            Progress::Wait(until) => {
                watch.wait(until.saturating_duration_since(now) + Duration::from_millis(1))?
            }
            Progress::Interim(_) => {}
            Progress::Made(mut response) => {
                response.body = match response.body {
                    Payload::Live(body) => {
                        let length = body.length();
                        let reader = Box::new(Reader { watch, body, has_ended: false });
                        Payload::Reader { reader, length }
                    }
                    body => body,
                };
                return Ok(response);
            }
        }
    }
}

/// Reads a body, and waits for it.
struct Reader {
    watch: Watch,
    body: Box<dyn LiveBody>,
    has_ended: bool,
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut call = Call::Ready;
        while !self.has_ended && !out.is_empty() {
            let given = self.body.give(out, call);
            self.has_ended = given.then == Then::End;
            match given.then {
                _ if given.bytes > 0 => return Ok(given.bytes),
                Then::Wait(limit) => {
                    let began = Instant::now();
                    self.watch.wait(limit.saturating_add(Duration::from_millis(1)))?;
                    call = if began.elapsed() >= limit { Call::Due } else { Call::Ready };
                }
                Then::Cut(why) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)),
                Then::More | Then::End => {}
            }
        }
        Ok(0)
    }
}

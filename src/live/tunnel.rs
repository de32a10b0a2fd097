//! Other protocols after a 101, each on a thread of its own: the program reads and writes a stream that blocks. The connection
//! itself stays with the workers, which decrypt and encrypt; between them and the thread are two bounded buffers. So its timers and
//! the server's stop are as everywhere. Programs call it, and the server runs its side (`http/upgrade`).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ::http::header::UPGRADE;
use ::http::{HeaderValue, StatusCode};

use crate::handler_call::{self, Fault};
use crate::http::into_response::IntoResponse;
use crate::http::response::{Payload, Response};
use crate::http::upgrade::{Call, Did, Then, Times, Upgrade};
use crate::http::Refusal;
use crate::limits::body_memory::Budget;
use crate::wake_list::{WakeOnce, Waker};

/// How many bytes wait for the thread, and how many for the client.
const BUFFER_BYTES: usize = 16 * 1024;
/// How many threads a program has with [`Response::upgrade`].
const MOST_THREADS: usize = 32;

const BUSY: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "as many connections of this kind are open as may be at a time; try again",
);

/// All that are made without another bound.
static DEFAULT: Threads = Threads { taken: AtomicUsize::new(0), most: MOST_THREADS };

struct Threads {
    taken: AtomicUsize,
    most: usize,
}

/// Bounds how many connections speak another protocol at a time, each on a thread of its own. Clones are the same bound. Only
/// with the feature `upgrade`.
#[derive(Clone)]
pub struct Upgrades(Arc<Threads>);

impl Upgrades {
    /// At most this many threads.
    pub fn new(most: usize) -> Upgrades {
        Upgrades(Arc::new(Threads { taken: AtomicUsize::new(0), most }))
    }

    /// As [`Response::upgrade`], within this bound.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use lockgate::{Request, Router, Upgrades};
    ///
    /// let upgrades = Upgrades::new(4);
    /// let router = Router::new().get("/console", move |_: &mut Request| {
    ///     upgrades.response("console", |stream| stream.write_all(b"ready\n").unwrap_or_default())
    /// });
    /// # router.check().unwrap();
    /// ```
    pub fn response(
        &self,
        protocol: &str,
        serve: impl FnOnce(&mut UpgradedStream) + Send + 'static,
    ) -> Response {
        answer(protocol, Place::take(Owner::Own(self.0.clone())), Box::new(serve))
    }
}

impl fmt::Debug for Upgrades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Threads { taken, most } = &*self.0;
        f.debug_struct("Upgrades").field("most", most).field("taken", taken).finish()
    }
}

impl Response {
    /// 101: the connection speaks another protocol from here on (RFC 9110 §7.8). The function runs on a thread of its own, and has
    /// a stream that blocks. When it returns, what it has written is sent, and the connection ends. Only with the feature `upgrade`.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use lockgate::{Request, Response, Router};
    ///
    /// let router = Router::new().get("/lines", |_: &mut Request| {
    ///     Response::upgrade("lines", |stream| {
    ///         stream.set_read_timeout(Some(Duration::from_secs(60)));
    ///         let mut piece = [0; 512];
    ///         while let Ok(read @ 1..) = stream.read(&mut piece) {
    ///             if stream.write_all(&piece[..read]).is_err() {
    ///                 return;
    ///             }
    ///         }
    ///     })
    /// });
    /// # router.check().unwrap();
    /// ```
    ///
    /// A request that does not ask for this protocol, with the fields `Upgrade` and `Connection`, gets 426 in its place, and one of
    /// HTTP/1.0 or with a body 400. At most 32 such threads run at a time in a program; beyond that the answer is 503
    /// ([`Upgrades`] has another bound). A name that HTTP does not allow gives a 500 and a line in the log.
    ///
    /// A client that takes nothing for [`Limits::write_timeout`](crate::Limits::write_timeout) is cut, and so is one that takes less
    /// than [`Limits::write_min_rate`](crate::Limits::write_min_rate). A read of a silent one fails after
    /// [`Limits::idle_timeout`](crate::Limits::idle_timeout), or after the [read timeout](UpgradedStream::set_read_timeout) of the
    /// stream. When the server stops, the stream is at its end for reading, and can still be written until
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout). A panic in the function cuts the connection, and the log has a line.
    pub fn upgrade(protocol: &str, serve: impl FnOnce(&mut UpgradedStream) + Send + 'static) -> Response {
        answer(protocol, Place::take(Owner::Default), Box::new(serve))
    }
}

type Serve = Box<dyn FnOnce(&mut UpgradedStream) + Send>;

fn answer(protocol: &str, place: Option<Place>, serve: Serve) -> Response {
    let Some(place) = place else { return BUSY.into_response() };
    let Ok(name) = HeaderValue::from_str(protocol) else {
        handler_call::note("a bad field", format_args!("named a protocol that HTTP does not allow"));
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS).with_field(UPGRADE, name);
    let pipe = Arc::new(Pipe::default());
    response.body = Payload::Upgrade(Box::new(Tunnel { pipe, begins: Some((place, serve)) }));
    response
}

enum Owner {
    Default,
    Own(Arc<Threads>),
}

/// A thread's place. Dropping it gives it back.
struct Place(Owner);

impl Place {
    fn take(owner: Owner) -> Option<Place> {
        let place = Place(owner);
        let Threads { taken, most } = place.threads();
        let took = taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < *most).then_some(taken + 1));
        if took.is_err() {
            std::mem::forget(place);
            return None;
        }
        Some(place)
    }

    fn threads(&self) -> &Threads {
        match &self.0 {
            Owner::Default => &DEFAULT,
            Owner::Own(threads) => threads,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.threads().taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the connection and its thread share.
#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    received: VecDeque<u8>,
    /// Nothing comes after it.
    is_last: bool,
    is_stopping: bool,
    /// The connection is gone.
    is_gone: bool,
    to_send: VecDeque<u8>,
    /// The thread has ended.
    is_over: bool,
    faults: Vec<Fault>,
    connection: WakeOnce,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the program runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(state: MutexGuard<'_, State>) {
        WakeOnce::wake(state, |state| &mut state.connection);
    }

    /// Waits for a change, at most until then.
    fn wait<'p>(
        &'p self,
        state: MutexGuard<'p, State>,
        until: Option<Instant>,
    ) -> io::Result<MutexGuard<'p, State>> {
        let Some(until) = until else {
            return Ok(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// The stream of a connection that has switched to another protocol. It blocks. [`Response::upgrade`] gives it. Only
/// with the feature `upgrade`.
pub struct UpgradedStream {
    pipe: Arc<Pipe>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl UpgradedStream {
    /// After this time without a byte, a read fails with [`TimedOut`](ErrorKind::TimedOut). `None` waits without end, so a client
    /// that is gone without a sign then keeps its thread. Defaults to [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    pub fn set_read_timeout(&mut self, time: Option<Duration>) {
        self.read_timeout = time;
    }

    /// After this time without room for a byte, a write fails with [`TimedOut`](ErrorKind::TimedOut). Defaults to none; the server
    /// cuts a client that takes nothing for [`Limits::write_timeout`](crate::Limits::write_timeout).
    pub fn set_write_timeout(&mut self, time: Option<Duration>) {
        self.write_timeout = time;
    }

    /// Whether the server stops. The function should come to its end.
    pub fn is_stopping(&self) -> bool {
        self.pipe.lock().is_stopping
    }
}

impl fmt::Debug for UpgradedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradedStream")
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .finish_non_exhaustive()
    }
}

/// Returns what has come, and waits for something. 0 is the end: the client sends nothing more, or the server stops.
impl Read for UpgradedStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let until = after(self.read_timeout);
        let mut state = self.pipe.lock();
        loop {
            if !state.received.is_empty() || out.is_empty() {
                let was_full = state.received.len() == BUFFER_BYTES;
                let read = state.received.read(out)?;
                if was_full && read > 0 {
                    // More may wait for room.
                    Pipe::wake(state);
                }
                return Ok(read);
            }
            if state.is_gone {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if state.is_last || state.is_stopping {
                return Ok(0);
            }
            state = self.pipe.wait(state, until)?;
        }
    }
}

/// Waits for room. What is written is sent at once, so `flush` does nothing.
impl Write for UpgradedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let until = after(self.write_timeout);
        let mut state = self.pipe.lock();
        loop {
            if state.is_gone {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let fits = bytes.len().min(BUFFER_BYTES - state.to_send.len());
            if fits > 0 || bytes.is_empty() {
                state.to_send.extend(&bytes[..fits]);
                Pipe::wake(state);
                return Ok(fits);
            }
            state = self.pipe.wait(state, until)?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None` for a time that never comes.
fn after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|time| Instant::now().checked_add(time))
}

/// The connection's side.
struct Tunnel {
    pipe: Arc<Pipe>,
    begins: Option<(Place, Serve)>,
}

impl Upgrade for Tunnel {
    fn begin(&mut self, waker: Waker, _: &Arc<Budget>, times: Times) {
        self.pipe.lock().connection.waker = Some(waker);
        let Some((place, serve)) = self.begins.take() else { return };
        let (pipe, read_timeout) = (self.pipe.clone(), Some(times.idle));
        let run = move || {
            let _place = place;
            let mut stream = UpgradedStream { pipe: pipe.clone(), read_timeout, write_timeout: None };
            // The faults tell what went wrong.
            let _: Option<()> = handler_call::run("a panic in an upgraded connection", || serve(&mut stream));
            let mut state = pipe.lock();
            state.faults = handler_call::faults();
            state.is_over = true;
            Pipe::wake(state);
        };
        if let Err(error) = thread::Builder::new().name("lockgate-upgrade".to_string()).spawn(run) {
            log::error!("a thread for an upgraded connection could not be started: {error}");
            self.pipe.lock().is_over = true;
        }
    }

    fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        let mut state = self.pipe.lock();
        let sends = state.to_send.len().min(call.room);
        out.extend(state.to_send.drain(..sends));
        let taken = input.len().min(BUFFER_BYTES - state.received.len());
        state.received.extend(&input[..taken]);
        state.is_last |= call.is_last && taken == input.len();
        state.is_stopping |= call.is_stopping;
        let faults = std::mem::take(&mut state.faults);
        let then = match (state.to_send.is_empty(), state.is_over) {
            (true, true) if faults.is_empty() => Then::End,
            (_, true) if !faults.is_empty() => Then::Cut("the code of an upgraded connection failed"),
            (false, _) if call.room > 0 => Then::More,
            _ => {
                state.connection.is_awake = false;
                Then::Wait(u64::MAX)
            }
        };
        drop(state);
        self.pipe.changed.notify_all();
        for Fault { what, text } in faults {
            handler_call::note(what, format_args!("{text}"));
        }
        Did { taken, then }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let mut state = self.pipe.lock();
        state.is_gone = true;
        state.connection.waker = None;
        drop(state);
        self.pipe.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::wake_list::WakeList;

    #[test]
    fn a_read_of_a_silent_client_fails_after_the_idle_timeout_and_without_end_only_on_request() {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let list = Arc::new(WakeList::new(waker, poll.registry().try_clone().unwrap()));
        let times = Times { idle: Duration::from_millis(1), body: Duration::ZERO, body_min_rate: 1 };
        let (tell, told) = channel();
        let mut response = Upgrades::new(1).response("silence", move |stream| {
            assert_eq!(stream.read_timeout, Some(Duration::from_millis(1)));
            let silent = stream.read(&mut [0]).map_err(|error| error.kind());
            stream.set_read_timeout(Some(Duration::MAX));
            stream.set_write_timeout(Some(Duration::MAX));
            let written = stream.write(b"ready").map_err(|error| error.kind());
            let read = stream.read(&mut [0]).map_err(|error| error.kind());
            tell.send((silent, written, read)).unwrap();
        });
        let Payload::Upgrade(tunnel) = &mut response.body else { panic!("no upgrade") };
        tunnel.begin(Waker { list, key: 0 }, &Arc::new(Budget::new(0)), times);
        let mut call = Call { room: 100, ..Call::default() };
        let mut out = Vec::new();
        while out.is_empty() {
            tunnel.go_on(b"", &mut out, call);
            thread::yield_now();
        }
        call.is_last = true;
        tunnel.go_on(b"x", &mut out, call);
        let timed_out = Err(ErrorKind::TimedOut);
        assert_eq!((told.recv().unwrap(), &out[..]), ((timed_out, Ok(5), Ok(1)), &b"ready"[..]));
    }
}

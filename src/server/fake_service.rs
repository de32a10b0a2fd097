//! A service for tests. It has pipes instead of connections, each byte is a request, and its handler reports what it does and
//! blocks until the test releases it.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::{Clock, Millis};
use super::places::{Entry, Parked, Places};
use super::poller::Poller;
use super::scheduler::Scheduler;
use super::supervisor;
use super::turn::{Handlers, Idle, Outcome, Parking, Ready, Reason, Signals, TakeTurn};
use super::workers::{Service, Sizes, Workers};
use crate::backports;

/// The connection, what has happened, and the worker.
type Event = (usize, &'static str, Option<usize>);

/// How long a test waits for an event before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Served {
    poller: Poller<Held>,
    workers: Workers,
    stopped: AtomicBool,
    events: Mutex<Sender<Event>>,
    /// Releases a blocked handler.
    gate: Mutex<Receiver<()>>,
    pub(crate) faults: Mutex<Vec<String>>,
}

pub(crate) struct Held {
    key: usize,
    end: File,
    /// Requests that are read and not answered yet.
    waiting: VecDeque<u8>,
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.end.as_raw_fd()
    }
}

impl Parked for Held {
    fn key(&self) -> usize {
        self.key
    }

    fn set_key(&mut self, key: usize) {
        self.key = key;
    }
}

pub(crate) struct Buffers<'s> {
    served: &'s Arc<Served>,
    me: Option<usize>,
    clock: Clock,
}

impl Served {
    fn tell(&self, event: Event) {
        // At the end of the test nobody listens any more.
        let _ = self.events.lock().unwrap().send(event);
    }

    fn wait(&self) {
        let _ = self.gate.lock().unwrap().recv();
    }
}

impl TakeTurn for Held {
    type Buffers<'s> = Buffers<'s>;

    fn take_turn(ready: Ready<Held>, buffers: &mut Buffers<'_>, handlers: Handlers) -> Outcome<Held> {
        let Buffers { served, me, clock } = buffers;
        let Ready { connection: mut held, reason, since } = ready;
        let (me, key) = (*me, held.key);
        clock.look();
        let now = clock.millis();
        if matches!(reason, Reason::Signals(Signals { readable: true, .. })) {
            let mut bytes = [0; 16];
            // A pipe that is readable does not block.
            let read = held.end.read(&mut bytes).unwrap();
            held.waiting.extend(&bytes[..read]);
        }
        let again =
            |held, since| Ready { connection: held, reason: Reason::Signals(Signals::default()), since };
        match held.waiting.pop_front() {
            Some(b'q') => served.tell((key, "quick", me)),
            Some(b'c') => {
                served.tell((key, "closed", me));
                return Outcome::Closed(key);
            }
            // A handler that blocks (`b`), and a handler that announces it before (`s`).
            Some(request @ (b'b' | b's')) => match handlers {
                Handlers::Call => {
                    served.workers().enter_handler(me, Some(0), now, || served.about_to_block(me));
                    if request == b's' {
                        served.about_to_block(me);
                    }
                    served.tell((key, "entered", me));
                    served.wait();
                    let took = clock.look();
                    served.workers().leave_handler(
                        me,
                        Some(0),
                        took.saturating_sub(Duration::from_millis(now)),
                    );
                    served.tell((key, "left", me));
                }
                Handlers::Defer => {
                    served.tell((key, "deferred", me));
                    held.waiting.push_front(request);
                    return Outcome::Queue(again(held, since));
                }
                Handlers::Refuse => served.tell((key, "refused", me)),
            },
            // A response with a reader that blocks (`r`), and one that goes on for long after that (`R`).
            Some(request @ (b'r' | b'R')) => match served.enter_reader(key) {
                Entry::Entered => {
                    served.workers().enter_handler(me, None, now, || served.about_to_block(me));
                    served.tell((key, "reads", me));
                    served.wait();
                    served.workers().leave_handler(me, None, Duration::ZERO);
                    served.leave_reader(key);
                    served.tell((key, "has read", me));
                    if request == b'R' {
                        served.wait();
                    }
                }
                Entry::Full => {
                    served.tell((key, "waits", me));
                    held.waiting.push_front(request);
                    return Outcome::AwaitReader(held);
                }
                Entry::Gone => return Outcome::Closed(key),
            },
            _ => {}
        }
        if !held.waiting.is_empty() {
            return Outcome::Again(again(held, now));
        }
        Outcome::Park(held, Parking { now, deadline: Millis::MAX / 2, idle: Idle::No })
    }
}

impl Service for Served {
    type Held = Held;

    fn poller(&self) -> &Poller<Held> {
        &self.poller
    }

    fn workers(&self) -> &Workers {
        &self.workers
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn log_fault(&self, what: &'static str, _: Instant, line: fmt::Arguments<'_>) {
        self.faults.lock().unwrap().push(format!("{what}: {line}"));
    }

    fn buffers(service: &Arc<Self>, me: Option<usize>) -> Buffers<'_> {
        Buffers { served: service, me, clock: service.poller.clock() }
    }

    fn clock<'b>(buffers: &'b mut Buffers<'_>) -> &'b mut Clock {
        &mut buffers.clock
    }

    fn end(&self, held: Held) {
        self.tell((held.key, "ended", None));
    }
}

/// A service that runs until it is dropped.
pub(crate) struct Fake {
    pub(crate) served: Arc<Served>,
    events: Receiver<Event>,
    gate: Option<Sender<()>>,
}

/// The client's end.
pub(crate) struct Client {
    pub(crate) key: usize,
    end: File,
}

impl Client {
    pub(crate) fn say(&mut self, request: u8) {
        self.end.write_all(&[request]).unwrap();
    }
}

impl Fake {
    /// Starts a service with these sizes and one place for a reader.
    pub(crate) fn start(permits: usize, most: usize, queue_timeout: Millis, queue_requests: usize) -> Fake {
        let fake = Fake::new(Sizes { permits, most, readers: 1, queue_timeout, queue_requests });
        supervisor::start(&fake.served).unwrap();
        fake
    }

    /// A service that does not run.
    pub(crate) fn new(sizes: Sizes) -> Fake {
        let (tell, events) = mpsc::channel();
        let (let_go, gate) = mpsc::channel();
        let served = Arc::new(Served {
            poller: Poller::new(sizes.permits, sizes.readers).unwrap(),
            workers: Workers::new(sizes, 1),
            stopped: AtomicBool::new(false),
            events: Mutex::new(tell),
            gate: Mutex::new(gate),
            faults: Mutex::default(),
        });
        Fake { served, events, gate: Some(let_go) }
    }

    pub(crate) fn connect(&self) -> Client {
        let (end, other) = backports::pipe().unwrap();
        let parking = Parking { now: 0, deadline: Millis::MAX / 2, idle: Idle::No };
        // Keys are given in order while nothing is closed.
        let key = self.served.poller.lock().open;
        self.served.poller.admit(Held { key, end, waiting: VecDeque::new() }, parking).unwrap();
        Client { key, end: other }
    }

    /// The next event.
    pub(crate) fn told(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("nothing has happened")
    }

    /// Lets one blocked handler go on.
    pub(crate) fn let_go(&self) {
        self.gate.as_ref().unwrap().send(()).unwrap();
    }

    /// Waits until `is_so` holds for the places.
    pub(crate) fn until(&self, is_so: impl Fn(&Places<Held>) -> bool) {
        let began = Instant::now();
        while !is_so(&self.served.poller.lock()) {
            assert!(began.elapsed() < PATIENCE);
            thread::yield_now();
        }
    }

    /// Stops as the server does. Returns how many threads have not ended.
    pub(crate) fn stop(&mut self) -> usize {
        self.served.stopped.store(true, Ordering::SeqCst);
        self.gate = None;
        let poller = &self.served.poller;
        poller.cut().for_each(|held| self.served.end(held));
        self.served.workers.wake_all();
        let until = Instant::now() + PATIENCE;
        let mut places = poller.lock();
        while places.permits.alive > 0 && Instant::now() < until {
            places = poller.changed.wait_timeout(places, Duration::from_millis(100)).unwrap().0;
        }
        places.permits.alive
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let left = self.stop();
        assert!(left == 0 || thread::panicking(), "{left} threads have not ended");
    }
}

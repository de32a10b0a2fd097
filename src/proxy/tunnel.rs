//! A WebSocket between a client and a backend, once the backend has answered 101: bytes pass both ways as they come. Neither side is
//! read while the other takes nothing, so a tunnel holds no memory of its own. Knows no WebSocket. `exchange` makes it, and the
//! server runs it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chosen::Chosen;
use super::connection::{Connection, Read};
use crate::http::upgrade::{Call, Did, Then, Times, Upgrade};
use crate::limits::body_memory::Budget;
use crate::wake_list::{SideInterest, Waker};

/// The most that is read of the backend at a time, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// How long a backend may be silent once the client has sent its last, in milliseconds: most clients are gone then. HAProxy has
/// `timeout client-fin` for it.
const LAST_SILENCE: u64 = 60_000;
const BROKEN: &str = "the backend has broken a tunnel";

/// A tunnel to a backend.
pub(super) struct Tunnel {
    connection: Connection,
    /// What has come of the backend with its 101, and is not passed on yet.
    early: Vec<u8>,
    waker: Option<Waker>,
    /// Whether the client has sent its last.
    is_last: bool,
    to_backend: ToBackend,
    /// How long both sides may be silent, in milliseconds, and since when they are.
    most_silence: u64,
    silent_since: Option<u64>,
    chosen: Chosen,
}

/// What the backend takes of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToBackend {
    All,
    /// Nothing more. It knows that, or has ended its side before.
    Nothing,
    /// Nothing more, because it has broken the connection. What it has sent before may still be there.
    Broken,
}

impl Tunnel {
    pub(super) fn new(connection: Connection, early: Vec<u8>, chosen: Chosen, silence: Duration) -> Tunnel {
        connection.keep_alive();
        Tunnel {
            connection,
            early,
            waker: None,
            is_last: false,
            to_backend: ToBackend::All,
            most_silence: silence.as_millis().try_into().unwrap_or(u64::MAX),
            silent_since: None,
            chosen,
        }
    }

    /// What follows when nothing more can be done now, after so many bytes of the client were taken.
    fn wait(&mut self, taken: usize, call: Call) -> Then {
        if taken > 0 {
            self.silent_since = None;
        }
        let most = if self.is_last { self.most_silence.min(LAST_SILENCE) } else { self.most_silence };
        let until = self.silent_since.get_or_insert(call.now).saturating_add(most);
        match call.is_due && until <= call.now {
            true => Then::End,
            false => Then::Wait(until),
        }
    }

    /// Sends what has come of the client. Returns how much of it the backend takes now.
    fn send(&mut self, input: &[u8]) -> io::Result<usize> {
        // Also without input something that was taken may wait to be sent.
        let taken = self.connection.send(input)?;
        if self.is_last && taken == input.len() && self.connection.finish()? {
            self.to_backend = ToBackend::Nothing;
        }
        let interest = if taken == input.len() { SideInterest::Readable } else { SideInterest::Both };
        if let Some(waker) = &self.waker {
            self.connection.watch(waker, interest)?;
        }
        Ok(taken)
    }

    /// Appends what has come of the backend, at most so much.
    fn read(&mut self, out: &mut Vec<u8>, room: usize) -> io::Result<Then> {
        if !self.early.is_empty() {
            out.extend(self.early.drain(..room.min(self.early.len())));
            return Ok(Then::More);
        }
        let before = out.len();
        out.resize(before + room.min(STEP_BYTES), 0);
        let read = self.connection.read(&mut out[before..]);
        out.truncate(before + if let Ok(Read::Bytes(read)) = read { read } else { 0 });
        Ok(match read {
            Ok(Read::Bytes(_)) => Then::More,
            Ok(Read::Nothing) => Then::Wait(u64::MAX),
            Ok(Read::End) => Then::End,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Then::End,
            Err(error) => return Err(error),
        })
    }
}

impl Upgrade for Tunnel {
    fn begin(&mut self, waker: Waker, _: &Arc<Budget>, _: Times) {
        self.waker = Some(waker);
    }

    fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did {
        let all = input.len();
        if call.is_stopping {
            // Neither side would end by itself.
            return Did { taken: all, then: Then::End };
        }
        if call.is_last && !std::mem::replace(&mut self.is_last, true) {
            self.silent_since = None;
        }
        let taken = match self.to_backend {
            ToBackend::All => self.send(input).unwrap_or_else(|error| {
                // A backend that has ended its side before, and does not read any more, breaks the pipe.
                let has_ended = error.kind() == ErrorKind::BrokenPipe;
                self.to_backend = if has_ended { ToBackend::Nothing } else { ToBackend::Broken };
                all
            }),
            ToBackend::Nothing | ToBackend::Broken => all,
        };
        if call.room == 0 {
            return Did { taken, then: self.wait(taken, call) };
        }
        let then = match self.read(out, call.room) {
            Ok(Then::Wait(_) | Then::End) if self.to_backend == ToBackend::Broken => Then::Cut(BROKEN),
            Ok(Then::Wait(_)) => self.wait(taken, call),
            Ok(then) => {
                self.silent_since = None;
                then
            }
            // Many backends end without ending TLS once their client has ended.
            Err(error) if self.is_last && error.kind() == ErrorKind::UnexpectedEof => Then::End,
            Err(_) => Then::Cut(BROKEN),
        };
        if matches!(then, Then::Cut(_)) {
            // The server's line has the client's address.
            self.chosen.tell_of_cut("a tunnel to", "it has broken the connection", Instant::now());
        }
        Did { taken, then }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::chosen::{Taken, Waiting};
    use super::super::connection::{receive, send_some, Secure};
    use super::super::shared::{Settings, Shared};
    use super::super::target::Target;
    use super::*;
    use crate::wake_list::WakeList;

    const HOUR: u64 = 3_600_000;
    const ROOM: Call = Call { now: 0, room: 1_000, ..NONE };
    const NONE: Call = Call {
        now: 0,
        room: 0,
        is_last: false,
        is_stopping: false,
        may_block: false,
        is_overloaded: false,
        is_due: false,
        has_taken: false,
    };

    /// A tunnel whose client is the test, and the backend's end of it.
    fn open(silence: u64, secure: Option<Box<dyn Secure>>) -> (Tunnel, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let shared = Arc::new(Shared::new(vec![target], Settings::default()));
        let poll = mio::Poll::new().unwrap();
        let woken = mio::Waker::new(poll.registry(), mio::Token(usize::MAX)).unwrap();
        let list = Arc::new(WakeList::new(woken, poll.registry().try_clone().unwrap()));
        let now = Instant::now();
        let taken = Waiting::new(shared, false, now).take(&Waker { list, key: 1 }, now);
        let Taken::Target(chosen) = taken else { panic!("it has no target") };
        let mut connection = chosen.open(0, now).unwrap();
        if let Some(secure) = secure {
            connection = connection.secured(secure);
        }
        let (backend, _) = listener.accept().unwrap();
        (Tunnel::new(connection, Vec::new(), chosen, Duration::from_millis(silence)), backend)
    }

    /// What follows when so much of the backend has come, or when the tunnel ends before.
    fn pass(tunnel: &mut Tunnel, input: &[u8], most: usize, call: Call) -> (String, Then) {
        let until = Instant::now() + Duration::from_secs(20);
        let mut out = Vec::new();
        loop {
            let then = tunnel.go_on(input, &mut out, call).then;
            if out.len() >= most && then != Then::More || matches!(then, Then::End | Then::Cut(_)) {
                return (String::from_utf8(out).unwrap(), then);
            }
            assert!(Instant::now() < until, "only {out:?} came");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_tunnel_may_be_silent_for_its_time_and_for_a_minute_once_the_client_has_sent_its_last() {
        let (mut tunnel, mut backend) = open(HOUR, None);
        assert_eq!(pass(&mut tunnel, b"x", 0, ROOM).1, Then::Wait(HOUR));
        let later = Call { now: HOUR - 1, ..ROOM };
        assert_eq!(pass(&mut tunnel, b"", 0, later).1, Then::Wait(HOUR));
        let last = Call { is_last: true, ..later };
        assert_eq!(pass(&mut tunnel, b"", 0, last).1, Then::Wait(HOUR - 1 + LAST_SILENCE));
        let mut come = Vec::new();
        backend.read_to_end(&mut come).unwrap();
        assert_eq!(come, b"x", "it knows of the end");
        // What flows is not cut.
        backend.write_all(b"some").unwrap();
        let flows = Call { now: HOUR + 30_000, ..last };
        assert_eq!(pass(&mut tunnel, b"", 4, flows), ("some".into(), Then::Wait(HOUR + 90_000)));
        let due = Call { is_due: true, ..last };
        assert_eq!(
            pass(&mut tunnel, b"", 0, Call { now: HOUR + 89_999, ..due }).1,
            Then::Wait(HOUR + 90_000)
        );
        assert_eq!(pass(&mut tunnel, b"", 0, Call { now: HOUR + 90_000, ..due }).1, Then::End);
    }

    #[test]
    fn a_shorter_time_of_the_program_holds_also_after_the_end_of_the_client() {
        let (mut tunnel, _backend) = open(10_000, None);
        assert_eq!(pass(&mut tunnel, b"", 0, Call { is_last: true, ..ROOM }).1, Then::Wait(10_000));
    }

    #[test]
    fn what_a_backend_has_sent_before_it_broke_the_connection_is_passed_on() {
        let (mut tunnel, mut backend) = open(HOUR, None);
        backend.write_all(b"last words").unwrap();
        rustix::net::sockopt::set_socket_linger(&backend, Some(Duration::ZERO)).unwrap();
        drop(backend);
        assert_eq!(pass(&mut tunnel, b"x", usize::MAX, ROOM), ("last words".into(), Then::Cut(BROKEN)));
    }

    #[test]
    fn a_backend_that_has_ended_and_reads_nothing_more_has_ended_the_tunnel() {
        let (mut tunnel, mut backend) = open(HOUR, None);
        backend.write_all(b"last words").unwrap();
        drop(backend);
        // The first bytes that it does not read reset the connection.
        let until = Instant::now() + Duration::from_secs(20);
        while tunnel.to_backend == ToBackend::All {
            assert!(tunnel.go_on(b"x", &mut Vec::new(), NONE).taken == 1 && Instant::now() < until);
        }
        assert_eq!(pass(&mut tunnel, b"x", usize::MAX, ROOM), ("last words".into(), Then::End));
    }

    /// Takes everything, and sends it when it may.
    #[derive(Debug, Default)]
    struct Slow {
        unsent: Vec<u8>,
        may_send: Arc<AtomicBool>,
    }

    impl Slow {
        fn flush(&mut self, socket: &OwnedFd) -> io::Result<bool> {
            if self.may_send.load(Ordering::Relaxed) {
                let sent = send_some(socket, &self.unsent)?;
                self.unsent.drain(..sent);
            }
            Ok(self.unsent.is_empty())
        }
    }

    impl Secure for Slow {
        fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
            self.unsent.extend_from_slice(bytes);
            self.flush(socket)?;
            Ok(bytes.len())
        }

        fn read(&mut self, socket: &OwnedFd, out: &mut [u8]) -> io::Result<Read> {
            match receive(socket, out)? {
                // As TLS that was not ended.
                Read::End => Err(ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            }
        }

        fn finish(&mut self, socket: &OwnedFd) -> io::Result<bool> {
            self.flush(socket)
        }

        fn has_unsent(&self) -> bool {
            !self.unsent.is_empty()
        }
    }

    #[test]
    fn a_backend_that_ends_behind_its_client_without_ending_tls_has_broken_nothing() {
        for (is_last, expected) in [(true, Then::End), (false, Then::Cut(BROKEN))] {
            let (mut tunnel, backend) = open(HOUR, Some(Box::<Slow>::default()));
            drop(backend);
            assert_eq!(pass(&mut tunnel, b"", usize::MAX, Call { is_last, ..ROOM }).1, expected);
        }
    }

    #[test]
    fn a_backend_hears_of_the_clients_end_when_it_has_got_all_that_the_client_has_sent() {
        let may_send = Arc::new(AtomicBool::new(false));
        let (mut tunnel, mut backend) =
            open(HOUR, Some(Box::new(Slow { may_send: may_send.clone(), ..Slow::default() })));
        let last = Call { is_last: true, ..NONE };
        assert_eq!(tunnel.go_on(b"all", &mut Vec::new(), last).taken, 3);
        assert_eq!(tunnel.to_backend, ToBackend::All);
        may_send.store(true, Ordering::Relaxed);
        // Although the client takes nothing now.
        tunnel.go_on(b"", &mut Vec::new(), last);
        let mut come = Vec::new();
        backend.read_to_end(&mut come).unwrap();
        assert_eq!(come, b"all");
    }
}

//! Connections to the server that is checked: counted, and bounded in time and in bytes. The only place here that opens
//! sockets; every probe gets its connection from [`Dialer`].

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// All connections of one check together. It needs about 30; the rest is for connections that must be made again.
pub(super) const MOST_CONNECTIONS: u32 = 48;
/// What one connection may bring, in bytes. No flight of a handshake and no answer that is looked at comes near it.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// By how much a phase is cut short once another has been waited for in vain.
const HURRY: u32 = 5;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Opens connections to one server until the check's time or its number of connections is used up.
#[derive(Debug)]
pub(super) struct Dialer {
    /// Of one machine; the port is chosen at each call. Never empty.
    addresses: Vec<SocketAddr>,
    phase: Duration,
    /// Whether phases are cut short: what is asked has kept silent before.
    is_hurried: bool,
    until: Instant,
    opened: Cell<u32>,
}

impl Dialer {
    /// Looks `host` up, in at most `phase`.
    pub(super) fn resolve(
        host: &str,
        port: u16,
        phase: Duration,
        until: Instant,
    ) -> Result<Dialer, io::Error> {
        let (sender, answer) = mpsc::channel();
        // The system's resolver cannot be told when to stop; so it is left to itself when it takes too long.
        let asked = (host.trim_matches(['[', ']']).to_string(), port);
        std::thread::Builder::new().name("lockgate-resolve".into()).spawn(move || {
            let found = asked.to_socket_addrs().map(|found| found.collect::<Vec<_>>());
            // Nobody waits for it any more when it has taken too long.
            let _ = sender.send(found);
        })?;
        let timed_out = |_| io::Error::new(ErrorKind::TimedOut, "looking up the name took too long");
        let mut addresses = answer.recv_timeout(phase).map_err(timed_out)??;
        addresses.truncate(MOST_ADDRESSES);
        if addresses.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
        }
        Ok(Dialer::to(addresses, phase, until))
    }

    pub(super) fn to(addresses: Vec<SocketAddr>, phase: Duration, until: Instant) -> Dialer {
        Dialer { addresses, phase, is_hurried: false, until, opened: Cell::new(0) }
    }

    /// How long a phase of the next connection may take.
    pub(super) fn phase(&self) -> Duration {
        if self.is_hurried {
            self.phase / HURRY
        } else {
            self.phase
        }
    }

    /// Cuts the phases of the next connections short, because one of their kind has waited in vain.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Gives the next connections their whole time again.
    pub(super) fn take_time(&mut self) {
        self.is_hurried = false;
    }

    /// How many connections there have been, those that failed among them.
    pub(super) fn opened(&self) -> u32 {
        self.opened.get()
    }

    /// The address that the last connection went to.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// A connection to this port; its first phase has begun.
    pub(super) fn dial(&mut self, port: u16) -> Result<Line, io::Error> {
        let mut last = io::Error::new(ErrorKind::NotFound, "there is no address to connect to");
        for index in 0..self.addresses.len() {
            let Some(&address) = self.addresses.get(index) else { break };
            let left = self.phase().min(self.until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "the time for this check is over"));
            }
            if self.opened.get() >= MOST_CONNECTIONS {
                return Err(io::Error::other("this check has made all the connections that it may make"));
            }
            self.opened.set(self.opened.get() + 1);
            match TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    // The one that answers is asked first from now on.
                    self.addresses.swap(0, index);
                    let mut line = Line {
                        stream,
                        phase: self.phase(),
                        end: self.until,
                        until: self.until,
                        left: MOST_BYTES,
                    };
                    line.next_phase();
                    return Ok(line);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A connection whose every phase ends at a time that no dripping byte moves.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    phase: Duration,
    /// The end of the whole check.
    end: Instant,
    /// The end of this phase.
    until: Instant,
    /// Bytes that may still come.
    left: usize,
}

impl Line {
    /// Gives what follows its own time.
    pub(super) fn next_phase(&mut self) {
        self.until = self.end.min(Instant::now() + self.phase);
    }

    /// How many bytes have come.
    pub(super) fn heard(&self) -> usize {
        MOST_BYTES - self.left
    }

    fn remaining(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(late())
        } else {
            Ok(left)
        }
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

/// A socket's own timeout comes as `WouldBlock` on Linux.
fn as_late(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
        _ => error,
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the server sends more than is looked at here"));
        }
        self.stream.set_read_timeout(Some(self.remaining()?))?;
        let most = buffer.len().min(self.left);
        // `most` is within the buffer.
        let count = self.stream.read(&mut buffer[..most]).map_err(as_late)?;
        self.left -= count;
        Ok(count)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.remaining()?))?;
        self.stream.write(bytes).map_err(as_late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const PHASE: Duration = Duration::from_millis(200);

    fn dialer(within: Duration) -> (Dialer, TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Dialer::to(vec![address], PHASE, Instant::now() + within), listener, address.port())
    }

    #[test]
    fn a_drip_of_bytes_does_not_move_the_end_of_a_phase() {
        let (mut dialer, listener, port) = dialer(Duration::from_secs(60));
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Until nobody listens any more.
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut line = dialer.dial(port).unwrap();
        let error = line.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        drop(line);
        dripping.join().unwrap();
    }

    #[test]
    fn a_flood_is_read_up_to_its_bound() {
        let (mut dialer, listener, port) = dialer(Duration::from_secs(60));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[0; 65_536]).is_ok() {}
        });
        let mut line = dialer.dial(port).unwrap();
        line.phase = Duration::from_secs(20);
        line.next_phase();
        let mut got = Vec::new();
        let error = line.read_to_end(&mut got).unwrap_err();
        assert!(error.to_string().contains("more than is looked at"), "{error}");
        assert_eq!(got.len(), MOST_BYTES);
    }

    #[test]
    fn connections_are_counted_and_end_at_their_number_and_at_the_checks_end() {
        let (mut first, _listener, port) = dialer(Duration::from_secs(60));
        for _ in 0..MOST_CONNECTIONS {
            first.dial(port).unwrap();
        }
        assert!(first.dial(port).unwrap_err().to_string().contains("all the connections"));
        assert_eq!(first.opened(), MOST_CONNECTIONS);

        let (mut late, _listener, port) = dialer(Duration::ZERO);
        assert_eq!(late.dial(port).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(late.opened(), 0);
    }

    #[test]
    fn the_address_that_answers_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // No listener has this address of the loopback.
        let addresses = vec!["127.0.0.2:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap()];
        let mut dialer = Dialer::to(addresses, PHASE, Instant::now() + Duration::from_secs(60));
        dialer.dial(port).unwrap();
        assert_eq!(dialer.opened(), 2);
        dialer.dial(port).unwrap();
        assert_eq!(dialer.opened(), 3);
        assert_eq!(dialer.address().unwrap().ip().to_string(), "127.0.0.1");
    }
}

//! Connections to the checked server: counted, and bounded in time and bytes. No other file of the check opens sockets;
//! every probe gets its connection from [`Dialer`].

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The most connections of one check. It needs about 30; the rest is for connections that must be repeated.
pub(super) const MOST_CONNECTIONS: u32 = 48;
/// The most bytes of one connection. No flight of a handshake and no answer within its own bound comes near it.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The divisor for the time of a phase after another one has timed out.
const HURRY: u32 = 5;
/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;

/// Opens connections to one server until the time or the number of connections of the check is used up.
#[derive(Debug)]
pub(super) struct Dialer {
    /// The addresses of one machine; the port is chosen at each call. Never empty.
    addresses: Vec<SocketAddr>,
    phase: Duration,
    /// Whether phases are shortened, because the server has not answered before.
    is_hurried: bool,
    until: Instant,
    opened: Cell<u32>,
}

impl Dialer {
    /// Looks `host` up within `phase`.
    pub(super) fn resolve(
        host: &str,
        port: u16,
        phase: Duration,
        until: Instant,
    ) -> Result<Dialer, io::Error> {
        let (sender, answer) = mpsc::channel();
        // The system's resolver has no timeout, so it runs on a thread of its own, which is abandoned when it takes too
        // long.
        let asked = (host.trim_matches(['[', ']']).to_string(), port);
        std::thread::Builder::new().name("lockgate-resolve".into()).spawn(move || {
            let found = asked.to_socket_addrs().map(|found| found.collect::<Vec<_>>());
            // The receiver is gone when the look-up has taken too long.
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

    /// Shortens the phases of the next connections, because a connection of the same kind has timed out.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Gives the next connections their whole time again.
    pub(super) fn take_time(&mut self) {
        self.is_hurried = false;
    }

    /// How many connections there have been, failed ones included.
    pub(super) fn opened(&self) -> u32 {
        self.opened.get()
    }

    /// The address of the last connection.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// Opens a connection to this port; its first phase begins.
    pub(super) fn dial(&mut self, port: u16) -> Result<Line, io::Error> {
        let mut last = io::Error::new(ErrorKind::NotFound, "there is no address to connect to");
        for index in 0..self.addresses.len() {
            let Some(&address) = self.addresses.get(index) else { break };
            let left = self.phase().min(self.until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "the time for this check is over"));
            }
            if self.opened.get() >= MOST_CONNECTIONS {
                return Err(io::Error::other("this check has used up its connections"));
            }
            self.opened.set(self.opened.get() + 1);
            match TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    // The next connections try the address that answers first.
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

/// A connection whose phases each have a fixed end, which slow bytes do not move.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    phase: Duration,
    /// The end of the whole check.
    end: Instant,
    /// The end of this phase.
    until: Instant,
    /// How many more bytes are accepted.
    left: usize,
}

impl Line {
    /// Starts the next phase.
    pub(super) fn next_phase(&mut self) {
        self.until = self.end.min(Instant::now() + self.phase);
    }

    /// How many bytes have arrived.
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

/// On Linux a socket's timeout is reported as `WouldBlock`.
fn as_late(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
        _ => error,
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the server sends more than the check reads"));
        }
        self.stream.set_read_timeout(Some(self.remaining()?))?;
        let most = buffer.len().min(self.left);
        // `most` is at most the buffer's length.
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
            // Until the other side is closed.
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
        assert!(error.to_string().contains("more than the check reads"), "{error}");
        assert_eq!(got.len(), MOST_BYTES);
    }

    #[test]
    fn connections_are_counted_and_end_at_their_number_and_at_the_checks_end() {
        let (mut first, _listener, port) = dialer(Duration::from_secs(60));
        for _ in 0..MOST_CONNECTIONS {
            first.dial(port).unwrap();
        }
        assert!(first.dial(port).unwrap_err().to_string().contains("used up its connections"));
        assert_eq!(first.opened(), MOST_CONNECTIONS);

        let (mut late, _listener, port) = dialer(Duration::ZERO);
        assert_eq!(late.dial(port).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(late.opened(), 0);
    }

    #[test]
    fn the_address_that_answers_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Nothing listens on this loopback address.
        let addresses = vec!["127.0.0.2:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap()];
        let mut dialer = Dialer::to(addresses, PHASE, Instant::now() + Duration::from_secs(60));
        dialer.dial(port).unwrap();
        assert_eq!(dialer.opened(), 2);
        dialer.dial(port).unwrap();
        assert_eq!(dialer.opened(), 3);
        assert_eq!(dialer.address().unwrap().ip().to_string(), "127.0.0.1");
    }
}

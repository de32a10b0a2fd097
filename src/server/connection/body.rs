//! The reader of a request's body: it knows where the body ends, how much has come, how large it may be and when it must be
//! complete. One [`Reader`] type serves bodies that are collected before the handler is called, bodies that the handler reads
//! itself, and bodies that are read and dropped. It knows the transport and the input, but no connection. `collecting` uses it
//! for the first and the last, `streaming` for the second.

use std::io;
use std::time::Duration;

use ::http::StatusCode;

use super::transport::{Stream, Transport};
use crate::error::BodyFault;
use crate::http::chunked::{Decoder, Found};
use crate::http::request_head::BodyLength;
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::route::RouteLimits;
use crate::limits::Limits;
use crate::server::clock::{whole_millis, Millis};
use crate::server::deadline::Deadline;
use crate::server::input::Input;

/// RFC 9110 §15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const LATE: Refusal = Refusal::over(
    Limit::BodyTimeout,
    StatusCode::REQUEST_TIMEOUT,
    "the request's body did not arrive in time",
);
/// The refusal for a fault of the body, when no handler has been called yet.
pub(crate) fn refusal_of(fault: &BodyFault) -> Refusal {
    match fault {
        BodyFault::TooLarge { .. } => Refusal::BODY_TOO_LARGE,
        BodyFault::TimedOut { .. } => LATE,
        BodyFault::Malformed(detail) => Refusal::bad_request(detail),
        _ => Refusal::bad_request("the request's body could not be read"),
    }
}

/// Reads the body of one request.
#[derive(Debug)]
pub(crate) struct Reader {
    framing: Framing,
    /// How many bytes of the body have come, without framing, and how many may.
    received: u64,
    most: u64,
    began: Millis,
    timeout: Duration,
    expectation: Expectation,
    /// Since when nothing is read, because what takes the body takes no more. Never else.
    #[cfg(feature = "proxy")]
    paused: Millis,
    /// How much of it was taken before nobody took the rest.
    #[cfg(feature = "proxy")]
    taken: u64,
}

/// How large a body may be, in bytes, and until when it must be complete after its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub bytes: u64,
    pub timeout: Duration,
}

impl Bounds {
    /// The bounds of a route with these limits, and else of the server.
    pub(crate) fn of(limits: &Limits, route: Option<&RouteLimits>) -> Bounds {
        Bounds {
            bytes: route.and_then(|route| route.body_bytes).unwrap_or(limits.body_bytes),
            timeout: route.and_then(|route| route.body_timeout).unwrap_or(limits.body_timeout),
        }
    }
}

/// How the rest of the body is framed.
#[derive(Debug)]
enum Framing {
    Fixed { left: u64 },
    Chunked(Decoder),
}

/// Whether the client waits for `100 Continue` before it sends the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    None,
    Continue,
}

/// What the input held next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This many bytes of data.
    Data(usize),
    /// Nothing more. The rest has to come.
    Pending,
    /// The body's end.
    End,
}

/// The result of reading the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many bytes of data, written straight to their destination.
    Data(usize),
    /// Bytes that are now in the input.
    Input,
    /// The client has closed the connection.
    Closed,
}

impl Reader {
    /// A reader for the body of a request whose head ended at `began`. An error if the head says that the body is too large.
    pub(crate) fn new(
        length: BodyLength,
        Bounds { bytes: most, timeout }: Bounds,
        began: Millis,
        expectation: Expectation,
    ) -> Result<Reader, BodyFault> {
        let framing = match length {
            BodyLength::Fixed(length) if length > most => return Err(BodyFault::TooLarge { limit: most }),
            BodyLength::Fixed(left) => Framing::Fixed { left },
            BodyLength::Chunked => Framing::Chunked(Decoder::new()),
        };
        Ok(Reader {
            framing,
            received: 0,
            most,
            began,
            timeout,
            expectation,
            #[cfg(feature = "proxy")]
            paused: Millis::MAX,
            #[cfg(feature = "proxy")]
            taken: 0,
        })
    }

    /// Passes the next data in `input` to `take`: at most `most` bytes.
    pub(crate) fn next(
        &mut self,
        input: &mut Input,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<Piece, BodyFault> {
        let unread = input.unread();
        let (start, length) = match &mut self.framing {
            Framing::Fixed { left: 0 } => return Ok(Piece::End),
            Framing::Fixed { .. } if unread.is_empty() => return Ok(Piece::Pending),
            Framing::Fixed { left } => {
                let length = (unread.len().min(most) as u64).min(*left) as usize;
                *left -= length as u64;
                (0, length)
            }
            Framing::Chunked(decoder) => match decoder.next(unread)? {
                Found::End(at) => {
                    input.consume(at);
                    return Ok(Piece::End);
                }
                Found::More => {
                    input.clear();
                    return Ok(Piece::Pending);
                }
                Found::Data(range) => {
                    let length = range.len().min(most);
                    decoder.take(length);
                    (range.start, length)
                }
            },
        };
        take(&unread[start..][..length]);
        input.consume(start + length);
        self.received += length as u64;
        if self.received > self.most {
            return Err(BodyFault::TooLarge { limit: self.most });
        }
        Ok(Piece::Data(length))
    }

    /// Reads the connection once, when the input holds no more of the body. Data of a known length goes straight to `out`, as
    /// far as there is room. Chunks go to the input.
    pub(crate) fn receive<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        input: &mut Input,
        out: &mut [u8],
    ) -> io::Result<Received> {
        match &mut self.framing {
            Framing::Fixed { left } => {
                let most = (out.len() as u64).min(*left) as usize;
                let read = transport.read(&mut out[..most])?;
                *left -= read as u64;
                self.received += read as u64;
                Ok(if read == 0 { Received::Closed } else { Received::Data(read) })
            }
            Framing::Chunked(_) => {
                let read = transport.read(input.room())?;
                input.filled(read);
                Ok(if read == 0 { Received::Closed } else { Received::Input })
            }
        }
    }

    /// The `100 Continue` that the client waits for before it sends the body. Returned only once.
    pub(crate) fn take_continue(&mut self) -> Option<&'static [u8]> {
        match std::mem::replace(&mut self.expectation, Expectation::None) {
            Expectation::Continue => Some(CONTINUE),
            Expectation::None => None,
        }
    }

    /// Whether the client still waits for `100 Continue`.
    pub(crate) fn expectation(&self) -> Expectation {
        self.expectation
    }

    /// Notes that nothing is read from now on. The client does not answer for this time.
    #[cfg(feature = "proxy")]
    pub(crate) fn pause(&mut self, now: Millis) {
        self.paused = self.paused.min(now);
    }

    /// Notes that the body is read again.
    #[cfg(feature = "proxy")]
    pub(crate) fn resume(&mut self, now: Millis) {
        self.began += now.saturating_sub(self.paused);
        self.paused = Millis::MAX;
    }

    /// Notes that what has come was taken, and the rest maybe is not.
    #[cfg(feature = "proxy")]
    pub(crate) fn leave_rest(&mut self) {
        self.taken = self.received;
    }

    /// How much has come that nobody has taken.
    pub(crate) fn received_in_vain(&self) -> u64 {
        #[cfg(feature = "proxy")]
        return self.received.saturating_sub(self.taken);
        #[cfg(not(feature = "proxy"))]
        self.received
    }

    /// The length of the whole body, in bytes, if the head has told it.
    #[cfg(feature = "proxy")]
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.framing {
            Framing::Fixed { left } => Some(self.received + left),
            Framing::Chunked(_) => None,
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// What a body that is late is told.
    pub(crate) fn late(&self) -> BodyFault {
        BodyFault::TimedOut { limit: self.timeout }
    }

    pub(crate) fn began(&self) -> Millis {
        self.began
    }

    pub(crate) fn is_ended(&self) -> bool {
        match &self.framing {
            Framing::Fixed { left } => *left == 0,
            Framing::Chunked(decoder) => decoder.is_ended(),
        }
    }

    /// The size of the body, as far as it is known.
    pub(crate) fn known_bytes(&self) -> u64 {
        self.received + self.straight_bytes()
    }

    /// Whether the rest of a body in chunks ends in these bytes, with no more data than this.
    #[cfg(feature = "proxy")]
    pub(crate) fn ends_within(&self, bytes: &[u8], most: u64) -> bool {
        let Framing::Chunked(decoder) = &self.framing else { return false };
        let (mut decoder, mut rest, mut data) = (decoder.clone(), bytes, 0);
        loop {
            match decoder.next(rest) {
                Ok(Found::Data(range)) => {
                    decoder.take(range.len());
                    data += range.len() as u64;
                    rest = &rest[range.end..];
                }
                Ok(Found::End(_)) => return data <= most,
                Ok(Found::More) | Err(_) => return false,
            }
        }
    }

    /// How many bytes can be read straight to their destination.
    pub(crate) fn straight_bytes(&self) -> u64 {
        match &self.framing {
            Framing::Fixed { left } => *left,
            Framing::Chunked(_) => 0,
        }
    }

    /// When the body must be complete, if none of it comes.
    pub(crate) fn first_deadline(&self) -> Deadline {
        Deadline::of(Limit::BodyTimeout, self.began + whole_millis(self.timeout))
    }

    /// When the body must be complete, prolonged by the time that the received bytes allow.
    pub(crate) fn deadline(&self, limits: &Limits) -> Deadline {
        let Deadline { at, limit } = self.first_deadline();
        Deadline { at: at + self.received.saturating_mul(1_000) / limits.body_min_rate, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &str) -> Input {
        let mut input = Input::new(&Limits::default());
        input.restore(bytes.as_bytes());
        input
    }

    fn reader(length: BodyLength, most: u64) -> Result<Reader, BodyFault> {
        let bounds = Bounds { bytes: most, timeout: Duration::from_secs(30) };
        Reader::new(length, bounds, 100, Expectation::None)
    }

    /// Reads in pieces of at most `step` bytes until there is no more. Returns the data, and how it ended.
    fn read(reader: &mut Reader, input: &mut Input, step: usize) -> (String, Result<Piece, BodyFault>) {
        let mut data = Vec::new();
        loop {
            match reader.next(input, step, |piece| data.extend_from_slice(piece)) {
                Ok(Piece::Data(length)) => assert!(length > 0 && length <= step),
                end => return (String::from_utf8(data).unwrap(), end),
            }
        }
    }

    #[test]
    fn both_framings_give_their_data_and_leave_what_follows() {
        for step in [1, 3, 100] {
            for (length, bytes) in [
                (BodyLength::Fixed(6), "abcdefGET"),
                (BodyLength::Chunked, "4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\nGET"),
            ] {
                let (mut reader, mut input) = (reader(length, 6).unwrap(), input(bytes));
                let (data, end) = read(&mut reader, &mut input, step);
                assert_eq!((&*data, end.unwrap()), ("abcdef", Piece::End));
                assert!(reader.is_ended());
                assert_eq!((reader.received(), input.unread()), (6, &b"GET"[..]));
            }
        }
    }

    #[test]
    fn the_limit_holds_for_both_at_it_and_one_over_it() {
        assert!(matches!(reader(BodyLength::Fixed(7), 6), Err(BodyFault::TooLarge { limit: 6 })));
        for (most, is_within) in [(5, false), (6, true)] {
            let (mut reader, mut input) =
                (reader(BodyLength::Chunked, most).unwrap(), input("6\r\nabcdef\r\n0\r\n\r\n"));
            let (_, end) = read(&mut reader, &mut input, 4);
            assert_eq!(end.is_ok(), is_within, "{end:?}");
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn the_end_of_a_body_in_chunks_is_found_in_what_has_come() {
        for (bytes, expected) in [
            ("3\r\nabc\r\n0\r\n\r\n", true),
            ("1\r\na\r\n2\r\nbc\r\n0\r\nA: b\r\n\r\nGET", true),
            ("4\r\nabcd\r\n0\r\n\r\n", false),
            ("3\r\nabc\r\n0\r\n\r", false),
            ("3\r\nab", false),
            ("", false),
            ("x", false),
        ] {
            let reader = reader(BodyLength::Chunked, 9).unwrap();
            assert_eq!(reader.ends_within(bytes.as_bytes(), 3), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_has_not_come_is_waited_for_and_prolongs_nothing() {
        let limits = Limits::default();
        let mut reader = reader(BodyLength::Fixed(5_000), 10_000).unwrap();
        let (_, end) = read(&mut reader, &mut input(""), 10);
        assert_eq!(end.unwrap(), Piece::Pending);
        assert_eq!((reader.known_bytes(), reader.straight_bytes()), (5_000, 5_000));
        let first = Deadline::of(Limit::BodyTimeout, 100 + 30_000);
        assert_eq!((reader.deadline(&limits), reader.first_deadline()), (first, first));
        let (_, end) = read(&mut reader, &mut input(&"x".repeat(2_048)), 10_000);
        assert_eq!(end.unwrap(), Piece::Pending);
        assert_eq!(reader.deadline(&limits).at, first.at + 2_000);
        assert_eq!(reader.first_deadline(), first);
    }

    #[test]
    fn the_word_that_a_client_waits_for_is_given_once() {
        let bounds = Bounds { bytes: 1, timeout: Duration::from_secs(30) };
        let mut reader = Reader::new(BodyLength::Fixed(1), bounds, 0, Expectation::Continue).unwrap();
        assert_eq!(reader.take_continue(), Some(CONTINUE));
        assert_eq!(reader.take_continue(), None);
    }

    #[test]
    fn each_fault_has_its_answer() {
        let status = |fault| refusal_of(&fault).status.as_u16();
        assert_eq!(status(BodyFault::TooLarge { limit: 1 }), 413);
        assert_eq!(status(BodyFault::TimedOut { limit: std::time::Duration::from_secs(1) }), 408);
        assert_eq!(status(BodyFault::Malformed("x")), 400);
        assert_eq!(status(BodyFault::Incomplete), 400);
    }
}

//! The answer of a server to a ClientHello, up to the point where it waits for the client. It is read from records (RFC
//! 8446 §5.1) without a key, so only the part in clear is seen. Knows no socket, only a stream; the probes call it.

use std::io::{self, ErrorKind, Read};

/// The most that is read of one flight. Certificate chains are far smaller.
const MOST_BYTES: usize = 256 * 1024;
const MOST_CERTIFICATES: usize = 32;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// RFC 8446 §4.1.3: a ServerHello with this random is a HelloRetryRequest.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// How a server answered a hello.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server would continue: it was read up to ServerHelloDone, or with TLS 1.3 up to its hello.
    Accepted(Flight),
    /// A refusal, with the number of its alert.
    Alert(u8),
    /// Bytes that are not TLS; the first of them.
    Foreign(Vec<u8>),
    /// The connection ended without an answer.
    Closed,
    /// Nothing arrived in time.
    Silent,
}

/// What the server has shown of the handshake that it would continue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) version: u16,
    pub(super) suite: u16,
    /// The chosen group of the key exchange, if it has a number.
    pub(super) group: Option<u16>,
    /// The chosen application protocol, before TLS 1.3.
    pub(super) protocol: Option<Vec<u8>>,
    /// DER, in the order sent; before TLS 1.3.
    pub(super) certificates: Vec<Vec<u8>>,
    /// Whether the server asks for a client certificate; before TLS 1.3.
    pub(super) wants_certificate: bool,
    /// The length in bits of the prime of a Diffie-Hellman exchange, when `suite` has one.
    pub(super) dh_bits: Option<usize>,
}

/// Reads until the server has accepted or refused. Errors of the connection are answers as well.
pub(super) fn read(stream: &mut impl Read) -> Answer {
    let mut reader = Reader { stream, read: 0, messages: Vec::new() };
    let mut flight: Option<Flight> = None;
    loop {
        let (kind, body) = match reader.message() {
            Ok(message) => message,
            Err(Stop::Alert(number)) => return Answer::Alert(number),
            Err(Stop::Foreign(bytes)) => return Answer::Foreign(bytes),
            Err(Stop::Broken) => return Answer::Closed,
            Err(Stop::Io(error)) if error.kind() == ErrorKind::TimedOut => return Answer::Silent,
            Err(Stop::Io(_)) => return Answer::Closed,
        };
        match (kind, &mut flight) {
            (2, None) => {
                let Some(hello) = server_hello(&body) else { return Answer::Closed };
                if hello.version >= 0x0304 {
                    return Answer::Accepted(hello);
                }
                flight = Some(hello);
            }
            (11, Some(flight)) => flight.certificates = certificates(&body).unwrap_or_default(),
            (12, Some(flight)) => {
                flight.dh_bits = dh_bits(flight.suite, &body);
                flight.group = named_group(flight.suite, &body);
            }
            (13, Some(flight)) => flight.wants_certificate = true,
            (14, Some(_)) => return flight.map_or(Answer::Closed, Answer::Accepted),
            // hello_request before the hello, session tickets and status decide nothing.
            _ => {}
        }
    }
}

/// An alert's name as in RFC 8446 §6.
pub(super) fn alert_name(number: u8) -> String {
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return format!("alert {number}"),
    };
    name.to_string()
}

enum Stop {
    Alert(u8),
    Foreign(Vec<u8>),
    Broken,
    Io(io::Error),
}

struct Reader<'a, R> {
    stream: &'a mut R,
    read: usize,
    /// Handshake bytes out of their records, not used yet.
    messages: Vec<u8>,
}

impl<R: Read> Reader<'_, R> {
    /// The next handshake message: its kind and its content.
    fn message(&mut self) -> Result<(u8, Vec<u8>), Stop> {
        loop {
            if let [kind, a, b, c, rest @ ..] = &self.messages[..] {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if length > MOST_BYTES {
                    return Err(Stop::Broken);
                }
                if let Some(body) = rest.get(..length) {
                    let message = (*kind, body.to_vec());
                    self.messages.drain(..4 + length);
                    return Ok(message);
                }
            }
            self.record()?;
        }
    }

    fn record(&mut self) -> Result<(), Stop> {
        let mut head = [0; 5];
        let count = self.fill(&mut head)?;
        let is_tls = matches!(head[0], 20..=24) && head[1] == 3;
        if count < head.len() || !is_tls {
            return Err(if self.read == 0 { Stop::Foreign(head[..count].to_vec()) } else { Stop::Broken });
        }
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        self.read += length;
        if self.read > MOST_BYTES {
            return Err(Stop::Broken);
        }
        let mut content = vec![0; length];
        if self.fill(&mut content)? < length {
            return Err(Stop::Broken);
        }
        match (head[0], &content[..]) {
            // A warning (RFC 5246 §7.2) is not a refusal: the flight goes on after unrecognized_name.
            (ALERT, [1, number]) if *number != 0 => Ok(()),
            (ALERT, [_, number]) => Err(Stop::Alert(*number)),
            (HANDSHAKE, content) => {
                self.messages.extend_from_slice(content);
                Ok(())
            }
            _ => Err(Stop::Broken),
        }
    }

    /// Reads more of the stream into the buffer.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 && !buffer.is_empty() => {
                    return Err(Stop::Io(ErrorKind::UnexpectedEof.into()))
                }
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Io(error)),
            }
        }
        Ok(filled)
    }
}

/// RFC 8446 §4.1.3, RFC 5246 §7.4.1.3.
fn server_hello(body: &[u8]) -> Option<Flight> {
    let mut bytes = Bytes(body);
    let mut flight = Flight { version: bytes.number(2)? as u16, ..Flight::default() };
    let random = bytes.take(32)?;
    bytes.vector(1)?;
    flight.suite = bytes.number(2)? as u16;
    bytes.take(1)?;
    if bytes.0.is_empty() {
        return Some(flight);
    }
    let mut extensions = Bytes(bytes.vector(2)?);
    while !extensions.0.is_empty() {
        let number = extensions.number(2)?;
        let mut content = Bytes(extensions.vector(2)?);
        match number {
            16 => flight.protocol = Bytes(content.vector(2)?).vector(1).map(<[u8]>::to_vec),
            43 => flight.version = content.number(2)? as u16,
            // The group is first in the share of a hello, and alone in a HelloRetryRequest.
            51 => flight.group = content.number(2).map(|group| group as u16),
            _ => {}
        }
    }
    // A HelloRetryRequest is always TLS 1.3.
    (flight.version >= 0x0304 || random != RETRY).then_some(flight)
}

/// RFC 5246 §7.4.2.
fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Bytes(Bytes(body).vector(3)?);
    let mut found = Vec::new();
    while !list.0.is_empty() && found.len() < MOST_CERTIFICATES {
        found.push(list.vector(3)?.to_vec());
    }
    Some(found)
}

/// RFC 5246 §7.4.3: the prime is first.
fn dh_bits(suite: u16, body: &[u8]) -> Option<usize> {
    if !super::suites::name(suite).contains("_DHE_") {
        return None;
    }
    let prime = Bytes(body).vector(2)?;
    let zeros = prime.iter().take_while(|byte| **byte == 0).count();
    let first = prime.get(zeros)?;
    Some((prime.len() - zeros) * 8 - first.leading_zeros() as usize)
}

/// RFC 8422 §5.4: a named curve (3) and its number.
fn named_group(suite: u16, body: &[u8]) -> Option<u16> {
    match body {
        [3, high, low, ..] if super::suites::name(suite).contains("_ECDHE_") => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.0.get(..count)?;
        self.0 = &self.0[count..];
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// The bytes behind a length of so many bytes.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 3, 3];
        out.extend_from_slice(&(content.len() as u16).to_be_bytes());
        out.extend_from_slice(content);
        out
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(body);
        out
    }

    fn hello(version: u16, random: [u8; 32], suite: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend_from_slice(&random);
        body.push(0);
        body.extend_from_slice(&suite.to_be_bytes());
        body.push(0);
        if !extensions.is_empty() {
            body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
            body.extend_from_slice(extensions);
        }
        message(2, &body)
    }

    fn old_flight() -> Vec<u8> {
        let certificate = [0, 0, 6, 0, 0, 3, 1, 2, 3];
        let messages = [
            hello(0x0301, [1; 32], 0x0005, &[]),
            message(11, &certificate),
            message(13, &[0, 0]),
            message(14, &[]),
        ]
        .concat();
        // Records cut in the middle of a message, as a server may send them.
        let (first, second) = messages.split_at(50);
        [record(22, first), record(22, second)].concat()
    }

    #[test]
    fn a_flight_of_an_old_version_is_read_to_its_end() {
        let expected = Flight {
            version: 0x0301,
            suite: 5,
            certificates: vec![vec![1, 2, 3]],
            wants_certificate: true,
            ..Flight::default()
        };
        assert_eq!(read(&mut &old_flight()[..]), Answer::Accepted(expected));
    }

    #[test]
    fn a_flight_that_ends_in_an_alert_is_no_acceptance() {
        let hello = record(22, &hello(0x0301, [1; 32], 0x0005, &[]));
        let fatal = [&hello[..], &record(21, &[2, 80])].concat();
        assert_eq!(read(&mut &fatal[..]), Answer::Alert(80));
        assert_eq!(read(&mut &hello[..]), Answer::Closed);
        let warned = [&record(21, &[1, 112]), &old_flight()[..]].concat();
        assert!(matches!(read(&mut &warned[..]), Answer::Accepted(_)));
    }

    #[test]
    fn a_request_to_try_again_names_its_group() {
        let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0x11, 0xec];
        let bytes = record(22, &hello(0x0303, RETRY, 0x1301, &extensions));
        let Answer::Accepted(flight) = read(&mut &bytes[..]) else { panic!() };
        assert_eq!((flight.version, flight.group), (0x0304, Some(0x11ec)));
    }

    #[test]
    fn bytes_that_are_not_tls_differ_from_silence() {
        assert_eq!(read(&mut &b"HTTP/1.1 400 Bad Request\r\n"[..]), Answer::Foreign(b"HTTP/".to_vec()));
        assert_eq!(read(&mut &b"no"[..]), Answer::Foreign(b"no".to_vec()));
        assert_eq!(read(&mut &b""[..]), Answer::Closed);
    }

    #[test]
    fn the_prime_of_a_diffie_hellman_exchange_is_measured() {
        let mut key = vec![0, 129, 0, 0x80];
        key.resize(131, 1);
        assert_eq!(dh_bits(0x0033, &key), Some(1024));
        assert_eq!(dh_bits(0xc013, &key), None);
        assert_eq!(dh_bits(0x0033, &[0, 200, 1]), None);
    }

    #[test]
    fn damage_never_panics() {
        let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0x11, 0xec];
        for good in [old_flight(), record(22, &hello(0x0303, RETRY, 0x1301, &extensions))] {
            for length in 0..good.len() {
                read(&mut &good[..length]);
            }
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    read(&mut &bad[..]);
                }
            }
        }
        // Nothing but empty records, and a message whose length is huge.
        let empty: Vec<u8> = record(22, &[]).repeat(1000);
        assert_eq!(read(&mut &empty[..]), Answer::Closed);
        let huge = record(22, &[2, 0xff, 0xff, 0xff]);
        assert_eq!(read(&mut &huge[..]), Answer::Closed);
    }
}

//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): the header that a balancer sends before everything else, to
//! say whose connection it passes on. Bytes to values, without a socket. `server` reads connections with it, and `redirect` too.
//!
//! It is a parser of its own, because it says how many bytes may be read next: so nothing behind the header is read, where TLS begins.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The first bytes of version 2 (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The first bytes of version 1 (§2.1).
const WORD: &[u8; 6] = b"PROXY ";
/// The most bytes of a header of version 1, with its CRLF (§2.1).
const LINE_BYTES: usize = 107;
/// The shortest header of all: `PROXY UNKNOWN` and CRLF.
const LEAST_BYTES: usize = 15;
/// What every header of version 2 begins with: signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The most bytes that may follow in version 2. The addresses take 216 at most, names, identifiers and what is said of TLS some
/// hundreds, and a client's certificate about 2,000. The length field allows 65,535, which would be held for each connection.
const BLOCK_BYTES: usize = 4096;

/// What the log says of a connection without its header, and of a header that was not asked for.
pub(crate) const EXPECTED: &str =
    "--proxy-from names its address, so it has to begin with a PROXY header: set send-proxy-v2 (HAProxy) or \
     proxy_protocol on (nginx), or leave its network out";
pub(crate) const UNEXPECTED: &str =
    "a PROXY header from an address that --proxy-from does not name; name the balancer's network there, or \
     let it send none";

/// Types of the values behind the addresses (§2.2.1 to §2.2.8).
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
const NETNS: u8 = 0x30;
const UNIQUE_ID_BYTES: usize = 128;

/// Bits of the first byte of [`SSL`]: TLS was spoken, and the client has shown a certificate in this connection or in its session.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT: u8 = 0x02 | 0x04;

/// What a balancer says of the client of a connection, by the PROXY protocol:
/// [`Request::proxy_header`](crate::Request::proxy_header).
///
/// ```
/// use lockgate::{ProxyHeader, Request};
///
/// let header = ProxyHeader::from_bytes(b"PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\r\n")?.unwrap();
/// assert_eq!(header.source(), Some("192.0.2.7:50514".parse().unwrap()));
///
/// // A handler can be tried with it.
/// let request = Request::get("/").with_proxy_header(header);
/// assert_eq!(request.peer(), Some("192.0.2.7:50514".parse().unwrap()));
/// # Ok::<(), lockgate::ProxyHeaderFault>(())
/// ```
///
/// All of it is what the balancer says, and is as true as the network between the two is private: the header is sent in clear,
/// and TLS comes after it. lockgate takes the addresses for its limits and its log, and nothing of it for authentication. A program
/// may do so where nobody but the balancer can connect from the networks of
/// [`proxy_protocol_from`](crate::ServerBuilder::proxy_protocol_from), and the balancer makes the values itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    /// The values behind the addresses, each with its type and length. They were checked.
    values: Box<[u8]>,
}

/// What a balancer says of the TLS that it has spoken with the client: [`ProxyHeader::tls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyTls<'h> {
    is_verified: bool,
    version: Option<&'h str>,
    cipher: Option<&'h str>,
    common_name: Option<&'h str>,
}

/// Why bytes are no header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeaderFault {
    /// They do not begin as a header does.
    Missing,
    /// The header ends too early.
    Short,
    /// A line of version 1 with more than 107 bytes, or more than 4,096 bytes behind the first 16 of version 2.
    TooLong,
    /// What stands in it is not as the specification has it. Says what.
    Malformed(&'static str),
    /// The checksum (CRC32c) is another one: the header was damaged on its way.
    Checksum,
}

use ProxyHeaderFault::Malformed;

impl ProxyHeader {
    /// Reads a whole header of either version, with nothing behind it. `None` for one that names no client: of a connection of the
    /// balancer itself, such as a health check (`LOCAL`), or of an unknown one (`UNKNOWN` in version 1).
    ///
    /// # Errors
    /// For all that a server would refuse.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderFault> {
        let mut reading = Reading::default();
        let mut rest = bytes;
        loop {
            let room = reading.room();
            let taken = room.len().min(rest.len());
            let (these, those) = rest.split_at(taken);
            room[..taken].copy_from_slice(these);
            rest = those;
            match reading.filled(taken)? {
                Progress::Part if rest.is_empty() => return Err(ProxyHeaderFault::Short),
                Progress::Part => {}
                Progress::Whole(_) if !rest.is_empty() => return Err(Malformed("something follows it")),
                Progress::Whole(header) => return Ok(header),
            }
        }
    }

    /// The client's address and port. `None` when the client did not come over TCP: over a Unix socket, say. An IPv4 address that is
    /// mapped to IPv6 is the IPv4 address.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// The address and port that the client has connected to.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// The host that the client has asked for, by SNI. `None` also for one that is not UTF-8.
    pub fn authority(&self) -> Option<&str> {
        self.value(AUTHORITY).and_then(text)
    }

    /// The protocol that the balancer and the client have agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.value(ALPN)
    }

    /// What tells this connection of the client from all others, at most 128 bytes.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.value(UNIQUE_ID)
    }

    /// What is said of TLS between the client and the balancer. `None` when there was none, or nothing is said of it.
    pub fn tls(&self) -> Option<ProxyTls<'_>> {
        let (&[client, a, b, c, d], values) = split::<5>(self.value(SSL)?)?;
        let of = |kind| find(values, kind).and_then(text);
        (client & CLIENT_SSL != 0).then(|| ProxyTls {
            is_verified: client & CLIENT_CERT != 0 && [a, b, c, d] == [0; 4],
            version: of(SSL_VERSION),
            cipher: of(SSL_CIPHER),
            common_name: of(SSL_CN),
        })
    }

    /// The first value of this type, as it came: for those that balancers add of their own (0xE0 to 0xEF), such as the endpoint's
    /// identifier of a cloud.
    pub fn value(&self, kind: u8) -> Option<&[u8]> {
        find(&self.values, kind)
    }
}

impl fmt::Debug for ProxyHeader {
    /// Shows the addresses alone: the values may hold identifiers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProxyHeader { source, destination, .. } = self;
        write!(f, "ProxyHeader({source:?} to {destination:?})")
    }
}

impl<'h> ProxyTls<'h> {
    /// Whether the client has shown a certificate, and the balancer has verified it.
    pub fn client_certificate_verified(&self) -> bool {
        self.is_verified
    }

    /// The common name in the client's certificate, verified or not.
    pub fn common_name(&self) -> Option<&'h str> {
        self.common_name
    }

    /// The version of TLS, as the balancer writes it: `TLSv1.3`.
    pub fn version(&self) -> Option<&'h str> {
        self.version
    }

    /// The cipher suite, as the balancer writes it.
    pub fn cipher(&self) -> Option<&'h str> {
        self.cipher
    }
}

impl fmt::Display for ProxyHeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyHeaderFault::Missing => "it does not begin with a PROXY header",
            ProxyHeaderFault::Short => "its PROXY header is cut short",
            ProxyHeaderFault::TooLong => "its PROXY header is too long",
            ProxyHeaderFault::Checksum => "the checksum of its PROXY header is wrong",
            Malformed(what) => return write!(f, "its PROXY header is malformed: {what}"),
        })
    }
}

impl std::error::Error for ProxyHeaderFault {}

/// A header that comes in pieces. The bytes that it asks for are never more than are left of the header, so nothing behind it is
/// taken from whoever reads on.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    bytes: Vec<u8>,
    /// How many of them have come; the others are room.
    came: usize,
}

/// How far a header has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Part,
    /// It is whole. `None` when it names no client.
    Whole(Option<ProxyHeader>),
}

impl Reading {
    /// Where the next bytes go. Never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let wanted = wanted(&self.bytes[..self.came]);
        self.bytes.resize(self.came + wanted, 0);
        &mut self.bytes[self.came..]
    }

    /// Whether nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.came == 0
    }

    /// Takes the bytes that were put into the room. After an error, or a whole header, there is nothing more to read.
    pub(crate) fn filled(&mut self, count: usize) -> Result<Progress, ProxyHeaderFault> {
        self.came = (self.came + count).min(self.bytes.len());
        let came = &self.bytes[..self.came];
        if begins(came, SIGNATURE) {
            binary(came)
        } else if begins(came, WORD) {
            line(came)
        } else {
            Err(ProxyHeaderFault::Missing)
        }
    }
}

/// Whether bytes that are no TLS begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Of a client.
    Header,
    /// Of a connection of the balancer itself: a health check.
    Local,
}

/// What the first bytes of a connection are, if they are a header's.
pub(crate) fn foreign(bytes: &[u8]) -> Option<Foreign> {
    match bytes.strip_prefix(SIGNATURE) {
        Some([0x20, ..]) => Some(Foreign::Local),
        Some(_) => Some(Foreign::Header),
        None => bytes.starts_with(WORD).then_some(Foreign::Header),
    }
}

/// Whether what has come can be the beginning of something that begins so.
fn begins(came: &[u8], with: &[u8]) -> bool {
    let both = came.len().min(with.len());
    came[..both] == with[..both]
}

/// The least number of bytes that are left of a header that begins so. It is well-formed as far as it has come.
fn wanted(came: &[u8]) -> usize {
    let have = came.len();
    if have < LEAST_BYTES {
        return LEAST_BYTES - have;
    }
    if came[0] == SIGNATURE[0] {
        return match came.get(14..FIXED_BYTES) {
            Some(&[high, low]) => FIXED_BYTES + usize::from(u16::from_be_bytes([high, low])) - have,
            _ => FIXED_BYTES - have,
        };
    }
    if came.ends_with(b"\r") {
        return 1;
    }
    // Each of the five spaces has something behind it, and then comes the end of the line.
    let spaces = came.iter().filter(|&&byte| byte == b' ').count();
    let is_tcp = came.starts_with(b"PROXY TCP");
    let fields = if is_tcp { 5_usize.saturating_sub(spaces) } else { 0 };
    2 * fields + 2
}

/// Version 1, as far as it has come.
fn line(came: &[u8]) -> Result<Progress, ProxyHeaderFault> {
    let text = match came.strip_suffix(b"\r\n") {
        Some(text) if came.len() <= LINE_BYTES => text,
        Some(_) => return Err(ProxyHeaderFault::TooLong),
        None => {
            let text = came.strip_suffix(b"\r").unwrap_or(came);
            return match printable(text) {
                true if came.len() < LINE_BYTES => Ok(Progress::Part),
                true => Err(ProxyHeaderFault::TooLong),
                false => Err(NOT_TEXT),
            };
        }
    };
    if !printable(text) {
        return Err(NOT_TEXT);
    }
    let fields = std::str::from_utf8(&text[WORD.len()..]).map_err(|_| NOT_TEXT)?;
    // What follows it is to be ignored (§2.1).
    if fields == "UNKNOWN" || fields.starts_with("UNKNOWN ") {
        return Ok(Progress::Whole(None));
    }
    let mut fields = fields.split(' ');
    let addresses = match (fields.next(), fields.next(), fields.next()) {
        (Some("TCP4"), Some(source), Some(destination)) => [source, destination].map(address::<Ipv4Addr>),
        (Some("TCP6"), Some(source), Some(destination)) => [source, destination].map(address::<Ipv6Addr>),
        (Some("TCP4" | "TCP6"), ..) => return Err(Malformed("it lacks addresses")),
        _ => return Err(Malformed("it has neither TCP4 nor TCP6 nor UNKNOWN")),
    };
    let [Some(source), Some(destination)] = addresses else {
        return Err(Malformed("an address is none of its family"));
    };
    let ports = [fields.next(), fields.next()].map(|text| text.and_then(port));
    let ([Some(from), Some(to)], None) = (ports, fields.next()) else {
        return Err(Malformed("it does not end in two ports"));
    };
    Ok(Progress::Whole(Some(ProxyHeader {
        source: Some(SocketAddr::new(source, from)),
        destination: Some(SocketAddr::new(destination, to)),
        values: Box::default(),
    })))
}

const NOT_TEXT: ProxyHeaderFault = Malformed("it has bytes that no line has");

fn printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<A>().ok().map(|address| address.into().to_canonical())
}

/// A port in decimal digits, without a zero before them.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Version 2, as far as it has come.
fn binary(came: &[u8]) -> Result<Progress, ProxyHeaderFault> {
    let is_local = match came.get(12) {
        None => return Ok(Progress::Part),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed("its version is not 2, or its command neither LOCAL nor PROXY")),
    };
    let Some((&[.., family, high, low], block)) = split::<FIXED_BYTES>(came) else {
        return Ok(Progress::Part);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BLOCK_BYTES {
        return Err(ProxyHeaderFault::TooLong);
    }
    let Some(block) = block.get(..length) else {
        return Ok(Progress::Part);
    };
    let whole = &came[..FIXED_BYTES + length];
    // Of a connection of the balancer itself, family and addresses are to be skipped, whatever they are (§2.2).
    if is_local {
        return Ok(Progress::Whole(None));
    }
    // By protocol and family: addresses, ports, and how many bytes they take.
    let (addresses, taken) = match family {
        0x00 => (None, 0),
        0x11 => (pair::<4, Ipv4Addr>(block), 12),
        0x21 => (pair::<16, Ipv6Addr>(block), 36),
        // Valid, and of no use for TCP: only what follows the addresses counts (§2.2).
        0x12 => (None, 12),
        0x22 => (None, 36),
        0x31 | 0x32 => (None, 216),
        _ => return Err(Malformed("its family or protocol is none of those known")),
    };
    let Some(values) = block.get(taken..) else {
        return Err(Malformed("its addresses are cut short"));
    };
    let values = match check(values, whole) {
        // What follows an unspecified family is to be ignored, unless it is as all values are.
        Err(Malformed(_)) if family == 0 => &[],
        result => result.map(|()| values)?,
    };
    let (source, destination) = addresses.unzip();
    Ok(Progress::Whole(Some(ProxyHeader { source, destination, values: values.into() })))
}

/// Source and destination: both addresses, then both ports.
fn pair<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = split::<N>(block)?;
    let (destination, rest) = split::<N>(rest)?;
    let (&[a, b, c, d], _) = split::<4>(rest)?;
    let socket = |address: &[u8; N], port| {
        SocketAddr::new(A::from(*address).into().to_canonical(), u16::from_be_bytes(port))
    };
    Some((socket(source, [a, b]), socket(destination, [c, d])))
}

/// The first `N` bytes and the rest.
fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    Some((bytes.get(..N)?.try_into().ok()?, &bytes[N..]))
}

/// The first value of these, with its type, and those behind it. `None` if they do not fit.
fn next(values: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = split::<3>(values)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    Some((kind, rest.get(..length)?, &rest[length..]))
}

fn find(mut values: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (kind, value, rest) = next(values)?;
        if kind == wanted {
            return Some(value);
        }
        values = rest;
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Checks the values of the header `whole`. One that two of them could contradict stands there once.
fn check(values: &[u8], whole: &[u8]) -> Result<(), ProxyHeaderFault> {
    let mut seen = [false; 256];
    let mut rest = values;
    while !rest.is_empty() {
        let Some((kind, value, behind)) = next(rest) else {
            return Err(Malformed("a value is longer than what is left"));
        };
        let is_standard = matches!(kind, ALPN | AUTHORITY | CRC32C | UNIQUE_ID | SSL | NETNS);
        if is_standard && std::mem::replace(&mut seen[usize::from(kind)], true) {
            return Err(Malformed("a value stands there twice"));
        }
        match kind {
            UNIQUE_ID if value.len() > UNIQUE_ID_BYTES => {
                return Err(Malformed("its unique id has more than 128 bytes"))
            }
            CRC32C => {
                let at = whole.len() - behind.len() - value.len();
                let Ok(sent) = value.try_into().map(u32::from_be_bytes) else {
                    return Err(Malformed("its checksum has not four bytes"));
                };
                if crc32c(whole, at..at + 4) != sent {
                    return Err(ProxyHeaderFault::Checksum);
                }
            }
            SSL => {
                let mut inner = value.get(5..).ok_or(Malformed("what it says of TLS is cut short"))?;
                while !inner.is_empty() {
                    let (_, _, behind) = next(inner).ok_or(Malformed("a value on TLS is longer than all"))?;
                    inner = behind;
                }
            }
            _ => {}
        }
        rest = behind;
    }
    Ok(())
}

/// CRC32c (RFC 4960, appendix B), with zeros in the place of the checksum. Bit by bit: it is at most 4 KiB, once for a connection.
fn crc32c(bytes: &[u8], zeros: std::ops::Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in bytes.iter().enumerate() {
        crc ^= u32::from(if zeros.contains(&at) { 0 } else { byte });
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;

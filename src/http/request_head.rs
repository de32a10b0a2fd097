//! A request's head: where it ends, and what it says (RFC 9112 §2 to §6). httparse splits the lines. Where it is lenient, this
//! module is strict, because another HTTP program may stand in front of this one.

use std::mem::MaybeUninit;
use std::ops::Range;

use ::http::{Method, StatusCode};

use super::span::{Field, Span};
use super::target::{self, Target};
use super::Refusal;
use crate::backports::Trim;
use crate::limits::limit::Limit;
use crate::limits::{Limits, MOST_FIELDS};

/// The longest method that is reported of a head that could not be read, in bytes. The longest registered method has 17.
const MOST_METHOD_BYTES: usize = 32;

/// The supported versions of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How the end of the request's body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Fixed(u64),
    Chunked,
}

impl BodyLength {
    pub(crate) const NONE: BodyLength = BodyLength::Fixed(0);
}

/// What a head says, without its fields. The fields go into the list that [`parse`] is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub method: Method,
    pub target: Target,
    pub version: Version,
    pub body: BodyLength,
    /// Whether the client wants to use the connection again (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue` from an HTTP/1.1 client (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The host asked for: from an absolute target, else from Host. `None` only for HTTP/1.0.
    pub host: Option<target::Authority>,
}

/// How far the search for the end of a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The head ends before this offset.
    Complete(usize),
    /// No end yet; the next search may begin at this offset.
    Incomplete(usize),
}

/// The search for the next head in the bytes that have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// How many bytes were searched for its end.
    scanned: usize,
}

/// What the received bytes hold of a head.
pub(crate) enum Found {
    Nothing,
    Part,
    /// A whole head in this place, and what it says.
    Whole(Range<usize>, Line),
    /// A head that is refused. The range holds the bytes known of it.
    Refused(Refusal, Range<usize>),
}

impl Search {
    pub(crate) const NEW: Search = Search { scanned: 0 };

    /// Looks for the head at the front of `unread`, perhaps after an empty line. Its fields go to `fields`.
    #[inline]
    pub(crate) fn find(&mut self, unread: &[u8], limits: &Limits, fields: &mut Vec<Field>) -> Found {
        let start = empty_line(unread);
        // Only at the first look, so that a head in small pieces is not read from its beginning each time.
        if self.scanned == 0 {
            let whole = read_whole(&unread[start..], limits.head_bytes, limits.head_fields, fields);
            if let Some((line, length)) = whole {
                return Found::Whole(start..start + length, line);
            }
        }
        self.find_in_parts(start, unread, limits, fields)
    }

    /// Looks for the head at `start`, which has not come at once, or is to be refused.
    #[inline(never)]
    fn find_in_parts(
        &mut self,
        start: usize,
        unread: &[u8],
        limits: &Limits,
        fields: &mut Vec<Field>,
    ) -> Found {
        if unread.len() <= start {
            return Found::Nothing;
        }
        match scan(unread, self.scanned.max(start)) {
            Ok(Scan::Complete(end)) if end - start <= limits.head_bytes => {
                self.scanned = 0;
                match parse(&unread[start..end], limits.head_fields, fields) {
                    Ok(line) => Found::Whole(start..end, line),
                    Err(refusal) => Found::Refused(refusal, start..end),
                }
            }
            Ok(Scan::Incomplete(from)) if unread.len() - start < limits.head_bytes => {
                self.scanned = from;
                Found::Part
            }
            Ok(_) => {
                let head = start..start + limits.head_bytes;
                Found::Refused(too_large(&unread[head.clone()]), head)
            }
            Err(refusal) => Found::Refused(refusal, start..unread.len()),
        }
    }
}

/// The length of an empty line before a request line. A server should ignore one such line (RFC 9112 §2.2). When [`scan`]
/// begins after it, a second empty line looks like a head without lines, however the bytes arrive.
pub(crate) fn empty_line(buffer: &[u8]) -> usize {
    if buffer.starts_with(b"\r\n") {
        2
    } else {
        0
    }
}

/// Looks for the empty line that ends a head, from where an earlier search stopped. Refuses a bare LF at once, so that a client
/// that sends nothing else gets an answer and does not wait for a timer (RFC 9112 §2.2 allows accepting or refusing it).
pub(crate) fn scan(buffer: &[u8], from: usize) -> Result<Scan, Refusal> {
    let mut position = from;
    while let Some(line_feed) = line_feed(buffer, position) {
        if line_feed == 0 || buffer[line_feed - 1] != b'\r' {
            return Err(Refusal::bad_request("a line of the head ends in LF alone; lines end in CRLF"));
        }
        if line_feed >= 3 && buffer[line_feed - 3] == b'\r' && buffer[line_feed - 2] == b'\n' {
            return Ok(Scan::Complete(line_feed + 1));
        }
        position = line_feed + 1;
    }
    Ok(Scan::Incomplete(buffer.len()))
}

/// The first LF at or after `from`. Searches eight bytes at a time: a byte of `other` is 0 where there is an LF, and `found`
/// marks the lowest such byte. Lines are so short that the setup of a wider search would take longer than the search.
fn line_feed(buffer: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    const LINE_FEEDS: u64 = u64::from_le_bytes([b'\n'; 8]);
    let words = buffer[from..].chunks_exact(8);
    let rest = words.remainder();
    for (at, word) in words.filter_map(|word| word.try_into().ok()).enumerate() {
        let other = u64::from_le_bytes(word) ^ LINE_FEEDS;
        let found = other.wrapping_sub(ONES) & !other & HIGHS;
        if found != 0 {
            return Some(from + at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|&byte| byte == b'\n').map(|at| buffer.len() - rest.len() + at)
}

/// The method of a head that could not be read. The answer depends on it: an answer to HEAD has no body.
pub(crate) fn method(head: &[u8]) -> Method {
    match asked(head) {
        (Some(Method::HEAD), _) => Method::HEAD,
        _ => Method::GET,
    }
}

/// The method and the path of a head that could not be read, as far as its first line holds them. There is no path when the
/// line is incomplete, because the path may be too, and none when the server would refuse the path.
pub(crate) fn asked(head: &[u8]) -> (Option<Method>, Option<&[u8]>) {
    let head = &head[empty_line(head)..];
    let (line, is_whole) = match line_feed(head, 0) {
        Some(end) => (&head[..end], true),
        None => (head, false),
    };
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else { return (None, None) };
    let method = Method::from_bytes(method).ok().filter(|method| method.as_str().len() <= MOST_METHOD_BYTES);
    // OPTIONS allows every form of a target except CONNECT's.
    let path = Target::parse(head, Span::locate(head, target), &Method::OPTIONS).ok().filter(|_| is_whole);
    (method, path.map(|target| target.path.of(head)))
}

/// The value of the first field of this name in the whole lines of a head that could not be read.
pub(crate) fn unread_field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let head = &head[empty_line(head)..];
    let whole = &head[..memchr::memrchr(b'\n', head)?];
    let lines =
        whole.split(|&byte| byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut fields = lines.take_while(|line| !line.is_empty());
    let value = fields.find_map(|line| {
        let (found, value) = line.split_at(memchr::memchr(b':', line)?);
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trimmed())
    })?;
    (!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')).then_some(value)
}

/// The refusal of a head that fills its buffer: 414 while its first line has not ended, else 431.
pub(crate) fn too_large(buffer: &[u8]) -> Refusal {
    if memchr::memchr(b'\n', buffer).is_none() {
        Refusal::over(
            Limit::HeadBytes,
            StatusCode::URI_TOO_LONG,
            "the request line is longer than the head may be",
        )
    } else {
        Refusal::over(
            Limit::HeadBytes,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is larger than is accepted here",
        )
    }
}

/// Room for one field, until httparse fills it.
const NO_FIELD: MaybeUninit<httparse::Header<'_>> = MaybeUninit::uninit();

/// Reads a whole head that [`scan`] has found. Empties `fields` and fills it again.
pub(crate) fn parse(head: &[u8], most_fields: usize, fields: &mut Vec<Field>) -> Result<Line, Refusal> {
    fields.clear();
    let mut room: [MaybeUninit<httparse::Header<'_>>; MOST_FIELDS] = [NO_FIELD; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut room[..most_fields.min(MOST_FIELDS)]) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        // When httparse and `scan` disagree about the head's end, other programs may disagree too.
        Ok(_) => return Err(Refusal::bad_request("the head's lines are not where they should be")),
        Err(error) => return Err(refusal_of(error, head)),
    }
    interpret(head, &request, fields)
}

/// Reads a complete and correct head at the front of `buffer`, in one pass where [`scan`] and [`parse`] need two. Nearly all
/// heads are so. `None` for all others: `scan` and `parse` then tell what is missing or wrong. Empties `fields` and fills it
/// again. Also returns the head's length.
pub(crate) fn read_whole(
    buffer: &[u8],
    most_bytes: usize,
    most_fields: usize,
    fields: &mut Vec<Field>,
) -> Option<(Line, usize)> {
    // httparse skips any number of empty lines. Only `empty_line` decides how many are allowed.
    if matches!(buffer, [] | [b'\r' | b'\n', ..]) {
        return None;
    }
    let mut room: [MaybeUninit<httparse::Header<'_>>; MOST_FIELDS] = [NO_FIELD; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let room = &mut room[..most_fields.min(MOST_FIELDS)];
    let Ok(httparse::Status::Complete(length)) = request.parse_with_uninit_headers(buffer, room) else {
        return None;
    };
    let head = buffer.get(..length)?;
    // httparse lets a line end in LF alone. No LF can stand anywhere else.
    let follows_crlf = |header: &httparse::Header<'_>| {
        head[..Span::locate(head, header.name.as_bytes()).start as usize].ends_with(b"\r\n")
    };
    if length > most_bytes || !head.ends_with(b"\r\n\r\n") || !request.headers.iter().all(follows_crlf) {
        return None;
    }
    Some((interpret(head, &request, fields).ok()?, length))
}

/// What the parts of a head say.
fn interpret(
    head: &[u8],
    request: &httparse::Request<'_, '_>,
    fields: &mut Vec<Field>,
) -> Result<Line, Refusal> {
    fields.clear();
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::bad_request("the request line is incomplete"));
    };
    let version = if version == 1 { Version::Http11 } else { Version::Http10 };
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Refusal::bad_request("the method is not a token (RFC 9110 §9.1)"))?;

    let mut framing = Framing::default();
    for header in request.headers.iter() {
        let field = Field {
            name: Span::locate(head, header.name.as_bytes()),
            value: Span::locate(head, header.value),
        };
        framing.note(head, field)?;
        fields.push(field);
    }

    let target_span = Span::locate(head, target.as_bytes());
    let target = Target::parse(head, target_span, &method)?;
    let body = framing.body_length(version)?;
    let host = match (framing.host, target.authority) {
        (Some(host), authority) => {
            let host = target::Authority::parse(head, host)?;
            // An absolute target's authority replaces the Host field (RFC 9112 §3.2.2).
            Some(authority.unwrap_or(host))
        }
        (None, _) if version == Version::Http11 => {
            return Err(Refusal::bad_request(
                "an HTTP/1.1 request has exactly one Host field, and this has none",
            ));
        }
        (None, authority) => authority,
    };
    let keep_alive = match version {
        Version::Http11 => !framing.close,
        Version::Http10 => framing.keep_alive && !framing.close,
    };
    Ok(Line {
        method,
        target,
        version,
        body,
        keep_alive,
        expects_continue: framing.expects_continue && version == Version::Http11,
        host,
    })
}

/// What the fields say about the message's end and the connection.
#[derive(Default)]
struct Framing {
    host: Option<Span>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Framing {
    fn note(&mut self, head: &[u8], field: Field) -> Result<(), Refusal> {
        let name = field.name.of(head);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") && self.host.replace(field.value).is_some() => {
                Err(Refusal::bad_request("there is more than one Host field"))
            }
            6 | 10 | 14 | 17 => self.note_other(name, field.value.of(head)),
            _ => Ok(()),
        }
    }

    /// Notes a field that may be about the body or the connection, by the length of its name.
    fn note_other(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(
                        StatusCode::EXPECTATION_FAILED,
                        "the only expectation that is met here is 100-continue",
                    ));
                }
                self.expects_continue = true;
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|&byte| byte == b',') {
                    let option = option.trimmed();
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(value)
                    .ok_or(Refusal::bad_request("Content-Length is not a plain decimal number"))?;
                // RFC 9112 §6.3 allows merging equal repetitions. They are refused here, to be strict.
                if self.content_length.replace(length).is_some() {
                    return Err(Refusal::bad_request("there is more than one Content-Length field"));
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Refusal::bad_request("there is more than one Transfer-Encoding field"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::new(
                        StatusCode::NOT_IMPLEMENTED,
                        "the only transfer coding that is understood here is chunked, alone",
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn body_length(&self, version: Version) -> Result<BodyLength, Refusal> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => {
                Err(Refusal::bad_request("both Transfer-Encoding and Content-Length are given"))
            }
            (true, None) if version == Version::Http10 => {
                Err(Refusal::bad_request("HTTP/1.0 knows no Transfer-Encoding"))
            }
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Fixed(length.unwrap_or(0))),
        }
    }
}

/// Decimal digits only, and few enough that they cannot overflow (RFC 9110 §8.6).
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn refusal_of(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::over(
            Limit::HeadFields,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request has more fields than are accepted here",
        ),
        httparse::Error::Version if names_another_version(head) => Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "the versions of HTTP that are spoken here are 1.1 and 1.0",
        ),
        httparse::Error::Version => Refusal::bad_request("the request line does not end in an HTTP version"),
        httparse::Error::HeaderName => Refusal::bad_request(
            "a field line does not begin with a name and a colon (white space before either is not allowed)",
        ),
        httparse::Error::HeaderValue => Refusal::bad_request("a field value holds a control character"),
        httparse::Error::NewLine => Refusal::bad_request("a line of the head does not end in CRLF"),
        httparse::Error::Token => {
            Refusal::bad_request("the request line is not a method, a target and a version")
        }
        httparse::Error::Status => Refusal::bad_request("this is a response, not a request"),
    }
}

/// Whether the first line is a request line (RFC 9112 §3) with a well-formed but unsupported version (RFC 9112 §2.3). A line
/// with more than two spaces has another fault, whatever it ends in.
fn names_another_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ').skip(2);
    let version = parts.next().unwrap_or_default();
    parts.next().is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_head_that_could_not_be_read_is_found_in_its_whole_lines() {
        let head = b"\r\nGET / x HTTP/1.1\r\nno field\r\nORIGIN:\t a \r\norigin: b\r\nBad: a\x1bb\r\nEnd: c";
        let find = |name| unread_field(head, name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(find("Origin").as_deref(), Some("a"));
        for name in ["bad", "end", "none", "get / x http/1.1", ""] {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(unread_field(b"GET / HTTP/1.1\nA: 1\n\nB: 2\n", "a"), Some(&b"1"[..]));
        assert_eq!(unread_field(b"GET / HTTP/1.1\nA: 1\n\nB: 2\n", "b"), None);
        for head in [&b""[..], b"\n", b"GET / HTTP/1.1", b"A: 1\r\n"] {
            assert_eq!(unread_field(head, "a"), None);
        }
    }

    #[test]
    fn a_head_is_found_whole_at_every_split_and_searched_once() {
        let limits = Limits::default();
        for before in ["", "\r\n"] {
            let bytes = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\nrest");
            let (start, end) = (before.len(), bytes.len() - 4);
            for split in 0..bytes.len() {
                let (mut search, mut fields) = (Search::NEW, Vec::new());
                match search.find(&bytes.as_bytes()[..split], &limits, &mut fields) {
                    Found::Nothing => assert!(split == 0 || split == start),
                    Found::Part => assert!(split < end && 0 < search.scanned && search.scanned <= split),
                    Found::Whole(at, _) => assert_eq!((split >= end, at), (true, start..end)),
                    Found::Refused(refusal, _) => panic!("{split}: {refusal:?}"),
                }
                let Found::Whole(at, line) = search.find(bytes.as_bytes(), &limits, &mut fields) else {
                    panic!("{split}")
                };
                assert_eq!((at, line.method, fields.len()), (start..end, Method::GET, 1));
                assert_eq!(search, Search::NEW);
            }
        }
    }

    #[test]
    fn a_head_at_the_limit_is_found_and_one_over_it_is_refused() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for (most, is_found) in [(bytes.len(), true), (bytes.len() - 1, false)] {
            let limits = Limits { head_bytes: most, ..Limits::default() };
            let mut search = Search::NEW;
            match search.find(bytes, &limits, &mut Vec::new()) {
                Found::Whole(..) => assert!(is_found),
                Found::Refused(refusal, told) => {
                    assert!(!is_found);
                    assert_eq!((refusal.status.as_u16(), told), (431, 0..most));
                }
                Found::Part | Found::Nothing => panic!("{most}"),
            }
        }
    }

    #[test]
    fn a_whole_head_that_came_in_parts_is_refused_with_its_own_bytes() {
        let bytes = b"\r\nGET / HTTP/1.1\r\n\r\nrest";
        let mut search = Search::NEW;
        let Found::Refused(refusal, told) = search.find(bytes, &Limits::default(), &mut Vec::new()) else {
            panic!("it has no Host")
        };
        assert_eq!((refusal.status.as_u16(), told), (400, 2..bytes.len() - 4));
    }

    fn read(head: &str) -> Result<(Line, Vec<Field>), Refusal> {
        let bytes = head.as_bytes();
        match scan(bytes, 0)? {
            Scan::Complete(end) => assert_eq!(end, bytes.len()),
            Scan::Incomplete(_) => panic!("incomplete: {head:?}"),
        }
        let mut fields = Vec::new();
        parse(bytes, 64, &mut fields).map(|line| (line, fields))
    }

    fn status(head: &str) -> u16 {
        match read(head) {
            Ok(_) => 200,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[test]
    fn a_plain_request_is_read() {
        let head = "GET /api/data?x=1 HTTP/1.1\r\nHost: device.local:8443\r\nAccept:  text/html \r\n\r\n";
        let (line, fields) = read(head).unwrap();
        assert_eq!(line.method, Method::GET);
        assert_eq!(line.target.path.of(head.as_bytes()), b"/api/data");
        assert_eq!(line.body, BodyLength::NONE);
        assert!(line.keep_alive);
        assert_eq!(fields[1].value.of(head.as_bytes()), b"text/html");
        let host = line.host.unwrap();
        assert_eq!(host.host.of(head.as_bytes()), b"device.local");
        assert_eq!(host.port, Some(8443));
    }

    #[test]
    fn the_end_is_found_whatever_the_splits() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for split in 0..head.len() {
            let resumed = match scan(&head[..split], 0).unwrap() {
                Scan::Complete(end) => Scan::Complete(end),
                Scan::Incomplete(from) => scan(head, from).unwrap(),
            };
            assert_eq!(resumed, Scan::Complete(head.len() - 4), "split at {split}");
        }
    }

    #[test]
    fn a_line_feed_is_found_wherever_it_stands() {
        // Neighbours that differ in one bit or by one: a search by words could mistake them for LF.
        for neighbour in [0x0b, 0x09, 0x8a, 0x00, 0xff, b'a'] {
            for length in 0..40 {
                let mut buffer = vec![neighbour; length];
                for from in 0..=length {
                    assert_eq!(line_feed(&buffer, from), None);
                }
                for at in 0..length {
                    buffer[at] = b'\n';
                    for from in 0..=length {
                        let expected =
                            buffer[from..].iter().position(|&byte| byte == b'\n').map(|found| from + found);
                        assert_eq!(line_feed(&buffer, from), expected, "{buffer:?} from {from}");
                    }
                    if at % 3 == 0 {
                        buffer[at] = neighbour;
                    }
                }
            }
        }
    }

    #[test]
    fn each_fault_of_a_head_gets_its_status() {
        let cases: &[(&str, u16)] = &[
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("GET / HTTP/1.0\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /a b HTTP/2.0\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%eth0]:8443\r\n\r\n", 200),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: ä\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 \r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 3 \t\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12345678901234567890\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t chunked \t\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 501),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
        ];
        for (head, expected) in cases {
            assert_eq!(status(head), *expected, "{head:?}");
        }
    }

    #[test]
    fn what_was_asked_is_known_as_far_as_the_first_line_goes() {
        for (head, method, path) in [
            ("GET /a?b HTTP/1.1\nX", Some("GET"), Some("/a")),
            ("\r\nPUT http://h/a?b HTTP/1.1\r\n", Some("PUT"), Some("/a")),
            ("OPTIONS * HTTP/1.1\r\n", Some("OPTIONS"), Some("*")),
            ("GET /a\r\n", Some("GET"), None),
            ("GET /a", Some("GET"), None),
            ("GET", None, None),
            ("", None, None),
            ("\r\nHEAD /a", Some("HEAD"), None),
            ("HEADER /a HTTP/1.1\r\n", Some("HEADER"), Some("/a")),
            ("GET //a HTTP/1.1\r\n", Some("GET"), None),
            ("GET /\x1b[31m HTTP/1.1\r\n", Some("GET"), None),
            ("G\x1bT /a HTTP/1.1\r\n", None, Some("/a")),
            (" /a HTTP/1.1\r\n", None, Some("/a")),
        ] {
            let decides = if method == Some("HEAD") { Method::HEAD } else { Method::GET };
            assert_eq!(super::method(head.as_bytes()), decides, "{head:?}");
            let (found_method, found_path) = asked(head.as_bytes());
            let found = (found_method.map(|method| method.to_string()), found_path);
            assert_eq!(found, (method.map(String::from), path.map(str::as_bytes)), "{head:?}");
        }
        assert_eq!(asked(format!("{} / HTTP/1.1\r\n", "A".repeat(33)).as_bytes()).0, None);
    }

    #[test]
    fn fields_over_the_limit_are_refused_and_the_limit_is_named() {
        let mut head = String::from("GET / HTTP/1.1\r\nHost: a\r\n");
        for n in 0..63 {
            head.push_str(&format!("X-{n}: 1\r\n"));
        }
        assert_eq!(status(&format!("{head}\r\n")), 200);
        let refusal = read(&format!("{head}X-64: 1\r\n\r\n")).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.limit), (431, Some(Limit::HeadFields)));
    }

    #[test]
    fn connection_options_decide_about_the_connection() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: TE,,Keep-Alive\r\n", true),
            ("1.1", "Connection: x\r\nConnection: CLOSE, y\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let (line, _) = read(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n")).unwrap();
            assert_eq!(line.keep_alive, expected, "{version} {connection:?}");
        }
    }
}

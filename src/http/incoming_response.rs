//! A response's head as another server sends it: where it ends, and what it says (RFC 9112 §4 to §6). It is read as strictly as
//! a request's head. What is ambiguous is refused, because the other reader of an ambiguous response is the client. No socket;
//! `proxy` calls it.

use std::mem::MaybeUninit;
use std::time::Duration;

use ::http::{Method, StatusCode};

use super::request_head::{content_length, scan, Scan, Version};
use super::span::{Field, Span};
use crate::backports::Trim;
use crate::limits::MOST_FIELDS;

/// The longest head that is read, in bytes. nginx takes 4 or 8 KiB, Go 1 MiB.
pub(crate) const HEAD_BYTES: usize = 32 * 1024;
/// The most interim responses (1xx) before the final one. Go takes 5, which servers with early hints have exceeded.
const MOST_INTERIM: u32 = 32;

/// How the end of the response's body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// The method or the status has none. `told` is the length that `Content-Length` tells of, as it may for HEAD and 304.
    None {
        told: Option<u64>,
    },
    Fixed(u64),
    Chunked,
    UntilClose,
}

/// What a head says, without its fields. The fields go into the list that [`find`] is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub body: BodyLength,
    pub is_http10: bool,
    /// Whether the connection can be used again when the body has come whole.
    pub keep_alive: bool,
    /// How long the server keeps an idle connection, if it says so (RFC 2068 §19.7.1.1).
    pub kept_for: Option<Duration>,
}

/// What the received bytes hold of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// More is needed. The next search may begin at this offset.
    Part(usize),
    /// A whole head, which ends before this offset.
    Whole(Head, usize),
}

/// Looks for the head at the front of `bytes`, in answer to a request with this method. `from` is where an earlier search
/// stopped. The fields go to `fields`. An error is a clause that says what is wrong with the response.
pub(crate) fn find(
    bytes: &[u8],
    from: usize,
    method: &Method,
    fields: &mut Vec<Field>,
) -> Result<Found, &'static str> {
    // Refused at the first byte, so that a server of another protocol is known at once.
    if !bytes.starts_with(&b"HTTP/1."[..bytes.len().min(7)]) {
        return Err("does not begin with HTTP/1.1 or HTTP/1.0");
    }
    let end = match scan(bytes, from) {
        Ok(Scan::Complete(end)) => end,
        Ok(Scan::Incomplete(from)) if from < HEAD_BYTES => return Ok(Found::Part(from)),
        Ok(Scan::Incomplete(_)) => return Err(TOO_LARGE),
        Err(_) => return Err("has a line in its head that ends in LF alone"),
    };
    if end > HEAD_BYTES {
        return Err(TOO_LARGE);
    }
    parse(&bytes[..end], method, fields).map(|head| Found::Whole(head, end))
}

/// What is wrong with the `count`th interim response, if nobody has asked for another protocol.
pub(crate) fn interim_fault(status: StatusCode, count: u32) -> Option<&'static str> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Some("changes the protocol, and nobody has asked for that");
    }
    (count > MOST_INTERIM).then_some("does not come behind 32 interim responses")
}

const TOO_LARGE: &str = "has a head of more than 32 KiB";

fn parse(head: &[u8], method: &Method, fields: &mut Vec<Field>) -> Result<Head, &'static str> {
    const NO_FIELD: MaybeUninit<httparse::Header<'_>> = MaybeUninit::uninit();
    fields.clear();
    let mut room: [MaybeUninit<httparse::Header<'_>>; MOST_FIELDS] = [NO_FIELD; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, head, &mut room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err("has a head whose lines are not where they should be"),
        Err(error) => return Err(fault_of(error)),
    }
    let version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or("has no status from 100 to 999")?;
    let mut framing = Framing::default();
    for header in response.headers.iter() {
        let field = Field {
            name: Span::locate(head, header.name.as_bytes()),
            value: Span::locate(head, header.value),
        };
        framing.note(header.name.as_bytes(), field.value.of(head))?;
        fields.push(field);
    }
    framing.head(status, version, method)
}

/// What the fields say about the message's end and the connection.
#[derive(Default)]
struct Framing {
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    kept_for: Option<Duration>,
}

impl Framing {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"content-length") {
            let length =
                content_length(value).ok_or("has a Content-Length that is no plain decimal number")?;
            // RFC 9112 §6.3 allows merging equal repetitions. They are refused here, as in requests.
            if self.content_length.replace(length).is_some() {
                return Err("has more than one Content-Length field");
            }
        } else if is(b"transfer-encoding") {
            if std::mem::replace(&mut self.chunked, true) {
                return Err("has more than one Transfer-Encoding field");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("has a transfer coding other than chunked alone");
            }
        } else if is(b"connection") {
            for option in value.split(|&byte| byte == b',') {
                let option = option.trimmed();
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is(b"keep-alive") {
            self.kept_for = value.split(|&byte| byte == b',').find_map(|part| {
                let part = part.trimmed();
                let (name, seconds) = part.split_at(memchr::memchr(b'=', part)?);
                let is_timeout = name.eq_ignore_ascii_case(b"timeout");
                is_timeout.then(|| content_length(&seconds[1..])).flatten().map(Duration::from_secs)
            });
        }
        Ok(())
    }

    fn head(self, status: StatusCode, version: Version, method: &Method) -> Result<Head, &'static str> {
        let Framing { content_length, chunked, close, keep_alive, kept_for } = self;
        if chunked && content_length.is_some() {
            return Err("has both Transfer-Encoding and Content-Length");
        }
        if status.is_informational() && (chunked || content_length.is_some()) {
            return Err("says that an interim response (1xx) has a body");
        }
        let has_none = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = match (has_none, chunked, content_length) {
            (true, ..) => BodyLength::None { told: content_length },
            (false, true, _) => BodyLength::Chunked,
            (false, false, Some(length)) => BodyLength::Fixed(length),
            (false, false, None) => BodyLength::UntilClose,
        };
        let keeps = match version {
            // A server that speaks HTTP/1.0 knows no chunks (RFC 9112 §6.1): they are read, and nothing after them is trusted.
            Version::Http10 => keep_alive && !chunked && !close,
            Version::Http11 => !close,
        };
        // Servers that send the body of a response that has none exist. It would be taken for the next response's beginning.
        let may_follow = has_none && (chunked || content_length.is_some_and(|length| length > 0));
        let keep_alive = keeps && !may_follow && body != BodyLength::UntilClose;
        Ok(Head { status, body, is_http10: version == Version::Http10, keep_alive, kept_for })
    }
}

fn fault_of(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::TooManyHeaders => "has more than 256 fields",
        httparse::Error::Version => "does not begin with HTTP/1.1 or HTTP/1.0",
        httparse::Error::HeaderName => {
            "has a field line that does not begin with a name and a colon (white space before either is not allowed)"
        }
        httparse::Error::HeaderValue => "has a field value with a control character",
        httparse::Error::NewLine => "has a line in its head that does not end in CRLF",
        httparse::Error::Status | httparse::Error::Token => {
            "has a first line that is not a version, a status and a reason"
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str, method: Method) -> Result<Head, &'static str> {
        let mut fields = Vec::new();
        match find(head.as_bytes(), 0, &method, &mut fields)? {
            Found::Whole(read, end) if end == head.len() => Ok(read),
            other => panic!("{head:?}: {other:?}"),
        }
    }

    fn get(head: &str) -> Result<Head, &'static str> {
        read(head, Method::GET)
    }

    #[test]
    fn the_end_of_a_body_is_found_as_the_rfc_says_and_the_connection_kept_only_behind_a_sure_end() {
        use BodyLength::{Chunked, Fixed, UntilClose};
        let none = BodyLength::None { told: None };
        let told = |length| BodyLength::None { told: Some(length) };
        for (method, head, body, keep_alive) in [
            ("GET", "1.1 200 OK\r\nContent-Length: 5\r\n", Fixed(5), true),
            ("GET", "1.1 200 OK\r\ncontent-length:\t 0 \r\n", Fixed(0), true),
            ("GET", "1.1 200\r\nContent-Length: 5\r\n", Fixed(5), true),
            ("GET", "1.1 200 \r\nContent-Length: 5\r\n", Fixed(5), true),
            ("GET", "1.1 299 N\u{e4}h\r\nContent-Length: 5\r\n", Fixed(5), true),
            ("GET", "1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", Chunked, true),
            ("GET", "1.1 200 OK\r\nConnection: x , CLOSE\r\nContent-Length: 5\r\n", Fixed(5), false),
            ("GET", "1.1 200 OK\r\n", UntilClose, false),
            ("GET", "1.1 200 OK\r\nConnection: keep-alive\r\n", UntilClose, false),
            // HTTP/1.0: kept only if both sides say so, and never behind chunks.
            ("GET", "1.0 200 OK\r\nContent-Length: 5\r\n", Fixed(5), false),
            ("GET", "1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n", Fixed(5), true),
            ("GET", "1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 5\r\n", Fixed(5), false),
            ("GET", "1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n", Chunked, false),
            ("GET", "1.0 200 OK\r\nConnection: keep-alive\r\n", UntilClose, false),
            // Without a body, whatever the fields say; then nothing behind it is trusted.
            ("HEAD", "1.1 200 OK\r\n", none, true),
            ("HEAD", "1.1 200 OK\r\nContent-Length: 0\r\n", told(0), true),
            ("HEAD", "1.1 200 OK\r\nContent-Length: 5\r\n", told(5), false),
            ("HEAD", "1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", none, false),
            ("GET", "1.1 204 No Content\r\n", none, true),
            ("GET", "1.1 204 No Content\r\nContent-Length: 5\r\n", told(5), false),
            ("GET", "1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", none, false),
            ("GET", "1.1 304 Not Modified\r\nContent-Length: 5\r\n", told(5), false),
            ("GET", "1.1 304 Not Modified\r\nETag: \"1\"\r\n", none, true),
            ("GET", "1.1 100 Continue\r\n", none, true),
            ("GET", "1.1 103 Early Hints\r\nLink: </a>\r\n", none, true),
        ] {
            let head = format!("HTTP/{head}\r\n");
            let read =
                read(&head, method.parse().unwrap()).unwrap_or_else(|fault| panic!("{head:?} {fault}"));
            assert_eq!((read.body, read.keep_alive), (body, keep_alive), "{method} {head:?}");
        }
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for head in [
            // Both lengths, in both orders (CL.TE and TE.CL).
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            // Two, equal or not, in lines or in a list.
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            // A length that readers of numbers take differently.
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \u{661}\r\n\r\n",
            // Codings that only some take for chunked (TE.TE).
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
            // Lines.
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\rContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n",
            "HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length\t: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\u{e4}: b\r\n\r\n",
            // The first line.
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            " HTTP/1.1 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.10 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 +20 OK\r\n\r\n",
            "HTTP/1.1 200OK\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "<html>hello</html>\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n\r\n",
            "\x15\x03\x01\x00\x02\x02\x0a",
            // An interim response has no body.
            "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(get(head).is_err(), "{head:?}: {:?}", get(head));
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_the_bound_and_so_is_one_with_too_many_fields() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES));
        let mut fields = Vec::new();
        let find = |length: usize, fields: &mut Vec<Field>| {
            find(&long.as_bytes()[..length], 0, &Method::GET, fields)
        };
        assert_eq!(find(HEAD_BYTES - 1, &mut fields), Ok(Found::Part(HEAD_BYTES - 1)));
        assert!(find(HEAD_BYTES, &mut fields).is_err());
        let with = |fields: usize| format!("HTTP/1.1 204 OK\r\n{}\r\n", "A: b\r\n".repeat(fields));
        assert!(get(&with(MOST_FIELDS)).is_ok());
        assert_eq!(get(&with(MOST_FIELDS + 1)), Err("has more than 256 fields"));
    }

    #[test]
    fn a_server_says_how_long_it_keeps_a_connection() {
        let kept_for =
            |value: &str| get(&format!("HTTP/1.1 204 OK\r\nKeep-Alive: {value}\r\n\r\n")).unwrap().kept_for;
        assert_eq!(kept_for("timeout=5"), Some(Duration::from_secs(5)));
        assert_eq!(kept_for("max=9, Timeout=72"), Some(Duration::from_secs(72)));
        for value in ["", "timeout", "timeout=", "timeout=-1", "timeout=5.5", "times=3", "=5"] {
            assert_eq!(kept_for(value), None, "{value:?}");
        }
    }
}

//! HTTP/1.1 from the client's side, as far as a check needs it: one request and its bounded answer, over any stream. Knows
//! no socket and no TLS; the probes call it.

use std::io::{self, ErrorKind, Read, Write};

use crate::http::chunked::{Decoder, Found};

/// The most that is read of a head; no known server sends more.
const MOST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;
/// The most that is read of a body. The check does not need the rest.
pub(super) const MOST_BODY: usize = 256 * 1024;
/// The most interim answers (1xx) before the final one.
const MOST_INTERIM: usize = 4;

/// A request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The `Host` field.
    pub(super) host: &'a str,
    pub(super) fields: &'a [(&'a str, &'a str)],
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case; bytes of values that are not UTF-8 are replaced.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the connection may carry another request.
    pub(super) persists: bool,
    /// Why the body was not read to its end, as a clause; `None` when it was.
    pub(super) cut: Option<&'static str>,
}

const STREAM: &str = "it is a stream of events";
const LARGE: &str = "it has over 256 KiB";
const LATE: &str = "it did not arrive in time";

/// A connection for one request after the other.
#[derive(Debug)]
pub(super) struct Conversation<S> {
    pub(super) stream: S,
    /// Bytes that were read and not used yet.
    rest: Vec<u8>,
}

impl Reply {
    /// The value of the first field with this name.
    pub(super) fn field(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| field.1.as_str())
    }

    pub(super) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl<S: Read + Write> Conversation<S> {
    pub(super) fn new(stream: S) -> Conversation<S> {
        Conversation { stream, rest: Vec::new() }
    }

    /// Sends a request without a body and reads its answer.
    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> io::Result<Reply> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", ask.method, ask.path, ask.host);
        head.push_str("Accept: application/json, */*;q=0.5\r\n");
        head.push_str(concat!("User-Agent: lockgate-check/", env!("CARGO_PKG_VERSION"), "\r\n"));
        for (name, value) in ask.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if ask.method == "POST" {
            head.push_str("Content-Length: 0\r\n");
        }
        head.push_str("\r\n");
        self.stream.write_all(head.as_bytes())?;
        self.stream.flush()?;
        for _ in 0..=MOST_INTERIM {
            let mut reply = self.head()?;
            if (100..200).contains(&reply.status) {
                continue;
            }
            match self.body(ask.method, &mut reply) {
                Ok(()) => {}
                // The head has arrived, so there is an answer.
                Err(error) if error.kind() == ErrorKind::TimedOut => reply.cut = Some(LATE),
                Err(error) => return Err(error),
            }
            // The rest of such a body is in the place of the next answer.
            reply.persists &= reply.cut.is_none();
            return Ok(reply);
        }
        Err(invalid("it answers with 1xx again and again"))
    }

    fn head(&mut self) -> io::Result<Reply> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&self.rest) {
                Ok(httparse::Status::Complete(length)) => {
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let fields: Vec<(String, String)> = response
                        .headers
                        .iter()
                        .map(|field| (field.name.to_ascii_lowercase(), text(field.value)))
                        .collect();
                    let mut reply =
                        Reply { status: response.code.unwrap_or_default(), fields, ..Reply::default() };
                    let says = |word: &str| {
                        reply
                            .all("connection")
                            .flat_map(|value| value.split(','))
                            .any(|token| token.trim().eq_ignore_ascii_case(word))
                    };
                    reply.persists = match response.version {
                        Some(1) => !says("close"),
                        _ => says("keep-alive"),
                    };
                    self.rest.drain(..length);
                    return Ok(reply);
                }
                Ok(httparse::Status::Partial) if self.rest.len() < MOST_HEAD => {}
                Ok(httparse::Status::Partial) => return Err(invalid("its head is larger than 64 KiB")),
                Err(error) => return Err(invalid(&format!("it does not answer in HTTP/1.1: {error}"))),
            }
            if self.more()? == 0 {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it closes without an answer"));
            }
        }
    }

    /// RFC 9112 §6.3.
    fn body(&mut self, method: &str, reply: &mut Reply) -> io::Result<()> {
        if method == "HEAD" || matches!(reply.status, 204 | 304) {
            return Ok(());
        }
        let kind = reply.field("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if kind.trim().eq_ignore_ascii_case("text/event-stream") {
            reply.cut = Some(STREAM);
            return Ok(());
        }
        let is_chunked = reply
            .field("transfer-encoding")
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("chunked"));
        if is_chunked {
            return self.chunked(reply);
        }
        let length = match reply.field("content-length").map(|value| value.trim().parse::<usize>()) {
            Some(Ok(length)) => Some(length),
            Some(Err(_)) => return Err(invalid("its Content-Length is not a number")),
            None => None,
        };
        let wanted = length.map_or(MOST_BODY + 1, |length| length.min(MOST_BODY));
        while self.rest.len() < wanted {
            if self.more()? == 0 {
                if length.is_some() {
                    return Err(invalid("its body ends before its Content-Length"));
                }
                break;
            }
        }
        reply.persists &= length.is_some();
        // Without a length, the body may still go on.
        if length.unwrap_or(self.rest.len()) > MOST_BODY {
            reply.cut = Some(LARGE);
        }
        let taken = self.rest.len().min(wanted).min(MOST_BODY);
        reply.body = self.rest.drain(..taken).collect();
        Ok(())
    }

    fn chunked(&mut self, reply: &mut Reply) -> io::Result<()> {
        let mut decoder = Decoder::new();
        loop {
            let found = decoder.next(&self.rest).map_err(|fault| invalid(&fault.to_string()))?;
            match found {
                Found::Data(range) => {
                    let length = range.len();
                    if reply.body.len() + length > MOST_BODY {
                        reply.cut = Some(LARGE);
                        return Ok(());
                    }
                    reply.body.extend_from_slice(self.rest.get(range.clone()).unwrap_or_default());
                    decoder.take(length);
                    self.rest.drain(..range.end);
                }
                Found::End(at) => {
                    self.rest.drain(..at);
                    return Ok(());
                }
                Found::More if decoder.is_ended() => {
                    self.rest.clear();
                    return Ok(());
                }
                Found::More => self.rest.clear(),
            }
            if self.rest.is_empty() && !decoder.is_ended() && self.more()? == 0 {
                return Err(invalid("its body ends before its last chunk"));
            }
        }
    }

    /// Whether the server has sent bytes without a request.
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = match self.stream.read(&mut buffer) {
            Ok(count) => count,
            // The connection ended without close_notify; the caller notices when bytes of the length are missing.
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => 0,
            Err(error) => return Err(error),
        };
        // `read` returns at most the buffer's length.
        self.rest.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}

/// Whether a connection ended, which says nothing about the request.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a server, which arrive a few at a time.
    struct Canned {
        input: Vec<u8>,
        at: usize,
        step: usize,
        written: Vec<u8>,
    }

    impl Read for Canned {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let left = &self.input[self.at..];
            let count = left.len().min(buffer.len()).min(self.step);
            buffer[..count].copy_from_slice(&left[..count]);
            self.at += count;
            Ok(count)
        }
    }

    impl Write for Canned {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const GET: Ask<'_> = Ask { method: "GET", path: "/a", host: "h", fields: &[("X-A", "b")] };
    const HEAD: Ask<'_> = Ask { method: "HEAD", path: "/a", host: "h", fields: &[] };

    fn said(input: &str, step: usize) -> Conversation<Canned> {
        Conversation::new(Canned { input: input.into(), at: 0, step, written: Vec::new() })
    }

    #[test]
    fn answers_are_read_in_every_framing_and_one_after_the_other() {
        let all = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-B: c\r\n\r\nabc\
                   HTTP/1.1 100 Continue\r\n\r\n\
                   HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
                   HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
                   HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end";
        for step in [1, 2, 7, 4096] {
            let mut conversation = said(all, step);
            let first = conversation.ask(&GET).unwrap();
            assert_eq!((first.status, &first.body[..], first.persists), (200, &b"abc"[..], true));
            assert_eq!(first.field("x-b"), Some("c"));
            let second = conversation.ask(&GET).unwrap();
            assert_eq!((second.status, &second.body[..], second.persists), (404, &b"def"[..], true));
            let head = conversation.ask(&HEAD).unwrap();
            assert_eq!((head.status, head.body.len(), head.persists), (200, 0, true));
            let last = conversation.ask(&GET).unwrap();
            assert_eq!((&last.body[..], last.persists), (&b"to the end"[..], false));
            let sent = String::from_utf8(conversation.stream.written).unwrap();
            assert!(sent.starts_with("GET /a HTTP/1.1\r\nHost: h\r\n"), "{sent}");
            assert!(sent.contains("\r\nX-A: b\r\n\r\n"), "{sent}");
        }
    }

    #[test]
    fn bytes_that_are_not_an_answer_are_an_error() {
        for input in [
            "",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
            &"HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
            &format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MOST_HEAD)),
        ] {
            let shown = &input[..input.len().min(60)];
            assert!(said(input, 4096).ask(&GET).is_err(), "{shown}");
        }
    }

    #[test]
    fn a_large_body_is_read_up_to_its_bound() {
        let large = "x".repeat(2 * MOST_BODY);
        let sized = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}", large.len());
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
            large.len()
        );
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{large}");
        for input in [sized, chunked, endless] {
            let reply = said(&input, 4096).ask(&GET).unwrap();
            assert!(reply.body.len() <= MOST_BODY);
            assert!(!reply.persists && reply.cut == Some(LARGE));
        }
    }
}

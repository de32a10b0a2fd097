//! Compression of responses with gzip, for clients that accept it (RFC 9110 §8.4). Knows requests and responses. A program calls it
//! around its handlers, with the feature `compression`.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use ::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    SET_COOKIE,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use flate2::write::GzEncoder;
use flate2::Compression as Level;

use super::accept_encoding::{Accepted, Coding};
use super::conditional::{names, Comparison};
use super::content_type::is_compressible;
use super::vary;
use crate::http::layer::{Layer, Next};
use crate::http::request::Request;
use crate::http::response::{Payload, Response};

/// How much is read of a stream at a time, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Compresses responses with gzip.
///
/// ```
/// use lockgate::web::Compression;
/// use lockgate::{Request, Router};
///
/// let router = Router::new().get("/log", |_: &mut Request| "21.5 °C\n".repeat(1_000)).with(Compression::new());
/// let response = router.call(&mut Request::get("/log").with_header("accept-encoding", "gzip"));
/// assert_eq!(response.header("content-encoding").unwrap(), "gzip");
/// assert!(response.into_bytes().unwrap().len() < 100);
/// ```
///
/// A response is compressed if
///
/// - the client accepts gzip, and does not like it less than none (`Accept-Encoding` with its weights, RFC 9110 §12.5.3);
/// - its type is text, JSON, XML, JavaScript, WebAssembly or another that becomes smaller;
/// - it has at least [`min_bytes`](Compression::min_bytes), or its length is not known;
/// - its status has content, and is not 206: ranges are those of the content as it is;
/// - it has none of `Content-Encoding`, `Content-Range`, `Content-Digest` and `Repr-Digest` (RFC 9530);
/// - it has no `Set-Cookie`, and is not [marked as a secret](crate::Response::never_compressed) (`Cache-Control: no-transform`).
///   The length of a compressed body tells what a secret in it has in common with text beside it that an attacker chose (BREACH).
///
/// Such a response gets `Content-Encoding: gzip`, a weak `ETag` in the place of a strong one (RFC 9110 §8.8.1), and no
/// `Accept-Ranges`. `Vary: accept-encoding` is added whether or not this client accepts gzip.
///
/// A body in memory is compressed at once. A stream is compressed as it is read, and what the reader gives is with the client
/// before the reader is asked again. A stream needs about 440 KiB while it is sent; when
/// [`streams`](Compression::streams) are being compressed, a further one goes out as it is.
#[derive(Debug, Clone)]
pub struct Compression {
    min_bytes: u64,
    level: u32,
    most_streams: usize,
    streams: Arc<AtomicUsize>,
}

impl Default for Compression {
    fn default() -> Compression {
        Compression::new()
    }
}

impl Compression {
    /// With the defaults.
    pub fn new() -> Compression {
        Compression { min_bytes: 1_024, level: 6, most_streams: 32, streams: Arc::default() }
    }

    /// The least length of a body that is compressed, in bytes. Defaults to 1,024: a smaller one fits into a packet anyway.
    pub fn min_bytes(mut self, bytes: u64) -> Compression {
        self.min_bytes = bytes;
        self
    }

    /// How much work is spent, from 1, the fastest, to 9, the smallest. Defaults to 6.
    pub fn level(mut self, level: u32) -> Compression {
        self.level = level.clamp(1, 9);
        self
    }

    /// The most streams that are compressed at a time. Defaults to 32, about 14 MiB.
    pub fn streams(mut self, most: usize) -> Compression {
        self.most_streams = most;
        self
    }

    /// Compresses a response, or returns it as it is, for a single handler.
    pub fn apply(&self, request: &Request<'_>, mut response: Response) -> Response {
        if response.status == StatusCode::NOT_MODIFIED {
            return not_modified(request, response);
        }
        if !self.is_eligible(&response) {
            return response;
        }
        vary::add(response.headers_mut(), "accept-encoding");
        if !Accepted::of(request).accepts(Coding::Gzip) {
            return response;
        }
        let is_head = *request.method() == Method::HEAD;
        let body = std::mem::replace(&mut response.body, Payload::Static(b""));
        response.body = match body {
            // The length would be known only after the work, and may be left out (RFC 9110 §8.6).
            _ if is_head => Payload::Reader { reader: Box::new(io::empty()), length: None },
            Payload::Bytes(bytes) => Payload::Bytes(self.gzip(&bytes)),
            Payload::Static(bytes) => Payload::Bytes(self.gzip(bytes)),
            Payload::Reader { reader, length } => match self.enter() {
                Some(place) => {
                    let stream = Stream {
                        reader,
                        left: length,
                        encoder: Some(self.encoder(PIECE_BYTES)),
                        piece: vec![0; PIECE_BYTES],
                        coded: Vec::new(),
                        given: 0,
                        _place: place,
                    };
                    Payload::Reader { reader: Box::new(stream), length: None }
                }
                None => {
                    response.body = Payload::Reader { reader, length };
                    return response;
                }
            },
            // What is not there yet would wait in the encoder.
            body => {
                response.body = body;
                return response;
            }
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        fields.remove(CONTENT_LENGTH);
        fields.remove(ACCEPT_RANGES);
        weaken(fields);
        response
    }

    /// Whether a response would be compressed for a client that accepts it.
    fn is_eligible(&self, response: &Response) -> bool {
        let is_of_status = !matches!(
            response.status,
            StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT
        ) && !response.status.is_informational();
        let has = |name: &str| response.header(name).is_some();
        let forbids = [
            CONTENT_ENCODING.as_str(),
            CONTENT_RANGE.as_str(),
            SET_COOKIE.as_str(),
            "content-digest",
            "repr-digest",
        ];
        is_of_status
            && !response.body.comes_later()
            && response.body.length().map_or(true, |length| length >= self.min_bytes)
            && response.header(CONTENT_TYPE.as_str()).is_some_and(|value| is_compressible(value.as_bytes()))
            && !forbids.into_iter().any(has)
            && !response
                .fields
                .as_deref()
                .is_some_and(|fields| vary::lists(fields, CACHE_CONTROL.as_str(), "no-transform"))
    }

    fn encoder(&self, capacity: usize) -> GzEncoder<Vec<u8>> {
        GzEncoder::new(Vec::with_capacity(capacity), Level::new(self.level))
    }

    fn gzip(&self, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = self.encoder(bytes.len() / 4);
        // Writing to memory cannot fail.
        let _ = encoder.write_all(bytes);
        encoder.finish().unwrap_or_default()
    }

    fn enter(&self) -> Option<Place> {
        let more = |taken| (taken < self.most_streams).then_some(taken + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place(self.streams.clone()))
    }
}

impl Layer for Compression {
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        let response = next.run(request);
        self.apply(request, response)
    }
}

/// A stream's place among those that are compressed. Dropping it gives it back.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Compresses what a reader gives.
struct Stream {
    reader: Box<dyn Read + Send>,
    /// How much was promised and is still to come, if a length was promised.
    left: Option<u64>,
    /// None after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    piece: Vec<u8>,
    /// Compressed bytes, and how many of them were given on.
    coded: Vec<u8>,
    given: usize,
    _place: Place,
}

impl Stream {
    /// Reads once, and compresses what has come.
    fn advance(&mut self) -> io::Result<()> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let most = self
            .left
            .map_or(PIECE_BYTES, |left| PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES)));
        let read = if most == 0 { 0 } else { self.reader.read(&mut self.piece[..most])? };
        // A reader may say anything.
        let piece = self.piece.get(..read).ok_or(io::ErrorKind::InvalidData)?;
        if let Some(left) = &mut self.left {
            if read == 0 && *left > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it ended before the length that was promised; missing bytes: {left}"),
                ));
            }
            *left -= read as u64;
        }
        if read == 0 {
            let encoder = self.encoder.take();
            self.coded = encoder.map_or(Ok(Vec::new()), GzEncoder::finish)?;
        } else {
            encoder.write_all(piece)?;
            // A reader that filled the buffer has more at hand. Another may block next, so all goes out before.
            if read < most {
                encoder.flush()?;
            }
            std::mem::swap(encoder.get_mut(), &mut self.coded);
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.coded.len() && self.encoder.is_some() {
            self.coded.clear();
            self.given = 0;
            self.advance()?;
        }
        let read = (&self.coded[self.given..]).read(out)?;
        self.given += read;
        Ok(read)
    }
}

/// A 304 has the tag of the form that the client has: a weak one, if it asked with a weak one (RFC 9111 §4.3.4).
fn not_modified(request: &Request<'_>, mut response: Response) -> Response {
    let fields = response.headers_mut();
    vary::add(fields, "accept-encoding");
    let Some(tag) = fields.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else {
        return response;
    };
    let asked = |comparison| {
        request.field_lines("if-none-match").any(|line| names(line, Some(tag.as_bytes()), comparison))
    };
    let is_weak = asked(Comparison::Weak) && !asked(Comparison::Strong);
    if is_weak {
        weaken(fields);
    }
    response
}

fn weaken(fields: &mut HeaderMap) {
    let Some(tag) = fields.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else { return };
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) => fields.insert(ETAG, weak),
        Err(_) => fields.remove(ETAG),
    };
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    fn plain(coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(coded).read_to_end(&mut plain).unwrap();
        plain
    }

    fn applied(response: Response) -> Response {
        Compression::new().apply(&Request::get("/").with_header("accept-encoding", "gzip"), response)
    }

    fn long() -> Response {
        Response::text("a long text ".repeat(200))
    }

    fn coding(response: &Response) -> Option<&str> {
        response.header("content-encoding").map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_layer_compresses_what_it_is_around_and_drops_the_body_of_a_head_after_it() {
        let router = crate::Router::new().with(Compression::new()).get("/", |_: &mut Request<'_>| long());
        let call = |method| {
            router.call(&mut Request::new(method, "/").with_header("accept-encoding", "gzip")).into_parts()
        };
        for (method, expected) in [(Method::GET, &*"a long text ".repeat(200)), (Method::HEAD, "")] {
            let (_, fields, mut body) = call(method.clone());
            assert_eq!(fields["content-encoding"], "gzip", "{method}");
            let mut coded = Vec::new();
            body.read_to_end(&mut coded).unwrap();
            let text = if method == Method::HEAD { coded } else { plain(&coded) };
            assert_eq!(text, expected.as_bytes(), "{method}");
        }
    }

    #[test]
    fn only_what_may_be_compressed_is() {
        for (response, expected) in [
            (long(), Some("gzip")),
            (Response::text("short"), None),
            (Response::json(&vec![1; 2_000]), Some("gzip")),
            (long().with_header("content-type", "image/png"), None),
            (Response::bytes(vec![0; 2_000]), None),
            (long().with_header("content-encoding", "br"), Some("br")),
            (long().with_status(StatusCode::PARTIAL_CONTENT), None),
            (long().with_header("content-range", "bytes 0-2399/9999"), None),
            (long().with_header("set-cookie", "session=1"), None),
            (long().with_header("content-digest", "sha-256=:AAAA:"), None),
            (long().with_header("repr-digest", "sha-256=:AAAA:"), None),
            (long().with_header("cache-control", "no-store, No-Transform"), None),
            (long().never_compressed(), None),
            (long().with_status(StatusCode::NOT_FOUND), Some("gzip")),
        ] {
            let shown = format!("{:?} {:?}", response.status(), response.headers());
            let response = applied(response);
            assert_eq!(coding(&response), expected, "{shown}");
            assert_eq!(response.header("vary").is_some(), expected == Some("gzip"), "{shown}");
        }
    }

    #[test]
    fn a_client_that_does_not_accept_it_gets_the_text_and_learns_that_it_varies() {
        for accepts in ["", "identity", "gzip;q=0", "*;q=0", "br, deflate", "identity, gzip;q=0.5"] {
            let request = Request::get("/").with_header("accept-encoding", accepts);
            let response = Compression::new().apply(&request, long().with_header("vary", "origin"));
            assert_eq!(coding(&response), None, "{accepts}");
            assert_eq!(response.header("vary").unwrap(), "origin, accept-encoding");
        }
        let twice = applied(long().with_header("vary", "Accept-Encoding"));
        assert_eq!(twice.header("vary").unwrap(), "Accept-Encoding");
    }

    #[test]
    fn the_tag_becomes_weak_and_ranges_are_not_offered() {
        let request = || Request::get("/").with_header("accept-encoding", "gzip");
        let made = || long().with_header("accept-ranges", "bytes");
        let compression = Compression::new();
        let response = compression.apply(&request(), made().with_etag(&request()));
        let tag = response.header("etag").unwrap().to_str().unwrap().to_string();
        assert!(tag.starts_with("W/\""), "{tag}");
        assert!(response.header("accept-ranges").is_none());
        assert_eq!(plain(&response.into_bytes().unwrap()), "a long text ".repeat(200).as_bytes());
        // The client asks with the weak tag, and the 304 has it too.
        let again = request().with_header("if-none-match", &tag);
        let response = compression.apply(&again, made().with_etag(&again));
        assert_eq!(
            (response.status().as_u16(), response.header("etag").unwrap().to_str().unwrap()),
            (304, tag.as_str())
        );
        assert_eq!(response.header("vary").unwrap(), "accept-encoding");
        let strong = Request::get("/").with_header("if-none-match", &tag[2..]);
        let response = compression.apply(&strong, made().with_etag(&strong));
        assert_eq!(response.header("etag").unwrap(), &tag[2..]);
    }

    #[test]
    fn the_answer_to_head_says_the_same() {
        let request = Request::new(Method::HEAD, "/").with_header("accept-encoding", "gzip");
        let (get, head) = (applied(long()), Compression::new().apply(&request, long()));
        assert_eq!(get.headers(), head.headers());
        assert_eq!(head.body.length(), None);
    }

    #[test]
    fn what_a_reader_gives_is_out_before_it_is_asked_again() {
        struct Turns(Vec<&'static [u8]>);
        impl Read for Turns {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let Some(event) = self.0.pop() else { return Ok(0) };
                out[..event.len()].copy_from_slice(event);
                Ok(event.len())
            }
        }
        let turns = Turns(vec![b"data: 3\n\n", b"data: 2\n\n", b"data: 1\n\n"]);
        let response = applied(Response::reader(turns).with_header("content-type", "text/event-stream"));
        let (_, _, mut body) = response.into_parts();
        assert_eq!(body.length(), None);
        let mut coded = Vec::new();
        for number in 1..=3 {
            let mut buffer = [0; 1_000];
            let read = body.read(&mut buffer).unwrap();
            coded.extend_from_slice(&buffer[..read]);
            let mut so_far = Vec::new();
            // The end is missing, and what came before can be read.
            let _ = GzDecoder::new(&coded[..]).read_to_end(&mut so_far);
            assert!(so_far.ends_with(format!("data: {number}\n\n").as_bytes()), "{number}");
        }
        body.read_to_end(&mut coded).unwrap();
        assert_eq!(plain(&coded), b"data: 1\n\ndata: 2\n\ndata: 3\n\n");
    }

    #[test]
    fn a_stream_keeps_its_promise_and_only_so_many_are_compressed() {
        let long = "a long text ".repeat(20_000);
        let compression = Compression::new().streams(1);
        let request = Request::get("/").with_header("accept-encoding", "gzip");
        let stream = |length: u64| {
            let reader = io::Cursor::new("a long text ".repeat(20_000));
            Response::reader_with_length(reader, length).with_header("content-type", "text/plain")
        };
        let first = compression.apply(&request, stream(long.len() as u64));
        let second = compression.apply(&request, stream(5_000));
        assert_eq!((coding(&first), coding(&second)), (Some("gzip"), None));
        assert_eq!(second.header("vary").unwrap(), "accept-encoding");
        assert_eq!(second.into_bytes().unwrap(), &long.as_bytes()[..5_000]);
        assert_eq!(plain(&first.into_bytes().unwrap()), long.as_bytes());
        let third = compression.apply(&request, stream(5_000));
        assert_eq!(plain(&third.into_bytes().unwrap()), &long.as_bytes()[..5_000]);
        let short = compression.apply(&request, stream(long.len() as u64 + 1));
        assert_eq!(short.into_bytes().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

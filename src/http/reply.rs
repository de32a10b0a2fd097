//! A response's head as bytes (RFC 9112 §4): the status line, the fields that frame it, and the handler's own.

use ::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use ::http::{Method, StatusCode};

use super::date::{imf_fixdate, IMF_FIXDATE_LENGTH};
use super::head::Version;
use super::response::Response;

/// What the framing of a response depends on, beside the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'m> {
    pub method: &'m Method,
    pub version: Version,
    pub keep_alive: bool,
}

/// How the response's body goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none: the method or the status has no body (RFC 9110 §6.4.1).
    None,
    Length(u64),
    Chunked,
    /// Until the connection ends; for HTTP/1.0 clients (RFC 9112 §6.3).
    UntilClose,
}

/// What was written about a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub framing: Framing,
    pub keep_alive: bool,
}

const DATE_NAME: &[u8; 6] = b"date: ";
const AFTER_DATE: &[u8; 35] = b"\r\nx-content-type-options: nosniff\r\n";
const DATE_LINE_LENGTH: usize = DATE_NAME.len() + IMF_FIXDATE_LENGTH + 2;

/// The lines that nearly every head has in common, as they stand in it: Date, and that a body is what its type says.
#[derive(Debug, Clone)]
pub(crate) struct Common([u8; DATE_NAME.len() + IMF_FIXDATE_LENGTH + AFTER_DATE.len()]);

impl Common {
    pub(crate) fn new(unix_seconds: i64) -> Common {
        let mut lines = [0; DATE_NAME.len() + IMF_FIXDATE_LENGTH + AFTER_DATE.len()];
        let (name, rest) = lines.split_at_mut(DATE_NAME.len());
        let (date, after) = rest.split_at_mut(IMF_FIXDATE_LENGTH);
        name.copy_from_slice(DATE_NAME);
        date.copy_from_slice(&imf_fixdate(unix_seconds));
        after.copy_from_slice(AFTER_DATE);
        Common(lines)
    }
}

/// Appends the head of `response` to `out`.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    response: &Response,
    exchange: Exchange<'_>,
    common: &Common,
) -> Written {
    let status = response.status;
    let length = response.body.length();
    let bodiless =
        status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = match (bodiless || *exchange.method == Method::HEAD, length, exchange.version) {
        (true, ..) => Framing::None,
        (false, Some(length), _) => Framing::Length(length),
        (false, None, Version::Http11) => Framing::Chunked,
        (false, None, Version::Http10) => Framing::UntilClose,
    };
    let fields = response.fields.as_deref();
    let wants_close = fields.is_some_and(|fields| {
        fields.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    });
    let keep_alive = exchange.keep_alive && framing != Framing::UntilClose && !wants_close;

    // Enough for nearly every head.
    out.reserve(512);
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(content_type) = &response.content_type {
        write_field(out, b"content-type: ", content_type.as_bytes());
    }
    match (framing, length) {
        (Framing::Length(length), _) | (Framing::None, Some(length)) if !bodiless => {
            let mut digits = [0; 20];
            write_field(out, b"content-length: ", decimal(length, &mut digits));
        }
        (Framing::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    let has = |name| fields.is_some_and(|fields| fields.contains_key(name));
    // A browser that guesses could run what a client has put into a value as a page of this origin.
    let nosniff = !bodiless && length != Some(0) && !has(X_CONTENT_TYPE_OPTIONS);
    let from = if has(DATE) { DATE_LINE_LENGTH } else { 0 };
    let to = if nosniff { common.0.len() } else { DATE_LINE_LENGTH };
    out.extend_from_slice(&common.0[from..to]);
    match (keep_alive, exchange.version) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    for (name, value) in fields.into_iter().flatten() {
        // Framing and the connection's life are the server's; a handler's own word on them would be a second one.
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == CONNECTION {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Written { framing, keep_alive }
}

fn write_field(out: &mut Vec<u8>, name_and_colon: &[u8], value: &[u8]) {
    out.extend_from_slice(name_and_colon);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `number` in decimal, at the end of `digits`.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

/// The line that precedes a chunk of `length` bytes.
pub(crate) fn chunk_size_line(length: usize) -> impl AsRef<[u8]> {
    format!("{length:x}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(response: &Response, method: Method, version: Version, keep_alive: bool) -> (String, Written) {
        let mut out = Vec::new();
        let exchange = Exchange { method: &method, version, keep_alive };
        let written = write_head(&mut out, response, exchange, &Common::new(784_111_777));
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn a_json_response_is_framed_by_its_length() {
        let response = Response::json(&serde_json::json!({"a": 1})).with_header("x-b", "2");
        let (text, written) = head(&response, Method::GET, Version::Http11, true);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\
             date: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-content-type-options: nosniff\r\nx-b: 2\r\n\r\n"
        );
        assert_eq!(written, Written { framing: Framing::Length(7), keep_alive: true });
        let (as_head, written) = head(&response, Method::HEAD, Version::Http11, true);
        assert_eq!(as_head, text);
        assert_eq!(written.framing, Framing::None);
    }

    #[test]
    fn framing_follows_status_version_and_what_is_known() {
        let unknown = || Response::reader(&b"abc"[..]);
        for (response, version, framing, keep_alive, has) in [
            (Response::new(StatusCode::NO_CONTENT), Version::Http11, Framing::None, true, ""),
            (
                Response::text("x").with_status(StatusCode::NOT_MODIFIED),
                Version::Http11,
                Framing::None,
                true,
                "",
            ),
            (Response::new(StatusCode::OK), Version::Http11, Framing::Length(0), true, "content-length: 0"),
            (
                Response::new(StatusCode::OK),
                Version::Http10,
                Framing::Length(0),
                true,
                "connection: keep-alive",
            ),
            (unknown(), Version::Http11, Framing::Chunked, true, "transfer-encoding: chunked"),
            (unknown(), Version::Http10, Framing::UntilClose, false, "connection: close"),
            (
                unknown().with_header("Connection", "close"),
                Version::Http11,
                Framing::Chunked,
                false,
                "connection: close",
            ),
        ] {
            let (text, written) = head(&response, Method::GET, version, true);
            assert_eq!(written, Written { framing, keep_alive }, "{text}");
            assert!(text.contains(has), "{text}");
            assert_eq!(text.contains("content-length"), matches!(framing, Framing::Length(_)), "{text}");
        }
    }

    #[test]
    fn a_body_is_taken_for_what_its_type_says() {
        let own = Response::text("a").with_header("x-content-type-options", "other");
        for (response, method, expected) in [
            (Response::text("a"), Method::GET, Some("nosniff")),
            (Response::text("a"), Method::HEAD, Some("nosniff")),
            (Response::bytes("a"), Method::GET, Some("nosniff")),
            (Response::reader(&b"a"[..]), Method::GET, Some("nosniff")),
            (own, Method::GET, Some("other")),
            (Response::new(StatusCode::OK), Method::GET, None),
            (Response::new(StatusCode::NO_CONTENT), Method::GET, None),
        ] {
            let (text, _) = head(&response, method, Version::Http11, true);
            let found: Vec<_> =
                text.lines().filter_map(|line| line.strip_prefix("x-content-type-options: ")).collect();
            assert_eq!(found, Vec::from_iter(expected), "{text}");
        }
    }

    #[test]
    fn a_handlers_own_framing_is_left_out() {
        let response =
            Response::text("abc").with_header("content-length", "777").with_header("transfer-encoding", "x");
        let (text, _) = head(&response, Method::GET, Version::Http11, false);
        assert!(
            text.contains("content-length: 3\r\n") && !text.contains("777") && !text.contains("transfer"),
            "{text}"
        );
        assert!(text.contains("connection: close\r\n"));
    }
}

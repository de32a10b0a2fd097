//! A response's head as bytes (RFC 9112 §4): the status line, the fields that frame it, and the handler's own.

use std::time::Duration;

use ::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderMap, HeaderName, Method, StatusCode};

use super::content::Content;
use super::request_head::Version;
use super::response::Response;
use crate::calendar::IMF_FIXDATE_LENGTH;

/// What the framing of a response depends on, beside the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'m> {
    pub method: &'m Method,
    pub version: Version,
    pub persistence: Persistence,
    pub field_names: FieldNames,
}

/// Whether the connection is kept after a response (RFC 9112 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Close,
    /// It is kept, and idle until the next request comes.
    Idle,
    /// It is kept, and the next request has already come. The response does not say how long the connection may be idle.
    Busy,
}

/// How the names of fields are written in responses. The case does not matter to a correct client (RFC 9110 §5.1), but some
/// small clients compare names letter by letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FieldNames {
    /// `content-length`, as in HTTP/2 and HTTP/3. This is the default.
    #[default]
    LowerCase,
    /// `Content-Length`: the first letter and each letter after a hyphen are in upper case. So `etag` becomes `Etag`.
    TitleCase,
}

/// How the response's body is framed.
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
    pub persistence: Persistence,
}

/// RFC 2068 §19.7.1.1. Today's clients read its `timeout`, in seconds.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

const DATE_NAME: &[u8; 6] = b"date: ";
const AFTER_DATE: &[u8; 35] = b"\r\nx-content-type-options: nosniff\r\n";
const DATE_LINE_LENGTH: usize = DATE_NAME.len() + IMF_FIXDATE_LENGTH + 2;

/// The lines that nearly all heads share, ready to be copied: Connection and Keep-Alive, Date, and X-Content-Type-Options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    lines: Vec<u8>,
    /// Where the date begins.
    date: usize,
}

impl Common {
    /// The date is an IMF-fixdate. `kept_for` is how long a client may count on the connection, in seconds.
    pub(crate) fn new(date: [u8; IMF_FIXDATE_LENGTH], kept_for: Option<u64>) -> Common {
        // The Keep-Alive field concerns only this connection, so the Connection field has to name it (RFC 9110 §7.6.1).
        let mut lines = kept_for.map_or_else(Vec::new, |seconds| {
            format!("connection: keep-alive\r\nkeep-alive: timeout={seconds}\r\n").into_bytes()
        });
        let before_date = lines.len();
        lines.extend_from_slice(DATE_NAME);
        lines.extend_from_slice(&date);
        lines.extend_from_slice(AFTER_DATE);
        Common { lines, date: before_date }
    }
}

/// How long a client is told that it may keep an idle connection, in seconds. It is a tenth less than `idle_timeout`, and at
/// least a second less, so that no request is on its way when the server closes. `None` when less than a second is left.
pub(crate) fn kept_for(idle_timeout: Duration) -> Option<u64> {
    let seconds = idle_timeout.as_secs();
    let told = seconds.saturating_sub((seconds / 10).max(1));
    (told > 0).then_some(told)
}

/// Appends the head of `response` to `out`.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    response: &Response,
    exchange: Exchange<'_>,
    common: &Common,
) -> Written {
    let status = response.status;
    let content = Content::of(status);
    let length = if content == Content::Empty { Some(0) } else { response.body.length() };
    let bodiless = content == Content::None;
    let framing = match (bodiless || *exchange.method == Method::HEAD, length, exchange.version) {
        (true, ..) => Framing::None,
        (false, Some(length), _) => Framing::Length(length),
        (false, None, Version::Http11) => Framing::Chunked,
        (false, None, Version::Http10) => Framing::UntilClose,
    };
    let fields = response.fields.as_deref();
    let must_close = framing == Framing::UntilClose || fields.is_some_and(asks_to_close);
    let persistence = if must_close { Persistence::Close } else { exchange.persistence };

    let start = out.len();
    // Enough for nearly every head.
    out.reserve(512);
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        write_status_line(out, status);
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
    // A browser that guesses the type could take a client's text in the body for a page of this origin, and run it.
    let nosniff = !bodiless && length != Some(0) && !has(X_CONTENT_TYPE_OPTIONS);
    // It names the option for its own connection only (RFC 9110 §7.8, §15.5.22).
    let wants_upgrade = cfg!(feature = "upgrade") && status == StatusCode::UPGRADE_REQUIRED && has(UPGRADE);
    let says_how_long = persistence == Persistence::Idle && common.date > 0 && !wants_upgrade;
    let after_date = common.date + DATE_LINE_LENGTH;
    let from = if says_how_long { 0 } else { common.date };
    let to = if nosniff { common.lines.len() } else { after_date };
    if has(DATE) {
        out.extend_from_slice(&common.lines[from..common.date]);
        out.extend_from_slice(&common.lines[after_date..to]);
    } else {
        out.extend_from_slice(&common.lines[from..to]);
    }
    match (persistence, exchange.version) {
        (Persistence::Close, Version::Http11) if wants_upgrade => {
            out.extend_from_slice(b"connection: close, upgrade\r\n");
        }
        (Persistence::Idle | Persistence::Busy, Version::Http11) if wants_upgrade => {
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        (Persistence::Close, _) => out.extend_from_slice(b"connection: close\r\n"),
        (_, Version::Http10) if !says_how_long => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Persistence::Idle | Persistence::Busy, _) => {}
    }
    if let Some(fields) = fields {
        write_fields(out, fields);
    }
    out.extend_from_slice(b"\r\n");
    if exchange.field_names == FieldNames::TitleCase {
        title_case(&mut out[start..]);
    }
    Written { framing, persistence }
}

/// Appends the head of an interim response (RFC 9110 §15.2). After a 101 the connection speaks another protocol.
#[cfg(feature = "upgrade")]
pub(crate) fn write_interim(out: &mut Vec<u8>, response: &Response, field_names: FieldNames) {
    let start = out.len();
    write_status_line(out, response.status);
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        write_field(out, b"connection: ", b"upgrade");
    }
    if let Some(fields) = response.fields.as_deref() {
        write_fields(out, fields);
    }
    out.extend_from_slice(b"\r\n");
    if field_names == FieldNames::TitleCase {
        title_case(&mut out[start..]);
    }
}

/// Whether a handler wants the connection closed.
fn asks_to_close(fields: &HeaderMap) -> bool {
    fields.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn write_status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a handler's own fields.
fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        // The server writes these fields itself, so a handler's own would be duplicates.
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == CONNECTION || *name == KEEP_ALIVE
        {
            continue;
        }
        // A response that the server is to add nothing to, such as a backend's, has the field without a value.
        if value.is_empty() && *name == X_CONTENT_TYPE_OPTIONS {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the names of fields in title case, behind a first line. This is a separate pass, so that it costs nothing when it is off.
pub(crate) fn title_case(head: &mut [u8]) {
    // Values hold neither CR nor LF, and the first line is not a field.
    for line in head.split_mut(|&byte| byte == b'\n').skip(1) {
        let mut begins = true;
        for byte in line.iter_mut().take_while(|byte| **byte != b':') {
            if begins {
                byte.make_ascii_uppercase();
            }
            begins = *byte == b'-';
        }
    }
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
    use crate::calendar::imf_fixdate;

    fn head(response: &Response, method: Method, version: Version, keep_alive: bool) -> (String, Written) {
        let mut out = Vec::new();
        let field_names = FieldNames::LowerCase;
        let persistence = if keep_alive { Persistence::Idle } else { Persistence::Close };
        let exchange = Exchange { method: &method, version, persistence, field_names };
        let written =
            write_head(&mut out, response, exchange, &Common::new(imf_fixdate(784_111_777), Some(54)));
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn an_empty_x_content_type_options_says_that_nothing_is_to_be_added_and_is_not_sent() {
        let response = Response::text("a").with_header("x-content-type-options", "").with_header("x-own", "");
        let (head, _) = head(&response, Method::GET, Version::Http11, true);
        assert!(!head.contains("x-content-type-options") && head.contains("x-own: \r\n"), "{head}");
    }

    #[cfg(feature = "upgrade")]
    #[test]
    fn a_426_names_upgrade_in_its_connection_field() {
        let response = Response::new(StatusCode::UPGRADE_REQUIRED).with_header("upgrade", "websocket");
        for (version, keep_alive, expected) in [
            (Version::Http11, true, "upgrade"),
            (Version::Http11, false, "close, upgrade"),
            // It knows no upgrade.
            (Version::Http10, true, "keep-alive"),
            (Version::Http10, false, "close"),
        ] {
            let (head, _) = head(&response, Method::GET, version, keep_alive);
            let said: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("connection: ")).collect();
            assert_eq!(said, [expected], "{head}");
        }
    }

    #[test]
    fn a_json_response_is_framed_by_its_length() {
        let response = Response::json(&serde_json::json!({"a": 1})).with_header("x-b", "2");
        let (text, written) = head(&response, Method::GET, Version::Http11, true);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\
             connection: keep-alive\r\nkeep-alive: timeout=54\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-content-type-options: nosniff\r\nx-b: 2\r\n\r\n"
        );
        assert_eq!(written, Written { framing: Framing::Length(7), persistence: Persistence::Idle });
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
                Response::text("x").with_status(StatusCode::RESET_CONTENT),
                Version::Http11,
                Framing::Length(0),
                true,
                "content-length: 0",
            ),
            (
                unknown().with_status(StatusCode::RESET_CONTENT),
                Version::Http10,
                Framing::Length(0),
                true,
                "content-length: 0",
            ),
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
            let persistence = if keep_alive { Persistence::Idle } else { Persistence::Close };
            assert_eq!(written, Written { framing, persistence }, "{text}");
            assert!(text.contains(has), "{text}");
            assert_eq!(text.contains("content-length"), matches!(framing, Framing::Length(_)), "{text}");
        }
    }

    #[test]
    fn a_connection_that_is_kept_says_for_how_long_and_a_handler_cannot() {
        let own = Response::text("x").with_header("keep-alive", "timeout=777").with_header("date", "today");
        for (version, keep_alive, expected) in [
            (Version::Http11, true, "connection: keep-alive\r\nkeep-alive: timeout=54\r\n"),
            (Version::Http10, true, "connection: keep-alive\r\nkeep-alive: timeout=54\r\n"),
            (Version::Http11, false, "connection: close\r\n"),
            (Version::Http10, false, "connection: close\r\n"),
        ] {
            for response in [&Response::text("x"), &Response::new(StatusCode::NO_CONTENT), &own] {
                let (text, _) = head(response, Method::GET, version, keep_alive);
                assert!(text.contains(expected), "{text}");
                assert_eq!(text.matches("connection: ").count(), 1, "{text}");
                assert_eq!(text.matches("keep-alive: ").count(), usize::from(keep_alive), "{text}");
                assert_eq!(text.matches("date: ").count(), 1, "{text}");
            }
        }
        for (version, says) in [(Version::Http11, ""), (Version::Http10, "\r\nconnection: keep-alive\r\n")] {
            let exchange = Exchange {
                method: &Method::GET,
                version,
                persistence: Persistence::Busy,
                field_names: FieldNames::LowerCase,
            };
            let mut out = Vec::new();
            write_head(
                &mut out,
                &Response::text("x"),
                exchange,
                &Common::new(imf_fixdate(784_111_777), Some(54)),
            );
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(says) && !text.contains("timeout"), "{text}");
        }
        let (text, _) = head(&own, Method::GET, Version::Http11, true);
        assert!(text.contains("date: today\r\n") && text.contains("nosniff"), "{text}");
    }

    #[test]
    fn what_clients_are_told_is_a_little_less_than_the_limit() {
        let told = |millis| kept_for(Duration::from_millis(millis));
        assert_eq!(
            [60_000, 300_000, 10_000, 5_500, 2_000, 1_999, 1].map(told),
            [Some(54), Some(270), Some(9), Some(4), Some(1), None, None]
        );
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
    fn names_in_title_case_leave_everything_else_as_it_is() {
        let response = Response::text("x").with_header("x-a-bc", "d-e: f").with_header("etag", "\"g-h\"");
        let exchange = Exchange {
            method: &Method::GET,
            version: Version::Http11,
            persistence: Persistence::Close,
            field_names: FieldNames::TitleCase,
        };
        let mut out = b"before-it: a\r\n".to_vec();
        write_head(&mut out, &response, exchange, &Common::new(imf_fixdate(784_111_777), None));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "before-it: a\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\
             X-A-Bc: d-e: f\r\nEtag: \"g-h\"\r\n\r\n"
        );
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

//! A response as a handler makes it, and what can be turned into one.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use ::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_core::{Serialize, Serializer};
use serde_json::Value;

use super::Refusal;
use crate::error::{BodyFault, Error, ParameterFault};
use crate::handler_call;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response. lockgate adds `Content-Length` or chunked framing, `Date` and `Connection` by itself; and to a body
/// `X-Content-Type-Options: nosniff`, so that no browser takes it for something else than its type says, unless the handler
/// has set that field.
///
/// ```
/// use lockgate::{Response, StatusCode};
/// use serde_json::json;
///
/// let response = Response::json(&json!({"id": 7})).with_status(StatusCode::CREATED).with_header("location", "/items/7");
/// assert_eq!(response.header("location").unwrap(), "/items/7");
/// ```
pub struct Response {
    pub(crate) status: StatusCode,
    /// Apart from the other fields, because nearly every response has it and nothing else.
    pub(crate) content_type: Option<HeaderValue>,
    /// All others; most responses have none.
    pub(crate) fields: Option<Box<HeaderMap>>,
    pub(crate) body: Payload,
}

/// A response's body.
pub(crate) enum Payload {
    Bytes(Vec<u8>),
    Static(&'static [u8]),
    Reader { reader: Box<dyn Read + Send>, length: Option<u64> },
}

impl Payload {
    /// The body's length in bytes, if it is known before it is sent.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Static(bytes) => Some(bytes.len() as u64),
            Payload::Reader { length, .. } => *length,
        }
    }
}

impl Response {
    /// A response with an empty body.
    pub fn new(status: StatusCode) -> Response {
        Response { status, content_type: None, fields: None, body: Payload::Static(b"") }
    }

    /// 200 with `value` as JSON. A value that cannot be written as JSON (a map whose keys are not strings) becomes a 500
    /// and a line in the log.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Response {
        match serde_json::to_vec(value) {
            Ok(bytes) => Response::of(JSON, Payload::Bytes(bytes)),
            Err(error) => {
                handler_call::note(
                    "a value that is no JSON",
                    format_args!("gave a value that cannot be written as JSON: {error}"),
                );
                Response::new(StatusCode::INTERNAL_SERVER_ERROR).into_problem()
            }
        }
    }

    /// 200 with a text, as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Response {
        Response::of(TEXT, Payload::Bytes(text.into().into_bytes()))
    }

    /// 200 with bytes in memory. Give their type with [`with_header`](Response::with_header).
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Response {
        Response { body: Payload::Bytes(bytes.into()), ..Response::new(StatusCode::OK) }
    }

    /// 200 with all that `reader` gives, sent in chunks (to an HTTP/1.0 client until the connection's end). The head goes out at
    /// once, and what one `read` gives before the reader is asked again. It is asked for more only as the client takes it; a
    /// read error cuts the connection, so that the client cannot mistake the part for the whole.
    ///
    /// ```
    /// use std::io::{self, Read};
    /// use std::sync::mpsc::Receiver;
    /// use lockgate::Response;
    ///
    /// /// An event for each text that comes through the channel, until its other end is dropped.
    /// struct Events(Receiver<String>);
    ///
    /// impl Read for Events {
    ///     fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
    ///         let Ok(text) = self.0.recv() else { return Ok(0) };
    ///         let event = format!("data: {text}\n\n");
    ///         let given = event.len().min(out.len()); // `out` has up to 63 KiB; keep the rest of what may be longer
    ///         out[..given].copy_from_slice(&event.as_bytes()[..given]);
    ///         Ok(given)
    ///     }
    /// }
    ///
    /// fn events(texts: Receiver<String>) -> Response {
    ///     Response::reader(Events(texts)).with_header("content-type", "text/event-stream")
    /// }
    /// # let (sender, texts) = std::sync::mpsc::channel();
    /// # sender.send("21.5".to_string()).unwrap();
    /// # drop(sender);
    /// # assert_eq!(events(texts).into_bytes().unwrap(), b"data: 21.5\n\n");
    /// ```
    ///
    /// A reader may block, for hours if need be, and holds a worker while it does: at most half of
    /// [`Limits::reserve_workers`](crate::Limits::reserve_workers) may be inside readers at a time, and the next response of this
    /// kind becomes a 503. No timer but that of a stop counts the time that it blocks. When the client goes, the reader is dropped, at its next
    /// return if it blocks just then; so let it return now and then, with a line that clients pass over (`:` in events).
    pub fn reader(reader: impl Read + Send + 'static) -> Response {
        let body = Payload::Reader { reader: Box::new(reader), length: None };
        Response { body, ..Response::new(StatusCode::OK) }
    }

    /// As [`reader`](Response::reader), with `Content-Length`. A reader that gives less cuts the connection; what it has
    /// beyond `length` is not sent.
    pub fn reader_with_length(reader: impl Read + Send + 'static, length: u64) -> Response {
        let body = Payload::Reader { reader: Box::new(reader), length: Some(length) };
        Response { body, ..Response::new(StatusCode::OK) }
    }

    fn of(content_type: HeaderValue, body: Payload) -> Response {
        Response { status: StatusCode::OK, content_type: Some(content_type), fields: None, body }
    }

    /// Changes the status.
    pub fn with_status(mut self, status: StatusCode) -> Response {
        self.status = status;
        self
    }

    /// Sets a field, in place of one of the same name. A name or a value that HTTP does not allow (a line break in it,
    /// say) turns the response into a 500 and leaves a line in the log: it never reaches the wire.
    pub fn with_header<N, V>(self, name: N, value: V) -> Response
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.put(checked(name, value), |fields, name, value| {
            fields.insert(name, value);
        })
    }

    /// Adds a field beside others of the same name, as `Set-Cookie` needs it. Checked as [`with_header`](Response::with_header).
    pub fn with_added_header<N, V>(self, name: N, value: V) -> Response
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.put(checked(name, value), |fields, name, value| {
            fields.append(name, value);
        })
    }

    /// Sets one of the program's own fields, which needs no check. Not for `Content-Type`.
    pub(crate) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Response {
        self.fields.get_or_insert_default().insert(name, value);
        self
    }

    /// Puts a checked field where it belongs; one that was found wrong turns the response into a 500.
    fn put(
        mut self,
        field: Option<(HeaderName, HeaderValue)>,
        put: impl FnOnce(&mut HeaderMap, HeaderName, HeaderValue),
    ) -> Response {
        match field {
            Some((name, value)) if name == CONTENT_TYPE => self.content_type = Some(value),
            Some((name, value)) => put(self.fields.get_or_insert_default(), name, value),
            None => return Response::new(StatusCode::INTERNAL_SERVER_ERROR).into_problem(),
        }
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The value of the first field of this name that the handler set.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()) {
            self.content_type.as_ref()
        } else {
            self.fields.as_ref()?.get(name)
        }
    }

    /// The body, read to its end; for tests.
    pub fn into_bytes(self) -> std::io::Result<Vec<u8>> {
        match self.body {
            Payload::Bytes(bytes) => Ok(bytes),
            Payload::Static(bytes) => Ok(bytes.to_vec()),
            Payload::Reader { mut reader, length } => {
                let mut bytes = Vec::new();
                reader.by_ref().take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// As a client sees it: without content where the method or the status has none (RFC 9110 §6.4.1, §15.3.6).
    pub(crate) fn without_needless_content(self, method: &Method) -> Response {
        let no_content = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
        if *method == Method::HEAD || no_content.contains(&self.status) {
            Response { body: Payload::Static(b""), ..self }
        } else {
            self
        }
    }

    /// A problem document with nothing but this response's status.
    pub(crate) fn into_problem(self) -> Response {
        Problem::new(self.status).into_response()
    }
}

fn checked<N: TryInto<HeaderName>, V: TryInto<HeaderValue>>(
    name: N,
    value: V,
) -> Option<(HeaderName, HeaderValue)> {
    let Ok(name) = name.try_into() else {
        handler_call::note("a bad field", format_args!("set a field whose name is not a token"));
        return None;
    };
    let Ok(value) = value.try_into() else {
        handler_call::note(
            "a bad field",
            format_args!("set {name} to a value that holds a control character"),
        );
        return None;
    };
    Some((name, value))
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.body.length();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &length)
            .finish_non_exhaustive()
    }
}

/// An error as a client can read it: an RFC 9457 problem document, `application/problem+json`.
///
/// ```
/// use lockgate::{IntoResponse, Problem, StatusCode};
///
/// let problem = Problem::new(StatusCode::CONFLICT).detail("The sensor is being calibrated.").member("retry", 30);
/// assert_eq!(problem.into_response().status(), StatusCode::CONFLICT);
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    /// By their names, in order. There are a few, and a map would be the largest part of it in a program.
    members: Vec<(String, Value)>,
}

impl Problem {
    /// A problem whose title is the status's own (RFC 9457 §4.2.1, `about:blank`).
    pub fn new(status: StatusCode) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error");
        Problem { status, members: Vec::new() }.title(title).member("status", status.as_u16())
    }

    /// What happened this time, for a person.
    pub fn detail(self, detail: impl Into<String>) -> Problem {
        self.member("detail", detail.into())
    }

    /// The kind of problem: a URI, best one that can be opened and explains it.
    pub fn kind(self, uri: impl Into<String>) -> Problem {
        self.member("type", uri.into())
    }

    /// The short name of the kind of problem.
    pub fn title(self, title: impl Into<String>) -> Problem {
        self.member("title", title.into())
    }

    /// Any further member (RFC 9457 §3.2).
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Problem {
        let member = (name.to_string(), value.into());
        match self.members.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) => self.members[at] = member,
            Err(at) => self.members.insert(at, member),
        }
        self
    }
}

/// 404, as for a path that no route serves.
pub(crate) fn not_served() -> Response {
    Problem::new(StatusCode::NOT_FOUND).detail("Nothing is served at this path.").into_response()
}

/// What a handler may return: a [`Response`], a [`StatusCode`], nothing (204), text, bytes, JSON ([`Value`]), a [`Problem`], a
/// pair of status and any of these, an [`Option`] (404 for `None`) or a [`Result`] of them.
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// The status alone; from 400 up with a problem document.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        if self.is_client_error() || self.is_server_error() {
            Problem::new(self).into_response()
        } else {
            Response::new(self)
        }
    }
}

/// 204, no content.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::NO_CONTENT)
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::of(TEXT, Payload::Static(self.as_bytes()))
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`].
impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::of(OCTETS, Payload::Bytes(self))
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`]. Nothing is copied.
impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::of(OCTETS, Payload::Static(self))
    }
}

/// As a slice, for `b"…"` and [`include_bytes!`].
impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self.as_slice().into_response()
    }
}

/// The value, or 404 with a problem document.
///
/// ```
/// use lockgate::{Request, Router};
///
/// fn name_of(id: &str) -> Option<&'static str> {
///     (id == "7").then_some("kitchen")
/// }
///
/// let router = Router::new().get("/sensors/{id}", |request: &mut Request| name_of(request.param("id")?));
/// assert_eq!(router.call(&mut Request::get("/sensors/7")).status(), 200);
/// assert_eq!(router.call(&mut Request::get("/sensors/8")).status(), 404);
/// ```
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        self.map_or_else(not_served, T::into_response)
    }
}

/// 200, `application/json`.
impl IntoResponse for Value {
    fn into_response(self) -> Response {
        Response::json(&self)
    }
}

/// The value with another status.
impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// The value, or the error as it answers for itself: a [`Problem`], a [`StatusCode`], lockgate's [`Error`], or a type of
/// your own that implements this trait.
impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// Written as a JSON object.
struct Members<'m>(&'m [(String, Value)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A map of strings to JSON values can always be written.
        let bytes = serde_json::to_vec(&Members(&self.members)).unwrap_or_default();
        Response::of(PROBLEM_JSON, Payload::Bytes(bytes)).with_status(self.status)
    }
}

/// A fault of the body answers with its own status, one of a path parameter with 404; everything else is a 500, and its text
/// goes to the log alone.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Error::Parameter { fault, .. } = &self {
            if *fault == ParameterFault::Unknown {
                handler_call::note("a handler failed", format_args!("failed: {self}"));
            }
            return not_served();
        }
        let is_coding = matches!(self, Error::Body(BodyFault::ContentCoding));
        let status = match &self {
            Error::Body(BodyFault::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Body(BodyFault::TimedOut { .. }) => StatusCode::REQUEST_TIMEOUT,
            Error::Body(BodyFault::MediaType | BodyFault::ContentCoding) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Error::Body(BodyFault::Json(error)) if error.is_data() => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Body(BodyFault::Io(error)) => {
                log::debug!("a request's body could not be read: {error}");
                return Problem::new(StatusCode::BAD_REQUEST)
                    .detail("the body could not be read")
                    .into_response();
            }
            Error::Body(_) => StatusCode::BAD_REQUEST,
            other => {
                handler_call::note("a handler failed", format_args!("failed: {other}"));
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        let response = Problem::new(status).detail(self.to_string()).into_response();
        if is_coding {
            // RFC 9110 §12.5.3: with 415 it says which codings would be taken.
            response.with_field(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        } else {
            response
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let response = Problem::new(self.status).detail(self.detail).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.with_field(RETRY_AFTER, HeaderValue::from_static("1"))
        } else {
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_field_becomes_a_500_and_no_field() {
        for value in ["a\r\nset-cookie: x", "a\nb", "a\0b"] {
            let response = Response::text("x").with_header("x-name", value);
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(response.header("x-name").is_none());
        }
        assert_eq!(Response::text("x").with_header("x y", "1").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn an_error_of_the_body_answers_for_itself() {
        let wrong_shape = crate::Request::post("/").with_body("[]").json::<String>().unwrap_err();
        assert_eq!(wrong_shape.into_response().status(), StatusCode::UNPROCESSABLE_ENTITY);
        let not_json = crate::Request::post("/").with_body("x").json::<String>().unwrap_err();
        let response = not_json.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.header("content-type").unwrap(), "application/problem+json");
        let body: Value = serde_json::from_slice(&response.into_bytes().unwrap()).unwrap();
        assert_eq!(body["status"], 400);
    }
}

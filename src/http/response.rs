//! A response as a handler makes it: a status, fields and a body. The server writes it to the wire.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, Read};

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_core::Serialize;

use super::content::Content;
use super::live_body::{Call, LiveBody, Then};
#[cfg(feature = "handler-timeout")]
use super::pending::PendingResponse;
use super::problem::Problem;
#[cfg(feature = "upgrade")]
use super::upgrade::Upgrade;
use crate::handler_call;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(super) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response. lockgate adds `Content-Length` or chunked framing, `Date` and `Connection` by itself. To a response with a body
/// it adds `X-Content-Type-Options: nosniff`, unless the handler has set that field, so that no browser guesses another type.
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
    /// Kept apart from the other fields, because most responses have only this one.
    pub(crate) content_type: Option<HeaderValue>,
    /// All other fields; most responses have none. After [`Response::headers_mut`] `Content-Type` is among them.
    pub(crate) fields: Option<Box<HeaderMap>>,
    /// All fields as a map, built by [`Response::headers`].
    map: OnceCell<Box<HeaderMap>>,
    pub(crate) body: Payload,
}

/// A response's body.
pub(crate) enum Payload {
    Bytes(Vec<u8>),
    Static(&'static [u8]),
    Reader {
        reader: Box<dyn Read + Send>,
        length: Option<u64>,
    },
    Live(Box<dyn LiveBody>),
    /// What takes the connection over, after a 101.
    #[cfg(feature = "upgrade")]
    Upgrade(Box<dyn Upgrade>),
    /// The whole response comes later. What the program sets in this one is lost.
    #[cfg(feature = "handler-timeout")]
    Pending(Box<dyn PendingResponse<Response>>),
}

impl Payload {
    /// Whether it has bytes only later.
    #[cfg(feature = "compression")]
    pub(crate) fn comes_later(&self) -> bool {
        match self {
            #[cfg(feature = "handler-timeout")]
            Payload::Pending(_) => true,
            body => matches!(body, Payload::Live(_)),
        }
    }

    /// The body's length in bytes, if it is known before it is sent.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Static(bytes) => Some(bytes.len() as u64),
            Payload::Reader { length, .. } => *length,
            Payload::Live(body) => body.length(),
            #[cfg(feature = "handler-timeout")]
            Payload::Pending(_) => None,
            #[cfg(feature = "upgrade")]
            Payload::Upgrade(_) => Some(0),
        }
    }
}

impl Response {
    /// A response with an empty body.
    pub fn new(status: StatusCode) -> Response {
        Response {
            status,
            content_type: None,
            fields: None,
            map: OnceCell::new(),
            body: Payload::Static(b""),
        }
    }

    /// 200 with `value` as JSON. A value that cannot be written as JSON (a map whose keys are not strings) gives a 500 and a
    /// line in the log.
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

    /// 200 with JSON that is written already.
    pub(crate) fn json_bytes(bytes: Vec<u8>) -> Response {
        Response::of(JSON, Payload::Bytes(bytes))
    }

    /// A response with the problem's status and its document.
    pub(super) fn of_problem(problem: &Problem) -> Response {
        Response::of(PROBLEM_JSON, Payload::Bytes(problem.to_bytes())).with_status(problem.status)
    }

    /// 200 with text, as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Response {
        Response::of(TEXT, Payload::Bytes(text.into().into_bytes()))
    }

    /// 200 with a page, as `text/html; charset=utf-8`. What comes from elsewhere has to be escaped before it is put into a page.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router, StatusCode};
    ///
    /// let router = Router::new()
    ///     .fallback(|_: &mut Request| Response::html("<h1>No such page</h1>").with_status(StatusCode::NOT_FOUND));
    /// assert_eq!(router.call(&mut Request::get("/none")).header("content-type").unwrap(), "text/html; charset=utf-8");
    /// ```
    pub fn html(page: impl Into<String>) -> Response {
        Response::of(HTML, Payload::Bytes(page.into().into_bytes()))
    }

    /// 200 with bytes in memory. Set their type with [`with_header`](Response::with_header).
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Response {
        Response { body: Payload::Bytes(bytes.into()), ..Response::new(StatusCode::OK) }
    }

    /// 200 with everything that `reader` returns, sent in chunks (to an HTTP/1.0 client until the connection's end). The head
    /// is sent at once, and the bytes of each `read` are sent before the next `read`. The reader is read only as fast as the
    /// client takes the bytes. A read error cuts the connection, so that the client does not take the part for the whole.
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
    /// A reader may block, for hours if need be, and holds a worker while it does. At most half of
    /// [`Limits::reserve_workers`](crate::Limits::reserve_workers) may be inside readers at a time; the next response of this
    /// kind becomes a 503. Of all timers only the one of a stop runs while the reader blocks. When the client goes away, the
    /// reader is dropped; if it is blocking, that happens when it returns. So let it return now and then, with a line that
    /// clients ignore (`:` in events).
    ///
    /// A stop of the server waits for readers, for [`Limits::drain_timeout`](crate::Limits::drain_timeout), and then cuts them. A
    /// reader that never ends by itself learns of the stop by [`Handle::wait_for_stop`](crate::Handle::wait_for_stop) or
    /// [`is_stopping`](crate::Handle::is_stopping), and returns `Ok(0)`: so its client gets the stream whole.
    pub fn reader(reader: impl Read + Send + 'static) -> Response {
        let body = Payload::Reader { reader: Box::new(reader), length: None };
        Response { body, ..Response::new(StatusCode::OK) }
    }

    /// As [`reader`](Response::reader), with `Content-Length: length`. If the reader returns fewer bytes, the connection is
    /// cut. Bytes beyond `length` are not sent.
    pub fn reader_with_length(reader: impl Read + Send + 'static, length: u64) -> Response {
        let body = Payload::Reader { reader: Box::new(reader), length: Some(length) };
        Response { body, ..Response::new(StatusCode::OK) }
    }

    /// A response that comes later.
    #[cfg(feature = "handler-timeout")]
    pub(crate) fn pending(response: impl PendingResponse<Response> + 'static) -> Response {
        Response { body: Payload::Pending(Box::new(response)), ..Response::new(StatusCode::OK) }
    }

    pub(super) fn of(content_type: HeaderValue, body: Payload) -> Response {
        Response { content_type: Some(content_type), body, ..Response::new(StatusCode::OK) }
    }

    /// Changes the status.
    pub fn with_status(mut self, status: StatusCode) -> Response {
        self.status = status;
        self
    }

    /// Sets a field, and replaces fields of the same name. A name or a value that HTTP does not allow (with a line break in it,
    /// say) never reaches the wire: the response becomes a 500, and the log gets a line.
    pub fn with_header<N, V>(self, name: N, value: V) -> Response
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.put(checked(name, value), |fields, name, value| {
            fields.insert(name, value);
        })
    }

    /// Adds a field and keeps others of the same name, as `Set-Cookie` needs it. Only `Content-Type` replaces the earlier one.
    /// Name and value are checked as in [`with_header`](Response::with_header).
    ///
    /// ```
    /// let response = lockgate::Response::text("in").append_header("set-cookie", "a=1").append_header("set-cookie", "b=2");
    /// assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    /// ```
    pub fn append_header<N, V>(self, name: N, value: V) -> Response
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
        self.fields.get_or_insert_with(Default::default).insert(name, value);
        self
    }

    /// Stores a checked field. A wrong field turns the response into a 500.
    fn put(
        mut self,
        field: Option<(HeaderName, HeaderValue)>,
        put: impl FnOnce(&mut HeaderMap, HeaderName, HeaderValue),
    ) -> Response {
        self.map = OnceCell::new();
        match field {
            Some((name, value)) if name == CONTENT_TYPE => {
                if let Some(fields) = &mut self.fields {
                    fields.remove(CONTENT_TYPE);
                }
                self.content_type = Some(value);
            }
            Some((name, value)) => put(self.fields.get_or_insert_with(Default::default), name, value),
            None => return Response::new(StatusCode::INTERNAL_SERVER_ERROR).into_problem(),
        }
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The status, to be changed.
    ///
    /// ```
    /// use lockgate::{Response, StatusCode};
    ///
    /// let mut response = Response::text("soon");
    /// *response.status_mut() = StatusCode::ACCEPTED;
    /// assert_eq!(response.status(), StatusCode::ACCEPTED);
    /// ```
    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.status
    }

    /// The value of the first field of this name that the handler set.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        let content_type =
            self.content_type.as_ref().filter(|_| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
        content_type.or_else(|| self.fields.as_ref()?.get(name))
    }

    /// All fields that the handler set, as a map. The first call builds it. Fields that lockgate adds, such as `Date`, are not
    /// among them.
    ///
    /// ```
    /// let response = lockgate::Response::text("a").with_header("etag", "\"7\"");
    /// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    /// assert_eq!(response.headers()["etag"], "\"7\"");
    /// ```
    pub fn headers(&self) -> &HeaderMap {
        self.map.get_or_init(|| {
            let mut map = self.fields.clone().unwrap_or_default();
            if let Some(content_type) = &self.content_type {
                map.insert(CONTENT_TYPE, content_type.clone());
            }
            map
        })
    }

    /// All fields that the handler set, to be changed. The server sets the fields for framing and the connection itself
    /// (`Content-Length`, `Transfer-Encoding`, `Connection`, `Keep-Alive`) and ignores them here, except `Connection: close`.
    ///
    /// ```
    /// let mut response = lockgate::Response::text("a");
    /// response.headers_mut().remove("content-type");
    /// assert!(response.header("content-type").is_none());
    /// ```
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.map = OnceCell::new();
        let fields = self.fields.get_or_insert_with(Default::default);
        if let Some(content_type) = self.content_type.take() {
            fields.insert(CONTENT_TYPE, content_type);
        }
        fields
    }

    /// Takes the response apart: its status, its fields and its body, for code that changes what handlers return.
    /// [`from_parts`](Response::from_parts) puts it together again.
    ///
    /// ```
    /// use std::io::Read;
    /// use lockgate::Response;
    ///
    /// let (status, fields, mut body) = Response::text("kitchen").into_parts();
    /// let mut text = String::new();
    /// body.read_to_string(&mut text).unwrap();
    /// let response = Response::from_parts(status, fields, text.to_uppercase().into_bytes());
    /// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    /// assert_eq!(response.into_bytes().unwrap(), b"KITCHEN");
    /// ```
    pub fn into_parts(mut self) -> (StatusCode, HeaderMap, ResponseBody) {
        let fields = std::mem::take(self.headers_mut());
        (self.status, fields, ResponseBody(self.body))
    }

    /// Makes a response of these parts. The body comes from [`into_parts`](Response::into_parts), or is bytes.
    pub fn from_parts(status: StatusCode, fields: HeaderMap, body: impl Into<ResponseBody>) -> Response {
        Response { fields: Some(Box::new(fields)), body: body.into().0, ..Response::new(status) }
    }

    /// The body, read to its end; for tests.
    ///
    /// # Errors
    /// The error of a streamed response's reader.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self.body {
            Payload::Bytes(bytes) => Ok(bytes),
            body => {
                let mut bytes = Vec::new();
                ResponseBody(body).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Drops the content where the method or the status has none, so that a test sees what a client sees (RFC 9110 §6.4.1,
    /// §15.3.6).
    pub(crate) fn without_needless_content(self, method: &Method) -> Response {
        if *method == Method::HEAD || Content::of(self.status) != Content::Any {
            Response { body: Payload::Static(b""), ..self }
        } else {
            self
        }
    }

    /// Whether another protocol takes the connection over after it.
    pub(crate) fn switches(&self) -> bool {
        #[cfg(feature = "upgrade")]
        return self.status == StatusCode::SWITCHING_PROTOCOLS && matches!(self.body, Payload::Upgrade(_));
        #[cfg(not(feature = "upgrade"))]
        false
    }

    /// The same head, without the body.
    pub(crate) fn copy_of_head(&self) -> Response {
        let Response { status, content_type, fields, .. } = self;
        Response { content_type: content_type.clone(), fields: fields.clone(), ..Response::new(*status) }
    }

    /// Puts another head before the body.
    pub(crate) fn restore_head(&mut self, head: Response) {
        let body = std::mem::replace(&mut self.body, Payload::Static(b""));
        *self = Response { body, ..head };
    }

    /// Turns the response into a problem document of its status.
    pub(crate) fn into_problem(self) -> Response {
        Response::of_problem(&Problem::new(self.status))
    }
}

pub(super) fn checked<N: TryInto<HeaderName>, V: TryInto<HeaderValue>>(
    name: N,
    value: V,
) -> Option<(HeaderName, HeaderValue)> {
    let name = name.try_into().map_err(|_| note_bad_name()).ok()?;
    let value = value.try_into().map_err(|_| note_bad_value(&name)).ok()?;
    Some((name, value))
}

#[cold]
fn note_bad_name() {
    handler_call::note("a bad field", format_args!("set a field whose name is not a token"));
}

#[cold]
fn note_bad_value(name: &HeaderName) {
    handler_call::note("a bad field", format_args!("set {name} to a value that holds a control character"));
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

/// A response's body, as [`Response::into_parts`] returns it: bytes, or a reader. Reading consumes it. The body of a
/// [`Feed`](crate::Feed) ends where the events so far end.
pub struct ResponseBody(Payload);

impl ResponseBody {
    /// Its length in bytes, if that is known before it is read.
    pub fn length(&self) -> Option<u64> {
        self.0.length()
    }
}

impl Read for ResponseBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Payload::Bytes(bytes) => {
                let taken = bytes.as_slice().read(out)?;
                bytes.drain(..taken);
                Ok(taken)
            }
            Payload::Static(bytes) => bytes.read(out),
            Payload::Reader { reader, length: None } => reader.read(out),
            Payload::Reader { reader, length: Some(left) } => {
                let taken = reader.take(*left).read(out)?;
                *left -= taken as u64;
                Ok(taken)
            }
            #[cfg(feature = "handler-timeout")]
            Payload::Pending(_) => Err(io::ErrorKind::WouldBlock.into()),
            // A body that gives nothing because there is no room would be asked for ever.
            Payload::Live(_) if out.is_empty() => Ok(0),
            Payload::Live(body) => loop {
                let given = body.give(out, Call::Ready);
                if given.bytes > 0 || given.then != Then::More {
                    return Ok(given.bytes);
                }
            },
            #[cfg(feature = "upgrade")]
            Payload::Upgrade(_) => Ok(0),
        }
    }
}

impl From<Vec<u8>> for ResponseBody {
    fn from(bytes: Vec<u8>) -> ResponseBody {
        ResponseBody(Payload::Bytes(bytes))
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("length", &self.length()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(response: Response) -> String {
        String::from_utf8(response.into_bytes().unwrap()).unwrap()
    }

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
    fn there_is_one_content_type_however_it_is_set() {
        let mut response = Response::text("a").with_header("x-name", "1");
        assert_eq!(response.headers().len(), 2);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert_eq!(response.header("Content-Type").unwrap(), "text/html");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
        let response = response.append_header("content-type", "text/css");
        assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/css"]);
        assert_eq!(response.header("content-type").unwrap(), "text/css");
        assert_eq!(response.headers().len(), 2);
    }

    #[test]
    fn what_is_taken_apart_can_be_put_together() {
        let sized = Response::reader_with_length(&b"kitchen and more"[..], 7);
        for response in [Response::text("kitchen"), Response::of(TEXT, Payload::Static(b"kitchen")), sized] {
            let (status, fields, body) = response.with_status(StatusCode::CREATED).into_parts();
            assert_eq!(body.length(), Some(7));
            let again = Response::from_parts(status, fields, body);
            assert_eq!(again.status(), StatusCode::CREATED);
            assert_eq!(content(again), "kitchen");
        }
        let (_, _, mut body) = Response::text("kitchen").into_parts();
        let mut two = [0; 2];
        body.read_exact(&mut two).unwrap();
        assert_eq!((&two, body.length()), (b"ki", Some(5)));
        assert_eq!(content(Response::from_parts(StatusCode::OK, HeaderMap::new(), body)), "tchen");
    }
}

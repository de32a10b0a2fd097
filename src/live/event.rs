//! An event, and its form on the wire (WHATWG HTML §9.2.5). Knows no feed. `feed` encodes each event once, and all its
//! subscribers share the bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use ::http::StatusCode;
use serde_core::Serialize;

use crate::error::Error;

/// An event for the subscribers of a [`Feed`](crate::Feed) (WHATWG HTML §9.2).
///
/// ```
/// use lockgate::Event;
/// use serde_json::json;
///
/// let event = Event::json(&json!({"celsius": 21.5}))?.name("reading");
/// assert_eq!(event.fault(), None);
/// # Ok::<(), lockgate::Error>(())
/// ```
///
/// In a browser:
///
/// ```js
/// const events = new EventSource("/api/events");
/// events.addEventListener("reading", event => show(JSON.parse(event.data)));
/// ```
///
/// Names and ids are one line on the wire. One with a line break would let a text from elsewhere forge further events, so an
/// event that has one is faulty: it is not sent, and the log gets an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The lines of the data, or of the comment, as they are sent.
    lines: Vec<u8>,
    kind: Kind,
    name: Option<Box<str>>,
    id: Option<Box<str>>,
    retry: Option<Duration>,
    fault: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Comment,
}

const DATA: &[u8] = b"data: ";
const COMMENT: &[u8] = b": ";

impl Event {
    /// An event with this text as its data. Each line of the text goes into a line of its own. Clients get every kind of line
    /// break (CR, LF and CRLF) as LF.
    pub fn new(data: impl AsRef<str>) -> Event {
        Event::of(Kind::Data, data.as_ref())
    }

    /// An event with `value` as JSON.
    ///
    /// # Errors
    /// [`Error::Answer`] with 500 for a value that cannot be written as JSON, such as a map whose keys are not strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Event, Error> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::answer(StatusCode::INTERNAL_SERVER_ERROR, error))?;
        Ok(Event::new(text))
    }

    /// A comment, which clients ignore. It has no name and no id.
    pub fn comment(text: impl AsRef<str>) -> Event {
        Event::of(Kind::Comment, text.as_ref())
    }

    fn of(kind: Kind, text: &str) -> Event {
        let prefix = if kind == Kind::Data { DATA } else { COMMENT };
        let mut lines = Vec::with_capacity(text.len() + 64);
        let mut rest = text.as_bytes();
        loop {
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            lines.extend_from_slice(prefix);
            lines.extend_from_slice(&rest[..end]);
            lines.push(b'\n');
            rest = match rest[end..] {
                [b'\r', b'\n', ..] => &rest[end + 2..],
                [_, ..] => &rest[end + 1..],
                [] => break,
            };
        }
        Event { lines, kind, name: None, id: None, retry: None, fault: None }
    }

    /// Names the event. Without a name it is a `message` in a browser. `error` and `open` are the names of a browser's own
    /// events, so take others. A name with a line break is a [`fault`](Event::fault).
    pub fn name(mut self, name: impl Into<String>) -> Event {
        let name = name.into();
        if name.bytes().any(is_break) {
            self.fault = Some("its name holds a line break");
        }
        self.name = Some(name.into());
        self
    }

    /// Gives the event an id, which a client that comes back sends as `Last-Event-ID`. Without it the feed makes one. Ids that
    /// are the same after a restart let clients go on where they were. An id with a line break or NUL, or with a space or tab
    /// at its ends, cannot come back in a field and is a [`fault`](Event::fault).
    pub fn id(mut self, id: impl Into<String>) -> Event {
        let id = id.into();
        let is_blank = |at: Option<&u8>| matches!(at, Some(b' ' | b'\t'));
        if id.bytes().any(|byte| is_break(byte) || byte == 0) {
            self.fault = Some("its id holds a line break or NUL");
        } else if is_blank(id.as_bytes().first()) || is_blank(id.as_bytes().last()) {
            self.fault = Some("its id begins or ends with a space or a tab");
        }
        self.id = Some(id.into());
        self
    }

    /// Tells clients to wait this long before they connect again, from now on. In whole milliseconds.
    pub fn retry(mut self, wait: Duration) -> Event {
        self.retry = Some(wait);
        self
    }

    /// Why the event cannot be sent, if it cannot.
    pub fn fault(&self) -> Option<&str> {
        self.fault
    }

    /// The event as it is sent, but for the id that the feed makes and the empty line at its end.
    pub(super) fn encode(self) -> Result<Published, &'static str> {
        let Event { lines, kind, name, id, retry, fault } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let is_data = kind == Kind::Data;
        let (name, id) = (name.filter(|_| is_data), id.filter(|_| is_data));
        let mut bytes = Vec::with_capacity(lines.len() + name.as_ref().map_or(0, |name| name.len()) + 96);
        if let Some(name) = &name {
            line(&mut bytes, b"event: ", name);
        }
        if let Some(retry) = retry {
            bytes.extend_from_slice(&retry_line(retry));
        }
        let begin = bytes.len();
        bytes.extend_from_slice(&lines);
        let data = if is_data { begin..bytes.len() } else { 0..0 };
        let mut published = Published { bytes, kind, name, id: 0..0, has_id: false, data };
        if let Some(id) = &id {
            published.put_id(id);
        }
        Ok(published)
    }
}

/// The line that tells clients how long to wait before they connect again.
pub(super) fn retry_line(wait: Duration) -> Vec<u8> {
    let millis = wait.as_millis().min(u64::MAX.into());
    format!("retry: {millis}\n").into_bytes()
}

fn is_break(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

fn line(out: &mut Vec<u8>, prefix: &[u8], value: &str) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { lines, name, id, fault, .. } = self;
        f.debug_struct("Event")
            .field("name", name)
            .field("id", id)
            .field("bytes", &lines.len())
            .field("fault", fault)
            .finish_non_exhaustive()
    }
}

/// An event that was sent, as a filter sees it ([`Feed::subscribe_where`](crate::Feed::subscribe_where)).
pub struct Published {
    bytes: Vec<u8>,
    kind: Kind,
    name: Option<Box<str>>,
    id: Range<usize>,
    has_id: bool,
    data: Range<usize>,
}

impl Published {
    /// The event's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The event's id: its own, or that of the feed.
    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.id.clone()]).unwrap_or_default()
    }

    /// The event's data, as a client gets it. Empty for a comment.
    pub fn data(&self) -> Cow<'_, str> {
        let lines = std::str::from_utf8(&self.bytes[self.data.clone()]).unwrap_or_default();
        let mut texts = lines.lines().map(|line| &line[DATA.len()..]);
        match (texts.next(), texts.next()) {
            (first, None) => first.unwrap_or_default().into(),
            (first, second) => {
                first.into_iter().chain(second).chain(texts).collect::<Vec<_>>().join("\n").into()
            }
        }
    }

    /// Gives it the feed's id, unless it has its own, and ends it.
    pub(super) fn finish(&mut self, id: impl FnOnce() -> String) {
        if !self.has_id && self.kind == Kind::Data {
            self.put_id(&id());
        }
        self.bytes.push(b'\n');
    }

    fn put_id(&mut self, id: &str) {
        let begin = self.bytes.len() + b"id: ".len();
        line(&mut self.bytes, b"id: ", id);
        self.id = begin..begin + id.len();
        self.has_id = true;
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the newer event takes the other's place in a feed that keeps only the newest of each name.
    pub(super) fn replaces(&self, older: &Published) -> bool {
        self.kind == older.kind && self.name == older.name
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn wire(event: Event) -> String {
        let mut published = event.encode().unwrap();
        published.finish(|| "7".to_string());
        String::from_utf8(published.bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_field_is_a_line_and_an_empty_line_ends_the_event() {
        assert_eq!(wire(Event::new("21.5")), "data: 21.5\nid: 7\n\n");
        let event = Event::new("a").name("reading").id("x-1").retry(Duration::from_millis(1_500));
        assert_eq!(wire(event), "event: reading\nretry: 1500\ndata: a\nid: x-1\n\n");
        assert_eq!(wire(Event::comment("still here")), ": still here\n\n");
        assert_eq!(wire(Event::json(&[1, 2]).unwrap()), "data: [1,2]\nid: 7\n\n");
        // An empty id makes clients forget theirs.
        assert_eq!(wire(Event::new("").id("")), "data: \nid: \n\n");
    }

    /// Encoders elsewhere split at LF only, so that a CR begins a field of the text's author, or lose the last empty line.
    #[test]
    fn every_line_of_the_data_is_a_line_of_data_whatever_ends_it() {
        for (data, lines) in [
            ("a\nb", "data: a\ndata: b\n"),
            ("a\r\nb", "data: a\ndata: b\n"),
            ("a\rb", "data: a\ndata: b\n"),
            (
                "a\rid: 9\revent: forged\r\rdata: b",
                "data: a\ndata: id: 9\ndata: event: forged\ndata: \ndata: data: b\n",
            ),
            ("a\n", "data: a\ndata: \n"),
            ("\n\na", "data: \ndata: \ndata: a\n"),
            ("\r\n\r", "data: \ndata: \ndata: \n"),
            ("", "data: \n"),
            ("\u{feff} a", "data: \u{feff} a\n"),
            ("a\0\u{2028}\u{85}b", "data: a\0\u{2028}\u{85}b\n"),
        ] {
            assert_eq!(wire(Event::new(data)), format!("{lines}id: 7\n\n"), "{data:?}");
        }
        assert_eq!(wire(Event::comment("a\rdata: forged\n\nb")), ": a\n: data: forged\n: \n: b\n\n");
    }

    #[test]
    fn a_name_or_an_id_that_would_forge_a_line_is_a_fault() {
        for text in ["a\nb", "a\rb", "a\r\ndata: x\r\n\r\n", "\n", "a\r"] {
            assert!(
                Event::new("a").name(text).fault().unwrap().contains("name holds a line break"),
                "{text:?}"
            );
            assert!(Event::new("a").id(text).fault().unwrap().contains("line break or NUL"), "{text:?}");
            assert!(Event::new("a").name(text).name("b").encode().is_err(), "{text:?}");
        }
        for id in ["a\0b", " a", "a\t"] {
            assert!(Event::new("a").id(id).encode().is_err(), "{id:?}");
        }
        assert_eq!(Event::new("a").id("ä/7:\u{7f}").name("a: b").fault(), None);
    }

    #[test]
    fn a_value_that_is_no_json_is_an_error() {
        let error = Event::json(&HashMap::from([((1, 2), 3)])).unwrap_err();
        assert!(matches!(error, Error::Answer { status: StatusCode::INTERNAL_SERVER_ERROR, .. }), "{error}");
    }

    #[test]
    fn a_filter_sees_what_a_client_gets() {
        let published = |event: Event| {
            let mut published = event.encode().unwrap();
            published.finish(|| "7".to_string());
            published
        };
        let event = published(Event::new("a\r\nb\n").name("n"));
        assert_eq!((event.name(), event.id(), &*event.data()), (Some("n"), "7", "a\nb\n"));
        let event = published(Event::new(" a").id("own"));
        assert_eq!((event.name(), event.id(), &*event.data()), (None, "own", " a"));
        let event = published(Event::comment("a"));
        assert_eq!((event.name(), event.id(), &*event.data()), (None, "", ""));
    }
}

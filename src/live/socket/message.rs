//! What goes over a WebSocket: messages, and how it ends. Plain values.

/// A message of a WebSocket (RFC 6455 §5.6). Only with the feature `websocket`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Text. What a client sends as such is valid UTF-8, or its connection ends with 1007.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The bytes of the text or of the binary message.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Message {
        Message::Text(text.to_string())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Message {
        Message::Binary(bytes)
    }
}

/// How a WebSocket has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code (RFC 6455 §7.4.1): the client's, 1005 if it gave none, the server's own if it ended the connection because of a
    /// fault, or 1006 if the connection ended without a word.
    pub code: u16,
    /// The reason that stood beside the code. The client's is its own text, of at most 123 bytes.
    pub reason: String,
}

impl Closed {
    /// Without a word.
    pub(super) const ABNORMAL: u16 = 1006;

    pub(super) fn new(code: u16, reason: impl Into<String>) -> Closed {
        Closed { code, reason: reason.into() }
    }
}

//! A WebSocket as programs use it: what they send over it, and what they want to be told. `session` runs it on its connection,
//! and `outbox` has what waits to be sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::frames::{encode, is_code, FAULT};
use super::message::{Closed, Message};
use super::outbox::{Outbox, Refused};
use crate::handler_call;

/// One end of a WebSocket. Clones are the same, and any thread may send through them. Only with the feature `websocket`.
///
/// ```
/// use lockgate::{Message, Router, Socket};
///
/// let router = Router::new().websocket("/api/socket", |request| {
///     let name = request.query("name").unwrap_or_default().into_owned();
///     Ok(Socket::on_message(move |socket, message| match message {
///         Message::Text(text) => socket.send(format!("{name} says {text}")),
///         bytes => socket.send(bytes),
///     })
///     .on_open(|socket| socket.send("welcome"))
///     .on_close(|_, closed| log::debug!("it ended with {}", closed.code)))
/// });
/// # router.check().unwrap();
/// ```
///
/// # Threads and memory
///
/// A WebSocket is a connection that waits in the server like an idle one: it holds no thread. Its functions run on the server's
/// workers, one at a time and in the order of the messages. They may block, as other handlers do, and hold a worker then;
/// meanwhile nothing is read from this client, and what is sent to it waits. A panic in one of them ends the WebSocket with
/// 1011, and the log has a line.
///
/// Sending never waits. What the client has not taken yet waits in memory, within bounds: see [`SocketBuilder::backlog`]. A
/// client that takes nothing for [`Limits::write_timeout`](crate::Limits::write_timeout), or less than
/// [`Limits::write_min_rate`](crate::Limits::write_min_rate), is cut, and nothing is read from a client that does not take what was
/// sent. A message that has begun has to be whole within [`Limits::body_timeout`](crate::Limits::body_timeout), which its bytes
/// prolong by [`Limits::body_min_rate`](crate::Limits::body_min_rate); else the client is cut. Of all that waits, and of a message
/// that comes, what goes beyond 16 KiB each is counted in [`Limits::body_memory_bytes`](crate::Limits::body_memory_bytes).
///
/// [`Limits::requests_per_address`](crate::Limits::requests_per_address) counts the handshake and no messages: a handler that is
/// costly has to count them itself. When [`Limits::connections`](crate::Limits::connections) are open and another comes, a
/// WebSocket on which nothing is to be sent can be closed for it, after the idle connections.
///
/// # The end
///
/// The server answers pings, and sends pings of its own ([`SocketBuilder::ping_every`]). Its answer to a client's close has the
/// client's code. A frame that breaks a rule of RFC 6455 ends the WebSocket with 1002 (an unmasked frame, a reserved bit or opcode,
/// a control frame in fragments), text that is not UTF-8 with 1007, what is too large with 1009, and a message for which there is no
/// memory now, or no worker within [`Limits::queue_timeout`](crate::Limits::queue_timeout), with 1013. When the server stops, each
/// WebSocket is closed with 1001.
///
/// The crate tungstenite logs the reasons of a client's closes at the level *debug*, and the contents of its messages at *trace*, with
/// targets that begin with `tungstenite`.
#[derive(Clone)]
pub struct Socket {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) outbox: Outbox,
    pub(super) subprotocol: Option<String>,
}

impl Socket {
    /// A WebSocket that calls this for each message. The function belongs to this WebSocket, so it may keep state. Return it from
    /// the function that [`Router::websocket`](crate::Router::websocket) calls.
    pub fn on_message(handler: impl FnMut(&Socket, Message) + Send + 'static) -> SocketBuilder {
        SocketBuilder {
            on_message: Box::new(handler),
            on_open: None,
            on_close: None,
            settings: Settings::default(),
        }
    }

    /// Sends a message, after those that were sent before. Never waits. If it has no room ([`SocketBuilder::backlog`]), the client is
    /// cut. After the end nothing is sent.
    ///
    /// What goes to a client while a function of its WebSocket runs is sent when that returns. So a function can send at most as much
    /// as may wait, however fast the client is.
    pub fn send(&self, message: impl Into<Message>) {
        let outbox = &self.shared.outbox;
        if outbox.push(encode(&message.into())) == Err(Refused::Full) {
            outbox.overflow();
        }
    }

    /// Sends a message, if there is room for it. Never waits, and cuts nobody. A function of this WebSocket that waits for room waits
    /// for ever: there is none before it returns. Send the rest from another thread, or in a later call.
    ///
    /// # Errors
    /// [`SendError::Full`] while what was sent before still waits, and [`SendError::Closed`] after the end. Both have
    /// the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        self.shared.outbox.push(encode(&message)).map_err(|refused| match refused {
            Refused::Full => SendError::Full(message),
            Refused::Closed => SendError::Closed(message),
        })
    }

    /// Closes the WebSocket when all is sent that was sent before, with this code (RFC 6455 §7.4.1: 1000 for a normal end, 3000 to
    /// 4999 for the program's own) and a reason of at most 123 bytes. Messages of the client that come after it are dropped. A
    /// client that does not answer within 5 s is cut. A code that must not be sent (1005, 1006, 1015, or one outside of
    /// 1000 to 4999, say) is logged as an error, and 1011 is sent.
    pub fn close(&self, code: u16, reason: impl Into<String>) {
        let code = if is_code(code) {
            code
        } else {
            note_bad_code(code);
            FAULT
        };
        self.shared.outbox.close(Closed::new(code, reason));
    }

    /// Whether messages can be sent: neither side has closed it, and the connection is there as far as the server knows.
    pub fn is_open(&self) -> bool {
        self.shared.outbox.is_open()
    }

    /// How many bytes wait to be sent, with 64 for each message.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.outbox.bytes()
    }

    /// The subprotocol that was chosen, of those that
    /// [`SocketHandshake::subprotocols`](crate::SocketHandshake::subprotocols) names.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol.as_deref()
    }
}

/// Logs a code that must not be sent: with the call of the handler, so that a client cannot fill a disk, or directly.
#[cold]
fn note_bad_code(code: u16) {
    if handler_call::is_running() {
        handler_call::note(
            "a bad code",
            format_args!("closed a WebSocket with {code}, which must not be sent"),
        );
    } else {
        log::error!("a WebSocket was closed with {code}, which must not be sent");
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

/// Why [`Socket::try_send`] has not sent a message, and the message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room for it now.
    Full(Message),
    /// The WebSocket has ended.
    Closed(Message),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => {
                "there is no room for the message, because what was sent before still waits"
            }
            SendError::Closed(_) => "the WebSocket has ended",
        })
    }
}

impl std::error::Error for SendError {}

/// What a program wants of a WebSocket: its functions and its limits. [`Socket::on_message`] makes it, and
/// [`Router::websocket`](crate::Router::websocket) takes it.
pub struct SocketBuilder {
    pub(super) on_message: OnMessage,
    pub(super) on_open: Option<OnOpen>,
    pub(super) on_close: Option<OnClose>,
    pub(super) settings: Settings,
}

pub(super) type OnMessage = Box<dyn FnMut(&Socket, Message) + Send>;
pub(super) type OnOpen = Box<dyn FnOnce(&Socket) + Send>;
pub(super) type OnClose = Box<dyn FnOnce(&Socket, Closed) + Send>;

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) message_bytes: usize,
    pub(super) frame_bytes: usize,
    pub(super) backlog: usize,
    pub(super) backlog_bytes: usize,
    pub(super) ping_every: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            message_bytes: 1024 * 1024,
            frame_bytes: 1024 * 1024,
            backlog: 1_024,
            backlog_bytes: 256 * 1024,
            ping_every: Duration::from_secs(30),
        }
    }
}

impl SocketBuilder {
    /// Calls this once, before the first message, when the client can be sent to. What it sends goes out when it returns, so it is at
    /// most as much as may wait ([`backlog`](SocketBuilder::backlog)).
    pub fn on_open(mut self, hook: impl FnOnce(&Socket) + Send + 'static) -> SocketBuilder {
        self.on_open = Some(Box::new(hook));
        self
    }

    /// Calls this once at the end, however it comes. It may run on any of the server's threads, so it should be quick, and must
    /// not wait. Nothing can be sent any more.
    pub fn on_close(mut self, hook: impl FnOnce(&Socket, Closed) + Send + 'static) -> SocketBuilder {
        self.on_close = Some(Box::new(hook));
        self
    }

    /// The most bytes of a message, all its fragments together; 1009 for a larger one. Defaults to 1 MiB.
    pub fn message_bytes(mut self, most: usize) -> SocketBuilder {
        self.settings.message_bytes = most;
        self
    }

    /// The most bytes of a frame; 1009 for a larger one. Defaults to 1 MiB.
    pub fn frame_bytes(mut self, most: usize) -> SocketBuilder {
        self.settings.frame_bytes = most;
        self
    }

    /// How many messages may wait to be sent, and so how many a function of the WebSocket can send before it returns. [`Socket::send`]
    /// cuts the client when there is one more. Defaults to 1,024.
    pub fn backlog(mut self, messages: usize) -> SocketBuilder {
        self.settings.backlog = messages;
        self
    }

    /// How many bytes may wait to be sent, with 64 for each message. A message that is larger than this may wait alone. Defaults to
    /// 256 KiB.
    pub fn backlog_bytes(mut self, bytes: usize) -> SocketBuilder {
        self.settings.backlog_bytes = bytes;
        self
    }

    /// After this time without a byte from the client it gets a ping, and after as long again without an answer it is cut. It also
    /// keeps proxies from closing the connection. While the client does not take what was sent,
    /// [`Limits::write_timeout`](crate::Limits::write_timeout) holds in its place; what it then takes is a sign of life too. Defaults
    /// to 30 s; at least 1 s.
    pub fn ping_every(mut self, time: Duration) -> SocketBuilder {
        self.settings.ping_every = time.max(Duration::from_secs(1));
        self
    }
}

impl fmt::Debug for SocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

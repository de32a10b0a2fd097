//! Live connections: streams of events (server-sent events, WHATWG HTML §9.2) to any number of clients, on the threads that are
//! there anyway. Knows requests, responses and the contract for bodies that have bytes later (`http/live_body`); no socket, no
//! thread and no server. Programs call it.

mod backlog;
mod event;
mod feed;
mod log_feed;
mod shared;
#[cfg(feature = "websocket")]
mod socket;
mod subscription;

pub use event::{Event, Published};
pub use feed::{Feed, FeedBuilder};
pub use log_feed::FeedLog;
#[cfg(feature = "websocket")]
pub use socket::{Closed, Message, SendError, Socket, SocketBuilder, SocketHandshake};

#[cfg(any(test, fuzzing))]
pub(crate) use event::properties;
#[cfg(all(any(test, fuzzing), feature = "websocket"))]
pub(crate) use socket::properties as socket_properties;

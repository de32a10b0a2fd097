//! Live connections on the threads that are there anyway: streams of events (server-sent events, WHATWG HTML §9.2) to any number of
//! clients, and WebSockets (RFC 6455); and other protocols, each on a thread of its own (`tunnel`). Knows requests, responses, and
//! the contracts for bodies that have bytes later (`http/live_body`) and for what takes a connection over (`http/upgrade`); no
//! connection and no server. Programs call it.

mod backlog;
mod event;
mod feed;
mod log_feed;
mod shared;
#[cfg(feature = "websocket")]
mod socket;
mod subscription;
#[cfg(feature = "upgrade")]
mod tunnel;

pub use event::{Event, Published};
pub use feed::{Feed, FeedBuilder};
pub use log_feed::FeedLog;
#[cfg(feature = "websocket")]
pub use socket::{Closed, Message, SendError, Socket, SocketBuilder, SocketHandshake};
#[cfg(feature = "upgrade")]
pub use tunnel::{UpgradedStream, Upgrades};

#[cfg(any(test, fuzzing))]
pub(crate) use event::properties;
#[cfg(all(any(test, fuzzing), feature = "websocket"))]
pub(crate) use socket::properties as socket_properties;

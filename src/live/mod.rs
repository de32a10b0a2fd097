//! Live connections: streams of events (server-sent events, WHATWG HTML §9.2) to any number of clients, on the threads that are
//! there anyway. Knows requests, responses and the contract for bodies that have bytes later (`http/live_body`); no socket, no
//! thread and no server. Programs call it.

mod backlog;
mod event;
mod feed;
mod log_feed;
mod shared;
mod subscription;

pub use event::{Event, Published};
pub use feed::{Feed, FeedBuilder};
pub use log_feed::FeedLog;

#[cfg(any(test, fuzzing))]
pub(crate) use event::properties;

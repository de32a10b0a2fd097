//! One connection, from its handshake to its end: its stages, the request that is read, and the response that is sent.

pub(super) mod asked;
pub(super) mod body;
pub(super) mod client_cert;
pub(super) mod client_pace;
pub(super) mod collecting;
pub(super) mod exchange;
pub(super) mod handshake;
pub(super) mod head;
pub(super) mod in_clear;
#[cfg(feature = "operations")]
mod in_front;
pub(super) mod later;
mod lingering;
pub(super) mod link;
pub(super) mod live;
pub(super) mod log_lines;
pub(super) mod next;
pub(super) mod on_response;
#[cfg(feature = "proxy")]
mod passing;
#[cfg(feature = "handler-timeout")]
mod pending;
mod request;
pub(super) mod response;
pub(super) mod stage;
pub(super) mod state;
pub(super) mod step;
mod stream;
pub(super) mod streaming;
#[cfg(test)]
mod testing;
pub(super) mod transport;
#[cfg(feature = "upgrade")]
mod upgraded;

//! What takes a connection over after a 101 (RFC 9110 §7.8): another protocol, which gets the received bytes and gives those to
//! send. Its connection waits without a thread until bytes come, it wakes the connection, or its time is up. Knows no protocol
//! and no socket. `live` makes such protocols, and `server/connection/upgraded` runs them.

use std::sync::Arc;
use std::time::Duration;

use super::request_head::{BodyLength, Line, Version};
use super::span::Field;
use crate::backports::Trim;
use crate::limits::body_memory::Budget;
use crate::wake_list::Waker;

/// A protocol on a connection that has switched to it.
pub(crate) trait Upgrade: Send {
    /// Called once, before the first [`go_on`](Upgrade::go_on). The waker tells the server to call it again. What it keeps for
    /// longer than a call is counted in `memory`.
    fn begin(&mut self, waker: Waker, memory: &Arc<Budget>, times: Times);

    /// What runs the program's code, as the log says when that fails.
    fn told(&self) -> &'static str {
        "an upgraded connection"
    }

    /// Whether it is a WebSocket.
    #[cfg(feature = "operations")]
    fn is_websocket(&self) -> bool {
        false
    }

    /// Takes received bytes, and appends bytes to send, at most [`Call::room`]. Never waits, except in the program's code.
    fn go_on(&mut self, input: &[u8], out: &mut Vec<u8>, call: Call) -> Did;
}

/// The server's limits for what a client sends, or does not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Without a byte.
    pub idle: Duration,
    /// For what the client has begun to send.
    pub body: Duration,
    /// Bytes a second that prolong it.
    pub body_min_rate: u64,
}

/// Under which circumstances a protocol is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// The time since the server's start, in milliseconds.
    pub now: u64,
    /// How many bytes may be sent. 0 while the client does not take what was sent before.
    pub room: usize,
    /// Whether the client sends nothing after the input.
    pub is_last: bool,
    /// Whether the server stops. The protocol should come to its end.
    pub is_stopping: bool,
    /// Whether code of the program may be called that can block.
    pub may_block: bool,
    /// Whether it is not called any more: too many wait for it, or for too long.
    pub is_overloaded: bool,
    /// Whether the time of its last [`Then::Wait`] has come, and the client has sent nothing that is not in the input.
    pub is_due: bool,
    /// Whether the client has taken bytes since the last call that it had not taken for a while.
    pub has_taken: bool,
}

/// What a protocol did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Did {
    /// How many bytes of the input it has taken. It gets the others again.
    pub taken: usize,
    pub then: Then,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// There is more to do now, once others have had their turn.
    More,
    /// As `More`, and this is logged of the client.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code))]
    Note(&'static str),
    /// Nothing, until bytes come, there is room for bytes, the protocol wakes its connection, or this time comes, in
    /// milliseconds since the server's start. If it has come already, what the client has sent is read first.
    Wait(u64),
    /// Code of the program that may block is to be called.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code))]
    Worker,
    /// The connection ends when all bytes are sent.
    End,
    /// The connection is cut, for this reason.
    Cut(&'static str),
}

/// Whether a request may switch at all: HTTP/1.0 knows no upgrade (RFC 9110 §7.8), and bytes of a body would be taken for those
/// of the new protocol.
pub(crate) fn can_switch(line: &Line) -> bool {
    line.version == Version::Http11 && line.body == BodyLength::NONE
}

/// Whether a request offers to switch to this protocol, by both fields that it takes.
pub(crate) fn offers(head: &[u8], fields: &[Field], protocol: &[u8]) -> bool {
    let lines = |name: &'static [u8]| {
        let is_it = move |field: &&Field| field.name.of(head).eq_ignore_ascii_case(name);
        fields.iter().filter(is_it).map(|field| field.value.of(head))
    };
    has_token(lines(b"upgrade"), protocol) && has_token(lines(b"connection"), b"upgrade")
}

/// The members of a list in the values of its fields, without the space around them (RFC 9110 §5.6.1).
pub(crate) fn members<'v>(values: impl Iterator<Item = &'v [u8]>) -> impl Iterator<Item = &'v [u8]> {
    values.flat_map(|value| value.split(|&byte| byte == b',')).map(Trim::trimmed)
}

/// Whether one of the members of a list is this token, whatever its case.
pub(crate) fn has_token<'v>(values: impl Iterator<Item = &'v [u8]>, token: &[u8]) -> bool {
    members(values).any(|member| member.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_whole_member_of_a_list() {
        let has = |lines: &[&str]| has_token(lines.iter().map(|line| line.as_bytes()), b"upgrade");
        for yes in [&["Upgrade"][..], &["keep-alive, Upgrade"], &["keep-alive", "a,\tUPGRADE ,b"]] {
            assert!(has(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["upgrades"], &["up grade"], &["\"upgrade\""], &["keep-alive;upgrade"]] {
            assert!(!has(no), "{no:?}");
        }
    }
}

//! A request that a handler of the program answers in clear, and its answer. Plain values: the redirect's loop and the threads of
//! the handlers pass them to each other, and know each other by this alone.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use ::http::Method;

use crate::http::request_head::Line;
use crate::http::span::Field;
use crate::http::Refusal;
use crate::limits::body_memory::Share;

/// What calls the program's handlers, for the redirect's loop. There is one kind of it; a program without such handlers does not
/// link it.
pub(crate) trait Handlers: Send {
    /// Whether a handler answers this method and this path, which is as it came.
    fn serves(&self, method: &Method, raw_path: &[u8]) -> bool;
    /// Hands a request over. The redirect's waker is woken when its answer is there.
    fn hand_over(&mut self, job: Job) -> Result<(), Refusal>;
    /// The next answer that is there.
    fn next(&mut self) -> Option<Done>;
}

/// A request for a handler.
pub(crate) struct Job {
    pub connection: Waiting,
    pub head: Vec<u8>,
    pub line: Line,
    pub fields: Vec<Field>,
    pub peer: SocketAddr,
    /// When the connection ends.
    pub until: Instant,
}

/// The connection that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub number: usize,
    /// No two requests have the same, even if a number is used again.
    pub ticket: u64,
}

/// The answer to a [`Job`].
pub(crate) struct Done {
    pub connection: Waiting,
    pub outcome: Result<Made, Refusal>,
}

/// An answer's bytes.
pub(crate) struct Made {
    /// The head, and a small body.
    pub head: Vec<u8>,
    pub rest: Cow<'static, [u8]>,
    /// The rest's share of the memory for answers.
    pub share: Option<Share>,
}

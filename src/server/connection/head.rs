//! A request's head while it comes: whether its end is there, and what it says. Knows bytes and limits alone; `state` asks it
//! with what has come so far.

use std::ops::Range;

use crate::http::request_head::{self, Line, Scan};
use crate::http::span::Field;
use crate::http::Refusal;
use crate::limits::Limits;

/// What is known of the head that comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// How far the search for its end has come.
    scanned: usize,
    /// Whether a byte of it has come.
    pub has_begun: bool,
    /// Whether its request was counted against its address's rate.
    pub is_counted: bool,
}

/// What the bytes that have come hold of a head.
pub(crate) enum Found {
    /// Less than a head.
    Part,
    /// A head of so many bytes, which begins here. `line` is what it says, when that was read on the way.
    Whole { start: usize, length: usize, line: Option<Line> },
    /// None that is served; these bytes are what can be told of it.
    Refused(Refusal, Range<usize>),
}

impl Head {
    /// Of a request that is at hand: nothing more is looked for.
    pub(crate) const TAKEN: Head = Head { scanned: 0, has_begun: true, is_counted: true };

    /// Looks for the head in `unread`, which begins with it, after an empty line perhaps. `fields` is where its fields are kept.
    #[inline]
    pub(crate) fn find(&mut self, unread: &[u8], limits: &Limits, fields: &mut Vec<Field>) -> Found {
        let start = request_head::empty_line(unread);
        // Once only, so that a head in small pieces is not read from its beginning with each.
        let whole = (self.scanned == 0)
            .then(|| {
                request_head::read_whole(&unread[start..], limits.head_bytes, limits.head_fields, fields)
            })
            .flatten();
        let scanned = match &whole {
            Some((_, length)) => Ok(Scan::Complete(start + length)),
            None => request_head::scan(unread, self.scanned.max(start)),
        };
        match scanned {
            Ok(Scan::Complete(end)) if end - start <= limits.head_bytes => {
                Found::Whole { start, length: end - start, line: whole.map(|(line, _)| line) }
            }
            Ok(Scan::Incomplete(from)) if unread.len() - start < limits.head_bytes => {
                self.scanned = from;
                Found::Part
            }
            Ok(_) => {
                let head = start..start + limits.head_bytes;
                Found::Refused(request_head::too_large(&unread[head.clone()]), head)
            }
            Err(refusal) => Found::Refused(refusal, start..unread.len()),
        }
    }

    /// The head was taken from the front of what has come.
    pub(crate) fn take(&mut self) {
        self.scanned = 0;
    }
}

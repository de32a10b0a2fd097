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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_whole_at_every_split_and_searched_once() {
        let limits = Limits::default();
        for before in ["", "\r\n"] {
            let bytes = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\nrest");
            let length = bytes.len() - before.len() - 4;
            for split in 1..bytes.len() {
                let (mut head, mut fields) = (Head::default(), Vec::new());
                match head.find(&bytes.as_bytes()[..split], &limits, &mut fields) {
                    Found::Part => assert!(split < before.len() + length && head.scanned <= split),
                    Found::Whole { start, length: found, .. } => {
                        assert!(split >= before.len() + length);
                        assert_eq!((start, found), (before.len(), length));
                    }
                    Found::Refused(refusal, _) => panic!("{split}: {refusal:?}"),
                }
                let Found::Whole { start, length: found, line } =
                    head.find(bytes.as_bytes(), &limits, &mut fields)
                else {
                    panic!("{split}")
                };
                assert_eq!((start, found), (before.len(), length));
                // What was read in one pass is what it says; the rest is parsed when it is whole.
                assert_eq!(line.is_some(), head.scanned == 0, "{split}");
                head.take();
                assert_eq!(head.scanned, 0);
            }
        }
    }

    #[test]
    fn one_at_the_limit_is_found_and_one_over_it_is_refused() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for (most, is_found) in [(bytes.len(), true), (bytes.len() - 1, false)] {
            let limits = Limits { head_bytes: most, ..Limits::default() };
            match Head::default().find(bytes, &limits, &mut Vec::new()) {
                Found::Whole { .. } => assert!(is_found),
                Found::Refused(refusal, told) => {
                    assert!(!is_found);
                    assert_eq!((refusal.status.as_u16(), told), (431, 0..most));
                }
                Found::Part => panic!("{most}"),
            }
        }
    }
}

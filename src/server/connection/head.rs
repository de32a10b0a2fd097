//! A request's head while it comes: whether it is complete, and what it says. Knows only bytes and limits. `state` calls it
//! with the bytes received so far.

use std::ops::Range;

use crate::http::request_head::{self, Line, Scan};
use crate::http::span::Field;
use crate::http::Refusal;
use crate::limits::Limits;

/// The state of the search for the next head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many bytes were searched for its end.
    scanned: usize,
    /// Whether any byte of it has come.
    pub has_begun: bool,
    /// Whether its request was counted for the rate of its address.
    pub is_counted: bool,
}

/// What the received bytes hold of a head.
pub(crate) enum Found {
    /// Less than a head.
    Part,
    /// A whole head of `length` bytes at `start`. `line` is its meaning, if it was already read.
    Whole { start: usize, length: usize, line: Option<Line> },
    /// A head that is refused. The range holds the bytes known of it.
    Refused(Refusal, Range<usize>),
}

impl Head {
    /// For a request that was taken: nothing more is searched.
    pub(crate) const TAKEN: Head = Head { scanned: 0, has_begun: true, is_counted: true };

    /// Looks for the head at the front of `unread`, perhaps after an empty line. Its fields go to `fields`.
    #[inline]
    pub(crate) fn find(&mut self, unread: &[u8], limits: &Limits, fields: &mut Vec<Field>) -> Found {
        let start = request_head::empty_line(unread);
        // Only at the first look, so that a head in small pieces is not read from its beginning each time.
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

    /// Notes that the head was taken from the input.
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
                // A head that comes at once is read in one pass. Other heads are parsed when they are whole.
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

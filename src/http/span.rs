//! Positions of parts of a head in its buffer, so that nothing is copied. Knows nothing else. The parsers of heads make spans;
//! requests, the router and the redirect resolve them.

/// A stretch of the buffer that holds the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub(crate) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The position of `part`, which is a slice of `buffer`.
    pub(super) fn locate(buffer: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
        Span { start: start as u32, end: (start + part.len()) as u32 }
    }
}

/// One field line: its name, and its value without the surrounding spaces and tabs, which do not belong to it (RFC 9110 §5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub name: Span,
    pub value: Span,
}

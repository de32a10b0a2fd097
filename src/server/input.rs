//! Bytes on their way from a connection to whatever reads them: a head, or a body's framing. Each worker has one and lends it
//! to the connection that it serves. Knows bytes alone.

use crate::http::span::Field;
use crate::limits::Limits;

/// Bytes that were read from a connection and are not used yet.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The fields of the head that is being looked at.
    fields: Vec<Field>,
}

impl Input {
    /// Room for a head and for what came with it.
    pub(crate) fn new(limits: &Limits) -> Input {
        let capacity = limits.head_bytes.max(16 * 1024) + 1024;
        Input { bytes: vec![0; capacity], start: 0, end: 0, fields: Vec::with_capacity(32) }
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// What is unread, and where the fields found in it are kept.
    #[inline(always)]
    pub(crate) fn unread_and_fields(&mut self) -> (&[u8], &mut Vec<Field>) {
        (&self.bytes[self.start..self.end], &mut self.fields)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Where the next bytes can be read to. Empty only when `unread` fills all.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        // Moving what is there is cheap while it is little, and needed at the end of the buffer.
        if self.start > 0 && self.bytes.len() - self.end < 4096 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    pub(crate) fn filled(&mut self, length: usize) {
        self.end = (self.end + length).min(self.bytes.len());
    }

    /// Takes back what an earlier turn left.
    pub(crate) fn restore(&mut self, saved: &[u8]) {
        self.clear();
        if self.bytes.len() < saved.len() {
            self.bytes.resize(saved.len(), 0);
        }
        self.bytes[..saved.len()].copy_from_slice(saved);
        self.end = saved.len();
    }
}

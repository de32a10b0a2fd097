//! The input buffer between a connection and the readers of heads and bodies. Each worker has one, and lends it to the
//! connection that it serves. Knows only bytes.

use crate::http::span::Field;
use crate::limits::Limits;

/// Bytes that were read from a connection but not used yet.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The fields of the current head.
    fields: Vec<Field>,
}

impl Input {
    /// A buffer with room for a head and the bytes that came with it.
    pub(crate) fn new(limits: &Limits) -> Input {
        let capacity = limits.head_bytes.max(16 * 1024) + 1024;
        Input { bytes: vec![0; capacity], start: 0, end: 0, fields: Vec::with_capacity(32) }
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The unread bytes, and the list for the fields found in them.
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

    /// The free room for further bytes. Empty only when `unread` fills the whole buffer.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        // Moving the unread bytes makes room at the end of the buffer. It is cheap, because they are few.
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

    /// Restores the bytes that an earlier turn has left.
    pub(crate) fn restore(&mut self, saved: &[u8]) {
        self.clear();
        if self.bytes.len() < saved.len() {
            self.bytes.resize(saved.len(), 0);
        }
        self.bytes[..saved.len()].copy_from_slice(saved);
        self.end = saved.len();
    }
}

//! Splits a stream of bytes at a form's delimiters, with one buffer, whatever the sizes of the pieces in which it comes. Knows
//! bytes and readers only; the reader of forms calls it.

use std::io::{ErrorKind, Read};

use memchr::memmem::Finder;

use crate::error::Error;
use crate::web::form_fault::FormFault;

/// The buffer's size, in bytes.
const BUFFER_BYTES: usize = 32 * 1024;

/// The most white space after a boundary, in bytes.
const MOST_PADDING_BYTES: usize = 256;

/// The bytes between delimiters.
pub(super) struct Delimited<'r> {
    source: &'r mut dyn Read,
    /// Finds the delimiter: CR LF, two hyphens and the boundary (RFC 2046 §5.1.1).
    finder: Finder<'static>,
    buffer: Vec<u8>,
    /// What is in the buffer and not read yet.
    start: usize,
    end: usize,
    /// How many of these bytes are known to be no delimiter, and whether one follows right after them.
    clean: usize,
    is_at_delimiter: bool,
    /// What follows the delimiter, once it is passed.
    follows: Option<Follows>,
}

/// What follows a delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    Part,
    /// It was the last: two hyphens follow.
    End,
}

impl<'r> Delimited<'r> {
    pub(super) fn new(source: &'r mut dyn Read, boundary: &str) -> Delimited<'r> {
        let delimiter = format!("\r\n--{boundary}");
        let mut buffer = vec![0; BUFFER_BYTES];
        // The first delimiter needs no line end before it (RFC 2046 §5.1.1), so the stream gets one.
        buffer[..2].copy_from_slice(b"\r\n");
        let finder = Finder::new(delimiter.as_bytes()).into_owned();
        Delimited {
            source,
            finder,
            buffer,
            start: 0,
            end: 2,
            clean: 0,
            is_at_delimiter: false,
            follows: None,
        }
    }

    /// The next bytes before the delimiter, up to `most`; none at the delimiter. By then the whole line of the delimiter has come:
    /// a line that only begins like it ends no part.
    pub(super) fn data(&mut self, most: usize) -> Result<&[u8], Error> {
        while self.clean == 0 && self.follows.is_none() {
            if self.is_at_delimiter {
                self.follows = Some(self.pass_delimiter()?);
                break;
            }
            self.look();
            if self.clean == 0 && !self.is_at_delimiter {
                self.receive()?;
            }
        }
        let taken = self.clean.min(most);
        self.clean -= taken;
        let start = self.start;
        self.start += taken;
        Ok(&self.buffer[start..start + taken])
    }

    /// Drops the bytes before the delimiter, and returns what follows it. An error when there are more bytes than `most`.
    pub(super) fn skip(&mut self, most: u64, what: &'static str) -> Result<Follows, Error> {
        let mut skipped = 0;
        loop {
            let length = self.data(usize::MAX)?.len() as u64;
            skipped += length;
            if skipped > most {
                return Err(FormFault::TooMuch { what, limit: most as usize }.into());
            }
            if let Some(follows) = self.follows.filter(|_| length == 0) {
                self.follows = None;
                return Ok(follows);
            }
        }
    }

    /// Goes past the delimiter that is reached, and the line end after it. White space may stand between them.
    fn pass_delimiter(&mut self) -> Result<Follows, Error> {
        self.take(self.finder.needle().len());
        self.is_at_delimiter = false;
        while self.unread().len() < 2 {
            self.receive()?;
        }
        let follows = if self.unread().starts_with(b"--") { Follows::End } else { Follows::Part };
        if follows == Follows::End {
            self.take(2);
        }
        let mut padding = 0;
        loop {
            match self.unread() {
                [b' ' | b'\t', ..] => {
                    self.take(1);
                    padding += 1;
                    if padding > MOST_PADDING_BYTES {
                        return Err(FormFault::Malformed("white space follows a boundary without end").into());
                    }
                }
                [b'\r', b'\n', ..] => {
                    self.take(2);
                    return Ok(follows);
                }
                [] | [b'\r'] => {
                    let is_ended = self.is_ended()?;
                    match follows {
                        _ if !is_ended => {}
                        // No line end is needed after the last boundary.
                        Follows::End if self.unread().is_empty() => return Ok(follows),
                        _ => return Err(FormFault::Incomplete.into()),
                    }
                }
                _ => {
                    return Err(
                        FormFault::Malformed("something else than a line end follows a boundary").into()
                    )
                }
            }
        }
    }

    /// The bytes before the next empty line, a part's head. Goes past it and past its line end.
    pub(super) fn head(&mut self, most: usize) -> Result<&[u8], Error> {
        // So that there is room for more in the buffer.
        let most = most.min(BUFFER_BYTES - 8);
        let mut looked = 0;
        let length = loop {
            let unread = self.unread();
            if let Some(at) = memchr::memmem::find(&unread[looked..], b"\r\n\r\n") {
                break looked + at;
            }
            looked = unread.len().saturating_sub(3);
            if unread.len() > most + 4 {
                break most + 1;
            }
            self.receive()?;
        };
        if length > most {
            return Err(FormFault::TooMuch { what: "bytes in the head of a part", limit: most }.into());
        }
        // The empty line belongs to this head only if no boundary stands before it.
        if self.finder.find(&self.unread()[..length + 4]).is_some() {
            return Err(FormFault::Malformed("the head of a part has no end").into());
        }
        let start = self.start;
        self.take(length + 2);
        Ok(&self.buffer[start..start + length])
    }

    /// Goes past the empty line after a head. A part without content may have none: then its line end is the delimiter's (RFC
    /// 2046 §5.1.1).
    pub(super) fn pass_empty_line(&mut self) -> Result<(), Error> {
        let length = self.finder.needle().len();
        while self.unread().len() < length && self.finder.needle().starts_with(self.unread()) {
            self.receive()?;
        }
        if !self.unread().starts_with(self.finder.needle()) {
            self.take(2);
        }
        Ok(())
    }

    /// Reads what follows the last boundary to the end. An error when it has more than `most` bytes.
    pub(super) fn finish(&mut self, most: usize) -> Result<(), Error> {
        let mut received = self.unread().len();
        loop {
            self.take(self.unread().len());
            if received > most {
                return Err(FormFault::TooMuch { what: "bytes after the last boundary", limit: most }.into());
            }
            if self.is_ended()? {
                return Ok(());
            }
            received += self.unread().len();
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn take(&mut self, length: usize) {
        self.start += length;
    }

    /// Finds out how much of the unread bytes is no delimiter.
    fn look(&mut self) {
        let unread = self.unread();
        if let Some(at) = self.finder.find(unread) {
            (self.clean, self.is_at_delimiter) = (at, true);
            return;
        }
        // A delimiter may have begun at the end. Only its first byte is a CR, so only the last CR can be its beginning.
        let delimiter = self.finder.needle();
        let tail = unread.len().saturating_sub(delimiter.len() - 1);
        self.clean = match memchr::memrchr(b'\r', &unread[tail..]) {
            Some(at) if delimiter.starts_with(&unread[tail + at..]) => tail + at,
            _ => unread.len(),
        };
    }

    /// Receives at least one more byte.
    fn receive(&mut self) -> Result<(), Error> {
        match self.is_ended()? {
            true => Err(FormFault::Incomplete.into()),
            false => Ok(()),
        }
    }

    /// Receives more bytes. Returns whether the stream has ended instead.
    fn is_ended(&mut self) -> Result<bool, Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(true),
                Ok(read) => {
                    self.end += read;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

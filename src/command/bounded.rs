//! Text that is added to a line as far as there is room. Knows nothing of what the text is. The forms of the log call it.

use std::fmt::{self, Write};

struct Bounded<'a> {
    line: &'a mut String,
    most: usize,
    left_out: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = match self.left_out {
            0 => self.most.saturating_sub(self.line.len()),
            _ => 0,
        };
        if text.len() <= room {
            self.line.push_str(text);
            return Ok(());
        }
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.line.push_str(&text[..room]);
        self.left_out += text.len() - room;
        Ok(())
    }
}

/// Adds to a line of at most so many bytes what it has room for. Returns how many bytes that leaves out.
pub(super) fn push(line: &mut String, most: usize, what: fmt::Arguments<'_>) -> usize {
    let mut bounded = Bounded { line, most, left_out: 0 };
    // Only a value that cannot be shown fails, and what came before it stays.
    let _ = bounded.write_fmt(what);
    bounded.left_out
}

/// Says how much is missing. The line's room has a place for that.
pub(super) fn note(line: &mut String, left_out: usize) {
    if left_out > 0 {
        let bytes = if left_out == 1 { "byte" } else { "bytes" };
        let _ = write!(line, "… ({left_out} {bytes} more)");
    }
}

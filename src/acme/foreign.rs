//! Makes text from an authority safe to show, log and store.
//!
//! It is called wherever such text goes into an error, a log line or a file.

use crate::escape;

/// The most bytes of an authority's explanation in an error.
pub(super) const DETAIL_BYTES: usize = 600;

/// The authority's text in one line of bounded length, without characters that control a terminal. Doing it twice changes
/// nothing.
pub(super) fn clean(text: &str) -> String {
    clean_up_to(text, DETAIL_BYTES)
}

/// As [`clean`], with at most `most` bytes.
pub(super) fn clean_up_to(text: &str, most: usize) -> String {
    let mut clean = String::new();
    let mut letter = [0; 4];
    for c in text.chars() {
        let piece = match c {
            '\n' | '\r' | '\t' => " ".to_string(),
            c => escape::line(c.encode_utf8(&mut letter)).to_string(),
        };
        if clean.len() + piece.len() > most {
            clean.push('…');
            break;
        }
        clean.push_str(&piece);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_line_of_bounded_length() {
        let foreign = "\u{1b}[2J\u{9b}31m\u{202e}x\r\ny\u{7f}";
        assert_eq!(clean(foreign), "\\u{1b}[2J\\u{9b}31m\\u{202e}x  y\\u{7f}");
        let long = foreign.repeat(10_000);
        assert!(clean(&long).len() <= DETAIL_BYTES + '…'.len_utf8() && clean_up_to(&long, 10).ends_with('…'));
        for text in [foreign, &long, "ä…"] {
            assert_eq!(clean(&clean(text)), clean(text));
        }
    }
}

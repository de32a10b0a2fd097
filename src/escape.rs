//! Escaping of foreign text for a terminal, a log and a JSON report.
//!
//! File names, source lines, header fields, names in certificates, messages of panics and texts of servers can hold characters
//! that control a terminal, begin a new log line, or make text look like other text. All foreign text is escaped here before it
//! is shown or logged. The function `hides` holds the only list of such characters.
//!
//! Everything writes straight to the formatter and allocates nothing. Escaping a text twice is harmless, because a backslash is
//! not escaped. Knows text only. Everybody calls it; the command calls it through `lockgate::internal`.

// Which of these are used depends on the features.
#![cfg_attr(not(feature = "serve"), allow(dead_code))]

use std::fmt::{self, Write};
use std::path::Path;

use crate::backports;

/// Whether a character must not be shown as it is: it controls a terminal or ends a line (C0, DEL, C1, U+2028, U+2029), it
/// changes the direction of writing (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069), or it is invisible (U+180E,
/// U+200B to U+200D, the rest of U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, tags from U+E0000 to U+E007F).
pub fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text in one line: `\n`, `\r` and `\t` for these three, `\u{..}` for every other character that `hides`.
pub fn line(text: &str) -> Escaped<'_> {
    line_of(text.as_bytes())
}

/// As `line`, for bytes that should be UTF-8. Bytes that are not are written as `\x..`.
pub fn line_of(bytes: &[u8]) -> Escaped<'_> {
    Escaped { bytes, most: usize::MAX, layout: Layout::Line }
}

/// As `line`, but only the first `most` characters of the text. The number of bytes left out follows: `abc… (12 bytes more)`.
pub fn bounded(text: &str, most: usize) -> Escaped<'_> {
    bounded_of(text.as_bytes(), most)
}

/// As `bounded`, for bytes that should be UTF-8. A byte that is not counts as a character.
pub fn bounded_of(bytes: &[u8], most: usize) -> Escaped<'_> {
    Escaped { bytes, most, layout: Layout::Line }
}

/// The name of a file, as `line_of` writes it.
pub fn path(path: &Path) -> Escaped<'_> {
    line_of(path.as_os_str().as_encoded_bytes())
}

/// Text that keeps its lines: as `line_of`, but LF, CR LF and tabs stay as they are.
pub fn lines_of(bytes: &[u8]) -> Escaped<'_> {
    Escaped { bytes, most: usize::MAX, layout: Layout::Lines }
}

/// JSON that is already written, with every character that `hides` as `\uXXXX`. It means the same to a parser (RFC 8259 §7).
/// Line ends between its parts stay.
pub fn json(written: &str) -> Json<'_> {
    Json(written)
}

/// The return value of `line` and the functions like it, to be written with `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    bytes: &'a [u8],
    /// How many characters are shown at most.
    most: usize,
    layout: Layout,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Line,
    Lines,
}

/// What [`json`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = self.most;
        let mut shown = 0;
        for (valid, invalid) in backports::utf8_chunks(self.bytes) {
            let end = valid.char_indices().nth(room).map_or(valid.len(), |(at, _)| at);
            self.valid(&valid[..end], f)?;
            shown += end;
            if end < valid.len() {
                break;
            }
            if self.most < usize::MAX {
                room -= valid.chars().count();
            }
            for byte in invalid.iter().take(room) {
                write!(f, "\\x{byte:02x}")?;
                shown += 1;
            }
            if invalid.len() > room {
                break;
            }
            if self.most < usize::MAX {
                room -= invalid.len();
            }
        }
        match self.bytes.len() - shown {
            0 => Ok(()),
            1 => f.write_str("… (1 byte more)"),
            left => write!(f, "… ({left} bytes more)"),
        }
    }
}

impl Escaped<'_> {
    fn valid(&self, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The usual case, which needs no escaping.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return f.write_str(text);
        }
        let mut plain = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| hides(*c)) {
            let stays = match self.layout {
                Layout::Line => false,
                Layout::Lines => matches!(c, '\n' | '\t') || c == '\r' && text[at..].starts_with("\r\n"),
            };
            if stays {
                continue;
            }
            f.write_str(&text[plain..at])?;
            plain = at + c.len_utf8();
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                _ => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        f.write_str(&text[plain..])
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        // A JSON writer has escaped these three within strings, so here they are layout.
        let hidden = |c: char| hides(c) && !matches!(c, '\n' | '\r' | '\t');
        for (at, c) in self.0.char_indices().filter(|(_, c)| hidden(*c)) {
            f.write_str(&self.0[plain..at])?;
            plain = at + c.len_utf8();
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
        f.write_str(&self.0[plain..])
    }
}

/// Escapes what a value displays: `{}` of `shown(&error)` is the error in one line.
pub fn shown<T: fmt::Display + ?Sized>(value: &T) -> Shown<'_, T> {
    Shown(value)
}

/// What [`shown`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a, T: ?Sized>(&'a T);

impl<T: fmt::Display + ?Sized> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Through<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Through<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                fmt::Display::fmt(&line(text), self.0)
            }
        }
        write!(Through(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: &[char] = &[
        '\0',
        '\u{1}',
        '\u{7}',
        '\u{8}',
        '\t',
        '\n',
        '\r',
        '\u{1b}',
        '\u{1f}',
        '\u{7f}',
        '\u{80}',
        '\u{85}',
        '\u{9b}',
        '\u{9f}',
        '\u{61c}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{200b}',
        '\u{200d}',
        '\u{2060}',
        '\u{e0041}',
    ];

    #[test]
    fn what_steers_a_terminal_turns_writing_or_is_not_seen_is_escaped() {
        for &c in HIDDEN {
            let text = format!("a{c}é");
            let shown = line(&text).to_string();
            assert!(!shown.chars().any(hides), "{c:?}: {shown:?}");
            assert!(shown.starts_with("a\\") && shown.ends_with('é'), "{c:?}: {shown:?}");
            assert_eq!(line_of(text.as_bytes()).to_string(), shown);
            assert_eq!(super::shown(&text).to_string(), shown);
        }
        assert_eq!(
            line("\u{1b}[31m\u{9b}1m\u{202e}a\r\n\tb\u{7f}").to_string(),
            r"\u{1b}[31m\u{9b}1m\u{202e}a\r\n\tb\u{7f}"
        );
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for plain in ["", "a b", "C:\\x \"y\" 'z'", "Grüße, 世界 🙂", "\u{a0}\u{ad}\u{300}"] {
            assert_eq!(line(plain).to_string(), plain);
            assert_eq!(json(plain).to_string(), plain);
        }
        let once = line("a\u{1b}\n").to_string();
        assert_eq!(line(&once).to_string(), once);
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_written_as_bytes() {
        assert_eq!(line_of(b"a\xffb\x9b\xc3").to_string(), r"a\xffb\x9b\xc3");
        assert_eq!(path(Path::new("a/b\u{202e}.js")).to_string(), r"a/b\u{202e}.js");
    }

    #[test]
    fn a_long_text_is_cut_and_what_is_left_out_is_counted() {
        assert_eq!(bounded("abc", 3).to_string(), "abc");
        assert_eq!(bounded("abcd", 3).to_string(), "abc… (1 byte more)");
        assert_eq!(bounded("é\n🙂é", 2).to_string(), "é\\n… (6 bytes more)");
        assert_eq!(bounded("abc", 0).to_string(), "… (3 bytes more)");
        assert_eq!(bounded_of(b"a\xff\xfeb", 2).to_string(), "a\\xff… (2 bytes more)");
        assert_eq!(bounded_of(b"a\xffbc", 3).to_string(), "a\\xffb… (1 byte more)");
        let endless = "\u{1b}".repeat(100_000);
        assert!(bounded(&endless, 100).to_string().len() < 1000);
    }

    #[test]
    fn text_of_many_lines_keeps_its_lines() {
        assert_eq!(
            lines_of(b"+a\tb\r\n-\rc\x1b\n\xe2\x80\xae").to_string(),
            "+a\tb\r\n-\\rc\\u{1b}\n\\u{202e}"
        );
    }

    #[test]
    fn json_means_the_same_and_hides_nothing() {
        for &c in HIDDEN {
            let value = serde_json::json!({"a": format!("x{c}y"), format!("k{c}"): [1, "é"]});
            let shown = json(&format!("{value:#}")).to_string();
            assert!(!shown.chars().any(|c| hides(c) && c != '\n'), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
        assert_eq!(json("\"\u{e0041}\u{9b}\"").to_string(), r#""\udb40\udc41\u009b""#);
    }

    #[test]
    fn a_value_that_displays_itself_in_parts_is_escaped_in_each() {
        let parts = format_args!("{}{}", "a\u{9b}", '\n').to_string();
        assert_eq!(shown(&parts).to_string(), "a\\u{9b}\\n");
        assert_eq!(shown(&format_args!("{}/{}", "\u{1b}", 7)).to_string(), "\\u{1b}/7");
    }
}

//! A record of the log as JSON (RFC 8259) or logfmt, for collectors. The same fields stand in both: `time` (RFC 3339, UTC, with
//! microseconds), `level`, `target` and `message`, and behind them those that the record brings. Each record is one line without
//! control characters, and is bounded. Knows records and text; `logger` calls it.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use lockgate::internal::escape;
use log::kv::{Error, Key, Source, Value, VisitSource};
use log::Level;

use super::bounded::{note, push};

/// How the lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Logfmt,
}

impl Format {
    pub(super) fn parse(name: &str) -> Option<Format> {
        Some(match name {
            "text" => Format::Text,
            "json" => Format::Json,
            "logfmt" => Format::Logfmt,
            _ => return None,
        })
    }
}

/// The length of a time to the second, in the years from 1 to 9999.
const SECOND_BYTES: usize = "2026-11-23T08:49:37".len();
/// The room that each field has behind the longest line, and the room of all of them.
pub(super) const SHORT_BYTES: usize = 128;
const MORE_BYTES: usize = 4 * 1024;

/// Begins a line with the time: a new one, or one that begins with this second already.
pub(super) fn begin(line: &mut String, format: Format, now: SystemTime, begins_right: bool) {
    let open = if format == Format::Json { "{\"time\":\"" } else { "time=" };
    if begins_right {
        line.truncate(open.len() + SECOND_BYTES);
    } else {
        let second = lockgate::iso8601(now);
        line.clear();
        line.push_str(open);
        line.push_str(second.trim_end_matches('Z'));
    }
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_micros());
    let _ = write!(line, ".{micros:06}Z");
    if format == Format::Json {
        line.push('"');
    }
}

/// A line that has its time, to be filled with fields.
pub(super) struct Fields<'a> {
    pub line: &'a mut String,
    pub format: Format,
    /// How long a line may be, but for short fields at its end. What is longer says how much is missing.
    pub most: usize,
}

impl Fields<'_> {
    pub(super) fn level(&mut self, level: Level) {
        self.plain(
            "level",
            match level {
                Level::Error => "error",
                Level::Warn => "warn",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            },
        );
    }

    /// What the record brings.
    pub(super) fn all_of(&mut self, more: &dyn Source) {
        // No visit fails.
        let _ = more.visit(self);
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.line.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
    }

    /// A field of text.
    pub(super) fn text(&mut self, key: &str, value: fmt::Arguments<'_>) {
        self.key(key);
        let json = self.format == Format::Json;
        if json {
            self.line.push('"');
        }
        let begin = self.line.len();
        // Behind a long field there is still room for the short ones.
        let most = self.most.max(begin + SHORT_BYTES);
        let mut left_out = push(self.line, most, value);
        let is_plain = |byte: u8| match byte {
            b'"' | b'\\' => false,
            b' ' | b'=' => json,
            byte => matches!(byte, b' '..=b'~'),
        };
        let written = &self.line[begin..];
        if left_out > 0 || !written.bytes().all(is_plain) || written.is_empty() && !json {
            let plain = self.line.split_off(begin);
            if !json {
                self.line.push('"');
            }
            left_out += escaped(self.line, &plain, most);
            note(self.line, left_out);
            self.line.push('"');
        } else if json {
            self.line.push('"');
        }
    }

    /// A word that needs no escaping.
    fn plain(&mut self, key: &str, value: &str) {
        self.text(key, format_args!("{value}"));
    }

    fn key(&mut self, key: &str) {
        let json = self.format == Format::Json;
        self.line.push_str(if json { ",\"" } else { " " });
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        self.line.extend(key.chars().map(|c| if is_allowed(c) { c } else { '_' }));
        self.line.push_str(if json { "\":" } else { "=" });
    }
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let key = key.as_str();
        // Another crate may have any names.
        if matches!(key, "time" | "level" | "target" | "message") || self.line.len() >= self.most + MORE_BYTES
        {
            return Ok(());
        }
        match (value.to_u64(), value.to_bool()) {
            (Some(number), _) => {
                self.key(key);
                let _ = write!(self.line, "{number}");
            }
            (_, Some(is_so)) => {
                self.key(key);
                self.line.push_str(if is_so { "true" } else { "false" });
            }
            _ => self.text(key, format_args!("{value}")),
        }
        Ok(())
    }
}

/// Adds what there is room for, escaped as in a string of JSON. Returns how many bytes of the text that leaves out.
fn escaped(line: &mut String, text: &str, most: usize) -> usize {
    for (at, c) in text.char_indices() {
        // The longest escape: two units.
        if line.len() + 12 > most {
            return text.len() - at;
        }
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if escape::hides(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            c => line.push(c),
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value as Json;

    use super::*;

    const MOST: usize = 2_000;

    fn written(format: Format, message: &str, more: &dyn Source) -> String {
        let mut line = String::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_423_777_000_042);
        begin(&mut line, format, now, false);
        let mut fields = Fields { line: &mut line, format, most: MOST };
        fields.level(Level::Warn);
        fields.text("target", format_args!("lockgate::x"));
        fields.text("message", format_args!("{message}"));
        fields.all_of(more);
        fields.end();
        assert!(line.ends_with('\n') && !line.trim_end_matches('\n').chars().any(escape::hides), "{line:?}");
        line
    }

    /// The fields of a line, by a reader of its own.
    fn read(format: Format, line: &str) -> Vec<(String, Json)> {
        if format == Format::Json {
            let Json::Object(all) =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            else {
                panic!("{line}")
            };
            return all.into_iter().collect();
        }
        let (mut rest, mut all) = (line.trim_end_matches('\n'), Vec::new());
        while !rest.is_empty() {
            let (key, value) = rest.split_once('=').unwrap_or_else(|| panic!("{line}"));
            assert!(!key.contains([' ', '"']), "{line}");
            let mut values = serde_json::Deserializer::from_str(value).into_iter::<String>();
            let (value, length) = match value.starts_with('"') {
                true => (values.next().unwrap().unwrap(), values.byte_offset()),
                false => {
                    let word = value.split(' ').next().unwrap();
                    assert!(!word.contains(['"', '=', '\\']), "{line}");
                    (word.to_string(), word.len())
                }
            };
            rest = rest[key.len() + 1 + length..].trim_start_matches(' ');
            all.push((key.to_string(), Json::String(value)));
        }
        all
    }

    fn field(format: Format, line: &str, name: &str) -> Json {
        let all = read(format, line);
        let mut found = all.into_iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = found.next().unwrap_or_else(|| panic!("no {name}: {line}"));
        assert!(found.next().is_none(), "twice {name}: {line}");
        value
    }

    #[test]
    fn whatever_a_text_holds_a_line_is_one_line_and_tells_it_as_it_is() {
        for text in [
            "",
            " ",
            "plain",
            "two words",
            "a=b",
            "C:\\x41 \\",
            "\"quoted\" and \\\"",
            "a\nlevel=error\r\t\u{0}\u{1b}[2J\u{7f}\u{9b}",
            "\u{2028}\u{202e}\u{feff}\u{e0041}",
            "Größe 温度 🔑 \u{fffd}",
            "{\"time\":1}",
            "</script>&<",
        ] {
            for format in [Format::Json, Format::Logfmt] {
                let line = written(format, text, &[("of", text)]);
                for name in ["message", "of"] {
                    assert_eq!(field(format, &line, name), text, "{line}");
                }
                assert_eq!(field(format, &line, "time"), "2026-11-23T08:49:37.000042Z");
                assert_eq!(field(format, &line, "level"), "warn");
                assert_eq!(field(format, &line, "target"), "lockgate::x");
            }
        }
    }

    #[test]
    fn numbers_stay_numbers_and_a_field_of_another_crate_takes_no_name_of_ours() {
        let more: &[(&str, &dyn log::kv::ToValue)] =
            &[("bytes", &7_u64), ("cut", &true), ("level", &"error"), ("a \"b\"=", &"x")];
        let line = written(Format::Json, "m", &more);
        assert!(line.ends_with("\"message\":\"m\",\"bytes\":7,\"cut\":true,\"a__b__\":\"x\"}\n"), "{line}");
        let line = written(Format::Logfmt, "m", &more);
        assert!(line.ends_with(" message=m bytes=7 cut=true a__b__=x\n"), "{line}");
    }

    #[test]
    fn a_line_is_bounded_and_what_is_missing_is_told_where_it_is_missing() {
        for format in [Format::Json, Format::Logfmt] {
            for part in ["x", "é", "\u{1}", "\"", "\u{e0041}"] {
                let long = part.repeat(MOST);
                let many: Vec<(&str, &str)> = vec![("more", &long); 100];
                let line = written(format, &long, &[("id", "7f"), ("path", &*long)]);
                assert_eq!(field(format, &line, "id"), "7f");
                let message = field(format, &line, "message").as_str().unwrap().to_string();
                let (shown, end) = message.split_once("… (").unwrap();
                assert_eq!(end, format!("{} bytes more)", long.len() - shown.len()));
                assert!(long.starts_with(shown) && line.len() < MOST + 3 * SHORT_BYTES, "{}", line.len());
                assert!(written(format, &long, &&many[..]).len() < MOST + MORE_BYTES + 3 * SHORT_BYTES);
            }
        }
    }

    #[test]
    fn a_line_that_begins_in_the_same_second_has_its_own_microseconds() {
        let at = |micros: u64| SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_423_777_000_000 + micros);
        for format in [Format::Json, Format::Logfmt] {
            let (mut new, mut again) = (String::new(), String::new());
            begin(&mut again, format, at(1), false);
            again.push_str("more");
            begin(&mut again, format, at(999_999), true);
            begin(&mut new, format, at(999_999), false);
            assert_eq!(again, new);
        }
    }
}

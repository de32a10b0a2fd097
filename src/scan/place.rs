//! The place of a searched word in a file, and what is around it: the whole word, the value that is assigned to it, the
//! call around it. Every search around a place is bounded, so a file of one long line costs no more than another.
//!
//! Knows bytes and tokens. Called by the rules.

use std::cell::RefCell;

use memchr::memmem;

use super::languages::Language;
use super::tokens::{Kind, Region};
use crate::backports::Trim;

/// How far a search around a place goes, in bytes.
const LINE: usize = 400;
const CALL: usize = 800;

/// A file during a scan.
pub(super) struct Source<'a> {
    pub bytes: &'a [u8],
    pub language: Language,
    /// The path from the tree's root, with `/`.
    pub path: &'a str,
    is_of_tests: bool,
    /// The beginning of the tests at the end of a Rust file.
    tests_from: usize,
    /// The named hosts, which serve HTTPS, in lower case.
    pub hosts: &'a [String],
    mentions: RefCell<Vec<(usize, bool)>>,
}

/// The place of a searched word.
pub(super) struct Place<'a> {
    pub source: &'a Source<'a>,
    /// The word.
    pub at: usize,
    pub end: usize,
    pub region: Region,
}

/// The assigned value, as far as it is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    False,
    True,
    /// `null`, `nil`, `None`, `undefined`, `""`.
    Nothing,
    Other,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        language: Language,
        path: &'a str,
        is_of_tests: bool,
        hosts: &'a [String],
    ) -> Self {
        let tests_from = match language {
            Language::Rust => tests_of_rust(bytes),
            _ => usize::MAX,
        };
        Source { bytes, language, path, is_of_tests, tests_from, hosts, mentions: RefCell::default() }
    }

    /// Whether a place is in test code.
    pub(super) fn is_of_tests(&self, at: usize) -> bool {
        self.is_of_tests || at >= self.tests_from
    }

    /// Whether one of these words is anywhere in the file. Each list is searched once.
    pub(super) fn mentions(&self, words: &'static [&'static str]) -> bool {
        let key = words.as_ptr() as usize;
        let known = self.mentions.borrow().iter().find(|(known, _)| *known == key).map(|(_, found)| *found);
        known.unwrap_or_else(|| {
            let found = words.iter().any(|word| memmem::find(self.bytes, word.as_bytes()).is_some());
            self.mentions.borrow_mut().push((key, found));
            found
        })
    }

    pub(super) fn from(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// At most `most` bytes after a place.
    pub(super) fn after(&self, at: usize, most: usize) -> &'a [u8] {
        let rest = self.from(at);
        &rest[..rest.len().min(most)]
    }

    /// At most `most` bytes before a place.
    pub(super) fn before(&self, at: usize, most: usize) -> &'a [u8] {
        let at = at.min(self.bytes.len());
        &self.bytes[at.saturating_sub(most)..at]
    }

    /// The text before a place in its line.
    pub(super) fn line_before(&self, at: usize) -> &'a [u8] {
        let before = self.before(at, LINE);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        &before[start..]
    }

    /// The text after a place in its line.
    pub(super) fn line_after(&self, at: usize) -> &'a [u8] {
        let after = self.after(at, LINE);
        let end = after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len());
        &after[..end]
    }

    /// The name of the call whose arguments contain a place: `client.get` of `client.get(a, b`.
    pub(super) fn call_around(&self, at: usize) -> Option<&'a [u8]> {
        let before = self.before(at, CALL);
        let mut depth = 0_usize;
        for (index, byte) in before.iter().enumerate().rev() {
            match byte {
                b')' | b'}' => depth += 1,
                b'(' if depth == 0 => {
                    let name = before[..index].trimmed_end();
                    let name = name.strip_suffix(b"!").unwrap_or(name);
                    let length = name.iter().rev().take_while(|byte| is_of_path(**byte)).count();
                    return Some(&name[name.len() - length..]);
                }
                b'{' | b';' if depth == 0 => return None,
                b'(' | b'{' => depth -= 1,
                _ => {}
            }
        }
        None
    }
}

impl<'a> Place<'a> {
    /// The whole word around the place: letters, digits, `_`, and `-` if the language's names may have it.
    pub(super) fn word(&self) -> (usize, usize) {
        let bytes = self.source.bytes;
        let with_dash = bytes.get(self.at..self.end).is_some_and(|word| word.contains(&b'-'));
        let is_of_word = |byte: &u8| is_of_name(*byte) || with_dash && *byte == b'-';
        let before = self.source.before(self.at, 64).iter().rev().take_while(|byte| is_of_word(byte)).count();
        let after = self.source.after(self.end, 64).iter().take_while(|byte| is_of_word(byte)).count();
        (self.at - before, self.end + after)
    }

    pub(super) fn word_is(&self, words: &[&str]) -> bool {
        let (start, end) = self.word();
        let word = self.source.bytes.get(start..end).unwrap_or_default();
        words.iter().any(|known| known.as_bytes() == word)
    }

    /// Whether the word is a whole string: a key in quotes.
    pub(super) fn is_quoted(&self) -> bool {
        let (start, end) = self.word();
        let before = self.source.before(start, 1);
        self.region.kind == Kind::String
            && self.region.end == end
            && (self.region.start == start || before == b":")
    }

    /// The value of the word: `word = VALUE`, `"word": VALUE`, `word => VALUE`, `word(VALUE)`, `word, VALUE`, and in
    /// languages with commands, `word VALUE`.
    pub(super) fn value(&self) -> Value {
        let (_, end) = self.word();
        self.value_from(end)
    }

    fn value_from(&self, end: usize) -> Value {
        let after = self.source.after(end, 160);
        // PHP: `stream_context_set_option($context, 'ssl', 'verify_peer', false)`.
        let pairs = self.source.language == Language::Php;
        let Some(at) = after_separator(after, self.is_like_a_command(), pairs) else { return Value::Other };
        let rest = &after[at..];
        // A type is between: `verify: bool = False`.
        if after[..at].contains(&b':') {
            let types: &[&[u8]] = &[b"boolean", b"Boolean", b"bool", b"Bool", b"Optional[bool]"];
            if let Some(rest) = types.iter().find_map(|name| rest.strip_prefix(*name)) {
                let rest = rest.trimmed_start();
                let Some(value) = rest.strip_prefix(b"=") else { return Value::Other };
                return self.read_value(value.trimmed_start());
            }
        }
        self.read_value(rest)
    }

    fn read_value(&self, rest: &[u8]) -> Value {
        let mut rest = rest;
        let mut quoted = false;
        for quote in [&b"\\\""[..], b"\\'", b"\"", b"'"] {
            if let Some(inner) = rest.strip_prefix(quote) {
                (rest, quoted) = (inner, true);
                break;
            }
        }
        let is_of_value = |byte: &&u8| is_of_name(**byte) || **byte == b'.' || **byte == b'!';
        let length = rest.iter().take(24).take_while(is_of_value).count();
        let (word, after) = rest.split_at(length);
        let word = word.strip_suffix(b".").unwrap_or(word);
        let value = match word {
            b"false" | b"False" | b"FALSE" | b"0" | b"0L" | b"0l" | b"no" | b"No" | b"NO" | b"off"
            | b"Off" | b"OFF" | b"!1" => Value::False,
            b"true" | b"True" | b"TRUE" | b"1" | b"1L" | b"yes" | b"Yes" | b"YES" | b"on" | b"On" | b"ON"
            | b"!0" => Value::True,
            b"null" | b"nil" | b"None" | b"undefined" | b"NULL" => Value::Nothing,
            b"" if quoted && after.first().is_some_and(|byte| b"'\"\\".contains(byte)) => Value::Nothing,
            _ => return Value::Other,
        };
        if quoted || self.ends_there(after) {
            value
        } else {
            Value::Other
        }
    }

    /// Whether the expression ends here, so that the value is complete.
    fn ends_there(&self, after: &[u8]) -> bool {
        let Some(first) = after.first() else { return true };
        if b",;)]}\n\r'\"#\\<`".contains(first) {
            return true;
        }
        if !first.is_ascii_whitespace() {
            // `&& command`, and the next parameter of a URL.
            return self.is_like_a_command() && b"&|".contains(first)
                || self.region.kind == Kind::String && *first == b'&';
        }
        if self.is_like_a_command() {
            return true;
        }
        let line = after.split(|byte| *byte == b'\n').next().unwrap_or_default().trimmed_start();
        let Some(first) = line.first() else { return true };
        b",;)]}'\"#\\".contains(first)
            || line.starts_with(b"//")
            || line.starts_with(b"/*")
            || line.starts_with(b"-->")
    }

    /// Whether the place is in a command line.
    pub(super) fn is_like_a_command(&self) -> bool {
        use Language::*;
        matches!(self.source.language, Shell | Dockerfile | Makefile | Yaml | Ini)
            || self.region.kind == Kind::String && !self.is_quoted()
    }

    /// Whether the line only imports or declares the word.
    pub(super) fn is_imported_or_declared(&self) -> bool {
        let line = self.source.line_before(self.at).trimmed_start();
        let begins: &[&[u8]] = &[
            b"import ",
            b"from ",
            b"use ",
            b"using ",
            b"#include",
            b"package ",
            b"def ",
            b"class ",
            b"fn ",
            b"pub fn ",
            b"pub use ",
            b"export {",
            b"#define ",
        ];
        let names: &[&[u8]] = &[
            b"class ",
            b"interface ",
            b"struct ",
            b"enum ",
            b"extension ",
            b"protocol ",
            b"object ",
            b"trait ",
        ];
        begins.iter().any(|begin| line.starts_with(begin))
            || contains(line, "typealias ")
            || names.iter().any(|name| self.source.before(self.word().0, 200).ends_with(name))
    }
}

/// The beginning of the tests of a Rust file. By custom they go to its end.
fn tests_of_rust(bytes: &[u8]) -> usize {
    let mark = b"#[cfg(test)]";
    let module = memmem::find_iter(bytes, mark)
        .find(|at| bytes.get(at + mark.len()..).unwrap_or_default().trimmed_start().starts_with(b"mod "));
    let function = memmem::find(bytes, b"#[test]");
    module.into_iter().chain(function).min().unwrap_or(usize::MAX)
}

/// Letters, digits, `_` and `$`.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// The characters of a qualified name: `a.b::c->d`.
fn is_of_path(byte: u8) -> bool {
    is_of_name(byte) || b".:>-?".contains(&byte)
}

pub(super) fn contains(text: &[u8], word: &str) -> bool {
    memmem::find(text, word.as_bytes()).is_some()
}

/// The beginning of the value after a name; `None` when nothing is assigned. `pairs`: a name in quotes and its value may
/// follow each other in a list.
fn after_separator(after: &[u8], like_a_command: bool, pairs: bool) -> Option<usize> {
    let mut at = 0;
    // The end of a quoted key: `"]`, `\"`.
    while at < 4 && after.get(at).is_some_and(|byte| b"\\\"']".contains(byte)) {
        at += 1;
    }
    let is_quoted = at > 0;
    let gap = |from: usize| {
        after
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take(64)
            .take_while(|byte| byte.is_ascii_whitespace())
            .count()
    };
    let spaces = gap(at);
    let crosses_line = after[at..at + spaces].contains(&b'\n');
    at += spaces;
    let rest = &after[at..];
    let separator = match rest {
        [b'=', b'=' | b'~', ..] | [b':', b':', ..] => return None,
        [b'=', b'>', ..] | [b':', b'=', ..] => 2,
        [b'=' | b':', ..] => 1,
        // A tuple or a list with the name in it assigns nothing to it.
        [b',', ..] if is_quoted && !pairs => return None,
        [b',' | b'(' | b'{', ..] if !crosses_line => 1,
        _ if like_a_command && spaces > 0 && !crosses_line => 0,
        _ => return None,
    };
    at += separator;
    Some(at + gap(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::tokens::Lexer;

    /// A place at the word between `<` and `>`.
    fn value(language: Language, marked: &str) -> Value {
        let (before, rest) = marked.split_once('<').unwrap();
        let (word, after) = rest.split_once('>').unwrap();
        let text = [before, word, after].concat();
        let region = Lexer::new(text.as_bytes(), language.syntax()).region_at(before.len());
        let source = Source::new(text.as_bytes(), language, "a", false, &[]);
        Place { source: &source, at: before.len(), end: before.len() + word.len(), region }.value()
    }

    #[test]
    fn only_a_plain_value_is_believed() {
        use Language::*;
        let cases = [
            (JavaScript, "{ <a>: false }", Value::False),
            (JavaScript, "{ '<a>': !1, b }", Value::False),
            (JavaScript, "<a> === false", Value::Other),
            (JavaScript, "<a>: false || b", Value::Other),
            (JavaScript, "<a>: boolean", Value::Other),
            (JavaScript, "x['<a>'] = 0;", Value::False),
            (JavaScript, "\"https://h/?<a>=true&b\"", Value::True),
            (Python, "<a>: bool = False,", Value::False),
            (Python, "<a>=False if b else True", Value::Other),
            (Python, "<a>=False  # c", Value::False),
            (Python, "f(<a>=falsehood)", Value::Other),
            (C, "f(c, <A>, 0L);", Value::False),
            (C, "f(c, <A>, 0x1);", Value::Other),
            (C, "f(c, <A>, verify);", Value::Other),
            (Rust, ".<a>(true)", Value::True),
            (Php, "<?php ['<a>' => false]", Value::False),
            (Ruby, "<a>: nil", Value::Nothing),
            (Shell, "x <a> false && y", Value::False),
            (Shell, "export <A>=0", Value::False),
            (Shell, "<A>\nfalse", Value::Other),
            (Json, "{\"<a>\":\n false}", Value::False),
            (Ini, "<a> = off", Value::False),
        ];
        for (language, text, expected) in cases {
            assert_eq!(value(language, text), expected, "{language:?}: {text}");
        }
    }

    #[test]
    fn the_call_around_is_named() {
        let call = |text: &str| {
            let source = Source::new(text.as_bytes(), Language::Python, "a", false, &[]);
            source.call_around(text.len()).map(|name| String::from_utf8_lossy(name).into_owned())
        };
        assert_eq!(call("x = client.get(f(a), b, ").as_deref(), Some("client.get"));
        assert_eq!(call("f(a); b = ").as_deref(), None);
        assert_eq!(call("describe(() => { a = ").as_deref(), None);
        assert_eq!(call("assert!(").as_deref(), Some("assert"));
    }
}

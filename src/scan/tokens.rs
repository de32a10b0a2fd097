//! A light lexer for comments and strings. It goes through the file once, and only as far as the caller needs.
//!
//! It knows bytes and a `Syntax`, but no grammar, so it is right for usual code and not for everything that a compiler
//! accepts. Called by `search` for the places of searched words.

use memchr::memchr;
use memchr::memmem;

use super::syntax::{Also, Begins, Block, Quote, Syntax};
use crate::backports::Trim;

/// The longest regular expression that is recognized, in bytes. A slash that begins none costs no more than this.
const MOST_OF_AN_EXPRESSION: usize = 500;

/// The deepest nesting of a shell's substitutions in strings that is followed.
const MOST_SUBSTITUTIONS: usize = 16;

/// The kind of a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Comment,
    String,
    /// A string that is a whole statement: Python's documentation.
    Documentation,
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub kind: Kind,
    /// Its beginning, with its quote or mark.
    pub from: usize,
    /// Its content: the part of a string without the quotes. Not used for code.
    pub start: usize,
    pub end: usize,
    /// Its end, with its quote.
    pub to: usize,
}

impl Region {
    fn code(from: usize, to: usize) -> Region {
        Region { kind: Kind::Code, from, start: from, end: to, to }
    }
}

/// The lexer of one file.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    syntax: &'static Syntax,
    /// Bytes with which a comment or a string may begin.
    interesting: [bool; 256],
    at: usize,
    last: Region,
    /// In PHP: between `<?php` and `?>`.
    in_code: bool,
    /// The tag of a here-document whose text begins in the next line.
    pending: Option<(usize, usize)>,
    /// A here-document without an end was found, so its tag was not one. Later tags are ignored, so the file is read twice
    /// at most once.
    no_more_heredocs: bool,
    /// The same for a shell's `$(…)` in a string.
    no_more_substitutions: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], syntax: &'static Syntax) -> Lexer<'a> {
        let mut interesting = [false; 256];
        let openings = syntax.line.iter().chain(syntax.quotes.iter().map(|quote| &quote.open));
        for opening in openings.chain(syntax.block.iter().map(|block| &block.open)) {
            if let Some(&first) = opening.as_bytes().first() {
                interesting[usize::from(first)] = true;
            }
        }
        let more: &[u8] = match syntax.also {
            Also::JavaScript => b"/",
            Also::Php => b"<?\n",
            Also::Ruby => b"/<\n=",
            Also::Shell => b"<\n\\",
            Also::Nothing | Also::Python | Also::Rust | Also::C | Also::CSharp => b"",
        };
        for &byte in more {
            interesting[usize::from(byte)] = true;
        }
        Lexer {
            bytes,
            syntax,
            interesting,
            at: 0,
            last: Region::code(0, 0),
            in_code: syntax.also != Also::Php,
            pending: None,
            no_more_heredocs: false,
            no_more_substitutions: false,
        }
    }

    /// The part that contains a place. The caller asks in ascending order; for an earlier place the result is `Code`.
    pub(super) fn region_at(&mut self, place: usize) -> Region {
        loop {
            if place < self.last.from {
                return Region::code(place, place);
            }
            if place < self.last.to {
                return self.last;
            }
            match self.next(place) {
                Some(region) => self.last = region,
                None => return Region::code(self.last.to, place),
            }
        }
    }

    /// The next comment or string that begins at `place` or earlier.
    fn next(&mut self, place: usize) -> Option<Region> {
        if !self.in_code {
            self.skip_html(place)?;
        }
        while self.at <= place {
            let byte = *self.bytes.get(self.at)?;
            if !self.interesting[usize::from(byte)] {
                self.at += 1;
                continue;
            }
            if let Some(region) = self.begin(byte) {
                self.at = region.to.max(self.at + 1);
                return Some(region);
            }
            if !self.in_code {
                self.skip_html(place)?;
                continue;
            }
            self.at += 1;
        }
        None
    }

    /// In PHP: goes to the next `<?`; `None` when that is after the place.
    fn skip_html(&mut self, place: usize) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        match memmem::find(rest, b"<?") {
            Some(distance) if self.at + distance <= place => {
                self.at += distance + 2;
                self.in_code = true;
                Some(())
            }
            Some(distance) => {
                self.at += distance;
                None
            }
            None => {
                self.at = self.bytes.len();
                None
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Option<Region> {
        let (bytes, at, syntax) = (self.bytes, self.at, self.syntax);
        let rest = bytes.get(at..)?;
        match (syntax.also, byte) {
            (Also::Shell, b'\\') => {
                self.at += 1;
                return None;
            }
            (Also::Shell | Also::Ruby | Also::Php, b'\n') => return self.heredoc(),
            (Also::Shell | Also::Ruby | Also::Php, b'<') => {
                self.look_for_heredoc();
                return None;
            }
            (Also::Php, b'?') => {
                if rest.starts_with(b"?>") {
                    self.in_code = false;
                }
                return None;
            }
            (Also::Php, b'#') if rest.starts_with(b"#[") => return None,
            (Also::Ruby, b'=') => {
                let is_block = rest.starts_with(b"=begin") && (at == 0 || bytes.get(at - 1) == Some(&b'\n'));
                return is_block.then(|| self.delimited(Kind::Comment, "=begin", "\n=end"));
            }
            _ => {}
        }
        if syntax.line.iter().any(|mark| rest.starts_with(mark.as_bytes()))
            && self.may_begin(syntax.line_begins)
        {
            let mut end = memchr(b'\n', rest).map_or(bytes.len(), |length| at + length);
            if syntax.also == Also::Php {
                end = memmem::find(&rest[..end - at], b"?>").map_or(end, |length| at + length);
            }
            return Some(Region { kind: Kind::Comment, from: at, start: at, end, to: end });
        }
        if let Some(block) = syntax.block.as_ref().filter(|block| rest.starts_with(block.open.as_bytes())) {
            return Some(self.block(block));
        }
        if byte == b'/' && matches!(syntax.also, Also::JavaScript | Also::Ruby) {
            return self.regular_expression();
        }
        let quote = syntax.quotes.iter().find(|quote| rest.starts_with(quote.open.as_bytes()))?;
        if !self.may_begin(syntax.quote_begins) {
            return None;
        }
        self.string(quote)
    }

    fn may_begin(&self, begins: Begins) -> bool {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        match begins {
            Begins::Anywhere => true,
            Begins::AtWord => {
                before.last().map_or(true, |byte| byte.is_ascii_whitespace() || b"[{(,:=;|&-`".contains(byte))
            }
            Begins::AtLine => {
                let line = before.iter().rev().take_while(|byte| **byte != b'\n');
                line.take(200).all(|byte| *byte == b' ' || *byte == b'\t')
            }
        }
    }

    fn block(&self, block: &Block) -> Region {
        if !block.nests {
            return self.delimited(Kind::Comment, block.open, block.close);
        }
        let (open, close) = (block.open.as_bytes(), block.close.as_bytes());
        let (mut depth, mut at) = (0_usize, self.at);
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(open) {
                depth += 1;
                at += open.len();
            } else if rest.starts_with(close) {
                at += close.len();
                depth -= 1;
                if depth == 0 {
                    break;
                }
            } else {
                at += 1;
            }
        }
        Region { kind: Kind::Comment, from: self.at, start: self.at, end: at, to: at }
    }

    /// Goes from here to the next `close`, or to the end.
    fn delimited(&self, kind: Kind, open: &str, close: &str) -> Region {
        let start = (self.at + open.len()).min(self.bytes.len());
        let rest = self.bytes.get(start..).unwrap_or_default();
        let (end, to) = match memmem::find(rest, close.as_bytes()) {
            Some(length) => (start + length, start + length + close.len()),
            None => (self.bytes.len(), self.bytes.len()),
        };
        Region { kind, from: self.at, start, end, to }
    }

    fn string(&mut self, quote: &Quote) -> Option<Region> {
        let (bytes, at) = (self.bytes, self.at);
        let before = bytes.get(..at).unwrap_or_default();
        let last = before.last().copied().unwrap_or(b' ');
        match self.syntax.also {
            Also::Rust if quote.open == "'" => {
                // A character is `'x'` or `'\…'`; everything else is a lifetime.
                let is_character = bytes.get(at + 1) == Some(&b'\\')
                    || bytes.get(at + 2..(at + 6).min(bytes.len())).is_some_and(|next| next.contains(&b'\''));
                if !is_character || last == b'<' || last == b'&' {
                    return None;
                }
            }
            Also::Rust => {
                let hashes = before.iter().rev().take(16).take_while(|byte| **byte == b'#').count();
                if before.get(..before.len() - hashes).is_some_and(|before| before.ends_with(b"r")) {
                    let close = ["\"", &"#".repeat(hashes)].concat();
                    return Some(self.delimited(Kind::String, "\"", &close));
                }
            }
            Also::C if quote.open == "\"" && last == b'R' => {
                let rest = bytes.get(at + 1..).unwrap_or_default();
                if let Some(length) = rest.iter().take(17).position(|byte| *byte == b'(') {
                    if let Ok(tag) = std::str::from_utf8(&rest[..length]) {
                        return Some(self.delimited(
                            Kind::String,
                            &format!("\"{tag}("),
                            &format!("){tag}\""),
                        ));
                    }
                }
            }
            Also::C if quote.open == "'" && last.is_ascii_hexdigit() => return None,
            Also::CSharp if quote.open == "\"" && (last == b'@' || before.ends_with(b"@$")) => {
                return Some(self.verbatim());
            }
            _ => {}
        }
        let is_raw = before.ends_with(b"r") || before.ends_with(b"R");
        // Raw text of many lines contains samples and patterns.
        let kind = if self.syntax.also == Also::Python && quote.lines && (is_raw || self.is_statement()) {
            Kind::Documentation
        } else {
            Kind::String
        };
        let start = at + quote.open.len();
        let close = quote.close.as_bytes();
        let first = close.first().copied().unwrap_or_default();
        let mut end = start;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'\\' if quote.escapes => end += 2,
                b'$' | b'`' if self.syntax.also == Also::Shell && quote.escapes => {
                    end = self.after_substitution(end, 0).unwrap_or(end + 1);
                }
                b'\n' if !quote.lines => return Some(Region { kind, from: at, start, end, to: end }),
                _ if byte == first && bytes[end..].starts_with(close) => {
                    return Some(Region { kind, from: at, start, end, to: end + close.len() });
                }
                _ => end += 1,
            }
        }
        let end = bytes.len();
        Some(Region { kind, from: at, start: start.min(end), end, to: end })
    }

    /// The end of a shell's `$(…)`, `${…}` or `` `…` ``, which may contain quotes; `None` where none begins.
    fn after_substitution(&mut self, at: usize, depth: usize) -> Option<usize> {
        let bytes = self.bytes;
        let (close, mut end) = match bytes.get(at..)? {
            [b'$', b'(', ..] => (b')', at + 2),
            [b'$', b'{', ..] => (b'}', at + 2),
            [b'`', ..] => (b'`', at + 1),
            _ => return None,
        };
        if depth >= MOST_SUBSTITUTIONS || self.no_more_substitutions {
            return None;
        }
        let mut open = 0_usize;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'\\' => end += 2,
                byte if byte == close && open == 0 => return Some(end + 1),
                b'(' if close == b')' => {
                    open += 1;
                    end += 1;
                }
                b')' if close == b')' => {
                    open -= 1;
                    end += 1;
                }
                // In `${…}` within quotes an apostrophe is not a quote.
                b'\'' if close != b'}' => match memchr(b'\'', &bytes[end + 1..]) {
                    Some(length) => end += length + 2,
                    None => break,
                },
                b'"' => end = self.after_quotes(end + 1, depth + 1)?,
                b'$' | b'`' => end = self.after_substitution(end, depth + 1).unwrap_or(end + 1),
                _ => end += 1,
            }
        }
        self.no_more_substitutions = true;
        None
    }

    /// The end of a shell's `"…"`.
    fn after_quotes(&mut self, at: usize, depth: usize) -> Option<usize> {
        let mut end = at;
        while let Some(&byte) = self.bytes.get(end) {
            match byte {
                b'\\' => end += 2,
                b'"' => return Some(end + 1),
                b'$' | b'`' => end = self.after_substitution(end, depth + 1).unwrap_or(end + 1),
                _ => end += 1,
            }
        }
        self.no_more_substitutions = true;
        None
    }

    /// `@"…"`, in which two quotes mean one.
    fn verbatim(&self) -> Region {
        let (mut end, start) = (self.at + 1, self.at + 1);
        loop {
            match memchr(b'"', self.bytes.get(end..).unwrap_or_default()) {
                Some(length) if self.bytes.get(end + length + 1) == Some(&b'"') => end += length + 2,
                Some(length) => {
                    let end = end + length;
                    return Region { kind: Kind::String, from: self.at, start, end, to: end + 1 };
                }
                None => {
                    let end = self.bytes.len();
                    return Region { kind: Kind::String, from: self.at, start: start.min(end), end, to: end };
                }
            }
        }
    }

    /// Whether only white space and a prefix such as `r` are before it in the line.
    fn is_statement(&self) -> bool {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        let prefix = before.iter().rev().take(2).take_while(|byte| b"rRuUbB".contains(byte)).count();
        let before = &before[..before.len() - prefix];
        let line = before.iter().rev().take_while(|byte| **byte != b'\n');
        line.take(200).all(|byte| *byte == b' ' || *byte == b'\t')
    }

    /// `/…/` where an operand is expected. Its content counts as code.
    fn regular_expression(&mut self) -> Option<Region> {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        let before = before[before.len().saturating_sub(80)..].trimmed_end();
        let is_operand = match before.last() {
            None => true,
            Some(last) => {
                b"(,=:[!&|?{};+*%~^".contains(last) || before.ends_with(b"return") || before.ends_with(b"=>")
            }
        };
        if !is_operand {
            return None;
        }
        let mut in_class = false;
        let mut end = self.at + 1;
        loop {
            if end > self.at + MOST_OF_AN_EXPRESSION {
                return None;
            }
            match self.bytes.get(end)? {
                b'\\' => end += 1,
                b'\n' => return None,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'/' if !in_class => return Some(Region::code(self.at, end + 1)),
                _ => {}
            }
            end += 1;
        }
    }

    /// Records the tag of a here-document; its text begins in the next line.
    fn look_for_heredoc(&mut self) {
        if self.no_more_heredocs || self.pending.is_some() {
            return;
        }
        let php = self.syntax.also == Also::Php;
        let mark: &[u8] = if php { b"<<<" } else { b"<<" };
        let Some(rest) = self.bytes.get(self.at..).and_then(|rest| rest.strip_prefix(mark)) else { return };
        let mut skipped = mark.len();
        let mut rest = rest;
        for optional in [&b"-~"[..], b" ", b"'\""] {
            if self.syntax.also == Also::Ruby && optional == b" " {
                continue;
            }
            if rest.first().is_some_and(|first| optional.contains(first)) {
                rest = &rest[1..];
                skipped += 1;
            }
        }
        let is_tag = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let length = rest.iter().take(64).take_while(is_tag).count();
        // Ruby's `list << item`.
        let is_upper = rest.first().is_some_and(u8::is_ascii_uppercase);
        let begins = rest.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
        if begins && (is_upper || self.syntax.also != Also::Ruby) {
            self.pending = Some((self.at + skipped, length));
        }
        // The following bytes are not read as another mark.
        self.at += skipped - 1;
    }

    /// At the end of a line: reads the here-document that begins in the next line, if there is one. A shell's here-document
    /// counts as code.
    fn heredoc(&mut self) -> Option<Region> {
        let (tag_at, length) = self.pending.take()?;
        let tag = self.bytes.get(tag_at..tag_at + length)?;
        let start = self.at + 1;
        let mut line_start = start;
        while let Some(rest) = self.bytes.get(line_start..).filter(|rest| !rest.is_empty()) {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].trimmed();
            let is_end = match line.strip_prefix(tag) {
                Some(after) if self.syntax.also == Also::Php => {
                    after.first().map_or(true, |byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
                }
                Some(after) => after.is_empty(),
                None => false,
            };
            if is_end {
                let kind = if self.syntax.also == Also::Shell { Kind::Code } else { Kind::String };
                let to = line_start + end;
                return Some(Region { kind, from: self.at, start, end: line_start, to });
            }
            line_start += end + 1;
        }
        self.no_more_heredocs = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::languages::Language;

    /// The kinds at the places marked with `^`. A mark is removed; it is before the byte that it marks.
    fn kinds(language: Language, marked: &str) -> Vec<Kind> {
        let mut text = Vec::new();
        let mut places = Vec::new();
        for &byte in marked.as_bytes() {
            if byte == b'^' {
                places.push(text.len());
            } else {
                text.push(byte);
            }
        }
        let mut lexer = Lexer::new(&text, language.syntax());
        places.into_iter().map(|place| lexer.region_at(place).kind).collect()
    }

    #[test]
    fn comments_and_strings_differ_from_code() {
        use Kind::{Code, Comment, Documentation, String};
        use Language::*;
        let cases: &[(Language, &str, &[Kind])] = &[
            (
                JavaScript,
                "^a '^b\\'^c' // ^d\n^e /* ^f */ ^g",
                &[Code, String, String, Comment, Code, Comment, Code],
            ),
            (JavaScript, "x = /[\"'`/]\\/'/; ^a '^b'", &[Code, String]),
            (JavaScript, "a / b; '^c' / '^d' ^e", &[String, String, Code]),
            (JavaScript, "`a\n^b` ^c", &[String, Code]),
            (JavaScript, "'never closed\n^a '^b'", &[Code, String]),
            (
                Python,
                "'''^a'''\nx = '''\n^b'''\n^c = r'^d' # ^e",
                &[Documentation, String, Code, String, Comment],
            ),
            (Python, "x = r'''\n^a'''; ^b = f'''^c'''", &[Documentation, Code, String]),
            (
                Rust,
                "fn a<'a>(^x: &'a str) { '\"'; r#\"^a\"^b\"#; ^c } /* /* */ ^d */",
                &[Code, String, String, Code, Comment],
            ),
            (Go, "'\"' ^a `^b\\` ^c", &[Code, String, Code]),
            (C, "R\"x(^a\")x\" ^b 1'000 ^c '\"' ^d \"^e\"", &[String, Code, Code, Code, String]),
            (CSharp, "@\"^a\\\" ^b \"\"\"^c\"\"\" ^d", &[String, Code, String, Code]),
            (
                Php,
                "<p>don't ^a</p><?php '^b'; # ^c ?> it's ^d <?= \"^e\"",
                &[Code, String, Comment, Code, String],
            ),
            (Php, "<?php $a = <<<EOT\n^a '\n  EOT;\n^b '^c'", &[String, Code, String]),
            (
                Ruby,
                "a << b # ^a\nx = <<~TXT\n^b '\nTXT\n^c\n=begin\n^d\n=end\n^e",
                &[Comment, String, Code, Comment, Code],
            ),
            (Shell, "a=${b#^c} # ^d\necho \\' ^e '^f\n^g'", &[Code, Comment, Code, String, String]),
            (Shell, "a=\"$(b '\"')^c\" ^d", &[String, Code]),
            (Shell, "a=\"`b '\"'`^c\" ^d", &[String, Code]),
            (Shell, "a=\"${b:-\"it's\"}^c\" ^d '^e'", &[String, Code, String]),
            (Shell, "a=\"$(b \"$(c '\"')\")^c\" ^d", &[String, Code]),
            (Shell, "a=\"$(b^c\" ^d", &[String, Code]),
            (Shell, "cat <<EOF | x\ndon't ^a\nEOF\n^b '^c'", &[Code, Code, String]),
            (Shell, "x=$((a<<b)); '^c' # ^d", &[String, Comment]),
            (Yaml, "a: don't ^b # ^c\nd: '^e' f#^g", &[Code, Comment, String, Code]),
            (Ini, "a=b#^c\n  ; ^d", &[Code, Comment]),
            (Xml, "<a b='^c'><!-- ^d --> ^e", &[Code, Comment, Code]),
        ];
        for (language, text, expected) in cases {
            assert_eq!(kinds(*language, text), *expected, "{language:?}: {text}");
        }
    }

    #[test]
    fn substitutions_without_an_end_are_read_once() {
        for piece in ["$(", "${", "`", "$(\"", "\"$("] {
            for end in ["", "'", "\"", ")"] {
                let text = ["x=\"", &piece.repeat(100_000), end].concat();
                let mut lexer = Lexer::new(text.as_bytes(), Language::Shell.syntax());
                lexer.region_at(text.len());
            }
        }
    }

    #[test]
    fn any_bytes_come_to_an_end() {
        use Language::*;
        let pieces = [
            "<<A", "\n", "\"", "'", "/*", "\\", "/", "r#\"", "R\"(", "<?php", "?>", "`", "#", "é", "@\"",
            "=begin", "$(", "${", ")",
        ];
        for language in
            [JavaScript, Python, Rust, CSharp, Php, Ruby, Swift, C, Shell, Yaml, Toml, Ini, Json, Xml]
        {
            for seed in 0..400_usize {
                let text: String =
                    (0..12).map(|n| pieces[(seed * 7 + n * n * (seed % 13 + 1)) % pieces.len()]).collect();
                let mut lexer = Lexer::new(text.as_bytes(), language.syntax());
                for place in 0..text.len() + 2 {
                    let region = lexer.region_at(place);
                    assert!(
                        region.from <= region.to && region.to <= text.len().max(place),
                        "{language:?} {text:?}"
                    );
                    assert!(
                        region.start <= region.end && region.end <= text.len().max(place),
                        "{language:?} {text:?}"
                    );
                }
            }
        }
    }
}

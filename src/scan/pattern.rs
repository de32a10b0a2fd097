//! One line of a `.gitignore`: its meaning, and whether it matches a path. It follows gitignore(5), and git's wildmatch.c
//! where the manual is open; `tests/check_ignored.rs` compares it with git.
//!
//! It works on bytes, like git: `?` is one byte. There is no backtracking: the time of a match is at most proportional to
//! the length of the pattern times the length of the path.

/// No path that can be opened is longer (Linux, PATH_MAX), so a longer pattern matches nothing.
const MOST_BYTES: usize = 4096;

/// A pattern.
pub(super) struct Pattern {
    pieces: Box<[Piece]>,
    /// `!`: paths that match are not ignored.
    pub(super) is_negated: bool,
    /// A slash at the end: it matches folders only.
    pub(super) is_of_folders: bool,
    /// Without a slash before its end it matches the name alone, at any depth.
    is_of_names: bool,
}

/// The form of a pattern, for a caller that compares many patterns with a path at once.
pub(super) enum Shape {
    /// A name, at any depth.
    Name(Box<[u8]>),
    /// A whole path.
    Path(Box<[u8]>),
    /// The ending of a name.
    Ending(Box<[u8]>),
    /// Another form; the number of its parts.
    Other(usize),
}

enum Piece {
    Byte(u8),
    /// `?`
    Any,
    /// `[…]`: a bit for each byte; never a slash.
    Class(Box<[u64; 4]>),
    /// `*`: within a name.
    Star,
    /// `**` at the end: anything.
    Deep,
    /// `**/`: nothing, or anything up to a slash.
    Folders,
}

impl Pattern {
    /// Reads a line without its end; `None` for an empty line, a comment, and a pattern that matches nothing.
    pub(super) fn read(line: &[u8]) -> Option<Pattern> {
        let line = without_spaces_at_end(line);
        if line.first() == Some(&b'#') || line.len() > MOST_BYTES {
            return None;
        }
        let (is_negated, glob) = match line.strip_prefix(b"!") {
            Some(glob) => (true, glob),
            None => (false, line),
        };
        let (is_of_folders, glob) = match glob.strip_suffix(b"/") {
            Some(glob) => (true, glob),
            None => (false, glob),
        };
        let is_of_names = !glob.contains(&b'/');
        let glob = glob.strip_prefix(b"/").unwrap_or(glob);
        if glob.is_empty() {
            return None;
        }
        Some(Pattern { pieces: pieces_of(glob)?.into(), is_negated, is_of_folders, is_of_names })
    }

    pub(super) fn shape(&self) -> Shape {
        let literal = |pieces: &[Piece]| -> Option<Box<[u8]>> {
            let byte = |piece: &Piece| match piece {
                Piece::Byte(byte) => Some(*byte),
                _ => None,
            };
            pieces.iter().map(byte).collect()
        };
        let other = Shape::Other(self.pieces.len());
        match (&self.pieces[..], self.is_of_names) {
            ([Piece::Star, ending @ ..], true) => literal(ending).map_or(other, Shape::Ending),
            (pieces, true) => literal(pieces).map_or(other, Shape::Name),
            (pieces, false) => literal(pieces).map_or(other, Shape::Path),
        }
    }

    /// Whether it matches a path, relative to the folder of the pattern's file.
    pub(super) fn fits(&self, path: &[u8], is_folder: bool) -> bool {
        if self.is_of_folders && !is_folder {
            return false;
        }
        let name = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let text = if self.is_of_names { &path[name..] } else { path };
        let takes = |pieces: &[Piece], text: &[u8]| {
            pieces.len() == text.len() && pieces.iter().zip(text).all(|(piece, &byte)| piece.takes(byte))
        };
        let Some(first) = self.pieces.iter().position(Piece::is_wide) else {
            return takes(&self.pieces, text);
        };
        // The parts before the first wide piece and after the last can match in one place only. Most paths fail there.
        let after = self.pieces.iter().rposition(Piece::is_wide).map_or(first, |last| last + 1);
        let tail = self.pieces.len() - after;
        if text.len() < first + tail {
            return false;
        }
        let (front, back) = (&text[..first], &text[text.len() - tail..]);
        takes(&self.pieces[..first], front)
            && takes(&self.pieces[after..], back)
            && between(&self.pieces[first..after], &text[first..text.len() - tail])
    }
}

impl Piece {
    fn is_wide(&self) -> bool {
        matches!(self, Piece::Star | Piece::Deep | Piece::Folders)
    }

    /// Whether it matches this one byte.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Piece::Byte(wanted) => *wanted == byte,
            Piece::Any => byte != b'/',
            Piece::Class(bits) => byte != b'/' && has(bits, byte),
            Piece::Star | Piece::Deep | Piece::Folders => false,
        }
    }
}

/// Whether pieces that begin and end with a wide one match a text: all possibilities at once, byte by byte.
fn between(pieces: &[Piece], text: &[u8]) -> bool {
    match pieces {
        [Piece::Star] => return !text.contains(&b'/'),
        [Piece::Deep] => return true,
        [Piece::Folders] => return text.last().map_or(true, |&last| last == b'/'),
        _ => {}
    }
    let (mut one, mut other) = (Places::within(pieces.len()), Places::within(pieces.len()));
    let (mut now, mut next) = (&mut one, &mut other);
    now.reach(pieces, 0);
    for &byte in text {
        next.clear();
        for at in now.iter().take_while(|&at| at < pieces.len()) {
            match &pieces[at] {
                Piece::Star if byte == b'/' => {}
                Piece::Star | Piece::Deep => next.reach(pieces, at),
                Piece::Folders => {
                    next.add(at);
                    if byte == b'/' {
                        next.reach(pieces, at + 1);
                    }
                }
                one if one.takes(byte) => next.reach(pieces, at + 1),
                _ => {}
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    now.has(pieces.len())
}

/// The places between the pieces of a pattern, one bit each, so that a match allocates nothing.
struct Places {
    words: [u64; MOST_BYTES / 64 + 1],
    /// The words in use.
    used: usize,
}

impl Places {
    /// Clears all places up to the one after so many pieces.
    fn within(pieces: usize) -> Places {
        Places { words: [0; MOST_BYTES / 64 + 1], used: pieces / 64 + 1 }
    }

    fn clear(&mut self) {
        self.words[..self.used].fill(0);
    }

    fn add(&mut self, at: usize) {
        self.words[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.words[at / 64] & (1 << (at % 64)) != 0
    }

    /// Marks the place before piece `at`, and the places after the following pieces that may match nothing.
    fn reach(&mut self, pieces: &[Piece], at: usize) {
        let wide = pieces[at..].iter().take_while(|piece| piece.is_wide()).count();
        (at..=at + wide).for_each(|at| self.add(at));
    }

    /// In ascending order.
    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words[..self.used].iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

/// gitignore(5): "Trailing spaces are ignored unless they are quoted with backslash".
fn without_spaces_at_end(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte != b' ' {
            end = at;
        }
    }
    line.get(..end).unwrap_or(line)
}

/// `None` when it is invalid, and so matches nothing.
fn pieces_of(glob: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(glob.len());
    let mut at = 0;
    while let Some(&byte) = glob.get(at) {
        at += 1;
        let piece = match byte {
            b'\\' => {
                at += 1;
                Piece::Byte(*glob.get(at - 1)?)
            }
            b'?' => Piece::Any,
            b'*' => {
                let begins_name = at == 1 || glob[at - 2] == b'/';
                let more = glob[at..].iter().take_while(|&&byte| byte == b'*').count();
                at += more;
                match &glob[at..] {
                    _ if more == 0 || !begins_name => Piece::Star,
                    [b'/', ..] => {
                        at += 1;
                        // Two mean the same as one, and a run of them would cost time at each slash.
                        if matches!(pieces.last(), Some(Piece::Folders)) {
                            continue;
                        }
                        Piece::Folders
                    }
                    [] | [b'\\', b'/', ..] => Piece::Deep,
                    _ => Piece::Star,
                }
            }
            b'[' => {
                let (bits, end) = class(glob, at)?;
                at = end;
                Piece::Class(Box::new(bits))
            }
            _ => Piece::Byte(byte),
        };
        pieces.push(piece);
    }
    Some(pieces)
}

/// The set that begins at `at`, after a `[`, and the place after its end.
fn class(glob: &[u8], mut at: usize) -> Option<([u64; 4], usize)> {
    let is_negated = matches!(glob.get(at), Some(b'!' | b'^'));
    at += usize::from(is_negated);
    let mut bits = [0; 4];
    // The byte with which a `-` would begin a range.
    let mut before = None;
    loop {
        let byte = *glob.get(at)?;
        before = match (byte, before) {
            (b'\\', _) => {
                at += 1;
                let byte = *glob.get(at)?;
                put(&mut bits, byte);
                Some(byte)
            }
            (b'-', Some(from)) if glob.get(at + 1).is_some_and(|&next| next != b']') => {
                at += 1 + usize::from(glob.get(at + 1) == Some(&b'\\'));
                for byte in from..=*glob.get(at)? {
                    put(&mut bits, byte);
                }
                None
            }
            (b'[', _) if glob.get(at + 1) == Some(&b':') => {
                let name = &glob[at + 2..];
                let name = &name[..name.iter().position(|&byte| byte == b']')?];
                match name.strip_suffix(b":") {
                    Some(word) => {
                        let is_in = named(word)?;
                        (0..=u8::MAX).filter(|byte| is_in(*byte)).for_each(|byte| put(&mut bits, byte));
                        at += 2 + name.len();
                        None
                    }
                    None => {
                        put(&mut bits, byte);
                        Some(byte)
                    }
                }
            }
            _ => {
                put(&mut bits, byte);
                Some(byte)
            }
        };
        at += 1;
        // The first byte belongs to the set, even a `]`.
        if *glob.get(at)? == b']' {
            break;
        }
    }
    if is_negated {
        bits = bits.map(|word: u64| !word);
    }
    Some((bits, at + 1))
}

fn put(bits: &mut [u64; 4], byte: u8) {
    bits[usize::from(byte / 64)] |= 1 << (byte % 64);
}

fn has(bits: &[u64; 4], byte: u8) -> bool {
    bits[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
}

/// The POSIX classes, in ASCII. For git a vertical tab and a form feed are not spaces.
fn named(word: &[u8]) -> Option<fn(u8) -> bool> {
    Some(match word {
        b"alnum" => |byte| byte.is_ascii_alphanumeric(),
        b"alpha" => |byte| byte.is_ascii_alphabetic(),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => |byte| byte.is_ascii_control(),
        b"digit" => |byte| byte.is_ascii_digit(),
        b"graph" => |byte| byte.is_ascii_graphic(),
        b"lower" => |byte| byte.is_ascii_lowercase(),
        b"print" => |byte| byte.is_ascii_graphic() || byte == b' ',
        b"punct" => |byte| byte.is_ascii_punctuation(),
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => |byte| byte.is_ascii_uppercase(),
        b"xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(line: &str, path: &str) -> bool {
        let (path, is_folder) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        Pattern::read(line.as_bytes()).is_some_and(|pattern| pattern.fits(path.as_bytes(), is_folder))
    }

    #[test]
    fn a_pattern_matches_what_the_manual_says() {
        for (line, yes, no) in [
            ("a", &["a", "x/a", "a/"][..], &["ab", "a/x"][..]),
            ("/a", &["a"], &["x/a"]),
            ("a/", &["a/", "x/a/"], &["a"]),
            ("a/b", &["a/b"], &["x/a/b"]),
            ("*.py", &["a.py", "x/.py"], &["a.pyc"]),
            ("a?c", &["abc"], &["ac", "a/c", "aéc"]),
            ("x/*", &["x/a"], &["x/a/b", "x"]),
            ("**/a/b", &["a/b", "x/a/b", "x/y/a/b"], &["xa/b"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "x/a/b"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
            ("a**b", &["ab", "axxb", "x/axb"], &["a/b"]),
            ("/a*b*c", &["abc", "axbxbc"], &["abcd", "ab/c"]),
            ("**", &["a", "a/b"], &[]),
            ("[a-c]x", &["ax", "cx"], &["dx", "-x"]),
            ("[!a-c]x", &["dx"], &["ax", "/x"]),
            ("[]-]x", &["]x", "-x"], &["ax"]),
            ("[[:digit:]_]", &["4", "_"], &["a", ":"]),
            ("\\#a ", &["#a"], &["#a "]),
            ("a\\ ", &["a "], &["a"]),
            ("\\!a", &["!a"], &["a"]),
        ] {
            for path in yes {
                assert!(fits(line, path), "{line} {path}");
            }
            for path in no {
                assert!(!fits(line, path), "{line} {path}");
            }
        }
    }

    #[test]
    fn invalid_and_empty_lines_match_nothing() {
        let long = "a".repeat(MOST_BYTES + 1);
        for line in ["", "  ", "# a", "!", "/", "!/", "[a", "[a-", "a\\", "[[:nothing:]]", "[[:alpha:", &long]
        {
            assert!(Pattern::read(line.as_bytes()).is_none(), "{line}");
        }
    }

    /// With backtracking this match would take years.
    #[test]
    fn no_pattern_takes_longer_than_its_length_times_the_paths() {
        for (line, path) in [
            ("/".to_string() + &"*a".repeat(500) + "*b*", "a".repeat(4000)),
            ("/".to_string() + &"**/a/".repeat(500) + "**/b/**", "a/".repeat(2000) + "a"),
            ("/".to_string() + &"**/*a*/".repeat(300) + "b*", "aa/".repeat(1300) + "a"),
            ("/".to_string() + &"**/".repeat(1300) + "b*", "a/".repeat(2000) + "a"),
        ] {
            assert!(!fits(&line, &path), "{line}");
        }
    }
}

//! All patterns of one ignore file, indexed, so that a path is compared with only a few of them.
//!
//! Most patterns are a name, a path, or `*` before an ending. Those are found by look-up. Only the others are tried one by
//! one, and their number is limited, because each may take time in proportion to its length times the length of the path.
//! Knows bytes only; `ignored` calls it.

use std::collections::HashMap;

use super::pattern::{Pattern, Shape};

/// The patterns of a file. The last pattern in the file that matches a path decides.
#[derive(Default)]
pub(super) struct IgnoreList {
    names: HashMap<Box<[u8]>, Last>,
    paths: HashMap<Box<[u8]>, Last>,
    /// The endings behind a `*`.
    endings: HashMap<Box<[u8]>, Last>,
    /// The lengths of the endings, each once.
    ending_lengths: Vec<usize>,
    /// The other patterns, and their places in the file.
    tried: Vec<(u32, Pattern)>,
    /// The number of parts of these: bytes, `*`, sets.
    pub(super) parts: usize,
}

/// The last one of equal patterns.
#[derive(Clone, Copy, Default)]
struct Last {
    of_all: Option<Rule>,
    of_folders: Option<Rule>,
}

/// Ordered by its place in the file, which is unique.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    place: u32,
    is_negated: bool,
}

/// The ignore file has too many patterns that must be tried one by one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl IgnoreList {
    /// Reads a file's contents. The patterns that must be tried may have `most` parts in all.
    pub(super) fn read(contents: &[u8], most: usize) -> Result<IgnoreList, TooMany> {
        let text = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
        let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut list = IgnoreList::default();
        for (place, pattern) in (0..).zip(lines.filter_map(Pattern::read)) {
            let last = match pattern.shape() {
                Shape::Name(name) => list.names.entry(name).or_default(),
                Shape::Path(path) => list.paths.entry(path).or_default(),
                Shape::Ending(ending) => {
                    if !list.ending_lengths.contains(&ending.len()) {
                        list.ending_lengths.push(ending.len());
                    }
                    list.endings.entry(ending).or_default()
                }
                Shape::Other(length) => {
                    list.parts += length;
                    if list.parts > most {
                        return Err(TooMany);
                    }
                    list.tried.push((place, pattern));
                    continue;
                }
            };
            let rule = Some(Rule { place, is_negated: pattern.is_negated });
            match pattern.is_of_folders {
                true => last.of_folders = rule,
                false => last.of_all = rule,
            }
        }
        Ok(list)
    }

    /// Whether a path, relative to the folder of the file, is ignored; `None` when no pattern matches.
    pub(super) fn ignores(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let name = path.iter().rposition(|&byte| byte == b'/').map_or(path, |slash| &path[slash + 1..]);
        let endings = self
            .ending_lengths
            .iter()
            .filter_map(|length| self.endings.get(name.get(name.len().checked_sub(*length)?..)?));
        let looked_up = self.names.get(name).into_iter().chain(self.paths.get(path)).chain(endings);
        let best = looked_up.filter_map(|last| last.rule(is_folder)).max();
        // Only a pattern below it in the file could change the result.
        let tried =
            self.tried.iter().rev().take_while(|(place, _)| best.map_or(true, |best| *place > best.place));
        let fits = |(_, pattern): &&(u32, Pattern)| pattern.fits(path, is_folder);
        match tried.into_iter().find(fits) {
            Some((_, pattern)) => Some(!pattern.is_negated),
            None => best.map(|best| !best.is_negated),
        }
    }

    /// The most steps for a path: look-ups, and patterns that are tried.
    #[cfg(test)]
    fn most_steps(&self) -> usize {
        2 + self.ending_lengths.len() + self.tried.len()
    }
}

impl Last {
    fn rule(&self, is_folder: bool) -> Option<Rule> {
        self.of_all.max(self.of_folders.filter(|_| is_folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(lines: &str, path: &str) -> Option<bool> {
        let (path, is_folder) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        IgnoreList::read(lines.as_bytes(), 1000).unwrap().ignores(path.as_bytes(), is_folder)
    }

    #[test]
    fn the_last_pattern_that_fits_decides_however_it_is_found() {
        for (lines, path, expected) in [
            ("a", "x/a", Some(true)),
            ("a", "x/b", None),
            ("a\n!a", "a", Some(false)),
            ("!a\na", "a", Some(true)),
            ("*.py\n!/x/a.py", "x/a.py", Some(false)),
            ("!/x/a.py\n*.py", "x/a.py", Some(true)),
            ("a*c\n!*c", "abc", Some(false)),
            ("!*c\na*c", "abc", Some(true)),
            ("a/\n!a", "a/", Some(false)),
            ("!a\na/", "a/", Some(true)),
            ("!a\na/", "a", Some(false)),
            ("*", "anything", Some(true)),
            ("/x", "y/x", None),
            ("*\\*", "a*", Some(true)),
            ("\u{feff}a\r\nb", "a", Some(true)),
        ] {
            assert_eq!(ignores(lines, path), expected, "{lines:?} {path}");
        }
    }

    #[test]
    fn a_path_is_held_against_few_patterns_however_many_there_are() {
        let many: String = (0..100_000).map(|n| format!("name{n}\n/dir/{n}\n*.end{n}\n")).collect();
        let list = IgnoreList::read(many.as_bytes(), 1000).unwrap();
        assert!(list.most_steps() < 20, "{}", list.most_steps());
        assert_eq!(list.ignores(b"x/name99999", false), Some(true));
        assert_eq!(list.ignores(b"x/name100000", false), None);
    }

    #[test]
    fn patterns_that_must_be_tried_are_limited() {
        let wild = |count: usize| IgnoreList::read("*a*b*\n".repeat(count).as_bytes(), 1000);
        assert_eq!(wild(200).unwrap().most_steps(), 200 + 2);
        assert_eq!(wild(201).err(), Some(TooMany));
        assert_eq!(wild(340_000).err(), Some(TooMany));
    }
}

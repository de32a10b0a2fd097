//! The sources, read as tokens: which paths each file names, and which words. Comments, strings and the code of tests do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

use super::is_under;

/// All of src/, but for what is compiled for tests only.
pub struct Sources {
    pub files: Vec<File>,
}

pub struct File {
    /// From the project's root: `src/tls/pem.rs`.
    pub name: String,
    /// `["tls", "pem"]`.
    pub module: Vec<String>,
    lines: Vec<String>,
    /// Every path that is named, from its root: `crate::…` or a crate's name; and in which line. What another module hands on by
    /// a `use` of its own stands here by the path that it has where it is declared.
    pub paths: Vec<(String, usize)>,
    /// Keywords, macros as `name!`, and the calls that panic; and in which line.
    pub words: Vec<(String, usize)>,
    /// How many lines are no tests.
    pub lines_of_code: usize,
    /// What `use` brings in: the name that it has here, its path, and whether that is for others (`pub`).
    uses: Vec<Use>,
    /// How often each name stands in it.
    names: BTreeMap<String, usize>,
}

struct Use {
    name: String,
    path: String,
    is_public: bool,
}

impl Sources {
    pub fn read() -> Sources {
        let mut names = Vec::new();
        collect(&root_of_project().join("src"), &mut names);
        names.sort();
        let mut files = Vec::new();
        let mut of_tests = BTreeSet::new();
        for path in &names {
            let (file, modules_of_tests) = File::read(path);
            for module in modules_of_tests {
                of_tests.insert([&file.module[..], &[module]].concat());
            }
            files.push(file);
        }
        files.retain(|file| !(0..=file.module.len()).any(|depth| of_tests.contains(&file.module[..depth])));
        assert!(files.len() > 20, "{}", files.len());

        let children: BTreeSet<Vec<String>> = files.iter().map(|file| file.module.clone()).collect();
        for file in &mut files {
            file.root_paths_of_children(&children);
        }
        // A name that a module hands on is, for everybody else, the one that it was handed.
        let handed_on: BTreeMap<String, String> = files.iter().flat_map(File::hands_on).collect();
        for (path, _) in files.iter_mut().flat_map(|file| &mut file.paths) {
            *path = origin(path, &handed_on);
        }
        Sources { files }
    }
}

/// The path of the same thing where it is declared.
fn origin(path: &str, handed_on: &BTreeMap<String, String>) -> String {
    let mut path = path.to_string();
    // So many modules hand a name on to each other at most.
    for _ in 0..8 {
        let ends: Vec<usize> = path.match_indices("::").map(|(at, _)| at).chain([path.len()]).collect();
        let known = ends.iter().rev().find_map(|end| Some((*end, handed_on.get(&path[..*end])?)));
        match known {
            // A function may have the name of its module.
            Some((end, longer)) if !is_under(longer, &path[..end]) => {
                path = format!("{longer}{}", &path[end..])
            }
            _ => break,
        }
    }
    path
}

fn collect(dir: &Path, names: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.push(path);
        }
    }
}

impl File {
    /// What stands before a word, in its line or else in the line before.
    pub fn text_before(&self, word: &str, line: usize) -> &str {
        let before = self.lines[line - 1].split(word).next().unwrap().trim();
        match before {
            "" => self.lines[line.saturating_sub(2)].trim(),
            before => before,
        }
    }

    /// Also returns the names of its modules that are for tests only and stand in files of their own.
    fn read(path: &Path) -> (File, Vec<String>) {
        let name = path.strip_prefix(root_of_project()).unwrap().to_str().unwrap().to_string();
        let text = fs::read_to_string(path).unwrap();
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let module =
            name.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod").split('/');
        let module = module.filter(|part| !matches!(*part, "lib" | "main")).map(str::to_string).collect();
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let mut file = File {
            name,
            module,
            lines_of_code: lines.len(),
            lines,
            paths: Vec::new(),
            words: Vec::new(),
            uses: Vec::new(),
            names: BTreeMap::new(),
        };
        let mut modules_of_tests = Vec::new();
        file.look_at(tokens, &mut modules_of_tests);
        (file, modules_of_tests)
    }

    /// Gives a path that begins with a module of this file its root.
    fn root_paths_of_children(&mut self, modules: &BTreeSet<Vec<String>>) {
        let own = self.module.clone();
        let rooted = |path: &mut String| {
            let first = path.split("::").next().unwrap_or_default().to_string();
            if path.contains("::") && modules.contains(&[&own[..], &[first]].concat()) {
                *path = format!(
                    "{}::{path}",
                    std::iter::once("crate".to_string()).chain(own.clone()).collect::<Vec<_>>().join("::")
                );
            }
        };
        self.paths.iter_mut().map(|(path, _)| path).for_each(rooted);
        self.uses.iter_mut().map(|used| &mut used.path).for_each(rooted);
    }

    /// What others can name by this module's path although it is declared elsewhere, and its path there.
    fn hands_on(&self) -> Vec<(String, String)> {
        let module = self.path_of_module();
        self.uses.iter().map(|used| (format!("{module}::{}", used.name), used.path.clone())).collect()
    }

    fn path_of_module(&self) -> String {
        std::iter::once("crate".to_string()).chain(self.module.clone()).collect::<Vec<_>>().join("::")
    }

    /// The paths that this file names for itself: not those that it only hands on to others.
    pub fn own_paths(&self) -> impl Iterator<Item = &(String, usize)> {
        let only_handed_on: BTreeSet<&str> = self
            .uses
            .iter()
            .filter(|used| used.is_public && self.names.get(&used.name) == Some(&1))
            .map(|used| used.path.as_str())
            .collect();
        self.paths.iter().filter(move |(path, _)| !only_handed_on.contains(path.as_str()))
    }

    /// Whether a comment stands in this line or in the one above.
    pub fn has_a_comment_at(&self, line: usize) -> bool {
        self.lines[line.saturating_sub(2)..line].iter().any(|line| line.contains("// "))
    }

    fn look_at(&mut self, tokens: TokenStream, modules_of_tests: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        // In a `use`: whether that is for others too.
        let mut used = None;
        while at < tokens.len() {
            if is_for_tests(&tokens[at..]) {
                let first = line_of(tokens[at].span());
                at += 2;
                at += self.item(&tokens[at..], modules_of_tests);
                self.lines_of_code -= tokens[at - 1].span().end().line + 1 - first;
                continue;
            }
            match &tokens[at] {
                // Who may see something is no path to it.
                TokenTree::Ident(word) if word == "pub" => {
                    if matches!(tokens.get(at + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
                    {
                        at += 1;
                    }
                }
                TokenTree::Ident(word) if word == "use" => {
                    let is_public = match at.checked_sub(1).map(|before| &tokens[before]) {
                        Some(TokenTree::Ident(before)) => before == "pub",
                        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
                        _ => false,
                    };
                    used = Some(is_public);
                }
                TokenTree::Punct(end) if end.as_char() == ';' => used = None,
                TokenTree::Ident(_) => {
                    let begins_with_crate = at >= 2 && is_path_separator(&tokens[at - 2..]);
                    let root = [String::new()];
                    let before = if begins_with_crate { &root[..] } else { &[] };
                    at += self.path(before, &tokens[at..], used);
                    continue;
                }
                TokenTree::Punct(dot) if dot.as_char() == '.' => self.call(&tokens[at + 1..]),
                TokenTree::Group(group) => self.look_at(group.stream(), modules_of_tests),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// The length of the item that begins here, which is for tests only.
    fn item(&mut self, tokens: &[TokenTree], modules_of_tests: &mut Vec<String>) -> usize {
        let end = tokens.iter().position(|token| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        });
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(_), ..] = tokens {
            if keyword == "mod" {
                modules_of_tests.push(name.to_string());
            }
        }
        end.map_or(tokens.len(), |end| end + 1)
    }

    /// Notes the path that begins here, or the paths when it ends in braces; `before` is what stands before the braces. The
    /// number of tokens that it has.
    fn path(&mut self, before: &[String], tokens: &[TokenTree], used: Option<bool>) -> usize {
        let mut parts = before.to_vec();
        let mut at = 0;
        let line = line_of(tokens[0].span());
        while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
            parts.push(ident.to_string());
            *self.names.entry(ident.to_string()).or_default() += 1;
            at += 1;
            if !is_path_separator(&tokens[at..]) {
                break;
            }
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(_)) => at += 2,
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for piece in inner
                        .split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','))
                    {
                        if !piece.is_empty() {
                            self.path(&parts, piece, used);
                        }
                    }
                    return at + 3;
                }
                // A glob, or type arguments.
                _ => break,
            }
        }
        let is_macro = matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
            && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
        let last = parts.last().cloned().unwrap_or_default();
        self.words.push((if is_macro { format!("{last}!") } else { last }, line));
        // One word alone is a path in a `use`, and a crate's name stands nowhere else.
        if let Some(path) = self.rooted(parts) {
            if let Some(is_public) = used {
                let renamed = match (tokens.get(at), tokens.get(at + 1)) {
                    (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(name))) if word == "as" => {
                        Some(name.to_string())
                    }
                    _ => None,
                };
                let name =
                    renamed.or_else(|| Some(path.rsplit("::").next()?.to_string())).unwrap_or_default();
                self.uses.push(Use { name, path: path.clone(), is_public });
            }
            self.paths.push((path, line));
        }
        at
    }

    fn rooted(&self, mut parts: Vec<String>) -> Option<String> {
        if parts.last().is_some_and(|last| last == "self") && parts.len() > 1 {
            parts.pop();
        }
        let is_root = self.module.is_empty();
        let rest = match parts.first()?.as_str() {
            "crate" => parts.split_off(1),
            "self" if parts.len() > 1 => [self.module.clone(), parts.split_off(1)].concat(),
            "super" => {
                let ups = parts.iter().take_while(|part| *part == "super").count();
                // In a function inside an inline module one more is meant, but there are none outside tests.
                let base = self.module.get(..self.module.len().saturating_sub(ups)).unwrap_or_default();
                [base, &parts[ups..]].concat()
            }
            // At the root, rooms are named as they are.
            first if is_root && parts.len() > 1 && is_room(first) => parts,
            // `::http::Method` is the crate's, whatever room has its name.
            "" => return Some(parts.split_off(1).join("::")),
            _ => return Some(parts.join("::")),
        };
        Some(std::iter::once("crate".to_string()).chain(rest).collect::<Vec<_>>().join("::"))
    }

    /// What is called after a dot.
    fn call(&mut self, tokens: &[TokenTree]) {
        let [TokenTree::Ident(name), TokenTree::Group(arguments), ..] = tokens else { return };
        let first = arguments.stream().into_iter().next();
        let line = line_of(name.span());
        match (name.to_string().as_str(), first) {
            ("unwrap", None) => self.words.push((".unwrap()".into(), line)),
            // Other calls of this name expect something else than a reason to panic with.
            ("expect", Some(TokenTree::Literal(_))) => self.words.push((".expect(\"".into(), line)),
            _ => {}
        }
    }
}

fn is_room(name: &str) -> bool {
    let src = root_of_project().join("src");
    src.join(name).is_dir() || src.join(format!("{name}.rs")).is_file()
}

fn line_of(span: Span) -> usize {
    span.start().line
}

/// `#[cfg(test)]`
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] => {
            hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(a), TokenTree::Punct(b), ..] if a.as_char() == ':' && b.as_char() == ':')
}

pub fn root_of_project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

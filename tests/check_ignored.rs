//! `lockgate check --source` leaves out what git ignores: the same files as git itself, for patterns that nobody has thought of.
//!
//! Trees get patterns put together by chance, in `.gitignore` at several depths and in `.git/info/exclude`, and `git
//! check-ignore` says which files those ignore. Not among them, because versions of git differ there: a literal before `**`
//! (`a**/b`), where git before 2.53 takes the stars as if a name began with them.

mod support_command;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use lockgate::scan::Scan;
use support_command::peers::GIT;
use tempfile::TempDir;

const TEST: &str = "patterns of git";
/// Sets of patterns.
const ROUNDS: u64 = 200;
/// Something to find in every file, so that the report has all that were looked at.
const DIRTY: &str = "ctx.check_hostname = False\n";

const NAMES: &[&str] = &["a", "ab", "b", "abc", "b.c", "A", "-", "]", "a b", "é", "!a", "#a", "b\\", "[a]"];
/// Parts of patterns.
const PARTS: &[&str] = &[
    "a",
    "b",
    "ab",
    "c",
    ".py",
    "é",
    "-",
    "]",
    "!",
    "#",
    " ",
    "\t",
    "\\ ",
    "\\a",
    "\\*",
    "\\\\",
    "\\",
    "*",
    "*",
    "*",
    "?",
    "?",
    "**",
    "/",
    "/",
    "/",
    "/**",
    "**/",
    "/**/",
    "/*",
    "*/",
    "***",
    "[ab]",
    "[!a]",
    "[^ab]",
    "[a-c]",
    "[c-a]",
    "[]]",
    "[]-b]",
    "[a-]",
    "[-a]",
    "[\\]]",
    "[\\a-c]",
    "[a-\\c]",
    "[[:alpha:]]",
    "[![:upper:]x]",
    "[[:punct:]]",
    "[[:space:]]",
    "[[:nothing:]]",
    "[[:]",
    "[[:a]",
    "[[a]",
    "[a",
    "[",
    "[!]",
    "[/a]",
    "[a-c-e]",
    "{a,b}",
    "\u{c}",
];

/// A small generator, so that every run tries the same (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn pattern(&mut self) -> String {
        loop {
            let mut line = self.one(&["", "", "", "!", "/", "!/", "**/"]).to_string();
            for _ in 0..=self.below(4) {
                line += self.one(PARTS);
            }
            line += self.one(&["", "", "", "/", " ", "\r"]);
            let stars = line.match_indices("**").map(|(at, _)| line[..at].chars().last());
            // What stands before two stars: see above.
            if stars.into_iter().all(|before| before.map_or(true, |before| "/*?]!".contains(before))) {
                return line;
            }
        }
    }

    fn patterns(&mut self) -> String {
        let mark = self.one(&["", "", "\u{feff}"]).to_string();
        (0..=self.below(6)).fold(mark, |text, _| text + &self.pattern() + self.one(&["\n", "\n", "\r\n"]))
    }
}

#[test]
fn the_files_that_are_looked_at_are_those_that_git_does_not_ignore() {
    let dir = TempDir::new().unwrap();
    let Some(command) = git(dir.path(), &["init", "--quiet", "."]) else { return };
    run(command, b"");
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut files = Vec::new();
    for depth in 0..4 {
        for _ in 0..24 {
            let folders: Vec<&str> = (0..depth).map(|_| chance.one(NAMES)).collect();
            let file = folders.join("/") + if depth > 0 { "/" } else { "" } + chance.one(NAMES) + ".py";
            let path = dir.path().join(&file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, DIRTY).unwrap();
            files.push(file);
        }
    }
    let all: BTreeSet<String> = files.iter().cloned().collect();
    let mut given = all.iter().cloned().collect::<Vec<_>>().join("\0");
    given.push('\0');
    let (mut ignored_in_all, mut rounds_with_some) = (0, 0);
    for _ in 0..ROUNDS {
        let mut written = vec![(".gitignore".to_string(), chance.patterns())];
        for _ in 0..chance.below(3) {
            let folder = Path::new(&files[chance.below(files.len())]).parent().unwrap();
            written.push((folder.join(".gitignore").display().to_string(), chance.patterns()));
        }
        if chance.below(3) == 0 {
            written.push((".git/info/exclude".into(), chance.patterns()));
        }
        for (name, patterns) in &written {
            fs::write(dir.path().join(name), patterns).unwrap();
        }
        let Some(command) = git(dir.path(), &["check-ignore", "--no-index", "--stdin", "-z"]) else { return };
        let said = String::from_utf8(run(command, given.as_bytes())).unwrap();
        let ignored: BTreeSet<String> = said.split_terminator('\0').map(str::to_string).collect();
        let report = Scan::new(dir.path()).run().unwrap();
        let looked_at: BTreeSet<String> = report.findings().iter().map(|found| found.file.clone()).collect();
        let expected: BTreeSet<String> = all.difference(&ignored).cloned().collect();
        let differ: Vec<&String> = looked_at.symmetric_difference(&expected).collect();
        assert!(differ.is_empty(), "{differ:?} with {written:#?}");
        ignored_in_all += ignored.len();
        rounds_with_some += usize::from(!ignored.is_empty() && ignored.len() < all.len());
        for (name, _) in written {
            fs::write(dir.path().join(name), "").unwrap();
        }
    }
    println!("{} files, {ROUNDS} sets of patterns: {ignored_in_all} ignored", all.len());
    assert!(rounds_with_some > ROUNDS as usize / 2, "{rounds_with_some}");
}

/// git in this folder, with no settings but its own; `None` when it is missing.
fn git(dir: &Path, arguments: &[&str]) -> Option<Command> {
    let mut command = GIT.command(TEST, arguments)?;
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("XDG_CONFIG_HOME", dir.join(".git")).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    Some(command)
}

/// What it writes to stdout.
fn run(mut git: Command, stdin: &[u8]) -> Vec<u8> {
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut given = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || given.write_all(stdin).unwrap());
        let output = child.wait_with_output().unwrap();
        // 1: nothing is ignored.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        output.stdout
    })
}

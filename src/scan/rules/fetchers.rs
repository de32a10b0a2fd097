//! Commands of scripts that fetch an address.
//!
//! Knows bytes. Called by `urls` and `evidence`.

use super::keys::words_of;
use crate::backports::Trim;
use crate::scan::place::is_of_name;

/// Whether a command that fetches is there.
pub(super) fn fetches(line: &[u8]) -> bool {
    const COMMANDS: &[&str] = &[
        "curl ",
        "wget ",
        "git clone ",
        "http GET ",
        "http POST ",
        "pip install ",
        "pip3 install ",
        "docker pull ",
        "aria2c ",
        "lynx ",
        "svn co ",
        "yum install ",
        "rpm -",
        "ADD ",
        "fetch ",
        "apt-key ",
        "gpg ",
    ];
    let at_word = |command: &str| {
        memchr::memmem::find(line, command.as_bytes())
            .is_some_and(|at| at == 0 || !line[at - 1].is_ascii_alphanumeric())
    };
    let last =
        line.rsplit(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty()).unwrap_or_default();
    COMMANDS.iter().any(|command| at_word(command))
        && !matches!(last, b"-x" | b"--proxy" | b"-e" | b"--referer" | b"-H")
}

/// In a script: whether the command is one of its own functions that fetch, `download "http://…"`, and the address is an argument.
pub(super) fn runs_a_fetcher(line: &[u8]) -> bool {
    const WORDS: &[&str] = &["download", "fetch", "wget", "curl", "clone", "pull", "axel", "dl"];
    let start = line.iter().rposition(|byte| b";|&(`".contains(byte)).map_or(0, |at| at + 1);
    let mut words = line[start..].split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let Some(command) =
        words.find(|word| !matches!(*word, b"if" | b"then" | b"do" | b"else" | b"!" | b"while" | b"sudo"))
    else {
        return false;
    };
    // For these commands the options are known.
    if [&b"curl"[..], b"wget", b"git", b"aria2c"].contains(&command) {
        return false;
    }
    let is_name = command.iter().all(|byte| is_of_name(*byte) || b"-.:/".contains(byte));
    let is_argument = line.trimmed_end().len() < line.len() || line.ends_with(b"\"") || line.ends_with(b"'");
    is_name && is_argument && words_of(command).any(|word| WORDS.contains(&word.as_str()))
}

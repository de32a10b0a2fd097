//! What the command writes to a terminal: text without what would steer it, in lines that fit, and colours where they are
//! wanted.
//!
//! Everything that is written to stdout goes through here, and to stderr through `logger`, so that file names, certificates and
//! the words of servers cannot steer a terminal, even when a report quotes them. Every command calls it.

use std::io::{self, IsTerminal, Write};
#[cfg(feature = "operations")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

use lockgate::internal::escape;
#[cfg(any(feature = "check", feature = "scan"))]
use lockgate::Severity;

/// The first error of stdout.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Colours,
    Plain,
}

impl Paint {
    pub(super) fn for_stderr() -> Paint {
        Paint::of(io::stderr().is_terminal())
    }

    /// Colours are for a terminal that has them, unless its user has declined them: `NO_COLOR` is set and not empty
    /// (<https://no-color.org>).
    fn of(is_terminal: bool) -> Paint {
        let is_declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !is_dumb() && !is_declined {
            Paint::Colours
        } else {
            Paint::Plain
        }
    }

    /// With the codes of ECMA-48 SGR around it.
    // Only reports use it.
    #[cfg_attr(not(any(feature = "check", feature = "scan")), allow(dead_code))]
    pub(super) fn with(self, code: &str, text: &str) -> String {
        let ([before, code, end], after) = self.around(code);
        [before, code, end, text, after].concat()
    }

    /// What stands before a text with these codes, and behind it.
    pub(super) fn around(self, code: &str) -> ([&str; 3], &str) {
        match self {
            Paint::Colours => (["\x1b[", code, "m"], "\x1b[0m"),
            Paint::Plain => ([""; 3], ""),
        }
    }
}

#[cfg(any(feature = "check", feature = "scan"))]
impl Paint {
    pub(super) fn for_stdout() -> Paint {
        Paint::of(io::stdout().is_terminal())
    }

    pub(super) fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Note => "36",
            Severity::Warning => "1;33",
            // An error, and what may come to be worse.
            _ => "1;31",
        };
        self.with(code, text)
    }
}

/// Whether the terminal knows no control codes.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// Writes text of one line or more to stdout.
pub(super) fn say(text: &str) {
    say_painted(&escape::lines_of(text.as_bytes()).to_string());
}

/// Whether what a server says is in its log.
#[cfg(feature = "operations")]
static IS_IN_LOG: AtomicBool = AtomicBool::new(false);

/// Lets a server say what it says in its log, and nothing on stdout: what collects records reads both, and knows one form.
#[cfg(feature = "operations")]
pub(super) fn say_in_log() {
    IS_IN_LOG.store(true, Ordering::Relaxed);
}

/// Writes text to stdout from a server. One whose stdout is a pipe that nobody reads is not held up by that: the log has the text.
pub(super) fn say_while_serving(text: &str) {
    #[cfg(feature = "operations")]
    if IS_IN_LOG.load(Ordering::Relaxed) {
        text.lines().for_each(|line| log::info!(target: "lockgate", "{line}"));
        return;
    }
    #[cfg(feature = "operations")]
    if !takes_more() {
        log::warn!("stdout takes nothing, so this is told here: {}", escape::line(text));
        return;
    }
    // Whatever reads stdout, or does not, is no reason to stop serving.
    if let Err(error) = try_to_write(format!("{}\n", escape::lines_of(text.as_bytes())).as_bytes()) {
        log::debug!("stdout is closed: {error}");
    }
}

/// Whether stdout takes a piece of text without waiting for its reader. A pipe that says so has room for 4 KiB (`PIPE_BUF`).
#[cfg(feature = "operations")]
fn takes_more() -> bool {
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
    // What cannot be asked is written to, and says itself what is wrong.
    !matches!(poll(&mut asked, Some(&PATIENCE)), Ok(0))
}

/// Writes JSON to stdout, with what a terminal must not get as `\uXXXX`.
pub(super) fn say_json(written: &str) {
    say_painted(&escape::json(written).to_string());
}

/// Writes text with colours to stdout. The caller has escaped what comes from elsewhere.
pub(super) fn say_painted(text: &str) {
    write(format!("{text}\n").as_bytes());
}

/// Writes bytes to stdout that need no escaping. What goes wrong is told at the end, by [`lost`].
pub(super) fn write(bytes: &[u8]) {
    if let Err(error) = try_to_write(bytes) {
        // The first error is the one to be told.
        let _ = LOST.set(error);
    }
}

/// Why stdout has not taken all, if the user has to know. A reader who has closed its pipe, as `head` does, wants no more.
pub(super) fn lost() -> Option<&'static io::Error> {
    LOST.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}

/// Writes after the lines of the log so far: both may go to one terminal.
fn try_to_write(bytes: &[u8]) -> io::Result<()> {
    log::logger().flush();
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Breaks a text into lines of at most `width` columns, unless a word is longer. The first line begins at `column`, and the
/// others with `indent` spaces.
pub(super) fn wrapped(text: &str, width: usize, column: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut at = column;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if out.is_empty() {
            at += length;
        } else if at + 1 + length > width {
            out.push_str(&format!("\n{:indent$}", ""));
            at = indent + length;
        } else {
            out.push(' ');
            at += 1 + length;
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_words_and_words_stay_whole() {
        let text = wrapped(&"word ".repeat(60), 96, 2, 4);
        assert!(text.lines().count() > 2);
        for line in text.lines() {
            assert!(line.len() <= 96, "{line}");
        }
        assert!(text.lines().nth(1).unwrap().starts_with("    word"));
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long, 96, 0, 0), long);
    }

    #[test]
    fn colours_are_there_only_when_they_are_wanted() {
        assert_eq!(Paint::Plain.with("1;31", "x"), "x");
        assert_eq!(Paint::Colours.with("1;31", "x"), "\u{1b}[1;31mx\u{1b}[0m");
        assert_eq!(Paint::of(false), Paint::Plain, "a pipe has none");
    }
}

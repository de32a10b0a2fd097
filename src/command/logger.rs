//! The command's log on stderr: which lines are written, what they look like, and which of them may wait for others. Panics
//! are in it too. Everything that goes to stderr while a server runs goes through here, in order, and its reader can hold up
//! nothing but itself. `main` starts it; `terminal`, and whatever ends the program, calls it.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::panic;
use std::sync::OnceLock;
use std::time::SystemTime;

use lockgate::internal::escape;
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::arguments::Arguments;
use super::bounded::{note, push};
#[cfg(feature = "operations")]
use super::log_format::{self, Fields, Format, SHORT_BYTES};
use super::log_writer::{LogWriter, Urgency};
#[cfg(feature = "operations")]
use super::terminal::say_in_log;
use super::terminal::Paint;

/// The longest line. It has room for the path of a request whose head is as long as it may be by default.
const LINE_BYTES: usize = 32 * 1024;
/// A thread keeps the memory of a line up to this.
const KEPT_BYTES: usize = 4 * 1024;
/// The length of the time at the beginning of a line, in the years from 1 to 9999.
const TIME_BYTES: usize = "[2026-11-23T08:49:37Z ".len();
/// The target of the lines that there is one of for each request.
const ACCESS: &str = "lockgate::access";

static LOGGER: OnceLock<Logger> = OnceLock::new();

thread_local! {
    /// This thread's last line: its memory, and its time where that is still right, are for the next one.
    static LAST: Cell<Line> = const { Cell::new(Line::new()) };
}

struct Logger {
    /// Only asked which lines are logged; it writes none.
    filter: env_logger::Logger,
    look: Look,
    /// Whether the journal reads stderr, and so the priority of each line.
    #[cfg(feature = "operations")]
    is_journal: bool,
    writer: LogWriter,
}

/// What lines look like.
#[derive(Clone, Copy)]
struct Look {
    paint: Paint,
    #[cfg(feature = "operations")]
    format: Format,
}

/// The fields that a record brings beside its text.
#[cfg(feature = "operations")]
type More<'a> = &'a dyn log::kv::Source;
#[cfg(not(feature = "operations"))]
type More<'a> = &'a ();

/// Of a line of the command's own.
#[cfg(feature = "operations")]
const NO_MORE: More<'static> = &None::<(&str, &str)>;
#[cfg(not(feature = "operations"))]
const NO_MORE: More<'static> = &();

/// A line of the log, with LF at its end.
struct Line {
    text: String,
    /// The second, since 1970, that the text begins with.
    second: Option<u64>,
}

/// `RUST_LOG` says what is logged; when it is not set, `--log` does, or `-v` and `-q`.
pub(super) fn start(arguments: &Arguments) -> io::Result<()> {
    let level = match arguments.verbosity {
        ..=-3 => LevelFilter::Off,
        -2 => LevelFilter::Error,
        -1 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    };
    let mut filter = env_logger::Builder::new();
    let given = std::env::var("RUST_LOG");
    #[cfg(feature = "operations")]
    let (given, wrong) = given.map_or_else(
        |error| (Err(error), None),
        |given| {
            let (right, wrong) = directives(&given);
            (Ok(right), wrong)
        },
    );
    match given {
        Ok(directives) => filter.parse_filters(&directives),
        #[cfg(feature = "operations")]
        Err(_) if arguments.log.is_some() => {
            filter.filter_level(level);
            filter.parse_filters(arguments.log.as_deref().unwrap_or_default())
        }
        Err(_) => {
            filter.filter_level(level);
            // It logs what clients send.
            #[cfg(feature = "demo-page")]
            filter.filter_module("tungstenite", level.min(LevelFilter::Info));
            &mut filter
        }
    };
    let filter = filter.build();
    // As env_logger reads it.
    let paint = match std::env::var("RUST_LOG_STYLE").as_deref() {
        Ok("always") => Paint::Colours,
        Ok("never") => Paint::Plain,
        _ => Paint::for_stderr(),
    };
    let look = Look {
        paint,
        #[cfg(feature = "operations")]
        format: arguments.log_format,
    };
    // A descriptor of its own: a thread that waits for the reader of stderr does not hold the lock of `io::stderr`.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    #[cfg(feature = "operations")]
    append(&stderr);
    #[cfg(feature = "operations")]
    let is_journal = is_journal(&stderr, std::env::var("JOURNAL_STREAM").ok().as_deref());
    #[cfg(not(feature = "operations"))]
    let is_journal = false;
    let notice = move |lines| {
        const WHAT: &str = "lines are missing here: stderr did not take";
        let line = Line::new();
        let line = line.with(look, Level::Warn, "lockgate::log", format_args!("{WHAT} {lines}"), NO_MORE);
        priority(is_journal, Level::Warn).to_string() + &line.text
    };
    let writer = LogWriter::start(stderr, notice)?;
    log::set_max_level(filter.filter());
    let logger = LOGGER.get_or_init(|| Logger {
        filter,
        look,
        #[cfg(feature = "operations")]
        is_journal,
        writer,
    });
    #[cfg(feature = "operations")]
    if look.format != Format::Text {
        say_in_log();
    }
    if log::set_logger(logger).is_ok() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| logger.note_panic(panic, &|| before(panic))));
    }
    // Told whatever is logged: what is left may log nothing.
    #[cfg(feature = "operations")]
    if let Some(wrong) = wrong {
        let wrong = escape::bounded(&wrong, 100);
        logger.note(
            Level::Warn,
            format_args!(
                "RUST_LOG: {wrong} is ignored; give levels, and levels of targets: info,lockgate::access=off"
            ),
        );
    }
    Ok(())
}

/// What of `RUST_LOG` env_logger takes, and what it does not, which it would tell on stderr in a form of its own.
#[cfg(feature = "operations")]
fn directives(given: &str) -> (String, Option<String>) {
    let mut parts = given.splitn(3, '/');
    let levels = parts.next().unwrap_or_default();
    let text = parts.next().map_or(String::new(), |text| format!("/{text}"));
    if parts.next().is_some() {
        return (String::new(), Some(given.into()));
    }
    let is_right = |directive: &&str| match directive.split_once('=') {
        None => true,
        Some((_, level)) => level.trim().is_empty() || level.trim().parse::<LevelFilter>().is_ok(),
    };
    let (right, wrong): (Vec<&str>, Vec<&str>) = levels.split(',').partition(is_right);
    (right.join(",") + &text, (!wrong.is_empty()).then(|| wrong.join(",")))
}

/// Writes each line at the end of a file. What rotates logs by copying and emptying a file (`copytruncate`) would otherwise find zeros
/// in front of the next line, as many as there was text.
#[cfg(feature = "operations")]
fn append(stderr: &File) {
    use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
    if stderr.metadata().is_ok_and(|file| file.is_file()) {
        // Where it cannot be set, the log is as it was.
        let _ = fcntl_getfl(stderr).and_then(|flags| fcntl_setfl(stderr, flags | OFlags::APPEND));
    }
}

/// How many lines stderr has not taken since the start.
#[cfg(feature = "operations")]
pub(super) fn dropped_lines() -> u64 {
    LOGGER.get().map_or(0, |logger| logger.writer.dropped())
}

/// The format that the settings name, before the log is started by them.
#[cfg(feature = "operations")]
static EXPECTED: OnceLock<Format> = OnceLock::new();

/// Tells in which format a failure is to be told that comes before the log is started.
#[cfg(feature = "operations")]
pub(super) fn expect(format: Format) {
    let _ = EXPECTED.set(format);
}

/// The format that the command line or the environment names, where nothing is known of a file yet.
#[cfg(feature = "operations")]
fn named() -> Option<Format> {
    let mut format = std::env::var("LOCKGATE_LOG_FORMAT").ok().and_then(|name| Format::parse(&name));
    let mut is_value = false;
    for word in std::env::args_os() {
        let word = word.to_string_lossy();
        let value = word.strip_prefix("--log-format=").or(is_value.then_some(&*word));
        format = value.and_then(Format::parse).or(format);
        is_value = word == "--log-format";
    }
    format
}

/// Writes why the command fails: a line for people, or a record where programs read the log.
pub(super) fn tell_failure(message: &str) {
    #[cfg(feature = "operations")]
    {
        let logger = LOGGER.get();
        let format = match logger {
            Some(logger) => logger.look.format,
            None => EXPECTED.get().copied().or_else(named).unwrap_or(Format::Text),
        };
        let is_journal = match logger {
            Some(logger) => logger.is_journal,
            None => io::stderr().as_fd().try_clone_to_owned().is_ok_and(|stderr| {
                is_journal(&stderr.into(), std::env::var("JOURNAL_STREAM").ok().as_deref())
            }),
        };
        let before = priority(is_journal, Level::Error);
        if format != Format::Text {
            let look = Look { paint: Paint::Plain, format };
            let line = Line::new().with(look, Level::Error, "lockgate", format_args!("{message}"), NO_MORE);
            return put(&(before.to_string() + &line.text));
        }
        tell(&format!("{before}lockgate: {}", escape::line(message)));
    }
    #[cfg(not(feature = "operations"))]
    tell(&format!("lockgate: {}", escape::line(message)));
}

/// Writes to stderr, for people, beside what stdout holds for programs and after the lines of the log so far.
pub(super) fn tell(text: &str) {
    let mut line = String::new();
    let left_out = push(&mut line, LINE_BYTES, format_args!("{}", escape::lines_of(text.as_bytes())));
    end(&mut line, left_out);
    put(&line);
}

/// Writes a line, behind those of the log so far.
fn put(line: &str) {
    match LOGGER.get() {
        Some(logger) => {
            logger.writer.add(line.as_bytes(), Urgency::AtOnce);
            logger.writer.flush();
        }
        // When stderr is closed nobody can be told.
        None => {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Logger {
    fn note_panic(&self, panic: &dyn fmt::Display, before: &dyn Fn()) {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            self.writer.flush();
            return before();
        }
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        self.note(Level::Error, format_args!("the thread {name} {panic}"));
        self.writer.flush();
    }

    /// Writes a line of the command's own, whatever is logged.
    fn note(&self, level: Level, what: fmt::Arguments<'_>) {
        let line = Line::new().with(self.look, level, "lockgate", what, NO_MORE);
        self.writer.add_with(self.priority(level), line.text.as_bytes(), Urgency::AtOnce);
    }

    fn priority(&self, level: Level) -> &'static [u8] {
        #[cfg(feature = "operations")]
        let is_journal = self.is_journal;
        #[cfg(not(feature = "operations"))]
        let is_journal = false;
        priority(is_journal, level).as_bytes()
    }
}

/// What stands before a line so that the journal knows its priority (sd-daemon(3)).
fn priority(is_journal: bool, level: Level) -> &'static str {
    match level {
        _ if !is_journal => "",
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// Whether `stream`, which the service manager has set, names stderr by its device and inode. A program that has inherited the variable
/// may write elsewhere.
#[cfg(feature = "operations")]
fn is_journal(stderr: &File, stream: Option<&str>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let named = stream.and_then(|stream| stream.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    stderr.metadata().is_ok_and(|is| named == Some((is.dev(), is.ino())))
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let urgency = if record.target() == ACCESS { Urgency::CanWait } else { Urgency::AtOnce };
        // A value that logs while it is shown gets a new one, and so does a thread at its end.
        let last = LAST.try_with(|last| last.replace(Line::new())).unwrap_or(Line::new());
        #[cfg(feature = "operations")]
        let more: More<'_> = record.key_values();
        #[cfg(not(feature = "operations"))]
        let more = NO_MORE;
        let line = last.with(self.look, record.level(), record.target(), *record.args(), more);
        self.writer.add_with(self.priority(record.level()), line.text.as_bytes(), urgency);
        if line.text.capacity() <= KEPT_BYTES {
            let _ = LAST.try_with(|last| last.set(line));
        }
    }

    fn flush(&self) {
        self.writer.flush();
    }
}

impl Line {
    const fn new() -> Line {
        Line { text: String::new(), second: None }
    }

    /// The next line. It is one line, whatever `what` holds: other crates escape nothing.
    #[inline(never)]
    fn with(
        mut self,
        look: Look,
        level: Level,
        target: &str,
        what: fmt::Arguments<'_>,
        more: More<'_>,
    ) -> Line {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).ok();
        let text = &mut self.text;
        #[cfg(feature = "operations")]
        if look.format != Format::Text {
            log_format::begin(text, look.format, now, second.is_some() && second == self.second);
            self.second = second;
            let mut fields = Fields { line: text, format: look.format, most: LINE_BYTES };
            fields.level(level);
            fields.text("target", format_args!("{target}"));
            match target {
                // Its parts are fields.
                ACCESS => fields.text("message", format_args!("request")),
                _ => fields.text("message", what),
            }
            fields.all_of(more);
            fields.end();
            return self;
        }
        if second.is_some() && second == self.second {
            // As long as it was then: `[2026-11-23T08:49:37Z `.
            text.truncate(TIME_BYTES);
        } else {
            text.clear();
            push(text, LINE_BYTES, format_args!("[{} ", lockgate::iso8601(now)));
            self.second = second;
        }
        let (code, level) = match level {
            Level::Error => ("1;31", "ERROR"),
            Level::Warn => ("33", "WARN "),
            Level::Info => ("32", "INFO "),
            Level::Debug => ("34", "DEBUG"),
            Level::Trace => ("36", "TRACE"),
        };
        let ([before, code, stop], after) = look.paint.around(code);
        for part in [before, code, stop, level, after, " ", target, "] "] {
            text.push_str(part);
        }
        let begin = text.len();
        let mut left_out = push(text, LINE_BYTES, what);
        // The usual line needs no escaping, and one look at it costs less than one at each of its parts.
        if !text[begin..].bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let plain = text.split_off(begin);
            left_out += push(text, LINE_BYTES, format_args!("{}", escape::line(&plain)));
        }
        let _ = more;
        #[cfg(feature = "operations")]
        if target != ACCESS {
            if let Some(id) = more.get("request_id".into()) {
                // Behind a long line there is still room for it. Another crate's may be anything.
                let most = LINE_BYTES.max(text.len() + SHORT_BYTES);
                push(text, most, format_args!(" (request {})", escape::shown(&id)));
            }
        }
        end(text, left_out);
        self
    }
}

fn end(line: &mut String, left_out: usize) {
    note(line, left_out);
    line.push('\n');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const INSIDE: &str = "LOCKGATE_TEST_OF_A_PANIC";

    /// Runs the test `name` again in a process of its own: what it wrote to stderr.
    fn stderr_of(name: &str, backtrace: bool) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        if backtrace {
            command.env("RUST_BACKTRACE", "1");
        }
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    }

    #[test]
    fn a_panic_comes_behind_the_lines_before_it_and_loses_none() {
        let name = "command::logger::tests::a_panic_comes_behind_the_lines_before_it_and_loses_none";
        if std::env::var_os(INSIDE).is_none() {
            for backtrace in [false, true] {
                let written = stderr_of(name, backtrace);
                let order = ["request 0\n", "request 99\n", "the sensor\x1b is gone", "request 100\n"];
                // A line of the log is escaped.
                let shown = written.replace(r"\u{1b}", "\x1b");
                assert_eq!(shown == written, backtrace, "{written}");
                let places =
                    order.map(|part| shown.find(part).unwrap_or_else(|| panic!("{part}: {written}")));
                assert!(places.windows(2).all(|two| two[0] <= two[1]), "{written}");
                assert_eq!(written.matches("is gone").count(), 1, "{written}");
                assert_eq!(written.matches("request ").count(), 101, "{written}");
                assert_eq!(written.contains("stack backtrace"), backtrace, "{written}");
            }
            return;
        }
        start(&Arguments::default()).unwrap();
        for n in 0..100 {
            log::info!(target: ACCESS, "request {n}");
        }
        let thread = std::thread::Builder::new().name("lockgate-x".into());
        assert!(thread.spawn(|| panic!("the sensor\x1b is gone")).unwrap().join().is_err());
        log::info!(target: ACCESS, "request 100");
        // As at the end of a process that calls this after the last line.
        log::logger().flush();
    }

    const PLAIN: Look = Look {
        paint: Paint::Plain,
        #[cfg(feature = "operations")]
        format: Format::Text,
    };

    fn line(what: fmt::Arguments<'_>) -> String {
        Line::new().with(PLAIN, Level::Warn, "lockgate", what, NO_MORE).text
    }

    #[test]
    fn a_line_is_one_line_and_is_cut_where_it_is_too_long() {
        let escaped = line(format_args!("a\nb\x1b{}", 'é'));
        assert!(escaped.ends_with("Z WARN  lockgate] a\\nb\\u{1b}é\n"), "{escaped}");
        for (long, bytes) in [("x", 1), ("é", 2)] {
            let line = line(format_args!("{0}{0}", long.repeat(LINE_BYTES)));
            let end = line.split_once("… (").unwrap().1;
            assert!(line.len() < LINE_BYTES + 100, "{}", line.len());
            let shown = line.matches(long).count();
            assert_eq!(end, format!("{} bytes more)\n", 2 * bytes * LINE_BYTES - bytes * shown));
        }
    }

    #[test]
    fn a_line_begins_with_the_time_that_it_has_whether_the_one_before_had_it_too_or_not() {
        let mut last = Line::new();
        for what in ["a long one", "b", "c\n"] {
            last.second = last.second.filter(|_| what != "b");
            let look = Look { paint: Paint::Colours, ..PLAIN };
            last = last.with(look, Level::Info, "x", format_args!("{what}"), NO_MORE);
            let (time, rest) = last.text.split_at(TIME_BYTES);
            assert!(time.starts_with("[20") && time.ends_with("Z "), "{time}");
            let shown = what.replace('\n', "\\n");
            assert_eq!(rest, format!("\x1b[32mINFO \x1b[0m x] {shown}\n"));
        }
    }

    #[test]
    fn a_value_that_logs_while_it_is_shown_is_no_deadlock() {
        struct Logs;
        impl fmt::Display for Logs {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                log::error!(target: "lockgate", "inner");
                f.write_str("outer")
            }
        }
        let name = "command::logger::tests::a_value_that_logs_while_it_is_shown_is_no_deadlock";
        if std::env::var_os(INSIDE).is_none() {
            let written = stderr_of(name, false);
            assert!(written.find("inner\n").is_some_and(|at| written[at..].contains("outer\n")), "{written}");
            return;
        }
        start(&Arguments::default()).unwrap();
        log::error!(target: "lockgate", "{Logs}");
        log::logger().flush();
    }
}

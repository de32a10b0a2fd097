//! The command's log on stderr: which lines are written, what they look like, and which of them may wait for others. Panics
//! are in it too. Everything that goes to stderr while a server runs goes through here, in order, and its reader can hold up
//! nothing but itself. `main` starts it; `terminal`, and whatever ends the program, calls it.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::panic;
use std::sync::OnceLock;
use std::time::SystemTime;

use lockgate::internal::escape;
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::arguments::Arguments;
use super::log_writer::{LogWriter, Urgency};
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
    paint: Paint,
    writer: LogWriter,
}

/// A line of the log, with LF at its end.
struct Line {
    text: String,
    /// The second, since 1970, that the text begins with.
    second: Option<u64>,
}

/// `RUST_LOG` says what is logged; when it is not set, `-v` and `-q` do.
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
    match std::env::var("RUST_LOG") {
        Ok(directives) => filter.parse_filters(&directives),
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
    // A descriptor of its own: a thread that waits for the reader of stderr does not hold the lock of `io::stderr`.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let notice = move |lines| {
        const WHAT: &str = "lines are missing here: stderr did not take them";
        Line::new().with(paint, Level::Warn, "lockgate::log", format_args!("{lines} {WHAT}")).text
    };
    let writer = LogWriter::start(stderr, notice)?;
    log::set_max_level(filter.filter());
    let logger = LOGGER.get_or_init(|| Logger { filter, paint, writer });
    if log::set_logger(logger).is_ok() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| logger.note_panic(panic, &|| before(panic))));
    }
    Ok(())
}

/// Writes to stderr, for people, beside what stdout holds for programs and after the lines of the log so far.
pub(super) fn tell(text: &str) {
    let mut line = String::new();
    let left_out = push(&mut line, format_args!("{}", escape::lines_of(text.as_bytes())));
    end(&mut line, left_out);
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
        let line =
            Line::new().with(self.paint, Level::Error, "lockgate", format_args!("the thread {name} {panic}"));
        self.writer.add(line.text.as_bytes(), Urgency::AtOnce);
        self.writer.flush();
    }
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
        let line = last.with(self.paint, record.level(), record.target(), *record.args());
        self.writer.add(line.text.as_bytes(), urgency);
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
    fn with(mut self, paint: Paint, level: Level, target: &str, what: fmt::Arguments<'_>) -> Line {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).ok();
        let text = &mut self.text;
        if second.is_some() && second == self.second {
            // As long as it was then: `[2026-11-23T08:49:37Z `.
            text.truncate(TIME_BYTES);
        } else {
            text.clear();
            push(text, format_args!("[{} ", lockgate::iso8601(now)));
            self.second = second;
        }
        let (code, level) = match level {
            Level::Error => ("1;31", "ERROR"),
            Level::Warn => ("33", "WARN "),
            Level::Info => ("32", "INFO "),
            Level::Debug => ("34", "DEBUG"),
            Level::Trace => ("36", "TRACE"),
        };
        let ([before, code, stop], after) = paint.around(code);
        for part in [before, code, stop, level, after, " ", target, "] "] {
            text.push_str(part);
        }
        let begin = text.len();
        let mut left_out = push(text, what);
        // The usual line needs no escaping, and one look at it costs less than one at each of its parts.
        if !text[begin..].bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let plain = text.split_off(begin);
            left_out += push(text, format_args!("{}", escape::line(&plain)));
        }
        end(text, left_out);
        self
    }
}

/// Adds to a line what it has room for. Returns how many bytes that leaves out.
fn push(line: &mut String, what: fmt::Arguments<'_>) -> usize {
    struct Bounded<'a> {
        line: &'a mut String,
        left_out: usize,
    }
    impl fmt::Write for Bounded<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut room = match self.left_out {
                0 => LINE_BYTES.saturating_sub(self.line.len()),
                _ => 0,
            };
            if text.len() <= room {
                self.line.push_str(text);
                return Ok(());
            }
            while !text.is_char_boundary(room) {
                room -= 1;
            }
            self.line.push_str(&text[..room]);
            self.left_out += text.len() - room;
            Ok(())
        }
    }
    let mut bounded = Bounded { line, left_out: 0 };
    // Only a value that cannot be shown fails, and what came before it stays.
    let _ = bounded.write_fmt(what);
    bounded.left_out
}

fn end(line: &mut String, left_out: usize) {
    if left_out > 0 {
        let _ = write!(line, "… ({left_out} bytes more)");
    }
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

    fn line(what: fmt::Arguments<'_>) -> String {
        Line::new().with(Paint::Plain, Level::Warn, "lockgate", what).text
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
            last = last.with(Paint::Colours, Level::Info, "x", format_args!("{what}"));
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

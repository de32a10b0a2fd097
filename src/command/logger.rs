//! The command's log on stderr: which lines are written, what they look like, and which of them may wait for others. Panics
//! are in it too. Everything that goes to stderr while a server runs goes through here, in order, and its reader can hold up
//! nothing but itself. `main` starts it; `terminal`, and whatever ends the program, calls it.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::SystemTime;

use env_filter::Filter;
use lockgate::internal::escape;
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::arguments::Arguments;
use super::log_writer::{LogWriter, Urgency};
use super::terminal::Paint;

/// The longest line. It has room for the path of a request whose head is as long as it may be by default.
const LINE_BYTES: usize = 32 * 1024;
/// A thread keeps the memory of a line up to this.
const KEPT_BYTES: usize = 4 * 1024;
/// The target of the lines that there is one of for each request.
const ACCESS: &str = "lockgate::access";

static LOGGER: OnceLock<Logger> = OnceLock::new();

thread_local! {
    /// The memory of this thread's last line, for its next one.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

struct Logger {
    filter: Filter,
    paint: Paint,
    writer: LogWriter,
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
    let mut filter = env_filter::Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(directives) => filter.parse(&directives),
        Err(_) => filter.filter_level(level),
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
        let what = format_args!("{lines} lines are missing here: stderr did not take them");
        line(paint, Level::Warn, "lockgate::log", what)
    };
    let writer = LogWriter::start(stderr, notice)?;
    log::set_max_level(filter.filter());
    let logger = LOGGER.get_or_init(|| Logger { filter, paint, writer });
    if log::set_logger(logger).is_ok() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| logger.note_panic(panic, &before)));
    }
    Ok(())
}

/// Writes to stderr, for people, beside what stdout holds for programs and after the lines of the log so far.
pub(super) fn tell(text: &str) {
    let text = bounded(String::new(), format_args!("{}", escape::lines_of(text.as_bytes())));
    match LOGGER.get() {
        Some(logger) => {
            logger.writer.add(text.as_bytes(), Urgency::AtOnce);
            logger.writer.flush();
        }
        // When stderr is closed nobody can be told.
        None => {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

impl Logger {
    fn note_panic(&self, panic: &PanicHookInfo<'_>, before: &dyn Fn(&PanicHookInfo<'_>)) {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            self.writer.flush();
            return before(panic);
        }
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        let what = format_args!("the thread {name} {panic}");
        self.writer.add(line(self.paint, Level::Error, "lockgate", what).as_bytes(), Urgency::AtOnce);
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
        // A value that logs while it is shown gets a new memory, and so does a thread at its end.
        let memory = LINE.try_with(Cell::take).unwrap_or_default();
        let line = line_in(memory, self.paint, record.level(), record.target(), *record.args());
        self.writer.add(line.as_bytes(), urgency);
        if line.capacity() <= KEPT_BYTES {
            let _ = LINE.try_with(|kept| kept.set(line));
        }
    }

    fn flush(&self) {
        self.writer.flush();
    }
}

fn line(paint: Paint, level: Level, target: &str, what: fmt::Arguments<'_>) -> String {
    line_in(String::new(), paint, level, target, what)
}

/// A line of the log. It is one line, whatever `what` holds.
fn line_in(memory: String, paint: Paint, level: Level, target: &str, what: fmt::Arguments<'_>) -> String {
    let time = lockgate::iso8601(SystemTime::now());
    let code = match level {
        Level::Error => "1;31",
        Level::Warn => "33",
        Level::Info => "32",
        Level::Debug => "34",
        Level::Trace => "36",
    };
    let level = paint.with(code, &format!("{level:<5}"));
    // Also for the lines of other crates, which escape nothing.
    bounded(memory, format_args!("[{time} {level} {target}] {}", escape::shown(&what)))
}

/// A text with LF at its end, cut where it is too long.
fn bounded(mut memory: String, text: fmt::Arguments<'_>) -> String {
    struct Bounded {
        text: String,
        cut: usize,
    }
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut room = if self.cut == 0 { LINE_BYTES.saturating_sub(self.text.len()) } else { 0 };
            if text.len() <= room {
                self.text.push_str(text);
                return Ok(());
            }
            while !text.is_char_boundary(room) {
                room -= 1;
            }
            self.text.push_str(&text[..room]);
            self.cut += text.len() - room;
            Ok(())
        }
    }
    memory.clear();
    let mut line = Bounded { text: memory, cut: 0 };
    // Only a value that cannot be shown fails, and what came before it stays.
    let _ = line.write_fmt(text);
    let Bounded { mut text, cut } = line;
    if cut > 0 {
        let _ = write!(text, "… ({cut} bytes more)");
    }
    text.push('\n');
    text
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
                assert!(places.is_sorted(), "{written}");
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

    #[test]
    fn a_line_is_one_line_and_is_cut_where_it_is_too_long() {
        let end = |line: String| line.split_once(" lockgate] ").unwrap().1.to_string();
        let plain = |what: fmt::Arguments<'_>| end(line(Paint::Plain, Level::Info, "lockgate", what));
        assert_eq!(plain(format_args!("a\nb\x1b{}", 'é')), "a\\nb\\u{1b}é\n");
        let long = "é".repeat(LINE_BYTES);
        let line = line(Paint::Plain, Level::Warn, "lockgate", format_args!("{long}{long}"));
        assert!(line.len() < LINE_BYTES + 100 && line.ends_with(" bytes more)\n"), "{}", line.len());
        let shown = line.matches('é').count();
        assert!(
            line.contains(&format!("é… ({} bytes more)", 4 * LINE_BYTES - 2 * shown)),
            "{}",
            &line[LINE_BYTES..]
        );
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

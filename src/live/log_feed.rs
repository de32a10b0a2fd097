//! A logger whose lines are events of a feed. The program installs it; it knows nothing of a server.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::json;

use super::event::Event;
use super::shared::Shared;
use crate::calendar::iso8601;

/// The longest text of a line, in bytes.
const MOST_TEXT: usize = 4096;

/// What a server's own threads log below `info` is caused by the sending of events as well, so each event would cause further
/// ones.
const OWN_TARGETS: [&str; 3] = ["lockgate", "rustls", "mio"];

thread_local! {
    /// Whether this thread is in the middle of a line.
    static IS_FEEDING: Cell<bool> = const { Cell::new(false) };
}

/// For as long as this thread is in the middle of a line.
struct Feeding;

impl Feeding {
    fn begin() -> Option<Feeding> {
        let was_feeding = IS_FEEDING.try_with(|is_feeding| is_feeding.replace(true)).unwrap_or(true);
        (!was_feeding).then_some(Feeding)
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        let _ = IS_FEEDING.try_with(|is_feeding| is_feeding.set(false));
    }
}

/// A logger that sends each line to the subscribers of a [`Feed`](crate::Feed), made by [`Feed::from_log`](crate::Feed::from_log). A page then shows the log of its
/// device as it grows. Each line is an event named `log` with JSON: `time`, `level`, `target` and `text`.
///
/// ```
/// use lockgate::{Feed, Router};
/// use log::LevelFilter;
///
/// let (feed, log) = Feed::from_log(LevelFilter::Info);
/// let router = Router::new().get("/api/log", feed.handler());
/// // Another logger, such as env_logger's, still gets every line: log.and(other)
/// log::set_boxed_logger(Box::new(log)).unwrap();
/// log::set_max_level(LevelFilter::Info);
///
/// log::info!("the pump runs");
/// # router.check().unwrap();
/// ```
///
/// The feed keeps the newest 1,024 lines, at most 256 KiB, and a new subscriber gets them first. A text is cut after 4 KiB.
/// Lines of lockgate, rustls and mio below `info` do not get into the feed, because the sending of an event can cause them. A
/// log tells much about a device, so subscribe only those who may know it.
pub struct FeedLog {
    feed: Arc<Shared>,
    levels: LevelFilter,
    other: Option<Box<dyn Log>>,
}

impl FeedLog {
    pub(super) fn new(feed: Arc<Shared>, levels: LevelFilter) -> FeedLog {
        FeedLog { feed, levels, other: None }
    }

    /// Passes every line on to another logger as well. That logger chooses its lines itself.
    pub fn and(mut self, other: impl Log + 'static) -> FeedLog {
        self.other = Some(Box::new(other));
        self
    }

    fn feeds(&self, metadata: &Metadata<'_>) -> bool {
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        metadata.level() <= self.levels
            && (metadata.level() <= Level::Info || !OWN_TARGETS.contains(&crate_name))
    }

    fn feed(&self, record: &Record<'_>) {
        let mut text = record.args().to_string();
        if text.len() > MOST_TEXT {
            let end = (0..=MOST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.truncate(end);
            text.push('…');
        }
        let line = json!({
            "time": iso8601(SystemTime::now()),
            "level": record.level().as_str().to_ascii_lowercase(),
            "target": record.target(),
            "text": text,
        });
        self.feed.send(Event::new(line.to_string()).name("log"));
    }
}

impl Log for FeedLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.feeds(metadata) || self.other.as_ref().is_some_and(|other| other.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(other) = &self.other {
            other.log(record);
        }
        if self.feeds(record.metadata()) {
            // A line about the feed itself, or about a value that logs when it is written, does not get into the feed.
            if let Some(_feeding) = Feeding::begin() {
                self.feed(record);
            }
        }
    }

    fn flush(&self) {
        if let Some(other) = &self.other {
            other.flush();
        }
    }
}

impl fmt::Debug for FeedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedLog").field("levels", &self.levels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;
    use crate::http::request::Request;
    use crate::live::Feed;

    fn log(logger: &dyn Log, level: Level, target: &str, text: fmt::Arguments<'_>) {
        logger.log(&Record::builder().level(level).target(target).args(text).build());
    }

    /// The lines in a feed: level, target and text.
    fn lines(feed: &Feed) -> Vec<(String, String, String)> {
        let events = feed.subscribe(&Request::get("/")).into_bytes().unwrap();
        let events = String::from_utf8(events).unwrap();
        let of = |event: &str| {
            let data = event.strip_prefix("event: log\ndata: ")?.lines().next()?;
            let line: Value = serde_json::from_str(data).ok()?;
            let text = |name: &str| Some(line[name].as_str()?.to_string());
            assert!(text("time")?.ends_with('Z'), "{data}");
            Some((text("level")?, text("target")?, text("text")?))
        };
        events
            .split_terminator("\n\n")
            .map(|event| of(event).unwrap_or_else(|| panic!("{event:?}")))
            .collect()
    }

    #[test]
    fn lines_up_to_the_level_are_events_and_those_that_sending_causes_are_not() {
        let (feed, logger) = Feed::from_log(LevelFilter::Debug);
        log(&logger, Level::Error, "pump", format_args!("it leaks:\n{}", "\u{1b}[31m \"here\""));
        log(&logger, Level::Debug, "pump::valve", format_args!("b"));
        log(&logger, Level::Trace, "pump", format_args!("too much"));
        for target in ["lockgate::server", "rustls::server", "mio::poll", "lockgate"] {
            log(&logger, Level::Debug, target, format_args!("caused by sending"));
        }
        log(&logger, Level::Info, "lockgate::access", format_args!("c"));
        log(&logger, Level::Debug, "lockgate_pump", format_args!("d"));
        let line = |level: &str, target: &str, text: &str| (level.into(), target.into(), text.into());
        let expected = [
            line("error", "pump", "it leaks:\n\u{1b}[31m \"here\""),
            line("debug", "pump::valve", "b"),
            line("info", "lockgate::access", "c"),
            line("debug", "lockgate_pump", "d"),
        ];
        assert_eq!(lines(&feed), expected);
        assert!(!logger.enabled(&Metadata::builder().level(Level::Debug).target("rustls").build()));
        assert!(logger.enabled(&Metadata::builder().level(Level::Info).target("rustls").build()));
    }

    #[test]
    fn a_value_that_logs_while_it_is_written_does_not_loop() {
        struct Logs<'l>(&'l FeedLog);
        impl fmt::Display for Logs<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                log(self.0, Level::Info, "pump", format_args!("inside {}", Logs(self.0).0.levels));
                f.write_str("outside")
            }
        }
        let (feed, logger) = Feed::from_log(LevelFilter::Info);
        log(&logger, Level::Info, "pump", format_args!("{}", Logs(&logger)));
        log(&logger, Level::Info, "pump", format_args!("after"));
        let texts: Vec<_> = lines(&feed).into_iter().map(|(.., text)| text).collect();
        assert_eq!(texts, ["outside", "after"]);
    }

    #[test]
    fn a_panic_within_a_line_does_not_silence_its_thread() {
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("as the test wants it")
            }
        }
        let (feed, logger) = Feed::from_log(LevelFilter::Info);
        let logs = || log(&logger, Level::Info, "pump", format_args!("{}", Panics));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(logs)).unwrap_err();
        log(&logger, Level::Info, "pump", format_args!("after"));
        assert_eq!(lines(&feed).len(), 1);
    }

    #[test]
    fn what_is_kept_of_a_log_is_bounded() {
        let (feed, logger) = Feed::from_log(LevelFilter::Info);
        (0..2_000).for_each(|number| log(&logger, Level::Info, "pump", format_args!("{number}")));
        let kept = lines(&feed);
        assert_eq!((kept.len(), kept[0].2.as_str()), (1_024, "976"));
        log(&logger, Level::Info, "pump", format_args!("{}ä", "x".repeat(MOST_TEXT - 1)));
        let last = lines(&feed).pop().unwrap().2;
        assert_eq!(last, format!("{}…", "x".repeat(MOST_TEXT - 1)));
        (0..200).for_each(|_| log(&logger, Level::Info, "pump", format_args!("{}", "x".repeat(10_000))));
        assert!(feed.subscribe(&Request::get("/")).into_bytes().unwrap().len() < 256 * 1024);
    }

    #[test]
    fn another_logger_gets_every_line() {
        #[derive(Clone, Default)]
        struct Other(Arc<Mutex<Vec<String>>>);
        impl Log for Other {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn log(&self, record: &Record<'_>) {
                self.0.lock().unwrap().push(record.args().to_string());
            }
            fn flush(&self) {
                self.0.lock().unwrap().push("flush".into());
            }
        }
        let other = Other::default();
        let (feed, logger) = Feed::from_log(LevelFilter::Warn);
        let logger = logger.and(other.clone());
        log(&logger, Level::Trace, "rustls", format_args!("a"));
        log(&logger, Level::Warn, "pump", format_args!("b"));
        logger.flush();
        assert!(logger.enabled(&Metadata::builder().level(Level::Trace).build()));
        assert_eq!(*other.0.lock().unwrap(), ["a", "b", "flush"]);
        assert_eq!(lines(&feed).len(), 1);
    }
}

//! Bounds the log lines about clients that were refused or cut: a client that is refused a million times must not fill the disk
//! of an appliance. At most 20 lines of each sort are written in a minute. Further lines are counted, and one line then tells
//! their number. The server and the redirect use it for everything that a client can cause as often as it likes. A request that
//! is served does not pass through it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// The most lines of one sort that are written in a window.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// Lines of the same sort share one bound. A sort is made only of the program's own words, never of a client's text, so the
/// number of sorts is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sort {
    pub target: &'static str,
    pub level: Level,
    /// The limit that was met, or what else happened; the summary names it.
    pub what: &'static str,
}

pub(crate) struct LogLimiter {
    /// The open windows, by sort. A window opens with the first line of its sort.
    windows: Mutex<Vec<(Sort, Window)>>,
    /// How often each kind of thing has happened, also where no line was written.
    #[cfg(feature = "operations")]
    totals: Mutex<Vec<(Counted, u64)>>,
    #[cfg(feature = "operations")]
    left_out: std::sync::atomic::AtomicU64,
    /// Called when lines begin to be left out: the listener's thread then calls [`settle`](LogLimiter::settle) when the window is over.
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What is counted under a name of its own.
#[cfg(feature = "operations")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub sort: Sort,
    pub about: About,
}

/// What a line tells of, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// A client was refused or cut.
    Refusal,
    /// The program's own code has failed.
    Fault,
    /// A handshake has failed.
    Handshake,
    /// Something that whoever runs the server should look at. Nobody was refused for it.
    Notice,
}

impl About {
    /// What lines of this level tell of, where nothing else is said.
    pub(crate) fn of(level: Level) -> About {
        match level {
            Level::Error => About::Fault,
            Level::Warn => About::Notice,
            _ => About::Refusal,
        }
    }
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    left_out: u64,
}

/// What is done with a line.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// The line is written. If the sort's last window still has to be summarized, its summary is written first.
    Written(Option<Summary>),
    LeftOut,
}

/// How many lines were left out, and since when.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    sort: Sort,
    left_out: u64,
    time: Duration,
}

impl LogLimiter {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> LogLimiter {
        LogLimiter {
            windows: Mutex::default(),
            #[cfg(feature = "operations")]
            totals: Mutex::default(),
            #[cfg(feature = "operations")]
            left_out: std::sync::atomic::AtomicU64::new(0),
            wake: Box::new(wake),
        }
    }

    /// Writes a line about a client, unless there were many of its sort lately. By its level it tells of a refusal, a notice or a
    /// fault.
    pub(crate) fn write(&self, sort: Sort, now: Instant, line: fmt::Arguments<'_>) {
        self.write_as(About::of(sort.level), sort, now, line);
    }

    /// The same where the level does not say what the line tells of.
    #[inline]
    pub(crate) fn write_as(&self, about: About, sort: Sort, now: Instant, line: fmt::Arguments<'_>) {
        self.count(about, sort);
        self.write_uncounted(sort, now, line);
    }

    /// Counts what has happened, where there is no line about it.
    #[inline]
    pub(crate) fn count(&self, about: About, sort: Sort) {
        #[cfg(feature = "operations")]
        {
            let what = Counted { sort, about };
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            match totals.iter_mut().find(|(known, _)| *known == what) {
                Some((_, total)) => *total += 1,
                None => totals.push((what, 1)),
            }
        }
        #[cfg(not(feature = "operations"))]
        let _ = (about, sort);
    }

    /// How often each kind of thing has happened.
    #[cfg(feature = "operations")]
    pub(crate) fn totals(&self) -> Vec<(Counted, u64)> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines were left out.
    #[cfg(feature = "operations")]
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn write_uncounted(&self, sort: Sort, now: Instant, line: fmt::Arguments<'_>) {
        if !log::log_enabled!(target: sort.target, sort.level) {
            return;
        }
        if let Entry::Written(summary) = self.enter(sort, now) {
            summary.iter().for_each(Summary::write);
            log::log!(target: sort.target, sort.level, "{line}");
        }
    }

    /// Writes a line about the request of this id, unless there were many of its sort lately.
    #[cfg(feature = "operations")]
    pub(crate) fn write_about(
        &self,
        about: About,
        sort: Sort,
        now: Instant,
        line: fmt::Arguments<'_>,
        id: &dyn fmt::Display,
    ) {
        self.count(about, sort);
        if !log::log_enabled!(target: sort.target, sort.level) {
            return;
        }
        if let Entry::Written(summary) = self.enter(sort, now) {
            summary.iter().for_each(Summary::write);
            log::log!(target: sort.target, sort.level, request_id:% = id; "{line}");
        }
    }

    /// Writes the summaries of the windows that are over. Returns the time until the end of the next window that has left lines
    /// out.
    pub(crate) fn settle(&self, now: Instant) -> Option<Duration> {
        let (summaries, next) = self.end_windows(now, WINDOW);
        summaries.iter().for_each(Summary::write);
        next
    }

    /// Writes the summaries of all windows. The server calls it when it ends.
    pub(crate) fn close(&self, now: Instant) {
        let (summaries, _) = self.end_windows(now, Duration::ZERO);
        summaries.iter().for_each(Summary::write);
    }

    fn enter(&self, sort: Sort, now: Instant) -> Entry {
        let mut windows = self.lock();
        let at = windows.iter().position(|(known, _)| *known == sort).unwrap_or_else(|| {
            windows.push((sort, Window::new(now)));
            windows.len() - 1
        });
        let window = &mut windows[at].1;
        let mut summary = None;
        if window.age(now) >= WINDOW {
            summary = window.summary(sort, now);
            *window = Window::new(now);
        }
        if window.written < LINES {
            window.written += 1;
            return Entry::Written(summary);
        }
        window.left_out += 1;
        #[cfg(feature = "operations")]
        self.left_out.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if window.left_out == 1 {
            drop(windows);
            (self.wake)();
        }
        Entry::LeftOut
    }

    /// Ends the windows of this age. Returns their summaries, and the time until the next one is due.
    fn end_windows(&self, now: Instant, age: Duration) -> (Vec<Summary>, Option<Duration>) {
        let mut summaries = Vec::new();
        let mut next = None;
        self.lock().retain(|&(sort, ref window)| {
            let left = age.saturating_sub(window.age(now));
            if left.is_zero() {
                summaries.extend(window.summary(sort, now));
            } else if window.left_out > 0 {
                next = Some(next.map_or(left, |next: Duration| next.min(left)));
            }
            !left.is_zero()
        });
        (summaries, next)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Sort, Window)>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new(now: Instant) -> Window {
        Window { began: now, written: 0, left_out: 0 }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    fn summary(&self, sort: Sort, now: Instant) -> Option<Summary> {
        (self.left_out > 0).then(|| Summary { sort, left_out: self.left_out, time: self.age(now) })
    }
}

impl Summary {
    fn write(&self) {
        log::log!(target: self.sort.target, self.sort.level, "{self}");
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { sort, left_out, time } = self;
        write!(f, "… and {left_out} more in the last {} s ({})", time.as_secs().max(1), sort.what)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    use super::*;

    fn sort(what: &'static str) -> Sort {
        Sort { target: "lockgate", level: Level::Info, what }
    }

    /// How many of `lines` lines are written.
    fn written(log_limiter: &LogLimiter, sort: Sort, lines: usize, now: Instant) -> usize {
        (0..lines).filter(|_| log_limiter.enter(sort, now) != Entry::LeftOut).count()
    }

    #[test]
    fn a_million_lines_are_a_few_and_a_sum() {
        let log_limiter = LogLimiter::new(|| {});
        let start = Instant::now();
        assert_eq!(written(&log_limiter, sort("a"), 1_000_000, start), 20);
        assert_eq!(written(&log_limiter, sort("b"), 3, start), 3, "one sort takes nothing from another");
        let half = start + WINDOW / 2;
        assert_eq!(written(&log_limiter, sort("a"), 5, half), 0);
        assert_eq!(log_limiter.end_windows(half, WINDOW), (Vec::new(), Some(WINDOW / 2)));

        let (summaries, next) = log_limiter.end_windows(start + WINDOW, WINDOW);
        let said: Vec<String> = summaries.iter().map(ToString::to_string).collect();
        assert_eq!((said, next), (vec!["… and 999985 more in the last 60 s (a)".to_string()], None));
        assert!(log_limiter.lock().is_empty(), "nothing is kept of windows that are over");
        assert_eq!(written(&log_limiter, sort("a"), 30, start + WINDOW), 20);
    }

    #[test]
    fn a_sum_that_nobody_asked_for_comes_before_the_next_line() {
        let log_limiter = LogLimiter::new(|| {});
        let start = Instant::now();
        written(&log_limiter, sort("a"), 22, start);
        let later = start + WINDOW * 5;
        let summary = Summary { sort: sort("a"), left_out: 2, time: WINDOW * 5 };
        assert_eq!(log_limiter.enter(sort("a"), later), Entry::Written(Some(summary)));
        assert_eq!(log_limiter.enter(sort("a"), later), Entry::Written(None));
        assert_eq!(log_limiter.end_windows(later + WINDOW, WINDOW), (Vec::new(), None));
    }

    #[test]
    fn who_sums_up_is_woken_once_a_window_and_at_the_end_nothing_is_left() {
        let woken = Arc::new(AtomicUsize::new(0));
        let counted = woken.clone();
        let log_limiter = LogLimiter::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let start = Instant::now();
        written(&log_limiter, sort("a"), 20, start);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        written(&log_limiter, sort("a"), 1_000, start);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let (summaries, _) = log_limiter.end_windows(start, Duration::ZERO);
        assert_eq!(summaries, [Summary { sort: sort("a"), left_out: 1_000, time: Duration::ZERO }]);
    }
}

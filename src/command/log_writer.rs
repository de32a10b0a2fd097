//! Writes lines to stderr from a thread of its own, so that no thread that serves waits for the reader of stderr.
//!
//! Lines are gathered in a buffer of a fixed size. Lines that can wait go out together, after 50 ms at most; a line that
//! cannot goes out at once, behind those before it. While nobody reads stderr, further lines are left out and counted, and
//! the count is written where they are missing. Knows bytes and times only; `logger` calls it.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a line waits for further ones.
const DELAY: Duration = Duration::from_millis(50);
/// With so many bytes the lines no longer wait.
const ENOUGH: usize = 16 * 1024;
/// The most bytes that wait to be written. As many more may be on their way to stderr.
const ROOM: usize = 64 * 1024;
/// Of these, the bytes that lines which can wait leave to the others: a full buffer still takes what the operator has to know.
const RESERVE: usize = 8 * 1024;
/// How long a thread waits for room before its line is left out. It does so once until the next lines are taken: a reader
/// who is only busy loses nothing, and one who has stopped costs each thread this time and no more.
const PATIENCE: Duration = Duration::from_millis(50);
/// In this time threads wait for room for no longer than [`PATIENCE`], all together: a reader who is slow, and takes lines again
/// and again, does not set the server's pace.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the end of the program waits for the reader of stderr.
const FAREWELL: Duration = Duration::from_secs(1);
/// After a reader of a stderr that does not block (`O_NONBLOCK`) has taken nothing.
const RETRY: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    CanWait,
    AtOnce,
}

#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// The thread waits here for lines.
    news: Condvar,
    /// Others wait here for the thread.
    progress: Condvar,
}

/// The lines that are not taken yet, and how far the thread has come.
struct Lines {
    pending: Vec<u8>,
    /// Whether a pending line cannot wait, or there are enough of them.
    at_once: bool,
    /// The lines that had no room since lines were taken last.
    left_out: u64,
    /// All lines that were left out or lost, since the start.
    #[cfg(feature = "operations")]
    dropped: u64,
    /// Whether a thread has waited for room in vain since then.
    is_stuck: bool,
    patience: Patience,
    /// How often lines were taken, and how often they were written.
    taken: u64,
    written: u64,
    /// Whether the thread waits for news, and how many others wait for the thread: nobody else is notified.
    is_asleep: bool,
    waiting: u32,
}

/// The time that threads have waited for room in the present [`PERIOD`]. When several wait at once it counts once.
#[derive(Default)]
struct Patience {
    began: Option<Instant>,
    spent: Duration,
    counted_until: Option<Instant>,
}

impl Patience {
    /// How long a thread may wait from now on.
    fn left(&mut self, now: Instant) -> Duration {
        if self.began.map_or(true, |began| now.saturating_duration_since(began) >= PERIOD) {
            (self.began, self.spent) = (Some(now), Duration::ZERO);
        }
        PATIENCE.saturating_sub(self.spent)
    }

    /// A thread has waited from then until now.
    fn spend(&mut self, from: Instant, now: Instant) {
        let from = self.counted_until.map_or(from, |counted| counted.max(from));
        self.spent += now.saturating_duration_since(from);
        self.counted_until = Some(now);
    }
}

impl LogWriter {
    /// Starts the thread that writes to `out`. `notice` is the line about so many lines that were left out.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<LogWriter> {
        let shared =
            Shared { lines: Mutex::new(Lines::new()), news: Condvar::new(), progress: Condvar::new() };
        let writer = LogWriter(Arc::new(shared));
        let shared = writer.0.clone();
        std::thread::Builder::new().name("lockgate-log".into()).spawn(move || shared.run(out, &notice))?;
        Ok(writer)
    }

    /// Adds a line, which ends with LF. It is left out when stderr has taken nothing for so long that there is no room.
    pub(super) fn add(&self, line: &[u8], urgency: Urgency) {
        self.add_with(b"", line, urgency);
    }

    /// As [`add`](LogWriter::add), with a few bytes before the line.
    pub(super) fn add_with(&self, before: &[u8], line: &[u8], urgency: Urgency) {
        let mut lines = self.0.lock();
        if !lines.has_room(line, urgency) {
            lines = self.0.await_room(lines, line, urgency);
            if !lines.has_room(line, urgency) {
                lines.left_out += 1;
                #[cfg(feature = "operations")]
                {
                    lines.dropped += 1;
                }
                return;
            }
        }
        let wakes = (!before.is_empty() && lines.add(before, urgency)) | lines.add(line, urgency);
        drop(lines);
        if wakes {
            self.0.news.notify_one();
        }
    }

    /// How many lines were left out or lost since the start.
    #[cfg(feature = "operations")]
    pub(super) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    /// Waits until the lines so far are written, for a second at most.
    pub(super) fn flush(&self) {
        let mut lines = self.0.lock();
        let all = lines.taken + u64::from(!lines.pending.is_empty());
        if lines.is_asleep && !lines.pending.is_empty() {
            self.0.news.notify_one();
        }
        lines.at_once = !lines.pending.is_empty();
        drop(self.0.await_progress(lines, FAREWELL, &|lines| lines.written >= all));
    }
}

impl Shared {
    fn run(&self, mut out: impl Write, notice: &dyn Fn(u64) -> String) {
        let mut batch = Vec::with_capacity(ROOM);
        let mut is_torn = false;
        // No pending line is older.
        let mut since = Instant::now();
        loop {
            let mut lines = self.lock();
            let left_out = loop {
                let left = match lines.due(since, Instant::now()) {
                    Some(Duration::ZERO) => break lines.take(&mut batch),
                    left => left,
                };
                lines.is_asleep = true;
                lines = match left {
                    Some(left) => {
                        self.news.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => {
                        let lines = self.news.wait(lines).unwrap_or_else(PoisonError::into_inner);
                        since = Instant::now();
                        lines
                    }
                };
                lines.is_asleep = false;
            };
            since = Instant::now();
            self.tell_progress(lines);

            if left_out > 0 {
                batch.extend_from_slice(notice(left_out).as_bytes());
            }
            let unwritten = write(&mut out, &batch, &mut is_torn);
            let mut lines = self.lock();
            if !unwritten.is_empty() {
                // The notice is the last line, and what it told is still to be told.
                let lost = unwritten.iter().filter(|byte| **byte == b'\n').count() as u64;
                lines.left_out += lost + left_out - u64::from(left_out > 0);
                #[cfg(feature = "operations")]
                {
                    lines.dropped += lost - u64::from(left_out > 0);
                }
            }
            lines.written += 1;
            self.tell_progress(lines);
            batch.clear();
        }
    }

    #[cold]
    fn await_room<'a>(
        &'a self,
        lines: MutexGuard<'a, Lines>,
        line: &[u8],
        urgency: Urgency,
    ) -> MutexGuard<'a, Lines> {
        let mut lines = lines;
        let began = Instant::now();
        let left = lines.patience.left(began);
        if left.is_zero() {
            return lines;
        }
        let mut lines =
            self.await_progress(lines, left, &|lines| lines.is_stuck || lines.has_room(line, urgency));
        lines.patience.spend(began, Instant::now());
        lines.is_stuck = !lines.has_room(line, urgency);
        lines
    }

    fn await_progress<'a>(
        &'a self,
        mut lines: MutexGuard<'a, Lines>,
        most: Duration,
        is_enough: &dyn Fn(&Lines) -> bool,
    ) -> MutexGuard<'a, Lines> {
        lines.waiting += 1;
        let waited = self.progress.wait_timeout_while(lines, most, |lines| !is_enough(lines));
        let mut lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        lines.waiting -= 1;
        lines
    }

    fn tell_progress(&self, lines: MutexGuard<'_, Lines>) {
        let is_awaited = lines.waiting > 0;
        drop(lines);
        if is_awaited {
            self.progress.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn new() -> Lines {
        Lines {
            pending: Vec::with_capacity(ROOM),
            at_once: false,
            left_out: 0,
            #[cfg(feature = "operations")]
            dropped: 0,
            is_stuck: false,
            patience: Patience::default(),
            taken: 0,
            written: 0,
            is_asleep: false,
            waiting: 0,
        }
    }

    fn has_room(&self, line: &[u8], urgency: Urgency) -> bool {
        let room = match urgency {
            Urgency::CanWait => ROOM - RESERVE,
            Urgency::AtOnce => ROOM,
        };
        self.pending.len() + line.len() <= room
    }

    /// Adds a line that has room. Returns whether the thread is to be woken.
    fn add(&mut self, line: &[u8], urgency: Urgency) -> bool {
        let was = (self.pending.is_empty(), self.at_once);
        self.pending.extend_from_slice(line);
        self.at_once |= urgency == Urgency::AtOnce || self.pending.len() >= ENOUGH;
        self.is_asleep && was != (false, self.at_once)
    }

    /// How long until the pending lines are to be written, none of which was added before `since`.
    fn due(&self, since: Instant, now: Instant) -> Option<Duration> {
        match (self.pending.is_empty(), self.at_once) {
            (true, _) => None,
            (false, true) => Some(Duration::ZERO),
            (false, false) => Some(DELAY.saturating_sub(now.saturating_duration_since(since))),
        }
    }

    /// Moves the pending lines to `batch`, which is empty. Returns how many lines are missing at their end.
    fn take(&mut self, batch: &mut Vec<u8>) -> u64 {
        std::mem::swap(&mut self.pending, batch);
        self.at_once = false;
        self.is_stuck = false;
        self.taken += 1;
        std::mem::take(&mut self.left_out)
    }
}

/// Writes as much as `out` takes. Returns the rest, which is lost. `is_torn` says whether the last line that was written
/// has no end.
fn write<'a>(out: &mut impl Write, mut bytes: &'a [u8], is_torn: &mut bool) -> &'a [u8] {
    let mut end: &[u8] = if *is_torn { b"\n" } else { b"" };
    while !bytes.is_empty() {
        let next = if end.is_empty() { bytes } else { end };
        match out.write(next) {
            Ok(written) if written > 0 => {
                *is_torn = next[written - 1] != b'\n';
                match end {
                    [] => bytes = &bytes[written..],
                    _ => end = &[],
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            // Closed by its reader, or a full disk: later lines are tried again.
            _ => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Receiver, Sender};

    use super::*;

    const AT: Duration = Duration::from_millis(1);

    /// Lines of a writer whose thread sleeps.
    fn lines() -> Lines {
        Lines { is_asleep: true, ..Lines::new() }
    }

    #[test]
    fn no_line_waits_for_longer_than_a_tenth_of_a_second() {
        assert!(DELAY < Duration::from_millis(100));
        let start = Instant::now();
        let mut lines = lines();
        assert_eq!(lines.due(start, start + DELAY), None);
        assert!(lines.add(b"a\n", Urgency::CanWait), "the first line wakes the thread");
        assert_eq!(lines.due(start, start + AT), Some(DELAY - AT));
        assert!(!lines.add(b"b\n", Urgency::CanWait), "a further one does not");
        assert_eq!(lines.due(start, start + DELAY), Some(Duration::ZERO));
        assert_eq!(lines.due(start, start + DELAY * 9), Some(Duration::ZERO));
        let mut batch = Vec::new();
        assert_eq!((lines.take(&mut batch), batch), (0, b"a\nb\n".to_vec()));
    }

    #[test]
    fn threads_wait_for_a_slow_reader_for_a_small_part_of_each_second_only() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut patience = Patience::default();
        assert_eq!(patience.left(at(0)), PATIENCE);
        patience.spend(at(0), at(20));
        // Two that wait at the same time.
        assert_eq!(patience.left(at(100)), Duration::from_millis(30));
        patience.spend(at(100), at(110));
        patience.spend(at(105), at(115));
        assert_eq!(patience.left(at(200)), Duration::from_millis(15));
        patience.spend(at(200), at(215));
        assert_eq!(patience.left(at(999)), Duration::ZERO);
        assert_eq!(patience.left(at(1000)), PATIENCE);
    }

    #[test]
    fn what_cannot_wait_goes_out_at_once_behind_what_came_before() {
        let now = Instant::now();
        let mut lines = lines();
        lines.add(b"request\n", Urgency::CanWait);
        assert!(lines.add(b"warning\n", Urgency::AtOnce));
        assert_eq!(lines.due(now, now), Some(Duration::ZERO));
        assert!(!lines.add(b"warning\n", Urgency::AtOnce), "the thread is awake already");
        let mut batch = Vec::new();
        lines.take(&mut batch);
        assert_eq!(batch, b"request\nwarning\nwarning\n");
        lines.add(b"request\n", Urgency::CanWait);
        assert_eq!(lines.due(now, now), Some(DELAY), "the next line waits again");
    }

    #[test]
    fn enough_lines_do_not_wait_and_the_last_room_is_for_what_the_operator_has_to_know() {
        let now = Instant::now();
        let mut lines = lines();
        let line = [b'x'; 1024];
        let mut woken = 0;
        while lines.has_room(&line, Urgency::CanWait) {
            woken += u32::from(lines.add(&line, Urgency::CanWait));
        }
        assert_eq!(lines.due(now, now), Some(Duration::ZERO));
        assert_eq!(woken, 2, "for the first line, and when there were enough");
        assert_eq!(lines.pending.len(), ROOM - RESERVE);
        while lines.has_room(&line, Urgency::AtOnce) {
            lines.add(&line, Urgency::AtOnce);
        }
        assert_eq!(lines.pending.len(), ROOM);
    }

    /// What stderr answers to a write: how much it takes, or why nothing.
    type Answer = Result<usize, ErrorKind>;

    /// A stderr that tells what it was given, and answers what the test says.
    struct Scripted {
        given: Sender<String>,
        answers: Receiver<Answer>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test may be over.
            let _ = self.given.send(String::from_utf8(bytes.to_vec()).unwrap());
            match self.answers.recv().unwrap_or(Ok(usize::MAX)) {
                Ok(most) => Ok(bytes.len().min(most)),
                Err(kind) => Err(kind.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (LogWriter, Receiver<String>, Sender<Answer>) {
        let ((given, seen), (script, answers)) = (channel(), channel());
        let notice = |lines| format!("{lines} are missing\n");
        (LogWriter::start(Scripted { given, answers }, notice).unwrap(), seen, script)
    }

    #[test]
    fn what_a_full_stderr_does_not_take_is_counted_where_it_is_missing() {
        let (writer, seen, script) = scripted();
        writer.add(b"first\n", Urgency::AtOnce);
        assert_eq!(seen.recv().unwrap(), "first\n");
        // Its write does not return.
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..100 {
            writer.add(&line, Urgency::CanWait);
        }
        script.send(Ok(usize::MAX)).unwrap();
        let fit = (ROOM - RESERVE) / 1024;
        let batch = seen.recv().unwrap();
        assert_eq!(batch.matches("x\n").count(), fit);
        assert!(batch.ends_with(&format!("x\n{} are missing\n", 100 - fit)), "{batch}");
        script.send(Ok(usize::MAX)).unwrap();
        writer.add(b"later\n", Urgency::AtOnce);
        assert_eq!(seen.recv().unwrap(), "later\n");
        #[cfg(feature = "operations")]
        assert_eq!(writer.dropped(), 100 - fit as u64);
    }

    #[test]
    fn what_is_lost_to_an_error_is_counted_and_a_torn_line_ends_before_the_next() {
        let (writer, seen, script) = scripted();
        let send = |line: &str, answers: &[Answer]| {
            for answer in answers {
                script.send(*answer).unwrap();
            }
            writer.add(line.as_bytes(), Urgency::AtOnce);
            writer.flush();
            seen.try_iter().collect::<Vec<_>>()
        };
        let full = Err(ErrorKind::OutOfMemory);
        assert_eq!(send("a\nb\nc\n", &[Ok(3), full]), ["a\nb\nc\n", "\nc\n"], "the rest is tried");
        assert_eq!(send("d\n", &[full]), ["\n"]);
        // Interrupted and not ready are no errors.
        let kinds =
            [Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock), Ok(1), Err(ErrorKind::BrokenPipe)];
        assert_eq!(send("e\n", &kinds), ["\n", "\n", "\n", "e\n3 are missing\n"]);
        assert_eq!(send("f\n", &[Ok(99)]), ["f\n4 are missing\n"]);
        #[cfg(feature = "operations")]
        assert_eq!(writer.dropped(), 4);
    }

    #[test]
    fn a_flush_does_not_wait_for_ever() {
        let (writer, seen, script) = scripted();
        writer.add(b"first\n", Urgency::AtOnce);
        seen.recv().unwrap();
        writer.add(b"second\n", Urgency::CanWait);
        // Nobody reads.
        writer.flush();
        script.send(Ok(usize::MAX)).unwrap();
        script.send(Ok(usize::MAX)).unwrap();
        writer.flush();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["second\n"]);
    }

    #[test]
    fn lines_of_many_threads_stay_whole_and_in_order_and_each_is_written_or_counted() {
        const EACH: usize = 10_000;
        let (reader, stderr) = std::os::unix::net::UnixStream::pair().unwrap();
        let writer = LogWriter::start(stderr, |lines| format!("{lines} are missing\n")).unwrap();
        let read = std::thread::spawn(move || {
            let mut last = [None; 4];
            let mut told = 0;
            for line in io::BufRead::lines(io::BufReader::new(reader)) {
                let line = line.unwrap();
                let words: Vec<&str> = line.split(' ').collect();
                if let [lines, "are", "missing"] = words[..] {
                    told += lines.parse::<usize>().unwrap();
                } else {
                    let [thread, n, again] = words[..] else { panic!("{line}") };
                    assert_eq!(thread, again, "{line}");
                    let (thread, n): (usize, usize) = (thread.parse().unwrap(), n.parse().unwrap());
                    assert!(last[thread].map_or(true, |last| last < n), "{line} after {last:?}");
                    last[thread] = Some(n);
                    told += 1;
                }
                if told > 4 * EACH {
                    return;
                }
            }
        });
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let writer = writer.clone();
                scope.spawn(move || {
                    for n in 0..EACH {
                        let urgency = if n % 100 == 0 { Urgency::AtOnce } else { Urgency::CanWait };
                        writer.add(format!("{thread} {n} {thread}\n").as_bytes(), urgency);
                    }
                });
            }
        });
        // What was left out last is told with the next line; only a busy machine leaves out any.
        writer.add(b"0 99999 0\n", Urgency::AtOnce);
        read.join().unwrap();
    }
}

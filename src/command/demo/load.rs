//! How busy this machine is, measured each second while a page looks, and sent to a feed. Knows /proc of Linux, a feed and a
//! clock; no page and no server. The demo's page subscribes its clients here.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockgate::{Event, Feed, Request, Response};
use serde_json::json;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many measurements are kept, and how many intervals it goes on after the last page has gone. So the chart of a page that
/// comes back has no gap.
const HISTORY: usize = 120;
/// A page that has lost the demo comes back within this time once it runs again.
const RECONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The machine's load, for any number of pages.
#[derive(Debug, Clone)]
pub(super) struct Load {
    feed: Feed,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    is_measuring: bool,
    /// It goes on until then, although no page looks.
    until: Instant,
    last: Reading,
}

/// The counters of all processors at a time.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    times: Option<Times>,
}

/// The time of all processors since the system has started, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    idle: u64,
    total: u64,
}

impl Load {
    /// Reads the counters once. What the first page gets first is the average since then.
    pub(super) fn new() -> Load {
        let feed =
            Feed::builder().history(HISTORY).replay_to_all().reconnect_within(RECONNECT_WITHIN).build();
        let now = Instant::now();
        let state = State { is_measuring: false, until: now, last: Reading::now() };
        Load { feed, state: Arc::new(Mutex::new(state)) }
    }

    /// Sends the client of this request what was measured, and what will be. An idle demo measures nothing, so the first page
    /// starts it.
    pub(super) fn subscribe(&self, request: &Request<'_>) -> Response {
        let mut state = self.lock();
        state.until = Instant::now() + INTERVAL * HISTORY as u32;
        if !state.is_measuring {
            self.measure(&mut state);
            let load = self.clone();
            let spawned = thread::Builder::new().name("lockgate-load".into()).spawn(move || load.go_on());
            state.is_measuring = spawned.is_ok();
            if let Err(error) = spawned {
                log::error!("the load of this machine is not measured: no thread for it: {error}");
            }
        }
        drop(state);
        self.feed.subscribe(request)
    }

    fn go_on(&self) {
        loop {
            thread::sleep(INTERVAL);
            let mut state = self.lock();
            let now = Instant::now();
            if self.feed.subscribers() > 0 {
                state.until = now + INTERVAL * HISTORY as u32;
            } else if state.until < now {
                state.is_measuring = false;
                return;
            }
            self.measure(&mut state);
        }
    }

    /// Sends the load since the last measurement.
    fn measure(&self, state: &mut State) {
        let reading = Reading::now();
        let seconds = reading.at.saturating_duration_since(state.last.at).as_secs_f64();
        let busy = busy_between(state.last.times, reading.times);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let averages = fs::read_to_string("/proc/loadavg").ok().and_then(|text| averages(&text));
        // What has not been counted yet is in the next measurement.
        let stood_still = reading.times.is_some() && reading.times == state.last.times;
        if !stood_still {
            state.last = reading;
        }
        let event = json!({
            "at": at,
            "seconds": (seconds * 100.0).round() / 100.0,
            "busy": busy.map(|share| (share * 1000.0).round() / 10.0),
            "averages": averages,
        });
        self.feed.send(Event::new(event.to_string()).name("load"));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn now() -> Reading {
        let times = fs::read_to_string("/proc/stat").ok().and_then(|text| Times::of(&text));
        Reading { at: Instant::now(), times }
    }
}

impl Times {
    /// From the first line of /proc/stat (proc_stat(5)). The time of guests is in that of users already, and a processor that
    /// waits for a disk is idle.
    fn of(text: &str) -> Option<Times> {
        let mut fields = text.lines().next()?.split_ascii_whitespace();
        if fields.next() != Some("cpu") {
            return None;
        }
        let ticks: Vec<u64> = fields.take(8).map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let [_, _, _, idle, waiting, ..] = ticks[..] else { return None };
        let total = ticks.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
        Some(Times { idle: idle.saturating_add(waiting), total })
    }
}

/// The busy share of all processors. The counters may go back (a processor that was taken away; some containers), and a moment
/// may be too short for a tick: then it is not known.
fn busy_between(before: Option<Times>, after: Option<Times>) -> Option<f64> {
    let (before, after) = (before?, after?);
    let total = after.total.checked_sub(before.total).filter(|total| *total > 0)?;
    let idle = after.idle.saturating_sub(before.idle).min(total);
    Some((total - idle) as f64 / total as f64)
}

/// The averages of the last 1, 5 and 15 minutes (proc_loadavg(5)).
fn averages(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_those_of_all_processors() {
        let text = "cpu  100 20 30 800 50 1 2 3 40 5\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 7\n";
        assert_eq!(Times::of(text), Some(Times { idle: 850, total: 1_006 }));
        // Of Linux 2.4.
        assert_eq!(Times::of("cpu 1 2 3 4 5"), Some(Times { idle: 9, total: 15 }));
        for text in ["", "cpu", "cpu 1 2 3 4", "cpu 1 2 3 four 5", "cpu0 1 2 3 4 5", "intr 1 2 3 4 5"] {
            assert_eq!(Times::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_is_known_unless_time_stood_still_or_went_back() {
        let times = |idle, total| Some(Times { idle, total });
        assert_eq!(busy_between(times(100, 200), times(150, 300)), Some(0.5));
        assert_eq!(busy_between(times(100, 200), times(200, 300)), Some(0.0));
        assert_eq!(busy_between(times(100, 200), times(100, 300)), Some(1.0));
        // Idle time alone went back, or went too far.
        assert_eq!(busy_between(times(100, 200), times(90, 300)), Some(1.0));
        assert_eq!(busy_between(times(100, 200), times(400, 300)), Some(0.0));
        for (before, after) in [
            (times(100, 200), times(100, 200)),
            (times(100, 200), times(90, 190)),
            (None, times(1, 2)),
            (times(1, 2), None),
        ] {
            assert_eq!(busy_between(before, after), None);
        }
    }

    #[test]
    fn averages_are_three_numbers() {
        assert_eq!(averages("0.42 0.70 1.33 2/345 6789\n"), Some([0.42, 0.7, 1.33]));
        assert_eq!(averages("0.42 0.70"), None);
        assert_eq!(averages("high 0.70 1.33"), None);
    }
}

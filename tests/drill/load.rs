//! The well-behaved client of a drill, and its figures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{get, Target, Tls};

/// Between two of its requests.
const PACE: Duration = Duration::from_millis(2);
/// Every so many requests it comes over a new connection.
const NEW_EVERY: u32 = 5;

/// A client that asks politely and often, over a kept connection and over new ones, until it is told to stop.
pub struct WellBehaved {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What it saw.
pub struct Seen {
    pub failures: Vec<String>,
    times: Vec<Duration>,
}

impl WellBehaved {
    pub fn start(target: &Target) -> WellBehaved {
        let stop = Arc::new(AtomicBool::new(false));
        let (target, stopped) = (target.clone(), stop.clone());
        let thread = thread::spawn(move || ask(&target, &stopped));
        WellBehaved { stop, thread }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the well-behaved client does not panic")
    }
}

fn ask(target: &Target, stop: &AtomicBool) -> Seen {
    let mut seen = Seen { failures: Vec::new(), times: Vec::new() };
    let mut kept: Option<Tls> = None;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let began = Instant::now();
        let outcome = if count % NEW_EVERY == 0 {
            target.tls().and_then(|mut tls| get(&mut tls, "/api/data"))
        } else {
            match kept.take().map_or_else(|| target.tls(), Ok) {
                Ok(mut tls) => {
                    let reply = get(&mut tls, "/api/data");
                    kept = reply.is_ok().then_some(tls);
                    reply
                }
                Err(error) => Err(error),
            }
        };
        match outcome {
            Ok(reply) if reply.status == 200 => seen.times.push(began.elapsed()),
            Ok(reply) => seen.failures.push(reply.status.to_string()),
            Err(error) => seen.failures.push(error.to_string()),
        }
        thread::sleep(PACE);
    }
    seen
}

impl Seen {
    pub fn requests(&self) -> usize {
        self.times.len() + self.failures.len()
    }

    pub fn p99(&mut self) -> Duration {
        percentile(&mut self.times, 99)
    }
}

/// Over one second for quiet figures.
pub fn quiet_p99(target: &Target) -> Duration {
    let client = WellBehaved::start(target);
    thread::sleep(Duration::from_secs(3));
    client.stop().p99()
}

pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

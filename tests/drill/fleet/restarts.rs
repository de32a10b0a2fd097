//! Nodes that are restarted one after the other, one that is killed, one that is frozen.

use std::thread;
use std::time::{Duration, Instant};

use super::haproxy::{Mode, INTERVAL_MS};
use super::{in_both_modes, Fleet};
use crate::{Size, Verdict};

const CLIENTS: usize = 8;
/// So long clients ask before and after what a drill does.
const AROUND: Duration = Duration::from_millis(500);

/// All three, again and again: no request fails.
pub fn rolling(size: Size) -> Verdict {
    in_both_modes(size, rolling_in)
}

fn rolling_in(mode: Mode, size: Size) -> Verdict {
    let rounds = size.pick(1, 5);
    let mut fleet = match Fleet::start(mode) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let clients = fleet.clients(CLIENTS, None);
    thread::sleep(AROUND);
    let mut faults = Vec::new();
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        for at in 0..fleet.nodes.len() {
            let began = Instant::now();
            match fleet.nodes[at].stop() {
                Some(status) if status.success() => {}
                ended => faults.push(format!("round {round}, node {at} ended with {ended:?}")),
            }
            longest = longest.max(began.elapsed());
            fleet.nodes[at].start_again();
            fleet.haproxy.until(at, "UP");
        }
    }
    thread::sleep(AROUND);
    let seen = clients.stop();
    faults.extend(seen.faults());
    match fleet.plain_answer() {
        // To HAProxy's port in the configuration that is shipped, and not to a node's own.
        Ok(answer) if answer.to_ascii_lowercase().contains("\r\nlocation: https://localhost/page\r\n") => {}
        answer => faults.push(format!("plain HTTP is not redirected: {answer:?}")),
    }
    let figures = format!(
        "{rounds} rolling restarts, {} requests, {} failed, {} sent again over a new connection; the longest stop {longest:.1?}",
        seen.requests,
        seen.failures.len(),
        seen.sent_again
    );
    Verdict { figures, faults }
}

/// Only requests that were in flight on it may fail. In HTTP mode HAProxy sends most of them again. At the moment in which it notices
/// it cuts all that it has given to the node (`on-marked-down shutdown-sessions`), also what it is just about to send elsewhere, so
/// requests are in flight on the node until then.
pub fn killed(size: Size) -> Verdict {
    in_both_modes(size, killed_in)
}

fn killed_in(mode: Mode, size: Size) -> Verdict {
    let times = size.pick(2, 10);
    let mut fleet = match Fleet::start(mode) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let mut faults = Vec::new();
    let (mut requests, mut failed) = (0, 0);
    for time in 0..times {
        let clients = fleet.clients(CLIENTS, None);
        thread::sleep(AROUND);
        let at = time % fleet.nodes.len();
        fleet.nodes[at].kill();
        fleet.haproxy.until(at, "DOWN");
        let left = Instant::now();
        thread::sleep(AROUND);
        let seen = clients.stop();
        faults.extend(seen.begun_after(left));
        // A client has one request at a time.
        if seen.failures.len() > CLIENTS {
            faults.push("more failed than were in flight".to_string());
        }
        requests += seen.requests;
        failed += seen.failures.len();
        fleet.nodes[at].start_again();
        fleet.haproxy.until(at, "UP");
    }
    let figures = format!(
        "{times} times kill -9, {requests} requests, {failed} of those in flight failed, none after HAProxy left the node"
    );
    Verdict { figures, faults }
}

/// HAProxy leaves it within the interval of its checks; after that nothing fails.
pub fn frozen(size: Size) -> Verdict {
    in_both_modes(size, frozen_in)
}

fn frozen_in(mode: Mode, size: Size) -> Verdict {
    let times = size.pick(2, 10);
    let fleet = match Fleet::start(mode) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let mut faults = Vec::new();
    let (mut requests, mut failed) = (0, 0);
    let mut longest = Duration::ZERO;
    for time in 0..times {
        let clients = fleet.clients(CLIENTS, None);
        thread::sleep(AROUND);
        let at = time % fleet.nodes.len();
        fleet.nodes[at].freeze(true);
        let began = Instant::now();
        fleet.haproxy.until(at, "DOWN");
        longest = longest.max(began.elapsed());
        let left = Instant::now();
        thread::sleep(AROUND);
        let seen = clients.stop();
        faults.extend(seen.begun_after(left));
        requests += seen.requests;
        failed += seen.failures.len();
        fleet.nodes[at].freeze(false);
        fleet.haproxy.until(at, "UP");
    }
    let figures = format!(
        "{times} times SIGSTOP, {requests} requests, {failed} failed before HAProxy left the node, within {longest:.0?} \
         (a check each {INTERVAL_MS} ms, lost after as long), none after"
    );
    Verdict { figures, faults }
}

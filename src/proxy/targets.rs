//! The targets of a proxy, shared by its requests: their connections, their health and their counts. What follows from what is
//! decided in `balancer` and `ejection`; this does it. `chosen` gives requests their places here.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use log::Level;

use super::balancer::{Balancer, Busy};
use super::connection::Connection;
use super::ejection::{goes_on, Kind, News, Standing, LOOK};
use super::health::{NoTarget, ProxyHealth, RefusedTotals, TargetHealth, Totals};
use super::kept::Kept;
use super::target::{Addresses, Target};
use crate::log_limiter::{About, LogLimiter, Sort};
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::wake_list::Waker;

/// All targets of a proxy.
pub(super) struct Targets {
    state: Vec<TargetState>,
    balancer: Mutex<Balancer<Waker>>,
    /// How many requests got no target, by why.
    refused: [AtomicUsize; NoTarget::KINDS],
    /// The log of the server that watches the proxy, or else one of its own.
    log_limiter: OnceLock<Arc<LogLimiter>>,
}

/// One target, and what is kept for it.
pub(super) struct TargetState {
    pub target: Target,
    pub kept: Kept,
    pub totals: Totals,
    /// The attempt to connect that is under way, since when.
    attempt: Mutex<Option<(Connection, Instant)>>,
    /// The connection of the last request that was not answered in time, as long as the target is ejected for that.
    pub late: Mutex<Option<Connection>>,
    /// Whose turn it is of several addresses.
    turn: AtomicUsize,
    /// How often the addresses of its name had changed at the last look.
    changes: AtomicUsize,
    /// Why the last connection that was tried could not be made.
    reason: Mutex<Option<String>>,
}

/// What has become of an attempt to connect.
enum Attempt {
    Connected,
    UnderWay,
    Failed,
}

impl Targets {
    pub(super) fn new(targets: Vec<Target>, at_a_time: usize, most_waiting: usize) -> Targets {
        let balancer = Mutex::new(Balancer::new(targets.len(), at_a_time, most_waiting));
        let state = targets.into_iter().map(TargetState::new).collect();
        Targets { state, balancer, refused: Default::default(), log_limiter: OnceLock::new() }
    }

    /// Closes the connections that wait for the next request.
    pub(super) fn close_kept(&self) {
        self.state.iter().for_each(|state| state.kept.clear());
    }

    /// In the order in which they were given.
    pub(super) fn all(&self) -> impl Iterator<Item = &Target> + '_ {
        self.state.iter().map(|state| &state.target)
    }

    /// The same for the log.
    pub(super) fn names(&self) -> String {
        self.all().map(|target| &*target.name).collect::<Vec<_>>().join(" and ")
    }

    /// Why none of them can be reached, for the log.
    pub(super) fn why_not_reached(&self) -> String {
        if let [state] = &*self.state {
            return format!("it cannot be reached{}", state.reason());
        }
        let each = self.state.iter().map(|state| format!("{}{}", state.target.name, state.reason()));
        format!("they cannot be reached ({})", each.collect::<Vec<_>>().join("; "))
    }

    pub(super) fn state(&self, index: usize) -> &TargetState {
        &self.state[index]
    }

    /// Lets the name of a target be looked up again if it is time for that.
    pub(super) fn look_up(&self, index: usize, is_needed: bool, now: Instant) {
        let Some(state) = self.state.get(index) else { return };
        let Addresses::Named(name) = &state.target.found_at else { return };
        let changes = name.look_up(is_needed, now);
        // Another thread may know of more changes by now.
        if state.generation() < changes && state.changes.fetch_max(changes, Ordering::Relaxed) < changes {
            // They lead to where it was before.
            state.kept.begin_generation(changes);
            *state.attempt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn are_several(&self) -> bool {
        self.state.len() > 1
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Balancer<Waker>> {
        self.balancer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request gets no target.
    pub(super) fn refuse(&self, why: NoTarget) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> ProxyHealth {
        let (now, at) = (Instant::now(), SystemTime::now());
        let balancer = self.lock();
        let of = |(state, busy): (&TargetState, &Busy)| {
            let until = match busy.ejection.standing() {
                Standing::In => None,
                Standing::Unreachable { again, .. } => Some(again),
                Standing::Failing { until, .. } => Some(until),
            };
            TargetHealth {
                name: state.target.name.clone(),
                in_flight: busy.in_flight,
                kept: state.kept.len(),
                failures_in_a_row: busy.ejection.row(),
                ejected_until: until.map(|until| at + until.saturating_duration_since(now)),
                answers: state.totals.answers(),
                failures: state.totals.failures(),
            }
        };
        let targets = self.state.iter().zip(&balancer.targets).map(of).collect();
        let refused = |why: NoTarget| self.refused[why as usize].load(Ordering::Relaxed);
        ProxyHealth {
            targets,
            waiting: balancer.queue.len(),
            most_waiting: balancer.most_waiting,
            refused: RefusedTotals {
                queue_full: refused(NoTarget::QueueFull),
                queue_timeout: refused(NoTarget::QueueTimeout),
                unreachable: refused(NoTarget::NoneReachable),
            },
        }
    }

    /// Looks whether an ejected target is back: whether it takes connections, or has answered late.
    pub(super) fn attempt(&self, index: usize, now: Instant) {
        let Some(state) = self.state.get(index) else { return };
        let standing = self.lock().targets[index].ejection.standing();
        if matches!(standing, Standing::Failing { .. }) {
            return self.look_for_late_answer(state, index, now);
        }
        self.look_up(index, true, now);
        let attempt = state.attempt(now);
        let mut balancer = self.lock();
        let Some(busy) = balancer.targets.get_mut(index) else { return };
        let news = match attempt {
            Attempt::Connected => busy.ejection.connected(now),
            Attempt::UnderWay => {
                busy.ejection.attempt_again(now + LOOK);
                None
            }
            Attempt::Failed => {
                busy.asked = Some(now);
                None
            }
        };
        let next = news.and_then(|_| balancer.to_wake());
        drop(balancer);
        wake(next);
        self.tell(index, news, now);
    }

    /// Looks at the connection of the last request that was not answered in time. An end shows something too: a process that is
    /// stopped closes nothing.
    fn look_for_late_answer(&self, state: &TargetState, index: usize, now: Instant) {
        let mut late = state.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.as_mut().map_or(true, Connection::is_quiet) {
            return;
        }
        *late = None;
        drop(late);
        let mut balancer = self.lock();
        balancer.targets[index].ejection.answered_late(now);
        let next = balancer.to_wake();
        drop(balancer);
        wake(next);
    }

    /// Writes what has become of a target.
    pub(super) fn tell(&self, index: usize, news: Option<News>, now: Instant) {
        let (Some(news), Some(state)) = (news, self.state.get(index)) else { return };
        let name = &state.target.name;
        match news {
            News::Ejected(row, kind, pause) => {
                let why = match kind {
                    Kind::Refused => "cannot be reached",
                    Kind::ConnectTimeout => "accepts no connection in time",
                    Kind::Tls => "completes no TLS handshake",
                    Kind::Closed => "ends connections without an answer",
                    Kind::Silent => "does not answer in time",
                    Kind::Malformed => "gives answers that are not right HTTP",
                    Kind::Cut => "cuts its answers",
                };
                // The other kinds say it all.
                let reason = match kind {
                    Kind::Refused | Kind::Tls => state.reason(),
                    _ => String::new(),
                };
                let then = match pause {
                    Some(pause) => format!("it gets no requests for {} s", pause.as_secs()),
                    None => "it gets no requests until it accepts a connection again".to_string(),
                };
                let line = format!("the backend {name} {why}, {row} times in a row{reason}; {then}");
                self.log(Level::Warn, "a backend is ejected", now, format_args!("{line}"));
            }
            News::Back(time) => {
                *state.late.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let line = format!("the backend {name} is back after {:.1} s", time.as_secs_f64());
                self.log(Level::Info, "a backend is back", now, format_args!("{line}"));
            }
        }
    }

    /// Writes an error about the request of this id, as often at most.
    #[cfg(feature = "operations")]
    pub(super) fn log_about(
        &self,
        id: &RequestId,
        what: &'static str,
        now: Instant,
        line: fmt::Arguments<'_>,
    ) {
        let sort = Sort { target: "lockgate::proxy", level: Level::Error, what };
        self.log_limiter().write_about(About::Notice, sort, now, line, id);
    }

    /// Writes a line about a backend, 20 times a minute at most: a client can ask as often as it likes.
    pub(super) fn log(&self, level: Level, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        // It is no fault of this program, and `failures` of a target count what has happened there.
        let sort = Sort { target: "lockgate::proxy", level, what };
        self.log_limiter().write_as(About::Notice, sort, now, line);
    }

    /// Writes to this log from now on, which somebody sums up and counts. What is in use already stays.
    #[cfg(feature = "operations")]
    pub(super) fn log_to(&self, log_limiter: &Arc<LogLimiter>) {
        let _ = self.log_limiter.set(log_limiter.clone());
    }

    fn log_limiter(&self) -> &Arc<LogLimiter> {
        // Nobody sums up what this one leaves out before the next line, or the end.
        self.log_limiter.get_or_init(|| Arc::new(LogLimiter::new(|| ())))
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        // A server's log goes on, and it closes that itself.
        if let Some(own) = self.log_limiter.take().and_then(Arc::into_inner) {
            own.close(Instant::now());
        }
    }
}

impl TargetState {
    fn new(target: Target) -> TargetState {
        TargetState {
            target,
            kept: Kept::default(),
            totals: Totals::default(),
            attempt: Mutex::new(None),
            late: Mutex::new(None),
            turn: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            reason: Mutex::new(None),
        }
    }

    /// How often its addresses have changed. Read before an address is, so that no connection seems newer than it is.
    pub(super) fn generation(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn keep_reason(&self, reason: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The reason behind a colon, if there is one.
    fn reason(&self) -> String {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))
    }

    /// Begins to try a connection, or looks after the attempt that is under way. The connection is closed as soon as it is there:
    /// some backends serve one at a time, and would wait for a request on it.
    fn attempt(&self, now: Instant) -> Attempt {
        let mut under_way = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = under_way.take().filter(|(_, since)| goes_on(*since, now));
        let opened = match begun {
            Some(begun) => Ok(begun),
            None => {
                // Each in turn.
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                match self.target.address(turn % self.target.addresses().max(1)) {
                    Some(address) => Connection::open(&address, now).map(|connection| (connection, now)),
                    None => Err(no_address()),
                }
            }
        };
        let state =
            opened.and_then(|(connection, since)| Ok((connection.is_connected()?, connection, since)));
        match state {
            Ok((true, ..)) => Attempt::Connected,
            Ok((false, connection, since)) => {
                *under_way = Some((connection, since));
                Attempt::UnderWay
            }
            Err(error) => {
                drop(under_way);
                self.keep_reason(Some(error.to_string()));
                Attempt::Failed
            }
        }
    }
}

/// A name that has no address has not been found, or not yet.
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "its name has no address that could be looked up")
}

pub(super) fn wake(next: Option<Waker>) {
    if let Some(next) = next {
        next.wake();
    }
}

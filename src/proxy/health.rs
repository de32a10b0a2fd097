//! The health of a proxy's targets, as plain values for a device to serve or show, and the counts behind them. `targets` counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use ::http::StatusCode;

use super::ejection::Kind;

/// The health of a [`Proxy`](crate::Proxy) at one moment. With the feature `proxy`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProxyHealth {
    /// The targets, in the order in which they were given.
    pub targets: Vec<TargetHealth>,
    /// Requests that wait for a target: for room at one, or until one takes connections.
    pub waiting: usize,
    /// How many of those may wait for room: [`Proxy::queue`](crate::Proxy::queue).
    pub most_waiting: usize,
    /// Requests that got no target, from the start.
    pub refused: RefusedTotals,
}

/// How many requests a [`Proxy`](crate::Proxy) has answered itself because they got no target, by why. With the feature `proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RefusedTotals {
    /// As many as may wait were waiting: [`Proxy::queue`](crate::Proxy::queue).
    pub queue_full: usize,
    /// There was no room within [`Proxy::queue_timeout`](crate::Proxy::queue_timeout).
    pub queue_timeout: usize,
    /// No target could be reached.
    pub unreachable: usize,
}

/// The health of one target of a [`Proxy`](crate::Proxy). Totals count from the start, and begin again at 0 after their largest
/// value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetHealth {
    /// As it was given to [`Proxy::to`](crate::Proxy::to) or [`Proxy::and_to`](crate::Proxy::and_to).
    pub name: String,
    /// Requests that are there now. A tunnel counts as long as it lasts.
    pub in_flight: usize,
    /// Connections that are kept for the next requests. Some may have been closed by the target since.
    pub kept: usize,
    /// Failures since the last good answer.
    pub failures_in_a_row: u32,
    /// Until when it gets no requests, if it is ejected. A target that takes no connections is then asked for one, and a target
    /// that has not answered gets one request.
    pub ejected_until: Option<SystemTime>,
    /// Its answers, by class.
    pub answers: AnswerTotals,
    /// What has gone wrong there.
    pub failures: FailureTotals,
}

/// How many answers a target has given, by the class of their status (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AnswerTotals {
    /// 101, which begins a tunnel. Other interim responses are not counted.
    pub informational: usize,
    /// 200 to 299.
    pub successful: usize,
    /// 300 to 399.
    pub redirection: usize,
    /// 400 to 499.
    pub client_error: usize,
    /// 500 to 599.
    pub server_error: usize,
}

/// How many requests have failed at a target, by what has gone wrong. A request that was tried again counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FailureTotals {
    /// No connection: refused, not reachable, or the name has no address.
    pub refused: usize,
    /// No connection within [`connect_timeout`](crate::Proxy::connect_timeout).
    pub connect_timeout: usize,
    /// No handshake: the certificate is not the target's, say.
    pub tls: usize,
    /// The connection has ended before an answer.
    pub closed: usize,
    /// No answer within [`answer_timeout`](crate::Proxy::answer_timeout).
    pub answer_timeout: usize,
    /// An answer that is not right HTTP.
    pub malformed: usize,
    /// An answer that has stopped before its end.
    pub cut: usize,
}

/// Why a request gets no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTarget {
    QueueFull,
    QueueTimeout,
    NoneReachable,
}

impl NoTarget {
    pub(super) const KINDS: usize = 3;
}

/// What is counted at a target.
#[derive(Debug, Default)]
pub(super) struct Totals {
    answers: [AtomicUsize; 5],
    failures: [AtomicUsize; Kind::ALL.len()],
}

impl Totals {
    pub(super) fn answer(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(total) = self.answers.get(class) {
            total.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn failure(&self, kind: Kind) {
        if let Some(total) = self.failures.get(kind as usize) {
            total.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn answers(&self) -> AnswerTotals {
        let [informational, successful, redirection, client_error, server_error] =
            [0, 1, 2, 3, 4].map(|class: usize| self.answers[class].load(Ordering::Relaxed));
        AnswerTotals { informational, successful, redirection, client_error, server_error }
    }

    pub(super) fn failures(&self) -> FailureTotals {
        let of = |kind: Kind| self.failures[kind as usize].load(Ordering::Relaxed);
        FailureTotals {
            refused: of(Kind::Refused),
            connect_timeout: of(Kind::ConnectTimeout),
            tls: of(Kind::Tls),
            closed: of(Kind::Closed),
            answer_timeout: of(Kind::Silent),
            malformed: of(Kind::Malformed),
            cut: of(Kind::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_failures_by_kind() {
        let totals = Totals::default();
        for status in [101, 200, 204, 301, 404, 404, 404, 500, 599, 999] {
            totals.answer(StatusCode::from_u16(status).unwrap());
        }
        let answers = totals.answers();
        let AnswerTotals { informational, successful, redirection, client_error, server_error } = answers;
        assert_eq!([informational, successful, redirection, client_error, server_error], [1, 2, 1, 3, 2]);
        for (times, kind) in Kind::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| totals.failure(kind));
        }
        let failures = totals.failures();
        let of_connections = [failures.refused, failures.connect_timeout, failures.tls, failures.closed];
        assert_eq!(of_connections, [0, 1, 2, 3]);
        assert_eq!([failures.answer_timeout, failures.malformed, failures.cut], [4, 5, 6]);
    }
}

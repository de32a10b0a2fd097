//! Gathers the counts and states of a running server. `handle` calls it, on the thread of who asks. It takes the poller's lock for
//! a few places at a time, and no other lock for longer than a copy.

use std::time::SystemTime;

use super::counts::State;
use super::listener::ACCEPTING_FAILED;
use super::readiness;
use super::renewal::Subject;
use super::serve::Shared;
use crate::http::clear_credentials::IN_CLEAR;
use crate::limits::limit::Limit;
use crate::log_limiter::About;
use crate::operations::backend_metrics::{BackendMetrics, ProxyMetrics};
use crate::operations::counters::{Answered, Sums};
use crate::operations::metrics::{
    CertificateMetrics, DurationMetrics, HandshakeMetrics, Metrics, RefusalMetrics, RouteMetrics,
};
use crate::tls::Identity;

/// Those of a request that no server serves.
pub(super) fn of_nobody(identities: &[Identity], is_ready: bool) -> Metrics {
    let now = SystemTime::now();
    Metrics {
        at: now,
        started_at: now,
        is_ready,
        accepted: 0,
        connections: State::NAMES.map(|name| (name, 0)).to_vec(),
        most_connections: 0,
        routes: vec![RouteMetrics::of(None, Answered::default())],
        durations: DurationMetrics::of(&Sums::default().buckets, 0),
        received_bytes: 0,
        sent_bytes: 0,
        refusals: Vec::new(),
        faults: Vec::new(),
        notices: Vec::new(),
        handshakes: Vec::new(),
        failed_handshakes: Vec::new(),
        identities: identities.iter().map(|identity| certificate(identity, false)).collect(),
        missing_identities: 0,
        failed_renewals: 0,
        stale_files: Vec::new(),
        body_memory_bytes: 0,
        most_body_memory_bytes: 0,
        busy_workers: 0,
        worker_threads: 0,
        most_workers: 0,
        queued_requests: 0,
        most_queued_requests: 0,
        late_handlers: 0,
        left_out_log_lines: 0,
        dropped_log_lines: None,
        backends: Vec::new(),
        proxies: Vec::new(),
    }
}

pub(super) fn of(shared: &Shared) -> Metrics {
    let sums = shared.counts.counters.sums();
    let (queued, threads, connections) = connections(shared);
    let ByReason { refusals, faults, notices, failed_handshakes } = by_reason(shared);
    let (busy, most) = shared.workers.busy();
    let (memory, most_memory) = shared.body_memory.usage();
    let serving = shared.tls.current();
    let identities = serving.identities.iter().enumerate().map(|(index, identity)| {
        let failed = |subject| shared.renewal.failure(subject).is_some();
        certificate(identity, failed(Subject::Identity(index)) || failed(Subject::Renewal(index)))
    });
    let handshakes = shared.counts.handshakes();
    let (proxies, backends) = backends(shared);
    Metrics {
        at: SystemTime::now(),
        started_at: shared.counts.started_at,
        is_ready: readiness::is_ready(shared),
        accepted: shared.counts.accepted(),
        connections,
        most_connections: shared.connections() as u64,
        routes: routes(shared, &sums),
        durations: DurationMetrics::of(&sums.buckets, sums.nanos),
        received_bytes: sums.received,
        sent_bytes: sums.sent,
        refusals,
        faults,
        notices,
        handshakes: handshakes
            .map(|(version, is_resumed, count)| HandshakeMetrics { version, is_resumed, count })
            .collect(),
        failed_handshakes,
        identities: identities.collect(),
        missing_identities: shared.renewal.missing().len() as u64,
        failed_renewals: shared.renewal.failed(),
        stale_files: [("clients", Subject::Clients), ("ticket_keys", Subject::TicketKeys)]
            .map(|(of, subject)| (of, shared.renewal.failure(subject).is_some()))
            .to_vec(),
        body_memory_bytes: memory as u64,
        most_body_memory_bytes: most_memory as u64,
        busy_workers: busy as u64,
        worker_threads: threads,
        most_workers: most as u64,
        queued_requests: queued,
        most_queued_requests: shared.limits.queue_requests as u64,
        late_handlers: shared.router.routes.late_handlers() as u64,
        left_out_log_lines: shared.log_limiter.left_out(),
        dropped_log_lines: shared.counts.dropped_log_lines.map(|count| count()),
        backends,
        proxies,
    }
}

fn certificate(identity: &Identity, has_failed: bool) -> CertificateMetrics {
    CertificateMetrics {
        name: identity.dns_names().first().cloned().unwrap_or_default(),
        not_before: identity.not_before(),
        not_after: identity.not_after(),
        has_failed,
    }
}

/// How many requests wait for a worker, how many workers have a thread, and the connections by their state.
fn connections(shared: &Shared) -> (u64, u64, Vec<(&'static str, u64)>) {
    let mut counts = [0_u64; State::NAMES.len()];
    let mut away = 0;
    let mut next = Some(0);
    let mut queued = 0;
    let mut threads = 0;
    // The lock is given back in between, so what moves meanwhile may be told twice or not at all.
    while let Some(from) = next {
        let places = shared.poller.lock();
        next = places.survey(from, &mut |connection| match connection {
            Some(connection) => counts[connection.stage.waits_for() as usize] += 1,
            None => away += 1,
        });
        queued = places.queue.len() as u64;
        threads = places.permits.alive as u64;
    }
    counts[State::Queued as usize] = queued.min(away);
    counts[State::Working as usize] = away.saturating_sub(queued);
    (queued, threads, State::NAMES.into_iter().zip(counts).collect())
}

/// The requests by route. All methods of a pattern are together; the last is for what no route has answered.
fn routes(shared: &Shared, sums: &Sums) -> Vec<RouteMetrics> {
    let mut routes: Vec<RouteMetrics> = Vec::new();
    let mut left = sums.handlers.clone();
    for (index, pattern) in shared.router.routes.patterns() {
        let Some(answered) = left.get_mut(index).map(std::mem::take) else { continue };
        match routes.iter_mut().find(|route| route.pattern.as_ref() == Some(&pattern)) {
            Some(route) => route.add(answered),
            None => routes.push(RouteMetrics::of(Some(pattern), answered)),
        }
    }
    let mut none = RouteMetrics::of(None, Answered::default());
    left.into_iter().for_each(|answered| none.add(answered));
    routes.push(none);
    routes
}

#[derive(Default)]
struct ByReason {
    refusals: Vec<RefusalMetrics>,
    faults: Vec<(&'static str, u64)>,
    notices: Vec<(&'static str, u64)>,
    failed_handshakes: Vec<(&'static str, u64)>,
}

/// The kinds of faults, by the log's words.
const FAULTS: [&str; 22] = [
    "a bad code",
    "a bad field",
    "a faulty event",
    "a file cannot be read",
    "a handler failed",
    "a panic in a WebSocket's function",
    "a panic in a connection",
    "a panic in a handler",
    "a panic in a live response",
    "a panic in a protocol",
    "a panic in a response's reader",
    "a panic in an answer",
    "a panic in an upgraded connection",
    "a panic in on_close",
    "a panic in on_leave",
    "a panic in on_response",
    "a response's reader failed",
    "a status that is not final",
    "a thread",
    "a thread refused",
    "a value that is no JSON",
    "an answer that is not sent over plain HTTP",
];

/// What the log tells of, by its words.
fn by_reason(shared: &Shared) -> ByReason {
    let of_limit = |listener, limit: &Limit| RefusalMetrics { listener, reason: limit.name(), count: 0 };
    // What is known is there from the start, so that the first of it is an increase.
    let mut all = ByReason {
        refusals: Limit::OF_CLIENTS.iter().map(|limit| of_limit("https", limit)).collect(),
        faults: FAULTS.map(|kind| (kind, 0)).to_vec(),
        notices: vec![(ACCEPTING_FAILED, 0), (IN_CLEAR, 0)],
        ..ByReason::default()
    };
    if shared.stopping.redirect().is_some() {
        all.refusals.push(of_limit("http", &Limit::RedirectConnections));
    }
    for (counted, count) in shared.log_limiter.totals() {
        let what = counted.sort.what;
        match counted.about {
            About::Handshake => add(&mut all.failed_handshakes, what, count),
            About::Fault => add(&mut all.faults, what, count),
            About::Notice => add(&mut all.notices, what, count),
            About::Refusal => {
                let listener = if counted.sort.target == "lockgate::redirect" { "http" } else { "https" };
                let is_it = |known: &&mut RefusalMetrics| (known.listener, known.reason) == (listener, what);
                match all.refusals.iter_mut().find(is_it) {
                    Some(known) => known.count += count,
                    None => all.refusals.push(RefusalMetrics { listener, reason: what, count }),
                }
            }
        }
    }
    all
}

/// Adds to what has this name already: the same has happened on both ports, and Prometheus refuses a series that comes twice.
fn add(all: &mut Vec<(&'static str, u64)>, what: &'static str, count: u64) {
    match all.iter_mut().find(|(known, _)| *known == what) {
        Some((_, known)) => *known += count,
        None => all.push((what, count)),
    }
}

#[cfg(not(feature = "proxy"))]
fn backends(_: &Shared) -> (Vec<ProxyMetrics>, Vec<BackendMetrics>) {
    (Vec::new(), Vec::new())
}

#[cfg(feature = "proxy")]
fn backends(shared: &Shared) -> (Vec<ProxyMetrics>, Vec<BackendMetrics>) {
    let (mut proxies, mut backends) = (Vec::new(), Vec::new());
    for (name, proxy) in &shared.counts.proxies {
        let mut known: Vec<(String, usize)> = Vec::new();
        let health = proxy.health();
        let refused = health.refused;
        proxies.push(ProxyMetrics {
            name: name.clone(),
            queued_requests: health.waiting as u64,
            most_queued_requests: health.most_waiting as u64,
            refused: [
                ("queue_full", refused.queue_full),
                ("queue_timeout", refused.queue_timeout),
                ("unreachable", refused.unreachable),
            ]
            .map(|(reason, count)| (reason, count as u64))
            .to_vec(),
        });
        for mut target in health.targets {
            // A backend that was given twice has two places, and each needs a name of its own.
            match known.iter_mut().find(|(other, _)| *other == target.name) {
                Some((name, times)) => {
                    *times += 1;
                    target.name = format!("{name} ({times})");
                }
                None => known.push((target.name.clone(), 1)),
            }
            let crate::AnswerTotals { informational, successful, redirection, client_error, server_error } =
                target.answers;
            let failures = &target.failures;
            backends.push(BackendMetrics {
                proxy: name.clone(),
                name: target.name,
                is_up: target.ejected_until.is_none(),
                in_flight: target.in_flight as u64,
                answers: [informational, successful, redirection, client_error, server_error]
                    .map(|count| count as u64),
                failures: [
                    ("refused", failures.refused),
                    ("connect_timeout", failures.connect_timeout),
                    ("tls", failures.tls),
                    ("closed", failures.closed),
                    ("answer_timeout", failures.answer_timeout),
                    ("malformed", failures.malformed),
                    ("cut", failures.cut),
                ]
                .map(|(kind, count)| (kind, count as u64))
                .to_vec(),
            });
        }
    }
    (proxies, backends)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }

    /// An alert on the increase of a count does not hear of the first fault whose kind has no count before.
    #[test]
    fn each_kind_of_fault_in_the_sources_is_counted_from_the_start() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut there = BTreeSet::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for call in ["handler_call::run(", "handler_call::note(", "log_fault("] {
                for given in code.split(call).skip(1) {
                    let first = given.trim_start().strip_prefix('"').and_then(|text| text.split_once('"'));
                    there.extend(first.map(|(kind, _)| kind.to_string()));
                }
            }
            if let Some((_, given)) = code.split_once("const THREAD_REFUSED: &str = \"") {
                there.insert(given.split('"').next().unwrap().to_string());
            }
        }
        let known: BTreeSet<String> = FAULTS.iter().map(|kind| kind.to_string()).collect();
        assert_eq!(known.len(), FAULTS.len());
        assert_eq!(there, known);
    }
}

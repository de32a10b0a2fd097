//! What is counted of the backends of watched proxies, as plain values, and their text for Prometheus. `metrics` has it, `server`
//! fills it in.

use super::counters::CLASS_NAMES;
use super::exposition::{Exposition, Kind, Number};

/// A target of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendMetrics {
    /// The name of the proxy that [`watch_proxy`](crate::ServerBuilder::watch_proxy) was given.
    pub proxy: String,
    /// As it was given to the proxy.
    pub name: String,
    /// Whether it gets requests; it gets none while it is ejected.
    pub is_up: bool,
    /// Requests that are there now.
    pub in_flight: u64,
    /// Its answers by class, from 1xx to 5xx.
    pub answers: [u64; 5],
    /// What has gone wrong there, by kind.
    pub failures: Vec<(&'static str, u64)>,
}

/// A proxy as a whole: its backends have one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyMetrics {
    /// The name that [`watch_proxy`](crate::ServerBuilder::watch_proxy) was given.
    pub name: String,
    /// Requests that wait for a backend.
    pub queued_requests: u64,
    /// How many may wait for room.
    pub most_queued_requests: u64,
    /// Requests that got no backend, by why.
    pub refused: Vec<(&'static str, u64)>,
}

pub(super) fn write(text: &mut Exposition, proxies: &[ProxyMetrics], backends: &[BackendMetrics]) {
    use Kind::{Counter, Gauge};
    if proxies.is_empty() {
        return;
    }
    text.metric("lockgate_backend_up", Gauge, "1 while the backend gets requests, 0 while it is ejected.");
    for of in backends {
        text.value(&[("proxy", &of.proxy), ("backend", &of.name)], Number::Count(of.is_up.into()));
    }
    text.metric("lockgate_backend_requests", Gauge, "Requests that are at the backend now.");
    for of in backends {
        text.value(&[("proxy", &of.proxy), ("backend", &of.name)], Number::Count(of.in_flight));
    }
    text.metric("lockgate_backend_answers_total", Counter, "Answers of the backend by class.");
    for of in backends {
        for (class, count) in CLASS_NAMES.iter().zip(of.answers) {
            let labels = [("proxy", &*of.proxy), ("backend", &*of.name), ("class", class)];
            text.value(&labels, Number::Count(count));
        }
    }
    text.metric("lockgate_backend_failures_total", Counter, "What has gone wrong at the backend, by kind.");
    for of in backends {
        for (kind, count) in &of.failures {
            let labels = [("proxy", &*of.proxy), ("backend", &*of.name), ("kind", kind)];
            text.value(&labels, Number::Count(*count));
        }
    }
    text.metric("lockgate_backend_queue_requests", Gauge, "Requests that wait for a backend of the proxy.");
    for of in proxies {
        text.value(&[("proxy", &of.name)], Number::Count(of.queued_requests));
    }
    text.metric("lockgate_backend_queue_requests_limit", Gauge, "How many requests may wait for room.");
    for of in proxies {
        text.value(&[("proxy", &of.name)], Number::Count(of.most_queued_requests));
    }
    text.metric("lockgate_backend_refusals_total", Counter, "Requests that got no backend, by why.");
    for of in proxies {
        for (reason, count) in &of.refused {
            text.value(&[("proxy", &of.name), ("reason", reason)], Number::Count(*count));
        }
    }
}

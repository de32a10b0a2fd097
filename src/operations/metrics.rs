//! The counts and states of a server at one moment, as plain values, and their text for Prometheus. `server` fills them in. The
//! page `metrics.md` has a table of them.

use std::time::{Duration, SystemTime};

use super::backend_metrics::{self, BackendMetrics, ProxyMetrics};
use super::counters::{Answered, BOUNDS, CLASSES, CLASS_NAMES};
use super::exposition::{Exposition, Format, Kind, Number};
use crate::calendar::signed_unix;

/// The counts and states of a server at one moment; made by [`Handle::metrics`](crate::Handle::metrics). With the feature
/// `operations`.
///
/// Counts are from the start of the server on, and begin again at 0 after their largest value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Metrics {
    /// When.
    pub at: SystemTime,
    /// When the server was made.
    pub started_at: SystemTime,
    /// Whether it is to get new connections: see [`Handle::is_ready`](crate::Handle::is_ready).
    pub is_ready: bool,
    /// Connections that were accepted, also those that were closed at once.
    pub accepted: u64,
    /// Open connections by what they wait for, with the names of `state` in the table of [metrics](crate::metrics).
    pub connections: Vec<(&'static str, u64)>,
    /// How many may be open.
    pub most_connections: u64,
    /// Requests by the pattern of their route. The last has no pattern: requests that no route has answered.
    pub routes: Vec<RouteMetrics>,
    /// How long it took from a request's head, or its body where that is collected, to the head of its response.
    pub durations: DurationMetrics,
    /// Bytes that came from clients, as the network carries them: with TLS, without TCP.
    pub received_bytes: u64,
    /// Bytes that were sent to clients, in the same way.
    pub sent_bytes: u64,
    /// Clients that were refused or cut, by the limit that they met, or by the log's words.
    pub refusals: Vec<RefusalMetrics>,
    /// Faults of the program's own code, such as a panic in a handler, by the log's words. All kinds are there, also those with 0.
    pub faults: Vec<(&'static str, u64)>,
    /// What whoever runs the server should look at, and for which no client was refused, by the log's words.
    pub notices: Vec<(&'static str, u64)>,
    /// Completed handshakes, by the version of TLS.
    pub handshakes: Vec<HandshakeMetrics>,
    /// Handshakes that failed, by the log's words.
    pub failed_handshakes: Vec<(&'static str, u64)>,
    /// Each identity in use, the default first.
    pub identities: Vec<CertificateMetrics>,
    /// Certificates that could not be used and are not served.
    pub missing_identities: u64,
    /// Attempts that failed: to load or renew a certificate, and to read the files about clients or the ticket keys again.
    pub failed_renewals: u64,
    /// Whether the last attempt to read some files again has failed, so that the old ones hold: `clients` for those of
    /// [`ClientAuth`](crate::ClientAuth), and `ticket_keys`.
    pub stale_files: Vec<(&'static str, bool)>,
    /// Memory for request bodies that is in use: see [`Limits::body_memory_bytes`](crate::Limits::body_memory_bytes).
    pub body_memory_bytes: u64,
    /// How much may be in use.
    pub most_body_memory_bytes: u64,
    /// Workers inside handlers.
    pub busy_workers: u64,
    /// Workers that have a thread.
    pub worker_threads: u64,
    /// How many may have one: [`Limits::workers`](crate::Limits::workers) and
    /// [`Limits::reserve_workers`](crate::Limits::reserve_workers) together.
    pub most_workers: u64,
    /// Requests that wait for a worker.
    pub queued_requests: u64,
    /// How many may wait.
    pub most_queued_requests: u64,
    /// Handlers that have taken longer than their timeout and have not returned.
    pub late_handlers: u64,
    /// Lines of the log that were left out, because there were many of their sort.
    pub left_out_log_lines: u64,
    /// Lines that the program's logger could not write. `None` unless
    /// [`ServerBuilder::dropped_log_lines`](crate::ServerBuilder::dropped_log_lines) says how many there are.
    pub dropped_log_lines: Option<u64>,
    /// The targets of the proxies that were named by [`ServerBuilder::watch_proxy`](crate::ServerBuilder::watch_proxy).
    pub backends: Vec<BackendMetrics>,
    /// These proxies themselves.
    pub proxies: Vec<ProxyMetrics>,
}

/// The requests of one route, whatever their method.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteMetrics {
    /// The pattern, as it was declared. `None` for requests that no route has answered: those that were refused, and paths
    /// without a route.
    pub pattern: Option<String>,
    /// Answers by the class of their status: 1xx, 2xx, 3xx, 4xx, 5xx, and others.
    pub by_class: [u64; CLASSES],
    /// The time of all of them together.
    pub time: Duration,
}

/// How many answers took how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurationMetrics {
    /// Upper bounds, and how many answers took at most so long and longer than the bound before.
    pub buckets: Vec<(Duration, u64)>,
    /// How many took longer than the last bound.
    pub longer: u64,
    /// The time of all of them together.
    pub sum: Duration,
}

/// Clients that were refused or cut for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusalMetrics {
    /// `https`, or `http` for the redirect.
    pub listener: &'static str,
    /// The name of the limit, such as `head_timeout`, or the log's words.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// Completed handshakes of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeMetrics {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Whether the session was resumed.
    pub is_resumed: bool,
    /// How many.
    pub count: u64,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateMetrics {
    /// The first DNS name that it is for; empty if it is only for addresses.
    pub name: String,
    /// Its first second.
    pub not_before: SystemTime,
    /// Its last second.
    pub not_after: SystemTime,
    /// Whether the last attempt to load or renew it has failed.
    pub has_failed: bool,
}

/// The route of requests without one.
const NO_ROUTE: &str = "none";

impl RouteMetrics {
    /// The counts of this pattern, or of none.
    pub(crate) fn of(pattern: Option<String>, answered: Answered) -> RouteMetrics {
        RouteMetrics { pattern, by_class: answered.by_class, time: Duration::from_nanos(answered.nanos) }
    }

    /// Adds those of another handler.
    pub(crate) fn add(&mut self, answered: Answered) {
        self.by_class.iter_mut().zip(answered.by_class).for_each(|(sum, of)| *sum = sum.wrapping_add(of));
        self.time = self.time.saturating_add(Duration::from_nanos(answered.nanos));
    }
}

impl DurationMetrics {
    /// Those of the counters' buckets.
    pub(crate) fn of(buckets: &[u64], nanos: u64) -> DurationMetrics {
        let bounds = BOUNDS.iter().map(|(bound, _)| Duration::from_nanos(*bound));
        DurationMetrics {
            buckets: bounds.zip(buckets.iter().copied()).collect(),
            longer: buckets.last().copied().unwrap_or(0),
            sum: Duration::from_nanos(nanos),
        }
    }
}

impl Metrics {
    /// The text format of Prometheus, version 0.0.4. Its media type is `text/plain; version=0.0.4`.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router};
    ///
    /// // For a program that has no admin listener. Whoever reaches this handler can read it.
    /// let router = Router::new()
    ///     .get("/metrics", |request: &mut Request| Response::text(request.handle().metrics().to_prometheus()));
    /// # assert_eq!(router.call(&mut Request::get("/metrics")).status(), 200);
    /// ```
    pub fn to_prometheus(&self) -> String {
        self.write(Format::Prometheus)
    }

    /// The text format of OpenMetrics 1.0, with the same values. Its media type is
    /// `application/openmetrics-text; version=1.0.0`.
    pub fn to_openmetrics(&self) -> String {
        self.write(Format::OpenMetrics)
    }

    pub(crate) fn write(&self, format: Format) -> String {
        let mut text = Exposition::new(format);
        self.write_server(&mut text);
        self.write_requests(&mut text);
        self.write_tls(&mut text);
        backend_metrics::write(&mut text, &self.proxies, &self.backends);
        text.end()
    }

    fn write_server(&self, text: &mut Exposition) {
        use Kind::{Counter, Gauge, Info};
        text.metric("lockgate_build_info", Info, "The version of lockgate.")
            .value(&[("version", env!("CARGO_PKG_VERSION"))], Number::Count(1));
        let started = Number::At(signed_unix(self.started_at));
        text.metric("process_start_time_seconds", Gauge, "When the server was made, in seconds since 1970.")
            .value(&[], started);
        text.metric("lockgate_ready", Gauge, "1 while /readyz answers 200, else 0.")
            .value(&[], Number::Count(self.is_ready.into()));
        text.metric(
            "lockgate_connections_accepted_total",
            Counter,
            "Accepted HTTPS connections, also those that were closed at once.",
        )
        .value(&[], Number::Count(self.accepted));
        text.metric("lockgate_connections", Gauge, "Open HTTPS connections by what they wait for.");
        for (state, count) in &self.connections {
            text.value(&[("state", state)], Number::Count(*count));
        }
        for (name, kind, help, count) in [
            (
                "lockgate_connections_limit",
                Gauge,
                "How many HTTPS connections may be open.",
                self.most_connections,
            ),
            (
                "lockgate_received_bytes_total",
                Counter,
                "Bytes that came over HTTPS connections, with TLS.",
                self.received_bytes,
            ),
            (
                "lockgate_sent_bytes_total",
                Counter,
                "Bytes that were sent over HTTPS connections, with TLS.",
                self.sent_bytes,
            ),
            ("lockgate_workers_busy", Gauge, "Workers inside handlers.", self.busy_workers),
            ("lockgate_workers_threads", Gauge, "Workers that have a thread.", self.worker_threads),
            (
                "lockgate_workers_limit",
                Gauge,
                "How many workers may have a thread, with those of the reserve.",
                self.most_workers,
            ),
            ("lockgate_queue_requests", Gauge, "Requests that wait for a worker.", self.queued_requests),
            (
                "lockgate_queue_requests_limit",
                Gauge,
                "How many requests may wait for a worker.",
                self.most_queued_requests,
            ),
            (
                "lockgate_handlers_late",
                Gauge,
                "Handlers beyond their timeout that have not returned.",
                self.late_handlers,
            ),
            (
                "lockgate_body_memory_bytes",
                Gauge,
                "Memory in use for request bodies.",
                self.body_memory_bytes,
            ),
            (
                "lockgate_body_memory_limit_bytes",
                Gauge,
                "How much memory may be in use for request bodies.",
                self.most_body_memory_bytes,
            ),
            (
                "lockgate_log_lines_left_out_total",
                Counter,
                "Lines of the log that were left out, because there were many of their sort.",
                self.left_out_log_lines,
            ),
        ] {
            text.metric(name, kind, help).value(&[], Number::Count(count));
        }
        if let Some(dropped) = self.dropped_log_lines {
            text.metric(
                "lockgate_log_lines_dropped_total",
                Counter,
                "Lines of the log that were not written, because nobody took them.",
            )
            .value(&[], Number::Count(dropped));
        }
    }

    fn write_requests(&self, text: &mut Exposition) {
        text.metric(
            "lockgate_requests_total",
            Kind::Counter,
            "Answered requests by the pattern of their route and the class of the status.",
        );
        for route in &self.routes {
            let pattern = route.pattern.as_deref().unwrap_or(NO_ROUTE);
            // The usual classes are there from the start, so that the first error is an increase.
            for (at, (name, count)) in CLASS_NAMES.iter().zip(route.by_class).enumerate() {
                if count > 0 || (1..5).contains(&at) {
                    text.value(&[("route", pattern), ("class", name)], Number::Count(count));
                }
            }
        }
        text.metric(
            "lockgate_route_seconds_total",
            Kind::Counter,
            "The time until the head of the response, of all requests of a route together.",
        );
        for route in &self.routes {
            let pattern = route.pattern.as_deref().unwrap_or(NO_ROUTE);
            text.value(&[("route", pattern)], Number::Seconds(route.time));
        }
        text.metric(
            "lockgate_request_duration_seconds",
            Kind::Histogram,
            "The time until the head of the response, of the requests of all routes.",
        );
        let DurationMetrics { buckets, longer, sum } = &self.durations;
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).chain([*longer]).collect();
        text.histogram(&BOUNDS, &counts, *sum);
        text.metric(
            "lockgate_refusals_total",
            Kind::Counter,
            "Clients that were refused or cut, by the limit that they met, or by the log's words.",
        );
        for RefusalMetrics { listener, reason, count } in &self.refusals {
            text.value(&[("listener", listener), ("reason", reason)], Number::Count(*count));
        }
        text.metric(
            "lockgate_faults_total",
            Kind::Counter,
            "Faults of the program's own code, by the log's words.",
        );
        for (kind, count) in &self.faults {
            text.value(&[("kind", kind)], Number::Count(*count));
        }
        text.metric(
            "lockgate_notices_total",
            Kind::Counter,
            "What the log tells of, and for which no client was refused, by the log's words.",
        );
        for (kind, count) in &self.notices {
            text.value(&[("kind", kind)], Number::Count(*count));
        }
    }

    fn write_tls(&self, text: &mut Exposition) {
        text.metric(
            "lockgate_handshakes_total",
            Kind::Counter,
            "Completed handshakes, by version and by whether the session was resumed.",
        );
        for HandshakeMetrics { version, is_resumed, count } in &self.handshakes {
            let how = if *is_resumed { "true" } else { "false" };
            text.value(&[("version", version), ("resumed", how)], Number::Count(*count));
        }
        text.metric(
            "lockgate_handshakes_failed_total",
            Kind::Counter,
            "Handshakes that failed, by the log's words.",
        );
        for (reason, count) in &self.failed_handshakes {
            text.value(&[("reason", reason)], Number::Count(*count));
        }
        text.metric(
            "lockgate_certificate_not_before_timestamp_seconds",
            Kind::Gauge,
            "The first second of each certificate in use, in seconds since 1970.",
        );
        for (at, identity) in self.identities.iter().enumerate() {
            text.value(
                &[("identity", &at.to_string()), ("name", &identity.name)],
                Number::At(signed_unix(identity.not_before)),
            );
        }
        text.metric(
            "lockgate_certificate_not_after_timestamp_seconds",
            Kind::Gauge,
            "The last second of each certificate in use, in seconds since 1970.",
        );
        for (at, identity) in self.identities.iter().enumerate() {
            text.value(
                &[("identity", &at.to_string()), ("name", &identity.name)],
                Number::At(signed_unix(identity.not_after)),
            );
        }
        text.metric(
            "lockgate_certificate_failed",
            Kind::Gauge,
            "1 if the last attempt to load or renew the certificate has failed, else 0.",
        );
        for (at, identity) in self.identities.iter().enumerate() {
            text.value(
                &[("identity", &at.to_string()), ("name", &identity.name)],
                Number::Count(identity.has_failed.into()),
            );
        }
        text.metric(
            "lockgate_certificates_missing",
            Kind::Gauge,
            "Certificates that could not be used and are not served.",
        )
        .value(&[], Number::Count(self.missing_identities));
        text.metric(
            "lockgate_renewals_failed_total",
            Kind::Counter,
            "Attempts that failed: to load or renew a certificate, and to read the files about clients or ticket keys again.",
        )
        .value(&[], Number::Count(self.failed_renewals));
        text.metric(
            "lockgate_files_stale",
            Kind::Gauge,
            "1 if the files about clients, or the ticket keys, could not be read again and the old ones hold, else 0.",
        );
        for (of, is_stale) in &self.stale_files {
            text.value(&[("of", of)], Number::Count((*is_stale).into()));
        }
    }
}

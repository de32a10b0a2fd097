//! Every bound of the server and its default, in one place.

pub(crate) mod body_memory;
#[cfg(feature = "handler-timeout")]
pub(crate) mod handler_timeout;
pub(crate) mod limit;
pub(crate) mod lingering;
#[cfg(any(feature = "check", feature = "serve"))]
pub(crate) mod memory;
pub(crate) mod per_address;
pub(crate) mod rate;
pub(crate) mod route;
pub(crate) mod streams;

use std::time::Duration;

use self::limit::Limit;
use crate::error::Error;

/// The highest value of `Limits::head_fields`. It bounds the stack that a parse takes.
pub(crate) const MOST_FIELDS: usize = 256;

/// The bounds of a server. Every limit has a default that suits a small appliance. All timers are absolute: they run from the
/// beginning of what they bound, however slowly the bytes come.
///
/// ```
/// use std::time::Duration;
/// let mut limits = lockgate::Limits::default();
/// limits.connections = 500;
/// limits.idle_timeout = Duration::from_secs(20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open HTTPS connections. When the limit is reached and a new connection comes, the server closes another: first the
    /// connection whose request head has taken the longest, if that is more than [`stall_timeout`](Limits::stall_timeout); else
    /// the kept-alive connection that is idle the longest; else, after the same time, the connection with the slowest body or
    /// response, if that is slower than [`body_min_rate`](Limits::body_min_rate) or [`write_min_rate`](Limits::write_min_rate).
    /// A WebSocket, and a stream of events, on which nothing is to be sent counts as one that takes nothing.
    /// If there is no such connection, the new one is closed at once. The open-file limit (RLIMIT_NOFILE) can lower this
    /// number. Defaults to 10,000.
    pub connections: usize,
    /// Open HTTPS connections from one address. IPv6 addresses are counted by their /64, and by their /48 with ten times the
    /// limit. A further connection is closed at once. Defaults to 256.
    pub connections_per_address: usize,
    /// Whether [`connections_per_address`](Limits::connections_per_address),
    /// [`requests_per_address`](Limits::requests_per_address) and
    /// [`streaming_bodies_per_address`](Limits::streaming_bodies_per_address) also count loopback addresses. Defaults to
    /// `false`.
    pub count_loopback: bool,
    /// Requests a second from one address. IPv6 addresses are counted by their /64, and by their /48 with ten times the limit.
    /// A further request gets 429 with `Retry-After`. Messages of a WebSocket are not counted, only its handshake. As many requests as are allowed in a second may come at once. Loopback
    /// addresses are counted only with [`count_loopback`](Limits::count_loopback). 0 means no limit. Defaults to 0; at most
    /// 1,000,000.
    pub requests_per_address: usize,
    /// Open connections to the redirect's port. When the limit is reached, a new connection replaces the oldest. Defaults to
    /// 1,024.
    pub redirect_connections: usize,

    /// Worker threads that are active at a time. Defaults to the number of cores.
    pub workers: usize,
    /// Further worker threads, started when handlers block and kept from then on. Half of them, and never fewer than
    /// [`workers`](Limits::workers), may be inside readers of streamed responses
    /// ([`Response::reader`](crate::Response::reader)) at a time. When all of these are taken, a new streamed response becomes
    /// a 503 with `Retry-After`, and a response that has begun waits. A worker inside a reader whose client is gone does not
    /// count; up to as many further threads replace such workers. Defaults to 64.
    pub reserve_workers: usize,
    /// Requests that may wait for a worker when all workers are inside handlers. A further request gets 503 with `Retry-After`.
    /// Defaults to 1,024.
    pub queue_requests: usize,
    /// How long a request may wait for a worker; after that it gets 503 with `Retry-After`. Defaults to 1 s.
    pub queue_timeout: Duration,

    /// How long a connection is safe when the server needs room for another: from its start to the end of its first request's
    /// head, from the first byte of a further head to its end, and for a body or a response before its rate counts. A slower
    /// connection is closed only when its place is needed. Defaults to 2 s.
    pub stall_timeout: Duration,
    /// From the accepted connection to the end of the TLS handshake. Defaults to 10 s.
    pub handshake_timeout: Duration,
    /// From the end of the handshake, and on a kept-alive connection from a request's first byte, to the end of its head: 408,
    /// or a plain close when the client sent nothing. Defaults to 10 s. On a connection to the redirect it runs from the
    /// beginning to the end of the connection, and is at most 10 s.
    pub head_timeout: Duration,
    /// From the head's end to the body's end: 408. The bytes that have come prolong it, by
    /// [`body_min_rate`](Limits::body_min_rate). Defaults to 30 s.
    pub body_timeout: Duration,
    /// Bytes a second that prolong [`body_timeout`](Limits::body_timeout): at the default a client that has sent 60 KiB
    /// has 60 s more. Defaults to 1,024; at least 1.
    pub body_min_rate: u64,
    /// Between a response and the next request on a kept-alive connection. Clients are told a tenth less (`Keep-Alive:
    /// timeout=54`), and at least a second less, so that no client sends a request just as the server closes. Below 2 s clients
    /// are told nothing. Defaults to 60 s.
    pub idle_timeout: Duration,
    /// Bounds the sending of a response in two ways: this long without progress, and this long in all, prolonged by the bytes
    /// that the client has taken, by [`write_min_rate`](Limits::write_min_rate). Beyond either the connection is cut. Only time
    /// in which the server waits for the client counts; time in which a reader returns nothing does not. Defaults to 30 s.
    ///
    /// Of a stream of events or a WebSocket the system may hold all that was sent. A client that has confirmed none of it for twice
    /// this time is cut too, and the log names this limit.
    pub write_timeout: Duration,
    /// Bytes a second that prolong [`write_timeout`](Limits::write_timeout): at the default a client that has taken 60 KiB,
    /// while the server waited for it, has 60 s more. Defaults to 1,024; at least 1.
    pub write_min_rate: u64,
    /// From the call to stop until the server ends, even if connections are still open. Shortly before, requests that wait for a
    /// `Proxy` or for a handler with a time limit get 503. Defaults to 10 s.
    pub drain_timeout: Duration,

    /// A request's head, in bytes, request line and last empty line included: 431, or 414 when the request line alone is
    /// longer. Defaults to 16 KiB. The redirect accepts at most 8 KiB.
    pub head_bytes: usize,
    /// Fields in a request's head: 431. Defaults to 64; at most 256.
    pub head_fields: usize,
    /// A request's body, in bytes, after any chunked framing is taken off: 413. Defaults to 1 MiB.
    pub body_bytes: u64,
    /// A body of up to this many bytes is received before the handler is called, and holds no worker meanwhile. The handler
    /// reads a larger body as it comes. Defaults to 64 KiB.
    pub body_buffer_bytes: usize,
    /// Memory for the bodies that are being received on all connections together, in bytes, those that
    /// [`Request::json`](crate::Request::json) and [`Request::form`](crate::Request::form) collect among them. A request whose body would exceed
    /// it gets 503 with `Retry-After`. Defaults to 32 MiB.
    pub body_memory_bytes: usize,
    /// Handlers that may read bodies larger than [`body_buffer_bytes`](Limits::body_buffer_bytes) at the same time. The bound
    /// keeps slow clients from taking all workers. A further such request gets 503 with `Retry-After`. Defaults to 32.
    pub streaming_bodies: usize,
    /// How many of those handlers may read bodies from one address, so that one address cannot block the uploads of all others.
    /// IPv6 addresses are counted by their /64, and by their /48 with ten times the limit. A further such request from the
    /// address gets 429 with `Retry-After`. Loopback addresses are counted only with
    /// [`count_loopback`](Limits::count_loopback). Defaults to 8.
    pub streaming_bodies_per_address: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            connections_per_address: 256,
            count_loopback: false,
            requests_per_address: 0,
            redirect_connections: 1_024,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            reserve_workers: 64,
            queue_requests: 1_024,
            queue_timeout: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_min_rate: 1_024,
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            write_min_rate: 1_024,
            drain_timeout: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            head_fields: 64,
            body_bytes: 1024 * 1024,
            body_buffer_bytes: 64 * 1024,
            body_memory_bytes: 32 * 1024 * 1024,
            streaming_bodies: 32,
            streaming_bodies_per_address: 8,
        }
    }
}

/// The longest timer that is accepted: a year. With it, sums of times cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is wrong with a timer, if anything is.
pub(crate) fn timer_fault(value: Duration) -> Option<String> {
    let is_in_range = (Duration::from_millis(1)..=LONGEST).contains(&value);
    (!is_in_range).then(|| format!("{value:?} is out of range; it may be from 1 ms to 365 days"))
}

/// The first limit that is out of its range, for the command.
#[cfg(all(feature = "operations", feature = "serve"))]
pub fn check_limits(limits: &Limits) -> Result<(), Error> {
    limits.check()
}

impl Limits {
    /// Returns the first limit that is out of its range, as an error.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every limit that is out of its range.
    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let counts = [
            (Limit::Connections, self.connections, 1, 10_000_000),
            (Limit::ConnectionsPerAddress, self.connections_per_address, 1, 10_000_000),
            (Limit::RequestsPerAddress, self.requests_per_address, 0, 1_000_000),
            (Limit::RedirectConnections, self.redirect_connections, 1, 1_000_000),
            (Limit::Workers, self.workers, 1, 1_024),
            (Limit::ReserveWorkers, self.reserve_workers, 0, 4_096),
            (Limit::QueueRequests, self.queue_requests, 0, 10_000_000),
            (Limit::HeadBytes, self.head_bytes, 256, 1024 * 1024),
            (Limit::HeadFields, self.head_fields, 1, MOST_FIELDS),
            (Limit::BodyBufferBytes, self.body_buffer_bytes, 0, 16 * 1024 * 1024),
            (Limit::BodyMemoryBytes, self.body_memory_bytes, 0, usize::MAX),
            (Limit::StreamingBodies, self.streaming_bodies, 1, 4_096),
            (Limit::StreamingBodiesPerAddress, self.streaming_bodies_per_address, 1, 4_096),
            (Limit::BodyMinRate, usize::try_from(self.body_min_rate).unwrap_or(usize::MAX), 1, usize::MAX),
            (Limit::WriteMinRate, usize::try_from(self.write_min_rate).unwrap_or(usize::MAX), 1, usize::MAX),
        ];
        for (limit, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                let fault = format!("{value} is out of range; it may be from {least} to {most}");
                faults.push(Error::Setting { setting: limit.name(), fault });
            }
        }
        let timers = [
            (Limit::QueueTimeout, self.queue_timeout),
            (Limit::StallTimeout, self.stall_timeout),
            (Limit::HandshakeTimeout, self.handshake_timeout),
            (Limit::HeadTimeout, self.head_timeout),
            (Limit::BodyTimeout, self.body_timeout),
            (Limit::IdleTimeout, self.idle_timeout),
            (Limit::WriteTimeout, self.write_timeout),
            (Limit::DrainTimeout, self.drain_timeout),
        ];
        for (limit, value) in timers {
            if let Some(fault) = timer_fault(value) {
                faults.push(Error::Setting { setting: limit.name(), fault });
            }
        }
        faults
    }

    /// How many workers may be inside readers of streamed responses at a time: half of the reserve, so that the other half
    /// remains for requests, and never fewer than [`workers`](Limits::workers).
    pub(crate) fn readers(&self) -> usize {
        self.workers.max(self.reserve_workers / 2)
    }

    /// How many connections to the redirect (if there is one) and how many HTTPS connections fit into this number of open
    /// files.
    pub(crate) fn within_open_files(&self, files: usize, redirects: bool) -> (usize, usize) {
        let redirect = self.redirect_connections.min((files / 8).max(1));
        let rest = files - if redirects { redirect } else { 0 };
        // A quarter of the rest, at most 64, is kept for other files: those of handlers, the log, a reload.
        (redirect, self.connections.min((rest - (rest / 4).min(64)).max(1)))
    }

    /// The most memory that a server with these limits takes, in bytes, without what handlers hold and without clients'
    /// certificates. It is 8 MiB; 176 KiB for each worker (more when [`head_bytes`](Limits::head_bytes) is over 64 KiB),
    /// including the threads that may replace workers inside readers whose clients are gone; 103 KiB for each connection (more
    /// when `head_bytes` is over 52 KiB); 10 KiB for each connection to the redirect; and
    /// [`body_memory_bytes`](Limits::body_memory_bytes). An idle connection takes 8 KiB. A
    /// [router for plain HTTP](crate::ServerBuilder::http_router) takes 2 MiB more, and proxies what
    /// `Proxy::memory_ceiling` says, with the feature `proxy`.
    ///
    /// ```
    /// let mut limits = lockgate::Limits::default();
    /// limits.connections = 80;
    /// limits.workers = 1;
    /// limits.reserve_workers = 8;
    /// limits.redirect_connections = 32;
    /// limits.body_memory_bytes = 1024 * 1024;
    /// assert!(limits.memory_ceiling() < 20 * 1024 * 1024);
    /// ```
    pub fn memory_ceiling(&self) -> u64 {
        self.memory_with(self.connections)
    }

    /// As [`memory_ceiling`](Limits::memory_ceiling), with this number of connections.
    pub(crate) fn memory_with(&self, connections: usize) -> u64 {
        const KIB: u64 = 1024;
        let workers = (self.workers + self.reserve_workers + self.readers()) as u64;
        let (connections, head) = (connections as u64, self.head_bytes as u64);
        // What TLS holds of an incomplete record (RFC 8446 §5.2: 16 KiB and 256 bytes), in addition to an idle connection.
        let tls = 12 * KIB + 19 * KIB;
        // Either encrypted bytes not yet sent together with bytes of further requests, or a head and a piece of a body.
        let busy = (72 * KIB).max(head + 20 * KIB);
        (8 * KIB * KIB)
            .saturating_add(workers.saturating_mul((176 * KIB).max(head + 112 * KIB)))
            .saturating_add((self.redirect_connections as u64).saturating_mul(10 * KIB))
            .saturating_add(connections.saturating_mul(tls + busy))
            .saturating_add(self.body_memory_bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_of_memory_is_what_the_page_on_security_says() {
        let limits = Limits { connections: 500, workers: 4, ..Limits::default() };
        // "with 500 the ceiling is 117 MiB"
        assert_eq!((limits.memory_ceiling() + (1 << 19)) >> 20, 117);
        let large = Limits { head_bytes: 1024 * 1024, ..limits };
        assert_eq!(large.memory_with(1) - large.memory_with(0), (31 + 1024 + 20) * 1024);
    }

    #[test]
    fn a_small_limit_of_open_files_leaves_some_for_others() {
        let limits = Limits::default();
        assert_eq!(limits.within_open_files(1_000_000, true), (1_024, 10_000));
        assert_eq!(limits.within_open_files(1_024, true), (128, 896 - 64));
        assert_eq!(limits.within_open_files(1_024, false), (128, 1_024 - 64));
        assert_eq!(limits.within_open_files(1, false), (1, 1));
    }

    #[test]
    fn the_defaults_are_accepted_and_a_limit_out_of_range_is_named() {
        Limits::default().check().unwrap();
        let fault = Limits { head_fields: 257, ..Limits::default() }.check().unwrap_err().to_string();
        assert_eq!(fault, "head_fields: 257 is out of range; it may be from 1 to 256");
        let fault =
            Limits { idle_timeout: Duration::ZERO, ..Limits::default() }.check().unwrap_err().to_string();
        assert!(fault.starts_with("idle_timeout: 0ns is out of range"), "{fault}");
    }
}

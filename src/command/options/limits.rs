//! The options for a server's limits. Each is named as the field of `lockgate::Limits` that it sets, with `-` for `_`.
//!
//! Part of the tables in `options`; the commands that serve have them.

use crate::command::option::{Kind, Opt};

pub(in crate::command) const TITLE: &str = "Limits";

/// What the help says before these options.
pub(in crate::command) const NOTE: &str = "\
  TIME is 500ms, 60s, 2m, or a plain number of seconds. SIZE is 64KiB, 1MiB, or a plain number
  of bytes. Each time runs from its beginning; a peer that goes on sending does not prolong it.
";

/// An option for every field of [`Limits`](lockgate::Limits).
pub(in crate::command) static LIMITS: &[&Opt] = &[
    &Opt::new(
        "connections",
        "Open HTTPS connections; then a stalled, the longest-idle or the slowest one makes \
         room. Never more than the open-file limit leaves.",
        Kind::Count(|l| &mut l.connections),
    ),
    &Opt::new(
        "connections-per-address",
        "Open HTTPS connections from one address, an IPv6 address counted by its /64 and, ten \
         times as many, by its /48.",
        Kind::Count(|l| &mut l.connections_per_address),
    ),
    &Opt::new(
        "count-loopback",
        "Count this machine's own connections, requests and uploads per address too.",
        Kind::Switch(|l| &mut l.count_loopback),
    ),
    &Opt::new(
        "requests-per-address",
        "Requests a second from one address, 0 for no limit; more get 429.",
        Kind::Count(|l| &mut l.requests_per_address),
    ),
    &Opt::new(
        "redirect-connections",
        "Open connections to the redirect's port; then the oldest makes room.",
        Kind::Count(|l| &mut l.redirect_connections),
    ),
    &Opt::new(
        "workers",
        "Worker threads active at a time. Without it, one per core.",
        Kind::Count(|l| &mut l.workers),
    ),
    &Opt::new(
        "reserve-workers",
        "Further worker threads, started when handlers block. At most half of them may be inside \
         readers of streamed responses; one more gets 503.",
        Kind::Count(|l| &mut l.reserve_workers),
    ),
    &Opt::new(
        "queue-requests",
        "Requests that may wait for a worker; one more gets 503.",
        Kind::Count(|l| &mut l.queue_requests),
    ),
    &Opt::new(
        "queue-timeout",
        "How long a request may wait for a worker before it gets 503.",
        Kind::Time(|l| &mut l.queue_timeout),
    ),
    &Opt::new(
        "stall-timeout",
        "How long a head may take, and a body or a response may be slow, before its connection \
         makes room for another one when all places are taken.",
        Kind::Time(|l| &mut l.stall_timeout),
    ),
    &Opt::new(
        "handshake-timeout",
        "From the accepted connection to the end of the TLS handshake.",
        Kind::Time(|l| &mut l.handshake_timeout),
    ),
    &Opt::new(
        "head-timeout",
        "From a request's first byte to the end of its head; else 408.",
        Kind::Time(|l| &mut l.head_timeout),
    ),
    &Opt::new(
        "body-timeout",
        "From the head's end to the body's end, prolonged by --body-min-rate; else 408.",
        Kind::Time(|l| &mut l.body_timeout),
    ),
    &Opt::new(
        "body-min-rate",
        "Bytes a second that prolong --body-timeout.",
        Kind::LongSize(|l| &mut l.body_min_rate),
    ),
    &Opt::new(
        "idle-timeout",
        "Between a response and the next request on a kept-alive connection.",
        Kind::Time(|l| &mut l.idle_timeout),
    ),
    &Opt::new(
        "write-timeout",
        "For a response: without any progress, and in all while the client is waited for, \
         prolonged by --write-min-rate.",
        Kind::Time(|l| &mut l.write_timeout),
    ),
    &Opt::new(
        "write-min-rate",
        "Bytes a second that prolong --write-timeout.",
        Kind::LongSize(|l| &mut l.write_min_rate),
    ),
    &Opt::new(
        "drain-timeout",
        "From the request to stop to the end; what is still open then is cut.",
        Kind::Time(|l| &mut l.drain_timeout),
    ),
    &Opt::new(
        "head-bytes",
        "A request's head; a larger one gets 431, or 414.",
        Kind::Size(|l| &mut l.head_bytes),
    ),
    &Opt::new(
        "head-fields",
        "Fields in a request's head, at most 256; more get 431.",
        Kind::Count(|l| &mut l.head_fields),
    ),
    &Opt::new(
        "body-bytes",
        "A request's body; a larger one gets 413.",
        Kind::LongSize(|l| &mut l.body_bytes),
    ),
    &Opt::new(
        "body-buffer-bytes",
        "Up to this size a body is read before the handler is called, and holds no worker \
         meanwhile.",
        Kind::Size(|l| &mut l.body_buffer_bytes),
    ),
    &Opt::new(
        "body-memory-bytes",
        "Memory for the bodies being received on all connections; then 503.",
        Kind::Size(|l| &mut l.body_memory_bytes),
    ),
    &Opt::new(
        "streaming-bodies",
        "Handlers that may be reading larger bodies at a time.",
        Kind::Count(|l| &mut l.streaming_bodies),
    ),
    &Opt::new(
        "streaming-bodies-per-address",
        "How many of those may be reading from one address; then 429.",
        Kind::Count(|l| &mut l.streaming_bodies_per_address),
    ),
];

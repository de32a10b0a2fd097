//! All proxies of a server together: what memory they take, and whether their backends are there. Knows proxies and limits. Programs
//! call it, the check before a start, and `lockgate serve` when it starts.

#[cfg(feature = "serve")]
use std::io;
#[cfg(feature = "serve")]
use std::time::Duration;

use crate::proxy::shared::MEMORY_BYTES;
use crate::proxy::Proxy;
use crate::Limits;

/// What a request at a backend takes at most: a piece of its body, and the head of an answer with what comes behind it.
const PAIR_BYTES: u64 = 74 * 1024;
/// The same over HTTPS, with what TLS holds of both directions.
const SECURE_PAIR_BYTES: u64 = 134 * 1024;

impl Proxy {
    /// The most memory, in bytes, that all proxies of a server take beside what [`Limits::memory_ceiling`] says of that server. With
    /// the feature `proxy`.
    ///
    /// It counts for each request at a backend 74 KiB: a piece of its body, and the head of an answer with what comes behind it; with
    /// TLS to any backend 134 KiB, for what TLS holds of both directions. A connection that is kept for the next request takes a part
    /// of that, and is one of the [`at_a_time`](Proxy::at_a_time) of its backend. A request that waits for a backend takes its head
    /// ([`Limits::head_bytes`] and 1 KiB). Bodies that have come with a head or are collected take 32 MiB for each proxy, or less if
    /// the server's connections cannot hold as much.
    ///
    /// All proxies are given together, and not added up: a client's connection has one request at a time, at one of them. Each
    /// proxy is given once, however many handlers it has. `lockgate serve` and `lockgate check` warn by the same number.
    ///
    /// ```
    /// use lockgate::{Limits, Proxy};
    ///
    /// let mut limits = Limits::default();
    /// limits.connections = 80;
    /// limits.body_bytes = 256 * 1024;
    /// let app = Proxy::to("http://127.0.0.1:3000")?.at_a_time(16);
    /// let files = Proxy::to("http://127.0.0.1:3001")?.at_a_time(16);
    /// let ceiling = limits.memory_ceiling() + Proxy::memory_ceiling(&[app, files], &limits);
    /// assert!(ceiling < 100 * 1024 * 1024);
    /// # Ok::<(), lockgate::Error>(())
    /// ```
    pub fn memory_ceiling(proxies: &[Proxy], limits: &Limits) -> u64 {
        memory_of(proxies, limits, limits.connections)
    }
}

/// The most memory that these take with so many connections of clients, beside what `Limits::memory_ceiling` says. A client's
/// connection has one request at a time: at a backend, or waiting for one with its head. Its body, as far as it came with the head, is
/// within the memory of its proxy.
pub fn memory_of(proxies: &[Proxy], limits: &Limits, connections: usize) -> u64 {
    let connections = connections as u64;
    let pair = match proxies.iter().any(Proxy::is_secure) {
        true => SECURE_PAIR_BYTES,
        false => PAIR_BYTES,
    };
    let at_backends = at_backends(proxies).min(connections);
    let waiting = if proxies.is_empty() { 0 } else { connections - at_backends };
    let bodies = (proxies.len() as u64).saturating_mul(MEMORY_BYTES as u64);
    let body = limits.body_bytes.max(limits.body_buffer_bytes as u64);
    at_backends
        .saturating_mul(pair)
        .saturating_add(waiting.saturating_mul(limits.head_bytes as u64 + 1024))
        .saturating_add(bodies.min(connections.saturating_mul(body)))
}

/// How many requests may be at all backends at a time.
fn at_backends(proxies: &[Proxy]) -> u64 {
    proxies.iter().fold(0, |sum: u64, proxy| sum.saturating_add(proxy.most_at_backends()))
}

/// How many files connections to these backends take at most, with so many connections of clients.
#[cfg(feature = "check")]
pub(crate) fn files_of(proxies: &[Proxy], connections: usize) -> usize {
    usize::try_from(at_backends(proxies)).unwrap_or(usize::MAX).min(connections)
}

/// Tells of each backend that takes no connection, and why. Each is asked once, for at most so long.
#[cfg(feature = "serve")]
pub fn look_at(proxies: &[Proxy], most: Duration, tell: &dyn Fn(&str, &io::Error)) {
    let mut asked: Vec<String> = Vec::new();
    for backend in proxies.iter().flat_map(Proxy::backends) {
        if !asked.contains(&backend.name) {
            if let Err(error) = backend.connect(most) {
                tell(&backend.name, &error);
            }
            asked.push(backend.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_the_buffers_of_one_request_however_many_proxies_there_are() {
        const KIB: u64 = 1024;
        let proxy = |to: &str, most: usize| Proxy::to(to).unwrap().at_a_time(most);
        let plain = proxy("http://127.0.0.1:1", 8);
        let two = proxy("http://127.0.0.1:2", 2).and_to("http://127.0.0.1:3").unwrap();
        let secure = proxy("https://127.0.0.1:4", 1);
        let limits = Limits { body_bytes: 100 * KIB, head_bytes: 9 * 1024, ..Limits::default() };
        let of = |proxies: &[&Proxy], connections| {
            let proxies: Vec<Proxy> = proxies.iter().map(|proxy| (*proxy).clone()).collect();
            memory_of(&proxies, &limits, connections)
        };
        assert_eq!(of(&[], 1_000), 0);
        let public = Proxy::memory_ceiling(&[plain.clone(), two.clone()], &limits);
        assert_eq!(public, of(&[&plain, &two], limits.connections));
        assert_eq!(of(&[&plain], 0), 0);
        assert_eq!(of(&[&plain], 3), 3 * (74 + 100) * KIB);
        assert_eq!(of(&[&plain, &two], 3), 3 * (74 + 100) * KIB);
        // 8 and twice 2 at the backends, and the others wait.
        assert_eq!(of(&[&plain, &two], 20), (12 * 74 + 8 * 10 + 20 * 100) * KIB);
        assert_eq!(of(&[&plain, &secure], 3), 3 * (134 + 100) * KIB);
        // The bodies of each proxy have a bound of their own.
        assert_eq!(of(&[&plain, &two], 100_000), (12 * 74 + 99_988 * 10 + 2 * 32 * KIB) * KIB);
    }
}

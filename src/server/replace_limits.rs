//! Replaces the limits of a running server: decides which can change, and tells those who count by them. `handle` calls it.

use super::context::Context;
use crate::error::Error;
use crate::limits::rate::Rate;
use crate::limits::Limits;

/// Replaces what can change, by what `change` makes of the limits as they are. Returns the names of those that differ and cannot:
/// sizes of threads, queues and buffers, which are made at the start.
pub(crate) fn replace(
    context: &Context,
    change: &mut dyn FnMut(&mut Limits),
) -> Result<Vec<&'static str>, Error> {
    use rustix::process::{getrlimit, Resource};
    let _alone = context.live_limits.lock();
    let was = context.live_limits.get();
    let mut asked = was.clone();
    change(&mut asked);
    asked.check()?;
    let stay = [
        ("redirect_connections", asked.redirect_connections != was.redirect_connections),
        ("workers", asked.workers != was.workers),
        ("reserve_workers", asked.reserve_workers != was.reserve_workers),
        ("queue_requests", asked.queue_requests != was.queue_requests),
        ("queue_timeout", asked.queue_timeout != was.queue_timeout),
        ("head_bytes", asked.head_bytes != was.head_bytes),
    ];
    let limits = Limits {
        redirect_connections: was.redirect_connections,
        workers: was.workers,
        reserve_workers: was.reserve_workers,
        queue_requests: was.queue_requests,
        queue_timeout: was.queue_timeout,
        head_bytes: was.head_bytes,
        ..asked
    };
    // It was raised as far as it goes when the server was bound.
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    let redirects = context.stopping.redirect().is_some();
    let (_, connections) = limits.within_open_files(files.unwrap_or(usize::MAX), redirects);
    context.per_address.replace(limits.connections_per_address, limits.count_loopback);
    context.streams.replace(
        limits.streaming_bodies,
        limits.streaming_bodies_per_address,
        limits.count_loopback,
    );
    context.body_memory.replace(limits.body_memory_bytes);
    match (limits.requests_per_address as u64, context.rate.get()) {
        (0, None) => {}
        (per_second, Some(rate)) => rate.replace(per_second),
        (per_second, None) => {
            // Two calls at a time make one.
            context.rate.get_or_init(|| Rate::new(per_second)).replace(per_second);
        }
    }
    context.live_limits.replace(limits, connections);
    Ok(stay.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;
    use crate::{Identity, Router, Server};

    fn server() -> Server {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        Server::builder(Router::new()).identity(identity).https("127.0.0.1:0").bind().unwrap()
    }

    #[test]
    fn what_counts_by_the_limits_has_those_that_are_told() {
        let server = server();
        let (handle, shared) = (server.handle(), &server.shared);
        let both = Barrier::new(2);
        let replace = |bytes: usize| {
            both.wait();
            let limits = Limits { body_memory_bytes: bytes, ..handle.limits() };
            handle.replace_limits(limits).unwrap();
            both.wait();
        };
        let (first, second) = (64 << 20, 65 << 20);
        for _ in 0..3_000 {
            std::thread::scope(|scope| {
                scope.spawn(|| replace(first));
                replace(second);
            });
            assert_eq!(shared.body_memory.usage().1, shared.live_limits.get().body_memory_bytes);
        }
    }

    #[test]
    fn no_change_of_another_thread_is_lost() {
        let server = server();
        let handle = server.handle();
        let before = handle.limits();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        handle
                            .change_limits(|limits| limits.idle_timeout += Duration::from_millis(1))
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(handle.limits().idle_timeout, before.idle_timeout + Duration::from_secs(2));
        let wrong = handle.change_limits(|limits| limits.idle_timeout = Duration::ZERO);
        assert!(wrong.is_err());
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            handle.change_limits(|limits| {
                limits.idle_timeout = Duration::from_secs(9);
                panic!("on purpose")
            })
        }));
        assert!(panics.is_err());
        assert_eq!(handle.limits().idle_timeout, before.idle_timeout + Duration::from_secs(2));
        handle.change_limits(|limits| limits.connections = 9).unwrap();
        assert_eq!(handle.limits().connections, 9, "the panic has locked nobody out");
    }
}

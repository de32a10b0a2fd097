//! Whether a server is to get connections, and why not. `handle` tells it to the program, and `watched` to those who ask.

use std::time::SystemTime;

use super::serve::Shared;

/// A condition of readiness, and why it does not hold.
pub(super) type Condition = (&'static str, Option<&'static str>);

pub(super) fn conditions(shared: &Shared) -> [Condition; 4] {
    let counts = &shared.counts;
    let now = SystemTime::now();
    let certificate = match shared.tls.current().identities.first() {
        None => Some("there is none"),
        Some(identity) if identity.not_after() < now => Some("it has expired by this machine's clock"),
        Some(identity) if identity.not_before() > now => Some("it is not valid yet by this machine's clock"),
        Some(_) => None,
    };
    [
        ("started", (!counts.has_started()).then_some("the server is still starting")),
        ("not stopping", shared.stopping.is_leaving().then_some("the server is about to stop")),
        ("accepting", (!counts.accepts()).then_some("no connection can be accepted; the log says why")),
        ("certificate", certificate),
    ]
}

/// Whether the server is to get connections.
pub(super) fn is_ready(shared: &Shared) -> bool {
    conditions(shared).iter().all(|(_, why_not)| why_not.is_none())
}

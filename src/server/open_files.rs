//! How many connections the open-file limit allows. `builder` asks before it opens anything.

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use crate::limits::Limits;

/// Raises the soft open-file limit to the hard one. Returns how many HTTPS connections fit into it, and reduces the redirect's
/// connections if needed.
#[inline(never)]
pub(super) fn fit(limits: &mut Limits, redirects: bool) -> usize {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (redirects, connections) = limits.within_open_files(limit, redirects);
    limits.redirect_connections = redirects;
    if connections < limits.connections {
        log::info!("connections that the open-file limit leaves room for: {connections} (limit connections)");
    }
    connections
}

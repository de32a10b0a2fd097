//! What the log says when the server starts: who answers which paths, and which servers behind it are not there yet. `serve` calls
//! it.

use std::thread;
use std::time::Duration;

use lockgate::internal::look_at;
use lockgate::Proxy;

use super::{below, is_json, routes};
use crate::command::arguments::Arguments;
use crate::command::route::{Answer, Route};

/// For one address.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says who answers, and warns of servers that accept no connection. A thread of its own connects, so the start waits for none.
pub(in crate::command) fn tell(arguments: &Arguments, proxies: Vec<Proxy>) {
    // They were read already; what is wrong with them was said then.
    let Ok(routes) = routes(arguments) else { return };
    for route in &routes {
        log::info!("{}", said(route));
    }
    let look = move || {
        look_at(&proxies, PATIENCE, &|target, error| {
            log::warn!("{target} cannot be reached yet: {error}; requests get 502 until it can be");
        })
    };
    if let Err(error) = thread::Builder::new().name("lockgate-start".into()).spawn(look) {
        log::debug!("whether the targets are there is not known: {error}");
    }
}

fn said(route: &Route) -> String {
    let paths = match below(route) {
        _ if is_json(route) => format!("GET {}", route.path),
        Some(prefix) => format!("{prefix} and all below it"),
        None => "what no other route takes".to_string(),
    };
    match &route.answer {
        Answer::Backends(backends) => format!("{paths}: passed on to {}", backends.to.join(" and ")),
        Answer::Files(dir) => format!("{paths}: the files in {}", dir.display()),
        Answer::Json(file) => format!("{paths}: {}", file.display()),
    }
}

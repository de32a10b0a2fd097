//! Who answers: makes a router of the routes, servers and files that the options name. `serve` calls it, and `check` before a server
//! starts.

pub(super) mod fields;
#[cfg(feature = "check")]
pub(super) mod hsts;
mod json_file;
mod own;
mod spelling;
pub(super) mod start;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockgate::internal::with_slash;
use lockgate::web::Files;
use lockgate::{Error, IntoResponse, Method, Next, Problem, Proxy, Request, Response, Router, StatusCode};

use super::arguments::Arguments;
use super::failure::Failure;
use super::place::Place;
use super::route::{path_fault, without_slash, Answer, Backends, ClientCert, Host, Route};
use json_file::JsonFile;
use spelling::OtherSpellings;

/// Whether the options name anything that answers.
pub(super) fn is_named(arguments: &Arguments) -> bool {
    let Arguments { backends, routes, files, answers, .. } = arguments;
    !(backends.to.is_empty() && routes.is_empty() && files.is_none() && answers.is_empty())
}

/// The router that the options describe, and the servers behind it. `None` if they name nothing that answers.
pub(super) fn router(arguments: &Arguments) -> Result<Option<(Router, Vec<Proxy>)>, Failure> {
    if !is_named(arguments) {
        return Ok(None);
    }
    let routes = routes(arguments)?;
    let prefixes: Vec<String> = routes.iter().filter_map(below).map(|path| path.to_string()).collect();
    let has_several = !prefixes.is_empty();
    let (mut router, mut proxies) = (Router::new(), Vec::new());
    for route in &routes {
        router = add(router, route, arguments, &mut proxies)?;
        if let Err(error) = router.check() {
            let fault = match error {
                Error::Route { fault, .. } => (*fault).to_string(),
                Error::Setting { setting, fault } => format!("{}: {fault}", setting.replace('_', "-")),
                other => other.to_string(),
            };
            return Err(Failure::at(&route.place, format_args!(" {}: {fault}", route.path)));
        }
    }
    let router = if has_several { router.with(OtherSpellings::of(prefixes)) } else { router };
    Ok(Some((router, proxies)))
}

/// The paths of the servers behind it, in the order of [`router`]'s.
#[cfg(feature = "operations")]
pub(super) fn paths_of_proxies(arguments: &Arguments) -> Vec<String> {
    // What is wrong with them is told by the router.
    let routes = routes(arguments).unwrap_or_default();
    let proxied = routes.into_iter().filter(|route| matches!(route.answer, Answer::Backends(_)));
    proxied.map(|route| route.path).collect()
}

/// All routes, those of `--to`, `--files` and `--answer` among them; one for each prefix.
fn routes(arguments: &Arguments) -> Result<Vec<Route>, Failure> {
    let mut routes: Vec<Route> = Vec::new();
    // Where those of prefixes are.
    let mut known: HashMap<&str, usize> = HashMap::new();
    for route in &arguments.routes {
        let same = known.get(prefix(&route.path)).filter(|_| !is_json(route));
        match (same.and_then(|at| routes.get_mut(*at)), &route.answer) {
            (None, _) => {
                if !is_json(route) {
                    known.insert(prefix(&route.path), routes.len());
                }
                routes.push(route.clone());
            }
            // Given several times as one option, they are servers of one kind.
            (Some(Route { answer: Answer::Backends(known), place, path, .. }), Answer::Backends(more))
                if *place == route.place && *path == route.path =>
            {
                known.to.extend(more.to.iter().cloned());
            }
            (Some(_), _) => {
                let prefix = &route.path;
                return Err(Failure::at(
                    &route.place,
                    format_args!(" {prefix}: another route has this prefix already; give one"),
                ));
            }
        }
    }
    let place = |option: &str| {
        let given = arguments.places.iter().find(|(name, _)| *name == option);
        given.map_or(Place::CommandLine(format!("--{option}")), |(_, place)| place.clone())
    };
    if !arguments.backends.to.is_empty() {
        let backends = Backends { to: arguments.backends.to.clone(), ..Backends::default() };
        routes.push(Route::new("/", Answer::Backends(Box::new(backends)), place("to")));
    }
    if let Some(files) = &arguments.files {
        routes.push(Route::new("/", Answer::Files(files.clone()), place("files")));
    }
    if let [_, second, ..] = &routes.iter().filter(|route| is_root(route)).collect::<Vec<_>>()[..] {
        return Err(Failure::at(
            &second.place,
            format_args!(
                ": another one answers what no route takes already; give this one a prefix, as in \
             --route /api=http://127.0.0.1:3000"
            ),
        ));
    }
    for (path, file) in &arguments.answers {
        routes.push(Route::new(path, Answer::Json(file.clone()), place("answer")));
    }
    for route in &routes {
        if let Some(fault) = path_fault(&route.path, !is_json(route)) {
            return Err(fault_of(route, &fault));
        }
    }
    Ok(routes)
}

/// What is wrong with a route. Those of `--to` and `--files` have no path of their own.
#[cold]
#[inline(never)]
fn fault_of(route: &Route, what: &str) -> Failure {
    if is_root(route) {
        return Failure::at(&route.place, format_args!(": {what}"));
    }
    Failure::at(&route.place, format_args!(" {}: {what}", route.path))
}

fn is_json(route: &Route) -> bool {
    matches!(route.answer, Answer::Json(_))
}

fn is_root(route: &Route) -> bool {
    prefix(&route.path).is_empty() && !is_json(route)
}

/// The prefix without a slash at its end.
fn prefix(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The prefix that a route is below; `None` for one that answers all paths, or only one.
fn below(route: &Route) -> Option<&str> {
    Some(prefix(&route.path)).filter(|prefix| !prefix.is_empty() && !is_json(route))
}

/// Adds a route, with what it has of its own around it.
fn add(
    router: Router,
    route: &Route,
    arguments: &Arguments,
    proxies: &mut Vec<Proxy>,
) -> Result<Router, Failure> {
    let below = below(route);
    let fault = |what: String| fault_of(route, &what);
    let mut inner: Router = match &route.answer {
        Answer::Backends(backends) => {
            let proxy = proxy(route, backends, arguments)?;
            proxies.push(proxy.clone());
            proxy.into()
        }
        Answer::Files(dir) => {
            check_folder(dir).map_err(fault)?;
            Router::new().fallback(Files::dir(dir).strip_prefix(below.unwrap_or_default()).handler())
        }
        Answer::Json(file) => {
            let json = JsonFile::open(file).map_err(|what| fault(format!("{} {what}", file.display())))?;
            Router::new().get(&route.path, move |request: &mut Request| json.answer(request))
        }
    };
    // As with nginx: a page there has links below it. For files that is so whatever the prefix looks like.
    let is_folder = route.path.ends_with('/') || matches!(route.answer, Answer::Files(_));
    if below.is_some() && is_folder {
        inner = inner.any("/", |request: &mut Request| with_slash(request));
    }
    if let Some(methods) = route.methods.clone() {
        inner = inner.with(move |request: &mut Request<'_>, next: Next<'_>| only(&methods, request, next));
    }
    if let Some(most) = route.body_bytes {
        inner = inner.body_bytes(most);
    }
    if let Some(most) = route.body_timeout {
        inner = inner.body_timeout(most);
    }
    if let Some(most) = route.concurrent {
        inner = inner.concurrent(most);
    }
    Ok(match below {
        Some(prefix) => router.nest(prefix, inner),
        None => router.merge(inner),
    })
}

/// Whether what the options say of servers can be so, as far as it shows without a look at files and without the network.
#[cfg(feature = "operations")]
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    for route in &routes(arguments)? {
        if let Answer::Backends(backends) = &route.answer {
            check_targets(route, backends, arguments)?;
            // Instead of the targets, whose names it would look up.
            with_settings(
                Proxy::to("unix:/").map_err(|error| refused(route, error))?,
                route,
                backends,
                arguments,
            )?;
        }
    }
    Ok(())
}

/// Whether the servers of a route go together, and have what they need.
fn check_targets(route: &Route, backends: &Backends, arguments: &Arguments) -> Result<(), Failure> {
    let fault = |what: &str| Err(fault_of(route, what));
    for to in &backends.to {
        if let Some(option) = own::option_at(to, arguments) {
            return fault(&format!(
                "{to} is this server itself ({option}); give the place of the program behind it"
            ));
        }
    }
    let (strips, keeps): (Vec<&String>, Vec<&String>) = backends.to.iter().partition(|to| to.ends_with('/'));
    if let (Some(strip), Some(keep), Some(_)) = (strips.first(), keeps.first(), below(route)) {
        return fault(&format!(
            "{strip} gets paths without the prefix, and {keep} with it; end both with a slash, or none"
        ));
    }
    if let (Some(secure), None) = (secure(backends), backends.ca.as_ref().or(arguments.backends.ca.as_ref()))
    {
        return fault(&format!(
            "{secure}: give --backend-ca FILE too, the authority that its certificate is from"
        ));
    }
    if let (Some(_), None) | (None, Some(_)) = shown(backends, arguments) {
        return fault("backend-cert and backend-key go together; give both");
    }
    Ok(())
}

/// The first server over HTTPS.
fn secure(backends: &Backends) -> Option<&String> {
    backends.to.iter().find(|to| to.starts_with("https://"))
}

/// The certificate that servers are shown, and its key.
fn shown<'a>(backends: &'a Backends, arguments: &'a Arguments) -> (Option<&'a PathBuf>, Option<&'a PathBuf>) {
    let all = &arguments.backends;
    match (&backends.cert, &backends.key) {
        (None, None) => (all.cert.as_ref(), all.key.as_ref()),
        (cert, key) => (cert.as_ref(), key.as_ref()),
    }
}

/// The proxy to the servers of a route.
fn proxy(route: &Route, backends: &Backends, arguments: &Arguments) -> Result<Proxy, Failure> {
    check_targets(route, backends, arguments)?;
    let fault = |error: Error| refused(route, error);
    let mut targets = backends.to.iter().map(|to| without_slash(to));
    let mut proxy = Proxy::to(targets.next().unwrap_or_default()).map_err(fault)?;
    for further in targets {
        proxy = proxy.and_to(further).map_err(fault)?;
    }
    if secure(backends).is_some() {
        if let Some(ca) = backends.ca.as_ref().or(arguments.backends.ca.as_ref()) {
            proxy = proxy.ca_file(ca).map_err(fault)?;
        }
        if let (Some(cert), Some(key)) = shown(backends, arguments) {
            proxy = proxy.client_certificate(cert, key).map_err(fault)?;
        }
    }
    with_settings(proxy, route, backends, arguments)
}

/// The same with what is set for it, and checked.
fn with_settings(
    mut proxy: Proxy,
    route: &Route,
    backends: &Backends,
    arguments: &Arguments,
) -> Result<Proxy, Failure> {
    let (fault, all) = (|error: Error| refused(route, error), &arguments.backends);
    let strips = backends.to.iter().any(|to| to.ends_with('/'));
    if let Some(prefix) = below(route).filter(|_| strips) {
        proxy = proxy.strip_prefix(prefix).map_err(fault)?;
    }
    if let Some(Host::Set(host)) = backends.host.as_ref().or(all.host.as_ref()) {
        proxy = proxy.host(host);
    }
    if backends.secure_cookies.or(all.secure_cookies) == Some(false) {
        proxy = proxy.keep_cookies();
    }
    match backends.client_cert.or(all.client_cert) {
        None | Some(ClientCert::Nothing) => {}
        Some(_) if arguments.client_ca.is_none() => {
            let what = "client-cert-field tells of clients' certificates; give --client-ca FILE too";
            return Err(fault_of(route, what));
        }
        Some(ClientCert::Own) => proxy = proxy.client_cert(),
        Some(ClientCert::Chain) => proxy = proxy.client_cert_chain(),
    }
    for (set, (own, all)) in TIMES.iter().zip(backends.times.iter().zip(all.times)) {
        if let Some(time) = own.or(all) {
            proxy = set(proxy, time);
        }
    }
    if let Some(most) = backends.requests.or(all.requests) {
        proxy = proxy.at_a_time(most);
    }
    if let Some(most) = backends.queue.or(all.queue) {
        proxy = proxy.queue(most);
    }
    proxy.check().map_err(fault)?;
    Ok(proxy)
}

/// By their number in [`Time`](super::route::Time).
const TIMES: [fn(Proxy, Duration) -> Proxy; 5] = [
    Proxy::connect_timeout,
    Proxy::answer_timeout,
    Proxy::silence_timeout,
    Proxy::tunnel_timeout,
    Proxy::queue_timeout,
];

/// A fault that the library has found.
#[cold]
#[inline(never)]
fn refused(route: &Route, error: Error) -> Failure {
    match error {
        Error::Setting { fault, .. } => fault_of(route, &in_words_of_the_command(&fault)),
        other => other.into(),
    }
}

/// A fault of the library, which names a time with `_`.
fn in_words_of_the_command(fault: &str) -> String {
    match fault.split_once(": ") {
        // The server has one for its workers.
        Some(("queue_timeout", rest)) => format!("backend-queue-timeout: {rest}"),
        Some((name, rest)) if name.ends_with("_timeout") => format!("{}: {rest}", name.replace('_', "-")),
        _ => fault.to_string(),
    }
}

fn check_folder(dir: &Path) -> Result<(), String> {
    match std::fs::read_dir(dir) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{} cannot be read: {error}; give the path of a folder", dir.display())),
    }
}

/// Answers these methods, HEAD with GET, and OPTIONS; others get 405 (RFC 9110 §15.5.6).
fn only(methods: &[Method], request: &mut Request<'_>, next: Next<'_>) -> Response {
    let has = |method: &Method| methods.contains(method);
    let method = request.method();
    if has(method) || *method == Method::HEAD && has(&Method::GET) {
        return next.run(request);
    }
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    for (implied, is_there) in [("HEAD", has(&Method::GET)), ("OPTIONS", true)] {
        if is_there && !names.contains(&implied) {
            names.push(implied);
        }
    }
    let response = if *method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response()
    };
    response.with_header("allow", names.join(", "))
}

//! How a server handles plain HTTP: on the plain port, and on the TLS port. `Check` calls it. The requests change nothing
//! on the server: GET, and one POST without a body to a path that no server has.

use std::io;

use super::exchange::{Ask, Conversation, Reply};
use super::rules;
use super::run::Run;
use super::secure::shown;
use super::trust;
use crate::tls::provider;
use crate::url::{Host, Url};

/// A reserved host (RFC 6761 §6.4), to see whether the server repeats it in a redirect.
const FOREIGN: &str = "lockgate-check.invalid";
const MOST_HOPS: usize = 5;

/// The end of the redirects from a plain URL.
enum End {
    Https(Url),
    /// An `http` URL on another host or port.
    OtherHttp(Url),
    Loop(Url),
    /// An answer other than a redirect.
    Answer(u16),
}

/// Checks the plain port.
pub(super) fn look(run: &mut Run<'_>) {
    let Some(port) = run.plain_port else { return };
    (run.progress)("plain HTTP");
    run.fact("http", "port", port);
    let url = Url { is_https: false, port, ..run.url.clone() };
    let first = match ask(run, &url, "GET", &url.path, &url.authority(), &[]) {
        Ok(reply) => reply,
        Err(error) => {
            run.fact("http", "answer", "none");
            run.found(&rules::HTTP_SILENT, format!("port {port}: {error}"));
            return;
        }
    };
    run.fact("http", "status", first.status);
    run.fact("http", "location", first.field("location"));
    let answer = match first.status {
        200..=299 => "content",
        _ if first.is_redirect() => "redirect",
        _ => "refusal",
    };
    run.fact("http", "answer", answer);
    if first.is_success() {
        let seen = format!("GET {url} is answered with {}", first.status);
        let fix = redirect_fix(run);
        run.found_with(&rules::HTTP_CONTENT, seen, fix);
    }
    if first.field("strict-transport-security").is_some() {
        run.found(
            &rules::HSTS_OVER_HTTP,
            format!("the answer on port {port} has a Strict-Transport-Security field"),
        );
    }
    if first.is_redirect() {
        redirects(run, &url, &first);
        post(run, &url);
    }
    foreign(run, &url);
    credentials(run, &url);
}

/// Follows the redirects while they lead to plain HTTP on the same port.
fn redirects(run: &mut Run<'_>, url: &Url, first: &Reply) {
    let status = first.status;
    let end = match follow(run, url, first) {
        Ok(end) => end,
        Err(error) => return run.unknown("the redirect from plain HTTP", &error),
    };
    let wanted = run.url.clone();
    let fix = redirect_fix(run);
    match end {
        End::Https(target) if target.host != wanted.host && is_same_server(run, &target.host) => {
            let seen =
                format!("{status} leads to {}, another name of this server", shown(&target.to_string()));
            run.found_with(&rules::HTTP_REDIRECT_NAME, seen, fix);
        }
        End::Https(target) if target.host != wanted.host => {
            run.found_with(
                &rules::HTTP_REDIRECT_HOST,
                format!("{status} leads to {}", shown(&target.to_string())),
                fix,
            );
        }
        End::Https(target) if target.port != wanted.port => {
            let seen =
                format!("{status} leads to port {}, and this server is on port {}", target.port, wanted.port);
            run.found_with(&rules::HTTP_REDIRECT_PORT, seen, fix);
        }
        End::Https(_) => {}
        End::OtherHttp(target) => {
            run.found_with(
                &rules::HTTP_REDIRECT_SCHEME,
                format!("{status} leads to {}", shown(&target.to_string())),
                fix,
            );
        }
        End::Loop(target) => {
            let seen = format!("{status} leads back in a circle, over {}", shown(&target.to_string()));
            run.found_with(&rules::HTTP_REDIRECT_LOOP, seen, fix);
        }
        End::Answer(last) => {
            let seen = format!("{status} leads to an http:// URL, which is answered with {last}");
            run.found_with(&rules::HTTP_REDIRECT_SCHEME, seen, fix);
        }
    }
}

/// Whether a host is another name of the checked server: a name of its certificate, or its own name with or without www.
fn is_same_server(run: &Run<'_>, other: &Host) -> bool {
    let is_www = |longer: &Host, shorter: &Host| match (longer.name(), shorter.name()) {
        (Some(longer), Some(shorter)) => longer.strip_prefix("www.") == Some(shorter),
        _ => false,
    };
    let is_of_certificate = run.own.as_ref().is_some_and(|own| trust::is_for(own, other) == Some(true));
    is_www(other, &run.url.host) || is_www(&run.url.host, other) || is_of_certificate
}

fn follow(run: &mut Run<'_>, url: &Url, first: &Reply) -> io::Result<End> {
    let mut been = vec![url.clone()];
    let mut location = first.field("location").map(str::to_string);
    loop {
        let here = been.last().unwrap_or(url);
        let target = location
            .as_deref()
            .ok_or("the redirect has no Location")
            .and_then(|target| here.join(target))
            .map_err(io::Error::other)?;
        if target.is_https {
            return Ok(End::Https(target));
        }
        if target.host != url.host || target.port != url.port {
            return Ok(End::OtherHttp(target));
        }
        if been.contains(&target) || been.len() > MOST_HOPS {
            return Ok(End::Loop(target));
        }
        let reply = ask(run, url, "GET", &target.path, &url.authority(), &[])?;
        if !reply.is_redirect() {
            return Ok(End::Answer(reply.status));
        }
        location = reply.field("location").map(str::to_string);
        been.push(target);
    }
}

fn post(run: &mut Run<'_>, url: &Url) {
    let path = format!("/.well-known/lockgate-check-{}", token());
    match ask(run, url, "POST", &path, &url.authority(), &[]) {
        Ok(reply) if matches!(reply.status, 301..=303) => {
            run.found(&rules::HTTP_POST_BECOMES_GET, format!("a POST is answered with {}", reply.status));
        }
        Ok(_) => {}
        Err(error) => run.unknown("a POST over plain HTTP", &error),
    }
}

fn foreign(run: &mut Run<'_>, url: &Url) {
    match ask(run, url, "GET", &url.path, FOREIGN, &[]) {
        Ok(reply) => {
            let target = reply.field("location").filter(|_| reply.is_redirect()).unwrap_or_default();
            if url.join(target).is_ok_and(|target| target.host.name() == Some(FOREIGN)) {
                let seen = format!("Host: {FOREIGN} is answered with a redirect to {}", shown(target));
                let fix = redirect_fix(run);
                run.found_with(&rules::HTTP_FOREIGN_HOST, seen, fix);
            }
        }
        Err(error) => run.unknown("a foreign Host over plain HTTP", &error),
    }
}

fn credentials(run: &mut Run<'_>, url: &Url) {
    let bearer = format!("Bearer lockgate-check-{}", token());
    match ask(run, url, "GET", &url.path, &url.authority(), &[("Authorization", &bearer)]) {
        Ok(reply) if reply.is_success() => {
            let seen = format!("a request with a made-up token is answered with {}", reply.status);
            run.found(&rules::HTTP_CREDENTIALS_ACCEPTED, seen);
        }
        Ok(reply) if reply.is_redirect() => {
            let seen = format!("a request with a made-up token is redirected ({})", reply.status);
            run.found(&rules::HTTP_CREDENTIALS_REDIRECTED, seen);
        }
        Ok(_) => {}
        Err(error) => run.unknown("credentials over plain HTTP", &error),
    }
}

/// Checks plain HTTP on the TLS port.
pub(super) fn on_tls_port(run: &mut Run<'_>) {
    (run.progress)("plain HTTP on the TLS port");
    let url = run.url.clone();
    let line = match run.dial() {
        Ok(line) => line,
        Err(error) => return run.unknown("plain HTTP on the TLS port", &error),
    };
    let ask = Ask { method: "GET", path: &url.path, host: &url.authority(), fields: &[] };
    let seen = match Conversation::new(line).ask(&ask) {
        Ok(reply) if reply.is_redirect() || !reply.body.is_empty() => {
            run.fact("tls", "plain_http_answer", reply.status);
            return;
        }
        Ok(reply) => format!("it is answered with {} and no text", reply.status),
        Err(_) => "no readable answer arrived".to_string(),
    };
    run.fact("tls", "plain_http_answer", serde_json::Value::Null);
    run.found(&rules::PLAIN_HTTP_UNREADABLE, seen);
}

/// Sends a request on a connection of its own.
fn ask(
    run: &mut Run<'_>,
    url: &Url,
    method: &str,
    path: &str,
    host: &str,
    fields: &[(&str, &str)],
) -> io::Result<Reply> {
    let line = run.dialer.dial(url.port)?;
    Conversation::new(line).ask(&Ask { method, path, host, fields }).map_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut {
            run.dialer.hurry();
        }
        error
    })
}

/// The right redirect for this server, to paste.
fn redirect_fix(run: &Run<'_>) -> String {
    let (host, port) = (&run.url.host, run.url.port);
    let origin = run.url.origin();
    let http = run.plain_port.unwrap_or(80);
    format!(
        "lockgate: lockgate serve … --http {http} --public-name {host} --public-port {port}
nginx: server {{ listen {http}; return 308 {origin}$request_uri; }}
Node: http.createServer((req, res) => res.writeHead(308, {{ Location: '{origin}' + req.url }}).end()).listen({http})"
    )
}

/// A token that no other client uses.
fn token() -> String {
    let mut bytes = [0; 16];
    // Without random numbers the token is not unique, which does no harm.
    let _ = provider().secure_random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

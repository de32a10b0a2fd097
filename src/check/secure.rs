//! The check of HTTP over TLS: the answer itself, its fields, HEAD, and whether the connection is kept. `Check` calls it
//! with a connection after its handshake.

use std::io::{self, ErrorKind};

use serde_json::Value;

use super::client::{Asked, Client, Secured};
use super::client_certificate;
use super::exchange::{is_end, Ask, Reply};
use super::links;
use super::rules;
use super::run::Run;
use super::trust::TrustedBy;
use crate::calendar::{iso8601_of, parse_imf_fixdate};
use crate::escape;
use crate::hsts::{self, Effect};
use crate::url::{Host, Url};

/// A difference of clocks that no network delay explains, in seconds.
const CLOCKS_MAY_DIFFER: i64 = 120;
/// The most redirects that are followed.
const MOST_HOPS: usize = 5;
/// The most descriptions of the API that are requested.
const MOST_DESCRIPTIONS: usize = 3;

/// What the handshake and the certificate have shown.
pub(super) struct Context<'a> {
    pub(super) client: &'a Client,
    pub(super) trusted_by: Option<TrustedBy>,
    /// This machine's clock, in seconds since 1970.
    pub(super) now: i64,
    /// The validity of the server's certificate.
    pub(super) validity: Option<(i64, i64)>,
    /// Whether the server has asked for a client certificate.
    pub(super) asked: Option<Asked>,
}

/// The kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// A whole answer.
    Whole,
    /// The connection ended in the middle of the answer, or the check ended it there.
    Cut,
    /// An answer which only says that the client's certificate is missing, or not accepted.
    Away,
    /// No answer.
    Not,
}

/// Sends the requests over the connection, and over others when it is not kept.
pub(super) fn look(run: &mut Run<'_>, context: &Context<'_>, secured: Secured) -> Answered {
    let answered = ask_all(run, context, secured);
    run.dialer.take_time();
    answered
}

fn ask_all(run: &mut Run<'_>, context: &Context<'_>, secured: Secured) -> Answered {
    (run.progress)("the answer over HTTPS");
    let url = run.url.clone();
    let mut talk = Talk { secured: Some(secured), client: context.client };
    let reply = match talk.ask(run, "GET", &url.path) {
        Ok(reply) => reply,
        Err(error) => {
            if context.asked.is_some_and(|asked| client_certificate::is_of_failure(run, asked, &error)) {
                return Answered::Away;
            }
            run.found(&rules::NO_ANSWER, format!("GET {}: {error}", url.path));
            return Answered::Not;
        }
    };
    run.fact("https", "status", reply.status);
    if matches!(reply.status, 502..=504) {
        run.found(&rules::GATEWAY_ERROR, format!("GET {}: {}", url.path, reply.status));
    }
    if context.asked.is_some_and(|asked| client_certificate::is_of_answer(run, asked, &reply)) {
        talk.end();
        return Answered::Away;
    }
    security(run, context, &reply);
    cookies(run, &reply);
    date(run, context, &reply);
    coding(run, &reply);
    let document: Option<Value> = serde_json::from_slice(&reply.body).ok();
    if let Some(document) = &document {
        named(run, &links::http_links(document, &url.host), "the answer links to");
    }
    if let Some(cut) = reply.cut {
        run.unknown.push(format!(
            "the end of the answer: {cut}; so the check has not looked at its links or at keep-alive"
        ));
    }
    if reply.is_success() {
        head(run, &mut talk, &reply);
    } else if reply.cut.is_none() {
        stays(run, reply.persists, None);
    }
    redirects(run, &mut talk, &reply);
    descriptions(run, &mut talk, &reply, document.as_ref());
    talk.end();
    if reply.cut.is_some() {
        Answered::Cut
    } else {
        Answered::Whole
    }
}

/// The request offered no coding.
fn coding(run: &mut Run<'_>, reply: &Reply) {
    let codings: Vec<&str> = reply
        .all("content-encoding")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .collect();
    if !codings.is_empty() {
        run.found(
            &rules::CONTENT_CODING_UNASKED,
            format!(
                "Content-Encoding: {}, which the request did not offer to decode",
                shown(&codings.join(", "))
            ),
        );
    }
}

/// Follows redirects while they lead to this server.
fn redirects(run: &mut Run<'_>, talk: &mut Talk<'_>, first: &Reply) {
    let url = run.url.clone();
    let mut been = vec![url.clone()];
    let mut next = leads_to(&url, first);
    let mut sets_cookie = first.field("set-cookie").is_some();
    while let Some((status, target)) = next {
        let to = shown(&target.to_string());
        if !target.is_https {
            return run.found(&rules::HTTPS_REDIRECTS_TO_HTTP, format!("{status} leads to {to}"));
        }
        if target.host != url.host || target.port != url.port {
            return;
        }
        if been.contains(&target) || been.len() > MOST_HOPS {
            // With the cookie the redirects may differ, and the check sends none.
            return match sets_cookie {
                true => run
                    .unknown
                    .push("the redirects over HTTPS: they may end for a client that sends the cookie".into()),
                false => run.found(
                    &rules::HTTPS_REDIRECT_LOOP,
                    format!("{status} leads back in a circle, over {to}"),
                ),
            };
        }
        let reply = match talk.ask(run, "GET", &target.path) {
            Ok(reply) => reply,
            Err(error) => return run.unknown("the redirects over HTTPS", &error),
        };
        sets_cookie |= reply.field("set-cookie").is_some();
        next = leads_to(&target, &reply);
        been.push(target);
    }
}

fn leads_to(here: &Url, reply: &Reply) -> Option<(u16, Url)> {
    let target = reply.field("location").filter(|_| reply.is_redirect())?;
    Some((reply.status, here.join(target).ok()?))
}

/// Sends requests over one connection while it is kept, then over another.
struct Talk<'a> {
    secured: Option<Secured>,
    client: &'a Client,
}

impl Talk<'_> {
    fn ask(&mut self, run: &mut Run<'_>, method: &str, path: &str) -> io::Result<Reply> {
        let mut secured = match self.secured.take() {
            Some(secured) => secured,
            None => {
                let line = run.dial()?;
                self.client.connect(line, &run.url.host)?.0
            }
        };
        secured.stream.sock.next_phase();
        let host = run.url.authority();
        let reply = secured.ask(&Ask { method, path, host: &host, fields: &[] }).map_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                run.dialer.hurry();
            }
            error
        })?;
        let persists = reply.persists && !secured.has_rest();
        self.secured = Some(secured);
        if !persists {
            self.end();
        }
        Ok(reply)
    }

    /// Servers forget the session of a connection that ends without close_notify (RFC 5246 §7.2.1).
    fn end(&mut self) {
        if let Some(mut secured) = self.secured.take() {
            secured.stream.conn.send_close_notify();
            // The server may have closed the connection already.
            let _ = secured.stream.conn.write_tls(&mut secured.stream.sock);
        }
    }

    fn has_connection(&self) -> bool {
        self.secured.is_some()
    }
}

/// RFC 6797.
fn security(run: &mut Run<'_>, context: &Context<'_>, reply: &Reply) {
    let mut fields = reply.all("strict-transport-security");
    let field = fields.next().map(str::to_string);
    let others_differ = fields.any(|other| Some(other) != field.as_deref());
    run.fact("https", "hsts", field.clone());
    let is_address = matches!(run.url.host, Host::Ip(_));
    let is_public = context.trusted_by == Some(TrustedBy::Public);
    let Some(field) = field else {
        if hsts::effect(is_address, is_public) == Effect::Protects && reply.status < 500 {
            run.found(&rules::HSTS_MISSING, "the answer has no Strict-Transport-Security field");
        }
        return;
    };
    let Some(age) = max_age(&field).filter(|_| !others_differ) else {
        run.found(&rules::HSTS_INVALID, format!("Strict-Transport-Security: {}", shown(&field)));
        return;
    };
    // max-age=0 removes HSTS (RFC 6797 §6.1.1), which locks nobody out.
    if age == 0 {
        return;
    }
    match hsts::effect(is_address, is_public) {
        Effect::Protects => {}
        Effect::Ignored => {
            let seen = format!("{} is an address, for which browsers ignore the field", run.url.host);
            run.found(&rules::HSTS_ON_ADDRESS, seen);
        }
        Effect::LocksOut => run.found(
            &rules::HSTS_LOCKS_OUT,
            format!(
                "Strict-Transport-Security: {}, with a certificate that browsers do not trust by default",
                shown(&field)
            ),
        ),
    }
}

fn max_age(field: &str) -> Option<u64> {
    let mut ages = field.split(';').filter_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().trim_matches('"'))
    });
    let age = ages.next()?;
    let is_number = !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
    // A number of seconds that does not fit counts as for ever.
    (is_number && ages.next().is_none()).then(|| age.parse().unwrap_or(u64::MAX))
}

fn cookies(run: &mut Run<'_>, reply: &Reply) {
    let names: Vec<String> = reply
        .all("set-cookie")
        .filter(|cookie| {
            // RFC 6265 §5.2.5: with any value.
            let name =
                |attribute: &str| attribute.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            !cookie.split(';').skip(1).any(|attribute| name(attribute) == "secure")
        })
        .map(|cookie| shown(cookie.split('=').next().unwrap_or_default().trim()))
        .collect();
    if !names.is_empty() {
        // Values may be secrets, so only names are reported.
        run.found(&rules::COOKIE_NOT_SECURE, format!("without Secure: {}", names.join(", ")));
    }
}

fn date(run: &mut Run<'_>, context: &Context<'_>, reply: &Reply) {
    let now = context.now;
    let Some(theirs) = reply.field("date").and_then(parse_imf_fixdate) else {
        let seen = match reply.field("date") {
            Some(date) => format!("Date: {}, which is not a date", shown(date)),
            None => "the answer has no Date field".to_string(),
        };
        run.found(&rules::DATE_MISSING, seen);
        return;
    };
    run.fact("https", "clock_ahead_seconds", theirs - now);
    if (theirs - now).abs() <= CLOCKS_MAY_DIFFER {
        return;
    }
    let is_within = |time: i64| context.validity.map(|(begins, ends)| (begins..=ends).contains(&time));
    let likely = match (is_within(theirs), is_within(now)) {
        (Some(false), Some(true)) => {
            "; the certificate is not valid at the server's time, so the server's is likely wrong"
        }
        (Some(true), Some(false)) => {
            "; the certificate is not valid at this machine's time, so this machine's is likely wrong"
        }
        _ => "",
    };
    run.found(
        &rules::CLOCKS_DIFFER,
        format!("the server's clock says {}, this machine's {}{likely}", iso8601_of(theirs), iso8601_of(now)),
    );
}

fn stays(run: &mut Run<'_>, persists: bool, lost: Option<&io::Error>) {
    run.fact("https", "keep_alive", persists && lost.is_none());
    if !persists {
        run.found(&rules::NO_KEEP_ALIVE, "the answer ends the connection");
    } else if lost.is_some() {
        run.found(&rules::NO_KEEP_ALIVE, "the connection was closed after the answer, which did not say so");
    }
}

/// Checks HEAD, on the same connection if the server keeps it; and whether the server keeps it.
fn head(run: &mut Run<'_>, talk: &mut Talk<'_>, get: &Reply) {
    let path = run.url.path.clone();
    let had_connection = talk.has_connection();
    let mut head = talk.ask(run, "HEAD", &path);
    let lost = match &head {
        Err(error) if had_connection && is_end(error) => {
            let lost = io::Error::new(error.kind(), error.to_string());
            head = talk.ask(run, "HEAD", &path);
            Some(lost)
        }
        _ => None,
    };
    if get.cut.is_none() {
        stays(run, get.persists, lost.as_ref());
    }
    let head = match head {
        Ok(head) => head,
        Err(error) => {
            run.found(&rules::HEAD_REFUSED, format!("HEAD {path}: {error}"));
            return;
        }
    };
    run.fact("https", "head_status", head.status);
    if !head.is_success() {
        run.found(
            &rules::HEAD_REFUSED,
            format!("GET is answered with {}, HEAD with {}", get.status, head.status),
        );
        return;
    }
    if get.cut.is_some() {
        return;
    }
    // A body that should not be there is in the place of the next answer. The second answer also shows whether the content
    // changes by itself.
    let had_connection = talk.has_connection();
    let second = talk.ask(run, "GET", &path);
    if let Err(error) = &second {
        if had_connection && error.kind() == ErrorKind::InvalidData {
            run.found(
                &rules::HEAD_WRONG,
                "after the answer to HEAD came bytes that are not an answer, such as a body",
            );
        }
        return;
    }
    let length = |reply: &Reply| reply.field("content-length").map(str::to_string);
    if let (Some(of_head), Some(of_get), Ok(second)) = (length(&head), length(get), &second) {
        if of_head != of_get && length(second).as_ref() == Some(&of_get) {
            let seen = format!("HEAD says Content-Length: {}, GET says {}", shown(&of_head), shown(&of_get));
            run.found(&rules::HEAD_WRONG, seen);
        }
    }
}

/// Checks the descriptions of the API that this server offers.
fn descriptions(run: &mut Run<'_>, talk: &mut Talk<'_>, reply: &Reply, document: Option<&Value>) {
    let url = run.url.clone();
    let mut servers = document.filter(|document| links::is_openapi(document)).map(links::http_servers);
    let mut places: Vec<String> = vec!["/openapi.json".to_string()];
    places.extend(reply.all("link").filter_map(service_description).map(str::to_string));
    places.extend(document.map(links::descriptions).unwrap_or_default());
    let mut targets: Vec<Url> = Vec::new();
    for place in places {
        let Ok(target) = url.join(&place) else { continue };
        let is_own = target.is_https && target.host == url.host && target.port == url.port;
        if is_own && target.path != url.path && !targets.contains(&target) {
            targets.push(target);
        }
    }
    for target in targets.into_iter().take(MOST_DESCRIPTIONS) {
        // A missing description is not a finding, so a failure is not one either.
        let Ok(reply) = talk.ask(run, "GET", &target.path) else { continue };
        let Ok(found) = serde_json::from_slice::<Value>(&reply.body) else { continue };
        if reply.is_success() && links::is_openapi(&found) {
            run.fact("https", "openapi", target.path);
            servers.get_or_insert_with(Default::default).extend(links::http_servers(&found));
        }
    }
    let servers = servers.unwrap_or_default();
    if !servers.is_empty() {
        let fix = format!("\"servers\": [{{ \"url\": \"{}\" }}]", url.origin());
        run.found_with(&rules::OPENAPI_HTTP_SERVER, format!("it names {}", some_of(&servers)), fix);
    }
}

/// `</openapi.json>; rel="service-desc"` (RFC 8631).
fn service_description(field: &str) -> Option<&str> {
    let (target, parameters) = field.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("service-desc").then_some(target)
}

fn named(run: &mut Run<'_>, found: &[String], words: &str) {
    if !found.is_empty() {
        run.found(&rules::HTTP_LINKS, format!("{words} {}", some_of(found)));
    }
}

fn some_of(found: &[String]) -> String {
    let named: Vec<String> = found.iter().take(links::MOST_NAMED).map(|text| shown(text)).collect();
    match found.len().saturating_sub(links::MOST_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Text of the server, escaped for a terminal.
pub(super) fn shown(text: &str) -> String {
    escape::bounded(text, 120).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_browsers_read_them() {
        for (field, age) in [
            ("max-age=31536000", Some(31_536_000)),
            ("includeSubDomains; Max-Age = \"10\" ; preload", Some(10)),
            ("max-age=0", Some(0)),
            ("max-age=99999999999999999999999", Some(u64::MAX)),
            ("max-age", None),
            ("max-age=", None),
            ("max-age=-1", None),
            ("max-age=1; max-age=2", None),
            ("includeSubDomains", None),
            ("", None),
        ] {
            assert_eq!(max_age(field), age, "{field}");
        }
    }

    #[test]
    fn words_of_a_server_cannot_steer_a_terminal() {
        assert_eq!(shown("a\u{1b}[31m\"b'"), "a\\u{1b}[31m\"b'");
        assert_eq!(shown(&"ä".repeat(200)), "ä".repeat(120) + "… (160 bytes more)");
    }

    #[test]
    fn the_links_to_a_description_are_found() {
        assert_eq!(service_description("</o.json>; rel=\"service-desc\""), Some("/o.json"));
        assert_eq!(service_description("</o.json>; rel=next"), None);
        assert_eq!(service_description("nonsense"), None);
    }
}

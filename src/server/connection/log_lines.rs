//! The log lines about a connection and its requests: refusals with their reasons, and the access log's line for each request.
//! `state`, `exchange` and `response` call it.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use ::http::{Method, StatusCode};

use super::asked::Told;
use super::transport::{Stream, Transport};
use crate::escape;
use crate::handler_call::{self, Fault};
use crate::http::clear_credentials::{CredentialScan, Notice, IN_CLEAR};
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::log_limiter::Sort;
use crate::server::buffers::Buffers;
use crate::server::context::Context;
use crate::tls::{Failed, Refused};

pub(crate) fn refusal(peer: SocketAddr, refusal: Refusal, buffers: &Buffers<'_>) {
    let Refusal { status, detail, limit } = refusal;
    let (code, what) = (status.as_u16(), refusal.what());
    let (context, now) = (buffers.context, buffers.now());
    match limit {
        Some(limit) => {
            context.log_refusal(what, now, format_args!("{peer}: {code} {detail} (limit {limit})"));
        }
        None => context.log_refusal(what, now, format_args!("{peer}: {code} {detail}")),
    }
}

/// Logs a client whose certificate is not accepted.
pub(crate) fn refused_client(peer: SocketAddr, why: &Refused, buffers: &Buffers<'_>) {
    buffers.context.log_refusal(why.what, buffers.now(), format_args!("{peer}: refused, {why}"));
}

pub(crate) fn failed_handshake(peer: SocketAddr, failed: Failed, buffers: &Buffers<'_>) {
    buffers.context.log_refusal(failed.what, buffers.now(), format_args!("{peer}: no handshake, {failed}"));
}

/// Logs what went wrong outside of handlers and readers.
#[cold]
pub(crate) fn faults(peer: SocketAddr, doing: &str, now: Instant, context: &Context) {
    for Fault { what, text } in handler_call::faults() {
        context.log_fault(what, now, format_args!("{peer}: {doing} the connection {text}"));
    }
}

/// Logs a connection that is closed because its time is up.
pub(crate) fn expired(peer: SocketAddr, limit: Option<Limit>, buffers: &Buffers<'_>) {
    match limit {
        // Every kept connection ends like this, so it is not worth an info line.
        Some(limit @ Limit::IdleTimeout) => log::debug!("{peer}: closed after being idle (limit {limit})"),
        Some(limit) => {
            const WHY: &str = "because nothing came or went for too long";
            let (name, now) = (limit.name(), buffers.now());
            buffers.context.log_refusal(name, now, format_args!("{peer}: closed, {WHY} (limit {limit})"));
        }
        None => {}
    }
}

/// Logs a failed read. If a handshake has failed by it, the line tells the operator the reason.
pub(crate) fn failed_read(
    peer: SocketAddr,
    failed: Option<Failed>,
    error: &io::Error,
    buffers: &Buffers<'_>,
) {
    if let Some(failed) = failed {
        failed_handshake(peer, failed, buffers);
    }
    log::debug!("{peer}: {}", escape::shown(error));
}

/// Warns of credentials that came in clear and were not reported yet.
pub(crate) fn credentials(peer: SocketAddr, found: &mut CredentialScan, buffers: &Buffers<'_>) {
    let names = found.news(&buffers.context.credential_names);
    if !names.is_empty() {
        let notice = Notice(&names);
        let sort = Sort { target: "lockgate::server", level: log::Level::Warn, what: IN_CLEAR };
        buffers.context.log_limiter.write(sort, buffers.now(), format_args!("{peer}: {notice}"));
    }
}

/// The access log's line of a request, written once it is answered. `None` means unknown.
pub(crate) struct Record {
    pub method: Option<Method>,
    /// Without the query, which may hold secrets.
    pub path: Option<String>,
    pub status: StatusCode,
    pub began: Instant,
    pub peer: SocketAddr,
    pub tls_version: &'static str,
}

impl Record {
    /// The record of a request that is about to be answered, if there is an access log.
    #[inline]
    pub(crate) fn of<S: Stream>(
        told: Told<'_>,
        peer: SocketAddr,
        transport: &Transport<S>,
        buffers: &Buffers<'_>,
    ) -> Option<Box<Record>> {
        buffers.context.access_log.then(|| Record::new(told, peer, transport.tls_version(), buffers.now()))
    }

    #[cold]
    fn new(told: Told<'_>, peer: SocketAddr, tls_version: &'static str, began: Instant) -> Box<Record> {
        let (method, path) = told.method_and_path();
        let path = path.map(|path| String::from_utf8_lossy(path).into_owned());
        Box::new(Record { method, path, status: StatusCode::OK, began, peer, tls_version })
    }

    /// Writes the line. `cut` is its end for a response that was not sent completely.
    pub(crate) fn write(&self, bytes: u64, cut: &'static str) {
        let Record { method, path, status, began, peer, tls_version } = self;
        let (method, path) = (method.as_ref().map_or("-", Method::as_str), path.as_deref().unwrap_or("-"));
        log::info!(
            target: "lockgate::access",
            "{method} {path} {} {bytes} {}us {peer} {tls_version}{cut}",
            status.as_u16(),
            began.elapsed().as_micros(),
        );
    }
}

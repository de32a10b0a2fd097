//! The log lines about a connection and its requests: refusals with their reasons, and the access log's line for each request.
//! `state`, `exchange` and `response` call it.

use std::io;
#[cfg(feature = "operations")]
use std::net::IpAddr;
use std::net::SocketAddr;
#[cfg(feature = "operations")]
use std::sync::Arc;
use std::time::Instant;

use ::http::{Method, StatusCode};
use rustix::io::Errno;

use super::asked::Told;
use super::transport::{Stream, Transport};
use crate::escape;
use crate::http::clear_credentials::{CredentialScan, Notice, IN_CLEAR};
#[cfg(feature = "operations")]
use crate::http::params::Route;
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::log_limiter::{About, Sort};
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
#[cfg(feature = "operations")]
use crate::router::call::Call;
use crate::server::buffers::Buffers;
use crate::server::context::Context;
use crate::tls::{Failed, Refused};

#[cold]
#[inline(never)]
pub(crate) fn refusal(peer: SocketAddr, refusal: Refusal, buffers: &Buffers<'_>) {
    let Refusal { status, detail, limit } = refusal;
    let (code, what) = (status.as_u16(), refusal.what());
    match limit {
        Some(limit) => buffers.log_refusal(what, format_args!("{peer}: {code} {detail} (limit {limit})")),
        None => buffers.log_refusal(what, format_args!("{peer}: {code} {detail}")),
    }
}

/// Logs a client whose certificate is not accepted.
#[cold]
#[inline(never)]
pub(crate) fn refused_client(peer: SocketAddr, why: &Refused, buffers: &Buffers<'_>) {
    buffers.context.log_refusal(why.what, buffers.now(), format_args!("{peer}: refused, {why}"));
}

/// The same during the handshake.
#[cold]
#[inline(never)]
pub(crate) fn refused_handshake(peer: SocketAddr, why: &Refused, buffers: &Buffers<'_>) {
    buffers.context.log_handshake(why.what, buffers.now(), format_args!("{peer}: refused, {why}"));
}

#[cold]
#[inline(never)]
pub(crate) fn failed_handshake(peer: SocketAddr, failed: Failed, buffers: &Buffers<'_>) {
    buffers.context.log_handshake(failed.what, buffers.now(), format_args!("{peer}: no handshake, {failed}"));
}

/// Logs what went wrong outside of handlers and readers.
#[cold]
#[inline(never)]
pub(crate) fn faults(peer: SocketAddr, doing: &str, now: Instant, context: &Context) {
    context.log_faults(now, format_args!("{peer}: {doing} the connection"));
}

/// Logs a connection that is closed because its time is up.
#[cold]
#[inline(never)]
pub(crate) fn expired(peer: SocketAddr, limit: Option<Limit>, buffers: &Buffers<'_>) {
    match limit {
        // Every kept connection ends like this, so it is not worth an info line.
        Some(limit @ Limit::IdleTimeout) => {
            let sort = Sort { target: "lockgate::server", level: log::Level::Info, what: limit.name() };
            buffers.context.log_limiter.count(About::Refusal, sort);
            log::debug!("{peer}: closed after being idle (limit {limit})");
        }
        Some(limit) => {
            const WHY: &str = "because nothing came or went for too long";
            let (name, now) = (limit.name(), buffers.now());
            buffers.context.log_refusal(name, now, format_args!("{peer}: closed, {WHY} (limit {limit})"));
        }
        None => {}
    }
}

/// Logs a failed read. If a handshake has failed by it, or the client has confirmed nothing for too long, the line tells the
/// operator the reason.
#[cold]
#[inline(never)]
pub(crate) fn failed_read<S: Stream>(
    peer: SocketAddr,
    transport: &Transport<S>,
    failed: Option<Failed>,
    error: &io::Error,
    buffers: &Buffers<'_>,
) {
    if let Some(failed) = failed {
        failed_handshake(peer, failed, buffers);
    }
    // Not in the smallest programs, for their size.
    if cfg!(feature = "upgrade")
        && transport.limits_silence
        && error.raw_os_error() == Some(Errno::TIMEDOUT.raw_os_error())
    {
        expired(peer, Some(Limit::WriteTimeout), buffers);
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
    #[cfg(feature = "operations")]
    pub id: RequestId,
    #[cfg(feature = "operations")]
    pub route: Option<Arc<Route>>,
}

/// Notes the route whose handler is called.
#[cfg(feature = "operations")]
#[inline]
pub(crate) fn note_route(record: &mut Option<Box<Record>>, call: Call<'_>) {
    if let Some(record) = record {
        record.route = call.logged_route().cloned();
    }
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
        buffers.context.access_log.then(|| Record::new(told, peer, transport.tls_version(), buffers))
    }

    #[cold]
    fn new(
        told: Told<'_>,
        peer: SocketAddr,
        tls_version: &'static str,
        buffers: &Buffers<'_>,
    ) -> Box<Record> {
        let (method, path) = told.method_and_path();
        let path = path.map(|path| String::from_utf8_lossy(path).into_owned());
        Box::new(Record {
            method,
            path,
            status: StatusCode::OK,
            began: buffers.now(),
            peer,
            tls_version,
            #[cfg(feature = "operations")]
            id: buffers.id.clone(),
            #[cfg(feature = "operations")]
            route: None,
        })
    }

    /// Writes the line. `cut` is its end for a response that was not sent completely.
    pub(crate) fn write(&self, bytes: u64, cut: &'static str) {
        let Record { method, path, status, began, peer, tls_version, .. } = self;
        let (method, path) = (method.as_ref().map_or("-", Method::as_str), path.as_deref().unwrap_or("-"));
        let (status, micros) = (status.as_u16(), began.elapsed().as_micros());
        // The parts are looked at only where the log has them as fields.
        #[cfg(feature = "operations")]
        if log::log_enabled!(target: "lockgate::access", log::Level::Info) {
            let (micros, address, is_cut) = (micros as u64, peer.ip(), !cut.is_empty());
            let parts = Parts { record: self, method, path, bytes, micros, address, is_cut };
            log::logger().log(
                &log::Record::builder()
                    .level(log::Level::Info)
                    .target("lockgate::access")
                    .key_values(&parts)
                    .args(format_args!(
                        "{method} {path} {status} {bytes} {micros}us {peer} {tls_version}{cut}"
                    ))
                    .build(),
            );
        }
        #[cfg(not(feature = "operations"))]
        log::info!(
            target: "lockgate::access",
            "{method} {path} {status} {bytes} {micros}us {peer} {tls_version}{cut}",
        );
    }
}

/// The parts of an access line.
#[cfg(feature = "operations")]
struct Parts<'r> {
    record: &'r Record,
    method: &'r str,
    path: &'r str,
    bytes: u64,
    micros: u64,
    address: IpAddr,
    is_cut: bool,
}

#[cfg(feature = "operations")]
impl log::kv::Source for Parts<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn log::kv::VisitSource<'kvs>) -> Result<(), log::kv::Error> {
        use log::kv::{Key, Value};
        let Record { status, peer, tls_version, id, route, .. } = self.record;
        let mut pair = |key: &'static str, value| visitor.visit_pair(Key::from(key), value);
        pair("request_id", Value::from_display(id))?;
        pair("method", Value::from(self.method))?;
        pair("path", Value::from(self.path))?;
        pair("status", Value::from(status.as_u16()))?;
        pair("bytes", Value::from(self.bytes))?;
        pair("duration_us", Value::from(self.micros))?;
        pair("peer", Value::from_display(&self.address))?;
        pair("peer_port", Value::from(peer.port()))?;
        pair("tls", Value::from(*tls_version))?;
        pair("route", Value::from(route.as_ref().map_or("-", |route| &*route.pattern)))?;
        pair("cut", Value::from(self.is_cut))
    }
}

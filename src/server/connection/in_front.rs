//! What those in front of the server say of a connection's clients: the PROXY header that a connection begins with, and the fields in
//! which proxies tell who has sent a request. `operations` reads both; this file joins them to a connection. `handshake` calls it
//! before TLS, and `exchange` for each request.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use super::asked::Asked;
use super::link::Link;
use super::transport::Stream;
use crate::http::span::Field;
use crate::limits::limit::Limit;
use crate::log_limiter::{About, Sort};
use crate::operations::forwarded::{self, Fields};
use crate::operations::in_front::{HeaderOf, InFront, NOT_ALLOWED};
use crate::operations::proxy_protocol::{self, Foreign, Progress, ProxyHeader};
use crate::server::buffers::Buffers;

/// How far the header has come.
pub(crate) enum HeaderRead {
    Waits,
    /// It is whole; TLS comes next.
    Done,
    /// The connection ends.
    IsOver,
}

/// Reads the header that the connection has to begin with, and nothing behind it.
#[cold]
pub(crate) fn read_header<S: Stream>(
    link: &mut Link<S>,
    buffers: &mut Buffers<'_>,
) -> io::Result<HeaderRead> {
    let HeaderOf::Awaited(reading) = &mut link.header else { return Ok(HeaderRead::Done) };
    loop {
        let read = match link.transport.read_before_tls(reading.room()) {
            // A check of the balancer whether the port is open.
            Ok(0) if reading.is_empty() => return Ok(HeaderRead::IsOver),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(HeaderRead::Waits),
            Err(error) => return Err(error),
        };
        let progress = match read {
            0 => Err(proxy_protocol::ProxyHeaderFault::Short),
            read => reading.filled(read),
        };
        match progress {
            Ok(Progress::Part) => {}
            Ok(Progress::Whole(header)) => {
                link.header = HeaderOf::Balancer;
                return Ok(take_header(link, header, buffers));
            }
            Err(fault) => {
                refuse(link.peer, WHAT, format_args!("{fault}; {}", proxy_protocol::EXPECTED), buffers);
                return Ok(HeaderRead::IsOver);
            }
        }
    }
}

/// The kind of the log lines about connections without a good header.
const WHAT: &str = "no PROXY header";

#[cold]
fn refuse(peer: SocketAddr, what: &'static str, why: std::fmt::Arguments<'_>, buffers: &Buffers<'_>) {
    buffers.context.log_refusal(what, buffers.now(), format_args!("{peer}: closed, {why}"));
}

/// Gives the connection to the client that the header names, if that has a place. Without one it stays the balancer's own.
fn take_header<S: Stream>(
    link: &mut Link<S>,
    header: Option<ProxyHeader>,
    buffers: &Buffers<'_>,
) -> HeaderRead {
    let balancer = link.peer;
    if header.is_none() {
        log::debug!("{balancer}: a connection of the balancer itself");
    }
    if let Some(header) = header {
        link.peer = header.source().unwrap_or(balancer);
        let (header, forwarded) = (Some(Arc::new(header)), None);
        link.in_front = Some(Arc::new(InFront { header, forwarded, peer: link.peer }));
    }
    match buffers.context.per_address.admit(link.counted_address()) {
        Some(admission) => {
            link.admission = admission;
            HeaderRead::Done
        }
        None => {
            let (peer, limit) = (link.peer, Limit::ConnectionsPerAddress);
            let why = "closed, too many connections from its address";
            buffers.context.log_refusal(
                limit.name(),
                buffers.now(),
                format_args!("{peer}: {why} (limit {limit})"),
            );
            HeaderRead::IsOver
        }
    }
}

/// Whether the connection is closed because its header has not come in time. Then the log says so.
#[cold]
pub(crate) fn header_is_late<S: Stream>(link: &Link<S>, buffers: &Buffers<'_>) -> bool {
    let is_late = link.header.is_awaited();
    if is_late {
        let limit = Limit::HandshakeTimeout;
        let expected = proxy_protocol::EXPECTED;
        refuse(
            link.peer,
            WHAT,
            format_args!("no PROXY header has come in time (limit {limit}); {expected}"),
            buffers,
        );
    }
    is_late
}

/// Whether what has come in the place of TLS is a PROXY header. Then the log says so.
pub(crate) fn is_header<S: Stream>(link: &Link<S>, received: &[u8], buffers: &Buffers<'_>) -> bool {
    let Some(foreign) = proxy_protocol::foreign(received) else { return false };
    let peer = link.peer;
    match (foreign, &link.header) {
        (_, HeaderOf::Balancer) => {
            refuse(peer, WHAT, format_args!("a second PROXY header has come behind the first"), buffers);
        }
        // It would be logged every second, and is in nobody's way.
        (Foreign::Local, _) => log::debug!("{peer}: a health check with a PROXY header"),
        (Foreign::Header, _) => {
            let (what, why) = (NOT_ALLOWED, proxy_protocol::UNEXPECTED);
            refuse(peer, what, format_args!("{why}"), buffers);
        }
    }
    true
}

/// Finds who has sent a request, if trusted proxies may pass some on. From then on the request is that client's.
#[inline(always)]
pub(crate) fn name_client<S: Stream>(link: &mut Link<S>, asked: &Asked<'_>, buffers: &mut Buffers<'_>) {
    if !buffers.context.networks.forwarded.is_empty() {
        find_client(link, asked, buffers);
    }
}

#[cold]
fn find_client<S: Stream>(link: &mut Link<S>, asked: &Asked<'_>, buffers: &mut Buffers<'_>) {
    let networks = &buffers.context.networks.forwarded;
    // A request that had to wait for another worker is read again.
    link.forget_forwarded();
    let peer = link.peer;
    if !forwarded::is_in(networks, peer.ip()) {
        return;
    }
    link.id.take_from(&|name| {
        let is_it = |field: &&Field| field.name.of(asked.head).eq_ignore_ascii_case(name.as_bytes());
        let mut found = asked.fields.iter().filter(is_it);
        found.next().filter(|_| found.next().is_none()).map(|field| field.value.of(asked.head))
    });
    buffers.id.clone_from(&link.id);
    let mut fields = Fields::default();
    for field in asked.fields {
        if let Some(values) = fields.named(field.name.of(asked.head)) {
            values.push(field.value.of(asked.head));
        }
    }
    let Some((forwarded, doubt)) = forwarded::read(&fields, peer, networks) else { return };
    if let Some(doubt) = doubt {
        let (what, way_out) = (doubt.what(), doubt.way_out());
        let client = forwarded.client();
        // The request is served all the same.
        buffers.context.log_limiter.write_as(
            About::Notice,
            Sort { target: "lockgate::server", level: log::Level::Info, what },
            buffers.now(),
            format_args!("{peer}: {what}, so {client} counts as the client; {way_out}"),
        );
    }
    link.peer = forwarded.client();
    let header = link.in_front.as_ref().and_then(|in_front| in_front.header.clone());
    link.in_front = Some(Arc::new(InFront { header, forwarded: Some(forwarded), peer }));
}

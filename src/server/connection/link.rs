//! A connection's link to its client: the transport, the client, and until when something has to come. `exchange` answers
//! requests over it, and the other stages read and write it.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::body::Reader;
use super::client_cert::Client;
use super::head::Head;
use super::log_lines;
use super::request::RateLimit;
use super::transport::{Stream, Transport};
use crate::http::origin::Serving;
use crate::limits::limit::Limit;
use crate::limits::per_address::Admission;
use crate::limits::rate::Rate;
#[cfg(feature = "operations")]
use crate::operations::in_front::{HeaderOf, InFront};
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::deadline::Deadline;
use crate::server::scheduler::Scheduler;
#[cfg(feature = "tls-parameters")]
use crate::tls::TlsParameters;
use crate::tls::{Agreed, ClientIdentity};

/// After this wait, in milliseconds, a request's client may have left. Asking the system earlier costs more than it saves.
const WORTH_A_LOOK: Millis = 5;

pub(crate) struct Link<S: Stream> {
    /// The connection's key in the poller.
    pub key: usize,
    pub peer: SocketAddr,
    pub transport: Transport<S>,
    pub deadline: Deadline,
    /// What the handshake has agreed on, once it is done.
    pub tls: Agreed,
    /// Who the client is, when it has shown a certificate.
    pub client: Option<Box<Client>>,
    /// Whether a request was answered.
    pub served: bool,
    /// Whether the current request has waited in the queue for a worker.
    pub was_queued: bool,
    /// The rest of a request's body, when its response does not wait for that. What takes the rest gets it, and what nothing takes
    /// is read and dropped before the next head.
    pub unread: Option<Box<Reader>>,
    /// The place among the connections of its address, held for as long as it is open.
    #[cfg_attr(not(feature = "operations"), allow(dead_code))]
    pub admission: Admission,
    /// The PROXY header that comes before TLS.
    #[cfg(feature = "operations")]
    pub header: HeaderOf,
    /// What those in front say of the client, which is then the `peer`.
    #[cfg(feature = "operations")]
    pub in_front: Option<Arc<InFront>>,
    /// Of the current request.
    #[cfg(feature = "operations")]
    pub id: RequestId,
    /// The bytes that are counted already.
    #[cfg(feature = "operations")]
    counted: (u64, u64),
}

/// Who sent a request.
pub(crate) struct Caller {
    pub peer: SocketAddr,
    /// The connection's key.
    pub key: usize,
    pub tls: Agreed,
    pub client: Option<Arc<ClientIdentity>>,
    #[cfg(feature = "operations")]
    pub in_front: Option<Arc<InFront>>,
}

/// What a request's handler can ask of the server.
pub(crate) struct Serves<'s> {
    pub scheduler: &'s dyn Scheduler,
    /// The connection's key.
    pub key: usize,
    #[cfg_attr(not(feature = "tls-parameters"), allow(dead_code))]
    pub tls: Agreed,
}

impl Serving for Serves<'_> {
    fn client_is_gone(&self) -> bool {
        self.scheduler.is_gone(self.key)
    }

    #[cfg(feature = "tls-parameters")]
    fn tls(&self) -> Option<TlsParameters> {
        Some(self.tls.parameters)
    }

    fn service(&self) -> &dyn Any {
        self.scheduler.service()
    }

    #[cfg(feature = "handler-timeout")]
    fn waits_for_responses(&self) -> bool {
        true
    }
}

impl<S: Stream> Link<S> {
    pub(crate) fn new(
        peer: SocketAddr,
        transport: Transport<S>,
        deadline: Deadline,
        admission: Admission,
    ) -> Link<S> {
        Link {
            key: usize::MAX,
            peer,
            transport,
            deadline,
            tls: Agreed::NOTHING,
            client: None,
            served: false,
            was_queued: false,
            unread: None,
            admission,
            #[cfg(feature = "operations")]
            header: HeaderOf::Nobody,
            #[cfg(feature = "operations")]
            in_front: None,
            #[cfg(feature = "operations")]
            id: RequestId::of_connection(),
            #[cfg(feature = "operations")]
            counted: (0, 0),
        }
    }

    /// Tells the worker's buffers how many requests may be answered in this turn, and which is the current one.
    #[inline]
    pub(crate) fn begin_turn(&self, requests: u32, buffers: &mut Buffers<'_>) {
        buffers.requests_left = requests;
        #[cfg(feature = "operations")]
        buffers.renew_limits();
        #[cfg(feature = "operations")]
        buffers.id.follow(&self.id);
    }

    /// Begins the next request.
    #[cfg(feature = "operations")]
    #[inline]
    pub(crate) fn begin_request(&mut self, buffers: &mut Buffers<'_>) {
        self.id.advance();
        buffers.id.follow(&self.id);
    }

    /// Counts the bytes that came and went since it was called last.
    #[inline(always)]
    pub(crate) fn count_bytes(&mut self, buffers: &Buffers<'_>) {
        #[cfg(feature = "operations")]
        {
            let (received, sent) = self.transport.transferred();
            buffers.counts.transferred(received - self.counted.0, sent - self.counted.1);
            self.counted = (received, sent);
        }
        #[cfg(not(feature = "operations"))]
        let _ = buffers;
    }

    /// Begins the wait for the next request.
    pub(crate) fn await_request(&mut self, buffers: &Buffers<'_>) {
        self.served = true;
        #[cfg(feature = "operations")]
        if self.in_front.is_some() {
            self.forget_forwarded();
        }
        self.deadline = buffers.deadline(Limit::IdleTimeout, buffers.limits().idle_timeout);
    }

    /// Notes that a part of a head has come. For the first head the time runs since the handshake.
    pub(crate) fn note_begun(&mut self, head: &mut Head, buffers: &Buffers<'_>) {
        if !std::mem::replace(&mut head.has_begun, true) && self.served {
            self.deadline = buffers.deadline(Limit::HeadTimeout, buffers.limits().head_timeout);
        }
    }

    /// Whether the client's certificate, if it has shown one, is still accepted. Only the log gets the reason if not.
    #[inline(always)]
    pub(crate) fn is_still_let_in(&mut self, buffers: &Buffers<'_>) -> bool {
        self.client.is_none() || self.check_client(buffers)
    }

    /// Whether a response is cut, because it may go on for days and its client is not accepted any more.
    pub(crate) fn cuts(&mut self, is_live: bool, buffers: &Buffers<'_>) -> bool {
        is_live && !self.is_still_let_in(buffers)
    }

    #[inline(never)]
    fn check_client(&mut self, buffers: &Buffers<'_>) -> bool {
        let Some(client) = &mut self.client else { return true };
        let checked = client.check(&self.transport, &buffers.context.tls, buffers.millis());
        if let Err(why) = &checked {
            log_lines::refused_client(self.peer, why, buffers);
        }
        checked.is_ok()
    }

    /// Whether the client has left while its request waited. A client that has only closed its sending side has not.
    #[inline]
    pub(crate) fn has_left(&mut self, since: Millis, buffers: &Buffers<'_>) -> bool {
        let waited = buffers.millis().saturating_sub(since);
        let has_waited = std::mem::take(&mut self.was_queued) || waited >= WORTH_A_LOOK;
        has_waited && self.is_broken()
    }

    #[inline(never)]
    fn is_broken(&mut self) -> bool {
        let left = self.transport.fault().is_some();
        if left {
            log::debug!("{}: the client has left before its request's turn came", self.peer);
        }
        left
    }

    /// Whether the client's address is within its rate. A request counts once, however often it is looked at.
    #[inline(always)]
    pub(crate) fn count_request(&self, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        match buffers.context.rate() {
            None => RateLimit::Within,
            Some(rate) => self.count_at(rate, head, buffers),
        }
    }

    #[inline(never)]
    fn count_at(&self, rate: &Rate, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        let address = self.counted_address();
        let is_counted = std::mem::replace(&mut head.is_counted, true)
            || address.is_loopback() && !buffers.limits().count_loopback;
        if is_counted || rate.allows(address, buffers.now()) {
            RateLimit::Within
        } else {
            RateLimit::Exceeded
        }
    }

    /// The address that the limits count. What others name is never exempt as this machine's own: loopback addresses that come so
    /// count together, for one address that nobody has.
    #[inline(always)]
    pub(crate) fn counted_address(&self) -> IpAddr {
        match self.peer.ip() {
            #[cfg(feature = "operations")]
            address if self.in_front.is_some() && address.is_loopback() => {
                std::net::Ipv4Addr::UNSPECIFIED.into()
            }
            address => address,
        }
    }

    /// Whether it is a connection of a balancer itself, such as a health check. How its handshake ends is in no log: that would be
    /// there every second.
    #[inline(always)]
    pub(crate) fn is_balancers_own(&self) -> bool {
        #[cfg(feature = "operations")]
        return matches!(self.header, HeaderOf::Balancer) && self.in_front.is_none();
        #[cfg(not(feature = "operations"))]
        false
    }

    /// Ends what was said of the last request: the connection is its peer's.
    #[cfg(feature = "operations")]
    #[cold]
    pub(crate) fn forget_forwarded(&mut self) {
        let Some(in_front) = &self.in_front else { return };
        if in_front.forwarded.is_some() {
            let InFront { header, peer, .. } = InFront::clone(in_front);
            self.peer = peer;
            self.in_front =
                header.map(|header| Arc::new(InFront { header: Some(header), forwarded: None, peer }));
        }
    }

    #[inline]
    pub(crate) fn caller(&self) -> Caller {
        let client = self.client.as_ref().map(|client| client.identity.clone());
        Caller {
            peer: self.peer,
            key: self.key,
            tls: self.tls,
            client,
            #[cfg(feature = "operations")]
            in_front: self.in_front.clone(),
        }
    }

    /// Sends close_notify, if the socket takes it at once, so that the client knows that the connection ends on purpose.
    pub(crate) fn say_goodbye(&mut self) {
        if self.transport.is_handshaking() {
            return;
        }
        if let Err(error) = self.transport.say_goodbye() {
            log::trace!("{}: {error}", self.peer);
        }
    }
}

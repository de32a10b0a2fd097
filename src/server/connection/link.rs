//! A connection's link to its client: the transport, the client, and until when something has to come. `exchange` answers
//! requests over it, and the other stages read and write it.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use super::body::Reader;
use super::client_cert::Client;
use super::head::Head;
use super::log_lines;
use super::request::RateLimit;
use super::transport::{Stream, Transport};
use crate::http::origin::Serving;
use crate::limits::limit::Limit;
use crate::limits::rate::Rate;
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
    /// The body of a request that is answered without it. It is read and dropped before the next head.
    pub unwanted: Option<Box<Reader>>,
}

/// Who sent a request.
pub(crate) struct Caller {
    pub peer: SocketAddr,
    /// The connection's key.
    pub key: usize,
    pub tls: Agreed,
    pub client: Option<Arc<ClientIdentity>>,
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
    pub(crate) fn new(peer: SocketAddr, transport: Transport<S>, deadline: Deadline) -> Link<S> {
        Link {
            key: usize::MAX,
            peer,
            transport,
            deadline,
            tls: Agreed::NOTHING,
            client: None,
            served: false,
            was_queued: false,
            unwanted: None,
        }
    }

    /// Begins the wait for the next request.
    pub(crate) fn await_request(&mut self, buffers: &Buffers<'_>) {
        self.served = true;
        self.deadline = buffers.deadline(Limit::IdleTimeout, buffers.context.limits.idle_timeout);
    }

    /// Notes that a part of a head has come. For the first head the time runs since the handshake.
    pub(crate) fn note_begun(&mut self, head: &mut Head, buffers: &Buffers<'_>) {
        if !std::mem::replace(&mut head.has_begun, true) && self.served {
            self.deadline = buffers.deadline(Limit::HeadTimeout, buffers.context.limits.head_timeout);
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
        let left = self.transport.is_broken();
        if left {
            log::debug!("{}: the client has left before its request's turn came", self.peer);
        }
        left
    }

    /// Whether the client's address is within its rate. A request counts once, however often it is looked at.
    #[inline(always)]
    pub(crate) fn count_request(&self, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        match &buffers.context.rate {
            None => RateLimit::Within,
            Some(rate) => self.count_at(rate, head, buffers),
        }
    }

    #[inline(never)]
    fn count_at(&self, rate: &Rate, head: &mut Head, buffers: &Buffers<'_>) -> RateLimit {
        let address = self.peer.ip();
        let is_counted = std::mem::replace(&mut head.is_counted, true)
            || address.is_loopback() && !buffers.context.limits.count_loopback;
        if is_counted || rate.allows(address, buffers.now()) {
            RateLimit::Within
        } else {
            RateLimit::Exceeded
        }
    }

    #[inline]
    pub(crate) fn caller(&self) -> Caller {
        let client = self.client.as_ref().map(|client| client.identity.clone());
        Caller { peer: self.peer, key: self.key, tls: self.tls, client }
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

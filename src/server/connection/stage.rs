//! The stages of a connection, with their data, and their rank when the server needs room. `state` moves from one stage to the
//! next.

use std::io;

use super::body::Reader;
use super::collecting::Collecting;
use super::head::Head;
use super::later;
use super::lingering::Lingering;
use super::link::Link;
use super::next::Later;
use super::response::Sending;
use super::transport::Stream;
#[cfg(feature = "upgrade")]
use super::upgraded::Upgraded;
use crate::limits::Limits;
use crate::server::clock::{whole_millis, Millis};
#[cfg(feature = "operations")]
use crate::server::counts::State;
use crate::server::turn::Idle;
use crate::tls::{self, Failed};

pub(crate) enum Stage {
    /// Began under these rules for clients.
    Handshake {
        rules: u64,
    },
    Head(Head),
    Body(Box<Collecting>),
    /// The rest of the body of an answered request.
    Unwanted(Box<Reader>),
    /// The response comes later.
    Pending(Later),
    Sending(Box<Sending>),
    Linger(Lingering),
    #[cfg(feature = "upgrade")]
    Upgraded(Box<Upgraded>),
}

/// What a stop does to a connection that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InAStop {
    Closes,
    /// It has a short time left.
    Hurries,
    /// It comes to its end by itself.
    Finishes,
}

impl Stage {
    /// The rank of a connection that is parked until `deadline`, when the server needs room. `fresh` is when it was accepted,
    /// if no request was answered on it yet.
    pub(crate) fn idle(&self, fresh: Option<Millis>, deadline: Millis, now: Millis, limits: &Limits) -> Idle {
        match (self, fresh) {
            (Stage::Handshake { .. } | Stage::Head(_), Some(accepted)) => Idle::Head(accepted),
            (Stage::Head(head), None) if head.has_begun => {
                Idle::Head(deadline.saturating_sub(whole_millis(limits.head_timeout)))
            }
            (Stage::Handshake { .. } | Stage::Head(_), None) => Idle::Since(now),
            (Stage::Unwanted(_) | Stage::Linger(_), _) => Idle::Since(now),
            (Stage::Body(collecting), _) => collecting.idle(limits.body_min_rate),
            (Stage::Pending(later), _) => later::idle(later, limits),
            (Stage::Sending(sending), _) => sending.idle(now, limits.write_min_rate),
            #[cfg(feature = "upgrade")]
            (Stage::Upgraded(upgraded), _) => upgraded.idle(now, limits.write_min_rate),
        }
    }

    /// Whether a message is under way whose rest is never refused, and which is cut without the end that TLS has for a whole one.
    pub(crate) fn has_begun_sending(&self) -> bool {
        match self {
            Stage::Sending(_) => true,
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(_) => true,
            _ => false,
        }
    }

    /// The handshake that has failed by this error of a read. A client may refuse right after it (TLS 1.3).
    pub(crate) fn failed_handshake<S: Stream>(&self, link: &Link<S>, error: &io::Error) -> Option<Failed> {
        match self {
            _ if link.is_balancers_own() => None,
            Stage::Handshake { .. } if link.transport.has_begun() => tls::failed_handshake(error),
            Stage::Head(head) if !link.served && !head.has_begun => tls::client_alert(error),
            _ => None,
        }
    }

    /// What a connection waits for at this stage.
    #[cfg(feature = "operations")]
    pub(crate) fn waits_for(&self) -> State {
        match self {
            Stage::Handshake { .. } => State::Handshake,
            Stage::Head(head) if head.has_begun => State::Head,
            Stage::Head(_) => State::Idle,
            Stage::Body(_) | Stage::Unwanted(_) => State::Body,
            Stage::Pending(_) => State::Pending,
            Stage::Sending(sending) => sending.waits_for(),
            Stage::Linger(_) => State::Closing,
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(upgraded) => upgraded.waits_for(),
        }
    }

    /// A client whose connection `is_fresh` is about to ask for the first time. It would not ask again over another connection, as one
    /// does whose kept connection has ended.
    pub(crate) fn in_a_stop(&self, is_fresh: bool) -> InAStop {
        match self {
            Stage::Head(head) if !head.has_begun && !is_fresh => InAStop::Closes,
            Stage::Handshake { .. } | Stage::Head(_) | Stage::Linger(_) => InAStop::Hurries,
            Stage::Body(_) | Stage::Unwanted(_) | Stage::Pending(_) | Stage::Sending(_) => InAStop::Finishes,
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(_) => InAStop::Finishes,
        }
    }

    /// Whether the server ignores everything that the client still sends.
    pub(crate) fn is_ending(&self) -> bool {
        match self {
            Stage::Sending(sending) => sending.closes() && !sending.takes_body(),
            Stage::Linger(_) => true,
            Stage::Handshake { .. }
            | Stage::Head(_)
            | Stage::Body(_)
            | Stage::Unwanted(_)
            | Stage::Pending(_) => false,
            #[cfg(feature = "upgrade")]
            Stage::Upgraded(_) => false,
        }
    }
}

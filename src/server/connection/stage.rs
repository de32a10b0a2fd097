//! The stages of a connection, with their data, and their rank when the server needs room. `state` moves from one stage to the
//! next.

use super::body::Reader;
use super::collecting::Collecting;
use super::head::Head;
use super::lingering::Lingering;
use super::response::Sending;
use crate::limits::Limits;
use crate::server::clock::{whole_millis, Millis};
use crate::server::turn::Idle;

pub(crate) enum Stage {
    /// Began under these rules for clients.
    Handshake {
        rules: u64,
    },
    Head(Head),
    Body(Box<Collecting>),
    /// The rest of the body of an answered request.
    Unwanted(Box<Reader>),
    Sending(Box<Sending>),
    Linger(Lingering),
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
            (Stage::Sending(sending), _) => sending.idle(now, limits.write_min_rate),
        }
    }

    /// Whether the server ignores everything that the client still sends.
    pub(crate) fn is_ending(&self) -> bool {
        match self {
            Stage::Sending(sending) => sending.closes(),
            Stage::Linger(_) => true,
            Stage::Handshake { .. } | Stage::Head(_) | Stage::Body(_) | Stage::Unwanted(_) => false,
        }
    }
}

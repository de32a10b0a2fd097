//! Why a request got no answer of a backend, and what follows: it is sent again, or the client gets an answer of this server. Values
//! only. `exchange` does what is decided here.

use std::io;

use ::http::StatusCode;

use super::chosen::Chosen;
use super::connection::{is_busy, is_no_handshake, is_refused};
use super::ejection::Kind;
use super::error_page::{self, Shows};
use super::health::NoTarget;
use super::shared::{Settings, Shared};
use super::shortage::Shortage;
use crate::http::response::Response;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection. Nothing was sent.
    Connect(io::Error),
    ConnectTimeout,
    HandshakeTimeout,
    /// This machine lacks something for a connection.
    Shortage(Shortage),
    /// The connection ended before an answer began.
    Ended(Option<io::Error>),
    /// The backend has begun an answer, be it with an interim response (1xx), and not ended its head.
    CutHead,
    Malformed(&'static str),
    Silent,
    NoTarget(NoTarget),
    Own(&'static str),
}

impl Failure {
    /// No connection, because of this error.
    pub(super) fn connect(error: io::Error) -> Failure {
        match Shortage::of(&error) {
            Some(shortage) => Failure::Shortage(shortage),
            None => Failure::Connect(error),
        }
    }

    /// The connection has broken, or cannot be waited for.
    pub(super) fn broken(error: io::Error) -> Failure {
        match Shortage::of(&error) {
            Some(shortage) => Failure::Shortage(shortage),
            None => Failure::Ended(Some(error)),
        }
    }

    /// Whether the same target is to be asked again soon.
    pub(super) fn is_for_now(&self) -> bool {
        match self {
            Failure::Connect(error) => is_busy(error),
            Failure::Shortage(_) => true,
            _ => false,
        }
    }

    /// What it says of the target. That a kept connection was closed says nothing. Nor does the end of one that has not got the
    /// whole request: a client that sends its body too slowly, or too much of it, makes the best backend end the connection.
    pub(super) fn kind(&self, tried: Tried) -> Option<Kind> {
        match self {
            _ if self.is_for_now() => None,
            Failure::Connect(error) if is_no_handshake(error) => Some(Kind::Tls),
            Failure::Connect(_) => Some(Kind::Refused),
            Failure::HandshakeTimeout => Some(Kind::Tls),
            Failure::ConnectTimeout => Some(Kind::ConnectTimeout),
            Failure::Ended(_) | Failure::CutHead if !tried.is_whole => None,
            Failure::Ended(_) => (!tried.was_kept).then_some(Kind::Closed),
            Failure::CutHead => Some(Kind::Closed),
            Failure::Malformed(_) => Some(Kind::Malformed),
            Failure::Silent => Some(Kind::Silent),
            Failure::Shortage(_) | Failure::NoTarget(_) | Failure::Own(_) => None,
        }
    }

    /// What the client gets instead of an answer of the backend. `are_several` says that it is one of several.
    pub(super) fn answer(&self, shows: Shows, are_several: bool) -> Response {
        let (status, detail) = match self {
            Failure::NoTarget(NoTarget::NoneReachable) if are_several => {
                (StatusCode::SERVICE_UNAVAILABLE, "None of the servers behind this one can be reached.")
            }
            Failure::Connect(_) | Failure::NoTarget(NoTarget::NoneReachable) => {
                (StatusCode::BAD_GATEWAY, "The server behind this one cannot be reached.")
            }
            Failure::Shortage(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This server can open no connection to the one behind it now.",
            ),
            Failure::NoTarget(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server behind this one has as many requests as it may have.",
            ),
            Failure::ConnectTimeout | Failure::HandshakeTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "The server behind this one does not accept connections.")
            }
            Failure::Silent => {
                (StatusCode::GATEWAY_TIMEOUT, "The server behind this one has not answered in time.")
            }
            Failure::Ended(_) | Failure::CutHead => (
                StatusCode::BAD_GATEWAY,
                "The server behind this one has ended the connection without an answer.",
            ),
            Failure::Malformed(_) => (
                StatusCode::BAD_GATEWAY,
                "The server behind this one has given an answer that is not right HTTP.",
            ),
            Failure::Own(_) => (StatusCode::BAD_GATEWAY, "The server behind this one cannot be asked."),
        };
        let is_soon = matches!(self, Failure::Connect(_) | Failure::Shortage(_) | Failure::NoTarget(_));
        let retry = is_soon.then_some(1);
        error_page::answer(shows, status, detail, retry)
    }

    /// What the log says: of the target that the request has a place at, or of all. What this machine lacks is said already, for all
    /// requests.
    pub(super) fn line(&self, chosen: Option<&Chosen>, shared: &Shared) -> Option<String> {
        if matches!(self, Failure::Shortage(_)) {
            return None;
        }
        let why = self.why(&shared.settings);
        Some(match chosen {
            Some(chosen) => format!("the backend {} has given no answer: {why}", chosen.target().name),
            None => {
                let targets = &shared.targets;
                let (whose, they) = match targets.are_several() {
                    true => ("the backends", "have"),
                    false => ("the backend", "has"),
                };
                let why = match self {
                    Failure::NoTarget(NoTarget::NoneReachable) => targets.why_not_reached(),
                    Failure::NoTarget(NoTarget::QueueFull) if targets.are_several() => {
                        "as many requests as may wait for them are waiting".to_string()
                    }
                    _ => why,
                };
                format!("{whose} {} {they} given no answer: {why}", targets.names())
            }
        })
    }

    /// Why the target could not be reached, if the system or TLS has said so.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Failure::Connect(error) => Some(error.to_string()),
            _ => None,
        }
    }

    fn why(&self, settings: &Settings) -> String {
        match self {
            Failure::Connect(error) => format!("it cannot be reached: {error}"),
            Failure::Shortage(shortage) => shortage.clause().to_string(),
            Failure::ConnectTimeout => format!("no connection within {:?}", settings.connect),
            Failure::HandshakeTimeout => format!("no TLS handshake within {:?}", settings.connect),
            Failure::Silent => format!("no answer within {:?}", settings.first_byte),
            Failure::NoTarget(NoTarget::NoneReachable) => "no connection".to_string(),
            Failure::NoTarget(NoTarget::QueueFull) => {
                "as many requests as may wait for it are waiting".to_string()
            }
            Failure::NoTarget(NoTarget::QueueTimeout) => {
                format!("there was no room for a further request within {:?}", settings.queue_timeout)
            }
            Failure::Ended(None) => "it has closed the connection without an answer".to_string(),
            Failure::Ended(Some(error)) => format!("the connection has broken without an answer: {error}"),
            Failure::CutHead => {
                "it has ended the connection before the head of its answer was whole".to_string()
            }
            Failure::Malformed(fault) => format!("its answer {fault}"),
            Failure::Own(fault) => (*fault).to_string(),
        }
    }
}

/// What is known of a request that has failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub is_safe: bool,
    pub was_tried: bool,
    /// Whether it was sent on a connection that was kept.
    pub was_kept: bool,
    /// Whether all of it has come of the client, and is sent.
    pub is_whole: bool,
    /// Whether all of it that was sent is still held.
    pub is_replayable: bool,
    /// How much of it was sent on this connection.
    pub sent: usize,
    /// Whether there are further addresses.
    pub more_addresses: bool,
    /// Whether there are further targets.
    pub more_targets: bool,
    /// Whether there is time to wait for a backend that starts.
    pub has_time_to_wait: bool,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same once more, on a new connection: at another target, if there is one.
    Again,
    OtherAddress,
    OtherTarget,
    /// Once more, as soon as the target takes connections.
    Wait,
    /// The same, at its place there.
    WaitHere,
    GiveUp,
}

/// A request is sent again only if it is safe or nothing of it was sent, and once (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
pub(super) fn after(failure: &Failure, tried: Tried) -> Next {
    match failure {
        Failure::Connect(_) | Failure::ConnectTimeout | Failure::HandshakeTimeout if tried.more_addresses => {
            Next::OtherAddress
        }
        Failure::Connect(_) | Failure::ConnectTimeout | Failure::HandshakeTimeout if tried.more_targets => {
            Next::OtherTarget
        }
        Failure::Shortage(Shortage::Ports) if tried.sent == 0 && tried.more_addresses => Next::OtherAddress,
        Failure::Shortage(Shortage::Ports) if tried.sent == 0 && tried.more_targets => Next::OtherTarget,
        _ if failure.is_for_now() && tried.sent == 0 && tried.has_time_to_wait => Next::WaitHere,
        // A backend that has ended may have left it in its queue. Another one would break within the handshake again.
        Failure::Connect(error) if is_no_handshake(error) && is_refused(error) && !tried.was_tried => {
            Next::Again
        }
        Failure::Connect(error) if is_no_handshake(error) => Next::GiveUp,
        Failure::Connect(error) if is_refused(error) && tried.has_time_to_wait => Next::Wait,
        Failure::Ended(_) if tried.sent == 0 || tried.is_safe => {
            match tried.was_tried || !tried.is_replayable {
                true => Next::GiveUp,
                false => Next::Again,
            }
        }
        _ => Next::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::NoHandshake;
    use super::*;

    #[test]
    fn what_a_client_may_have_caused_does_not_count_against_the_backend() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let whole = Tried { sent: 9, ..NOTHING };
        let part = Tried { is_whole: false, ..whole };
        for (failure, of_whole, of_part) in [
            (Failure::Ended(None), Some(Kind::Closed), None),
            (Failure::Ended(Some(reset())), Some(Kind::Closed), None),
            (Failure::CutHead, Some(Kind::Closed), None),
            (Failure::Malformed(""), Some(Kind::Malformed), Some(Kind::Malformed)),
            (Failure::Silent, Some(Kind::Silent), Some(Kind::Silent)),
            (Failure::Connect(reset()), Some(Kind::Refused), Some(Kind::Refused)),
            (Failure::Connect(NoHandshake::or(reset())), Some(Kind::Tls), Some(Kind::Tls)),
        ] {
            assert_eq!((failure.kind(whole), failure.kind(part)), (of_whole, of_part), "{failure:?}");
        }
        assert_eq!(Failure::Ended(None).kind(Tried { was_kept: true, ..whole }), None);
    }

    #[test]
    fn what_this_machine_lacks_is_no_failure_of_the_backend_and_the_client_may_come_again() {
        use rustix::io::Errno;
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            let failure = Failure::connect(error.into());
            assert_eq!((failure.kind(NOTHING), failure.reason()), (None, None), "{failure:?}");
            let answer = failure.answer(Shows::Problem, false);
            assert_eq!((answer.status().as_u16(), answer.header("retry-after").is_some()), (503, true));
        }
        for error in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::ACCESS] {
            assert_eq!(Failure::connect(error.into()).kind(NOTHING), Some(Kind::Refused));
        }
    }

    const NOTHING: Tried = Tried {
        is_safe: false,
        was_tried: false,
        was_kept: false,
        is_whole: true,
        is_replayable: true,
        sent: 0,
        more_addresses: false,
        more_targets: false,
        has_time_to_wait: false,
    };

    #[test]
    fn a_request_is_sent_again_only_if_it_is_safe_or_nothing_of_it_was_sent_and_once() {
        let refused = || Failure::Connect(io::ErrorKind::ConnectionRefused.into());
        let unreachable = || Failure::Connect(io::ErrorKind::Unsupported.into());
        let reset = || Failure::Ended(Some(io::ErrorKind::ConnectionReset.into()));
        let ports = || Failure::connect(rustix::io::Errno::ADDRNOTAVAIL.into());
        let files = || Failure::connect(rustix::io::Errno::MFILE.into());
        let busy = || Failure::connect(rustix::io::Errno::AGAIN.into());
        let broken = || Failure::connect(NoHandshake::or(io::ErrorKind::ConnectionReset.into()));
        let ended = || Failure::connect(NoHandshake::error(String::new()));
        let none = NOTHING;
        let safe = Tried { is_safe: true, sent: 9, ..none };
        let sent = Tried { sent: 1, ..none };
        for (failure, tried, expected) in [
            (Failure::Ended(None), none, Next::Again),
            (reset(), none, Next::Again),
            (Failure::Ended(None), sent, Next::GiveUp),
            (reset(), sent, Next::GiveUp),
            (Failure::Ended(None), safe, Next::Again),
            (reset(), safe, Next::Again),
            (Failure::Ended(None), Tried { was_tried: true, ..safe }, Next::GiveUp),
            (reset(), Tried { was_tried: true, ..none }, Next::GiveUp),
            // A part of its body is not held any more.
            (Failure::Ended(None), Tried { is_replayable: false, ..safe }, Next::GiveUp),
            (reset(), Tried { is_replayable: false, ..none }, Next::GiveUp),
            // Part of an answer has come, or the time is up: once is enough.
            (Failure::CutHead, safe, Next::GiveUp),
            (Failure::Malformed(""), safe, Next::GiveUp),
            (Failure::Silent, safe, Next::GiveUp),
            // Without a connection nothing was sent.
            (refused(), none, Next::GiveUp),
            (refused(), Tried { has_time_to_wait: true, ..none }, Next::Wait),
            (refused(), Tried { has_time_to_wait: true, was_tried: true, ..safe }, Next::Wait),
            (unreachable(), Tried { has_time_to_wait: true, ..none }, Next::GiveUp),
            // It takes connections, so to wait for them helps nothing.
            (broken(), Tried { has_time_to_wait: true, ..none }, Next::Again),
            (broken(), Tried { has_time_to_wait: true, was_tried: true, ..none }, Next::GiveUp),
            (broken(), Tried { more_targets: true, ..none }, Next::OtherTarget),
            (ended(), Tried { has_time_to_wait: true, ..none }, Next::GiveUp),
            (refused(), Tried { more_addresses: true, has_time_to_wait: true, ..none }, Next::OtherAddress),
            (Failure::ConnectTimeout, Tried { more_addresses: true, ..none }, Next::OtherAddress),
            (Failure::ConnectTimeout, Tried { has_time_to_wait: true, ..none }, Next::GiveUp),
            // At another target, whatever the method: nothing was sent.
            (refused(), Tried { more_targets: true, has_time_to_wait: true, ..none }, Next::OtherTarget),
            (unreachable(), Tried { more_targets: true, ..none }, Next::OtherTarget),
            (
                Failure::ConnectTimeout,
                Tried { more_targets: true, was_tried: true, ..safe },
                Next::OtherTarget,
            ),
            (refused(), Tried { more_targets: true, more_addresses: true, ..none }, Next::OtherAddress),
            (Failure::Silent, Tried { more_targets: true, ..safe }, Next::GiveUp),
            // What this machine lacks, it lacks for all places, but for ports.
            (ports(), Tried { more_addresses: true, more_targets: true, ..none }, Next::OtherAddress),
            (ports(), Tried { more_targets: true, has_time_to_wait: true, ..none }, Next::OtherTarget),
            (ports(), Tried { has_time_to_wait: true, ..none }, Next::WaitHere),
            (busy(), Tried { has_time_to_wait: true, ..none }, Next::WaitHere),
            (
                files(),
                Tried { more_addresses: true, more_targets: true, has_time_to_wait: true, ..none },
                Next::WaitHere,
            ),
            (files(), none, Next::GiveUp),
            (files(), Tried { has_time_to_wait: true, ..safe }, Next::GiveUp),
            (reset(), Tried { more_targets: true, ..sent }, Next::GiveUp),
            (Failure::NoTarget(NoTarget::QueueFull), Tried { more_targets: true, ..none }, Next::GiveUp),
        ] {
            assert_eq!(after(&failure, tried), expected, "{failure:?} {tried:?}");
        }
    }
}

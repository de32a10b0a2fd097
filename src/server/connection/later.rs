//! Answers a request whose response was to come later (`pending`), once it is there. `state` calls it for a connection that waits so.

use std::io;

use super::link::Link;
use super::next::{Later, Next};
#[cfg(not(feature = "proxy"))]
use super::response::Sending;
use super::step::Turn;
use super::transport::Stream;
use crate::limits::Limits;
#[cfg(not(feature = "proxy"))]
use crate::server::buffers::Buffers;
#[cfg(not(feature = "proxy"))]
use crate::server::input::Input;
use crate::server::turn::Idle;

/// Nothing comes later.
#[cfg(not(feature = "handler-timeout"))]
pub(crate) fn answer<S: Stream>(
    _: &mut Link<S>,
    later: &mut Later,
    _: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    match *later {}
}

/// Nothing passes a body on.
#[cfg(not(feature = "proxy"))]
pub(crate) fn passes_body<S: Stream>(
    _: &mut Link<S>,
    _: &mut Sending,
    _: &mut Input,
    _: &mut Buffers<'_>,
) -> io::Result<bool> {
    Ok(false)
}

#[cfg(feature = "proxy")]
pub(crate) use super::passing::go_on_beside as passes_body;

/// Nothing waits.
#[cfg(not(feature = "handler-timeout"))]
pub(crate) fn idle(later: &Later, _: &Limits) -> Idle {
    match *later {}
}

/// The rank, when the server needs room, of a connection whose response comes later.
#[cfg(feature = "handler-timeout")]
pub(crate) fn idle(later: &Later, limits: &Limits) -> Idle {
    later.idle(limits.body_min_rate)
}

/// Answers a request if its response has come meanwhile.
#[cfg(feature = "handler-timeout")]
#[cold]
#[inline(never)]
pub(crate) fn answer<S: Stream>(
    link: &mut Link<S>,
    later: &mut Later,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    use super::exchange;
    use super::pending::{Answer, Side};
    use crate::server::deadline::Deadline;

    #[cfg(feature = "proxy")]
    use super::passing::{self, Passed};

    let Turn { since, buffers, .. } = turn;
    let side = match link.transport.has_hung_up() {
        false => Side::Open,
        true if link.transport.fault().is_some() => Side::Broken,
        true => Side::Closed,
    };
    // Without the proxy nothing of it comes twice.
    #[cfg_attr(not(feature = "proxy"), allow(clippy::never_loop))]
    let response = loop {
        match later.poll(link.peer, side, buffers) {
            Answer::Now(response) => break response,
            #[cfg(feature = "proxy")]
            Answer::Interim(response) => later.send_interim(link, &response, buffers)?,
            Answer::Never => return Ok(Next::Close),
            Answer::Later(due) => {
                link.deadline = Deadline::own(due);
                #[cfg(feature = "proxy")]
                match later.pass_body(link, turn.input, buffers)? {
                    Passed::Some => continue,
                    Passed::Waits(deadline) => passing::wait(link, deadline),
                    Passed::CutOff => return Ok(Next::Close),
                    Passed::Refused(refusal) => {
                        let (asked, ..) = later.request(buffers);
                        return Ok(exchange::refuse(link, refusal, asked.told(), buffers));
                    }
                }
                return Ok(Next::Wait);
            }
        }
    };
    let (asked, persistence, record) = later.request(buffers);
    #[cfg(feature = "proxy")]
    let persistence = passing::persistence(link, &asked, persistence, turn.input, buffers);
    let next = exchange::respond(link, response, &asked, persistence, record, buffers)?;
    *since = buffers.millis();
    Ok(next)
}
